//! A regular expression that was compiled when it was read.

use std::str::FromStr;

use regex_lite::{Regex, RegexBuilder};

/// The most memory that a compiled pattern takes, in bytes: enough for any name, and a spec with a thousand of them still
/// fits a small machine.
pub const PATTERN_LIMIT: usize = 32 << 10;

/// A regular expression, equal to every other of the same text. It is searched for in time linear in the length of what it
/// is searched in, whatever it says.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// What it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Says whether it is found somewhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(PATTERN_LIMIT).build();
        compiled.map(Self).map_err(|error| error.to_string())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}
