//! `ics enroll`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use console::style;
use ics_core::identity::{Fingerprint, Kind};
use ics_core::name::Name;
use ics_core::vocabulary::{Act, Attribute, DomainName, WordError};

use super::key_value;
use super::publish::of_option;
use crate::api::{Enrolment, EnrolmentAnswer, EnrolmentRequest};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::known::{names_of, refuse_known};
use crate::cli::output::{card, table};
use crate::cli::say::{self, Asking, Saying};
use crate::cli::session::{InDomain, SignAs};
use crate::cli::words::{clean, when};
use crate::client::lookup::Found;
use crate::client::publish::Fields;
use crate::client::signing::Signing;
use crate::keys::{Algorithm, KeyError, KeyName, KeyVersion, PASSPHRASE_FILE, Passphrase, StoredKey, file};

/// What to do about a request for something that belongs to another thing.
const KNOWN: &str =
    "nothing was signed; `ics enroll refuse` refuses a request, and --again introduces the things all the same";

/// Commands about things that make their key at set-up time.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrollCommand {
    /// On the device: make a key and ask to be introduced.
    ///
    /// Makes a key, unless there is one of that name, and asks a node to introduce it. The request holds the key's
    /// self-signed certificate; what the device asks for is not signed. Compare the fingerprint with the one that the
    /// operator sees. If the request is refused, `ics enroll state` shows the reason, and the device may ask again.
    Request(Request),
    /// On the device: ask what became of the request.
    ///
    /// Asks what became of a request. Exit code 0 means that the device is introduced.
    State(State),
    /// The operator: list the requests that are waiting.
    List(List),
    /// The operator: introduce devices that have asked.
    ///
    /// Introduces devices that have asked, with the names and attributes that they asked for. Shows what it signs, and
    /// asks for confirmation first.
    Approve(Approve),
    /// The operator: refuse a request.
    Refuse(Refuse),
    /// The operator: delete a request.
    ///
    /// Deletes a request, whether it is waiting or decided, with the names, attributes and User ID in it: `ics erase`
    /// reaches statements only, not requests. A device that is introduced stays introduced; `ics enroll state` no
    /// longer finds its request.
    Forget(Forget),
}

/// What `ics enroll request` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics --home /etc/ics --node https://ics.acme.example enroll request --domain devices.acme.example \
--serial SN-0042 --set model=P7")]
pub(crate) struct Request {
    #[command(flatten)]
    domain: InDomain,
    /// What the key is called in the home directory.
    #[arg(long, default_value = "device", value_name = "NAME")]
    key: KeyName,
    /// The algorithm of a new key.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// The kind of thing: device, gateway, service, node or organisation.
    #[arg(long, default_value = "device")]
    kind: Kind,
    /// What the thing is called [default: kind and serial number].
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// A serial number that the device asks for.
    #[arg(long)]
    serial: Vec<String>,
    /// A URN that the device asks for.
    #[arg(long)]
    urn: Vec<String>,
    /// A host name that the device asks for.
    #[arg(long)]
    host: Vec<String>,
    /// An attribute that the device asks for.
    #[arg(long, value_name = "ATTRIBUTE=VALUE", value_parser = key_value)]
    set: Vec<(Attribute, String)>,
}

/// What `ics enroll state` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics --home /etc/ics --node https://ics.acme.example enroll state --domain devices.acme.example")]
pub(crate) struct State {
    /// The fingerprint of the device's key, or the key's name in the home directory.
    #[arg(default_value = "device", value_name = "KEY")]
    key: String,
    #[command(flatten)]
    domain: InDomain,
}

/// What `ics enroll list` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics enroll list")]
pub(crate) struct List {
    #[command(flatten)]
    domain: InDomain,
}

/// What `ics enroll approve` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics enroll approve 0123456789abcdef0123456789abcdef01234567
  $ ics enroll approve --all")]
pub(crate) struct Approve {
    /// The fingerprints of the devices' keys.
    #[arg(value_name = "FINGERPRINT", required_unless_present = "all")]
    keys: Vec<Fingerprint>,
    /// All devices whose requests are waiting.
    #[arg(long)]
    all: bool,
    /// Introduce devices even if they were introduced before, or if their key or one of their names belongs to another
    /// thing.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

/// What `ics enroll refuse` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics enroll refuse 0123456789abcdef0123456789abcdef01234567 --reason 'not on the delivery note'")]
pub(crate) struct Refuse {
    /// The fingerprint of the device's key.
    #[arg(value_name = "FINGERPRINT")]
    key: Fingerprint,
    /// The reason for the refusal, which the device is shown.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    domain: InDomain,
}

/// What `ics enroll forget` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics enroll forget 0123456789abcdef0123456789abcdef01234567")]
pub(crate) struct Forget {
    /// The fingerprint of the device's key.
    #[arg(value_name = "FINGERPRINT")]
    key: Fingerprint,
    #[command(flatten)]
    domain: InDomain,
}

impl EnrollCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Request(command) => command.run(context),
            Self::State(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Refuse(command) => command.run(context),
            Self::Forget(command) => command.run(context),
        }
    }
}

impl Request {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let names = self.names()?;
        let domain = self.domain.clone().or_default(&config)?;
        let key = self.key(context, &names)?;
        let request = EnrolmentRequest {
            certificate: STANDARD.encode(key.certificate_bytes()),
            kind: self.kind,
            names: names.iter().map(ToString::to_string).collect(),
            attributes: self.set.into_iter().map(|(attribute, value)| (attribute.to_string(), value)).collect(),
        };
        let enrolment = context.wait(async { Ok(node.enrol(&domain, &request).await?) })?;
        // The node keeps the first request for a key, which need not be this one.
        show(context, &enrolment, None)?;
        if enrolment.state == "refused" {
            return Ok(Exit::Refused);
        }
        if enrolment.state == "waiting" {
            context.output.note("the operator approves it (ics enroll approve), after a look at the fingerprint");
        }
        Ok(Exit::Ok)
    }

    fn names(&self) -> Result<Vec<Name>, Failure> {
        let mut fields = Fields::default();
        for (scheme, names) in [("serial", &self.serial), ("urn", &self.urn), ("host", &self.host)] {
            names.iter().try_for_each(|name| fields.add_name(scheme, name)).map_err(of_option)?;
        }
        Ok(fields.names)
    }

    /// Returns the device's key, making one if there is none. Nobody sits at a device, so unless it has a passphrase
    /// one is generated and kept beside the key.
    fn key(&self, context: &Context, names: &[Name]) -> Result<StoredKey, Failure> {
        match context.keys().find(self.key.as_str()) {
            Err(KeyError::Missing { .. }) => {}
            other => return Ok(other?),
        }
        let source = context.passphrases();
        let passphrase = match source.from_files_for_new_keys()? {
            Some(passphrase) => passphrase,
            None if std::io::stdin().is_terminal() => source.choose()?,
            None => kept_passphrase(&context.home)?,
        };
        let first = names.first().map_or_else(|| self.key.to_string(), short_name);
        let user_id = self.name.clone().unwrap_or_else(|| format!("{} {first}", self.kind));
        let made = (self.algorithm, KeyVersion::V4);
        Ok(context.keys().make(&self.key, &user_id, made, &passphrase, context.now())?)
    }
}

fn kept_passphrase(home: &Path) -> Result<Passphrase, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Local, format!("`{}`: {e}", home.display()));
    let passphrase = Passphrase::generate()?;
    file::make_private_directory(home).map_err(failed)?;
    passphrase.write_to(&home.join(PASSPHRASE_FILE)).map_err(failed)?;
    Ok(passphrase)
}

/// A name without its scheme.
fn short_name(name: &Name) -> String {
    let text = name.to_string();
    text.split_once(':').map_or_else(|| text.clone(), |(_, value)| value.to_owned())
}

impl State {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let id = match self.key.parse::<Fingerprint>() {
            Ok(fingerprint) => fingerprint,
            Err(_) => context.keys().find(&self.key)?.fingerprint(),
        };
        let enrolment = context.wait(async { Ok(node.enrolment(&domain, &id.to_string()).await?) })?;
        show(context, &enrolment, None)?;
        Ok(if enrolment.state == "approved" { Exit::Ok } else { Exit::Refused })
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let page = context.wait(async { Ok(node.enrolments(&domain).await?) })?;
        context.output.result(&page, || {
            if page.items.is_empty() {
                return format!("nobody waits to be introduced into {domain}");
            }
            let row = |it: &Enrolment| {
                let kind = it.request.kind.to_string();
                vec![
                    it.id.clone(),
                    kind,
                    clean(&it.request.names.join(" ")),
                    about(&it.request.attributes),
                    when(it.received_at),
                    clean(&it.same_key.join(" ")),
                ]
            };
            let heads = ["fingerprint", "kind", "names", "about", "since", "same key as"];
            table(&heads, &page.items.iter().map(row).collect::<Vec<_>>())
        })?;
        Ok(Exit::Ok)
    }
}

impl Approve {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        context.wait(async {
            let domain = self.sign.domain(&config)?;
            let waiting = self.meant(node.enrolments(&domain).await?.items, &domain)?;
            if waiting.is_empty() {
                context.output.result(&waiting, || format!("nobody waits to be introduced into {domain}"))?;
                return Ok(Exit::Ok);
            }
            let signing = self.sign.open(context, &config, &node).await?;
            let sayings = waiting.iter().map(|it| introduction(&signing, it)).collect::<Result<Vec<_>, _>>()?;
            if !self.again {
                refuse_known_keys(&waiting)?;
                refuse_shared_names(&sayings)?;
                for saying in &sayings {
                    refuse_known(&node, &signing, &saying.found.thing, &saying.claims, KNOWN).await?;
                }
            }
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }

    /// Selects the pending requests that are to be approved.
    fn meant(&self, mut waiting: Vec<Enrolment>, domain: &DomainName) -> Result<Vec<Enrolment>, Failure> {
        if self.all {
            return Ok(waiting);
        }
        let wanted: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        if let Some(missing) = wanted.iter().find(|id| !waiting.iter().any(|it| it.id == **id)) {
            return Err(Failure::new(Exit::NotFound, format!("no request of the key `{missing}` waits in {domain}"))
                .hint(format!("`ics enroll list --domain {domain}` shows those that wait")));
        }
        waiting.retain(|it| wanted.contains(&it.id));
        Ok(waiting)
    }
}

/// Refuses a key that a thing of the domain already had, even if that thing has no name by now.
fn refuse_known_keys(waiting: &[Enrolment]) -> Result<(), Failure> {
    let Some((request, other)) = waiting.iter().find_map(|it| Some((it, it.same_key.first()?))) else { return Ok(()) };
    let message = format!("the key of {} is that of another thing, {}", request.id, clean(other));
    Err(Failure::new(Exit::Refused, message).hint(format!("`ics lookup` says what is known of it; {KNOWN}")))
}

/// Refuses names that two of the requests ask for: the node knows neither thing yet.
fn refuse_shared_names(sayings: &[Saying]) -> Result<(), Failure> {
    let mut seen = BTreeMap::new();
    for saying in sayings {
        let id = saying.found.thing.id().map_err(|e| Failure::new(Exit::Internal, e))?;
        for name in names_of(&saying.found.thing, &saying.claims) {
            let other = seen.insert(name.to_string(), id).filter(|other| *other != id);
            if let Some(other) = other {
                let message = format!("`{name}` is asked for by two things: {other} and {id}");
                return Err(Failure::new(Exit::Refused, message).hint(KNOWN));
            }
        }
    }
    Ok(())
}

/// Builds the statement that introduces a device as it asked, including the device's own signature.
fn introduction(signing: &Signing, enrolment: &Enrolment) -> Result<Saying, Failure> {
    let fields = Fields { spki: Some(armored(&enrolment.request.certificate)?), ..asked(enrolment)? };
    let (thing, claims) = fields.draft(signing.claims(Act::Identity), Path::new(""))?;
    if thing.id().map(|id| id.to_string()).as_ref() != Ok(&enrolment.id) {
        let message = format!("the node gave the certificate of another key for `{}`", enrolment.id);
        return Err(Failure::new(Exit::Network, message));
    }
    Ok(Saying { found: Found { thing, own: None, others: Vec::new() }, claims, ends_vouching: false })
}

/// Returns what a device may ask for: names and attributes only. What it succeeds or which groups it is in, for
/// example, is not for it to say.
fn asked(enrolment: &Enrolment) -> Result<Fields, Failure> {
    let request = &enrolment.request;
    let mut fields = Fields { kind: Some(request.kind), ..Fields::default() };
    for name in &request.names {
        let (scheme, value) = name.split_once(':').unwrap_or(("", name));
        fields.add_name(scheme, value)?;
    }
    for (name, value) in &request.attributes {
        let malformed = |e: WordError| Failure::new(Exit::Network, format!("the request of `{}`: {e}", enrolment.id));
        fields.set(name.parse::<Attribute>().map_err(malformed)?.as_str(), value)?;
    }
    Ok(fields)
}

/// Armors a certificate given in base64.
fn armored(base64: &str) -> Result<String, Failure> {
    let failed = |e: String| Failure::new(Exit::Network, format!("the certificate in the request: {e}"));
    let bytes = STANDARD.decode(base64).map_err(|e| failed(e.to_string()))?;
    crate::keys::armor_certificate(&bytes).map_err(|e| failed(e.to_string()))
}

impl Refuse {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let id = self.key.to_string();
        let refused = node.refuse_enrolment(&domain, &id, &self.reason);
        let enrolment = context.wait(async { Ok(refused.await?) })?;
        let request = enrolment.request.clone();
        show(context, &enrolment.into(), Some(&request))?;
        Ok(Exit::Ok)
    }
}

impl Forget {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let id = self.key.to_string();
        let stood = context.wait(async { Ok(node.forget_enrolment(&domain, &id).await?) })?;
        context.output.result(&stood, || {
            format!("{} the request of {id}, which was {}, is deleted", style("✓").green(), clean(&stood.state))
        })?;
        Ok(Exit::Ok)
    }
}

/// Shows the state of a request, and what was asked for if that is known here.
fn show(context: &Context, enrolment: &EnrolmentAnswer, request: Option<&EnrolmentRequest>) -> Result<(), Failure> {
    context.output.result(enrolment, || text(enrolment, request))
}

fn text(enrolment: &EnrolmentAnswer, request: Option<&EnrolmentRequest>) -> String {
    let state = match enrolment.state.as_str() {
        "approved" => style("approved").green().bold(),
        "refused" => style("refused").red().bold(),
        other => style(other).yellow().bold(),
    };
    let names = request.into_iter().flat_map(|request| &request.names).map(|name| clean(name));
    let mut rows = vec![
        ("fingerprint", enrolment.id.clone()),
        ("names", names.collect::<Vec<_>>().join("\n")),
        ("about", request.map(|request| about(&request.attributes)).unwrap_or_default()),
        ("asked", when(enrolment.received_at)),
        ("refused", enrolment.reason.as_deref().map(clean).unwrap_or_default()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let what = request.map_or_else(|| "request".to_owned(), |request| request.kind.to_string());
    card(&format!("{what} {state}"), &rows)
}

fn about(attributes: &BTreeMap<String, String>) -> String {
    attributes.iter().map(|(attribute, value)| clean(&format!("{attribute} {value}"))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(attribute: &str, value: &str) -> Result<Fields, Failure> {
        let request = json!({
            "certificate": "", "kind": "device", "names": ["serial:SN-1"], "attributes": { attribute: value },
        });
        let enrolment = json!({
            "number": 1, "id": "ab", "state": "waiting", "received_at": "2026-11-20T08:10:00Z", "request": request,
        });
        asked(&serde_json::from_value(enrolment).expect("a request"))
    }

    /// It was approved at another time, which the record shows.
    #[test]
    fn an_answered_request_says_when_it_was_made() {
        let answer = json!({"id": "ab", "state": "approved", "received_at": "2026-11-20T08:10:00.25Z"});
        let told = text(&serde_json::from_value(answer).expect("an answer"), None);
        let expected = "request approved\n  fingerprint  ab\n  asked        2026-11-20 08:10:00 UTC\n";
        assert_eq!(console::strip_ansi_codes(&told), expected);
    }

    #[test]
    fn a_device_asks_for_names_and_attributes_only() {
        let good = fields("model", "P7").expect("an attribute");
        assert_eq!((good.names.len(), good.attributes.get(&Attribute::Model)), (1, Some(&"P7".to_owned())));
        let digest = format!("sha256:{}", "0".repeat(64));
        let columns = [("replaces", "0".repeat(40)), ("group", digest), ("until", "2030-01-01T00:00:00Z".to_owned())];
        for (column, value) in columns {
            let refused = fields(column, &value).expect_err("no attribute");
            assert_eq!(refused.exit(), Exit::Network, "{column}");
        }
    }
}
