//! The controls of a request.

use ldap3_lber::structure::{PL, StructureTag};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapResultCode, SyncRequestMode};

use super::ber;
use super::message::Failure;

/// RFC 2696.
pub(super) const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// RFC 3296.
const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
/// RFC 4533.
pub(super) const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";

/// The controls that this server knows, as its root DSE lists them.
pub(super) const KNOWN: [&str; 3] = [PAGED_RESULTS, MANAGE_DSA_IT, SYNC_REQUEST];

/// The known controls of one request, and whether any critical one cannot be honoured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// The page size, and the cookie from the previous page.
    pub(super) paged: Option<(usize, Vec<u8>)>,
    pub(super) sync: Option<Sync>,
    /// The first critical control that this server does not know.
    pub(super) critical: Option<String>,
    /// Whether a critical control is present that only searches take.
    for_searches: bool,
}

/// A request to be kept in step (RFC 4533).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sync {
    pub(super) persist: bool,
    pub(super) cookie: Option<Vec<u8>>,
    /// Whether a client whose cookie is of no use wants everything anew rather than an error (RFC 4533, 2.2).
    pub(super) reload: bool,
}

impl Controls {
    /// Reads the elements of a request's `controls`. The error is `None` when they are malformed.
    pub(super) fn read(tags: Vec<StructureTag>) -> Result<Self, Option<Failure>> {
        let mut controls = Self::default();
        for tag in tags {
            let (oid, critical) = head(&tag).ok_or(None)?;
            if !KNOWN.contains(&oid.as_str()) {
                controls.critical = controls.critical.or(critical.then_some(oid));
                continue;
            }
            controls.for_searches |= critical && oid != MANAGE_DSA_IT;
            let malformed = || {
                let text = format!("the value of the control {oid} is malformed");
                Some(Failure::new(LdapResultCode::ProtocolError, text))
            };
            if !is_bounded(&tag) {
                return Err(malformed());
            }
            match LdapControl::try_from(tag).map_err(|_| malformed())? {
                LdapControl::SimplePagedResults { size, cookie } => {
                    let size = usize::try_from(size).map_err(|_| {
                        Some(Failure::new(LdapResultCode::ProtocolError, "the page size must be 0 or more"))
                    })?;
                    controls.paged = Some((size, cookie));
                }
                LdapControl::SyncRequest { mode, cookie, reload_hint: reload, .. } => {
                    let persist = mode == SyncRequestMode::RefreshAndPersist;
                    controls.sync = Some(Sync { persist, cookie, reload });
                }
                _ => {}
            }
        }
        Ok(controls)
    }

    /// Refuses critical controls that cannot be honoured (RFC 4511, 4.1.11).
    pub(super) fn check(&self, is_search: bool) -> Result<(), Failure> {
        let unknown = match &self.critical {
            Some(oid) => format!("this server does not know the control {oid}"),
            None if self.for_searches && !is_search => "the control is allowed on searches only".to_owned(),
            None => return Ok(()),
        };
        Err(Failure::new(LdapResultCode::UnavailableCriticalExtension, unknown))
    }
}

/// Whether the control's value, which is BER inside an octet string, has no more elements than a message may have:
/// parsed, each takes many times its own bytes in memory.
fn is_bounded(tag: &StructureTag) -> bool {
    let PL::C(parts) = &tag.payload else { return false };
    parts.iter().skip(1).all(|part| match &part.payload {
        PL::P(value) if part.id == u64::from(ber::OCTETS) => ber::check(value).is_ok(),
        _ => true,
    })
}

/// The control's type and its criticality.
fn head(tag: &StructureTag) -> Option<(String, bool)> {
    let PL::C(parts) = &tag.payload else { return None };
    let (oid, rest) = parts.split_first()?;
    let PL::P(oid) = &oid.payload else { return None };
    let critical = match rest.first().map(|part| (part.id, &part.payload)) {
        Some((1, PL::P(value))) => value.as_slice() != [0],
        _ => false,
    };
    (rest.len() <= 2).then_some(())?;
    Some((String::from_utf8(oid.clone()).ok()?, critical))
}
