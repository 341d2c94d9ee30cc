//! Who a certificate is for, as a SPIFFE id: `spiffe://CLUSTER/node/ID`.

use std::fmt;

use model::id::{ClusterId, NodeId, OperatorName};
use thiserror::Error;

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// A machine with an agent.
    Node(NodeId),
    /// Somebody who gives orders.
    Operator(OperatorName),
    /// The one that decides.
    Coordinator,
}

/// Why an id is of nobody that we know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not an id of this system: spiffe://CLUSTER/node/ID, /operator/NAME or /coordinator"
)]
pub struct NoName(String);

impl Name {
    /// The id in a cluster.
    #[must_use]
    pub fn id(&self, cluster: &ClusterId) -> String {
        match self {
            Self::Node(node) => format!("spiffe://{cluster}/node/{node}"),
            Self::Operator(name) => format!("spiffe://{cluster}/operator/{name}"),
            Self::Coordinator => format!("spiffe://{cluster}/coordinator"),
        }
    }

    /// Reads an id: the cluster, and who in it.
    ///
    /// # Errors
    /// When it is not exactly of that form. Nothing is decoded, so no two texts are the same id.
    pub fn read(id: &str) -> Result<(ClusterId, Self), NoName> {
        let wrong = || NoName(id.to_owned());
        let rest = id.strip_prefix("spiffe://").ok_or_else(wrong)?;
        let (cluster, path) = rest.split_once('/').ok_or_else(wrong)?;
        let cluster = cluster.parse().map_err(|_| wrong())?;
        let name = match path.split_once('/') {
            None if path == "coordinator" => Self::Coordinator,
            Some(("node", node)) => Self::Node(node.parse().map_err(|_| wrong())?),
            Some(("operator", name)) => Self::Operator(name.parse().map_err(|_| wrong())?),
            None | Some(_) => return Err(wrong()),
        };
        Ok((cluster, name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Coordinator => f.write_str("the coordinator"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let cluster: ClusterId = "c1".parse().unwrap();
        for name in [
            Name::Node("i-0abc.x_y".parse().unwrap()),
            Name::Operator("kim@example.org".parse().unwrap()),
            Name::Coordinator,
        ] {
            assert_eq!(Name::read(&name.id(&cluster)), Ok((cluster.clone(), name)));
        }
    }

    #[test]
    fn what_is_nearly_an_id_is_of_nobody() {
        for wrong in [
            "",
            "spiffe://",
            "spiffe://c1",
            "spiffe://c1/",
            "spiffe://c1/node",
            "spiffe://c1/node/",
            "spiffe://c1/node/a/b",
            "spiffe://c1/node/../operator/admin",
            "spiffe://c1/node/a%2fb",
            "spiffe://c1/node/a?x",
            "spiffe://c1/NODE/a",
            "SPIFFE://c1/node/a",
            "spiffe://c1//node/a",
            "spiffe://user@c1/node/a",
            "spiffe://c1:80/node/a",
            "https://c1/node/a",
            "spiffe://c1/coordinator/",
            "spiffe://c1/admin/a",
            " spiffe://c1/node/a",
            "spiffe://c1/node/a\0",
        ] {
            assert!(Name::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
