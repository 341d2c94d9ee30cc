//! What is going to happen, in the order of time; at the same instant in the order in which it was written down.

use std::collections::{BTreeMap, BTreeSet};

use model::fleet::Outlook;
use model::id::NodeId;
use model::node::Node;
use model::task::Exit;
use model::time::Timestamp;

use crate::agent_core::Order;
use crate::agent_core::assignment::Assignments;
use crate::agent_core::event::{Event, OrphanReport, Report};
use crate::coordinator_core::command::Command;
use crate::coordinator_core::event::FleetEvent;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// Something that an operator or fate might do.
    Fate,
    /// The coordinator looks at what it heard.
    Turn,
    /// The coordinator is started again.
    Revive,
    /// The cloud says that a machine is gone.
    Buried(NodeId),
    /// The cloud is looked at.
    Look,
    /// The load balancers are looked at.
    LookAtBalancers,
    /// A letter of the cloud arrives.
    Letter(FleetEvent),
    /// A request reaches the cloud.
    Ask(Command),
    /// The cloud takes a machine back.
    TakenBack(NodeId),
    /// Nothing gets through to a machine, which is heard again by then.
    CutOff(NodeId),
    /// Somebody starts the agent.
    Boot(NodeId),
    /// A message reaches the coordinator.
    Up { node: NodeId, session: u64, message: Up },
    /// Something reaches one life of an agent: one that was started since does not hear it.
    Agent { node: NodeId, life: u64, what: ForAgent },
    /// Something happens in an engine.
    Engine { node: NodeId, what: ForEngine },
}

/// What an agent says.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Hello(Box<Node>),
    Beat { engine_ready: bool },
    Stock { images: BTreeSet<u32>, volumes: BTreeSet<String> },
    Foreseen(Outlook),
    Report { tasks: Vec<Report>, extent: Extent, orphans: Vec<OrphanReport>, engine_ready: bool },
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    News,
    Everything,
}

/// What a coordinator says.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Welcome,
    Assignments(Assignments),
    RemoveOrphans(Vec<String>),
    Fetch(BTreeSet<u32>),
}

#[derive(Debug, Clone)]
pub(crate) enum ForAgent {
    /// Time alone changed something, so it said.
    Wake,
    /// Every 15 seconds everything is listed.
    Relist,
    Beat,
    /// Tries to reach the coordinator.
    Dial,
    /// The metadata service has answered.
    Foresee,
    /// The engine has answered.
    Heard(Box<Event>),
    /// The engine listed everything, or could not.
    Listed(Box<Event>),
    Down {
        session: u64,
        message: Down,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum ForEngine {
    /// An order arrives, given by this life of the agent.
    Perform {
        life: u64,
        order: Order,
    },
    List {
        life: u64,
        asked_at: Timestamp,
    },
    Glance {
        life: u64,
        id: String,
    },
    /// Images are fetched ahead.
    Fetch {
        life: u64,
        images: BTreeSet<u32>,
    },
    /// A container ends by itself.
    End {
        id: String,
        exit: Exit,
    },
    /// The engine answers again.
    Up,
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Happening>,
    written: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Timestamp, what: Happening) {
        self.written += 1;
        self.entries.insert((at, self.written), what);
    }

    /// The next thing, if it happens before `end`.
    pub(crate) fn next(&mut self, end: Timestamp) -> Option<(Timestamp, Happening)> {
        let first = self.entries.first_entry().filter(|entry| entry.key().0 < end)?;
        let ((at, _), what) = first.remove_entry();
        Some((at, what))
    }

    /// Fate strikes no more.
    pub(crate) fn cancel_fate(&mut self) {
        self.entries.retain(|_, what| !matches!(what, Happening::Fate | Happening::CutOff(_)));
    }
}
