//! Authorities that a descriptor version no longer lists: nobody answers for the certificates that they have issued.

use std::collections::BTreeMap;

use ics_core::descriptor::Descriptor;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::api::{CertificateQuery, CertificateState};
use crate::cli::context::Context;
use crate::cli::words::{clean, counted, when};
use crate::client::node::{Node, NodeError};
use crate::x509::Authority;

/// Unexpired certificates of an authority.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    count: u64,
    until: Option<Timestamp>,
    is_endless: bool,
}

impl Left {
    fn add(&mut self, until: Option<Timestamp>) {
        self.count += 1;
        self.until = self.until.max(until);
        self.is_endless |= until.is_none();
    }

    fn text(self) -> String {
        if self.count == 0 {
            return "all have ended".to_owned();
        }
        let last = self.until.filter(|_| !self.is_endless);
        let until = last.map_or_else(|| "without end".to_owned(), |last| format!("until {}", when(last)));
        format!("{} {until}", counted(self.count, "certificate"))
    }
}

/// Counts unexpired certificates by the fingerprint of the issuer's key. Revoked ones are included, since clients must
/// still be able to learn of the revocation.
async fn all_left(node: &Node, domain: &DomainName, now: Timestamp) -> Result<BTreeMap<String, Left>, NodeError> {
    let mut query = CertificateQuery { limit: Some(limits::PAGE_ITEMS), ..CertificateQuery::default() };
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    loop {
        let page = node.certificates(domain, &query).await?;
        for item in page.items {
            if item.state != CertificateState::Ended && item.until.is_none_or(|until| until > now) {
                left.entry(item.issuer).or_default().add(item.until);
            }
        }
        match page.next {
            Some(after) => query.after = Some(after),
            None => return Ok(left),
        }
    }
}

/// What authorities have issued, as far as it is known here: the node is asked, and only the key in this home directory
/// tells the fingerprint by which certificates are found.
struct Known<'c> {
    context: &'c Context,
    left: Option<BTreeMap<String, Left>>,
}

impl<'c> Known<'c> {
    fn of(context: &'c Context, domain: &DomainName) -> Self {
        let node = context.config().and_then(|config| context.node(&config));
        let ask = |node: Node| context.wait(async move { Ok(all_left(&node, domain, context.now()).await?) });
        Self { context, left: node.and_then(ask).ok() }
    }

    fn left_of(&self, authority: &Authority) -> Option<Left> {
        let left = self.left.as_ref()?;
        let keys = self.context.keys().list().ok()?;
        let is_its = |spki: Option<Vec<u8>>| spki.as_ref() == Some(&authority.spki);
        let mut own = keys.iter().filter(|key| key.public_key().is_ok_and(|key| is_its(key.to_spki_der()))).peekable();
        own.peek()?;
        let found = own.filter_map(|key| left.get(&key.fingerprint().to_string())).max_by_key(|left| left.count);
        Some(found.copied().unwrap_or_default())
    }
}

fn authorities(descriptor: &Descriptor) -> impl Iterator<Item = Authority> + '_ {
    let issuers = descriptor.certificates.iter().flat_map(|certificates| &certificates.issuers);
    issuers.filter_map(|issuer| Authority::read(issuer).ok())
}

/// Describes what is left of each authority of a descriptor, for people.
pub(in crate::cli::commands) fn listed(context: &Context, descriptor: &Descriptor) -> String {
    let known = Known::of(context, &descriptor.domain);
    let line = |authority: Authority| {
        let left = known.left_of(&authority).map_or_else(|| "not known here".to_owned(), Left::text);
        format!("{}: {left}", clean(&authority.name.to_string()))
    };
    authorities(descriptor).map(line).collect::<Vec<_>>().join("; ")
}

/// Warns of authorities that are about to be dropped while certificates issued by them have not expired.
pub(super) fn tell_orphans(context: &Context, previous: &Descriptor, next: &Descriptor) {
    let stays = |it: &Authority| authorities(next).any(|other| other.spki == it.spki);
    let gone: Vec<Authority> = authorities(previous).filter(|it| !stays(it)).collect();
    if gone.is_empty() {
        return;
    }
    let known = Known::of(context, &next.domain);
    for authority in gone {
        let left = match known.left_of(&authority) {
            Some(left) if left.count == 0 => continue,
            Some(left) => left.text(),
            None => "what it has issued, which is not known here (at the home ics certs shows it)".to_owned(),
        };
        context.output.note(&format!(
            "{} is no longer listed, and from then on nobody answers for {left}: OCSP refuses, and there is no \
             revocation list, even for what is revoked. Keep it in `certificates.issuers` until all of those have \
             expired",
            clean(&authority.name.to_string())
        ));
    }
}
