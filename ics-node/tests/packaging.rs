//! What is packed beside the program.

use std::path::Path;
use std::process::Command;

const IMAGE: &str = include_str!("../packaging/Containerfile");
const PACKAGE: &str = include_str!("../packaging/build-deb");

#[test]
fn the_licences_of_all_that_the_program_contains_are_packed_with_it() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/third-party-notices");
    let written = || {
        let output = Command::new(&script).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let notices = written();
    assert_eq!(written(), notices, "a package that is built again is the same");
    // The first is Rust's own library; the last of the crates comes without its text.
    for name in ["std", "sequoia-openpgp", "aws-lc-sys", "ldap3_proto"] {
        assert!(notices.contains(&format!("\n{name} ")), "{name} is missing");
    }
    for text in ["GNU LIBRARY GENERAL PUBLIC LICENSE", "\nMozilla Public License Version 2.0\n"] {
        assert!(notices.contains(text), "{text} is missing");
    }
    assert!(!notices.contains("\ntrycmd "), "only tests need it");
    // It is a script, and neither image nor machine need have what runs it.
    let (build, _) = IMAGE.split_once("\nRUN cargo build ").expect("it builds");
    assert!(build.contains("\nFROM docker.io/library/rust:") && build.contains(" --no-install-recommends python3 "));
    assert!(PACKAGE.contains("\nfor command in 'python3 --version' 'cargo deb --version'; do\n"));
    assert!([IMAGE, PACKAGE].iter().all(|recipe| recipe.contains("ics-node/packaging/third-party-notices >")));
}

#[test]
fn what_is_delivered_is_built_by_the_profile_for_it() {
    let workspace = include_str!("../../Cargo.toml");
    assert!(workspace.contains("\n[profile.dist]\ninherits = \"release\"\nlto = \"fat\"\n"), "{workspace}");
    assert_eq!(IMAGE.matches("\nARG PROFILE=dist\n").count(), 2, "one in each stage: arguments end with theirs");
    assert!(IMAGE.contains("\nRUN cargo build --profile \"$PROFILE\" --locked "));
    assert!(IMAGE.contains("\nCOPY --from=build /src/target/$PROFILE/ics /usr/bin/ics\n"));
    assert!(PACKAGE.contains("\nprofile=dist\n"));
}
