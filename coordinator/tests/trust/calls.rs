//! Who may call what, over the wire: every call of the descriptors, by everybody.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes};
use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::dispatcher_client::DispatcherClient;
use proto::wire::trust_client::TrustClient;
use tokio_stream::StreamExt;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use trust::tls::Client;

use crate::world::{SOON, Session, World, machine};

/// Messages as they are.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Sends one empty message, and gives what the first answer is.
async fn call(channel: &Channel, path: &str) -> Code {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let called = async {
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let request = Request::new(tokio_stream::once(Bytes::new()));
        let answer = client.streaming(request, path.parse().unwrap(), Raw).await?;
        // To follow something has no end: that it has begun is enough.
        let mut answers = answer.into_inner();
        let first = tokio::time::timeout(std::time::Duration::from_millis(300), answers.next());
        first.await.ok().flatten().transpose()
    };
    match tokio::time::timeout(SOON, called).await.expect("it hangs") {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

fn described() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let mut calls = BTreeSet::new();
    for file in &files {
        for service in &file.service {
            let name = |method: &prost_types::MethodDescriptorProto| {
                format!("/{}.{}/{}", file.package(), service.name(), method.name())
            };
            calls.extend(service.method.iter().map(name));
        }
    }
    calls
}

/// What each of a service's calls needs, told by another hand than the coordinator's table: V look, D change, O operate,
/// A administer, N node, S nobody.
fn meant(path: &str) -> char {
    let (service, call) = path.rsplit_once('/').unwrap();
    match (service, call) {
        ("/wharf.v1.Enrolment", "Join" | "Challenge") => 'S',
        ("/wharf.v1.Enrolment" | "/wharf.v1.Dispatcher", _) => 'N',
        ("/wharf.v1.Fleet", "ListPools" | "PlanPool")
        | ("/wharf.v1.Refreshes", "ListRefreshes" | "ListDrift") => 'V',
        ("/wharf.v1.Refreshes", _) | ("/wharf.v1.Releases", "GoBack") => 'O',
        ("/wharf.v1.Releases", _) => 'V',
        ("/wharf.v1.Bakes", "ListBakes" | "ListAmis" | "ListRecipes") => 'V',
        ("/wharf.v1.Bakes", "BakeLogs") => 'O',
        ("/wharf.v1.Secrets", "ListSecrets") | ("/wharf.v1.Trust", "GetImagePolicy") => 'V',
        ("/wharf.v1.Secrets", _) => 'O',
        ("/wharf.v1.Trust" | "/wharf.v1.Fleet" | "/wharf.v1.Bakes", _) => 'A',
        ("/wharf.v1.Control", "SetAvailability" | "Drain" | "Rebalance") => 'O',
        ("/wharf.v1.Control", "Explain" | "GetStatus" | "Events" | "Logs") => 'V',
        ("/wharf.v1.Control", call) if call.starts_with("List") => 'V',
        ("/wharf.v1.Control", _) => 'D',
        _ => panic!("nobody has thought of {path}"),
    }
}

#[tokio::test]
async fn f31_f32_every_call_is_refused_to_everybody_whom_it_is_not_meant_for() {
    use wire::OperatorRole as Role;
    let world = World::start().await;
    let node = world.node("n1").await;
    let stranger = Client::pinned(world.token().await.authority).unwrap();
    let mut everybody = vec![
        ("a stranger", "S", world.dial(stranger)),
        ("a node", "N", world.channel(&node)),
        ("root of the machine", "VDOA", world.local()),
    ];
    for (name, may, role, services) in [
        ("viewer", "V", Role::Viewer, &[][..]),
        ("deployer", "VD", Role::Deployer, &["shop/*"][..]),
        ("operator", "VDO", Role::Operator, &[][..]),
        ("admin", "VDOA", Role::Admin, &[][..]),
    ] {
        let bundle = world.operator(name, role, services).await;
        everybody.push((name, may, world.channel(&bundle)));
    }
    let mut asked = 0;
    for path in described() {
        for (name, may, channel) in &everybody {
            let code = call(channel, &path).await;
            // What is not there for strangers is not there.
            let is_refused = matches!(
                code,
                Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
            ) && !(path.ends_with("Enrolment/Join")
                && code == Code::Unauthenticated);
            assert_eq!(!is_refused, may.contains(meant(&path)), "{name} calls {path}: {code:?}");
            asked += 1;
        }
    }
    assert!(asked > 180, "only {asked}");
}

pub(crate) fn service(project: &str, name: &str) -> Option<wire::ServiceRef> {
    Some(wire::ServiceRef { project: project.to_owned(), name: name.to_owned() })
}

/// A service that no registry and no node has to be asked about.
pub(crate) fn spec(project: &str, name: &str) -> wire::ServiceSpec {
    let image = wire::Image {
        reference: "bench:1".to_owned(),
        pin: Some(wire::image::Pin::Manifest(format!("sha256:{}", "ab".repeat(32)))),
    };
    let container = wire::ContainerSpec {
        name: "app".to_owned(),
        image: Some(image),
        process: Some(wire::ProcessSpec::default()),
        security: Some(wire::SecuritySpec::default()),
        stop_grace_ms: 10_000,
        ..wire::ContainerSpec::default()
    };
    let kind = Some(wire::network::Kind::None(wire::NoNetwork {}));
    let task = wire::TaskSpec {
        containers: vec![container],
        network: Some(wire::Network { kind }),
        restart: Some(wire::RestartPolicy {
            condition: wire::RestartCondition::Any.into(),
            max_attempts: None,
            delay_ms: 10_000,
        }),
        ..wire::TaskSpec::default()
    };
    wire::ServiceSpec {
        project: project.to_owned(),
        name: name.to_owned(),
        mode: Some(wire::service_spec::Mode::Replicated(wire::Replicated { replicas: 1 })),
        task: Some(task),
        update: Some(wire::UpdatePolicy {
            parallelism: 1,
            order: wire::UpdateOrder::Auto.into(),
            monitor_ms: 5_000,
            on_failure: wire::FailureAction::Rollback.into(),
            progress_deadline_ms: 600_000,
            ..wire::UpdatePolicy::default()
        }),
        ..wire::ServiceSpec::default()
    }
}

async fn exec(control: &mut ControlClient<Channel>, task: &str) -> Code {
    let start = wire::ExecSource {
        task: task.to_owned(),
        command: vec!["true".to_owned()],
        ..wire::ExecSource::default()
    };
    let start = wire::ExecInput { message: Some(wire::exec_input::Message::Start(start)) };
    control.exec(tokio_stream::once(start)).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Everything that a deployer can do to a service, and what comes of it.
async fn everything(channel: Channel, project: &str) -> Vec<(&'static str, Code)> {
    fn code<T>(answer: Result<T, Status>) -> Code {
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }
    let mut control = ControlClient::new(channel);
    let tasks = control.list_tasks(wire::ListTasksRequest::default()).await.unwrap().into_inner();
    let task = tasks.tasks.into_iter().filter_map(|view| view.task);
    let task = task.filter(|task| task.project == project).map(|task| task.id).next().unwrap();
    let service = service(project, "web");
    let request = wire::DeployRequest {
        services: vec![spec("shop", "web"), spec(project, "web")],
        ..Default::default()
    };
    let dry = wire::DeployRequest { dry_run: true, ..request.clone() };
    let prune =
        wire::DeployRequest { prune: true, project: project.to_owned(), ..Default::default() };
    let scale = wire::ScaleRequest { service: service.clone(), replicas: 2, dry_run: false };
    let dry_scale = wire::ScaleRequest { dry_run: true, ..scale.clone() };
    let steer =
        wire::SteerRequest { service: service.clone(), steering: wire::Steering::Pause.into() };
    let order = wire::JobOrder::Run.into();
    let whole = wire::RemoveRequest { project: project.to_owned(), services: Vec::new() };
    let one = wire::RemoveRequest { services: vec!["web".to_owned()], ..whole.clone() };
    let service = || service.clone();
    vec![
        ("exec", exec(&mut control, &task).await),
        ("deploy", code(control.deploy(request).await)),
        ("plan", code(control.deploy(dry).await)),
        ("scale", code(control.scale(scale).await)),
        ("scale --plan", code(control.scale(dry_scale).await)),
        ("restart", code(control.restart(wire::RestartRequest { service: service() }).await)),
        ("steer", code(control.steer(steer).await)),
        ("job", code(control.job(wire::JobRequest { service: service(), order }).await)),
        (
            "rollback",
            code(control.rollback(wire::RollbackRequest { service: service(), to: None }).await),
        ),
        ("remove", code(control.remove(one).await)),
        ("remove all", code(control.remove(whole).await)),
        ("prune", code(control.deploy(prune).await)),
    ]
}

#[tokio::test]
async fn a_deployer_does_everything_to_their_services_and_nothing_to_others() {
    let world = World::start().await;
    let mut control = ControlClient::new(world.local());
    for project in ["shop", "shop2"] {
        let services = vec![spec(project, "web")];
        let request = wire::DeployRequest { services, ..Default::default() };
        let _done = control.deploy(request).await.unwrap();
    }
    let revision = || async {
        let mut control = ControlClient::new(world.local());
        control.get_status(wire::GetStatusRequest {}).await.unwrap().into_inner().revision
    };
    let role = wire::OperatorRole::Deployer;
    let bundle = world.operator("kim", role, &["shop/*"]).await;
    let before = revision().await;
    for (what, code) in everything(world.channel(&bundle), "shop2").await {
        assert_eq!(code, Code::PermissionDenied, "{what} of a service of others");
    }
    assert_eq!(revision().await, before, "nothing was changed");
    for (what, code) in everything(world.channel(&bundle), "shop").await {
        assert_ne!(code, Code::PermissionDenied, "{what} of a service of theirs");
    }
    assert_ne!(revision().await, before);
}

#[tokio::test]
async fn f31_a_node_with_a_certificate_is_that_node_and_no_other() {
    let world = World::start().await;
    let (one, other) = (world.node("n1").await, world.node("n2").await);
    let denied = Session::open(world.channel(&one), machine("n2")).await.err().unwrap();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("n1") && denied.message().contains("n2"), "{denied:?}");
    // Nor once it is in a session of its own.
    let mut session = Session::open(world.channel(&one), machine("n1")).await.unwrap();
    let victim = Session::open(world.channel(&other), machine("n2")).await.unwrap();
    let hello = wire::agent_message::Message::Hello(crate::world::hello(machine("n2")));
    session.outbox.send(wire::AgentMessage { message: Some(hello) }).await.unwrap();
    let ended = async { while let Ok(Some(_)) = session.incoming.message().await {} };
    tokio::time::timeout(SOON, ended).await.expect("the liar's session ends");
    assert!(!victim.outbox.is_closed());
    // A stream that was asked of another node is not there for it, nor one that nobody has asked for.
    let first = wire::RelayUp { message: Some(wire::relay_up::Message::Relay(1)) };
    let mut client = DispatcherClient::new(world.channel(&one));
    let code = client.relay(tokio_stream::once(first)).await.err().unwrap().code();
    assert_eq!(code, Code::NotFound);
}

/// Asked of an agent, what an image is decides what runs.
#[tokio::test]
async fn t4_a_node_does_not_answer_for_another_what_an_image_is() {
    use wire::agent_message::Message as Up;
    use wire::coordinator_message::Message as Down;
    let world = World::start().await;
    let (asked, liar) = (world.node("n1").await, world.node("n2").await);
    let mut asked = Session::open(world.channel(&asked), machine("n1")).await.unwrap();
    let ready = wire::Heartbeat { engine_ready: true, ..Default::default() };
    let message = Some(Up::Heartbeat(ready));
    asked.outbox.send(wire::AgentMessage { message }).await.unwrap();
    let mut service = spec("shop", "web");
    service.task.as_mut().unwrap().containers[0].image.as_mut().unwrap().pin = None;
    let channel = world.local();
    let deploying = tokio::spawn(async move {
        let request = wire::DeployRequest { services: vec![service], ..Default::default() };
        ControlClient::new(channel).deploy(request).await.map(tonic::Response::into_inner)
    });
    let request = loop {
        let message = asked.incoming.message().await.unwrap().unwrap().message;
        if let Some(Down::Resolve(resolve)) = message {
            break resolve.request;
        }
    };
    let answer = |digit: &str| {
        let pin = Some(wire::image::Pin::Manifest(format!("sha256:{}", digit.repeat(64))));
        let image = wire::Image { reference: "bench:1".to_owned(), pin };
        let answer = Some(wire::resolved::Answer::Image(image));
        wire::AgentMessage { message: Some(Up::Resolved(wire::Resolved { request, answer })) }
    };
    let liar = Session::open(world.channel(&liar), machine("n2")).await.unwrap();
    for _ in 0..3 {
        liar.outbox.send(answer("e")).await.unwrap();
    }
    // The lie has been heard when the coordinator answers the next thing that its sender says.
    let mut again = liar;
    let hello = Up::Hello(crate::world::hello(machine("n1")));
    again.outbox.send(wire::AgentMessage { message: Some(hello) }).await.unwrap();
    while let Ok(Some(_)) = again.incoming.message().await {}
    asked.outbox.send(answer("a")).await.unwrap();
    let deployed = deploying.await.unwrap().unwrap();
    let pins: Vec<_> = deployed.services[0].images.iter().map(|image| image.pin.clone()).collect();
    let honest = wire::image::Pin::Manifest(format!("sha256:{}", "a".repeat(64)));
    assert_eq!(pins, [Some(honest)]);
}

#[tokio::test]
async fn an_operator_who_is_removed_is_cut_off_at_once() {
    let world = World::start().await;
    let bundle = world.operator("kim", wire::OperatorRole::Admin, &[]).await;
    let channel = world.channel(&bundle);
    let follow = wire::EventsRequest { follow: true, ..Default::default() };
    let followed = ControlClient::new(channel.clone()).events(follow).await.unwrap();
    let remove = wire::RemoveOperatorRequest { name: "kim".to_owned() };
    world.admin().remove_operator(remove).await.unwrap();
    let mut followed = followed.into_inner();
    let ended = async { while let Ok(Some(_)) = followed.message().await {} };
    tokio::time::timeout(SOON, ended).await.expect("what they follow ends");
    let denied = TrustClient::new(channel).list_tokens(wire::ListTokensRequest {}).await;
    let denied = denied.unwrap_err();
    assert_eq!(denied.code(), Code::Unauthenticated);
    assert!(denied.metadata().get(proto::HINT).is_some());
}

/// Nomad took an empty policy for all of them (CVE-2023-1299).
#[tokio::test]
async fn a_role_that_says_nothing_is_no_role() {
    let world = World::start().await;
    let key = trust::key::Key::generate().unwrap();
    for (role, services) in [
        (wire::OperatorRole::Unspecified, vec![]),
        (wire::OperatorRole::Deployer, vec![]),
        (wire::OperatorRole::Deployer, vec!["*".to_owned()]),
        (wire::OperatorRole::Viewer, vec!["shop/*".to_owned()]),
    ] {
        let request = wire::AddOperatorRequest {
            name: "kim".to_owned(),
            role: role.into(),
            services: services.clone(),
            valid_ms: 60_000,
            request: key.request().unwrap(),
        };
        let refused = world.admin().add_operator(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{role:?} {services:?}");
    }
}
