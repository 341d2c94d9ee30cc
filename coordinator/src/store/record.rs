//! A change as a record of a store: its kind, its key, and its value in the stored schema.

use std::sync::Arc;

use coordinator_core::cluster::Change;
use coordinator_core::trust;
use prost::Message;
use proto::convert::{
    admission_from_wire, admission_to_wire, allowance_from_wire, allowance_to_wire, ami_from_wire,
    ami_to_wire, bake_from_wire, bake_to_wire, freeze_from_wire, freeze_to_wire, hook_from_wire,
    hook_to_wire, image_policy_from_wire, image_policy_to_wire, node_from_wire, node_to_wire,
    operator_from_wire, operator_to_wire, permit_from_wire, permit_to_wire, pool_from_wire,
    pool_to_wire, refresh_from_wire, refresh_to_wire, registration_from_wire, registration_to_wire,
    secret_from_wire, secret_to_wire, service_from_wire, service_to_wire, task_from_wire,
    task_to_wire, token_from_wire, token_to_wire, upkeep_from_wire, upkeep_to_wire,
};
use proto::wire;

/// What a record is of. The numbers are in stores: none is ever used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A service.
    Service = 1,
    /// A task.
    Task = 2,
    /// A node.
    Node = 3,
    /// What there is one of.
    Counters = 4,
    /// A pool.
    Pool = 5,
    /// A lifecycle action.
    Hook = 6,
    /// A bake.
    Bake = 10,
    /// A machine image.
    Ami = 11,
    /// A refresh of a pool.
    Refresh = 15,
    /// Something that was registered at a load balancer.
    Registration = 16,
    /// A secret.
    Secret = 30,
    /// Why no refresh goes on.
    Freeze = 34,
    /// A recipe of which bakes begin by themselves.
    Upkeep = 38,
    /// The authority of the cluster.
    Authority = 20,
    /// A join token.
    Token = 21,
    /// A node that was let in.
    Admission = 22,
    /// An operator.
    Operator = 23,
    /// A record of who did what.
    Audit = 24,
    /// An end of these.
    AuditMark = 25,
    /// What services may ask of machines.
    Permit = 26,
    /// From where images may come.
    Images = 31,
    /// Which services may name values that AWS keeps.
    Allowance = 40,
}

/// Whether what has such a number is about who is let in or who did what, and no part of the cluster.
pub(crate) const fn is_trust(kind: i64) -> bool {
    matches!(kind, 20..=29 | 31 | 40)
}
/// Who did what: a chain, which is read in pages.
pub(crate) const AUDIT: std::ops::RangeInclusive<i64> = 24..=25;

/// One write to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of what.
    pub kind: Kind,
    /// Which one.
    pub key: String,
    /// Its value; none when it is forgotten.
    pub value: Option<Vec<u8>>,
}

/// Writes a change as a record.
#[must_use]
pub fn to_record(change: &Change) -> Record {
    let put = |kind, key: String, value: Vec<u8>| Record { kind, key, value: Some(value) };
    match change {
        Change::PutService(service) => {
            put(Kind::Service, service.id.to_string(), service_to_wire(service).encode_to_vec())
        }
        Change::PutTask(task) => {
            put(Kind::Task, task.id.to_string(), task_to_wire(task).encode_to_vec())
        }
        Change::PutNode(node) => {
            put(Kind::Node, node.id.to_string(), node_to_wire(node).encode_to_vec())
        }
        Change::PutNextTask(next_task) => {
            let counters = wire::Counters { next_task: *next_task };
            put(Kind::Counters, String::new(), counters.encode_to_vec())
        }
        Change::PutPool(pool) => {
            put(Kind::Pool, pool.name.clone(), pool_to_wire(pool).encode_to_vec())
        }
        Change::PutHook(hook) => {
            put(Kind::Hook, hook.id.to_string(), hook_to_wire(hook).encode_to_vec())
        }
        Change::PutRefresh(refresh) => {
            put(Kind::Refresh, refresh.id.to_string(), refresh_to_wire(refresh).encode_to_vec())
        }
        Change::PutBake(bake) => {
            put(Kind::Bake, bake.id.to_string(), bake_to_wire(bake).encode_to_vec())
        }
        Change::PutAmi(ami) => put(Kind::Ami, ami.id.to_string(), ami_to_wire(ami).encode_to_vec()),
        Change::PutUpkeep(upkeep) => {
            let value = upkeep_to_wire(upkeep).encode_to_vec();
            put(Kind::Upkeep, upkeep.recipe.name.to_string(), value)
        }
        Change::RemoveUpkeep(name) => forgotten(Kind::Upkeep, name.to_string()),
        Change::PutRegistration(registration) => {
            let value = registration_to_wire(registration).encode_to_vec();
            put(Kind::Registration, registration.id.to_string(), value)
        }
        Change::RemoveRegistration(id) => forgotten(Kind::Registration, id.to_string()),
        Change::PutSecret(secret) => {
            put(Kind::Secret, secret.name.to_string(), secret_to_wire(secret).encode_to_vec())
        }
        Change::RemoveSecret(name) => forgotten(Kind::Secret, name.to_string()),
        Change::RemoveBake(id) => forgotten(Kind::Bake, id.to_string()),
        Change::RemoveAmi(id) => forgotten(Kind::Ami, id.to_string()),
        Change::RemoveService(id) => forgotten(Kind::Service, id.to_string()),
        Change::RemoveTask(id) => forgotten(Kind::Task, id.to_string()),
        Change::RemoveNode(id) => forgotten(Kind::Node, id.to_string()),
        Change::RemovePool(name) => forgotten(Kind::Pool, name.clone()),
        Change::RemoveHook(id) => forgotten(Kind::Hook, id.to_string()),
        Change::RemoveRefresh(id) => forgotten(Kind::Refresh, id.to_string()),
        Change::SetFreeze(Some(freeze)) => {
            put(Kind::Freeze, String::new(), freeze_to_wire(freeze).encode_to_vec())
        }
        Change::SetFreeze(None) => forgotten(Kind::Freeze, String::new()),
    }
}

const fn forgotten(kind: Kind, key: String) -> Record {
    Record { kind, key, value: None }
}

/// There is one of it.
const IMAGES: &str = "images";

/// Writes a change about who is let in as a record.
#[must_use]
pub fn trust_to_record(change: &trust::Change) -> Record {
    use trust::Change;
    let record = |kind, key: String, value| Record { kind, key, value };
    match change {
        Change::PutToken(token) => {
            let value = token_to_wire(token).encode_to_vec();
            record(Kind::Token, token.id.to_string(), Some(value))
        }
        Change::RemoveToken(id) => record(Kind::Token, id.to_string(), None),
        Change::PutAdmission(admission) => {
            let value = admission_to_wire(admission).encode_to_vec();
            record(Kind::Admission, admission.node.to_string(), Some(value))
        }
        Change::RemoveAdmission(node) => record(Kind::Admission, node.to_string(), None),
        Change::PutOperator(operator) => {
            let value = operator_to_wire(operator).encode_to_vec();
            record(Kind::Operator, operator.name.to_string(), Some(value))
        }
        Change::RemoveOperator(name) => record(Kind::Operator, name.to_string(), None),
        Change::PutPermit(permit) => {
            let value = permit_to_wire(permit).encode_to_vec();
            record(Kind::Permit, permit.services.to_string(), Some(value))
        }
        Change::RemovePermit(services) => record(Kind::Permit, services.to_string(), None),
        Change::PutImages(policy) => {
            let value = image_policy_to_wire(policy).encode_to_vec();
            record(Kind::Images, IMAGES.to_owned(), Some(value))
        }
        Change::RemoveImages => record(Kind::Images, IMAGES.to_owned(), None),
        Change::PutAllowance(allowance) => {
            let value = allowance_to_wire(allowance).encode_to_vec();
            record(Kind::Allowance, allowance.references.to_string(), Some(value))
        }
        Change::RemoveAllowance(references) => {
            record(Kind::Allowance, references.to_string(), None)
        }
    }
}

/// Reads a record about who is let in.
///
/// # Errors
/// Says what is wrong with it.
pub fn trust_from_record(kind: i64, key: &str, value: &[u8]) -> Result<trust::Change, String> {
    use trust::Change;
    let read = || match kind {
        21 => {
            let token = wire::JoinToken::decode(value).map_err(|error| error.to_string())?;
            token_from_wire(&token).map(Change::PutToken).map_err(|error| error.to_string())
        }
        22 => {
            let from = wire::Admission::decode(value).map_err(|error| error.to_string())?;
            admission_from_wire(&from).map(Change::PutAdmission).map_err(|error| error.to_string())
        }
        23 => {
            let from = wire::StoredOperator::decode(value).map_err(|error| error.to_string())?;
            operator_from_wire(&from).map(Change::PutOperator).map_err(|error| error.to_string())
        }
        26 => {
            let from = wire::StoredPermit::decode(value).map_err(|error| error.to_string())?;
            permit_from_wire(&from).map(Change::PutPermit).map_err(|error| error.to_string())
        }
        31 => {
            let from = wire::StoredImagePolicy::decode(value).map_err(|error| error.to_string())?;
            image_policy_from_wire(&from).map(Change::PutImages).map_err(|error| error.to_string())
        }
        40 => {
            let from = wire::StoredAllowance::decode(value).map_err(|error| error.to_string())?;
            allowance_from_wire(&from).map(Change::PutAllowance).map_err(|error| error.to_string())
        }
        _ => Err("a kind of record that this version does not know".to_owned()),
    };
    read().map_err(|why| format!("record {kind} {key:?}: {why}"))
}

/// Reads a record that was put.
///
/// # Errors
/// Says what is wrong with it.
pub fn from_record(kind: i64, key: &str, value: &[u8]) -> Result<Change, String> {
    let named = |why: String| format!("record {kind} {key:?}: {why}");
    let read = || match kind {
        1 => {
            let service = wire::Service::decode(value).map_err(|error| error.to_string())?;
            let service = service_from_wire(&service).map_err(|error| error.to_string())?;
            Ok(Change::PutService(Arc::new(service)))
        }
        2 => {
            let task = wire::Task::decode(value).map_err(|error| error.to_string())?;
            let task = task_from_wire(&task).map_err(|error| error.to_string())?;
            Ok(Change::PutTask(Arc::new(task)))
        }
        3 => {
            let node = wire::Node::decode(value).map_err(|error| error.to_string())?;
            let node = node_from_wire(&node).map_err(|error| error.to_string())?;
            Ok(Change::PutNode(Arc::new(node)))
        }
        4 => {
            let counters = wire::Counters::decode(value).map_err(|error| error.to_string())?;
            Ok(Change::PutNextTask(counters.next_task))
        }
        5 => {
            let pool = wire::Pool::decode(value).map_err(|error| error.to_string())?;
            let pool = pool_from_wire(&pool).map_err(|error| error.to_string())?;
            Ok(Change::PutPool(Arc::new(pool)))
        }
        6 => {
            let hook = wire::Hook::decode(value).map_err(|error| error.to_string())?;
            let hook = hook_from_wire(&hook).map_err(|error| error.to_string())?;
            Ok(Change::PutHook(Arc::new(hook)))
        }
        15 => {
            let refresh = wire::Refresh::decode(value).map_err(|error| error.to_string())?;
            let refresh = refresh_from_wire(&refresh).map_err(|error| error.to_string())?;
            Ok(Change::PutRefresh(Arc::new(refresh)))
        }
        10 => {
            let bake = wire::Bake::decode(value).map_err(|error| error.to_string())?;
            let bake = bake_from_wire(&bake).map_err(|error| error.to_string())?;
            Ok(Change::PutBake(Arc::new(bake)))
        }
        11 => {
            let ami = wire::Ami::decode(value).map_err(|error| error.to_string())?;
            let ami = ami_from_wire(&ami).map_err(|error| error.to_string())?;
            Ok(Change::PutAmi(Arc::new(ami)))
        }
        38 => {
            let from = wire::Upkeep::decode(value).map_err(|error| error.to_string())?;
            let upkeep = upkeep_from_wire(&from).map_err(|error| error.to_string())?;
            Ok(Change::PutUpkeep(Arc::new(upkeep)))
        }
        16 => {
            let from = wire::Registration::decode(value).map_err(|error| error.to_string())?;
            let registration = registration_from_wire(&from).map_err(|error| error.to_string())?;
            Ok(Change::PutRegistration(Arc::new(registration)))
        }
        34 => {
            let freeze = wire::Freeze::decode(value).map_err(|error| error.to_string())?;
            let freeze = freeze_from_wire(&freeze).map_err(|error| error.to_string())?;
            Ok(Change::SetFreeze(Some(Arc::new(freeze))))
        }
        30 => {
            let secret = wire::StoredSecret::decode(value).map_err(|error| error.to_string())?;
            let secret = secret_from_wire(&secret).map_err(|error| error.to_string())?;
            Ok(Change::PutSecret(Arc::new(secret)))
        }
        _ => Err("a kind of record that this version does not know".to_owned()),
    };
    read().map_err(named)
}
