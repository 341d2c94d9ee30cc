//! What is heard of machines of Auto Scaling groups.

use std::fmt;
use std::time::Duration;

use model::fleet::{HookCall, HookId, Notice, Outlook, PoolPolicy, Survey, WAIT_LIMITS};
use model::id::NodeId;
use model::refresh::{Blueprint, RefreshId, RefreshPolicy};
use model::rollout::Steering;
use model::schedule::Window;
use model::time::Timestamp;

use crate::command::{Key, Outcome};

/// Something heard of machines of Auto Scaling groups.
#[derive(Debug, Clone)]
pub enum FleetEvent {
    /// An operator has the machines of an Auto Scaling group as nodes, or says how they come and go.
    PutPool {
        /// The name of the group.
        name: String,
        /// How.
        policy: PoolPolicy,
    },
    /// An operator says when the machines of a pool may be replaced: at all times when there are no windows.
    SetWindows {
        /// The name of the pool.
        name: String,
        /// When.
        windows: Vec<Window>,
    },
    /// An operator leaves an Auto Scaling group to itself.
    RemovePool(String),
    /// Somebody has looked at the cloud.
    Surveyed(Box<Survey>),
    /// A group waits for an answer.
    Hooked(HookCall),
    /// The cloud says what a machine has to expect.
    Noticed {
        /// Which.
        node: NodeId,
        /// What.
        notice: Notice,
    },
    /// An agent says all that its machine has to expect.
    Foreseen {
        /// Which.
        node: NodeId,
        /// What.
        outlook: Outlook,
    },
    /// The cloud has done what it was asked, or not.
    Performed {
        /// What it was asked.
        key: Key,
        /// What came of it.
        outcome: Outcome,
    },
    /// An operator wants something of the machine images of a pool.
    Refresh(RefreshEvent),
}

/// Something that an operator wants of the machine images of a pool.
#[derive(Debug, Clone)]
pub enum RefreshEvent {
    /// Its machines replaced.
    Start {
        /// Of which pool.
        pool: String,
        /// By what.
        target: Target,
        /// How.
        policy: RefreshPolicy,
        /// What a plan that the operator has seen was made of: if it is otherwise by now nothing is done.
        expect: Option<u64>,
        /// Pools whose refreshes are through before it begins.
        after: Vec<String>,
    },
    /// Something of the refresh that is under way.
    Steer {
        /// Of which pool.
        pool: String,
        /// What.
        steering: Steering,
    },
    /// That the one that is under way waits for no window, no end of a freeze and no other refresh.
    Override {
        /// Of which pool.
        pool: String,
        /// Why.
        reason: String,
    },
    /// That no machine of any pool is replaced, but where there is a reason to do so all the same.
    Freeze {
        /// Why.
        why: String,
        /// Until when; none when somebody is to end it.
        until: Option<Timestamp>,
    },
    /// That they are replaced again.
    Unfreeze,
    /// The machines as they were before the refresh that is under way, or the last one.
    RollBack {
        /// Of which pool.
        pool: String,
    },
}

/// What machines are to be replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Such as are launched as now, from another machine image.
    Ami(String),
    /// Such as are launched from these versions.
    Blueprint(Blueprint),
}

/// Why what was asked of a pool, or of a machine of one, can not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolRefusal {
    /// There is no such pool.
    None(String),
    /// The group waits for an answer about this machine.
    Waits(String, HookId),
    /// The group is asked to end this machine because it is silent, and it is not proven gone.
    Ends(String, NodeId),
    /// No machine may be waited for so long, or so shortly.
    Wait(Duration),
    /// The machine ends, whatever an operator wants of its node.
    Leaving(NodeId),
    /// The pool is being refreshed.
    Refreshing(RefreshId),
    /// The pool is not being refreshed.
    NotRefreshing(String),
    /// It can not be said from what the machines of the pool are launched.
    NoBlueprint(String),
    /// The pool is launched from other templates than those that were named.
    OtherTemplates(String, Blueprint),
    /// Somebody else replaces the machines of the pool, by this.
    Foreign(String, String),
    /// All machines of the pool are as they are to be.
    Fresh(String),
    /// There is nothing to go back to.
    NothingBefore(String),
    /// A canary is watched by nobody, or it is over.
    NothingToPromote(RefreshId),
    /// Something is wrong with how it is to be done.
    Policy(String),
    /// The pool is not as it was when the plan was made.
    Overtaken(String),
    /// The first pool is to come after the second, and that can not be.
    After(String, String, NoOrder),
    /// The time for which refreshes are to stand still is over already.
    FreezeOver(Timestamp),
}

/// Why a refresh can not come after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOrder {
    /// It is of the same pool.
    Itself,
    /// There is none.
    None,
    /// It has not ended as it was meant to: how.
    Failed(String),
}

impl fmt::Display for NoOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("that is the same pool"),
            Self::None => f.write_str("that was not refreshed: begin with it"),
            Self::Failed(how) => write!(f, "its last refresh was {how}"),
        }
    }
}

impl fmt::Display for PoolRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(name) => write!(f, "there is no pool {name}: `wharf pool ls` names them"),
            Self::Waits(name, hook) => write!(
                f,
                "the group {name} waits for an answer about {hook}: try again once `wharf pool inspect {name}` shows none"
            ),
            Self::Ends(name, node) => write!(
                f,
                "the group {name} is asked to end {node}, which is silent: try again once EC2 shows that it is gone"
            ),
            Self::Wait(asked) => write!(
                f,
                "a machine is waited for from {} s to {} h, and {} s were asked for",
                WAIT_LIMITS.0.as_secs(),
                WAIT_LIMITS.1.as_secs() / 3_600,
                asked.as_secs()
            ),
            Self::Refreshing(id) => write!(
                f,
                "{id} is under way: `wharf refresh status {}` shows how far, `abort` and `rollback` end it",
                id.pool
            ),
            Self::NotRefreshing(pool) => write!(f, "no refresh of {pool} is under way"),
            Self::NoBlueprint(pool) => write!(
                f,
                "it is not known from which versions of launch templates {pool} launches: was it looked at, and has it a launch template, and each in one version only?"
            ),
            Self::OtherTemplates(pool, from) => write!(
                f,
                "{pool} is launched from {from}: say a version of each of these, and of no other"
            ),
            Self::Foreign(pool, what) => write!(
                f,
                "{what}, which is not ours, replaces the machines of {pool}: wait for it, or cancel it with `--take-over`"
            ),
            Self::Fresh(pool) => write!(f, "every machine of {pool} is launched from that already"),
            Self::NothingBefore(pool) => write!(
                f,
                "nothing is known to go back to: {pool} was not refreshed, or was rolled back already"
            ),
            Self::NothingToPromote(id) => {
                write!(f, "{id} watches no machines that could be promoted")
            }
            Self::Policy(why) => f.write_str(why),
            Self::After(pool, other, why) => {
                write!(f, "{pool} can not be refreshed after {other}: {why}")
            }
            Self::FreezeOver(until) => write!(f, "{} is over already", until),
            Self::Overtaken(pool) => {
                write!(f, "{pool} is not as it was when the plan was made: plan again")
            }
            Self::Leaving(node) => write!(
                f,
                "the machine of {node} is on its way out, or gets another root volume, and can not be kept: its tasks go elsewhere"
            ),
        }
    }
}
