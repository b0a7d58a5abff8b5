//! The state of following, for operators: it is called `current` only if what the source says next would be taken over.

use ics_core::vocabulary::DomainName;

use super::cause::{NOT_TAKEN, What};
use super::follow::choices;
use crate::api::FollowInfo;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Following;
use crate::words::counted;

/// The states of a copy in which it gets nothing new.
const STANDING_STILL: [&str; 2] = ["waiting", "stopped"];

impl App {
    /// What a domain follows, and the state of that.
    pub(crate) fn follow_infos(&self, hosted: &Hosted) -> Result<Vec<FollowInfo>, AppError> {
        let info = |following: Following| {
            let source = &following.source;
            let size = self.hosted(source).ok().and_then(|source| self.seal(&source).ok());
            let behind = size.map_or(0, |seal| seal.size.saturating_sub(following.upto));
            let last_error = self.in_the_way(hosted, source);
            let state = match (&last_error, behind) {
                (Some(_), _) => "failing",
                (None, 0) => "current",
                (None, _) => "behind",
            };
            FollowInfo {
                state: state.to_owned(),
                last_error,
                choices: choices(&following).iter().map(ToString::to_string).collect(),
                source: following.source,
                identities: following.identities,
                lag_entries: behind,
            }
        };
        Ok(self.store().followed(hosted.number)?.into_iter().map(info).collect())
    }

    /// Why a domain would not take over what a source says next, in words.
    pub(in crate::app) fn in_the_way(&self, target: &Hosted, source: &DomainName) -> Option<String> {
        let failed = target.follow_error(source);
        failed
            .or_else(|| self.copy_stands_still(source))
            .or_else(|| self.another_key(target, source))
            .or_else(|| self.another_log(target, source))
            .or_else(|| barred(target, source))
    }

    /// Why the copy of a source gets nothing new, if so.
    fn copy_stands_still(&self, source: &DomainName) -> Option<String> {
        let mirror = self.hosted(source).ok()?.mirror()?;
        let state = STANDING_STILL.into_iter().find(|state| mirror.state == *state)?;
        let why = mirror.last_error.map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("this node's copy of {source} is {state}, and gets nothing new{why}"))
    }

    /// Reports that the home of a source has another key than the domain names, according to the copy held here or to
    /// what was refused for that reason.
    fn another_key(&self, target: &Hosted, source: &DomainName) -> Option<String> {
        let domain = target.domain()?;
        let named = domain.descriptor().sources.iter().find(|named| named.domain == *source)?;
        let is_another = match self.hosted(source).ok().and_then(|source| source.domain()) {
            Some(copy) => copy.descriptor().home.key != named.home.key,
            None => self.is_alarmed_of(target, source, &What::Key),
        };
        let text = || {
            format!(
                "the home of {source} signs with another key than the descriptor of {} names: nothing that it says is \
                 taken over until `ics domain update --add-source` names that key",
                target.name
            )
        };
        is_another.then(text)
    }

    /// Reports that answers about a source come from another log than the one that was seen.
    fn another_log(&self, target: &Hosted, source: &DomainName) -> Option<String> {
        let text = || format!("what is answered about {source} is of another log than the one that this node has seen");
        self.is_alarmed_of(target, source, &What::Log).then(text)
    }

    fn is_alarmed_of(&self, target: &Hosted, source: &DomainName, what: &What) -> bool {
        let causes = self.causes(target, NOT_TAKEN).unwrap_or_default();
        causes.iter().any(|cause| cause.source == *source && cause.what == *what)
    }
}

/// What a source's rules keep from a domain, in words.
fn barred(hosted: &Hosted, source: &DomainName) -> Option<String> {
    let count = hosted.barred(source);
    let text = || {
        let (domain, things) = (&hosted.name, counted(count, "thing"));
        format!("the rules of {source} do not let {domain} take over what is said of {things} that it follows")
    };
    (count > 0).then(text)
}
