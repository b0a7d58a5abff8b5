//! That no order is worked on twice.

use ics_core::identity::Fingerprint;

use super::*;
use crate::acme::account::Account;
use crate::acme::jwk::Jwk;
use crate::app::x509::acme::AcmeSetup;
use crate::config::AcmeConfig;

#[test]
fn an_order_is_begun_once_whether_memory_has_it_or_the_file_alone() {
    let (dir, at) = (tempfile::tempdir().expect("dir"), Timestamp::from_seconds);
    let setup = AcmeSetup { config: AcmeConfig::default(), url: "https://ics.acme.example".to_owned() };
    let open = || Acme::open(&setup, dir.path()).expect("opens");
    let domain: DomainName = "devices.acme.example".parse().expect("a domain");
    let thing: Fingerprint = "ab".repeat(20).parse().expect("a fingerprint");
    let account = Account::new(Jwk::Ed25519([7; 32]), Holder::Thing(thing), Vec::new(), at(1));
    let host = Identifier::dns("gw.acme.example").expect("a name");
    let requested: BTreeSet<Name> = host.name().into_iter().collect();
    let acme = open();
    let kept = acme.keep(|tx| {
        let account = tx.add_account(&domain, &account)?;
        let authorization = Authorization::by_record(account, host.clone(), at(100));
        let order = Order {
            account,
            identifiers: vec![host.clone()],
            authorizations: vec![tx.add_authorization(&authorization)?],
            profile: "server".parse().expect("a profile"),
            profile_named: false,
            thing,
            replaces: None,
            expires: at(100),
            progress: Progress::Open,
        };
        Ok((account, tx.add_order(&order, at(1))?))
    });
    let (number, id) = kept.expect("is kept");
    let client = Client { id: number, account: Arc::new(account) };
    let check = |acme: &Acme, is_in_memory: bool| {
        assert_eq!(acme.store.order_in_memory(id).is_some(), is_in_memory);
        let begin = || acme.begin(id, &client, &requested, at(2));
        let progress = || acme.on_order(id, &client, |order, _, _| Ok(order.progress)).expect("is the client's");
        let begun = begin().expect("is ready");
        assert_eq!(progress(), Progress::Processing);
        assert!(begin().is_err(), "somebody else has begun");
        drop(begun);
        assert_eq!(progress(), Progress::Open, "nothing was stored");
    };
    check(&acme, true);
    drop(acme);
    check(&open(), false);
}
