//! Debian's data imported: its developers' keyring, which gpg gets back, and its packages.

use std::collections::BTreeSet;
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

/// gpg examines one in this many certificates, with all who have signed it: the whole keyring takes gpg minutes.
const SAMPLE: usize = 200;

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

/// The fingerprints of certificates in a listing.
fn fingerprints(listing: &str) -> Vec<String> {
    let lines: Vec<&str> = listing.lines().collect();
    let primary = lines.windows(2).filter(|pair| pair[0].starts_with("pub:"));
    primary.filter_map(|pair| pair[1].split(':').nth(9).map(str::to_owned)).collect()
}

/// Signatures that gpg finds valid: on which certificate and User ID, by whom, when and of what kind. SHA-1 does not
/// count here, so signatures that use it are left out on both sides.
fn good_signatures(home: &Path, of: &[String]) -> BTreeSet<String> {
    let listing = output(gpg(home).arg("--check-sigs").args(of));
    let (mut key, mut holder, mut good) = (String::new(), String::new(), BTreeSet::new());
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[0] {
            "pub" => (key, holder) = (fields[4].to_owned(), String::new()),
            "uid" | "sub" => holder = [fields[7], fields[4]].concat(),
            "sig" if fields[1] == "!" && !["1", "2", "3"].contains(&fields[15]) && fields[4] != key => {
                good.insert(format!("{key} {holder} by {} at {} {}", fields[4], fields[5], fields[10]));
            }
            _ => {}
        }
    }
    good
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

    let gnupg = stage.path("empty");
    std::fs::DirBuilder::new().mode(0o700).create(&gnupg).expect("made");
    let all = fingerprints(&output(gpg_on_original(&gnupg).arg("--list-keys")));
    let kept = usize::try_from(count("certificates")).expect("few");
    assert!(kept * 100 >= all.len() * 85, "{kept} of {} certificates: {tally:#}", all.len());

    let sample: Vec<String> = all.iter().step_by(SAMPLE).cloned().collect();
    let listing = output(gpg_on_original(&gnupg).arg("--list-sigs").args(&sample));
    let issuers: BTreeSet<&str> =
        listing.lines().filter(|line| line.starts_with("sig:")).filter_map(|line| line.split(':').nth(4)).collect();
    let with_signers: Vec<String> =
        all.into_iter().filter(|id| issuers.contains(&id[24..]) || sample.contains(id)).collect();
    let original = stage.path("original.gpg");
    output(gpg_on_original(&gnupg).arg("--output").arg(&original).arg("--export").args(&with_signers));
    let theirs = imported(&stage, "theirs", &original);
    let ours = imported(&stage, "ours", &served(&stage, &with_signers));
    // The keys of some signers are not accepted here, such as RSA with 8192 bits; what they signed is left out.
    let here = fingerprints(&output(gpg(&ours).arg("--list-keys")));
    let by = |signature: &String| here.iter().any(|id| signature.contains(&format!(" by {} at ", &id[24..])));
    let theirs: BTreeSet<String> = good_signatures(&theirs, &sample).into_iter().filter(by).collect();
    let ours = good_signatures(&ours, &sample);
    assert!(theirs.len() > 50, "the sample has signatures: {theirs:#?}");
    let missing: Vec<&String> = theirs.difference(&ours).collect();
    let more: Vec<&String> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && more.is_empty(), "of {}, missing {missing:#?}, more {more:#?}", theirs.len());
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
