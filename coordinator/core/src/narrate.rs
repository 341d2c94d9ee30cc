//! What a change means to an operator, in a sentence.

mod bake;
mod fleet;
mod lease;
mod secret;
mod traffic;
mod upkeep;

use model::id::{AmiId, BakeId, NodeId, RecipeName, SecretName, ServiceId, TaskId};
use model::job::RunCause;
use model::node::{Availability, Drain, DrainCause, DrainPhase, Node};
use model::rollout::{Promotion, Rollout, Stage, Trial};
use model::service::{Origin, Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, Health, StopCause, Task, TaskState};

use crate::cluster::{Change, Cluster};
use crate::plan::preparing;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// To what.
    pub subject: Subject,
    /// What, as a sentence without its subject.
    pub message: String,
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A service.
    Service(ServiceId),
    /// A task, and whose it is.
    Task(TaskId, ServiceId),
    /// A node, or a machine that may become one.
    Node(NodeId),
    /// A pool, by its name.
    Pool(String),
    /// All pools.
    Pools,
    /// A bake.
    Bake(BakeId),
    /// A machine image.
    Ami(AmiId),
    /// A recipe of which bakes begin by themselves.
    Recipe(RecipeName),
    /// A secret.
    Secret(SecretName),
}

/// Says what `change` will mean to somebody who knows `before`. Not every change is worth a sentence.
#[must_use]
pub fn narrate(before: &Cluster, change: &Change) -> Option<Occurrence> {
    match change {
        Change::PutService(service) => {
            let known = before.services().get(&service.id);
            let message = service_news(known.map(AsRef::as_ref), service)?;
            Some(Occurrence { subject: Subject::Service(service.id.clone()), message })
        }
        Change::RemoveService(id) => {
            let message = "is removed".to_owned();
            Some(Occurrence { subject: Subject::Service(id.clone()), message })
        }
        Change::PutTask(task) => {
            let known = before.tasks().get(&task.id);
            let known = known.map(AsRef::as_ref);
            let news = || traffic::news(before, (known, task)).or_else(|| task_news(known, task));
            let message = lease::out_of_patience(before, task).or_else(news);
            let message = message.or_else(|| secret::handed_over(known, task))?;
            let message = message + &for_whom(before, task).unwrap_or_default();
            let message = message + &lease::waited_for(before, task).unwrap_or_default();
            let message = message + &traffic::kept(known, task).unwrap_or_default();
            let subject = Subject::Task(task.id.clone(), task.service.clone());
            Some(Occurrence { subject, message })
        }
        Change::PutNode(node) => {
            let known = before.nodes().get(&node.id);
            let left = before.tasks_on(&node.id).filter(|task| !task.state.is_final()).count();
            let news = || node_news(known.map(AsRef::as_ref), node, left);
            let message = opened(before, node).or_else(news)?;
            Some(Occurrence { subject: Subject::Node(node.id.clone()), message })
        }
        Change::PutPool(_)
        | Change::RemovePool(_)
        | Change::PutHook(_)
        | Change::RemoveHook(_)
        | Change::PutRefresh(_)
        | Change::RemoveRefresh(_)
        | Change::SetFreeze(_)
        | Change::RemoveNode(_) => fleet::narrate(before, change),
        Change::PutBake(bake) => bake::narrate(before, bake),
        Change::PutAmi(ami) => bake::narrate_ami(ami),
        Change::RemoveAmi(id) => {
            let message = "is removed".to_owned();
            Some(Occurrence { subject: Subject::Ami(id.clone()), message })
        }
        Change::PutUpkeep(upkeep) => upkeep::narrate(before, upkeep),
        Change::RemoveUpkeep(name) => {
            let message = "is baked by hand only".to_owned();
            Some(Occurrence { subject: Subject::Recipe(name.clone()), message })
        }
        Change::PutSecret(secret) => {
            let known = before.secrets().get(&secret.name);
            let message = secret::news(known.map(AsRef::as_ref), secret)?;
            Some(Occurrence { subject: Subject::Secret(secret.name.clone()), message })
        }
        Change::RemoveSecret(name) => {
            let message = "is removed".to_owned();
            Some(Occurrence { subject: Subject::Secret(name.clone()), message })
        }
        Change::RemoveTask(_)
        | Change::RemoveBake(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::PutNextTask(_) => None,
    }
}

fn service_news(before: Option<&Service>, service: &Service) -> Option<String> {
    let number = service.target.number;
    if before.is_none_or(|before| before.target.number != number) {
        return Some(match service.target.origin {
            Origin::Deployed if service.stage() == Stage::Trial => {
                let how = match service.target.spec.update.trial {
                    Some(Trial::BlueGreen(_)) => "comes up beside what is there, without requests",
                    Some(Trial::Canary(_)) | None => "tried in a few slots first",
                };
                format!("generation {number} is accepted, and {how}")
            }
            Origin::Deployed => format!("generation {number} is accepted"),
            Origin::Scaled => {
                format!("generation {number} is accepted: another number of replicas")
            }
            Origin::Restarted => format!("generation {number} is accepted: a restart"),
            Origin::RolledBack { to } => {
                format!("generation {number} goes back to generation {to}")
            }
        });
    }
    if let (Some(before), Mode::Job(_)) = (before, service.target.spec.mode) {
        return job_news(before, service);
    }
    if before.is_some_and(|before| before.phase == service.phase) {
        return None;
    }
    match &service.phase {
        ServicePhase::Steady => Some(format!("generation {number} runs in every slot")),
        ServicePhase::Halted { reason, .. } => {
            Some(format!("generation {number} is halted: {reason}"))
        }
        ServicePhase::Removing => Some("is being removed".to_owned()),
        ServicePhase::Rolling(rollout) => {
            let before = before.and_then(|before| match &before.phase {
                ServicePhase::Rolling(rollout) => Some(rollout),
                ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => None,
            });
            rollout_news(before, rollout, service)
        }
    }
}

fn rollout_news(before: Option<&Rollout>, rollout: &Rollout, service: &Service) -> Option<String> {
    let (number, id) = (service.target.number, &service.id);
    let was_paused = before.is_none_or(Rollout::is_paused);
    let stage = before.map(|before| before.stage);
    match rollout.stage {
        _ if rollout.is_paused() && !was_paused => Some(format!(
            "the rollout of generation {number} is paused: `wharf rollout resume {id}` has it go on"
        )),
        Stage::Holding { .. } if stage != Some(rollout.stage) => {
            Some(holding(service.target.spec.update.trial?, service))
        }
        Stage::Switching { .. } if stage != Some(rollout.stage) => {
            Some(format!("generation {number} is switched to: its tasks enter their target groups"))
        }
        Stage::Keeping { .. } if stage != Some(rollout.stage) => {
            Some(keeping(service.target.spec.update.trial?, service))
        }
        Stage::Everywhere if stage.is_some_and(Stage::is_switched) => {
            Some(format!("generation {number} is taken for good, and what was before it stops"))
        }
        Stage::Everywhere if stage.is_some() && stage != Some(rollout.stage) => {
            Some(format!("the canary of generation {number} is promoted"))
        }
        _ if was_paused && !rollout.is_paused() => {
            Some(format!("the rollout of generation {number} goes on"))
        }
        Stage::Trial
        | Stage::Holding { .. }
        | Stage::Switching { .. }
        | Stage::Keeping { .. }
        | Stage::Everywhere => None,
    }
}

fn holding(trial: Trial, service: &Service) -> String {
    let (number, id) = (service.target.number, &service.id);
    let (what, then) = match trial {
        Trial::Canary(_) => ("the canary of", "the others follow"),
        Trial::BlueGreen(_) => ("all of", "it is switched to"),
    };
    match trial.promotion() {
        Promotion::Automatic => {
            let seconds = trial.hold().as_secs();
            format!("{what} generation {number} has settled: in {seconds} s {then}")
        }
        Promotion::Manual => format!(
            "{what} generation {number} has settled and waits for `wharf rollout promote {id}` or `abort`"
        ),
    }
}

fn keeping(trial: Trial, service: &Service) -> String {
    let seconds = match trial {
        Trial::BlueGreen(both) => both.keep.as_secs(),
        Trial::Canary(_) => 0,
    };
    let number = service.target.number;
    format!("generation {number} has all requests: what was before it is kept for {seconds} s")
}

fn job_news(before: &Service, service: &Service) -> Option<String> {
    let (was, is) = (&before.runs, &service.runs);
    let over = is.past.iter().filter(|run| !was.remembers(run.number)).map(|run| {
        let seconds = run.ended_at.since(run.started_at).as_secs();
        format!("run {} {} ({seconds} s)", run.number, run.verdict)
    });
    let begun = is.active.iter().filter(|run| run.number > was.last).map(|run| match run.cause {
        RunCause::Deployed => format!("run {} begins", run.number),
        RunCause::Asked => format!("run {} begins: an operator asked for it", run.number),
        RunCause::Due(at) => format!("run {} begins: it was due at {at}", run.number),
    });
    let mut news: Vec<String> = over.chain(begun).collect();
    if is.skipped > was.skipped {
        let count = is.skipped - was.skipped;
        news.push(format!("{count} of the times of its schedule had no run"));
    }
    if is.is_suspended != was.is_suspended {
        let now = if is.is_suspended { "suspended" } else { "resumed" };
        news.push(format!("its schedule is {now}"));
    }
    if service.phase == ServicePhase::Removing && before.phase != service.phase {
        news.push("is being removed".to_owned());
    }
    (!news.is_empty()).then(|| news.join("; "))
}

fn task_news(before: Option<&Task>, task: &Task) -> Option<String> {
    let same_state = before.is_some_and(|before| before.state == task.state);
    if same_state {
        let was_told = before.is_some_and(|before| before.desired != task.desired);
        let is_moving = before.is_some_and(|before| before.moving_since != task.moving_since);
        let is_restarted = before.is_some_and(|before| before.restarts < task.restarts);
        return match task.desired {
            // What has ended by itself gets its tombstone, and that is no news.
            DesiredState::Stop { cause, .. } if was_told && !task.state.is_final() => {
                Some(format!("is to stop: {}", why(cause)))
            }
            DesiredState::Run if is_moving => Some(match task.moving_since {
                Some(_) => "is to move to where its service is spread better".to_owned(),
                None => "stays where it is after all".to_owned(),
            }),
            DesiredState::Run | DesiredState::Stop { .. } if is_restarted => {
                Some(format!("starts again ({}): {}", task.restarts, task.note))
            }
            DesiredState::Run | DesiredState::Stop { .. } => None,
        };
    }
    match &task.state {
        TaskState::Pending => None,
        TaskState::Assigned => task.node.as_ref().map(|node| format!("is placed on {node}")),
        TaskState::Fetching if task.note.is_empty() => Some("fetches its images".to_owned()),
        TaskState::Fetching => Some(format!("fetches its images: {}", task.note)),
        TaskState::Preparing if task.note.is_empty() => Some("is being prepared".to_owned()),
        TaskState::Preparing => Some(format!("is being prepared: {}", task.note)),
        TaskState::Running { health, .. } => Some(running(*health).to_owned()),
        TaskState::Completed => Some("has ended".to_owned()),
        TaskState::Failed { reason, .. } => Some(format!("has failed: {reason}")),
        TaskState::Lost => Some("is given up with its node".to_owned()),
    }
}

/// For whom a task gives way, if it was told just now.
fn for_whom(before: &Cluster, task: &Task) -> Option<String> {
    let is_preempted = |task: &Task| task.desired.stop_cause() == Some(StopCause::Preemption);
    let is_news = before.tasks().get(&task.id).is_some_and(|was| !is_preempted(was));
    let node = task.node.as_ref().filter(|_| is_news && is_preempted(task))?;
    let first = before.promised_on(node).max_by_key(|one| before.priority(&one.service))?;
    Some(format!(" ({}, of priority {})", first.id, before.priority(&first.service)))
}

const fn running(health: Health) -> &'static str {
    match health {
        Health::Unchecked => "runs",
        Health::Starting => "runs, its health is not known yet",
        Health::Healthy => "runs and is healthy",
        Health::Unhealthy => "runs, but fails its health check",
    }
}

const fn why(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Operator => "an operator removed it or asked for fewer",
        StopCause::Drain => "its node is being emptied",
        StopCause::Balance => "another has taken its slot where its service is spread better",
        StopCause::Update => "a newer generation has taken its slot",
        StopCause::Duplicate => "another task fills its slot",
        StopCause::Ended => "it is over",
        StopCause::NodeDead => "its node is gone, or was silent for too long",
        StopCause::Preemption => "something that matters more needs its room",
        StopCause::RunOver => "its run is over",
    }
}

fn node_news(before: Option<&Node>, node: &Node, left: usize) -> Option<String> {
    let Some(before) = before else { return Some("has joined".to_owned()) };
    // Who else wants it empty is no news once it is.
    let is_news = |drain: &Drain| match (drain.phase, before.drain.map(|drain| drain.phase)) {
        (DrainPhase::Drained { .. }, Some(DrainPhase::Drained { .. })) => false,
        (DrainPhase::Moving | DrainPhase::Forced { .. } | DrainPhase::Drained { .. }, _) => {
            before.drain != Some(*drain)
        }
    };
    if let Some(drain) = node.drain.filter(is_news) {
        return Some(drain_news(drain, node, left));
    }
    if before.availability == node.availability {
        return None;
    }
    Some(match node.availability {
        Availability::Active => "is open for new tasks".to_owned(),
        Availability::Cordoned => "is closed to new tasks".to_owned(),
        Availability::Dead => "is gone for good".to_owned(),
    })
}

/// What is said when a node is done with waiting for what runs on every node.
fn opened(before: &Cluster, node: &Node) -> Option<String> {
    let known = before.nodes().get(&node.id).filter(|known| known.preparing_until.is_some())?;
    if node.preparing_until.is_some() || known.availability != node.availability {
        return None;
    }
    let missing = preparing::missing(before, node).map(|service| service.id.to_string());
    let missing: Vec<String> = missing.collect();
    Some(match missing.as_slice() {
        [] => "is ready: what runs on every node serves there".to_owned(),
        some => format!(
            "is opened though {} does not serve there: it has waited for {} s",
            some.join(", "),
            preparing::PATIENCE.as_secs()
        ),
    })
}

fn drain_news(drain: Drain, node: &Node, left: usize) -> String {
    match drain.phase {
        DrainPhase::Moving => {
            let wait = drain.deadline.since(drain.since).as_secs();
            let why = match drain.cause {
                DrainCause::Operator => "",
                DrainCause::ScaleIn => ", because nothing needs its machine,",
                DrainCause::Refresh => ", because its machine is replaced by a newer one,",
                DrainCause::AtRisk => ", because the cloud may take its machine back,",
                DrainCause::Terminating => ", because its group ends its machine,",
                DrainCause::Interrupted => ", because the cloud takes its machine back,",
            };
            format!(
                "is being emptied{why} of {left} tasks, which are stopped in {wait} s at the latest"
            )
        }
        DrainPhase::Forced { .. } => format!(
            "still has {left} tasks at the deadline of its drain: they are stopped, whatever their services can spare"
        ),
        DrainPhase::Drained { .. } => format!("is drained: nothing of ours runs on {}", node.id),
    }
}
