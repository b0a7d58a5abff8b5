//! `ics init`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;

use clap::Args;
use console::style;
use ics_core::descriptor::Template;
use ics_core::vocabulary::DomainName;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::client::home::{self, HomeError, MadeHome, NewHome};
use crate::config::Url;
use crate::keys::{Algorithm, KeyVersion, PASSPHRASE_FILE, Passphrase};

/// What `ics init` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A manufacturer, who may name devices by serial number and by its own URNs:
  $ ics init --role manufacturer --domain devices.acme.example --party 'Acme Pumps' --names 'urn:dev:os:32473-*' \
--names 'serial:*'

  The node beside a gateway, with nobody at the terminal:
  $ ics --home /var/lib/ics init --role infield --domain site4.acme.example --generate-passphrase")]
pub(crate) struct Init {
    /// The party's trade, from which the signer has a role: `manufacturer` introduces devices, `developer` code;
    /// `maintenance`, an integrator, and `infield`, a maintainer at a site, approve things and give them a status;
    /// `certification`, a certification body, labels. News of an `infield` domain is good for an hour, of others for a
    /// day.
    #[arg(long, value_name = "ROLE", value_parser = template)]
    role: Template,
    /// The domain that the node will be the home of, such as devices.acme.example.
    #[arg(long)]
    domain: DomainName,
    /// The party's name, as others know it; its signatures are shown under this name [default: its trade and the
    /// domain].
    #[arg(long, value_name = "TEXT")]
    party: Option<String>,
    /// The node's name, formed as a DNS name [default: ics. and the domain].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The address on which the node listens.
    #[arg(long, default_value = "127.0.0.1:8470", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// The address at which others reach the node.
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    /// A pattern for the names that the signer may give, with one `*`; may be given several times [default: serial:*,
    /// urn:dev:*, and host:*. followed by the domain].
    #[arg(long, value_name = "PATTERN")]
    names: Vec<String>,
    /// What the domain is for and whom to ask.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// The algorithm of owner's and signer's key.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// Make keys of version 6 (RFC 9580), which GnuPG does not read.
    #[arg(long)]
    v6: bool,
    /// Make a random passphrase and store it in the home directory.
    #[arg(long, conflicts_with = "passphrase_file")]
    generate_passphrase: bool,
}

/// Parses the name of a template.
pub(super) fn template(text: &str) -> Result<Template, String> {
    text.parse::<Template>().map_err(|e| e.to_string())
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it takes an address and a port, such as 127.0.0.1:8470")
}

/// What was made, as JSON.
#[derive(Serialize)]
struct Made {
    home: String,
    domain: DomainName,
    node: String,
    role: String,
    owner_key: String,
    signer_key: String,
    node_key: String,
    descriptor: String,
    passphrase_file: Option<String>,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.refuse_foreign_home()?;
        let passphrase = self.passphrase(context)?;
        let is_kept = passphrase.1;
        let new = self.new_home(passphrase);
        context.output.note("making three keys …");
        let made = home::make(&context.home, &new, context.now())?;
        context.output.result(&report(context, &new, &made, is_kept), || text(context, &new, &made, is_kept))?;
        Ok(Exit::Ok)
    }

    /// The passphrase, and whether it is generated and stored: on demand, or if nobody can be asked.
    fn passphrase(&self, context: &Context) -> Result<(Passphrase, bool), Failure> {
        let source = context.passphrases();
        if !self.generate_passphrase {
            if let Some(given) = source.from_files_for_new_keys()? {
                return Ok((given, false));
            }
            if std::io::stdin().is_terminal() {
                return Ok((source.choose()?, false));
            }
        }
        Ok((Passphrase::generate()?, true))
    }

    fn new_home(self, passphrase: (Passphrase, bool)) -> NewHome {
        let default_names = ["serial:*".to_owned(), "urn:dev:*".to_owned(), format!("host:*.{}", self.domain)];
        NewHome {
            template: self.role,
            party: self.party,
            node_name: self.name.unwrap_or_else(|| format!("ics.{}", self.domain)),
            listen: self.listen,
            public_url: self.public_url,
            names: if self.names.is_empty() { default_names.into() } else { self.names.into_iter().collect() },
            domain: self.domain,
            description: self.description,
            algorithm: (self.algorithm, if self.v6 { KeyVersion::V6 } else { KeyVersion::V4 }),
            passphrase,
        }
    }
}

fn report(context: &Context, new: &NewHome, made: &MadeHome, is_kept: bool) -> Made {
    Made {
        home: context.home.display().to_string(),
        domain: new.domain.clone(),
        node: new.node_name.clone(),
        role: made.signer.1.to_string(),
        owner_key: made.owner.to_string(),
        signer_key: made.signer.0.to_string(),
        node_key: made.node.to_string(),
        descriptor: made.descriptor.display().to_string(),
        passphrase_file: is_kept.then(|| context.home.join(PASSPHRASE_FILE).display().to_string()),
    }
}

fn text(context: &Context, new: &NewHome, made: &MadeHome, is_kept: bool) -> String {
    let (signer, role) = &made.signer;
    let title = format!("{} {} is ready in {}", style("✓").green(), new.domain, context.home.display());
    let owner = "changes the rules of the domain: keep keys/owner.asc apart, and a copy of it";
    let mut rows = vec![
        ("owner", format!("{}\n{owner}", made.owner)),
        ("signer", format!("{signer}\nsigns statements as {role}")),
        ("node", format!("{}\nsigns the log of {}", made.node, new.node_name)),
        ("rules", made.descriptor.display().to_string()),
    ];
    if is_kept {
        let path = context.home.join(PASSPHRASE_FILE);
        let advice = "made up, and kept there: anybody who reads it and the keys can sign";
        rows.push(("passphrase", format!("{}\n{advice}", path.display())));
    }
    format!("{}\n{}\n{}", card(&title, &rows), style("Next").bold(), next_steps(&context.named_flags(), new.template))
}

fn next_steps(flags: &str, trade: Template) -> String {
    let program = if flags.is_empty() { "ics".to_owned() } else { format!("ics {flags}") };
    let first = match trade {
        Template::Manufacturer | Template::Developer => ("publish", "introduce what you make"),
        Template::Maintenance | Template::Infield | Template::Certification => {
            ("peer add", "copy the domains about whose things you speak")
        }
    };
    let steps = [
        ("serve", "run the node"),
        first,
        ("key show signer", "who signs"),
        ("domain show", "the rules of the domain"),
        ("--help", "what else there is"),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = steps.map(|(command, what)| {
        let command = style(format!("{program} {command:<width$}")).cyan();
        format!("  {command}  {}", style(what).dim())
    });
    lines.join("\n")
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Key(error) => error.into(),
            HomeError::DescriptorFile(error) => error.into(),
            HomeError::Descriptor(error) => Self::new(Exit::Usage, error),
            HomeError::Exists(_) => Self::new(Exit::Local, error)
                .hint("nothing is ever overwritten: name another directory with --home DIR"),
            HomeError::File { .. } => Self::new(Exit::Local, error),
        }
    }
}
