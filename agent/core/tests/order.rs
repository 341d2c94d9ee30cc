//! In which order the containers of a task come up.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "rules/world.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "made for the tests of the rules, which need more of it"
)]
mod world;

use std::sync::Arc;

use agent_core::assignment::Assignment;
use agent_core::observed::{Container, Status};
use model::spec::{ContainerSpec, Dependency, DependencyCondition, RestartCondition, TaskSpec};

use world::{A, Node, assigned, container, container_spec, exited, run, spec};

/// A task whose second container does some work and ends, and whose third waits for the second.
fn waiting_for_init(condition: DependencyCondition) -> TaskSpec {
    let mut spec = spec();
    spec.restart.condition = RestartCondition::OnFailure;
    let on = "init".parse().unwrap();
    let side =
        ContainerSpec { after: vec![Dependency { on, condition }], ..container_spec("side") };
    spec.containers.extend([container_spec("init"), side]);
    spec
}

#[test]
fn what_has_done_its_work_by_now_was_started_and_was_well() {
    use DependencyCondition::{Completed, Healthy, Started};
    for condition in [Started, Healthy, Completed] {
        let spec = Arc::new(waiting_for_init(condition));
        let mut node = Node::new();
        node.lists(&[]);
        node.hears(assigned(1, [Assignment { spec, ..run(A) }]));
        let init = Container {
            id: "init".to_owned(),
            container: "init".parse().unwrap(),
            network_of: Some("id-of-lab.app.1.1-1".to_owned()),
            ..container(A, 1, exited(0))
        };
        // Another agent has come as far as this.
        let mut node = node.restarted();
        let step = node.lists(&[container(A, 1, Status::Running), init]);
        let names: Vec<&str> = step.orders.iter().map(|one| one.container.as_str()).collect();
        assert_eq!(names, ["side"], "{condition:?}");
    }
}
