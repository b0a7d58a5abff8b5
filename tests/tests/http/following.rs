//! What a domain takes over from another one by itself, within what that one's rules let it follow.

use std::sync::Arc;

use ics_core::descriptor::{Descriptor, NodeKey, Witnesses};
use ics_core::statement::make;
use ics_node::api::AdoptionRequest;
use ics_node::app::{App, Reader};

use crate::hidden::{device, say};
use crate::support::{Node, settings};
use crate::world::{CARE, CREATED, DOMAIN, World, certificate, domain, maker, serial, stolen};

fn status(app: &Arc<App>, seed: u8) -> Option<String> {
    let record = app.record(Reader::Operator, &CARE.parse().expect("a domain"), &serial(seed)).ok()?.record;
    record.status.map(|status| status.decides.name.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_source_lets_be_followed_is_taken_over() {
    let narrow = "permit (principal, action in [Action::\"read\", Action::\"mirror\"], resource);\n@id(\"first-lot-is-followed\")\n\
                  permit (principal, action == Action::\"follow\", resource) \
                  when { resource has lot && resource.lot == \"L1\" };";
    let world =
        move || World::caring(|descriptor| descriptor.access = descriptor.access.replace(crate::hidden::ALL, narrow));
    let world = tokio::task::spawn_blocking(world).await.expect("a world");
    let node = Node::with(world, &settings());
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L2")]).await;
    let app = Arc::new(node.app().clone());
    let blocking = async |work: fn(&App)| {
        let app = Arc::clone(&app);
        tokio::task::spawn_blocking(move || work(&app)).await.expect("ends");
    };
    let ids = vec![serial(20), serial(21)];
    let request = AdoptionRequest { source: DOMAIN.to_owned(), ids, follow: Some(true), ..AdoptionRequest::default() };
    let adopted = app.adopt(&CARE.parse().expect("a domain"), request).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (2, 0), "{adopted:?}");
    say(&node, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    blocking(App::follow_once).await;
    assert_eq!((status(&app, 20).as_deref(), status(&app, 21)), (Some("stolen"), None));
    let follows = app.domain(&CARE.parse().expect("a domain")).expect("here").follows;
    assert_eq!((follows[0].source.clone(), follows[0].identities, follows[0].lag_entries), (domain(), 2, 0));
}

/// What is adopted is acknowledged under the same checkpoint as what is submitted: one that has its witnesses.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_adopted_waits_for_its_witnesses() {
    let world = tokio::task::spawn_blocking(|| World::caring(|_| {})).await.expect("a world");
    let node = Node::with(world, &settings());
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1")]).await;
    let (app, care) = (node.app(), CARE.parse().expect("a domain"));
    let json = app.descriptor(&care, None).expect("in force").json;
    let previous = Descriptor::parse(&json).expect("a descriptor");
    let witness = NodeKey { name: "nobody.example".to_owned(), key: previous.home.key.clone() };
    let witnesses = Some(Witnesses { quorum: 1, keys: vec![witness] });
    let next = Descriptor { version: 2, previous: Some(previous.hash()), witnesses, ..previous };
    let signed = make::sign_descriptor(&[&maker()], &next.to_json(), CREATED, &[1; 32]).expect("signs");
    let refused = app.submit(&care, vec![signed]).await.expect_err("nobody has cosigned it");
    assert_eq!(refused.problem().code(), "unwitnessed", "{refused}");
    let request = AdoptionRequest { source: DOMAIN.to_owned(), ids: vec![serial(20)], ..AdoptionRequest::default() };
    let refused = app.adopt(&care, request).await.expect_err("nor that");
    assert_eq!(refused.problem().code(), "unwitnessed", "{refused}");
    assert!(refused.to_string().contains("have not cosigned that yet"), "{refused}");
}
