//! Reads a certificate, component by component, verifying each self-signature.

use std::collections::BTreeSet;

use super::{Binding, Certificate, CertificateError, Held, Revocation, SELF_SIGNATURE_SUBPACKETS, later, user_id};
use crate::limits;
use crate::openpgp::algorithm::sha256;
use crate::openpgp::key::{self, KeyError, PublicKey};
use crate::openpgp::packet::{self, AnyPacket, Packet};
use crate::openpgp::reader::WireError;
use crate::openpgp::signature::{
    self as sig, CERTIFICATION, CERTIFICATION_REVOCATION, DIRECT_KEY, KEY_REVOCATION, Over, POSITIVE_CERTIFICATION,
    PRIMARY_KEY_BINDING, SUBKEY_BINDING, SUBKEY_REVOCATION, Signature, SignatureError,
};
use crate::openpgp::subpacket as sub;
use crate::statement::StatementId;
use crate::time::Timestamp;

/// A certificate that is being read.
pub(super) struct Reader {
    key: PublicKey,
    primary: Held,
    subkeys: Vec<Held>,
    user_ids: Vec<(String, bool)>,
    signatures: BTreeSet<StatementId>,
    has_direct_signature: bool,
}

impl Reader {
    pub(super) fn new(packet: &Packet<'_>, signatures: &[Packet<'_>]) -> Result<Self, CertificateError> {
        let key = PublicKey::from_body(packet.body)?;
        let primary = Held::new(key.clone());
        let mut reader = Self {
            key,
            primary,
            subkeys: Vec::new(),
            user_ids: Vec::new(),
            signatures: BTreeSet::new(),
            has_direct_signature: false,
        };
        for signature in signatures {
            let signature = Signature::parse_by(signature.body, Some(&reader.primary.fingerprint))?;
            reader.verify(&signature, Over::Key(packet.body))?;
            match signature.kind {
                DIRECT_KEY => {
                    reader.has_direct_signature = true;
                    reader.primary.bindings.push(binding(&signature)?);
                }
                KEY_REVOCATION => reader.primary.revocations.push(revocation(&signature)?),
                other => return Err(SignatureError::Kind(other).into()),
            }
        }
        Ok(reader)
    }

    /// Checks a signature by the primary key.
    fn verify(&mut self, signature: &Signature<'_>, over: Over<'_>) -> Result<(), CertificateError> {
        let holder = self.key.fingerprint();
        if signature.issuer != holder {
            return Err(CertificateError::Foreign(holder));
        }
        signature.understands_only(&SELF_SIGNATURE_SUBPACKETS)?;
        signature.is_exportable()?;
        let signed = signature.over(over)?;
        signed.verify(&self.key)?;
        if self.signatures.insert(signed.id()) { Ok(()) } else { Err(CertificateError::Foreign(holder)) }
    }

    pub(super) fn user_id(&mut self, bytes: &[u8], signatures: &[Packet<'_>]) -> Result<(), CertificateError> {
        let text = user_id(bytes)?;
        if self.user_ids.iter().any(|(other, _)| *other == text) {
            return Err(CertificateError::Repeated);
        }
        let key = self.key.body().to_vec();
        let (mut bindings, mut void_from) = (Vec::new(), None);
        for packet in signatures {
            let signature = Signature::parse_by(packet.body, Some(&self.primary.fingerprint))?;
            self.verify(&signature, Over::UserId { key: &key, user_id: bytes })?;
            match signature.kind {
                CERTIFICATION..=POSITIVE_CERTIFICATION => bindings.push(binding(&signature)?),
                CERTIFICATION_REVOCATION => void_from = void_from.max(Some(signature.created)),
                other => return Err(SignatureError::Kind(other).into()),
            }
        }
        if bindings.is_empty() && void_from.is_none() {
            return Err(CertificateError::Unsigned("User ID"));
        }
        let stands = bindings.iter().any(|b| void_from.is_none_or(|void| b.created > void));
        self.user_ids.push((text, stands));
        let component = self.user_ids.len();
        self.primary.bindings.extend(bindings.into_iter().map(|b| Binding { component, void_from, ..b }));
        Ok(())
    }

    pub(super) fn subkey(&mut self, body: &[u8], signatures: &[Packet<'_>]) -> Result<(), CertificateError> {
        let mut held = held_subkey(body)?;
        if held.fingerprint == self.primary.fingerprint
            || self.subkeys.iter().any(|s| s.fingerprint == held.fingerprint)
        {
            return Err(CertificateError::Repeated);
        }
        let key = self.key.body().to_vec();
        for packet in signatures {
            let (signature, unhashed) = Signature::parse_with_unhashed(packet.body, Some(&self.primary.fingerprint))?;
            if !unhashed.is_empty() && signature.kind != SUBKEY_BINDING {
                return Err(SignatureError::Unhashed.into());
            }
            self.verify(&signature, Over::Subkey { key: &key, subkey: body })?;
            match signature.kind {
                SUBKEY_BINDING => held.bindings.push(self.subkey_binding(&signature, unhashed, &held)?),
                SUBKEY_REVOCATION => held.revocations.push(revocation(&signature)?),
                other => return Err(SignatureError::Kind(other).into()),
            }
        }
        if held.bindings.is_empty() && held.revocations.is_empty() {
            return Err(CertificateError::Unsigned("subkey"));
        }
        self.subkeys.push(held);
        Ok(())
    }

    /// Reads a binding with the subkey's own signature, from the hashed area or alone in the unhashed one.
    fn subkey_binding(
        &mut self,
        signature: &Signature<'_>,
        unhashed: &[u8],
        held: &Held,
    ) -> Result<Binding, CertificateError> {
        let unhashed_area = sub::all(unhashed)?;
        let embedded = match (signature.one(sub::EMBEDDED_SIGNATURE)?, unhashed_area.as_slice()) {
            (hashed, []) => hashed,
            (None, [only]) if sig::is_canonical_area(only, unhashed, &held.fingerprint) => Some(only.data),
            _ => return Err(SignatureError::Unhashed.into()),
        };
        let mut binding = binding(signature)?;
        if let (Some(embedded), Some(subkey)) = (embedded, &held.key) {
            let canonical = sig::canonicalise(embedded)?;
            let own = Signature::parse_by(&canonical, Some(&held.fingerprint))?;
            if own.kind != PRIMARY_KEY_BINDING {
                return Err(SignatureError::Kind(own.kind).into());
            }
            own.understands_only(&SELF_SIGNATURE_SUBPACKETS)?;
            let signed = own.over(Over::Subkey { key: self.key.body(), subkey: subkey.body() })?;
            signed.verify(subkey)?;
            self.signatures.insert(signed.id());
            binding.is_mutual = true;
        }
        Ok(binding)
    }

    pub(super) fn finish(self, bytes: &[u8]) -> Result<Certificate, CertificateError> {
        if self.primary.bindings.is_empty() || (self.key.version() == 6 && !self.has_direct_signature) {
            return Err(CertificateError::Unsigned("primary key"));
        }
        let (standing, revoked): (Vec<_>, Vec<_>) = self.user_ids.into_iter().partition(|(_, stands)| *stands);
        let texts = |user_ids: Vec<(String, bool)>| user_ids.into_iter().map(|(text, _)| text).collect();
        Ok(Certificate {
            id: StatementId(sha256(&[bytes])),
            bytes: bytes.len(),
            primary: self.primary,
            subkeys: self.subkeys,
            user_ids: texts(standing),
            revoked_user_ids: texts(revoked),
            signatures: self.signatures,
        })
    }
}

/// Whether these self-signatures are more than a certificate may have.
///
/// Revocations of the key for all times are counted separately: a thief of the key may fill the certificate, but cannot
/// prevent its holder from ending it.
pub(crate) fn are_too_many<'a>(signatures: impl Iterator<Item = &'a [u8]>) -> bool {
    let ends = |body: &&[u8]| {
        let glance = sig::glance(body);
        glance.is_ok_and(|it| it.kind == KEY_REVOCATION && sig::is_for_all_times(&it.hashed).unwrap_or_default())
    };
    let (ending, others): (Vec<_>, Vec<_>) = signatures.partition(ends);
    ending.len() > limits::CERTIFICATE_SIGNATURES || others.len() > limits::CERTIFICATE_SIGNATURES
}

/// Whether a certificate may have this canonical signature by the holder of a key, on the key itself (`None`), a User
/// ID or a subkey.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn accepts(
    key: &PublicKey,
    component: Option<&AnyPacket>,
    signature: &[u8],
) -> Result<(), CertificateError> {
    let key = Packet { tag: packet::PUBLIC_KEY, body: key.body() };
    let signature = [Packet { tag: packet::SIGNATURE, body: signature }];
    match component {
        None => Reader::new(&key, &signature).map(drop),
        Some(packet) if packet.tag == packet::USER_ID => Reader::new(&key, &[])?.user_id(&packet.body, &signature),
        Some(packet) => Reader::new(&key, &[])?.subkey(&packet.body, &signature),
    }
}

/// Reads a subkey; one that cannot sign, or not by the rules here, is held by its fingerprint only.
fn held_subkey(body: &[u8]) -> Result<Held, CertificateError> {
    match PublicKey::from_body(body) {
        Ok(key) => Ok(Held::new(key)),
        Err(KeyError::Algorithm { .. }) => {
            let seconds = body.get(1..5).and_then(sig::seconds).ok_or(WireError::Truncated)?;
            Ok(Held {
                fingerprint: key::fingerprint(body)?,
                key: None,
                created: Timestamp::from_seconds(seconds.into()),
                bindings: Vec::new(),
                revocations: Vec::new(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn binding(signature: &Signature<'_>) -> Result<Binding, SignatureError> {
    let seconds = |tag| {
        let read = |data| sig::seconds(data).ok_or(SignatureError::Malformed(tag));
        // RFC 9580, 5.2.3.13 and 5.2.3.18: zero means never.
        Ok::<_, SignatureError>(signature.one(tag)?.map(read).transpose()?.filter(|seconds| *seconds > 0))
    };
    Ok(Binding {
        component: 0,
        created: signature.created,
        expires: seconds(sub::SIGNATURE_EXPIRATION)?.map(|seconds| later(signature.created, seconds)),
        flags: signature.one(sub::KEY_FLAGS)?.map(|flags| flags.first().copied().unwrap_or_default()),
        key_expires_after: seconds(sub::KEY_EXPIRATION)?,
        void_from: None,
        is_mutual: false,
    })
}

fn revocation(signature: &Signature<'_>) -> Result<Revocation, SignatureError> {
    let is_for_all_times = sig::is_for_all_times(&signature.subpackets)?;
    Ok(Revocation { created: signature.created, is_for_all_times, heard_at: Timestamp::default() })
}
