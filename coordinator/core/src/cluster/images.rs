//! What nodes have on their disks, as far as their agents have said: images, what these are made of, and volumes. Not stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::NodeId;
use model::image::{Digest, Layer, Stock};
use model::spec::TaskSpec;

use super::{Cluster, Ledger};

/// What an image is taken for of which nobody has said what it is made of, in bytes: no more than that it is missing
/// everywhere alike.
const UNKNOWN: u64 = 256 << 20;

/// An image that some nodes have.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) nodes: usize,
    layers: Option<Arc<[Layer]>>,
}

impl Cluster {
    /// Says whether any node has an image of the task, as far as anybody has said.
    pub(crate) fn has_image_of(&self, spec: &TaskSpec) -> bool {
        spec.containers.iter().any(|one| self.holders.contains_key(one.image.digest()))
    }

    /// No node has less to fetch for the task than that, in MiB.
    pub(crate) fn fetch_least(&self, spec: &TaskSpec) -> usize {
        let nowhere = images(spec).filter(|digest| !self.holders.contains_key(*digest));
        nowhere.map(|_| mib(UNKNOWN)).sum()
    }

    /// What the node, whose ledger this is, would have to fetch before it runs the task, in MiB: layers that any of its images
    /// has are there.
    pub(crate) fn fetch_mib(&self, ledger: &Ledger, spec: &TaskSpec) -> usize {
        let is_there =
            |digest: &&Digest| ledger.images.as_ref().is_some_and(|there| there.contains(*digest));
        let missing = images(spec).filter(|digest| !is_there(digest));
        missing.map(|digest| mib(self.missing_of(ledger, digest))).sum()
    }

    fn missing_of(&self, ledger: &Ledger, digest: &Digest) -> u64 {
        let layers = self.holders.get(digest).and_then(|held| held.layers.as_ref());
        let Some(layers) = layers else { return UNKNOWN };
        let missing = layers.iter().filter(|one| ledger.layers.binary_search(&one.id).is_err());
        missing.map(|layer| layer.bytes).fold(0, u64::saturating_add)
    }

    /// Writes down what the engine of a node has.
    pub fn saw_images(&mut self, node: &NodeId, stock: &Stock) {
        let Some(number) = self.ledgers.place(node) else { return };
        let Some(ledger) = self.ledgers.at_mut(number) else { return };
        let mut layers: Vec<u64> =
            stock.layers.values().flat_map(|layers| layers.iter().map(|one| one.id)).collect();
        layers.sort_unstable();
        layers.dedup();
        (ledger.layers, ledger.volumes) = (layers.into(), Arc::new(stock.volumes.clone()));
        let before = ledger.images.replace(Arc::new(stock.digests.clone()));
        self.classes.mark_images(number);
        self.suiting.forget_images();
        for digest in &stock.digests {
            let held = self.holders.entry(digest.clone()).or_default();
            held.nodes += 1;
            if let Some(layers) = stock.layers.get(digest) {
                held.layers = Some(Arc::clone(layers));
            }
        }
        before.iter().for_each(|before| self.forget_images(before));
    }

    /// The images that the engine of a node has, as far as its agent has said.
    #[must_use]
    pub fn images(&self, node: &NodeId) -> Option<&Arc<BTreeSet<Digest>>> {
        self.ledger(node).and_then(|ledger| ledger.images.as_ref())
    }

    /// All that the engine of a node has, as far as its agent has said.
    #[must_use]
    pub fn stock(&self, node: &NodeId) -> Option<Stock> {
        let ledger = self.ledger(node)?;
        let digests = (**ledger.images.as_ref()?).clone();
        let layers = digests.iter().filter_map(|digest| {
            let layers = self.holders.get(digest)?.layers.as_ref()?;
            Some((digest.clone(), Arc::clone(layers)))
        });
        let layers = layers.collect();
        Some(Stock { layers, digests, volumes: (*ledger.volumes).clone() })
    }
}

/// The images of a task, each once; a task has few containers.
fn images(spec: &TaskSpec) -> impl Iterator<Item = &Digest> {
    let containers = spec.containers.iter().enumerate();
    let first = containers.filter(|(at, one)| {
        let before = spec.containers.iter().take(*at);
        before.map(|other| other.image.digest()).all(|other| other != one.image.digest())
    });
    first.map(|(_, one)| one.image.digest())
}

/// Rounded up: what is missing is never nothing.
fn mib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1 << 20).max(1)).unwrap_or(usize::MAX)
}
