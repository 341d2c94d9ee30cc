//! Load balancers: what we have registered there, and what they show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, TaskId};
use model::service::Service;
use model::spec::Network;
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;
use model::traffic::{
    Registration, RegistrationId, RegistrationPhase, Route, Shown, Target, TargetGroup,
    TargetHealth, Traffic, Unseen,
};

use super::Cluster;

/// What a load balancer shows may be this old: what it was told shows after so long, and is told again if it does not.
pub(crate) const SHOWS_AFTER: Duration = Duration::from_secs(15);

/// What is known of load balancers. Only registrations are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Balancers {
    registrations: BTreeMap<RegistrationId, Arc<Registration>>,
    of_task: BTreeMap<TaskId, BTreeSet<RegistrationId>>,
    of_group: BTreeMap<TargetGroup, BTreeSet<RegistrationId>>,
    /// Those that are to go.
    leaving: BTreeSet<RegistrationId>,
    /// Tasks whose stop waits until they have left.
    held: BTreeSet<TaskId>,
    /// Tasks about which something has changed.
    pub(crate) touched: BTreeSet<TaskId>,
    /// Those of them that were looked at in this step, and may have to be registered at its end.
    pub(crate) seen: BTreeSet<TaskId>,
    /// What each group has shown last, and when that was heard.
    looks: BTreeMap<TargetGroup, Seen>,
    /// What the load balancer knows, as far as it has said.
    told: BTreeMap<RegistrationId, Told>,
    /// Groups that could not be told something, until when they are left alone, and why.
    pub(crate) failed: BTreeMap<(TargetGroup, RegistrationPhase), Failure>,
}

/// What a group has shown.
#[derive(Debug, Clone)]
struct Seen {
    at: Timestamp,
    shown: Result<Shown, Unseen>,
}

/// What a load balancer was told.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// To put it in, or to take it out.
    phase: RegistrationPhase,
    at: Timestamp,
    /// Whether its group has been looked at since.
    is_seen: bool,
}

/// What did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) count: u32,
    pub(crate) not_before: Timestamp,
    pub(crate) why: String,
}

/// Whether a target group sends requests to what was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Yes,
    No,
    /// Nothing says so, and nothing says otherwise.
    Unknown,
}

impl Balancers {
    pub(super) fn put(&mut self, registration: &Arc<Registration>) {
        let id = &registration.id;
        if let Some(before) = self.registrations.insert(id.clone(), Arc::clone(registration)) {
            self.forget(&before);
            self.touched.insert(before.task.clone());
        }
        self.of_task.entry(registration.task.clone()).or_default().insert(id.clone());
        self.of_group.entry(id.group.clone()).or_default().insert(id.clone());
        if registration.phase == RegistrationPhase::Leaving {
            self.leaving.insert(id.clone());
        }
        self.touched.insert(registration.task.clone());
    }

    pub(super) fn remove(&mut self, id: &RegistrationId) {
        if let Some(before) = self.registrations.remove(id) {
            self.forget(&before);
            self.touched.insert(before.task.clone());
        }
        self.told.remove(id);
    }

    fn forget(&mut self, before: &Registration) {
        self.leaving.remove(&before.id);
        take(&mut self.of_task, &before.task, &before.id);
        take(&mut self.of_group, &before.id.group, &before.id);
    }

    pub(super) fn see(&mut self, task: &Task) {
        if task.generation.spec.task.routes.is_empty() && !self.of_task.contains_key(&task.id) {
            return;
        }
        self.touched.insert(task.id.clone());
        match task.traffic {
            Traffic::Leaving { .. } => self.held.insert(task.id.clone()),
            Traffic::Out | Traffic::In { .. } => self.held.remove(&task.id),
        };
    }

    pub(super) fn forget_task(&mut self, id: &TaskId) {
        self.held.remove(id);
        if self.of_task.contains_key(id) {
            self.touched.insert(id.clone());
        }
    }
}

fn take<K: Ord, V: Ord>(book: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = book.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            book.remove(key);
        }
    }
}

impl Cluster {
    /// What we have registered in target groups, or are about to, or are taking out.
    #[must_use]
    pub const fn registrations(&self) -> &BTreeMap<RegistrationId, Arc<Registration>> {
        &self.traffic.registrations
    }

    /// The registrations of a task.
    pub fn registrations_of(&self, task: &TaskId) -> impl Iterator<Item = &Arc<Registration>> {
        let ids = self.traffic.of_task.get(task).into_iter().flatten();
        ids.filter_map(|id| self.traffic.registrations.get(id))
    }

    /// Those of a target group.
    pub(crate) fn registrations_in(
        &self,
        group: &TargetGroup,
    ) -> impl Iterator<Item = &Arc<Registration>> {
        let ids = self.traffic.of_group.get(group).into_iter().flatten();
        ids.filter_map(|id| self.traffic.registrations.get(id))
    }

    /// The tasks whose stop waits until their load balancers send them nothing more.
    pub fn held_for_traffic(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.traffic.held.iter().filter_map(|id| self.tasks.get(id))
    }

    /// The target groups in which something of ours is, or is to be.
    #[must_use]
    pub fn target_groups(&self) -> BTreeSet<TargetGroup> {
        let specs = self.services.values().map(|service| &service.target.spec.task.routes);
        let wanted = specs.flatten().map(|route| &route.group);
        wanted.chain(self.traffic.of_group.keys()).cloned().collect()
    }

    /// Says whether the load balancers are about to show something else than they did.
    #[must_use]
    pub fn traffic_moves(&self) -> bool {
        let arrives = |registration: &Arc<Registration>| {
            let task = self.tasks.get(&registration.task);
            task.is_some_and(|task| matches!(task.traffic, Traffic::Out))
        };
        !self.traffic.leaving.is_empty() || self.traffic.registrations.values().any(arrives)
    }

    /// What a target group has shown last, or why it could not be looked at.
    #[must_use]
    pub fn shown_by(&self, group: &TargetGroup) -> Option<&Result<Shown, Unseen>> {
        self.traffic.looks.get(group).map(|seen| &seen.shown)
    }

    /// Keeps what a target group has shown. What failed before says nothing about what was shown before that.
    pub(crate) fn saw_group(
        &mut self,
        (group, shown): (&TargetGroup, Result<Shown, Unseen>),
        at: Timestamp,
    ) {
        self.traffic.looks.insert(group.clone(), Seen { at, shown });
        let registrations: Vec<_> = self.registrations_in(group).cloned().collect();
        for registration in registrations {
            if let Some(told) = self.traffic.told.get_mut(&registration.id) {
                told.is_seen = true;
            }
            self.traffic.touched.insert(registration.task.clone());
        }
    }

    /// Forgets what groups have shown that are not looked at any more.
    pub(crate) fn forget_groups(&mut self) {
        let used = self.target_groups();
        self.traffic.looks.retain(|group, _| used.contains(group));
        self.traffic.failed.retain(|(group, _), _| used.contains(group));
    }

    /// Keeps what a target group was told.
    pub(crate) fn told_group(
        &mut self,
        id: &RegistrationId,
        (phase, at): (RegistrationPhase, Timestamp),
    ) {
        if let Some(registration) = self.traffic.registrations.get(id) {
            self.traffic.touched.insert(registration.task.clone());
            self.traffic.told.insert(id.clone(), Told { phase, at, is_seen: false });
        }
    }

    /// Takes over what another copy of the cluster knows of load balancers and does not store.
    pub(super) fn saw_traffic(&mut self, other: &Self) {
        self.traffic.looks.clone_from(&other.traffic.looks);
        self.traffic.told.clone_from(&other.traffic.told);
        self.traffic.failed.clone_from(&other.traffic.failed);
    }

    /// What the load balancer says of a registration, and when that was heard; none where it shows nothing of it.
    fn shown(&self, id: &RegistrationId) -> Option<(Timestamp, Option<&TargetHealth>)> {
        let seen = self.traffic.looks.get(&id.group)?;
        let shown = seen.shown.as_ref().ok()?;
        Some((seen.at, shown.targets.get(&id.target)))
    }

    /// What the load balancer says of a registration.
    #[must_use]
    pub fn health_of(&self, id: &RegistrationId) -> Option<&TargetHealth> {
        self.shown(id)?.1
    }

    /// Says whether a target group sends requests to what was registered.
    pub(crate) fn reach(&self, registration: &Registration) -> Reach {
        let told = self.told_as(registration);
        let Some((seen, health)) = self.shown(&registration.id) else { return Reach::Unknown };
        // What it says from before it was told is of something else: another task had the port.
        let Some(told) = told.filter(|told| told.is_seen) else { return Reach::Unknown };
        match health {
            Some(TargetHealth::Healthy | TargetHealth::Unchecked) => Reach::Yes,
            Some(TargetHealth::Initial | TargetHealth::Unhealthy { .. }) => Reach::No,
            // It may not show yet.
            None | Some(TargetHealth::Draining) if seen < told.at + SHOWS_AFTER => Reach::Unknown,
            None | Some(TargetHealth::Draining) => Reach::No,
        }
    }

    /// What the load balancer was told, if that is as it should be.
    fn told_as(&self, registration: &Registration) -> Option<Told> {
        let told = self.traffic.told.get(&registration.id).copied()?;
        (told.phase == registration.phase).then_some(told)
    }

    /// Says whether what was to go is gone. What a look shows that came too soon after it was put in or taken out proves
    /// nothing.
    pub(crate) fn has_left(&self, registration: &Registration) -> bool {
        if let Some(Err(Unseen { is_gone: true, .. })) = self.shown_by(&registration.id.group) {
            return true;
        }
        let Some((seen, None)) = self.shown(&registration.id) else { return false };
        let told = self.told_as(registration);
        told.is_some_and(|told| told.is_seen) && registration.since + SHOWS_AFTER <= seen
    }

    /// Says whether the target group is to be told now.
    pub(crate) fn is_to_be_told(&self, registration: &Registration) -> bool {
        let Some((seen, health)) = self.shown(&registration.id) else { return false };
        let Some(told) = self.told_as(registration) else { return true };
        let is_in = match health {
            Some(
                TargetHealth::Initial
                | TargetHealth::Healthy
                | TargetHealth::Unhealthy { .. }
                | TargetHealth::Unchecked,
            ) => true,
            None | Some(TargetHealth::Draining) => false,
        };
        is_in != (registration.phase == RegistrationPhase::Entering)
            && told.at + SHOWS_AFTER <= seen
    }

    /// What the target groups of a task should send requests to: its ports on its node, while it runs, is to run, and its
    /// service has not switched to others.
    pub(crate) fn wanted_of(&self, task: &Task) -> Option<BTreeSet<RegistrationId>> {
        let runs = matches!(task.state, TaskState::Running { .. });
        let is_wanted = runs && task.desired == DesiredState::Run && !self.is_dark(task);
        let node = task.node.as_ref().filter(|_| is_wanted)?;
        let routes = task.generation.spec.task.routes.iter();
        routes.map(|route| registration_of(task, (node, route))).collect()
    }

    /// Says whether the task is to get no requests, though it runs: see [`Service::keeps_dark`].
    #[must_use]
    pub fn is_dark(&self, task: &Task) -> bool {
        let service = self.services.get(&task.service);
        service.is_some_and(|service| service.keeps_dark(task.generation.template))
    }

    /// Looks again at the tasks of a service that others of its tasks may have been switched to.
    pub(super) fn see_switch(&mut self, service: &Service) {
        let of = |service: &Service| {
            (service.stage(), service.target.template, service.target.spec.update.trial)
        };
        let before = self.services.get(&service.id).map(|before| of(before));
        if before.is_none_or(|before| before == of(service)) {
            return;
        }
        let has_routes = |task: &&Arc<Task>| !task.generation.spec.task.routes.is_empty();
        let tasks = self.tasks_of(&service.id).filter(has_routes);
        let tasks: Vec<TaskId> = tasks.map(|task| task.id.clone()).collect();
        self.traffic.touched.extend(tasks);
    }

    /// How long a task may take to leave a target group.
    pub(crate) fn leaves_within(&self, route: &Route) -> Duration {
        let shown = self.shown_by(&route.group).and_then(|shown| shown.as_ref().ok());
        let delay = shown.map_or(model::traffic::LEAVE_USUALLY, |shown| shown.delay);
        route.leave_within.unwrap_or(delay + SHOWS_AFTER)
    }
}

fn registration_of(task: &Task, (node, route): (&NodeId, &Route)) -> Option<RegistrationId> {
    let target = Target { node: node.clone(), port: host_port(task, route.port)? };
    Some(RegistrationId { group: route.group.clone(), target })
}

/// Where the host publishes a port of the task, as far as its agent has said.
fn host_port(task: &Task, port: u16) -> Option<u16> {
    if task.generation.spec.task.network == Network::Host {
        return Some(port);
    }
    let mut ports = task.containers.iter().flat_map(|container| &container.ports);
    ports.find(|published| published.container == port).map(|published| published.host)
}
