//! The hello example: its image is made on the spot out of a program that this one carries along.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::runtime::{Docker, Fault};
use rustix::fs::{FlockOperation, flock};

use crate::client::Client;
use crate::commands::{Outcome, request, send, until_settled};
use crate::compose::{self, Files, Options};
use crate::exit::{Exit, Failure};

/// Compiled by the build script.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));
const FILE: &str = include_str!("../../../../examples/hello/compose.yaml");
const IMAGE: &str = "wharf-hello";
/// It usually takes five seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The one file, wherever this program is run.
#[derive(Debug)]
struct Carried;

impl Files for Carried {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        if path.ends_with("compose.yaml") {
            Ok(FILE.into())
        } else {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    fn directory(&self) -> std::io::Result<PathBuf> {
        Ok(PathBuf::from("/"))
    }
}

/// Held while a dev cluster uses the image, which all of this machine share: the last one to end removes it.
pub(crate) struct Use(Option<File>);

impl Use {
    /// Waits while somebody is removing it.
    pub(crate) fn begin() -> Self {
        let path = std::env::temp_dir().join("wharf-hello.lock");
        let file = File::options().create(true).truncate(false).write(true).open(path).ok();
        Self(file.filter(|file| flock(file, FlockOperation::LockShared).is_ok()))
    }

    /// Removes the image unless others use it too.
    pub(crate) async fn end(self, docker: &Docker) -> Result<(), Fault> {
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        if self.0.as_ref().is_some_and(|file| flock(file, exclusive).is_ok()) {
            docker.remove_program(IMAGE).await?;
        }
        Ok(())
    }
}

/// Makes the image, deploys the file and waits until it is healthy.
pub(crate) async fn deploy(client: &Client, docker: &Docker) -> anyhow::Result<()> {
    let made = docker.import_program("hello", IMAGE, PROGRAM).await;
    made.map_err(|fault| {
        Failure::error(Exit::Error, fault.message, "--no-example starts without it")
    })?;
    let options = Options { files: vec![PathBuf::from("compose.yaml")], ..Options::default() };
    let project = compose::read(&options, &Carried);
    let project =
        project.map_err(|errors| anyhow::anyhow!("the example is not valid: {errors:?}"))?;
    println!("deploying the example (examples/hello/compose.yaml)");
    let (_, wanted) = send(client, request(&project)).await?;
    match until_settled(client, &wanted, TIMEOUT).await? {
        Outcome::Settled => Ok(()),
        Outcome::Interrupted => Err(Failure::error(Exit::Command(130), "interrupted", "")),
        other @ (Outcome::RolledBack(_)
        | Outcome::Held(_)
        | Outcome::NotPlaced(_)
        | Outcome::TimedOut(_)) => {
            let notes = client.services("").await?.into_iter().flat_map(|view| view.notes);
            let notes: Vec<String> = notes.collect();
            let message = format!("the example does not run: {other:?} {}", notes.join("; "));
            Err(Failure::error(Exit::RolledBack, message, "--no-example starts without it"))
        }
    }
}

/// Says where the example answers.
pub(crate) async fn show_address(client: &Client) -> anyhow::Result<()> {
    let tasks = client.tasks(false).await?.into_iter().filter_map(|view| view.task);
    let front = tasks.filter(|task| task.project == "hello" && task.service == "front");
    let port = front.flat_map(|task| task.containers).flat_map(|one| one.ports).next();
    if let Some(port) = port {
        println!("\nit answers:  curl http://127.0.0.1:{}", port.host);
    }
    Ok(())
}
