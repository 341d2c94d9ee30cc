//! What the kernel lets a container do.

use std::collections::{BTreeMap, BTreeSet};

use proto::wire::{SecuritySpec, Ulimit};

use super::keys::ULIMIT;
use super::node::{Node, Value};
use super::problems::Problems;
use super::section::Section;
use super::values;

/// The most processes that Linux has on a machine (`PID_MAX_LIMIT` on 64 bits).
const PIDS_LIMIT: i64 = 4_194_304;

/// Reads everything but the limit on processes, which stands in two places.
pub(super) fn read(problems: &mut Problems, service: &Section<'_>) -> SecuritySpec {
    let init = service.node("init");
    if let (Some(node), Some(false)) = (init, service.flag(problems, "init")) {
        let message = "`init: false` is not supported";
        problems
            .error(node.place, message)
            .hint("leave it out; each container has an init process");
    }
    SecuritySpec {
        cap_add: service.read(problems, "cap_add", capabilities).unwrap_or_default(),
        cap_drop: service.read(problems, "cap_drop", capabilities).unwrap_or_default(),
        read_only: service.flag(problems, "read_only").unwrap_or(false),
        pids_limit: None,
        ulimits: service.read(problems, "ulimits", ulimits).unwrap_or_default(),
        sysctls: service.read(problems, "sysctls", sysctls).unwrap_or_default(),
        shm_bytes: service.read(problems, "shm_size", values::bytes),
    }
}

/// Reads a limit on processes. 0 and -1 are without a limit, as for the engine, and so as many as there can be: who says nothing
/// has the usual limit.
pub(super) fn pids(problems: &mut Problems, node: &Node) -> Option<u32> {
    let limit = values::whole(problems, node, -1..=PIDS_LIMIT)?;
    u32::try_from(if limit > 0 { limit } else { PIDS_LIMIT }).ok()
}

fn capabilities(problems: &mut Problems, node: &Node) -> Option<Vec<String>> {
    let mut capabilities = Vec::new();
    let mut seen = BTreeSet::new();
    for item in values::list(problems, node)? {
        let Some(name) = values::text(problems, item) else { continue };
        if !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            let message = format!("`{name}` is not a capability");
            problems.error(item.place, message).hint("write it in capitals, as in `NET_ADMIN`");
        } else if seen.insert(name) {
            capabilities.push(name.to_owned());
        }
    }
    Some(capabilities)
}

fn ulimits(problems: &mut Problems, node: &Node) -> Option<BTreeMap<String, Ulimit>> {
    if !matches!(node.value, Value::Mapping(_)) {
        values::expected(problems, node, "a mapping");
        return None;
    }
    let mut ulimits = BTreeMap::new();
    for entry in node.entries() {
        let is_name = entry.key.chars().all(|c| c.is_ascii_lowercase());
        if entry.key.is_empty() || !is_name {
            let message = format!("`{}` is not the name of a limit", entry.key);
            problems.error(entry.key_place, message).hint("write it as in `nofile`");
            continue;
        }
        ulimits.extend(ulimit(problems, &entry.value).map(|limit| (entry.key.clone(), limit)));
    }
    Some(ulimits)
}

fn ulimit(problems: &mut Problems, node: &Node) -> Option<Ulimit> {
    let limit = |problems: &mut Problems, node: &Node| values::whole(problems, node, -1..=i64::MAX);
    if !matches!(node.value, Value::Mapping(_)) {
        let both = limit(problems, node)?;
        return Some(Ulimit { soft: both, hard: both });
    }
    let section = Section::new(problems, node, ULIMIT);
    let soft = section.read(problems, "soft", limit);
    let hard = section.read(problems, "hard", limit);
    let (Some(soft), Some(hard)) = (soft, hard) else {
        problems
            .error(node.place, "a limit has `soft` and `hard`")
            .hint("give both, or one number for both");
        return None;
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        let message = "the soft limit is above the hard one";
        problems.error(node.place, message).hint("raise `hard` or lower `soft`");
        return None;
    }
    Some(Ulimit { soft, hard })
}

fn sysctls(problems: &mut Problems, node: &Node) -> Option<BTreeMap<String, String>> {
    let mut sysctls = BTreeMap::new();
    for pair in values::pairs(problems, node)? {
        match pair.value {
            Some(value) if !value.contains(char::is_control) => {
                sysctls.insert(pair.name, value);
            }
            Some(_) | None => {
                let message = format!("the kernel parameter `{}` has no value", pair.name);
                problems.error(pair.place, message).hint("write NAME: VALUE");
            }
        }
    }
    Some(sysctls)
}
