//! One container of a task spec.

use std::collections::{BTreeMap, BTreeSet};

use model::image::is_volume_name;
use model::resources::Resources;
use model::spec::{
    ContainerSpec, FILE_LIMIT, FileSpec, HealthCheck, Mount, MountSource, PortSpec, Probe,
    ProcessSpec, Protocol, SecuritySpec,
};
use tonic::codegen::http::uri::PathAndQuery;

use crate::convert::checks::{absolute, duration, few, fits, millis, port, quoted, text, word};
use crate::convert::secret::{uses_from_wire, uses_to_wire, variables_to_wire};
use crate::convert::spec::{
    dependencies_from_wire, dependencies_to_wire, image_from_wire, image_to_wire,
    resources_from_wire, resources_to_wire,
};
use crate::convert::{At, Invalid, Named, Valid};
use crate::wire;

/// The longest stop grace makes a drain wait: longer than an hour is a mistake.
const STOP_GRACE_LIMIT_MS: u64 = 3_600_000;

pub(crate) fn from_wire(from: &wire::ContainerSpec) -> Valid<ContainerSpec> {
    few("ports", from.ports.len())?;
    if from.stop_grace_ms > STOP_GRACE_LIMIT_MS {
        return Err(Invalid::new("stop_grace", "is longer than an hour"));
    }
    Ok(ContainerSpec {
        name: from.name.named("name")?,
        image: image_from_wire(from.image.as_ref().at("image")?)?,
        process: process_from_wire(&from.process.clone().unwrap_or_default())?,
        reservation: resources_from_wire("reservation", from.reservation.as_ref())?,
        limit: limit_from_wire(from.limit.as_ref())?,
        ports: from.ports.iter().map(port_from_wire).collect::<Valid<_>>()?,
        mounts: mounts_from_wire(&from.mounts)?,
        files: files_from_wire(&from.files)?,
        health: from.health.as_ref().map(health_from_wire).transpose()?,
        after: dependencies_from_wire(&from.after)?,
        stop_signal: optional("stop_signal", from.stop_signal.as_deref())?,
        stop_grace: duration("stop_grace", from.stop_grace_ms)?,
        labels: labels_from_wire(&from.labels)?,
        security: security_from_wire(&from.security.clone().unwrap_or_default())?,
        secrets: uses_from_wire(from)?,
    })
}

pub(crate) fn to_wire(spec: &ContainerSpec) -> wire::ContainerSpec {
    wire::ContainerSpec {
        name: spec.name.to_string(),
        image: Some(image_to_wire(&spec.image)),
        process: Some(process_to_wire(&spec.process)),
        reservation: Some(resources_to_wire(&spec.reservation)),
        limit: Some(resources_to_wire(&spec.limit)),
        ports: spec.ports.iter().map(port_to_wire).collect(),
        mounts: spec.mounts.iter().map(mount_to_wire).collect(),
        files: spec.files.iter().map(file_to_wire).collect(),
        health: spec.health.as_ref().map(health_to_wire),
        after: dependencies_to_wire(&spec.after),
        stop_signal: spec.stop_signal.clone(),
        stop_grace_ms: millis(spec.stop_grace),
        labels: spec.labels.clone(),
        security: Some(security_to_wire(&spec.security)),
        secret_files: uses_to_wire(&spec.secrets),
        secret_variables: variables_to_wire(&spec.secrets),
    }
}

/// A device is given or not: there is nothing to limit.
fn limit_from_wire(from: Option<&wire::Resources>) -> Valid<Resources> {
    let limit = resources_from_wire("limit", from)?;
    for (name, amount) in
        [("gpus", limit.gpus), ("disk_bytes", limit.disk_bytes), ("pids", limit.pids)]
    {
        if amount > 0 {
            let why = format!("{name} are reserved and not limited here");
            return Err(Invalid::new(&format!("limit.{name}"), why));
        }
    }
    Ok(limit)
}

fn optional(path: &str, given: Option<&str>) -> Valid<Option<String>> {
    given.map(|given| word(path, given)).transpose()
}

fn texts(path: &str, given: &[String]) -> Valid<Vec<String>> {
    few(path, given.len())?;
    given.iter().map(|one| text(path, one)).collect()
}

fn words(path: &str, given: &[String]) -> Valid<Vec<String>> {
    few(path, given.len())?;
    given.iter().map(|one| word(path, one)).collect()
}

fn process_from_wire(from: &wire::ProcessSpec) -> Valid<ProcessSpec> {
    let command = |path, given: &Option<wire::Words>| {
        given.as_ref().map(|given| texts(path, &given.words)).transpose()
    };
    Ok(ProcessSpec {
        entrypoint: command("entrypoint", &from.entrypoint)?,
        command: command("command", &from.command)?,
        environment: environment_from_wire(&from.environment)?,
        user: optional("user", from.user.as_deref())?,
        working_dir: from
            .working_dir
            .as_deref()
            .map(|dir| absolute("working_dir", dir))
            .transpose()?,
        hostname: optional("hostname", from.hostname.as_deref())?,
        extra_hosts: words("extra_hosts", &from.extra_hosts)?,
        tty: from.tty,
    })
}

fn environment_from_wire(from: &BTreeMap<String, String>) -> Valid<BTreeMap<String, String>> {
    few("environment", from.len())?;
    for (name, value) in from {
        word("environment", name)?;
        if name.contains('=') {
            let why = format!("{} contains an equals sign", quoted(name));
            return Err(Invalid::new("environment", why));
        }
        text("environment", value)?;
        fits("environment", name.len() + "=".len() + value.len())?;
    }
    Ok(from.clone())
}

fn labels_from_wire(from: &BTreeMap<String, String>) -> Valid<BTreeMap<String, String>> {
    few("labels", from.len())?;
    for (name, value) in from {
        word("labels", name)?;
        text("labels", value)?;
        if name.starts_with("wharf.") {
            let why = format!("{}: labels that begin with `wharf.` are ours", quoted(name));
            return Err(Invalid::new("labels", why));
        }
    }
    Ok(from.clone())
}

fn process_to_wire(process: &ProcessSpec) -> wire::ProcessSpec {
    let command = |words: &Option<Vec<String>>| words.clone().map(|words| wire::Words { words });
    wire::ProcessSpec {
        entrypoint: command(&process.entrypoint),
        command: command(&process.command),
        environment: process.environment.clone(),
        user: process.user.clone(),
        working_dir: process.working_dir.clone(),
        hostname: process.hostname.clone(),
        extra_hosts: process.extra_hosts.clone(),
        tty: process.tty,
    }
}

fn security_from_wire(from: &wire::SecuritySpec) -> Valid<SecuritySpec> {
    few("sysctls", from.sysctls.len())?;
    for (name, value) in &from.sysctls {
        word("sysctls", name)?;
        text("sysctls", value)?;
    }
    Ok(SecuritySpec {
        cap_add: words("cap_add", &from.cap_add)?,
        cap_drop: words("cap_drop", &from.cap_drop)?,
        is_read_only: from.read_only,
        pids_limit: from.pids_limit,
        ulimits: ulimits_from_wire(&from.ulimits)?,
        sysctls: from.sysctls.clone(),
        shm_bytes: from.shm_bytes,
    })
}

/// Soft and hard limits, where -1 is without a limit: see setrlimit(2).
fn ulimits_from_wire(from: &BTreeMap<String, wire::Ulimit>) -> Valid<BTreeMap<String, (i64, i64)>> {
    few("ulimits", from.len())?;
    let mut ulimits = BTreeMap::new();
    for (name, wire::Ulimit { soft, hard }) in from {
        let is_in_order = *hard == -1 || *soft >= 0 && soft <= hard;
        if *soft < -1 || *hard < -1 || !is_in_order {
            let why =
                format!("{soft} and {hard} are no limits: -1, or the soft up to the hard one");
            return Err(Invalid::new("ulimits", why));
        }
        ulimits.insert(word("ulimits", name)?, (*soft, *hard));
    }
    Ok(ulimits)
}

fn security_to_wire(security: &SecuritySpec) -> wire::SecuritySpec {
    let ulimit = |(name, limit): (&String, &(i64, i64))| {
        (name.clone(), wire::Ulimit { soft: limit.0, hard: limit.1 })
    };
    wire::SecuritySpec {
        cap_add: security.cap_add.clone(),
        cap_drop: security.cap_drop.clone(),
        read_only: security.is_read_only,
        pids_limit: security.pids_limit,
        ulimits: security.ulimits.iter().map(ulimit).collect(),
        sysctls: security.sysctls.clone(),
        shm_bytes: security.shm_bytes,
    }
}

pub(crate) fn protocol_from_wire(path: &str, number: i32) -> Valid<Protocol> {
    match wire::Protocol::try_from(number) {
        Ok(wire::Protocol::Tcp) => Ok(Protocol::Tcp),
        Ok(wire::Protocol::Udp) => Ok(Protocol::Udp),
        Ok(wire::Protocol::Unspecified) | Err(_) => None.at(path),
    }
}

pub(crate) fn protocol_to_wire(protocol: Protocol) -> i32 {
    i32::from(match protocol {
        Protocol::Tcp => wire::Protocol::Tcp,
        Protocol::Udp => wire::Protocol::Udp,
    })
}

fn port_from_wire(from: &wire::PortSpec) -> Valid<PortSpec> {
    let address = from.address.as_deref().map(|address| {
        let why = format!("{} is not an IP address", quoted(address));
        address.parse().map_err(|_| Invalid::new("ports.address", why))
    });
    Ok(PortSpec {
        container: port("ports.container", from.container)?,
        host: from.host.map(|host| port("ports.host", host)).transpose()?,
        protocol: protocol_from_wire("ports.protocol", from.protocol)?,
        address: address.transpose()?,
    })
}

fn port_to_wire(port: &PortSpec) -> wire::PortSpec {
    wire::PortSpec {
        container: port.container.into(),
        host: port.host.map(Into::into),
        protocol: protocol_to_wire(port.protocol),
        address: port.address.map(|address| address.to_string()),
    }
}

fn mounts_from_wire(from: &[wire::Mount]) -> Valid<Vec<Mount>> {
    few("mounts", from.len())?;
    let mounts: Vec<Mount> = from.iter().map(mount_from_wire).collect::<Valid<_>>()?;
    let targets: Vec<&str> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    distinct("mounts.target", &targets)?;
    Ok(mounts)
}

/// Paths of which the engine takes each once, and the root not at all.
fn distinct(path: &str, targets: &[&str]) -> Valid<()> {
    let mut taken = BTreeSet::new();
    for target in targets {
        let parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
        let parts: Vec<&str> = parts.collect();
        if parts.is_empty() {
            return Err(Invalid::new(path, format!("{} is the root", quoted(target))));
        }
        if !taken.insert(parts) {
            return Err(Invalid::new(path, format!("{} is there twice", quoted(target))));
        }
    }
    Ok(())
}

fn mount_from_wire(from: &wire::Mount) -> Valid<Mount> {
    let source = match from.source.as_ref().at("mounts.source")? {
        wire::mount::Source::Volume(name) => {
            MountSource::Volume { name: name.named("mounts.volume")? }
        }
        wire::mount::Source::Bind(path) => {
            MountSource::Bind { path: absolute("mounts.bind", path)? }
        }
        wire::mount::Source::HostVolume(name) => {
            if !is_volume_name(name) {
                let why = format!("{} is not the name of a volume of an engine", quoted(name));
                return Err(Invalid::new("mounts.host_volume", why));
            }
            MountSource::HostVolume { name: name.clone() }
        }
        wire::mount::Source::TmpfsBytes(bytes) => MountSource::Tmpfs { size_bytes: *bytes },
    };
    let target = absolute("mounts.target", &from.target)?;
    Ok(Mount { source, target, is_read_only: from.read_only })
}

fn mount_to_wire(mount: &Mount) -> wire::Mount {
    let source = match &mount.source {
        MountSource::Volume { name } => wire::mount::Source::Volume(name.to_string()),
        MountSource::Bind { path } => wire::mount::Source::Bind(path.clone()),
        MountSource::HostVolume { name } => wire::mount::Source::HostVolume(name.clone()),
        MountSource::Tmpfs { size_bytes } => wire::mount::Source::TmpfsBytes(*size_bytes),
    };
    let (target, read_only) = (mount.target.clone(), mount.is_read_only);
    wire::Mount { source: Some(source), target, read_only }
}

fn files_from_wire(from: &[wire::FileSpec]) -> Valid<Vec<FileSpec>> {
    few("files", from.len())?;
    let total: usize = from.iter().map(|file| file.content.len()).sum();
    if total > FILE_LIMIT {
        let why = format!("have {total} bytes together of {FILE_LIMIT} allowed");
        return Err(Invalid::new("files", why));
    }
    let files: Vec<FileSpec> = from.iter().map(file_from_wire).collect::<Valid<_>>()?;
    let targets: Vec<&str> = files.iter().map(|file| file.target.as_str()).collect();
    distinct("files.target", &targets)?;
    Ok(files)
}

fn file_from_wire(from: &wire::FileSpec) -> Valid<FileSpec> {
    let target = absolute("files.target", &from.target)?;
    if target.ends_with('/') || target.ends_with("/.") {
        let why = format!("{} is a folder: a file has a name", quoted(&target));
        return Err(Invalid::new("files.target", why));
    }
    let (content, mode) = (from.content.clone(), from.mode & 0o7777);
    Ok(FileSpec { target, content, mode, owner: (from.uid, from.gid) })
}

fn file_to_wire(file: &FileSpec) -> wire::FileSpec {
    let (uid, gid) = file.owner;
    let (target, content) = (file.target.clone(), file.content.clone());
    wire::FileSpec { target, content, mode: file.mode, uid, gid }
}

fn health_from_wire(from: &wire::HealthCheck) -> Valid<HealthCheck> {
    use wire::health_check::Probe as Wire;
    let probe = match from.probe.as_ref().at("health.probe")? {
        Wire::Disabled(_) => Probe::Disabled,
        Wire::Command(command) => Probe::Command(command_from_wire(&command.words)?),
        Wire::Http(http) => Probe::Http {
            port: port("health.http.port", http.port)?,
            path: path_from_wire(&http.path)?,
        },
        Wire::Tcp(tcp) => Probe::Tcp { port: port("health.tcp.port", tcp.port)? },
    };
    let interval = duration("health.interval", from.interval_ms)?;
    let timeout = duration("health.timeout", from.timeout_ms)?;
    if from.interval_ms == 0 || from.timeout_ms == 0 {
        return Err(Invalid::new("health", "interval and timeout are longer than nothing"));
    }
    let start_period = duration("health.start_period", from.start_period_ms)?;
    Ok(HealthCheck { probe, interval, timeout, retries: from.retries.max(1), start_period })
}

fn command_from_wire(words: &[String]) -> Valid<Vec<String>> {
    match words.first().map(String::as_str) {
        Some("CMD" | "CMD-SHELL") if words.len() > 1 => texts("health.command", words),
        Some(_) | None => {
            Err(Invalid::new("health.command", "begins with CMD or CMD-SHELL and has a command"))
        }
    }
}

fn path_from_wire(path: &str) -> Valid<String> {
    let path = word("health.http.path", path)?;
    if path.starts_with('/') && path.parse::<PathAndQuery>().is_ok() {
        return Ok(path);
    }
    let why =
        format!("{} is no path of HTTP: it begins with a slash and is encoded", quoted(&path));
    Err(Invalid::new("health.http.path", why))
}

fn health_to_wire(check: &HealthCheck) -> wire::HealthCheck {
    use wire::health_check::Probe as Wire;
    let probe = match &check.probe {
        Probe::Disabled => Wire::Disabled(wire::NoProbe {}),
        Probe::Command(words) => Wire::Command(wire::Words { words: words.clone() }),
        Probe::Http { port, path } => {
            Wire::Http(wire::HttpProbe { port: (*port).into(), path: path.clone() })
        }
        Probe::Tcp { port } => Wire::Tcp(wire::TcpProbe { port: (*port).into() }),
    };
    wire::HealthCheck {
        probe: Some(probe),
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        retries: check.retries,
        start_period_ms: millis(check.start_period),
    }
}
