//! How many tasks a service has, where, and how they are exchanged.

use model::constraint::{Attribute, Test};
use model::spec::REPLICAS_LIMIT;
use proto::convert::constraint_to_wire;
use proto::wire::service_spec::Mode;
use proto::wire::{
    Budget, Constraint, Global, LeasePolicy, Preference, Priority, Profile, Replicated,
    RestartCondition, RestartPolicy, Rotation, Route, Schedule, Strategy, UpdatePolicy,
};

use super::budget;
use super::job;
use super::lease;
use super::node::Node;
use super::place::Place;
use super::placement;
use super::prefer;
use super::problems::Problems;
use super::rollout;
use super::secrets;
use super::section::Section;
use super::traffic;
use super::values;

/// Before the second restart in a row.
const RESTART_DELAY_MS: u64 = 10_000;

/// What `deploy`, and the older keys beside it, say.
#[derive(Debug)]
pub(super) struct Deployment {
    pub mode: Mode,
    pub update: UpdatePolicy,
    pub budget: Option<Budget>,
    pub strategy: Option<Strategy>,
    pub preferences: Vec<Preference>,
    pub priority: Option<Priority>,
    pub is_left_in_place: bool,
    pub restart: RestartPolicy,
    /// Whether the file says when to restart.
    pub is_restart_given: bool,
    pub constraints: Vec<Constraint>,
    pub max_per_node: Option<u32>,
    pub schedule: Option<Schedule>,
    pub lease: Option<LeasePolicy>,
    pub routes: Vec<Route>,
    pub rotation: Option<Rotation>,
    pub profile: Option<Profile>,
}

fn rotation(problems: &mut Problems, service: &Section<'_>) -> Option<Rotation> {
    let wharf = service.section(problems, "x-wharf");
    wharf.read(problems, "secrets_rotation", secrets::rotation).flatten()
}

/// Reads everything but the resources.
pub(super) fn read(
    problems: &mut Problems,
    service: &Section<'_>,
    deploy: &Section<'_>,
) -> Deployment {
    let placement = deploy.section(problems, "placement");
    let mut constraints = placement::constraints(problems, &placement);
    constraints.extend(service.read(problems, "platform", platform));
    placement::check(problems, &constraints);
    let mode = mode(problems, service, deploy);
    Deployment {
        mode,
        update: rollout::update(problems, service, (deploy, mode)),
        budget: budget::read(problems, service, mode),
        strategy: placement::strategy(problems, service, mode),
        preferences: prefer::read(problems, (service, &placement), mode),
        priority: placement::priority(problems, service),
        is_left_in_place: placement::is_left_in_place(problems, service, mode),
        restart: restart(problems, service, (deploy, mode)),
        schedule: job::schedule(problems, service),
        lease: lease::read(problems, service, mode),
        routes: traffic::read(problems, service, mode),
        rotation: rotation(problems, service),
        profile: placement::profile(problems, service),
        is_restart_given: is_restart_given(problems, service, deploy),
        constraints: constraints
            .iter()
            .map(|(constraint, _)| constraint_to_wire(constraint))
            .collect(),
        max_per_node: placement
            .read(problems, "max_replicas_per_node", |problems, node| {
                // Compose takes 0 for no limit.
                values::count(problems, node, REPLICAS_LIMIT)
            })
            .filter(|most| *most > 0),
    }
}

fn platform(
    problems: &mut Problems,
    node: &Node,
) -> Option<(model::constraint::Constraint, Place)> {
    let text = values::text(problems, node)?;
    let arch = match text {
        "linux/amd64" => "amd64",
        "linux/arm64" | "linux/arm64/v8" => "arm64",
        _ => {
            let message = format!("the platform `{text}` is not supported");
            problems.error(node.place, message).hint("write `linux/amd64` or `linux/arm64`");
            return None;
        }
    };
    let test = Test::Equal(arch.to_owned());
    Some((model::constraint::Constraint::Of(Attribute::Arch, test), node.place))
}

fn mode(problems: &mut Problems, service: &Section<'_>, deploy: &Section<'_>) -> Mode {
    let replicas = replicas(problems, service, deploy);
    let count = |problems: &mut Problems| match replicas {
        Some((0, at)) => {
            let message = "a job of which nothing has to complete";
            problems.error(at.place, message).hint("give at least 1, or leave it out");
            Some(1)
        }
        Some((replicas, _)) => Some(replicas),
        None => Some(1),
    };
    let Some(node) = deploy.node("mode") else {
        if job::is_asked(problems, service) {
            let count = count(problems);
            return Mode::Job(job::read(problems, (service, deploy), count));
        }
        return Mode::Replicated(Replicated {
            replicas: replicas.map_or(1, |(replicas, _)| replicas),
        });
    };
    let only_one = |problems: &mut Problems, message: &str| {
        if let Some((replicas, at)) = replicas
            && replicas != 1
        {
            problems.error(at.place, message).hint("take the number of replicas out");
        }
    };
    match values::text(problems, node) {
        Some("global") => {
            job::refuse(problems, service);
            only_one(problems, "a global service has one task on each node");
            Mode::Global(Global {})
        }
        Some("replicated-job") => {
            let count = count(problems);
            Mode::Job(job::read(problems, (service, deploy), count))
        }
        Some("global-job") => {
            only_one(problems, "a global job has one task on each node");
            Mode::Job(job::read(problems, (service, deploy), None))
        }
        Some("replicated") | None => {
            job::refuse(problems, service);
            Mode::Replicated(Replicated { replicas: replicas.map_or(1, |(replicas, _)| replicas) })
        }
        Some(other) => {
            let message = format!("the mode `{other}` is not supported");
            let hint = "write `replicated`, `global`, or of what runs to its end `replicated-job` or `global-job`";
            problems.error(node.place, message).hint(hint);
            Mode::Global(Global {})
        }
    }
}

fn replicas<'a>(
    problems: &mut Problems,
    service: &Section<'a>,
    deploy: &Section<'a>,
) -> Option<(u32, &'a Node)> {
    let mut read = |section: &Section<'a>, name| {
        let node = section.node(name)?;
        Some((values::count(problems, node, REPLICAS_LIMIT)?, node))
    };
    let (scale, replicas) = (read(service, "scale"), read(deploy, "replicas"));
    if let (Some((one, at)), Some((two, other))) = (scale, replicas)
        && one != two
    {
        let problem = problems.error(at.place, "`scale` differs from `deploy.replicas`");
        problem.other("it says", other.place).hint("keep one of them");
    }
    replicas.or(scale)
}

fn restart(
    problems: &mut Problems,
    service: &Section<'_>,
    (deploy, mode): (&Section<'_>, Mode),
) -> RestartPolicy {
    if let Mode::Job(_) = mode {
        // Its policy is read with the job: what failed is not started again on its node, but anew wherever there is room.
        let (condition, max_attempts) = (RestartCondition::Never.into(), None);
        return RestartPolicy { condition, max_attempts, delay_ms: RESTART_DELAY_MS };
    }
    let policy = restart_policy(problems, service, deploy);
    policy.unwrap_or(RestartPolicy {
        condition: RestartCondition::Any.into(),
        max_attempts: None,
        delay_ms: RESTART_DELAY_MS,
    })
}

/// What the file says about restarts, if it says anything.
pub(super) fn restart_policy(
    problems: &mut Problems,
    service: &Section<'_>,
    deploy: &Section<'_>,
) -> Option<RestartPolicy> {
    let policy = deploy.section(problems, "restart_policy");
    let condition = policy.read(problems, "condition", condition);
    let delay_ms = policy.duration_ms(problems, "delay").unwrap_or(RESTART_DELAY_MS);
    let max_attempts = policy
        .read(problems, "max_attempts", |problems, node| values::count(problems, node, u32::MAX));
    let older = service.read(problems, "restart", restart_text);
    // As Compose has it: the older key counts only without a policy.
    let (condition, attempts) = match (condition, policy.place, older) {
        (Some(condition), _, _) => (condition, max_attempts),
        (None, None, Some((condition, attempts))) => (condition, attempts),
        (None, Some(_), _) => (RestartCondition::Any, max_attempts),
        (None, None, None) => return None,
    };
    Some(RestartPolicy { condition: condition.into(), max_attempts: attempts, delay_ms })
}

fn is_restart_given(problems: &mut Problems, service: &Section<'_>, deploy: &Section<'_>) -> bool {
    let policy = deploy.section(problems, "restart_policy");
    policy.node("condition").is_some() || service.node("restart").is_some()
}

fn condition(problems: &mut Problems, node: &Node) -> Option<RestartCondition> {
    match values::text(problems, node)? {
        "none" => Some(RestartCondition::Never),
        "on-failure" => Some(RestartCondition::OnFailure),
        "any" => Some(RestartCondition::Any),
        other => {
            let message = format!("`{other}` is not a restart condition");
            problems.error(node.place, message).hint("write `none`, `on-failure` or `any`");
            None
        }
    }
}

fn restart_text(problems: &mut Problems, node: &Node) -> Option<(RestartCondition, Option<u32>)> {
    let text = values::text(problems, node)?;
    match text {
        "no" => return Some((RestartCondition::Never, None)),
        "always" | "unless-stopped" => return Some((RestartCondition::Any, None)),
        "on-failure" => return Some((RestartCondition::OnFailure, None)),
        _ => {}
    }
    match text.strip_prefix("on-failure:").map(str::parse) {
        Some(Ok(attempts)) => Some((RestartCondition::OnFailure, Some(attempts))),
        Some(Err(_)) | None => {
            let message = format!("`{text}` is not a restart policy");
            let hint = "write `\"no\"`, `always`, `on-failure`, `on-failure:3` or `unless-stopped`";
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}
