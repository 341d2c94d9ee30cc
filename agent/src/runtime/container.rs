//! What an inspect shows, as the plain value that the core knows.

use std::collections::HashMap;

use agent_core::observed::{Container, Status};
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as StatusWord,
    HealthStatusEnum as HealthWord, PortBinding, PortMap,
};
use model::spec::Protocol;
use model::task::{Exit, Health, PublishedPort};
use model::time::Timestamp;

use super::label;

/// Reads an inspect.
///
/// # Errors
/// Says which label is missing or can not be read: then it is not a container of ours that we could speak of.
pub(super) fn read(inspect: ContainerInspectResponse) -> Result<Container, String> {
    let labels = inspect.config.and_then(|config| config.labels).unwrap_or_default();
    let state = inspect.state.unwrap_or_default();
    let host = inspect.host_config.unwrap_or_default();
    let mode = host.network_mode.unwrap_or_default();
    let bound = inspect.network_settings.and_then(|network| network.ports).unwrap_or_default();
    Ok(Container {
        id: inspect.id.ok_or("the engine gave no id")?,
        name: inspect.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        task: parse(&labels, label::TASK)?,
        container: parse(&labels, label::CONTAINER)?,
        attempt: parse(&labels, label::ATTEMPT)?,
        status: status(&state),
        started_at: instant(state.started_at.as_deref()),
        health: health(&state),
        ports: if mode == "host" { host_ports(&labels) } else { published(&bound) },
        network_of: mode.strip_prefix("container:").map(str::to_owned),
    })
}

fn parse<T: std::str::FromStr>(labels: &HashMap<String, String>, key: &str) -> Result<T, String> {
    let text = labels.get(key).ok_or_else(|| format!("it has no label {key}"))?;
    text.parse().map_err(|_| format!("its label {key} is {text:?}"))
}

fn status(state: &ContainerState) -> Status {
    match state.status {
        Some(StatusWord::RUNNING | StatusWord::RESTARTING | StatusWord::STOPPING) => {
            Status::Running
        }
        Some(StatusWord::PAUSED) => Status::Paused,
        Some(StatusWord::EXITED) => Status::Exited(exit(state)),
        Some(StatusWord::DEAD | StatusWord::REMOVING) => Status::Dead,
        Some(StatusWord::CREATED | StatusWord::EMPTY) | None => Status::Created,
    }
}

fn exit(state: &ContainerState) -> Exit {
    Exit {
        code: state.exit_code.unwrap_or_default(),
        is_oom: state.oom_killed.unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        at: instant(state.finished_at.as_deref()).unwrap_or_default(),
    }
}

fn health(state: &ContainerState) -> Option<Health> {
    match state.health.as_ref()?.status? {
        HealthWord::EMPTY | HealthWord::NONE => None,
        HealthWord::STARTING => Some(Health::Starting),
        HealthWord::HEALTHY => Some(Health::Healthy),
        HealthWord::UNHEALTHY => Some(Health::Unhealthy),
    }
}

/// Reads a time of the engine. Its zero, in the year 1, means "never".
pub(super) fn instant(text: Option<&str>) -> Option<Timestamp> {
    let time: jiff::Timestamp = text?.parse().ok()?;
    let millis = u64::try_from(time.as_millisecond()).ok()?;
    Some(Timestamp::from_millis(millis)).filter(|_| millis > 0)
}

/// The ports that the engine publishes, in a fixed order, each once: it shows IPv4 and IPv6 apart.
fn published(map: &PortMap) -> Vec<PublishedPort> {
    let mut ports: Vec<PublishedPort> =
        map.iter().flat_map(|(key, bindings)| of_port(key, bindings.as_deref())).collect();
    sort(&mut ports);
    ports
}

/// Docker 20.10 may give IPv6 another port than IPv4; where there is IPv4 it is what others are told.
fn of_port(key: &str, bindings: Option<&[PortBinding]>) -> Vec<PublishedPort> {
    let Some((container, protocol)) = port(key) else { return Vec::new() };
    let is_v6 =
        |binding: &&PortBinding| binding.host_ip.as_deref().is_some_and(|ip| ip.contains(':'));
    let bindings = bindings.unwrap_or_default();
    let (v6, v4): (Vec<_>, Vec<_>) = bindings.iter().partition(is_v6);
    let chosen = if v4.is_empty() { v6 } else { v4 };
    let numbers = chosen.into_iter().filter_map(|binding| binding.host_port.as_ref()?.parse().ok());
    numbers.map(|host| PublishedPort { container, host, protocol }).collect()
}

/// The ports that a container in host mode uses, as its label lists them.
fn host_ports(labels: &HashMap<String, String>) -> Vec<PublishedPort> {
    let keys = labels.get(label::HOST_PORTS).map(String::as_str).unwrap_or_default().split(',');
    let ports = keys.filter_map(port);
    let mut ports: Vec<PublishedPort> = ports
        .map(|(number, protocol)| PublishedPort { container: number, host: number, protocol })
        .collect();
    sort(&mut ports);
    ports
}

fn sort(ports: &mut Vec<PublishedPort>) {
    ports.sort_unstable_by_key(|port| (port.container, port.protocol, port.host));
    ports.dedup();
}

/// Reads `80/tcp`.
fn port(key: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = key.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some((number.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(ip: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: Some(ip.into()), host_port: Some(port.into()) }
    }

    #[test]
    fn a_port_that_is_published_on_both_families_is_told_once() {
        let both = vec![binding("::", "49155"), binding("0.0.0.0", "49154")];
        let map = PortMap::from([
            ("80/tcp".into(), Some(both)),
            ("53/udp".into(), Some(vec![binding("::1", "53")])),
            ("9/sctp".into(), Some(vec![binding("", "9")])),
            ("443/tcp".into(), None),
        ]);
        let told = published(&map);
        let ports: Vec<(u16, u16)> = told.iter().map(|port| (port.container, port.host)).collect();
        assert_eq!(ports, [(53, 53), (80, 49154)]);
    }

    #[test]
    fn the_engines_zero_is_no_time() {
        assert_eq!(instant(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(instant(Some("garbage")), None);
        let time = instant(Some("2024-05-01T12:00:00.123456789+02:00")).unwrap();
        assert_eq!(time.as_millis(), 1_714_557_600_123);
    }

    #[test]
    fn a_container_of_api_1_52_is_read_without_the_fields_that_it_lacks() {
        let told = r#"{"Id":"9fde54c019a7","Name":"/wharf-aaa","Driver":"overlayfs",
            "State":{"Status":"exited","Running":false,"OOMKilled":true,"ExitCode":137,"Error":"",
                "StartedAt":"2026-11-24T18:31:27.345634699Z","FinishedAt":"2026-11-24T18:31:28Z",
                "Health":{"Status":"unhealthy","FailingStreak":1,"Log":null}},
            "HostConfig":{"NetworkMode":"foo","LogConfig":{"Type":"json-file","Config":{}}},
            "Storage":{"RootFS":{"Snapshot":{"Name":"overlayfs"}}},
            "Config":{"Image":"wharf-test:1","Labels":
                {"wharf.task":"lab.app.1.7","wharf.container":"app","wharf.attempt":"2"}},
            "NetworkSettings":{"SandboxID":"2067e0","SandboxKey":"/run/docker/netns/2067e0dfdf3b",
                "Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]},
                "Networks":{"foo":{"IPAddress":"172.19.0.2","DNSNames":["aaa"]}}},
            "ImageManifestDescriptor":{"mediaType":"application/vnd.oci.image.manifest.v1+json",
                "digest":"sha256:419a","size":405,"platform":{"architecture":"amd64","os":"linux"}}}"#;
        let container = read(serde_json::from_str(told).unwrap()).unwrap();
        let Status::Exited(exit) = &container.status else { panic!("{container:?}") };
        assert_eq!((exit.code, exit.is_oom), (137, true));
        assert_eq!(container.health, Some(Health::Unhealthy));
        assert_eq!(container.ports[0].host, 8080);
        assert_eq!((container.ports.len(), container.network_of), (1, None));
    }
}
