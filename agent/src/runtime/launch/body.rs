//! A container spec in the words of the engine's API.

use std::collections::HashMap;
use std::time::Duration;

use agent_core::action::Launch;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as EngineMount,
    MountTmpfsOptions, MountType, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use model::policy::{DROPPED, PIDS_USUALLY, Profile, plain_capability};
use model::spec::{
    Attachment, ContainerSpec, HealthCheck, Mount, MountSource, Network, PortSpec, Probe, Protocol,
    SecuritySpec,
};

use crate::runtime::{Settings, label, network};
use crate::{leases, secrets};

/// Thousandths of a core in the engine's billionths.
const NANOS_PER_MILLI: u64 = 1_000_000;

/// The shortest time that the engine takes for a health check.
const SHORTEST_CHECK: Duration = Duration::from_millis(1);

/// What the engine is asked to make, but for its networks and its log.
pub(super) fn body(
    settings: &Settings,
    launch: &Launch,
    spec: &ContainerSpec,
    image: &str,
) -> ContainerCreateBody {
    let process = &spec.process;
    let is_owner = launch.network_of.is_none();
    let ports = published(launch);
    ContainerCreateBody {
        image: Some(image.to_owned()),
        // The engine takes no name of its own where the network is another's.
        hostname: process.hostname.clone().filter(|_| is_owner),
        user: process.user.clone(),
        exposed_ports: Some(ports.iter().map(key).collect()),
        tty: Some(process.tty),
        env: Some(environment(launch, spec)),
        entrypoint: process.entrypoint.clone(),
        cmd: process.command.clone(),
        working_dir: process.working_dir.clone(),
        healthcheck: spec.health.as_ref().map(health),
        labels: Some(labels(settings, launch, spec)),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: Some(whole_seconds(spec.stop_grace)),
        host_config: Some(host(settings, launch, spec)),
        ..ContainerCreateBody::default()
    }
}

fn host(settings: &Settings, launch: &Launch, spec: &ContainerSpec) -> HostConfig {
    let security = &spec.security;
    let ulimits = security.ulimits.iter().map(|(name, (soft, hard))| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(*soft),
        hard: Some(*hard),
    });
    let mounts = spec.mounts.iter().map(|mount| engine_mount(settings, launch, mount));
    let mounts = mounts.chain(lease_mount(settings, launch));
    let mounts = mounts.chain(secret_mounts(settings, launch, spec));
    HostConfig {
        network_mode: Some(network_mode(settings, launch)),
        port_bindings: Some(bindings(&published(launch))),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        init: Some(true),
        nano_cpus: bounded(spec.limit.cpu_millis.saturating_mul(NANOS_PER_MILLI)),
        memory: bounded(spec.limit.memory_bytes),
        pids_limit: Some(i64::from(security.pids_limit.unwrap_or(PIDS_USUALLY))),
        ulimits: Some(ulimits.collect()),
        mounts: Some(mounts.collect()),
        cap_add: Some(security.cap_add.clone()),
        cap_drop: Some(dropped(launch.spec.profile, security)),
        // No program of the image gives itself more than it was started with.
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        readonly_rootfs: Some(security.is_read_only || launch.spec.profile == Profile::Strict),
        sysctls: Some(security.sysctls.clone().into_iter().collect()),
        shm_size: security.shm_bytes.and_then(bounded),
        extra_hosts: Some(extra_hosts(launch)),
        ..HostConfig::default()
    }
}

/// Where the container finds its secrets: the engine is given paths, and never what is there.
fn secret_mounts(settings: &Settings, launch: &Launch, spec: &ContainerSpec) -> Vec<EngineMount> {
    let Some(root) = &settings.secrets else { return Vec::new() };
    let bound = secrets::bindings(root, &launch.task, (&spec.name, &spec.secrets.files));
    let mount = |(source, target): (std::path::PathBuf, String)| EngineMount {
        target: Some(target),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..EngineMount::default()
    };
    bound.into_iter().map(mount).collect()
}

/// The directory in which the task finds its socket, if it takes leases.
fn lease_mount(settings: &Settings, launch: &Launch) -> Option<EngineMount> {
    launch.spec.lease?;
    let source = leases::directory(settings.leases.as_ref()?, &launch.task);
    Some(EngineMount {
        target: Some(leases::MOUNTED_AT.to_owned()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..EngineMount::default()
    })
}

/// Its own environment, and where the socket for leases is unless it says that itself.
fn environment(launch: &Launch, spec: &ContainerSpec) -> Vec<String> {
    let own = &spec.process.environment;
    let socket = launch.spec.lease.filter(|_| !own.contains_key(leases::VARIABLE));
    let socket = socket.map(|_| format!("{}={}", leases::VARIABLE, leases::socket_inside()));
    own.iter().map(|(key, value)| format!("{key}={value}")).chain(socket).collect()
}

/// What it was told to do without, and what no container has that does not ask for it.
fn dropped(profile: Profile, security: &SecuritySpec) -> Vec<String> {
    if profile == Profile::Strict {
        // What it asks for is added to that.
        return vec!["ALL".to_owned()];
    }
    let asked: Vec<String> = security.cap_add.iter().map(|name| plain_capability(name)).collect();
    let is_asked = |name: &&&str| asked.iter().any(|asked| asked == **name || asked == "ALL");
    let usual = DROPPED.iter().filter(|name| !is_asked(name)).map(ToString::to_string);
    let mut dropped = security.cap_drop.clone();
    dropped.extend(usual);
    dropped
}

/// Connects to the first network at once; the engine before API 1.44 takes no more than one.
pub(super) fn first_network(networks: &[(String, &Attachment)]) -> Option<NetworkingConfig> {
    let (name, attachment) = networks.first()?;
    let endpoints = HashMap::from([(name.clone(), network::endpoint(attachment))]);
    Some(NetworkingConfig { endpoints_config: Some(endpoints) })
}

/// 30 MB of log a container: without this the engine's JSON files grow until the disk is full.
pub(super) fn bounded_logs() -> HostConfigLogConfig {
    let config = [("max-size", "10m"), ("max-file", "3")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    HostConfigLogConfig { typ: Some("json-file".into()), config: Some(config.into()) }
}

fn labels(settings: &Settings, launch: &Launch, spec: &ContainerSpec) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.extend(label::container(settings, launch));
    if launch.spec.network == Network::Host && !spec.ports.is_empty() {
        let ports: Vec<String> = spec.ports.iter().map(key).collect();
        labels.insert(label::HOST_PORTS.into(), ports.join(","));
    }
    labels
}

fn network_mode(settings: &Settings, launch: &Launch) -> String {
    if let Some(owner) = &launch.network_of {
        return format!("container:{owner}");
    }
    match &launch.spec.network {
        Network::Project(attachments) => attachments.first().map_or("none".into(), |first| {
            label::belonging_name(&settings.cluster, &launch.project, &first.network)
        }),
        Network::Host => "host".into(),
        Network::None => "none".into(),
    }
}

/// The ports of all containers of the task are published by the one that owns their network.
fn published(launch: &Launch) -> Vec<PortSpec> {
    match &launch.spec.network {
        Network::Project(_) if launch.network_of.is_none() => {
            launch.spec.containers.iter().flat_map(|spec| spec.ports.iter().copied()).collect()
        }
        Network::Project(_) | Network::Host | Network::None => Vec::new(),
    }
}

/// `/etc/hosts` belongs to the network as well: the owner's has the names of all.
fn extra_hosts(launch: &Launch) -> Vec<String> {
    if launch.network_of.is_some() {
        return Vec::new();
    }
    let all = launch.spec.containers.iter().flat_map(|spec| spec.process.extra_hosts.clone());
    let mut hosts: Vec<String> = Vec::new();
    for host in all {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

fn key(port: &PortSpec) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.container)
}

fn bindings(ports: &[PortSpec]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let address = port.address.map_or("0.0.0.0".into(), |address| address.to_string());
        let binding = PortBinding {
            host_ip: Some(address),
            host_port: Some(port.host.unwrap_or_default().to_string()),
        };
        map.entry(key(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

fn engine_mount(settings: &Settings, launch: &Launch, mount: &Mount) -> EngineMount {
    let (typ, source, tmpfs_options) = match &mount.source {
        MountSource::Volume { name } => {
            let name = label::belonging_name(&settings.cluster, &launch.project, name);
            (MountType::VOLUME, Some(name), None)
        }
        MountSource::HostVolume { name } => (MountType::VOLUME, Some(name.clone()), None),
        MountSource::Bind { path } => (MountType::BIND, Some(path.clone()), None),
        MountSource::Tmpfs { size_bytes } => {
            let options =
                MountTmpfsOptions { size_bytes: bounded(*size_bytes), ..Default::default() };
            (MountType::TMPFS, None, Some(options))
        }
    };
    EngineMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(typ),
        read_only: Some(mount.is_read_only),
        tmpfs_options,
        ..EngineMount::default()
    }
}

/// The engine runs commands; for what the agent probes itself the image's own check is switched off.
fn health(check: &HealthCheck) -> HealthConfig {
    match &check.probe {
        Probe::Command(test) => HealthConfig {
            test: Some(test.clone()),
            interval: Some(nanoseconds(check.interval)),
            timeout: Some(nanoseconds(check.timeout)),
            retries: Some(i64::from(check.retries)),
            start_period: Some(check.start_period)
                .filter(|period| !period.is_zero())
                .map(nanoseconds),
            start_interval: None,
        },
        Probe::Disabled | Probe::Http { .. } | Probe::Tcp { .. } => {
            HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }
        }
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.max(SHORTEST_CHECK).as_nanos()).unwrap_or(i64::MAX)
}

fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// An amount as the engine takes it; zero is without a limit.
fn bounded(amount: u64) -> Option<i64> {
    (amount > 0).then(|| i64::try_from(amount).unwrap_or(i64::MAX))
}
