//! Errors as they are printed.

use super::super::keys::{SERVICE, Support};
use super::{errors, try_read, web_errors};

/// Checks what is printed for a file, line by line and without the indentation of this source.
fn check(text: &str, expected: &str) {
    let printed = errors(text);
    assert_eq!(printed, expected.trim_matches('\n'), "\n{printed}");
}

#[test]
fn an_unknown_key_is_shown_with_what_was_meant() {
    check(
        "services:\n  web:\n    image: a\n    deploy:\n      replica: 3\n",
        "
compose.yaml:5:7: error: unknown key `replica` in deploy
  5 |       replica: 3
    |       ^^^^^^^
hint: did you mean `replicas`?
",
    );
    check(
        "services:\n  web:\n    image: a\n    replicas: 3\n",
        "
compose.yaml:4:5: error: unknown key `replicas` in service `web`
  4 |     replicas: 3
    |     ^^^^^^^^
hint: did you mean `deploy.replicas`?
",
    );
}

#[test]
fn a_key_that_is_given_twice_shows_both() {
    check(
        "services:\n  web:\n    image: a\n    tty: true\n    image: b\n",
        "
compose.yaml:5:5: error: key `image` is given twice
  5 |     image: b
    |     ^^^^^
compose.yaml:3:5: here is the first
  3 |     image: a
    |     ^^^^^
hint: keep one of them
",
    );
}

#[test]
fn a_key_that_is_not_supported_says_what_to_do_instead() {
    check(
        "services:\n  web:\n    image: a\n    container_name: x\nmodels:\n  s: {file: x}\n",
        "
compose.yaml:4:5: error: `container_name` is not supported
  4 |     container_name: x
    |     ^^^^^^^^^^^^^^
hint: leave it out; Wharf names containers, and services reach each other by the service name
compose.yaml:5:1: error: `models` is not supported
  5 | models:
    | ^^^^^^
hint: run the model as a service of its own
",
    );
}

#[test]
fn a_value_of_the_wrong_kind_says_what_was_expected_and_found() {
    check(
        "services:\n  web:\n    image: [a]\n    scale: [1, 2]\n    ports: 80\n    environment: x\n    tty: \"yes\"\n    user: true\n",
        "
compose.yaml:3:12: error: expected a string, found a list
  3 |     image: [a]
    |            ^
compose.yaml:4:12: error: expected a number, found a list
  4 |     scale: [1, 2]
    |            ^
compose.yaml:5:12: error: expected a list, found a number
  5 |     ports: 80
    |            ^^
compose.yaml:6:18: error: expected a mapping or a list of `NAME=VALUE`, found a string
  6 |     environment: x
    |                  ^
compose.yaml:7:10: error: expected true or false, found a string
  7 |     tty: \"yes\"
    |          ^^^^^
hint: in YAML 1.2 that is a text: write `true`
compose.yaml:8:11: error: expected a string, found true or false
  8 |     user: true
    |           ^^^^
hint: write \"true\", in quotes, if it is a text
",
    );
}

#[test]
fn what_is_no_yaml_is_shown_where_it_stops_being_so() {
    check(
        "services:\n  web:\n   image: a\n  - b\n",
        "
compose.yaml:4:5: error: not YAML: while parsing a block mapping, did not find expected key
  4 |   - b
    |     ^
",
    );
}

#[test]
fn an_image_and_a_name_are_checked() {
    check(
        "services:\n  Web:\n    image: Nginx\n",
        "
compose.yaml:2:3: error: a service name can not have 'W' at position 1 (allowed: a-z, 0-9, and after the first character - and _)
  2 |   Web:
    |   ^^^
hint: other containers reach a service by its name: use one that DNS takes
compose.yaml:3:12: error: \"Nginx\" is not an image reference: each part between slashes starts and ends with a lower-case letter or a digit
  3 |     image: Nginx
    |            ^^^^^
hint: write it as in `nginx:1.27` or `registry:5000/team/app`
",
    );
}

#[test]
fn a_service_without_an_image_is_refused() {
    check(
        "services:\n  web:\n    tty: true\n",
        "
compose.yaml:2:3: error: service `web` has neither `image` nor `build`
  2 |   web:
    |   ^^^
hint: add `image: NAME`
",
    );
}

#[test]
fn an_unknown_tag_is_refused() {
    check(
        "services:\n  web:\n    image: !secret a\n",
        "
compose.yaml:3:12: error: unknown tag `!secret`
  3 |     image: !secret a
    |            ^^^^^^^^^
hint: leave it out: Compose knows only `!reset` and `!override`
",
    );
}

#[test]
fn our_own_key_is_checked_where_it_stands() {
    check(
        "x-wharf: {}\nservices:\n  web:\n    image: a\n    x-wharf:\n      progress_dedline: 1m\n",
        "
compose.yaml:1:1: error: `x-wharf` has no meaning in a Compose file
  1 | x-wharf: {}
    | ^^^^^^^
hint: it is a key of a service
compose.yaml:6:7: error: unknown key `progress_dedline` in x-wharf
  6 |       progress_dedline: 1m
    |       ^^^^^^^^^^^^^^^^
hint: did you mean `progress_deadline`?
",
    );
}

#[test]
fn a_long_line_is_cut_and_a_late_line_is_aligned() {
    let long = "x".repeat(300);
    let text = format!(
        "services:\n{}  web: {{image: a, labels: {{a: {long}}}, bad: 1}}\n",
        "\n".repeat(10)
    );
    let printed = errors(&text);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "compose.yaml:12:334: error: unknown key `bad` in service `web`");
    assert_eq!(lines[1], format!("  12 | {}}}, bad: 1}}", "x".repeat(17)));
    assert_eq!(lines[2], format!("     | {}^^^", " ".repeat(20)));
}

#[test]
fn an_empty_file_and_one_without_services_are_refused() {
    check("", "error: compose.yaml is empty\nhint: add `services:`");
    check("# nothing\n", "error: compose.yaml is empty\nhint: add `services:`");
    check(
        "name: x\n",
        "
compose.yaml:1:1: error: there are no services
  1 | name: x
    | ^
hint: add one under `services`
",
    );
    check(
        "- services\n",
        "
compose.yaml:1:1: error: expected a mapping, found a list
  1 | - services
    | ^
compose.yaml:1:1: error: there are no services
  1 | - services
    | ^
hint: add one under `services`
",
    );
}

#[test]
fn two_documents_are_refused() {
    assert!(
        errors("services: {a: {image: a}}\n---\nservices: {}\n")
            .contains("a Compose file is one YAML document")
    );
}

#[test]
fn every_key_that_is_refused_is_taken_when_it_asks_for_nothing() {
    for key in SERVICE.iter().filter(|key| key.support == Support::No) {
        let text =
            |value: &str| format!("services:\n  web:\n    image: a\n    {}: {value}\n", key.name);
        for nothing in ["", "null", "false", "[]", "{}"] {
            assert!(try_read(&text(nothing)).is_ok(), "{}: {nothing}", key.name);
        }
        let asked = errors(&text("[x]"));
        assert!(asked.contains(&format!("`{}` is not supported", key.name)), "{asked}");
        assert!(asked.contains(key.note), "{asked}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let project = try_read(
        "version: '3'\nservices: {web: {image: a, deploy: {labels: {a: b}}, network_mode: bridge}}",
    )
    .unwrap();
    let messages: Vec<&str> = project.warnings.iter().map(|one| one.message.as_str()).collect();
    let bridge = "`network_mode: bridge` is the default network of the project here";
    assert_eq!(messages, ["`version` has no effect", "`labels` has no effect", bridge]);
}

#[test]
fn single_values_are_refused_for_what_is_wrong_with_them() {
    let cases = [
        ("    init: false", "`init: false` is not supported"),
        ("    restart: sometimes", "`sometimes` is not a restart policy"),
        ("    network_mode: container:x", "the network mode `container:x` is not supported"),
        (
            "    network_mode: host\n    networks: [default]",
            "`network_mode` and `networks` exclude each other",
        ),
        ("    networks: [defualt]", "the network `defualt` is not declared"),
        ("    platform: windows", "the platform `windows` is not supported"),
        ("    pull_policy: never", "the pull policy `never` is not supported"),
        ("    stop_signal: term", "`term` is not a signal"),
        ("    working_dir: srv", "`srv` is not an absolute path in the container"),
        ("    command: \"a 'b\"", "a ' that is not closed"),
        ("    labels: {wharf.x: y}", "the label `wharf.x` is one of Wharf's own"),
        ("    extra_hosts: [x]", "expected the name of a host and its address"),
        ("    volumes: [/data]", "a volume without a name"),
        ("    volumes: ['a:/b']", "the volume `a` is not declared"),
        ("    volumes: ['data:b']", "`b` is not an absolute path in the container"),
        ("    volumes: ['data:/b:z']", "the option `z` of a mount is not supported"),
        ("    volumes: ['data:/b', '/c:/b/']", "`/b` is mounted twice"),
        ("    volumes: [~/x:/y]", "`~` can not be told: HOME is not set"),
        (
            "    volumes: [{type: npipe, target: /x}]",
            "a mount has one of the types `volume`, `bind` and `tmpfs`",
        ),
        ("    tmpfs: '/x:mode=700'", "the option `mode=700` of `tmpfs` is not supported"),
        ("    configs: [x]", "the config `x` is not declared"),
    ];
    check_cases(&cases);
}

#[test]
fn ports_and_health_checks_are_refused_for_what_is_wrong_with_them() {
    let cases = [
        ("    expose: [x]", "`x` is not a port: a port is a number from 1 to 65535"),
        ("    ports: ['80/sctp']", "`80/sctp` is not a port: the protocol is `tcp` or `udp`"),
        ("    ports: ['1.2.3:1:2']", "`1.2.3:1:2` is not a port: the address is no IP address"),
        ("    ports: [{published: 80}]", "a port without a target"),
        (
            "    ports: [{target: 80, published: 1-9}]",
            "a range of host ports for one port of the container",
        ),
        ("    healthcheck: {interval: 1s}", "a health check that tries nothing"),
        (
            "    healthcheck: {test: a, x-tcp: {port: 1}}",
            "more than one of `test`, `x-http` and `x-tcp`",
        ),
        (
            "    healthcheck: {test: [curl, x]}",
            "a test in a list begins with `NONE`, `CMD` or `CMD-SHELL`",
        ),
        ("    healthcheck: {x-http: {}}", "a probe without a port"),
    ];
    check_cases(&cases);
}

#[test]
fn two_generations_are_refused_where_they_can_not_be_up_as_a_whole() {
    let cases = [
        ("    x-wharf: {blue_green: {}}", "`blue_green` without `target_groups`"),
        (
            "    deploy: {mode: global}\n    x-wharf: {blue_green: {keep: 1m}}",
            "`blue_green` is for services with a number of replicas",
        ),
        (
            "    ports: ['80']\n    x-wharf: {target_groups: [{group: g, port: 80}], canary: {}, blue_green: {}}",
            "a service has `canary` or `blue_green`, and not both",
        ),
    ];
    check_cases(&cases);
}

#[test]
fn deployments_are_refused_for_what_is_wrong_with_them() {
    let cases = [
        ("    deploy: {mode: global-jobs}", "the mode `global-jobs` is not supported"),
        ("    deploy: {mode: global, replicas: 2}", "a global service has one task on each node"),
        ("    deploy: {replicas: 2}\n    scale: 3", "`scale` differs from `deploy.replicas`"),
        ("    x-wharf: {canary: {replicas: 0}}", "a canary without a slot"),
        ("    x-wharf: {canary: {replicas: 3}}", "3 tasks are more than the 1 of the service"),
        ("    x-wharf: {canary: {promote: later}}", "`later` is not a way to promote a canary"),
        (
            "    x-wharf: {tolerated_failures: {at_least: 2, at_most: 1}}",
            "at most 1 failures, and at least 2",
        ),
        (
            "    deploy: {mode: replicated-job}\n    x-wharf: {canary: {hold: 1m}}",
            "a job has no canary",
        ),
        (
            "    deploy: {rollback_config: {order: stop-first}}",
            "`rollback_config` is not supported",
        ),
        ("    deploy: {restart_policy: {window: 1s}}", "`window` is not supported"),
        (
            "    deploy: {placement: {constraints: [node.role == worker]}}",
            "`node.role` can not be a constraint",
        ),
        ("    deploy: {placement: {constraints: [x]}}", "`x` can not be a constraint"),
        (
            "    deploy: {placement: {constraints: ['node.id == a', 'node.zone == x', 'node.id != a']}}",
            "no node can meet both `node.id == a` and `node.id != a`",
        ),
        (
            "    platform: linux/arm64\n    deploy: {placement: {constraints: [node.platform.arch == amd64]}}",
            "no node can meet both `node.platform.arch == amd64` and `node.platform.arch == arm64`",
        ),
        (
            "    deploy: {placement: {constraints: ['node.id == a and node.id == b']}}",
            "no node can meet `node.id == a and node.id == b`",
        ),
        ("    deploy: {placement: {constraints: ['node.id in []']}}", "an empty list"),
        (
            "    deploy: {placement: {preferences: [{spread: node.rack}]}}",
            "`node.rack` is no attribute of a node",
        ),
        (
            "    cpus: 1\n    deploy: {resources: {limits: {cpus: 2}}}",
            "this differs from what `deploy.resources` says",
        ),
        ("    depends_on: {web2: {condition: ready}}", "`ready` is not a condition"),
        ("    x-wharf: {strategy: binpak}", "`binpak` is not a strategy"),
        ("    x-wharf: {priority: urgent}", "`urgent` is not a priority"),
        ("    x-wharf: {priority: 3}", "`3` is not a priority"),
        ("    x-wharf: {rebalance: never}", "expected true or false, found a string"),
        (
            "    x-wharf: {rebalance: false}\n    deploy: {mode: global}",
            "only tasks of a replicated service ever move",
        ),
        (
            "    x-wharf: {strategy: binpack}\n    deploy: {mode: global}",
            "a global service has a task on each node, wherever there is room",
        ),
        ("    cap_add: [net_admin]", "`net_admin` is not a capability"),
    ];
    check_cases(&cases);
}

#[test]
fn a_constraint_is_blamed_at_the_word_that_is_wrong() {
    let text = "
services:
  web:
    image: a
    deploy: {placement: {constraints: ['node.id == a and node.zoen == b']}}
";
    let printed = errors(text);
    assert!(printed.contains(":5:58: error: `node.zoen` can not be a constraint"), "{printed}");
    assert!(printed.contains("hint: did you mean `node.zone`?"), "{printed}");
}

/// Checks that lines of a service have an error with a message.
fn check_cases(cases: &[(&str, &str)]) {
    for (lines, expected) in cases {
        let errors = web_errors(lines);
        assert!(errors.iter().any(|error| error == expected), "{lines}: {errors:?}");
    }
}

#[test]
fn definitions_are_checked() {
    let text = "
services: {web: {image: a, configs: [{source: c, mode: 444}, both, unset]}}
networks: {n: {driver: macvlan, external: true}}
volumes: {v: {driver: nfs}, V: }
configs: {c: {content: x}, both: {content: x, file: y}, unset: {environment: NOT_SET}}
";
    let printed = errors(text);
    for expected in [
        "`444` is not a mode",
        "a config has one of `file`, `content` and `environment`",
        "variable `NOT_SET` is not set",
        "only the default driver of networks is supported",
        "`external` is not supported",
        "only the driver `local` of volumes is supported",
        "`V` is not the name of a volume",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn a_budget_that_makes_no_sense_says_what_would() {
    let with = |wharf: &str| {
        format!(
            "services:\n  web:\n    image: a\n    x-wharf: {wharf}\n    deploy: {{replicas: 2}}\n"
        )
    };
    check(
        &with("{min_available: 120%}"),
        "
compose.yaml:4:30: error: `120%` is not a part: from 0% to 100%
  4 |     x-wharf: {min_available: 120%}
    |                              ^^^^
hint: write it as in `50%`, or a number of tasks
",
    );
    check(
        &with("{max_unavailable: 3}"),
        "
compose.yaml:4:32: error: 3 tasks are more than the 2 of the service
  4 |     x-wharf: {max_unavailable: 3}
    |                                ^
hint: give at most the number of replicas, or a part as in `50%`, which follows it
",
    );
    let both = errors(&with("{min_available: 1, max_unavailable: 1}"));
    assert!(both.contains("`max_unavailable` stands beside `min_available`"), "{both}");
    assert!(both.contains("compose.yaml:4:50") && both.contains("keep one of them"), "{both}");
    let rigid = with("{min_available: 100%}")
        .replace("replicas: 2", "replicas: 2, update_config: {order: stop-first}");
    let warned = super::warnings(&rigid);
    assert!(warned.contains("no task can ever be replaced"), "{warned}");
    assert_eq!(super::warnings(&with("{min_available: 100%}")), "");
}

#[test]
fn devices_that_can_not_be_given_are_refused() {
    let with = |device: &str| {
        let lines = format!("    deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}");
        web_errors(&lines).join("; ")
    };
    for (device, expected) in [
        ("{capabilities: [tpu], count: 1}", "only devices with the capability `gpu` are scheduled"),
        ("{count: 1}", "only devices with the capability `gpu` are scheduled"),
        ("{capabilities: [gpu]}", "it is not said how many GPUs the container needs"),
        ("{capabilities: [gpu], count: all}", "how many GPUs are all is known only on the node"),
        ("{capabilities: [gpu], count: 0}", "0 is not a whole number from 1 to 160"),
        ("{capabilities: [gpu], count: 0.5}", "0.5 is not a whole number from 1 to 160"),
        ("{capabilities: [gpu], count: 1, device_ids: ['0']}", "`device_ids` is not supported"),
        (
            "{driver: amd, capabilities: [gpu], count: 1}",
            "devices of the driver `amd` are not supported",
        ),
        (
            "{capabilities: [gpu], count: 100}, {capabilities: [gpu], count: 61}",
            "161 GPUs are more than any machine has",
        ),
    ] {
        assert_eq!(with(device), expected);
    }
}
