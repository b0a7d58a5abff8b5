//! ldapsearch, ldapcompare, ldapwhoami and python3-ldap3.

use crate::support::{Directory, SECRET, access_rules, device, identity_dn};
use crate::world::{DOMAIN, TOKEN};

const OPERATOR: &str = "cn=operator,o=ics";

#[tokio::test(flavor = "multi_thread")]
async fn clients_learn_what_the_server_can_do() {
    let node = Directory::start().await;
    let root = node.run("ldapsearch", &["-LLL", "-b", "", "-s", "base", "+"]).await;
    root.has("namingContexts: o=ics").has("supportedLDAPVersion: 3").has("subschemaSubentry: cn=Subschema");
    root.has("supportedExtension: 1.3.6.1.4.1.1466.20037").has("supportedControl: 1.2.840.113556.1.4.319");
    let schema =
        node.run("ldapsearch", &["-LLL", "-b", "cn=Subschema", "-s", "base", "(objectClass=subschema)", "+"]).await;
    assert!(schema.count("attributeTypes: ( ") > 90 && schema.count("objectClasses: ( ") > 8);
    let info = node.run("ldapsearch", &["-LLL", "-b", "cn=PGPServerInfo,o=ics", "-s", "base"]).await;
    info.has("pgpBaseKeySpaceDN: ou=PGP Keys,o=ics").has("pgpVersion: 2 openldap").has("pgpSoftware: GnuPG");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_of_a_domain() {
    let node = Directory::start().await;
    let top = node.run("ldapsearch", &["-LLL", "-b", "o=ics", "-s", "one", "1.1"]).await;
    assert_eq!(top.count("dn: "), 4, "{top:?}");
    top.has(&format!("dn: icsDomain={DOMAIN},o=ics")).has("dn: ou=PGP Keys,o=ics");

    let domain = node.run("ldapsearch", &["-LLL", "-b", &format!("icsDomain={DOMAIN},o=ics"), "-s", "base"]).await;
    domain.has("description: What Acme makes").has("icsPosition: home").has("icsAsOfSize: 13");
    let things = node.run("ldapsearch", &["-LLL", "-b", &format!("icsDomain={DOMAIN},o=ics"), "-s", "one"]).await;
    assert_eq!(things.count("dn: "), 10, "{things:?}");
    let all = node.run("ldapsearch", &["-LLL", "-b", &format!("icsDomain={DOMAIN},o=ics"), "1.1"]).await;
    assert_eq!(all.count("dn: "), 1 + 10 + 11, "{all:?}");

    let stolen = node.run("ldapsearch", &["-LLL", "-b", &identity_dn(13), "-s", "base"]).await;
    stolen.has("icsStatus: stolen").has("icsEffect: blocks").has("icsReason: taken off a lorry");
    stolen.has("cn: Thermometer 13").has("icsModel: T-1000").has("icsName: serial:SN-13").has("icsKind: device");
    stolen.has("icsAsOfSize: 13").lacks("entryUUID");
    let said = node.run("ldapsearch", &["-LLL", "-b", &identity_dn(13), "-s", "one", "*", "+"]).await;
    assert_eq!((said.count("dn: "), said.count("icsBody:: ")), (2, 2));
    said.has("icsAct: status").has("icsAct: identity").has("structuralObjectClass: icsStatementEntry");
    assert_eq!(said.count("entryUUID: "), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_the_index_knows() {
    let node = Directory::start().await;
    let base = format!("icsDomain={DOMAIN},o=ics");
    for (filter, count) in [
        (format!("(icsIdentity={})", device(12)), 1),
        (format!("(icsIdentity={})", device(12).to_uppercase()), 1),
        (format!("(|(icsIdentity={})(icsIdentity={}))", device(12), device(13)), 2),
        (format!("(|(icsIdentity={0})(icsIdentity={1})(icsIdentity={0}))", device(12), device(13)), 2),
        ("(icsIdentity=none)".to_owned(), 0),
        ("(icsName=serial:SN-15)".to_owned(), 1),
        ("(icsStatus=stolen)".to_owned(), 2),
        ("(&(objectClass=icsIdentityEntry)(icsStatus=stolen))".to_owned(), 1),
        ("(&(icsLot=L1)(!(icsStatus=*)))".to_owned(), 9),
        ("(&(icsKind=device)(cn=*13))".to_owned(), 1),
        ("(icsLot=l1)".to_owned(), 0),
        ("(icsAct=status)".to_owned(), 1),
        ("(&(icsAct=identity)(icsIndex>=11))".to_owned(), 1),
        ("(&(icsAct=identity)(icsIndex<=3))".to_owned(), 2),
        ("(icsKind~=device)".to_owned(), 10),
        ("(&(icsLot=L1)(icsKind:caseIgnoreMatch:=DEVICE))".to_owned(), 10),
        ("(&(icsLot=L1)(icsDomain:dn:=devices.acme.example))".to_owned(), 10),
        ("(&(icsLot=L1)(icsDomain:dn:=elsewhere.example))".to_owned(), 0),
        ("(uid=root)".to_owned(), 0),
        ("(!(uid=root))".to_owned(), 0),
        ("(icsKind=\\ff\\fe)".to_owned(), 0),
    ] {
        let found = node.run("ldapsearch", &["-LLL", "-b", &base, &filter, "1.1"]).await;
        assert_eq!((found.code, found.count("dn: ")), (0, count), "{filter}\n{found:?}");
    }
    let scan = node.run("ldapsearch", &["-b", &base, "(cn=*mometer*)"]).await;
    assert_eq!(scan.code, 11, "strangers do not make the server look at everything: {scan:?}");
    let scan = node
        .run_tls("ldapsearch", &["-x", "-D", OPERATOR, "-w", TOKEN, "-LLL", "-b", &base, "(cn=*mometer 1*)", "1.1"])
        .await;
    assert_eq!((scan.code, scan.count("dn: ")), (0, 10), "{scan:?}");
    node.stop().await;
}

/// There are keys below the suffix too, and a search that leaves some out says so.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_from_the_suffix_and_not_listed() {
    let node = Directory::start().await;
    for (filter, code, count) in [
        ("(gpgMailbox=keys@acme.example)".to_owned(), 0, 1),
        (format!("(gpgFingerprint={})", device(13)), 0, 1),
        ("(pgpUserID=nobody)".to_owned(), 0, 0),
        // A thing and a key, each found by its own index.
        ("(|(icsName=serial:SN-15)(gpgMailbox=keys@acme.example))".to_owned(), 0, 2),
        ("(|(icsName=serial:SN-15)(pgpRevoked=1))".to_owned(), 11, 1),
        ("(objectClass=pgpKeyInfo)".to_owned(), 11, 0),
        // The suffix, two entries of the key server, two domains, ten things and the statements about them.
        ("(objectClass=*)".to_owned(), 11, 1 + 2 + 2 + 10 + 11),
        ("(|(objectClass=icsDomainEntry)(objectClass=icsIdentityEntry))".to_owned(), 0, 2 + 10),
        ("(&(objectClass=*)(icsLot=L1))".to_owned(), 0, 10),
    ] {
        let found = node.run("ldapsearch", &["-LLL", "-b", "o=ics", &filter, "1.1"]).await;
        assert_eq!((found.code, found.count("dn: ")), (code, count), "{filter}\n{found:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_looks_absent() {
    let node = Directory::start().await;
    let secret = format!("icsIdentity={},icsDomain={SECRET},o=ics", device(30));
    let absent = format!("icsIdentity={},icsDomain={SECRET},o=ics", device(31));
    for dn in [&secret, &absent] {
        for scope in ["base", "one", "sub"] {
            let found = node.run("ldapsearch", &["-b", dn, "-s", scope]).await;
            assert_eq!(found.code, 32, "{found:?}");
            found.has(&format!("matchedDN: icsDomain={SECRET},o=ics"));
        }
        let compared = node.run("ldapcompare", &[dn, "icsKind:device"]).await;
        assert_eq!(compared.code, 32, "{compared:?}");
    }
    // The nearest entry that is named is one that there is.
    for dn in ["icsDomain=nobody.example,o=ics", "cn=x,icsDomain=nobody.example,o=ics"] {
        let found = node.run("ldapsearch", &["-b", dn]).await;
        assert_eq!(found.code, 32, "{found:?}");
        found.has("matchedDN: o=ics");
    }
    for filter in [format!("(icsIdentity={})", device(30)), "(icsName=serial:SECRET)".to_owned()] {
        let found = node.run("ldapsearch", &["-LLL", "-b", "o=ics", &filter]).await;
        assert_eq!((found.code, found.count("dn: ")), (0, 0), "{found:?}");
    }
    let found = node.run_tls("ldapsearch", &["-x", "-D", OPERATOR, "-w", TOKEN, "-LLL", "-b", &secret]).await;
    assert_eq!((found.code, found.count("dn: ")), (0, 2), "{found:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_who() {
    let node = Directory::start().await;
    node.run("ldapwhoami", &[]).await.has("anonymous");
    node.run("ldapwhoami", &["-ZZ", "-D", OPERATOR, "-w", TOKEN]).await.has("dn:cn=operator,o=ics");
    node.run_tls("ldapwhoami", &["-x", "-D", OPERATOR, "-w", TOKEN]).await.has("dn:cn=operator,o=ics");
    for (arguments, code) in [
        (&["-D", OPERATOR, "-w", TOKEN][..], 13),
        (&["-ZZ", "-D", OPERATOR, "-w", "guessed"], 49),
        (&["-ZZ", "-D", "cn=somebody,o=ics", "-w", TOKEN], 49),
    ] {
        let refused = node.run("ldapwhoami", arguments).await;
        assert_eq!(refused.code, code, "{arguments:?} {refused:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn comparing() {
    let node = Directory::start().await;
    let dn = identity_dn(13);
    for (assertion, code) in [
        ("icsStatus:STOLEN", 6),
        ("icsStatus:in-use", 5),
        ("icsLot:l1", 5),
        ("icsGroup:x", 16),
        ("nothing:x", 17),
        ("icsAsOfSize:many", 21),
    ] {
        let compared = node.run("ldapcompare", &[&dn, assertion]).await;
        assert_eq!(compared.code, code, "{assertion} {compared:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_limits() {
    let node = Directory::start().await;
    let base = format!("icsDomain={DOMAIN},o=ics");
    let paged = node.run("ldapsearch", &["-LLL", "-b", &base, "-E", "pr=3/noprompt", "1.1"]).await;
    assert_eq!((paged.code, paged.count("dn: ")), (0, 22), "{paged:?}");
    let limited = node.run("ldapsearch", &["-LLL", "-b", &base, "-z", "4", "1.1"]).await;
    assert_eq!((limited.code, limited.count("dn: ")), (4, 4), "{limited:?}");
    let all = node.run("ldapsearch", &["-LLL", "-b", &base, "-z", "22", "1.1"]).await;
    assert_eq!((all.code, all.count("dn: ")), (0, 22), "{all:?}");
    let critical = node.run("ldapsearch", &["-b", &base, "-e", "!1.2.3.4"]).await;
    assert_eq!(critical.code, 12, "{critical:?}");
    let managed = node.run("ldapsearch", &["-LLL", "-M", "-M", "-b", &base, "-s", "base", "1.1"]).await;
    assert_eq!((managed.code, managed.count("dn: ")), (0, 1), "{managed:?}");
    for dn in ["icsDomain", "o=ics,", "x=\\zz"] {
        assert_eq!(node.run("ldapsearch", &["-b", dn]).await.code, 34, "{dn}");
    }
    assert_eq!(node.run("ldapsearch", &["-b", "dc=elsewhere"]).await.code, 32);
    for (program, arguments, code) in
        [("ldapdelete", &[identity_dn(13).as_str()][..], 50), ("ldapmodrdn", &[&identity_dn(13), "icsIdentity=x"], 53)]
    {
        assert_eq!(node.run(program, arguments).await.code, code, "{program}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_the_schema_and_pages() {
    let node = Directory::start().await;
    let answer = node.python(include_str!("ldap3.py")).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.has("schema ok").has("search ok").has("pages 22").has("compare True").has("operator dn:cn=operator,o=ics");
    answer.has("starttls ok");
    node.stop().await;
}

/// More than one look returns: each comes once and in order, as mirrors ask for them.
#[tokio::test(flavor = "multi_thread")]
async fn descriptors_come_one_part_after_the_other() {
    let directory = Directory::start().await;
    for version in 2..=6 {
        access_rules(&directory.app, &format!("// {version} {}\n", "x".repeat(30_000))).await;
    }
    let base = ["-LLL", "-b", "icsDomain=devices.acme.example,cn=Log", "-s", "one"];
    let asked = ["(icsDescriptorVersion>=2)", "icsDescriptorVersion"];
    let answer = directory.run("ldapsearch", &[&base[..], &asked].concat()).await;
    let versions: Vec<&str> =
        answer.out.lines().filter_map(|line| line.strip_prefix("icsDescriptorVersion: ")).collect();
    assert_eq!(versions, ["2", "3", "4", "5", "6"], "{answer:?}");
    directory.stop().await;
}
