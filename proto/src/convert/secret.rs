//! Secrets: what specs say of them, and what the store has.

use std::collections::{BTreeMap, BTreeSet};

use model::id::SecretName;
use model::secret::reference::Allowance;
use model::secret::{
    OWNERS_LIMIT, Rotation, Sealed, Secret, SecretFile, SecretUses, SecretVersion,
    TASK_SECRETS_LIMIT, USES_LIMIT, is_variable,
};
use model::spec::TaskSpec;
use model::time::Timestamp;
use model::trust::ServiceGlob;

use crate::convert::checks::{absolute, count, line, quoted, word};
use crate::convert::{At, Invalid, Named, Valid};
use crate::wire;

/// Read, write and execute, for everybody: nothing of a secret runs as somebody else.
const MODES: u32 = 0o777;

/// Reads what a container gets of secrets.
pub(crate) fn uses_from_wire(from: &wire::ContainerSpec) -> Valid<SecretUses> {
    let uses = from.secret_files.len() + from.secret_variables.len();
    if uses > USES_LIMIT {
        let why = format!("has {uses} of {USES_LIMIT} that one container may have");
        return Err(Invalid::new("secrets", why));
    }
    let files: Vec<SecretFile> =
        from.secret_files.iter().map(file_from_wire).collect::<Valid<_>>()?;
    let written = from.files.iter().map(|file| &file.target);
    let mut targets: BTreeSet<&String> = written.collect();
    if let Some(again) = files.iter().find(|file| !targets.insert(&file.target)) {
        let why = format!("two files are {}", quoted(&again.target));
        return Err(Invalid::new("secrets.target", why));
    }
    let own = from.process.as_ref().map(|process| &process.environment);
    let mut variables = BTreeMap::new();
    for (variable, secret) in &from.secret_variables {
        word("secrets.variables", variable)?;
        if !is_variable(variable) {
            let why = format!("{} is not letters, digits and _", quoted(variable));
            return Err(Invalid::new("secrets.variables", why));
        }
        if own.is_some_and(|own| own.contains_key(variable)) {
            let why = format!("{} is in the environment with another value", quoted(variable));
            return Err(Invalid::new("secrets.variables", why));
        }
        variables.insert(variable.clone(), secret.named("secrets.variables")?);
    }
    Ok(SecretUses { files, variables })
}

fn file_from_wire(from: &wire::SecretFile) -> Valid<SecretFile> {
    let target = absolute("secrets.target", &from.target)?;
    if target.ends_with(['/', '.']) && target.split('/').any(|part| matches!(part, "." | "..")) {
        let why = format!("{} is a folder: a file has a name", quoted(&target));
        return Err(Invalid::new("secrets.target", why));
    }
    if target.ends_with('/') {
        let why = format!("{} is a folder: a file has a name", quoted(&target));
        return Err(Invalid::new("secrets.target", why));
    }
    if from.mode > MODES {
        let why = format!("{:o} is more than permissions to read, write and execute", from.mode);
        return Err(Invalid::new("secrets.mode", why));
    }
    let (secret, owner) = (from.secret.named("secrets.secret")?, (from.uid, from.gid));
    Ok(SecretFile { secret, target, mode: from.mode, owner })
}

/// Writes the secrets that a container gets as files.
pub(crate) fn uses_to_wire(uses: &SecretUses) -> Vec<wire::SecretFile> {
    let write = |file: &SecretFile| wire::SecretFile {
        secret: file.secret.to_string(),
        target: file.target.clone(),
        mode: file.mode,
        uid: file.owner.0,
        gid: file.owner.1,
    };
    uses.files.iter().map(write).collect()
}

/// Writes the secrets that a container gets as variables.
pub(crate) fn variables_to_wire(uses: &SecretUses) -> BTreeMap<String, String> {
    let variables = uses.variables.iter();
    variables.map(|(variable, secret)| (variable.clone(), secret.to_string())).collect()
}

/// What a task names fits into one answer, and what is to be exchanged under a running program can be.
pub(crate) fn check_secrets(task: &TaskSpec) -> Valid<()> {
    let named = task.secrets().len();
    if named > TASK_SECRETS_LIMIT {
        let why = format!("{named} are named of {TASK_SECRETS_LIMIT} that one task may have");
        return Err(Invalid::new("task.secrets", why));
    }
    if !matches!(task.rotation, Rotation::Signal(_)) {
        return Ok(());
    }
    let uses = || task.containers.iter().map(|container| &container.secrets);
    if let Some(file) = uses().flat_map(|uses| &uses.files).find(|file| file.plain_name().is_none())
    {
        let why = format!(
            "{} is not right below /run/secrets and can not be exchanged while a program runs",
            quoted(&file.target)
        );
        return Err(Invalid::new("task.rotation", why));
    }
    if let Some(variable) = uses().flat_map(|uses| uses.variables.keys()).next() {
        let why = format!("variable {} can not change while a program runs", quoted(variable));
        return Err(Invalid::new("task.rotation", why));
    }
    Ok(())
}

/// Reads what a new version means for tasks that run.
pub(crate) fn rotation_from_wire(from: Option<&wire::Rotation>) -> Valid<Rotation> {
    use wire::rotation::Kind;
    let Some(rotation) = from else { return Ok(Rotation::None) };
    match rotation.kind.as_ref().at("task.rotation")? {
        Kind::Restart(_) => Ok(Rotation::Restart),
        Kind::Signal(signal) => Ok(Rotation::Signal(word("task.rotation.signal", signal)?)),
    }
}

/// Writes what a new version means for tasks that run.
pub(crate) fn rotation_to_wire(rotation: &Rotation) -> Option<wire::Rotation> {
    use wire::rotation::Kind;
    let kind = match rotation {
        Rotation::None => return None,
        Rotation::Restart => Kind::Restart(wire::RotationRestart {}),
        Rotation::Signal(signal) => Kind::Signal(signal.clone()),
    };
    Some(wire::Rotation { kind: Some(kind) })
}

/// Reads which versions a task is to have.
pub(crate) fn pins_from_wire(
    path: &str,
    from: &BTreeMap<String, u64>,
) -> Valid<BTreeMap<SecretName, u64>> {
    let read = |(name, version): (&String, &u64)| Ok((name.named(path)?, number(path, *version)?));
    from.iter().map(read).collect()
}

/// Writes which versions a task is to have.
pub(crate) fn pins_to_wire(pins: &BTreeMap<SecretName, u64>) -> BTreeMap<String, u64> {
    pins.iter().map(|(name, version)| (name.to_string(), *version)).collect()
}

fn number(path: &str, number: u64) -> Valid<u64> {
    if number == 0 {
        return Err(Invalid::new(path, "is 0: versions are counted from 1"));
    }
    count(path, number)
}

/// Reads a secret.
///
/// # Errors
/// Names the first field that is not valid.
pub fn secret_from_wire(from: &wire::StoredSecret) -> Valid<Secret> {
    let versions: Vec<SecretVersion> =
        from.versions.iter().map(secret_version_from_wire).collect::<Valid<_>>()?;
    let is_rising = |pair: &[SecretVersion]| match pair {
        [one, next] => one.number < next.number,
        _ => true,
    };
    if versions.is_empty() || !versions.windows(2).all(is_rising) {
        return Err(Invalid::new("secret.versions", "are none, or not in their order"));
    }
    let (name, owners) = (from.name.named("secret.name")?, owners_from_wire(&from.owners)?);
    Ok(Secret { name, versions, owners })
}

/// Reads which services may name a secret.
///
/// # Errors
/// Says which pattern is none, or that there are too many.
pub fn owners_from_wire(from: &[String]) -> Valid<Vec<ServiceGlob>> {
    if from.len() > OWNERS_LIMIT {
        let why = format!("are {} of {OWNERS_LIMIT} that there may be", from.len());
        return Err(Invalid::new("secret.owners", why));
    }
    let read = |text: &String| {
        text.parse().map_err(|error| Invalid::new("secret.owners", format!("{error}")))
    };
    from.iter().map(read).collect()
}

/// Writes a secret.
#[must_use]
pub fn secret_to_wire(secret: &Secret) -> wire::StoredSecret {
    let versions = secret.versions.iter().map(secret_version_to_wire).collect();
    let owners = secret.owners.iter().map(ToString::to_string).collect();
    wire::StoredSecret { name: secret.name.to_string(), versions, owners }
}

/// Reads a version of a secret.
///
/// # Errors
/// Names the first field that is not valid.
pub fn secret_version_from_wire(from: &wire::StoredSecretVersion) -> Valid<SecretVersion> {
    Ok(SecretVersion {
        number: number("secret.version", from.number)?,
        set_at: Timestamp::from_millis(from.set_at_ms),
        set_by: line("secret.set_by", &from.set_by)?,
        digest: line("secret.digest", &from.digest)?,
        sealed: Sealed { nonce: from.nonce.clone(), ciphertext: from.ciphertext.clone() },
        origin: match from.origin.as_str() {
            "" => None,
            origin => Some(line("secret.origin", origin)?),
        },
    })
}

/// Writes a version of a secret.
#[must_use]
pub fn secret_version_to_wire(version: &SecretVersion) -> wire::StoredSecretVersion {
    wire::StoredSecretVersion {
        number: version.number,
        set_at_ms: version.set_at.as_millis(),
        set_by: version.set_by.clone(),
        digest: version.digest.clone(),
        nonce: version.sealed.nonce.clone(),
        ciphertext: version.sealed.ciphertext.clone(),
        origin: version.origin.clone().unwrap_or_default(),
    }
}

/// Reads which services may name references.
///
/// # Errors
/// Names the first field that is not valid.
pub fn allowance_from_wire(from: &wire::StoredAllowance) -> Valid<Allowance> {
    let references = from.references.parse();
    let references =
        references.map_err(|error| Invalid::new("allowance.references", format!("{error}")))?;
    let services = owners_from_wire(&from.services)?;
    if services.is_empty() {
        return Err(Invalid::new("allowance.services", "are none"));
    }
    let made_by = line("allowance.made_by", &from.made_by)?;
    let why = match from.why.as_str() {
        "" => String::new(),
        why => line("allowance.why", why)?,
    };
    Ok(Allowance { references, services, made_by, why })
}

/// Writes which services may name references.
#[must_use]
pub fn allowance_to_wire(allowance: &Allowance) -> wire::StoredAllowance {
    wire::StoredAllowance {
        references: allowance.references.to_string(),
        services: allowance.services.iter().map(ToString::to_string).collect(),
        made_by: allowance.made_by.clone(),
        why: allowance.why.clone(),
    }
}
