//! Logs and execs: streams between an operator and an agent, joined here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::audit::{Object, Verdict};
use model::id::{NodeId, ServiceId, TaskId};
use model::task::Task;
use proto::wire;
use proto::wire::coordinator_message::Message as Down;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::Shared;
use crate::api::access::Caller;
use crate::api::control::{Answers, service_id};
use crate::api::status;
use crate::api::views;
use crate::audit::By;
use crate::sessions::Relay;

/// An agent has so long to open the stream that it was asked for.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Who follows a service is shown new tasks and restarted containers after at most this.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Chunks that wait for a slow reader.
const QUEUE: usize = 64;
/// The most tasks whose logs are read at once.
const TASKS_LIMIT: usize = 200;

/// Has the agent of a node open a stream.
async fn open(
    shared: &Shared,
    node: &NodeId,
    kind: wire::open_relay::Kind,
) -> Result<Relay, Status> {
    let agent = shared.sessions.agent(node).ok_or_else(|| {
        Status::unavailable(format!(
            "the agent of node {node} is not connected: try again when it is back"
        ))
    })?;
    let (number, waiting) = shared.sessions.expect_relay(node);
    let message = Down::OpenRelay(wire::OpenRelay { relay: number, kind: Some(kind) });
    let message = wire::CoordinatorMessage { message: Some(message) };
    let asked = agent.outbox.try_send(message);
    let opened = match asked {
        Ok(()) => tokio::time::timeout(OPEN_TIMEOUT, waiting).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    shared.sessions.forget_relay(number);
    opened.ok_or_else(|| {
        Status::unavailable(format!("the agent of node {node} did not open a stream in time"))
    })
}

pub(crate) fn logs(
    shared: &Arc<Shared>,
    request: wire::LogsRequest,
) -> Result<Answers<wire::LogChunk>, Status> {
    let about = About::read(shared, &request)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(follow(Arc::clone(shared), request, about, sender));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Whose logs are asked for.
#[derive(Clone)]
enum About {
    Task(TaskId),
    Service(ServiceId),
}

impl About {
    fn read(shared: &Shared, request: &wire::LogsRequest) -> Result<Self, Status> {
        let state = shared.published.read();
        if !request.task.is_empty() {
            let id: Option<TaskId> = request.task.parse().ok();
            let known = id.filter(|id| state.cluster.tasks().contains_key(id));
            let why = || Status::not_found(format!("there is no task {}", request.task));
            return known.map(Self::Task).ok_or_else(why);
        }
        let (project, name) = (request.project.clone(), request.service.clone());
        let id = service_id(Some(wire::ServiceRef { project, name }))?;
        if !state.cluster.services().contains_key(&id) {
            return Err(Status::not_found(format!("there is no service {id}")));
        }
        Ok(Self::Service(id))
    }

    /// A task that has ended writes nothing more; a service may get new tasks.
    fn is_over(&self, shared: &Shared) -> bool {
        match self {
            Self::Service(_) => false,
            Self::Task(id) => {
                let state = shared.published.read();
                state.cluster.tasks().get(id).is_none_or(|task| task.state.is_final())
            }
        }
    }

    fn tasks(&self, shared: &Shared) -> Vec<(NodeId, Arc<Task>)> {
        let state = shared.published.read();
        match self {
            Self::Service(id) => views::placed(&state, id),
            Self::Task(id) => {
                let task = state.cluster.tasks().get(id);
                task.and_then(|task| Some((task.node.clone()?, Arc::clone(task))))
                    .into_iter()
                    .collect()
            }
        }
    }
}

/// Reads each container once; when following, also those that come later, until the reader goes.
async fn follow(
    shared: Arc<Shared>,
    request: wire::LogsRequest,
    about: About,
    sender: mpsc::Sender<Result<wire::LogChunk, Status>>,
) {
    let mut read = HashSet::new();
    let mut readers = tokio::task::JoinSet::new();
    let mut is_first = true;
    loop {
        for (node, task) in about.tasks(&shared).into_iter().take(TASKS_LIMIT) {
            for container in task.containers.iter().filter(|one| {
                request.container.is_empty() || one.name.as_str() == request.container
            }) {
                if container.container_id.is_empty() || !read.insert(container.container_id.clone())
                {
                    continue;
                }
                let source = wire::LogSource {
                    task: task.id.to_string(),
                    container: container.name.to_string(),
                    follow: request.follow,
                    // What began while we were watching is shown from its beginning.
                    tail: if is_first { request.tail } else { None },
                    since: request.since,
                    timestamps: request.timestamps,
                };
                readers.spawn(read_one(Arc::clone(&shared), node.clone(), source, sender.clone()));
            }
        }
        is_first = false;
        if !request.follow || about.is_over(&shared) {
            while readers.join_next().await.is_some() {}
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = sender.closed() => return,
        }
        while readers.try_join_next().is_some() {}
    }
}

async fn read_one(
    shared: Arc<Shared>,
    node: NodeId,
    source: wire::LogSource,
    sender: mpsc::Sender<Result<wire::LogChunk, Status>>,
) {
    let (task, container) = (source.task.clone(), source.container.clone());
    let chunk = |output: i32, data: Vec<u8>, error: String| wire::LogChunk {
        task: task.clone(),
        container: container.clone(),
        output,
        data,
        error,
    };
    let mut relay = match open(&shared, &node, wire::open_relay::Kind::Logs(source)).await {
        Ok(relay) => relay,
        Err(status) => {
            // The reader may be gone too.
            drop(sender.send(Ok(chunk(0, Vec::new(), status.message().to_owned()))).await);
            return;
        }
    };
    loop {
        let message = tokio::select! {
            message = relay.up.message() => message,
            () = sender.closed() => return,
        };
        let sent = match message.ok().flatten().and_then(|up| up.message) {
            Some(wire::relay_up::Message::Chunk(piece)) => {
                chunk(piece.output, piece.data, String::new())
            }
            Some(wire::relay_up::Message::Error(error)) => chunk(0, Vec::new(), error.message),
            Some(wire::relay_up::Message::Relay(_) | wire::relay_up::Message::Exit(_)) | None => {
                return;
            }
        };
        if sender.send(Ok(sent)).await.is_err() {
            return;
        }
    }
}

pub(crate) async fn exec(
    shared: &Arc<Shared>,
    (caller, by): &(Caller, By),
    mut input: Streaming<wire::ExecInput>,
) -> Result<Answers<wire::ExecOutput>, Status> {
    let first = tokio::time::timeout(OPEN_TIMEOUT, input.message()).await;
    let first =
        first.map_err(|_| Status::deadline_exceeded("nothing to execute was named in time"))??;
    let Some(wire::exec_input::Message::Start(start)) = first.and_then(|first| first.message)
    else {
        return Err(Status::invalid_argument("the first message says what to execute"));
    };
    let (node, task) = {
        let state = shared.published.read();
        let task = start.task.parse().ok().and_then(|id| state.cluster.tasks().get(&id).cloned());
        let task =
            task.ok_or_else(|| Status::not_found(format!("there is no task {}", start.task)))?;
        caller.may_change(std::slice::from_ref(&task.service))?;
        let node = task.node.clone().ok_or_else(|| {
            Status::failed_precondition(format!("task {} has no node yet", task.id))
        })?;
        (node, task)
    };
    // What is not on the record is not done. Arguments may hold what nobody else is to know.
    let program = start.command.first().map_or("", String::as_str);
    let objects = [task.service.to_string(), format!("task {}", task.id)].map(Object::named);
    let act = by.act(objects.into(), Verdict::Done, program);
    shared.door.record(act).await.map_err(|error| status(&error))?;
    let relay = open(shared, &node, wire::open_relay::Kind::Exec(start)).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let Relay { up, down } = relay;
    tokio::spawn(async move {
        // The end of the output ends the stream, which the agent waits for; the end of the input does not.
        tokio::select! {
            () = forward_output(up, sender) => {}
            () = forward_input(input, down) => {}
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Never ends while the operator is there: an operator that is gone ends the output too.
async fn forward_input(
    mut input: Streaming<wire::ExecInput>,
    down: mpsc::Sender<Result<wire::RelayDown, Status>>,
) {
    use wire::exec_input::Message as In;
    use wire::relay_down::Message as Out;
    while let Ok(Some(message)) = input.message().await {
        let message = match message.message {
            Some(In::Stdin(bytes)) => Out::Stdin(bytes),
            Some(In::StdinEnd(end)) => Out::StdinEnd(end),
            Some(In::Resize(size)) => Out::Resize(size),
            Some(In::Start(_)) | None => continue,
        };
        if down.send(Ok(wire::RelayDown { message: Some(message) })).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

async fn forward_output(
    mut up: Streaming<wire::RelayUp>,
    sender: mpsc::Sender<Result<wire::ExecOutput, Status>>,
) {
    use wire::exec_output::Message as Out;
    use wire::relay_up::Message as Up;
    loop {
        let message = tokio::select! {
            message = up.message() => message,
            () = sender.closed() => return,
        };
        let message = match message {
            Ok(Some(up)) => up.message,
            Ok(None) => return,
            Err(_) => {
                let lost = Status::unavailable(
                    "the connection to the agent is lost; the command may still run",
                );
                drop(sender.send(Err(lost)).await);
                return;
            }
        };
        let message = match message {
            Some(Up::Chunk(chunk)) => Out::Chunk(chunk),
            Some(Up::Exit(exit)) => Out::Exit(exit),
            Some(Up::Error(error)) => Out::Error(error),
            Some(Up::Relay(_)) | None => continue,
        };
        if sender.send(Ok(wire::ExecOutput { message: Some(message) })).await.is_err() {
            return;
        }
    }
}
