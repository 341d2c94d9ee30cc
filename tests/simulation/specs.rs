//! The services that the operators of the simulated world deploy.

use std::collections::BTreeMap;
use std::time::Duration;

use model::budget::{Amount, Budget};
use model::constraint::{Attribute, Constraint};
use model::id::{ServiceId, ServiceName};
use model::image::{Image, Layer, Pin};
use model::job::{Completions, Job, Keep};
use model::lease::LeasePolicy;
use model::policy::Profile;
use model::preference::{Preference, Preferred, Spread};
use model::priority::Priority;
use model::resources::Resources;
use model::rollout::{BlueGreen, Canary, Promotion, Tolerance, Trial};
use model::schedule::{CatchUp, Overlap, Schedule, Zone};
use model::secret::{Rotation, SecretUses};
use model::spec::{
    ContainerSpec, Dependency, DependencyCondition, FailureAction, HealthCheck, Mode, Mount,
    MountSource, Network, PortSpec, Probe, ProcessSpec, Protocol, RestartCondition, RestartPolicy,
    SecuritySpec, ServiceSpec, Strategy, TaskSpec, UpdateOrder, UpdatePolicy,
};
use model::traffic::Route;

/// `shop/web` waits for `shop/db` and is probed by the agent; `shop/db` has a port of the host, so it stops first;
/// `mail/front` is two containers with one network, checked by the engine, and
/// shuns two machines; `ops/probe` runs on every node. `ops/import` is a job, and `ops/report` one with a schedule.
pub(crate) const SERVICES: [&str; 6] =
    ["shop/web", "shop/db", "mail/front", "ops/probe", "ops/import", "ops/report"];

/// Says whether what runs in this container comes to its end.
pub(crate) fn ends(container: &str) -> bool {
    matches!(container, "import" | "report")
}

/// Every fifth image ends as soon as it is started.
pub(crate) const fn is_bad(image: u32) -> bool {
    image % 5 == 4
}

pub(crate) fn image(number: u32) -> Image {
    Image {
        reference: "app".parse().expect("a repository's name is a reference"),
        pin: Pin::Manifest(
            format!("sha256:{number:064x}").parse().expect("64 digits are a digest"),
        ),
    }
}

/// The number of an image that [`image`] made.
pub(crate) fn number_of(image: &Image) -> u32 {
    let (Pin::Manifest(digest) | Pin::Local(digest)) = &image.pin;
    let digest = digest.to_string();
    let digits = digest.rsplit(':').next().unwrap_or_default();
    u32::from_str_radix(digits.trim_start_matches('0'), 16).unwrap_or_default()
}

pub(crate) fn spec_of(id: &ServiceId, image: u32, replicas: u32) -> ServiceSpec {
    let (mut containers, mut after, mut mode) =
        (vec![container(id.name.as_str(), image)], Vec::new(), Mode::Replicated { replicas });
    match id.name.as_str() {
        "web" => {
            containers[0].health = Some(check(Probe::Http { port: 80, path: "/".to_owned() }));
            let protocol = Protocol::Tcp;
            containers[0].ports.push(PortSpec {
                container: 80,
                host: None,
                protocol,
                address: None,
            });
            after.push(needs("db"));
        }
        "db" => {
            let protocol = Protocol::Tcp;
            let port = PortSpec { container: 5432, host: Some(5432), protocol, address: None };
            containers[0].ports.push(port);
        }
        "front" => {
            containers[0].health = Some(check(Probe::Command(vec!["CMD".to_owned()])));
            let mut log = container("log", image);
            let on = containers[0].name.clone();
            log.after.push(Dependency { on, condition: DependencyCondition::Started });
            containers.push(log);
        }
        "import" => mode = Mode::Job(import(image, replicas)),
        "report" => mode = Mode::Job(report(image)),
        _ => mode = Mode::Global,
    }
    // Of four machines at least two are left, and what a machine does not say is no reason against it.
    let constraints = match id.name.as_str() {
        "web" => vec![constraint("not node.kernel.version < 5.10 and node.labels.disk != tape")],
        "front" => vec![constraint("node.id not in [i-0001, i-0002]")],
        _ => Vec::new(),
    };
    let restart = RestartPolicy {
        condition: if ends(id.name.as_str()) {
            RestartCondition::Never
        } else {
            RestartCondition::Any
        },
        max_attempts: (id.name.as_str() == "front").then_some(3),
        delay: Duration::from_secs(10),
    };
    let task = TaskSpec {
        containers,
        network: Network::None,
        constraints,
        max_per_node: limit(id, image),
        restart,
        restarts_asked: 0,
        lease: lease(id, image),
        routes: Vec::new(),
        rotation: Rotation::None,
        profile: profile(id, image),
    };
    let schedule = (id.name.as_str() == "report").then(|| schedule(image));
    ServiceSpec {
        id: id.clone(),
        mode,
        task,
        update: update(id, image),
        after,
        budget: budget(id, image),
        strategy: strategy(id, image),
        preferences: preferences(id, image),
        priority: priority(id, image),
        is_left_in_place: id.name.as_str() == "front" && image % 4 == 3,
        schedule,
    }
}

/// What comes in front of it matters more, in most generations; now and then a service is of another class than before.
fn priority(id: &ServiceId, image: u32) -> Priority {
    match (id.name.as_str(), image % 6) {
        ("log", 2 | 3) | ("db", 5) => Priority::Critical,
        ("front", 0..=3) | ("web", 4) => Priority::High,
        ("import" | "report", 0..=4) | ("web", 3) => Priority::Low,
        _ => Priority::Normal,
    }
}

/// Tasks of some generations say that they have work in flight.
fn lease(id: &ServiceId, image: u32) -> Option<LeasePolicy> {
    let seconds = match (id.name.as_str(), image % 6) {
        ("web", 1 | 3 | 4) => 90,
        ("front", 2 | 5) => 300,
        ("db", 1 | 3) => 60,
        _ => return None,
    };
    Some(LeasePolicy { cap: Duration::from_secs(seconds) })
}

/// The same, behind the load balancers of its generation.
pub(crate) fn balanced_spec_of(id: &ServiceId, image: u32, replicas: u32) -> ServiceSpec {
    let mut spec = spec_of(id, image, replicas);
    spec.task.routes = routes(id, image);
    let both = |hold, promotion, keep| {
        let (hold, keep) = (Duration::from_secs(hold), Duration::from_secs(keep));
        Trial::BlueGreen(BlueGreen { hold, promotion, keep })
    };
    spec.update.trial = match (id.name.as_str(), image % 4) {
        ("web", 0) => Some(both(0, Promotion::Manual, 30)),
        ("web", 3) => Some(both(90, Promotion::Automatic, 60)),
        _ => spec.update.trial,
    };
    // Less than tasks are old by the time they are switched to.
    spec.update.progress_deadline = match (id.name.as_str(), image % 4) {
        (_, 3) => Duration::from_secs(60),
        ("web", 0) => Duration::from_secs(35),
        _ => spec.update.progress_deadline,
    };
    spec
}

/// Some generations are behind a load balancer, which is told of them by port.
fn routes(id: &ServiceId, image: u32) -> Vec<Route> {
    let route = |group: &str, port, seconds: Option<u64>| Route {
        group: group.parse().expect("a word is a name"),
        port,
        leave_within: seconds.map(Duration::from_secs),
    };
    match (id.name.as_str(), image % 4) {
        ("web", 0) => vec![route("web", 80, None), route("inner", 80, None)],
        ("web", 1 | 3) => vec![route("web", 80, Some(10))],
        ("db", 0 | 1) => vec![route("db", 5432, None)],
        _ => Vec::new(),
    }
}

/// Some generations may have only few tasks on a machine, so that old and new ones stand in each other's way.
fn limit(id: &ServiceId, image: u32) -> Option<u32> {
    match (id.name.as_str(), image % 6) {
        ("web", 1 | 2) => Some(2),
        ("front", 3 | 4) => Some(1),
        _ => None,
    }
}

/// Some generations may do less than others.
fn profile(id: &ServiceId, image: u32) -> Profile {
    match (id.name.as_str(), image % 6) {
        ("web", 1 | 3) | ("db", 2 | 4) | ("probe", 0 | 3) | ("import", 1 | 5) => Profile::Strict,
        _ => Profile::Default,
    }
}

/// Some generations are packed and some spread, so that the same tasks are met in either order.
fn strategy(id: &ServiceId, image: u32) -> Strategy {
    match (id.name.as_str(), image % 6) {
        ("front", 1 | 3 | 5) | ("web", 2 | 5) | ("db", 0 | 3 | 4) => Strategy::Binpack,
        _ => Strategy::Spread,
    }
}

/// Some generations would rather be on machines of some racks, some like it in the proportion of two to one, and some of those
/// would rather not be on one machine at all.
fn preferences(id: &ServiceId, image: u32) -> Vec<Preference> {
    let nodes = |text: &str| Preferred::Nodes(text.parse().expect("it is a constraint"));
    let racks = |shares: &[(&str, u32)]| {
        let over = Attribute::Label("rack".to_owned());
        let shares = shares.iter().map(|(rack, share)| ((*rack).to_owned(), *share)).collect();
        Preferred::Spread(Spread { over, shares })
    };
    let weighed = |weight, of| Preference { of, weight };
    match (id.name.as_str(), image % 6) {
        ("web", 0 | 4) => vec![weighed(50, nodes("node.labels.rack == r1"))],
        ("web", 5) => vec![weighed(10, racks(&[])), weighed(25, nodes("node.zone == zone-0"))],
        ("front", 2 | 3) => vec![
            weighed(100, racks(&[("r0", 60), ("r1", 30)])),
            weighed(40, nodes("node.hostname != i-0002")),
        ],
        ("import", 2) => vec![weighed(1, racks(&[("r2", 100)]))],
        _ => Vec::new(),
    }
}

/// Somebody has made it on most machines.
pub(crate) const HOST_VOLUME: &str = "media";

/// Some generations keep data where they are, and some read what only most machines have.
fn mounts(name: &str, image: u32) -> Vec<Mount> {
    let (source, is_read_only) = match (name, image % 6) {
        ("db", 1 | 4) | ("import", 5) => {
            (MountSource::Volume { name: "data".parse().expect("a word is a name") }, false)
        }
        ("web", 2 | 3) => (MountSource::HostVolume { name: HOST_VOLUME.to_owned() }, true),
        _ => return Vec::new(),
    };
    vec![Mount { source, target: "/data".to_owned(), is_read_only }]
}

/// What an image is made of: three bases, which many have in common, and something of its own. Of some nobody knows it.
pub(crate) fn layers(image: u32) -> Option<[Layer; 2]> {
    let base = Layer { id: u64::from(image % 3), bytes: 200 << 20 };
    let own = Layer { id: u64::from(image) + 3, bytes: u64::from(image % 7) * (50 << 20) };
    (image % 4 != 3).then_some([base, own])
}

/// Each machine has two: sometimes they run out before anything else does.
fn gpus(name: &str, image: u32) -> u64 {
    match (name, image % 6) {
        ("db", 3) | ("web", 5) | ("log", 3) => 1,
        _ => 0,
    }
}

/// Each generation has other terms, and all of them can be kept by good images.
fn import(image: u32, replicas: u32) -> Job {
    Job {
        completions: Completions::Count(replicas.max(1)),
        parallelism: 1 + image % 3,
        retries: 1 + image % 3,
        backoff: Duration::from_secs(5),
        deadline: (image % 4 == 1).then(|| Duration::from_secs(120)),
        keep: Keep { succeeded: 2, failed: 2 },
    }
}

fn report(image: u32) -> Job {
    let (once, everywhere) = (Completions::Count(1), Completions::EveryNode);
    Job {
        completions: if image.is_multiple_of(2) { once } else { everywhere },
        parallelism: 2,
        deadline: None,
        ..import(image, 1)
    }
}

/// Runs take longer than that now and then, so that they meet.
fn schedule(image: u32) -> Schedule {
    let within = Duration::from_secs(300);
    Schedule {
        recurrence: "@every 20s".parse().expect("it is written as Go has it"),
        zone: Zone::utc(),
        overlap: match image % 3 {
            0 => Overlap::Forbid,
            1 => Overlap::Allow,
            _ => Overlap::Replace,
        },
        catch_up: match image % 4 {
            0 | 2 => CatchUp::Last { within },
            1 => CatchUp::All { within },
            _ => CatchUp::None,
        },
    }
}

/// Some generations keep more of their tasks than others, so that budgets change while they are asked.
fn budget(id: &ServiceId, image: u32) -> Budget {
    match (id.name.as_str(), image % 4) {
        ("web", 1) => Budget::MinAvailable(Amount::Percent(50)),
        ("db", 0 | 1) => Budget::MaxUnavailable(Amount::Count(1)),
        ("db", 2) => Budget::MinAvailable(Amount::Count(2)),
        ("front", 2) => Budget::MinAvailable(Amount::Count(1)),
        _ => Budget::Usual,
    }
}

fn constraint(text: &str) -> Constraint {
    text.parse().expect("it is written as the language wants it")
}

/// Some generations are tried first, and some rest between their slots.
fn update(id: &ServiceId, image: u32) -> UpdatePolicy {
    let tried = |slots, seconds, promotion| {
        Some(Trial::Canary(Canary { slots, hold: Duration::from_secs(seconds), promotion }))
    };
    let trial = match (id.name.as_str(), image % 4) {
        ("web", 1) => tried(Amount::Count(1), 30, Promotion::Automatic),
        ("db", 3) => tried(Amount::Count(1), 20, Promotion::Automatic),
        ("front", 2) => tried(Amount::Percent(50), 0, Promotion::Manual),
        ("probe", 3) => tried(Amount::Percent(30), 10, Promotion::Automatic),
        _ => None,
    };
    let rests = id.name.as_str() == "web" && image % 4 == 2;
    UpdatePolicy {
        parallelism: 1 + image % 2,
        order: UpdateOrder::Auto,
        monitor: Duration::from_secs(5),
        delay: Duration::from_secs(if rests { 15 } else { 0 }),
        max_failure_permille: 0,
        tolerance: Tolerance { at_least: u32::from(image % 7 == 6), at_most: None },
        progress_deadline: Duration::from_secs(600),
        on_failure: FailureAction::Rollback,
        trial,
    }
}

fn needs(on: &str) -> Dependency<ServiceName> {
    let on = on.parse().expect("a word is a name");
    Dependency { on, condition: DependencyCondition::Healthy }
}

const fn check(probe: Probe) -> HealthCheck {
    HealthCheck {
        probe,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        retries: 2,
        start_period: Duration::from_secs(5),
    }
}

fn container(name: &str, number: u32) -> ContainerSpec {
    ContainerSpec {
        name: name.parse().expect("a word is a name"),
        image: image(number),
        process: ProcessSpec::default(),
        reservation: Resources {
            cpu_millis: 250,
            memory_bytes: 512 << 20,
            gpus: gpus(name, number),
            ..Resources::default()
        },
        limit: Resources::default(),
        ports: Vec::new(),
        mounts: mounts(name, number),
        files: Vec::new(),
        health: None,
        after: Vec::new(),
        stop_signal: None,
        stop_grace: Duration::from_secs(10),
        labels: BTreeMap::new(),
        security: SecuritySpec::default(),
        secrets: SecretUses::default(),
    }
}
