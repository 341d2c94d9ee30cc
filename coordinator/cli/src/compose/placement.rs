//! On which nodes a service can run.

use model::constraint::{Conflict, Constraint, conflict};
use model::suggest;
use proto::wire::service_spec::Mode;
use proto::wire::{ContainerSpec, Priority, Profile, Resources, Strategy};

use super::deploy::Deployment;
use super::node::Node;
use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Reads `constraints`.
pub(super) fn constraints(
    problems: &mut Problems,
    placement: &Section<'_>,
) -> Vec<(Constraint, Place)> {
    let items = placement.read(problems, "constraints", values::list).unwrap_or_default();
    items.iter().filter_map(|item| constraint(problems, item)).collect()
}

/// Reads `strategy` of `x-wharf`.
pub(super) fn strategy(
    problems: &mut Problems,
    service: &Section<'_>,
    mode: Mode,
) -> Option<Strategy> {
    let wharf = service.section(problems, "x-wharf");
    let strategy = wharf.read(problems, "strategy", strategy_word)?;
    if let (Mode::Global(_), Some(node)) = (mode, wharf.node("strategy")) {
        let message = "a global service has a task on each node, wherever there is room";
        problems.error(node.place, message).hint("take `strategy` out");
    }
    Some(strategy)
}

/// Doubts that tasks that reserve nothing should be packed: all of them fit on the node that is fullest already.
pub(super) fn doubt(
    problems: &mut Problems,
    service: &Section<'_>,
    (deployment, container): (&Deployment, &ContainerSpec),
) {
    let wharf = service.section(problems, "x-wharf");
    let is_packed = deployment.strategy == Some(Strategy::Binpack);
    let holds_nothing = container.reservation.unwrap_or_default() == Resources::default();
    if is_packed
        && holds_nothing
        && deployment.max_per_node.is_none()
        && let Some(node) = wharf.node("strategy")
    {
        let message = "nothing is reserved, so that all tasks of a zone are packed on one node";
        let hint =
            "give `deploy.resources.reservations`, or `deploy.placement.max_replicas_per_node`";
        problems.warning(node.place, message).hint(hint);
    }
}

fn strategy_word(problems: &mut Problems, node: &Node) -> Option<Strategy> {
    let words = [("spread", Strategy::Spread), ("binpack", Strategy::Binpack)];
    word(problems, node, ("strategy", &words))
}

/// Reads `priority` of `x-wharf`.
pub(super) fn priority(problems: &mut Problems, service: &Section<'_>) -> Option<Priority> {
    let words = [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
        ("critical", Priority::Critical),
    ];
    let wharf = service.section(problems, "x-wharf");
    wharf.read(problems, "priority", |problems, node| word(problems, node, ("priority", &words)))
}

/// Reads `profile` of `x-wharf`. Nothing is the default, and so is what says so.
pub(super) fn profile(problems: &mut Problems, service: &Section<'_>) -> Option<Profile> {
    let words = [("default", None), ("strict", Some(Profile::Strict))];
    let wharf = service.section(problems, "x-wharf");
    let read = |problems: &mut Problems, node: &Node| word(problems, node, ("profile", &words));
    wharf.read(problems, "profile", read).flatten()
}

/// Reads `rebalance` of `x-wharf`.
pub(super) fn is_left_in_place(problems: &mut Problems, service: &Section<'_>, mode: Mode) -> bool {
    let wharf = service.section(problems, "x-wharf");
    let Some(moves) = wharf.read(problems, "rebalance", values::flag) else { return false };
    if let (false, Some(node)) = (matches!(mode, Mode::Replicated(_)), wharf.node("rebalance")) {
        let message = "only tasks of a replicated service ever move";
        problems.error(node.place, message).hint("take `rebalance` out");
    }
    !moves
}

/// One of a few words.
fn word<T: Copy>(
    problems: &mut Problems,
    node: &Node,
    (kind, words): (&str, &[(&str, T)]),
) -> Option<T> {
    let text = values::text(problems, node)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let hint = match suggest::nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean `{word}`?"),
            None => {
                let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("write one of {}", all.join(", "))
            }
        };
        problems.error(node.place, format!("`{text}` is not a {kind}")).hint(hint);
    }
    found.map(|(_, value)| *value)
}

pub(super) fn constraint(problems: &mut Problems, item: &Node) -> Option<(Constraint, Place)> {
    let text = values::text(problems, item)?;
    match text.parse::<Constraint>() {
        Ok(constraint) => Some((constraint, item.place)),
        Err(error) => {
            let place = item.place_within(error.position);
            problems.error(place, error.to_string()).hint(error.hint);
            None
        }
    }
}

/// Reports constraints of which no node can meet both.
pub(super) fn check(problems: &mut Problems, constraints: &[(Constraint, Place)]) {
    let all: Vec<&Constraint> = constraints.iter().map(|(constraint, _)| constraint).collect();
    let Some(Conflict { first, second }) = conflict(&all) else { return };
    let (one, other) = (&constraints[first], &constraints[second]);
    if first == second {
        let message = format!("no node can meet `{}`", one.0);
        problems.error(one.1, message).hint("parts of it contradict each other");
    } else {
        let message = format!("no node can meet both `{}` and `{}`", one.0, other.0);
        let problem = problems.error(other.1, message);
        problem
            .hint("every entry must hold: write `or` between them in one entry if either will do");
        problem.other("the other one", one.1);
    }
}
