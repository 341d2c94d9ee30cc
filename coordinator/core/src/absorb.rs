//! Writes down what was heard. Decides nothing but whether a request can be taken.

pub(crate) mod bake;
mod condemned;
mod fleet;
mod outlook;
pub(crate) mod refresh;
mod release;
mod root;
mod secret;
mod steering;
mod traffic;

pub(crate) use self::outlook::BEFORE_INTERRUPTION;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::constraint::Constraint;
use model::id::{NodeId, ServiceId};
use model::image::Stock;
use model::job::Runs;
use model::node::{Availability, DRAIN_LIMIT, Drain, DrainCause, DrainPhase, Node};
use model::rollout::{Rollout, Stage};
use model::service::{Generation, HISTORY_LIMIT, Origin, Past, Service, ServicePhase, Verdict};
use model::spec::{Mode, ServiceSpec};
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;

use crate::cluster::{Change, Sighting};
use crate::draft::Draft;
use crate::event::{EngineState, Event, PoolRefusal, Refusal, Reply, Report};
use crate::plan::{job, leaving, preparing};
use crate::request::{self, check_replicas, check_stays};

pub(crate) fn absorb(draft: &mut Draft<'_>, event: &Event) -> Reply {
    let heard = match event {
        Event::Deploy { specs, remove: gone, expect } => deploy(draft, (specs, gone), expect),
        Event::Restart(service) => restart(draft, service),
        Event::Job { service, order } => job::order::take(draft, service, *order),
        Event::Scale { service, replicas } => scale(draft, service, *replicas),
        Event::Rollback { service, to } => roll_back(draft, service, *to),
        Event::GoBack(back) => release::go_back(draft, back),
        Event::Steer { service, steering } => steering::steer(draft, service, *steering),
        Event::Remove(service) => remove(draft, service),
        Event::Joined(node) => Ok(join(draft, node)),
        Event::SetAvailability { node, availability } => {
            set_availability(draft, node, *availability)
        }
        Event::Drain { nodes, within, cause } => drain(draft, nodes, *within, *cause),
        Event::Rebalance => {
            draft.cluster.round.begin_at_once(draft.now);
            Ok(Reply::Noted)
        }
        Event::Heard { node, engine } => Ok(hear(draft, node, *engine)),
        Event::Reported { node, tasks, is_complete } => {
            let reply = report(draft, node, tasks);
            if *is_complete && let Some(seen) = draft.cluster.sighting(node) {
                draft.cluster.saw(node, Sighting { has_told_all: true, ..seen });
                draft.touch_missed(node);
                condemned::heard(draft, node);
            }
            Ok(reply)
        }
        Event::Images { node, stock } => Ok(see_images(draft, node, stock)),
        Event::Died(node) => Ok(bury(draft, node)),
        Event::Fleet(event) => fleet::absorb(draft, event),
        Event::Bake(event) => bake::absorb(draft, event),
        Event::Traffic(event) => Ok(traffic::absorb(draft, event)),
        Event::Secret(event) => secret::absorb(draft, event),
    };
    heard.unwrap_or_else(Reply::Refused)
}

/// What waits for an image on a node, or has a place where one is, is planned again.
fn see_images(draft: &mut Draft<'_>, node: &NodeId, stock: &Stock) -> Reply {
    if draft.cluster.stock(node).as_ref() == Some(stock) {
        return Reply::Noted;
    }
    draft.cluster.saw_images(node, stock);
    let asks = |id: &&ServiceId| {
        let tasks = draft.cluster.services().get(*id).map(|service| &service.target.spec.task);
        tasks.is_some_and(|task| {
            let needs_images = task.constraints.iter().any(Constraint::needs_images);
            needs_images || task.host_volumes().next().is_some()
        })
    };
    let concerned = draft.cluster.globals().iter().chain(&draft.cluster.waiting);
    let concerned: BTreeSet<ServiceId> = concerned.filter(asks).cloned().collect();
    for service in &concerned {
        draft.cluster.waiting.remove(service);
        draft.touch(service);
    }
    let fetching = std::mem::take(&mut draft.cluster.fetching);
    fetching.iter().for_each(|service| draft.touch(service));
    Reply::Noted
}

fn deploy(
    draft: &mut Draft<'_>,
    (specs, gone): (&[ServiceSpec], &[ServiceId]),
    expect: &[(ServiceId, u64)],
) -> Result<Reply, Refusal> {
    request::check(draft.cluster, specs, gone)?;
    for (service, expected) in expect {
        let spec = specs.iter().find(|spec| spec.id == *service);
        let would_be = spec.map(|spec| would_be(draft, spec));
        if would_be != Some(*expected) {
            let (service, expected) = (service.clone(), *expected);
            return Err(Refusal::Overtaken { service, expected, would_be });
        }
    }
    for id in gone {
        remove(draft, id)?;
    }
    let accepted = specs.iter().map(|spec| (spec.id.clone(), accept(draft, spec)));
    Ok(Reply::Deployed(accepted.collect()))
}

/// Makes the spec the target of its service, unless it is already. Gives the number of the generation.
fn accept(draft: &mut Draft<'_>, spec: &ServiceSpec) -> u64 {
    let Some(service) = draft.cluster.services().get(&spec.id).cloned() else {
        return create(draft, spec);
    };
    match anew(&service, spec) {
        Some(spec) => target(draft, &service, spec, Origin::Deployed),
        None => service.target.number,
    }
}

/// The number of the generation that the spec would be the target as.
fn would_be(draft: &Draft<'_>, spec: &ServiceSpec) -> u64 {
    match draft.cluster.services().get(&spec.id) {
        Some(service) if anew(service, spec).is_some() => service.target.number + 1,
        Some(service) => service.target.number,
        None => 1,
    }
}

/// What would be the new target of the service, unless the spec is its target already.
fn anew(service: &Service, spec: &ServiceSpec) -> Option<ServiceSpec> {
    let mut spec = spec.clone();
    // Not the file's to say: an operator who asked for a restart does not get another one by deploying again.
    spec.task.restarts_asked = service.target.spec.task.restarts_asked;
    let is_halted = matches!(service.phase, ServicePhase::Halted { .. });
    (service.target.spec != spec || is_halted).then_some(spec)
}

fn restart(draft: &mut Draft<'_>, id: &ServiceId) -> Result<Reply, Refusal> {
    let service = staying(draft, id)?;
    let mut spec = service.target.spec.clone();
    spec.task.restarts_asked += 1;
    Ok(Reply::Accepted { generation: target(draft, &service, spec, Origin::Restarted) })
}

fn create(draft: &mut Draft<'_>, spec: &ServiceSpec) -> u64 {
    let generation = Generation {
        number: 1,
        template: 1,
        origin: Origin::Deployed,
        accepted_at: draft.now,
        spec: spec.clone(),
    };
    let service = Service {
        id: spec.id.clone(),
        target: Arc::new(generation),
        stable: None,
        history: Vec::new(),
        phase: ServicePhase::Rolling(Rollout::new(draft.now)),
        runs: first_runs(spec, draft.now),
    };
    draft.put_service(service);
    1
}

/// Makes `spec` the newest generation and the target of the service, and gives its number.
pub(crate) fn target(
    draft: &mut Draft<'_>,
    service: &Service,
    spec: ServiceSpec,
    origin: Origin,
) -> u64 {
    leave(draft, service, Verdict::Superseded, (spec, origin))
}

/// The same, with what is to be thought of a target that was left before it came to rest.
fn leave(
    draft: &mut Draft<'_>,
    service: &Service,
    verdict: Verdict,
    (spec, origin): (ServiceSpec, Origin),
) -> u64 {
    if spec.priority != service.target.spec.priority {
        // Others may give way to it now, or it to others.
        draft.touch_waiting();
    }
    draft.touch_withheld(&service.id);
    let number = service.target.number + 1;
    let taken = taken_for_good(service, origin);
    let service = taken.as_ref().unwrap_or(service);
    let past = service.history.iter().map(|past| &past.generation);
    let known = [Some(&service.target), service.stable.as_ref()].into_iter().flatten().chain(past);
    let same = known.into_iter().find(|known| known.spec.task == spec.task);
    let template = same.map_or(number, |same| same.template);
    let runs = runs_under(service, &spec, draft.now);
    let generation = Generation { number, template, origin, accepted_at: draft.now, spec };
    let rollout = steering::begin(service, &generation, draft.now);
    draft.put_service(Service {
        runs,
        target: Arc::new(generation),
        history: remember(service, verdict),
        phase: ServicePhase::Rolling(rollout),
        ..service.clone()
    });
    number
}

/// Whoever deploys something else while what was there is still kept has taken what was switched to for good.
fn taken_for_good(service: &Service, origin: Origin) -> Option<Service> {
    let ServicePhase::Rolling(Rollout { stage: Stage::Keeping { .. }, .. }) = &service.phase else {
        return None;
    };
    match origin {
        Origin::Deployed | Origin::Restarted => {
            Some(Service { stable: Some(Arc::clone(&service.target)), ..service.clone() })
        }
        Origin::Scaled | Origin::RolledBack { .. } => None,
    }
}

/// The runs of a service that gets another spec. What was due by another schedule is not caught up, and what is no job any
/// more has no runs.
fn runs_under(service: &Service, spec: &ServiceSpec, now: Timestamp) -> Runs {
    let runs = service.runs.clone();
    match spec.mode {
        Mode::Job(_) if spec.schedule == service.target.spec.schedule => runs,
        Mode::Job(_) => {
            let (last, active, past) = (runs.last, runs.active, runs.past);
            Runs { last, active, past, ..first_runs(spec, now) }
        }
        Mode::Replicated { .. } | Mode::Global | Mode::Once => {
            Runs { last: runs.last, ..Runs::default() }
        }
    }
}

/// A new schedule is dealt with from now on.
fn first_runs(spec: &ServiceSpec, now: Timestamp) -> Runs {
    let dealt_until = spec.schedule.as_ref().map(|_| now).unwrap_or_default();
    Runs { dealt_until, ..Runs::default() }
}

/// The history with the target that is being left behind.
fn remember(service: &Service, unsettled: Verdict) -> Vec<Past> {
    let is_stable =
        service.stable.as_ref().is_some_and(|stable| stable.number == service.target.number);
    let verdict = match &service.phase {
        _ if is_stable => Verdict::Stable,
        ServicePhase::Halted { .. } => Verdict::Failed,
        ServicePhase::Rolling(_) | ServicePhase::Steady | ServicePhase::Removing => unsettled,
    };
    let mut history = service.history.clone();
    history.push(Past { generation: Arc::clone(&service.target), verdict });
    let excess = history.len().saturating_sub(HISTORY_LIMIT);
    history.drain(..excess);
    history
}

fn scale(draft: &mut Draft<'_>, id: &ServiceId, replicas: u32) -> Result<Reply, Refusal> {
    check_replicas(replicas)?;
    let service = staying(draft, id)?;
    match service.target.spec.mode {
        Mode::Replicated { replicas: now } if now == replicas => {
            Ok(Reply::Accepted { generation: service.target.number })
        }
        Mode::Replicated { .. } => {
            let mode = Mode::Replicated { replicas };
            let spec = ServiceSpec { mode, ..service.target.spec.clone() };
            Ok(Reply::Accepted { generation: target(draft, &service, spec, Origin::Scaled) })
        }
        Mode::Global | Mode::Once | Mode::Job(_) => Err(Refusal::NotReplicated(id.clone())),
    }
}

fn roll_back(draft: &mut Draft<'_>, id: &ServiceId, to: Option<u64>) -> Result<Reply, Refusal> {
    let service = staying(draft, id)?;
    let Some(number) = to else {
        let reply = back_to_stable(draft, &service, Verdict::Superseded);
        return reply
            .map(|generation| Reply::Accepted { generation })
            .ok_or_else(|| Refusal::NothingToRollBackTo(id.clone()));
    };
    let found = remembered(draft, &service, number)?;
    let generation = back_to(draft, &service, &found, Verdict::Superseded);
    Ok(Reply::Accepted { generation })
}

/// The generation of this number, if the service can go back to it.
fn remembered(
    draft: &Draft<'_>,
    service: &Service,
    number: u64,
) -> Result<Arc<Generation>, Refusal> {
    let past = service.history.iter().map(|past| &past.generation);
    let mut known = past.chain(&service.stable);
    let found = known.find(|known| known.number == number).cloned();
    let found = found.ok_or_else(|| Refusal::NoGeneration(service.id.clone(), number))?;
    request::check_secrets(draft.cluster, &found.spec)?;
    Ok(found)
}

/// Goes back to the task spec that was last healthy, keeping the number of replicas, if there is another one.
pub(crate) fn back_to_stable(
    draft: &mut Draft<'_>,
    service: &Service,
    unsettled: Verdict,
) -> Option<u64> {
    let past = service.history.iter().rev().filter(|past| past.verdict == Verdict::Stable);
    let mut healthy = service.stable.iter().chain(past.map(|past| &past.generation));
    let is_other = |known: &&Arc<Generation>| {
        let lacks_any = draft.cluster.lacks_secret(&known.spec.task).is_some();
        known.template != service.target.template && !lacks_any
    };
    let other = healthy.find(is_other).cloned()?;
    Some(back_to(draft, service, &other, unsettled))
}

fn back_to(
    draft: &mut Draft<'_>,
    service: &Service,
    generation: &Generation,
    unsettled: Verdict,
) -> u64 {
    let spec = ServiceSpec { task: generation.spec.task.clone(), ..service.target.spec.clone() };
    leave(draft, service, unsettled, (spec, Origin::RolledBack { to: generation.number }))
}

/// Whether a node takes new tasks is the operator's to say. Closing one leaves its tasks alone.
fn set_availability(
    draft: &mut Draft<'_>,
    id: &NodeId,
    availability: Availability,
) -> Result<Reply, Refusal> {
    let node = living(draft, id)?;
    if availability == Availability::Dead {
        return Err(Refusal::DeadNode(id.clone()));
    }
    if availability == Availability::Active
        && (node.drain.is_some_and(|drain| drain.cause.is_final()) || draft.cluster.is_ending(id))
    {
        return Err(Refusal::Pool(PoolRefusal::Leaving(id.clone())));
    }
    if node.availability != availability {
        if node.is_draining() {
            leaving::call_back(draft, id);
        }
        // A node that is closed is not being emptied yet, and one that is open not any more.
        let node = Node { availability, drain: None, ..(*node).clone() };
        draft.write(Change::PutNode(Arc::new(node)));
        touch_nodes(draft);
    }
    Ok(Reply::Noted)
}

fn living(draft: &Draft<'_>, id: &NodeId) -> Result<Arc<Node>, Refusal> {
    let node = draft.cluster.nodes().get(id).cloned();
    let node = node.ok_or_else(|| Refusal::NoNode(id.clone()))?;
    match node.availability {
        Availability::Active | Availability::Cordoned => Ok(node),
        Availability::Dead => Err(Refusal::DeadNode(id.clone())),
    }
}

/// Closes nodes and has their tasks leave, all of them at once, so that nothing goes from one to the next. Of two deadlines the
/// earlier holds: whoever asked first counts on it.
fn drain(
    draft: &mut Draft<'_>,
    ids: &[NodeId],
    within: Duration,
    cause: DrainCause,
) -> Result<Reply, Refusal> {
    if within > DRAIN_LIMIT {
        return Err(Refusal::LongDrain(within));
    }
    let nodes: Result<Vec<Arc<Node>>, Refusal> = ids.iter().map(|id| living(draft, id)).collect();
    nodes?.iter().for_each(|node| empty(draft, node, (within, cause)));
    Ok(Reply::Noted)
}

pub(crate) fn empty(
    draft: &mut Draft<'_>,
    node: &Arc<Node>,
    (within, cause): (Duration, DrainCause),
) {
    let (since, deadline) = (draft.now, draft.now + within);
    let drain = match node.drain {
        None => Drain { cause, since, deadline, phase: DrainPhase::Moving },
        Some(known) => {
            let cause = cause.max(known.cause);
            match known.phase {
                DrainPhase::Moving => {
                    Drain { cause, deadline: known.deadline.min(deadline), ..known }
                }
                DrainPhase::Forced { .. } | DrainPhase::Drained { .. } => Drain { cause, ..known },
            }
        }
    };
    if node.drain != Some(drain) {
        let (availability, drain) = (Availability::Cordoned, Some(drain));
        draft.write(Change::PutNode(Arc::new(Node { availability, drain, ..(**node).clone() })));
        touch_nodes(draft);
        let leaving: Vec<Arc<Task>> = draft.cluster.tasks_on(&node.id).cloned().collect();
        leaving.iter().for_each(|task| draft.touch_slot(&task.service, &task.slot));
    }
}

/// There are other nodes than before, or others are open: that concerns what has a place on each, and what waits for one.
pub(crate) fn touch_nodes(draft: &mut Draft<'_>) {
    let globals = draft.cluster.globals().clone();
    globals.iter().for_each(|service| draft.touch(service));
    draft.touch_waiting();
    draft.cluster.round.begin(draft.now);
}

fn remove(draft: &mut Draft<'_>, id: &ServiceId) -> Result<Reply, Refusal> {
    let service = draft.cluster.services().get(id).cloned();
    let service = service.ok_or_else(|| Refusal::NoService(id.clone()))?;
    if service.phase != ServicePhase::Removing {
        draft.put_service(Service { phase: ServicePhase::Removing, ..(*service).clone() });
    }
    Ok(Reply::Noted)
}

pub(crate) fn staying(draft: &Draft<'_>, id: &ServiceId) -> Result<Arc<Service>, Refusal> {
    let service = draft.cluster.services().get(id).cloned();
    let service = service.ok_or_else(|| Refusal::NoService(id.clone()))?;
    check_stays(&service)?;
    Ok(service)
}

fn join(draft: &mut Draft<'_>, node: &Node) -> Reply {
    let said = node.ami.as_deref();
    let known = draft.cluster.nodes().get(&node.id);
    let availability = known.map_or(node.availability, |known| known.availability);
    let drain = known.and_then(|known| known.drain);
    // The dead stay dead, unless the cloud says that the machine was started again: then nothing of what ran there runs.
    let availability = match availability {
        Availability::Dead if fleet::runs_again(draft, &node.id) => Availability::Active,
        other @ (Availability::Active | Availability::Cordoned | Availability::Dead) => other,
    };
    let until = || preparing::has_any(draft.cluster).then(|| draft.now + preparing::PATIENCE);
    let preparing_until = known.map_or_else(until, |known| known.preparing_until);
    let node = Node { availability, drain, preparing_until, ..facts(known, node) };
    let node = match (draft.cluster.instance(&node.id), known) {
        (Some(instance), _) => fleet::told(&node, instance),
        (None, Some(known)) => fleet::remembered(known, node),
        (None, None) => node,
    };
    if known.is_none_or(|known| **known != node) {
        draft.write(Change::PutNode(Arc::new(node.clone())));
    }
    touch_nodes(draft);
    fleet::joined(draft, &node.id, said);
    hear(draft, &node.id, EngineState::Ready)
}

/// What is to be believed of a node. One whose engine does not answer says nothing of what only that knows, its
/// architecture for one, and is no smaller for that.
fn facts(known: Option<&Arc<Node>>, said: &Node) -> Node {
    let Some(known) = known.filter(|_| said.arch.is_empty()) else { return said.clone() };
    let Node { zone, labels, pool, ami, instance_type, .. } = said.clone();
    Node { zone, labels, pool, ami, instance_type, ..(**known).clone() }
}

fn hear(draft: &mut Draft<'_>, node: &NodeId, engine: EngineState) -> Reply {
    if let Some(known) = draft.cluster.nodes().get(node).cloned() {
        let could_take = draft.cluster.takes_work(&known, draft.now);
        let before =
            draft.cluster.sighting(node).filter(|_| draft.cluster.is_heard(&known, draft.now));
        let has_told_all = before.is_some_and(|seen| seen.has_told_all);
        let sighting = Sighting { at: draft.now, engine, has_told_all };
        draft.cluster.saw(node, sighting);
        match (could_take, draft.cluster.takes_work(&known, draft.now)) {
            (false, true) => {
                draft.touch_waiting();
                condemned::heard(draft, node);
                draft.cluster.round.begin(draft.now);
            }
            // What was to come there looks elsewhere.
            (true, false) => draft.touch_promised(node),
            (false, false) | (true, true) => {}
        }
    }
    Reply::Noted
}

fn report(draft: &mut Draft<'_>, node: &NodeId, reports: &[Report]) -> Reply {
    let engine = draft.cluster.sighting(node).map_or(EngineState::Ready, |seen| seen.engine);
    hear(draft, node, engine);
    for report in reports {
        let Some(task) = draft.cluster.tasks().get(&report.task).cloned() else { continue };
        if task.node.as_ref() != Some(node) || !task.state.may_become(&report.state) {
            continue;
        }
        draft.cluster.saw_lease(&task.id, report.lease.filter(|_| !report.state.is_final()));
        let has_fetched = task.state == TaskState::Fetching && report.state != TaskState::Fetching;
        let clock_since = if has_fetched { Some(draft.now) } else { task.clock_since };
        let seen = Task {
            clock_since,
            state: report.state.clone(),
            restarts: task.restarts.max(report.restarts),
            note: report.note.clone(),
            containers: report.containers.clone(),
            ended_at: report.state.is_final().then_some(draft.now),
            ..(*task).clone()
        };
        if seen != *task {
            observe(draft, seen);
        }
    }
    Reply::Noted
}

fn observe(draft: &mut Draft<'_>, task: Task) {
    let (service, slot) = (task.service.clone(), task.slot.clone());
    let is_final = task.state.is_final();
    if is_final && task.desired.stop_cause() == Some(StopCause::Operator) {
        // An operator wanted less: there is room where there may have been none.
        draft.cluster.round.begin(draft.now);
    }
    draft.put_task(task);
    draft.touch_slot(&service, &slot);
    touch_dependents(draft, &service);
    if is_final {
        draft.touch_waiting();
    }
}

/// What waits for this service may go on.
pub(crate) fn touch_dependents(draft: &mut Draft<'_>, id: &ServiceId) {
    let dependents: Vec<ServiceId> = draft.cluster.dependents(id).cloned().collect();
    dependents.iter().for_each(|dependent| draft.touch(dependent));
}

fn bury(draft: &mut Draft<'_>, id: &NodeId) -> Reply {
    let Some(node) = draft.cluster.nodes().get(id).cloned() else { return Reply::Noted };
    let lost: Vec<_> =
        draft.cluster.tasks_on(id).filter(|task| !task.state.is_final()).cloned().collect();
    for task in lost {
        let desired = match task.desired {
            DesiredState::Run => DesiredState::stop(StopCause::NodeDead),
            told @ DesiredState::Stop { .. } => told,
        };
        observe(draft, Task { desired, state: TaskState::Lost, ..(*task).clone() });
    }
    draft.cluster.fleet.warned.remove(id);
    if node.availability != Availability::Dead {
        let (availability, drain) = (Availability::Dead, None);
        let node = Node { availability, drain, preparing_until: None, ..(*node).clone() };
        if node.pool.as_ref().is_some_and(|pool| draft.cluster.pools().contains_key(pool)) {
            draft.cluster.fleet.dead.insert(id.clone(), draft.now);
        }
        draft.write(Change::PutNode(Arc::new(node)));
        // A place fewer for what runs on every node, also where nothing of it ran.
        touch_nodes(draft);
    }
    Reply::Noted
}
