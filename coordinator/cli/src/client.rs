//! The connection to the coordinator.

use std::time::Duration;

use proto::MESSAGE_LIMIT;
use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::fleet_client::FleetClient;
use proto::wire::trust_client::TrustClient;
use tonic::Request;
use tonic::transport::Channel;
use trust::transport::Dial;

use crate::args::Global;
use crate::context;
use crate::exit::from_status;

/// A call that answers once does so within this time: a deployment may have to ask a registry.
const UNARY: Duration = Duration::from_secs(60);

/// The coordinator's services for operators and administrators.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) control: ControlClient<Channel>,
    pub(crate) trust: TrustClient<Channel>,
    pub(crate) fleet: FleetClient<Channel>,
}

impl Client {
    /// Finds out where the coordinator is. It is dialled by the first call.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        Self::at(&context::choose(global)?.dial)
    }

    pub(crate) fn at(dial: &Dial) -> anyhow::Result<Self> {
        let channel = dial.channel()?;
        let control = ControlClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let fleet = FleetClient::new(channel.clone());
        Ok(Self {
            control,
            trust: TrustClient::new(channel),
            fleet: fleet.max_decoding_message_size(MESSAGE_LIMIT),
        })
    }

    pub(crate) async fn services(&self, project: &str) -> anyhow::Result<Vec<wire::ServiceView>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = unary(wire::ListServicesRequest { project: project.to_owned(), after });
            let page = self.control.clone().list_services(request).await;
            let page = page.map_err(|status| from_status(&status))?.into_inner();
            all.extend(page.services);
            after = page.next;
            if after.is_empty() {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn tasks(&self, ended: bool) -> anyhow::Result<Vec<wire::TaskView>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = wire::ListTasksRequest { all: ended, after, ..Default::default() };
            let page = self.control.clone().list_tasks(unary(request)).await;
            let page = page.map_err(|status| from_status(&status))?.into_inner();
            all.extend(page.tasks);
            after = page.next;
            if after.is_empty() {
                // They come in the order in which they were made.
                all.sort_by_cached_key(place);
                return Ok(all);
            }
        }
    }

    pub(crate) async fn nodes(&self) -> anyhow::Result<Vec<wire::NodeView>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = unary(wire::ListNodesRequest { after });
            let page = self.control.clone().list_nodes(request).await;
            let page = page.map_err(|status| from_status(&status))?.into_inner();
            all.extend(page.nodes);
            after = page.next;
            if after.is_empty() {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn deploy(
        &self,
        request: wire::DeployRequest,
    ) -> anyhow::Result<wire::DeployResponse> {
        let answer = self.control.clone().deploy(unary(request)).await;
        Ok(answer.map_err(|status| from_status(&status))?.into_inner())
    }

    pub(crate) async fn remove(
        &self,
        request: wire::RemoveRequest,
    ) -> anyhow::Result<wire::RemoveResponse> {
        let answer = self.control.clone().remove(unary(request)).await;
        Ok(answer.map_err(|status| from_status(&status))?.into_inner())
    }
}

/// A request with a deadline.
pub(crate) fn unary<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(UNARY);
    request
}

/// By service and slot; what is in a slot stays in its order.
fn place(view: &wire::TaskView) -> Option<(String, String, u64, u32, String)> {
    use wire::slot::Kind;
    let task = view.task.as_ref()?;
    let (run, replica, node) = match task.slot.as_ref()?.kind.as_ref()? {
        Kind::Replica(number) => (0, *number, String::new()),
        Kind::Node(node) => (0, 0, node.clone()),
        Kind::RunReplica(slot) => (slot.run, slot.number, String::new()),
        Kind::RunNode(slot) => (slot.run, 0, slot.node.clone()),
    };
    Some((task.project.clone(), task.service.clone(), run, replica, node))
}
