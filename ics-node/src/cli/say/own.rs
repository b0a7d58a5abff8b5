//! What a signer has said before, where he now gives it an end.

use ics_core::record::Listed;
use ics_core::statement::{Claims, StatementId};

use crate::cli::context::Context;
use crate::client::lookup::{self, Found};
use crate::client::signing::Signing;

/// Claims that hold until a time, in the place of what the signer has said in the same role and stands: else that would
/// hold on, and limit nothing. One that begins at a time of its own stands beside it, for a night's maintenance say, and the
/// signer is told that the other one stays.
pub(crate) fn in_place_of_own(context: &Context, signing: &Signing, found: &Found, claims: Claims) -> Claims {
    let Some(answer) = found.own.as_ref().filter(|_| claims.from.is_some() || claims.until.is_some()) else {
        return claims;
    };
    let me = signing.fingerprint();
    let is_own = |it: &&Listed| it.by.signer == me && it.by.role == signing.role && it.label == claims.label;
    let own: Vec<StatementId> =
        lookup::standing(&answer.record, claims.act).filter(is_own).map(|it| it.by.statement).collect();
    if claims.from.is_none() {
        return Claims { supersedes: own, ..claims };
    }
    let id = &answer.record.identity.id;
    for statement in own {
        context.output.note(&format!(
            "what you have said of it already stands beside this, however long that holds: `ics withdraw {id} --statement \
             {statement}` takes it back"
        ));
    }
    claims
}
