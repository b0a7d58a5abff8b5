//! A domain that later gets other keys or other rules.

use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;

use super::*;

impl World {
    /// The same node with another key instead of the issuer's.
    pub(crate) fn with_key(self, key: IssuerKey) -> Self {
        self.with_keys(vec![key])
    }

    /// The same with several keys.
    pub(crate) fn with_keys(self, keys: Vec<IssuerKey>) -> Self {
        let Self { app, root, issuer, root_key, descriptor, _directory: directory, .. } = self;
        drop(app);
        let key = keys.first().cloned().expect("one at least");
        let app = open(directory.path(), keys, None);
        Self { app, root, issuer, key, root_key, descriptor, _directory: directory }
    }

    /// The same node after another key has taken over, with a certificate from the root; the former key is still there.
    pub(crate) fn rotated(mut self, key: IssuerKey) -> Self {
        let (issuer, first) = self.next_authority(&key, Clock::default().now());
        let fingerprint = key.signer.public_key().fingerprint();
        self.change(|descriptor| {
            descriptor.certificates.as_mut().expect("it issues").issuers.insert(0, first);
            descriptor.roles.get_mut(&role("issuer")).expect("the role").signers.insert(fingerprint);
        });
        let Self { app, root, key: former, root_key, descriptor, _directory: directory, .. } = self;
        drop(app);
        let app = open(directory.path(), vec![key.clone(), former], None);
        Self { app, root, issuer, key, root_key, descriptor, _directory: directory }
    }

    /// Puts another authority with the same key in the issuer's place, which begins only then.
    pub(crate) fn begin_at(&mut self, from: Timestamp) {
        let (_, next) = self.next_authority(&self.key, from);
        self.change(|descriptor| descriptor.certificates.as_mut().expect("it issues").issuers = vec![next]);
    }

    /// Another authority below the root for a key, from then on: its certificate, and as a descriptor names it.
    fn next_authority(&self, key: &IssuerKey, from: Timestamp) -> (Vec<u8>, Issuer) {
        let request = ca_request(&*key.signer, "Acme Issuing 2", Some("Acme")).expect("a request");
        let new = NewAuthority {
            common_name: String::new(),
            organization: None,
            path_length: 0,
            constraints: Shape::new().constraints,
            validity: (from, from.plus_millis(1000 * DAY)),
            crl_url: None,
        };
        let (above, number) = (authority(&[&self.root]), SerialNumber::new([3; 20]));
        let issued = issue_authority(&*self.root_key, Some(&above), Some(&request), &new, &number);
        let issued = issued.expect("an authority");
        let named = Issuer { certificate: STANDARD.encode(&issued), chain: vec![STANDARD.encode(&self.root)] };
        (issued, named)
    }

    /// The same node, which has signed another log of the same length: it was restored from a copy, and went on.
    pub(crate) fn forked(self) -> Self {
        let path = self._directory.path().join("heads").join(DOMAIN);
        let note = std::fs::read_to_string(&path).expect("a head");
        let head = Checkpoint::claimed(&note).expect("a checkpoint");
        let other = Checkpoint { root: Hash([7; 32]), ..head };
        let signed = other.sign(&SigningKey::from_bytes(&[9; 32])).expect("signs");
        std::fs::write(&path, signed).expect("is written");
        let key = self.key.clone();
        self.with_key(key)
    }

    /// Puts the next version of the descriptor in force.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Descriptor)) {
        let signed = self.amended(change);
        self.submit(vec![signed]);
    }

    /// Puts a version of the descriptor in force that shows nothing to anybody but owners.
    pub(crate) fn hide(&mut self) {
        let all = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
        let owners = all.replace("(principal,", "(principal in Role::\"owner\",");
        self.change(|descriptor| {
            assert!(descriptor.access.contains(all), "{}", descriptor.access);
            descriptor.access = descriptor.access.replace(all, &owners);
        });
    }

    /// Damages an entry by overwriting its header; `before` is how many entries follow it. Returns the former header.
    pub(crate) fn rewrite(&self, before: i64, header: &[u8]) -> Vec<u8> {
        let log = rusqlite::Connection::open(self.database()).expect("opens");
        let sql = "SELECT position, header FROM entry ORDER BY position DESC LIMIT 1 OFFSET ?1";
        let found = log.query_row(sql, [before], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let (position, former) = found.expect("it is there");
        let written = log.execute("UPDATE entry SET header = ?2 WHERE position = ?1", (position, header));
        assert_eq!(written.expect("is written"), 1);
        former
    }

    /// The next version of the descriptor, signed.
    pub(crate) fn amended(&mut self, change: impl FnOnce(&mut Descriptor)) -> Vec<u8> {
        let mut next = self.descriptor.clone();
        next.version += 1;
        next.previous = Some(self.descriptor.hash());
        change(&mut next);
        let signed = make::sign_descriptor(&[&maker()], &next.to_json(), CREATED, &[1; 32]).expect("signs");
        self.descriptor = next;
        signed
    }

    /// The next version, signed, which requires a witness that nobody asks: nothing is shown from then on.
    pub(crate) fn unwitnessed(&mut self) -> Vec<u8> {
        let key = STANDARD.encode(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes());
        let witnesses = Witnesses { quorum: 1, keys: vec![NodeKey { name: "nobody.example".to_owned(), key }] };
        self.amended(|descriptor| descriptor.witnesses = Some(witnesses))
    }
}
