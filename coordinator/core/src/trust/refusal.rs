//! Why somebody is not let in, and why something that was asked for about that is not done.

use std::fmt;
use std::time::Duration;

use model::id::{NodeId, OperatorName, TokenId};
use model::secret::reference::{ALLOWANCES_LIMIT, ReferenceGlob};
use model::time::Timestamp;
use model::trust::ServiceGlob;

use super::{LONGEST_OPERATOR, LONGEST_TOKEN, OPERATORS_LIMIT, PERMITS_LIMIT, TOKENS_LIMIT};

/// Why a certificate that the authority has signed lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// It never was, or the store was lost.
    UnknownNode(NodeId),
    /// It was taken back.
    Revoked(NodeId, Timestamp),
    /// The node has been given another one and uses that.
    Superseded(NodeId),
    /// There is no such operator, or they were given another one.
    UnknownOperator(OperatorName),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode(node) => write!(f, "node {node} has not joined this cluster"),
            Self::Revoked(node, at) => write!(f, "node {node} was revoked at {at}"),
            Self::Superseded(node) => write!(
                f,
                "this certificate of node {node} was replaced by another one: is its state in use on two machines?"
            ),
            Self::UnknownOperator(name) => write!(
                f,
                "the certificate of operator {name} does not count: they were removed, or given another one"
            ),
        }
    }
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Forged, removed, or of another cluster.
    UnknownToken,
    /// Too late.
    TokenExpired(TokenId, Timestamp),
    /// It was made for another node than this one.
    TokenOfAnother(TokenId, NodeId),
    /// It is used once, and was.
    TokenUsed(TokenId, NodeId, Timestamp),
    /// There is such a node already, and the token is for a new one.
    NodeTaken(NodeId),
    /// The document of this node was shown before, with another key.
    DocumentUsed(NodeId),
    /// A token has to hold for some time, and not too long.
    TokenLife(Duration),
    /// Too many wait to be used.
    TooManyTokens,
    /// There is no such token.
    NoToken(TokenId),
    /// There is no such node.
    NoNode(NodeId),
    /// Who asks is not let in.
    Denied(Denial),
    /// It was given a certificate a moment ago.
    TooSoon(NodeId),
    /// A certificate has to hold for some time, and not too long.
    OperatorLife(Duration),
    /// There is one of that name.
    OperatorExists(OperatorName),
    /// There are too many.
    TooManyOperators,
    /// There is no such operator.
    NoOperator(OperatorName),
    /// There are too many.
    TooManyPermits,
    /// Nothing is allowed to exactly these services.
    NoPermit(ServiceGlob),
    /// There are too many.
    TooManyAllowances,
    /// Nobody has said anything of exactly these references.
    NoAllowance(ReferenceGlob),
}

fn days(duration: Duration) -> u64 {
    duration.as_secs() / 86_400
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken => f.write_str("this cluster has no such join token"),
            Self::TokenExpired(id, at) => write!(f, "join token {id} has expired at {at}"),
            Self::TokenOfAnother(id, node) => {
                write!(f, "join token {id} is for another node than {node}")
            }
            Self::TokenUsed(id, node, at) => {
                write!(f, "join token {id} was used by node {node} at {at}, and each is used once")
            }
            Self::NodeTaken(node) => write!(f, "node {node} has joined already"),
            Self::DocumentUsed(node) => write!(
                f,
                "node {node} has joined already, and its identity document lets it in once: was it copied?"
            ),
            Self::TokenLife(asked) => write!(
                f,
                "a join token holds for some time, and {} days at most: not for {asked:?}",
                days(LONGEST_TOKEN)
            ),
            Self::TooManyTokens => {
                write!(f, "{TOKENS_LIMIT} join tokens wait to be used: no more are made")
            }
            Self::NoToken(id) => write!(f, "there is no join token {id}"),
            Self::NoNode(node) => write!(f, "no node {node} has joined"),
            Self::Denied(denial) => denial.fmt(f),
            Self::TooSoon(node) => {
                write!(f, "node {node} was given another certificate a moment ago")
            }
            Self::OperatorLife(asked) => write!(
                f,
                "the certificate of an operator holds for some time, and {} days at most: not for {asked:?}",
                days(LONGEST_OPERATOR)
            ),
            Self::OperatorExists(name) => write!(f, "there is an operator {name} already"),
            Self::TooManyOperators => {
                write!(f, "there are {OPERATORS_LIMIT} operators: no more are added")
            }
            Self::NoOperator(name) => write!(f, "there is no operator {name}"),
            Self::TooManyPermits => {
                write!(f, "there are {PERMITS_LIMIT} grants: no more are made")
            }
            Self::NoPermit(services) => write!(f, "there is no grant for {services}"),
            Self::TooManyAllowances => {
                write!(f, "{ALLOWANCES_LIMIT} patterns of references are allowed: no more are")
            }
            Self::NoAllowance(references) => {
                write!(f, "nobody has allowed {references}, written just so")
            }
        }
    }
}
