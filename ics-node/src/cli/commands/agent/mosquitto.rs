//! `ics agent mosquitto`.

use std::path::PathBuf;

use clap::Args;
use console::style;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output;
use crate::cli::session::refuse_exposed;
use crate::cli::words::clean;
use crate::client::agent::Moment;
use crate::client::agent::mosquitto::{Access, BrokerError, Report, Settings, run};
use crate::http::stop_signal;
use crate::keys::file::read_secret;

/// The size limit of the password file, in bytes.
const PASSWORD_BYTES: usize = 4096;

/// What `ics agent mosquitto` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics agent mosquitto --user ics-agent-3f9a --password-file /etc/ics/mosquitto-password

  The clients' common names are the part after `urn:dev:mac:`, and the broker listens elsewhere:
  $ ics agent mosquitto --broker 127.0.0.1:1884 --user ics-agent-3f9a --password-file password --name 'urn:dev:mac:{}'

  Beforehand, once, at the broker, for the devices' topics and for each device:
  $ mosquitto_ctrl -u admin dynsec createRole ics-device
  $ mosquitto_ctrl -u admin dynsec addRoleACL ics-device publishClientSend 'plant/#' allow
  $ mosquitto_ctrl -u admin dynsec createGroup ics
  $ mosquitto_ctrl -u admin dynsec createClient SN-0001
  $ mosquitto_ctrl -u admin dynsec addGroupClient ics SN-0001

  examples/mosquitto shows the whole set-up.")]
pub(crate) struct Mosquitto {
    /// The address of a listener of the broker on this machine.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    broker: String,
    /// The broker's client that may change roles. No device may have a certificate with this name: choose a name that
    /// cannot be guessed.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The file with its password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The query by which the node finds a client; `{}` stands for the client's name at the broker, which is the common
    /// name of its certificate.
    #[arg(long, value_name = "QUERY", default_value = "serial:{}")]
    name: String,
    /// What the node must allow clients to do: connect, or another use that its trust policy names.
    #[arg(long = "use", value_name = "USE", default_value = "connect")]
    usage: String,
    /// The broker's group whose clients are looked after.
    #[arg(long, value_name = "GROUP", default_value = "ics")]
    group: String,
    /// The broker's role that clients have while they may connect.
    #[arg(long, value_name = "ROLE", default_value = "ics-device")]
    device_role: String,
}

impl Mosquitto {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        refuse_exposed(&node)?;
        let settings = self.settings()?;
        context.wait(async {
            let stop = stop_signal().map_err(|error| Failure::new(Exit::Internal, error))?;
            let failed = tokio::select! {
                () = stop => return Ok(Exit::Ok),
                failed = run(&node, &settings, || Moment::now(context.now()), |report| print(context, &report)) => failed,
            };
            match failed {
                Ok(never) => match never {},
                Err(error) => Err(error.into()),
            }
        })
    }

    fn settings(self) -> Result<Settings, Failure> {
        let address = self.broker.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = address.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("`{}` is not a host and a port such as 127.0.0.1:1883", clean(&self.broker)),
            )
        })?;
        if !self.name.contains("{}") {
            return Err(Failure::new(Exit::Usage, "--name must be a query with `{}` in place of the client's name"));
        }
        let unreadable = |error| files::failed(&self.password_file, error);
        let password = read_secret(&self.password_file, PASSWORD_BYTES).map_err(unreadable)?;
        let password = String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned();
        let broker = Access { host: host.to_owned(), port, user: self.user, password: password.into() };
        Ok(Settings { broker, usage: self.usage, name: self.name, group: self.group, role: self.device_role })
    }
}

fn print(context: &Context, report: &Report) {
    let line = if context.output.json { serde_json::to_string(report).unwrap_or_default() } else { words(report) };
    // If standard output is closed, nobody is reading; the broker is kept in step all the same.
    let _ = output::print(format!("{line}\n").as_bytes());
}

fn words(report: &Report) -> String {
    match report {
        Report::Watching { clients } => format!("{} {clients} of the broker's clients", style("watching").green()),
        Report::LetIn { client, reason } => {
            format!("{} {}: {}", style("let in").green(), clean(client), reason.as_str())
        }
        Report::Ended { client, verdict, reason } => {
            format!("{} {}: {}, {}", style("ended").red(), clean(client), verdict.as_str(), reason.as_str())
        }
        Report::Trouble { reason } => {
            format!("{} {}; what was allowed before ends with its freshness", style("trouble").yellow(), clean(reason))
        }
        Report::Answers => format!("{} the node again", style("hears").green()),
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let failure = Self::new(Exit::Refused, &error);
        match error {
            BrokerError::Refused { .. } => {
                failure.hint("`ics agent mosquitto --help` shows the group and the role that the broker needs")
            }
            _ => failure,
        }
    }
}
