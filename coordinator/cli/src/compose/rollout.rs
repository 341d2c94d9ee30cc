//! How tasks are exchanged for those of a newer generation: `deploy.update_config`, and what `x-wharf` adds to it.

use model::spec::REPLICAS_LIMIT;
use proto::wire::amount::Kind as Number;
use proto::wire::service_spec::Mode;
use proto::wire::update_policy::Trial;
use proto::wire::{
    Amount, BlueGreen, Canary, FailureAction, Promotion, Replicated, Tolerance, UpdateOrder,
    UpdatePolicy,
};

use super::budget;
use super::node::Node;
use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// A new task must stay healthy for so long, as in a swarm.
const MONITOR_MS: u64 = 5_000;

/// Ten minutes: enough for a large image and a slow start, and somebody still waits for the answer.
const PROGRESS_DEADLINE_MS: u64 = 600_000;

/// For how long what was there is kept after a switch: long enough for what shows only with requests.
const KEEP_MS: u64 = 600_000;

/// How long a canary is watched that does not say it: long enough for what shows only under load.
const HOLD_MS: u64 = 300_000;

/// Reads all of it.
pub(super) fn update(
    problems: &mut Problems,
    service: &Section<'_>,
    (deploy, mode): (&Section<'_>, Mode),
) -> UpdatePolicy {
    let config = deploy.section(problems, "update_config");
    let wharf = service.section(problems, "x-wharf");
    let all = match mode {
        Mode::Replicated(Replicated { replicas }) => replicas.max(1),
        Mode::Global(_) => REPLICAS_LIMIT,
        Mode::Once(_) | Mode::Job(_) => 1,
    };
    let parallelism = config.read(problems, "parallelism", |problems, node| {
        values::count(problems, node, REPLICAS_LIMIT)
    });
    let deadline = wharf.read(problems, "progress_deadline", values::some_duration_ms);
    UpdatePolicy {
        parallelism: match parallelism {
            Some(0) => all,
            Some(parallelism) => parallelism,
            None => 1,
        },
        order: config.read(problems, "order", order).unwrap_or(UpdateOrder::Auto).into(),
        monitor_ms: config.duration_ms(problems, "monitor").unwrap_or(MONITOR_MS),
        delay_ms: config.duration_ms(problems, "delay").unwrap_or_default(),
        max_failure_permille: config
            .read(problems, "max_failure_ratio", values::permille)
            .unwrap_or(0),
        tolerance: tolerance(problems, &wharf),
        on_failure: config
            .read(problems, "failure_action", failure_action)
            .unwrap_or(FailureAction::Rollback)
            .into(),
        progress_deadline_ms: deadline.unwrap_or(PROGRESS_DEADLINE_MS),
        trial: trial(problems, &wharf, mode),
    }
}

fn tolerance(problems: &mut Problems, wharf: &Section<'_>) -> Option<Tolerance> {
    let bounds = wharf.section(problems, "tolerated_failures");
    let count =
        |problems: &mut Problems, node: &Node| values::count(problems, node, REPLICAS_LIMIT);
    let at_least = bounds.read(problems, "at_least", count);
    let at_most = bounds.read(problems, "at_most", count);
    if let (Some(least), Some(most)) = (at_least, at_most)
        && most < least
        && let Some(node) = bounds.node("at_most")
    {
        let message = format!("at most {most} failures, and at least {least}");
        problems.error(node.place, message).hint("give `at_most` the greater number");
        return None;
    }
    let is_given = at_least.is_some_and(|least| least > 0) || at_most.is_some();
    is_given.then_some(Tolerance { at_least: at_least.unwrap_or_default(), at_most })
}

fn trial(problems: &mut Problems, wharf: &Section<'_>, mode: Mode) -> Option<Trial> {
    let canary = canary(problems, wharf, mode);
    let Some((both, place)) = blue_green(problems, wharf, mode) else {
        return canary.map(Trial::Canary);
    };
    if canary.is_some() {
        let hint = "leave one of the two out: both say how a new generation is tried";
        problems.error(place, "a service has `canary` or `blue_green`, and not both").hint(hint);
    }
    Some(Trial::BlueGreen(both))
}

fn blue_green(
    problems: &mut Problems,
    wharf: &Section<'_>,
    mode: Mode,
) -> Option<(BlueGreen, Place)> {
    let both = wharf.section(problems, "blue_green");
    let hold = both.duration_ms(problems, "hold");
    let promotion = both.read(problems, "promote", promotion);
    let keep = both.duration_ms(problems, "keep");
    let place = both.place?;
    let refusal = match mode {
        Mode::Replicated(_) => wharf.node("target_groups").is_none().then_some((
            "`blue_green` without `target_groups`",
            "requests are switched at load balancers: say which, or try a `canary`",
        )),
        Mode::Global(_) | Mode::Once(_) | Mode::Job(_) => Some((
            "`blue_green` is for services with a number of replicas",
            "leave it out, or try a `canary`",
        )),
    };
    if let Some((message, hint)) = refusal {
        problems.error(place, message).hint(hint);
        return None;
    }
    let both = BlueGreen {
        hold_ms: hold.unwrap_or_default(),
        promotion: promotion.unwrap_or(Promotion::Automatic).into(),
        keep_ms: keep.unwrap_or(KEEP_MS),
    };
    Some((both, place))
}

fn canary(problems: &mut Problems, wharf: &Section<'_>, mode: Mode) -> Option<Canary> {
    let canary = wharf.section(problems, "canary");
    let slots = canary.read(problems, "replicas", |problems, node| slots(problems, node, mode));
    let hold = canary.duration_ms(problems, "hold");
    let promotion = canary.read(problems, "promote", promotion);
    let place = canary.place?;
    if let Mode::Once(_) | Mode::Job(_) = mode {
        problems.error(place, "a job has no canary").hint("leave it out");
        return None;
    }
    Some(Canary {
        slots: Some(slots.unwrap_or(Amount { kind: Some(Number::Count(1)) })),
        hold_ms: hold.unwrap_or(HOLD_MS),
        promotion: promotion.unwrap_or(Promotion::Automatic).into(),
    })
}

fn slots(problems: &mut Problems, node: &Node, mode: Mode) -> Option<Amount> {
    let amount = budget::amount(problems, node, mode)?;
    match amount.kind {
        Some(Number::Count(0) | Number::Percent(0)) => {
            let hint = "give a number of slots from 1, a part as in `10%`, or leave `canary` out";
            problems.error(node.place, "a canary without a slot").hint(hint);
            None
        }
        Some(Number::Count(_) | Number::Percent(_)) | None => Some(amount),
    }
}

fn promotion(problems: &mut Problems, node: &Node) -> Option<Promotion> {
    match values::text(problems, node)? {
        "automatic" => Some(Promotion::Automatic),
        "manual" => Some(Promotion::Manual),
        other => {
            let message = format!("`{other}` is not a way to promote a canary");
            let hint = "write `automatic`, or `manual` to wait for `wharf rollout promote`";
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}

fn order(problems: &mut Problems, node: &Node) -> Option<UpdateOrder> {
    match values::text(problems, node)? {
        "start-first" => Some(UpdateOrder::StartFirst),
        "stop-first" => Some(UpdateOrder::StopFirst),
        other => {
            let message = format!("`{other}` is not an order");
            problems
                .error(node.place, message)
                .hint("write `start-first` or `stop-first`, or leave it out");
            None
        }
    }
}

fn failure_action(problems: &mut Problems, node: &Node) -> Option<FailureAction> {
    match values::text(problems, node)? {
        "rollback" => Some(FailureAction::Rollback),
        "pause" => Some(FailureAction::Pause),
        "continue" => Some(FailureAction::Continue),
        other => {
            let message = format!("`{other}` is not what a failed update can do");
            problems.error(node.place, message).hint("write `rollback`, `pause` or `continue`");
            None
        }
    }
}
