//! Requests sent after a bind, before it is answered, are made as the identity that the bind establishes.

use std::sync::Arc;

use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapSearchRequest, LdapSearchScope,
};
use tokio_util::bytes::{BufMut as _, BytesMut};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::super::hot::Hot;
use super::super::search::Place;
use super::super::tree::{Suffix, Tree};
use super::Session;
use super::turns::to_the_end;
use crate::app::App;
use crate::fixture::{OPERATOR_TOKEN, Party, device};
use crate::room::Room;

/// Sends these operations at once; returns how many entries come.
fn entries(session: &mut Session, place: &Place, operations: Vec<LdapOp>) -> usize {
    let (mut bytes, mut codec) = (BytesMut::new(), LdapCodec::new(Some(1 << 24), None));
    for (msgid, op) in (1..).zip(operations) {
        codec.encode(LdapMsg { msgid, op, ctrl: Vec::new() }, &mut bytes).expect("encodes");
    }
    session.receive(&bytes);
    to_the_end(session, place);
    let mut answers = BytesMut::new();
    answers.put_slice(session.output());
    session.output().clear();
    let answers = core::iter::from_fn(|| codec.decode(&mut answers).expect("is LDAP"));
    answers.filter(|answer| matches!(answer.op, LdapOp::SearchResultEntry(_))).count()
}

fn bind(name: &str, password: &str) -> LdapOp {
    LdapOp::BindRequest(LdapBindRequest {
        dn: name.to_owned(),
        cred: LdapBindCred::Simple(password.to_owned()),
        version: 3,
    })
}

fn search(party: &Party, number: u8) -> LdapOp {
    LdapOp::SearchRequest(LdapSearchRequest {
        base: format!("icsDomain={},o=ics", party.domain),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Equality("icsIdentity".to_owned(), device(number).fingerprint().to_string()),
        attrs: vec!["1.1".to_owned()],
    })
}

async fn with_two_hidden_things(party: &Party) -> App {
    let app = party.open();
    for number in [1, 2] {
        party.publish(&app, &device(number), "Pump", &number.to_string()).await;
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_remembered_for_whom_it_was_answered() {
    let party = Party::found_private("devices.acme.example", "principal has node");
    let app = with_two_hidden_things(&party).await;
    let in_step = Room::new(0, 0);
    let place = Arc::new(Place { app, tree: Tree::new(Suffix::default()), has_tls: true, in_step });
    let hot = Arc::new(Hot::new(1 << 20));
    let session = || Session::new(Arc::clone(&place), Arc::clone(&hot), true, None);
    let operator = bind("cn=operator,o=ics", OPERATOR_TOKEN);
    let (mut known, mut stranger) = (session(), session());
    assert!(entries(&mut known, &place, vec![operator.clone(), search(&party, 1)]) > 0, "the operator sees it");
    assert_eq!(entries(&mut stranger, &place, vec![search(&party, 1)]), 0, "and a stranger does not");

    let nobody = bind("", "");
    assert_eq!(entries(&mut known, &place, vec![nobody, search(&party, 2)]), 0, "the party is a stranger now");
    assert_eq!(entries(&mut known, &place, vec![operator]), 0);
    assert!(
        entries(&mut known, &place, vec![search(&party, 2)]) > 0,
        "and nobody has answered in the operator's place"
    );
}
