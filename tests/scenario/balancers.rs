//! Load balancers, as a script has them.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::command::Command;
use coordinator_core::event::{Event, TrafficEvent};
use model::task::{ContainerStatus, Health, PublishedPort, Task};
use model::time::Timestamp;
use model::traffic::{Look, RegistrationPhase, Shown, Target, TargetGroup, TargetHealth, Unseen};

use super::play::Play;
use super::script;

/// How often the coordinator looks.
const LOOK: u64 = 5;
/// How long a target takes to be found healthy.
const CHECKS: Duration = Duration::from_secs(10);

/// A target group and what it does.
#[derive(Debug, Default)]
pub(crate) struct TargetGroupPlay {
    delay: Duration,
    /// Whatever is put in fails its checks.
    is_sick: bool,
    /// It does not take what it is told.
    is_shut: bool,
    targets: BTreeMap<Target, Place>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    In { since: Timestamp },
    Leaves { until: Timestamp },
}

impl Play {
    /// `balancer NAME TIME`: a target group that waits so long for requests; `balancer NAME sick|well|shut|open|show`.
    pub(crate) fn balancer(&mut self, name: &str, word: &str) {
        let group = self.balancers.entry(name.parse().unwrap()).or_default();
        match word {
            "sick" => group.is_sick = true,
            "well" => group.is_sick = false,
            "shut" => group.is_shut = true,
            "open" => group.is_shut = false,
            "show" => {
                let lines = group.targets.iter().map(|(target, place)| match place {
                    Place::In { .. } => format!("  {name} has {}", target.node),
                    Place::Leaves { .. } => format!("  {name} waits for {} to leave", target.node),
                });
                self.told.extend(lines.collect::<Vec<_>>());
            }
            delay => group.delay = script::duration(delay),
        }
    }

    /// What load balancers were told reaches them, and they are looked at.
    pub(crate) fn pass_in_balancers(&mut self) {
        let is_of_balancers = |command: &Command| matches!(command, Command::Balance { .. });
        let asked: Vec<_> =
            self.asked.iter().filter(|(_, command)| is_of_balancers(command)).collect();
        let asked: Vec<_> =
            asked.into_iter().map(|(key, command)| (key.clone(), command.clone())).collect();
        for (key, command) in asked {
            self.asked.remove(&key);
            let Command::Balance { group, phase, targets } = command else { continue };
            let failure = self.tell_balancer(&group, phase, &targets).err();
            let told = TrafficEvent::Told { group, phase, targets, failure };
            self.hear(&[Event::Traffic(told)]);
        }
        if self.now.since(self.began).as_secs().is_multiple_of(LOOK) {
            let groups = self.cluster.target_groups();
            let looks: Vec<Look> = groups.into_iter().map(|group| self.shown(group)).collect();
            if !looks.is_empty() {
                self.hear(&[Event::Traffic(TrafficEvent::Looked(looks))]);
            }
        }
    }

    fn tell_balancer(
        &mut self,
        name: &TargetGroup,
        phase: RegistrationPhase,
        targets: &[Target],
    ) -> Result<(), String> {
        let (now, clock) = (self.now, self.clock());
        let Some(group) = self.balancers.get_mut(name) else {
            return Err("there is no such target group".to_owned());
        };
        if group.is_shut {
            return Err("the role may not".to_owned());
        }
        for target in targets {
            let (place, word) = match phase {
                RegistrationPhase::Entering => (Place::In { since: now }, "is given"),
                RegistrationPhase::Leaving => {
                    (Place::Leaves { until: now + group.delay }, "is to send nothing more to")
                }
            };
            self.told.push(format!("{clock} {name} {word} {}", target.node));
            // Who is in already stays as it is, and so does who leaves already.
            match (phase, group.targets.get(target)) {
                (RegistrationPhase::Entering, Some(Place::In { .. }))
                | (RegistrationPhase::Leaving, Some(Place::Leaves { .. })) => {}
                _ => {
                    group.targets.insert(target.clone(), place);
                }
            }
        }
        Ok(())
    }

    fn shown(&mut self, name: TargetGroup) -> Look {
        let now = self.now;
        let Some(group) = self.balancers.get_mut(&name) else {
            let why = "there is no such target group".to_owned();
            return Look { group: name, shown: Err(Unseen { why, is_gone: true }) };
        };
        group.targets.retain(|_, place| match place {
            Place::In { .. } => true,
            Place::Leaves { until } => now < *until,
        });
        let health = |place: &Place| match place {
            Place::In { .. } if group.is_sick => {
                TargetHealth::Unhealthy { why: "Target.Timeout".to_owned() }
            }
            Place::In { since } if now.since(*since) < CHECKS => TargetHealth::Initial,
            Place::In { .. } => TargetHealth::Healthy,
            Place::Leaves { .. } => TargetHealth::Draining,
        };
        let targets = group.targets.iter().map(|(target, place)| (target.clone(), health(place)));
        let shown = Shown { delay: group.delay, targets: targets.collect() };
        Look { group: name, shown: Ok(shown) }
    }
}

/// Where the ports of a task are found: each task has others.
pub(crate) fn containers(task: &Task) -> Vec<ContainerStatus> {
    let spec = &task.generation.spec.task.containers[0];
    let Some(port) = spec.ports.first() else { return Vec::new() };
    let number = task.id.as_str().rsplit('.').next().unwrap().parse::<u64>().unwrap();
    let host = u16::try_from(32_768 + number % 10_000).unwrap();
    let port = PublishedPort { container: port.container, host, protocol: port.protocol };
    vec![ContainerStatus {
        name: spec.name.clone(),
        container_id: String::new(),
        attempt: 1,
        started_at: None,
        exit: None,
        health: Health::Unchecked,
        ports: vec![port],
    }]
}
