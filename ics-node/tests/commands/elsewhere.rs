//! Commands about a domain that the node does not hold.

use crate::stage::{DOMAIN, Stage};

const OTHER: &str = "other.example";
const COPY: &str = "another node may hold it: --node names one, and `ics peer add` copies it";
const NO_FORK: &str = "nor has it seen a fork of it where it cosigns or asks about single things; another node may \
                       hold it: --node names one";

#[test]
fn asking_for_what_is_elsewhere_says_that_the_node_does_not_hold_it() {
    let stage = Stage::started();
    let holder = "0123456789abcdef0123456789abcdef01234567";
    for (words, hint) in [
        (&["acme", "list", "--domain", OTHER][..], COPY),
        (&["acme", "revoke", holder, "--domain", OTHER][..], COPY),
        (&["domain", "forks", OTHER][..], NO_FORK),
    ] {
        let told = stage.for_people("home", words);
        let expected = format!("error: this node does not hold the domain `{OTHER}`\n hint: {hint}\n");
        assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (3, "", expected.as_str()), "{words:?}");
    }
}

#[test]
fn asking_for_what_does_not_exist_says_so() {
    let stage = Stage::started();
    let forks = stage.for_people("home", &["domain", "forks"]);
    let none = format!("no fork of {DOMAIN} was seen\n");
    assert_eq!((forks.code, forks.stdout.as_str(), forks.stderr.as_str()), (0, none.as_str(), ""));
    let stranger = stage.run_in("stranger", &["domain", "forks", DOMAIN]);
    assert_eq!(stranger.code, 1, "nobody else is told, and that is no answer: {stranger:?}");
    assert!(stranger.failure().1.contains("operator_token_file"), "{stranger:?}");
    let accounts = stage.for_people("home", &["acme", "list"]);
    let expected = "error: this node has no ACME server; `[acme]` in ics.toml makes one\n hint: this node does not do \
                    that: --node names another one\n";
    assert_eq!((accounts.code, accounts.stdout.as_str(), accounts.stderr.as_str()), (3, "", expected));
}
