//! A cloud that keeps its promises: a token is one machine, a name is one image.

use std::collections::BTreeMap;

use coordinator_core::command::Command;
use coordinator_core::command::bake::BakeAsk;
use coordinator_core::event::{BakeAnswer, BakeEvent, ImageState, MachinePower};
use model::bake::{BakePhase, Base};
use model::id::{AmiId, BakeId, NodeId};

/// All that bakes have made.
#[derive(Debug, Default)]
pub(crate) struct Bakery {
    machines: BTreeMap<NodeId, MachinePower>,
    tokens: BTreeMap<String, NodeId>,
    /// By id: the name, and whether it can be launched by now.
    images: BTreeMap<AmiId, (String, bool)>,
    published: Option<AmiId>,
    /// What the parameter holds.
    pub(crate) parameter: Option<AmiId>,
    /// How many machines were launched.
    pub(crate) launches: usize,
    made: usize,
}

impl Bakery {
    pub(crate) fn runs(&self, machine: &NodeId) -> bool {
        self.machines.get(machine) == Some(&MachinePower::On)
    }

    pub(crate) fn machines_left(&self) -> usize {
        self.machines.values().filter(|power| **power != MachinePower::Gone).count()
    }

    pub(crate) fn images_left(&self) -> usize {
        self.images.len()
    }

    pub(crate) fn lose_machines(&mut self) {
        self.machines.values_mut().for_each(|power| *power = MachinePower::Gone);
    }

    /// Time passes: what is being written is there.
    pub(crate) fn pass(&mut self) {
        self.images.values_mut().for_each(|(_, is_ready)| *is_ready = true);
    }

    pub(crate) fn perform(&mut self, command: &Command, bake: &BakeId) -> BakeEvent {
        let Command::Bake { ask, .. } = command else { panic!("{command:?}") };
        BakeEvent::Answered { bake: bake.clone(), answer: self.answer(ask) }
    }

    fn answer(&mut self, ask: &BakeAsk) -> BakeAnswer {
        match ask {
            BakeAsk::FindBase { .. } => BakeAnswer::Base(Base {
                ami: "ami-base".parse().unwrap(),
                name: "debian".to_owned(),
            }),
            BakeAsk::Launch { token, is_trial, .. } => {
                assert!(token.len() <= 64, "EC2 takes no longer token: {token}");
                let machine = self.tokens.get(token).cloned().unwrap_or_else(|| self.launch(token));
                BakeAnswer::Launched { machine, is_trial: *is_trial }
            }
            BakeAsk::Watch(machine) => self.power(machine),
            BakeAsk::Stop(machine) => {
                let answer = self.power(machine);
                if let Some(power) = self.machines.get_mut(machine)
                    && *power == MachinePower::On
                {
                    *power = MachinePower::Stopped;
                }
                answer
            }
            BakeAsk::Image { machine, .. } if self.machines[machine] != MachinePower::Stopped => {
                self.power(machine)
            }
            BakeAsk::Image { machine, name } => {
                let known = self.images.iter().find(|(_, (known, _))| known == name);
                let known = known.map(|(id, _)| id.clone());
                BakeAnswer::Imaged(known.unwrap_or_else(|| self.image(machine, name)))
            }
            BakeAsk::LookAt(ami) => BakeAnswer::Image {
                ami: ami.clone(),
                state: match self.images.get(ami) {
                    Some((_, true)) => ImageState::Available,
                    Some((_, false)) | None => ImageState::Pending,
                },
            },
            BakeAsk::Publish(bake) => {
                let BakePhase::Publishing { tried } = &bake.phase else { panic!("{bake:?}") };
                self.published = Some(tried.taken.ami.clone());
                self.parameter = self.published.clone();
                let manifest = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
                BakeAnswer::Published { manifest }
            }
            BakeAsk::Clear { rest, names } => {
                let left = self.machines_left();
                self.lose_machines();
                let published = self.published.clone();
                self.images.retain(|id, (name, _)| {
                    Some(id) == published.as_ref()
                        || (rest.ami.as_ref() != Some(id) && !names.contains(name))
                });
                BakeAnswer::Left(u32::try_from(left).unwrap())
            }
        }
    }

    fn power(&self, machine: &NodeId) -> BakeAnswer {
        let power = self.machines.get(machine).copied().unwrap_or(MachinePower::Unknown);
        BakeAnswer::Power { machine: machine.clone(), power }
    }

    fn launch(&mut self, token: &str) -> NodeId {
        self.launches += 1;
        let machine: NodeId = format!("i-{:017x}", self.launches).parse().unwrap();
        self.tokens.insert(token.to_owned(), machine.clone());
        self.machines.insert(machine.clone(), MachinePower::On);
        machine
    }

    fn image(&mut self, machine: &NodeId, name: &str) -> AmiId {
        assert_eq!(self.machines.get(machine), Some(&MachinePower::Stopped), "it is stopped first");
        self.made += 1;
        let ami: AmiId = format!("ami-{:017x}", self.made).parse().unwrap();
        self.images.insert(ami.clone(), (name.to_owned(), false));
        ami
    }
}
