//! The first statements, by those who first know a thing: manufacturer, developer, certification body.

use ics_core::statement::{Claims, Grant};
use ics_core::vocabulary::Act;

use super::{Story, role, status};
use crate::demo::error::{Result, ensure};
use crate::demo::party::signed_by;
use crate::demo::props::{self, LOTS, MODEL};
use crate::demo::show::{Told, short};

/// The label of the certification body.
const LABEL: &str = "medical device, class IIb";

impl Story {
    /// Six pumps of two lots; the first lot is sold to the integrator.
    pub(super) async fn publish(&mut self) -> Result<Told> {
        let maker = &self.maker;
        let identity = || maker.signer.claims(Act::Identity);
        let mut bodies = vec![maker.signer.certificate_bytes().to_vec()];
        for (lot, _) in LOTS {
            bodies.push(maker.says(&props::lot(lot), &identity())?);
        }
        for pump in &self.pumps {
            bodies.push(maker.says(&pump.thing, &pump.describe(identity())?)?);
        }
        let grant = Grant { grantee: self.integrator.signer.fingerprint(), role: role("owner")? };
        let sale = Claims { grant: Some(grant), ..maker.signer.claims(Act::Grant) };
        bodies.push(maker.says(&props::lot(LOTS[0].0), &sale)?);
        bodies.push(self.integrator.signer.certificate_bytes().to_vec());
        let entered = maker.submit(bodies).await?;

        let last = self.pump(self.pumps.len() - 1)?;
        let urn = format!("urn:dev:os:32473-{}", last.serial);
        let found = maker.node.record(maker.domain(), &urn).await?.record;
        ensure(found.identity.id.to_string() == last.id()?, || format!("{urn} is another thing"))?;
        ensure(found.vouched.len() == 1, || format!("nobody vouches for {urn}"))?;
        let lots = LOTS.map(|(lot, count)| format!("{count} of lot {lot}")).join(", ");
        Ok(Told::default()
            .shown("pumps", format!("model {MODEL}, {lots}; with key, URN and serial each"))
            .shown("signed by", signed_by(&maker.signer, "Acme Pumps as manufacturer"))
            .checked("proof", entered.proof(maker.domain()))
            .checked("bare key", format!("{urn} has only a P-256 key in a secure element"))
            .shown("sale", format!("lot {}: the owner role over all its pumps, to MediServe", LOTS[0].0))
            .data("pumps", self.pumps.len())
            .data("size", entered.checkpoint.size))
    }

    /// Firmware is released, pumps are labelled.
    pub(super) async fn release(&mut self) -> Result<Told> {
        let developer = &self.developer;
        let released = developer
            .submit(vec![
                developer.signer.certificate_bytes().to_vec(),
                developer.says(&self.firmware, &developer.signer.claims(Act::Identity))?,
                developer.says(&self.firmware, &status(&developer.signer, "released", None)?)?,
            ])
            .await?;
        let board = &self.board;
        let label = Claims { label: Some(LABEL.to_owned()), ..board.signer.claims(Act::Label) };
        let mut bodies = vec![board.signer.certificate_bytes().to_vec()];
        for pump in self.of_lot(LOTS[0].0) {
            bodies.push(board.says(&pump.thing, &label)?);
        }
        let labelled = board.submit(bodies).await?;
        let file = self.firmware_file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Told::default()
            .shown("firmware", format!("{file} is {}", short(&props::id(&self.firmware)?.replace("sha256:", ""))))
            .shown("signed by", signed_by(&developer.signer, "Softmed as developer"))
            .checked("proof", released.proof(developer.domain()))
            .shown("label", format!("\"{LABEL}\" for the pumps of lot {}", LOTS[0].0))
            .shown("signed by", signed_by(&board.signer, "Medical Board as certification-body"))
            .checked("proof", labelled.proof(board.domain())))
    }
}
