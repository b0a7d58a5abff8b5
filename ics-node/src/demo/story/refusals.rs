//! What is refused, in the node's own words.

use ics_core::statement::Claims;
use ics_core::vocabulary::Act;

use super::deciding::readable;
use super::{Story, role};
use crate::api::Problem;
use crate::demo::error::{Result, unexpected};
use crate::demo::party::sign;
use crate::demo::show::Told;

impl Story {
    /// A stranger, a signer beyond the scope of a grant, a forger, and a statement for another domain.
    pub(super) async fn refuse(&mut self) -> Result<Told> {
        let (integrator, maker) = (&self.integrator, &self.maker);
        let unsold = self.pump(self.pumps.len() - 1)?;

        let approval = Claims::new(Act::Approval, role("integrator")?, integrator.domain().clone());
        let body = sign(&self.stranger, &unsold.thing, &approval)?;
        let stranger = integrator.refuses(body, "unknown-signer").await?;

        // The integrator has bought the other lot, and may speak about that one only.
        let stolen = Claims {
            status: Some("stolen".parse().map_err(unexpected)?),
            ..Claims::new(Act::Status, role("owner")?, maker.domain().clone())
        };
        let body = sign(&integrator.signer, &unsold.thing, &stolen)?;
        let overreach = maker.refuses(body, "role-not-held").await?;

        let genuine = maker.says(&unsold.thing, &maker.signer.claims(Act::Approval))?;
        let forged = maker.refuses(forge(&genuine, unsold.serial.as_bytes())?, "bad-signature").await?;
        let foreign = integrator.refuses(genuine, "foreign-domain").await?;
        Ok(Told::default()
            .checked("stranger", words("approves of a pump", &stranger))
            .checked("overreach", words("MediServe reports a pump stolen that it never bought", &overreach))
            .checked("forgery", words("one letter changed in a signed name", &forged))
            .checked("misplaced", words("a statement for the manufacturer's domain, sent to MediServe", &foreign))
            .data("codes", [stranger, overreach, forged, foreign].map(|problem| problem.kind).to_vec()))
    }
}

/// Changes one letter of a name.
fn forge(body: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    let place = body.windows(name.len()).position(|window| window == name);
    let last =
        place.map(|place| place + name.len() - 1).ok_or_else(|| unexpected("the name is not in the statement"))?;
    let mut forged = body.to_vec();
    let letter = forged.get_mut(last).ok_or_else(|| unexpected("the statement is too short"))?;
    *letter ^= 1;
    Ok(forged)
}

fn words(what: &str, problem: &Problem) -> String {
    format!("{what}\n{} {}", problem.status, readable(&problem.detail))
}
