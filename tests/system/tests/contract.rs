//! What the coordinator answers to agents and operators on the wire: who speaks here has no engine and no manners.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use model::id::TaskId;
use prost::Message;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::control_client::ControlClient;
use proto::wire::coordinator_message::Message as Down;
use system_tests::puppet::{self, Puppet, pinned_service};
use system_tests::{Cluster, Options, Protection, SOON};
use tokio_stream::StreamExt;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

fn alone() -> Cluster {
    // What is said, whoever says it: who may say it is tested with the coordinator.
    let protection = Protection::None;
    Cluster::with(Options { nodes: 0, protection, ..Options::default() })
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it hangs")
}

async fn deploy(channel: &Channel, spec: wire::ServiceSpec) -> Result<(), Status> {
    let request = wire::DeployRequest { services: vec![spec], ..wire::DeployRequest::default() };
    ControlClient::new(channel.clone()).deploy(request).await.map(drop)
}

async fn status(channel: &Channel) -> wire::GetStatusResponse {
    let mut control = ControlClient::new(channel.clone());
    soon(control.get_status(wire::GetStatusRequest {})).await.unwrap().into_inner()
}

fn orphan(task: &str) -> wire::Orphan {
    wire::Orphan { task: task.to_owned(), container_id: task.to_owned(), name: task.to_owned() }
}

/// The first task that the agent is told to run.
async fn first_task(agent: &mut Puppet) -> String {
    loop {
        let said = agent.assignments().await.unwrap();
        if let Some(task) = said.tasks.first() {
            return task.assignment.clone().unwrap().task;
        }
    }
}

#[tokio::test]
async fn r3_a_container_of_a_service_that_the_store_does_not_know_is_not_disowned() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let mut agent = Puppet::join(channel.clone(), puppet::node("n1")).await.unwrap();
    deploy(&channel, pinned_service("app", 1)).await.unwrap();
    let ours = soon(first_task(&mut agent)).await;
    let report = wire::Report {
        orphans: vec![orphan("lost.web.1.7"), orphan("bench.app.1.7"), orphan(&ours)],
        engine_ready: true,
        ..wire::Report::default()
    };
    agent.say(Up::Report(report)).await.unwrap();
    let disowned = loop {
        if let Down::RemoveOrphans(orphans) = soon(agent.hear()).await.unwrap() {
            break orphans.container_ids;
        }
    };
    assert_eq!(disowned, ["bench.app.1.7"]);
}

#[tokio::test]
async fn r2_what_a_node_is_told_is_complete_and_its_fence_never_falls() {
    let mut cluster = alone();
    let channel = puppet::channel(&cluster.address);
    deploy(&channel, pinned_service("app", 1)).await.unwrap();
    let mut agent = Puppet::join(channel.clone(), puppet::node("n1")).await.unwrap();
    let mut last = wire::Fence::default();
    for replicas in 2..=6 {
        deploy(&channel, pinned_service("app", replicas)).await.unwrap();
        while soon(told(&mut agent, &mut last)).await < replicas as usize {}
    }
    drop(agent);
    cluster.kill_coordinator();
    cluster.start_coordinator();
    let channel = puppet::channel(&cluster.address);
    let mut agent = Puppet::join(channel.clone(), puppet::node("n1")).await.unwrap();
    assert_eq!(soon(told(&mut agent, &mut last)).await, 6, "all of them, to a new session");
}

/// Takes in the next assignments, and gives how many tasks are to run.
async fn told(agent: &mut Puppet, last: &mut wire::Fence) -> usize {
    let said = agent.assignments().await.unwrap();
    let fence = said.fence.unwrap();
    let order = |fence: &wire::Fence| (fence.incarnation, fence.epoch, fence.revision);
    assert!(order(&fence) >= order(last), "{fence:?} after {last:?}");
    *last = fence;
    let runs = |task: &&wire::AssignedTask| {
        let assignment = task.assignment.as_ref().unwrap();
        assignment.desired() == wire::Desired::Run
    };
    said.tasks.iter().filter(runs).count()
}

#[tokio::test]
async fn an_agent_speaks_only_for_its_own_node() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let mut owner = Puppet::join(channel.clone(), puppet::node("n1")).await.unwrap();
    deploy(&channel, pinned_service("app", 1)).await.unwrap();
    let task = soon(first_task(&mut owner)).await;
    let liar = Puppet::join(channel.clone(), puppet::node("n2")).await.unwrap();
    let completed = wire::task_state::Kind::Completed(wire::Completed {});
    let lie = wire::TaskReport {
        task: task.clone(),
        state: Some(wire::TaskState { kind: Some(completed) }),
        ..wire::TaskReport::default()
    };
    let report = wire::Report { tasks: vec![lie], engine_ready: true, ..wire::Report::default() };
    liar.say(Up::Report(report)).await.unwrap();
    // A second session of the same node is answered after the report of the first was heard.
    let mut after = Puppet::join(channel.clone(), puppet::node("n2")).await.unwrap();
    let _told = soon(after.assignments()).await.unwrap();
    let mut control = ControlClient::new(channel);
    let request = wire::ListTasksRequest { all: true, ..wire::ListTasksRequest::default() };
    let tasks = control.list_tasks(request).await.unwrap().into_inner().tasks;
    let state = tasks[0].task.clone().unwrap().state.unwrap().kind.unwrap();
    assert!(matches!(state, wire::task_state::Kind::Assigned(_)), "{state:?}");
}

#[tokio::test]
async fn a_session_that_does_not_begin_with_a_sound_hello_is_turned_away() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let foreign = wire::Hello {
        node: Some(puppet::node("n1")),
        cluster: Some("another".to_owned()),
        ..wire::Hello::default()
    };
    let nul = wire::Node { id: "n\0".to_owned(), ..puppet::node("n1") };
    let first = [
        (puppet::heartbeat(), Code::InvalidArgument, "Hello"),
        (Up::Report(wire::Report::default()), Code::InvalidArgument, "Hello"),
        (Up::Hello(wire::Hello::default()), Code::InvalidArgument, "node"),
        (puppet::hello(nul), Code::InvalidArgument, "id"),
        (Up::Hello(foreign), Code::FailedPrecondition, "another"),
    ];
    for (first, code, about) in first {
        let shown = format!("{first:?}");
        let refused = soon(Puppet::open(channel.clone(), first)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{shown}: {refused:?}");
        assert!(refused.message().contains(about), "{shown}: {refused:?}");
    }
    assert_eq!(status(&channel).await.nodes_by_state.len(), 0);
}

#[tokio::test]
async fn a_specification_that_can_not_be_is_refused_and_changes_nothing() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let revision = status(&channel).await.revision;
    type Spoil = (&'static str, fn(&mut wire::ServiceSpec));
    let spoils: &[Spoil] = &[
        ("replicas", |spec| {
            let replicas = wire::Replicated { replicas: 1_000_000_000 };
            spec.mode = Some(wire::service_spec::Mode::Replicated(replicas));
        }),
        ("mode", |spec| spec.mode = None),
        ("name", |spec| spec.name = "a\0b".to_owned()),
        ("name", |spec| spec.name = "a".repeat(100_000)),
        ("project", |spec| spec.project = "\u{202e}evil".to_owned()),
        ("project", |spec| spec.project = String::new()),
        ("container", |spec| spec.task.as_mut().unwrap().containers.clear()),
        ("task", |spec| spec.task = None),
        ("image", |spec| {
            spec.task.as_mut().unwrap().containers[0].image = None;
        }),
        ("reference", |spec| {
            let image = spec.task.as_mut().unwrap().containers[0].image.as_mut();
            image.unwrap().reference = "UPPER/case:".to_owned();
        }),
    ];
    for (about, spoil) in spoils {
        let mut spec = pinned_service("app", 1);
        spoil(&mut spec);
        let refused = soon(deploy(&channel, spec)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{about}: {refused:?}");
        let said = refused.message();
        assert!(said.contains(about) && said.len() < 2_000, "{about}: {said}");
    }
    assert_eq!(status(&channel).await.revision, revision, "nothing was written");
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_the_next_one_is_answered() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let mut spec = pinned_service("app", 1);
    let file = wire::FileSpec { content: vec![0; 17 << 20], ..wire::FileSpec::default() };
    spec.task.as_mut().unwrap().containers[0].files.push(file);
    let refused = soon(deploy(&channel, spec)).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
    soon(deploy(&channel, pinned_service("app", 1))).await.unwrap();
}

#[tokio::test]
async fn lists_stay_short_however_much_is_in_the_files_of_services() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    for name in ["one", "two", "three"] {
        for version in 1..=2 {
            let mut spec = pinned_service(name, 200);
            let file = wire::FileSpec {
                target: "/etc/large".to_owned(),
                content: vec![version; 450 << 10],
                mode: 0o444,
                ..wire::FileSpec::default()
            };
            spec.task.as_mut().unwrap().containers[0].files.push(file);
            soon(deploy(&channel, spec)).await.unwrap();
        }
    }
    let mut control = ControlClient::new(channel.clone());
    let services = control.list_services(wire::ListServicesRequest::default()).await.unwrap();
    let services = services.into_inner();
    assert_eq!(services.services.len(), 3);
    assert!(services.encoded_len() < 100_000, "{} bytes", services.encoded_len());
    let request = wire::ListTasksRequest { all: true, ..wire::ListTasksRequest::default() };
    let tasks = control.list_tasks(request).await.unwrap().into_inner();
    assert!(tasks.tasks.len() >= 600, "{}", tasks.tasks.len());
    let each = tasks.encoded_len() / tasks.tasks.len();
    assert!(each < 400, "{each} bytes for a task");
    let image = &tasks.tasks[0].task.as_ref().unwrap().generation.as_ref().unwrap().spec;
    let image = image.as_ref().unwrap().task.as_ref().unwrap().containers[0].image.as_ref();
    assert_eq!(image.unwrap().reference, "bench:1");
}

/// Every task there is, and in how many pages they came.
async fn all_tasks(channel: &Channel) -> (Vec<String>, usize) {
    let mut control = ControlClient::new(channel.clone());
    let (mut ids, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let request = wire::ListTasksRequest { after, ..wire::ListTasksRequest::default() };
        let page = soon(control.list_tasks(request)).await.unwrap().into_inner();
        ids.extend(page.tasks.into_iter().map(|view| view.task.unwrap().id));
        pages += 1;
        after = page.next;
        if after.is_empty() {
            return (ids, pages);
        }
    }
}

#[tokio::test]
async fn a_list_that_is_too_long_for_a_message_comes_in_pages() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    for name in ["one", "two"] {
        soon(deploy(&channel, pinned_service(name, 10_000))).await.unwrap();
    }
    // The steps that make them are bounded: the request was answered before the last was made.
    let began = Instant::now();
    let (mut ids, pages) = loop {
        let (ids, pages) = all_tasks(&channel).await;
        if ids.len() >= 20_000 {
            break (ids, pages);
        }
        assert!(began.elapsed() < SOON, "{} tasks", ids.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(pages > 1, "{pages}");
    let known: Vec<TaskId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    assert!(known.is_sorted(), "in the order in which they were made");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20_000);
    assert_eq!(cluster.tasks().len(), 20_000, "the command line asks for every page");
    let mut control = ControlClient::new(channel.clone());
    let request = wire::ListTasksRequest { after: "no id".to_owned(), ..Default::default() };
    let refused = control.list_tasks(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

#[tokio::test]
async fn a_plan_shows_all_of_what_will_take_many_steps() {
    let cluster = alone();
    let mut control = ControlClient::new(puppet::channel(&cluster.address));
    let services = vec![pinned_service("app", 10_000)];
    let request = wire::DeployRequest { services, dry_run: true, ..Default::default() };
    let planned = soon(control.deploy(request)).await.unwrap().into_inner();
    let tasks = &planned.services[0].tasks;
    assert_eq!(tasks.len(), 10_000);
    assert!(tasks.iter().all(|task| task.note.contains("no nodes")), "{:?}", tasks[9_999]);
    assert!(cluster.tasks().is_empty(), "nothing was changed");
}

#[tokio::test]
async fn a_request_whose_time_is_up_ends_and_holds_nothing_up() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let mut control = ControlClient::new(channel.clone());
    // Without an agent the coordinator waits for one that could look up the tag.
    let _gone = Puppet::join(channel.clone(), puppet::node("n1")).await.unwrap();
    let mut spec = pinned_service("app", 1);
    spec.task.as_mut().unwrap().containers[0].image.as_mut().unwrap().pin = None;
    let services = vec![spec];
    let mut request =
        Request::new(wire::DeployRequest { services, ..wire::DeployRequest::default() });
    request.set_timeout(Duration::from_millis(50));
    let ended = soon(control.deploy(request)).await.unwrap_err();
    assert!(matches!(ended.code(), Code::DeadlineExceeded | Code::Cancelled), "{ended:?}");
    soon(deploy(&channel, pinned_service("other", 1))).await.unwrap();
    let request = wire::ListServicesRequest::default();
    let services = control.list_services(request).await.unwrap().into_inner().services;
    assert_eq!(services.len(), 1, "what was given up is not done later: {services:?}");
}

#[tokio::test]
async fn health_and_reflection_name_both_services() {
    let cluster = alone();
    let channel = puppet::channel(&cluster.address);
    for service in ["wharf.v1.Control", "wharf.v1.Dispatcher"] {
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving
        );
    }
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let ask = tonic_reflection::pb::v1::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"wharf.v1.Control") && names.contains(&"wharf.v1.Dispatcher"));
}

/// Sends bytes as they are, whatever the method expects.
#[derive(Debug, Clone, Copy, Default)]
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

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The path of every method of the contract: a new one is tried here without anybody remembering to.
fn methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in files.file {
        for service in &file.service {
            for method in &service.method {
                let (package, service, method) = (file.package(), service.name(), method.name());
                methods.push(format!("/{package}.{service}/{method}"));
            }
        }
    }
    methods
}

#[tokio::test]
async fn no_method_panics_or_hangs_on_bytes_that_mean_nothing() {
    let mut cluster = alone();
    let channel = puppet::channel(&cluster.address);
    let before = status(&channel).await.revision;
    let methods = methods();
    assert!(methods.len() > 15, "{methods:?}");
    let junk: Vec<Bytes> = vec![
        Bytes::new(),
        Bytes::from_static(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        // A first field whose length goes past the end, and one that nests without end.
        Bytes::from_static(b"\x0a\xff\xff\xff\x7f"),
        Bytes::from(b"\x0a\x7f".repeat(64 << 10)),
        Bytes::from(vec![0x0b; 1 << 20]),
        // A number of nine digits, an empty message and a text that is none, as field 1.
        Bytes::from_static(b"\x08\xff\x93\xeb\xdc\x03"),
        Bytes::from_static(b"\x0a\x00"),
        Bytes::from_static(b"\x0a\x02\xc3\x28"),
    ];
    for method in &methods {
        for bytes in &junk {
            soon(send(&channel, method, bytes.clone())).await;
        }
    }
    assert!(cluster.coordinator().is_running());
    let log = cluster.coordinator().log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(status(&channel).await.revision, before, "nothing was written");
}

/// One message to a method and nothing more. What it answers does not matter, that it answers does.
async fn send(channel: &Channel, method: &str, bytes: Bytes) {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::once(bytes));
    let path = method.parse().unwrap();
    if let Ok(answer) = client.streaming(request, path, Raw).await {
        let mut answers = answer.into_inner();
        let all = async { while let Some(Ok(_)) = answers.next().await {} };
        // By chance it may ask to follow something, which goes on for as long as somebody listens.
        let _followed = tokio::time::timeout(Duration::from_secs(1), all).await;
    }
}
