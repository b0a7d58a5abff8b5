//! ACME accounts that came back with a copy.

use console::style;
use ics_core::time::Timestamp;

use crate::cli::output::card;
use crate::cli::words::counted;
use crate::client::restore::Accounts;

/// How many holders are shown to people; programs get all of them.
const SHOWN: usize = 12;

/// Says what may be wrong with them, for people.
pub(super) fn text(accounts: &Accounts) -> String {
    let holders = accounts.holders.iter().take(SHOWN);
    let mut lines: Vec<String> =
        holders.map(|it| format!("{} in {}: {}", it.holder, it.domain, counted(it.accounts, "account"))).collect();
    if accounts.holders.len() > SHOWN {
        lines.push(format!("and {} more, see --json", accounts.holders.len() - SHOWN));
    }
    let rows = [("they speak for", lines.join("\n")), ("what to do", ADVICE.to_owned())];
    let title = format!("{} ACME accounts are as they were {}", style("!").yellow(), when(accounts));
    format!("\n{}", card(&title, &rows))
}

/// The same within a sentence.
pub(super) fn in_short(accounts: &Accounts) -> String {
    format!(
        ", with ACME accounts as they were {}: those that were taken away since speak again until `ics acme revoke` \
         takes them away",
        when(accounts)
    )
}

fn when(accounts: &Accounts) -> String {
    let of = |at: Timestamp| format!("in the copy, of {at} or a little later");
    accounts.as_of.map_or_else(|| "in what was put back".to_owned(), of)
}

const ADVICE: &str = "\
those that `ics acme revoke` took away since, or their clients gave up, speak again: no log says which. Once the node
runs, `ics acme list --domain DOMAIN` shows all; take them away again: `ics acme revoke FINGERPRINT --domain DOMAIN`";
