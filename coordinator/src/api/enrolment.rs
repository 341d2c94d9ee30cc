//! Certificates for nodes. What is decided is stored first, and signed then: no certificate exists that nobody knows of.

use std::sync::Arc;
use std::time::Instant;

use coordinator_core::trust::{Asked, Join, Refusal};
use model::id::NodeId;
use model::time::Timestamp;
use model::trust::{Fingerprint, Issued};
use proto::wire;
use tonic::{Code, Request, Response, Status};
use trust::key::{fingerprint, requested};
use trust::{JoinToken, Name, Peer};

use crate::Shared;
use crate::api::access::{Caller, by, caller, denied};
use crate::api::{hinted, status};
use crate::attest::{Claim, Proof, Refused, VALID};
use crate::authority::Authority;
use crate::rates::{Origin, REFUSED};
use crate::trusted::Trusted;

/// The service by which nodes get certificates.
#[derive(Debug, Clone)]
pub(crate) struct Enrolment {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::enrolment_server::Enrolment for Enrolment {
    async fn challenge(
        &self,
        request: Request<wire::ChallengeRequest>,
    ) -> Result<Response<wire::ChallengeResponse>, Status> {
        self.may_ask(origin(&request))?;
        let attestation = self.shared.trusted()?.attestation.as_ref();
        let attestation = attestation.ok_or_else(|| unproven(&Refused::Unconfigured))?;
        Ok(Response::new(wire::ChallengeResponse {
            challenge: attestation.challenge(),
            valid_ms: u64::try_from(VALID.as_millis()).unwrap_or(u64::MAX),
            cluster: self.shared.identity.cluster.to_string(),
        }))
    }

    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let origin = origin(&request);
        self.may_ask(origin)?;
        let answer = self.let_in(request).await;
        let is_refused = answer.as_ref().is_err_and(|status| !is_our_own(status.code()));
        if let Some(origin) = origin.filter(|_| is_refused) {
            self.shared.rates.joins.count_more(origin, REFUSED - 1, Instant::now());
        }
        answer
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let Caller::Node(node, shown) = caller(&request)? else {
            return Err(Status::permission_denied("only a node has a certificate to renew"));
        };
        let by = by(&request)?;
        let trusted = self.shared.trusted()?;
        let key = read(&request.into_inner().request)?;
        let (issued, now) = issue(trusted);
        let renew = Asked::Renew { node: node.clone(), shown, issued: issued.clone() };
        let decided =
            self.shared.door.trust(renew, Some(by)).await.map_err(|error| status(&error))?;
        decided.map_err(|refusal| refused(&refusal))?;
        tracing::info!(%node, serial = %issued.serial, "a node has another certificate");
        self.sign(&node, &key, &issued, now)
    }
}

/// From where somebody asks.
fn origin<T>(request: &Request<T>) -> Option<Origin> {
    let peer = request.extensions().get::<Peer>();
    peer.and_then(|peer| Origin::of(&peer.address))
}

/// Whether nothing is said of who asks.
const fn is_our_own(code: Code) -> bool {
    matches!(
        code,
        Code::ResourceExhausted | Code::Unavailable | Code::Internal | Code::DeadlineExceeded
    )
}

impl Enrolment {
    /// Counts who asks to be let in, by where they come from.
    fn may_ask(&self, origin: Option<Origin>) -> Result<(), Status> {
        let Some(origin) = origin else { return Ok(()) };
        let counted = self.shared.rates.joins.count(origin, Instant::now());
        counted.map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            let why = format!(
                "too many have asked to join from this address lately: come again in {seconds} s"
            );
            hinted(
                Status::resource_exhausted(why),
                "an address may ask 600 times at once and then ten times a second, and what is refused counts for ten",
            )
        })
    }

    async fn let_in(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let from = request.extensions().get::<Peer>().map(|peer| Arc::clone(&peer.address));
        let by = by(&request)?;
        let request = request.into_inner();
        let trusted = self.shared.trusted()?;
        let node: NodeId =
            request.node.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        let key = read(&request.request)?;
        let (issued, now) = issue(trusted);
        let serial = issued.clone();
        let asked = self.shown(request, (&node, fingerprint(&key), issued)).await?;
        let decided = self.shared.door.trust(asked, Some(by)).await;
        if let Err(refusal) = decided.map_err(|error| status(&error))? {
            tracing::warn!(%node, ?from, why = %refusal, "a node is not let in");
            return Err(refused(&refusal));
        }
        // Whoever was this node until now is not any more.
        trusted.connections.cut(&Name::Node(node.clone()));
        tracing::info!(%node, ?from, serial = %serial.serial, "a node has joined");
        self.sign(&node, &key, &serial, now)
    }

    /// What the ledger is asked, by what is shown: a token, or a proof that is found to be genuine.
    async fn shown(
        &self,
        request: wire::JoinRequest,
        (node, key, issued): (&NodeId, Fingerprint, Issued),
    ) -> Result<Asked, Status> {
        let node = node.clone();
        let proof = match (request.token.as_str(), request.aws_sts, request.aws_iid) {
            (token, None, None) => {
                let token = JoinToken::digest(token);
                return Ok(Asked::Join(Join { token, node, key, issued }));
            }
            ("", Some(call), None) => Proof::Call(call),
            ("", None, Some(document)) => Proof::Document(document),
            _ => return Err(Status::invalid_argument("one thing is shown, and no more")),
        };
        let attestation = self.shared.trusted()?.attestation.as_ref();
        let attestation = attestation.ok_or_else(|| unproven(&Refused::Unconfigured))?;
        let claim = Claim { node, key, issued, challenge: request.challenge, proof };
        let may = |node: &NodeId, by, key: &Fingerprint| {
            self.shared.ledgers.read().may_attest(node, by, key)
        };
        let proven = attestation.prove(&self.shared.identity.cluster, claim, may).await;
        proven.map_err(|why| unproven(&why))
    }

    fn sign(
        &self,
        node: &NodeId,
        key: &rcgen::PublicKey,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let authority = &self.shared.trusted()?.authority;
        let until = (now, issued.expires_at);
        let signed = authority.sign(&Name::Node(node.clone()), key, &issued.serial, until);
        let certificate = signed.map_err(|error| Status::internal(format!("{error:#}")))?;
        Ok(Response::new(wire::JoinResponse {
            cluster: self.shared.identity.cluster.to_string(),
            certificate,
            authority: authority.certificate().to_vec(),
            now_ms: now.as_millis(),
        }))
    }
}

fn issue(trusted: &Trusted) -> (Issued, Timestamp) {
    let now = trust::now();
    (Issued { serial: Authority::next_serial(), expires_at: now + trusted.node_life }, now)
}

/// Takes the key out of a request for a certificate.
pub(crate) fn read(request: &[u8]) -> Result<rcgen::PublicKey, Status> {
    let invalid =
        |error| Status::invalid_argument(format!("the request for a certificate: {error:#}"));
    requested(request).map_err(invalid)
}

/// Why a machine is not let in by what it shows.
fn unproven(why: &Refused) -> Status {
    let message = why.to_string();
    match why {
        Refused::Unconfigured => hinted(
            Status::failed_precondition(message),
            "start it with --aws-join FILE (docs/aws.md), or let the node join by a token",
        ),
        Refused::Challenge(_) | Refused::Another { .. } => Status::unauthenticated(message),
        Refused::Malformed(_) => Status::invalid_argument(message),
        Refused::Stale { .. } => hinted(
            Status::unauthenticated(message),
            "a document is good for five minutes after the launch of its instance, and a call for five minutes after it was signed",
        ),
        Refused::Unsigned(_) => hinted(
            Status::unauthenticated(message),
            "the credentials of its metadata service may just be replaced: it is tried again",
        ),
        Refused::Unavailable(_) => Status::unavailable(message),
        Refused::Busy => Status::resource_exhausted(message),
        Refused::Foreign(_) => hinted(
            Status::unauthenticated(message),
            "accounts, regions and roles that are let in are in the file of --aws-join (docs/aws.md)",
        ),
        Refused::Unknown(_) | Refused::Unfit(..) => hinted(
            Status::unauthenticated(message),
            "instances of a pool are let in; it may be that this one was made a moment ago, and it is tried again",
        ),
        Refused::Ledger(refusal) => refused(refusal),
    }
}

/// Why something about who is let in is not done.
pub(crate) fn refused(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::Denied(denial) => denied(denial),
        Refusal::UnknownToken
        | Refusal::TokenExpired(..)
        | Refusal::TokenOfAnother(..)
        | Refusal::TokenUsed(..) => hinted(
            Status::unauthenticated(message),
            "make a new one with `wharf token create` and give it to this agent",
        ),
        Refusal::NodeTaken(_) => hinted(
            Status::already_exists(message),
            "when it is this machine that joins anew, make a token for it with `wharf token create --node NAME`; otherwise give it another name",
        ),
        Refusal::DocumentUsed(_) => hinted(
            Status::unauthenticated(message),
            "a token that names the node lets it in anew (`wharf token create --node NAME`); with --join aws-sts it would do so by itself",
        ),
        Refusal::OperatorExists(_) => hinted(
            Status::already_exists(message),
            "`wharf operator rm` takes them away first; their certificate then opens nothing any more",
        ),
        Refusal::NoToken(_) => {
            hinted(Status::not_found(message), "`wharf token ls` shows what there is")
        }
        Refusal::NoOperator(_) => {
            hinted(Status::not_found(message), "`wharf operator ls` shows who there is")
        }
        Refusal::NoNode(_) => hinted(
            Status::not_found(message),
            "`wharf node ls` shows nodes; one without a certificate has nothing that could be revoked",
        ),
        Refusal::TooSoon(_) => Status::resource_exhausted(message),
        Refusal::TokenLife(_) | Refusal::OperatorLife(_) => Status::invalid_argument(message),
        Refusal::TooManyTokens => hinted(
            Status::resource_exhausted(message),
            "`wharf token rm` takes away those that nobody will use",
        ),
        Refusal::TooManyPermits | Refusal::NoPermit(_) => hinted(
            Status::failed_precondition(message),
            "`wharf grant ls` shows what services may ask of machines",
        ),
        Refusal::TooManyAllowances | Refusal::NoAllowance(_) => hinted(
            Status::failed_precondition(message),
            "`wharf secret allowed` shows which services may name values that AWS keeps",
        ),
        Refusal::TooManyOperators => hinted(
            Status::resource_exhausted(message),
            "`wharf operator rm` takes away those that nobody will be any more",
        ),
    }
}
