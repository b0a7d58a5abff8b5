//! Keys and bodies used by the tests of reading.

use super::{Body, Claims, Unverified, make, parse};
use crate::identity::Kind;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::packet::{self, Packet};
use crate::openpgp::signature::{Draft, Over};
use crate::openpgp::signer::{Ed25519Signer, Signer};
use crate::time::Timestamp;
use crate::vocabulary::Act;

pub(crate) const SALT: [u8; 32] = [9; 32];
pub(crate) const USER_ID: &str = "urn:dev:os:32473-1";

/// When keys are created.
pub(crate) fn created() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600)
}

/// When things are signed: some time later.
pub(crate) fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_162_200)
}

pub(crate) fn signer(seed: u8, version: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], version, created()).expect("a key")
}

pub(crate) fn maker() -> Ed25519Signer {
    signer(1, 4)
}

pub(crate) fn device() -> Ed25519Signer {
    signer(101, 4)
}

pub(crate) fn certificate_of(signer: &dyn Signer) -> Certificate {
    let bytes = Certificate::make(signer, "Acme <signer@acme.example>", created(), &SALT).expect("made");
    Certificate::parse(&bytes).expect("accepted")
}

pub(crate) fn claims(act: Act) -> Claims {
    Claims::new(act, "manufacturer".parse().expect("a role"), "devices.acme.example".parse().expect("a domain"))
}

/// The maker introduces the device.
pub(crate) fn statement() -> Vec<u8> {
    let (maker, device) = (maker(), device());
    make::certify(&maker, device.public_key(), USER_ID, None, Kind::Device, &claims(Act::Identity), false, at(), &SALT)
        .expect("made")
}

pub(crate) fn unverified(body: &[u8]) -> Unverified {
    match parse(body) {
        Ok(Body::Statement(statement)) => *statement,
        other => panic!("not a statement: {other:?}"),
    }
}

/// A certification of the device by the maker, made from any draft, as the content of a Signature packet.
pub(crate) fn certification(draft: Draft, signer: &dyn Signer) -> Vec<u8> {
    let (device, user_id) = (device(), USER_ID.as_bytes());
    let key = device.public_key();
    draft.sign(signer, Over::UserId { key: key.body(), user_id }, &SALT).expect("signed")
}

/// The device, its User ID, and packets.
pub(crate) fn about_device(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = device().public_key().to_packet();
    packet::write(&mut body, packet::USER_ID, USER_ID.as_bytes());
    packets.iter().for_each(|(tag, content)| packet::write(&mut body, *tag, content));
    body
}

/// Concatenated packets.
pub(crate) fn join(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet::write(&mut bytes, packet.tag, packet.body));
    bytes
}
