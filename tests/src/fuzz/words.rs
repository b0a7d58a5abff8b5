//! Words that people and peers write: identities, names, times, vocabulary, paths of tiles.

use core::fmt::{Debug, Display};
use core::str::FromStr;

use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::log::note::{NoteSignature, VerifierKey};
use ics_core::log::tile::TilePath;
use ics_core::name::{Lookup, Name};
use ics_core::statement::StatementId;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName, Effect, Role, StatusName};
use ics_node::config::Url;

/// Everything that can be read survives writing and reading.
pub(super) fn words(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    back::<Fingerprint>(text);
    back::<Kind>(text);
    back::<Hash>(text);
    back::<Origin>(text);
    back::<NoteSignature>(text);
    back::<VerifierKey>(text);
    back::<TilePath>(text);
    back::<Name>(text);
    back::<StatementId>(text);
    back::<Act>(text);
    back::<Attribute>(text);
    back::<DomainName>(text);
    back::<Effect>(text);
    back::<Role>(text);
    back::<StatusName>(text);
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time), "a time is not read back");
    }
    drop(text.parse::<Lookup>());
    drop(text.parse::<Url>());
    for id in IdentityId::candidates(text).unwrap_or_default() {
        let again = IdentityId::candidates(&id.to_string());
        assert!(again.is_ok_and(|again| again.contains(&id)), "an id is not read back: {id}");
    }
}

fn back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let written = read.to_string();
    let again = written.parse::<T>().ok();
    assert_eq!(again, Some(read), "`{written}` is not read back");
}
