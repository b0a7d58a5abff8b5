//! A domain whose witnesses are away: what it cannot show is acknowledged to nobody, and what its home says about
//! certificates is no newer than what it can show.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ics_core::statement::make;
use ics_core::time::Timestamp;
use ics_node::app::{AppError, Asker, CertifyError, Depth, Issued, Reader, Requester, Revoker};
use ics_node::x509::{OcspError, Reason, issuer_id};

use crate::revocation::{issued, suspend};
use crate::tools::Bench;
use crate::world::{World, authority, controller, domain, id, maker, status, wait};

/// Seconds for which the domain's news stays fresh: long enough to ask meanwhile, on a busy machine as well.
const FRESH: u64 = 20;

/// From when and until when OCSP says that the certificate is good.
fn good(world: &World, bench: &Bench) -> Result<(Timestamp, Timestamp), OcspError> {
    let answer = world.app.ocsp(Asker::Own, &domain(), &bench.read("request.der"), Depth::Store)?;
    let answer = answer.expect("the store was asked");
    bench.file("answer.der", &answer.der);
    let text = bench.openssl("ocsp -respin answer.der -noverify -resp_text");
    assert!(text.contains("Cert Status: good"), "{text}");
    Ok((answer.this_update, answer.next_update))
}

/// When the certificate's list expires.
fn list(world: &World, issued: &Issued) -> Result<Timestamp, AppError> {
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    let list = world.list(&issuer, issued.serial.bucket() % 4)?;
    Ok(list.next_update)
}

fn grows(world: &World, entries: u64) {
    let began = Instant::now();
    while world.size() < entries {
        assert!(began.elapsed() < Duration::from_secs(60), "{entries} entries");
        sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn is_unwitnessed(error: &AppError) {
    assert_eq!(error.code().as_str(), "unwitnessed", "{error}");
}

/// The domain's news stays fresh for longer than answers hold.
#[test]
fn what_waits_makes_no_answer_hold_longer() {
    let (mut world, bench) = (World::new(), Bench::new());
    let fresh = issued(&world, &bench);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let demand = world.unwitnessed();
    let (world, size) = (&world, world.size());
    std::thread::scope(|scope| {
        let demanded = scope.spawn(move || wait(world.app.submit(&domain(), vec![demand])).map(drop));
        grows(world, size + 1);
        for until in [good(world, &bench).expect("it is fresh").1, list(world, &fresh).expect("it is fresh")] {
            let left = until.millis_since(world.app.clock().now());
            assert!(left > 3_500_000 && left <= 3_600_000, "{left}");
        }
        is_unwitnessed(&demanded.join().expect("ends").expect_err("nobody has cosigned it"));
    });
}

#[test]
fn a_repeated_request_revokes_nothing_twice() {
    let (mut world, bench) = (World::new(), Bench::new());
    let fresh = issued(&world, &bench);
    let demand = world.unwitnessed();
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    let (world, size) = (&world, world.size());
    let revoke = |revoker, reason| match world.revoke(&fresh.serial, revoker, reason).expect_err("it is not shown") {
        CertifyError::App(error) => is_unwitnessed(&error),
        other => panic!("{other}"),
    };
    std::thread::scope(|scope| {
        let demanded = scope.spawn(move || wait(world.app.submit(&domain(), vec![demand])).map(drop));
        grows(world, size + 1);
        let first = scope.spawn(move || revoke(holder, Reason::Superseded));
        grows(world, size + 2);
        let again = [Reason::Superseded, Reason::CessationOfOperation]
            .map(|reason| scope.spawn(move || revoke(holder, reason)));
        again.into_iter().for_each(|asked| asked.join().expect("ends"));
        assert_eq!(world.size(), size + 2);
        let key = scope.spawn(move || revoke(Revoker::Key, Reason::KeyCompromise));
        grows(world, size + 3);
        for asked in [first, key] {
            asked.join().expect("ends");
        }
        is_unwitnessed(&demanded.join().expect("ends").expect_err("nobody has cosigned it"));
    });
}

#[test]
fn what_cannot_be_shown_is_neither_acknowledged_nor_called_good_as_of_now() {
    let (mut world, bench) = (World::new(), Bench::new());
    let fresh = issued(&world, &bench);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let csr = bench.request("late", &[]);
    world.change(|descriptor| descriptor.freshness.default = FRESH);
    let shown = world.app.clock().now();
    let (as_of, until) = good(&world, &bench).expect("all is shown");
    assert!(as_of >= shown && until.millis_since(as_of) == 3_600_000, "{as_of} {until}: as long as answers hold");
    assert!(list(&world, &fresh).expect("all is shown").millis_since(shown) >= 3_600_000);

    let demand = world.unwitnessed();
    let (world, size) = (&world, world.size());
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    std::thread::scope(|scope| {
        let submit = |body| scope.spawn(move || wait(world.app.submit(&domain(), vec![body])).map(drop));
        let demanded = submit(demand);
        grows(world, size + 1);
        let suspended = submit(status(7, &controller(), "security-controller", "suspended", &[]));
        grows(world, size + 2);
        let certified = scope.spawn(|| world.certify(7, "ldevid", &csr).map(drop));
        let revoked = scope.spawn(|| world.revoke(&fresh.serial, holder, Reason::Superseded).map(drop));

        let (as_of, until) = good(world, &bench).expect("it is fresh");
        assert!(as_of <= shown && until.millis_since(as_of) == FRESH * 1000, "{as_of} {until}: as of what is shown");
        let until = list(world, &fresh).expect("it is fresh");
        assert!(until.millis_since(shown) <= FRESH * 1000, "{until}: so is the list");
        sleep(Duration::from_millis(FRESH * 1000));
        assert_eq!(good(world, &bench), Err(OcspError::TryLater), "nothing is known of now");
        assert_eq!(list(world, &fresh).expect_err("nor for a list").code().as_str(), "behind");

        for submitted in [demanded, suspended] {
            is_unwitnessed(&submitted.join().expect("ends").expect_err("nobody has cosigned it"));
        }
        for asked in [certified, revoked] {
            match asked.join().expect("ends").expect_err("nobody has cosigned it") {
                CertifyError::App(error) => is_unwitnessed(&error),
                other => panic!("{other}"),
            }
        }
    });
    assert_eq!(world.size(), size + 3, "what is revoked is in the log, and no certificate that nobody has got");
}

/// An erasure deletes at once, while what it restates is shown with the next cosignature.
#[test]
fn what_revoked_a_certificate_and_was_erased_does_not_bring_it_back() {
    let (mut world, bench) = (World::new(), Bench::new());
    let fresh = issued(&world, &bench);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let csr = bench.request("late", &[]);
    suspend(&world);
    let text = crate::revocation::list(&world, &bench, fresh.serial.bucket() % 4);
    assert!(text.contains("Certificate Hold"), "{text}");
    let erasure = world.app.erasure(Reader::Operator, &domain(), world.size() - 1).expect("it can be erased");
    let (json, now) = (erasure.to_json().expect("JSON"), world.app.clock().now());
    let erasure = make::sign_descriptor(&[&maker()], &json, now, &[1; 32]).expect("signs");
    let demand = world.unwitnessed();
    let (world, size) = (&world, world.size());
    std::thread::scope(|scope| {
        let submit = |body| scope.spawn(move || wait(world.app.submit(&domain(), vec![body])).map(drop));
        let demanded = submit(demand);
        grows(world, size + 1);
        let erased = submit(erasure);
        grows(world, size + 2);
        assert_eq!(good(world, &bench), Err(OcspError::TryLater), "it was suspended");
        assert_eq!(list(world, &fresh).expect_err("it would lack the device").code().as_str(), "behind");
        match world.certify(7, "ldevid", &csr).map(drop).expect_err("it gets no other one") {
            CertifyError::App(error) => assert_eq!(error.code().as_str(), "behind", "{error}"),
            other => panic!("{other}"),
        }
        for submitted in [demanded, erased] {
            is_unwitnessed(&submitted.join().expect("ends").expect_err("nobody has cosigned it"));
        }
    });
}

/// What it said before that, which may have been a revocation, it does not know.
#[test]
fn a_home_that_has_signed_another_log_says_nothing_as_of_now() {
    let (world, bench) = (World::new(), Bench::new());
    let fresh = issued(&world, &bench);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let shown = world.app.clock().now();
    let world = world.forked();
    assert_eq!(world.app.silent(), [domain()]);
    let (as_of, _) = good(&world, &bench).expect("it is fresh");
    assert!(as_of <= shown, "{as_of} {shown}");
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    let list = world.list(&issuer, fresh.serial.bucket() % 4).expect("it is fresh");
    assert!(list.this_update <= shown, "{} {shown}", list.this_update);
}
