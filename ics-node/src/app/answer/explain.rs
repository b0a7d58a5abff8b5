//! Why this node gives the answers it gives, in the words of [`crate::explain`].

use super::read::{Records, ambiguous};
use crate::api::{Explanation, assessment};
use crate::app::{App, AppError, Reader};
use crate::explain;

impl App {
    /// Why the domains here say what they say about a thing; with a use, why this node's verdict is what it is.
    ///
    /// # Errors
    /// As [`App::view`] and [`App::verdict`], and when no use is given and the thing is asked for by a name that fits
    /// several.
    pub fn explain(
        &self,
        reader: Reader,
        thing: &str,
        usage: Option<&str>,
        peer: Option<&str>,
    ) -> Result<Explanation, AppError> {
        let Some(usage) = usage else {
            let Records { ids, answers, unheard } = self.records(reader, thing)?;
            if ids.len() != 1 {
                return Err(ambiguous(thing, &ids));
            }
            return Ok(explain::records(&answers, &assessment(&answers, &unheard)));
        };
        Ok(explain::verdict(thing, peer, &self.verdict(reader, thing, usage, peer)?))
    }
}
