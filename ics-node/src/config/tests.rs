use tracing_subscriber::filter::LevelFilter;

use super::*;

const EXAMPLE: &str = include_str!("example.toml");

fn refusal(text: &str) -> String {
    match Config::parse(text, Path::new("ics.toml")) {
        Ok(config) => format!("accepted: {config:?}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_example_has_every_member() {
    let config = Config::parse(EXAMPLE, Path::new("example.toml")).expect("the example is good");
    let node = config.node.as_ref().expect("node");
    assert_eq!(node.listen, node::default_listen());
    assert!(
        node.operator_token_file.is_some()
            && node.tls.is_some()
            && node.public_url.is_some()
            && node.metrics.is_some()
            && !node.issuers.is_empty()
            && !node.responders.is_empty()
    );
    let socket = node.socket.as_ref().expect("a socket");
    assert_eq!((socket.path.to_str(), socket.mode, node.memory_mib), (Some("ics.sock"), 0o660, 256));
    let pages = PagesConfig { trusted_proxies: vec![[127, 0, 0, 1].into()], ..PagesConfig::default() };
    assert_eq!(node.pages, pages);
    assert_eq!((config.homes.len(), config.peers.len()), (1, 1));
    let peer = config.peers().next().expect("one");
    assert!(peer.url.is_some() && peer.pin().is_some() && peer.signer.is_some() && peer.mirror.len() == 1);
    assert!(peer.interval_ms == 2_000 && peer.bytes_per_second.is_some() && peer.requests_per_minute.is_some());
    assert!(
        config.client.operator_token_file.is_some() && config.client.node.is_some() && config.client.domain.is_some()
    );
    assert!(config.client.signer.is_some() && config.client.role.is_some() && config.trust.policy.is_some());
    assert!(config.pkcs11.module.is_some());
    assert_eq!(config.log, LogConfig::default());
    let acme = config.acme.expect("acme");
    assert!(acme.challenges.len() == 2 && acme.networks.len() == 2 && acme.hosts.len() == 1);
    assert_eq!((acme.http_port, acme.tls_port, acme.orders_per_hour), (80, 443, 300));
    let AlertsConfig { webhook, before_days, every_seconds } = config.alerts;
    assert_eq!((webhook.is_some(), before_days, every_seconds), (true, 30, 3600));
    let ldap = config.ldap.expect("ldap");
    assert!(ldap.listen.is_some() && ldap.listen_tls.is_some() && ldap.tls.is_some());
    assert_eq!((ldap.suffix, ldap.cache_mib), (crate::ldap::Suffix::default(), 64));
}

#[test]
fn an_empty_file_is_a_client_with_nothing_assumed() {
    let config = Config::parse("", Path::new("ics.toml")).expect("empty");
    assert_eq!(config, Config::default());
}

/// Whatever `public_url` says: who reaches the address itself needs no proxy.
#[test]
fn what_other_machines_reach_without_tls_is_known() {
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\" }";
    for (listen, more, expected) in [
        ("127.0.0.1:8470", "", false),
        ("[::1]:8470", "", false),
        ("[::ffff:127.0.0.1]:8470", "", false),
        ("192.0.2.1:8470", "", true),
        ("0.0.0.0:8470", "", true),
        ("[::]:8470", "", true),
        ("0.0.0.0:8470", "public_url = \"https://n.example\"", true),
        ("0.0.0.0:8470", tls, false),
    ] {
        let text = format!("[node]\nname = \"n.example\"\nlisten = \"{listen}\"\n{more}");
        let config = Config::parse(&text, Path::new("ics.toml")).expect("a configuration");
        assert_eq!(config.node.expect("a node").is_open_without_tls(), expected, "{text}");
    }
}

#[test]
fn paths_are_relative_to_the_home_directory() {
    let home = tempfile::tempdir().expect("directory");
    std::fs::write(home.path().join(FILE_NAME), EXAMPLE).expect("written");
    let config = Config::load(home.path()).expect("loaded");
    assert_eq!(config.node.expect("node").data, home.path().join("data"));
    assert_eq!(config.homes[0].descriptor, home.path().join("domains/devices.acme.example.pgp"));
}

#[test]
fn the_files_that_are_named() {
    let mut config = Config::parse(EXAMPLE, Path::new("example.toml")).expect("the example is good");
    let home = Path::new("/var/lib/ics");
    config.resolve_paths(home);
    let named = |config: &Config, is_private: bool| {
        let files = config.files().into_iter().filter(|file| file.is_private == is_private);
        files.map(|file| file.below(home).and_then(Path::to_str).map(str::to_owned)).collect::<Vec<_>>()
    };
    let all = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
    let descriptor = "domains/devices.acme.example.pgp";
    let public = ["trust.json", descriptor, "tls/chain.pem", "tls/ldap.pem", "ocsp.pem"];
    assert_eq!(named(&config, false), all(&public));
    let private = ["operator-token", "operator-token", "tls/key.pem", "tls/ldap-key.pem"];
    assert_eq!(named(&config, true), all(&private));

    config.trust.policy = Some(home.join("../trust.json"));
    let tls = config.node.as_mut().and_then(|node| node.tls.as_mut()).expect("TLS");
    tls.certificate.clone_from(&tls.key);
    let public = named(&config, false);
    assert_eq!(public.first(), Some(&None), "it lies elsewhere, however it is written");
    assert!(!public.contains(&Some("tls/key.pem".to_owned())), "a certificate in one file with its key");
}

#[test]
fn refusals_name_the_file_and_the_line() {
    let node = "[node]\nname = \"n.example\"\n";
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let keyed = format!("[[peer]]\nname = \"p\"\nkey = \"{key}\"\n");
    let copy = |name: &str, log: u8| {
        let entry0 = format!("{log:02x}").repeat(32);
        format!("[[peer]]\nname = \"{name}\"\nurl = \"http://x\"\nmirror = [\"a.example/{entry0}\"]\n")
    };
    let home = "[[home]]\ndomain = \"a.example\"\ndescriptor = \"d\"\n";
    let (secure, tls) = ("[ldap]\nlisten_tls = \"127.0.0.1:0\"", "tls = { certificate = \"c.pem\", key = \"k.pem\" }");
    for (text, expected) in [
        ("nod = 1", "ics.toml:1: unknown field `nod`"),
        ("\n[node]\nname = 1", "ics.toml:3: invalid type: integer `1`"),
        ("[node]\nlisten = \"127.0.0.1:1\"", "ics.toml:1: missing field `name`"),
        ("[node]\nname = \"n\"\nlisten = \"here\"", "ics.toml:3: this is not an address and a port, such as 127."),
        ("[node]\nname = \"n\"\nmetrics = \"127.0.0.1:99999\"", "ics.toml:3: this is not an address and a port"),
        (
            "[node]\nname = \"n\"\nlisten = \"127.0.0.1:1\"\nmetrics = \"127.0.0.1:1\"",
            "ics.toml:1: `metrics` and `listen` are one address, `127.0.0.1:1`",
        ),
        ("[node]\nname = \"n\"\nlisten = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"", "accepted"),
        (
            "[node]\nname = \"n\"\npages = { trusted_proxies = [\"proxy\"] }",
            "ics.toml:3: this is not an address, such as 127.0.0.1",
        ),
        ("[log]\nlevel = \"loud=noise\"", "ics.toml:2: `loud=noise` is not a log level or filter"),
        (
            "[log]\nlevel = \"warning\"",
            "ics.toml:2: `warning` is not a log level or filter: a level is one of error, w",
        ),
        ("[log]\nlevel = \"info,http\"", "ics.toml:2: `info,http` is not a log level or filter: a level is one of"),
        ("[log]\nlevel = \"\"", "ics.toml:2: `` is not a log level or filter"),
        ("[log]\nlevel = \"warn,ics_node::http=debug\"", "accepted"),
        ("[ldap]\nsuffix = \"cn=x\"", "ics.toml:2: `cn=x` is no suffix: it begins with o=, ou= or dc="),
        ("\n[ldap]\nsuffix = \"o=acme\"", "ics.toml:2: [ldap] has no address: give it `listen` or `listen_tls`"),
        (secure, "ics.toml:2: LDAP over TLS needs a certificate: `tls` in the section [ldap] or in [node], tls = { c"),
        (&format!("{node}{secure}"), "ics.toml:4: LDAP over TLS needs a certificate"),
        (&format!("{secure}\n{tls}"), "accepted"),
        (&format!("{node}{tls}\n{secure}"), "accepted"),
        (&format!("{node}pages = {{ per_minute = 0 }}"), "ics.toml:3: per_minute takes 1 to 60000 pages, not 0"),
        (&format!("{node}pages = {{ per_minute = 60001 }}"), "ics.toml:3: per_minute takes 1 to 60000 pages, not"),
        (&format!("{node}pages = {{ per_minute = 60000 }}"), "accepted"),
        ("[alerts]\nevery_seconds = 0", "ics.toml:2: every_seconds must be at least 1, not 0"),
        ("[client]\nnode = \"ftp://x\"", "ics.toml:2: `ftp://x` is not the URL of a node"),
        ("[client]\nnode = \"http://u@x\"", "ics.toml:2: `http://…` is not the URL of a node, which has no user"),
        ("[client]\ndomain = \"A b\"", "ics.toml:2: `A b` is not a domain name"),
        ("[[peer]]\nname = \"p\"\n[[peer]]\nname = \"p\"\n", "ics.toml:3: there are two peers `p`"),
        ("[[peer]]\nname = \"a/b\"", "ics.toml:2: `a/b` is not a name for a peer"),
        ("[[peer]]\nname = \"p\"\nbytes_per_second = 0", "ics.toml:3: a budget of 0 would let nothing pass"),
        (
            "[[peer]]\nname = \"p\"\nkey = \"AAAA\"",
            "ics.toml:3: the key is refused: this is not the DER of a SubjectPublicKeyInfo",
        ),
        (&format!("{keyed}[[peer]]\nname = \"q\"\nkey = \"{key}\""), "ics.toml:4: the peer `q` has the key of another"),
        ("[[peer]]\nname = \"p\"\nmirror = [\"a.example\"]", "ics.toml:3: `a.example` is not an origin"),
        (home, "ics.toml:2: a [[home]] needs a [node] section"),
        (&format!("{node}{home}{home}"), "ics.toml:7: the domain `a.example` is configured twice"),
        (&format!("{node}{home}{}", copy("p", 0)), "ics.toml:6: the domain `a.example` is configured twice"),
        (&format!("{}{}", copy("p", 0), copy("q", 1)), "ics.toml:5: the domain `a.example` is configured twice"),
        (&format!("{}{}", copy("p", 0), copy("q", 0)), "accepted"),
        (&copy("p", 0).replace("url = \"http://x\"", ""), "accepted"),
        (&format!("{}direction = \"serve\"", copy("p", 0)), "ics.toml:1: the peer `p` is only served"),
        (
            &format!("{}interval_ms = 0", copy("p", 0)),
            "ics.toml:5: interval_ms takes 50 to 86400000 milliseconds, not 0",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.starts_with(expected), "{text}\n  gave: {refusal}\n  not:  {expected}");
    }
}

/// A setting for one part of the node must never silence errors elsewhere.
#[test]
fn what_no_filter_speaks_of_is_logged_from_info_on() {
    for (level, expected) in [
        ("off", LevelFilter::OFF),
        ("warn", LevelFilter::WARN),
        ("error,ics_node::http=debug", LevelFilter::ERROR),
        ("ics_node::http=debug", LevelFilter::INFO),
    ] {
        let text = format!("[log]\nlevel = \"{level}\"");
        let config = Config::parse(&text, Path::new("ics.toml")).expect("a configuration");
        assert_eq!(config.log.level.default_level(), Some(expected), "{level}");
    }
}

/// Chat services put their secret into the path or the query.
#[test]
fn a_webhook_takes_a_secret_and_shows_none() {
    let nowhere = ["s3cret", "//s3cret", "ftp://u:s3cret@h/", "https://h:s3cret/"];
    for webhook in nowhere.into_iter().chain(["https://u:s3cret@h/#a", "https://h/?s3cret#"]) {
        let refusal = refusal(&format!("[alerts]\nwebhook = \"{webhook}\""));
        assert!(refusal.starts_with("ics.toml:2: the webhook "), "{webhook}: {refusal}");
        assert!(!refusal.contains("s3cret"), "{webhook}: {refusal}");
    }
    for webhook in ["https://chat.example/s3cret", "https://chat.example/?token=s3cret", "http://u:s3cret@h:8080/"] {
        let text = format!("[alerts]\nwebhook = \"{webhook}\"");
        let config = Config::parse(&text, Path::new("ics.toml")).expect(webhook);
        assert!(!format!("{config:?}").contains("s3cret") && config.may_hold_secret(), "{config:?}");
        let taken = config.alerts.webhook.expect("there");
        assert!(!taken.to_string().contains("s3cret"), "{taken}");
        assert_eq!(taken.secret().as_str(), webhook);
    }
    let bare = "[alerts]\nwebhook = \"https://alerts.acme.example\"";
    assert!(!Config::parse(bare, Path::new("ics.toml")).expect("a host").may_hold_secret());
}

#[test]
fn a_refused_address_of_a_node_shows_no_secret() {
    let schemes = ["http", "ldaps", "ftp"];
    let rests =
        ["u:s3cret@x", "s3cret@x:y", "x?t=s3cret", "x/?a@b&t=s3cret", "u:s3/cret@x", "u:s3?cret@x", "x/#s3cret"];
    for (scheme, rest) in schemes.iter().flat_map(|scheme| rests.map(|rest| (scheme, rest))) {
        for member in ["[client]\nnode", "[[peer]]\nname = \"p\"\nurl"] {
            let refusal = refusal(&format!("{member} = \"{scheme}://{rest}\""));
            assert!(refusal.contains(&format!("`{scheme}://")) && refusal.contains("…` is not"), "{refusal}");
            assert!(!["s3", "cret"].iter().any(|part| refusal.contains(part)), "{rest}: {refusal}");
        }
    }
}

#[test]
fn a_missing_file_is_told_apart_from_a_bad_one() {
    let home = tempfile::tempdir().expect("directory");
    assert!(matches!(Config::load(home.path()), Err(ConfigError::Missing(_))));
    assert_eq!(Config::load_or_default(home.path()).expect("defaults"), Config::default());
    std::fs::write(home.path().join(FILE_NAME), "x").expect("written");
    assert!(matches!(Config::load_or_default(home.path()), Err(ConfigError::Refused { line: 1, .. })));
    std::fs::write(home.path().join(FILE_NAME), vec![b'#'; FILE_BYTES as usize + 1]).expect("written");
    let refusal = Config::load(home.path()).expect_err("too large").to_string();
    assert!(refusal.ends_with("takes 1048576 bytes at most, this one has 1048577"), "{refusal}");
}
