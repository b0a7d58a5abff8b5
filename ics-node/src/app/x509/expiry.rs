//! Watches for certificates that end: those past their renewal window whose holder has no later one of the same profile
//! for the same names. Clients renew by themselves; what is found here is what they missed. The end of the authority
//! itself is reported as well, since nobody renews that automatically; and so is, even at a copy, the end of the
//! certificate with which this node answers OCSP on the authority's behalf.
//!
//! One check goes over the hours in which certificates end, so its cost depends on how many end in that time, and it
//! remembers nothing: news is what has passed its threshold since the last check that was reported.

use data_encoding::HEXLOWER;
use ics_core::descriptor::Certificates;
use ics_core::limits;
use ics_core::record::Posting;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::certificates::Walk;
use crate::api::{CertificateInfo, CertificateState};
use crate::app::answer::read::Sight;
use crate::app::entries::keys;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::locked::Locked as _;
use crate::store::Part;

/// The milliseconds of a day.
const DAY: u64 = 86_400_000;
/// Within how many days of their end certificates are counted.
pub(crate) const DAYS: [u64; 3] = [1, 7, 30];
/// For how many days a certificate that has ended without a successor is counted.
const LAPSED_DAYS: u64 = 7;

/// The result of the last check of a domain's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiries {
    /// The domain.
    pub domain: DomainName,
    /// When the check was made.
    pub at: Timestamp,
    /// How many certificates the domain has ever issued.
    pub issued: u64,
    /// Up to which entry of the log they are counted.
    counted: u64,
    /// How many are in force without a successor and end within 1, 7 and 30 days.
    pub ending: [u64; DAYS.len()],
    /// How many have ended within the last 7 days without a successor, although nothing blocks the holder.
    pub lapsed: u64,
    /// When the issuing authority, or one above it, ends.
    pub issuer_ends: Option<Timestamp>,
}

/// What has become news since the last check that was reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpiryAlert {
    /// The same for the same news whenever it is sent, so that a receiver recognises repetitions.
    pub id: String,
    /// The node.
    pub node: String,
    /// The domain.
    pub domain: DomainName,
    /// When the check was made.
    pub at: Timestamp,
    /// How many certificates end soon and were not renewed.
    pub ending: u64,
    /// How many certificates have ended and were not renewed.
    pub lapsed: u64,
    /// When the issuing authority, or one above it, ends, if that has become news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ends: Option<Timestamp>,
    /// When a certificate ends with which this node answers OCSP on behalf of an issuer, if that has become news; the
    /// earliest, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responder_ends: Option<Timestamp>,
    /// The first of these certificates, in the order of their end.
    pub certificates: Vec<CertificateInfo>,
}

impl App {
    /// Checks the certificates of all domains at home here, and those with which this node answers OCSP; returns what
    /// has become news since a time, or everything that holds if `since` is `None`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn look_at_expiries(
        &self,
        since: Option<Timestamp>,
        before_days: u16,
    ) -> Result<(Timestamp, Vec<ExpiryAlert>), AppError> {
        let now = self.clock().now();
        let mut alerts = Vec::new();
        for hosted in &self.all_hosted() {
            let Ok(sight) = self.sight(hosted) else { continue };
            if let Some(rules) = &sight.domain.descriptor().certificates {
                alerts.extend(self.look_at(&sight, rules, (since, now), before_days)?);
            }
        }
        Ok((now, alerts))
    }

    /// The results of the last checks.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiries> {
        self.all_hosted().iter().filter_map(|hosted| hosted.expiries()).collect()
    }

    fn look_at(
        &self,
        sight: &Sight<'_>,
        rules: &Certificates,
        (since, now): (Option<Timestamp>, Timestamp),
        before_days: u16,
    ) -> Result<Option<ExpiryAlert>, AppError> {
        let before = u64::from(before_days) * DAY;
        let responders = self.longest_delegations(&rules.issuers).filter(|it| {
            let early = early(before, it.not_before, it.not_after);
            is_news(it.not_after, early, since, now)
        });
        let mut alert = ExpiryAlert {
            id: String::new(),
            node: self.0.keys.name.clone(),
            domain: sight.hosted.name.clone(),
            at: now,
            ending: 0,
            lapsed: 0,
            issuer_ends: None,
            responder_ends: responders.map(|it| it.not_after).min(),
            certificates: Vec::new(),
        };
        if sight.hosted.part == Part::Home {
            self.look_at_issued(sight, rules, (since, now), before, &mut alert)?;
        }
        alert.id = alert.digest();
        Ok(Some(alert).filter(ExpiryAlert::is_news))
    }

    /// Checks what a domain of this node has issued, and its authority.
    fn look_at_issued(
        &self,
        sight: &Sight<'_>,
        rules: &Certificates,
        (since, now): (Option<Timestamp>, Timestamp),
        before: u64,
        alert: &mut ExpiryAlert,
    ) -> Result<(), AppError> {
        let counted_from = Timestamp::from_millis(now.as_millis().saturating_sub(LAPSED_DAYS * DAY));
        // What has ended while the node was down is reported, however long that was.
        let from = since.map_or(counted_from, |since| since.min(counted_from));
        let walk = Walk::Ends { from, before: now.plus_millis(before.max(longest())) };
        let mut found = self.counted(sight, now)?;
        found.issuer_ends = self.authorities_of(&rules.issuers).next().map(|issuer| issuer.not_after);
        let is_news = |ends: &Timestamp| is_news(*ends, before.max(longest_of(rules)), since, now);
        alert.issuer_ends = found.issuer_ends.filter(is_news);
        let mut next = Some(walk.start());
        while let Some(at) = next {
            let step = self.step(sight, walk, (at, sight.seal.size), limits::PAGE_ITEMS)?;
            for issued in &step.issued {
                let info = self.certificate_info(Reader::Operator, sight, issued, now)?;
                let Some(info) = info.filter(|info| !info.renewed) else { continue };
                let Some(end) = End::of(&info, before, now) else { continue };
                if end.is_over && self.is_blocked(sight, &issued.subject_id())? {
                    continue;
                }
                if end.at >= counted_from {
                    found.count(&end, now);
                }
                alert.take(&end, info, since, now);
            }
            next = step.next;
        }
        sight.hosted.set_expiries(found);
        Ok(())
    }

    /// An empty result, except for the number of certificates: what was counted before is not counted again.
    fn counted(&self, sight: &Sight<'_>, now: Timestamp) -> Result<Expiries, AppError> {
        let before = sight.hosted.expiries();
        let (mut issued, mut from) = before.map_or((0, 0), |it| (it.issued, it.counted));
        let size = sight.seal.size;
        let wanted = keys(&[Posting::Act(Act::Issued)]);
        while from < size {
            let page = self.store().positions(sight.hosted.number, &wanted, from..size, 8 * limits::PAGE_ITEMS)?;
            issued += page.indices.len() as u64;
            from = page.next.unwrap_or(size);
        }
        let domain = sight.hosted.name.clone();
        let ending = [0; DAYS.len()];
        Ok(Expiries { domain, at: now, issued, counted: size, ending, lapsed: 0, issuer_ends: None })
    }

    fn is_blocked(&self, sight: &Sight<'_>, id: &ics_core::identity::IdentityId) -> Result<bool, AppError> {
        let record = self.resolve(sight, id)?.map(|(record, _)| record);
        Ok(record.is_none_or(|record| record.effect().blocks() || record.vouched.is_empty()))
    }
}

fn longest() -> u64 {
    DAYS.into_iter().max().unwrap_or_default() * DAY
}

/// The longest validity of any profile that has an end, in milliseconds.
fn longest_of(rules: &Certificates) -> u64 {
    let longest = rules.profiles.values().filter_map(|profile| profile.seconds).max();
    longest.unwrap_or_default().saturating_mul(1000)
}

/// How long before its end a certificate is reported that should have been renewed earlier: by then its renewal window
/// is over, however long it is valid. The window of RFC 9773 leaves a quarter of the validity.
fn early(before: u64, from: Timestamp, until: Timestamp) -> u64 {
    before.min(until.millis_since(from) / 4)
}

/// Whether it is news that an authority, or a responder for it, ends. An authority's end is reported first when it
/// begins to cut short what is issued, so that everything ends at once, and then when it no longer issues. Getting a
/// new one may involve a root that is kept offline.
fn is_news(ends: Timestamp, before: u64, since: Option<Timestamp>, now: Timestamp) -> bool {
    let told_from = Timestamp::from_millis(ends.as_millis().saturating_sub(before));
    [told_from, ends].iter().any(|at| *at <= now && since.is_none_or(|since| since < *at))
}

/// The end of a certificate that was not renewed.
struct End {
    at: Timestamp,
    is_over: bool,
    /// From when on it is reported.
    told_from: Timestamp,
}

impl End {
    fn of(info: &CertificateInfo, before: u64, now: Timestamp) -> Option<Self> {
        let (from, until) = info.from.zip(info.until)?;
        let is_over = until <= now;
        let counts = if is_over { CertificateState::Ended } else { CertificateState::Good };
        if info.state != counts {
            return None;
        }
        let early = early(before, from, until);
        let told_from = if is_over { until.as_millis() } else { until.as_millis().saturating_sub(early) };
        Some(Self { at: until, is_over, told_from: Timestamp::from_millis(told_from) })
    }
}

impl Expiries {
    fn count(&mut self, end: &End, now: Timestamp) {
        if end.is_over {
            self.lapsed += 1;
            return;
        }
        for (count, days) in self.ending.iter_mut().zip(DAYS) {
            *count += u64::from(end.at.millis_since(now) < days * DAY);
        }
    }
}

impl ExpiryAlert {
    const fn is_news(&self) -> bool {
        self.ending + self.lapsed > 0 || self.issuer_ends.is_some() || self.responder_ends.is_some()
    }

    /// A digest of everything that it says, except the time of the check and what changes with time.
    fn digest(&self) -> String {
        let Self { node, domain, ending, lapsed, issuer_ends, responder_ends, certificates, .. } = self;
        let ends = [issuer_ends, responder_ends].map(|at| at.map(Timestamp::as_millis));
        let mut hasher = Sha256::new();
        hasher.update(format!("{node}\n{domain}\n{ending} {lapsed} {ends:?}\n"));
        for certificate in certificates {
            hasher.update(format!("{}\n", certificate.sha256));
        }
        HEXLOWER.encode(&hasher.finalize())
    }

    fn take(&mut self, end: &End, info: CertificateInfo, since: Option<Timestamp>, now: Timestamp) {
        if end.told_from > now || since.is_some_and(|since| end.told_from <= since) {
            return;
        }
        let count = if end.is_over { &mut self.lapsed } else { &mut self.ending };
        *count += 1;
        if self.certificates.len() < limits::ALERT_CERTIFICATES {
            self.certificates.push(info);
        }
    }
}

impl Hosted {
    fn expiries(&self) -> Option<Expiries> {
        self.expiries.locked().clone()
    }

    fn set_expiries(&self, found: Expiries) {
        *self.expiries.locked() = Some(found);
    }
}
