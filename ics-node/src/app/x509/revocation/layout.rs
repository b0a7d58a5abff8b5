//! How an issuer's certificates are divided among its lists. Each certificate names the list in which it would appear,
//! under the descriptor by which it was issued (RFC 5280, 4.2.1.13), and that can no longer be changed. So each list
//! contains what any descriptor would have put there, at every URL that any of them has named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::descriptor::Issuer;
use ics_core::domain::Domain;

use crate::x509::{list_url, shard_of};

/// The layouts of a domain's issuers, by their ids.
pub(super) type Layouts = BTreeMap<String, Arc<Layout>>;

/// The lists of one issuer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The numbers of lists and the URLs that have applied, newest first, without repetitions.
    former: Vec<(u16, String)>,
}

/// The layouts according to all descriptors for the issuer that was listed first, which is the one that issues, and for
/// the others according to the newest descriptor.
pub(super) fn read(domain: &Domain, id: impl Fn(&Issuer) -> Option<String>) -> Layouts {
    let mut layouts: BTreeMap<String, Layout> = BTreeMap::new();
    let mut descriptors: Vec<_> = domain.descriptors().filter_map(|it| it.certificates.as_ref()).collect();
    descriptors.reverse();
    for rules in descriptors {
        if let Some(issuer) = rules.issuers.first().and_then(&id) {
            layouts.entry(issuer).or_default().add(rules.shards, &rules.url);
        }
    }
    if let Some(rules) = &domain.descriptor().certificates {
        // An issuer that has never issued here also has lists, which are empty.
        for issuer in rules.issuers.iter().filter_map(&id) {
            layouts.entry(issuer).or_insert_with(|| Layout { former: vec![(rules.shards, rules.url.clone())] });
        }
    }
    layouts.into_iter().map(|(issuer, layout)| (issuer, Arc::new(layout))).collect()
}

impl Layout {
    fn add(&mut self, shards: u16, url: &str) {
        let place = (shards, url.to_owned());
        if !self.former.contains(&place) {
            self.former.push(place);
        }
    }

    /// Whether there is, or was, a list with that number.
    pub(super) fn has(&self, shard: u8) -> bool {
        self.former.iter().any(|(shards, _)| u16::from(shard) < *shards)
    }

    /// The lists in which a certificate with a serial number in that bucket may be looked for.
    pub(super) fn shards(&self, bucket: u8) -> BTreeSet<u8> {
        self.former.iter().map(|(shards, _)| shard_of(*shards, bucket)).collect()
    }

    /// The URLs of a list, newest first.
    pub(super) fn urls(&self, issuer: &str, shard: u8) -> Vec<String> {
        let mut urls = Vec::new();
        for (_, url) in self.former.iter().filter(|(shards, _)| u16::from(shard) < *shards) {
            let url = list_url(url, issuer, shard);
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}
