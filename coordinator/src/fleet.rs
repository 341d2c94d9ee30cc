//! Asks the cloud what the core wants of it, listens to it, and looks at it every so often.
//!
//! ```text
//!  cloud ─ letters, looks ─▶ Event ─▶ run ─▶ Command ─▶ cloud ─ outcome ─▶ Event
//! ```
//!
//! A letter is struck off once what it says is committed, and nothing depends on one: the next look finds whatever was lost.

mod bake;
mod balancers;
pub(crate) mod secrets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use cloud::{Cloud, CloudError, Letter, Message, Rooted, Told};
use coordinator_core::command::{self, Command, Key, Outcome};
use coordinator_core::event::{Event, FleetEvent, Reply};
use coordinator_core::view;
use model::fleet::{HookPhase, Instance, Lifecycle, Notice, Survey};
use model::id::NodeId;
use model::refresh::{Blueprint, Version};
use model::time::Timestamp;
use tokio::sync::{Notify, watch};
use trust::attest::is_instance;

use crate::Shared;
use crate::clock::Clock;
use crate::published::Published;
use crate::run::{Door, RunError};

use self::secrets::Readings;

/// How often the cloud is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// The same while machines come and go.
const LOOK_CLOSELY: Duration = Duration::from_secs(5);
/// After a request that failed the next one comes so much later.
const RETRY: Duration = Duration::from_secs(5);
/// News that come in numbers lead to one look, and whoever can write to the queue to no more than one a second.
const SETTLE: Duration = Duration::from_secs(1);

/// The side of the coordinator that faces the cloud.
#[derive(Debug)]
pub(crate) struct Fleet {
    cloud: Arc<dyn Cloud>,
    door: Door,
    published: Arc<Published>,
    clock: Clock,
    /// Wakes whoever looks.
    look: Notify,
    /// Why the last look failed, if it did.
    trouble: Mutex<Option<CloudError>>,
    /// What is being asked.
    asking: Mutex<BTreeSet<Key>>,
    /// Held by who looks at load balancers, or tells them something.
    balancing: tokio::sync::Mutex<()>,
    /// Who we are to machines: known once everything is there.
    shared: OnceLock<Weak<Shared>>,
    /// How often each value that the cloud keeps is read.
    reread: Duration,
    readings: Mutex<Readings>,
}

impl Fleet {
    pub(crate) fn new(
        cloud: Arc<dyn Cloud>,
        door: Door,
        published: Arc<Published>,
        (clock, reread): (Clock, Duration),
    ) -> Self {
        let (trouble, asking, readings) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (look, shared, balancing) =
            (Notify::new(), OnceLock::new(), tokio::sync::Mutex::new(()));
        Self {
            cloud,
            door,
            published,
            clock,
            look,
            trouble,
            asking,
            balancing,
            shared,
            reread,
            readings,
        }
    }

    /// Says who we are to machines.
    pub(crate) fn begin(&self, shared: &Arc<Shared>) {
        self.shared.get_or_init(|| Arc::downgrade(shared));
    }

    /// Whether machine images can be made here.
    pub(crate) fn bakes(&self) -> bool {
        self.cloud.bakery().is_some()
    }

    /// Why the cloud could not be looked at the last time, if it could not.
    pub(crate) fn trouble(&self) -> Option<CloudError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has nothing be remembered of a group when it is looked at next.
    pub(crate) fn forget(&self, pool: &str) {
        self.cloud.forget(pool);
    }

    /// Looks at one group now, whether it is a pool or not.
    pub(crate) async fn survey(&self, pool: &str) -> Result<Survey, CloudError> {
        self.cloud.survey(&BTreeSet::from([pool.to_owned()]), &BTreeSet::new()).await
    }

    /// Says whether there is such a machine image.
    pub(crate) async fn has_ami(&self, ami: &str) -> Result<bool, CloudError> {
        self.cloud.has_ami(ami).await
    }

    /// The machine images that versions of launch templates name; none where there is no such version.
    pub(crate) async fn images(
        &self,
        versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Option<String>>, CloudError> {
        self.cloud.images(versions).await
    }

    /// Looks at all pools now, and has what was seen written down.
    pub(crate) async fn look_now(&self) -> Result<(), CloudError> {
        self.look_around().await;
        self.trouble().map_or(Ok(()), Err)
    }

    /// Where the cloud is, in words.
    pub(crate) fn describe(&self) -> String {
        self.cloud.describe()
    }

    /// Takes our hooks from a group: without us it would wait in vain, and give each new machine back.
    pub(crate) async fn let_go(&self, pool: &str) -> Result<(), CloudError> {
        for hook in command::hooks() {
            self.cloud.remove_hook(pool, &hook.name).await?;
        }
        Ok(())
    }

    /// Has the cloud looked at soon.
    pub(crate) fn look_soon(&self) {
        self.look.notify_one();
    }

    /// Does all of it. Never ends.
    pub(crate) async fn run(self: Arc<Self>, commands: watch::Receiver<Vec<Command>>) {
        tracing::info!(cloud = self.cloud.describe(), "manages pools");
        tokio::join!(
            self.watch(),
            self.listen(),
            self.sweep(),
            self.watch_balancers(),
            self.watch_secrets(),
            Arc::clone(&self).perform(commands)
        );
    }

    async fn watch(&self) {
        loop {
            let wait = self.look_around().await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.look.notified() => tokio::time::sleep(SETTLE).await,
            }
        }
    }

    /// Looks once, and says when to look again.
    async fn look_around(&self) -> Duration {
        let (pools, others, mut versions) = {
            let state = self.published.read();
            let pools: BTreeSet<String> = state.cluster.pools().keys().cloned().collect();
            let nodes = state.cluster.nodes().values();
            let of_pools =
                nodes.filter(|node| node.pool.as_ref().is_some_and(|pool| pools.contains(pool)));
            let living =
                of_pools.filter(|node| node.availability != model::node::Availability::Dead);
            let hooked = state.cluster.hooks().keys().map(|hook| &hook.instance);
            let others = living.map(|node| &node.id).chain(hooked);
            let others = others.filter(|id| is_instance(id.as_str())).cloned();
            let versions = view::bake::versions(&state.cluster);
            (pools.clone(), others.collect::<BTreeSet<NodeId>>(), versions)
        };
        if pools.is_empty() {
            return LOOK;
        }
        match self.cloud.survey(&pools, &others).await {
            Ok(mut survey) => {
                let launched = survey.groups.iter().filter_map(|group| group.blueprint.as_ref());
                versions.extend(launched.flat_map(Blueprint::versions));
                // Nothing but the removal of images waits for it.
                match self.cloud.images(&versions).await {
                    Ok(images) => survey.images = images,
                    Err(error) => tracing::warn!(%error, "what launch templates name is not known"),
                }
                let wait = if self.is_moving(&survey) { LOOK_CLOSELY } else { LOOK };
                self.complain(None);
                let heard =
                    self.door.ask(Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))).await;
                if let Err(error) = heard {
                    tracing::warn!(%error, "what the cloud has shown was not taken in");
                    return RETRY;
                }
                wait
            }
            Err(error) => {
                self.complain(Some(error));
                RETRY
            }
        }
    }

    /// Says whether machines come or go.
    fn is_moving(&self, survey: &Survey) -> bool {
        let is_settled = |one: &Instance| match one.lifecycle {
            Lifecycle::InService | Lifecycle::Aside => true,
            Lifecycle::Launching
            | Lifecycle::LaunchingWaits
            | Lifecycle::Terminating
            | Lifecycle::TerminatingWaits
            | Lifecycle::Terminated => false,
        };
        let is_complete = survey.groups.iter().all(|group| {
            let members = survey.instances.iter();
            let members = members.filter(|one| one.pool.as_ref() == Some(&group.name));
            members.count() >= group.desired as usize
        });
        let state = self.published.read();
        let mut hooks = state.cluster.hooks().values();
        let waits = hooks.any(|hook| !matches!(hook.phase, HookPhase::Done { .. }));
        let is_refreshing = state.cluster.open_refreshes().next().is_some();
        waits || is_refreshing || !is_complete || !survey.instances.iter().all(is_settled)
    }

    fn complain(&self, trouble: Option<CloudError>) {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &trouble) {
            (before, Some(error)) if before.as_ref() != Some(error) => {
                tracing::warn!(%error, hint = error.hint(), "the cloud can not be looked at; what runs goes on");
            }
            (Some(_), None) => tracing::info!("the cloud can be looked at again"),
            (None | Some(_), _) => {}
        }
        *known = trouble;
    }

    async fn listen(&self) {
        let mut complained = false;
        while let Some(letters) = self.cloud.letters().await {
            match letters {
                Ok(letters) => {
                    complained = false;
                    for letter in letters {
                        self.take(letter).await;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, hint = error.hint(), "can not listen to the cloud; it is looked at instead");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Writes down what a letter says, and strikes it off. One that was not written down comes again by itself.
    async fn take(&self, letter: Letter) {
        let written = match letter.message {
            Ok(message) => self.heed(message).await,
            Err(error) => {
                tracing::warn!(%error, "a message of the cloud is dropped");
                Ok(Reply::Noted)
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "what the cloud has told was not written down: it tells it again");
            return;
        }
        if let Err(error) = self.cloud.received(&letter.receipt).await {
            tracing::debug!(%error, "a message was not struck off: it comes again");
        }
    }

    async fn heed(&self, message: Message) -> Result<Reply, RunError> {
        let event = match message {
            Message::Hooked(call) => {
                self.look_soon();
                Event::Fleet(FleetEvent::Hooked(call))
            }
            Message::Interrupted { instance, said_at, notice } => {
                // Its clock is that of the world, ours only goes forward.
                let age = Duration::from_millis(trust::now().as_millis())
                    .saturating_sub(Duration::from_secs(said_at.try_into().unwrap_or_default()));
                let at: Timestamp = self.clock.now() + notice.saturating_sub(age);
                Event::Fleet(FleetEvent::Noticed {
                    node: instance,
                    notice: Notice::Interrupted { at },
                })
            }
            Message::AtRisk { instance } => {
                Event::Fleet(FleetEvent::Noticed { node: instance, notice: Notice::AtRisk })
            }
            Message::Changed { pool } => {
                if self.published.read().cluster.pools().contains_key(&pool) {
                    self.look_soon();
                }
                return Ok(Reply::Noted);
            }
            Message::Other => return Ok(Reply::Noted),
        };
        self.door.ask(event).await
    }

    async fn perform(self: Arc<Self>, mut commands: watch::Receiver<Vec<Command>>) {
        loop {
            // The same list may wait still: what was withheld, or whose outcome was not written down.
            tokio::select! {
                changed = commands.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY) => {}
            }
            let wanted = commands.borrow_and_update().clone();
            let is_withheld = !self.published.read().alarms.is_empty();
            for command in wanted {
                let key = command.key();
                let may = !(is_withheld && command.is_weighty());
                let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
                if may && asking.insert(key.clone()) {
                    let this = Arc::clone(&self);
                    tokio::spawn(async move { this.ask(command, key).await });
                }
            }
        }
    }

    async fn ask(&self, command: Command, key: Key) {
        match command {
            Command::Bake { bake, ask } => self.ask_about_bake(bake, *ask).await,
            Command::Look { recipe, base } => self.look_at_recipe(recipe, base).await,
            Command::Remove { id, is_image } => self.remove(id, is_image).await,
            command @ Command::Balance { .. } => return self.balance(command, &key).await,
            of_groups => return self.ask_groups(of_groups, key).await,
        }
        self.asked(&key);
    }

    /// What was asked may be asked again.
    fn asked(&self, key: &Key) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    async fn ask_groups(&self, command: Command, key: Key) {
        let is_visible = command.shows();
        let outcome = match self.send(command).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(%error, hint = error.hint(), "a request to the cloud failed; it is made again");
                Outcome::Failed { why: error.to_string() }
            }
        };
        let done =
            self.door.ask(Event::Fleet(FleetEvent::Performed { key: key.clone(), outcome })).await;
        self.asked(&key);
        if let Err(error) = done {
            tracing::warn!(%error, "what the cloud has done was not written down: it is asked again");
        }
        if is_visible {
            self.look_soon();
        }
    }

    async fn send(&self, command: Command) -> Result<Outcome, CloudError> {
        let told = |told: Told| match told {
            Told::Heard => Outcome::Done,
            Told::NothingWaits => Outcome::NothingWaits,
        };
        let done = |()| Outcome::Done;
        match command {
            Command::AnswerHook { hook, pool, token, answer } => {
                self.cloud.answer(&pool, (&hook, token.as_deref()), answer).await.map(told)
            }
            Command::Beat { hook, pool, token } => {
                self.cloud.beat(&pool, (&hook, token.as_deref())).await.map(told)
            }
            Command::SetHook { pool, hook } => self.cloud.set_hook(&pool, &hook).await.map(done),
            Command::SetDesired { pool, from, to } => {
                self.cloud.grow(&pool, from, to).await.map(done)
            }
            Command::MakeTemplate { token, from, ami, .. } => {
                self.cloud.make_template(&token, &from, &ami).await.map(Outcome::Made)
            }
            Command::SetTemplate { pool, from, to } => {
                self.cloud.set_template(&pool, &from, &to).await.map(done)
            }
            Command::SetMax { pool, to } => self.cloud.set_max(&pool, to).await.map(done),
            Command::SetProcess { pool, process, suspended } => {
                self.cloud.set_process(&pool, process, suspended).await.map(done)
            }
            Command::Terminate { pool, instance, keep } => {
                self.cloud.terminate(&pool, &instance, keep).await.map(done)
            }
            Command::CancelRefresh { pool } => {
                let is_over = self.cloud.cancel_refresh(&pool).await?;
                Ok(if is_over { Outcome::Done } else { Outcome::UnderWay })
            }
            Command::ReplaceRoot { instance, token, ami } => {
                let asked = self.cloud.replace_root(&instance, &token, &ami).await;
                asked.map(|now| root(&instance, now))
            }
            // Asked elsewhere.
            Command::Bake { .. }
            | Command::Look { .. }
            | Command::Remove { .. }
            | Command::Balance { .. } => Ok(Outcome::NothingWaits),
        }
    }
}

/// What a machine's root volume is by now.
fn root(instance: &NodeId, now: Rooted) -> Outcome {
    match now {
        Rooted::Replaced => Outcome::Done,
        Rooted::UnderWay => Outcome::UnderWay,
        Rooted::InVain { why } => {
            tracing::warn!(%instance, why, "its root volume can not be replaced; its group puts another machine in its place");
            Outcome::InVain { why }
        }
    }
}
