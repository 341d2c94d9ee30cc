//! One reason has one bake, whatever is lost on the way: after each change that is written the coordinator is killed once, and
//! another one reads what is stored.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

mod launch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::command::Command;
use coordinator_core::event::{
    BakeAnswer, BakeEvent, BakeRefusal, Event, FleetEvent, RecipeLook, Refusal, Reply,
};
use coordinator_core::view::upkeep::outlook;
use coordinator_core::{Step, invariant, step};
use model::bake::{
    Ami, AmiState, Architecture, Base, BaseSource, Cause, Facts, ImageSet, Outcome, Publish,
    Recipe, Trial, Triggers, UPKEEPS_LIMIT, Upkeep,
};
use model::fleet::{Group, PoolPolicy, Survey};
use model::id::{AmiId, RecipeName};
use model::refresh::Blueprint;
use model::schedule::{CatchUp, Overlap, Schedule, Zone};
use model::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);

fn recipe(name: &str, triggers: Triggers) -> Recipe {
    let pools = if triggers.then_refresh { vec!["web".to_owned()] } else { Vec::new() };
    Recipe {
        name: name.parse().unwrap(),
        base: BaseSource::Parameter("/base".to_owned()),
        architecture: Architecture::X86_64,
        launch: launch::launch(),
        steps: Vec::new(),
        images: ImageSet { what_runs: true, extra: Vec::new(), budget_bytes: 0 },
        trial: Trial { scripts: Vec::new(), within: Duration::from_secs(60) },
        publish: Publish { pools, parameter: None },
        triggers,
    }
}

fn moved() -> Triggers {
    Triggers { base_moved: true, ..Triggers::default() }
}

fn base(ami: &str) -> Base {
    Base { ami: ami.parse().unwrap(), name: "debian".to_owned() }
}

fn began() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn web() -> RecipeName {
    "web".parse().unwrap()
}

/// A coordinator, what is stored of it, and how often it is killed.
struct World {
    cluster: Cluster,
    now: Timestamp,
    /// It is killed after so many changes more; then another one reads what is stored.
    dies_after: Option<usize>,
    /// How many changes were written.
    written: usize,
    stored: Vec<Change>,
    base: Base,
    commands: Vec<Command>,
}

impl World {
    fn new(dies_after: Option<usize>) -> Self {
        let (cluster, stored, commands) = (Cluster::default(), Vec::new(), Vec::new());
        Self {
            cluster,
            now: began(),
            dies_after,
            written: 0,
            stored,
            base: base("ami-1"),
            commands,
        }
    }

    fn hear(&mut self, event: Event) -> Reply {
        let mut replies = self.step(&[event]);
        replies.pop().unwrap_or(Reply::Noted)
    }

    fn step(&mut self, events: &[Event]) -> Vec<Reply> {
        let Step { changes, replies, .. } = step(&mut self.cluster, events, self.now);
        self.written += changes.len();
        match self.dies_after {
            Some(left) if left < changes.len() => {
                self.dies_after = None;
                self.stored.extend(changes.into_iter().take(left));
                self.cluster = Cluster::load(&self.stored, self.now);
                let taken_over = step(&mut self.cluster, &[], self.now);
                self.stored.extend(taken_over.changes);
            }
            left => {
                self.dies_after = left.map(|left| left - changes.len());
                self.stored.extend(changes);
            }
        }
        self.settle();
        replies
    }

    /// Nothing follows without anything being heard, and what is stored says all.
    fn settle(&mut self) {
        let broken = invariant::check(&self.cluster);
        assert!(broken.is_empty(), "{broken:?}");
        let again = step(&mut self.cluster, &[], self.now);
        assert!(again.changes.is_empty(), "a second step writes {:?}", again.changes);
        self.commands = again.commands;
        let rebuilt = Cluster::load(&self.stored, self.now);
        assert_eq!(rebuilt.upkeeps(), self.cluster.upkeeps(), "the changes rebuild the upkeeps");
        assert_eq!(rebuilt.bakes(), self.cluster.bakes(), "the changes rebuild the bakes");
    }

    fn bake(&mut self, event: BakeEvent) -> Reply {
        self.hear(Event::Bake(event))
    }

    fn put(&mut self, triggers: Triggers) {
        assert_eq!(
            self.bake(BakeEvent::PutRecipe(Box::new(recipe("web", triggers)))),
            Reply::Noted
        );
    }

    /// All that the cloud is asked to look at is looked at.
    fn look(&mut self) {
        for command in self.commands.clone() {
            let Command::Look { recipe, base } = command else { continue };
            let base = base.map(|(source, _)| (source.to_string(), Ok(self.base.clone())));
            let (sizes, release) = (BTreeMap::new(), "0.2.0".to_owned());
            let look = RecipeLook { recipe, base, sizes, release };
            self.bake(BakeEvent::Looked(Box::new(look)));
        }
    }

    /// An image was published, by the bake of that name.
    fn publish(&mut self, id: &str, bake: &str) {
        let ami = Ami {
            id: id.parse().unwrap(),
            name: format!("wharf-{bake}"),
            bake: bake.parse().unwrap(),
            recipe: web(),
            base: self.base.clone(),
            made_at: self.now,
            architecture: Architecture::X86_64,
            images: Vec::new(),
            facts: Arc::new(Facts { agent_version: "0.2.0".to_owned(), ..Facts::default() }),
            pools: vec!["web".to_owned()],
            state: AmiState::Published {
                at: self.now,
                manifest: format!("sha256:{}", "0a".repeat(32)).parse().unwrap(),
            },
        };
        let change = Change::PutAmi(Arc::new(ami));
        self.cluster.apply(&change);
        self.stored.push(change);
        self.step(&[]);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.step(&[]);
        self.look();
    }

    fn it(&self) -> Arc<Upkeep> {
        Arc::clone(&self.cluster.upkeeps()[&web()])
    }

    /// The bakes that began by themselves, with their reasons.
    fn begun(&self) -> Vec<Cause> {
        self.cluster.bakes().values().map(|bake| bake.cause.clone()).collect()
    }

    /// The bake that is under way fails.
    fn fail(&mut self) {
        let bake = self.cluster.bakes().values().find(|bake| bake.phase.is_under_way());
        let bake = bake.unwrap().id.clone();
        let answer = BakeAnswer::Impossible("there is no such base".to_owned());
        self.bake(BakeEvent::Answered { bake: bake.clone(), answer });
        self.bake(BakeEvent::Answered { bake, answer: BakeAnswer::Left(0) });
    }
}

/// Some hours in which a base moves twice and a bake fails, with a coordinator that dies somewhere.
fn hours(dies_after: Option<usize>) -> World {
    let mut world = World::new(dies_after);
    world.publish("ami-0", "web-0");
    world.put(moved());
    // Who was killed before it had written that down is told again.
    world.put(moved());
    world.look();
    for name in ["ami-2", "ami-3"] {
        world.base = base(name);
        world.pass(HOUR);
        world.look();
        world.fail();
        world.publish(&format!("{name}0"), &format!("web-{name}"));
        world.pass(HOUR);
    }
    world
}

#[test]
fn a_coordinator_that_is_killed_after_any_write_begins_one_bake_for_each_reason() {
    let whole = hours(None);
    let causes = whole.begun();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(whole.written > 12, "{} changes were written", whole.written);
    for dies_after in 0..whole.written {
        let world = hours(Some(dies_after));
        assert_eq!(world.begun(), causes, "when it dies after {dies_after} changes");
        let last = world.it().last.clone().unwrap();
        assert_eq!((last.outcome, world.it().failures), (Some(Outcome::Failed), 2));
    }
}

/// A pool with a group that launches from version 1 of its template.
fn pool(world: &mut World) {
    let put = FleetEvent::PutPool { name: "web".to_owned(), policy: PoolPolicy::default() };
    world.hear(Event::Fleet(put));
    survey(world);
}

fn survey(world: &mut World) {
    let blueprint = Some(Blueprint(BTreeMap::from([("lt-1".to_owned(), 1)])));
    let group = Group {
        name: "web".to_owned(),
        max: 3,
        desired: 1,
        zones: vec!["z".to_owned()],
        blueprint,
        ..Group::default()
    };
    let survey = Survey {
        groups: vec![group],
        missing: BTreeSet::new(),
        instances: Vec::new(),
        unknown: BTreeSet::new(),
        images: BTreeMap::new(),
    };
    world.hear(Event::Fleet(FleetEvent::Surveyed(Box::new(survey))));
}

/// An image is published by a bake that began by itself, and its pool is refreshed.
fn refreshed(dies_after: Option<usize>) -> World {
    let mut world = World::new(None);
    pool(&mut world);
    world.put(Triggers { then_refresh: true, ..moved() });
    world.look();
    let bake = world.it().last.clone().unwrap().bake;
    let known = (*world.cluster.bakes()[&bake]).clone();
    world.publish("ami-2", bake.as_str());
    world.dies_after = dies_after;
    let ami: AmiId = "ami-2".parse().unwrap();
    let end = model::bake::End::Published { ami };
    let phase = model::bake::BakePhase::Ended { end };
    let over = Change::PutBake(Arc::new(model::bake::Bake { phase, ..known }));
    world.cluster.apply(&over);
    world.stored.push(over);
    for _ in 0..4 {
        world.pass(Duration::from_secs(61));
        survey(&mut world);
    }
    world
}

#[test]
fn a_coordinator_that_is_killed_after_any_write_begins_one_refresh_for_each_image() {
    let whole = refreshed(None);
    assert_eq!(whole.cluster.refreshes().len(), 1, "{:?}", whole.cluster.refreshes());
    assert_eq!(whole.it().spreads, None);
    for dies_after in 0..6 {
        let world = refreshed(Some(dies_after));
        assert_eq!(world.cluster.refreshes().len(), 1, "when it dies after {dies_after} changes");
        assert_eq!(world.it().spreads, None, "when it dies after {dies_after} changes");
    }
}

#[test]
fn a_recipe_whose_pool_is_gone_waits_until_it_is_back() {
    let mut world = World::new(None);
    pool(&mut world);
    world.put(Triggers { then_refresh: true, ..moved() });
    world.hear(Event::Fleet(FleetEvent::RemovePool("web".to_owned())));
    world.look();
    world.pass(HOUR * 24);
    assert_eq!(world.begun(), []);
    let note = outlook(&world.cluster, &world.it(), world.now).note;
    assert!(note.ends_with("its images are for pool web, which there is not"), "{note}");
    pool(&mut world);
    assert_eq!(world.begun(), [Cause::First]);
}

#[test]
fn what_a_clock_wrote_down_that_was_a_year_ahead_is_not_waited_for() {
    let recurrence = "0 3 * * *".parse().unwrap();
    let (overlap, catch_up) = (Overlap::Forbid, CatchUp::default());
    let schedule = Schedule { recurrence, zone: Zone::utc(), overlap, catch_up };
    let mut world = World::new(None);
    let year = HOUR * 24 * 365;
    world.now = world.now + year;
    world.put(Triggers { schedule: Some(schedule), ..Triggers::default() });
    world.look();
    world.pass(HOUR * 24);
    world.fail();
    assert_eq!(world.begun().len(), 1);
    // Another coordinator, whose clock is right.
    world.now = began();
    world.cluster = Cluster::load(&world.stored, world.now);
    world.step(&[]);
    world.look();
    assert!(
        world.it().dealt_until <= world.now && world.it().last.as_ref().unwrap().at <= world.now
    );
    world.pass(HOUR * 24);
    assert_eq!(world.begun().len(), 2, "{:?}", outlook(&world.cluster, &world.it(), world.now));
    // Set back by an hour, a clock shows no time of a schedule again.
    world.fail();
    let due = world.it().dealt_until;
    world.now = due - Duration::from_secs(60);
    world.cluster = Cluster::load(&world.stored, world.now);
    world.step(&[]);
    world.look();
    world.pass(Duration::from_secs(120));
    world.pass(HOUR * 5);
    assert_eq!(world.begun().len(), 2);
}

#[test]
fn fifty_recipes_are_kept_up_and_no_more() {
    let mut world = World::new(None);
    let put = |world: &mut World, name: &str| {
        world.bake(BakeEvent::PutRecipe(Box::new(recipe(name, moved()))))
    };
    for number in 0..UPKEEPS_LIMIT {
        assert_eq!(put(&mut world, &format!("r{number}")), Reply::Noted);
    }
    let refused = Reply::Refused(Refusal::Bake(BakeRefusal::TooManyRecipes));
    assert_eq!(put(&mut world, "one-more"), refused);
    assert_eq!(put(&mut world, "r7"), Reply::Noted, "what is known is said anew");
    world.look();
    assert_eq!(world.begun().len(), 4, "four builders are launched at once");
    assert_eq!(world.cluster.upkeeps().len(), UPKEEPS_LIMIT);
}

#[test]
fn what_was_seen_of_another_base_or_of_a_recipe_that_is_gone_means_nothing() {
    let mut world = World::new(None);
    world.publish("ami-0", "web-0");
    world.put(moved());
    let look = |source: &str| RecipeLook {
        recipe: web(),
        base: Some((source.to_owned(), Ok(base("ami-9")))),
        sizes: BTreeMap::new(),
        release: "0.2.0".to_owned(),
    };
    world.bake(BakeEvent::Looked(Box::new(look("parameter /other"))));
    assert_eq!(world.begun(), []);
    world.bake(BakeEvent::RemoveRecipe(web()));
    world.bake(BakeEvent::Looked(Box::new(look("parameter /base"))));
    assert_eq!(world.begun(), []);
    assert!(world.commands.is_empty(), "{:?}", world.commands);
    world.put(moved());
    world.bake(BakeEvent::Looked(Box::new(look("parameter /base"))));
    assert_eq!(world.begun().len(), 1);
}

#[test]
fn the_cloud_is_asked_for_a_base_only_where_it_can_be_a_reason_and_as_often_as_it_says() {
    let mut world = World::new(None);
    world.publish("ami-0", "web-0");
    world.put(Triggers { age: Some(HOUR * 24), ..Triggers::default() });
    let [Command::Look { base: None, .. }] = world.commands.as_slice() else {
        panic!("{:?}", world.commands)
    };
    world.put(Triggers { look: HOUR, ..moved() });
    let mut looks = 0;
    for _ in 0..24 * 60 {
        looks += world.commands.iter().filter(|one| matches!(one, Command::Look { .. })).count();
        world.look();
        world.now = world.now + Duration::from_secs(60);
        world.step(&[]);
    }
    assert_eq!(looks, 24);
}
