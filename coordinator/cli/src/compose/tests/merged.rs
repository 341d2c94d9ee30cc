//! Several files, anchors and `extends`.

use proto::wire::ServiceSpec;

use super::{errors, expect, memory, options, project, read, rendered, service};

/// Reads a service `web` out of two files.
fn both(older: &str, newer: &str) -> ServiceSpec {
    let files = memory(&[("a.yaml", older), ("b.yaml", newer)]);
    expect(read(&options(&["a.yaml", "b.yaml"]), &files)).services.pop().unwrap()
}

fn pair(older: &str, newer: &str) -> proto::wire::ContainerSpec {
    let file = |lines: &str| format!("services:\n  web:\n    image: a\n{lines}\n");
    both(&file(older), &file(newer)).task.unwrap().containers.pop().unwrap()
}

#[test]
fn a_later_file_goes_before_an_earlier_one() {
    let spec = both("services: {web: {image: a}}", "services: {web: {image: b}}");
    assert_eq!(spec.task.unwrap().containers[0].image.as_ref().unwrap().reference, "b");
}

#[test]
fn commands_and_tests_are_replaced() {
    let container = pair(
        "    command: [a, b]\n    healthcheck: {test: [CMD, x], retries: 7}",
        "    command: [c]\n    healthcheck: {test: [CMD, y]}",
    );
    assert_eq!(container.process.unwrap().command.unwrap().words, ["c"]);
    let health = container.health.unwrap();
    assert_eq!(health.retries, 7);
    let expected = vec!["CMD".to_owned(), "y".to_owned()];
    let probe = proto::wire::health_check::Probe::Command(proto::wire::Words { words: expected });
    assert_eq!(health.probe, Some(probe));
}

#[test]
fn pairs_are_merged_by_name_in_either_form() {
    let container = pair(
        "    environment: [A=1, B=2]\n    labels: {x: 1}",
        "    environment: {B: 3, C: 4}\n    labels: [y=2]",
    );
    let environment = container.process.unwrap().environment;
    let pairs: Vec<String> =
        environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["A=1", "B=3", "C=4"]);
    assert_eq!(container.labels.len(), 2);
}

#[test]
fn ports_and_mounts_are_unique_and_other_lists_are_appended() {
    let container = pair(
        "    ports: ['8080:80', '1:1']\n    volumes: [/a:/x, /b:/y]\n    cap_add: [A, B]\n    tmpfs: /t",
        "    ports: [{target: 80, published: 8080}, '2:2']\n    volumes: [/c:/x:ro]\n    cap_add: [B, C]\n    tmpfs: [/u]",
    );
    let ports: Vec<Option<u32>> = container.ports.iter().map(|port| port.host).collect();
    assert_eq!(ports, [Some(8080), Some(1), Some(2)]);
    let mounts: Vec<(&str, bool)> =
        container.mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
    assert_eq!(mounts, [("/x", true), ("/y", false), ("/t", false), ("/u", false)]);
    assert_eq!(container.security.unwrap().cap_add, ["A", "B", "C"]);
}

#[test]
fn what_is_short_merges_with_what_is_long() {
    let older = "services: {web: {build: ./a, depends_on: [db]}, db: {image: b}}";
    let newer =
        "services: {web: {build: {target: run}, depends_on: {db: {condition: service_healthy}}}}";
    let files = memory(&[("a.yaml", older), ("b.yaml", newer)]);
    let project = expect(read(&options(&["a.yaml", "b.yaml"]), &files));
    assert_eq!(project.builds[0].target.as_deref(), Some("run"));
    assert_eq!(project.builds[0].context.to_str(), Some("/srv/shop/a"));
    assert_eq!(project.services[0].after.len(), 1);
}

#[test]
fn tags_reset_and_override() {
    let container = pair(
        "    ports: ['1:1']\n    cap_add: [A]\n    environment: {A: 1}\n    privileged: true",
        "    ports: !reset []\n    cap_add: !override [B]\n    environment: {A: !reset null}\n    privileged: !reset false",
    );
    assert!(container.ports.is_empty());
    assert_eq!(container.security.unwrap().cap_add, ["B"]);
    assert!(container.process.unwrap().environment.is_empty());
}

#[test]
fn what_does_not_merge_is_refused() {
    let older = "services: {web: {image: a, deploy: {replicas: 1}}}";
    let newer = "services: {web: {deploy: [x]}}";
    let files = memory(&[("a.yaml", older), ("b.yaml", newer)]);
    let errors = read(&options(&["a.yaml", "b.yaml"]), &files).unwrap_err();
    assert_eq!(errors[0].message, "a list can not be merged over a mapping");
    assert_eq!(errors[0].mark.as_ref().unwrap().at.to_string(), "b.yaml:1:26");
}

#[test]
fn anchors_aliases_and_merge_keys_are_put_in() {
    let text = "
x-base: &base
  image: a
  environment: &environment {A: 1, B: 2}
x-more: &more {tty: true, image: never}
services:
  web:
    <<: [*base, *more]
    environment:
      <<: *environment
      B: 3
";
    let process = service(text).task.unwrap().containers.pop().unwrap().process.unwrap();
    let pairs: Vec<String> =
        process.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!((pairs, process.tty), (vec!["A=1".to_owned(), "B=3".to_owned()], true));
}

#[test]
fn a_service_extends_another_of_the_same_file() {
    let text = "
services:
  base: {image: a, environment: {A: 1, B: 1}, command: [x], profiles: [never]}
  middle: {extends: base, environment: [B=2]}
  web: {extends: {service: middle}, command: [y], profiles: !reset []}
";
    let spec = service(text);
    let process = spec.task.unwrap().containers.pop().unwrap().process.unwrap();
    assert_eq!((process.environment["A"].as_str(), process.environment["B"].as_str()), ("1", "2"));
    assert_eq!(process.command.unwrap().words, ["y"]);
}

#[test]
fn a_service_extends_one_of_another_file_whose_paths_begin_there() {
    let files = memory(&[
        (
            "compose.yaml",
            "services: {web: {extends: {file: lib/base.yaml, service: base}, volumes: [./mine:/m]}}",
        ),
        (
            "lib/base.yaml",
            "services: {base: {extends: root, volumes: [./theirs:/t], env_file: x.env}, root: {image: a}, bad: {image: $, nonsense: 1}}",
        ),
        ("lib/x.env", "A=1"),
    ]);
    let project = expect(read(&options(&["compose.yaml"]), &files));
    let container = &project.services[0].task.as_ref().unwrap().containers[0];
    let sources: Vec<String> =
        container.mounts.iter().map(|mount| format!("{:?}", mount.source)).collect();
    assert_eq!(sources, ["Some(Bind(\"/srv/shop/lib/theirs\"))", "Some(Bind(\"/srv/shop/mine\"))"]);
    assert_eq!(container.process.as_ref().unwrap().environment["A"], "1");
}

#[test]
fn a_later_file_can_extend_a_service_of_an_earlier_one() {
    let files = memory(&[
        ("a.yaml", "services: {base: {image: a}}"),
        ("b.yaml", "services: {web: {extends: base, tty: true}}"),
    ]);
    let project = expect(read(&options(&["a.yaml", "b.yaml"]), &files));
    assert_eq!(
        project.services[1].task.as_ref().unwrap().containers[0].image.as_ref().unwrap().reference,
        "a"
    );
}

#[test]
fn services_that_extend_each_other_are_refused_by_their_names() {
    let text = "services: {a: {image: x, extends: b}, b: {image: x, extends: c}, c: {image: x, extends: a}}";
    assert!(errors(text).contains("services extend each other: a → b → c → a"), "{}", errors(text));
    let files = memory(&[
        ("compose.yaml", "services: {web: {extends: {file: a.yaml, service: x}}}"),
        ("a.yaml", "services: {x: {extends: {file: b.yaml, service: y}}}"),
        ("b.yaml", "services: {y: {extends: {file: a.yaml, service: x}}}"),
    ]);
    let errors = rendered(&read(&options(&["compose.yaml"]), &files).unwrap_err());
    assert!(errors.contains("services extend each other: x → y → x"), "{errors}");
}

#[test]
fn what_can_not_be_extended_is_told() {
    assert!(
        errors("services: {a: {image: x, extends: b}}")
            .contains("there is no service `b` to extend")
    );
    let missing = errors("services: {a: {image: x, extends: {file: no.yaml, service: b}}}");
    assert!(missing.contains("can not read no.yaml: entity not found"), "{missing}");
}

#[test]
fn the_order_of_services_is_that_of_the_file() {
    let names: Vec<String> = project("services: {c: {image: a}, a: {image: a}, b: {image: a}}")
        .services
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    assert_eq!(names, ["c", "a", "b"]);
}
