//! Reads what other builders of machine images are told, HCL and YAML, by parsers of Python: neither language is otherwise needed here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::Said;
use crate::program::installed;
use crate::release::target;

/// The parsers. Another list is another environment.
const PARSERS: &[&str] = &["python-hcl2==8.1.4", "PyYAML==6.0.4"];

/// HCL keeps the quotes of texts, and marks what is a block.
const READ: &str = r#"
import json, sys, hcl2, yaml
def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key.strip('"'): plain(one) for key, one in value.items() if not key.startswith("__")}
    is_text = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1].replace('\\"', '"') if is_text else value
with open(sys.argv[1]) as file:
    print(json.dumps(plain(hcl2.load(file)) if sys.argv[1].endswith(".hcl") else yaml.safe_load(file)))
"#;

/// What a file of HCL or YAML says, by its name.
///
/// # Panics
/// When it is none, or the parsers can not be had; it says what is missing.
#[must_use]
pub fn read(file: &Path) -> Value {
    let mut command = Command::new(python());
    Said::by(command.args(["-c", READ]).arg(file), "").json()
}

/// A Python that has the parsers, made once beside what cargo builds.
fn python() -> PathBuf {
    let folder = target().join("templates");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (python, stamp) = (folder.join("venv/bin/python"), folder.join("stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == PARSERS.join("\n")) {
        return python;
    }
    let system = installed("/usr/bin/python3", "python3");
    let mut make = Command::new(system);
    let made = Said::by(make.args(["-m", "venv", "--clear"]).arg(folder.join("venv")), "");
    assert_eq!(made.code, 0, "Python makes no environment (python3-venv): {}", made.err);
    let mut fetch = Command::new(&python);
    fetch.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    let fetched = Said::by(fetch.args(PARSERS), "");
    assert_eq!(fetched.code, 0, "pip could not install {PARSERS:?}: {}", fetched.err);
    // Written last: what was not finished is begun again.
    fs::write(stamp, PARSERS.join("\n")).unwrap();
    python
}
