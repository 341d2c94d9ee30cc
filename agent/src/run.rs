//! The loop: hears the coordinator, the engine and the clock; writes the journal; carries out what the core orders.

mod clocks;
mod config;
mod errands;
mod hearing;
mod leasing;
mod outlook;
mod secrets;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_core::action::Outcome;
use agent_core::ahead::Ahead;
use agent_core::event::{Event, OrderKind};
use agent_core::observed::Container;
use agent_core::outlook::Reach;
use agent_core::workload::{Engine as EngineState, Workload};
use agent_core::{Step, step};
use anyhow::Context;
use model::fleet::Outlook;
use model::id::{ClusterId, ContainerName, NodeId, ProjectName, TaskId};
use model::image::Image;
use model::time::Timestamp;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use tokio::sync::{Semaphore, mpsc, oneshot};
use trust::transport::{Dial, check_address};

pub use self::config::{Config, Origin, Security};
use self::outlook::Telling;
use self::secrets::Asking;
use crate::clock::Clock;
use crate::credentials::{Credentials, Joining};
use crate::firewall::{self, Firewall};
use crate::housekeeping::Housekeeping;
use crate::imds::Imds;
use crate::journal::Journal;
use crate::leases::{Asked, Sockets};
use crate::leaving::Leaving;
use crate::report::Extent;
use crate::runtime::usage::{ContainerMeter, HostMeter};
use crate::runtime::{Docker, Engine, Settings, Shelf};
use crate::secrets::Values;
use crate::session::{self, Link};
use crate::{bake, engine, identity, notices, report};

/// Everything is listed at least so often, whatever events say.
const RELIST: Duration = Duration::from_secs(15);
/// So often it is looked whether the engine's disk is too full.
const SWEEP: Duration = Duration::from_secs(60);
/// Containers that are made at the same time. The engine serialises most of the work; more only makes each one slower.
const LAUNCHES: usize = 12;
/// Containers that are told to stop at the same time; see [`errands::STOP_TURN`].
const STOPS: usize = 12;
/// Health checks at the same time.
const PROBES: usize = 64;
/// Everything else that is asked at the same time.
const OTHERS: usize = 32;
/// Things that wait for the loop.
const QUEUE: usize = 1_024;
/// Until the coordinator says how often.
const HEARTBEAT: Duration = Duration::from_secs(10);

enum Input {
    Listed {
        asked_at: Timestamp,
        containers: Result<Vec<Container>, String>,
    },
    Looked(Option<Box<Container>>),
    Done {
        task: TaskId,
        container: ContainerName,
        kind: OrderKind,
        outcome: Outcome,
    },
    Resolved(wire::Resolved),
    /// The secrets of a task, or why they can not be had.
    Secrets {
        task: TaskId,
        given: Result<Values, String>,
    },
    /// The engine has networks of these projects.
    Projects(BTreeSet<ProjectName>),
    /// It has none of this one any more.
    Left(ProjectName),
    /// What was to be fetched for tasks to come is here, or why it is not.
    Fetched {
        image: Image,
        outcome: Outcome,
    },
    /// All that is on the disk of the engine.
    Shelf {
        asked_at: Timestamp,
        shelf: Shelf,
    },
}

struct Agent {
    config: Config,
    node: NodeId,
    cluster: Option<ClusterId>,
    journal: Journal,
    workload: Workload,
    docker: Option<Docker>,
    about: Option<Engine>,
    link: Option<Link>,
    hello: Arc<Mutex<wire::Hello>>,
    /// What the coordinator was told last about this node.
    said: wire::Hello,
    inputs: mpsc::Sender<Input>,
    engine_heard: mpsc::Sender<engine::Heard>,
    launches: Arc<Semaphore>,
    stops: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    others: Arc<Semaphore>,
    clock: Clock,
    host: HostMeter,
    meter: ContainerMeter,
    leaving: Leaving,
    sockets: Sockets,
    /// Tasks that wait for an answer about their leases, and until when they want them.
    asking: Vec<(Asked, Option<Timestamp>)>,
    asking_secrets: Asking,
    housekeeping: Housekeeping,
    firewall: Firewall,
    /// What is fetched for tasks to come.
    ahead: Ahead,
    /// What the coordinator was told last of the images here.
    told_images: Option<wire::Images>,
    is_listing: bool,
    list_again: bool,
    is_watching: bool,
    wake_at: Option<Timestamp>,
    heartbeat: Duration,
    /// What the core was told last about the session.
    reach: Option<Reach>,
}

/// Tells systemd, where it listens, that the agent is ready or still turns: every 15 s at least, by [`RELIST`].
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Runs until `stop` is told. Containers go on.
///
/// # Errors
/// When the state directory can not be used, or the coordinator's address is malformed.
pub async fn run(config: Config, stop: oneshot::Receiver<()>) -> anyhow::Result<()> {
    if config.builder {
        return bake::run(config, stop).await;
    }
    prepare(&config)?;
    let node = name(&config).await?;
    let journal = Journal::new(&config.state);
    let kept = journal.load(&node)?;
    let cluster = kept.as_ref().map(|kept| kept.cluster.clone());
    let workload = kept.map(|kept| Workload::restore(kept.fence, kept.tasks)).unwrap_or_default();
    let (inputs, mut incoming) = mpsc::channel(QUEUE);
    let (engine_heard, mut engine_incoming) = mpsc::channel(QUEUE);
    let (session_heard, mut session_incoming) = mpsc::channel(QUEUE);
    let (lease_asked, mut lease_incoming) = mpsc::channel(QUEUE);
    let (foreseen, mut foreseen_incoming) = mpsc::channel(QUEUE);
    let watching = notices::watch(config.notices.clone(), foreseen);
    let leases = std::path::absolute(config.state.join("leases"))?;
    let reaching = (config.coordinator.as_str(), &config.security);
    let credentials = Credentials::load(&config.state, &node, cluster.as_ref(), reaching);
    let (firewall, keeper) = firewall::begin(config.metadata_rules).await;
    let mut agent = Agent {
        housekeeping: Housekeeping::load(&config.state),
        config,
        node,
        cluster,
        journal,
        workload,
        docker: None,
        about: None,
        link: None,
        hello: Arc::default(),
        said: wire::Hello::default(),
        inputs,
        engine_heard,
        launches: Arc::new(Semaphore::new(LAUNCHES)),
        stops: Arc::new(Semaphore::new(STOPS)),
        probes: Arc::new(Semaphore::new(PROBES)),
        others: Arc::new(Semaphore::new(OTHERS)),
        clock: Clock::start(),
        host: HostMeter::new(PathBuf::from("/")),
        meter: ContainerMeter::default(),
        leaving: Leaving::default(),
        sockets: Sockets::new(leases, lease_asked),
        asking: Vec::new(),
        asking_secrets: Asking::default(),
        firewall,
        ahead: Ahead::default(),
        told_images: None,
        is_listing: false,
        list_again: false,
        is_watching: false,
        wake_at: None,
        heartbeat: HEARTBEAT,
        reach: None,
    };
    agent.begin();
    let hello = Arc::clone(&agent.hello);
    let hello = move || hello.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let linking = tokio::spawn(session::keep(credentials, hello, session_heard));
    let (session, foreseen) = (&mut session_incoming, &mut foreseen_incoming);
    let outside = Outside { session, leases: &mut lease_incoming, foreseen };
    let looping = agent.turn(&mut incoming, &mut engine_incoming, outside);
    tokio::select! {
        linked = linking => linked.context("the link was interrupted"),
        () = looping => Ok(()),
        () = keeper.keep() => Ok(()),
        () = watching => Ok(()),
        _ = stop => Ok(()),
    }
}

/// Whatever is wrong with what the agent is told is said before it does anything.
fn prepare(config: &Config) -> anyhow::Result<()> {
    check_address(&config.coordinator)?;
    if let Security::Plaintext = config.security {
        drop(Dial::Plaintext { address: config.coordinator.clone() }.channel()?);
    }
    std::fs::create_dir_all(&config.state)
        .with_context(|| format!("can not make the state directory {}", config.state.display()))
}

/// Who this node is. An instance is named by its id, whatever its disk says: it may be a copy of another's.
pub(crate) async fn name(config: &Config) -> anyhow::Result<NodeId> {
    let (Security::Tls(Joining::Aws(aws)), None) = (&config.security, &config.node) else {
        return identity::node_id(&config.state, config.node.clone());
    };
    let asked = match Imds::begin(&aws.imds).await {
        Ok(imds) => imds.instance().await,
        Err(error) => Err(error),
    };
    identity::instance_id(&config.state, asked)
}

impl Agent {
    /// Takes up what an agent of before has left.
    fn begin(&mut self) {
        self.introduce();
        self.open_sockets(Extent::Everything);
        let found = self.find_secrets();
        self.step(&found);
        self.watch_engine();
    }

    async fn turn(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        engine: &mut mpsc::Receiver<engine::Heard>,
        outside: Outside<'_>,
    ) {
        let Outside { session, leases, foreseen } = outside;
        let mut relist = tokio::time::interval(RELIST);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut again = tokio::time::interval(outlook::AGAIN);
        let mut beat = Box::pin(tokio::time::sleep(self.heartbeat));
        notify(sd_notify::NotifyState::Ready);
        loop {
            notify(sd_notify::NotifyState::Watchdog);
            let events = tokio::select! {
                Some(input) = inputs.recv() => self.take_inputs(input, inputs),
                Some(heard) = engine.recv() => self.hear_engine(heard),
                Some(heard) = session.recv() => self.hear_session(heard),
                Some(asked) = leases.recv() => self.take_wish(asked).into_iter().collect(),
                Some(outlook) = foreseen.recv() => {
                    self.foresee(outlook);
                    continue;
                }
                _ = relist.tick() => {
                    self.list();
                    let left = self.leaving.pending();
                    self.remove_networks(left);
                    Vec::new()
                }
                _ = sweep.tick() => {
                    self.list_images();
                    continue;
                }
                _ = again.tick() => {
                    self.tell_outlook(Telling::Again);
                    continue;
                }
                () = sleep_until(self.wake_at, self.clock) => Vec::new(),
                () = &mut beat => {
                    self.beat();
                    beat = Box::pin(tokio::time::sleep(self.jittered()));
                    continue;
                }
            };
            self.step(&events);
        }
    }

    /// Between four fifths and six fifths of the interval, so that a fleet does not speak at once.
    fn jittered(&self) -> Duration {
        let spread = self.clock.now().as_millis() % 400;
        self.heartbeat * (800 + u32::try_from(spread).unwrap_or_default()) / 1_000
    }

    /// Several outcomes that are there already are one step, and one write of the journal.
    fn take_inputs(&mut self, first: Input, inputs: &mut mpsc::Receiver<Input>) -> Vec<Event> {
        let mut events = Vec::new();
        events.extend(self.take_input(first));
        while let Ok(input) = inputs.try_recv() {
            events.extend(self.take_input(input));
        }
        events
    }

    fn take_input(&mut self, input: Input) -> Option<Event> {
        match input {
            Input::Listed { asked_at, containers } => {
                self.is_listing = false;
                if std::mem::take(&mut self.list_again) {
                    self.list();
                }
                Some(match containers {
                    Ok(containers) => Event::Listed { asked_at, containers },
                    Err(why) => Event::EngineDown { why },
                })
            }
            Input::Looked(Some(container)) => Some(Event::Seen(container)),
            Input::Looked(None) => {
                self.list();
                None
            }
            Input::Done { task, container, kind, outcome } => {
                self.note_fetched();
                Some(Event::Done { task, container, kind, outcome })
            }
            Input::Fetched { image, outcome } => {
                let is_here = !matches!(outcome, Outcome::Failed(_));
                self.ahead.ended(&image, is_here, self.clock.now());
                if let Outcome::Failed(fault) = outcome {
                    tracing::warn!(%image, why = fault.message, "an image for a task to come was not fetched");
                }
                self.note_fetched();
                None
            }
            Input::Resolved(resolved) => {
                self.say(Up::Resolved(resolved));
                None
            }
            Input::Secrets { task, given } => self.take_secrets(task, given),
            Input::Projects(projects) => {
                self.leaving.found(projects);
                None
            }
            Input::Shelf { asked_at, shelf } => {
                self.tell_images(&shelf);
                self.remove_images(asked_at, shelf.images);
                None
            }
            Input::Left(project) => {
                self.leaving.gone(&project);
                None
            }
        }
    }

    /// Remembers what is here because of us, and says what is here now.
    fn note_fetched(&mut self) {
        let fetched = self.docker.as_ref().map(Docker::take_fetched).unwrap_or_default();
        if !fetched.is_empty() || self.docker.as_ref().is_some_and(Docker::has_news) {
            self.list_images();
        }
        self.housekeeping.note(fetched, self.clock.now());
    }

    fn hear_engine(&mut self, heard: engine::Heard) -> Vec<Event> {
        match heard {
            engine::Heard::Up(docker, about) => {
                self.host = HostMeter::new(about.root_dir.clone());
                self.docker = Some(docker);
                self.about = Some(*about);
                // Only now is it known what this node can hold.
                self.introduce();
                self.introduce_again();
                self.list();
                self.find_projects();
                self.list_images();
                Vec::new()
            }
            engine::Heard::Event(happened) => {
                if !self.workload.expects(&happened.id, happened.sign) {
                    self.look(happened.id);
                }
                Vec::new()
            }
            engine::Heard::Down(why) => {
                tracing::warn!(why, "the engine can not be asked; nothing is concluded from that");
                self.docker = None;
                vec![Event::EngineDown { why }]
            }
        }
    }

    fn step(&mut self, events: &[Event]) {
        if let Some(reach) = self.reach() {
            return self.step(&[&[reach], events].concat());
        }
        let Step { must_persist, orders, reports, wake_at } =
            step(&mut self.workload, events, self.clock.now());
        self.wake_at = wake_at;
        let saved = match &self.cluster {
            Some(cluster) if must_persist => self.journal.save(cluster, &self.node, &self.workload),
            Some(_) | None => Ok(()),
        };
        if let Err(error) = &saved {
            tracing::error!(
                "the journal can not be written ({error:#}): what runs goes on, but a restart of the agent would know less"
            );
        }
        self.answer_wishes(saved.is_ok());
        self.open_sockets(Extent::News);
        self.tend_secrets();
        orders.into_iter().for_each(|order| self.carry_out(order));
        if !reports.is_empty() {
            self.say(Up::Report(report::to_wire(&reports, &self.workload, Extent::News)));
        }
        self.leave_projects();
    }

    fn beat(&mut self) {
        let containers: Vec<Container> = self.workload.containers().cloned().collect();
        let heartbeat = wire::Heartbeat {
            engine_ready: *self.workload.engine() == EngineState::Ready,
            host: Some(self.host.sample()),
            containers: self.meter.sample(&containers),
            metadata_fault: self.firewall.fault(),
        };
        self.say(Up::Heartbeat(heartbeat));
    }

    fn report_everything(&mut self) {
        let reports = self.workload.reports();
        self.say(Up::Report(report::to_wire(&reports, &self.workload, Extent::Everything)));
    }

    fn say(&mut self, message: Up) {
        if self.link.as_ref().is_some_and(|link| !link.say(message)) {
            self.hang_up();
        }
    }

    /// Ends the conversation; the next one begins with everything.
    fn hang_up(&mut self) {
        self.link = None;
    }

    fn introduce(&self) {
        let hello =
            report::hello(&self.config, &self.node, self.cluster.as_ref(), self.about.as_ref());
        *self.hello.lock().unwrap_or_else(PoisonError::into_inner) = hello;
    }

    /// Says who this is in a conversation that has begun with less.
    fn introduce_again(&mut self) {
        let hello = self.hello.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.link.is_some() && hello != self.said {
            self.said = hello.clone();
            self.say(Up::Hello(hello));
        }
    }

    /// Begins to watch the engine as soon as it is known whose containers are ours.
    fn watch_engine(&mut self) {
        let Some(cluster) = self.cluster.clone().filter(|_| !self.is_watching) else { return };
        self.is_watching = true;
        let settings = Settings {
            socket: self.config.socket.clone(),
            cluster,
            node: self.node.clone(),
            docker_config: self.config.docker_config.clone(),
            prefer_local: self.config.prefer_local,
            gpus: self.config.gpus,
            leases: Some(self.sockets.root().to_owned()),
            secrets: self.vault().map(|vault| vault.root().to_owned()),
        };
        let firewall = self.firewall.clone();
        tokio::spawn(engine::watch(settings, firewall, self.engine_heard.clone()));
    }
}

/// Who speaks to the loop from outside of it.
struct Outside<'a> {
    session: &'a mut mpsc::Receiver<session::Heard>,
    leases: &'a mut mpsc::Receiver<Asked>,
    foreseen: &'a mut mpsc::Receiver<Outlook>,
}

async fn sleep_until(at: Option<Timestamp>, clock: Clock) {
    match at {
        Some(at) => tokio::time::sleep(at.since(clock.now())).await,
        None => std::future::pending().await,
    }
}
