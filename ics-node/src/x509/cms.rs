//! Certificates in CMS: the "certs-only" messages of EST (RFC 5652, 5; RFC 7030, 4.1.3).

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfos};
use der::asn1::SetOfVec;
use der::{Any, Decode as _, Encode as _};
use x509_cert::Certificate;

use super::oid;

/// A degenerate SignedData with these certificates (DER) and without signers, in DER.
///
/// # Errors
/// When one of them is not a certificate.
pub fn certs_only(certificates: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    let parsed = certificates.iter().map(|der| Certificate::from_der(der).map(CertificateChoices::Certificate));
    let set = SetOfVec::try_from(parsed.collect::<der::Result<Vec<_>>>()?)?;
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::default(),
        encap_content_info: EncapsulatedContentInfo { econtent_type: oid::DATA, econtent: None },
        certificates: Some(CertificateSet(set)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::default()),
    };
    ContentInfo { content_type: oid::SIGNED_DATA, content: Any::from_der(&data.to_der()?)? }.to_der()
}
