//! Splits a text in libconfig's format into tokens: comments are removed, adjacent strings joined, and escapes
//! resolved. Text that libconfig would read differently is refused.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::named::DescriptionError;

/// All bytes that occur in numbers. libconfig takes `1sha256` for two tokens, so a number must not swallow a name;
/// neither `sha256` nor `filename` consists of these bytes only.
const OF_NUMBERS: &[u8] = b"0123456789abcdefABCDEFxXoOlL.+-";

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// The name of a setting, or a word such as `true`.
    Name(String),
    /// A string.
    Text(Vec<u8>),
    /// A number.
    Number,
    /// A bracket, or a separator between settings or values.
    Sign(u8),
}

/// The tokens of a text.
///
/// # Errors
/// When it includes another file, or is not understood.
pub(super) fn tokens(whole: &[u8]) -> Result<Vec<Token>, DescriptionError> {
    let mut scanner = Scanner { whole, rest: whole };
    let mut tokens = Vec::new();
    while let Some(token) = scanner.token()? {
        if let (Token::Text(more), Some(Token::Text(text))) = (&token, tokens.last_mut()) {
            text.extend_from_slice(more);
        } else {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

struct Scanner<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn token(&mut self) -> Result<Option<Token>, DescriptionError> {
        self.skip()?;
        let Some((&first, behind)) = self.rest.split_first() else { return Ok(None) };
        let token = match first {
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'=' | b':' | b',' | b';' => {
                self.rest = behind;
                Token::Sign(first)
            }
            b'"' => Token::Text(self.string()?),
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                let name = self.run(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte));
                Token::Name(String::from_utf8_lossy(name).into_owned())
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' => self.number()?,
            b'@' => return Err(DescriptionError::Include(self.line())),
            _ => return Err(self.not_understood()),
        };
        Ok(Some(token))
    }

    /// Skips white space and comments.
    fn skip(&mut self) -> Result<(), DescriptionError> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if let Some(comment) = self.rest.strip_prefix(b"/*") {
                let end = comment.windows(2).position(|it| it == b"*/").ok_or_else(|| self.not_understood())?;
                self.rest = comment.get(end + 2..).unwrap_or_default();
            } else if self.rest.starts_with(b"//") || self.rest.starts_with(b"#") {
                self.run(|byte| byte != b'\n');
            } else {
                return Ok(());
            }
        }
    }

    /// Takes all bytes up to the first that does not match.
    fn run(&mut self, is_of_it: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !is_of_it(*byte)).unwrap_or(self.rest.len());
        let (run, behind) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = behind;
        run
    }

    fn number(&mut self) -> Result<Token, DescriptionError> {
        let begin = self.rest;
        let number = self.run(|byte| byte.is_ascii_alphanumeric() || b"-_*.+".contains(&byte));
        if number.iter().all(|byte| OF_NUMBERS.contains(byte)) { Ok(Token::Number) } else { Err(self.refused(begin)) }
    }

    fn string(&mut self) -> Result<Vec<u8>, DescriptionError> {
        let begin = self.rest;
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut text = Vec::new();
        while let Some((&byte, behind)) = self.rest.split_first() {
            self.rest = behind;
            match byte {
                b'"' => return Ok(text),
                b'\\' => text.push(self.escaped()),
                _ => text.push(byte),
            }
        }
        Err(self.refused(begin))
    }

    /// Resolves an escape sequence after its backslash. Before any other character a backslash stands for itself.
    fn escaped(&mut self) -> u8 {
        let hex = self.rest.strip_prefix(b"x").and_then(|rest| rest.split_at_checked(2));
        if let Some((digits, behind)) = hex
            && let Ok([byte]) = HEXLOWER_PERMISSIVE.decode(digits).as_deref()
        {
            self.rest = behind;
            return *byte;
        }
        let Some((&letter, behind)) = self.rest.split_first() else { return b'\\' };
        let byte = match letter {
            b'"' | b'\\' => letter,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'f' => 0x0c,
            b'v' => 0x0b,
            b'b' => 0x08,
            b'a' => 0x07,
            _ => return b'\\',
        };
        self.rest = behind;
        byte
    }

    /// An error that says that the text starting there is not understood.
    fn refused(&self, begin: &'a [u8]) -> DescriptionError {
        Self { whole: self.whole, rest: begin }.not_understood()
    }

    /// The number of the current line, from 1.
    fn line(&self) -> usize {
        let read = self.whole.len().saturating_sub(self.rest.len());
        self.whole.iter().take(read).filter(|byte| **byte == b'\n').count() + 1
    }

    fn not_understood(&self) -> DescriptionError {
        let line = self.rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = ics_core::identity::excerpt(&String::from_utf8_lossy(line));
        DescriptionError::Form { line: self.line(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_what_libconfig_makes_of_it() {
        for (text, expected) in [
            (r#""ab" "c""#, "abc"),
            ("\"ab\" /* x */ \"c\" // y\n # z\n\"d\"", "abcd"),
            (r#""\x61\x6A\n\"\\""#, "aj\n\"\\"),
            (r#""\x6 \q \u0061""#, r"\x6 \q \u0061"),
            ("\"/* a */ # b\nc\"", "/* a */ # b\nc"),
            (r#"/***/ "a" /* " */"#, "a"),
        ] {
            assert_eq!(tokens(text.as_bytes()), Ok(vec![Token::Text(expected.into())]), "{text}");
        }
    }

    #[test]
    fn settings_need_nothing_between_them() {
        let sign = Token::Sign;
        let expected = vec![Token::Name("a-1".to_owned()), sign(b'='), Token::Number, Token::Name("b".to_owned())];
        for text in ["a-1=0x1FL b", "a-1 = -1.5e+3\nb", "a-1/**/=/**/.5/**/b"] {
            assert_eq!(tokens(text.as_bytes()), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood() {
        for (text, line, rest) in [
            ("a = \"x", 1, "\"x"),
            ("\n/* a", 2, "/* a"),
            ("a = 1sha256", 1, "1sha256"),
            ("a = .sha256", 1, ".sha256"),
            ("a = 'x'", 1, "'x'"),
            ("a\n=\n<", 3, "<"),
        ] {
            let refused = DescriptionError::Form { line, text: rest.to_owned() };
            assert_eq!(tokens(text.as_bytes()), Err(refused), "{text}");
        }
        assert_eq!(tokens(b"a = 1;\n  @include \"b\""), Err(DescriptionError::Include(2)));
    }
}
