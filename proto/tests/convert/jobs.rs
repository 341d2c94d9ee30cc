//! Jobs and runs that can not be, or that contradict each other.

use proto::convert::{service_from_wire, spec_from_wire, task_from_wire};
use proto::wire;
use proto::wire::service_spec::Mode;

use crate::sample;

fn job() -> wire::Job {
    wire::Job {
        completions: Some(wire::job::Completions::Count(3)),
        parallelism: 2,
        retries: 3,
        backoff_ms: 10_000,
        deadline_ms: None,
        keep_succeeded: 3,
        keep_failed: 3,
    }
}

fn schedule() -> wire::Schedule {
    wire::Schedule {
        recurrence: "@daily".to_owned(),
        time_zone: "UTC".to_owned(),
        overlap: wire::Overlap::Forbid.into(),
        catch_up: wire::CatchUp::Last.into(),
        catch_up_within_ms: 1_000,
    }
}

fn spec(job: wire::Job, schedule: wire::Schedule) -> wire::ServiceSpec {
    wire::ServiceSpec { mode: Some(Mode::Job(job)), schedule: Some(schedule), ..sample::spec() }
}

fn refusal(spec: &wire::ServiceSpec) -> String {
    spec_from_wire(spec).map_or_else(|invalid| invalid.to_string(), |_| "taken".to_owned())
}

#[test]
fn a_job_that_can_not_be_is_refused_by_name() {
    type Spoil = (fn(&mut wire::Job), &'static str);
    let count = |count| Some(wire::job::Completions::Count(count));
    assert_eq!(refusal(&spec(job(), schedule())), "taken");
    let spoils: [Spoil; 9] = [
        (|job| job.completions = None, "mode.job.completions: is missing"),
        (|job| job.parallelism = 0, "mode.job.parallelism: 0 is not from 1 to 100000"),
        (|job| job.parallelism = u32::MAX, "mode.job.parallelism: 4294967295 is not"),
        (|job| job.retries = 101, "mode.job.retries: 101 is not from 0 to 100"),
        (|job| job.backoff_ms = u64::MAX, "mode.job.backoff: is longer than a year"),
        (|job| job.deadline_ms = Some(0), "mode.job.deadline: is 0"),
        (|job| job.deadline_ms = Some(u64::MAX), "mode.job.deadline: is longer than a year"),
        (|job| job.keep_succeeded = 0, "mode.job.keep_succeeded: 0 is not from 1 to 100"),
        (|job| job.keep_failed = 101, "mode.job.keep_failed: 101 is not from 1 to 100"),
    ];
    for (spoil, why) in spoils {
        let mut bad = job();
        spoil(&mut bad);
        let said = refusal(&spec(bad, schedule()));
        assert!(said.starts_with(&format!("shop/web.{why}")), "expected {why:?}, got {said:?}");
    }
    for number in [0, 100_001] {
        let said = refusal(&spec(wire::Job { completions: count(number), ..job() }, schedule()));
        assert!(said.starts_with("shop/web.mode.job.count: "), "{said}");
    }
}

#[test]
fn a_schedule_that_can_not_be_is_refused_by_name() {
    type Spoil = (fn(&mut wire::Schedule), &'static str);
    let spoils: [Spoil; 8] = [
        (|schedule| schedule.recurrence.clear(), "schedule.recurrence: has 0 fields"),
        (|schedule| schedule.recurrence = "0 0 31 2 *".to_owned(), "schedule.recurrence: there is"),
        (|schedule| schedule.recurrence = "a\u{202e}".repeat(99), "schedule.recurrence: has"),
        (|schedule| schedule.time_zone = "Mars".to_owned(), "schedule.time_zone: there is no"),
        (|schedule| schedule.overlap = 9, "schedule.overlap: is missing"),
        (|schedule| schedule.catch_up = 0, "schedule.catch_up: is missing"),
        (|schedule| schedule.catch_up_within_ms = 0, "schedule.catch_up_within: is not longer"),
        (|schedule| schedule.catch_up_within_ms = 604_800_001, "schedule.catch_up_within: is not"),
    ];
    for (spoil, why) in spoils {
        let mut bad = schedule();
        spoil(&mut bad);
        let said = refusal(&spec(job(), bad));
        assert!(said.starts_with(&format!("shop/web.{why}")), "expected {why:?}, got {said:?}");
    }
    let hidden = wire::Schedule { time_zone: "\u{202e}\n".repeat(99), ..schedule() };
    let said = refusal(&spec(job(), hidden));
    assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
    let on_a_service = wire::ServiceSpec { schedule: Some(schedule()), ..sample::spec() };
    assert!(refusal(&on_a_service).starts_with("shop/web.schedule: is only for a job"));
}

fn run(number: u64) -> wire::Run {
    let kind = Some(wire::run_cause::Kind::Asked(wire::Asked {}));
    let mut generation = sample::generation(2);
    generation.spec = Some(spec(job(), schedule()));
    wire::Run {
        number,
        cause: Some(wire::RunCause { kind }),
        generation: Some(generation),
        ..wire::Run::default()
    }
}

fn past(number: u64) -> wire::PastRun {
    let verdict = wire::RunVerdict::Succeeded.into();
    wire::PastRun { number, cause: run(1).cause, verdict, ..wire::PastRun::default() }
}

fn service() -> wire::Service {
    let runs = wire::Runs {
        last: 3,
        active: vec![run(2), run(3)],
        past: vec![past(1)],
        ..wire::Runs::default()
    };
    wire::Service {
        target: run(1).generation,
        stable: None,
        history: Vec::new(),
        runs: Some(runs),
        ..sample::service()
    }
}

#[test]
fn runs_that_contradict_each_other_are_refused() {
    type Spoil = (fn(&mut wire::Service, &mut wire::Runs), &'static str);
    service_from_wire(&service()).unwrap();
    let spoils: [Spoil; 10] = [
        (|_, runs| runs.active.swap(0, 1), "runs.active.number: 2 comes after 3"),
        (|_, runs| runs.active.push(run(4)), "runs.active.number: 4 comes after 3, and 3 is"),
        (|_, runs| runs.active = (1..=11).map(run).collect(), "runs.active: are 11 of 10"),
        (|_, runs| runs.past.push(past(2)), "runs.past.number: run 2 is in progress and over"),
        (|_, runs| runs.past.push(past(1)), "runs.past.number: 1 comes after 1"),
        (|_, runs| runs.past[0].verdict = 0, "runs.past.verdict: is missing"),
        (|_, runs| runs.active[0].cause = None, "runs.active.cause: is missing"),
        (|_, runs| runs.last = u64::MAX, "runs.last: 18446744073709551615 is more"),
        (
            |_, runs| runs.active[0].generation = Some(sample::generation(2)),
            "runs.active.generation.spec.mode: is not that of a job",
        ),
        (
            |service, _| service.target = Some(sample::generation(2)),
            "runs.active: are in progress, and the mode of the target is no job",
        ),
    ];
    for (spoil, why) in spoils {
        let mut bad = service();
        let mut runs = bad.runs.take().unwrap();
        spoil(&mut bad, &mut runs);
        bad.runs = Some(runs);
        let said = service_from_wire(&bad).unwrap_err().to_string();
        assert!(said.starts_with(&format!("service.{why}")), "expected {why:?}, got {said:?}");
    }
}

/// What a later version may remember more of is left behind, and does not keep this one from starting.
#[test]
fn more_that_is_owed_than_this_version_keeps_is_forgotten() {
    let mut service = service();
    service.runs.as_mut().unwrap().owed_ms = (1..=150).collect();
    let owed = service_from_wire(&service).unwrap().runs.owed;
    assert_eq!((owed.len(), owed[0].as_millis()), (100, 51));
}

#[test]
fn slots_of_runs_are_counted_from_one() {
    let slots = [
        wire::slot::Kind::RunReplica(wire::RunReplica { run: 0, number: 1 }),
        wire::slot::Kind::RunReplica(wire::RunReplica { run: 1, number: 0 }),
        wire::slot::Kind::RunNode(wire::RunNode { run: 0, node: "n1".to_owned() }),
        wire::slot::Kind::RunNode(wire::RunNode { run: 1, node: "a b".to_owned() }),
    ];
    for kind in slots {
        let task = wire::Task { slot: Some(wire::Slot { kind: Some(kind) }), ..sample::task(1) };
        let said = task_from_wire(&task).unwrap_err().to_string();
        assert!(said.starts_with("task.slot: "), "{said}");
    }
}
