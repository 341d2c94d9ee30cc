//! Secrets of tasks: which versions are there, who waits for one, and who is to be told of a new one. Values are never here.

use std::collections::BTreeMap;

use model::id::{SecretName, TaskId};
use model::secret::Rotation;
use model::task::DesiredState;

use crate::unit::{Knows, Unit};
use crate::workload::Workload;

/// Which version of each secret.
pub type Versions = BTreeMap<SecretName, u64>;

/// Takes in what is there for a task now, or why it is not.
pub(crate) fn hear(workload: &mut Workload, task: &TaskId, there: &Result<Versions, String>) {
    let Some(unit) = workload.units.get_mut(task) else { return };
    match there {
        Ok(there) => {
            let before = std::mem::replace(&mut unit.secrets, there.clone());
            tell(unit, &before);
            if unit.waits_for_secret {
                (unit.waits_for_secret, unit.secret_trouble) = (false, String::new());
                unit.note.clear();
            }
        }
        Err(why) => unit.secret_trouble.clone_from(why),
    }
}

/// Running containers whose files have just been exchanged are to get a signal, if their spec says so.
fn tell(unit: &mut Unit, before: &Versions) {
    if !matches!(unit.assignment.spec.rotation, Rotation::Signal(_)) {
        return;
    }
    let is_news = |name: &SecretName| {
        before.get(name).is_some_and(|before| unit.secrets.get(name) != Some(before))
    };
    let specs = unit.assignment.spec.containers.iter();
    let told: Vec<bool> = specs.map(|spec| spec.secrets.names().into_iter().any(is_news)).collect();
    for (part, is_told) in unit.parts.iter_mut().zip(told) {
        if is_told && part.is_alive() {
            part.knows = Knows::Outdated;
        }
    }
}

/// The secret that a container waits for. Which version is there does not matter: a newer one is exchanged for it.
pub(crate) fn missing(unit: &Unit, index: usize) -> Option<&SecretName> {
    let spec = unit.assignment.spec.containers.get(index)?;
    spec.secrets.names().into_iter().find(|name| !unit.secrets.contains_key(*name))
}

/// Says what a container waits for.
pub(crate) fn wait(unit: &mut Unit, index: usize) {
    let Some(name) = missing(unit, index) else { return };
    let mut note = format!("waits for secret {name}");
    if !unit.secret_trouble.is_empty() {
        note.push_str(": ");
        note.push_str(&unit.secret_trouble);
    }
    unit.waits_for_secret = true;
    unit.note = note;
}

impl Workload {
    /// The tasks that are to run with secrets, and which versions each is to have.
    pub fn secrets_wanted(&self) -> impl Iterator<Item = (&TaskId, &Versions)> {
        let runs = |unit: &&Unit| {
            unit.assignment.desired == DesiredState::Run
                && !unit.state.is_final()
                && !unit.assignment.secrets.is_empty()
        };
        self.units
            .values()
            .filter(runs)
            .map(|unit| (&unit.assignment.task, &unit.assignment.secrets))
    }

    /// The tasks that may still have something of secrets on this node.
    pub fn secret_holders(&self) -> impl Iterator<Item = &TaskId> {
        let holds = |unit: &&Unit| {
            let is_over = unit.state.is_final() && !unit.is_alive() && unit.doing.is_none();
            !unit.assignment.secrets.is_empty() && !is_over
        };
        self.units.values().filter(holds).map(|unit| &unit.assignment.task)
    }

    /// Which versions are there for a task, once each of its containers that is to be told of them was.
    #[must_use]
    pub fn secrets_told(&self, task: &TaskId) -> Option<&Versions> {
        let unit = self.units.get(task)?;
        let waits = unit.parts.iter().any(|part| part.knows == Knows::Outdated);
        (!waits && !unit.secrets.is_empty()).then_some(&unit.secrets)
    }
}
