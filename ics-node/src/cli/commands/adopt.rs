//! `ics adopt`.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use console::style;
use ics_core::vocabulary::DomainName;

use crate::api::{AdoptionRequest, AdoptionResult, Problem};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::session::named;
use crate::cli::words::{clean, counted};

/// How many identities are listed by id; beyond that only their number is given.
const SHOWN: usize = 10;

/// What `ics adopt` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("chosen").multiple(true).required(true)), after_long_help = "\
Examples:
  $ ics adopt --from devices.acme.example serial:SN-0001 serial:SN-0002
  $ ics adopt --from devices.acme.example --model P7 --lot 2026-07
  $ ics adopt --from devices.acme.example --model P7 --follow
  $ ics adopt --from devices.acme.example --model P7 --no-follow
  $ ics adopt --from code.soft.example --into plant.integrator.example \
sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

  Before the first adoption the owners of your domain name the other one as a source, its signers with their role, \
which `ics domain show --node` tells, and the names that come with the things:
  $ curl https://ics.acme.example/v1/domains/devices.acme.example > acme.json
  $ ics domain show devices.acme.example --node https://ics.acme.example
  $ ics domain update --add-source acme.json --add-signer \
manufacturer=0123456789abcdef0123456789abcdef01234567 --add-names 'manufacturer=serial:*'
  $ ics domain submit

Not everything needs an adoption. Single things of any domain that the node holds can be approved, labelled or given a
status by id or name, and a trust policy that names both domains decides about them. Adopt where your own domain has to
tell all of it: for --model, --lot and --group, and for those who copy your domain alone.")]
pub(crate) struct Adopt {
    /// Things by id or name.
    #[arg(value_name = "ID|NAME", group = "chosen")]
    ids: Vec<String>,
    /// The domain to take from.
    #[arg(long, value_name = "DOMAIN")]
    from: DomainName,
    /// The domain to take it into [default: `[client] domain` in ics.toml].
    #[arg(long, value_name = "DOMAIN")]
    into: Option<DomainName>,
    /// Everything of this model.
    #[arg(long, group = "chosen")]
    model: Option<String>,
    /// Everything of this lot; with --model, what fits both.
    #[arg(long, group = "chosen")]
    lot: Option<String>,
    /// From now on, also take over automatically what is said of them later, such as a recall by the manufacturer. With
    /// --model or --lot this includes things that are added later. By the templates' rules a grant that is taken over
    /// can only make an owner, who cannot lift what was said here. If the node keeps no copy of the domain but may ask
    /// its home about it (`ics peer add --roam`), the home pushes what is said.
    #[arg(long, conflicts_with = "no_follow")]
    follow: bool,
    /// Stop taking over automatically what is said of them; nothing is adopted.
    #[arg(long)]
    no_follow: bool,
}

impl Adopt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let into = named(self.into, config.client.domain.as_ref(), "domain")
            .map_err(|failure| failure.hint("name one with --into, or set [client] domain in ics.toml"))?;
        let node = context.node(&config)?;
        let (ids, model, lot) = (self.ids, self.model, self.lot);
        let follow = (self.follow || self.no_follow).then_some(self.follow);
        let request = AdoptionRequest { source: self.from.to_string(), ids, model, lot, follow };
        let result = context.wait(async { Ok(node.adopt(&into, &request).await?) })?;
        context.output.result(&result, || text(&self.from, &into, follow, &result))?;
        Ok(if is_whole(&result) { Exit::Ok } else { Exit::Refused })
    }
}

fn text(from: &DomainName, into: &DomainName, follow: Option<bool>, result: &AdoptionResult) -> String {
    let identities = u64::try_from(result.identities.len()).unwrap_or(u64::MAX);
    let mut ids: Vec<String> = result.identities.iter().take(SHOWN).cloned().collect();
    if let Some(more) = result.identities.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        ids.push(format!("… and {more} more"));
    }
    let mut rows =
        vec![("things", format!("{identities}\n{}", style(ids.join("\n")).dim())), ("taken", said(result.adopted))];
    match follow {
        Some(true) if result.barred > 0 && result.identities.is_empty() => {
            rows.push(("followed", barred_some(from, into)));
        }
        Some(true) if result.barred > 0 => rows.push(("followed", barred(from, into, result.barred, identities))),
        // Only the home can tell what belongs to a model or lot in a domain that is not copied here.
        Some(true) if result.identities.is_empty() => {
            let text = format!(
                "what there is and what is said of it later is taken over as far as the rules of {from} let this node \
                 read it: `ics domain show {into} --node URL` tells how that goes. A domain that did not introduce the \
                 things, such as one of labels, knows no model or lot: follow them there by id"
            );
            rows.push(("followed", text));
        }
        Some(true) => {
            let is_whole = result.refused.is_empty();
            let made_up = if is_whole { "" } else { ", and what is refused now as soon as the rules permit it" };
            rows.push(("followed", format!("what is said of them later is taken over by the node{made_up}")));
        }
        Some(false) => rows.push(("followed", "no longer".to_owned())),
        None => {}
    }
    if result.present > 0 {
        rows.push(("had before", said(result.present)));
    }
    if result.left_out > 0 {
        let whose = format!("of its issuers of X.509 certificates, who have no role in {into}");
        rows.push(("left there", format!("{} {whose}", said(result.left_out))));
    }
    if !result.refused.is_empty() {
        rows.push(("refused", refused(&result.refused)));
    }
    let mark = if is_whole(result) { style("✓").green() } else { style("!").yellow().bold() };
    card(&format!("{mark} {from} → {into}"), &rows)
}

/// Whether everything was taken, and is followed if that was requested.
fn is_whole(result: &AdoptionResult) -> bool {
    result.refused.is_empty() && result.barred == 0
}

fn barred(from: &DomainName, into: &DomainName, barred: u64, of: u64) -> String {
    let text = format!(
        "{} {barred} of {of}: the rules of {from} do not let {into} take over what is said of them later",
        style("✗").red()
    );
    let hint = format!(
        "an owner there must permit the action `follow` to an owner of {into} or to its node: where the rules ask for \
         a role, `ics grant ROLE --to` that owner's key, not a signer's; until then their blocks do not arrive"
    );
    format!("{text}\n  {}", style(hint).dim())
}

/// For a model or lot, nobody here knows how many things were withheld.
fn barred_some(from: &DomainName, into: &DomainName) -> String {
    let text = format!(
        "{} the rules of {from} do not let {into} take over what is said of some of the things that it follows there",
        style("✗").red()
    );
    let hint = "an owner there must permit the actions `read` and `follow`; until then their blocks do not arrive";
    format!("{text}\n  {}", style(hint).dim())
}

/// Lists each reason once, with how often it was given.
fn refused(problems: &[Problem]) -> String {
    let mut reasons: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
    for problem in problems {
        *reasons.entry((&problem.detail, problem.hint.as_deref())).or_default() += 1;
    }
    let line = |((detail, hint), count): (&(&str, Option<&str>), &u64)| {
        let hint = hint.map(|hint| format!("\n  {}", style(clean(hint)).dim())).unwrap_or_default();
        format!("{} {}: {}{hint}", style("✗").red(), said(*count), clean(detail))
    };
    reasons.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn said(count: u64) -> String {
    counted(count, "statement")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::Code;

    #[test]
    fn what_was_taken_and_what_not() {
        let problem = |detail: &str| Problem {
            kind: "urn:ics:problem:role-not-held".to_owned(),
            title: String::new(),
            status: 403,
            detail: detail.to_owned(),
            hint: Some("an owner must name the signer".to_owned()),
        };
        let result = AdoptionResult {
            identities: (0..12).map(|n| format!("id-{n}")).collect(),
            adopted: 1,
            present: 2,
            refused: vec![problem("no such role"), problem("no such role")],
            left_out: 3,
            barred: 0,
        };
        let shown = text(&"a.example".parse().expect("name"), &"b.example".parse().expect("name"), None, &result);
        let ids: String = (0..10).map(|n| format!("              id-{n}\n")).collect();
        assert_eq!(
            console::strip_ansi_codes(&shown),
            format!(
                "! a.example → b.example\n  things      12\n{ids}              … and 2 more\n  taken       1 statement\n  \
                 had before  2 statements\n  left there  3 statements of its issuers of X.509 certificates, who have no \
                 role in b.example\n  refused     ✗ 2 statements: no such role\n                an owner must \
                 name the signer\n"
            )
        );
    }

    #[test]
    fn what_may_not_be_followed_is_not_promised() {
        let identities = vec!["id-1".to_owned(), "id-2".to_owned()];
        let result = AdoptionResult { identities, adopted: 4, barred: 1, ..AdoptionResult::default() };
        let [from, into] = ["a.example", "b.example"].map(|name| name.parse().expect("a name"));
        let shown = text(&from, &into, Some(true), &result);
        let shown = console::strip_ansi_codes(&shown);
        assert!(shown.starts_with("! a.example → b.example\n"), "{shown}");
        assert!(shown.contains("1 of 2: the rules of a.example do not let b.example take over"), "{shown}");
        assert!(shown.contains("`ics grant ROLE --to` that owner's key, not a signer's"), "{shown}");
        assert!(!shown.contains("is taken over by the node"), "{shown}");

        let refused = vec![Problem::of(Code::NameNotPermitted, "not this name".to_owned())];
        let result = AdoptionResult { identities: vec!["id-1".to_owned()], refused, ..AdoptionResult::default() };
        let told = text(&from, &into, Some(true), &result);
        assert!(told.contains("and what is refused now as soon as the rules permit it"), "{told}");

        // The model is in a domain that is not copied here.
        let shown = |barred| {
            let result = AdoptionResult { barred, ..AdoptionResult::default() };
            console::strip_ansi_codes(&text(&from, &into, Some(true), &result)).into_owned()
        };
        assert!(shown(1).contains("✗ the rules of a.example do not let b.example take over"), "{}", shown(1));
        assert!(shown(0).contains("as far as the rules of a.example let this node read it"), "{}", shown(0));
        // Nor does a domain of labels ever know a model: what it says would not be followed, and nobody would notice.
        assert!(shown(0).contains("follow them there by id"), "{}", shown(0));
    }
}
