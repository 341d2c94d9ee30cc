//! What is mounted into a container: `volumes` and `tmpfs`.

use std::collections::BTreeMap;

use model::id::ServiceName;
use proto::wire::Mount;
use proto::wire::mount::Source;

use super::keys::{MOUNT, MOUNT_TMPFS};
use super::node::{Node, Value};
use super::place::Place;
use super::process::absolute;
use super::quantity;
use super::reader::Reader;
use super::section::Section;
use super::values;

/// A mount and where it stands.
pub(super) type PlacedMount = (Mount, Place);
/// The volumes of a file: see [`super::service::Definitions`].
type Volumes = BTreeMap<String, Option<String>>;

/// Reads `volumes` and `tmpfs`. Named volumes have to be among the declared ones.
pub(super) fn read(
    reader: &mut Reader<'_>,
    service: &Section<'_>,
    declared: &Volumes,
) -> Vec<PlacedMount> {
    let mut mounts = Vec::new();
    let items = service.read(&mut reader.problems, "volumes", values::list).unwrap_or_default();
    for item in items {
        let mount = match &item.value {
            Value::Mapping(_) => long(reader, item, declared),
            Value::Scalar(_) | Value::Sequence(_) => short(reader, item, declared),
        };
        mounts.extend(mount.map(|mount| (mount, item.place)));
    }
    mounts.extend(tmpfs(reader, service));
    mounts
}

/// Reads `[SOURCE:]TARGET[:OPTIONS]`.
fn short(reader: &mut Reader<'_>, item: &Node, declared: &Volumes) -> Option<Mount> {
    let text = values::text(&mut reader.problems, item)?;
    let parts: Vec<&str> = text.split(':').collect();
    let (from, target, options) = match parts.as_slice() {
        [from, target] => (*from, *target, ""),
        [from, target, options] => (*from, *target, *options),
        [_] => return anonymous(reader, item),
        _ => {
            let message = format!("`{text}` is not a mount");
            let hint = "write SOURCE:TARGET or SOURCE:TARGET:ro";
            reader.problems.error(item.place, message).hint(hint);
            return None;
        }
    };
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            other => {
                let message = format!("the option `{other}` of a mount is not supported");
                reader.problems.error(item.place, message).hint("use `ro`, `rw` or nothing");
            }
        }
    }
    let is_path = from.starts_with(['/', '.', '~']);
    let source =
        if is_path { bind(reader, item, from) } else { volume(reader, item, from, declared) };
    let target = checked_target(reader, item, target)?;
    Some(Mount { source: Some(source?), target, read_only })
}

fn anonymous(reader: &mut Reader<'_>, item: &Node) -> Option<Mount> {
    let message = "a volume without a name";
    let hint =
        "name it, as in `data:/var/lib/data`, and declare the name under `volumes` of the file";
    reader.problems.error(item.place, message).hint(hint);
    None
}

fn checked_target(reader: &mut Reader<'_>, item: &Node, target: &str) -> Option<String> {
    absolute(&mut reader.problems, &Node::text(item.place, target)).map(str::to_owned)
}

fn bind(reader: &mut Reader<'_>, item: &Node, path: &str) -> Option<Source> {
    let path = match path.strip_prefix('~') {
        None => reader.resolve(item.place, path),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let Some(home) = reader.variables.get("HOME").map(str::to_owned) else {
                let message = "`~` can not be told: HOME is not set";
                reader.problems.error(item.place, message).hint("write the path out");
                return None;
            };
            reader.resolve(item.place, &format!("{home}{rest}"))
        }
        Some(_) => {
            let message = format!("`{path}` names the home of another user");
            reader.problems.error(item.place, message).hint("write the path out");
            return None;
        }
    };
    match path.to_str() {
        Some(path) => Some(Source::Bind(path.to_owned())),
        None => {
            let message = "a path that is not UTF-8";
            reader.problems.error(item.place, message).hint("write the path out");
            None
        }
    }
}

fn volume(reader: &mut Reader<'_>, item: &Node, name: &str, declared: &Volumes) -> Option<Source> {
    if let Err(error) = name.parse::<ServiceName>() {
        let message = format!("`{name}` is not the name of a volume: {error}");
        let hint = "use another name; the path of a directory begins with `/` or `./`";
        reader.problems.error(item.place, message).hint(hint);
        return None;
    }
    let Some(external) = declared.get(name) else {
        let message = format!("the volume `{name}` is not declared");
        let hint = format!(
            "add `{name}:` under `volumes` of the file; a directory begins with `/` or `./`"
        );
        reader.problems.error(item.place, message).hint(hint);
        return None;
    };
    Some(match external {
        Some(name) => Source::HostVolume(name.clone()),
        None => Source::Volume(name.to_owned()),
    })
}

fn long(reader: &mut Reader<'_>, item: &Node, declared: &Volumes) -> Option<Mount> {
    let section = Section::new(&mut reader.problems, item, MOUNT);
    for name in ["bind", "volume"] {
        section.section(&mut reader.problems, name);
    }
    let kind = section.read(&mut reader.problems, "type", values::text);
    let from = section.text(&mut reader.problems, "source");
    let read_only = section.flag(&mut reader.problems, "read_only").unwrap_or(false);
    let source = match (kind, from) {
        (Some("volume"), Some(name)) => volume(reader, item, &name, declared)?,
        (Some("bind"), Some(path)) => bind(reader, item, &path)?,
        (Some("volume"), None) => return anonymous(reader, item),
        (Some("tmpfs"), None) => {
            let tmpfs = section.node("tmpfs");
            let tmpfs = tmpfs.map(|node| Section::new(&mut reader.problems, node, MOUNT_TMPFS));
            let size =
                tmpfs.and_then(|tmpfs| tmpfs.read(&mut reader.problems, "size", values::bytes));
            Source::TmpfsBytes(size.unwrap_or(0))
        }
        (Some("tmpfs"), Some(_)) => {
            let message = "a mount of memory has no source";
            reader.problems.error(item.place, message).hint("take `source` out");
            return None;
        }
        (Some("bind"), None) => {
            let message = "a mount of a directory without a source";
            reader.problems.error(item.place, message).hint("add `source: /path/on/the/node`");
            return None;
        }
        (_, _) => {
            let message = "a mount has one of the types `volume`, `bind` and `tmpfs`";
            reader.problems.error(item.place, message).hint("add `type: volume`");
            return None;
        }
    };
    let Some(target) = section.node("target") else {
        reader.problems.error(item.place, "a mount without a target").hint("add `target: /path`");
        return None;
    };
    let target = absolute(&mut reader.problems, target)?.to_owned();
    Some(Mount { source: Some(source), target, read_only })
}

fn tmpfs(reader: &mut Reader<'_>, service: &Section<'_>) -> Vec<PlacedMount> {
    let Some(node) = service.node("tmpfs") else { return Vec::new() };
    let items = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        Value::Scalar(_) | Value::Mapping(_) => std::slice::from_ref(node),
    };
    let mut mounts = Vec::new();
    for item in items {
        mounts.extend(tmpfs_item(reader, item).map(|mount| (mount, item.place)));
    }
    mounts
}

/// Reads `TARGET[:size=SIZE]`.
fn tmpfs_item(reader: &mut Reader<'_>, item: &Node) -> Option<Mount> {
    let text = values::text(&mut reader.problems, item)?;
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = checked_target(reader, item, target)?;
    let mut size = 0;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.strip_prefix("size=").map(quantity::bytes) {
            Some(Ok(bytes)) => size = bytes,
            Some(Err(_)) | None => {
                let message = format!("the option `{option}` of `tmpfs` is not supported");
                reader.problems.error(item.place, message).hint("use `size=64m` or nothing");
            }
        }
    }
    Some(Mount { source: Some(Source::TmpfsBytes(size)), target, read_only: false })
}
