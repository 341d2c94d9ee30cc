//! The program of a container: command, environment and what else it is started with.

use std::collections::BTreeMap;

use proto::wire::{ProcessSpec, Words};

use super::keys::ENV_FILE;
use super::node::{Node, Value};
use super::place::Place;
use super::plain;
use super::problems::Problems;
use super::reader::{Missing, Reader};
use super::section::Section;
use super::values;
use super::variables::Format;
use super::words::{self, Unfinished};

/// The longest name a machine can have on Linux (`HOST_NAME_MAX`).
const HOSTNAME_LIMIT: usize = 64;

/// Reads what the program is and how it is started.
pub(super) fn read(reader: &mut Reader<'_>, service: &Section<'_>) -> ProcessSpec {
    let environment = environment(reader, service);
    let problems = &mut reader.problems;
    ProcessSpec {
        entrypoint: service.node("entrypoint").and_then(|node| command(problems, node)),
        command: service.node("command").and_then(|node| command(problems, node)),
        environment,
        user: service.text(problems, "user"),
        working_dir: service.read(problems, "working_dir", absolute).map(str::to_owned),
        hostname: service.read(problems, "hostname", hostname).map(str::to_owned),
        extra_hosts: service.read(problems, "extra_hosts", extra_hosts).unwrap_or_default(),
        tty: service.flag(problems, "tty").unwrap_or(false),
    }
}

/// Reads a command. Empty, it replaces the image's by nothing.
fn command(problems: &mut Problems, node: &Node) -> Option<Words> {
    if let Value::Sequence(items) = &node.value {
        let words = items.iter().filter_map(|item| values::free_text(problems, item));
        return Some(Words { words: words.map(str::to_owned).collect() });
    }
    let text = values::free_text(problems, node)?;
    match words::split(text) {
        Ok(words) => Some(Words { words }),
        Err(unfinished) => {
            let (message, hint) = match unfinished {
                Unfinished::Quote(quote) => (
                    format!("a {quote} that is not closed"),
                    "close it, or write the command as a list of words",
                ),
                Unfinished::Backslash => (
                    "a backslash at the end".to_owned(),
                    "take it out, or write the command as a list of words",
                ),
            };
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}

/// Reads a path inside of the container.
pub(super) fn absolute<'a>(problems: &mut Problems, node: &'a Node) -> Option<&'a str> {
    let path = values::text(problems, node)?;
    if !path.starts_with('/') {
        let message = format!("`{path}` is not an absolute path in the container");
        problems.error(node.place, message).hint("begin it with `/`");
        return None;
    }
    Some(path)
}

fn hostname<'a>(problems: &mut Problems, node: &'a Node) -> Option<&'a str> {
    let name = values::text(problems, node)?;
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if name.len() > HOSTNAME_LIMIT || !name.chars().all(is_fine) || name.starts_with(['-', '.']) {
        let message = format!("`{name}` is not a host name");
        let hint = format!("use letters, digits, `-` and `.`, at most {HOSTNAME_LIMIT} characters");
        problems.error(node.place, message).hint(hint);
        return None;
    }
    Some(name)
}

/// Reads names and addresses from `NAME: ADDRESS`, `NAME:ADDRESS` or `NAME=ADDRESS`.
fn extra_hosts(problems: &mut Problems, node: &Node) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    match &node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                let addresses = values::text_or_texts(problems, &entry.value).unwrap_or_default();
                for address in addresses {
                    hosts.extend(extra_host(problems, &entry.value, (&entry.key, &address)));
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let Some(text) = values::text(problems, item) else { continue };
                let parts = text.split_once('=').or_else(|| text.split_once(':'));
                hosts.extend(extra_host(problems, item, parts.unwrap_or((text, ""))));
            }
        }
        Value::Scalar(_) => values::expected(problems, node, "a list or a mapping"),
    }
    Some(hosts)
}

fn extra_host(
    problems: &mut Problems,
    node: &Node,
    (name, address): (&str, &str),
) -> Option<String> {
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_address = address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok();
    if !is_name || !is_address {
        let message = "expected the name of a host and its address";
        problems
            .error(node.place, message)
            .hint("write `NAME: ADDRESS`, where the address is an IP address");
        return None;
    }
    Some(format!("{name}:{address}"))
}

/// The environment: what the files say, and over it what the service says.
fn environment(reader: &mut Reader<'_>, service: &Section<'_>) -> BTreeMap<String, String> {
    let allowed = plain::allowed(&mut reader.problems, service);
    let mut environment = BTreeMap::new();
    if let Some(node) = service.node("env_file") {
        match &node.value {
            Value::Sequence(items) => {
                items.iter().for_each(|item| env_file(reader, item, &mut environment));
            }
            Value::Scalar(_) | Value::Mapping(_) => env_file(reader, node, &mut environment),
        }
    }
    let pairs = service.read(&mut reader.problems, "environment", values::pairs);
    for pair in pairs.unwrap_or_default() {
        let place = pair.place;
        // A name alone stands for the value where `wharf` runs; where there is none it is not set at all.
        match pair.value.or_else(|| reader.variables.get(&pair.name).map(str::to_owned)) {
            Some(value) => environment.insert(pair.name, (value, place)),
            None => environment.remove(&pair.name),
        };
    }
    for (name, (value, place)) in &environment {
        plain::check(&mut reader.problems, (name, value, *place), &allowed);
    }
    environment.into_iter().map(|(name, (value, _))| (name, value)).collect()
}

fn env_file(
    reader: &mut Reader<'_>,
    node: &Node,
    environment: &mut BTreeMap<String, (String, Place)>,
) {
    let (path, is_required, format) = match &node.value {
        Value::Scalar(_) => (Some(node), true, Format::Compose),
        Value::Sequence(_) => return values::expected(&mut reader.problems, node, "a path"),
        Value::Mapping(_) => {
            let section = Section::new(&mut reader.problems, node, ENV_FILE);
            let format = section.read(&mut reader.problems, "format", format);
            let is_required = section.flag(&mut reader.problems, "required").unwrap_or(true);
            (section.node("path"), is_required, format.unwrap_or(Format::Compose))
        }
    };
    let Some(path_node) = path else {
        reader.problems.error(node.place, "`env_file` without a path").hint("add `path: FILE`");
        return;
    };
    let Some(path) = reader.path(path_node) else { return };
    let missing = if is_required { Missing::Refused } else { Missing::Fine };
    reader.variables.enter();
    let variables = reader.variables_of(&path, (Some(path_node.place), missing), format);
    reader.variables.leave();
    for variable in variables {
        match variable.value {
            Some(value) => environment.insert(variable.name, (value, path_node.place)),
            None => environment.remove(&variable.name),
        };
    }
}

fn format(problems: &mut Problems, node: &Node) -> Option<Format> {
    match values::text(problems, node)? {
        "raw" => Some(Format::Raw),
        other => {
            let message = format!("`{other}` is not a format of `env_file`");
            problems.error(node.place, message).hint("write `raw`, or leave it out");
            None
        }
    }
}
