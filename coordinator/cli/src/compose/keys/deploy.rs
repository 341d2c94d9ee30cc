//! The keys of `deploy`.

use super::{Key, ignored, no, partly, yes};

/// `services.*.deploy`
pub(in super::super) static DEPLOY: &[Key] = &[
    yes("mode"),
    partly("replicas", "of a job: so many tasks have to complete"),
    ignored("labels", "labels of containers are set with `labels` of the service"),
    partly("placement", "see its keys").keys(PLACEMENT),
    partly("resources", "see its keys").keys(RESOURCES),
    yes("restart_policy").keys(RESTART_POLICY),
    yes("update_config").keys(UPDATE_CONFIG),
    no("rollback_config", "leave it out; a rollback moves by `update_config`"),
    no("endpoint_mode", "leave it out; a service name leads to the tasks themselves"),
];

/// `services.*.deploy.placement`
static PLACEMENT: &[Key] = &[
    partly(
        "constraints",
        "every attribute of Swarm but `node.role` and `engine.labels`, and more than it knows: see constraints.md",
    ),
    partly("preferences", "up to three, the first of which counts most; `x-wharf.prefer` has more")
        .keys(PREFERENCE),
    yes("max_replicas_per_node"),
];

/// `services.*.deploy.placement.preferences[]`
pub(in super::super) static PREFERENCE: &[Key] =
    &[partly("spread", "every attribute that constraints know: see constraints.md")];

/// `services.*.deploy.resources`
static RESOURCES: &[Key] = &[
    yes("limits").keys(LIMITS),
    partly("reservations", "what the scheduler sets aside; nothing when it is left out")
        .keys(RESERVATIONS),
];

/// `services.*.deploy.resources.limits`
static LIMITS: &[Key] = &[yes("cpus"), yes("memory"), yes("pids")];

/// `services.*.deploy.resources.reservations`
static RESERVATIONS: &[Key] = &[
    yes("cpus"),
    yes("memory"),
    no("pids", "use `deploy.resources.limits.pids`"),
    partly("devices", "NVIDIA GPUs, so many whole ones: see placement.md").keys(DEVICE),
    no("generic_resources", "leave it out; label the nodes and use `placement.constraints`"),
];

/// `services.*.deploy.resources.reservations.devices[]`
pub(in super::super) static DEVICE: &[Key] = &[
    partly("capabilities", "`[gpu]`"),
    partly("driver", "`nvidia`, or left out"),
    partly("count", "a number; not `all`, because how many that are is known only on the node"),
    no("device_ids", "give `count`; which devices are free is known only on the node"),
    no("options", "leave it out"),
];

/// `services.*.deploy.restart_policy`
static RESTART_POLICY: &[Key] = &[
    yes("condition"),
    partly(
        "delay",
        "before the second restart in a row; each further wait is twice as long, up to 5m",
    ),
    yes("max_attempts"),
    no("window", "leave it out; a container that keeps running is taken for started"),
];

/// `services.*.deploy.update_config`
static UPDATE_CONFIG: &[Key] = &[
    partly("parallelism", "0 is all at once"),
    partly("delay", "from when a new task has settled until the next is begun"),
    partly("failure_action", "`rollback` when it is left out"),
    yes("monitor"),
    yes("max_failure_ratio"),
    partly("order", "when it is left out: start first unless two tasks can not run side by side"),
];
