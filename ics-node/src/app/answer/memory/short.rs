//! A shorter form of JSON: half of what distinguishes one record from another is hexadecimal, which compression can at
//! best reduce to one of sixteen values per digit.

use data_encoding::HEXLOWER;
use lz4_flex::block::decompress_into_with_dict;

/// Comes before a count and that many bytes, which stand for their hexadecimal digits. JSON has no control characters.
const MARK: u8 = 1;

/// Fewer digits than this are left as they are.
const DIGITS: usize = 16;

/// Replaces hexadecimal digits in JSON by bytes.
pub(super) fn shorten(json: &[u8]) -> Vec<u8> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut short = Vec::with_capacity(json.len());
    for run in json.chunk_by(|a, b| is_digit(a) == is_digit(b)) {
        let digits = run.len().min(2 * usize::from(u8::MAX)) / 2 * 2;
        let decoded = run.split_at_checked(digits).filter(|_| digits >= DIGITS).and_then(|(digits, rest)| {
            let bytes = HEXLOWER.decode(digits).ok()?;
            Some((u8::try_from(bytes.len()).ok()?, bytes, rest))
        });
        match decoded {
            Some((count, bytes, rest)) => {
                short.extend([MARK, count]);
                short.extend(bytes);
                short.extend(rest);
            }
            None => short.extend(run),
        }
    }
    short
}

/// Appends the JSON that was shortened; `None` if [`shorten`] cannot have made this.
pub(super) fn lengthen(mut short: &[u8], into: &mut Vec<u8>) -> Option<()> {
    while let Some(mark) = short.iter().position(|byte| *byte == MARK) {
        let (before, marked) = short.split_at_checked(mark)?;
        into.extend_from_slice(before);
        let (count, rest) = marked.get(1..)?.split_first()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(*count))?;
        let start = into.len();
        into.resize(start + 2 * bytes.len(), 0);
        HEXLOWER.encode_mut(bytes, into.get_mut(start..)?);
        short = rest;
    }
    into.extend_from_slice(short);
    Some(())
}

/// Unpacks short JSON of a known length, given as its difference from a sample; `None` if it does not unpack to that.
pub(super) fn unpack(packed: &[u8], length: u32, sample: &[u8]) -> Option<Vec<u8>> {
    let mut json = vec![0; length as usize];
    let unpacked = decompress_into_with_dict(packed, &mut json, sample).ok()?;
    (unpacked == json.len()).then_some(json)
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::compress_with_dict;
    use proptest::prelude::*;

    use super::*;

    fn lengthened(short: &[u8]) -> Option<Vec<u8>> {
        let mut json = b"before".to_vec();
        lengthen(short, &mut json)?;
        json.strip_prefix(b"before").map(<[u8]>::to_vec)
    }

    #[test]
    fn hexadecimal_takes_half() {
        let id = "8cdaed44c2e3c7159d9f46b7726ead33ccac99b7";
        let json = format!(r#"{{"id":"{id}","at":"2026-11-29T00:51:51.317Z","since":1234567,"name":"sha256:{id}0"}}"#);
        let short = shorten(json.as_bytes());
        assert_eq!(short.len(), json.len() - 2 * 18);
        assert_eq!(lengthened(&short).as_deref(), Some(json.as_bytes()));
        for damaged in [&[MARK][..], &[MARK, 2, 0]] {
            assert_eq!(lengthened(damaged), None);
        }
    }

    proptest! {
        #[test]
        fn what_was_shortened_comes_back(json in "([0-9a-f]{0,40}|[ -~é]{0,8}|[0-9a-f]{500,1100}){0,6}") {
            prop_assert_eq!(lengthened(&shorten(json.as_bytes())), Some(json.into_bytes()));
        }

        #[test]
        fn so_does_what_was_packed(json in "[ -~]{0,300}", sample in "[ -~]{0,300}") {
            let packed = compress_with_dict(json.as_bytes(), sample.as_bytes());
            let length = u32::try_from(json.len()).expect("short");
            prop_assert_eq!(unpack(&packed, length, sample.as_bytes()), Some(json.clone().into_bytes()));
            prop_assert_eq!(unpack(&packed, length + 1, sample.as_bytes()), None);
        }
    }
}
