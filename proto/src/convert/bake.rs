//! Bakes and machine images.

mod recipe;
mod upkeep;

use std::sync::Arc;

use model::bake::{
    Ami, AmiState, Architecture, Bake, BakePhase, Base, Build, Chosen, End, Facts, Rest, Taken,
    Tried,
};
use model::image::Image;
use model::time::Timestamp;

pub use self::recipe::{recipe_from_wire, recipe_to_wire, script_to_wire, step_to_wire};
use self::upkeep::{cause_from_wire, cause_to_wire};
pub use self::upkeep::{upkeep_from_wire, upkeep_to_wire};
use super::checks::{few, line, seen};
use super::spec::{image_from_wire, image_to_wire};
use super::{At, Invalid, Named, Valid};
use crate::wire;
use crate::wire::bake_phase::Phase as WirePhase;

/// More packages than any system has that boots.
const PACKAGES_LIMIT: usize = 20_000;

fn base_from_wire(from: Option<&wire::BakeBase>) -> Valid<Base> {
    let from = from.at("bake.base")?;
    Ok(Base { ami: from.ami.named("bake.base.ami")?, name: line("bake.base.name", &from.name)? })
}

/// Writes what a bake begins with.
#[must_use]
pub fn base_to_wire(base: &Base) -> wire::BakeBase {
    wire::BakeBase { ami: base.ami.to_string(), name: base.name.clone() }
}

/// Reads what a bake begins with.
///
/// # Errors
/// Says where and what is wrong.
pub fn bake_base_from_wire(from: &wire::BakeBase) -> Valid<Base> {
    base_from_wire(Some(from))
}

fn build_from_wire(from: Option<&wire::BakeBuild>) -> Valid<Build> {
    let from = from.at("bake.build")?;
    let builder = from.builder.named("bake.builder")?;
    Ok(Build { base: base_from_wire(from.base.as_ref())?, builder })
}

fn build_to_wire(build: &Build) -> wire::BakeBuild {
    let (base, builder) = (Some(base_to_wire(&build.base)), build.builder.to_string());
    wire::BakeBuild { base, builder }
}

/// Reads what was found on a machine.
///
/// # Errors
/// When there is more than any machine has.
pub fn facts_from_wire(from: Option<&wire::BakeFacts>) -> Valid<Facts> {
    let from = from.at("bake.facts")?;
    if from.packages.len() > PACKAGES_LIMIT {
        let why = format!("has {} packages of {PACKAGES_LIMIT} allowed", from.packages.len());
        return Err(Invalid::new("bake.facts", why));
    }
    let packages = from.packages.iter().map(|one| (seen(&one.name), seen(&one.version)));
    Ok(Facts {
        agent_version: seen(&from.agent_version),
        packages: packages.collect(),
        kernel: seen(&from.kernel),
    })
}

/// Writes what was found on a machine.
#[must_use]
pub fn facts_to_wire(facts: &Facts) -> wire::BakeFacts {
    let package = |(name, version): &(String, String)| wire::SystemPackage {
        name: name.clone(),
        version: version.clone(),
    };
    wire::BakeFacts {
        agent_version: facts.agent_version.clone(),
        packages: facts.packages.iter().map(package).collect(),
        kernel: facts.kernel.clone(),
    }
}

fn built_from_wire(from: Option<&wire::BakeBuilt>) -> Valid<(Build, Arc<Facts>)> {
    let from = from.at("bake.built")?;
    let facts = Arc::new(facts_from_wire(from.facts.as_ref())?);
    Ok((build_from_wire(from.build.as_ref())?, facts))
}

fn built_to_wire(build: &Build, facts: &Facts) -> wire::BakeBuilt {
    wire::BakeBuilt { build: Some(build_to_wire(build)), facts: Some(facts_to_wire(facts)) }
}

fn taken_from_wire(from: Option<&wire::BakeTaken>) -> Valid<Taken> {
    let from = from.at("bake.taken")?;
    let (build, facts) = built_from_wire(from.built.as_ref())?;
    Ok(Taken { build, facts, ami: from.ami.named("bake.ami")? })
}

fn taken_to_wire(taken: &Taken) -> wire::BakeTaken {
    let built = Some(built_to_wire(&taken.build, &taken.facts));
    wire::BakeTaken { built, ami: taken.ami.to_string() }
}

fn tried_from_wire(from: &wire::BakeTried) -> Valid<Tried> {
    let taken = taken_from_wire(from.taken.as_ref())?;
    Ok(Tried { taken, tester: from.tester.named("bake.tester")? })
}

fn tried_to_wire(tried: &Tried) -> wire::BakeTried {
    let (taken, tester) = (Some(taken_to_wire(&tried.taken)), tried.tester.to_string());
    wire::BakeTried { taken, tester }
}

fn end_from_wire(from: Option<&wire::BakeEnd>) -> Valid<End> {
    use wire::bake_end::End as Wire;
    Ok(match from.and_then(|from| from.end.as_ref()).at("bake.end")? {
        Wire::Published(ami) => End::Published { ami: ami.named("bake.end.ami")? },
        Wire::Failed(failed) => {
            End::Failed { during: seen(&failed.during), why: seen(&failed.why) }
        }
        Wire::Removed(_) => End::Removed,
    })
}

fn end_to_wire(end: &End) -> wire::BakeEnd {
    use wire::bake_end::End as Wire;
    let end = match end {
        End::Published { ami } => Wire::Published(ami.to_string()),
        End::Failed { during, why } => {
            Wire::Failed(wire::BakeFailure { during: during.clone(), why: why.clone() })
        }
        End::Removed => Wire::Removed(wire::BakeRemoved {}),
    };
    wire::BakeEnd { end: Some(end) }
}

fn phase_from_wire(from: Option<&wire::BakePhase>) -> Valid<BakePhase> {
    let phase = from.and_then(|from| from.phase.as_ref()).at("bake.phase")?;
    Ok(match phase {
        WirePhase::Resolving(_) => BakePhase::Resolving,
        WirePhase::Launching(base) => BakePhase::Launching { base: base_from_wire(Some(base))? },
        WirePhase::Joining(build) => BakePhase::Joining { build: build_from_wire(Some(build))? },
        WirePhase::Working(working) => BakePhase::Working {
            build: build_from_wire(working.build.as_ref())?,
            step: working.step,
        },
        WirePhase::Stopping(built) => {
            let (build, facts) = built_from_wire(Some(built))?;
            BakePhase::Stopping { build, facts }
        }
        WirePhase::Imaging(built) => {
            let (build, facts) = built_from_wire(Some(built))?;
            BakePhase::Imaging { build, facts }
        }
        WirePhase::Settling(taken) => BakePhase::Settling { taken: taken_from_wire(Some(taken))? },
        WirePhase::TrialLaunching(taken) => {
            BakePhase::TrialLaunching { taken: taken_from_wire(Some(taken))? }
        }
        WirePhase::TrialJoining(tried) => {
            BakePhase::TrialJoining { tried: tried_from_wire(tried)? }
        }
        WirePhase::Trying(tried) => BakePhase::Trying { tried: tried_from_wire(tried)? },
        WirePhase::Publishing(tried) => BakePhase::Publishing { tried: tried_from_wire(tried)? },
        WirePhase::Kept(kept) => kept_from_wire(kept)?,
        WirePhase::Clearing(clearing) => clearing_from_wire(clearing)?,
        WirePhase::Ended(end) => BakePhase::Ended { end: end_from_wire(Some(end))? },
    })
}

/// One that is kept was at something; nothing is kept within what is kept.
fn kept_from_wire(from: &wire::BakeKept) -> Valid<BakePhase> {
    let inner = from.at.as_deref().and_then(|at| at.phase.as_ref());
    if matches!(inner, Some(WirePhase::Kept(_) | WirePhase::Clearing(_) | WirePhase::Ended(_))) {
        return Err(Invalid::new("bake.phase.kept", "what is over can not be tried again"));
    }
    let (at, why) = (Box::new(phase_from_wire(from.at.as_deref())?), seen(&from.why));
    Ok(BakePhase::Kept { at, why, until: Timestamp::from_millis(from.until_ms) })
}

fn clearing_from_wire(from: &wire::BakeClearing) -> Valid<BakePhase> {
    few("bake.machines", from.machines.len())?;
    let machines = from.machines.iter().map(|one| one.named("bake.machines"));
    let ami = Some(&from.ami).filter(|ami| !ami.is_empty());
    let rest = Rest {
        machines: machines.collect::<Valid<_>>()?,
        ami: ami.map(|ami| ami.named("bake.ami")).transpose()?,
    };
    Ok(BakePhase::Clearing { rest, end: end_from_wire(from.end.as_ref())? })
}

fn phase_to_wire(phase: &BakePhase) -> wire::BakePhase {
    let phase = match phase {
        BakePhase::Resolving => WirePhase::Resolving(wire::BakeResolving {}),
        BakePhase::Launching { base } => WirePhase::Launching(base_to_wire(base)),
        BakePhase::Joining { build } => WirePhase::Joining(build_to_wire(build)),
        BakePhase::Working { build, step } => {
            WirePhase::Working(wire::BakeWorking { build: Some(build_to_wire(build)), step: *step })
        }
        BakePhase::Stopping { build, facts } => WirePhase::Stopping(built_to_wire(build, facts)),
        BakePhase::Imaging { build, facts } => WirePhase::Imaging(built_to_wire(build, facts)),
        BakePhase::Settling { taken } => WirePhase::Settling(taken_to_wire(taken)),
        BakePhase::TrialLaunching { taken } => WirePhase::TrialLaunching(taken_to_wire(taken)),
        BakePhase::TrialJoining { tried } => WirePhase::TrialJoining(tried_to_wire(tried)),
        BakePhase::Trying { tried } => WirePhase::Trying(tried_to_wire(tried)),
        BakePhase::Publishing { tried } => WirePhase::Publishing(tried_to_wire(tried)),
        BakePhase::Kept { at, why, until } => WirePhase::Kept(Box::new(wire::BakeKept {
            at: Some(Box::new(phase_to_wire(at))),
            why: why.clone(),
            until_ms: until.as_millis(),
        })),
        BakePhase::Clearing { rest, end } => WirePhase::Clearing(wire::BakeClearing {
            machines: rest.machines.iter().map(ToString::to_string).collect(),
            ami: rest.ami.as_ref().map(ToString::to_string).unwrap_or_default(),
            end: Some(end_to_wire(end)),
        }),
        BakePhase::Ended { end } => WirePhase::Ended(end_to_wire(end)),
    };
    wire::BakePhase { phase: Some(phase) }
}

/// Reads images with the reasons for which they were chosen.
///
/// # Errors
/// Says where and what is wrong.
pub fn chosen_from_wire(from: &[wire::ChosenImage]) -> Valid<Vec<Chosen>> {
    few("bake.images", from.len())?;
    let chosen = |one: &wire::ChosenImage| {
        let image = image_from_wire(one.image.as_ref().at("bake.images")?)?;
        Ok(Chosen { image, why: seen(&one.why) })
    };
    from.iter().map(chosen).collect()
}

/// Writes images with the reasons for which they were chosen.
#[must_use]
pub fn chosen_to_wire(images: &[Chosen]) -> Vec<wire::ChosenImage> {
    let chosen = |one: &Chosen| wire::ChosenImage {
        image: Some(image_to_wire(&one.image)),
        why: one.why.clone(),
    };
    images.iter().map(chosen).collect()
}

/// Reads a bake.
///
/// # Errors
/// Says where and what is wrong.
pub fn bake_from_wire(from: &wire::Bake) -> Valid<Bake> {
    Ok(Bake {
        id: from.id.named("bake.id")?,
        recipe: Arc::new(recipe_from_wire(from.recipe.as_ref())?),
        images: Arc::new(chosen_from_wire(&from.images)?),
        keeps: from.keeps,
        cause: cause_from_wire(from.cause.as_ref())?,
        started_at: Timestamp::from_millis(from.started_at_ms),
        retries: from.retries,
        since: Timestamp::from_millis(from.since_ms),
        phase: phase_from_wire(from.phase.as_ref())?,
    })
}

/// Writes a bake.
#[must_use]
pub fn bake_to_wire(bake: &Bake) -> wire::Bake {
    wire::Bake {
        id: bake.id.to_string(),
        recipe: Some(recipe_to_wire(&bake.recipe)),
        images: chosen_to_wire(&bake.images),
        keeps: bake.keeps,
        started_at_ms: bake.started_at.as_millis(),
        retries: bake.retries,
        since_ms: bake.since.as_millis(),
        phase: Some(phase_to_wire(&bake.phase)),
        cause: cause_to_wire(&bake.cause),
    }
}

fn architecture_from_wire(from: wire::Architecture) -> Valid<Architecture> {
    match from {
        wire::Architecture::X8664 => Ok(Architecture::X86_64),
        wire::Architecture::Arm64 => Ok(Architecture::Arm64),
        wire::Architecture::Unspecified => None.at("architecture"),
    }
}

const fn architecture_to_wire(architecture: Architecture) -> wire::Architecture {
    match architecture {
        Architecture::X86_64 => wire::Architecture::X8664,
        Architecture::Arm64 => wire::Architecture::Arm64,
    }
}

/// Reads a machine image.
///
/// # Errors
/// Says where and what is wrong.
pub fn ami_from_wire(from: &wire::Ami) -> Valid<Ami> {
    use wire::ami::State;
    few("ami.images", from.images.len())?;
    few("ami.pools", from.pools.len())?;
    let images: Valid<Vec<Image>> = from.images.iter().map(image_from_wire).collect();
    let pools = from.pools.iter().map(|pool| line("ami.pools", pool));
    let state = match from.state.as_ref().at("ami.state")? {
        State::Quarantined(_) => AmiState::Quarantined,
        State::Published(published) => AmiState::Published {
            at: Timestamp::from_millis(published.at_ms),
            manifest: published.manifest.parse().at("ami.manifest")?,
        },
        State::RetiredAtMs(at) => AmiState::Retired { at: Timestamp::from_millis(*at) },
    };
    Ok(Ami {
        id: from.id.named("ami.id")?,
        name: line("ami.name", &from.name)?,
        bake: from.bake.named("ami.bake")?,
        recipe: from.recipe.named("ami.recipe")?,
        base: base_from_wire(from.base.as_ref())?,
        made_at: Timestamp::from_millis(from.made_at_ms),
        architecture: architecture_from_wire(from.architecture())?,
        images: images?,
        facts: Arc::new(facts_from_wire(from.facts.as_ref())?),
        pools: pools.collect::<Valid<_>>()?,
        state,
    })
}

/// Writes a machine image.
#[must_use]
pub fn ami_to_wire(ami: &Ami) -> wire::Ami {
    use wire::ami::State;
    let state = match &ami.state {
        AmiState::Quarantined => State::Quarantined(wire::AmiQuarantined {}),
        AmiState::Published { at, manifest } => State::Published(wire::AmiPublished {
            at_ms: at.as_millis(),
            manifest: manifest.to_string(),
        }),
        AmiState::Retired { at } => State::RetiredAtMs(at.as_millis()),
    };
    wire::Ami {
        id: ami.id.to_string(),
        name: ami.name.clone(),
        bake: ami.bake.to_string(),
        recipe: ami.recipe.to_string(),
        base: Some(base_to_wire(&ami.base)),
        made_at_ms: ami.made_at.as_millis(),
        architecture: architecture_to_wire(ami.architecture).into(),
        images: ami.images.iter().map(image_to_wire).collect(),
        facts: Some(facts_to_wire(&ami.facts)),
        pools: ami.pools.clone(),
        state: Some(state),
    }
}
