//! Reads single values: texts, numbers, lists and pairs, with an error at the value that does not fit.

use std::ops::RangeInclusive;

use super::node::{Kind, Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::quantity::{self, Refusal};

/// Reports a value of the wrong kind.
pub(super) fn expected(problems: &mut Problems, node: &Node, what: &str) {
    let message = format!("expected {what}, found {}", node.describe());
    let problem = problems.error(node.place, message);
    if let Value::Scalar(scalar) = &node.value
        && scalar.kind == Kind::Boolean
    {
        problem.hint(format!("write \"{}\", in quotes, if it is a text", scalar.text));
    }
}

/// Reads a text in which every character can be seen: a name, a path, a word.
pub(super) fn text<'a>(problems: &mut Problems, node: &'a Node) -> Option<&'a str> {
    let text = free_text(problems, node)?;
    if text.is_empty() {
        problems.error(node.place, "the value is empty").hint("give a value, or leave the key out");
        return None;
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        let message = format!("a text with the control character {control:?}");
        problems.error(node.place, message).hint("take it out");
        return None;
    }
    Some(text)
}

/// Reads a text of any characters but NUL, which the tree does not have: a value of the environment, a script.
pub(super) fn free_text<'a>(problems: &mut Problems, node: &'a Node) -> Option<&'a str> {
    match &node.value {
        Value::Scalar(scalar) if matches!(scalar.kind, Kind::Text | Kind::Number) => {
            Some(&scalar.text)
        }
        Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => {
            expected(problems, node, "a string");
            None
        }
    }
}

/// Reads `true` or `false`, also in quotes: a variable often is.
pub(super) fn flag(problems: &mut Problems, node: &Node) -> Option<bool> {
    let Value::Scalar(scalar) = &node.value else {
        expected(problems, node, "true or false");
        return None;
    };
    match scalar.text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        text => {
            let meant = match text {
                "yes" | "y" | "on" | "1" => "in YAML 1.2 that is a text: write `true`",
                "no" | "n" | "off" | "0" => "in YAML 1.2 that is a text: write `false`",
                _ => "write `true` or `false`",
            };
            let message = format!("expected true or false, found {}", node.describe());
            problems.error(node.place, message).hint(meant);
            None
        }
    }
}

/// Reads a whole number within a range, also in quotes: a variable often is.
pub(super) fn whole(
    problems: &mut Problems,
    node: &Node,
    range: RangeInclusive<i64>,
) -> Option<i64> {
    let Value::Scalar(scalar) = &node.value else {
        expected(problems, node, "a number");
        return None;
    };
    let number: Option<i64> = scalar.text.parse().ok();
    match number.filter(|number| range.contains(number)) {
        Some(number) => Some(number),
        None => {
            let (least, most) = (range.start(), range.end());
            let message = match scalar.kind {
                Kind::Number => {
                    format!("{} is not a whole number from {least} to {most}", scalar.text)
                }
                Kind::Null | Kind::Boolean | Kind::Text => {
                    format!("expected a number, found {}", node.describe())
                }
            };
            let hint = format!("give a whole number from {least} to {most}");
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}

/// Reads a number from 0 to a limit.
pub(super) fn count(problems: &mut Problems, node: &Node, limit: u32) -> Option<u32> {
    let number = whole(problems, node, 0..=i64::from(limit))?;
    u32::try_from(number).ok()
}

/// Reads the number of a port.
pub(super) fn port(problems: &mut Problems, node: &Node) -> Option<u32> {
    let number = whole(problems, node, 1..=65_535)?;
    u32::try_from(number).ok()
}

/// Reads a time in milliseconds.
pub(super) fn duration_ms(problems: &mut Problems, node: &Node) -> Option<u64> {
    quantity_of(problems, node, quantity::duration_ms)
}

/// Reads a time in milliseconds that is not zero.
pub(super) fn some_duration_ms(problems: &mut Problems, node: &Node) -> Option<u64> {
    let duration = duration_ms(problems, node)?;
    if duration == 0 {
        problems.error(node.place, "a time of 0").hint("give a longer time, or leave the key out");
        return None;
    }
    Some(duration)
}

/// Reads a size in bytes.
pub(super) fn bytes(problems: &mut Problems, node: &Node) -> Option<u64> {
    quantity_of(problems, node, quantity::bytes)
}

/// Reads processors in thousandths.
pub(super) fn millicores(problems: &mut Problems, node: &Node) -> Option<u64> {
    quantity_of(problems, node, quantity::millicores)
}

/// Reads a share from 0 to 1 in thousandths.
pub(super) fn permille(problems: &mut Problems, node: &Node) -> Option<u32> {
    let permille = quantity_of(problems, node, quantity::permille)?;
    u32::try_from(permille).ok()
}

fn quantity_of(
    problems: &mut Problems,
    node: &Node,
    read: fn(&str) -> Result<u64, Refusal>,
) -> Option<u64> {
    let text = text(problems, node)?;
    match read(text) {
        Ok(amount) => Some(amount),
        Err(Refusal { why, hint }) => {
            problems.error(node.place, format!("`{text}` {why}")).hint(hint);
            None
        }
    }
}

/// The items of a list.
pub(super) fn list<'a>(problems: &mut Problems, node: &'a Node) -> Option<&'a [Node]> {
    match &node.value {
        Value::Sequence(items) => Some(items),
        Value::Scalar(_) | Value::Mapping(_) => {
            expected(problems, node, "a list");
            None
        }
    }
}

/// Reads a list of texts.
pub(super) fn texts(problems: &mut Problems, node: &Node) -> Option<Vec<String>> {
    let items = list(problems, node)?;
    Some(items.iter().filter_map(|item| text(problems, item)).map(str::to_owned).collect())
}

/// Reads a list of texts, or a single one.
pub(super) fn text_or_texts(problems: &mut Problems, node: &Node) -> Option<Vec<String>> {
    match &node.value {
        Value::Sequence(_) => texts(problems, node),
        Value::Scalar(_) | Value::Mapping(_) => Some(vec![text(problems, node)?.to_owned()]),
    }
}

/// A name with a value, from a mapping or from a list of `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub name: String,
    /// None when there is only the name.
    pub value: Option<String>,
    pub place: Place,
}

/// Reads pairs. Among several of the same name the last one is the last.
pub(super) fn pairs(problems: &mut Problems, node: &Node) -> Option<Vec<Pair>> {
    match &node.value {
        Value::Mapping(entries) => {
            let mut pairs = Vec::new();
            for entry in entries {
                let value = pair_value(problems, &entry.value);
                pairs.push(Pair { name: entry.key.clone(), value, place: entry.key_place });
            }
            Some(checked(problems, pairs))
        }
        Value::Sequence(items) => {
            let texts: Vec<(&str, Place)> = items
                .iter()
                .filter_map(|item| Some((free_text(problems, item)?, item.place)))
                .collect();
            Some(checked(problems, texts.into_iter().map(split).collect()))
        }
        Value::Scalar(_) => {
            expected(problems, node, "a mapping or a list of `NAME=VALUE`");
            None
        }
    }
}

fn pair_value(problems: &mut Problems, node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) if scalar.kind == Kind::Null => None,
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        Value::Sequence(_) | Value::Mapping(_) => {
            expected(problems, node, "a string");
            None
        }
    }
}

fn split((text, place): (&str, Place)) -> Pair {
    match text.split_once('=') {
        Some((name, value)) => Pair { name: name.to_owned(), value: Some(value.to_owned()), place },
        None => Pair { name: text.to_owned(), value: None, place },
    }
}

fn checked(problems: &mut Problems, pairs: Vec<Pair>) -> Vec<Pair> {
    let mut good = pairs;
    good.retain(|pair| {
        let is_good = !pair.name.is_empty()
            && !pair.name.contains(char::is_control)
            && !pair.name.contains('=');
        if !is_good {
            problems
                .error(pair.place, "not a name")
                .hint("write NAME: VALUE, without `=` in the name");
        }
        is_good
    });
    good
}
