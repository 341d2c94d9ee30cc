//! Values that AWS keeps, of what is to be deployed: each is read before anything is decided, and a value that is known already will do where AWS
//! does not answer.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::event::{Event, Refusal, Reply, SecretEvent, SecretRefusal, SecretSet};
use futures_util::StreamExt as _;
use futures_util::stream;
use model::id::SecretName;
use model::secret::reference::Reference;
use model::secret::{SECRETS_LIMIT, SecretVersion};
use model::spec::ServiceSpec;
use tonic::Status;

use crate::Shared;
use crate::api::{accepted, hinted};
use crate::audit::By;
use crate::fleet::Fleet;
use crate::fleet::secrets::Unread;

/// So many values are read at a time: as many as AWS answers at once to a single account without complaint.
const AT_ONCE: usize = 4;

const HINT: &str = "docs/secrets.md says what the coordinator needs to read values that AWS keeps, and who may name them";

/// A value that was read for somebody: the next version of a secret.
pub(crate) type Found = (SecretName, SecretVersion);

/// Reads all that the specs name. What is new is not written down yet.
///
/// # Errors
/// Names the first value that is not to be had and of which nothing is known.
pub(crate) async fn find(shared: &Shared, specs: &[ServiceSpec]) -> Result<Vec<Found>, Status> {
    let named = specs.iter().flat_map(|spec| spec.task.secrets());
    let references: BTreeSet<(SecretName, Reference)> =
        named.filter_map(|name| Some((name.clone(), name.reference()?))).collect();
    let Some((first, _)) = references.first() else { return Ok(Vec::new()) };
    if references.len() > SECRETS_LIMIT {
        let why = format!("{} values are named of {SECRETS_LIMIT}", references.len());
        return Err(Status::invalid_argument(why));
    }
    let fleet = keeper(shared, first)?;
    let is_known = |name: &SecretName| shared.published.read().cluster.secrets().contains_key(name);
    let mut values: BTreeMap<Reference, Vec<(SecretName, Reference)>> = BTreeMap::new();
    for (name, reference) in references {
        if !(reference.is_fixed() && is_known(&name)) {
            values.entry(reference.whole()).or_default().push((name, reference));
        }
    }
    let reading = values.into_values().map(async |members| {
        let found = fleet.find(&members).await;
        members.into_iter().zip(found).collect::<Vec<_>>()
    });
    let mut reading = stream::iter(reading).buffered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(read) = reading.next().await {
        for ((name, _), found) in read {
            match found {
                Ok(version) => all.extend(version.map(|version| (name, version))),
                // It is said in the log, and shown with the secret.
                Err(_) if is_known(&name) => {}
                Err(error) => return Err(unread(&error)),
            }
        }
    }
    Ok(all)
}

fn unread(error: &Unread) -> Status {
    hinted(Status::failed_precondition(error.to_string()), HINT)
}

/// What is heard of a value that was read.
pub(crate) fn event((name, version): Found) -> Event {
    Event::Secret(SecretEvent::Set { name, version })
}

/// Has what was read written down, on behalf of whoever needs it.
///
/// # Errors
/// When it is not taken.
pub(crate) async fn take(
    shared: &Shared,
    by: &By,
    found: Found,
) -> Result<Option<SecretSet>, Status> {
    match shared.door.ask_by(by.clone(), event(found)).await {
        // Somebody else has read it at the same time.
        Ok(Reply::Refused(Refusal::Secret(SecretRefusal::Overtaken(_)))) => Ok(None),
        answer => match accepted(answer)? {
            Reply::SecretSet(set) => Ok(Some(set)),
            Reply::Noted
            | Reply::Accepted { .. }
            | Reply::Run { .. }
            | Reply::Baking(_)
            | Reply::Deployed(_)
            | Reply::Refused(_) => Ok(None),
        },
    }
}

/// Reads a value now, whether that is due or not, and with it whatever else the store has of the same value.
///
/// # Errors
/// When it is not to be had.
pub(crate) async fn look(
    shared: &Shared,
    by: &By,
    (name, reference): (&SecretName, &Reference),
) -> Result<Option<SecretSet>, Status> {
    let fleet = keeper(shared, name)?;
    let members = fleet.together(reference);
    let found = fleet.find(&members).await;
    let mut set = None;
    for ((member, _), found) in members.into_iter().zip(found) {
        let is_meant = member == *name;
        match found {
            Ok(Some(version)) => {
                let taken = take(shared, by, (member, version)).await?;
                set = if is_meant { taken } else { set };
            }
            Ok(None) => {}
            Err(error) if is_meant => return Err(unread(&error)),
            Err(_) => {}
        }
    }
    Ok(set)
}

fn keeper<'a>(shared: &'a Shared, name: &SecretName) -> Result<&'a Fleet, Status> {
    shared.fleet.as_deref().ok_or_else(|| {
        let why = format!("{name} can not be read: nobody here can ask AWS");
        let hint = "start the coordinator with --aws, or set a secret with `wharf secret set` and name that";
        hinted(Status::failed_precondition(why), hint)
    })
}
