//! What is heard of bakes, as the recorder keeps it.

use std::sync::Arc;

use anyhow::Context as _;
use coordinator_core::cluster::Leftover;
use coordinator_core::event::{BakeAnswer, BakeEvent, ImageState, MachinePower, RecipeLook};
use model::time::Timestamp;
use proto::convert::{
    bake_base_from_wire, base_to_wire, chosen_from_wire, chosen_to_wire, facts_from_wire,
    facts_to_wire, recipe_from_wire, recipe_to_wire,
};
use proto::wire;
use proto::wire::bake_report::Result as Came;
use proto::wire::flight_bake::Event as Wire;
use proto::wire::flight_bake_answer::Answer;

pub(super) fn bake_to_wire(event: &BakeEvent) -> wire::FlightBake {
    let event = match event {
        BakeEvent::Start { recipe, images, keeps } => Wire::Start(wire::FlightBakeStart {
            recipe: Some(recipe_to_wire(recipe)),
            images: chosen_to_wire(images),
            keep: *keeps,
        }),
        BakeEvent::Retry(id) => Wire::Retry(id.to_string()),
        BakeEvent::Remove(id) => Wire::Remove(id.to_string()),
        BakeEvent::PutRecipe(recipe) => Wire::PutRecipe(recipe_to_wire(recipe)),
        BakeEvent::SteerRecipe { recipe, is_paused } => {
            Wire::SteerRecipe(wire::SteerRecipeRequest {
                recipe: recipe.to_string(),
                paused: *is_paused,
            })
        }
        BakeEvent::RemoveRecipe(name) => Wire::RemoveRecipe(name.to_string()),
        BakeEvent::Looked(look) => Wire::RecipeLooked(look_to_wire(look)),
        BakeEvent::Joined(machine) => Wire::Joined(machine.to_string()),
        BakeEvent::Worked { machine, number, result } => Wire::Worked(wire::FlightBakeWorked {
            machine: machine.to_string(),
            report: Some(wire::BakeReport {
                number: *number,
                result: Some(match result {
                    Ok(facts) => Came::Done(facts_to_wire(facts)),
                    Err(why) => Came::Failed(why.clone()),
                }),
            }),
        }),
        BakeEvent::Answered { bake, answer } => Wire::Answered(wire::FlightBakeAnswer {
            bake: bake.to_string(),
            answer: Some(answer_to_wire(answer)),
        }),
        BakeEvent::Swept(found) => {
            let leftovers = found.iter().map(|left| wire::FlightLeftover {
                id: left.id.clone(),
                bake: left.bake.to_string(),
                image: left.is_image,
                expires_ms: left.expires_at.as_millis(),
            });
            Wire::Swept(wire::FlightBakeSweep { leftovers: leftovers.collect() })
        }
        BakeEvent::Retire(amis) => Wire::Retire(wire::FlightAmiRetire {
            amis: amis.iter().map(ToString::to_string).collect(),
        }),
        BakeEvent::Gone(id) => Wire::AmiGone(id.clone()),
        BakeEvent::Stays { id, why } => {
            Wire::Stays(wire::FlightStays { id: id.clone(), why: why.clone() })
        }
    };
    wire::FlightBake { event: Some(event) }
}

fn look_to_wire(look: &RecipeLook) -> wire::FlightRecipeLook {
    use wire::flight_recipe_look::Base as WireBase;
    let base = look.base.as_ref().map(|(_, found)| match found {
        Ok(base) => WireBase::Found(base_to_wire(base)),
        Err(why) => WireBase::Failed(why.clone()),
    });
    let sizes = look.sizes.iter();
    let sizes = sizes
        .map(|(digest, bytes)| wire::FlightImageSize { digest: digest.to_string(), bytes: *bytes });
    wire::FlightRecipeLook {
        recipe: look.recipe.to_string(),
        base,
        sizes: sizes.collect(),
        release: look.release.clone(),
        source: look.base.as_ref().map(|(source, _)| source.clone()).unwrap_or_default(),
    }
}

fn look_from_wire(from: &wire::FlightRecipeLook) -> anyhow::Result<RecipeLook> {
    use wire::flight_recipe_look::Base as WireBase;
    let base = from.base.as_ref().map(|base| -> anyhow::Result<_> {
        let found = match base {
            WireBase::Found(base) => Ok(bake_base_from_wire(base)?),
            WireBase::Failed(why) => Err(why.clone()),
        };
        Ok((from.source.clone(), found))
    });
    let size = |one: &wire::FlightImageSize| Ok((one.digest.parse()?, one.bytes));
    Ok(RecipeLook {
        recipe: from.recipe.parse()?,
        base: base.transpose()?,
        sizes: from.sizes.iter().map(size).collect::<anyhow::Result<_>>()?,
        release: from.release.clone(),
    })
}

fn answer_to_wire(answer: &BakeAnswer) -> Answer {
    match answer {
        BakeAnswer::Base(base) => Answer::Base(base_to_wire(base)),
        BakeAnswer::Launched { machine, is_trial } => Answer::Launched(wire::FlightLaunched {
            machine: machine.to_string(),
            trial: *is_trial,
        }),
        BakeAnswer::Power { machine, power } => {
            let power = match power {
                MachinePower::Unknown => "unknown",
                MachinePower::On => "on",
                MachinePower::Stopped => "stopped",
                MachinePower::Gone => "gone",
            };
            let (machine, power) = (machine.to_string(), power.to_owned());
            Answer::Power(wire::FlightPower { machine, power })
        }
        BakeAnswer::Imaged(ami) => Answer::Imaged(ami.to_string()),
        BakeAnswer::Image { ami, state } => {
            let (available, why) = match state {
                ImageState::Pending => (None, String::new()),
                ImageState::Available => (Some(true), String::new()),
                ImageState::Failed(why) => (Some(false), why.clone()),
            };
            Answer::Image(wire::FlightImageState { ami: ami.to_string(), available, why })
        }
        BakeAnswer::Published { manifest } => Answer::Published(manifest.to_string()),
        BakeAnswer::Left(count) => Answer::Left(*count),
        BakeAnswer::Impossible(why) => Answer::Impossible(why.clone()),
        BakeAnswer::Failed(why) => Answer::Failed(why.clone()),
    }
}

pub(super) fn bake_from_wire(from: &wire::FlightBake) -> anyhow::Result<BakeEvent> {
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::Start(start) => BakeEvent::Start {
            recipe: Box::new(recipe_from_wire(start.recipe.as_ref())?),
            images: chosen_from_wire(&start.images)?,
            keeps: start.keep,
        },
        Wire::PutRecipe(recipe) => BakeEvent::PutRecipe(Box::new(recipe_from_wire(Some(recipe))?)),
        Wire::SteerRecipe(steer) => {
            BakeEvent::SteerRecipe { recipe: steer.recipe.parse()?, is_paused: steer.paused }
        }
        Wire::RemoveRecipe(name) => BakeEvent::RemoveRecipe(name.parse()?),
        Wire::RecipeLooked(look) => BakeEvent::Looked(Box::new(look_from_wire(look)?)),
        Wire::Retry(id) => BakeEvent::Retry(id.parse()?),
        Wire::Remove(id) => BakeEvent::Remove(id.parse()?),
        Wire::Joined(machine) => BakeEvent::Joined(machine.parse()?),
        Wire::Worked(worked) => {
            let report = worked.report.as_ref().context("a report that is empty")?;
            let result = match report.result.as_ref().context("a report without a result")? {
                Came::Done(facts) => Ok(Arc::new(facts_from_wire(Some(facts))?)),
                Came::Failed(why) => Err(why.clone()),
            };
            let (machine, number) = (worked.machine.parse()?, report.number);
            BakeEvent::Worked { machine, number, result }
        }
        Wire::Answered(answered) => BakeEvent::Answered {
            bake: answered.bake.parse()?,
            answer: answer_from_wire(answered.answer.as_ref().context("an empty answer")?)?,
        },
        Wire::Swept(swept) => {
            let leftover = |left: &wire::FlightLeftover| -> anyhow::Result<Leftover> {
                Ok(Leftover {
                    id: left.id.clone(),
                    bake: left.bake.parse()?,
                    is_image: left.image,
                    expires_at: Timestamp::from_millis(left.expires_ms),
                })
            };
            BakeEvent::Swept(swept.leftovers.iter().map(leftover).collect::<Result<_, _>>()?)
        }
        Wire::Retire(retire) => {
            let amis = retire.amis.iter().map(|id| id.parse());
            BakeEvent::Retire(amis.collect::<Result<_, _>>()?)
        }
        Wire::AmiGone(id) => BakeEvent::Gone(id.clone()),
        Wire::Stays(stays) => BakeEvent::Stays { id: stays.id.clone(), why: stays.why.clone() },
    })
}

fn answer_from_wire(from: &Answer) -> anyhow::Result<BakeAnswer> {
    Ok(match from {
        Answer::Base(base) => BakeAnswer::Base(bake_base_from_wire(base)?),
        Answer::Launched(launched) => {
            BakeAnswer::Launched { machine: launched.machine.parse()?, is_trial: launched.trial }
        }
        Answer::Power(power) => BakeAnswer::Power {
            machine: power.machine.parse()?,
            power: match power.power.as_str() {
                "on" => MachinePower::On,
                "stopped" => MachinePower::Stopped,
                "gone" => MachinePower::Gone,
                _ => MachinePower::Unknown,
            },
        },
        Answer::Imaged(ami) => BakeAnswer::Imaged(ami.parse()?),
        Answer::Image(image) => BakeAnswer::Image {
            ami: image.ami.parse()?,
            state: match image.available {
                None => ImageState::Pending,
                Some(true) => ImageState::Available,
                Some(false) => ImageState::Failed(image.why.clone()),
            },
        },
        Answer::Published(manifest) => BakeAnswer::Published { manifest: manifest.parse()? },
        Answer::Left(count) => BakeAnswer::Left(*count),
        Answer::Impossible(why) => BakeAnswer::Impossible(why.clone()),
        Answer::Failed(why) => BakeAnswer::Failed(why.clone()),
    })
}

/// What is heard, in a few words.
pub(super) fn brief(event: &BakeEvent) -> String {
    match event {
        BakeEvent::Start { recipe, .. } => format!("bake {}", recipe.name),
        BakeEvent::PutRecipe(recipe) => format!("keep up recipe {}", recipe.name),
        BakeEvent::SteerRecipe { recipe, is_paused: true } => format!("pause recipe {recipe}"),
        BakeEvent::SteerRecipe { recipe, is_paused: false } => format!("resume recipe {recipe}"),
        BakeEvent::RemoveRecipe(name) => format!("keep up recipe {name} no more"),
        BakeEvent::Looked(look) => match &look.base {
            Some((source, Ok(base))) => format!("{source} is {}", base.ami),
            Some((source, Err(why))) => format!("{source} is not known: {why}"),
            None => format!("recipe {} was looked at", look.recipe),
        },
        BakeEvent::Retry(id) => format!("try bake {id} again"),
        BakeEvent::Remove(id) => format!("remove bake {id}"),
        BakeEvent::Joined(machine) => format!("machine {machine} of a bake has joined"),
        BakeEvent::Worked { machine, number, result } => match result {
            Ok(_) => format!("machine {machine} has done {number}"),
            Err(why) => format!("machine {machine} has not done {number}: {why}"),
        },
        BakeEvent::Answered { bake, answer } => format!("the cloud on bake {bake}: {answer:?}"),
        BakeEvent::Swept(found) => format!("bakes have {} things in the cloud", found.len()),
        BakeEvent::Retire(amis) => format!("{} images are retired", amis.len()),
        BakeEvent::Gone(id) => format!("{id} is gone from the cloud"),
        BakeEvent::Stays { id, why } => format!("{id} stays in the cloud: {why}"),
    }
}
