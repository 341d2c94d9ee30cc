//! A machine that is about to end: what an agent does about it by itself.
//!
//! As long as there is a session the coordinator decides, who sees what the machine's services can spare. An agent that is cut
//! off begins no task any more, lets no lease be taken, and stops what runs at the last moment that leaves each container its
//! grace: until then it serves, and leases are held. Tasks that were told to stop and wait for their lease are stopped then too.
//! With a session the agent only sees to it that nothing is cut off, some seconds before the end.
//!
//! That a machine is at risk, or due for maintenance, is no such end: an agent that is cut off does nothing about it.

use std::time::Duration;

use model::fleet::{Outlook, SPOT_NOTICE};
use model::task::{FailureKind, TaskState};
use model::time::Timestamp;

use crate::unit::Unit;
use crate::workload::Workload;

/// Everything has ended so long before the machine does: the engine takes its time, and so does what an application has said last.
const MARGIN: Duration = Duration::from_secs(15);
/// No grace lasts longer than so long before the end: what does not end by itself is killed by then.
const LAST_MOMENT: Duration = Duration::from_secs(5);
/// A group that ends a machine waits for its hook's 900 s from the last sign of a coordinator, which gives one every 300 s.
const GROUP_WAITS: Duration = Duration::from_secs(600);
/// So many stops begin in a second at least.
const STOPS_A_SECOND: usize = 12;

/// Whether the coordinator can say what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// There is a session.
    Connected,
    /// There is none.
    CutOff,
}

/// What is known of the end of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Future {
    outlook: Outlook,
    leaves_since: Option<Timestamp>,
    /// Since when there is no session; none while there is one.
    cut_off_since: Option<Timestamp>,
    /// What runs here is being stopped. What has ended since makes nothing shorter.
    is_over: bool,
}

impl Future {
    /// When the machine ends, as far as that concerns an agent.
    fn ends_at(&self) -> Option<Timestamp> {
        let left = self.leaves_since.zip(self.cut_off_since);
        let left = left.map(|(leaves, cut_off)| leaves.max(cut_off) + GROUP_WAITS);
        self.outlook.interrupted_at.into_iter().chain(left).min()
    }

    /// Says whether nothing is begun here any more: the machine ends, and nobody else can see to that.
    pub(crate) fn is_closed(&self) -> bool {
        self.cut_off_since.is_some() && self.ends_at().is_some()
    }
}

/// The end of what runs here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// Whether everything is to be stopped now.
    pub(crate) is_due: bool,
    /// Whether nothing is begun before that either.
    pub(crate) is_closed: bool,
    /// By then it is killed.
    killed_at: Timestamp,
}

impl End {
    /// What is left of a grace.
    pub(crate) fn cap(&self, grace: Duration, now: Timestamp) -> Duration {
        grace.min(self.killed_at.since(now))
    }
}

/// Writes down what the machine has to expect. A time that was said once is not put off, and no notice is longer than EC2 gives:
/// the clock of this machine may be wrong.
pub(crate) fn foresee(workload: &mut Workload, outlook: Outlook, now: Timestamp) {
    let future = &mut workload.future;
    let longest = now + SPOT_NOTICE;
    let known = future.outlook.interrupted_at;
    let interrupted_at =
        outlook.interrupted_at.map(|at| at.min(longest).min(known.unwrap_or(longest)));
    future.outlook = Outlook { interrupted_at, ..outlook };
    future.leaves_since = outlook.is_leaving.then(|| future.leaves_since.unwrap_or(now));
}

/// Writes down whether there is a session.
pub(crate) fn reach(workload: &mut Workload, reach: Reach, now: Timestamp) {
    let since = workload.future.cut_off_since;
    workload.future.cut_off_since = match reach {
        Reach::Connected => None,
        Reach::CutOff => Some(since.unwrap_or(now)),
    };
}

/// Says how it is with the end of what runs here, if there is any.
pub(crate) fn end(workload: &mut Workload, now: Timestamp) -> Option<End> {
    let stops_at = workload.stops_at();
    let future = &mut workload.future;
    future.is_over = stops_at.is_some_and(|at| future.is_over || at <= now);
    let killed_at = future.ends_at()? - LAST_MOMENT;
    Some(End { is_due: future.is_over, is_closed: future.is_closed(), killed_at })
}

/// How long it takes until all has ended that is told to: each task as long as its containers have grace, one after the other.
fn takes(workload: &Workload) -> Duration {
    let living = || workload.units.values().filter(|unit| unit.is_alive());
    let longest = living().map(grace).max().unwrap_or_default();
    let turns = living().count() / STOPS_A_SECOND;
    longest + Duration::from_secs(u64::try_from(turns).unwrap_or(u64::MAX))
}

fn grace(unit: &Unit) -> Duration {
    let parts = unit.parts.iter().zip(&unit.assignment.spec.containers);
    parts.filter(|(part, _)| part.is_alive()).map(|(_, spec)| spec.stop_grace).sum()
}

/// How a task ends whose machine is about to end: it is over here, and may run elsewhere.
pub(crate) fn over() -> TaskState {
    let reason = "stopped before its machine ends".to_owned();
    TaskState::Failed { kind: FailureKind::Host, reason }
}

impl Workload {
    /// What the machine has to expect.
    #[must_use]
    pub const fn outlook(&self) -> Outlook {
        self.future.outlook
    }

    /// When everything here is stopped without anybody's order, if the machine is about to end.
    #[must_use]
    pub fn stops_at(&self) -> Option<Timestamp> {
        let takes = match self.future.cut_off_since {
            Some(_) => takes(self),
            None => Duration::ZERO,
        };
        self.future.ends_at().map(|at| at - (MARGIN + takes))
    }
}
