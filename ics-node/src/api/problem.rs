//! The public problem codes: what can go wrong, by the name that every face uses; and the document that reports it.
//!
//! One table gives each code its HTTP status, title and hint. A code never changes its meaning and is never reused; new
//! ones are added. `schemas/openapi.json` lists all of them, and a test compares.

use std::fmt;

use ics_core::domain::Refusal;
use serde::{Deserialize, Serialize};

/// The table has one line per code: variant, code, HTTP status, title, hint (empty if there is nothing to advise).
macro_rules! codes {
    ($($variant:ident $code:literal $status:literal $title:literal $hint:literal;)+) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant),+
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code: kebab-case, stable for ever.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// The kind of problem, in words; the same for every occurrence (RFC 9457, 3.1.3).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What to do about it, if anything.
            #[must_use]
            pub const fn hint(self) -> Option<&'static str> {
                let hint = match self { $(Self::$variant => $hint),+ };
                if hint.is_empty() { None } else { Some(hint) }
            }
        }
    };
}

codes! {
    // Errors in the request itself, before its meaning matters.
    MalformedRequest "malformed-request" 400 "the request is malformed" "";
    MalformedPath "malformed-path" 400 "the path is malformed" "";
    MalformedQuery "malformed-query" 400 "the query is malformed" "GET /openapi.json lists the parameters of every route";
    MalformedJson "malformed-json" 400 "the body is not the JSON that this route takes" "GET /openapi.json has the schema of every body";
    OperatorOnly "operator-only" 401 "this needs the operator's token" "send `Authorization: Bearer <token>`; the token is in the file that operator_token_file in ics.toml names";
    UnknownRoute "unknown-route" 404 "there is no such route" "GET /openapi.json lists the routes of the API; pages, key servers, ACME and X.509 have others";
    IdentifierMissing "identifier-missing" 403 "the path lacks what is asked for" "add a fingerprint, a key id or an identity to the path";
    NotImplemented "not-implemented" 501 "this key server does not do that" "this key server supports op=get, op=index and POST /pks/add, and of version 2 certs and index";
    MethodNotAllowed "method-not-allowed" 405 "the route does not take this method" "the Allow header lists the methods that it takes";
    NotAcceptable "not-acceptable" 406 "the answer does not exist in a media type that Accept allows" "";
    RequestTimeout "request-timeout" 408 "the request did not arrive in time" "";
    BodyTooLarge "body-too-large" 413 "the body is too large" "send less at once";
    UnsupportedMediaType "unsupported-media-type" 415 "the route does not take a body of this media type" "";
    HeadersTooLarge "headers-too-large" 431 "the request line and headers are too large" "";

    // Errors in what was asked for.
    MalformedDomain "malformed-domain" 400 "this cannot be the name of a domain" "domain names look like devices.acme.example, in lower case";
    MalformedId "malformed-id" 400 "this is neither an id nor a name of an identity" "use a fingerprint, sha256:…, urn:…, serial:…, host:… or another form that `ics lookup --help` lists";
    MalformedTilePath "malformed-tile-path" 400 "this is not the path of a tile" "paths of tiles are those of C2SP tlog-tiles";
    OutOfRange "out-of-range" 400 "a number is outside of its range" "";
    AmbiguousName "ambiguous-name" 409 "the name fits several identities" "ask for one of the ids";
    UnknownDomain "unknown-domain" 404 "this node does not hold the domain" "GET /v1/domains lists the domains that it holds";
    UnknownIdentity "unknown-identity" 404 "the domain knows no such identity" "a domain that has not introduced a thing knows it by its id only: ask for the id, or ask all domains of the node at once (GET /v1/identities/{id}, `ics lookup` without --domain); `ics peer add` copies other domains";
    TooMuchSaid "too-much-said" 422 "more is said of the thing than one such answer can hold" "ask a node with a copy of the domain for the verdict and the evidence separately: GET /v1/verdict, and GET /v1/domains/{domain}/identities/{id}/evidence";
    UnknownEntry "unknown-entry" 404 "the log has no such entry" "";
    UnknownDescriptor "unknown-descriptor" 404 "the domain has no such version of its descriptor" "";
    UnknownTile "unknown-tile" 404 "the log has no such tile" "full tiles exist once the log has grown past them";
    UnknownEnrolment "unknown-enrolment" 404 "there is no such enrolment request" "";
    UnknownLog "unknown-log" 404 "this node is no witness of the log" "its operator makes it one with `ics peer add --cosign ORIGIN`";
    LogUnsigned "log-unsigned" 403 "the checkpoint is not signed by the key that is known for its log" "";
    Inconsistent "inconsistent" 422 "the checkpoint does not follow from what the witness has seen" "";
    DoubtfulWitness "doubtful-witness" 503 "this witness may have cosigned more than it knows" "ask its operator; the log's other witnesses may be enough";
    UnknownPeer "unknown-peer" 404 "there is no such peer" "`ics peer list` shows the configured peers";
    UnknownChallenge "unknown-challenge" 404 "there is no such challenge" "ask for a new one: a challenge can be used once, within a minute";
    NoKey "no-key" 409 "the identity has no key" "software and groups cannot be challenged";
    NotProven "not-proven" 403 "the signature does not prove that the signer holds the identity's key" "ask for a new challenge and sign its message, byte for byte";
    Erased "erased" 410 "the entry's body was erased" "its leaf and its residual effect remain";

    // Submissions.
    BatchEmpty "batch-empty" 400 "the submission holds no statement" "";
    BatchTooLarge "batch-too-large" 413 "this is too much at once" "send less in each of several requests";
    NotHome "not-home" 409 "only the domain's home node does this" "ask the home node; GET /v1/domains/{domain} says whether a node is the home";
    IsHome "is-home" 409 "this node is the home of the domain" "a bundle brings news of a domain to its copies, not to its home; GET /v1/domains/{domain} says whether a node is the home";
    Refused "refused" 422 "the statement was refused" "";
    MalformedStatement "malformed-statement" 422 "this is not a statement in the form that the log takes" "";
    BadSignature "bad-signature" 422 "the signature is not good" "";
    SignerKey "signer-key" 403 "the signer's key may not make this signature" "";
    DescriptorRefused "descriptor-refused" 422 "the descriptor is refused" "";
    SourceUnproven "source-unproven" 422 "the entry is not proven to stand in the log that it is adopted from" "";
    SourceKey "source-key" 403 "the home of the domain to adopt from signs with a key other than the one that the descriptor names" "if its owners have given it another key, name that key: `ics domain update --add-source FILE`, with what its home answers at /v1/domains/DOMAIN";
    TooManyRequests "too-many-requests" 429 "a quota is used up" "try again later";

    // Statements and certificates that a domain does not admit: the codes of `ics_core::domain::Refusal`. What the
    // domain's policy forbids is 403; what no policy could admit is 422.
    Duplicate "duplicate" 422 "the statement is already in the log" "";
    StatementErased "statement-erased" 403 "the statement was erased" "an erased statement is never admitted again";
    NotErasable "not-erasable" 403 "this cannot be erased" "it stays in the log for as long as the domain exists";
    ErasesUnknown "erases-unknown" 422 "there is nothing to erase" "";
    ErasureDiffers "erasure-differs" 422 "the erasure does not restate what must stay" "GET /v1/domains/{domain}/entries/{index}/erasure proposes one that does";
    ErasesFormer "erases-former" 403 "certificates are revoked by what the status blocked before the descriptor changed" "let the status block for ever again, erase the entry, and then weaken the status: `ics domain update --from-file`, twice";
    NotTheOwners "not-the-owners" 403 "an erasure takes the signatures of the domain's owners" "as many owners must sign it as must sign a new version of the descriptor";
    ForeignDomain "foreign-domain" 422 "the statement was made for another domain" "submit it to that domain, or adopt it from there";
    UnknownSource "unknown-source" 403 "the descriptor does not list the domain to adopt from" "the owners add it to `sources` in a new version of the descriptor: `ics domain update --add-source FILE`, with what a node that holds it answers at /v1/domains/DOMAIN, and `ics domain submit`";
    SourceMismatch "source-mismatch" 422 "the statement was made for a domain other than the one that it is adopted from" "";
    AdoptedOwn "adopted-own" 422 "a domain cannot adopt its own statements" "";
    UnknownSigner "unknown-signer" 403 "the domain does not know the signer" "submit the signer's certificate first, or in the same batch before the signer's statements";
    SignerCompromised "signer-compromised" 403 "the signer is declared compromised" "sign with a key that is not declared compromised";
    FutureTime "future-time" 422 "the signature was made in the future" "correct the signer's clock, and sign again";
    TimeGoesBack "time-goes-back" 422 "the log's time would go back" "";
    KindDiffers "kind-differs" 422 "the domain knows the identity as another kind" "";
    UnknownStatus "unknown-status" 422 "the domain has no such status for things of this kind" "";
    ForEverUntil "for-ever-until" 422 "a status that blocks for ever cannot have an end" "";
    RevocationMismatch "revocation-mismatch" 422 "the signature type does not match what the statement says" "";
    IssuedToBlocked "issued-to-blocked" 403 "a blocked identity gets no certificate" "lift the status that blocks it first";
    UnknownRole "unknown-role" 403 "the descriptor does not define the role" "";
    RoleNotHeld "role-not-held" 403 "the signer does not have the role that the statement claims" "an owner must name the signer in the descriptor (`ics domain update --add-signer ROLE=KEY`), or somebody entitled must grant the signer the role (`ics grant`)";
    NameNotPermitted "name-not-permitted" 403 "the role may not give this name" "the descriptor says which names a role may give: its owners add a pattern with `ics domain update --add-names ROLE=PATTERN`";
    SupersedesUnknown "supersedes-unknown" 422 "the statement supersedes something unknown" "";
    SupersedesOtherAct "supersedes-other-act" 422 "the statement supersedes one of another act" "";
    SupersedesWithdrawal "supersedes-withdrawal" 422 "a withdrawal cannot be superseded" "make the withdrawn statement again";
    SupersedesOthers "supersedes-others" 403 "the signer may not end another signer's statement" "";
    BlockedForEver "blocked-for-ever" 403 "only the domain's owners can lift what blocks for ever" "they name the statement in `lifted` in a new version of the descriptor: `ics domain update --lift STATEMENT`";
    Groups "groups" 422 "too many groups are named for this identity" "let groups select it by its attributes instead (`ics publish --group NAME --select ATTRIBUTE=VALUE`)";
    AttributeValues "attribute-values" 422 "the identity has too many values of an attribute" "";
    Quota "quota" 422 "the signer has used up the quota for this identity" "a signer who does not block it yet may still block it, up to 16 times; anything more must come from another signer, or the domain's owners raise `statements_per_signer_and_identity` in `limits` of the descriptor (`ics domain update --from-file`)";
    RecordFull "record-full" 422 "too much has been said about this identity" "a signer who does not block it yet may still block it, as long as there are fewer than 3840 statements, or fewer than 4096 if the descriptor names that signer; earlier statements stay in the log for ever and make no room";
    NotPermitted "not-permitted" 403 "the domain's access rules do not permit it" "";
    CertificateNotNamed "certificate-not-named" 403 "nobody has named the holder of the certificate" "an owner must name the holder in the descriptor (`ics domain update --add-signer ROLE=KEY`), or somebody entitled must grant the holder a role (`ics grant`)";
    CertificateShrinks "certificate-shrinks" 422 "the certificate lacks what an earlier one had" "";
    CertificateKeyTaken "certificate-key-taken" 422 "a key of the certificate belongs to another certificate" "";
    CertifiesUnknown "certifies-unknown" 403 "the certification is on no certificate that is known here" "submit the certificate with the certified User ID first";
    CertificateTooLong "certificate-too-long" 422 "the certificate is too long" "";

    // X.509.
    BadCsr "bad-csr" 400 "the request for a certificate is refused" "";
    UnprovenClient "unproven-client" 401 "the client has not proven who it is" "";
    CertificateRefused "certificate-refused" 403 "the certificate is neither issued nor revoked" "";
    UnknownCertificate "unknown-certificate" 404 "there is no such certificate here" "";

    // The node.
    PeerRefused "peer-refused" 422 "the peer is refused" "";
    OverBudget "over-budget" 429 "the peer's budget is used up" "try again after the seconds in Retry-After";
    Busy "busy" 503 "the node has as much work as it takes" "try again after the seconds in Retry-After";
    NoRoom "no-room" 503 "the node's disk is full" "try again after the seconds in Retry-After: the node goes on by itself once its operator has made room";
    Behind "behind" 503 "the node is not ready to answer for this domain" "try again after the seconds in Retry-After, or ask another node";
    NoPolicy "no-policy" 503 "nothing is decided here without a trust policy" "";
    Unwitnessed "unwitnessed" 503 "the domain's witnesses have not cosigned yet" "what was submitted is in the log, and gets its receipt once they have cosigned: submit it again then";
    Upstream "upstream" 502 "the domain's home node could not be reached or gave no usable answer" "try again later, or submit to the home itself";
    Internal "internal" 500 "the node failed" "tell the node's operator, with the id if there is one: the node's log has the cause";
}

impl Code {
    /// The URI of the problem type: `urn:ics:problem:` and the code.
    #[must_use]
    pub fn uri(self) -> String {
        format!("urn:ics:problem:{self}")
    }

    /// The code with this name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:ics:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong in this case: which field, limit or rule.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A document for a code of the public table.
    #[must_use]
    pub fn of(code: Code, detail: String) -> Self {
        Self {
            kind: code.uri(),
            title: code.title().to_owned(),
            status: code.status(),
            detail,
            hint: code.hint().map(str::to_owned),
        }
    }

    /// A document for a statement that the core refused, whose codes are in the table.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let problem = Self::of(Code::named(refusal.code()).unwrap_or(Code::Refused), refusal.to_string());
        let Refusal::NotPermitted { rules, errors, .. } = refusal else { return problem };
        let unpermitted = (rules.is_empty() && errors.is_empty()).then_some(UNPERMITTED);
        match unpermitted.or_else(|| rules.iter().find_map(|rule| hint_of_rule(rule))) {
            Some(hint) => Self { hint: Some(hint.to_owned()), ..problem },
            None => problem,
        }
    }

    /// The code at the end of the type.
    #[must_use]
    pub fn code(&self) -> &str {
        self.kind.strip_prefix("urn:ics:problem:").unwrap_or(&self.kind)
    }

    /// The problem in general terms, for alarms: anyone may read these, and the detail may name what is hidden. The
    /// caller writes the detail to the node's log.
    pub(crate) fn in_general(&self) -> String {
        format!("{} (`{}`); the node's log says more", self.title, self.code())
    }

    /// Whether repeating the request would get the same answer, at least until someone else does something about it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.status < 500 && !matches!(self.status, 408 | 429)
    }
}

/// What to do if no rule permits it: a certification body, for instance, labels, and gives no status.
const UNPERMITTED: &str = "another role may be permitted to say it (`--role`); `ics --json domain show` prints the rules as `access`, and \
     the owners change them with `ics domain update --from-file`";

/// What to do if a rule of the templates forbids it.
fn hint_of_rule(rule: &str) -> Option<&'static str> {
    match rule {
        "elsewhere-lifts-nothing" => Some(
            "an owner by the word of another domain can lift, in that domain, what was said there; to let them lift \
             what was said here, somebody whose own role is from here must grant them the role here (`ics grant owner \
             --to KEY`), or the domain's owners must list them as owner of all things (`ics domain update --add-signer \
             owner=KEY`)",
        ),
        "elsewhere-makes-owners-alone" => Some(
            "the domain's owners must give the signer the role (`ics domain update --add-signer ROLE=KEY`), or \
             somebody whose own role is from here must grant it here (`ics grant`)",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_kebab_case() {
        let distinct: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(distinct.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{code}");
            assert!(code.as_str().starts_with(|c: char| c.is_ascii_lowercase()), "{code}");
            assert_eq!(Code::named(code.as_str()), Some(*code));
        }
        assert_eq!(Code::named("no-such-code"), None);
    }

    /// The codes that the core's `code` functions return, taken from their source.
    fn core_codes() -> impl Iterator<Item = &'static str> {
        let sources = [include_str!("../../../ics-core/src/domain/refusal.rs")];
        let codes = sources.into_iter().flat_map(|source| source.split("fn code(").skip(1));
        codes.flat_map(|rest| rest.split("\n    }").next().unwrap_or_default().split('"').skip(1).step_by(2))
    }

    #[test]
    fn every_refusal_of_the_core_is_in_the_table() {
        assert!(core_codes().any(|code| code == "foreign-domain"), "the source has changed its form");
        for code in core_codes() {
            assert!(Code::named(code).is_some(), "`{code}` is missing");
        }
    }

    /// A buyer who is refused must be told who can permit it: the rules are those of the templates, under these names.
    #[test]
    fn what_a_rule_about_elsewhere_forbids_comes_with_the_way_out() {
        let templates = include_str!("../../../ics-core/src/descriptor/templates/common.cedar");
        for rule in ["elsewhere-lifts-nothing", "elsewhere-makes-owners-alone"] {
            assert!(templates.contains(&format!("@id(\"{rule}\")")), "{rule}");
            let forbidden = |rules: &[&str]| {
                let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
                Problem::refused(&Refusal::NotPermitted { said: None, rules, errors: Vec::new() })
            };
            let problem = forbidden(&["another", rule]);
            assert_eq!(problem.code(), "not-permitted");
            assert!(problem.hint.is_some_and(|hint| hint.contains("ics domain update --add-signer ")), "{rule}");
            assert_eq!(forbidden(&["another"]).hint, None);
        }
    }

    #[test]
    fn what_no_rule_permits_comes_with_the_way_to_the_rules() {
        let refusal = Refusal::NotPermitted { said: None, rules: Vec::new(), errors: Vec::new() };
        let hint = Problem::refused(&refusal).hint.unwrap_or_default();
        assert!(hint.contains("`ics --json domain show`") && hint.contains("--from-file"), "{hint}");
    }

    /// Whoever adopts for the first time is refused until the owners have named the source, its signers and their
    /// names.
    #[test]
    fn what_the_owners_have_to_change_comes_as_a_command() {
        for (code, command) in [
            (Code::UnknownSource, "`ics domain update --add-source FILE`"),
            (Code::CertificateNotNamed, "`ics domain update --add-signer ROLE=KEY`"),
            (Code::RoleNotHeld, "`ics domain update --add-signer ROLE=KEY`"),
            (Code::NameNotPermitted, "`ics domain update --add-names ROLE=PATTERN`"),
        ] {
            assert!(code.hint().is_some_and(|hint| hint.contains(command)), "{code}");
        }
    }

    /// A user who reports a theft and is refused must be told what is still admitted, with the actual bounds.
    #[test]
    fn a_bound_on_what_is_said_of_a_thing_says_what_passes_all_the_same() {
        let says = |code: Code, bound: usize| {
            let hint = code.hint().unwrap_or_default();
            assert!(hint.contains("does not block yet") || hint.contains("does not block it yet"), "{code}: {hint}");
            assert!(hint.contains(&bound.to_string()), "{code}: {hint}");
        };
        says(Code::Quota, ics_core::limits::FIRST_BLOCKS);
        says(Code::RecordFull, ics_core::limits::RECORD_STATEMENTS_GRANTED);
        says(Code::RecordFull, ics_core::limits::RECORD_STATEMENTS);
    }

    #[test]
    fn every_code_is_an_error_and_worded_as_one() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            for text in [Some(code.title()), code.hint()].into_iter().flatten() {
                assert!(!text.is_empty() && !text.ends_with('.'), "{code}: {text}");
            }
            assert!(code.title().starts_with(|c: char| c.is_ascii_lowercase()), "{code}");
        }
    }
}
