//! Verified copies, and the pins without which nothing is adopted.

use ics_core::descriptor::Source;
use ics_core::log::Hash;

use super::Story;
use crate::client::descriptor::{self, Changes, DescriptorFile};
use crate::demo::error::Result;
use crate::demo::party::{Entered, Party};
use crate::demo::show::{Told, short};
use crate::keys::KeyStore;

impl Story {
    /// The integrator pins its sources in a new version of its descriptor; then all copies are compared.
    pub(super) async fn mirror(&mut self) -> Result<Told> {
        let entered = self.pin_sources().await?;
        let mut rows = vec![["domain", "entries", "root", "the same at"].map(str::to_owned).to_vec()];
        let Self { maker, developer, board, integrator, gateway, .. } = &*self;
        let publishers = [maker, developer, board];
        for home in publishers {
            integrator.follows(home).await?;
        }
        for home in publishers.into_iter().chain([integrator]) {
            let checkpoint = gateway.follows(home).await?;
            let holders: &[&str] =
                if core::ptr::eq(home, integrator) { &["infield"] } else { &["maintenance", "infield"] };
            rows.push(vec![
                home.domain().to_string(),
                checkpoint.size.to_string(),
                short(&checkpoint.root.to_string()),
                format!("home, {}", holders.join(", ")),
            ]);
        }
        Ok(Told::default()
            .table(rows)
            .checked("copies", "every entry, signature and rule checked again, every root computed anew")
            .shown("policy", format!("version 2 of {} pins three domains to adopt from", integrator.domain()))
            .checked("proof", entered.proof(integrator.domain())))
    }

    /// Version 2 of the integrator's descriptor: whose entries may be adopted, and in which roles their signers speak.
    async fn pin_sources(&mut self) -> Result<Entered> {
        let changes = {
            let sources = [&self.maker, &self.developer, &self.board];
            let speaks = |party: &&Party| (party.signer.role.clone(), party.signer.fingerprint());
            let names = sources
                .iter()
                .flat_map(|party| party.part.names.iter().map(|name| (party.signer.role.clone(), (*name).to_owned())));
            Changes {
                add_signers: sources.iter().map(speaks).collect(),
                add_names: names.collect(),
                add_sources: sources.iter().map(|party| source(party)).collect(),
                ..Changes::default()
            }
        };
        let integrator = &mut self.integrator;
        let owner = KeyStore::new(&integrator.home).find("owner")?.unlock(&integrator.passphrase)?;
        let next = descriptor::next_version(&integrator.signer.descriptor, changes)?;
        let signed = DescriptorFile::sign_new(next, &[owner.primary()?], self.clock.now())?;
        signed.write(&descriptor::path(&integrator.home, integrator.domain(), signed.descriptor.version))?;
        let entered = integrator.submit(vec![signed.body().to_vec()]).await?;
        integrator.signer.descriptor = signed.descriptor;
        Ok(entered)
    }
}

fn source(party: &Party) -> Source {
    Source {
        domain: party.domain().clone(),
        entry0: Hash(party.origin.entry0),
        home: party.signer.descriptor.home.clone(),
    }
}
