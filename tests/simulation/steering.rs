//! What rollouts do: a canary stays one until it is good, and what is paused stands still. Reckoned here once more, from what
//! the documents say.

use std::sync::Arc;

use model::budget::Amount;
use model::id::Slot;
use model::rollout::{Canary, Rollout, Stage, Trial};
use model::service::{Service, ServicePhase, Verdict};
use model::spec::Mode;
use model::task::{DesiredState, Health, StopCause, Task, TaskState};
use model::time::Timestamp;

use crate::coordinator_core::cluster::Cluster;
use crate::coordinator_core::view;

use super::World;

impl World {
    /// Judges what a step has begun, stopped, and called done.
    pub(crate) fn check_rollouts(&mut self, before: &Cluster) {
        let mut wrong = Vec::new();
        let cluster = &self.coordinator.cluster;
        for service in cluster.services().values() {
            let Some(was) = before.services().get(&service.id) else { continue };
            wrong.extend(too_early(cluster, was, service));
            wrong.extend(in_vain(cluster, was, (service, self.now)));
            wrong.extend(too_soon(cluster, before, (service, self.now)));
            if let Some(rollout) = held(was, service) {
                let made = cluster.tasks_of(&service.id);
                let made = made.filter(|task| !before.tasks().contains_key(&task.id));
                let strays = made.filter(|task| !may_be_made(before, (service, rollout), task));
                wrong.extend(strays.map(|task| format!("{} is made while it is held", task.id)));
                wrong.extend(lost_old(cluster, before, service));
            }
        }
        wrong.into_iter().for_each(|wrong| self.truth.accuse(wrong));
    }

    /// Once there is nothing to do at once: what serves has all of its slots while another generation is tried beside it.
    pub(crate) fn check_what_serves(&mut self) {
        let cluster = &self.coordinator.cluster;
        let waits = |service: &&Arc<Service>| {
            view::service_progress(cluster, service, self.now).waits_for.is_some()
        };
        let services = cluster.services().values().filter(|service| !waits(service));
        let lost = services.flat_map(|service| gone_old(cluster, service));
        let lost: Vec<String> = lost.collect();
        lost.into_iter().for_each(|wrong| self.truth.accuse(wrong));
    }
}

/// Slots whose task of what serves was lost, and that have no other one. They may have run different generations, if one came before
/// another was everywhere.
fn gone_old(cluster: &Cluster, service: &Service) -> Vec<String> {
    let target = service.target.template;
    let ServicePhase::Rolling(rollout) = &service.phase else { return Vec::new() };
    let has_way_back = service.stable.as_ref().is_some_and(|stable| stable.template != target);
    if rollout.is_paused() || !has_way_back || !service.keeps_dark(target) {
        return Vec::new();
    }
    let is_lost = |slot: &Slot| {
        let here = cluster.tasks_of(&service.id).filter(|task| task.slot == *slot);
        let old: Vec<_> = here.filter(|task| task.generation.template != target).collect();
        let newest = old.iter().max_by_key(|task| (task.created_at, task.id.clone()));
        // What has failed is tried again a while later.
        newest.is_some_and(|newest| !matches!(newest.state, TaskState::Failed { .. }))
            && old.iter().all(|task| task.state.is_final())
    };
    let slots = (1..=replicas(service).unwrap_or(0)).map(Slot::Replica).filter(is_lost);
    let told = |slot: Slot| {
        let here = cluster.tasks_of(&service.id).filter(|task| task.slot == slot);
        let line = |task: &Arc<Task>| {
            let (id, template) = (&task.id, task.generation.template);
            format!("{id} {template} {:?} {:?}", task.desired, task.state)
        };
        let lines: Vec<String> = here.map(line).collect();
        format!("{} {slot} is not made anew while another is tried: {lines:#?}", service.id)
    };
    slots.map(told).collect()
}

/// What has just been switched to has all the time that tasks have to get requests, however old they are, unless one of them fails.
fn in_vain(
    cluster: &Cluster,
    was: &Service,
    (service, now): (&Service, Timestamp),
) -> Option<String> {
    let ServicePhase::Rolling(rollout) = &was.phase else { return None };
    let Stage::Switching { since } = rollout.stage else { return None };
    let past = service.history.last().filter(|past| past.generation.number == was.target.number);
    let is_given_up = past.is_some_and(|past| past.verdict == Verdict::Failed);
    let patience = was.target.spec.update.progress_deadline;
    let mut tried =
        cluster.tasks_of(&was.id).filter(|task| task.generation.template == was.target.template);
    let has_failed = tried.any(|task| {
        let is_sick = matches!(task.state, TaskState::Running { health: Health::Unhealthy, .. });
        matches!(task.state, TaskState::Failed { .. }) || task.restarts > 0 || is_sick
    });
    let is_early = is_given_up && !has_failed && now < since + patience;
    is_early.then(|| format!("{} is given up after {:?} of {patience:?}", was.id, now.since(since)))
}

/// The rollout of the service, if it may not go everywhere before this step nor after it, and goes to the same template.
fn held<'a>(was: &Service, service: &'a Service) -> Option<&'a Rollout> {
    let of = |phase: &'a ServicePhase| match phase {
        ServicePhase::Rolling(rollout) => Some(rollout),
        ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => None,
    };
    let is_held = |rollout: &Rollout| rollout.is_paused() || rollout.stage != Stage::Everywhere;
    let ServicePhase::Rolling(earlier) = &was.phase else { return None };
    let rollout = of(&service.phase).filter(|rollout| is_held(rollout) && is_held(earlier))?;
    let is_same = was.target.template == service.target.template;
    let has_way_back =
        service.stable.as_ref().is_some_and(|stable| stable.template != service.target.template);
    (is_same && has_way_back && rollout.is_paused() == earlier.is_paused()).then_some(rollout)
}

/// The target comes only to canaries, and anew to where it was.
fn may_be_made(before: &Cluster, (service, rollout): (&Service, &Rollout), task: &Task) -> bool {
    if task.generation.template != service.target.template {
        return true;
    }
    let of_slot = before.tasks_of(&service.id).filter(|other| other.slot == task.slot);
    let newest = of_slot.max_by_key(|other| (other.created_at, other.id.clone()));
    let was_there =
        newest.is_some_and(|newest| newest.generation.template == service.target.template);
    let is_tried = match (&task.slot, service.target.spec.update.trial) {
        (Slot::Replica(number), Some(Trial::Canary(canary))) => {
            let wanted = replicas(service).unwrap_or(1);
            let most = match canary.slots {
                Amount::Count(count) => count,
                Amount::Percent(percent) => (wanted * u32::from(percent)).div_ceil(100),
            };
            *number <= most.max(1)
        }
        (Slot::Replica(_), Some(Trial::BlueGreen(_))) => true,
        // Which nodes come first changes with the nodes.
        (Slot::Node(_), Some(_)) => true,
        (Slot::Replica(_) | Slot::Node(_), None)
        | (Slot::RunReplica { .. } | Slot::RunNode { .. }, _) => false,
    };
    // Another task leaves its node: the one in its place is of the target as well.
    let moves = before.tasks_of(&service.id).any(|other| {
        other.slot == task.slot
            && !other.state.is_final()
            && other.generation.template == service.target.template
    });
    // What has been switched to has every slot, and is made anew whatever else stands still.
    was_there || moves || is_tried && !rollout.is_paused() || rollout.stage.is_switched()
}

/// What ran beside a canary is stopped only by drains and deaths.
fn lost_old(cluster: &Cluster, before: &Cluster, service: &Service) -> Option<String> {
    let ServicePhase::Rolling(rollout) = &service.phase else { return None };
    if rollout.stage == Stage::Everywhere {
        return None;
    }
    if service.target.spec.task.is_exclusive() {
        return None;
    }
    let is_old = |task: &&Arc<Task>| task.generation.template != service.target.template;
    let stopped = cluster.tasks_of(&service.id).filter(is_old).find(|task| {
        let was = before.tasks().get(&task.id);
        let is_news = was.is_some_and(|was| was.desired == DesiredState::Run);
        let mut beside = cluster.tasks_of(&service.id).filter(is_old);
        let is_double = beside.any(|other| {
            other.slot == task.slot && other.id != task.id && other.desired == DesiredState::Run
        });
        // One that was missed on a silent node is not waited for.
        let is_given_up = task.missed_at.is_some();
        is_news
            && !is_double
            && !is_given_up
            && matches!(task.slot, Slot::Replica(_))
            && task.desired.stop_cause() == Some(StopCause::Update)
    });
    stopped.map(|task| {
        let slot = cluster.tasks_of(&service.id).filter(|other| other.slot == task.slot);
        let line = |task: &Arc<Task>| {
            let was = before.tasks().get(&task.id).map(|was| (was.desired, was.state.clone()));
            let (id, template) = (&task.id, task.generation.template);
            format!("{id} {template} {:?} {:?}, was {was:?}", task.desired, task.state)
        };
        let (id, slot): (_, Vec<String>) = (&task.id, slot.map(line).collect());
        format!("{id} is stopped though what is beside it is only tried: {slot:#?}")
    })
}

/// What can not run twice is stopped for an update only where the images of what comes next are.
fn too_soon(
    cluster: &Cluster,
    before: &Cluster,
    (service, now): (&Service, Timestamp),
) -> Option<String> {
    if !service.target.spec.task.is_exclusive() {
        return None;
    }
    let containers = service.target.spec.task.containers.iter();
    let digests: Vec<_> = containers.map(|container| container.image.digest()).collect();
    let is_ready = |task: &Arc<Task>| {
        let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
        let Some(node) = node.filter(|node| cluster.takes_work(node, now)) else { return true };
        let images = cluster.images(&node.id);
        images.is_some_and(|images| digests.iter().all(|digest| images.contains(*digest)))
    };
    let stopped = cluster.tasks_of(&service.id).find(|task| {
        let was = before.tasks().get(&task.id);
        was.is_some_and(|was| was.desired == DesiredState::Run)
            && task.desired.stop_cause() == Some(StopCause::Update)
            && task.serving_since().is_some()
            && !is_ready(task)
    });
    let beside = |task: &Task| {
        let beside = before.tasks_of(&service.id);
        beside.filter(|other| other.slot == task.slot && !other.state.is_final()).count()
    };
    let stopped = stopped.filter(|task| beside(task) == 1)?;
    Some(format!("{} is stopped before its node has what comes next", stopped.id))
}

/// What was told to stop in the same step has left its load balancers by then, and served before.
fn did_serve(task: &Task) -> bool {
    let is_stopped = task.desired != DesiredState::Run;
    task.serving_since().is_some() || is_stopped && task.state.serving_since().is_some()
}

/// Of a generation that gets no requests yet all have to be able to take them.
fn could_serve(cluster: &Cluster, task: &Task) -> bool {
    did_serve(task) || cluster.is_dark(task) && task.state.serving_since().is_some()
}

/// A trial that is taken for settled serves, and so does what has been switched to, and everything that is called steady.
fn too_early(cluster: &Cluster, was: &Service, service: &Service) -> Option<String> {
    let slots = match (&was.phase, &service.phase) {
        (ServicePhase::Rolling(earlier), ServicePhase::Rolling(rollout)) => {
            let leaves = |stage| earlier.stage == stage && rollout.stage != stage;
            let is_switched = matches!(earlier.stage, Stage::Switching { .. })
                && matches!(rollout.stage, Stage::Keeping { .. });
            let is_news = leaves(Stage::Trial) || is_switched;
            let is_same = was.target.template == service.target.template;
            match service.target.spec.update.trial.filter(|_| is_news && is_same)? {
                Trial::Canary(Canary { slots: Amount::Count(count), .. }) => count,
                Trial::Canary(Canary { slots: Amount::Percent(_), .. }) => 1,
                Trial::BlueGreen(_) => replicas(service)?,
            }
        }
        (ServicePhase::Rolling(_), ServicePhase::Steady) => replicas(service)?,
        (_, _) => return None,
    };
    let replicas = replicas(service)?;
    let serves = |number: &u32| {
        cluster.tasks_of(&service.id).any(|task| {
            task.slot == Slot::Replica(*number)
                && task.generation.template == service.target.template
                && could_serve(cluster, task)
        })
    };
    let missing = (1..=slots.min(replicas)).find(|number| !serves(number));
    missing.map(|slot| format!("{} moves on though slot {slot} does not serve", service.id))
}

fn replicas(service: &Service) -> Option<u32> {
    match service.target.spec.mode {
        Mode::Replicated { replicas } => Some(replicas),
        Mode::Global | Mode::Once | Mode::Job(_) => None,
    }
}
