//! Splits a command into words as a shell does: blanks divide, quotes and backslashes keep together. Nothing else of a
//! shell happens.

/// Why a text can not be split.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// A quote that is not closed.
    Quote(char),
    /// A backslash at the end.
    Backslash,
}

/// Splits a text into words.
pub(super) fn split(text: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' => quoted(&mut rest, c, word.get_or_insert_default())?,
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(Unfinished::Backslash),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    rest: &mut std::str::Chars<'_>,
    quote: char,
    word: &mut String,
) -> Result<(), Unfinished> {
    loop {
        match rest.next() {
            None => return Err(Unfinished::Quote(quote)),
            Some(c) if c == quote => return Ok(()),
            Some('\\') if quote == '"' => match rest.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(Unfinished::Quote(quote)),
            },
            Some(c) => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Unfinished, split};

    #[test]
    fn quotes_and_backslashes_keep_words_together() {
        let words = split(r#"sh -c 'echo "a  b"' "c \"d\" \n" e\ f '' g"h"i"#).unwrap();
        assert_eq!(words, ["sh", "-c", "echo \"a  b\"", "c \"d\" \\n", "e f", "", "ghi"]);
        assert_eq!(split(" \t\n"), Ok(vec![]));
        assert_eq!(split("a\\\nb"), Ok(vec!["ab".to_owned()]));
    }

    #[test]
    fn what_is_not_finished_is_refused() {
        assert_eq!(split("echo 'a"), Err(Unfinished::Quote('\'')));
        assert_eq!(split("echo \"a\\"), Err(Unfinished::Quote('"')));
        assert_eq!(split("echo \\"), Err(Unfinished::Backslash));
    }
}
