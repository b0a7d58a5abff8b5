//! The schema: attribute types and object classes, for clients that read it, for filters, and for slapd.
//!
//! `schemas/ldap/` holds the same as LDIF for OpenLDAP; a test generates it from these tables and compares.

use std::collections::HashMap;
use std::sync::LazyLock;

use self::Syntax::{Binary, Boolean, Bytes, Exact, Name, Number, Oid, Pgp, PgpOrdered, Text, Time, Uuid};

/// The arc of this project's OIDs: 2.25 and a UUID (X.667).
const ARC: &str = "2.25.141946672794141668625709262174135346576";

/// How values of an attribute are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Text in UTF-8, without regard to case.
    Text,
    /// Text in UTF-8 whose case counts: values under which statements are filed exactly as written.
    Exact,
    /// Bytes.
    Bytes,
    /// An integer.
    Number,
    /// GeneralizedTime.
    Time,
    /// An OID or its name.
    Oid,
    /// A distinguished name.
    Name,
    /// A UUID.
    Uuid,
    /// `TRUE` or `FALSE`.
    Boolean,
    /// Text in GnuPG's schema, without an ordering rule.
    Pgp,
    /// Text in GnuPG's schema, with an ordering rule.
    PgpOrdered,
    /// Armored OpenPGP, which is not compared.
    Binary,
}

/// An attribute type (RFC 4512, 4.1.2).
#[derive(Debug)]
pub(super) struct Attribute {
    /// Absolute, or relative to this project's arc.
    oid: &'static str,
    names: &'static [&'static str],
    description: &'static str,
    pub(super) syntax: Syntax,
    single: bool,
    pub(super) operational: bool,
    from: Origin,
}

/// Where an attribute or class is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Known to every directory.
    Standard,
    /// By this project.
    Ics,
    /// By GnuPG's LDAP key servers.
    Gnupg,
}

impl Origin {
    /// The `X-ORIGIN` extension of a definition (RFC 4512, 4.1), which many directories use.
    const fn extension(self) -> &'static str {
        match self {
            Self::Standard => "",
            Self::Ics => " X-ORIGIN 'CM4IT ICS'",
            Self::Gnupg => " X-ORIGIN 'GnuPG'",
        }
    }
}

impl Attribute {
    /// The name used in answers.
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    fn oid(&self) -> String {
        full(self.oid, ".1")
    }

    /// The `AttributeTypeDescription` (RFC 4512, 4.1.2).
    fn definition(&self) -> String {
        let (syntax, rules) = self.syntax.definition();
        let names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        let names = if let [one] = names.as_slice() { one.clone() } else { format!("( {} )", names.join(" ")) };
        let description =
            if self.description.is_empty() { String::new() } else { format!(" DESC '{}'", self.description) };
        let single = if self.single { " SINGLE-VALUE" } else { "" };
        let usage = if self.operational { " NO-USER-MODIFICATION USAGE directoryOperation" } else { "" };
        let origin = self.from.extension();
        format!("( {} NAME {names}{description}{rules} SYNTAX {syntax}{single}{usage}{origin} )", self.oid())
    }
}

impl Syntax {
    /// The syntax's OID and its matching rules.
    const fn definition(self) -> (&'static str, &'static str) {
        match self {
            Text | Pgp => {
                ("1.3.6.1.4.1.1466.115.121.1.15", " EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch")
            }
            Exact => ("1.3.6.1.4.1.1466.115.121.1.15", " EQUALITY caseExactMatch SUBSTR caseExactSubstringsMatch"),
            PgpOrdered => (
                "1.3.6.1.4.1.1466.115.121.1.15",
                " EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch",
            ),
            Bytes => ("1.3.6.1.4.1.1466.115.121.1.40", " EQUALITY octetStringMatch"),
            Number => ("1.3.6.1.4.1.1466.115.121.1.27", " EQUALITY integerMatch ORDERING integerOrderingMatch"),
            Time => (
                "1.3.6.1.4.1.1466.115.121.1.24",
                " EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch",
            ),
            Oid => ("1.3.6.1.4.1.1466.115.121.1.38", " EQUALITY objectIdentifierMatch"),
            Name => ("1.3.6.1.4.1.1466.115.121.1.12", " EQUALITY distinguishedNameMatch"),
            Uuid => ("1.3.6.1.1.16.1", " EQUALITY UUIDMatch ORDERING UUIDOrderingMatch"),
            Boolean => ("1.3.6.1.4.1.1466.115.121.1.7", " EQUALITY booleanMatch"),
            Binary => ("1.3.6.1.4.1.1466.115.121.1.26", ""),
        }
    }

    /// Whether values are ordered, so that filters may compare them.
    pub(super) const fn is_ordered(self) -> bool {
        matches!(self, Number | Time | PgpOrdered | Uuid)
    }

    /// Whether case and spaces do not count in values.
    pub(super) const fn ignores_case(self) -> bool {
        matches!(self, Text | Pgp | PgpOrdered)
    }

    /// Whether filters may ask for parts of values.
    pub(super) const fn has_substrings(self) -> bool {
        matches!(self, Text | Exact | Pgp | PgpOrdered)
    }
}

fn full(oid: &str, below: &str) -> String {
    if oid.contains('.') { oid.to_owned() } else { format!("{ARC}{below}.{oid}") }
}

macro_rules! attributes {
    ($($from:ident { $($id:ident $oid:literal [$($name:literal),+] $syntax:ident $kind:ident $description:literal;)+ })+) => {
        $($(
            pub(super) static $id: Attribute = Attribute {
                oid: $oid,
                names: &[$($name),+],
                description: $description,
                syntax: $syntax,
                single: matches!(Values::$kind, Values::One | Values::System),
                operational: matches!(Values::$kind, Values::System | Values::Systems),
                from: Origin::$from,
            };
        )+)+
        /// All attribute types.
        pub(super) static ATTRIBUTES: &[&Attribute] = &[$($(&$id),+),+];
    };
}

/// Whether an attribute has one value or many, and whether it is operational.
enum Values {
    One,
    Many,
    System,
    Systems,
}

attributes! {
    Standard {
        OBJECT_CLASS "2.5.4.0" ["objectClass"] Oid Many "";
        COMMON_NAME "2.5.4.3" ["cn", "commonName"] Text Many "";
        ORGANIZATION "2.5.4.10" ["o", "organizationName"] Text Many "";
        UNIT "2.5.4.11" ["ou", "organizationalUnitName"] Text Many "";
        COMPONENT "0.9.2342.19200300.100.1.25" ["dc", "domainComponent"] Text One "";
        DESCRIPTION "2.5.4.13" ["description"] Text Many "";
        STRUCTURAL_CLASS "2.5.21.9" ["structuralObjectClass"] Oid System "";
        ENTRY_UUID "1.3.6.1.1.16.4" ["entryUUID"] Uuid System "";
        ENTRY_DN "1.3.6.1.1.20" ["entryDN"] Name System "";
        CREATORS_NAME "2.5.18.3" ["creatorsName"] Name System "";
        CREATE_TIME "2.5.18.1" ["createTimestamp"] Time System "";
        MODIFIERS_NAME "2.5.18.4" ["modifiersName"] Name System "";
        MODIFY_TIME "2.5.18.2" ["modifyTimestamp"] Time System "";
        ENTRY_CSN "1.3.6.1.4.1.4203.666.1.7" ["entryCSN"] Exact System "";
        SUBSCHEMA "2.5.18.10" ["subschemaSubentry"] Name System "";
        HAS_SUBORDINATES "2.5.18.9" ["hasSubordinates"] Boolean System "";
        NAMING_CONTEXTS "1.3.6.1.4.1.1466.101.120.5" ["namingContexts"] Name Systems "";
        SUPPORTED_CONTROL "1.3.6.1.4.1.1466.101.120.13" ["supportedControl"] Oid Systems "";
        SUPPORTED_EXTENSION "1.3.6.1.4.1.1466.101.120.7" ["supportedExtension"] Oid Systems "";
        SUPPORTED_FEATURES "1.3.6.1.4.1.4203.1.3.5" ["supportedFeatures"] Oid Systems "";
        SUPPORTED_VERSION "1.3.6.1.4.1.1466.101.120.15" ["supportedLDAPVersion"] Number Systems "";
        SUPPORTED_SASL "1.3.6.1.4.1.1466.101.120.14" ["supportedSASLMechanisms"] Text Systems "";
        VENDOR_NAME "1.3.6.1.1.4" ["vendorName"] Text System "";
        VENDOR_VERSION "1.3.6.1.1.5" ["vendorVersion"] Text System "";
        ATTRIBUTE_TYPES "2.5.21.5" ["attributeTypes"] Text Systems "";
        OBJECT_CLASSES "2.5.21.6" ["objectClasses"] Text Systems "";
        SYNTAXES "1.3.6.1.4.1.1466.101.120.16" ["ldapSyntaxes"] Text Systems "";
        MATCHING_RULES "2.5.21.4" ["matchingRules"] Text Systems "";
    }
    Ics {
        DOMAIN "1" ["icsDomain"] Text One "name of a domain";
        ORIGIN "2" ["icsOrigin"] Text One "name of a domain and leaf data of its entry 0";
        POSITION "3" ["icsPosition"] Text One "whether this node is home or mirror of the domain";
        CHECKPOINT "4" ["icsCheckpoint"] Text One "newest signed checkpoint with its cosignatures";
        ROOT "5" ["icsRoot"] Text One "Merkle root over the entries that answers rest on";
        AS_OF_SIZE "6" ["icsAsOfSize"] Number One "entries of the log that answers rest on";
        AS_OF_TIME "7" ["icsAsOfTime"] Time One "time at which the home last cosigned that size";
        FRESH_FOR "8" ["icsFreshFor"] Number One "seconds after which the domain calls an answer stale";
        DESCRIPTOR_VERSION "9" ["icsDescriptorVersion"] Number One "version of the policy descriptor that rules";
        IDENTITY "10" ["icsIdentity"] Text One "id of a thing: OpenPGP fingerprint, or sha256: and a digest";
        KIND "11" ["icsKind"] Text One "kind of thing";
        STATUS "12" ["icsStatus"] Text One "the most restrictive status that stands";
        EFFECT "13" ["icsEffect"] Text One "what the status does: none, permits, blocks, blocks-for-ever";
        STATUS_SINCE "14" ["icsStatusSince"] Time One "time from which on the status holds";
        STATUS_BY "15" ["icsStatusBy"] Text One "fingerprint of the signer of the status";
        REASON "16" ["icsReason"] Text One "why, in the words of the signer";
        OTHER_STATUS "17" ["icsOtherStatus"] Text Many "statuses that stand beside the one that decides";
        VOUCHED_BY "18" ["icsVouchedBy"] Text Many "fingerprints of signers who vouch for the identity";
        APPROVED_BY "19" ["icsApprovedBy"] Text Many "fingerprints of signers who approve of it";
        NAME "20" ["icsName"] Exact Many "names that entitled signers give it";
        LABEL "21" ["icsLabel"] Exact Many "trust labels";
        GROUP "22" ["icsGroup"] Text Many "groups that it was put into by name";
        INSTALLED "23" ["icsInstalled"] Text Many "software that is installed on it";
        REPLACES "24" ["icsReplaces"] Text Many "identities that it succeeds";
        GRANT "25" ["icsGrant"] Text Many "role and fingerprint of a signer who is entitled to it";
        CHANGES_AT "26" ["icsChangesAt"] Time One "time at which the next statement begins or ceases to hold";
        MANUFACTURER "27" ["icsManufacturer"] Exact Many "manufacturer name";
        MAKE "28" ["icsMake"] Text Many "product make";
        MODEL "29" ["icsModel"] Exact Many "product model";
        PRODUCT_ID "30" ["icsProductId"] Exact Many "product id";
        PRODUCT_VERSION "31" ["icsProductVersion"] Text Many "product version";
        LOT "32" ["icsLot"] Exact Many "product lot number";
        QUANTITY "33" ["icsQuantity"] Text Many "package quantity";
        LOCATION "34" ["icsLocation"] Text Many "where the signature was made";
        DESTINATION "35" ["icsDestination"] Text Many "where the thing is destined";
        STATEMENT "36" ["icsStatement"] Text One "id of a statement";
        INDEX "37" ["icsIndex"] Number One "index of the entry in the log of the domain";
        ACT "38" ["icsAct"] Text One "what the statement does";
        ROLE "39" ["icsRole"] Text One "capacity in which the signer speaks";
        SIGNER "40" ["icsSigner"] Text One "fingerprint of the signer";
        SIGNER_NAME "41" ["icsSignerName"] Text One "first User ID of the signer";
        ADMITTED_AT "42" ["icsAdmittedAt"] Time One "time at which the home admitted the statement";
        SIGNED_AT "43" ["icsSignedAt"] Time One "time of the signature, as the signer states it";
        STANDING "44" ["icsStanding"] Text One "what became of the statement";
        BECAUSE "45" ["icsBecause"] Text One "that in words";
        ENDED_BY "46" ["icsEndedBy"] Text One "statement that replaced it or took it back";
        SUPERSEDES "47" ["icsSupersedes"] Text Many "statements that it replaces or takes back";
        FROM "48" ["icsFrom"] Time One "time from which on it holds";
        UNTIL "49" ["icsUntil"] Time One "time until which it holds, exclusively";
        SOURCE "50" ["icsSource"] Text Many "domains through which it was adopted, with the index there";
        BODY "51" ["icsBody"] Bytes One "the OpenPGP object as it was admitted";
        HEADER "52" ["icsHeader"] Bytes One "header of an entry of the log";
        SALT "53" ["icsSalt"] Bytes One "what is hashed before header and body";
        LEAF "54" ["icsLeaf"] Bytes One "leaf data of an entry of which the reader gets no more";
        PROOF "55" ["icsProof"] Bytes One "hashes of the proof that the entries before lead to the size";
        SIGHT "56" ["icsSight"] Bytes One "JSON of what a reader has to know who may not read all of a domain";
        SHOWN "57" ["icsShown"] Bytes One "JSON of what is shown of entries that were hidden";
        REMNANT "58" ["icsRemnant"] Bytes One "which statement an erased entry held, and about what";
    }
    Gnupg {
        PGP_BASE "1.3.6.1.4.1.3401.8.2.8" ["pgpBaseKeySpaceDN"] Name One "Points to DN of the object that will store the PGP keys.";
        PGP_SOFTWARE "1.3.6.1.4.1.3401.8.2.9" ["pgpSoftware"] Pgp One "Server software";
        PGP_VERSION "1.3.6.1.4.1.3401.8.2.10" ["pgpVersion"] Pgp One "Version of the key space";
        PGP_KEY "1.3.6.1.4.1.3401.8.2.11" ["pgpKey"] Binary One "OpenPGP public key block";
        PGP_CERT_ID "1.3.6.1.4.1.3401.8.2.12" ["pgpCertID"] Pgp One "Long key id";
        PGP_DISABLED "1.3.6.1.4.1.3401.8.2.13" ["pgpDisabled"] Pgp One "Whether the key is disabled";
        PGP_KEY_ID "1.3.6.1.4.1.3401.8.2.14" ["pgpKeyID"] Pgp One "Short key id";
        PGP_KEY_TYPE "1.3.6.1.4.1.3401.8.2.15" ["pgpKeyType"] Pgp One "Algorithm";
        PGP_USER_ID "1.3.6.1.4.1.3401.8.2.16" ["pgpUserID"] Pgp Many "User IDs";
        PGP_CREATED "1.3.6.1.4.1.3401.8.2.17" ["pgpKeyCreateTime"] PgpOrdered One "Time of creation";
        PGP_SIGNER_ID "1.3.6.1.4.1.3401.8.2.18" ["pgpSignerID"] Pgp Many "Long key ids of certifiers";
        PGP_REVOKED "1.3.6.1.4.1.3401.8.2.19" ["pgpRevoked"] Pgp One "Whether the key is revoked";
        PGP_SUB_KEY_ID "1.3.6.1.4.1.3401.8.2.20" ["pgpSubKeyID"] Pgp Many "Long key ids of subkeys";
        PGP_KEY_SIZE "1.3.6.1.4.1.3401.8.2.21" ["pgpKeySize"] PgpOrdered Many "Bits";
        PGP_EXPIRES "1.3.6.1.4.1.3401.8.2.22" ["pgpKeyExpireTime"] PgpOrdered One "Time of expiration";
        GPG_FINGERPRINT "1.3.6.1.4.1.11591.2.4.1.1" ["gpgFingerprint"] Pgp One "Fingerprint of the primary key";
        GPG_SUB_FINGERPRINT "1.3.6.1.4.1.11591.2.4.1.2" ["gpgSubFingerprint"] Pgp Many "Fingerprints of subkeys";
        GPG_MAILBOX "1.3.6.1.4.1.11591.2.4.1.3" ["gpgMailbox"] Pgp Many "Mailboxes of User IDs";
    }
}

/// An object class (RFC 4512, 4.1.1).
#[derive(Debug)]
pub(super) struct Class {
    oid: &'static str,
    pub(super) name: &'static str,
    description: &'static str,
    abstract_: bool,
    must: &'static [&'static Attribute],
    may: &'static [&'static Attribute],
    from: Origin,
}

macro_rules! classes {
    ($($from:ident { $($id:ident $oid:literal $name:literal $kind:literal $description:literal [$($must:ident),*] [$($may:ident),*];)+ })+) => {
        $($(
            pub(super) static $id: Class = Class {
                oid: $oid,
                name: $name,
                description: $description,
                abstract_: $kind,
                must: &[$(&$must),*],
                may: &[$(&$may),*],
                from: Origin::$from,
            };
        )+)+
        /// All object classes.
        pub(super) static CLASSES: &[&Class] = &[$($(&$id),+),+];
    };
}

classes! {
    Standard {
        TOP "2.5.6.0" "top" true "" [OBJECT_CLASS] [];
        ORGANIZATION_CLASS "2.5.6.4" "organization" false "" [ORGANIZATION] [DESCRIPTION];
        UNIT_CLASS "2.5.6.5" "organizationalUnit" false "" [UNIT] [DESCRIPTION];
        DOMAIN_CLASS "0.9.2342.19200300.100.4.13" "domain" false "" [COMPONENT] [DESCRIPTION];
        SUBSCHEMA_CLASS "2.5.20.1" "subschema" false "" [COMMON_NAME]
            [ATTRIBUTE_TYPES, OBJECT_CLASSES, SYNTAXES, MATCHING_RULES];
    }
    Ics {
        ICS_DOMAIN "1" "icsDomainEntry" false "a domain as this node holds it" [DOMAIN, ORIGIN]
            [DESCRIPTION, POSITION, CHECKPOINT, ROOT, AS_OF_SIZE, AS_OF_TIME, FRESH_FOR, DESCRIPTOR_VERSION];
        ICS_IDENTITY "2" "icsIdentityEntry" false "what a domain says of a thing" [DOMAIN, IDENTITY, KIND, EFFECT]
            [COMMON_NAME, STATUS, STATUS_SINCE, STATUS_BY, REASON, OTHER_STATUS, VOUCHED_BY, APPROVED_BY, NAME, LABEL,
             GROUP, INSTALLED, REPLACES, GRANT, CHANGES_AT, MANUFACTURER, MAKE, MODEL, PRODUCT_ID, PRODUCT_VERSION, LOT,
             QUANTITY, LOCATION, DESTINATION, AS_OF_SIZE, AS_OF_TIME, FRESH_FOR];
        ICS_STATEMENT "3" "icsStatementEntry" false "what a signer says of a thing"
            [STATEMENT, INDEX, ACT, SIGNER, ADMITTED_AT, SIGNED_AT, STANDING]
            [ROLE, SIGNER_NAME, BECAUSE, ENDED_BY, STATUS, EFFECT, LABEL, REASON, SUPERSEDES, FROM, UNTIL, SOURCE,
             BODY];
        ICS_LOGS "4" "icsLogs" false "what stands above the logs of the domains" [COMMON_NAME] [DESCRIPTION];
        ICS_LOG "5" "icsLog" false "the log of a domain as this node holds it" [DOMAIN, ORIGIN]
            [CHECKPOINT, AS_OF_SIZE, PROOF, SIGHT, SHOWN];
        ICS_LOG_ENTRY "6" "icsLogEntry" false "an entry of a log" []
            [INDEX, HEADER, SALT, BODY, LEAF, REMNANT, DESCRIPTOR_VERSION];
    }
    Gnupg {
        PGP_SERVER_INFO "1.3.6.1.4.1.3401.8.2.23" "pgpServerInfo" false "An OpenPGP public keyblock store"
            [COMMON_NAME, PGP_BASE] [PGP_SOFTWARE, PGP_VERSION];
        PGP_KEY_INFO "1.3.6.1.4.1.3401.8.2.24" "pgpKeyInfo" false "An OpenPGP public keyblock" [PGP_CERT_ID, PGP_KEY]
            [PGP_DISABLED, PGP_KEY_ID, PGP_KEY_TYPE, PGP_USER_ID, PGP_CREATED, PGP_SIGNER_ID, PGP_REVOKED,
             PGP_SUB_KEY_ID, PGP_KEY_SIZE, PGP_EXPIRES, GPG_FINGERPRINT, GPG_SUB_FINGERPRINT, GPG_MAILBOX];
    }
}

impl Class {
    /// Whether entries of the class may have an attribute; they may have any operational one.
    pub(super) fn has(&self, attribute: &Attribute) -> bool {
        let own = self.must.iter().chain(self.may).any(|own| **own == *attribute);
        own || attribute.operational || *attribute == OBJECT_CLASS
    }

    fn definition(&self) -> String {
        let list = |word: &str, attributes: &[&Attribute]| match attributes {
            [] => String::new(),
            [one] => format!(" {word} {}", one.name()),
            all => {
                let names: Vec<&str> = all.iter().map(|attribute| attribute.name()).collect();
                format!(" {word} ( {} )", names.join(" $ "))
            }
        };
        let description =
            if self.description.is_empty() { String::new() } else { format!(" DESC '{}'", self.description) };
        let kind = if self.abstract_ { " ABSTRACT" } else { " SUP top STRUCTURAL" };
        let (must, may) = (list("MUST", self.must), list("MAY", self.may));
        let origin = self.from.extension();
        format!("( {} NAME '{}'{description}{kind}{must}{may}{origin} )", full(self.oid, ".2"), self.name)
    }
}

/// The definitions of all attribute types and object classes.
pub(super) fn definitions() -> (Vec<String>, Vec<String>) {
    let attributes = ATTRIBUTES.iter().map(|attribute| attribute.definition()).collect();
    (attributes, CLASSES.iter().map(|class| class.definition()).collect())
}

/// The syntaxes and matching rules that the attribute types use.
pub(super) fn rules() -> (Vec<String>, Vec<String>) {
    const RULES: [(&str, &str, &str); 15] = [
        ("2.5.13.0", "objectIdentifierMatch", "38"),
        ("2.5.13.1", "distinguishedNameMatch", "12"),
        ("2.5.13.2", "caseIgnoreMatch", "15"),
        ("2.5.13.3", "caseIgnoreOrderingMatch", "15"),
        ("2.5.13.4", "caseIgnoreSubstringsMatch", "58"),
        ("2.5.13.5", "caseExactMatch", "15"),
        ("2.5.13.7", "caseExactSubstringsMatch", "58"),
        ("2.5.13.13", "booleanMatch", "7"),
        ("2.5.13.14", "integerMatch", "27"),
        ("2.5.13.15", "integerOrderingMatch", "27"),
        ("2.5.13.17", "octetStringMatch", "40"),
        ("2.5.13.27", "generalizedTimeMatch", "24"),
        ("2.5.13.28", "generalizedTimeOrderingMatch", "24"),
        ("1.3.6.1.1.16.2", "UUIDMatch", ""),
        ("1.3.6.1.1.16.3", "UUIDOrderingMatch", ""),
    ];
    let syntax = |number: &str| match number {
        "" => "1.3.6.1.1.16.1".to_owned(),
        number => format!("1.3.6.1.4.1.1466.115.121.1.{number}"),
    };
    let syntaxes = ["7", "12", "15", "24", "26", "27", "38", "40", "58", ""];
    (
        syntaxes.iter().map(|number| format!("( {} )", syntax(number))).collect(),
        RULES.iter().map(|(oid, name, of)| format!("( {oid} NAME '{name}' SYNTAX {} )", syntax(of))).collect(),
    )
}

/// The most bytes of a name or OID of an attribute type here. A filter is matched with every entry that is looked at,
/// so a name as long as a message must not be read each time.
const NAME_BYTES: usize = 64;

/// The attribute type with this name or OID; one with options is not found, since none here has any.
pub(super) fn attribute(name: &str) -> Option<&'static Attribute> {
    static BY_NAME: LazyLock<HashMap<String, &'static Attribute>> = LazyLock::new(|| {
        let names = |attribute: &'static Attribute| {
            attribute.names.iter().map(|name| name.to_ascii_lowercase()).chain([attribute.oid()])
        };
        ATTRIBUTES.iter().flat_map(|attribute| names(attribute).map(move |name| (name, *attribute))).collect()
    });
    if name.len() > NAME_BYTES {
        return None;
    }
    BY_NAME.get(name.to_ascii_lowercase().as_str()).copied()
}

/// The object class with this name or OID.
pub(super) fn class(name: &str) -> Option<&'static Class> {
    CLASSES.iter().copied().find(|class| class.name.eq_ignore_ascii_case(name) || full(class.oid, ".2") == name)
}

/// The part of the schema that is this project's or GnuPG's, in the LDIF that OpenLDAP loads.
#[cfg(test)]
fn ldif(from: Origin) -> String {
    let name = if from == Origin::Ics { "ics" } else { "gnupg" };
    let mut text = format!(
        "# The {name} schema for OpenLDAP: slapadd -n 0 or ldapadd to cn=schema,cn=config.\n\
         # Written by a test from the tables of the LDAP server; ICS_UPDATE_VECTORS=1 cargo test writes it anew.\n\
         dn: cn={name},cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: {name}\n"
    );
    let attributes = ATTRIBUTES.iter().filter(|it| it.from == from).map(|it| ("olcAttributeTypes", it.definition()));
    let classes = CLASSES.iter().filter(|it| it.from == from).map(|it| ("olcObjectClasses", it.definition()));
    for (attribute, definition) in attributes.chain(classes) {
        let mut line = format!("{attribute}: {definition}");
        // RFC 2849: a continuation line begins with a space.
        while line.len() > 118 {
            let at = line[..118].rfind(' ').filter(|at| *at > 1).unwrap_or(118);
            let rest = line.split_off(at);
            text += &format!("{line}\n");
            line = format!(" {rest}");
        }
        text += &format!("{line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_oids_are_distinct() {
        let mut seen = BTreeSet::new();
        for attribute in ATTRIBUTES {
            assert!(seen.insert(attribute.oid()), "{}", attribute.oid());
            assert!(attribute.names.iter().all(|name| seen.insert(name.to_ascii_lowercase())), "{}", attribute.name());
            let mut all = attribute.names.iter().map(|name| (*name).to_owned()).chain([attribute.oid()]);
            assert!(all.all(|name| super::attribute(&name) == Some(*attribute)), "{}", attribute.name());
        }
        assert!(CLASSES.iter().all(|class| seen.insert(full(class.oid, ".2"))));
        assert!(attribute("ICSIDENTITY").is_some_and(|found| found.name() == "icsIdentity"));
        assert!(attribute("2.5.4.3").is_some_and(|found| found.name() == "cn"));
        assert!(attribute("nothing").is_none());
        assert!(class("ICSidentityEntry").is_some());
    }

    #[test]
    fn the_files_for_slapd_are_these_tables() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/ldap");
        for (from, file) in [(Origin::Ics, "ics.ldif"), (Origin::Gnupg, "gnupg.ldif")] {
            let path = format!("{directory}/{file}");
            if std::env::var_os("ICS_UPDATE_VECTORS").is_some() {
                std::fs::create_dir_all(directory).expect("a directory");
                std::fs::write(&path, ldif(from)).expect("written");
            }
            assert_eq!(std::fs::read_to_string(&path).expect(&path), ldif(from), "{path}");
        }
    }
}
