//! What a script says of recipes, and a cloud in which their bakes take some seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::command::bake::BakeAsk;
use coordinator_core::command::{Command, commands};
use coordinator_core::event::{BakeAnswer, BakeEvent, Event, ImageState, MachinePower, RecipeLook};
use coordinator_core::view::bake::work_of;
use coordinator_core::view::upkeep::outlook;
use model::bake::{
    Architecture, BakePhase, Base, BaseSource, Facts, ImageSet, Publish, Recipe, Step, StepKind,
    Trial, Triggers,
};
use model::id::{AmiId, BakeId, NodeId};
use model::schedule::{CatchUp, Overlap, Schedule, Zone};

use super::play::Play;
use super::{script, specs};

/// What becomes of bakes, and what they meet.
#[derive(Debug)]
pub(crate) struct Bakery {
    /// What the parameter of the base holds, or why that is not known.
    base: Result<AmiId, String>,
    /// What the builder says of its step, if that fails.
    fails: Option<String>,
    /// An operator ends each bake once its builder works.
    is_ended: bool,
    /// The agent that bases bring.
    agent: String,
    /// Of the coordinator.
    release: String,
    /// In MB, by the number of a container image.
    sizes: BTreeMap<u32, u64>,
    /// In the order in which machines were launched with them.
    tokens: Vec<String>,
    images: BTreeMap<String, AmiId>,
}

impl Default for Bakery {
    fn default() -> Self {
        Self {
            base: Ok(ami("ami-base-1")),
            fails: None,
            is_ended: false,
            agent: "0.2.0".to_owned(),
            release: "0.2.0".to_owned(),
            sizes: BTreeMap::new(),
            tokens: Vec::new(),
            images: BTreeMap::new(),
        }
    }
}

fn ami(name: &str) -> AmiId {
    name.parse().unwrap()
}

impl Bakery {
    fn base(&self) -> Result<Base, String> {
        let ami = self.base.clone()?;
        Ok(Base { name: ami.to_string(), ami })
    }

    fn answer(&mut self, ask: &BakeAsk) -> BakeAnswer {
        match ask {
            BakeAsk::FindBase { .. } => {
                self.base().map_or_else(BakeAnswer::Impossible, BakeAnswer::Base)
            }
            BakeAsk::Launch { token, is_trial, .. } => {
                if !self.tokens.contains(token) {
                    self.tokens.push(token.clone());
                }
                let at = self.tokens.iter().position(|known| known == token).unwrap();
                let machine: NodeId = format!("i-{at}").parse().unwrap();
                BakeAnswer::Launched { machine, is_trial: *is_trial }
            }
            BakeAsk::Watch(machine) => {
                BakeAnswer::Power { machine: machine.clone(), power: MachinePower::On }
            }
            BakeAsk::Stop(machine) => {
                BakeAnswer::Power { machine: machine.clone(), power: MachinePower::Stopped }
            }
            BakeAsk::Image { name, .. } => {
                let number = self.images.len() + 1;
                let made = ami(&format!("ami-made-{number}"));
                BakeAnswer::Imaged(self.images.entry(name.clone()).or_insert(made).clone())
            }
            BakeAsk::LookAt(ami) => {
                BakeAnswer::Image { ami: ami.clone(), state: ImageState::Available }
            }
            BakeAsk::Publish(_) => {
                let manifest = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
                BakeAnswer::Published { manifest }
            }
            BakeAsk::Clear { .. } => BakeAnswer::Left(0),
        }
    }

    /// How many builders were launched, by their tokens.
    fn builders(&self) -> usize {
        self.tokens.iter().filter(|token| token.contains("-b")).count()
    }

    fn facts(&self) -> Arc<Facts> {
        let (packages, kernel) = (Vec::new(), "6.12".to_owned());
        Arc::new(Facts { agent_version: self.agent.clone(), packages, kernel })
    }

    fn look(&self, command: &Command) -> Option<RecipeLook> {
        let Command::Look { recipe, base } = command else { return None };
        let sizes = self.sizes.iter();
        let sizes =
            sizes.map(|(number, mb)| (specs::image(*number).digest().clone(), mb * 1_000_000));
        Some(RecipeLook {
            recipe: recipe.clone(),
            base: base.as_ref().map(|(source, _)| (source.to_string(), self.base())),
            sizes: sizes.collect(),
            release: self.release.clone(),
        })
    }
}

impl Play {
    pub(crate) fn bake(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("recipe", ["put", name, settings @ ..]) => {
                let recipe = recipe(name, &script::settings(settings));
                self.hear(&[Event::Bake(BakeEvent::PutRecipe(Box::new(recipe)))]);
            }
            ("recipe", ["show", name]) => self.show_recipe(name),
            ("recipe", ["rm", name]) => {
                self.hear(&[Event::Bake(BakeEvent::RemoveRecipe(name.parse().unwrap()))]);
            }
            ("recipe", [word, name]) => {
                let (recipe, is_paused) = (name.parse().unwrap(), *word == "pause");
                self.hear(&[Event::Bake(BakeEvent::SteerRecipe { recipe, is_paused })]);
            }
            ("bake", ["start", name]) => {
                let recipe = Box::new(recipe(name, &BTreeMap::new()));
                let (images, keeps) = (Vec::new(), false);
                self.hear(&[Event::Bake(BakeEvent::Start { recipe, images, keeps })]);
            }
            ("bake", ["is-ended"]) => self.bakery.is_ended = true,
            ("bake", ["fails", why @ ..]) => self.bakery.fails = Some(why.join(" ")),
            ("bake", ["works"]) => (self.bakery.fails, self.bakery.is_ended) = (None, false),
            ("base", ["is", name]) => self.bakery.base = Ok(ami(name)),
            ("base", ["is-lost", why @ ..]) => self.bakery.base = Err(why.join(" ")),
            ("base", ["brings", agent]) => self.bakery.agent = (*agent).to_owned(),
            ("release", [release]) => self.bakery.release = (*release).to_owned(),
            ("size", [number, mb]) => {
                self.bakery.sizes.insert(number.parse().unwrap(), mb.parse().unwrap());
            }
            _ => panic!("`{verb}` can not be told {words:?}"),
        }
    }

    /// A second passes for bakes: machines say what they have done, and the cloud answers.
    pub(crate) fn pass_in_bakery(&mut self) {
        if self.cluster.bakes().is_empty() && self.cluster.upkeeps().is_empty() {
            return;
        }
        let open: Vec<BakeId> = self.cluster.bakes().keys().cloned().collect();
        for bake in &open {
            if let Some(said) = self.machine_says(bake) {
                self.hear(&[Event::Bake(said)]);
            }
        }
        for command in commands(&self.cluster, self.now) {
            let heard = match &command {
                Command::Bake { bake, ask } => {
                    let answer = self.bakery.answer(ask);
                    Some(BakeEvent::Answered { bake: bake.clone(), answer })
                }
                Command::Remove { id, .. } => Some(BakeEvent::Gone(id.clone())),
                other => self.bakery.look(other).map(|look| BakeEvent::Looked(Box::new(look))),
            };
            if let Some(heard) = heard {
                self.hear(&[Event::Bake(heard)]);
            }
        }
        self.asked.retain(|_, command| !is_of_bakes(command));
    }

    fn machine_says(&self, id: &BakeId) -> Option<BakeEvent> {
        let bake = self.cluster.bakes().get(id)?;
        if let BakePhase::Joining { build } = &bake.phase {
            return Some(BakeEvent::Joined(build.builder.clone()));
        }
        if let BakePhase::TrialJoining { tried } = &bake.phase {
            return Some(BakeEvent::Joined(tried.tester.clone()));
        }
        let machine = bake.phase.worker()?.0.clone();
        if self.bakery.is_ended {
            return Some(BakeEvent::Remove(id.clone()));
        }
        let told = work_of(&self.cluster, &machine)?;
        let failure = self.bakery.fails.clone().filter(|_| told.number == 1);
        let result = failure.map_or_else(|| Ok(self.bakery.facts()), Err);
        Some(BakeEvent::Worked { machine, number: told.number, result })
    }

    fn show_recipe(&mut self, name: &str) {
        let Some(upkeep) = self.cluster.upkeeps().get(&name.parse().unwrap()).cloned() else {
            self.told.push(format!("{name} is baked by hand only"));
            return;
        };
        let shown = outlook(&self.cluster, &upkeep, self.now);
        let image = shown.image.map_or("no image".to_owned(), |(image, _)| image.id.to_string());
        let builders = self.bakery.builders();
        self.told.push(format!(
            "{name} is {}, with {image} and {builders} builders so far: {}",
            shown.word, shown.note
        ));
        if let Some((at, why)) = shown.next {
            self.told.push(format!("  next at {at} {why}"));
        }
        self.told.extend(shown.sees.iter().map(|line| format!("  {line}")));
    }
}

/// Says whether it is asked here and not of groups.
pub(crate) const fn is_of_bakes(command: &Command) -> bool {
    matches!(command, Command::Bake { .. } | Command::Look { .. } | Command::Remove { .. })
}

/// What `recipe put NAME KEY=VALUE…` asks for. A schedule has `_` where cron has a space.
fn recipe(name: &str, settings: &BTreeMap<&str, &str>) -> Recipe {
    let long = |key: &str| settings.get(key).map(|text| script::duration(text));
    let usual = Triggers::default();
    let zone = settings.get("zone").map_or_else(Zone::utc, |zone| zone.parse().unwrap());
    let schedule = settings.get("schedule").map(|text| Schedule {
        recurrence: text.replace('_', " ").parse().unwrap(),
        zone,
        overlap: Overlap::Forbid,
        catch_up: CatchUp::default(),
    });
    let pools = settings.get("pools").map(|names| names.split(',').map(str::to_owned).collect());
    Recipe {
        name: name.parse().unwrap(),
        base: BaseSource::Parameter("/base".to_owned()),
        architecture: Architecture::X86_64,
        launch: super::launch::launch(),
        steps: vec![Step {
            name: "one".to_owned(),
            kind: StepKind::Script("true".to_owned()),
            timeout: Duration::from_secs(60),
            retries: 0,
        }],
        images: ImageSet { what_runs: true, extra: Vec::new(), budget_bytes: 20_000_000_000 },
        trial: Trial { scripts: Vec::new(), within: Duration::from_secs(60) },
        publish: Publish { pools: pools.unwrap_or_default(), parameter: None },
        triggers: Triggers {
            schedule,
            base_moved: settings.contains_key("base"),
            images_percent: settings.get("images").map(|text| text.parse().unwrap()),
            agent_newer: settings.contains_key("agent"),
            age: long("age"),
            apart: long("apart").unwrap_or(usual.apart),
            look: long("look").unwrap_or(usual.look),
            then_refresh: settings.contains_key("then"),
        },
    }
}
