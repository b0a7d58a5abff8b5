//! The node as a process.

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::between::{stands_before, stands_in};
use crate::stage::{DOMAIN, Stage, spki};

/// Above all, a proxy must never see the operator's token.
#[test]
fn a_node_on_this_machine_is_asked_without_the_proxy_of_the_environment() {
    let mut stage = Stage::started();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let proxy = stands_before(stage.url(), move |head| {
        hears.lock().expect("a lock").push(head.to_owned());
        Err(502)
    });
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        stage.set(name, &proxy);
    }
    stage.ok(&["enroll", "list"]);
    assert_eq!(heard.lock().expect("a lock").concat(), "");
    let elsewhere = stage.run(&["lookup", "serial:SN-1", "--node", "http://ics.acme.example"]);
    assert_ne!(elsewhere.code, 0, "{elsewhere:?}");
    let heard = heard.lock().expect("a lock").concat();
    assert!(heard.starts_with("GET http://ics.acme.example/v1/"), "who is elsewhere is asked by it: {heard}");
}

/// A small machine has no root certificates, and over plain HTTP nobody presents a certificate.
#[test]
fn without_authorities_a_node_is_asked_by_plain_http_and_tells_its_receiver() {
    let mut stage = Stage::new();
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        stage.set(name, "/nonexistent");
    }
    let done = |stage: &Stage, words: &[&str]| {
        let ended = stage.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
    };
    for key in ["root", "issuer"] {
        done(&stage, &["key", "make", key, "--algorithm", "p256"]);
    }
    done(&stage, &["ca", "root", "--name", "Acme Root", "--out", "root.pem"]);
    done(&stage, &["ca", "request", "--name", "Acme Issuing", "--out", "issuer.csr"]);
    // So that there is an expiry to be alerted about.
    done(&stage, &["ca", "sign", "issuer.csr", "--certificate", "root.pem", "--days", "2", "--out", "issuer.pem"]);
    let path = stage.path("home/ics.toml");
    let configure = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
    };
    configure("[node]", "[node]\nissuers = [\"issuer\"]");
    stage.start();
    let url = format!("{}/x509/{DOMAIN}", stage.url());
    done(&stage, &["ca", "import", "issuer.pem", "--chain", "root.pem", "--url", &url]);
    done(&stage, &["domain", "submit"]);
    stage.kill();

    let (sender, told) = mpsc::channel();
    let receiver = stands_in(move |head| {
        sender.send(head.to_owned()).unwrap_or_default();
        "{}".to_owned()
    });
    configure("[node]", &format!("[alerts]\nwebhook = \"{receiver}/hook\"\nevery_seconds = 1\n\n[node]"));
    stage.start();
    let request = told.recv_timeout(Duration::from_secs(30)).expect("the authority ends");
    assert!(request.starts_with("POST /hook "), "{request}");
}

/// podman passes its proxy settings on to each container.
#[test]
fn the_health_check_of_a_container_asks_the_node_and_no_proxy() {
    let recipe = include_str!("../../packaging/Containerfile");
    let check = recipe.lines().find_map(|line| line.trim().strip_prefix("CMD ")).expect("a check");
    let stage = Stage::started();
    let check = check.replace("http://127.0.0.1:8470", stage.url());
    let mut command = Command::new("sh");
    command.args(["-c", &check]).env("http_proxy", "http://127.0.0.1:9").stderr(Stdio::null()).stdout(Stdio::null());
    // The node first makes its answers ready.
    let is_ready = (0..600).any(|_| {
        let is_ready = command.status().expect("a shell").success();
        is_ready || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    assert!(is_ready, "{check}");
}

/// An error about a missing key or file says which setting names it.
#[test]
fn what_the_configuration_names_and_is_not_there_is_told_with_its_member() {
    let stage = Stage::new();
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let descriptor = format!("domains/{DOMAIN}.v1.pgp");
    for (from, to, member) in [
        ("[node]\n", "[node]\nissuers = [\"isuer\"]\n", "`[node] issuers`"),
        ("\"operator-token\"", "\"t/nix\"", "`[node] operator_token_file`"),
        ("[client]\n", "[trust]\npolicy = \"t/nix\"\n[client]\n", "`[trust] policy`"),
        ("domains/", "t/", "`[[home]] descriptor`"),
        (&descriptor, "ics.toml", "`[[home]] descriptor`"),
        ("[node]\n", "[node]\ndata = \"ics.toml/data\"\n", "`[node] data`"),
        ("[node]\n", "[node]\ntls = { certificate = \"t/nix\", key = \"t/nix\" }\n", "`[node] tls`"),
        ("[[home]]\ndomain = \"", "[[home]]\ndomain = \"other.", "`[[home]] domain`"),
    ] {
        stage.write("home/ics.toml", good.replace(from, to));
        let ended = stage.run(&["serve"]);
        assert!(ended.code == 5 && ended.stderr.contains(member), "{member}: {ended:?}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_its_member() {
    let stage = Stage::new();
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let other = TcpListener::bind("127.0.0.1:0").expect("free");
    let taken = other.local_addr().expect("bound");
    for (member, to) in [
        ("`[node] listen`", good.replace("127.0.0.1:0", &taken.to_string())),
        ("`[node] metrics`", good.replace("[node]\n", &format!("[node]\nmetrics = \"{taken}\"\n"))),
        ("`[node] socket`", good.replace("[node]\n", "[node]\nsocket = { path = \"t/nix/s\" }\n")),
        ("`[ldap] listen`", format!("{good}\n[ldap]\nlisten = \"{taken}\"\n")),
    ] {
        assert_ne!(to, good);
        stage.write("home/ics.toml", to);
        let ended = stage.run(&["serve"]);
        assert!(ended.code == 5 && ended.stderr.contains(member), "{member}: {ended:?}");
    }
}

/// The webhook addresses of chat services contain a secret.
#[test]
fn a_configuration_that_others_may_read_is_told_of_where_a_secret_may_be_in_it() {
    let stage = Stage::new();
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    // The node ends before it listens, and its log up to then can be read.
    let ends = good.replace("[client]\n", "[trust]\npolicy = \"t/nix\"\n[client]\n");
    for (webhook, mode, is_told) in [
        ("https://chat.example/?token=s3cret", 0o640, true),
        ("https://u:s3cret@chat.example", 0o604, true),
        ("https://chat.example/s3cret", 0o644, true),
        ("https://chat.example/s3cret", 0o600, false),
        ("https://alerts.acme.example", 0o644, false),
    ] {
        let path = stage.write("home/ics.toml", format!("{ends}\n[alerts]\nwebhook = \"{webhook}\"\n"));
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
        let ended = stage.run(&["serve"]);
        assert_eq!(ended.code, 5, "{ended:?}");
        assert_eq!(ended.stderr.contains("others may read this file"), is_told, "{webhook} {mode:o}: {ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

/// The token confers all the rights of the operator.
#[test]
fn a_token_that_everybody_may_read_is_told_of() {
    let stage = Stage::new();
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    // The node ends before it listens, and its log up to then can be read.
    stage.write("home/ics.toml", good.replace("[client]\n", "[trust]\npolicy = \"t/nix\"\n[client]\n"));
    for (mode, is_told) in [(0o600, false), (0o640, false), (0o644, true)] {
        std::fs::set_permissions(stage.path("home/operator-token"), Permissions::from_mode(mode)).expect("set");
        let ended = stage.run(&["serve"]);
        let is_said = ended.stderr.contains("everybody on this machine can read the operator's token");
        assert_eq!(is_said, is_told, "{mode:o}: {ended:?}");
    }
}

/// Copies expect a home under the name in the descriptor; under another they would silently get no news.
#[test]
fn a_node_that_was_renamed_does_not_start_and_says_how_it_may() {
    let mut stage = Stage::started();
    stage.kill();
    let path = stage.path("home/ics.toml");
    let good = std::fs::read_to_string(&path).expect("read");
    let renamed = good.replace("\nname = \"ics.devices.acme.example\"", "\nname = \"pki7.acme.example\"");
    assert_ne!(renamed, good);
    std::fs::write(&path, renamed).expect("written");
    let refused = stage.run(&["serve"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    for part in ["names its home `ics.devices.acme.example`", "`pki7.acme.example`", "ics domain update --from-file"] {
        // After what the node has logged by then.
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    std::fs::write(&path, good).expect("written");
    stage.start();
}

/// Whoever removes a domain from the configuration believes that it is closed.
#[test]
fn a_home_that_the_configuration_no_longer_names_takes_nothing_and_signs_nothing() {
    let mut stage = Stage::started();
    let publish = |stage: &Stage, number: u64| {
        stage.run(&["publish", "--spki", &spki(number), "--serial", &format!("SN-{number}")])
    };
    assert_eq!(publish(&stage, 1).code, 0);
    let as_of = |stage: &Stage| stage.ok(&["lookup", "serial:SN-1"])["records"][0]["as_of"]["time"].clone();
    let before = as_of(&stage);
    stage.kill();
    let text = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let home = format!("[[home]]\ndomain = \"{DOMAIN}\"\ndescriptor = \"domains/{DOMAIN}.v1.pgp\"\n");
    assert!(text.contains(&home), "{text}");
    stage.write("home/ics.toml", text.replace(&home, ""));
    std::thread::sleep(Duration::from_millis(1_100));
    stage.start();
    assert_eq!(as_of(&stage), before, "nobody says that there is nothing newer");
    let refused = publish(&stage, 2);
    assert!(refused.code != 0 && refused.failure().0.contains("no `[[home]]`"), "{refused:?}");
    assert_eq!(as_of(&stage), before, "nor a moment later");

    stage.kill();
    let text = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    stage.write("home/ics.toml", format!("{text}\n{home}"));
    stage.start();
    // It signs the time a moment after it has begun to answer.
    let is_newer = (0..600).any(|_| {
        let is_newer = as_of(&stage) != before;
        is_newer || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    assert!(is_newer, "{before}");
    assert_eq!(publish(&stage, 2).code, 0, "it goes on");
}

/// With huge pages a small node takes three times the memory that it fills; a large one answers look-ups faster with
/// them.
#[test]
#[cfg(target_os = "linux")]
fn a_small_node_takes_memory_in_small_pages_and_a_large_one_in_huge_ones() {
    for (memory_mib, huge) in [(256, false), (512, true)] {
        let stage = node_of(memory_mib);
        assert_eq!(may_have_huge_pages(stage.process()), huge, "{memory_mib}");
        // Two may exist before the program can prevent them.
        let held = huge_kib(stage.process());
        assert!(huge || held <= 4_096, "{memory_mib}: {held} KiB in huge pages");
    }
    // Child processes inherit the ban.
    rustix::thread::disable_transparent_huge_pages(true).expect("forbidden");
    let stage = node_of(512);
    rustix::thread::disable_transparent_huge_pages(false).expect("allowed");
    assert!(!may_have_huge_pages(stage.process()), "what was forbidden to it a node does not allow itself");
}

/// A running node with this much memory for answers.
#[cfg(target_os = "linux")]
fn node_of(memory_mib: u32) -> Stage {
    let mut stage = Stage::new();
    let path = stage.path("home/ics.toml");
    let config = std::fs::read_to_string(&path).expect("read");
    let sized = config.replace("[node]", &format!("[node]\nmemory_mib = {memory_mib}"));
    assert_ne!(sized, config);
    std::fs::write(path, sized).expect("written");
    stage.start();
    stage
}

#[cfg(target_os = "linux")]
fn may_have_huge_pages(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    assert!(status.contains("THP_enabled:"), "{status}");
    status.contains("THP_enabled:\t1")
}

/// The memory of a process in huge pages, in KiB.
#[cfg(target_os = "linux")]
fn huge_kib(process: u32) -> u32 {
    let smaps = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("its memory");
    let line = smaps.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A shell allows a program 1,024 open files, of which each connection is one, and more if it asks.
#[test]
#[cfg(target_os = "linux")]
fn a_node_has_as_many_files_as_it_may() {
    let stage = Stage::new();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=512:2048", env!("CARGO_BIN_EXE_ics"), "--json", "--home"]).arg(stage.path("home"));
    command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut node = command.spawn().expect("prlimit is there");
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.id())).expect("its limits");
    node.kill().expect("killed");
    node.wait().expect("gone");
    assert!(line.contains("listening"), "{line}");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line of it");
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["2048", "2048", "files"]);
}

/// If checking a large index is cut off after 90 s, it starts again at each start and never ends.
#[test]
fn a_service_manager_lets_a_start_take_its_time() {
    let unit = include_str!("../../packaging/ics.service");
    assert!(unit.contains("\nTimeoutStartSec=infinity\n"), "systemd's own bound would hold");
}

/// This is how one examines the flash memory of a gateway that was brought back.
#[test]
fn a_store_on_a_disk_that_is_mounted_read_only_is_checked() {
    let mut stage = Stage::started();
    let looked_through = |stage: &Stage, entries: &Value| {
        let checked = stage.run_on_a_read_only_disk(&["fsck"]);
        assert_eq!((checked.code, &checked.json()["entries"]), (0, entries), "{checked:?}");
    };
    stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    let entries = Value::from(stage.size("serial:SN-1"));
    let node = stage.process().to_string();
    assert!(Command::new("kill").arg(&node).status().expect("kill runs").success());
    let beside = ["ics.db-wal", "index.db-wal", "acme.db-wal"].map(|name| stage.path("home/data").join(name));
    let is_closed = (0..600).any(|_| {
        let is_closed = beside.iter().all(|wal| !wal.exists());
        is_closed || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    assert!(is_closed, "what was committed is in the databases themselves");
    stage.kill();
    looked_through(&stage, &entries);

    // The state after a power cut.
    stage.start();
    stage.kill();
    looked_through(&stage, &entries);
}

/// On a full disk a node does not start; nobody should have to start it by hand once there is room.
#[test]
fn a_service_manager_goes_on_starting_a_node_whose_disk_is_full() {
    let unit = include_str!("../../packaging/ics.service");
    let (general, service) = unit.split_once("[Service]").expect("two sections");
    assert!(general.contains("\nStartLimitIntervalSec=0\n"), "it would give up");
    assert!(service.contains("\nRestart=on-failure\n"));
}

/// A full disk may have room again; a misspelt setting stays misspelt, and a unit that starts again and again never
/// counts as failed.
#[test]
fn a_service_manager_does_not_start_again_what_only_a_person_can_correct() {
    let stage = Stage::new();
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let without_node = "[client]\ndomain = \"devices.acme.example\"\n";
    for (text, message) in
        [(good.replace("[node]", "[nod]"), "unknown field `nod`"), (without_node.to_owned(), "has no section [node]")]
    {
        stage.write("home/ics.toml", text);
        let ended = stage.run(&["serve"]);
        assert!(ended.code == 78 && ended.failure().0.contains(message), "{message}: {ended:?}");
    }
    for (unit, expected) in [
        (include_str!("../../packaging/ics.service"), "\nRestartPreventExitStatus=2 6 78\n"),
        (include_str!("../../packaging/ics-mosquitto.service"), "\nRestartPreventExitStatus=2 78\n"),
    ] {
        assert!(unit.contains(expected), "{unit}");
    }
}

/// Whatever is kept from the node is kept from its agent as well, and the package includes the agent's unit.
#[test]
fn the_agent_of_a_broker_is_a_service_as_hardened_as_the_node() {
    let (node, agent) =
        (include_str!("../../packaging/ics.service"), include_str!("../../packaging/ics-mosquitto.service"));
    let walls = node.lines().skip_while(|line| *line != "LimitCORE=1").take_while(|line| *line != "[Install]");
    let walls: Vec<_> = walls.filter(|line| line.contains('=')).collect();
    assert!(walls.len() > 20, "{walls:?}");
    for wall in walls {
        assert!(agent.lines().any(|line| line == wall), "{wall}");
    }
    let asset = "[\"packaging/ics-mosquitto.service\", \"usr/lib/systemd/system/\", \"644\"]";
    assert!(include_str!("../../Cargo.toml").contains(asset));

    // The program accepts the command line of the unit; only the password is missing.
    let start = agent.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/ics --home /var/lib/ics "));
    let start = start.expect("what it starts").replace("${AGENT_USER}", "ics-agent-3f9a").replace("%d", "credentials");
    let words: Vec<&str> = start.split(' ').filter(|word| *word != "$AGENT_OPTIONS").collect();
    let ended = Stage::new().run(&words);
    assert!(ended.code == 5 && ended.failure().0.contains("credentials/ics-mosquitto-password"), "{ended:?}");
}

/// Reading a passphrase, unlocking keys and opening a store take time.
#[test]
fn a_reload_before_the_node_is_ready_does_not_end_it() {
    let stage = Stage::new();
    let pipe = stage.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
    command.arg("--home").arg(stage.path("home")).arg("--json").arg("--passphrase-file").arg(&pipe).arg("serve");
    let mut node = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    // This returns once the node has opened the other end.
    let mut passphrase = File::options().write(true).open(&pipe).expect("opened");
    assert!(Command::new("kill").args(["-HUP", &node.id().to_string()]).status().expect("kill runs").success());
    let text = std::fs::read(stage.path("home/passphrase")).expect("read");
    passphrase.write_all(&text).expect("the node reads it");
    drop(passphrase);
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    let ended = node.kill();
    node.wait().expect("gone");
    assert!(line.contains("listening"), "it has ended: {line:?}, {ended:?}");
}

#[test]
fn what_a_signal_does_is_told_in_the_log() {
    let stage = Stage::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
    command.arg("--home").arg(stage.path("home")).arg("serve").stdin(Stdio::null());
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    let (log, (send, lines)) = (BufReader::new(node.stderr.take().expect("piped")), mpsc::channel());
    std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let told = || core::iter::from_fn(|| lines.recv_timeout(Duration::from_secs(30)).ok());
    for (signal, expected) in [("-HUP", "needs a restart"), ("-TERM", "was told to stop")] {
        assert!(Command::new("kill").args([signal, &node.id().to_string()]).status().expect("kill runs").success());
        assert!(told().any(|line| line.contains(expected)), "{signal}");
    }
    assert!(node.wait().expect("ends").success());
}

/// Opening a large store takes long, and nobody should have to guess whether it has heard them.
#[test]
fn a_node_that_is_still_starting_hears_that_it_is_to_stop() {
    let stage = Stage::new();
    let pipe = stage.path("home/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let good = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    stage.write("home/ics.toml", good.replace("[client]\n", "[trust]\npolicy = \"pipe\"\n[client]\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
    command.arg("--home").arg(stage.path("home")).arg("serve").stdin(Stdio::null()).stdout(Stdio::null());
    let mut node = command.stderr(Stdio::piped()).spawn().expect("started");
    let (log, (send, lines)) = (BufReader::new(node.stderr.take().expect("piped")), mpsc::channel());
    std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let told = || core::iter::from_fn(|| lines.recv_timeout(Duration::from_secs(30)).ok());
    // This returns once the node has opened the other end, and until it is closed the start goes no further.
    let start = File::options().write(true).open(&pipe).expect("opened");
    let id = node.id().to_string();
    let tell = || assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let since = Instant::now();
    tell();
    assert!(told().any(|line| line.contains("was told to stop")));
    // Some tell it twice at once, as timeout(1) does, and mean it once.
    tell();
    let is_at_once = since.elapsed() < Duration::from_secs(1);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!is_at_once || node.try_wait().expect("asked").is_none(), "it still starts");
    let ended = (0..600).find_map(|_| {
        tell();
        std::thread::sleep(Duration::from_millis(50));
        node.try_wait().expect("asked")
    });
    assert_eq!(ended.and_then(|ended| ended.signal()), Some(9), "it waits no longer");
    assert!(told().any(|line| line.contains("was told again to stop")));
    drop(start);
}

/// So `journalctl -p warning` shows what it should, and no time stands there twice.
#[test]
fn the_journal_is_told_how_grave_each_line_is() {
    let stage = Stage::new();
    let log = File::create(stage.path("log")).expect("made");
    let found = log.metadata().expect("its numbers");
    let serve = |home: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
        command.arg("--home").arg(stage.path(home)).arg("serve").stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
        command.stderr(log.try_clone().expect("it stays open")).spawn().expect("started")
    };
    let mut node = serve("home");
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    assert!(Command::new("kill").arg(node.id().to_string()).status().expect("kill runs").success());
    assert!(node.wait().expect("ends").success());
    assert!(!serve("nowhere").wait().expect("ends").success());
    let log = std::fs::read_to_string(stage.path("log")).expect("read");
    assert!(log.contains("<6> INFO the node was told to stop") && log.contains("<3>error: no configuration"), "{log}");
    assert!(log.lines().all(|line| ["<6>", "<4>", "<3>"].iter().any(|mark| line.starts_with(mark))), "{log}");
}
