//! What is refused for lack of a role until the role is granted; and what is left of a block.

use super::*;

/// The buyer of things, who is an owner in the manufacturer's domain.
pub(crate) fn buyer() -> Ed25519Signer {
    signer(60)
}

/// Makes someone an owner by the descriptor.
pub(crate) fn name_owner(descriptor: &mut Descriptor, owner: &Ed25519Signer) {
    let spec = descriptor.roles.entry("owner".parse().expect("a role")).or_default();
    spec.signers.insert(owner.public_key().fingerprint());
}

/// The buyer's statement in the manufacturer's domain: the device was stolen from them.
pub(crate) fn stolen_from_buyer(seed: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, "owner".parse().expect("a role"), domain());
    claims.status = Some("stolen".parse().expect("a status"));
    of_device(&buyer(), seed, &claims, true)
}

/// A grant in [`CARE`]: the buyer owns the subject.
fn sale() -> Claims {
    let owner: Role = "owner".parse().expect("a role");
    let grant = Grant { grantee: buyer().public_key().fingerprint(), role: owner.clone() };
    Claims { grant: Some(grant), ..Claims::new(Act::Grant, owner, CARE.parse().expect("a domain")) }
}

/// The grant that the buyer owns the device with this seed.
pub(crate) fn sold(seed: u8) -> Vec<u8> {
    of_device(&maker(), seed, &sale(), false)
}

fn sold_lot(lot: &str) -> Vec<u8> {
    let attributes = BTreeMap::from([(Attribute::Lot, lot.to_owned())]);
    let subject = Subject::Group(Group { kind: Kind::Group, name: format!("Lot {lot}"), attributes });
    make::sign_document(&maker(), &subject, &sale(), CREATED, &[3; 32]).expect("a statement")
}

/// The manufacturer's domain, where the descriptor makes the buyer an owner, and [`CARE`], where it makes the
/// manufacturer one.
fn selling() -> World {
    let world = World::with(|descriptor| name_owner(descriptor, &buyer()));
    world.with_care(|descriptor| name_owner(descriptor, &maker()))
}

async fn says(world: &World, domain: &str, bodies: Vec<Vec<u8>>) {
    let results = world.app.submit(&domain.parse().expect("a domain"), bodies).await.expect("is taken").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// Nobody has to repeat by hand what a grantee had said before the grant, which may be a block. That holds across a
/// restart, for a grant over one thing as for one over a lot, and the alarms end.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_for_want_of_a_role_is_taken_over_once_the_role_is_granted() {
    let world = tokio::task::spawn_blocking(selling).await.expect("a world");
    let care = CARE.parse().expect("a domain");
    let devices = [device(20, "L1"), device(21, "L1"), device(22, "L2"), device(23, "L3")];
    let signers = [certificate(&maker(), "Acme"), certificate(&buyer(), "Buyer")];
    says(&world, DOMAIN, [signers.as_slice(), &devices].concat()).await;
    let adopted = world.app.adopt(&care, request(&[20, 21, 22, 23], Some(true))).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (4, 0), "{adopted:?}");
    says(&world, DOMAIN, (20..24).map(stolen_from_buyer).collect()).await;

    let follow = async |world: &World| {
        let app = world.app.clone();
        tokio::task::spawn_blocking(move || {
            app.follow_once();
            [20, 21, 22, 23].map(|seed| status(&app, seed).is_some())
        })
        .await
        .expect("ends")
    };
    let alarms = |world: &World| {
        let alarms = world.app.domain(&care).expect("here").alarms;
        alarms.into_iter().filter(|alarm| alarm.kind == "not-taken-over").count()
    };
    assert_eq!(follow(&world).await, [false; 4], "the buyer has no role here");
    assert!(alarms(&world) >= 4, "and that is told");
    says(&world, CARE, vec![sold(20)]).await;
    assert_eq!(follow(&world).await, [true, false, false, false], "nothing new was said of it");
    says(&world, CARE, vec![sold(21), sold_lot("L2")]).await;
    let world = tokio::task::spawn_blocking(move || world.reopened(None)).await.expect("opens");
    assert_eq!(follow(&world).await, [true, true, true, false], "the node was started anew before it had looked");
    let size = world.app.domain(&care).expect("here").info.size;
    assert_eq!((follow(&world).await, alarms(&world)), ([true, true, true, false], 1), "the last is not sold");
    assert_eq!(world.app.domain(&care).expect("here").info.size, size, "and nothing is taken twice");
}

/// An erasure concerns its own domain and raises no alarm; but a block that does not come along is reported.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_was_erased_only_a_block_that_is_left_is_told() {
    let world = tokio::task::spawn_blocking(|| World::caring(|_| ())).await.expect("a world");
    let node = Node::with(world, &settings());
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L1")]).await;
    let care = CARE.parse().expect("a domain");
    let stolen_20 = stolen(&maker(), 20);
    say(&node, vec![stolen_20, stolen(&maker(), 21)]).await;
    let size = node.app().domain(&domain()).expect("here").info.size;
    erase(&node, size - 2).await;
    let adopted = node.app().adopt(&care, request(&[20], None)).await.expect("adopts");
    let told: Vec<_> = adopted.refused.iter().map(|problem| (problem.code(), problem.detail.as_str())).collect();
    assert!(matches!(told.as_slice(), [("statement-erased", detail)] if detail.contains("`ics status`")), "{told:?}");

    assert_eq!(node.app().adopt(&care, request(&[21], Some(true))).await.expect("adopts").refused.len(), 0);
    erase(&node, size - 1).await;
    follow_once(node.app()).await;
    let alarms = node.app().domain(&care).expect("here").alarms;
    assert!(alarms.iter().all(|alarm| alarm.kind != "not-taken-over"), "the block was taken before: {alarms:?}");
}

/// A signer names what a statement takes the place of, and does not know what of that was erased elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_place_of_something_that_was_erased_here_is_taken_over() {
    let world = tokio::task::spawn_blocking(|| World::caring(|_| ())).await.expect("a world");
    let care = CARE.parse().expect("a domain");
    let made = |name: &str, ends: Vec<StatementId>| {
        let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
        claims.status = Some(name.parse().expect("a status"));
        claims.supersedes = ends;
        of_device(&maker(), 20, &claims, name == "stolen")
    };
    says(&world, DOMAIN, vec![certificate(&maker(), "Acme"), device(20, "L1"), made("in-use", Vec::new())]).await;
    assert_eq!(world.app.adopt(&care, request(&[20], Some(true))).await.expect("adopts").refused, Vec::new());
    let record = world.app.record(Reader::Operator, &care, &serial(20)).expect("adopted").record;
    let By { statement, index, .. } = record.status.expect("it is in use").decides.by;
    let erasure = world.app.erasure(Reader::Operator, &care, index).expect("can be erased");
    let json = erasure.to_json().expect("canonical");
    let signed = make::sign_descriptor(&[&maker()], &json, CREATED, &[9; 32]).expect("signs");
    says(&world, CARE, vec![signed]).await;
    says(&world, DOMAIN, vec![made("stolen", vec![statement])]).await;
    follow_once(&world.app).await;
    assert_eq!(status(&world.app, 20).as_deref(), Some("stolen"));
    let alarms = world.app.domain(&care).expect("here").alarms;
    assert!(alarms.iter().all(|alarm| alarm.kind != "not-taken-over"), "{alarms:?}");
}

/// The manufacturer's domain, and [`CARE`], where the manufacturer is heard as such and someone else decides as
/// integrator.
fn integrated() -> World {
    World::founded().with_care(|descriptor| {
        let spec = descriptor.roles.entry("integrator".parse().expect("a role")).or_default();
        spec.signers.insert(heir().public_key().fingerprint());
    })
}

/// A statement in [`CARE`] about the first device.
fn in_care(by: &Ed25519Signer, role: &str, act: Act, status: Option<&str>, ends: Vec<StatementId>) -> Vec<u8> {
    let mut claims = Claims::new(act, role.parse().expect("a role"), CARE.parse().expect("a domain"));
    claims.status = status.map(|status| status.parse().expect("a status"));
    claims.supersedes = ends;
    of_device(by, 20, &claims, status.is_some_and(|status| status != "in-use"))
}

/// Otherwise, the manufacturer of a thing could use a second key to approve it in the integrator's name, and let
/// through what the integrator has suspended.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_makes_nobody_who_decides_about_its_things_here() {
    let world = tokio::task::spawn_blocking(integrated).await.expect("a world");
    let care = CARE.parse().expect("a domain");
    let gives = |role: &str| {
        let grant = Grant { grantee: buyer().public_key().fingerprint(), role: role.parse().expect("a role") };
        let role = "manufacturer".parse().expect("a role");
        of_device(&maker(), 20, &Claims { grant: Some(grant), ..Claims::new(Act::Grant, role, domain()) }, false)
    };
    says(&world, DOMAIN, vec![certificate(&maker(), "Acme"), device(20, "L1")]).await;
    assert_eq!(world.app.adopt(&care, request(&[20], Some(true))).await.expect("adopts").refused, Vec::new());
    says(&world, DOMAIN, vec![gives("owner"), gives("integrator"), certificate(&buyer(), "Accomplice")]).await;
    follow_once(&world.app).await;
    let record = || world.app.record(Reader::Operator, &care, &serial(20)).expect("adopted").record;
    let roles: Vec<_> = record().grants.iter().map(|grant| grant.role.to_string()).collect();
    assert_eq!(roles, ["owner"], "the other one is refused");
    let alarms = world.app.domain(&care).expect("here").alarms;
    assert!(matches!(alarms.as_slice(), [alarm] if alarm.kind == "not-taken-over"), "and that is told: {alarms:?}");

    let suspends = in_care(&heir(), "integrator", Act::Status, Some("suspended"), Vec::new());
    says(&world, CARE, vec![certificate(&heir(), "Integrator"), suspends, certificate(&buyer(), "Accomplice")]).await;
    let suspended = record().status.expect("it is suspended").decides.by.statement;
    let names = Claims {
        grant: Some(Grant { grantee: buyer().public_key().fingerprint(), role: "integrator".parse().expect("a role") }),
        ..Claims::new(Act::Grant, "owner".parse().expect("a role"), care.clone())
    };
    let tried = vec![
        in_care(&buyer(), "integrator", Act::Approval, None, Vec::new()),
        of_device(&buyer(), 20, &names, false),
        in_care(&buyer(), "owner", Act::Status, Some("in-use"), vec![suspended]),
        in_care(&buyer(), "owner", Act::Status, Some("stolen"), Vec::new()),
    ];
    let results = world.app.submit(&care, tried).await.expect("is looked at").results;
    let told = results.iter().map(|result| match result {
        SubmissionResult::Problem(problem) => problem.code().to_owned(),
        _ => "taken".to_owned(),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["role-not-held", "not-permitted", "not-permitted", "taken"]);
    let said = record().status.expect("it is blocked");
    assert!(said.decides.by.statement == suspended || said.conflict.iter().any(|it| it.by.statement == suspended));
    assert!(record().approvals.is_empty());
}
