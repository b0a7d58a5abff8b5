//! On whose word a statement of a record rests: its signer, or whom an erasure names.

use super::{Listed, SourceRef};
use crate::identity::Fingerprint;

impl Listed {
    /// On whom it hangs: who signed it, its entry in this log, and those that it came through. Of an erased one who had said
    /// it; `None` where its erasure does not name him, and it is the owners' own word.
    #[must_use]
    pub fn hangs_on(&self) -> Option<(Fingerprint, u64, &[SourceRef])> {
        if self.erased {
            return self.said_by.as_ref().map(|by| (by.signer, by.index, &*by.source));
        }
        Some((self.by.signer, self.by.index, &*self.source))
    }

    /// Whether a signer has said it: he may take it back.
    #[must_use]
    pub fn is_of(&self, signer: &Fingerprint) -> bool {
        self.hangs_on().is_some_and(|(of, ..)| of == *signer)
    }
}
