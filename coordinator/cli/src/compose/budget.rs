//! How much of a service may be away by our own doing: `min_available` or `max_unavailable` of `x-wharf`.

use model::spec::REPLICAS_LIMIT;
use proto::wire::amount::Kind as Number;
use proto::wire::budget::Kind;
use proto::wire::mount::Source;
use proto::wire::service_spec::Mode;
use proto::wire::{Amount, Budget, ContainerSpec, Mount, Replicated, UpdateOrder};

use super::deploy::Deployment;
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

/// Doubts a budget that lets nothing be taken away while two tasks can not run side by side: each is stopped before its
/// successor starts, and so no task could ever be replaced.
pub(super) fn doubt(
    problems: &mut Problems,
    service: &Section<'_>,
    (deployment, container): (&Deployment, &ContainerSpec),
) {
    let writes =
        |mount: &Mount| !mount.read_only && !matches!(mount.source, Some(Source::TmpfsBytes(_)));
    let stops_first = match deployment.update.order() {
        UpdateOrder::StopFirst => true,
        UpdateOrder::StartFirst => false,
        UpdateOrder::Auto | UpdateOrder::Unspecified => {
            container.ports.iter().any(|port| port.host.is_some())
                || container.mounts.iter().any(writes)
        }
    };
    let Mode::Replicated(Replicated { replicas }) = deployment.mode else { return };
    let wharf = service.section(problems, "x-wharf");
    let (name, is_rigid) = match deployment.budget.and_then(|budget| budget.kind) {
        Some(Kind::MinAvailable(amount)) => ("min_available", is(amount, replicas, 100)),
        Some(Kind::MaxUnavailable(amount)) => ("max_unavailable", is(amount, 0, 0)),
        None => return,
    };
    if stops_first
        && is_rigid
        && replicas > 0
        && let Some(node) = wharf.node(name)
    {
        let message = format!(
            "with this `{name}` no task can ever be replaced: each stops before the next one starts"
        );
        let hint = "let one be away, or add a replica; ports of the host and data that is written keep two from running side by side";
        problems.warning(node.place, message).hint(hint);
    }
}

fn is(amount: Amount, count: u32, percent: u32) -> bool {
    match amount.kind {
        Some(Number::Count(given)) => given == count,
        Some(Number::Percent(given)) => given == percent,
        None => false,
    }
}

/// A number of tasks, or a part of those that the service has.
pub(super) fn amount(problems: &mut Problems, node: &Node, mode: Mode) -> Option<Amount> {
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
