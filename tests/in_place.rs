//! Machines of a pool that stay, and boot from the root volume of another image.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::command::{self, Command, Outcome};
use coordinator_core::event::{Event, FleetEvent, RefreshEvent, Target};
use coordinator_core::foresee;
use coordinator_core::view::drift;
use model::budget::Amount;
use model::fleet::{Group, Instance, PoolPolicy, Survey};
use model::node::{Availability, Node};
use model::refresh::{Blueprint, Mode, Refresh, RefreshEnd, RefreshPhase, RefreshPolicy};

use story::{Story, id, node};

const POOL: &str = "web";
const TEMPLATE: &str = "lt-1";

fn blueprint(version: u64) -> Blueprint {
    Blueprint(BTreeMap::from([(TEMPLATE.to_owned(), version)]))
}

fn image(version: u64) -> String {
    format!("ami-{version}")
}

/// A group of two machines that does as it is told.
struct Region {
    story: Story,
    group: Group,
    machines: BTreeMap<String, Instance>,
    /// What becomes of a root volume that is to be replaced.
    outcome: Outcome,
    /// Whether machines whose root volume was replaced boot.
    boots: bool,
    booting: BTreeSet<String>,
    /// What was asked, without what is asked twice in a row.
    asked: Vec<String>,
}

impl Region {
    fn new() -> Self {
        let mut story = Story::new(&[("a", "z"), ("b", "z")]);
        let (name, policy) = (POOL.to_owned(), PoolPolicy::default());
        story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
        let group = Group {
            name: POOL.to_owned(),
            max: 10,
            desired: 2,
            hooks: command::hooks().to_vec(),
            blueprint: Some(blueprint(1)),
            ..Group::default()
        };
        let machine = |name: &str| {
            let made = Instance { ami: Some(image(1)), ..story::machine(POOL, name, 1) };
            (name.to_owned(), made)
        };
        let machines = BTreeMap::from(["a", "b"].map(machine));
        let (outcome, boots) = (Outcome::Done, true);
        let (booting, asked) = (BTreeSet::new(), Vec::new());
        let mut region = Self { story, group, machines, outcome, boots, booting, asked };
        region.look();
        region.story.run("shop/web", 2);
        for name in ["a", "b"] {
            region.story.report_all(name, true);
        }
        region
    }

    fn begin(&mut self, policy: RefreshPolicy) {
        let (pool, target) = (POOL.to_owned(), Target::Blueprint(blueprint(2)));
        let (expect, after) = (None, Vec::new());
        let start = RefreshEvent::Start { pool, target, policy, expect, after };
        self.story.hear(&[Event::Fleet(FleetEvent::Refresh(start))]);
    }

    fn look(&mut self) {
        let survey = Survey {
            groups: vec![self.group.clone()],
            instances: self.machines.values().cloned().collect(),
            images: [1, 2].map(|one| ((TEMPLATE.to_owned(), one), Some(image(one)))).into(),
            ..Survey::default()
        };
        self.story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    }

    fn perform(&mut self, command: &Command) -> Outcome {
        match command {
            Command::SetTemplate { to, .. } => self.group.blueprint = Some(to.clone()),
            Command::SetProcess { process, suspended: true, .. } => {
                self.group.suspended.insert((*process).to_owned());
            }
            Command::SetProcess { process, suspended: false, .. } => {
                self.group.suspended.remove(*process);
            }
            Command::ReplaceRoot { instance, ami, .. } if self.outcome == Outcome::Done => {
                let name = instance.to_string();
                self.machines.get_mut(&name).unwrap().ami = Some(ami.clone());
                self.booting.insert(name);
            }
            Command::ReplaceRoot { .. } => return self.outcome.clone(),
            Command::Terminate { instance, .. } => {
                self.machines.remove(instance.as_str());
                self.booting.remove(instance.as_str());
                return Outcome::Done;
            }
            other => panic!("nobody wants {other:?}"),
        }
        Outcome::Done
    }

    /// What is asked is done, machines boot, and some seconds pass.
    fn turn(&mut self) {
        for command in command::commands(&self.story.cluster, self.story.now) {
            let told = match &command {
                Command::ReplaceRoot { instance, token, ami } => {
                    format!("{instance} {ami} {token}")
                }
                Command::SetProcess { process, suspended, .. } => format!("{process} {suspended}"),
                Command::Terminate { instance, .. } => format!("end {instance}"),
                other => format!("{:?}", other.key()),
            };
            self.asked.push(told);
            self.asked.dedup();
            let (key, outcome) = (command.key(), self.perform(&command));
            self.story.hear(&[Event::Fleet(FleetEvent::Performed { key, outcome })]);
        }
        self.look();
        let due = if self.boots { self.booting.clone() } else { BTreeSet::new() };
        for name in due {
            self.booting.remove(&name);
            self.join(&name, self.machines[&name].ami.clone());
            self.story.report_all(&name, true);
        }
        self.story.start_all();
        self.story.stop_all();
        let heard: Vec<String> = self.machines.keys().cloned().collect();
        let heard = heard.iter().filter(|name| !self.booting.contains(*name));
        let heard: Vec<&str> = heard.map(String::as_str).collect();
        self.story.pass(10, &heard);
    }

    fn join(&mut self, name: &str, ami: Option<String>) {
        let node = Box::new(Node { ami, ..node(name, "z") });
        self.story.hear(&[Event::Joined(node)]);
    }

    fn refresh(&self) -> Refresh {
        (**self.story.cluster.refreshes_of(POOL).last().unwrap()).clone()
    }

    #[track_caller]
    fn ends(&mut self) -> RefreshEnd {
        for _ in 0..300 {
            if let RefreshPhase::Done { end, .. } = self.refresh().phase {
                return end;
            }
            self.turn();
        }
        panic!("{:#?} {:#?}", self.refresh(), self.asked);
    }

    fn is_asked(&self, what: &str) -> usize {
        self.asked.iter().filter(|one| one.starts_with(what)).count()
    }
}

fn policy() -> RefreshPolicy {
    RefreshPolicy {
        surge: Amount::Count(1),
        stages: Vec::new(),
        hold: Duration::ZERO,
        mode: Mode::InPlace,
        ..RefreshPolicy::default()
    }
}

#[test]
fn machines_stay_one_after_the_other_and_are_what_they_were_made_of_since() {
    let mut region = Region::new();
    region.begin(policy());
    assert_eq!(region.ends(), RefreshEnd::Refreshed);
    let kinds: Vec<&str> = region
        .asked
        .iter()
        .map(|one| one.rsplit_once(' ').map_or(&**one, |(kind, _)| kind))
        .collect();
    assert_eq!(region.is_asked("end "), 0, "{kinds:?}");
    assert_eq!((region.is_asked("a ami-2"), region.is_asked("b ami-2")), (1, 1), "{kinds:?}");
    assert!(region.group.suspended.is_empty(), "{:?}", region.group.suspended);
    let at = |what: &str| region.asked.iter().position(|one| one.starts_with(what)).unwrap();
    assert!(at("ReplaceUnhealthy true") < at("a ami-2").min(at("b ami-2")), "{kinds:?}");
    let nodes = region.story.cluster.nodes().values();
    assert!(nodes.clone().all(|node| node.availability == Availability::Active), "{nodes:?}");
    let shown = drift(&region.story.cluster, None, region.story.now);
    let shown: Vec<_> = shown[0].generations.iter().map(|one| one.machines).collect();
    assert_eq!(shown, [2], "both are of one kind");
    // The cloud has said all the time that they were launched from the first.
    region.asked.clear();
    let back = RefreshEvent::RollBack { pool: POOL.to_owned() };
    region.story.hear(&[Event::Fleet(FleetEvent::Refresh(back))]);
    assert_eq!(region.ends(), RefreshEnd::Refreshed);
    assert_eq!((region.is_asked("a ami-1"), region.is_asked("b ami-1")), (1, 1));
    assert_eq!((region.is_asked("end "), region.group.desired), (0, 2));
}

#[test]
fn what_is_asked_again_is_asked_with_the_same_token_and_nobody_is_open_meanwhile() {
    let mut region = Region::new();
    region.begin(policy());
    region.outcome = Outcome::Failed { why: "no answer".to_owned() };
    (0..12).for_each(|_| region.turn());
    region.outcome = Outcome::UnderWay;
    (0..12).for_each(|_| region.turn());
    let roots: Vec<String> =
        region.asked.iter().filter(|one| one.contains("ami-2")).cloned().collect();
    assert_eq!(roots.len(), 1, "{roots:?}");
    let gone: String = roots[0].chars().take(1).collect();
    // An agent of the old image is heard still, and proves nothing; nor may an operator open the node.
    region.join(&gone, Some(image(1)));
    (0..3).for_each(|_| region.turn());
    let availability = Availability::Active;
    region.story.hear(&[Event::SetAvailability { node: id(&gone), availability }]);
    let node = &region.story.cluster.nodes()[&id(&gone)];
    assert_eq!(node.availability, Availability::Cordoned);
    assert_eq!(region.refresh().roots.len(), 1);
    region.outcome = Outcome::Done;
    assert_eq!(region.ends(), RefreshEnd::Refreshed);
}

#[test]
fn a_machine_whose_volume_can_not_be_replaced_is_ended() {
    let mut region = Region::new();
    region.begin(policy());
    region.outcome = Outcome::InVain { why: "the task is failed".to_owned() };
    for _ in 0..30 {
        region.turn();
        if region.is_asked("end ") > 0 {
            break;
        }
    }
    assert_eq!((region.is_asked("end "), region.machines.len()), (1, 1), "{:?}", region.asked);
    assert!(region.refresh().roots.is_empty());
}

#[test]
fn a_machine_that_does_not_come_back_turns_the_refresh_around() {
    let mut region = Region::new();
    region.begin(policy());
    region.boots = false;
    for _ in 0..120 {
        region.turn();
        if region.is_asked("end ") > 0 {
            break;
        }
    }
    let refresh = region.refresh();
    assert!(matches!(refresh.phase, RefreshPhase::RollingBack { .. }), "{:?}", refresh.phase);
    assert_eq!(refresh.failed.len(), 1);
    assert_eq!((region.is_asked("end "), region.machines.len()), (1, 1), "{:?}", region.asked);
    assert_eq!(region.is_asked("a ami-2") + region.is_asked("b ami-2"), 1, "{:?}", region.asked);
}

#[test]
fn what_is_under_way_when_it_turns_around_gets_what_it_had() {
    let mut region = Region::new();
    region.begin(policy());
    region.boots = false;
    while region.booting.is_empty() {
        region.turn();
    }
    let back = RefreshEvent::RollBack { pool: POOL.to_owned() };
    region.story.hear(&[Event::Fleet(FleetEvent::Refresh(back))]);
    (0..2).for_each(|_| region.turn());
    region.boots = true;
    assert!(matches!(region.ends(), RefreshEnd::RolledBack { .. }));
    assert_eq!(region.is_asked("end "), 0, "{:?}", region.asked);
    let images: BTreeSet<Option<String>> =
        region.machines.values().map(|one| one.ami.clone()).collect();
    assert_eq!(images, BTreeSet::from([Some(image(1))]));
}

#[test]
fn a_plan_shows_that_no_machine_is_there_besides() {
    let region = Region::new();
    let target = Target::Ami("ami-2".to_owned());
    let planned =
        foresee::refresh(&region.story.cluster, (POOL, &target), &policy(), region.story.now);
    let plan = planned.unwrap();
    assert_eq!((plan.peak, plan.size, plan.machines.len()), (2, 2, 2), "{plan:#?}");
    assert!(plan.machines.iter().all(|one| one.emptied_after.is_some()), "{plan:#?}");
    assert!(plan.blockers.is_empty(), "{plan:#?}");
    // Two machines, one after the other, each of which boots.
    assert!(plan.duration >= plan.boot * 2, "{plan:#?}");
}
