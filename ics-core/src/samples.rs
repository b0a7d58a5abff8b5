//! Statements and a domain used by the tests of resolution, admission and verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::checker::Heard;
use crate::descriptor::{Descriptor, DomainLimits, Freshness, NodeKey, Owners, RULES, RoleSpec, Source};
use crate::domain::Domain;
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::record::{Logged, SourceRef};
use crate::statement::verify::Content;
use crate::statement::{Claims, DeveloperSignature, Grant, Group, SignatureForm, Software, StatementId, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Role};

/// The manufacturer, by descriptor.
pub(crate) const MAKER: Fingerprint = Fingerprint::V4([1; 20]);
/// The maintainer, by descriptor.
pub(crate) const KEEPER: Fingerprint = Fingerprint::V4([2; 20]);
/// The certification body, by descriptor.
pub(crate) const LABELLER: Fingerprint = Fingerprint::V4([3; 20]);
/// A security controller, by descriptor.
pub(crate) const CONTROLLER: Fingerprint = Fingerprint::V4([4; 20]);
/// A signer whom the descriptor does not name.
pub(crate) const BUYER: Fingerprint = Fingerprint::V4([5; 20]);
/// Another such signer.
pub(crate) const HEIR: Fingerprint = Fingerprint::V4([6; 20]);
/// The device that most statements are about.
pub(crate) const DEVICE: Fingerprint = Fingerprint::V4([0xdd; 20]);

const ACCESS: &str = r#"
@id("role-held") permit (principal, action in Action::"append", resource) when { principal in context.role };
@id("grants-owner") forbid (principal, action == Action::"grant", resource)
unless { context.grants == Role::"owner" || context.role == Role::"manufacturer" };
@id("certificates") permit (principal, action == Action::"certificate", resource);
"#;

/// 2026-01-01 plus this many seconds.
pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + seconds)
}

/// The time at which most records are judged.
pub(crate) fn now() -> Timestamp {
    time(1_000_000)
}

pub(crate) fn word<T: core::str::FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("formed")
}

pub(crate) fn home() -> DomainName {
    word("devices.acme.example")
}

pub(crate) fn device() -> IdentityId {
    IdentityId::Key(DEVICE)
}

fn node() -> NodeKey {
    NodeKey { name: "ics.acme.example".to_owned(), key: String::new() }
}

fn role(signer: Option<Fingerprint>, names: &[&str]) -> RoleSpec {
    RoleSpec {
        signers: signer.into_iter().collect(),
        names: names.iter().map(|pattern| (*pattern).to_owned()).collect(),
    }
}

/// Its first descriptor.
pub(crate) fn descriptor() -> Descriptor {
    Descriptor {
        domain: home(),
        version: 1,
        previous: None,
        rules: RULES,
        description: String::new(),
        owners: Owners { threshold: 1, keys: Vec::new() },
        home: node(),
        roles: BTreeMap::from([
            (word("manufacturer"), role(Some(MAKER), &["serial:*", "urn:dev:os:32473-*"])),
            (word("maintainer"), role(Some(KEEPER), &["host:*"])),
            (word("certification-body"), role(Some(LABELLER), &[])),
            (word("security-controller"), role(Some(CONTROLLER), &[])),
            (word("owner"), role(None, &[])),
        ]),
        lifts: BTreeMap::from([(word("owner"), BTreeSet::from([word("suspended"), word("lost"), word("retired")]))]),
        freshness: Freshness { default: 3600, uses: BTreeMap::new() },
        limits: DomainLimits::default(),
        witnesses: None,
        sources: vec![Source { domain: word("maker.example"), entry0: Hash([0x5e; 32]), home: node() }],
        certificates: None,
        statuses: BTreeMap::new(),
        access: ACCESS.to_owned(),
        compromised: Vec::new(),
        lifted: BTreeSet::new(),
        last_head: None,
    }
}

/// The domain; its descriptor governs all entries from 1 on.
pub(crate) fn domain() -> Domain {
    Domain::found([0; 32], descriptor(), time(0)).expect("access rules are valid")
}

/// The domain after a change of its descriptor in entry `index`.
pub(crate) fn changed(index: u64, change: impl FnOnce(&mut Descriptor)) -> Domain {
    let mut domain = domain();
    let mut next = descriptor();
    next.version = 2;
    change(&mut next);
    domain.take_descriptor(index, next, time(index)).expect("access rules are valid");
    domain
}

/// The domain, for the admission of an entry at `index`.
pub(crate) fn grown(mut domain: Domain, index: u64) -> Domain {
    domain.grow_to(index, time(index.saturating_sub(1)));
    domain
}

pub(crate) fn group(name: &str, selects: &[(Attribute, &str)]) -> Group {
    let attributes = selects.iter().map(|(attribute, value)| (*attribute, (*value).to_owned())).collect();
    Group { kind: Kind::Group, name: name.to_owned(), attributes }
}

pub(crate) fn group_id(group: &Group) -> [u8; 32] {
    Sha256::digest(format!("{group:?}")).into()
}

/// A statement in the making: entry and id `n`, admitted `n` seconds after the domain began.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) index: u64,
    signer: Fingerprint,
    pub(crate) said: Content,
    source: Vec<SourceRef>,
    pub(crate) refused: bool,
}

pub(crate) fn id(n: u64) -> StatementId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    StatementId(bytes)
}

/// A statement by `signer` about the device, in entry `n`.
pub(crate) fn say(n: u64, signer: Fingerprint, role: &str, act: Act) -> Draft {
    Draft {
        index: n,
        signer,
        said: Content {
            id: id(n),
            issuer: signer,
            signed_at: time(n),
            revokes: false,
            subject: Subject::Key { fingerprint: DEVICE, kind: Kind::Device, user_id: "Pump 7".to_owned() },
            identity: device(),
            claims: Claims::new(act, word::<Role>(role), home()),
            names: Vec::new(),
            key: None,
        },
        source: Vec::new(),
        refused: false,
    }
}

/// A statement that gives the device a status.
pub(crate) fn status(n: u64, signer: Fingerprint, role: &str, status: &str) -> Draft {
    let mut draft = say(n, signer, role, Act::Status);
    draft.said.claims.status = Some(word(status));
    draft.said.revokes = !matches!(status, "planned" | "in-use" | "announced" | "released");
    draft
}

/// Its introduction by the manufacturer.
pub(crate) fn introduce(n: u64) -> Draft {
    say(n, MAKER, "manufacturer", Act::Identity)
}

/// A statement that grants a role over the device.
pub(crate) fn grant(n: u64, signer: Fingerprint, role: &str, grantee: Fingerprint, granted: &str) -> Draft {
    let mut draft = say(n, signer, role, Act::Grant);
    draft.said.claims.grant = Some(Grant { grantee, role: word(granted) });
    draft
}

impl Draft {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Content)) -> Self {
        change(&mut self.said);
        self
    }

    pub(crate) fn by(mut self, signer: Fingerprint) -> Self {
        self.signer = signer;
        self
    }

    pub(crate) fn attribute(self, attribute: Attribute, value: &str) -> Self {
        self.with(|said| {
            said.claims.attributes.insert(attribute, value.to_owned());
        })
    }

    pub(crate) fn name(self, name: &str) -> Self {
        self.with(|said| {
            said.claims.names.push(word(name));
            said.names.push(word(name));
        })
    }

    pub(crate) fn ends(self, n: u64) -> Self {
        self.with(|said| said.claims.supersedes.push(id(n)))
    }

    pub(crate) fn from(self, seconds: u64) -> Self {
        self.with(|said| said.claims.from = Some(time(seconds)))
    }

    pub(crate) fn until(self, seconds: u64) -> Self {
        self.with(|said| said.claims.until = Some(time(seconds)))
    }

    /// Puts the subject into a group.
    pub(crate) fn joins(self, group: &Group) -> Self {
        self.with(|said| said.claims.groups.push(group_id(group)))
    }

    /// Makes it about a group.
    pub(crate) fn on(self, group: &Group) -> Self {
        self.with(|said| {
            said.identity = IdentityId::Group(group_id(group));
            said.subject = Subject::Group(group.clone());
            said.revokes = false;
        })
    }

    /// Makes it about a piece of software.
    pub(crate) fn on_software(self) -> Self {
        self.with(|said| {
            said.identity = IdentityId::Software([7; 32]);
            said.subject = Subject::Software(Software {
                kind: Kind::Software,
                name: "firmware".to_owned(),
                version: "1.2".to_owned(),
                digests: BTreeMap::from([("sha256".to_owned(), "07".repeat(32))]),
            });
            said.revokes = false;
        })
    }

    /// Adds a developer's signature, by minisign.
    pub(crate) fn signed_by_developer(self) -> Self {
        self.with(|said| {
            said.claims.signatures =
                [DeveloperSignature { form: SignatureForm::Minisign, key: "07".repeat(32), bytes: vec![7; 64] }].into();
        })
    }

    /// Makes it adopted from the source that the descriptor pins, where it had index 7.
    pub(crate) fn adopted(mut self) -> Self {
        self.said.claims.domain = word("maker.example");
        self.source = vec![SourceRef { domain: word("maker.example"), entry0: [0x5e; 32], index: 7 }];
        self
    }

    pub(crate) fn source(mut self, change: impl FnOnce(&mut Vec<SourceRef>)) -> Self {
        change(&mut self.source);
        self
    }

    pub(crate) fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    pub(crate) fn log(self) -> Logged {
        let logged = Logged::from_said(self.index, time(self.index), &self.source, self.signer, Arc::new(self.said));
        if self.refused { logged.refused() } else { logged }
    }
}

/// What the checker takes as proven about a domain that was heard as of a time.
pub(crate) fn heard(domain: &Domain, drafts: &[Draft], origin: Origin, as_of: Timestamp) -> Heard {
    let mut statements: Vec<Logged> = drafts.iter().cloned().map(Draft::log).collect();
    statements.sort_by_key(Logged::index);
    let is_about = |it: &Logged| it.subject_id() == device();
    Heard {
        origin,
        size: 100,
        root: Hash([7; 32]),
        as_of,
        chain: domain.chain(),
        id: statements.iter().any(is_about).then(device),
        statements,
        names: BTreeMap::new(),
        judged_at: None,
        withheld: false,
    }
}

/// Statements as a store returns them: about the device, and about groups.
pub(crate) fn split(drafts: &[Draft]) -> (Vec<Logged>, Vec<Logged>) {
    drafts.iter().map(|draft| draft.clone().log()).partition(|logged| logged.subject_id() == device())
}
