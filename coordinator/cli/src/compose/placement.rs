//! On which nodes a service can run.

use model::constraint::{Conflict, Constraint, conflict};

use super::keys::PREFERENCE;
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

/// Checks `preferences`: only what happens anyway can be asked for.
pub(super) fn check_preferences(problems: &mut Problems, placement: &Section<'_>) {
    let items = placement.read(problems, "preferences", values::list).unwrap_or_default();
    for item in items {
        let section = Section::new(problems, item, PREFERENCE);
        let spread = section.read(problems, "spread", values::text);
        if !matches!(spread, None | Some("node.zone" | "node.labels.zone")) {
            let message = "only a spread over `node.zone` is supported, and it is done anyway";
            let hint = "leave it out, or divide the service into several with `constraints`";
            problems.error(item.place, message).hint(hint);
        }
    }
}

fn constraint(problems: &mut Problems, item: &Node) -> Option<(Constraint, Place)> {
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
