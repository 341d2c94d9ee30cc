//! The ports of a container, in the short and in the long form.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use proto::wire::{PortSpec, Protocol};

use super::keys::PORT;
use super::node::{Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// The most ports of one container. Each of them is a rule in the node's packet filter.
const PORTS_LIMIT: usize = 1_000;

/// A port and where it stands.
pub(super) type PlacedPort = (PortSpec, Place);

/// Reads `ports`.
pub(super) fn read(problems: &mut Problems, node: &Node) -> Option<Vec<PlacedPort>> {
    let mut ports = Vec::new();
    for item in values::list(problems, node)? {
        let read = match &item.value {
            Value::Mapping(_) => long(problems, item).into_iter().collect(),
            Value::Scalar(_) | Value::Sequence(_) => short(problems, item),
        };
        ports.extend(read.into_iter().map(|port| (port, item.place)));
        if ports.len() > PORTS_LIMIT {
            let message = format!("more than {PORTS_LIMIT} ports of one container");
            problems.error(item.place, message).hint("publish fewer, or use `network_mode: host`");
            break;
        }
    }
    Some(ports)
}

/// Checks `expose`, which has no other effect.
pub(super) fn check_exposed(problems: &mut Problems, node: &Node) -> Option<()> {
    for item in values::list(problems, node)? {
        let Some(text) = values::text(problems, item) else { continue };
        let (numbers, kind) = text.split_once('/').unwrap_or((text, "tcp"));
        if let Err(why) = range(numbers).and(protocol(kind)) {
            refuse(problems, item.place, text, why);
        }
    }
    Some(())
}

fn short(problems: &mut Problems, item: &Node) -> Vec<PortSpec> {
    let Some(text) = values::text(problems, item) else { return Vec::new() };
    match parse(text) {
        Ok(ports) => ports,
        Err(why) => {
            refuse(problems, item.place, text, why);
            Vec::new()
        }
    }
}

fn refuse(problems: &mut Problems, place: Place, text: &str, why: &'static str) {
    let problem = problems.error(place, format!("`{text}` is not a port: {why}"));
    problem.hint(
        "write [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL], as in `8080:80` or `127.0.0.1:53:53/udp`",
    );
}

/// Reads `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, where both numbers can be ranges of the same length.
fn parse(text: &str) -> Result<Vec<PortSpec>, &'static str> {
    let (numbers, kind) = text.split_once('/').unwrap_or((text, "tcp"));
    let kind = protocol(kind)?;
    let (before, container) = match numbers.rsplit_once(':') {
        Some((before, container)) => (Some(before), container),
        None => (None, numbers),
    };
    let (ip, host) = match before.and_then(|before| before.rsplit_once(':')) {
        Some((ip, host)) => (Some(address(ip)?), Some(host)),
        None => (None, before),
    };
    let containers = range(container)?;
    let hosts = match host {
        None | Some("" | "0") => None,
        Some(host) => Some(range(host)?),
    };
    if hosts.as_ref().is_some_and(|hosts| hosts.len() != containers.len()) {
        return Err("both ranges must have the same length");
    }
    let mut hosts = hosts.into_iter().flatten();
    let port = |container: u16| PortSpec {
        container: u32::from(container),
        host: hosts.next().map(u32::from),
        protocol: kind.into(),
        address: ip.map(|ip| ip.to_string()),
    };
    Ok(containers.map(port).collect())
}

fn range(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let why = "a port is a number from 1 to 65535";
    let number = |text: &str| match text.parse() {
        Ok(number) if number > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        Ok(_) | Err(_) => Err(why),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    if first > last {
        return Err("a range begins with the lower number");
    }
    Ok(first..=last)
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("the protocol is `tcp` or `udp`"),
    }
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    bare.unwrap_or(text).parse().map_err(|_| "the address is no IP address")
}

fn long(problems: &mut Problems, item: &Node) -> Option<PortSpec> {
    let section = Section::new(problems, item, PORT);
    for name in ["name", "app_protocol"] {
        section.text(problems, name);
    }
    let mode = section.read(problems, "mode", values::text);
    if !matches!(mode, None | Some("host" | "ingress")) {
        let message = "the mode of a port is `host` or `ingress`";
        problems.error(item.place, message).hint("leave `mode` out: both are the same here");
    }
    let kind = section.read(problems, "protocol", |problems, node| {
        let text = values::text(problems, node)?;
        or_refuse(problems, node.place, text, protocol(text))
    });
    let ip = section.read(problems, "host_ip", |problems, node| {
        let text = values::text(problems, node)?;
        or_refuse(problems, node.place, text, address(text))
    });
    let host = section.read(problems, "published", published).filter(|host| *host > 0);
    let Some(target) = section.node("target") else {
        problems.error(item.place, "a port without a target").hint("add `target: PORT`");
        return None;
    };
    Some(PortSpec {
        container: values::port(problems, target)?,
        host,
        protocol: kind.unwrap_or(Protocol::Tcp).into(),
        address: ip.map(|ip| ip.to_string()),
    })
}

fn published(problems: &mut Problems, node: &Node) -> Option<u32> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.text.contains('-')
        && range(&scalar.text).is_ok()
    {
        let message = "a range of host ports for one port of the container";
        let hint = "leave `published` out: the node then chooses a free port";
        problems.error(node.place, message).hint(hint);
        return None;
    }
    values::count(problems, node, 65_535)
}

fn or_refuse<T>(
    problems: &mut Problems,
    place: Place,
    text: &str,
    read: Result<T, &'static str>,
) -> Option<T> {
    read.map_err(|why| refuse(problems, place, text, why)).ok()
}
