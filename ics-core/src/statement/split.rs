//! Splits whatever legal OpenPGP arrives into canonical bodies. There is one way to do so: a statement that comes by
//! gpg, HKP or LDAP is the same as one that came by the API.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use sequoia_openpgp::armor;

use super::body::{self, BodyError, parse};
use super::{certification, message, notations};
use crate::canonical_json;
use crate::identity::{Fingerprint, excerpt};
use crate::limits;
use crate::openpgp::certificate::{self, Certificate, CertificateError};
use crate::openpgp::key::{self, PublicKey};
use crate::openpgp::packet::{self, AnyPacket};
use crate::openpgp::reader::{Reader, WireError};
use crate::openpgp::signature::{
    self, CERTIFICATION, CERTIFICATION_REVOCATION, KEY_REVOCATION, POSITIVE_CERTIFICATION, SUBKEY_REVOCATION,
    Signature, SignatureError,
};
use crate::time::Timestamp;

/// The result of splitting an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Canonical bodies, in the order in which they came.
    pub bodies: Vec<Vec<u8>>,
    /// Why parts that claim to be statements of this system did not become bodies.
    pub refused: Vec<BodyError>,
    /// How many parts were left out because they have no place in a domain, by reason.
    pub left_out: BTreeMap<LeftOut, usize>,
    /// Bytes of the bodies, accepted or not.
    bytes: usize,
}

/// Why something that is legal OpenPGP has no place in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// A picture or another user attribute, and the signatures on it.
    UserAttribute,
    /// A User ID or subkey without any signature that counts.
    Unsigned,
    /// A self-signature that is not good, or not one that certificates here may have.
    OwnSignature,
    /// A signature by another key that does not certify a User ID.
    NoCertification,
    /// A certification that its maker marked as not exportable.
    Local,
    /// A User ID or subkey whose holder has revoked it by a signature that does not count here.
    Revoked,
    /// A certification that its signer has revoked by a signature that does not count here.
    CertificationRevoked,
    /// The same signature once more.
    Repeated,
}

impl LeftOut {
    /// A description for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserAttribute => "pictures and other user attributes, with the signatures on them",
            Self::Unsigned => "User IDs and subkeys without a self-signature that counts",
            Self::OwnSignature => "self-signatures that are not good, or say what certificates here may not say",
            Self::NoCertification => "signatures by others that certify no User ID",
            Self::Local => "certifications that their makers did not export",
            Self::Revoked => "User IDs and subkeys revoked by a signature that does not count here",
            Self::CertificationRevoked => "certifications revoked by a signature that does not count here",
            Self::Repeated => "signatures that stand there twice",
        }
    }
}

/// Splits binary or armored OpenPGP into canonical bodies: any legal framing, several bodies in a row.
///
/// A certificate becomes one body with the self-signatures that count, and one body for each statement and
/// certification on it by others.
///
/// What was revoked by a signature that does not count here, for instance one made with SHA-1, is left out as well;
/// otherwise it would stand again. Such a revocation, and one by another key, is reported as refused: a log may hold
/// what it was meant to end, and the sender must learn that this still stands.
///
/// A key with one User ID and one statement, and at most one self-signature beside it, is that statement alone. A
/// document with several signatures becomes one body for each signer; a descriptor or erasure stays one.
///
/// # Errors
/// When there are more than [`limits::BATCH_BYTES`] bytes or [`limits::BATCH_PACKETS`] packets, or they would become
/// more than [`limits::SPLIT_BYTES`]; when they are not OpenPGP, or hold packets that have no place in any body; and
/// when nothing in them is acceptable, with the first reason.
pub fn split(bytes: &[u8]) -> Result<Split, BodyError> {
    body::too_long("upload", limits::BATCH_BYTES, bytes.len())?;
    let binary = dearmor(bytes)?;
    let mut packets = packet::all_in_any_framing(&binary)?;
    packets.retain(|packet| !matches!(packet.tag, packet::MARKER | packet::TRUST | packet::PADDING));
    if let Some(name) =
        packets.iter().filter(|p| p.tag != packet::USER_ATTRIBUTE).find_map(|p| body::packet_name(p.tag))
    {
        return Err(BodyError::Packet(name));
    }
    let begins = |p: &AnyPacket| matches!(p.tag, packet::PUBLIC_KEY | packet::ONE_PASS);
    let mut split = Split::default();
    for item in packets.chunk_by(|last, next| !begins(next) || last.tag == packet::ONE_PASS) {
        match item {
            [key, rest @ ..] if key.tag == packet::PUBLIC_KEY => split.key(key, rest)?,
            [first, ..] if first.tag == packet::ONE_PASS => split.message(item)?,
            _ => return Err(BodyError::Sequence),
        }
    }
    match split.refused.first() {
        Some(first) if split.bodies.is_empty() => Err(first.clone()),
        None if split.bodies.is_empty() && split.left_out.is_empty() => Err(WireError::Truncated.into()),
        _ => Ok(split),
    }
}

/// A component of a key, with the signatures on it, in canonical form.
struct Component {
    packet: Option<AnyPacket>,
    own: Vec<AnyPacket>,
    statements: Vec<AnyPacket>,
    certifications: Vec<AnyPacket>,
    /// Whether its holder has revoked it by a signature that does not count here.
    is_revoked: bool,
}

/// What a signature is, in its place on a component.
enum Sorted {
    Own(Vec<u8>),
    Statement(Vec<u8>),
    Certification(Vec<u8>),
    LeftOut(LeftOut),
    Refused(SignatureError),
}

impl Split {
    fn leave_out(&mut self, why: LeftOut, count: usize) {
        *self.left_out.entry(why).or_default() += count;
    }

    fn push(&mut self, body: Vec<u8>) {
        match parse(&body) {
            Ok(_) => self.bodies.push(body),
            Err(error) => self.refused.push(error),
        }
    }

    /// Makes room for this many more bodies, of this many bytes each, before any of them is written.
    fn reserve(&mut self, bodies: usize, bytes_of_each: usize) -> Result<(), BodyError> {
        self.bytes = self.bytes.saturating_add(bodies.saturating_mul(bytes_of_each));
        body::too_long("upload, once it is split into bodies,", limits::SPLIT_BYTES, self.bytes)
    }

    fn key(&mut self, key_packet: &AnyPacket, rest: &[AnyPacket]) -> Result<(), BodyError> {
        let key = PublicKey::from_body(&key_packet.body)?;
        // Each of these signatures is verified, so they are counted first.
        let holder = key.fingerprint();
        let is_own = |packet: &&AnyPacket| {
            packet.tag == packet::SIGNATURE && signature::glance(&packet.body).is_ok_and(|it| it.is_by(&holder))
        };
        if certificate::are_too_many(rest.iter().filter(is_own).map(|packet| packet.body.as_slice())) {
            self.refused.push(CertificateError::TooMany.into());
            return Ok(());
        }
        let direct = rest.iter().take_while(|packet| packet.tag == packet::SIGNATURE).count();
        let (direct, rest) = rest.split_at_checked(direct).unwrap_or_default();
        let mut components = vec![self.component(&key, None, direct)];
        for chunk in rest.chunk_by(|_, next| next.tag == packet::SIGNATURE) {
            match chunk {
                [packet, signatures @ ..] if matches!(packet.tag, packet::USER_ID | packet::PUBLIC_SUBKEY) => {
                    components.push(self.component(&key, Some(packet), signatures));
                }
                [packet, signatures @ ..] if packet.tag == packet::USER_ATTRIBUTE => {
                    self.leave_out(LeftOut::UserAttribute, 1 + signatures.len());
                }
                _ => return Err(BodyError::Sequence),
            }
        }
        if components.first().is_some_and(|itself| itself.is_revoked) {
            return Ok(());
        }
        let own: usize = components.iter().map(|component| component.own.len()).sum();
        let statements: usize = components.iter().map(|component| component.statements.len()).sum();
        let certifications: usize = components.iter().map(|component| component.certifications.len()).sum();
        let is_one_statement = statements == 1 && certifications == 0 && own <= 1 && components.len() == 2;
        if own > 0 && !is_one_statement {
            self.certificate(&key, &components);
        }
        for component in &components {
            let Some(user_id) = component.packet.as_ref().filter(|p| p.tag == packet::USER_ID) else { continue };
            let own = newest_certification(&component.own);
            for (own, said) in [(own, &component.statements), (None, &component.certifications)] {
                let shared = key_packet.body.len() + user_id.body.len() + own.map_or(0, |own| own.body.len());
                let longest = said.iter().map(|it| it.body.len()).max().unwrap_or_default();
                self.reserve(said.len(), shared + longest)?;
                said.iter().for_each(|statement| self.push(statement_body(&key, user_id, own, statement)));
            }
        }
        Ok(())
    }

    /// Sorts the signatures on a component: the holder's own, made canonical and verified; statements; certifications;
    /// the rest.
    fn component(&mut self, key: &PublicKey, packet: Option<&AnyPacket>, signatures: &[AnyPacket]) -> Component {
        let (statements, certifications) = Default::default();
        let mut sorted =
            Component { packet: packet.cloned(), own: Vec::new(), statements, certifications, is_revoked: false };
        let (mut revoked_by, mut seen, mut unheard) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for packet in signatures {
            let (into, body) = match sort(key, sorted.packet.as_ref(), &packet.body) {
                Sorted::Own(body) => (&mut sorted.own, body),
                Sorted::Statement(body) => (&mut sorted.statements, body),
                Sorted::Certification(body) => (&mut sorted.certifications, body),
                other => {
                    revoked_by.extend(revoker(&packet.body));
                    match (unheard_revocation(key, sorted.packet.as_ref(), &packet.body, &other), other) {
                        (Some(revocation), _) => unheard.push(revocation),
                        (None, Sorted::LeftOut(why)) => self.leave_out(why, 1),
                        (None, Sorted::Refused(error)) => self.refused.push(error.into()),
                        (None, _) => {}
                    }
                    continue;
                }
            };
            // What a signature is follows from its bytes, so equal bytes are of one sort.
            if seen.insert(body.clone()) {
                into.push(AnyPacket { tag: packet::SIGNATURE, body });
            } else {
                self.leave_out(LeftOut::Repeated, 1);
            }
        }
        // A revocation that counts beside it has all the effect that the refused one was meant to have.
        let is_heard = is_revoked(&sorted.own);
        self.refused.extend(unheard.into_iter().filter(|_| !is_heard));
        if revoked_by.contains(&key.fingerprint().key_id()) && !is_heard {
            self.leave_out(LeftOut::Revoked, 1);
            sorted.own.clear();
            sorted.certifications.clear();
            sorted.is_revoked = true;
        }
        let before = sorted.certifications.len();
        sorted
            .certifications
            .retain(|it| signature::glance(&it.body).is_ok_and(|it| !revoked_by.contains(&it.issuer.key_id())));
        let gone = before - sorted.certifications.len();
        if gone > 0 {
            self.leave_out(LeftOut::CertificationRevoked, gone);
        }
        sorted
    }

    fn certificate(&mut self, key: &PublicKey, components: &[Component]) {
        let mut body = key.to_packet();
        for component in components.iter().filter(|component| !component.own.is_empty()) {
            let packets = component.packet.iter().chain(&component.own);
            packets.for_each(|packet| packet::write(&mut body, packet.tag, &packet.body));
        }
        let is_unsigned = |c: &&Component| {
            c.packet.is_some()
                && !c.is_revoked
                && [&c.own, &c.statements, &c.certifications].iter().all(|it| it.is_empty())
        };
        let unsigned = components.iter().filter(is_unsigned).count();
        if unsigned > 0 {
            self.leave_out(LeftOut::Unsigned, unsigned);
        }
        match Certificate::parse(&body) {
            Ok(_) => self.bodies.push(body),
            Err(error) => self.refused.push(error.into()),
        }
    }

    fn message(&mut self, packets: &[AnyPacket]) -> Result<(), BodyError> {
        self.reserve(packets.len() / 2, packets.iter().map(|packet| packet.body.len()).max().unwrap_or_default())?;
        match message_bodies(packets) {
            Ok(bodies) => bodies.into_iter().for_each(|body| self.push(body)),
            Err(error) => self.refused.push(error),
        }
        Ok(())
    }
}

/// Extracts binary OpenPGP from armor (RFC 9580, 6.2), from several blocks if there are several; binary input is
/// returned as it is.
fn dearmor(bytes: &[u8]) -> Result<Cow<'_, [u8]>, BodyError> {
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        return Ok(bytes.into());
    }
    let text = core::str::from_utf8(bytes).map_err(|_| BodyError::Armor)?;
    let mut binary = Vec::new();
    for block in text.split("-----BEGIN PGP ").skip(1) {
        if !["PUBLIC KEY BLOCK-----", "MESSAGE-----", "SIGNATURE-----"].iter().any(|label| block.starts_with(label)) {
            return Err(BodyError::Armor);
        }
        let block = format!("-----BEGIN PGP {block}");
        let mut reader = armor::Reader::from_bytes(block.as_bytes(), armor::ReaderMode::Tolerant(None));
        reader.read_to_end(&mut binary).map_err(|_| BodyError::Armor)?;
    }
    if binary.is_empty() { Err(BodyError::Armor) } else { Ok(binary.into()) }
}

/// Makes a signature canonical and determines what it is.
fn sort(key: &PublicKey, component: Option<&AnyPacket>, body: &[u8]) -> Sorted {
    let canonical = match signature::canonicalise(body) {
        Ok(canonical) => canonical,
        Err(error) => return Sorted::Refused(error),
    };
    let glance = match signature::glance(&canonical) {
        Ok(glance) => glance,
        Err(error) => return Sorted::Refused(error),
    };
    let holder = key.fingerprint();
    if glance.is_by(&holder) {
        return match Signature::parse_with_unhashed(&canonical, Some(&holder)) {
            Err(error) => Sorted::Refused(error),
            Ok(_) if certificate::accepts(key, component, &canonical).is_ok() => Sorted::Own(canonical),
            Ok(_) => Sorted::LeftOut(LeftOut::OwnSignature),
        };
    }
    let is_on_user_id = component.is_some_and(|component| component.tag == packet::USER_ID);
    if !is_on_user_id || !certification::is_kind(glance.kind) {
        return Sorted::LeftOut(LeftOut::NoCertification);
    }
    if notations::has_ours(&glance.hashed) {
        return Sorted::Statement(canonical);
    }
    if glance.is_exportable().is_err() {
        return Sorted::LeftOut(LeftOut::Local);
    }
    Sorted::Certification(canonical)
}

/// The refusal of a revocation of a key, or of something on it, that became no body; `None` for everything else.
///
/// Accepting a broken hash here would let in few forged revocations, and these could do no worse than block. But what
/// is in a log is verified again by everybody, under one closed table of algorithms, and no key may be revoked for one
/// and good for another. So whoever sends it is told that it was not taken.
fn unheard_revocation(
    key: &PublicKey,
    component: Option<&AnyPacket>,
    body: &[u8],
    sorted: &Sorted,
) -> Option<BodyError> {
    let glance = signature::glance(body).ok()?;
    let key = key.fingerprint();
    let is_own = glance.is_by(&key);
    match (glance.kind, sorted) {
        (KEY_REVOCATION | SUBKEY_REVOCATION, _) if !is_own => Some(BodyError::RevokedByAnother(key)),
        (KEY_REVOCATION | SUBKEY_REVOCATION | CERTIFICATION_REVOCATION, sorted) if is_own => {
            let why = match sorted {
                Sorted::Refused(error) => error.to_string(),
                _ => "it is not good, or says what certificates here may not say".to_owned(),
            };
            let of = match component {
                Some(packet) if packet.tag == packet::USER_ID => {
                    let text = String::from_utf8_lossy(&packet.body);
                    excerpt(&text.replace(char::is_control, ""))
                }
                Some(packet) => key::fingerprint(&packet.body).ok()?.to_string(),
                None => key.to_string(),
            };
            Some(BodyError::RevocationRefused { key, of, why })
        }
        _ => None,
    }
}

/// Whether a component is revoked by a signature that counts, and not certified again since.
fn is_revoked(own: &[AnyPacket]) -> bool {
    let created = |packet: &AnyPacket| signature::glance(&packet.body).ok().map(|it| it.created);
    let certified = newest_certification(own).and_then(created);
    own.iter().any(|packet| revoker(&packet.body).is_some() && created(packet) >= certified)
}

/// The key id of the maker of a revocation, whether or not it counts here.
fn revoker(body: &[u8]) -> Option<[u8; 8]> {
    let glance = signature::glance(body).ok()?;
    let revokes = matches!(glance.kind, KEY_REVOCATION | SUBKEY_REVOCATION | CERTIFICATION_REVOCATION);
    revokes.then(|| glance.issuer.key_id())
}

/// The newest of the holder's certifications of a User ID; of two from the same second, the later one.
fn newest_certification(own: &[AnyPacket]) -> Option<&AnyPacket> {
    let created = |packet: &&AnyPacket| -> Option<Timestamp> {
        let signature = signature::glance(&packet.body).ok()?;
        (CERTIFICATION..=POSITIVE_CERTIFICATION).contains(&signature.kind).then_some(signature.created)
    };
    own.iter().filter(|packet| created(packet).is_some()).max_by_key(created)
}

fn statement_body(key: &PublicKey, user_id: &AnyPacket, own: Option<&AnyPacket>, statement: &AnyPacket) -> Vec<u8> {
    let mut body = key.to_packet();
    for packet in core::iter::once(user_id).chain(own).chain([statement]) {
        packet::write(&mut body, packet.tag, &packet.body);
    }
    body
}

/// The bodies of a signed message. What the one-pass packets say follows from the signatures.
fn message_bodies(packets: &[AnyPacket]) -> Result<Vec<Vec<u8>>, BodyError> {
    let is = |tag| move |packet: &&AnyPacket| packet.tag == tag;
    let one_pass = packets.iter().take_while(is(packet::ONE_PASS)).count();
    let (literal, signatures) = packets.get(one_pass..).and_then(<[_]>::split_first).ok_or(BodyError::Sequence)?;
    let all_signatures = signatures.iter().all(|packet| packet.tag == packet::SIGNATURE);
    if literal.tag != packet::LITERAL || signatures.len() != one_pass || !all_signatures {
        return Err(BodyError::Sequence);
    }
    if one_pass > limits::DESCRIPTOR_SIGNATURES {
        return Err(BodyError::Signatures(one_pass));
    }
    let document = literal_data(&literal.body)?;
    let canonical: Vec<Vec<u8>> =
        signatures.iter().map(|packet| signature::canonicalise(&packet.body)).collect::<Result<_, _>>()?;
    let is_statement = canonical_json::parse_value(document)?.get("statement").is_some();
    let signatures: Vec<&[u8]> = canonical.iter().map(Vec::as_slice).collect();
    let of_each = if is_statement { 1 } else { signatures.len().max(1) };
    Ok(signatures.chunks(of_each).map(|signatures| message::write(document, signatures)).collect::<Result<_, _>>()?)
}

/// The data of a Literal Data packet, without format, name and date, which are not signed (RFC 9580, 5.9).
fn literal_data(body: &[u8]) -> Result<&[u8], WireError> {
    let mut reader = Reader::new(body);
    reader.u8()?;
    let name = reader.u8()?;
    reader.take(usize::from(name) + 4)?;
    Ok(reader.rest())
}

/// A sequence of bodies for an OpenPGP client that reads one version only: those in which no key and no signature has
/// another. If there are bodies about keys, only these are given, and clients merge them; otherwise the signed messages
/// about software or a group, which gpg verifies one at a time.
#[must_use]
pub fn openpgp_view(bodies: &[&[u8]], version: u8) -> Vec<u8> {
    let beginning_with = |tag: u8| {
        let fits = |body: &&[u8]| packet::all(body).is_ok_and(|packets| is_of_version(&packets, tag, version));
        bodies.iter().copied().filter(fits).collect::<Vec<_>>().concat()
    };
    let keys = beginning_with(packet::PUBLIC_KEY);
    if keys.is_empty() { beginning_with(packet::ONE_PASS) } else { keys }
}

/// The fingerprint of the key that a body is about or belongs to; `None` for signed messages.
#[must_use]
pub fn openpgp_key_of(body: &[u8]) -> Option<Fingerprint> {
    let packet = packet::next(&mut Reader::new(body)).ok().filter(|packet| packet.tag == packet::PUBLIC_KEY)?;
    key::fingerprint(packet.body).ok()
}

/// Whether a canonical body is a certificate, as opposed to what others say of its key. Nothing is verified.
#[must_use]
pub fn is_certificate(body: &[u8]) -> bool {
    let Ok(packets) = packet::all(body) else { return false };
    let (Some(key), Some(last)) = (openpgp_key_of(body), packets.last()) else { return false };
    last.tag == packet::SIGNATURE && signature::glance(last.body).is_ok_and(|glance| glance.is_by(&key))
}

fn is_of_version(packets: &[packet::Packet<'_>], first: u8, version: u8) -> bool {
    // One-pass signatures of version 3 precede signatures of version 4 (RFC 9580, 5.4).
    let one_pass = if version == 4 { 3 } else { version };
    let fits = |packet: &packet::Packet<'_>| match packet.tag {
        packet::USER_ID | packet::LITERAL => true,
        packet::ONE_PASS => packet.body.first() == Some(&one_pass),
        _ => packet.body.first() == Some(&version),
    };
    packets.first().is_some_and(|packet| packet.tag == first) && packets.iter().all(fits)
}
