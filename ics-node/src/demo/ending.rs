//! What a visitor can try while the nodes are up.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::party::Party;
use super::story::{EVIDENCE_FILE, GNUPG_DIRECTORY, OPENPGP_FILE, Story};
use crate::web;
use crate::words::{path_text, shell_path};

/// The rows: addresses and commands while the nodes are up, and files while they exist.
pub(super) fn rows(story: &Story, up: bool, kept: bool) -> Vec<(String, String)> {
    let mut rows = if up { addresses(story) } else { Vec::new() };
    if up || kept {
        rows.extend(commands(story, up));
    }
    rows
}

fn addresses(story: &Story) -> Vec<(String, String)> {
    let address = |party: &Party| (party.part.template.to_string(), party.node.url().to_owned());
    parties(story).map(address).to_vec()
}

const fn parties(story: &Story) -> [&Party; 5] {
    [&story.maker, &story.developer, &story.board, &story.integrator, &story.gateway]
}

/// Commands, and what they show.
fn commands(story: &Story, up: bool) -> Vec<(String, String)> {
    let (ics, curl) = (program(), curl());
    let (gateway, maintenance) = (story.gateway.node.url(), story.integrator.node.url());
    let (maker, assets) = (&story.maker, story.integrator.domain());
    let serial = |number: usize| story.pumps.get(number).map_or("", |pump| pump.serial.as_str());
    let file = |name: &str| shell_path(&story.directory.join(name));
    let (stolen, recalled) = (serial(0), serial(1));
    let mut rows = Vec::new();
    if up {
        let page = web::path_of(&format!("serial:{stolen}"));
        let register = web::register_of(story.board.domain(), None, None, None);
        rows.extend([
            ("in a browser", format!("{gateway}{page}")),
            ("a register", format!("{gateway}{register}")),
            ("look it up", format!("{ics} lookup --node {gateway} serial:{stolen}")),
            ("its history", format!("{ics} history --node {maintenance} --domain {assets} serial:{stolen}")),
            ("may it run?", format!("{ics} explain --node {gateway} --use operate serial:{recalled}")),
            ("the same", format!("{curl} '{gateway}/v1/verdict?id=serial:{recalled}&use=operate'")),
            ("log head", format!("{curl} {}/v1/domains/{}/checkpoint", maker.node.url(), maker.domain())),
        ]);
    }
    rows.push(("offline", format!("{ics} verify --document {}", file(EVIDENCE_FILE))));
    if is_installed("gpg") {
        let gpg = format!("gpg --homedir {} -q", file(GNUPG_DIRECTORY));
        let import = format!("{gpg} --allow-non-selfsigned-uid --import {}", file(OPENPGP_FILE));
        rows.push(("with GnuPG", import));
        rows.push(("", format!("{gpg} --check-sigs {recalled}")));
    }
    rows.into_iter().map(|(what, command)| (what.to_owned(), command)).collect()
}

/// The addresses and the directory, for programs.
pub(super) fn value(story: &Story) -> Value {
    let nodes = addresses(story).into_iter().map(|(role, url)| (role, Value::from(url)));
    json!({ "ready": true, "directory": path_text(&story.directory), "nodes": serde_json::Map::from_iter(nodes) })
}

/// The path of this program as typed from here.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ics"));
    let here = std::env::current_dir().unwrap_or_default();
    let from_here = path.strip_prefix(&here).unwrap_or(&path);
    // A name without a directory would be looked up in PATH.
    let is_bare = from_here.components().count() == 1;
    shell_path(&if is_bare { Path::new(".").join(from_here) } else { from_here.to_owned() })
}

/// The curl command, which must reach this machine even if the environment sets a proxy.
fn curl() -> &'static str {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|proxy| !proxy.is_empty());
    if ["http_proxy", "all_proxy", "ALL_PROXY"].into_iter().any(is_set) { "curl --noproxy '*'" } else { "curl" }
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| Path::new(&directory).join(program).is_file())
}
