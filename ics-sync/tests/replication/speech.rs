//! What is said in a domain: real statements, by signers whom its descriptor names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use ics_core::descriptor::RoleSpec;
use ics_core::identity::{IdentityId, Kind};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::record::{Record, Standing};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Claims, StatementId, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Role, StatusName};

use crate::home::{IDENTITIES, OWN};
use crate::network::Dice;

/// The creation time of all keys.
const CREATED: Timestamp = Timestamp::from_seconds(1_514_764_800);

/// The signers, each in one role.
const ROLES: [(&str, u8); 3] = [("manufacturer", 101), ("maintainer", 102), ("security-controller", 103)];

static SIGNERS: LazyLock<Vec<Ed25519Signer>> = LazyLock::new(|| ROLES.iter().map(|(_, seed)| key(*seed)).collect());
static THINGS: LazyLock<Vec<Ed25519Signer>> = LazyLock::new(|| (0..IDENTITIES as u8).map(|n| key(150 + n)).collect());

fn key(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, CREATED).expect("a key")
}

fn word<T: core::str::FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a word")
}

/// The holders of the roles, in every descriptor.
pub(crate) fn roles() -> BTreeMap<Role, RoleSpec> {
    let spec = |signer: &Ed25519Signer| RoleSpec {
        signers: [signer.public_key().fingerprint()].into(),
        names: ["serial:*".to_owned()].into(),
    };
    let held = ROLES.iter().zip(SIGNERS.iter()).map(|((role, _), signer)| (word(role), spec(signer)));
    held.chain([(word("owner"), RoleSpec::default())]).collect()
}

/// The maintainer brings back into use what was suspended, stolen or lost.
pub(crate) fn lifts() -> BTreeMap<Role, BTreeSet<StatusName>> {
    BTreeMap::from([(word("maintainer"), ["suspended", "stolen", "lost"].map(word).into())])
}

/// The fingerprint of the signer who suspends, for a descriptor that declares their key compromised.
pub(crate) fn controller() -> ics_core::identity::Fingerprint {
    SIGNERS[2].public_key().fingerprint()
}

/// The identity of a thing.
pub(crate) fn thing(number: usize) -> IdentityId {
    IdentityId::Key(THINGS[number].public_key().fingerprint())
}

/// The certificates of all signers.
pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let named = ROLES.iter().zip(SIGNERS.iter());
    named.map(|((name, _), signer)| Certificate::make(signer, name, CREATED, &[2; 32]).expect("made")).collect()
}

thread_local! {
    static ABOUT: RefCell<HashMap<Vec<u8>, usize>> = RefCell::default();
}

/// The thing that a body is about; if it is not a statement, the place in the log decides.
pub(crate) fn about(body: &[u8], index: usize) -> usize {
    let find = |body: &[u8]| match body::parse(body) {
        Ok(Body::Statement(said)) => (0..IDENTITIES).find(|number| thing(*number) == said.identity()).unwrap_or(OWN),
        Ok(_) => OWN,
        Err(_) => index % IDENTITIES,
    };
    ABOUT.with_borrow_mut(|known| *known.entry(body.to_vec()).or_insert_with(|| find(body)))
}

/// A statement about a thing whose record is given: it introduces the thing, puts it into use, blocks it or lifts a
/// block. Not all of these will be admitted.
pub(crate) fn say(dice: &mut Dice, number: usize, known: Option<&Record>, claims_for: &str, now: Timestamp) -> Vec<u8> {
    let introduced = known.is_some_and(|record| !record.vouched.is_empty());
    let standing = known.into_iter().flat_map(|record| &record.statements);
    let standing = standing.filter(|listed| listed.act == Act::Status && listed.standing == Standing::Stands);
    let statuses: Vec<StatementId> = standing.map(|listed| listed.by.statement).collect();
    let (speaker, act, status, supersedes) = match dice.below(10) {
        _ if !introduced => (0, Act::Identity, None, Vec::new()),
        0 => (0, Act::Approval, None, Vec::new()),
        1..4 => (1, Act::Status, Some("in-use"), Vec::new()),
        4..6 => (2, Act::Status, Some("suspended"), Vec::new()),
        6 => (1, Act::Status, Some("stolen"), Vec::new()),
        _ => (1, Act::Status, Some("in-use"), statuses),
    };
    let mut claims = Claims::new(act, word(ROLES[speaker].0), word(claims_for));
    claims.status = status.map(word);
    claims.supersedes = supersedes;
    claims.reason = Some(format!("said at {now}"));
    let revokes = matches!(status, Some("suspended" | "stolen"));
    let (signer, key, name) = (&SIGNERS[speaker], THINGS[number].public_key(), format!("Thing {number}"));
    make::certify(signer, key, &name, None, Kind::Device, &claims, revokes, now, &[3; 32]).expect("a statement")
}
