//! Long lists, in pages that fit into a message: ten thousand nodes do not fit into one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use prost::Message;
use tonic::Status;

/// A page ends before it has so many bytes: half of what gRPC clients take that nobody told how much they may take.
const PAGE: usize = 2 << 20;

/// Where the page begins that a request asks for.
///
/// # Errors
/// When what it is to come after is no id.
pub(super) fn after<K: FromStr>(text: &str) -> Result<Bound<K>, Status>
where
    K::Err: Display,
{
    if text.is_empty() {
        return Ok(Bound::Unbounded);
    }
    let read = text.parse().map(Bound::Excluded);
    read.map_err(|error| Status::invalid_argument(format!("`after` is no id: {error}")))
}

/// What comes after that.
pub(super) fn rest<K: Ord, V>(
    all: &BTreeMap<K, Arc<V>>,
    after: Bound<K>,
) -> impl Iterator<Item = &Arc<V>> {
    all.range((after, Bound::Unbounded)).map(|(_, value)| value)
}

/// As many as fit, and the id that the next page comes after: empty when there is none.
pub(super) fn page<T: Message>(items: impl Iterator<Item = (String, T)>) -> (Vec<T>, String) {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, String::new());
    for (id, item) in items {
        bytes += item.encoded_len();
        if bytes > PAGE && !page.is_empty() {
            return (page, last);
        }
        page.push(item);
        last = id;
    }
    (page, String::new())
}

#[cfg(test)]
mod tests {
    use proto::wire::NodeView;

    use super::*;

    #[test]
    fn a_page_ends_before_it_is_too_large_and_names_where_the_next_begins() {
        let view = |note: usize| NodeView { note: "x".repeat(note), ..NodeView::default() };
        let items = |sizes: &[usize]| {
            let views: Vec<_> =
                sizes.iter().map(|size| (format!("n{size}"), view(*size))).collect();
            let (page, next) = page(views.into_iter());
            (page.len(), next)
        };
        assert_eq!(items(&[]), (0, String::new()));
        assert_eq!(items(&[1, 2, 3]), (3, String::new()));
        assert_eq!(items(&[PAGE / 2, PAGE / 3, PAGE / 2]), (2, format!("n{}", PAGE / 3)));
        // What is too large for any page comes alone, or it would never come.
        assert_eq!(items(&[2 * PAGE, 1]), (1, format!("n{}", 2 * PAGE)));
    }
}
