//! Debian's data imported: its developers' keyring, which gpg gets back, and its packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::Stage;

/// 905 certificates with 48,788 signatures, in the version of 2022-12-24.
const KEYRING: &str = "/usr/share/keyrings/debian-keyring.gpg";
const DOMAIN: &str = "code.soft.example";

/// Runs a program that must succeed; returns its output.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A GnuPG home directory with an imported keyring.
fn imported(stage: &Stage, name: &str, keyring: &Path) -> PathBuf {
    let home = stage.path(name);
    std::fs::DirBuilder::new().mode(0o700).create(&home).expect("made");
    output(gpg(&home).arg("--import").arg(keyring));
    home
}

fn gpg(home: &Path) -> Command {
    let mut command = Command::new("gpg");
    command.env("GNUPGHOME", home).args(["--batch", "--quiet", "--no-auto-check-trustdb", "--with-colons"]);
    command
}

/// A gpg command that uses Debian's original keyring.
fn gpg_on_original(home: &Path) -> Command {
    let mut command = gpg(home);
    command.args(["--no-default-keyring", "--keyring", KEYRING]);
    command
}

/// A key as gpg lists it.
#[derive(Debug, Default)]
struct Listed {
    /// Its key id, by which signatures name their maker.
    id: String,
    /// Whether keys of its algorithm and length are accepted here.
    is_accepted: bool,
    /// Whether it has expired, so that gpg no longer verifies by it what it has signed on others.
    has_expired: bool,
    user_ids: BTreeSet<String>,
    signatures: BTreeSet<Signature>,
    /// Those of them that gpg does not find good, if it was asked to verify them.
    not_good: BTreeSet<Signature>,
}

/// A signature on a key, as gpg lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Signature {
    /// What it is on: the key itself (nothing), a User ID by its hash, or something else.
    on: String,
    by: String,
    at: u64,
    /// Its type in hex, behind that whether it is exportable (`x`) or local (`l`), and why a key is revoked.
    class: String,
    hash: String,
}

impl Signature {
    /// Whether its hash is one that signatures here may have: SHA-256, SHA-384 or SHA-512, since gpg has no other of
    /// them.
    fn has_a_good_hash(&self) -> bool {
        ["8", "9", "10"].contains(&self.hash.as_str())
    }

    fn certifies(&self) -> bool {
        ["10", "11", "12", "13"].iter().any(|class| self.class.starts_with(class))
    }

    fn revokes(&self) -> bool {
        ["20", "28", "30"].iter().any(|class| self.class.starts_with(class))
    }

    fn is_local(&self) -> bool {
        self.class.get(2..3) == Some("l")
    }
}

impl Listed {
    /// The holder's own signatures on something that count here.
    fn own(&self, on: &str) -> impl Iterator<Item = &Signature> {
        self.all_own(on).filter(|signature| signature.has_a_good_hash())
    }

    fn all_own(&self, on: &str) -> impl Iterator<Item = &Signature> {
        self.signatures.iter().filter(move |signature| signature.on == on && signature.by == self.id)
    }

    /// Whether its holder has revoked something by a signature that does not count here, and not also by one that does:
    /// it is left out, since otherwise it would stand again.
    fn is_revoked_unheard(&self, on: &str) -> bool {
        let newest = |of: fn(&Signature) -> bool| self.own(on).filter(|it| of(it)).map(|it| it.at).max();
        let (revoked, certified) = (newest(Signature::revokes), newest(Signature::certifies));
        let is_heard = revoked.is_some() && revoked >= certified;
        !is_heard && self.all_own(on).any(|it| it.revokes() && !it.has_a_good_hash())
    }

    /// Whether a User ID has a place in a certificate here: its holder has signed it so that it counts.
    fn holds(&self, user_id: &str) -> bool {
        self.own(user_id).next().is_some() && !self.is_revoked_unheard(user_id)
    }

    fn held_user_ids(&self) -> BTreeSet<&String> {
        self.user_ids.iter().filter(|user_id| self.holds(user_id)).collect()
    }

    /// Whether it becomes a certificate here: the key is accepted, and its holder certifies one of its User IDs.
    fn becomes_a_certificate(&self) -> bool {
        let certifies = |user_id: &String| self.holds(user_id) && self.own(user_id).any(Signature::certifies);
        self.is_accepted && !self.is_revoked_unheard("") && self.user_ids.iter().any(certifies)
    }
}

/// Whether a key has an algorithm that is accepted here, by its number (RFC 9580, 9.1): RSA of a length within bounds,
/// ECDSA, or EdDSA.
fn is_accepted(algorithm: &str, bits: &str) -> bool {
    match algorithm {
        "1" => bits.parse().is_ok_and(|bits: usize| ics_core::limits::RSA_BITS.contains(&bits)),
        other => ["19", "22"].contains(&other),
    }
}

/// The keys of a listing in colons (GnuPG's doc/DETAILS), by fingerprint.
fn listed(listing: &str) -> BTreeMap<String, Listed> {
    let mut keys: Vec<(String, Listed)> = Vec::new();
    let mut on = String::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields[0] == "pub" {
            let (id, is_accepted) = (fields[4].to_owned(), is_accepted(fields[3], fields[2]));
            keys.push((String::new(), Listed { id, is_accepted, has_expired: fields[1] == "e", ..Listed::default() }));
            on.clear();
        }
        let Some((fingerprint, key)) = keys.last_mut() else { continue };
        match fields[0] {
            // Those of subkeys follow.
            "fpr" if fingerprint.is_empty() => fields[9].clone_into(fingerprint),
            "uid" => {
                on = format!("User ID {}", fields[7]);
                key.user_ids.insert(on.clone());
            }
            "uat" | "sub" => on = fields[0].to_owned(),
            "sig" | "rev" => {
                let [by, at, class, hash] = [4_usize, 5, 10, 15].map(|field| fields[field].to_owned());
                let signature = Signature { on: on.clone(), by, at: at.parse().expect("seconds"), class, hash };
                if fields[1] != "!" {
                    key.not_good.insert(signature.clone());
                }
                key.signatures.insert(signature);
            }
            _ => {}
        }
    }
    keys.into_iter().collect()
}

/// The signatures by others in the original keyring that the node has to serve, each behind the fingerprint of the key
/// that it is on. It leaves out those
/// - on keys that become no certificates here, and by keys of which it has no certificate;
/// - on anything but User IDs, and on User IDs that their holder has not signed so that it counts;
/// - whose hash is not accepted, such as SHA-1;
/// - that their makers did not export, or revoked by a signature that does not count.
fn to_be_served(original: &BTreeMap<String, Listed>) -> BTreeSet<(String, Signature)> {
    let held = || original.iter().filter(|(_, key)| key.becomes_a_certificate());
    let makers: BTreeSet<&str> = held().map(|(_, key)| key.id.as_str()).collect();
    let mut wanted = BTreeSet::new();
    for (fingerprint, key) in held() {
        let user_ids = key.held_user_ids();
        let unheard = key.signatures.iter().filter(|it| it.revokes() && !it.has_a_good_hash());
        let taken_back: BTreeSet<_> = unheard.map(|it| (it.on.as_str(), it.by.as_str())).collect();
        let stays = |it: &&Signature| {
            let is_by_another = it.by != key.id && makers.contains(it.by.as_str());
            let is_taken_back = taken_back.contains(&(it.on.as_str(), it.by.as_str()));
            is_by_another && user_ids.contains(&it.on) && it.has_a_good_hash() && !it.is_local() && !is_taken_back
        };
        wanted.extend(key.signatures.iter().filter(stays).map(|it| (fingerprint.clone(), it.clone())));
    }
    wanted
}

/// Asks the key server for these keys, into one file.
fn served(stage: &Stage, ids: &[String]) -> PathBuf {
    let urls = ids.iter().fold(String::new(), |mut urls, id| {
        let _ = writeln!(urls, "url = \"{}/pks/v2/certs/by-vfingerprint/04{id}\"", stage.url());
        urls
    });
    let (urls, path) = (stage.write("urls", urls), stage.path("served.gpg"));
    let curl = ["--silent", "--fail", "--header", "Accept: application/pgp-keys;armor=no", "--config", &urls];
    let file = File::create(&path).expect("made");
    // curl exits with 22 if one of them was refused.
    Command::new("curl").args(curl).stdout(file).status().expect("curl is there");
    path
}

#[test]
fn gpg_gets_debians_keyring_back_with_its_signatures() {
    let mut stage = Stage::of("developer", DOMAIN);
    let signers = format!("developer={KEYRING}");
    stage.ok(&["domain", "update", "--add-signer", &signers, "--certificate-bytes", "1048576"]);
    stage.start();
    stage.ok(&["domain", "submit"]);
    let tally = stage.run(&["import", KEYRING]).json();
    let count = |name: &str| tally[name].as_u64().expect("a number");
    let reasons = tally["refused"].as_object().expect("reasons").values();
    let refused: u64 = reasons.map(|reason| reason["count"].as_u64().expect("a number")).sum();
    assert_eq!(count("in_log") + refused, count("found"), "each has its result: {tally:#}");
    let why: Vec<&String> = tally["refused"].as_object().expect("reasons").keys().collect();
    assert_eq!(why, ["certifies-unknown", "unknown-signer"], "only who is not in the keyring is refused: {tally:#}");
    // What has no place here is told by reason: a quarter of the signatures use SHA-1.
    for (part, reason, least) in [("malformed", "SHA-1", 10_000), ("left_out", "pictures", 1)] {
        let reasons = tally[part].as_object().expect("reasons").iter().filter(|(text, _)| text.contains(reason));
        let told: u64 = reasons.map(|(_, count)| count.as_u64().expect("a number")).sum();
        assert!(told >= least, "{reason}: {tally:#}");
    }

    let gnupg = stage.path("empty");
    std::fs::DirBuilder::new().mode(0o700).create(&gnupg).expect("made");
    let original = listed(&output(gpg_on_original(&gnupg).arg("--list-sigs")));
    let ids: Vec<String> = original.keys().cloned().collect();
    let ours = imported(&stage, "ours", &served(&stage, &ids));
    let ours = listed(&output(gpg(&ours).arg("--check-sigs")));

    let kept = usize::try_from(count("certificates")).expect("few");
    assert_eq!(ours.len(), kept, "gpg takes every certificate that is in the log");
    assert!(kept * 100 >= ids.len() * 85, "{kept} of {} certificates: {tally:#}", ids.len());
    for (id, key) in &original {
        let here = ours.get(id);
        assert_eq!(here.is_some(), key.becomes_a_certificate(), "{id}");
        let Some(here) = here else { continue };
        assert_eq!(here.user_ids.iter().collect::<BTreeSet<_>>(), key.held_user_ids(), "the User IDs of {id}");
    }

    let theirs = to_be_served(&original);
    let mut shown = BTreeSet::new();
    for (id, key) in &ours {
        shown.extend(key.signatures.iter().filter(|it| it.by != key.id).map(|it| (id.clone(), it.clone())));
    }
    assert!(theirs.len() > 20_000, "{} signatures by others", theirs.len());
    let missing: Vec<_> = theirs.difference(&shown).collect();
    let more: Vec<_> = shown.difference(&theirs).collect();
    assert!(missing.is_empty() && more.is_empty(), "of {}, missing {missing:#?}, more {more:#?}", theirs.len());
    let expired: BTreeSet<&String> = ours.values().filter(|key| key.has_expired).map(|key| &key.id).collect();
    let all = ours.values().flat_map(|key| &key.not_good);
    let not_good: Vec<&Signature> = all.filter(|signature| !expired.contains(&signature.by)).collect();
    assert!(not_good.is_empty(), "gpg finds each good whose maker's key is still good: {not_good:#?}");
}

#[test]
fn a_package_is_published_and_found_by_its_hash() {
    let mut stage = Stage::of("developer", DOMAIN);
    stage.start();
    let tree = stage.path("hello/DEBIAN");
    std::fs::create_dir_all(&tree).expect("made");
    let control = "Package: hello\nVersion: 2.10-3\nArchitecture: all\nMaintainer: Soft <soft@soft.example>\nDescription: greets\n";
    std::fs::write(tree.join("control"), control).expect("written");
    let package = stage.path("hello_2.10-3_all.deb");
    let package = package.to_str().expect("UTF-8");
    output(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(stage.path("hello")).arg(package));

    assert_eq!(stage.run(&["verify", package]).code, 1, "nobody has said anything of it");
    stage.ok(&["publish", "--file", package]);
    let hash = output(Command::new("sha256sum").arg(package));
    let id = format!("sha256:{}", hash.split(' ').next().expect("a hash"));
    let record = stage.record(&id);
    assert_eq!((&record["title"], &record["kind"]), (&"hello:all 2.10-3".into(), &"software".into()), "{record:#}");
    for (title, expected) in [("HELLO", 1), ("hello:all 2.10", 1), ("2.11", 0)] {
        let listed = stage.ok(&["list", "--kind", "software", "--title", title]);
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(expected), "{title}: {listed}");
    }
    stage.ok(&["status", "released", &id, "--yes"]);
    let verified = stage.ok(&["verify", package]);
    assert_eq!(verified["artifact"]["permitted"], true, "{verified:#}");

    std::fs::write(stage.path("other.deb"), "no package").expect("written");
    let refused = stage.run(&["publish", "--file", "other.deb"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.failure().0.contains("is not a Debian package"), "{refused:?}");
}
