//! What we read and verify is what sequoia-openpgp reads and verifies.

use ics_core::identity::{Fingerprint, Kind};
use ics_core::openpgp::algorithm::HashAlgorithm;
use ics_core::openpgp::certificate::{Certificate, CertificateError, KeyRefusal, Purpose};
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{StatementId, make, verify};
use ics_core::time::Timestamp;
use sequoia_openpgp as pgp;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::packet::{Packet, UserID};
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto as _;
use sequoia_openpgp::types::{ReasonForRevocation, SignatureType};
use sha2::{Digest as _, Sha256};

use crate::common::{SALT, at, certificate, claims, created, device, ed25519, sample_claims, signers, unverified};

const USER_ID: &str = "urn:dev:os:32473-1";

/// The formula of the statement id, with sequoia's own values.
fn id_of(signature: &pgp::packet::Signature, digest: &[u8]) -> StatementId {
    let issuer = signature.issuer_fingerprints().next().expect("an issuer");
    let mut hash = Sha256::new();
    hash.update([signature.version(), signature.hash_algo().into()]);
    hash.update(issuer.as_bytes());
    hash.update(digest);
    StatementId(hash.finalize().into())
}

#[test]
fn device_statements_are_certifications_to_sequoia() {
    for signer in signers() {
        let bytes = Certificate::make(signer, "Acme <a@acme.example>", created(), &SALT).expect("made");
        let theirs = pgp::Cert::from_bytes(&bytes).expect("a certificate");
        assert_eq!(theirs.fingerprint().as_bytes(), signer.public_key().fingerprint().as_bytes());
        let statements = sample_claims().into_iter().filter(|(kind, _)| kind.has_key());
        for (number, (kind, claims)) in statements.enumerate() {
            let revokes = claims.revokes(kind).unwrap_or(false);
            // How a key is hashed depends on the version of the signature, not on its own.
            let device = ed25519(100, if number % 2 == 0 { 4 } else { 6 });
            let body = make::certify(signer, device.public_key(), USER_ID, None, kind, &claims, revokes, at(), &SALT);
            let body = body.expect("made");
            let cert = pgp::Cert::from_bytes(&body).expect("a certificate");
            assert_eq!(cert.to_vec().expect("serialized"), body, "sequoia writes it the same");
            let user_id = cert.userids().next().expect("a User ID");
            let signature = user_id.signatures().chain(user_id.other_revocations()).next().expect("a signature");
            signature
                .verify_signature(theirs.primary_key().key())
                .unwrap_or_else(|error| panic!("{claims:?}: {error}"));
            let digest = signature.computed_digest().expect("computed");
            assert_eq!(unverified(&body).id(), id_of(signature, digest));
        }
    }
}

#[test]
fn sequoia_agrees_on_hundreds_of_statements_good_and_bad() {
    let signer = ed25519(1, 4);
    let ours = certificate(&signer);
    let Ok(Packet::PublicKey(theirs)) = Packet::from_bytes(&signer.public_key().to_packet()) else { panic!("a key") };
    let device = device(1);
    for number in 0..400_u64 {
        let at = at().plus_millis(number * 1000);
        let claims = claims(ics_core::vocabulary::Act::Approval);
        let mut body =
            make::certify(&signer, device.public_key(), USER_ID, None, Kind::Device, &claims, false, at, &SALT)
                .expect("made");
        if number % 4 == 0 {
            let place = body.len() - 1 - (number as usize % 60);
            body[place] ^= 1 << (number % 8);
        }
        let cert = pgp::Cert::from_bytes(&body);
        let good = cert.is_ok_and(|cert| {
            let signatures: Vec<_> =
                cert.userids().flat_map(|user_id| user_id.signatures().cloned().collect::<Vec<_>>()).collect();
            signatures.iter().any(|signature| signature.verify_signature(&theirs).is_ok())
        });
        let taken = match ics_core::statement::parse(&body) {
            Ok(ics_core::statement::Body::Statement(statement)) => verify(*statement, &ours, at).is_ok(),
            _ => false,
        };
        assert_eq!(taken, good, "statement {number}");
        assert_eq!(good, number % 4 != 0, "statement {number}");
    }
}

#[test]
fn certificates_are_valid_to_sequoia() {
    let policy = StandardPolicy::new();
    for signer in signers() {
        let bytes = Certificate::make(signer, "Acme <a@acme.example>", created(), &SALT).expect("made");
        let cert = pgp::Cert::from_bytes(&bytes).expect("a certificate");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at().as_seconds());
        let valid = cert.with_policy(&policy, Some(time)).expect("valid");
        assert!(valid.primary_key().for_certification() && valid.primary_key().for_signing());
        assert_eq!(valid.userids().count(), 1);
    }
}

/// Certificates as sequoia makes them, with a signing and an encryption subkey, in our form.
#[test]
fn sequoias_certificates_are_taken() {
    for profile in [pgp::Profile::RFC4880, pgp::Profile::RFC9580] {
        for suite in [CipherSuite::Cv25519, CipherSuite::P256] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(created().as_seconds());
            let (cert, _) = CertBuilder::new()
                .set_profile(profile)
                .expect("a profile")
                .set_cipher_suite(suite)
                .set_creation_time(time)
                .add_userid("Acme <a@acme.example>")
                .add_signing_subkey()
                .add_transport_encryption_subkey()
                .generate()
                .expect("generated");
            let split = ics_core::statement::split(&cert.to_vec().expect("serialized")).expect("a certificate");
            assert_eq!((split.bodies.len(), split.left_out.len(), &split.refused[..]), (1, 0, &[][..]));
            let ours = Certificate::parse(&split.bodies[0]).expect("accepted");
            assert_eq!(ours.primary().as_bytes(), cert.fingerprint().as_bytes());
            assert_eq!(ours.keys().count(), 2);
            let policy = StandardPolicy::new();
            let valid = cert.with_policy(&policy, Some(time)).expect("valid");
            for key in valid.keys() {
                let fingerprint = Fingerprint::from_bytes(key.key().fingerprint().as_bytes()).expect("a fingerprint");
                for (purpose, may) in [(Purpose::Sign, key.for_signing()), (Purpose::Certify, key.for_certification())]
                {
                    assert_eq!(ours.key_for(&fingerprint, purpose, at()).is_ok(), may, "{purpose}");
                }
            }
        }
    }
}

/// What a program sends that keeps only the newest self-signature of a component, as gpg does when it cleans; in our form.
fn forgetful(cert: &pgp::Cert) -> Vec<u8> {
    let primary = cert.primary_key();
    let mut packets = vec![Packet::from(primary.key().clone())];
    packets.extend(primary.self_revocations().cloned().map(Packet::from));
    packets.extend(primary.self_signatures().take(1).cloned().map(Packet::from));
    for user_id in cert.userids() {
        packets.push(user_id.userid().clone().into());
        packets.extend(user_id.self_signatures().take(1).cloned().map(Packet::from));
    }
    let bytes: Vec<u8> = packets.iter().flat_map(|packet| packet.to_vec().expect("serialized")).collect();
    let mut split = ics_core::statement::split(&bytes).expect("a certificate");
    assert_eq!((split.bodies.len(), &split.refused[..]), (1, &[][..]));
    split.bodies.swap_remove(0)
}

/// A holder who extends or revokes a key with a program that drops former self-signatures sends a state without them.
#[test]
fn states_without_former_self_signatures_are_put_together() {
    const YEAR: u64 = 365 * 24 * 3600;
    let years = |count: u64| std::time::Duration::from_secs(count * YEAR);
    for profile in [pgp::Profile::RFC4880, pgp::Profile::RFC9580] {
        let builder = CertBuilder::new().set_profile(profile).expect("a profile").set_validity_period(years(1));
        let (cert, _) = builder.add_userid("Acme <a@acme.example>").generate().expect("generated");
        let key = cert.primary_key().key().clone();
        let (made, expires) = (key.creation_time(), key.creation_time() + years(10));
        let mut signer = key.parts_into_secret().expect("a secret").into_keypair().expect("not encrypted");
        let longer = cert.set_expiration_time(&StandardPolicy::new(), None, &mut signer, Some(expires));
        let (extended, _) = cert.clone().insert_packets(longer.expect("signed")).expect("inserted");
        let revocation = extended.revoke(&mut signer, ReasonForRevocation::KeyRetired, b"").expect("signed");
        let (revoked, _) = extended.clone().insert_packets([revocation]).expect("inserted");

        let made = made.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        let later = Timestamp::from_seconds(made + 5 * YEAR);
        let mut held = forgetful(&cert);
        let primary = Certificate::parse(&held).expect("accepted").primary();
        let refusals = [Some(KeyRefusal::Expired(primary)), None, Some(KeyRefusal::Revoked(primary))];
        let may = |body: &[u8]| {
            let certificate = Certificate::parse(body).expect("accepted");
            certificate.key_for(&primary, Purpose::Certify, later).map(drop).err()
        };
        assert_eq!(may(&held), refusals[0]);
        for (state, refusal) in [&extended, &revoked].into_iter().zip(&refusals[1..]) {
            let sent = forgetful(state);
            let [before, newer] = [&held, &sent].map(|body| Certificate::parse(body).expect("accepted"));
            assert!(!newer.extends(&before), "it lacks what was there");
            let united = Certificate::union(&held, &sent).expect("of one key");
            let whole = Certificate::parse(&united).expect("accepted");
            assert!(whole.extends(&before) && whole.covers(&newer));
            assert_eq!(&may(&united), refusal);
            for again in [&held, &sent, &united] {
                assert_eq!(Certificate::union(&united, again).as_ref(), Ok(&united), "all of it is there");
            }
            held = united;
        }
        let other = Certificate::make(&ed25519(1, 4), "Acme <a@acme.example>", created(), &SALT).expect("made");
        assert_eq!(Certificate::union(&held, &other), Err(CertificateError::Foreign(primary)));
    }
}

#[test]
fn fingerprints_of_keys() {
    for signer in signers() {
        let key = signer.public_key();
        let Ok(Packet::PublicKey(theirs)) = Packet::from_bytes(&key.to_packet()) else { panic!("a key") };
        assert_eq!(theirs.fingerprint().as_bytes(), key.fingerprint().as_bytes());
        assert_eq!(PublicKey::from_packet(&key.to_packet()).as_ref(), Ok(key));
        if let Some(der) = key.to_spki_der() {
            let bare = PublicKey::from_spki_der(&der).expect("accepted");
            assert_eq!(bare.spki_sha256(), key.spki_sha256());
        }
    }
}

/// Certifications that sequoia makes with every hash: ours where the hash counts, refused by name where it does not.
#[test]
fn every_hash() {
    use sequoia_openpgp::types::HashAlgorithm as Theirs;
    let (signer, holder) = (signing_key(), device(1));
    let Ok(Packet::PublicKey(key)) = Packet::from_bytes(&holder.public_key().to_packet()) else { panic!("a key") };
    let user_id = UserID::from(USER_ID);
    for hash in [
        Theirs::SHA1,
        Theirs::SHA224,
        Theirs::SHA256,
        Theirs::SHA384,
        Theirs::SHA512,
        Theirs::SHA3_256,
        Theirs::SHA3_512,
    ] {
        let mut builder = SignatureBuilder::new(SignatureType::GenericCertification).set_hash_algo(hash);
        for (name, value) in
            [("act", "approval"), ("kind", "device"), ("role", "owner"), ("domain", "devices.acme.example")]
        {
            let flags = pgp::packet::signature::subpacket::NotationDataFlags::empty().set_human_readable();
            builder = builder.add_notation(format!("{name}@cm4it.example"), value, flags, false).expect("a notation");
        }
        let signature = builder.sign_userid_binding(&mut signer.clone(), Some(&key), &user_id);
        let Ok(signature) = signature else {
            assert!(HashAlgorithm::from_id(hash.into()).is_none(), "{hash}");
            continue;
        };
        let packets = [Packet::PublicKey(key.clone()), user_id.clone().into(), signature.into()];
        let bytes: Vec<u8> = packets.iter().flat_map(|packet| packet.to_vec().expect("serialized")).collect();
        match (ics_core::statement::split(&bytes), HashAlgorithm::from_id(hash.into())) {
            (Ok(split), Some(_)) => assert_eq!(unverified(&split.bodies[0]).claims().role.as_str(), "owner"),
            (Err(error), None) => assert!(error.to_string().contains("are not accepted"), "{hash}: {error}"),
            (result, _) => panic!("{hash}: {result:?}"),
        }
    }
}

fn signing_key() -> pgp::crypto::KeyPair {
    let key: pgp::packet::Key<_, pgp::packet::key::UnspecifiedRole> =
        pgp::packet::key::Key4::generate_ecc(true, pgp::types::Curve::Ed25519).expect("a key").into();
    key.into_keypair().expect("not encrypted")
}
