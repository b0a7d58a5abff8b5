//! Talking to a node, and signing, as most commands do.

use std::path::PathBuf;

use clap::Args;
use ics_core::descriptor::Descriptor;
use ics_core::name::{Lookup, NameError};
use ics_core::vocabulary::{DomainName, Role};
use ics_sync::http::is_local;
use reqwest::StatusCode;

use super::context::Context;
use super::exit::{Exit, Failure};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::client::descriptor::DescriptorFile;
use crate::client::lookup::LookupError;
use crate::client::node::{Node, NodeError};
use crate::client::signing::{Signing, SigningError};
use crate::config::{Config, FILE_NAME, NodeConfig, Url};
use crate::words::shell_word;

/// Which domain is meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InDomain {
    /// The domain [default: `[client] domain` in ics.toml].
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<DomainName>,
}

/// Who signs, as what, and where.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SignAs {
    /// The domain in which the statement is made [default: `[client] domain` in ics.toml].
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<DomainName>,
    /// The secret key that signs: its name here, its fingerprint or its `pkcs11:` URI [default: `[client] signer` in
    /// ics.toml].
    #[arg(long, value_name = "KEY")]
    signer: Option<String>,
    /// The role in which the signer speaks [default: `[client] role` in ics.toml].
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// Sign nothing: write what is to be signed to this file, or to standard output for `-`, for `ics sign` on the
    /// machine that has the key.
    #[arg(long, value_name = "FILE")]
    unsigned: Option<PathBuf>,
}

impl InDomain {
    pub(crate) fn or_default(self, config: &Config) -> Result<DomainName, Failure> {
        named(self.domain, config.client.domain.as_ref(), "domain")
    }
}

impl SignAs {
    pub(crate) fn domain(&self, config: &Config) -> Result<DomainName, Failure> {
        named(self.domain.clone(), config.client.domain.as_ref(), "domain")
    }

    /// The flag by which the user has chosen the domain, after a space: a command that is printed for that domain takes
    /// it too.
    pub(crate) fn domain_flag(&self) -> String {
        flag("domain", self.domain.as_ref())
    }

    /// The flags by which the user has chosen domain, signer and role, each after a space: a command that is printed
    /// for the same signer takes them too.
    pub(crate) fn flags(&self) -> String {
        format!("{}{}{}", self.domain_flag(), flag("signer", self.signer.as_ref()), flag("role", self.role.as_ref()))
    }

    /// Unlocks the signer's key, unless signing happens elsewhere, and asks the node for the rules of the domain.
    pub(crate) async fn open(&self, context: &Context, config: &Config, node: &Node) -> Result<Signing, Failure> {
        let domain = self.domain(config)?;
        let name = named(self.signer.clone(), config.client.signer.as_ref(), "signer")?;
        let role = named(self.role.clone(), config.client.role.as_ref(), "role")?;
        let descriptor = rules(node, &domain).await?;
        if let Some(file) = &self.unsigned {
            let signer = super::commands::domain::signer(context, &name)?;
            return Ok(Signing::elsewhere(signer, file.clone(), role, descriptor));
        }
        let key = context.unlock(&context.keys().find(&name)?)?;
        Ok(Signing::new(key, role, descriptor))
    }
}

fn flag(name: &str, value: Option<&impl ToString>) -> String {
    value.map_or_else(String::new, |value| format!(" --{name} {}", shell_word(&value.to_string())))
}

/// The rules of a domain, as a node gives them.
pub(crate) async fn rules(node: &Node, domain: &DomainName) -> Result<Descriptor, Failure> {
    let signed = node.descriptor(domain).await?;
    let descriptor = DescriptorFile::from_body(signed)
        .map_err(|e| Failure::new(Exit::Network, format!("the node gave a malformed descriptor: {e}")))?
        .descriptor;
    if descriptor.domain != *domain {
        let message = format!("the node gave the descriptor of `{}` for `{domain}`", descriptor.domain);
        return Err(Failure::new(Exit::Network, message));
    }
    Ok(descriptor)
}

/// Refuses to act on what a node allows if anybody on the network path could have answered in its place.
pub(crate) fn refuse_exposed(node: &Node) -> Result<(), Failure> {
    if !node.is_exposed() {
        return Ok(());
    }
    let message = format!("what `{}` allows does not count: over plain HTTP anybody on the way may answer", node.url());
    Err(Failure::new(Exit::Refused, message)
        .hint("ask a node by https, or one on this machine at 127.0.0.1: --node URL, or [client] node in ics.toml"))
}

/// The value given on the command line, or the one that the configuration assumes.
pub(crate) fn named<T: Clone>(given: Option<T>, assumed: Option<&T>, what: &str) -> Result<T, Failure> {
    given.or_else(|| assumed.cloned()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("no {what} is named"))
            .hint(format!("name one with --{what}, or set [client] {what} in ics.toml"))
    })
}

impl Context {
    /// The node that commands talk to: `--node`, else `[client] node`, else the node of this home directory.
    pub(crate) fn node(&self, config: &Config) -> Result<Node, Failure> {
        let own = config.node.as_ref();
        let url = self.node.as_ref().or(config.client.node.as_ref()).map(ToString::to_string);
        let url = url.or_else(|| own.map(NodeConfig::url)).ok_or_else(|| self.no_node())?;
        let node = Node::new(&url)?;
        match operator_token(self.node.as_ref(), config).filter(|path| path.exists()) {
            Some(path) => Ok(node.as_operator(crate::client::home::read_operator_token(path).map_err(|e| {
                Failure::new(Exit::Local, format!("the operator's token in `{}`: {e}", path.display()))
            })?)),
            None => Ok(node),
        }
    }

    /// Tells a missing configuration, as after a mistyped `--home`, from one that names no node.
    fn no_node(&self) -> Failure {
        let path = self.home.join(FILE_NAME);
        let hint = match path.exists() {
            true => "name one with --node URL, or set [client] node in ics.toml".to_owned(),
            false => format!(
                "name one with --node URL; there is no `{}`: --home names another directory, and `ics init` makes one",
                path.display()
            ),
        };
        Failure::new(Exit::Usage, "no node is named").hint(hint)
    }

    /// Runs a command that waits for a node.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| Failure::new(Exit::Internal, e))?.block_on(work)
    }
}

/// How rustls reports that a server has presented the certificate of an authority.
const AUTHORITY_SHOWN: &str = "CaUsedAsEndEntity";
/// How the verifier reports that this machine has no root certificates.
const NO_AUTHORITIES: &str = "No CA certificates";
/// How rustls reports a server that answers in something else than TLS.
const NO_TLS: &str = "InvalidContentType";

/// The token of the node that the configuration names. Another node, given with `--node`, never sees it; nor does one
/// that `[client]` names see that of `[node]`, unless it is this one, by its own address or one of this machine.
fn operator_token<'c>(given: Option<&Url>, config: &'c Config) -> Option<&'c PathBuf> {
    let own = config.node.as_ref();
    let own_url = own.map(NodeConfig::url);
    let client_url = config.client.node.as_ref().map(ToString::to_string);
    let is_own = client_url.as_ref().is_none_or(|url| own_url.as_ref() == Some(url) || is_local(url));
    let configured = client_url.or(own_url);
    let is_other = given.is_some_and(|given| Some(given.to_string()) != configured);
    let own_token = own.and_then(|own| own.operator_token_file.as_ref()).filter(|_| is_own);
    config.client.operator_token_file.as_ref().or(own_token).filter(|_| !is_other)
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Problem(problem) => Self::from(*problem),
            NodeError::Unreachable { .. } if error.to_string().contains(AUTHORITY_SHOWN) => {
                Self::new(Exit::Network, error).hint(
                    "the node shows the certificate of an authority (CA:TRUE, as `openssl req -x509` makes it) as its \
                     own: have that authority issue one to the node, or make one with `-addext \
                     basicConstraints=critical,CA:FALSE`",
                )
            }
            // The node runs. Its certificate may be from a private authority, expired, or for other names.
            NodeError::Unreachable { .. } if error.is_untrusted() => Self::new(Exit::Network, error).hint(
                "this machine does not trust its certificate: if an authority of your own issued it, put that \
                 authority into the system's store, or name its file in the variable SSL_CERT_FILE",
            ),
            NodeError::Unreachable { .. } if error.to_string().contains(NO_AUTHORITIES) => {
                Self::new(Exit::Network, error)
                    .hint("install `ca-certificates`, or name a file of authorities in the variable SSL_CERT_FILE")
            }
            NodeError::Unreachable { .. } if error.to_string().contains(NO_TLS) => Self::new(Exit::Network, error)
                .hint("what answers there does not speak TLS: is it a node at `http://`, or another program?"),
            NodeError::Unreachable { .. } => {
                Self::new(Exit::Network, error).hint("is it running? `--node URL` names another one")
            }
            NodeError::Status { status, .. } => Self::new(Exit::Network, error).hint(advice_on(status)),
            NodeError::Answer { .. } => Self::new(Exit::Network, error),
        }
    }
}

/// What to do about a refusal without a reason.
const fn advice_on(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..400 => "redirects are not followed: `--node URL` names the node itself",
        408 => LATE,
        413 => "what stands in front of the node takes less at once than the node: raise its limit",
        429 => "try again in a moment",
        502..=504 => "what stands in front of the node gets no answer from it: is the node running?",
        _ => "is it a node? `--node URL` names another one",
    }
}

/// What to do if a request did not arrive in time: what can be sent in parts was.
const LATE: &str = "the line to the node is slow or broke off: try again, or from a machine nearer to it";

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match Code::named(problem.code()) {
            Some(Code::MalformedId) => Exit::Usage,
            // Neither a rule nor an answer: later it may be another.
            _ if !problem.is_final() => Exit::Network,
            _ if problem.status == 404 || problem.status == 410 => Exit::NotFound,
            _ => Exit::Refused,
        };
        let failure = Self::new(exit, &problem.detail).code(problem.code());
        match local_hint(&problem).map(str::to_owned).or(problem.hint) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A hint for the command line, if the node's own hint is about HTTP.
fn local_hint(problem: &Problem) -> Option<&'static str> {
    match Code::named(problem.code())? {
        Code::OperatorOnly => {
            Some("only its operator may: `[client] operator_token_file` in ics.toml names the file with the token")
        }
        Code::UnknownRoute | Code::MethodNotAllowed => Some("this node does not do that: --node names another one"),
        Code::UnknownDomain => Some("another node may hold it: --node names one, and `ics peer add` copies it"),
        Code::MalformedId if is_beginning(&problem.detail) => {
            Some("this looks like the beginning of an id: `ics list` and `ics lookup` show the whole of it")
        }
        // The message itself lists the forms, or the rule of its form that a text breaks.
        Code::MalformedId if lacks_kind(&problem.detail) => Some(
            "put the kind of the name in front of it: a serial number is `serial:SN-0001`; `ics list --title TEXT` \
             finds what is called so",
        ),
        Code::MalformedId => Some("`ics lookup --help` shows what each kind of id and name looks like"),
        Code::MalformedQuery => Some("--help of this command says what each option takes"),
        Code::MalformedJson => {
            Some("the node may run another version of this program; `ics --version` shows that of this one")
        }
        Code::TooMuchSaid => Some(
            "a node with a copy of the domain gives verdict and evidence one by one: `ics lookup THING --use USE`, `ics \
             export THING`",
        ),
        Code::IsHome => Some("a bundle brings news of a domain to its copies: import it at another node"),
        Code::ErasureDiffers => Some("make it anew with `ics erase`, which restates what must stay"),
        Code::RequestTimeout => Some(LATE),
        Code::NotHome => Some("ask the home of the domain: --node names it"),
        Code::UnknownIdentity => Some(
            "a domain that has not introduced a thing knows it by its id only: ask for the id, or ask all domains of the \
             node at once, by `ics lookup` without --domain; `ics peer add` copies other domains",
        ),
        Code::Busy | Code::OverBudget => Some("try again in a moment"),
        Code::NoRoom => Some("the node goes on by itself once its operator has made room"),
        Code::Behind => Some(
            "try again in a moment, or ask another node: --node names one. Of a domain that was restored, ics restore \
             on the machine of its home says what it waits for",
        ),
        _ => None,
    }
}

/// Whether the text quoted at the start of a message is what tables show of a longer id, in small letters: a serial
/// number, often in capital ones, may have as many digits.
fn is_beginning(message: &str) -> bool {
    let text = message.split('`').nth(1).unwrap_or_default();
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = text.strip_suffix('…').unwrap_or(text);
    // Without the dots, as a double click marks it; 16 digits and no letter are more likely a serial number.
    let is_like_one = hex.len() < text.len() || hex.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_like_one && hex.len() == 16 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the text quoted at the start of a message has no kind, rather than breaking a rule of its kind.
fn lacks_kind(message: &str) -> bool {
    let text = message.split('`').nth(1);
    text.is_some_and(|text| matches!(text.parse::<Lookup>(), Err(NameError::Form(_))))
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Node(error) => error.into(),
            LookupError::Unknown(_) => {
                Self::new(Exit::NotFound, &error).hint("`ics publish` introduces things; another node may know it")
            }
            LookupError::Ambiguous { .. } => Self::new(Exit::Refused, &error).hint("name one of the ids"),
            LookupError::Erased(_) => Self::new(Exit::NotFound, &error).hint(
                "--thing-key FILE gives the key of a thing; publish software and groups again with `ics publish`",
            ),
            LookupError::OtherKey { .. } => Self::new(Exit::Usage, &error),
            LookupError::Inconsistent { .. } => Self::new(Exit::Network, &error),
        }
    }
}

impl From<SigningError> for Failure {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Key(error) => error.into(),
            SigningError::Randomness(_) => Self::new(Exit::Internal, error),
            SigningError::Status { ref known, .. } => {
                let hint = format!("the domain has {} for it", known.join(", "));
                Self::new(Exit::Refused, error).hint(hint)
            }
            _ => Self::new(Exit::Refused, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_certificate_is_not_believed_does_run() {
        let told = |reason: &str| {
            let (url, reason) = ("https://n.example".to_owned(), reason.to_owned());
            format!("{:?}", Failure::from(NodeError::Unreachable { url, reason }))
        };
        let untrusted = told("invalid peer certificate: UnknownIssuer");
        assert!(untrusted.contains("SSL_CERT_FILE") && !untrusted.contains("is it running?"), "{untrusted}");
        let authority = told("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))");
        assert!(authority.contains("CA:FALSE") && !authority.contains("SSL_CERT_FILE"), "{authority}");
        let nobody = told("No CA certificates were loaded from the system");
        assert!(nobody.contains("ca-certificates") && !nobody.contains("is it running?"), "{nobody}");
        let plain = told("received corrupt message of type InvalidContentType");
        assert!(plain.contains("`http://`") && !plain.contains("is it running?"), "{plain}");
        let away = told("Connection refused (os error 111)");
        assert!(away.contains("is it running?") && !away.contains("SSL_CERT_FILE"), "{away}");
    }

    #[test]
    fn the_beginning_of_an_id_is_told_from_a_name_without_its_kind() {
        let told = |text: &str| {
            let detail = format!("`{text}` is not a name: use a fingerprint");
            format!("{:?}", Failure::from(Problem::of(Code::MalformedId, detail)))
        };
        for cut in ["03d8b8cde69896e7", "1234567890123456…", "sha256:712b88f9b8097654…"] {
            assert!(told(cut).contains("the beginning of an id"), "{}", told(cut));
        }
        for name in ["SN-0001", "1234567890123456", "0024BEFFFE804FF1", "Lot 2026-11"] {
            assert!(told(name).contains("a serial number is"), "{}", told(name));
        }
    }

    /// A script that takes 1 for the answer no would give up for good what only has to wait.
    #[test]
    fn what_may_be_answered_otherwise_later_is_no_refusal() {
        for code in Code::ALL {
            let failure = Failure::from(Problem::of(*code, "it failed".to_owned()));
            let is_for_now = code.status() >= 500 || matches!(code.status(), 408 | 429);
            assert_eq!(failure.exit() == Exit::Network, is_for_now, "{code}");
        }
    }

    #[test]
    fn a_refusal_without_a_reason_comes_with_what_to_do() {
        let told = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            format!("{:?}", Failure::from(NodeError::Status { url: "https://n.example".to_owned(), status }))
        };
        for (status, hint) in [
            (302, "redirects are not followed"),
            (404, "is it a node?"),
            (408, "the line to the node is slow"),
            (413, "raise its limit"),
            (502, "is the node running?"),
        ] {
            let told = told(status);
            assert!(told.contains(&format!("answers {status} ")) && told.contains(hint), "{told}");
        }
    }

    #[test]
    fn no_hint_speaks_of_what_only_programs_see() {
        for code in Code::ALL {
            let problem = Problem::of(*code, "it failed".to_owned());
            let told = format!("{:?}", Failure::from(problem));
            let words = ["Retry-After", "`Authorization", "GET /", "Allow header"];
            assert!(!words.iter().any(|word| told.contains(word)), "{told}");
        }
    }

    /// What the node says of it is what to do: coming back helps as little as a restored domain has to do with it.
    #[test]
    fn a_node_without_a_trust_policy_is_not_said_to_be_ready_soon() {
        let told = format!("{:?}", Failure::from(Problem::of(Code::NoPolicy, "there is none".to_owned())));
        assert!(!told.contains("try again") && !told.contains("restore"), "{told}");
    }

    #[test]
    fn what_is_for_another_machine_takes_no_flags_of_this_one() {
        let told = format!("{:?}", Failure::from(Problem::of(Code::Behind, "it failed".to_owned())));
        assert!(told.contains("ics restore on the machine of its home") && !told.contains("`ics restore"), "{told}");
    }

    #[test]
    fn the_operators_token_goes_to_its_own_node_only() {
        let own = "[node]\nname = \"n.example\"\noperator_token_file = \"own\"\n";
        let client = "[client]\nnode = \"https://c.example\"\noperator_token_file = \"other\"\n";
        let public = format!("{own}public_url = \"https://n.example\"\n");
        let asking = |node: &str| format!("{public}[client]\nnode = \"{node}\"\n");
        let (stranger, itself) = (asking("https://c.example"), asking("https://n.example/"));
        let here = asking("http://127.0.0.1:8471");
        for (text, given, expected) in [
            (own, None, Some("own")),
            (own, Some("http://127.0.0.1:8470/"), Some("own")),
            (own, Some("https://stranger.example"), None),
            (client, None, Some("other")),
            (client, Some("https://c.example"), Some("other")),
            (client, Some("http://127.0.0.1:8470"), None),
            (stranger.as_str(), None, None),
            (stranger.as_str(), Some("https://c.example"), None),
            (stranger.as_str(), Some("https://n.example"), None),
            (itself.as_str(), None, Some("own")),
            (itself.as_str(), Some("https://n.example"), Some("own")),
            (here.as_str(), None, Some("own")),
        ] {
            let config = Config::parse(text, "ics.toml".as_ref()).expect("a configuration");
            let given = given.map(|url| url.parse().expect("a URL"));
            let token = operator_token(given.as_ref(), &config);
            assert_eq!(token.map(|path| path.as_path()), expected.map(std::path::Path::new), "{text} {given:?}");
        }
    }
}
