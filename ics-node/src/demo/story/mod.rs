//! The story, a function for each step. Every step asserts what it tells: nothing is shown that did not happen.

mod adopting;
mod alarms;
mod copies;
mod crash;
mod deciding;
mod enrolling;
mod evidence;
mod opening;
mod publishing;
mod refusals;

use std::path::{Path, PathBuf};

use ics_core::statement::Claims;
use ics_core::vocabulary::{Act, Role, StatusName};

pub(super) use self::evidence::{EVIDENCE_FILE, GNUPG_DIRECTORY, OPENPGP_FILE};
use super::authority::Authorities;
use super::error::{Result, unexpected};
use super::party::Party;
use super::props::Pump;
use super::show::Show;
use crate::app::clock::Clock;
use crate::client::signing::Signing;
use crate::client::thing::Thing;

/// All parties, things and files of the story.
pub(super) struct Story {
    pub(super) directory: PathBuf,
    pub(super) maker: Party,
    pub(super) developer: Party,
    pub(super) board: Party,
    pub(super) integrator: Party,
    pub(super) gateway: Party,
    hospital: Signing,
    stranger: Signing,
    monitor: Signing,
    authorities: Authorities,
    pub(super) pumps: Vec<Pump>,
    firmware: Thing,
    firmware_file: PathBuf,
    clock: Clock,
}

/// Plays all steps; ends at the first that does not go as told.
pub(super) async fn play(directory: &Path, show: &mut Show) -> Result<Story> {
    let mut opened = None;
    show.step("nodes", "Five parties start their nodes, each with keys, policy, log and database of its own.", async {
        let (story, told) = opening::open(directory).await?;
        opened = Some(story);
        Ok(told)
    })
    .await?;
    let mut story = opened.ok_or_else(|| unexpected("nobody came"))?;
    let it = &mut story;
    show.step("publish", "The manufacturer publishes six infusion pumps of two lots, and sells one lot.", it.publish())
        .await?;
    show.step("release", "The developer releases firmware; the certification body labels four pumps.", it.release())
        .await?;
    show.step("mirror", "Nodes copy the domains that they rely on, and compare roots.", it.mirror()).await?;
    show.step("adopt", "The integrator adopts the lot, approves it, and hands it over to the hospital.", it.adopt())
        .await?;
    show.step("decide", "The gateway in ward 7 decides, from its own copies.", it.decide()).await?;
    show.step(
        "enrol",
        "A pump enrols over ACME, talks by mutual TLS, is suspended, refused, and reinstated by its owner.",
        it.enrol(),
    )
    .await?;
    show.step(
        "crash",
        "The integrator's node is killed at work. The gateway does without; nothing is lost.",
        it.crash(),
    )
    .await?;
    show.step("stolen", "A pump is stolen. Its owner says so, and the gateway denies it.", it.stolen()).await?;
    show.step("recall", "The manufacturer recalls a whole lot with one signature.", it.recall()).await?;
    show.step("refuse", "What nobody is entitled to say is refused, and nothing of it is kept.", it.refuse()).await?;
    show.step("evidence", "Evidence about a pump is taken along, and verified without any network.", it.evidence())
        .await?;
    Ok(story)
}

impl Story {
    /// The pump with this number, from 0.
    fn pump(&self, number: usize) -> Result<&Pump> {
        self.pumps.get(number).ok_or_else(|| unexpected(format!("there is no pump {number}")))
    }

    /// The pumps of a lot.
    fn of_lot<'a>(&'a self, lot: &'a str) -> impl Iterator<Item = &'a Pump> {
        self.pumps.iter().filter(move |pump| pump.lot == lot)
    }
}

/// Claims that give a status.
fn status(signer: &Signing, status: &str, reason: Option<&str>) -> Result<Claims> {
    let status: StatusName = status.parse().map_err(unexpected)?;
    Ok(Claims { status: Some(status), reason: reason.map(str::to_owned), ..signer.claims(Act::Status) })
}

fn role(word: &str) -> Result<Role> {
    word.parse().map_err(unexpected)
}
