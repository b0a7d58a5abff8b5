//! How complete and how fresh answers are.

use std::cell::RefCell;

use super::read::Sight;
use crate::api::AsOf;
use crate::app::{App, AppError};
use crate::store::Reach;

/// What an as-of says: how far the log was read, how many seconds ago that was cosigned, and for how many seconds an
/// answer is called fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Says {
    reach: Reach,
    age_seconds: Option<u64>,
    fresh_for_seconds: u64,
}

thread_local! {
    /// What this thread has last written, as JSON. It says the same in all answers of a second from one domain.
    static WRITTEN: RefCell<Option<(Says, Vec<u8>)>> = const { RefCell::new(None) };
}

impl App {
    /// How complete and how fresh answers from a domain are.
    pub(crate) fn as_of(&self, sight: &Sight<'_>) -> AsOf {
        self.as_of_reach(&sight.reach(), sight.shown.descriptor().freshness.default)
    }

    /// As `as_of`, for answers from a log of this reach.
    pub(super) fn as_of_reach(&self, reach: &Reach, fresh_for_seconds: u64) -> AsOf {
        self.says(reach, fresh_for_seconds).as_of()
    }

    /// Appends it as JSON.
    pub(super) fn write_as_of(
        &self,
        reach: &Reach,
        fresh_for_seconds: u64,
        json: &mut Vec<u8>,
    ) -> Result<(), AppError> {
        let says = self.says(reach, fresh_for_seconds);
        WRITTEN.with_borrow_mut(|written| {
            if let Some((last, text)) = written
                && *last == says
            {
                json.extend_from_slice(text);
                return Ok(());
            }
            let text = serde_json::to_vec(&says.as_of()).map_err(|error| AppError::Internal(error.to_string()))?;
            json.extend_from_slice(&text);
            *written = Some((says, text));
            Ok(())
        })
    }

    fn says(&self, reach: &Reach, fresh_for_seconds: u64) -> Says {
        let age_seconds = reach.cosigned_at.map(|time| self.clock().now().millis_since(time) / 1000);
        Says { reach: *reach, age_seconds, fresh_for_seconds }
    }
}

impl Says {
    fn as_of(self) -> AsOf {
        let Self { reach, age_seconds, fresh_for_seconds } = self;
        AsOf { size: reach.size, root: reach.root.to_string(), time: reach.cosigned_at, age_seconds, fresh_for_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Party;

    #[test]
    fn what_was_written_before_is_written_again_only_if_it_says_the_same() {
        let app = Party::found("devices.acme.example").open();
        let hosted = app.all_hosted();
        let reach = app.sight(hosted.first().expect("a domain")).expect("readable").reach();
        let grown = Reach { size: reach.size + 1, ..reach };
        for (reach, fresh_for) in [(reach, 60), (reach, 60), (grown, 60), (reach, 61)] {
            let mut json = b"{".to_vec();
            app.write_as_of(&reach, fresh_for, &mut json).expect("written");
            let said: AsOf = serde_json::from_slice(&json[1..]).expect("JSON");
            assert_eq!((said.size, said.fresh_for_seconds), (reach.size, fresh_for));
            assert_eq!((said.root, said.time), (reach.root.to_string(), reach.cosigned_at));
        }
    }
}
