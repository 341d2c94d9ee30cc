//! Does for bakes what the core asks of the cloud, signs what is in an image, and looks for what bakes have left.

use std::time::Duration;

use cloud::{Bakery, BuilderPower, CloudError, ImageProgress, LaunchOrder, Owned, Tags};
use coordinator_core::cluster::Leftover;
use coordinator_core::command::bake::BakeAsk;
use coordinator_core::event::{BakeAnswer, BakeEvent, Event, ImageState, MachinePower, RecipeLook};
use coordinator_core::view::bake::signed_manifest;
use model::bake::{Architecture, Bake, Base, BaseSource, EXPIRES_AFTER, Launch, Rest};
use model::id::{AmiId, BakeId, ClusterId, NodeId, RecipeName};
use model::image::Digest;
use model::time::Timestamp;
use trust::digest::sha256;

use super::Fleet;
use crate::Shared;

/// Whose something is.
const CLUSTER: &str = "wharf:cluster";
/// Of which bake.
const BAKE: &str = "wharf:bake";
/// What it is for.
const ROLE: &str = "wharf:role";
/// When it may be removed, in seconds since the Unix epoch.
const EXPIRES: &str = "wharf:expires";
/// How far an image is to be trusted.
const STATE: &str = "wharf:state";
/// So often it is looked for what bakes have left.
const SWEEP: Duration = Duration::from_secs(600);
/// The same when that did not work.
const SWEEP_AGAIN: Duration = Duration::from_secs(60);
/// What is signed begins so: nothing else that the authority signs does.
const SIGNED: &[u8] = b"wharf image manifest 1\0";

/// Everything of this cluster, or of one bake of it.
fn tags(cluster: &ClusterId, bake: Option<&BakeId>) -> Tags {
    let bake = bake.map(|bake| (BAKE.to_owned(), bake.to_string()));
    [(CLUSTER.to_owned(), cluster.to_string())].into_iter().chain(bake).collect()
}

/// What something is made with.
fn made(cluster: &ClusterId, bake: &BakeId, (role, began): (&str, Timestamp)) -> Tags {
    let mut tags = tags(cluster, Some(bake));
    // By when the bake began, so that a request that is made again says the same.
    let expires = (began + EXPIRES_AFTER).as_millis() / 1_000;
    tags.insert(EXPIRES.to_owned(), expires.to_string());
    tags.insert(ROLE.to_owned(), role.to_owned());
    tags.insert("Name".to_owned(), format!("wharf-{role}-{bake}"));
    tags
}

impl Fleet {
    /// Asks, and brings the answer.
    pub(super) async fn ask_about_bake(&self, bake: BakeId, ask: BakeAsk) {
        let answer = match self.answer_about(&bake, ask).await {
            Ok(answer) => answer,
            Err(Trouble::Cloud(error)) if error.is_hopeless() => {
                BakeAnswer::Impossible(error.to_string())
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(%bake, why, "a request to the cloud about a bake failed; it is made again");
                BakeAnswer::Failed(why)
            }
        };
        self.bring(BakeEvent::Answered { bake, answer }).await;
    }

    /// Looks at what can be a reason for a bake, and says what was seen.
    pub(super) async fn look_at_recipe(
        &self,
        recipe: RecipeName,
        base: Option<(BaseSource, Architecture)>,
    ) {
        let Some(shared) = self.shared.get().and_then(std::sync::Weak::upgrade) else { return };
        let base = match base {
            None => None,
            Some((source, architecture)) => {
                let found = self.base_of(&source, architecture).await;
                Some((source.to_string(), found.map_err(|error| error.to_string())))
            }
        };
        let sizes = shared.sessions.image_sizes();
        let release = env!("CARGO_PKG_VERSION").to_owned();
        self.bring(BakeEvent::Looked(Box::new(RecipeLook { recipe, base, sizes, release }))).await;
    }

    async fn base_of(
        &self,
        source: &BaseSource,
        architecture: Architecture,
    ) -> Result<Base, Trouble> {
        let found = self.bakery()?.find_base(source, architecture).await?;
        found.ok_or_else(|| Trouble::NoBase(source.to_string(), architecture.as_str()))
    }

    async fn bring(&self, event: BakeEvent) {
        if let Err(error) = self.door.ask(Event::Bake(event)).await {
            tracing::warn!(%error, "what the cloud has answered was not written down: it is asked again");
        }
    }

    async fn answer_about(&self, id: &BakeId, ask: BakeAsk) -> Result<BakeAnswer, Trouble> {
        let cloud = self.bakery()?;
        let shared = self.shared.get().and_then(std::sync::Weak::upgrade).ok_or(Trouble::Early)?;
        let cluster = &shared.identity.cluster;
        let began = self.published.read().cluster.bakes().get(id).map(|bake| bake.started_at);
        let began = began.unwrap_or_default();
        Ok(match ask {
            BakeAsk::FindBase { source, architecture } => {
                match self.base_of(&source, architecture).await {
                    Ok(base) => BakeAnswer::Base(base),
                    Err(none @ Trouble::NoBase(..)) => BakeAnswer::Impossible(none.to_string()),
                    Err(error) => return Err(error),
                }
            }
            BakeAsk::Launch { token, ami, launch, is_trial } => {
                let role = if is_trial { "trial" } else { "builder" };
                let user_data = user_data(&shared, &launch)?;
                let tags = made(cluster, id, (role, began));
                let order = LaunchOrder { token, ami, launch, user_data, tags };
                BakeAnswer::Launched { machine: cloud.launch(&order).await?, is_trial }
            }
            BakeAsk::Watch(machine) => {
                let power = power(cloud.power(&machine).await?);
                BakeAnswer::Power { machine, power }
            }
            BakeAsk::Stop(machine) => {
                let mut power = power(cloud.power(&machine).await?);
                if power == MachinePower::On {
                    cloud.stop(&machine).await?;
                    power = MachinePower::On;
                }
                BakeAnswer::Power { machine, power }
            }
            BakeAsk::Image { machine, name } => {
                // What is written to while it is copied is no image.
                let power = power(cloud.power(&machine).await?);
                if power != MachinePower::Stopped {
                    return Ok(BakeAnswer::Power { machine, power });
                }
                let mut tags = made(cluster, id, ("image", began));
                tags.insert(STATE.to_owned(), "quarantined".to_owned());
                BakeAnswer::Imaged(cloud.image(&machine, &name, &tags).await?)
            }
            BakeAsk::LookAt(ami) => {
                let state = match cloud.progress(&ami).await? {
                    ImageProgress::Pending => ImageState::Pending,
                    ImageProgress::Available => ImageState::Available,
                    ImageProgress::Failed(why) => ImageState::Failed(why),
                };
                BakeAnswer::Image { ami, state }
            }
            BakeAsk::Publish(bake) => publish(&shared, cloud, &bake).await?,
            BakeAsk::Clear { rest, names } => clear(cloud, (cluster, id), (&rest, &names)).await?,
        })
    }

    fn bakery(&self) -> Result<&dyn Bakery, Trouble> {
        self.cloud.bakery().ok_or(Trouble::None)
    }

    /// Removes what nobody needs, and says whether it is gone.
    pub(super) async fn remove(&self, id: String, is_image: bool) {
        let removed = match self.removed(&id, is_image).await {
            Ok(()) => BakeEvent::Gone(id),
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(
                    id,
                    why,
                    "something that nobody needs could not be removed; it is tried again"
                );
                BakeEvent::Stays { id, why }
            }
        };
        self.bring(removed).await;
    }

    async fn removed(&self, id: &str, is_image: bool) -> Result<(), Trouble> {
        let cloud = self.bakery()?;
        if is_image {
            cloud.remove_image(&id.parse().map_err(|_| Trouble::Odd)?).await?;
        } else {
            cloud.terminate(&[id.parse().map_err(|_| Trouble::Odd)?]).await?;
        }
        Ok(())
    }

    /// Looks every so often for what bakes have left. Never ends.
    pub(super) async fn sweep(&self) {
        loop {
            let swept = self.find_leftovers().await;
            let pause = if swept.is_ok() { SWEEP } else { SWEEP_AGAIN };
            match swept {
                Ok(found) => self.bring(BakeEvent::Swept(found)).await,
                Err(Trouble::None) => return std::future::pending().await,
                Err(error) => tracing::debug!(%error, "it is not known what bakes have left"),
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn find_leftovers(&self) -> Result<Vec<Leftover>, Trouble> {
        let cloud = self.bakery()?;
        let shared = self.shared.get().and_then(std::sync::Weak::upgrade).ok_or(Trouble::Early)?;
        let tags = tags(&shared.identity.cluster, None);
        let machines = cloud.machines_with(&tags).await?;
        let images = cloud.images_with(&tags).await?;
        let machines = machines.iter().filter_map(|one| leftover(one, false));
        Ok(machines.chain(images.iter().filter_map(|one| leftover(one, true))).collect())
    }
}

/// What has our tags and no end is nobody's to remove.
fn leftover(owned: &Owned, is_image: bool) -> Option<Leftover> {
    let bake = owned.tags.get(BAKE)?.parse().ok()?;
    let seconds: u64 = owned.tags.get(EXPIRES)?.parse().ok()?;
    let is_published = owned.tags.get(STATE).is_some_and(|state| state == "published");
    let expires_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
    (!is_published).then(|| Leftover { id: owned.id.clone(), bake, is_image, expires_at })
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Cloud(#[from] CloudError),
    #[error("this cloud makes no machine images")]
    None,
    #[error("the coordinator is starting or ending")]
    Early,
    #[error("there is no image for {1} by {0}")]
    NoBase(String, &'static str),
    #[error("what is to be removed has no id")]
    Odd,
    #[error("this coordinator has no authority: start it with TLS, so that machines can join")]
    Plain,
    #[error("the manifest can not be signed: {0}")]
    Sign(String),
}

const fn power(from: BuilderPower) -> MachinePower {
    match from {
        BuilderPower::Unknown => MachinePower::Unknown,
        BuilderPower::On => MachinePower::On,
        BuilderPower::Stopped => MachinePower::Stopped,
        BuilderPower::Gone => MachinePower::Gone,
    }
}

/// What a machine of a bake does when it boots: root starts an agent whose state is in memory only, so that nothing of it is
/// ever on the disk that becomes an image. Nothing in it is secret.
fn user_data(shared: &Shared, launch: &Launch) -> Result<String, Trouble> {
    let authority = shared.trusted.as_ref().ok_or(Trouble::Plain)?.authority.fingerprint();
    let coordinator = &launch.coordinator;
    let install = match &launch.agent {
        None => String::new(),
        Some((url, sha256)) => {
            let (file, install) = installer(url);
            format!(
                "if ! command -v wharf-agent; then\n  curl --fail --location --retry 5 --output {file} '{url}'\n  \
                 echo '{sha256}  {file}' | sha256sum --check\n  {install} {file}\nfi\n"
            )
        }
    };
    Ok(format!(
        "#!/bin/sh\nset -eu\n{install}systemctl stop wharf-agent.service || true\n\
         mkdir -p /run/wharf-builder\ncat >/run/wharf-builder/env <<'END'\n\
         WHARF_ADDR={coordinator}\nWHARF_JOIN=aws-sts\nWHARF_AUTHORITY={authority}\n\
         WHARF_STATE_DIR=/run/wharf-builder/state\nWHARF_BUILDER=true\nEND\n\
         systemctl reset-failed wharf-builder.service 2>/dev/null || true\n\
         systemd-run --unit=wharf-builder --property=EnvironmentFile=/run/wharf-builder/env \
         --property=Restart=always --property=RestartSec=1 /usr/bin/wharf-agent\n"
    ))
}

/// Where the agent's package is put, and what installs it: which kind it is its address says.
fn installer(url: &str) -> (&'static str, &'static str) {
    // A signed address has its signature behind the path.
    if url.split('?').next().is_some_and(|path| path.ends_with(".rpm")) {
        ("/run/wharf-agent.rpm", "dnf install --assumeyes")
    } else {
        ("/run/wharf-agent.deb", "apt-get install --yes")
    }
}

/// Signs what is in an image, and says so where everybody looks: last of all in the parameter, from which machines are
/// launched.
async fn publish(shared: &Shared, cloud: &dyn Bakery, bake: &Bake) -> Result<BakeAnswer, Trouble> {
    let made = bake.phase.made();
    let taken = made.taken.ok_or(Trouble::Odd)?;
    let digest = sha256(signed_manifest(bake).as_bytes());
    let authority = &shared.trusted.as_ref().ok_or(Trouble::Plain)?.authority;
    let signed = authority.sign_text(&[SIGNED, digest.as_bytes()].concat());
    let signed = signed.map_err(|error| Trouble::Sign(format!("{error:#}")))?;
    let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = format!("sha256:{hex}");
    let tags: Tags = [
        (STATE, "published"),
        ("wharf:recipe", bake.recipe.name.as_str()),
        ("wharf:pools", &bake.recipe.publish.pools.join(" ")),
        ("wharf:manifest", &manifest),
        ("wharf:signature", &signature),
        ("wharf:agent", &taken.facts.agent_version),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    cloud.tag_image(&taken.ami, &tags).await?;
    if let Some(parameter) = &bake.recipe.publish.parameter {
        cloud.put_parameter(parameter, taken.ami.as_str()).await?;
    }
    let manifest: Digest = manifest.parse().map_err(|_| Trouble::Odd)?;
    Ok(BakeAnswer::Published { manifest })
}

/// Ends the machines of a bake, those that are known and those that are found; removes images that are no good.
async fn clear(
    cloud: &dyn Bakery,
    (cluster, bake): (&ClusterId, &BakeId),
    (rest, names): (&Rest, &[String]),
) -> Result<BakeAnswer, Trouble> {
    let tags = tags(cluster, Some(bake));
    let found = cloud.machines_with(&tags).await?;
    let mut machines: Vec<NodeId> = rest.machines.clone();
    machines.extend(found.iter().filter_map(|one| one.id.parse().ok()));
    machines.sort();
    machines.dedup();
    cloud.terminate(&machines).await?;
    let mut left = found.len();
    for machine in &machines {
        let is_found = found.iter().any(|one| one.id == machine.as_str());
        if !is_found && cloud.power(machine).await? == BuilderPower::On {
            left += 1;
        }
    }
    left += clear_images(cloud, &tags, (rest, names)).await?;
    Ok(BakeAnswer::Left(u32::try_from(left).unwrap_or(u32::MAX)))
}

/// Removes images that are no good, and says how many are still there.
async fn clear_images(
    cloud: &dyn Bakery,
    tags: &Tags,
    (rest, names): (&Rest, &[String]),
) -> Result<usize, Trouble> {
    let found = cloud.images_with(tags).await?;
    let is_published = |one: &Owned| one.tags.get(STATE).is_some_and(|state| state == "published");
    // What is called otherwise is not of this bake, whatever its tags say.
    let has_name = |one: &Owned| one.name.as_ref().is_some_and(|name| names.contains(name));
    let no_good = found.iter().filter(|one| !is_published(one) && has_name(one));
    let mut images: Vec<AmiId> = no_good.filter_map(|one| one.id.parse().ok()).collect();
    let left = images.len();
    // One that the cloud does not show yet.
    images.extend(rest.ami.iter().filter(|ami| !images.contains(ami)).cloned().collect::<Vec<_>>());
    for image in &images {
        cloud.remove_image(image).await?;
    }
    Ok(left)
}
