//! What a record says about itself.

use super::*;
use crate::domain::Context;
use crate::record::{Logged, resolve};
use crate::samples::*;

fn record(drafts: &[Draft]) -> Record {
    let (about, groups) = split(drafts);
    resolve(&domain(), &device(), &about, &groups, now()).expect("something was said")
}

/// The manufacturer's statement about a certificate that they issued to the device.
fn issued(n: u64, serial: &str) -> Draft {
    let (spki, certificate) = (format!("spki:{}", "0a".repeat(32)), format!("cert:{}", "0b".repeat(32)));
    say(n, MAKER, "manufacturer", Act::Issued).name(serial).name(&spki).name(&certificate)
}

#[test]
fn a_certificate_has_a_serial_number_a_key_and_a_hash() {
    let of = |draft: Draft| IssuedCertificate::of(&draft.said.claims);
    let certificate = of(issued(1, "serial:00A7ff").from(5).until(9)).expect("all of them");
    assert_eq!((certificate.from, certificate.until), (Some(time(5)), Some(time(9))));
    assert_eq!(certificate.names().map(Name::scheme), ["serial", "spki", "cert"]);
    assert_eq!(of(issued(1, "host:pump.example")), None);
    assert_eq!(of(issued(1, "serial:00A7ff").with(|said| said.claims.act = Act::Identity)), None);
    for missing in 0..3 {
        assert_eq!(of(issued(1, "serial:00A7ff").with(|said| drop(said.claims.names.remove(missing)))), None);
    }
}

/// Revocation lists are divided by the second octet of the serial number.
#[test]
fn the_second_octet_of_the_serial_number_is_its_bucket() {
    let bucket = |serial: &str| IssuedCertificate::of(&issued(1, serial).said.claims).and_then(|it| it.bucket());
    assert_eq!(bucket("serial:00A7ff"), Some(0xa7));
    assert_eq!(bucket("serial:a700"), Some(0));
    for none in ["serial:a7", "serial:a70", "serial:SN-1", "serial:\u{e4}\u{e4}\u{e4}"] {
        assert_eq!(bucket(none), None, "{none}");
    }
}

#[test]
fn the_names_of_its_certificates_are_names_of_the_thing() {
    let allowed = changed(1, |next| {
        let names = &mut next.roles.entry(word("manufacturer")).or_default().names;
        names.extend(["spki:*".to_owned(), "cert:*".to_owned()]);
    });
    let (about, groups) = split(&[introduce(0).name("serial:SN-1"), issued(1, "serial:00A7ff")]);
    let names = |domain: &crate::domain::Domain| -> Vec<String> {
        let record = resolve(domain, &device(), &about, &groups, now()).expect("something was said");
        record.all_names().map(Name::to_string).collect()
    };
    let (spki, certificate) = (format!("spki:{}", "0a".repeat(32)), format!("cert:{}", "0b".repeat(32)));
    assert_eq!(names(&allowed), ["serial:SN-1", "serial:00A7ff", &spki, &certificate]);
    assert_eq!(names(&domain()), ["serial:SN-1"], "the role may not give what the certificate names");
}

#[test]
fn roles_are_those_of_the_descriptor_and_of_live_grants() {
    let record = record(&[introduce(0), grant(1, MAKER, "manufacturer", BUYER, "owner")]);
    let roles = |signer| record.roles_of(&descriptor(), &signer);
    assert_eq!(roles(BUYER), BTreeSet::from([word("owner")]));
    assert_eq!(roles(MAKER), BTreeSet::from([word("manufacturer")]));
    assert_eq!(roles(HEIR), BTreeSet::new());
}

/// What was said for a later time comes into force by itself, unless something ends it for at least as long.
#[test]
fn what_is_to_come_is_told_from_what_has_ended_before() {
    let later = |n| grant(n, MAKER, "manufacturer", BUYER, "owner").from(2_000_000);
    let to_come = |drafts: &[Draft]| {
        let record = record(&[vec![introduce(0)], drafts.to_vec()].concat());
        record.grants_to_come().map(|(given, it)| (given.grantee, it.by.index)).collect::<Vec<_>>()
    };
    let withdrawal = |signer, role| say(2, signer, role, Act::Withdrawal).ends(1);
    let sold = grant(2, MAKER, "manufacturer", HEIR, "owner").ends(1);
    for (drafts, is_to_come) in [
        (vec![later(1)], true),
        (vec![grant(1, MAKER, "manufacturer", BUYER, "owner")], false),
        (vec![later(1), withdrawal(MAKER, "manufacturer")], false),
        (vec![later(1), withdrawal(BUYER, "owner")], false),
        (vec![later(1), withdrawal(KEEPER, "maintainer")], true),
        (vec![later(1), sold.clone()], false),
        (vec![later(1), sold.clone().until(3_000_000)], true),
        (vec![later(1).until(2_500_000), sold.clone().until(3_000_000)], false),
        (vec![later(1).until(3_000_000), sold.clone().until(3_000_000)], false),
        (vec![later(1), sold.from(1_500_000)], true),
    ] {
        let expected = if is_to_come { vec![(BUYER, 1)] } else { Vec::new() };
        let found: Vec<_> = to_come(&drafts).into_iter().filter(|(grantee, _)| *grantee == BUYER).collect();
        assert_eq!(found, expected, "{drafts:?}");
    }
}

/// What is replaced is replaced for all members, even for one that has been sold since.
#[test]
fn what_is_to_come_of_a_group_ends_where_it_was_said() {
    let all = group("all P1", &[(Attribute::Model, "P1")]);
    let drafts = [
        introduce(0).attribute(Attribute::Model, "P1"),
        grant(1, MAKER, "manufacturer", BUYER, "owner").on(&all),
        grant(2, BUYER, "owner", HEIR, "owner").from(2_000_000).on(&all),
        say(3, MAKER, "manufacturer", Act::Withdrawal).ends(1),
        grant(4, BUYER, "owner", KEEPER, "owner").ends(2).on(&all),
    ];
    let to_come =
        |count: usize| record(&drafts[..count]).grants_to_come().map(|(_, it)| it.by.index).collect::<Vec<_>>();
    assert_eq!([4, 5].map(to_come), [vec![2], Vec::new()]);
}

/// A seller no longer says anything of a sold thing by the order that it is of: whoever gets the order later is not its
/// owner to be.
#[test]
fn nobody_is_to_own_by_its_order_what_was_sold_before() {
    let all = group("all P1", &[(Attribute::Model, "P1")]);
    let sold = grant(2, BUYER, "owner", KEEPER, "owner").ends(1);
    for (case, second, expected) in [("it is sold", sold, vec![]), ("it is not", introduce(2), vec![3])] {
        let drafts = [
            introduce(0).attribute(Attribute::Model, "P1"),
            grant(1, MAKER, "manufacturer", BUYER, "owner").on(&all),
            second,
            grant(3, BUYER, "owner", HEIR, "owner").from(2_000_000).on(&all),
        ];
        let record = record(&drafts);
        let found: Vec<_> = record.grants_to_come().map(|(_, it)| it.by.index).collect();
        assert_eq!(found, expected, "{case}");
        let because = &record.statement_at(3).expect("listed").because;
        assert_eq!(because.contains("does not cover"), expected.is_empty(), "{case}: {because}");
    }
}

/// What is left of an erased statement falls when its signer takes it back, and what it had ended comes.
#[test]
fn what_an_erased_statement_had_ended_is_to_come_once_that_is_taken_back() {
    let planned = status(1, KEEPER, "maintainer", "suspended").from(2_000_000);
    let (mut about, _) = split(&[introduce(0), planned, status(2, KEEPER, "maintainer", "in-use").ends(1)]);
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = domain().erasure_of(&about[2], &context, time(3)).expect("it may be erased");
    about[2] = Logged::of_erasure(3, time(3), &erasure, HEIR).expect("it is about the device");
    let taken_back = say(4, KEEPER, "maintainer", Act::Withdrawal).ends(2).log();
    let is_to_come = |about: &[Logged], at: Timestamp| {
        let record = resolve(&domain(), &device(), about, &[], at).expect("something was said");
        (record.statement_at(1).expect("listed").is_to_come(), record.effect().blocks())
    };
    assert_eq!(is_to_come(&about, now()), (false, false), "the erased one has ended it");
    about.push(taken_back);
    assert_eq!(is_to_come(&about, now()), (true, false), "nothing has");
    assert_eq!(is_to_come(&about, time(2_000_000)), (false, true), "it has come");
}

#[test]
fn a_statement_is_found_by_its_index() {
    let record =
        record(&[introduce(0), status(2, KEEPER, "maintainer", "in-use"), status(5, MAKER, "manufacturer", "lost")]);
    let found: Vec<_> = (0..7).map(|index| record.statement_at(index).map(|listed| listed.by.index)).collect();
    assert_eq!(found, [Some(0), None, Some(2), None, None, Some(5), None]);
}

/// What ended a statement, and since when, is read from the copy that counts.
#[test]
fn of_a_statement_that_was_refused_and_stands_in_the_log_again_the_later_copy_is_found() {
    let used = status(1, KEEPER, "maintainer", "in-use");
    let ended = |n: u64| status(n, KEEPER, "maintainer", "planned").ends(1).with(|said| said.id = id(2));
    let found = |copies: &[Draft]| {
        let record = record(&[vec![introduce(0), used.clone()], copies.to_vec()].concat());
        record.statement(id(2)).map(|listed| listed.by.index)
    };
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[ended(2).refused()]), Some(2));
    assert_eq!(found(&[ended(2).refused(), ended(3)]), Some(3));
}

/// A record states until when it is true: the next bound of anything that may still count.
#[test]
fn a_record_changes_at_the_next_bound_of_what_may_count() {
    let changes_at = |drafts: &[Draft]| record(&[vec![introduce(0)], drafts.to_vec()].concat()).changes_at;
    let used = |n| status(n, KEEPER, "maintainer", "in-use");
    assert_eq!(changes_at(&[used(1).from(10)]), None, "it is past");
    assert_eq!(changes_at(&[used(1).until(1_000_000)]), None, "it is now");
    assert_eq!(changes_at(&[used(1).until(1_000_001)]), Some(time(1_000_001)));
    let both = [used(1).until(3_000_000), used(2).from(2_000_000).until(4_000_000)];
    assert_eq!(changes_at(&both), Some(time(2_000_000)));
    assert_eq!(changes_at(&[used(1).until(2_000_000).refused()]), None, "it never counts");
}

/// The same text may be the id of a thing with a key or of one without; the kind says which.
#[test]
fn an_identity_is_read_with_its_kind() {
    let software = format!("sha256:{}", "07".repeat(32));
    for (id, kind, expected) in [
        (device().to_string(), Kind::Device, Some(device())),
        (software.clone(), Kind::Software, Some(IdentityId::Software([7; 32]))),
        (software.clone(), Kind::Group, Some(IdentityId::Group([7; 32]))),
        (software, Kind::Device, None),
        (device().to_string(), Kind::Software, None),
        (device().to_string(), Kind::Group, None),
    ] {
        let read: Result<Identity, _> = serde_json::from_value(serde_json::json!({ "id": id, "kind": kind }));
        assert_eq!(read.ok().map(|identity| identity.id), expected, "{id} {kind:?}");
    }
}

/// What gave a signer their role: what gives it now takes precedence over what gave it when the statement was admitted.
#[test]
fn each_statement_says_by_what_its_signer_was_entitled() {
    let entitled = |domain: &crate::domain::Domain, drafts: &[Draft], n: u64| {
        let (about, groups) = split(drafts);
        let record = resolve(domain, &device(), &about, &groups, now()).expect("something was said");
        record.statement_at(n).expect("listed").entitled_by
    };
    let (described, granted) = (|version| Some(Entitlement::Descriptor(version)), |n| Some(Entitlement::Grant(id(n))));
    let used = |n| status(n, KEEPER, "maintainer", "in-use");
    let owned = |n| status(n, BUYER, "owner", "in-use");
    let sold = |n| grant(n, MAKER, "manufacturer", BUYER, "owner");
    let taken_back = |n, what| say(n, MAKER, "manufacturer", Act::Withdrawal).ends(what);
    let other = grant(1, MAKER, "manufacturer", BUYER, "maintainer");
    let itself = grant(2, BUYER, "owner", BUYER, "owner");
    let same = changed(9, |next| next.description = "the same in other words".to_owned());
    let dismissed = changed(9, |next| {
        next.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
    });
    for (case, domain, drafts, n, expected) in [
        ("by the descriptor", &domain(), vec![used(2)], 2, described(1)),
        ("by that of today", &same, vec![used(2)], 2, described(2)),
        ("by that of then", &dismissed, vec![used(2)], 2, described(1)),
        ("by nothing", &domain(), vec![owned(2)], 2, None),
        ("by a grant", &domain(), vec![sold(1), owned(2)], 2, granted(1)),
        ("not by one of another role", &domain(), vec![other, owned(2)], 2, None),
        ("by one of then", &domain(), vec![sold(1), owned(2), taken_back(3, 1)], 2, granted(1)),
        ("not by one that was later, and is over", &domain(), vec![owned(2), sold(3), taken_back(4, 3)], 2, None),
        ("by one that is later and stands", &domain(), vec![owned(2), sold(3)], 2, granted(3)),
        ("not by itself", &domain(), vec![itself, say(3, BUYER, "owner", Act::Withdrawal).ends(2)], 2, None),
        ("by the one that stands", &domain(), vec![sold(1), taken_back(2, 1), sold(3), owned(4)], 4, granted(3)),
    ] {
        let drafts = [vec![introduce(0)], drafts].concat();
        assert_eq!(entitled(domain, &drafts, n), expected, "{case}");
    }
}

#[test]
fn each_statement_says_why_it_stands_or_does_not() {
    let because = |domain: &crate::domain::Domain, draft: Draft| {
        let (about, groups) = split(&[introduce(0), draft]);
        let record = resolve(domain, &device(), &about, &groups, now()).expect("something was said");
        record.statements[1].because.clone()
    };
    let dismissed = changed(9, |next| {
        next.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
    });
    let (used, stolen) = (status(1, KEEPER, "maintainer", "in-use"), status(1, KEEPER, "maintainer", "stolen"));
    let passed_on = grant(1, KEEPER, "maintainer", HEIR, "maintainer");
    for (domain, draft, expected) in [
        (&domain(), used.clone(), "it stands"),
        (&domain(), stolen.clone(), "it stands"),
        (&domain(), used.clone().from(2_000_000), "it holds only from 2026-01-24T03:33:20Z on"),
        (&domain(), used.clone().until(10), "it held until 2026-01-01T00:00:10Z"),
        (&domain(), used.clone().refused(), "the policy did not admit it"),
        (&dismissed, used, "its signer no longer has the role in which he spoke"),
        (&dismissed, stolen, "it stands until lifted, though its signer no longer has the role"),
        (&domain(), passed_on.clone(), "it stands"),
        (
            &dismissed,
            passed_on,
            "it stands until taken back, though its giver no longer has the role in which they gave it",
        ),
    ] {
        assert_eq!(because(domain, draft), expected);
    }
}

#[test]
fn how_many_were_left_out_is_said_if_any_were() {
    let mut record = record(&[introduce(0)]);
    let text = |record: &Record| serde_json::to_value(record).expect("JSON");
    assert_eq!(text(&record).get("omitted"), None);
    record.omitted = 6;
    assert_eq!(text(&record)["omitted"], 6);
}
