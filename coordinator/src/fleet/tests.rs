//! What becomes of a request whose outcome nobody writes down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use coordinator_core::cluster::Cluster;
use model::fleet::{Answer, GroupHook, HookId, Transition};
use model::refresh::{Blueprint, Version};

use super::*;

/// Counts the signs that it is given, and has nothing else to say.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

#[tonic::async_trait]
impl Cloud for Counting {
    async fn survey(
        &self,
        _groups: &BTreeSet<String>,
        _others: &BTreeSet<NodeId>,
    ) -> Result<Survey, CloudError> {
        Ok(Survey::default())
    }

    async fn images(
        &self,
        _versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Option<String>>, CloudError> {
        Ok(BTreeMap::new())
    }

    async fn letters(&self) -> Option<Result<Vec<Letter>, CloudError>> {
        None
    }

    async fn received(&self, _receipt: &str) -> Result<(), CloudError> {
        Ok(())
    }

    async fn answer(
        &self,
        _pool: &str,
        _hook: (&HookId, Option<&str>),
        _answer: Answer,
    ) -> Result<Told, CloudError> {
        Ok(Told::Heard)
    }

    async fn beat(&self, _pool: &str, _hook: (&HookId, Option<&str>)) -> Result<Told, CloudError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Told::Heard)
    }

    async fn set_hook(&self, _pool: &str, _hook: &GroupHook) -> Result<(), CloudError> {
        Ok(())
    }

    async fn remove_hook(&self, _pool: &str, _name: &str) -> Result<(), CloudError> {
        Ok(())
    }

    async fn grow(&self, _pool: &str, _from: u32, _to: u32) -> Result<(), CloudError> {
        Ok(())
    }

    async fn make_template(
        &self,
        _token: &str,
        from: &Blueprint,
        _ami: &str,
    ) -> Result<Blueprint, CloudError> {
        Ok(from.clone())
    }

    async fn set_template(
        &self,
        _pool: &str,
        _from: &Blueprint,
        _to: &Blueprint,
    ) -> Result<(), CloudError> {
        Ok(())
    }

    async fn set_max(&self, _pool: &str, _to: u32) -> Result<(), CloudError> {
        Ok(())
    }

    async fn set_process(
        &self,
        _pool: &str,
        _process: &str,
        _suspended: bool,
    ) -> Result<(), CloudError> {
        Ok(())
    }

    async fn terminate(
        &self,
        _pool: &str,
        _instance: &NodeId,
        _keep: u32,
    ) -> Result<(), CloudError> {
        Ok(())
    }

    async fn replace_root(
        &self,
        _instance: &NodeId,
        _token: &str,
        _ami: &str,
    ) -> Result<Rooted, CloudError> {
        Ok(Rooted::Replaced)
    }

    async fn cancel_refresh(&self, _pool: &str) -> Result<bool, CloudError> {
        Ok(true)
    }

    fn forget(&self, _pool: &str) {}

    async fn has_ami(&self, _ami: &str) -> Result<bool, CloudError> {
        Ok(false)
    }

    fn region(&self) -> &str {
        "nowhere"
    }

    fn describe(&self) -> String {
        "a cloud that counts".to_owned()
    }
}

#[tokio::test]
async fn a_request_whose_outcome_was_not_written_down_is_made_again() {
    let cloud = Arc::new(Counting::default());
    let published = Arc::new(Published::new(Cluster::default()));
    let asked = Arc::clone(&cloud) as Arc<dyn Cloud>;
    let fleet =
        Arc::new(Fleet::new(asked, Door::to_nobody(), published, (Clock::start(), crate::REREAD)));
    let (sender, commands) = watch::channel(Vec::new());
    let performing = tokio::spawn(fleet.perform(commands));
    let hook = HookId { instance: "i-1".parse().unwrap(), transition: Transition::Launching };
    let beat = Command::Beat { hook, pool: "web".to_owned(), token: None };
    // The list stays as it is: nobody has heard that it was done.
    sender.send_replace(vec![beat]);
    let deadline = tokio::time::Instant::now() + RETRY * 6;
    while cloud.0.load(Ordering::Relaxed) < 2 {
        assert!(tokio::time::Instant::now() < deadline, "asked once and never again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    performing.abort();
}
