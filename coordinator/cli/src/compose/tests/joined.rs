//! Services that form one task, what waits for what, and ports that meet.

use proto::wire::network::Kind;

use super::{errors, project};

#[test]
fn joined_services_are_one_task_of_their_owner() {
    let text = "
services:
  proxy: {image: p, network_mode: 'service:app', depends_on: [app, cache], restart: always, deploy: {resources: {limits: {cpus: 1}}}}
  app: {image: a, ports: [80], depends_on: {db: {condition: service_healthy}}, networks: {default: {aliases: [www]}}}
  log: {image: l, network_mode: 'service:proxy', depends_on: {proxy: {condition: service_healthy}}}
  db: {image: d, depends_on: [cache]}
  cache: {image: c}
  user: {image: u, depends_on: [log]}
";
    let services = project(text).services;
    let names: Vec<&str> = services.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["app", "db", "cache", "user"]);
    let task = services[0].task.as_ref().unwrap();
    let containers: Vec<&str> = task.containers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(containers, ["app", "proxy", "log"]);
    let after = |index: usize| -> Vec<&str> {
        task.containers[index].after.iter().map(|wait| wait.on.as_str()).collect()
    };
    assert_eq!((after(0), after(1), after(2)), (vec![], vec!["app"], vec!["proxy"]));
    let outside: Vec<&str> = services[0].after.iter().map(|wait| wait.on.as_str()).collect();
    assert_eq!(outside, ["db", "cache"]);
    assert_eq!(services[3].after[0].on, "app");
    let Some(Kind::Project(networks)) = &task.network.as_ref().unwrap().kind else { panic!() };
    assert_eq!(networks.attachments[0].aliases, ["app", "proxy", "log", "www"]);
    assert_eq!(task.containers[1].limit.unwrap().cpu_millis, 1_000);
}

/// The messages of the errors.
fn messages(text: &str) -> String {
    let errors = errors(text);
    let lines = errors.lines().filter_map(|line| line.split_once("error: "));
    lines.map(|(_, message)| message).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_member_leaves_to_the_owner_what_a_task_has_once() {
    let text = "
services:
  app: {image: a, deploy: {replicas: 2}}
  proxy: {image: p, network_mode: 'service:app', ports: [80], hostname: x, scale: 3, restart: on-failure, deploy: {replicas: 3}}
";
    let expected = "\
`proxy` shares the network of `app` and can not publish ports
`proxy` shares the network of `app` and has no `hostname` of its own
`scale` differs from that of `app`, which has the same task
`restart` differs from that of `app`, which has the same task
`replicas` differs from that of `app`, which has the same task";
    assert_eq!(messages(text), expected);
    let equal = "services: {app: {image: a, deploy: {replicas: 2}}, b: {image: b, network_mode: 'service:app', deploy: {replicas: 2}}}";
    assert_eq!(project(equal).services.len(), 1);
}

#[test]
fn joins_that_lead_nowhere_are_refused() {
    let cycle = "services: {a: {image: a, network_mode: 'service:b'}, b: {image: b, network_mode: 'service:a'}}";
    assert!(messages(cycle).contains("services join each other's network: a → b → a"));
    let missing =
        errors("services: {a: {image: a, network_mode: 'service:bee'}, bees: {image: b}}");
    assert!(
        missing.contains("there is no service `bee`") && missing.contains("did you mean `bees`?")
    );
    let itself = "services: {a: {image: a, network_mode: 'service:a'}}";
    assert!(messages(itself).contains("services join each other's network: a → a"));
}

#[test]
fn services_that_wait_for_each_other_are_refused_by_their_names() {
    let text = "services: {a: {image: a, depends_on: [b]}, b: {image: a, depends_on: [c]}, c: {image: a, depends_on: [a]}}";
    assert_eq!(messages(text), "services wait for each other: a → b → c → a");
    let itself = "services: {a: {image: a, depends_on: [a]}}";
    assert_eq!(messages(itself), "services wait for each other: a → a");
    let owner =
        "services: {a: {image: a, depends_on: [b]}, b: {image: a, network_mode: 'service:a'}}";
    assert_eq!(messages(owner), "services wait for each other: a → b → a");
}

#[test]
fn tasks_that_wait_for_each_other_are_refused() {
    let text = "
services:
  a1: {image: a, depends_on: [b1]}
  a2: {image: a, network_mode: 'service:a1'}
  b1: {image: a}
  b2: {image: a, network_mode: 'service:b1', depends_on: [a2]}
";
    assert_eq!(messages(text), "tasks wait for each other: a1 → b1 → a1");
}

#[test]
fn a_wait_for_what_never_comes_is_refused() {
    assert!(
        errors("services: {web: {image: a, depends_on: [weg]}}").contains("did you mean `web`?")
    );
    let text = "services: {web: {image: a, depends_on: {job: {condition: service_completed_successfully}}}, job: {image: a, restart: always}}";
    assert_eq!(messages(text), "service `job` never completes");
}

#[test]
fn ports_of_the_node_are_published_once() {
    let twice = |one: &str, two: &str| {
        let text = format!(
            "services: {{a: {{image: a, ports: ['{one}']}}, b: {{image: a, ports: ['{two}']}}}}"
        );
        messages(&text)
    };
    let expected = "port 80 of the node is published twice";
    assert_eq!(twice("80:1", "80:2"), expected);
    assert_eq!(twice("80:1", "127.0.0.1:80:1"), expected);
    assert_eq!(twice("0.0.0.0:80:1", "10.0.0.1:80:1"), expected);
    assert_eq!(twice("10.0.0.1:80:1", "10.0.0.2:80:1"), "");
    assert_eq!(twice("80:1", "80:1/udp"), "");
    assert_eq!(twice("80", "80"), "");
    let host = "services: {a: {image: a, ports: ['80:1']}, b: {image: a, network_mode: host, ports: [80]}}";
    assert_eq!(messages(host), expected);
}

#[test]
fn ports_need_a_network() {
    let host = "services: {a: {image: a, network_mode: host, ports: ['8080:80']}}";
    assert_eq!(
        messages(host),
        "with `network_mode: host` a port of the container is that of the node"
    );
    let none = "services: {a: {image: a, network_mode: none, ports: [80]}}";
    assert_eq!(messages(none), "a service with `network_mode: none` can not publish ports");
}
