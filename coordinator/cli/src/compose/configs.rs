//! Files that are written into a container: `configs`.

use std::collections::BTreeMap;

use model::spec::FILE_LIMIT;
use proto::wire::FileSpec;

use super::keys::{CONFIG, CONFIG_USE};
use super::node::{Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::process::absolute;
use super::reader::{Missing, Reader};
use super::section::Section;
use super::values;

/// Everybody may read it, as in a swarm.
const MODE: u32 = 0o444;

/// The configs of a project. Their content is read when the first service uses it.
#[derive(Debug, Default)]
pub(super) struct Configs {
    declared: BTreeMap<String, Node>,
    read: BTreeMap<String, Option<Vec<u8>>>,
}

impl Configs {
    pub(super) fn new(node: Option<&Node>) -> Self {
        let entries = node.map(Node::entries).unwrap_or_default();
        let declared = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
        Self { declared: declared.collect(), read: BTreeMap::new() }
    }

    fn content(
        &mut self,
        reader: &mut Reader<'_>,
        (name, place): (&str, Place),
    ) -> Option<Vec<u8>> {
        if let Some(content) = self.read.get(name) {
            return content.clone();
        }
        let Some(node) = self.declared.get(name) else {
            let message = format!("the config `{name}` is not declared");
            let hint = format!(
                "add `{name}:` with `file`, `content` or `environment` under `configs` of the file"
            );
            reader.problems.error(place, message).hint(hint);
            return None;
        };
        let content = content(reader, node);
        self.read.insert(name.to_owned(), content.clone());
        content
    }
}

fn content(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<u8>> {
    let section = Section::new(&mut reader.problems, node, CONFIG);
    let given = [section.node("file"), section.node("content"), section.node("environment")];
    let (content, place) = match given {
        [Some(file), None, None] => {
            let path = reader.path(file)?;
            (reader.bytes(&path, (Some(file.place), Missing::Refused), FILE_LIMIT)?, file.place)
        }
        [None, Some(content), None] => {
            let text = values::free_text(&mut reader.problems, content)?;
            (text.as_bytes().to_vec(), content.place)
        }
        [None, None, Some(variable)] => {
            let name = values::text(&mut reader.problems, variable)?;
            let Some(value) = reader.variables.get(name) else {
                let message = format!("variable `{name}` is not set");
                reader.problems.error(variable.place, message).hint("set it where `wharf` runs");
                return None;
            };
            (value.as_bytes().to_vec(), variable.place)
        }
        _ => {
            let message = "a config has one of `file`, `content` and `environment`";
            reader
                .problems
                .error(node.place, message)
                .hint("give the content in one of these ways");
            return None;
        }
    };
    if content.len() > FILE_LIMIT {
        let message = format!("a config has at most {FILE_LIMIT} bytes");
        reader.problems.error(place, message).hint("put it into the image");
        return None;
    }
    Some(content)
}

/// Reads the `configs` of a service.
pub(super) fn read(
    reader: &mut Reader<'_>,
    service: &Section<'_>,
    configs: &mut Configs,
) -> Vec<(FileSpec, Place)> {
    let items = service.read(&mut reader.problems, "configs", values::list).unwrap_or_default();
    let mut files = Vec::new();
    for item in items {
        if let Some(file) = file(reader, item, configs)
            && reader.charge(file.content.len(), Some(item.place))
        {
            files.push((file, item.place));
        }
    }
    files
}

fn file(reader: &mut Reader<'_>, item: &Node, configs: &mut Configs) -> Option<FileSpec> {
    if !matches!(item.value, Value::Mapping(_)) {
        let name = values::text(&mut reader.problems, item)?;
        let content = configs.content(reader, (name, item.place))?;
        let target =
            absolute(&mut reader.problems, &Node::text(item.place, format!("/{name}")))?.to_owned();
        return Some(FileSpec { target, content, mode: MODE, uid: 0, gid: 0 });
    }
    let section = Section::new(&mut reader.problems, item, CONFIG_USE);
    let Some(name) = section.text(&mut reader.problems, "source") else {
        reader.problems.error(item.place, "a config without a source").hint("add `source: NAME`");
        return None;
    };
    let mut id = |name| {
        let id = section.read(&mut reader.problems, name, |problems, node| {
            values::whole(problems, node, 0..=i64::from(u32::MAX - 1))
        });
        id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
    };
    let (uid, gid) = (id("uid"), id("gid"));
    let mode = section.read(&mut reader.problems, "mode", mode).unwrap_or(MODE);
    let target = section.read(&mut reader.problems, "target", |problems, node| {
        // A name alone is a file in the root directory.
        let text = values::text(problems, node)?;
        Some(if text.contains('/') {
            absolute(problems, node)?.to_owned()
        } else {
            format!("/{text}")
        })
    });
    let content = configs.content(reader, (&name, item.place))?;
    Some(FileSpec { target: target.unwrap_or_else(|| format!("/{name}")), content, mode, uid, gid })
}

/// Reads permission bits. A number that does not begin with a zero would be decimal, which nobody means.
pub(super) fn mode(problems: &mut Problems, node: &Node) -> Option<u32> {
    let text = values::text(problems, node)?;
    let digits = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    match mode.filter(|mode| *mode <= 0o777) {
        Some(mode) => Some(mode),
        None => {
            let message = format!("`{text}` is not a mode");
            problems
                .error(node.place, message)
                .hint("write it in octal and with a zero first, as in `0444`");
            None
        }
    }
}
