//! On whose word a statement of a record rests: its signer, or whom an erasure names.

use super::{Listed, SourceRef};
use crate::identity::Fingerprint;

impl Listed {
    /// On whose word it rests: its signer, its entry in this log, and those that it came through. For a remnant,
    /// whoever had made the erased statement; `None` if its erasure does not name them, because it is then the owners'
    /// own word.
    #[must_use]
    pub fn hangs_on(&self) -> Option<(Fingerprint, u64, &[SourceRef])> {
        if self.erased {
            return self.said_by.as_ref().map(|by| (by.signer, by.index, &*by.source));
        }
        Some((self.by.signer, self.by.index, &*self.source))
    }

    /// Whether it rests on the word of a signer, who may then take it back.
    #[must_use]
    pub fn is_of(&self, signer: &Fingerprint) -> bool {
        self.hangs_on().is_some_and(|(of, ..)| of == *signer)
    }
}
