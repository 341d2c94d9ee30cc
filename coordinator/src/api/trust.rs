//! Administrators: who is let in.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::trust::Asked;
use model::id::{NodeId, OperatorName, TokenId};
use model::trust::{Issued, Operator};
use proto::convert::{
    image_policy_from_wire, image_policy_to_wire, operator_to_wire, permit_from_wire,
    permit_to_wire, role_from_wire, token_from_wire, token_to_wire,
};
use proto::wire;
use tonic::{Request, Response, Status};
use trust::{JoinToken, Name};

use crate::Shared;
use crate::api::access::{by, caller};
use crate::api::audit;
use crate::api::control::Answers;
use crate::api::enrolment::{read, refused};
use crate::api::{invalid, status};
use crate::audit::By;
use crate::authority::Authority;

/// The service of administrators.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) shared: Arc<Shared>,
}

fn named<T: std::str::FromStr>(text: &str) -> Result<T, Status>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl wire::trust_server::Trust for Trust {
    type AuditStream = Answers<wire::AuditPage>;

    async fn audit(
        &self,
        request: Request<wire::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        Ok(Response::new(audit::audit(&self.shared, request.into_inner())))
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::CreateTokenResponse>, Status> {
        let (made_by, by) = (caller(&request)?.to_string(), by(&request)?);
        let request = request.into_inner();
        let trusted = self.shared.trusted()?;
        let cluster = self.shared.identity.cluster.clone();
        let token = JoinToken::draw(cluster, trusted.authority.fingerprint());
        let digest = JoinToken::digest(token.secret());
        let expires_at = trust::now() + Duration::from_millis(request.valid_ms);
        let made = token_from_wire(&wire::JoinToken {
            id: digest.token_id().to_string(),
            digest: digest.as_bytes().to_vec(),
            grant: Some(wire::Grant {
                pool: request.pool,
                labels: request.labels,
                ..wire::Grant::default()
            }),
            node: request.node,
            made_by,
            expires_at_ms: expires_at.as_millis(),
            used: None,
        });
        let made = made.map_err(|error| invalid(&error))?;
        let id = made.id.to_string();
        self.ask(by, Asked::CreateToken(made)).await?;
        let token = token.expose().to_string();
        let expires_at_ms = expires_at.as_millis();
        Ok(Response::new(wire::CreateTokenResponse { token, id, expires_at_ms }))
    }

    async fn list_tokens(
        &self,
        _request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensResponse>, Status> {
        let ledger = self.shared.ledgers.read();
        let without_digest = |token| wire::JoinToken { digest: Vec::new(), ..token_to_wire(token) };
        let tokens = ledger.tokens().map(without_digest).collect();
        let trusted = self.shared.trusted.as_ref();
        let authority = trusted.map(|trusted| trusted.authority.fingerprint().to_string());
        let authority = authority.unwrap_or_default();
        Ok(Response::new(wire::ListTokensResponse { tokens, authority }))
    }

    async fn remove_token(
        &self,
        request: Request<wire::RemoveTokenRequest>,
    ) -> Result<Response<wire::RemoveTokenResponse>, Status> {
        let by = by(&request)?;
        let id: TokenId = named(&request.into_inner().id)?;
        self.ask(by, Asked::RemoveToken(id)).await?;
        Ok(Response::new(wire::RemoveTokenResponse {}))
    }

    async fn add_operator(
        &self,
        request: Request<wire::AddOperatorRequest>,
    ) -> Result<Response<wire::AddOperatorResponse>, Status> {
        let (made_by, by) = (caller(&request)?.to_string(), by(&request)?);
        let request = request.into_inner();
        let trusted = self.shared.trusted()?;
        let name: OperatorName = named(&request.name)?;
        let role = role_from_wire(request.role(), &request.services);
        let role = role.map_err(|error| invalid(&error))?;
        let key = read(&request.request)?;
        let now = trust::now();
        let expires_at = now + Duration::from_millis(request.valid_ms);
        let issued = Issued { serial: Authority::next_serial(), expires_at };
        let operator = Operator { name: name.clone(), role, issued: issued.clone(), made_by };
        self.ask(by, Asked::AddOperator(operator)).await?;
        let until = (now, expires_at);
        let signed = trusted.authority.sign(&Name::Operator(name), &key, &issued.serial, until);
        Ok(Response::new(wire::AddOperatorResponse {
            cluster: self.shared.identity.cluster.to_string(),
            certificate: signed.map_err(|error| Status::internal(format!("{error:#}")))?,
            authority: trusted.authority.certificate().to_vec(),
            expires_at_ms: expires_at.as_millis(),
            addresses: trusted.addresses.clone(),
        }))
    }

    async fn list_operators(
        &self,
        _request: Request<wire::ListOperatorsRequest>,
    ) -> Result<Response<wire::ListOperatorsResponse>, Status> {
        let ledger = self.shared.ledgers.read();
        let operators = ledger.operators().map(operator_to_wire).collect();
        Ok(Response::new(wire::ListOperatorsResponse { operators }))
    }

    async fn remove_operator(
        &self,
        request: Request<wire::RemoveOperatorRequest>,
    ) -> Result<Response<wire::RemoveOperatorResponse>, Status> {
        let by = by(&request)?;
        let name: OperatorName = named(&request.into_inner().name)?;
        self.ask(by, Asked::RemoveOperator(name.clone())).await?;
        self.shared.trusted()?.connections.cut(&Name::Operator(name));
        Ok(Response::new(wire::RemoveOperatorResponse {}))
    }

    async fn add_grant(
        &self,
        request: Request<wire::AddGrantRequest>,
    ) -> Result<Response<wire::AddGrantResponse>, Status> {
        let by = by(&request)?;
        let wire::AddGrantRequest { services, rights, why } = request.into_inner();
        let why = if why.is_empty() { by.why.clone() } else { why };
        let permit = wire::StoredPermit { services, rights, made_by: by.who.clone(), why };
        let permit = permit_from_wire(&permit).map_err(|error| invalid(&error))?;
        self.ask(by, Asked::AddPermit(permit)).await?;
        Ok(Response::new(wire::AddGrantResponse {}))
    }

    async fn list_grants(
        &self,
        _request: Request<wire::ListGrantsRequest>,
    ) -> Result<Response<wire::ListGrantsResponse>, Status> {
        let ledger = self.shared.ledgers.read();
        let grants = ledger.permits().map(permit_to_wire).collect();
        Ok(Response::new(wire::ListGrantsResponse { grants }))
    }

    async fn remove_grant(
        &self,
        request: Request<wire::RemoveGrantRequest>,
    ) -> Result<Response<wire::RemoveGrantResponse>, Status> {
        let by = by(&request)?;
        let services = named(&request.into_inner().services)?;
        self.ask(by, Asked::RemovePermit(services)).await?;
        Ok(Response::new(wire::RemoveGrantResponse {}))
    }

    async fn set_image_policy(
        &self,
        request: Request<wire::SetImagePolicyRequest>,
    ) -> Result<Response<wire::SetImagePolicyResponse>, Status> {
        let by = by(&request)?;
        let patterns = request.into_inner().patterns;
        let (made_by, why) = (by.who.clone(), by.why.clone());
        let policy = if patterns.is_empty() {
            None
        } else {
            let policy = wire::StoredImagePolicy { patterns, made_by, why };
            Some(image_policy_from_wire(&policy).map_err(|error| invalid(&error))?)
        };
        self.ask(by, Asked::SetImages(policy)).await?;
        Ok(Response::new(wire::SetImagePolicyResponse {}))
    }

    async fn get_image_policy(
        &self,
        _request: Request<wire::GetImagePolicyRequest>,
    ) -> Result<Response<wire::GetImagePolicyResponse>, Status> {
        let policy = self.shared.ledgers.read().images().map(image_policy_to_wire);
        Ok(Response::new(wire::GetImagePolicyResponse { policy }))
    }

    async fn revoke_node(
        &self,
        request: Request<wire::RevokeNodeRequest>,
    ) -> Result<Response<wire::RevokeNodeResponse>, Status> {
        let by = by(&request)?;
        let who = by.who.clone();
        let node: NodeId = named(&request.into_inner().node)?;
        self.ask(by, Asked::Revoke(node.clone())).await?;
        tracing::warn!(%node, who, "a node is revoked");
        // Committed first: who dials again at once is turned away.
        self.shared.trusted()?.connections.cut(&Name::Node(node));
        Ok(Response::new(wire::RevokeNodeResponse {}))
    }
}

impl Trust {
    async fn ask(&self, by: By, asked: Asked) -> Result<(), Status> {
        let decided =
            self.shared.door.trust(asked, Some(by)).await.map_err(|error| status(&error))?;
        decided.map_err(|refusal| refused(&refusal))
    }
}
