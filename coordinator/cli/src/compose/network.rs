//! What a service is connected to.

use std::collections::BTreeSet;

use model::id::ServiceName;
use model::suggest::nearest;
use proto::wire::Attachment;

use super::keys::{ATTACHMENT, NETWORK};
use super::node::{Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::section::Section;

use super::values;

/// The network that every project has.
pub(super) const DEFAULT: &str = "default";

/// The longest DNS name (RFC 1035, 2.3.4).
const ALIAS_LIMIT: usize = 253;

/// What a service is connected to.
#[derive(Debug)]
pub(super) enum Connection {
    /// Networks of the project, with the aliases that the file gives.
    Project(Vec<Attachment>),
    /// The host's network.
    Host,
    /// None.
    Nothing,
    /// That of another service, whose task it joins.
    Joined { service: String, place: Place },
}

/// Reads the `networks` of a file: their names.
pub(super) fn declared(problems: &mut Problems, node: Option<&Node>) -> BTreeSet<String> {
    let mut names = BTreeSet::from([DEFAULT.to_owned()]);
    for entry in node.map(Node::entries).unwrap_or_default() {
        if let Err(error) = entry.key.parse::<ServiceName>() {
            let message = format!("`{}` is not the name of a network: {error}", entry.key);
            problems.error(entry.key_place, message).hint("use another name");
        }
        let section = Section::new(problems, &entry.value, NETWORK);
        let driver = section.read(problems, "driver", values::text);
        if !matches!(driver, None | Some("default" | "bridge")) {
            let message = "only the default driver of networks is supported";
            problems.error(entry.key_place, message).hint("leave `driver` out");
        }
        names.insert(entry.key.clone());
    }
    names
}

/// Reads `network_mode` and `networks` of a service.
pub(super) fn read(
    problems: &mut Problems,
    service: &Section<'_>,
    declared: &BTreeSet<String>,
) -> Connection {
    let networks = service.node("networks");
    if let (Some(_), Some(mode)) = (networks, service.node("network_mode")) {
        let message = "`network_mode` and `networks` exclude each other";
        problems.error(mode.place, message).hint("keep one of them");
    }
    let usual = || Connection::Project(vec![attachment(DEFAULT, Vec::new())]);
    match service.read(problems, "network_mode", mode) {
        Some(connection) => connection,
        None => match networks {
            Some(node) => Connection::Project(attachments(problems, node, declared)),
            None => usual(),
        },
    }
}

fn attachment(network: &str, aliases: Vec<String>) -> Attachment {
    Attachment { network: network.to_owned(), aliases }
}

fn mode(problems: &mut Problems, node: &Node) -> Option<Connection> {
    let text = values::text(problems, node)?;
    if let Some(service) = text.strip_prefix("service:") {
        return Some(Connection::Joined { service: service.to_owned(), place: node.place });
    }
    match text {
        "host" => Some(Connection::Host),
        "none" => Some(Connection::Nothing),
        "bridge" => {
            let message = "`network_mode: bridge` is the default network of the project here";
            problems.warning(node.place, message).hint("leave it out");
            None
        }
        other => {
            let message = format!("the network mode `{other}` is not supported");
            let hint = if other.starts_with("container:") {
                "write `service:NAME` to join the task of a service"
            } else {
                "write `host`, `none` or `service:NAME`, or name the network under `networks`"
            };
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}

fn attachments(
    problems: &mut Problems,
    node: &Node,
    declared: &BTreeSet<String>,
) -> Vec<Attachment> {
    let mut attachments: Vec<Attachment> = Vec::new();
    match &node.value {
        Value::Sequence(items) => {
            for item in items {
                let Some(name) = values::text(problems, item) else { continue };
                if check(problems, (name, item.place), declared) {
                    attachments.push(attachment(name, Vec::new()));
                }
            }
        }
        Value::Mapping(entries) => {
            for entry in entries {
                let section = Section::new(problems, &entry.value, ATTACHMENT);
                let aliases = section.read(problems, "aliases", aliases).unwrap_or_default();
                if check(problems, (&entry.key, entry.key_place), declared) {
                    attachments.push(attachment(&entry.key, aliases));
                }
            }
        }
        Value::Scalar(_) => values::expected(problems, node, "a list or a mapping"),
    }
    let mut seen = BTreeSet::new();
    attachments.retain(|attachment| seen.insert(attachment.network.clone()));
    if attachments.is_empty() {
        // Compose connects such a service to nothing, which is too often a slip to be done in silence.
        let message = "a service that is connected to no network";
        problems.error(node.place, message).hint("write `network_mode: none` if that is meant");
    }
    attachments
}

fn check(
    problems: &mut Problems,
    (name, place): (&str, Place),
    declared: &BTreeSet<String>,
) -> bool {
    if declared.contains(name) {
        return true;
    }
    let hint = match nearest(name, declared.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add `{name}:` under `networks` of the file"),
    };
    problems.error(place, format!("the network `{name}` is not declared")).hint(hint);
    false
}

fn aliases(problems: &mut Problems, node: &Node) -> Option<Vec<String>> {
    let mut aliases = Vec::new();
    for item in values::list(problems, node)? {
        let Some(alias) = values::text(problems, item) else { continue };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if alias.len() <= ALIAS_LIMIT && alias.chars().all(is_fine) {
            aliases.push(alias.to_owned());
        } else {
            let message = format!("`{alias}` is not a name in DNS");
            problems.error(item.place, message).hint("use letters, digits, `-`, `_` and `.`");
        }
    }
    Some(aliases)
}
