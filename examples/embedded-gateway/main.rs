//! A gateway that decides by itself: it mirrors what it needs, decides in its own process, and says what has changed.
//!
//! `embedded-gateway HOME THING…` prints whether each thing may connect, and again whenever that changes, until its input
//! ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ics_node::gateway::Gateway;
use tokio::sync::oneshot;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The time after which it decides anew even without news, because permits also end by time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(home) = arguments.next() else {
        eprintln!("usage: embedded-gateway HOME THING…");
        return ExitCode::from(2);
    };
    match run(Path::new(&home), &arguments.collect::<Vec<_>>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(home: &Path, things: &[String]) -> Outcome {
    let gateway = Gateway::open(home)?;
    let mut news = gateway.follow();
    let mut known = BTreeMap::new();
    let (ended, mut end) = oneshot::channel();
    std::thread::spawn(move || {
        // How the input ends does not matter, and if the program has ended first, nobody waits for this any more.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    loop {
        for thing in things {
            let check = tokio::task::block_in_place(|| gateway.check(thing, "connect", None))?;
            let answer = format!("{}, {}", check.verdict.as_str(), check.reason.as_str());
            if known.insert(thing, answer.clone()).is_none_or(|before| before != answer) {
                println!("{thing}: {answer}");
            }
        }
        tokio::select! {
            _ = tokio::time::timeout(LOOK_AGAIN, news.changed()) => {}
            _ = &mut end => break,
        }
    }
    gateway.close().await;
    Ok(())
}
