//! The five parties, each with a node of its own, who know each other's origins and certificates.

use ics_core::descriptor::Freshness;
use ics_core::trust::{TrustDocument, templates};
use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, eventually};
use crate::tools::Bench;

pub(crate) const DEVICES: &str = "devices.acme.example";
pub(crate) const CODE: &str = "code.soft.example";
pub(crate) const LABELS: &str = "labels.cert.example";
pub(crate) const PLANT: &str = "plant.integrator.example";
pub(crate) const SITE: &str = "site4.plant.example";

/// Five nodes and what they work with. The nodes stop before their directories are removed.
pub(crate) struct Town {
    pub(crate) maker: Node,
    pub(crate) developer: Node,
    pub(crate) certifier: Node,
    pub(crate) integrator: Node,
    pub(crate) infield: Node,
    pub(crate) bench: Bench,
    _homes: TempDir,
}

impl Town {
    /// All parties initialised and serving, with the mirrors that they need.
    pub(crate) fn found() -> Self {
        let homes = tempfile::tempdir().expect("a directory");
        let init = |role, domain| Node::init(homes.path(), role, domain);
        let mut town = Self {
            maker: init("manufacturer", DEVICES),
            developer: init("developer", CODE),
            certifier: init("certification", LABELS),
            integrator: init("maintenance", PLANT),
            infield: init("infield", SITE),
            bench: Bench::new(),
            _homes: homes,
        };
        town.maker.serve();
        town.developer.serve();
        town.certifier.mirror(DEVICES, &town.maker);
        town.certifier.serve();
        for source in [&town.maker, &town.developer, &town.certifier] {
            town.integrator.mirror(source.domain, source);
        }
        town.integrator.serve();
        let others = [(&town.maker, "manufacturer"), (&town.developer, "developer")];
        adopts_from(&town.integrator, &[&others[..], &[(&town.certifier, "certification-body")]].concat());
        town.infield_trusts_maker_and_integrator();
        town.infield.serve();
        town
    }

    /// The infield node copies the manufacturer (through the integrator's mirror) and the integrator.
    fn infield_trusts_maker_and_integrator(&self) {
        eventually("the integrator mirrors the manufacturer", || self.integrator.holds(DEVICES));
        self.infield.mirror(DEVICES, &self.integrator);
        self.infield.mirror(PLANT, &self.integrator);
        let origin = |node: &Node| -> Value { node.get(&format!("/v1/domains/{}", node.domain))["origin"].clone() };
        let pinned =
            [&self.maker, &self.integrator].map(|node| serde_json::from_value(origin(node)).expect("an origin"));
        let policy = TrustDocument {
            domains: pinned.into(),
            roles: Default::default(),
            labelling_roles: TrustDocument::certification_bodies(),
            freshness: Freshness { default: 3_600, uses: [].into() },
            rules: format!("{}\n{}", templates::VOUCHED, templates::SOFTWARE),
        };
        self.infield.write("trust.json", serde_json::to_vec(&policy).expect("JSON"));
        let path = self.infield.home.join("ics.toml");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        self.infield.write("ics.toml", format!("{text}\n[trust]\npolicy = \"trust.json\"\n"));
    }

    /// Waits until the infield node decides like that; returns the verdict.
    #[track_caller]
    pub(crate) fn infield_says(&self, outcome: &str, thing: &str, usage: &str) -> Value {
        let mut last = Value::Null;
        eventually(&format!("{outcome} for {thing}"), || {
            let ran = self.infield.ics(&["--json", "lookup", thing, "--use", usage]);
            assert!(ran.code <= 1, "no verdict: {}", ran.stderr);
            let verdict: Value = serde_json::from_str(&ran.stdout).expect("a verdict");
            if verdict["reasons"] != last {
                last = verdict["reasons"].clone();
                println!("{}: {last}", verdict["outcome"]);
            }
            let is_so = verdict["outcome"] == outcome;
            assert!(!is_so || (outcome == "allow") == (ran.code == 0), "exit code {} for {outcome}", ran.code);
            is_so.then_some(verdict)
        })
    }

    /// Has the integrator adopt things of another domain into its own.
    #[track_caller]
    pub(crate) fn adopt(&self, source: &Node, thing: &str) {
        self.integrator.catches_up(source, source.domain);
        let adopted = self.integrator.json(&["adopt", "--from", source.domain, thing]);
        assert!(adopted["adopted"].as_u64() > Some(0), "{adopted}");
        assert_eq!(adopted["refused"], serde_json::json!([]), "{adopted}");
    }

    /// The integrator approves a thing and puts it into use.
    pub(crate) fn put_into_use(&self, thing: &str) {
        said(&self.integrator.json(&["approve", thing, "--yes"]));
        said(&self.integrator.json(&["status", "in-use", thing, "--yes"]));
    }
}

/// The index of the one statement that was made.
#[track_caller]
pub(crate) fn said(said: &Value) -> u64 {
    said[0]["index"].as_u64().filter(|_| said[1].is_null()).unwrap_or_else(|| panic!("{said}"))
}

/// Makes the integrator's rules name the sources of adopted entries, and the roles in which their signers speak.
pub(crate) fn adopts_from(integrator: &Node, sources: &[(&Node, &str)]) {
    let mut arguments = vec!["domain".to_owned(), "update".to_owned()];
    for (node, role) in sources {
        let answer = node.get_bytes(&format!("/v1/domains/{}", node.domain), &[]);
        arguments.extend(["--add-source".to_owned(), node.write("source.json", answer)]);
        arguments.extend(["--add-signer".to_owned(), format!("{role}={}", node.signer())]);
    }
    arguments.extend(["--add-names".to_owned(), "manufacturer=serial:*".to_owned()]);
    let version = integrator.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(version["version"], 2, "{version}");
    assert_eq!(integrator.json(&["domain", "submit"])["version"], 2);
    let held = integrator.get(&format!("/v1/domains/{}", integrator.domain));
    assert_eq!(held["descriptor"], 2, "the new version is in force: {held}");
}
