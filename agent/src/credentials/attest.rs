//! Joins without a secret: shows which instance this is, as often as it takes.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::id::ClusterId;
use model::trust::Fingerprint;
use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use trust::attest::binding;
use trust::attest::caller::Call;
use trust::digest::sha256;
use trust::key::Key;
use trust::tls::Client;
use trust::transport::Dial;

use super::{Credentials, JOIN_KEY, Problem, call, join_key};
use crate::imds::Imds;

/// How an instance shows which one it is.
#[derive(Debug, Clone)]
pub struct AwsJoin {
    /// By what.
    pub by: AwsProof,
    /// Of the certificate of the cluster's authority: nothing is shown to anybody else.
    pub authority: Fingerprint,
    /// Where the metadata service is.
    pub imds: String,
}

/// What an instance shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsProof {
    /// A call that it has signed with its credentials, and that the coordinator makes.
    Sts,
    /// Its identity document, which AWS has signed.
    Iid,
}

impl Credentials {
    /// Shows which instance this is, and keeps what is given for it.
    pub(super) async fn attest(&mut self, aws: &AwsJoin) -> Result<(), Problem> {
        let path = self.directory.join(JOIN_KEY);
        let key = join_key(&path)?;
        let dial =
            Dial::Tls { address: self.address.clone(), client: Client::pinned(aws.authority)? };
        let channel = dial.channel().context("the coordinator can not be dialled")?;
        let mut client = EnrolmentClient::new(channel);
        let challenged = call(client.challenge(wire::ChallengeRequest {})).await;
        let challenged = challenged.map_err(|status| Problem::of(&status))?;
        let cluster: ClusterId = challenged.cluster.parse().context("the cluster has no name")?;
        if let Some(ours) = self.cluster.as_ref().filter(|ours| **ours != cluster) {
            return Err(Problem::new(
                format!(
                    "this coordinator is of cluster {cluster}, and the containers of this node belong to {ours}"
                ),
                "point it at its own coordinator, or give it a new state directory",
            ));
        }
        let mut request = wire::JoinRequest {
            node: self.node.to_string(),
            request: key.request()?,
            challenge: challenged.challenge,
            ..wire::JoinRequest::default()
        };
        let binding = binding(&cluster, &request.challenge, &key.fingerprint());
        show(aws, &mut request, binding).await?;
        let answer = call(client.join(request)).await;
        let answer = answer.map_err(|status| Problem::of(&status))?;
        if sha256(&answer.authority) != aws.authority || answer.cluster != cluster.as_str() {
            let why =
                "the coordinator has answered for another cluster than the one that was named";
            return Err(Problem::new(why, ""));
        }
        self.keep(Key::from_pem(&key.to_pem())?, answer)?;
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("can not remove {}: {error}", path.display());
        }
        tracing::info!(node = %self.node, %cluster, by = ?aws.by, "this node has shown which instance it is");
        Ok(())
    }
}

/// Puts the proof into the request.
async fn show(
    aws: &AwsJoin,
    request: &mut wire::JoinRequest,
    binding: Fingerprint,
) -> Result<(), Problem> {
    let unavailable = |error: anyhow::Error| {
        Problem::new(
            format!("this instance can not show which one it is: {error:#}"),
            "its metadata service has to be turned on, in version 2; elsewhere than on EC2 nodes join by a token",
        )
    };
    let imds = Imds::begin(&aws.imds).await.map_err(unavailable)?;
    let region = imds.region().await.map_err(unavailable)?;
    match aws.by {
        AwsProof::Sts => {
            let credentials = imds.credentials().await.map_err(unavailable)?;
            let now = jiff::Timestamp::now();
            let call = Call {
                region,
                date: now.strftime("%Y%m%dT%H%M%SZ").to_string(),
                session_token: credentials.session_token.clone(),
                binding,
            };
            let signature = call.sign(&credentials);
            let Call { region, date, session_token, .. } = call;
            let access_key = credentials.access_key;
            request.aws_sts =
                Some(wire::SignedCall { region, date, access_key, session_token, signature });
        }
        AwsProof::Iid => {
            let text = imds.signed_document().await.map_err(unavailable)?;
            let text: String = text.split_whitespace().collect();
            let pkcs7 = STANDARD.decode(text);
            let pkcs7 =
                pkcs7.context("the signed document of the metadata service is no base64")?;
            request.aws_iid = Some(wire::SignedDocument { pkcs7, region });
        }
    }
    Ok(())
}
