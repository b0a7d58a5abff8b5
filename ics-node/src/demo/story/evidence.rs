//! Evidence that can be verified without asking anybody.

use std::fs;
use std::path::{Path, PathBuf};

use ics_core::evidence::{self, Evidence};

use super::Story;
use super::deciding::readable;
use crate::demo::error::{DemoError, Result, ensure, unexpected};
use crate::demo::show::{Told, short};
use crate::keys::file;

/// The file of evidence in the demo's directory.
pub(in crate::demo) const EVIDENCE_FILE: &str = "pump.evidence.json";
/// The same pump as OpenPGP.
pub(in crate::demo) const OPENPGP_FILE: &str = "pump.pgp";
/// An empty home directory for GnuPG, so that no user's own keyring is touched.
pub(in crate::demo) const GNUPG_DIRECTORY: &str = "gnupg";

impl Story {
    /// Evidence is exported, verified from its file, and rejected when one byte of it is changed.
    pub(super) async fn evidence(&mut self) -> Result<Told> {
        let pump = self.pump(1)?;
        // From the domain that has recalled it: another domain's evidence would not show the recall.
        let maker = &self.maker;
        let exported = self.gateway.node.evidence(maker.domain(), &pump.id()?).await?;
        let path = self.directory.join(EVIDENCE_FILE);
        write(&path, &serde_json::to_vec(&exported).map_err(unexpected)?)?;
        let gnupg = self.directory.join(GNUPG_DIRECTORY);
        file::make_private_directory(&gnupg).map_err(|source| DemoError::File { path: gnupg, source })?;
        write(&self.directory.join(OPENPGP_FILE), &self.keyring(&pump.id()?).await?)?;

        let json = fs::read(&path).map_err(|source| DemoError::File { path: path.clone(), source })?;
        let read = Evidence::parse(&json).map_err(unexpected)?;
        let now = self.clock.now();
        let verified = evidence::verify(&read, Some(&maker.origin), now).map_err(unexpected)?;
        let refused: Vec<_> = verified.statements.iter().filter(|line| line.refused.is_some()).collect();
        ensure(refused.is_empty(), || format!("statements without effect: {refused:?}"))?;
        let status = verified.record.status.as_ref().map_or("none", |status| status.decides.name.as_str());
        let refusal = tampered(&read).and_then(|it| match evidence::verify(&it, Some(&maker.origin), now) {
            Ok(_) => Err(unexpected("changed evidence was believed")),
            Err(refusal) => Ok(refusal),
        })?;
        Ok(Told::default()
            .shown("about", format!("{}, as {} has it; taken from the gateway's copy", pump.serial, maker.domain()))
            .checked(
                "verified",
                format!("{} statements, their signers, the rules: status \"{status}\"", verified.statements.len()),
            )
            .checked(
                "proof",
                format!(
                    "{} entries under one checkpoint of {}, root {}",
                    read.entries.len(),
                    verified.size,
                    short(&verified.root.to_string())
                ),
            )
            .checked("changed", format!("one byte of it, and it is refused: {}", readable(&refusal.to_string())))
            .data("status", status)
            .data("entries", read.entries.len()))
    }
}

impl Story {
    /// What the integrator's domain holds about a thing, and the certificates with which OpenPGP programs check it.
    async fn keyring(&self, id: &str) -> Result<Vec<u8>> {
        let (maker, integrator) = (&self.maker.signer, &self.integrator);
        let record = integrator.node.record_openpgp(integrator.domain(), id, 4, false).await?;
        Ok([maker.certificate_bytes(), integrator.signer.certificate_bytes(), &record].concat())
    }
}

/// The same evidence with one byte of its last body changed.
fn tampered(evidence: &Evidence) -> Result<Evidence> {
    let mut changed = evidence.clone();
    let byte = changed.entries.last_mut().and_then(|entry| entry.body.last_mut());
    *byte.ok_or_else(|| unexpected("the evidence is empty"))? ^= 1;
    Ok(changed)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|source| DemoError::File { path: PathBuf::from(path), source })
}
