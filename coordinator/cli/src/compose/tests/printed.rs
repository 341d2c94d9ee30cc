//! A project that is printed as a Compose file reads back as the same project.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::strategy::Strategy;
use proto::wire::health_check::Probe;
use proto::wire::mount::Source;
use proto::wire::network::Kind;
use proto::wire::service_spec::Mode;
use proto::wire::update_policy::Trial;
use proto::wire::*;

use super::{errors, try_read};

const LIMIT_BYTES: u64 = 1 << 40;

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,8}"
}

/// Any text without NUL.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[\\t\\n\\r -~éß→\u{7f}\u{85}\u{2028}🚢]{0,6}",
        Just("yes".to_owned()),
        Just("null".to_owned())
    ]
}

fn words() -> impl Strategy<Value = Option<Words>> {
    prop::option::of(prop::collection::vec(text(), 0..4).prop_map(|words| Words { words }))
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[A-Z_a-z.-]{1,6}", text(), 0..4)
}

fn process() -> impl Strategy<Value = ProcessSpec> {
    let option = |pattern| prop::option::of(pattern);
    let host = "[a-z]{1,5}:10\\.0\\.0\\.[1-9]";
    (
        (words(), words(), pairs(), any::<bool>()),
        (option("[a-z0-9]{1,5}"), option("/[a-z/]{0,6}"), option("[a-z0-9]{1,6}")),
        prop::collection::vec(host, 0..3),
    )
        .prop_map(
            |(
                (entrypoint, command, environment, tty),
                (user, working_dir, hostname),
                extra_hosts,
            )| {
                ProcessSpec {
                    entrypoint,
                    command,
                    environment,
                    user,
                    working_dir,
                    hostname,
                    extra_hosts,
                    tty,
                }
            },
        )
}

fn security() -> impl Strategy<Value = SecuritySpec> {
    let capabilities = || prop::collection::btree_set("[A-Z_]{3,8}", 0..3);
    let limit = (-1..100_i64, 100..200_i64).prop_map(|(soft, hard)| match soft {
        -1 => Ulimit { soft: -1, hard: -1 },
        soft => Ulimit { soft, hard },
    });
    let sysctls = prop::collection::btree_map("net\\.[a-z]{1,5}", "[ -~]{0,5}", 0..2);
    (
        (capabilities(), capabilities(), any::<bool>()),
        prop::option::of(1..4_000_000_u32),
        prop::collection::btree_map("[a-z]{1,6}", limit, 0..3),
        sysctls,
        prop::option::of(0..LIMIT_BYTES),
    )
        .prop_map(
            |((cap_add, cap_drop, read_only), pids_limit, ulimits, sysctls, shm_bytes)| {
                SecuritySpec {
                    cap_add: cap_add.into_iter().collect(),
                    cap_drop: cap_drop.into_iter().collect(),
                    read_only,
                    pids_limit,
                    ulimits,
                    sysctls,
                    shm_bytes,
                }
            },
        )
}

fn health() -> impl Strategy<Value = HealthCheck> {
    let probe = prop_oneof![
        Just(Probe::Disabled(NoProbe {})),
        (text(), prop::sample::select(vec!["CMD", "CMD-SHELL"])).prop_map(|(word, first)| {
            Probe::Command(Words { words: vec![first.to_owned(), word] })
        }),
        (1..65_536_u32, "/[ -~]{0,6}")
            .prop_map(|(port, path)| Probe::Http(HttpProbe { port, path })),
        (1..65_536_u32).prop_map(|port| Probe::Tcp(TcpProbe { port })),
    ];
    (probe, 1..100_000_u64, 1..100_000_u64, 1..1_000_u32, 0..100_000_u64).prop_map(
        |(probe, interval_ms, timeout_ms, retries, start_period_ms)| HealthCheck {
            probe: Some(probe),
            interval_ms,
            timeout_ms,
            retries,
            start_period_ms,
        },
    )
}

/// Mounts, with targets that no two of them share.
fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let source = prop_oneof![
        Just(Source::Volume("data".to_owned())),
        "/[a-z]{1,5}".prop_map(Source::Bind),
        (0..LIMIT_BYTES).prop_map(Source::TmpfsBytes),
    ];
    prop::collection::btree_map("/m/[a-z]{1,5}", (source, any::<bool>()), 0..4).prop_map(|mounts| {
        let mount =
            |(target, (source, read_only))| Mount { source: Some(source), target, read_only };
        mounts.into_iter().map(mount).collect()
    })
}

fn files() -> impl Strategy<Value = Vec<FileSpec>> {
    let content = text().prop_map(String::into_bytes);
    let file = (content, 0..0o1000_u32, any::<u16>(), any::<u16>());
    prop::collection::btree_map("/f/[a-z]{1,5}", file, 0..3).prop_map(|files| {
        let file = |(target, (content, mode, uid, gid)): (String, (Vec<u8>, u32, u16, u16))| {
            FileSpec { target, content, mode, uid: uid.into(), gid: gid.into() }
        };
        files.into_iter().map(file).collect()
    })
}

fn ports() -> impl Strategy<Value = Vec<PortSpec>> {
    let address = prop::option::of(prop::sample::select(vec!["10.0.0.1", "::1"]));
    let port = (1..65_536_u32, 1..3_i32, address);
    prop::collection::vec(port, 0..4).prop_map(|ports| {
        let port = |(container, protocol, address): (u32, i32, Option<&str>)| PortSpec {
            container,
            host: None,
            protocol,
            address: address.map(str::to_owned),
        };
        ports.into_iter().map(port).collect()
    })
}

fn resources() -> impl Strategy<Value = (Resources, Resources)> {
    let few = || (0..9_u64, 0..LIMIT_BYTES, 0..2_000_u64);
    ((0..1_000_u64, 0..1_000_u64), 0..LIMIT_BYTES, (8_u64 << 20)..LIMIT_BYTES, few()).prop_map(
        |((held_cpu, more_cpu), held, more, (gpus, disk_bytes, pids))| {
            let held_all =
                Resources { cpu_millis: held_cpu, memory_bytes: held, gpus, disk_bytes, pids };
            let (cpu_millis, memory_bytes) = (held_cpu + more_cpu, held + more);
            let limit = Resources { cpu_millis, memory_bytes, ..Resources::default() };
            (held_all, limit)
        },
    )
}

fn container() -> impl Strategy<Value = ContainerSpec> {
    let labels = prop::collection::btree_map("[a-v][a-z.]{0,5}", text(), 0..3);
    (
        (process(), security(), prop::option::of(health())),
        (mounts(), files(), ports(), labels),
        (resources(), prop::option::of("SIG[A-Z]{3}"), 0..1_000_000_u64),
    )
        .prop_map(
            |(
                (process, security, health),
                (mounts, files, ports, labels),
                (amounts, signal, grace),
            )| {
                let (mut reservation, limit) = amounts;
                let most = security.pids_limit.map_or(u64::MAX, u64::from);
                reservation.pids = reservation.pids.min(most);
                ContainerSpec {
                    name: String::new(),
                    image: Some(Image { reference: "registry:5000/a/b:1".to_owned(), pin: None }),
                    process: Some(process),
                    reservation: Some(reservation),
                    limit: Some(limit),
                    ports,
                    mounts,
                    files,
                    health,
                    after: Vec::new(),
                    stop_signal: signal,
                    stop_grace_ms: grace,
                    labels,
                    security: Some(security),
                    secret_files: Vec::new(),
                    secret_variables: BTreeMap::new(),
                }
            },
        )
}

fn tolerance() -> impl Strategy<Value = Option<Tolerance>> {
    let bounds = (1..100_u32, prop::option::of(100..200_u32))
        .prop_map(|(at_least, at_most)| Tolerance { at_least, at_most });
    prop::option::of(bounds)
}

fn canary() -> impl Strategy<Value = Option<Canary>> {
    let percent =
        (1..=100_u32).prop_map(|percent| Amount { kind: Some(amount::Kind::Percent(percent)) });
    let canary = (percent, 0..1_000_000_u64, 1..3_i32)
        .prop_map(|(slots, hold_ms, promotion)| Canary { slots: Some(slots), hold_ms, promotion });
    prop::option::of(canary)
}

fn update() -> impl Strategy<Value = UpdatePolicy> {
    let times = (0..100_000_u64, 0..100_000_u64, 1..10_000_000_u64);
    (1..1_000_u32, 1..4_i32, times, 0..=1_000_u32, 1..4_i32, (tolerance(), canary())).prop_map(
        |(
            parallelism,
            order,
            (monitor_ms, delay_ms, progress_deadline_ms),
            max_failure_permille,
            on_failure,
            (tolerance, canary),
        )| UpdatePolicy {
            parallelism,
            order,
            monitor_ms,
            delay_ms,
            max_failure_permille,
            tolerance,
            on_failure,
            progress_deadline_ms,
            trial: canary.map(Trial::Canary),
        },
    )
}

fn constraints() -> impl Strategy<Value = Vec<Constraint>> {
    let attribute = prop::sample::select(vec![
        "node.id",
        "node.zone",
        "node.labels.disk",
        "node.platform.arch",
    ]);
    // Words of the language are values only in quotes.
    let value = "[a-z0-9-]{1,6}".prop_filter("is a word of the language", |value| {
        !["and", "or", "not", "in"].contains(&value.as_str())
    });
    let constraint = (attribute, 1..3_i32, value);
    prop::collection::btree_set(constraint, 0..3).prop_map(|constraints| {
        let constraint = |(attribute, operator, value): (&str, i32, String)| Constraint {
            attribute: attribute.to_owned(),
            operator,
            value,
            text: String::new(),
        };
        let all: Vec<Constraint> = constraints.into_iter().map(constraint).collect();
        let read = all.iter().map(|one| proto::convert::constraint_from_wire(one).unwrap());
        let read: Vec<_> = read.collect();
        // What no node can meet is refused.
        let is_possible = model::constraint::conflict(&read.iter().collect::<Vec<_>>()).is_none();
        if is_possible { all } else { Vec::new() }
    })
}

fn spec() -> impl Strategy<Value = ServiceSpec> {
    let mode = prop_oneof![
        (0..100_u32).prop_map(|replicas| Mode::Replicated(Replicated { replicas })),
        Just(Mode::Global(Global {})),
    ];
    let restart = (1..4_i32, prop::option::of(any::<u32>()), 0..100_000_u64).prop_map(
        |(condition, max_attempts, delay_ms)| RestartPolicy { condition, max_attempts, delay_ms },
    );
    let aliases = prop::collection::btree_set("[a-z]{10,12}", 0..3);
    (container(), mode, update(), (constraints(), prop::option::of(1..50_u32)), restart, aliases)
        .prop_map(|(container, mode, update, (constraints, max_per_node), restart, aliases)| {
            let attachment =
                Attachment { network: "back".to_owned(), aliases: aliases.into_iter().collect() };
            let networks = ProjectNetworks { attachments: vec![attachment] };
            ServiceSpec {
                project: "shop".to_owned(),
                name: String::new(),
                mode: Some(mode),
                task: Some(TaskSpec {
                    containers: vec![container],
                    network: Some(Network { kind: Some(Kind::Project(networks)) }),
                    constraints,
                    max_per_node,
                    restart: Some(restart),
                    restarts_asked: 0,
                    lease: None,
                    routes: Vec::new(),
                    rotation: None,
                    profile: None,
                }),
                update: Some(update),
                after: Vec::new(),
                budget: None,
                strategy: None,
                priority: None,
                is_left_in_place: false,
                preferences: Vec::new(),
                schedule: None,
            }
        })
}

/// Services with names; each may wait for the one before it.
fn specs() -> impl Strategy<Value = Vec<ServiceSpec>> {
    let spec = (spec(), prop::option::of(1..3_i32));
    prop::collection::btree_map(name(), spec, 1..4).prop_map(|specs| {
        let mut named: Vec<ServiceSpec> = Vec::new();
        for (name, (mut spec, wait)) in specs {
            let before = named.last().map(|spec| spec.name.clone());
            spec.after.extend(before.zip(wait).map(|(on, condition)| Dependency { on, condition }));
            let task = spec.task.as_mut().unwrap();
            task.containers[0].name.clone_from(&name);
            let Some(Kind::Project(networks)) =
                task.network.as_mut().and_then(|network| network.kind.as_mut())
            else {
                panic!("every network is of the project")
            };
            networks.attachments[0].aliases.insert(0, name.clone());
            spec.name = name;
            named.push(spec);
        }
        named
    })
}

/// A text in double quotes, with its dollar signs doubled.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '$' => quoted.push_str("$$"),
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c => write!(quoted, "\\U{:08x}", u32::from(c)).unwrap(),
        }
    }
    quoted + "\""
}

/// The word of an enum's number; the first one is never used.
fn pick<'a>(words: &[&'a str], number: i32) -> &'a str {
    words[usize::try_from(number).unwrap()]
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

fn mapping(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}: {}", quoted(name).replace("$$", "$"), quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn print(specs: &[ServiceSpec]) -> String {
    let mut text = "volumes: {data: }\nnetworks: {back: }\nservices:\n".to_owned();
    let mut configs = "configs:\n  none: {content: x}\n".to_owned();
    for spec in specs {
        let task = spec.task.as_ref().unwrap();
        writeln!(text, "  {}:", quoted(&spec.name)).unwrap();
        print_deploy(&mut text, spec, task);
        print_container(&mut text, &task.containers[0]);
        print_storage(&mut text, &mut configs, &task.containers[0]);
        let Some(Kind::Project(networks)) = &task.network.as_ref().unwrap().kind else { continue };
        writeln!(
            text,
            "    networks: {{back: {{aliases: {}}}}}",
            list(&networks.attachments[0].aliases)
        )
        .unwrap();
        for wait in &spec.after {
            let condition = pick(&["", "service_started", "service_healthy"], wait.condition);
            writeln!(text, "    depends_on: {{{}: {{condition: {condition}}}}}", quoted(&wait.on))
                .unwrap();
        }
    }
    text + &configs
}

fn wharf(update: &UpdatePolicy, held: &Resources) -> String {
    let mut text = format!("progress_deadline: {}ms", update.progress_deadline_ms);
    let reserve = format!(", reserve: {{disk: {}, pids: {}}}", held.disk_bytes, held.pids);
    text.push_str(&reserve);
    if let Some(Tolerance { at_least, at_most }) = update.tolerance {
        let most = at_most.map_or("null".to_owned(), |most| most.to_string());
        let bounds = format!(", tolerated_failures: {{at_least: {at_least}, at_most: {most}}}");
        text.push_str(&bounds);
    }
    if let Some(Trial::Canary(Canary { slots, hold_ms, promotion })) = update.trial {
        let Some(amount::Kind::Percent(percent)) = slots.unwrap().kind else { panic!("a part") };
        let promote = pick(&["", "automatic", "manual"], promotion);
        let canary =
            format!(", canary: {{replicas: {percent}%, hold: {hold_ms}ms, promote: {promote}}}");
        text.push_str(&canary);
    }
    text
}

fn print_deploy(text: &mut String, spec: &ServiceSpec, task: &TaskSpec) {
    let update = spec.update.unwrap();
    let held = task.containers[0].reservation.unwrap();
    writeln!(text, "    x-wharf: {{{}}}\n    deploy:", wharf(&update, &held)).unwrap();
    match spec.mode.unwrap() {
        Mode::Replicated(Replicated { replicas }) => {
            writeln!(text, "      replicas: {replicas}").unwrap()
        }
        Mode::Global(_) => writeln!(text, "      mode: global").unwrap(),
        Mode::Once(_) | Mode::Job(_) => panic!("jobs are printed by a test of their own"),
    }
    let order = pick(&["", "", ", order: start-first", ", order: stop-first"], update.order);
    let action = pick(&["", "rollback", "pause", "continue"], update.on_failure);
    let share = f64::from(update.max_failure_permille) / 1000.0;
    writeln!(
        text,
        "      update_config: {{parallelism: {}, monitor: {}ms, delay: {}ms, max_failure_ratio: {share}, failure_action: {action}{order}}}",
        update.parallelism, update.monitor_ms, update.delay_ms
    )
    .unwrap();
    let restart = task.restart.unwrap();
    let condition = pick(&["", "none", "on-failure", "any"], restart.condition);
    let attempts = restart.max_attempts.map_or("null".to_owned(), |attempts| attempts.to_string());
    writeln!(
        text,
        "      restart_policy: {{condition: {condition}, delay: {}ms, max_attempts: {attempts}}}",
        restart.delay_ms
    )
    .unwrap();
    let constraints = task.constraints.iter().map(|constraint| {
        let operator = pick(&["", "==", "!="], constraint.operator);
        format!("{} {operator} {}", constraint.attribute, constraint.value)
    });
    let constraints: Vec<String> = constraints.collect();
    let most = task.max_per_node.unwrap_or(0);
    writeln!(
        text,
        "      placement: {{constraints: {}, max_replicas_per_node: {most}}}",
        list(&constraints)
    )
    .unwrap();
    let container = &task.containers[0];
    let amounts = |amounts: Resources| {
        let (whole, part) = (amounts.cpu_millis / 1000, amounts.cpu_millis % 1000);
        format!("cpus: {whole}.{part:03}, memory: {}", amounts.memory_bytes)
    };
    let pids = container.security.as_ref().unwrap().pids_limit;
    let (limit, held) =
        (amounts(container.limit.unwrap()), amounts(container.reservation.unwrap()));
    let pids = pids.map(|pids| format!(", pids: {pids}")).unwrap_or_default();
    let gpus = match container.reservation.unwrap().gpus {
        0 => String::new(),
        gpus => format!(", devices: [{{capabilities: [gpu], count: {gpus}}}]"),
    };
    writeln!(
        text,
        "      resources: {{limits: {{{limit}{pids}}}, reservations: {{{held}{gpus}}}}}"
    )
    .unwrap();
}

fn print_container(text: &mut String, container: &ContainerSpec) {
    let process = container.process.as_ref().unwrap();
    let security = container.security.as_ref().unwrap();
    let mut line = |key: &str, value: String| writeln!(text, "    {key}: {value}").unwrap();
    line("image", quoted(&container.image.as_ref().unwrap().reference));
    for (key, words) in [("entrypoint", &process.entrypoint), ("command", &process.command)] {
        words.iter().for_each(|words| line(key, list(&words.words)));
    }
    let options = [
        ("user", &process.user),
        ("working_dir", &process.working_dir),
        ("hostname", &process.hostname),
    ];
    for (key, value) in options.into_iter().chain([("stop_signal", &container.stop_signal)]) {
        value.iter().for_each(|value| line(key, quoted(value)));
    }
    line("environment", mapping(&process.environment));
    line("labels", mapping(&container.labels));
    line("extra_hosts", list(&process.extra_hosts));
    line("tty", process.tty.to_string());
    line("read_only", security.read_only.to_string());
    line("cap_add", list(&security.cap_add));
    line("cap_drop", list(&security.cap_drop));
    line("sysctls", mapping(&security.sysctls));
    line("stop_grace_period", format!("{}ms", container.stop_grace_ms));
    security.shm_bytes.iter().for_each(|bytes| line("shm_size", bytes.to_string()));
    let limit = |(name, limit): (&String, &Ulimit)| {
        format!("{name}: {{soft: {}, hard: {}}}", limit.soft, limit.hard)
    };
    line(
        "ulimits",
        format!("{{{}}}", security.ulimits.iter().map(limit).collect::<Vec<_>>().join(", ")),
    );
    container.health.iter().for_each(|health| line("healthcheck", print_health(health)));
}

fn print_health(health: &HealthCheck) -> String {
    let probe = match health.probe.as_ref().unwrap() {
        Probe::Disabled(_) => "disable: true".to_owned(),
        Probe::Command(words) => format!("test: {}", list(&words.words)),
        Probe::Http(http) => {
            format!("x-http: {{port: {}, path: {}}}", http.port, quoted(&http.path))
        }
        Probe::Tcp(tcp) => format!("x-tcp: {{port: {}}}", tcp.port),
    };
    format!(
        "{{{probe}, interval: {}ms, timeout: {}ms, retries: {}, start_period: {}ms}}",
        health.interval_ms, health.timeout_ms, health.retries, health.start_period_ms
    )
}

fn print_storage(text: &mut String, configs: &mut String, container: &ContainerSpec) {
    let mounts = container.mounts.iter().map(|mount| {
        let source = match mount.source.as_ref().unwrap() {
            Source::Volume(name) => format!("type: volume, source: {name}"),
            Source::HostVolume(_) => panic!("these are read by a test of their own"),
            Source::Bind(path) => format!("type: bind, source: {path}"),
            Source::TmpfsBytes(bytes) => format!("type: tmpfs, tmpfs: {{size: {bytes}}}"),
        };
        format!("{{{source}, target: {}, read_only: {}}}", mount.target, mount.read_only)
    });
    writeln!(text, "    volumes: [{}]", mounts.collect::<Vec<_>>().join(", ")).unwrap();
    let files = container.files.iter().enumerate().map(|(number, file)| {
        let name = format!("{}{number}", container.name);
        let content = std::str::from_utf8(&file.content).unwrap();
        writeln!(configs, "  {}: {{content: {}}}", quoted(&name), quoted(content)).unwrap();
        let (target, uid, gid) = (&file.target, file.uid, file.gid);
        format!(
            "{{source: {}, target: {target}, uid: '{uid}', gid: {gid}, mode: '0{:o}'}}",
            quoted(&name),
            file.mode
        )
    });
    let files: Vec<String> = files.collect();
    writeln!(text, "    configs: [{}]", files.join(", ")).unwrap();
    let ports = container.ports.iter().map(|port| {
        let address =
            port.address.as_ref().map(|address| format!(", host_ip: {}", quoted(address)));
        let protocol = pick(&["", "tcp", "udp"], port.protocol);
        format!(
            "{{target: {}, protocol: {protocol}{}}}",
            port.container,
            address.unwrap_or_default()
        )
    });
    writeln!(text, "    ports: [{}]", ports.collect::<Vec<_>>().join(", ")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_project_that_is_printed_reads_back_equal(specs in specs()) {
        let text = print(&specs);
        match try_read(&text) {
            Ok(project) => prop_assert_eq!(&project.services, &specs, "{}", text),
            Err(_) => prop_assert!(false, "{}\n{}", errors(&text), text),
        }
    }
}
