//! The table of bugs that are planted in the code of the cores. `PLANTED` stands for the question whether this one is.

#[path = "mutants/capacity.rs"]
mod capacity;
#[path = "mutants/field.rs"]
mod field;
#[path = "mutants/outlook.rs"]
mod outlook;
#[path = "mutants/policy.rs"]
mod policy;
#[path = "mutants/refreshes.rs"]
mod refreshes;
#[path = "mutants/secrets.rs"]
mod secrets;
#[path = "mutants/shapes.rs"]
mod shapes;
#[path = "mutants/silence.rs"]
mod silence;
#[path = "mutants/switches.rs"]
mod switches;
#[path = "mutants/traffic.rs"]
mod traffic;

/// A bug.
#[derive(Debug)]
#[allow(dead_code, reason = "the gate needs the names, and the build script the rest")]
pub(crate) struct Mutant {
    /// What the program then does.
    pub(crate) name: &'static str,
    /// Where, from the root of the repository.
    pub(crate) file: &'static str,
    /// What stands there, exactly once.
    pub(crate) from: &'static str,
    /// What stands there instead.
    pub(crate) to: &'static str,
}

const fn bug(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { name, file, from, to }
}

const HEAR: &str = "agent/core/src/hear.rs";
const DECIDE: &str = "agent/core/src/decide.rs";
const ORPHAN: &str = "agent/core/src/orphan.rs";
const WORKLOAD: &str = "agent/core/src/workload.rs";
const UNIT: &str = "agent/core/src/unit.rs";
const ABSORB: &str = "coordinator/core/src/absorb.rs";
const RECONCILE: &str = "coordinator/core/src/plan/reconcile.rs";
const PLAN: &str = "coordinator/core/src/plan.rs";
const PLACE: &str = "coordinator/core/src/plan/place.rs";
const COUNT: &str = "coordinator/core/src/plan/place/count.rs";
const FILTER: &str = "coordinator/core/src/plan/place/filter.rs";
const WALK: &str = "coordinator/core/src/plan/place/walk.rs";
const CLASS: &str = "coordinator/core/src/cluster/class.rs";
const MIX: &str = "coordinator/core/src/cluster/mix.rs";
const CLUSTER: &str = "coordinator/core/src/cluster.rs";
const LEDGER: &str = "coordinator/core/src/cluster/ledger.rs";
const LIVENESS: &str = "coordinator/core/src/plan/liveness.rs";
const ZONES: &str = "coordinator/core/src/cluster/zones.rs";
const RETURNING: &str = "coordinator/core/src/plan/returning.rs";
const PREPARING: &str = "coordinator/core/src/plan/preparing.rs";
const PREEMPT: &str = "coordinator/core/src/plan/preempt.rs";
const DRAFT: &str = "coordinator/core/src/draft.rs";
const BUDGET: &str = "coordinator/core/src/plan/budget.rs";
const DRAIN: &str = "coordinator/core/src/plan/drain.rs";
const LEAVING: &str = "coordinator/core/src/plan/leaving.rs";
const HOOKS: &str = "coordinator/core/src/plan/hooks.rs";
const FLEET: &str = "coordinator/core/src/absorb/fleet.rs";
const COMMAND: &str = "coordinator/core/src/command.rs";
const SLOT: &str = "coordinator/core/src/plan/slot.rs";
const ROLLOUT: &str = "coordinator/core/src/plan/rollout.rs";
const STEERING: &str = "coordinator/core/src/absorb/steering.rs";
const RUNS: &str = "coordinator/core/src/plan/job/advance.rs";
const DUE: &str = "coordinator/core/src/plan/job/due.rs";
const FILL: &str = "coordinator/core/src/plan/job/fill.rs";
const FORGET: &str = "coordinator/core/src/plan/job/forget.rs";
const PROGRESS: &str = "coordinator/core/src/plan/job/progress.rs";

/// All of them; they are numbered from 1.
pub(crate) fn all() -> impl Iterator<Item = &'static Mutant> {
    let more = [capacity::MUTANTS, field::MUTANTS, policy::MUTANTS, refreshes::MUTANTS];
    let more = more.into_iter().chain([outlook::MUTANTS, silence::MUTANTS]);
    let last = [secrets::MUTANTS, shapes::MUTANTS, switches::MUTANTS, traffic::MUTANTS];
    [MUTANTS].into_iter().chain(more).chain(last).flatten()
}

const MUTANTS: &[Mutant] = &[
    bug(
        "R2: a stale assignment is obeyed",
        HEAR,
        "if assignments.fence < workload.fence {",
        "if !PLANTED && assignments.fence < workload.fence {",
    ),
    bug(
        "R3: what is missing is stopped",
        HEAR,
        "let is_known = named.contains(task);",
        "let is_known = named.contains(task); if PLANTED && !is_known { unit.assignment.desired = \
         model::task::DesiredState::stop(model::task::StopCause::Operator); }",
    ),
    bug(
        "R6: an engine that can not be asked has no containers",
        HEAR,
        "Event::EngineDown { why } => ",
        "Event::EngineDown { .. } if PLANTED => list(workload, now, &[], now), Event::EngineDown { why } => ",
    ),
    bug(
        "R6: a check that could not be made has failed",
        HEAR,
        "if !is_the_containers(fault.kind)",
        "if !PLANTED && !is_the_containers(fault.kind)",
    ),
    bug(
        "R1: a list from before the last outcome counts",
        HEAR,
        "if asked_at < part.settled_at {",
        "if !PLANTED && asked_at < part.settled_at {",
    ),
    bug(
        "R4: every try has another name",
        DECIDE,
        "part.attempt = part.attempt.max(1);",
        "part.attempt = if PLANTED { part.attempt + 1 } else { part.attempt.max(1) };",
    ),
    bug(
        "R3: an orphan goes unconfirmed",
        ORPHAN,
        "if !orphan.is_confirmed ||",
        "if !PLANTED && !orphan.is_confirmed ||",
    ),
    bug(
        "R3: an orphan goes at once",
        ORPHAN,
        "|| now < orphan.since + GRACE",
        "|| !PLANTED && now < orphan.since + GRACE",
    ),
    bug(
        "a task of a lost store runs for ever",
        ORPHAN,
        "stray.is_disowned && now >=",
        "!PLANTED && stray.is_disowned && now >=",
    ),
    bug(
        "R12: a restart forgets what is over",
        WORKLOAD,
        "unit.state = saved.state;",
        "if !PLANTED { unit.state = saved.state; }",
    ),
    bug(
        "R12: that a task is over is not journalled",
        UNIT,
        "is_over: self.state.is_final(),",
        "is_over: !PLANTED && self.state.is_final(),",
    ),
    bug(
        "a sick container is left alone",
        DECIDE,
        "health::of_part(part, spec) == Health::Unhealthy {",
        "!PLANTED && health::of_part(part, spec) == Health::Unhealthy {",
    ),
    bug(
        "a container whose network is gone is left alone",
        DECIDE,
        "let lost_network = ",
        "let lost_network = !PLANTED && ",
    ),
    bug(
        "R5: nobody starts again what ended",
        DECIDE,
        "part.begin_attempt();",
        "if PLANTED { part.is_over = true; } else { part.begin_attempt(); }",
    ),
    bug(
        "a step leaves something to do",
        DECIDE,
        "if unit.doing.is_none() && unit.state.is_final() {",
        "if !PLANTED && unit.doing.is_none() && unit.state.is_final() {",
    ),
    bug(
        "the count of tasks is not written",
        RECONCILE,
        "draft.write(Change::PutNextTask(first + slots.len() as u64));",
        "if PLANTED { draft.cluster.apply(&Change::PutNextTask(first + slots.len() as u64)); } else { \
         draft.write(Change::PutNextTask(first + slots.len() as u64)); }",
    ),
    bug(
        "a new store counts from nothing",
        RECONCILE,
        "0 => first_number(draft.now),",
        "0 if !PLANTED => first_number(draft.now),",
    ),
    bug(
        "what runs side by side is stopped first",
        RECONCILE,
        "if made.is_none() || slot::starts_first(service) {",
        "if made.is_none() || !PLANTED && slot::starts_first(service) {",
    ),
    bug(
        "the dead come back",
        ABSORB,
        "|| !task.state.may_become(&report.state) {",
        "|| !PLANTED && !task.state.may_become(&report.state) {",
    ),
    bug(
        "what a dead machine ran is not lost",
        ABSORB,
        "Task { desired, state: TaskState::Lost, ..(*task).clone() }",
        "Task { desired, state: if PLANTED { task.state.clone() } else { TaskState::Lost }, ..(*task).clone() }",
    ),
    bug(
        "services of every node do not hear of a death",
        ABSORB,
        "        // A place fewer for what runs on every node, also where nothing of it ran.\n        touch_nodes(draft);",
        "if !PLANTED { touch_nodes(draft); }",
    ),
    bug(
        "a task is placed again",
        PLACE,
        "|task: &&Arc<Task>| task.state == TaskState::Pending &&",
        "|task: &&Arc<Task>| (PLANTED || task.state == TaskState::Pending) &&",
    ),
    bug(
        "the emptiest node is not found",
        WALK,
        "is_some_and(|(score, _)| *score <= bound)",
        "is_some_and(|(score, _)| PLANTED || *score <= bound)",
    ),
    bug(
        "a step that is full forgets who was due",
        PLAN,
        "// It is due still.\n            Self::All => {}",
        "Self::All => if PLANTED { draft.cluster.due.remove(service); }",
    ),
    bug(
        "a node that changed stays where it stood",
        CLASS,
        "if *standing == now {",
        "if PLANTED || *standing == now {",
    ),
    bug(
        "what services ask for now changes no order",
        CLASS,
        "*known = Arc::clone(mix);",
        "if PLANTED { return self; } *known = Arc::clone(mix);",
    ),
    bug(
        "a service that is gone goes on asking",
        MIX,
        "self.count(&asked).saturating_sub(count);",
        "self.count(&asked).saturating_sub(if PLANTED { 0 } else { count });",
    ),
    bug(
        "a task that ended still counts where it was",
        LEDGER,
        "task.booked_on().is_some() && !task.state.is_final() &&",
        "task.booked_on().is_some() && (PLANTED || !task.state.is_final()) &&",
    ),
    bug(
        "what was told to stop counts among what stays",
        LEDGER,
        "let stays = task.is_wanted() &&",
        "let stays = (PLANTED || task.is_wanted()) &&",
    ),
    bug(
        "what leaves with its node counts among what stays",
        CLUSTER,
        "if (ledger.zone, ledger.is_emptied) ==",
        "if PLANTED && ledger.zone == Some(zone) || (ledger.zone, ledger.is_emptied) ==",
    ),
    bug(
        "what is to go is no reason against one more on a node",
        FILTER,
        "counts.present(ledger.number) >=",
        "(if PLANTED { counts.on_node(ledger.number) } else { counts.present(ledger.number) }) >=",
    ),
    bug(
        "tasks are spread among those of every template",
        COUNT,
        "spread.line(task.generation.template));",
        "spread.line(if PLANTED { 1 } else { task.generation.template }));",
    ),
    bug(
        "what is over still counts as held",
        LEDGER,
        "self.held = self.held.minus(&spec.reservation());",
        "if !PLANTED { self.held = self.held.minus(&spec.reservation()); }",
    ),
    bug(
        "constraints are not asked",
        LEDGER,
        "filter(|constraint| !constraint.is_met",
        "filter(|constraint| !PLANTED && !constraint.is_met",
    ),
    bug(
        "silence is proof for what can not bear two copies",
        LIVENESS,
        "has_others && !task.generation.spec.task.is_exclusive()",
        "has_others && (PLANTED || !task.generation.spec.task.is_exclusive())",
    ),
    bug(
        "everybody's silence is taken for everybody's death",
        ZONES,
        "is_zone || self",
        "!PLANTED && is_zone || !PLANTED && self",
    ),
    bug(
        "who was missed is counted on before it has spoken",
        RETURNING,
        "if !is_back {",
        "if !PLANTED && !is_back {",
    ),
    bug(
        "a copy stays beside the original",
        RETURNING,
        "                    draft.stop(&copy, StopCause::Duplicate);",
        "if !PLANTED { draft.stop(&copy, StopCause::Duplicate); }",
    ),
    bug(
        "a copy that does not serve takes the place of an original that does",
        RETURNING,
        "Some(_) if serves(original) => Choice::Original,",
        "Some(_) if serves(original) => if PLANTED { Choice::Copy } else { Choice::Original },",
    ),
    bug(
        "more is taken away than can be spared",
        BUDGET,
        "if short.serving > short.least {",
        "if PLANTED || short.serving > short.least {",
    ),
    bug(
        "what failed on a node is tried there again",
        WALK,
        "counts.failed_on().collect();",
        "counts.failed_on().filter(|_| !PLANTED).collect();",
    ),
    bug(
        "equals throw each other out",
        PREEMPT,
        "may && cluster.priority(&other.service) < own",
        "may && (PLANTED || cluster.priority(&other.service) < own)",
    ),
    bug(
        "room is made with more than can be spared",
        PREEMPT,
        "let may = !*is_less || *less < spares.of(cluster, &other.service);",
        "let may = PLANTED || !*is_less || *less < spares.of(cluster, &other.service);",
    ),
    bug(
        "what gave way gave way to nobody",
        PREEMPT,
        "if node != task.room_on {",
        "if !PLANTED && node != task.room_on {",
    ),
    bug(
        "room that is given back is offered to nobody",
        DRAFT,
        "if task.room_on.as_ref().is_some_and(|room| Some(room) != goes_to) {",
        "if !PLANTED && task.room_on.as_ref().is_some_and(|room| Some(room) != goes_to) {",
    ),
    bug(
        "what is stopping is not thought of when room is to be made",
        PREEMPT,
        "going.iter().for_each(|other| claim.free(other));",
        "if !PLANTED { going.iter().for_each(|other| claim.free(other)); }",
    ),
    bug(
        "what runs on every node gives way to what can run elsewhere",
        PREEMPT,
        "Mode::Global => task.generation.spec.mode == Mode::Global,",
        "Mode::Global => PLANTED || task.generation.spec.mode == Mode::Global,",
    ),
    bug(
        "a new node takes everything before what runs on every node",
        FILTER,
        "let is_early = ledger.door == Door::Preparing && task",
        "let is_early = !PLANTED && ledger.door == Door::Preparing && task",
    ),
    bug(
        "a new node waits for ever for what does not come up",
        PREPARING,
        "let is_late = node",
        "let is_late = !PLANTED && node",
    ),
    bug(
        "a rollout does not ask what can be spared",
        RECONCILE,
        "budget::ask(draft.cluster, service, task, Purpose::Rollout).is_ok()",
        "PLANTED || budget::ask(draft.cluster, service, task, Purpose::Rollout).is_ok()",
    ),
    bug(
        "a drain stops first what could run side by side",
        LEAVING,
        "Wait::Turn if slot::starts_first(service) => true,",
        "Wait::Turn if !PLANTED && slot::starts_first(service) => true,",
    ),
    bug(
        "who is called back leaves the next one running",
        LEAVING,
        "Some(next) => draft.stop(&next, StopCause::Duplicate),",
        "Some(next) => if !PLANTED { draft.stop(&next, StopCause::Duplicate) },",
    ),
    bug(
        "what belongs to a node leaves before the rest",
        DRAIN,
        "{ is_last } else",
        "{ PLANTED || is_last } else",
    ),
    bug(
        "a node is drained while its tasks are stopping",
        DRAIN,
        "live(draft.cluster, &node.id).next().is_none();",
        "!live(draft.cluster, &node.id).any(|task| !PLANTED || task.desired == DesiredState::Run);",
    ),
    bug(
        "a node that is being emptied is open",
        ABSORB,
        "let (availability, drain) = (Availability::Cordoned, Some(drain));",
        "let (availability, drain) = (if PLANTED { node.availability } else { Availability::Cordoned }, Some(drain));",
    ),
    bug(
        "the living are forgotten",
        SLOT,
        "tasks.iter().filter(|task| task.state.is_final()).cloned().collect();",
        "tasks.iter().filter(|task| PLANTED || task.state.is_final()).cloned().collect();",
    ),
    bug(
        "a canary grows by failures",
        RECONCILE,
        "if reach.contains(slot) { Reach::Target } else { Reach::AsItWas }",
        "if PLANTED || reach.contains(slot) { Reach::Target } else { Reach::AsItWas }",
    ),
    bug(
        "what runs beside a canary is stopped",
        SLOT,
        "Stage::Trial | Stage::Holding { .. } => starts_first(service),",
        "Stage::Trial | Stage::Holding { .. } => !PLANTED && starts_first(service),",
    ),
    bug(
        "a paused rollout goes on",
        ROLLOUT,
        "Pace::Paused { .. } => hold(draft, &service),",
        "Pace::Paused { since } => if PLANTED { roll(draft, &service, (rollout, since)) } else { hold(draft, &service) },",
    ),
    bug(
        "a rollout is done before its slots have settled",
        ROLLOUT,
        "if done.len() == open.len()",
        "if (PLANTED || done.len() == open.len())",
    ),
    bug(
        "another number of replicas promotes a canary",
        STEERING,
        "ServicePhase::Rolling(rollout) if service.target.template == generation.template =>",
        "ServicePhase::Rolling(rollout) if !PLANTED && service.target.template == generation.template =>",
    ),
    bug(
        "a canary is everywhere at once",
        ROLLOUT,
        "wanted.truncate(trial.count(wanted.len()));",
        "if !PLANTED { wanted.truncate(trial.count(wanted.len())); }",
    ),
    bug(
        "what runs is stopped before its node has what comes next",
        RECONCILE,
        "if !fetch::is_done(draft, service, &old) {",
        "if !PLANTED && !fetch::is_done(draft, service, &old) {",
    ),
    bug(
        "a task is moved to where it is no better",
        PLACE,
        "is_some_and(|(here, there)| there < here)",
        "is_some_and(|(here, there)| PLANTED || there < here)",
    ),
    bug(
        "a task that moves is stopped before another serves",
        RECONCILE,
        "replace_when_settled(draft, service, keep, (&[*task], cause));",
        "if PLANTED { draft.stop(task, cause) } else { replace_when_settled(draft, service, keep, (&[*task], cause)) }",
    ),
    bug(
        "a run has more tasks at once than it may",
        FILL,
        "job.parallelism.saturating_sub(live)",
        "(if PLANTED { job.parallelism + 1 } else { job.parallelism }).saturating_sub(live)",
    ),
    bug(
        "a slot that has completed is done again",
        FILL,
        "!task.state.is_final() || has_completed(task)",
        "!task.state.is_final() || !PLANTED && has_completed(task)",
    ),
    bug(
        "a run begins beside what is left of another",
        FILL,
        "(!overlaps(&run.generation)).then(",
        "(!PLANTED && !overlaps(&run.generation)).then(",
    ),
    bug(
        "what was told to stop has completed its slot",
        PROGRESS,
        "task.state == TaskState::Completed && ended_by_itself(task)",
        "task.state == TaskState::Completed && (PLANTED || ended_by_itself(task))",
    ),
    bug(
        "a time that was dealt with begins another run",
        DUE,
        "runs.dealt_until = passed.last().copied().unwrap_or(runs.dealt_until);",
        "if !PLANTED { runs.dealt_until = passed.last().copied().unwrap_or(runs.dealt_until); }",
    ),
    bug(
        "a schedule that is suspended goes on",
        DUE,
        "if runs.is_suspended {",
        "if !PLANTED && runs.is_suspended {",
    ),
    bug(
        "a run has no deadline",
        RUNS,
        "(deadline_of(run)? <= now).then(",
        "(!PLANTED && deadline_of(run)? <= now).then(",
    ),
    bug(
        "a run that is over is remembered for ever",
        FORGET,
        "let kept = if is_known { REMEMBERED } else { 0 };",
        "let kept = if is_known { REMEMBERED } else if PLANTED { usize::MAX } else { 0 };",
    ),
    bug(
        "a machine goes while tasks are leaving it",
        HOOKS,
        "DrainPhase::Moving | DrainPhase::Forced { .. } => None,",
        "DrainPhase::Moving if PLANTED => Some(String::new()), DrainPhase::Moving | DrainPhase::Forced { .. } => None,",
    ),
    bug(
        "a machine is given back before its time is up",
        HOOKS,
        "if hook.deadline <= draft.now && turn <= draft.now {",
        "if (PLANTED || hook.deadline <= draft.now) && turn <= draft.now {",
    ),
    bug(
        "a machine counts before its agent has come",
        COMMAND,
        "cluster.nodes().get(&hook.id.instance).is_some_and(|node| {",
        "PLANTED || cluster.nodes().get(&hook.id.instance).is_some_and(|node| {",
    ),
    bug(
        "a machine goes at once when its tasks are stopped by force",
        HOOKS,
        "since.max(hook.since) + grace + LAST_WAIT",
        "if PLANTED { since } else { since.max(hook.since) + grace + LAST_WAIT }",
    ),
    bug(
        "a machine that the cloud does not show is dead",
        FLEET,
        "if is_silent && now.since(since) >= wait {",
        "if PLANTED || is_silent && now.since(since) >= wait {",
    ),
];
