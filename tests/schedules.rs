//! Runs by a schedule: when they are due, when they meet, and when nobody looked.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;
#[allow(dead_code, reason = "each test file needs a part of it")]
#[path = "jobs/told.rs"]
mod told;

use std::time::Duration;

use coordinator_core::event::{EngineState, Event, JobOrder, Reply};
use coordinator_core::step;
use model::job::{Keep, RunCause, RunVerdict};
use model::schedule::{CatchUp, Overlap};
use model::service::ServicePhase;
use model::spec::{Mode, ServiceSpec};
use model::task::TaskState;

use story::{Story, id};
use told::*;

#[test]
fn a_schedule_begins_a_run_at_each_of_its_times_and_remembers_few() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(
        &mut story,
        &scheduled("*/5 * * * *", Overlap::Forbid, CatchUp::Last { within: WITHIN }),
    );
    assert_eq!((service(&story).phase.clone(), slots(&story).len()), (ServicePhase::Steady, 0));
    let done = step(&mut story.cluster.clone(), &[], story.now);
    assert!(done.wake_at.is_some_and(|at| at <= begin + Duration::from_secs(300)));
    for hour in 1..=3 {
        for _ in 0..12 {
            story.pass(300, &ALL);
            assert_eq!(slots(&story).len(), 1);
            complete_all(&mut story);
        }
        assert_eq!(runs(&story).last, hour * 12);
        assert_eq!(due(&story, begin), [hour * 3_600 - 300, hour * 3_600]);
    }
    assert_eq!(story.cluster.tasks().len(), 2, "those of two runs are remembered");
}

#[test]
fn a_time_that_comes_during_a_run_is_skipped_or_runs_beside_it_or_instead() {
    for (overlap, active, past) in [
        (Overlap::Forbid, vec![1], vec![]),
        (Overlap::Allow, vec![1, 2, 3], vec![]),
        (Overlap::Replace, vec![3], vec![RunVerdict::Replaced, RunVerdict::Replaced]),
    ] {
        let mut story = Story::new(&TWO);
        deploy(&mut story, &scheduled("@every 1m", overlap, CatchUp::None));
        for _ in 0..3 {
            story.pass(60, &ALL);
            story.start_all();
            story.stop_all();
        }
        let numbers: Vec<u64> = runs(&story).active.iter().map(|run| run.number).collect();
        assert_eq!((numbers, verdicts(&story)), (active, past), "{overlap}");
        assert_eq!(runs(&story).skipped, if overlap == Overlap::Forbid { 2 } else { 0 });
    }
}

/// Not even for a moment.
#[test]
fn a_run_that_takes_the_place_of_another_waits_for_its_end() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 1m", Overlap::Replace, CatchUp::None));
    story.pass(60, &ALL);
    story.start_all();
    story.pass(60, &ALL);
    assert_eq!(slots(&story), ["r1-1"]);
    story.pass(50, &ALL);
    assert_eq!(slots(&story), ["r1-1"], "it is still stopping");
    story.stop_all();
    assert_eq!(slots(&story), ["r2-1"]);
}

#[test]
fn runs_side_by_side_are_bounded() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 1m", Overlap::Allow, CatchUp::None));
    story.pass(60 * 15, &ALL);
    assert_eq!((runs(&story).active.len(), slots(&story).len(), runs(&story).skipped), (10, 10, 5));
}

#[test]
fn what_was_missed_is_skipped_or_caught_up_as_the_schedule_says() {
    for (catch_up, expected) in [
        (CatchUp::None, vec![]),
        (CatchUp::Last { within: WITHIN }, vec![3_600]),
        (CatchUp::All { within: WITHIN }, vec![600, 1_200, 1_800, 2_400, 3_000, 3_600]),
        (CatchUp::All { within: Duration::from_secs(1_300) }, vec![3_000, 3_600]),
        (CatchUp::Last { within: Duration::from_secs(60) }, vec![]),
    ] {
        let mut story = Story::new(&TWO);
        let begin = story.now;
        let mut spec = scheduled("*/10 * * * *", Overlap::Forbid, catch_up);
        let Mode::Job(job) = &mut spec.mode else { panic!("it is a job") };
        job.keep = Keep { succeeded: 50, failed: 50 };
        deploy(&mut story, &spec);
        absence(&mut story, 3_900);
        story.hear(&ALL.map(|node| Event::Heard { node: id(node), engine: EngineState::Ready }));
        assert!(runs(&story).active.len() <= 1, "one after the other");
        complete_all(&mut story);
        assert_eq!(due(&story, begin), expected, "{catch_up}");
        // From there on everything is as usual.
        story.pass(300, &ALL);
        assert_eq!(due(&story, begin).last(), Some(&4_200));
    }
}

#[test]
fn what_is_due_as_a_coordinator_takes_over_is_on_time() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    absence(&mut story, 630);
    assert_eq!(due(&story, begin), [600]);
}

#[test]
fn a_run_that_goes_on_without_a_coordinator_is_not_begun_again() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::Last { within: WITHIN }));
    story.pass(600, &ALL);
    story.start_all();
    let task = live(&story).remove(0);
    absence(&mut story, 30);
    assert_eq!((live(&story)[0].id.clone(), due(&story, begin)), (task.id.clone(), vec![600]));
    report(&mut story, &task, TaskState::Completed);
    assert_eq!((slots(&story).len(), verdicts(&story)), (0, vec![RunVerdict::Succeeded]));
}

/// The last that was missed waits for the end of the run that went on meanwhile, also when another time is skipped for it.
#[test]
fn what_was_missed_during_a_run_is_caught_up_after_it() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::Last { within: WITHIN }));
    story.pass(600, &ALL);
    story.start_all();
    absence(&mut story, 1_500);
    assert_eq!(runs(&story).owed.len(), 1);
    story.pass(300, &ALL);
    assert_eq!(due(&story, begin), [600], "2,400 came during the run");
    complete_all(&mut story);
    assert_eq!(due(&story, begin), [600, 1_800]);
    story.pass(600, &ALL);
    assert_eq!(due(&story, begin), [600, 1_800, 3_000]);
}

#[test]
fn a_clock_that_is_set_back_begins_no_run_again() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::All { within: WITHIN }));
    story.pass(1_200, &ALL);
    complete_all(&mut story);
    assert_eq!(runs(&story).last, 1, "the second came during the first");
    story.now = begin + Duration::from_secs(300);
    story.pass(900, &ALL);
    assert_eq!(runs(&story).last, 1, "600 and 1,200 were dealt with");
    story.pass(600, &ALL);
    assert_eq!((runs(&story).last, due(&story, begin)), (2, vec![600, 1_800]));
}

#[test]
fn a_clock_that_was_far_ahead_is_forgotten_by_suspending_and_resuming() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    story.now = begin + Duration::from_secs(365 * 24 * 3_600);
    story.pass(10, &ALL);
    complete_all(&mut story);
    let last = runs(&story).last;
    story.now = begin + Duration::from_secs(60);
    story.pass(1_200, &ALL);
    assert_eq!(runs(&story).last, last);
    order(&mut story, JobOrder::Suspend);
    order(&mut story, JobOrder::Resume);
    story.pass(600, &ALL);
    assert_eq!(runs(&story).last, last + 1);
}

#[test]
fn what_is_suspended_begins_nothing_and_catches_nothing_up() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    let spec = scheduled("@every 10m", Overlap::Forbid, CatchUp::All { within: WITHIN });
    deploy(&mut story, &spec);
    order(&mut story, JobOrder::Suspend);
    story.pass(1_800, &ALL);
    deploy(&mut story, &ServiceSpec { task: told::spec(1, TERMS).task, ..spec });
    story.pass(1_800, &ALL);
    assert_eq!((runs(&story).last, runs(&story).is_suspended), (0, true));
    assert_eq!(order(&mut story, JobOrder::Run), Reply::Run { number: 1 }, "by hand it runs");
    complete_all(&mut story);
    order(&mut story, JobOrder::Resume);
    assert_eq!(runs(&story).last, 1);
    story.pass(600, &ALL);
    assert_eq!(due(&story, begin), [4_200]);
}

/// A run goes on as what it began; the next one is of the new template.
#[test]
fn a_scheduled_job_that_is_deployed_anew_runs_at_its_next_time() {
    let mut story = Story::new(&TWO);
    let spec = scheduled("@every 10m", Overlap::Forbid, CatchUp::None);
    deploy(&mut story, &spec);
    story.pass(600, &ALL);
    let newer = ServiceSpec { task: told::spec(1, TERMS).task, ..spec };
    deploy(&mut story, &newer);
    assert_eq!(
        (slots(&story), service(&story).phase.clone()),
        (vec!["r1-1".to_owned()], ServicePhase::Steady)
    );
    end(&mut story, failed());
    story.pass(10, &ALL);
    assert_eq!((slots(&story), live(&story)[0].generation.number), (vec!["r1-1".to_owned()], 1));
    complete_all(&mut story);
    story.pass(590, &ALL);
    assert_eq!((slots(&story), live(&story)[0].generation.number), (vec!["r2-1".to_owned()], 2));
    // A restart does not wait.
    story.hear(&[Event::Restart(service(&story).id.clone())]);
    assert_eq!(
        (verdicts(&story).pop(), runs(&story).active[0].cause),
        (Some(RunVerdict::Replaced), RunCause::Asked)
    );
}

#[test]
fn a_run_that_failed_does_not_halt_a_schedule() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    for _ in 0..5 {
        story.pass(600, &ALL);
        end(&mut story, failed());
        story.pass(10, &ALL);
        end(&mut story, failed());
        assert_eq!(service(&story).phase, ServicePhase::Steady);
        story.pass(590, &ALL);
        complete_all(&mut story);
    }
    let kept = verdicts(&story);
    assert_eq!((kept.len(), runs(&story).last), (4, 10));
    assert_eq!(kept.iter().filter(|verdict| **verdict == RunVerdict::Succeeded).count(), 2);
}

/// A run that was told to stop on a node that is cut off does not hold the next one up for ever.
#[test]
fn what_stops_on_a_silent_node_is_given_up() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let spec = scheduled("@every 10m", Overlap::Replace, CatchUp::None);
    deploy(&mut story, &spec);
    story.pass(600, &["a", "b", "c"]);
    let silent = live(&story)[0].node.clone().unwrap().to_string();
    let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| *name != silent).collect();
    story.pass(600, &others);
    assert_eq!(runs(&story).active[0].number, 2);
    story.pass(320, &others);
    assert_eq!(slots(&story), ["r2-1"]);
}
