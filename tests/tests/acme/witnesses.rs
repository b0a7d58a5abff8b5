//! A domain whose witnesses are away.

use serde_json::json;

use crate::client::{Client, first_der};
use crate::support::Server;
use crate::world::{domain, wait};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");

#[test]
fn what_its_witnesses_have_not_cosigned_is_acknowledged_to_nobody() {
    let mut server = Server::start();
    let csr = server.bench.request("device", &[]);
    let certificate = first_der(&Client::thing(&server, 7).certificate(&[URN], &csr).0);
    let demand = server.world.unwitnessed();
    let refused = wait(server.world.app.submit(&domain(), vec![demand])).expect_err("nobody has cosigned it");
    assert_eq!(refused.code().as_str(), "unwitnessed", "{refused}");

    let device = Client::new(&server, 7);
    device.register(&json!({})).is(200);
    let order = device.order(&[URN]).is(201);
    let size = server.world.size();
    let detail = device.finalize(&order, &csr).fails(503, "serverInternal");
    assert!(detail.contains("nothing was issued"), "{detail}");
    assert_eq!(device.read(&order.location()).is(200).json()["status"], "ready", "it can be finalized later");
    assert_eq!(server.world.size(), size);
    let detail = device.revoke(&certificate, Some(4)).fails(503, "serverInternal");
    assert!(detail.contains("have not cosigned that yet"), "{detail}");
    assert_eq!(server.world.size(), size + 1, "it is in the log, and will be shown");
    device.revoke(&certificate, Some(4)).fails(503, "serverInternal");
    assert_eq!(server.world.size(), size + 1, "and not once more for each who asks");
}
