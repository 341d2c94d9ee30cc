//! The words of a script.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::event::JobOrder;
use model::budget::{Amount, Budget};
use model::constraint::Attribute;
use model::id::ServiceId;
use model::job::{Completions, Job, Keep};
use model::lease::LeasePolicy;
use model::policy::Profile;
use model::preference::{Preference, Preferred, Spread, WEIGHT};
use model::priority::Priority;
use model::rollout::{BlueGreen, Canary, Promotion, Steering, Tolerance, Trial};
use model::schedule::{CatchUp, Overlap, Schedule, Zone};
use model::secret::{Rotation, SecretFile};
use model::spec::{
    FailureAction, Mode, Mount, MountSource, PortSpec, Protocol, RestartCondition, ServiceSpec,
    UpdateOrder,
};
use model::time::Timestamp;
use model::traffic::Route;

use super::specs;

/// A line that counts: what else a script has follows from these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// For the reader; empty lines too.
    Comment(String),
    /// Without the `$`.
    Command(String),
}

pub(crate) fn lines(text: &str) -> Vec<Line> {
    let read = |line: &str| match line.strip_prefix("$ ") {
        Some(command) => Some(Line::Command(command.to_owned())),
        None if line.is_empty() || line.starts_with('#') => Some(Line::Comment(line.to_owned())),
        None => None,
    };
    text.lines().filter_map(read).collect()
}

/// 90s, 5m, 1h.
pub(crate) fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => panic!("{text} is not a time: 90s, 5m, 1h, 2d"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

pub(crate) fn amount(text: &str) -> Amount {
    match text.strip_suffix('%') {
        Some(percent) => Amount::Percent(percent.parse().unwrap()),
        None => Amount::Count(text.parse().unwrap()),
    }
}

pub(crate) fn steering(word: &str) -> Steering {
    match word {
        "pause" => Steering::Pause,
        "resume" => Steering::Resume,
        "promote" => Steering::Promote,
        "abort" => Steering::Abort,
        _ => panic!("{word} is nothing that a rollout can be told"),
    }
}

/// An instant as RFC 3339 writes it, in UTC and whole seconds.
pub(crate) fn instant(text: &str) -> Timestamp {
    let numbers: Vec<i64> = text
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|one| one.parse().ok())
        .collect();
    let [year, month, day, hours, minutes, seconds] = numbers[..] else {
        panic!("{text} is not an instant: 2027-03-28T00:30:00Z")
    };
    // Days since 1970, counted in years that begin in March (Hinnant, "chrono-compatible low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let all = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Timestamp::from_millis(u64::try_from(all).unwrap() * 1_000)
}

pub(crate) fn order(word: &str) -> JobOrder {
    match word {
        "now" => JobOrder::Run,
        "stop" => JobOrder::Stop,
        "suspend" => JobOrder::Suspend,
        "resume" => JobOrder::Resume,
        _ => panic!("{word} is nothing that a job can be told"),
    }
}

/// What `job NAME KEY=VALUE…` asks for. A schedule has `_` where cron has a space.
pub(crate) fn job(id: &ServiceId, settings: &BTreeMap<&str, &str>) -> ServiceSpec {
    let number =
        |key: &str, usual: u32| settings.get(key).map_or(usual, |text| text.parse().unwrap());
    let usual = ["image", "priority", "cpus"].into_iter();
    let usual = usual.filter_map(|key| Some((key, *settings.get(key)?))).collect();
    let mut spec = spec(id, &usual);
    let completions = number("completions", 1);
    spec.mode = Mode::Job(Job {
        completions: Completions::Count(completions),
        parallelism: number("parallelism", completions),
        retries: number("retries", 3),
        backoff: Duration::from_secs(10),
        deadline: settings.get("deadline").map(|text| duration(text)),
        keep: Keep::default(),
    });
    spec.task.restart.condition = RestartCondition::Never;
    let within = settings.get("within").map_or(Duration::from_secs(86_400), |text| duration(text));
    spec.schedule = settings.get("schedule").map(|text| Schedule {
        recurrence: text.replace('_', " ").parse().unwrap(),
        zone: settings.get("zone").map_or_else(Zone::utc, |zone| zone.parse().unwrap()),
        overlap: match settings.get("overlap").copied() {
            None | Some("forbid") => Overlap::Forbid,
            Some("allow") => Overlap::Allow,
            Some("replace") => Overlap::Replace,
            Some(other) => panic!("{other} is no overlap"),
        },
        catch_up: match settings.get("catch-up").copied() {
            None | Some("last") => CatchUp::Last { within },
            Some("all") => CatchUp::All { within },
            Some("none") => CatchUp::None,
            Some(other) => panic!("{other} is no way to catch up"),
        },
    });
    spec
}

/// The settings of a command: KEY=VALUE.
pub(crate) fn settings<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    words.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

/// A target group that sends requests to port 80.
fn route(group: &str) -> Route {
    Route { group: group.parse().unwrap(), port: 80, leave_within: None }
}

/// What `deploy NAME KEY=VALUE…` asks for.
pub(crate) fn spec(id: &ServiceId, settings: &BTreeMap<&str, &str>) -> ServiceSpec {
    let image = settings.get("image").map_or(1, |number| number.parse().unwrap());
    let mut spec = specs::spec_of(&"ops/plain".parse().unwrap(), image, 1);
    spec.id = id.clone();
    spec.budget = Budget::Usual;
    spec.update.parallelism = 1;
    spec.update.tolerance = Tolerance::default();
    spec.mode = Mode::Replicated { replicas: 1 };
    let (mut canary, mut keep) = (None, None);
    let (mut hold, mut promotion) = (Duration::from_secs(300), Promotion::Automatic);
    for (key, value) in settings {
        match *key {
            "image" | "leave-within" => {}
            "replicas" => spec.mode = Mode::Replicated { replicas: value.parse().unwrap() },
            "global" => spec.mode = Mode::Global,
            "order" if *value == "stop-first" => spec.update.order = UpdateOrder::StopFirst,
            "parallelism" => spec.update.parallelism = value.parse().unwrap(),
            "monitor" => spec.update.monitor = duration(value),
            "delay" => spec.update.delay = duration(value),
            "deadline" => spec.update.progress_deadline = duration(value),
            "ratio" => spec.update.max_failure_permille = value.parse::<u32>().unwrap() * 10,
            "at-least" => {
                let tolerance = spec.update.tolerance;
                spec.update.tolerance = Tolerance { at_least: value.parse().unwrap(), ..tolerance };
            }
            "at-most" => {
                let at_most = Some(value.parse().unwrap());
                spec.update.tolerance = Tolerance { at_most, ..spec.update.tolerance };
            }
            "failing" if *value == "pauses" => spec.update.on_failure = FailureAction::Pause,
            "failing" if *value == "continues" => spec.update.on_failure = FailureAction::Continue,
            "secret" => spec.task.containers[0].secrets.files.push(secret_file(value)),
            "rotation" => spec.task.rotation = rotation(value),
            "lease" => spec.task.lease = Some(LeasePolicy { cap: duration(value) }),
            "behind" => {
                let (container, protocol) = (80, Protocol::Tcp);
                let port = PortSpec { container, host: None, protocol, address: None };
                spec.task.containers[0].ports.push(port);
                spec.task.routes = value.split(',').map(route).collect();
            }
            "canary" => canary = Some(amount(value)),
            "blue-green" => keep = Some(duration(value)),
            "hold" => hold = duration(value),
            "promote" if *value == "manual" => promotion = Promotion::Manual,
            "min-available" => spec.budget = Budget::MinAvailable(amount(value)),
            "max-unavailable" => spec.budget = Budget::MaxUnavailable(amount(value)),
            "priority" => {
                let class = Priority::ALL.into_iter().find(|class| class.word() == *value);
                spec.priority = class.unwrap_or_else(|| panic!("{value} is no priority"));
            }
            "profile" if *value == "strict" => spec.task.profile = Profile::Strict,
            "rebalance" => spec.is_left_in_place = *value == "no",
            "cpus" => {
                let millis = value.parse::<u64>().unwrap() * 1_000;
                spec.task.containers[0].reservation.cpu_millis = millis;
            }
            "per-node" => spec.task.max_per_node = Some(value.parse().unwrap()),
            "on" => {
                spec.task.constraints.push(format!("node.id == {value}").parse().unwrap());
            }
            _ => prefer(&mut spec, (key, value)),
        }
    }
    if let Some(within) = settings.get("leave-within") {
        let routes = spec.task.routes.iter_mut();
        routes.for_each(|route| route.leave_within = Some(duration(within)));
    }
    let canary = canary.map(|slots| Trial::Canary(Canary { slots, hold, promotion }));
    let both = keep.map(|keep| Trial::BlueGreen(BlueGreen { hold, promotion, keep }));
    spec.update.trial = both.or(canary);
    spec
}

/// What it would rather have of nodes, and what it needs to be there.
fn prefer(spec: &mut ServiceSpec, (key, value): (&str, &str)) {
    let mut mounts = |source| spec.task.containers[0].mounts.push(mount(source));
    match key {
        "wish" => spec.preferences.push(Preference {
            of: Preferred::Nodes(format!("node.labels.rack == {value}").parse().unwrap()),
            weight: WEIGHT,
        }),
        "racks" => spec.preferences.push(racks(value)),
        "volume" => mounts(MountSource::Volume { name: value.parse().unwrap() }),
        "host-volume" => mounts(MountSource::HostVolume { name: value.to_owned() }),
        _ => panic!("{key}={value} is nothing that a service can be"),
    }
}

fn mount(source: MountSource) -> Mount {
    Mount { source, target: "/data".to_owned(), is_read_only: false }
}

/// Spread over racks, by shares as in `r1-70,r2-30`.
fn racks(shares: &str) -> Preference {
    let over = Attribute::Label("rack".to_owned());
    let share = |text: &str| {
        let (rack, percent) = text.split_once('-').unwrap();
        (rack.to_owned(), percent.parse().unwrap())
    };
    let shares = shares.split(',').filter(|text| text.contains('-')).map(share).collect();
    Preference { of: Preferred::Spread(Spread { over, shares }), weight: WEIGHT }
}

/// A secret as a file of its name.
fn secret_file(name: &str) -> SecretFile {
    let (secret, target) = (name.parse().unwrap(), format!("/run/secrets/{name}"));
    SecretFile { secret, target, mode: 0o400, owner: (0, 0) }
}

fn rotation(word: &str) -> Rotation {
    match word {
        "none" => Rotation::None,
        "restart" => Rotation::Restart,
        _ => Rotation::Signal(word.to_owned()),
    }
}
