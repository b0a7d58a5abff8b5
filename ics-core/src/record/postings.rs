//! The index keys by which a statement is found, as a function of the statement alone.

use std::collections::BTreeSet;

use super::Logged;
use super::report::IssuedCertificate;
use super::said::restated;
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::name::Name;
use crate::statement::{Claims, Group, SignedErasure, StatementId, Subject, Unverified};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, Role, StatusName};

/// What the key of a name begins with.
const NAME: u8 = 3;

/// One key under which a statement is filed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Posting {
    /// The identity that it is about.
    Subject(IdentityId),
    /// Its id.
    Statement(StatementId),
    /// A name that it gives.
    Name(Name),
    /// Who signed it; for a remnant also who signed the erased statement, if the erasure says so.
    Signer(Fingerprint),
    /// The kind of thing that it is about.
    Kind(Kind),
    /// Its act.
    Act(Act),
    /// The capacity in which its signer speaks.
    Role(Role),
    /// An attribute that it gives, or that its subject, a group, selects.
    Attribute(Attribute, String),
    /// The status that it gives.
    Status(StatusName),
    /// The label that it gives.
    Label(String),
    /// The status that it gives to a group, and so to each of the members.
    GroupStatus(StatusName),
    /// The label that it gives to a group.
    GroupLabel(String),
    /// A group that it puts its subject into.
    Member([u8; 32]),
    /// What its subject, a group, selects: see [`crate::statement::Group::selector_key`].
    Selector([u8; 32]),
    /// The grantee of its grant.
    Grantee(Fingerprint),
    /// The software that it says is installed.
    Installed([u8; 32]),
    /// The last four octets of the key id of what it introduces, which its long and short forms share.
    KeyId([u8; 4]),
    /// A User ID by which OpenPGP clients find what it introduces: all of it, or the mail address in it, in lower case.
    /// A URN is a name instead.
    UserId(String),
    /// The issuer of the X.509 certificate that it names, and the bucket of its serial number: see
    /// [`IssuedCertificate::bucket`].
    Issued(Fingerprint, u8),
    /// An hour, counted from 1970, in which it begins or ceases to be in force: see [`Posting::turns`].
    Turns(u64),
    /// The identity that its subject succeeds.
    Replaces(IdentityId),
}

impl Posting {
    /// The hour of a time at which something begins or ceases to be in force.
    #[must_use]
    pub const fn turns(at: Timestamp) -> Self {
        Self::Turns(at.as_seconds() / 3600)
    }

    /// The bytes of the key: one that identifies the kind of key, then the value. A store may hash them; because hashes
    /// collide, it then compares the [`postings`] of what it found.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(72);
        self.write(&mut bytes);
        bytes
    }

    /// The bytes of [`Posting::Name`], without a copy of the name: each look-up by name needs them.
    #[must_use]
    pub fn bytes_of_name(name: &Name) -> Vec<u8> {
        [&[NAME][..], name.text().as_bytes()].concat()
    }

    /// Appends these bytes: a statement has a dozen keys, and one buffer serves all of them.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let mut put = |tag: u8, parts: &[&[u8]]| {
            bytes.push(tag);
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
        };
        match self {
            Self::Subject(id) => {
                let (tag, digest) = id.tagged();
                put(1, &[&[tag], digest]);
            }
            Self::Statement(id) => put(2, &[&id.0]),
            Self::Name(name) => put(NAME, &[name.text().as_bytes()]),
            Self::Signer(fingerprint) => put(4, &[fingerprint.as_bytes()]),
            Self::Kind(kind) => put(5, &[kind.as_str().as_bytes()]),
            Self::Act(act) => put(6, &[act.as_str().as_bytes()]),
            Self::Role(role) => put(7, &[role.as_str().as_bytes()]),
            Self::Attribute(attribute, value) => put(8, &[attribute.as_str().as_bytes(), b"=", value.as_bytes()]),
            Self::Status(status) => put(9, &[status.as_str().as_bytes()]),
            Self::Label(label) => put(10, &[label.as_bytes()]),
            Self::Member(group) => put(11, &[group]),
            Self::Selector(key) => put(12, &[key]),
            Self::Grantee(fingerprint) => put(13, &[fingerprint.as_bytes()]),
            Self::Installed(software) => put(14, &[software]),
            Self::KeyId(id) => put(15, &[id]),
            Self::UserId(text) => put(16, &[text.as_bytes()]),
            Self::Issued(issuer, bucket) => put(17, &[issuer.as_bytes(), &[*bucket]]),
            Self::Turns(hour) => put(18, &[&hour.to_be_bytes()]),
            Self::GroupStatus(status) => put(19, &[status.as_str().as_bytes()]),
            Self::GroupLabel(label) => put(20, &[label.as_bytes()]),
            Self::Replaces(id) => {
                let (tag, digest) = id.tagged();
                put(21, &[&[tag], digest]);
            }
        }
    }

    /// Whether a statement is filed under this key: whether it is one of the statement's [`postings`].
    #[must_use]
    pub fn is_of(&self, statement: &Logged) -> bool {
        match self {
            // Each look-up and each admission compares one of these. To make all keys of a statement for that would
            // take longer than to find it.
            Self::Subject(id) => statement.subject_id() == *id,
            Self::Name(name) => statement.names().contains(name),
            Self::Statement(id) => statement.id() == *id,
            Self::Selector(key) => statement.subject().as_group().and_then(Group::selector_key) == Some(*key),
            Self::Grantee(grantee) => statement.claims().grant.as_ref().is_some_and(|grant| grant.grantee == *grantee),
            _ => postings(statement).contains(self),
        }
    }
}

/// The attributes by which listings are filtered.
const LISTED: [Attribute; 4] = Attribute::SELECTING;

/// All keys of a statement.
#[must_use]
pub fn postings(statement: &Logged) -> BTreeSet<Posting> {
    let ids = (statement.id(), statement.subject_id(), statement.signer());
    let mut keys = all(ids, statement.subject(), statement.claims(), statement.names());
    keys.extend(statement.said_by().map(|by| Posting::Signer(by.signer)));
    keys.into_iter().collect()
}

/// All keys of a statement that is not verified yet, filed under the key that signed it: a function of its body alone.
#[must_use]
pub fn postings_of(unverified: &Unverified) -> Vec<Posting> {
    let ids = (unverified.id(), unverified.identity(), unverified.issuer());
    all(ids, unverified.subject(), unverified.claims(), unverified.names())
}

/// All keys of what an erasure restates, so that the remnant is found as the erased statement was: a function of the
/// erasure's body alone. The placeholder for a User ID is not one of them.
#[must_use]
pub fn postings_of_erasure(signed: &SignedErasure) -> Vec<Posting> {
    let Some(left) = restated(signed) else { return Vec::new() };
    let mut keys = all((left.id, left.identity, left.issuer), &left.subject, &left.claims, &left.names);
    keys.retain(|posting| !matches!(posting, Posting::UserId(_)));
    keys.extend(signed.erasure.said_by.as_ref().map(|by| Posting::Signer(by.signer)));
    keys
}

fn all(
    (id, identity, signer): (StatementId, IdentityId, Fingerprint),
    subject: &Subject,
    claims: &Claims,
    names: &[Name],
) -> Vec<Posting> {
    let mut keys = Vec::with_capacity(16);
    keys.extend([
        Posting::Subject(identity),
        Posting::Statement(id),
        Posting::Signer(signer),
        Posting::Kind(subject.kind()),
        Posting::Act(claims.act),
        Posting::Role(claims.role.clone()),
    ]);
    let selector = subject.as_group();
    let attributes = claims.attributes.iter().chain(selector.iter().flat_map(|group| &group.attributes));
    keys.extend(
        attributes
            .filter(|(attribute, _)| LISTED.contains(attribute))
            .map(|(attribute, value)| Posting::Attribute(*attribute, value.clone())),
    );
    keys.extend(names.iter().cloned().map(Posting::Name));
    keys.extend(claims.groups.iter().copied().map(Posting::Member));
    keys.extend(selector.and_then(|group| group.selector_key()).map(Posting::Selector));
    keys.extend(claims.status.clone().map(Posting::Status));
    keys.extend(claims.label.clone().map(Posting::Label));
    if selector.is_some() {
        keys.extend(claims.status.clone().map(Posting::GroupStatus));
        keys.extend(claims.label.clone().map(Posting::GroupLabel));
    }
    keys.extend(claims.grant.as_ref().map(|grant| Posting::Grantee(grant.grantee)));
    keys.extend(claims.installed.map(Posting::Installed));
    keys.extend(claims.replaces.map(Posting::Replaces));
    let bucket = IssuedCertificate::of(claims).and_then(|issued| issued.bucket());
    keys.extend(bucket.map(|bucket| Posting::Issued(signer, bucket)));
    let turns: BTreeSet<Posting> = [claims.from, claims.until].into_iter().flatten().map(Posting::turns).collect();
    keys.extend(turns);
    if let (Act::Identity, Subject::Key { fingerprint, user_id, .. }) = (claims.act, subject) {
        let [.., a, b, c, d] = fingerprint.key_id();
        keys.push(Posting::KeyId([a, b, c, d]));
        keys.extend(user_id_terms(user_id).into_iter().map(Posting::UserId));
    }
    keys
}

/// The terms by which a User ID is found, besides names: all of it, and the mail address between angle brackets.
#[must_use]
pub fn user_id_terms(user_id: &str) -> BTreeSet<String> {
    let whole = Some(user_id).filter(|text| Name::urn_of(text).is_none());
    whole.into_iter().chain(mail_of(user_id)).map(str::to_lowercase).collect()
}

/// The mail address of a User ID: the part between angle brackets at its end, or all of it if it looks like one.
#[must_use]
pub fn mail_of(user_id: &str) -> Option<&str> {
    let bracketed = user_id.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map(|(_, mail)| mail);
    let mail = bracketed.unwrap_or(user_id);
    let is_mail = mail.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    Some(mail).filter(|_| is_mail && !mail.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Context;
    use crate::log::entry::{EntryKind, Header};
    use crate::samples::*;
    use crate::statement::body::{self, Body};
    use crate::statement::{fixtures, make, verify};

    #[test]
    fn a_mail_address_stands_in_brackets_at_the_end_or_alone() {
        for (user_id, mail) in [
            ("Alice <Alice@Acme.example>", Some("Alice@Acme.example")),
            ("alice@acme.example", Some("alice@acme.example")),
            ("A <b> <a@b>", Some("a@b")),
            ("Alice", None),
            ("Alice <a@b> (work)", None),
            ("Alice a@b", None),
            ("Alice <alice>", None),
            ("<@acme.example>", None),
            ("<alice@>", None),
            ("<a\u{2003}b@c>", None),
        ] {
            assert_eq!(mail_of(user_id), mail, "{user_id}");
        }
    }

    /// Clients find a key by its whole User ID or the address in it, in any case; a URN is already a name.
    #[test]
    fn a_user_id_is_found_as_a_whole_and_by_its_address() {
        let terms = |user_id: &str| user_id_terms(user_id).into_iter().collect::<Vec<_>>();
        assert_eq!(terms("Alice <A@B.example>"), ["a@b.example", "alice <a@b.example>"]);
        assert_eq!(terms("Pump 7"), ["pump 7"]);
        assert_eq!(terms("serial:SN-1"), ["serial:sn-1"]);
        assert_eq!(terms("urn:dev:mac:0024befffe804ff1"), [""; 0]);
    }

    #[test]
    fn an_hour_is_one_posting() {
        let at = |seconds| Posting::turns(Timestamp::from_seconds(seconds));
        assert_eq!(at(0), Posting::Turns(0));
        assert_eq!((at(7199), at(7200)), (Posting::Turns(1), Posting::Turns(2)));
    }

    /// A store files a statement by its body alone, and finds it again by what was verified.
    #[test]
    fn a_statement_is_filed_before_it_is_verified_as_it_is_found_after() {
        let unverified = fixtures::unverified(&fixtures::statement());
        let filed = postings_of(&unverified);
        let verified = verify(unverified, &fixtures::certificate_of(&fixtures::maker()), fixtures::at());
        let header = Header { kind: EntryKind::Statement, admitted_at: fixtures::at(), source: None };
        let logged = Logged::new(0, &header, &verified.expect("verified")).expect("a header");
        assert!(filed.len() > 6, "{filed:?}");
        assert_eq!(filed.into_iter().collect::<BTreeSet<_>>(), postings(&logged));
    }

    /// A remnant is found as the erased statement was; only its names are gone.
    #[test]
    fn an_erasure_is_filed_under_what_it_restates() {
        let lot = group("lot 7", &[(Attribute::Lot, "7")]);
        let introduced = introduce(0).name("serial:SN-1").attribute(Attribute::Lot, "7").joins(&lot).log();
        let suspended = status(1, KEEPER, "maintainer", "suspended").from(100).until(9_000_000).log();
        let about = [introduced, suspended];
        let context = Context { about: &about, groups: &[], unseen: false };
        let owner = fixtures::maker();
        for erased in &about {
            let erasure = domain().erasure_of(erased, &context, now()).expect("it may be erased");
            let json = erasure.to_json().expect("canonical");
            let body = make::sign_descriptor(&[&owner], &json, fixtures::at(), &fixtures::SALT).expect("made");
            let Ok(Body::Erasure(signed)) = body::parse(&body) else { panic!("an erasure") };
            let header = Header { kind: EntryKind::Erasure, admitted_at: now(), source: None };
            let left = Logged::from_erasure(7, &header, &signed).expect("a header").expect("it says what it was about");
            let filed = postings_of_erasure(&signed);
            assert!(filed.iter().all(|key| key.is_of(&left)), "{filed:?}");
            let filed: BTreeSet<_> = filed.into_iter().collect();
            let unfiled: Vec<_> = postings(&left).difference(&filed).cloned().collect();
            assert!(unfiled.iter().all(|key| matches!(key, Posting::UserId(_))), "{unfiled:?}");
            // For the first: act, lot, group and key id; for the second: status, beginning, end and who said it; for
            // both, what it is about.
            let stays: Vec<_> = postings(erased).intersection(&filed).cloned().collect();
            let blocks = erasure.effect.is_some();
            assert_eq!(stays.len(), if blocks { 8 } else { 7 }, "{stays:?}");
            assert_eq!(filed.contains(&Posting::Signer(erased.signer())), blocks, "{filed:?}");
            assert!(!filed.iter().any(|key| matches!(key, Posting::Name(_) | Posting::UserId(_))), "{filed:?}");
        }
    }

    #[test]
    fn postings_are_all_by_which_a_statement_is_found() {
        let lot = || group("lot 7", &[(Attribute::Model, "P1"), (Attribute::Lot, "7")]);
        let pump = |n| introduce(n).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "7");
        let statement = pump(0).name("serial:SN-1").joins(&lot()).log();
        let keys = postings(&statement);
        for key in [
            Posting::Subject(device()),
            Posting::Statement(id(0)),
            Posting::Name(word("serial:SN-1")),
            Posting::Signer(MAKER),
            Posting::Kind(Kind::Device),
            Posting::Act(Act::Identity),
            Posting::Role(word("manufacturer")),
            Posting::Attribute(Attribute::Lot, "7".to_owned()),
            Posting::Member(group_id(&lot())),
        ] {
            assert!(keys.contains(&key), "{key:?}");
        }
        assert!(keys.iter().all(|key| key.is_of(&statement)));
        let others = postings(&pump(1).name("serial:SN-2").log());
        let filed: Vec<_> = others.iter().filter(|key| key.is_of(&statement)).collect();
        assert_eq!(filed, others.intersection(&keys).collect::<Vec<_>>(), "and no other is");
        let granted = grant(1, MAKER, "manufacturer", BUYER, "owner").on(&lot()).log();
        let keys = postings(&granted);
        assert!(keys.iter().all(|key| key.is_of(&granted)) && !Posting::Grantee(HEIR).is_of(&granted), "{keys:?}");
        assert!(keys.contains(&Posting::Grantee(BUYER)));
        assert!(keys.contains(&Posting::Selector(lot().selector_key().expect("a selector"))));
        assert!(keys.contains(&Posting::Attribute(Attribute::Model, "P1".to_owned())));
        let bytes: BTreeSet<_> = keys.iter().map(Posting::to_bytes).collect();
        assert_eq!(bytes.len(), keys.len());
        let name: Name = word("serial:SN-1");
        assert_eq!(Posting::bytes_of_name(&name), Posting::Name(name).to_bytes());
        let recall = status(3, MAKER, "manufacturer", "withdrawn");
        let of_group = Posting::GroupStatus(word("withdrawn"));
        assert!(postings(&recall.clone().on(&lot()).log()).contains(&of_group));
        assert!(!postings(&recall.log()).contains(&of_group));
        let labelled = say(4, LABELLER, "certification-body", Act::Label).on(&lot());
        let labelled = postings(&labelled.with(|said| said.claims.label = Some("ce".to_owned())).log());
        assert!(labelled.contains(&Posting::Label("ce".to_owned())));
        assert!(labelled.contains(&Posting::GroupLabel("ce".to_owned())));
        let successor = introduce(5).with(|said| said.claims.replaces = Some(IdentityId::Key(HEIR))).log();
        assert!(postings(&successor).contains(&Posting::Replaces(IdentityId::Key(HEIR))));
        let turning = status(2, KEEPER, "maintainer", "suspended").from(1).until(9_000_000).log();
        let bounds =
            [turning.claims().from, turning.claims().until].map(|bound| Posting::turns(bound.expect("a bound")));
        assert!(bounds[0] != bounds[1] && bounds.iter().all(|bound| postings(&turning).contains(bound)));
    }
}
