//! All that can be written.

use std::sync::Arc;

use model::bake::{Ami, Bake, Upkeep};
use model::fleet::{Hook, HookId, Pool};
use model::id::{AmiId, BakeId, NodeId, RecipeName, SecretName, ServiceId, TaskId};
use model::node::Node;
use model::refresh::{Freeze, Refresh, RefreshId};
use model::secret::Secret;
use model::service::Service;
use model::task::Task;
use model::traffic::{Registration, RegistrationId};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds a service or replaces it.
    PutService(Arc<Service>),
    /// Forgets a service.
    RemoveService(ServiceId),
    /// Adds a task or replaces it.
    PutTask(Arc<Task>),
    /// Forgets a task.
    RemoveTask(TaskId),
    /// Adds a node or replaces it.
    PutNode(Arc<Node>),
    /// Forgets a node that is dead, and of which no task is remembered.
    RemoveNode(NodeId),
    /// Adds a pool or replaces it.
    PutPool(Arc<Pool>),
    /// Forgets a pool, by its name.
    RemovePool(String),
    /// Adds a lifecycle action or replaces it.
    PutHook(Arc<Hook>),
    /// Forgets a lifecycle action.
    RemoveHook(HookId),
    /// Adds a refresh of a pool or replaces it.
    PutRefresh(Arc<Refresh>),
    /// Forgets a refresh.
    RemoveRefresh(RefreshId),
    /// Has refreshes stand still, or go on when there is none.
    SetFreeze(Option<Arc<Freeze>>),
    /// Adds a bake or replaces it.
    PutBake(Arc<Bake>),
    /// Forgets a bake that is over.
    RemoveBake(BakeId),
    /// Adds a machine image or replaces it.
    PutAmi(Arc<Ami>),
    /// Forgets a machine image.
    RemoveAmi(AmiId),
    /// Adds a recipe of which bakes begin by themselves, or replaces it.
    PutUpkeep(Arc<Upkeep>),
    /// No bake of a recipe begins by itself any more.
    RemoveUpkeep(RecipeName),
    /// Adds a registration at a load balancer or replaces it.
    PutRegistration(Arc<Registration>),
    /// Forgets one that is gone.
    RemoveRegistration(RegistrationId),
    /// Adds a secret or replaces it.
    PutSecret(Arc<Secret>),
    /// Forgets a secret.
    RemoveSecret(SecretName),
    /// Says that all task numbers below are used, also those of services that are long forgotten.
    PutNextTask(u64),
}
