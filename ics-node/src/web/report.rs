//! Certificates as a page for print and for the operator: who holds what, signed by whom, ending when, revoked why.

use ics_core::record::By;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::parts::{code, confirmed, dotted, theirs, theirs_brief, time};
use super::shell::{Site, page};
use super::{path_of, segment};
use crate::api::{AsOf, CertificateInfo, CertificatePage, CertificateState, CertificateTotals};
use crate::words::{clean, counted_entries, short, when};

/// The style of a page that stands alone, mainly for print.
const STYLE: &str = "body{font:10pt/1.4 system-ui,sans-serif;margin:2rem}h1{font-size:16pt;margin:0}\
     table{border-collapse:collapse;width:100%;margin-top:1rem}th,td{border-bottom:1px solid #999;padding:.3rem .5rem;\
     text-align:left;vertical-align:top}thead{display:table-header-group}tr{break-inside:avoid}\
     code,bdi{overflow-wrap:anywhere}small{color:#444}@page{size:A4 landscape;margin:12mm}@media print{body{margin:0}}\
     @media screen and (max-width:45rem){body{margin:1rem}main{overflow-x:auto}}";

/// What the states of certificates mean, for those who read the report without this program's documentation.
const STATES: &str = "Good: in force. Held: revoked for as long as something blocks its holder. Revoked: for good. \
     Ended: its time is over, or it never counted.";

/// Who says something: the signer's name, or else fingerprint, and role.
pub(crate) fn by(by: &By) -> String {
    let name = by.name.as_deref().map_or_else(|| by.signer.to_string(), clean);
    format!("{name} as {}", by.role)
}

/// The beginning of a report that stands alone; `only` says which part of the certificates it covers, if not all.
pub(crate) fn head(domain: &DomainName, made_at: Timestamp, as_of: &AsOf, only: &str) -> String {
    let open = html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\"><head>"))
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        title { "Certificates of " (domain) }
        style { (PreEscaped(STYLE)) }
        (PreEscaped("</head><body><main>"))
        h1 { "Certificates of " (domain) }
        p {
            "Made on " (when(made_at)) ", from " (counted_entries(as_of.size)) " of the log"
            @if let Some(at) = as_of.time { ", which its home confirmed on " (when(at)) }
            "."
            @if !as_of.is_fresh() { " " strong { "That is too old to rely on: what is good here may be revoked by now." } }
            @if !only.is_empty() { " " strong { "Only those " (only) "." } }
        }
        (PreEscaped("<table>"))
        (columns())
        (PreEscaped("<tbody>"))
    };
    open.into_string()
}

/// The end of the report.
pub(crate) fn foot(totals: &CertificateTotals) -> String {
    let each: Vec<String> = totals.each().map(|(state, count)| format!("{count} {state}")).collect();
    let text = html! { (PreEscaped("</tbody></table>")) p { strong { (each.join(", ")) } } p { small { (STATES) } } };
    text.into_string() + "</main></body></html>\n"
}

fn columns() -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Holder" } th scope="col" { "Certificate" } th scope="col" { "Signed by" }
            th scope="col" { "Ends" } th scope="col" { "State" }
        } }
    }
}

/// A certificate in a report that stands alone, which gives the holder's id in full: nothing leads from there to the
/// rest of it. That its news is too old stands at its head.
pub(crate) fn row(item: &CertificateInfo) -> Markup {
    line(item, false, true)
}

/// A certificate; `links` adds a link to its holder's page, for use on the node's pages. Past the freshness bound it is
/// only certain that one is revoked or has ended.
fn line(item: &CertificateInfo, links: bool, is_fresh: bool) -> Markup {
    html! {
        tr {
            td {
                @if links { a href=(path_of(&item.id)) { (theirs_brief(&item.title)) } } @else { (theirs_brief(&item.title)) }
                br; small { (item.kind) " " @if links { (code(&short(&item.id))) } @else { (code(&item.id)) } }
            }
            td data-of="Certificate" { (code(&item.serial)) @if let Some(profile) = &item.profile { br; small { (theirs(profile)) } } }
            td data-of="Signed by" { (theirs_brief(item.issuer_name.as_deref().unwrap_or(&item.issuer))) br; small { "entry " (item.index) } }
            td data-of="Ends" {
                @match item.until { Some(until) => { (time(until)) } None => { "never" } }
                @if item.renewed { br; small { "renewed" } }
                @else if item.state == CertificateState::Good {
                    @if let Some(window) = item.renew { br; small { "to be renewed from " (time(window.from)) " on" } }
                }
            }
            td data-of="State" {
                @let (class, word) = match item.state {
                    CertificateState::Good if !is_fresh => ("unsure", "unknown"),
                    CertificateState::Good => ("good", "good"),
                    CertificateState::Held | CertificateState::Revoked => ("bad", item.state.as_str()),
                    CertificateState::Ended => ("quiet", "ended"),
                };
                span .state .(class) { (word) }
                @if let Some(revoked) = &item.revoked {
                    br; small {
                        (revoked.reason) ", " (time(revoked.at))
                        @if let Some(status) = &revoked.status { ", " span .whole { (status) } }
                        @if let Some(signer) = &revoked.by { ", by " (theirs(&by(signer))) }
                        @if let Some(why) = &revoked.why { ": " (theirs(why)) }
                    }
                }
            }
        }
    }
}

/// A page of the inventory for the operator.
#[must_use]
pub fn inventory(site: &Site, domain: &DomainName, shown: &CertificatePage) -> Markup {
    let main = html! {
        div .head { h1 { "Certificates of " (dotted(domain.as_str())) } }
        p .note {
            a href="/operator" { "Operator's page" } " · all of it: "
            code { "ics report --domain " (domain) " --out report.html" }
        }
        p .note { (confirmed(&shown.as_of)) }
        @if shown.items.is_empty() { p .none { "None here." } }
        @else {
            div .scroll tabindex="0" role="region" aria-label="Certificates" {
                table { (columns()) tbody { @for item in &shown.items { (line(item, true, shown.as_of.is_fresh())) } } }
            }
        }
        @if let Some(next) = &shown.next {
            p { a rel="next" href={ "/operator/certificates/" (domain) "?after=" (segment(next)) } { "Next page" } }
        }
    };
    page(site, "Certificates", &main)
}
