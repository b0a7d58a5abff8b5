//! A client that submits statements and keeps a ledger of what it was promised.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ics_core::log::receipt::Receipt;
use ics_sync::http::{HttpPeer, client_builder};
use ics_sync::wire::Outcome;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::Dice;
use crate::author::{Author, from_text, to_text};

/// A client. It submits again whatever got no answer.
pub(crate) struct Client<'a> {
    author: &'a Author,
    ledger: File,
    path: PathBuf,
    next: u64,
    in_doubt: Vec<Vec<u8>>,
    last: Option<(Vec<u8>, u64)>,
    dice: Dice,
    runtime: Runtime,
    client: reqwest::Client,
}

/// A line of a ledger.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) body: Vec<u8>,
    pub(crate) receipt: Receipt,
    /// The client's clock at that time, see [`Client::submit`].
    pub(crate) mark: u64,
}

impl<'a> Client<'a> {
    /// The client with this number, whose statements differ from those of all others.
    pub(crate) fn new(author: &'a Author, directory: &Path, number: u64) -> Self {
        let path = directory.join(format!("ledger-{number}.jsonl"));
        let ledger = File::options().create(true).append(true).open(&path).expect("a ledger");
        let in_doubt = vec![author.certificate()];
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = client_builder("http://127.0.0.1").build().expect("a client");
        Self { author, ledger, path, next: number << 32, in_doubt, last: None, dice: Dice(number), runtime, client }
    }

    /// Submits until the node does not answer, or `enough` says so; `clock` is read when there are receipts. Returns the
    /// number of receipts.
    pub(crate) fn submit(&mut self, url: &str, clock: impl Fn() -> u64, enough: impl Fn(usize) -> bool) -> usize {
        let node = HttpPeer::new(url, self.client.clone()).expect("an address");
        let mut receipts = 0;
        while !enough(receipts) {
            let bodies = self.batch();
            self.in_doubt.clone_from(&bodies);
            let answer = self.runtime.block_on(node.submit(&self.author.domain, bodies.clone()));
            let Ok(outcomes) = answer else { break };
            let mark = clock();
            receipts += bodies.len();
            self.write_down(bodies, outcomes, mark);
            self.in_doubt.clear();
        }
        receipts
    }

    /// Makes the next submission contain a statement that is already in the log, and behind it one that is not.
    pub(crate) fn submit_last_again(&mut self) {
        self.in_doubt.extend(self.last.iter().map(|(body, _)| body.clone()));
        self.in_doubt.push(self.author.introduces(self.next));
        self.next += 1;
    }

    fn batch(&mut self) -> Vec<Vec<u8>> {
        if !self.in_doubt.is_empty() {
            return core::mem::take(&mut self.in_doubt);
        }
        let count = 1 + self.dice.below(4);
        let first = self.next;
        self.next += count;
        (first..self.next).map(|number| self.author.introduces(number)).collect()
    }

    fn write_down(&mut self, bodies: Vec<Vec<u8>>, outcomes: Vec<Outcome>, mark: u64) {
        let mut lines = String::new();
        for (body, outcome) in bodies.into_iter().zip(outcomes) {
            let Outcome::Receipt(receipt) = outcome else { panic!("it was refused: {outcome:?}") };
            let receipt: Receipt = serde_json::from_value(receipt).expect("a receipt");
            if let Some((last, index)) = &self.last
                && *last == body
            {
                assert_eq!(receipt.index, *index, "what is there gets its first receipt again");
            }
            self.last = Some((body.clone(), receipt.index));
            let line = json!({ "body": to_text(&body), "receipt": receipt, "mark": mark });
            lines.push_str(&format!("{line}\n"));
        }
        self.ledger.write_all(lines.as_bytes()).and_then(|()| self.ledger.sync_all()).expect("written down");
    }

    /// Reads the ledger.
    pub(crate) fn ledger(&self) -> Vec<Acknowledged> {
        let text = std::fs::read_to_string(&self.path).expect("a ledger");
        let line = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            Acknowledged {
                body: from_text(value["body"].as_str().expect("a body")),
                receipt: serde_json::from_value(value["receipt"].clone()).expect("a receipt"),
                mark: value["mark"].as_u64().expect("a mark"),
            }
        };
        text.lines().map(line).collect()
    }
}
