//! HTTP and LDAP cannot disagree: generated questions are put to both faces of one node by the same readers.
//!
//! After every new statement, HTTP is asked for everything that the questions are about. LDAP is asked 100,000 times in
//! all, through its session without a socket, and mostly for what it has answered before, as clients do. The log grows
//! between rounds, so an answer that is remembered too long is found out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::identity::Kind;
use ics_core::statement::make::{certify, sign_document};
use ics_core::statement::{Claims, Group, Subject};
use ics_core::vocabulary::{Act, Attribute};
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapCompareRequest, LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapResultCode,
    LdapSearchRequest, LdapSearchResultEntry, LdapSearchScope,
};
use reqwest::Client;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::hot::Hot;
use super::search::Place;
use super::session::{Next, Session};
use super::tree::{Suffix, Tree};
use crate::api::{IdentityPage, RecordAnswer, SubmissionResult};
use crate::app::App;
use crate::fixture::{OPERATOR_TOKEN, Party, SALT, claims, device, word};
use crate::http;
use crate::room::Room;

/// The total number of questions.
const QUESTIONS: usize = 100_000;
/// Rounds of questions; the log grows between them.
const ROUNDS: usize = 10;
const DEVICES: u8 = 14;
const LOTS: [&str; 3] = ["open-1", "open-2", "secret"];
const STATUSES: [&str; 3] = ["in-use", "stolen", "suspended"];

/// One reader, and what each face says to it.
struct Reader {
    token: Option<&'static str>,
    session: Session,
    records: BTreeMap<String, Option<RecordAnswer>>,
    lists: BTreeMap<(Option<usize>, Option<usize>), BTreeSet<String>>,
}

/// A question that both faces can answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Entry(u8),
    ById(u8),
    ByName(u8),
    Statements(u8),
    List(Option<usize>, Option<usize>),
    HasStatus(u8, usize),
}

fn id(number: u8) -> String {
    device(number).fingerprint().to_string()
}

fn name(number: u8) -> String {
    format!("serial:SN-{number}")
}

/// A deterministic generator of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn question(&mut self) -> Question {
        // Two more than there are devices: unknown things are asked for as well.
        let number = self.below(usize::from(DEVICES) + 2) as u8;
        let maybe = |numbers: &mut Self, bound: usize| Some(numbers.below(bound + 1)).filter(|at| *at < bound);
        match self.below(8) {
            0 | 1 => Question::Entry(number),
            2 | 3 => Question::ById(number),
            4 => Question::ByName(number),
            5 => Question::Statements(number),
            6 => Question::List(maybe(self, LOTS.len()), maybe(self, STATUSES.len())),
            _ => Question::HasStatus(number, self.below(STATUSES.len())),
        }
    }
}

impl Reader {
    fn new(place: &Arc<Place>, hot: &Arc<Hot>, token: Option<&'static str>) -> Self {
        let session = Session::new(Arc::clone(place), Arc::clone(hot), true, None);
        let mut reader = Self { token, session, records: BTreeMap::new(), lists: BTreeMap::new() };
        if let Some(token) = token {
            let bind = LdapBindRequest {
                version: 3,
                dn: "cn=operator,o=ics".to_owned(),
                cred: LdapBindCred::Simple(token.to_owned()),
            };
            let (_, answer) = reader.ldap(place, LdapOp::BindRequest(bind));
            assert!(matches!(answer, LdapOp::BindResponse(answer) if answer.res.code == LdapResultCode::Success));
        }
        reader
    }

    /// Asks the session, which must answer with entries followed by one result.
    fn ldap(&mut self, place: &Place, op: LdapOp) -> (Vec<LdapSearchResultEntry>, LdapOp) {
        let mut codec = LdapCodec::new(Some(1 << 24), None);
        let mut bytes = Default::default();
        codec.encode(LdapMsg::new(7, op), &mut bytes).expect("encodes");
        self.session.receive(&bytes);
        loop {
            match self.session.next() {
                Next::Job(job) => self.session.done(job.block(place)),
                Next::Wait => break,
                _ => panic!("neither work nor the end of it"),
            }
        }
        bytes.clear();
        bytes.extend_from_slice(self.session.output());
        self.session.output().clear();
        let mut entries = Vec::new();
        loop {
            match codec.decode(&mut bytes).expect("is LDAP").expect("a result").op {
                LdapOp::SearchResultEntry(entry) => entries.push(entry),
                result => {
                    assert!(bytes.is_empty(), "one result, at the end");
                    return (entries, result);
                }
            }
        }
    }

    fn search(&mut self, place: &Place, base: &str, scope: LdapSearchScope, filter: LdapFilter) -> Found {
        let request = LdapSearchRequest {
            base: base.to_owned(),
            scope,
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 0,
            typesonly: false,
            filter,
            attrs: Vec::new(),
        };
        match self.ldap(place, LdapOp::SearchRequest(request)) {
            (entries, LdapOp::SearchResultDone(result)) => (result.code, entries),
            (_, other) => panic!("{other:?}"),
        }
    }

    /// Asks HTTP for everything that the questions are about.
    async fn ask_http(&mut self, client: &Client, url: &str) {
        let get = async |path: String| {
            let mut request = client.get(format!("{url}{path}"));
            if let Some(token) = self.token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.expect("answers");
            (answer.status().as_u16(), answer.bytes().await.expect("a body"))
        };
        let mut records = BTreeMap::new();
        for number in 0..DEVICES + 2 {
            for query in [id(number), name(number)] {
                let record = match get(format!("/identities/{query}")).await {
                    (200, body) => Some(serde_json::from_slice(&body).expect("a record")),
                    (404, _) => None,
                    (status, _) => panic!("{status} for {query}"),
                };
                records.insert(query, record);
            }
        }
        let mut lists = BTreeMap::new();
        let all = |words: &[&str]| (0..words.len()).map(Some).chain([None]).collect::<Vec<_>>();
        for lot in all(&LOTS) {
            for status in all(&STATUSES) {
                let mut path = "/identities?kind=device&limit=500".to_owned();
                path += &lot.map(|at| format!("&lot={}", LOTS[at])).unwrap_or_default();
                path += &status.map(|at| format!("&status={}", STATUSES[at])).unwrap_or_default();
                let (code, body) = get(path).await;
                assert_eq!(code, 200);
                let page: IdentityPage = serde_json::from_slice(&body).expect("a page");
                assert_eq!(page.next, None);
                lists.insert((lot, status), page.items.into_iter().map(|item| item.id).collect());
            }
        }
        (self.records, self.lists) = (records, lists);
    }

    /// Asks LDAP and compares its answer with what HTTP said.
    fn compare(&mut self, place: &Place, domain: &str, question: &Question) {
        let base = format!("icsDomain={domain},o=ics");
        let entry = |number: u8| format!("icsIdentity={},{base}", id(number));
        let equals = |name: &str, value: &str| LdapFilter::Equality(name.to_owned(), value.to_owned());
        let present = || LdapFilter::Present("objectClass".to_owned());
        match question {
            Question::Entry(number) => {
                let (code, found) = self.search(place, &entry(*number), LdapSearchScope::Base, present());
                let record = &self.records[&id(*number)];
                let expected = if record.is_some() { LdapResultCode::Success } else { LdapResultCode::NoSuchObject };
                assert_eq!(code, expected, "{question:?}");
                same(question, record.as_ref(), &found);
            }
            Question::ById(number) => {
                let filter = equals("icsIdentity", &id(*number));
                let (_, found) = self.search(place, &base, LdapSearchScope::Subtree, filter);
                same(question, self.records[&id(*number)].as_ref(), &found);
            }
            Question::ByName(number) => {
                let filter = equals("icsName", &name(*number));
                let (_, found) = self.search(place, "o=ics", LdapSearchScope::Subtree, filter);
                same(question, self.records[&name(*number)].as_ref(), &found);
            }
            Question::Statements(number) => {
                let (_, found) = self.search(place, &entry(*number), LdapSearchScope::OneLevel, present());
                let of = |entry: &LdapSearchResultEntry| {
                    (value(entry, "icsStatement").unwrap_or_default(), value(entry, "icsStanding").unwrap_or_default())
                };
                let found: BTreeSet<(String, String)> = found.iter().map(of).collect();
                let record = self.records[&id(*number)].as_ref();
                let said = record.iter().flat_map(|answer| &answer.record.statements);
                let expected: BTreeSet<(String, String)> = said
                    .filter(|said| said.by.group.is_none())
                    .map(|said| {
                        let standing = serde_json::to_value(said.standing).expect("a word");
                        (said.by.statement.to_string(), standing.as_str().expect("text").to_owned())
                    })
                    .collect();
                assert_eq!(found, expected, "{question:?}");
            }
            Question::List(lot, status) => {
                let mut terms = vec![equals("icsKind", "device")];
                terms.extend(lot.map(|at| equals("icsLot", LOTS[at])));
                terms.extend(status.map(|at| equals("icsStatus", STATUSES[at])));
                let (code, found) = self.search(place, &base, LdapSearchScope::OneLevel, LdapFilter::And(terms));
                assert_eq!(code, LdapResultCode::Success);
                let found: BTreeSet<String> = found.iter().filter_map(|entry| value(entry, "icsIdentity")).collect();
                assert_eq!(found, self.lists[&(*lot, *status)], "{question:?}");
            }
            Question::HasStatus(number, status) => {
                let request = LdapCompareRequest {
                    dn: entry(*number),
                    atype: "icsStatus".to_owned(),
                    val: STATUSES[*status].as_bytes().to_vec(),
                };
                let (_, result) = self.ldap(place, LdapOp::CompareRequest(request));
                let LdapOp::CompareResult(result) = result else { panic!("{result:?}") };
                let known = self.records[&id(*number)].as_ref().map(|it| it.record.status.as_ref());
                let expected = match known.map(|status| status.map(|status| status.decides.name.to_string())) {
                    None => LdapResultCode::NoSuchObject,
                    Some(None) => LdapResultCode::NoSuchAttribute,
                    Some(Some(name)) if name == STATUSES[*status] => LdapResultCode::CompareTrue,
                    Some(Some(_)) => LdapResultCode::CompareFalse,
                };
                assert_eq!(result.code, expected, "{question:?}");
            }
        }
    }
}

type Found = (LdapResultCode, Vec<LdapSearchResultEntry>);

fn values(entry: &LdapSearchResultEntry, name: &str) -> BTreeSet<String> {
    let held = entry.attributes.iter().filter(|attribute| attribute.atype == name).flat_map(|it| &it.vals);
    held.map(|value| String::from_utf8(value.clone()).expect("text")).collect()
}

fn value(entry: &LdapSearchResultEntry, name: &str) -> Option<String> {
    values(entry, name).into_iter().next()
}

/// Asserts that the entry says what the record says, or that both are absent.
fn same(question: &Question, record: Option<&RecordAnswer>, found: &[LdapSearchResultEntry]) {
    let (record, entry) = match (record, found) {
        (None, []) => return,
        (Some(record), [entry]) => (record, entry),
        other => panic!("{question:?}: {other:?}"),
    };
    let (as_of, record) = (&record.as_of, &record.record);
    let text = |name: &str| value(entry, name);
    let status = record.status.as_ref().map(|status| &status.decides);
    assert_eq!(text("icsIdentity"), Some(record.identity.id.to_string()), "{question:?}");
    assert_eq!(text("icsKind"), Some(record.identity.kind.to_string()), "{question:?}");
    assert_eq!(text("cn"), Some(record.title.clone()), "{question:?}");
    assert_eq!(text("icsStatus"), status.map(|it| it.name.to_string()), "{question:?}");
    assert_eq!(text("icsEffect"), Some(record.effect().to_string()), "{question:?}");
    assert_eq!(text("icsReason"), status.and_then(|it| it.reason.clone()), "{question:?}");
    assert_eq!(text("icsStatusBy"), status.map(|it| it.by.signer.to_string()), "{question:?}");
    assert_eq!(text("icsAsOfSize"), Some(as_of.size.to_string()), "{question:?}");
    let names: BTreeSet<String> = record.names.iter().map(|it| it.value.to_string()).collect();
    assert_eq!(values(entry, "icsName"), names, "{question:?}");
    let lots = record.attributes.get(&Attribute::Lot).into_iter().flatten();
    assert_eq!(values(entry, "icsLot"), lots.map(|it| it.value.clone()).collect(), "{question:?}");
    let vouched: BTreeSet<String> = record.vouched.iter().map(|it| it.signer.to_string()).collect();
    assert_eq!(values(entry, "icsVouchedBy"), vouched, "{question:?}");
}

/// Makes a status statement about one device, or about all devices of a lot.
fn status(party: &Party, app: &App, numbers: &mut Numbers) -> Vec<u8> {
    let name = STATUSES[numbers.below(STATUSES.len())];
    let said = Claims { status: Some(word(name)), reason: Some("so it is".to_owned()), ..claims(party, Act::Status) };
    let at = app.clock().now();
    if numbers.below(4) == 0 {
        let attributes = BTreeMap::from([(Attribute::Lot, LOTS[numbers.below(LOTS.len())].to_owned())]);
        let group = Subject::Group(Group { kind: Kind::Group, name: "a lot".to_owned(), attributes });
        return sign_document(&party.signer, &group, &said, at, &SALT).expect("made");
    }
    let number = numbers.below(usize::from(DEVICES)) as u8;
    let revokes = name != "in-use";
    let user_id = format!("Device {number}");
    certify(&party.signer, &device(number), &user_id, None, Kind::Device, &said, revokes, at, &SALT).expect("made")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_faces_say_the_same() {
    let party = Party::found_private("devices.acme.example", "resource has lot && resource.lot like \"open-*\"");
    let app = party.open();
    for number in 0..DEVICES {
        let lot = LOTS[usize::from(number) % LOTS.len()];
        let said = Claims {
            names: vec![word(&name(number))],
            attributes: BTreeMap::from([(Attribute::Lot, lot.to_owned())]),
            ..claims(&party, Act::Identity)
        };
        let (key, user_id) = (device(number), format!("Device {number}"));
        let body = certify(&party.signer, &key, &user_id, None, Kind::Device, &said, false, app.clock().now(), &SALT);
        party.submit_one(&app, body.expect("made")).await.expect("admitted");
    }
    let settings = http::Settings {
        listen: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))],
        workers: Some(1),
        ..http::Settings::default()
    };
    let server = http::serve(app.clone(), &settings).expect("serves");
    let url = format!("http://{}/v1/domains/{}", server.addresses()[0], party.domain);
    let _serving = tokio::spawn(server.run(std::future::pending::<()>()));
    let in_step = Room::new(0, 0);
    let tree = Tree::new(Suffix::default());
    let place = Arc::new(Place { app: app.clone(), tree, has_tls: true, in_step });
    let (hot, client) = (Arc::new(Hot::new(1 << 24)), Client::new());
    let mut readers = [None, Some(OPERATOR_TOKEN)].map(|token| Reader::new(&place, &hot, token));
    let mut numbers = Numbers(1);
    let (mut seen, mut hidden) = (0, 0);
    for _ in 0..ROUNDS {
        let results = app.submit(&party.domain, vec![status(&party, &app, &mut numbers)]).await.expect("a batch");
        assert!(matches!(results.results.as_slice(), [SubmissionResult::Receipt(_)]), "{results:?}");
        for reader in &mut readers {
            reader.ask_http(&client, &url).await;
        }
        seen += readers.iter().flat_map(|it| it.records.values()).filter(|it| it.is_some()).count();
        hidden += readers[0].records.values().filter(|it| it.is_none()).count();
        tokio::task::block_in_place(|| {
            for asked in 0..QUESTIONS / ROUNDS {
                let question = numbers.question();
                readers[asked % 2].compare(&place, party.domain.as_str(), &question);
            }
        });
    }
    assert!(seen > 0 && hidden > 0, "some may be read, some may not");
}
