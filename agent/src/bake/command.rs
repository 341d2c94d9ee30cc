//! Runs one command to its end or its deadline, with all that it begins, and writes down what it says.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// So much of what a command has said last is told with its failure, in characters.
const LAST_WORDS: usize = 300;

/// Opens the log to write at its end.
pub(super) fn open(log: &Path) -> Result<File, String> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.map_err(|error| format!("the log can not be written: {error}"))
}

/// Writes a line of our own.
pub(super) fn note(log: &Path, line: &str) -> Result<(), String> {
    let mut file = open(log)?;
    writeln!(file, "[wharf] {line}").map_err(|error| format!("the log can not be written: {error}"))
}

/// Runs it.
///
/// # Errors
/// Says how it has ended, and what it said last.
pub(super) async fn run(
    line: &[impl AsRef<OsStr>],
    log: &Path,
    (bake, timeout): (&str, Duration),
) -> Result<(), String> {
    let [program, arguments @ ..] = line else { return Err("there is nothing to run".to_owned()) };
    let file = open(log)?;
    let began = file.metadata().map_or(0, |about| about.len());
    let copy = file.try_clone().map_err(|error| format!("the log can not be written: {error}"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("WHARF_BAKE", bake)
        .stdin(Stdio::null())
        .stdout(copy)
        .stderr(file)
        .process_group(0)
        .kill_on_drop(true);
    let name = program.as_ref().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| format!("{name} can not be run: {error}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let _all = Group(group);
    match tokio::time::timeout(timeout, child.wait()).await {
        Err(_) => Err(format!("it was ended after {} s", timeout.as_secs())),
        Ok(Err(error)) => Err(format!("it can not be waited for: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{status}{}", last_words(log, began))),
    }
}

/// All processes that a command has begun: they end with it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Mostly there is nobody left.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

fn last_words(log: &Path, began: u64) -> String {
    let said = std::fs::read(log).unwrap_or_default();
    let said = said.get(usize::try_from(began).unwrap_or(usize::MAX)..).unwrap_or_default();
    let said = String::from_utf8_lossy(said);
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or_else(String::new, |line| {
        format!(": {}", line.chars().take(LAST_WORDS).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_says_its_last_words_and_one_that_hangs_is_ended() {
        let log = std::env::temp_dir().join(format!("wharf-bake-command-{}", std::process::id()));
        let line = ["sh", "-c", "echo one; echo two >&2; exit 3"];
        let failed = run(&line, &log, ("web-1", Duration::from_secs(60))).await.unwrap_err();
        assert_eq!(failed, "exit status: 3: two");
        let line = ["sh", "-c", "echo $WHARF_BAKE; sleep 600 & wait"];
        let failed = run(&line, &log, ("web-1", Duration::from_millis(300))).await.unwrap_err();
        assert!(failed.contains("ended after"), "{failed}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\nweb-1\n");
        std::fs::remove_file(log).unwrap();
    }
}
