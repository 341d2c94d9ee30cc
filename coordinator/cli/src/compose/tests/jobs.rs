//! Jobs and schedules.

use std::fmt::Write;

use proptest::prelude::*;
use proto::wire::job::Completions;
use proto::wire::service_spec::Mode;
use proto::wire::{CatchUp, EveryNode, Job, Overlap, RestartCondition, Schedule, ServiceSpec};

use super::{errors, service, web_errors};

fn with(lines: &str) -> ServiceSpec {
    service(&format!("services:\n  web:\n    image: a\n{lines}\n"))
}

fn job(lines: &str) -> Job {
    match with(lines).mode {
        Some(Mode::Job(job)) => job,
        other => panic!("{lines}: {other:?}"),
    }
}

#[test]
fn a_job_says_how_much_has_to_complete() {
    let of = |lines: &str| {
        let job = job(lines);
        (job.completions, job.parallelism)
    };
    let count = |number| Some(Completions::Count(number));
    assert_eq!(of("    deploy: {mode: replicated-job}"), (count(1), 1));
    assert_eq!(of("    deploy: {mode: replicated-job, replicas: 5}"), (count(5), 5));
    assert_eq!(of("    scale: 4\n    deploy: {mode: replicated-job}"), (count(4), 4));
    let two =
        "    deploy: {mode: replicated-job, replicas: 5}\n    x-wharf: {job: {parallelism: 2}}";
    assert_eq!(of(two), (count(5), 2));
    let everywhere = Some(Completions::EveryNode(EveryNode {}));
    assert_eq!(of("    deploy: {mode: global-job}"), (everywhere, 100_000));
    assert_eq!(of("    deploy: {replicas: 3}\n    x-wharf: {job: {retries: 1}}"), (count(3), 3));
    assert_eq!(of("    x-wharf: {schedule: '@daily'}"), (count(1), 1));
}

#[test]
fn the_agent_starts_nothing_of_a_job_again() {
    let task = with("    deploy: {mode: replicated-job, restart_policy: {condition: on-failure}}");
    let restart = task.task.unwrap().restart.unwrap();
    assert_eq!((restart.condition(), restart.max_attempts), (RestartCondition::Never, None));
}

/// Compose's own words, and those of x-wharf.
#[test]
fn retries_are_said_in_either_word() {
    let terms = |lines: &str| {
        let job = job(lines);
        (job.retries, job.backoff_ms)
    };
    let policy = |policy: &str| {
        terms(&format!("    deploy: {{mode: replicated-job, restart_policy: {{{policy}}}}}"))
    };
    assert_eq!(terms("    deploy: {mode: replicated-job}"), (3, 10_000));
    assert_eq!(policy("condition: none"), (0, 10_000));
    assert_eq!(policy("condition: on-failure"), (3, 10_000));
    assert_eq!(policy("condition: on-failure, max_attempts: 7, delay: 2s"), (7, 2_000));
    assert_eq!(policy("max_attempts: 4000000000"), (100, 10_000));
    assert_eq!(terms("    restart: no\n    deploy: {mode: replicated-job}"), (0, 10_000));
    assert_eq!(terms("    restart: on-failure:2\n    deploy: {mode: global-job}"), (2, 10_000));
    assert_eq!(terms("    x-wharf: {job: {retries: 0, backoff: 1m}}"), (0, 60_000));
}

#[test]
fn a_schedule_is_short_or_long() {
    let schedule = |lines: &str| with(lines).schedule.unwrap();
    let short = schedule("    x-wharf: {schedule: '30  3 * * mon-fri'}");
    let usual = Schedule {
        recurrence: "30 3 * * mon-fri".to_owned(),
        time_zone: "UTC".to_owned(),
        overlap: Overlap::Forbid.into(),
        catch_up: CatchUp::Last.into(),
        catch_up_within_ms: 86_400_000,
    };
    assert_eq!(short, usual);
    let long = "    x-wharf:
      schedule: {cron: '@daily', time_zone: europe/berlin, overlap: replace, catch_up: all, catch_up_within: 2h}";
    let expected = Schedule {
        recurrence: "@daily".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        overlap: Overlap::Replace.into(),
        catch_up: CatchUp::All.into(),
        catch_up_within_ms: 7_200_000,
    };
    assert_eq!(schedule(long), expected);
    let none = schedule("    x-wharf: {schedule: {cron: '@hourly', catch_up: none}}");
    assert_eq!((none.catch_up(), none.catch_up_within_ms), (CatchUp::None, 0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let job = |more: &str| format!("    deploy: {{mode: replicated-job{more}}}");
    let wharf = |more: &str| format!("    x-wharf: {{{more}}}");
    let cases = [
        (job(", replicas: 0"), "a job of which nothing has to complete"),
        (job(", replicas: 100001"), "100001 is not a whole number from 0 to 100000"),
        (job(", update_config: {parallelism: 2}"), "`update_config` means nothing for a job"),
        (
            job(", restart_policy: {condition: any}"),
            "a job is not started again after it has ended well",
        ),
        (
            "    restart: always\n".to_owned() + &job(""),
            "a job is not started again after it has ended well",
        ),
        (
            "    deploy: {mode: global-job, replicas: 2}".to_owned(),
            "a global job has one task on each node",
        ),
        (
            "    deploy: {mode: replicated}\n".to_owned() + &wharf("schedule: '@daily'"),
            "`schedule` is only for a job, and the mode is another",
        ),
        (
            "    deploy: {mode: global}\n".to_owned() + &wharf("job: {retries: 1}"),
            "`job` is only for a job, and the mode is another",
        ),
        (
            job(", restart_policy: {max_attempts: 2}") + "\n" + &wharf("job: {retries: 1}"),
            "`retries` stands beside a restart policy, which says the same",
        ),
        (
            job(", restart_policy: {delay: 2s}") + "\n" + &wharf("job: {backoff: 1s}"),
            "`backoff` stands beside a restart policy, which says the same",
        ),
        (
            wharf("job: {}, schedule: '@daily', min_available: 1"),
            "`min_available` means nothing for a job",
        ),
        (
            wharf("schedule: '@daily', progress_deadline: 1m"),
            "`progress_deadline` means nothing for a job",
        ),
    ];
    refuses(&cases);
}

fn refuses(cases: &[(String, &str)]) {
    for (lines, expected) in cases {
        let found = web_errors(lines);
        assert!(found.iter().any(|error| error == expected), "{lines}: {found:?}");
    }
}

#[test]
fn numbers_times_and_words_are_what_they_can_be() {
    let wharf = |more: &str| format!("    x-wharf: {{{more}}}");
    let cases = [
        (wharf("job: {parallelism: 0}"), "0 is not a whole number from 1 to 100000"),
        (wharf("job: {retries: 101}"), "101 is not a whole number from 0 to 100"),
        (wharf("job: {deadline: 0s}"), "a time of 0"),
        (wharf("job: {history: {succeeded: 0}}"), "0 is not a whole number from 1 to 100"),
        (wharf("schedule: {time_zone: UTC}"), "a schedule without `cron`"),
        (
            wharf("schedule: '0 0 30 2 *'"),
            "not a schedule: there is no such day: it would never run",
        ),
        (wharf("schedule: {cron: '@daily', time_zone: Berlin}"), "there is no time zone `Berlin`"),
        (
            wharf("schedule: {cron: '@every 5m', time_zone: UTC}"),
            "`@every` is the same in every time zone",
        ),
        (
            wharf("schedule: {cron: '@daily', overlap: never}"),
            "`never` is not what runs can do that overlap",
        ),
        (
            wharf("schedule: {cron: '@daily', catch_up: some}"),
            "`some` is not what can be caught up",
        ),
        (
            wharf("schedule: {cron: '@daily', catch_up_within: 169h}"),
            "what is older than a week is not caught up",
        ),
        (
            wharf("schedule: {cron: '@daily', catch_up: none, catch_up_within: 1h}"),
            "nothing is caught up, within whatever time",
        ),
    ];
    refuses(&cases);
}

#[test]
fn a_wrong_schedule_is_shown_where_it_stands() {
    let text = "
services:
  web:
    image: a
    x-wharf:
      schedule: {cron: '0 0 * * mob', time_zone: Europe/Belrin}
";
    let printed = errors(text);
    let expected = ":6:24: error: not a schedule: `mob` is not a day of the week from 0 to 7";
    assert!(printed.contains(expected), "{printed}");
    assert!(printed.contains("hint: did you mean `mon`?"), "{printed}");
    assert!(printed.contains(":6:50: error: there is no time zone `Europe/Belrin`"), "{printed}");
    assert!(printed.contains("hint: did you mean `Europe/Berlin`?"), "{printed}");
}

#[test]
fn a_word_that_is_no_key_of_a_schedule_is_named() {
    let printed = errors("services: {web: {image: a, x-wharf: {schedule: {corn: '@daily'}}}}");
    assert!(printed.contains("unknown key `corn`") && printed.contains("`cron`"), "{printed}");
    let printed = errors("services: {web: {image: a, x-wharf: {job: {retry: 1}}}}");
    assert!(printed.contains("unknown key `retry`"), "{printed}");
}

/// A job, and the lines that say it.
fn printed() -> impl Strategy<Value = (Job, Option<Schedule>, String)> {
    let completions = prop_oneof![
        (1..=100_000_u32).prop_map(Completions::Count),
        Just(Completions::EveryNode(EveryNode {})),
    ];
    let limits = (1..=100_000_u32, 0..=100_u32, 0..100_000_u64);
    let kept = (1..=100_u32, 1..=100_u32);
    let job = (completions, limits, prop::option::of(1..100_000_u64), kept).prop_map(
        |(completions, (parallelism, retries, backoff_ms), deadline_ms, kept)| Job {
            completions: Some(completions),
            parallelism,
            retries,
            backoff_ms,
            deadline_ms,
            keep_succeeded: kept.0,
            keep_failed: kept.1,
        },
    );
    let schedule = (0..3_usize, 1..4_i32, 1..4_i32, 1..604_800_000_u64).prop_map(
        |(zone, overlap, catch_up, within)| Schedule {
            recurrence: ["5 4 * * sun", "@daily", "*/7 0-6 1,15 jan *"][zone].to_owned(),
            time_zone: ["UTC", "Asia/Kolkata", "America/New_York"][zone].to_owned(),
            overlap,
            catch_up,
            catch_up_within_ms: if catch_up == 1 { 0 } else { within },
        },
    );
    (job, prop::option::of(schedule)).prop_map(|(job, schedule)| {
        let text = print(&job, schedule.as_ref());
        (job, schedule, text)
    })
}

fn print(job: &Job, schedule: Option<&Schedule>) -> String {
    let mut text = match job.completions {
        Some(Completions::Count(count)) => {
            format!("    deploy: {{mode: replicated-job, replicas: {count}}}\n")
        }
        _ => "    deploy: {mode: global-job}\n".to_owned(),
    };
    let Job { parallelism, retries, backoff_ms, keep_succeeded, keep_failed, .. } = job;
    let deadline = job.deadline_ms.map(|deadline| format!(", deadline: {deadline}ms"));
    writeln!(
        text,
        "    x-wharf:\n      job: {{parallelism: {parallelism}, retries: {retries}, backoff: {backoff_ms}ms, history: {{succeeded: {keep_succeeded}, failed: {keep_failed}}}{}}}",
        deadline.unwrap_or_default()
    )
    .unwrap();
    if let Some(schedule) = schedule {
        let word =
            |words: [&'static str; 3], number: i32| words[usize::try_from(number - 1).unwrap()];
        let overlap = word(["forbid", "allow", "replace"], schedule.overlap);
        let catch_up = word(["none", "last", "all"], schedule.catch_up);
        let within = match schedule.catch_up_within_ms {
            0 => String::new(),
            within => format!(", catch_up_within: {within}ms"),
        };
        let (cron, zone) = (&schedule.recurrence, &schedule.time_zone);
        writeln!(
            text,
            "      schedule: {{cron: '{cron}', time_zone: {zone}, overlap: {overlap}, catch_up: {catch_up}{within}}}"
        )
        .unwrap();
    }
    text
}

proptest! {
    #[test]
    fn a_job_that_is_printed_is_read_as_it_was((job, schedule, text) in printed()) {
        let read = with(&text);
        prop_assert_eq!(read.mode, Some(Mode::Job(job)), "{}", text);
        prop_assert_eq!(read.schedule, schedule, "{}", text);
    }
}
