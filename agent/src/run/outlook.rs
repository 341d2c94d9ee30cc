//! What this machine has to expect, to the core and to the coordinator.

use std::time::Duration;

use agent_core::event::Event;
use agent_core::outlook::Reach;
use model::fleet::Outlook;
use proto::convert::outlook_to_agent;
use proto::wire::agent_message::Message as Up;

use super::Agent;

/// What is expected is said again so often: a coordinator may have had reasons not to do anything about it yet.
pub(super) const AGAIN: Duration = Duration::from_secs(300);

impl Agent {
    /// Takes in what the metadata service says, and passes it on.
    pub(super) fn foresee(&mut self, outlook: Outlook) {
        self.log_outlook(&outlook);
        self.step(&[Event::Foreseen(outlook)]);
        self.tell_outlook(Telling::News);
    }

    /// Says what is expected. At the beginning of a session, and again and again, only when there is anything.
    pub(super) fn tell_outlook(&mut self, telling: Telling) {
        let outlook = self.workload.outlook();
        if telling == Telling::News || outlook != Outlook::default() {
            self.say(Up::Foreseen(outlook_to_agent(&outlook, self.clock.now())));
        }
    }

    /// Says to the core whether there is a session, when that has changed.
    pub(super) fn reach(&mut self) -> Option<Event> {
        let reach = if self.link.is_some() { Reach::Connected } else { Reach::CutOff };
        (self.reach.replace(reach) != Some(reach)).then_some(Event::Reach(reach))
    }

    fn log_outlook(&self, outlook: &Outlook) {
        let known = self.workload.outlook();
        let at = |at: Option<model::time::Timestamp>| at.map(|at| at.to_string());
        if outlook.interrupted_at.is_some() && known.interrupted_at.is_none() {
            let at = at(outlook.interrupted_at);
            tracing::warn!(at, "EC2 takes this machine back");
        }
        if outlook.maintained_at != known.maintained_at {
            let at = at(outlook.maintained_at);
            tracing::warn!(at, "EC2 announces maintenance of this machine");
        }
        if outlook.is_at_risk && !known.is_at_risk {
            tracing::warn!(
                "EC2 says that this machine is more likely than others to be taken back"
            );
        }
        if outlook.is_leaving && !known.is_leaving {
            tracing::info!("its Auto Scaling group ends this machine");
        }
    }
}

/// Why it is said what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// It has changed.
    News,
    /// Whoever listens may not know it.
    Again,
}
