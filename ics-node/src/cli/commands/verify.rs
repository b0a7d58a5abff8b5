//! `ics verify`.

mod case;
mod pin;
mod proof;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::evidence::{self, Evidence, EvidenceRefusal, Verified};
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::note::VerifierKey;
use ics_core::log::source::Source;
use ics_core::time::Timestamp;
use ics_core::trust::Outcome;
use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Serialize};

use crate::api::problem::Code;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::record::{heading, record_card_of};
use crate::cli::words::{Freshness, counted, when};
use crate::client::artifact::{self, ArtifactRefusal};
use crate::client::node::NodeError;

/// What `ics verify` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics verify pump.evidence.json
  $ ics verify pump.evidence.json --pin \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  What held on that day:
  $ ics verify pump.evidence.json --at 2026-11-20T08:30:00Z

  A proof that an entry stands in a log, by the keys that its home and two witnesses have told you:
  $ ics verify entry-17.tlog-proof --log-key \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455+1e044bcd+\
AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea \
--witness ics.cert.example+e67d9286+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea

  A verdict that `ics explain --save` or a node has given, by the trust policy that must have decided:
  $ ics verify pump.case.json --trust trust.json

  May this file be installed?
  $ ics verify firmware.bin --evidence firmware.evidence.json --pin \
code.soft.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455
  $ ics verify hello_2.10-3_amd64.deb
  $ ics verify firmware.bin --domain code.soft.example --node https://ics.soft.example

Exit code 0 says of a file that it may be used now. Of evidence alone, a verdict or a proof it says that it is genuine,
also where it is over: whether evidence or a verdict still holds say the first line, and `fresh` in --json.")]
pub(crate) struct Verify {
    /// The evidence; or an artifact, which is checked by --evidence, or by what a node says of its hash.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The evidence for an artifact; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    evidence: Option<PathBuf>,
    /// Ask the node for what this domain says of the artifact [default: that of `[client]` in ics.toml, or else the
    /// only one at the node that speaks of it].
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,
    /// The domain's name and hash of entry 0, as its owners told you [default: that of a peer, a home or the trust policy
    /// in ics.toml]. Without one no evidence at hand permits the use of a file, nor does what another machine says over
    /// plain HTTP.
    #[arg(long, value_name = "ORIGIN")]
    pin: Option<Origin>,
    /// For an artifact: permit its use also by evidence of which its home has not signed that it is complete. Whoever made
    /// or carried it may have left out that the artifact was withdrawn.
    #[arg(long, requires = "evidence")]
    incomplete: bool,
    /// For a proof: the key of the log's home, the `log key` of `ics domain show DOMAIN --node URL`.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["evidence", "domain"])]
    log_key: Option<VerifierKey>,
    /// For a proof: the key of a witness that must have cosigned; the same form, of type 4.
    #[arg(long, value_name = "KEY", requires = "log_key")]
    witness: Vec<VerifierKey>,
    /// For a proof: how many of these witnesses are enough [default: all].
    #[arg(long, value_name = "COUNT", requires = "witness")]
    quorum: Option<usize>,
    /// For a proof: the entry's body [default: the file beside the proof that ends in .pgp].
    #[arg(long, value_name = "FILE", requires = "log_key")]
    body: Option<PathBuf>,
    /// For a verdict: the trust policy that must have decided [default: the one in ics.toml, if there is one].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["evidence", "domain", "log_key"])]
    trust: Option<PathBuf>,
    /// Judge as of this time, in RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|e| e.to_string())
}

/// What was found, as JSON.
#[derive(Serialize)]
struct Report {
    /// Whether the origin is the one that was pinned.
    pinned: bool,
    /// When it was judged.
    at: Timestamp,
    /// The same, where somebody has asked for that time.
    #[serde(skip)]
    asked_for: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<ArtifactReport>,
    #[serde(flatten)]
    verified: Verified,
    not_proven: Vec<String>,
}

#[derive(Serialize)]
struct ArtifactReport {
    file: PathBuf,
    id: String,
    /// Whether the evidence is about this file at all.
    meant: bool,
    permitted: bool,
    /// `allow`, `deny`, or `unknown`: nothing speaks against it, and what speaks for it is not proven.
    verdict: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.is_proof()? {
            return proof::run(&self, context);
        }
        if let Some(json) = self.case()? {
            return case::run(&self, context, &json);
        }
        self.refuse_what_says_nothing(
            if self.is_artifact()? { "an artifact" } else { "evidence" },
            &[("--trust", self.trust.is_some())],
            "--trust names the policy that must have decided a verdict, as `ics explain --save` writes it; --pin names \
             the domain that is meant",
        )?;
        let evidence = self.evidence(context)?;
        let pin = match self.pin.clone() {
            Some(pin) => Some(pin),
            None => pin::known_here(&context.config()?, &evidence.domain),
        };
        let now = self.at.unwrap_or_else(|| context.now());
        let verified = evidence::verify(&evidence, pin.as_ref(), now)?;
        let artifact = self.check_artifact(context, &verified, pin.is_some())?;
        let permits = artifact.as_ref().is_none_or(|artifact| artifact.permitted);
        let not_proven = not_proven(&verified, pin.is_some(), self.at);
        let (pinned, asked_for) = (pin.is_some(), self.at);
        let report = Report { pinned, at: now, asked_for, artifact, verified, not_proven };
        context.output.result(&report, || text(&report))?;
        Ok(if permits { Exit::Ok } else { Exit::Refused })
    }

    /// Refuses a flag that says nothing about such a file: whoever gives it believes that the file was held against it.
    fn refuse_what_says_nothing(&self, what: &str, flags: &[(&str, bool)], hint: &str) -> Result<(), Failure> {
        match flags.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => {
                let message = format!("`{}` is {what}, for which {flag} says nothing", self.file.display());
                Err(Failure::new(Exit::Usage, message).hint(hint))
            }
            None => Ok(()),
        }
    }

    fn evidence(&self, context: &Context) -> Result<Evidence, Failure> {
        if let Some(domain) = &self.domain {
            return from_node(context, domain, &self.file);
        }
        if self.is_artifact()? {
            return from_node(context, &domain_of(context, &self.file)?, &self.file);
        }
        let path = self.evidence.as_ref().unwrap_or(&self.file);
        let refused = Evidence::parse(&files::read(path, limits::EVIDENCE_BYTES)?);
        refused.map_err(|refusal| {
            let failure = Failure::new(Exit::Refused, format!("`{}`: {refusal}", path.display()));
            match self.evidence {
                Some(_) => failure,
                None => failure.hint("an artifact is checked with --evidence FILE, or with --domain DOMAIN"),
            }
        })
    }

    /// The file, if it is a verdict with its evidence.
    fn case(&self) -> Result<Option<Vec<u8>>, Failure> {
        #[derive(Deserialize)]
        struct Probe {
            verdict: Option<serde::de::IgnoredAny>,
        }
        if self.evidence.is_some() || self.domain.is_some() || self.is_artifact()? {
            return Ok(None);
        }
        let json = files::read(&self.file, limits::CASE_BYTES)?;
        // Of what is no JSON any more, --trust says what it was.
        let probe = serde_json::from_slice::<Probe>(&json);
        let is_case = probe.map_or(self.trust.is_some(), |probe| probe.verdict.is_some());
        Ok(is_case.then_some(json))
    }

    /// Whether the file is a proof that an entry stands in a log.
    fn is_proof(&self) -> Result<bool, Failure> {
        if self.log_key.is_some() {
            return Ok(true);
        }
        let failed = |e| files::failed(&self.file, e);
        let mut first = Vec::new();
        File::open(&self.file).and_then(|file| file.take(64).read_to_end(&mut first)).map_err(failed)?;
        Ok(self.evidence.is_none() && self.domain.is_none() && Source::is_tlog_proof(&first))
    }

    /// Whether the file, of which nothing else is said, is no evidence: evidence is a JSON object.
    fn is_artifact(&self) -> Result<bool, Failure> {
        if self.evidence.is_some() || self.domain.is_some() {
            return Ok(false);
        }
        let failed = |e| files::failed(&self.file, e);
        let mut first = [0];
        let length = File::open(&self.file).and_then(|mut file| file.read(&mut first)).map_err(failed)?;
        Ok(length == 1 && !first[0].is_ascii_whitespace() && first != *b"{")
    }

    fn check_artifact(
        &self,
        context: &Context,
        verified: &Verified,
        is_pinned: bool,
    ) -> Result<Option<ArtifactReport>, Failure> {
        if self.evidence.is_none() && self.domain.is_none() && !self.is_artifact()? {
            return Ok(None);
        }
        let id = artifact::id_of(&self.file).map_err(|e| files::failed(&self.file, e))?;
        // What a node is asked for is its word, as all its answers are, where it is known that the node has given it.
        let is_exposed = self.evidence.is_none() && context.node(&context.config()?)?.is_exposed();
        let carried = || match self.evidence {
            Some(_) => artifact::check_carried(verified, is_pinned, self.incomplete),
            None if is_exposed => artifact::check_exposed(verified, is_pinned),
            None => Ok(()),
        };
        let refusal: Option<ArtifactRefusal> = artifact::check(id, verified).and_then(|()| carried()).err();
        let because = refusal.as_ref().map(ToString::to_string);
        let meant = !matches!(refusal, Some(ArtifactRefusal::Other));
        let (file, id) = (self.file.clone(), id.to_string());
        let verdict = match &refusal {
            None => Outcome::Allow,
            Some(refusal) if refusal.is_unknown() => Outcome::Unknown,
            Some(_) => Outcome::Deny,
        };
        Ok(Some(ArtifactReport { file, id, meant, permitted: refusal.is_none(), verdict, because }))
    }
}

/// What a domain says of an artifact that only its hash identifies.
fn from_node(context: &Context, domain: &DomainName, file: &Path) -> Result<Evidence, Failure> {
    let id = artifact::id_of(file).map_err(|e| files::failed(file, e))?;
    let (node, asked) = (context.node(&context.config()?)?, id.to_string());
    let (answer, view) = context.wait(async {
        let answer = node.evidence(domain, &asked).await;
        let view = if answer.as_ref().is_err_and(is_unknown) { node.view(&asked).await.ok() } else { None };
        Ok((answer, view))
    })?;
    answer.map_err(|error| {
        if !is_unknown(&error) {
            return error.into();
        }
        let others = view.into_iter().flat_map(|view| view.records).map(|answer| answer.record.domain);
        Failure::new(Exit::Refused, format!("`{domain}` says nothing of `{}`, which is `{id}`", file.display()))
            .hint(who_else(others))
    })
}

fn is_unknown(error: &NodeError) -> bool {
    matches!(error, NodeError::Problem(problem) if problem.code() == Code::UnknownIdentity.as_str())
}

/// What to make of a domain that says nothing of a file: others may.
fn who_else(others: impl Iterator<Item = DomainName>) -> String {
    let others: Vec<String> = others.map(|domain| format!("`--domain {domain}`")).collect();
    match others.as_slice() {
        [] => "it is another version, was changed, or comes from somebody else".to_owned(),
        others => format!("the node knows it from elsewhere: {}", others.join(" or ")),
    }
}

/// The domain that speaks of a file, where none is named: that of ics.toml, or the only one at the node that knows it.
fn domain_of(context: &Context, file: &Path) -> Result<DomainName, Failure> {
    let config = context.config()?;
    if let Some(domain) = &config.client.domain {
        return Ok(domain.clone());
    }
    let id = artifact::id_of(file).map_err(|e| files::failed(file, e))?;
    let node = context.node(&config)?;
    let view = context.wait(async { Ok(node.view(&id.to_string()).await?) })?;
    let mut domains = view.records.into_iter().map(|answer| answer.record.domain);
    match (domains.next(), domains.next()) {
        (Some(domain), None) => Ok(domain),
        _ => Err(Failure::new(Exit::Usage, format!("several domains speak of `{}`", file.display()))
            .hint("name the one that counts with --domain")),
    }
}

fn not_proven(verified: &Verified, is_pinned: bool, asked_for: Option<Timestamp>) -> Vec<String> {
    let mut all = Vec::new();
    let later = |at: Timestamp| verified.record.statements.iter().any(|it| it.admitted_at > at);
    if asked_for.is_some_and(later) {
        all.push(
            "what was known then: this is judged by all that has been said until the evidence was made".to_owned(),
        );
    }
    if !verified.complete {
        all.push(
            "that nothing was left out: the home itself signs that in what it gives out, and a mirror, which holds the \
             whole log, proves it"
                .to_owned(),
        );
    }
    if !is_pinned {
        all.push(
            "that this is the domain that you mean: compare the origin with what its owners told you, or use --pin"
                .to_owned(),
        );
    }
    match verified.made_later.filter(|_| asked_for.is_none()) {
        Some(at) => all.push(format!(
            "how old it is: its home confirmed it at {}, to which this machine's clock has not come; set the clock",
            when(at)
        )),
        None if !verified.fresh => all.push("that it still holds: the domain may have said more since".to_owned()),
        None => {}
    }
    all
}

fn text(report: &Report) -> String {
    let verified = &report.verified;
    let of_evidence = Freshness::of_evidence(verified, report.at);
    let freshness = Freshness { as_of: verified.as_of.or(verified.made_later), ..of_evidence };
    if let Some(artifact) = report.artifact.as_ref().filter(|artifact| !artifact.meant) {
        let about = format!("{} {}", verified.record.identity.kind, verified.record.identity.id);
        return card(
            &verdict(report),
            &[("the file", artifact.id.clone()), ("evidence", format!("is about the {about}"))],
        );
    }
    let mut rows = vec![("origin", verified.origin.to_string()), ("proven", proven(report))];
    if !report.not_proven.is_empty() {
        rows.push(("not proven", report.not_proven.join("\n")));
    }
    let record = record_card_of(&verified.record, &freshness, report.asked_for);
    [verdict(report), heading(&verified.record), record, card("evidence", &rows)].join("\n")
}

fn verdict(report: &Report) -> String {
    let (yes, no) = (style("✓").green().bold(), style("✗").red().bold());
    let Some(artifact) = &report.artifact else {
        let holds = standing(&report.verified, report.asked_for);
        let sign = if report.verified.fresh || report.asked_for.is_some() { yes } else { style("!").yellow().bold() };
        return format!("{sign} {}", style(holds).bold());
    };
    let file = style(artifact.file.display()).bold();
    match (&artifact.because, artifact.verdict) {
        (None, _) => format!("{yes} {file} may be used"),
        (Some(because), Outcome::Unknown) => {
            format!("{} {file}: not known whether it may be used: {because}", style("?").yellow().bold())
        }
        (Some(because), _) => format!("{no} {file} must not be used: {because}"),
    }
}

/// Whether evidence that is genuine holds by now. Of another time it only says what held then.
fn standing(verified: &Verified, asked_for: Option<Timestamp>) -> String {
    let bound = verified.freshness.default.saturating_mul(1000);
    match (asked_for, verified.made_later, verified.as_of) {
        (Some(_), _, _) => "the evidence holds".to_owned(),
        _ if verified.fresh => "the evidence holds".to_owned(),
        (None, Some(at), _) => {
            format!("the evidence is genuine; it was made at {}, and the clock here is behind", when(at))
        }
        (None, None, Some(at)) => {
            format!("the evidence is genuine, and over: it held until {}", when(at.plus_millis(bound)))
        }
        (None, None, None) => "the evidence is genuine; nobody knows how old it is".to_owned(),
    }
}

/// The record lists what is said of the thing; what makes its groups stands in the evidence beside that.
fn of_what(verified: &Verified) -> &'static str {
    let id = verified.record.identity.id;
    if verified.statements.iter().any(|line| line.about.id != id) { " about it and its groups" } else { "" }
}

fn proven(report: &Report) -> String {
    let verified = &report.verified;
    let mut lines = Vec::new();
    if report.pinned {
        lines.push(format!("{} is the domain that was pinned", verified.origin.domain));
    }
    lines.push(format!("its owners put the rules in force, version {} last", verified.descriptor));
    lines.push(format!(
        "{}{}, each signed by its signer, judged by these rules, and in the log",
        counted(verified.statements.len(), "statement"),
        of_what(verified)
    ));
    lines.push(format!("the log has {} entries and the root {}", verified.size, verified.root));
    if verified.complete {
        lines.push(
            "the home has signed that nothing is left out: these are all entries upon which this rests".to_owned(),
        );
    }
    lines.extend(verified.as_of.map(|time| format!("the home said at {} that this was its newest state", when(time))));
    lines.extend(verified.witnesses.iter().map(|it| format!("cosigned by {} at {}", it.name, when(it.at))));
    let refused = verified.statements.iter().filter_map(|line| Some((line.index, line.refused.as_ref()?)));
    lines.extend(refused.map(|(index, refused)| {
        format!(
            "{} entry {index} has no effect: {}",
            style("!").yellow().bold(),
            crate::cli::words::clean(&refused.why)
        )
    }));
    lines.join("\n")
}

impl From<EvidenceRefusal> for Failure {
    fn from(refusal: EvidenceRefusal) -> Self {
        let failure = Self::new(Exit::Refused, format!("the evidence is refused: {refusal}"));
        match refusal {
            EvidenceRefusal::Pin { .. } => {
                failure.hint("two domains may have one name: ask the owners which origin is theirs")
            }
            _ => failure,
        }
    }
}
