//! A message (PKIMessage, RFC 9810, 5.1) as sent, and the verification of its protection.

use der::asn1::{Any, AnyRef, BitString, GeneralizedTime, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _, Reader, Sequence, SliceReader, Tag, TagMode, TagNumber};
use ics_core::limits;
use ics_core::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

use super::mac::Mac;
use super::{Failure, FailureInfo, Party};
use crate::tls::KeyPin;
use crate::x509::{is_same_name, oid, verify};

/// Accepted lengths in bytes of nonces and transaction ids; 128 bits are required (RFC 9483, 3.1).
const TOKEN_BYTES: core::ops::RangeInclusive<usize> = 16..=64;

/// How far a message's time may be from the node's, in milliseconds, either way. A message can be replayed within that
/// time, so transactions are remembered for as long.
pub(super) const TIME_MILLIS: u64 = 300_000;

/// PKIHeader.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub struct Header {
    pub(super) version: u8,
    pub(super) sender: GeneralName,
    pub(super) recipient: GeneralName,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) time: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) protection: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) sender_key: Option<OctetString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) recipient_key: Option<OctetString>,
    #[asn1(context_specific = "4", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) transaction: Option<OctetString>,
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) sender_nonce: Option<OctetString>,
    #[asn1(context_specific = "6", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) recipient_nonce: Option<OctetString>,
    #[asn1(context_specific = "7", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) text: Option<Vec<String>>,
    #[asn1(context_specific = "8", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) info: Option<Vec<Info>>,
}

/// InfoTypeAndValue.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Info {
    pub(super) kind: ObjectIdentifier,
    pub(super) value: Option<Any>,
}

impl Header {
    /// The transaction id.
    #[must_use]
    pub fn transaction(&self) -> &[u8] {
        self.transaction.as_ref().map(OctetString::as_bytes).unwrap_or_default()
    }

    /// The nonce of this node that it answers.
    #[must_use]
    pub fn recipient_nonce(&self) -> &[u8] {
        self.recipient_nonce.as_ref().map(OctetString::as_bytes).unwrap_or_default()
    }

    /// By what a sender that shares a secret with the node names itself or what it asks for (openssl's `-ref`).
    #[must_use]
    pub fn reference(&self) -> &[u8] {
        self.sender_key.as_ref().map(OctetString::as_bytes).unwrap_or_default()
    }

    /// Whether the sender asks for implicit confirmation: it will not confirm its certificate (RFC 9810, 5.1.1.1).
    #[must_use]
    pub fn wants_no_confirmation(&self) -> bool {
        self.info.iter().flatten().any(|info| info.kind == oid::CMP_IMPLICIT_CONFIRM)
    }

    /// The profile that the sender names (RFC 9810, 5.1.1.4). Unlike a path, it is protected with the message.
    ///
    /// # Errors
    /// When it names more than one: a message has only one request.
    pub fn profile(&self) -> Result<Option<String>, Failure> {
        let mut named = self.info.iter().flatten().filter(|info| info.kind == oid::CMP_CERT_PROFILE);
        let (first, another) = (named.next(), named.next());
        let Some(first) = first else { return Ok(None) };
        let value = first.value.as_ref().ok_or_else(|| Failure::form("a certProfile without a value"))?;
        let names = value.to_der().and_then(|der| Vec::<String>::from_der(&der)).map_err(Failure::form)?;
        match (<[String; 1]>::try_from(names), another) {
            // An empty name counts as none.
            (Ok([one]), None) => Ok(Some(one).filter(|name| !name.is_empty())),
            _ => Err(Failure::new(FailureInfo::BadRequest, "a message's certProfile must name exactly one profile")),
        }
    }

    /// Checks what every message needs before anything in it counts (RFC 9483, 3.5).
    ///
    /// # Errors
    /// When something is missing, or the message's version or time is not acceptable.
    pub fn check(&self, now: Timestamp) -> Result<(), Failure> {
        if !matches!(self.version, 2 | 3) {
            let text = format!("the message has the version {}; this server supports 2 and 3", self.version);
            return Err(Failure::new(FailureInfo::UnsupportedVersion, text));
        }
        let fits = |token: &Option<OctetString>| {
            token.as_ref().is_some_and(|token| TOKEN_BYTES.contains(&token.as_bytes().len()))
        };
        let (least, most) = (TOKEN_BYTES.start(), TOKEN_BYTES.end());
        if !fits(&self.transaction) {
            let text = format!("the transactionID must have {least} to {most} bytes");
            return Err(Failure::new(FailureInfo::BadDataFormat, text));
        }
        if !fits(&self.sender_nonce) {
            let text = format!("the senderNonce must have {least} to {most} bytes");
            return Err(Failure::new(FailureInfo::BadSenderNonce, text));
        }
        self.check_time(now)
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Failure> {
        let missing = "the message needs a messageTime: without one it could be replayed for ever";
        let time = self.time.as_ref().ok_or_else(|| Failure::new(FailureInfo::MissingTimeStamp, missing))?;
        let millis = u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX);
        let time = Timestamp::from_millis(millis);
        if now.millis_since(time).max(time.millis_since(now)) > TIME_MILLIS {
            let text = format!(
                "the message was made at {time}, but this server's clock shows {now}: set the clock; a difference of \
                 {} s is allowed",
                TIME_MILLIS / 1000
            );
            return Err(Failure::new(FailureInfo::BadTime, text));
        }
        Ok(())
    }
}

/// How a message proves its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    None,
    /// By a signature with this key, whose certificate comes with the message, or came with the first one of its
    /// transaction.
    Key(KeyPin),
    /// By the secret that the node shares with its registrar.
    Secret,
}

impl Protection {
    /// The party as which the sender is known during a transaction.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Self::Key(key) => Party(*key.as_bytes()),
            Self::Secret | Self::None => Party::REGISTRAR,
        }
    }
}

/// A message; its parts are the bytes that were sent.
#[derive(Debug)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// The number of its body, which says what kind of body it is.
    pub(super) kind: u8,
    /// The content of the body.
    pub(super) content: &'a [u8],
    /// The protected part in DER.
    protected: Vec<u8>,
    protection: Option<BitString>,
    /// The first certificate sent along. Others are not read, and may have any form.
    shown: Option<Any>,
    /// The key of whoever began its transaction, if it brings no certificate.
    known: Option<Vec<u8>>,
}

impl<'a> Message<'a> {
    /// Parses a message in DER. Nothing in it may be believed before [`Message::protection`].
    ///
    /// # Errors
    /// When it is malformed, or longer than [`limits::CMP_BYTES`].
    pub fn parse(der: &'a [u8]) -> Result<Self, Failure> {
        if der.len() > limits::CMP_BYTES {
            let text = format!("the message has {} bytes, the limit is {}", der.len(), limits::CMP_BYTES);
            return Err(Failure::new(FailureInfo::BadDataFormat, text));
        }
        Self::read(der).map_err(Failure::form)
    }

    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(der)?;
        let message = outer.sequence(|reader| {
            let (header, body) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
            let protection = reader.context_specific::<BitString>(TagNumber::N0, TagMode::Explicit)?;
            let certificates = reader.context_specific::<Vec<Any>>(TagNumber::N1, TagMode::Explicit)?;
            let protected = Any::new(Tag::Sequence, [header, body].concat())?.to_der()?;
            let body = AnyRef::from_der(body)?;
            let Tag::ContextSpecific { constructed: true, number } = der::Tagged::tag(&body) else {
                return Err(der::Tagged::tag(&body).unexpected_error(None));
            };
            Ok(Self {
                header: Header::from_der(header)?,
                kind: number.value(),
                content: body.value(),
                protected,
                protection,
                shown: certificates.into_iter().flatten().next(),
                known: None,
            })
        })?;
        outer.finish(message)
    }

    /// Whether a shared secret protects it, or so it says.
    #[must_use]
    pub fn is_by_secret(&self) -> bool {
        self.header.protection.as_ref().is_some_and(|with| Mac::is_by_secret(with.oid))
    }

    /// The message, with the key that `key_of` knows for its transaction if it is signed and brings no certificate:
    /// only the first message of a transaction has to (RFC 9483, 3.3).
    #[must_use]
    pub fn of_known(self, key_of: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Self {
        let brings_none = self.protection.is_some() && !self.is_by_secret() && self.shown.is_none();
        let known = if brings_none { key_of(self.header.transaction()) } else { None };
        Self { known, ..self }
    }

    /// The key with which it is signed, if its protection fits: SubjectPublicKeyInfo, as DER.
    ///
    /// # Errors
    /// When the first certificate sent along is malformed.
    pub fn key(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(by) = self.certificate()? else { return Ok(self.known.clone()) };
        by.tbs_certificate.subject_public_key_info.to_der().map(Some).map_err(Failure::form)
    }

    /// The first certificate sent along.
    fn certificate(&self) -> Result<Option<Certificate>, Failure> {
        let read = |shown: &Any| shown.to_der().and_then(|der| Certificate::from_der(&der)).map_err(Failure::form);
        self.shown.as_ref().map(read).transpose()
    }

    /// What a signed message should say and does not, if it names another sender or key than the certificate that it
    /// brings (RFC 9483, 3.1). A sender that does not know its own name leaves it empty (RFC 9810, 5.1.1), and not
    /// every certificate names its key.
    fn names_another(&self) -> Result<Option<&'static str>, Failure> {
        let Some(by) = self.certificate()? else { return Ok(None) };
        let by = by.tbs_certificate;
        let is_by_sender = match &self.header.sender {
            GeneralName::DirectoryName(sender) => sender.is_empty() || is_same_name(sender, &by.subject),
            _ => false,
        };
        if !is_by_sender {
            return Ok(Some("sender must be the subject"));
        }
        let key = by.get::<SubjectKeyIdentifier>().ok().flatten().map(|(_, id)| id.0);
        let is_its_key = key.zip(self.header.sender_key.as_ref()).is_none_or(|(own, named)| own == *named);
        Ok(if is_its_key { None } else { Some("senderKID must be the subjectKeyIdentifier") })
    }

    /// Verifies the protection; returns how the message proves its origin. `secret` is shared with the node's
    /// registrar.
    ///
    /// # Errors
    /// When the protection does not fit the message or its sender, or uses an algorithm that is not accepted here.
    pub fn protection(&self, secret: Option<&[u8]>) -> Result<Protection, Failure> {
        let (with, bits) = match (&self.header.protection, &self.protection) {
            (None, None) => return Ok(Protection::None),
            (Some(with), Some(bits)) => (with, bits),
            _ => return Err(Failure::form("its protection, or the protection algorithm, is missing")),
        };
        if Mac::is_by_secret(with.oid) {
            let mac = Mac::read(with)?;
            // If no secret is shared, nothing is computed: anyone may ask for thousands of rounds.
            let is_shared = secret.is_some_and(|secret| mac.verify(secret, &self.protected, bits));
            return if is_shared { Ok(Protection::Secret) } else { Err(wrong()) };
        }
        // The first message must bring the certificate, and fails so if it does not (RFC 9483, 3.3 and 3.5). Of those
        // issued here only digests are kept, so nothing else identifies the key.
        let missing = "the first certificate in extraCerts must be that of the key that signed the message (RFC 9483, \
                       3.3): a senderKID does not replace it, and only later messages of a transaction may do without \
                       it";
        let key = self.key()?.ok_or_else(|| Failure::new(FailureInfo::BadMessageCheck, missing))?;
        let spki = SubjectPublicKeyInfoRef::from_der(&key).map_err(Failure::form)?;
        if !verify(spki, with, &self.protected, bits) {
            return Err(wrong());
        }
        if let Some(what) = self.names_another()? {
            let text = format!("the {what} of the first certificate in extraCerts (RFC 9483, 3.1)");
            return Err(Failure::new(FailureInfo::BadMessageCheck, text));
        }
        Ok(Protection::Key(KeyPin::of(&key)))
    }
}

/// The protection is wrong; nobody is told whether because of the key, the secret or the message.
fn wrong() -> Failure {
    let text = "the message is not protected by the key of the first certificate in its extraCerts, nor by the \
                registrar's token, with an algorithm that is accepted here (ECDSA, Ed25519, RSA with SHA-2)";
    Failure::new(FailureInfo::BadMessageCheck, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, value: &[u8]) -> Vec<u8> {
        let tag = Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) };
        Any::new(tag, value).and_then(|it| it.to_der()).expect("encodes")
    }

    fn header() -> Header {
        let nobody = GeneralName::DirectoryName(x509_cert::name::Name::default());
        Header {
            version: 2,
            sender: nobody.clone(),
            recipient: nobody,
            time: None,
            protection: None,
            sender_key: None,
            recipient_key: None,
            transaction: None,
            sender_nonce: None,
            recipient_nonce: None,
            text: None,
            info: None,
        }
    }

    #[test]
    fn a_message_names_one_profile() {
        let info = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Info { kind: oid::CMP_CERT_PROFILE, value: Some(Any::encode_from(&names).expect("encodes")) }
        };
        let other = Info { kind: oid::CMP_IMPLICIT_CONFIRM, value: Some(Any::null()) };
        for (infos, expected) in [
            (vec![other.clone()], Ok(None)),
            (vec![other, info(&["server"])], Ok(Some("server".to_owned()))),
            (vec![info(&[""])], Ok(None)),
            (vec![info(&["server", "ldevid"])], Err(FailureInfo::BadRequest)),
            (vec![info(&["server"]), info(&["server"])], Err(FailureInfo::BadRequest)),
            (vec![info(&[])], Err(FailureInfo::BadRequest)),
            (vec![Info { kind: oid::CMP_CERT_PROFILE, value: None }], Err(FailureInfo::BadDataFormat)),
            (vec![Info { kind: oid::CMP_CERT_PROFILE, value: Some(Any::null()) }], Err(FailureInfo::BadDataFormat)),
        ] {
            let header = Header { info: Some(infos), ..header() };
            // Encoded and decoded, as it would arrive.
            let header = Header::from_der(&header.to_der().expect("encodes")).expect("is read");
            assert_eq!(header.profile().map_err(|failure| failure.info), expected, "{:?}", header.info);
        }
        assert_eq!(header().profile(), Ok(None));
    }

    #[test]
    fn certificates_that_nobody_reads_may_be_of_any_form() {
        let number_for_a_certificate = [0x30, 3, 2, 1, 0];
        let parts = [header().to_der().expect("encodes"), part(21, &[0x30, 0]), part(1, &number_for_a_certificate)];
        let message = Any::new(Tag::Sequence, parts.concat()).and_then(|it| it.to_der()).expect("encodes");
        let read = Message::parse(&message).expect("is read");
        assert_eq!(read.protection(None), Ok(Protection::None));
    }
}
