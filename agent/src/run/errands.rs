//! What the loop has others do: each errand runs by itself, has a deadline of its own, and comes back as an input.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agent_core::action::{Action, Outcome};
use agent_core::event::OrderKind;
use agent_core::{Order, garbage};
use model::id::{ProjectName, TaskId};
use model::time::Timestamp;
use proto::convert::image_from_wire;
use proto::wire;
use tokio::sync::OwnedSemaphorePermit;

use super::{Agent, Input};
use crate::runtime::{Docker, StoredImage};
use crate::{relay, report};

/// Who was told to stop makes way for the next after so long, and takes the rest of its grace beside it. So those that end
/// at once do so a few at a time, which is quickest for the engine, and those that do not hold nobody up.
pub(super) const STOP_TURN: Duration = Duration::from_secs(1);

impl Agent {
    pub(super) fn leave_projects(&mut self) {
        let here = self.workload.assignments().map(|assignment| assignment.project.clone());
        let left = self.leaving.update(here.collect());
        self.remove_networks(left);
    }

    pub(super) fn remove_networks(&self, projects: Vec<ProjectName>) {
        let Some(docker) = self.docker.clone() else { return };
        for project in projects {
            let (docker, inputs) = (docker.clone(), self.inputs.clone());
            tokio::spawn(async move {
                match docker.remove_project_networks(&project).await {
                    // The loop is gone only when the agent is.
                    Ok(true) => drop(inputs.send(Input::Left(project)).await),
                    Ok(false) => {}
                    Err(fault) => {
                        tracing::warn!(%project, why = fault.message, "the networks of a project that has left are still there");
                    }
                }
            });
        }
    }

    /// Looks for networks of projects that left while nobody was here to see it.
    pub(super) fn find_projects(&self) {
        let Some(docker) = self.docker.clone() else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            match docker.projects().await {
                Ok(projects) => drop(inputs.send(Input::Projects(projects)).await),
                Err(fault) => tracing::warn!(why = fault.message, "networks were not listed"),
            }
        });
    }

    /// Lists the images: to say which there are, and to make room when the engine's disk is too full.
    pub(super) fn list_images(&self) {
        let Some(docker) = self.docker.clone() else { return };
        let (inputs, asked_at) = (self.inputs.clone(), self.clock.now());
        tokio::spawn(async move {
            match docker.shelf().await {
                Ok(shelf) => drop(inputs.send(Input::Shelf { asked_at, shelf }).await),
                Err(fault) => tracing::warn!(why = fault.message, "images were not listed"),
            }
        });
    }

    /// Removes a few images that nobody needs; the next sweep looks whether that was enough.
    pub(super) fn remove_images(&mut self, asked_at: Timestamp, images: Vec<StoredImage>) {
        let percent = self.host.disk_percent().unwrap_or_default();
        let Some(docker) = self.docker.clone() else { return };
        if percent < self.config.garbage.disk_percent {
            return;
        }
        let images = self.housekeeping.judge(asked_at, images);
        let (limits, now) = (self.config.garbage, self.clock.now());
        let going = garbage::choose(&self.workload, &images, limits, now);
        for id in going.into_iter().map(str::to_owned) {
            let docker = docker.clone();
            tokio::spawn(async move {
                match docker.remove_image(&id).await {
                    Ok(()) => tracing::info!(id, "an image that nobody needs was removed"),
                    Err(fault) => tracing::warn!(id, why = fault.message, "an image stays"),
                }
            });
        }
    }

    pub(super) fn carry_out(&self, order: Order) {
        let Some(docker) = self.docker.clone() else {
            return self.answer_unknown(order);
        };
        let limit = match order.action {
            Action::Launch(_) => Some(Arc::clone(&self.launches)),
            // What mostly waits does not hold up what is done at once.
            Action::Stop { .. } => Some(Arc::clone(&self.stops)),
            Action::Probe { .. } => Some(Arc::clone(&self.probes)),
            Action::Kill { .. }
            | Action::Signal { .. }
            | Action::Unpause { .. }
            | Action::Remove { .. } => Some(Arc::clone(&self.others)),
            // Pulls wait for their turn among themselves.
            Action::Pull { .. } => None,
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let permit = match limit {
                Some(limit) => limit.acquire_owned().await.ok(),
                None => None,
            };
            let outcome = in_turn(&docker, &order.action, permit).await;
            let Order { task, container, action } = order;
            let done = Input::Done { task, container, kind: kind(&action), outcome };
            // The loop is gone only when the agent is.
            drop(inputs.send(done).await);
        });
    }

    /// The engine went away between the decision and the deed.
    pub(super) fn answer_unknown(&self, order: Order) {
        let kind = kind(&order.action);
        let message = "the engine does not answer".to_owned();
        let fault =
            agent_core::action::Fault { kind: agent_core::action::FaultKind::Unknown, message };
        let (task, container) = (order.task, order.container);
        let done = Input::Done { task, container, kind, outcome: Outcome::Failed(fault) };
        let inputs = self.inputs.clone();
        tokio::spawn(async move { drop(inputs.send(done).await) });
    }

    /// Lists everything, unless that is being done: then once more afterwards.
    pub(super) fn list(&mut self) {
        let Some(docker) = self.docker.clone() else { return };
        if std::mem::replace(&mut self.is_listing, true) {
            self.list_again = true;
            return;
        }
        let (inputs, asked_at) = (self.inputs.clone(), self.clock.now());
        tokio::spawn(async move {
            let containers = docker.list().await.map_err(|fault| fault.message);
            drop(inputs.send(Input::Listed { asked_at, containers }).await);
        });
    }

    pub(super) fn look(&self, id: String) {
        let Some(docker) = self.docker.clone() else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let found = docker.glance(&id).await.map(Box::new);
            drop(inputs.send(Input::Looked(found)).await);
        });
    }

    /// Fetches images for tasks to come, those whose time it is.
    pub(super) fn fetch(&mut self, fetch: &wire::Fetch) {
        let Some(docker) = self.docker.clone() else { return };
        for image in &fetch.images {
            let image = match image_from_wire(image) {
                Ok(image) => image,
                Err(error) => {
                    tracing::warn!(%error, "an image that is to be fetched is not named well");
                    continue;
                }
            };
            if !self.ahead.begin(&image, self.clock.now()) {
                continue;
            }
            let (docker, inputs) = (docker.clone(), self.inputs.clone());
            tokio::spawn(async move {
                let outcome = docker.perform(&Action::Pull { image: image.clone() }).await;
                // The loop is gone only when the agent is.
                drop(inputs.send(Input::Fetched { image, outcome }).await);
            });
        }
    }

    pub(super) fn resolve(&self, ask: wire::Resolve) {
        let (inputs, docker) = (self.inputs.clone(), self.docker.clone());
        tokio::spawn(async move {
            let resolved = report::resolve(docker, ask).await;
            drop(inputs.send(Input::Resolved(resolved)).await);
        });
    }

    pub(super) fn open_relay(&self, ask: wire::OpenRelay) {
        let Some(link) = &self.link else { return };
        let (task, name) = match &ask.kind {
            Some(wire::open_relay::Kind::Logs(source)) => (&source.task, &source.container),
            Some(wire::open_relay::Kind::Exec(source)) => (&source.task, &source.container),
            None => return,
        };
        let name = Some(name.as_str()).filter(|name| !name.is_empty());
        let task: Option<TaskId> = task.parse().ok();
        let container =
            task.and_then(|task| self.workload.container(&task, name).map(str::to_owned));
        tokio::spawn(relay::serve(self.docker.clone(), link.client.clone(), ask, container));
    }
}

const fn kind(action: &Action) -> OrderKind {
    match action {
        Action::Probe { number, .. } => OrderKind::Probe { number: *number },
        Action::Pull { .. }
        | Action::Launch(_)
        | Action::Stop { .. }
        | Action::Kill { .. }
        | Action::Signal { .. }
        | Action::Unpause { .. }
        | Action::Remove { .. } => OrderKind::Change,
    }
}

/// Carries it out, and gives the turn away as soon as others may go on: a container that starts has yet to be looked at,
/// and one that takes long to stop mostly waits.
async fn in_turn(docker: &Docker, action: &Action, turn: Option<OwnedSemaphorePermit>) -> Outcome {
    match action {
        Action::Launch(launch) => {
            let launched = Box::pin(docker.launch(launch)).await;
            drop(turn);
            docker.look_at(launched).await
        }
        Action::Stop { .. } => {
            let mut stopping = pin!(docker.perform(action));
            tokio::select! {
                outcome = &mut stopping => return outcome,
                () = tokio::time::sleep(STOP_TURN) => drop(turn),
            }
            stopping.await
        }
        Action::Pull { .. }
        | Action::Probe { .. }
        | Action::Kill { .. }
        | Action::Signal { .. }
        | Action::Unpause { .. }
        | Action::Remove { .. } => docker.perform(action).await,
    }
}
