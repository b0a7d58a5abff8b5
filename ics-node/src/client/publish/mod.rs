//! Publishing identities: one, or a factory's million.

mod bulk;
mod fields;
mod journal;
mod rows;

pub use self::bulk::{Bulk, BulkError, Outcome, Progress, Refused, Seen};
pub use self::fields::{FieldError, Fields};
pub use self::journal::{Journal, JournalError};
pub use self::rows::{Form, Row, RowError, Rows};
