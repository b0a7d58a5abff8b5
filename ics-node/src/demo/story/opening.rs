//! Five nodes start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ics_core::descriptor::Freshness;
use ics_core::log::checkpoint::Origin;
use ics_core::trust::{TrustDocument, templates};
use ics_core::vocabulary::{DomainName, Role};

use super::{Story, role};
use crate::app::clock::Clock;
use crate::demo::authority;
use crate::demo::cast::{Actor, make_all, person};
use crate::demo::error::{DemoError, Result, ensure, unexpected};
use crate::demo::party::Party;
use crate::demo::props;
use crate::demo::show::Told;

/// The polling interval of a mirror, in milliseconds.
const INTERVAL_MS: u64 = 100;
/// For how many seconds the gateway relies on a copy without further news.
const RELIED_UPON_SECONDS: u64 = 60 * 60;
/// The gateway's trust policy, in its home directory.
const TRUST_FILE: &str = "trust.json";

pub(super) async fn open(directory: &Path) -> Result<(Story, Told)> {
    let clock = Clock::default();
    let actors = make_all(directory, clock.now())?;
    let Ok([mut maker, developer, board, integrator, gateway]) = <[Actor; 5]>::try_from(actors) else {
        return Err(unexpected("the cast is not complete"));
    };
    let authorities = authority::found(&mut maker, clock.now())?;
    let (maker, developer, board) =
        tokio::try_join!(Party::start(maker, "\n[acme]\n"), Party::start(developer, ""), Party::start(board, ""))?;
    let publishers = [&maker, &developer, &board];
    let integrator = Party::start(integrator, &mirrors(&publishers)).await?;
    let sources = [&maker, &developer, &board, &integrator];
    let speaking = [("manufacturer", &maker), ("developer", &developer), ("certification-body", &board)];
    let speaking = speaking.into_iter().chain([("integrator", &integrator)]);
    let roles = speaking.map(|(word, party)| Ok((role(word)?, [party.origin.domain.clone()].into())));
    let domains = sources.iter().map(|party| party.origin.clone()).collect();
    write_trust_policy(&gateway.home, domains, roles.collect::<Result<_>>()?)?;
    let more = format!("{}\n[trust]\npolicy = \"{TRUST_FILE}\"\n", mirrors(&sources));
    let gateway = Party::start(gateway, &more).await?;

    let parties = [&maker, &developer, &board, &integrator, &gateway];
    let addresses = parties.map(|party| party.node.url().to_owned());
    let told = Told::default().table(table(&parties).await?).data("addresses", addresses.to_vec());
    let owner = role("owner")?;
    let hospital = person(directory, "hospital", "St. Mary Hospital", &owner, &integrator.signer, clock.now())?;
    let stranger = person(directory, "stranger", "Nobody in particular", &owner, &integrator.signer, clock.now())?;
    let watches = role("security-controller")?;
    let monitor = person(directory, "monitor", "Ward monitor", &watches, &maker.signer, clock.now())?;
    let (firmware_file, firmware) = props::firmware(&developer.home)?;
    let pumps = props::pumps(clock.now())?;
    let directory = directory.to_owned();
    let story = Story {
        directory,
        maker,
        developer,
        board,
        integrator,
        gateway,
        hospital,
        stranger,
        monitor,
        authorities,
        pumps,
        firmware,
        firmware_file,
        clock,
    };
    Ok((story, told))
}

/// The sections of `ics.toml` for a node that copies the domains of these parties.
fn mirrors(homes: &[&Party]) -> String {
    let one = |party: &&Party| {
        let name = party.part.template;
        format!(
            "\n[[peer]]\nname = \"{name}\"\nurl = \"{}\"\nmirror = [\"{}\"]\ninterval_ms = {INTERVAL_MS}\n",
            party.node.url(),
            party.origin
        )
    };
    homes.iter().map(one).collect()
}

/// The shipped rules: things for which their manufacturer vouches and which the integrator approves and puts into use;
/// software that its developer has released and the integrator approves. Each role counts only in its party's own
/// domain, since a domain's owners can give themselves any role there.
fn write_trust_policy(home: &Path, domains: Vec<Origin>, roles: BTreeMap<Role, BTreeSet<DomainName>>) -> Result<()> {
    let document = TrustDocument {
        domains,
        roles,
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: RELIED_UPON_SECONDS, uses: [].into() },
        rules: [templates::VOUCHED, templates::SOFTWARE].join("\n"),
    };
    let json = serde_json::to_vec_pretty(&document).map_err(unexpected)?;
    let path = home.join(TRUST_FILE);
    fs::write(&path, json).map_err(|source| DemoError::File { path, source })
}

async fn table(parties: &[&Party]) -> Result<Vec<Vec<String>>> {
    let mut rows = vec![["party", "role", "home of the domain", "address"].map(str::to_owned).to_vec()];
    for party in parties {
        let checkpoint = party.checkpoint().await?;
        ensure(checkpoint.size == 1, || format!("{} begins with {} entries", party.domain(), checkpoint.size))?;
        rows.push(vec![
            party.part.who.to_owned(),
            party.part.template.to_string(),
            party.domain().to_string(),
            party.node.url().to_owned(),
        ]);
    }
    Ok(rows)
}
