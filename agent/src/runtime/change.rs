//! Stop, kill, thaw, remove: what is done to a container that is there. Each first makes sure that it is ours.

use std::time::Duration;

use agent_core::action::{Fault, FaultKind, Outcome};
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, StopContainerOptions,
};

use super::ask::{Trouble, ask, fault};
use super::{Docker, container, label, limit};

impl Docker {
    pub(super) async fn stop(&self, id: &str, grace: Duration) -> Outcome {
        if let Err(outcome) = self.own(id).await {
            return *outcome;
        }
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), signal: None };
        let limit = grace.saturating_add(limit::STOP_SLACK);
        let done = ask(limit, self.client().stop_container(id, Some(options))).await;
        self.after(id, done, "stop the container").await
    }

    pub(super) async fn kill(&self, id: &str) -> Outcome {
        if let Err(outcome) = self.own(id).await {
            return *outcome;
        }
        let options = KillContainerOptions { signal: "SIGKILL".into() };
        let done = ask(limit::SIGNAL, self.client().kill_container(id, Some(options))).await;
        // 409: it does not run, which is what was wanted.
        let done =
            done.or_else(|trouble| if trouble.is_conflict() { Ok(()) } else { Err(trouble) });
        self.after(id, done, "kill the container").await
    }

    /// Sends a signal. One that has ended meanwhile is gone, which is its own event.
    pub(super) async fn signal(&self, id: &str, signal: &str) -> Outcome {
        if let Err(outcome) = self.own(id).await {
            return *outcome;
        }
        let options = KillContainerOptions { signal: signal.to_owned() };
        let done = ask(limit::SIGNAL, self.client().kill_container(id, Some(options))).await;
        let done =
            done.or_else(|trouble| if trouble.is_conflict() { Ok(()) } else { Err(trouble) });
        match done {
            Ok(()) => Outcome::Done,
            Err(trouble) if trouble.is_missing() => Outcome::Gone,
            Err(trouble) => Outcome::Failed(trouble.into_fault("send the container a signal")),
        }
    }

    pub(super) async fn unpause(&self, id: &str) -> Outcome {
        if let Err(outcome) = self.own(id).await {
            return *outcome;
        }
        let done = ask(limit::SIGNAL, self.client().unpause_container(id)).await;
        let is_thawed = |trouble: &Trouble| trouble.mentions("is not paused");
        let done = done.or_else(|trouble| if is_thawed(&trouble) { Ok(()) } else { Err(trouble) });
        self.after(id, done, "unpause the container").await
    }

    pub(super) async fn remove(&self, id: &str) -> Outcome {
        if let Err(outcome) = self.own(id).await {
            return *outcome;
        }
        let options = RemoveContainerOptions { v: true, force: false, link: false };
        match ask(limit::REMOVE, self.client().remove_container(id, Some(options))).await {
            Ok(()) => Outcome::Done,
            Err(trouble) if trouble.is_missing() => Outcome::Gone,
            Err(trouble) if trouble.is_conflict() && trouble.mentions("already in progress") => {
                Outcome::Done
            }
            Err(trouble) => Outcome::Failed(trouble.into_fault("remove the container")),
        }
    }

    /// Looks at the container and refuses to go on when it is gone or not ours.
    pub(super) async fn own(&self, id: &str) -> Result<ContainerInspectResponse, Box<Outcome>> {
        let inspect = self.inspect(id).await.map_err(|trouble| Box::new(not_there(trouble)))?;
        let labels = inspect.config.as_ref().and_then(|config| config.labels.as_ref());
        let cluster = labels.and_then(|labels| labels.get(label::CLUSTER));
        if cluster.map(String::as_str) != Some(self.settings().cluster.as_str()) {
            return Err(Box::new(Outcome::Failed(foreign(id))));
        }
        Ok(inspect)
    }

    /// Says what the container is now that something was done to it.
    async fn after(&self, id: &str, done: Result<(), Trouble>, doing: &str) -> Outcome {
        match done {
            Ok(()) => self.look(id).await,
            Err(trouble) if trouble.is_missing() => Outcome::Gone,
            Err(trouble) => Outcome::Failed(trouble.into_fault(doing)),
        }
    }

    pub(super) async fn look(&self, id: &str) -> Outcome {
        match self.inspect(id).await {
            Ok(inspect) => now(inspect),
            Err(trouble) => not_there(trouble),
        }
    }
}

/// The container as it is.
pub(super) fn now(inspect: ContainerInspectResponse) -> Outcome {
    match container::read(inspect) {
        Ok(container) => Outcome::Now(Box::new(container)),
        Err(why) => Outcome::Failed(fault(
            FaultKind::Refused,
            format!("the container is not one of ours: {why}"),
        )),
    }
}

fn not_there(trouble: Trouble) -> Outcome {
    if trouble.is_missing() {
        return Outcome::Gone;
    }
    Outcome::Failed(trouble.into_fault("inspect the container"))
}

fn foreign(id: &str) -> Fault {
    let message = format!("container {id} does not carry the label of our cluster: left alone");
    fault(FaultKind::Refused, message)
}
