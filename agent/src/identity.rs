//! Who this node is.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use anyhow::Context;
use model::id::NodeId;

/// Where the system keeps what tells this machine from its copies: systemd makes a new one at the first boot of an image
/// that was made without (`machine-id(5)`).
const MACHINE: &str = "/etc/machine-id";

/// The id that the operator gave, or the one that was made up at the first start and kept in the state directory. One
/// that was made up on another machine came with a copy of its disk: two nodes of one id would throw each other out.
///
/// # Errors
/// When the directory can not be written, or holds something that is no node id.
pub(crate) fn node_id(directory: &Path, given: Option<NodeId>) -> anyhow::Result<NodeId> {
    node_id_on(directory, given, fs::read_to_string(MACHINE).ok().as_deref().map(str::trim))
}

/// The id that the metadata service has given, which is kept; the one that was kept when it does not answer, because that is
/// no reason to doubt.
///
/// # Errors
/// When it is not known at all, or can not be kept.
pub(crate) fn instance_id(
    directory: &Path,
    asked: anyhow::Result<String>,
) -> anyhow::Result<NodeId> {
    let path = directory.join("node-id");
    let kept = fs::read_to_string(&path).ok().map(|kept| kept.trim().to_owned());
    let instance = match (asked, kept) {
        (Ok(instance), kept) => {
            if kept.as_ref() != Some(&instance) {
                if let Some(kept) = kept {
                    tracing::warn!(kept, instance, "this disk was another instance's");
                }
                fs::write(&path, &instance)
                    .with_context(|| format!("can not write {}", path.display()))?;
            }
            instance
        }
        (Err(error), Some(kept)) if trust::attest::is_instance(&kept) => {
            tracing::warn!("{error:#}: this is taken for {kept}, as it was before");
            kept
        }
        (Err(error), _) => return Err(error.context("it is not known which instance this is")),
    };
    instance.parse().context("the id of an instance is no id of a node")
}

fn node_id_on(
    directory: &Path,
    given: Option<NodeId>,
    machine: Option<&str>,
) -> anyhow::Result<NodeId> {
    let path = directory.join("node-id");
    if let Some(given) = given {
        return Ok(given);
    }
    let stamp = directory.join("machine");
    let stamped = fs::read_to_string(&stamp).ok().filter(|stamped| !stamped.trim().is_empty());
    // That the system does not say is no reason to doubt.
    let is_copy = stamped.as_deref().zip(machine).is_some_and(|(was, is)| was.trim() != is);
    if is_copy {
        tracing::warn!(
            "{} was made on another machine: this node gets a name of its own",
            path.display()
        );
        fs::remove_file(&path).with_context(|| format!("can not remove {}", path.display()))?;
    }
    match fs::read_to_string(&path) {
        Ok(kept) => {
            let kept = kept.trim();
            kept.parse().with_context(|| format!("{} does not hold a node id", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made =
                format!("node-{:08x}", RandomState::new().hash_one(std::process::id()) >> 32);
            fs::create_dir_all(directory)
                .and_then(|()| fs::write(&stamp, machine.unwrap_or_default()))
                .and_then(|()| fs::write(&path, &made))
                .with_context(|| format!("can not write {}", path.display()))?;
            made.parse().context("a made-up node id is not valid")
        }
        Err(error) => Err(error).with_context(|| format!("can not read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_a_copied_disk_is_named_after_the_instance_that_it_is_in() {
        let directory = std::env::temp_dir().join(format!("wharf-instance-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let silent = || Err(anyhow::anyhow!("no answer"));
        assert!(instance_id(&directory, silent()).is_err(), "it is not made up");
        let said = |id: &str| instance_id(&directory, Ok(id.to_owned())).unwrap().to_string();
        assert_eq!(said("i-0123456789abcdef0"), "i-0123456789abcdef0");
        let kept = instance_id(&directory, silent()).unwrap();
        assert_eq!(kept.as_str(), "i-0123456789abcdef0", "not knowing is no reason");
        assert_eq!(said("i-0aaaaaaaaaaaaaaaa"), "i-0aaaaaaaaaaaaaaaa");
        assert_eq!(instance_id(&directory, silent()).unwrap().as_str(), "i-0aaaaaaaaaaaaaaaa");
        fs::write(directory.join("node-id"), "node-1").unwrap();
        assert!(instance_id(&directory, silent()).is_err(), "a name that was made up is none");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn r13_a_copied_state_directory_gets_a_name_of_its_own() {
        let directory = std::env::temp_dir().join(format!("wharf-copied-{}", std::process::id()));
        let made = node_id_on(&directory, None, Some("one")).unwrap();
        assert_eq!(node_id_on(&directory, None, Some("one")).unwrap(), made);
        assert_eq!(node_id_on(&directory, None, None).unwrap(), made, "not knowing is no reason");
        let other = node_id_on(&directory, None, Some("two")).unwrap();
        assert_ne!(other, made);
        assert_eq!(node_id_on(&directory, None, Some("two")).unwrap(), other, "and keeps it");
        let given: NodeId = "i-1".parse().unwrap();
        assert_eq!(node_id_on(&directory, Some(given.clone()), Some("three")).unwrap(), given);
        fs::remove_dir_all(&directory).unwrap();
        let nameless = node_id_on(&directory, None, None).unwrap();
        assert_eq!(node_id_on(&directory, None, Some("one")).unwrap(), nameless);
        fs::remove_dir_all(directory).unwrap();
    }
}
