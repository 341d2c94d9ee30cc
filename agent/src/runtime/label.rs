//! The labels on everything that is ours, and the names that follow from them.

use std::collections::HashMap;

use agent_core::action::Launch;
use model::id::{ClusterId, NodeId, ProjectName, ServiceName};

use super::Settings;

pub(super) const CLUSTER: &str = "wharf.cluster";
pub(super) const NODE: &str = "wharf.node";
pub(super) const TASK: &str = "wharf.task";
pub(super) const GENERATION: &str = "wharf.generation";
pub(super) const PROJECT: &str = "wharf.project";
pub(super) const SERVICE: &str = "wharf.service";
pub(super) const CONTAINER: &str = "wharf.container";
pub(super) const ATTEMPT: &str = "wharf.attempt";
/// Ports of the host that a container in host mode uses: the engine does not show them.
pub(super) const HOST_PORTS: &str = "wharf.ports";
/// The GPUs that a container was given, by number.
pub(super) const GPUS: &str = "wharf.gpus";
/// On networks and volumes: the name in the project.
pub(super) const NAME: &str = "wharf.name";

/// The longest name of a container, in bytes. Docker sets no limit; `docker ps` and log files on disk stay usable.
const NAME_LIMIT: usize = 200;

/// What a label filter of the engine's API looks like.
pub(super) type Filter = HashMap<String, Vec<String>>;

/// Finds what carries the label of this cluster.
pub(super) fn of_cluster(cluster: &ClusterId) -> Filter {
    HashMap::from([("label".into(), vec![format!("{CLUSTER}={cluster}")])])
}

/// Finds what carries the labels of this cluster and node.
pub(super) fn of_node(cluster: &ClusterId, node: &NodeId) -> Filter {
    let labels = vec![format!("{CLUSTER}={cluster}"), format!("{NODE}={node}")];
    HashMap::from([("label".into(), labels)])
}

/// Finds what carries the labels of this cluster and project.
pub(super) fn of_project(cluster: &ClusterId, project: &ProjectName) -> Filter {
    let labels = vec![format!("{CLUSTER}={cluster}"), format!("{PROJECT}={project}")];
    HashMap::from([("label".into(), labels)])
}

/// The labels of a container, without the operator's own.
pub(super) fn container(settings: &Settings, launch: &Launch) -> HashMap<String, String> {
    HashMap::from([
        (CLUSTER.into(), settings.cluster.to_string()),
        (NODE.into(), settings.node.to_string()),
        (TASK.into(), launch.task.to_string()),
        (GENERATION.into(), launch.generation.to_string()),
        (PROJECT.into(), launch.project.to_string()),
        (SERVICE.into(), launch.service.to_string()),
        (CONTAINER.into(), launch.container.to_string()),
        (ATTEMPT.into(), launch.attempt.to_string()),
    ])
}

/// Says whether `found` are the labels of the very container that `launch` asks for. The generation may differ: two
/// generations with equal specs share their tasks.
pub(super) fn is_same(
    settings: &Settings,
    launch: &Launch,
    found: &HashMap<String, String>,
) -> bool {
    let wanted = container(settings, launch);
    [CLUSTER, NODE, TASK, CONTAINER, ATTEMPT].iter().all(|key| wanted.get(*key) == found.get(*key))
}

/// The labels of a network or a volume.
pub(super) fn belonging(
    cluster: &ClusterId,
    project: &ProjectName,
    name: &ServiceName,
) -> HashMap<String, String> {
    HashMap::from([
        (CLUSTER.into(), cluster.to_string()),
        (PROJECT.into(), project.to_string()),
        (NAME.into(), name.to_string()),
    ])
}

/// Whose a network or a volume is.
pub(super) struct Owner<'a> {
    pub(super) cluster: &'a str,
    pub(super) project: &'a str,
    pub(super) name: &'a str,
}

/// Reads what [`belonging`] has written; nothing when it was not us.
pub(super) fn owner(labels: &HashMap<String, String>) -> Option<Owner<'_>> {
    let read = |key: &str| labels.get(key).map(String::as_str);
    let cluster = read(CLUSTER)?;
    Some(Owner {
        cluster,
        project: read(PROJECT).unwrap_or_default(),
        name: read(NAME).unwrap_or_default(),
    })
}

/// The name of a network or a volume on the engine.
pub(super) fn belonging_name(
    cluster: &ClusterId,
    project: &ProjectName,
    name: &ServiceName,
) -> String {
    format!("wharf-{cluster}-{project}-{name}")
}

/// The name of a container: the same for the same attempt, and no other's. Clusters may share an engine.
pub(super) fn container_name(settings: &Settings, launch: &Launch) -> String {
    let Launch { task, container, attempt, .. } = launch;
    shorten(&format!("wharf-{}-{task}-{container}-{attempt}", settings.cluster))
}

/// Names are ASCII by the rules of their parts, so that bytes are characters.
fn shorten(name: &str) -> String {
    if name.len() <= NAME_LIMIT {
        return name.to_owned();
    }
    let hash = format!("-{:016x}", fnv1a(name.as_bytes()));
    let kept: String = name.chars().take(NAME_LIMIT - hash.len()).collect();
    kept + &hash
}

/// FNV-1a, 64 bits: names have to come out the same in every build of the agent, which the standard library's hasher
/// does not promise. <http://www.isthe.com/chongo/tech/comp/fnv/>
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_stays_and_a_long_one_stays_unique() {
        assert_eq!(shorten("wharf-a.b.1.1-web-1"), "wharf-a.b.1.1-web-1");
        let (one, two) = (format!("{}1", "x".repeat(300)), format!("{}2", "x".repeat(300)));
        assert_eq!(shorten(&one).len(), NAME_LIMIT);
        assert_ne!(shorten(&one), shorten(&two));
        assert_eq!(shorten(&one), shorten(&one));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
