//! The distribution's ACME clients: certbot, lego, uacme, dehydrated.

use crate::challenges::looking;
use crate::support::Server;
use crate::world::{controller, maker, owner, status};

const HOST: &str = "pump-7.acme.example";

impl Server {
    /// Has a client revoke what is revoked already, and say so in whatever words.
    fn revoked_before(&self, program: &str, arguments: &[&str]) {
        let text = self.refused(program, arguments);
        // Neither word alone: a client that finds a lock says that another instance is running already.
        assert!(text.contains("already") && text.contains("evoked"), "{program}: {text}");
    }

    /// Verifies that a chain in a file is for the host and leads to the domain's root.
    fn verify(&self, chain: &str) {
        self.bench.file("root.pem", ics_node::x509::certificate_pem(&self.world.root).as_bytes());
        let host = format!("-verify_hostname {HOST}");
        self.bench.openssl(&format!("verify -purpose sslserver {host} -CAfile root.pem -untrusted {chain} {chain}"));
    }
}

/// The arguments of certbot, in a directory of its own.
fn certbot<'a>(server: &'a Server, more: &'a [&'a str]) -> Vec<String> {
    let directory = server.bench.path().join("certbot").display().to_string();
    let mut arguments: Vec<String> = more.iter().map(|it| (*it).to_owned()).collect();
    for (option, part) in [("--config-dir", "config"), ("--work-dir", "work"), ("--logs-dir", "logs")] {
        arguments.extend([option.to_owned(), format!("{directory}/{part}")]);
    }
    arguments.extend(["--server".to_owned(), server.directory(), "-n".to_owned()]);
    arguments
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn certbot_lives_with_the_record() {
    let server = Server::start();
    let credential = server.credential(&maker());
    let register = ["register", "--agree-tos", "-m", "ops@acme.example", "--no-eff-email"];
    let eab = ["--eab-kid", &credential.kid, "--eab-hmac-key", &credential.hmac_key];
    let register = [&register[..], &eab].concat();
    server.client("certbot", &strs(&certbot(&server, &register)));
    let order = ["certonly", "--standalone", "-d", HOST, "--key-type", "ecdsa"];
    server.client("certbot", &strs(&certbot(&server, &order)));
    let live = format!("certbot/config/live/{HOST}");
    server.verify(&format!("{live}/fullchain.pem"));
    let before = server.bench.read(&format!("{live}/cert.pem"));
    server.client("certbot", &strs(&certbot(&server, &["renew", "--force-renewal", "--no-random-sleep-on-renew"])));
    server.verify(&format!("{live}/fullchain.pem"));
    assert_ne!(server.bench.read(&format!("{live}/cert.pem")), before);

    // A suspended device's certificate is not renewed until its owner lifts the suspension.
    let suspended = server.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    let renew = certbot(&server, &["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    let text = server.refused("certbot", &strs(&renew));
    assert!(text.contains("suspended"), "{text}");
    server.world.submit(vec![status(7, &owner(), "owner", "in-use", &suspended)]);
    server.client("certbot", &strs(&renew));

    let revoke = ["revoke", "--cert-name", HOST, "--reason", "superseded", "--no-delete-after-revoke"];
    server.client("certbot", &strs(&certbot(&server, &revoke)));
    // With python's version here it fails while it tells of the answer, which is in its log.
    server.refused("certbot", &strs(&certbot(&server, &revoke)));
    let log = String::from_utf8(server.bench.read("certbot/logs/letsencrypt.log")).expect("text");
    assert!(log.contains("urn:ietf:params:acme:error:alreadyRevoked"), "{log}");
    server.client("certbot", &strs(&certbot(&server, &["unregister"])));
}

#[test]
fn certbot_proves_a_host_by_http() {
    let (held, server) = looking();
    let credential = server.credential(&owner());
    let port = held.number().to_string();
    let order =
        ["certonly", "--standalone", "-d", HOST, "--http-01-port", &port, "--agree-tos", "-m", "ops@acme.example"];
    let eab = ["--no-eff-email", "--eab-kid", &credential.kid, "--eab-hmac-key", &credential.hmac_key];
    server.client("certbot", &strs(&certbot(&server, &[&order[..], &eab].concat())));
    server.verify(&format!("certbot/config/live/{HOST}/fullchain.pem"));
}

#[test]
fn lego_lives_with_the_record_and_proves_a_host_by_tls() {
    let (held, server) = looking();
    let at = held.address().to_string();
    for (mail, signer) in [("maker@acme.example", maker()), ("owner@acme.example", owner())] {
        let credential = server.credential(&signer);
        let directory = server.directory();
        let common =
            ["--server", &directory, "--path", mail, "--email", mail, "--domains", HOST, "--tls", "--tls.port", &at];
        let eab = ["--accept-tos", "--eab", "--kid", &credential.kid, "--hmac", &credential.hmac_key];
        server.client("lego", &[&common[..], &eab, &["run"]].concat());
        let chain = format!("{mail}/certificates/{HOST}.crt");
        server.verify(&chain);
        server.client("lego", &[&common[..], &eab, &["renew", "--days", "90", "--no-random-sleep"]].concat());
        server.verify(&chain);
        let revoke = [&common[..], &eab, &["revoke", "--reason", "4", "--keep"]].concat();
        server.client("lego", &revoke);
        server.revoked_before("lego", &revoke);
    }
}

#[test]
fn uacme_lives_with_the_record() {
    let server = Server::plain();
    let credential = server.credential(&maker());
    let directory = server.directory();
    let eab = format!("{}:{}", credential.kid, credential.hmac_key);
    let common = ["-v", "-y", "-a", &directory, "-c", "uacme"];
    server.client("uacme", &[&common[..], &["-e", &eab, "new", "ops@acme.example"]].concat());
    server.client("uacme", &[&common[..], &["-t", "EC", "issue", HOST]].concat());
    let chain = format!("uacme/{HOST}/cert.pem");
    server.verify(&chain);
    server.client("uacme", &[&common[..], &["-f", "-t", "EC", "issue", HOST]].concat());
    // What it has revoked it moves away.
    server.bench.file("copy.pem", &server.bench.read(&chain));
    server.client("uacme", &[&common[..], &["-r", "4", "revoke", &chain]].concat());
    server.revoked_before("uacme", &[&common[..], &["-r", "4", "revoke", "copy.pem"]].concat());
}

#[test]
fn dehydrated_lives_with_the_record() {
    let server = Server::start();
    let credential = server.credential(&maker());
    let base = server.bench.path().join("dehydrated");
    std::fs::create_dir_all(base.join("challenges")).expect("a directory");
    let config = format!(
        "CA=\"{}\"\nBASEDIR=\"{base}\"\nWELLKNOWN=\"{base}/challenges\"\nKEY_ALGO=prime256v1\nCONTACT_EMAIL=ops@acme.example\n\
         EAB_KID=\"{}\"\nEAB_HMAC_KEY=\"{}\"\nCURL_OPTS=\"--cacert {}\"\n",
        server.directory(),
        credential.kid,
        credential.hmac_key,
        server.authority().display(),
        base = base.display(),
    );
    server.bench.file("dehydrated.conf", config.as_bytes());
    let common = ["--config", "dehydrated.conf"];
    server.client("dehydrated", &[&common[..], &["--register", "--accept-terms"]].concat());
    server.client("dehydrated", &[&common[..], &["--cron", "--domain", HOST]].concat());
    let chain = format!("dehydrated/certs/{HOST}/fullchain.pem");
    server.verify(&chain);
    let before = server.bench.read(&chain);
    server.client("dehydrated", &[&common[..], &["--cron", "--force", "--domain", HOST]].concat());
    server.verify(&chain);
    assert_ne!(server.bench.read(&chain), before);
    let certificate = format!("dehydrated/certs/{HOST}/cert.pem");
    server.client("dehydrated", &[&common[..], &["--revoke", &certificate]].concat());
    server.client("dehydrated", &[&common[..], &["--account"]].concat());
}
