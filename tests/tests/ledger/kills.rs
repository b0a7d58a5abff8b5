//! The node is killed at random moments while clients submit.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::author::Author;
use crate::client::Client;
use crate::process::Process;
use crate::promises::Promises;
use crate::{Dice, count, scratch};

/// Concurrent clients.
const CLIENTS: u64 = 3;
/// The time limit for a node to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The maximum time in ms from the first receipt to the kill. One in eight nodes is killed already during its start.
const LONGEST_MS: u64 = 60;

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let directory = scratch();
    let author = Author::new(&directory.path().join("home"));
    let mut clients: Vec<_> = (1..=CLIENTS).map(|number| Client::new(&author, directory.path(), number)).collect();
    let mut dice = Dice(count("ICS_LEDGER_SEED", 1) as u64);
    let kills = count("ICS_LEDGER_KILLS", 200);
    let mut answered_lives = 0;
    for kill in 1..=kills {
        let node = Process::start(&author.home, &[]).unwrap_or_else(|| panic!("the node does not start any more"));
        let life = Duration::from_millis(dice.below(LONGEST_MS));
        let dies_early = dice.below(8) == 0;
        answered_lives += usize::from(!dies_early);
        let url = node.url.clone();
        let (answered, first) = mpsc::channel();
        thread::scope(|scope| {
            for client in &mut clients {
                let (url, answered) = (&url, answered.clone());
                scope.spawn(move || {
                    client.submit_last_again();
                    let tell = || {
                        // Only the first receipts of any client are waited for.
                        let _ = answered.send(());
                        kill as u64
                    };
                    client.submit(url, tell, |_| false)
                });
            }
            if !dies_early {
                first.recv_timeout(PATIENCE).expect("the node answers");
            }
            thread::sleep(life);
            node.kill();
        });
        if kill % 100 == 0 {
            println!("{kill} of {kills} kills");
        }
    }
    let store = author.open(&author.home.join("data")).expect("opens");
    let domain = store.domain(&author.domain).expect("the domain").number;
    let promises = Promises::new(clients.iter().map(Client::ledger), &author.home_key(&store, domain));
    promises.hold(&store, domain, u64::MAX);
    let acknowledged = promises.len();
    println!("{kills} kills: {acknowledged} statements, {} checkpoints, none lost, none twice", promises.checkpoints());
    // However slow the machine is, what is first answered in a life contains something new.
    assert!(acknowledged >= answered_lives, "{acknowledged} statements in {answered_lives} lives with an answer");
}
