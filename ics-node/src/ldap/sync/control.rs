//! What RFC 4533 adds to answers: controls and intermediate messages.

use super::super::ber;

const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
const SYNC_DONE: &str = "1.3.6.1.4.1.4203.1.9.1.3";
const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";
/// RFC 4511, 4.13.
const INTERMEDIATE: u8 = 0x79;
const TRUE: u8 = 0xff;
const BOOLEAN: u8 = 0x01;

/// What happened to an entry (RFC 4533, 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ldap) enum State {
    Add = 1,
    Modify = 2,
    Delete = 3,
}

fn control(oid: &str, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut value, mut out) = (Vec::new(), Vec::new());
    ber::element(&mut value, ber::SEQUENCE, write);
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::primitive(out, ber::OCTETS, oid.as_bytes());
        ber::primitive(out, ber::OCTETS, &value);
    });
    out
}

/// The control that accompanies each entry.
pub(in crate::ldap) fn state(state: State, uuid: &[u8; 16]) -> Vec<u8> {
    control(SYNC_STATE, |out| {
        ber::integer(out, ber::ENUMERATED, state as i64);
        ber::primitive(out, ber::OCTETS, uuid);
    })
}

/// The control that accompanies the result; `deletes` tells that entries not mentioned still exist.
pub(in crate::ldap) fn done(cookie: &[u8], deletes: bool) -> Vec<u8> {
    control(SYNC_DONE, |out| {
        ber::primitive(out, ber::OCTETS, cookie);
        if deletes {
            ber::primitive(out, BOOLEAN, &[TRUE]);
        }
    })
}

fn info(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut value, mut out) = (Vec::new(), Vec::new());
    write(&mut value);
    ber::element(&mut out, INTERMEDIATE, |out| {
        ber::primitive(out, 0x80, SYNC_INFO.as_bytes());
        ber::primitive(out, 0x81, &value);
    });
    out
}

/// Says that the refresh is done and the search goes on (RFC 4533, 2.5: refreshDelete, refreshPresent).
pub(in crate::ldap) fn refreshed(cookie: &[u8], deletes: bool) -> Vec<u8> {
    info(|out| {
        ber::element(out, if deletes { 0xa1 } else { 0xa2 }, |out| ber::primitive(out, ber::OCTETS, cookie));
    })
}

/// Tells the consumer its new cookie.
pub(in crate::ldap) fn new_cookie(cookie: &[u8]) -> Vec<u8> {
    info(|out| ber::primitive(out, 0x80, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3_lber::Parser;
    use ldap3_proto::control::LdapControl;
    use ldap3_proto::proto::SyncStateValue;

    #[test]
    fn others_read_what_is_written() {
        let parse = |bytes: &[u8]| Parser::default().parse(bytes).expect("BER").1;
        let read = |bytes: &[u8]| LdapControl::try_from(parse(bytes)).expect("known");
        let LdapControl::SyncState { state, entry_uuid, cookie } = read(&super::state(State::Delete, &[7; 16])) else {
            panic!("a state")
        };
        assert!(state == SyncStateValue::Delete && *entry_uuid.as_bytes() == [7; 16] && cookie.is_none());
        for deletes in [false, true] {
            let LdapControl::SyncDone { cookie, refresh_deletes } = read(&done(b"rid=000", deletes)) else {
                panic!("done")
            };
            assert_eq!((cookie.as_deref(), refresh_deletes), (Some(&b"rid=000"[..]), deletes));
        }
        // `ldap3_proto` cannot read all of these; the tests against slapd do.
        assert_eq!(
            new_cookie(b"c"),
            [&[0x79, 31, 0x80, 24][..], SYNC_INFO.as_bytes(), &[0x81, 3, 0x80, 1, b'c']].concat()
        );
        for (deletes, tag) in [(true, 0xa1), (false, 0xa2)] {
            assert!(refreshed(b"c", deletes).ends_with(&[0x81, 5, tag, 3, 4, 1, b'c']), "{deletes}");
        }
    }
}
