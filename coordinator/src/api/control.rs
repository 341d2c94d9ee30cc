//! Operators.

use std::pin::Pin;
use std::sync::Arc;

use coordinator_core::event::{Event, Reply};
use coordinator_core::narrate::Subject;
use coordinator_core::trust::{Asked, Refusal};
use futures_util::Stream;
use model::id::{NodeId, ServiceId};
use model::node::Availability;
use proto::convert::steering_from_wire;
use proto::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use trust::Name;

use crate::Shared;
use crate::api::access::{by, caller};
use crate::api::enrolment::refused;
use crate::api::{accepted, deploy, drain, explain, job, relay, status, views};
use crate::audit::By;
use crate::published::Happened;

/// Answers that wait for a slow reader.
const QUEUE: usize = 64;

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl wire::control_server::Control for Control {
    type EventsStream = Answers<wire::Occurrence>;
    type LogsStream = Answers<wire::LogChunk>;
    type ExecStream = Answers<wire::ExecOutput>;

    async fn deploy(
        &self,
        request: Request<wire::DeployRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let who = (caller(&request)?, by(&request)?);
        deploy::deploy(&self.shared, &who, request.into_inner()).await.map(Response::new)
    }

    async fn scale(
        &self,
        request: Request<wire::ScaleRequest>,
    ) -> Result<Response<wire::Accepted>, Status> {
        let (caller, by) = (caller(&request)?, by(&request)?);
        let request = request.into_inner();
        let (service, replicas) = (service_id(request.service)?, request.replicas);
        caller.may_change(std::slice::from_ref(&service))?;
        if request.dry_run {
            let planned = Some(deploy::plan_scale(&self.shared, &service, replicas)?);
            return Ok(Response::new(wire::Accepted { generation: 0, planned }));
        }
        self.change(by, Event::Scale { service, replicas }).await
    }

    async fn restart(
        &self,
        request: Request<wire::RestartRequest>,
    ) -> Result<Response<wire::Accepted>, Status> {
        let (caller, by) = (caller(&request)?, by(&request)?);
        let service = service_id(request.into_inner().service)?;
        caller.may_change(std::slice::from_ref(&service))?;
        self.change(by, Event::Restart(service)).await
    }

    async fn rollback(
        &self,
        request: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::Accepted>, Status> {
        let (caller, by) = (caller(&request)?, by(&request)?);
        let request = request.into_inner();
        let service = service_id(request.service)?;
        caller.may_change(std::slice::from_ref(&service))?;
        self.change(by, Event::Rollback { service, to: request.to }).await
    }

    async fn steer(
        &self,
        request: Request<wire::SteerRequest>,
    ) -> Result<Response<wire::Accepted>, Status> {
        let (caller, by) = (caller(&request)?, by(&request)?);
        let request = request.into_inner();
        let steering = steering_from_wire(request.steering())
            .map_err(|invalid| Status::invalid_argument(invalid.to_string()))?;
        let service = service_id(request.service)?;
        caller.may_change(std::slice::from_ref(&service))?;
        self.change(by, Event::Steer { service, steering }).await
    }

    async fn job(
        &self,
        request: Request<wire::JobRequest>,
    ) -> Result<Response<wire::JobResponse>, Status> {
        let who = (caller(&request)?, by(&request)?);
        job::take(&self.shared, &who, request.into_inner()).await.map(Response::new)
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveRequest>,
    ) -> Result<Response<wire::RemoveResponse>, Status> {
        let who = (caller(&request)?, by(&request)?);
        deploy::remove(&self.shared, &who, &request.into_inner()).await.map(Response::new)
    }

    async fn set_availability(
        &self,
        request: Request<wire::SetAvailabilityRequest>,
    ) -> Result<Response<wire::SetAvailabilityResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let node: NodeId =
            request.node.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        let event = match request.availability() {
            wire::Availability::Active => {
                Event::SetAvailability { node, availability: Availability::Active }
            }
            wire::Availability::Cordoned => {
                Event::SetAvailability { node, availability: Availability::Cordoned }
            }
            wire::Availability::Dead => {
                let event = self.forget(node.clone())?;
                self.revoke(by.clone(), node).await?;
                event
            }
            wire::Availability::Unspecified => {
                return Err(Status::invalid_argument("availability is missing"));
            }
        };
        accepted(self.shared.door.ask_by(by, event).await)?;
        Ok(Response::new(wire::SetAvailabilityResponse {}))
    }

    async fn drain(
        &self,
        request: Request<wire::DrainRequest>,
    ) -> Result<Response<wire::DrainResponse>, Status> {
        drain::drain(&self.shared, by(&request)?, request.get_ref()).await.map(Response::new)
    }

    async fn rebalance(
        &self,
        request: Request<wire::RebalanceRequest>,
    ) -> Result<Response<wire::RebalanceResponse>, Status> {
        drain::rebalance(&self.shared, by(&request)?, request.get_ref()).await.map(Response::new)
    }

    async fn list_services(
        &self,
        request: Request<wire::ListServicesRequest>,
    ) -> Result<Response<wire::ListServicesResponse>, Status> {
        views::services(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn list_tasks(
        &self,
        request: Request<wire::ListTasksRequest>,
    ) -> Result<Response<wire::ListTasksResponse>, Status> {
        views::tasks(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn list_nodes(
        &self,
        request: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        views::nodes(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        explain::explain(&self.shared, request.into_inner()).map(Response::new)
    }

    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Ok(Response::new(views::status(&self.shared)))
    }

    async fn events(
        &self,
        request: Request<wire::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(follow(Arc::clone(&self.shared), request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        relay::logs(&self.shared, request.into_inner()).map(Response::new)
    }

    async fn exec(
        &self,
        request: Request<Streaming<wire::ExecInput>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let who = (caller(&request)?, by(&request)?);
        relay::exec(&self.shared, &who, request.into_inner()).await.map(Response::new)
    }
}

impl Control {
    async fn change(&self, by: By, event: Event) -> Result<Response<wire::Accepted>, Status> {
        match accepted(self.shared.door.ask_by(by, event).await)? {
            Reply::Accepted { generation } => {
                Ok(Response::new(wire::Accepted { generation, planned: None }))
            }
            reply @ (Reply::Noted
            | Reply::Run { .. }
            | Reply::Baking(_)
            | Reply::SecretSet(_)
            | Reply::Deployed(_)
            | Reply::Refused(_)) => {
                Err(Status::internal(format!("an answer that does not belong here: {reply:?}")))
            }
        }
    }

    /// A machine that is gone for good does not come back: whoever has its disk has a certificate that counts for nothing.
    async fn revoke(&self, by: By, node: NodeId) -> Result<(), Status> {
        let asked = Asked::Revoke(node.clone());
        let decided = self.shared.door.trust(asked, Some(by)).await;
        match decided.map_err(|error| status(&error))? {
            // One that never had a certificate has nothing that could be revoked.
            Ok(()) | Err(Refusal::NoNode(_)) => {}
            Err(refusal) => return Err(refused(&refusal)),
        }
        if let Some(trusted) = &self.shared.trusted {
            trusted.connections.cut(&Name::Node(node));
        }
        Ok(())
    }

    /// A node that is connected is not gone, whatever an operator says.
    fn forget(&self, node: NodeId) -> Result<Event, Status> {
        if self.shared.sessions.agent(&node).is_some() {
            return Err(Status::failed_precondition(format!(
                "the agent of {node} is connected: stop it first; its containers would go on without anybody knowing"
            )));
        }
        let is_known = self.shared.published.read().cluster.nodes().contains_key(&node);
        if is_known {
            Ok(Event::Died(node))
        } else {
            Err(Status::not_found(format!("there is no node {node}")))
        }
    }
}

pub(crate) fn service_id(from: Option<wire::ServiceRef>) -> Result<ServiceId, Status> {
    let from = from.ok_or_else(|| Status::invalid_argument("the service is not named"))?;
    let invalid = |error: model::id::NameError| Status::invalid_argument(error.to_string());
    let project = from.project.parse().map_err(invalid)?;
    Ok(ServiceId { project, name: from.name.parse().map_err(invalid)? })
}

async fn follow(
    shared: Arc<Shared>,
    request: wire::EventsRequest,
    sender: mpsc::Sender<Result<wire::Occurrence, Status>>,
) {
    let mut newest = shared.published.follow();
    let mut happened = shared.published.read().occurrences_after(0);
    happened.retain(|one| is_meant(one, &request));
    let tail = request.tail.map_or(happened.len(), |tail| tail as usize);
    let mut told = happened.last().map_or(0, |last| last.sequence);
    happened.drain(..happened.len().saturating_sub(tail));
    loop {
        for one in &happened {
            if sender.send(Ok(to_wire(one))).await.is_err() {
                return;
            }
        }
        if !request.follow {
            return;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
        happened = shared.published.read().occurrences_after(told);
        told = happened.last().map_or(told, |last| last.sequence);
        happened.retain(|one| is_meant(one, &request));
    }
}

fn is_meant(happened: &Happened, request: &wire::EventsRequest) -> bool {
    let service = match &happened.occurrence.subject {
        Subject::Service(service) | Subject::Task(_, service) => Some(service),
        Subject::Node(_)
        | Subject::Pool(_)
        | Subject::Pools
        | Subject::Bake(_)
        | Subject::Ami(_)
        | Subject::Recipe(_)
        | Subject::Secret(_) => None,
    };
    let project = service.map_or("", |service| service.project.as_str());
    let name = service.map_or("", |service| service.name.as_str());
    (request.project.is_empty() || request.project == project)
        && (request.service.is_empty() || request.service == name)
}

fn to_wire(happened: &Happened) -> wire::Occurrence {
    let (kind, id, service) = match &happened.occurrence.subject {
        Subject::Service(service) => ("service", service.to_string(), Some(service)),
        Subject::Task(task, service) => ("task", task.to_string(), Some(service)),
        Subject::Node(node) => ("node", node.to_string(), None),
        Subject::Pool(name) => ("pool", name.clone(), None),
        Subject::Pools => ("pool", "all pools".to_owned(), None),
        Subject::Bake(id) => ("bake", id.to_string(), None),
        Subject::Ami(id) => ("ami", id.to_string(), None),
        Subject::Recipe(name) => ("recipe", name.to_string(), None),
        Subject::Secret(name) => ("secret", name.to_string(), None),
    };
    wire::Occurrence {
        sequence: happened.sequence,
        at_ms: happened.at.as_millis(),
        kind: kind.to_owned(),
        id,
        project: service.map(|service| service.project.to_string()).unwrap_or_default(),
        service: service.map(|service| service.name.to_string()).unwrap_or_default(),
        message: happened.occurrence.message.clone(),
    }
}
