//! Devices from a factory line: each introduced by one signed statement, with its names and attributes.

use core::ops::Range;
use std::collections::BTreeMap;

use ics_core::identity::Kind;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::Claims;
use ics_core::statement::make::certify;
use ics_core::vocabulary::{Act, Attribute};

use crate::Error;
use crate::home::{CREATED, Home};

/// Devices of one lot.
pub(crate) const LOT: usize = 1_000;

/// The name of a device: EUI-64 under an organisation's prefix (RFC 9039, 4.1).
pub(crate) fn urn(number: usize) -> String {
    format!("urn:dev:mac:0024be{number:010x}")
}

/// Its key, another one for each number.
pub(crate) fn key(number: usize) -> Result<PublicKey, Error> {
    let mut seed = [0x5a; 32];
    seed.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    Ok(Ed25519Signer::from_seed(&seed, 4, CREATED)?.public_key().clone())
}

/// Its fingerprint, as its id.
pub(crate) fn fingerprint(number: usize) -> Result<String, Error> {
    Ok(key(number)?.fingerprint().to_string())
}

fn introduce(home: &Home, number: usize) -> Result<Vec<u8>, Error> {
    let attributes = [
        (Attribute::Manufacturer, "ACME".to_owned()),
        (Attribute::Model, format!("TS-{}", number / 100_000)),
        (Attribute::Lot, format!("L{}", number / LOT)),
    ];
    let claims = Claims {
        names: vec![format!("serial:SN-{number:09}").parse()?],
        attributes: BTreeMap::from(attributes),
        ..Claims::new(Act::Identity, "manufacturer".parse()?, home.domain.clone())
    };
    let signer = home.signers.get(number % home.signers.len()).ok_or("no signers")?;
    Ok(certify(signer, &key(number)?, &urn(number), None, Kind::Device, &claims, false, CREATED, &[0; 32])?)
}

/// The statements that introduce devices, made on all cores, with the signers in turn.
pub(crate) fn introductions(home: &Home, numbers: Range<usize>) -> Result<Vec<Vec<u8>>, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Range { start, end } = numbers;
    let part = (end - start).div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let make = |from: usize| (from..end.min(from + part)).map(|number| introduce(home, number)).collect();
        let parts: Vec<_> = (start..end).step_by(part).map(|from| scope.spawn(move || make(from))).collect();
        let made = parts.into_iter().map(|part| part.join().map_err(|_| "a thread panicked")?);
        let made: Vec<Vec<Vec<u8>>> = made.collect::<Result<_, Error>>()?;
        Ok(made.into_iter().flatten().collect())
    })
}
