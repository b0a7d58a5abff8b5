//! Relying parties that know nothing of statements: nginx with lists, or with OCSP at each connection; mosquitto with
//! lists, since about its clients it asks no OCSP.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ics_tests::port::Port;

use crate::node::Node;
use crate::revocation::{issued, lift, list, suspend};
use crate::tools::Bench;
use crate::world::World;

/// A server's certificate for localhost, and the chain by which devices are trusted.
fn files(bench: &Bench) {
    bench.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout server.key -out server.pem",
    );
    let chain = [bench.read("issuer.pem"), bench.read("root.pem")].concat();
    bench.file("chain.pem", &chain);
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Nginx {
    process: Child,
    _port: Port,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// Connects as the device; returns the status that curl got from nginx.
fn knock(bench: &Bench, port: u16) -> String {
    let url = format!("https://localhost:{port}/");
    let says = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    let shows = ["--cacert", "server.pem", "--cert", "device.pem", "--key", "device.key", &url];
    let output = bench.run("curl", &[&says[..], &shows].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes all lists of the issuer, and the root's, to the file that nginx reads.
fn lists(world: &World, bench: &Bench) {
    let mut all = String::new();
    for shard in 0..4 {
        list(world, bench, shard);
        all += &String::from_utf8_lossy(&bench.read("device.crl"));
    }
    bench.file("root.crl.der", &world.root_list());
    bench.openssl("crl -inform DER -in root.crl.der -out root.crl");
    all += &String::from_utf8_lossy(&bench.read("root.crl"));
    bench.file("all.crl", all.as_bytes());
}

/// Starts nginx, which admits clients whose certificates pass `checks`.
fn nginx(bench: &Bench, checks: &str) -> (Nginx, u16) {
    let (held, here) = (Port::take().expect("a port"), bench.path().display());
    let port = held.number();
    bench.file("nginx.conf", format!("
daemon off; pid {here}/nginx.pid; error_log {here}/error.log; events {{}}
http {{
  access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {here}/server.pem; ssl_certificate_key {here}/server.key;
    ssl_client_certificate {here}/chain.pem; ssl_verify_client on; ssl_verify_depth 3;
    {checks}
    location / {{ return 204; }}
  }}
}}").as_bytes());
    let mut command = Command::new("nginx");
    command.args(["-p", &here.to_string(), "-c", "nginx.conf"]).stdout(Stdio::null()).stderr(Stdio::null());
    let nginx = Nginx { process: command.spawn().expect("nginx starts"), _port: held };
    until("nginx lets it in", || knock(bench, port) == "204");
    (nginx, port)
}

#[test]
fn nginx_turns_away_what_is_suspended() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    lists(&world, &bench);
    files(&bench);
    let (nginx, port) = nginx(&bench, &format!("ssl_crl {}/all.crl;", bench.path().display()));
    let reads_lists = || {
        lists(&world, &bench);
        bench.ok("kill", &["-HUP", &nginx.process.id().to_string()]);
    };
    let suspended = suspend(&world);
    reads_lists();
    until("nginx turns it away", || knock(&bench, port) == "400");
    lift(&world, &suspended);
    reads_lists();
    until("nginx lets it in again", || knock(&bench, port) == "204");
}

#[test]
fn nginx_asks_ocsp_and_needs_no_signal() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    files(&bench);
    let node = Node::start(&world.app);
    let (_nginx, port) = nginx(&bench, &format!("ssl_ocsp leaf; ssl_ocsp_responder {};", node.x509("ocsp")));
    let suspended = suspend(&world);
    assert_eq!(knock(&bench, port), "400", "at the next connection");
    lift(&world, &suspended);
    assert_eq!(knock(&bench, port), "204", "at the next connection");
}

struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the broker accepts a message from the device.
fn publishes(bench: &Bench, port: u16) -> bool {
    let port = port.to_string();
    let connection = ["-h", "localhost", "-p", &port, "--cafile", "server.pem", "--cert", "device.pem"];
    let message = ["--key", "device.key", "-t", "flow", "-m", "1"];
    bench.run("mosquitto_pub", &[&connection[..], &message].concat()).status.success()
}

#[test]
fn mosquitto_turns_away_what_stands_on_a_list() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    files(&bench);
    lists(&world, &bench);
    let (held, here) = (Port::take().expect("a port"), bench.path().display());
    let port = held.number();
    let configuration = format!(
        "user root\nlistener {port} 127.0.0.1\ncafile {here}/chain.pem\ncertfile {here}/server.pem\nkeyfile {here}/server.key\n\
         crlfile {here}/all.crl\nrequire_certificate true\nallow_anonymous true\n"
    );
    bench.file("mosquitto.conf", configuration.as_bytes());
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(bench.path().join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
    let broker = Mosquitto(command.spawn().expect("mosquitto starts"));
    // mosquitto reads its list again on this signal, and at no other time.
    let reads_again = || {
        lists(&world, &bench);
        bench.ok("kill", &["-HUP", &broker.0.id().to_string()])
    };
    until("the broker takes its message", || publishes(&bench, port));
    let suspended = suspend(&world);
    reads_again();
    until("the broker turns it away", || !publishes(&bench, port));
    lift(&world, &suspended);
    reads_again();
    until("the broker takes its message again", || publishes(&bench, port));
}
