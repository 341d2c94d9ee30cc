//! Bugs of how machines are ended that are silent.

use super::{Mutant, bug};

const CONDEMN: &str = "coordinator/core/src/plan/condemn.rs";
const COMMAND: &str = "coordinator/core/src/command.rs";
const HOOKS: &str = "coordinator/core/src/plan/hooks.rs";
const FLEET: &str = "coordinator/core/src/cluster/fleet.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a machine is ended after a minute of silence",
        CONDEMN,
        "if silence < after {",
        "if silence < after && !PLANTED {",
    ),
    bug(
        "silent machines of a zone are ended one upon the other",
        CONDEMN,
        "let last = last.filter(|since| *since < UNREACHABLE_EVERY)?;",
        "let last = last.filter(|since| *since < UNREACHABLE_EVERY && !PLANTED)?;",
    ),
    bug(
        "a machine is ended while everybody is silent",
        CONDEMN,
        "let frozen = silent.iter().filter(|(_, node)| zones.is_frozen(node));",
        "let frozen = silent.iter().filter(|(_, node)| zones.is_frozen(node) && !PLANTED);",
    ),
    bug(
        "a machine that is ended for its silence is open when it is heard again",
        CONDEMN,
        "if node.availability == Availability::Active {",
        "if node.availability == Availability::Active && !PLANTED {",
    ),
    bug(
        "what nobody can be told to leave is begun elsewhere",
        FLEET,
        "self.is_condemned(node) && !(can_do && self.is_back(node, now))",
        "!PLANTED && self.is_condemned(node) && !(can_do && self.is_back(node, now))",
    ),
    bug(
        "a group waits for a machine that nobody can empty",
        HOOKS,
        "if cluster.is_condemned(&node.id) && !cluster.is_heard(node, now) {",
        "if cluster.is_condemned(&node.id) && !cluster.is_heard(node, now) && !PLANTED {",
    ),
    bug(
        "no group is asked to end a machine for its silence",
        COMMAND,
        "let asked = pool.condemned.keys().filter(is_there)",
        "let asked = pool.condemned.keys().filter(|_| !PLANTED).filter(is_there)",
    ),
];
