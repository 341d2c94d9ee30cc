//! Secrets, and tasks that have some.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::SecretName;
use model::policy::Profile;
use model::secret::reference::Allowance;
use model::secret::{Rotation, Sealed, Secret, SecretFile, SecretUses, SecretVersion};
use model::service::Generation;
use model::task::Task;

use super::{Stored, at};

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

pub(super) fn records() -> super::super::Records {
    let version = |number: u64, byte: u8| SecretVersion {
        number,
        set_at: at(number),
        set_by: "ada (admin)".to_owned(),
        digest: "0123456789abcdef".to_owned(),
        sealed: Sealed { nonce: vec![byte; 24], ciphertext: vec![byte + 1; 25] },
        origin: None,
    };
    let secret = |owners: &[&str]| {
        let (name, versions) = (name("db-password"), vec![version(2, 3), version(5, 7)]);
        let owners = owners.iter().map(|owner| owner.parse().unwrap()).collect();
        Stored::Secret(Secret { name, versions, owners })
    };
    let origin = Some("version 7".to_owned());
    let referred = Stored::Secret(Secret {
        name: name("secretsmanager:shop/db:AWSPREVIOUS#password"),
        versions: vec![SecretVersion { origin, ..version(1, 9) }],
        owners: Vec::new(),
    });
    let allowance = Stored::Allowance(Allowance {
        references: "ssm:/shop/*".parse().unwrap(),
        services: vec!["shop/*".parse().unwrap(), "mail/front".parse().unwrap()],
        made_by: "kim (operator)".to_owned(),
        why: "ticket 9".to_owned(),
    });
    vec![
        ("secret", secret(&[])),
        ("secret-owned", secret(&["shop/*", "mail/front"])),
        ("secret-referred", referred),
        ("secret-allowance", allowance),
    ]
}

/// Which versions a task is to have.
pub(super) fn pins() -> BTreeMap<SecretName, u64> {
    BTreeMap::from([(name("db-password"), 5)])
}

/// Tasks like this one that have secrets.
pub(super) fn tasks(task: &Task) -> super::super::Records {
    let uses = |variables: &[&str]| SecretUses {
        files: vec![SecretFile {
            secret: name("db-password"),
            target: "/run/secrets/db".to_owned(),
            mode: 0o440,
            owner: (1_000, 2_000),
        }],
        variables: variables.iter().map(|key| ((*key).to_owned(), name("db-password"))).collect(),
    };
    let with = |rotation: Rotation, variables: &[&str]| {
        let mut generation: Generation = (*task.generation).clone();
        generation.spec.task.rotation = rotation;
        generation.spec.task.containers[0].secrets = uses(variables);
        let generation = Arc::new(generation);
        Stored::Task(Task { generation, secrets: pins(), ..task.clone() })
    };
    let strict = || {
        let mut generation: Generation = (*task.generation).clone();
        generation.spec.task.profile = Profile::Strict;
        generation.spec.task.containers[0].files.clear();
        generation.spec.task.containers[0].process.user = Some("1000:0".to_owned());
        Stored::Task(Task { generation: Arc::new(generation), ..task.clone() })
    };
    vec![
        ("task-strict", strict()),
        ("task-secrets-restart", with(Rotation::Restart, &["DB_PASSWORD"])),
        ("task-secrets-signal", with(Rotation::Signal("SIGHUP".to_owned()), &[])),
    ]
}
