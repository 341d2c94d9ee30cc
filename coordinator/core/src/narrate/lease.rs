//! What is said of work in flight.

use model::service::ServicePhase;
use model::task::Task;

use crate::cluster::Cluster;

/// Of a task that is stopped in the midst of something, though it was to be waited for.
pub(super) fn out_of_patience(before: &Cluster, task: &Task) -> Option<String> {
    before.tasks().get(&task.id)?.desired.patience()?;
    if task.desired.patience().is_some() || task.state.is_final() {
        return None;
    }
    let service = before.services().get(&task.service);
    let is_going = service.is_none_or(|service| service.phase == ServicePhase::Removing);
    let why = if is_going {
        "its service is removed"
    } else {
        "it has been waited for as long as its service or the drain of its node allows"
    };
    Some(format!("is stopped whatever it holds a lease for: {why}"))
}

/// Until when a task is waited for that was told to stop just now and holds a lease.
pub(super) fn waited_for(before: &Cluster, task: &Task) -> Option<String> {
    let is_news = before.tasks().get(&task.id).is_some_and(|was| was.desired != task.desired);
    let (until, at_most) = before.lease(&task.id).zip(task.desired.patience())?;
    let waits = format!(
        "; it holds a lease until {until}, and is waited for until {at_most} at the latest"
    );
    is_news.then_some(waits)
}
