//! What can be asked for in a message and what the rest of the system, or the engine, could not bear.

use proto::convert::{node_from_wire, service_from_wire, spec_from_wire, task_from_wire};
use proto::wire;

use crate::sample;

type Container = wire::ContainerSpec;

/// What spoils a spec, and the beginning of what is said about it.
type Spoil = (fn(&mut wire::ServiceSpec), &'static str);

/// Spoils the first container of a spec.
type SpoilContainer = (fn(&mut Container), &'static str);

fn task(spec: &mut wire::ServiceSpec) -> &mut wire::TaskSpec {
    spec.task.as_mut().unwrap()
}

fn refusal(spec: &wire::ServiceSpec) -> String {
    match spec_from_wire(spec) {
        Ok(_) => "taken".to_owned(),
        Err(invalid) => invalid.to_string(),
    }
}

fn refuses_specs(spoils: &[Spoil]) {
    for (spoil, why) in spoils {
        let mut spec = sample::spec();
        spoil(&mut spec);
        let said = refusal(&spec);
        assert!(said.starts_with(&format!("shop/web.{why}")), "expected {why:?}, got {said:?}");
    }
}

fn refuses_containers(spoils: &[SpoilContainer]) {
    for (spoil, why) in spoils {
        let mut spec = sample::spec();
        spoil(&mut task(&mut spec).containers[0]);
        let (said, why) = (refusal(&spec), format!("shop/web.task.containers.web.{why}"));
        assert!(said.starts_with(&why), "expected {why:?}, got {said:?}");
    }
}

fn mount(target: &str) -> wire::Mount {
    let source = wire::mount::Source::Volume("data".to_owned());
    wire::Mount { source: Some(source), target: target.to_owned(), read_only: false }
}

fn file(target: &str) -> wire::FileSpec {
    wire::FileSpec { target: target.to_owned(), ..Default::default() }
}

#[test]
fn the_sample_is_sound() {
    assert_eq!(refusal(&sample::spec()), "taken");
    service_from_wire(&sample::service()).unwrap();
    task_from_wire(&sample::task(1)).unwrap();
    node_from_wire(&sample::node()).unwrap();
}

#[test]
fn a_task_that_can_not_be_made_is_refused_by_name() {
    refuses_specs(&[
        (|spec| task(spec).containers.clear(), "task.containers: "),
        (|spec| task(spec).containers = vec![Container::default(); 33], "task.containers: "),
        (|spec| task(spec).containers[1].name = "web".to_owned(), "task.containers: two"),
        (|spec| task(spec).containers[1].name = "a.b".to_owned(), "task.containers[2].name: "),
        (|spec| waits(spec, 1, "side"), "task.containers.after: containers wait for each other"),
        (|spec| waits(spec, 1, "nobody"), "task.containers.after: nobody is no container"),
        (|spec| waits(spec, 0, "side"), "task.containers.after: the first container owns"),
        (|spec| publish(spec, 0, Some(1)), "task.containers.web.ports.container: 0 is not"),
        (|spec| publish(spec, 65_536, None), "task.containers.web.ports.container: 65536 is not"),
        (|spec| publish(spec, 80, Some(0)), "task.containers.web.ports.host: 0 is not"),
        (
            |spec| {
                publish(spec, 80, Some(8080));
                let ports = task(spec).containers[0].ports.clone();
                task(spec).containers[1].ports = ports;
            },
            "task.containers: port 8080 of the host is asked for twice",
        ),
    ]);
}

fn waits(spec: &mut wire::ServiceSpec, index: usize, on: &str) {
    let condition = wire::DependencyCondition::Healthy.into();
    task(spec).containers[index].after = vec![wire::Dependency { on: on.to_owned(), condition }];
}

fn publish(spec: &mut wire::ServiceSpec, container: u32, host: Option<u32>) {
    let protocol = wire::Protocol::Tcp.into();
    let port = wire::PortSpec { container, host, protocol, ..Default::default() };
    task(spec).containers[0].ports = vec![port];
}

/// Once it has completed nobody can share its network: those that wait for it would wait for ever.
#[test]
fn nobody_waits_for_the_owner_of_the_network_to_complete() {
    refuses_specs(&[(
        |spec| {
            task(spec).containers[1].after[0].set_condition(wire::DependencyCondition::Completed)
        },
        "task.containers.after: web owns the network of the others and can not complete before",
    )]);
}

#[test]
fn a_policy_that_can_never_be_met_is_refused() {
    refuses_specs(&[
        (|spec| task(spec).max_per_node = Some(0), "task.max_per_node: "),
        (
            |spec| spec.update.as_mut().unwrap().progress_deadline_ms = 0,
            "update.progress_deadline: ",
        ),
        (
            |spec| spec.update.as_mut().unwrap().progress_deadline_ms = u64::MAX,
            "update.progress_deadline: ",
        ),
    ]);
}

/// The count goes on from what a request says, and has to be read again from the store then.
#[test]
fn a_count_that_a_request_makes_up_leaves_room_to_count_on() {
    refuses_specs(&[(|spec| task(spec).restarts_asked = u64::MAX, "task.restarts_asked: ")]);
    let mut highest = sample::spec();
    task(&mut highest).restarts_asked = (0..64)
        .map(|bit| 1 << bit)
        .rfind(|count| {
            let mut spec = sample::spec();
            task(&mut spec).restarts_asked = *count;
            spec_from_wire(&spec).is_ok()
        })
        .unwrap();
    let mut service = sample::service();
    for _ in 0..3 {
        task(&mut highest).restarts_asked += 1;
        service.target.as_mut().unwrap().spec = Some(highest.clone());
        service_from_wire(&service).unwrap();
    }
}

/// The engine refuses a second connection to a network, and the aliases of it would be lost.
#[test]
fn a_network_is_named_once() {
    refuses_specs(&[(
        |spec| {
            let Some(wire::network::Kind::Project(project)) =
                task(spec).network.as_mut().unwrap().kind.as_mut()
            else {
                panic!("the sample is on a network of the project")
            };
            let again = project.attachments[0].clone();
            project.attachments.push(again);
        },
        "task.network: back is named twice",
    )]);
}

#[test]
fn the_engine_is_asked_for_no_mount_or_file_that_it_can_not_make() {
    refuses_containers(&[
        (|one| one.mounts = vec![mount("/")], "mounts.target: "),
        (|one| one.mounts = vec![mount("//./")], "mounts.target: "),
        (
            |one| one.mounts = vec![mount("/a/b"), mount("/a/./b/")],
            "mounts.target: \"/a/./b/\" is there twice",
        ),
        (|one| one.files = vec![file("/")], "files.target: "),
        (|one| one.files = vec![file("/etc/app/")], "files.target: "),
        (|one| one.files = vec![file("/etc/.")], "files.target: "),
        (
            |one| one.files = vec![file("/etc/app"), file("//etc/app")],
            "files.target: \"//etc/app\" is there twice",
        ),
    ]);
}

#[test]
fn limits_of_the_kernel_are_in_order() {
    let spoil = |one: &mut Container, soft, hard| {
        let limits = &mut one.security.get_or_insert_default().ulimits;
        limits.insert("nofile".to_owned(), wire::Ulimit { soft, hard });
    };
    let refused = [(1, 0), (-1, 5), (-2, 5), (0, -2), (i64::MIN, i64::MIN)];
    let taken = [(0, 0), (1, 2), (-1, -1), (5, -1), (i64::MAX, i64::MAX)];
    for ((soft, hard), is_fine) in
        refused.into_iter().map(|one| (one, false)).chain(taken.map(|one| (one, true)))
    {
        let mut spec = sample::spec();
        spoil(&mut task(&mut spec).containers[0], soft, hard);
        assert_eq!(refusal(&spec) == "taken", is_fine, "{soft} {hard}: {}", refusal(&spec));
    }
}

/// Linux counts a variable with its name, and the zero at its end.
#[test]
fn no_argument_and_no_variable_is_longer_than_the_kernel_takes() {
    const MAX_ARG_STRLEN: usize = 128 << 10;
    let with = |length: usize| {
        let mut spec = sample::spec();
        let process = task(&mut spec).containers[0].process.get_or_insert_default();
        process.environment.insert("KEY".to_owned(), "v".repeat(length - "KEY=".len()));
        process.command = Some(wire::Words { words: vec!["w".repeat(length)] });
        refusal(&spec)
    };
    assert_eq!(with(MAX_ARG_STRLEN - 1), "taken");
    let mut spec = sample::spec();
    let process = task(&mut spec).containers[0].process.get_or_insert_default();
    process.environment.insert("KEY".to_owned(), "v".repeat(MAX_ARG_STRLEN - "KEY=".len()));
    assert!(refusal(&spec).contains("environment: "), "{}", refusal(&spec));
    assert!(with(MAX_ARG_STRLEN).contains("command: "), "{}", with(MAX_ARG_STRLEN));
}

#[test]
fn a_budget_is_a_number_of_tasks_or_a_part_of_them() {
    use wire::amount::Kind;
    let with = |kind: Option<Kind>| {
        let mut spec = sample::spec();
        let amount = wire::budget::Kind::MinAvailable(wire::Amount { kind });
        spec.budget = Some(wire::Budget { kind: Some(amount) });
        refusal(&spec)
    };
    assert_eq!(with(Some(Kind::Percent(100))), "taken");
    assert_eq!(with(Some(Kind::Count(100_000))), "taken");
    assert!(with(Some(Kind::Percent(101))).contains("budget.percent: "));
    assert!(with(Some(Kind::Count(100_001))).contains("budget.count: "));
    assert!(with(None).contains("budget: "));
    let mut spec = sample::spec();
    spec.budget = Some(wire::Budget { kind: None });
    assert!(refusal(&spec).contains("budget: "));
}

#[test]
fn an_amount_is_refused_where_it_is_and_not_where_others_are() {
    use wire::amount::Kind;
    let with = |kind: Option<Kind>| {
        let mut spec = sample::spec();
        let slots = Some(wire::Amount { kind });
        let promotion = wire::Promotion::Manual.into();
        let update = spec.update.get_or_insert_default();
        let canary = wire::Canary { slots, hold_ms: 0, promotion };
        update.trial = Some(wire::update_policy::Trial::Canary(canary));
        refusal(&spec)
    };
    assert_eq!(with(Some(Kind::Percent(100))), "taken");
    assert!(with(None).starts_with("shop/web.update.canary.slots: "), "{}", with(None));
    assert!(with(Some(Kind::Percent(101))).starts_with("shop/web.update.canary.slots.percent: "));
    assert!(with(Some(Kind::Count(100_001))).starts_with("shop/web.update.canary.slots.count: "));
}

#[test]
fn a_strategy_is_one_that_is_known() {
    let with = |strategy: Option<i32>| refusal(&wire::ServiceSpec { strategy, ..sample::spec() });
    for known in [None, Some(1), Some(2)] {
        assert_eq!(with(known), "taken");
    }
    for unknown in [0, 3, -1] {
        assert!(with(Some(unknown)).starts_with("shop/web.strategy: "), "{}", with(Some(unknown)));
    }
}

#[test]
fn nobody_has_more_gpus_than_there_are_and_nobody_is_limited_to_some() {
    let some = |gpus| Some(wire::Resources { gpus, ..Default::default() });
    let with = |reservation, limit| {
        let mut spec = sample::spec();
        let container = &mut task(&mut spec).containers[0];
        (container.reservation, container.limit) = (reservation, limit);
        refusal(&spec)
    };
    assert_eq!(with(some(160), None), "taken");
    assert!(with(some(161), None).contains("containers.web.reservation.gpus: "));
    assert!(with(None, some(1)).contains("containers.web.limit.gpus: "));
    let node = wire::Node { capacity: some(161), ..sample::node() };
    assert_eq!(node_from_wire(&node).unwrap_err().path, "capacity.gpus");
}

#[test]
fn only_a_node_that_is_closed_is_drained() {
    let cause = wire::DrainCause::Operator.into();
    let phase = wire::DrainPhase::Moving.into();
    let drain = wire::Drain { cause, phase, ..Default::default() };
    let open = wire::Node { drain: Some(drain), ..sample::node() };
    assert!(node_from_wire(&open).unwrap_err().path.contains("availability"));
    let availability = wire::Availability::Cordoned.into();
    assert!(node_from_wire(&wire::Node { availability, ..open.clone() }).is_ok());
    let unknown = wire::Drain { cause, ..Default::default() };
    let unknown = wire::Node { availability, drain: Some(unknown), ..open };
    assert!(node_from_wire(&unknown).unwrap_err().path.contains("phase"));
}

#[test]
fn a_map_has_as_few_entries_as_a_list() {
    refuses_containers(&[
        (|one| one.labels = many("x"), "labels: "),
        (|one| one.process.get_or_insert_default().environment = many("x"), "environment: "),
        (|one| one.security.get_or_insert_default().sysctls = many("x"), "sysctls: "),
        (
            |one| one.security.get_or_insert_default().ulimits = many(wire::Ulimit::default()),
            "ulimits: ",
        ),
    ]);
    let node = wire::Node { labels: many("x"), ..sample::node() };
    assert!(node_from_wire(&node).unwrap_err().path.contains("labels"));
}

fn many<T, V: From<T>>(value: T) -> std::collections::BTreeMap<String, V>
where
    T: Clone,
{
    (0..2_000).map(|number| (format!("k{number}"), value.clone().into())).collect()
}

/// A container whose check can not be asked would be replaced for ever.
#[test]
fn a_path_that_http_can_not_ask_for_is_refused() {
    let probe = |path: &str| wire::HealthCheck {
        probe: Some(wire::health_check::Probe::Http(wire::HttpProbe {
            port: 80,
            path: path.to_owned(),
        })),
        interval_ms: 1,
        timeout_ms: 1,
        ..Default::default()
    };
    for (path, is_fine) in [
        ("/", true),
        ("/a/b?c=d", true),
        ("//x", true),
        ("/<x>", false),
        ("/a b", false),
        ("x", false),
    ] {
        let mut spec = sample::spec();
        task(&mut spec).containers[0].health = Some(probe(path));
        assert_eq!(refusal(&spec) == "taken", is_fine, "{path}: {}", refusal(&spec));
    }
}

/// Names that people read and compare: `\u{202e}` turns what follows it around.
#[test]
fn nothing_that_is_read_on_one_line_hides_what_it_is() {
    for hidden in ["a\nb", "a\u{1b}[2J", "a\u{85}", "a\u{2028}b", "a\u{202e}b", "a\u{2066}b"] {
        let nodes = [
            wire::Node { hostname: hidden.to_owned(), ..sample::node() },
            wire::Node { engine: hidden.to_owned(), ..sample::node() },
            wire::Node { zone: hidden.to_owned(), ..sample::node() },
            wire::Node { arch: hidden.to_owned(), ..sample::node() },
            wire::Node { pool: Some(hidden.to_owned()), ..sample::node() },
            wire::Node { kernel_version: Some(hidden.to_owned()), ..sample::node() },
            wire::Node { labels: [(hidden.to_owned(), String::new())].into(), ..sample::node() },
            wire::Node { labels: [("k".to_owned(), hidden.to_owned())].into(), ..sample::node() },
        ];
        for node in nodes {
            assert!(node_from_wire(&node).is_err(), "{node:?}");
        }
        let mut spec = sample::spec();
        task(&mut spec).containers[0].process.get_or_insert_default().user =
            Some(hidden.to_owned());
        assert!(refusal(&spec).contains("user: "), "{}", refusal(&spec));
    }
}

/// An error travels in a header of HTTP/2: one that repeats what was sent never arrives.
#[test]
fn an_error_repeats_little_of_what_is_wrong_and_nothing_that_hides() {
    type SpoilWith = fn(&mut wire::TaskSpec, String);
    let (hidden, long) = ("\u{202e}\n".repeat(1 << 20), "a".repeat(100_000));
    let spoils: [(SpoilWith, &String); 10] = [
        (|task, bad| task.containers[1].name = bad, &hidden),
        (|task, bad| task.constraints = vec![constraint(bad)], &hidden),
        (|task, bad| task.constraints = vec![expression(bad)], &hidden),
        (|task, bad| task.constraints = vec![expression(bad)], &long),
        (|task, bad| task.containers[0].ports = vec![port(bad)], &hidden),
        (|task, bad| task.containers[1].after[0].on = bad, &hidden),
        (
            |task, bad| task.containers[0].process.get_or_insert_default().working_dir = Some(bad),
            &long,
        ),
        (|task, bad| task.containers[0].mounts = vec![mount(&bad)], &long),
        (
            |task, bad| {
                let process = task.containers[0].process.get_or_insert_default();
                process.environment = [(format!("={bad}"), String::new())].into();
            },
            &long,
        ),
        (
            |task, bad| {
                task.containers[0].labels = [(format!("wharf.{bad}"), String::new())].into();
            },
            &long,
        ),
    ];
    for (spoil, bad) in spoils {
        let mut spec = sample::spec();
        spoil(task(&mut spec), bad.clone());
        let said = refusal(&spec);
        assert!(said.len() < 600 && said != "taken", "{} bytes: {said:.80}", said.len());
        assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
    }
}

fn constraint(attribute: String) -> wire::Constraint {
    let operator = wire::ConstraintOperator::Equal.into();
    wire::Constraint { attribute, operator, value: "x".to_owned(), ..Default::default() }
}

fn expression(text: String) -> wire::Constraint {
    wire::Constraint { text, ..Default::default() }
}

fn port(address: String) -> wire::PortSpec {
    let protocol = wire::Protocol::Tcp.into();
    wire::PortSpec { container: 1, protocol, address: Some(address), ..Default::default() }
}

/// What is stored has to be read again at the next start.
#[test]
fn the_name_of_a_pool_that_could_not_be_read_again_is_refused() {
    for wrong in ["", &"g".repeat(256), "web\u{202e}", "web\n"] {
        assert!(proto::convert::pool_name_from_wire(wrong).is_err(), "{wrong:?}");
    }
    for right in ["web", &"g".repeat(255), "a group of spaces"] {
        let name = proto::convert::pool_name_from_wire(right).unwrap();
        let pool =
            wire::Pool { name, policy: Some(wire::PoolPolicy::default()), ..wire::Pool::default() };
        assert!(proto::convert::pool_from_wire(&pool).is_ok(), "{right}");
    }
}

#[test]
fn a_secret_leads_to_no_place_but_its_own() {
    let with_variable = |variable: &str| {
        let mut spec = sample::spec();
        let container = &mut spec.task.as_mut().unwrap().containers[0];
        container.secret_variables.insert(variable.to_owned(), "key".to_owned());
        refusal(&spec)
    };
    assert_eq!(with_variable("DB_PASSWORD_2"), "taken");
    for variable in
        ["../../../../run/systemd/system/x.service", "/etc/passwd", "a/b", "..", "A=B", "1", "é"]
    {
        let said = with_variable(variable);
        assert!(said.contains("secrets.variables: "), "{variable}: {said}");
    }
    let with_file = |target: &str| {
        let mut spec = sample::spec();
        let container = &mut spec.task.as_mut().unwrap().containers[0];
        let secret = wire::SecretFile {
            secret: "key".to_owned(),
            target: target.to_owned(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        };
        container.secret_files.push(secret);
        refusal(&spec)
    };
    assert_eq!(with_file("/run/secrets/key.pem"), "taken");
    for target in ["/run/secrets/..", "/run/secrets/.", "/run/secrets/", "key"] {
        let said = with_file(target);
        assert!(said.contains("secrets.target: "), "{target}: {said}");
    }
}
