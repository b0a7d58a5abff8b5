//! The key space in which GnuPG looks for keys and to which it sends them.

use ldap3_proto::proto::LdapResultCode;

use super::message::Failure;
use super::search::Place;
use super::work::Write;

/// Takes a key in.
pub(super) async fn write(place: &Place, write: Write) -> Result<LdapResultCode, Failure> {
    let dn = match &write {
        Write::Add(request) => &request.dn,
        Write::Modify(request) => &request.dn,
        Write::Delete(dn) => dn,
    };
    place.tree.node(dn)?;
    Err(Failure::new(LdapResultCode::InsufficentAccessRights, ""))
}
