//! Finds the engine and settles on a version of its API.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use agent_core::action::{Fault, FaultKind};
use bollard::BollardRequest;
use bollard::models::{SystemInfo, SystemVersion};
use hyper::header::HeaderValue;
use thiserror::Error;

use super::ask::{Trouble, ask, chain, fault};
use super::usage::{disk, most_processes};
use super::{Docker, Settings, Shared, limit, pull, wire};

/// The newest API that this code was written against: Docker 28.3. Newer engines are asked in its words.
const NEWEST: u32 = 51;

/// The oldest API that this code works with: Docker 20.10.
const OLDEST: u32 = 41;

/// Bollard's own limit is for all requests alike; ours are per request, so that this one only has to be longer.
const BACKSTOP: Duration = Duration::from_hours(24);

/// Why there is no engine.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no socket, or nobody listens.
    #[error(
        "no Docker engine at {}: Docker is not installed or not started (try: systemctl start docker)",
        socket.display()
    )]
    Missing {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// The socket may not be opened.
    #[error(
        "no permission to use the Docker engine at {}: add the user to the docker group (usermod -aG docker USER) or use sudo",
        socket.display()
    )]
    Denied {
        /// Where it listens.
        socket: PathBuf,
    },
    /// Something else listens.
    #[error(
        "what listens at {} is not a Docker engine ({why}): check the path of the socket",
        socket.display()
    )]
    NotAnEngine {
        /// Where it listens.
        socket: PathBuf,
        /// What it said.
        why: String,
    },
    /// Too old or too new.
    #[error(
        "the Docker engine speaks API {oldest} to {newest}, and this agent 1.{OLDEST} to 1.{NEWEST}: Docker 20.10 to 29 work"
    )]
    Version {
        /// The oldest that it speaks.
        oldest: String,
        /// The newest that it speaks.
        newest: String,
    },
}

/// What the engine says about itself and its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Of the engine: `28.2.2`.
    pub version: String,
    /// Which API is spoken with it: `1.51`.
    pub api: String,
    /// Of this installation of the engine.
    pub id: String,
    /// In Docker's words: `amd64`, `arm64`.
    pub arch: String,
    /// Of the host.
    pub hostname: String,
    /// What the engine runs containers of: `linux`.
    pub os: String,
    /// Of the host.
    pub kernel: String,
    /// Cores.
    pub cpus: u32,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// GPUs that containers can be given.
    pub gpus: u64,
    /// Bytes of the file system on which images and containers are kept.
    pub disk_bytes: u64,
    /// Processes and threads that the host can have at once.
    pub pids: u64,
    /// Where images and containers are kept.
    pub root_dir: PathBuf,
    /// Whether containers outlive a restart of the engine.
    pub live_restore: bool,
    /// `overlay2` and the like.
    pub storage_driver: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
}

/// What was settled with the engine. It may be exchanged for another version at any time.
#[derive(Debug, Default)]
pub(super) struct Api {
    /// The minor number of the version that is spoken now; the major one is 1 for ever.
    minor: AtomicU32,
    /// Whether logs are JSON files by default, which nobody bounds unless we do.
    writes_json_logs: AtomicBool,
}

impl Api {
    pub(super) fn writes_json_logs(&self) -> bool {
        self.writes_json_logs.load(Ordering::Relaxed)
    }

    pub(super) fn minor(&self) -> u32 {
        self.minor.load(Ordering::Relaxed)
    }

    /// Settles on the newest version that both sides speak.
    fn settle(&self, version: &SystemVersion) -> Result<(), ConnectError> {
        let newest = version.api_version.clone().unwrap_or_default();
        let oldest = version.min_api_version.clone().unwrap_or_else(|| newest.clone());
        let (Some(from), Some(to)) = (minor(&oldest), minor(&newest)) else {
            return Err(ConnectError::Version { oldest, newest });
        };
        let chosen = to.min(NEWEST);
        if chosen < OLDEST || chosen < from {
            return Err(ConnectError::Version { oldest, newest });
        }
        self.minor.store(chosen, Ordering::Relaxed);
        Ok(())
    }
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.parse().ok()
}

impl Docker {
    /// Connects and settles on a version of the API.
    ///
    /// # Errors
    /// When there is no engine, it may not be used, or it is too old or too new.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        knock(&settings.socket).await?;
        let api = Arc::new(Api::default());
        let client = client(&settings.socket, Arc::clone(&api))?;
        let version = ask(limit::ABOUT, client.version());
        let version = version.await.map_err(|trouble| not_an_engine(&settings.socket, &trouble))?;
        api.settle(&version)?;
        let wire = wire::Wire::new(settings.socket.clone(), Arc::clone(&api));
        let pulls = pull::Pulls::default();
        let (settings, socket) = (settings.clone(), settings.socket.clone());
        let (networks, devices) = Default::default();
        let (known_images, known_networks, known_layers) = Default::default();
        let (known_volumes, has_news) = Default::default();
        let shared = Shared {
            settings,
            client,
            wire,
            api,
            pulls,
            known_images,
            known_networks,
            known_layers,
            known_volumes,
            has_news,
            networks,
            devices,
        };
        let docker = Self { shared: Arc::new(shared) };
        docker.learn().await.map_err(|trouble| not_an_engine(&socket, &trouble))?;
        Ok(docker)
    }

    /// Says what the engine and its host are, and settles anew on a version of the API: to be asked whenever the
    /// engine was away, because it may have been exchanged for another version.
    ///
    /// # Errors
    /// When the engine does not answer, or no version of the API suits both sides.
    pub async fn about(&self) -> Result<Engine, Fault> {
        let told = |trouble: Trouble| trouble.into_fault("say what it is");
        let version = ask(limit::ABOUT, self.client().version()).await.map_err(told)?;
        let settled = self.shared.api.settle(&version);
        settled.map_err(|error| fault(FaultKind::Engine, error.to_string()))?;
        let info = self.learn().await.map_err(told)?;
        let engine = engine(version, info, self.shared.api.minor());
        Ok(Engine { gpus: self.gpus(), ..engine })
    }

    async fn learn(&self) -> Result<SystemInfo, Trouble> {
        let info = ask(limit::ABOUT, self.client().info()).await?;
        let is_json = info.logging_driver.as_deref() == Some("json-file");
        self.shared.api.writes_json_logs.store(is_json, Ordering::Relaxed);
        Ok(info)
    }
}

fn engine(version: SystemVersion, info: SystemInfo, minor: u32) -> Engine {
    let cgroup = info.cgroup_version.map(|version| version.to_string()).unwrap_or_default();
    let root_dir = PathBuf::from(info.docker_root_dir.unwrap_or_default());
    let driver = info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default();
    Engine {
        version: version.version.unwrap_or_default(),
        api: format!("1.{minor}"),
        id: info.id.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
        hostname: info.name.unwrap_or_default(),
        os: info.os_type.or(version.os).unwrap_or_default(),
        kernel: info.kernel_version.or(version.kernel_version).unwrap_or_default(),
        cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or_default(),
        memory_bytes: info.mem_total.map(i64::unsigned_abs).unwrap_or_default(),
        gpus: 0,
        disk_bytes: disk(&root_dir).map_or(0, |disk| disk.all),
        pids: most_processes(),
        root_dir,
        live_restore: info.live_restore_enabled.unwrap_or_default(),
        storage_driver: info.driver.unwrap_or_default(),
        cgroup_version: cgroup.parse().unwrap_or(1),
        cgroup_driver: driver,
    }
}

/// Opens the socket once, because its errors say more than those of an HTTP client.
async fn knock(socket: &Path) -> Result<(), ConnectError> {
    let opening = tokio::net::UnixStream::connect(socket);
    let opened = tokio::time::timeout(limit::ABOUT, opening).await;
    let socket = socket.to_owned();
    match opened.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => ConnectError::Missing { socket },
            ErrorKind::PermissionDenied => ConnectError::Denied { socket },
            _ => ConnectError::NotAnEngine { socket, why: error.to_string() },
        }),
    }
}

fn client(socket: &Path, api: Arc<Api>) -> Result<bollard::Docker, ConnectError> {
    let wrong = |why: String| ConnectError::NotAnEngine { socket: socket.to_owned(), why };
    let path = socket.to_str().ok_or_else(|| wrong("its path is not UTF-8".into()))?;
    let client =
        bollard::Docker::connect_with_unix(path, BACKSTOP.as_secs(), bollard::API_DEFAULT_VERSION);
    let client = client.map_err(|error| wrong(chain(&error)))?;
    Ok(client.with_request_modifier(move |request| modify(request, api.minor())))
}

fn not_an_engine(socket: &Path, trouble: &Trouble) -> ConnectError {
    ConnectError::NotAnEngine { socket: socket.to_owned(), why: trouble.to_string() }
}

/// Mends two faults of bollard 0.21: it never sends the version of the API (bollard#736), and it writes credentials in
/// standard base64 where the engine reads base64url.
fn modify(mut request: BollardRequest, minor: u32) -> BollardRequest {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // The version is asked for without a version: that is how it is found.
    if path != "/version"
        && let Ok(path) = format!("/v1.{minor}{path}").parse()
    {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path);
        if let Ok(uri) = hyper::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let text = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_");
        if let Ok(mut mended) = HeaderValue::from_str(&text) {
            mended.set_sensitive(true);
            *value = mended;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(oldest: &str, newest: &str) -> Option<u32> {
        let api = Api::default();
        let version = SystemVersion {
            api_version: Some(newest.into()),
            min_api_version: Some(oldest.into()),
            ..SystemVersion::default()
        };
        api.settle(&version).ok().map(|()| api.minor())
    }

    #[test]
    fn docker_20_10_to_29_are_spoken_with_and_others_refused() {
        assert_eq!(settled("1.12", "1.41"), Some(41));
        assert_eq!(settled("1.44", "1.52"), Some(51));
        assert_eq!(settled("1.12", "1.40"), None);
        assert_eq!(settled("1.52", "1.60"), None);
        assert_eq!(settled("", "two"), None);
    }

    #[test]
    fn each_request_names_the_version_and_carries_credentials_as_the_engine_reads_them() {
        let request = hyper::Request::builder()
            .uri("unix://2f72756e/containers/json?all=true")
            .header("X-Registry-Auth", "ab+/cd==");
        let request = modify(request.body(bollard::body_full("".into())).unwrap(), 44);
        assert_eq!(request.uri().path_and_query().unwrap(), "/v1.44/containers/json?all=true");
        assert_eq!(request.headers().get("x-registry-auth").unwrap(), "ab-_cd==");
    }
}
