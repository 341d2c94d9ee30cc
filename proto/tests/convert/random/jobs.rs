//! Jobs, schedules and runs that are valid.

use std::sync::Arc;
use std::time::Duration;

use model::job::*;
use model::schedule::{CatchUp, Overlap, Schedule};
use model::service::{Generation, Origin};
use model::spec::{Mode, REPLICAS_LIMIT, ServiceSpec};
use model::time::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::values::{duration, instant, one_of, text};

/// What a job wants.
pub(crate) fn job() -> impl Strategy<Value = Job> {
    let completions = prop_oneof![
        (1..=REPLICAS_LIMIT).prop_map(Completions::Count),
        Just(Completions::EveryNode),
    ];
    let deadline = duration().prop_map(|deadline| deadline.max(Duration::from_millis(1)));
    let keep =
        (1..=KEEP_LIMIT, 1..=KEEP_LIMIT).prop_map(|(succeeded, failed)| Keep { succeeded, failed });
    let limits = (1..=REPLICAS_LIMIT, 0..=RETRIES_LIMIT);
    (completions, limits, duration(), option::of(deadline), keep).prop_map(
        |(completions, (parallelism, retries), backoff, deadline, keep)| Job {
            completions,
            parallelism,
            retries,
            backoff,
            deadline,
            keep,
        },
    )
}

/// When its runs begin.
pub(crate) fn schedule() -> impl Strategy<Value = Option<Schedule>> {
    let recurrence = one_of(["@daily", "*/5 0-6 1,15 jan-mar mon", "@every 90s", "0 0 29 2 *"]);
    let zone = one_of(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]);
    let within = || (1..=604_800_000_u64).prop_map(Duration::from_millis);
    let catch_up = prop_oneof![
        Just(CatchUp::None),
        within().prop_map(|within| CatchUp::Last { within }),
        within().prop_map(|within| CatchUp::All { within }),
    ];
    let overlap = one_of([Overlap::Forbid, Overlap::Allow, Overlap::Replace]);
    option::of((recurrence, zone, overlap, catch_up).prop_map(
        |(recurrence, zone, overlap, catch_up)| Schedule {
            recurrence: recurrence.parse().unwrap(),
            zone: zone.parse().unwrap(),
            overlap,
            catch_up,
        },
    ))
}

fn cause() -> impl Strategy<Value = RunCause> {
    prop_oneof![Just(RunCause::Deployed), instant().prop_map(RunCause::Due), Just(RunCause::Asked),]
}

/// The runs of a job. What those in progress run is put in by [`with_target`].
pub(crate) fn runs() -> impl Strategy<Value = Runs> {
    let verdict = prop_oneof![
        Just(RunVerdict::Succeeded),
        text().prop_map(|reason| RunVerdict::Failed { reason }),
        Just(RunVerdict::Stopped),
        Just(RunVerdict::Replaced),
    ];
    let past = (cause(), instant(), instant(), any::<u32>(), verdict);
    let active = (cause(), instant(), 0..=REPLICAS_LIMIT);
    let counts = (0..1_u64 << 61, instant(), 0..1_u64 << 62, any::<bool>());
    (vec(past, 0..4), vec(active, 0..3), vec(instant(), 0..3), counts).prop_map(
        |(past, active, owed, (first, dealt_until, skipped, is_suspended))| {
            let past = (first + 1..).zip(past).map(
                |(number, (cause, started_at, ended_at, completed, verdict))| PastRun {
                    number,
                    cause,
                    generation: 7,
                    template: 3,
                    started_at,
                    ended_at,
                    completed,
                    verdict,
                },
            );
            let past: Vec<PastRun> = past.collect();
            let from = past.last().map_or(first, |run| run.number) + 1;
            let active = (from..).zip(active).map(|(number, (cause, started_at, done))| Run {
                number,
                cause,
                generation: nothing(),
                started_at,
                done,
            });
            let active: Vec<Run> = active.collect();
            let last = from + 5;
            Runs { last, active, past, dealt_until, owed, skipped, is_suspended }
        },
    )
}

/// Stands for the target until it is known.
fn nothing() -> Arc<Generation> {
    let (number, template, accepted_at) = (1, 1, Timestamp::default());
    let spec: ServiceSpec =
        proto::convert::generation_from_wire(&crate::sample::generation(1)).unwrap().spec;
    Arc::new(Generation { number, template, origin: Origin::Deployed, accepted_at, spec })
}

/// The same, and what is in progress runs the target, which is a job.
pub(crate) fn with_target(runs: Runs, target: &Arc<Generation>) -> Runs {
    assert!(matches!(target.spec.mode, Mode::Job(_)));
    let active = runs.active.into_iter();
    let active = active.map(|run| Run { generation: Arc::clone(target), ..run });
    Runs { active: active.collect(), ..runs }
}
