//! What a service may ask of the machines that it runs on, beyond what every container has, and who has allowed it.

pub mod images;

use std::fmt;

use crate::spec::{MountSource, Network, ServiceSpec, TaskSpec};
use crate::trust::ServiceGlob;

/// Capabilities that a container may ask for by itself: the engine's own, but for two of them. With `NET_RAW` a container
/// can answer for its neighbours, and with `MKNOD` it makes devices.
pub const CAPABILITIES: [&str; 12] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The two that every container of the engine has and none of ours, unless it asks for them and may.
pub const DROPPED: [&str; 2] = ["MKNOD", "NET_RAW"];

/// The most processes and threads of a container that says nothing about it.
pub const PIDS_USUALLY: u32 = 4_096;

/// How much a container may do. One that is greater may do less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Profile {
    /// What ordinary images need: see [`CAPABILITIES`].
    #[default]
    Default,
    /// No capabilities but those that it asks for, a root file system that can not be written, and a user that is not root.
    Strict,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Strict => "strict",
        })
    }
}

/// Why a task of [`Profile::Strict`] could never start, as far as its spec tells: which container, and what is wrong with it. Of a user
/// that only the image names nothing is known here.
#[must_use]
pub fn never_strict(task: &TaskSpec) -> Option<String> {
    task.containers.iter().find_map(|container| {
        let said = |why: &str| Some(format!("container {} {why}", container.name));
        if let Some(user) = &container.process.user
            && let Err(why) = not_root(user)
        {
            return said(&why);
        }
        if !container.files.is_empty() {
            return said("has configs, and nothing is written into a root file system that can not be written");
        }
        let asked = container.security.cap_add.iter();
        if asked.map(|name| plain_capability(name)).any(|name| name == "ALL") {
            return said("asks for all capabilities");
        }
        None
    })
}

/// Whether a user, as a spec or an image names it (`USER[:GROUP]`), is certainly not root. What is no number is looked up in a file of the
/// image, which may say anything.
///
/// # Errors
/// Says what is wrong, as of a container that has it.
pub fn not_root(user: &str) -> Result<(), String> {
    let name = user.split(':').next().unwrap_or_default();
    match name.parse::<u32>() {
        Ok(0) => Err("runs as root".to_owned()),
        Ok(_) => Ok(()),
        Err(_) if matches!(name, "" | "root") => Err("runs as root".to_owned()),
        Err(_) => Err(format!("runs as {name:?}, which may be root: only a number tells")),
    }
}

/// Something that makes a container more than a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// A path of the host, with all that is below it.
    HostPath {
        /// Absolute, without `.` and `..`.
        path: String,
        /// Whether it may be written.
        writable: bool,
    },
    /// A volume that somebody has made on the engine of a node. It may be a directory of the host.
    HostVolume {
        /// Its name on the engine.
        name: String,
        /// Whether it may be written.
        writable: bool,
    },
    /// The network of the host.
    HostNetwork,
    /// A capability, without `CAP_`.
    Capability(String),
}

/// An administrator has allowed services something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Whom. There is one permit for each pattern.
    pub services: ServiceGlob,
    /// What.
    pub rights: Vec<Right>,
    /// Who has allowed it.
    pub made_by: String,
    /// Why, in their words.
    pub why: String,
}

/// Writes a path without `.` and doubled slashes. None when it is not absolute, or goes up.
#[must_use]
pub fn plain_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let parts = rest.split('/').filter(|part| !part.is_empty() && *part != ".");
    let mut plain = String::new();
    for part in parts {
        if part == ".." || part.chars().any(char::is_control) {
            return None;
        }
        plain.push('/');
        plain.push_str(part);
    }
    Some(if plain.is_empty() { "/".to_owned() } else { plain })
}

/// Writes a capability as it is compared: in capitals and without `CAP_`.
#[must_use]
pub fn plain_capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map_or_else(|| name.clone(), str::to_owned)
}

impl Right {
    /// Says whether whoever has this one has the other one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::HostPath { path, writable },
                Self::HostPath { path: below, writable: writes },
            ) => {
                let is_below = path == "/"
                    || below.strip_prefix(path.as_str()).is_some_and(|rest| {
                        // Whole names: /srv/data is not below /srv/da.
                        rest.is_empty() || rest.starts_with('/')
                    });
                is_below && (*writable || !writes)
            }
            (
                Self::HostVolume { name, writable },
                Self::HostVolume { name: other, writable: writes },
            ) => name == other && (*writable || !writes),
            (Self::HostNetwork, Self::HostNetwork) => true,
            (Self::Capability(one), Self::Capability(other)) => one == other || one == "ALL",
            (
                Self::HostPath { .. }
                | Self::HostVolume { .. }
                | Self::HostNetwork
                | Self::Capability(_),
                _,
            ) => false,
        }
    }

    /// The option of `wharf grant add` that allows it.
    #[must_use]
    pub fn option(&self) -> String {
        match self {
            Self::HostPath { path, writable: false } => format!("--host-path '{path}'"),
            Self::HostPath { path, writable: true } => format!("--host-path '{path}:rw'"),
            Self::HostVolume { name, writable: false } => format!("--host-volume {name}"),
            Self::HostVolume { name, writable: true } => format!("--host-volume {name}:rw"),
            Self::HostNetwork => "--host-network".to_owned(),
            Self::Capability(name) => format!("--capability {name}"),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostPath { path, writable: false } => write!(f, "reads {path} of the host"),
            Self::HostPath { path, writable: true } => write!(f, "writes {path} of the host"),
            Self::HostVolume { name, writable: false } => {
                write!(f, "reads the volume {name} of the host")
            }
            Self::HostVolume { name, writable: true } => {
                write!(f, "writes the volume {name} of the host")
            }
            Self::HostNetwork => f.write_str("has the network of the host"),
            Self::Capability(name) => write!(f, "has the capability {name}"),
        }
    }
}

/// Everything that a service asks for beyond what every container has, once each. A path that is none is itself, and is
/// covered by nothing but `/`.
#[must_use]
pub fn needs(spec: &ServiceSpec) -> Vec<Right> {
    let mut needs = Vec::new();
    if spec.task.network == Network::Host {
        needs.push(Right::HostNetwork);
    }
    for container in &spec.task.containers {
        for mount in &container.mounts {
            let writable = !mount.is_read_only;
            match &mount.source {
                MountSource::Bind { path } => {
                    let path = plain_path(path).unwrap_or_else(|| path.clone());
                    needs.push(Right::HostPath { path, writable });
                }
                MountSource::HostVolume { name } => {
                    needs.push(Right::HostVolume { name: name.clone(), writable });
                }
                MountSource::Volume { .. } | MountSource::Tmpfs { .. } => {}
            }
        }
        let asked = container.security.cap_add.iter().map(|name| plain_capability(name));
        let asked = asked.filter(|name| !CAPABILITIES.contains(&name.as_str()));
        needs.extend(asked.map(Right::Capability));
    }
    needs.sort();
    needs.dedup();
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str, writable: bool) -> Right {
        Right::HostPath { path: path.to_owned(), writable }
    }

    #[test]
    fn a_right_to_a_path_is_to_what_is_below_it_and_to_nothing_beside_it() {
        let data = path("/srv/data", false);
        assert!(data.covers(&path("/srv/data", false)) && data.covers(&path("/srv/data/a", false)));
        assert!(!data.covers(&path("/srv/data2", false)) && !data.covers(&path("/srv", false)));
        assert!(!data.covers(&path("/srv/data", true)), "to read is not to write");
        assert!(path("/srv/data", true).covers(&data));
        assert!(path("/", true).covers(&path("/etc", true)));
        assert!(!data.covers(&Right::HostNetwork) && !Right::HostNetwork.covers(&data));
        let capability = |name: &str| Right::Capability(name.to_owned());
        assert!(capability("ALL").covers(&capability("SYS_ADMIN")));
        assert!(!capability("NET_ADMIN").covers(&capability("SYS_ADMIN")));
        assert!(!capability("NET_ADMIN").covers(&capability("ALL")));
        let volume = |name: &str, writable| Right::HostVolume { name: name.to_owned(), writable };
        assert!(volume("data", true).covers(&volume("data", false)));
        assert!(!volume("data", false).covers(&volume("data", true)));
        assert!(!volume("data", true).covers(&volume("data2", false)));
        assert!(!path("/", true).covers(&volume("data", false)), "it may be on another machine");
    }

    #[test]
    fn only_a_number_other_than_0_is_certainly_not_root() {
        for user in ["1000", "1:0", "65534:65534", "4294967295"] {
            assert_eq!(not_root(user), Ok(()), "{user}");
        }
        for user in
            ["", "root", "0", "00", "+0", "0:1000", ":1000", "root:1", "nginx", "-1", "4294967296"]
        {
            assert!(not_root(user).is_err(), "{user}");
        }
        assert!(Profile::Strict > Profile::Default);
    }

    #[test]
    fn a_path_is_compared_as_it_is_and_none_goes_up() {
        assert_eq!(plain_path("//srv/./data/").as_deref(), Some("/srv/data"));
        assert_eq!(plain_path("/").as_deref(), Some("/"));
        for wrong in ["", "srv", "/srv/../etc", "/..", "/a\0b", "~/a"] {
            assert_eq!(plain_path(wrong), None, "{wrong:?}");
        }
        assert!(
            !path("/srv", true).covers(&path("/srv/../etc", true))
                || plain_path("/srv/../etc").is_none()
        );
        assert_eq!(plain_capability("cap_net_raw"), "NET_RAW");
    }
}
