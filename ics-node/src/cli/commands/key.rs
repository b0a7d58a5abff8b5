//! `ics key`.

mod token;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ics_core::time::Timestamp;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{card, print, table};
use crate::cli::words::when;
use crate::keys::file::is_typed;
use crate::keys::{Algorithm, ImportSource, KeyName, KeyVersion, Passphrase, StoredKey};

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a secret key, here or in a token.
    ///
    /// Makes a key and its certificate, and stores them encrypted with the passphrase. With `--token` the secret is
    /// made in a PKCS#11 token and never leaves it; only the certificate, and where the key is, are stored here.
    Make(Make),
    /// Register a key that is in a token.
    ///
    /// Makes the certificate of a key in a PKCS#11 token (Ed25519, P-256, RSA), and stores the certificate and where
    /// the key is. The key counts as created on 2018-01-01, no matter who adopts it and when, so that its fingerprint
    /// is always the same. If the key has a certificate already, give that with `--certificate`.
    Adopt(token::Adopt),
    /// List tokens and the keys in them.
    ///
    /// Lists the tokens that the PKCS#11 module sees, the algorithms that they sign with, and those keys in them whose
    /// public half can be seen without a PIN.
    Tokens(token::ListTokens),
    /// Import a secret key that was made elsewhere.
    ///
    /// Takes what gpg and sq export, and PKCS#8 in PEM (Ed25519, P-256, RSA). If the key is here already, what is new
    /// in its certificate is added, whether or not the file holds the secret: a new expiration, a revocation, a User
    /// ID, a subkey.
    Import(Import),
    /// Show the public part of a key; never the secret.
    Show(Show),
    /// List the keys.
    List(List),
}

/// What `ics key make` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key make factory-2 --user-id 'Factory 2 <factory2@acme.example>'
  $ ics key make owner-b --algorithm p256 --v6

  In a token; its PIN is asked for:
  $ ics --pkcs11-module /usr/lib/softhsm/libsofthsm2.so key make factory-3 --token pkcs11:token=acme")]
pub(crate) struct Make {
    /// The name of the key in this home directory.
    name: KeyName,
    /// Whom the key belongs to, in words; it is written into the certificate [default: the name].
    #[arg(long, value_name = "TEXT")]
    user_id: Option<String>,
    /// The algorithm.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// Make a key of version 6 (RFC 9580), which GnuPG does not read.
    #[arg(long)]
    v6: bool,
    /// Make the key in this token, which its `pkcs11:` URI names (RFC 7512).
    #[arg(long, value_name = "URI")]
    token: Option<String>,
}

/// What `ics key import` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ gpg --export-secret-keys --armor factory@acme.example > factory.asc
  $ ics key import factory factory.asc

  After its expiration was extended with gpg:
  $ gpg --export --armor factory@acme.example > factory.asc
  $ ics key import factory factory.asc

  $ ics key import hsm-backup key.pem --user-id 'Acme root'")]
pub(crate) struct Import {
    /// The name of the key in this home directory.
    name: KeyName,
    /// The file.
    file: PathBuf,
    /// Whom the key belongs to; only for PKCS#8, which does not say so itself [default: the name].
    #[arg(long, value_name = "TEXT")]
    user_id: Option<String>,
    /// The file with the passphrase that the key has now [default: it is asked for].
    #[arg(long, value_name = "FILE")]
    old_passphrase_file: Option<PathBuf>,
}

/// What `ics key show` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key show signer
  $ ics key show signer --armor > signer-public.asc
  $ ics --json key show node")]
pub(crate) struct Show {
    /// The key's name here, its fingerprint, or its `pkcs11:` URI.
    key: String,
    /// Print the certificate in armor.
    #[arg(long)]
    armor: bool,
}

/// What `ics key list` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key list")]
pub(crate) struct List {}

/// The public part of a key, as JSON.
#[derive(Serialize)]
struct KeyCard {
    name: String,
    fingerprint: String,
    version: u8,
    algorithm: String,
    created: Timestamp,
    user_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verifier_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// What an import has done to the certificate that was here.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'static str>,
}

impl KeyCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if matches!(self, Self::Make(_) | Self::Adopt(_) | Self::Import(_)) {
            context.refuse_foreign_home()?;
        }
        match self {
            Self::Make(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Tokens(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::List(_) => list(context),
        }
    }
}

impl Make {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let user_id = self.user_id.unwrap_or_else(|| self.name.to_string());
        let version = if self.v6 { KeyVersion::V6 } else { KeyVersion::V4 };
        if let Some(token) = &self.token {
            return token::make(context, token, &self.name, (self.algorithm, version), &user_id);
        }
        let passphrase = context.passphrases().choose()?;
        let key = context.keys().make(&self.name, &user_id, (self.algorithm, version), &passphrase, context.now())?;
        show(context, &key)
    }
}

impl Import {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source = ImportSource::read(&self.file)?;
        if let Some(held) = context.keys().held(&self.name, &source)? {
            return self.extend(context, &held, source);
        }
        let old = if source.is_encrypted() { Some(self.old_passphrase()?) } else { None };
        let passphrase = context.passphrases().choose()?;
        let user_id = self.user_id.unwrap_or_else(|| self.name.to_string());
        let key = context.keys().import(&self.name, source, &user_id, (old.as_ref(), &passphrase), context.now())?;
        show(context, &key)
    }

    /// Encrypts new secrets with the passphrase that the others have.
    fn extend(&self, context: &Context, held: &StoredKey, source: ImportSource) -> Result<Exit, Failure> {
        let passphrases = if source.has_more_secrets(held) {
            let old = if source.is_encrypted() { Some(self.old_passphrase()?) } else { None };
            let what = format!("the key `{}`", held.name());
            let own = context.passphrases().open(&what, |own| held.unlock(own).map(|_| own.clone()))?;
            Some((old, own))
        } else {
            None
        };
        let given = passphrases.as_ref().map(|(old, own)| (old.as_ref(), own));
        let not_revoked = source.not_revoked(held)?;
        match context.keys().extend(held, source, given)? {
            Some(key) => {
                not_revoked.iter().for_each(|error| context.output.note(&error.to_string()));
                show_imported(context, &key, Some("extended"))
            }
            None => show_imported(context, held, Some("unchanged")),
        }
    }

    fn old_passphrase(&self) -> Result<Passphrase, Failure> {
        let nobody = "the key is encrypted, and there is no terminal to ask for its passphrase";
        match self.old_passphrase_file.as_deref().filter(|path| !is_typed(path)) {
            Some(path) => Ok(Passphrase::from_file(path)?),
            None if std::io::stdin().is_terminal() => Ok(Passphrase::ask("Passphrase that the key has now: ")?),
            None => Err(Failure::new(Exit::Local, nobody).hint("give it with --old-passphrase-file FILE")),
        }
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = context.keys().find(&self.key)?;
        if self.armor {
            print(key.armored()?.as_bytes())?;
            return Ok(Exit::Ok);
        }
        show(context, &key)
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let cards = context.keys().list()?.iter().map(key_card).collect::<Result<Vec<_>, _>>()?;
    context.output.result(&cards, || {
        if cards.is_empty() {
            return format!("there are no keys in {}", context.home.display());
        }
        let row = |card: &KeyCard| {
            let user_id = card.user_ids.first().cloned().unwrap_or_default();
            let place = if card.token.is_some() { "token" } else { "file" };
            vec![card.name.clone(), card.fingerprint.clone(), card.algorithm.clone(), place.to_owned(), user_id]
        };
        table(&["name", "fingerprint", "algorithm", "secret in", "user id"], &cards.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(Exit::Ok)
}

fn show(context: &Context, key: &StoredKey) -> Result<Exit, Failure> {
    show_imported(context, key, None)
}

fn show_imported(context: &Context, key: &StoredKey, certificate: Option<&'static str>) -> Result<Exit, Failure> {
    let shown = KeyCard { certificate, ..key_card(key)? };
    context.output.result(&shown, || {
        let mut rows = vec![
            ("fingerprint", shown.fingerprint.clone()),
            ("algorithm", format!("{}, version {}", shown.algorithm, shown.version)),
            ("created", when(shown.created)),
            ("user id", shown.user_ids.join("\n")),
        ];
        rows.extend(shown.verifier_key.clone().map(|key| ("verifier key", key)));
        rows.extend(shown.token.clone().map(|uri| ("in token", uri)));
        rows.extend(shown.certificate.map(|change| ("certificate", change.to_owned())));
        card(&shown.name, &rows)
    })?;
    Ok(Exit::Ok)
}

fn key_card(key: &StoredKey) -> Result<KeyCard, Failure> {
    let public = key.public_key()?;
    Ok(KeyCard {
        name: key.name().to_string(),
        fingerprint: key.fingerprint().to_string(),
        version: key.fingerprint().version(),
        algorithm: public.algorithm().to_string(),
        created: public.created(),
        user_ids: key.certificate().user_ids().to_vec(),
        verifier_key: key.ed25519().map(|key| STANDARD.encode(key)),
        token: key.token().map(ToString::to_string),
        certificate: None,
    })
}
