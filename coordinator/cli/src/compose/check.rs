//! Compares the keys of a file with the table: unknown ones are errors, and so are those that are not supported and ask
//! for something.

use model::suggest::nearest;

use super::keys::{FILE, Inside, Key, Support, find};
use super::node::{Entry, Node, Value};
use super::problems::Problems;

/// Takes extensions (`x-…`) and, with an error each, unknown keys out of a file.
pub(super) fn prune_file(problems: &mut Problems, file: &mut Node) {
    prune(problems, file, (FILE, "a Compose file"));
}

/// Takes extensions and unknown keys out of what has these keys.
pub(super) fn prune(problems: &mut Problems, node: &mut Node, keys: (&'static [Key], &str)) {
    match &mut node.value {
        Value::Mapping(entries) => prune_entries(problems, entries, keys),
        Value::Sequence(items) => {
            for item in items {
                if let Value::Mapping(entries) = &mut item.value {
                    prune_entries(problems, entries, keys);
                }
            }
        }
        Value::Scalar(_) => {}
    }
}

fn prune_entries(
    problems: &mut Problems,
    entries: &mut Vec<Entry>,
    (keys, inside): (&'static [Key], &str),
) {
    entries.retain(|entry| is_known(problems, entry, (keys, inside)));
    for entry in entries {
        match find(keys, &entry.key).map(|key| (key.name, key.inside)) {
            Some((name, Inside::Keys(keys))) => prune(problems, &mut entry.value, (keys, name)),
            Some((name, Inside::Named(keys))) => {
                if let Value::Mapping(named) = &mut entry.value.value {
                    let kind = name.strip_suffix('s').unwrap_or(name);
                    for entry in named {
                        let inside = format!("{kind} `{}`", entry.key);
                        prune(problems, &mut entry.value, (keys, &inside));
                    }
                }
            }
            Some((_, Inside::Value)) | None => {}
        }
    }
}

fn is_known(
    problems: &mut Problems,
    entry: &Entry,
    (keys, inside): (&'static [Key], &str),
) -> bool {
    if find(keys, &entry.key).is_some() {
        return true;
    }
    if entry.key == "x-wharf" {
        let problem =
            problems.error(entry.key_place, format!("`x-wharf` has no meaning in {inside}"));
        problem.hint("it is a key of a service");
    } else if !entry.key.starts_with("x-") {
        let near = if problems.is_full() { None } else { meant(&entry.key, keys) };
        let message = format!("unknown key `{}` in {inside}", entry.key);
        let problem = problems.error(entry.key_place, message);
        match near {
            Some(name) => problem.hint(format!("did you mean `{name}`?")),
            None => problem.hint("the keys that can be used are in docs/compose.md"),
        };
    }
    false
}

/// The key that was probably meant: of these, or else of what is inside of them.
fn meant(word: &str, keys: &'static [Key]) -> Option<String> {
    let near = nearest(word, keys.iter().map(|key| key.name)).map(str::to_owned);
    near.or_else(|| {
        keys.iter().find_map(|key| match key.inside {
            Inside::Keys(inside) => {
                let near = nearest(word, inside.iter().map(|key| key.name))?;
                Some(format!("{}.{near}", key.name))
            }
            Inside::Named(_) | Inside::Value => None,
        })
    })
}

/// Reports the keys that are not supported and ask for something.
pub(super) fn refuse(problems: &mut Problems, node: &Node, keys: &'static [Key]) {
    match &node.value {
        Value::Mapping(entries) => {
            entries.iter().for_each(|entry| refuse_entry(problems, entry, keys));
        }
        Value::Sequence(items) => items.iter().for_each(|item| {
            if matches!(item.value, Value::Mapping(_)) {
                refuse(problems, item, keys);
            }
        }),
        Value::Scalar(_) => {}
    }
}

fn refuse_entry(problems: &mut Problems, entry: &Entry, keys: &'static [Key]) {
    let Some(key) = find(keys, &entry.key) else { return };
    if key.support == Support::No && !entry.value.is_empty() {
        problems.error(entry.key_place, format!("`{}` is not supported", key.name)).hint(key.note);
        return;
    }
    if key.support == Support::Ignored && !entry.value.is_empty() {
        let problem = problems.warning(entry.key_place, format!("`{}` has no effect", key.name));
        problem.hint(format!("leave it out: {}", key.note));
    }
    match key.inside {
        Inside::Keys(keys) => refuse(problems, &entry.value, keys),
        Inside::Named(keys) => {
            entry.value.entries().iter().for_each(|named| refuse(problems, &named.value, keys));
        }
        Inside::Value => {}
    }
}
