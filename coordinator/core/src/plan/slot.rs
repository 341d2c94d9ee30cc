//! The slots of a service and how far each has come.

use std::sync::Arc;

use model::id::Slot;
use model::node::Availability;
use model::rollout::Stage;
use model::service::{Generation, Service, ServicePhase};
use model::spec::{Mode, ServiceSpec, UpdateOrder};
use model::task::{DesiredState, Task};
use model::time::Timestamp;

use crate::cluster::Cluster;
use crate::plan::place::{self, filter::Seat};

/// How far a slot has come on the way to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Only tasks of another template run.
    Old,
    /// On its way, or empty.
    Moving,
    /// The target runs and has been healthy for long enough.
    Done,
}

/// How many ended tasks of a slot are remembered: enough for the longest backoff, and to see a pattern.
const HISTORY: usize = 6;

/// The ended tasks of a slot, oldest first: those to forget, and those that are remembered. Whoever draws conclusions
/// from ended tasks looks only at the latter, so that it makes no difference whether the others are still there.
pub(crate) fn ended(tasks: &[Arc<Task>]) -> (Vec<Arc<Task>>, Vec<Arc<Task>>) {
    let mut ended: Vec<_> = tasks.iter().filter(|task| task.state.is_final()).cloned().collect();
    ended.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    let remembered = ended.split_off(ended.len().saturating_sub(HISTORY));
    (ended, remembered)
}

/// The slots that the service should have; of a job those that have something that runs.
pub(crate) fn wanted(cluster: &Cluster, service: &Service) -> Vec<Slot> {
    if service.phase == ServicePhase::Removing {
        return Vec::new();
    }
    match service.target.spec.mode {
        Mode::Replicated { replicas } => (1..=replicas).map(Slot::Replica).collect(),
        Mode::Once => vec![Slot::Replica(1)],
        Mode::Job(_) => {
            let lives = |tasks: &[Arc<Task>]| tasks.iter().any(|task| !task.state.is_final());
            let slots = cluster.slots_of(&service.id);
            let slots = slots.filter(|(slot, tasks)| has_run(service, slot) && lives(tasks));
            slots.map(|(slot, _)| slot.clone()).collect()
        }
        Mode::Global => {
            let seats = cluster.nodes_with_ledgers();
            let fit = seats.filter(|(node, ledger)| has_place(cluster, service, (node, ledger)));
            fit.map(|(node, _)| Slot::Node(node.id.clone())).collect()
        }
    }
}

/// Says whether the service should have this slot.
pub(crate) fn wants(cluster: &Cluster, service: &Service, slot: &Slot) -> bool {
    match (service.target.spec.mode, slot) {
        _ if service.phase == ServicePhase::Removing => false,
        (Mode::Replicated { replicas }, Slot::Replica(number)) => (1..=replicas).contains(number),
        (Mode::Once, Slot::Replica(number)) => *number == 1,
        (Mode::Job(_), slot) => has_run(service, slot),
        (Mode::Global, Slot::Node(id)) => {
            place::seat(cluster, id).is_some_and(|seat| has_place(cluster, service, seat))
        }
        (
            Mode::Replicated { .. } | Mode::Once,
            Slot::Node(_) | Slot::RunReplica { .. } | Slot::RunNode { .. },
        )
        | (Mode::Global, Slot::Replica(_) | Slot::RunReplica { .. } | Slot::RunNode { .. }) => {
            false
        }
    }
}

/// Says whether the run of the slot is in progress.
fn has_run(service: &Service, slot: &Slot) -> bool {
    slot.run().is_some_and(|run| service.runs.active(run).is_some())
}

/// Says whether a service that runs on every node has a place on this one. What runs on a node that was closed goes on, and
/// is not made anew there. Which images an engine has decides where a task is put and never that one stops: right after a
/// start of the coordinator nobody has said which they are. Nor does one stop because its pool has come to take only what may do less.
fn has_place(cluster: &Cluster, service: &Service, (node, ledger): Seat<'_>) -> bool {
    let task = &service.target.spec.task;
    let could_meet = || task.constraints.iter().all(|constraint| constraint.could_be_met(node));
    let here = Slot::Node(node.id.clone());
    let tasks = || cluster.tasks_in(&service.id, &here).iter();
    let is_open = match node.availability {
        Availability::Active => true,
        Availability::Cordoned => tasks().any(|task| is_current(task, service)),
        Availability::Dead => false,
    };
    let runs = || {
        tasks().any(|task| {
            task.node.is_some() && task.desired == DesiredState::Run && !task.state.is_final()
        })
    };
    is_open && (ledger.meets(node, task.of_node()) || could_meet() && runs())
}

/// Says whether a new task of the service begins before the one that it replaces is stopped.
pub(crate) fn starts_first(service: &Service) -> bool {
    match service.target.spec.update.order {
        UpdateOrder::StartFirst => true,
        UpdateOrder::StopFirst => false,
        UpdateOrder::Auto => !service.target.spec.task.is_exclusive(),
    }
}

/// Says whether what ran in a slot stays beside the task of the target, also when that has settled: while the target is
/// tried, so that giving it up takes nothing but to stop it, and after a switch for a while.
pub(crate) fn keeps_old(service: &Service) -> bool {
    match service.stage() {
        Stage::Trial | Stage::Holding { .. } => starts_first(service),
        Stage::Switching { .. } | Stage::Keeping { .. } => true,
        Stage::Everywhere => false,
    }
}

/// The service as it was, while all of the target is tried beside it and gets no requests: what is lost of it meanwhile is made
/// anew, and what leaves its node moves, as if nothing were tried.
pub(crate) fn blue(service: &Service) -> Option<Service> {
    let stable = service.stable.as_ref()?;
    let is_tried = service.keeps_dark(service.target.template);
    if !is_tried || stable.template == service.target.template {
        return None;
    }
    let spec = ServiceSpec { task: stable.spec.task.clone(), ..service.target.spec.clone() };
    let target = Arc::new(Generation { spec, ..(**stable).clone() });
    Some(Service { target, phase: ServicePhase::Steady, ..service.clone() })
}

/// The generation that a new task of the slot is of. Where the target may not go yet, what is lost is made anew as it was.
pub(crate) fn generation<'a>(
    service: &'a Service,
    tasks: &[Arc<Task>],
    reach: Reach,
) -> &'a Arc<Generation> {
    let of = |task: &&Arc<Task>| task.generation.template;
    let newest = tasks.iter().max_by_key(|task| (task.created_at, &task.id)).as_ref().map(of);
    match (reach, &service.stable) {
        (Reach::Target, _) | (Reach::AsItWas, None) => &service.target,
        (Reach::AsItWas, Some(_)) if newest == Some(service.target.template) => &service.target,
        (Reach::AsItWas, Some(stable)) => stable,
    }
}

/// Whether the target may come to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It may.
    Target,
    /// The rollout is held, or tries it elsewhere first.
    AsItWas,
}

/// Says whether the task is of the target's template, wanted, and not over.
pub(crate) fn is_current(task: &Task, service: &Service) -> bool {
    task.generation.template == service.target.template
        && task.is_wanted()
        && !task.state.is_final()
}

/// Since when the task does all that can be had of it now: it serves, or would if it were switched to.
pub(crate) fn ready_since(task: &Task, service: &Service) -> Option<Timestamp> {
    if service.keeps_dark(task.generation.template) {
        return task.state.serving_since();
    }
    task.serving_since()
}

/// When the task has been serving for as long as the service monitors.
pub(crate) fn settles_at(task: &Task, service: &Service) -> Option<Timestamp> {
    ready_since(task, service).map(|since| since + service.target.spec.update.monitor)
}

pub(crate) fn progress(tasks: &[Arc<Task>], service: &Service, now: Timestamp) -> Progress {
    let mut here = tasks.iter().filter(|task| !task.is_missed());
    if let Some(current) = here.clone().find(|task| is_current(task, service)) {
        // One that leaves its node and the one that takes its place are two, whatever stays beside them.
        let counts = |task: &Task| {
            !keeps_old(service) || task.generation.template == service.target.template
        };
        let is_other =
            |task: &Arc<Task>| task.id != current.id && !task.state.is_final() && counts(task);
        let others = here.any(is_other);
        let settled = settles_at(current, service).is_some_and(|at| at <= now);
        return if settled && !others { Progress::Done } else { Progress::Moving };
    }
    let runs = |task: &Arc<Task>| task.desired == DesiredState::Run && !task.state.is_final();
    // What is tried as a whole comes to a slot whatever else there is.
    let is_tried = service.keeps_dark(service.target.template);
    if is_tried || here.any(runs) { Progress::Old } else { Progress::Moving }
}
