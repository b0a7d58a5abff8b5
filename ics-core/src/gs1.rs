//! GS1 identifiers as used in QR codes on products: a GTIN with its check digit, and the path of a GS1 Digital Link
//! URI, `/01/<GTIN>[/22/<variant>][/10/<lot>][/21/<serial>]` (GS1 Digital Link Standard: URI Syntax, 4.3 to 4.9).

use core::fmt;
use core::str::FromStr;

use crate::identity::excerpt;

/// Characters of a serial number, a lot or a variant (GS1 General Specifications, AI 21, 10 and 22).
const QUALIFIER_CHARACTERS: usize = 20;

/// A Global Trade Item Number, as 14 digits with a correct check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtin([u8; 14]);

/// What a GS1 Digital Link is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitalLink {
    /// The product.
    pub gtin: Gtin,
    /// Its lot or batch.
    pub lot: Option<String>,
    /// The serial number of the piece.
    pub serial: Option<String>,
}

/// Why a text is not a GS1 identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gs1Error {
    /// Not 8, 12, 13 or 14 digits.
    #[error("`{0}` is not a GTIN: a GTIN has 8, 12, 13 or 14 digits")]
    Digits(String),
    /// The check digit is wrong.
    #[error("the check digit of the GTIN `{given}` is {found}, but should be {expected}: a digit was misread")]
    Check {
        /// The text.
        given: String,
        /// Its last digit.
        found: u8,
        /// The check digit of the other digits.
        expected: u8,
    },
    /// A part of the path that the standard does not allow there.
    #[error("`{0}` does not belong there: after the GTIN come /22/, /10/ and /21/, in this order, each with a value")]
    Part(String),
    /// A value with characters that the standard does not allow, or with too many.
    #[error("`{0}` is not a value for /{1}/: use 1 to 20 characters of the GS1 set")]
    Value(String, &'static str),
}

/// The check digit of the other digits, with weights of 3 and 1 in turn from the right (GS1 General Specifications,
/// 7.9).
fn check_digit(digits: &[u8]) -> u8 {
    let weighted = digits.iter().rev().zip([3, 1].into_iter().cycle());
    let sum: u32 = weighted.map(|(digit, weight)| u32::from(*digit) * weight).sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or_default()
}

impl FromStr for Gtin {
    type Err = Gs1Error;

    fn from_str(text: &str) -> Result<Self, Gs1Error> {
        let malformed = || Gs1Error::Digits(excerpt(text));
        if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let mut digits = [0; 14];
        for (place, byte) in digits.iter_mut().rev().zip(text.bytes().rev()) {
            *place = byte - b'0';
        }
        let [body @ .., found] = &digits;
        let expected = check_digit(body);
        if *found == expected {
            Ok(Self(digits))
        } else {
            Err(Gs1Error::Check { given: excerpt(text), found: *found, expected })
        }
    }
}

impl fmt::Display for Gtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{digit}"))
    }
}

/// GS1's character set 82 (GS1 General Specifications, figure 7.11-1).
fn is_of_set_82(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!\"%&'()*+,-./:;<=>?_".contains(c)
}

fn value(text: &str, key: &'static str) -> Result<String, Gs1Error> {
    let fits = (1..=QUALIFIER_CHARACTERS).contains(&text.chars().count()) && text.chars().all(is_of_set_82);
    fits.then(|| text.to_owned()).ok_or_else(|| Gs1Error::Value(excerpt(text), key))
}

impl DigitalLink {
    /// Reads the GTIN and what follows it in the path: keys and values in turn, already percent-decoded.
    ///
    /// # Errors
    /// When the check digit is wrong, a key is unknown, out of order or without a value, or a value is malformed.
    pub fn new<'a>(gtin: &str, qualifiers: impl IntoIterator<Item = &'a str>) -> Result<Self, Gs1Error> {
        let mut link = Self { gtin: gtin.parse()?, lot: None, serial: None };
        let mut parts = qualifiers.into_iter();
        let mut allowed = ["22", "10", "21"].into_iter();
        while let Some(key) = parts.next() {
            let known = allowed.find(|allowed| *allowed == key).ok_or_else(|| Gs1Error::Part(excerpt(key)))?;
            let given = value(parts.next().unwrap_or_default(), known)?;
            match known {
                "10" => link.lot = Some(given),
                "21" => link.serial = Some(given),
                _ => {}
            }
        }
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        for (text, expected) in [
            ("9506000134352", Ok("09506000134352")),
            ("09506000134352", Ok("09506000134352")),
            ("96385074", Ok("00000096385074")),
            ("614141000036", Ok("00614141000036")),
            (
                "9506000134353",
                Err("the check digit of the GTIN `9506000134353` is 3, but should be 2: a digit was misread"),
            ),
            (
                "950600013435",
                Err("the check digit of the GTIN `950600013435` is 5, but should be 9: a digit was misread"),
            ),
            ("95060001343", Err("`95060001343` is not a GTIN: a GTIN has 8, 12, 13 or 14 digits")),
            ("950600013435x", Err("`950600013435x` is not a GTIN: a GTIN has 8, 12, 13 or 14 digits")),
            ("", Err("`` is not a GTIN: a GTIN has 8, 12, 13 or 14 digits")),
        ] {
            let read = text.parse::<Gtin>().map(|gtin| gtin.to_string()).map_err(|error| error.to_string());
            assert_eq!(read.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }

    /// Any one digit misread is noticed.
    #[test]
    fn no_single_misread_digit_passes() {
        let right = "09506000134352";
        for place in 0..right.len() {
            for digit in '0'..='9' {
                let mut text: Vec<char> = right.chars().collect();
                text[place] = digit;
                let text: String = text.into_iter().collect();
                assert_eq!(text.parse::<Gtin>().is_ok(), text == right, "{text}");
            }
        }
    }

    #[test]
    fn paths() {
        let read = |rest: &str| DigitalLink::new("9506000134352", rest.split('/').filter(|part| !part.is_empty()));
        let link = |lot: Option<&str>, serial: Option<&str>| DigitalLink {
            gtin: "9506000134352".parse().expect("a GTIN"),
            lot: lot.map(str::to_owned),
            serial: serial.map(str::to_owned),
        };
        assert_eq!(read("21/SN-0001"), Ok(link(None, Some("SN-0001"))));
        assert_eq!(read(""), Ok(link(None, None)));
        assert_eq!(read("22/A/10/L1/21/7"), Ok(link(Some("L1"), Some("7"))));
        assert_eq!(read("10/L1"), Ok(link(Some("L1"), None)));
        for wrong in ["21", "21/7/10/L1", "21/7/21/8", "17/261120", "21/a b", "21/\u{202e}", "21/123456789012345678901"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
