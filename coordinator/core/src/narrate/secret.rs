//! What happens to secrets.

use model::id::SecretName;
use model::secret::Secret;
use model::task::{Task, TaskState};

/// What is new about a secret. That old values are forgotten is not worth a sentence.
pub(super) fn news(before: Option<&Secret>, secret: &Secret) -> Option<String> {
    if before.is_some_and(|before| before.owners != secret.owners) {
        let owners: Vec<String> = secret.owners.iter().map(ToString::to_string).collect();
        return Some(format!("is for {}", owners.join(", ")));
    }
    let newest = secret.versions.last()?;
    let is_news = before.is_none_or(|before| before.newest() != newest.number);
    is_news.then(|| match &newest.origin {
        Some(origin) => format!("has version {}, which is {origin} at AWS", newest.number),
        None => format!("has version {}, set by {}", newest.number, newest.set_by),
    })
}

/// That a task is given other values of its secrets while it runs.
pub(super) fn handed_over(before: Option<&Task>, task: &Task) -> Option<String> {
    let before = before.filter(|_| task.state != TaskState::Pending)?;
    let is_new =
        |(name, version): &(&SecretName, &u64)| before.secrets.get(*name) != Some(*version);
    let (name, version) = task.secrets.iter().find(is_new)?;
    Some(format!("is given version {version} of secret {name} where it runs"))
}
