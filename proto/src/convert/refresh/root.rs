//! Machines that get another root volume.

use model::id::NodeId;
use model::refresh::{Root, RootPhase};
use model::time::Timestamp;

use crate::convert::checks::word;
use crate::convert::{At, Named, Valid};
use crate::wire;

pub(super) fn root_from_wire(from: &wire::RefreshRoot) -> Valid<(NodeId, Root)> {
    use wire::refresh_root::Phase as Wire;
    let root = Root {
        version: (word("refresh.root.template", &from.template)?, from.version),
        ami: word("refresh.root.ami", &from.ami)?,
        since: Timestamp::from_millis(from.since_ms),
        phase: match from.phase.as_ref().at("refresh.root.phase")? {
            Wire::Asked(_) => RootPhase::Asked,
            Wire::BootingSinceMs(since) => {
                RootPhase::Booting { since: Timestamp::from_millis(*since) }
            }
            Wire::Joined(_) => RootPhase::Joined,
        },
    };
    Ok((from.instance.named("refresh.root.instance")?, root))
}

pub(super) fn root_to_wire(instance: &NodeId, root: &Root) -> wire::RefreshRoot {
    use wire::refresh_root::Phase as Wire;
    let (template, version) = root.version.clone();
    wire::RefreshRoot {
        instance: instance.to_string(),
        template,
        version,
        ami: root.ami.clone(),
        since_ms: root.since.as_millis(),
        phase: Some(match root.phase {
            RootPhase::Asked => Wire::Asked(wire::Done {}),
            RootPhase::Booting { since } => Wire::BootingSinceMs(since.as_millis()),
            RootPhase::Joined => Wire::Joined(wire::Done {}),
        }),
    }
}
