//! Machines of bakes: the same session as of nodes, and nothing of what nodes do. Such a machine is never in the cluster, so
//! that nothing can be placed on it.

use std::sync::Arc;

use coordinator_core::event::{BakeEvent, Event};
use coordinator_core::view::bake::{Part, Told, manifest, work_of};
use model::bake::Work;
use model::id::NodeId;
use proto::convert::{facts_from_wire, image_to_wire, script_to_wire, step_to_wire};
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::bake_work::Work as Wire;
use proto::wire::coordinator_message::Message as Down;
use tonic::{Status, Streaming};

use crate::Shared;
use crate::api::dispatcher::HEARTBEAT;
use crate::api::{accepted, invalid};
use crate::sessions::Agent;

/// The session of one such machine.
pub(super) struct Builder {
    pub(super) shared: Arc<Shared>,
    pub(super) machine: NodeId,
    pub(super) agent: Arc<Agent>,
}

impl Builder {
    /// Whether a machine is one of a bake.
    pub(super) fn is_one(shared: &Shared, machine: &NodeId) -> bool {
        shared.published.read().cluster.bake_of(machine).is_some()
    }

    pub(super) async fn serve(self, mut messages: Streaming<wire::AgentMessage>) {
        tracing::info!(machine = %self.machine, "the agent of a bake is connected");
        let ended = self.converse(&mut messages).await;
        let why = ended.err().map(|status| status.message().to_owned()).unwrap_or_default();
        tracing::info!(machine = %self.machine, why, "the agent of a bake is gone");
        self.shared.sessions.leave(&self.machine, self.agent.number);
    }

    async fn converse(&self, messages: &mut Streaming<wire::AgentMessage>) -> Result<(), Status> {
        let welcome = wire::Welcome {
            cluster: self.shared.identity.cluster.to_string(),
            heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX),
            now_ms: trust::now().as_millis(),
        };
        self.send(Down::Welcome(welcome)).await?;
        self.bring(BakeEvent::Joined(self.machine.clone())).await?;
        self.agent.stale.notify_one();
        loop {
            tokio::select! {
                () = self.agent.closed.notified() => return Err(Status::aborted("closed by the coordinator")),
                () = self.agent.stale.notified() => self.tell().await?,
                message = messages.message() => match message? {
                    Some(message) => self.hear(message.message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn bring(&self, event: BakeEvent) -> Result<(), Status> {
        accepted(self.shared.door.ask(Event::Bake(event)).await).map(drop)
    }

    /// Tells the machine what to do. Told twice it does it once.
    async fn tell(&self) -> Result<(), Status> {
        let told = work_of(&self.shared.published.read().cluster, &self.machine);
        let Some(told) = told else { return Ok(()) };
        let log_bytes = self.shared.bake_logs.len(&told.bake.id, &self.machine);
        self.send(Down::BakeWork(work_to_wire(&told, log_bytes))).await
    }

    async fn send(&self, message: Down) -> Result<(), Status> {
        let message = wire::CoordinatorMessage { message: Some(message) };
        let sent = self.agent.outbox.send_timeout(message, HEARTBEAT).await;
        sent.map_err(|_| Status::resource_exhausted("the agent does not read what it is sent"))
    }

    async fn hear(&self, message: Option<Up>) -> Result<(), Status> {
        match message {
            Some(Up::BakeReport(report)) => self.report(&report).await,
            Some(Up::BakeLog(log)) => self.keep(log).await,
            // A builder is no node, whatever else its agent says.
            Some(
                Up::Hello(_)
                | Up::Report(_)
                | Up::Heartbeat(_)
                | Up::Resolved(_)
                | Up::Images(_)
                | Up::Foreseen(_),
            ) => Ok(()),
            None => Err(Status::invalid_argument("a message that this version does not know")),
        }
    }

    async fn report(&self, report: &wire::BakeReport) -> Result<(), Status> {
        use wire::bake_report::Result as Came;
        let result = match &report.result {
            Some(Came::Done(facts)) => {
                Ok(Arc::new(facts_from_wire(Some(facts)).map_err(|error| invalid(&error))?))
            }
            Some(Came::Failed(why)) => Err(why.chars().take(1_000).collect()),
            None => return Err(Status::invalid_argument("a report without a result")),
        };
        let (machine, number) = (self.machine.clone(), report.number);
        self.bring(BakeEvent::Worked { machine, number, result }).await
    }

    async fn keep(&self, log: wire::BakeLog) -> Result<(), Status> {
        let bake = self.shared.published.read().cluster.bake_of(&self.machine).cloned();
        let Some(bake) = bake else { return Ok(()) };
        let (logs, machine) = (self.shared.bake_logs.clone(), self.machine.clone());
        let written = tokio::task::spawn_blocking(move || {
            logs.write((&bake.id, &machine), log.offset, &log.data)
        });
        let written = written.await.map_err(|_| Status::aborted("interrupted"))?;
        if let Err(error) = written {
            tracing::warn!(%error, "what a machine of a bake has written is lost");
        }
        Ok(())
    }
}

fn work_to_wire(told: &Told, log_bytes: u64) -> wire::BakeWork {
    let bake = &told.bake;
    let images = || bake.images.iter().map(|chosen| image_to_wire(&chosen.image)).collect();
    let (work, retries) = match told.part {
        Part::Step(step) => match bake.work(step) {
            Work::Step(step) => (Wire::Step(step_to_wire(step)), step.retries),
            Work::Images => (Wire::Images(wire::BakeImageList { images: images() }), 0),
            Work::Scrub => (Wire::Scrub(wire::BakeScrub { manifest: manifest(bake) }), 0),
        },
        Part::Trial => {
            let scripts = bake.recipe.trial.scripts.iter().map(script_to_wire).collect();
            (Wire::Try(wire::BakeTry { images: images(), scripts }), 0)
        }
    };
    wire::BakeWork {
        bake: bake.id.to_string(),
        number: told.number,
        timeout_ms: u64::try_from(told.timeout.as_millis()).unwrap_or(u64::MAX),
        retries,
        work: Some(work),
        log_bytes,
    }
}
