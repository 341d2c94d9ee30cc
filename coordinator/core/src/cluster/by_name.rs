//! What is found by name with one comparison, where a map in the order of names takes a dozen: most of what a placement
//! costs is to find things by name.

use std::hash::Hash;

use foldhash::fast::FixedState;
use model::id::NodeId;

/// A map that can not be gone through, so that its want of an order shows nowhere.
#[derive(Debug, Clone)]
#[allow(clippy::disallowed_types, reason = "see above")]
pub(super) struct ByName<K, V>(std::collections::HashMap<K, V, FixedState>);

impl<K, V> Default for ByName<K, V> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<K: Eq + Hash, V> ByName<K, V> {
    pub(super) fn get(&self, name: &K) -> Option<&V> {
        self.0.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &K) -> Option<&mut V> {
        self.0.get_mut(name)
    }

    pub(super) fn insert(&mut self, name: K, value: V) {
        self.0.insert(name, value);
    }

    pub(super) fn remove(&mut self, name: &K) {
        self.0.remove(name);
    }
}

impl<K: Eq + Hash, V: Default> ByName<K, V> {
    /// The value of this name; made when there is none.
    pub(super) fn entry(&mut self, name: K) -> &mut V {
        self.0.entry(name).or_default()
    }
}

/// A value for each node. The place of one that is gone is given to the next that comes.
#[derive(Debug, Clone)]
pub(crate) struct ByNode<V> {
    numbers: ByName<NodeId, usize>,
    values: Vec<V>,
    free: Vec<usize>,
}

impl<V> Default for ByNode<V> {
    fn default() -> Self {
        Self { numbers: ByName::default(), values: Vec::new(), free: Vec::new() }
    }
}

impl<V> ByNode<V> {
    pub(crate) fn get(&self, node: &NodeId) -> Option<&V> {
        self.values.get(*self.numbers.get(node)?)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut V> {
        self.values.get_mut(*self.numbers.get(node)?)
    }

    /// The value at this place: see [`ByNode::number`].
    pub(crate) fn at(&self, number: usize) -> Option<&V> {
        self.values.get(number)
    }

    /// The same, to be changed.
    pub(crate) fn at_mut(&mut self, number: usize) -> Option<&mut V> {
        self.values.get_mut(number)
    }

    /// The place of the node's value, if it has one.
    pub(crate) fn place(&self, node: &NodeId) -> Option<usize> {
        self.numbers.get(node).copied()
    }

    /// In the order in which they were made.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter()
    }

    /// In the order in which they were made.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut()
    }
}

impl<V: Default> ByNode<V> {
    /// The place of the node's value, which it keeps; made when there is none.
    pub(crate) fn number(&mut self, node: &NodeId) -> usize {
        if let Some(number) = self.numbers.get(node) {
            return *number;
        }
        let number = self.free.pop().unwrap_or(self.values.len());
        if number == self.values.len() {
            self.values.push(V::default());
        }
        self.numbers.insert(node.clone(), number);
        number
    }

    /// The node is gone, and its value with it.
    pub(crate) fn remove(&mut self, node: &NodeId) {
        let Some(number) = self.place(node) else { return };
        self.numbers.remove(node);
        self.values.get_mut(number).into_iter().for_each(|value| *value = V::default());
        self.free.push(number);
    }
}
