//! How it is found out whether a container works.

use proto::wire::health_check::Probe;
use proto::wire::{HealthCheck, HttpProbe, NoProbe, TcpProbe, Words};

use super::node::{Node, Value};
use super::problems::Problems;
use super::section::Section;
use super::values;

/// The engine's own defaults.
const INTERVAL_MS: u64 = 30_000;
const TIMEOUT_MS: u64 = 30_000;
const RETRIES: u32 = 3;

/// The most failures in a row that are waited for: at the usual interval already eight hours.
const RETRIES_LIMIT: i64 = 1_000;

/// Reads `healthcheck`.
pub(super) fn read(problems: &mut Problems, service: &Section<'_>) -> Option<HealthCheck> {
    let node = service.node("healthcheck")?;
    let section = service.section(problems, "healthcheck");
    let probe = probe(problems, &section, node);
    let retries = section.read(problems, "retries", |problems, node| {
        values::whole(problems, node, 1..=RETRIES_LIMIT)
    });
    let mut time = |name, otherwise| {
        section.read(problems, name, values::some_duration_ms).unwrap_or(otherwise)
    };
    let (interval_ms, timeout_ms) = (time("interval", INTERVAL_MS), time("timeout", TIMEOUT_MS));
    Some(HealthCheck {
        probe: Some(probe?),
        interval_ms,
        timeout_ms,
        retries: retries.and_then(|retries| u32::try_from(retries).ok()).unwrap_or(RETRIES),
        start_period_ms: section.duration_ms(problems, "start_period").unwrap_or(0),
    })
}

fn probe(problems: &mut Problems, section: &Section<'_>, node: &Node) -> Option<Probe> {
    let is_disabled = section.flag(problems, "disable").unwrap_or(false);
    let http_section = section.section(problems, "x-http");
    let tcp_section = section.section(problems, "x-tcp");
    let command = section.node("test").map(|node| test(problems, node));
    let http = section.node("x-http").map(|node| http(problems, &http_section, node));
    let tcp = section.node("x-tcp").map(|node| tcp(problems, &tcp_section, node));
    let mut given: Vec<Option<Probe>> = [command, http, tcp].into_iter().flatten().collect();
    if is_disabled {
        return Some(Probe::Disabled(NoProbe {}));
    }
    if given.len() > 1 {
        let message = "more than one of `test`, `x-http` and `x-tcp`";
        problems.error(node.place, message).hint("keep one of them");
        return None;
    }
    let Some(probe) = given.pop() else {
        let message = "a health check that tries nothing";
        let hint =
            "add `test`, `x-http` or `x-tcp`; the check of an image can not be changed in part";
        problems.error(node.place, message).hint(hint);
        return None;
    };
    probe
}

fn test(problems: &mut Problems, node: &Node) -> Option<Probe> {
    if let Value::Sequence(items) = &node.value {
        let words = items.iter().filter_map(|item| values::free_text(problems, item));
        let words: Vec<String> = words.map(str::to_owned).collect();
        return match words.first().map(String::as_str) {
            Some("NONE") => Some(Probe::Disabled(NoProbe {})),
            Some("CMD" | "CMD-SHELL") if words.len() > 1 => Some(Probe::Command(Words { words })),
            Some(_) | None => {
                let message = "a test in a list begins with `NONE`, `CMD` or `CMD-SHELL`";
                let hint = "write `[CMD, PROGRAM, WORD, …]`, or the command as one string";
                problems.error(node.place, message).hint(hint);
                None
            }
        };
    }
    let text = values::free_text(problems, node)?;
    if text.trim().is_empty() {
        problems.error(node.place, "an empty test").hint("give a command, or `disable: true`");
        return None;
    }
    Some(Probe::Command(Words { words: vec!["CMD-SHELL".to_owned(), text.to_owned()] }))
}

fn http(problems: &mut Problems, section: &Section<'_>, node: &Node) -> Option<Probe> {
    let path = section.text(problems, "path").unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') {
        let message = format!("`{path}` is not the path of a page");
        problems.error(node.place, message).hint("begin it with `/`");
    }
    Some(Probe::Http(HttpProbe { port: port(problems, section, node)?, path }))
}

fn tcp(problems: &mut Problems, section: &Section<'_>, node: &Node) -> Option<Probe> {
    Some(Probe::Tcp(TcpProbe { port: port(problems, section, node)? }))
}

fn port(problems: &mut Problems, section: &Section<'_>, node: &Node) -> Option<u32> {
    let Some(port) = section.node("port") else {
        problems
            .error(node.place, "a probe without a port")
            .hint("add `port: PORT`, of the container");
        return None;
    };
    values::port(problems, port)
}
