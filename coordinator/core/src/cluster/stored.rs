//! What is stored, as the changes that rebuild it.

use super::{Change, Cluster};

impl Cluster {
    /// Everything that is stored, as the changes that rebuild it.
    #[must_use]
    pub fn stored(&self) -> Vec<Change> {
        let services = self.services.values().cloned().map(Change::PutService);
        let tasks = self.tasks.values().cloned().map(Change::PutTask);
        let nodes = self.nodes.values().cloned().map(Change::PutNode);
        let pools = self.pools().values().cloned().map(Change::PutPool);
        let hooks = self.hooks().values().cloned().map(Change::PutHook);
        let refreshes = self.refreshes().values().cloned().map(Change::PutRefresh);
        let freeze = self.fleet.freeze.iter().cloned().map(Some).map(Change::SetFreeze);
        let registrations = self.registrations().values().cloned().map(Change::PutRegistration);
        let bakes = self.bakes().values().cloned().map(Change::PutBake);
        let amis = self.amis().values().cloned().map(Change::PutAmi);
        let upkeeps = self.upkeeps().values().cloned().map(Change::PutUpkeep);
        let fleet = pools.chain(hooks).chain(refreshes).chain(freeze).chain(registrations);
        let fleet = fleet.chain(bakes).chain(amis).chain(upkeeps).chain(self.stored_secrets());
        let counters = [Change::PutNextTask(self.next_task)];
        services.chain(tasks).chain(nodes).chain(fleet).chain(counters).collect()
    }
}
