//! What clients may write: statements, and keys in the key space. Everything else follows from these.
//!
//! A log only grows, so no entry is modified or deleted; a statement is taken back by another statement.

use std::sync::Arc;

use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::{LdapAddRequest, LdapResultCode};

use super::message::Failure;
use super::named::entry_of;
use super::search::{Place, failed};
use super::tree::Node;
use super::work::{Working, blocking};
use super::{keyspace, schema};
use crate::api::SubmissionResult;
use crate::api::problem::Code;
use crate::app::Reader;

/// A requested change of the directory.
pub(super) enum Write {
    Add(LdapAddRequest),
    Modify(ldap3_proto::proto::LdapModifyRequest),
    Delete(String),
}

/// Carries out a change if that is possible; holds its place in `work` until then.
pub(super) async fn write(
    place: &Arc<Place>,
    reader: Reader,
    write: Write,
    work: Working,
) -> Result<LdapResultCode, Failure> {
    let write = match write {
        Write::Add(request) => match place.tree.node(&request.dn)? {
            Node::Statement(domain, identity, statement) => {
                return add(place, reader, request, &domain, (&identity, &statement), work).await;
            }
            _ => Write::Add(request),
        },
        other => other,
    };
    keyspace::write(place, reader, write, work).await
}

/// Submits the statement in `icsBody`. Its signature and the domain's policy decide, not who sends it; all other
/// attributes follow from it and are not read.
async fn add(
    place: &Arc<Place>,
    reader: Reader,
    request: LdapAddRequest,
    domain: &DomainName,
    (identity, statement): (&str, &str),
    work: Working,
) -> Result<LdapResultCode, Failure> {
    let is_body = |name: &str| schema::attribute(name) == Some(&schema::BODY);
    let sent = request.attributes.into_iter().find(|attribute| is_body(&attribute.atype));
    let missing =
        || Failure::new(LdapResultCode::ObjectClassViolation, "there is no icsBody: the rest follows from it");
    let body = sent.and_then(|attribute| attribute.vals.into_iter().next()).ok_or_else(missing)?;
    let malformed = |text: String| Failure::new(LdapResultCode::InvalidAttributeSyntax, text);
    let said = match body::parse(&body).map_err(|error| malformed(error.to_string()))? {
        Body::Statement(said) => (said.identity().to_string(), said.id().to_string()),
        _ => return Err(malformed("it is not a statement".to_owned())),
    };
    if said != (identity.to_owned(), statement.to_owned()) {
        let text = format!("the name is not that of the statement: {} about {}", said.1, said.0);
        return Err(Failure::new(LdapResultCode::NamingViolation, text));
    }
    let node = Node::Statement(domain.clone(), said.0, said.1);
    if blocking(place, move |place| entry_of(place, reader, &node)).await?.is_some() {
        return Err(Failure::new(LdapResultCode::EntryAlreadyExists, ""));
    }
    let mut sender = work.sender(&place.app, reader);
    let submitted = place.app.submit_from(&mut sender, domain, vec![body]).await;
    let results = submitted.map_err(|error| failed(&error))?.results;
    match results.into_iter().next() {
        // A statement that waits for its domain's home is on disk here; LDAP has no result code for that.
        Some(SubmissionResult::Receipt(_) | SubmissionResult::Pending(_)) => Ok(LdapResultCode::Success),
        Some(SubmissionResult::Problem(problem)) if problem.code() == Code::Busy.as_str() => {
            Err(Failure::new(LdapResultCode::Busy, problem.detail))
        }
        Some(SubmissionResult::Problem(problem)) => {
            Err(Failure::new(LdapResultCode::InsufficentAccessRights, problem.detail))
        }
        None => Err(Failure::new(LdapResultCode::Other, "")),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ldap3_proto::proto::LdapPartialAttribute;
    use tokio::sync::Semaphore;

    use super::super::session::turns::frugal_peer;
    use super::super::tree::{Suffix, Tree};
    use super::*;
    use crate::app::Forwards;
    use crate::fixture::{Party, device};
    use crate::room::Room;

    fn work() -> Working {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
        Working { place: (place, None), network: None, forwards: Arc::new(Forwards::new(0)) }
    }

    /// The name of a statement's entry.
    fn dn(party: &Party, body: &[u8]) -> String {
        let Ok(Body::Statement(said)) = body::parse(body) else { panic!("a statement") };
        format!("icsStatement={},icsIdentity={},icsDomain={},o=ics", said.id(), said.identity(), party.domain)
    }

    fn added(dn: &str, body: &[u8]) -> Write {
        let attributes = vec![LdapPartialAttribute { atype: "icsBody".to_owned(), vals: vec![body.to_vec()] }];
        Write::Add(LdapAddRequest { dn: dn.to_owned(), attributes })
    }

    /// What is sent to the key space counts, as over HKP; what a spent budget must not keep out is a block.
    #[tokio::test(flavor = "multi_thread")]
    async fn keys_count_in_the_budget_of_a_peer_and_statements_do_not() {
        let peer = frugal_peer();
        let reader = Reader::Key(peer.pin().expect("a key"));
        let party = Party::found("devices.acme.example");
        let app = party.open_for(vec![peer]);
        party.publish(&app, &device(1), "Pump", "L1").await;
        let body = party.introduce(&app, &device(2), "Pump", "L2");
        let tree = Tree::new(Suffix::default());
        let place = Arc::new(Place { app, tree, has_tls: true, in_step: Room::new(2, 2) });
        let nobody = || Write::Delete("pgpCertID=0123456789ABCDEF,ou=PGP Keys,o=ics".to_owned());
        // One request, and one that it may make in advance.
        for code in [LdapResultCode::NoSuchObject, LdapResultCode::NoSuchObject, LdapResultCode::Busy] {
            let failure = write(&place, reader, nobody(), work()).await.expect_err("refused");
            assert_eq!(failure.code, code);
        }
        let written = write(&place, reader, added(&dn(&party, &body), &body), work()).await;
        assert_eq!(written, Ok(LdapResultCode::Success));
    }

    /// Threads that serve sockets never wait for the store: while the one blocking thread is busy, changes wait.
    #[test]
    fn what_a_change_is_about_is_looked_up_on_a_thread_that_may_block() {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(1).max_blocking_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (party, app) = Party::opened();
            let body = party.introduce(&app, &device(1), "Pump", "L1");
            party.submit_one(&app, body.clone()).await.expect("admitted");
            let statement = dn(&party, &body);
            let tree = Tree::new(Suffix::default());
            let place = Arc::new(Place { app, tree, has_tls: false, in_step: Room::new(2, 2) });
            let changes = || {
                let key = "pgpCertID=0123456789ABCDEF,ou=PGP Keys,o=ics".to_owned();
                let again = added(&statement, &body);
                [(Write::Delete(key), LdapResultCode::NoSuchObject), (again, LdapResultCode::EntryAlreadyExists)]
            };
            let (release, held) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || held.recv());
            for (change, _) in changes() {
                assert_eq!(write(&place, Reader::Anonymous, change, work()).now_or_never(), None);
            }
            drop(release);
            assert!(busy.await.expect("ends").is_err(), "nothing was sent");
            for (change, code) in changes() {
                let failure = write(&place, Reader::Anonymous, change, work()).await.expect_err("refused");
                assert_eq!(failure.code, code);
            }
        });
    }
}
