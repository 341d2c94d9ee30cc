//! How machines of AWS are let in without a secret in their image: they show which one they are, AWS says that it is so, and
//! somebody who knows the instances says what they belong to.
//!
//! ```text
//!  proof ─▶ call (made here, at a host that is made here) ─┐
//!        └▶ document (read from what was verified)        ─┴▶ instance ─▶ Instances ─▶ Asked::Attest ─▶ ledger
//! ```
//!
//! What the machine says of itself decides nothing: which instance it is comes from AWS, and pool and labels from `Instances`.

mod call;
mod challenge;
mod config;
mod document;
mod instances;
mod pools;

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator_core::trust::{Asked, Attest, Refusal};
use model::id::NodeId;
use model::trust::{Fingerprint, Grant, Issued, Machine, Method};
use proto::wire;
use thiserror::Error;
use trust::attest::document::Signer;

pub use config::InstancesFile;
pub use instances::{Instance, Instances, Known, Question};
pub(crate) use pools::OfPools;

use call::Caller;
use challenge::{Challenges, NotGood};

pub(crate) use challenge::VALID;

/// What is let in of AWS, and by whom it is known.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Accounts whose instances are let in.
    pub accounts: Vec<String>,
    /// Regions whose instances are let in.
    pub regions: Vec<String>,
    /// Roles of instance profiles that are let in, besides the role that every instance has of itself. Whoever may assume
    /// one of them with a name of their choice is every instance: their trust policy lets in nobody but EC2.
    pub roles: Vec<String>,
    /// Where calls are made instead of at AWS, for tests: `http://127.0.0.1:PORT`.
    pub sts: Option<String>,
    /// The certificates that sign documents, by region.
    pub signers: BTreeMap<String, Signer>,
    /// Who knows the instances.
    pub instances: Arc<dyn Instances>,
}

/// Why a machine is not let in.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// It is not known how.
    #[error("this coordinator lets in no machines of AWS")]
    Unconfigured,
    /// The challenge is of no use.
    #[error("{0}")]
    Challenge(#[from] NotGood),
    /// Something in the proof has not the form that it has at AWS.
    #[error("the proof is no proof: {0}")]
    Malformed(String),
    /// It was made at another time.
    #[error("the proof was made at {made}, and it is {now}: is a clock wrong?")]
    Stale {
        /// When.
        made: String,
        /// And now.
        now: String,
    },
    /// AWS has said no.
    #[error("AWS does not know the credentials that have signed the proof ({0})")]
    Unsigned(String),
    /// AWS could not be asked.
    #[error("AWS can not be asked whether the proof is genuine: {0}")]
    Unavailable(String),
    /// It is somebody's, and not ours.
    #[error("{0}")]
    Foreign(String),
    /// It is not the node that it says it is.
    #[error("the proof is of instance {instance}, and the node says that it is {node}")]
    Another {
        /// By the proof.
        instance: String,
        /// By what it says.
        node: NodeId,
    },
    /// Nobody knows it.
    #[error("instance {0} is in no pool that is known here")]
    Unknown(String),
    /// It is known, and there is something against it.
    #[error("instance {0} is not let in: {1}")]
    Unfit(String, String),
    /// Too many ask.
    #[error("too many machines show which one they are: try again in a moment")]
    Busy,
    /// The ledger does not let it in.
    #[error("{0}")]
    Ledger(Refusal),
}

/// What somebody shows, and for what.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) node: NodeId,
    /// Of the key that a certificate is asked for.
    pub(crate) key: Fingerprint,
    pub(crate) issued: Issued,
    pub(crate) challenge: Vec<u8>,
    pub(crate) proof: Proof,
}

/// What is shown.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A signature of a call.
    Call(wire::SignedCall),
    /// A signed document.
    Document(wire::SignedDocument),
}

impl Proof {
    const fn method(&self) -> Method {
        match self {
            Self::Call(_) => Method::AwsSts,
            Self::Document(_) => Method::AwsIid,
        }
    }
}

/// Which instance it is, once that is certain.
#[derive(Debug)]
struct Shown {
    account: String,
    region: String,
    instance: String,
}

/// Lets machines of AWS in.
#[derive(Debug)]
pub(crate) struct Attestation {
    aws: Aws,
    challenges: Challenges,
    caller: Caller,
}

impl Attestation {
    /// Makes ready.
    ///
    /// # Errors
    /// When AWS could not be called.
    pub(crate) fn new(aws: Aws) -> anyhow::Result<Self> {
        let caller = Caller::new(&aws)?;
        Ok(Self { aws, challenges: Challenges::new(), caller })
    }

    /// A challenge that nobody has had before.
    pub(crate) fn challenge(&self) -> Vec<u8> {
        self.challenges.draw(trust::now())
    }

    /// Finds out whether it is so. What is cheap to find out comes first, and nobody outside is asked on behalf of whoever is
    /// refused anyway.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) async fn prove(
        &self,
        cluster: &model::id::ClusterId,
        claim: Claim,
        may_attest: impl Fn(&NodeId, Method, &Fingerprint) -> Result<(), Refusal>,
    ) -> Result<Asked, Refused> {
        let (now, by) = (trust::now(), claim.proof.method());
        if !trust::attest::is_instance(claim.node.as_str()) {
            let why = format!(
                "{:?} is no id of an instance, and its node is named by it",
                claim.node.as_str()
            );
            return Err(Refused::Malformed(why));
        }
        self.challenges.take(&claim.challenge, now)?;
        may_attest(&claim.node, by, &claim.key).map_err(Refused::Ledger)?;
        let binding = trust::attest::binding(cluster, &claim.challenge, &claim.key);
        let shown = match &claim.proof {
            Proof::Call(call) => self.caller.verify(&self.aws, call, binding).await?,
            Proof::Document(signed) => document::verify(&self.aws, signed, now)?,
        };
        if shown.instance != claim.node.as_str() {
            return Err(Refused::Another { instance: shown.instance, node: claim.node });
        }
        let grant = self.grant(shown).await?;
        let Claim { node, key, issued, .. } = claim;
        Ok(Asked::Attest(Attest { node, by, key, grant, issued }))
    }

    async fn grant(&self, shown: Shown) -> Result<Grant, Refused> {
        let Shown { account, region, instance } = shown;
        let question = Question { account, region, instance };
        let known = self.aws.instances.find(&question).await;
        match known.map_err(|error| Refused::Unavailable(format!("{error:#}")))? {
            Known::Ours(instance) => {
                let Instance { pool, labels, zone, ami, instance_type } = instance;
                Ok(Grant {
                    pool: Some(pool),
                    labels,
                    machine: Machine { zone, ami, instance_type },
                })
            }
            Known::Baking => Ok(Grant::default()),
            Known::Foreign => Err(Refused::Unknown(question.instance)),
            Known::Unfit(why) => Err(Refused::Unfit(question.instance, why)),
        }
    }
}

/// What is let in at all, whoever says that it is so.
fn check(aws: &Aws, account: &str, region: &str) -> Result<(), Refused> {
    if !aws.accounts.iter().any(|known| known == account) {
        return Err(Refused::Foreign(format!("account {account:?} is not let in here")));
    }
    if !aws.regions.iter().any(|known| known == region) {
        return Err(Refused::Foreign(format!("region {region:?} is not let in here")));
    }
    Ok(())
}
