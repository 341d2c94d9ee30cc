//! Projects whose last task here is gone, and whose networks are still to be removed. An engine may hold on to a network
//! for a moment longer than its last container, other nodes on the engine may still use it, and an agent that was away
//! has missed that its tasks were removed: so it is tried again until it is gone.

use std::collections::BTreeSet;

use model::id::ProjectName;

#[derive(Debug, Default)]
pub(crate) struct Leaving {
    here: BTreeSet<ProjectName>,
    left: BTreeSet<ProjectName>,
}

impl Leaving {
    /// Takes in which projects have tasks here now, and names those that have just left.
    pub(crate) fn update(&mut self, here: BTreeSet<ProjectName>) -> Vec<ProjectName> {
        let just: Vec<ProjectName> = self.here.difference(&here).cloned().collect();
        self.left.extend(just.iter().cloned());
        self.here = here;
        just
    }

    /// Takes in which projects have networks on the engine.
    pub(crate) fn found(&mut self, projects: BTreeSet<ProjectName>) {
        self.left.extend(projects);
    }

    /// The networks of a project are gone.
    pub(crate) fn gone(&mut self, project: &ProjectName) {
        self.left.remove(project);
    }

    /// Those whose networks have to go. One that came back stays.
    pub(crate) fn pending(&mut self) -> Vec<ProjectName> {
        self.left.retain(|project| !self.here.contains(project));
        self.left.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<ProjectName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn what_has_left_is_tried_until_it_is_gone_or_comes_back() {
        let mut leaving = Leaving::default();
        assert!(leaving.update(names(&["a", "b"])).is_empty());
        assert_eq!(leaving.update(names(&["b"])), ["a".parse().unwrap()]);
        leaving.found(names(&["b", "c"]));
        assert_eq!(leaving.pending(), ["a".parse().unwrap(), "c".parse().unwrap()]);
        leaving.gone(&"c".parse().unwrap());
        assert_eq!(leaving.update(names(&["a", "b"])), []);
        assert_eq!(leaving.pending(), [], "a is back");
    }
}
