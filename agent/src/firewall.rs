//! Keeps containers from the instance metadata service: looks at the rules of this machine, and does what the core says.
//!
//! It changes no rule but its own, and it is never a reason not to run: what can not be done is said, here and to the
//! coordinator, and tried again.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use agent_core::firewall::Wish;
use agent_core::firewall::{Change, Family, changes, undone};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};

/// The rules are looked at so often: whoever flushes them opens the service for no longer.
const EVERY: Duration = Duration::from_secs(10);
/// One program may take so long; more than it waits itself for others that change rules.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(8);
/// So long a program waits for others that change rules, in seconds.
const WAIT_SECONDS: &str = "5";
/// One look with all that it leads to may take so long. Containers wait for it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// So much of what a program complains of is told, in characters.
const COMPLAINT: usize = 200;
/// Engines that come and wait for a look: there is one.
const QUEUE: usize = 4;
/// Where the programs are when `PATH` does not say it.
const SYSTEM: &str = "/usr/local/sbin:/usr/sbin:/sbin";
/// There only when the kernel speaks IPv6.
const V6_ADDRESSES: &str = "/proc/net/if_inet6";

/// What is known of the rules, and how to have them looked at.
#[derive(Debug, Clone)]
pub(crate) struct Firewall {
    asks: mpsc::Sender<oneshot::Sender<()>>,
    fault: watch::Receiver<String>,
}

/// Looks at the rules for as long as somebody polls it.
pub(crate) struct Keeper {
    wish: Option<Wish>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    fault: watch::Sender<String>,
}

/// Looks for the first time, so that no container begins before the rules are there. Without a wish nothing is looked at.
pub(crate) async fn begin(wish: Option<Wish>) -> (Firewall, Keeper) {
    let (asks, asked) = mpsc::channel(QUEUE);
    let (sender, fault) = watch::channel(String::new());
    let keeper = Keeper { wish, asked, fault: sender };
    keeper.look().await;
    (Firewall { asks, fault }, keeper)
}

impl Firewall {
    /// Has the rules looked at now, and waits for that: an engine that has just begun may have moved what they hang on.
    pub(crate) async fn look(&self) {
        let (done, looked) = oneshot::channel();
        // Who keeps them ends only with the whole agent.
        if self.asks.send(done).await.is_ok() {
            drop(looked.await);
        }
    }

    /// Why the rules are not as they are to be; empty when they are.
    pub(crate) fn fault(&self) -> String {
        self.fault.borrow().clone()
    }
}

impl Keeper {
    /// Never ends.
    pub(crate) async fn keep(mut self) {
        let mut again = tokio::time::interval(EVERY);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        again.tick().await;
        loop {
            let asked = tokio::select! {
                Some(asked) = self.asked.recv() => Some(asked),
                _ = again.tick() => None,
            };
            // What is to be gone is gone after the first time, and what comes then is not ours to watch.
            if self.wish == Some(Wish::There) {
                self.look().await;
            }
            if let Some(asked) = asked {
                // Whoever asked may be gone.
                let _told = asked.send(());
            }
        }
    }

    async fn look(&self) {
        let Some(wish) = self.wish else { return };
        let looked = tokio::time::timeout(LOOK_TIMEOUT, all(wish)).await;
        let late = |_| format!("they could not be looked at in {} s", LOOK_TIMEOUT.as_secs());
        let fault = looked.map_err(late).and_then(|looked| looked).err().unwrap_or_default();
        match wish {
            Wish::There => self.tell(fault),
            Wish::Gone if fault.is_empty() => {}
            Wish::Gone => {
                tracing::warn!(why = fault, "rules of the metadata service may still be there");
            }
        }
    }

    /// Says it when it changes, and not with every look.
    fn tell(&self, fault: String) {
        let is_new = *self.fault.borrow() != fault;
        if !is_new {
            return;
        }
        if fault.is_empty() {
            tracing::info!("containers are kept from the instance metadata service again");
        } else {
            tracing::warn!(
                why = fault,
                "containers are not kept from the instance metadata service; it is tried again"
            );
        }
        self.fault.send_replace(fault);
    }
}

async fn all(wish: Wish) -> Result<(), String> {
    let mut faults = Vec::new();
    for family in [Family::V4, Family::V6] {
        if family == Family::V6 && !Path::new(V6_ADDRESSES).exists() {
            continue;
        }
        if let Err(fault) = one(family, wish).await {
            faults.push(format!("{}: {fault}", family.program()));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

async fn one(family: Family, wish: Wish) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = find(family.program(), &path).or_else(|| find(family.program(), SYSTEM.as_ref()));
    let Some(program) = found else {
        return match wish {
            Wish::There => Err("there is no such program on this machine".to_owned()),
            Wish::Gone => Ok(()),
        };
    };
    let wanted = changes(&run(&program, &["-S"]).await?, family, wish);
    if wanted.is_empty() {
        return Ok(());
    }
    carry_out(&program, family, &wanted).await?;
    // A program that shows rules otherwise than it is told them would have one put with each look.
    if changes(&run(&program, &["-S"]).await?, family, wish).is_empty() {
        tracing::info!(program = family.program(), changes = ?wanted, "a rule of the metadata service was changed");
        return Ok(());
    }
    carry_out(&program, family, &undone(&wanted)).await?;
    Err("what was put is not shown where it was put".to_owned())
}

async fn carry_out(program: &Path, family: Family, changes: &[Change]) -> Result<(), String> {
    for change in changes {
        run(program, &change.arguments(family)).await?;
    }
    Ok(())
}

/// The program of that name, in the first of these folders that has it.
fn find(name: &str, folders: &OsStr) -> Option<PathBuf> {
    let absolute = std::env::split_paths(folders).filter(|folder| folder.is_absolute());
    absolute.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What a program has printed.
async fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(["-w", WAIT_SECONDS]).args(arguments).env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
    let output = match ended {
        Err(_) => return Err(format!("it was ended after {} s", COMMAND_TIMEOUT.as_secs())),
        Ok(Err(error)) => return Err(format!("it can not be run: {error}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Err(format!("{}: {}", output.status, last.chars().take(COMPLAINT).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that keeps the rules that it is told in a file, or what else the script does.
    fn program(name: &str, script: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("wharf-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("iptables");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}", folder.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[tokio::test]
    async fn a_program_that_fails_or_hangs_is_told_of_and_left() {
        let (folder, path) = program("fails", "echo warning >&2; echo second >&2; exit 4");
        let failed = run(&path, &["-S"]).await.unwrap_err();
        assert_eq!(failed, "exit status: 4: warning");
        let missing = run(&folder.join("none"), &["-S"]).await.unwrap_err();
        assert!(missing.contains("can not be run"), "{missing}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn programs_are_found_where_the_path_says_and_only_by_whole_paths() {
        let (folder, path) = program("found", "echo \"$@\"");
        assert_eq!(find("iptables", folder.as_os_str()), Some(path.clone()));
        assert_eq!(find("iptables", OsStr::new("/nowhere:.")), None);
        assert_eq!(run(&path, &["-S"]).await.unwrap(), "-w 5 -S\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn without_a_wish_nothing_is_looked_at() {
        let (firewall, keeper) = begin(None).await;
        let keeping = keeper.keep();
        tokio::pin!(keeping);
        tokio::select! {
            () = &mut keeping => unreachable!("it never ends"),
            () = firewall.look() => {}
        }
        assert_eq!(firewall.fault(), "");
    }
}
