//! What is heard of pools and their machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{
    Hook, HookCall, HookId, HookPhase, Instance, Lifecycle, Pool, PoolPolicy, Power, SHRINK_LIMITS,
    Survey, Transition, WAIT_LIMITS,
};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};
use model::policy::Profile;
use model::schedule::{WINDOWS_LIMIT, Window};
use model::time::Timestamp;

use super::{condemned, outlook, root};
use crate::cluster::{Change, Try, UNREACHABLE_AFTER, hook_name};
use crate::command::{self, Key, Outcome};
use crate::draft::Draft;
use crate::event::{FleetEvent, PoolRefusal, Refusal, Reply};
use crate::plan::{leaving, shrink};

/// The cloud must have known nothing of a machine for so long, and its agent silent besides, until that counts.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// The same of a machine that the cloud has never described.
const STRANGE_FOR: Duration = Duration::from_secs(900);
/// The label that the cloud's description gives a node.
const LIFECYCLE: &str = "lifecycle";
/// What takes the cloud a while is looked at again after so long.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// Writes down what was heard of machines.
pub(crate) fn absorb(draft: &mut Draft<'_>, event: &FleetEvent) -> Result<Reply, Refusal> {
    match event {
        FleetEvent::PutPool { name, policy } => put_pool(draft, name, *policy),
        FleetEvent::SetWindows { name, windows } => set_windows(draft, name, windows),
        FleetEvent::RemovePool(name) => remove_pool(draft, name),
        FleetEvent::Surveyed(seen) => Ok(survey(draft, seen)),
        FleetEvent::Hooked(call) => Ok(hear(draft, call)),
        FleetEvent::Noticed { node, notice } => Ok(outlook::notice(draft, node, *notice)),
        FleetEvent::Foreseen { node, outlook } => Ok(outlook::foresee(draft, node, outlook)),
        FleetEvent::Performed { key, outcome: came } => Ok(outcome(draft, key, came)),
        FleetEvent::Refresh(event) => super::refresh::absorb(draft, event),
    }
}

/// Takes an Auto Scaling group for a pool, or changes what is wanted of one.
fn put_pool(draft: &mut Draft<'_>, name: &str, policy: PoolPolicy) -> Result<Reply, Refusal> {
    let (least, most) = WAIT_LIMITS;
    for wait in [policy.drain_within, policy.join_within] {
        if !(least..=most).contains(&wait) {
            return Err(Refusal::Pool(PoolRefusal::Wait(wait)));
        }
    }
    check_sizes(&policy)?;
    condemned::check(&policy)?;
    let known = draft.cluster.pools().get(name).cloned();
    let pool = match known.as_deref() {
        Some(known) => Pool { policy, ..known.clone() },
        None => Pool {
            name: name.to_owned(),
            since: draft.now,
            policy,
            ending: BTreeSet::new(),
            asked: None,
            windows: Vec::new(),
            roots: BTreeMap::new(),
            condemned: BTreeMap::new(),
            condemned_in: BTreeMap::new(),
        },
    };
    if known.as_deref() != Some(&pool) {
        let before = known.map(|known| known.policy.profile).unwrap_or_default();
        draft.write(Change::PutPool(Arc::new(pool)));
        draft.touch_waiting();
        draft.cluster.fleet.condemn_at = None;
        if before != policy.profile {
            super::touch_nodes(draft);
        }
    }
    Ok(Reply::Noted)
}

/// Says when machines of a pool may be replaced.
fn set_windows(draft: &mut Draft<'_>, name: &str, windows: &[Window]) -> Result<Reply, Refusal> {
    if windows.len() > WINDOWS_LIMIT {
        let why = format!("a pool has {WINDOWS_LIMIT} windows at most");
        return Err(Refusal::Pool(PoolRefusal::Policy(why)));
    }
    let none = || Refusal::Pool(PoolRefusal::None(name.to_owned()));
    let pool = draft.cluster.pools().get(name).cloned().ok_or_else(none)?;
    if pool.windows != windows {
        let windows = windows.to_vec();
        draft.write(Change::PutPool(Arc::new(Pool { windows, ..(*pool).clone() })));
        draft.cluster.fleet.refresh_at = None;
    }
    Ok(Reply::Noted)
}

/// What is asked of the sizes of a pool has to make sense by itself; what its group allows may change any time.
fn check_sizes(policy: &PoolPolicy) -> Result<(), Refusal> {
    let refused = |why: String| Err(Refusal::Pool(PoolRefusal::Policy(why)));
    let (least, most) = SHRINK_LIMITS;
    if !(least..=most).contains(&policy.shrink_after) {
        return refused(format!(
            "a machine that nothing needs stays from {} s to {} days, and {} s were asked for",
            least.as_secs(),
            most.as_secs() / 86_400,
            policy.shrink_after.as_secs()
        ));
    }
    match policy.most {
        Some(most) if most < policy.least => {
            refused(format!("no pool has at least {} machines and at most {most}", policy.least))
        }
        Some(_) | None => Ok(()),
    }
}

/// Leaves a group to itself. Its nodes stay nodes. While it waits for an answer it is not left.
fn remove_pool(draft: &mut Draft<'_>, name: &str) -> Result<Reply, Refusal> {
    let none = || Refusal::Pool(PoolRefusal::None(name.to_owned()));
    condemned::check_none(draft.cluster.pools().get(name).ok_or_else(none)?)?;
    if let Some(hook) = draft.cluster.waiting_hooks().find(|hook| hook.pool == name) {
        return Err(Refusal::Pool(PoolRefusal::Waits(name.to_owned(), hook.id.clone())));
    }
    if let Some(refresh) = draft.cluster.open_refreshes().find(|refresh| refresh.id.pool == name) {
        return Err(Refusal::Pool(PoolRefusal::Refreshing(refresh.id.clone())));
    }
    shrink::call_off_all(draft, name);
    let old = draft.cluster.refreshes_of(name).map(|refresh| refresh.id.clone());
    let old: Vec<_> = old.collect();
    old.into_iter().for_each(|id| draft.write(Change::RemoveRefresh(id)));
    let profile = draft.cluster.pools().get(name).map(|pool| pool.policy.profile);
    draft.write(Change::RemovePool(name.to_owned()));
    if profile.unwrap_or_default() != Profile::Default {
        // Its machines take everything again.
        super::touch_nodes(draft);
    }
    Ok(Reply::Noted)
}

/// Hears what one look at the cloud has shown.
fn survey(draft: &mut Draft<'_>, survey: &Survey) -> Reply {
    for group in &survey.groups {
        let pool = group.name.clone();
        for own in command::hooks() {
            if group.hooks.contains(&own) {
                draft.cluster.fleet.tries.remove(&Key::Hook(pool.clone(), own.transition));
            }
        }
        let before = draft.cluster.fleet.groups.insert(pool.clone(), group.clone());
        if before.as_ref().is_none_or(|before| before.desired != group.desired) {
            draft.cluster.fleet.tries.remove(&Key::Desired(pool.clone()));
        }
        super::refresh::see(draft, before.as_ref(), group);
    }
    draft.cluster.fleet.refresh_at = None;
    for missing in &survey.missing {
        draft.cluster.fleet.groups.remove(missing);
    }
    draft.cluster.fleet.images.clone_from(&survey.images);
    see_instances(draft, survey);
    forget_ended(draft);
    survey.instances.iter().for_each(|instance| see(draft, instance));
    condemned::see(draft, survey);
    survey.unknown.iter().for_each(|id| miss(draft, id));
    let asked: BTreeSet<&NodeId> = survey.instances.iter().map(|instance| &instance.id).collect();
    draft.cluster.fleet.unknown.retain(|id, _| !asked.contains(id));
    let shown: BTreeSet<&str> = survey.groups.iter().map(|group| group.name.as_str()).collect();
    end_hooks(draft, &shown);
    draft.cluster.find_old();
    Reply::Noted
}

/// What was asked of machines that are on their way out was done.
fn forget_ended(draft: &mut Draft<'_>) {
    let fleet = &mut draft.cluster.fleet;
    let stays = |id: &NodeId| {
        fleet.instances.get(id).is_some_and(|instance| !instance.lifecycle.is_leaving())
    };
    fleet.tries.retain(|key, _| match key {
        Key::Terminate(id) => stays(id),
        Key::Answer(_)
        | Key::Beat(_)
        | Key::Hook(..)
        | Key::Desired(_)
        | Key::MakeTemplate(_)
        | Key::Template(_)
        | Key::Max(_)
        | Key::Process(_)
        | Key::Cancel(_)
        | Key::Root(_)
        | Key::Bake(_)
        | Key::Look(_)
        | Key::Remove(_)
        | Key::Balance(_) => true,
    });
}

/// Keeps what was shown, and what is known of groups that were not. A machine that is neither in a group nor a node is
/// forgotten.
fn see_instances(draft: &mut Draft<'_>, survey: &Survey) {
    let shown = survey.instances.iter().map(|one| (one.id.clone(), root::seen(draft, one)));
    let shown = shown.collect();
    root::forget_gone(draft, survey);
    let before = std::mem::replace(&mut draft.cluster.fleet.instances, shown);
    // One that was not asked for because it joined meanwhile is as it was.
    let nodes = draft.cluster.nodes();
    let is_shown = |pool: &Option<String>| {
        survey.groups.iter().any(|group| Some(&group.name) == pool.as_ref())
    };
    let is_unasked = |(id, one): &(NodeId, Instance)| {
        !survey.unknown.contains(id) && (nodes.contains_key(id) || !is_shown(&one.pool))
    };
    let unasked: Vec<_> = before.into_iter().filter(is_unasked).collect();
    for (id, instance) in unasked {
        draft.cluster.fleet.instances.entry(id).or_insert(instance);
    }
}

fn see(draft: &mut Draft<'_>, instance: &Instance) {
    if let Some(transition) = waits_for(draft, instance) {
        let id = HookId { instance: instance.id.clone(), transition };
        let pool = instance.pool.clone().unwrap_or_default();
        hear(draft, &HookCall { id, pool, token: None });
    }
    let Some(node) = draft.cluster.nodes().get(&instance.id).cloned() else { return };
    if node.availability == Availability::Dead {
        return;
    }
    if instance.power.is_off() || instance.lifecycle == Lifecycle::Terminated {
        return die(draft, &node.id);
    }
    let told = told(&node, instance);
    // What we have asked it to end is on its way out, whatever it looks like.
    let is_ending = draft.cluster.is_ending(&node.id);
    let told = if is_ending { told } else { stays(told, instance, draft.now) };
    if told != *node {
        if node.is_draining() && told.drain.is_none() {
            leaving::call_back(draft, &node.id);
        }
        draft.write(Change::PutNode(Arc::new(told)));
        super::touch_nodes(draft);
    }
    if instance.lifecycle.is_leaving()
        && let Some(pool) = instance.pool.as_ref().and_then(|name| draft.cluster.pools().get(name))
    {
        let within = pool.policy.drain_within;
        leave(draft, &instance.id, (within, DrainCause::Terminating));
    }
}

/// Says whether a machine that was stopped was started again.
pub(crate) fn runs_again(draft: &Draft<'_>, id: &NodeId) -> bool {
    let instance = draft.cluster.instance(id);
    instance.is_some_and(|one| one.power == Power::Running && !one.lifecycle.is_leaving())
}

/// A machine in service does not end, whoever said so: its node is open again.
fn stays(node: Node, instance: &Instance, now: Timestamp) -> Node {
    let is_false = node.drain.is_some_and(|drain| {
        drain.cause == DrainCause::Terminating && has_settled(drain.since, now)
    });
    if instance.lifecycle == Lifecycle::InService && is_false {
        return Node { availability: Availability::Active, drain: None, ..node };
    }
    node
}

/// A machine that is on its way out is no place for anything, also when its agent comes only now.
pub(crate) fn joined(draft: &mut Draft<'_>, id: &NodeId, ami: Option<&str>) {
    root::joined(draft, id, ami);
    if draft.cluster.is_ending(id) && !draft.cluster.is_condemned(id) {
        leave(draft, id, (Duration::ZERO, DrainCause::Refresh));
    }
    let leaving = draft.cluster.instance(id).filter(|one| one.lifecycle.is_leaving());
    let waits = HookId { instance: id.clone(), transition: Transition::Terminating };
    let pool = match (draft.cluster.hooks().get(&waits), leaving) {
        (Some(hook), _) => Some(hook.pool.clone()),
        (None, leaving) => leaving.and_then(|instance| instance.pool.clone()),
    };
    let pool = pool.and_then(|name| draft.cluster.pools().get(&name));
    if let Some(within) = pool.map(|pool| pool.policy.drain_within) {
        leave(draft, id, (within, DrainCause::Terminating));
    }
}

/// The hooks of ours that a machine waits for, as far as its state says: one that has several does not say for which.
fn waits_for(draft: &Draft<'_>, instance: &Instance) -> Option<Transition> {
    let transition = match instance.lifecycle {
        Lifecycle::LaunchingWaits => Transition::Launching,
        Lifecycle::TerminatingWaits => Transition::Terminating,
        Lifecycle::Launching
        | Lifecycle::InService
        | Lifecycle::Terminating
        | Lifecycle::Terminated
        | Lifecycle::Aside => return None,
    };
    let group = draft.cluster.group(instance.pool.as_ref()?)?;
    let is_ours = group.hooks.iter().any(|hook| hook.name == hook_name(transition));
    is_ours.then_some(transition)
}

/// What the cloud says of a machine counts more than what it says of itself.
pub(crate) fn told(node: &Node, instance: &Instance) -> Node {
    let mut labels = node.labels.clone();
    let lifecycle = if instance.is_spot { "spot" } else { "on-demand" };
    labels.insert(LIFECYCLE.to_owned(), lifecycle.to_owned());
    let known = |said: &Option<String>, before: &Option<String>| said.clone().or(before.clone());
    Node {
        // One look reads groups first: who has come since is not named by its group yet.
        pool: known(&instance.pool, &node.pool),
        zone: if instance.zone.is_empty() { node.zone.clone() } else { instance.zone.clone() },
        instance_type: known(&instance.instance_type, &node.instance_type),
        ami: known(&instance.ami, &node.ami),
        labels,
        ..node.clone()
    }
}

/// What the cloud has said of a machine counts until it is looked at again: an agent that joins whoever has taken over does not
/// know its group, and a refresh that is aborted before the first look would leave its node closed (simulation, seed 1809).
pub(crate) fn remembered(known: &Node, said: Node) -> Node {
    let Some(lifecycle) = known.labels.get(LIFECYCLE) else { return said };
    let mut labels = said.labels.clone();
    labels.insert(LIFECYCLE.to_owned(), lifecycle.clone());
    let or_known = |said: &Option<String>, known: &Option<String>| said.clone().or(known.clone());
    Node {
        pool: or_known(&said.pool, &known.pool),
        zone: if said.zone.is_empty() { known.zone.clone() } else { said.zone.clone() },
        instance_type: or_known(&said.instance_type, &known.instance_type),
        ami: or_known(&said.ami, &known.ami),
        labels,
        ..said
    }
}

/// The cloud knows nothing of a machine: it has not heard of it yet, or it is long gone. Its agent decides.
fn miss(draft: &mut Draft<'_>, id: &NodeId) {
    let now = draft.now;
    draft.cluster.fleet.instances.remove(id);
    let since = *draft.cluster.fleet.unknown.entry(id.clone()).or_insert(now);
    let heard = draft.cluster.sighting(id).map(|seen| seen.at);
    // Who was never described may be no machine of this region: that has to show for longer (simulation, seed 350).
    let node = draft.cluster.nodes().get(id);
    let was_described = node.is_some_and(|node| node.labels.contains_key(LIFECYCLE));
    let wait = if was_described { UNKNOWN_FOR } else { STRANGE_FOR };
    let is_silent = heard.is_some_and(|at| now.since(at) >= wait.max(UNREACHABLE_AFTER));
    if is_silent && now.since(since) >= wait {
        die(draft, id);
    }
}

fn die(draft: &mut Draft<'_>, id: &NodeId) {
    super::bury(draft, id);
}

/// Hears that a group waits for an answer.
fn hear(draft: &mut Draft<'_>, call: &HookCall) -> Reply {
    let Some(pool) = draft.cluster.pools().get(&call.pool).cloned() else { return Reply::Noted };
    let node = draft.cluster.nodes().get(&call.id.instance);
    if node.is_some_and(|node| node.pool.as_ref().is_some_and(|own| *own != call.pool)) {
        return Reply::Noted;
    }
    let within = match call.id.transition {
        Transition::Launching => pool.policy.join_within,
        Transition::Terminating => pool.policy.drain_within,
    };
    match draft.cluster.hooks().get(&call.id).cloned() {
        None => wait(draft, call, within),
        // Told after it was found.
        Some(known) if known.token.is_none() && call.token.is_some() => {
            let token = call.token.clone();
            draft.write(Change::PutHook(Arc::new(Hook { token, ..(*known).clone() })));
        }
        // It waits for longer than an answer takes: that has not reached it.
        Some(known) if call.token.is_none() && is_lost(&known, draft.now) => {
            wait(draft, call, within)
        }
        Some(_) => {}
    }
    if call.id.transition == Transition::Terminating {
        leave(draft, &call.id.instance, (within, DrainCause::Terminating));
    }
    Reply::Noted
}

/// Has the group wait from now on.
fn wait(draft: &mut Draft<'_>, call: &HookCall, within: Duration) {
    let (since, deadline) = (draft.now, draft.now + within);
    let HookCall { id, pool, token } = call.clone();
    draft.cluster.fleet.beats.insert(id.clone(), since);
    let hook = Hook { id, pool, token, since, deadline, phase: HookPhase::Waiting };
    draft.write(Change::PutHook(Arc::new(hook)));
}

/// Says whether the cloud shows by now what it told then.
fn has_settled(told: Timestamp, now: Timestamp) -> bool {
    now.since(told) >= UNKNOWN_FOR
}

fn is_lost(hook: &Hook, now: Timestamp) -> bool {
    match &hook.phase {
        HookPhase::Done { at, .. } => now.since(*at) >= command::SETTLES,
        HookPhase::Waiting | HookPhase::Answered { .. } => false,
    }
}

/// Hooks that wait for machines that are not there any more wait for nothing.
fn end_hooks(draft: &mut Draft<'_>, shown: &BTreeSet<&str>) {
    let fleet = &draft.cluster.fleet;
    let is_over = |hook: &&Arc<Hook>| match fleet.instances.get(&hook.id.instance) {
        Some(instance) => match (hook.id.transition, instance.lifecycle) {
            (_, Lifecycle::Terminated) => true,
            // Whoever said that it ends was wrong: there is no way back into service.
            (Transition::Terminating, Lifecycle::InService) => has_settled(hook.since, draft.now),
            // A machine that ended by itself is waited for like any other.
            (
                Transition::Terminating,
                Lifecycle::Launching
                | Lifecycle::LaunchingWaits
                | Lifecycle::Terminating
                | Lifecycle::TerminatingWaits
                | Lifecycle::Aside,
            ) => false,
            (
                Transition::Launching,
                Lifecycle::InService | Lifecycle::Terminating | Lifecycle::TerminatingWaits,
            ) => true,
            (
                Transition::Launching,
                Lifecycle::Launching | Lifecycle::LaunchingWaits | Lifecycle::Aside,
            ) => false,
        },
        // What the cloud says may lag behind what it has told.
        None => has_settled(hook.since, draft.now),
    };
    let is_open = |hook: &&Arc<Hook>| {
        !matches!(hook.phase, HookPhase::Done { .. }) && shown.contains(hook.pool.as_str())
    };
    let over = draft.cluster.hooks().values().filter(is_open).filter(is_over);
    let over: Vec<Arc<Hook>> = over.cloned().collect();
    over.iter().for_each(|hook| end(draft, hook));
}

fn end(draft: &mut Draft<'_>, hook: &Hook) {
    let answer = match &hook.phase {
        HookPhase::Answered { answer, .. } => Some(*answer),
        HookPhase::Done { answer, .. } => *answer,
        HookPhase::Waiting => None,
    };
    let phase = HookPhase::Done { at: draft.now, answer };
    draft.write(Change::PutHook(Arc::new(Hook { phase, ..hook.clone() })));
    draft.cluster.fleet.beats.remove(&hook.id);
    draft.cluster.fleet.tries.remove(&Key::Answer(hook.id.clone()));
    draft.cluster.fleet.tries.remove(&Key::Beat(hook.id.clone()));
}

/// Has what runs on a machine leave it.
pub(super) fn leave(draft: &mut Draft<'_>, id: &NodeId, (within, cause): (Duration, DrainCause)) {
    let Some(node) = draft.cluster.nodes().get(id).cloned() else { return };
    // Nobody can be told to leave a machine that is ended because nobody is heard there: all wait for its end, which comes soon.
    let is_in_vain = draft.cluster.is_condemned(id) && !draft.cluster.is_back(id, draft.now);
    if node.availability != Availability::Dead && !is_in_vain {
        super::empty(draft, &node, (within, cause));
    }
}

/// Hears what became of a request to the cloud.
fn outcome(draft: &mut Draft<'_>, key: &Key, outcome: &Outcome) -> Reply {
    let now = draft.now;
    let tries = &mut draft.cluster.fleet.tries;
    match outcome {
        Outcome::Failed { why } => {
            let known = tries.get(key).map_or(0, |tried| tried.count);
            let (count, not_before) = (known.saturating_add(1), command::retry(known, now));
            let why = Some(why.clone());
            tries.insert(key.clone(), Try { count, not_before, why });
            super::refresh::fail(draft, key);
            return Reply::Noted;
        }
        Outcome::UnderWay => {
            let tried = Try { count: 0, not_before: now + UNDER_WAY, why: None };
            tries.insert(key.clone(), tried);
            return Reply::Noted;
        }
        Outcome::Done | Outcome::Made(_) | Outcome::NothingWaits | Outcome::InVain { .. } => {
            tries.remove(key);
        }
    }
    match key {
        Key::Beat(id) if *outcome == Outcome::Done => {
            draft.cluster.fleet.beats.insert(id.clone(), now);
        }
        Key::Answer(id) | Key::Beat(id) => {
            if let Some(hook) = draft.cluster.hooks().get(id).cloned() {
                end(draft, &hook);
            }
        }
        Key::MakeTemplate(id) => {
            if let Outcome::Made(to) = outcome {
                super::refresh::made(draft, id, to);
            }
        }
        Key::Root(id) => root::replaced(draft, id, outcome),
        // It shows with the next look.
        Key::Hook(..)
        | Key::Desired(_)
        | Key::Template(_)
        | Key::Max(_)
        | Key::Process(_)
        | Key::Cancel(_)
        | Key::Terminate(_)
        | Key::Bake(_)
        | Key::Look(_)
        | Key::Remove(_)
        | Key::Balance(_) => {
            let tried = Try { count: 0, not_before: now + command::SETTLES, why: None };
            draft.cluster.fleet.tries.insert(key.clone(), tried);
        }
    }
    Reply::Noted
}
