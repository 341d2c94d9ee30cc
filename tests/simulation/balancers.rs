//! A load balancer that sends requests to what is registered with it, and shows now and then how it was a while ago.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, TaskId};
use model::node::DrainPhase;
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;
use model::traffic::{Look, RegistrationPhase, Shown, Target, TargetGroup, TargetHealth, Traffic};

use crate::agent_core::observed::Status;
use crate::coordinator_core::cluster::Cluster;
use crate::coordinator_core::command::{Command, Key};
use crate::coordinator_core::event::{Event, TrafficEvent};

use super::World;
use super::agenda::Happening;

/// How often the coordinator looks.
const LOOK: Duration = Duration::from_secs(4);
/// How long a group waits for the requests of what leaves it.
const DELAY: Duration = Duration::from_secs(20);
/// How long something has to run before it is found healthy.
const WARM: Duration = Duration::from_secs(6);

#[derive(Debug, Default)]
pub(crate) struct Balancers {
    /// Since when each target is in, or until when it leaves.
    targets: BTreeMap<(TargetGroup, Target), Place>,
    /// What was shown the time before.
    before: Vec<Look>,
    /// The store was lost since: nobody knows what was registered.
    pub(crate) is_forgotten: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    In { since: Timestamp },
    Leaves { until: Timestamp },
}

impl World {
    pub(crate) fn begin_balancers(&mut self) {
        self.after(LOOK, Happening::LookAtBalancers);
    }

    /// Whoever ends is taken out by the load balancer itself.
    pub(crate) fn forget_targets(&mut self, node: &NodeId) {
        self.balancers.targets.retain(|(_, target), _| target.node != *node);
    }

    pub(crate) fn look_at_balancers(&mut self) {
        self.after(LOOK, Happening::LookAtBalancers);
        let now = self.now;
        self.balancers.targets.retain(|_, place| match place {
            Place::In { .. } => true,
            Place::Leaves { until } => now < *until,
        });
        let shown = self.shown();
        let before = std::mem::replace(&mut self.balancers.before, shown.clone());
        // While something is told nobody looks, so that what is shown is of after or before.
        let is_of_balancers = |key: &Key| matches!(key, Key::Balance(_));
        let is_telling = self.cloud.asking.iter().any(is_of_balancers);
        if !self.coordinator.is_up || is_telling || self.chance.percent(self.odds.loss) {
            return;
        }
        let lags = self.chance.percent(self.odds.late);
        let looks = if lags { before } else { shown };
        let used = self.coordinator.cluster.target_groups();
        let looks = looks.into_iter().filter(|look| used.contains(&look.group)).collect();
        self.coordinator.inbox.push(Event::Traffic(TrafficEvent::Looked(looks)));
        self.turn_within(Duration::from_millis(50));
    }

    fn shown(&self) -> Vec<Look> {
        let mut groups: BTreeMap<TargetGroup, Shown> = BTreeMap::new();
        for group in self.coordinator.cluster.target_groups() {
            groups.insert(group, Shown { delay: DELAY, targets: BTreeMap::new() });
        }
        for ((group, target), place) in &self.balancers.targets {
            let shown = groups.entry(group.clone()).or_default();
            shown.targets.insert(target.clone(), self.health(target, *place));
        }
        groups.into_iter().map(|(group, shown)| Look { group, shown: Ok(shown) }).collect()
    }

    fn health(&self, target: &Target, place: Place) -> TargetHealth {
        let Place::In { since } = place else { return TargetHealth::Draining };
        let machine = self.machines.get(&target.node);
        let held = machine
            .and_then(|machine| machine.engine.living().find(|held| held.listens_on(target.port)));
        let is_warm = |at: Timestamp| self.now.since(at) >= WARM;
        match held {
            Some(held) if held.is_sick || held.shown.status != Status::Running => {
                TargetHealth::Unhealthy { why: "Target.ResponseCodeMismatch".to_owned() }
            }
            Some(held) if held.shown.started_at.is_some_and(is_warm) && is_warm(since) => {
                TargetHealth::Healthy
            }
            Some(_) => TargetHealth::Initial,
            None => TargetHealth::Unhealthy { why: "Target.Timeout".to_owned() },
        }
    }

    /// A request reaches the load balancer. Its answer may be lost, and then nobody knows what came of it.
    pub(crate) fn balance(&mut self, command: Command) {
        let (key, is_lost) = (command.key(), self.chance.percent(self.odds.loss));
        let arrives = !is_lost || self.chance.percent(50);
        let Command::Balance { group, phase, targets } = command else { return };
        if arrives {
            targets.iter().for_each(|target| self.put(&group, target, phase));
        }
        let failure = is_lost.then(|| "no answer".to_owned());
        if self.coordinator.is_up && self.cloud.asking.remove(&key) {
            let told = TrafficEvent::Told { group, phase, targets, failure };
            self.coordinator.inbox.push(Event::Traffic(told));
            self.turn_within(Duration::from_millis(50));
        }
    }

    fn put(&mut self, group: &TargetGroup, target: &Target, phase: RegistrationPhase) {
        let key = (group.clone(), target.clone());
        let known = self.balancers.targets.get(&key).copied();
        match (phase, known) {
            (RegistrationPhase::Entering, Some(Place::In { .. })) => {}
            (RegistrationPhase::Entering, Some(Place::Leaves { .. }) | None) => {
                self.balancers.targets.insert(key, Place::In { since: self.now });
            }
            (RegistrationPhase::Leaving, Some(Place::In { .. })) => {
                let until = self.now + DELAY;
                self.balancers.targets.insert(key, Place::Leaves { until });
            }
            (RegistrationPhase::Leaving, Some(Place::Leaves { .. }) | None) => {}
        }
    }

    /// By our own doing nothing is stopped that a load balancer still sends requests to, unless it is time.
    pub(crate) fn check_traffic(&mut self, before: &Cluster) {
        let cluster = &self.coordinator.cluster;
        let stopped = cluster.tasks().values().find(|task| {
            let was = before.tasks().get(&task.id);
            was.is_some_and(|was| self.is_cut_off(before, was, task))
        });
        if let Some(task) = stopped {
            let what =
                format!("{} is stopped ({:?}) while it gets requests", task.id, task.desired);
            self.truth.accuse(what);
        }
    }

    fn is_cut_off(&self, before: &Cluster, was: &Task, task: &Task) -> bool {
        let is_told = was.told() == DesiredState::Run && task.told() != DesiredState::Run;
        let runs = matches!(was.state, TaskState::Running { .. })
            && matches!(task.state, TaskState::Running { .. });
        if !is_told || !runs || self.balancers.is_forgotten {
            return false;
        }
        let node = task.node.as_ref();
        let drain = node.and_then(|node| self.coordinator.cluster.nodes().get(node)?.drain);
        let is_forced = drain.is_some_and(|drain| {
            matches!(drain.phase, DrainPhase::Forced { .. }) || drain.deadline <= self.now
        });
        let is_time = match was.traffic {
            Traffic::Leaving { until } => until <= self.now,
            Traffic::In { .. } | Traffic::Out => false,
        };
        let gets = |target: &(TargetGroup, Target)| {
            matches!(self.balancers.targets.get(target), Some(Place::In { .. }))
        };
        let known = before.registrations_of(&task.id);
        let mut known = known.map(|known| (known.id.group.clone(), known.id.target.clone()));
        !is_forced && !is_time && known.any(|target| gets(&target))
    }

    /// What is registered is what runs.
    pub(crate) fn unrest_of_balancers(&self) -> Option<String> {
        let cluster = &self.coordinator.cluster;
        let known = cluster.registrations();
        if let Some(leaving) = known.values().find(|one| one.phase == RegistrationPhase::Leaving) {
            return Some(format!("{} is not gone", leaving.id));
        }
        let runs = |id: &TaskId| {
            let task = cluster.tasks().get(id);
            task.is_some_and(|task| task.desired == DesiredState::Run && !task.state.is_final())
        };
        if let Some(left) = known.values().find(|one| !runs(&one.task)) {
            return Some(format!(
                "{} is registered for {}, which does not run",
                left.id, left.task
            ));
        }
        let routed = |task: &&Arc<Task>| {
            task.desired == DesiredState::Run && !task.generation.spec.task.routes.is_empty()
        };
        if let Some(task) = cluster
            .tasks()
            .values()
            .filter(routed)
            .filter(|task| !task.state.is_final() && !cluster.is_dark(task))
            .find(|task| !matches!(task.traffic, Traffic::In { .. }))
        {
            return Some(format!("{} gets no requests", task.id));
        }
        let is_ours = |(group, target): &(TargetGroup, Target)| {
            known.keys().any(|id| id.group == *group && id.target == *target)
        };
        let places = self.balancers.targets.keys();
        let mut strange = places.filter(|key| !is_ours(key));
        if self.balancers.is_forgotten {
            return None;
        }
        strange.next().map(|(group, target)| format!("{target} is in {group}, and nobody knows it"))
    }
}
