//! Who may call what: one table, and whatever is not in it is refused.
//!
//! ```text
//!  request ─▶ Access (who is it, may they call this at all) ─▶ service ─▶ Caller (may they do it to this object)
//! ```
//!
//! A node acts for itself alone, which its session compares with every message. A deployer's services are compared where
//! the request is read, because only there it is known which they are.

use coordinator_core::trust::{Denial, Ledger};
use model::id::{NodeId, OperatorName, ServiceId};
use model::trust::{Issued, Role};
use tonic::{Request, Status};
use trust::{Name, Peer, Who};

use crate::api::hinted;
use crate::audit::By;

mod guard;

pub(crate) use guard::Access;

/// What somebody has to be to make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody in particular: it is how one becomes somebody.
    Nothing,
    /// A node, which acts for itself.
    Node,
    /// Any operator.
    Look,
    /// An operator who may change the services that the request is about.
    Change,
    /// An operator who may change all services and nodes.
    Operate,
    /// An administrator.
    Administer,
}

/// Every call that there is. A call without a row is refused, and a test compares the rows with the descriptors.
pub(crate) const TABLE: &[(&str, Needs)] = &[
    ("/wharf.v1.Enrolment/Join", Needs::Nothing),
    ("/wharf.v1.Enrolment/Challenge", Needs::Nothing),
    ("/wharf.v1.Enrolment/Renew", Needs::Node),
    ("/wharf.v1.Dispatcher/Session", Needs::Node),
    ("/wharf.v1.Dispatcher/Relay", Needs::Node),
    ("/wharf.v1.Dispatcher/Secrets", Needs::Node),
    ("/wharf.v1.Secrets/SetSecret", Needs::Operate),
    ("/wharf.v1.Secrets/ListSecrets", Needs::Look),
    ("/wharf.v1.Secrets/RemoveSecret", Needs::Operate),
    ("/wharf.v1.Secrets/AllowReferences", Needs::Operate),
    ("/wharf.v1.Control/Deploy", Needs::Change),
    ("/wharf.v1.Control/Scale", Needs::Change),
    ("/wharf.v1.Control/Restart", Needs::Change),
    ("/wharf.v1.Control/Rollback", Needs::Change),
    ("/wharf.v1.Control/Steer", Needs::Change),
    ("/wharf.v1.Control/Job", Needs::Change),
    ("/wharf.v1.Control/Remove", Needs::Change),
    ("/wharf.v1.Control/Exec", Needs::Change),
    ("/wharf.v1.Control/SetAvailability", Needs::Operate),
    ("/wharf.v1.Control/Drain", Needs::Operate),
    ("/wharf.v1.Control/Rebalance", Needs::Operate),
    ("/wharf.v1.Control/ListServices", Needs::Look),
    ("/wharf.v1.Control/ListTasks", Needs::Look),
    ("/wharf.v1.Control/ListNodes", Needs::Look),
    ("/wharf.v1.Control/Explain", Needs::Look),
    ("/wharf.v1.Control/GetStatus", Needs::Look),
    ("/wharf.v1.Control/Events", Needs::Look),
    ("/wharf.v1.Control/Logs", Needs::Look),
    ("/wharf.v1.Trust/CreateToken", Needs::Administer),
    ("/wharf.v1.Trust/ListTokens", Needs::Administer),
    ("/wharf.v1.Trust/RemoveToken", Needs::Administer),
    ("/wharf.v1.Trust/AddOperator", Needs::Administer),
    ("/wharf.v1.Trust/ListOperators", Needs::Administer),
    ("/wharf.v1.Trust/RemoveOperator", Needs::Administer),
    ("/wharf.v1.Trust/RevokeNode", Needs::Administer),
    ("/wharf.v1.Fleet/ListPools", Needs::Look),
    ("/wharf.v1.Fleet/PlanPool", Needs::Look),
    ("/wharf.v1.Fleet/PutPool", Needs::Administer),
    ("/wharf.v1.Fleet/RemovePool", Needs::Administer),
    ("/wharf.v1.Releases/ListReleases", Needs::Look),
    ("/wharf.v1.Releases/ShowRelease", Needs::Look),
    ("/wharf.v1.Releases/GoBack", Needs::Operate),
    ("/wharf.v1.Refreshes/ListRefreshes", Needs::Look),
    ("/wharf.v1.Refreshes/PlanRefresh", Needs::Operate),
    ("/wharf.v1.Refreshes/StartRefresh", Needs::Operate),
    ("/wharf.v1.Refreshes/SteerRefresh", Needs::Operate),
    ("/wharf.v1.Refreshes/OverrideRefresh", Needs::Operate),
    ("/wharf.v1.Refreshes/ListDrift", Needs::Look),
    ("/wharf.v1.Refreshes/FreezeRefreshes", Needs::Operate),
    ("/wharf.v1.Refreshes/UnfreezeRefreshes", Needs::Operate),
    ("/wharf.v1.Refreshes/RollBackRefresh", Needs::Operate),
    ("/wharf.v1.Bakes/StartBake", Needs::Administer),
    ("/wharf.v1.Bakes/ListBakes", Needs::Look),
    ("/wharf.v1.Bakes/RetryBake", Needs::Administer),
    ("/wharf.v1.Bakes/RemoveBake", Needs::Administer),
    ("/wharf.v1.Bakes/PutRecipe", Needs::Administer),
    ("/wharf.v1.Bakes/ListRecipes", Needs::Look),
    ("/wharf.v1.Bakes/SteerRecipe", Needs::Administer),
    ("/wharf.v1.Bakes/RemoveRecipe", Needs::Administer),
    ("/wharf.v1.Bakes/BakeLogs", Needs::Operate),
    ("/wharf.v1.Bakes/ListAmis", Needs::Look),
    ("/wharf.v1.Bakes/CollectAmis", Needs::Administer),
    ("/wharf.v1.Trust/AddGrant", Needs::Administer),
    ("/wharf.v1.Trust/ListGrants", Needs::Administer),
    ("/wharf.v1.Trust/RemoveGrant", Needs::Administer),
    ("/wharf.v1.Trust/SetImagePolicy", Needs::Administer),
    ("/wharf.v1.Trust/GetImagePolicy", Needs::Look),
    ("/wharf.v1.Trust/Audit", Needs::Administer),
    ("/grpc.health.v1.Health/Check", Needs::Look),
    ("/grpc.health.v1.Health/Watch", Needs::Look),
    ("/grpc.health.v1.Health/List", Needs::Look),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Look),
];

/// Who calls, once it is known that they may.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Somebody who wants to join.
    Stranger,
    /// A node, known by this certificate.
    Node(NodeId, Issued),
    /// An operator, and what they may do.
    Operator(OperatorName, Role),
    /// Root of the coordinator's machine.
    Local(u32),
    /// Whoever is on this machine, where nothing is protected.
    Unprotected,
}

impl Caller {
    /// Says who the other end is, by what is let in right now.
    ///
    /// # Errors
    /// When its certificate does not count.
    pub(crate) fn of(peer: &Peer, ledger: &Ledger) -> Result<Self, Denial> {
        match &peer.who {
            Who::Stranger => Ok(Self::Stranger),
            Who::Local { user } => Ok(Self::Local(*user)),
            Who::Unprotected => Ok(Self::Unprotected),
            Who::Certified(certificate) => match &certificate.name {
                Name::Node(node) => {
                    let (serial, expires_at) = (certificate.serial.clone(), certificate.not_after);
                    let shown = Issued { serial, expires_at };
                    ledger.admits(node, &shown)?;
                    Ok(Self::Node(node.clone(), shown))
                }
                Name::Operator(name) => {
                    let role = ledger.role(name, &certificate.serial)?;
                    Ok(Self::Operator(name.clone(), role.clone()))
                }
                // Turned away when the connection was made.
                Name::Coordinator => Ok(Self::Stranger),
            },
        }
    }

    /// Says whether they may make calls that need this. Of what the call is about nothing is known yet.
    pub(crate) const fn may(&self, needs: Needs) -> bool {
        match (self, needs) {
            (Self::Unprotected, _) => true,
            (Self::Stranger, Needs::Nothing) | (Self::Node(..), Needs::Node) => true,
            (Self::Operator(_, role), needs) => is_within(role, needs),
            (Self::Local(_), Needs::Look | Needs::Change | Needs::Operate | Needs::Administer) => {
                true
            }
            (Self::Local(_), Needs::Nothing | Needs::Node)
            | (Self::Stranger | Self::Node(..), _) => false,
        }
    }

    /// Refuses what is about a service that they may not change.
    ///
    /// # Errors
    /// When they may not.
    pub(crate) fn may_change(&self, services: &[ServiceId]) -> Result<(), Status> {
        let role = match self {
            Self::Local(_) | Self::Unprotected => return Ok(()),
            Self::Operator(_, role) => role,
            Self::Stranger | Self::Node(..) => return Err(self.denied("services")),
        };
        match services.iter().find(|service| !role.changes(service)) {
            None => Ok(()),
            Some(service) => Err(self.denied(&format!("service {service}"))),
        }
    }

    /// Says whether they decide about machines, and so need nobody's leave to use them.
    pub(crate) const fn rules_machines(&self) -> bool {
        match self {
            Self::Operator(_, Role::Admin) | Self::Local(_) | Self::Unprotected => true,
            Self::Operator(_, Role::Viewer | Role::Deployer(_) | Role::Operator)
            | Self::Stranger
            | Self::Node(..) => false,
        }
    }

    /// The node that calls. On an unprotected listener that is whichever it says.
    ///
    /// # Errors
    /// When it is another one than the one it says it is.
    pub(crate) fn is_node(&self, said: &NodeId) -> Result<(), Status> {
        match self {
            Self::Unprotected => Ok(()),
            Self::Node(node, _) if node == said => Ok(()),
            Self::Node(node, _) => Err(hinted(
                Status::permission_denied(format!(
                    "the certificate is of node {node}, and it speaks for node {said}"
                )),
                "each node has a state directory of its own: was it copied, or was its name changed?",
            )),
            Self::Stranger | Self::Operator(..) | Self::Local(_) => Err(self.denied("a node")),
        }
    }

    fn denied(&self, what: &str) -> Status {
        let status = Status::permission_denied(format!("{self} may not change {what}"));
        hinted(
            status,
            "an administrator can give another role: `wharf operator ls` shows who may what",
        )
    }
}

/// Spelled out, so that a new role or a new need has to be thought of here.
const fn is_within(role: &Role, needs: Needs) -> bool {
    match (role, needs) {
        (_, Needs::Nothing | Needs::Node) => false,
        (Role::Viewer, Needs::Look)
        | (Role::Deployer(_), Needs::Look | Needs::Change)
        | (Role::Operator, Needs::Look | Needs::Change | Needs::Operate)
        | (Role::Admin, Needs::Look | Needs::Change | Needs::Operate | Needs::Administer) => true,
        (Role::Viewer, Needs::Change | Needs::Operate | Needs::Administer)
        | (Role::Deployer(_), Needs::Operate | Needs::Administer)
        | (Role::Operator, Needs::Administer) => false,
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stranger => f.write_str("somebody without a certificate"),
            Self::Node(node, _) => write!(f, "node {node}"),
            Self::Operator(name, role) => write!(f, "{name} ({})", role.as_str()),
            Self::Local(user) => write!(f, "user {user} of the coordinator's machine"),
            Self::Unprotected => f.write_str("somebody of the coordinator's machine"),
        }
    }
}

/// Decides about a call before it is read.
///
/// # Errors
/// When whoever calls may not.
pub(crate) fn decide(path: &str, peer: &Peer, ledger: &Ledger) -> Result<Caller, Status> {
    let caller = Caller::of(peer, ledger).map_err(|denial| denied(&denial))?;
    let row = TABLE.iter().find(|(known, _)| *known == path);
    // Where nothing is protected an unknown call is answered as such.
    if row.is_none() && matches!(caller, Caller::Unprotected) {
        return Ok(caller);
    }
    match row {
        Some((_, needs)) if caller.may(*needs) => Ok(caller),
        Some(_) | None => Err(hinted(
            Status::permission_denied(format!("{caller} may not call {path}")),
            match caller {
                Caller::Stranger => {
                    "give a context with a certificate: `wharf context ls` shows them"
                }
                Caller::Operator(..) => {
                    "an administrator can give another role: `wharf operator ls` shows who may what"
                }
                Caller::Node(..) | Caller::Local(_) | Caller::Unprotected => {
                    "an operator's certificate is needed: `wharf operator add`"
                }
            },
        )),
    }
}

/// Their certificate does not count any more.
pub(crate) fn denied(denial: &Denial) -> Status {
    let hint = match denial {
        Denial::UnknownNode(_) | Denial::Revoked(..) | Denial::Superseded(_) => {
            "`wharf token create --node NAME` makes a token by which this node joins anew"
        }
        Denial::UnknownOperator(_) => "an administrator can add them again: `wharf operator add`",
    };
    hinted(Status::unauthenticated(denial.to_string()), hint)
}

/// Whoever makes this request, as they are put on the record for it.
///
/// # Errors
/// When nobody has looked: then nothing may be done.
pub(crate) fn by<T>(request: &Request<T>) -> Result<By, Status> {
    let by = request.extensions().get::<By>().cloned();
    by.ok_or_else(|| Status::permission_denied("it is not known who calls"))
}

/// Who makes this request.
///
/// # Errors
/// When nobody has looked: then nothing may be done.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::permission_denied("it is not known who calls"))
}

#[cfg(test)]
mod tests;
