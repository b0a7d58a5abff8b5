//! `ics acme`.

use clap::{Args, Subcommand};
use console::style;
use ics_core::descriptor::{Certificates, Descriptor};
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::openpgp::certificate::Purpose;
use ics_core::openpgp::possession;
use ics_core::vocabulary::DomainName;

use super::page_limit;
use crate::api::problem::Code;
use crate::api::{AcmeAccount, ChallengeAnswer, PageQuery};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{card, table};
use crate::cli::session::{InDomain, named, rules};
use crate::cli::words::{clean, counted, when};
use crate::client::node::{Node, NodeError};
use crate::client::signing::SigningError;

/// Commands about the ACME server of a domain.
#[derive(Debug, Subcommand)]
pub(crate) enum AcmeCommand {
    /// Get the credential with which an ACME client makes its account.
    ///
    /// Signs with a key that the domain knows, that of a signer or of a thing, and gets a credential for the external
    /// account binding of one ACME account, to be used within a week. The account then speaks for that signer or thing.
    /// A thing gets certificates for itself; a signer gets them for the things over which the signer has a role that
    /// the profile lists in `requesters` (the ready-made profiles of `ics ca import` list none). Anybody who has the
    /// credential can make the account: keep it secret.
    ///
    /// A thing whose ACME client uses the thing's own key as its account key needs no credential.
    Eab(Eab),
    /// List the accounts, and for whom they speak.
    ///
    /// For operators. Accounts that were given up or taken away are listed too, with their state. After `ics restore`
    /// this shows which accounts are valid again.
    List(List),
    /// Take away the accounts that speak for a signer or a thing.
    ///
    /// For operators, when somebody else may have the keys of these accounts, or when there are too many of them. The
    /// accounts can no longer request anything, and credentials that were not used yet become invalid. Certificates
    /// stay valid, and the signer or the thing can bind another account with `ics acme eab` and another account key: a
    /// key whose account was taken away makes no account again, not even if it is the thing's own key. The accounts'
    /// contact addresses are deleted, as when a client deactivates its account; earlier backups keep them. To end more
    /// than the accounts, use `ics status`, or declare the signer compromised in the descriptor.
    ///
    /// This is recorded in no log. If the node's disk is lost, `ics restore` puts back the accounts of the copy, and
    /// says for whom they speak: accounts that were taken away since the copy was made must be taken away again.
    Revoke(Revoke),
}

/// What `ics acme eab` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics acme eab
  $ ics acme eab --key device --domain devices.acme.example --json")]
pub(crate) struct Eab {
    #[command(flatten)]
    domain: InDomain,
    /// The secret key that signs [default: `[client] signer` in ics.toml].
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// What `ics acme list` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics acme list
  $ ics acme list --domain devices.acme.example --limit 20 --after 1234 --json")]
pub(crate) struct List {
    #[command(flatten)]
    domain: InDomain,
    /// How many accounts a page has.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = page_limit)]
    limit: usize,
    /// Continue after this account, which the previous page names.
    #[arg(long, default_value_t = 0, value_name = "ACCOUNT")]
    after: u64,
}

/// What `ics acme revoke` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics acme revoke 0123456789abcdef0123456789abcdef01234567
  $ ics acme revoke 0123456789abcdef0123456789abcdef01234567 --domain devices.acme.example")]
pub(crate) struct Revoke {
    /// The fingerprint of the signer or the thing.
    #[arg(value_name = "FINGERPRINT")]
    holder: Fingerprint,
    #[command(flatten)]
    domain: InDomain,
}

impl AcmeCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Eab(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Revoke(command) => command.run(context),
        }
    }
}

impl Eab {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let name = named(self.key, config.client.signer.as_ref(), "key")?;
        let domain = self.domain.or_default(&config)?;
        let (node, key) = (context.node(&config)?, context.unlock(&context.keys().find(&name)?)?);
        let holder = key.certificate().primary();
        let id = IdentityId::Key(holder);
        let (credential, rules) = context.wait(async {
            let challenge = match node.acme_challenge(&domain, &id.to_string()).await {
                Ok(challenge) => challenge,
                Err(error) => return Err(without_credential(&node, &domain, &holder, error).await),
            };
            if !challenge.asks_for_credential(&domain, &id) {
                let wants = format!("the node at `{}` wants more signed than a credential needs", node.url());
                return Err(Failure::new(Exit::Network, wants)
                    .hint("nothing was signed: tell the operator of the node, or name another one with --node"));
            }
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(|error| SigningError::Randomness(error.to_string()))?;
            let now = context.now();
            let signer = key.signer(Purpose::Sign, now)?;
            let signature = possession::sign(signer, challenge.message.as_bytes(), now, &salt);
            let signature = signature.map_err(|error| Failure::new(Exit::Refused, error))?;
            let answer = ChallengeAnswer { nonce: challenge.nonce, signature: ics_sync::wire::Base64(signature) };
            // The rules are only needed for a note.
            match node.acme_credential(&domain, &answer).await {
                Ok(credential) => Ok((credential, rules(&node, &domain).await.ok())),
                Err(error) => Err(without_credential(&node, &domain, &holder, error).await),
            }
        })?;
        context.output.result(&credential, || {
            let rows = [
                ("directory", credential.directory.clone()),
                ("key id", credential.kid.clone()),
                ("HMAC key", credential.hmac_key.clone()),
                ("account for", credential.holder.clone()),
                ("use it until", when(credential.expires)),
                ("certbot", "register --server DIRECTORY --eab-kid ID --eab-hmac-key KEY".to_owned()),
                ("lego", "--server DIRECTORY --eab --kid ID --hmac KEY run".to_owned()),
            ];
            card("ACME credential", &rows)
        })?;
        if rules.is_some_and(|rules| gets_nothing(&rules, &holder)) {
            context.output.note(
                "no profile of the domain lists a role in `requesters`: signers get no certificates; its owners change the \
                 profiles with `ics ca import --profiles`",
            );
        }
        Ok(Exit::Ok)
    }
}

/// Explains why there is no credential. The rules may name a signer whose certificate nobody has submitted; then the
/// node has no key with which to check the signer's signature.
async fn without_credential(node: &Node, domain: &DomainName, key: &Fingerprint, error: NodeError) -> Failure {
    let lacks_key = match &error {
        NodeError::Problem(problem) => {
            [Code::UnknownIdentity, Code::NotProven].iter().any(|code| problem.code() == code.as_str())
        }
        _ => false,
    };
    let failure = Failure::from(error);
    let is_named = |rules: &Descriptor| rules.roles.values().any(|role| role.signers.contains(key));
    if lacks_key && rules(node, domain).await.is_ok_and(|rules| is_named(&rules)) {
        return failure.hint(
            "the domain gives this key a role, and may lack its certificate: submit it with `ics key show KEY --armor \
             > FILE` and `ics import FILE`",
        );
    }
    failure
}

/// Whether this is a signer and the profiles let no signer request anything, as is the case for those made by `ics ca
/// import`.
fn gets_nothing(rules: &Descriptor, key: &Fingerprint) -> bool {
    let no_signer = |certificates: &Certificates| certificates.profiles.values().all(|it| it.requesters.is_empty());
    rules.certificates.as_ref().is_some_and(no_signer) && rules.roles.values().any(|role| role.signers.contains(key))
}

impl List {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let query = PageQuery { after: self.after, limit: Some(self.limit) };
        let page = context.wait(async { Ok(node.acme_accounts(&domain, query).await?) })?;
        context.output.result(&page, || {
            if page.items.is_empty() {
                return none(&domain, self.after);
            }
            let rows: Vec<_> = page.items.iter().map(row).collect();
            table(&["account", "kind", "speaks for", "state", "since", "contact"], &rows)
        })?;
        if let Some(after) = page.next {
            context.output.note(&style(format!("there may be more: --after {after}")).dim().to_string());
        }
        Ok(Exit::Ok)
    }
}

/// Of a later page it is only known that it has none.
fn none(domain: &DomainName, after: u64) -> String {
    if after == 0 {
        format!("there are no ACME accounts in {domain}")
    } else {
        format!("no more ACME accounts in {domain}")
    }
}

fn row(it: &AcmeAccount) -> Vec<String> {
    vec![
        it.account.to_string(),
        clean(&it.kind),
        clean(&it.holder),
        clean(&it.state),
        when(it.created),
        clean(&it.contact.join(" ")),
    ]
}

impl Revoke {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let revoked = context.wait(async { Ok(node.revoke_acme_accounts(&domain, &self.holder).await?) })?;
        context.output.result(&revoked, || {
            format!("{} of {} taken away\n", counted(revoked.accounts, "account"), revoked.holder)
        })?;
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_not_called_the_end_of_something() {
        let domain: DomainName = "devices.acme.example".parse().expect("a domain");
        let told = [0, 7].map(|after| none(&domain, after));
        let expected = ["there are no ACME accounts in", "no more ACME accounts in"];
        assert_eq!(told, expected.map(|text| format!("{text} {domain}")));
    }

    #[test]
    fn an_account_as_a_row() {
        let account = json!({
            "account": 7, "kind": "signer", "holder": "ab", "state": "valid", "contact": ["mailto:a@acme.example"],
            "created": "2026-11-20T08:10:00.25Z",
        });
        let told = row(&serde_json::from_value(account).expect("an account"));
        assert_eq!(told, ["7", "signer", "ab", "valid", "2026-11-20 08:10:00 UTC", "mailto:a@acme.example"]);
    }
}
