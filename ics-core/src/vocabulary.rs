//! The words of the system: acts, roles, statuses and their effects, domains, attributes.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{Kind, excerpt, serde_as_text};

/// Why a text is not one of the system's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not an act.
    #[error("`{0}` is not an act: use identity, approval, status, label, grant, installed, issued or withdrawal")]
    Act(String),
    /// Not formed as a role.
    #[error("`{0}` is not a role: use 1 to 32 characters from a-z, 0-9 and -, beginning with a letter")]
    Role(String),
    /// Not formed as a status.
    #[error("`{0}` is not a status: use 1 to 32 characters from a-z, 0-9 and -, beginning with a letter")]
    Status(String),
    /// Not formed as a domain's name.
    #[error("`{0}` is not a domain name: it takes dot-separated labels of a-z, 0-9 and -, 253 characters at most")]
    Domain(String),
    /// Not an attribute.
    #[error("`{0}` is not an attribute: use manu, make, model, prodid, pvers, lot, qty, loc or dest")]
    Attribute(String),
    /// Not formed as the name of a kind of certificates.
    #[error("`{0}` is not the name of a profile: use 1 to 32 characters from a-z, 0-9 and -, beginning with a letter")]
    Profile(String),
    /// Not a word used for certificates.
    #[error("`{0}` is not a word that is used for certificates")]
    CertificateWord(String),
    /// Not an effect.
    #[error("`{0}` is not an effect: use none, permits, blocks or blocks-for-ever")]
    Effect(String),
}

/// Defines an enumeration whose members are each written as one word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $error:ident, { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// All of them, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|word| word.as_str() == text)
                    .ok_or_else(|| WordError::$error(excerpt(text)))
            }
        }

        serde_as_text!($name);
    };
}

words! {
    /// The act of a statement.
    Act, Act, {
        /// Introduces an identity, with attributes and names.
        Identity = "identity",
        /// Approves an identity for use.
        Approval = "approval",
        /// Gives it a status.
        Status = "status",
        /// Adds a trust label.
        Label = "label",
        /// Entitles a signer to a role over the identity, or over the members of a group.
        Grant = "grant",
        /// Says that a piece of software is installed on a device.
        Installed = "installed",
        /// Says which X.509 certificate was issued to it.
        Issued = "issued",
        /// Takes back named earlier statements of the same signer.
        Withdrawal = "withdrawal",
    }
}

words! {
    /// The effect of a status on the use of a thing, in increasing order of restriction, so that the greatest wins.
    Effect, Effect, {
        /// Neither permits nor blocks.
        None = "none",
        /// Permits use.
        Permits = "permits",
        /// Blocks use until lifted.
        Blocks = "blocks",
        /// Blocks use for ever: only the owners' threshold lifts it.
        BlocksForEver = "blocks-for-ever",
    }
}

words! {
    /// An attribute that a manufacturer states of a product; the tags of draft-atkins-openpgp-device-certificates.
    Attribute, Attribute, {
        /// Manufacturer name.
        Manufacturer = "manu",
        /// Product make.
        Make = "make",
        /// Product model.
        Model = "model",
        /// Product id.
        ProductId = "prodid",
        /// Product version.
        ProductVersion = "pvers",
        /// Lot number.
        Lot = "lot",
        /// Package quantity, a decimal number.
        Quantity = "qty",
        /// Where the signature was made, RFC 5870 without `geo:`.
        Location = "loc",
        /// Where the device is destined, RFC 5870 without `geo:`.
        Destination = "dest",
    }
}

words! {
    /// What an X.509 certificate is used for (RFC 5280, 4.2.1.12; RFC 6960, 4.2.2.2).
    CertificateUse, CertificateWord, {
        /// To authenticate as a client of TLS.
        Client = "client",
        /// To authenticate as a server of TLS.
        Server = "server",
        /// To answer for revocation in place of the issuer.
        Ocsp = "ocsp",
    }
}

words! {
    /// The kind of a key in an X.509 certificate.
    KeyType, CertificateWord, {
        /// ECDSA on NIST P-256.
        P256 = "p256",
        /// ECDSA on NIST P-384.
        P384 = "p384",
        /// ECDSA on NIST P-521.
        P521 = "p521",
        /// Ed25519.
        Ed25519 = "ed25519",
        /// RSA.
        Rsa = "rsa",
    }
}

words! {
    /// What a record must say before a certificate is issued. A thing that a status blocks never gets one.
    Requirement, CertificateWord, {
        /// Somebody vouches for the thing, and a status permits its use.
        Permitted = "permitted",
        /// Somebody vouches for the thing.
        Vouched = "vouched",
    }
}

impl Act {
    /// Whether statements of this act are kept for ever: they cannot be erased, because others rest on them. Whose
    /// statements count depends on grants; a withdrawal is nothing but what it takes back; and which certificates were
    /// issued must be known for as long as these may be presented.
    #[must_use]
    pub const fn stays(self) -> bool {
        matches!(self, Self::Grant | Self::Issued | Self::Withdrawal)
    }
}

impl Attribute {
    /// The attributes by which groups select members: few, because every subset of a device's values is looked up.
    pub const SELECTING: [Self; 4] = [Self::Manufacturer, Self::Model, Self::ProductId, Self::Lot];
}

impl Effect {
    /// Whether it blocks use.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Blocks | Self::BlocksForEver)
    }

    /// What a status with this effect does, in words.
    #[must_use]
    pub const fn does(self) -> &'static str {
        match self {
            Self::None => "neither permits nor blocks its use",
            Self::Permits => "permits its use",
            Self::Blocks => "blocks its use",
            Self::BlocksForEver => "blocks its use for ever",
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Defines a text type of a checked form.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $error:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(WordError::$error(excerpt(text))) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        serde_as_text!($name);
    };
}

impl Role {
    /// The role of the owner of a thing, and of a domain's owners when they speak about one.
    #[must_use]
    pub fn owner() -> Self {
        Self("owner".into())
    }

    /// The role of somebody who certifies things.
    #[must_use]
    pub fn certification_body() -> Self {
        Self("certification-body".into())
    }
}

checked_text! {
    /// The capacity in which a signer speaks: `manufacturer`, `developer`, `integrator`, `maintainer`, `owner`,
    /// `certification-body`, `security-controller`, or one that a descriptor defines.
    Role, Role, is_word
}

checked_text! {
    /// The name of a kind of X.509 certificates, defined by a descriptor.
    ProfileName, Profile, is_word
}

checked_text! {
    /// The name of a status: from the table of [`StatusName::builtin_effect`], or added by a descriptor.
    StatusName, Status, is_word
}

checked_text! {
    /// The name of a domain, formed as a DNS name: `devices.acme.example`.
    DomainName, Domain, is_domain
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The statuses that every domain has: name, effect, whether for software, whether for hardware and services.
const BUILTIN_STATUSES: [(&str, Effect, bool, bool); 12] = [
    ("planned", Effect::None, false, true),
    ("announced", Effect::None, true, false),
    ("in-use", Effect::Permits, false, true),
    ("released", Effect::Permits, true, false),
    ("suspended", Effect::Blocks, false, true),
    ("lost", Effect::Blocks, false, true),
    ("stolen", Effect::Blocks, false, true),
    ("retired", Effect::Blocks, false, true),
    ("deprecated", Effect::Blocks, true, false),
    ("withdrawn", Effect::Blocks, true, false),
    ("destroyed", Effect::BlocksForEver, false, true),
    ("compromised", Effect::BlocksForEver, true, true),
];

impl StatusName {
    /// The effect of a status that every domain has on an identity of this kind; `None` if it does not apply to the
    /// kind.
    ///
    /// Groups take the statuses of both columns: a lot of devices is recalled like its devices, a product line like its
    /// software.
    #[must_use]
    pub fn builtin_effect(&self, kind: Kind) -> Option<Effect> {
        BUILTIN_STATUSES
            .iter()
            .find(|(name, _, software, hardware)| {
                *name == self.as_str()
                    && match kind {
                        Kind::Software => *software,
                        Kind::Group => true,
                        _ => *hardware,
                    }
            })
            .map(|(_, effect, _, _)| *effect)
    }

    /// The names of all statuses that every domain has.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN_STATUSES.iter().map(|(name, ..)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_words_and_domains() {
        for good in ["owner", "security-controller", "x1"] {
            assert!(good.parse::<Role>().is_ok(), "{good}");
        }
        for bad in ["", "Owner", "1st", "a b", "r\u{f4}le", &"a".repeat(33)] {
            assert!(bad.parse::<Role>().is_err(), "{bad}");
        }
        for good in ["devices.acme.example", "a", "x-1.example"] {
            assert!(good.parse::<DomainName>().is_ok(), "{good}");
        }
        for bad in ["", "Devices.example", "a..b", "-a.example", "a/b", &"a.".repeat(130)] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_table_of_statuses() {
        let effect = |name: &str, kind| name.parse::<StatusName>().expect("formed").builtin_effect(kind);
        assert_eq!(effect("in-use", Kind::Device), Some(Effect::Permits));
        assert_eq!(effect("in-use", Kind::Software), None);
        assert_eq!(effect("released", Kind::Software), Some(Effect::Permits));
        assert_eq!(effect("withdrawn", Kind::Group), Some(Effect::Blocks));
        assert_eq!(effect("stolen", Kind::Service), Some(Effect::Blocks));
        assert_eq!(effect("compromised", Kind::Software), Some(Effect::BlocksForEver));
        assert_eq!(effect("on-fire", Kind::Device), None);
    }

    #[test]
    fn the_most_restrictive_effect_is_the_greatest() {
        assert!(Effect::BlocksForEver > Effect::Blocks && Effect::Blocks > Effect::Permits);
        assert!(Effect::Permits > Effect::None);
    }
}
