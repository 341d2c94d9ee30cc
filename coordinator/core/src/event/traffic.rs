//! What is heard of load balancers.

use model::traffic::{Look, RegistrationPhase, Target, TargetGroup};

/// Something heard of load balancers.
#[derive(Debug, Clone)]
pub enum TrafficEvent {
    /// Somebody has looked at target groups.
    Looked(Vec<Look>),
    /// A target group was told of these, or not.
    Told {
        /// Which.
        group: TargetGroup,
        /// Whether they were put in or taken out.
        phase: RegistrationPhase,
        /// What.
        targets: Vec<Target>,
        /// Why it was not done; none when it was.
        failure: Option<String>,
    },
}
