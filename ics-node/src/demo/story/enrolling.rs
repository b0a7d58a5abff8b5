//! A pump gets an X.509 certificate, loses it for a while, and gets it back, automatically by what is said about the
//! pump.

use std::time::{Duration, Instant};

use ics_core::statement::{Claims, Grant};
use ics_core::trust::Outcome;
use ics_core::vocabulary::Act;

use super::deciding::{USE, readable};
use super::{Story, role};
use crate::demo::acme::{AcmeClient, request};
use crate::demo::error::{Result, ensure, unexpected};
use crate::demo::gate::Gate;
use crate::demo::party::{sign, signed_by, within_time};
use crate::demo::props::Pump;
use crate::demo::show::{Told, duration};

impl Story {
    /// The pump enrols over ACME and connects with mutual TLS; the controller suspends it; it is turned away and gets
    /// no other certificate; its owner reinstates it.
    pub(super) async fn enrol(&mut self) -> Result<Told> {
        let (maker, pump) = (&self.maker, self.pump(2)?);
        self.entitle(pump).await?;
        let key = pump.key.as_ref().ok_or_else(|| unexpected("the pump has no key of its own"))?;
        let directory = format!("{}/acme/{}/directory", maker.node.url(), maker.domain());
        let client = AcmeClient::register(&directory, key.clone()).await?;
        let (secret, csr) = request()?;
        let urn = format!("urn:dev:os:32473-{}", pump.serial);
        let chain = client.enrol(&urn, &csr).await?;
        let gate = Gate::open(&self.authorities).await?;
        let caller = gate.caller(&chain, &secret)?;
        ensure(gate.lets_in(&caller).await?, || format!("{} is refused", pump.serial))?;

        let suspends = Claims {
            status: Some("suspended".parse().map_err(unexpected)?),
            reason: Some("it scans its neighbours' ports".to_owned()),
            ..Claims::new(Act::Status, role("security-controller")?, maker.domain().clone())
        };
        let suspended = maker.submit(vec![sign(&self.monitor, &pump.thing, &suspends)?]).await?;
        let refused = until(false, || gate.lets_in(&caller)).await?;
        let (status, detail) = client.refused(&urn).await?;
        ensure(status == 403 && detail.contains("suspended"), || format!("{status} {detail}"))?;
        self.gateway.decides(&pump.name(), USE, Outcome::Deny).await?;

        let id = suspended.receipts.first().ok_or_else(|| unexpected("there is no receipt"))?.id;
        let lifts = Claims { supersedes: vec![id], ..self.in_use()? };
        let lifted = maker.submit(vec![sign(&self.integrator.signer, &pump.thing, &lifts)?]).await?;
        let admitted = until(true, || gate.lets_in(&caller)).await?;
        client.enrol(&urn, &csr).await?;
        self.gateway.decides(&pump.name(), USE, Outcome::Allow).await?;
        Ok(Told::default()
            .checked(
                "enrolled",
                format!("{} got an X.509 certificate over ACME, with nothing but its key", pump.serial),
            )
            .checked(
                "admitted",
                "the ward's dose server lets it in by mutual TLS, and knows only the root and its list",
            )
            .shown("signed by", signed_by(&self.monitor, "Ward monitor as security-controller, by grant"))
            .checked("refused", format!("{} after \"suspended\" was in the log", duration(refused)))
            .checked("no other", format!("a new order: {status} {}", readable(&detail)))
            .checked(
                "reinstated",
                format!("by its owner; admitted again {} later, and enrols again", duration(admitted)),
            )
            .checked("proof", lifted.proof(maker.domain()))
            .data("millis", u64::try_from(refused.as_millis()).unwrap_or(u64::MAX))
            .data("refused", detail))
    }

    /// The owner of the pump says that it is in use, and names who watches it.
    async fn entitle(&self, pump: &Pump) -> Result<()> {
        let (maker, owner) = (&self.maker, &self.integrator.signer);
        let grant = Grant { grantee: self.monitor.fingerprint(), role: role("security-controller")? };
        let names = Claims { grant: Some(grant), ..Claims::new(Act::Grant, role("owner")?, maker.domain().clone()) };
        let bodies = vec![
            sign(owner, &pump.thing, &self.in_use()?)?,
            sign(owner, &pump.thing, &names)?,
            self.monitor.certificate_bytes().to_vec(),
        ];
        maker.submit(bodies).await.map(|_| ())
    }

    fn in_use(&self) -> Result<Claims> {
        let status = Some("in-use".parse().map_err(unexpected)?);
        Ok(Claims { status, ..Claims::new(Act::Status, role("owner")?, self.maker.domain().clone()) })
    }
}

/// Tries until the device is let in, or turned away; returns how long that took. On a busy machine one attempt may take
/// longer than the news takes to arrive, so a first attempt that missed it is no failure.
async fn until(let_in: bool, tries: impl AsyncFn() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while tries().await? != let_in {
        within_time(begun, || format!("the device is {} let in", if let_in { "not" } else { "still" }))?;
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_slow_try_that_came_before_the_news_is_not_the_last() {
        let tried = Cell::new(0);
        let refused = until(false, async || {
            tried.set(tried.get() + 1);
            tokio::time::sleep(Duration::from_millis(1100)).await;
            Ok(tried.get() < 2)
        });
        let took = refused.await.expect("is refused in the end");
        assert!(tried.get() == 2 && took > Duration::from_secs(2), "{took:?}");
    }
}
