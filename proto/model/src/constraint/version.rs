//! Versions of engines and kernels, and plain numbers.

use std::cmp::Ordering;
use std::str::FromStr;

/// A version: numbers with dots between, with or without a `v` before and a suffix behind.
///
/// Numbers are compared one by one, and one that is missing is 0. A suffix that begins with a letter comes before the
/// release, as in Semantic Versioning (`2.0.0-rc1` < `2.0.0`). One that begins with a digit counts builds of it and comes
/// after, because kernels are numbered so (`6.1.0` < `6.1.0-18-amd64`). What follows a `+` does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: Vec<u64>,
    suffix: Suffix,
}

/// What follows the numbers. In the order in which versions that are otherwise equal stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    /// Before the release.
    Before(Vec<Run>),
    /// The release.
    None,
    /// After the release.
    After(Vec<Run>),
}

/// A piece of a suffix: so 10 comes after 9, and a number before a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Number(u64),
    Word(String),
}

impl Version {
    /// What it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it stands to another. Versions of different texts can be the same here: `1.0` and `v1`.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let longest = self.numbers.len().max(other.numbers.len());
        let number = |version: &Self, at| version.numbers.get(at).copied().unwrap_or_default();
        let numbers = (0..longest).map(|at| number(self, at).cmp(&number(other, at)));
        let first = numbers.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| self.suffix.cmp(&other.suffix))
    }
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (bare, _build) = bare.split_once('+').unwrap_or((bare, ""));
        let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
        let (numbers, suffix) = bare.split_at_checked(end).unwrap_or((bare, ""));
        let read = |part: &str| part.parse::<u64>().map_err(|_| "has a part that is no number");
        let numbers = numbers.split('.').map(read).collect::<Result<Vec<_>, _>>()?;
        let suffix = match suffix.strip_prefix(['-', '~', '_']).unwrap_or(suffix) {
            "" if suffix.is_empty() => Suffix::None,
            "" => return Err("ends in the middle"),
            rest if rest.starts_with(|c: char| c.is_ascii_digit()) => Suffix::After(runs(rest)),
            rest => Suffix::Before(runs(rest)),
        };
        Ok(Self { text: text.to_owned(), numbers, suffix })
    }
}

/// Numbers and words by turns; what is neither stands between them and does not count.
fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for part in text.split(|c: char| !c.is_alphanumeric()) {
        let mut rest = part;
        while !rest.is_empty() {
            let is_number = rest.starts_with(|c: char| c.is_ascii_digit());
            let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
            let (run, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            runs.push(match run.parse() {
                Ok(number) if is_number => Run::Number(number),
                Ok(_) | Err(_) => Run::Word(run.to_owned()),
            });
            rest = after;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_order_of_their_release() {
        let ascending = [
            "0.9",
            "v1.0-alpha",
            "1.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc1",
            "1",
            "1.0.0.1",
            "1.2",
            "1.10",
            "6.1.0-rc3-amd64",
            "6.1.0",
            "6.1.0-9-amd64",
            "6.1.0-18-amd64",
            "6.1.102-111.182.amzn2023.x86_64",
            "20.10.21+dfsg1",
            "28.2.2",
        ];
        let read: Vec<Version> = ascending.iter().map(|text| text.parse().unwrap()).collect();
        for (at, one) in read.iter().enumerate() {
            for (other_at, other) in read.iter().enumerate() {
                assert_eq!(one.order(other), at.cmp(&other_at), "{} and {}", one.text, other.text);
            }
        }
    }

    #[test]
    fn a_version_can_be_written_in_several_ways() {
        for (one, other) in [("1", "v1.0.0"), ("V2.1", "2.1.0"), ("1.0+a", "1.0+b"), ("03", "3")] {
            let (one, other): (Version, Version) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.order(&other), Ordering::Equal);
        }
    }

    #[test]
    fn what_has_no_number_in_front_is_no_version() {
        for text in
            ["", "v", "latest", "1.", ".1", "1..2", "1.x", "99999999999999999999", "1-", "+1"]
        {
            assert!(text.parse::<Version>().is_err(), "{text:?} was taken");
        }
    }
}
