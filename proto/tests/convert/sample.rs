//! A small service that is sound, for tests to spoil.

use proto::wire;

/// Two containers that share a network of the project; the second waits for the first.
pub(crate) fn spec() -> wire::ServiceSpec {
    let back = wire::Attachment { network: "back".to_owned(), aliases: vec!["web".to_owned()] };
    let networks = wire::ProjectNetworks { attachments: vec![back] };
    let after = wire::Dependency {
        on: "web".to_owned(),
        condition: wire::DependencyCondition::Started.into(),
    };
    let side = wire::ContainerSpec { after: vec![after], ..container("side") };
    let restart =
        wire::RestartPolicy { condition: wire::RestartCondition::Any.into(), ..Default::default() };
    wire::ServiceSpec {
        project: "shop".to_owned(),
        name: "web".to_owned(),
        mode: Some(wire::service_spec::Mode::Replicated(wire::Replicated { replicas: 2 })),
        task: Some(wire::TaskSpec {
            containers: vec![container("web"), side],
            network: Some(wire::Network { kind: Some(wire::network::Kind::Project(networks)) }),
            restart: Some(restart),
            ..Default::default()
        }),
        update: Some(wire::UpdatePolicy {
            parallelism: 1,
            order: wire::UpdateOrder::Auto.into(),
            on_failure: wire::FailureAction::Rollback.into(),
            progress_deadline_ms: 600_000,
            ..Default::default()
        }),
        after: Vec::new(),
        budget: None,
        strategy: None,
        priority: None,
        is_left_in_place: false,
        preferences: Vec::new(),
        schedule: None,
    }
}

fn container(name: &str) -> wire::ContainerSpec {
    let pin = wire::image::Pin::Manifest(format!("sha256:{}", "ab".repeat(32)));
    wire::ContainerSpec {
        name: name.to_owned(),
        image: Some(wire::Image { reference: "nginx:1.29".to_owned(), pin: Some(pin) }),
        ..Default::default()
    }
}

/// A generation of the service.
pub(crate) fn generation(number: u64) -> wire::Generation {
    wire::Generation {
        number,
        template: number,
        origin: wire::Origin::Deployed.into(),
        spec: Some(spec()),
        ..Default::default()
    }
}

/// The service, at rest.
pub(crate) fn service() -> wire::Service {
    wire::Service {
        target: Some(generation(2)),
        stable: Some(generation(2)),
        history: vec![past(1)],
        phase: Some(wire::service::Phase::Steady(wire::Steady {})),
        runs: None,
    }
}

/// A generation that is not the target any more.
pub(crate) fn past(number: u64) -> wire::Past {
    let verdict = wire::Verdict::Stable.into();
    wire::Past { generation: Some(generation(number)), verdict }
}

/// A task of the service that runs.
pub(crate) fn task(number: u64) -> wire::Task {
    let health = wire::Health::Unchecked.into();
    let running = wire::Running { since_ms: 5, health };
    wire::Task {
        id: format!("shop.web.1.{number}"),
        project: "shop".to_owned(),
        service: "web".to_owned(),
        slot: Some(wire::Slot { kind: Some(wire::slot::Kind::Replica(1)) }),
        generation: Some(generation(2)),
        node: Some("n1".to_owned()),
        desired: wire::Desired::Run.into(),
        state: Some(wire::TaskState { kind: Some(wire::task_state::Kind::Running(running)) }),
        containers: vec![wire::ContainerStatus {
            name: "web".to_owned(),
            health,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A node that takes work.
pub(crate) fn node() -> wire::Node {
    wire::Node {
        id: "n1".to_owned(),
        hostname: "ip-10-0-0-1".to_owned(),
        engine: "e1".to_owned(),
        availability: wire::Availability::Active.into(),
        ..Default::default()
    }
}
