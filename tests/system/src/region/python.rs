//! The Python of the region: a virtual environment beside what cargo builds, made once for a list of requirements.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::release::target;

/// Where `region` is a package.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The interpreter that has all that the region needs. Two tests may want it at once: one makes it, the other finds it.
///
/// # Panics
/// When it can not be made; it says what is missing.
pub(crate) fn program() -> PathBuf {
    let requirements = home().join("region/requirements.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    let folder = target().join("region");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (environment, stamp) = (folder.join("venv"), folder.join("stamp"));
    let python = environment.join("bin/python");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && python.exists() {
        return python;
    }
    // Written last: what was not finished is begun again.
    drop(fs::remove_file(&stamp));
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    needed(&mut make, "python3 3.11 or newer with its module venv (Debian: python3-venv)");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    install.arg(&requirements);
    needed(&mut install, "an index of Python packages that pip can reach, as pip.conf has it");
    fs::write(stamp, wanted).unwrap();
    python
}

/// Runs what a region can not be made without.
fn needed(command: &mut Command, what: &str) {
    match command.output() {
        Err(error) => panic!("these tests need {what}: {error}"),
        Ok(output) => assert!(
            output.status.success(),
            "these tests need {what}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Has a command find the package, and leave nothing compiled beside it.
pub(crate) fn placed(command: &mut Command) -> &mut Command {
    command.current_dir(home()).env("PYTHONPYCACHEPREFIX", target().join("region/compiled"))
}

/// The region in this folder, to be given more arguments.
pub(crate) fn region(folder: &Path, socket: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["-m", "region"]).arg(folder).arg("--docker-socket").arg(socket);
    placed(&mut command);
    command
}
