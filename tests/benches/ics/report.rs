//! The results of benchmarks as rows of a Markdown table.

use std::fs;
use std::time::Duration;

/// Rows of one benchmark, printed as they come.
pub(crate) struct Report {
    benchmark: &'static str,
}

/// Prints the kind of machine, and the head of the table.
pub(crate) fn heading() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} x {}, Linux {}\n",
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim()
    );
    println!("| benchmark | what | seen | wanted |");
    println!("|---|---|---|---|");
}

impl Report {
    pub(crate) const fn new(benchmark: &'static str) -> Self {
        Self { benchmark }
    }

    /// A figure on its own.
    pub(crate) fn figure(&mut self, what: &str, seen: &str) {
        self.row(what, seen, "");
    }

    /// A figure, and the bound that it should meet.
    pub(crate) fn bounded(&mut self, what: &str, seen: &str, wanted: &str) {
        self.row(what, seen, wanted);
    }

    /// A number of things in a time; returns the rate per second.
    pub(crate) fn rate(&mut self, what: &str, count: usize, time: Duration) -> f64 {
        let rate = per_second(count, time);
        self.row(what, &format!("{rate:.0}/s"), "");
        rate
    }

    /// Ours against the peer's in the same run.
    pub(crate) fn ratio(&mut self, what: &str, ours: f64, peer: f64, at_least: f64) {
        self.row(what, &format!("{:.2}", ours / peer), &format!("at least {at_least}"));
    }

    fn row(&mut self, what: &str, seen: &str, wanted: &str) {
        println!("| {} | {what} | {seen} | {wanted} |", self.benchmark);
    }
}

/// The rate per second.
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
