//! Shortens what peers say before it is passed on.

/// Characters that are kept: a few sentences.
const CHARACTERS: usize = 240;

/// The beginning of what a peer says, cut after a whole word if it is long.
pub(crate) fn beginning(text: &str) -> String {
    let text = text.trim();
    let Some((end, _)) = text.char_indices().nth(CHARACTERS) else { return text.to_owned() };
    let head = text.get(..end).unwrap_or(text);
    let words = head.rsplit_once(char::is_whitespace).map_or(head, |(words, _)| words);
    format!("{}…", words.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_ends_with_a_word() {
        assert_eq!(beginning(" it has no room \n"), "it has no room");
        let words = "zwölf Wörter ".repeat(40);
        let cut = beginning(&words);
        assert!(cut.ends_with("zwölf…") || cut.ends_with("Wörter…"), "{cut}");
        assert!(cut.chars().count() <= CHARACTERS && cut.chars().count() > CHARACTERS - 20, "{cut}");
        assert_eq!(beginning(&cut), cut, "who tells it on cuts no more");
        let endless = "ö".repeat(999);
        assert_eq!(beginning(&endless).chars().count(), CHARACTERS + 1);
        assert_eq!(beginning(&beginning(&endless)), beginning(&endless));
    }
}
