//! Reads values that AWS keeps: when somebody deploys what names them, and again every so often. What is read is sealed at once.
//!
//! ```text
//!  deploy ─┐
//!  look ───┼─▶ read ─▶ seal ─▶ SecretEvent::Set ─▶ tasks get it as they get what `wharf secret set` gives
//!  timer ──┘
//! ```
//!
//! The coordinator asks and not the nodes: a node would need a role that reads the secrets of every service, and any program that reaches the
//! metadata service has the role of its node. And what is in the store is there for new tasks while AWS is away.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use cloud::{CloudError, Referred};
use coordinator_core::event::{Event, Refusal, Reply, SecretEvent, SecretRefusal};
use coordinator_core::view::secret::{followed, idle};
use model::id::SecretName;
use model::secret::reference::{Keeper, Reference};
use model::secret::{SECRET_LIMIT, SecretVersion};
use model::time::Timestamp;
use thiserror::Error;

use super::Fleet;

/// How often it is seen whether there is something to read.
const GLANCE: Duration = Duration::from_secs(5);
/// Between one reading and the next, so that no more than five a second are made of the 40 that an account may make of Parameter Store.
const PACE: Duration = Duration::from_millis(200);
/// What could not be read is tried again by then, also where values are read rarely.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// Who has set what was found at AWS.
const FOUND: &str = "AWS";
/// The name of a version at AWS is shown up to this length.
const ORIGIN_LIMIT: usize = 64;

/// How the last reading of a value went.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    due: Instant,
    /// When it was read the last time, if it was since this coordinator has started.
    pub(crate) read_at: Option<Timestamp>,
    /// Why it could not be read since.
    pub(crate) trouble: Option<String>,
}

/// How the last reading of each value went.
pub(super) type Readings = BTreeMap<SecretName, Reading>;

/// Why a value is not known.
#[derive(Debug, Clone, Error)]
pub(crate) enum Unread {
    /// AWS did not say it.
    #[error("{what} can not be read: {error}{next}")]
    Cloud {
        /// Which.
        what: SecretName,
        /// In AWS's words.
        error: CloudError,
        /// What to do, if that follows from it.
        next: String,
    },
    /// It can not be taken as it is.
    #[error("{0} can not be taken: {1}")]
    Unfit(SecretName, String),
    /// There is nothing to seal it with, or nobody to ask.
    #[error("{0}")]
    Impossible(String),
}

impl Unread {
    /// The same of another member of the same value.
    fn of(self, name: &SecretName) -> Self {
        match self {
            Self::Cloud { error, next, .. } => Self::Cloud { what: name.clone(), error, next },
            Self::Unfit(_, why) => Self::Unfit(name.clone(), why),
            Self::Impossible(why) => Self::Impossible(why),
        }
    }
}

impl Fleet {
    /// How the last reading of a value went.
    pub(crate) fn reading(&self, name: &SecretName) -> Option<Reading> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Reads a value, and seals of each of these members of it, or of all of it, what is new as the next version. All are of one reading, so that what
    /// changes together is found together.
    ///
    /// # Errors
    /// Says of each why it is not known, and what to do.
    pub(crate) async fn find(
        &self,
        members: &[(SecretName, Reference)],
    ) -> Vec<Result<Option<SecretVersion>, Unread>> {
        let Some((first, reference)) = members.first() else { return Vec::new() };
        let whole = self.read_whole(first, reference).await;
        let found = members.iter().map(|(name, reference)| {
            let whole = whole.clone().map_err(|error| error.of(name));
            let found = whole.and_then(|whole| self.member(name, reference, &whole));
            self.remember(name, found.as_ref().err());
            found
        });
        found.collect()
    }

    /// Remembers how a reading went, and says what is new about that.
    fn remember(&self, name: &SecretName, error: Option<&Unread>) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let known = readings.remove(name);
        let (before, complained) = known.map_or((None, None), |one| (one.read_at, one.trouble));
        let trouble = error.map(ToString::to_string);
        match (&trouble, &complained) {
            (Some(why), before) if before.as_ref() != Some(why) => {
                tracing::warn!(
                    %name,
                    why,
                    "a value that AWS keeps can not be read; tasks go on with the newest that is known"
                );
            }
            (None, Some(_)) => tracing::info!(%name, "a value that AWS keeps can be read again"),
            (Some(_) | None, _) => {}
        }
        let read_at = if trouble.is_some() { before } else { Some(trust::now()) };
        let wait = if trouble.is_some() { self.reread.min(TRY_AGAIN) } else { self.reread };
        readings.insert(name.clone(), Reading { due: Instant::now() + wait, read_at, trouble });
    }

    async fn read_whole(
        &self,
        name: &SecretName,
        reference: &Reference,
    ) -> Result<Referred, Unread> {
        let Some(keeper) = self.cloud.references() else {
            return Err(Unread::Impossible(format!("{} keeps no values", self.cloud.describe())));
        };
        let region = self.cloud.region();
        if let Some(other) = reference.region().filter(|other| *other != region) {
            let why = format!("it is in {other}, and this coordinator asks in {region}");
            return Err(Unread::Unfit(name.clone(), why));
        }
        let read = keeper.read(reference).await;
        read.map_err(|error| unread((name, reference), error))
    }

    fn member(
        &self,
        name: &SecretName,
        reference: &Reference,
        whole: &Referred,
    ) -> Result<Option<SecretVersion>, Unread> {
        match reference.key() {
            Some(key) => {
                let member = whole.member(key);
                self.sealed(name, &member.map_err(|error| unread((name, reference), error))?)
            }
            None => self.sealed(name, whole),
        }
    }

    /// What the store has of the same value: other members, and all of it.
    pub(crate) fn together(&self, reference: &Reference) -> Vec<(SecretName, Reference)> {
        let whole = reference.whole();
        let state = self.published.read();
        let known = state.cluster.secrets().keys();
        let known = known.filter_map(|name| Some((name.clone(), name.reference()?)));
        known.filter(|(_, one)| one.whole() == whole).collect()
    }

    fn sealed(
        &self,
        name: &SecretName,
        referred: &Referred,
    ) -> Result<Option<SecretVersion>, Unread> {
        let length = referred.value.len();
        if length == 0 || length > SECRET_LIMIT {
            let why = format!("it has {length} bytes, and a secret has 1 to {SECRET_LIMIT}");
            return Err(Unread::Unfit(name.clone(), why));
        }
        let shared = self.shared.get().and_then(std::sync::Weak::upgrade);
        let shared = shared
            .ok_or_else(|| Unread::Impossible("the coordinator begins or ends".to_owned()))?;
        let keys = shared
            .secret_keys()
            .map_err(|status| Unread::Impossible(status.message().to_owned()))?;
        let known = self.published.read().cluster.secrets().get(name).cloned();
        let newest = known.as_ref().and_then(|known| known.versions.last());
        let digest = keys.digest(name, &referred.value);
        if newest.is_some_and(|newest| newest.digest == digest) {
            return Ok(None);
        }
        let number = newest.map_or(0, |newest| newest.number) + 1;
        let version = keys.version((name, number), &referred.value, (FOUND, trust::now()));
        let version = version.map_err(|error| Unread::Impossible(error.to_string()))?;
        Ok(Some(SecretVersion { origin: origin(&referred.version), ..version }))
    }

    /// Reads what is due, and has what is new written down. Never ends where there are values.
    pub(super) async fn watch_secrets(&self) {
        if self.cloud.references().is_none() {
            return;
        }
        loop {
            tokio::time::sleep(GLANCE).await;
            for members in self.due() {
                self.read_again(&members).await;
                tokio::time::sleep(PACE).await;
            }
            let idle = idle(&self.published.read().cluster, trust::now());
            for name in idle {
                let removed = self.door.ask(Event::Secret(SecretEvent::Remove(name.clone()))).await;
                tracing::debug!(%name, ?removed, "a value that nobody names is forgotten");
            }
        }
    }

    /// What is to be read now, by the values of which there are members, what has waited longest first. Of anything else nothing is remembered.
    fn due(&self) -> Vec<Vec<(SecretName, Reference)>> {
        let followed = followed(&self.published.read().cluster);
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|name, _| followed.contains(name));
        let mut values: BTreeMap<Reference, (Option<Instant>, Vec<_>)> = BTreeMap::new();
        for name in followed {
            let Some(reference) = name.reference() else { continue };
            let due = readings.get(&name).map(|reading| reading.due);
            let (first, members) = values.entry(reference.whole()).or_insert((due, Vec::new()));
            *first = due.min(*first);
            members.push((name, reference));
        }
        let now = Instant::now();
        let mut due: Vec<_> = values.into_values().collect();
        due.retain(|(due, _)| due.is_none_or(|due| due <= now));
        due.sort();
        due.into_iter().map(|(_, members)| members).collect()
    }

    async fn read_again(&self, members: &[(SecretName, Reference)]) {
        let found = self.find(members).await;
        for ((name, _), found) in members.iter().zip(found) {
            // What went wrong is remembered with the reading.
            let Ok(Some(version)) = found else { continue };
            let event = SecretEvent::Set { name: name.clone(), version };
            match self.door.ask(Event::Secret(event)).await {
                Ok(Reply::Refused(Refusal::Secret(SecretRefusal::Overtaken(_)))) => {}
                Ok(Reply::Refused(why)) => tracing::warn!(%name, %why, "a new value was not taken"),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%name, %error, "a new value was not written down; it is read again");
                }
            }
        }
    }
}

/// What AWS calls a version, as far as it can be shown.
fn origin(version: &str) -> Option<String> {
    let is_fine = version.chars().all(|c| c.is_ascii_graphic()) && version.len() <= ORIGIN_LIMIT;
    (is_fine && !version.is_empty()).then(|| format!("version {version}"))
}

fn unread((name, reference): (&SecretName, &Reference), error: CloudError) -> Unread {
    let next = next(reference, &error);
    Unread::Cloud { what: name.clone(), error, next }
}

/// What an operator can do next.
fn next(reference: &Reference, error: &CloudError) -> String {
    let (action, what) = match reference.keeper() {
        Keeper::Parameters => ("ssm:GetParameter", "parameter"),
        Keeper::Secrets => ("secretsmanager:GetSecretValue", "secret"),
    };
    match error {
        CloudError::Denied { .. } => format!(
            ": the role of the coordinator needs {action} on {}, and kms:Decrypt where a key of your own encrypts it",
            reference.resource()
        ),
        CloudError::Refused { code, .. } if code.contains("NotFound") => {
            format!(": is the name of the {what} right, and is it in this region?")
        }
        CloudError::Refused { .. } | CloudError::Throttled { .. } => String::new(),
        CloudError::Unanswered { .. } => {
            ": can the coordinator reach the endpoints of AWS?".to_owned()
        }
    }
}
