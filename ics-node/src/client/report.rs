//! Reports on a domain's certificates for auditors: a printable page, a table for spreadsheets, or JSON. They are
//! written page by page, so a report may be larger than memory.

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use crate::api::{CertificateInfo, CertificatePage, CertificateQuery, CertificateTotals};
use crate::web::report as draw;
use crate::words::{clean, when};

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An HTML page for viewing and printing.
    Html,
    /// One line for each certificate (RFC 4180).
    Csv,
    /// One JSON object.
    Json,
}

impl Format {
    /// The form that the name of a file stands for; `None` if it stands for none of them.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        if ending == "htm" { Some(Self::Html) } else { ending.parse().ok() }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "html" => Ok(Self::Html),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => Err("a report is html, csv or json".to_owned()),
        }
    }
}

/// A report that is being written.
pub struct Report<W> {
    format: Format,
    into: W,
    domain: DomainName,
    made_at: Timestamp,
    only: CertificateQuery,
    totals: CertificateTotals,
    has_begun: bool,
}

/// The columns of the table, in this order.
const COLUMNS: [&str; 19] = [
    "serial",
    "state",
    "holder",
    "holder_title",
    "holder_kind",
    "profile",
    "issuer",
    "issuer_name",
    "from",
    "until",
    "renew_from",
    "renewed",
    "revoked_at",
    "revoked_reason",
    "revoked_status",
    "revoked_by",
    "revoked_why",
    "sha256",
    "index",
];

impl<W: Write> Report<W> {
    /// A report on a domain, written to `into`. The report states the query, so that nobody takes a selection for the
    /// whole.
    pub const fn new(format: Format, into: W, domain: DomainName, made_at: Timestamp, only: CertificateQuery) -> Self {
        Self { format, into, domain, made_at, only, totals: CertificateTotals::new(), has_begun: false }
    }

    /// Writes a page of certificates.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, page: &CertificatePage) -> io::Result<()> {
        if !self.has_begun {
            self.begin(page)?;
        }
        for item in &page.items {
            match self.format {
                Format::Html => self.into.write_all(draw::row(item).into_string().as_bytes())?,
                Format::Csv => line(&mut self.into, &cells(item))?,
                Format::Json => {
                    let first = self.totals == CertificateTotals::new();
                    self.into.write_all(if first { b"\n" } else { b",\n" })?;
                    serde_json::to_writer(&mut self.into, item)?;
                }
            }
            self.totals.add(item.state);
        }
        Ok(())
    }

    fn begin(&mut self, page: &CertificatePage) -> io::Result<()> {
        self.has_begun = true;
        match self.format {
            Format::Html => {
                let head = draw::head(&self.domain, self.made_at, &page.as_of, &only(&self.only));
                self.into.write_all(head.as_bytes())
            }
            Format::Csv => line(&mut self.into, &COLUMNS.map(str::to_owned)),
            Format::Json => {
                let (domain, made_at) = (json!(self.domain), json!(self.made_at));
                let (as_of, only) = (serde_json::to_string(&page.as_of)?, serde_json::to_string(&self.only)?);
                write!(self.into, "{{\"domain\":{domain},\"made_at\":{made_at},\"as_of\":{as_of},\"only\":{only},")?;
                write!(self.into, "\"certificates\":[")
            }
        }
    }

    /// Ends the report, and returns how many certificates it has, by state.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<CertificateTotals> {
        match self.format {
            Format::Html => self.into.write_all(draw::foot(&self.totals).as_bytes())?,
            Format::Csv => {}
            Format::Json => {
                let totals: serde_json::Map<_, _> =
                    self.totals.each().map(|(state, count)| (state.to_string(), count.into())).collect();
                writeln!(self.into, "\n],\"totals\":{}}}", serde_json::Value::Object(totals))?;
            }
        }
        self.into.flush()?;
        Ok(self.totals)
    }
}

/// Which certificates a report is limited to, for people; empty if it has all.
fn only(query: &CertificateQuery) -> String {
    let state = query.state.map(|state| format!("that are {state}"));
    let ends = query.ends_before.map(|before| format!("that have not ended and end before {}", when(before)));
    state.into_iter().chain(ends).collect::<Vec<_>>().join(" and ")
}

fn cells(item: &CertificateInfo) -> [String; COLUMNS.len()] {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let revoked = item.revoked.as_ref();
    let by = revoked.and_then(|it| it.by.as_ref()).map(draw::by);
    [
        item.serial.clone(),
        item.state.to_string(),
        item.id.clone(),
        item.title.clone(),
        item.kind.to_string(),
        item.profile.clone().unwrap_or_default(),
        item.issuer.clone(),
        item.issuer_name.clone().unwrap_or_default(),
        time(item.from),
        time(item.until),
        time(item.renew.map(|window| window.from)),
        item.renewed.to_string(),
        time(revoked.map(|it| it.at)),
        revoked.map(|it| it.reason.clone()).unwrap_or_default(),
        revoked.and_then(|it| it.status.clone()).unwrap_or_default(),
        by.unwrap_or_default(),
        revoked.and_then(|it| it.why.clone()).unwrap_or_default(),
        item.sha256.clone(),
        item.index.to_string(),
    ]
}

/// Writes a line of the table. Text by others must not become a formula in a spreadsheet.
fn line(into: &mut impl Write, cells: &[String]) -> io::Result<()> {
    let inert = |cell: &String| {
        let cell = clean(cell);
        if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell }
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells.iter().map(inert))?;
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    into.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(titles: &[&str]) -> CertificatePage {
        let item = |title: &&str| {
            json!({
                "serial": "41".repeat(20), "sha256": "ab".repeat(32), "spki": "cd".repeat(32), "profile": "ldevid",
                "id": "ab".repeat(20), "kind": "device", "title": title, "issuer": "ef".repeat(20),
                "index": 7, "until": "2026-12-24T00:00:00Z", "state": "held", "renewed": false,
                "revoked": {
                    "at": "2026-11-26T04:00:00Z", "reason": "certificateHold", "status": "suspended",
                    "why": "it \"talks\", a lot",
                },
            })
        };
        let as_of = json!({"size": 9, "root": "", "fresh_for_seconds": 60});
        let items: Vec<_> = titles.iter().map(item).collect();
        serde_json::from_value(json!({"as_of": as_of, "items": items, "next": "8"})).expect("a page")
    }

    fn written(format: &str, pages: &[CertificatePage]) -> (String, CertificateTotals) {
        written_of(format, pages, CertificateQuery::default())
    }

    fn written_of(format: &str, pages: &[CertificatePage], only: CertificateQuery) -> (String, CertificateTotals) {
        let (mut into, at) = (Vec::new(), Timestamp::parse("2026-11-26T04:00:30Z").expect("a time"));
        let domain = "d.example".parse().expect("a domain");
        let mut report = Report::new(format.parse().expect("a format"), &mut into, domain, at, only);
        pages.iter().for_each(|page| report.add(page).expect("writes"));
        let totals = report.end().expect("writes");
        (String::from_utf8(into).expect("text"), totals)
    }

    #[test]
    fn tables_are_tables_and_no_formulas() {
        let (text, totals) = written("csv", &[page(&["=cmd|' /C calc'!A0"]), page(&["Pump\u{1b}"])]);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().expect("a head").iter().collect::<Vec<_>>(), COLUMNS);
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(
            rows.iter().map(|row| row[3].to_owned()).collect::<Vec<_>>(),
            ["'=cmd|' /C calc'!A0", "Pump\u{fffd}"]
        );
        // A status says more than the reason of RFC 5280: that has fewer of them.
        assert_eq!([&rows[0][13], &rows[0][14], &rows[0][16]], ["certificateHold", "suspended", "it \"talks\", a lot"]);
        assert_eq!(totals.each().map(|(_, count)| count).collect::<Vec<_>>(), [0, 2, 0, 0]);
    }

    #[test]
    fn the_name_of_a_file_says_what_is_to_be_in_it() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!([of("a.csv"), of("b/A.CSV")], [Some(Format::Csv); 2]);
        assert_eq!([of("a.json"), of("a.html"), of("a.htm")], [Format::Json, Format::Html, Format::Html].map(Some));
        assert_eq!([of("a.pdf"), of("csv"), of("-")], [None; 3]);
    }

    #[test]
    fn json_is_one_object_whatever_it_has() {
        for pages in [vec![page(&[])], vec![page(&["a", "b"]), page(&[]), page(&["c"])]] {
            let (text, _) = written("json", &pages);
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let count = pages.iter().map(|page| page.items.len()).sum::<usize>();
            assert_eq!(value["certificates"].as_array().expect("an array").len(), count);
            assert_eq!(value["totals"]["held"], count);
        }
    }

    #[test]
    fn a_part_is_not_taken_for_all() {
        let state = Some(crate::api::CertificateState::Revoked);
        let only = || CertificateQuery { state, ..CertificateQuery::default() };
        let (html, _) = written_of("html", &[page(&["a"])], only());
        assert!(html.contains("Only those that are revoked."), "{html}");
        let (text, _) = written_of("json", &[page(&["a"])], only());
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["only"], json!({"state": "revoked"}), "{text}");
        let (all, _) = written("html", &[page(&["a"])]);
        assert!(!all.contains("Only those"), "{all}");
    }

    /// Whoever prints it goes by what is called good.
    #[test]
    fn a_report_from_old_news_says_so() {
        let says = |age_seconds: u64| {
            let mut page = page(&["a"]);
            page.as_of.age_seconds = Some(age_seconds);
            written("html", &[page]).0.contains("too old to rely on")
        };
        assert_eq!([60, 61].map(says), [false, true]);
    }

    #[test]
    fn a_page_escapes_what_others_wrote() {
        let (text, _) = written("html", &[page(&["<script>alert(1)</script>"])]);
        assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>\n"), "{text}");
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script"), "{text}");
        let holder = "ab".repeat(20);
        for expected in ["certificateHold", "d.example", "24 Dec 2026", "1 held", "Held: revoked", holder.as_str()] {
            assert!(text.contains(expected), "`{expected}` is missing: {text}");
        }
    }
}
