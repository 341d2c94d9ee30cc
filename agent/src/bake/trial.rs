//! Tries out an image on a machine that was launched from it: it is clean, its agent and its engine run, and every container
//! image is there and starts.

use std::path::Path;
use std::time::{Duration, Instant};

use model::image::Image;
use proto::wire;

use super::scrub::MANIFEST;
use super::work::{Worker, images};
use crate::runtime::{Docker, Tried};

/// A container that has a healthcheck of its own is healthy by then.
const HEALTHY: Duration = Duration::from_secs(120);

/// All of it, in this order.
pub(super) async fn all(
    worker: &Worker,
    order: &wire::BakeTry,
    told: (&str, Duration),
) -> Result<(), String> {
    is_itself(told.0)?;
    is_unit(worker, told).await?;
    let images = images(&order.images)?;
    if !images.is_empty() {
        let docker = worker.engine().await?;
        for image in &images {
            start(worker, &docker, image).await?;
        }
    }
    for script in &order.scripts {
        worker.say(&format!("test {:?}", script.name));
        let done = worker.script(&script.text, told).await;
        done.map_err(|why| format!("test {:?}: {why}", script.name))?;
    }
    worker.say("is good");
    Ok(())
}

/// The image is the one that was baked, and nothing of the machine is in it on which that was done.
fn is_itself(bake: &str) -> Result<(), String> {
    let manifest = std::fs::read_to_string(MANIFEST)
        .map_err(|error| format!("the image does not say what it is: {MANIFEST}: {error}"))?;
    if !manifest.lines().any(|line| line == format!("bake {bake}")) {
        return Err(format!("the image is of another bake: {MANIFEST}"));
    }
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if id.trim().len() != 32 {
        return Err("the machine has made no id of its own: /etc/machine-id".to_owned());
    }
    let identity = Path::new("/var/lib/wharf/agent/identity.pem");
    if identity.exists() {
        return Err(format!("a certificate is in the image: {}", identity.display()));
    }
    Ok(())
}

/// The agent of nodes begins with the machine.
async fn is_unit(worker: &Worker, told: (&str, Duration)) -> Result<(), String> {
    let line = "systemctl is-enabled wharf-agent.service || { echo 'wharf-agent.service is not enabled in the image'; exit 1; }";
    worker.script(line, told).await
}

/// Starts a container by the image alone. One that has a healthcheck has to become healthy; of another it is enough that the
/// engine can make it: what it needs to run nobody has said.
async fn start(worker: &Worker, docker: &Docker, image: &Image) -> Result<(), String> {
    let began = Instant::now();
    let tried = docker.try_out(image, HEALTHY).await;
    let how = match tried.map_err(|fault| format!("{image}: {}", fault.message))? {
        Tried::Healthy => "is healthy",
        Tried::Made => "can be made into a container, and has no healthcheck",
    };
    let took = began.elapsed().as_millis();
    worker.say(&format!("{image} {how}, after {took} ms"));
    Ok(())
}
