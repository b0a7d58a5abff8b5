//! Which log a domain's name means in this home directory.

use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;

use crate::cli::commands::trust;
use crate::config::Config;
use crate::store;

/// The origin by which a domain is known here: copied or asked about, sequenced, or counted by the trust policy.
/// Configuration that cannot be read pins nothing.
pub(super) fn known_here(config: &Config, domain: &DomainName) -> Option<Origin> {
    let mut of_peers = config.peers().flat_map(|peer| peer.mirror.iter().chain(&peer.roam));
    let of_peer = of_peers.find(|origin| origin.domain == *domain).cloned();
    of_peer.or_else(|| sequenced(config, domain)).or_else(|| counted(config, domain))
}

fn sequenced(config: &Config, domain: &DomainName) -> Option<Origin> {
    config.homes.iter().find(|home| home.domain.get_ref() == domain)?;
    let (info, _) = store::held(&config.node.as_ref()?.data, domain).ok()??;
    Some(Origin { domain: domain.clone(), entry0: info.entry0? })
}

fn counted(config: &Config, domain: &DomainName) -> Option<Origin> {
    let policy = trust::read(config.trust.policy.as_ref()?).ok()?;
    policy.domains().iter().find(|origin| origin.domain == *domain).cloned()
}
