//! All that an agent knows.

use std::collections::BTreeMap;

use model::id::{ContainerName, TaskId};
use model::task::TaskState;
use model::time::Timestamp;

use crate::action::Action;
use crate::assignment::{Assignment, Fence};
use crate::event::{OrphanReport, Report};
use crate::observed::{Container, Sign};
use crate::orphan::{self, Orphan};
use crate::outlook::Future;
use crate::report;
use crate::unit::{Doubt, Part, Unit};

/// All that an agent knows: what is wanted, what was seen, and what is being done.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    pub(crate) fence: Fence,
    pub(crate) units: BTreeMap<TaskId, Unit>,
    /// Containers of ours without a task, by the engine's id.
    pub(crate) orphans: BTreeMap<String, Orphan>,
    pub(crate) engine: Engine,
    /// What is known of the end of this machine.
    pub(crate) future: Future,
    /// When everything was said last.
    pub(crate) said_at: Timestamp,
    /// The journal knows another fence, or a task that is gone.
    pub(crate) is_unsaved: bool,
}

/// What is known of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Engine {
    /// It was not asked yet.
    #[default]
    Unasked,
    /// It listed our containers.
    Ready,
    /// It could not be asked. What runs there is unknown, not dead.
    Down {
        /// Why.
        why: String,
    },
}

/// What has to survive the agent: enough never to run a finished task again, nor make a container twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What is wanted.
    pub assignment: Assignment,
    /// What was seen last.
    pub state: TaskState,
    /// How far each container has come.
    pub parts: Vec<SavedPart>,
    /// When the lease ends that it holds.
    pub lease: Option<Timestamp>,
}

/// How far a container of a task has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPart {
    /// Which.
    pub name: ContainerName,
    /// The newest one that was made, or is about to be.
    pub attempt: u32,
    /// Whether that one has done its work, and is not started again though somebody removes it.
    pub is_over: bool,
}

impl Workload {
    /// Takes up what was saved. Nothing is done before the engine was asked what is there.
    #[must_use]
    pub fn restore(fence: Fence, saved: Vec<Saved>) -> Self {
        let units = saved.into_iter().map(|saved| {
            let mut unit = Unit::new(saved.assignment);
            unit.state = saved.state;
            unit.lease = saved.lease;
            unit.doubt = (!unit.state.is_final()).then_some(Doubt::Unlisted);
            for SavedPart { name, attempt, is_over } in saved.parts {
                if let Some(part) = unit.part_mut(&name) {
                    (part.attempt, part.is_over) = (attempt, is_over);
                }
            }
            unit.journalled = Some(unit.entry());
            (unit.assignment.task.clone(), unit)
        });
        Self { fence, units: units.collect(), ..Self::default() }
    }

    /// Says whether the journal differs from what is known, and counts it as written.
    pub(crate) fn must_persist(&mut self) -> bool {
        let mut must = std::mem::take(&mut self.is_unsaved);
        for unit in self.units.values_mut() {
            let entry = Some(unit.entry());
            must |= unit.journalled != entry;
            unit.journalled = entry;
        }
        must
    }

    /// What has to be on disk.
    pub fn saved(&self) -> impl Iterator<Item = Saved> {
        self.units.values().map(|unit| Saved {
            assignment: unit.assignment.clone(),
            state: unit.state.clone(),
            parts: unit.parts.iter().map(Part::saved).collect(),
            lease: unit.lease,
        })
    }

    /// The highest fence that was heard.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Says whether what happened to a container is what is being done, so that the outcome tells all about it and nobody
    /// has to look. What is left out wrongly is found by the next list.
    #[must_use]
    pub fn expects(&self, id: &str, sign: Sign) -> bool {
        let mut doing = self.units.values().filter_map(|unit| unit.doing.as_ref());
        let is_it = |other: &String| other == id;
        match sign {
            // The id of what is being made is not known yet.
            Sign::Started => doing.any(|action| matches!(action, Action::Launch(_))),
            Sign::Ended => doing.any(|action| match action {
                Action::Stop { id, .. } | Action::Kill { id } => is_it(id),
                Action::Pull { .. }
                | Action::Launch(_)
                | Action::Signal { .. }
                | Action::Unpause { .. }
                | Action::Remove { .. }
                | Action::Probe { .. } => false,
            }),
            Sign::Removed => {
                let removing =
                    |action: &Action| matches!(action, Action::Remove { id } if is_it(id));
                let units = self.units.values().flat_map(Unit::containers);
                let mut known = units.map(|container| &container.id).chain(self.orphans.keys());
                doing.any(removing) || !known.any(is_it)
            }
            Sign::Other => false,
        }
    }

    /// What is known of the engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Everything there is to say, for a coordinator that has heard nothing yet.
    pub fn reports(&self) -> Vec<Report> {
        self.units.values().map(report::report).collect()
    }

    /// Containers of ours that belong to no task that we know, or to one of which the coordinator does not speak.
    pub fn orphans(&self) -> Vec<OrphanReport> {
        let orphans = orphan::all(self).map(|container| OrphanReport {
            task: container.task.clone(),
            container_id: container.id.clone(),
            name: container.name.clone(),
        });
        orphans.collect()
    }

    /// The engine's id of a container of a task, the first one when no name is given; and whether it exists.
    #[must_use]
    pub fn container(&self, task: &TaskId, name: Option<&str>) -> Option<&str> {
        let unit = self.units.get(task)?;
        let part = match name {
            Some(name) => unit.parts.iter().find(|part| part.name.as_str() == name)?,
            None => unit.parts.first()?,
        };
        let newest = part.seen.as_ref().or_else(|| part.older.last());
        newest.map(|container| container.id.as_str())
    }

    /// The newest container of each part of each task.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.units.values().flat_map(|unit| unit.parts.iter().filter_map(|part| part.seen.as_ref()))
    }

    /// The specs of all tasks that are known here.
    pub fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        self.units.values().map(|unit| &unit.assignment)
    }
}
