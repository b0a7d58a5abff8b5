use super::*;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::signer::Ed25519Signer;
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
