//! The Python of the region: a virtual environment beside what cargo builds, which `wharf-region` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Said;
use crate::release::target;

/// Where `region` is a package.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Where the environment is kept.
fn folder() -> PathBuf {
    target().join("region")
}

/// The interpreter that has all that the region needs, made when it is not there yet.
///
/// # Panics
/// When it can not be made; it says what is missing.
pub(crate) fn program() -> PathBuf {
    let mut command = Command::new(home().join("region/wharf-region"));
    let said = Said::by(command.arg("environment").arg(folder()), "");
    assert_eq!(said.code, 0, "the region needs Python and some packages: {}", said.err);
    PathBuf::from(said.out.trim())
}

/// Has a command find the package, and leave nothing compiled beside it.
pub(crate) fn placed(command: &mut Command) -> &mut Command {
    command.current_dir(home()).env("PYTHONPYCACHEPREFIX", folder().join("compiled"))
}

/// The region in this folder, to be given more arguments.
pub(crate) fn region(folder: &Path, socket: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["-m", "region"]).arg(folder).arg("--docker-socket").arg(socket);
    placed(&mut command);
    command
}

/// Has a command find `wharf-region` beside the other programs in `path`, and that the environment of the tests.
pub fn by_hand<'a>(command: &'a mut Command, path: &str) -> &'a mut Command {
    let path = format!("{}:{path}", home().join("region").display());
    command.env("PATH", path).env("WHARF_REGION_VENV", folder())
}
