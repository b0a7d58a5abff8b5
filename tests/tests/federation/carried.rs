//! A gateway without a network connection: what it learns and what it says is carried by hand on a stick. Days pass,
//! and its clock has no battery.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Node, eventually};
use crate::town::{DEVICES, SITE, said};

const PUMP: &str = "serial:SN-0001";
const VALVE: &str = "serial:SN-0002";

/// Two places that have nothing in common but a directory carried from one to the other.
struct Places {
    maker: Node,
    gateway: Node,
    stick: PathBuf,
    _directory: TempDir,
}

impl Places {
    fn found() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let init = |role, domain| Node::init(directory.path(), role, domain);
        let mut places = Self {
            maker: init("manufacturer", DEVICES),
            gateway: init("infield", SITE),
            stick: directory.path().join("stick"),
            _directory: directory,
        };
        fs::create_dir(&places.stick).expect("a stick");
        let Self { maker, gateway, .. } = &mut places;
        maker.serve();
        gateway.serve();
        // What the two tell each other once, on paper: names, keys and origins. Neither knows an address.
        let added = gateway.ics(&["peer", "add", "maker", "--key", &maker.key(), &maker.origin()]).ok();
        let next = format!("`ics --home {} import --bundle`", gateway.home.display());
        assert!(added.contains(&next), "it can be copied: {added}");
        maker.ics(&["peer", "add", "gateway", "--key", &gateway.key(), &gateway.origin()]).ok();
        gateway.trusts(&["--permit", "anything-vouched", "--domain", &maker.origin(), "--fresh", "86400"]);
        gateway.restarts_at(None);
        for serial in [1, 2] {
            maker.json(&["publish", "--spki", &crate::spki(serial), "--serial", &format!("SN-000{serial}")]);
        }
        maker.json(&["status", "in-use", PUMP, VALVE, "--yes"]);
        maker.json(&["grant", "owner", PUMP, "--to", &gateway.signer(), "--yes"]);
        places
    }

    fn file(&self, name: &str) -> String {
        self.stick.join(name).to_str().expect("text").to_owned()
    }

    /// The maker writes a bundle for the gateway, optionally with only what is new since another one.
    fn to_gateway(&self, name: &str, since: Option<&str>) -> Value {
        export(&self.maker, "gateway", &self.file(name), since.map(|since| self.file(since)))
    }

    fn at_gateway(&self, name: &str) -> Value {
        import(&self.gateway, &self.file(name), DEVICES)
    }

    fn gateway_says(&self, outcome: &str, thing: &str) -> Value {
        let ran = self.gateway.ics(&["--json", "lookup", thing, "--use", "connect"]);
        let verdict: Value = serde_json::from_str(&ran.stdout).expect("a verdict");
        assert_eq!(verdict["outcome"], outcome, "{verdict:#}");
        verdict
    }

    fn days_later(&mut self, days: u32) {
        for node in [&mut self.maker, &mut self.gateway] {
            node.restarts_at(Some(&format!("+{days}d")));
        }
    }
}

fn export(node: &Node, reader: &str, file: &str, since: Option<String>) -> Value {
    let mut arguments = vec!["export", "--bundle", "--for", reader, "-o", file];
    arguments.extend(since.iter().flat_map(|since| ["--since", since]));
    node.json(&arguments)
}

/// The result for one domain of a bundle.
fn import(node: &Node, file: &str, domain: &str) -> Value {
    of(&node.json(&["import", "--bundle", file]), domain)
}

fn of(report: &Value, domain: &str) -> Value {
    let all = report["domains"].as_array().expect("domains");
    all.iter().find(|one| one["domain"] == domain).unwrap_or_else(|| panic!("{domain}: {report}")).clone()
}

/// A time without the fraction of a second.
fn second(time: &Value) -> &str {
    time.as_str().and_then(|text| text.get(..19)).unwrap_or_else(|| panic!("{time} is no time"))
}

fn refused(node: &Node, file: &str) -> String {
    let ran = node.ics(&["import", "--bundle", file]).ends_with(1);
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn a_gateway_without_a_link() {
    let mut places = Places::found();
    places.gateway_says("unknown", PUMP);

    // Outbound: everything that the gateway may read. It decides by what it was brought.
    let made = places.to_gateway("1", None);
    assert_eq!(of(&made, DEVICES)["from"], 0, "{made}");
    let taken = places.at_gateway("1");
    assert_eq!((&taken["state"], &taken["size"]), (&json!("current"), &of(&made, DEVICES)["size"]), "{taken}");
    places.gateway_says("allow", PUMP);

    // Of a signer whom the maker does not know nothing is kept for a bundle, and whoever speaks there is told so.
    places.gateway.json(&["key", "make", "stranger"]);
    let words = ["status", "suspended", PUMP, "--domain", DEVICES, "--role", "owner", "--signer", "stranger", "--yes"];
    let stranger = places.gateway.ics(&words).ends_with(4);
    assert!(stranger.stderr.contains("nothing is kept here for a bundle"), "{}", stranger.stderr);
    assert_eq!(places.gateway.json(&["outbox"]), json!([]));

    // Inbound: what the gateway logs in its own domain, and what it says in the maker's.
    let suspended = ["status", "suspended", PUMP, "--domain", DEVICES, "--role", "owner", "--yes"];
    let pending = places.gateway.json(&suspended);
    assert!(pending[0]["pending"]["since"].is_string(), "{pending}");
    let made = export(&places.gateway, "maker", &places.file("back"), None);
    assert_eq!(of(&made, DEVICES)["submitted"], 2, "the statement, and its signer's certificate: {made}");
    let report = places.maker.json(&["import", "--bundle", &places.file("back")]);
    assert_eq!((&of(&report, DEVICES)["state"], &of(&report, DEVICES)["accepted"]), (&json!("home"), &json!(2)));
    assert_eq!(of(&report, SITE)["state"], "current", "{report}");
    let copy = places.maker.holds(SITE).expect("held");
    assert_eq!(
        (&copy["root"], &copy["position"]),
        (&places.gateway.holds(SITE).expect("held")["root"], &json!("mirror"))
    );

    // Outbound again: only what is new, which shows that the statement has arrived.
    let made = places.to_gateway("2", Some("back"));
    assert_eq!(of(&made, DEVICES)["from"], taken["size"], "{made}");
    let news = places.at_gateway("2");
    assert_eq!((&news["state"], &news["new"], &news["settled"]), (&json!("current"), &json!(1), &json!(2)), "{news}");
    let outbox = places.gateway.json(&["outbox"]);
    assert!([0, 1].iter().all(|item| outbox[*item]["receipt"]["index"].is_u64()) && outbox[2].is_null(), "{outbox}");
    places.gateway_says("deny", PUMP);
    places.gateway_says("allow", VALVE);
    what_is_refused(&places);
    refusals_go_back(&places);
    days_pass(&mut places);
}

/// Bundles that were swapped, torn, kept too long, or made for somebody else.
fn what_is_refused(places: &Places) {
    let said = refused(&places.gateway, &places.file("1"));
    assert!(said.contains("the bundle is an older one"), "{said}");
    let said = refused(&places.gateway, &places.file("back"));
    assert!(said.contains("made for `maker`, another node than"), "{said}");
    let whole = fs::read(places.file("2")).expect("a bundle");
    fs::write(places.file("torn"), &whole[..whole.len() - 9]).expect("written");
    let said = refused(&places.gateway, &places.file("torn"));
    assert!(said.contains("cut off"), "{said}");
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    fs::write(places.file("damaged"), damaged).expect("written");
    let said = refused(&places.gateway, &places.file("damaged"));
    assert!(said.contains("bundle"), "{said}");
    let said =
        places.maker.ics(&["export", "--bundle", "--for", "nobody", "-o", &places.file("3")]).ends_with(3).stderr;
    assert!(said.contains("has no peer `nobody`"), "{said}");
    let again = places.at_gateway("2");
    assert_eq!((&again["state"], &again["new"]), (&json!("current"), &json!(0)), "twice is as good as once");
    places.gateway_says("allow", VALVE);
}

/// What the home refuses is closed where it was submitted, with the reason, marked as the word of a bundle. A statement
/// with a receipt keeps it.
fn refusals_go_back(places: &Places) {
    let not_its_own = ["status", "suspended", VALVE, "--domain", DEVICES, "--role", "owner", "--yes"];
    let pending = places.gateway.json(&not_its_own);
    assert!(pending[0]["pending"]["since"].is_string(), "{pending}");
    export(&places.gateway, "maker", &places.file("wrong"), None);
    let said = refused(&places.maker, &places.file("wrong"));
    assert!(said.contains("refused"), "{said}");

    places.to_gateway("told", Some("wrong"));
    let told = places.at_gateway("told");
    assert_eq!((&told["state"], &told["ended"]), (&json!("current"), &json!(1)), "{told}");
    let outbox = places.gateway.json(&["outbox"]);
    let all = outbox.as_array().expect("a list");
    assert!(all.iter().all(|item| item["pending"].is_null()), "nothing waits any more: {outbox}");
    let problems: Vec<&str> = all.iter().filter_map(|item| item["problem"]["detail"].as_str()).collect();
    assert!(matches!(problems[..], [one] if one.contains("which nobody has signed: ")), "{outbox}");
    assert_eq!(all.iter().filter(|item| item["receipt"]["index"].is_u64()).count(), 2, "{outbox}");
    assert_eq!(places.at_gateway("told")["ended"], 0, "twice is as good as once");
    places.gateway_says("allow", VALVE);
    // It may be submitted again, and waits again.
    assert!(places.gateway.json(&not_its_own)[0]["pending"]["since"].is_string());
}

/// What is too old is unknown until it is brought again; a clock that restarts in 1970 goes on from the newest verified
/// time.
fn days_pass(places: &mut Places) {
    places.days_later(3);
    let stale = places.gateway_says("unknown", VALVE);
    assert_eq!(stale["reason"], "stale", "{stale}");
    assert_eq!(places.gateway_says("deny", PUMP)["reason"], "blocked", "a block stands however old its news is");
    places.maker.json(&["publish", "--spki", &crate::spki(3), "--serial", "SN-0003"]);
    places.to_gateway("3", Some("2"));
    assert_eq!(places.at_gateway("3")["state"], "current");
    let fresh = places.gateway_says("allow", VALVE);
    assert!(second(&fresh["as_of"][0]["as_of"]) > second(&stale["as_of"][0]["as_of"]), "{fresh}");

    // Without a battery the newest verified time counts, and the node says so.
    places.gateway.restarts_at(Some("@1970-01-02 00:00:00"));
    let info = places.gateway.info();
    assert!(info["clock"]["shows"].as_str().is_some_and(|shows| shows.starts_with("1970-01-02")), "{info}");
    assert!(second(&info["clock"]["time"]) >= second(&fresh["as_of"][0]["as_of"]), "{info}");
    let verdict = places.gateway_says("allow", VALVE);
    assert!(verdict["reasons"].to_string().contains("this machine's clock shows 1970-01-02"), "{verdict}");
    assert!(second(&verdict["at"]) >= second(&fresh["as_of"][0]["as_of"]), "{verdict}");

    // What is brought then advances the clock.
    places.maker.restarts_at(Some("+400d"));
    places.maker.json(&["status", "suspended", VALVE, "--yes"]);
    places.to_gateway("4", Some("3"));
    let taken = places.at_gateway("4");
    assert_eq!(taken["state"], "current", "{taken}");
    places.gateway_says("deny", VALVE);
    let later = places.gateway.info();
    assert!(second(&later["clock"]["time"]) > second(&info["clock"]["time"]), "{later}");
    assert!(second(&taken["as_of"]) <= second(&later["clock"]["time"]), "{taken} {later}");
    places.gateway.restarts_at(Some("@1970-01-02 00:00:00"));
    let verdict = places.gateway_says("deny", VALVE);
    assert!(second(&verdict["at"]) >= second(&taken["as_of"]), "it is remembered: {verdict}");
}

/// A home whose disk is gone gets back what the gateway was brought. Nobody can tell it what it signed after that, so
/// it says until when its log is whole, and whom it could not ask.
#[test]
fn what_a_gateway_was_not_brought_is_said_to_be_lost() {
    let mut places = Places::found();
    let (backup, copy) = (places.file("backup"), places.file("copy"));
    places.maker.json(&["backup", &backup]);
    places.maker.json(&["publish", "--spki", &crate::spki(3), "--serial", "SN-0003"]);
    places.to_gateway("1", None);
    let taken = places.at_gateway("1");
    places.maker.json(&["publish", "--spki", &crate::spki(4), "--serial", "SN-0004"]);
    places.gateway.json(&["backup", &copy]);
    places.maker.kill();
    fs::remove_dir_all(places.maker.home.join("data")).expect("gone, with the file of the highest head");
    let told = places.maker.json(&["restore", &backup, "--from-copy", &copy]);
    let domain = &told["domains"][0];
    assert_eq!((&domain["state"], &domain["size"]), (&json!("current"), &taken["size"]), "{told}");
    assert_eq!((&domain["asked"][0]["entries"], &domain["not_asked"]), (&json!(1), &json!(["gateway"])), "{told}");
    assert_eq!(second(&domain["as_of"]), second(&taken["as_of"]), "{told}");
    let said = places.maker.ics(&["restore", "--hold", "--from-copy", &copy]).ok();
    assert!(said.contains("only what this node signed after 20"), "{said}");
    assert!(said.contains("ics.toml has no address of it"), "{said}");
    // A node that runs asks by itself, and says whom it does not ask.
    places.maker.ics(&["restore", "--hold"]).ends_with(1);
    places.maker.serve_until("/livez");
    eventually("it has said whom it does not ask", || {
        let logged = fs::read_to_string(places.maker.home.join("err.log")).expect("its log");
        let line = logged.lines().find(|line| line.contains("ics.toml has no address of these peers"))?;
        line.contains("gateway").then_some(())
    });
}

/// A bundle leaves out what its reader may not read; if the reader may read it later, a later bundle brings it.
#[test]
fn a_bundle_holds_what_its_reader_may_read() {
    let places = Places::found();
    let everybody =
        "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
    let reads = |serials: &str| {
        let next = places.maker.ics(&["--json", "domain", "show"]).ok();
        let mut next: Value = serde_json::from_str(&next).expect("JSON");
        let rule = format!(
            "permit (principal, action == Action::\"read\", resource) \
             when {{ resource has prodid && [{serials}].contains(resource.prodid) }};"
        );
        let access = next["access"].as_str().expect("rules").to_owned();
        let before = if access.contains(everybody) { everybody.to_owned() } else { rule_of(&access) };
        next["access"] = access.replace(&before, &rule).into();
        let file = places.maker.write("next.json", next.to_string());
        places.maker.json(&["domain", "update", "--from-file", &file]);
        places.maker.json(&["domain", "submit"]);
    };
    let spki = crate::spki(7);
    places.maker.json(&["publish", "--spki", &spki, "--serial", "SN-0007", "--prodid", "seven"]);
    let eight = crate::spki(8);
    places.maker.json(&["publish", "--spki", &eight, "--serial", "SN-0008", "--prodid", "eight"]);
    places.maker.json(&["status", "in-use", "serial:SN-0007", "serial:SN-0008", "--yes"]);

    reads("\"seven\"");
    let made = places.to_gateway("1", None);
    assert_eq!(places.at_gateway("1")["state"], "unconfirmed", "nobody has signed that this is all that may be read");
    let pulled = places.gateway.json(&["peer", "status"])[0]["pulls"][0].clone();
    assert_eq!((&pulled["state"], &pulled["partial"]), (&json!("unconfirmed"), &json!(true)), "{pulled}");
    places.gateway_says("allow", "serial:SN-0007");
    assert_eq!(places.gateway_says("unknown", "serial:SN-0008")["reason"], "not-heard", "it may be hidden");
    let bytes = fs::read(places.file("1")).expect("a bundle");
    assert!(!bytes.windows(7).any(|window| window == b"SN-0008"), "a hidden name is not carried about");

    // The rights have changed, as the maker's last bundle shows: it makes a complete one by itself.
    reads("\"seven\", \"eight\"");
    let more = places.to_gateway("2", Some("1"));
    assert_eq!((&of(&made, DEVICES)["from"], &of(&more, DEVICES)["from"]), (&json!(0), &json!(0)));
    let taken = places.at_gateway("2");
    assert_eq!((&taken["state"], &taken["new"]), (&json!("unconfirmed"), &json!(1)), "{taken}");
    places.gateway_says("allow", "serial:SN-0008");
    said(&places.maker.json(&["status", "suspended", "serial:SN-0008", "--yes"]));
    let news = places.to_gateway("3", Some("2"));
    assert_eq!(of(&news, DEVICES)["from"], taken["size"], "with the same rights it is the news alone");
    assert_eq!(places.at_gateway("3")["new"], 1);
    places.gateway_says("deny", "serial:SN-0008");
}

fn rule_of(access: &str) -> String {
    let begins = access.find("permit (principal, action == Action::\"read\"").expect("the rule");
    let ends = access[begins..].find("};").expect("its end");
    access[begins..begins + ends + 2].to_owned()
}
