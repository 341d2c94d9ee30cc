//! Specs that are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::budget::{Amount, Budget};
use model::constraint::{Attribute, Constraint, Test};
use model::id::ServiceId;
use model::image::{Image, Pin};
use model::lease::{LEASE_LIMIT, LeasePolicy};
use model::policy::{Profile, plain_capability};
use model::preference::{Preference, Preferred, Spread, WEIGHT_LIMIT};
use model::priority::Priority;
use model::rollout::{BlueGreen, Canary, Promotion, Tolerance, Trial};
use model::secret::{Rotation, SecretFile, SecretUses};
use model::spec::*;
use model::traffic::{LEAVE_LIMIT, Route};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::jobs;
use super::values::{duration, limit, map, name, one_of, path, port, resources, text, word};

/// A service with everything that it can say.
pub(crate) fn service() -> BoxedStrategy<ServiceSpec> {
    let mode = prop_oneof![
        (0..=REPLICAS_LIMIT).prop_map(|replicas| Mode::Replicated { replicas }),
        Just(Mode::Global),
        Just(Mode::Once),
        jobs::job().prop_map(Mode::Job),
    ];
    let after = vec((name(), condition()), 0..3);
    let preferences = vec(preference(), 0..3);
    let placing = (strategy(), one_of(Priority::ALL), any::<bool>(), preferences);
    (name(), name(), mode, task(), update(), (after, budget(), placing, jobs::schedule()))
        .prop_map(|(project, name, mode, task, update, (after, budget, placing, schedule))| {
            let (strategy, priority, is_left_in_place, preferences) = placing;
            ServiceSpec {
                id: ServiceId { project, name },
                mode,
                task,
                update,
                after: after
                    .into_iter()
                    .map(|(on, condition)| Dependency { on, condition })
                    .collect(),
                budget,
                strategy,
                priority,
                is_left_in_place,
                preferences,
                schedule: schedule.filter(|_| matches!(mode, Mode::Job(_))),
            }
        })
        .boxed()
}

fn preference() -> impl Strategy<Value = Preference> {
    let nodes = constraint().prop_filter("no images", |one| !one.needs_images());
    let spread = (word(), btree_map(word(), 0..20_u32, 0..4)).prop_map(|(key, shares)| {
        Preferred::Spread(Spread { over: Attribute::Label(key), shares })
    });
    (prop_oneof![nodes.prop_map(Preferred::Nodes), spread], 1..=WEIGHT_LIMIT)
        .prop_map(|(of, weight)| Preference { of, weight })
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0..=REPLICAS_LIMIT).prop_map(Amount::Count),
        (0..=100_u8).prop_map(Amount::Percent),
    ]
}

fn strategy() -> impl Strategy<Value = model::spec::Strategy> {
    one_of([model::spec::Strategy::Spread, model::spec::Strategy::Binpack])
}

fn budget() -> impl Strategy<Value = Budget> {
    prop_oneof![
        Just(Budget::Usual),
        amount().prop_map(Budget::MinAvailable),
        amount().prop_map(Budget::MaxUnavailable),
    ]
}

fn condition() -> impl Strategy<Value = DependencyCondition> {
    one_of([
        DependencyCondition::Started,
        DependencyCondition::Healthy,
        DependencyCondition::Completed,
    ])
}

fn tolerance() -> impl Strategy<Value = Tolerance> {
    let bounded = (any::<u32>(), any::<u32>()).prop_map(|(one, other)| Tolerance {
        at_least: one.min(other),
        at_most: Some(one.max(other)),
    });
    let open = any::<u32>().prop_map(|at_least| Tolerance { at_least, at_most: None });
    prop_oneof![bounded, open]
}

fn trial() -> impl Strategy<Value = Trial> {
    let promotion = || one_of([Promotion::Automatic, Promotion::Manual]);
    let canary = (amount(), duration(), promotion())
        .prop_map(|(slots, hold, promotion)| Trial::Canary(Canary { slots, hold, promotion }));
    let both = (duration(), promotion(), duration())
        .prop_map(|(hold, promotion, keep)| Trial::BlueGreen(BlueGreen { hold, promotion, keep }));
    prop_oneof![canary, both]
}

fn update() -> BoxedStrategy<UpdatePolicy> {
    let order = [UpdateOrder::Auto, UpdateOrder::StartFirst, UpdateOrder::StopFirst];
    let action = [FailureAction::Rollback, FailureAction::Pause, FailureAction::Continue];
    let deadline = duration().prop_map(|deadline| deadline.max(Duration::from_millis(1)));
    let (order, action) = (one_of(order), one_of(action));
    let times = (duration(), duration(), deadline);
    (1..=u32::MAX, order, times, 0..=1_000_u32, tolerance(), (action, option::of(trial())))
        .prop_map(
            |(
                parallelism,
                order,
                (monitor, delay, progress_deadline),
                share,
                tolerance,
                (on_failure, trial),
            )| {
                UpdatePolicy {
                    parallelism,
                    order,
                    monitor,
                    delay,
                    max_failure_permille: share,
                    tolerance,
                    trial,
                    progress_deadline,
                    on_failure,
                }
            },
        )
        .boxed()
}

/// One to four containers, each of which may wait for those before it.
pub(crate) fn task() -> BoxedStrategy<TaskSpec> {
    let container = (container(), vec((any::<prop::sample::Index>(), condition()), 0..3));
    let containers = btree_map(name(), container, 1..4).prop_map(|containers| {
        let mut named: Vec<ContainerSpec> = Vec::new();
        for (name, (mut container, waits)) in containers {
            container.name = name;
            for (on, condition) in waits.into_iter().filter(|_| !named.is_empty()) {
                let index = on.index(named.len());
                // The owner of the network does not complete before the others.
                let condition = if index == 0 { DependencyCondition::Started } else { condition };
                container.after.push(Dependency { on: named[index].name.clone(), condition });
            }
            named.push(container);
        }
        named
    });
    let condition = [RestartCondition::Never, RestartCondition::OnFailure, RestartCondition::Any];
    let restart = (one_of(condition), option::of(any::<u32>()), duration()).prop_map(
        |(condition, max_attempts, delay)| RestartPolicy { condition, max_attempts, delay },
    );
    let most = option::of(1..=u32::MAX);
    let lease = option::of(1..=LEASE_LIMIT.as_secs());
    let rotation = prop_oneof![
        Just(Rotation::None),
        Just(Rotation::Restart),
        "SIG[A-Z]{3}".prop_map(Rotation::Signal),
    ];
    let restarts = (restart, 0..1_u64 << 32, rotation);
    let profile = one_of([Profile::Default, Profile::Strict]);
    let more = (lease, vec((route(), any::<prop::sample::Index>()), 0..3), profile);
    (containers, network(), vec(constraint(), 0..3), most, restarts, more)
        .prop_map(|(containers, network, constraints, max_per_node, restarts, more)| {
            let (restart, restarts_asked, rotation) = restarts;
            let (lease, routes, profile) = more;
            let mut task = TaskSpec {
                containers,
                network,
                constraints,
                max_per_node,
                restart,
                restarts_asked,
                lease: lease.map(|cap| LeasePolicy { cap: Duration::from_secs(cap) }),
                routes: Vec::new(),
                rotation,
                profile,
            };
            leave_what_can_be_exchanged(&mut task);
            leave_what_can_be_strict(&mut task);
            leave_each_port_once(&mut task);
            lead_to_what_is_published(&mut task, routes);
            task
        })
        .boxed()
}

fn route() -> BoxedStrategy<Route> {
    let within = option::of((0..=LEAVE_LIMIT.as_secs()).prop_map(Duration::from_secs));
    let group = "[a-zA-Z0-9][a-zA-Z0-9-]{0,31}".prop_map(|text| text.parse().unwrap());
    (group, 1..=u16::MAX, within)
        .prop_map(|(group, port, leave_within)| Route { group, port, leave_within })
        .boxed()
}

fn lead_to_what_is_published(task: &mut TaskSpec, routes: Vec<(Route, prop::sample::Index)>) {
    let published = task.containers.iter().flat_map(|container| &container.ports);
    let published: Vec<u16> = published.map(|port| port.container).collect();
    let mut seen = BTreeSet::new();
    for (route, index) in routes {
        let port = match task.network {
            Network::Host => route.port,
            Network::Project(_) | Network::None if published.is_empty() => continue,
            Network::Project(_) | Network::None => published[index.index(published.len())],
        };
        if seen.insert((route.group.clone(), port)) {
            task.routes.push(Route { port, ..route });
        }
    }
}

/// What is strict is not root, as far as it says.
fn leave_what_can_be_strict(task: &mut TaskSpec) {
    if task.profile == Profile::Default {
        return;
    }
    for (container, user) in task.containers.iter_mut().zip(1_000..) {
        container.files.clear();
        container.security.cap_add.retain(|name| plain_capability(name) != "ALL");
        container.process.user = container.process.user.take().map(|_| format!("{user}:0"));
    }
}

/// With a signal each secret is where it can be exchanged.
fn leave_what_can_be_exchanged(task: &mut TaskSpec) {
    if let Rotation::Signal(_) = task.rotation {
        for container in &mut task.containers {
            container.secrets.variables.clear();
            container.secrets.files.retain(|file| file.plain_name().is_some());
        }
    }
}

fn leave_each_port_once(task: &mut TaskSpec) {
    let mut taken = BTreeSet::new();
    let is_host = task.network == Network::Host;
    for container in &mut task.containers {
        container.ports.retain(|port| {
            let number = if is_host { Some(port.container) } else { port.host };
            number.is_none_or(|number| taken.insert((number, port.protocol)))
        });
    }
}

fn network() -> BoxedStrategy<Network> {
    let attachments = btree_map(name(), vec(word(), 0..3), 1..4).prop_map(|attachments| {
        let attachment = |(network, aliases)| Attachment { network, aliases };
        Network::Project(attachments.into_iter().map(attachment).collect())
    });
    prop_oneof![attachments, Just(Network::Host), Just(Network::None)].boxed()
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let attribute = prop_oneof![
        Just(Attribute::Id),
        Just(Attribute::Hostname),
        Just(Attribute::Zone),
        Just(Attribute::Arch),
        word().prop_map(Attribute::Label),
    ];
    let old = (attribute, any::<bool>(), word()).prop_map(|(attribute, is_equal, value)| {
        Constraint::Of(attribute, if is_equal { Test::Equal(value) } else { Test::NotEqual(value) })
    });
    // What is below texts is drawn where texts are read.
    let texts = [
        "node.pool == web",
        "node.labels.empty != \"\"",
        "not (node.zone in [a, \"b c\"] or node.kernel.version >= 6.1)",
        "node.ami !~ \"^ami-\\\\d+$\" and image.present(\"sha256:00000000000000000000000000000000000000000000000000000000000000ab\")",
    ];
    prop_oneof![old, one_of(texts).prop_map(|text| text.parse().unwrap())]
}

fn container() -> BoxedStrategy<ContainerSpec> {
    let signal = option::of("SIG[A-Z]{3}");
    let grace = (0..=3_600_000_u64).prop_map(Duration::from_millis);
    (
        (image(), process(), security()),
        (resources(), limit(), vec(published(), 0..4)),
        (mounts(), files(), option::of(health())),
        (signal, grace, map(text())),
        uses(),
    )
        .prop_map(
            |(
                (image, process, security),
                (reservation, limit, ports),
                (mounts, files, health),
                (stop_signal, stop_grace, labels),
                secrets,
            )| ContainerSpec {
                name: "unnamed".parse().unwrap(),
                image,
                process,
                reservation,
                limit,
                ports,
                mounts,
                files,
                health,
                after: Vec::new(),
                stop_signal,
                stop_grace,
                labels,
                security,
                secrets,
            },
        )
        .boxed()
}

/// Files that no other is, and variables that nothing else sets.
fn uses() -> BoxedStrategy<SecretUses> {
    let target = prop_oneof![
        "[a-z]{1,9}".prop_map(|name| format!("/run/secrets/{name}")),
        "[a-z]{1,9}".prop_map(|name| format!("/secret/{name}")),
    ];
    let file = ("[A-Za-z][A-Za-z0-9._-]{0,9}", 0..=0o777_u32, any::<(u32, u32)>());
    let files = btree_map(target, file, 0..3);
    let variables = btree_map(
        "SECRET_[A-Z]{1,9}",
        "([A-Za-z][A-Za-z0-9._-]{0,9})|(ssm:/[a-z]{1,9}(:[0-9]{1,3})?)",
        0..3,
    );
    (files, variables)
        .prop_map(|(files, variables)| SecretUses {
            files: files
                .into_iter()
                .map(|(target, (secret, mode, owner))| {
                    let secret = secret.parse().unwrap();
                    SecretFile { secret, target, mode, owner }
                })
                .collect(),
            variables: variables
                .into_iter()
                .map(|(variable, secret)| (variable, secret.parse().unwrap()))
                .collect(),
        })
        .boxed()
}

/// References as registries spell them.
fn image() -> BoxedStrategy<Image> {
    let reference = "(localhost:5000/|[a-z]{1,5}\\.example/)?[a-z0-9]{1,6}(/[a-z]{1,5}_[a-z]{1,3})?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,8})?(@sha256:[0-9a-f]{64})?";
    (reference, "[0-9a-f]{64}", any::<bool>())
        .prop_map(|(reference, digits, is_local)| {
            let digest = format!("sha256:{digits}").parse().unwrap();
            let pin = if is_local { Pin::Local(digest) } else { Pin::Manifest(digest) };
            Image { reference: reference.parse().unwrap(), pin }
        })
        .boxed()
}

fn process() -> BoxedStrategy<ProcessSpec> {
    let words = || option::of(vec(text(), 0..3));
    let variables = map(text());
    let hosts = vec(word(), 0..3);
    (
        (words(), words(), variables, any::<bool>()),
        (option::of(word()), option::of(path()), option::of(word()), hosts),
    )
        .prop_map(
            |(
                (entrypoint, command, environment, tty),
                (user, working_dir, hostname, extra_hosts),
            )| ProcessSpec {
                entrypoint,
                command,
                environment,
                user,
                working_dir,
                hostname,
                extra_hosts,
                tty,
            },
        )
        .boxed()
}

fn security() -> BoxedStrategy<SecuritySpec> {
    let limit = prop_oneof![
        Just((-1, -1)),
        (0..=i64::MAX).prop_map(|soft| (soft, -1)),
        (any::<u32>(), any::<u32>())
            .prop_map(|(one, other)| (one.min(other).into(), one.max(other).into())),
    ];
    (
        (vec(word(), 0..3), vec(word(), 0..3), any::<bool>()),
        (option::of(any::<u32>()), map(limit), map(text()), option::of(any::<u64>())),
    )
        .prop_map(
            |((cap_add, cap_drop, is_read_only), (pids_limit, ulimits, sysctls, shm_bytes))| {
                SecuritySpec {
                    cap_add,
                    cap_drop,
                    is_read_only,
                    pids_limit,
                    ulimits,
                    sysctls,
                    shm_bytes,
                }
            },
        )
        .boxed()
}

fn published() -> impl Strategy<Value = PortSpec> {
    let protocol = one_of([Protocol::Tcp, Protocol::Udp]);
    let address = option::of(any::<std::net::IpAddr>());
    (port(), option::of(port()), protocol, address).prop_map(
        |(container, host, protocol, address)| PortSpec { container, host, protocol, address },
    )
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let source = prop_oneof![
        name().prop_map(|name| MountSource::Volume { name }),
        path().prop_map(|path| MountSource::Bind { path }),
        "[a-v][a-z0-9_.]{1,8}".prop_map(|name| MountSource::HostVolume { name }),
        any::<u64>().prop_map(|size_bytes| MountSource::Tmpfs { size_bytes }),
    ];
    targets((source, any::<bool>()).boxed(), |target, (source, is_read_only)| Mount {
        source,
        target,
        is_read_only,
    })
}

fn files() -> impl Strategy<Value = Vec<FileSpec>> {
    let owner = any::<(u32, u32)>();
    let file = (vec(any::<u8>(), 0..20), 0..=0o7777_u32, owner);
    targets(file.boxed(), |target, (content, mode, owner)| FileSpec {
        target,
        content,
        mode,
        owner,
    })
}

/// Things with targets that no two of them share.
fn targets<Rest: std::fmt::Debug + 'static, Thing: std::fmt::Debug>(
    rest: BoxedStrategy<Rest>,
    make: impl Fn(String, Rest) -> Thing,
) -> impl Strategy<Value = Vec<Thing>> {
    vec((path(), rest), 0..4).prop_map(move |things| {
        let mut named = BTreeMap::new();
        for (target, rest) in things {
            let parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
            let parts: Vec<String> = parts.map(str::to_owned).collect();
            named.entry(parts).or_insert((target, rest));
        }
        named.into_values().map(|(target, rest)| make(target, rest)).collect()
    })
}

fn health() -> BoxedStrategy<HealthCheck> {
    let command = (one_of(["CMD", "CMD-SHELL"]), vec(text(), 1..3)).prop_map(|(first, rest)| {
        Probe::Command([first.to_owned()].into_iter().chain(rest).collect())
    });
    let probe = prop_oneof![
        Just(Probe::Disabled),
        command,
        (port(), "/[a-z0-9/?=&%.-]{0,8}").prop_map(|(port, path)| Probe::Http { port, path }),
        port().prop_map(|port| Probe::Tcp { port }),
    ];
    let positive = || duration().prop_map(|duration| duration.max(Duration::from_millis(1)));
    (probe, positive(), positive(), 1..=u32::MAX, duration())
        .prop_map(|(probe, interval, timeout, retries, start_period)| HealthCheck {
            probe,
            interval,
            timeout,
            retries,
            start_period,
        })
        .boxed()
}
