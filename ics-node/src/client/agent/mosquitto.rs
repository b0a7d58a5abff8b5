//! Keeps a mosquitto broker in step with what the node decides: a client that may not connect loses its role and its
//! sessions.
//!
//! What mosquitto 2.0 offers works as follows:
//!
//! - A certificate revocation list is read on SIGHUP only, and an open session goes on whatever the list says.
//! - `disableClient` of the dynamic security plugin ends the sessions of a client that is known by its certificate
//!   (`use_identity_as_username`), but such a client comes back with all its rights: it is not asked for the password
//!   that was disabled.
//! - A client's rights depend on its role at each message. `removeClientRole` ends its sessions and leaves it without
//!   rights when it comes back, in kept sessions as well, as long as the default for what no role allows is "no". The
//!   plugin's own default lets everybody receive, so [`Agent`] sets it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use ics_core::trust::{Outcome, Reason};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::dynsec::Dynsec;
pub use super::dynsec::{Access, BrokerError};
use super::{Decisions, Moment, follow};
use crate::client::node::Node;

/// How often the broker is asked which clients it has.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The least time between two looks at the node's decisions, however many news it has.
const BREATH: Duration = Duration::from_millis(20);
/// How long a client keeps the rights that it has at the broker before the node has said anything about it: an agent
/// that has just started must not end sessions because an answer takes a moment.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long to wait before reconnecting to a broker.
const PAUSE: Duration = Duration::from_secs(1);

/// The settings of an agent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker.
    pub broker: Access,
    /// The use that clients need, from the node's trust policy.
    pub usage: String,
    /// The query by which the node finds a client, with `{}` for the client's name at the broker.
    pub name: String,
    /// The broker's group whose clients are in the agent's care.
    pub group: String,
    /// The broker's role that clients have while they are allowed.
    pub role: String,
}

/// Something that an agent has done or failed to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Report {
    /// It has started.
    Watching {
        /// Clients in its group.
        clients: usize,
    },
    /// A client is now allowed.
    LetIn {
        /// The client's name at the broker.
        client: String,
        /// Why, in one word.
        reason: Reason,
    },
    /// A client is no longer allowed, and its sessions have ended.
    Ended {
        /// The client's name at the broker.
        client: String,
        /// Deny or unknown.
        verdict: Outcome,
        /// Why, in one word.
        reason: Reason,
    },
    /// The node or the broker does not answer; what the node allows ends with its freshness. Reported once, until the
    /// trouble changes or is over.
    Trouble {
        /// What is wrong.
        reason: String,
    },
    /// The node answers again.
    Answers,
}

/// Filters reports: since each look meets the same trouble again, only new trouble and its end are passed on.
fn once(mut report: impl FnMut(Report)) -> impl FnMut(Report) {
    let mut last = None;
    move |told| {
        let trouble = match &told {
            Report::LetIn { .. } | Report::Ended { .. } => return report(told),
            Report::Watching { .. } | Report::Answers => None,
            Report::Trouble { reason } => Some(reason.clone()),
        };
        let is_new = matches!(told, Report::Watching { .. }) || trouble != last;
        last = trouble;
        if is_new {
            report(told);
        }
    }
}

/// Keeps the broker in step until it refuses something essential, which needs a person. The broker, the node and
/// clients may come and go.
///
/// # Errors
/// When the broker refuses: the group or role is missing, or the agent may not give it commands.
pub async fn run(
    node: &Node,
    settings: &Settings,
    now: impl Fn() -> Moment,
    report: impl FnMut(Report),
) -> Result<core::convert::Infallible, BrokerError> {
    let mut report = once(report);
    let (told, mut news) = watch::channel(());
    let following = tokio::spawn(follow(node.clone(), told));
    let mut decisions = Decisions::new(node.clone(), settings.usage.clone());
    let ended = loop {
        match keep(settings, &mut decisions, &mut news, &now, &mut report).await {
            refused @ BrokerError::Refused { .. } => break refused,
            trouble => report(Report::Trouble { reason: trouble.to_string() }),
        }
        tokio::time::sleep(PAUSE).await;
    };
    following.abort();
    Err(ended)
}

/// Runs one session with the broker; returns why it ended.
async fn keep(
    settings: &Settings,
    decisions: &mut Decisions,
    news: &mut watch::Receiver<()>,
    now: &impl Fn() -> Moment,
    report: &mut impl FnMut(Report),
) -> BrokerError {
    let mut session = match Dynsec::connect(&settings.broker).await {
        Ok(session) => session,
        Err(error) => return error,
    };
    match watch_over(&mut session, settings, (decisions, news), now, report).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn watch_over(
    session: &mut Dynsec,
    settings: &Settings,
    (decisions, news): (&mut Decisions, &mut watch::Receiver<()>),
    now: &impl Fn() -> Moment,
    report: &mut impl FnMut(Report),
) -> Result<core::convert::Infallible, BrokerError> {
    deny_by_default(session).await?;
    session.tell(json!({ "command": "getGroup", "groupname": settings.group })).await?;
    session.tell(json!({ "command": "getRole", "rolename": settings.role })).await?;
    let mut clients = session.clients(&settings.group, &settings.role).await?;
    let mut looked = Instant::now();
    report(Report::Watching { clients: clients.len() });
    loop {
        if looked.elapsed() > LOOK_AGAIN {
            clients = session.clients(&settings.group, &settings.role).await?;
            looked = Instant::now();
        }
        news.borrow_and_update();
        let things: Vec<String> = clients.keys().map(|client| settings.thing(client)).collect();
        let (mut asking, begun) = (Box::pin(decisions.ask(things)), Instant::now());
        let asked = loop {
            tokio::select! {
                asked = &mut asking => break asked,
                error = session.ended() => return Err(error),
                () = tokio::time::sleep(PAUSE) => {}
            }
            // A silent node keeps nobody connected for longer than its earlier answers are fresh.
            let waits = begun.elapsed() < FIRST_ANSWER;
            settings.apply(session, (decisions, waits), &mut clients, now(), report).await?;
        };
        report(match decisions.take(asked) {
            Some(error) => Report::Trouble { reason: error.to_string() },
            None => Report::Answers,
        });
        if !settings.apply(session, (decisions, false), &mut clients, now(), report).await? {
            clients = session.clients(&settings.group, &settings.role).await?;
            looked = Instant::now();
        }
        tokio::time::sleep(BREATH).await;
        tokio::select! {
            error = session.ended() => return Err(error),
            // The sender lives as long as the agent, so otherwise only the timeout ends the wait.
            _ = tokio::time::timeout(PAUSE, news.changed()) => {}
        }
    }
}

/// Denies by default whatever no role allows.
async fn deny_by_default(session: &mut Dynsec) -> Result<(), BrokerError> {
    let kinds = ["publishClientSend", "publishClientReceive", "subscribe"];
    let all: Vec<_> = kinds.map(|kind| json!({ "acltype": kind, "allow": false })).into();
    session.tell(json!({ "command": "setDefaultACLAccess", "acls": all })).await.map(drop)
}

impl Settings {
    fn thing(&self, client: &str) -> String {
        self.name.replace("{}", client)
    }

    /// Ends the sessions of clients that are no longer allowed, then lets in those that are. A client that the broker
    /// no longer knows does not hold up the others: returns whether everything was done. While an answer is awaited,
    /// clients about which the node has said nothing stay as they are.
    async fn apply(
        &self,
        session: &mut Dynsec,
        (decisions, waits): (&Decisions, bool),
        clients: &mut BTreeMap<String, bool>,
        now: Moment,
        report: &mut impl FnMut(Report),
    ) -> Result<bool, BrokerError> {
        let mut refusal = None;
        for may in [false, true] {
            for (client, has) in clients.iter_mut().filter(|(_, has)| **has != may) {
                let thing = self.thing(client);
                let ruled = decisions.at(&thing, now);
                if (ruled.verdict == Outcome::Allow) != may || (waits && !decisions.knows(&thing)) {
                    continue;
                }
                match session.set_role(client, &self.role, may).await {
                    Err(refused @ BrokerError::Refused { .. }) => {
                        refusal.get_or_insert(refused);
                        continue;
                    }
                    done => done?,
                }
                *has = may;
                let client = client.clone();
                report(match may {
                    true => Report::LetIn { client, reason: ruled.reason },
                    false => Report::Ended { client, verdict: ruled.verdict, reason: ruled.reason },
                });
            }
        }
        let all = refusal.is_none();
        if let Some(refused) = refusal {
            report(Report::Trouble { reason: refused.to_string() });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line each second for as long as a node is away says no more than one line.
    #[test]
    fn trouble_is_told_once_and_its_end_too() {
        let away = || Report::Trouble { reason: "away".to_owned() };
        let broken = || Report::Trouble { reason: "broken".to_owned() };
        let watching = || Report::Watching { clients: 2 };
        let let_in = || Report::LetIn { client: "SN-1".to_owned(), reason: Reason::Permitted };
        let mut told = Vec::new();
        let mut report = once(|one| told.push(one));
        for one in [watching(), Report::Answers, away(), away(), let_in(), away(), Report::Answers, Report::Answers] {
            report(one);
        }
        for one in [away(), broken(), broken(), watching(), Report::Answers, broken()] {
            report(one);
        }
        drop(report);
        let expected = [watching(), away(), let_in(), Report::Answers, away(), broken(), watching(), broken()];
        assert_eq!(told, expected);
    }
}
