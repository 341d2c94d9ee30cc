//! One question to the engine, with a deadline, and what came back instead of an answer.

use std::fmt;
use std::time::Duration;

use agent_core::action::{Fault, FaultKind};
use bollard::errors::Error;

/// What came back instead of an answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The engine said no.
    Answer {
        /// The status of its answer.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The engine began to answer and then reported an error.
    Stream(String),
    /// The engine could not be asked, or did not answer in time.
    Silence(String),
}

/// Waits for an answer until `limit` has passed.
pub(super) async fn ask<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Trouble::late(limit)),
    }
}

impl Trouble {
    /// The engine has not answered within `limit`.
    pub(super) fn late(limit: Duration) -> Self {
        Self::Silence(format!("no answer within {} s", limit.as_secs()))
    }

    /// Says whether what was asked about is not there.
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }

    /// Says whether the engine's state does not allow it now.
    pub(super) const fn is_conflict(&self) -> bool {
        matches!(self, Self::Answer { status: 409, .. })
    }

    /// Says whether the engine's words contain `text`, whatever their case.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.words().to_lowercase().contains(text)
    }

    /// What was said.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Answer { message, .. } | Self::Stream(message) | Self::Silence(message) => {
                message
            }
        }
    }

    /// Concludes what to do about it. `doing` completes "Docker could not …".
    pub(super) fn into_fault(self, doing: &str) -> Fault {
        let kind = self.kind();
        let message = match &self {
            Self::Answer { message, .. } | Self::Stream(message) => {
                format!("Docker could not {doing}: {}", message.trim())
            }
            Self::Silence(why) => format!("Docker was asked to {doing}, but: {why}"),
        };
        Fault { kind, message }
    }

    fn kind(&self) -> FaultKind {
        match self {
            Self::Silence(_) => FaultKind::Unknown,
            // The engine was exchanged for another version: the next `about` settles on its own.
            Self::Answer { status: 400, .. } if self.mentions("client version") => {
                FaultKind::Unknown
            }
            Self::Answer { .. } | Self::Stream(_) if self.mentions("no space left") => {
                FaultKind::DiskFull
            }
            Self::Answer { status: 400..500, .. } => FaultKind::Refused,
            Self::Answer { .. } | Self::Stream(_) => FaultKind::Engine,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Answer { status: status_code, message }
            }
            Error::DockerStreamError { error } => Self::Stream(error),
            other => Self::Silence(chain(&other)),
        }
    }
}

/// The words of an error and of all that caused it: what hyper says itself is only "client error (Connect)".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let mut words = error.to_string();
    for cause in causes {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// A fault in our own words.
pub(super) fn fault(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault { kind, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str) -> FaultKind {
        Trouble::Answer { status, message: message.into() }.into_fault("do it").kind
    }

    #[test]
    fn an_engine_that_could_not_be_asked_is_never_one_that_refused() {
        let silence = Trouble::Silence("connection refused".into()).into_fault("list");
        assert_eq!(silence.kind, FaultKind::Unknown);
        assert_eq!(kind(400, "client version 1.41 is too old"), FaultKind::Unknown);
    }

    #[test]
    fn a_full_disk_is_told_apart_from_other_troubles() {
        let full = "write /x: No space left on device";
        assert_eq!(kind(500, full), FaultKind::DiskFull);
        assert_eq!(kind(500, "boom"), FaultKind::Engine);
        assert_eq!(kind(400, "bad"), FaultKind::Refused);
    }
}
