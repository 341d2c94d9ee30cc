//! What specs of 0.1.0 say: one that says everything, and a small one.

use std::collections::BTreeMap;
use std::time::Duration;

use model::budget::Budget;
use model::constraint::{Attribute, Constraint, Test};
use model::id::ServiceId;
use model::image::{Image, Pin};
use model::policy::Profile;
use model::priority::Priority;
use model::resources::Resources;
use model::rollout::Tolerance;
use model::secret::{Rotation, SecretUses};
use model::spec::{
    Attachment, ContainerSpec, Dependency, DependencyCondition, FailureAction, FileSpec,
    HealthCheck, Mode, Mount, MountSource, Network, PortSpec, Probe, ProcessSpec, Protocol,
    RestartCondition, RestartPolicy, SecuritySpec, ServiceSpec, Strategy, TaskSpec, UpdateOrder,
    UpdatePolicy,
};

/// As little as a spec can say. What its policies say depends on its mode.
pub(crate) fn small(name: &str, mode: Mode, network: Network) -> ServiceSpec {
    let (condition, order, on_failure) = match mode {
        Mode::Replicated { .. } => {
            (RestartCondition::Any, UpdateOrder::Auto, FailureAction::Rollback)
        }
        Mode::Global => {
            (RestartCondition::OnFailure, UpdateOrder::StopFirst, FailureAction::Continue)
        }
        Mode::Once | Mode::Job(_) => {
            (RestartCondition::Never, UpdateOrder::Auto, FailureAction::Pause)
        }
    };
    ServiceSpec {
        id: ServiceId { project: "shop".parse().unwrap(), name: name.parse().unwrap() },
        mode,
        task: TaskSpec {
            containers: vec![container(name)],
            network,
            constraints: Vec::new(),
            max_per_node: None,
            restart: RestartPolicy { condition, max_attempts: None, delay: Duration::ZERO },
            restarts_asked: 0,
            lease: None,
            routes: Vec::new(),
            rotation: Rotation::None,
            profile: Profile::Default,
        },
        update: UpdatePolicy {
            parallelism: 1,
            order,
            monitor: Duration::from_secs(5),
            delay: Duration::ZERO,
            max_failure_permille: 0,
            tolerance: Tolerance::default(),
            trial: None,
            progress_deadline: Duration::from_secs(600),
            on_failure,
        },
        after: Vec::new(),
        budget: Budget::Usual,
        strategy: Strategy::Spread,
        priority: Priority::Normal,
        is_left_in_place: false,
        preferences: Vec::new(),
        schedule: None,
    }
}

fn container(name: &str) -> ContainerSpec {
    let pin = Pin::Manifest(format!("sha256:{}", "ab".repeat(32)).parse().unwrap());
    ContainerSpec {
        name: name.parse().unwrap(),
        image: Image { reference: "nginx:1.29".parse().unwrap(), pin },
        process: ProcessSpec::default(),
        reservation: Resources::default(),
        limit: Resources::default(),
        ports: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        health: None,
        after: Vec::new(),
        stop_signal: None,
        stop_grace: Duration::ZERO,
        labels: BTreeMap::new(),
        security: SecuritySpec::default(),
        secrets: SecretUses::default(),
    }
}

/// Everything that a spec can say.
pub(crate) fn full() -> ServiceSpec {
    let attach = |network: &str, aliases: &[&str]| Attachment {
        network: network.parse().unwrap(),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
    };
    let network = Network::Project(vec![attach("front", &["web", "www"]), attach("back", &[])]);
    let small = small("web", Mode::Replicated { replicas: 3 }, network);
    ServiceSpec {
        task: TaskSpec {
            containers: vec![web(), prepares(), works(), caches()],
            constraints: constraints(),
            max_per_node: Some(2),
            restart: RestartPolicy {
                condition: RestartCondition::Any,
                max_attempts: Some(7),
                delay: Duration::from_secs(10),
            },
            restarts_asked: 1,
            ..small.task
        },
        update: UpdatePolicy {
            parallelism: 2,
            order: UpdateOrder::StartFirst,
            max_failure_permille: 100,
            ..small.update
        },
        after: vec![
            waits("db", DependencyCondition::Healthy),
            waits("queue", DependencyCondition::Started),
            waits("migrate", DependencyCondition::Completed),
        ],
        ..small
    }
}

fn waits<Name>(on: &str, condition: DependencyCondition) -> Dependency<Name>
where
    Name: std::str::FromStr<Err = model::id::NameError>,
{
    Dependency { on: on.parse().unwrap(), condition }
}

fn constraints() -> Vec<Constraint> {
    let constraint = |attribute, test: fn(String) -> Test, value: &str| {
        Constraint::Of(attribute, test(value.to_owned()))
    };
    vec![
        constraint(Attribute::Id, Test::NotEqual, "i-0"),
        constraint(Attribute::Hostname, Test::NotEqual, "old"),
        constraint(Attribute::Zone, Test::Equal, "eu-central-1a"),
        constraint(Attribute::Arch, Test::Equal, "arm64"),
        constraint(Attribute::Label("disk".to_owned()), Test::Equal, "ssd"),
    ]
}

/// The owner of the network, with everything that a container can say.
fn web() -> ContainerSpec {
    let probe = Probe::Http { port: 8080, path: "/health?deep=1".to_owned() };
    ContainerSpec {
        process: process(),
        reservation: Resources { cpu_millis: 250, memory_bytes: 64 << 20, ..Resources::default() },
        limit: Resources { cpu_millis: 1_500, memory_bytes: 1 << 30, ..Resources::default() },
        ports: ports(),
        mounts: mounts(),
        files: vec![FileSpec {
            target: "/etc/web/config.toml".to_owned(),
            content: b"listen = \"\x00\xff\"".to_vec(),
            mode: 0o640,
            owner: (1000, 1001),
        }],
        health: Some(check(probe)),
        stop_signal: Some("SIGQUIT".to_owned()),
        stop_grace: Duration::from_secs(30),
        labels: BTreeMap::from([("team".to_owned(), "shop\nfront".to_owned())]),
        security: security(),
        ..container("web")
    }
}

fn process() -> ProcessSpec {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    ProcessSpec {
        entrypoint: Some(words(&["/init", ""])),
        command: Some(Vec::new()),
        environment: BTreeMap::from([
            ("EMPTY".to_owned(), String::new()),
            ("KEY".to_owned(), "värde=1\n2".to_owned()),
        ]),
        user: Some("1000:1000".to_owned()),
        working_dir: Some("/srv".to_owned()),
        hostname: Some("web".to_owned()),
        extra_hosts: words(&["gateway:host-gateway"]),
        tty: true,
    }
}

fn security() -> SecuritySpec {
    SecuritySpec {
        cap_add: vec!["NET_ADMIN".to_owned()],
        cap_drop: vec!["ALL".to_owned()],
        is_read_only: true,
        pids_limit: Some(100),
        ulimits: BTreeMap::from([("nofile".to_owned(), (1024, -1))]),
        sysctls: BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]),
        shm_bytes: Some(64 << 20),
    }
}

fn ports() -> Vec<PortSpec> {
    let address = Some("2001:db8::1".parse().unwrap());
    vec![
        PortSpec { container: 8080, host: Some(80), protocol: Protocol::Tcp, address },
        PortSpec { container: 53, host: None, protocol: Protocol::Udp, address: None },
    ]
}

fn mounts() -> Vec<Mount> {
    let mount = |source, target: &str, is_read_only| Mount {
        source,
        target: target.to_owned(),
        is_read_only,
    };
    vec![
        mount(MountSource::Volume { name: "data".parse().unwrap() }, "/var/lib/web", false),
        mount(MountSource::Bind { path: "/etc/ssl".to_owned() }, "/etc/ssl", true),
        mount(MountSource::Tmpfs { size_bytes: 1 << 20 }, "/tmp", false),
    ]
}

fn check(probe: Probe) -> HealthCheck {
    HealthCheck {
        probe,
        interval: Duration::from_secs(30),
        timeout: Duration::from_millis(2_500),
        retries: 3,
        start_period: Duration::from_secs(60),
    }
}

/// Runs to its end before others start, from an image that only one engine has.
fn prepares() -> ContainerSpec {
    let pin = Pin::Local(format!("sha256:{}", "0c".repeat(32)).parse().unwrap());
    let reference = "registry.example:5000/shop/prepare:2";
    ContainerSpec {
        image: Image { reference: reference.parse().unwrap(), pin },
        health: Some(check(Probe::Disabled)),
        after: vec![waits("web", DependencyCondition::Started)],
        ..container("prepare")
    }
}

fn works() -> ContainerSpec {
    let command = ["CMD-SHELL", "test -e /ready"].map(str::to_owned).to_vec();
    ContainerSpec {
        health: Some(check(Probe::Command(command))),
        after: vec![waits("prepare", DependencyCondition::Completed)],
        ..container("worker")
    }
}

fn caches() -> ContainerSpec {
    ContainerSpec {
        health: Some(check(Probe::Tcp { port: 6379 })),
        after: vec![waits("worker", DependencyCondition::Healthy)],
        ..container("cache")
    }
}
