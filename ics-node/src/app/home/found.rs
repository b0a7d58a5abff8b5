//! Domains of this node: founding them, and what the node says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::statement::body::{self, Body};
use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::DomainName;
use ics_sync::wire;

use super::home_key::other_key;
use crate::api::problem::Code;
use crate::api::{Alarm, DomainInfo, ForkNotes, NodeInfo, Position, ShownLog};
use crate::app::admit::check::check_bodies;
use crate::app::admit::submit::{Incoming, Outcome};
use crate::app::alarms::ALARMS_SHOWN;
use crate::app::copy::feed::Unproven;
use crate::app::error::HALTED;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader, random};
use crate::locked::Shared as _;
use crate::store::{DomainNumber, Part, Seal, StoreError};

/// How many forks of one domain are shown.
const FORKS_SHOWN: usize = 20;

impl App {
    /// Makes this node the home of a domain, from the signed descriptor that becomes entry 0. Does nothing if it is
    /// already the home: the descriptor in force is then the one in the log.
    ///
    /// # Errors
    /// When the descriptor is refused, names another home, or the domain is mirrored here.
    pub fn found(&self, descriptor: &[u8]) -> Result<DomainName, AppError> {
        let refused = |detail: String| AppError::new(Code::Refused, detail);
        let signed = match body::parse(descriptor).map_err(|error| refused(error.to_string()))? {
            Body::Descriptor(signed) => signed,
            _ => return Err(refused("this is not a signed descriptor".to_owned())),
        };
        let parsed =
            ics_core::descriptor::Descriptor::parse(&signed.json).map_err(|error| refused(error.to_string()))?;
        let name = parsed.domain.clone();
        // The domain is silent: nobody can tell who its home is now, or what it has said.
        if self.hosted(&name).is_ok_and(|hosted| self.store().check_sound(hosted.number).is_err()) {
            return Ok(name);
        }
        let in_force = self.hosted(&name).ok().and_then(|hosted| hosted.domain());
        let rules = in_force.as_ref().map_or(&parsed, |domain| domain.descriptor());
        let home = &rules.home;
        if home.key != self.own_key() {
            // What it has to get back may name this key. Until then it accepts and signs nothing.
            if let Ok(hosted) = self.hosted(&name)
                && self.is_behind(&hosted)?
            {
                return Ok(name);
            }
            return Err(refused(other_key(&name, rules)));
        }
        // Copies believe a home about what is newest only under the name that the descriptor gives.
        if home.name != self.0.keys.name {
            return Err(refused(other_name(&name, &home.name, &self.0.keys.name)));
        }
        match self.hosted(&name) {
            Ok(hosted) if hosted.part == Part::Mirror => {
                return Err(refused(format!("this node mirrors `{name}`, so it cannot also be its home")));
            }
            Ok(hosted) if hosted.domain().is_some() => return Ok(name),
            Ok(_) => {}
            Err(_) => {
                let info = self.store().create_domain(&name, Part::Home, None)?;
                self.put_hosted(BTreeMap::from([(name.clone(), self.host(&info)?)]));
            }
        }
        let hosted = self.hosted(&name)?;
        // A home that lost everything it has signed gets it back from its mirrors; it does not begin another log.
        if self.is_silent(&hosted)? {
            return Ok(name);
        }
        self.append_entry0(&hosted, descriptor)?;
        Ok(name)
    }

    fn append_entry0(&self, hosted: &Arc<Hosted>, descriptor: &[u8]) -> Result<(), AppError> {
        match self.append(hosted, self.one_incoming(None, descriptor)?)?.pop() {
            Some(Outcome::Appended(Unproven { index: 0, .. })) => Ok(()),
            Some(Outcome::Refused(problem)) => Err(AppError::new(Code::Refused, problem.detail)),
            other => Err(AppError::Internal(format!("entry 0 of `{}`: {other:?}", hosted.name))),
        }
    }

    /// A single body for the writer, with its signatures verified.
    pub(super) fn one_incoming(&self, domain: Option<&Domain>, body: &[u8]) -> Result<Vec<Incoming>, AppError> {
        let checked = check_bodies(domain, vec![(body.to_vec(), self.clock().now())], random()?);
        checked.into_iter().map(|checked| Ok(Incoming { checked, source: None, salt: random()? })).collect()
    }

    /// Closes the domains that are at home here but not among `homes`, and returns their names: nothing is admitted or
    /// signed for them any more, so what is known about them gets old everywhere, as if the home were gone.
    #[must_use]
    pub fn close_others(&self, homes: &BTreeSet<DomainName>) -> Vec<DomainName> {
        let is_other = |hosted: &Arc<Hosted>| hosted.part == Part::Home && !homes.contains(&hosted.name);
        let others = self.all_hosted().into_iter().filter(is_other).map(|hosted| hosted.name.clone()).collect();
        self.0.closed.get_or_init(|| others).iter().cloned().collect()
    }

    pub(super) fn is_closed(&self, hosted: &Hosted) -> bool {
        self.0.closed.get().is_some_and(|closed| closed.contains(&hosted.name))
    }

    pub(in crate::app) fn check_open(&self, hosted: &Hosted) -> Result<(), AppError> {
        if !self.is_closed(hosted) {
            return Ok(());
        }
        let text = format!("this node takes nothing more for `{}`: its ics.toml has no `[[home]]` for it", hosted.name);
        Err(AppError::new(Code::NotHome, text))
    }

    pub(crate) fn put_hosted(&self, hosted: BTreeMap<DomainName, Arc<Hosted>>) {
        self.0.hosted.write_locked().extend(hosted);
    }

    /// Who this node is.
    #[must_use]
    pub fn node(&self) -> NodeInfo {
        NodeInfo {
            name: self.0.keys.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: self.own_key(),
            domains: self.all_hosted().iter().map(|hosted| hosted.name.clone()).collect(),
            clock: self.lead(),
        }
    }

    /// All domains of this node, and what each is for in its owners' words, as far as its log is shown; `None` for one
    /// of which nothing has arrived yet, or that cannot answer now.
    #[must_use]
    pub fn purposes(&self) -> Vec<(DomainName, Option<String>)> {
        let purpose = |hosted: &Hosted| {
            let reach = self.store().reach(hosted.number).ok()??;
            Some(hosted.domain()?.descriptor_at(reach.size).description.clone())
        };
        self.all_hosted().iter().map(|hosted| (hosted.name.clone(), purpose(hosted))).collect()
    }

    /// The domains that this node holds, except those of which nothing has arrived yet.
    ///
    /// # Errors
    /// When the store fails.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, AppError> {
        self.all_hosted().iter().filter(|hosted| hosted.domain().is_some()).map(|hosted| self.info(hosted)).collect()
    }

    /// Their names, and those of domains that are too damaged to be known: what they said is not absent.
    #[must_use]
    pub fn held(&self) -> Vec<DomainName> {
        let is_damaged = |hosted: &Hosted| self.store().check_sound(hosted.number).is_err();
        let all = self.all_hosted();
        let held = all.iter().filter(|hosted| hosted.domain().is_some() || is_damaged(hosted));
        held.map(|hosted| hosted.name.clone()).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// When this node does not hold it.
    pub fn domain(&self, domain: &DomainName) -> Result<DomainInfo, AppError> {
        self.info(&*self.hosted(domain)?)
    }

    /// All of them, as a reader sees them.
    ///
    /// # Errors
    /// When the store fails.
    pub fn domains_for(&self, reader: Reader) -> Result<Vec<DomainInfo>, AppError> {
        Ok(self.domains()?.into_iter().map(|info| shown_to(reader, info)).collect())
    }

    /// One of them, as a reader sees it.
    ///
    /// # Errors
    /// When this node does not hold it.
    pub fn domain_for(&self, reader: Reader, domain: &DomainName) -> Result<DomainInfo, AppError> {
        Ok(shown_to(reader, self.domain(domain)?))
    }

    pub(in crate::app) fn info(&self, hosted: &Hosted) -> Result<DomainInfo, AppError> {
        self.store().check_sound(hosted.number)?;
        // In this order: whoever has waited for a size is told by the rules that it has brought.
        let head = self.store().head(hosted.number)?;
        let domain = hosted.domain().ok_or_else(|| AppError::unknown_domain(&hosted.name))?;
        let descriptor = domain.descriptor();
        let origin = domain.origin();
        let shown = |seal: &Seal| ShownLog { size: seal.size, root: seal.root.to_string() };
        let shown = head.seal.as_ref().map(shown);
        let verifier_key = descriptor.home.home_of(&origin);
        let malformed = |_| AppError::Internal(format!("the descriptor of `{}` has no usable home key", hosted.name));
        Ok(DomainInfo {
            info: wire::Info {
                domain: hosted.name.clone(),
                origin,
                home: descriptor.home.clone(),
                verifier_key: verifier_key.map_err(malformed)?,
                descriptor: descriptor.version,
                size: head.size,
                as_of: head.seal.and_then(|seal| seal.cosigned_at),
            },
            position: if hosted.part == Part::Home { Position::Home } else { Position::Mirror },
            description: descriptor.description.clone(),
            root: head.root.to_string(),
            shown,
            fresh_for_seconds: descriptor.freshness.default,
            witness_keys: descriptor.witness_keys(),
            alarms: self.lead_alarm(hosted).into_iter().chain(self.alarms_about(Some(hosted.number))?).collect(),
            forks: self.forks_about(Some(hosted.number))?,
            mirror: hosted.mirror(),
            follows: self.follow_infos(hosted)?,
        })
    }

    /// The latest alarms about a domain, or about none that is held here.
    pub(in crate::app) fn alarms_about(&self, domain: Option<DomainNumber>) -> Result<Vec<Alarm>, AppError> {
        let alarms = self.store().alarms(domain, ALARMS_SHOWN)?.into_iter();
        Ok(alarms.map(|alarm| Alarm { at: alarm.at, kind: alarm.kind, text: alarm.text }).collect())
    }

    /// The first forks of a domain, or of logs that are not held here.
    pub(in crate::app) fn forks_about(&self, domain: Option<DomainNumber>) -> Result<Vec<ForkNotes>, AppError> {
        Ok(self.store().forks(domain, FORKS_SHOWN)?.into_iter().map(ForkNotes::from).collect())
    }

    /// Whether the node can do its work: its store takes writes, nothing in it is known to be damaged, and every home
    /// has its entry 0, as does every copy that its trust policy asks. For other copies nothing may ever arrive: a peer
    /// may have been configured with an address that nobody answers.
    ///
    /// # Errors
    /// With what it waits for, or what is wrong with its store.
    pub fn ready(&self) -> Result<(), String> {
        self.store().writable().map_err(|_| HALTED.to_owned())?;
        if self.store().lacks_room() {
            return Err(StoreError::NoRoom.to_string());
        }
        let hosted = self.all_hosted();
        let sound = hosted.iter().try_for_each(|hosted| self.store().check_sound(hosted.number));
        sound.map_err(|damaged| damaged.to_string())?;
        hosted.iter().try_for_each(|hosted| self.met_no_damage(hosted))?;
        let mut empty = hosted.iter().filter(|hosted| hosted.domain().is_none());
        if let Some(hosted) = empty.find(|hosted| hosted.part == Part::Home || self.relies_on(&hosted.name)) {
            return Err(format!("nothing of `{}` has arrived yet", hosted.name));
        }
        match self.silent().first() {
            Some(domain) => Err(format!(
                "`{domain}` is silent: its home may have signed what it no longer holds. It goes on once all peers \
                 have answered and nothing is missing, a minute after the last of them was added or removed; see `ics \
                 restore`"
            )),
            None => Ok(()),
        }
    }

    /// Refuses if damage has been found in a domain since the start.
    fn met_no_damage(&self, hosted: &Hosted) -> Result<(), String> {
        let first = self.store().damage_met(hosted.number).into_iter().next();
        first.map_or(Ok(()), |damage| Err(format!("`{}`: {damage}", hosted.name)))
    }

    /// Whether a domain that the trust policy asks is copied, by the present configuration.
    fn relies_on(&self, domain: &DomainName) -> bool {
        let is_asked = |policy: &TrustPolicy| policy.domains().iter().any(|origin| origin.domain == *domain);
        self.0.trust.as_deref().is_some_and(is_asked) && self.peers_table().copies(domain)
    }
}

/// What an operator who has renamed the node is told: the name belongs to the domain, not to the machine.
fn other_name(domain: &DomainName, said: &str, own: &str) -> String {
    format!(
        "the descriptor of `{domain}` names its home `{said}`, but `[node] name` in ics.toml is `{own}`, so no copy \
         would believe this node's news. Write `{said}` there again, which need not be the name of the machine. If the \
         owners want another name, they first change `home.name` in a version of the descriptor (`ics domain update \
         --from-file`), and the node starts under that name once it is in force"
    )
}

/// What a domain follows is for the operator alone: it may name models and lots that the followed domain hides. So are
/// the notes of forks, which the operator can give to whoever is to judge them.
fn shown_to(reader: Reader, mut info: DomainInfo) -> DomainInfo {
    if reader != Reader::Operator {
        info.follows.clear();
        info.forks.clear();
    }
    info
}
