//! The Debian packages, made of the programs beside this test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{built, installed};
use crate::{Said, Scratch};

pub use crate::release::target;

/// Where the programs are of which packages are made.
///
/// # Panics
/// When they were not built.
#[must_use]
pub fn programs() -> PathBuf {
    built("wharf").parent().unwrap().to_owned()
}

/// A folder of packages that is gone with its test.
#[derive(Debug)]
pub struct Packages(Scratch);

impl Packages {
    /// Packs all three.
    ///
    /// # Panics
    /// When that fails; it says what is missing.
    #[must_use]
    pub fn new() -> Self {
        let packages = Self(Scratch::new());
        packages.pack(&[]);
        packages
    }

    /// Packs one alone.
    ///
    /// # Panics
    /// When that fails; it says what is missing.
    #[must_use]
    pub fn only(package: &str) -> Self {
        let packages = Self(Scratch::new());
        packages.pack(&[package]);
        packages
    }

    /// Packs with more arguments of `packaging/deb/build`, and gives the files that it made.
    ///
    /// # Panics
    /// When that fails.
    pub fn pack(&self, more: &[&str]) -> Vec<PathBuf> {
        let _needed = installed("/usr/bin/dpkg-shlibdeps", "dpkg-dev");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(root.join("packaging/deb/build"));
        command.arg("--programs").arg(programs());
        command.arg("--output").arg(self.folder()).args(more);
        let said = Said::by(command.env("CARGO_TARGET_DIR", target()), "");
        assert_eq!(said.code, 0, "packaging/deb/build: {}{}", said.out, said.err);
        said.out.lines().map(PathBuf::from).collect()
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// All of them.
    ///
    /// # Panics
    /// When the folder is gone.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|kind| kind == "deb")).collect();
        files.sort();
        files
    }
}

impl Default for Packages {
    fn default() -> Self {
        Self::new()
    }
}
