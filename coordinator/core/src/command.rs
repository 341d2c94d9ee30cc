//! What is asked of the cloud. Nothing is kept of it: each request follows from the state as it is, until the cloud has
//! done it. So a coordinator that is started again asks for the same, and planning is the only retry.

pub mod bake;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::bake::{Architecture, BaseSource};
use model::fleet::{
    Answer, Group, GroupHook, HOOK_PATIENCE, Hook, HookId, HookPhase, Pool, Transition,
};
use model::id::{BakeId, NodeId, RecipeName};
use model::node::Availability;
use model::refresh::{Blueprint, RefreshId};
use model::time::Timestamp;
use model::traffic::{RegistrationPhase, Target, TargetGroup};

use self::bake::BakeAsk;
use crate::cluster::{Cluster, hook_name};

/// After a request that failed the next one comes so much later, and each time twice as late.
const RETRY: Duration = Duration::from_secs(1);
/// But no later than this.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// What the cloud has been told shows in what it says after so long at the latest: before that it is not told again.
pub(crate) const SETTLES: Duration = Duration::from_secs(60);

/// A request to the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tells a group that waits what to do with the machine.
    AnswerHook {
        /// Which.
        hook: HookId,
        /// The group.
        pool: String,
        /// By which the group knows the action; by the id of the machine where there is none.
        token: Option<String>,
        /// What.
        answer: Answer,
    },
    /// Gives a group that waits a sign that it shall go on waiting.
    Beat {
        /// Which.
        hook: HookId,
        /// The group.
        pool: String,
        /// By which the group knows the action.
        token: Option<String>,
    },
    /// Has the group wait for us.
    SetHook {
        /// The group.
        pool: String,
        /// How the hook is to be.
        hook: GroupHook,
    },
    /// Asks for another number of machines.
    SetDesired {
        /// The group.
        pool: String,
        /// How many it wants now, as far as is known.
        from: u32,
        /// How many it is to want.
        to: u32,
    },
    /// Makes versions of launch templates that name another machine image.
    MakeTemplate {
        /// For which refresh.
        refresh: RefreshId,
        /// What is asked for twice with the same is made once.
        token: String,
        /// Of which versions they differ in nothing else.
        from: Blueprint,
        /// The machine image.
        ami: String,
    },
    /// Has a group launch machines from other versions.
    SetTemplate {
        /// The group.
        pool: String,
        /// What it launches now, as far as is known.
        from: Blueprint,
        /// What it is to launch.
        to: Blueprint,
    },
    /// Allows a group another number of machines.
    SetMax {
        /// The group.
        pool: String,
        /// How many.
        to: u32,
    },
    /// Has a group leave something undone that it does by itself, or do it again.
    SetProcess {
        /// The group.
        pool: String,
        /// What, in Auto Scaling's words.
        process: &'static str,
        /// Whether it is left undone.
        suspended: bool,
    },
    /// Ends a machine through its group.
    Terminate {
        /// The group.
        pool: String,
        /// The machine.
        instance: NodeId,
        /// If the group wants more machines than this, it wants one less from then on; otherwise another takes its place.
        keep: u32,
    },
    /// Cancels an instance refresh that is not ours.
    CancelRefresh {
        /// Of which group.
        pool: String,
    },
    /// Gives a machine another root volume, from which it boots.
    ReplaceRoot {
        /// The machine.
        instance: NodeId,
        /// What is asked for twice with the same is done once.
        token: String,
        /// What is to be on it.
        ami: String,
    },
    /// Asks something about a bake.
    Bake {
        /// Which.
        bake: BakeId,
        /// What.
        ask: Box<BakeAsk>,
    },
    /// Looks at what can be a reason for a bake of a recipe.
    Look {
        /// Of which.
        recipe: RecipeName,
        /// Where its base is found, and for what processors it has to be; none when the base is no reason.
        base: Option<(BaseSource, Architecture)>,
    },
    /// Puts instances into a target group by port, or takes them out.
    Balance {
        /// The group.
        group: TargetGroup,
        /// Which of the two.
        phase: RegistrationPhase,
        /// What; at least one.
        targets: Vec<Target>,
    },
    /// Removes a machine, or an image and its snapshots, that nobody needs.
    Remove {
        /// Its id.
        id: String,
        /// Which of the two it is.
        is_image: bool,
    },
}

/// Which request: two with the same key are never made at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of [`Command::AnswerHook`].
    Answer(HookId),
    /// Of [`Command::Beat`].
    Beat(HookId),
    /// Of [`Command::SetHook`].
    Hook(String, Transition),
    /// Of [`Command::SetDesired`].
    Desired(String),
    /// Of [`Command::MakeTemplate`].
    MakeTemplate(RefreshId),
    /// Of [`Command::SetTemplate`].
    Template(String),
    /// Of [`Command::SetMax`].
    Max(String),
    /// Of [`Command::SetProcess`].
    Process(String),
    /// Of [`Command::Terminate`].
    Terminate(NodeId),
    /// Of [`Command::CancelRefresh`].
    Cancel(String),
    /// Of [`Command::ReplaceRoot`].
    Root(NodeId),
    /// Of [`Command::Bake`]: a bake asks one thing at a time.
    Bake(BakeId),
    /// Of [`Command::Look`].
    Look(RecipeName),
    /// Of [`Command::Remove`].
    Remove(String),
    /// Of [`Command::Balance`]: a group is told one thing at a time.
    Balance(TargetGroup),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// These versions were made.
    Made(Blueprint),
    /// The group does not wait any more.
    NothingWaits,
    /// It is being done, and takes a while: asked again it says how far.
    UnderWay,
    /// It is not done, and will not be however often it is asked.
    InVain {
        /// Why.
        why: String,
    },
    /// It is not done, or nobody knows.
    Failed {
        /// Why.
        why: String,
    },
}

impl Command {
    /// Which it is.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::AnswerHook { hook, .. } => Key::Answer(hook.clone()),
            Self::Beat { hook, .. } => Key::Beat(hook.clone()),
            Self::SetHook { pool, hook } => Key::Hook(pool.clone(), hook.transition),
            Self::SetDesired { pool, .. } => Key::Desired(pool.clone()),
            Self::MakeTemplate { refresh, .. } => Key::MakeTemplate(refresh.clone()),
            Self::SetTemplate { pool, .. } => Key::Template(pool.clone()),
            Self::SetMax { pool, .. } => Key::Max(pool.clone()),
            Self::SetProcess { pool, .. } => Key::Process(pool.clone()),
            Self::Terminate { instance, .. } => Key::Terminate(instance.clone()),
            Self::CancelRefresh { pool } => Key::Cancel(pool.clone()),
            Self::ReplaceRoot { instance, .. } => Key::Root(instance.clone()),
            Self::Bake { bake, .. } => Key::Bake(bake.clone()),
            Self::Look { recipe, .. } => Key::Look(recipe.clone()),
            Self::Remove { id, .. } => Key::Remove(id.clone()),
            Self::Balance { group, .. } => Key::Balance(group.clone()),
        }
    }

    /// Says whether what comes of it shows in how the cloud looks soon after.
    #[must_use]
    pub const fn shows(&self) -> bool {
        match self {
            Self::AnswerHook { .. }
            | Self::SetDesired { .. }
            | Self::SetTemplate { .. }
            | Self::SetMax { .. }
            | Self::SetProcess { .. }
            | Self::Terminate { .. }
            | Self::CancelRefresh { .. }
            | Self::ReplaceRoot { .. } => true,
            Self::Beat { .. }
            | Self::SetHook { .. }
            | Self::MakeTemplate { .. }
            | Self::Bake { .. }
            | Self::Look { .. }
            | Self::Remove { .. }
            | Self::Balance { .. } => false,
        }
    }

    /// Says whether it takes a machine away or brings one: what is withheld while something is wrong.
    #[must_use]
    pub const fn is_weighty(&self) -> bool {
        match self {
            Self::Bake { ask, .. } => ask.is_weighty(),
            Self::AnswerHook { .. }
            | Self::SetDesired { .. }
            | Self::SetTemplate { .. }
            | Self::Terminate { .. }
            | Self::ReplaceRoot { .. }
            | Self::Remove { .. } => true,
            Self::Beat { .. }
            | Self::SetHook { .. }
            | Self::MakeTemplate { .. }
            | Self::SetMax { .. }
            | Self::SetProcess { .. }
            | Self::CancelRefresh { .. }
            | Self::Look { .. }
            | Self::Balance { .. } => false,
        }
    }
}

/// When a request that failed so often is made again.
pub(crate) fn retry(count: u32, now: Timestamp) -> Timestamp {
    now + RETRY.saturating_mul(1_u32.checked_shl(count).unwrap_or(u32::MAX)).min(RETRY_LIMIT)
}

/// What the cloud is to be asked now.
#[must_use]
pub fn commands(cluster: &Cluster, now: Timestamp) -> Vec<Command> {
    let hooks = cluster.hooks().values().filter_map(|hook| of_hook(cluster, hook, now));
    let pools = cluster.pools().values();
    let groups = pools.filter_map(|pool| Some((pool, cluster.group(&pool.name)?)));
    let settings = groups.flat_map(|(pool, group)| of_pool(cluster, pool, group));
    let mut all: Vec<Command> =
        hooks.chain(settings).chain(cluster.fleet.orders.iter().cloned()).collect();
    all.extend(bake::commands(cluster, now));
    all.extend(traffic::commands(cluster, now));
    all.retain(|command| cluster.fleet.may_try(&command.key(), now));
    the_greatest_size(&mut all);
    all
}

/// Two may want a group to have more machines: for tasks that find no room, and for a refresh. It gets what the greater asks.
fn the_greatest_size(commands: &mut Vec<Command>) {
    let mut greatest: BTreeMap<String, u32> = BTreeMap::new();
    for command in &*commands {
        if let Command::SetDesired { pool, to, .. } = command {
            let known = greatest.entry(pool.clone()).or_insert(*to);
            *known = (*known).max(*to);
        }
    }
    let mut seen = BTreeSet::new();
    commands.retain_mut(|command| match command {
        Command::SetDesired { pool, to, .. } => {
            *to = greatest.get(pool).copied().unwrap_or(*to);
            seen.insert(pool.clone())
        }
        Command::AnswerHook { .. }
        | Command::Beat { .. }
        | Command::SetHook { .. }
        | Command::MakeTemplate { .. }
        | Command::SetTemplate { .. }
        | Command::SetMax { .. }
        | Command::SetProcess { .. }
        | Command::Terminate { .. }
        | Command::CancelRefresh { .. }
        | Command::ReplaceRoot { .. }
        | Command::Bake { .. }
        | Command::Look { .. }
        | Command::Remove { .. }
        | Command::Balance { .. } => true,
    });
}

fn of_hook(cluster: &Cluster, hook: &Hook, now: Timestamp) -> Option<Command> {
    let (id, pool, token) = (hook.id.clone(), hook.pool.clone(), hook.token.clone());
    match &hook.phase {
        HookPhase::Answered { answer, .. } => {
            Some(Command::AnswerHook { hook: id, pool, token, answer: *answer })
        }
        HookPhase::Waiting if cluster.fleet.next_beat(hook) <= now => {
            Some(Command::Beat { hook: id, pool, token })
        }
        HookPhase::Waiting | HookPhase::Done { .. } => None,
    }
}

fn of_pool(cluster: &Cluster, pool: &Pool, group: &Group) -> impl Iterator<Item = Command> {
    let hooks = missing_hooks(group).map(|hook| Command::SetHook { pool: pool.name.clone(), hook });
    // What is asked for may have been written down only now: a machine is asked for at once.
    let keep = pool.asked.as_ref().map_or(group.desired, |asked| asked.to);
    let short = cluster.shortage_of(&pool.name).map_or(0, |shortage| shortage.machines);
    let keep = keep.max(short).max(group.min).max(pool.policy.least);
    let is_there =
        |id: &&NodeId| cluster.instance(id).is_some_and(|one| !one.lifecycle.is_leaving());
    let endings = pool.ending.iter().filter(is_there).map(|instance| Command::Terminate {
        pool: pool.name.clone(),
        instance: instance.clone(),
        keep,
    });
    let wanted = cluster.shortage_of(&pool.name).map(|shortage| shortage.machines);
    let desired = wanted.filter(|wanted| *wanted > group.desired).map(|to| {
        let from = group.desired;
        Command::SetDesired { pool: pool.name.clone(), from, to }
    });
    let condemned = condemned(cluster, pool);
    hooks.chain(endings).chain(condemned).chain(desired).collect::<Vec<_>>().into_iter()
}

/// Machines that are ended because they are silent, each of which another is to replace: however many the group wants, it wants no
/// fewer. What is asked to end for another reason is not asked twice.
fn condemned(cluster: &Cluster, pool: &Pool) -> impl Iterator<Item = Command> {
    let is_there = |id: &&NodeId| {
        let machine = cluster.instance(id).filter(|one| one.pool.as_ref() == Some(&pool.name));
        machine.is_some_and(|one| !one.lifecycle.is_leaving() && !one.power.is_off())
    };
    let ends_anyway = |id: &NodeId| {
        pool.ending.contains(id)
            || cluster.open_refreshes().any(|refresh| refresh.ending.contains(id))
    };
    let asked = pool.condemned.keys().filter(is_there).filter(move |id| !ends_anyway(id));
    asked.map(|instance| Command::Terminate {
        pool: pool.name.clone(),
        instance: instance.clone(),
        keep: u32::MAX,
    })
}

/// How the group is to wait for us: a machine that leaves goes on without our answer, and one that never became a node is
/// given back.
#[must_use]
pub fn hooks() -> [GroupHook; 2] {
    let hook = |transition, otherwise| GroupHook {
        name: hook_name(transition).to_owned(),
        transition,
        patience: HOOK_PATIENCE,
        otherwise,
    };
    [hook(Transition::Launching, Answer::Abandon), hook(Transition::Terminating, Answer::Continue)]
}

/// What a group has to be told before it is a pool: hooks of ours that it has not, or has otherwise.
pub fn missing_hooks(group: &Group) -> impl Iterator<Item = GroupHook> {
    hooks().into_iter().filter(|hook| !group.hooks.contains(hook))
}

/// When the first request is due that is not due yet.
pub(crate) fn next(cluster: &Cluster, now: Timestamp) -> Option<Timestamp> {
    let beats = cluster.waiting_hooks().map(|hook| {
        let tried = cluster.fleet.tries.get(&Key::Beat(hook.id.clone()));
        let beat = cluster.fleet.next_beat(hook);
        tried.map_or(beat, |tried| beat.max(tried.not_before))
    });
    let tries = cluster.fleet.tries.values().map(|tried| tried.not_before);
    let fleet = &cluster.fleet;
    let looks = fleet.count_at.into_iter().chain(fleet.refresh_at).chain(fleet.shrink_at);
    let looks = looks.chain(fleet.condemn_at);
    let thaw = cluster.freeze().and_then(|freeze| freeze.until);
    let looks = looks.chain(thaw);
    let others = bake::next(cluster).chain(traffic::next(cluster));
    beats.chain(tries).chain(looks).chain(others).filter(|at| *at > now).min()
}

/// Says whether the node of a machine that is being launched is one that tasks can run on, or would if its operator let them.
pub(crate) fn is_ready(cluster: &Cluster, hook: &Hook, now: Timestamp) -> bool {
    cluster.nodes().get(&hook.id.instance).is_some_and(|node| {
        let is_open = match node.availability {
            Availability::Active => node.preparing_until.is_none(),
            Availability::Cordoned => node.drain.is_none_or(|drain| !drain.cause.is_final()),
            Availability::Dead => false,
        };
        // Who has taken over counts every node as heard: only what an agent has said since shows that it is there.
        is_open && cluster.takes_work(node, now) && cluster.is_back(&node.id, now)
    })
}
