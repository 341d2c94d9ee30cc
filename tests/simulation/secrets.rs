//! Secrets of the simulated world: operators set them, agents ask for them and keep them in the memory of their machines.

use std::sync::Arc;

use model::id::{NodeId, SecretName, TaskId};
use model::secret::{Rotation, Sealed, SecretFile, SecretVersion};
use model::spec::ServiceSpec;
use model::task::DesiredState;

use crate::agent_core::event::Event as AgentEvent;
use crate::agent_core::secret::Versions;
use crate::coordinator_core::event::{Event, SecretEvent};
use crate::coordinator_core::view::secret::secrets_for;

use super::World;

/// What `shop/web` and `mail/front` need.
const SECRET: &str = "key";

/// The same service with what it needs of secrets. Some generations are restarted for a new value, some are told, and some keep
/// what they have.
pub(crate) fn with_secret(mut spec: ServiceSpec, image: u32) -> ServiceSpec {
    let is_needy = matches!(spec.id.name.as_str(), "front" | "web");
    if let Some(first) = spec.task.containers.first_mut().filter(|_| is_needy) {
        let (secret, target) =
            (SECRET.parse().expect("a word is a name"), format!("/run/secrets/{SECRET}"));
        first.secrets.files = vec![SecretFile { secret, target, mode: 0o400, owner: (0, 0) }];
        spec.task.rotation = match image % 3 {
            1 => Rotation::Restart,
            2 => Rotation::Signal("SIGHUP".to_owned()),
            _ => Rotation::None,
        };
    }
    spec
}

/// In a hundred deployments so many come with a new value.
const NEW_VALUES: u32 = 40;
/// And before so many somebody wants it gone.
const REMOVALS: u32 = 8;

impl World {
    /// What a service names has to be there, also in a store that was made anew. Now and then it gets another value.
    pub(crate) fn have_secret(&mut self) {
        let name: SecretName = SECRET.parse().expect("a word is a name");
        let known = self.coordinator.cluster.secrets().get(&name);
        let newest = known.map_or(0, |known| known.newest());
        if newest > 0 && self.secret_chance.percent(REMOVALS) {
            // Mostly somebody needs it, and then both are refused.
            let remove = Event::Secret(SecretEvent::Remove(name.clone()));
            self.coordinator.inbox.push(remove);
            return self.set_secret(name, 1);
        }
        if newest == 0 || self.secret_chance.percent(NEW_VALUES) {
            self.set_secret(name, newest + 1);
        }
    }

    fn set_secret(&mut self, name: SecretName, number: u64) {
        let version = SecretVersion {
            number,
            set_at: self.now,
            set_by: "ada".to_owned(),
            digest: format!("of {number} at {}", self.now),
            sealed: Sealed::default(),
            origin: None,
        };
        self.coordinator.inbox.push(Event::Secret(SecretEvent::Set { name, version }));
    }

    /// An agent that starts finds what is in the memory of its machine.
    pub(crate) fn find_secrets(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get(node) else { return };
        let found: Vec<(TaskId, Versions)> =
            machine.memory.iter().map(|(task, there)| (task.clone(), there.clone())).collect();
        for (task, there) in found {
            self.agent_steps(node, &[AgentEvent::Secrets { task, there: Ok(there) }]);
        }
    }

    /// The agent asks for what its tasks are to have and has not, where it has a session. Now and then somebody who has taken
    /// over the machine asks for everything.
    pub(crate) fn tend_secrets(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        let Some(agent) = machine.agent.as_ref() else { return };
        let holders: Vec<TaskId> = agent.workload.secret_holders().cloned().collect();
        machine.memory.retain(|task, _| holders.contains(task));
        let is_linked = agent
            .session
            .is_some_and(|session| self.coordinator.is_up && self.coordinator.holds(node, session));
        if !is_linked || machine.cut_until > self.now {
            return;
        }
        let memory = &machine.memory;
        let lacking = agent
            .workload
            .secrets_wanted()
            .filter(|(task, wanted)| memory.get(*task) != Some(*wanted));
        let lacking: Vec<TaskId> = lacking.map(|(task, _)| task.clone()).collect();
        if self.secret_chance.percent(5) {
            let all: Vec<TaskId> =
                self.coordinator.cluster.tasks().values().map(|task| task.id.clone()).collect();
            all.iter().for_each(|task| drop(self.given(node, task)));
        }
        for task in lacking {
            let Some(there) = self.given(node, &task) else { continue };
            let Some(machine) = self.machines.get_mut(node) else { return };
            machine.memory.insert(task.clone(), there.clone());
            self.agent_steps(node, &[AgentEvent::Secrets { task, there: Ok(there) }]);
        }
    }

    /// What the coordinator gives a node for a task, which is nothing that is not the node's.
    fn given(&mut self, node: &NodeId, id: &TaskId) -> Option<Versions> {
        let cluster = &self.coordinator.cluster;
        let given = secrets_for(cluster, node, id)?;
        let given: Versions =
            given.iter().map(|(secret, version)| (secret.name.clone(), version.number)).collect();
        let runs_here = cluster.tasks().get(id).is_some_and(|task: &Arc<model::task::Task>| {
            task.node.as_ref() == Some(node)
                && task.desired == DesiredState::Run
                && !task.state.is_final()
        });
        self.truth.expect(runs_here, || {
            format!("{node} is given the secrets of {id}, which does not run there")
        });
        Some(given)
    }

    /// What runs has the versions that it is to have.
    pub(crate) fn outdated_secret(&self) -> Option<String> {
        let tasks = self.coordinator.cluster.tasks().values();
        let live = tasks.filter(|task| task.is_wanted() && !task.state.is_final());
        for task in live.filter(|task| !task.secrets.is_empty()) {
            let machine = task.node.as_ref().and_then(|node| self.machines.get(node))?;
            if machine.memory.get(&task.id) != Some(&task.secrets) {
                let there = machine.memory.get(&task.id);
                return Some(format!(
                    "{} is to have {:?} and has {there:?}",
                    task.id, task.secrets
                ));
            }
        }
        None
    }
}
