//! What is heard of secrets, as the recorder keeps it: without what is sealed, on which nothing depends that is decided.

use anyhow::Context as _;
use coordinator_core::event::SecretEvent;
use model::secret::{Sealed, Secret, SecretVersion};
use model::trust::ServiceGlob;
use proto::convert::{owners_from_wire, secret_version_from_wire, secret_version_to_wire};
use proto::wire;
use proto::wire::flight_secret::Event as Wire;

fn without_value(version: &SecretVersion) -> SecretVersion {
    SecretVersion { sealed: Sealed::default(), ..version.clone() }
}

/// The secret as a recorder keeps it.
pub(super) fn without_values(secret: &Secret) -> Secret {
    let versions = secret.versions.iter().map(without_value).collect();
    Secret { versions, ..secret.clone() }
}

pub(super) fn secret_to_wire(event: &SecretEvent) -> wire::FlightSecret {
    let event = match event {
        SecretEvent::Set { name, version } => Wire::Set(wire::FlightSecretSet {
            name: name.to_string(),
            version: Some(secret_version_to_wire(&without_value(version))),
        }),
        SecretEvent::Own { name, owners } => Wire::Own(wire::FlightSecretOwn {
            name: name.to_string(),
            owners: owners.iter().map(ToString::to_string).collect(),
        }),
        SecretEvent::Remove(name) => Wire::Remove(name.to_string()),
    };
    wire::FlightSecret { event: Some(event) }
}

pub(super) fn secret_from_wire(from: &wire::FlightSecret) -> anyhow::Result<SecretEvent> {
    Ok(match from.event.as_ref().context("nothing is said of a secret")? {
        Wire::Set(set) => {
            let version = set.version.as_ref().context("a secret has no version")?;
            let (name, version) = (set.name.parse()?, secret_version_from_wire(version)?);
            SecretEvent::Set { name, version }
        }
        Wire::Own(own) => {
            SecretEvent::Own { name: own.name.parse()?, owners: owners_from_wire(&own.owners)? }
        }
        Wire::Remove(name) => SecretEvent::Remove(name.parse()?),
    })
}

fn named(owners: &[ServiceGlob]) -> String {
    owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was heard, for people.
pub(super) fn brief(event: &SecretEvent) -> String {
    match event {
        SecretEvent::Set { name, version } => format!("set secret {name} ({})", version.digest),
        SecretEvent::Own { name, owners } => format!("secret {name} is for {}", named(owners)),
        SecretEvent::Remove(name) => format!("remove secret {name}"),
    }
}

#[cfg(test)]
mod tests {
    use model::time::Timestamp;

    use super::*;

    #[test]
    fn nothing_that_is_sealed_is_recorded_and_the_rest_is_read_as_it_was_written() {
        let sealed = Sealed { nonce: vec![1; 24], ciphertext: vec![7; 40] };
        let (digest, set_by) = ("0123456789abcdef".to_owned(), "ada (admin)".to_owned());
        let set_at = Timestamp::from_millis(5);
        let version = SecretVersion { number: 3, set_at, set_by, digest, sealed, origin: None };
        let set = SecretEvent::Set { name: "db".parse().unwrap(), version: version.clone() };
        let remove = SecretEvent::Remove("db".parse().unwrap());
        let owners = vec!["shop/*".parse().unwrap()];
        let own = SecretEvent::Own { name: "db".parse().unwrap(), owners: owners.clone() };
        let bare =
            SecretEvent::Set { name: "db".parse().unwrap(), version: without_value(&version) };
        for (heard, kept) in [(&set, &bare), (&remove, &remove), (&own, &own)] {
            let read = secret_from_wire(&secret_to_wire(heard)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{kept:?}"));
        }
        assert_eq!(
            without_values(&Secret {
                name: "db".parse().unwrap(),
                versions: vec![version],
                owners
            })
            .versions[0]
                .sealed,
            Sealed::default()
        );
    }
}
