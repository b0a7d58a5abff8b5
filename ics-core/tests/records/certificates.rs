//! Which certificates a domain admits, and with which code it refuses the rest.

use ics_core::domain::{Domain, Refusal};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::record::SourceRef;

use crate::replay::Replayed;
use crate::story::{BUYER, INTEGRATOR, MAKER, OWNER, fingerprint, manufacturer, plant, signer, time};

fn made(seed: u8, user_id: &str, seconds: u64) -> Vec<u8> {
    Certificate::make(&signer(seed), user_id, time(seconds), &[9; 32]).expect("a certificate")
}

fn certificate(bytes: &[u8]) -> Certificate {
    Certificate::parse(bytes).expect("a certificate")
}

fn check(domain: &Domain, certificate: &Certificate) -> Result<(), Refusal> {
    domain.check_certificate(certificate, &[], &[])
}

/// The plant's domain with nothing in it but its descriptor.
fn founded() -> Domain {
    let plant = plant(&manufacturer());
    Replayed::found(&plant.entries[0]).domain
}

#[test]
fn of_those_whom_the_descriptor_or_a_grant_names() {
    let domain = founded();
    assert_eq!(check(&domain, &certificate(&made(INTEGRATOR, "Integrator", 1))), Ok(()));
    let stranger = check(&domain, &certificate(&made(77, "Stranger", 1)));
    assert_eq!(stranger, Err(Refusal::CertificateNotNamed(fingerprint(77))));
    let buyer = certificate(&made(BUYER, "Buyer Ltd", 1));
    assert_eq!(check(&domain, &buyer), Err(Refusal::CertificateNotNamed(fingerprint(BUYER))));
    // An owner is named, but holds no role for which the access rules ask.
    let owner = check(&domain, &certificate(&made(OWNER, "Owner", 1)));
    assert_eq!(owner, Err(Refusal::NotPermitted { said: None, rules: Vec::new(), errors: Vec::new() }));
    // The buyer's came in after the grant to the buyer.
    let plant = plant(&manufacturer());
    for (order, outcome) in [([11, 12], Ok(())), ([12, 11], Err("certificate-not-named"))] {
        let mut replayed = Replayed::found(&plant.entries[0]);
        for entry in &plant.entries[1..11] {
            assert_eq!(replayed.take(entry), Ok(()));
        }
        let taken = order.map(|index| replayed.take(&plant.entries[index]).map_err(|refusal| refusal.code()));
        assert_eq!(taken[usize::from(order[0] == 11)], outcome);
    }
}

#[test]
fn only_from_pinned_sources() {
    let domain = founded();
    let maker = certificate(&made(MAKER, "Acme Pumps", 1));
    let way = [SourceRef { domain: "else.example".parse().expect("a domain"), entry0: [0; 32], index: 1 }];
    let refusal = domain.check_certificate(&maker, &way, &[]);
    assert_eq!(refusal, Err(Refusal::UnknownSource("else.example".parse().expect("a domain"))));
}

#[test]
fn a_later_state_takes_the_place_of_an_earlier_one_only_with_all_that_it_had() {
    let mut domain = founded();
    let (first, second) = (made(INTEGRATOR, "Integrator", 1), made(INTEGRATOR, "Integrator", 2));
    domain.take_certificate(1, certificate(&first));
    assert_eq!(check(&domain, &certificate(&first)), Err(Refusal::Duplicate(1)));
    let shrunk = check(&domain, &certificate(&second));
    assert_eq!(shrunk, Err(Refusal::CertificateShrinks(fingerprint(INTEGRATOR))));
    // Key and User ID are the same bytes; behind them stands the self-signature.
    let common = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
    let signature =
        (0..common).rev().find(|start| Certificate::parse(&[&first[..], &second[*start..]].concat()).is_ok());
    let both = certificate(&[&first[..], &second[signature.expect("a boundary")..]].concat());
    assert!(check(&domain, &both).is_ok());
    domain.take_certificate(2, both);
    assert_eq!(domain.certificate(&fingerprint(INTEGRATOR)).map(|(index, _)| index), Some(2));
    assert_eq!(domain.certificate_states(&fingerprint(INTEGRATOR)).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(domain.certificate_states(&fingerprint(MAKER)).count(), 0);
    assert_eq!(check(&domain, &certificate(&first)), Err(Refusal::CertificateShrinks(fingerprint(INTEGRATOR))));
}

#[test]
fn within_the_limit_of_the_domain() {
    let plant = plant(&manufacturer());
    let domain = Replayed::found(&plant.entries[0]).domain;
    let mut descriptor = domain.descriptor().clone();
    let integrator = certificate(&made(INTEGRATOR, "Integrator", 1));
    for (limit, fits) in [(integrator.bytes(), true), (integrator.bytes() - 1, false)] {
        descriptor.limits.certificate_bytes = Some(limit);
        let domain = Domain::found([0; 32], descriptor.clone(), time(0)).expect("access rules");
        let too_long = Err(Refusal::CertificateTooLong { length: integrator.bytes(), limit });
        assert_eq!(check(&domain, &integrator), if fits { check(&founded(), &integrator) } else { too_long });
    }
}

#[test]
fn signers_are_found_by_any_key_and_unknown_ones_are_refused() {
    let mut domain = founded();
    domain.take_certificate(1, certificate(&made(INTEGRATOR, "Integrator", 1)));
    let key = fingerprint(INTEGRATOR);
    assert_eq!(domain.signer(&key).map(Certificate::primary), Ok(key));
    assert_eq!(domain.name_of(&key).as_deref(), Some("Integrator"));
    assert_eq!(domain.signer(&fingerprint(MAKER)), Err(Refusal::UnknownSigner(fingerprint(MAKER))));
    let version_6 = Ed25519Signer::from_seed(&[INTEGRATOR; 32], 6, time(0)).expect("a key");
    assert!(domain.signer(&version_6.public_key().fingerprint()).is_err());
}
