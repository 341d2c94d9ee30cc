//! Commands in running containers, with a real terminal when one is asked for.

use std::io::Read;

use proto::wire;
use proto::wire::exec_input::Message as In;
use proto::wire::exec_output::Message as Out;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::args::Exec;
use crate::client::Client;
use crate::commands::logs::write_to;
use crate::exit::{Exit, Failure, from_status};
use crate::find::{self, Found};
use crate::{json, terminal};

/// Pieces of input that wait to be sent.
const QUEUE: usize = 16;
/// Read from the keyboard at once.
const BUFFER: usize = 16 << 10;

pub(crate) async fn exec(client: &Client, arguments: Exec) -> anyhow::Result<Exit> {
    let task = match find::any(client, &arguments.name).await? {
        Found::Task(task) => task,
        Found::Service(service) => running(client, &service).await?,
    };
    let size = terminal::size().filter(|_| arguments.tty);
    let start = wire::ExecSource {
        task,
        container: arguments.container,
        command: arguments.command,
        environment: arguments.env,
        user: arguments.user,
        working_dir: arguments.workdir,
        tty: arguments.tty,
        stdin: arguments.interactive,
        size: size.map(|(columns, rows)| wire::TerminalSize { columns, rows }),
    };
    let (sender, messages) = mpsc::channel(QUEUE);
    sender.send(wire::ExecInput { message: Some(In::Start(start)) }).await?;
    let raw = if arguments.tty && arguments.interactive { terminal::Raw::enter()? } else { None };
    if arguments.interactive {
        let sender = sender.clone();
        // A read of the keyboard can not be taken back, so it has its own thread, and nobody waits for it.
        std::thread::spawn(move || type_in(&sender));
    }
    let resizing = tokio::spawn(resize(sender, arguments.tty));
    let ended = drain(client, messages).await;
    resizing.abort();
    drop(raw);
    ended
}

/// The first running task of a service.
async fn running(client: &Client, service: &wire::ServiceRef) -> anyhow::Result<String> {
    let tasks = client.tasks(false).await?;
    let is_meant = |task: &wire::Task| {
        task.project == service.project
            && task.service == service.name
            && task.desired() == wire::Desired::Run
            && json::task_state(task.state.as_ref()) == "running"
    };
    let found = tasks.into_iter().filter_map(|view| view.task).find(is_meant);
    found.map(|task| task.id).ok_or_else(|| {
        let message = format!("no task of {}/{} runs", service.project, service.name);
        Failure::error(Exit::Error, message, "`wharf explain` says why")
    })
}

fn type_in(sender: &mpsc::Sender<wire::ExecInput>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let message = match std::io::stdin().lock().read(&mut buffer) {
            Ok(0) | Err(_) => In::StdinEnd(wire::StdinEnd {}),
            Ok(length) => In::Stdin(buffer.get(..length).unwrap_or_default().to_vec()),
        };
        let is_last = matches!(message, In::StdinEnd(_));
        if sender.blocking_send(wire::ExecInput { message: Some(message) }).is_err() || is_last {
            return;
        }
    }
}

/// Passes the size of the terminal on whenever it changes. Holding the sender keeps the stream open until the end.
async fn resize(sender: mpsc::Sender<wire::ExecInput>, tty: bool) -> anyhow::Result<()> {
    let mut changed = signal(SignalKind::window_change())?;
    while changed.recv().await.is_some() {
        let Some((columns, rows)) = terminal::size().filter(|_| tty) else { continue };
        let size = wire::TerminalSize { columns, rows };
        sender.send(wire::ExecInput { message: Some(In::Resize(size)) }).await?;
    }
    Ok(())
}

async fn drain(client: &Client, messages: mpsc::Receiver<wire::ExecInput>) -> anyhow::Result<Exit> {
    let stream = client.control.clone().exec(ReceiverStream::new(messages)).await;
    let mut stream = stream.map_err(|status| from_status(&status))?.into_inner();
    while let Some(output) = stream.message().await.map_err(|status| from_status(&status))? {
        match output.message {
            Some(Out::Chunk(chunk)) => write_to(chunk.output(), &chunk.data)?,
            Some(Out::Exit(exit)) => return Ok(command(exit.code)),
            Some(Out::Error(error)) => return Err(refused(&error)),
            None => {}
        }
    }
    Err(Failure::error(
        Exit::Command(125),
        "the connection ended before the command did",
        "it may still run",
    ))
}

/// As docker has it: the command's own code, 125 when it could not be asked for, 126 and 127 when it could not be run.
fn refused(error: &wire::RelayError) -> anyhow::Error {
    let exit = match error.kind() {
        wire::RelayErrorKind::NotExecutable => Exit::Command(126),
        wire::RelayErrorKind::CommandNotFound => Exit::Command(127),
        wire::RelayErrorKind::NotFound
        | wire::RelayErrorKind::NotRunning
        | wire::RelayErrorKind::Engine
        | wire::RelayErrorKind::Unspecified => Exit::Command(125),
    };
    Failure::error(exit, error.message.clone(), "")
}

pub(crate) fn command(code: i64) -> Exit {
    if code == 0 { Exit::Done } else { Exit::Command(u8::try_from(code).unwrap_or(125)) }
}
