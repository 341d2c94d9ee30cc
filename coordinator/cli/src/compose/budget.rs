//! How much of a service may be away by our own doing: `min_available` or `max_unavailable` of `x-wharf`.

use model::spec::REPLICAS_LIMIT;
use proto::wire::amount::Kind as Number;
use proto::wire::budget::Kind;
use proto::wire::service_spec::Mode;
use proto::wire::{Amount, Budget, Replicated};

use super::node::Node;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Reads the budget, if one is given.
pub(super) fn read(problems: &mut Problems, service: &Section<'_>, mode: Mode) -> Option<Budget> {
    let wharf = service.section(problems, "x-wharf");
    let least =
        wharf.read(problems, "min_available", |problems, node| amount(problems, node, mode));
    let most =
        wharf.read(problems, "max_unavailable", |problems, node| amount(problems, node, mode));
    if let (Some(node), Some(other)) = (wharf.node("max_unavailable"), wharf.node("min_available"))
    {
        let message = "`max_unavailable` stands beside `min_available`, which says the same";
        let problem = problems.error(node.place, message);
        problem.other("here is the other", other.place).hint("keep one of them");
    }
    let kind = least.map(Kind::MinAvailable).or(most.map(Kind::MaxUnavailable));
    kind.map(|kind| Budget { kind: Some(kind) })
}

fn amount(problems: &mut Problems, node: &Node, mode: Mode) -> Option<Amount> {
    let text = values::text(problems, node)?;
    let number = match text.strip_suffix('%') {
        Some(digits) => match digits.trim_end().parse::<u32>() {
            Ok(percent) if percent <= 100 => Number::Percent(percent),
            Ok(_) | Err(_) => {
                let message = format!("`{text}` is not a part: from 0% to 100%");
                problems
                    .error(node.place, message)
                    .hint("write it as in `50%`, or a number of tasks");
                return None;
            }
        },
        None => Number::Count(values::count(problems, node, REPLICAS_LIMIT)?),
    };
    if let (Number::Count(count), Mode::Replicated(Replicated { replicas })) = (number, mode)
        && count > replicas
    {
        let message = format!("{count} tasks are more than the {replicas} of the service");
        let hint = "give at most the number of replicas, or a part as in `50%`, which follows it";
        problems.error(node.place, message).hint(hint);
        return None;
    }
    Some(Amount { kind: Some(number) })
}
