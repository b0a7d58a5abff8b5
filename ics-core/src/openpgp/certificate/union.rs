//! The union of two states of one certificate. Programs keep only the newest self-signature of a User ID, so neither
//! such a state nor an older one has everything that the other has.

use super::{Certificate, CertificateError};
use crate::identity::Fingerprint;
use crate::openpgp::key;
use crate::openpgp::packet::{self, Packet};
use crate::openpgp::reader::WireError;
use crate::openpgp::signature::{KEY_REVOCATION, Over, Signature, glance};
use crate::statement::StatementId;

/// The primary key, a User ID or a subkey, with the self-signatures on it, each with the id of what it signs.
struct Component<'a> {
    packet: Packet<'a>,
    signatures: Vec<(StatementId, Packet<'a>)>,
}

impl Certificate {
    /// The union of two states of one certificate, all in canonical form. Each component has first what the earlier
    /// state has, in its order, then what only the later one has; new User IDs and subkeys come after the others. A
    /// signature that both have is kept as in the earlier one.
    ///
    /// Nothing is verified and no bound is checked; [`Certificate::parse`] does that.
    ///
    /// # Errors
    /// When one of them is not a certificate in canonical form, or their primary keys differ.
    pub fn union(earlier: &[u8], later: &[u8]) -> Result<Vec<u8>, CertificateError> {
        unite(components(earlier)?, components(later)?.1)
    }

    /// The earlier state, with nothing of the later one except what revokes its primary key.
    ///
    /// # Errors
    /// As [`Certificate::union`].
    pub fn with_revocations(earlier: &[u8], later: &[u8]) -> Result<Vec<u8>, CertificateError> {
        let mut later = components(later)?.1;
        later.retain(|component| component.packet.tag == packet::PUBLIC_KEY);
        for component in &mut later {
            component.signatures.retain(|(_, it)| glance(it.body).is_ok_and(|it| it.kind == KEY_REVOCATION));
        }
        unite(components(earlier)?, later)
    }
}

fn unite<'a>(
    (holder, mut united): (Fingerprint, Vec<Component<'a>>),
    later: Vec<Component<'a>>,
) -> Result<Vec<u8>, CertificateError> {
    for component in later {
        match united.iter_mut().find(|held| held.packet == component.packet) {
            Some(held) => held.add(component),
            None if component.packet.tag == packet::PUBLIC_KEY => return Err(CertificateError::Foreign(holder)),
            None => united.push(component),
        }
    }
    // The order of stock programs: the key, User IDs, subkeys, which is also the order of the tags.
    united.sort_by_key(|component| component.packet.tag);
    let mut out = Vec::new();
    for Component { packet, signatures } in united {
        let packets = core::iter::once(packet).chain(signatures.into_iter().map(|(_, signature)| signature));
        packets.for_each(|packet| packet::write(&mut out, packet.tag, packet.body));
    }
    Ok(out)
}

impl<'a> Component<'a> {
    fn add(&mut self, other: Self) {
        for (id, signature) in other.signatures {
            if self.signatures.iter().all(|(held, _)| *held != id) {
                self.signatures.push((id, signature));
            }
        }
    }

    fn new(chunk: &[Packet<'a>], (key, holder): (&'a [u8], &Fingerprint)) -> Result<Self, CertificateError> {
        let [packet, signatures @ ..] = chunk else { return Err(WireError::Truncated.into()) };
        let over = match packet.tag {
            packet::PUBLIC_KEY => Over::Key(packet.body),
            packet::USER_ID => Over::UserId { key, user_id: packet.body },
            packet::PUBLIC_SUBKEY => Over::Subkey { key, subkey: packet.body },
            other => return Err(CertificateError::Packet(other)),
        };
        let with_id = |signature: &Packet<'a>| {
            let (parsed, _) = Signature::parse_with_unhashed(signature.body, Some(holder))?;
            Ok::<_, CertificateError>((parsed.over(over)?.id(), *signature))
        };
        let signatures = signatures.iter().map(with_id).collect::<Result<_, _>>()?;
        Ok(Self { packet: *packet, signatures })
    }
}

/// The components of a certificate, and the fingerprint of its primary key, which comes first.
fn components(bytes: &[u8]) -> Result<(Fingerprint, Vec<Component<'_>>), CertificateError> {
    let packets = packet::all(bytes)?;
    let key = match packets.first() {
        Some(first) if first.tag == packet::PUBLIC_KEY => first.body,
        Some(other) => return Err(CertificateError::Packet(other.tag)),
        None => return Err(WireError::Truncated.into()),
    };
    let holder = key::fingerprint(key)?;
    let chunks = packets.chunk_by(|_, next| next.tag == packet::SIGNATURE);
    let components = chunks.map(|chunk| Component::new(chunk, (key, &holder))).collect::<Result<_, _>>()?;
    Ok((holder, components))
}
