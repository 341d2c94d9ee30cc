//! What an operator means by a name: `web`, `shop/web`, or the beginning of an id.

use proto::wire;

use crate::client::Client;
use crate::exit::{Exit, Failure};

/// A service or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Service(wire::ServiceRef),
    Task(String),
}

/// Finds a service by its name, alone or with its project.
pub(crate) async fn service(client: &Client, name: &str) -> anyhow::Result<wire::ServiceRef> {
    let known: Vec<wire::ServiceRef> =
        client.services("").await?.iter().filter_map(reference).collect();
    pick_service(&known, name)?.ok_or_else(|| {
        let names = known.iter().map(|one| format!("{}/{}", one.project, one.name));
        missing("service", name, names)
    })
}

/// Finds a service, or else a task by its id or the beginning of it.
pub(crate) async fn any(client: &Client, name: &str) -> anyhow::Result<Found> {
    let known: Vec<wire::ServiceRef> =
        client.services("").await?.iter().filter_map(reference).collect();
    if let Some(service) = pick_service(&known, name)? {
        return Ok(Found::Service(service));
    }
    let tasks =
        client.tasks(true).await?.into_iter().filter_map(|view| view.task).map(|task| task.id);
    let tasks: Vec<String> = tasks.collect();
    pick(&tasks, name, "task").map(Found::Task)
}

/// Finds a node by its id, the beginning of it, or its name; none where it is not the one that is meant.
pub(crate) async fn node(client: &Client, name: &str) -> anyhow::Result<Option<String>> {
    let nodes = client.nodes().await?.into_iter().filter_map(|view| view.node);
    let nodes: Vec<wire::Node> = nodes.collect();
    let exact = nodes.iter().find(|node| node.id == name);
    let mut near = nodes.iter().filter(|node| node.id.starts_with(name) || node.hostname == name);
    let found = match (exact, near.next(), near.next()) {
        (Some(exact), _, _) => Some(exact),
        (None, one, None) => one,
        (None, _, Some(_)) => None,
    };
    Ok(found.map(|node| node.id.clone()))
}

/// Finds one of several ids by its beginning.
pub(crate) fn pick(ids: &[String], name: &str, kind: &str) -> anyhow::Result<String> {
    if let Some(exact) = ids.iter().find(|id| *id == name) {
        return Ok(exact.clone());
    }
    let matching: Vec<&String> = ids.iter().filter(|id| id.starts_with(name)).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(missing(kind, name, ids.iter().cloned())),
        several => {
            let some: Vec<&str> = several.iter().take(5).map(|id| id.as_str()).collect();
            let message = format!("{name:?} is the beginning of {} {kind}s", several.len());
            Err(Failure::error(Exit::Error, message, format!("say more: {}", some.join(", "))))
        }
    }
}

fn reference(view: &wire::ServiceView) -> Option<wire::ServiceRef> {
    let spec = view.service.as_ref()?.target.as_ref()?.spec.as_ref()?;
    Some(wire::ServiceRef { project: spec.project.clone(), name: spec.name.clone() })
}

fn pick_service(
    known: &[wire::ServiceRef],
    name: &str,
) -> anyhow::Result<Option<wire::ServiceRef>> {
    let matching: Vec<&wire::ServiceRef> = match name.split_once('/') {
        Some((project, name)) => {
            known.iter().filter(|one| one.project == project && one.name == name).collect()
        }
        None => known.iter().filter(|one| one.name == name).collect(),
    };
    match matching.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            let names: Vec<String> =
                several.iter().map(|one| format!("{}/{}", one.project, one.name)).collect();
            let message = format!("several projects have a service {name:?}");
            Err(Failure::error(Exit::Error, message, format!("say which: {}", names.join(", "))))
        }
    }
}

fn missing(kind: &str, name: &str, known: impl Iterator<Item = String>) -> anyhow::Error {
    let short = |known: &str| known.rsplit('/').next().unwrap_or_default().to_owned();
    let near = known.min_by_key(|known| distance(&short(known), name).min(distance(known, name)));
    let near = near.filter(|near| distance(&short(near), name).min(distance(near, name)) <= 2);
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`wharf service ls` and `wharf ps -a` show what there is".to_owned(),
    };
    Failure::error(Exit::Error, format!("there is no {kind} {name:?}"), hint)
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in other.iter().enumerate() {
            let cost = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = cost.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<wire::ServiceRef> {
        let all = [("shop", "web"), ("shop", "db"), ("mail", "web")];
        all.map(|(project, name)| wire::ServiceRef { project: project.into(), name: name.into() })
            .to_vec()
    }

    #[test]
    fn a_name_that_two_projects_have_needs_its_project() {
        assert!(pick_service(&known(), "web").is_err());
        assert_eq!(pick_service(&known(), "mail/web").unwrap().unwrap().project, "mail");
        assert_eq!(pick_service(&known(), "db").unwrap().unwrap().project, "shop");
        assert!(pick_service(&known(), "nothing").unwrap().is_none());
    }

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let ids = ["a.web.1.1", "a.web.1.12", "a.db.1.2"].map(str::to_owned);
        assert_eq!(pick(&ids, "a.db", "task").unwrap(), "a.db.1.2");
        assert_eq!(pick(&ids, "a.web.1.1", "task").unwrap(), "a.web.1.1");
        assert!(pick(&ids, "a.web", "task").is_err());
    }

    #[test]
    fn a_slip_of_the_finger_is_named() {
        let error = missing("service", "wbe", ["shop/web".to_owned()].into_iter());
        assert_eq!(error.downcast_ref::<Failure>().unwrap().hint, "did you mean `shop/web`?");
    }
}
