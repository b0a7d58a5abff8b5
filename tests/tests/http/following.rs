//! What a domain takes over from another one by itself, within what that one's rules let it follow.

use std::sync::Arc;

use ics_node::api::AdoptionRequest;
use ics_node::app::{App, Reader};

use crate::hidden::{device, say};
use crate::support::{Node, settings};
use crate::world::{CARE, DOMAIN, World, certificate, domain, maker, serial, stolen};

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
    blocking(|app| {
        let ids = vec![serial(20), serial(21)];
        let request =
            AdoptionRequest { source: DOMAIN.to_owned(), ids, follow: Some(true), ..AdoptionRequest::default() };
        let adopted = app.adopt(&CARE.parse().expect("a domain"), &request).expect("adopts");
        assert_eq!((adopted.identities.len(), adopted.refused.len()), (2, 0), "{adopted:?}");
    })
    .await;
    say(&node, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    blocking(App::follow_once).await;
    assert_eq!((status(&app, 20).as_deref(), status(&app, 21)), (Some("stolen"), None));
    let follows = app.domain(&CARE.parse().expect("a domain")).expect("here").follows;
    assert_eq!((follows[0].source.clone(), follows[0].identities, follows[0].lag_entries), (domain(), 2, 0));
}
