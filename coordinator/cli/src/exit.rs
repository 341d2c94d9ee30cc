//! How the program ends: a number for scripts, and for people a line that says what and a line that says what next.

use std::fmt;
use std::process::ExitCode;

/// The exit code, and what it promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is as it was asked for.
    Done,
    /// It did not work.
    Error,
    /// A plan would change something.
    Changes,
    /// A rollout went back, or stopped because its tasks failed.
    RolledBack,
    /// Tasks find no node.
    NotPlaced,
    /// Time is up, and it still goes on.
    TimedOut,
    /// The command line is wrong.
    Usage,
    /// The code of a command that ran in a container.
    Command(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Changes => 2,
            Exit::RolledBack => 3,
            Exit::NotPlaced => 4,
            Exit::TimedOut => 5,
            Exit::Usage => 64,
            Exit::Command(code) => code,
        })
    }
}

/// What went wrong, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Failure {
    pub(crate) fn error(
        exit: Exit,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> anyhow::Error {
        Self { exit, message: message.into(), hint: hint.into() }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Turns what the coordinator said into a failure. The only place where its codes are read.
pub(crate) fn from_status(status: &tonic::Status) -> anyhow::Error {
    use tonic::Code;
    if let Some(found) = trust::failure::find(status) {
        let exit = if found.is_denied { Exit::Command(77) } else { Exit::Error };
        let hint = match found.hint.as_str() {
            "" => {
                "is it running? `wharf dev` starts one here; `wharf context ls` shows where it is looked for"
            }
            hint => hint,
        };
        return Failure::error(exit, &found.message, hint);
    }
    let told = status.metadata().get(proto::HINT).and_then(|hint| hint.to_str().ok());
    let (message, hint) = match status.code() {
        _ if told.is_some() => (status.message().to_owned(), told.unwrap_or_default()),
        Code::Unavailable
            if status.message().contains("tcp connect")
                || status.message().contains("transport") =>
        {
            (
                "the coordinator does not answer".to_owned(),
                "is it running? `wharf dev` starts one here; `wharf context ls` shows where it is looked for",
            )
        }
        Code::DeadlineExceeded => (
            "the coordinator did not answer in time".to_owned(),
            "try again; `wharf status` says how it is",
        ),
        Code::NotFound => {
            (status.message().to_owned(), "`wharf service ls` and `wharf ps -a` show what there is")
        }
        _ => (status.message().to_owned(), ""),
    };
    let exit = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Exit::Command(77),
        _ => Exit::Error,
    };
    Failure::error(exit, message, hint)
}
