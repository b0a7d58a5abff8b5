//! Copies of what a home should not have logged.

use std::sync::Arc;

use ics_core::log::entry::{EntryKind, Header};
use tokio::sync::watch;

use crate::app::judge::grow;
use crate::app::{App, Reader};
use crate::fixture::{Party, catches_up, copy, device, served};
use crate::openpgp::{Armor, armored};
use crate::store::{Content, NewContent, NewEntry, StoreError, WriteTx};

/// How many vouch for a device at a node; nothing where it does not know it.
fn vouched(at: &App, maker: &Party, number: u8) -> Option<usize> {
    let id = device(number).fingerprint().to_string();
    Some(at.record(Reader::Operator, &maker.domain, &id).ok()?.record.vouched.len())
}

/// Has a home log these bytes as a certificate, whatever they are.
fn log_as_certificate(home: &App, maker: &Party, body: Vec<u8>) {
    let (hosted, admitted_at) = (home.hosted(&maker.domain).expect("here"), home.clock().now());
    let header = Header { kind: EntryKind::Certificate, admitted_at, source: None }.encode().expect("encodes");
    let content = NewContent::Whole(Content { salt: [7; 16], body });
    let writer = Arc::clone(&hosted);
    let job = move |tx: &mut WriteTx<'_>| {
        let mut domain = writer.working_at(tx.size())?;
        let index = tx.append(NewEntry { header, content, keys: Vec::new(), effective: true })?;
        grow(&mut domain, index, admitted_at);
        writer.set_working(domain.clone());
        Ok::<_, StoreError>(domain)
    };
    let written = home.store().write(hosted.number, job).expect("queued").wait().expect("written");
    hosted.publish(written.value);
    home.tell(&hosted);
}

/// At the next start such a body would not be understood, and the node not start for any of its domains.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_canonical_form_has_no_effect_at_copies_and_they_start_again() {
    let maker = Party::found("devices.acme.example");
    let home = maker.open();
    let in_armor = armored(&maker.certificate, Armor::PublicKey).expect("armored");
    tokio::task::block_in_place(|| log_as_certificate(&home, &maker, in_armor));
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;

    let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
    let open = || copy(data.path(), &home, &maker.domain, &[("home", &url)]);
    let copied = open();
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &home, &maker.domain).await;
    let alarms = copied.domain(&maker.domain).expect("copied").alarms;
    let [alarm] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert!(alarm.text.starts_with("entry 1: its body is not in canonical form"), "{alarm:?}");
    stop.send_replace(true);
    replicating.await.expect("ends");
    drop(copied);
    assert_eq!(vouched(&open(), &maker, 1), Some(1), "what is behind it has effect, after a restart as well");
}
