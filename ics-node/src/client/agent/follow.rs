//! Learns of news as soon as the node has it.

use core::time::Duration;
use std::collections::BTreeSet;

use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::node::Node;

/// How often the node is asked which domains it holds.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long to wait before reopening a stream that has ended.
const PAUSE: Duration = Duration::from_millis(500);

/// Wakes the receiver for each piece of news and each heartbeat of any domain of the node; the receiver asks what is
/// new. Ends with the task that runs it.
pub async fn follow(node: Node, told: watch::Sender<()>) {
    let mut followed: BTreeSet<DomainName> = BTreeSet::new();
    let mut streams = JoinSet::new();
    loop {
        for info in node.domains().await.unwrap_or_default() {
            if followed.insert(info.info.domain.clone()) {
                streams.spawn(listen(node.clone(), info.info.domain, told.clone()));
            }
        }
        // News from before the stream was open are found when the receiver asks.
        told.send_replace(());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn listen(node: Node, domain: DomainName, told: watch::Sender<()>) {
    loop {
        // A stream from the newest entry on first says how far the log goes, and then whatever is new.
        if let Ok(size) = node.domain(&domain).await.map(|info| info.info.size)
            && let Ok(mut stream) = node.news(&domain, size).await
        {
            while stream.next().await.is_ok() {
                told.send_replace(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
