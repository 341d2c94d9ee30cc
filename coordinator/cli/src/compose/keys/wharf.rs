//! The keys of `x-wharf`.

use super::{Key, partly};

/// `services.*.x-wharf`
pub(in super::super) static WHARF: &[Key] = &[
    partly(
        "progress_deadline",
        "a rollout that makes no progress for so long has failed; 10m when it is left out",
    ),
    partly(
        "min_available",
        "so many tasks, or such a part as in `50%`, serve through rollouts and drains; when neither this nor `max_unavailable` is given a drain leaves one of two or more",
    ),
    partly("max_unavailable", "so many tasks at most, or such a part as in `25%`, do not"),
    partly("canary", "a few slots try a new generation before the others").keys(CANARY),
    partly(
        "blue_green",
        "all of a new generation comes up beside the old one, without requests, and is switched to: see rollout.md",
    )
    .keys(BLUE_GREEN),
    partly(
        "tolerated_failures",
        "bounds of `deploy.update_config.max_failure_ratio`: with few slots a ratio is none, with many it is a lot",
    )
    .keys(TOLERATED_FAILURES),
    partly(
        "strategy",
        "`spread` or `binpack`, within the zones, over which tasks are spread either way; `spread` when it is left out: see placement.md",
    ),
    partly("reserve", "what a container holds of a node that Compose has no word for: see placement.md")
        .keys(RESERVE),
    partly("prefer", "what its tasks would rather have of their nodes: see placement.md").keys(WISH),
    partly(
        "priority",
        "`low`, `normal`, `high` or `critical`: what finds no room takes it from services of a lower class; `normal` when it is left out: see placement.md",
    ),
    partly(
        "profile",
        "how much its containers may do, `default` or `strict`: without capabilities but those of `cap_add`, with a root file system that can not be written, and not as root; see policy.md",
    ),
    partly(
        "rebalance",
        "whether tasks move to where the service is spread better after nodes or room have come; `true` when it is left out",
    ),
    partly(
        "lease",
        "tasks may take leases over a socket in `/run/wharf`, and what we do with them by ourselves waits for these for so long at the most: see leases.md",
    ),
    partly(
        "target_groups",
        "load balancers that send requests to its tasks: a task serves once all of them do, and leaves them before it is stopped; see balancers.md",
    )
    .keys(TARGET_GROUP),
    partly(
        "secret_env",
        "variables whose values are secrets, `VARIABLE: SECRET`: whoever may ask the engine of the node sees them: see secrets.md",
    ),
    partly(
        "secrets_rotation",
        "what a new value of a secret means for tasks that run: `none` (the usual), `restart`, or `signal NAME`: see secrets.md",
    ),
    partly(
        "allow_plain_env",
        "variables that look like secrets, and may be in `environment` all the same",
    ),
    partly("job", "of tasks that run to their end: see jobs.md").keys(JOB),
    partly("schedule", "when the runs of a job begin, in short `schedule: CRON`: see jobs.md")
        .keys(SCHEDULE),
];

/// `services.*.x-wharf.prefer[]`
pub(in super::super) static WISH: &[Key] = &[
    partly("nodes", "a constraint: a node of which it does not hold costs the weight"),
    partly("spread", "an attribute: each task on nodes with the same value costs the weight"),
    partly(
        "shares",
        "of a spread: percent of the tasks by value, as in `{a: 70%}`; the other values have the rest",
    ),
    partly("weight", "from 1 to 100; 50 when it is left out"),
];

/// `services.*.x-wharf.reserve`
static RESERVE: &[Key] = &[
    partly(
        "disk",
        "so much of the disk of the engine, as in `10g`: what the container and its volumes are expected to write",
    ),
    partly("pids", "so many processes and threads"),
];

/// `services.*.x-wharf.canary`
static CANARY: &[Key] = &[
    partly("replicas", "so many slots, or such a part as in `10%`; 1 when it is left out"),
    partly("hold", "how long they have to serve before the others follow; 5m when it is left out"),
    partly("promote", "`automatic`, or `manual` to wait for `wharf rollout promote`"),
];

/// `services.*.x-wharf.blue_green`
static BLUE_GREEN: &[Key] = &[
    partly(
        "hold",
        "how long all new tasks have to be healthy before it is switched to them; not at all beyond `monitor` when it is left out",
    ),
    partly("promote", "`automatic`, or `manual` to wait for `wharf rollout promote`"),
    partly(
        "keep",
        "how long the old tasks are kept after that, to go back to at once; 10m when it is left out",
    ),
];

/// `services.*.x-wharf.target_groups[]`
pub(in super::super) static TARGET_GROUP: &[Key] = &[
    partly("group", "its name or ARN; its targets are instances"),
    partly("port", "of the container, and published"),
    partly(
        "leave_within",
        "a task that is to stop is kept for its requests for so long at the most; as long as the group says when it is left out",
    ),
];

/// `services.*.x-wharf.tolerated_failures`
static TOLERATED_FAILURES: &[Key] = &[
    partly("at_least", "so many new tasks may fail in any case"),
    partly("at_most", "so many at most"),
];

/// `services.*.x-wharf.job`
static JOB: &[Key] = &[
    partly("parallelism", "so many tasks of a run at once; all of them when it is left out"),
    partly(
        "retries",
        "a run has failed when a slot fails once more than this; 3 when neither this nor a restart policy is given",
    ),
    partly(
        "backoff",
        "before the first retry, doubled with each up to 5m; 10s when it is left out",
    ),
    partly("deadline", "a run that takes longer is stopped and has failed"),
    partly("history", "how many runs are remembered").keys(HISTORY),
];

/// `services.*.x-wharf.job.history`
static HISTORY: &[Key] = &[
    partly("succeeded", "3 when it is left out"),
    partly("failed", "those that failed, were stopped or replaced; 3 when it is left out"),
];

/// `services.*.x-wharf.schedule`
pub(in super::super) static SCHEDULE: &[Key] = &[
    partly("cron", "five fields, `@hourly` and the like, or `@every 5m`"),
    partly("time_zone", "a name of the IANA database; `UTC` when it is left out"),
    partly(
        "overlap",
        "what a time does that comes while a run is in progress: `forbid` (the usual), `allow` or `replace`",
    ),
    partly(
        "catch_up",
        "which of the times that were missed have their runs late: `none`, `last` (the usual) or `all`",
    ),
    partly("catch_up_within", "none that is older; 24h when it is left out, and at most 168h"),
];
