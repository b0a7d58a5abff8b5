//! Compares the key with which a home signs with the one that the domain's descriptor names: if they differ, the home
//! signs nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::Descriptor;
use ics_core::vocabulary::DomainName;

use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::admit::check::{Checked, What};
use crate::app::admit::submit::Incoming;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Part;

impl App {
    /// Refuses to speak for a domain whose descriptor in force names another home key: no copy would accept it. This
    /// happens when a copy made before the key was replaced is restored, until the lost tail brings the later
    /// descriptor.
    pub(in crate::app) fn check_home_key(&self, hosted: &Hosted) -> Result<(), AppError> {
        let Some(domain) = hosted.domain().filter(|_| hosted.part == Part::Home) else { return Ok(()) };
        if domain.descriptor().home.key == self.own_key() {
            return Ok(());
        }
        Err(AppError::new(Code::Behind, other_key(&hosted.name, domain.descriptor())))
    }

    /// Refuses a descriptor that names another home key: its own entry, and all that follow, would be signed by a key
    /// that no longer counts. The new key has to sign it, through `ics restore --begin-anew`.
    pub(in crate::app) fn under_own_key(&self, hosted: &Hosted, incoming: Incoming) -> Incoming {
        let refused = match &incoming.checked {
            Ok(Checked { what: What::Descriptor(signed), .. }) => self.names_other_key(hosted, &signed.json),
            _ => false,
        };
        if !refused {
            return incoming;
        }
        let detail = format!(
            "the descriptor names another home key than this node's, which would have to sign it: stop the node, and \
             give it a new key with `ics restore --hold --begin-anew {}`",
            hosted.name
        );
        Incoming { checked: Err(Problem::of(Code::DescriptorRefused, detail)), ..incoming }
    }

    fn names_other_key(&self, hosted: &Hosted, json: &[u8]) -> bool {
        // Entry 0, and bodies that are not descriptors, are checked elsewhere.
        hosted.domain().is_some() && Descriptor::parse(json).is_ok_and(|next| next.home.key != self.own_key())
    }

    pub(super) fn own_key(&self) -> String {
        STANDARD.encode(self.0.keys.key.public())
    }
}

/// What an operator is told if the node has another key than its domain's descriptor names.
pub(super) fn other_key(domain: &DomainName, descriptor: &Descriptor) -> String {
    format!(
        "version {} of the descriptor of `{domain}`, the last one that is here, names another key for its home `{}` \
         than this node's: `{}`. If that is the former key, the mirrors have the version with the new one: get it with \
         `ics restore COPY`, or with `ics restore` if a copy was already restored, with every mirror as a [[peer]] or \
         by --from-copy. If it is the right key, `[node] key` in ics.toml has to name it",
        descriptor.version, descriptor.home.name, descriptor.home.key
    )
}
