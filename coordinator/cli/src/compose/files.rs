//! Where files come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::reader::FILE_BYTES_LIMIT;

/// Gives files. Tests have them in memory.
pub(crate) trait Files {
    /// Reads a file that an absolute path names. What is longer than a Compose file may be can be cut off anywhere
    /// behind that.
    ///
    /// # Errors
    /// Those of opening and reading; [`io::ErrorKind::NotFound`] when there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The current directory, absolute.
    ///
    /// # Errors
    /// When it can not be told.
    fn directory(&self) -> io::Result<PathBuf>;
}

/// The files of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        // A path like /dev/zero has no end: one byte more than the limit is enough to see that.
        file.take(FILE_BYTES_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn directory(&self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }
}
