//! Keeps a mosquitto broker in step with what the node decides: who may not connect loses his role and his session.
//!
//! Of what mosquitto 2.0 offers, this is what holds:
//!
//! - A certificate revocation list is read on SIGHUP only, and a session that is up goes on whatever it says.
//! - `disableClient` of the dynamic security plugin ends the sessions of a client that is known by its certificate
//!   (`use_identity_as_username`), but such a client comes back with all its rights: it is not asked for the password
//!   that was disabled.
//! - Its role is what a client's rights hang on at each message. `removeClientRole` ends its sessions and leaves it
//!   without rights when it comes back, in sessions that it has kept as well, as long as the default for all that no role
//!   allows is "no". The plugin's own default lets everybody receive, so [`Agent`] sets it.

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

/// After which time the broker is asked again which clients it has.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The least time between two looks at the node's decisions, whatever the number of its news.
const BREATH: Duration = Duration::from_millis(20);
/// How long a client keeps what the broker gives it before the node has said anything of it: an agent that has just begun
/// ends no session because an answer takes a moment.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for a broker that was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// What an agent is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker.
    pub broker: Access,
    /// What clients want: a use of the node's trust policy.
    pub usage: String,
    /// The query by which a client is found, with `{}` for its name in the broker.
    pub name: String,
    /// The broker's group whose clients are looked after.
    pub group: String,
    /// The broker's role that they have while they may.
    pub role: String,
}

/// Something that an agent has done, or could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Report {
    /// It has begun.
    Watching {
        /// Clients in its group.
        clients: usize,
    },
    /// A client may now.
    LetIn {
        /// Its name in the broker.
        client: String,
        /// Why, in one word.
        reason: Reason,
    },
    /// A client may no longer, and its sessions have ended.
    Ended {
        /// Its name in the broker.
        client: String,
        /// Deny or unknown.
        verdict: Outcome,
        /// Why, in one word.
        reason: Reason,
    },
    /// The node or the broker does not answer; what it allows ends with its freshness. Told once, until it is another, or
    /// over.
    Trouble {
        /// What is wrong.
        reason: String,
    },
    /// The node answers again.
    Answers,
}

/// Tells what is told, of trouble and its end only what is new: each is met anew with every look.
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

/// Keeps the broker in step until it refuses what all hangs on, which a person must look at. Broker and node may go and
/// come, and so may clients.
///
/// # Errors
/// When the broker refuses: the group or role is missing, or the agent may not tell it anything.
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

/// One session with the broker; why it ended.
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
            // A node that says nothing keeps nobody connected for longer than what it has said before is fresh.
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
            // The sender lives as long as the agent: the timeout is all that can end the wait otherwise.
            _ = tokio::time::timeout(PAUSE, news.changed()) => {}
        }
    }
}

/// What no role allows, nobody may.
async fn deny_by_default(session: &mut Dynsec) -> Result<(), BrokerError> {
    let kinds = ["publishClientSend", "publishClientReceive", "subscribe"];
    let all: Vec<_> = kinds.map(|kind| json!({ "acltype": kind, "allow": false })).into();
    session.tell(json!({ "command": "setDefaultACLAccess", "acls": all })).await.map(drop)
}

impl Settings {
    fn thing(&self, client: &str) -> String {
        self.name.replace("{}", client)
    }

    /// Ends first whoever may no longer, then lets in whoever may. One whom the broker does not know any more keeps nothing
    /// from the others: gives whether it has done all. While an answer is waited for, nothing becomes of whom the node has
    /// said nothing.
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

    /// A line each second for as long as a node is away says no more than one.
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
