//! Blocks that fall with a descriptor version that declares their signers compromised: stolen things may become usable
//! again.

use std::collections::BTreeSet;

use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::record::{Listed, Standing};
use ics_core::vocabulary::{DomainName, Effect};
use serde::Serialize;

use super::spoken::look_through;
use crate::api::IdentitySummary;
use crate::cli::context::Context;
use crate::cli::words::{clean, counted, short};
use crate::client::node::Node;

/// How many blocks are shown to people; programs get all.
const SHOWN: usize = 20;

/// A block that counts until the new version is in force.
#[derive(Debug, Serialize)]
struct Block {
    index: u64,
    id: String,
    title: String,
    status: String,
    signer: Fingerprint,
}

/// The blocks that fall, as far as they were looked up.
#[derive(Debug, Serialize)]
pub(super) struct Falling {
    blocks: Vec<Block>,
    /// Whether the list is complete.
    complete: bool,
}

/// Finds the blocks that fall with the next version and reports them to people. Does nothing if it newly declares
/// nobody compromised.
pub(super) fn tell_falling(
    context: &Context,
    node: Option<&Node>,
    previous: &Descriptor,
    next: &Descriptor,
) -> Option<Falling> {
    let new = next.compromised.iter().filter(|it| !previous.compromised.contains(it));
    let signers: BTreeSet<Fingerprint> = new.map(|it| it.signer).collect();
    if signers.is_empty() {
        return None;
    }
    let mut fallen = Vec::new();
    let take = |signer: Fingerprint, thing: &IdentitySummary, said: &[Listed]| {
        let of_signer = said.iter().filter(|it| it.is_of(&signer) && blocks(it));
        // Another statement may still block the thing; that is not examined: each statement that falls is listed.
        let falls = of_signer.filter(|it| is_void(next, it) && !is_void(previous, it));
        fallen.extend(falls.map(|it| Block::of(thing, it)));
    };
    let complete = look_through(context, node, &next.domain, signers, is_blocked, take);
    let falling = Falling { blocks: fallen, complete };
    for text in falling.texts() {
        context.output.note(&text);
    }
    Some(falling)
}

impl Falling {
    /// For people.
    fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.blocks.is_empty() {
            let mut lines: Vec<String> = self.blocks.iter().take(SHOWN).map(Block::line).collect();
            let more = self.blocks.len().saturating_sub(SHOWN);
            lines.extend((more > 0).then(|| format!("  … and {more} more; --json lists all")));
            texts.push(format!(
                "{} will no longer count, because of the signers that this version declares compromised:\n{}\nAnother \
                 signer must repeat whatever is to stay blocked before this version is in force: `ics status STATUS \
                 THING --signer KEY --role ROLE`",
                counted(self.blocks.len(), "block"),
                lines.join("\n")
            ));
        }
        if !self.complete {
            let text = "not all blocks that will no longer count are known here: the node could not be asked, or there \
                        are too many. At the home, ics list --signer FINGERPRINT shows what a signer has spoken about";
            texts.push(text.to_owned());
        }
        texts
    }
}

impl Block {
    fn of(thing: &IdentitySummary, said: &Listed) -> Self {
        Self {
            index: said.by.index,
            id: thing.id.clone(),
            title: thing.title.clone(),
            status: said.status.as_ref().map(ToString::to_string).unwrap_or_default(),
            signer: said.hangs_on().map_or(said.by.signer, |(signer, ..)| signer),
        }
    }

    fn line(&self) -> String {
        let Self { index, id, title, status, .. } = self;
        format!("  entry {index}: {} of {} ({})", clean(status), clean(title), short(id))
    }
}

fn is_blocked(thing: &IdentitySummary) -> bool {
    [Effect::Blocks, Effect::BlocksForEver].iter().any(|effect| effect.to_string() == thing.effect)
}

/// Whether a statement blocks the thing itself. Statements about its group are listed with the group.
fn blocks(said: &Listed) -> bool {
    said.standing == Standing::Stands && said.by.group.is_none() && said.effect.is_some_and(Effect::blocks)
}

/// Whether the signer counts as compromised in the domain of the statement or in one through which it came. The remnant
/// of an erased statement whose erasure does not name its signer counts as the owners' word.
fn is_void(rules: &Descriptor, said: &Listed) -> bool {
    let Some((signer, index, source)) = said.hangs_on() else { return false };
    let is_compromised =
        |domain: &DomainName, index: u64| rules.compromised_from(&signer, domain).is_some_and(|from| from <= index);
    is_compromised(&rules.domain, index) || source.iter().any(|it| is_compromised(&it.domain, it.index))
}
