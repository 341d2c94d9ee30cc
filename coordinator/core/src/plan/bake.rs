//! Bakes: what takes too long has failed, what was kept for long enough is cleared away, what is long over is forgotten.

use std::sync::Arc;
use std::time::Duration;

use model::bake::{Bake, BakePhase, End, KEPT_FOR, Rest, Work};
use model::time::Timestamp;

use crate::cluster::{Change, Cluster};
use crate::draft::Draft;

/// What is a matter of one request to the cloud, with all that it may be tried again.
const REQUEST: Duration = Duration::from_secs(10 * 60);
/// A machine boots, installs an agent and finds the coordinator.
const BOOT: Duration = Duration::from_secs(15 * 60);
/// All images are pulled.
const PULLS: Duration = Duration::from_secs(3_600);
/// What is asked of an agent takes longer than its own limit by so much at most.
const SLACK: Duration = Duration::from_secs(120);
/// A large disk is copied for the first time (awslabs/amazon-eks-ami#1871 reports four hours).
const COPY: Duration = Duration::from_secs(6 * 3_600);
/// The machine takes away what belongs to it alone.
const SCRUB: Duration = Duration::from_secs(10 * 60);
/// So many bakes that are over are remembered.
const REMEMBERED: usize = 100;

/// How long a bake may be where it is, unless it may be there for ever.
pub(crate) fn limit(bake: &Bake) -> Option<Duration> {
    Some(match &bake.phase {
        BakePhase::Resolving
        | BakePhase::Launching { .. }
        | BakePhase::TrialLaunching { .. }
        | BakePhase::Stopping { .. }
        | BakePhase::Imaging { .. }
        | BakePhase::Publishing { .. } => REQUEST,
        BakePhase::Joining { .. } | BakePhase::TrialJoining { .. } => BOOT,
        BakePhase::Working { step, .. } => work_limit(bake, *step),
        BakePhase::Settling { .. } => COPY,
        BakePhase::Trying { .. } => bake.recipe.trial.within + SLACK,
        BakePhase::Kept { .. } | BakePhase::Clearing { .. } | BakePhase::Ended { .. } => {
            return None;
        }
    })
}

fn work_limit(bake: &Bake, step: u32) -> Duration {
    match bake.work(step) {
        Work::Step(step) => step.timeout.saturating_mul(step.retries.saturating_add(1)) + SLACK,
        Work::Images => PULLS + SLACK,
        Work::Scrub => SCRUB + SLACK,
    }
}

/// What the agent of a machine is told of the same limit.
pub(crate) fn told_limit(bake: &Bake) -> Duration {
    let all = limit(bake).unwrap_or(REQUEST);
    let step = bake.phase.worker().and_then(|(_, step)| step);
    match step.map(|step| bake.work(step)) {
        Some(Work::Step(step)) => step.timeout,
        Some(Work::Images | Work::Scrub) | None => all.saturating_sub(SLACK),
    }
}

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let bakes: Vec<Arc<Bake>> = draft.cluster.bakes().values().cloned().collect();
    for bake in &bakes {
        if draft.is_full() {
            return;
        }
        look(draft, bake);
    }
    forget(draft, &bakes);
}

fn look(draft: &mut Draft<'_>, bake: &Bake) {
    if let BakePhase::Kept { at, why, until } = &bake.phase
        && *until <= draft.now
    {
        let failed = End::Failed { during: bake.doing(), why: why.clone() };
        return clear(draft, bake, rest_of(at), failed);
    }
    if let Some(limit) = limit(bake).filter(|limit| bake.since + *limit <= draft.now) {
        let trouble = draft.cluster.bake_trouble(&bake.id);
        let last = trouble.map(|last| format!("; at last: {last}")).unwrap_or_default();
        let why = format!("it was not done within {} s{last}", limit.as_secs());
        fail(draft, bake, &why);
    }
}

/// The machines and the image that a bake has by now, none of which it needs when it has failed.
pub(crate) fn rest_of(phase: &BakePhase) -> Rest {
    let ami = phase.made().taken.map(|taken| taken.ami.clone());
    Rest { machines: phase.machines().cloned().collect(), ami }
}

/// Ends what a bake does now in failure: it is kept, or cleared away.
pub(crate) fn fail(draft: &mut Draft<'_>, bake: &Bake, why: &str) {
    if bake.keeps {
        let (at, until) = (Box::new(bake.phase.clone()), draft.now + KEPT_FOR);
        return go_on(draft, bake, BakePhase::Kept { at, why: why.to_owned(), until });
    }
    let failed = End::Failed { during: bake.doing(), why: why.to_owned() };
    clear(draft, bake, rest_of(&bake.phase), failed);
}

/// Has all that is not needed any more be taken away.
pub(crate) fn clear(draft: &mut Draft<'_>, bake: &Bake, rest: Rest, end: End) {
    if let Some(ami) = &rest.ami
        && draft.cluster.amis().contains_key(ami)
    {
        draft.write(Change::RemoveAmi(ami.clone()));
    }
    go_on(draft, bake, BakePhase::Clearing { rest, end });
}

/// The bake is there from now on.
pub(crate) fn go_on(draft: &mut Draft<'_>, bake: &Bake, phase: BakePhase) {
    let since = draft.now;
    draft.write(Change::PutBake(Arc::new(Bake { phase, since, ..bake.clone() })));
}

/// Those that are over for the longest are forgotten.
fn forget(draft: &mut Draft<'_>, bakes: &[Arc<Bake>]) {
    let mut over: Vec<&Arc<Bake>> = bakes.iter().filter(|bake| bake.phase.is_over()).collect();
    if over.len() <= REMEMBERED {
        return;
    }
    over.sort_by_key(|bake| bake.started_at);
    let excess = over.len() - REMEMBERED;
    for bake in over.into_iter().take(excess) {
        if draft.is_full() {
            return;
        }
        draft.write(Change::RemoveBake(bake.id.clone()));
    }
}

/// When time alone changes something about a bake.
pub(crate) fn next(cluster: &Cluster) -> Option<Timestamp> {
    let due = |bake: &Arc<Bake>| {
        if let BakePhase::Kept { until, .. } = &bake.phase {
            return Some(*until);
        }
        limit(bake).map(|limit| bake.since + limit)
    };
    cluster.bakes().values().filter_map(due).min()
}
