//! The settings of the kernel, which a machine out of a container shares with this one.

use std::fs;
use std::path::{Path, PathBuf};

/// What `packaging/ami/setup.sh` sets.
const NAMES: [&str; 3] = ["fs/inotify/max_user_instances", "vm/max_map_count", "kernel/panic"];

/// What they were; they are so again at the end.
#[derive(Debug)]
pub struct Kernel(Vec<(PathBuf, String)>);

impl Kernel {
    /// Keeps what they are.
    ///
    /// # Panics
    /// When that can not be read.
    #[must_use]
    pub fn keep() -> Self {
        let paths = NAMES.map(|name| Path::new("/proc/sys").join(name));
        Self(
            paths
                .into_iter()
                .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
                .collect(),
        )
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            // Who is not root has changed nothing either.
            drop(fs::write(path, value));
        }
    }
}
