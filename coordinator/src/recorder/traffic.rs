//! What is heard of load balancers, as the recorder keeps it.

use anyhow::Context as _;
use coordinator_core::event::TrafficEvent;
use model::traffic::RegistrationPhase;
use proto::convert::{look_from_wire, look_to_wire, target_from_wire};
use proto::wire;
use proto::wire::flight_traffic::Event as Wire;

pub(super) fn traffic_to_wire(event: &TrafficEvent) -> wire::FlightTraffic {
    let event = match event {
        TrafficEvent::Looked(looks) => {
            let looks = looks.iter().map(look_to_wire).collect();
            Wire::Looked(wire::FlightLooks { looks })
        }
        TrafficEvent::Told { group, phase, targets, failure } => {
            let targets = targets.iter().map(|target| wire::FlightTarget {
                node: target.node.to_string(),
                port: target.port.into(),
            });
            Wire::Told(wire::FlightTold {
                group: group.to_string(),
                leaving: *phase == RegistrationPhase::Leaving,
                targets: targets.collect(),
                failure: failure.clone(),
            })
        }
    };
    wire::FlightTraffic { event: Some(event) }
}

pub(super) fn traffic_from_wire(from: &wire::FlightTraffic) -> anyhow::Result<TrafficEvent> {
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::Looked(looked) => {
            let looks = looked.looks.iter().map(look_from_wire).collect::<Result<_, _>>()?;
            TrafficEvent::Looked(looks)
        }
        Wire::Told(told) => {
            let read = |target: &wire::FlightTarget| target_from_wire(&target.node, target.port);
            TrafficEvent::Told {
                group: told.group.parse()?,
                phase: if told.leaving {
                    RegistrationPhase::Leaving
                } else {
                    RegistrationPhase::Entering
                },
                targets: told.targets.iter().map(read).collect::<Result<_, _>>()?,
                failure: told.failure.clone(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use model::traffic::{Look, Shown, Target, TargetHealth, Unseen};

    use super::*;

    #[test]
    fn what_load_balancers_show_and_are_told_is_read_as_it_was_written() {
        let target = |port| Target { node: "i-1".parse().unwrap(), port };
        let healths = [
            TargetHealth::Initial,
            TargetHealth::Healthy,
            TargetHealth::Unhealthy { why: "Target.Timeout".to_owned() },
            TargetHealth::Draining,
            TargetHealth::Unchecked,
        ];
        let targets: BTreeMap<_, _> = (1..).map(target).zip(healths).collect();
        let shown = Shown { delay: Duration::from_secs(30), targets };
        let unseen = Unseen { why: "throttled".to_owned(), is_gone: false };
        let group = |name: &str| name.parse().unwrap();
        let looks = vec![
            Look { group: group("web"), shown: Ok(shown) },
            Look { group: group("api"), shown: Err(unseen) },
        ];
        let told = |phase, failure| TrafficEvent::Told {
            group: group("web"),
            phase,
            targets: vec![target(80)],
            failure,
        };
        let events = [
            TrafficEvent::Looked(looks),
            told(RegistrationPhase::Entering, None),
            told(RegistrationPhase::Leaving, Some("no answer".to_owned())),
        ];
        for event in events {
            let read = traffic_from_wire(&traffic_to_wire(&event)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
        }
    }
}
