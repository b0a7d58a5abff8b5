//! How much one signer, and all together, may say.

use super::*;

#[test]
fn bounds_on_what_one_signer_says() {
    let limited = |quota| {
        changed(0, |descriptor| {
            descriptor.limits =
                DomainLimits { statements_per_signer_and_identity: Some(quota), ..DomainLimits::default() };
        })
    };
    let approvals = |count| (1..=count).map(|n| say(n, KEEPER, "maintainer", Act::Approval)).collect::<Vec<_>>();
    assert!(check_in(limited(3), &approvals(3)).is_ok());
    assert_eq!(check_in(limited(3), &approvals(4)), Err(Refusal::Quota(3)));
    // The first block is admitted, the second is not.
    let blocks = [status(5, KEEPER, "maintainer", "stolen"), status(6, KEEPER, "maintainer", "lost")];
    let first = [approvals(3), blocks[..1].to_vec()].concat();
    assert!(check_in(limited(3), &first).is_ok());
    assert_eq!(check_in(limited(3), &[first, blocks[1..].to_vec()].concat()), Err(Refusal::Quota(3)));
    // Others can still speak.
    assert!(check_in(limited(3), &[approvals(3), vec![pump(9)]].concat()).is_ok());
}

/// A block that is over, or has not begun, does not set the quota aside; nor does the hundredth one.
#[test]
fn blocks_do_not_fill_a_record() {
    let limited = changed(0, |descriptor| descriptor.limits.statements_per_signer_and_identity = Some(3));
    let approvals: Vec<Draft> = (1..=3).map(|n| say(n, KEEPER, "maintainer", Act::Approval)).collect();
    let with = |block: Draft| check_in(limited.clone(), &[approvals.clone(), vec![block]].concat());
    let block = |n: u64| status(n, KEEPER, "maintainer", "suspended");
    assert!(with(block(50)).is_ok());
    assert_eq!(with(block(50).until(50)), Err(Refusal::Quota(3)), "it is over");
    assert_eq!(with(block(50).from(51)), Err(Refusal::Quota(3)), "it has not begun");
    let former = |count: u64| (1..=count).map(|n| block(n).until(40)).collect::<Vec<_>>();
    let again = |count| check_in(limited.clone(), &[former(count), vec![block(50)]].concat());
    let most = limits::FIRST_BLOCKS as u64;
    assert!(again(most - 1).is_ok());
    assert_eq!(again(most), Err(Refusal::Quota(3)));
}

#[test]
fn a_signer_who_keeps_blocking_is_reported_once_as_near_the_quota() {
    let quota = 40;
    let limited = changed(0, |descriptor| descriptor.limits.statements_per_signer_and_identity = Some(quota));
    let block = |n: u64| status(n, KEEPER, "maintainer", "suspended");
    let said = |n: u64| if n % 2 == 1 { block(n) } else { withdrawal(n, KEEPER, "maintainer").ends(n - 1) };
    let nears = |drafts: &[Draft]| check_in(limited.clone(), drafts).map(|admitted| admitted.nears);
    let after = |made: u64| nears(&(1..=made).map(said).collect::<Vec<_>>());
    let warned = quota - quota / limits::QUOTA_WARNED_PARTS;
    for made in 1..=quota {
        let expected = (made == warned).then_some(Nearing { made, quota });
        assert_eq!(after(made as u64), Ok(expected), "{made}");
    }
    assert_eq!(after(quota as u64 + 1), Err(Refusal::Quota(quota)), "the signer cannot block it any more");

    // A signer who says much but blocks little still has first blocks left.
    let approvals: Vec<Draft> = (1..=warned as u64).map(|n| say(n, KEEPER, "maintainer", Act::Approval)).collect();
    assert_eq!(nears(&approvals), Ok(None));
    let blocks: Vec<Draft> = (101..).map(|n| block(n).until(n + 1)).take(limits::FIRST_BLOCKS).collect();
    let made = approvals.len() + blocks.len();
    assert_eq!(nears(&[&approvals[..], &blocks[..1]].concat()), Ok(None));
    assert_eq!(nears(&[approvals, blocks].concat()), Ok(Some(Nearing { made, quota })), "the last of them");
}

#[test]
fn few_groups_are_named() {
    let in_groups = (1..=limits::GROUPS_NAMED).fold(introduce(1), |draft, n| draft.joins(&group(&n.to_string(), &[])));
    let approval = say(2, KEEPER, "maintainer", Act::Approval);
    assert!(check(&[in_groups.clone(), approval.clone()]).is_ok());
    assert_eq!(check(&[in_groups, approval.joins(&group("another", &[]))]), Err(Refusal::Groups));
}

#[test]
fn bounds_on_what_all_say() {
    let open = limits::RECORD_STATEMENTS_OPEN as u64;
    let said = |n| say(n, Fingerprint::V6([n as u8; 32]), "maintainer", Act::Approval);
    let mut drafts: Vec<Draft> = (1..=open).map(said).collect();
    drafts.push(pump(5_000));
    assert_eq!(check(&drafts), Err(Refusal::RecordFull));
    drafts.push(status(5_001, CONTROLLER, "security-controller", "suspended"));
    assert!(check(&drafts).is_ok());
    // Up to another bound, everybody can take back what they said.
    let ends = |count: usize| {
        let mut drafts = vec![say(1, KEEPER, "maintainer", Act::Approval)];
        drafts.extend((2..).map(said).take(count - 1));
        drafts.push(withdrawal(9_000, KEEPER, "maintainer").ends(1));
        check(&drafts)
    };
    assert!(ends(limits::RECORD_STATEMENTS_ENDS - 1).is_ok());
    assert_eq!(ends(limits::RECORD_STATEMENTS_ENDS), Err(Refusal::RecordFull));
    drafts.splice(..0, (6_000..).map(said).take(limits::RECORD_STATEMENTS - drafts.len() + 1));
    assert_eq!(check_in(domain(), &drafts), Err(Refusal::RecordFull));
}

/// The owner of a thing may give roles over it to any number of their own keys; even with all of them they cannot keep
/// signers whom the descriptor names from blocking it.
#[test]
fn no_grant_opens_the_last_places_of_a_record() {
    let said = |n: u64| say(n, Fingerprint::V6([n as u8; 32]), "maintainer", Act::Approval);
    let after = |count: usize, last: Draft| {
        let mut drafts = vec![pump(1), sold()];
        drafts.extend((3..).map(said).take(count - drafts.len()));
        drafts.push(last);
        check(&drafts)
    };
    let granted = || status(9_000, BUYER, "owner", "suspended");
    let named = || status(9_000, CONTROLLER, "security-controller", "suspended");
    let (last, most) = (limits::RECORD_STATEMENTS_GRANTED, limits::RECORD_STATEMENTS);
    assert!(after(last - 1, granted()).is_ok());
    assert_eq!(after(last, granted()), Err(Refusal::RecordFull));
    assert!(after(last, named()).is_ok());
    assert!(after(most - 1, named()).is_ok());
    assert_eq!(after(most, named()), Err(Refusal::RecordFull));
    // Neither a withdrawal nor a block that is over has a place there.
    assert_eq!(after(last, named().until(9_000)), Err(Refusal::RecordFull));
    assert_eq!(after(last, withdrawal(9_000, MAKER, "manufacturer").ends(1)), Err(Refusal::RecordFull));
}

#[test]
fn a_filling_record_is_reported_once_and_long_before() {
    let said = |n: u64| say(n, Fingerprint::V6([n as u8; 32]), "maintainer", Act::Approval);
    let fills = |count: usize| {
        let mut drafts: Vec<Draft> = (1..).map(said).take(count - 1).collect();
        drafts.push(pump(9_000));
        check(&drafts).map(|admitted| admitted.fills)
    };
    let near = limits::RECORD_STATEMENTS_NEAR;
    for (count, expected) in [(1, false), (near - 1, false), (near, true), (near + 1, false)] {
        assert_eq!(fills(count), Ok(expected), "{count}");
    }
}

#[test]
fn groups_that_select_the_same_share_the_bounds() {
    let same = |n: u64| group(&format!("group {n}"), &[(Attribute::Lot, "7")]);
    let limited = changed(0, |descriptor| descriptor.limits.statements_per_signer_and_identity = Some(3));
    let mut drafts: Vec<Draft> = (1..=3).map(|n| say(n, MAKER, "manufacturer", Act::Identity).on(&same(n))).collect();
    drafts.push(say(4, MAKER, "manufacturer", Act::Identity).on(&same(4)));
    assert_eq!(check_in(limited.clone(), &drafts), Err(Refusal::Quota(3)));
    let recall = |n| status(n, MAKER, "manufacturer", "withdrawn").on(&same(n));
    drafts[3] = recall(4);
    assert!(check_in(limited.clone(), &drafts).is_ok());
    drafts.push(recall(5));
    assert_eq!(check_in(limited.clone(), &drafts), Err(Refusal::Quota(3)));
    drafts[4] = say(5, MAKER, "manufacturer", Act::Identity).on(&group("another", &[(Attribute::Lot, "8")]));
    assert!(check_in(limited, &drafts).is_ok());
}

#[test]
fn few_values_of_a_selecting_attribute() {
    let lots = |count| (1..=count).map(|n| introduce(n).attribute(Attribute::Lot, &n.to_string())).collect::<Vec<_>>();
    let most = limits::SELECTING_VALUES as u64;
    assert!(check(&lots(most)).is_ok());
    assert_eq!(check(&lots(most + 1)), Err(Refusal::AttributeValues(Attribute::Lot)));
    let places = (1..=most + 1).map(|n| introduce(n).attribute(Attribute::Location, &n.to_string()));
    assert!(check(&places.collect::<Vec<_>>()).is_ok());
    // If the selector of a group were left out, other groups that select the same would not be found beside it.
    let of_group = |count| {
        let lot = group("lot Z", &[(Attribute::Lot, "Z")]);
        lots(count).into_iter().map(|draft| draft.on(&lot)).collect::<Vec<_>>()
    };
    assert!(check(&of_group(most - 1)).is_ok());
    assert_eq!(check(&of_group(most)), Err(Refusal::AttributeValues(Attribute::Lot)));
    let same = introduce(most).attribute(Attribute::Lot, "Z").on(&group("lot Z", &[(Attribute::Lot, "Z")]));
    assert!(check(&[of_group(most - 1), vec![same]].concat()).is_ok());
}
