//! What the records of 0.2.0 say: those of 0.1.0, and what can be said since.

use std::sync::Arc;

use model::node::Node;
use model::service::{Generation, Service};

use super::stored::Stored;
use super::v0_1_0;

pub(crate) fn records() -> super::Records {
    let grown = |(name, record)| match record {
        Stored::Node(node) => (name, Stored::Node(launched(node))),
        Stored::Service(service) if name == "service-rolling" => {
            (name, Stored::Service(constrained(service)))
        }
        Stored::Service(_)
        | Stored::Task(_)
        | Stored::Counters(_)
        | Stored::Identity(_)
        | Stored::Journal(_) => (name, record),
    };
    v0_1_0::records().into_iter().map(grown).collect()
}

/// A node whose agent knows what it runs on.
fn launched(node: Node) -> Node {
    let said = |text: &str| Some(text.to_owned());
    Node {
        pool: said("web"),
        ami: said("ami-0123456789abcdef0"),
        instance_type: said("m7g.xlarge"),
        os: said("linux"),
        engine_version: said("28.2.2"),
        kernel_version: said("6.1.102-111.182.amzn2023.aarch64"),
        ..node
    }
}

/// A service that asks for what only a text can say.
fn constrained(service: Service) -> Service {
    let texts = [
        "node.pool == web",
        "not (node.zone in [a, \"b c\"] or node.ami !~ \"^ami-\\\\d+$\")",
        "node.kernel.version >= 6.1 and image.present(\"nginx:1.29\")",
    ];
    let mut target: Generation = (*service.target).clone();
    target.spec.task.constraints.extend(texts.iter().map(|text| text.parse().unwrap()));
    Service { target: Arc::new(target), ..service }
}
