//! Revocation lists at nodes that do not sign them: the node fetches the list that the issuer's home has signed,
//! verifies it and serves it. So what is revoked at the home is revoked at every connected node at once; a disconnected
//! node serves the last list for as long as it is valid and lacks nothing that the node knows. Lists are fetched before
//! anybody asks, and survive a restart.

mod ahead;
mod ask;
mod files;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::revocation::{Elsewhere, SignedList, elsewhere};
use crate::app::{App, AppError};
use crate::config::PeerName;
use crate::locked::Locked as _;
use crate::x509::{ReadList, read_revoked};

/// How long a list counts as the newest while the log here has not grown. Like [`REST`] it is measured by a clock that
/// cannot be set: the node's own time stands still after the machine's clock was set back.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long peers are not asked again if none provided a list.
const REST: Duration = Duration::from_secs(2);
/// How many nodes in a row are asked for one client.
const HOPS: u8 = 3;

/// The domain, its issuer, and the number of the list.
type Key = (DomainName, String, u8);
/// What a list was compared with: its number, how many entries of the domain were held, and whether it had come just
/// then.
type Compared = (u64, u64, bool);

/// The fetched lists. There are as many places as descriptors name lists; their contents are bounded.
#[derive(Default)]
pub(crate) struct HomeLists {
    places: Mutex<BTreeMap<Key, Arc<Place>>>,
    /// Counts how often any list was asked for.
    asked: AtomicU64,
    /// When each peer gave no list, if it has given none since. Whoever waits for one that cannot be reached would wait
    /// for it again with every list.
    gave_none: Mutex<BTreeMap<PeerName, Instant>>,
}

/// One list.
#[derive(Default)]
struct Place {
    /// Held by whoever fetches the list; others wait for the result.
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<Option<Kept>>,
    /// The number of the newest list ever kept: an older one is never accepted, even after that one was forgotten.
    newest: AtomicU64,
    /// Whether the last list that came was not accepted: the one that is kept may lack what is known by now.
    in_doubt: AtomicBool,
    /// The list that was found to have everything that was known here since it last came, and when that was.
    whole: Mutex<Option<(Compared, Instant)>>,
    failed_at: Mutex<Option<Instant>>,
    /// When a peer was last asked for it.
    tried_at: Mutex<Option<Instant>>,
    /// When it was last asked for, by the count over all lists.
    asked: AtomicU64,
    /// Whether the list kept before the last start has been looked for.
    is_recalled: AtomicBool,
}

#[derive(Clone)]
struct Kept {
    list: SignedList,
    /// From when on the next one is fetched even if nobody asks.
    renew_at: Timestamp,
    /// How many entries of the domain were held here when it was fetched, and when that was, if this node has not been
    /// restarted since.
    size: u64,
    at: Option<Instant>,
}

impl Kept {
    fn new(read: &ReadList, der: Vec<u8>, size: u64, at: Option<Instant>) -> Self {
        let ReadList { number, this_update, next_update } = *read;
        let list = SignedList { der: der.into(), number, this_update, next_update };
        let half = next_update.millis_since(this_update) / 2;
        Self { list, renew_at: this_update.plus_millis(half), size, at }
    }

    /// Whether its home has only just sent it.
    fn is_new(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < ASK_AGAIN)
    }
}

/// Why a list that the issuer has signed is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotTaken {
    /// It comes from the future: it would bind this node and its clients long after the home's clock was put right.
    #[error("a revocation list that a peer gave bears a future time: the clock of the home or of this node is wrong")]
    Future,
    /// It is older than one that was accepted before.
    #[error("a revocation list that a peer gave is older than the last one: the peer is behind, or a clock went back")]
    Older,
}

impl HomeLists {
    /// The place of a list that somebody asks for.
    fn place(&self, key: Key) -> Arc<Place> {
        let place = self.find(key);
        self.use_now(&place);
        place
    }

    fn find(&self, key: Key) -> Arc<Place> {
        Arc::clone(self.places().entry(key).or_default())
    }

    fn use_now(&self, place: &Place) {
        place.asked.store(self.asked.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Keeps a list, and forgets others until the total is within `most` bytes: first those that are no longer valid,
    /// then those that nobody has asked for the longest. A valid one may be the last that can be had. Returns which
    /// were forgotten.
    fn keep(&self, place: &Place, kept: Kept, now: Timestamp, most: usize) -> Vec<Key> {
        place.newest.store(kept.list.number, Ordering::Relaxed);
        place.in_doubt.store(false, Ordering::Relaxed);
        *place.failed_at.locked() = None;
        // Since the same list came before, time alone may have revoked more.
        *place.whole.locked() = None;
        self.use_now(place);
        place.set(Some(kept));
        let places = self.places();
        let mut all: Vec<(bool, u64, usize, (&Key, &Place))> = places
            .iter()
            .filter_map(|(key, place)| {
                let SignedList { der, next_update, .. } = place.kept()?.list;
                Some((next_update > now, place.asked.load(Ordering::Relaxed), der.len(), (key, &**place)))
            })
            .collect();
        all.sort_unstable_by_key(|(holds, asked, ..)| (*holds, *asked));
        let (mut bytes, mut number) = (all.iter().map(|(_, _, length, _)| length).sum::<usize>(), all.len());
        let mut forgotten = Vec::new();
        for (_, _, length, (key, place)) in all {
            if bytes <= most && number <= limits::REVOCATION_LISTS {
                break;
            }
            place.set(None);
            forgotten.push(key.clone());
            (bytes, number) = (bytes - length, number - 1);
        }
        forgotten
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Place>>> {
        self.places.locked()
    }
}

impl Place {
    fn kept(&self) -> Option<Kept> {
        self.kept.locked().clone()
    }

    fn set(&self, kept: Option<Kept>) {
        *self.kept.locked() = kept;
    }

    /// The list to serve: one that is valid or has just come. This node's clock may have been led ahead, or stand still
    /// there after it was put right; whoever gets the list checks it by their own clock. If a later list was not
    /// accepted, the kept one says nothing about entries that came since it was fetched, and they may revoke.
    fn given(&self, size: u64, now: Timestamp) -> Option<SignedList> {
        let in_doubt = self.in_doubt.load(Ordering::Relaxed);
        let holds = |kept: &Kept| kept.list.next_update > now || kept.is_new();
        Some(self.kept().filter(|kept| holds(kept) && (!in_doubt || kept.size >= size))?.list)
    }

    /// Whether the kept list came just now, to a node that held as many entries.
    fn came_now(&self, size: u64) -> bool {
        self.kept().is_some_and(|kept| kept.size == size && kept.is_new())
    }

    /// Whether it was this list that had everything a moment ago, when as many entries were held: with time more may be
    /// revoked.
    fn is_whole(&self, found: Compared) -> bool {
        let whole = *self.whole.locked();
        whole.is_some_and(|(known, at)| known == found && at.elapsed() < ASK_AGAIN)
    }

    fn found_whole(&self, found: Compared) {
        *self.whole.locked() = Some((found, Instant::now()));
    }

    /// Whether a list is accepted; if not, the kept one is in doubt.
    fn takes(&self, list: &ReadList, now: Timestamp) -> Result<(), NotTaken> {
        let refused = if list.this_update.believed_at(now).is_none() {
            Some(NotTaken::Future)
        } else {
            (list.number < self.newest.load(Ordering::Relaxed)).then_some(NotTaken::Older)
        };
        self.in_doubt.fetch_or(refused.is_some(), Ordering::Relaxed);
        refused.map_or(Ok(()), Err)
    }

    /// Whether no peer has just provided one.
    fn rests(&self) -> bool {
        let failed_at = *self.failed_at.locked();
        failed_at.is_some_and(|at| at.elapsed() < REST)
    }

    /// Records that no peer provided one; returns whether one had done so the time before.
    fn fail(&self) -> bool {
        self.failed_at.locked().replace(Instant::now()).is_none()
    }
}

impl App {
    /// The list that an issuer has signed at the home of its domain, requested from the nodes from which the domain is
    /// copied. `hops` is sent by nodes: how many more may be asked, so that copies which turn to each other come to an
    /// end.
    ///
    /// # Errors
    /// When there is no valid one.
    pub async fn list_from_home(&self, of: Elsewhere, hops: Option<u8>) -> Result<SignedList, AppError> {
        let place = self.0.home_lists.place(key_of(&of));
        let _asking = match hops {
            // A node that was asked for this very list is asking back.
            Some(_) => match place.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return self.whole_list(&of, &place).await,
            },
            None => place.asking.lock().await,
        };
        self.recall(&of, &place).await;
        let further = hops.unwrap_or(HOPS).min(HOPS).checked_sub(1);
        let further = further.filter(|_| !place.rests() && !place.came_now(of.size));
        let mut givers = further.map_or_else(Vec::new, |_| self.givers(&of.domain)).into_iter();
        loop {
            let has_come = self.fetch_list(&of, &place, further.unwrap_or_default(), &mut givers).await;
            match self.whole_list(&of, &place).await {
                // Another peer may know more.
                Err(_) if has_come && !givers.as_slice().is_empty() => {}
                list => return list,
            }
        }
    }

    /// The kept list, if it holds and includes all that is known here to be revoked.
    async fn whole_list(&self, of: &Elsewhere, place: &Place) -> Result<SignedList, AppError> {
        let list = place.given(of.size, self.clock().now()).ok_or_else(elsewhere)?;
        let came_now = place.came_now(of.size);
        let found = (list.number, of.size, came_now);
        if place.is_whole(found) {
            return Ok(list);
        }
        if !self.says_all(of.clone(), list.clone(), came_now).await? {
            return Err(elsewhere());
        }
        place.found_whole(found);
        Ok(list)
    }

    /// Whether a list includes all certificates that are known here to be revoked: this node may have heard of more
    /// before it was disconnected, or from others than the peer that gave the list, and a status may begin or end with
    /// time. It must not contradict itself with a list that others have signed. Only a copy of a part believes what
    /// came now as it is: what lifts a block may be hidden from it.
    async fn says_all(&self, of: Elsewhere, list: SignedList, came_now: bool) -> Result<bool, AppError> {
        self.blocking(move |app| {
            let number = app.hosted(&of.domain)?.number;
            if came_now && app.store().sight(number)?.is_partial() {
                return Ok(true);
            }
            let listed = read_revoked(&list.der, &of.authority).map_err(AppError::Internal)?.revoked;
            Ok(app.revoked_here(&of)?.iter().all(|serial| listed.contains_key(serial)))
        })
        .await
    }
}

fn key_of(of: &Elsewhere) -> Key {
    (of.domain.clone(), of.issuer.clone(), of.shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(100);

    fn key(number: u16) -> Key {
        let domain = format!("d{}.example", number / 256).parse().expect("a domain");
        (domain, "issuer".to_owned(), (number % 256) as u8)
    }

    /// A list of this many bytes that is valid until then.
    fn kept(bytes: usize, until: u64) -> Kept {
        let (this_update, next_update) = (Timestamp::default(), Timestamp::from_seconds(until));
        let list = SignedList { der: vec![0; bytes].into(), number: 7, this_update, next_update };
        Kept { list, renew_at: Timestamp::from_seconds(until / 2), size: 1, at: Some(Instant::now()) }
    }

    fn has(lists: &HomeLists, number: u16) -> bool {
        lists.places().get(&key(number)).is_some_and(|place| place.kept().is_some())
    }

    #[test]
    fn lists_that_were_fetched_stay_however_many_others_are_asked_for() {
        let lists = HomeLists::default();
        for number in 0..256 {
            lists.keep(&lists.place(key(number)), kept(1_000, 200), NOW, 256_000);
        }
        // Nobody gets any of these: the node is disconnected.
        (256..2_048).for_each(|number| drop(lists.place(key(number))));
        assert_eq!((0..256).filter(|number| has(&lists, *number)).count(), 256);
    }

    #[test]
    fn what_holds_no_longer_is_forgotten_first_and_then_what_nobody_asks_for() {
        let lists = HomeLists::default();
        let keep = |number, bytes, until| lists.keep(&lists.place(key(number)), kept(bytes, until), NOW, 100);
        keep(1, 40, 200);
        keep(2, 30, 100);
        keep(3, 30, 200);
        assert!(has(&lists, 1) && has(&lists, 2) && has(&lists, 3), "there is room");
        drop(lists.place(key(1)));
        keep(4, 20, 200);
        assert!(has(&lists, 1) && !has(&lists, 2) && has(&lists, 3) && has(&lists, 4), "it holds no longer");
        keep(5, 11, 200);
        assert!(has(&lists, 1) && !has(&lists, 3) && has(&lists, 4) && has(&lists, 5), "1 was asked for since");
        assert_eq!(keep(6, 100, 200), [1, 4, 5].map(key), "their files go as well");
        assert!(has(&lists, 6) && [1, 4, 5].iter().all(|number| !has(&lists, *number)), "the newest stays");
        assert_eq!(lists.place(key(1)).newest.load(Ordering::Relaxed), 7, "none before it is taken");
    }

    /// The time of a node that was led ahead, and whose clock was put right while it ran, stands still.
    #[test]
    fn what_a_home_has_just_given_is_given_on_and_asked_for_again_though_this_nodes_time_stands_still_ahead() {
        let (lists, ahead) = (HomeLists::default(), Timestamp::from_seconds(10_000));
        let place = lists.place(key(1));
        let earlier = |ago| Instant::now().checked_sub(ago).expect("the machine runs for longer");
        lists.keep(&place, kept(1, 9_000), ahead, 100);
        assert!(place.given(1, ahead).is_some() && place.kept().is_some_and(|kept| kept.is_new()));
        place.set(Some(Kept { at: Some(earlier(ASK_AGAIN)), ..kept(1, 9_000) }));
        assert!(!place.kept().is_some_and(|kept| kept.is_new()), "it is asked for again");
        assert_eq!(place.given(1, ahead), None, "nothing new came, and it holds no longer");

        assert!(place.fail() && !place.fail(), "it is told once");
        assert!(place.rests());
        *place.failed_at.lock().expect("no panic") = Some(earlier(REST));
        assert!(!place.rests(), "the peer is asked again");
    }

    /// After a home's clock that was ahead was put right, its lists bear earlier times than before, and, from an
    /// earlier version of the program, lower numbers.
    #[test]
    fn a_list_from_the_future_binds_nobody_and_what_is_missing_on_the_last_one_is_not_given_away() {
        let (lists, now) = (HomeLists::default(), Timestamp::from_seconds(10_000));
        let read = |seconds: u64| ReadList {
            number: seconds,
            this_update: Timestamp::from_seconds(seconds),
            next_update: Timestamp::from_seconds(20_000),
        };
        let place = lists.place(key(1));
        let keep = |size| {
            let of = kept(1, 20_000);
            let list = SignedList { number: 9_999, ..of.list.clone() };
            lists.keep(&place, Kept { list, size, ..of }, now, 100);
        };
        assert_eq!(place.takes(&read(9_999), now), Ok(()));
        keep(4);
        assert!(place.given(5, now).is_some(), "no link, so nothing better");

        assert_eq!(place.takes(&read(17_200), now), Err(NotTaken::Future));
        assert!(place.given(4, now).is_some(), "nothing has come in since");
        assert_eq!(place.given(5, now), None, "what came in may revoke");
        assert_eq!(place.takes(&read(10_001), now), Ok(()), "clocks differ by so much");
        keep(5);
        assert!(place.given(5, now).is_some(), "the right time is back");

        assert_eq!(place.takes(&read(9_000), now), Err(NotTaken::Older));
        assert!(place.given(5, now).is_some());
        assert_eq!(place.given(6, now), None);
    }

    /// A peer without a link gives the same list for hours.
    #[test]
    fn a_list_is_compared_with_what_is_known_here_each_time_it_comes() {
        let lists = HomeLists::default();
        let place = lists.place(key(1));
        lists.keep(&place, kept(1, 200), NOW, 100);
        place.found_whole((7, 1, true));
        assert!([(7, 2, true), (8, 1, true), (7, 1, false)].iter().all(|other| !place.is_whole(*other)));
        assert!(place.is_whole((7, 1, true)));
        lists.keep(&place, kept(1, 200), NOW, 100);
        assert!(!place.is_whole((7, 1, true)), "time may have revoked more since");
        place.found_whole((7, 1, false));
        assert!(place.is_whole((7, 1, false)), "nor is it read again for everybody who asks while there is no link");
        let earlier = Instant::now().checked_sub(ASK_AGAIN).expect("the machine runs for longer");
        *place.whole.lock().expect("no panic") = Some(((7, 1, false), earlier));
        assert!(!place.is_whole((7, 1, false)), "but a moment later");
    }

    /// A peer may be behind, or have been restored from a copy, while this node was off.
    #[test]
    fn none_is_taken_after_a_start_that_is_older_than_the_one_that_was_kept() {
        let (lists, now) = (HomeLists::default(), Timestamp::from_seconds(10_000));
        let place = lists.find(key(1));
        let read = |number| ReadList { number, this_update: now, next_update: Timestamp::from_seconds(20_000) };
        // As a start finds it in its file.
        lists.keep(&place, Kept::new(&read(7), vec![0], 4, None), now, 100);
        assert_eq!(place.takes(&read(6), now), Err(NotTaken::Older));
        assert!(place.given(4, now).is_some_and(|list| list.number == 7), "nothing has come in since");
        assert_eq!(place.given(5, now), None, "what came in may revoke");
        assert_eq!(place.takes(&read(7), now), Ok(()));
    }

    #[test]
    fn a_list_is_fetched_before_anybody_asks_and_again_when_something_has_come_in_or_half_of_its_time_is_over() {
        let (lists, at) = (HomeLists::default(), Timestamp::from_seconds);
        let place = lists.find(key(1));
        assert!(place.is_due(1, NOW), "there is none");
        place.try_now();
        assert!(!place.is_due(1, NOW), "the peer was just asked");
        let rested = || *place.tried_at.lock().expect("no panic") = None;

        lists.keep(&place, kept(1, 400), NOW, 100);
        rested();
        assert!(!place.is_due(1, at(199)) && place.is_due(1, at(200)) && place.is_due(2, at(199)));
        place.set(Some(Kept { at: None, ..kept(1, 400) }));
        assert!(place.is_due(1, NOW), "it is of before the start");

        assert!(lists.has_room(2) && !lists.has_room(1), "one byte is kept");
    }
}
