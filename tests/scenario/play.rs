//! A coordinator's core in a world that does as the script says, second by second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::command::{Command, Key};
use coordinator_core::event::{EngineState, Event, Refusal, Reply};
use coordinator_core::narrate::{Occurrence, Subject, narrate};
use coordinator_core::{invariant, step, view};
use model::id::{NodeId, ServiceId, TaskId};
use model::image::{Stock, own_volume};
use model::node::{Availability, DrainCause, Node};
use model::resources::Resources;
use model::spec::ServiceSpec;
use model::task::{DesiredState, FailureKind, Health, Task, TaskState};
use model::time::Timestamp;
use model::traffic::TargetGroup;

use super::baking::Bakery;
use super::balancers::TargetGroupPlay;
use super::region::Region;
use super::{script, specs};

const HEARTBEAT: Duration = Duration::from_secs(10);
/// From when a task is told to start or stop until it has.
const REACTION: Duration = Duration::from_secs(2);
/// How much longer that takes on a slow machine.
const SLOWNESS: Duration = Duration::from_secs(50);
/// Until a pull is given up.
const PULL: Duration = Duration::from_secs(30);

/// What becomes of the tasks of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Ends,
    Crashes,
    Unhealthy,
    Hangs,
    NotPulled,
    Missing,
    HostFails,
}

pub(crate) struct Play {
    pub(crate) cluster: Cluster,
    pub(crate) began: Timestamp,
    pub(crate) now: Timestamp,
    wake_at: Option<Timestamp>,
    silent: BTreeSet<NodeId>,
    pub(crate) nodes: BTreeSet<NodeId>,
    fates: BTreeMap<u32, Fate>,
    /// What was done with each task in the world: when it started and when it was told to stop.
    started: BTreeSet<TaskId>,
    pub(crate) due: BTreeMap<(Timestamp, TaskId), TaskState>,
    /// What the engines have, and what they are fetching ahead.
    images: BTreeMap<NodeId, BTreeSet<u32>>,
    /// The volumes on the engine of each node.
    volumes: BTreeMap<NodeId, BTreeSet<String>>,
    fetching: BTreeMap<(Timestamp, NodeId, u32), ()>,
    pub(crate) told: Vec<String>,
    pub(crate) region: Region,
    /// What the cloud is asked, and has not done.
    pub(crate) asked: BTreeMap<Key, Command>,
    /// What becomes of tasks, or agents, on machines of an image.
    pub(crate) amis: BTreeMap<String, String>,
    /// When the lease of each task ends that has taken one.
    pub(crate) leases: BTreeMap<TaskId, Timestamp>,
    /// Target groups by name.
    pub(crate) balancers: BTreeMap<TargetGroup, TargetGroupPlay>,
    /// What becomes of bakes.
    pub(crate) bakery: Bakery,
    /// How long the tasks of jobs take.
    takes: Duration,
    /// Seconds from midnight, of the clock on the wall, to the beginning.
    midnight: Option<u64>,
}

/// What is said of the cloud.
const CLOUD: [&str; 10] = [
    "pool",
    "launch",
    "terminate",
    "end",
    "interrupt",
    "at-risk",
    "cloud",
    "protect",
    "lacks",
    "explain",
];

impl Play {
    pub(crate) fn new() -> Self {
        let began = Timestamp::from_millis(1_800_000_000_000);
        Self {
            cluster: Cluster::default(),
            began,
            now: began,
            wake_at: None,
            silent: BTreeSet::new(),
            nodes: BTreeSet::new(),
            fates: BTreeMap::new(),
            started: BTreeSet::new(),
            due: BTreeMap::new(),
            images: BTreeMap::new(),
            volumes: BTreeMap::new(),
            fetching: BTreeMap::new(),
            told: Vec::new(),
            region: Region::default(),
            asked: BTreeMap::new(),
            amis: BTreeMap::new(),
            leases: BTreeMap::new(),
            balancers: BTreeMap::new(),
            bakery: Bakery::default(),
            takes: REACTION,
            midnight: None,
        }
    }

    /// Does what a command says, and gives what came of it.
    pub(crate) fn obey(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, rest) = words.split_first().unwrap();
        match (*verb, rest) {
            ("node", [name, settings @ ..]) => self.join(name, &script::settings(settings)),
            ("deploy", [name, settings @ ..]) => {
                let spec = script::spec(&name.parse().unwrap(), &script::settings(settings));
                self.deploy(spec);
            }
            ("scale", [name, replicas]) => {
                let (service, replicas) = (service(name), replicas.parse().unwrap());
                self.hear(&[Event::Scale { service, replicas }]);
            }
            ("rollback", [name]) => {
                self.hear(&[Event::Rollback { service: service(name), to: None }]);
            }
            ("rollout", [word, name]) => {
                let (service, steering) = (service(name), script::steering(word));
                self.hear(&[Event::Steer { service, steering }]);
            }
            ("rm", [name]) => self.hear(&[Event::Remove(service(name))]),
            ("drain", [names, rest @ ..]) => {
                let within =
                    rest.first().map_or(Duration::from_secs(900), |text| script::duration(text));
                let nodes = names.split(',').map(|name| name.parse().unwrap()).collect();
                self.hear(&[Event::Drain { nodes, within, cause: DrainCause::Operator }]);
            }
            ("job", [name, settings @ ..]) => {
                let settings = script::settings(settings);
                let spec = script::job(&name.parse().unwrap(), &settings);
                self.takes = settings.get("takes").map_or(REACTION, |text| script::duration(text));
                self.deploy(spec);
            }
            ("run", [word, name]) => {
                let (service, order) = (service(name), script::order(word));
                self.hear(&[Event::Job { service, order }]);
            }
            ("clock", [text]) => self.set_clock(text),
            ("away", [text]) => self.away(script::duration(text)),
            ("rebalance", []) => self.hear(&[Event::Rebalance]),
            ("open", [name]) => self.set(name, Availability::Active),
            ("close", [name]) => self.set(name, Availability::Cordoned),
            ("gone", [name]) => {
                self.nodes.remove(&id(name));
                self.hear(&[Event::Died(id(name))]);
            }
            ("silent", [name]) => {
                self.silent.insert(id(name));
            }
            ("heard", [name]) => self.return_from_silence(&id(name)),
            ("image", [number, words @ ..]) => {
                let number = number.parse().unwrap();
                self.fates.insert(number, fate(&words.join(" ")));
                self.is_fetched(number);
            }
            ("secret", words) => self.secret(words),
            ("lease", [name, slot, text]) => {
                self.lease(&service(name), slot, script::duration(text));
            }
            ("balancer", [name, word]) => self.balancer(name, word),
            ("sick", [name, slot]) => self.sicken(&service(name), slot),
            ("takeover", []) => self.take_over(),
            ("wait", [text]) => self.wait(script::duration(text)),
            ("show", [name]) => self.show(&service(name)),
            ("ami" | "refresh", rest) => self.refresh(verb, rest),
            (word, rest) if CLOUD.contains(&word) => self.face_cloud(verb, rest),
            ("recipe" | "bake" | "base" | "release" | "size", rest) => self.bake(verb, rest),
            _ => panic!("`{command}` is no command"),
        }
        std::mem::take(&mut self.told)
    }

    fn deploy(&mut self, spec: ServiceSpec) {
        let (remove, expect) = (Vec::new(), Vec::new());
        self.hear(&[Event::Deploy { specs: vec![spec], remove, expect }]);
    }

    /// What waited for an image that can be pulled now goes on soon.
    fn is_fetched(&mut self, image: u32) {
        let waits = |task: &&Arc<Task>| {
            let of = specs::number_of(&task.generation.spec.task.containers[0].image);
            task.state == TaskState::Fetching && of == image
        };
        let waiting = self.cluster.tasks().values().filter(waits).map(|task| task.id.clone());
        let since = self.now + PULL;
        let up = |id| ((since, id), TaskState::Running { since, health: Health::Healthy });
        let up: Vec<_> = waiting.map(up).collect();
        self.due.extend(up);
    }

    /// The newest task of a slot.
    pub(crate) fn newest(&self, id: &ServiceId, slot: &str) -> Arc<Task> {
        let of_slot = self.cluster.tasks_of(id).filter(|task| task.slot.to_string() == slot);
        of_slot.max_by_key(|task| task.id.clone()).cloned().unwrap()
    }

    /// The newest task of a slot fails its checks from now on.
    fn sicken(&mut self, id: &ServiceId, slot: &str) {
        let newest = self.newest(id, slot);
        let state = TaskState::Running { since: self.now, health: Health::Unhealthy };
        self.comes(&newest.id, state);
    }

    pub(crate) fn join(&mut self, name: &str, settings: &BTreeMap<&str, &str>) {
        let cpus = settings.get("cpus").map_or(64, |cpus| cpus.parse::<u64>().unwrap());
        let zone = settings.get("zone").copied().unwrap_or("z");
        let node = Node {
            id: id(name),
            hostname: name.to_owned(),
            engine: name.to_owned(),
            zone: zone.to_owned(),
            arch: "amd64".to_owned(),
            labels: settings
                .get("rack")
                .map(|rack| ("rack".to_owned(), (*rack).to_owned()))
                .into_iter()
                .collect(),
            capacity: Resources {
                cpu_millis: cpus * 1_000,
                memory_bytes: 64 << 30,
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
        };
        self.nodes.insert(node.id.clone());
        let id = node.id.clone();
        self.hear(&[Event::Joined(Box::new(node))]);
        self.report_all(&id);
        let volumes = settings.get("volumes").map(|names| names.split(',').map(str::to_owned));
        self.volumes.insert(id.clone(), volumes.into_iter().flatten().collect());
        self.has(&id, None);
    }

    /// The engine of a node has one image more, or says for the first time which it has.
    fn has(&mut self, node: &NodeId, image: Option<u32>) {
        let images = self.images.entry(node.clone()).or_default();
        let volumes = self.volumes.entry(node.clone()).or_default();
        images.extend(image);
        let digests = images.iter().map(|number| specs::image(*number).digest().clone());
        let (digests, volumes) = (digests.collect(), volumes.clone());
        let stock = Stock { digests, volumes, layers: BTreeMap::new() };
        if self.cluster.stock(node).as_ref() != Some(&stock) {
            self.hear(&[Event::Images { node: node.clone(), stock }]);
        }
    }

    fn set(&mut self, name: &str, availability: Availability) {
        self.hear(&[Event::SetAvailability { node: id(name), availability }]);
    }

    /// It is that time on the wall, before anything has happened.
    fn set_clock(&mut self, text: &str) {
        let at = script::instant(text);
        (self.began, self.now) = (at, at);
        self.midnight = Some(at.as_millis() / 1_000 % 86_400);
    }

    /// There is no coordinator for so long; then another one.
    fn away(&mut self, time: Duration) {
        self.now = self.now + time;
        let late: Vec<_> = self.due.keys().filter(|(at, _)| *at <= self.now).cloned().collect();
        self.cluster = Cluster::load(&self.cluster.stored(), self.now);
        self.hear(&[]);
        for node in self.nodes.clone() {
            self.report_all(&node);
        }
        for key in late {
            if let Some(state) = self.due.remove(&key) {
                self.comes(&key.1, state);
            }
        }
    }

    /// Another coordinator reads the store. The agents come to it and say how their tasks are.
    fn take_over(&mut self) {
        self.cluster = Cluster::load(&self.cluster.stored(), self.now);
        self.hear(&[]);
        for node in self.nodes.clone().difference(&self.silent.clone()) {
            self.report_all(node);
            self.has(node, None);
        }
    }

    fn return_from_silence(&mut self, node: &NodeId) {
        self.silent.remove(node);
        self.hear(&[Event::Heard { node: node.clone(), engine: EngineState::Ready }]);
        self.report_all(node);
    }

    fn report_all(&mut self, node: &NodeId) {
        let live = self.cluster.tasks_on(node).filter(|task| !task.state.is_final());
        let tasks = live.map(|task| self.report(task, task.state.clone())).collect();
        self.hear(&[Event::Reported { node: node.clone(), tasks, is_complete: true }]);
    }

    /// One step, and what it means to an operator.
    pub(crate) fn hear(&mut self, events: &[Event]) {
        let mut known = self.cluster.clone();
        let done = step(&mut self.cluster, events, self.now);
        let broken = invariant::check(&self.cluster);
        assert!(broken.is_empty(), "{broken:?}");
        self.wake_at = done.wake_at;
        for reply in done.replies {
            match reply {
                Reply::Refused(refusal) => self.refuse(&refusal),
                Reply::Noted
                | Reply::Accepted { .. }
                | Reply::Run { .. }
                | Reply::Baking(_)
                | Reply::SecretSet(_)
                | Reply::Deployed(_) => {}
            }
        }
        for change in &done.changes {
            let news = narrate(&known, change);
            known.apply(change);
            news.into_iter().for_each(|news| self.tell(&known, &news));
            if let Change::PutTask(task) = change {
                self.react(task);
            }
        }
        for (node, images) in done.fetches {
            for image in images {
                let number = specs::number_of(&image);
                let line = format!("{} {node} is asked to fetch image {number}", self.clock());
                if !self.fetching.keys().any(|(_, other, asked)| (other, *asked) == (&node, number))
                {
                    self.told.push(line);
                    self.fetching.insert((self.now + PULL, node.clone(), number), ());
                }
            }
        }
        for command in done.commands {
            self.asked.entry(command.key()).or_insert(command);
        }
        for (task, why) in done.notes {
            let subject = self.cluster.tasks().get(&task).map(|task| short(task));
            let line = format!("{} {} {why}", self.clock(), subject.unwrap_or_default());
            if !self.told.iter().any(|told| told.ends_with(&why)) {
                self.told.push(line);
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.told.push(format!("refused: {refusal}"));
    }

    fn tell(&mut self, cluster: &Cluster, news: &Occurrence) {
        let who = match &news.subject {
            Subject::Service(id) => id.to_string(),
            Subject::Node(node) => node.to_string(),
            Subject::Pool(name) => name.clone(),
            Subject::Pools => "all pools".to_owned(),
            // What each of its steps is says nothing here.
            Subject::Bake(_) if news.message.starts_with("is ") => return,
            Subject::Bake(id) => id.to_string(),
            Subject::Recipe(name) => format!("recipe {name}"),
            Subject::Ami(id) => id.to_string(),
            Subject::Secret(name) => name.to_string(),
            Subject::Task(task, service) => {
                cluster.tasks().get(task).map_or_else(|| service.to_string(), |task| short(task))
            }
        };
        let line = format!("{} {who} {}", self.clock(), news.message);
        self.told.push(line);
    }

    /// From the beginning; or by the clock on the wall, and then with the day.
    pub(crate) fn clock(&self) -> String {
        let seconds = self.now.since(self.began).as_secs();
        if let Some(midnight) = self.midnight {
            let seconds = seconds + midnight;
            let (day, seconds) = (seconds / 86_400 + 1, seconds % 86_400);
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            return format!("day {day} {hours:02}:{minutes:02}:{:02} UTC", seconds % 60);
        }
        format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }

    /// What the world does with a task that has changed.
    pub(crate) fn react(&mut self, task: &Arc<Task>) {
        let id = task.id.clone();
        if task.told() != DesiredState::Run && !task.state.is_final() && task.node.is_some() {
            self.due.retain(|(_, other), _| *other != id);
            self.due.insert((self.ends_at(task) + REACTION, id), TaskState::Completed);
            return;
        }
        if task.state != TaskState::Assigned || !self.started.insert(id.clone()) {
            return;
        }
        let image = specs::number_of(&task.generation.spec.task.containers[0].image);
        let fate = self.fates.get(&image).copied().unwrap_or(Fate::Works);
        let ami = task.node.as_ref().and_then(|node| self.region.ami(node));
        let harm = ami.and_then(|ami| self.amis.get(ami)).map(String::as_str);
        let fate = if harm == Some("breaks tasks") { Fate::Ends } else { fate };
        let slower = if harm == Some("is slow") { SLOWNESS } else { Duration::ZERO };
        let since = self.now + REACTION + slower;
        let failed = |kind, reason: &str| TaskState::Failed { kind, reason: reason.to_owned() };
        let (after, state) = match fate {
            Fate::Works | Fate::Crashes => {
                (REACTION + slower, TaskState::Running { since, health: Health::Healthy })
            }
            Fate::Ends => (REACTION, failed(FailureKind::Application, "exit code 1")),
            Fate::Unhealthy => (REACTION, TaskState::Running { since, health: Health::Unhealthy }),
            Fate::Hangs => (REACTION, TaskState::Preparing),
            Fate::NotPulled => (REACTION, TaskState::Fetching),
            Fate::Missing => (REACTION, failed(FailureKind::Image, "there is no such image")),
            Fate::HostFails => (REACTION, failed(FailureKind::Host, "the disk is full")),
        };
        self.due.insert((self.now + after, id), state);
    }

    /// Time passes: agents are heard, tasks start, stop and fail, and the coordinator looks when it wanted to.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let second = Duration::from_secs(1);
            self.now = self.now + second;
            let since = self.now.since(self.began);
            if since.as_secs().is_multiple_of(HEARTBEAT.as_secs()) {
                let heard = self.nodes.difference(&self.silent).cloned();
                let beat = |node| Event::Heard { node, engine: EngineState::Ready };
                let beats: Vec<Event> = heard.map(beat).collect();
                self.hear(&beats);
            }
            while let Some(((at, id), state)) = self.due.pop_first() {
                if at > self.now {
                    self.due.insert((at, id), state);
                    break;
                }
                self.comes(&id, state);
            }
            self.fetch();
            self.pass_in_balancers();
            self.pass_in_cloud();
            self.pass_in_bakery();
            if self.wake_at.is_some_and(|at| at <= self.now) {
                self.hear(&[]);
            }
        }
    }

    /// What was to be fetched ahead is there, if it can be.
    fn fetch(&mut self) {
        while let Some(((at, node, image), ())) = self.fetching.pop_first() {
            if at > self.now {
                self.fetching.insert((at, node, image), ());
                return;
            }
            if self.fates.get(&image) != Some(&Fate::NotPulled) && !self.silent.contains(&node) {
                let line = format!("{} {node} has fetched image {image}", self.clock());
                self.told.push(line);
                self.has(&node, Some(image));
            }
        }
    }

    fn comes(&mut self, id: &TaskId, state: TaskState) {
        let Some(task) = self.cluster.tasks().get(id).cloned() else { return };
        let Some(node) = task.node.clone() else { return };
        if self.silent.contains(&node) || !self.nodes.contains(&node) {
            // It is heard of when the node is.
            return;
        }
        let image = specs::number_of(&task.generation.spec.task.containers[0].image);
        let is_up = matches!(state, TaskState::Running { .. });
        let crashes = self.fates.get(&image) == Some(&Fate::Crashes) && task.restarts == 0 && is_up;
        let mut said = self.report(&task, state);
        if crashes {
            said.restarts = 1;
            said.note = "exit code 1".to_owned();
        }
        self.hear(&[Event::Reported { node: node.clone(), tasks: vec![said], is_complete: false }]);
        if is_up {
            let own = task.generation.spec.task.own_volumes();
            let own = own.map(|name| own_volume(&task.service.project, name));
            self.volumes.entry(node.clone()).or_default().extend(own);
            self.has(&node, Some(image));
            if task.generation.spec.mode.runs_to_end() {
                self.due.insert((self.now + self.takes, id.clone()), TaskState::Completed);
            }
        }
    }

    /// Each slot, and what runs there.
    fn show(&mut self, id: &ServiceId) {
        let Some(service) = self.cluster.services().get(id).cloned() else {
            self.told.push(format!("{id} is not there"));
            return;
        };
        let progress = view::service_progress(&self.cluster, &service, self.now);
        self.told.push(format!(
            "{id}: {} tasks serve in {} slots, {} have settled at generation {}",
            progress.serving, progress.desired, progress.updated, service.target.number
        ));
        let live = self.cluster.tasks_of(id).filter(|task| !task.state.is_final());
        let lines: Vec<String> = live.map(|task| self.line(task)).collect();
        self.told.extend(lines);
    }
}

/// A task by its slot and generation: its own number means nothing to a reader.
pub(crate) fn short(task: &Task) -> String {
    format!("{} {} (generation {})", task.service, task.slot, task.generation.number)
}

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

fn fate(words: &str) -> Fate {
    match words {
        "works" => Fate::Works,
        "ends" => Fate::Ends,
        "crashes" => Fate::Crashes,
        "is unhealthy" => Fate::Unhealthy,
        "hangs" => Fate::Hangs,
        "can not be pulled" => Fate::NotPulled,
        "does not exist" => Fate::Missing,
        "meets a full disk" => Fate::HostFails,
        _ => panic!("{words} is nothing that an image does"),
    }
}
