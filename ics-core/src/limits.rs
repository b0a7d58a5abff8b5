//! Every bound of the system, in one place.
//!
//! A bound is checked before the work that it bounds, and each has a test that goes one past it.

/// Bytes of a statement about a key-bearing identity.
pub const STATEMENT_BYTES: usize = 8 * 1024;
/// Bytes of a key-bearing statement whose key or signature is post-quantum.
pub const STATEMENT_PQC_BYTES: usize = 64 * 1024;
/// Bytes of the JSON document inside a statement about software or a group.
pub const DOCUMENT_BYTES: usize = 16 * 1024;
/// Bytes of a signed message around a document: framing and one signature more than the document.
pub const MESSAGE_BYTES: usize = DOCUMENT_BYTES + STATEMENT_BYTES;
/// Bytes of a signer's certificate.
pub const CERTIFICATE_BYTES: usize = 64 * 1024;
/// Bytes of a person's certificate, where a descriptor allows it.
pub const PERSON_CERTIFICATE_BYTES: usize = 1024 * 1024;
/// Bytes of what revokes the key of a certificate that has no more room; twice at most, since a key that was retired
/// may have been stolen as well. The longest signature, of ML-DSA-87 with Ed448, has 4,741 bytes. Subkeys need no
/// revocation of their own then; beside that of the key there is room for those of a dozen subkeys where it is RSA with
/// 4,096 bits.
pub const KEY_REVOCATION_BYTES: usize = 8 * 1024;
/// Self-signatures in one certificate, and as many beside them that revoke its key for all times.
pub const CERTIFICATE_SIGNATURES: usize = 512;
/// Bytes of a policy descriptor's JSON.
pub const DESCRIPTOR_BYTES: usize = 256 * 1024;
/// The greatest integer that JSON carries everywhere (RFC 8785, appendix D: 2^53 - 1).
pub const JSON_INTEGER: u64 = (1 << 53) - 1;
/// Signatures over one descriptor.
pub const DESCRIPTOR_SIGNATURES: usize = 32;
/// Bytes of a set of access or trust rules.
pub const POLICY_BYTES: usize = 64 * 1024;
/// Rules in one set: deciding takes time in proportion.
pub const POLICY_RULES: usize = 64;
/// Brackets open at once in a rule.
pub const POLICY_NESTING: usize = 16;
/// Characters of operators in one rule, clauses and `if` included.
pub const POLICY_OPERATORS: usize = 128;
/// Decisions that are remembered by one set of rules; of access rules as many about reading as about appending.
pub const DECISIONS_CACHED: usize = 4_096;
/// Statements in one submitted batch.
pub const BATCH_STATEMENTS: usize = 1_000;
/// Bytes of one submitted batch.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all bodies that an upload is split into: each takes key, User ID or document with it once more.
pub const SPLIT_BYTES: usize = 8 * BATCH_BYTES;
/// Statements in one file that is carried to a machine without a network, to be signed there.
pub const BATCH_FILE_STATEMENTS: usize = 100_000;
/// Bytes of such a file.
pub const BATCH_FILE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of one line of it: a statement, or a descriptor, and all that it replaces.
pub const BATCH_FILE_LINE_BYTES: usize = 2 * 1024 * 1024;
/// Notations in one signature.
pub const NOTATIONS: usize = 64;
/// Bytes of a User ID.
pub const USER_ID_BYTES: usize = 1024;
/// Bytes of one name (URN, serial, host).
pub const NAME_BYTES: usize = 512;
/// Bytes of one attribute, reason or label.
pub const TEXT_BYTES: usize = 1024;
/// Statements that one statement may supersede or withdraw.
pub const SUPERSEDES: usize = 32;
/// Milliseconds that a signature's claimed time may be after the home's admission time.
pub const CLOCK_SKEW_MILLIS: u64 = 5 * 60 * 1000;
/// Smallest and largest RSA modulus, in bits.
pub const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// Hashes in one Merkle proof: a tree of 2^64 leaves has paths of 64.
pub const PROOF_HASHES: usize = 64;
/// Bytes of one signed note (checkpoint with cosignatures).
pub const NOTE_BYTES: usize = 16 * 1024;
/// Bytes of one record head: as many indices as evidence has entries, of a log of any size that will be.
pub const RECORD_HEAD_BYTES: usize = 128 * 1024;
/// Signatures on one note: the home's, its cosignature, and witnesses; C2SP signed-note demands at least 16.
pub const NOTE_SIGNATURES: usize = 32;
/// Witnesses of a domain: what a note has room for beside the home's two signatures.
pub const WITNESSES: usize = NOTE_SIGNATURES - 2;
/// Bytes of an entry's header, the source of an adopted entry included.
pub const HEADER_BYTES: usize = 16 * 1024;
/// How often an entry may have been adopted from a domain that had itself adopted it.
pub const ADOPTION_DEPTH: usize = 4;
/// Entries in one page of a domain's feed.
pub const FEED_ENTRIES: usize = 1_000;
/// Bytes of bodies in one page of a domain's feed.
pub const FEED_BYTES: usize = 4 * 1024 * 1024;
/// Indices of earlier entries that one page of a feed names for a reader who may not read all of a domain.
pub const SIGHT_INDICES: usize = 16_384;
/// Members of a group that are looked at to find one which a reader may read. Of a group with more of them, in which none
/// was found, the reader gets the statements: a visible identity always shows its blocks.
pub const GROUP_MEMBERS_SOUGHT: usize = 1_000;
/// Entries that travel in one piece of pushed news; more are fetched.
pub const NEWS_ENTRIES: usize = 64;
/// Bytes of headers and bodies in one piece of pushed news, but for a single entry that is longer.
pub const NEWS_BYTES: usize = 64 * 1024;
/// Parts of one bundle: pages, above all.
pub const BUNDLE_PARTS: usize = 1 << 18;
/// Domains of which one bundle has something.
pub const BUNDLE_DOMAINS: usize = 1_024;
/// Identities or statements in one page of a listing.
pub const PAGE_ITEMS: usize = 500;
/// Keys in one answer of a key server.
pub const KEYS_FOUND: usize = 100;
/// Choices of attributes with which access rules are asked before they show one identity: if it was given more, it is
/// shown to nobody but the operator.
pub const READINGS: usize = 256;
/// Statements about one identity that are read to make its record.
pub const RECORD_STATEMENTS: usize = 4_096;
/// Entries of the evidence for one record: its statements, those about its groups, descriptors and certificates.
pub const EVIDENCE_ENTRIES: usize = 2 * RECORD_STATEMENTS;
/// Bytes of the evidence for one record, as JSON.
pub const EVIDENCE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a case, as JSON: an answer and the evidence for both things in all domains.
pub const CASE_BYTES: usize = 2 * EVIDENCE_BYTES;
/// Entries of one piece of evidence in a case: the checker's work grows with their square, and anybody may ask for one. So
/// they are fewer than a record may have: of a thing of which more is said there is a verdict, and all the evidence, but
/// both in one there is not.
pub const CASE_ENTRIES: usize = 1_024;
/// Statements about one identity, or about groups with one selector, from which on only first blocks are admitted, and
/// that signers take back what they said: the rest of [`RECORD_STATEMENTS`] is kept for them.
pub const RECORD_STATEMENTS_OPEN: usize = 3_072;
/// Those from which on only first blocks are.
pub const RECORD_STATEMENTS_ENDS: usize = 3_584;
/// Those from which on only first blocks are by signers whom the descriptor itself names: who owns a thing gives roles over
/// it to as many keys as he likes, and each of these has first blocks of its own. The rest has room for what sixteen signers
/// may say so.
pub const RECORD_STATEMENTS_GRANTED: usize = RECORD_STATEMENTS - 16 * FIRST_BLOCKS;
/// Those from which on the operator of the home is told that a record fills.
pub const RECORD_STATEMENTS_NEAR: usize = 1_792;
/// Statements about one identity from which on a node issues no certificate to it. Of each certificate a statement stays,
/// also once its time is over; the room up to [`RECORD_STATEMENTS_OPEN`] is left to statuses, or a block could be lifted no
/// more. It is a rule of nodes that issue and none of the log.
pub const RECORD_STATEMENTS_ISSUED: usize = 2_048;
/// Blocks of one signer among them, whatever became of these, from which on his blocks need room in his quota as well:
/// else whoever blocks and takes it back, or blocks for no time at all, could fill the rest.
pub const FIRST_BLOCKS: usize = 16;

// A record fills in this order, and all of it is evidence.
const _: () = {
    assert!(CASE_ENTRIES < RECORD_STATEMENTS && RECORD_STATEMENTS < EVIDENCE_ENTRIES);
    assert!(RECORD_STATEMENTS_NEAR < RECORD_STATEMENTS_ISSUED && RECORD_STATEMENTS_ISSUED < RECORD_STATEMENTS_OPEN);
    assert!(RECORD_STATEMENTS_OPEN < RECORD_STATEMENTS_ENDS && RECORD_STATEMENTS_ENDS < RECORD_STATEMENTS_GRANTED);
    assert!(RECORD_STATEMENTS_GRANTED < RECORD_STATEMENTS);
};

/// Groups that the statements about one identity may name: each is looked up for its record.
pub const GROUPS_NAMED: usize = 64;
/// Different values of one selecting attribute that the statements about one identity may give, with that by which it
/// selects itself if it is a group.
pub const SELECTING_VALUES: usize = 4;
/// Statements by one signer about one identity in one domain, unless the descriptor says otherwise. Certificates whose
/// time is over are none of them.
pub const STATEMENTS_PER_SIGNER_AND_IDENTITY: usize = 256;
/// Once the quota of a signer who blocks a thing again and again is used up but for one of so many parts, the home warns.
pub const QUOTA_WARNED_PARTS: usize = 8;
/// Bytes of HTTP request headers.
pub const HTTP_HEADER_BYTES: usize = 16 * 1024;
/// Seconds in which a client must have sent its request.
pub const HTTP_REQUEST_SECONDS: u64 = 10;
/// Seconds for which a client may take nothing of an answer.
pub const HTTP_ANSWER_SECONDS: u64 = 30;
/// Bodies that wait for the home of one domain, in a node that is not its home.
pub const OUTBOX_BODIES: usize = 100_000;
/// Bytes of them.
pub const OUTBOX_BYTES: usize = 256 * 1024 * 1024;
/// For what blocks there is one part in so many more of both: a theft is reported however much else waits.
pub const OUTBOX_BLOCKS: usize = 10;
/// What became of so many bodies is kept for each domain.
pub const OUTBOX_DONE: usize = 10_000;
/// Enrolment requests that may wait for an operator, per domain.
pub const ENROLMENTS_WAITING: usize = 10_000;
/// Names that one of them asks for.
pub const ENROLMENT_NAMES: usize = 32;
/// Bytes of one of them, as JSON.
pub const ENROLMENT_BYTES: usize = 16 * 1024;
/// Enrolment requests from one address at once.
pub const ENROLMENTS_PER_ADDRESS_AT_ONCE: u32 = 100;
/// Those in a minute after these.
pub const ENROLMENTS_PER_ADDRESS: u64 = 10;
/// Bytes of one LDAP message that adds or changes a key.
pub const LDAP_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of any other LDAP message.
pub const LDAP_REQUEST_BYTES: usize = 64 * 1024;
/// BER elements in one LDAP message: each takes many times its own bytes in memory once it is read.
pub const LDAP_ELEMENTS: usize = 4_096;
/// BER elements open at once in one LDAP message.
pub const LDAP_NESTING: usize = 64;
/// How deep a search filter nests.
pub const LDAP_FILTER_DEPTH: usize = 16;
/// Terms of a search filter, those that join others included.
pub const LDAP_FILTER_TERMS: usize = 64;
/// Bytes of a distinguished name.
pub const LDAP_NAME_BYTES: usize = 2_048;
/// Requests of one LDAP connection that wait for the one that is worked upon.
pub const LDAP_REQUESTS_WAITING: usize = 128;
/// Entries of one search, or of one page of it, unless the client wants fewer.
pub const LDAP_SEARCH_ENTRIES: usize = 500;
/// Entries that one search, or one page of it, may at least look at without finding what it is to return: things, what is
/// said of them, and the entries of the log by which they are found. Each may look at some more, up to twice as many: how
/// many, nobody knows before.
pub const LDAP_LOOK_THROUGH: usize = 10_000;
/// Seconds that a search may take unless the client wants less.
pub const LDAP_SEARCH_SECONDS: u64 = 60;
/// Searches of one connection that wait to be asked for their next page.
pub const LDAP_PAGED_SEARCHES: usize = 4;
/// Entries of a log of which a directory that is kept in step gets what they are about; behind more of them it gets
/// everything anew.
pub const LDAP_SYNC_TOUCHED: u64 = 10_000;
/// Domains of one directory that is kept in step as a whole: its cookie names the place in each.
pub const LDAP_SYNC_DOMAINS: usize = 256;
/// Bytes of a cookie of such a directory.
pub const LDAP_COOKIE_BYTES: usize = 16 * 1024;
/// Searches that are kept in step at once, by all connections together; those of strangers are half of them at most.
pub const LDAP_IN_STEP: usize = 256;
/// Those of strangers of one network: an IPv4 address, or the /64 that one IPv6 host has to itself.
pub const LDAP_IN_STEP_OF_NETWORK: usize = 16;
/// Searches of one connection that persist (RFC 4533).
pub const LDAP_PERSISTING: usize = 16;
/// Seconds after which a search that persists looks for what time alone has changed.
pub const LDAP_PERSIST_SECONDS: u64 = 10;
/// Seconds after which a connection that asks for nothing is ended.
pub const LDAP_IDLE_SECONDS: u64 = 900;
/// Nodes that may be asked behind the one that is asked about a thing of a domain of which no copy is at hand: the home
/// behind one that is nearer.
pub const ROAMING_HOPS: u8 = 1;
/// Bytes of what such a node answers, as JSON: some 1,800 statements of the usual length. A record may have more, but
/// of [`ROAMING_AT_ONCE`] answers of that length a small machine would run out of memory: a thing of which more is said
/// is `unknown` to whoever keeps no copy. Where statements are not unusually long its home has alarmed it by then
/// ([`RECORD_STATEMENTS_NEAR`]).
pub const ROAMING_BYTES: usize = 4 * 1024 * 1024;
/// Seconds that one node has to answer.
pub const ROAMING_SECONDS: u64 = 3;
/// Seconds in which one question is answered out of other nodes, or not at all.
pub const ROAMING_WHOLE_SECONDS: u64 = 8;
/// Questions in a minute to one peer.
pub const ROAMING_PER_PEER: u64 = 1_200;
/// Questions in a minute to all of them.
pub const ROAMING_PER_MINUTE: u64 = 3_000;
/// Questions in a minute for one asker, so that none uses up what all have.
pub const ROAMING_PER_ASKER: u64 = 600;
/// Questions for one asker at once.
pub const ROAMING_PER_ASKER_AT_ONCE: u32 = 50;
/// Questions to other nodes at once.
pub const ROAMING_AT_ONCE: usize = 64;
/// Bytes of their answers that are kept, whole evidence.
pub const ROAMING_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Questions of which is kept for a while that nobody had an answer to them.
pub const ROAMING_FAILURES: usize = 10_000;
/// Milliseconds for which they are not asked again, and for which a peer that cannot be reached is left alone.
pub const ROAMING_PAUSE_MILLIS: u64 = 2_000;
/// Things that are watched by one request to a home, each by its id.
pub const WATCHED_THINGS: usize = 4_096;
/// Choices by model or lot that are watched by one request.
pub const WATCHED_CHOICES: usize = 64;
/// Bytes of a model or a lot that is watched.
pub const WATCHED_VALUE_BYTES: usize = 1_024;
/// What one reader watches in a domain's home by all his requests together; all who show no key count as one reader.
pub const WATCHED_PER_READER: usize = 65_536;
/// As how many things a request counts that watches fewer.
pub const WATCHED_AT_LEAST: usize = 64;
/// Challenges that may wait for their answer; those of strangers are half of them at most.
pub const CHALLENGES_WAITING: usize = 10_000;
/// Challenges for one asker at once.
pub const CHALLENGES_PER_ASKER_AT_ONCE: u32 = 300;
/// Those in a minute after these.
pub const CHALLENGES_PER_ASKER: u64 = 1_200;
/// Seconds in which a challenge must be answered.
pub const CHALLENGE_SECONDS: u64 = 60;
/// Questions in one batch of checks.
pub const CHECKS: usize = 1_000;
/// Sorts of X.509 certificates that a domain issues.
pub const CERTIFICATE_PROFILES: usize = 64;
/// Issuers of X.509 certificates in one descriptor, those included that only answer for what they have issued.
pub const CERTIFICATE_ISSUERS: usize = 8;
/// X.509 certificates from an issuer up to its root.
pub const X509_CHAIN: usize = 5;
/// Bytes of one X.509 certificate.
pub const X509_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Bytes of a request for an X.509 certificate (PKCS #10).
pub const CSR_BYTES: usize = 16 * 1024;
/// Names that a request for an X.509 certificate may ask for.
pub const CSR_NAMES: usize = 32;
/// Bytes of a message of CMP: a request, and the certificates by which it shows who sends it.
pub const CMP_BYTES: usize = 64 * 1024;
/// Transactions of CMP of which a node knows at once that they have begun.
pub const CMP_TRANSACTIONS: usize = 4096;
/// Those of one thing among them, or of one who signs and whom the descriptor does not name.
pub const CMP_TRANSACTIONS_OF_ONE: usize = 64;
/// Bytes of an OCSP request: it takes one question.
pub const OCSP_REQUEST_BYTES: usize = 4 * 1024;
/// Questions in one OCSP request.
pub const OCSP_QUESTIONS: usize = 16;
/// OCSP answers that are signed for one asker alone, at once: to a nonce, or about several certificates.
pub const OCSP_SIGNED_PER_ASKER_AT_ONCE: u32 = 100;
/// Those in a minute after these.
pub const OCSP_SIGNED_PER_ASKER: u64 = 120;
/// Seconds for which an answer about revocation may hold at most.
pub const REVOCATION_SECONDS: u64 = 30 * 24 * 60 * 60;
/// OCSP answers that are kept ready, per node.
pub const OCSP_ANSWERS_KEPT: usize = 1 << 20;
/// Bytes of OCSP answers that are kept ready by the bytes of their questions, with their headers.
pub const OCSP_GIVEN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a developer's own signature over his software.
pub const DEVELOPER_SIGNATURE_BYTES: usize = 8 * 1024;
/// Developers' signatures that one statement holds.
pub const DEVELOPER_SIGNATURES: usize = 4;
/// Bytes of software of which such a signature is checked.
pub const SIGNED_ARTIFACT_BYTES: usize = 2 << 30;
/// Bytes of one ACME request. A certificate to be revoked is the largest part of any.
pub const ACME_REQUEST_BYTES: usize = 64 * 1024;
/// Nonces of which a node knows whether they were used; older ones count as used.
pub const ACME_NONCES: u64 = 1 << 16;
/// Contacts of one ACME account.
pub const ACME_CONTACTS: usize = 5;
/// Credentials of one holder that wait for their ACME accounts.
pub const ACME_CREDENTIALS_WAITING: u64 = 100;
/// ACME accounts of one thing, those included that it has given up: its own key makes as many as it likes, and each stays.
/// Those that the operator has taken away are none.
pub const ACME_ACCOUNTS_OF_THING: usize = 16;
/// ACME accounts of one signer, likewise: he has one for each machine whose certificates he looks after.
pub const ACME_ACCOUNTS_OF_SIGNER: usize = 1_024;
/// ACME challenges that a node looks at at once.
pub const ACME_LOOKS: usize = 32;
/// ACME challenges of one holder that wait for their look, or are looked at: as many as an order has names.
pub const ACME_LOOKS_OF_HOLDER: usize = 32;
/// Those of all holders. The last of them waits for 80 s if nobody answers.
pub const ACME_LOOKS_WAITING: usize = 256;
/// Seconds that a look at an ACME challenge may take.
pub const ACME_LOOK_SECONDS: u64 = 10;
/// Bytes of a revocation list that is fetched from an issuer's node, and of all lists that one answer of CMP holds.
pub const REVOCATION_LIST_BYTES: usize = 4 << 20;
/// Bytes of all such lists that are kept. By bytes and not by number: mostly a list has less than one KiB, and the domains of
/// a few issuers have hundreds of them, each of which is needed where there is no link.
pub const REVOCATION_LISTS_BYTES: usize = 64 << 20;
/// Such lists that are kept: each has a file, which takes 4 KiB of most disks.
pub const REVOCATION_LISTS: usize = 1 << 14;
/// Certificates that one alert names; it counts all.
pub const ALERT_CERTIFICATES: usize = 100;
/// How often an alert is sent at most, until the next look at what it tells of.
pub const ALERT_ATTEMPTS: usize = 4;
/// Bytes of an answer to http-01: a key authorization and white space.
pub const ACME_ANSWER_BYTES: usize = 1024;
