//! The command line. It only translates: what a command does is in [`crate::client`] and [`crate::app`].

mod commands;
mod context;
mod exit;
mod files;
mod known;
mod memory;
mod output;
mod progress;
mod record;
mod review;
mod say;
mod session;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::commands::Command;
use self::context::Context;
pub use self::exit::{Exit, Failure};
use crate::config::{Url, quoted};

/// The variable that names the home directory.
const HOME_VARIABLE: &str = "ICS_HOME";

/// Identity certificate server network: what is this thing, who vouches for it, and what is its status now?
#[derive(Debug, Parser)]
#[command(
    name = "ics",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "`ics COMMAND --help` has examples; `ics --help` lists the exit codes.",
    after_long_help = exit::EXIT_CODES,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The directory of configuration, keys and data [default: ~/.ics].
    #[arg(long, global = true, env = HOME_VARIABLE, hide_env_values = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Print only results, errors and questions.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// The node to talk to [default: `[client] node` in ics.toml].
    #[arg(long, global = true, value_name = "URL")]
    node: Option<Url>,
    /// The file with the passphrase of the secret keys.
    #[arg(long, global = true, env = "ICS_PASSPHRASE_FILE", hide_env_values = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The file with the PIN of a token; without it, the PIN is taken from ICS_PIN or asked for.
    #[arg(long, global = true, env = "ICS_PIN_FILE", hide_env_values = true, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// The library that talks to tokens [default: `[pkcs11] module` in ics.toml].
    #[arg(long, global = true, env = "ICS_PKCS11_MODULE", hide_env_values = true, value_name = "FILE")]
    pkcs11_module: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Runs the command line and returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    forbid_core_dumps();
    memory::begin();
    let matches = without_empty_variables(definition()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            usage_error(&without_secrets(error));
            return Exit::Usage.into();
        }
        Err(help) => {
            // If standard output is closed, there is nobody left to tell.
            let _ = help.print();
            return Exit::Ok.into();
        }
    };
    let json = cli.global.json;
    let ended = Context::new(cli.global).and_then(|context| {
        output::name_in_commands(context.named_flags());
        cli.command.run(&context)
    });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(json);
            failure.exit().into()
        }
    }
}

/// Has the system write no core dump: it would contain secret keys and passphrases. The limit is one byte, in which no
/// dump fits, because a program that takes dumps (`|` in `core_pattern`) gets whole ones with any other limit, also 0.
fn forbid_core_dumps() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // Everybody may lower their own limit; where the maximum is 0, nobody can set another.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum });
}

/// Has a variable that is set to nothing count as one that is not set, as scripts and unit files mean it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) { argument.env(None::<&str>) } else { argument }
    })
}

/// Reports what is wrong with the command line, as JSON if that was requested; only the raw arguments show that.
fn usage_error(error: &clap::Error) {
    if !std::env::args_os().any(|argument| argument == "--json") {
        // If standard error is closed, there is nobody left to tell.
        let _ = error.print();
        return;
    }
    Failure::new(Exit::Usage, in_one_line(&error.to_string())).hint("`ics COMMAND --help` has examples").print(true);
}

/// The message of clap in one line, with the arguments that it lists on lines of their own, and without usage and tips.
fn in_one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let listed: Vec<&str> = lines.collect();
    if listed.is_empty() { first.to_owned() } else { format!("{first} {}", listed.join(", ")) }
}

/// Removes user, password and query from an address in a message about the command line: the message quotes what it
/// refuses, and may be kept by those who run the command for others.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let takes_address = context(&error, ContextKind::InvalidArg).is_some_and(|argument| argument.contains("<URL>"));
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let Some(text) = context(&error, kind) else { continue };
        if text.contains("://") || takes_address && kind == ContextKind::InvalidValue {
            let quoted = quoted(text);
            error.insert(kind, ContextValue::String(quoted));
        }
    }
    error
}

/// A text from which clap builds its message.
fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// The definition of the command line, for completions and manual pages too.
#[must_use]
pub fn definition() -> clap::Command {
    with_folded_examples(Cli::command())
}

/// The maximum width of an example, in columns: that of a narrow terminal. If clap had to wrap a longer one, it would
/// do so without the shell's continuation backslash, and what is copied would be another command.
const EXAMPLE_COLUMNS: usize = 80;

fn with_folded_examples(command: clap::Command) -> clap::Command {
    let folded = command.get_after_long_help().map(|help| {
        let help = with_whole_paragraphs(&help.to_string());
        help.lines().map(folded).collect::<Vec<_>>().join("\n")
    });
    let command = match folded {
        Some(help) => command.after_long_help(help),
        None => command,
    };
    command.mut_subcommands(with_folded_examples)
}

/// Joins each paragraph of a help text, also a caption or an item of a list, into one line: clap wraps it at the
/// terminal's width, and would otherwise also keep the line breaks of the source. What begins with `$`, or is further
/// indented, is an example or a table, and stays as it is.
fn with_whole_paragraphs(help: &str) -> String {
    let mut text = String::new();
    // The column at which the paragraph of the line before goes on.
    let mut column = None;
    for line in help.lines() {
        let said = line.trim_start_matches(' ');
        let indent = line.len() - said.len();
        let (is_item, is_text) = (said.starts_with("- "), !said.is_empty() && !said.starts_with('$'));
        if is_text && !is_item && column == Some(indent) {
            text.push(' ');
            text.push_str(said);
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
        column = if is_item { Some(indent + 2) } else { (is_text && indent <= 2).then_some(indent) };
    }
    text
}

/// A line of help; a long example becomes several lines that are one command.
fn folded(line: &str) -> String {
    let Some(example) = line.strip_prefix("  $ ").filter(|_| line.chars().count() > EXAMPLE_COLUMNS) else {
        return line.to_owned();
    };
    let (mut lines, mut last) = (Vec::new(), "  $".to_owned());
    for word in words_of(example) {
        // Leaves room for the space before the word, and for the backslash after it.
        if last.chars().count() + word.chars().count() + 3 > EXAMPLE_COLUMNS {
            lines.push(core::mem::replace(&mut last, "     ".to_owned()));
        }
        last.push(' ');
        last.push_str(word);
    }
    // After a word as long as the line itself, a backslash preceded by a space would be wrapped.
    let end = |line: String| if line.chars().count() + 2 > EXAMPLE_COLUMNS { line + "\\\n" } else { line + " \\\n" };
    lines.into_iter().map(end).chain([last]).collect()
}

/// Splits a shell command into words, with their quotes.
fn words_of(command: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    command.split(move |letter| {
        quoted ^= letter == '\'';
        letter == ' ' && !quoted
    })
}

#[cfg(test)]
mod tests;
