//! The loop: hear, decide, write, tell. The only place where the cluster changes.

mod audited;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use coordinator_core::cluster::{Cluster, Sighting};
use coordinator_core::command::Command;
use coordinator_core::event::{Event, Reply};
use coordinator_core::trust::{Asked, Ledger, Refusal};
use coordinator_core::{Step, invariant, step, view};
use model::audit::Act;
use model::id::{NodeId, TaskId};
use model::time::Timestamp;
use proto::wire;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::audit::{By, Log, Refusals, Watched, of_trust};
use crate::clock::Clock;
use crate::ledgers::Ledgers;
use crate::published::Published;
use crate::recorder::Recorder;
use crate::sessions::Sessions;
use crate::store::{Store, StoreError};

/// Events that wait for the loop. More means that it does not keep up: who is turned away comes again.
const QUEUE: usize = 20_000;
/// Events of one step: one commit, and so one fsync, for all of them.
const BATCH: usize = 1_000;
/// The loop looks around at least this often, and notices when it did not.
const TICK: Duration = Duration::from_secs(1);
/// A tick that comes so late means that this process, or its machine, stood still: then nobody's silence means anything.
const STANDSTILL: Duration = Duration::from_secs(5);
/// After a write that failed, the next one is tried so much later.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// The whole cluster is checked at most so often.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Why an event was not answered.
#[derive(Debug, Clone, Error)]
pub(crate) enum RunError {
    /// Too much waits already.
    #[error("the coordinator has too much to do: try again in a moment")]
    Busy,
    /// It is ending.
    #[error("the coordinator is stopping")]
    Stopped,
    /// The store did not take it.
    #[error("{0}")]
    Store(Arc<StoreError>),
}

struct Heard {
    event: Event,
    /// Somebody who is to be on the record for it.
    by: Option<Box<By>>,
    reply: Option<oneshot::Sender<Result<Reply, RunError>>>,
}

/// Something that is to be on the record and changes nothing here.
struct Recorded {
    act: Act,
    reply: Option<oneshot::Sender<Result<(), RunError>>>,
}

/// Somebody reads the record.
struct Reading {
    after: u64,
    limit: usize,
    reply: oneshot::Sender<Result<wire::AuditPage, RunError>>,
}

/// Somebody asks about who is let in, and waits for the answer.
struct AskedTrust {
    asked: Asked,
    by: Option<By>,
    reply: oneshot::Sender<Result<Result<(), Refusal>, RunError>>,
}

enum Input {
    Heard(Box<Heard>),
    Trust(Box<AskedTrust>),
    Act(Box<Recorded>),
    Read(Reading),
    Stop,
}

/// What is done in one turn.
#[derive(Default)]
struct Batch {
    heard: Vec<Heard>,
    trust: Vec<AskedTrust>,
    acts: Vec<Recorded>,
    readings: Vec<Reading>,
    stops: bool,
}

/// Where events are brought.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    inputs: SyncSender<Input>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Heard(_) => "Heard",
            Self::Trust(_) => "Trust",
            Self::Act(_) => "Act",
            Self::Read(_) => "Read",
            Self::Stop => "Stop",
        })
    }
}

impl Door {
    /// A door behind which nobody listens.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Self {
        Self { inputs: sync_channel(1).0 }
    }

    /// Brings an event and waits until it is committed.
    ///
    /// # Errors
    /// When it was not taken; then nothing was changed.
    pub(crate) async fn ask(&self, event: Event) -> Result<Reply, RunError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Heard { event, by: None, reply: Some(sender) })?;
        receiver.await.unwrap_or(Err(RunError::Stopped))
    }

    /// Brings what somebody asks for, who is on the record for it in the same commit.
    ///
    /// # Errors
    /// When it was not taken; then nothing was changed.
    pub(crate) async fn ask_by(&self, by: By, event: Event) -> Result<Reply, RunError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Heard { event, by: Some(Box::new(by)), reply: Some(sender) })?;
        receiver.await.unwrap_or(Err(RunError::Stopped))
    }

    /// Brings an event whose outcome nobody waits for.
    ///
    /// # Errors
    /// When it was not taken.
    pub(crate) fn tell(&self, event: Event) -> Result<(), RunError> {
        self.send(Heard { event, by: None, reply: None })
    }

    fn send(&self, heard: Heard) -> Result<(), RunError> {
        self.push(Input::Heard(Box::new(heard)))
    }

    fn push(&self, input: Input) -> Result<(), RunError> {
        match self.inputs.try_send(input) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(RunError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(RunError::Stopped),
        }
    }

    /// Asks about who is let in, and waits until what follows is committed; whoever is named is on the record for it.
    ///
    /// # Errors
    /// When it was not decided; then nothing was changed.
    pub(crate) async fn trust(
        &self,
        asked: Asked,
        by: Option<By>,
    ) -> Result<Result<(), Refusal>, RunError> {
        let (reply, receiver) = oneshot::channel();
        let asked = Box::new(AskedTrust { asked, by, reply });
        self.push(Input::Trust(asked))?;
        receiver.await.unwrap_or(Err(RunError::Stopped))
    }

    /// Ends the loop after what it has heard by now.
    pub(crate) fn stop(&self) {
        // A full queue is emptied by the loop; one that is gone has stopped.
        drop(self.inputs.send(Input::Stop));
    }
}

/// The loop and everything it alone may touch.
pub(crate) struct Loop {
    inputs: Receiver<Input>,
    cluster: Cluster,
    store: Box<dyn Store>,
    published: Arc<Published>,
    sessions: Arc<Sessions>,
    clock: Clock,
    recorder: Recorder,
    ledger: Ledger,
    ledgers: Arc<Ledgers>,
    commands: watch::Sender<Vec<Command>>,
    log: Log,
    refusals: Arc<Refusals>,
    wake_at: Option<Timestamp>,
    checked: Instant,
    /// What did not fit into the last step: heard first in the next.
    unheard: Vec<Heard>,
}

/// What the loop is made of.
pub(crate) struct Parts {
    /// As it was loaded from the store.
    pub(crate) cluster: Cluster,
    pub(crate) store: Box<dyn Store>,
    pub(crate) published: Arc<Published>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
    pub(crate) ledgers: Arc<Ledgers>,
    /// Where what the cloud is to be asked goes.
    pub(crate) commands: watch::Sender<Vec<Command>>,
    pub(crate) log: Log,
    pub(crate) refusals: Arc<Refusals>,
}

impl std::fmt::Debug for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop").finish_non_exhaustive()
    }
}

/// Makes a loop and the door to it.
pub(crate) fn new(parts: Parts) -> (Door, Loop) {
    let Parts {
        cluster,
        store,
        published,
        sessions,
        clock,
        recorder,
        ledgers,
        log,
        refusals,
        commands,
    } = parts;
    let ledger = ledgers.read().clone();
    let (sender, inputs) = sync_channel(QUEUE);
    let wake_at = Some(clock.now());
    let checked = Instant::now();
    let unheard = Vec::new();
    let it = Loop {
        inputs,
        cluster,
        store,
        published,
        sessions,
        clock,
        recorder,
        ledger,
        ledgers,
        commands,
        log,
        refusals,
        wake_at,
        checked,
        unheard,
    };
    (Door { inputs: sender }, it)
}

impl Loop {
    /// Runs until it is told to stop, or until nobody is left who could tell it anything.
    pub(crate) fn run(mut self) {
        loop {
            // Where systemd listens: a loop that no longer turns is started again.
            if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
                tracing::debug!(%error, "systemd was not told");
            }
            let wait = self.wait();
            let waited = Instant::now();
            let first = self.inputs.recv_timeout(wait);
            if waited.elapsed() > wait + STANDSTILL {
                tracing::warn!(stood_still = ?waited.elapsed(), "stood still: every node's silence is forgiven");
                self.cluster.forgive(self.clock.now());
                self.published.forgive(self.clock.now());
                self.recorder.begin_anew();
            }
            let heard = std::mem::take(&mut self.unheard);
            let mut batch = Batch { heard, ..Batch::default() };
            match first {
                Ok(input) => batch.push(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while !batch.is_full() {
                let Ok(input) = self.inputs.try_recv() else { break };
                batch.push(input);
            }
            // Who is let in first: what others are told next may depend on it.
            self.turn_trust(batch.trust);
            let acts = self.with_refusals(batch.acts, batch.stops);
            self.turn(batch.heard, acts);
            self.read(batch.readings);
            if batch.stops {
                return;
            }
        }
    }

    fn wait(&self) -> Duration {
        if !self.unheard.is_empty() {
            return Duration::ZERO;
        }
        self.wake_at.map_or(TICK, |at| at.since(self.clock.now()).min(TICK))
    }

    /// One step, its commit, and everything that follows from it.
    fn turn(&mut self, batch: Vec<Heard>, recorded: Vec<Recorded>) {
        let now = self.clock.now();
        let (mut events, mut replies, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        for Heard { event, by, reply } in batch {
            watched.push(by.map(|by| Watched::new(by, &event, &self.cluster)));
            events.push(event);
            replies.push(reply);
        }
        self.recorder.before(&self.cluster, &events, now);
        let deciding = AssertUnwindSafe(|| step(&mut self.cluster, &events, now));
        let done = catch_unwind(deciding).unwrap_or_else(|panic| {
            self.recorder.crashed(&self.cluster, &events, now);
            resume_unwind(panic)
        });
        let heard = done.replies.len();
        let unheard = events.drain(heard..).zip(watched.drain(heard..)).zip(replies.drain(heard..));
        let unheard = unheard.map(|((event, watched), reply)| {
            let by = watched.map(|watched| watched.by);
            Heard { event, by, reply }
        });
        self.unheard = unheard.collect();
        self.recorder.after(&self.cluster, &events, &done, now);
        let unrecorded = match self.commit(&done, &watched, recorded) {
            Ok(()) => None,
            // Nothing has changed but what should be on the record: who asked is told, and everything else goes on.
            Err(error) if done.changes.is_empty() => Some(Arc::new(error)),
            Err(error) => return self.undo(error, replies, now),
        };
        self.wake_at = done.wake_at;
        let told = self.publish(&done, &events, now);
        // Before anybody is answered: who has heard that a request is done finds it here no more.
        self.commands.send_if_modified(|known| {
            let is_news = *known != done.commands;
            known.clone_from(&done.commands);
            is_news
        });
        for ((reply, watched), answer) in replies.into_iter().zip(watched).zip(done.replies) {
            let answer = match (&unrecorded, watched) {
                (Some(error), Some(_)) => Err(RunError::Store(Arc::clone(error))),
                (Some(_) | None, _) => Ok(answer),
            };
            if let Some(reply) = reply {
                // Whoever asked may have gone; what was asked is done all the same.
                drop(reply.send(answer));
            }
        }
        self.sessions.notify(&told);
        self.sessions.fetch(&done.fetches);
    }

    /// Decides about who is let in, one after the other, and answers when all of it is committed.
    fn turn_trust(&mut self, asked: Vec<AskedTrust>) {
        if asked.is_empty() {
            return;
        }
        let (mut changes, mut acts, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for AskedTrust { asked, by, reply } in asked {
            // Certificates hold by the time of the world, which others may set.
            let decided = self.ledger.decide(&asked, trust::now());
            let decided = decided.map(|decided| {
                acts.extend(by.map(|by| of_trust(&by, &asked, &self.ledger)));
                decided.iter().for_each(|change| self.ledger.apply(change));
                changes.extend(decided);
            });
            answers.push((reply, decided));
        }
        let committed = self.commit_trust(&changes, &acts);
        match committed {
            Ok(()) => self.ledgers.apply(&changes),
            Err(_) => self.ledger = self.ledgers.read().clone(),
        }
        let committed = committed.map_err(|error| {
            tracing::error!(%error, "the store did not take who is let in");
            RunError::Store(Arc::new(error))
        });
        for (reply, decided) in answers {
            // Who asked may have gone; what was asked is done all the same.
            drop(reply.send(committed.clone().map(|()| decided)));
        }
    }

    /// Shows what was committed, and names the nodes that are to be told something else than before.
    fn publish(&mut self, done: &Step, events: &[Event], now: Timestamp) -> BTreeSet<NodeId> {
        let told = {
            let before = self.published.read();
            done.changes
                .iter()
                .filter_map(|change| view::concerns(&before.cluster, change))
                .collect()
        };
        // What is said of a stop names the lease that it waits for.
        let leases = self.leases(events);
        self.published.saw_leases(&leases);
        self.published.apply(&done.changes, now);
        let is_due = self.checked.elapsed() >= CHECK_INTERVAL && !done.changes.is_empty();
        let alarms = is_due.then(|| self.check());
        let sightings = self.sightings(events);
        self.published.apply_soft(&sightings, done.notes.clone(), alarms);
        let is_of_cloud = events
            .iter()
            .any(|event| matches!(event, Event::Fleet(_) | Event::Bake(_) | Event::Traffic(_)));
        if is_of_cloud || !self.published.read().cluster.lacks_the_same(&self.cluster) {
            self.published.saw_cloud(&self.cluster);
        }
        for event in events {
            if let Event::Images { node, stock } = event {
                self.published.saw_images(node, stock);
            }
        }
        told
    }

    fn check(&mut self) -> Vec<String> {
        self.checked = Instant::now();
        let broken = invariant::check(&self.cluster);
        for alarm in &broken {
            tracing::error!(
                alarm,
                "an invariant is broken: no new work is given out; please report this"
            );
        }
        broken
    }

    /// The leases of the tasks that were spoken of.
    fn leases(&self, events: &[Event]) -> Vec<(TaskId, Option<Timestamp>)> {
        let spoken = events.iter().filter_map(|event| match event {
            Event::Reported { tasks, .. } => Some(tasks),
            _ => None,
        });
        let ids = spoken.flatten().map(|report| &report.task);
        let known = ids.filter(|id| self.cluster.tasks().get(id).is_some());
        known.map(|id| (id.clone(), self.cluster.lease(id))).collect()
    }

    fn sightings(&self, events: &[Event]) -> Vec<(NodeId, Sighting)> {
        let heard: BTreeMap<&NodeId, ()> =
            events.iter().filter_map(speaker).map(|node| (node, ())).collect();
        let seen =
            heard.into_keys().filter_map(|node| Some((node.clone(), self.cluster.sighting(node)?)));
        seen.collect()
    }

    /// Goes back to what is committed. Agents are asked to say everything again, because what they said is lost.
    fn undo(
        &mut self,
        error: StoreError,
        replies: Vec<Option<oneshot::Sender<Result<Reply, RunError>>>>,
        now: Timestamp,
    ) {
        tracing::error!(%error, "the store did not take a write");
        let committed = self.published.read().cluster.stored();
        // Agents say again what is not stored.
        self.cluster = Cluster::load(&committed, now);
        self.cluster.bound(self.store.max_changes());
        self.recorder.begin_anew();
        self.wake_at = Some(now + STORE_RETRY);
        let error = Arc::new(error);
        for reply in replies.into_iter().flatten() {
            drop(reply.send(Err(RunError::Store(Arc::clone(&error)))));
        }
        self.sessions.close_all();
        std::thread::sleep(STORE_RETRY);
    }
}

impl Batch {
    fn push(&mut self, input: Input) {
        match input {
            Input::Heard(heard) => self.heard.push(*heard),
            Input::Trust(asked) => self.trust.push(*asked),
            Input::Act(recorded) => self.acts.push(*recorded),
            Input::Read(reading) => self.readings.push(reading),
            Input::Stop => self.stops = true,
        }
    }

    fn is_full(&self) -> bool {
        let inputs = self.heard.len() + self.trust.len() + self.acts.len() + self.readings.len();
        self.stops || inputs >= BATCH
    }
}

const fn speaker(event: &Event) -> Option<&NodeId> {
    match event {
        Event::Heard { node, .. } | Event::Reported { node, .. } => Some(node),
        Event::Joined(node) => Some(&node.id),
        Event::Deploy { .. }
        | Event::Restart(_)
        | Event::Job { .. }
        | Event::Scale { .. }
        | Event::Rollback { .. }
        | Event::GoBack(_)
        | Event::Steer { .. }
        | Event::Rebalance
        | Event::Remove(_)
        | Event::SetAvailability { .. }
        | Event::Drain { .. }
        | Event::Images { .. }
        | Event::Died(_)
        | Event::Fleet(_)
        | Event::Bake(_)
        | Event::Traffic(_) => None,
        Event::Secret(_) => None,
    }
}
