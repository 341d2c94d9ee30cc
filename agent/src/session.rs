//! The conversation with the coordinator: dials, introduces itself, and carries messages both ways until the link breaks.

use std::time::Duration;

use proto::MESSAGE_LIMIT;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::coordinator_message::Message as Down;
use proto::wire::dispatcher_client::DispatcherClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use trust::digest::fraction;

use crate::credentials::{Credentials, Problem, is_rejection};

/// Messages that wait to be sent. More means that the link does not carry them: it is cut, and all is said anew.
const OUTBOX: usize = 256;
/// The first wait before dialling again, and the longest. Each is drawn from nothing to its length, so that the agents
/// of a fleet do not come back all at once.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A coordinator that does not answer a Hello by then is tried again.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// What the loop hears of the link.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The coordinator has answered this Hello. Everything that is sent over the link reaches it, in order, while the
    /// link lasts.
    Connected(Link, Box<wire::Hello>),
    /// It says something.
    Message(Down),
    /// The link is gone.
    Lost,
}

/// A link that is up.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    outbox: mpsc::Sender<wire::AgentMessage>,
    pub(crate) client: DispatcherClient<Channel>,
}

impl Link {
    /// Says something. False when the link does not take it: then it is as good as lost.
    pub(crate) fn say(&self, message: Up) -> bool {
        self.outbox.try_send(wire::AgentMessage { message: Some(message) }).is_ok()
    }
}

/// Keeps a link up for as long as somebody listens. `hello` is asked for each time anew.
pub(crate) async fn keep(
    mut credentials: Credentials,
    hello: impl Fn() -> wire::Hello + Send,
    heard: mpsc::Sender<Heard>,
) {
    let mut failures = 0_u32;
    // Said when it changes: "connection refused" may well be followed by what an operator has to know.
    let mut complaint = None;
    while !heard.is_closed() {
        let problem = match dial(&mut credentials).await {
            Ok(channel) => converse(&mut credentials, channel, hello(), &heard).await.err(),
            Err(problem) => Some(problem),
        };
        match problem {
            None => {
                failures = 0;
                complaint = None;
            }
            Some(problem) => {
                failures = failures.saturating_add(1);
                if complaint.as_ref() != Some(&problem) {
                    let (why, hint) = (&problem.message, &problem.hint);
                    tracing::warn!(
                        why,
                        hint,
                        "no conversation with the coordinator; what runs goes on, and it is tried again"
                    );
                    complaint = Some(problem);
                }
            }
        }
        let longest =
            FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_WAIT);
        tokio::time::sleep(longest.mul_f64(fraction())).await;
    }
}

/// A connection of its own for each conversation: a certificate that is new is shown in it.
async fn dial(credentials: &mut Credentials) -> Result<Channel, Problem> {
    let dial = credentials.dial().await?;
    dial.channel().map_err(|error| anyhow::Error::from(error).into())
}

async fn converse(
    credentials: &mut Credentials,
    channel: Channel,
    hello: wire::Hello,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), Problem> {
    let mut client = DispatcherClient::new(channel.clone())
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let link = Link { outbox, client: client.clone() };
    link.say(Up::Hello(hello.clone()));
    let opened = client.session(ReceiverStream::new(messages));
    let opened = tokio::time::timeout(WELCOME_TIMEOUT, opened).await;
    let late = |_| Problem::of(&tonic::Status::deadline_exceeded("it does not answer"));
    let opened = opened.map_err(late)?.inspect_err(|status| {
        if is_rejection(status) {
            credentials.reject();
        }
    });
    let mut incoming = opened.map_err(|status| Problem::of(&status))?.into_inner();
    credentials.accept();
    let gone = |_| Problem::of(&tonic::Status::cancelled("the agent is stopping"));
    heard.send(Heard::Connected(link, Box::new(hello))).await.map_err(gone)?;
    let mut renewal = std::pin::pin!(credentials.renewal(channel));
    loop {
        let message = tokio::select! {
            message = incoming.message() => message.ok().flatten(),
            // The next conversation shows the new certificate, and only then the old one does not count any more.
            () = &mut renewal => None,
            () = heard.closed() => return Ok(()),
        };
        let Some(message) = message else {
            heard.send(Heard::Lost).await.map_err(gone)?;
            return Ok(());
        };
        if let Some(message) = message.message {
            heard.send(Heard::Message(message)).await.map_err(gone)?;
        }
    }
}
