//! Logs and execs: streams that the agent opens because the coordinator asked for them. They pass the loop by.

use std::time::Duration;

use agent_core::action::Fault;
use futures_util::StreamExt;
use proto::wire;
use proto::wire::dispatcher_client::DispatcherClient;
use proto::wire::relay_down::Message as Down;
use proto::wire::relay_up::Message as Up;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::runtime::{Docker, ExecFault, ExecInput, ExecOptions, LogOptions, Output, TerminalSize};

/// Pieces that wait for the coordinator. More makes the container wait instead.
const QUEUE: usize = 16;
/// How long the last pieces of a stream may take to reach a slow reader.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// The sending end of a stream.
struct Sender(mpsc::Sender<wire::RelayUp>);

impl Sender {
    /// False when nobody listens any more.
    async fn send(&self, message: Up) -> bool {
        self.0.send(wire::RelayUp { message: Some(message) }).await.is_ok()
    }

    async fn fail(&self, kind: wire::RelayErrorKind, message: String) {
        // Who does not listen needs no reason.
        let _: bool = self.send(Up::Error(wire::RelayError { kind: kind.into(), message })).await;
    }
}

/// Opens the stream that was asked for and serves it to its end. `container` is the engine's id.
pub(crate) async fn serve(
    docker: Option<Docker>,
    mut client: DispatcherClient<Channel>,
    ask: wire::OpenRelay,
    container: Option<String>,
) {
    let (sender, messages) = mpsc::channel(QUEUE);
    let sender = Sender(sender);
    if !sender.send(Up::Relay(ask.relay)).await {
        return;
    }
    let mut incoming = match client.relay(ReceiverStream::new(messages)).await {
        Ok(incoming) => incoming.into_inner(),
        Err(status) => return tracing::debug!(%status, "a stream is not wanted any more"),
    };
    match (docker, container) {
        (Some(docker), Some(container)) => {
            answer(&docker, &container, ask.kind, (&sender, &mut incoming)).await;
        }
        (None, _) | (_, None) => {
            let message = "the container is not on this node, or its engine does not answer";
            sender.fail(wire::RelayErrorKind::NotFound, message.to_owned()).await;
        }
    }
    // To drop the stream now would take back what is not sent yet, such as the exit code: the coordinator ends it.
    drop(sender);
    let read = async { while let Ok(Some(_)) = incoming.message().await {} };
    if tokio::time::timeout(LAST_WORDS, read).await.is_err() {
        tracing::debug!("the coordinator does not end a stream that is over");
    }
}

async fn answer(
    docker: &Docker,
    container: &str,
    kind: Option<wire::open_relay::Kind>,
    (sender, incoming): (&Sender, &mut Streaming<wire::RelayDown>),
) {
    match kind {
        Some(wire::open_relay::Kind::Logs(source)) => {
            logs(docker, container, &source, (sender, incoming)).await;
        }
        Some(wire::open_relay::Kind::Exec(source)) => {
            exec(docker, container, source, (sender, incoming)).await;
        }
        None => {
            let message = "this agent does not know what is asked: update it".to_owned();
            sender.fail(wire::RelayErrorKind::Engine, message).await;
        }
    }
}

fn chunk(output: Output, data: &[u8]) -> Up {
    let output = match output {
        Output::Stdout => wire::Output::Stdout,
        Output::Stderr => wire::Output::Stderr,
    };
    Up::Chunk(wire::Chunk { output: output.into(), data: data.to_vec() })
}

async fn logs(
    docker: &Docker,
    container: &str,
    source: &wire::LogSource,
    (sender, incoming): (&Sender, &mut Streaming<wire::RelayDown>),
) {
    let options = LogOptions {
        follow: source.follow,
        tail: source.tail,
        since: source.since,
        timestamps: source.timestamps,
    };
    let mut pieces = docker.logs(container, &options).await;
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            // Nothing is sent down; that it ends means that nobody reads any more.
            _ = incoming.message() => return,
        };
        match piece {
            Some(Ok((output, data))) => {
                if !sender.send(chunk(output, &data)).await {
                    return;
                }
            }
            Some(Err(Fault { message, .. })) => {
                return sender.fail(wire::RelayErrorKind::Engine, message).await;
            }
            None => return,
        }
    }
}

async fn exec(
    docker: &Docker,
    container: &str,
    source: wire::ExecSource,
    (sender, incoming): (&Sender, &mut Streaming<wire::RelayDown>),
) {
    let options = ExecOptions {
        command: source.command,
        environment: source.environment,
        user: source.user,
        working_dir: source.working_dir,
        tty: source.tty,
        stdin: source.stdin,
        size: source.size.as_ref().and_then(size),
    };
    let session = match docker.exec(container, &options).await {
        Ok(session) => session,
        Err(fault) => return refuse(sender, &fault).await,
    };
    let (mut output, input, control) = (session.output, session.input, session.control);
    let resizing = control.clone();
    let feeding = feed(incoming, input, move |size| {
        let control = resizing.clone();
        async move {
            if let Err(fault) = control.resize(size).await {
                tracing::debug!(why = fault.message, "a terminal was not resized");
            }
        }
    });
    let draining = async {
        while let Some(piece) = output.next().await {
            match piece {
                Ok((output, data)) => {
                    if !sender.send(chunk(output, &data)).await {
                        return;
                    }
                }
                Err(fault) => return refuse(sender, &fault).await,
            }
        }
        match control.exit_code().await {
            Ok(code) => {
                let _: bool = sender.send(Up::Exit(wire::ExecExit { code })).await;
            }
            Err(fault) => refuse(sender, &fault).await,
        }
    };
    tokio::select! {
        () = draining => {}
        // The operator's end is gone: the command is left to notice it.
        () = feeding => {}
    }
}

/// Passes on what the operator types, until the operator is gone.
async fn feed<F: Future<Output = ()>>(
    incoming: &mut Streaming<wire::RelayDown>,
    mut input: Option<ExecInput>,
    resize: impl Fn(TerminalSize) -> F,
) {
    while let Ok(Some(message)) = incoming.message().await {
        match message.message {
            Some(Down::Stdin(bytes)) => {
                let sent = match input.as_mut() {
                    Some(open) => open.send(&bytes).await,
                    None => Ok(()),
                };
                if sent.is_err() {
                    input = None;
                }
            }
            Some(Down::StdinEnd(_)) => {
                if let Some(open) = input.take() {
                    // It may have ended by itself.
                    drop(open.close().await);
                }
            }
            Some(Down::Resize(to)) => {
                if let Some(to) = size(&to) {
                    resize(to).await;
                }
            }
            None => {}
        }
    }
}

fn size(from: &wire::TerminalSize) -> Option<TerminalSize> {
    let columns = u16::try_from(from.columns).ok()?;
    let rows = u16::try_from(from.rows).ok()?;
    (columns > 0 && rows > 0).then_some(TerminalSize { columns, rows })
}

async fn refuse(sender: &Sender, fault: &ExecFault) {
    let kind = match fault {
        ExecFault::Gone => wire::RelayErrorKind::NotFound,
        ExecFault::NotRunning(_) => wire::RelayErrorKind::NotRunning,
        ExecFault::NotExecutable(_) => wire::RelayErrorKind::NotExecutable,
        ExecFault::CommandNotFound(_) => wire::RelayErrorKind::CommandNotFound,
        ExecFault::Engine(_) => wire::RelayErrorKind::Engine,
    };
    sender.fail(kind, fault.to_string()).await;
}
