//! Which images nodes have, as far as their agents have said. Not stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::NodeId;
use model::image::Digest;
use model::spec::TaskSpec;

use super::Cluster;

impl Cluster {
    /// Says whether any node has an image of the task, as far as anybody has said.
    pub(crate) fn has_image_of(&self, spec: &TaskSpec) -> bool {
        spec.containers.iter().any(|one| self.holders.contains_key(one.image.digest()))
    }

    /// How many different images of the task no node has, as far as anybody has said.
    pub(crate) fn images_nowhere(&self, spec: &TaskSpec) -> usize {
        let digests: BTreeSet<&Digest> =
            spec.containers.iter().map(|one| one.image.digest()).collect();
        digests.into_iter().filter(|digest| !self.holders.contains_key(*digest)).count()
    }

    /// Writes down which images the engine of a node has.
    pub fn saw_images(&mut self, node: &NodeId, digests: Arc<BTreeSet<Digest>>) {
        let Some(number) = self.ledgers.place(node) else { return };
        let Some(ledger) = self.ledgers.at_mut(number) else { return };
        let before = ledger.images.replace(Arc::clone(&digests));
        self.classes.mark_images(number);
        self.suiting.forget_images();
        for digest in digests.iter() {
            *self.holders.entry(digest.clone()).or_default() += 1;
        }
        before.iter().for_each(|before| self.forget_images(before));
    }

    /// The images that the engine of a node has, as far as its agent has said.
    #[must_use]
    pub fn images(&self, node: &NodeId) -> Option<&Arc<BTreeSet<Digest>>> {
        self.ledger(node).and_then(|ledger| ledger.images.as_ref())
    }
}
