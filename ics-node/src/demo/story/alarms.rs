//! Bad news travels: a theft and a recall.

use std::time::Duration;

use ics_core::trust::{Outcome, Verdict};

use super::deciding::{USE, reason};
use super::{Story, status};
use crate::api::ListQuery;
use crate::demo::error::{Result, ensure};
use crate::demo::party::{sign, signed_by};
use crate::demo::props::{self, LOTS};
use crate::demo::show::{Told, duration};

impl Story {
    /// The owner, who has that role by grant only, reports a pump stolen.
    pub(super) async fn stolen(&mut self) -> Result<Told> {
        self.gateway.follows(&self.integrator).await?;
        let pump = self.pump(0)?;
        self.gateway.decides(&pump.name(), USE, Outcome::Allow).await?;
        let claims = status(&self.hospital, "stolen", Some("missing from ward 7 since this morning"))?;
        let body = sign(&self.hospital, &pump.thing, &claims)?;
        let entered = self.integrator.submit(vec![body]).await?;
        let (denied, took) = self.gateway.decides(&pump.name(), USE, Outcome::Deny).await?;
        Ok(bad_news(&denied, took)
            .shown("signed by", signed_by(&self.hospital, "St. Mary Hospital as owner, by grant"))
            .checked("proof", entered.proof(self.integrator.domain())))
    }

    /// One statement about the lot, and every pump of it is denied.
    pub(super) async fn recall(&mut self) -> Result<Told> {
        let (lot, count) = LOTS[0];
        let (maker, gateway) = (&self.maker, &self.gateway);
        for pump in self.of_lot(lot).skip(1) {
            gateway.decides(&pump.name(), USE, Outcome::Allow).await?;
        }
        let claims = status(&maker.signer, "withdrawn", Some("recall: the flow sensor drifts"))?;
        let entered = maker.submit(vec![maker.says(&props::lot(lot), &claims)?]).await?;
        let (denied, took) = gateway.decides(&self.pump(1)?.name(), USE, Outcome::Deny).await?;

        let query = ListQuery { lot: Some(lot.to_owned()), kind: Some("device".to_owned()), ..ListQuery::default() };
        let members = gateway.node.list(maker.domain(), &query).await?.items;
        ensure(members.len() == count, || format!("the lot has {} pumps", members.len()))?;
        for member in &members {
            gateway.decides(&member.id, USE, Outcome::Deny).await?;
        }
        Ok(bad_news(&denied, took)
            .checked("members", format!("all {count} pumps of lot {lot} are denied"))
            .shown("signed by", signed_by(&maker.signer, "Acme Pumps as manufacturer"))
            .checked("proof", entered.proof(maker.domain()))
            .data("denied", members.len()))
    }
}

/// How long it took from the receipt to the gateway's denial, and the gateway's reasons.
fn bad_news(denied: &Verdict, took: Duration) -> Told {
    Told::default()
        .checked("denied", format!("{} after the receipt", duration(took)))
        .shown("reason", reason(denied))
        .data("millis", u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
        .data("reason", reason(denied))
}
