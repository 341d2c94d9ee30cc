//! Load balancers, as files ask for them.

use super::{errors, try_read};

fn file(more: &str) -> String {
    format!("services:\n  web:\n    image: a\n    ports: ['8080']\n{more}")
}

fn groups(text: &str) -> String {
    file(&format!("    x-wharf: {{target_groups: {text}}}\n"))
}

#[test]
fn a_target_group_is_named_with_a_port_that_is_published() {
    let arn =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";
    let text = format!(
        "[{{group: web, port: 8080}}, {{group: \"{arn}\", port: 8080, leave_within: 20s}}]"
    );
    let project = try_read(&groups(&text)).unwrap();
    let routes = &project.services[0].task.as_ref().unwrap().routes;
    let read: Vec<_> =
        routes.iter().map(|one| (one.group.as_str(), one.port, one.leave_within_ms)).collect();
    assert_eq!(read, [("web", 8080, None), (arn, 8080, Some(20_000))]);
}

#[test]
fn what_no_load_balancer_can_do_is_refused_with_a_hint() {
    for (text, why) in [
        ("[{group: web, port: 80}]", "web can not reach port 80: it is not published"),
        ("[{group: 'a b', port: 8080}]", "a target group can not have ' '"),
        ("[{group: web}]", "a target group without a `port`"),
        ("[{port: 8080}]", "a target group without a `group`"),
        ("[web]", "a target group is a mapping"),
        ("[{group: web, port: 8080, leave_within: 2h}]", "a task is waited for at most 3600 s"),
        ("[{group: web, port: 8080, weight: 1}]", "weight"),
    ] {
        let said = errors(&groups(text));
        assert!(said.contains(why) && said.contains("hint: "), "{text}: {said}");
    }
    let many: Vec<String> = (0..6).map(|n| format!("{{group: g{n}, port: 8080}}")).collect();
    let said = errors(&groups(&format!("[{}]", many.join(", "))));
    assert!(said.contains("a service has at most 5 target groups"), "{said}");
    let job = groups("[{group: web, port: 8080}]") + "    deploy: {mode: replicated-job}\n";
    assert!(errors(&job).contains("a job has no target groups"), "{}", errors(&job));
}

#[test]
fn a_port_of_the_network_of_the_host_is_reached_as_it_is() {
    let text = "services:\n  web:\n    image: a\n    network_mode: host\n    x-wharf: {target_groups: [{group: web, port: 8080}]}\n";
    assert!(try_read(text).is_ok());
}
