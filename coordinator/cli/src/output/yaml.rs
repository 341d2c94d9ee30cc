//! JSON as YAML for people: block style, and quotes only where YAML would read something else without them.

use std::io::{self, Write};

use serde_json::Value;

/// What YAML 1.1 or 1.2 reads as something other than text.
const WORDS: &[&str] =
    &["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// Writes one document.
pub(super) fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let mut text = String::new();
    block(&mut text, value, 0);
    writeln!(out, "{}", text.trim_start())
}

/// Adds a value after a key or a dash: on the same line when it has no parts.
fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            text.push_str(&mapping(map, depth));
        }
        Value::Array(list) if !list.is_empty() => {
            for item in list {
                text.push_str(&format!("\n{}-", "  ".repeat(depth)));
                match item {
                    // The first key stands beside the dash, the others under it.
                    Value::Object(map) if !map.is_empty() => {
                        text.push(' ');
                        text.push_str(mapping(map, depth + 1).trim_start());
                    }
                    other => block(text, other, depth + 1),
                }
            }
        }
        Value::String(string) => {
            text.push(' ');
            text.push_str(&scalar(string));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => {
            text.push_str(&format!(" {value}"));
        }
    }
}

fn mapping(map: &serde_json::Map<String, Value>, depth: usize) -> String {
    let mut text = String::new();
    for (key, value) in map {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}{}:", "  ".repeat(depth), scalar(key)));
        // Lists stand under their key without another step to the right.
        let deeper = if value.is_array() { depth } else { depth + 1 };
        block(&mut text, value, deeper);
    }
    text
}

/// A text as it is when YAML reads it as that text, else as JSON writes it, which YAML understands.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./@".contains(letter);
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins && !is_word && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn yaml(value: &Value) -> String {
        let mut out = Vec::new();
        write(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parts_are_blocks_and_plain_texts_have_no_quotes() {
        let value = json!({"id": "hello/web", "notes": [], "containers": [{"name": "web", "ports": [1, 2]}, {"name": "b"}]});
        let expected = "containers:\n- name: web\n  ports:\n  - 1\n  - 2\n- name: b\nid: hello/web\nnotes: []\n";
        assert_eq!(yaml(&value), expected);
    }

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        for text in
            ["", "no", "True", "1", "0x1", "a: b", "- a", "#", "~", "a\nb", "2026-01-01", "é"]
        {
            let quoted = Value::String(text.to_owned()).to_string();
            assert_eq!(scalar(text), quoted);
        }
    }
}
