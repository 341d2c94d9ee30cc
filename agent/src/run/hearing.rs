//! What the coordinator says.

use std::time::Duration;

use agent_core::assignment::{Assignments, Fence};
use agent_core::event::Event;
use model::id::ClusterId;
use proto::convert::assignments_from_wire;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::coordinator_message::Message as Down;

use super::Agent;
use super::clocks::compare_clocks;
use super::outlook::Telling;
use crate::runtime::Shelf;
use crate::{journal, report, session};

impl Agent {
    pub(super) fn hear_session(&mut self, heard: session::Heard) -> Vec<Event> {
        match heard {
            session::Heard::Connected(link, said) => {
                self.link = Some(link);
                self.said = *said;
                Vec::new()
            }
            session::Heard::Lost => {
                self.link = None;
                Vec::new()
            }
            session::Heard::Message(message) => self.hear_coordinator(message),
        }
    }

    fn hear_coordinator(&mut self, message: Down) -> Vec<Event> {
        match message {
            Down::Welcome(welcome) => {
                self.welcome(&welcome);
                Vec::new()
            }
            Down::Assignments(assignments) => self.assigned(&assignments).into_iter().collect(),
            Down::Fetch(fetch) => {
                self.fetch(&fetch);
                Vec::new()
            }
            Down::Resolve(ask) => {
                self.resolve(ask);
                Vec::new()
            }
            Down::OpenRelay(ask) => {
                self.open_relay(ask);
                Vec::new()
            }
            // Only machines of a bake work as root for the coordinator.
            Down::BakeWork(_) => Vec::new(),
            Down::RemoveOrphans(orphans) => {
                vec![Event::OrphansConfirmed { containers: orphans.container_ids }]
            }
        }
    }

    /// Takes up the cluster's name at the first contact, and says everything that is known.
    fn welcome(&mut self, welcome: &wire::Welcome) {
        match (welcome.cluster.parse::<ClusterId>(), &self.cluster) {
            (Ok(cluster), None) => self.cluster = Some(cluster),
            (Ok(cluster), Some(ours)) if cluster == *ours => {}
            (Ok(_) | Err(_), _) => {
                tracing::error!(
                    cluster = welcome.cluster,
                    "the coordinator speaks for another cluster: it is not heard"
                );
                return self.hang_up();
            }
        }
        self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.clamp(100, 60_000));
        compare_clocks(welcome.now_ms);
        self.introduce();
        self.introduce_again();
        self.watch_engine();
        self.report_everything();
        self.told_images = None;
        self.list_images();
        self.tell_outlook(Telling::Again);
        self.beat();
    }

    /// Says which images and volumes there are, when that is not what was said last.
    pub(super) fn tell_images(&mut self, shelf: &Shelf) {
        let images = report::stock(shelf);
        if self.link.is_some() && self.told_images.as_ref() != Some(&images) {
            self.told_images = Some(images.clone());
            self.say(Up::Images(images));
        }
    }

    fn assigned(&self, assignments: &wire::Assignments) -> Option<Event> {
        self.cluster.as_ref()?;
        let fence = assignments.fence.unwrap_or_default();
        let fence =
            Fence { incarnation: fence.incarnation, epoch: fence.epoch, revision: fence.revision };
        match assignments_from_wire(assignments) {
            Ok(tasks) => {
                let tasks = tasks.into_iter().map(journal::from_wire).collect();
                Some(Event::Assigned(Assignments { fence, tasks }))
            }
            Err(error) => {
                tracing::error!(%error, "assignments that this agent does not understand are not followed: update it");
                None
            }
        }
    }
}
