//! What a number or a text may be, whoever sent it.
//!
//! What was once accepted lies in stores and journals and is read through the same checks. A check that is added after a
//! release therefore belongs where a request comes in (see `spec_from_wire`): anywhere else a coordinator would not
//! start any more.

use std::time::Duration;

use crate::convert::{Invalid, Valid};

/// The longest of any single text, in bytes: Linux takes no longer single argument or variable (`MAX_ARG_STRLEN`,
/// 128 KiB with the zero at its end).
const TEXT_LIMIT: usize = (128 << 10) - 1;
/// The longest text about something that was seen, in bytes: more than anybody reads in a table.
const SEEN_LIMIT: usize = 4 << 10;
/// How much of a wrong text an error repeats, in characters: enough to find it. Errors travel in a header, and gRPC
/// takes about 8 KiB of those.
const QUOTE_LIMIT: usize = 64;
/// The longest duration of a spec. Longer is a mistake in the unit.
const DURATION_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);
/// The most entries of any list or map of a spec.
const ENTRIES_LIMIT: usize = 1_000;
/// The greatest number that is counted on from: nobody gets there by ones, nor from there to the end.
const COUNT_LIMIT: u64 = 1 << 62;

/// A text that an engine can be given: no NUL, not too long.
pub(crate) fn text(path: &str, text: &str) -> Valid<String> {
    fits(path, text.len())?;
    if text.contains('\0') {
        return Err(Invalid::new(path, "contains a NUL character"));
    }
    Ok(text.to_owned())
}

/// A length that an engine can be given.
pub(crate) fn fits(path: &str, bytes: usize) -> Valid<()> {
    if bytes > TEXT_LIMIT {
        return Err(Invalid::new(path, format!("has {bytes} bytes of {TEXT_LIMIT} allowed")));
    }
    Ok(())
}

/// A text that shows as what it is: on one line, in one direction.
pub(crate) fn line(path: &str, line: &str) -> Valid<String> {
    if let Some(character) = line.chars().find(|character| is_hidden(*character)) {
        let why = format!("contains {character:?}, a control character");
        return Err(Invalid::new(path, why));
    }
    text(path, line)
}

/// Control characters, and those of Unicode that break a line or turn the direction in which it is read: with them one
/// name can look like another (CVE-2021-42574).
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same, and not empty.
pub(crate) fn word(path: &str, word: &str) -> Valid<String> {
    if word.is_empty() {
        return Err(Invalid::new(path, "is empty"));
    }
    line(path, word)
}

/// What was seen, in somebody's words. Shortened and never refused: a report that is refused is sent again for ever,
/// and a record that is refused keeps the coordinator from starting.
pub(crate) fn seen(text: &str) -> String {
    const MARK: &str = "…";
    if text.len() <= SEEN_LIMIT {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(SEEN_LIMIT - MARK.len());
    text.get(..end).unwrap_or_default().to_owned() + MARK
}

/// A wrong text as an error repeats it.
pub(crate) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let begin: String = characters.by_ref().take(QUOTE_LIMIT).collect();
    if characters.next().is_none() { format!("{begin:?}") } else { format!("{begin:?}…") }
}

pub(crate) fn few(path: &str, count: usize) -> Valid<()> {
    if count > ENTRIES_LIMIT {
        return Err(Invalid::new(path, format!("has {count} entries of {ENTRIES_LIMIT} allowed")));
    }
    Ok(())
}

/// A number that is counted on from.
pub(crate) fn count(path: &str, number: u64) -> Valid<u64> {
    if number > COUNT_LIMIT {
        return Err(Invalid::new(path, format!("{number} is more than anybody can have counted")));
    }
    Ok(number)
}

pub(crate) fn duration(path: &str, millis: u64) -> Valid<Duration> {
    let duration = Duration::from_millis(millis);
    if duration > DURATION_LIMIT {
        return Err(Invalid::new(path, "is longer than a year"));
    }
    Ok(duration)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn port(path: &str, number: u32) -> Valid<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| Invalid::new(path, format!("{number} is not a port: 1 to 65535")))
}

/// An absolute path without a way back up.
pub(crate) fn absolute(path: &str, given: &str) -> Valid<String> {
    let given = word(path, given)?;
    if !given.starts_with('/') {
        return Err(Invalid::new(path, format!("{} is not an absolute path", quoted(&given))));
    }
    if given.split('/').any(|part| part == "..") {
        return Err(Invalid::new(path, format!("{} leads back up with `..`", quoted(&given))));
    }
    Ok(given)
}
