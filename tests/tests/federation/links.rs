//! Five nodes on separate machines, that is, network namespaces: links are cut and mended, a node is killed, and
//! clients keep submitting. In the end everything that was acknowledged is everywhere, once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::node::{Node, eventually, ics_on};
use crate::town::{CODE, DEVICES, LABELS, PLANT, SITE};
use crate::{copies, spki};

/// Set in the process that has a network namespace of its own.
const INSIDE: &str = "ICS_TEST_IN_NAMESPACES";
const NAME: &str = "links::what_is_acknowledged_reaches_everybody_over_links_that_are_cut";
/// Machines, each with its link to the switch.
const MACHINES: [&str; 5] = ["maker", "developer", "certifier", "integrator", "infield"];
/// How long each state of the network lasts.
const WHILE: Duration = Duration::from_secs(3);

/// The receipts in each domain that are compared at least.
const ENOUGH: usize = 10;

/// The number of devices owned by the integrator.
const OWNED: u32 = 3;

#[test]
fn what_is_acknowledged_reaches_everybody_over_links_that_are_cut() {
    if std::env::var_os(INSIDE).is_some() {
        return among_machines();
    }
    let itself = std::env::current_exe().expect("this program");
    // Without root, a user namespace makes the caller root within it.
    let is_root =
        String::from_utf8(Command::new("id").arg("-u").output().expect("`id`").stdout).expect("text") == "0\n";
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
    let mut command = Command::new("unshare");
    command.args(user).args(namespaces).arg(&itself).args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().expect("`unshare` of util-linux must be installed");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in network namespaces (this takes root, or user namespaces that are allowed: \
         `sysctl kernel.unprivileged_userns_clone user.max_user_namespaces`):\n{said}"
    );
}

/// Runs a program of iproute2 or util-linux.
#[track_caller]
fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.unwrap_or_else(|e| panic!("`{program}` must be installed: {e}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn address(machine: usize) -> String {
    format!("10.77.0.{}", machine + 1)
}

/// Makes a switch, and a machine for each party with a link to it.
fn wire() {
    // `ip netns` keeps its names there.
    run("mount", "-t tmpfs none /run");
    run("ip", "link set lo up");
    run("ip", "link add switch type bridge");
    run("ip", "address add 10.77.0.254/24 dev switch");
    run("ip", "link set switch up");
    for (number, machine) in MACHINES.iter().enumerate() {
        run("ip", &format!("netns add {machine}"));
        run("ip", &format!("link add to-{machine} type veth peer name eth0 netns {machine}"));
        run("ip", &format!("link set to-{machine} master switch up"));
        run("ip", &format!("-n {machine} address add {}/24 dev eth0", address(number)));
        run("ip", &format!("-n {machine} link set eth0 up"));
        run("ip", &format!("-n {machine} link set lo up"));
    }
}

/// Cuts the link of a machine to all others, or mends it.
fn link(machine: &str, state: &str) {
    run("ip", &format!("link set to-{machine} {state}"));
}

/// Blocks everything from one machine to another, or unblocks it.
fn way(from: &str, what: &str, to: usize) {
    run("ip", &format!("-n {from} route {what} blackhole {}/32", address(to)));
}

/// The receipts of clients, each with its domain.
type Ledger = Mutex<Vec<(&'static str, Value)>>;

fn among_machines() {
    wire();
    let homes = tempfile::tempdir().expect("a directory");
    let mut nodes = five_nodes(homes.path());
    let (ledger, said, over) = (Ledger::default(), AtomicUsize::new(0), AtomicBool::new(false));
    let (maker, developer, integrator) = (nodes[0].home.clone(), nodes[1].home.clone(), nodes[3].home.clone());
    std::thread::scope(|scope| {
        for client in 0..2 {
            let (maker, ledger, over) = (&maker, &ledger, &over);
            scope.spawn(move || publishes_devices(maker, client, ledger, over));
        }
        scope.spawn(|| publishes_code(&developer, &ledger, &over));
        let owner = scope.spawn(|| says_as_an_owner(&integrator, &said, &over));
        let healed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cut_and_heal(&mut nodes);
            // However slow the machine is, there is something to compare.
            let receipts = |of: &str| ledger.lock().expect("a lock").iter().filter(|(domain, _)| *domain == of).count();
            let is_enough = || [DEVICES, CODE].into_iter().all(|domain| receipts(domain) >= ENOUGH);
            eventually("all have said enough", || (is_enough() && said.load(Ordering::SeqCst) >= 5).then_some(()));
        }));
        over.store(true, Ordering::SeqCst);
        owner.join().expect("ends");
        if let Err(why) = healed {
            std::panic::resume_unwind(why);
        }
    });
    let mut ledger = ledger.into_inner().expect("a lock");
    ledger.extend(sent_at_last(&nodes[3]));
    everything_is_everywhere(&nodes, &ledger);
}

/// The maker's devices are copied by three nodes, by one of them only from the others; the developer's code by two.
fn five_nodes(homes: &Path) -> Vec<Node> {
    let parties = [
        ("manufacturer", DEVICES),
        ("developer", CODE),
        ("certification", LABELS),
        ("maintenance", PLANT),
        ("infield", SITE),
    ];
    let init = |(number, (role, domain)): (usize, (&str, &'static str))| {
        Node::init_on(Some(MACHINES[number]), homes, role, domain, &format!("{}:8470", address(number)))
    };
    let mut nodes: Vec<Node> = parties.into_iter().enumerate().map(init).collect();
    nodes.iter_mut().for_each(Node::serve);
    for (copy, domain, sources) in
        [(2, DEVICES, [0, 3]), (3, DEVICES, [0, 2]), (4, DEVICES, [3, 2]), (3, CODE, [1, 4]), (4, CODE, [3, 1])]
    {
        // A peer may be configured for a domain before it holds that domain.
        let home = &nodes[if domain == DEVICES { 0 } else { 1 }];
        let origin = home.holds(domain).expect("its own domain")["origin"].as_str().expect("an origin").to_owned();
        for source in sources {
            let (url, name) = (nodes[source].url.clone(), MACHINES[source]);
            nodes[copy].ics(&["peer", "add", name, &origin, "--url", &url, "--interval-ms", "100", "--yes"]).ok();
        }
    }
    for number in 0..OWNED {
        let (key, thing) = (spki(900 + number), format!("OWNED-{number}"));
        nodes[0].json(&["publish", "--spki", &key, "--serial", &thing]);
        nodes[0].json(&["grant", "owner", &format!("serial:{thing}"), "--to", &nodes[3].signer(), "--yes"]);
    }
    nodes[3].catches_up(&nodes[0], DEVICES);
    nodes
}

fn cut_and_heal(nodes: &mut [Node]) {
    std::thread::sleep(WHILE);
    link("maker", "down");
    std::thread::sleep(WHILE);
    // The developer's node dies while the maker cannot be reached.
    nodes[1].kill();
    way("infield", "add", 3);
    std::thread::sleep(WHILE);
    eventually("something waits for the link", || waits(&nodes[3].json(&["outbox"])).then_some(()));
    link("maker", "up");
    nodes[1].serve();
    link("certifier", "down");
    std::thread::sleep(WHILE);
    way("infield", "del", 3);
    link("integrator", "down");
    std::thread::sleep(WHILE);
    link("certifier", "up");
    link("integrator", "up");
    std::thread::sleep(WHILE);
}

/// Publishes until time is up; what a dead node does not acknowledge is submitted again.
fn publishes_devices(home: &Path, client: u32, ledger: &Ledger, over: &AtomicBool) {
    for number in 0.. {
        let (key, serial) = (spki(10_000 * (client + 1) + number), format!("C{client}-{number}"));
        insists(MACHINES[0], home, &["--json", "publish", "--spki", &key, "--serial", &serial], DEVICES, ledger, over);
        if over.load(Ordering::SeqCst) {
            return;
        }
    }
}

fn publishes_code(home: &Path, ledger: &Ledger, over: &AtomicBool) {
    for number in 0.. {
        let file = home.join("code.bin");
        std::fs::write(&file, format!("version {number}")).expect("written");
        let (file, version) = (file.to_str().expect("text").to_owned(), number.to_string());
        let arguments = ["--json", "publish", "--file", &file, "--name", "code", "--version", &version];
        insists(MACHINES[1], home, &arguments, CODE, ledger, over);
        if over.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Makes a statement until it is acknowledged or time is up. If it got through and only its receipt was lost, a second
/// attempt gets the receipt.
fn insists(machine: &str, home: &Path, arguments: &[&str], domain: &'static str, ledger: &Ledger, over: &AtomicBool) {
    loop {
        let ran = ics_on(Some(machine), home, arguments);
        if ran.code == 0 {
            let receipt = ran.json()["receipt"].clone();
            assert!(receipt["index"].is_u64(), "a receipt: {receipt}");
            return ledger.lock().expect("a lock").push((domain, receipt));
        }
        assert_eq!(ran.code, 4, "nothing but that the node cannot be reached: {}", ran.stderr);
        if over.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// The owner speaks in the maker's domain through their own node, whether or not the maker can be reached; counts how
/// often.
fn says_as_an_owner(home: &Path, count: &AtomicUsize, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let said = count.load(Ordering::SeqCst);
        let (thing, status) = (format!("serial:OWNED-{}", said % OWNED as usize), ["in-use", "lost"][said % 2]);
        let arguments = ["--json", "status", status, &thing, "--domain", DEVICES, "--role", "owner", "--yes"];
        let made = ics_on(Some(MACHINES[3]), home, &arguments).json();
        assert!(made[0]["index"].is_u64() || made[0]["pending"].is_object(), "{made}");
        count.store(said + 1, Ordering::SeqCst);
    }
}

/// Whether a statement waits for the home of its domain.
fn waits(outbox: &Value) -> bool {
    outbox.as_array().expect("items").iter().any(|item| item["pending"].is_object())
}

/// The receipts of statements that had to wait.
fn sent_at_last(integrator: &Node) -> Vec<(&'static str, Value)> {
    let items = eventually("nothing waits", || {
        let items = integrator.json(&["outbox"]);
        (!waits(&items)).then_some(items)
    });
    let items = items.as_array().expect("items").clone();
    assert!(!items.is_empty(), "something had to wait for a link");
    let receipt = |item: Value| {
        assert!(item["receipt"]["index"].is_u64(), "{item}");
        (DEVICES, item["receipt"].clone())
    };
    items.into_iter().map(receipt).collect()
}

fn everything_is_everywhere(nodes: &[Node], ledger: &[(&'static str, Value)]) {
    for (domain, home, readers) in [(DEVICES, 0, [2, 3, 4].as_slice()), (CODE, 1, [3, 4].as_slice())] {
        let receipts: Vec<&Value> = ledger.iter().filter(|(of, _)| *of == domain).map(|(_, receipt)| receipt).collect();
        let indices: BTreeSet<u64> = receipts.iter().filter_map(|receipt| receipt["index"].as_u64()).collect();
        assert_eq!(indices.len(), receipts.len(), "each has an index of its own");
        assert!(receipts.len() >= ENOUGH, "{} receipts of {domain}", receipts.len());
        let (size, root) = copies::checkpoint(&nodes[home], domain);
        let leaves = copies::leaves(&nodes[home], domain, size);
        assert_eq!(copies::root(&leaves), root, "{domain}");
        receipts.iter().for_each(|receipt| copies::holds(&nodes[home], domain, &leaves, receipt));
        let all = bodies(&nodes[home], domain);
        assert_eq!(all.len() as u64, size, "nothing of {domain} stands there twice");
        for reader in readers.iter().map(|reader| &nodes[*reader]) {
            let same = || (copies::checkpoint(reader, domain) == (size, root)).then_some(());
            eventually(&format!("{} has the root of {domain}", reader.url), same);
            assert_eq!(bodies(reader, domain), all, "{domain} at {}", reader.url);
            assert_eq!(reader.holds(domain).expect("held")["alarms"], serde_json::json!([]), "{}", reader.url);
            receipts.iter().step_by(10).for_each(|receipt| copies::holds(reader, domain, &leaves, receipt));
        }
        println!("{domain}: {} receipts, {size} entries, the same at {} readers", receipts.len(), readers.len());
    }
}

/// The bodies of a log, all of which must be there.
fn bodies(node: &Node, domain: &str) -> BTreeSet<String> {
    let mut bodies = BTreeSet::new();
    let mut from = 0;
    loop {
        let page = node.get(&format!("/v1/domains/{domain}/entries?from={from}&limit=1000"));
        let entries = page["entries"].as_array().expect("entries");
        if entries.is_empty() {
            return bodies;
        }
        from += entries.len();
        bodies.extend(entries.iter().map(|entry| entry["body"].as_str().expect("a whole entry").to_owned()));
    }
}
