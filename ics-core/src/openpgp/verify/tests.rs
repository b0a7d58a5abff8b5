//! Crafted numbers: where two forms would verify, only one is accepted.

use sequoia_openpgp::crypto::Signer as SequoiaSigner;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, SecretParts, UnspecifiedRole};
use sequoia_openpgp::types::Curve;

use super::*;
use crate::openpgp::signature::{BINARY, Draft, Over, Signature};
use crate::openpgp::signer::{KeyPairSigner, Signer};
use crate::statement::fixtures::{SALT, maker};

/// Later than the keys that this test generates.
const AT: Timestamp = Timestamp::from_seconds(4_000_000_000);

fn key_pair(key: impl Into<Key<SecretParts, UnspecifiedRole>>) -> KeyPairSigner {
    KeyPairSigner::new(key.into().into_keypair().expect("not encrypted")).expect("accepted")
}

fn signed(signer: &dyn Signer) -> SignedDigest {
    let body = Draft::new(BINARY, signer, AT).sign(signer, Over::Document(b"data"), &SALT).expect("signed");
    Signature::parse(&body).expect("canonical").over(Over::Document(b"data")).expect("signed")
}

/// Verifies alone, and in a batch with good ones.
fn agree(signed: &SignedDigest, key: &PublicKey) -> Result<(), SignatureFault> {
    let alone = signed.verify(key);
    let (good, maker) = (self::signed(&maker()), maker());
    let items = [(&good, maker.public_key()), (signed, key), (&good, maker.public_key())];
    assert_eq!(verify_all(&items, [5; 32]), [Ok(()), alone, Ok(())]);
    alone
}

#[test]
fn rsa_signatures_are_below_the_modulus() {
    let signer = key_pair(Key4::generate_rsa(2048).expect("a key"));
    let mut signed = signed(&signer);
    assert_eq!(agree(&signed, signer.public_key()), Ok(()));
    let Material::Rsa { n, .. } = signer.public_key().material().clone() else { panic!("RSA") };
    let RawSignature::Rsa(s) = &signed.value else { panic!("RSA") };
    let sum = add(&[&[0], &n[..]].concat(), s);
    signed.value = RawSignature::Rsa(sum);
    assert!(!signed.is_canonical(signer.public_key()), "it is refused before the library is asked");
    assert_eq!(agree(&signed, signer.public_key()), Err(SignatureFault::Bad));
    signed.value = RawSignature::Rsa(vec![1]);
    assert_eq!(agree(&signed, signer.public_key()), Err(SignatureFault::Bad));
}

/// Adds big-endian numbers; the sum fits into the width of the first.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let padding = vec![0; a.len() - b.len()];
    let b = [&padding, b].concat();
    let mut carry = 0;
    let mut sum: Vec<u8> = a
        .iter()
        .zip(&b)
        .rev()
        .map(|(a, b)| {
            let digit = u16::from(*a) + u16::from(*b) + carry;
            carry = digit >> 8;
            digit as u8
        })
        .collect();
    sum.reverse();
    sum
}

#[test]
fn keys_of_each_curve_sign_what_verifies() {
    let ecc = |curve| key_pair(Key4::generate_ecc(true, curve).expect("a key"));
    for (signer, algorithm) in [
        (ecc(Curve::Ed25519), KeyAlgorithm::Ed25519Legacy),
        (key_pair(Key4::generate_ed25519().expect("a key")), KeyAlgorithm::Ed25519),
        (ecc(Curve::NistP256), KeyAlgorithm::P256),
        (ecc(Curve::NistP384), KeyAlgorithm::P384),
        (ecc(Curve::NistP521), KeyAlgorithm::P521),
    ] {
        assert_eq!(signer.public_key().algorithm(), algorithm);
        assert_eq!(agree(&signed(&signer), signer.public_key()), Ok(()), "{algorithm}");
    }
}

#[test]
fn ed448_has_the_smaller_s() {
    let signer = key_pair(Key4::generate_ed448().expect("a key"));
    let mut signed = signed(&signer);
    assert_eq!(agree(&signed, signer.public_key()), Ok(()));
    let RawSignature::Ed448(value) = &mut signed.value else { panic!("Ed448") };
    let s: Vec<u8> = value[57..].iter().rev().copied().collect();
    let order: Vec<u8> = ed448::L.iter().rev().copied().collect();
    let larger: Vec<u8> = add(&order, &s).into_iter().rev().collect();
    value[57..].copy_from_slice(&larger);
    assert!(!signed.is_canonical(signer.public_key()), "it is refused before the library is asked");
    assert_eq!(agree(&signed, signer.public_key()), Err(SignatureFault::Bad));
}

#[test]
fn ecdsa_numbers_are_in_range() {
    let signer = key_pair(Key4::generate_ecc(true, Curve::NistP256).expect("a key"));
    let good = signed(&signer);
    assert_eq!(agree(&good, signer.public_key()), Ok(()));
    let RawSignature::Ecdsa { r, s } = good.value.clone() else { panic!("ECDSA") };
    for value in [
        RawSignature::Ecdsa { r: vec![1], s: vec![1] },
        RawSignature::Ecdsa { r: vec![0xff; 32], s: s.clone() },
        RawSignature::Ecdsa { r: [&[1], &r[..]].concat(), s: s.clone() },
        RawSignature::Ecdsa { r: s, s: r },
        RawSignature::Rsa(vec![1; 32]),
        RawSignature::Ed25519([1; 64]),
    ] {
        let bad = SignedDigest { value, ..good.clone() };
        assert_eq!(agree(&bad, signer.public_key()), Err(SignatureFault::Bad), "{:?}", bad.value);
    }
}

#[test]
fn a_hash_must_be_as_wide_as_the_curve() {
    let signer = key_pair(Key4::generate_ecc(true, Curve::NistP384).expect("a key"));
    let weak = SignedDigest { hash: HashAlgorithm::Sha256, ..signed(&signer) };
    assert_eq!(agree(&weak, signer.public_key()), Err(SignatureFault::Hash(KeyAlgorithm::P384)));
}

/// Two libraries agree on each curve, each hash and crafted numbers: the rule must not depend on which one is asked.
#[test]
fn ecdsa_is_the_same_by_another_library() {
    for curve in [Curve::NistP256, Curve::NistP384, Curve::NistP521] {
        let pair = Key4::<SecretParts, UnspecifiedRole>::generate_ecc(true, curve).expect("a key");
        let mut pair = Key::from(pair).into_keypair().expect("not encrypted");
        let signer = KeyPairSigner::new(pair.clone()).expect("accepted");
        let key = signer.public_key();
        for hash in HashAlgorithm::ALL.into_iter().filter(|hash| key.algorithm().takes_hash(*hash)) {
            let digest = hash.digest(&[b"data"]);
            let made = SequoiaSigner::sign(&mut pair, SequoiaHash::from(hash.id()), &digest).expect("signed");
            let mpi::Signature::ECDSA { r, s } = made else { panic!("ECDSA") };
            let (r, s) = (r.value().to_vec(), s.value().to_vec());
            let good = SignedDigest { hash, digest, value: RawSignature::Ecdsa { r, s }, ..signed(&signer) };
            assert_eq!((good.verify(key), good.verify_by_library(key)), (Ok(()), true), "{hash:?}");
            for bad in crafted(&good) {
                let answers = (bad.verify(key), bad.verify_by_library(key));
                assert_eq!(answers, (Err(SignatureFault::Bad), false), "{bad:?}");
            }
        }
    }
}

fn crafted(good: &SignedDigest) -> Vec<SignedDigest> {
    let RawSignature::Ecdsa { r, s } = good.value.clone() else { panic!("ECDSA") };
    let none: [u8; 0] = [];
    let of = |r: &[u8], s: &[u8]| RawSignature::Ecdsa { r: r.to_vec(), s: s.to_vec() };
    let values = [
        of(&none, &s),
        of(&r, &none),
        of(&none, &none),
        of(&s, &r),
        of(&[1], &[1]),
        of(&vec![0xff; r.len()], &s),
        of(&r, &vec![0xff; s.len()]),
        of(&[&[1], &r[..]].concat(), &s),
        of(&[&r[..], &[0; 70]].concat(), &s),
    ];
    with_other_digest(good, values)
}

/// The good signature with each of these values, and with another digest.
fn with_other_digest(good: &SignedDigest, values: impl IntoIterator<Item = RawSignature>) -> Vec<SignedDigest> {
    let mut other = good.clone();
    other.digest[31] ^= 1;
    values.into_iter().map(|value| SignedDigest { value, ..good.clone() }).chain([other]).collect()
}

#[test]
fn rsa_is_the_same_by_another_library() {
    for bits in [2048, 2055, 3072] {
        let pair = Key4::<SecretParts, UnspecifiedRole>::generate_rsa(bits).expect("a key");
        let mut pair = Key::from(pair).into_keypair().expect("not encrypted");
        let signer = KeyPairSigner::new(pair.clone()).expect("accepted");
        let key = signer.public_key();
        let Material::Rsa { n, .. } = key.material() else { panic!("RSA") };
        for hash in HashAlgorithm::ALL.into_iter().filter(|hash| key.algorithm().takes_hash(*hash)) {
            let digest = hash.digest(&[b"data"]);
            let made = SequoiaSigner::sign(&mut pair, SequoiaHash::from(hash.id()), &digest).expect("signed");
            let mpi::Signature::RSA { s } = made else { panic!("RSA") };
            let s = s.value();
            let good = SignedDigest { hash, digest, value: RawSignature::Rsa(s.to_vec()), ..signed(&signer) };
            assert_eq!((good.verify(key), good.verify_by_library(key)), (Ok(()), true), "{bits} {hash:?}");
            let less_one = [&n[..n.len() - 1], &[n[n.len() - 1] - 1]].concat();
            let sum = add(&[&[0], &n[..]].concat(), s);
            let values = [&[][..], &[0], &[1], &less_one, n, &sum, &[s, &[0]].concat(), &s[1..], &vec![0xff; n.len()]];
            for bad in with_other_digest(&good, values.map(|value| RawSignature::Rsa(value.to_vec()))) {
                let answers = (bad.verify(key), bad.verify_by_library(key));
                assert_eq!(answers, (Err(SignatureFault::Bad), false), "{bits} {bad:?}");
            }
        }
    }
}

/// The debug output of a key or signer shows only public data.
#[test]
fn keys_and_signers_are_shown_by_their_fingerprint() {
    let signer = key_pair(Key4::generate_ed448().expect("a key"));
    let fingerprint = signer.public_key().fingerprint();
    assert_eq!(format!("{signer:?}"), format!("KeyPairSigner({fingerprint})"));
    assert_eq!(format!("{:?}", signer.public_key()), format!("PublicKey(Ed448 {fingerprint})"));
    assert_eq!(format!("{:?}", maker()), format!("Ed25519Signer({})", maker().public_key().fingerprint()));
}

#[test]
fn numbers_are_compared_by_value() {
    let ascending = [&[][..], &[0, 1], &[2], &[0, 0xff], &[1, 0], &[0, 1, 2], &[2, 1]];
    for (place, number) in ascending.iter().enumerate() {
        let less: Vec<bool> = ascending.iter().map(|other| is_less(other, number)).collect();
        assert_eq!(less, (0..ascending.len()).map(|other| other < place).collect::<Vec<_>>(), "{number:?}");
    }
    assert!(!is_less(&[0, 7], &[7]) && !is_less(&[7], &[0, 7]));
}

/// What a library might accept in the half of a composite signature that is not post-quantum is refused first.
#[test]
fn the_older_half_of_a_composite_signature_is_well_formed() {
    let well_formed =
        |algorithm, first: &[u8], rest: usize| composite_is_well_formed(algorithm, &[first, &vec![0; rest]].concat());
    let ed25519 = |first: &[u8]| well_formed(KeyAlgorithm::MlDsa65Ed25519, first, 3309 + 32);
    assert!(ed25519(&[2; 32]) && !ed25519(&[0xff; 32]));
    let ed448 = |r: u8, s: &[u8; 57]| well_formed(KeyAlgorithm::MlDsa87Ed448, &[&[r; 57][..], s].concat(), 4627);
    assert!(ed448(0, &[0; 57]) && !ed448(0xff, &[0; 57]) && !ed448(0, &ed448::L));
    assert!(!composite_is_well_formed(KeyAlgorithm::MlDsa87Ed448, &[0; 113]));
    let point = maker().public_key().ed25519_point().expect("Ed25519").to_vec();
    let material = [point, vec![0; 1952]].concat();
    let key = PublicKey::from_material(6, AT, KeyAlgorithm::MlDsa65Ed25519, &material).expect("a key");
    for (first, expected) in [(2, true), (0xff, false)] {
        let value = RawSignature::Composite(vec![first; 64 + 3309]);
        assert_eq!(SignedDigest { value, ..signed(&maker()) }.is_canonical(&key), expected);
    }
}

/// A signature that does not fit its key does not displace another in the batch.
#[test]
fn what_does_not_fit_leaves_the_batch_in_order() {
    let (maker, good) = (maker(), signed(&maker()));
    let other = crate::statement::fixtures::signer(9, 4);
    let bad = SignedDigest { digest: vec![7; 64], ..good.clone() };
    let items = [
        (&good, other.public_key()),
        (&bad, maker.public_key()),
        (&good, maker.public_key()),
        (&good, other.public_key()),
        (&good, maker.public_key()),
    ];
    let expected =
        [Err(SignatureFault::OtherKey), Err(SignatureFault::Bad), Ok(()), Err(SignatureFault::OtherKey), Ok(())];
    assert_eq!(verify_all(&items, [5; 32]), expected);
}
