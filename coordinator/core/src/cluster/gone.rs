//! Nodes that are forgotten.

use std::collections::BTreeSet;

use model::id::NodeId;
use model::image::Digest;

use super::Cluster;

impl Cluster {
    /// Nothing is booked on the node any more.
    pub(super) fn remove_node(&mut self, id: &NodeId) {
        let Some(node) = self.nodes.remove(id) else { return };
        self.demand.remove_node(&node);
        if let Some(others) = self.neighbours.get_mut(&node.engine) {
            others.remove(id);
            if others.is_empty() {
                self.neighbours.remove(&node.engine);
            }
        }
        if let Some(images) = self.images(id).cloned() {
            self.forget_images(&images);
        }
        if let Some(number) = self.ledgers.place(id) {
            self.joined.retain(|joined| *joined != number);
            self.classes.mark(number);
        }
        self.ledgers.remove(id);
        self.suiting.forget();
        self.grounds.forget();
        self.draining.remove(id);
        self.shrinking.remove(id);
        self.preparing.remove(id);
        self.fleet.forget_node(id);
    }

    /// A node has these images no more.
    pub(super) fn forget_images(&mut self, digests: &BTreeSet<Digest>) {
        for digest in digests {
            if let Some(held) = self.holders.get_mut(digest) {
                held.nodes -= 1;
                if held.nodes == 0 {
                    self.holders.remove(digest);
                }
            }
        }
    }
}
