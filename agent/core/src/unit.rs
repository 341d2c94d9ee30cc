//! One task as the agent knows it: what is wanted, what was seen, and what is being done.

use std::time::Duration;

use model::id::ContainerName;
use model::spec::{ContainerSpec, DependencyCondition};
use model::task::{DesiredState, Exit, Health, TaskState};
use model::time::Timestamp;

use crate::action::Action;
use crate::assignment::Assignment;
use crate::event::Report;
use crate::observed::{Container, Status};
use crate::secret::Versions;
use crate::workload::SavedPart;

/// For so long an engine may take to carry out what an agent has asked that was killed since: two lists are made meanwhile.
pub(crate) const IN_FLIGHT: Duration = Duration::from_secs(30);

/// One task.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) assignment: Assignment,
    /// One for each container of the spec, in its order.
    pub(crate) parts: Vec<Part>,
    pub(crate) state: TaskState,
    /// The change that is being carried out; the next waits for its outcome.
    pub(crate) doing: Option<Action>,
    /// The newest assignments did not speak of it, though it lives.
    pub(crate) stray: Option<Stray>,
    /// It is over and its containers are to be removed.
    pub(crate) is_leaving: bool,
    /// It was told to stop, and the brake has not looked at that yet: it waits for a good list.
    pub(crate) is_unjudged: bool,
    /// What the agent of before has ordered may still happen.
    pub(crate) doubt: Option<Doubt>,
    /// The brake holds its tombstone back until then.
    pub(crate) braked_until: Option<Timestamp>,
    /// When the lease ends that it holds.
    pub(crate) lease: Option<Timestamp>,
    /// The versions of its secrets that are where its containers find them.
    pub(crate) secrets: Versions,
    /// One of its containers is not made because a secret is missing: its note says so.
    pub(crate) waits_for_secret: bool,
    /// Why its secrets could not be had, when that was tried last.
    pub(crate) secret_trouble: String,
    pub(crate) note: String,
    pub(crate) reported: Option<Report>,
    /// What the journal says of it; none when it says nothing.
    pub(crate) journalled: Option<Entry>,
}

/// Whether a container may still come that nobody waits for: an agent that was killed, or has waited for an answer in vain,
/// leaves requests behind, which the engine carries out when it comes to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The engine has not been asked since.
    Unlisted,
    /// One was about to be made, and is not there: by then it would be.
    Until(Timestamp),
}

/// What the journal has to say of a task: whether it is wanted, whether it is over, how far each part has come, its lease, and
/// which secrets it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    desired: DesiredState,
    is_over: bool,
    parts: Vec<(u32, bool)>,
    lease: Option<Timestamp>,
    secrets: Versions,
}

/// A task that lives on though the coordinator does not speak of it any more: it forgot it, or its store is another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stray {
    pub(crate) since: Timestamp,
    /// The coordinator was asked, and does not know it.
    pub(crate) is_disowned: bool,
}

/// One container of a task, through all its attempts.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: ContainerName,
    /// The newest container that was made, or is about to be; 0 before the first.
    pub(crate) attempt: u32,
    /// The newest attempt was seen on the engine.
    pub(crate) is_confirmed: bool,
    pub(crate) seen: Option<Container>,
    /// Containers of earlier attempts that are still there.
    pub(crate) older: Vec<Container>,
    /// Restarts without a good long run in between.
    pub(crate) streak: u32,
    /// Faults of the same order in a row.
    pub(crate) faults: u32,
    pub(crate) not_before: Timestamp,
    /// The engine has not got the image: it is fetched before the next launch.
    pub(crate) needs_image: bool,
    /// Whether it knows of its secrets as they are.
    pub(crate) knows: Knows,
    /// The end of this attempt was dealt with: it is not started again.
    pub(crate) is_over: bool,
    pub(crate) probe: ProbeState,
    /// When the newest outcome came: an older list does not count against it.
    pub(crate) settled_at: Timestamp,
    /// When a glance came: that a list which was asked for earlier does not show it says nothing.
    pub(crate) glanced_at: Timestamp,
}

/// Whether a container knows of its secrets as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knows {
    /// It does.
    All,
    /// Files were exchanged under it, and it has not got its signal yet.
    Outdated,
}

/// What our own probes of a container have said.
#[derive(Debug, Clone)]
pub(crate) struct ProbeState {
    /// Counts probes, over all runs: an answer to an earlier one says nothing of this run.
    pub(crate) number: u32,
    pub(crate) health: Health,
    pub(crate) failures: u32,
    pub(crate) next_at: Timestamp,
    /// When a failure was last counted.
    pub(crate) counted_at: Timestamp,
    pub(crate) is_busy: bool,
    pub(crate) last_error: String,
}

impl ProbeState {
    pub(crate) fn new(number: u32, now: Timestamp) -> Self {
        Self {
            number,
            health: Health::Starting,
            failures: 0,
            next_at: now,
            counted_at: now,
            is_busy: false,
            last_error: String::new(),
        }
    }
}

impl Part {
    pub(crate) fn new(name: ContainerName) -> Self {
        Self {
            name,
            attempt: 0,
            is_confirmed: false,
            seen: None,
            older: Vec::new(),
            streak: 0,
            faults: 0,
            not_before: Timestamp::default(),
            needs_image: false,
            knows: Knows::All,
            is_over: false,
            probe: ProbeState::new(0, Timestamp::default()),
            settled_at: Timestamp::default(),
            glanced_at: Timestamp::default(),
        }
    }

    /// What the journal keeps of it.
    pub(crate) fn saved(&self) -> SavedPart {
        SavedPart { name: self.name.clone(), attempt: self.attempt, is_over: self.is_over }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.seen.as_ref().is_some_and(Container::is_alive)
    }

    /// Says whether nothing of it is on the engine.
    pub(crate) fn is_gone(&self) -> bool {
        self.seen.is_none() && self.older.is_empty()
    }

    /// The container was removed by us.
    pub(crate) fn forget(&mut self, id: &str) {
        self.older.retain(|known| known.id != id);
        self.seen.take_if(|seen| seen.id == id);
    }

    /// Somebody else removed the container: if it lived it ended, and nobody can say how.
    pub(crate) fn vanish(&mut self, now: Timestamp) {
        let Some(seen) = self.seen.as_mut() else { return };
        if seen.is_alive() {
            let error = "removed by somebody else".to_owned();
            seen.status = Status::Exited(Exit { code: 137, is_oom: false, error, at: now });
        }
    }

    /// Takes in what the engine shows of one of its containers.
    pub(crate) fn see(&mut self, container: Container, now: Timestamp) {
        if container.attempt < self.attempt {
            self.older.retain(|known| known.id != container.id);
            self.older.push(container);
            // A list is in the order of names, and "-10" comes before "-9" there.
            self.older.sort_by_key(|older| older.attempt);
            return;
        }
        let is_new_run = self
            .seen
            .as_ref()
            .is_none_or(|seen| seen.id != container.id || seen.started_at != container.started_at);
        if is_new_run {
            self.probe = ProbeState::new(self.probe.number.wrapping_add(1), now);
        }
        if container.attempt > self.attempt {
            self.older.extend(self.seen.take());
            self.is_over = false;
        }
        self.attempt = container.attempt;
        self.is_confirmed = true;
        self.seen = Some(container);
    }

    /// Goes on to the next attempt: the container of this one becomes an older one.
    pub(crate) fn begin_attempt(&mut self) {
        self.older.extend(self.seen.take());
        self.attempt += 1;
        self.is_confirmed = false;
        self.is_over = false;
        // It finds the new files when it starts.
        self.knows = Knows::All;
    }
}

impl Unit {
    pub(crate) fn new(assignment: Assignment) -> Self {
        let containers = &assignment.spec.containers;
        let parts = containers.iter().map(|spec| Part::new(spec.name.clone())).collect();
        let is_unjudged = assignment.desired != DesiredState::Run;
        Self {
            is_unjudged,
            assignment,
            parts,
            state: TaskState::Assigned,
            doing: None,
            stray: None,
            is_leaving: false,
            doubt: None,
            braked_until: None,
            lease: None,
            secrets: Versions::new(),
            waits_for_secret: false,
            secret_trouble: String::new(),
            note: String::new(),
            reported: None,
            journalled: None,
        }
    }

    pub(crate) fn entry(&self) -> Entry {
        Entry {
            desired: self.assignment.desired,
            is_over: self.state.is_final(),
            parts: self.parts.iter().map(|part| (part.attempt, part.is_over)).collect(),
            lease: self.lease,
            secrets: self.assignment.secrets.clone(),
        }
    }

    /// Says whether the engine may still make a container of it.
    pub(crate) fn is_in_doubt(&self, now: Timestamp) -> bool {
        match self.doubt {
            Some(Doubt::Unlisted) => true,
            Some(Doubt::Until(until)) => now < until,
            None => false,
        }
    }

    /// A list has come: what was about to be made is there, or may still come.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        let is_missing = |part: &Part| part.attempt > 0 && !part.is_over && part.seen.is_none();
        let is_any = self.parts.iter().any(is_missing);
        self.doubt = match self.doubt {
            Some(Doubt::Unlisted) if is_any => Some(Doubt::Until(now + IN_FLIGHT)),
            doubt @ Some(Doubt::Until(_)) if is_any => doubt,
            Some(Doubt::Unlisted | Doubt::Until(_)) | None => None,
        };
    }

    pub(crate) fn wants_to_run(&self) -> bool {
        self.assignment.desired == DesiredState::Run
    }

    /// Says whether any container of it was made, or was about to be.
    pub(crate) fn is_begun(&self) -> bool {
        self.parts.iter().any(|part| part.attempt > 0)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.parts.iter().any(|part| part.is_alive() || part.older.iter().any(Container::is_alive))
    }

    /// Everything of it that is on the engine.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.parts.iter().flat_map(|part| part.seen.iter().chain(&part.older))
    }

    pub(crate) fn part_mut(&mut self, name: &ContainerName) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.name == *name)
    }

    pub(crate) fn spec_of(&self, name: &ContainerName) -> Option<&ContainerSpec> {
        self.assignment.spec.containers.iter().find(|spec| spec.name == *name)
    }

    /// Says whether another container of the task waits for this one to complete: it prepares and then goes.
    pub(crate) fn prepares(&self, name: &ContainerName) -> bool {
        let mut after = self.assignment.spec.containers.iter().flat_map(|spec| &spec.after);
        after.any(|after| after.on == *name && after.condition == DependencyCondition::Completed)
    }

    /// How many containers were made anew since the first ones.
    pub(crate) fn restarts(&self) -> u32 {
        self.parts.iter().map(|part| part.attempt.saturating_sub(1)).sum()
    }
}
