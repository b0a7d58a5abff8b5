//! Checks developers' own signatures over their software, in all supported formats.

use core::time::Duration;

use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use data_encoding::BASE64;
use der::asn1::OctetString;
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use ics_core::limits;
use ics_core::statement::{DeveloperSignature, SignatureForm};
use ics_core::time::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use sequoia_openpgp as openpgp;
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::parse::stream::{DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper};
use sequoia_openpgp::serialize::MarshalInto as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Why a signature is not accepted as evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// Its format is unknown.
    #[error("it is not a detached signature of OpenPGP, CMS, minisign or signify")]
    Form,
    /// It is too long to be kept.
    #[error("it has {0} bytes, the limit is {max}", max = limits::DEVELOPER_SIGNATURE_BYTES)]
    Length(usize),
    /// It was made by none of the given keys.
    #[error("none of the keys that were given has made it over this file: {0}")]
    Key(String),
}

/// Checks a signature over an artifact with the given keys: OpenPGP certificates, minisign or signify public keys,
/// X.509 certificates of signers or of their authorities.
///
/// # Errors
/// When its format is unknown, or no key has made it over the artifact.
pub fn check(
    artifact: &[u8],
    signature: &[u8],
    keys: &[Vec<u8>],
    at: Timestamp,
) -> Result<DeveloperSignature, SignatureRefusal> {
    if signature.len() > 2 * limits::DEVELOPER_SIGNATURE_BYTES {
        return Err(SignatureRefusal::Length(signature.len()));
    }
    let checked = match form_of(signature).ok_or(SignatureRefusal::Form)? {
        SignatureForm::OpenPgp => by_openpgp(artifact, signature, keys, at),
        SignatureForm::Cms => by_cms(artifact, signature, keys, at),
        SignatureForm::Minisign => by_minisign(artifact, signature, keys),
        SignatureForm::Signify => by_signify(artifact, signature, keys),
    };
    let checked = checked.map_err(SignatureRefusal::Key)?;
    if checked.bytes.len() > limits::DEVELOPER_SIGNATURE_BYTES {
        return Err(SignatureRefusal::Length(checked.bytes.len()));
    }
    Ok(checked)
}

fn form_of(signature: &[u8]) -> Option<SignatureForm> {
    let text = core::str::from_utf8(signature).unwrap_or_default();
    match signature.first()? {
        _ if text.contains("\ntrusted comment:") => Some(SignatureForm::Minisign),
        _ if text.starts_with("untrusted comment:") => Some(SignatureForm::Signify),
        _ if text.contains("-----BEGIN PGP SIGNATURE-----") => Some(SignatureForm::OpenPgp),
        _ if text.contains("-----BEGIN CMS-----") || text.contains("-----BEGIN PKCS7-----") => Some(SignatureForm::Cms),
        // An ASN.1 SEQUENCE; the tag of an OpenPGP packet has its highest bit set.
        0x30 => Some(SignatureForm::Cms),
        first if first & 0x80 != 0 => Some(SignatureForm::OpenPgp),
        _ => None,
    }
}

type Checked = Result<DeveloperSignature, String>;

fn nobody() -> String {
    "they are of another form, or other keys".to_owned()
}

fn by_minisign(artifact: &[u8], signature: &[u8], keys: &[Vec<u8>]) -> Checked {
    let text = String::from_utf8_lossy(signature);
    let parsed = minisign_verify::Signature::decode(&text).map_err(|error| error.to_string())?;
    let mut last = nobody();
    for raw in keys.iter().filter_map(|key| ed25519_key(key)) {
        let key = minisign_verify::PublicKey::from_base64(&BASE64.encode(&raw)).map_err(|error| error.to_string())?;
        // The older format, which signs the file rather than its hash, is equally good.
        match (key.verify(artifact, &parsed, true), bare(&raw)) {
            (Ok(()), Some(bare)) => {
                return Ok(DeveloperSignature::new(SignatureForm::Minisign, bare, signature.to_vec()));
            }
            (Err(error), _) => last = error.to_string(),
            (Ok(()), None) => {}
        }
    }
    Err(last)
}

fn by_signify(artifact: &[u8], signature: &[u8], keys: &[Vec<u8>]) -> Checked {
    // `Ed`, eight bytes that name the key, and the signature.
    let raw = base64_line(signature).and_then(|raw| <[u8; 74]>::try_from(raw).ok()).ok_or("it is malformed")?;
    let parsed = raw.strip_prefix(b"Ed").and_then(|rest| rest.get(8..)).and_then(|it| <[u8; 64]>::try_from(it).ok());
    let parsed = ed25519_dalek::Signature::from_bytes(&parsed.ok_or("it is not Ed25519")?);
    let is_good = |bare: &[u8; 32]| {
        ed25519_dalek::VerifyingKey::from_bytes(bare).is_ok_and(|key| key.verify_strict(artifact, &parsed).is_ok())
    };
    let bare = keys.iter().filter_map(|key| bare(&ed25519_key(key)?)).find(is_good).ok_or_else(nobody)?;
    Ok(DeveloperSignature::new(SignatureForm::Signify, bare, signature.to_vec()))
}

/// `Ed`, an eight-byte key number, and the key: both programs write it so, below a comment.
fn ed25519_key(file: &[u8]) -> Option<[u8; 42]> {
    base64_line(file).and_then(|raw| raw.try_into().ok()).filter(|raw: &[u8; 42]| raw.starts_with(b"Ed"))
}

fn bare(raw: &[u8; 42]) -> Option<[u8; 32]> {
    raw.last_chunk().copied()
}

/// Decodes the first line that is not a comment.
fn base64_line(file: &[u8]) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(file).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))?;
    BASE64.decode(line.as_bytes()).ok()
}

fn by_openpgp(artifact: &[u8], signature: &[u8], keys: &[Vec<u8>], at: Timestamp) -> Checked {
    let certificates = keys.iter().filter_map(|key| openpgp::cert::CertParser::from_bytes(key).ok());
    let helper = Helper { certificates: certificates.flatten().filter_map(Result::ok).collect(), signer: None };
    let policy = openpgp::policy::StandardPolicy::new();
    let time = std::time::UNIX_EPOCH + Duration::from_millis(at.as_millis());
    let verifier = DetachedVerifierBuilder::from_bytes(signature).and_then(|it| it.with_policy(&policy, time, helper));
    let mut verifier = verifier.map_err(|error| error.to_string())?;
    verifier.verify_bytes(artifact).map_err(|error| error.to_string())?;
    let signer = verifier.into_helper().signer.ok_or_else(nobody)?;
    let packets = openpgp::PacketPile::from_bytes(signature).and_then(|pile| pile.to_vec());
    let bytes = packets.map_err(|error| error.to_string())?;
    Ok(DeveloperSignature { form: SignatureForm::OpenPgp, key: signer, bytes })
}

struct Helper {
    certificates: Vec<openpgp::Cert>,
    signer: Option<String>,
}

impl VerificationHelper for Helper {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<openpgp::Cert>> {
        Ok(self.certificates.clone())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let layers = structure.into_iter();
        let results = layers.flat_map(|layer| match layer {
            MessageLayer::SignatureGroup { results } => results,
            _ => Vec::new(),
        });
        let mut first = None;
        for result in results {
            match result {
                Ok(good) => {
                    self.signer = Some(good.ka.cert().fingerprint().to_hex().to_lowercase());
                    return Ok(());
                }
                Err(error) => first = first.or(Some(error.to_string())),
            }
        }
        Err(std::io::Error::other(first.unwrap_or_else(nobody)).into())
    }
}

/// id-messageDigest (RFC 5652 section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// Code signing and e-mail protection (RFC 5280, section 4.2.1.12): SWUpdate signs with either.
const USAGES: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 3, 3], &[0x2b, 6, 1, 5, 5, 7, 3, 4]];

fn by_cms(artifact: &[u8], signature: &[u8], keys: &[Vec<u8>], at: Timestamp) -> Checked {
    let malformed = |error: der::Error| format!("the CMS is malformed: {error}");
    let bytes = if signature.starts_with(b"-----") {
        let (_, bytes) = der::pem::decode_vec(signature).map_err(|error| error.to_string())?;
        bytes
    } else {
        signature.to_vec()
    };
    let content = ContentInfo::from_der(&bytes).map_err(malformed)?;
    let signed: SignedData = content.content.decode_as().map_err(malformed)?;
    let carried = signed.certificates.iter().flat_map(|set| set.0.iter()).filter_map(|it| it.to_der().ok());
    let carried: Vec<CertificateDer<'_>> = carried.map(CertificateDer::from).collect();
    let trusted: Vec<CertificateDer<'_>> = keys.iter().flat_map(|key| certificates(key)).collect();
    let mut last = nobody();
    for (info, certificate) in pairs(&signed, carried.iter().chain(&trusted)) {
        match is_signed_by(artifact, info, certificate).and_then(|()| is_trusted(certificate, &carried, &trusted, at)) {
            Ok(()) => {
                let key = Sha256::digest(certificate).into();
                return Ok(DeveloperSignature::new(SignatureForm::Cms, key, bytes));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn certificates(file: &[u8]) -> Vec<CertificateDer<'static>> {
    let pem: Vec<_> = CertificateDer::pem_slice_iter(file).filter_map(Result::ok).collect();
    if pem.is_empty() && file.first() == Some(&0x30) { vec![CertificateDer::from(file.to_vec())] } else { pem }
}

fn is_named(info: &SignerInfo, der: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = x509_cert::Certificate::from_der(der) else { return false };
    let tbs = &certificate.tbs_certificate;
    match &info.sid {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            named.issuer == tbs.issuer && named.serial_number == tbs.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => {
            let own = tbs.get::<x509_cert::ext::pkix::SubjectKeyIdentifier>();
            own.is_ok_and(|own| own.is_some_and(|(_, own)| own == *named))
        }
    }
}

/// Pairs each signer with the certificate that the signature names.
fn pairs<'a>(
    signed: &'a SignedData,
    certificates: impl Iterator<Item = &'a CertificateDer<'a>> + Clone,
) -> Vec<(&'a SignerInfo, &'a CertificateDer<'a>)> {
    let all = signed.signer_infos.0.iter();
    all.flat_map(|info| certificates.clone().filter(move |it| is_named(info, it)).map(move |it| (info, it))).collect()
}

/// Checks the signature itself, and that it is over this artifact.
fn is_signed_by(artifact: &[u8], info: &SignerInfo, certificate: &CertificateDer<'_>) -> Result<(), String> {
    let message = match &info.signed_attrs {
        None => artifact.to_vec(),
        Some(attributes) => {
            let digest = attributes.iter().find(|it| it.oid == MESSAGE_DIGEST).and_then(|it| it.values.iter().next());
            let digest = digest.and_then(|it| it.decode_as::<OctetString>().ok()).ok_or("it has no digest")?;
            let expected = match info.digest_alg.oid.to_string().as_str() {
                "2.16.840.1.101.3.4.2.1" => Sha256::digest(artifact).to_vec(),
                "2.16.840.1.101.3.4.2.2" => Sha384::digest(artifact).to_vec(),
                "2.16.840.1.101.3.4.2.3" => Sha512::digest(artifact).to_vec(),
                other => return Err(format!("its digest algorithm {other} is not SHA-256, SHA-384 or SHA-512")),
            };
            if digest.as_bytes() != expected {
                return Err("it is over another file".to_owned());
            }
            attributes.to_der().map_err(|error| error.to_string())?
        }
    };
    let key = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    let signature = info.signature.as_bytes();
    let is_good = |it: &&dyn SignatureVerificationAlgorithm| key.verify_signature(*it, &message, signature).is_ok();
    if algorithms().iter().any(is_good) { Ok(()) } else { Err("the signature is bad".to_owned()) }
}

/// Checks that a certificate was given itself, or leads to a given authority; either way it must be valid now.
fn is_trusted(
    certificate: &CertificateDer<'_>,
    carried: &[CertificateDer<'_>],
    trusted: &[CertificateDer<'_>],
    at: Timestamp,
) -> Result<(), String> {
    is_in_force(certificate, at)?;
    if trusted.contains(certificate) {
        return Ok(());
    }
    let anchors: Vec<_> = trusted.iter().filter_map(|it| webpki::anchor_from_trusted_cert(it).ok()).collect();
    let leaf = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    let time = UnixTime::since_unix_epoch(Duration::from_millis(at.as_millis()));
    let mut last = nobody();
    for usage in USAGES {
        let usage = webpki::KeyUsage::required_if_present(usage);
        match leaf.verify_for_usage(algorithms(), &anchors, carried, time, usage, None, None) {
            Ok(_) => return Ok(()),
            Err(error) => last = format!("its certificate: {error}"),
        }
    }
    Err(last)
}

/// Checks that a certificate is valid now, and that its key may sign, if it restricts the use of the key (RFC 5280,
/// section 4.2.1.3).
fn is_in_force(der: &CertificateDer<'_>, at: Timestamp) -> Result<(), String> {
    let malformed = |error: der::Error| format!("its certificate is malformed: {error}");
    let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
    let tbs = &certificate.tbs_certificate;
    let (from, until, now) = (tbs.validity.not_before, tbs.validity.not_after, Duration::from_millis(at.as_millis()));
    if now < from.to_unix_duration() {
        return Err(format!("its certificate holds only from {from} on"));
    }
    if now > until.to_unix_duration() {
        return Err(format!("its certificate held until {until}"));
    }
    match tbs.get::<x509_cert::ext::pkix::KeyUsage>().map_err(malformed)? {
        Some((_, usage)) if !usage.digital_signature() && !usage.non_repudiation() => {
            Err("its certificate is not for signing: its key usage has no digitalSignature".to_owned())
        }
        _ => Ok(()),
    }
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all
}
