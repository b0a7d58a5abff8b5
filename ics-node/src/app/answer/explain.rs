//! Why this node answers what it answers, in the words of [`crate::explain`].

use super::read::ambiguous;
use crate::api::{Explanation, assessment};
use crate::app::{App, AppError, Reader};
use crate::explain;

impl App {
    /// Why the domains here say of a thing what they say; with a use, why this node's verdict is what it is.
    ///
    /// # Errors
    /// As [`App::view`] and [`App::verdict`], and when the thing is asked for by a name that fits several and no use is
    /// given.
    pub fn explain(
        &self,
        reader: Reader,
        thing: &str,
        usage: Option<&str>,
        peer: Option<&str>,
    ) -> Result<Explanation, AppError> {
        let Some(usage) = usage else {
            let (ids, answers) = self.records(reader, thing)?;
            if ids.len() != 1 {
                return Err(ambiguous(thing, &ids));
            }
            return Ok(explain::records(&answers, &assessment(&answers, &self.unheard_domains()?)));
        };
        Ok(explain::verdict(thing, peer, &self.verdict(reader, thing, usage, peer)?))
    }
}
