//! Recipes: what an operator's file says, as it is sent and stored.

use model::bake::{
    BaseSource, File, ImageSet, Launch, Publish, Recipe, Script, Step, StepKind, Trial,
};

use super::upkeep::{triggers_from_wire, triggers_to_wire};
use super::{architecture_from_wire, architecture_to_wire};
use crate::convert::checks::{absolute, duration, few, line, millis, text, word};
use crate::convert::spec::{image_from_wire, image_to_wire};
use crate::convert::{At, Invalid, Named, Valid};
use crate::wire;
use crate::wire::bake_step::Kind;
use crate::wire::recipe::Base;

/// Steps of a recipe: nobody reads more.
const STEPS_LIMIT: usize = 100;
/// All files of a recipe together: it has to fit into one message, and into the store.
const FILES_LIMIT: usize = 4 << 20;
/// A step is tried again no more often.
const RETRIES_LIMIT: u32 = 10;

/// Reads a recipe.
///
/// # Errors
/// Says where and what is wrong.
pub fn recipe_from_wire(from: Option<&wire::Recipe>) -> Valid<Recipe> {
    let from = from.at("recipe")?;
    if from.steps.len() > STEPS_LIMIT {
        let why = format!("has {} steps of {STEPS_LIMIT} allowed", from.steps.len());
        return Err(Invalid::new("recipe.steps", why));
    }
    let steps: Valid<Vec<Step>> = from.steps.iter().map(step_from_wire).collect();
    let steps = steps?;
    let bytes: usize = steps.iter().map(weight).sum();
    if bytes > FILES_LIMIT {
        let why = format!("have {bytes} bytes of {FILES_LIMIT} allowed together");
        return Err(Invalid::new("recipe.steps.files", why));
    }
    let images = from.images.as_ref().at("recipe.images")?;
    few("recipe.images", images.extra.len())?;
    let extra = images.extra.iter().map(image_from_wire).collect::<Valid<_>>()?;
    let publish = from.publish.as_ref().at("recipe.publish")?;
    let pools = publish.pools.iter().map(|pool| word("recipe.publish.pools", pool));
    let base = base_from_wire(from.base.as_ref())?;
    let triggers = triggers_from_wire(from.triggers.as_ref(), (&base, &publish.pools))?;
    Ok(Recipe {
        name: from.name.named("recipe.name")?,
        base,
        architecture: architecture_from_wire(from.architecture())?,
        launch: launch_from_wire(from.launch.as_ref())?,
        steps,
        images: ImageSet { what_runs: images.what_runs, extra, budget_bytes: images.budget_bytes },
        trial: trial_from_wire(from.trial.as_ref())?,
        publish: Publish {
            pools: pools.collect::<Valid<_>>()?,
            parameter: optional("recipe.publish.parameter", &publish.parameter)?,
        },
        triggers,
    })
}

fn weight(step: &Step) -> usize {
    match &step.kind {
        StepKind::Files(files) => files.iter().map(|file| file.content.len()).sum(),
        StepKind::Packages(_) | StepKind::Script(_) => 0,
    }
}

fn optional(path: &str, from: &str) -> Valid<Option<String>> {
    let given = Some(from).filter(|given| !given.is_empty());
    given.map(|given| line(path, given)).transpose()
}

fn base_from_wire(from: Option<&Base>) -> Valid<BaseSource> {
    Ok(match from.at("recipe.base")? {
        Base::Parameter(name) => BaseSource::Parameter(word("recipe.base.parameter", name)?),
        Base::Newest(newest) => BaseSource::Newest {
            owner: word("recipe.base.owner", &newest.owner)?,
            name: word("recipe.base.name", &newest.name)?,
        },
        Base::Id(id) => BaseSource::Id(id.named("recipe.base.id")?),
    })
}

fn launch_from_wire(from: Option<&wire::BakeLaunch>) -> Valid<Launch> {
    let from = from.at("recipe.launch")?;
    few("recipe.launch.security_groups", from.security_groups.len())?;
    let groups = from.security_groups.iter();
    let groups = groups.map(|group| word("recipe.launch.security_groups", group));
    let agent = optional("recipe.launch.agent.url", &from.agent_url)?;
    let is_digest =
        from.agent_sha256.len() == 64 && from.agent_sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if agent.is_some() && !is_digest {
        let why = "is not a SHA-256: 64 hexadecimal digits";
        return Err(Invalid::new("recipe.launch.agent.sha256", why));
    }
    let coordinator = word("recipe.launch.coordinator", &from.coordinator)?;
    if coordinator.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\' | '$')) {
        return Err(Invalid::new("recipe.launch.coordinator", "is not HOST:PORT"));
    }
    let agent = agent.map(|url| (url, from.agent_sha256.clone()));
    if agent.as_ref().is_some_and(|(url, _)| url.contains(['\'', ' ', '\\'])) {
        return Err(Invalid::new("recipe.launch.agent.url", "has a quote, a space or a backslash"));
    }
    Ok(Launch {
        instance_type: word("recipe.launch.instance_type", &from.instance_type)?,
        subnet: optional("recipe.launch.subnet", &from.subnet)?,
        security_groups: groups.collect::<Valid<_>>()?,
        profile: optional("recipe.launch.profile", &from.profile)?,
        coordinator,
        agent,
    })
}

fn step_from_wire(from: &wire::BakeStep) -> Valid<Step> {
    let kind = match from.kind.as_ref().at("recipe.steps.kind")? {
        Kind::Packages(packages) => {
            few("recipe.steps.packages", packages.names.len())?;
            let names = packages.names.iter().map(|name| package(name));
            StepKind::Packages(names.collect::<Valid<_>>()?)
        }
        Kind::Files(files) => {
            few("recipe.steps.files", files.files.len())?;
            StepKind::Files(files.files.iter().map(file_from_wire).collect::<Valid<_>>()?)
        }
        Kind::Script(script) => StepKind::Script(text("recipe.steps.script", script)?),
    };
    if from.retries > RETRIES_LIMIT {
        let why = format!("{} are more than the {RETRIES_LIMIT} allowed", from.retries);
        return Err(Invalid::new("recipe.steps.retries", why));
    }
    Ok(Step {
        name: word("recipe.steps.name", &from.name)?,
        kind,
        timeout: duration("recipe.steps.timeout", from.timeout_ms)?,
        retries: from.retries,
    })
}

/// The name of a package, with a version where one is asked for: never what could be taken for an option.
fn package(name: &str) -> Valid<String> {
    let is_fine =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '=' | ':' | '~' | '_');
    if name.is_empty() || name.starts_with('-') || !name.chars().all(is_fine) {
        let why = format!("{name:?} is not a package: NAME or NAME=VERSION");
        return Err(Invalid::new("recipe.steps.packages", why));
    }
    Ok(name.to_owned())
}

fn file_from_wire(from: &wire::BakeFile) -> Valid<File> {
    if from.mode > 0o7777 {
        let why = format!("{:o} is not a mode", from.mode);
        return Err(Invalid::new("recipe.steps.files.mode", why));
    }
    let path = absolute("recipe.steps.files.path", &from.path)?;
    Ok(File { path, mode: from.mode, content: from.content.clone() })
}

fn trial_from_wire(from: Option<&wire::BakeTrial>) -> Valid<Trial> {
    let from = from.at("recipe.test")?;
    few("recipe.test.scripts", from.scripts.len())?;
    let script = |script: &wire::BakeScript| {
        let name = word("recipe.test.scripts.name", &script.name)?;
        Ok(Script { name, text: text("recipe.test.scripts", &script.text)? })
    };
    Ok(Trial {
        scripts: from.scripts.iter().map(script).collect::<Valid<_>>()?,
        within: duration("recipe.test.within", from.within_ms)?,
    })
}

/// Writes a recipe.
#[must_use]
pub fn recipe_to_wire(recipe: &Recipe) -> wire::Recipe {
    let base = match &recipe.base {
        BaseSource::Parameter(name) => Base::Parameter(name.clone()),
        BaseSource::Newest { owner, name } => {
            Base::Newest(wire::NewestImage { owner: owner.clone(), name: name.clone() })
        }
        BaseSource::Id(id) => Base::Id(id.to_string()),
    };
    let Launch { instance_type, subnet, security_groups, profile, coordinator, agent } =
        recipe.launch.clone();
    let (agent_url, agent_sha256) = agent.unwrap_or_default();
    let (subnet, profile) = (subnet.unwrap_or_default(), profile.unwrap_or_default());
    wire::Recipe {
        name: recipe.name.to_string(),
        base: Some(base),
        architecture: architecture_to_wire(recipe.architecture).into(),
        launch: Some(wire::BakeLaunch {
            instance_type,
            subnet,
            security_groups,
            profile,
            coordinator,
            agent_url,
            agent_sha256,
        }),
        steps: recipe.steps.iter().map(step_to_wire).collect(),
        images: Some(wire::BakeImages {
            what_runs: recipe.images.what_runs,
            extra: recipe.images.extra.iter().map(image_to_wire).collect(),
            budget_bytes: recipe.images.budget_bytes,
        }),
        trial: Some(wire::BakeTrial {
            scripts: recipe.trial.scripts.iter().map(script_to_wire).collect(),
            within_ms: millis(recipe.trial.within),
        }),
        publish: Some(wire::BakePublish {
            pools: recipe.publish.pools.clone(),
            parameter: recipe.publish.parameter.clone().unwrap_or_default(),
        }),
        triggers: triggers_to_wire(&recipe.triggers),
    }
}

/// Writes a script.
#[must_use]
pub fn script_to_wire(script: &Script) -> wire::BakeScript {
    wire::BakeScript { name: script.name.clone(), text: script.text.clone() }
}

/// Writes a step.
#[must_use]
pub fn step_to_wire(step: &Step) -> wire::BakeStep {
    let file = |file: &File| wire::BakeFile {
        path: file.path.clone(),
        mode: file.mode,
        content: file.content.clone(),
    };
    let kind = match &step.kind {
        StepKind::Packages(names) => Kind::Packages(wire::BakePackages { names: names.clone() }),
        StepKind::Files(files) => {
            Kind::Files(wire::BakeFiles { files: files.iter().map(file).collect() })
        }
        StepKind::Script(text) => Kind::Script(text.clone()),
    };
    wire::BakeStep {
        name: step.name.clone(),
        kind: Some(kind),
        timeout_ms: millis(step.timeout),
        retries: step.retries,
    }
}
