//! `ics adopt`.

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;

use crate::api::AdoptionRequest;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::counted;
use crate::cli::session::InDomain;

/// Takes what another domain says of chosen things into one's own: bodies unchanged, source named and proven. The
/// node must hold both domains, and the descriptor must name the other as a source.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics adopt serial:SN-0001 --source devices.acme.example
  $ ics adopt --source devices.acme.example --model P7 --lot 2026-11")]
pub(crate) struct Adopt {
    /// Ids or names.
    #[arg(value_name = "ID|NAME", required_unless_present_any = ["model", "lot"])]
    things: Vec<String>,
    /// The domain to adopt from.
    #[arg(long, value_name = "DOMAIN")]
    source: DomainName,
    /// Everything of this model.
    #[arg(long)]
    model: Option<String>,
    /// Everything of this lot; with --model what fits both.
    #[arg(long)]
    lot: Option<String>,
    #[command(flatten)]
    domain: InDomain,
}

impl Adopt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let source = self.source.to_string();
        let request = AdoptionRequest { source, ids: self.things, model: self.model, lot: self.lot };
        let result = context.wait(async { Ok(node.adopt(&domain, &request).await?) })?;
        context.output.result(&result, || {
            let things = counted(result.identities.len(), "identity").replace("identitys", "identities");
            let mut lines = vec![format!(
                "{} {things} from {}: {} new entries",
                style("✓").green(),
                request.source,
                result.adopted
            )];
            if result.present > 0 {
                lines.push(format!("  {} were there before", counted_entries(result.present)));
            }
            lines.extend(result.refused.iter().map(|problem| format!("{} {}", style("✗").red(), problem.detail)));
            lines.join("\n")
        })?;
        Ok(if result.refused.is_empty() { Exit::Ok } else { Exit::Refused })
    }
}

fn counted_entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}
