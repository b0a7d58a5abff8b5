//! Everything about which a domain speaks, including things that others have introduced.

use std::collections::BTreeSet;

use ics_node::api::ListQuery;
use ics_node::app::{App, Reader};

use crate::erased::{blocked, id, moment};
use crate::fixture::{Party, device};

/// A domain that has introduced devices 1 and 2, and said of 1 and 3 that they must no longer be used: of the latter
/// twice, and before it introduced anything.
async fn domain() -> (Party, App) {
    let (maker, app) = Party::opened();
    app.submit(&maker.domain, vec![maker.certificate.clone()]).await.expect("submits");
    let say = async |number, status| {
        maker.submit_one(&app, blocked(&maker, &app, number, status, None)).await.expect("admitted");
    };
    say(3, "suspended").await;
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    say(3, "stolen").await;
    say(1, "suspended").await;
    (maker, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_has_not_introduced_is_listed_behind_what_it_has() {
    let (maker, app) = domain().await;
    for limit in 1..=4 {
        let mut query = ListQuery { limit: Some(limit), ..ListQuery::default() };
        let (mut listed, mut pages) = (Vec::new(), 0);
        loop {
            let page = app.list(Reader::Anonymous, &maker.domain, &query).expect("a page");
            listed.extend(page.items.into_iter().map(|item| item.id));
            pages += 1;
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!((listed, pages), (vec![id(1), id(2), id(3)], 3_usize.div_ceil(limit)), "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_has_not_introduced_is_found_once_for_copies() {
    let (maker, app) = domain().await;
    let moment = moment(&app, &maker).await;
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let mentions = app.mentions(&moment, place, 1).expect("found");
        for (index, id) in mentions.found {
            let then = app.thing_then(Reader::Anonymous, &moment, &id).expect("read").expect("spoken of");
            assert!(then.record().is_some(), "{id}");
            found.extend(then.is_found_at(index).then_some(id));
        }
        from = mentions.next;
    }
    assert_eq!(found, [id(1), id(2), id(3)]);
    let things = app.all_things(Reader::Anonymous, &maker.domain, None, 50).expect("a page").things;
    let things: BTreeSet<_> = things.into_iter().map(|thing| thing.record.identity.id.to_string()).collect();
    assert_eq!(things, found.into_iter().collect());
}
