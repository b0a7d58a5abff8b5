//! Readers see a domain's entries together with what they make of the domain, and those who wait are told of them.

use std::sync::Arc;
use std::time::Duration;

use super::{PERMITS, amended, node};
use crate::api::problem::Code;
use crate::app::admit::check::check_bodies;
use crate::app::admit::submit::{Incoming, Outcome, append_all};
use crate::app::entries::Brought;
use crate::app::hosted::Hosted;
use crate::app::{App, Reader};
use crate::fixture::{Party, devices, narrowed};
use crate::store::WriteTx;

/// These bodies for the writer.
fn incoming(app: &App, hosted: &Hosted, bodies: Vec<Vec<u8>>) -> Vec<Incoming> {
    let timed = bodies.into_iter().map(|body| (body, app.clock().now())).collect();
    let checked = check_bodies(hosted.domain().as_deref(), timed, [7; 32]).into_iter();
    checked.map(|checked| Incoming { checked, source: None, salt: [7; 16] }).collect()
}

/// Has the writer admit these bodies, without telling anybody afterwards.
fn append(app: &App, hosted: &Arc<Hosted>, bodies: Vec<Vec<u8>>) {
    let incoming = incoming(app, hosted, bodies);
    let (writer, clock) = (Arc::clone(hosted), app.clock().clone());
    let job = move |tx: &mut WriteTx<'_>| append_all(tx, &writer, incoming, &clock);
    let outcomes = app.store().write(hosted.number, job).expect("queued").wait().expect("written").value;
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Appended(_))), "{outcomes:?}");
}

/// Whoever has submitted it, or copies it, may be slow to go on after the commit.
#[tokio::test(flavor = "multi_thread")]
async fn what_new_rules_hide_is_never_read_by_former_ones() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let before = app.domain(&maker.domain).expect("is here").info;
    let rules = amended(&app, &maker.domain, |next| next.access = narrowed(&next.access, "principal has node"));
    let said = maker.introduce(&app, &pumps[0], "Pump", "0");
    tokio::task::block_in_place(|| append(&app, &hosted, vec![rules, said]));

    let info = app.domain(&maker.domain).expect("is here").info;
    assert_eq!((info.size, info.descriptor), (before.size + 2, before.descriptor + 1));
    let id = pumps[0].fingerprint().to_string();
    app.record(Reader::Operator, &maker.domain, &id).expect("it is in the log");
    let refused = app.record(Reader::Anonymous, &maker.domain, &id).expect_err("strangers may not read it");
    assert_eq!(refused.code(), Code::UnknownIdentity);
}

/// What is shown is never ahead of what the domain knows, nor does that know of entries that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_log_grows_the_domain_that_is_read_fits_its_entries() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(50));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let said = pumps.iter().enumerate().map(|(at, key)| maker.introduce(&app, key, "Pump", &at.to_string()));
    let bodies: Vec<Vec<u8>> = said.collect();
    let grow = || bodies.into_iter().for_each(|body| append(&app, &hosted, vec![body]));
    let read = || {
        let sight = app.sight(&hosted).expect("can be read");
        let held = app.store().head(hosted.number).expect("is here").size;
        assert!((sight.seal.size..=held).contains(&sight.domain.size()), "{} of {held}", sight.domain.size());
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let writing = scope.spawn(grow);
            while !writing.is_finished() {
                read();
            }
        });
    });
    read();
}

/// A client that asks for a certificate may have hung up before it is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn news_are_told_even_if_whoever_appended_them_has_gone() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let mut sealed = hosted.sealed.subscribe();
    let size = *sealed.borrow_and_update();
    let body = maker.introduce(&app, &pumps[0], "Pump", "0");
    let appending = app.append_in_turns(&hosted, incoming(&app, &hosted, vec![body]), None, Brought::default());
    // It is begun and given up, unless it ends at once.
    drop(tokio::time::timeout(Duration::ZERO, appending).await);
    let told = tokio::time::timeout(Duration::from_secs(60), sealed.wait_for(|told| *told > size)).await;
    assert_eq!(told.map(|told| told.map(|told| *told).ok()), Ok(Some(size + 1)));
}
