//! Paths of the host that are mounted: what was allowed is the place that was named, and not one that a link leads to. Whoever may
//! write below an allowed path could otherwise have the whole machine mounted by the next container.
//!
//! What the agent may not look at itself is left to the engine: under systemd it sees neither homes nor the machine's `/tmp`.

use std::time::Duration;

use agent_core::action::{Fault, FaultKind};
use model::policy::plain_path;
use model::spec::{ContainerSpec, MountSource};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::fault;

/// A file system of the network that does not answer is not waited for longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Refuses to mount what is behind a link.
///
/// # Errors
/// Says which path, and what to write instead.
pub(super) async fn check(spec: &ContainerSpec) -> Result<(), Fault> {
    for mount in &spec.mounts {
        let MountSource::Bind { path } = &mount.source else { continue };
        let named = path.clone();
        let looking = tokio::task::spawn_blocking(move || is_straight(&named));
        match tokio::time::timeout(TIMEOUT, looking).await {
            Ok(Ok(straight)) => straight.map_err(|why| fault(FaultKind::Refused, why))?,
            Ok(Err(_)) | Err(_) => {
                let why = format!(
                    "{path} of the host can not be looked at: its file system does not answer"
                );
                return Err(fault(FaultKind::Engine, why));
            }
        }
    }
    Ok(())
}

fn is_straight(path: &str) -> Result<(), String> {
    let plain = plain_path(path).ok_or_else(|| {
        format!("{path:?} is no absolute path without `..`: name the place itself")
    })?;
    // Every system has this one, and it is where everybody looks for the engine.
    let place = match plain.strip_prefix("/var/run") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/run{rest}"),
        Some(_) | None => plain,
    };
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(CWD, place.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Err(Errno::LOOP) => Err(format!(
            "{path} of the host is a symbolic link, or is behind one, and where that leads may be changed by others: mount the place itself"
        )),
        // What is not there, or not for the agent to see, the engine says something about.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn t7_f37_what_is_behind_a_link_is_not_mounted() {
        let folder = std::env::temp_dir().join(format!("wharf-links-{}", std::process::id()));
        let folder = folder.as_path();
        std::fs::create_dir_all(folder.join("data/inner")).unwrap();
        symlink("/etc", folder.join("link")).unwrap();
        symlink("inner", folder.join("data/short")).unwrap();
        let path = |path: &str| folder.join(path).display().to_string();
        for straight in ["data", "data/inner", "data/./inner/", "missing/inner"] {
            assert_eq!(is_straight(&path(straight)), Ok(()), "{straight}");
        }
        for wrong in ["link", "link/passwd", "data/short", "data/../link", "data/../data"] {
            let refused = is_straight(&path(wrong)).unwrap_err();
            assert!(refused.contains("the place itself"), "{refused}");
        }
        assert!(is_straight("data").is_err());
        assert_eq!(is_straight("/var/run/docker.sock"), Ok(()));
        assert!(is_straight("/proc/self/root/etc").is_err(), "what leads elsewhere by magic");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
