//! Certificates: which key may do what at what time, and what is refused.

mod revocations;

use super::*;
use crate::openpgp::algorithm::sha256;
use crate::openpgp::signature::{
    CERTIFICATION, CERTIFICATION_REVOCATION, KEY_REVOCATION, PRIMARY_KEY_BINDING, SUBKEY_BINDING, SUBKEY_REVOCATION,
};
use crate::openpgp::signer::Ed25519Signer;
use crate::statement::fixtures::{SALT, at, created, signer};

const NAME: &str = "Acme <signer@acme.example>";

/// A certificate in the making.
struct Making {
    primary: Ed25519Signer,
    bytes: Vec<u8>,
}

fn seconds(count: u64) -> Timestamp {
    created().plus_millis(count * 1000)
}

/// A number of seconds as four octets.
fn octets(seconds: u32) -> [u8; 4] {
    seconds.to_be_bytes()
}

impl Making {
    fn new(version: u8) -> Self {
        let primary = signer(1, version);
        let bytes = primary.public_key().to_packet();
        Self { primary, bytes }
    }

    fn draft(&self, kind: u8, at: Timestamp) -> Draft {
        Draft::new(kind, &self.primary, at)
    }

    /// A signature by the primary key over itself.
    fn direct(mut self, draft: Draft) -> Self {
        let key = self.primary.public_key();
        let signed = draft.sign(&self.primary, Over::Key(key.body()), &SALT).expect("signed");
        sig::write_packet(&mut self.bytes, &signed);
        self
    }

    fn user_id(mut self, text: &str, drafts: Vec<Draft>) -> Self {
        let key = self.primary.public_key();
        packet::write(&mut self.bytes, packet::USER_ID, text.as_bytes());
        for draft in drafts {
            let over = Over::UserId { key: key.body(), user_id: text.as_bytes() };
            sig::write_packet(&mut self.bytes, &draft.sign(&self.primary, over, &SALT).expect("signed"));
        }
        self
    }

    /// A User ID with one positive certification at creation.
    fn named(self) -> Self {
        let draft = self.draft(POSITIVE_CERTIFICATION, created()).with(sub::KEY_FLAGS, &[MAY_CERTIFY | MAY_SIGN]);
        self.user_id(NAME, vec![draft])
    }

    fn subkey(mut self, body: &[u8], drafts: Vec<Draft>) -> Self {
        packet::write(&mut self.bytes, packet::PUBLIC_SUBKEY, body);
        for draft in drafts {
            let signed = self.over_subkey(draft, body);
            sig::write_packet(&mut self.bytes, &signed);
        }
        self
    }

    fn over_subkey(&self, draft: Draft, body: &[u8]) -> Vec<u8> {
        let key = self.primary.public_key();
        let over = Over::Subkey { key: key.body(), subkey: body };
        draft.sign(&self.primary, over, &SALT).expect("signed")
    }

    /// The subkey's own signature (0x19).
    fn mutual(&self, subkey: &Ed25519Signer) -> Vec<u8> {
        let (key, body) = (self.primary.public_key(), subkey.public_key());
        let over = Over::Subkey { key: key.body(), subkey: body.body() };
        Draft::new(PRIMARY_KEY_BINDING, subkey, created()).sign(subkey, over, &SALT).expect("signed")
    }

    fn parse(&self) -> Result<Certificate, CertificateError> {
        Certificate::parse(&self.bytes)
    }

    fn certificate(&self) -> Certificate {
        self.parse().expect("accepted")
    }

    fn fingerprint(&self) -> Fingerprint {
        self.primary.public_key().fingerprint()
    }

    /// Whether the primary key may certify and sign at a time.
    fn may(&self, at: Timestamp) -> (Result<(), KeyRefusal>, Result<(), KeyRefusal>) {
        let (certificate, key) = (self.certificate(), self.fingerprint());
        let may = |purpose| certificate.key_for(&key, purpose, at).map(drop);
        (may(Purpose::Certify), may(Purpose::Sign))
    }
}

#[test]
fn made_certificates_are_taken() {
    for version in [4, 6] {
        let signer = signer(1, version);
        let bytes = Certificate::make(&signer, NAME, created(), &SALT).expect("made");
        let certificate = Certificate::parse(&bytes).expect("accepted");
        let fingerprint = signer.public_key().fingerprint();
        assert_eq!((certificate.primary(), certificate.user_ids()), (fingerprint, &[NAME.to_owned()][..]));
        assert_eq!(certificate.keys().collect::<Vec<_>>(), [fingerprint]);
        assert_eq!((certificate.id().0, certificate.bytes()), (sha256(&[&bytes]), bytes.len()));
        for purpose in [Purpose::Certify, Purpose::Sign] {
            assert_eq!(certificate.key_for(&fingerprint, purpose, at()), Ok(signer.public_key()));
        }
        let other = Fingerprint::V4([1; 20]);
        assert_eq!(certificate.key_for(&other, Purpose::Sign, at()), Err(KeyRefusal::Unknown(other)));
    }
}

/// RFC 9580, 5.2.3.32: whoever encrypts to the key must know which encryption containers it can read, by its version.
#[test]
fn a_made_certificate_says_what_its_version_can_read() {
    for (version, features, count) in [(4, 0x01, 1), (6, 0x09, 2)] {
        let bytes = Certificate::make(&signer(1, version), NAME, created(), &SALT).expect("made");
        let packets = packet::all(&bytes).expect("packets");
        let signatures: Vec<_> = packets.iter().filter(|it| it.tag == packet::SIGNATURE).collect();
        assert_eq!(signatures.len(), count, "version {version}");
        for signature in signatures {
            let signature = sig::Signature::parse(signature.body).expect("canonical");
            assert_eq!(signature.one(sub::FEATURES), Ok(Some(&[features][..])), "version {version}");
            assert_eq!(signature.one(sub::KEY_FLAGS), Ok(Some(&[MAY_CERTIFY | MAY_SIGN][..])));
        }
    }
}

#[test]
fn key_flags_decide_and_without_them_all_is_permitted() {
    let refused = |making: &Making, purpose| Err(KeyRefusal::Purpose(making.fingerprint(), purpose));
    for (flags, certify, sign) in [
        (Some(0), false, false),
        (Some(1), true, false),
        (Some(2), false, true),
        (Some(3), true, true),
        (None, true, true),
    ] {
        let making = Making::new(4);
        let draft = making.draft(CERTIFICATION, created());
        let draft = match flags {
            Some(flags) => draft.with(sub::KEY_FLAGS, &[flags]),
            None => draft,
        };
        let making = making.user_id(NAME, vec![draft]);
        let expected = (
            if certify { Ok(()) } else { refused(&making, Purpose::Certify) },
            if sign { Ok(()) } else { refused(&making, Purpose::Sign) },
        );
        assert_eq!(making.may(at()), expected);
    }
}

#[test]
fn the_newest_self_signature_decides() {
    let making = Making::new(4);
    let drafts = vec![
        making.draft(CERTIFICATION, seconds(100)).with(sub::KEY_FLAGS, &[MAY_SIGN]),
        making.draft(CERTIFICATION, seconds(1)).with(sub::KEY_FLAGS, &[MAY_CERTIFY]),
    ];
    let making = making.user_id(NAME, drafts);
    let skew = limits::CLOCK_SKEW_MILLIS;
    let refused = |purpose| Err(KeyRefusal::Purpose(making.fingerprint(), purpose));
    assert_eq!(making.may(seconds(100)), (refused(Purpose::Certify), Ok(())));
    // A clock that is five minutes behind sees it already.
    let making = Making::new(4);
    let making = making.named().direct_later(1000);
    let before = Timestamp::from_millis(seconds(1000).as_millis() - skew - 1);
    let from = Timestamp::from_millis(seconds(1000).as_millis() - skew);
    assert_eq!(making.may(before), (Ok(()), Ok(())));
    assert_eq!(making.may(from).0, Err(KeyRefusal::Purpose(making.fingerprint(), Purpose::Certify)));
}

/// A self-signature does not change what it does not state: GnuPG's `addrevoker` makes a direct-key signature with
/// neither flags nor an expiration.
#[test]
fn a_direct_key_signature_takes_back_nothing_of_what_it_does_not_say() {
    let making = Making::new(4);
    let draft = making.draft(POSITIVE_CERTIFICATION, created());
    let draft = draft.with(sub::KEY_FLAGS, &[MAY_CERTIFY]).with(sub::KEY_EXPIRATION, &octets(1000));
    let making = making.user_id(NAME, vec![draft]);
    let silent = making.draft(DIRECT_KEY, seconds(2000));
    let making = making.directly(silent);
    assert_eq!(making.may(seconds(999)), (Ok(()), Err(KeyRefusal::Purpose(making.fingerprint(), Purpose::Sign))));
    let expired = Err(KeyRefusal::Expired(making.fingerprint()));
    assert_eq!(making.may(seconds(3000)), (expired, expired));
    let lives = making.draft(DIRECT_KEY, seconds(2000)).with(sub::KEY_EXPIRATION, &octets(4000));
    let making = Making::new(4).named().directly(lives);
    assert_eq!(making.may(seconds(3999)).1, Ok(()), "the flags of the User ID, the expiration of the key");
    assert_eq!(making.may(seconds(4000)).1, Err(KeyRefusal::Expired(making.fingerprint())));
}

#[test]
fn a_renewed_certification_of_a_user_id_replaces_the_former_ones_with_what_it_leaves_out() {
    let making = Making::new(4);
    let expiring = |at| making.draft(CERTIFICATION, at).with(sub::KEY_EXPIRATION, &octets(1000));
    let drafts = vec![expiring(created()), making.draft(CERTIFICATION, seconds(10))];
    let renewed = Making::new(4).user_id(NAME, drafts);
    assert_eq!(renewed.may(at()).0, Ok(()), "it does not expire any more");
    let (silent, expiring) = (vec![making.draft(CERTIFICATION, seconds(10))], vec![expiring(created())]);
    let beside = Making::new(4).user_id(NAME, expiring).user_id("Other", silent);
    let expired = Err(KeyRefusal::Expired(beside.fingerprint()));
    assert_eq!(beside.may(at()).0, expired, "another User ID still says that it does");
}

impl Making {
    /// Inserts, after the key, a direct-key signature that permits signing only.
    fn direct_later(self, count: u64) -> Self {
        let draft = self.draft(DIRECT_KEY, seconds(count)).with(sub::KEY_FLAGS, &[MAY_SIGN]);
        self.directly(draft)
    }

    /// Inserts, after the key, one more signature over it.
    fn directly(self, draft: Draft) -> Self {
        let key = self.primary.public_key();
        let signed = draft.sign(&self.primary, Over::Key(key.body()), &SALT).expect("signed");
        let split_at = key.to_packet().len();
        let mut bytes = self.bytes[..split_at].to_vec();
        sig::write_packet(&mut bytes, &signed);
        bytes.extend_from_slice(&self.bytes[split_at..]);
        Self { bytes, ..self }
    }
}

#[test]
fn of_the_same_second_the_later_one_decides() {
    let making = Making::new(4);
    let drafts =
        [MAY_CERTIFY, MAY_SIGN].map(|flag| making.draft(CERTIFICATION, seconds(1)).with(sub::KEY_FLAGS, &[flag]));
    let making = making.user_id(NAME, drafts.into());
    assert_eq!(making.may(at()).1, Ok(()));
}

#[test]
fn keys_live_from_their_creation_to_their_expiration() {
    let making = Making::new(4);
    let draft = making.draft(CERTIFICATION, created()).with(sub::KEY_EXPIRATION, &octets(1000));
    let making = making.user_id(NAME, vec![draft]);
    let expired = Err(KeyRefusal::Expired(making.fingerprint()));
    assert_eq!(making.may(Timestamp::from_millis(seconds(1000).as_millis() - 1)).0, Ok(()));
    assert_eq!(making.may(seconds(1000)), (expired, expired));
    let too_early = Timestamp::from_millis(created().as_millis() - limits::CLOCK_SKEW_MILLIS - 1);
    assert_eq!(making.may(too_early).0, Err(KeyRefusal::NotYet(making.fingerprint())));
    assert_eq!(making.may(too_early.plus_millis(1)).0, Ok(()), "a clock may be so far behind");
}

#[test]
fn self_signatures_expire() {
    let making = Making::new(4);
    let draft = making.draft(CERTIFICATION, created()).with(sub::SIGNATURE_EXPIRATION, &octets(1000));
    let making = making.user_id(NAME, vec![draft]);
    assert_eq!(making.may(seconds(999)).0, Ok(()));
    assert_eq!(making.may(seconds(1000)).0, Err(KeyRefusal::Unbound(making.fingerprint())));
    let making = Making::new(4);
    let draft = making.draft(CERTIFICATION, created()).with(sub::SIGNATURE_EXPIRATION, &octets(0));
    assert_eq!(making.user_id(NAME, vec![draft]).may(at()).0, Ok(()), "zero means never");
}

#[test]
fn subkeys_sign_documents_with_their_own_consent() {
    let subkey = signer(2, 4);
    let (fingerprint, body) = (subkey.public_key().fingerprint(), subkey.public_key().body().to_vec());
    let may = |making: &Making, purpose| making.certificate().key_for(&fingerprint, purpose, at()).map(drop);
    let draft = |making: &Making, flags: u8| making.draft(SUBKEY_BINDING, created()).with(sub::KEY_FLAGS, &[flags]);

    let making = Making::new(4).named();
    let binding = draft(&making, MAY_SIGN).with(sub::EMBEDDED_SIGNATURE, &making.mutual(&subkey));
    let making = making.subkey(&body, vec![binding]);
    assert_eq!(may(&making, Purpose::Sign), Ok(()));
    let refused = |purpose| Err(KeyRefusal::Purpose(fingerprint, purpose));
    assert_eq!(may(&making, Purpose::Certify), refused(Purpose::Certify));
    assert_eq!(making.certificate().keys().collect::<Vec<_>>(), [making.fingerprint(), fingerprint]);

    let making = Making::new(4).named();
    let binding = draft(&making, MAY_SIGN);
    assert_eq!(may(&making.subkey(&body, vec![binding]), Purpose::Sign), refused(Purpose::Sign), "no consent");

    let making = Making::new(4).named();
    let binding = draft(&making, 0x0c).with(sub::EMBEDDED_SIGNATURE, &making.mutual(&subkey));
    assert_eq!(may(&making.subkey(&body, vec![binding]), Purpose::Sign), refused(Purpose::Sign), "no flag");

    let making = Making::new(4).named();
    let binding = draft(&making, MAY_SIGN).with(sub::EMBEDDED_SIGNATURE, &making.mutual(&signer(3, 4)));
    let error = making.subkey(&body, vec![binding]).parse();
    assert!(matches!(error, Err(CertificateError::Signature(SignatureError::Prefix) | CertificateError::Fault(_))));

    let making = Making::new(4).named();
    let drafts = vec![
        draft(&making, MAY_SIGN).with(sub::EMBEDDED_SIGNATURE, &making.mutual(&subkey)),
        making.draft(SUBKEY_REVOCATION, seconds(1000)).with(sub::REASON, &[2]),
    ];
    assert_eq!(may(&making.subkey(&body, drafts), Purpose::Sign), Err(KeyRefusal::Revoked(fingerprint)));
}

#[test]
fn the_consent_may_stand_in_the_unhashed_area_as_gnupg_writes_it() {
    let subkey = signer(2, 4);
    let body = subkey.public_key().body().to_vec();
    let making = Making::new(4).named();
    let draft = making.draft(SUBKEY_BINDING, created()).with(sub::KEY_FLAGS, &[MAY_SIGN]);
    let binding = making.over_subkey(draft, &body);
    let with = |unhashed: &[u8]| {
        let hashed = usize::from(binding[4]) << 8 | usize::from(binding[5]);
        let (head, rest) = binding.split_at(6 + hashed);
        let mut bytes = making.bytes.clone();
        packet::write(&mut bytes, packet::PUBLIC_SUBKEY, &body);
        let signature = [head, &(unhashed.len() as u16).to_be_bytes(), unhashed, &rest[2..]].concat();
        sig::write_packet(&mut bytes, &signature);
        Certificate::parse(&bytes)
    };
    let mut area = Vec::new();
    sub::write(&mut area, false, sub::EMBEDDED_SIGNATURE, &making.mutual(&subkey));
    let certificate = with(&area).expect("accepted");
    assert!(certificate.key_for(&subkey.public_key().fingerprint(), Purpose::Sign, at()).is_ok());
    let stuffed = [&area[..], &[2, 100, 0]].concat();
    let (mut critical, mut garbage) = (Vec::new(), Vec::new());
    sub::write(&mut critical, true, sub::EMBEDDED_SIGNATURE, &making.mutual(&subkey));
    sub::write(&mut garbage, false, sub::EMBEDDED_SIGNATURE, &[4, 0x19]);
    for area in [&stuffed[..], &[2, 100, 0], &[&area[..], &area].concat(), &critical, &garbage] {
        assert_eq!(with(area), Err(SignatureError::Unhashed.into()));
    }
}

#[test]
fn subkeys_that_cannot_sign_are_carried() {
    // X25519, algorithm 25: a version 4 subkey for encryption.
    let body = [&[4, 0x69, 0x55, 0xb9, 0x00, 25][..], &[9; 32]].concat();
    let making = Making::new(4).named();
    let binding = making.draft(SUBKEY_BINDING, created()).with(sub::KEY_FLAGS, &[0x0c]);
    let making = making.subkey(&body, vec![binding]);
    assert_eq!(making.certificate().keys().count(), 1);
    let weak = signer(1, 4).public_key().body().to_vec();
    let again = Making::new(4).named().subkey(&weak, vec![]);
    assert_eq!(again.parse(), Err(CertificateError::Repeated), "the primary key as its own subkey");
}

#[test]
fn refusals() {
    assert_eq!(Certificate::parse(&[]), Err(WireError::Truncated.into()));
    assert_eq!(Certificate::parse(&vec![0; limits::PERSON_CERTIFICATE_BYTES + 1]), {
        Err(CertificateError::TooLong(limits::PERSON_CERTIFICATE_BYTES + 1))
    });
    assert_eq!(Making::new(4).parse(), Err(CertificateError::Unsigned("primary key")));
    assert_eq!(Making::new(4).user_id(NAME, vec![]).parse(), Err(CertificateError::Unsigned("User ID")));
    assert_eq!(Making::new(4).named().named().parse(), Err(CertificateError::Repeated));
    assert_eq!(Making::new(6).named().parse(), Err(CertificateError::Unsigned("primary key")), "RFC 9580, 10.1.1");
    let body = signer(2, 4).public_key().body().to_vec();
    assert_eq!(Making::new(4).named().subkey(&body, vec![]).parse(), Err(CertificateError::Unsigned("subkey")));
    for tag in [packet::LITERAL, packet::USER_ATTRIBUTE] {
        for mut bytes in [Vec::new(), Making::new(4).named().bytes] {
            packet::write(&mut bytes, tag, b"x");
            assert_eq!(Certificate::parse(&bytes), Err(CertificateError::Packet(tag)));
        }
    }
}

#[test]
fn signatures_that_certificates_do_not_have() {
    let kind = |kind| Err(SignatureError::Kind(kind).into());
    let making = Making::new(4);
    let draft = making.draft(CERTIFICATION, created());
    assert_eq!(making.direct(draft).parse(), kind(CERTIFICATION));
    let making = Making::new(4);
    let draft = making.draft(DIRECT_KEY, created());
    assert_eq!(making.user_id(NAME, vec![draft]).parse(), kind(DIRECT_KEY));
    let making = Making::new(4).named();
    let draft = making.draft(CERTIFICATION, created());
    assert_eq!(making.subkey(signer(2, 4).public_key().body(), vec![draft]).parse(), kind(CERTIFICATION));
    let making = Making::new(4);
    let twice = vec![making.draft(CERTIFICATION, created()), making.draft(CERTIFICATION, created())];
    let fingerprint = making.fingerprint();
    assert_eq!(making.user_id(NAME, twice).parse(), Err(CertificateError::Foreign(fingerprint)));
    let making = Making::new(4);
    let local = making.draft(CERTIFICATION, created()).with(sub::EXPORTABLE, &[0]);
    let refused = Err(SignatureError::NotAllowed(sub::EXPORTABLE).into());
    assert_eq!(making.user_id(NAME, vec![local]).parse(), refused);
    let making = Making::new(4);
    let many = (0..=limits::CERTIFICATE_SIGNATURES as u64).map(|n| making.draft(CERTIFICATION, seconds(n))).collect();
    assert_eq!(making.user_id(NAME, many).parse(), Err(CertificateError::TooMany));
}

#[test]
fn signatures_by_others_and_bad_ones() {
    let making = Making::new(4).named();
    let other = signer(2, 4);
    let over = Over::UserId { key: making.primary.public_key().body(), user_id: NAME.as_bytes() };
    let mut bytes = making.bytes.clone();
    let foreign = Draft::new(CERTIFICATION, &other, created()).sign(&other, over, &SALT).expect("signed");
    sig::write_packet(&mut bytes, &foreign);
    // Two more packets make this a certificate rather than a statement.
    assert_eq!(Certificate::parse(&bytes), Err(CertificateError::Foreign(making.fingerprint())));
    let mut bytes = making.bytes.clone();
    *bytes.last_mut().expect("bytes") ^= 1;
    assert_eq!(Certificate::parse(&bytes), Err(CertificateError::Fault(SignatureFault::Bad)));
    let making = Making::new(4);
    let early = making.draft(CERTIFICATION, Timestamp::from_seconds(1));
    let refused = Err(CertificateError::Fault(SignatureFault::BeforeKey));
    assert_eq!(making.user_id(NAME, vec![early]).parse(), refused);
}

#[test]
fn a_certificate_grows_and_never_shrinks() {
    let first = Making::new(4).named();
    let making = Making::new(4);
    let draft = making.draft(KEY_REVOCATION, at()).with(sub::REASON, &[2]);
    let revoked = making.direct(draft).named();
    let (first, revoked) = (first.certificate(), revoked.certificate());
    assert!(revoked.extends(&first));
    assert!(!first.extends(&revoked), "a state without its revocation does not replace it");
    assert!(!first.extends(&first));
    let other = Certificate::make(&signer(2, 4), NAME, created(), &SALT).expect("made");
    assert!(!Certificate::parse(&other).expect("accepted").extends(&first));
}

#[test]
fn a_certificate_lists_its_keys_and_user_ids() {
    let (signing, encrypting) = (signer(2, 4), [&[4, 0x69, 0x55, 0xb9, 0x00, 25][..], &[9; 32]].concat());
    let making = Making::new(4).named();
    let revoked = vec![making.draft(CERTIFICATION, created()), making.draft(CERTIFICATION_REVOCATION, seconds(9))];
    let making = making.user_id("Former", revoked);
    let signs = making.draft(SUBKEY_BINDING, created()).with(sub::KEY_FLAGS, &[MAY_SIGN]);
    let encrypts = making.draft(SUBKEY_BINDING, created()).with(sub::KEY_FLAGS, &[0x0c]);
    let making = making.subkey(signing.public_key().body(), vec![signs]).subkey(&encrypting, vec![encrypts]);
    let certificate = making.certificate();
    let fingerprint = crate::openpgp::key::fingerprint(&encrypting).expect("a key");
    let all = [making.fingerprint(), signing.public_key().fingerprint(), fingerprint];
    assert_eq!(certificate.all_keys().collect::<Vec<_>>(), all);
    assert_eq!(certificate.keys().collect::<Vec<_>>(), all[..1], "the subkey has not agreed");
    let public = [making.primary.public_key(), signing.public_key()];
    assert_eq!(certificate.public_keys().collect::<Vec<_>>(), public);
    assert_eq!(
        (certificate.user_ids(), certificate.revoked_user_ids()),
        (&[NAME.to_owned()][..], &["Former".to_owned()][..])
    );
}

#[test]
fn bounds_are_inclusive() {
    let making = Making::new(4);
    let count = limits::CERTIFICATE_SIGNATURES as u64;
    let many = (0..count).map(|n| making.draft(CERTIFICATION, seconds(n))).collect();
    assert!(making.user_id(NAME, many).parse().is_ok());
    for (reason, expected) in [(2, None), (3, Some(CertificateError::TooMany))] {
        let making = Making::new(4);
        let revocation = making.draft(KEY_REVOCATION, at()).with(sub::REASON, &[reason]);
        let many = (0..count).map(|n| making.draft(CERTIFICATION, seconds(n))).collect();
        let full = making.direct(revocation).user_id(NAME, many);
        assert_eq!(full.parse().err(), expected, "a stolen key can always be revoked");
    }
    let longest = "x".repeat(limits::USER_ID_BYTES);
    assert_eq!(user_id(longest.as_bytes()), Ok(longest.clone()));
    assert_eq!(user_id(&[longest.as_bytes(), b"x"].concat()), Err(UserIdError::Length(limits::USER_ID_BYTES + 1)));
    assert_eq!(user_id(b""), Err(UserIdError::Length(0)));
    assert_eq!(user_id(&[0xff]), Err(UserIdError::Utf8));
    assert_eq!(user_id(b"a\nb"), Err(UserIdError::Control("a\\nb".to_owned())));
    let bytes = vec![0; limits::PERSON_CERTIFICATE_BYTES];
    assert_eq!(Certificate::parse(&bytes), Err(WireError::NotAPacket(0).into()));
}

/// A key from another certificate belongs to another signer, whatever else is the same.
#[test]
fn a_certificate_extends_only_its_own_earlier_state() {
    let (first, other) = (Making::new(4).named().certificate(), Making::new(6));
    let draft = other.draft(DIRECT_KEY, created());
    let other = other.direct(draft).named().certificate();
    let mut all = other.clone();
    all.signatures.extend(&first.signatures);
    assert!(all.extends(&other));
    assert!(!all.extends(&first));
}
