//! What the keys of a service become.

use proto::wire::amount::Kind as Number;
use proto::wire::budget::Kind as Bound;
use proto::wire::health_check::Probe;
use proto::wire::job::Completions;
use proto::wire::mount::Source;
use proto::wire::network::Kind;
use proto::wire::service_spec::Mode;
use proto::wire::update_policy::Trial;
use proto::wire::{
    Amount, Attachment, BlueGreen, Canary, DependencyCondition, FailureAction, Priority, Promotion,
    Protocol, Replicated, Resources, RestartCondition, Strategy, Tolerance, Ulimit, UpdateOrder,
};

use super::{project, service, web};

#[test]
fn a_service_of_nothing_but_an_image_has_all_defaults() {
    let spec = service("services: {web: {image: nginx}}");
    assert_eq!((spec.project.as_str(), spec.name.as_str()), ("shop", "web"));
    assert_eq!(spec.mode, Some(Mode::Replicated(Replicated { replicas: 1 })));
    let update = spec.update.unwrap();
    assert_eq!((update.parallelism, update.monitor_ms, update.max_failure_permille), (1, 5_000, 0));
    assert_eq!((update.order(), update.on_failure()), (UpdateOrder::Auto, FailureAction::Rollback));
    assert_eq!(update.progress_deadline_ms, 600_000);
    let task = spec.task.unwrap();
    let restart = task.restart.unwrap();
    assert_eq!((restart.condition(), restart.max_attempts), (RestartCondition::Any, None));
    assert_eq!(restart.delay_ms, 10_000);
    let Some(Kind::Project(networks)) = task.network.unwrap().kind else { panic!("no network") };
    let usual = Attachment { network: "default".to_owned(), aliases: vec!["web".to_owned()] };
    assert_eq!(networks.attachments, [usual]);
    let container = &task.containers[0];
    assert_eq!(container.stop_grace_ms, 10_000);
    assert_eq!(container.image.as_ref().unwrap().reference, "nginx");
    assert_eq!(
        (container.reservation, container.limit),
        (Some(Resources::default()), Some(Resources::default()))
    );
    assert!(container.health.is_none() && container.image.as_ref().unwrap().pin.is_none());
}

#[test]
fn the_hello_example_is_read() {
    let text = "
services:
  hello:
    image: nginxdemos/hello:plain-text
    ports:
      - \"8080:80\"
    deploy:
      replicas: 3
      update_config: {order: start-first, parallelism: 0}
      resources:
        limits: {cpus: '0.50', memory: 64M}
        reservations: {cpus: '0.1', memory: 32M}
    healthcheck:
      x-http: {port: 80}
      interval: 5s
";
    let spec = service(text);
    assert_eq!(spec.update.unwrap().parallelism, 3);
    let container = spec.task.unwrap().containers.pop().unwrap();
    assert_eq!(
        container.limit.unwrap(),
        Resources { cpu_millis: 500, memory_bytes: 64 << 20, ..Resources::default() }
    );
    assert_eq!(
        container.reservation.unwrap(),
        Resources { cpu_millis: 100, memory_bytes: 32 << 20, ..Resources::default() }
    );
    let health = container.health.unwrap();
    assert_eq!((health.interval_ms, health.timeout_ms, health.retries), (5_000, 30_000, 3));
    let Some(Probe::Http(http)) = health.probe else { panic!("no probe") };
    assert_eq!((http.port, http.path.as_str()), (80, "/"));
}

#[test]
fn a_command_is_split_only_where_it_is_one_string() {
    let process = |lines| web(lines).process.unwrap();
    let words = |lines| process(lines).command.map(|words| words.words);
    assert_eq!(
        words("    command: sh -c 'echo hi'"),
        Some(vec!["sh".into(), "-c".into(), "echo hi".into()])
    );
    assert_eq!(words("    command: [sh -c, 10]"), Some(vec!["sh -c".into(), "10".into()]));
    assert_eq!(words("    command: ''"), Some(vec![]));
    assert_eq!(words("    command: []"), Some(vec![]));
    assert_eq!(words("    command:"), None);
    assert_eq!(process("    entrypoint: /run it").entrypoint.unwrap().words, ["/run", "it"]);
}

#[test]
fn the_process_is_read_whole() {
    let process = web(
        "    user: 1000:1000\n    working_dir: /srv\n    hostname: box\n    tty: true\n    environment: {A: 1, B: \"yes\", C: true, D: \"\"}\n    extra_hosts: [\"a:10.0.0.1\", \"b=::1\", \"c:[::2]\", \"host.docker.internal:host-gateway\"]",
    )
    .process
    .unwrap();
    assert_eq!(process.user.as_deref(), Some("1000:1000"));
    assert_eq!(process.working_dir.as_deref(), Some("/srv"));
    assert_eq!((process.hostname.as_deref(), process.tty), (Some("box"), true));
    let environment: Vec<(&str, &str)> =
        process.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(environment, [("A", "1"), ("B", "yes"), ("C", "true"), ("D", "")]);
    assert_eq!(
        process.extra_hosts,
        ["a:10.0.0.1", "b:::1", "c:::2", "host.docker.internal:host-gateway"]
    );
}

#[test]
fn an_empty_text_is_the_same_as_no_key() {
    let container = web(
        "    user: ''\n    hostname: ${NONE:-}\n    stop_signal: \"\"\n    shm_size: ${NONE:-}",
    );
    assert_eq!(container, web(""));
}

#[test]
fn ports_are_read_in_both_forms() {
    let ports = |lines: &str| -> Vec<(u32, Option<u32>, i32, Option<String>)> {
        let ports = web(lines).ports.into_iter();
        ports.map(|port| (port.container, port.host, port.protocol, port.address)).collect()
    };
    let (tcp, udp) = (Protocol::Tcp as i32, Protocol::Udp as i32);
    assert_eq!(ports("    ports: [80]"), [(80, None, tcp, None)]);
    assert_eq!(ports("    ports: ['0:80']"), [(80, None, tcp, None)]);
    assert_eq!(ports("    ports: [\"53:53/udp\"]"), [(53, Some(53), udp, None)]);
    assert_eq!(
        ports("    ports: ['127.0.0.1::80']"),
        [(80, None, tcp, Some("127.0.0.1".to_owned()))]
    );
    assert_eq!(ports("    ports: ['[::1]:1:2']"), [(2, Some(1), tcp, Some("::1".to_owned()))]);
    assert_eq!(
        ports("    ports: [8000-8001:80-81]"),
        [(80, Some(8000), tcp, None), (81, Some(8001), tcp, None)]
    );
    let long = "    ports: [{target: 80, published: '8080', protocol: udp, host_ip: 10.0.0.1, mode: host, name: x, app_protocol: http}, {target: 81, published: 0}]";
    assert_eq!(
        ports(long),
        [(80, Some(8080), udp, Some("10.0.0.1".to_owned())), (81, None, tcp, None)]
    );
}

#[test]
fn mounts_are_read_in_both_forms() {
    let mounts = |lines: &str| -> Vec<(Source, String, bool)> {
        let mounts = web(lines).mounts.into_iter();
        mounts.map(|mount| (mount.source.unwrap(), mount.target, mount.read_only)).collect()
    };
    let volume = || Source::Volume("data".to_owned());
    let bind = |path: &str| Source::Bind(path.to_owned());
    assert_eq!(mounts("    volumes: ['data:/d']"), [(volume(), "/d".into(), false)]);
    assert_eq!(mounts("    volumes: ['data:/d:ro']"), [(volume(), "/d".into(), true)]);
    assert_eq!(mounts("    volumes: [/a/b:/d]"), [(bind("/a/b"), "/d".into(), false)]);
    assert_eq!(mounts("    volumes: [./a/../b:/d]"), [(bind("/srv/shop/b"), "/d".into(), false)]);
    assert_eq!(mounts("    volumes: [../b:/d]"), [(bind("/srv/b"), "/d".into(), false)]);
    assert_eq!(
        mounts("    volumes: [{type: volume, source: data, target: /d, read_only: true}]"),
        [(volume(), "/d".into(), true)]
    );
    assert_eq!(
        mounts("    volumes: [{type: bind, source: ., target: /d}]"),
        [(bind("/srv/shop"), "/d".into(), false)]
    );
    assert_eq!(
        mounts("    volumes: [{type: tmpfs, target: /d, tmpfs: {size: 1m}}]"),
        [(Source::TmpfsBytes(1 << 20), "/d".into(), false)]
    );
    assert_eq!(mounts("    tmpfs: /run"), [(Source::TmpfsBytes(0), "/run".into(), false)]);
    assert_eq!(
        mounts("    tmpfs: ['/run:size=64k']"),
        [(Source::TmpfsBytes(65_536), "/run".into(), false)]
    );
}

#[test]
fn a_health_check_tries_one_thing() {
    let probe = |lines: &str| web(lines).health.unwrap().probe.unwrap();
    let words = |lines: &str| match probe(lines) {
        Probe::Command(words) => words.words,
        other => panic!("{other:?}"),
    };
    assert_eq!(words("    healthcheck: {test: curl localhost}"), ["CMD-SHELL", "curl localhost"]);
    assert_eq!(
        words("    healthcheck: {test: [CMD, true-ish, 'a b']}"),
        ["CMD", "true-ish", "a b"]
    );
    assert!(matches!(probe("    healthcheck: {test: [NONE]}"), Probe::Disabled(_)));
    assert!(matches!(probe("    healthcheck: {disable: true}"), Probe::Disabled(_)));
    assert!(
        matches!(probe("    healthcheck: {x-tcp: {port: 5432}}"), Probe::Tcp(tcp) if tcp.port == 5432)
    );
}

#[test]
fn security_is_read_whole() {
    let security = web(
        "    read_only: true\n    cap_add: [NET_ADMIN, NET_ADMIN]\n    cap_drop: [ALL]\n    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 5, core: -1}\n    sysctls: {net.core.somaxconn: 1024}\n    shm_size: 64m\n    pids_limit: 100",
    )
    .security
    .unwrap();
    assert!(security.read_only);
    assert_eq!(
        (security.cap_add, security.cap_drop),
        (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
    );
    assert_eq!(security.ulimits["nofile"], Ulimit { soft: 1, hard: 2 });
    assert_eq!(security.ulimits["nproc"], Ulimit { soft: 5, hard: 5 });
    assert_eq!(security.ulimits["core"], Ulimit { soft: -1, hard: -1 });
    assert_eq!(security.sysctls["net.core.somaxconn"], "1024");
    assert_eq!((security.shm_bytes, security.pids_limit), (Some(64 << 20), Some(100)));
    assert_eq!(web("    pids_limit: -1").security.unwrap().pids_limit, Some(4_194_304));
    assert_eq!(web("    read_only: true").security.unwrap().pids_limit, None);
}

#[test]
fn the_older_resource_keys_mean_the_same() {
    let older = web("    cpus: 1.5\n    mem_limit: 1g\n    mem_reservation: 512m");
    let newer = web(
        "    deploy: {resources: {limits: {cpus: '1.5', memory: 1g}, reservations: {memory: 512m}}}",
    );
    assert_eq!(older, newer);
    assert_eq!(
        older.limit.unwrap(),
        Resources { cpu_millis: 1_500, memory_bytes: 1 << 30, ..Resources::default() }
    );
}

#[test]
fn a_budget_is_a_number_or_a_part() {
    let read = |wharf: &str| {
        let text = format!(
            "services:\n  web:\n    image: a\n    x-wharf: {wharf}\n    deploy: {{replicas: 4}}\n"
        );
        service(&text).budget.and_then(|budget| budget.kind)
    };
    let of = |kind| Amount { kind: Some(kind) };
    assert_eq!(read("{}"), None);
    assert_eq!(read("{min_available: 3}"), Some(Bound::MinAvailable(of(Number::Count(3)))));
    assert_eq!(
        read("{max_unavailable: 25%}"),
        Some(Bound::MaxUnavailable(of(Number::Percent(25))))
    );
    assert_eq!(read("{max_unavailable: \"1\"}"), Some(Bound::MaxUnavailable(of(Number::Count(1)))));
}

#[test]
fn both_generations_may_be_up_as_a_whole() {
    let read = |both: &str| {
        let wharf = format!("{{target_groups: [{{group: web, port: 80}}], blue_green: {both}}}");
        let text = format!("    image: a\n    ports: ['80']\n    x-wharf: {wharf}\n");
        service(&format!("services:\n  web:\n{text}")).update.unwrap().trial
    };
    let of = |hold_ms, promotion: Promotion, keep_ms| {
        Some(Trial::BlueGreen(BlueGreen { hold_ms, promotion: promotion.into(), keep_ms }))
    };
    assert_eq!(read("{}"), of(0, Promotion::Automatic, 600_000));
    let said = read("{hold: 1m, promote: manual, keep: 2h}");
    assert_eq!(said, of(60_000, Promotion::Manual, 7_200_000));
}

#[test]
fn the_deployment_is_read_whole() {
    let spec = service(
        "
services:
  web:
    image: a
    platform: linux/arm64
    x-wharf:
      progress_deadline: 2m
      canary: {replicas: 25%, promote: manual}
      tolerated_failures: {at_least: 1}
    deploy:
      replicas: 4
      update_config: {parallelism: 2, delay: 30s, failure_action: pause, monitor: 1m, max_failure_ratio: 0.25, order: stop-first}
      restart_policy: {condition: on-failure, delay: 1s, max_attempts: 3}
      placement:
        constraints: [node.labels.disk == ssd, node.zone != eu-1a]
        max_replicas_per_node: 2
        preferences: [{spread: node.labels.zone}]
",
    );
    let update = spec.update.unwrap();
    assert_eq!(
        (update.parallelism, update.monitor_ms, update.max_failure_permille),
        (2, 60_000, 250)
    );
    assert_eq!(
        (update.order(), update.on_failure()),
        (UpdateOrder::StopFirst, FailureAction::Pause)
    );
    assert_eq!((update.progress_deadline_ms, update.delay_ms), (120_000, 30_000));
    assert_eq!(update.tolerance, Some(Tolerance { at_least: 1, at_most: None }));
    let slots = Some(Amount { kind: Some(Number::Percent(25)) });
    let promotion = Promotion::Manual.into();
    let canary = Canary { slots, hold_ms: 300_000, promotion };
    assert_eq!(update.trial, Some(Trial::Canary(canary)));
    let task = spec.task.unwrap();
    let restart = task.restart.unwrap();
    assert_eq!(
        (restart.condition(), restart.max_attempts, restart.delay_ms),
        (RestartCondition::OnFailure, Some(3), 1_000)
    );
    let constraints: Vec<(&str, i32, &str)> = task
        .constraints
        .iter()
        .map(|constraint| {
            (constraint.attribute.as_str(), constraint.operator, constraint.value.as_str())
        })
        .collect();
    assert_eq!(
        constraints,
        [
            ("node.labels.disk", 1, "ssd"),
            ("node.zone", 2, "eu-1a"),
            ("node.platform.arch", 1, "arm64")
        ]
    );
    assert_eq!(task.max_per_node, Some(2));
}

#[test]
fn the_older_restart_key_counts_without_a_policy() {
    let restart = |lines: &str| {
        let text = format!("services:\n  web:\n    image: a\n{lines}");
        let restart = service(&text).task.unwrap().restart.unwrap();
        (restart.condition(), restart.max_attempts)
    };
    assert_eq!(restart("    restart: no"), (RestartCondition::Never, None));
    assert_eq!(restart("    restart: unless-stopped"), (RestartCondition::Any, None));
    assert_eq!(restart("    restart: on-failure:3"), (RestartCondition::OnFailure, Some(3)));
    let both = "    restart: always\n    deploy: {restart_policy: {condition: none}}";
    assert_eq!(restart(both), (RestartCondition::Never, None));
}

#[test]
fn modes_are_read() {
    let mode = |deploy: &str| {
        service(&format!("services: {{web: {{image: a, deploy: {deploy}}}}}")).mode.unwrap()
    };
    assert_eq!(mode("{replicas: 0}"), Mode::Replicated(Replicated { replicas: 0 }));
    assert!(matches!(mode("{mode: global}"), Mode::Global(_)));
    let scaled = service("services: {web: {image: a, scale: 7}}");
    assert_eq!(scaled.mode, Some(Mode::Replicated(Replicated { replicas: 7 })));
}

#[test]
fn configs_become_files() {
    let text = "
services:
  web:
    image: a
    configs:
      - plain
      - {source: other, target: /etc/other, uid: '5', gid: 6, mode: 0440}
      - {source: plain, target: elsewhere}
configs:
  plain: {content: \"hello ${COMPOSE_PROJECT_NAME}\"}
  other: {content: x}
";
    let files = service(text).task.unwrap().containers.pop().unwrap().files;
    let seen: Vec<(&str, &[u8], u32, u32, u32)> = files
        .iter()
        .map(|file| (file.target.as_str(), file.content.as_slice(), file.mode, file.uid, file.gid))
        .collect();
    assert_eq!(
        seen,
        [
            ("/plain", b"hello shop".as_slice(), 0o444, 0, 0),
            ("/etc/other", b"x", 0o440, 5, 6),
            ("/elsewhere", b"hello shop", 0o444, 0, 0),
        ]
    );
}

#[test]
fn networks_and_their_aliases_are_read() {
    let text = "
services:
  web: {image: a, networks: {back: {aliases: [www, web]}, default: }}
  raw: {image: a, network_mode: host, ports: [80]}
  off: {image: a, network_mode: none}
networks: {back: }
";
    let kinds: Vec<Kind> = project(text)
        .services
        .into_iter()
        .map(|spec| spec.task.unwrap().network.unwrap().kind.unwrap())
        .collect();
    let Kind::Project(networks) = &kinds[0] else { panic!("{:?}", kinds[0]) };
    let names: Vec<&str> = networks.attachments.iter().map(|to| to.network.as_str()).collect();
    assert_eq!(names, ["back", "default"]);
    assert_eq!(networks.attachments[0].aliases, ["web", "www"]);
    assert!(matches!((&kinds[1], &kinds[2]), (Kind::Host(_), Kind::None(_))));
}

#[test]
fn a_service_that_others_wait_to_complete_runs_once() {
    let text = "
services:
  web: {image: a, depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy, restart: false}}}
  migrate: {image: a, depends_on: [db]}
  db: {image: a}
";
    let services = project(text).services;
    let Some(Mode::Job(job)) = services[1].mode else { panic!("{:?}", services[1].mode) };
    assert_eq!((job.completions, job.retries), (Some(Completions::Count(1)), 0));
    assert_eq!(
        services[1].task.as_ref().unwrap().restart.unwrap().condition(),
        RestartCondition::Never
    );
    let after: Vec<(&str, DependencyCondition)> =
        services[0].after.iter().map(|wait| (wait.on.as_str(), wait.condition())).collect();
    assert_eq!(
        after,
        [("migrate", DependencyCondition::Completed), ("db", DependencyCondition::Healthy)]
    );
}

#[test]
fn builds_are_collected() {
    let text = "
services:
  web: {build: ./web}
  api:
    image: registry:5000/api:1
    build: {context: api, dockerfile: Containerfile, args: [A=1, B], target: run}
";
    let project = project(text);
    let [web, api] = project.builds.as_slice() else { panic!("{:?}", project.builds) };
    assert_eq!((web.image.as_str(), web.context.to_str()), ("shop-web", Some("/srv/shop/web")));
    assert_eq!(
        (web.dockerfile.as_str(), web.at.to_string()),
        ("Dockerfile", "compose.yaml:3:9".to_owned())
    );
    assert_eq!(
        (api.image.as_str(), api.dockerfile.as_str()),
        ("registry:5000/api:1", "Containerfile")
    );
    assert_eq!(api.args.iter().collect::<Vec<_>>(), [(&"A".to_owned(), &"1".to_owned())]);
    assert_eq!(api.target.as_deref(), Some("run"));
    let image = &project.services[0].task.as_ref().unwrap().containers[0].image;
    assert_eq!(image.as_ref().unwrap().reference, "shop-web");
}

#[test]
fn labels_and_signals_are_read() {
    let container =
        web("    labels: [a=1, b]\n    stop_signal: SIGUSR1\n    stop_grace_period: 1m30s");
    let labels: Vec<(&str, &str)> =
        container.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("a", "1"), ("b", "")]);
    assert_eq!(
        (container.stop_signal.as_deref(), container.stop_grace_ms),
        (Some("SIGUSR1"), 90_000)
    );
}

#[test]
fn extensions_are_left_alone() {
    let text = "
x-top: {anything: [1]}
services:
  web: {image: a, x-mine: 1, deploy: {x-mine: {y: z}}, labels: {x-kept: '1'}}
";
    let labels = service(text).task.unwrap().containers.pop().unwrap().labels;
    assert_eq!(labels["x-kept"], "1");
}

#[test]
fn gpus_are_so_many_whole_ones() {
    let with = |devices: &str| {
        let lines = format!("    deploy: {{resources: {{reservations: {{devices: {devices}}}}}}}");
        web(&lines).reservation.unwrap().gpus
    };
    assert_eq!(with("[{capabilities: [gpu], count: 2}]"), 2);
    assert_eq!(with("[{driver: nvidia, capabilities: [gpu, utility], count: '1'}]"), 1);
    let two = "[{capabilities: [gpu], count: 1}, {capabilities: [gpu], count: 3}]";
    assert_eq!((with(two), with("[]")), (4, 0));
}

#[test]
fn a_strategy_is_of_the_service_and_not_of_its_tasks() {
    let with = |wharf: &str| service(&format!("services: {{web: {{image: a, x-wharf: {wharf}}}}}"));
    let (usual, packed) = (with("{}"), with("{strategy: binpack}"));
    assert_eq!(usual.strategy, None);
    assert_eq!(packed.strategy, Some(Strategy::Binpack.into()));
    assert_eq!(with("{strategy: spread}").strategy, Some(Strategy::Spread.into()));
    assert_eq!(usual.task, packed.task);
}

#[test]
fn what_a_service_is_beside_others_is_no_part_of_its_tasks() {
    let with = |wharf: &str| service(&format!("services: {{web: {{image: a, x-wharf: {wharf}}}}}"));
    let usual = with("{}");
    assert_eq!((usual.priority, usual.is_left_in_place), (None, false));
    for (word, priority) in [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
        ("critical", Priority::Critical),
    ] {
        let read = with(&format!("{{priority: {word}, rebalance: false}}"));
        assert_eq!((read.priority, read.is_left_in_place), (Some(priority.into()), true));
        assert_eq!(usual.task, read.task);
    }
    assert!(!with("{rebalance: true}").is_left_in_place);
}

#[test]
fn packing_what_reserves_nothing_is_doubted() {
    let with = |deploy: &str| {
        let text = format!(
            "services: {{web: {{image: a, x-wharf: {{strategy: binpack}}, deploy: {deploy}}}}}"
        );
        super::warnings(&text)
    };
    assert!(with("{}").contains("all tasks of a zone are packed on one node"), "{}", with("{}"));
    assert_eq!(with("{placement: {max_replicas_per_node: 3}}"), "");
    assert_eq!(with("{resources: {reservations: {memory: 64m}}}"), "");
}
