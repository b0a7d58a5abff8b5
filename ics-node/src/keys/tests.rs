use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::{Certificate, Purpose};
use ics_core::time::Timestamp;
use zeroize::Zeroizing;

use super::*;

const AT: Timestamp = Timestamp::from_seconds(1_795_162_200);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).expect("long enough")
}

fn name(text: &str) -> KeyName {
    text.parse().expect("a name")
}

/// A store with a key, and its passphrase.
fn stored() -> (tempfile::TempDir, KeyStore, Passphrase, StoredKey) {
    let home = tempfile::tempdir().expect("directory");
    let (store, secret) = (KeyStore::new(home.path()), passphrase("correct horse"));
    let made = store.make(&name("k"), "Somebody", Default::default(), &secret, AT).expect("made");
    (home, store, secret, made)
}

#[test]
fn made_stored_found_unlocked() {
    let home = tempfile::tempdir().expect("directory");
    let store = KeyStore::new(home.path());
    assert!(store.list().expect("no directory yet").is_empty());
    let secret = passphrase("correct horse");
    for (index, algorithm) in [
        (Algorithm::Ed25519, KeyVersion::V4),
        (Algorithm::Ed25519, KeyVersion::V6),
        (Algorithm::P256, KeyVersion::V4),
        (Algorithm::P256, KeyVersion::V6),
    ]
    .into_iter()
    .enumerate()
    {
        let made = store.make(&name(&format!("k{index}")), "Somebody", algorithm, &secret, AT).expect("made");
        let found = store.find(&made.fingerprint().to_string()).expect("found by fingerprint");
        assert_eq!(found.name(), made.name());
        assert_eq!(found.certificate_bytes(), made.certificate_bytes());
        assert_eq!(found.certificate().user_ids(), ["Somebody"]);
        assert_eq!(found.public_key().expect("accepted").created(), AT);
        let unlocked = found.unlock(&secret).expect("the passphrase fits");
        for purpose in [Purpose::Certify, Purpose::Sign] {
            let signer = unlocked.signer(purpose, AT).expect("one key does both");
            assert_eq!(signer.public_key().fingerprint(), made.fingerprint());
        }
        let is_node_key = unlocked.node_key().map(|key| key.public()).ok();
        assert_eq!(is_node_key, found.ed25519(), "Ed25519 keys, and only they, sign checkpoints");
        assert_eq!(is_node_key.is_some(), algorithm.0 == Algorithm::Ed25519);
    }
    let names: Vec<_> = store.list().expect("listed").iter().map(|key| key.name().to_string()).collect();
    assert_eq!(names, ["k0", "k1", "k2", "k3"]);
}

#[test]
fn files_are_private_encrypted_and_never_overwritten() {
    let (home, store, secret, made) = stored();
    let path = home.path().join("keys/k.asc");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(home.path().join("keys")).expect("metadata").permissions().mode() & 0o777, 0o700);
    let text = fs::read_to_string(&path).expect("armor");
    assert!(text.starts_with("-----BEGIN PGP PRIVATE KEY BLOCK-----"));
    let packets = transferable::packets(text.as_bytes()).expect("packets");
    assert!(!packets.iter().any(transferable::has_clear_secret));

    assert!(matches!(made.unlock(&passphrase("wrong horse")), Err(KeyError::WrongPassphrase(_))));
    let again = store.make(&name("k"), "Somebody else", Default::default(), &secret, AT);
    assert!(matches!(again.map(|_| ()), Err(KeyError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).expect("armor"), text);
}

#[test]
fn refuses_files_that_are_not_what_they_should_be() {
    let (home, store, _, made) = stored();
    let path = home.path().join("keys/k.asc");
    let write = |content: &str| {
        fs::write(&path, content).expect("written");
        store.find("k").map(|_| ()).expect_err("refused").to_string()
    };
    assert!(write("nothing").ends_with("it holds no OpenPGP secret key") || write("nothing").contains("k.asc"));
    assert!(write(&made.armored().expect("armor")).ends_with("it is a public key, without its secret"));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode");
    assert!(matches!(store.find("k").map(|_| ()), Err(KeyError::OpenToOthers(_))));
    assert!(matches!(store.find("other").map(|_| ()), Err(KeyError::Missing { .. })));
    assert!(matches!(store.find("../k").map(|_| ()), Err(KeyError::Name(_))));
}

#[test]
fn a_secret_in_the_clear_is_refused() {
    let (_home, _, _, made) = stored();
    let clear = secret::generate(Algorithm::Ed25519, KeyVersion::V4, AT).expect("made");
    let packets = vec![sequoia_openpgp::Packet::SecretKey(clear)];
    assert!(transferable::armor_secrets(&packets).is_err());
    assert!(made.armored().expect("armor").starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
}

fn import(home: &Path, content: &[u8], old: Option<&Passphrase>) -> Result<StoredKey, KeyError> {
    let path = home.join("import");
    fs::write(&path, content).expect("written");
    let source = ImportSource::read(&path)?;
    assert_eq!(source.is_encrypted(), old.is_some());
    KeyStore::new(home).import(&name("imported"), source, "Somebody", (old, &passphrase("correct horse")), AT)
}

/// A later state of a key's certificate with only a new self-signature, as written by a program that drops the former
/// ones.
fn later_state(key: &StoredKey, secret: &Passphrase) -> Vec<u8> {
    let unlocked = key.unlock(secret).expect("the passphrase fits");
    let later = AT.plus_millis(24 * 3_600_000);
    Certificate::make(unlocked.primary().expect("is here"), "Somebody", later, &[1; 32]).expect("made")
}

/// The import source for a file with this certificate.
fn public_source(home: &Path, certificate: &[u8]) -> ImportSource {
    let path = home.join("public.asc");
    fs::write(&path, armor_certificate(certificate).expect("armor")).expect("written");
    ImportSource::read(&path).expect("a certificate")
}

#[test]
fn what_is_new_about_a_key_is_added_to_its_file() {
    let (home, store, secret, made) = stored();
    let later = later_state(&made, &secret);
    let source = || public_source(home.path(), &later);
    let elsewhere = store.held(&name("other"), &source()).map(|_| ());
    assert!(matches!(elsewhere, Err(KeyError::HeldAs(held)) if held == "k"));
    let held = store.held(&name("k"), &source()).expect("read").expect("is here");
    assert!(!source().has_more_secrets(&held));
    let extended = store.extend(&held, source(), None).expect("written").expect("something new");
    assert!(extended.certificate().extends(made.certificate()));
    let found = store.find("k").expect("read");
    assert_eq!(found.certificate_bytes(), extended.certificate_bytes());
    assert!(found.unlock(&secret).is_ok(), "its secret is still there");
    assert!(store.extend(&found, source(), None).expect("read").is_none(), "nothing is new");
    let mode = fs::metadata(home.path().join("keys/k.asc")).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let nowhere = tempfile::tempdir().expect("directory");
    let store = KeyStore::new(nowhere.path());
    assert!(store.held(&name("k"), &source()).expect("read").is_none());
    let refused = store.import(&name("k"), source(), "Somebody", (None, &secret), AT).map(|_| ());
    assert!(refused.expect_err("refused").to_string().contains("it is a public key, without its secret"));
}

/// A revocation of a key with a signature that claims this issuer and this hash algorithm; nothing else of it is looked
/// at.
fn revocation(issuer: Fingerprint, hash: u8) -> Vec<u8> {
    let by = [&[22, 33, 4][..], issuer.as_bytes(), &[9, 16], &issuer.as_bytes()[12..]].concat();
    let hashed = [&[5, 0x82][..], &[0x6b, 0, 0, 0], &by].concat();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    // Version 4, key revocation, EdDSA; no unhashed subpackets, two numbers of one bit.
    let body = [&[4, 0x20, 22, hash, 0, length(&hashed)][..], &hashed, &[0, 0, 0, 0, 0, 1, 1, 0, 1, 1]].concat();
    [&[0xc2, length(&body)][..], &body].concat()
}

#[test]
fn a_key_that_should_be_revoked_and_is_not_is_no_unchanged_one() {
    let (home, store, secret, made) = stored();
    let (own, key) = (made.certificate_bytes(), made.public_key().expect("a key").to_packet().len());
    let with = |revocation: &[u8]| [&own[..key], revocation, &own[key..]].concat();
    let designated = public_source(home.path(), &with(&revocation(Fingerprint::V4([7; 20]), 10)));
    let refused = store.extend(&made, designated, None).map(|_| ()).expect_err("refused").to_string();
    assert!(refused.contains("NOT accepted") && refused.contains("designated revokers"), "{refused}");
    let path = home.path().join("weak.asc");
    let weak = with(&revocation(made.fingerprint(), 2));
    fs::write(&path, armor_certificate(&weak).expect("armor")).expect("written");
    let refused = ImportSource::read(&path).map(|_| ()).expect_err("refused").to_string();
    assert!(refused.contains("NOT accepted") && refused.contains("SHA-1"), "{refused}");
    let later = later_state(&made, &secret);
    let both = [&later[..key], &revocation(Fingerprint::V4([7; 20]), 10), &later[key..]].concat();
    let source = public_source(home.path(), &both);
    assert!(source.not_revoked(&made).expect("read").is_some(), "it is told beside what is new");
    assert!(store.extend(&made, source, None).expect("written").is_some());
}

#[test]
fn of_several_files_of_a_key_all_that_they_say_is_in_force() {
    let home = tempfile::tempdir().expect("directory");
    let (store, secret) = (KeyStore::new(home.path()), passphrase("correct horse"));
    let made = store.make(&name("a"), "Somebody", Default::default(), &secret, AT).expect("made");
    fs::copy(home.path().join("keys/a.asc"), home.path().join("keys/b.asc")).expect("copied");
    let second = store.find("b").expect("read");
    let source = public_source(home.path(), &later_state(&made, &secret));
    let extended = store.extend(&second, source, None).expect("written").expect("something new");
    let found = store.find(&made.fingerprint().to_string()).expect("found");
    assert_eq!(found.certificate_bytes(), extended.certificate_bytes());
    assert!(found.unlock(&secret).is_ok());
}

#[test]
fn imports_its_own_files_with_another_passphrase() {
    let (one, two) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
    let old = passphrase("old passphrase");
    let made = KeyStore::new(one.path()).make(&name("k"), "Somebody", Default::default(), &old, AT).expect("made");
    let content = fs::read(one.path().join("keys/k.asc")).expect("read");
    let wrong = import(two.path(), &content, Some(&passphrase("not the old one")));
    assert!(matches!(wrong.map(|_| ()), Err(KeyError::WrongPassphrase(_))));
    let imported = import(two.path(), &content, Some(&old)).expect("imported");
    assert_eq!(imported.certificate_bytes(), made.certificate_bytes());
    assert!(imported.unlock(&passphrase("correct horse")).is_ok());
}

#[test]
fn imports_pkcs8_with_the_fingerprint_of_the_bare_key() {
    for (pem, spki) in [(ED25519_PEM, ED25519_SPKI), (P256_PEM, P256_SPKI)] {
        let home = tempfile::tempdir().expect("directory");
        let imported = import(home.path(), pem.as_bytes(), None).expect("imported");
        let bare = ics_core::openpgp::key::PublicKey::from_spki_pem(spki).expect("a bare key");
        assert_eq!(imported.fingerprint(), bare.fingerprint());
        assert!(imported.unlock(&passphrase("correct horse")).is_ok());

        // It is stored once, under one name.
        let (store, source) =
            (KeyStore::new(home.path()), ImportSource::read(&home.path().join("import")).expect("a key"));
        let elsewhere = store.held(&name("other"), &source).map(|_| ());
        assert!(matches!(elsewhere, Err(KeyError::HeldAs(held)) if held == "imported"));
        assert!(store.held(&name("imported"), &source).expect("read").is_none(), "there is nothing to add");
    }
}

#[test]
fn imports_nothing_else() {
    let home = tempfile::tempdir().expect("directory");
    for (content, expected) in [
        ("-----BEGIN RSA PRIVATE KEY-----\n", "openssl pkcs8 -topk8 -nocrypt"),
        ("-----BEGIN EC PRIVATE KEY-----\n", "openssl pkcs8 -topk8 -nocrypt"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "openssl pkcs8 -in KEY -out PLAIN"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "give an OpenPGP secret key, or a PKCS#8 key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\n", "it holds no secret key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not Ed25519, P-256 or RSA"),
        ("nothing at all", "cannot import the file: it holds neither an OpenPGP key nor one in PKCS#8"),
        ("", "cannot import the file: it holds neither an OpenPGP key nor one in PKCS#8"),
    ] {
        let refusal = import(home.path(), content.as_bytes(), None).map(|_| ()).expect_err("refused").to_string();
        assert!(refusal.contains(expected), "{content:?} gave {refusal}");
    }
}

// Made for these tests only, with openssl genpkey.
const ED25519_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHdv9CHG+O96DEt6vsExnpxXEYudwBarJwhvLFMoww80
-----END PRIVATE KEY-----
";
const ED25519_SPKI: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAnu+Sz94Qo2S/GmfarT6xaDBoPU0Fm3g4+R/rMouBu4E=
-----END PUBLIC KEY-----
";
const P256_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg8Xmef41fxLomQqE2
v9gQeVaZX4shnUgWQ7837wRj3HmhRANCAATKpQR6oNP3ITyo5j39KYMTJ5V0h6S6
sG5xGuCfCyBhKhjXb5i1S5QbWWCb/MSWCmDRbMFPnR5PCHrpniGINYCh
-----END PRIVATE KEY-----
";
const P256_SPKI: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyqUEeqDT9yE8qOY9/SmDEyeVdIek
urBucRrgnwsgYSoY12+YtUuUG1lgm/zElgpg0WzBT50eTwh66Z4hiDWAoQ==
-----END PUBLIC KEY-----
";
