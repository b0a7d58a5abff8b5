//! Who is told what about things that are followed, and for how long.

use super::*;

/// What is followed, and the names of what is refused, may be hidden by the domain that is followed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_and_what_was_refused_is_not_told_to_strangers() {
    let node = Node::of(choosy).await;
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "of-spring")]).await;
    let care = CARE.parse().expect("a domain");
    let adopted = node.app().adopt(&care, of_lot("of-spring", true)).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (1, 0), "{adopted:?}");
    say(&node, vec![device(22, "of-spring")]).await;
    follow_once(node.app()).await;

    let path = format!("/v1/domains/{CARE}");
    let told = node.call("GET", &path, |request| request.bearer_auth(TOKEN)).await.json();
    assert_eq!(told["follows"][0]["choices"], json!(["lot of-spring"]), "{told}");
    for path in [path.as_str(), "/v1/domains"] {
        let told = node.get(path).await.text();
        assert!(told.contains("not-taken-over") && told.contains("name-not-permitted"), "{told}");
        assert!(!told.contains("of-spring") && !told.contains("SN-22"), "{told}");
    }

    node.app().adopt(&care, of_lot("of-spring", false)).await.expect("is followed no longer");
    let told = node.call("GET", &path, |request| request.bearer_auth(TOKEN)).await.text();
    assert!(!told.contains("not-taken-over"), "what is not followed is not missed: {told}");
}

/// After one of several followed lots is given up, nothing in it is reported missing any more; the others are.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_no_longer_takes_its_alarms_along() {
    let node = Node::of(choosy).await;
    let care = CARE.parse().expect("a domain");
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "spring")]).await;
    for lot in ["spring", "autumn"] {
        node.app().adopt(&care, of_lot(lot, true)).await.expect("adopts");
    }
    let size = node.app().domain(&domain()).expect("here").info.size;
    say(&node, vec![device(22, "spring"), device(23, "autumn")]).await;
    follow_once(node.app()).await;
    let are_alarmed = || {
        let alarms = node.app().domain(&care).expect("here").alarms;
        [size, size + 1].map(|index| {
            let entry = format!("entry {index} of {DOMAIN}: ");
            alarms.iter().any(|alarm| alarm.kind == "not-taken-over" && alarm.text.starts_with(&entry))
        })
    };
    assert_eq!(are_alarmed(), [true, true]);
    node.app().adopt(&care, of_lot("autumn", false)).await.expect("is followed no longer");
    assert_eq!(are_alarmed(), [true, false]);
}

/// What a source declares takes effect in the source. Adopters are told of it until they have declared it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_whom_a_source_declares_compromised_is_told_until_it_is_declared_here() {
    let node = Node::of(|| World::caring(|_| ())).await;
    let care = CARE.parse().expect("a domain");
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L1")]).await;
    let from_index = node.app().domain(&domain()).expect("here").info.size - 1;
    say(&node, vec![stolen(&maker(), 21)]).await;
    assert_eq!(node.app().adopt(&care, request(&[20, 21], None)).await.expect("adopts").refused.len(), 0);
    let alarms = async || {
        follow_once(node.app()).await;
        let alarms = node.app().domain(&care).expect("here").alarms.into_iter();
        alarms.filter(|alarm| alarm.kind == "compromised-at-source").map(|alarm| alarm.text).collect::<Vec<_>>()
    };
    assert_eq!(alarms().await, Vec::<String>::new());

    let signer = maker().public_key().fingerprint();
    let declare = |from_index| {
        let compromise = Compromise { signer, domain: domain(), from_index };
        move |descriptor: &mut Descriptor| descriptor.compromised.push(compromise)
    };
    change(node.app(), DOMAIN, declare(from_index)).await;
    let told = alarms().await;
    let does = format!("`ics domain update {CARE} --compromised {DOMAIN}/{signer}@{from_index}`");
    assert!(matches!(told.as_slice(), [text] if text.contains("about 1 thing,") && text.contains(&does)), "{told:?}");
    assert!(told[0].contains("1 statement, then no longer count"), "{told:?}");
    assert_eq!(alarms().await, told, "it is told once");
    change(node.app(), CARE, declare(from_index + 1)).await;
    assert_eq!(alarms().await, told, "that is too late for it");
    change(node.app(), CARE, declare(from_index)).await;
    assert_eq!(alarms().await, Vec::<String>::new());
}

/// For example, after a new epoch the home signs with another key than the one that was pinned.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_of_the_sources_home_is_told_with_what_to_do() {
    let world = || {
        let world = World::with(|_| ());
        let made = world.app.domain(&domain()).expect("is here").info.origin;
        let key = STANDARD.encode(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes());
        let former = NodeKey { name: NODE.to_owned(), key };
        let source = Source { domain: domain(), entry0: Hash(made.entry0), home: former };
        world.app.found(&changed_descriptor(Template::Maintenance, CARE, vec![source], |_| ())).expect("founds");
        world
    };
    let node = Node::of(world).await;
    let (care, signer) = (CARE.parse().expect("a domain"), certificate(&maker(), "Acme"));
    node.app().submit(&care, vec![signer.clone()]).await.expect("knows who signs");
    say(&node, vec![signer, device(20, "L1")]).await;
    let adopted = node.app().adopt(&care, request(&[20], Some(true))).await.expect("is heard");
    let told: Vec<_> = adopted.refused.iter().map(|problem| (problem.code(), problem.hint.as_deref())).collect();
    assert!(!told.is_empty() && told.iter().all(|(code, _)| *code == "source-key"), "{told:?}");
    assert!(told.iter().all(|(_, hint)| hint.is_some_and(|hint| hint.contains("--add-source"))), "{told:?}");
    say(&node, vec![stolen(&maker(), 20)]).await;
    follow_once(node.app()).await;
    let alarms = node.app().domain(&care).expect("here").alarms;
    let is_told = |text: &str| text.contains("`source-key`") && text.contains("--add-source");
    let told: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == "not-taken-over").collect();
    assert!(matches!(told.as_slice(), [alarm] if is_told(&alarm.text)), "one, however much is refused: {told:?}");
    let follows = |node: &Node| node.app().domain(&care).expect("here").follows.remove(0);
    let failing = follows(&node);
    assert_eq!((failing.state.as_str(), failing.lag_entries), ("failing", 0));
    assert!(failing.last_error.is_some_and(|why| why.contains("another key")));

    // With its own next descriptor it looks at everything again. What it still refuses is not reported anew, nor is
    // what was skipped when it began to follow.
    change(node.app(), CARE, |next| "Care".clone_into(&mut next.description)).await;
    follow_once(node.app()).await;
    let after = node.app().domain(&care).expect("here").alarms;
    assert_eq!(after.len(), alarms.len(), "{after:?}");
    change(node.app(), CARE, |descriptor| {
        for source in &mut descriptor.sources {
            source.home = home();
        }
    })
    .await;
    follow_once(node.app()).await;
    let ended = node.app().domain(&care).expect("here").alarms;
    assert!(ended.iter().all(|alarm| alarm.kind != "not-taken-over"), "{ended:?}");
    assert_eq!(follows(&node).state, "current");
}
