//! `ics erase`.

use std::path::PathBuf;

use clap::Args;
use console::style;
use ics_core::descriptor::Descriptor;
use ics_core::statement::Erasure;
use ics_core::vocabulary::{Act, DomainName};
use serde_json::json;

use super::domain::unlock_all;
use crate::api::SubmissionResult;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::say;
use crate::cli::session::{InDomain, rules};
use crate::cli::words::{clean, when};
use crate::client::erasure::ErasureFile;
use crate::client::node::Node;
use crate::client::submit;
use crate::words::path_text;

/// What `ics erase` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
An erasure does not reach: backups and exports, and the former stores that `ics restore` leaves in `data/replaced-*`;
copies that other domains have adopted; requests for enrolment, which `ics enroll forget KEY` deletes; what other
statements about the same thing say, in a reason for example: everybody who may read the thing can read them, until they
are erased too.

Nor does it reach what cannot be erased: the reasons of withdrawals; the name of the thing in a withdrawal of an
introduction or an approval, and in grants and statements about issued certificates that an earlier version of this
program, or another program, has signed; what the node remembers of certificates beside the log: the names in them until
30 days after they end, the orders of ACME clients for about as long, and the contacts of their accounts until the
client deactivates the account or `ics acme revoke` takes it away; the certificates themselves; and what the node has
written to its own log (hosts of ACME clients at level `debug`).

An erased introduction keeps maker, model, product and lot. If a rule about reading looks at anything else, such as
location or destination, the thing is from then on shown only to those to whom everything is shown. To keep it readable
as before, first replace the statement by one without what is to be erased.

If the statement blocks, or would block if what lifted it were taken back, or if it has ended another statement, its
signer stays named as well: what is left no longer counts if the owners declare that signer's key compromised, and the
holder of that key may take it back.

If nothing else was said of the thing, its key is erased too. To block the thing later, that key is then needed from a
file (`ics status stolen ID --thing-key FILE`): so keep the key, or block the thing before you erase anything.

Examples:
  $ ics history serial:SN-0001
  $ ics erase --entry 17

  If the descriptor demands two owners, one signs first and the other submits:
  $ ics erase --entry 17 --owner owner-a -o erase-17.pgp
  $ ics erase --from erase-17.pgp --owner owner-b")]
pub(crate) struct Erase {
    /// The index of the entry in the domain's log, as `ics history` shows it.
    #[arg(long, value_name = "INDEX", required_unless_present = "from")]
    entry: Option<u64>,
    /// A file with an erasure that owners have signed. Whoever has signed it already only passes it on, or submits
    /// it. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "entry")]
    from: Option<PathBuf>,
    #[command(flatten)]
    domain: InDomain,
    /// The owner's key that signs.
    #[arg(long = "owner", default_value = "owner", value_name = "KEY")]
    owners: Vec<String>,
    /// Write the signed erasure to this file, or to standard output for `-`, for other owners to sign, and submit
    /// nothing.
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

impl Erase {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let begun = self.from.as_deref().map(ErasureFile::read).transpose()?;
        let domain = match &begun {
            Some(file) => file.signed.erasure.domain.clone(),
            None => self.domain.clone().or_default(&config)?,
        };
        let rules = context.wait(rules(&node, &domain))?;
        let erasure = match (&begun, self.entry) {
            (Some(file), _) => file.signed.erasure.clone(),
            (None, Some(index)) => asked_for(index, context.wait(async { Ok(node.erasure(&domain, index).await?) })?)?,
            (None, None) => return Err(Failure::new(Exit::Usage, "no entry is named").hint("--entry INDEX names one")),
        };
        if erasure.domain != domain {
            return Err(Failure::new(Exit::Network, format!("the node proposes the erasure for `{}`", erasure.domain)));
        }
        context.output.review(&proposed(&erasure), !self.yes);
        say::confirm(!self.yes, "It cannot be undone. Sign this?")?;
        let file = self.signed(context, begun, &erasure, &rules)?;
        match &self.output {
            Some(path) => {
                files::write(path, file.body())?;
                let shown = json!({ "file": path_text(path), "erasure": erasure });
                let text = || format!("{} signed into {}", style("✓").green(), path.display());
                context.output.written(path, &shown, text)?;
                Ok(Exit::Ok)
            }
            None => submit_erasure(context, &node, &domain, &file),
        }
    }

    fn signed(
        &self,
        context: &Context,
        begun: Option<ErasureFile>,
        erasure: &Erasure,
        rules: &Descriptor,
    ) -> Result<ErasureFile, Failure> {
        let unlocked = unlock_all(context, &self.owners)?;
        let signers = unlocked.iter().map(|key| key.primary()).collect::<Result<Vec<_>, _>>()?;
        let Some(mut file) = begun else {
            return Ok(ErasureFile::sign_new(erasure, &rules.owners.keys, &signers, context.now())?);
        };
        for signer in signers {
            file = file.add_signature(&rules.owners.keys, signer, context.now())?;
        }
        Ok(file)
    }
}

/// Returns the proposed erasure if it is of the requested entry: what is erased cannot be restored.
fn asked_for(index: u64, erasure: Erasure) -> Result<Erasure, Failure> {
    if erasure.index == Some(index) {
        return Ok(erasure);
    }
    let given = erasure.index.map_or_else(|| "an entry without an index".to_owned(), |given| format!("entry {given}"));
    let message = format!("the node proposes to erase {given} in the place of entry {index}");
    Err(Failure::new(Exit::Network, message)
        .hint("nothing was signed; another node may hold the domain: --node names it"))
}

fn submit_erasure(context: &Context, node: &Node, domain: &DomainName, file: &ErasureFile) -> Result<Exit, Failure> {
    let results = submit::submit(node, domain, vec![file.body().to_vec()]);
    let receipt = match context.wait(async { Ok(results.await?) })?.pop() {
        Some(SubmissionResult::Receipt(receipt)) => receipt,
        Some(SubmissionResult::Problem(problem)) => return Err(problem.into()),
        Some(SubmissionResult::Pending(pending)) => return say::waits(context, "the erasure", &pending),
        None => return Err(Failure::new(Exit::Network, "the node gave no result")),
    };
    let erasure = &file.signed.erasure;
    let shown = json!({ "domain": domain, "index": receipt.index, "erasure": erasure, "receipt": receipt });
    context.output.result(&shown, || {
        let erased = erasure.index.map_or_else(String::new, |index| format!(" {index}"));
        let rows = [
            ("by", format!("entry {}", receipt.index)),
            (
                "copies",
                "mirrors delete it when they hear of it; backups and exports keep it until they are deleted, and domains \
                 that have adopted it until their owners erase it there"
                    .into(),
            ),
            ("requests", requests(erasure)),
        ];
        card(&format!("{} entry{erased} is erased", style("✓").green()), &rows)
    })?;
    Ok(Exit::Ok)
}

/// A hint on requests for enrolment: what a thing once requested with its key is not a statement.
fn requests(erasure: &Erasure) -> String {
    let key = erasure.identity.filter(|it| it.kind.has_key()).map_or("KEY".to_owned(), |it| it.id.to_string());
    let forget = format!("ics enroll forget {key} --domain {}", erasure.domain);
    format!("a request for enrolment is not reached: `{forget}` deletes it, if there was one")
}

/// Describes what is to be signed, for people.
fn proposed(erasure: &Erasure) -> String {
    let mut rows = vec![("statement", erasure.statement.to_string())];
    rows.extend(erasure.identity.map(|it| ("about", format!("{} {}", it.kind, it.id))));
    rows.extend(erasure.act.map(|act| ("act", act.to_string())));
    rows.push(("stays", stays(erasure)));
    let index = erasure.index.map_or_else(String::new, |index| format!(" {index}"));
    card(&format!("erase entry{index} of {}", erasure.domain), &rows)
}

fn stays(erasure: &Erasure) -> String {
    let mut lines = Vec::new();
    if let Some(status) = &erasure.status {
        let until = erasure.until.map_or_else(String::new, |until| format!(" until {}", when(until)));
        lines.push(format!("the block by the status {}{until}, while nothing ends it", clean(status.as_str())));
        if erasure.identity.is_some_and(|it| it.kind.has_key()) {
            let since = erasure.from.map_or_else(String::new, |from| format!(", since {}", when(from)));
            lines.push(format!("that it revokes X.509 certificates{since}"));
        }
    }
    if !erasure.ends.is_empty() {
        lines.push("the end of what it had replaced".to_owned());
    }
    if !erasure.groups.is_empty() || !erasure.attributes.is_empty() {
        let values = erasure.attributes.iter().map(|(attribute, value)| format!(", {attribute} {}", clean(value)));
        lines.push(format!("to which groups it may belong{}", values.collect::<String>()));
    }
    if let Some(by) = &erasure.said_by {
        lines.push(format!("who said it, because it may stop counting with that signer: {}", by.signer));
    }
    lines.push("its id and its leaf in the log".to_owned());
    lines.push("what other statements about it say, also in words".to_owned());
    if erasure.identity.is_some_and(|it| it.kind.has_key()) {
        lines.push("its name in what cannot be erased: withdrawals of introductions and approvals,".to_owned());
        lines.push("and grants and issued certificates that an earlier version of this program has signed".to_owned());
    }
    if erasure.act == Some(Act::Identity) {
        lines.push("what rules of reading hide by what goes: only whom everything is shown reads it then".to_owned());
    }
    lines.join("\n")
}
