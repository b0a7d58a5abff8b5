//! Mosquitto's dynamic security plugin, whose commands and answers are JSON on topics of the broker itself.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::mqtt::{self, Hearer, Speaker};

const COMMANDS: &str = "$CONTROL/dynamic-security/v1";
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";
/// How long the broker may take to carry out a command.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients in a page of the list.
const LISTED: usize = 1_000;
/// How often the list is read again because clients came or went meanwhile.
const LISTINGS: usize = 3;
/// How many answers may be queued.
const WAITING: usize = 16;

/// The broker's address, and the credentials of its administrator.
#[derive(Clone)]
pub struct Access {
    /// The host of a listener for this machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A client of the broker with the role `admin`.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

/// Omits the password.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, password: _ } = self;
        f.debug_struct("Access").field("host", host).field("port", port).field("user", user).finish_non_exhaustive()
    }
}

/// Why a broker does not carry out a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, or does not let the agent in.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// It does not answer.
    #[error("the broker has not answered within {} s: is the dynamic security plugin loaded?", PATIENCE.as_secs())]
    Silent,
    /// Its answer does not fit the command.
    #[error("the broker gave an answer that is not understood: {0}")]
    Answer(String),
    /// It refuses.
    #[error("the broker refuses `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// Its message.
        reason: String,
    },
}

/// A page of the list of all clients.
#[derive(Debug, Clone, Deserialize)]
struct Clients {
    #[serde(rename = "totalCount")]
    total: usize,
    clients: Vec<Client>,
}

/// A client as the plugin keeps it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Client {
    pub(super) username: String,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Deserialize)]
struct Role {
    rolename: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Group {
    groupname: String,
}

/// A session with the plugin.
pub(super) struct Dynsec {
    speaker: Speaker,
    answers: mpsc::Receiver<Vec<u8>>,
    /// The task that reads from the broker until the connection ends, and then returns why it did.
    hearing: JoinHandle<String>,
    number: u64,
}

impl Drop for Dynsec {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

impl Dynsec {
    pub(super) async fn connect(access: &Access) -> Result<Self, BrokerError> {
        let mut random = [0; 8];
        // Two agents with one name would disconnect each other; otherwise the name has no meaning.
        let _ = getrandom::fill(&mut random);
        let name = format!("ics-agent-{}", data_encoding::HEXLOWER.encode(&random));
        let login = (access.user.as_str(), access.password.as_str());
        let connecting = mqtt::connect((&access.host, access.port), &name, login, ANSWERS);
        let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| BrokerError::Silent)?;
        let (speaker, hearer) = connected.map_err(unreachable)?;
        let (sender, answers) = mpsc::channel(WAITING);
        Ok(Self { speaker, answers, hearing: tokio::spawn(hear(hearer, sender)), number: 0 })
    }

    /// Waits for the end of the session and returns its reason.
    pub(super) async fn ended(&mut self) -> BrokerError {
        let reason = (&mut self.hearing).await;
        BrokerError::Unreachable(reason.unwrap_or_else(|error| error.to_string()))
    }

    /// The clients of a group, each with whether it has a role.
    pub(super) async fn clients(&mut self, group: &str, role: &str) -> Result<BTreeMap<String, bool>, BrokerError> {
        let is_ours = |client: &Client| client.groups.iter().any(|it| it.groupname == group);
        let has_role = |client: &Client| client.roles.iter().any(|it| it.rolename == role);
        let mut known = BTreeMap::new();
        // If clients come and go meanwhile, a page may start after one that nobody has seen yet, so the number seen is
        // compared with the total.
        for _ in 0..LISTINGS {
            let (mut offset, mut total) = (0, None);
            let is_steady = loop {
                let page = self.listed(offset).await?;
                offset += page.clients.len();
                known
                    .extend(page.clients.iter().filter(|it| is_ours(it)).map(|it| (it.username.clone(), has_role(it))));
                let before = *total.get_or_insert(page.total);
                if before != page.total || page.clients.is_empty() || offset >= page.total {
                    break before == page.total && offset >= page.total;
                }
            };
            if is_steady {
                break;
            }
        }
        Ok(known)
    }

    /// Returns one page of all clients. All together may be more than a message holds.
    async fn listed(&mut self, offset: usize) -> Result<Clients, BrokerError> {
        let command = json!({ "command": "listClients", "verbose": true, "count": LISTED, "offset": offset });
        let data = self.tell(command).await?;
        serde_json::from_value(data).map_err(|error| BrokerError::Answer(error.to_string()))
    }

    /// Gives a client a role, or takes it away; either ends its sessions.
    pub(super) async fn set_role(&mut self, username: &str, role: &str, has: bool) -> Result<(), BrokerError> {
        let command = if has { "addClientRole" } else { "removeClientRole" };
        self.tell(json!({ "command": command, "username": username, "rolename": role })).await.map(drop)
    }

    /// Sends a command and returns the `data` of its answer.
    pub(super) async fn tell(&mut self, mut command: Value) -> Result<Value, BrokerError> {
        self.number += 1;
        let number = self.number.to_string();
        let name = command.get("command").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(members) = command.as_object_mut() {
            members.insert("correlationData".to_owned(), number.clone().into());
        }
        let commands = json!({ "commands": [command] }).to_string();
        self.speaker.publish(COMMANDS, commands.as_bytes()).await.map_err(unreachable)?;
        match tokio::time::timeout(PATIENCE, self.answer_to(&number)).await {
            Ok(Some(answer)) => data_of(name, answer),
            Ok(None) => Err(self.ended().await),
            Err(_) => Err(BrokerError::Silent),
        }
    }

    async fn answer_to(&mut self, number: &str) -> Option<Answer> {
        loop {
            let payload = self.answers.recv().await?;
            let answers: Answers = serde_json::from_slice(&payload).unwrap_or_default();
            let found = answers.responses.into_iter().find(|it| it.correlation_data.as_deref() == Some(number));
            if found.is_some() {
                return found;
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Answers {
    responses: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "correlationData")]
    correlation_data: Option<String>,
    error: Option<String>,
    data: Option<Value>,
}

fn data_of(command: String, answer: Answer) -> Result<Value, BrokerError> {
    match answer.error {
        Some(reason) => Err(BrokerError::Refused { command, reason }),
        None => Ok(answer.data.unwrap_or_default()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreachable(error: std::io::Error) -> BrokerError {
    BrokerError::Unreachable(error.to_string())
}

/// Reads until the connection ends; returns why it did.
async fn hear(mut hearer: Hearer, answers: mpsc::Sender<Vec<u8>>) -> String {
    loop {
        match hearer.next().await {
            Ok(answer) => {
                if answers.send(answer).await.is_err() {
                    return "nobody listens any more".to_owned();
                }
            }
            Err(error) => return error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let (host, user, password) = ("127.0.0.1".to_owned(), "admin".to_owned(), "s3cret".to_owned().into());
        let shown = format!("{:?}", Access { host, port: 1883, user, password });
        assert!(shown.contains("admin") && !shown.contains("s3cret"), "{shown}");
    }
}
