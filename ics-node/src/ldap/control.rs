//! The controls of a request.

use ldap3_lber::structure::{PL, StructureTag};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapResultCode, SyncRequestMode};

use super::message::Failure;

/// RFC 2696.
pub(super) const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// RFC 3296.
const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
/// RFC 4533.
pub(super) const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";

/// All that this server knows, for its root DSE.
pub(super) const KNOWN: [&str; 3] = [PAGED_RESULTS, MANAGE_DSA_IT, SYNC_REQUEST];

/// The controls of one request that this server knows, and whether one is there that it may not do without.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// Entries in a page, and the cookie of the page before.
    pub(super) paged: Option<(usize, Vec<u8>)>,
    pub(super) sync: Option<Sync>,
    /// The first critical control that is not known.
    pub(super) critical: Option<String>,
    /// Critical ones that only some operations know.
    for_searches: bool,
}

/// A request to be kept in step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sync {
    pub(super) persist: bool,
    pub(super) cookie: Option<Vec<u8>>,
    /// Whether the client wants everything anew where the cookie is of no use, rather than be told so.
    pub(super) reload: bool,
}

impl Controls {
    /// Reads the elements of a request's `controls`. As error `None`: they are not formed as controls.
    pub(super) fn read(tags: Vec<StructureTag>) -> Result<Self, Option<Failure>> {
        let mut controls = Self::default();
        for tag in tags {
            let (oid, critical) = head(&tag).ok_or(None)?;
            if !KNOWN.contains(&oid.as_str()) {
                controls.critical = controls.critical.or(critical.then_some(oid));
                continue;
            }
            controls.for_searches |= critical && oid != MANAGE_DSA_IT;
            let malformed = |_| {
                let text = format!("the value of the control {oid} is malformed");
                Some(Failure::new(LdapResultCode::ProtocolError, text))
            };
            match LdapControl::try_from(tag).map_err(malformed)? {
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

    /// Refuses what is critical and cannot be done (RFC 4511, 4.1.11).
    pub(super) fn check(&self, is_search: bool) -> Result<(), Failure> {
        let unknown = match &self.critical {
            Some(oid) => format!("this server does not know the control {oid}"),
            None if self.for_searches && !is_search => "the control is allowed on searches only".to_owned(),
            None => return Ok(()),
        };
        Err(Failure::new(LdapResultCode::UnavailableCriticalExtension, unknown))
    }
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
