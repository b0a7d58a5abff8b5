//! What a batch says, in words and as JSON, for its signer: everything, from the batch alone.

use std::collections::BTreeMap;

use console::style;
use ics_core::identity::IdentityId;
use ics_core::statement::{Claims, Draft, DraftSubject, StatementId, Subject, Unverified};
use ics_core::vocabulary::Act;
use serde_json::{Value, json};

use super::output::card;
use super::say::claims_text;
use super::words::{attribute, clean, counted, when};
use crate::client::batch::{Item, UnsignedBatch};
use crate::client::thing::called;

/// How many statements are shown unless all are asked for.
const SHOWN: usize = 20;

/// The whole batch, or its head, a summary and its first statements.
pub(crate) fn text(batch: &UnsignedBatch, all: bool) -> String {
    let head = &batch.head;
    let role = head.role.as_ref().map(ToString::to_string).unwrap_or_default();
    let rows = [
        ("signed by", format!("{} as {role}", head.signer)),
        ("said in", head.domain.to_string()),
        ("prepared", when(head.made_at)),
        ("batch", batch.digest().to_owned()),
        ("says", summary(&batch.items)),
    ];
    let mut parts = vec![card(&counted(batch.items.len(), "statement"), &rows)];
    let shown = if all { batch.items.len() } else { SHOWN };
    parts.extend(batch.items.iter().take(shown).enumerate().map(|(index, item)| item_text(index + 1, item)));
    if let Some(more) = batch.items.len().checked_sub(shown).filter(|more| *more > 0) {
        parts.push(format!("… and {more} more; --all shows them\n"));
    }
    parts.join("\n")
}

/// Counts the statements by what they say and about which kinds of things.
fn summary(items: &[Item]) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for item in items {
        let said = format!("{} of a {}", claims_text(&item.draft.claims), item.draft.kind());
        *counts.entry(said).or_default() += 1;
    }
    counts.iter().map(|(said, count)| format!("{count} × {}", clean(said))).collect::<Vec<_>>().join("\n")
}

fn item_text(number: usize, item: &Item) -> String {
    let draft = &item.draft;
    let title = format!("{number}. {}", clean(&called(draft.kind(), &title(draft))));
    let mut rows = vec![
        ("id", draft.identity().map(|id| id.to_string()).unwrap_or_default()),
        ("says", clean(&claims_text(&draft.claims))),
    ];
    rows.extend(subject_rows(&draft.subject));
    rows.extend(claims_rows(&draft.claims));
    rows.extend(stays(&draft.claims, matches!(draft.subject, DraftSubject::Key { revokes: true, .. })));
    let verb = if draft.claims.act == Act::Withdrawal { "takes back" } else { "replaces" };
    rows.extend(draft.claims.supersedes.iter().map(|id| (verb, replaced_text(id, item.shown(id)))));
    card(&title, &rows)
}

fn subject_rows(subject: &DraftSubject) -> Vec<(&'static str, String)> {
    match subject {
        DraftSubject::Key { key, self_signature, revokes, .. } => {
            let mut rows = vec![("key", format!("{}, created {}", key.algorithm(), when(key.created())))];
            if self_signature.is_some() {
                rows.push(("", "with its own signature over what it is called".to_owned()));
            }
            if *revokes {
                let why = "a revocation: programs that read nothing else drop what this signer vouched for";
                rows.push(("signed as", style(why).yellow().to_string()));
            }
            rows
        }
        DraftSubject::Document(Subject::Group(group)) => {
            let members = group.attributes.iter().map(|(name, value)| format!("{} {}", attribute(*name), clean(value)));
            let members = members.collect::<Vec<_>>().join(", ");
            vec![("members", if members.is_empty() { "those that name the group".to_owned() } else { members })]
        }
        DraftSubject::Document(Subject::Software(software)) => {
            let digests = software.digests.iter().map(|(name, hex)| format!("{name} {hex}"));
            vec![("digests", digests.collect::<Vec<_>>().join("\n"))]
        }
        DraftSubject::Document(Subject::Key { .. }) => Vec::new(),
    }
}

/// Everything that claims say beyond [`claims_text`].
pub(crate) fn claims_rows(claims: &Claims) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut push = |name, text: Option<String>| rows.extend(text.map(|text| (name, clean(&text))));
    push("why", claims.reason.clone());
    claims.names.iter().for_each(|name| push("named", Some(name.to_string())));
    claims.attributes.iter().for_each(|(name, value)| push("about", Some(format!("{} {value}", attribute(*name)))));
    claims.groups.iter().for_each(|group| push("in group", Some(IdentityId::Group(*group).to_string())));
    push("succeeds", claims.replaces.map(|id| id.to_string()));
    push("software", claims.installed.map(|digest| IdentityId::Software(digest).to_string()));
    let keys = claims.signatures.iter().map(|it| format!("{} key {}", it.form, it.key));
    keys.for_each(|key| push("developer", Some(key)));
    push("from", claims.from.map(when));
    rows
}

/// What can no longer be erased once it is signed, beyond the act itself. Only revocations contain the thing's name.
pub(crate) fn stays(claims: &Claims, revokes: bool) -> Option<(&'static str, String)> {
    let what = match (claims.act.stays(), revokes, claims.reason.is_some()) {
        (true, true, true) => "the name and the reason",
        (true, true, false) => "the name",
        (true, false, true) => "the reason",
        _ => return None,
    };
    Some(("stays", format!("{what}: a {} cannot be erased", claims.act)))
}

fn replaced_text(id: &StatementId, shown: Option<Unverified>) -> String {
    match shown {
        Some(it) => {
            let says = clean(&claims_text(it.claims()));
            format!(
                "{says}, said as {} on {}\nby {}\nstatement {id}",
                it.claims().role,
                when(it.signed_at()),
                it.issuer()
            )
        }
        None => {
            let unseen = style("a statement that the batch does not show").red().bold();
            format!("{unseen}\nstatement {id}")
        }
    }
}

/// The batch for programs; nothing is left out.
pub(crate) fn json(batch: &UnsignedBatch) -> Value {
    let item = |item: &Item| {
        let draft = &item.draft;
        let replaced = draft.claims.supersedes.iter().map(|id| {
            let shown = item.shown(id).map(|it| json!({ "signer": it.issuer(), "statement": it.claims() }));
            json!({ "statement_id": id, "shown": shown })
        });
        let revokes = matches!(draft.subject, DraftSubject::Key { revokes: true, .. });
        json!({
            "id": draft.identity().ok(), "kind": draft.kind(), "title": title(draft), "revokes": revokes,
            "statement": draft.claims, "replaced": replaced.collect::<Vec<_>>(),
        })
    };
    json!({
        "batch": batch.digest(), "domain": batch.head.domain, "signer": batch.head.signer, "role": batch.head.role,
        "made_at": batch.head.made_at, "statements": batch.items.iter().map(item).collect::<Vec<_>>(),
    })
}

/// The title of the thing.
fn title(draft: &Draft) -> String {
    match &draft.subject {
        DraftSubject::Key { user_id, .. } => user_id.clone(),
        DraftSubject::Document(subject) => subject.title(),
    }
}
