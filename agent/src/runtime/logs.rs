//! What a container wrote.
//!
//! Not through bollard 0.21: it holds back what a terminal writes until the line ends, and a frame until it is whole
//! (bollard#805).

use std::fmt::Write as _;

use agent_core::action::Fault;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use super::ask::Trouble;
use super::demultiplex::{Demultiplexer, Garbled};
use super::{Docker, limit};

/// Where something was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Goes on until the container ends.
    pub follow: bool,
    /// So many lines from the end; all when there is none.
    pub tail: Option<u32>,
    /// Not before this second since the Unix epoch.
    pub since: Option<i64>,
    /// Each line begins with its time.
    pub timestamps: bool,
}

impl Docker {
    /// Gives what a container wrote, in whatever state it is, in pieces of at most 64 KiB as they come.
    ///
    /// What can not be read is the stream's last item. Dropping the stream ends the request.
    pub async fn logs(
        &self,
        container: &str,
        options: &LogOptions,
    ) -> BoxStream<'static, Result<(Output, Bytes), Fault>> {
        match self.open_logs(container, options).await {
            Ok(pieces) => pieces.boxed(),
            Err(trouble) => {
                stream::iter([Err(trouble.into_fault("read the log of the container"))]).boxed()
            }
        }
    }

    async fn open_logs(
        &self,
        container: &str,
        options: &LogOptions,
    ) -> Result<impl Stream<Item = Result<(Output, Bytes), Fault>> + Send + use<>, Trouble> {
        let inspect = self.inspect(container).await?;
        let has_terminal = inspect.config.and_then(|config| config.tty).unwrap_or_default();
        // The id that the engine gave, so that nothing of the caller's gets into the path.
        let path = path(&inspect.id.unwrap_or_default(), options);
        let answer = self.shared.wire.get(limit::OPEN, &path).await?;
        let pieces = pieces(answer.bytes(), Demultiplexer::new(has_terminal));
        Ok(pieces.map(|piece| piece.map_err(|trouble| trouble.into_fault("go on with the log"))))
    }
}

fn path(id: &str, options: &LogOptions) -> String {
    let LogOptions { follow, tail, since, timestamps } = options;
    let mut path = format!(
        "/containers/{id}/logs?stdout=1&stderr=1&follow={}&timestamps={}",
        u8::from(*follow),
        u8::from(*timestamps)
    );
    let written = match (tail, since) {
        (Some(tail), Some(since)) => write!(path, "&tail={tail}&since={since}"),
        (Some(tail), None) => write!(path, "&tail={tail}"),
        (None, Some(since)) => write!(path, "&since={since}"),
        (None, None) => Ok(()),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    path
}

/// What is read, what is left of it, and where in it we are; nothing after the end.
type Reading<S> = Option<(S, Bytes, Demultiplexer)>;

/// Takes a mixed stream apart. It ends after the first error.
pub(super) fn pieces(
    bytes: impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static,
    demultiplexer: Demultiplexer,
) -> BoxStream<'static, Result<(Output, Bytes), Trouble>> {
    let start: Reading<_> = Some((bytes.boxed(), Bytes::new(), demultiplexer));
    stream::unfold(start, |reading| async move {
        let (mut bytes, mut rest, mut demultiplexer) = reading?;
        loop {
            match demultiplexer.next(&mut rest) {
                Ok(Some(piece)) => return Some((Ok(piece), Some((bytes, rest, demultiplexer)))),
                Ok(None) => {}
                Err(Garbled(kind)) => {
                    let message = format!("the stream is garbled: there is no kind {kind}");
                    return Some((Err(Trouble::Stream(message)), None));
                }
            }
            match bytes.next().await? {
                Ok(more) => rest = more,
                Err(trouble) => return Some((Err(trouble), None)),
            }
        }
    })
    .boxed()
}
