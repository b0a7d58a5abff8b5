use clap::Parser as _;

use super::{Cli, EXAMPLE_COLUMNS, definition, in_one_line, without_secrets};

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
