//! The part of the acceptance rule for Ed448 that is not left to the library: canonical encodings, no weak keys, S
//! below the group order.

/// Bytes of a point, and of S.
const BYTES: usize = 57;

/// 2^448 - 2^224 - 1, little-endian, as a point's y is encoded.
const P: [u8; BYTES] = {
    let mut p = [0xff; BYTES];
    p[28] = 0xfe;
    p[56] = 0;
    p
};

/// The group order (RFC 8032, 5.2), little-endian.
pub(super) const L: [u8; BYTES] = [
    0xf3, 0x44, 0x58, 0xab, 0x92, 0xc2, 0x78, 0x23, 0x55, 0x8f, 0xc5, 0x8d, 0x72, 0xc2, 0x6c, 0x21, 0x90, 0x36, 0xd6,
    0xae, 0x49, 0xdb, 0x4e, 0xc4, 0xe9, 0x23, 0xca, 0x7c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0x00,
];

const fn small(number: u8) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[0] = number;
    bytes
}

const MINUS_ONE: [u8; BYTES] = {
    let mut bytes = P;
    bytes[0] = 0xfe;
    bytes
};

fn y_of(point: &[u8; BYTES]) -> [u8; BYTES] {
    let mut y = *point;
    y[56] &= 0x7f;
    y
}

fn is_less(a: &[u8; BYTES], b: &[u8; BYTES]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// Whether this is the one encoding that RFC 8032 (5.2.3) gives a point.
pub(crate) fn is_canonical_encoding(point: &[u8; BYTES]) -> bool {
    let y = y_of(point);
    is_less(&y, &P) && !(y != *point && (y == small(1) || y == MINUS_ONE))
}

/// Whether a canonically encoded point is one of the four of small order: y is 1, -1 or 0.
pub(crate) fn has_small_order(point: &[u8; BYTES]) -> bool {
    [small(0), small(1), MINUS_ONE].contains(&y_of(point))
}

/// Whether a signature (R, S) may be passed to the arithmetic: R is canonical and S below the order.
pub(crate) fn is_well_formed(signature: &[u8]) -> bool {
    let (r, s) = (signature.first_chunk(), signature.last_chunk());
    signature.len() == 2 * BYTES && r.is_some_and(is_canonical_encoding) && s.is_some_and(|s| is_less(s, &L))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert!(!is_canonical_encoding(&P) && is_canonical_encoding(&MINUS_ONE) && is_canonical_encoding(&small(2)));
        let mut signed_one = small(1);
        signed_one[56] = 0x80;
        assert!(!is_canonical_encoding(&signed_one));
        let signed = |mut point: [u8; BYTES]| {
            point[56] |= 0x80;
            point
        };
        assert!(!is_canonical_encoding(&signed(MINUS_ONE)) && is_canonical_encoding(&signed(small(2))));
        assert!(
            has_small_order(&small(0)) && has_small_order(&signed(small(0))) && !has_small_order(&signed(small(2)))
        );
        assert!(has_small_order(&small(1)) && has_small_order(&MINUS_ONE) && !has_small_order(&small(2)));
        assert!(!is_well_formed(&[small(2), L].concat()) && is_well_formed(&[small(2), small(9)].concat()));
        assert!(!is_well_formed(&[P, small(9)].concat()) && !is_well_formed(&[0; 113]));
    }
}
