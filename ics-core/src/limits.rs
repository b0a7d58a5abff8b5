//! The bounds of the system, in one place. Those of buffers, and of what only one module reads, are in that module.
//!
//! A bound is checked before the work that it bounds, and each has a test that exceeds it by one.

/// Bytes of a statement about a key-bearing identity.
pub const STATEMENT_BYTES: usize = 8 * 1024;
/// Bytes of a statement about a key-bearing identity whose key or signature is post-quantum.
pub const STATEMENT_PQC_BYTES: usize = 64 * 1024;
/// Bytes of the JSON document inside a statement about software or a group.
pub const DOCUMENT_BYTES: usize = 16 * 1024;
/// Bytes of a signed message around a document: the document, plus framing and one signature.
pub const MESSAGE_BYTES: usize = DOCUMENT_BYTES + STATEMENT_BYTES;
/// Bytes of a signer's certificate.
pub const CERTIFICATE_BYTES: usize = 64 * 1024;
/// Bytes of a person's certificate, where a descriptor allows it.
pub const PERSON_CERTIFICATE_BYTES: usize = 1024 * 1024;
/// Bytes of the signatures that revoke the key of a certificate that has no more room. There are at most two, since a
/// key that was retired may have been stolen as well. The longest signature, of ML-DSA-87 with Ed448, has 4,741 bytes.
/// Subkeys then need no revocation of their own, but with RSA of 4,096 bits there is room for the revocations of a
/// dozen subkeys beside that of the key.
pub const KEY_REVOCATION_BYTES: usize = 8 * 1024;
/// Self-signatures in one certificate; as many again may revoke its key for all times.
pub const CERTIFICATE_SIGNATURES: usize = 512;
/// Bytes of a policy descriptor's JSON.
pub const DESCRIPTOR_BYTES: usize = 256 * 1024;
/// The largest integer that JSON can carry everywhere (RFC 8785, appendix D: 2^53 - 1).
pub const JSON_INTEGER: u64 = (1 << 53) - 1;
/// Signatures over one descriptor.
pub const DESCRIPTOR_SIGNATURES: usize = 32;
/// Bytes of a set of access or trust rules.
pub const POLICY_BYTES: usize = 64 * 1024;
/// Rules in one set: the time to decide is proportional to their number.
pub const POLICY_RULES: usize = 64;
/// Depth of nested brackets in a rule.
pub const POLICY_NESTING: usize = 16;
/// Characters of operators in one rule, clauses and `if` included.
pub const POLICY_OPERATORS: usize = 128;
/// Decisions that one set of rules remembers; access rules remember this many about reading and as many about
/// appending.
pub const DECISIONS_CACHED: usize = 4_096;
/// Statements in one submitted batch.
pub const BATCH_STATEMENTS: usize = 1_000;
/// Bytes of one submitted batch.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Packets of OpenPGP in one upload, of 64 bytes on average: each may have two, and what is noted of it takes hundreds.
pub const BATCH_PACKETS: usize = BATCH_BYTES / 64;
/// Bytes of all bodies that an upload is split into: each repeats the key, the User ID or the document.
pub const SPLIT_BYTES: usize = 8 * BATCH_BYTES;
/// Statements in one file that is carried to a machine without a network and signed there.
pub const BATCH_FILE_STATEMENTS: usize = 100_000;
/// Bytes of such a file.
pub const BATCH_FILE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of one line of such a file: a statement or a descriptor, with all that it replaces.
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
/// Milliseconds by which a signature's claimed time may be later than the home's admission time.
pub const CLOCK_SKEW_MILLIS: u64 = 5 * 60 * 1000;
/// Smallest and largest RSA modulus, in bits.
pub const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// Hashes in one Merkle proof: a tree of 2^64 leaves has paths of 64.
pub const PROOF_HASHES: usize = 64;
/// Bytes of one signed note (checkpoint with cosignatures).
pub const NOTE_BYTES: usize = 16 * 1024;
/// Bytes of one record head, which names as many indices as evidence has entries, in a log of any realistic size.
pub const RECORD_HEAD_BYTES: usize = 128 * 1024;
/// Signatures on one note: the home's, its cosignature, and those of witnesses. C2SP signed-note demands at least 16.
pub const NOTE_SIGNATURES: usize = 32;
/// Witnesses of a domain: as many as a note has room for beside the home's two signatures.
pub const WITNESSES: usize = NOTE_SIGNATURES - 2;
/// Bytes of an entry's header, including the source of an adopted entry.
pub const HEADER_BYTES: usize = 16 * 1024;
/// Length of a chain of adoptions: how often an entry may have been adopted from a domain that had itself adopted it.
pub const ADOPTION_DEPTH: usize = 4;
/// Entries in one page of a domain's feed.
pub const FEED_ENTRIES: usize = 1_000;
/// Remnants of erased statements that a copier remembers until their erasures come.
pub const ERASURES_AWAITED: usize = 65_536;
/// Bytes of bodies in one page of a domain's feed.
pub const FEED_BYTES: usize = 4 * 1024 * 1024;
/// Indices of earlier entries that one page of a feed names for a reader who may read only a part of a domain. One that
/// names as many may rest on more than can be named, and the reader looks again at everything.
pub const SIGHT_INDICES: usize = 16_385;
/// Members of a group that are examined to find one that a reader may read. If a group has more of them and none was
/// found, the reader gets the statements: a visible identity always shows its blocks.
pub const GROUP_MEMBERS_SOUGHT: usize = 1_000;
/// Entries in one piece of pushed news; any further ones are fetched.
pub const NEWS_ENTRIES: usize = 64;
/// Bytes of headers and bodies in one piece of pushed news; a single entry may be longer.
pub const NEWS_BYTES: usize = 64 * 1024;
/// Parts of one bundle, mostly pages.
pub const BUNDLE_PARTS: usize = 1 << 18;
/// Domains that one bundle holds something of.
pub const BUNDLE_DOMAINS: usize = 1_024;
/// Identities or statements in one page of a listing.
pub const PAGE_ITEMS: usize = 500;
/// Labels that one line of a listing names.
pub const LABELS_LISTED: usize = 8;
/// Keys in one answer of a key server, by HKP or LDAP: any number of keys can fit a key id or a User ID.
pub const KEYS_FOUND: usize = 100;
/// Choices among contradicting attributes with which access rules are asked before they show one identity. An identity
/// with more is shown to nobody but the operator.
pub const READINGS: usize = 256;
/// Statements about one identity that are read to make its record.
pub const RECORD_STATEMENTS: usize = 4_096;
/// Entries about one identity that are read to find these: each statement may have been erased, and then what is left
/// of it is found beside its erasure.
pub const RECORD_ENTRIES: usize = 2 * RECORD_STATEMENTS;
/// Entries of the evidence for one record: its statements, those about its groups, and descriptors and certificates.
pub const EVIDENCE_ENTRIES: usize = 2 * RECORD_STATEMENTS;
/// Bytes of the evidence for one record, as JSON.
pub const EVIDENCE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a case, as JSON: an answer, and the evidence for both things in all domains.
pub const CASE_BYTES: usize = 2 * EVIDENCE_BYTES;
/// Entries of one piece of evidence in a case. The checker's work grows with the square of their number, and anybody
/// may ask for a case, so there are fewer than a record may have. A thing with more statements still has a verdict and
/// all its evidence, but not both in one case.
pub const CASE_ENTRIES: usize = 1_024;
/// Statements about one identity, or about groups with one selector, from which on only first blocks and withdrawals
/// are admitted: the rest of [`RECORD_STATEMENTS`] is kept for them.
pub const RECORD_STATEMENTS_OPEN: usize = 3_072;
/// Such statements from which on only first blocks are admitted.
pub const RECORD_STATEMENTS_ENDS: usize = 3_584;
/// Such statements from which on only first blocks by signers whom the descriptor itself names are admitted: the owner
/// of a thing can grant roles over it to any number of keys, and each of these has first blocks of its own. The rest
/// has room for the first blocks of sixteen signers.
pub const RECORD_STATEMENTS_GRANTED: usize = RECORD_STATEMENTS - 16 * FIRST_BLOCKS;
/// Such statements from which on the home's operator is warned that a record is filling up.
pub const RECORD_STATEMENTS_NEAR: usize = 1_792;
/// Statements about one identity from which on a node issues no certificate to it. Each certificate leaves a statement,
/// even once it has expired; the room up to [`RECORD_STATEMENTS_OPEN`] is left to statuses, or a block could no longer
/// be lifted. This is a rule for issuing nodes, not for the log.
pub const RECORD_STATEMENTS_ISSUED: usize = 2_048;
/// Blocks of one signer about one identity, whatever became of them, from which on further blocks by that signer need
/// room in their quota as well. Otherwise a signer who blocks and takes it back, or blocks for no time at all, could
/// fill the rest.
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
/// Different values of one selecting attribute that the statements about one identity may give, including the one by
/// which it selects itself if it is a group.
pub const SELECTING_VALUES: usize = 4;
/// Statements by one signer about one identity in one domain, unless the descriptor says otherwise. Certificates that
/// have expired are not counted.
pub const STATEMENTS_PER_SIGNER_AND_IDENTITY: usize = 256;
/// The home warns when a signer who blocks a thing again and again has at most one of this many parts of their quota
/// left.
pub const QUOTA_WARNED_PARTS: usize = 8;
/// Bytes of HTTP request headers.
pub const HTTP_HEADER_BYTES: usize = 16 * 1024;
/// Connections over which a client sends more than that without a request that is worked on: up to 128 KiB are read of
/// a head before it is refused. One network gets a quarter of them.
pub const HTTP_LONG_HEADS: usize = 256;
/// Seconds within which a client must have sent its request.
pub const HTTP_REQUEST_SECONDS: u64 = 10;
/// Seconds for which a client may leave an answer unread.
pub const HTTP_ANSWER_SECONDS: u64 = 30;
/// Bodies that wait in a node for the home of one domain, which is another node.
pub const OUTBOX_BODIES: usize = 100_000;
/// Bytes of these bodies.
pub const OUTBOX_BYTES: usize = 256 * 1024 * 1024;
/// Blocks may exceed both bounds by one of this many parts: a theft is reported however much else waits.
pub const OUTBOX_BLOCKS: usize = 10;
/// Bodies per domain whose outcome is kept.
pub const OUTBOX_DONE: usize = 10_000;
/// Proofs that are kept that the home of one log has signed two: each later head of either would be another one.
pub const FORKS_KEPT: usize = 100;
/// Enrolment requests that may wait for an operator, per domain.
pub const ENROLMENTS_WAITING: usize = 10_000;
/// Names that one enrolment request asks for.
pub const ENROLMENT_NAMES: usize = 32;
/// Bytes of one enrolment request, as JSON.
pub const ENROLMENT_BYTES: usize = 16 * 1024;
/// Enrolment requests that one address may send at once.
pub const ENROLMENTS_PER_ADDRESS_AT_ONCE: u32 = 100;
/// Enrolment requests per minute from one address after that burst.
pub const ENROLMENTS_PER_ADDRESS: u64 = 10;
/// Bytes of one LDAP message that adds or changes a key.
pub const LDAP_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of any other LDAP message.
pub const LDAP_REQUEST_BYTES: usize = 64 * 1024;
/// BER elements in one LDAP message: parsed, each takes many times its own bytes in memory.
pub const LDAP_ELEMENTS: usize = 4_096;
/// Depth of nested BER elements in one LDAP message.
pub const LDAP_NESTING: usize = 64;
/// How deep a search filter nests.
pub const LDAP_FILTER_DEPTH: usize = 16;
/// Terms of a search filter, including those that join others.
pub const LDAP_FILTER_TERMS: usize = 64;
/// Bytes of a distinguished name.
pub const LDAP_NAME_BYTES: usize = 2_048;
/// Requests of one LDAP connection that wait for the one in progress.
pub const LDAP_REQUESTS_WAITING: usize = 128;
/// Bytes of these requests at which no more are read: the last of them may exceed it, or a long one could never come.
pub const LDAP_WAITING_BYTES: usize = 256 * 1024;
/// Entries of one search, or of one page of it, unless the client wants fewer.
pub const LDAP_SEARCH_ENTRIES: usize = 500;
/// Entries that one search, or one page of it, may examine at least without finding one to return: things, statements
/// about them, and the log entries by which they are found. Each search may examine up to twice as many; how many is
/// not known in advance.
pub const LDAP_LOOK_THROUGH: usize = 10_000;
/// Seconds that a search may take unless the client wants less.
pub const LDAP_SEARCH_SECONDS: u64 = 60;
/// Searches of one connection that wait to be asked for their next page.
pub const LDAP_PAGED_SEARCHES: usize = 4;
/// Entries of a log up to which a directory that is kept in step gets only what they are about; further behind, it gets
/// everything anew.
pub const LDAP_SYNC_TOUCHED: u64 = 10_000;
/// Domains of one directory that is kept in step as a whole: its cookie holds a position in each.
pub const LDAP_SYNC_DOMAINS: usize = 256;
/// Bytes of a cookie of such a directory: 82 for each of its domains, and as many for GnuPG's key space.
pub const LDAP_COOKIE_BYTES: usize = 24 * 1024;
/// Searches that are kept in step at once, over all connections; at most half of them belong to strangers.
pub const LDAP_IN_STEP: usize = 256;
/// Such searches of strangers in one network: an IPv4 address, or the IPv6 /48 that one site may have to itself.
pub const LDAP_IN_STEP_OF_NETWORK: usize = 16;
/// Messages beyond [`LDAP_REQUEST_BYTES`] that arrive at once, over all connections; at most half are strangers'.
pub const LDAP_LONG_MESSAGES: usize = 64;
/// Such messages of strangers in one network.
pub const LDAP_LONG_MESSAGES_OF_NETWORK: usize = 4;
/// Persistent searches of one connection (RFC 4533).
pub const LDAP_PERSISTING: usize = 16;
/// Seconds between a persistent search's looks for what time alone has changed.
pub const LDAP_PERSIST_SECONDS: u64 = 10;
/// Seconds after which an idle connection is closed.
pub const LDAP_IDLE_SECONDS: u64 = 900;
/// Further nodes that may be asked, behind the one asked first, about a thing in a domain of which there is no copy at
/// hand: the home behind a nearer node.
pub const ROAMING_HOPS: u8 = 1;
/// Bytes of such a node's answer, as JSON: some 1,800 statements of the usual length. A record may have more, but
/// [`ROAMING_AT_ONCE`] answers of that length would exhaust the memory of a small machine, so a thing with more
/// statements is `unknown` to nodes that keep no copy. Unless its statements are unusually long, its home has raised an
/// alarm by then ([`RECORD_STATEMENTS_NEAR`]).
pub const ROAMING_BYTES: usize = 4 * 1024 * 1024;
/// Seconds within which a node must answer.
pub const ROAMING_SECONDS: u64 = 3;
/// Seconds within which one question is answered from other nodes, or not at all.
pub const ROAMING_WHOLE_SECONDS: u64 = 8;
/// Questions per minute to one peer.
pub const ROAMING_PER_PEER: u64 = 1_200;
/// Questions per minute to all peers.
pub const ROAMING_PER_MINUTE: u64 = 3_000;
/// Questions per minute for one asker, so that none uses up everybody's share.
pub const ROAMING_PER_ASKER: u64 = 600;
/// Questions at once for one asker.
pub const ROAMING_PER_ASKER_AT_ONCE: u32 = 50;
/// Questions at once to other nodes.
pub const ROAMING_AT_ONCE: usize = 64;
/// Bytes of their answers that are kept, as whole evidence.
pub const ROAMING_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Questions that are remembered for a while because nobody could answer them.
pub const ROAMING_FAILURES: usize = 10_000;
/// Milliseconds for which such questions are not asked again, and an unreachable peer is left alone.
pub const ROAMING_PAUSE_MILLIS: u64 = 2_000;
/// Things that one request to a home watches by their ids.
pub const WATCHED_THINGS: usize = 4_096;
/// Choices by model or lot that one request watches.
pub const WATCHED_CHOICES: usize = 64;
/// Bytes of a watched model or lot.
pub const WATCHED_VALUE_BYTES: usize = 1_024;
/// Things that one reader watches at a domain's home, over all requests; all readers who show no key count as one.
pub const WATCHED_PER_READER: usize = 65_536;
/// The number of things that a request counts for at least.
pub const WATCHED_AT_LEAST: usize = 64;
/// Challenges that may wait for their answer; at most half of them belong to strangers.
pub const CHALLENGES_WAITING: usize = 10_000;
/// Challenges that one asker may get at once.
pub const CHALLENGES_PER_ASKER_AT_ONCE: u32 = 300;
/// Challenges per minute for one asker after that burst.
pub const CHALLENGES_PER_ASKER: u64 = 1_200;
/// Seconds within which a challenge must be answered.
pub const CHALLENGE_SECONDS: u64 = 60;
/// Questions in one batch of checks.
pub const CHECKS: usize = 1_000;
/// Kinds of X.509 certificates that a domain issues.
pub const CERTIFICATE_PROFILES: usize = 64;
/// Issuers of X.509 certificates in one descriptor, including those that only answer for what they have issued.
pub const CERTIFICATE_ISSUERS: usize = 8;
/// X.509 certificates from an issuer up to its root.
pub const X509_CHAIN: usize = 5;
/// Bytes of one X.509 certificate.
pub const X509_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Bytes of a request for an X.509 certificate (PKCS #10).
pub const CSR_BYTES: usize = 16 * 1024;
/// Names that a request for an X.509 certificate may ask for.
pub const CSR_NAMES: usize = 32;
/// Bytes of a CMP message: a request, and the certificates that identify its sender.
pub const CMP_BYTES: usize = 64 * 1024;
/// CMP transactions that a node remembers at once as begun.
pub const CMP_TRANSACTIONS: usize = 4096;
/// Such transactions of one thing, or of one signer whom the descriptor does not name.
pub const CMP_TRANSACTIONS_OF_ONE: usize = 64;
/// Requests of one thing over EST at once, or of one signer whom the descriptor does not name; as many more come in ten
/// minutes.
pub const EST_REQUESTS_OF_ONE: u32 = 64;
/// The same of a signer whom the descriptor names.
pub const EST_REQUESTS_OF_NAMED: u32 = 2048;
/// CMP messages of one client whose MAC is wrong, at once.
pub const CMP_WRONG_SECRETS_AT_ONCE: u32 = 100;
/// Such messages per minute after that burst.
pub const CMP_WRONG_SECRETS: u64 = 120;
/// Bytes of an OCSP request.
pub const OCSP_REQUEST_BYTES: usize = 4 * 1024;
/// Questions that one OCSP request may ask.
pub const OCSP_QUESTIONS: usize = 16;
/// OCSP answers that are signed for one asker alone, at once: those with a nonce, or about several certificates.
pub const OCSP_SIGNED_PER_ASKER_AT_ONCE: u32 = 100;
/// Such answers per minute after that burst.
pub const OCSP_SIGNED_PER_ASKER: u64 = 120;
/// Seconds for which an answer about revocation may be valid at most.
pub const REVOCATION_SECONDS: u64 = 30 * 24 * 60 * 60;
/// OCSP answers that are kept ready, per node.
pub const OCSP_ANSWERS_KEPT: usize = 1 << 20;
/// Bytes of OCSP answers that are kept, with their headers, under the bytes of their questions.
pub const OCSP_GIVEN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a developer's own signature over software.
pub const DEVELOPER_SIGNATURE_BYTES: usize = 8 * 1024;
/// Developers' signatures that one statement holds.
pub const DEVELOPER_SIGNATURES: usize = 4;
/// Bytes of software whose developer signature is checked.
pub const SIGNED_ARTIFACT_BYTES: usize = 2 << 30;
/// Bytes of one ACME request; the largest part of any is a certificate to be revoked.
pub const ACME_REQUEST_BYTES: usize = 64 * 1024;
/// Nonces for which a node knows whether they were used; older ones count as used.
pub const ACME_NONCES: u64 = 1 << 16;
/// Contacts of one ACME account.
pub const ACME_CONTACTS: usize = 5;
/// Credentials of one holder that wait for their ACME accounts.
pub const ACME_CREDENTIALS_WAITING: u64 = 100;
/// ACME accounts of one thing, including those it has deactivated: its own key can make any number, and each is kept.
/// Those that the operator has removed do not count.
pub const ACME_ACCOUNTS_OF_THING: usize = 16;
/// ACME accounts of one signer, counted likewise: a signer has one for each machine whose certificates they manage.
pub const ACME_ACCOUNTS_OF_SIGNER: usize = 1_024;
/// ACME challenges that a node validates at once.
pub const ACME_LOOKS: usize = 32;
/// ACME challenges of one holder that are being validated or wait for it: as many as an order has names.
pub const ACME_LOOKS_OF_HOLDER: usize = 32;
/// The same for all holders. The last of them waits for 80 s if nobody answers.
pub const ACME_LOOKS_WAITING: usize = 256;
/// Seconds that one validation of an ACME challenge may take.
pub const ACME_LOOK_SECONDS: u64 = 10;
/// Bytes of a revocation list that is fetched from an issuer's node, and of all lists in one CMP answer.
pub const REVOCATION_LIST_BYTES: usize = 4 << 20;
/// Bytes of all such lists that are kept. The bound is on bytes rather than their number: most lists have less than one
/// KiB, and the domains of a few issuers have hundreds, each of which is needed where there is no network.
pub const REVOCATION_LISTS_BYTES: usize = 64 << 20;
/// Number of such lists that are kept: each has a file, which takes 4 KiB on most disks.
pub const REVOCATION_LISTS: usize = 1 << 14;
/// Certificates that one alert names; its count includes all.
pub const ALERT_CERTIFICATES: usize = 100;
/// How often an alert is attempted before the next look at what it reports.
pub const ALERT_ATTEMPTS: usize = 4;
/// Bytes of an answer to http-01: a key authorization and white space.
pub const ACME_ANSWER_BYTES: usize = 1024;
