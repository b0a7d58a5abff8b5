//! Progress bars for long work, shown only if somebody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::context::Context;

/// Steps below which no bar is needed.
const FEW: usize = 20;

/// A bar over this many steps; hidden if they are few or nobody watches.
pub(crate) fn bar(context: &Context, steps: usize, what: &'static str) -> ProgressBar {
    if steps < FEW || !context.output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX)).with_message(what).with_style(style());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn style() -> ProgressStyle {
    let template = "{msg:12} {bar:32.cyan/dim} {human_pos}/{human_len}  {per_sec}  {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}

/// A bar over steps whose number is not known in advance; hidden if nobody watches.
pub(crate) fn counter(context: &Context, what: &'static str) -> ProgressBar {
    if !context.output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length().with_message(what).with_style(style());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
