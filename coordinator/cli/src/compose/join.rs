//! Finds which services form a task together, and checks that they can.

use std::collections::{BTreeMap, BTreeSet};

use super::network::Connection;
use super::node::Node;
use super::place::Place;
use super::problems::Problems;
use super::service::Draft;
use super::tasks::{Owners, missing};

/// Says for each service which one owns its task: itself, or the one at the end of `network_mode: service:…`.
pub(super) fn owners(
    problems: &mut Problems,
    drafts: &[Draft<'_>],
    others: &BTreeSet<String>,
) -> Owners {
    let joined: BTreeMap<&str, (&str, Place)> = drafts.iter().filter_map(joined).collect();
    let names: BTreeSet<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    for (service, place) in joined.values() {
        if !names.contains(service) {
            let (message, hint) = missing(service, &names, others);
            problems.error(*place, message).hint(hint);
        }
    }
    let mut owners = Owners::new();
    for name in &names {
        let mut path = vec![*name];
        let mut owner = *name;
        while let Some((next, place)) = joined.get(owner).filter(|(next, _)| names.contains(next)) {
            if let Some(start) = path.iter().position(|known| known == next) {
                if start == 0 {
                    report_cycle(problems, *place, (&path, next));
                }
                owner = name;
                break;
            }
            path.push(next);
            owner = next;
        }
        owners.insert((*name).to_owned(), owner.to_owned());
    }
    owners
}

fn joined<'d>(draft: &'d Draft<'_>) -> Option<(&'d str, (&'d str, Place))> {
    match &draft.connection {
        Connection::Joined { service, place } => Some((&draft.name, (service, *place))),
        Connection::Project(_) | Connection::Host | Connection::Nothing => None,
    }
}

/// Reports a cycle once: where it is entered at its first name.
fn report_cycle(problems: &mut Problems, place: Place, (path, next): (&[&str], &str)) {
    if path.iter().min() == path.first() {
        let message = format!("services join each other's network: {} → {next}", path.join(" → "));
        problems.error(place, message).hint("one of them has to own the network");
    }
}

/// Checks that each member leaves to the owner what a task has only once.
pub(super) fn check(problems: &mut Problems, drafts: &[Draft<'_>], owners: &Owners) {
    let by_name: BTreeMap<&str, &Draft<'_>> =
        drafts.iter().map(|draft| (draft.name.as_str(), draft)).collect();
    for member in drafts {
        let owner = owners.get(&member.name).filter(|owner| **owner != member.name);
        if let Some(owner) = owner.and_then(|owner| by_name.get(owner.as_str())) {
            check_ports(problems, member, owner);
            check_left_out(problems, member, owner);
            check_equal(problems, member, owner);
            check_restart(problems, member, owner);
        }
    }
}

fn check_ports(problems: &mut Problems, member: &Draft<'_>, owner: &Draft<'_>) {
    if let Some((_, place)) = member.ports.first() {
        let message = format!(
            "`{}` shares the network of `{}` and can not publish ports",
            member.name, owner.name
        );
        problems.error(*place, message).hint(format!("put them on `{}`", owner.name));
    }
}

/// The engine refuses these for a container that joins another one's network.
fn check_left_out(problems: &mut Problems, member: &Draft<'_>, owner: &Draft<'_>) {
    for key in ["hostname", "extra_hosts"] {
        if let Some(node) = member.node.get(key).filter(|node| !node.is_null()) {
            let message = format!(
                "`{}` shares the network of `{}` and has no `{key}` of its own",
                member.name, owner.name
            );
            problems.error(node.place, message).hint(format!("put it on `{}`", owner.name));
        }
    }
}

fn check_equal(problems: &mut Problems, member: &Draft<'_>, owner: &Draft<'_>) {
    for key in ["scale", "x-wharf"] {
        differs(problems, (member.node, owner.node), key, owner);
    }
    let Some(deploy) = member.node.get("deploy") else { return };
    let empty = Node::mapping(deploy.place, Vec::new());
    let other = owner.node.get("deploy").unwrap_or(&empty);
    // Each container has resources of its own.
    for key in ["mode", "replicas", "placement", "update_config"] {
        differs(problems, (deploy, other), key, owner);
    }
}

fn differs(problems: &mut Problems, (member, other): (&Node, &Node), key: &str, owner: &Draft<'_>) {
    let Some(node) = member.get(key).filter(|node| !node.is_null()) else { return };
    if !other.get(key).is_some_and(|other| node.means(other)) {
        report_difference(problems, node.place, (key, owner));
    }
}

fn report_difference(problems: &mut Problems, place: Place, (key, owner): (&str, &Draft<'_>)) {
    let message = format!("`{key}` differs from that of `{}`, which has the same task", owner.name);
    problems
        .error(place, message)
        .hint(format!("leave it out here and set it on `{}`", owner.name));
}

fn check_restart(problems: &mut Problems, member: &Draft<'_>, owner: &Draft<'_>) {
    let deploy = member.node.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
    let given = member.node.get("restart").or(deploy).filter(|node| !node.is_null());
    if let Some(node) = given
        && member.deployment.restart != owner.deployment.restart
    {
        report_difference(problems, node.place, ("restart", owner));
    }
}
