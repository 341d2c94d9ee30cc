//! A dev cluster in the background.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::dev::{Start, state};
use crate::exit::{Exit, Failure};

/// Looked after so often.
const LOOK: Duration = Duration::from_millis(100);
/// It has so long to begin, the example included.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// It has so long to end: containers are stopped and removed.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// Starts this program again without --detach, and waits until it is ready.
pub(crate) async fn start(start: &Start, directory: &Path) -> anyhow::Result<Exit> {
    if state::is_held(directory) {
        return Err(Failure::error(
            Exit::Error,
            format!("a cluster runs already in {}", directory.display()),
            "`wharf dev stop` ends it",
        ));
    }
    state::forget(directory);
    let log = directory.join("dev.log");
    let output = File::create(&log).with_context(|| format!("can not write {}", log.display()))?;
    // Held open: a cluster that does not begin removes its directory, and with it the log's name.
    let mut written =
        File::open(&log).with_context(|| format!("can not read {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["dev", "--in-background"]).arg("--nodes").arg(start.nodes.to_string());
    command.arg("--listen").arg(start.listen.to_string()).arg("--data-dir").arg(directory);
    command.arg("--docker-socket").arg(&start.docker_socket);
    if start.no_example {
        command.arg("--no-example");
    }
    if start.keep {
        command.arg("--keep");
    }
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.process_group(0);
    let mut child = command.spawn().context("can not start in the background")?;
    let began = std::time::Instant::now();
    loop {
        if let Some((process, address)) = state::ready(directory) {
            print!("{}", told(&mut written)?);
            println!("it goes on in the background (process {process}, {address})");
            return Ok(Exit::Done);
        }
        if let Some(status) = child.try_wait()? {
            eprint!("{}", told(&mut written)?);
            return Err(Failure::error(
                Exit::Error,
                format!("the cluster did not start ({status})"),
                "",
            ));
        }
        if began.elapsed() > START_TIMEOUT {
            return Err(Failure::error(
                Exit::TimedOut,
                "the cluster is not ready yet",
                format!("{} says more", log.display()),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the cluster has written so far.
fn told(written: &mut File) -> std::io::Result<String> {
    let mut told = Vec::new();
    written.read_to_end(&mut told)?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

/// Ends the cluster that runs in the background, and waits until it is gone.
pub(crate) async fn stop(directory: &Path) -> anyhow::Result<Exit> {
    let running = state::ready(directory).filter(|_| state::is_held(directory));
    let Some((process, _)) = running else {
        return Err(Failure::error(
            Exit::Error,
            format!("no cluster runs in {}", directory.display()),
            "was it started with another --data-dir?",
        ));
    };
    let process = Pid::from_raw(process).context("the process has no number")?;
    kill_process(process, Signal::TERM).context("the process can not be told to stop")?;
    let began = std::time::Instant::now();
    // The state is removed last, or kept without its mark of being ready.
    while state::is_held(directory) || test_kill_process(process).is_ok() {
        if began.elapsed() > STOP_TIMEOUT {
            return Err(Failure::error(Exit::TimedOut, "the cluster has not ended yet", ""));
        }
        tokio::time::sleep(LOOK).await;
    }
    state::forget(directory);
    println!("stopped");
    Ok(Exit::Done)
}
