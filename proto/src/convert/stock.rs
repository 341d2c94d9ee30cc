//! What an engine has on its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::image::{Digest, Layer, Stock};

use super::checks::word;
use super::{Invalid, Valid};
use crate::wire;

/// So many images, and so many volumes, an agent tells of.
pub const STOCK_LIMIT: usize = 10_000;
/// So many layers it tells of, each once.
pub const LAYERS_LIMIT: usize = 20_000;

/// Reads what an engine has. Of an image that names layers which are not told of nothing is known.
///
/// # Errors
/// Says where and what is wrong.
pub fn stock_from_wire(from: &wire::Images) -> Valid<Stock> {
    for (path, count, limit) in [
        ("images.digests", from.digests.len(), STOCK_LIMIT),
        ("images.layers_of", from.layers_of.len(), STOCK_LIMIT),
        ("images.volumes", from.volumes.len(), STOCK_LIMIT),
        ("images.layers", from.layers.len(), LAYERS_LIMIT),
    ] {
        if count > limit {
            return Err(Invalid::new(path, format!("{count} are more than the {limit} allowed")));
        }
    }
    let digest = |path: &str, text: &str| {
        text.parse::<Digest>().map_err(|error| Invalid::new(path, error.to_string()))
    };
    let digests = from.digests.iter().map(|text| digest("images.digests", text));
    let digests = digests.collect::<Valid<BTreeSet<_>>>()?;
    let layer = |index: &u32| {
        let layer = from.layers.get(usize::try_from(*index).ok()?)?;
        Some(Layer { id: layer.id, bytes: layer.bytes })
    };
    let mut layers = BTreeMap::new();
    for one in &from.layers_of {
        if one.layers.len() > LAYERS_LIMIT {
            let why = format!("{} are more than the {LAYERS_LIMIT} allowed", one.layers.len());
            return Err(Invalid::new("images.layers_of.layers", why));
        }
        let digest = digest("images.layers_of.digest", &one.digest)?;
        let known: Option<Vec<Layer>> = one.layers.iter().map(layer).collect();
        if let Some(known) = known.filter(|_| digests.contains(&digest)) {
            layers.insert(digest, Arc::from(known));
        }
    }
    let volumes = from.volumes.iter().map(|name| word("images.volumes", name));
    Ok(Stock { digests, layers, volumes: volumes.collect::<Valid<_>>()? })
}

/// Writes what an engine has; how large each image is is not part of it.
#[must_use]
pub fn stock_to_wire(stock: &Stock) -> wire::Images {
    let mut places: BTreeMap<u64, u32> = BTreeMap::new();
    let mut layers = Vec::new();
    let layers_of = stock.layers.iter().map(|(digest, of_image)| {
        let place = |layer: &Layer| {
            *places.entry(layer.id).or_insert_with(|| {
                layers.push(wire::ImageLayer { id: layer.id, bytes: layer.bytes });
                u32::try_from(layers.len() - 1).unwrap_or(u32::MAX)
            })
        };
        wire::LayersOf { digest: digest.to_string(), layers: of_image.iter().map(place).collect() }
    });
    let layers_of = layers_of.collect();
    wire::Images {
        digests: stock.digests.iter().map(ToString::to_string).collect(),
        bytes: Vec::new(),
        layers,
        layers_of,
        volumes: stock.volumes.iter().cloned().collect(),
    }
}
