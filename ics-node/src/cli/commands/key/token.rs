//! `ics key` with tokens: adopting, making and listing keys in them.

use std::path::PathBuf;

use clap::Args;
use ics_core::limits;
use ics_core::openpgp::certificate;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::words::clean;
use crate::keys::token::{Listed, Module, Token, TokenError, TokenUri};
use crate::keys::{Algorithm, KeyName, KeyVersion, TokenCertificate};
use crate::words::shell_word;

/// What `ics key adopt` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key tokens
  $ ics key adopt factory 'pkcs11:token=acme;object=factory' --user-id 'Acme factory <factory@acme.example>'
  $ ics publish --from devices.csv --signer factory

  The same key on a second machine, with the certificate that it has already:
  $ ics key adopt factory 'pkcs11:token=acme;object=factory' --certificate factory.asc")]
pub(crate) struct Adopt {
    /// The name of the key in this home directory.
    name: KeyName,
    /// Where the key is: a `pkcs11:` URI (RFC 7512) with `token=` and `object=` or `id=`.
    #[arg(value_name = "URI")]
    uri: String,
    /// Whom the key belongs to, in words; it is written into the certificate [default: the name].
    #[arg(long, value_name = "TEXT", conflicts_with = "certificate")]
    user_id: Option<String>,
    /// Make it a key of version 6 (RFC 9580), which GnuPG does not read.
    #[arg(long, conflicts_with = "certificate")]
    v6: bool,
    /// A file with the OpenPGP certificate that the key has already.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// What `ics key tokens` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics --pkcs11-module /usr/lib/softhsm/libsofthsm2.so key tokens")]
pub(crate) struct ListTokens {}

/// A token, as JSON.
#[derive(Serialize)]
struct TokenCard {
    label: String,
    made_by: String,
    state: &'static str,
    algorithms: Vec<&'static str>,
    uri: String,
    keys: Vec<KeyRow>,
}

#[derive(Serialize)]
struct KeyRow {
    uri: String,
    algorithm: String,
    /// Its name here, once it is adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Adopt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let uri = TokenUri::read(&self.uri)?;
        let user_id = self.user_id.unwrap_or_else(|| self.name.to_string());
        let version = if self.v6 { KeyVersion::V6 } else { KeyVersion::V4 };
        let read = |path: &PathBuf| files::read(path, 2 * limits::PERSON_CERTIFICATE_BYTES);
        let given = self.certificate.as_ref().map(read).transpose()?;
        let certificate = match &given {
            Some(bytes) => TokenCertificate::Given(bytes),
            None => TokenCertificate::New { user_id: &user_id, version },
        };
        let key = context.keys().adopt(&self.name, (&context.tokens()?, &uri), certificate, context.now())?;
        super::show(context, &key)
    }
}

/// Generates a key in a token and adopts it.
pub(super) fn make(
    context: &Context,
    token: &str,
    name: &KeyName,
    (algorithm, version): (Algorithm, KeyVersion),
    user_id: &str,
) -> Result<Exit, Failure> {
    let uri = TokenUri::read(token)?;
    if uri.object.is_some() || uri.id.is_some() {
        return Err(Failure::new(Exit::Usage, format!("`{uri}` names a key; --token takes the token to make one in"))
            .hint("in the token the key gets the same name as here"));
    }
    let keys = context.keys();
    keys.refuse_existing(name)?;
    // Before the key is made: a second attempt would make another one.
    certificate::user_id(user_id.as_bytes()).map_err(|error| Failure::new(Exit::Local, error))?;
    let tokens = context.tokens()?;
    let made = tokens.make(&uri, name.as_str(), algorithm)?;
    let key = keys.adopt(name, (&tokens, &made), TokenCertificate::New { user_id, version }, context.now());
    // The key exists now, whatever happens to its certificate.
    let key = key.map_err(|error| {
        let v6 = if version == KeyVersion::V6 { " --v6" } else { "" };
        let (made, user_id) = (shell_word(&made.to_string()), shell_word(user_id));
        Failure::from(error).hint(format!("the key was made: `ics key adopt {name} {made} --user-id {user_id}{v6}`"))
    })?;
    super::show(context, &key)
}

impl ListTokens {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let module = context.tokens()?.module(&TokenUri::default())?;
        let adopted = context.keys().list()?;
        let name_of = |uri: &TokenUri| {
            let is_it = |key: &&crate::keys::StoredKey| key.token().is_some_and(|own| own.fits(uri));
            adopted.iter().find(is_it).map(|key| key.name().to_string())
        };
        let cards = module.tokens()?.iter().map(|token| token_card(token, name_of)).collect::<Result<Vec<_>, _>>()?;
        context.output.result(&cards, || text(&module, &cards))?;
        Ok(Exit::Ok)
    }
}

fn token_card(token: &Token, name_of: impl Fn(&TokenUri) -> Option<String>) -> Result<TokenCard, TokenError> {
    let row = |listed: Listed| KeyRow {
        name: name_of(&listed.uri),
        uri: listed.uri.to_string(),
        algorithm: listed.algorithm,
    };
    Ok(TokenCard {
        label: token.label(),
        made_by: token.made_by(),
        state: token.pin_state(),
        algorithms: token.algorithms()?,
        uri: token.uri().to_string(),
        keys: token.keys()?.into_iter().map(row).collect(),
    })
}

fn text(module: &Module, tokens: &[TokenCard]) -> String {
    if tokens.is_empty() {
        return format!("{} sees no token", module.path().display());
    }
    let key = |key: &KeyRow| {
        let name = key.name.as_ref().map(|name| format!("  = {name}")).unwrap_or_default();
        format!("{}{name}\n  {}", key.algorithm, key.uri)
    };
    let one = |token: &TokenCard| {
        let rows = [
            ("made by", clean(&token.made_by)),
            ("state", token.state.to_owned()),
            ("signs", token.algorithms.join(", ")),
            ("uri", token.uri.clone()),
            (
                "keys",
                if token.keys.is_empty() {
                    "none to be seen".to_owned()
                } else {
                    token.keys.iter().map(key).collect::<Vec<_>>().join("\n")
                },
            ),
        ];
        card(&clean(&token.label), &rows)
    };
    tokens.iter().map(one).collect::<Vec<_>>().join("\n")
}
