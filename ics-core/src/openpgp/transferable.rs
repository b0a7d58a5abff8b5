//! Transferable public keys (RFC 9580, 10.1): all bodies about one key combined, as OpenPGP clients exchange them, and
//! what directories state about them.
//!
//! Only bodies that the log has admitted are passed here, so nothing is verified again.

use core::cmp::Reverse;
use core::ops::RangeInclusive;

use super::key;
use super::packet::{self, Packet};
use super::reader::{Reader, bit_length};
use super::signature::{
    self as sig, CERTIFICATION, CERTIFICATION_REVOCATION, DIRECT_KEY, Glance, KEY_REVOCATION, POSITIVE_CERTIFICATION,
    SUBKEY_BINDING, SUBKEY_REVOCATION,
};
use super::subpacket as sub;
use crate::identity::Fingerprint;
use crate::time::Timestamp;

/// A key with everything that the bodies hold about it, each signature once.
#[derive(Debug, Clone)]
pub struct Transferable<'a> {
    fingerprint: Fingerprint,
    key: &'a [u8],
    direct: Vec<&'a [u8]>,
    user_ids: Vec<Component<'a>>,
    subkeys: Vec<Component<'a>>,
}

/// A User ID or a subkey, with the signatures on it.
#[derive(Debug, Clone)]
struct Component<'a> {
    body: &'a [u8],
    signatures: Vec<&'a [u8]>,
}

/// What a directory states about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The key itself.
    pub key: KeyDescription,
    /// Its User IDs, in order.
    pub user_ids: Vec<UserIdDescription>,
    /// Its subkeys.
    pub subkeys: Vec<KeyDescription>,
}

/// What a directory states about a primary key or a subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The OpenPGP id of its algorithm (RFC 9580, 9.1).
    pub algorithm: u8,
    /// Bits of the RSA modulus, or of the curve; 0 if the algorithm has only one size.
    pub bits: usize,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
    /// Whether its holder has revoked it.
    pub is_revoked: bool,
}

/// What a directory states about a User ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdDescription {
    /// The text.
    pub text: String,
    /// When its holder certified it last; `None` if only others have.
    pub created: Option<Timestamp>,
    /// When that certification expires, if it does.
    pub expires: Option<Timestamp>,
    /// Whether its holder has revoked it.
    pub is_revoked: bool,
}

impl<'a> Transferable<'a> {
    /// Combines the bodies about the key with which the first one begins. For a client that reads only one OpenPGP
    /// version, bodies with a key or signature of another version are left out entirely: GnuPG stops at the first
    /// packet of version 6. `None` if nothing is left.
    #[must_use]
    pub fn of(bodies: &[&'a [u8]], only: Option<u8>) -> Option<Self> {
        let mut whole: Option<Self> = None;
        for packets in bodies.iter().filter_map(|body| packet::all(body).ok()) {
            let [key, rest @ ..] = packets.as_slice() else { continue };
            if key.tag != packet::PUBLIC_KEY || only.is_some_and(|only| !packets.iter().all(|it| is_of(it, only))) {
                continue;
            }
            if let Some(whole) = whole.as_mut().filter(|whole| whole.key == key.body) {
                whole.add(rest);
            } else if whole.is_none() {
                let fingerprint = key::fingerprint(key.body).ok()?;
                let (direct, user_ids, subkeys) = Default::default();
                let mut first = Self { fingerprint, key: key.body, direct, user_ids, subkeys };
                first.add(rest);
                whole = Some(first);
            }
        }
        whole
    }

    fn add(&mut self, packets: &[Packet<'a>]) {
        let mut into = &mut self.direct;
        for packet in packets {
            match packet.tag {
                packet::USER_ID => into = component(&mut self.user_ids, packet.body),
                packet::PUBLIC_SUBKEY => into = component(&mut self.subkeys, packet.body),
                packet::SIGNATURE if !into.contains(&packet.body) => into.push(packet.body),
                _ => {}
            }
        }
    }

    /// Its fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The packets, in canonical framing: key, User IDs, subkeys, each before the signatures on it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        packet::write(&mut out, packet::PUBLIC_KEY, self.key);
        self.direct.iter().for_each(|signature| packet::write(&mut out, packet::SIGNATURE, signature));
        let tagged = |tag| move |component| (tag, component);
        let user_ids = self.user_ids.iter().map(tagged(packet::USER_ID));
        for (tag, component) in user_ids.chain(self.subkeys.iter().map(tagged(packet::PUBLIC_SUBKEY))) {
            packet::write(&mut out, tag, component.body);
            component.signatures.iter().for_each(|signature| packet::write(&mut out, packet::SIGNATURE, signature));
        }
        out
    }

    /// What a directory states about it.
    #[must_use]
    pub fn describe(&self) -> Description {
        let own = |signatures: &[&'a [u8]]| -> Vec<Glance<'a>> {
            let glances = signatures.iter().filter_map(|signature| sig::glance(signature).ok());
            glances.filter(|glance| glance.is_by(&self.fingerprint)).collect()
        };
        let direct = own(&self.direct);
        let mut user_ids = Vec::new();
        let mut certifications: Vec<Glance<'a>> = Vec::new();
        for component in &self.user_ids {
            let signatures = own(&component.signatures);
            let about = describe_user_id(component.body, &signatures);
            let stands = newest(&signatures, CERTIFICATION..=POSITIVE_CERTIFICATION).filter(|_| !about.is_revoked);
            certifications.extend(stands.cloned());
            user_ids.push(about);
        }
        let is_revoked = direct.iter().any(|signature| signature.kind == KEY_REVOCATION);
        // As when certificates are read: what the key's own signature does not state is taken from the newest on its
        // User IDs.
        certifications.reverse();
        certifications.sort_by_key(|it| Reverse(it.created));
        let bindings = newest(&direct, DIRECT_KEY..=DIRECT_KEY).into_iter().chain(&certifications);
        let describe_subkey = |component: &Component<'a>| {
            let signatures = own(&component.signatures);
            let is_revoked = signatures.iter().any(|signature| signature.kind == SUBKEY_REVOCATION);
            describe_key(component.body, newest(&signatures, SUBKEY_BINDING..=SUBKEY_BINDING).into_iter(), is_revoked)
        };
        Description {
            key: describe_key(self.key, bindings, is_revoked).unwrap_or_else(|| KeyDescription {
                fingerprint: self.fingerprint,
                algorithm: 0,
                bits: 0,
                created: Timestamp::default(),
                expires: None,
                is_revoked,
            }),
            user_ids,
            subkeys: self.subkeys.iter().filter_map(describe_subkey).collect(),
        }
    }
}

/// The signatures of a component, which is added if it is new.
fn component<'a, 's>(components: &'s mut Vec<Component<'a>>, body: &'a [u8]) -> &'s mut Vec<&'a [u8]> {
    let at = components.iter().position(|component| component.body == body).unwrap_or_else(|| {
        components.push(Component { body, signatures: Vec::new() });
        components.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
    &mut components[at].signatures
}

fn is_of(packet: &Packet<'_>, version: u8) -> bool {
    packet.tag == packet::USER_ID || packet.body.first() == Some(&version)
}

/// The newest of the signatures of some kinds; of two from the same second, the later in order.
fn newest<'g, 'a>(signatures: &'g [Glance<'a>], kinds: RangeInclusive<u8>) -> Option<&'g Glance<'a>> {
    signatures.iter().filter(|it| kinds.contains(&it.kind)).max_by_key(|it| it.created)
}

/// Describes a key; of the bindings, the first that states when the key expires is believed.
fn describe_key<'g, 'a: 'g>(
    body: &[u8],
    mut bindings: impl Iterator<Item = &'g Glance<'a>>,
    is_revoked: bool,
) -> Option<KeyDescription> {
    let created = Timestamp::from_seconds(body.get(1..5).and_then(sig::seconds)?.into());
    let lifetime = bindings.find_map(|binding| binding.seconds(sub::KEY_EXPIRATION).filter(|seconds| *seconds > 0));
    let (algorithm, bits) = size(body)?;
    Some(KeyDescription {
        fingerprint: key::fingerprint(body).ok()?,
        algorithm,
        bits,
        created,
        expires: lifetime.map(|seconds| created.plus_millis(u64::from(seconds) * 1000)),
        is_revoked,
    })
}

/// The algorithm of a key, and its bits: those of its modulus or prime if it has one, else those of its curve.
fn size(body: &[u8]) -> Option<(u8, usize)> {
    let mut reader = Reader::new(body);
    let version = reader.u8().ok()?;
    reader.take(4).ok()?;
    let algorithm = reader.u8().ok()?;
    if version == 6 {
        reader.take(4).ok()?;
    }
    let bits = match algorithm {
        1..=3 | 16 | 17 | 20 => bit_length(reader.lenient_mpi().ok()?),
        18 | 19 | 22 => {
            let length = usize::from(reader.u8().ok()?);
            curve_bits(reader.take(length).ok()?)
        }
        25 | 27 => 255,
        26 | 28 => 448,
        _ => 0,
    };
    Some((algorithm, bits))
}

/// Bits of the curves of RFC 9580, 9.2, by object identifier; 0 for others.
fn curve_bits(oid: &[u8]) -> usize {
    match oid {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] | [0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07] => {
            256
        }
        [0x2b, 0x81, 0x04, 0x00, 0x22] | [0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b] => 384,
        [0x2b, 0x81, 0x04, 0x00, 0x23] => 521,
        [0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d] => 512,
        [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01]
        | [0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01] => 255,
        _ => 0,
    }
}

fn describe_user_id(body: &[u8], own: &[Glance<'_>]) -> UserIdDescription {
    let newest = newest(own, CERTIFICATION..=POSITIVE_CERTIFICATION);
    let revoked = own.iter().filter(|it| it.kind == CERTIFICATION_REVOCATION).map(|it| it.created).max();
    let lifetime = newest.and_then(|it| it.seconds(sub::SIGNATURE_EXPIRATION)).filter(|seconds| *seconds > 0);
    UserIdDescription {
        text: String::from_utf8_lossy(body).into_owned(),
        created: newest.map(|it| it.created),
        expires: newest.zip(lifetime).map(|(it, seconds)| it.created.plus_millis(u64::from(seconds) * 1000)),
        is_revoked: revoked.is_some_and(|revoked| newest.is_none_or(|it| it.created <= revoked)),
    }
}

#[cfg(test)]
mod tests;
