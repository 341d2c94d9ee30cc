//! Finds services that wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use super::network::Connection;
use super::place::Place;
use super::problems::Problems;
use super::service::Draft;
use super::tasks::Owners;

/// Who waits for whom, and where that stands.
type Waits<'d> = BTreeMap<&'d str, Vec<(&'d str, Place)>>;

/// Reports cycles among containers and, where there are none, among tasks.
pub(super) fn check(problems: &mut Problems, drafts: &[Draft<'_>], owners: &Owners) {
    let mut containers = Waits::new();
    let mut tasks = Waits::new();
    for draft in drafts {
        let waits = containers.entry(&draft.name).or_default();
        waits.extend(draft.waits.iter().map(|wait| (wait.on.as_str(), wait.place)));
        if let Connection::Joined { service, place } = &draft.connection {
            waits.push((service, *place));
        }
        let Some(owner) = owners.get(&draft.name) else { continue };
        for wait in &draft.waits {
            let Some(other) = owners.get(&wait.on).filter(|other| *other != owner) else {
                continue;
            };
            tasks.entry(owner).or_default().push((other, wait.place));
        }
    }
    if !report(problems, &containers, "services wait for each other") {
        report(problems, &tasks, "tasks wait for each other");
    }
}

fn report(problems: &mut Problems, waits: &Waits<'_>, what: &str) -> bool {
    let cycle = find(waits);
    if let Some((names, place)) = &cycle {
        let message = format!("{what}: {}", names.join(" → "));
        problems.error(*place, message).hint("take one `depends_on` out");
    }
    cycle.is_some()
}

/// A step of the search: who is looked at, and which of its waits comes next.
struct Step<'d> {
    name: &'d str,
    next: usize,
}

/// Gives the first cycle, closed, and where its last wait stands.
fn find<'d>(waits: &Waits<'d>) -> Option<(Vec<&'d str>, Place)> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in waits.keys() {
        let mut path = vec![Step { name: start, next: 0 }];
        while let Some(step) = path.last_mut() {
            let name = step.name;
            let wait = waits.get(name).and_then(|waits| waits.get(step.next)).copied();
            step.next += 1;
            let Some((on, place)) = wait.filter(|_| !done.contains(name)) else {
                done.insert(name);
                path.pop();
                continue;
            };
            if let Some(first) = path.iter().position(|step| step.name == on) {
                let names = path.iter().skip(first).map(|step| step.name);
                return Some((names.chain([on]).collect(), place));
            }
            path.push(Step { name: on, next: 0 });
        }
    }
    None
}
