//! Secrets: asks for those that tasks of this node are to have, and puts them where containers find them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_core::event::Event;
use model::id::TaskId;
use model::time::Timestamp;
use proto::wire;
use proto::wire::dispatcher_client::DispatcherClient;
use tonic::transport::Channel;
use zeroize::Zeroizing;

use super::{Agent, Input};
use crate::secrets::{Values, Vault};

/// A coordinator that does not answer by then is asked again.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tasks whose secrets are being asked for, and those that wait before the next try.
#[derive(Debug, Default)]
pub(super) struct Asking {
    tasks: BTreeMap<TaskId, Option<Timestamp>>,
    /// Tasks of which it was said that they wait for the coordinator.
    mourned: BTreeSet<TaskId>,
    /// Which versions were last marked as there.
    marked: BTreeMap<TaskId, agent_core::secret::Versions>,
}

impl Agent {
    pub(super) fn vault(&self) -> Option<Vault> {
        let cluster = self.cluster.as_ref()?;
        Some(Vault::new(&self.config.secrets, cluster, &self.node))
    }

    /// What an agent of before has put there is there still, unless the machine was started anew.
    pub(super) fn find_secrets(&mut self) -> Vec<Event> {
        let Some(vault) = self.vault() else { return Vec::new() };
        vault.sweep(&self.workload.secret_holders().collect());
        let mut events = Vec::new();
        for (task, _) in self.workload.secrets_wanted() {
            let there = vault.held(task);
            if !there.is_empty() {
                self.asking_secrets.marked.insert(task.clone(), there.clone());
                events.push(Event::Secrets { task: task.clone(), there: Ok(there) });
            }
        }
        events
    }

    /// Asks for what is wanted and not there, and clears away what nobody needs any more.
    pub(super) fn tend_secrets(&mut self) {
        let Some(vault) = self.vault() else { return };
        self.mark_secrets(&vault);
        let now = self.clock.now();
        let holders: BTreeSet<TaskId> = self.workload.secret_holders().cloned().collect();
        if self.asking_secrets.marked.keys().any(|task| !holders.contains(task)) {
            vault.sweep(&holders.iter().collect());
        }
        self.asking_secrets.marked.retain(|task, _| holders.contains(task));
        self.asking_secrets.tasks.retain(|task, _| holders.contains(task));
        let Some(client) = self.link.as_ref().map(|link| link.client.clone()) else {
            return self.mourn();
        };
        self.asking_secrets.mourned.clear();
        let is_there = |task: &TaskId, wanted| self.asking_secrets.marked.get(task) == Some(wanted);
        let may_ask = |task: &TaskId| match self.asking_secrets.tasks.get(task) {
            None => true,
            Some(None) => false,
            Some(Some(not_before)) => *not_before <= now,
        };
        let wanted = self.workload.secrets_wanted();
        let lacking = wanted.filter(|(task, wanted)| !is_there(task, *wanted) && may_ask(task));
        let lacking: Vec<TaskId> = lacking.map(|(task, _)| task.clone()).collect();
        for task in lacking {
            self.asking_secrets.tasks.insert(task.clone(), None);
            let wanted =
                wire::SecretsWanted { node: self.node.to_string(), task: task.to_string() };
            let (client, inputs) = (client.clone(), self.inputs.clone());
            tokio::spawn(async move {
                let given = ask(client, wanted).await;
                // The loop is gone only when the agent is.
                drop(inputs.send(Input::Secrets { task, given }).await);
            });
        }
    }

    /// Says once of each task that lacks secrets what it waits for, while nobody can be told but who reads the log.
    fn mourn(&mut self) {
        for (task, _) in self.workload.secrets_wanted() {
            let is_there = self.asking_secrets.marked.contains_key(task);
            if !is_there && self.asking_secrets.mourned.insert(task.clone()) {
                tracing::warn!(%task, "waits for its secrets: they are not in memory any more, and the coordinator can not be asked");
            }
        }
    }

    /// Puts what was given where containers find it.
    pub(super) fn take_secrets(
        &mut self,
        task: TaskId,
        given: Result<Values, String>,
    ) -> Option<Event> {
        let vault = self.vault()?;
        let assignment = self.workload.assignments().find(|one| one.task == task)?;
        let kept = given.and_then(|values| {
            let written = vault.write(assignment, &values).map_err(|error| format!("{error:#}"));
            written.map(|()| {
                values.iter().map(|(name, (number, _))| (name.clone(), *number)).collect()
            })
        });
        match &kept {
            Ok(_) => self.asking_secrets.tasks.remove(&task),
            Err(why) => {
                tracing::warn!(%task, why, "the secrets of a task are not there yet");
                self.asking_secrets.tasks.insert(task.clone(), Some(self.clock.now() + PATIENCE))
            }
        };
        Some(Event::Secrets { task, there: kept })
    }

    /// What is there, and known to whoever runs, is marked: an agent that starts anew does not ask for it again.
    fn mark_secrets(&mut self, vault: &Vault) {
        let mut news = Vec::new();
        for (task, _) in self.workload.secrets_wanted() {
            let told = self.workload.secrets_told(task);
            if let Some(told) =
                told.filter(|told| self.asking_secrets.marked.get(task) != Some(*told))
            {
                news.push((task.clone(), told.clone()));
            }
        }
        for (task, told) in news {
            match vault.mark(&task, &told) {
                Ok(()) => drop(self.asking_secrets.marked.insert(task, told)),
                Err(error) => {
                    tracing::warn!(%task, %error, "which secrets are there is not remembered: they are asked for again");
                }
            }
        }
    }
}

async fn ask(
    mut client: DispatcherClient<Channel>,
    wanted: wire::SecretsWanted,
) -> Result<Values, String> {
    let asked = tokio::time::timeout(TIMEOUT, client.secrets(wanted)).await;
    let given = asked.map_err(|_| "the coordinator does not answer".to_owned())?;
    let given = given.map_err(|status| status.message().to_owned())?.into_inner();
    let mut values = Values::new();
    for mut secret in given.secrets {
        let value =
            secret.value.take().map(|value| Zeroizing::new(value.value)).unwrap_or_default();
        let name = secret.name.parse();
        let name = name.map_err(|_| "the coordinator gives something without a name".to_owned())?;
        values.insert(name, (secret.version, value));
    }
    Ok(values)
}
