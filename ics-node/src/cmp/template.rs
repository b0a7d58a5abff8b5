//! CMP's own certificate requests (CRMF, RFC 4211), with proof that the sender holds the key.

use der::asn1::{Any, BitString, Int, ObjectIdentifier};
use der::{Decode as _, Encode as _, Reader, Sequence, SliceReader, TagMode, TagNumber};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name as DistinguishedName;
use x509_cert::serial_number::SerialNumber as DerSerial;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Time;

use super::body::{Enrolment, Named};
use super::{Failure, FailureInfo};
use crate::x509::{Csr, Proof, SerialNumber, oid};

/// CertRequest.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct CertRequest {
    number: Int,
    template: Template,
    controls: Option<Vec<Control>>,
}

/// CertTemplate.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Template {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    version: Option<u8>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) serial: Option<DerSerial>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    algorithm: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) issuer: Option<DistinguishedName>,
    #[asn1(context_specific = "4", tag_mode = "IMPLICIT", optional = "true")]
    validity: Option<OptionalValidity>,
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", optional = "true")]
    subject: Option<DistinguishedName>,
    #[asn1(context_specific = "6", tag_mode = "IMPLICIT", optional = "true")]
    key: Option<SubjectPublicKeyInfoOwned>,
    #[asn1(context_specific = "7", tag_mode = "IMPLICIT", optional = "true")]
    issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "8", tag_mode = "IMPLICIT", optional = "true")]
    subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "9", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// OptionalValidity.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct OptionalValidity {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    from: Option<Time>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    until: Option<Time>,
}

/// AttributeTypeAndValue.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Control {
    pub(super) kind: ObjectIdentifier,
    pub(super) value: Any,
}

/// CertId.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct CertId {
    issuer: GeneralName,
    serial: DerSerial,
}

/// POPOSigningKey over the request itself: as the template has a subject and a key, it has no input of its own.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Signature {
    algorithm: AlgorithmIdentifierOwned,
    bits: BitString,
}

/// Reads CertReqMessages, which must hold one request; `reply` is the number of the body that answers it.
pub(super) fn read(content: &[u8], reply: u8) -> Result<Enrolment, Failure> {
    let (der, signature) = messages(content).map_err(Failure::form)?;
    let request = CertRequest::from_der(der).map_err(Failure::form)?;
    let template = request.template;
    let bad = |text: &str| Failure::new(FailureInfo::BadCertTemplate, text);
    let has_own = template.serial.is_some() || template.algorithm.is_some();
    if has_own || template.issuer_unique_id.is_some() || template.subject_unique_id.is_some() {
        return Err(bad("serial number, algorithm and unique identifiers are the issuer's to choose"));
    }
    if template.version.is_some_and(|version| version != 2) {
        return Err(bad("only X.509 version 3 certificates are issued here"));
    }
    let key = template.key.ok_or_else(|| bad("the template has no public key, and none is generated here"))?;
    let unproven = "the request has no proof of possession: sign it, as a whole, with the key that is to be certified \
                    (openssl: `-popo 1`)";
    let signature = signature.ok_or_else(|| Failure::new(FailureInfo::BadPop, unproven))?;
    let proof = Proof { algorithm: &signature.algorithm, message: der, signature: &signature.bits };
    let subject = template.subject.unwrap_or_default();
    let csr =
        Csr::proven(&subject, &key, &template.extensions.unwrap_or_default(), &proof).map_err(super::body::refused)?;
    let updates = updated(request.controls.unwrap_or_default())?;
    let number = super::body::number_of(&request.number)?;
    let asks_for_validity = template.validity.is_some();
    Ok(Enrolment { reply, number, csr, asks_for_validity, issuer: template.issuer, updates })
}

/// The sender's id of the request in CertReqMessages, an INTEGER in DER; `None` if they cannot be read.
pub(super) fn number(content: &[u8]) -> Option<Vec<u8>> {
    let (der, _) = messages(content).ok()?;
    CertRequest::from_der(der).ok()?.number.to_der().ok()
}

/// The request of the only message in DER, and its proof if that is a signature.
fn messages(content: &[u8]) -> der::Result<(&[u8], Option<Signature>)> {
    let mut outer = SliceReader::new(content)?;
    let read = outer.sequence(|all| {
        all.sequence(|message| {
            let request = message.tlv_bytes()?;
            let signature = message.context_specific::<Signature>(TagNumber::N1, TagMode::Implicit)?;
            // What follows is for other proofs, or for registrars, and is ignored.
            while !message.is_finished() {
                message.tlv_bytes()?;
            }
            Ok((request, signature))
        })
    })?;
    outer.finish(read)
}

/// The certificate that a control names for an update (RFC 4211, 6.5). Controls that are not understood are refused.
fn updated(controls: Vec<Control>) -> Result<Option<Named>, Failure> {
    let mut old = None;
    for control in controls {
        if control.kind != oid::CRMF_OLD_CERT_ID {
            let text = format!("the request has the control {}, which is not understood here", control.kind);
            return Err(Failure::new(FailureInfo::BadCertTemplate, text));
        }
        if old.replace(named(&control.value)?).is_some() {
            return Err(Failure::new(FailureInfo::BadCertTemplate, "a request can update only one certificate"));
        }
    }
    Ok(old)
}

fn named(value: &Any) -> Result<Named, Failure> {
    let old = value.to_der().and_then(|der| CertId::from_der(&der)).map_err(Failure::form)?;
    let GeneralName::DirectoryName(issuer) = old.issuer else {
        let text = "the issuer of the certificate to be updated must be a distinguished name";
        return Err(Failure::new(FailureInfo::BadCertId, text));
    };
    Ok(Named { issuer, serial: serial(&old.serial)? })
}

/// A serial number as records know it.
pub(super) fn serial(number: &DerSerial) -> Result<SerialNumber, Failure> {
    let unknown =
        || Failure::new(FailureInfo::BadCertId, format!("no certificate with the number {number} was issued here"));
    SerialNumber::read(number.as_bytes()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(issuer: GeneralName) -> Control {
        let serial = DerSerial::new(&[0x41; 20]).expect("a number");
        let value = Any::encode_from(&CertId { issuer, serial }).expect("encodes");
        Control { kind: oid::CRMF_OLD_CERT_ID, value }
    }

    #[test]
    fn a_request_has_one_control_and_that_is_understood() {
        let fits = || old(GeneralName::DirectoryName(DistinguishedName::default()));
        // regToken: a one-time password, which nobody has here.
        let token = Control { kind: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.5.1.1"), value: Any::null() };
        let named = Named { issuer: DistinguishedName::default(), serial: SerialNumber::new([0x41; 20]) };
        assert_eq!(updated(Vec::new()), Ok(None));
        assert_eq!(updated(vec![fits()]), Ok(Some(named)));
        for (controls, info) in [
            (vec![token.clone(), fits()], FailureInfo::BadCertTemplate),
            (vec![fits(), token], FailureInfo::BadCertTemplate),
            (vec![fits(), fits()], FailureInfo::BadCertTemplate),
            (vec![old(GeneralName::RegisteredId(oid::SHA256))], FailureInfo::BadCertId),
        ] {
            assert_eq!(updated(controls).map_err(|failure| failure.info), Err(info));
        }
    }
}
