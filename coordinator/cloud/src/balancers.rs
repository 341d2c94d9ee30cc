//! What is asked of load balancers.

use std::fmt::Debug;

use async_trait::async_trait;
use model::traffic::{Look, RegistrationPhase, Target, TargetGroup};

use crate::CloudError;

/// Load balancers whose target groups send requests to instances by port.
#[async_trait]
pub trait Balancers: Debug + Send + Sync {
    /// Looks at a group: how long it waits for what leaves, and everything that is registered there.
    async fn look(&self, group: &TargetGroup) -> Look;

    /// Puts targets into a group or takes them out. Safe to repeat.
    async fn tell(
        &self,
        group: &TargetGroup,
        phase: RegistrationPhase,
        targets: &[Target],
    ) -> Result<(), CloudError>;
}
