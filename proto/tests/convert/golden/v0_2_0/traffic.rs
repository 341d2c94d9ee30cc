//! Load balancers: what is registered, and tasks that get requests, or not any more.

use std::sync::Arc;
use std::time::Duration;

use model::spec::{PortSpec, Protocol};
use model::task::{DesiredState, StopCause, Task};
use model::traffic::{Registration, RegistrationId, RegistrationPhase, Route, Target, Traffic};

use super::super::Records;
use super::super::stored::Stored;
use super::at;

pub(crate) fn records() -> Records {
    let phases = [
        ("registration-entering", RegistrationPhase::Entering),
        ("registration-leaving", RegistrationPhase::Leaving),
    ];
    phases.map(|(name, phase)| (name, Stored::Registration(registration(phase)))).into()
}

fn registration(phase: RegistrationPhase) -> Registration {
    let target = Target { node: "i-0123456789abcdef0".parse().unwrap(), port: 32_768 };
    let id = RegistrationId { group: "web".parse().unwrap(), target };
    Registration { id, task: "shop.web.1.7".parse().unwrap(), since: at(60), phase }
}

/// A task that gets requests, and one that gets none any more and is to stop.
pub(crate) fn tasks(task: &Task) -> Records {
    let mut generation = (*task.generation).clone();
    let arn =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/0123456789abcdef";
    let leave_within = Some(Duration::from_secs(20));
    let spec = &mut generation.spec.task;
    let (protocol, address) = (Protocol::Tcp, None);
    for container in [7_001, 7_002] {
        let port = PortSpec { container, host: None, protocol, address };
        spec.containers[0].ports.push(port);
    }
    spec.routes = vec![
        Route { group: "web".parse().unwrap(), port: 7_001, leave_within: None },
        Route { group: arn.parse().unwrap(), port: 7_002, leave_within },
    ];
    let generation = Arc::new(generation);
    let gets = Task {
        generation,
        desired: DesiredState::Run,
        traffic: Traffic::In { since: at(90) },
        ..task.clone()
    };
    let leaves = Task {
        desired: DesiredState::stop(StopCause::Update),
        traffic: Traffic::Leaving { until: at(120) },
        ..gets.clone()
    };
    vec![("task-in-traffic", Stored::Task(gets)), ("task-leaving-traffic", Stored::Task(leaves))]
}
