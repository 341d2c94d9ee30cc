//! A Compose file as a tree that remembers where everything stands.

use super::place::Place;

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
    pub tag: Option<Tag>,
}

/// What a value can be.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A text and what YAML takes it for.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    pub kind: Kind,
    /// Whether it stands there without quotes, so that its text decides the kind.
    pub is_plain: bool,
}

/// What the core schema of YAML 1.2 (section 10.3) takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// What Compose's tags ask of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// `!reset`: the key goes.
    Reset,
    /// `!override`: the value replaces the older one.
    Override,
}

impl Node {
    /// A text that is in no file as it is, standing for what is at the place.
    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        let scalar = Scalar { text: text.into(), kind: Kind::Text, is_plain: false };
        Self { place, value: Value::Scalar(scalar), tag: None }
    }

    /// Where a character of its text stands, counted from 0; the whole of it when that can not be said, because the text
    /// has several lines or is written in another way than it reads.
    pub(super) fn place_within(&self, position: usize) -> Place {
        let Value::Scalar(scalar) = &self.value else { return self.place };
        let Place { source, line, column, end_line, end_column } = self.place;
        let quotes = usize::from(!scalar.is_plain);
        let width = end_column.saturating_sub(column);
        if line != end_line || width != scalar.text.chars().count() + 2 * quotes {
            return self.place;
        }
        let left = width.saturating_sub(quotes + position).max(1);
        Place::on_line(source, line, column + quotes + position, left.saturating_sub(quotes).max(1))
    }

    /// A null that stands for what is at the place.
    pub(super) fn null(place: Place) -> Self {
        let scalar = Scalar { text: String::new(), kind: Kind::Null, is_plain: true };
        Self { place, value: Value::Scalar(scalar), tag: None }
    }

    pub(super) fn mapping(place: Place, entries: Vec<Entry>) -> Self {
        Self { place, value: Value::Mapping(entries), tag: None }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// Says whether nothing is asked for: null, false, `[]` or `{}`.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => {
                scalar.kind == Kind::Null
                    || scalar.kind == Kind::Boolean && scalar.text.eq_ignore_ascii_case("false")
            }
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
        }
    }

    /// The value of a key of a mapping, null included.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            Value::Scalar(_) | Value::Sequence(_) => &[],
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing",
                Kind::Boolean => "true or false",
                Kind::Number => "a number",
                Kind::Text => "a string",
            },
        }
    }

    /// Says whether two trees mean the same, wherever they stand. The order of keys does not matter.
    pub(super) fn means(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(one), Value::Scalar(two)) => {
                one.text == two.text && one.kind == two.kind
            }
            (Value::Sequence(one), Value::Sequence(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.means(two))
            }
            (Value::Mapping(one), Value::Mapping(two)) => {
                let is_there = |entry: &Entry| {
                    other.get(&entry.key).is_some_and(|value| entry.value.means(value))
                };
                one.len() == two.len() && one.iter().all(is_there)
            }
            (Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_), _) => false,
        }
    }
}

impl Kind {
    /// What a plain scalar is.
    pub(super) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Boolean,
            text if is_number(text) => Self::Number,
            _ => Self::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_special =
        matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    is_special || is_based(text) || is_decimal(unsigned)
}

fn is_based(text: &str) -> bool {
    let has = |digits: &str, is_digit: fn(&u8) -> bool| {
        !digits.is_empty() && digits.as_bytes().iter().all(is_digit)
    };
    let is_octal = text.strip_prefix("0o").is_some_and(|d| has(d, |b| matches!(b, b'0'..=b'7')));
    is_octal || text.strip_prefix("0x").is_some_and(|d| has(d, u8::is_ascii_hexdigit))
}

fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    has_digits
        && is_digits(whole)
        && is_digits(fraction)
        && !exponent.is_empty()
        && is_digits(exponent)
}
