//! Jobs: what `deploy.mode`, `deploy.restart_policy` and `x-wharf` say about tasks that run to their end, and when.

use std::time::Duration;

use model::job::{BACKOFF_USUAL, KEEP_LIMIT, Keep, RETRIES_LIMIT, RETRIES_USUAL};
use model::schedule::{
    CATCH_UP_MOST, CATCH_UP_USUAL, Recurrence, RecurrenceError, Zone, ZoneError,
};
use model::spec::REPLICAS_LIMIT;
use proto::wire::job::Completions;
use proto::wire::{CatchUp, EveryNode, Job, Overlap, RestartCondition, RestartPolicy, Schedule};

use super::keys::SCHEDULE;
use super::node::{Node, Value};
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Says whether something under `x-wharf` makes a job of the service.
pub(super) fn is_asked(problems: &mut Problems, service: &Section<'_>) -> bool {
    let wharf = service.section(problems, "x-wharf");
    wharf.node("job").is_some() || wharf.node("schedule").is_some()
}

/// Reports that a service whose mode is none of a job has what only a job can have.
pub(super) fn refuse(problems: &mut Problems, service: &Section<'_>) {
    let wharf = service.section(problems, "x-wharf");
    for name in ["job", "schedule"] {
        if let Some(node) = wharf.node(name) {
            let message = format!("`{name}` is only for a job, and the mode is another");
            let hint = "write `mode: replicated-job` or `mode: global-job`, or leave the mode out";
            problems.error(node.place, message).hint(hint);
        }
    }
}

/// A job with one completion that is not tried again unless the file says so: what others wait for.
pub(super) fn once(restart: &RestartPolicy, is_restart_given: bool) -> Job {
    let again = restart.condition() == RestartCondition::OnFailure && is_restart_given;
    let retries = if again { restart.max_attempts.unwrap_or(RETRIES_USUAL) } else { 0 };
    Job {
        completions: Some(Completions::Count(1)),
        parallelism: 1,
        retries: retries.min(RETRIES_LIMIT),
        backoff_ms: restart.delay_ms,
        ..terms()
    }
}

/// What a job wants when nothing is said.
fn terms() -> Job {
    let Keep { succeeded, failed } = Keep::default();
    Job {
        completions: None,
        parallelism: REPLICAS_LIMIT,
        retries: RETRIES_USUAL,
        backoff_ms: millis(BACKOFF_USUAL),
        deadline_ms: None,
        keep_succeeded: succeeded,
        keep_failed: failed,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a job of so many completions, or of one on each node when there is no number.
pub(super) fn read(
    problems: &mut Problems,
    (service, deploy): (&Section<'_>, &Section<'_>),
    completions: Option<u32>,
) -> Job {
    refuse_updates(problems, service, deploy);
    let wharf = service.section(problems, "x-wharf");
    let section = wharf.section(problems, "job");
    let history = section.section(problems, "history");
    let usual = terms();
    let parallelism = section
        .read(problems, "parallelism", |problems, node| some(problems, node, REPLICAS_LIMIT));
    let retries = section
        .read(problems, "retries", |problems, node| values::count(problems, node, RETRIES_LIMIT));
    let backoff = section.duration_ms(problems, "backoff");
    let (again, delay) = restarts(problems, (service, deploy), &section);
    let kept = |problems: &mut Problems, name| {
        history.read(problems, name, |problems, node| some(problems, node, KEEP_LIMIT))
    };
    Job {
        completions: Some(match completions {
            Some(count) => Completions::Count(count),
            None => Completions::EveryNode(EveryNode {}),
        }),
        parallelism: parallelism.or(completions).unwrap_or(usual.parallelism),
        retries: retries.or(again).unwrap_or(usual.retries),
        backoff_ms: backoff.or(delay).unwrap_or(usual.backoff_ms),
        deadline_ms: section.read(problems, "deadline", values::some_duration_ms),
        keep_succeeded: kept(problems, "succeeded").unwrap_or(usual.keep_succeeded),
        keep_failed: kept(problems, "failed").unwrap_or(usual.keep_failed),
    }
}

/// A number from 1 on.
fn some(problems: &mut Problems, node: &Node, most: u32) -> Option<u32> {
    let number = values::whole(problems, node, 1..=i64::from(most))?;
    u32::try_from(number).ok()
}

/// What Compose's own words say about another try: how often, and after which wait.
fn restarts(
    problems: &mut Problems,
    (service, deploy): (&Section<'_>, &Section<'_>),
    job: &Section<'_>,
) -> (Option<u32>, Option<u64>) {
    let policy = deploy.section(problems, "restart_policy");
    let given = policy.node("condition").or_else(|| service.node("restart"));
    let attempts = policy.node("max_attempts").or(given);
    for (name, other) in [("retries", attempts), ("backoff", policy.node("delay"))] {
        if let (Some(node), Some(other)) = (job.node(name), other) {
            let message = format!("`{name}` stands beside a restart policy, which says the same");
            let problem = problems.error(node.place, message);
            problem.other("here is the other", other.place).hint("keep one of them");
        }
    }
    let policy = super::deploy::restart_policy(problems, service, deploy);
    let Some(RestartPolicy { delay_ms, max_attempts, .. }) = policy else { return (None, None) };
    let delay = deploy.section(problems, "restart_policy").node("delay").map(|_| delay_ms);
    let condition = policy.map(|policy| policy.condition());
    if let (Some(RestartCondition::Any), Some(node)) = (condition, given) {
        let message = "a job is not started again after it has ended well";
        problems.error(node.place, message).hint("write `on-failure`, or leave it out");
    }
    let retries = max_attempts.map(|attempts| attempts.min(RETRIES_LIMIT));
    let is_final = condition == Some(RestartCondition::Never);
    (if is_final { Some(0) } else { retries }, delay)
}

/// A job has no tasks that serve: nothing is exchanged, and nothing spared.
fn refuse_updates(problems: &mut Problems, service: &Section<'_>, deploy: &Section<'_>) {
    let wharf = service.section(problems, "x-wharf");
    let job =
        "use `x-wharf.job.parallelism` for how many run at once; a new deployment begins a new run";
    let spare = "leave it out; a drain lets the tasks of a job run to their end";
    let late = "use `x-wharf.job.deadline`";
    let all = [
        (deploy.node("update_config"), "update_config", job),
        (wharf.node("min_available"), "min_available", spare),
        (wharf.node("max_unavailable"), "max_unavailable", spare),
        (wharf.node("progress_deadline"), "progress_deadline", late),
    ];
    for (node, name, hint) in all {
        if let Some(node) = node {
            let message = format!("`{name}` means nothing for a job");
            problems.error(node.place, message).hint(hint);
        }
    }
}

/// Reads when its runs begin, if they do by themselves.
pub(super) fn schedule(problems: &mut Problems, service: &Section<'_>) -> Option<Schedule> {
    let wharf = service.section(problems, "x-wharf");
    let node = wharf.node("schedule")?;
    let usual = Schedule {
        time_zone: Zone::utc().to_string(),
        overlap: Overlap::Forbid.into(),
        catch_up: CatchUp::Last.into(),
        catch_up_within_ms: millis(CATCH_UP_USUAL),
        recurrence: String::new(),
    };
    if let Value::Scalar(_) = &node.value {
        return Some(Schedule { recurrence: recurrence(problems, node)?.to_string(), ..usual });
    }
    let section = Section::new(problems, node, SCHEDULE);
    let Some(cron) = section.node("cron") else {
        let message = "a schedule without `cron`";
        problems.error(node.place, message).hint("add when it runs, as in `cron: 30 3 * * *`");
        return None;
    };
    let cron = recurrence(problems, cron);
    let zone = section.read(problems, "time_zone", zone);
    if let (Some(cron), Some(node)) = (&cron, section.node("time_zone"))
        && !cron.has_zone()
    {
        let message = "`@every` is the same in every time zone";
        problems.error(node.place, message).hint("leave `time_zone` out, or write a time of day");
    }
    let overlap = section.read(problems, "overlap", overlap);
    let catch_up = section.read(problems, "catch_up", catch_up).unwrap_or(CatchUp::Last);
    let within = section.read(problems, "catch_up_within", within);
    if let (CatchUp::None, Some(node)) = (catch_up, section.node("catch_up_within")) {
        let message = "nothing is caught up, within whatever time";
        problems.error(node.place, message).hint("write `catch_up: last` or `catch_up: all`");
    }
    let window = within.unwrap_or(usual.catch_up_within_ms);
    Some(Schedule {
        recurrence: cron?.to_string(),
        time_zone: zone.map_or(usual.time_zone, |zone| zone.to_string()),
        overlap: overlap.unwrap_or(Overlap::Forbid).into(),
        catch_up: catch_up.into(),
        catch_up_within_ms: if catch_up == CatchUp::None { 0 } else { window },
    })
}

pub(super) fn recurrence(problems: &mut Problems, node: &Node) -> Option<Recurrence> {
    let text = values::text(problems, node)?;
    match text.parse() {
        Ok(recurrence) => Some(recurrence),
        Err(RecurrenceError { why, hint }) => {
            problems.error(node.place, format!("not a schedule: {why}")).hint(hint);
            None
        }
    }
}

pub(super) fn zone(problems: &mut Problems, node: &Node) -> Option<Zone> {
    let text = values::text(problems, node)?;
    match text.parse() {
        Ok(zone) => Some(zone),
        Err(ZoneError { name, hint }) => {
            let message = format!("there is no time zone `{name}`");
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}

fn overlap(problems: &mut Problems, node: &Node) -> Option<Overlap> {
    match values::text(problems, node)? {
        "forbid" => Some(Overlap::Forbid),
        "allow" => Some(Overlap::Allow),
        "replace" => Some(Overlap::Replace),
        other => {
            let message = format!("`{other}` is not what runs can do that overlap");
            problems.error(node.place, message).hint("write `forbid`, `allow` or `replace`");
            None
        }
    }
}

fn catch_up(problems: &mut Problems, node: &Node) -> Option<CatchUp> {
    match values::text(problems, node)? {
        "none" => Some(CatchUp::None),
        "last" => Some(CatchUp::Last),
        "all" => Some(CatchUp::All),
        other => {
            let message = format!("`{other}` is not what can be caught up");
            problems.error(node.place, message).hint("write `none`, `last` or `all`");
            None
        }
    }
}

fn within(problems: &mut Problems, node: &Node) -> Option<u64> {
    let within = values::some_duration_ms(problems, node)?;
    if within > millis(CATCH_UP_MOST) {
        let message = "what is older than a week is not caught up";
        problems.error(node.place, message).hint("write at most `168h`");
        return None;
    }
    Some(within)
}
