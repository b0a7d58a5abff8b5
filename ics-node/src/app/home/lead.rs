//! A node whose time is ahead of its machine's clock, because homes have signed later times or the clock was set back.
//! Its operator is told, and has a remedy if the node itself has signed while the clock was ahead.
//!
//! The node cannot distinguish that from a clock that is behind, and does not guess: too low a time would make old news
//! look fresh.

use ics_core::vocabulary::DomainName;

use crate::api::{Alarm, ClockInfo};
use crate::app::App;
use crate::app::clock::EARLIEST;
use crate::app::hosted::Hosted;
use crate::store::Part;
use crate::words::span;

const WAY_BACK: &str =
    "if it is right now and was ahead before, stop the node and start it once with `ics serve --clock-is-right`";

impl App {
    /// How far the node's time is ahead of its machine's clock, and why, if it is.
    pub(in crate::app) fn lead(&self) -> Option<ClockInfo> {
        let shows = self.clock().outrun()?;
        let is_verified = self.clock().behind().is_some();
        let (led_by, since) = self.clock().led_by().filter(|_| is_verified).unzip();
        Some(ClockInfo { shows, time: self.clock().now(), led_by, since })
    }

    /// Logs a warning about that.
    pub(super) fn warn_of_lead(&self) {
        if let Some(lead) = self.lead() {
            tracing::warn!(system = %lead.shows, time = %lead.time, "{}", self.lead_in_words(&lead));
        }
    }

    /// The alarm of a domain for which this node has signed, or is signing, a time in the future. If others have signed
    /// it, or the clock starts in 1970, it is the clock that is behind, and the node continues as it should.
    pub(in crate::app) fn lead_alarm(&self, hosted: &Hosted) -> Option<Alarm> {
        let lead = self.lead().filter(|lead| lead.shows >= EARLIEST && hosted.part == Part::Home)?;
        if lead.led_by.as_ref().is_some_and(|domain| *domain != hosted.name) {
            return None;
        }
        let (at, text) = (lead.since.unwrap_or(lead.time), self.lead_in_words(&lead));
        Some(Alarm { at, kind: "clock-ahead".to_owned(), text })
    }

    /// Trusts the machine's clock because the operator says so: later times that this node has signed do not lead it
    /// any more. Those signed by the homes of other domains still do.
    pub(crate) fn believe_clock(&self) {
        let own: Vec<DomainName> = self.homes().iter().map(|hosted| hosted.name.clone()).collect();
        self.clock().forget(&own);
    }

    fn lead_in_words(&self, lead: &ClockInfo) -> String {
        let ahead = span(lead.time.millis_since(lead.shows) / 1000);
        let first = format!("this node's time is {ahead} ahead of this machine's clock, which shows {}", lead.shows);
        let (Some(domain), Some(since)) = (&lead.led_by, lead.since) else {
            if lead.shows < EARLIEST {
                return format!("{first}: set the clock");
            }
            return format!(
                "{first} and was set back while the node ran: the node's time stands still until the clock has caught \
                 up. If the clock is behind, set it; {WAY_BACK}"
            );
        };
        let is_own = self.hosted(domain).is_ok_and(|hosted| hosted.part == Part::Home);
        let signer = if is_own { "this node" } else { "the home" };
        let then = if is_own { format!("; {WAY_BACK}") } else { String::new() };
        format!(
            "{first}: {signer} has cosigned `{domain}` at {since}, and this node's time goes on from there. What \
             others say may be too old by that time (`stale`). If the clock is behind, set it{then}"
        )
    }
}
