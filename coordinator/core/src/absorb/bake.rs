//! What is heard of bakes. An answer to what is not asked any more is late, and means nothing.

mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::bake::{
    Ami, AmiState, Bake, BakePhase, Base, Begins, Build, Cause, Chosen, End, Facts, Recipe, Rest,
    Taken, Tried,
};
use model::id::{AmiId, BakeId, NodeId, RecipeName};
use model::image::Digest;
use model::time::Timestamp;

use crate::cluster::{Change, Cluster, Leftover, Wait};
use crate::command::bake::{LOOK, WATCH};
use crate::draft::Draft;
use crate::event::{BakeAnswer, BakeEvent, BakeRefusal, ImageState, MachinePower, Refusal, Reply};
use crate::plan::bake::{clear, fail, go_on, rest_of};

/// Writes down what was heard of bakes.
pub(crate) fn absorb(draft: &mut Draft<'_>, event: &BakeEvent) -> Result<Reply, Refusal> {
    match event {
        BakeEvent::Start { recipe, images, keeps } => start(draft, recipe, (images, *keeps)),
        BakeEvent::Retry(id) => retry(draft, id),
        BakeEvent::Remove(id) => remove(draft, id),
        BakeEvent::PutRecipe(recipe) => upkeep::put(draft, recipe),
        BakeEvent::SteerRecipe { recipe, is_paused } => upkeep::steer(draft, recipe, *is_paused),
        BakeEvent::RemoveRecipe(recipe) => upkeep::remove(draft, recipe),
        BakeEvent::Looked(look) => Ok(upkeep::looked(draft, look)),
        BakeEvent::Joined(machine) => Ok(joined(draft, machine)),
        BakeEvent::Worked { machine, number, result } => {
            Ok(worked(draft, machine, (*number, result)))
        }
        BakeEvent::Answered { bake, answer } => Ok(answered(draft, bake, answer)),
        BakeEvent::Swept(found) => Ok(swept(draft, found)),
        BakeEvent::Retire(amis) => retire(draft, amis),
        BakeEvent::Gone(id) => Ok(gone(draft, id)),
        BakeEvent::Stays { id, why } => {
            let now = draft.now;
            let removals = &mut draft.cluster.bakes.removals;
            let wait = Wait::in_vain(removals.get(id), why, now);
            removals.insert(id.clone(), wait);
            Ok(Reply::Noted)
        }
    }
}

pub(super) fn refused(why: BakeRefusal) -> Refusal {
    Refusal::Bake(why)
}

fn find(draft: &Draft<'_>, id: &BakeId) -> Result<Arc<Bake>, Refusal> {
    let found = draft.cluster.bakes().get(id).cloned();
    found.ok_or_else(|| refused(BakeRefusal::None(id.clone())))
}

fn start(
    draft: &mut Draft<'_>,
    recipe: &Recipe,
    (images, keeps): (&[Chosen], bool),
) -> Result<Reply, Refusal> {
    if let Some(pool) = unknown_pool(draft.cluster, recipe) {
        return Err(refused(BakeRefusal::NoPool(pool.to_owned())));
    }
    if let Some(busy) = under_way(draft.cluster, &recipe.name) {
        return Err(refused(BakeRefusal::Busy(busy.id.clone())));
    }
    let id = free_id(draft.cluster, &recipe.name, draft.now);
    let recipe = Arc::new(recipe.clone());
    let begins = Begins { bake: id.clone(), cause: Cause::Asked };
    let bake = begun(&recipe, (&begins, images), draft.now);
    draft.write(Change::PutBake(Arc::new(Bake { keeps, ..bake })));
    Ok(Reply::Baking(id))
}

/// The first of the pools that images of the recipe are for and that there is not.
pub(crate) fn unknown_pool<'a>(cluster: &Cluster, recipe: &'a Recipe) -> Option<&'a str> {
    let mut pools = recipe.publish.pools.iter();
    pools.find(|pool| !cluster.pools().contains_key(*pool)).map(String::as_str)
}

/// The bake of a recipe that goes forward: there is one at a time.
pub(crate) fn under_way<'a>(cluster: &'a Cluster, recipe: &RecipeName) -> Option<&'a Arc<Bake>> {
    let mut of_recipe = cluster.bakes().values().filter(|bake| bake.recipe.name == *recipe);
    of_recipe.find(|bake| bake.phase.is_under_way())
}

/// A bake as it begins.
pub(crate) fn begun(
    recipe: &Arc<Recipe>,
    (begins, images): (&Begins, &[Chosen]),
    now: Timestamp,
) -> Bake {
    Bake {
        id: begins.bake.clone(),
        recipe: Arc::clone(recipe),
        images: Arc::new(images.to_vec()),
        keeps: false,
        cause: begins.cause.clone(),
        started_at: now,
        retries: 0,
        since: now,
        phase: BakePhase::Resolving,
    }
}

/// By the recipe and the time, which no store that was lost has had before: `web-20261126-221530`. What is called so in the
/// cloud is ours.
pub(crate) fn free_id(cluster: &Cluster, recipe: &RecipeName, now: Timestamp) -> BakeId {
    let mut at = now;
    loop {
        let digits: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
        let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
        let id = format!("{recipe}-{day}-{time}").parse::<BakeId>();
        // The name of a recipe is short enough, and has nothing that an id may not have.
        let id = id.expect("a recipe's name and digits are an id");
        if !cluster.bakes().contains_key(&id) {
            return id;
        }
        at = at + std::time::Duration::from_secs(1);
    }
}

fn retry(draft: &mut Draft<'_>, id: &BakeId) -> Result<Reply, Refusal> {
    let bake = find(draft, id)?;
    let BakePhase::Kept { at, .. } = &bake.phase else {
        return Err(refused(BakeRefusal::NotKept(id.clone(), bake.phase.word())));
    };
    let phase = at.again();
    // An image that is no good is removed by its name in the end.
    if let Some(taken) = at.made().taken.filter(|_| phase.made().taken.is_none()) {
        draft.write(Change::RemoveAmi(taken.ami.clone()));
    }
    let again = Bake { retries: bake.retries.saturating_add(1), ..(*bake).clone() };
    go_on(draft, &again, phase);
    Ok(Reply::Noted)
}

fn remove(draft: &mut Draft<'_>, id: &BakeId) -> Result<Reply, Refusal> {
    let bake = find(draft, id)?;
    if bake.phase.is_over() {
        draft.write(Change::RemoveBake(id.clone()));
    } else if !matches!(bake.phase, BakePhase::Clearing { .. }) {
        let rest = rest_of(&bake.phase);
        clear(draft, &bake, rest, End::Removed);
    }
    Ok(Reply::Noted)
}

fn joined(draft: &mut Draft<'_>, machine: &NodeId) -> Reply {
    let Some(bake) = draft.cluster.bake_of(machine).cloned() else { return Reply::Noted };
    if bake.phase.awaited() != Some(machine) {
        return Reply::Noted;
    }
    if let BakePhase::Joining { build } = &bake.phase {
        go_on(draft, &bake, BakePhase::Working { build: build.clone(), step: 0 });
    }
    if let BakePhase::TrialJoining { tried } = &bake.phase {
        go_on(draft, &bake, BakePhase::Trying { tried: tried.clone() });
    }
    Reply::Noted
}

fn worked(
    draft: &mut Draft<'_>,
    machine: &NodeId,
    (number, result): (u32, &Result<Arc<Facts>, String>),
) -> Reply {
    let Some(bake) = draft.cluster.bake_of(machine).cloned() else { return Reply::Noted };
    let told = crate::view::bake::work_of(draft.cluster, machine);
    // What was told before, and is reported once more, is known.
    if told.is_none_or(|told| told.number != number) {
        return Reply::Noted;
    }
    let facts = match result {
        Ok(facts) => facts,
        Err(why) => {
            fail(draft, &bake, why);
            return Reply::Noted;
        }
    };
    if let BakePhase::Working { build, step } = &bake.phase {
        let (build, next) = (build.clone(), step.saturating_add(1));
        let phase = if next < bake.step_count() {
            BakePhase::Working { build, step: next }
        } else {
            BakePhase::Stopping { build, facts: Arc::clone(facts) }
        };
        go_on(draft, &bake, phase);
    }
    if let BakePhase::Trying { tried } = &bake.phase {
        go_on(draft, &bake, BakePhase::Publishing { tried: tried.clone() });
    }
    Reply::Noted
}

fn answered(draft: &mut Draft<'_>, id: &BakeId, answer: &BakeAnswer) -> Reply {
    let Some(bake) = draft.cluster.bakes().get(id).cloned() else { return Reply::Noted };
    let now = draft.now;
    match (answer, &bake.phase) {
        (_, BakePhase::Kept { .. } | BakePhase::Ended { .. }) => {}
        (BakeAnswer::Failed(why), _) => {
            let waits = &mut draft.cluster.bakes.waits;
            let wait = Wait::in_vain(waits.get(id), why, now);
            waits.insert(id.clone(), wait);
        }
        // It is cleared away for as long as it takes.
        (BakeAnswer::Impossible(why), BakePhase::Clearing { .. }) => {
            let waits = &mut draft.cluster.bakes.waits;
            let wait = Wait::in_vain(waits.get(id), why, now);
            waits.insert(id.clone(), wait);
        }
        (BakeAnswer::Impossible(why), _) => fail(draft, &bake, why),
        (BakeAnswer::Base(base), BakePhase::Resolving) => {
            go_on(draft, &bake, BakePhase::Launching { base: base.clone() });
        }
        (BakeAnswer::Launched { machine, is_trial }, _) => {
            launched(draft, &bake, (machine, *is_trial));
        }
        (BakeAnswer::Power { machine, power }, _) => look(draft, &bake, (machine, *power)),
        (BakeAnswer::Imaged(ami), BakePhase::Imaging { build, facts }) => {
            let (build, facts) = (build.clone(), Arc::clone(facts));
            let taken = Taken { build, facts, ami: ami.clone() };
            draft.write(Change::PutAmi(Arc::new(quarantined(&bake, &taken, now))));
            go_on(draft, &bake, BakePhase::Settling { taken });
        }
        (BakeAnswer::Image { ami, state }, BakePhase::Settling { taken }) if taken.ami == *ami => {
            settle(draft, &bake, (taken, state));
        }
        (BakeAnswer::Published { manifest }, BakePhase::Publishing { tried }) => {
            publish(draft, &bake, (tried, manifest));
        }
        (BakeAnswer::Left(0), BakePhase::Clearing { end, .. }) => {
            go_on(draft, &bake, BakePhase::Ended { end: end.clone() });
        }
        (BakeAnswer::Left(_), BakePhase::Clearing { .. }) => {
            draft.cluster.bakes.wait(id, now, LOOK);
        }
        // Late.
        (
            BakeAnswer::Base(_)
            | BakeAnswer::Imaged(_)
            | BakeAnswer::Image { .. }
            | BakeAnswer::Published { .. }
            | BakeAnswer::Left(_),
            _,
        ) => {}
    }
    Reply::Noted
}

/// A machine that comes when nobody waits for it any more is found by its tags and taken away.
fn launched(draft: &mut Draft<'_>, bake: &Bake, (machine, is_trial): (&NodeId, bool)) {
    match (&bake.phase, is_trial) {
        (BakePhase::Launching { base }, false) => {
            let build = Build { base: base.clone(), builder: machine.clone() };
            go_on(draft, bake, BakePhase::Joining { build });
        }
        (BakePhase::TrialLaunching { taken }, true) => {
            let tried = Tried { taken: taken.clone(), tester: machine.clone() };
            go_on(draft, bake, BakePhase::TrialJoining { tried });
        }
        _ => {}
    }
}

/// What a machine is seen to do: one that is to work has to run, one that is to stop has to have stopped.
fn look(draft: &mut Draft<'_>, bake: &Bake, (machine, power): (&NodeId, MachinePower)) {
    let now = draft.now;
    if bake.phase.awaited() != Some(machine) {
        return;
    }
    match (&bake.phase, power) {
        (_, MachinePower::Gone) => {
            fail(
                draft,
                bake,
                &format!("machine {machine} has ended by itself, and its disk with it"),
            );
        }
        (BakePhase::Stopping { build, facts }, MachinePower::Stopped) => {
            let (build, facts) = (build.clone(), Arc::clone(facts));
            go_on(draft, bake, BakePhase::Imaging { build, facts });
        }
        (BakePhase::Stopping { .. }, _) => draft.cluster.bakes.wait(&bake.id, now, LOOK),
        (BakePhase::Imaging { .. }, MachinePower::On) => {
            fail(draft, bake, &format!("somebody has started machine {machine} again"));
        }
        (BakePhase::Imaging { .. }, _) => draft.cluster.bakes.wait(&bake.id, now, LOOK),
        (_, MachinePower::Stopped) => {
            fail(draft, bake, &format!("somebody has stopped machine {machine}"));
        }
        (_, MachinePower::On | MachinePower::Unknown) => {
            draft.cluster.bakes.wait(&bake.id, now, WATCH);
        }
    }
}

fn settle(draft: &mut Draft<'_>, bake: &Bake, (taken, state): (&Taken, &ImageState)) {
    match state {
        ImageState::Pending => {
            let now = draft.now;
            draft.cluster.bakes.wait(&bake.id, now, LOOK);
        }
        ImageState::Available => {
            go_on(draft, bake, BakePhase::TrialLaunching { taken: taken.clone() });
        }
        ImageState::Failed(why) => {
            fail(draft, bake, &format!("image {} can not be used: {why}", taken.ami));
        }
    }
}

fn quarantined(bake: &Bake, taken: &Taken, now: Timestamp) -> Ami {
    Ami {
        id: taken.ami.clone(),
        name: bake.image_name(),
        bake: bake.id.clone(),
        recipe: bake.recipe.name.clone(),
        base: Base { ..taken.build.base.clone() },
        made_at: now,
        architecture: bake.recipe.architecture,
        images: bake.images.iter().map(|chosen| chosen.image.clone()).collect(),
        facts: Arc::clone(&taken.facts),
        pools: bake.recipe.publish.pools.clone(),
        state: AmiState::Quarantined,
    }
}

fn publish(draft: &mut Draft<'_>, bake: &Bake, (tried, manifest): (&Tried, &Digest)) {
    let (ami, now) = (&tried.taken.ami, draft.now);
    let known = draft.cluster.amis().get(ami).cloned();
    let known =
        known.map_or_else(|| quarantined(bake, &tried.taken, now), |known| (*known).clone());
    let state = AmiState::Published { at: now, manifest: manifest.clone() };
    draft.write(Change::PutAmi(Arc::new(Ami { state, ..known })));
    let rest = Rest { machines: bake.phase.machines().cloned().collect(), ami: None };
    go_on(draft, bake, BakePhase::Clearing { rest, end: End::Published { ami: ami.clone() } });
}

/// Of what is in the cloud, that goes which no bake answers for and whose time has passed.
fn swept(draft: &mut Draft<'_>, found: &[Leftover]) -> Reply {
    let cluster = &*draft.cluster;
    let answers_for = |left: &Leftover| {
        let is_under_way = crate::command::bake::concerns(cluster, &left.bake);
        let is_kept = left.id.parse::<AmiId>().is_ok_and(|id| cluster.amis().contains_key(&id));
        is_under_way || (left.is_image && is_kept)
    };
    // Of one that is over nothing is left but its image; of one that nobody knows somebody else may.
    let is_due =
        |left: &Leftover| left.expires_at <= draft.now || cluster.bakes().contains_key(&left.bake);
    let due = found.iter().filter(|left| is_due(left) && !answers_for(left));
    let due: BTreeMap<_, _> = due.map(|left| (left.id.clone(), left.clone())).collect();
    draft.cluster.bakes.leftovers = due;
    Reply::Noted
}

fn retire(draft: &mut Draft<'_>, amis: &[AmiId]) -> Result<Reply, Refusal> {
    for id in amis {
        let known = draft.cluster.amis().contains_key(id);
        if !known {
            return Err(refused(BakeRefusal::NoAmi(id.clone())));
        }
        if let Some(why) = crate::view::bake::needs(draft.cluster, id) {
            return Err(refused(BakeRefusal::Needed(id.clone(), why)));
        }
    }
    for id in amis {
        if let Some(known) = draft.cluster.amis().get(id).cloned()
            && !matches!(known.state, AmiState::Retired { .. })
        {
            let state = AmiState::Retired { at: draft.now };
            draft.write(Change::PutAmi(Arc::new(Ami { state, ..(*known).clone() })));
        }
    }
    Ok(Reply::Noted)
}

fn gone(draft: &mut Draft<'_>, id: &str) -> Reply {
    draft.cluster.bakes.leftovers.remove(id);
    draft.cluster.bakes.removals.remove(id);
    let ami = id.parse::<AmiId>().ok();
    let ami = ami.and_then(|ami| draft.cluster.amis().get(&ami).cloned());
    if let Some(ami) = ami.filter(|ami| matches!(ami.state, AmiState::Retired { .. })) {
        draft.write(Change::RemoveAmi(ami.id.clone()));
    }
    Reply::Noted
}
