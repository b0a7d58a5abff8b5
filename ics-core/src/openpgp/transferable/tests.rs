use super::*;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::signature::{Draft, Over};
use crate::openpgp::signer::{Ed25519Signer, Signer as _};
use crate::statement::{openpgp_view, split};

fn certificate(seed: u8, version: u8) -> Vec<u8> {
    let signer = Ed25519Signer::from_seed(&[seed; 32], version, Timestamp::from_seconds(1)).expect("a key");
    Certificate::make(&signer, "Acme <a@acme.example>", Timestamp::from_seconds(2), &[0; 32]).expect("made")
}

#[test]
fn a_certificate_is_described() {
    for (version, algorithm) in [(4, 22), (6, 27)] {
        let bytes = certificate(1, version);
        let whole = Transferable::of(&[&bytes], None).expect("a key");
        assert_eq!(whole.to_bytes(), bytes);
        let Description { key, user_ids, subkeys } = whole.describe();
        assert_eq!((key.algorithm, key.bits, key.created), (algorithm, 255, Timestamp::from_seconds(1)));
        assert_eq!((key.expires, key.is_revoked, subkeys), (None, false, Vec::new()));
        let user_id = UserIdDescription {
            text: "Acme <a@acme.example>".to_owned(),
            created: Some(Timestamp::from_seconds(2)),
            expires: None,
            is_revoked: false,
        };
        assert_eq!(user_ids, [user_id]);
    }
}

#[test]
fn bodies_about_one_key_become_one_and_others_stay_out() {
    let (one, other) = (certificate(1, 4), certificate(2, 4));
    let whole = Transferable::of(&[&one, &other, &one], None).expect("a key");
    assert_eq!(whole.to_bytes(), one);
    assert_eq!(openpgp_view(&[&one, &other], 4), [one.clone(), other.clone()].concat());
    assert_eq!(split(&whole.to_bytes()).expect("legal").bodies, [one]);
}

#[test]
fn a_client_of_version_4_sees_nothing_of_version_6() {
    let (four, six) = (certificate(1, 4), certificate(1, 6));
    assert!(Transferable::of(&[&six], Some(4)).is_none());
    assert_eq!(Transferable::of(&[&six, &four], Some(4)).expect("a key").to_bytes(), four);
}

/// A key made at second 1, to which signatures are added.
struct Making {
    signer: Ed25519Signer,
    bytes: Vec<u8>,
}

/// A signature of a type at a second, with subpackets that hold seconds.
type Said = (u8, u64, &'static [(u8, u32)]);

impl Making {
    fn new() -> Self {
        let signer = key(1);
        let bytes = signer.public_key().to_packet();
        Self { signer, bytes }
    }

    fn says(mut self, by: &Ed25519Signer, over: Over<'_>, all: &[Said]) -> Self {
        for (kind, at, subpackets) in all {
            let draft = Draft::new(*kind, by, Timestamp::from_seconds(*at));
            let draft = subpackets.iter().fold(draft, |draft, (tag, value)| draft.with(*tag, &value.to_be_bytes()));
            sig::write_packet(&mut self.bytes, &draft.sign(by, over, &[0; 32]).expect("signed"));
        }
        self
    }

    fn direct(self, all: &[Said]) -> Self {
        let by = key(1);
        self.says(&by, Over::Key(by.public_key().body()), all)
    }

    fn user_id(mut self, by: &Ed25519Signer, all: &[Said]) -> Self {
        packet::write(&mut self.bytes, packet::USER_ID, b"Acme");
        let key = key(1);
        self.says(by, Over::UserId { key: key.public_key().body(), user_id: b"Acme" }, all)
    }

    fn subkey(mut self, all: &[Said]) -> Self {
        let (by, subkey) = (key(1), key(2));
        packet::write(&mut self.bytes, packet::PUBLIC_SUBKEY, subkey.public_key().body());
        self.says(&by, Over::Subkey { key: by.public_key().body(), subkey: subkey.public_key().body() }, all)
    }

    fn describe(&self) -> Description {
        let whole = Transferable::of(&[&self.bytes], None).expect("a key");
        assert_eq!(whole.fingerprint(), self.signer.public_key().fingerprint());
        assert_eq!(whole.to_bytes(), self.bytes);
        whole.describe()
    }
}

fn key(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, Timestamp::from_seconds(1)).expect("a key")
}

fn at(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp::from_seconds(seconds))
}

const CERTIFIED: Said = (POSITIVE_CERTIFICATION, 10, &[]);

#[test]
fn a_key_expires_as_it_says_itself_and_else_as_its_user_ids_say() {
    let expires = |making: Making| making.describe().key.expires;
    let own = key(1);
    assert_eq!(expires(Making::new().user_id(&own, &[(CERTIFICATION, 10, &[(sub::KEY_EXPIRATION, 500)])])), at(501));
    let direct = || Making::new().direct(&[(DIRECT_KEY, 20, &[(sub::KEY_EXPIRATION, 700)])]);
    assert_eq!(expires(direct().user_id(&own, &[(CERTIFICATION, 10, &[(sub::KEY_EXPIRATION, 500)])])), at(701));
    assert_eq!(expires(direct().user_id(&own, &[(CERTIFICATION, 30, &[(sub::KEY_EXPIRATION, 500)])])), at(701));
    // What GnuPG writes to name a designated revoker does not affect the expiration.
    let revoker = || Making::new().direct(&[(DIRECT_KEY, 20, &[])]);
    let short: Said = (CERTIFICATION, 10, &[(sub::KEY_EXPIRATION, 500)]);
    assert_eq!(expires(revoker().user_id(&own, &[short])), at(501));
    assert_eq!(expires(revoker().user_id(&own, &[short, (CERTIFICATION, 30, &[(sub::KEY_EXPIRATION, 0)])])), None);
    assert_eq!(expires(revoker().user_id(&own, &[short, (CERTIFICATION, 30, &[])])), None);
    assert_eq!(expires(direct().direct(&[(DIRECT_KEY, 25, &[])])), None);
    assert_eq!(expires(revoker().user_id(&own, &[short, (CERTIFICATION_REVOCATION, 30, &[])])), None);
    // Neither a revocation nor what others say is a binding.
    assert_eq!(expires(direct().user_id(&own, &[(CERTIFICATION_REVOCATION, 30, &[])])), at(701));
    assert_eq!(expires(direct().user_id(&key(2), &[(CERTIFICATION, 30, &[])])), at(701));
    let revoked = direct().direct(&[(KEY_REVOCATION, 30, &[])]);
    assert_eq!(expires(revoked), at(701));
}

#[test]
fn a_key_is_revoked_by_its_holder() {
    let is_revoked = |making: Making| making.user_id(&key(1), &[CERTIFIED]).describe().key.is_revoked;
    assert!(is_revoked(Making::new().direct(&[(KEY_REVOCATION, 30, &[])])));
    assert!(!is_revoked(Making::new().direct(&[(DIRECT_KEY, 30, &[])])));
    let own = key(1);
    let by_another = Making::new().says(&key(2), Over::Key(own.public_key().body()), &[(KEY_REVOCATION, 30, &[])]);
    assert!(!is_revoked(by_another));
}

#[test]
fn a_user_id_is_what_its_newest_certification_says() {
    let described = |by: &Ed25519Signer, all: &[Said]| {
        let UserIdDescription { text, created, expires, is_revoked } =
            Making::new().user_id(by, all).describe().user_ids.remove(0);
        assert_eq!(text, "Acme");
        (created, expires, is_revoked)
    };
    let own = key(1);
    let later: Said = (CERTIFICATION, 20, &[(sub::SIGNATURE_EXPIRATION, 100)]);
    assert_eq!(described(&own, &[CERTIFIED]), (at(10), None, false));
    assert_eq!(described(&own, &[later, CERTIFIED]), (at(20), at(120), false));
    assert_eq!(described(&own, &[(CERTIFICATION, 20, &[(sub::SIGNATURE_EXPIRATION, 0)])]), (at(20), None, false));
    assert_eq!(described(&own, &[CERTIFIED, (CERTIFICATION_REVOCATION, 10, &[])]), (at(10), None, true));
    assert_eq!(described(&own, &[CERTIFIED, (CERTIFICATION_REVOCATION, 9, &[])]), (at(10), None, false));
    assert_eq!(described(&own, &[(CERTIFICATION_REVOCATION, 9, &[])]), (None, None, true));
    assert_eq!(described(&key(2), &[CERTIFIED]), (None, None, false), "others do not speak for its holder");
}

#[test]
fn a_subkey_is_what_its_bindings_say() {
    let described = |all: &[Said]| {
        let subkey = Making::new().user_id(&key(1), &[CERTIFIED]).subkey(all).describe().subkeys.remove(0);
        assert_eq!(subkey.fingerprint, key(2).public_key().fingerprint());
        (subkey.expires, subkey.is_revoked)
    };
    let binding: Said = (SUBKEY_BINDING, 10, &[(sub::KEY_EXPIRATION, 300)]);
    assert_eq!(described(&[(SUBKEY_BINDING, 10, &[])]), (None, false));
    assert_eq!(described(&[binding]), (at(301), false));
    assert_eq!(described(&[binding, (SUBKEY_REVOCATION, 30, &[])]), (at(301), true));
}

#[test]
fn a_body_with_anything_that_a_client_cannot_read_is_left_out() {
    let four = Making::new().user_id(&key(1), &[CERTIFIED]);
    let mut with_six = four.bytes.clone();
    let six = Ed25519Signer::from_seed(&[3; 32], 6, Timestamp::from_seconds(1)).expect("a key");
    packet::write(&mut with_six, packet::PUBLIC_SUBKEY, six.public_key().body());
    assert!(Transferable::of(&[&with_six], Some(4)).is_none());
    assert_eq!(Transferable::of(&[&with_six, &four.bytes], Some(4)).expect("a key").to_bytes(), four.bytes);
    assert_eq!(Transferable::of(&[&with_six], None).expect("a key").to_bytes(), with_six);
    let mut user_id = Vec::new();
    packet::write(&mut user_id, packet::USER_ID, b"Acme");
    for none in [&user_id[..], &[], &[0x80], &[&user_id[..], &four.bytes].concat()] {
        assert!(Transferable::of(&[none], None).is_none(), "{none:?}");
    }
}

/// RFC 9580, 9.1 and 9.2.
#[test]
fn keys_are_as_large_as_their_modulus_or_their_curve() {
    let number = |bits: u16| [&bits.to_be_bytes()[..], &vec![0x80; usize::from(bits / 8)]].concat();
    let curve = |oid: &str| {
        let oid = data_encoding::HEXLOWER.decode(oid.as_bytes()).expect("hex");
        [&[u8::try_from(oid.len()).expect("short")], &oid[..]].concat()
    };
    let table = [
        (1, number(2048), 2048),
        (2, number(3072), 3072),
        (3, number(4096), 4096),
        (16, number(1024), 1024),
        (17, number(1024), 1024),
        (20, number(2048), 2048),
        (19, curve("2a8648ce3d030107"), 256),
        (18, curve("2b81040022"), 384),
        (19, curve("2b81040023"), 521),
        (18, curve("2b2403030208010107"), 256),
        (19, curve("2b240303020801010b"), 384),
        (19, curve("2b240303020801010d"), 512),
        (22, curve("2b06010401da470f01"), 255),
        (18, curve("2b060104019755010501"), 255),
        (19, curve("2b8104000a"), 0),
        (25, vec![9; 32], 255),
        (26, vec![9; 56], 448),
        (27, vec![9; 32], 255),
        (28, vec![9; 57], 448),
        (30, vec![9; 32], 0),
        (99, Vec::new(), 0),
    ];
    for (algorithm, material, bits) in table {
        let length = u32::try_from(material.len()).expect("short").to_be_bytes();
        for (version, length) in [(4, &[][..]), (6, &length)] {
            let body = [&[version, 0, 0, 0, 1, algorithm][..], length, &material].concat();
            assert_eq!(size(&body), Some((algorithm, bits)), "version {version}");
        }
    }
    for cut in [
        &[][..],
        &[4, 0, 0],
        &[4, 0, 0, 0, 1],
        &[4, 0, 0, 0, 1, 1],
        &[4, 0, 0, 0, 1, 19, 5, 1],
        &[6, 0, 0, 0, 1, 27, 0],
    ] {
        assert_eq!(size(cut), None, "{cut:?}");
    }
}
