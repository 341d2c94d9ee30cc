//! Checks that no two services of a project want the same port of a node, and that the network lets ports be published.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proto::wire::PortSpec;

use super::network::Connection;
use super::place::Place;
use super::problems::Problems;
use super::service::Draft;
use super::tasks::Owners;

/// Reports ports that can not be published.
pub(super) fn check(problems: &mut Problems, drafts: &[Draft<'_>], owners: &Owners) {
    let by_name: BTreeMap<&str, &Draft<'_>> =
        drafts.iter().map(|draft| (draft.name.as_str(), draft)).collect();
    let mut taken: BTreeMap<(u32, i32), BTreeMap<Option<IpAddr>, Place>> = BTreeMap::new();
    for draft in drafts {
        let owner = owners.get(&draft.name).and_then(|owner| by_name.get(owner.as_str()));
        let connection = owner.map_or(&draft.connection, |owner| &owner.connection);
        for (port, place) in &draft.ports {
            check_connection(problems, connection, (port, *place));
            let Some(number) = fixed(port, connection) else { continue };
            let address = address(port);
            let others = taken.entry((number, port.protocol)).or_default();
            // A port on all addresses meets every other one.
            let everywhere = others.get(&None).or_else(|| others.get(&address));
            let any = address.is_none().then(|| others.values().next()).flatten();
            if let Some(first) = everywhere.or(any) {
                let problem =
                    problems.error(*place, format!("port {number} of the node is published twice"));
                problem.other("here is the first", *first);
                problem.hint("use another number, or leave the host's number out so that the node chooses one");
            } else {
                others.insert(address, *place);
            }
        }
    }
}

fn fixed(port: &PortSpec, connection: &Connection) -> Option<u32> {
    match connection {
        Connection::Host => Some(port.container),
        Connection::Project(_) | Connection::Nothing | Connection::Joined { .. } => port.host,
    }
}

/// The address; none for all of them.
fn address(port: &PortSpec) -> Option<IpAddr> {
    let address: Option<IpAddr> = port.address.as_deref().and_then(|text| text.parse().ok());
    address.filter(|address| !address.is_unspecified())
}

fn check_connection(
    problems: &mut Problems,
    connection: &Connection,
    (port, place): (&PortSpec, Place),
) {
    match connection {
        Connection::Nothing => {
            let message = "a service with `network_mode: none` can not publish ports";
            problems.error(place, message).hint("take the ports or the network mode out");
        }
        Connection::Host if port.host.is_some_and(|host| host != port.container) => {
            let message = "with `network_mode: host` a port of the container is that of the node";
            problems.error(place, message).hint(format!("write `{}`", port.container));
        }
        Connection::Host | Connection::Project(_) | Connection::Joined { .. } => {}
    }
}
