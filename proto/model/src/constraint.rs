//! What must hold of a node for tasks of a service to be put there: a small language of its own.
//!
//! ```text
//!  node.labels.disk == ssd and not node.zone in [eu-1a, eu-1b]
//!  node.kernel.version >= 6.1 or image.present("shop/web@sha256:…")
//! ```
//! A constraint is read once (`parse`), and what it prints is read back as the same. It looks at nothing but the node
//! and the images on its engine.

mod attribute;
mod conflict;
mod parse;
mod pattern;
mod version;

use std::collections::BTreeSet;
use std::fmt;

use crate::image::{Digest, ImageReference};
use crate::node::Node;

pub use self::attribute::Attribute;
pub use self::conflict::{Conflict, conflict};
pub use self::parse::{DEPTH_LIMIT, LENGTH_LIMIT, ParseError};
pub use self::pattern::{PATTERN_LIMIT, Pattern};
pub use self::version::Version;

/// A condition on a node. It is made by parsing, so that its text is never longer or deeper than can be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// One attribute is as it should be.
    Of(Attribute, Test),
    /// The node's engine has an image.
    ImagePresent(ImageName),
    /// The other does not hold.
    Not(Box<Constraint>),
    /// Each of them holds; at least two.
    All(Vec<Constraint>),
    /// One of them holds; at least two.
    Any(Vec<Constraint>),
}

/// How an attribute should be. One that a node does not have equals nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `==`
    Equal(String),
    /// `!=`, also true of an attribute that is not there.
    NotEqual(String),
    /// `in [a, b]`, at least one.
    In(Vec<String>),
    /// `not in [a, b]`, also true of an attribute that is not there.
    NotIn(Vec<String>),
    /// `=~`: the pattern is found somewhere in it.
    Matches(Pattern),
    /// `!~`, also true of an attribute that is not there.
    NotMatches(Pattern),
    /// `<`, `<=`, `>` or `>=`, never true of what is no version.
    Compares(Order, Version),
}

/// How two versions stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// An image that an engine can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// By nothing but its digest.
    Digest(Digest),
    /// By a name. Without a digest in it, it is not known what is meant, and no engine has it.
    Reference(ImageReference),
}

impl ImageName {
    /// What an engine must have, once that is known.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Reference(reference) => reference.digest(),
        }
    }
}

impl Constraint {
    /// Says whether the constraint holds. `images` are those on the node's engine, if they are known: as long as they are
    /// not, nothing holds that depends on them.
    #[must_use]
    pub fn is_met(&self, node: &Node, images: Option<&BTreeSet<Digest>>) -> bool {
        self.holds(node, images) == Some(true)
    }

    /// Says whether the constraint could hold if the engine had the right images.
    #[must_use]
    pub fn could_be_met(&self, node: &Node) -> bool {
        self.holds(node, None) != Some(false)
    }

    /// Whether it holds, if that can be said.
    fn holds(&self, node: &Node, images: Option<&BTreeSet<Digest>>) -> Option<bool> {
        match self {
            Self::Of(attribute, test) => Some(test.accepts(attribute.of(node))),
            Self::ImagePresent(image) => {
                images.map(|images| image.digest().is_some_and(|digest| images.contains(digest)))
            }
            Self::Not(inner) => inner.holds(node, images).map(|holds| !holds),
            Self::All(parts) => decide(parts, (node, images), false),
            Self::Any(parts) => decide(parts, (node, images), true),
        }
    }

    /// Says whether it depends on the images that an engine has.
    #[must_use]
    pub fn needs_images(&self) -> bool {
        match self {
            Self::Of(..) => false,
            Self::ImagePresent(_) => true,
            Self::Not(inner) => inner.needs_images(),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::needs_images),
        }
    }

    /// Every image that it asks for, in the order of the text.
    pub fn images(&self) -> Vec<&ImageName> {
        match self {
            Self::Of(..) => Vec::new(),
            Self::ImagePresent(image) => vec![image],
            Self::Not(inner) => inner.images(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::images).collect(),
        }
    }

    /// The same with other names of the images that it asks for.
    #[must_use]
    pub fn with_images(&self, rename: &impl Fn(&ImageName) -> ImageName) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.with_images(rename)).collect();
        match self {
            Self::Of(..) => self.clone(),
            Self::ImagePresent(image) => Self::ImagePresent(rename(image)),
            Self::Not(inner) => Self::Not(Box::new(inner.with_images(rename))),
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
        }
    }
}

/// Some part being `decisive` decides; otherwise what is not known of any part is not known of all (Kleene's logic).
fn decide(
    parts: &[Constraint],
    (node, images): (&Node, Option<&BTreeSet<Digest>>),
    decisive: bool,
) -> Option<bool> {
    let mut outcome = Some(!decisive);
    for part in parts {
        match part.holds(node, images) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

impl Test {
    /// Says whether a value is as it should be.
    #[must_use]
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let is = |wanted: &String| value == Some(wanted.as_str());
        match self {
            Self::Equal(wanted) => is(wanted),
            Self::NotEqual(wanted) => !is(wanted),
            Self::In(wanted) => wanted.iter().any(is),
            Self::NotIn(wanted) => !wanted.iter().any(is),
            Self::Matches(pattern) => value.is_some_and(|value| pattern.is_in(value)),
            Self::NotMatches(pattern) => !value.is_some_and(|value| pattern.is_in(value)),
            Self::Compares(order, version) => {
                let found = value.and_then(|value| value.parse::<Version>().ok());
                found.is_some_and(|found| order.allows(found.order(version)))
            }
        }
    }
}

impl Order {
    const fn allows(self, found: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::AtMost => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::AtLeast => found.is_ge(),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(attribute, test) => write!(f, "{attribute} {test}"),
            Self::ImagePresent(image) => write!(f, "image.present({})", Quoted(&image.to_string())),
            Self::Not(inner) => match **inner {
                Self::Of(..) | Self::ImagePresent(_) | Self::Not(_) => write!(f, "not {inner}"),
                Self::All(_) | Self::Any(_) => write!(f, "not ({inner})"),
            },
            Self::All(parts) => joined(f, parts, " and "),
            Self::Any(parts) => joined(f, parts, " or "),
        }
    }
}

/// Parts that would be read together with others are in parentheses: `and` binds more closely than `or`.
fn joined(f: &mut fmt::Formatter<'_>, parts: &[Constraint], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        let is_closer = match part {
            Constraint::Of(..) | Constraint::ImagePresent(_) | Constraint::Not(_) => true,
            Constraint::All(_) => word == " or ",
            Constraint::Any(_) => false,
        };
        if is_closer { write!(f, "{part}")? } else { write!(f, "({part})")? }
    }
    Ok(())
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, values: &[String]| {
            let values: Vec<String> = values.iter().map(|one| Value(one).to_string()).collect();
            write!(f, "{word} [{}]", values.join(", "))
        };
        match self {
            Self::Equal(value) => write!(f, "== {}", Value(value)),
            Self::NotEqual(value) => write!(f, "!= {}", Value(value)),
            Self::In(values) => list(f, "in", values),
            Self::NotIn(values) => list(f, "not in", values),
            Self::Matches(pattern) => write!(f, "=~ {}", Quoted(pattern.as_str())),
            Self::NotMatches(pattern) => write!(f, "!~ {}", Quoted(pattern.as_str())),
            Self::Compares(order, version) => write!(f, "{order} {}", Value(version.as_str())),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

/// A value as it is written: in quotes only where it must be.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_bare(self.0) { f.write_str(self.0) } else { write!(f, "{}", Quoted(self.0)) }
    }
}

/// A value in quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests;
