//! One piece of work: a step of the recipe, the images, the scrubbing, the trial.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::action::{Action, Outcome};
use model::id::{ClusterId, NodeId};
use model::image::Image;
use proto::convert::image_from_wire;
use proto::wire;
use proto::wire::bake_report::Result as Came;
use proto::wire::bake_step::Kind;
use proto::wire::bake_work::Work;

use super::{command, scrub, trial};
use crate::runtime::{Docker, Settings};

/// After a try that failed the next comes so much later.
const AGAIN: Duration = Duration::from_secs(5);
/// An engine that was just installed, or whose machine just boots, answers by then.
const ENGINE: Duration = Duration::from_secs(180);
const ENGINE_LOOK: Duration = Duration::from_secs(1);

/// What work needs.
pub(super) struct Worker {
    pub(super) log: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) docker_config: Option<PathBuf>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) machine: NodeId,
    pub(super) scratch: PathBuf,
}

impl Worker {
    /// Does it, unless it was done before this agent was started again.
    pub(super) async fn perform(&self, work: &wire::BakeWork, marks: &Path) -> Came {
        let mark = marks.join(format!("done-{}", work.number));
        let is_scrub = matches!(work.work, Some(Work::Scrub(_)));
        if mark.exists() && !is_scrub {
            return Came::Done(wire::BakeFacts::default());
        }
        let limit = Duration::from_millis(work.timeout_ms);
        let mut tries = 0;
        loop {
            let done = self.once(work, limit).await;
            match done {
                Ok(facts) => {
                    if let Err(error) = std::fs::write(&mark, "") {
                        tracing::warn!(%error, "it is not kept that a step is done");
                    }
                    return Came::Done(facts);
                }
                Err(why) => {
                    self.say(&format!("failed: {why}"));
                    if tries >= work.retries {
                        return Came::Failed(why);
                    }
                    tries += 1;
                    self.say(&format!("tried again, {tries} of {}", work.retries));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    pub(super) fn say(&self, line: &str) {
        if let Err(why) = command::note(&self.log, line) {
            tracing::warn!(why, "a line is lost");
        }
    }

    async fn once(
        &self,
        work: &wire::BakeWork,
        limit: Duration,
    ) -> Result<wire::BakeFacts, String> {
        let told = (work.bake.as_str(), limit);
        match work.work.as_ref().ok_or("this agent does not know what is asked: update it")? {
            Work::Step(step) => {
                self.say(&format!("step {:?}", step.name));
                let done = self.step(step, told).await;
                done.map_err(|why| format!("step {:?}: {why}", step.name))?;
            }
            Work::Images(list) => {
                let images = images(&list.images)?;
                let pulled = tokio::time::timeout(limit, self.pull(&images)).await;
                pulled.map_err(|_| "the images were not pulled in time".to_owned())??;
            }
            Work::Scrub(order) => return scrub::scrub(self, &order.manifest, told).await,
            Work::Try(order) => {
                let tried = tokio::time::timeout(limit, trial::all(self, order, told)).await;
                tried.map_err(|_| "the image was not tried out in time".to_owned())??;
            }
        }
        Ok(wire::BakeFacts::default())
    }

    async fn step(&self, step: &wire::BakeStep, told: (&str, Duration)) -> Result<(), String> {
        match step.kind.as_ref().ok_or("this agent does not know what is asked: update it")? {
            Kind::Packages(packages) => self.install(&packages.names, told).await,
            Kind::Files(files) => files.files.iter().try_for_each(write),
            Kind::Script(text) => self.script(text, told).await,
        }
    }

    /// With whatever the distribution has.
    async fn install(&self, names: &[String], told: (&str, Duration)) -> Result<(), String> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        if Path::new("/usr/bin/apt-get").exists() {
            command::run(&words("apt-get update"), &self.log, told).await?;
            let mut line = words("apt-get install --yes --no-install-recommends --");
            line.extend(names.iter().cloned());
            return command::run(&line, &self.log, told).await;
        }
        let mut line = words("dnf install --assumeyes --");
        line.extend(names.iter().cloned());
        command::run(&line, &self.log, told).await
    }

    /// As root, by the shell, or by whom its first line names.
    pub(super) async fn script(&self, text: &str, told: (&str, Duration)) -> Result<(), String> {
        let path = self.scratch.join("script");
        let written = std::fs::write(&path, text);
        written.map_err(|error| format!("{} can not be written: {error}", path.display()))?;
        let file = path.display().to_string();
        if text.starts_with("#!") {
            let mode = std::fs::Permissions::from_mode(0o700);
            let set = std::fs::set_permissions(&path, mode);
            set.map_err(|error| format!("{file} can not be made executable: {error}"))?;
            return command::run(&[file], &self.log, told).await;
        }
        command::run(&["sh", "-eu", &file], &self.log, told).await
    }

    async fn pull(&self, images: &[Image]) -> Result<(), String> {
        if images.is_empty() {
            return Ok(());
        }
        let docker = self.engine().await?;
        for image in images {
            self.say(&format!("pulls {image}"));
            match docker.perform(&Action::Pull { image: image.clone() }).await {
                Outcome::Failed(fault) => return Err(format!("{image}: {}", fault.message)),
                _ => self.say(&format!("has {image}")),
            }
        }
        Ok(())
    }

    /// The engine, once it answers.
    pub(super) async fn engine(&self) -> Result<Docker, String> {
        let cluster = self.cluster.clone().ok_or("the coordinator has not said who it is")?;
        let settings = Settings {
            secrets: None,
            socket: self.socket.clone(),
            cluster,
            node: self.machine.clone(),
            docker_config: self.docker_config.clone(),
            prefer_local: false,
            gpus: Some(0),
            leases: None,
        };
        let deadline = tokio::time::Instant::now() + ENGINE;
        loop {
            match Docker::connect(&settings).await {
                Ok(docker) => return Ok(docker),
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(error.to_string());
                }
                Err(_) => tokio::time::sleep(ENGINE_LOOK).await,
            }
        }
    }
}

pub(super) fn images(from: &[wire::Image]) -> Result<Vec<Image>, String> {
    from.iter().map(|image| image_from_wire(image).map_err(|error| error.to_string())).collect()
}

/// Beside where it is to be, and then in its place: nobody finds half of it.
fn write(file: &wire::BakeFile) -> Result<(), String> {
    let path = Path::new(&file.path);
    let failed = |error: std::io::Error| format!("{}: {error}", file.path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let beside = PathBuf::from(format!("{}.wharf-new", file.path));
    std::fs::write(&beside, &file.content).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(file.mode);
    std::fs::set_permissions(&beside, mode).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
