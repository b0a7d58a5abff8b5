//! `ics publish`.

mod many;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use console::style;
use ics_core::identity::{IdentityError, IdentityId, Kind};
use ics_core::limits;
use ics_core::record::Digest;
use ics_core::statement::{Claims, DeveloperSignature, Group, Software, Subject};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use indicatif::ProgressBar;
use serde::Serialize;

use self::many::{drafts, publish_many};
use super::key_value;
use crate::api::SubmissionResult;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::known::{refuse_known, said_before};
use crate::cli::say;
use crate::cli::session::SignAs;
use crate::client::batch::Item;
use crate::client::deb::Control;
use crate::client::node::Node;
use crate::client::publish::{Bulk, FieldError, Fields};
use crate::client::signature;
use crate::client::signing::Signing;
use crate::client::submit;
use crate::client::thing::{Thing, sha256};

/// The size limit of a file with the keys of developers, in bytes: all authorities of a system fit.
const KEY_BYTES: usize = 4 << 20;
/// What to do about a thing that is already known.
const KNOWN: &str = "nothing was signed; --again publishes it all the same";

/// What `ics publish` takes.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    group(ArgGroup::new("what").required(true).args(["key", "spki", "from", "group_name", "file"])),
    after_long_help = "\
Columns of CSV and NDJSON: key (a file) or spki (PEM, or DER in base64); kind, name, urn, serial, host, cert, group,
replaces, from, until; manu, make, model, prodid, pvers, lot, qty, loc, dest. Separate several values of urn, host, cert
or group by spaces. What is the same for all rows can be given as an option instead. A row is refused if its key or one
of its names is in an earlier row. Rows that are in the log are noted in FILE.journal: run the same command again to
continue where it stopped. Rows that were refused are in FILE.refused.ndjson, with the reason; a run that refuses none
removes that file.

Examples:
  One device by its bare public key:
  $ ics publish --key device.pem --kind device --serial SN-0001 --model P7 --lot 2026-11

  A factory's day:
  $ ics publish --from devices.csv --manu Acme --model P7 --lot 2026-11

  A group for a lot of one maker, so that one signature can recall the lot:
  $ ics publish --group 'Lot 2026-11' --select manu=Acme --select model=P7 --select lot=2026-11

  A factory's day, to be signed on a machine without a network:
  $ ics publish --from devices.csv --manu Acme --model P7 --lot 2026-11 --unsigned monday.ics

  A piece of software:
  $ ics publish --file firmware.bin --name p7-firmware --version 2.4.1
  $ ics publish --file hello_2.10-3_amd64.deb

  With the developer's own signature, checked against the developer's key:
  $ ics publish --file firmware.bin --name p7-firmware --version 2.4.1 --signature firmware.bin.minisig --signed-by soft.pub"
)]
pub(crate) struct Publish {
    /// A public key: PEM or DER SubjectPublicKeyInfo, or an OpenPGP certificate.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The public key itself: DER of its SubjectPublicKeyInfo in base64.
    #[arg(long, value_name = "BASE64")]
    spki: Option<String>,
    /// A file of many things, one in each row: .csv, .ndjson or .jsonl.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Publish a group with this name.
    #[arg(long = "group", value_name = "NAME")]
    group_name: Option<String>,
    /// A piece of software. Name, architecture and version of a Debian package (.deb) are read from the package.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// An attribute that selects the members of the group: manu, model, prodid or lot; may be given several times:
    /// members have them all.
    #[arg(long, value_name = "ATTRIBUTE=VALUE", value_parser = key_value, requires = "group_name")]
    select: Vec<(Attribute, String)>,
    /// What the thing is called.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["from", "group_name"])]
    name: Option<String>,
    /// The version of the software.
    #[arg(long, value_name = "VERSION", requires = "file")]
    version: Option<String>,
    /// The developer's own detached signature of the software: OpenPGP, CMS, minisign or signify. It is checked, and
    /// kept in the statement. May be given several times.
    #[arg(long, value_name = "FILE", requires_all = ["file", "signed_by"])]
    signature: Vec<PathBuf>,
    /// A file that says whose signature it must be: an OpenPGP certificate, a minisign or signify public key, or the
    /// X.509 certificate of the signer or of the issuing authority. May be given several times.
    #[arg(long, value_name = "FILE", requires = "signature")]
    signed_by: Vec<PathBuf>,
    /// Publish even what was published before, or whose key or one of whose names belongs to another thing. Without
    /// this option, a thing that was published before in the same words is not signed again, and its entry is shown
    /// (`already` with --json); in other words it is refused. With --from or --unsigned the node is not asked about any
    /// of this.
    #[arg(long)]
    again: bool,
    /// Ask nothing, as is always so when things are introduced: for scripts that give this to all commands that sign.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    sign: SignAs,
}

/// What is said of a thing: of software all but the kind, of a group all but kind and attributes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "About the thing")]
struct About {
    /// The kind of thing: device, gateway, service, node or organisation [default: device].
    #[arg(long, conflicts_with_all = ["file", "group_name"])]
    kind: Option<Kind>,
    /// A URN.
    #[arg(long)]
    urn: Vec<String>,
    /// Its serial number.
    #[arg(long)]
    serial: Vec<String>,
    /// Its host name.
    #[arg(long)]
    host: Vec<String>,
    /// SHA-256 of its X.509 certificate.
    #[arg(long, value_name = "HEX")]
    cert: Vec<String>,
    /// The id of a group that the thing is put into.
    #[arg(long, value_name = "SHA256:HEX")]
    member_of: Vec<String>,
    /// The id of the thing that this one replaces.
    #[arg(long, value_name = "ID")]
    replaces: Option<String>,
    /// From when on the statement holds.
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Until when the statement holds.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// Manufacturer.
    #[arg(long)]
    manu: Option<String>,
    /// Product make.
    #[arg(long)]
    make: Option<String>,
    /// Product model.
    #[arg(long)]
    model: Option<String>,
    /// Product id.
    #[arg(long)]
    prodid: Option<String>,
    /// Product version.
    #[arg(long)]
    pvers: Option<String>,
    /// Lot.
    #[arg(long)]
    lot: Option<String>,
    /// Quantity in the package.
    #[arg(long)]
    qty: Option<String>,
    /// Where the signature is made.
    #[arg(long)]
    loc: Option<String>,
    /// Where the thing is destined.
    #[arg(long)]
    dest: Option<String>,
}

/// One thing that was published, as JSON.
#[derive(Serialize)]
struct Published {
    id: String,
    kind: Kind,
    title: String,
    index: u64,
    statement: String,
    receipt: serde_json::Value,
    /// Whether it was in the log before, in the same words.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    already: bool,
}

impl About {
    /// The fields given for a thing with a key or, if `document` is set, for a document of that kind: ids of documents
    /// are digests.
    fn fields(mut self, document: Option<Kind>) -> Result<Fields, FieldError> {
        let mut fields = Fields { kind: self.kind, ..Fields::default() };
        if let Some(kind) = document {
            fields.replaces = self.replaces.take().map(|text| document_id(kind, &text)).transpose()?;
        }
        for (scheme, names) in [("urn", self.urn), ("serial", self.serial), ("host", self.host), ("cert", self.cert)] {
            names.iter().try_for_each(|name| fields.add_name(scheme, name))?;
        }
        self.member_of.iter().try_for_each(|group| fields.set("group", group))?;
        let single = [
            ("replaces", self.replaces),
            ("from", self.valid_from),
            ("until", self.valid_until),
            ("manu", self.manu),
            ("make", self.make),
            ("model", self.model),
            ("prodid", self.prodid),
            ("pvers", self.pvers),
            ("lot", self.lot),
            ("qty", self.qty),
            ("loc", self.loc),
            ("dest", self.dest),
        ];
        for (column, value) in single {
            fields.set(column, value.as_deref().unwrap_or_default())?;
        }
        Ok(fields)
    }
}

impl Publish {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        // Nothing is asked with or without it.
        let _ = self.yes;
        let config = context.config()?;
        let node = context.node(&config)?;
        let mut fields = core::mem::take(&mut self.about).fields(self.document()).map_err(of_option)?;
        fields.name = self.name.clone();
        fields.key = self.key.take();
        fields.spki = self.spki.take();
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            if signing.unsigned().is_some() {
                let items = match &self.from {
                    Some(input) => drafts(&signing, input, &fields)?,
                    None => {
                        let (thing, claims) = self.one(context, &signing, fields)?;
                        vec![Item { draft: signing.draft(thing, claims, false)?, replaced: Vec::new(), after: None }]
                    }
                };
                return say::prepared(context, &signing, Vec::new(), items);
            }
            submit::introduce(&node, signing.domain(), signing.certificate_bytes()).await?;
            if let Some(input) = self.from {
                return publish_many(context, &node, signing, Bulk { input, defaults: fields }).await;
            }
            let again = self.again;
            let (thing, claims) = self.one(context, &signing, fields)?;
            say::check_claims(&signing, &claims, context.now())?;
            if !again {
                if let Some(body) = said_before(&node, &signing, &thing, &claims).await? {
                    return submit_one(context, &node, &signing, &thing, (vec![body], true)).await;
                }
                refuse_known(&node, &signing, &thing, &claims, KNOWN).await?;
            }
            let draft = signing.draft(thing.clone(), claims, false)?;
            let signed = say::sign_all(&signing, vec![(draft, context.now())], ProgressBar::hidden()).await?;
            submit_one(context, &node, &signing, &thing, (signed, false)).await
        })
    }

    /// The kind of what is published, if it has no key.
    fn document(&self) -> Option<Kind> {
        let group = self.group_name.as_ref().map(|_| Kind::Group);
        group.or_else(|| self.file.as_ref().map(|_| Kind::Software))
    }

    fn one(self, context: &Context, signing: &Signing, fields: Fields) -> Result<(Thing, Claims), Failure> {
        let claims = signing.claims(Act::Identity);
        if let Some(name) = self.group_name {
            refuse_attributes_of_group(&fields)?;
            let group = Subject::Group(Group { kind: Kind::Group, name, attributes: selecting(self.select)? });
            return Ok((Thing::Document(group), about_document(fields, claims)));
        }
        let Some(path) = self.file else {
            return fields.draft(claims, Path::new("")).map_err(of_option);
        };
        let mut claims = about_document(fields, claims);
        claims.signatures = signatures(&path, &self.signature, &self.signed_by, context.now())?;
        let (name, version) = named(&path, self.name, self.version)?;
        let failed = |e: std::io::Error| Failure::new(Exit::Local, format!("`{}`: {e}", path.display()));
        let digest = sha256(File::open(&path).map_err(failed)?).map_err(failed)?;
        let software = Software {
            kind: Kind::Software,
            name,
            version,
            digests: BTreeMap::from([("sha256".to_owned(), data_encoding::HEXLOWER.encode(&digest))]),
        };
        Ok((Thing::Document(Subject::Software(software)), claims))
    }
}

/// Names the option that was given, not the column that it stands for in a file.
pub(super) fn of_option(error: FieldError) -> Failure {
    let (column, reason) = match error {
        FieldError::Value { column, reason } => (column, reason),
        other => return other.into(),
    };
    let option = match column.as_str() {
        "group" => "member-of",
        "from" => "valid-from",
        "until" => "valid-until",
        same => same,
    };
    Failure::new(Exit::Usage, format!("--{option}: {reason}"))
}

/// Parses the id of a piece of software or a group.
fn document_id(kind: Kind, text: &str) -> Result<IdentityId, FieldError> {
    let wrong = |e: IdentityError| FieldError::Value { column: "replaces".to_owned(), reason: e.to_string() };
    let Digest(digest) = text.parse().map_err(wrong)?;
    Ok(if kind == Kind::Group { IdentityId::Group(digest) } else { IdentityId::Software(digest) })
}

/// Adds the fields given for a document to `claims`.
fn about_document(fields: Fields, claims: Claims) -> Claims {
    Claims {
        names: fields.names,
        attributes: fields.attributes,
        groups: fields.groups,
        replaces: fields.replaces,
        from: fields.from,
        until: fields.until,
        ..claims
    }
}

/// The attributes that all members must have. Refuses two values of one attribute, since the first would be dropped and
/// its things would not be members.
fn selecting(select: Vec<(Attribute, String)>) -> Result<BTreeMap<Attribute, String>, Failure> {
    let mut attributes = BTreeMap::new();
    for (attribute, value) in select {
        let former = attributes.insert(attribute, value.clone()).filter(|former| *former != value);
        if let Some(former) = former {
            let message = format!("nothing has the `{attribute}` `{former}` and `{value}`: all of --select must match");
            return Err(Failure::new(Exit::Usage, message).hint("make a group for each of them"));
        }
    }
    Ok(attributes)
}

/// Refuses attributes of a group, by which its members were meant: the group would select nothing, and a recall of it
/// would reach nobody.
fn refuse_attributes_of_group(fields: &Fields) -> Result<(), Failure> {
    match fields.attributes.iter().next() {
        Some((attribute, value)) => {
            Err(Failure::new(Exit::Usage, format!("a group has no `{attribute}`: its members have"))
                .hint(format!("`--select {attribute}={value}` puts everything that has this value into it")))
        }
        None => Ok(()),
    }
}

/// Returns the developer's own signatures, checked.
fn signatures(
    artifact: &Path,
    signatures: &[PathBuf],
    signed_by: &[PathBuf],
    at: Timestamp,
) -> Result<Vec<DeveloperSignature>, Failure> {
    if signatures.is_empty() {
        return Ok(Vec::new());
    }
    let artifact = files::read(artifact, limits::SIGNED_ARTIFACT_BYTES)?;
    let keys = signed_by.iter().map(|path| files::read(path, KEY_BYTES)).collect::<Result<Vec<_>, _>>()?;
    let check = |path: &PathBuf| {
        let signature = files::read(path, 4 * limits::DEVELOPER_SIGNATURE_BYTES)?;
        signature::check(&artifact, &signature, &keys, at).map_err(|refusal| {
            Failure::new(Exit::Refused, format!("the signature `{}`: {refusal}", path.display()))
                .hint("--signed-by names the file with the key, or the certificate, of the signer who made it")
        })
    };
    signatures.iter().map(check).collect()
}

/// Name and version of a piece of software: as given, or as a Debian package states them.
fn named(path: &Path, name: Option<String>, version: Option<String>) -> Result<(String, String), Failure> {
    match (name, version) {
        (Some(name), Some(version)) => Ok((name, version)),
        (name, version) if Control::is_named(path) => {
            let control = Control::read(path).map_err(|error| Failure::new(Exit::Local, error))?;
            Ok((name.unwrap_or_else(|| control.name()), version.unwrap_or(control.version)))
        }
        _ => Err(Failure::new(Exit::Usage, "software needs a name and a version").hint("give --name and --version")),
    }
}

/// Submits the statement about one thing and reports its place; what was `already` in the log gets its receipt again.
async fn submit_one(
    context: &Context,
    node: &Node,
    signing: &Signing,
    thing: &Thing,
    (bodies, already): (Vec<Vec<u8>>, bool),
) -> Result<Exit, Failure> {
    let result = submit::submit(node, signing.domain(), bodies).await?.into_iter().next();
    let receipt = match result {
        Some(SubmissionResult::Receipt(receipt)) => receipt,
        Some(SubmissionResult::Problem(problem)) => return Err(problem.into()),
        Some(SubmissionResult::Pending(pending)) => return say::waits(context, &thing.called(), &pending),
        None => return Err(Failure::new(Exit::Network, "the node gave no result")),
    };
    let id = thing.id().map_err(|e| Failure::new(Exit::Internal, e))?;
    let published = Published {
        id: id.to_string(),
        kind: thing.kind(),
        title: thing.title(),
        index: receipt.index,
        statement: receipt.id.to_string(),
        receipt: serde_json::to_value(&receipt).map_err(|e| Failure::new(Exit::Internal, e))?,
        already,
    };
    context.output.result(&published, || {
        let tick = style("✓").green();
        let before = if already { " was in the log before" } else { "" };
        format!(
            "{tick} {}{before}\n  id     {}\n  entry  {} of {}",
            thing.called(),
            published.id,
            published.index,
            signing.domain()
        )
    })?;
    Ok(Exit::Ok)
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::File { .. } => Self::new(Exit::Local, error),
            _ => Self::new(Exit::Usage, error),
        }
    }
}
