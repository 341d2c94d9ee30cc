//! The conversation with the coordinator: dials, introduces itself, and carries messages both ways until the link breaks.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use proto::MESSAGE_LIMIT;
use proto::transport::Dial;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::coordinator_message::Message as Down;
use proto::wire::dispatcher_client::DispatcherClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

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
    dial: Dial,
    hello: impl Fn() -> wire::Hello + Send,
    heard: mpsc::Sender<Heard>,
) -> anyhow::Result<()> {
    let channel = dial.channel()?;
    let client = DispatcherClient::new(channel)
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let random = RandomState::new();
    let mut failures = 0_u32;
    // Said when it changes: "connection refused" may well be followed by what an operator has to know.
    let mut complaint = String::new();
    while !heard.is_closed() {
        match converse(client.clone(), hello(), &heard).await {
            Ok(()) => {
                failures = 0;
                complaint.clear();
            }
            Err(status) => {
                failures = failures.saturating_add(1);
                if complaint != status.message() {
                    status.message().clone_into(&mut complaint);
                    tracing::warn!(
                        address = dial.address,
                        why = complaint,
                        "the coordinator can not be reached; what runs goes on, and it is tried again"
                    );
                }
            }
        }
        let longest =
            FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_WAIT);
        let drawn = random.hash_one((failures, std::time::Instant::now())) % 1_000;
        tokio::time::sleep(longest.mul_f64(drawn as f64 / 1_000.0)).await;
    }
    Ok(())
}

async fn converse(
    mut client: DispatcherClient<Channel>,
    hello: wire::Hello,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), tonic::Status> {
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let link = Link { outbox, client: client.clone() };
    link.say(Up::Hello(hello.clone()));
    let opened = client.session(ReceiverStream::new(messages));
    let opened = tokio::time::timeout(WELCOME_TIMEOUT, opened).await;
    let late = |_| tonic::Status::deadline_exceeded("it does not answer");
    let mut incoming = opened.map_err(late)??.into_inner();
    let gone = |_| tonic::Status::cancelled("the agent is stopping");
    heard.send(Heard::Connected(link, Box::new(hello))).await.map_err(gone)?;
    loop {
        let message = tokio::select! {
            message = incoming.message() => message,
            () = heard.closed() => return Ok(()),
        };
        match message {
            Ok(Some(message)) => {
                if let Some(message) = message.message {
                    heard.send(Heard::Message(message)).await.map_err(gone)?;
                }
            }
            Ok(None) | Err(_) => {
                heard.send(Heard::Lost).await.map_err(gone)?;
                return Ok(());
            }
        }
    }
}
