//! What is stored, as the model knows it, and how it is written and read.

use std::sync::Arc;

use model::audit::Act;
use model::bake::{Ami, Bake, Upkeep};
use model::fleet::{Hook, Pool};
use model::id::{ClusterId, ContainerName, NodeId};
use model::node::Node;
use model::policy::Permit;
use model::policy::images::ImagePolicy;
use model::refresh::{Freeze, Refresh};
use model::secret::Secret;
use model::secret::reference::Allowance;
use model::service::Service;
use model::spec::TaskSpec;
use model::task::{Task, TaskState};
use model::time::Timestamp;
use model::traffic::Registration;
use model::trust::{Admission, Operator, Token};
use prost::Message;
use proto::convert::{
    WireAssignment, act_from_wire, act_to_wire, admission_from_wire, admission_to_wire,
    allowance_from_wire, allowance_to_wire, ami_from_wire, ami_to_wire, assignment_from_wire,
    assignment_to_journal, bake_from_wire, bake_to_wire, freeze_from_wire, freeze_to_wire,
    hook_from_wire, hook_to_wire, image_policy_from_wire, image_policy_to_wire, node_from_wire,
    node_to_wire, operator_from_wire, operator_to_wire, permit_from_wire, permit_to_wire,
    pool_from_wire, pool_to_wire, refresh_from_wire, refresh_to_wire, registration_from_wire,
    registration_to_wire, secret_from_wire, secret_to_wire, service_from_wire, service_to_wire,
    state_from_wire, state_to_wire, task_from_wire, task_spec_from_wire, task_spec_to_wire,
    task_to_wire, token_from_wire, token_to_wire, upkeep_from_wire, upkeep_to_wire,
};
use proto::wire;

/// One record of a store, or the payload of a journal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Service(Service),
    Task(Task),
    Node(Node),
    Counters(wire::Counters),
    Identity(wire::Identity),
    Journal(Journal),
    Authority(wire::Authority),
    Token(Token),
    Admission(Admission),
    Operator(Operator),
    Pool(Pool),
    Hook(Hook),
    Refresh(Refresh),
    Freeze(Freeze),
    Registration(Registration),
    Act(u64, Act),
    AuditRecord(wire::AuditRecord),
    AuditMark(wire::AuditMark),
    Permit(Permit),
    ImagePolicy(ImagePolicy),
    Allowance(Allowance),
    Bake(Bake),
    Ami(Ami),
    Upkeep(Upkeep),
    Secret(Secret),
}

/// What an agent keeps, as its own core knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Journal {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) fence: wire::Fence,
    /// Specs that tasks share.
    pub(crate) specs: Vec<Arc<TaskSpec>>,
    /// Tasks, each with the place of its spec.
    pub(crate) tasks: Vec<(usize, Kept)>,
}

/// A task in a journal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) assignment: WireAssignment,
    pub(crate) state: TaskState,
    pub(crate) parts: Vec<(ContainerName, u32, bool)>,
    /// When its lease ends.
    pub(crate) lease: Option<Timestamp>,
}

impl Stored {
    /// The name of its message.
    pub(crate) const fn message(&self) -> &'static str {
        match self {
            Self::Service(_) => "Service",
            Self::Task(_) => "Task",
            Self::Node(_) => "Node",
            Self::Counters(_) => "Counters",
            Self::Identity(_) => "Identity",
            Self::Journal(_) => "Journal",
            Self::Authority(_) => "Authority",
            Self::Token(_) => "JoinToken",
            Self::Admission(_) => "Admission",
            Self::Operator(_) => "StoredOperator",
            Self::Pool(_) => "Pool",
            Self::Hook(_) => "Hook",
            Self::Refresh(_) => "Refresh",
            Self::Registration(_) => "Registration",
            Self::Act(..) => "Act",
            Self::AuditRecord(_) => "AuditRecord",
            Self::AuditMark(_) => "AuditMark",
            Self::Permit(_) => "StoredPermit",
            Self::ImagePolicy(_) => "StoredImagePolicy",
            Self::Allowance(_) => "StoredAllowance",
            Self::Bake(_) => "Bake",
            Self::Ami(_) => "Ami",
            Self::Upkeep(_) => "Upkeep",
            Self::Secret(_) => "StoredSecret",
            Self::Freeze(_) => "Freeze",
        }
    }

    /// The bytes that a store or a journal holds.
    pub(crate) fn write(&self) -> Vec<u8> {
        match self {
            Self::Service(service) => service_to_wire(service).encode_to_vec(),
            Self::Task(task) => task_to_wire(task).encode_to_vec(),
            Self::Node(node) => node_to_wire(node).encode_to_vec(),
            Self::Counters(counters) => counters.encode_to_vec(),
            Self::Identity(identity) => identity.encode_to_vec(),
            Self::Journal(journal) => journal.write().encode_to_vec(),
            Self::Authority(authority) => authority.encode_to_vec(),
            Self::Token(token) => token_to_wire(token).encode_to_vec(),
            Self::Admission(admission) => admission_to_wire(admission).encode_to_vec(),
            Self::Operator(operator) => operator_to_wire(operator).encode_to_vec(),
            Self::Pool(pool) => pool_to_wire(pool).encode_to_vec(),
            Self::Hook(hook) => hook_to_wire(hook).encode_to_vec(),
            Self::Refresh(refresh) => refresh_to_wire(refresh).encode_to_vec(),
            Self::Freeze(freeze) => freeze_to_wire(freeze).encode_to_vec(),
            Self::Registration(registration) => registration_to_wire(registration).encode_to_vec(),
            Self::Act(sequence, act) => act_to_wire(act, *sequence).encode_to_vec(),
            Self::AuditRecord(record) => record.encode_to_vec(),
            Self::AuditMark(mark) => mark.encode_to_vec(),
            Self::Permit(permit) => permit_to_wire(permit).encode_to_vec(),
            Self::ImagePolicy(policy) => image_policy_to_wire(policy).encode_to_vec(),
            Self::Allowance(allowance) => allowance_to_wire(allowance).encode_to_vec(),
            Self::Bake(bake) => bake_to_wire(bake).encode_to_vec(),
            Self::Ami(ami) => ami_to_wire(ami).encode_to_vec(),
            Self::Upkeep(upkeep) => upkeep_to_wire(upkeep).encode_to_vec(),
            Self::Secret(secret) => secret_to_wire(secret).encode_to_vec(),
        }
    }

    /// Reads such bytes.
    pub(crate) fn read(message: &str, bytes: &[u8]) -> Self {
        match message {
            "Service" => {
                let service = wire::Service::decode(bytes).unwrap();
                Self::Service(service_from_wire(&service).unwrap())
            }
            "Task" => Self::Task(task_from_wire(&wire::Task::decode(bytes).unwrap()).unwrap()),
            "Node" => Self::Node(node_from_wire(&wire::Node::decode(bytes).unwrap()).unwrap()),
            "Counters" => Self::Counters(wire::Counters::decode(bytes).unwrap()),
            "Identity" => Self::Identity(wire::Identity::decode(bytes).unwrap()),
            "Authority" => Self::Authority(wire::Authority::decode(bytes).unwrap()),
            "JoinToken" => {
                let token = wire::JoinToken::decode(bytes).unwrap();
                Self::Token(token_from_wire(&token).unwrap())
            }
            "Admission" => {
                let admission = wire::Admission::decode(bytes).unwrap();
                Self::Admission(admission_from_wire(&admission).unwrap())
            }
            "StoredOperator" => {
                let operator = wire::StoredOperator::decode(bytes).unwrap();
                Self::Operator(operator_from_wire(&operator).unwrap())
            }
            "Pool" => Self::Pool(pool_from_wire(&wire::Pool::decode(bytes).unwrap()).unwrap()),
            "Hook" => Self::Hook(hook_from_wire(&wire::Hook::decode(bytes).unwrap()).unwrap()),
            "Refresh" => {
                let refresh = wire::Refresh::decode(bytes).unwrap();
                Self::Refresh(refresh_from_wire(&refresh).unwrap())
            }
            "Freeze" => {
                let freeze = wire::Freeze::decode(bytes).unwrap();
                Self::Freeze(freeze_from_wire(&freeze).unwrap())
            }
            "Registration" => {
                let registration = wire::Registration::decode(bytes).unwrap();
                Self::Registration(registration_from_wire(&registration).unwrap())
            }
            "Act" => {
                let (sequence, act) = act_from_wire(&wire::Act::decode(bytes).unwrap()).unwrap();
                Self::Act(sequence, act)
            }
            "AuditRecord" => Self::AuditRecord(wire::AuditRecord::decode(bytes).unwrap()),
            "AuditMark" => Self::AuditMark(wire::AuditMark::decode(bytes).unwrap()),
            "StoredPermit" => {
                let permit = wire::StoredPermit::decode(bytes).unwrap();
                Self::Permit(permit_from_wire(&permit).unwrap())
            }
            "StoredImagePolicy" => {
                let policy = wire::StoredImagePolicy::decode(bytes).unwrap();
                Self::ImagePolicy(image_policy_from_wire(&policy).unwrap())
            }
            "StoredAllowance" => {
                let allowance = wire::StoredAllowance::decode(bytes).unwrap();
                Self::Allowance(allowance_from_wire(&allowance).unwrap())
            }
            "Bake" => Self::Bake(bake_from_wire(&wire::Bake::decode(bytes).unwrap()).unwrap()),
            "Ami" => Self::Ami(ami_from_wire(&wire::Ami::decode(bytes).unwrap()).unwrap()),
            "Upkeep" => {
                Self::Upkeep(upkeep_from_wire(&wire::Upkeep::decode(bytes).unwrap()).unwrap())
            }
            "StoredSecret" => {
                let secret = wire::StoredSecret::decode(bytes).unwrap();
                Self::Secret(secret_from_wire(&secret).unwrap())
            }
            "Journal" => Self::Journal(Journal::read(&wire::Journal::decode(bytes).unwrap())),
            other => panic!("nothing that is stored is a {other}"),
        }
    }
}

impl Journal {
    fn write(&self) -> wire::Journal {
        let tasks = self.tasks.iter().map(|(spec, kept)| wire::JournalTask {
            assignment: Some(assignment_to_journal(&kept.assignment)),
            spec: u32::try_from(*spec).unwrap(),
            containers: kept
                .parts
                .iter()
                .map(|(name, attempt, over)| wire::JournalContainer {
                    name: name.to_string(),
                    attempt: *attempt,
                    over: *over,
                })
                .collect(),
            state: Some(state_to_wire(&kept.state)),
            lease_until_ms: kept.lease.map(Timestamp::as_millis),
        });
        wire::Journal {
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            fence: Some(self.fence),
            tasks: tasks.collect(),
            specs: self.specs.iter().map(|spec| task_spec_to_wire(spec)).collect(),
        }
    }

    fn read(from: &wire::Journal) -> Self {
        let specs = from.specs.iter().map(|spec| Arc::new(task_spec_from_wire(spec).unwrap()));
        let specs: Vec<_> = specs.collect();
        let tasks = from.tasks.iter().map(|task| {
            let index = usize::try_from(task.spec).unwrap();
            let assignment = task.assignment.as_ref().unwrap();
            let part = |part: &wire::JournalContainer| {
                (part.name.parse().unwrap(), part.attempt, part.over)
            };
            let kept = Kept {
                assignment: assignment_from_wire(assignment, Arc::clone(&specs[index])).unwrap(),
                state: state_from_wire(task.state.as_ref()).unwrap(),
                parts: task.containers.iter().map(part).collect(),
                lease: task.lease_until_ms.map(Timestamp::from_millis),
            };
            (index, kept)
        });
        Self {
            cluster: from.cluster.parse().unwrap(),
            node: from.node.parse().unwrap(),
            fence: from.fence.unwrap(),
            tasks: tasks.collect(),
            specs,
        }
    }
}
