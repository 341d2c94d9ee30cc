//! Reads a constraint from its text.
//!
//! ```text
//!  any      all { ("or" | "||") all }
//!  all      one { ("and" | "&&") one }
//!  one      ("not" | "!") one | "(" any ")" | "image.present" "(" value ")" | attribute test
//!  test     ("==" | "!=" | "=~" | "!~" | "<" | "<=" | ">" | ">=") value | ["not"] "in" "[" value { "," value } "]"
//!  value    letters, digits and _ - . / : @ + * in a row, or anything in quotes
//! ```
//! In quotes a backslash takes the meaning from a quote and from another backslash, and is itself before anything else, so
//! that patterns read as usual.

use std::str::FromStr;

use thiserror::Error;

use super::attribute::LABELS;
use super::{Attribute, Constraint, ImageName, Order, Test};
use crate::image::ImageReference;
use crate::suggest::nearest;

/// The longest constraint, in bytes, as it is written and as it is printed: a page of text.
pub const LENGTH_LIMIT: usize = 4_000;

/// How deep parentheses and `not` go: deeper than anybody reads, and far from the end of any stack.
pub const DEPTH_LIMIT: usize = 16;

/// How much of a wrong text an error repeats, in characters.
const SHOWN_LIMIT: usize = 64;

/// Why a text is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct ParseError {
    /// Where, in characters from 0.
    pub position: usize,
    /// What is wrong there.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// Words that mean something where a value could stand.
const RESERVED: [&str; 4] = ["and", "or", "not", "in"];

fn is_bare_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '+' | '*')
}

/// Says whether all of it is read as part of one name.
pub(super) fn is_bare_run(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_bare_character)
}

/// Says whether a value can stand without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    is_bare_run(text) && !RESERVED.contains(&text)
}

impl FromStr for Constraint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        if text.len() > LENGTH_LIMIT {
            return Err(parser.error(too_long(text.len()), SPLIT));
        }
        let read = match plain(text) {
            Some(constraint) => constraint,
            None => parser.whole()?,
        };
        // What it prints is what is stored, and has to be read again.
        let printed = read.to_string().len();
        if printed > LENGTH_LIMIT {
            return Err(Parser { at: 0, ..parser }.error(too_long(printed), SPLIT));
        }
        Ok(read)
    }
}

const SPLIT: &str = "divide it: every entry of the list must hold";

fn too_long(bytes: usize) -> String {
    format!("a constraint has at most {LENGTH_LIMIT} bytes, this one {bytes}")
}

/// A single comparison as Swarm knows it: everything behind `==` or `!=` is the value, blanks and parentheses included.
fn plain(text: &str) -> Option<Constraint> {
    let at = text.find(['=', '!', '<', '>'])?;
    let (name, rest) = text.split_at_checked(at)?;
    let (value, is_equal) = match rest.strip_prefix("==") {
        Some(value) => (value.trim(), true),
        None => (rest.strip_prefix("!=")?.trim(), false),
    };
    let is_more = value.is_empty()
        || value.starts_with(['"', '\''])
        || ["&&", "||", "==", "!=", "=~", "!~"].iter().any(|sign| value.contains(sign))
        || value.split_whitespace().any(|word| RESERVED.contains(&word));
    let name = name.trim();
    if is_more || name.contains(char::is_whitespace) || name.contains(['"', '\'']) {
        return None;
    }
    let value = value.to_owned();
    let test = if is_equal { Test::Equal(value) } else { Test::NotEqual(value) };
    Some(Constraint::Of(Attribute::named(name)?, test))
}

type Parsed<T> = Result<T, ParseError>;

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Parsed<Constraint> {
        let all = self.any()?;
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(all);
        }
        let why = format!("`{}` does not belong to it", shown(self.rest()));
        Err(self.error(why, "write `and` or `or` before it, or put a value with blanks in quotes"))
    }

    fn any(&mut self) -> Parsed<Constraint> {
        self.series(Self::all, ("or", "||"), Constraint::Any)
    }

    fn all(&mut self) -> Parsed<Constraint> {
        self.series(Self::one, ("and", "&&"), Constraint::All)
    }

    fn series(
        &mut self,
        part: fn(&mut Self) -> Parsed<Constraint>,
        (word, sign): (&str, &str),
        join: fn(Vec<Constraint>) -> Constraint,
    ) -> Parsed<Constraint> {
        let first = part(self)?;
        if !self.eat_word(word) && !self.eat(sign) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.eat_word(word) || self.eat(sign) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn one(&mut self) -> Parsed<Constraint> {
        self.skip_blanks();
        if self.depth == DEPTH_LIMIT {
            let why = format!("more than {DEPTH_LIMIT} parentheses and `not` within each other");
            return Err(self.error(why, SPLIT));
        }
        self.depth += 1;
        let found = if self.eat_word("not") || self.eat("!") {
            Constraint::Not(Box::new(self.one()?))
        } else if self.eat("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else if self.eat_word("image.present") {
            self.image()?
        } else {
            let attribute = self.attribute()?;
            Constraint::Of(attribute, self.test()?)
        };
        self.depth -= 1;
        Ok(found)
    }

    fn image(&mut self) -> Parsed<Constraint> {
        self.expect("(")?;
        self.skip_blanks();
        let begin = self.at;
        let name = self.value()?;
        let image = match name.parse() {
            Ok(digest) => ImageName::Digest(digest),
            Err(_) => match name.parse::<ImageReference>() {
                Ok(reference) => ImageName::Reference(reference),
                Err(error) => {
                    self.at = begin;
                    return Err(self.error(error.to_string(), "write it as in a service's `image`"));
                }
            },
        };
        self.expect(")")?;
        Ok(Constraint::ImagePresent(image))
    }

    fn attribute(&mut self) -> Parsed<Attribute> {
        self.skip_blanks();
        let begin = self.at;
        let name = self.run();
        if name == LABELS && self.rest().starts_with(['"', '\'']) {
            return Ok(Attribute::Label(self.quoted()?));
        }
        if let Some(attribute) = Attribute::named(name) {
            return Ok(attribute);
        }
        self.at = begin;
        if name.is_empty() {
            let why = match shown(self.rest()) {
                rest if rest.is_empty() => "it ends where an attribute should be".to_owned(),
                rest => format!("`{rest}` is not an attribute"),
            };
            return Err(self.error(why, EXAMPLE));
        }
        let hint = match name {
            "node.role" => "leave it out; every node can run services".to_owned(),
            LABELS => "write the key of the label after the dot".to_owned(),
            _ => match nearest(name, Attribute::names().chain(["image.present"])) {
                Some(near) => format!("did you mean `{near}`?"),
                None => known(),
            },
        };
        Err(self.error(format!("`{}` can not be a constraint", shown(name)), hint))
    }

    fn test(&mut self) -> Parsed<Test> {
        self.skip_blanks();
        let begin = self.at;
        if self.eat_word("in") {
            return self.list().map(Test::In);
        }
        if self.eat_word("not") {
            if self.eat_word("in") {
                return self.list().map(Test::NotIn);
            }
            self.at = begin;
            return Err(self.error(
                "`not` stands before what it turns around",
                "write `not in [a, b]`, or `not` before the attribute",
            ));
        }
        let orders = [
            ("<=", Order::AtMost),
            (">=", Order::AtLeast),
            ("<", Order::Less),
            (">", Order::Greater),
        ];
        if self.eat("==") {
            self.value().map(Test::Equal)
        } else if self.eat("!=") {
            self.value().map(Test::NotEqual)
        } else if self.eat("=~") {
            self.read("a regular expression").map(Test::Matches)
        } else if self.eat("!~") {
            self.read("a regular expression").map(Test::NotMatches)
        } else if let Some((_, order)) = orders.into_iter().find(|(sign, _)| self.eat(sign)) {
            self.read("a version or a number").map(|version| Test::Compares(order, version))
        } else {
            let hint = if self.rest().starts_with('=') { "write `==`" } else { EXAMPLE };
            Err(self.error("nothing is asked of the attribute", hint))
        }
    }

    /// A value with a meaning of its own.
    fn read<T: FromStr<Err: ToString>>(&mut self, what: &str) -> Parsed<T> {
        self.skip_blanks();
        let begin = self.at;
        let text = self.value()?;
        text.parse().map_err(|error: T::Err| {
            self.at = begin;
            let why = format!("`{}` is not {what}: {}", shown(&text), error.to_string());
            self.error(why, format!("give {what}"))
        })
    }

    fn list(&mut self) -> Parsed<Vec<String>> {
        self.expect("[")?;
        self.skip_blanks();
        if self.rest().starts_with(']') {
            return Err(self.error("an empty list", "name at least one value"));
        }
        let mut values = vec![self.value()?];
        while self.eat(",") {
            values.push(self.value()?);
        }
        self.expect("]")?;
        Ok(values)
    }

    fn value(&mut self) -> Parsed<String> {
        self.skip_blanks();
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted();
        }
        let begin = self.at;
        let value = self.run();
        if is_bare(value) {
            return Ok(value.to_owned());
        }
        self.at = begin;
        let why = match shown(self.rest()) {
            rest if rest.is_empty() => "it ends where a value should be".to_owned(),
            rest => format!("`{rest}` is not a value"),
        };
        Err(self.error(why, "put it in quotes if it is meant as it stands"))
    }

    fn quoted(&mut self) -> Parsed<String> {
        let begin = self.at;
        let mut characters = self.rest().char_indices();
        let quote = characters.next().map_or('"', |(_, quote)| quote);
        let mut value = String::new();
        while let Some((_, character)) = characters.next() {
            if character == quote {
                self.at = self.text.len() - characters.as_str().len();
                return Ok(value);
            }
            let next = characters.as_str().chars().next();
            if character == '\\'
                && let Some(escaped @ ('"' | '\'' | '\\')) = next
            {
                characters.next();
                value.push(escaped);
            } else {
                value.push(character);
            }
        }
        self.at = begin;
        Err(self.error("a quote that does not end", "put the same quote behind the value"))
    }

    /// As many characters of names as there are.
    fn run(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_bare_character(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let is_there = self.rest().starts_with(sign);
        if is_there {
            self.at += sign.len();
        }
        is_there
    }

    /// A word that does not go on behind itself.
    fn eat_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let begin = self.at;
        let is_there = self.run() == word;
        if !is_there {
            self.at = begin;
        }
        is_there
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) {
            return Ok(());
        }
        let why = match shown(self.rest()) {
            rest if rest.is_empty() => format!("it ends where `{sign}` should be"),
            rest => format!("`{rest}` stands where `{sign}` should be"),
        };
        Err(self.error(why, format!("put `{sign}` there")))
    }

    fn error(&self, why: impl Into<String>, hint: impl Into<String>) -> ParseError {
        let position = self.text.get(..self.at).map_or(0, |before| before.chars().count());
        ParseError { position, why: why.into(), hint: hint.into() }
    }
}

const EXAMPLE: &str = "write it as in `node.labels.disk == ssd`";

fn known() -> String {
    let names: Vec<String> = Attribute::names().map(|name| format!("`{name}`")).collect();
    format!("use {}, `node.labels.KEY` or `image.present(…)`", names.join(", "))
}

/// A text as an error repeats it: short, and without what hides or turns it.
fn shown(text: &str) -> String {
    let mut characters = text.trim().chars().map(|c| {
        if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' { c } else { '\u{fffd}' }
    });
    let begin: String = characters.by_ref().take(SHOWN_LIMIT).collect();
    if characters.next().is_none() { begin } else { format!("{begin}…") }
}
