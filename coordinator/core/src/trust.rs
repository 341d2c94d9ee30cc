//! Who is let in, decided: tokens are used once, certificates take each other's place, and what was revoked stays out.
//!
//! ```text
//!  Asked ─▶ Ledger::decide ─▶ Decided { changes, answer } ─▶ store ─▶ Ledger::apply
//! ```
//!
//! Apart from the cluster: nothing here is planned, and no plan depends on it. What is absent: cryptography. Digests and
//! serial numbers come in as arguments, and a certificate is signed only after what is decided here was stored.

use std::collections::BTreeMap;
use std::time::Duration;

use model::id::{NodeId, OperatorName, Serial, TokenId};
use model::policy::images::ImagePolicy;
use model::policy::{Permit, Right, needs};
use model::secret::reference::{ALLOWANCES_LIMIT, Allowance, Reference, ReferenceGlob};
use model::spec::ServiceSpec;
use model::time::Timestamp;
use model::trust::{
    Admission, Attested, Fingerprint, Grant, Issued, Method, Operator, Role, ServiceGlob, Standing,
    Token, Use,
};

mod refusal;

pub use refusal::{Denial, Refusal};

/// Tokens that wait to be used. An autoscaling script that makes them without end fills no store.
pub const TOKENS_LIMIT: usize = 20_000;
/// Operators.
pub const OPERATORS_LIMIT: usize = 1_000;
/// Permits.
pub const PERMITS_LIMIT: usize = 1_000;
/// A token can be used for at most this long.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(7 * 86_400);
/// The certificate of an operator holds for at most this long.
pub const LONGEST_OPERATOR: Duration = Duration::from_secs(366 * 86_400);
/// So long a token that opens nothing any more is shown, so that an operator sees what became of it.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// So long after its last certificate has ended, or after it was revoked, nobody else gets a node's name with just any
/// token. Machines come and go, and a store that remembered all of them would only grow.
const NODE_REMEMBERED: Duration = Duration::from_secs(90 * 86_400);
/// A node that asks for one certificate after the other would have the store do nothing else.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);
/// So many are forgotten at a time.
const FORGOTTEN_AT_ONCE: usize = 100;

/// Something that is asked for.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A token to join by.
    CreateToken(Token),
    /// That a token opens nothing any more.
    RemoveToken(TokenId),
    /// A node shows a token.
    Join(Join),
    /// A machine has shown which one it is, by something that was verified.
    Attest(Attest),
    /// A node that is known by a certificate asks for another.
    Renew {
        /// Which node.
        node: NodeId,
        /// The certificate that it shows.
        shown: Issued,
        /// What it would be given.
        issued: Issued,
    },
    /// A node has shown this certificate in a connection.
    Shown {
        /// Which node.
        node: NodeId,
        /// The certificate.
        shown: Issued,
    },
    /// That a node is not let in any more.
    Revoke(NodeId),
    /// That somebody may give orders.
    AddOperator(Operator),
    /// That somebody may not any more.
    RemoveOperator(OperatorName),
    /// That services may ask something of machines.
    AddPermit(Permit),
    /// That they may not any more.
    RemovePermit(ServiceGlob),
    /// That images come from somewhere, and with nothing from everywhere.
    SetImages(Option<ImagePolicy>),
    /// That services may name values that AWS keeps.
    Allow(Allowance),
    /// That they may not any more.
    Disallow(ReferenceGlob),
}

/// A node shows a token.
#[derive(Debug, Clone)]
pub struct Join {
    /// Of the secret that it shows.
    pub token: Fingerprint,
    /// What it would like to be called.
    pub node: NodeId,
    /// Of its public key.
    pub key: Fingerprint,
    /// What it would be given.
    pub issued: Issued,
}

/// A machine has shown which one it is.
#[derive(Debug, Clone)]
pub struct Attest {
    /// Which one it is.
    pub node: NodeId,
    /// By what it has shown that.
    pub by: Method,
    /// Of its public key.
    pub key: Fingerprint,
    /// What is known of it.
    pub grant: Grant,
    /// What it would be given.
    pub issued: Issued,
}

/// One write to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A token is as it says.
    PutToken(Token),
    /// There is no such token.
    RemoveToken(TokenId),
    /// A node is let in, or not.
    PutAdmission(Admission),
    /// Nothing is known of a node any more.
    RemoveAdmission(NodeId),
    /// An operator is as it says.
    PutOperator(Operator),
    /// There is no such operator.
    RemoveOperator(OperatorName),
    /// Services may ask something of machines.
    PutPermit(Permit),
    /// There is no such permit.
    RemovePermit(ServiceGlob),
    /// Images come from there.
    PutImages(ImagePolicy),
    /// They come from everywhere.
    RemoveImages,
    /// Services may name references.
    PutAllowance(Allowance),
    /// There is no such allowance.
    RemoveAllowance(ReferenceGlob),
}

/// Everybody who is let in, and what opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    tokens: BTreeMap<TokenId, Token>,
    admissions: BTreeMap<NodeId, Admission>,
    operators: BTreeMap<OperatorName, Operator>,
    /// By the pattern that each is for.
    permits: BTreeMap<String, Permit>,
    /// From where images may come; from everywhere when there is none.
    images: Option<ImagePolicy>,
    /// By the pattern of references that each is of.
    allowances: BTreeMap<String, Allowance>,
}

impl Ledger {
    /// Rebuilds it from what was stored.
    #[must_use]
    pub fn load(changes: &[Change]) -> Self {
        let mut ledger = Self::default();
        changes.iter().for_each(|change| ledger.apply(change));
        ledger
    }

    /// Takes in what was stored.
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::PutToken(token) => drop(self.tokens.insert(token.id.clone(), token)),
            Change::RemoveToken(id) => drop(self.tokens.remove(&id)),
            Change::PutAdmission(admission) => {
                self.admissions.insert(admission.node.clone(), admission);
            }
            Change::RemoveAdmission(node) => drop(self.admissions.remove(&node)),
            Change::PutOperator(operator) => {
                self.operators.insert(operator.name.clone(), operator);
            }
            Change::RemoveOperator(name) => drop(self.operators.remove(&name)),
            Change::PutPermit(permit) => {
                self.permits.insert(permit.services.to_string(), permit);
            }
            Change::RemovePermit(services) => drop(self.permits.remove(&services.to_string())),
            Change::PutImages(policy) => self.images = Some(policy),
            Change::RemoveImages => self.images = None,
            Change::PutAllowance(allowance) => {
                self.allowances.insert(allowance.references.to_string(), allowance);
            }
            Change::RemoveAllowance(references) => {
                drop(self.allowances.remove(&references.to_string()));
            }
        }
    }

    /// Every token, in the order of their names.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    /// Every operator, in the order of their names.
    pub fn operators(&self) -> impl Iterator<Item = &Operator> {
        self.operators.values()
    }

    /// Every permit, in the order of whom it is for.
    pub fn permits(&self) -> impl Iterator<Item = &Permit> {
        self.permits.values()
    }

    /// From where images may come; from everywhere when there is none.
    #[must_use]
    pub fn images(&self) -> Option<&ImagePolicy> {
        self.images.as_ref()
    }

    /// Which references services may name, in their order.
    pub fn allowances(&self) -> impl Iterator<Item = &Allowance> {
        self.allowances.values()
    }

    /// The services that may name this reference, whoever deploys them.
    pub fn owners(&self, reference: &Reference) -> impl Iterator<Item = &ServiceGlob> {
        let allowances = self.allowances();
        let meant = allowances.filter(|allowance| allowance.references.matches(reference));
        meant.flat_map(|allowance| &allowance.services)
    }

    /// What a service asks of machines and nobody has allowed.
    #[must_use]
    pub fn forbidden(&self, spec: &ServiceSpec) -> Vec<Right> {
        let permits = self.permits().filter(|permit| permit.services.matches(&spec.id));
        let rights: Vec<&Right> = permits.flat_map(|permit| &permit.rights).collect();
        let mut needs = needs(spec);
        needs.retain(|need| !rights.iter().any(|right| right.covers(need)));
        needs
    }

    /// What a node was given with its token.
    #[must_use]
    pub fn grant(&self, node: &NodeId) -> Option<&Grant> {
        self.admissions.get(node).map(|admission| &admission.grant)
    }

    /// Says whether a node that shows this certificate is let in. One that ends later than all that we know of was signed
    /// after the store that we have was copied: it is genuine, and is let in when the store is restored. That it was
    /// revoked since, a store of that time does not know.
    ///
    /// # Errors
    /// Says why not.
    pub fn admits(&self, node: &NodeId, shown: &Issued) -> Result<(), Denial> {
        match self.admissions.get(node).map(|admission| &admission.standing) {
            None => Err(Denial::UnknownNode(node.clone())),
            Some(Standing::Revoked { at }) => Err(Denial::Revoked(node.clone(), *at)),
            Some(Standing::Admitted { current, next }) => {
                let known = || next.iter().chain([current]);
                let is_known = known().any(|one| one.serial == shown.serial);
                let is_later = known().all(|one| one.expires_at < shown.expires_at);
                if is_known || is_later { Ok(()) } else { Err(Denial::Superseded(node.clone())) }
            }
        }
    }

    /// Says whether this certificate, with which the node is let in, is used for the first time.
    #[must_use]
    pub fn is_next(&self, node: &NodeId, shown: &Issued) -> bool {
        match self.admissions.get(node).map(|admission| &admission.standing) {
            Some(Standing::Admitted { current, .. }) => current.serial != shown.serial,
            Some(Standing::Revoked { .. }) | None => false,
        }
    }

    /// What an operator who shows this certificate may do.
    ///
    /// # Errors
    /// Says why they are not let in.
    pub fn role(&self, name: &OperatorName, shown: &Serial) -> Result<&Role, Denial> {
        let operator = self.operators.get(name);
        let operator = operator.filter(|operator| operator.issued.serial == *shown);
        operator.map(|operator| &operator.role).ok_or_else(|| Denial::UnknownOperator(name.clone()))
    }

    /// Decides. The changes are to be stored and applied before anybody is told.
    ///
    /// # Errors
    /// Says why not; then nothing changes.
    pub fn decide(&self, asked: &Asked, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        match asked {
            Asked::CreateToken(token) => self.create_token(token, now),
            Asked::RemoveToken(id) => match self.tokens.get(id) {
                Some(_) => Ok(vec![Change::RemoveToken(id.clone())]),
                None => Err(Refusal::NoToken(id.clone())),
            },
            Asked::Join(join) => self.join(join, now),
            Asked::Attest(attest) => self.attest(attest, now),
            Asked::Renew { node, shown, issued } => self.renew(node, shown, issued),
            Asked::Shown { node, shown } => Ok(self.shown(node, shown)),
            Asked::Revoke(node) => self.revoke(node, now),
            Asked::AddOperator(operator) => self.add_operator(operator, now),
            Asked::RemoveOperator(name) => match self.operators.get(name) {
                Some(_) => Ok(vec![Change::RemoveOperator(name.clone())]),
                None => Err(Refusal::NoOperator(name.clone())),
            },
            Asked::AddPermit(permit) => self.add_permit(permit),
            Asked::RemovePermit(services) => match self.permits.get(&services.to_string()) {
                Some(_) => Ok(vec![Change::RemovePermit(services.clone())]),
                None => Err(Refusal::NoPermit(services.clone())),
            },
            Asked::SetImages(Some(policy)) => Ok(vec![Change::PutImages(policy.clone())]),
            Asked::SetImages(None) => Ok(vec![Change::RemoveImages]),
            Asked::Allow(allowance) => self.allow(allowance),
            Asked::Disallow(references) => match self.allowances.get(&references.to_string()) {
                Some(_) => Ok(vec![Change::RemoveAllowance(references.clone())]),
                None => Err(Refusal::NoAllowance(references.clone())),
            },
        }
    }

    fn allow(&self, allowance: &Allowance) -> Result<Vec<Change>, Refusal> {
        let is_new = !self.allowances.contains_key(&allowance.references.to_string());
        if is_new && self.allowances.len() >= ALLOWANCES_LIMIT {
            return Err(Refusal::TooManyAllowances);
        }
        Ok(vec![Change::PutAllowance(allowance.clone())])
    }

    fn add_permit(&self, permit: &Permit) -> Result<Vec<Change>, Refusal> {
        let is_new = !self.permits.contains_key(&permit.services.to_string());
        if is_new && self.permits.len() >= PERMITS_LIMIT {
            return Err(Refusal::TooManyPermits);
        }
        Ok(vec![Change::PutPermit(permit.clone())])
    }

    fn create_token(&self, token: &Token, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let valid = token.expires_at.since(now);
        if valid.is_zero() || valid > LONGEST_TOKEN {
            return Err(Refusal::TokenLife(valid));
        }
        let is_over = |token: &&Token| now.since(token.expires_at) > REMEMBERED;
        let over: Vec<Change> = self
            .tokens()
            .filter(is_over)
            .map(|token| Change::RemoveToken(token.id.clone()))
            .collect();
        if self.tokens.len() - over.len() >= TOKENS_LIMIT {
            return Err(Refusal::TooManyTokens);
        }
        Ok(over.into_iter().chain([Change::PutToken(token.clone())]).collect())
    }

    fn join(&self, join: &Join, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        // The digest is compared and not the secret: how long that takes says nothing that helps to guess.
        let token = self.tokens.get(&join.token.token_id());
        let token = token.filter(|token| token.digest == join.token);
        let token = token.ok_or(Refusal::UnknownToken)?;
        if token.expires_at <= now {
            return Err(Refusal::TokenExpired(token.id.clone(), token.expires_at));
        }
        if token.node.as_ref().is_some_and(|only| *only != join.node) {
            return Err(Refusal::TokenOfAnother(token.id.clone(), join.node.clone()));
        }
        match &token.used {
            // The answer was lost, on the way or because somebody was killed: it is given again, but not to a node that
            // was revoked since.
            Some(used) if used.node == join.node && used.key == join.key => {
                if let Some(Admission { standing: Standing::Revoked { at }, .. }) =
                    self.admissions.get(&join.node)
                {
                    return Err(Refusal::Denied(Denial::Revoked(join.node.clone(), *at)));
                }
            }
            Some(used) => {
                return Err(Refusal::TokenUsed(token.id.clone(), used.node.clone(), used.at));
            }
            // Who has a token for some node does not become one that is there already.
            None if token.node.is_none() && self.admissions.contains_key(&join.node) => {
                return Err(Refusal::NodeTaken(join.node.clone()));
            }
            None => {}
        }
        let standing = Standing::Admitted { current: join.issued.clone(), next: None };
        let (node, grant) = (join.node.clone(), token.grant.clone());
        let at = token.used.as_ref().map_or(now, |used| used.at);
        let used = Some(Use { node: node.clone(), key: join.key, at });
        let forgotten = self.forgotten(now).filter(|forgotten| **forgotten != node).cloned();
        let forgotten: Vec<Change> = forgotten.map(Change::RemoveAdmission).collect();
        let admission = Admission { node, grant, standing, attested: None };
        let changes =
            [Change::PutToken(Token { used, ..token.clone() }), Change::PutAdmission(admission)];
        Ok(forgotten.into_iter().chain(changes).collect())
    }

    /// A signed call is made for one challenge and one key, so it may come as often as it likes: whoever was this node until
    /// now is not any more. A signed document is anybody's who has seen it, so only the first one counts, and after that the
    /// key of that one: its answer may have been lost. Who was revoked is let in by an administrator and by nobody else.
    fn attest(&self, attest: &Attest, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let node = attest.node.clone();
        self.may_attest(&node, attest.by, &attest.key)?;
        let forgotten = self.forgotten(now).filter(|forgotten| **forgotten != node).cloned();
        let forgotten: Vec<Change> = forgotten.map(Change::RemoveAdmission).collect();
        let standing = Standing::Admitted { current: attest.issued.clone(), next: None };
        let attested = Some(Attested { by: attest.by, key: attest.key, at: now });
        let admission = Admission { node, grant: attest.grant.clone(), standing, attested };
        Ok(forgotten.into_iter().chain([Change::PutAdmission(admission)]).collect())
    }

    /// Says whether a proof would let this node in, before anybody outside is asked about it.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_attest(&self, node: &NodeId, by: Method, key: &Fingerprint) -> Result<(), Refusal> {
        let Some(admission) = self.admissions.get(node) else { return Ok(()) };
        if let Standing::Revoked { at } = &admission.standing {
            return Err(Refusal::Denied(Denial::Revoked(node.clone(), *at)));
        }
        let is_again = admission.attested.as_ref().is_some_and(|before| before.key == *key);
        match by {
            Method::AwsSts => Ok(()),
            Method::AwsIid if is_again => Ok(()),
            Method::AwsIid => Err(Refusal::DocumentUsed(node.clone())),
        }
    }

    /// What is known of how a node was let in.
    #[must_use]
    pub fn admission(&self, node: &NodeId) -> Option<&Admission> {
        self.admissions.get(node)
    }

    /// Nodes that have not been here for so long that they will not be again.
    fn forgotten(&self, now: Timestamp) -> impl Iterator<Item = &NodeId> {
        let is_over = move |admission: &&Admission| {
            let ended = match &admission.standing {
                Standing::Admitted { current, next } => {
                    next.as_ref().map_or(current.expires_at, |next| next.expires_at)
                }
                Standing::Revoked { at } => *at,
            };
            now.since(ended) > NODE_REMEMBERED
        };
        let over = self.admissions.values().filter(is_over).map(|admission| &admission.node);
        over.take(FORGOTTEN_AT_ONCE)
    }

    fn renew(
        &self,
        node: &NodeId,
        shown: &Issued,
        issued: &Issued,
    ) -> Result<Vec<Change>, Refusal> {
        self.admits(node, shown).map_err(Refusal::Denied)?;
        let standing = self.admissions.get(node).map(|admission| &admission.standing);
        if let Some(Standing::Admitted { next: Some(next), .. }) = standing
            && issued.expires_at.since(next.expires_at) < RENEWAL_PAUSE
        {
            return Err(Refusal::TooSoon(node.clone()));
        }
        // What it shows is what it has: one that it was given before and never used does not count any more.
        let standing = Standing::Admitted { current: shown.clone(), next: Some(issued.clone()) };
        Ok(self.stands(node, standing))
    }

    /// The new certificate is in use: the old one does not count any more.
    fn shown(&self, node: &NodeId, shown: &Issued) -> Vec<Change> {
        if self.admits(node, shown).is_err() || !self.is_next(node, shown) {
            return Vec::new();
        }
        self.stands(node, Standing::Admitted { current: shown.clone(), next: None })
    }

    fn stands(&self, node: &NodeId, standing: Standing) -> Vec<Change> {
        let admission = self.admissions.get(node);
        let changed = admission.map(|admission| Admission { standing, ..admission.clone() });
        changed.map(Change::PutAdmission).into_iter().collect()
    }

    fn revoke(&self, node: &NodeId, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let admission = self.admissions.get(node).ok_or_else(|| Refusal::NoNode(node.clone()))?;
        match &admission.standing {
            Standing::Revoked { .. } => Ok(Vec::new()),
            Standing::Admitted { .. } => {
                let standing = Standing::Revoked { at: now };
                Ok(vec![Change::PutAdmission(Admission { standing, ..admission.clone() })])
            }
        }
    }

    fn add_operator(&self, operator: &Operator, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let valid = operator.issued.expires_at.since(now);
        if valid.is_zero() || valid > LONGEST_OPERATOR {
            return Err(Refusal::OperatorLife(valid));
        }
        if self.operators.contains_key(&operator.name) {
            return Err(Refusal::OperatorExists(operator.name.clone()));
        }
        if self.operators.len() >= OPERATORS_LIMIT {
            return Err(Refusal::TooManyOperators);
        }
        Ok(vec![Change::PutOperator(operator.clone())])
    }
}

#[cfg(test)]
mod tests;
