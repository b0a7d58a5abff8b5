//! The integrator selects, approves and hands over.

use ics_core::statement::{Claims, Grant};
use ics_core::vocabulary::{Act, Role};

use super::{Story, role, status};
use crate::api::{AdoptionRequest, AdoptionResult};
use crate::client::lookup;
use crate::demo::error::{Result, ensure, unexpected};
use crate::demo::party::{Party, signed_by};
use crate::demo::props::{self, LOTS, MODEL};
use crate::demo::show::Told;

impl Story {
    /// A lot is adopted, approved, put into use and sold on; firmware is adopted, approved and installed.
    pub(super) async fn adopt(&mut self) -> Result<Told> {
        let (lot, count) = LOTS[0];
        let by_lot =
            AdoptionRequest { model: Some(MODEL.to_owned()), lot: Some(lot.to_owned()), ..AdoptionRequest::default() };
        let adopted = self.take(&self.maker, by_lot).await?;
        let by_id = AdoptionRequest { ids: vec![props::id(&self.firmware)?], ..AdoptionRequest::default() };
        let code = self.take(&self.developer, by_id).await?;

        let integrator = &self.integrator;
        let (approval, in_use) = (integrator.signer.claims(Act::Approval), status(&integrator.signer, "in-use", None)?);
        let installed = Claims { installed: Some(self.firmware_digest()?), ..integrator.signer.claims(Act::Installed) };
        let lot_thing = props::lot(lot);
        let entered = integrator
            .submit(vec![
                integrator.signer.certificate_bytes().to_vec(),
                integrator.says(&lot_thing, &approval)?,
                integrator.says(&lot_thing, &in_use)?,
                integrator.says(&self.firmware, &approval)?,
                integrator.says(&self.pump(0)?.thing, &installed)?,
                integrator.says(&lot_thing, &self.transfer().await?)?,
                self.hospital.certificate_bytes().to_vec(),
            ])
            .await?;

        let owners = integrator.node.record(integrator.domain(), &self.pump(0)?.id()?).await?.record.grants;
        let hospital = self.hospital.fingerprint();
        let sole = owners.iter().all(|grant| grant.role.as_str() != "owner" || grant.grantee == hospital);
        ensure(!owners.is_empty() && sole, || format!("the pump's owners are {owners:?}"))?;
        Ok(Told::default()
            .checked(
                "adopted",
                format!("{} entries about the {count} pumps, {} about the firmware", adopted.adopted, code.adopted),
            )
            .shown("signed by", signed_by(&integrator.signer, "MediServe as integrator"))
            .shown("approved", "the lot and the firmware, by one signature each; the lot is in use")
            .shown("installed", format!("firmware 4.2.0 on {}", self.pump(0)?.serial))
            .checked("owner", "St. Mary Hospital, by grant, and no longer MediServe")
            .checked("proof", entered.proof(integrator.domain()))
            .data("adopted", adopted.adopted + code.adopted))
    }

    /// Adopts into the integrator's domain, as the operator of its node.
    async fn take(&self, source: &Party, request: AdoptionRequest) -> Result<AdoptionResult> {
        self.integrator.follows(source).await?;
        let request = AdoptionRequest { source: source.domain().to_string(), ..request };
        let result = self.integrator.node.adopt(self.integrator.domain(), &request).await?;
        ensure(result.refused.is_empty() && result.adopted > 0, || {
            format!("{} entries were adopted, and refused: {:?}", result.adopted, result.refused)
        })?;
        Ok(result)
    }

    /// The integrator, who bought the lot, makes the hospital its owner, which ends the integrator's ownership.
    async fn transfer(&self) -> Result<Claims> {
        let integrator = &self.integrator;
        let lot = integrator.node.record(integrator.domain(), &props::id(&props::lot(LOTS[0].0))?).await?.record;
        let sale = lookup::standing(&lot, Act::Grant).next().ok_or_else(|| unexpected("the sale was not adopted"))?;
        let owner: Role = role("owner")?;
        let grant = Grant { grantee: self.hospital.fingerprint(), role: owner.clone() };
        let supersedes = vec![sale.by.statement];
        Ok(Claims { role: owner, grant: Some(grant), supersedes, ..integrator.signer.claims(Act::Grant) })
    }

    fn firmware_digest(&self) -> Result<[u8; 32]> {
        match self.firmware.id().map_err(unexpected)? {
            ics_core::identity::IdentityId::Software(digest) => Ok(digest),
            other => Err(unexpected(format!("{other} is no software"))),
        }
    }
}
