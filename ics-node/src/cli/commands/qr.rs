//! `ics qr`.

use std::path::{Path, PathBuf};

use clap::Args;
use ics_core::gs1::Gtin;
use ics_core::name::Name;
use ics_core::record::Record;
use ics_core::vocabulary::Attribute;
use ics_sync::http::is_local;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::config::Url;
use crate::qr::Qr;
use crate::web::{path_of, segment};
use crate::words::path_text;

/// What `ics qr` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  On the terminal, with the serial number in the address:
  $ ics qr serial:SN-0001

  For a sticker: a picture that is sharp at any size, with the address that customers will use:
  $ ics qr serial:SN-0001 --at https://id.acme.example -o SN-0001.svg

  As a GS1 Digital Link, if the thing's product id is a GTIN and it has a serial number:
  $ ics qr serial:SN-0001 --gs1 -o SN-0001.svg")]
pub(crate) struct QrCode {
    /// An id or a name, as `ics lookup` takes it.
    query: String,
    /// The part of the address before the path [default: `[node] public_url` in ics.toml, or else the address of the
    /// node].
    #[arg(long, value_name = "URL")]
    at: Option<Url>,
    /// Use the path of a GS1 Digital Link, /01/GTIN/21/SERIAL, instead of /id/….
    #[arg(long)]
    gs1: bool,
    /// Write an SVG file instead of drawing on the terminal.
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
}

impl QrCode {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if let Some(file) = self.output.as_ref().filter(|file| !is_svg(file)) {
            return Err(Failure::new(Exit::Usage, format!("`{}` does not end in .svg", file.display()))
                .hint("the picture is SVG: browsers and programs for stickers print it in any size"));
        }
        let config = context.config()?;
        let node = context.node(&config)?;
        let view = context.wait(async { Ok(node.view(&self.query).await?) })?;
        let record = view.records.first().map(|it| &it.record).ok_or_else(|| {
            Failure::new(Exit::Refused, format!("`{}` fits {} identities", self.query, view.identities.len()))
                .hint("ask for one of them by its id")
        })?;
        let at = self.at.clone().or_else(|| config.node.as_ref().and_then(|node| node.public_url.clone()));
        let at = at.map_or_else(|| node.url().to_owned(), |url| url.to_string());
        let path = if self.gs1 { digital_link(record)? } else { path_of(&self.query) };
        let url = format!("{}{path}", at.trim_end_matches('/'));
        let qr = Qr::new(&url).map_err(|error| Failure::new(Exit::Refused, error))?;
        if let Some(file) = &self.output {
            files::write(file, qr.svg().as_bytes())?;
        }
        if is_local(&url) {
            let text = "people who scan it have no node at that address; --at, or `[node] public_url` in ics.toml, gives \
                 another";
            context.output.note(text);
        }
        let shown = json!({ "url": url, "file": self.output.as_deref().map(path_text) });
        match &self.output {
            Some(file) => context.output.written(file, &shown, || format!("{url}\nin {}", file.display()))?,
            None => context.output.result(&shown, || format!("{}{url}", qr.text()))?,
        }
        Ok(Exit::Ok)
    }
}

fn is_svg(file: &Path) -> bool {
    file == "-" || file.extension().is_some_and(|it| it.eq_ignore_ascii_case("svg"))
}

/// The GS1 Digital Link path of the thing.
fn digital_link(record: &Record) -> Result<String, Failure> {
    let lacks = |what: &str| {
        let hint = "leave --gs1 out: the code then leads to the same page by /id/…";
        Failure::new(Exit::Refused, format!("the thing has no {what}")).hint(hint)
    };
    let product = record.agreed_attributes().remove(&Attribute::ProductId);
    let gtin =
        product.and_then(|product| product.parse::<Gtin>().ok()).ok_or_else(|| lacks("GTIN as its product id"))?;
    let serial = record.names.iter().find_map(|given| match &given.value {
        Name::Serial(serial) => Some(serial),
        _ => None,
    });
    let serial = serial.ok_or_else(|| lacks("serial number"))?;
    Ok(format!("/01/{gtin}/21/{}", segment(serial)))
}
