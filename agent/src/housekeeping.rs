//! Makes room on the engine's disk: images that this agent has fetched and that nobody needs any more.
//!
//! Which images are ours to remove is kept in a file of the state directory. When that is lost they count as somebody
//! else's, and stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use agent_core::garbage::StoredImage;
use model::time::Timestamp;

use crate::runtime;

/// So many images are remembered: a disk holds fewer.
const FETCHED_LIMIT: usize = 10_000;

/// Images that are here because of us, and since when.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    path: PathBuf,
    fetched: BTreeMap<String, Timestamp>,
}

impl Housekeeping {
    /// Reads what is remembered in the state directory.
    pub(crate) fn load(directory: &Path) -> Self {
        let path = directory.join("fetched-images");
        // A file that is not there, or that can not be read, remembers nothing.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = |line: &str| {
            let (id, at) = line.split_once(' ')?;
            Some((id.to_owned(), Timestamp::from_millis(at.parse().ok()?)))
        };
        let fetched = text.lines().filter_map(line).take(FETCHED_LIMIT).collect();
        Self { path, fetched }
    }

    /// Remembers images that were just fetched.
    pub(crate) fn note(&mut self, ids: Vec<String>, now: Timestamp) {
        if ids.is_empty() {
            return;
        }
        for id in ids {
            self.fetched.insert(id, now);
        }
        while self.fetched.len() > FETCHED_LIMIT {
            self.fetched.pop_first();
        }
        self.save();
    }

    /// What was on the engine at `asked_at`, as the core judges it. What was not there any more is forgotten; what was
    /// fetched since can not be missed there.
    pub(crate) fn judge(
        &mut self,
        asked_at: Timestamp,
        there: Vec<runtime::StoredImage>,
    ) -> Vec<StoredImage> {
        let known = self.fetched.len();
        let ids: BTreeSet<&String> = there.iter().map(|image| &image.id).collect();
        self.fetched.retain(|id, at| ids.contains(id) || *at >= asked_at);
        if self.fetched.len() != known {
            self.save();
        }
        let judged = there.into_iter().map(|image| StoredImage {
            seen_at: self.fetched.get(&image.id).copied().unwrap_or_default(),
            is_ours: self.fetched.contains_key(&image.id),
            id: image.id,
            repo_digests: image.digests,
            is_used: image.is_used,
        });
        judged.collect()
    }

    fn save(&self) {
        let lines = self.fetched.iter().map(|(id, at)| format!("{id} {}\n", at.as_millis()));
        let new = self.path.with_extension("new");
        let text: String = lines.collect();
        let saved = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = saved {
            tracing::warn!(%error, path = %self.path.display(), "which images were fetched is not remembered: they stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn stored(id: &str) -> runtime::StoredImage {
        runtime::StoredImage {
            id: id.to_owned(),
            tags: Vec::new(),
            digests: Vec::new(),
            size_bytes: 1,
            created_at: Timestamp::default(),
            is_used: false,
            layers: Arc::default(),
        }
    }

    #[test]
    fn only_what_was_fetched_here_is_ours_also_after_a_restart() {
        let directory = std::env::temp_dir().join(format!("wharf-fetched-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let at = Timestamp::from_millis(7_000);
        Housekeeping::load(&directory).note(vec!["sha256:a".to_owned()], at);
        let mut again = Housekeeping::load(&directory);
        let judged = again.judge(at, vec![stored("sha256:a"), stored("sha256:b")]);
        let ours: Vec<_> = judged.iter().map(|image| (image.is_ours, image.seen_at)).collect();
        assert_eq!(ours, [(true, at), (false, Timestamp::default())]);
        let _asked_before_it_was_fetched = again.judge(at, vec![stored("sha256:b")]);
        assert!(again.judge(at, vec![stored("sha256:a")])[0].is_ours);
        let later = Timestamp::from_millis(7_001);
        let _gone = again.judge(later, vec![stored("sha256:b")]);
        let back = Housekeeping::load(&directory).judge(later, vec![stored("sha256:a")]);
        assert!(!back[0].is_ours, "somebody else fetched it again");
        fs::remove_dir_all(directory).unwrap();
    }
}
