//! Pushes news of a domain to its listeners. An event is made once, at the commit, and the same bytes go to everyone
//! who may have them.

use std::sync::Arc;
use std::time::Duration;

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ics_sync::news::{HEARTBEAT_SECONDS, News};
use ics_sync::wire::{self, Rights};
use tokio::sync::watch;

use crate::api::problem::Code;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};

/// An event that was made for one listener, and serves all that have the same entries.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    from: u64,
    size: u64,
    event: Event,
}

/// News as they are sent: a server-sent event.
pub type Event = Arc<[u8]>;

/// A listener to a domain.
///
/// What it has not taken yet costs nothing but the number of entries that it has: a slow listener gets more at once,
/// later.
pub struct Listener {
    app: App,
    hosted: Arc<Hosted>,
    reader: Reader,
    /// The number of entries that it has.
    from: u64,
    sealed: watch::Receiver<u64>,
    is_new: bool,
    /// The rights that it was last told about.
    rights: Option<Rights>,
}

/// Waits for any domain to grow; its owner then asks what is new.
pub struct Follower(Vec<watch::Receiver<u64>>);

impl Follower {
    /// Returns when a domain has grown since the last call, or since this was made.
    pub async fn changed(&mut self) {
        if self.0.is_empty() {
            return core::future::pending().await;
        }
        let changes = self.0.iter_mut().map(|sealed| Box::pin(sealed.changed()));
        // A domain that has gone has no more news; its sender lives as long as the application.
        let _ = futures_util::future::select_all(changes).await;
    }
}

impl App {
    /// Follows all domains that are here now.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower(self.all_hosted().iter().map(|hosted| hosted.sealed.subscribe()).collect())
    }

    /// Listens to a domain from an index on.
    ///
    /// # Errors
    /// When the domain is not held here, or the listener has more of it than this node: then one of the two was
    /// restored from a copy, and the one that is behind must not report news.
    pub fn listen(&self, reader: Reader, domain: &DomainName, from: u64) -> Result<Listener, AppError> {
        let hosted = self.hosted(domain)?;
        self.refuse_beyond(&hosted, from)?;
        let sealed = hosted.sealed.subscribe();
        Ok(Listener { app: self.clone(), hosted, reader, from, sealed, is_new: true, rights: None })
    }

    /// Tells listeners how far the domain reaches now. To be called after each commit.
    pub(crate) fn tell(&self, hosted: &Hosted) {
        let Ok(head) = self.store().head(hosted.number) else { return };
        hosted.grown.send_if_modified(|told| core::mem::replace(told, head.size.max(*told)) < head.size);
        let size = head.seal.map_or(0, |seal| seal.size);
        // No one is sent an older event any more, and it may contain what has been erased.
        if let Ok(mut told) = hosted.told.try_lock()
            && told.as_ref().is_some_and(|told| told.size < size)
        {
            *told = None;
        }
        let has_news = hosted.sealed.send_if_modified(|told| core::mem::replace(told, size.max(*told)) < size);
        if has_news {
            self.0.news.send_modify(|commits| *commits += 1);
        }
    }

    /// Whether more than `from` entries of a domain are proven here.
    ///
    /// # Errors
    /// When the domain is not held here.
    pub fn has_more(&self, domain: &DomainName, from: u64) -> Result<bool, AppError> {
        Ok(*self.hosted(domain)?.sealed.borrow() > from)
    }

    /// Waits until more than `from` entries of a domain are proven here, or for this time.
    ///
    /// # Errors
    /// When the domain is not held here.
    pub async fn await_more(&self, domain: &DomainName, from: u64, time: Duration) -> Result<(), AppError> {
        let mut sealed = self.hosted(domain)?.sealed.subscribe();
        // A timeout is an answer as well: there is nothing new.
        let _ = tokio::time::timeout(time, sealed.wait_for(|size| *size > from)).await;
        Ok(())
    }

    /// The news for a reader who has `from` entries of a domain, the number of entries that the reader has with them,
    /// and the mark of the reader's rights; `told` is the mark that the reader was last told.
    ///
    /// # Errors
    /// As [`App::listen`].
    pub fn news_since(
        &self,
        reader: Reader,
        domain: &DomainName,
        from: u64,
        told: Option<&Option<Rights>>,
    ) -> Result<(News, u64, Option<Rights>), AppError> {
        let hosted = self.hosted(domain)?;
        self.refuse_beyond(&hosted, from)?;
        let rights = self.rights(reader, &hosted)?;
        let tells_rights = told.is_none_or(|told| *told != rights);
        let (news, size) = self.news(reader, &hosted, from, tells_rights)?;
        Ok((news, size, rights))
    }

    /// Refuses readers who have more of a domain than this node.
    fn refuse_beyond(&self, hosted: &Hosted, from: u64) -> Result<(), AppError> {
        let size = self.seal(hosted)?.size;
        if from <= size {
            return Ok(());
        }
        let detail = format!("news after {from} entries was asked for, but {size} are proven here");
        Err(AppError::new(Code::OutOfRange, detail))
    }

    /// The news for a listener who has `from` entries, and the number of entries that the listener has with them.
    fn news(&self, reader: Reader, hosted: &Hosted, from: u64, tells_rights: bool) -> Result<(News, u64), AppError> {
        let seal = self.seal(hosted)?;
        if seal.size <= from && !tells_rights {
            return Ok((News::Checkpoint(seal.note), from));
        }
        let page = self.page_of(reader, hosted, from, limits::NEWS_ENTRIES, limits::NEWS_BYTES, None)?;
        let (size, reached) = (page.size, page.from + page.entries.len() as u64);
        let page = if reached == size { page } else { wire::Page { entries: Vec::new(), proof: Vec::new(), ..page } };
        Ok((News::Page(page), size))
    }
}

impl Listener {
    /// The next event: at once if the listener is new or behind, otherwise when the log grows, and a heartbeat with the
    /// newest checkpoint if it does not.
    ///
    /// # Errors
    /// When the store fails. The listener should then connect again.
    pub async fn next(&mut self) -> Result<Event, AppError> {
        let from = self.from;
        let is_new = core::mem::take(&mut self.is_new);
        if !is_new {
            let time = Duration::from_secs(HEARTBEAT_SECONDS);
            let _ = tokio::time::timeout(time, self.sealed.wait_for(|size| *size > from)).await;
        }
        let size = *self.sealed.borrow_and_update();
        let (event, reached) = if size > from && self.app.shows_all(self.reader, &self.hosted)? {
            self.shared(size).await?
        } else {
            self.own(is_new).await?
        };
        self.from = reached;
        self.app.served(self.reader, &self.hosted.name, reached, event.len());
        Ok(event)
    }

    /// The news that are shared by all listeners who may read everything. The others are each told the mark of their
    /// own rights.
    async fn shared(&mut self, size: u64) -> Result<(Event, u64), AppError> {
        let hosted = Arc::clone(&self.hosted);
        let mut told = hosted.told.lock().await;
        // Asked again, since the event may be newer than the rules by which this listener was to share it.
        if let Some(told) = told.as_ref().filter(|told| told.from == self.from && told.size >= size)
            && self.app.shows_all(self.reader, &hosted)?
        {
            return Ok((Arc::clone(&told.event), told.size));
        }
        let (event, size) = self.own(false).await?;
        if self.rights.is_none() {
            *told = Some(Told { from: self.from, size, event: Arc::clone(&event) });
        }
        Ok((event, size))
    }

    /// The news for this listener alone. If there are none, the first event and each change of rights tells what it may
    /// read.
    async fn own(&mut self, is_new: bool) -> Result<(Event, u64), AppError> {
        let (hosted, reader, from) = (Arc::clone(&self.hosted), self.reader, self.from);
        let before = self.rights.take();
        let told = self.app.blocking(move |app| {
            let rights = app.rights(reader, &hosted)?;
            let (news, size) = app.news(reader, &hosted, from, is_new || rights != before)?;
            Ok((news.to_event(size).into(), size, rights))
        });
        let (event, size, rights) = told.await?;
        self.rights = rights;
        Ok((event, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::amended;
    use crate::fixture::{Party, device, narrowed};

    /// The rules may change while a listener waits for what another one, who may still read everything, is told.
    #[tokio::test(flavor = "multi_thread")]
    async fn news_for_those_who_may_read_everything_are_for_nobody_who_no_longer_may() {
        let (maker, app) = Party::opened();
        let (hosted, from) = (app.hosted(&maker.domain).expect("here"), 1);
        let mut listener = app.listen(Reader::Anonymous, &maker.domain, from).expect("listens");
        listener.next().await.expect("that there is nothing new");
        let mut told = hosted.told.lock().await;
        maker.publish(&app, &device(1), "Pump", "1").await;
        let listening = tokio::spawn(async move {
            let heard = listener.next().await;
            (heard, listener)
        });
        tokio::time::sleep(Duration::from_millis(200)).await;

        let rules = amended(&app, &maker.domain, |next| next.access = narrowed(&next.access, "principal has node"));
        maker.submit_one(&app, rules).await.expect("admitted");
        maker.publish(&app, &device(2), "Pump", "2").await;
        let news = tokio::task::block_in_place(|| app.news(Reader::Operator, &hosted, from, false));
        let (news, size) = news.expect("news");
        let event: Event = news.to_event(size).into();
        *told = Some(Told { from, size, event: Arc::clone(&event) });
        drop(told);

        let (heard, listener) = listening.await.expect("goes on");
        assert_ne!(heard.expect("news"), event);
        assert!(listener.rights.is_some(), "it is told that it may not read everything");
    }
}
