//! A bake does each thing once, whatever is lost, doubled or refused on the way: every act of a bake is crashed before, while
//! and after it, repeated, failed, and taken away, one case for each act and each mishap.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "baking/bakery.rs"]
mod bakery;
mod launch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::command::Command;
use coordinator_core::event::{
    BakeAnswer, BakeEvent, BakeRefusal, Event, FleetEvent, RefreshEvent, Refusal, Reply, Target,
};
use coordinator_core::view::bake::{collect, work_of};
use coordinator_core::{invariant, step};
use model::bake::{
    AmiState, Architecture, Bake, BakePhase, BaseSource, End, Facts, ImageSet, Publish, Recipe,
    Step, StepKind, Trial, Triggers,
};
use model::fleet::{Group, PoolPolicy, Survey};
use model::id::BakeId;
use model::refresh::{Blueprint, RefreshPolicy};
use model::rollout::Steering;
use model::time::Timestamp;

use bakery::Bakery;

fn recipe() -> Recipe {
    let script = |name: &str| Step {
        name: name.to_owned(),
        kind: StepKind::Script("true".to_owned()),
        timeout: Duration::from_secs(60),
        retries: 1,
    };
    Recipe {
        name: "web".parse().unwrap(),
        base: BaseSource::Parameter("/base".to_owned()),
        architecture: Architecture::X86_64,
        launch: launch::launch(),
        steps: vec![script("one"), script("two")],
        images: ImageSet { what_runs: true, extra: Vec::new(), budget_bytes: 0 },
        trial: Trial { scripts: Vec::new(), within: Duration::from_secs(60) },
        publish: Publish { pools: Vec::new(), parameter: Some("/web".to_owned()) },
        triggers: Triggers::default(),
    }
}

/// What goes wrong with one act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    /// The coordinator is killed before it.
    CrashBefore,
    /// It is done, and the coordinator is killed before it hears of it.
    CrashUnheard,
    /// It is done and heard, and the coordinator is killed then.
    CrashAfter,
    /// It is done twice, and heard twice.
    Twice,
    /// It is done, and whoever asked is told that it was not.
    DoneAndDenied,
    /// It fails once.
    FailsOnce,
    /// It never can be done.
    Impossible,
    /// All machines are gone from then on.
    MachinesLost,
    /// An operator ends the bake.
    Removed,
}

/// What the coordinator and the world do to each other.
struct World {
    cluster: Cluster,
    /// What a coordinator finds that is started again.
    stored: Vec<Change>,
    now: Timestamp,
    bakery: Bakery,
    bake: BakeId,
    acts: usize,
}

impl World {
    fn begin(keeps: bool) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let (cluster, stored, bakery) = (Cluster::default(), Vec::new(), Bakery::default());
        let bake = "none".parse().unwrap();
        let mut world = Self { cluster, stored, now, bakery, bake, acts: 0 };
        let recipe = Box::new(recipe());
        let start = BakeEvent::Start { recipe, images: Vec::new(), keeps };
        let Reply::Baking(id) = world.hear(start) else { panic!("it is not begun") };
        world.bake = id;
        world
    }

    fn hear(&mut self, event: BakeEvent) -> Reply {
        let done = step(&mut self.cluster, &[Event::Bake(event)], self.now);
        self.stored.extend(done.changes);
        let broken = invariant::check(&self.cluster);
        assert!(broken.is_empty(), "{broken:?}");
        let again = step(&mut self.cluster, &[], self.now);
        assert!(again.changes.is_empty(), "a second step writes {:?}", again.changes);
        done.replies.into_iter().next().unwrap()
    }

    fn crash(&mut self) {
        let found = Cluster::load(&self.stored, self.now);
        assert_eq!(found.bakes(), self.cluster.bakes(), "the changes rebuild the bakes");
        assert_eq!(found.amis(), self.cluster.amis(), "the changes rebuild the images");
        self.cluster = found;
    }

    fn it(&self) -> Arc<Bake> {
        Arc::clone(&self.cluster.bakes()[&self.bake])
    }

    /// What happens next: a machine says something, or the cloud is asked. None when only time helps.
    fn next(&mut self) -> Option<Act> {
        if let Some(event) = self.machine_says() {
            return Some(Act::Said(event));
        }
        let done = step(&mut self.cluster, &[], self.now);
        self.stored.extend(done.changes);
        done.commands.into_iter().next().map(Act::Asked)
    }

    /// A machine that runs joins, and then does what it is told.
    fn machine_says(&self) -> Option<BakeEvent> {
        let bake = self.it();
        let running = bake.phase.machines().find(|machine| self.bakery.runs(machine))?;
        let joins =
            matches!(bake.phase, BakePhase::Joining { .. } | BakePhase::TrialJoining { .. });
        let awaited = bake.phase.machines().last();
        if joins && awaited == Some(running) {
            return Some(BakeEvent::Joined(running.clone()));
        }
        bake.phase.machines().find_map(|machine| {
            let told = work_of(&self.cluster, machine)?;
            let result = Ok(Arc::new(Facts::default()));
            let says = BakeEvent::Worked { machine: machine.clone(), number: told.number, result };
            self.bakery.runs(machine).then_some(says)
        })
    }

    /// One act, with what goes wrong with it.
    fn act(&mut self, act: &Act, mishap: Option<Mishap>) {
        match mishap {
            Some(Mishap::CrashBefore) => return self.crash(),
            Some(Mishap::MachinesLost) => self.bakery.lose_machines(),
            Some(Mishap::Removed) => {
                let removed = self.hear(BakeEvent::Remove(self.bake.clone()));
                assert_eq!(removed, Reply::Noted);
                return;
            }
            _ => {}
        }
        let outcome = match (act, mishap) {
            (_, Some(Mishap::FailsOnce | Mishap::Impossible)) => None,
            (Act::Said(event), _) => Some(event.clone()),
            (Act::Asked(command), _) => {
                if mishap == Some(Mishap::Twice) {
                    drop(self.bakery.perform(command, &self.bake));
                }
                Some(self.bakery.perform(command, &self.bake))
            }
        };
        let failed = |answer| BakeEvent::Answered { bake: self.bake.clone(), answer };
        let heard = match (outcome, mishap) {
            (Some(_), Some(Mishap::CrashUnheard)) => return self.crash(),
            (Some(_), Some(Mishap::DoneAndDenied)) => {
                failed(BakeAnswer::Failed("no answer".into()))
            }
            (Some(event), _) => event,
            (None, Some(Mishap::Impossible)) => self.refuse(act),
            (None, _) => failed(BakeAnswer::Failed("throttled".into())),
        };
        if mishap == Some(Mishap::Twice) {
            self.hear(heard.clone());
        }
        self.hear(heard);
        if mishap == Some(Mishap::CrashAfter) {
            self.crash();
        }
    }

    /// The machine says that it can not, or the cloud does.
    fn refuse(&self, act: &Act) -> BakeEvent {
        match act {
            Act::Said(BakeEvent::Worked { machine, number, .. }) => BakeEvent::Worked {
                machine: machine.clone(),
                number: *number,
                result: Err("exit status: 1".to_owned()),
            },
            Act::Said(_) | Act::Asked(_) => BakeEvent::Answered {
                bake: self.bake.clone(),
                answer: BakeAnswer::Impossible("never".to_owned()),
            },
        }
    }

    /// Goes on to the end, with a mishap at one act. Says whether it came to that.
    fn run(&mut self, mishap: Option<(usize, Mishap)>) -> bool {
        let mut had = false;
        for _ in 0..2_000 {
            if matches!(self.it().phase, BakePhase::Ended { .. } | BakePhase::Kept { .. }) {
                return had;
            }
            match self.next() {
                Some(act) => {
                    let now = mishap.filter(|(at, _)| *at == self.acts && !had);
                    had |= now.is_some();
                    self.act(&act, now.map(|(_, mishap)| mishap));
                    self.acts += 1;
                }
                None => {
                    self.now = self.now + Duration::from_secs(5);
                    self.bakery.pass();
                }
            }
        }
        panic!("it never ends: {:?}", self.it().phase)
    }

    /// Nothing is left in the cloud that is not to be there.
    fn check(&self, case: &str) {
        let bake = self.it();
        let BakePhase::Ended { end } = &bake.phase else { panic!("{case}: {:?}", bake.phase) };
        assert_eq!(self.bakery.machines_left(), 0, "{case}: machines are left, {end}");
        let published = usize::from(matches!(end, End::Published { .. }));
        assert_eq!(self.bakery.images_left(), published, "{case}: images, {end}");
        assert_eq!(self.cluster.amis().len(), published, "{case}: known images, {end}");
        let states = self.cluster.amis().values().map(|ami| ami.state.word());
        assert!(states.clone().all(|state| state == "published"), "{case}: {states:?}");
        assert_eq!(self.bakery.parameter.is_some(), published == 1, "{case}: the parameter, {end}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// A machine says something.
    Said(BakeEvent),
    /// The cloud is asked.
    Asked(Command),
}

/// Has the mishap happen at each act of a bake, and says how each ends.
fn at_each_act(mishap: Mishap) -> Vec<(World, String)> {
    let mut ended = Vec::new();
    for at in 0.. {
        let mut world = World::begin(false);
        if !world.run(Some((at, mishap))) {
            break;
        }
        let case = format!("{mishap:?} at act {at}");
        world.check(&case);
        ended.push((world, case));
    }
    assert!(ended.len() > 12, "a bake has only {} acts", ended.len());
    ended
}

fn is_published(world: &World) -> bool {
    matches!(world.it().phase, BakePhase::Ended { end: End::Published { .. } })
}

macro_rules! mishaps {
    ($($name:ident: $mishap:ident => $holds:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let holds: fn(&World) -> bool = $holds;
                for (world, case) in at_each_act(Mishap::$mishap) {
                    assert!(holds(&world), "{case}: {:?}", world.it().phase);
                }
            }
        )*
    };
}

mishaps! {
    f42_a_coordinator_that_is_killed_before_any_act_bakes_one_image: CrashBefore => |world| is_published(world) && world.bakery.launches == 2;
    f42_a_coordinator_that_does_not_hear_of_what_was_done_bakes_one_image: CrashUnheard => |world| is_published(world) && world.bakery.launches == 2;
    f42_a_coordinator_that_is_killed_after_any_act_bakes_one_image: CrashAfter => |world| is_published(world) && world.bakery.launches == 2;
    f42_whatever_is_done_twice_is_done_once: Twice => |world| is_published(world) && world.bakery.launches == 2;
    f42_what_was_done_and_said_not_to_be_is_found: DoneAndDenied => |world| is_published(world) && world.bakery.launches == 2;
    f42_what_fails_once_is_tried_again: FailsOnce => |world| is_published(world) && world.bakery.launches == 2;
    f42_what_never_can_be_done_leaves_nothing: Impossible => |_| true;
    f42_machines_that_are_lost_leave_nothing: MachinesLost => |_| true;
    f42_a_bake_that_is_removed_leaves_nothing: Removed => |_| true;
}

#[test]
fn a_bake_goes_well() {
    let mut world = World::begin(false);
    world.run(None);
    world.check("nothing goes wrong");
    assert!(is_published(&world));
    let ami = world.cluster.amis().values().next().unwrap();
    assert!(matches!(ami.state, AmiState::Published { .. }), "{ami:?}");
    assert_eq!(ami.name, format!("wharf-{}", world.bake));
}

#[test]
fn a_bake_that_failed_and_was_kept_goes_on_from_where_it_failed() {
    for at in 0.. {
        let mut world = World::begin(true);
        if !world.run(Some((at, Mishap::Impossible))) {
            break;
        }
        let before = world.bakery.launches;
        if !matches!(world.it().phase, BakePhase::Kept { .. }) {
            continue;
        }
        world.hear(BakeEvent::Retry(world.bake.clone()));
        world.run(None);
        assert!(is_published(&world), "act {at}: {:?}", world.it().phase);
        world.check(&format!("kept at act {at}"));
        // The builder that was kept goes on; only what tries out the image, or was never launched, is launched anew.
        assert!(world.bakery.launches <= before + 2 && world.bakery.launches <= 3, "act {at}");
    }
}

#[test]
fn what_is_kept_is_cleared_away_after_a_day() {
    let mut world = World::begin(true);
    world.run(Some((4, Mishap::Impossible)));
    assert!(matches!(world.it().phase, BakePhase::Kept { .. }), "{:?}", world.it().phase);
    assert_eq!(world.bakery.machines_left(), 1);
    let again = BakeEvent::Retry("other-1".parse().unwrap());
    assert!(matches!(world.hear(again), Reply::Refused(Refusal::Bake(BakeRefusal::None(_)))));
    world.now = world.now + Duration::from_secs(24 * 3_600);
    let done = step(&mut world.cluster, &[], world.now);
    world.stored.extend(done.changes);
    world.run(None);
    world.check("a day later");
}

#[test]
fn a_step_that_takes_too_long_fails_with_what_the_cloud_said_last() {
    let mut world = World::begin(false);
    let failed = BakeAnswer::Failed("RequestLimitExceeded".to_owned());
    world.hear(BakeEvent::Answered { bake: world.bake.clone(), answer: failed });
    assert_eq!(world.cluster.bake_trouble(&world.bake), Some("RequestLimitExceeded"));
    world.now = world.now + Duration::from_secs(600);
    world.run(None);
    world.check("too late");
    let BakePhase::Ended { end: End::Failed { during, why } } = &world.it().phase else {
        panic!("{:?}", world.it().phase)
    };
    assert_eq!(during, "looking for the base image");
    assert_eq!(why, "it was not done within 600 s; at last: RequestLimitExceeded");
}

#[test]
fn two_bakes_of_a_recipe_are_not_under_way_at_once() {
    let mut world = World::begin(false);
    let again =
        || BakeEvent::Start { recipe: Box::new(recipe()), images: Vec::new(), keeps: false };
    let refused = world.hear(again());
    assert_eq!(refused, Reply::Refused(Refusal::Bake(BakeRefusal::Busy(world.bake.clone()))));
    world.run(None);
    let Reply::Baking(next) = world.hear(again()) else { panic!("it is not begun") };
    assert_ne!(next, world.bake, "its images have names of their own");
}

#[test]
fn what_crashed_bakes_left_is_swept_up_and_what_others_need_is_not() {
    let mut world = World::begin(false);
    world.run(None);
    let (good, now) = (world.cluster.amis().keys().next().unwrap().clone(), world.now);
    let left = |id: &str, bake: &str, is_image, at| coordinator_core::cluster::Leftover {
        id: id.to_owned(),
        bake: bake.parse().unwrap(),
        is_image,
        expires_at: at,
    };
    let later = now + Duration::from_secs(60);
    let found = vec![
        left("i-0123456789abcdef9", world.bake.as_str(), false, later),
        left(good.as_str(), world.bake.as_str(), true, now),
        left("i-0123456789abcdef8", "lost-1", false, now),
        left("i-0123456789abcdef7", "lost-1", false, later),
    ];
    world.hear(BakeEvent::Swept(found));
    let asked = step(&mut world.cluster, &[], now).commands;
    let removed: Vec<&str> = asked
        .iter()
        .filter_map(|one| match one {
            Command::Remove { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(removed, ["i-0123456789abcdef8", "i-0123456789abcdef9"]);
}

#[test]
fn images_that_are_new_enough_stay_and_others_are_removed_once() {
    let mut world = World::begin(false);
    world.run(None);
    let ami = world.cluster.amis().keys().next().unwrap().clone();
    assert!(!collect(&world.cluster, 1)[0].goes);
    assert!(collect(&world.cluster, 0)[0].goes);
    world.hear(BakeEvent::Retire(vec![ami.clone()]));
    let asked = step(&mut world.cluster, &[], world.now).commands;
    assert_eq!(asked, [Command::Remove { id: ami.to_string(), is_image: true }]);
    world.crash();
    assert_eq!(
        step(&mut world.cluster, &[], world.now).commands,
        asked,
        "whoever takes over asks too"
    );
    world.hear(BakeEvent::Gone(ami.to_string()));
    assert!(world.cluster.amis().is_empty());
    assert!(step(&mut world.cluster, &[], world.now).commands.is_empty());
}

/// The group `web` is a pool, launches the version, and EC2 says which images versions name.
fn launches(world: &mut World, version: u64, named: &[(u64, &str)]) {
    let versions = BTreeMap::from([("lt-1".to_owned(), version)]);
    let group = Group {
        name: "web".to_owned(),
        max: 1,
        suspended: BTreeSet::from(["AZRebalance".to_owned()]),
        blueprint: Some(Blueprint(versions)),
        ..Group::default()
    };
    let image = |(version, ami): &(u64, &str)| {
        (("lt-1".to_owned(), *version), Some((*ami).to_owned()).filter(|ami| !ami.is_empty()))
    };
    let images = named.iter().map(image).collect();
    let survey = Survey { groups: vec![group], images, ..Survey::default() };
    hear_of_fleet(world, FleetEvent::Surveyed(Box::new(survey)));
}

fn hear_of_fleet(world: &mut World, event: FleetEvent) {
    let done = step(&mut world.cluster, &[Event::Fleet(event)], world.now);
    world.stored.extend(done.changes);
    assert!(!matches!(done.replies[0], Reply::Refused(_)), "{:?}", done.replies);
}

/// Why the only image stays, or nothing when it goes.
fn stays(world: &World) -> Option<String> {
    let verdict = collect(&world.cluster, 0).remove(0);
    (!verdict.goes).then_some(verdict.why)
}

#[test]
fn what_a_group_launches_or_can_go_back_to_stays_without_any_machine_of_it() {
    let mut world = World::begin(false);
    world.run(None);
    let ami = world.cluster.amis().keys().next().unwrap().to_string();
    let (name, policy) = ("web".to_owned(), PoolPolicy::default());
    hear_of_fleet(&mut world, FleetEvent::PutPool { name, policy });
    let why = stays(&world).unwrap();
    assert!(why.starts_with("it is not known what pool web launches"), "{why}");
    launches(&mut world, 1, &[]);
    assert_eq!(stays(&world).unwrap(), "it is not known which image version 1 of lt-1 names");
    // A version that was just made may not show yet, and one that is looked up at each launch may be anything.
    for named in ["", "resolve:ssm:/wharf/web-base"] {
        launches(&mut world, 1, &[(1, named)]);
        assert_eq!(stays(&world).unwrap(), "it is not known which image version 1 of lt-1 names");
    }
    launches(&mut world, 1, &[(1, &ami)]);
    assert_eq!(stays(&world).unwrap(), "group web launches machines from it");
    // It is to launch another: the one before is what it can go back to.
    let start = |target| RefreshEvent::Start {
        pool: "web".to_owned(),
        target,
        policy: RefreshPolicy { hold: Duration::ZERO, ..RefreshPolicy::default() },
        expect: None,
        after: Vec::new(),
    };
    let to = Target::Blueprint(Blueprint(BTreeMap::from([("lt-1".to_owned(), 2)])));
    hear_of_fleet(&mut world, FleetEvent::Refresh(start(to)));
    launches(&mut world, 2, &[(1, &ami), (2, "ami-0123456789abcdeff")]);
    assert_eq!(stays(&world).unwrap(), "pool web can be rolled back to it");
    for _ in 0..120 {
        world.now = world.now + Duration::from_secs(1);
        let done = step(&mut world.cluster, &[], world.now);
        world.stored.extend(done.changes);
        launches(&mut world, 2, &[(1, &ami), (2, "ami-0123456789abcdeff")]);
    }
    let last = world.cluster.refreshes_of("web").last().unwrap();
    assert!(last.is_through(), "{last:?}");
    assert_eq!(stays(&world).unwrap(), "pool web can be rolled back to it");
    let refused = step(
        &mut world.cluster,
        &[Event::Bake(BakeEvent::Retire(vec![ami.parse().unwrap()]))],
        world.now,
    );
    assert!(
        matches!(&refused.replies[0], Reply::Refused(Refusal::Bake(BakeRefusal::Needed(..)))),
        "{:?}",
        refused.replies
    );
    launches(&mut world, 2, &[(1, ""), (2, "ami-0123456789abcdeff")]);
    assert_eq!(stays(&world), None, "the version to go back to was deleted");
    // The next refresh leaves it behind for good.
    launches(&mut world, 3, &[(2, "ami-0123456789abcdeff"), (3, "ami-0123456789abcdefe")]);
    hear_of_fleet(&mut world, FleetEvent::Refresh(start(Target::Ami(ami.clone()))));
    let told = stays(&world).unwrap();
    assert_eq!(told, "refresh web:2 replaces machines by such of it", "before its version is made");
    let abort = RefreshEvent::Steer { pool: "web".to_owned(), steering: Steering::Abort };
    hear_of_fleet(&mut world, FleetEvent::Refresh(abort));
    launches(&mut world, 3, &[(3, "ami-0123456789abcdefe")]);
    assert_eq!(stays(&world), None);
}
