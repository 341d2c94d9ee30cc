//! Every connection that stands, by who is on its other end: who is not let in any more is cut off at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::name::Name;

/// Connections of one name at the same time. An agent has two for a moment, an operator one for each command that runs.
pub const CONNECTIONS_OF_ONE: usize = 64;

/// Every connection of somebody with a name.
#[derive(Debug, Default)]
pub struct Connections {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    by_name: HashMap<Name, Vec<(u64, CancellationToken)>>,
}

/// Takes a connection off the list when it ends.
#[derive(Debug)]
pub(crate) struct Listed {
    connections: Arc<Connections>,
    name: Name,
    number: u64,
}

impl Connections {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a connection on the list. The token tells it to end. None when somebody has too many.
    pub(crate) fn list(self: &Arc<Self>, name: &Name) -> Option<(Listed, CancellationToken)> {
        let token = CancellationToken::new();
        let mut inner = self.inner();
        inner.last += 1;
        let number = inner.last;
        let standing = inner.by_name.entry(name.clone()).or_default();
        if standing.len() >= CONNECTIONS_OF_ONE {
            return None;
        }
        standing.push((number, token.clone()));
        Some((Listed { connections: Arc::clone(self), name: name.clone(), number }, token))
    }

    /// Ends every connection of somebody, whatever goes on over it.
    pub fn cut(&self, name: &Name) {
        let standing = self.inner().by_name.remove(name);
        standing.into_iter().flatten().for_each(|(_, token)| token.cancel());
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut inner = self.connections.inner();
        if let Some(standing) = inner.by_name.get_mut(&self.name) {
            standing.retain(|(number, _)| *number != self.number);
            if standing.is_empty() {
                inner.by_name.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_is_cut_off_everywhere_and_nobody_else_is() {
        let connections = Arc::new(Connections::default());
        let (one, other) = (Name::Node("n1".parse().unwrap()), Name::Node("n2".parse().unwrap()));
        let first = connections.list(&one).unwrap();
        let second = connections.list(&one).unwrap();
        let third = connections.list(&other).unwrap();
        connections.cut(&one);
        assert!(first.1.is_cancelled() && second.1.is_cancelled() && !third.1.is_cancelled());
        drop((first, second, third));
        assert!(connections.inner().by_name.is_empty());
    }

    #[test]
    fn t12_one_name_has_a_bounded_number_of_connections() {
        let connections = Arc::new(Connections::default());
        let name = Name::Node("n1".parse().unwrap());
        let mut all: Vec<_> =
            (0..CONNECTIONS_OF_ONE).map(|_| connections.list(&name).unwrap()).collect();
        assert!(connections.list(&name).is_none());
        all.pop();
        assert!(connections.list(&name).is_some());
    }
}
