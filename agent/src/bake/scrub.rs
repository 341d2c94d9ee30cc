//! Takes away what belongs to this machine alone, looks whether it is gone, and says what is left: the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::wire;

use super::command;
use super::work::Worker;

/// Where an image says what it is.
pub(super) const MANIFEST: &str = "/etc/wharf/image-manifest";
/// Files and folders that tell this machine from others, open something, or remember somebody. `*` is any part of a name.
const GONE: &[&str] = &[
    "/var/lib/wharf/agent/*",
    "/etc/wharf/instance.env",
    "/etc/ssh/ssh_host_*",
    "/root/.ssh/authorized_keys",
    "/home/*/.ssh/authorized_keys",
    "/root/.docker/config.json",
    "/home/*/.docker/config.json",
    "/root/.aws",
    "/home/*/.aws",
    "/root/.bash_history",
    "/home/*/.bash_history",
    "/etc/docker/key.json",
    "/var/lib/docker/engine-id",
    "/var/lib/cloud/instance",
    "/var/lib/cloud/instances/*",
    "/var/lib/cloud/data/*",
    "/var/lib/cloud/sem/*",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/dhcp/*",
    "/var/lib/NetworkManager/*lease*",
    "/var/log/journal/*",
];
/// What the system makes anew when it is empty (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";
/// Lines of the agent's settings that are of this machine.
const OWN_SETTINGS: &[&str] =
    &["WHARF_NODE", "WHARF_ZONE", "WHARF_AMI", "WHARF_INSTANCE_TYPE", "WHARF_JOIN_TOKEN"];
const SETTINGS: &str = "/etc/wharf/agent.env";

/// Containers of whoever has tried something, caches, logs: what a shell says shortest.
const SHELL: &str = r"
systemctl stop wharf-agent.service 2>/dev/null || true
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes
fi
if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
if command -v apt-get >/dev/null; then apt-get clean; rm -rf /var/lib/apt/lists/*; fi
if command -v dnf >/dev/null; then dnf clean all; fi
journalctl --rotate 2>/dev/null || true
find /var/log -type f ! -path '/var/log/journal/*' -exec truncate --size 0 {} +
rm -rf /tmp/* /var/tmp/*
sync
";

/// Scrubs, verifies, and says what is in the image.
pub(super) async fn scrub(
    worker: &Worker,
    manifest: &str,
    told: (&str, Duration),
) -> Result<wire::BakeFacts, String> {
    worker.say("takes away what belongs to this machine alone");
    let facts = facts()?;
    let whole = written_manifest(manifest, &facts);
    fs::create_dir_all("/etc/wharf")
        .and_then(|()| fs::write(MANIFEST, whole))
        .map_err(|error| format!("{MANIFEST} can not be written: {error}"))?;
    worker.script(SHELL, told).await?;
    let root = Path::new("/");
    for pattern in GONE {
        found(root, pattern).iter().try_for_each(|path| remove(path))?;
    }
    empty(Path::new(MACHINE_ID))?;
    forget_settings(Path::new(SETTINGS))?;
    let left = left(root);
    if !left.is_empty() {
        return Err(format!("it is not clean, and would be in the image: {}", left.join(", ")));
    }
    command::run(&["sync"], &worker.log, told).await?;
    worker.say(&format!("is clean, with {} packages", facts.packages.len()));
    Ok(facts)
}

fn written_manifest(manifest: &str, facts: &wire::BakeFacts) -> String {
    let mut text = format!("{manifest}agent {}\nkernel {}\n", facts.agent_version, facts.kernel);
    for package in &facts.packages {
        text += &format!("package {} {}\n", package.name, package.version);
    }
    text
}

/// What is on this machine.
fn facts() -> Result<wire::BakeFacts, String> {
    let mut query = std::process::Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${Version}\n"]);
    let said = match query.output() {
        Ok(said) => said,
        Err(_) => {
            let mut query = std::process::Command::new("rpm");
            query.args(["-qa", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n"]);
            query.output().map_err(|error| format!("packages can not be listed: {error}"))?
        }
    };
    if !said.status.success() {
        return Err(format!("packages can not be listed: {}", said.status));
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let package = |line: &str| {
        let (name, version) = line.split_once(' ')?;
        Some(wire::SystemPackage { name: name.to_owned(), version: version.to_owned() })
    };
    let mut packages: Vec<_> = text.lines().filter_map(package).collect();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    Ok(wire::BakeFacts { agent_version: env!("CARGO_PKG_VERSION").to_owned(), packages, kernel })
}

/// What a pattern finds below a root.
fn found(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut paths = vec![root.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let below = |path: PathBuf| -> Vec<PathBuf> {
            if !part.contains('*') {
                let path = path.join(part);
                return if path.symlink_metadata().is_ok() { vec![path] } else { Vec::new() };
            }
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let fits = entries.filter(|entry| is_match(&entry.file_name().to_string_lossy(), part));
            fits.map(|entry| entry.path()).collect()
        };
        paths = paths.into_iter().flat_map(below).collect();
    }
    paths.sort();
    paths
}

/// Whether a name has the parts of a pattern in their order, from its beginning to its end.
fn is_match(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn remove(path: &Path) -> Result<(), String> {
    let about = path.symlink_metadata();
    let removed = match about {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} can not be removed: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn empty(path: &Path) -> Result<(), String> {
    fs::write(path, "").map_err(|error| format!("{} can not be emptied: {error}", path.display()))
}

fn forget_settings(path: &Path) -> Result<(), String> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(()) };
    let is_own = |line: &str| {
        line.split_once('=').is_some_and(|(name, _)| OWN_SETTINGS.contains(&name.trim()))
    };
    let kept: String =
        text.lines().filter(|line| !is_own(line)).map(|line| format!("{line}\n")).collect();
    fs::write(path, kept).map_err(|error| format!("{} can not be written: {error}", path.display()))
}

/// What should be gone and is not.
fn left(root: &Path) -> Vec<String> {
    let all = GONE.iter().flat_map(|pattern| found(root, pattern));
    let mut left: Vec<String> = all.map(|path| path.display().to_string()).collect();
    let id = root.join(MACHINE_ID.trim_start_matches('/'));
    if fs::read_to_string(&id).is_ok_and(|id| !id.trim().is_empty()) {
        left.push(id.display().to_string());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_machine_is_found() {
        let root = std::env::temp_dir().join(format!("wharf-scrub-{}", std::process::id()));
        let write = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        let clean = ["etc/ssh/sshd_config", "home/one/.ssh/config", "var/lib/wharf/other"];
        clean.iter().for_each(|path| write(path));
        fs::create_dir_all(root.join("var/lib/wharf/agent")).unwrap();
        assert_eq!(left(&root), Vec::<String>::new());
        let dirty = [
            "etc/ssh/ssh_host_ed25519_key",
            "home/one/.docker/config.json",
            "var/lib/wharf/agent/identity.pem",
            "var/lib/cloud/instances/i-1/user-data.txt",
            "etc/machine-id",
        ];
        for path in dirty {
            write(path);
            let found = left(&root);
            let is_named = found.len() == 1
                && path
                    .starts_with(found[0].strip_prefix(&format!("{}/", root.display())).unwrap());
            assert!(is_named, "{path}: {found:?}");
            fs::remove_file(root.join(path)).unwrap();
            fs::remove_dir_all(root.join("var/lib/cloud")).unwrap_or_default();
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_pattern_is_of_whole_names() {
        for (name, pattern, expected) in [
            ("ssh_host_rsa_key", "ssh_host_*", true),
            ("my_ssh_host_key", "ssh_host_*", false),
            ("a.lease.b", "*lease*", true),
            ("agent", "agent", true),
            ("agents", "agent", false),
        ] {
            assert_eq!(is_match(name, pattern), expected, "{name} {pattern}");
        }
    }
}
