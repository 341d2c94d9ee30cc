//! Records of jobs: of each kind, with runs of each kind, and the tasks of a run.

use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, Slot, TaskId};
use model::job::{Completions, Job, Keep, PastRun, Run, RunCause, RunVerdict, Runs};
use model::rollout::Rollout;
use model::schedule::{CatchUp, Overlap, Schedule};
use model::service::{Generation, Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task};
use model::time::Timestamp;

use super::Stored;
use crate::golden::stored::Journal;

const NOON: u64 = 1_795_435_200_000;

const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOON + seconds * 1_000)
}

fn job(completions: Completions) -> Job {
    Job {
        completions,
        parallelism: 2,
        retries: 3,
        backoff: Duration::from_secs(10),
        deadline: Some(Duration::from_secs(3_600)),
        keep: Keep { succeeded: 4, failed: 5 },
    }
}

fn with(service: &Service, mode: Mode, schedule: Option<Schedule>) -> Service {
    let mut target: Generation = (*service.target).clone();
    (target.spec.mode, target.spec.schedule) = (mode, schedule);
    Service { target: Arc::new(target), stable: None, ..service.clone() }
}

fn schedule(recurrence: &str, overlap: Overlap, catch_up: CatchUp) -> Schedule {
    let zone = "Europe/Berlin".parse().unwrap();
    Schedule { recurrence: recurrence.parse().unwrap(), zone, overlap, catch_up }
}

/// Services like this one that are jobs.
pub(crate) fn services(service: &Service) -> super::super::Records {
    let within = Duration::from_secs(86_400);
    let count = Mode::Job(job(Completions::Count(5)));
    let nodes = Mode::Job(Job { deadline: None, ..job(Completions::EveryNode) });
    let plain = with(service, count, None);
    let phase = ServicePhase::Rolling(Rollout::new(at(0)));
    let plain = Service { runs: runs(&plain), phase, ..plain };
    let nightly = schedule("30 3 * * mon-fri", Overlap::Forbid, CatchUp::Last { within });
    let nightly = with(service, count, Some(nightly));
    let nightly = Service { runs: runs(&nightly), ..nightly };
    let often = schedule("@every 5m", Overlap::Replace, CatchUp::All { within });
    let often = with(service, nodes, Some(often));
    let suspended = Runs { is_suspended: true, ..Runs::default() };
    let beside = schedule("@hourly", Overlap::Allow, CatchUp::None);
    let beside = Service { runs: suspended, ..with(service, count, Some(beside)) };
    vec![
        ("job-running", Stored::Service(plain)),
        ("job-scheduled", Stored::Service(nightly)),
        ("job-on-every-node", Stored::Service(often)),
        ("job-suspended", Stored::Service(beside)),
    ]
}

fn runs(service: &Service) -> Runs {
    let past = |number, cause, verdict| PastRun {
        number,
        cause,
        generation: 1,
        template: 1,
        started_at: at(number * 60),
        ended_at: at(number * 60 + 30),
        completed: 3,
        verdict,
    };
    let failed = RunVerdict::Failed { reason: "slot 2 failed: exit code 1".to_owned() };
    Runs {
        last: 5,
        active: vec![Run {
            number: 5,
            cause: RunCause::Due(at(300)),
            generation: Arc::clone(&service.target),
            started_at: at(301),
            done: 100,
        }],
        past: vec![
            past(1, RunCause::Deployed, RunVerdict::Succeeded),
            past(2, RunCause::Asked, failed),
            past(3, RunCause::Asked, RunVerdict::Stopped),
            past(4, RunCause::Due(at(240)), RunVerdict::Replaced),
        ],
        dealt_until: at(300),
        owed: vec![at(240), at(270)],
        skipped: 7,
        is_suspended: false,
    }
}

/// Tasks like this one that belong to runs.
pub(crate) fn tasks(task: &Task) -> super::super::Records {
    let node: NodeId = "i-0123456789abcdef0".parse().unwrap();
    let slots = [
        ("task-of-run", Slot::RunReplica { run: 5, number: 101 }, DesiredState::Run),
        (
            "task-of-run-on-node",
            Slot::RunNode { run: 5, node },
            DesiredState::stop(StopCause::RunOver),
        ),
    ];
    let record = |(name, slot, desired)| {
        let id = TaskId::new(&task.service, &slot, 44);
        let ended_at = Some(at(330));
        (name, Stored::Task(Task { id, slot, desired, ended_at, failures: 2, ..task.clone() }))
    };
    slots.map(record).into()
}

/// A journal with one task more, of a run that is over.
pub(crate) fn journal(mut journal: Journal) -> Journal {
    let (spec, mut kept) = journal.tasks.last().unwrap().clone();
    kept.assignment.task = "shop.web.r5-101.44".parse().unwrap();
    kept.assignment.desired = DesiredState::stop(StopCause::RunOver);
    journal.tasks.push((spec, kept));
    journal
}
