use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Data;
use futures_util::FutureExt as _;

use super::*;
use crate::fixture::{OPERATOR_TOKEN, Party};
use crate::http::request::WHENCE;
use crate::shares;

/// A gateway's question is not kept waiting by what takes longer, nor is that ended with its client's patience.
#[tokio::test(flavor = "multi_thread")]
async fn brief_work_is_done_at_once_unless_gateways_ask_here() {
    let face = Face::new(Party::found("devices.acme.example").open(), &Settings::default());
    let here = || std::thread::current().id();
    let worked = async {
        let own = here();
        let is_done_here = async || face.at_once(async move { here() == own }).await.expect("is done");
        assert!(is_done_here().await);
        let (ended, told) = tokio::sync::oneshot::channel();
        let work = async move {
            tokio::task::yield_now().await;
            ended.send(()).expect("is awaited");
        };
        let mut given_up = Box::pin(face.at_once(work));
        assert!((&mut given_up).now_or_never().is_none(), "it has only begun");
        drop(given_up);
        told.await.expect("it ends all the same");
        // Gateways that identify themselves are answered by the routes.
        face.hot(None, |_, _| Ok(Some(()))).await.expect("an answer");
        assert!(background::is_spared() && !is_done_here().await);
    };
    tokio::task::LocalSet::new().run_until(worked).await;
}

fn from(address: &str) -> HttpRequest {
    TestRequest::default().peer_addr(address.parse().expect("an address")).to_http_request()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_places_to_others_however_few_there_are() {
    let settings = Settings { max_connections: 64, workers: Some(1), ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    let one = from("192.0.2.1:9");
    let bodies: Vec<_> = (0..100).map_while(|_| face.upload(&one).ok()).collect();
    let listening: Vec<_> = (0..100).map_while(|_| face.listen(&one, Reader::Anonymous).ok()).collect();
    assert_eq!((bodies.len(), listening.len()), (2, 4), "of one network");
    drop((bodies, listening));

    let networks: Vec<HttpRequest> = (0..100).map(|number| from(&format!("10.0.0.{number}:9"))).collect();
    let bodies: Vec<_> = networks.iter().map_while(|it| face.upload(it).ok()).collect();
    let listening: Vec<_> = networks.iter().map_while(|it| face.listen(it, Reader::Anonymous).ok()).collect();
    let working: Vec<_> = (0..100).map_while(|_| face.under_way().ok()).collect();
    let asking: Vec<_> = (0..100).map_while(|_| face.place_to_ask(Asker::Address(None)).ok()).collect();
    let bodies_here: Vec<_> = (0..100).map_while(|_| face.upload(&from("127.0.0.1:9")).ok()).collect();
    let [here, elsewhere] = &face.decisions;
    let deciding: Vec<_> = (0..100).map_while(|number| elsewhere.take(true, Some(number)).ok()).collect();
    let deciding_here: Vec<_> = (0..100).map_while(|_| here.take(true, None).ok()).collect();
    let counts = [bodies.len(), listening.len(), working.len(), asking.len(), deciding.len(), deciding_here.len()];
    assert_eq!(counts, [7, 14, 14, 7, 2, 2], "of all");
    assert_eq!(bodies_here.len(), 1, "what strangers elsewhere send leaves a place to this machine");
    // As many submissions as bodies may wait for other nodes besides.
    assert!(counts.iter().sum::<usize>() + bodies.len() + bodies_here.len() < settings.places());
    assert!(face.listen(&one, Reader::Operator).is_ok(), "who is known has places beside theirs");
    assert!(face.place_to_ask(Asker::Own).is_ok());

    let watch = |who: &HttpRequest| face.watched(who, limits::WATCHED_THINGS).ok();
    let watched: Vec<_> = (0..100).map_while(|_| watch(&one)).collect();
    assert_eq!(watched.len(), limits::WATCHED_PER_READER / limits::WATCHED_THINGS / 4);
    assert!(watch(&networks[0]).is_some(), "no network watches in the place of all");
}

/// A few hosts that send slowly would else keep all others from sending anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_network_that_sends_most_makes_room_until_all_has_arrived() {
    let settings = Settings { max_uploads: 8, ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    let seats = Arc::new(Seats::new("test", 99));
    let upload = async |host: [u8; 4]| {
        let request = TestRequest::default().peer_addr((host, 9).into()).to_http_request();
        let (seat, _cut) = seats.take(host.into()).expect("room");
        everybody::in_seat(seat, async { face.upload(&request).ok() }).await
    };
    let mut slow = Vec::new();
    for host in 1..=4 {
        slow.push(upload([192, 0, 2, host]).await.expect("a place"));
        slow.push(upload([192, 0, 2, host]).await.expect("another"));
        assert!(upload([192, 0, 2, host]).await.is_none(), "its network has its part");
    }
    let _newcomer = upload([198, 51, 100, 1]).await.expect("one of those who have two makes room");
    let senders: Vec<_> = slow.into_iter().map(|place| face.sender(&from("192.0.2.1:9"), place)).collect();
    assert!(upload([198, 51, 100, 2]).await.is_none(), "what has arrived makes no room, nor who has as little");
    drop(senders);
    assert!(upload([198, 51, 100, 2]).await.is_some(), "all is given back");
}

/// The work of one client may take long, and there is never a queue.
#[tokio::test(flavor = "multi_thread")]
async fn one_network_has_half_of_the_places_for_work() {
    let settings = Settings { max_work: 8, ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    let work_of = async |is_stranger: bool, network: Option<u64>| {
        let work = async { (0..100).map_while(|_| face.under_way().ok()).collect::<Vec<_>>() };
        WHENCE.scope((is_stranger, network), work).await
    };
    let first = work_of(true, Some(1)).await;
    assert_eq!(first.len(), 4);
    assert_eq!(work_of(true, Some(2)).await.len(), 4, "others have the rest");
    drop(first);
    let all = work_of(true, None).await;
    assert_eq!(all.len(), 8, "many are behind a proxy");
    assert_eq!(work_of(false, Some(1)).await.len(), 1, "who is known has more");
}

/// Otherwise two networks whose work waits for its turn would have all places, and nobody else would be answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_leaves_places_to_others() {
    let settings = Settings { max_work: 32, ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    let wait = async |network: u64| {
        let waits = async { (0..100).map_while(|_| face.in_line().ok()).collect::<Vec<_>>() };
        WHENCE.scope((true, Some(network)), waits).await
    };
    let mut waiting = Vec::new();
    for (network, count) in [(1, 4), (2, 4), (3, 4), (4, 4), (5, 0)] {
        let its = wait(network).await;
        assert_eq!(its.len(), count, "of network {network}");
        waiting.extend(its);
    }
    let others: Vec<_> = (0..100).map_while(|_| face.under_way().ok()).collect();
    assert_eq!(others.len(), 16, "what needs no turn has the other half");
    let known = WHENCE.scope((false, None), async { face.in_line().is_ok() });
    assert!(known.await, "who is known has places beside theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_answered_however_much_is_under_way() {
    let settings = Settings { max_work: 8, ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    let all: Vec<_> = (0..100).map_while(|_| face.under_way().ok()).collect();
    let [here, elsewhere] = &face.decisions;
    let elsewhere: Vec<_> = (0..100).map_while(|number| elsewhere.take(true, Some(number)).ok()).collect();
    assert_eq!(face.blocking(|_| Ok(())).await.expect_err("there is no place").problem().status, 503);
    face.decide(|_| Ok(())).await.expect("has a place of its own");
    let here: Vec<_> = (0..100).map_while(|_| here.take(true, None).ok()).collect();
    assert_eq!((here.len(), elsewhere.len()), (1, 1), "what comes from elsewhere leaves a place to this machine");
    assert_eq!(face.decide(|_| Ok(())).await.expect_err("there is no more").problem().status, 503);
    drop(all);
    face.decide(|_| Ok(())).await.expect("has one of all as well");
}

/// Also behind a proxy, where all have the address of one connection.
#[test]
fn who_sends_a_request_is_known_while_it_is_served() {
    let mut settings = Settings { max_work: 8, ..Settings::default() };
    settings.pages.trusted_proxies = vec![[192, 0, 2, 9].into()];
    let face = Data::new(Face::new(Party::found("devices.acme.example").open(), &settings));
    actix_web::rt::System::new().block_on(is_known_while_served(&face));
}

async fn is_known_while_served(face: &Data<Face>) {
    let work = |face: Data<Face>| async move { face.under_way().map(|_| HttpResponse::Ok().finish()) };
    let route = web::get().to(work);
    let service = actix_web::App::new().app_data(Data::clone(face)).route("/", route);
    let service = init_service(service.wrap(from_fn(crate::http::watch::watch))).await;
    let status = async |headers: &[(&'static str, &str)]| {
        let request = TestRequest::get().uri("/").peer_addr(([192, 0, 2, 9], 9).into());
        let request = headers.iter().fold(request, |request, header| request.insert_header(*header));
        call_service(&service, request.to_request()).await.status().as_u16()
    };
    let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|of| shares::network(of.into()));
    let work = async { (0..4).map_while(|_| face.under_way().ok()).collect::<Vec<_>>() };
    let _first = WHENCE.scope((true, Some(one)), work).await;
    assert_eq!(status(&[("x-forwarded-for", "192.0.2.1")]).await, 503, "its network has half");
    assert_eq!(status(&[("x-forwarded-for", "192.0.2.2")]).await, 200);
    let work = async { (0..4).map_while(|_| face.under_way().ok()).collect::<Vec<_>>() };
    let _second = WHENCE.scope((true, Some(other)), work).await;
    assert_eq!(status(&[]).await, 503, "strangers have all that is theirs");
    let token = format!("Bearer {OPERATOR_TOKEN}");
    assert_eq!(status(&[("authorization", token.as_str())]).await, 200, "who is known finds a place");
}

/// Each takes several times its megabytes while it is made.
#[tokio::test(flavor = "multi_thread")]
async fn few_pages_are_made_at_once() {
    let settings = Settings { workers: Some(1), ..Settings::default() };
    let face = Face::new(Party::found("devices.acme.example").open(), &settings);
    for (what, at_once) in [(Heavy::Page, 2), (Heavy::Record, 4), (Heavy::Proof, 1), (Heavy::Attestation, 2)] {
        let turns = face.all_turns(what);
        let mut waits = Box::pin(face.heavy(what, (), |_| Ok(())));
        assert!((&mut waits).now_or_never().is_none());
        let known = WHENCE.scope((false, None), face.heavy(what, (), |_| Ok(())));
        known.await.expect("who is known does not wait for strangers");
        drop(turns);
        let left = || face.turns(what).each_ref().map(Turns::left);
        assert_eq!(left(), [at_once, at_once - 1], "the other one is for whoever waits");
        waits.await.expect("is made");
        assert_eq!(left(), [at_once; 2], "and is given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_whole_record_waits_for_its_turn() {
    let face = Face::new(Party::found("devices.acme.example").open(), &Settings::default());
    let turns = face.all_turns(Heavy::Record);
    let mut waits = Box::pin(face.record(|_| Ok("all of it")));
    assert!((&mut waits).now_or_never().is_none());
    drop(turns);
    assert_eq!(waits.await.expect("is made").status(), 200);
}

/// Otherwise whoever was let go often enough would have all seats.
#[tokio::test]
async fn a_listener_that_is_let_go_keeps_no_seat() {
    let seats = Arc::new(Seats::new("test", 1));
    let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
    let is_room = || seats.take([192, 0, 2, 2].into()).is_some();
    let listens = async {
        let listening = Listening::at(Room::new(1, 0).take(false, None).expect("a place"));
        assert!(!is_room());
        // It ends in the task that makes the events, while its connection goes on.
        tokio::spawn(async move { drop(listening) }).await.expect("ends");
        assert!(is_room());
    };
    everybody::in_seat(seat, listens).await;
}
