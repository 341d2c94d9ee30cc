//! Who this node is to the coordinator: a certificate that it joined for, and renews long before it ends.
//!
//! ```text
//!  join token ─▶ join ─▶ identity.pem ─▶ dial ─▶ renewal ─▶ identity.pem (the old one holds until the new one is used)
//! ```
//!
//! On EC2 there need not be a token: the node shows which instance it is, whenever it has no certificate that counts.
//!
//! Nothing here stops anything: without a certificate there is no conversation, and what runs goes on.

mod attest;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use model::id::{ClusterId, NodeId};
use model::time::Timestamp;
use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use trust::bundle::write_secret;
use trust::digest::{fraction, sha256};
use trust::key::Key;
use trust::tls::Client;
use trust::transport::Dial;
use trust::{Bundle, JoinToken, Name, failure};
use zeroize::Zeroizing;

use crate::run::Security;

pub use attest::{AwsJoin, AwsProof};

/// The key, the certificate and that of the authority.
const IDENTITY: &str = "identity.pem";
/// The key that a join is under way with: after an answer that was lost the same key is shown again.
const JOIN_KEY: &str = "join-key.pem";
/// The digest of the token that this node has joined by: it opens nothing more.
const JOINED_BY: &str = "joined-by";
/// Where a token is looked for when none is named.
pub const JOIN_TOKEN: &str = "join-token";
/// A certificate is renewed somewhere between these shares of its life, so that a fleet does not do it at once.
const RENEW_FROM: f64 = 0.5;
const RENEW_TO: f64 = 0.8;
/// The first wait after a renewal that failed, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// However long there is to wait, the clock is looked at so often: a machine may have slept.
const LOOK: Duration = Duration::from_secs(30);
/// A call of the coordinator takes no longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// By so much what is signed now holds earlier, as the coordinator does it.
const BACKDATE: Duration = Duration::from_secs(3_600);

/// How a node joins.
#[derive(Debug, Clone)]
pub enum Joining {
    /// By a token that somebody has made for it.
    Token(TokenSource),
    /// By showing which instance of AWS it is.
    Aws(AwsJoin),
}

/// Where a join token comes from.
#[derive(Debug, Clone, Default)]
pub struct TokenSource {
    /// The token itself.
    pub given: Option<JoinToken>,
    /// A file with it; that of the state directory when there is none.
    pub file: Option<PathBuf>,
}

/// Why there is no conversation, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Problem {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// What somebody on the other end said, or why nobody is there.
    pub(crate) fn of(status: &Status) -> Self {
        if let Some(found) = failure::find(status) {
            return Self::new(&found.message, &found.hint);
        }
        let hint = status.metadata().get(proto::HINT).and_then(|hint| hint.to_str().ok());
        Self::new(status.message(), hint.unwrap_or_default())
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"), "")
    }
}

/// Who this node is to the coordinator.
#[derive(Debug)]
pub(crate) struct Credentials {
    address: String,
    directory: PathBuf,
    node: NodeId,
    /// The cluster that its containers belong to, if they do to any.
    cluster: Option<ClusterId>,
    security: Security,
    identity: Option<Bundle>,
    renew_at: Timestamp,
    /// The coordinator does not let in who shows what we have.
    is_rejected: bool,
}

impl Credentials {
    /// Reads what is kept in the state directory. What is damaged, or of another node, is as if it was not there.
    pub(crate) fn load(
        directory: &Path,
        node: &NodeId,
        cluster: Option<&ClusterId>,
        (address, security): (&str, &Security),
    ) -> Self {
        let mut credentials = Self {
            address: address.to_owned(),
            directory: directory.to_owned(),
            node: node.clone(),
            cluster: cluster.cloned(),
            security: security.clone(),
            identity: None,
            renew_at: Timestamp::default(),
            is_rejected: false,
        };
        if matches!(security, Security::Plaintext) {
            return credentials;
        }
        match Bundle::load(&directory.join(IDENTITY)) {
            Ok(Some(kept)) if kept.about.name == Name::Node(node.clone()) => credentials.take(kept),
            Ok(Some(kept)) => {
                tracing::warn!(of = %kept.about.name, "the certificate that is kept here is not of this node");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("{error:#}: this node has to join anew"),
        }
        credentials
    }

    fn take(&mut self, bundle: Bundle) {
        let (issued_at, ends_at) = (bundle.about.not_before + BACKDATE, bundle.about.not_after);
        let share = RENEW_FROM + (RENEW_TO - RENEW_FROM) * fraction();
        self.renew_at = issued_at + ends_at.since(issued_at).mul_f64(share);
        self.identity = Some(bundle);
        self.is_rejected = false;
    }

    /// The coordinator does not know this node any more: a token that is there is used.
    pub(crate) fn reject(&mut self) {
        self.is_rejected = true;
    }

    /// The coordinator has let us in, by what we have.
    pub(crate) fn accept(&mut self) {
        self.is_rejected = false;
    }

    /// How the coordinator is to be dialled. A node without a certificate that holds joins first.
    ///
    /// # Errors
    /// Says what is in the way.
    pub(crate) async fn dial(&mut self) -> Result<Dial, Problem> {
        let address = self.address.clone();
        let joining = match &self.security {
            Security::Plaintext => return Ok(Dial::Plaintext { address }),
            Security::Tls(joining) => joining.clone(),
        };
        let now = trust::now();
        let holds = self.identity.as_ref().filter(|identity| !identity.is_expired(now));
        if let (Some(identity), false) = (holds, self.is_rejected) {
            return Ok(Dial::Tls { address, client: Client::mutual(identity)? });
        }
        let is_certified = holds.is_some();
        match &joining {
            Joining::Aws(aws) => self.attest(aws).await.map_err(|problem| self.expired(problem))?,
            Joining::Token(tokens) => {
                match self.token(tokens)?.filter(|token| !self.has_joined_by(token)) {
                    Some(token) => {
                        self.join(&token).await.map_err(|problem| self.expired(problem))?;
                    }
                    // What it says then is more than what can be said here.
                    None if is_certified => {}
                    None => return Err(self.no_way_in(tokens)),
                }
            }
        }
        let identity = self.identity.as_ref().context("this node has no certificate")?;
        Ok(Dial::Tls { address, client: Client::mutual(identity)? })
    }

    fn no_way_in(&self, tokens: &TokenSource) -> Problem {
        let file = self.token_file(tokens);
        let (node, file) = (&self.node, file.display());
        match &self.identity {
            Some(identity) => Problem::new(
                format!(
                    "the certificate of node {node} has expired at {}",
                    identity.about.not_after
                ),
                format!(
                    "let it join anew: `wharf token create --node {node}` makes a token, to be put into {file}"
                ),
            ),
            None => Problem::new(
                format!(
                    "node {node} has no certificate, and there is no join token in {file} that it has not used"
                ),
                "`wharf token create` makes one",
            ),
        }
    }

    /// What is in the way of joining anew is half of it when a certificate has ended.
    fn expired(&self, problem: Problem) -> Problem {
        match self.identity.as_ref().filter(|identity| identity.is_expired(trust::now())) {
            None => problem,
            Some(identity) => Problem::new(
                format!(
                    "the certificate of node {} has expired at {}, and it can not join anew: {}",
                    self.node, identity.about.not_after, problem.message
                ),
                problem.hint,
            ),
        }
    }

    fn has_joined_by(&self, token: &JoinToken) -> bool {
        let kept = std::fs::read_to_string(self.directory.join(JOINED_BY));
        kept.is_ok_and(|kept| kept == JoinToken::digest(token.secret()).to_string())
    }

    fn token_file(&self, tokens: &TokenSource) -> PathBuf {
        tokens.file.clone().unwrap_or_else(|| self.directory.join(JOIN_TOKEN))
    }

    /// The token, read anew each time: it may have been put there just now.
    fn token(&self, tokens: &TokenSource) -> Result<Option<JoinToken>, Problem> {
        if let Some(given) = &tokens.given {
            return Ok(Some(given.clone()));
        }
        let file = self.token_file(tokens);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let why = format!("can not read {}: {error}", file.display());
                return Err(Problem::new(why, "it has to be readable by the user of the agent"));
            }
        };
        let token = text.parse::<JoinToken>();
        token.map(Some).map_err(|error| {
            Problem::new(
                format!("{}: {error}", file.display()),
                "`wharf token create` makes another one",
            )
        })
    }

    /// Shows a token, and keeps what is given for it.
    async fn join(&mut self, token: &JoinToken) -> Result<(), Problem> {
        if let Some(ours) = self.cluster.as_ref().filter(|ours| **ours != token.cluster) {
            return Err(Problem::new(
                format!(
                    "the join token is for cluster {}, and the containers of this node belong to {ours}",
                    token.cluster
                ),
                "give it a token of its own cluster, or a new state directory",
            ));
        }
        let path = self.directory.join(JOIN_KEY);
        let key = join_key(&path)?;
        let client = Client::pinned(token.authority)?;
        // Nobody hears of the token before it is certain that the authority is the one that the token names.
        let dial = Dial::Tls { address: self.address.clone(), client };
        let channel = dial.channel().context("the coordinator can not be dialled")?;
        let request = wire::JoinRequest {
            node: self.node.to_string(),
            request: key.request()?,
            token: token.secret().to_owned(),
            ..wire::JoinRequest::default()
        };
        let answer = call(EnrolmentClient::new(channel).join(request)).await;
        let answer = answer.map_err(|status| Problem::of(&status))?;
        if sha256(&answer.authority) != token.authority || answer.cluster != token.cluster.as_str()
        {
            let why = "the coordinator has answered for another cluster than the token's";
            return Err(Problem::new(why, ""));
        }
        self.keep(key, answer)?;
        let digest = JoinToken::digest(token.secret()).to_string();
        if let Err(error) = std::fs::write(self.directory.join(JOINED_BY), digest) {
            tracing::warn!(%error, "it is not kept which token was used");
        }
        // Nobody should take it for one that is not used.
        for used in [&path, &self.directory.join(JOIN_TOKEN)] {
            if let Err(error) = std::fs::remove_file(used)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("can not remove {}: {error}", used.display());
            }
        }
        tracing::info!(node = %self.node, cluster = %token.cluster, "this node has joined");
        Ok(())
    }

    /// Writes down what was given before it is used.
    fn keep(&mut self, key: Key, answer: wire::JoinResponse) -> anyhow::Result<()> {
        let bundle = Bundle::new(key, answer.certificate, answer.authority)?;
        anyhow::ensure!(
            bundle.about.name == Name::Node(self.node.clone()),
            "the coordinator has given a certificate for {}",
            bundle.about.name
        );
        bundle.save(&self.directory.join(IDENTITY))?;
        self.take(bundle);
        Ok(())
    }

    /// Waits until it is time, and gets another certificate. Done when it is there; until then it goes on trying.
    pub(crate) async fn renewal(&mut self, channel: Channel) {
        let mut failures = 0_u32;
        loop {
            while trust::now() < self.renew_at {
                tokio::time::sleep(self.renew_at.since(trust::now()).min(LOOK)).await;
            }
            if self.identity.is_none() {
                return std::future::pending().await;
            }
            match self.renew(channel.clone()).await {
                Ok(()) => return,
                Err(problem) => {
                    tracing::warn!(
                        why = problem.message,
                        hint = problem.hint,
                        "the certificate is not renewed; it is tried again"
                    );
                }
            }
            let longest = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.min(16)));
            let left = self.left().div_f64(4.0).max(Duration::from_secs(1));
            failures += 1;
            tokio::time::sleep(longest.min(LONGEST_WAIT).min(left).mul_f64(fraction())).await;
        }
    }

    fn left(&self) -> Duration {
        self.identity
            .as_ref()
            .map_or(Duration::ZERO, |identity| identity.about.not_after.since(trust::now()))
    }

    async fn renew(&mut self, channel: Channel) -> Result<(), Problem> {
        let key = Key::generate()?;
        let request = wire::RenewRequest { request: key.request()? };
        let answer = call(EnrolmentClient::new(channel).renew(request)).await;
        let answer = answer.map_err(|status| Problem::of(&status))?;
        self.keep(key, answer)?;
        tracing::info!(node = %self.node, "the certificate is renewed");
        Ok(())
    }
}

/// The key of a join that was not answered, or a new one, written down before anybody sees its public half.
fn join_key(path: &Path) -> anyhow::Result<Key> {
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            if let Ok(key) = Key::from_pem(&text) {
                return Ok(key);
            }
            tracing::warn!("{} is damaged: another key is made", path.display());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("can not read {}", path.display()));
        }
    }
    let key = Key::generate()?;
    write_secret(path, key.to_pem().as_bytes())?;
    Ok(key)
}

async fn call<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    let answer = tokio::time::timeout(CALL_TIMEOUT, answer).await;
    answer
        .map_err(|_| Status::deadline_exceeded("the coordinator does not answer"))?
        .map(tonic::Response::into_inner)
}

/// Says whether an answer is about who we are.
pub(crate) fn is_rejection(status: &Status) -> bool {
    let denied = failure::find(status).is_some_and(|found| found.is_denied);
    denied || status.code() == Code::Unauthenticated
}
