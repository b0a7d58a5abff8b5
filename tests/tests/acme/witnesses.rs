//! A domain whose witnesses are away.

use serde_json::json;

use crate::client::{Client, first_der};
use crate::support::{Server, eventually};
use crate::world::{domain, wait};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");

/// Whoever asks waits for the witnesses until they are given up, so here several ask at the same time.
#[test]
fn what_its_witnesses_have_not_cosigned_is_acknowledged_to_nobody() {
    let mut server = Server::start();
    let csr = server.bench.request("device", &[]);
    let certificate = first_der(&Client::thing(&server, 7).certificate(&[URN], &csr).0);
    let demand = server.world.unwitnessed();
    let (server, size) = (&server, server.world.size());
    let device = || {
        let device = Client::new(server, 7);
        device.register(&json!({})).is(200);
        device
    };
    let revoke = || {
        let detail = device().revoke(&certificate, Some(4)).fails(503, "serverInternal");
        assert!(detail.contains("have not cosigned that yet"), "{detail}");
    };
    std::thread::scope(|scope| {
        let demanded = scope.spawn(move || wait(server.world.app.submit(&domain(), vec![demand])).map(drop));
        eventually("it is in the log", || server.world.size() == size + 1);
        let device = device();
        let order = device.order(&[URN]).is(201);
        let detail = device.finalize(&order, &csr).fails(503, "serverInternal");
        assert!(detail.contains("nothing was issued"), "{detail}");
        assert_eq!(device.read(&order.location()).is(200).json()["status"], "ready", "it can be finalized later");
        assert_eq!(server.world.size(), size + 1);
        let refused = demanded.join().expect("ends").expect_err("nobody has cosigned it");
        assert_eq!(refused.code().as_str(), "unwitnessed", "{refused}");

        let revoked = scope.spawn(revoke);
        eventually("it is in the log, and will be shown", || server.world.size() == size + 2);
        revoke();
        revoked.join().expect("ends");
        assert_eq!(server.world.size(), size + 2, "and not once more for each who asks");
    });
}
