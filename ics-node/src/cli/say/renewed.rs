//! Repeating a statement about all things, for a signer who succeeds another one in a role.

use std::collections::BTreeMap;

use ics_core::record::{Listed, Standing};
use ics_core::statement::Claims;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::words::counted;
use crate::client::lookup::Found;
use crate::client::signing::Signing;

/// Why a thing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    SaidAlready,
    Blocked,
    SaidByNobody,
}

impl Why {
    fn text(self, act: Act) -> &'static str {
        match (self, act == Act::Label) {
            (Self::SaidAlready, false) => "this signer approves them already",
            (Self::SaidAlready, true) => "this signer labels them so already",
            (Self::Blocked, false) => "they are blocked; name them to approve them",
            (Self::Blocked, true) => "they are blocked; name them to label them",
            (Self::SaidByNobody, false) => "nobody in this role approves them now; name them to approve them",
            (Self::SaidByNobody, true) => "nobody in this role labels them so now; name them to label them",
        }
    }
}

/// Returns each thing with what is said about it. Of all things only those are meant about which somebody in the
/// signer's role says the same now, until its end at most, and which no domain of the node blocks: what nobody
/// approved, was withdrawn or is over does not come back with a new signer. After an interruption the work continues,
/// and nothing is said twice.
pub(crate) fn with_claims(
    context: &Context,
    signing: &Signing,
    found: Vec<Found>,
    claims: &Claims,
    is_all: bool,
) -> Vec<(Found, Claims)> {
    if !is_all {
        return found.into_iter().map(|one| (one, claims.clone())).collect();
    }
    let mut renewed = Vec::new();
    let mut left_out: BTreeMap<Why, usize> = BTreeMap::new();
    for one in found {
        match said_until(signing, &one, claims) {
            Ok(until) => {
                let until = claims.until.into_iter().chain(until).min();
                renewed.push((one, Claims { until, ..claims.clone() }));
            }
            Err(why) => *left_out.entry(why).or_insert(0) += 1,
        }
    }
    for (why, count) in left_out {
        context.output.note(&format!("{} left out: {}", counted(count, "thing"), why.text(claims.act)));
    }
    renewed
}

/// Until when somebody in the signer's role says the same about a thing, or why it is left out.
fn said_until(signing: &Signing, found: &Found, claims: &Claims) -> Result<Option<Timestamp>, Why> {
    let own = found.own.as_ref().map(|answer| &answer.record);
    let is_alike = |it: &&Listed| {
        let is_same = it.act == claims.act && it.label == claims.label && it.by.role == claims.role;
        // A statement that ends before this one begins would leave it no time, and hold up all the others.
        let lasts = it.until.zip(claims.from).is_none_or(|(until, from)| until > from);
        it.standing == Standing::Stands && is_same && lasts
    };
    let said: Vec<&Listed> = own.into_iter().flat_map(|record| &record.statements).filter(is_alike).collect();
    if said.iter().any(|it| it.by.signer == signing.fingerprint() && it.by.group.is_none()) {
        return Err(Why::SaidAlready);
    }
    if own.into_iter().chain(found.others.iter().map(|answer| &answer.record)).any(|it| it.effect().blocks()) {
        return Err(Why::Blocked);
    }
    if said.is_empty() {
        return Err(Why::SaidByNobody);
    }
    // If one of them has no end, neither has this.
    let ends: Option<Vec<Timestamp>> = said.iter().map(|it| it.until).collect();
    Ok(ends.and_then(|ends| ends.into_iter().max()))
}
