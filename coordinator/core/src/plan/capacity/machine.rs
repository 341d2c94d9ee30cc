//! A machine that tasks are put on in thought.

use std::collections::BTreeMap;

use model::id::ServiceId;
use model::resources::Resources;
use model::spec::HostPort;
use model::task::Task;

/// What a machine is to run beside what it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) zone: Option<String>,
    held: Resources,
    ports: Vec<HostPort>,
    counts: BTreeMap<ServiceId, u32>,
}

impl Machine {
    /// An empty one in a zone.
    pub(crate) fn in_zone(zone: Option<String>) -> Self {
        Self { zone, ..Self::default() }
    }

    /// Says whether a task fits in, where there is so much room and so many of its service are there already.
    pub(crate) fn fits(&self, task: &Task, room: &Resources, present: usize) -> bool {
        let spec = &task.generation.spec.task;
        let limit = spec.max_per_node.unwrap_or(u32::MAX) as usize;
        let count = self.counts.get(&task.service).copied().unwrap_or_default() as usize;
        let mut ports = spec.fixed_ports();
        count.saturating_add(present) < limit
            && spec.reservation().fits(&room.minus(&self.held))
            && !ports.any(|port| self.ports.iter().any(|taken| taken.meets(&port)))
    }

    pub(crate) fn take(&mut self, task: &Task) {
        let spec = &task.generation.spec.task;
        self.held = self.held + spec.reservation();
        self.ports.extend(spec.fixed_ports());
        *self.counts.entry(task.service.clone()).or_default() += 1;
    }

    /// How many tasks that ask for so much fit in beside, of the room that there is.
    pub(crate) fn holds(&self, each: &Resources, room: &Resources) -> u64 {
        room.minus(&self.held).holds(each).unwrap_or(0)
    }
}
