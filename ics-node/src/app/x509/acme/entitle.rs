//! What an ACME account may have a certificate for; the record is consulted each time.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::Certificates;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::name::{Lookup, Name};
use ics_core::record::{Logged, Record};
use ics_core::vocabulary::{CertificateUse, DomainName, ProfileName};

use super::Client;
use crate::acme::account::Holder;
use crate::acme::identifier::Identifier;
use crate::acme::problem::{Kind, Problem};
use crate::app::answer::read::Sight;
use crate::app::answer::resolved::check_whole;
use crate::app::x509::certify::{CertifyError, Issuing, Requester, check_room};
use crate::app::{App, AppError, Reader};
use crate::store::{AcmeBlock, AcmeMade};
use crate::words::span;
use crate::x509::{COMMON_NAME_CHARS, LeafError, TakenBack, is_permitted_after, is_permitted_since};

/// The thing for which an account may have a certificate, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entitled {
    pub(super) thing: Fingerprint,
    pub(super) profile: ProfileName,
    /// Whether the record itself gives the account the right; otherwise it must prove control of the names.
    pub(super) by_record: bool,
}

impl App {
    /// Whether an account may have a certificate for these identifiers, or may prove control of them. A refusal counts
    /// towards the rate limit like what it makes, so that nobody can try out the names of others.
    pub(super) fn acme_entitle(
        &self,
        domain: &DomainName,
        client: &Client,
        (identifiers, made): (&[Identifier], AcmeMade),
        profile: Option<&str>,
    ) -> Result<Entitled, Problem> {
        self.acme_right(domain, client, identifiers, profile).or_else(|problem| {
            if !matches!(problem.kind, Kind::RejectedIdentifier | Kind::Unauthorized) {
                return Err(problem);
            }
            let acme = self.acme_server()?;
            acme.note(|tx| acme.check_rate(tx, (domain, client), made, self.acme_now()))?;
            Err(problem)
        })
    }

    fn acme_right(
        &self,
        domain: &DomainName,
        client: &Client,
        identifiers: &[Identifier],
        profile: Option<&str>,
    ) -> Result<Entitled, Problem> {
        let hosted = self.hosted(domain)?;
        let sight = self.issues_here(&hosted)?;
        let issuing = self.issuing(&sight)?;
        let known = self.acme_meant(&issuing, client, identifiers)?;
        self.acme_blocks(domain, client, identifiers, &known.0)?;
        match client.account.holder {
            // Whatever else the record of the thing itself says is checked below, with the profiles.
            Holder::Thing(thing) if known.0.identity.id == IdentityId::Key(thing) => {
                self.check_own_key(&sight, &IdentityId::Key(thing), &known)?;
            }
            holder => self.acme_check_thing(domain, &holder)?,
        }
        let own = self.names_for(issuing.sight, &known, |_| true)?;
        let (record, about) = &*known;
        let id = record.identity.id;
        let IdentityId::Key(thing) = id else {
            return Err(Problem::new(Kind::RejectedIdentifier, format!("{id} has no key")));
        };
        let names: BTreeSet<Name> = identifiers.iter().filter_map(Identifier::name).collect();
        let mut profiles = acme_wanted(issuing.rules, profile)?;
        if names.is_empty() {
            // By its id alone a thing is ordered with its URNs: a profile that takes none of them says less of it.
            let takes = |name: &Name, by: &ProfileName| {
                matches!(name, Name::Urn(_)) && issuing.rules.profiles.get(by).is_some_and(|it| it.takes(name))
            };
            profiles.sort_by_key(|profile| !own.iter().any(|name| takes(name, profile)));
        }
        let is_provable = !self.acme_server()?.config.challenges.is_empty()
            && identifiers.iter().all(|identifier| matches!(identifier, Identifier::Dns(_)));
        let by_proof = is_provable.then_some((Requester::Identity(id), false));
        let ways = [(client.account.holder.requester(), true)].into_iter().chain(by_proof);
        let mut denied = None;
        for (requester, by_record) in ways {
            for profile in profiles.iter().copied() {
                match issuing.may_have((record, &own), requester, profile, &names) {
                    Ok(()) => {
                        if !by_record {
                            check_common_name(identifiers)?;
                        }
                        check_room(about.len())?;
                        return Ok(Entitled { thing, profile: profile.clone(), by_record });
                    }
                    Err(error) => denied = Some(closer(denied, error)),
                }
            }
        }
        Err(denied.map_or_else(|| Problem::malformed("the domain has no profiles"), Problem::from))
    }

    /// The record and statements of the one thing that has all these identifiers. Usually only one thing was ever given
    /// them, and its record says whether it still has them.
    fn acme_meant(
        &self,
        issuing: &Issuing<'_>,
        client: &Client,
        identifiers: &[Identifier],
    ) -> Result<Arc<(Record, Vec<Logged>)>, Problem> {
        let sight = issuing.sight;
        // A thing mostly orders for itself, and what is said about it is at hand since its key was checked.
        let own = match client.account.holder {
            Holder::Thing(thing) => self.resolve_again(sight, &IdentityId::Key(thing), &[])?,
            Holder::Signer(_) => None,
        };
        let mut candidates = BTreeSet::new();
        let mut giving = own.map(|known| known.1.clone()).unwrap_or_default();
        for identifier in identifiers {
            let lookup = looked_up(identifier)?;
            if !self.acme_may_mean(sight, client, &lookup)? {
                // As below, the account is told that there is no such thing.
                candidates.clear();
                break;
            }
            match lookup {
                Lookup::Name(name) => candidates.extend(self.ever_named(sight, &name, &mut giving)?),
                Lookup::Ids(ids) => candidates.extend(ids),
            }
        }
        if let (Some(id), 1) = (candidates.first(), candidates.len())
            && let Some(known) = self.resolve_again(sight, id, &giving)?
        {
            let record = &known.0;
            let names: BTreeSet<&Name> = record.all_names().collect();
            let is_its = |identifier: &Identifier| identifier.name().is_none_or(|name| names.contains(&name));
            if identifiers.iter().all(is_its) && self.acme_may_know(sight, client, record) {
                check_whole(record)?;
                return Ok(known);
            }
        }
        let id = self.acme_thing(sight, client, identifiers)?;
        Ok(self.known_of(issuing, &id)?)
    }

    /// Whether an account may know of a thing: what is hidden from it looks as if it did not exist.
    fn acme_may_know(&self, sight: &Sight<'_>, client: &Client, record: &Record) -> bool {
        let is_concerned = match client.account.holder {
            Holder::Thing(thing) => record.identity.id == IdentityId::Key(thing),
            Holder::Signer(signer) => !record.roles_of(sight.domain.descriptor(), &signer).is_empty(),
        };
        is_concerned || self.may_read(Reader::Anonymous, &sight.domain, record)
    }

    /// Whether an account may learn anything by this look-up. If the rules show strangers nothing, a thing learns only
    /// about itself, and only its own id and names are looked up for it.
    fn acme_may_mean(&self, sight: &Sight<'_>, client: &Client, lookup: &Lookup) -> Result<bool, AppError> {
        let own = match client.account.holder {
            Holder::Thing(thing) if !self.may_read_any(Reader::Anonymous, &sight.domain) => IdentityId::Key(thing),
            Holder::Thing(_) | Holder::Signer(_) => return Ok(true),
        };
        match lookup {
            Lookup::Ids(ids) => Ok(ids.contains(&own)),
            Lookup::Name(name) => {
                let known = self.resolve_again(sight, &own, &[])?;
                Ok(known.is_some_and(|known| known.0.all_names().any(|it| it == name)))
            }
        }
    }

    /// The one thing that has all these identifiers, among those that the account may know of.
    fn acme_thing(
        &self,
        sight: &Sight<'_>,
        client: &Client,
        identifiers: &[Identifier],
    ) -> Result<IdentityId, Problem> {
        let (mut common, mut problems): (Option<BTreeSet<IdentityId>>, _) = (None, Vec::new());
        for identifier in identifiers {
            let lookup = looked_up(identifier)?;
            let may_mean = self.acme_may_mean(sight, client, &lookup)?;
            let ids = if may_mean { self.identities(sight, &lookup)? } else { BTreeSet::new() };
            let mut fitting = BTreeSet::new();
            for id in ids {
                if let Some(known) = self.resolve_again(sight, &id, &[])?
                    && self.acme_may_know(sight, client, &known.0)
                {
                    fitting.insert(id);
                }
            }
            if fitting.is_empty() {
                let detail = format!("no record here gives the name `{identifier}`");
                problems.push(Problem::new(Kind::RejectedIdentifier, detail).about(identifier));
            }
            common = Some(match common {
                Some(common) => common.intersection(&fitting).copied().collect(),
                None => fitting,
            });
        }
        if let Some(problem) = Problem::of_all(problems) {
            return Err(problem);
        }
        let mut ids = common.unwrap_or_default().into_iter();
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id),
            _ => Err(Problem::new(Kind::RejectedIdentifier, "a certificate is for one thing: these are several")),
        }
    }

    /// Refuses an account a certificate if somebody else had one of its certificates for the same names revoked, until
    /// an entitled signer says again that the thing may be used. The revocation is in the log, through whatever
    /// interface it was requested and even if nothing was noted here; what is noted here outlasts what is kept about
    /// the certificate.
    pub(super) fn acme_blocks<'i>(
        &self,
        domain: &DomainName,
        client: &Client,
        identifiers: impl IntoIterator<Item = &'i Identifier>,
        record: &Record,
    ) -> Result<(), Problem> {
        let digest_of = |end: &TakenBack<'_>| match record.statement_at(end.issued)?.certificate.as_ref()?.certificate {
            Name::Certificate(digest) => Some(digest),
            _ => None,
        };
        let ended = TakenBack::all(record).filter(|end| end.stands(record));
        let ended: Vec<_> = ended.filter_map(|end| Some((digest_of(&end)?, end.why()))).collect();
        let acme = self.acme_server()?;
        if ended.is_empty() && !acme.store.has_blocks() {
            return Ok(());
        }
        // Whoever orders by the id of a thing gets all its URNs.
        let whole = Identifier::Permanent(record.identity.id.to_string());
        let problems = acme.look(|tx| {
            let mut problems = Vec::new();
            for identifier in identifiers {
                let is_urn = matches!(identifier, Identifier::Permanent(_));
                let covers = |it: &Identifier| it == identifier || (is_urn && *it == whole);
                let mut why = None;
                for it in [identifier, &whole].into_iter().filter(|it| covers(it)) {
                    let noted = tx.blocked(client.id, it)?.filter(|block| !is_lifted(block, record));
                    why = why.or_else(|| noted.map(|block| block.why));
                }
                for (digest, told) in &ended {
                    let got = tx.certificate_by_digest(domain, digest)?;
                    let is_its =
                        got.is_some_and(|(got, _)| got.account == client.id && got.identifiers.iter().any(covers));
                    why = why.or_else(|| is_its.then(|| told.clone()));
                }
                problems.extend(why.map(|why| {
                    let detail =
                        format!("this account's certificate was revoked {why}; a newer status that permits lifts it");
                    Problem::new(Kind::Unauthorized, detail).about(identifier)
                }));
            }
            Ok(problems)
        })?;
        Problem::of_all(problems).map_or(Ok(()), Err)
    }

    /// The profiles of a domain, each described in words.
    pub(super) fn acme_profiles(&self, domain: &DomainName) -> Result<Vec<(String, String)>, Problem> {
        let list = |words: Vec<&str>| words.join(", ");
        let said = self.hosted(domain)?.domain();
        let rules = said.as_ref().and_then(|said| said.descriptor().certificates.as_ref());
        let rules = rules.ok_or_else(|| Problem::new(Kind::NotFound, "no certificates are issued here"))?;
        let profiles = rules.profiles.iter().map(|(name, profile)| {
            let uses = list(profile.uses.iter().map(|it| it.as_str()).collect());
            let uses = if uses.is_empty() { "no purpose of its own".to_owned() } else { uses };
            let time = profile.seconds.map_or_else(|| "without end".to_owned(), span);
            let kinds = list(profile.kinds.iter().map(|it| it.as_str()).collect());
            let keys = list(profile.keys.iter().map(|it| it.as_str()).collect());
            let chosen = match profile.uses.contains(&CertificateUse::Ocsp) {
                true => "by its name only",
                false => "by its name, or for an order without one if it is the shortest that fits",
            };
            (name.to_string(), format!("for {kinds}; {uses}; {time}; keys: {keys}; {chosen}"))
        });
        Ok(profiles.collect())
    }
}

/// Checks that one of several hosts can be the subject of a certificate. Otherwise that would be the id of the thing,
/// which whoever controls its hosts has not shown to be.
fn check_common_name(identifiers: &[Identifier]) -> Result<(), Problem> {
    if identifiers.iter().any(|identifier| identifier.value().len() <= COMMON_NAME_CHARS) {
        return Ok(());
    }
    let detail = format!(
        "a certificate for what is proven over the network is named after a host, which can have {COMMON_NAME_CHARS} \
         characters: add a shorter one to the order"
    );
    Err(Problem::new(Kind::RejectedIdentifier, detail))
}

fn looked_up(identifier: &Identifier) -> Result<Lookup, Problem> {
    identifier.query().parse().map_err(|_| Problem::malformed("an identifier"))
}

/// The profile that a client names; or all of the domain's profiles for things, the shortest validity first, so that a
/// client that does not choose gets what does least harm.
fn acme_wanted<'r>(rules: &'r Certificates, named: Option<&str>) -> Result<Vec<&'r ProfileName>, Problem> {
    let mut profiles: Vec<_> = rules.profiles.iter().collect();
    match named {
        Some(named) => profiles.retain(|(name, _)| name.as_str() == named),
        None => profiles.retain(|(_, profile)| !profile.uses.contains(&CertificateUse::Ocsp)),
    }
    if profiles.is_empty() {
        return Err(Problem::new(Kind::InvalidProfile, "the domain has no such profile; its directory lists them"));
    }
    profiles.sort_by_key(|(_, profile)| profile.seconds.unwrap_or(u64::MAX));
    Ok(profiles.into_iter().map(|(name, _)| name).collect())
}

/// Whether an entitled signer has since said that the thing may be used.
fn is_lifted(block: &AcmeBlock, record: &Record) -> bool {
    match block.follows {
        Some(index) => is_permitted_after(record, index),
        None => is_permitted_since(record, block.since),
    }
}

/// Of two reasons why profiles do not fit, the one of the profile that came closer: what is wrong with the thing says
/// more than that a profile is meant for others, and that no profile could have a name more than that one does not.
fn closer(before: Option<CertifyError>, next: CertifyError) -> CertifyError {
    let rank = |error: &CertifyError| match error {
        CertifyError::Requester => 1,
        CertifyError::Kind(_) => 2,
        CertifyError::Record(_) => 3,
        CertifyError::Leaf(LeafError::Constrained(_)) => 5,
        CertifyError::Leaf(_) => 4,
        CertifyError::UnknownIdentity(_) | CertifyError::Ambiguous(_) | CertifyError::UnknownProfile { .. } => 0,
        _ => 6,
    };
    match before {
        Some(before) if rank(&before) >= rank(&next) => before,
        _ => next,
    }
}
