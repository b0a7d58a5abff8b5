use clap::Parser as _;
use clap::error::ContextKind;

use super::{Cli, EXAMPLE_COLUMNS, context, definition, in_one_line, without_secrets};

/// The texts that name commands.
const TEXTS: [(&str, &str); 9] = [
    ("README.md", include_str!("../../../README.md")),
    ("ARCHITECTURE.md", include_str!("../../../ARCHITECTURE.md")),
    ("BENCHMARKS.md", include_str!("../../../BENCHMARKS.md")),
    ("CONTRIBUTING.md", include_str!("../../../CONTRIBUTING.md")),
    ("docs/calculus.md", include_str!("../../../docs/calculus.md")),
    ("docs/formats.md", include_str!("../../../docs/formats.md")),
    ("examples/README.md", include_str!("../../../examples/README.md")),
    ("schemas/ldap/README.md", include_str!("../../../schemas/ldap/README.md")),
    ("packaging/README.md", include_str!("../../packaging/README.md")),
];
/// What systemd runs.
const UNITS: [&str; 2] =
    [include_str!("../../packaging/ics.service"), include_str!("../../packaging/ics-mosquitto.service")];

/// Every command with the words that call it.
fn all_commands(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let mut all = Vec::new();
    for inner in command.get_subcommands() {
        let words = [words, &[inner.get_name().to_owned()]].concat();
        all.extend(all_commands(inner, &words));
        all.push((words, inner.clone()));
    }
    all
}

#[test]
fn the_definition_holds_together() {
    definition().debug_assert();
}

/// Users who mistype the address of their node paste the message where others read it.
#[test]
fn no_refusal_shows_a_secret_of_an_address() {
    for words in [
        &["ics", "--node", "https://user:hush@node.example", "key", "list"][..],
        &["ics", "key", "list", "--node=https:user:hush@node.example"],
        &["ics", "--node", "https://node.example/?token=hush", "key", "list"],
        &["ics", "peer", "add", "ics.soft.example", "--url", "ldaps://user:hush@node.example"],
        &["ics", "key", "list", "https://user:hush@node.example"],
        &["ics", "https://user:hush@node.example"],
    ] {
        let refused = definition().try_get_matches_from(words).expect_err("is refused");
        let told = without_secrets(refused).to_string();
        assert!(!told.contains("hush") && !told.contains("user:"), "{told}");
        assert!(told.starts_with("error: "), "{told}");
    }
    let refused = definition().try_get_matches_from(["ics", "key", "make", "a@b"]).expect_err("is refused");
    assert!(without_secrets(refused).to_string().contains("'a@b'"), "what is no address is quoted whole");
}

/// A program reads only one line of it, which must say what was left out.
#[test]
fn one_line_says_which_arguments_are_meant() {
    let told = |words: &[&str]| {
        let refused = definition().try_get_matches_from(words).expect_err("is refused");
        in_one_line(&refused.to_string())
    };
    let missing = told(&["ics", "grant"]);
    assert!(missing.starts_with("the following required arguments were not provided: "), "{missing}");
    assert!(missing.contains("--to <KEY>") && missing.contains("<GRANTED>") && missing.contains(", "), "{missing}");
    let contrary = told(&["ics", "label", "good", "--all", "--lot", "7", "--model", "P7"]);
    assert!(contrary.contains("--all") && contrary.contains("--lot <LOT>"), "{contrary}");
    let several = told(&["ics", "approve", "--all", "--yes", "--dry-run"]);
    assert_eq!(several.lines().count(), 1, "{several}");
}

#[test]
fn every_command_has_examples_that_parse() {
    for (words, command) in all_commands(&definition(), &[]) {
        if command.has_subcommands() {
            continue;
        }
        let name = words.join(" ");
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  $ ") || line.ends_with('\\')) {
            let is_one_word = line.split_whitespace().nth(1).is_none();
            assert!(is_one_word || line.chars().count() <= EXAMPLE_COLUMNS, "`{line}` would be broken by a terminal");
        }
        // As a shell joins continued lines.
        let help = help.replace("\\\n", "");
        let examples: Vec<&str> = help.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
        assert!(
            examples.iter().any(|line| line.starts_with("ics ") && line.contains(&name)),
            "`ics {name}` has no example"
        );
        for line in examples.iter().filter(|line| line.starts_with("ics ")) {
            let command = line.split(" > ").next().unwrap_or(line).split(" | ").next().unwrap_or(line);
            let words = shlex::split(command).unwrap_or_else(|| panic!("quotes in `{line}`"));
            if let Err(e) = Cli::try_parse_from(words) {
                panic!("the example `{line}` of `ics {name}`: {e}");
            }
        }
    }
}

/// The calls of this program in a text: the lines of its blocks, which are whole, and what stands between backquotes in
/// its prose, which may leave arguments out.
fn calls(text: &str) -> (Vec<String>, Vec<String>) {
    let parts: Vec<&str> = text.split("```").collect();
    let every_second = |first: usize| parts.iter().copied().skip(first).step_by(2).collect::<String>();
    let (prose, blocks) = (every_second(0), every_second(1));
    let typed = |line: &str| {
        let (prompt, typed) = line.split_once("$ ")?;
        prompt.chars().all(char::is_alphanumeric).then(|| typed.trim_start().to_owned())
    };
    let call = |piece: &str| {
        // As the user `ics`, or in the container `ics`.
        let elsewhere = piece.rsplit_once("ics ics ").map(|(_, call)| call);
        elsewhere.or_else(|| piece.strip_prefix("ics ")).map(str::to_owned)
    };
    let lines: Vec<String> = blocks.replace("\\\n", " ").lines().filter_map(typed).collect();
    let pieces = lines.iter().flat_map(|line| line.split(" | ")).flat_map(|part| part.split(" && "));
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    let named = spans.filter_map(|span| span.strip_prefix("ics ").map(str::to_owned)).collect();
    (pieces.filter_map(call).collect(), named)
}

/// Whether a word stands for what readers put there: `DOMAIN`, `plant.example/HASH`, `…`.
fn is_placeholder(word: &str) -> bool {
    let is_capital = |part: &str| part.len() > 2 && part.chars().all(|letter| letter.is_ascii_uppercase());
    word == "…" || word.split(|letter: char| !letter.is_ascii_alphanumeric()).any(is_capital)
}

/// The first word of a call that names a command or an option that does not exist.
fn unknown_word(root: &clap::Command, call: &str) -> Option<String> {
    let is_called = |argument: &clap::Arg, name: &str| {
        let short = argument.get_short().is_some_and(|short| name == format!("-{short}"));
        short || argument.get_long().is_some_and(|long| name == format!("--{long}"))
    };
    let mut command = root;
    let mut words = shlex::split(call).unwrap_or_else(|| panic!("quotes in `ics {call}`")).into_iter();
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            let name = word.split('=').next().unwrap_or_default();
            let Some(argument) = command.get_arguments().find(|argument| is_called(argument, name)) else {
                return Some(word);
            };
            if argument.get_action().takes_values() && !word.contains('=') {
                words.next();
            }
        } else if let Some(inner) = command.find_subcommand(&word) {
            command = inner;
        } else if command.has_subcommands() && !is_placeholder(&word) {
            return Some(word);
        }
    }
    None
}

#[test]
fn every_command_in_the_texts_exists() {
    let mut root = definition();
    // Gives each command the options that all have.
    root.build();
    for (name, text) in TEXTS {
        let (whole, named) = calls(text);
        for call in whole.iter().chain(&named) {
            assert_eq!(unknown_word(&root, call), None, "`ics {call}` in {name}");
        }
        for call in &whole {
            let words = shlex::split(&format!("ics {call}")).unwrap_or_default();
            if let Err(e) = Cli::try_parse_from(words) {
                let is_meant = context(&e, ContextKind::InvalidValue).is_some_and(is_placeholder);
                assert!(is_meant, "`ics {call}` in {name}: {e}");
            }
        }
    }
    for call in UNITS.iter().flat_map(|unit| unit.lines()).filter_map(|it| it.strip_prefix("ExecStart=/usr/bin/ics ")) {
        assert_eq!(unknown_word(&root, call), None, "`ics {call}` in a unit");
    }
}

#[test]
fn a_command_that_does_not_exist_is_found_in_a_text() {
    let mut root = definition();
    root.build();
    let text = "Give `ics domain\nshew` or `other`:\n```console\n$ sudo -u ics ics --home DIR fsck \\\n --mend && ls | \
                ics key show node\n```\n";
    let (whole, named) = calls(text);
    assert_eq!(whole, ["--home DIR fsck   --mend", "key show node"]);
    assert_eq!(named, ["domain shew"]);
    let unknown = |call: &str| unknown_word(&root, call);
    assert_eq!(unknown(&whole[0]), Some("--mend".to_owned()));
    assert_eq!(unknown(&whole[1]), None);
    assert_eq!(unknown(&named[0]), Some("shew".to_owned()));
    assert_eq!(unknown("COMMAND --help"), None);
    assert!(TEXTS.iter().all(|(_, text)| text.matches("```").count() % 2 == 0), "a block has no end");
    assert!(TEXTS.iter().map(|(_, text)| calls(text).0.len()).sum::<usize>() > 30, "the texts' calls are not found");
}

#[test]
fn a_paragraph_of_help_is_broken_by_the_terminal_alone() {
    let is_prose = |line: &str| line.starts_with(char::is_alphanumeric) && !line.ends_with(':');
    // A caption of an example, or an item of a list, and a line that goes on with it.
    let begins = |first: char| first.is_alphanumeric() || first == '`';
    let is_indented = |line: &str, by: &str| line.strip_prefix(by).is_some_and(|text| text.starts_with(begins));
    let goes_on = |first: &str, next: &str| {
        let is_caption = is_indented(first, "  ") && !first.ends_with(':') && is_indented(next, "  ");
        is_caption || (first.starts_with("  - ") && is_indented(next, "    "))
    };
    for (words, command) in all_commands(&definition(), &[]) {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = help.lines().collect();
        assert!(!lines.windows(2).any(|two| is_prose(two[0]) && is_prose(two[1])), "`ics {}`: {help}", words.join(" "));
        assert!(!lines.windows(2).any(|two| goes_on(two[0], two[1])), "`ics {}`: {help}", words.join(" "));
        assert!(help.is_empty() || help.lines().any(|line| line == "Examples:"), "`ics {}`: {help}", words.join(" "));
    }
}

/// A script that gives it to one of them need not know which of them ask.
#[test]
fn every_command_with_which_signers_speak_takes_yes() {
    for (words, command) in all_commands(&definition(), &[]) {
        let takes = |name| command.get_arguments().any(|argument| argument.get_long() == Some(name));
        // `ics domain create` takes the signers of its roles, who do not speak there.
        let is_of_role = |argument: &clap::Arg| argument.get_value_names().is_some_and(|names| names == ["ROLE=KEY"]);
        let speaks = takes("signer") && takes("unsigned") && !command.get_arguments().any(is_of_role);
        assert!(takes("yes") || !speaks, "`ics {}`", words.join(" "));
    }
}

#[test]
fn every_argument_is_explained() {
    for (words, command) in all_commands(&definition(), &[]) {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} of `ics {}`", argument.get_id(), words.join(" "));
        }
        assert!(command.get_about().is_some(), "`ics {}`", words.join(" "));
    }
}
