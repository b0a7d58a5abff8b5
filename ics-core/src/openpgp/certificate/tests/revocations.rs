//! What revokes a key or a User ID, from when on, and what a holder may always do.

use super::*;

#[test]
fn revocations_of_the_key() {
    for (reason, counts_from) in
        [(Some(0), 0), (Some(2), 0), (None, 0), (Some(1), 1000), (Some(3), 1000), (Some(100), 0)]
    {
        let making = Making::new(4);
        let draft = making.draft(KEY_REVOCATION, seconds(1000));
        let draft = match reason {
            Some(reason) => draft.with(sub::REASON, &[reason]),
            None => draft,
        };
        let making = making.direct(draft).named();
        let revoked = Err(KeyRefusal::Revoked(making.fingerprint()));
        let before = making.may(Timestamp::from_millis(seconds(1000).as_millis() - 1)).0;
        assert_eq!(before, if counts_from == 0 { revoked } else { Ok(()) }, "{reason:?}");
        assert_eq!(making.may(seconds(1000)).0, revoked);
        let how = if counts_from == 0 { Revoked::ForAllTimes } else { Revoked::FromThen };
        assert_eq!(making.certificate().revoked(), Some(how), "{reason:?}");
    }
    assert_eq!(Making::new(4).named().certificate().revoked(), None);
}

/// What a log had admitted before it heard of a revocation stands, even if the revocation was made earlier.
#[test]
fn a_revocation_counts_from_when_a_log_has_heard_of_it() {
    [1, 2].into_iter().for_each(a_revocation_counts_from_then);
}

fn a_revocation_counts_from_then(reason: u8) {
    let making = Making::new(4);
    let draft = making.draft(KEY_REVOCATION, created()).with(sub::REASON, &[reason]);
    let making = making.direct(draft).named();
    let (key, revoked) = (making.fingerprint(), Err(KeyRefusal::Revoked(making.fingerprint())));
    let may = |certificate: &Certificate, at| certificate.key_for(&key, Purpose::Sign, at).map(drop);
    let heard = making.certificate().heard_at(seconds(1000));
    assert_eq!([999, 1000].map(|at| may(&heard, seconds(at))), [Ok(()), revoked]);

    // A later state, heard of later, has had it since the earlier state.
    let later = making.certificate().heard_at(seconds(2000));
    assert_eq!(may(&later.clone().behind(&heard), seconds(1000)), revoked);
    let unrevoked = Making::new(4).named().certificate().heard_at(seconds(500));
    assert_eq!([1999, 2000].map(|at| may(&later.clone().behind(&unrevoked), seconds(at))), [Ok(()), revoked]);
    assert_eq!(may(&making.certificate(), created()), revoked, "by itself it counts as if it were known ever since");
}

#[test]
fn revocations_of_a_user_id() {
    let making = Making::new(4);
    let drafts = vec![making.draft(CERTIFICATION, created()), making.draft(CERTIFICATION_REVOCATION, seconds(1000))];
    let making = making.user_id(NAME, drafts);
    assert_eq!(making.certificate().user_ids(), &[] as &[String]);
    assert_eq!(making.may(at()).0, Err(KeyRefusal::Unbound(making.fingerprint())));
    let at_once = Making::new(4);
    let drafts = [CERTIFICATION, CERTIFICATION_REVOCATION].map(|kind| at_once.draft(kind, seconds(1000)));
    let at_once = at_once.user_id(NAME, drafts.into());
    assert_eq!(at_once.certificate().revoked_user_ids(), [NAME], "in the same second it is revoked");
    assert_eq!(at_once.may(at()).0, Err(KeyRefusal::Unbound(at_once.fingerprint())));
    let again = Making::new(4);
    let drafts = vec![
        again.draft(CERTIFICATION, created()),
        again.draft(CERTIFICATION_REVOCATION, seconds(1000)),
        again.draft(CERTIFICATION, seconds(2000)),
    ];
    let again = again.user_id(NAME, drafts);
    assert_eq!(again.certificate().user_ids(), [NAME]);
    assert_eq!(again.may(at()).0, Ok(()));
}

#[test]
fn a_state_ends_a_key_for_ever_or_brings_nothing_but_its_first_revocation() {
    let with = |reasons: &[u8]| {
        let revoke = |making: Making, reason: &u8| {
            let draft = making.draft(KEY_REVOCATION, at()).with(sub::REASON, &[*reason]);
            making.direct(draft)
        };
        reasons.iter().fold(Making::new(4), revoke).named()
    };
    let states: [&[u8]; 4] = [&[], &[3], &[3, 2], &[3, 2, 0]];
    let [plain, retired, stolen, again] = states.map(|reasons| with(reasons).certificate());
    assert!(retired.ends(&plain) && stolen.ends(&plain) && stolen.ends(&retired));
    assert!(!again.ends(&stolen) && !plain.ends(&retired) && !plain.ends(&plain));
    for (reason, expected) in [(2, true), (3, false)] {
        let making = with(&[reason]);
        let draft = making.draft(CERTIFICATION, created());
        let more = making.user_id("Another", vec![draft]).certificate();
        assert_eq!(more.ends(&plain), expected, "what comes along to a key that lives is for the rules");
    }
    let making = Making::new(4);
    let long = [&[2_u8][..], &[b'x'; limits::KEY_REVOCATION_BYTES]].concat();
    let draft = making.draft(KEY_REVOCATION, at()).with(sub::REASON, &long);
    assert!(!making.direct(draft).named().certificate().ends(&plain), "nor is it a place for long texts");
}

/// Programs send renewed self-signatures as well.
#[test]
fn what_revokes_a_key_is_told_from_what_comes_along() {
    let (plain, making) = (Making::new(4).named(), Making::new(4));
    let draft = making.draft(KEY_REVOCATION, at()).with(sub::REASON, &[3]);
    let retired = making.direct(draft).named();
    let draft = retired.draft(CERTIFICATION, created());
    let more = retired.user_id("Another", vec![draft]);
    let alone = Certificate::with_revocations(&plain.bytes, &more.bytes).expect("two states of a certificate");
    let alone = Certificate::parse(&alone).expect("accepted");
    assert!(alone.ends(&plain.certificate()) && alone.is_revoked_as(&more.certificate()));
    assert_eq!(alone.user_ids(), [NAME]);
    assert!(!plain.certificate().is_revoked_as(&more.certificate()));
    assert!(!alone.is_revoked_as(&plain.certificate()), "that revokes nothing");
    let same = Certificate::with_revocations(&plain.bytes, &plain.bytes);
    assert_eq!(same.as_ref(), Ok(&plain.bytes), "nothing is new");
}

/// What is made on behalf of a domain is certified by keys that may still certify at some time.
#[test]
fn a_key_certifies_unless_it_is_revoked_for_ever_or_may_not() {
    let certifies = |making: &Making| making.certificate().certifying_key().cloned();
    let with = |draft: fn(Draft) -> Draft| {
        let making = Making::new(4);
        let revocation = draft(making.draft(KEY_REVOCATION, seconds(1000)));
        making.direct(revocation).named()
    };
    let plain = Making::new(4).named();
    assert_eq!(certifies(&plain).as_ref(), Ok(plain.primary.public_key()));
    let retired = with(|draft| draft.with(sub::REASON, &[3]));
    assert!(certifies(&retired).is_ok());
    assert_eq!(certifies(&with(|draft| draft)), Err(KeyRefusal::Revoked(plain.fingerprint())));
    let signs_only = Making::new(4).named().direct_later(1000);
    assert_eq!(certifies(&signs_only), Err(KeyRefusal::Purpose(plain.fingerprint(), Purpose::Certify)));
    assert_eq!([Purpose::Certify, Purpose::Sign].map(|it| it.to_string()), ["certify keys", "sign documents"]);
    let signs_only = Making::new(4);
    let newer = signs_only.draft(CERTIFICATION, seconds(5)).with(sub::KEY_FLAGS, &[MAY_CERTIFY]);
    let refused = Err(KeyRefusal::Purpose(plain.fingerprint(), Purpose::Certify));
    assert_eq!(certifies(&signs_only.user_id(NAME, vec![newer]).direct_later(1)), refused, "the key itself decides");
}
