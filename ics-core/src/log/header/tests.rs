use proptest::prelude::*;

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_162_200_123);

fn submitted(kind: EntryKind) -> Header {
    Header { kind, admitted_at: AT, source: None }
}

fn adopted(source: Source) -> Header {
    Header { kind: EntryKind::Document, admitted_at: AT, source: Some(source) }
}

fn source(header: Vec<u8>, hashes: usize, checkpoint: &str) -> Source {
    Source {
        origin: Origin { domain: "code.dev.example".parse().unwrap(), entry0: [0xe0; 32] },
        index: 0x0102_0304_0506_0708,
        salt: [0x5a; 16],
        header,
        proof: vec![Hash([0xaa; 32]); hashes],
        checkpoint: checkpoint.to_owned(),
    }
}

/// A header that was adopted this many times.
fn nested(depth: usize) -> Header {
    match depth {
        0 => submitted(EntryKind::Document),
        _ => adopted(source(nested(depth - 1).encode().unwrap(), 1, "checkpoint\n")),
    }
}

/// The submitted entry's header, byte by byte.
const SUBMITTED: [u8; 11] = [1, 2, 0, 0, 0x01, 0xa1, 0xf8, 0x01, 0x58, 0x3b, 0];

/// A source with this domain, this number of hashes stated and this number given, a submitted entry's header, and the
/// checkpoint `c\n`.
fn source_bytes(domain: &[u8], header: &[u8], said: u16, given: usize) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let adopted = &SUBMITTED[..10];
    [
        adopted,
        &[1],
        &length(domain),
        domain,
        &[0xe0; 32],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[0x5a; 16],
        &length(header),
        header,
        &said.to_be_bytes(),
        &vec![0xaa; 32 * given],
        &[0, 2],
        b"c\n",
    ]
    .concat()
}

#[test]
fn the_bytes_are_those_of_the_description() {
    assert_eq!(u64::from_be_bytes(SUBMITTED[2..10].try_into().unwrap()), AT.as_millis());
    for kind in EntryKind::ALL {
        let mut bytes = SUBMITTED;
        bytes[1] = kind.code();
        assert_eq!(submitted(kind).encode().as_deref(), Ok(bytes.as_slice()));
        assert_eq!(Header::decode(&bytes), Ok(submitted(kind)));
    }
    let bytes = source_bytes(b"code.dev.example", &SUBMITTED, 2, 2);
    let header = adopted(source(SUBMITTED.to_vec(), 2, "c\n"));
    assert_eq!(header.encode().as_ref(), Ok(&bytes));
    assert_eq!(Header::decode(&bytes), Ok(header));
}

#[test]
fn keys_are_judged_as_of_the_nearest_admission() {
    let at = |millis| Header { admitted_at: Timestamp::from_millis(millis), ..submitted(EntryKind::Document) };
    let from = |header: &Header, millis| Header {
        source: Some(source(header.encode().unwrap(), 1, "checkpoint\n")),
        ..at(millis)
    };
    let (here, once) = (at(1), from(&at(1), 20));
    assert_eq!(here.keys_judged_at().as_millis(), 1);
    assert_eq!(once.keys_judged_at().as_millis(), 1);
    assert_eq!(from(&once, 300).keys_judged_at().as_millis(), 20, "of the way before that nothing is proven");
    let unread = Header { source: Some(source(vec![7], 1, "checkpoint\n")), ..at(300) };
    assert_eq!(unread.keys_judged_at().as_millis(), 300);
}

#[test]
fn what_is_cut_off_or_extended_is_refused() {
    for header in [nested(0), nested(1), nested(3)] {
        let bytes = header.encode().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..length]), Err(HeaderError::Truncated), "{length} bytes");
        }
        for more in [1, 7] {
            let longer = [bytes.as_slice(), &[0; 7][..more]].concat();
            assert_eq!(Header::decode(&longer), Err(HeaderError::Trailing(more)));
        }
    }
}

#[test]
fn every_refusal() {
    let changed = |place: usize, byte: u8| {
        let mut bytes = SUBMITTED;
        bytes[place] = byte;
        bytes.to_vec()
    };
    let late = [&[1, 2], 253_402_207_200_001_u64.to_be_bytes().as_slice(), &[0]].concat();
    let domain = |domain: &[u8]| source_bytes(domain, &SUBMITTED, 0, 0);
    let inner = |header: &[u8]| source_bytes(b"a.example", header, 0, 0);
    let hashes = |said, given| source_bytes(b"a.example", &SUBMITTED, said, given);
    let mut not_text = inner(&SUBMITTED);
    *not_text.last_mut().unwrap() = 0xff;
    for (bytes, error) in [
        (changed(0, 0), HeaderError::Version(0)),
        (changed(0, 2), HeaderError::Version(2)),
        (changed(1, 0), HeaderError::Kind(0)),
        (changed(1, 7), HeaderError::Kind(7)),
        (late, HeaderError::Time(253_402_207_200_001)),
        (changed(10, 2), HeaderError::SourceFlag(2)),
        (domain(b""), HeaderError::Domain),
        (domain(b"Code.example"), HeaderError::Domain),
        (domain(&[0xff]), HeaderError::Domain),
        (inner(b""), HeaderError::Truncated),
        (inner(&SUBMITTED[..10]), HeaderError::Truncated),
        (inner(&[SUBMITTED.as_slice(), &[0]].concat()), HeaderError::Trailing(1)),
        (inner(&changed(0, 3)), HeaderError::Version(3)),
        (hashes(65, 65), HeaderError::ProofHashes(65)),
        (hashes(64, 63), HeaderError::Truncated),
        (not_text, HeaderError::CheckpointText),
    ] {
        assert_eq!(Header::decode(&bytes), Err(error));
    }
    assert!(Header::decode(&hashes(64, 64)).is_ok());
}

#[test]
fn adoption_has_a_depth() {
    let deepest = nested(limits::ADOPTION_DEPTH);
    let bytes = deepest.encode().unwrap();
    assert_eq!(Header::decode(&bytes), Ok(deepest));
    let deeper = source_bytes(b"a.example", &bytes, 0, 0);
    assert_eq!(Header::decode(&deeper), Err(HeaderError::TooDeep));
    assert_eq!(adopted(source(bytes, 0, "c\n")).encode(), Err(HeaderError::TooDeep));
}

#[test]
fn a_header_has_a_length() {
    let around = adopted(source(SUBMITTED.to_vec(), 0, "")).encode().unwrap().len();
    let fits = adopted(source(SUBMITTED.to_vec(), 0, &"c".repeat(limits::HEADER_BYTES - around)));
    let bytes = fits.encode().unwrap();
    assert_eq!(bytes.len(), limits::HEADER_BYTES);
    assert_eq!(Header::decode(&bytes), Ok(fits));
    for more in [1, 100_000] {
        let checkpoint = "c".repeat(limits::HEADER_BYTES - around + more);
        assert!(matches!(adopted(source(SUBMITTED.to_vec(), 0, &checkpoint)).encode(), Err(HeaderError::TooLong(_))));
    }
    assert_eq!(Header::decode(&[1; limits::HEADER_BYTES + 1]), Err(HeaderError::TooLong(limits::HEADER_BYTES + 1)));
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let too_many = adopted(source(SUBMITTED.to_vec(), 65, "c\n"));
    assert_eq!(too_many.encode(), Err(HeaderError::ProofHashes(65)));
    let far_too_many = adopted(source(SUBMITTED.to_vec(), 65_536, "c\n"));
    assert_eq!(far_too_many.encode(), Err(HeaderError::ProofHashes(65_536)));
    assert_eq!(adopted(source(vec![9], 0, "c\n")).encode(), Err(HeaderError::Version(9)));
}

fn any_header() -> impl Strategy<Value = Header> {
    let kind = prop::sample::select(&EntryKind::ALL);
    let plain = (kind, 0..253_402_207_200_000_u64).prop_map(|(kind, millis)| Header {
        kind,
        admitted_at: Timestamp::from_millis(millis),
        source: None,
    });
    plain.prop_recursive(3, 4, 1, |inner| {
        let parts = (inner.clone(), inner, any::<u64>(), any::<[u8; 16]>(), 0_usize..5, "[a-z \n]{0,40}");
        parts.prop_map(|(outer, inner, index, salt, hashes, checkpoint)| {
            let source = Source { index, salt, ..source(inner.encode().unwrap(), hashes, &checkpoint) };
            Header { source: Some(source), ..outer }
        })
    })
}

proptest! {
    #[test]
    fn headers_are_read_back(header in any_header()) {
        prop_assert_eq!(Header::decode(&header.encode().unwrap()), Ok(header));
    }

    #[test]
    fn a_changed_header_is_refused_or_another(header in any_header(), place: prop::sample::Index, bit in 0..8) {
        let mut bytes = header.encode().unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        if let Ok(other) = Header::decode(&bytes) {
            prop_assert_ne!(&other, &header);
            prop_assert_eq!(other.encode(), Ok(bytes), "there is one form for every header");
        }
    }

    #[test]
    fn no_bytes_make_trouble(start in prop::sample::select(vec![0, 2, 11]), tail: Vec<u8>) {
        let prefix = [&SUBMITTED[..10], &[1]].concat();
        let bytes = [&prefix[..start], &tail].concat();
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), Ok(bytes));
        }
    }
}
