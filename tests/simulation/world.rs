//! A cluster in one thread from one seed: both cores as they are, and around them everything that they do not decide.
//!
//! A run has two parts. First fate strikes, and after each step the invariants must hold. Then all faults end, operators
//! ask for good images, and within half an hour every service must have exactly the containers that it should have.

mod agenda;
mod agent;
mod balancers;
mod chance;
mod check;
mod cloud;
mod coordinator;
mod disruption;
mod docker;
mod engine;
mod fate;
pub(crate) mod flaw;
mod jobs;
mod leases;
mod machine;
mod outlook;
mod refresh;
mod secrets;
mod silence;
mod specs;
mod steering;
mod truth;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::id::{NodeId, ServiceId, TaskId};
use model::node::{Availability, Node};
use model::resources::Resources;
use model::rollout::Steering;
use model::time::Timestamp;

use crate::coordinator_core::event::{Event, JobOrder};

use self::agenda::{Agenda, Happening};
use self::balancers::Balancers;
use self::chance::Chance;
use self::cloud::Cloud;
use self::coordinator::Coordinator;
use self::fate::Odds;
use self::flaw::Flaw;
use self::machine::Machine;
use self::secrets::with_secret;
use self::silence::Silence;
use self::specs::{HOST_VOLUME, SERVICES, balanced_spec_of};
use self::truth::Truth;

/// Machines at the start, and at the end.
const MACHINES: usize = 4;
/// The longest of all waits are the grace of orphans, ten minutes, and the backoffs, five.
const REST: Duration = Duration::from_secs(1_800);
/// What a group waits for a sign.
const fn cloud_patience() -> Duration {
    model::fleet::HOOK_PATIENCE
}
/// How long what has come to rest is watched.
const WATCH: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    pub(crate) chance: Chance,
    /// What programs do with their leases is drawn apart from all else.
    pub(crate) lease_chance: Chance,
    /// And so is what becomes of secrets.
    pub(crate) secret_chance: Chance,
    /// And who makes or removes volumes.
    pub(crate) volume_chance: Chance,
    /// And which machines are taken back while nobody reaches them.
    pub(crate) end_chance: Chance,
    /// And which are cut off for so long that they are ended for that.
    pub(crate) silence_chance: Chance,
    pub(crate) odds: Odds,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) now: Timestamp,
    agenda: Agenda,
    pub(crate) machines: BTreeMap<NodeId, Machine>,
    pub(crate) coordinator: Coordinator,
    pub(crate) cloud: Cloud,
    pub(crate) balancers: Balancers,
    pub(crate) truth: Truth,
    pub(crate) silence: Silence,
    /// Somebody else's containers and where they are.
    pub(crate) foreign: BTreeMap<String, NodeId>,
    pub(crate) sessions: u64,
    pub(crate) containers: u64,
    pub(crate) images: u32,
    born: u32,
    trail: Trail,
}

/// What happened last to what is looked for, when one seed is replayed.
#[derive(Debug, Default)]
struct Trail {
    wanted: Option<String>,
    lines: VecDeque<String>,
}

impl Trail {
    const LINES: usize = 60;

    fn note(&mut self, now: Timestamp, what: &impl std::fmt::Debug) {
        let Some(wanted) = &self.wanted else { return };
        let line = format!("{:9.3} {what:?}", now.since(BEGINNING).as_secs_f64());
        if line.contains(wanted) {
            self.lines.push_back(line);
        }
        if self.lines.len() > Self::LINES {
            self.lines.pop_front();
        }
    }
}

/// Lives through one seed and gives what happened last to what `wanted` names, for somebody to read.
#[allow(dead_code, reason = "the mutation gate replays nothing")]
pub(crate) fn replay(seed: u64, wanted: String) -> (Result<(), String>, Vec<String>) {
    let mut world = World::new(seed, None);
    world.trail.wanted = Some(wanted);
    let outcome = world.live();
    (outcome, world.trail.lines.into())
}

/// Lives through one seed.
///
/// # Errors
/// What went wrong first.
pub(crate) fn run(seed: u64, flaw: Option<Flaw>) -> Result<(), String> {
    World::new(seed, flaw).live()
}

/// The spring of 2027.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

impl World {
    fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let mut chance = Chance(seed);
        let mut lease_chance = Chance(seed.wrapping_mul(31));
        let leases = if lease_chance.percent(60) { leases::OFTEN } else { 0 };
        let odds = Odds { leases, ..Odds::draw(&mut chance) };
        // Many steps are full in some worlds, and none in others.
        let max_changes = [2, 9, 1_000][chance.below(3) as usize];
        let mut world = Self {
            seed,
            chance,
            lease_chance,
            secret_chance: Chance(seed.wrapping_mul(37)),
            volume_chance: Chance(seed.wrapping_mul(43)),
            end_chance: Chance(seed.wrapping_mul(41)),
            silence_chance: Chance(seed.wrapping_mul(47)),
            odds,
            flaw,
            now: BEGINNING,
            agenda: Agenda::default(),
            machines: BTreeMap::new(),
            coordinator: Coordinator::new(max_changes),
            cloud: Cloud::default(),
            balancers: Balancers::default(),
            truth: Truth::default(),
            silence: Silence::default(),
            foreign: BTreeMap::new(),
            sessions: 0,
            containers: 0,
            images: 0,
            born: 0,
            trail: Trail::default(),
        };
        (0..MACHINES).for_each(|_| world.add_machine());
        world.begin_cloud();
        world.begin_balancers();
        world.after(Duration::from_secs(5), Happening::Fate);
        world
    }

    fn live(&mut self) -> Result<(), String> {
        // Now and then for long enough that every grace runs out, and long after it began.
        let is_long = self.chance.percent(15);
        let (least, most) = if is_long { (900_000, 1_800_000) } else { (200_000, 900_000) };
        let chaos = self.chance.millis(least, most);
        self.live_until(self.now + chaos);
        self.heal();
        self.come_to_rest();
        self.aftershock();
        self.come_to_rest();
        if self.chance.percent(25) {
            self.absence();
            self.come_to_rest();
        }
        if self.truth.broken.is_none() && self.chance.percent(25) {
            self.evacuation();
            self.come_to_rest();
        }
        if self.chance.percent(4) {
            self.rest();
        }
        let (seed, when) = (self.seed, self.now.since(BEGINNING).as_secs());
        let broken = self.truth.broken.take();
        broken.map_or(Ok(()), |broken| Err(format!("SEED={seed} at {when} s: {broken}")))
    }

    /// Gives the cluster time. What is as it should be must still be so after a while.
    fn come_to_rest(&mut self) {
        let rests_at = self.now + REST;
        let mut calm = 0;
        while self.truth.broken.is_none() && calm < 2 {
            let unrest = self.unrest();
            calm = if unrest.is_some() { 0 } else { calm + 1 };
            if let Some(unrest) = unrest.filter(|_| rests_at <= self.now) {
                return self.truth.accuse(format!("does not come to rest: {unrest}"));
            }
            if calm == 0 {
                self.ask_for_good_images();
            }
            self.live_until(self.now + WATCH);
        }
    }

    /// With nothing to do nothing is done: nobody changes places for ever. What nodes that came have set going has its time first.
    fn rest(&mut self) {
        self.live_until(self.now + Duration::from_secs(900));
        let before = self.lasting();
        self.live_until(self.now + Duration::from_secs(3_600));
        let (after, is_sound) = (self.lasting(), self.truth.broken.is_none());
        self.truth.expect(!is_sound || before == after, || {
            let (gone, come) = (before.difference(&after), after.difference(&before));
            let (gone, come): (Vec<_>, Vec<_>) = (gone.collect(), come.collect());
            format!("in an hour in which nothing happened {gone:?} gave way to {come:?}")
        });
    }

    /// The tasks that do not run to their end.
    fn lasting(&self) -> BTreeSet<TaskId> {
        let tasks = self.coordinator.cluster.tasks().values();
        let live = tasks.filter(|task| !task.state.is_final());
        let lasting = live.filter(|task| !task.generation.spec.mode.runs_to_end());
        lasting.map(|task| task.id.clone()).collect()
    }

    pub(crate) fn after(&mut self, wait: Duration, what: Happening) {
        self.agenda.add(self.now + wait, what);
    }

    /// Hands a message to the network.
    pub(crate) fn send(&mut self, message: Happening) {
        if self.chance.percent(self.odds.loss) {
            return;
        }
        if self.chance.percent(self.odds.twice) {
            let after = self.chance.millis(5, 6_000);
            self.after(after, message.clone());
        }
        let longest = if self.chance.percent(self.odds.late) { 5_000 } else { 40 };
        let after = if self.odds.late == 0 {
            Duration::from_millis(20)
        } else {
            self.chance.millis(5, longest)
        };
        self.after(after, message);
    }

    pub(crate) fn live_until(&mut self, end: Timestamp) {
        while self.truth.broken.is_none() {
            let Some((at, what)) = self.agenda.next(end) else { break };
            self.now = at;
            self.trail.note(at, &what);
            self.happen(what);
        }
        if self.truth.broken.is_none() {
            self.now = end;
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Fate => self.fate(),
            Happening::Turn => self.turn(),
            Happening::Revive => self.revive(),
            Happening::Buried(node) => {
                self.coordinator.inbox.push(Event::Died(node));
                self.turn_within(Duration::from_millis(50));
            }
            Happening::Look => self.look(),
            Happening::LookAtBalancers => self.look_at_balancers(),
            Happening::Letter(letter) => self.read(letter),
            Happening::Ask(command) => self.ask(command),
            Happening::TakenBack(node) => self.take_back(&node),
            Happening::CutOff(node) => self.cut_off(&node),
            Happening::Boot(node) => {
                if self.machines.get(&node).is_some_and(|machine| machine.agent.is_none()) {
                    self.boot(&node);
                }
            }
            Happening::Up { node, session, message } => {
                self.coordinator_hears(&node, session, message);
            }
            Happening::Agent { node, life, what } => self.agent_hears(&node, life, what),
            Happening::Engine { node, what } => self.engine_hears(&node, what),
        }
    }

    pub(crate) fn has_place_for_one_more(&self) -> bool {
        self.machines.len() <= MACHINES + usize::from(self.cloud.is_there)
    }

    pub(crate) fn add_machine(&mut self) {
        if !self.has_place_for_one_more() {
            return;
        }
        self.born += 1;
        let node = machine(self.born);
        let id = node.id.clone();
        self.launched(&node);
        let mut machine = Machine::new(node);
        if self.born % 4 != 1 {
            machine.engine.volumes.insert(HOST_VOLUME.to_owned());
        }
        self.machines.insert(id.clone(), machine);
        self.boot(&id);
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.odds = Odds::default();
        self.agenda.cancel_fate();
        self.calm_cloud();
        self.revive();
        while self.machines.len() < MACHINES {
            self.add_machine();
        }
        let nodes: Vec<NodeId> = self.machines.keys().cloned().collect();
        for node in nodes {
            if let Some(machine) = self.machines.get_mut(&node) {
                machine.cut_until = self.now;
                machine.engine.is_up = true;
                machine.hindered_at = self.now;
                // What was lost on the way is not said again in the same session.
                machine.agent.iter_mut().for_each(|agent| agent.session = None);
                if machine.agent.is_none() {
                    self.boot(&node);
                }
            }
        }
    }

    /// Asked again until it is taken: a service that is being removed can not be deployed.
    fn ask_for_good_images(&mut self) {
        let specs = SERVICES.map(|name| {
            let spec = balanced_spec_of(&name.parse().expect("each is PROJECT/SERVICE"), 0, 2);
            with_secret(spec, 0)
        });
        let specs = specs.to_vec();
        let ids: Vec<ServiceId> = specs.iter().map(|spec| spec.id.clone()).collect();
        self.have_secret();
        self.coordinator.inbox.push(Event::Deploy {
            specs,
            remove: Vec::new(),
            expect: Vec::new(),
        });
        // What stands still since somebody paused it, or waits to be promoted, is refused elsewhere.
        for steering in [Steering::Resume, Steering::Promote] {
            let steer = |service: &ServiceId| Event::Steer { service: service.clone(), steering };
            self.coordinator.inbox.extend(ids.iter().map(steer));
        }
        let service = "ops/report".parse().expect("it is PROJECT/SERVICE");
        self.coordinator.inbox.push(Event::Job { service, order: JobOrder::Resume });
        self.adopt();
        for node in self.machines.keys().cloned().collect::<Vec<_>>() {
            let availability = Availability::Active;
            // Who opens it again only has it begin anew.
            if self.leaves_for_refresh(&node) {
                continue;
            }
            self.coordinator.inbox.push(Event::SetAvailability { node, availability });
        }
        self.turn_within(Duration::from_millis(50));
    }
}

fn machine(number: u32) -> Node {
    let id: NodeId = format!("i-{number:04}").parse().expect("digits are a name");
    Node {
        hostname: id.to_string(),
        engine: id.to_string(),
        id,
        zone: format!("zone-{}", number % 2),
        arch: "amd64".to_owned(),
        labels: BTreeMap::from([("rack".to_owned(), format!("r{}", number % 3))]),
        capacity: Resources {
            cpu_millis: 2_000,
            memory_bytes: 8 << 30,
            gpus: 2,
            ..Resources::default()
        },
        availability: Availability::Active,
        pool: None,
        ami: None,
        instance_type: None,
        os: None,
        engine_version: None,
        kernel_version: None,
        preparing_until: None,
        drain: None,
    }
}
