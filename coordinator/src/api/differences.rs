//! What differs between two specs, one line each, in the words of the Compose file.

use std::collections::BTreeMap;
use std::time::Duration;

use model::job::{Completions, Job};
use model::resources::Resources;
use model::rollout::{BlueGreen, Canary, Tolerance, Trial};
use model::spec::{ContainerSpec, Mode, ServiceSpec, UpdatePolicy};

/// Longer values are cut: the line is for the eye.
const VALUE_LIMIT: usize = 80;

/// Names what differs.
pub(crate) fn between(old: &ServiceSpec, new: &ServiceSpec) -> Vec<String> {
    let mut lines = Vec::new();
    changed(&mut lines, "deploy.mode", (&old.mode, &new.mode), mode);
    updates(&mut lines, &old.update, &new.update);
    touched(&mut lines, "depends_on", &old.after, &new.after);
    changed(&mut lines, "x-wharf", (&old.budget, &new.budget), ToString::to_string);
    changed(&mut lines, "x-wharf.strategy", (&old.strategy, &new.strategy), ToString::to_string);
    changed(&mut lines, "x-wharf.priority", (&old.priority, &new.priority), ToString::to_string);
    let is_rebalanced = (&!old.is_left_in_place, &!new.is_left_in_place);
    changed(&mut lines, "x-wharf.rebalance", is_rebalanced, ToString::to_string);
    changed(&mut lines, "x-wharf.schedule", (&old.schedule, &new.schedule), or_none);
    let (before, after) = (&old.task, &new.task);
    touched(&mut lines, "networks", &before.network, &after.network);
    touched(&mut lines, "deploy.placement.constraints", &before.constraints, &after.constraints);
    let most = (&before.max_per_node, &after.max_per_node);
    changed(&mut lines, "deploy.placement.max_replicas_per_node", most, or_none);
    let caps = (&before.lease.map(|lease| lease.cap), &after.lease.map(|lease| lease.cap));
    let profiles = (&before.profile, &after.profile);
    changed(&mut lines, "x-wharf.profile", profiles, ToString::to_string);
    touched(&mut lines, "x-wharf.secrets_rotation", &before.rotation, &after.rotation);
    changed(&mut lines, "x-wharf.lease", caps, |cap| {
        cap.map_or_else(|| "none".to_owned(), |cap| format!("{cap:?}"))
    });
    touched(&mut lines, "x-wharf.target_groups", &before.routes, &after.routes);
    touched(&mut lines, "deploy.restart_policy", &before.restart, &after.restart);
    let named = |spec: &ServiceSpec| -> BTreeMap<String, ContainerSpec> {
        let containers = spec.task.containers.iter();
        containers.map(|container| (container.name.to_string(), container.clone())).collect()
    };
    let (before, after) = (named(old), named(new));
    for (name, container) in &after {
        match before.get(name) {
            Some(known) => containers(&mut lines, name, known, container),
            None => lines.push(format!("container {name}: new")),
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    lines.extend(gone.map(|name| format!("container {name}: gone")));
    lines
}

/// The keys of Compose, and those that `x-wharf` adds.
fn updates(lines: &mut Vec<String>, old: &UpdatePolicy, new: &UpdatePolicy) {
    touched(lines, "x-wharf.canary", &canary(old), &canary(new));
    touched(lines, "x-wharf.blue_green", &blue_green(old), &blue_green(new));
    touched(lines, "x-wharf.tolerated_failures", &old.tolerance, &new.tolerance);
    let deadlines = (&old.progress_deadline, &new.progress_deadline);
    changed(lines, "x-wharf.progress_deadline", deadlines, |deadline| format!("{deadline:?}"));
    let compose = |policy: &UpdatePolicy| UpdatePolicy {
        trial: None,
        tolerance: Tolerance::default(),
        progress_deadline: Duration::ZERO,
        ..*policy
    };
    touched(lines, "deploy.update_config", &compose(old), &compose(new));
}

fn canary(policy: &UpdatePolicy) -> Option<Canary> {
    match policy.trial? {
        Trial::Canary(canary) => Some(canary),
        Trial::BlueGreen(_) => None,
    }
}

fn blue_green(policy: &UpdatePolicy) -> Option<BlueGreen> {
    match policy.trial? {
        Trial::BlueGreen(both) => Some(both),
        Trial::Canary(_) => None,
    }
}

fn mode(mode: &Mode) -> String {
    match mode {
        Mode::Replicated { replicas } => format!("{replicas} replicas"),
        Mode::Global => "global".to_owned(),
        Mode::Once => "once".to_owned(),
        Mode::Job(job) => terms(job),
    }
}

fn terms(job: &Job) -> String {
    let Job { completions, parallelism, retries, backoff, deadline, .. } = job;
    let of = match completions {
        Completions::Count(count) => format!("a job of {count}"),
        Completions::EveryNode => "a job on each node".to_owned(),
    };
    let deadline = deadline.map(|deadline| format!(", deadline {} s", deadline.as_secs()));
    format!(
        "{of}, {parallelism} at once, {retries} retries after {} s{}",
        backoff.as_secs(),
        deadline.unwrap_or_default()
    )
}

fn containers(lines: &mut Vec<String>, name: &str, old: &ContainerSpec, new: &ContainerSpec) {
    let before = lines.len();
    if old.image != new.image {
        lines.push(format!("image: {} → {}", old.image, new.image));
    }
    environment(lines, &old.process.environment, &new.process.environment);
    touched(lines, "secrets", &old.secrets, &new.secrets);
    let (before_process, after_process) = (&old.process, &new.process);
    let entrypoints = (&before_process.entrypoint, &after_process.entrypoint);
    changed(lines, "entrypoint", entrypoints, words);
    changed(lines, "command", (&before_process.command, &after_process.command), words);
    changed(lines, "user", (&before_process.user, &after_process.user), or_none);
    touched(lines, "ports", &old.ports, &new.ports);
    touched(lines, "volumes", &old.mounts, &new.mounts);
    touched(lines, "healthcheck", &old.health, &new.health);
    touched(lines, "labels", &old.labels, &new.labels);
    let reservations = (&old.reservation, &new.reservation);
    changed(lines, "deploy.resources.reservations", reservations, resources);
    changed(lines, "deploy.resources.limits", (&old.limit, &new.limit), resources);
    let graces = (&old.stop_grace, &new.stop_grace);
    changed(lines, "stop_grace_period", graces, |grace| format!("{grace:?}"));
    changed(lines, "stop_signal", (&old.stop_signal, &new.stop_signal), or_none);
    if old.files != new.files {
        lines.push("configs: their content or place".to_owned());
    }
    if lines.len() == before && old != new {
        lines.push("other settings".to_owned());
    }
    lines.iter_mut().skip(before).for_each(|line| *line = format!("{name}: {line}"));
}

/// Values of the environment are often secret: only their names are shown.
fn environment(
    lines: &mut Vec<String>,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) {
    for (name, value) in new {
        match old.get(name) {
            Some(known) if known == value => {}
            Some(_) => lines.push(format!("environment.{name}: another value")),
            None => lines.push(format!("environment.{name}: new")),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    lines.extend(gone.map(|name| format!("environment.{name}: gone")));
}

/// A value that is easily shown.
fn changed<T: PartialEq>(
    lines: &mut Vec<String>,
    key: &str,
    (old, new): (&T, &T),
    show: impl Fn(&T) -> String,
) {
    if old != new {
        lines.push(format!("{key}: {} → {}", short(&show(old)), short(&show(new))));
    }
}

/// A value that has too many parts for one line.
fn touched<T: PartialEq>(lines: &mut Vec<String>, key: &str, old: &T, new: &T) {
    if old != new {
        lines.push(format!("{key}: changed"));
    }
}

fn words(words: &Option<Vec<String>>) -> String {
    words.as_ref().map_or_else(|| "the image's own".to_owned(), |words| words.join(" "))
}

fn or_none<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn resources(resources: &Resources) -> String {
    let mib = resources.memory_bytes / (1 << 20);
    let cpus = f64::from(u32::try_from(resources.cpu_millis).unwrap_or(u32::MAX)) / 1_000.0;
    let more = [
        (resources.gpus, "GPUs"),
        (resources.disk_bytes.div_ceil(1 << 20), "MiB of disk"),
        (resources.pids, "processes"),
    ];
    let more = more.into_iter().filter(|(amount, _)| *amount > 0);
    let more: String = more.map(|(amount, of)| format!(", {amount} {of}")).collect();
    format!("{cpus} cpus, {mib} MiB{more}")
}

fn short(text: &str) -> String {
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().count() <= VALUE_LIMIT {
        return text;
    }
    text.chars().take(VALUE_LIMIT).chain(['…']).collect()
}
