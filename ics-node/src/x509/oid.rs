//! Object identifiers.

use der::asn1::ObjectIdentifier;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// commonName (RFC 5280, appendix A).
pub const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");
/// serialNumber of a subject.
pub const SERIAL_NUMBER: ObjectIdentifier = oid("2.5.4.5");
/// organizationName.
pub const ORGANIZATION: ObjectIdentifier = oid("2.5.4.10");
/// subjectKeyIdentifier.
pub const SUBJECT_KEY_ID: ObjectIdentifier = oid("2.5.29.14");
/// keyUsage.
pub const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
/// subjectAltName.
pub const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
/// basicConstraints.
pub const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
/// cRLNumber.
pub const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
/// reasonCode of an entry of a revocation list.
pub const CRL_REASON: ObjectIdentifier = oid("2.5.29.21");
/// issuingDistributionPoint. The type in x509-cert carries the OID of subjectInfoAccess instead.
pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = oid("2.5.29.28");
/// nameConstraints.
pub const NAME_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.30");
/// cRLDistributionPoints.
pub const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = oid("2.5.29.31");
/// authorityKeyIdentifier.
pub const AUTHORITY_KEY_ID: ObjectIdentifier = oid("2.5.29.35");
/// extKeyUsage.
pub const EXT_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
/// authorityInfoAccess.
pub const AUTHORITY_INFO_ACCESS: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.1");
/// The access method for OCSP.
pub const ACCESS_OCSP: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1");
/// The access method for the issuer's certificate.
pub const ACCESS_CA_ISSUERS: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.2");
/// id-pkix-ocsp-nocheck: the responder's own certificate is not to be checked (RFC 6960, 4.2.2.2.1).
pub const OCSP_NO_CHECK: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1.5");
/// The nonce of OCSP (RFC 9654).
pub const OCSP_NONCE: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1.2");
/// anyExtendedKeyUsage.
pub const ANY_EXT_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37.0");
/// id-kp-serverAuth.
pub const SERVER_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.1");
/// id-kp-clientAuth.
pub const CLIENT_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.2");
/// id-kp-OCSPSigning.
pub const OCSP_SIGNING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.9");
/// HardwareModuleName (RFC 4108, 5).
pub const HARDWARE_MODULE_NAME: ObjectIdentifier = oid("1.3.6.1.5.5.7.8.4");
/// PermanentIdentifier (RFC 4043).
pub const PERMANENT_IDENTIFIER: ObjectIdentifier = oid("1.3.6.1.5.5.7.8.3");
/// extensionRequest of PKCS #10 (RFC 2985, 5.4.2).
pub const EXTENSION_REQUEST: ObjectIdentifier = oid("1.2.840.113549.1.9.14");
/// challengePassword (RFC 2985, 5.4.1).
pub const CHALLENGE_PASSWORD: ObjectIdentifier = oid("1.2.840.113549.1.9.7");
/// ecdsa-with-SHA256.
pub const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384.
pub const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
/// id-ecPublicKey.
pub const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
/// NIST P-256.
pub const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
/// NIST P-384.
pub const P384: ObjectIdentifier = oid("1.3.132.0.34");
/// NIST P-521.
pub const P521: ObjectIdentifier = oid("1.3.132.0.35");
/// Ed25519.
pub const ED25519: ObjectIdentifier = oid("1.3.101.112");
/// rsaEncryption.
pub const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
/// SHA-1, in OCSP requests only.
pub const SHA1: ObjectIdentifier = oid("1.3.14.3.2.26");
/// SHA-256.
pub const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
/// SHA-384.
pub const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
/// SHA-512.
pub const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");
/// hmacWithSHA256.
pub const HMAC_SHA256: ObjectIdentifier = oid("1.2.840.113549.2.9");
/// hmacWithSHA384.
pub const HMAC_SHA384: ObjectIdentifier = oid("1.2.840.113549.2.10");
/// hmacWithSHA512.
pub const HMAC_SHA512: ObjectIdentifier = oid("1.2.840.113549.2.11");
/// id-PasswordBasedMac of CMP (RFC 9810, 5.1.3.1).
pub const PASSWORD_BASED_MAC: ObjectIdentifier = oid("1.2.840.113533.7.66.13");
/// id-PBMAC1 (RFC 8018, A.5).
pub const PBMAC1: ObjectIdentifier = oid("1.2.840.113549.1.5.14");
/// id-PBKDF2 (RFC 8018, A.2).
pub const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");
/// id-it-implicitConfirm of CMP (RFC 9810, 5.1.1.1).
pub const CMP_IMPLICIT_CONFIRM: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.13");
/// id-it-confirmWaitTime of CMP (RFC 9810, 5.1.1.2).
pub const CMP_CONFIRM_WAIT_TIME: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.14");
/// id-it-caCerts of CMP (RFC 9810, 5.3.19.14).
pub const CMP_CA_CERTS: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.17");
/// id-it-rootCaKeyUpdate of CMP (RFC 9810, 5.3.19.15).
pub const CMP_ROOT_CA_KEY_UPDATE: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.18");
/// id-it-certReqTemplate of CMP (RFC 9810, 5.3.19.16).
pub const CMP_CERT_REQ_TEMPLATE: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.19");
/// id-it-rootCaCert of CMP (RFC 9810, 5.3.19.15).
pub const CMP_ROOT_CA_CERT: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.20");
/// id-it-certProfile of CMP (RFC 9810, 5.1.1.4).
pub const CMP_CERT_PROFILE: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.21");
/// id-it-crlStatusList of CMP (RFC 9810, 5.3.19.17).
pub const CMP_CRL_STATUS_LIST: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.22");
/// id-it-crls of CMP (RFC 9810, 5.3.19.17).
pub const CMP_CRLS: ObjectIdentifier = oid("1.3.6.1.5.5.7.4.23");
/// id-regCtrl-algId of CMP (RFC 9810, 5.3.19.16).
pub const CRMF_ALG_ID: ObjectIdentifier = oid("1.3.6.1.5.5.7.5.1.11");
/// id-regCtrl-rsaKeyLen of CMP (RFC 9810, 5.3.19.16).
pub const CRMF_RSA_KEY_LEN: ObjectIdentifier = oid("1.3.6.1.5.5.7.5.1.12");
/// id-regCtrl-oldCertID of CRMF (RFC 4211, 6.5).
pub const CRMF_OLD_CERT_ID: ObjectIdentifier = oid("1.3.6.1.5.5.7.5.1.5");
/// id-signedData (RFC 5652, 5.1).
pub const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
/// id-data.
pub const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
