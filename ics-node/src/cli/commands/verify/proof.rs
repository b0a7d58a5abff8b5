//! `ics verify --document` of a proof that an entry stands in a log (C2SP tlog-proof), without a network.

use console::style;
use ics_core::limits;
use ics_core::log::cosignature;
use ics_core::log::note::Algorithm;
use ics_core::log::receipt::PROOF_BYTES;
use ics_core::log::source::Source;
use ics_core::statement::body;
use ics_core::time::Timestamp;
use serde::Serialize;

use super::Verify;
use super::report::Checked;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::words::{counted_entries, is_ahead, when_by};

/// What a proof shows.
#[derive(Serialize)]
struct Report {
    checked: Checked,
    origin: String,
    index: u64,
    size: u64,
    root: String,
    /// The kind of the entry.
    kind: &'static str,
    /// The id of the statement in it.
    statement: String,
    /// Those of the named witnesses that have cosigned.
    witnesses: Vec<Witnessed>,
    not_proven: Vec<&'static str>,
}

#[derive(Serialize)]
struct Witnessed {
    name: String,
    at: Timestamp,
}

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, Failure> {
    let refused = |what: String| Failure::new(Exit::Refused, format!("the proof is refused: {what}"));
    verify.refuse_what_says_nothing(
        "a proof",
        &[("--trust", verify.trust.is_some()), ("--at", verify.at.is_some())],
        "a proof shows that an entry stands in a log, whatever the time and the policy: evidence (`ics export`) is \
         judged as of a time",
    )?;
    let Some(log_key) = &verify.log_key else {
        return Err(Failure::new(Exit::Usage, "a proof is verified by the key of the log's home")
            .hint("--log-key takes it; `ics domain show DOMAIN --node URL` shows it as log key"));
    };
    let text = files::read(&verify.file, PROOF_BYTES)?;
    let text = String::from_utf8(text).map_err(|error| refused(error.to_string()))?;
    let source = Source::from_tlog_proof(&text).map_err(|error| refused(error.to_string()))?;
    if let Some(pin) = verify.pin.as_ref().filter(|pin| **pin != source.origin) {
        return Err(refused(format!("it is of `{}`, not of `{pin}`", source.origin)));
    }
    let path = verify.body.clone().unwrap_or_else(|| verify.file.with_extension("pgp"));
    let body = files::read(&path, limits::PERSON_CERTIFICATE_BYTES)?;
    let checkpoint = source.verify(&body, log_key).map_err(|error| refused(error.to_string()))?;
    let parsed = body::parse(&body).map_err(|error| refused(format!("`{}`: {error}", path.display())))?;
    let (witnesses, now) = (witnesses(verify, &source)?, context.now());
    let has_later = witnesses.iter().any(|it| is_ahead(it.at, now));
    let later = "when it was cosigned: a witness claims a future time, so its clock or that of this machine is wrong";
    let report = Report {
        checked: Checked::Document,
        origin: source.origin.to_string(),
        index: source.index,
        size: checkpoint.size,
        root: checkpoint.root.to_string(),
        kind: parsed.kind().as_str(),
        statement: parsed.id().to_string(),
        witnesses,
        not_proven: [
            "that the statement's own signature is good, and that it has effect: evidence (`ics export`) proves that",
            "that nothing has been said since",
        ]
        .into_iter()
        .chain(has_later.then_some(later))
        .collect(),
    };
    context.output.result(&report, || shown(&report, now))?;
    Ok(Exit::Ok)
}

/// Returns the witnesses that have cosigned; an error if they are fewer than required.
fn witnesses(verify: &Verify, source: &Source) -> Result<Vec<Witnessed>, Failure> {
    if let Some(other) = verify.witness.iter().find(|key| key.algorithm() != Algorithm::Cosignature) {
        return Err(Failure::new(
            Exit::Usage,
            format!("the key of `{}` is not one for cosignatures (type 4)", other.name()),
        ));
    }
    let times = cosignature::times(&source.checkpoint, &verify.witness);
    let times = times.map_err(|error| Failure::new(Exit::Refused, format!("the proof is refused: {error}")))?;
    let needed = verify.quorum.unwrap_or(verify.witness.len());
    // A witness that is named twice counts once.
    let mut witnesses: Vec<Witnessed> = Vec::new();
    for (key, at) in times {
        if !witnesses.iter().any(|known| known.name == key.name()) {
            witnesses.push(Witnessed { name: key.name().to_owned(), at });
        }
    }
    match witnesses.len() {
        found if found < needed => Err(Failure::new(
            Exit::Refused,
            format!("{found} of these witnesses have cosigned the checkpoint, {needed} must"),
        )
        .hint("the log's node may have more cosignatures by now: export the proof again")),
        _ => Ok(witnesses),
    }
}

fn shown(report: &Report, now: Timestamp) -> String {
    let mut rows = vec![
        ("log", report.origin.clone()),
        ("entry", format!("{}, a {}", report.index, report.kind)),
        ("id", report.statement.clone()),
        ("proven", format!("it stands in the log of {} with the root {}", counted_entries(report.size), report.root)),
    ];
    rows.extend(report.witnesses.iter().map(|it| ("witness", format!("{} at {}", it.name, when_by(it.at, now)))));
    rows.push(("not proven", report.not_proven.join("\n")));
    card(&format!("{} the entry is in the log", style("✓").green()), &rows)
}
