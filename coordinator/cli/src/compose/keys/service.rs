//! The keys of a service.

use super::{ATTACHMENT, CONFIG_USE, DEPLOY, Key, MOUNT, PORT, SECRET_USE, WHARF, no, partly, yes};

/// `services.*`
pub(in super::super) static SERVICE: &[Key] = &[
    partly("image", "a tag is resolved to a digest when the service is deployed"),
    partly("build", "built before the deployment and named by `image`, or else PROJECT-SERVICE")
        .keys(BUILD),
    yes("command"),
    yes("entrypoint"),
    yes("environment"),
    yes("env_file").keys(ENV_FILE),
    partly("expose", "documentation only: tasks of a network reach every port of each other"),
    partly("ports", "published on the node; the node chooses the port where none, or 0, is given")
        .keys(PORT),
    partly("volumes", "named volumes that are declared, paths of the node, memory").keys(MOUNT),
    partly("tmpfs", "only the option `size`"),
    partly("configs", "the content is written into the container when it is made").keys(CONFIG_USE),
    partly("secrets", "files in memory, below `/run/secrets`: see secrets.md").keys(SECRET_USE),
    yes("depends_on").named(DEPENDENCY),
    partly("healthcheck", "also by HTTP and TCP, without a program in the image").keys(HEALTHCHECK),
    partly("deploy", "see its keys").keys(DEPLOY),
    yes("scale"),
    partly(
        "restart",
        "without it a container is started again whenever it ends, as in a swarm; `always` and `unless-stopped` are the same",
    ),
    partly("labels", "none can begin with `wharf.`"),
    yes("stop_signal"),
    yes("stop_grace_period"),
    yes("user"),
    yes("working_dir"),
    yes("hostname"),
    yes("extra_hosts"),
    yes("tty"),
    partly("init", "always true: each container has an init process"),
    yes("read_only"),
    yes("cap_add"),
    yes("cap_drop"),
    yes("ulimits").named(ULIMIT),
    yes("sysctls"),
    yes("shm_size"),
    yes("pids_limit"),
    yes("mem_limit"),
    yes("mem_reservation"),
    yes("cpus"),
    partly(
        "network_mode",
        "`host`, `none`, `bridge` (the project's default network) and `service:NAME`, which joins services into one task",
    ),
    partly("networks", "networks of the project, with aliases").named(ATTACHMENT),
    partly("platform", "`linux/amd64` and `linux/arm64`: a constraint on `node.platform.arch`"),
    partly(
        "pull_policy",
        "`missing` and `always`, which are the same: a tag is resolved when the service is deployed",
    ),
    yes("profiles"),
    yes("extends").keys(EXTENDS),
    partly("x-wharf", "what Compose has no word for").keys(WHARF),
    no("annotations", "use `labels`"),
    no(
        "attach",
        "leave it out; `wharf logs` shows the output of the services that it is asked for",
    ),
    no("blkio_config", "leave it out; limit `cpus` and memory instead"),
    no("cgroup", "leave it out; each container has a cgroup namespace of its own"),
    no("cgroup_parent", "leave it out; limits are set with `deploy.resources`"),
    no(
        "container_name",
        "leave it out; Wharf names containers, and services reach each other by the service name",
    ),
    no("cpu_count", "use `cpus`"),
    no("cpu_percent", "use `cpus`"),
    no("cpu_period", "use `cpus`"),
    no("cpu_quota", "use `cpus`"),
    no("cpu_rt_period", "use `cpus`"),
    no("cpu_rt_runtime", "use `cpus`"),
    no("cpu_shares", "use `deploy.resources.reservations.cpus`"),
    no("cpuset", "use `cpus`"),
    no("credential_spec", "leave it out; it is for Windows"),
    no("develop", "leave it out; deploy again after a change"),
    no("device_cgroup_rules", "run what needs devices on the node itself"),
    no("devices", "run what needs devices on the node itself"),
    no("dns", "set the name servers of the nodes"),
    no("dns_opt", "set the resolver options of the nodes"),
    no("dns_search", "set the search domains of the nodes"),
    no("domainname", "give the full name as `hostname`"),
    no("driver_opts", "leave it out"),
    no("external_links", "put the services on a network of one project"),
    no("gpus", "leave it out; graphics processors are not scheduled"),
    no("group_add", "give the group in `user: USER:GROUP`"),
    no(
        "ipc",
        "leave it out; each container has an IPC namespace of its own, and `shm_size` sets its size",
    ),
    no("isolation", "leave it out; it is for Windows"),
    no("label_file", "write the labels under `labels`"),
    no("links", "leave it out; services reach each other by the service name"),
    no(
        "logging",
        "leave it out; `wharf logs` reads the output, and the log driver is set on the nodes",
    ),
    no("mac_address", "leave it out; addresses are chosen by the node"),
    no("mem_swappiness", "set it for the nodes"),
    no("memswap_limit", "use `mem_limit`"),
    no("models", "run the model as a service of its own"),
    no("oom_kill_disable", "give it enough memory with `mem_limit`"),
    no("oom_score_adj", "set aside memory with `mem_reservation`"),
    no("pid", "leave it out; each container has a PID namespace of its own"),
    no("post_start", "do it in the entrypoint"),
    no("pre_stop", "do it in the program when it receives `stop_signal`"),
    no("privileged", "name the capabilities that it needs with `cap_add`"),
    no("provider", "run it as a container"),
    no("runtime", "set the default runtime of the nodes"),
    no("security_opt", "set the default profiles of the nodes"),
    no("stdin_open", "leave it out; `wharf exec` gives a terminal in a running container"),
    no("storage_opt", "set the storage options of the nodes"),
    no(
        "use_api_socket",
        "mount the socket with `volumes` if the container has to control the node",
    ),
    no("userns_mode", "set the user namespaces of the nodes"),
    no("uts", "leave it out; each container has a host name of its own"),
    no("volumes_from", "name the volume in both services"),
];

/// `services.*.build`
pub(in super::super) static BUILD: &[Key] = &[
    partly("context", "a directory"),
    yes("dockerfile"),
    yes("args"),
    yes("target"),
    no("additional_contexts", "put what is needed into the context"),
    no("cache_from", "leave it out"),
    no("cache_to", "leave it out"),
    no("dockerfile_inline", "write it to a file and name it with `dockerfile`"),
    no("entitlements", "leave it out"),
    no("extra_hosts", "leave it out"),
    no("isolation", "leave it out; it is for Windows"),
    no("labels", "write `LABEL` in the Dockerfile"),
    no("network", "leave it out"),
    no("no_cache", "leave it out"),
    no("platforms", "leave it out; the image is built for the platform of the builder"),
    no("privileged", "leave it out"),
    no("provenance", "leave it out"),
    no("pull", "leave it out"),
    no("sbom", "leave it out"),
    no("secrets", "build the image with docker and give it as `image`"),
    no("shm_size", "leave it out"),
    no("ssh", "build the image with docker and give it as `image`"),
    no("tags", "leave it out; `image` is the tag"),
    no("ulimits", "leave it out"),
];

/// `services.*.env_file`, as a mapping
pub(in super::super) static ENV_FILE: &[Key] =
    &[yes("path"), yes("required"), partly("format", "only `raw`")];

/// `services.*.depends_on.*`
pub(in super::super) static DEPENDENCY: &[Key] = &[
    partly(
        "condition",
        "a service that others wait for with `service_completed_successfully` is a job: see jobs.md",
    ),
    no(
        "restart",
        "leave it out; a dependency that is replaced does not restart what depends on it",
    ),
    partly("required", "false only when the other service may be missing from the project"),
];

/// `services.*.healthcheck`
static HEALTHCHECK: &[Key] = &[
    yes("test"),
    yes("disable"),
    yes("interval"),
    yes("timeout"),
    yes("retries"),
    yes("start_period"),
    partly("x-http", "asks for a page from the node; a status from 200 to 399 is good").keys(HTTP),
    partly("x-tcp", "opens a connection from the node").keys(TCP),
    no("start_interval", "use a shorter `interval`"),
];

/// `services.*.healthcheck.x-http`
static HTTP: &[Key] = &[yes("port"), partly("path", "`/` when it is left out")];

/// `services.*.healthcheck.x-tcp`
static TCP: &[Key] = &[yes("port")];

/// `services.*.ulimits.*`
pub(in super::super) static ULIMIT: &[Key] = &[yes("soft"), yes("hard")];

/// `services.*.extends`
pub(in super::super) static EXTENDS: &[Key] = &[yes("service"), yes("file")];
