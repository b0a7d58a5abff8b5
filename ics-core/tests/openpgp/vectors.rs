//! `schemas/vectors/statements.json`: keys, bodies, ids, claims and refusals that any implementation can check itself
//! against. The test makes them anew and compares; `ICS_UPDATE_VECTORS=1` writes them.

use std::path::PathBuf;

use ics_core::canonical_json;
use ics_core::identity::Kind;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{Body, Claims, Erasure, StatementId, detached, make, parse, split, verify};
use ics_core::vocabulary::{Act, Effect};
use serde_json::{Value, json};

use crate::common::{SALT, at, certificate, claims, created, device, ed25519, sample_claims, subject, unverified};

const USER_ID: &str = "urn:dev:os:32473-1";

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors/statements.json")
}

/// What a body says, by the reader that is tested.
fn described(name: &str, body: &[u8]) -> Value {
    let mut entry = json!({"name": name, "body": base64(body)});
    let more = match parse(body) {
        Ok(Body::Statement(statement)) => json!({
            "is": "statement",
            "id": statement.id(),
            "identity": statement.identity(),
            "issuer": statement.issuer(),
            "kind": statement.subject().kind(),
            "signed_at": statement.signed_at(),
            "revokes": statement.revokes(),
            "names": statement.names(),
            "claims": statement.claims(),
        }),
        Ok(Body::Certificate(certificate)) => json!({
            "is": "certificate",
            "id": certificate.id(),
            "primary": certificate.primary(),
            "user_ids": certificate.user_ids(),
            "keys": certificate.keys().collect::<Vec<_>>(),
        }),
        Ok(Body::Certification(certification)) => json!({
            "is": "certification",
            "id": certification.id(),
            "target": certification.target(),
            "issuer_key_id": data_encoding::HEXLOWER.encode(&certification.issuer().key_id()),
        }),
        Ok(Body::Descriptor(descriptor)) => json!({
            "is": "descriptor",
            "id": descriptor.id(),
            "issuers": descriptor.issuers().collect::<Vec<_>>(),
        }),
        Ok(Body::Erasure(erasure)) => json!({
            "is": "erasure",
            "id": erasure.id(),
            "issuers": erasure.issuers().collect::<Vec<_>>(),
            "erasure": erasure.erasure,
        }),
        Err(error) => json!({"is": "refused", "why": error.to_string()}),
    };
    entry.as_object_mut().into_iter().for_each(|entry| entry.extend(more.as_object().cloned().unwrap_or_default()));
    entry
}

fn key(name: &str, secret: Option<[u8; 32]>, key: &PublicKey) -> Value {
    json!({
        "name": name,
        "ed25519_seed": secret.map(|seed| base64(&seed)),
        "version": key.version(),
        "created": key.created(),
        "packet": base64(&key.to_packet()),
        "fingerprint": key.fingerprint(),
        "spki": key.to_spki_der().map(|der| base64(&der)),
        "spki_sha256": key.spki_sha256().map(StatementId),
    })
}

fn keys() -> Vec<Value> {
    let mut keys: Vec<Value> = [4, 6]
        .iter()
        .map(|version| key(&format!("signer-v{version}"), Some([1; 32]), ed25519(1, *version).public_key()))
        .collect();
    keys.push(key("device", Some([101; 32]), device(1).public_key()));
    for (name, spki) in [
        (
            "bare-p256",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4fIkRVh38BWsERIaUBr1LCyvHDh0NwhS25+MKpjCMUb7aDuea4yDqelxBtVv2pc8t82k29h4lMe+vNAneJN6gw==",
        ),
        ("bare-ed25519", "MCowBQYDK2VwAyEAEICwuLQTr0t+ysvq52aC+mtFkR5lB5B0j8LOkXLbZAQ="),
    ] {
        let der = data_encoding::BASE64.decode(spki.as_bytes()).expect("base64");
        keys.push(key(name, None, &PublicKey::from_spki_der(&der).expect("accepted")));
    }
    keys
}

fn statement(signer: &dyn Signer, kind: Kind, claims: &Claims) -> Vec<u8> {
    let revokes = claims.revokes(kind).unwrap_or(false);
    let made = if kind.has_key() {
        make::certify(signer, device(1).public_key(), USER_ID, None, kind, claims, revokes, at(), &SALT)
    } else {
        make::sign_document(signer, &subject(kind), claims, at(), &SALT)
    };
    made.expect("made")
}

fn bodies() -> Vec<Value> {
    let mut bodies = Vec::new();
    for version in [4, 6] {
        let signer = ed25519(1, version);
        let bytes = Certificate::make(&signer, "Acme <signer@acme.example>", created(), &SALT).expect("made");
        bodies.push(described(&format!("certificate-v{version}"), &bytes));
        for (number, (kind, claims)) in sample_claims().into_iter().enumerate() {
            let body = statement(&signer, kind, &claims);
            assert!(verify(unverified(&body), &certificate(&signer), at()).is_ok());
            bodies.push(described(&format!("{number:02}-{}-{kind}-v{version}", claims.act), &body));
        }
        let owners = [ed25519(1, version), ed25519(2, version)];
        let owners: Vec<&dyn Signer> = owners.iter().map(|owner| owner as &dyn Signer).collect();
        let descriptor =
            make::sign_descriptor(&owners, b"{\"domain\":\"devices.acme.example\",\"version\":1}", at(), &SALT);
        bodies.push(described(&format!("descriptor-v{version}"), &descriptor.expect("made")));
        let domain = "devices.acme.example".parse().expect("a domain");
        let effect = Some(Effect::Blocks);
        let erasure = Erasure { effect, ..Erasure::new(domain, StatementId([5; 32])) };
        let erasure = make::sign_descriptor(&owners, &erasure.to_json().expect("canonical"), at(), &SALT);
        bodies.push(described(&format!("erasure-v{version}"), &erasure.expect("made")));
    }
    for version in [4, 6] {
        let (signer, other) = (ed25519(1, version), ed25519(2, version));
        let certified = make::certify_user_id(&signer, other.public_key(), "Ann <ann@acme.example>", at(), &SALT);
        bodies.push(described(&format!("certification-v{version}"), &certified.expect("made")));
    }
    let own = make::self_sign(&device(1), USER_ID, at(), &SALT).expect("made");
    let introduction = claims(Act::Identity);
    let (signer, device) = (ed25519(1, 4), device(1));
    let with_own = make::certify(
        &signer,
        device.public_key(),
        USER_ID,
        Some(&own),
        Kind::Device,
        &introduction,
        false,
        at(),
        &SALT,
    );
    bodies.push(described("identity-with-self-signature", &with_own.expect("made")));
    bodies
}

/// Bodies that are not canonical, each with the body that splitting makes of it where it makes one.
fn refused() -> Vec<Value> {
    let body = statement(&ed25519(1, 4), Kind::Device, &claims(Act::Approval));
    let document = statement(&ed25519(1, 4), Kind::Group, &claims(Act::Approval));
    let key_bytes = body[1] as usize;
    let mut cases = vec![
        ("truncated", body[..body.len() - 1].to_vec()),
        ("trailing", [&body[..], &[0]].concat()),
        ("old-packet-header", [&[0x98], &body[1..]].concat()),
        ("long-length", [&[0xc6, 255, 0, 0, 0], &body[1..]].concat()),
        ("without-user-id", [&body[..2 + key_bytes], &body[2 + key_bytes + 20..]].concat()),
        ("two-statements", [&body[..], &body].concat()),
    ];
    let mut weak = body.clone();
    weak[21] = 1;
    weak[22..53].fill(0);
    cases.push(("small-order-key", weak));
    let mut not_canonical = body.clone();
    not_canonical[21..53].fill(0xff);
    cases.push(("not-canonical-point", not_canonical));
    for (name, id) in [("md5", 1), ("sha-1", 2)] {
        let mut other = body.clone();
        // Behind key, User ID, the signature's header of three octets, its version, type and algorithm.
        other[2 + key_bytes + 20 + 3 + 3] = id;
        cases.push((name, other));
    }
    let literal_at = document.windows(8).position(|window| window == b"b\0\0\0\0\0{\"").expect("the literal data");
    let mut text = document.clone();
    text[literal_at] = b't';
    cases.push(("text-literal", text));
    let mut dated = document.clone();
    dated[literal_at + 5] = 1;
    cases.push(("dated-literal", dated));
    let (json, _) = detached(&document).expect("a message");
    let two = make::sign_descriptor(&[&ed25519(1, 4), &ed25519(2, 4)], json, at(), &SALT).expect("made");
    cases.push(("document-with-two-signatures", two));
    cases
        .into_iter()
        .map(|(name, bytes)| {
            let mut case = described(name, &bytes);
            let bodies = split(&bytes).map(|split| split.bodies).unwrap_or_default();
            case["split"] = bodies.iter().map(|body| base64(body)).collect();
            assert_eq!(case["is"], "refused", "{name}");
            case
        })
        .collect()
}

#[test]
fn vectors_are_as_published() {
    let vectors = json!({
        "about": "Keys, bodies, ids and claims of CM4IT ICS, and bytes that are refused. Base64 of RFC 4648, section 4; \
                  times of RFC 3339. Ed25519 signatures are deterministic; the salt of version 6 is 32 octets 0x09, from \
                  which that of a further signature is SHA-256(salt, its number in four octets).",
        "notation_domain": ics_core::statement::NOTATION_DOMAIN,
        "keys": keys(),
        "bodies": bodies(),
        "refused": refused(),
    });
    let text = serde_json::to_string_pretty(&sorted(vectors)).expect("JSON") + "\n";
    if std::env::var_os("ICS_UPDATE_VECTORS").is_some() {
        std::fs::write(path(), &text).expect("written");
    }
    let published = std::fs::read_to_string(path()).expect("the published vectors");
    assert!(published == text, "the vectors differ from what this code makes: see ICS_UPDATE_VECTORS");
}

/// With members in the order of their names, whatever order serde_json keeps.
fn sorted(value: Value) -> Value {
    serde_json::from_slice(&canonical_json::to_bytes(&value).expect("canonical")).expect("JSON")
}
