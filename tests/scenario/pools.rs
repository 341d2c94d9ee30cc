//! What a script says of the cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::command::{Command, Key};
use coordinator_core::event::{Event, FleetEvent};
use coordinator_core::view;
use model::fleet::{Headroom, Notice, PoolPolicy, Unreachable};
use model::id::NodeId;
use model::node::Availability;
use model::policy::Profile;
use model::resources::Resources;

use super::baking::is_of_bakes;
use super::play::{Play, id};
use super::script;

/// How often the cloud is looked at.
const LOOK: u64 = 30;
/// The notice that EC2 gives.
const NOTICE: Duration = Duration::from_secs(120);

/// `2x4` is room for two tasks of four cores.
fn headroom(text: &str) -> Headroom {
    let (count, cpus) = text.split_once('x').unwrap();
    let each =
        Resources { cpu_millis: cpus.parse::<u64>().unwrap() * 1_000, ..Resources::default() };
    Headroom { count: count.parse().unwrap(), each }
}

impl Play {
    pub(crate) fn face_cloud(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("pool", [name, settings @ ..]) => self.adopt(name, settings),
            ("launch", [name, pool, rest @ ..]) => {
                let zone = rest.first().copied().unwrap_or("z");
                let call = self.region.launch(pool, &id(name), zone);
                self.hear(
                    &call
                        .map(|call| Event::Fleet(FleetEvent::Hooked(call)))
                        .into_iter()
                        .collect::<Vec<_>>(),
                );
            }
            ("terminate", [name, rest @ ..]) => {
                let call = self.region.terminate(&id(name));
                if *rest != ["untold"] {
                    self.hear(
                        &call
                            .map(|call| Event::Fleet(FleetEvent::Hooked(call)))
                            .into_iter()
                            .collect::<Vec<_>>(),
                    );
                }
            }
            ("end", [name]) => self.region.end(&id(name)),
            ("interrupt", [name]) => {
                let at = self.now + NOTICE;
                let notice = Notice::Interrupted { at };
                self.hear(&[Event::Fleet(FleetEvent::Noticed { node: id(name), notice })]);
            }
            ("at-risk", [name]) => {
                self.hear(&[Event::Fleet(FleetEvent::Noticed {
                    node: id(name),
                    notice: Notice::AtRisk,
                })]);
            }
            ("protect", [name]) => self.region.protect(&id(name)),
            ("explain", [name]) => {
                let node = &self.cluster.nodes()[&id(name)];
                let said = view::why_here(&self.cluster, node, self.now);
                self.told.extend(said);
            }
            ("lacks", [pool, kind]) => self.region.lack(pool, kind),
            ("cloud", ["down"]) => self.region.is_down = true,
            ("cloud", ["up"]) => self.region.is_down = false,
            _ => panic!("`{verb}` can not be told {words:?}"),
        }
    }

    /// An operator has a group for a pool, or says later how its machines come and go.
    fn adopt(&mut self, name: &str, settings: &[&str]) {
        let settings = script::settings(settings);
        let mut policy = PoolPolicy::default();
        for (key, value) in &settings {
            match *key {
                "drain" => policy.drain_within = script::duration(value),
                "join" => policy.join_within = script::duration(value),
                "grows" => policy.grows = true,
                "max" => policy.grows = !settings.contains_key("size"),
                "scale" => {
                    policy.grows = matches!(*value, "out" | "both");
                    policy.shrinks = matches!(*value, "in" | "both");
                }
                "least" => policy.least = value.parse().unwrap(),
                "spare" => policy.shrink_after = script::duration(value),
                "unreachable" => {
                    policy.unreachable = match *value {
                        "keep" => Unreachable::Keep,
                        "end" => Unreachable::End,
                        "end-protected" => Unreachable::EndProtected,
                        _ => panic!("{value} is nothing that is done with silent machines"),
                    }
                }
                "silent" => policy.unreachable_after = script::duration(value),
                "profile" if *value == "strict" => policy.profile = Profile::Strict,
                "headroom" => policy.headroom = headroom(value),
                "cpus" => self.region.give(name, value),
                "size" | "zones" | "boots" => {}
                _ => panic!("{key} is nothing that a pool has"),
            }
        }
        let max = settings.get("max").map_or(100, |max| max.parse().unwrap());
        if self.cluster.pools().contains_key(name) {
            // What an operator says later is all of it.
            return self
                .hear(&[Event::Fleet(FleetEvent::PutPool { name: name.to_owned(), policy })]);
        }
        self.region.add(name, max);
        if let Some(size) = settings.get("size") {
            let boots = settings.get("boots").copied().unwrap_or("40s");
            let zones = settings.get("zones").copied().unwrap_or("z");
            let zones: Vec<&str> = zones.split(',').collect();
            let size = (size.parse().unwrap(), script::duration(boots));
            self.region.launch_by_itself(name, &zones, size);
        }
        self.hear(&[Event::Fleet(FleetEvent::PutPool { name: name.to_owned(), policy })]);
        self.look();
        self.pass_in_cloud();
        self.look();
    }

    /// A second passes in the cloud: it does what it was asked, and is looked at.
    pub(crate) fn pass_in_cloud(&mut self) {
        if !self.region.has_groups() {
            return;
        }
        self.boot();
        // Load balancers are told by somebody else, and so are those who bake.
        let is_ours = |_: &Key, command: &mut Command| {
            !matches!(command, Command::Balance { .. }) && !is_of_bakes(command)
        };
        let asked: BTreeMap<Key, Command> = self.asked.extract_if(.., is_ours).collect();
        let doing: BTreeSet<Key> = asked.keys().cloned().collect();
        for (key, command) in asked {
            let (outcome, told) = self.region.perform(&command);
            let line = told.map(|told| format!("{} cloud: {told}", self.clock()));
            self.told.extend(line);
            let gone: Vec<NodeId> =
                self.nodes.iter().filter(|id| self.region.is_gone(id)).cloned().collect();
            gone.iter().for_each(|id| {
                self.nodes.remove(id);
            });
            self.hear(&[Event::Fleet(FleetEvent::Performed { key: key.clone(), outcome })]);
            // What was asked again meanwhile is what is being done.
            self.asked.retain(|other, _| !doing.contains(other));
        }
        if self.now.since(self.began).as_secs().is_multiple_of(LOOK) {
            self.look();
        }
    }

    fn look(&mut self) {
        if self.region.is_down {
            return;
        }
        let pools: BTreeSet<String> = self.cluster.pools().keys().cloned().collect();
        let living = self.cluster.nodes().values();
        let living = living.filter(|node| node.availability != Availability::Dead);
        let others: BTreeSet<NodeId> = living.map(|node| node.id.clone()).collect();
        let survey = self.region.survey(&pools, &others);
        self.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    }
}
