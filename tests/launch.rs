//! What the machines of bakes are, in stories and tests that are about something else.

use model::bake::Launch;

pub(crate) fn launch() -> Launch {
    Launch {
        instance_type: "m7i.large".to_owned(),
        subnet: None,
        security_groups: Vec::new(),
        profile: None,
        coordinator: "10.0.0.1:7421".to_owned(),
        agent: None,
    }
}
