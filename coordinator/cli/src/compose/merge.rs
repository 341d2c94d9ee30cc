//! Merges one Compose file over another: mappings key by key, lists one after the other, and the keys that are special.

use std::collections::BTreeMap;

use super::node::{Entry, Node, Tag, Value};
use super::problems::Problems;

/// Where in a file something is, as far as the merge makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    File,
    Services,
    Service,
    Build,
    Deploy,
    Healthcheck,
    Ulimits,
    Other,
}

/// How an older value and a newer one become one.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Mappings by key, lists appended, anything else replaced.
    Usual,
    /// The newer one.
    Replace,
    /// By name, where `NAME=VALUE` in a list is the same as in a mapping.
    Pairs,
    /// By name, where a list is a mapping to nothing.
    Names,
    /// Lists, where a single value is a list of one and a mapping is a list of `KEY=VALUE`.
    List,
    /// Lists in which a newer item replaces an older one with the same key.
    Unique(fn(&Node) -> String),
}

/// Merges a whole file over another.
pub(super) fn files(problems: &mut Problems, base: Node, over: Node) -> Node {
    merge(problems, (Level::File, Rule::Usual), base, over)
}

/// Merges a service over the one that it extends.
pub(super) fn services(problems: &mut Problems, base: Node, over: Node) -> Node {
    merge(problems, (Level::Service, Rule::Usual), base, over)
}

/// Takes out what `!reset` marks, and the marks.
pub(super) fn settle(node: &mut Node) {
    node.tag = None;
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.retain(|entry| entry.value.tag != Some(Tag::Reset));
            entries.iter_mut().for_each(|entry| settle(&mut entry.value));
        }
        Value::Sequence(items) => items.iter_mut().for_each(settle),
        Value::Scalar(_) => {}
    }
}

fn inside(level: Level, key: &str) -> (Level, Rule) {
    match (level, key) {
        (Level::File, "services") => (Level::Services, Rule::Usual),
        (Level::Services, _) => (Level::Service, Rule::Usual),
        (Level::Service, key) => inside_service(key),
        (Level::Build, "args" | "labels") | (Level::Deploy, "labels") => {
            (Level::Other, Rule::Pairs)
        }
        (Level::Healthcheck, "test") | (Level::Ulimits, _) => (Level::Other, Rule::Replace),
        (Level::File | Level::Build | Level::Deploy | Level::Healthcheck | Level::Other, _) => {
            (Level::Other, Rule::Usual)
        }
    }
}

fn inside_service(key: &str) -> (Level, Rule) {
    match key {
        "command" | "entrypoint" => (Level::Other, Rule::Replace),
        "build" => (Level::Build, Rule::Usual),
        "deploy" => (Level::Deploy, Rule::Usual),
        "healthcheck" => (Level::Healthcheck, Rule::Usual),
        "ulimits" => (Level::Ulimits, Rule::Usual),
        "environment" | "labels" | "sysctls" | "annotations" => (Level::Other, Rule::Pairs),
        "depends_on" | "networks" => (Level::Other, Rule::Names),
        "env_file" | "tmpfs" | "extra_hosts" => (Level::Other, Rule::List),
        "ports" => (Level::Other, Rule::Unique(port_key)),
        "volumes" => (Level::Other, Rule::Unique(mount_key)),
        "configs" | "secrets" => (Level::Other, Rule::Unique(use_key)),
        "expose" | "cap_add" | "cap_drop" | "profiles" => (Level::Other, Rule::Unique(word_key)),
        _ => (Level::Other, Rule::Usual),
    }
}

fn merge(problems: &mut Problems, (level, rule): (Level, Rule), base: Node, over: Node) -> Node {
    let is_whole =
        over.tag.is_some() || base.tag == Some(Tag::Reset) || matches!(rule, Rule::Replace);
    if is_whole || base.is_null() {
        return over;
    }
    if over.is_null() {
        return if matches!(base.value, Value::Scalar(_)) { over } else { base };
    }
    let (base, over) = (shaped(base, level, rule), shaped(over, level, rule));
    let (place, tag) = (over.place, base.tag);
    let value = match (base.value, over.value) {
        (Value::Mapping(older), Value::Mapping(newer)) => {
            Value::Mapping(merge_entries(problems, level, older, newer))
        }
        (Value::Sequence(older), Value::Sequence(newer)) => {
            Value::Sequence(merge_items(rule, older, newer))
        }
        (Value::Scalar(_), newer @ Value::Scalar(_)) => newer,
        (older, newer) => {
            let (older, newer) = (of(base.place, older), of(over.place, newer));
            let message =
                format!("{} can not be merged over {}", newer.describe(), older.describe());
            let problem = problems.error(place, message);
            problem.other("what it should be merged over", base.place);
            problem.hint("write both alike, or replace the older one with the tag `!override`");
            newer.value
        }
    };
    Node { place, value, tag }
}

fn of(place: super::place::Place, value: Value) -> Node {
    Node { place, value, tag: None }
}

fn merge_entries(
    problems: &mut Problems,
    level: Level,
    older: Vec<Entry>,
    newer: Vec<Entry>,
) -> Vec<Entry> {
    let mut merged: Vec<Option<Entry>> = older.into_iter().map(Some).collect();
    let names = merged.iter().flatten().map(|entry| entry.key.clone());
    let index: BTreeMap<String, usize> = names.zip(0..).collect();
    for entry in newer {
        let at = index.get(&entry.key).copied();
        match at.and_then(|at| merged.get_mut(at)) {
            Some(slot) => {
                *slot = slot.take().map(|old| {
                    let level = inside(level, &old.key);
                    let value = merge(problems, level, old.value, entry.value);
                    Entry { key: old.key, key_place: entry.key_place, value }
                });
            }
            None => merged.push(Some(entry)),
        }
    }
    merged.into_iter().flatten().collect()
}

fn merge_items(rule: Rule, older: Vec<Node>, newer: Vec<Node>) -> Vec<Node> {
    let Rule::Unique(key) = rule else {
        return older.into_iter().chain(newer).collect();
    };
    let mut merged = older;
    let mut index: BTreeMap<String, usize> = merged.iter().map(key).zip(0..).collect();
    for item in newer {
        let key = key(&item);
        match index.get(&key).and_then(|at| merged.get_mut(*at)) {
            Some(slot) => *slot = item,
            None => {
                index.insert(key, merged.len());
                merged.push(item);
            }
        }
    }
    merged
}

/// Brings a value into the one shape in which both can be merged.
fn shaped(node: Node, level: Level, rule: Rule) -> Node {
    let Node { place, value, tag } = node;
    let value = match (rule, value) {
        (Rule::Pairs, Value::Sequence(items)) => Value::Mapping(unique(items, pair)),
        (Rule::Names, Value::Sequence(items)) => Value::Mapping(unique(items, name)),
        (Rule::List, Value::Mapping(entries))
            if entries.iter().all(|entry| entry.key != "path") =>
        {
            Value::Sequence(entries.into_iter().flat_map(joined).collect())
        }
        (Rule::List, value @ (Value::Scalar(_) | Value::Mapping(_))) => {
            Value::Sequence(vec![Node { place, value, tag: None }])
        }
        (Rule::Usual, Value::Scalar(context)) if level == Level::Build => {
            let value = Node { place, value: Value::Scalar(context), tag: None };
            Value::Mapping(vec![Entry { key: "context".to_owned(), key_place: place, value }])
        }
        (_, value) => value,
    };
    Node { place, value, tag }
}

/// A list as a mapping. The last of several alike counts, as it does without a merge.
fn unique(items: Vec<Node>, entry: fn(Node) -> Entry) -> Vec<Entry> {
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for entry in items.into_iter().map(entry) {
        match index.get(&entry.key).and_then(|at| entries.get_mut(*at)) {
            Some(slot) => *slot = entry,
            None => {
                index.insert(entry.key.clone(), entries.len());
                entries.push(entry);
            }
        }
    }
    entries
}

fn word_key(node: &Node) -> String {
    word(node).to_owned()
}

fn word(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        Value::Sequence(_) | Value::Mapping(_) => "",
    }
}

fn pair(item: Node) -> Entry {
    let text = word(&item);
    match text.split_once('=') {
        Some((key, value)) => {
            let (key, value) = (key.to_owned(), Node::text(item.place, value));
            Entry { key, key_place: item.place, value }
        }
        None => name(item),
    }
}

fn name(item: Node) -> Entry {
    Entry { key: word(&item).to_owned(), key_place: item.place, value: Node::null(item.place) }
}

/// One `KEY=VALUE` for each value of the entry.
fn joined(entry: Entry) -> Vec<Node> {
    let text = |value: &Node| Node::text(entry.key_place, format!("{}={}", entry.key, word(value)));
    match &entry.value.value {
        Value::Sequence(items) => items.iter().map(text).collect(),
        Value::Scalar(_) | Value::Mapping(_) => vec![text(&entry.value)],
    }
}

/// `target`, or the part of `SOURCE:TARGET:MODE`.
fn mount_key(node: &Node) -> String {
    if let Some(target) = node.get("target") {
        return word(target).to_owned();
    }
    let mut parts = word(node).split(':');
    let first = parts.next().unwrap_or_default();
    parts.next().unwrap_or(first).to_owned()
}

fn use_key(node: &Node) -> String {
    let field = |name| node.get(name).map(word);
    let source = field("source").unwrap_or_else(|| word(node));
    field("target").map_or_else(|| format!("/{source}"), str::to_owned)
}

/// Address, host port, container port and protocol.
fn port_key(node: &Node) -> String {
    let field = |name| node.get(name).map_or("", word);
    if matches!(node.value, Value::Mapping(_)) {
        let protocol = node.get("protocol").map_or("tcp", word);
        let (address, host, target) = (field("host_ip"), field("published"), field("target"));
        return format!("{address}|{host}|{target}|{protocol}");
    }
    let (numbers, protocol) = word(node).split_once('/').unwrap_or((word(node), "tcp"));
    let (before, target) = numbers.rsplit_once(':').unwrap_or(("", numbers));
    let (address, host) = before.rsplit_once(':').unwrap_or(("", before));
    format!("{address}|{host}|{target}|{protocol}")
}
