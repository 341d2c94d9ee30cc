//! Instances that are known because they are in a pool.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use cloud::Cloud;
use model::fleet as cloudy;
use model::id::NodeId;

use super::{Instance, Instances, Known, Question};
use crate::published::Published;

/// The machines of pools, as the cloud describes them, and whoever somebody else knows.
#[derive(Debug)]
pub(crate) struct OfPools {
    cloud: Arc<dyn Cloud>,
    /// Which pools there are: known once the store is read.
    published: OnceLock<Arc<Published>>,
    otherwise: Arc<dyn Instances>,
}

impl OfPools {
    pub(crate) fn new(cloud: Arc<dyn Cloud>, otherwise: Arc<dyn Instances>) -> Self {
        Self { cloud, published: OnceLock::new(), otherwise }
    }

    /// Says where pools are read.
    pub(crate) fn begin(&self, published: &Arc<Published>) {
        self.published.get_or_init(|| Arc::clone(published));
    }

    /// Whether we have launched it to make an image of it, or to try one out.
    fn is_of_bake(&self, id: &NodeId) -> bool {
        self.published.get().is_some_and(|published| published.read().cluster.bake_of(id).is_some())
    }

    /// The machine as it was last described, or as it is described now: one that was made a moment ago is not known yet.
    async fn describe(&self, id: &NodeId) -> anyhow::Result<Option<cloudy::Instance>> {
        let Some(published) = self.published.get() else { return Ok(None) };
        let (pools, known) = {
            let state = published.read();
            let pools: BTreeSet<String> = state.cluster.pools().keys().cloned().collect();
            (pools, state.cluster.instance(id).cloned())
        };
        let is_ours =
            |one: &cloudy::Instance| one.pool.as_ref().is_some_and(|pool| pools.contains(pool));
        if pools.is_empty() || known.as_ref().is_some_and(is_ours) {
            return Ok(known.filter(is_ours));
        }
        let survey = self.cloud.survey(&pools, &BTreeSet::from([id.clone()])).await?;
        Ok(survey.instances.into_iter().find(|one| one.id == *id).filter(is_ours))
    }
}

#[tonic::async_trait]
impl Instances for OfPools {
    async fn find(&self, question: &Question) -> anyhow::Result<Known> {
        let id: NodeId = question.instance.parse()?;
        if self.is_of_bake(&id) {
            return Ok(Known::Baking);
        }
        let described = match question.region == self.cloud.region() {
            true => self.describe(&id).await?,
            false => None,
        };
        let Some(one) = described else { return self.otherwise.find(question).await };
        if one.lifecycle.is_leaving() || one.power.is_off() {
            return Ok(Known::Unfit("its group is ending it".to_owned()));
        }
        let lifecycle = if one.is_spot { "spot" } else { "on-demand" };
        Ok(Known::Ours(Instance {
            pool: one.pool.unwrap_or_default(),
            labels: [("lifecycle".to_owned(), lifecycle.to_owned())].into(),
            zone: Some(one.zone).filter(|zone| !zone.is_empty()),
            ami: one.ami,
            instance_type: one.instance_type,
        }))
    }
}
