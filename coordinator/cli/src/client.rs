//! The connection to the coordinator.

use std::time::Duration;

use proto::MESSAGE_LIMIT;
use proto::wire;
use proto::wire::bakes_client::BakesClient;
use proto::wire::control_client::ControlClient;
use proto::wire::fleet_client::FleetClient;
use proto::wire::refreshes_client::RefreshesClient;
use proto::wire::releases_client::ReleasesClient;
use proto::wire::secrets_client::SecretsClient;
use proto::wire::trust_client::TrustClient;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use trust::transport::Dial;

use crate::args::Global;
use crate::context;
use crate::exit::from_status;

/// A call that answers once does so within this time: a deployment may have to ask a registry.
const UNARY: Duration = Duration::from_secs(60);

/// The coordinator's services for operators and administrators.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) control: ControlClient<Reasoned>,
    pub(crate) trust: TrustClient<Reasoned>,
    pub(crate) fleet: FleetClient<Reasoned>,
    pub(crate) refreshes: RefreshesClient<Reasoned>,
    pub(crate) releases: ReleasesClient<Reasoned>,
    pub(crate) secrets: SecretsClient<Reasoned>,
    pub(crate) bakes: BakesClient<Reasoned>,
}

/// A connection over which every request says why it is made.
type Reasoned = InterceptedService<Channel, Why>;

/// The reason that an operator gave, if they gave one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Why(Option<String>);

impl Interceptor for Why {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(why) = &self.0 {
            let value = MetadataValue::from_bytes(why.as_bytes());
            request.metadata_mut().insert_bin(proto::REASON, value);
        }
        Ok(request)
    }
}

impl Client {
    /// Finds out where the coordinator is. It is dialled by the first call.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        Self::saying(&context::choose(global)?.dial, Why(global.why.clone()))
    }

    pub(crate) fn at(dial: &Dial) -> anyhow::Result<Self> {
        Self::saying(dial, Why::default())
    }

    fn saying(dial: &Dial, why: Why) -> anyhow::Result<Self> {
        let channel = dial.channel()?;
        let control = ControlClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let trust = TrustClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT);
        let fleet = FleetClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT);
        let refreshes = RefreshesClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT);
        let releases = ReleasesClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let secrets = SecretsClient::with_interceptor(channel.clone(), why.clone())
            .max_decoding_message_size(MESSAGE_LIMIT);
        let bakes = BakesClient::with_interceptor(channel, why)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        Ok(Self { control, trust, fleet, refreshes, releases, secrets, bakes })
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
