//! A manufacturer's domain that issues certificates: a root, an issuing authority below it, and one device.

// Other tests include this file by path; its modules must still be found.
#[path = "world/changed.rs"]
mod changed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{
    CertificateProfile, Certificates, Descriptor, Issuer, NodeKey, OwnerKey, Owners, RoleSpec, Template, TemplateInput,
    Witnesses,
};
use ics_core::identity::{IdentityId, Kind};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::{Claims, Grant, Group, StatementId, Subject, make, split};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, CertificateUse, DomainName, KeyType, ProfileName, Requirement, Role};
use ics_node::api::SubmissionResult;
use ics_node::app::{
    AcmeSetup, App, AppError, Application, CertifyError, Clock, Issued, IssuerKey, Listing, NodeKeys, Reader,
    Requester, Revoker, Setup, SignedList,
};
use ics_node::store::StoreError;
use ics_node::x509::{
    Authority, Constraints, NewAuthority, Reason, RevocationList, SerialNumber, ca_request, issue_authority,
};
use sequoia_openpgp::Cert;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, UnspecifiedRole};
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::serialize::SerializeInto as _;
use sequoia_openpgp::types::{Curve, ReasonForRevocation};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const DOMAIN: &str = "devices.acme.example";
const NODE: &str = "ics.acme.example";
pub(crate) const TOKEN: &str = "only for operators";
pub(crate) const CREATED: Timestamp = Timestamp::from_seconds(1_767_225_600);
const DAY: u64 = 86_400_000;

/// The use cases of a node, the directory of its data, and the signers.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) root: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) key: IssuerKey,
    pub(crate) descriptor: Descriptor,
    root_key: Arc<dyn Signer + Send + Sync>,
    _directory: TempDir,
}

pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, CREATED).expect("a key")
}

/// The signer who speaks for the manufacturer and owns the domain.
pub(crate) fn maker() -> Ed25519Signer {
    signer(1)
}

/// The security controller of the devices.
pub(crate) fn controller() -> Ed25519Signer {
    signer(2)
}

/// The owner of the devices.
pub(crate) fn owner() -> Ed25519Signer {
    signer(3)
}

pub(crate) fn domain() -> DomainName {
    DOMAIN.parse().expect("a domain")
}

fn role(text: &str) -> Role {
    text.parse().expect("a role")
}

/// A P-256 key, as authorities have.
pub(crate) fn p256() -> Arc<dyn Signer + Send + Sync> {
    ecdsa(Curve::NistP256)
}

/// A key on this curve.
pub(crate) fn ecdsa(curve: Curve) -> Arc<dyn Signer + Send + Sync> {
    let key = Key4::<_, UnspecifiedRole>::generate_ecc(true, curve).expect("a key");
    ics_node::keys::in_memory(key.into()).expect("a signer")
}

/// What the world is made from, above all the issuing authority.
#[derive(Clone, Default)]
pub(crate) struct Shape {
    pub(crate) constraints: Constraints,
    /// Days until the authority expires.
    pub(crate) days: u64,
    pub(crate) shards: u16,
    pub(crate) url: String,
    pub(crate) issuers: Vec<IssuerKey>,
    pub(crate) acme: Option<AcmeSetup>,
}

impl Shape {
    pub(crate) fn new() -> Self {
        let permit = ["acme.example".to_owned(), "127.0.0.0/8".to_owned()];
        let exclude = ["secret.acme.example".to_owned()];
        let uses = vec![CertificateUse::Client, CertificateUse::Server, CertificateUse::Ocsp];
        let constraints = Constraints::parse(&permit, &exclude, Some(uses)).expect("constraints");
        let url = format!("http://pki.acme.example/x509/{DOMAIN}");
        Self { constraints, days: 1000, shards: 4, url, issuers: Vec::new(), acme: None }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(&Shape::new())
    }

    /// A founded domain with one device, introduced and in use.
    pub(crate) fn of(shape: &Shape) -> Self {
        let directory = TempDir::new().expect("a directory");
        let now = Clock::default().now();
        let root_key = p256();
        let new = |name: &str, constraints: &Constraints, days: u64| NewAuthority {
            common_name: name.to_owned(),
            organization: Some("Acme".to_owned()),
            path_length: 0,
            constraints: constraints.clone(),
            // Some tests issue as of days ago.
            validity: (Timestamp::from_millis(now.as_millis() - 10 * DAY), now.plus_millis(days * DAY)),
            crl_url: None,
        };
        let free = Constraints::default();
        let root = issue_authority(&*root_key, None, None, &new("Acme Root", &free, 3650), &SerialNumber::new([1; 20]));
        let root = root.expect("a root");
        let above = authority(&[&root]);
        let key = shape.issuers.first().cloned().unwrap_or_else(|| {
            // Signed after the key was made: a new second may have begun meanwhile.
            let key = p256();
            let certificate =
                Certificate::make(&*key, "Acme Issuing", Clock::default().now(), &[4; 32]).expect("a certificate");
            IssuerKey { signer: key, certificate: certificate.into(), answers_by: None }
        });
        let request = ca_request(&*key.signer, "Acme Issuing 1", Some("Acme")).expect("a request");
        let new = new("", &shape.constraints, shape.days);
        let number = SerialNumber::new([2; 20]);
        let issuer = issue_authority(&*root_key, Some(&above), Some(&request), &new, &number).expect("an issuer");
        let descriptor = descriptor(shape, &key, &root, &issuer);
        let maker = maker();
        let signed = make::sign_descriptor(&[&maker], &descriptor.to_json(), CREATED, &[1; 32]).expect("signs");
        let app = open(directory.path(), vec![key.clone()], shape.acme.clone());
        app.found(&signed).expect("founds");
        let world = Self { app, root, issuer, key, root_key, descriptor, _directory: directory };
        world.submit(vec![
            openpgp(&maker, "Acme"),
            openpgp(&controller(), "Controller"),
            openpgp(&owner(), "Keeper"),
            introduction(7, &["serial:SN-7", "urn:dev:os:32473-SN-7", "host:pump-7.acme.example"]),
            status(7, &maker, "manufacturer", "in-use", &[]),
        ]);
        world
    }

    /// Has a certificate revoked; returns the index of the entry that says so.
    pub(crate) fn revoke(&self, serial: &SerialNumber, revoker: Revoker, reason: Reason) -> Result<u64, CertifyError> {
        wait(self.app.revoke_certificate(&domain(), serial, revoker, reason))
    }

    /// Appends bodies, which must all be admitted; returns their ids.
    pub(crate) fn submit(&self, bodies: Vec<Vec<u8>>) -> Vec<StatementId> {
        let results = wait(self.app.submit(&domain(), bodies)).expect("is taken");
        let receipt = |result: SubmissionResult| match result {
            SubmissionResult::Receipt(receipt) => receipt.id,
            SubmissionResult::Problem(problem) => panic!("{}: {}", problem.title, problem.detail),
            SubmissionResult::Pending(pending) => panic!("{pending:?}"),
        };
        results.results.into_iter().map(receipt).collect()
    }

    /// Adds a signer of the manufacturer, with a certificate.
    pub(crate) fn join(&mut self, signer: &dyn Signer) {
        self.change(|descriptor| {
            let spec = descriptor.roles.get_mut(&role("manufacturer")).expect("the role");
            spec.signers.insert(signer.public_key().fingerprint());
        });
        self.submit(vec![openpgp(signer, "Installer")]);
    }

    /// Has the owner erase an entry.
    pub(crate) fn erase(&self, index: u64) {
        let erasure = self.app.erasure(Reader::Operator, &domain(), index).expect("it can be erased");
        let json = erasure.to_json().expect("JSON");
        let now = self.app.clock().now();
        self.submit(vec![make::sign_descriptor(&[&maker()], &json, now, &[1; 32]).expect("signs")]);
    }

    /// A revocation list of an issuer, as HTTP serves it.
    pub(crate) fn list(&self, issuer: &str, shard: u8) -> Result<SignedList, AppError> {
        match self.app.list_here(&domain(), issuer, shard)? {
            Listing::Signed(list) => Ok(list),
            Listing::Elsewhere(elsewhere) => panic!("it is signed elsewhere: {elsewhere:?}"),
        }
    }

    /// The root's revocation list, which is empty.
    pub(crate) fn root_list(&self) -> Vec<u8> {
        let (authority, none, now) = (authority(&[&self.root]), BTreeMap::new(), Clock::default().now());
        let list = RevocationList {
            authority: &authority,
            urls: &[],
            revoked: &none,
            number: 1,
            this_update: now,
            next_update: now.plus_millis(DAY),
        };
        list.sign(&*self.root_key).expect("a list")
    }

    /// The outcome of a statement by the issuer, made without permission, that a certificate was issued to a device.
    pub(crate) fn claim_issued(&self, seed: u8) -> SubmissionResult {
        let mut claims = Claims::new(Act::Issued, role("issuer"), domain());
        let names = [format!("serial:{}", SerialNumber::new([seed; 20])), "spki:".to_owned() + &"ab".repeat(32)];
        let names = names.into_iter().chain(["cert:".to_owned() + &"cd".repeat(32)]);
        claims.names = names.map(|name| name.parse().expect("a name")).collect();
        let bodies = vec![self.key.certificate.to_vec(), said(seed, &*self.key.signer, &claims, false)];
        wait(self.app.submit(&domain(), bodies)).expect("is taken").results.pop().expect("a result")
    }

    /// Submits the issuer's statement that it issued a certificate to a device, with this period and profile; see
    /// [`claimed`] for its serial number. No certificate is made: only the statement counts.
    pub(crate) fn claim_period(&self, seed: u8, number: u16, period: (Timestamp, Timestamp), profile: &str) {
        let known = self.app.record(Reader::Operator, &domain(), &id(seed).to_string());
        assert!(known.is_ok(), "the device is introduced");
        let body = self.issued(seed, number, period, profile);
        self.submit(vec![self.key.certificate.to_vec(), body]);
    }

    /// The statement that [`World::claim_period`] submits.
    pub(crate) fn issued(&self, seed: u8, number: u16, period: (Timestamp, Timestamp), profile: &str) -> Vec<u8> {
        self.issued_for(&[0xab; 32], seed, number, period, profile)
    }

    /// The same for a key with this digest.
    pub(crate) fn issued_for(
        &self,
        spki: &[u8; 32],
        seed: u8,
        number: u16,
        (from, until): (Timestamp, Timestamp),
        profile: &str,
    ) -> Vec<u8> {
        let mut claims = Claims::new(Act::Issued, role("issuer"), domain());
        let spki = data_encoding::HEXLOWER.encode(spki);
        let names = [format!("serial:{}", claimed(seed, number)), format!("spki:{spki}")];
        let names = names.into_iter().chain([format!("cert:{}", format!("{number:04x}").repeat(16))]);
        claims.names = names.map(|name| name.parse().expect("a name")).collect();
        (claims.from, claims.until, claims.reason) = (Some(from), Some(until), Some(profile.to_owned()));
        said(seed, &*self.key.signer, &claims, false)
    }

    /// A certificate for the device with this seed, which asks for itself.
    pub(crate) fn certify(&self, seed: u8, profile: &str, csr: &[u8]) -> Result<Issued, CertifyError> {
        let id = id(seed);
        self.certify_as(Requester::Identity(id), id, profile, csr)
    }

    pub(crate) fn certify_as(
        &self,
        requester: Requester,
        identity: IdentityId,
        profile: &str,
        csr: &[u8],
    ) -> Result<Issued, CertifyError> {
        let (domain, profile) = (domain(), profile.parse::<ProfileName>().expect("a profile"));
        let application = Application { domain: &domain, requester, identity, profile: &profile, issuer: None };
        wait(self.app.certify(&application, csr))
    }

    /// The number of entries in the log.
    pub(crate) fn size(&self) -> u64 {
        self.app.domain(&domain()).expect("is here").info.size
    }

    /// The file of the log.
    pub(crate) fn database(&self) -> PathBuf {
        self._directory.path().join("ics.db")
    }
}

/// The serial number of a certificate that the issuer only claims to have issued: it begins with `4`, its bucket is the
/// device's seed, and it ends with `number`.
pub(crate) fn claimed(seed: u8, number: u16) -> SerialNumber {
    let mut serial = [0x41; 20];
    serial[1] = seed;
    serial[18..].copy_from_slice(&number.to_be_bytes());
    SerialNumber::new(serial)
}

/// Waits for a use case in a test that is not async.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// An authority from its chain.
pub(crate) fn authority(chain: &[&[u8]]) -> Authority {
    let mut texts = chain.iter().map(|der| STANDARD.encode(der));
    let issuer = Issuer { certificate: texts.next().expect("one at least"), chain: texts.collect() };
    Authority::read(&issuer).expect("an authority")
}

pub(crate) fn id(seed: u8) -> IdentityId {
    IdentityId::Key(signer(seed).public_key().fingerprint())
}

fn open(data: &Path, issuers: Vec<IssuerKey>, acme: Option<AcmeSetup>) -> App {
    let setup = Setup {
        data: data.to_owned(),
        keys: NodeKeys { name: NODE.to_owned(), key: Arc::new(SigningKey::from_bytes(&[9; 32])), issuers },
        peers: Vec::new(),
        config_file: None,
        trust: None,
        operator_token: Some(Zeroizing::new(TOKEN.to_owned())),
        // As much as a node has by default.
        memory_bytes: 256 << 20,
        acme,
    };
    // The threads of a stopped server release the store a moment later.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match App::open(&setup) {
            Err(AppError::Store(StoreError::InUse { .. })) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.expect("opens"),
        }
    }
}

fn openpgp(signer: &dyn Signer, user_id: &str) -> Vec<u8> {
    Certificate::make(signer, user_id, CREATED, &[2; 32]).expect("a certificate")
}

/// A signer's certificate with the signer's own revocation, as published after losing the key.
pub(crate) fn revoked(seed: u8, user_id: &str) -> Vec<u8> {
    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(CREATED.as_millis());
    let key = Key4::<_, UnspecifiedRole>::import_secret_ed25519(&[seed; 32], created).expect("a key");
    let mut pair = Key::from(key).into_keypair().expect("a key pair");
    let certificate = Cert::from_bytes(&openpgp(&signer(seed), user_id)).expect("a certificate");
    let reason = ReasonForRevocation::KeyCompromised;
    let revocation = certificate.revoke(&mut pair, reason, b"lost with the laptop").expect("signs");
    let (certificate, _) = certificate.insert_packets([revocation]).expect("is its own");
    let mut split = split(&certificate.to_vec().expect("OpenPGP")).expect("is split");
    assert_eq!((split.bodies.len(), split.refused.as_slice(), split.left_out.len()), (1, &[][..], 0), "{split:?}");
    split.bodies.remove(0)
}

fn roles(issuer: &IssuerKey) -> BTreeMap<Role, RoleSpec> {
    let spec = |signer: &dyn Signer, names: &[&str]| RoleSpec {
        signers: BTreeSet::from([signer.public_key().fingerprint()]),
        names: names.iter().map(|pattern| (*pattern).to_owned()).collect(),
    };
    BTreeMap::from([
        (role("manufacturer"), spec(&maker(), &["serial:*", "urn:dev:os:32473-*", "host:*"])),
        (role("security-controller"), spec(&controller(), &[])),
        (role("owner"), spec(&owner(), &[])),
        (role("issuer"), spec(&*issuer.signer, &["serial:*", "spki:*", "cert:*"])),
    ])
}

fn descriptor(shape: &Shape, key: &IssuerKey, root: &[u8], issuer: &[u8]) -> Descriptor {
    let maker = maker();
    let public = maker.public_key();
    let owner = OwnerKey {
        name: "Acme".to_owned(),
        fingerprint: public.fingerprint(),
        key: STANDARD.encode(public.to_packet()),
    };
    let node = SigningKey::from_bytes(&[9; 32]).verifying_key();
    let input = TemplateInput {
        domain: domain(),
        description: "What Acme makes".to_owned(),
        owners: Owners { threshold: 1, keys: vec![owner] },
        home: NodeKey { name: NODE.to_owned(), key: STANDARD.encode(node.as_bytes()) },
        roles: roles(key),
        sources: Vec::new(),
    };
    let mut descriptor = Template::Manufacturer.fill(input).expect("fills");
    descriptor.certificates = Some(Certificates {
        url: shape.url.clone(),
        issuers: vec![Issuer { certificate: STANDARD.encode(issuer), chain: vec![STANDARD.encode(root)] }],
        shards: shape.shards,
        answers_hold: 3600,
        profiles: profiles(),
    });
    descriptor
}

fn profiles() -> BTreeMap<ProfileName, CertificateProfile> {
    let profile = |uses: &[CertificateUse], names: &[&str], days: Option<u64>| CertificateProfile {
        kinds: BTreeSet::from([Kind::Device, Kind::Gateway, Kind::Service]),
        uses: uses.iter().copied().collect(),
        keys: BTreeSet::from([KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa]),
        names: names.iter().map(|pattern| (*pattern).to_owned()).collect(),
        seconds: days.map(|days| days * 86_400),
        hardware_type: None,
        requires: Requirement::Permitted,
        requesters: BTreeSet::from([role("manufacturer")]),
    };
    let idevid = CertificateProfile {
        hardware_type: Some("1.3.6.1.4.1.32473.1".to_owned()),
        requires: Requirement::Vouched,
        ..profile(&[], &["serial:*", "urn:dev:*"], None)
    };
    let all = [
        ("idevid", idevid),
        ("ldevid", profile(&[CertificateUse::Client], &["serial:*", "urn:dev:*"], Some(90))),
        ("server", profile(&[CertificateUse::Server, CertificateUse::Client], &["host:*"], Some(30))),
        ("ocsp", profile(&[CertificateUse::Ocsp], &[], Some(7))),
    ];
    all.into_iter().map(|(name, profile)| (name.parse().expect("a name"), profile)).collect()
}

/// The manufacturer's introduction of a device with these names.
pub(crate) fn introduction(seed: u8, names: &[&str]) -> Vec<u8> {
    introduction_by(&maker(), seed, names)
}

/// The same by another signer of the manufacturer.
pub(crate) fn introduction_by(by: &dyn Signer, seed: u8, names: &[&str]) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, role("manufacturer"), domain());
    claims.names = names.iter().map(|name| name.parse().expect("a name")).collect();
    said(seed, by, &claims, false)
}

/// The same with a lot.
pub(crate) fn of_lot(seed: u8, lot: &str, names: &[&str]) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, role("manufacturer"), domain());
    claims.names = names.iter().map(|name| name.parse().expect("a name")).collect();
    claims.attributes = BTreeMap::from([(Attribute::Lot, lot.to_owned())]);
    said(seed, &maker(), &claims, false)
}

/// The same for a member of a group, which it names.
pub(crate) fn member(seed: u8, group: &Group) -> Vec<u8> {
    let Ok(IdentityId::Group(id)) = group.id() else { panic!("a group has an id") };
    let mut claims = Claims::new(Act::Identity, role("manufacturer"), domain());
    claims.groups = vec![id];
    said(seed, &maker(), &claims, false)
}

/// The group that is recalled: the devices of a lot, or those that name this group.
pub(crate) fn recalled(lot: Option<&str>) -> Group {
    let attributes = lot.map(|lot| (Attribute::Lot, lot.to_owned())).into_iter().collect();
    Group { kind: Kind::Group, name: "Recalled".to_owned(), attributes }
}

/// The manufacturer's suspension of all devices of a lot.
pub(crate) fn recall(lot: &str) -> Vec<u8> {
    recall_of(recalled(Some(lot)))
}

/// The manufacturer's suspension of all devices of a group.
pub(crate) fn recall_of(group: Group) -> Vec<u8> {
    status_of(group, "suspended")
}

/// The manufacturer's statement of a status for all devices of a group.
pub(crate) fn status_of(group: Group, status: &str) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, role("manufacturer"), domain());
    claims.status = Some(status.parse().expect("a status"));
    make::sign_document(&maker(), &Subject::Group(group), &claims, CREATED, &[3; 32]).expect("a statement")
}

/// The manufacturer's withdrawal of statements about a device; they were introductions.
pub(crate) fn withdrawal(seed: u8, ends: &[StatementId]) -> Vec<u8> {
    let mut claims = Claims::new(Act::Withdrawal, role("manufacturer"), domain());
    claims.supersedes = ends.to_vec();
    said(seed, &maker(), &claims, true)
}

/// Someone's statement of a status of a device, in place of these.
pub(crate) fn status(seed: u8, by: &dyn Signer, in_role: &str, status: &str, ends: &[StatementId]) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, role(in_role), domain());
    claims.status = Some(status.parse().expect("a status"));
    claims.supersedes = ends.to_vec();
    let revokes = claims.revokes(Kind::Device).unwrap_or_default();
    said(seed, by, &claims, revokes)
}

/// The device owner's grant that makes someone else an owner, too.
pub(crate) fn sale(seed: u8, to: &dyn Signer) -> Vec<u8> {
    let mut claims = Claims::new(Act::Grant, role("owner"), domain());
    claims.grant = Some(Grant { grantee: to.public_key().fingerprint(), role: role("owner") });
    said(seed, &owner(), &claims, false)
}

fn said(seed: u8, by: &dyn Signer, claims: &Claims, revokes: bool) -> Vec<u8> {
    let (device, user_id, now) = (signer(seed), format!("Pump {seed}"), Clock::default().now());
    make::certify(by, device.public_key(), &user_id, None, Kind::Device, claims, revokes, now, &[3; 32])
        .expect("a statement")
}
