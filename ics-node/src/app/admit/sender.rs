//! Who sends a submission in, and the place that it takes meanwhile.

use crate::api::problem::Code;
use crate::app::AppError;
use crate::app::hosted::Hosted;
use crate::room::{Held, Room};

/// The places of a face for submissions that wait for another node, which may be slow or not answer at all. Strangers
/// of one network get only a part of them, and strangers who send to the same home another: neither a host that sends
/// much nor a home that hangs takes the places of all.
#[derive(Clone)]
pub(crate) struct Forwards {
    by_network: Room,
    by_home: Room,
}

/// Who sends a submission in. While it is handled it takes a place where it came in; once it waits for another node,
/// one where it is not in the way of others.
pub struct Sender {
    /// `None` for the node's own programs, which wait as they like.
    forwards: Option<Forwards>,
    is_stranger: bool,
    /// The network that a client comes from; `None` if that is this machine.
    network: Option<u64>,
    held: Option<Box<dyn Send>>,
    waiting: Option<[Held; 2]>,
}

impl Forwards {
    /// This many places.
    pub(crate) fn new(places: usize) -> Self {
        let of_strangers = places.div_ceil(2);
        Self { by_network: Room::parted(places, of_strangers, 4), by_home: Room::parted(places, of_strangers, 2) }
    }
}

impl Sender {
    /// A program of the node's own.
    #[must_use]
    pub fn own() -> Self {
        Self { forwards: None, is_stranger: false, network: None, held: None, waiting: None }
    }

    /// A client of a face, whose submission takes the place `held` so far.
    pub(crate) fn client(
        (is_stranger, network): (bool, Option<u64>),
        held: impl Send + 'static,
        forwards: &Forwards,
    ) -> Self {
        Self { forwards: Some(forwards.clone()), is_stranger, network, held: Some(Box::new(held)), waiting: None }
    }

    /// Goes on to wait for the home of a domain, and gives back the place that it took before.
    ///
    /// # Errors
    /// At once, when there is no place left for that.
    pub(in crate::app) fn waits_for(&mut self, hosted: &Hosted) -> Result<(), AppError> {
        let Some(Forwards { by_network, by_home }) = &self.forwards else { return Ok(()) };
        // The one that it had for the home of another domain before.
        drop(self.waiting.take());
        let home = Some(u64::from(hosted.number.get()));
        let taken = by_network.take(self.is_stranger, self.network).and_then(|held| {
            let of_home = by_home.take(self.is_stranger, home)?;
            Ok([held, of_home])
        });
        let full = "all places for submissions that wait for another node are taken";
        self.waiting = Some(taken.map_err(|_| AppError::new(Code::Busy, full))?);
        drop(self.held.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{DomainNumber, Part};

    fn home(number: u32) -> Hosted {
        let name = format!("home-{number}.example").parse().expect("a domain");
        Hosted::new(DomainNumber::new(number).expect("a number"), name, Part::Mirror, None)
    }

    /// How many of these senders find a place from which to wait for a home; they keep it.
    fn find_room(senders: impl Iterator<Item = Sender>, home: &Hosted, kept: &mut Vec<Sender>) -> usize {
        let before = kept.len();
        kept.extend(senders.map_while(|mut sender| sender.waits_for(home).is_ok().then_some(sender)));
        kept.len() - before
    }

    #[test]
    fn neither_a_network_nor_a_home_takes_the_places_of_all() {
        let (forwards, homes) = (Forwards::new(64), [1, 2, 3].map(home));
        let stranger = |network| Sender::client((true, Some(network)), (), &forwards);
        let mut kept = Vec::new();
        assert_eq!(find_room((0..64).map(|_| stranger(1)), &homes[0], &mut kept), 8, "of one network");
        assert_eq!(find_room((0..64).map(|number| stranger(100 + number)), &homes[0], &mut kept), 8, "to one home");
        assert_eq!(find_room((0..64).map(|number| stranger(200 + number)), &homes[1], &mut kept), 16, "to another");
        assert_eq!(find_room((0..64).map(|number| stranger(300 + number)), &homes[2], &mut kept), 0, "half is theirs");
        let known = (0..64).map(|_| Sender::client((false, Some(1)), (), &forwards));
        assert_eq!(find_room(known, &homes[0], &mut kept), 32, "who is known has the rest");
        assert!(Sender::own().waits_for(&homes[0]).is_ok(), "the node's own programs wait as they like");
        kept.clear();
        assert_eq!(find_room((0..64).map(|_| stranger(1)), &homes[0], &mut kept), 8, "all were given back");
    }

    #[test]
    fn who_waits_for_another_node_holds_no_other_place() {
        let (forwards, homes) = (Forwards::new(1), [1, 2].map(home));
        let places = Arc::new(());
        let mut first = Sender::client((true, None), Arc::clone(&places), &forwards);
        let mut second = Sender::client((true, None), Arc::clone(&places), &forwards);
        first.waits_for(&homes[0]).expect("a place");
        assert_eq!(Arc::strong_count(&places), 2, "its place was given back");
        let full = second.waits_for(&homes[0]).expect_err("no place");
        assert_eq!((full.code(), Arc::strong_count(&places)), (Code::Busy, 2), "the place is kept while it is needed");
        first.waits_for(&homes[1]).expect("it has its place from before");
        drop(first);
        second.waits_for(&homes[0]).expect("a place again");
    }
}
