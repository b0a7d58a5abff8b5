//! Listings by label: the public register of a body that certifies.

use ics_core::descriptor::{Descriptor, RoleSpec};
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::record::{Outlook, Posting};
use ics_core::statement::make::{certify, sign_document};
use ics_core::statement::{Claims, Group, Subject, body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use ics_node::api::{IdentitySummary, ListQuery};
use ics_node::app::{App, Reader};

use crate::erased::{blocked, id};
use crate::fixture::{Party, SALT, device, narrowed, signer, word};

/// 2026-01-01.
const CERTIFIED: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// 2040-01-01.
const FAR: Timestamp = Timestamp::from_seconds(2_208_988_800);

/// The signer of one of two bodies.
fn examiner(number: u8) -> Ed25519Signer {
    signer("labels.example", number)
}

/// A domain in which two bodies certify what its manufacturer makes.
fn certified(change: impl FnOnce(&mut Descriptor)) -> Party {
    const RULES: &str = r#"
@id("examiners-are-parties")
permit (principal, action == Action::"certificate", resource) when { principal in Role::"certification-body" };
@id("examiners-speak")
permit (principal, action in [Action::"label", Action::"withdrawal"], resource)
when { context.role == Role::"certification-body" };
"#;
    Party::found_with("devices.acme.example", |descriptor| {
        let signers = [1, 2].map(|number| examiner(number).public_key().fingerprint()).into();
        descriptor.roles.insert(word("certification-body"), RoleSpec { signers, names: Default::default() });
        descriptor.access.push_str(RULES);
        change(descriptor);
    })
}

/// Opens its node, with devices of a lot each and the certificates of the bodies in the log.
async fn opened(maker: &Party, devices: u8) -> App {
    let app = maker.open();
    let introduced = (1..=devices).map(|number| maker.introduce(&app, &device(number), "Pump", &format!("L{number}")));
    let examiners =
        [1, 2].map(|number| Certificate::make(&examiner(number), "Certifix", CERTIFIED, &SALT).expect("a certificate"));
    let bodies = core::iter::once(maker.certificate.clone()).chain(examiners).chain(introduced).collect();
    maker.submit(&app, bodies).await;
    app
}

fn claims(maker: &Party, act: Act) -> Claims {
    Claims::new(act, word("certification-body"), maker.domain.clone())
}

fn label(maker: &Party, name: &str) -> Claims {
    Claims { label: Some(name.to_owned()), ..claims(maker, Act::Label) }
}

/// What a body says about a device.
fn says(app: &App, by: u8, number: u8, said: &Claims) -> Vec<u8> {
    let (key, now) = (device(number), app.clock().now());
    certify(&examiner(by), &key, "Pump", None, Kind::Device, said, false, now, &SALT).expect("made")
}

/// What a listing names, page by page.
fn listed(app: &App, maker: &Party, reader: Reader, query: &ListQuery) -> Vec<IdentitySummary> {
    let mut query = query.clone();
    let mut items = Vec::new();
    loop {
        let page = app.list(reader, &maker.domain, &query).expect("a page");
        items.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return items;
        }
    }
}

fn ids(items: &[IdentitySummary]) -> Vec<String> {
    items.iter().map(|item| item.id.clone()).collect()
}

fn of_label(name: &str) -> ListQuery {
    ListQuery { label: Some(name.to_owned()), ..ListQuery::default() }
}

/// A domain whose bodies have said all sorts of things about eight devices; and the id of the lot of the seventh.
async fn examined() -> (Party, App, String) {
    let maker = certified(|_| ());
    let app = opened(&maker, 8).await;
    let ce = || label(&maker, "ce");
    let past = Timestamp::from_seconds(app.clock().now().as_seconds() - 60);
    let taken_back = says(&app, 1, 2, &ce());
    let supersedes = vec![body::parse(&taken_back).expect("a statement").id()];
    let attributes = [(Attribute::Lot, "L7".to_owned())].into();
    let lot = Subject::Group(Group { kind: Kind::Group, name: "lot L7".to_owned(), attributes });
    let of_lot = sign_document(&examiner(1), &lot, &ce(), app.clock().now(), &SALT).expect("made");
    let bodies = vec![
        says(&app, 1, 1, &Claims { until: Some(FAR), ..ce() }),
        taken_back,
        says(&app, 1, 2, &Claims { supersedes, ..claims(&maker, Act::Withdrawal) }),
        says(&app, 1, 3, &Claims { until: Some(past), ..ce() }),
        says(&app, 1, 4, &Claims { from: Some(FAR), ..ce() }),
        says(&app, 1, 5, &label(&maker, "iec")),
        says(&app, 1, 6, &ce()),
        blocked(&maker, &app, 6, "stolen", None),
        of_lot,
        says(&app, 2, 8, &label(&maker, "seen")),
        says(&app, 1, 8, &label(&maker, "seen")),
        says(&app, 2, 8, &ce()),
    ];
    maker.submit(&app, bodies).await;
    let lot = lot.id().expect("an id").to_string();
    (maker, app, lot)
}

/// What is taken back, over, to come or of another name is not listed, whatever the index finds; a member of a labelled
/// lot is, and so is what is blocked, with its status.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_lists_what_has_the_label_now() {
    let (maker, app, lot) = examined().await;
    let all = vec![id(7), id(1), id(6), lot, id(8)];
    for limit in [1, 2, 500] {
        let query = ListQuery { limit: Some(limit), ..of_label("ce") };
        let items = listed(&app, &maker, Reader::Anonymous, &query);
        assert_eq!(ids(&items), all, "{limit}");
        assert!(items.iter().all(|item| item.labels.len() == 1 && item.labels[0].value == "ce"), "{items:?}");
        assert_eq!((items[1].labels[0].until, items[2].labels[0].until), (Some(FAR), None));
        assert_eq!(items[0].labels[0].by.group.map(|group| group.to_string()), Some(all[3].clone()));
        assert_eq!((items[1].effect.as_str(), items[2].effect.as_str()), ("none", "blocks"));
    }
    let given = |number: u8| {
        let items = listed(&app, &maker, Reader::Anonymous, &ListQuery::default());
        let item = items.into_iter().find(|item| item.id == id(number)).expect("is listed");
        item.labels.into_iter().map(|label| label.value).collect::<Vec<_>>()
    };
    assert_eq!((given(2), given(5)), (vec![], vec!["iec".to_owned()]));
    assert_eq!(given(8), ["seen", "seen", "ce"]);
}

/// What a signer said of a thing before, and is not asked for, is no reason to leave the thing out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_beside_a_label_or_a_signer_must_hold_as_well() {
    let (maker, app, lot) = examined().await;
    let of = |number| Some(examiner(number).public_key().fingerprint().to_string());
    let some = |text: &str| Some(text.to_owned());
    let by_maker = Some(maker.signer.public_key().fingerprint().to_string());
    for (query, expected) in [
        (ListQuery { signer: of(1), ..of_label("ce") }, vec![id(7), id(1), id(6), lot.clone()]),
        (ListQuery { signer: of(2), ..of_label("ce") }, vec![id(8)]),
        (ListQuery { signer: of(2), ..of_label("iec") }, vec![]),
        (ListQuery { signer: by_maker.clone(), ..of_label("ce") }, vec![]),
        (ListQuery { kind: some("group"), ..of_label("ce") }, vec![lot]),
        // In the order of the labels: the devices are not gone through one by one.
        (ListQuery { kind: some("device"), ..of_label("ce") }, vec![id(7), id(1), id(6), id(8)]),
        (ListQuery { lot: some("L7"), kind: some("device"), ..of_label("ce") }, vec![id(7)]),
        (ListQuery { status: some("stolen"), ..of_label("ce") }, vec![id(6)]),
        (ListQuery { status: some("stolen"), ..of_label("iec") }, vec![]),
        (ListQuery { status: some("stolen"), signer: by_maker, ..ListQuery::default() }, vec![id(6)]),
        (ListQuery { lot: some("L1"), signer: of(1), ..ListQuery::default() }, vec![id(1)]),
        (of_label("CE"), vec![]),
    ] {
        assert_eq!(ids(&listed(&app, &maker, Reader::Anonymous, &query)), expected, "{query:?}");
    }
}

/// A directory is searched by any of several criteria; one that is a signer does not narrow the others.
#[tokio::test(flavor = "multi_thread")]
async fn things_are_found_by_a_label_or_a_signer() {
    let (maker, app, _) = examined().await;
    let by = examiner(2).public_key().fingerprint();
    let postings = [Posting::Signer(by), Posting::Label("iec".to_owned())];
    let page = app.things(Reader::Anonymous, &maker.domain, &postings, None, 50).expect("a page");
    let found: Vec<String> = page.things.iter().map(|thing| thing.record.identity.id.to_string()).collect();
    assert_eq!(found, [id(5), id(8)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_names_some_labels_and_the_one_that_was_asked_for() {
    let maker = certified(|_| ());
    let app = opened(&maker, 1).await;
    let names: Vec<String> = (0..=limits::LABELS_LISTED).map(|number| format!("iso-{number}")).collect();
    maker.submit(&app, names.iter().map(|name| says(&app, 1, 1, &label(&maker, name))).collect()).await;
    let named = |query: &ListQuery| {
        let mut items = listed(&app, &maker, Reader::Anonymous, query);
        items.remove(0).labels.into_iter().map(|label| label.value).collect::<Vec<_>>()
    };
    assert_eq!(named(&ListQuery::default()), names[..limits::LABELS_LISTED]);
    let last = &names[limits::LABELS_LISTED];
    assert_eq!(named(&of_label(last)), [last.as_str()]);
}

/// Strangers see of a register what the rules of the domain let them read.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_shows_what_its_reader_may_read() {
    let of_one_lot = "resource has lot && resource.lot == \"L1\"";
    for (condition, shown) in [(of_one_lot, vec![id(1)]), ("principal has node", vec![])] {
        let maker = certified(|it| it.access = narrowed(&it.access, condition));
        let app = opened(&maker, 2).await;
        maker.submit(&app, [1, 2].map(|number| says(&app, 1, number, &label(&maker, "ce"))).into()).await;
        let all = [id(1), id(2)];
        for (reader, expected) in [(Reader::Operator, &all[..]), (Reader::Anonymous, &shown)] {
            let query = of_label("ce");
            assert_eq!(ids(&listed(&app, &maker, reader, &query)), expected, "{condition}: {reader:?}");
            let register = app.register(reader, &maker.domain, &query).expect("a page");
            let things: Vec<&str> = register.things.iter().map(|thing| thing.summary.id.as_str()).collect();
            assert_eq!(things, expected, "{condition}: {reader:?}");
            assert_eq!(register.next, None);
        }
    }
}

/// People see at once what is blocked.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_for_people_shows_what_becomes_of_each_thing() {
    let (maker, app, lot) = examined().await;
    let register = app.register(Reader::Anonymous, &maker.domain, &of_label("ce")).expect("a page");
    assert_eq!((&register.domain, register.label.as_deref()), (&maker.domain, Some("ce")));
    let blocked = |id: &str| {
        let thing = register.things.iter().find(|thing| thing.summary.id == id).expect("is listed");
        assert_eq!(thing.summary.labels.len(), 1, "{thing:?}");
        thing.assessment.outlook == Outlook::Blocked
    };
    assert_eq!([blocked(&id(1)), blocked(&id(6)), blocked(&id(7)), blocked(&lot)], [false, true, false, false]);
}

/// Whoever merely labels a thing need not know what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_for_people_calls_things_what_their_makers_call_them() {
    let maker = certified(|_| ());
    let app = opened(&maker, 1).await;
    let other = Party::found("factory.acme.example");
    other.found_at(&app);
    other.publish(&app, &device(2), "Infusion pump", "L2").await;
    maker.submit(&app, vec![says(&app, 1, 2, &label(&maker, "ce"))]).await;
    let query = of_label("ce");
    let listed = listed(&app, &maker, Reader::Anonymous, &query).remove(0);
    assert_eq!((listed.title.as_str(), listed.attributes.len()), ("Pump", 0), "what this domain alone says");
    let register = app.register(Reader::Anonymous, &maker.domain, &query).expect("a page");
    let things = register.things.iter().map(|thing| &thing.summary);
    let called: Vec<_> = things.map(|it| (it.title.as_str(), it.attributes.get("lot").map(String::as_str))).collect();
    assert_eq!(called, [("Infusion pump", Some("L2"))]);
}
