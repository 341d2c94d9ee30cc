//! Images that are fetched for tasks to come: each once at a time, and one that could not be had not at once again.
//!
//! The coordinator asks for what is missing as often as it looks, and knows nothing of tries that failed: a registry that
//! says no would be asked by every node for every look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::image::Image;
use model::time::Timestamp;

/// From a try that failed until the next; doubled with each.
const WAIT: Duration = Duration::from_secs(10);
/// No wait is longer: a registry that was away is found again in time.
const WAIT_LIMIT: Duration = Duration::from_secs(120);
/// Of so many images failures are remembered: more than any node is asked for.
const REMEMBERED: usize = 1_000;

/// What is being fetched, and what could not be.
#[derive(Debug, Default)]
pub struct Ahead {
    busy: BTreeSet<Image>,
    failed: BTreeMap<Image, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    wait: Duration,
    not_before: Timestamp,
}

impl Ahead {
    /// Says whether an image that is asked for is to be fetched now; then it is being fetched until it has [`ended`](Self::ended).
    pub fn begin(&mut self, image: &Image, now: Timestamp) -> bool {
        let is_early = self.failed.get(image).is_some_and(|failure| now < failure.not_before);
        !is_early && self.busy.insert(image.clone())
    }

    /// Writes down what came of it.
    pub fn ended(&mut self, image: &Image, is_here: bool, now: Timestamp) {
        self.busy.remove(image);
        // What was not asked for again for long is not wanted any more.
        self.failed.retain(|_, failure| now < failure.not_before + WAIT_LIMIT);
        let before = self.failed.remove(image);
        if !is_here && self.failed.len() < REMEMBERED {
            let wait = before.map_or(WAIT, |before| (before.wait * 2).min(WAIT_LIMIT));
            self.failed.insert(image.clone(), Failure { wait, not_before: now + wait });
        }
    }
}

#[cfg(test)]
mod tests {
    use model::image::Pin;

    use super::*;

    fn image() -> Image {
        let digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("64 digits are a digest");
        Image { reference: "app".parse().expect("a name"), pin: Pin::Manifest(digest) }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn an_image_is_fetched_once_at_a_time() {
        let (mut ahead, image) = (Ahead::default(), image());
        assert!(ahead.begin(&image, at(0)));
        assert!(!ahead.begin(&image, at(1)));
        ahead.ended(&image, true, at(2));
        assert!(ahead.begin(&image, at(2)), "it may have been removed meanwhile");
    }

    #[test]
    fn what_could_not_be_had_is_tried_again_later_and_later() {
        let (mut ahead, image) = (Ahead::default(), image());
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            assert!(ahead.begin(&image, at(now)));
            ahead.ended(&image, false, at(now));
            let wait = (1..).find(|wait| ahead.begin(&image, at(now + wait)));
            let wait = wait.expect("it is tried again some time");
            ahead.busy.clear();
            now += wait;
            waits.push(wait);
        }
        assert_eq!(waits, [10, 20, 40, 80, 120, 120, 120, 120]);
        assert!(ahead.begin(&image, at(now)));
        ahead.ended(&image, true, at(now));
        assert!(ahead.begin(&image, at(now)));
        ahead.ended(&image, false, at(now));
        assert!(ahead.begin(&image, at(now + 10)), "once it was here all is forgotten");
    }
}
