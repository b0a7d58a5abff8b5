//! What a name leads to in memory.

use std::sync::Arc;

use ics_core::identity::IdentityId;

use super::{PERMITS, node};
use crate::app::Reader;
use crate::fixture::{Party, devices};

/// Names lead directly to what is kept, without the table in which news finds it.
#[tokio::test(flavor = "multi_thread")]
async fn news_ends_what_a_name_leads_to_though_somebody_uses_it_still() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let domain = app.hosted(&maker.domain).expect("is here").number;
    let names = || {
        let record = app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect("known").record;
        record.names.iter().map(|name| name.value.to_string()).collect::<Vec<_>>()
    };
    let kept = || {
        let id = IdentityId::Key(pumps[0].fingerprint());
        let kept = app.memory().recall(domain, &id, app.clock().now()).expect("is remembered");
        assert!(Arc::weak_count(&kept) > 0, "its name leads to it");
        kept
    };
    assert!(!names().contains(&"serial:SN-more".to_owned()));
    let used = kept();
    maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    assert!(names().contains(&"serial:SN-more".to_owned()), "the news is there");
    assert!(!Arc::ptr_eq(&kept(), &used));
}
