//! Runs a command in a container that runs.
//!
//! Not through bollard 0.21: it takes the first byte of a terminal's output for a header when it is less than 3.

use std::time::Duration;

use agent_core::action::Fault;
use bollard::query_parameters::ResizeExecOptions;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ask::{Trouble, ask};
use super::demultiplex::Demultiplexer;
use super::logs::{Output, pieces};
use super::wire::Line;
use super::{Docker, limit};

/// How the engine begins to say that a command did not start: it says so in the command's own output.
const NOT_STARTED: &[&[u8]] = &[b"OCI runtime exec failed", b"exec failed", b"rpc error: code"];

/// A terminal has no size before its program has started, which the engine does not tell.
const RESIZE_TRIES: u32 = 20;

/// From one such try to the next.
const RESIZE_PAUSE: Duration = Duration::from_millis(25);

/// After the end of the output a program has so long to end itself; some close their output before.
const EXIT_WAIT: Duration = Duration::from_secs(10);

/// From one look at a program that is about to end to the next.
const EXIT_PAUSE: Duration = Duration::from_millis(20);

/// Read at once, in bytes: what the engine writes at once.
const BUFFER: usize = 32 << 10;

/// What is run and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `KEY=VALUE`, added to the container's.
    pub environment: Vec<String>,
    /// The container's own user when it is empty.
    pub user: String,
    /// The container's own folder when it is empty.
    pub working_dir: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether anything is written to it.
    pub stdin: bool,
    /// Of the terminal.
    pub size: Option<TerminalSize>,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Why a command is not run, or its end is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExecFault {
    /// There is no such container.
    #[error("there is no such container any more")]
    Gone,
    /// It ended, is frozen, or never started.
    #[error("the container does not run: {0}")]
    NotRunning(String),
    /// What docker gives exit code 126.
    #[error("the command can not be executed: {0}")]
    NotExecutable(String),
    /// What docker gives exit code 127.
    #[error("the command is not in the container: {0}")]
    CommandNotFound(String),
    /// The engine could not do it.
    #[error("{}", .0.message)]
    Engine(Fault),
}

/// A command that runs in a container. Dropping it hangs up; what the program makes of that is its own affair.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct ExecSession {
    /// What it writes, in pieces of at most 64 KiB; ends with the program. A command that did not start is an error
    /// here, because the engine learns of it no sooner.
    pub output: BoxStream<'static, Result<(Output, Bytes), ExecFault>>,
    /// What it reads; none unless it was asked for.
    pub input: Option<ExecInput>,
    /// Resizes it and asks how it ended.
    pub control: ExecControl,
}

/// Where to write what a command reads.
#[derive(Debug)]
pub struct ExecInput(WriteHalf<Line>);

/// Resizes a command's terminal and knows how it ended.
#[derive(Debug, Clone)]
pub struct ExecControl {
    docker: Docker,
    id: String,
}

impl Docker {
    /// Runs a command in a container.
    ///
    /// # Errors
    /// When there is no such container, it does not run, or the engine could not do it.
    pub async fn exec(
        &self,
        container: &str,
        options: &ExecOptions,
    ) -> Result<ExecSession, ExecFault> {
        let id = self.create_exec(container, options).await.map_err(create_fault)?;
        let path = format!("/exec/{id}/start");
        // Engines since 23.0 give the terminal its size before the program begins; others take no notice.
        let size = options.size.filter(|_| options.tty);
        let console = size.map(|size| json!([size.rows, size.columns]));
        let body = json!({ "Detach": false, "Tty": options.tty, "ConsoleSize": console });
        let line = self.shared.wire.upgrade(limit::OPEN, &path, &body).await;
        let (output, mut input) = tokio::io::split(line.map_err(create_fault)?);
        let control = ExecControl { docker: self.clone(), id };
        if !options.stdin {
            // Best effort: without standard input the engine does not wait for its end.
            drop(input.shutdown().await);
        }
        let output = pieces(read(output), Demultiplexer::new(options.tty));
        Ok(ExecSession {
            output: watched(output, control.clone(), size),
            input: options.stdin.then_some(ExecInput(input)),
            control,
        })
    }

    async fn create_exec(&self, container: &str, options: &ExecOptions) -> Result<String, Trouble> {
        let inspect = self.inspect(container).await?;
        let path = format!("/containers/{}/exec", inspect.id.unwrap_or_default());
        let body = json!({
            "AttachStdin": options.stdin, "AttachStdout": true, "AttachStderr": true, "Tty": options.tty,
            "Cmd": options.command, "Env": options.environment, "User": options.user,
            "WorkingDir": options.working_dir,
        });
        let answer = self.shared.wire.post(limit::OPEN, &path, &body).await?;
        let id = answer.get("Id").and_then(|id| id.as_str()).map(str::to_owned);
        id.ok_or_else(|| Trouble::Stream("the engine gave no id".into()))
    }
}

impl ExecInput {
    /// Writes all of `bytes`; waits while the program does not read.
    ///
    /// # Errors
    /// When the program has ended or closed its input.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Says that nothing more comes: the program reads the end of its input.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub async fn close(mut self) -> std::io::Result<()> {
        self.0.shutdown().await
    }
}

impl ExecControl {
    /// Gives the terminal another size. Does nothing to a program that has ended.
    ///
    /// # Errors
    /// When the engine could not do it.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_resize(size).await {
                Err(trouble) if tries < RESIZE_TRIES && !matches!(trouble, Trouble::Silence(_)) => {
                    if self.exit().await.ok().flatten().is_some() {
                        return Ok(());
                    }
                    tokio::time::sleep(RESIZE_PAUSE).await;
                }
                done => return done.map_err(|trouble| trouble.into_fault("resize a terminal")),
            }
        }
    }

    async fn try_resize(&self, size: TerminalSize) -> Result<(), Trouble> {
        let options = ResizeExecOptions { h: size.rows.into(), w: size.columns.into() };
        ask(limit::SIGNAL, self.docker.client().resize_exec(&self.id, options)).await
    }

    /// Gives the exit code, to be asked after the output has ended.
    ///
    /// # Errors
    /// When the engine could not be asked, or the program goes on without its output.
    pub async fn exit_code(&self) -> Result<i64, ExecFault> {
        let ended = tokio::time::timeout(EXIT_WAIT, async {
            loop {
                if let Some(code) = self.exit().await? {
                    return Ok(code);
                }
                tokio::time::sleep(EXIT_PAUSE).await;
            }
        });
        let late = || Err(Trouble::Stream("it closed its output and still runs".into()));
        let code = ended.await.unwrap_or_else(|_| late());
        code.map_err(|trouble| ExecFault::Engine(trouble.into_fault("say how the command ended")))
    }

    /// The exit code; nothing while it runs.
    async fn exit(&self) -> Result<Option<i64>, Trouble> {
        let inspect = ask(limit::INSPECT, self.docker.client().inspect_exec(&self.id)).await?;
        Ok(inspect.exit_code.filter(|_| inspect.running == Some(false)))
    }

    /// Says whether these first words are the engine's, about a command that did not start.
    async fn refusal(&self, words: &Bytes) -> Option<ExecFault> {
        NOT_STARTED.iter().find(|start| words.starts_with(start))?;
        let code = self.exit_code().await.ok()?;
        let said = String::from_utf8_lossy(words).trim().to_owned();
        let is_absent = ["not found", "no such file"].iter().any(|text| said.contains(text));
        match code {
            126 | 127 if is_absent => Some(ExecFault::CommandNotFound(said)),
            126 => Some(ExecFault::NotExecutable(said)),
            127 => Some(ExecFault::CommandNotFound(said)),
            _ => None,
        }
    }
}

fn read(output: ReadHalf<Line>) -> impl Stream<Item = Result<Bytes, Trouble>> + Send {
    stream::unfold(Some(output), |output| async move {
        let mut output = output?;
        let mut buffer = bytes::BytesMut::with_capacity(BUFFER);
        match output.read_buf(&mut buffer).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(buffer.freeze()), Some(output))),
            Err(error) => Some((Err(Trouble::Silence(error.to_string())), None)),
        }
    })
}

/// Gives the terminal its size first, and looks whether the first words are about a command that did not start.
fn watched(
    pieces: BoxStream<'static, Result<(Output, Bytes), Trouble>>,
    control: ExecControl,
    size: Option<TerminalSize>,
) -> BoxStream<'static, Result<(Output, Bytes), ExecFault>> {
    let told = |piece: Result<_, Trouble>| {
        piece.map_err(|trouble| ExecFault::Engine(trouble.into_fault("go on with the command")))
    };
    let first = async move {
        if let Some(size) = size
            && let Err(fault) = control.resize(size).await
        {
            tracing::debug!(why = fault.message, "a terminal keeps its own size");
        }
        let mut pieces = pieces;
        let Some(first) = pieces.next().await else { return stream::empty().boxed() };
        if let Ok((_, words)) = &first
            && let Some(fault) = control.refusal(words).await
        {
            return stream::iter([Err(fault)]).boxed();
        }
        stream::iter([first]).chain(pieces).map(told).boxed()
    };
    stream::once(first).flatten().boxed()
}

fn create_fault(trouble: Trouble) -> ExecFault {
    if trouble.is_missing() {
        return ExecFault::Gone;
    }
    if trouble.is_conflict() {
        return ExecFault::NotRunning(trouble.words().to_owned());
    }
    ExecFault::Engine(trouble.into_fault("run the command"))
}
