//! What is said of load balancers.

use model::task::Task;
use model::traffic::Traffic;

use crate::cluster::Cluster;

/// What has changed between a task and its load balancers, if nothing else has.
pub(super) fn news(cluster: &Cluster, (before, task): (Option<&Task>, &Task)) -> Option<String> {
    let before = before.filter(|before| before.traffic != task.traffic)?;
    let same = (&before.state, before.desired) == (&task.state, task.desired);
    match (before.traffic, task.traffic) {
        (_, Traffic::In { .. }) if same => {
            Some("gets traffic: all its target groups send it requests".to_owned())
        }
        (Traffic::In { .. }, Traffic::Out) if same && cluster.is_dark(task) => {
            Some("gets no traffic any more: its service is switched to others".to_owned())
        }
        (Traffic::In { .. }, Traffic::Out) if same => {
            Some("gets no traffic: not all its target groups send it requests".to_owned())
        }
        (Traffic::Leaving { .. }, Traffic::Out) if same => {
            let has_left = cluster.registrations_of(&task.id).next().is_none();
            let why = if has_left {
                "has left its target groups, and is stopped"
            } else {
                "is stopped, though not all its target groups have let it go: it is time"
            };
            Some(why.to_owned())
        }
        (_, Traffic::Out | Traffic::In { .. } | Traffic::Leaving { .. }) => None,
    }
}

/// Until when a task that was told to stop just now is kept for the requests that it has.
pub(super) fn kept(before: Option<&Task>, task: &Task) -> Option<String> {
    let is_news = before.is_some_and(|before| before.desired != task.desired);
    match task.traffic {
        Traffic::Leaving { until } if is_news => {
            Some(format!("; it leaves its target groups first, until {until} at the latest"))
        }
        Traffic::Leaving { .. } | Traffic::Out | Traffic::In { .. } => None,
    }
}
