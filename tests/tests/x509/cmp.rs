//! CMP as openssl speaks it.

mod refused;
mod told;
mod unconfirmed;

use core::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use ics_core::limits;
use ics_node::api::{CertificateQuery, CertificateState};
use ics_node::app::{Asker, CmpRequest, Reader};

use crate::est::from_the_factory;
use crate::node::Node;
use crate::tools::{Bench, said};
use crate::world::{DOMAIN, TOKEN, World, controller, domain, introduction, maker, status, wait};

/// A device with its IDevID, at a node that issues.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) bench: Bench,
    node: Node,
}

/// Otherwise openssl would ask for the names in its certificate, which are the hardware's and not in any LDevID.
const IDEVID: &[&str] = &["-cert", "idevid.pem", "-key", "idevid.key", "-san_nodefault"];

impl Site {
    pub(crate) fn new() -> Self {
        let (world, bench) = (World::new(), Bench::new());
        from_the_factory(&world, &bench);
        let node = Node::start(&world.app);
        bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out device.key");
        Self { world, bench, node }
    }

    /// Whether openssl got what it wanted, and what it printed.
    pub(crate) fn run(&self, path: &str, arguments: &[&str]) -> (bool, String) {
        let (server, path) = (format!("127.0.0.1:{}", self.node.port()), format!(".well-known/cmp/p/{DOMAIN}{path}"));
        let mut all = vec!["cmp", "-config", "", "-batch", "-server", &server, "-path", &path];
        all.extend(["-trusted", "root.pem", "-certout", "answer.pem"]);
        all.extend(arguments);
        let output = self.bench.run("openssl", &all);
        (output.status.success(), said(&output))
    }

    pub(crate) fn gets(&self, path: &str, shown: &[&str], arguments: &[&str]) -> String {
        let (is_given, text) = self.run(path, &[shown, arguments].concat());
        assert!(is_given, "{arguments:?}: {text}");
        text
    }

    pub(crate) fn is_refused(&self, path: &str, shown: &[&str], arguments: &[&str], why: &str) {
        let size = self.world.size();
        let (is_given, text) = self.run(path, &[shown, arguments].concat());
        assert!(!is_given && text.contains(why), "{arguments:?}: {text}");
        assert_eq!(self.world.size(), size, "nothing is stored");
    }

    /// The reasons for all revoked certificates, in order.
    pub(crate) fn revoked(&self) -> Vec<String> {
        let query = CertificateQuery { state: Some(CertificateState::Revoked), ..CertificateQuery::default() };
        let page = self.world.app.certificates(Reader::Operator, &domain(), &query).expect("a page");
        page.items.into_iter().filter_map(|it| Some(it.revoked?.reason)).collect()
    }

    /// The message that openssl would send.
    fn written(&self, arguments: &[&str]) -> Vec<u8> {
        // Nobody listens there: openssl writes the message down before it finds that out.
        let mut all = vec!["cmp", "-config", "", "-batch", "-server", "127.0.0.1:9", "-path", "none"];
        all.extend(["-trusted", "root.pem", "-certout", "answer.pem", "-reqout", "written.der"]);
        all.extend([IDEVID, arguments].concat());
        let text = said(&self.bench.run("openssl", &all));
        assert!(self.bench.path().join("written.der").exists(), "{text}");
        self.bench.read("written.der")
    }

    /// The same with one more item of general information in its header (its content in DER), signed with the key of
    /// the IDevID.
    fn informed(&self, arguments: &[&str], info: &[u8]) -> Vec<u8> {
        let message = self.written(arguments);
        let (_, body, _) = first(first(first(&message).0).2);
        self.changed(&message, &tlv(0xa8, &tlv(0x30, &tlv(0x30, info))), body)
    }

    /// A message with additions to its header and with this body, signed with the key of the IDevID.
    fn changed(&self, message: &[u8], more: &[u8], body: &[u8]) -> Vec<u8> {
        let (header, _, rest) = first(first(message).0);
        // The part after body and protection.
        let (_, _, certificates) = first(first(rest).2);
        let header = tlv(0x30, &[header, more].concat());
        let protected = [&header[..], body].concat();
        self.bench.file("protected", &tlv(0x30, &protected));
        self.bench.openssl("dgst -sha256 -sign idevid.key -out signature protected");
        let signature = tlv(3, &[&[0_u8][..], &self.bench.read("signature")].concat());
        tlv(0x30, &[&protected[..], &tlv(0xa0, &signature), certificates].concat())
    }

    /// How many certificates of a profile were issued.
    fn issued(&self, profile: &str) -> usize {
        let page = self.world.app.certificates(Reader::Operator, &domain(), &CertificateQuery::default());
        page.expect("a page").items.iter().filter(|it| it.profile.as_deref() == Some(profile)).count()
    }

    /// Verifies the certificate that came, and keeps it under this name.
    pub(crate) fn keep(&self, name: &str) {
        let verify = "verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted issuer.pem answer.pem";
        self.bench.openssl(verify);
        let path = |name: &str| self.bench.path().join(name);
        std::fs::rename(path("answer.pem"), path(name)).expect("moves");
    }
}

/// A value with its tag, in DER.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length = match (high, low) {
        (0, 0..=0x7f) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}

/// The first value in some DER: its content, the whole of it, and what follows.
fn first(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (begins, length) = match der {
        [_, 0x81, low, ..] => (3, usize::from(*low)),
        [_, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, short, ..] => (2, usize::from(*short)),
        _ => panic!("nothing follows"),
    };
    let (whole, rest) = der.split_at(begins + length);
    (whole.split_at(begins).1, whole, rest)
}

const NEW: &[&str] = &["-newkey", "device.key", "-subject", "/"];

#[test]
fn an_idevid_obtains_an_ldevid_and_renews_it() {
    let site = Site::new();
    for (path, command) in [("", "ir"), ("/certification", "cr"), (":ldevid", "ir"), (":ldevid/initialization", "ir")] {
        for more in [&[][..], &["-implicit_confirm"]] {
            let size = site.world.size();
            site.gets(path, IDEVID, &[&["-cmd", command], NEW, more].concat());
            site.keep("ldevid.pem");
            assert_eq!(site.world.size(), size + 1, "it is named in the record once");
        }
    }
    site.bench.request("signed", &[]);
    site.gets("/pkcs10", IDEVID, &["-cmd", "p10cr", "-csr", "signed.csr"]);
    site.keep("other.pem");

    let own = &["-cert", "ldevid.pem", "-key", "device.key"];
    site.bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out renewed.key");
    site.gets("/keyupdate", own, &["-cmd", "kur", "-newkey", "renewed.key"]);
    site.keep("renewed.pem");
    site.is_refused("", own, &["-cmd", "kur", "-newkey", "renewed.key", "-oldcert", "other.pem"], "badCertId");
    // A certificate by another issuer is a different one, whatever its number.
    let serial = site.bench.openssl("x509 -in ldevid.pem -noout -serial");
    let serial = serial.trim().trim_start_matches("serial=");
    let foreign = format!("req -new -x509 -key device.key -subj /CN=other -set_serial 0x{serial} -out foreign.pem");
    site.bench.openssl(&foreign);
    site.is_refused("", own, &["-cmd", "kur", "-newkey", "renewed.key", "-oldcert", "foreign.pem"], "badCertId");
    // Other certificates of the key are in force, so it still shows who comes; but this one cannot be updated.
    site.gets("", own, &[&["-cmd", "cr"], NEW].concat());
    site.keep("old.pem");
    site.gets("", own, &["-cmd", "rr", "-oldcert", "old.pem", "-revreason", "4"]);
    site.is_refused("", own, &["-cmd", "kur", "-newkey", "renewed.key", "-oldcert", "old.pem"], "certRevoked");

    site.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    for (shown, command) in [(IDEVID, "ir"), (own, "cr"), (own, "kur")] {
        let arguments = [&["-cmd", command], NEW].concat();
        site.is_refused("", shown, &arguments, "notAuthorized");
    }
}

/// Protected with the registrar's token; the registrar names the thing.
const REGISTRAR: &[&str] = &["-ref", "SN-7", "-secret", "file:token", "-mac", "hmacWithSHA256"];

#[test]
fn a_registrar_asks_with_a_token() {
    let site = Site::new();
    site.bench.file("token", TOKEN.as_bytes());
    site.bench.file("wrong", b"wrong");
    site.gets("", REGISTRAR, &[&["-cmd", "ir", "-extracertsout", "above.pem"], NEW].concat());
    // An answer protected by a secret also brings the certificates above.
    site.bench.openssl("verify -x509_strict -CAfile root.pem -untrusted above.pem answer.pem");
    site.keep("ldevid.pem");
    site.gets("", REGISTRAR, &["-cmd", "rr", "-oldcert", "ldevid.pem", "-revreason", "4"]);
    assert_eq!(site.revoked(), ["superseded"]);
    // Another has revoked it than the thing, so its key gets no other one; the thing does.
    site.is_refused("", REGISTRAR, &[&["-cmd", "ir"], NEW].concat(), "badCertTemplate");
    site.bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key");
    site.gets("", REGISTRAR, &["-cmd", "ir", "-newkey", "other.key", "-subject", "/"]);
    for (shown, why) in [
        (&["-ref", "SN-7", "-secret", "file:wrong", "-mac", "hmacWithSHA256"][..], "badMessageCheck"),
        (&["-ref", "SN-7", "-secret", "file:token"], "badAlg"),
        (&["-ref", "SN-8", "-secret", "file:token", "-mac", "hmacWithSHA256"], "badCertId"),
    ] {
        // A client with another secret can check what is signed only with the root.
        let arguments = [&["-cmd", "ir", "-unprotected_errors"], NEW].concat();
        site.is_refused("", shown, &arguments, why);
    }
}

#[test]
fn certificates_are_taken_back() {
    let site = Site::new();
    site.world.submit(vec![introduction(8, &["serial:SN-8"]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    site.bench.file(
        "other.pem",
        ics_node::x509::certificate_pem(&{
            site.world.certify(8, "idevid", &site.bench.request("other", &[])).expect("is issued").certificate
        })
        .as_bytes(),
    );
    let other = &["-cert", "other.pem", "-key", "other.key"];
    for name in ["one.pem", "two.pem", "three.pem"] {
        site.gets("", IDEVID, &[&["-cmd", "ir"], NEW].concat());
        site.keep(name);
    }
    let own = &["-cert", "one.pem", "-key", "device.key"];
    let ends = |name: &'static str, reason: &'static str| ["-cmd", "rr", "-oldcert", name, "-revreason", reason];
    site.is_refused("", other, &ends("one.pem", "5"), "notAuthorized");
    site.is_refused("", IDEVID, &ends("one.pem", "1"), "badRequest");
    site.is_refused("", IDEVID, &ends("one.pem", "8"), "badRequest");
    site.is_refused("", IDEVID, &ends("root.pem", "5"), "badCertId");
    site.gets("", IDEVID, &ends("one.pem", "5"));
    assert_eq!(site.revoked(), ["cessationOfOperation"]);
    site.is_refused("", IDEVID, &ends("one.pem", "5"), "certRevoked");
    site.gets("", own, &ends("two.pem", "1"));
    let revoked = site.revoked();
    assert!(revoked.len() == 3 && revoked.iter().filter(|it| *it == "keyCompromise").count() >= 2, "{revoked:?}");
    let again = [&["-cmd", "ir"], NEW].concat();
    site.is_refused("", own, &again, "signerNotTrusted");
    site.is_refused("", IDEVID, &again, "badCertTemplate");
}

#[test]
fn what_its_holder_does_not_take_is_revoked() {
    let site = Site::new();
    site.bench.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout stranger.key -out stranger.pem");
    let (is_given, text) = site.run("", &[IDEVID, &["-cmd", "ir", "-out_trusted", "stranger.pem"], NEW].concat());
    assert!(!is_given && text.contains("sending CERTCONF") && text.contains("received PKICONF"), "{text}");
    assert_eq!(site.revoked(), ["unspecified"]);
}

#[test]
fn what_is_not_as_it_was_asked_for_is_told_to_be_so() {
    let site = Site::new();
    site.bench.request("plain", &[]);
    site.bench.request("signs", &["-addext", "keyUsage=critical,digitalSignature"]);
    site.bench.request("agrees", &["-addext", "keyUsage=critical,digitalSignature,keyAgreement"]);
    let new = [&["-cmd", "ir"], NEW].concat();
    for (arguments, is_other) in [
        (vec!["-cmd", "p10cr", "-csr", "plain.csr"], false),
        (vec!["-cmd", "p10cr", "-csr", "signs.csr"], false),
        (vec!["-cmd", "p10cr", "-csr", "agrees.csr"], true),
        (new.clone(), false),
        ([&new[..], &["-days", "1"]].concat(), true),
        // Its serial number is in it as well.
        ([&new[..], &["-sans", "urn:dev:os:32473-SN-7"]].concat(), true),
    ] {
        let text = site.gets("", IDEVID, &arguments);
        assert_eq!(text.contains("grantedWithMods"), is_other, "{arguments:?}: {text}");
    }
}

#[test]
fn a_holder_whose_answer_was_lost_confirms_again() {
    let site = Site::new();
    site.gets("", IDEVID, &[&["-cmd", "ir", "-reqout", "request.der,confirmation.der"], NEW].concat());
    let (size, confirmation) = (site.world.size(), site.bench.read("confirmation.der"));
    for _ in 0..2 {
        let (code, answer) = sent(&site, CMP, &confirmation);
        assert!(code == "200" && is_confirmed(&site), "{answer}");
    }
    assert_eq!((site.world.size(), site.revoked()), (size, Vec::new()), "nothing has changed");
}

#[test]
fn clients_that_are_not_let_in_and_messages_that_are_not_taken() {
    let site = Site::new();
    site.bench.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout stranger.key -out stranger.pem");
    site.bench.openssl("genrsa -out weak.key 1024");
    // openssl sends a self-signed certificate only when told to.
    let stranger = &["-cert", "stranger.pem", "-key", "stranger.key", "-extracerts", "stranger.pem"];
    let new = [&["-cmd", "ir"], NEW].concat();
    site.is_refused("", stranger, &[&new[..], &["-reqout", "stranger.der"]].concat(), "signerNotTrusted");
    let (code, answer) = sent(&site, CMP, &site.bench.read("stranger.der"));
    assert!(code == "200" && answer.contains("no record here names"), "nothing is remembered of the client: {answer}");
    site.is_refused("", IDEVID, &[&new[..], &["-unprotected_requests"]].concat(), "badMessageCheck");
    site.is_refused("", IDEVID, &[&new[..], &["-popo", "0"]].concat(), "badPOP");
    site.is_refused("", IDEVID, &[&new[..], &["-popo", "-1"]].concat(), "badPOP");
    site.is_refused("", IDEVID, &[&new[..], &["-sans", "evil.example"]].concat(), "badCertTemplate");
    site.is_refused("", IDEVID, &["-cmd", "ir", "-newkey", "weak.key", "-subject", "/"], "badCertTemplate");
    site.is_refused(":none", IDEVID, &new, "badRequest");
    site.is_refused(":ocsp", IDEVID, &new, "notAuthorized");
    site.is_refused("", IDEVID, &["-cmd", "genm", "-infotype", "signKeyPairTypes"], "badRequest");
    for asked in [&["-cmd", "genm"][..], &["-cmd", "genm", "-infotype", "caCerts"]] {
        let told = site.gets("", stranger, asked);
        assert!(told.contains("caCerts") || told.contains("caCerts".to_uppercase().as_str()), "{told}");
    }
    let told = site.gets("", stranger, &["-cmd", "genm", "-infotype", "certReqTemplate"]);
    assert!(told.contains("certReqTemplate"), "{told}");
    site.is_refused(":none", stranger, &["-cmd", "genm", "-infotype", "certReqTemplate"], "badRequest");
}

/// A part of a header, by its tag.
fn part(message: &[u8], tag: u8) -> Vec<u8> {
    let mut rest = first(first(message).0).0;
    while rest.first() != Some(&tag) {
        rest = first(rest).2;
    }
    first(rest).0.to_vec()
}

#[test]
fn a_client_that_could_not_read_the_answer_is_heard() {
    let site = Site::new();
    let new = [&["-cmd", "ir"], NEW].concat();
    let more = ["-disable_confirm", "-reqout", "request.der", "-rspout", "response.der"];
    site.gets("", IDEVID, &[&new[..], &more].concat());
    assert_eq!(site.revoked(), Vec::<String>::new());
    let (request, response) = (site.bench.read("request.der"), site.bench.read("response.der"));
    let nonce = part(&response, 0xa5);
    // confirmWaitTime, 1.3.6.1.5.5.7.4.14.
    let kind = [0x2b, 6, 1, 5, 5, 7, 4, 14];
    assert!(part(&response, 0xa8).windows(kind.len()).any(|part| part == kind), "until when it is waited for");
    // error: a rejection.
    let error = tlv(0xb7, &tlv(0x30, &tlv(0x30, &[2, 1, 2])));
    let read = site.changed(&request, &tlv(0xa6, &nonce), &error);
    let other = site.changed(&site.written(&new), &tlv(0xa6, &nonce), &error);
    for (message, revoked) in [(&other, 0), (&read, 1), (&read, 1)] {
        let (code, answer) = sent(&site, CMP, message);
        assert!(code == "200" && is_confirmed(&site), "{answer}");
        assert_eq!(site.revoked().len(), revoked, "what waits is not taken, and nothing else");
    }
}

/// Whether the body of that number came with a NULL (pkiconf).
fn is_confirmed(site: &Site) -> bool {
    site.bench.read("answer").windows(4).any(|part| part == [0xb3, 2, 5, 0])
}

/// The node's answer to these bytes: the HTTP status, and the readable part of the message.
fn sent(site: &Site, media_type: &str, bytes: &[u8]) -> (String, String) {
    sent_to(site, "", media_type, bytes)
}

/// The same for a path that names more than the domain.
fn sent_to(site: &Site, path: &str, media_type: &str, bytes: &[u8]) -> (String, String) {
    let url = format!("http://127.0.0.1:{}/.well-known/cmp/p/{DOMAIN}{path}", site.node.port());
    site.bench.file("sent.der", bytes);
    site.bench.file("answer", b"");
    let (header, format) = (format!("Content-Type: {media_type}"), "%{http_code}");
    let mut arguments = vec!["--silent", "--output", "answer", "--write-out", format, "--header", &header];
    arguments.extend(["--data-binary", "@sent.der", &url]);
    let code = said(&site.bench.run("curl", &arguments));
    (code, String::from_utf8_lossy(&site.bench.read("answer")).into_owned())
}

const CMP: &str = "application/pkixcmp";

#[test]
fn the_profile_that_a_message_names_decides() {
    let site = Site::new();
    let new = [&["-cmd", "ir"], NEW].concat();
    let message = |names: &[&str]| {
        let names: Vec<u8> = names.iter().flat_map(|name| tlv(0x0c, name.as_bytes())).collect();
        // certProfile, 1.3.6.1.5.5.7.4.21.
        let kind = tlv(6, &[0x2b, 6, 1, 5, 5, 7, 4, 21]);
        site.informed(&new, &[kind, tlv(0x30, &names)].concat())
    };
    for (path, expected) in [("", 1), (":server", 2)] {
        let (code, answer) = sent_to(&site, path, CMP, &message(&["server"]));
        assert_eq!((code.as_str(), site.issued("server")), ("200", expected), "{path}: {answer}");
    }
    let size = site.world.size();
    for (path, names, why) in [
        (":ldevid", &["server"][..], "name it in one place"),
        ("", &["none"], "has no certificates of the profile `none`"),
        ("", &["server", "ldevid"], "must name exactly one profile"),
        ("", &[], "must name exactly one profile"),
    ] {
        let (code, answer) = sent_to(&site, path, CMP, &message(names));
        assert!(code == "200" && answer.contains(why), "{path} {names:?}: {answer}");
    }
    // openssl 3.0 can only write numbers there.
    let number = ["-cmd", "ir", "-geninfo", "1.3.6.1.5.5.7.4.21:int:7"];
    site.is_refused("", IDEVID, &[&number[..], NEW].concat(), "badDataFormat");
    assert_eq!(site.world.size(), size, "nothing is stored");
}

/// openssl 3.0 cannot make it.
#[test]
fn pbmac1_protects_as_well() {
    let site = Site::new();
    let unprotected = site.written(&[&["-cmd", "ir", "-unprotected_requests"], NEW].concat());
    let (header, _, rest) = first(first(&unprotected).0);
    let body = first(rest).1;
    let mut after = header;
    // Version, sender, recipient, time.
    for _ in 0..4 {
        after = first(after).2;
    }
    let before = &header[..header.len() - after.len()];
    // PBKDF2, PBMAC1 (1.2.840.113549.1.5.12 and 14), hmacWithSHA256.
    let oid = |end: &[u8]| tlv(6, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d][..], end].concat());
    let sha256 = tlv(0x30, &oid(&[2, 9]));
    let derivation = [tlv(4, b"salt"), tlv(2, &[3, 0xe8]), tlv(2, &[32]), sha256.clone()].concat();
    let derivation = tlv(0x30, &[oid(&[1, 5, 12]), tlv(0x30, &derivation)].concat());
    let algorithm = tlv(0x30, &[oid(&[1, 5, 14]), tlv(0x30, &[derivation, sha256].concat())].concat());
    let reference = tlv(0xa2, &tlv(4, b"SN-7"));
    let header = tlv(0x30, &[before, &tlv(0xa1, &algorithm), &reference, after].concat());
    let protected = [&header[..], body].concat();
    let mac = |secret: &[u8], protected: &[u8]| {
        let (mut key, rounds) = ([0; 32], NonZeroU32::new(1000).expect("some"));
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", secret, &mut key);
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &tlv(0x30, protected)).as_ref().to_vec()
    };
    let message = |secret: &[u8]| {
        let bits = tlv(3, &[&[0_u8][..], &mac(secret, &protected)].concat());
        tlv(0x30, &[&protected[..], &tlv(0xa0, &bits)].concat())
    };
    let (code, answer) = sent(&site, CMP, &message(b"wrong"));
    assert!(code == "200" && answer.contains("nor by the registrar's token"), "{answer}");
    assert_eq!(site.issued("ldevid"), 0);
    let (code, answer) = sent(&site, CMP, &message(TOKEN.as_bytes()));
    assert_eq!((code.as_str(), site.issued("ldevid")), ("200", 1), "{answer}");
    let answer = site.bench.read("answer");
    let (_, header, rest) = first(first(&answer).0);
    let (_, body, rest) = first(rest);
    let bits = first(first(rest).0).0;
    assert_eq!(
        &bits[1..],
        mac(TOKEN.as_bytes(), &[header, body].concat()).as_slice(),
        "the answer is protected so, too"
    );
    let asked = CmpRequest { domain: domain(), profile: None, issuer: None, asker: Asker::Address(Some(7)) };
    let answer = |bytes: &[u8]| {
        let answer = wait(site.world.app.cmp(&asked, bytes)).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let right = message(TOKEN.as_bytes());
    for _ in 0..2 * limits::OCSP_SIGNED_PER_ASKER_AT_ONCE {
        assert!(answer(&unprotected).contains("the message is not protected"));
        let again = answer(&right);
        assert!(again.contains("has already begun"), "what else is asked for there uses up no tries: {again}");
    }
    let is_limited = (0..300).any(|_| sent(&site, CMP, &message(b"wrong")).1.contains("with a wrong secret"));
    assert!(is_limited, "anybody may ask for as many rounds as they like");
}

#[test]
fn a_message_counts_once_whole_and_in_its_time() {
    let site = Site::new();
    let new = [&["-cmd", "ir", "-implicit_confirm", "-reqout", "request.der"], NEW].concat();
    site.gets("", IDEVID, &new);
    let (size, message) = (site.world.size(), site.bench.read("request.der"));
    let (code, answer) = sent(&site, CMP, &message);
    assert!(code == "200" && answer.contains("a transaction with this id has already begun"), "{code} {answer}");
    let (server, path) = (format!("127.0.0.1:{}", site.node.port()), format!(".well-known/cmp/p/{DOMAIN}"));
    for (moved, why) in [("-10m", "badTime"), ("+10m", "badTime")] {
        let mut all = vec!["-f", moved, "openssl", "cmp", "-config", "", "-server", &server, "-path", &path];
        all.extend(["-srvcert", "issuer.pem", "-certout", "answer.pem"]);
        all.extend([IDEVID, &new].concat());
        let text = said(&site.bench.run("faketime", &all));
        assert!(text.contains(why), "{moved}: {text}");
    }
    // From here on, more is refused than one asker gets signatures for.
    for place in (0..message.len()).step_by(7) {
        let mut changed = message.clone();
        changed[place] ^= 1;
        let (code, answer) = sent(&site, CMP, &changed);
        assert!(matches!(code.as_str(), "200" | "400"), "{place}: {code} {answer}");
    }
    for (media_type, bytes, expected) in [
        ("application/pkcs10", &message[..], "415"),
        (CMP, b"", "400"),
        (CMP, &message[..message.len() - 1], "400"),
        (CMP, &[&message[..], b"\0"].concat(), "400"),
        (CMP, &[0x30; 70_000], "413"),
    ] {
        assert_eq!(sent(&site, media_type, bytes).0, expected, "{media_type} {}", bytes.len());
    }
    assert_eq!(site.world.size(), size, "nothing is stored");

    let (code, _) = sent(&site, CMP, &message);
    assert_eq!((code.as_str(), site.world.size()), ("200", size));
}
