//! The file that says which machines of AWS are let in, and, until somebody looks at AWS itself, what is known of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Deserialize;
use trust::attest::caller::is_region;
use trust::attest::document::Signer;

use super::{Aws, Instance, Instances, Known, Question};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    accounts: Vec<String>,
    regions: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    sts: Option<String>,
    /// Files, relative to this one.
    #[serde(default)]
    certificates: BTreeMap<String, PathBuf>,
    #[serde(default)]
    instances: BTreeMap<String, Described>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    pool: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    zone: Option<String>,
    ami: Option<String>,
    instance_type: Option<String>,
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("can not read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as it should be", path.display()))
}

impl Aws {
    /// Reads a file, and the certificates that it names. What it says of instances is read anew each time that it is asked.
    ///
    /// # Errors
    /// Says what in it is wrong.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let file = read(path)?;
        let of = path.display();
        ensure!(!file.accounts.is_empty(), "{of} lets in no accounts");
        ensure!(!file.regions.is_empty(), "{of} lets in no regions");
        for account in &file.accounts {
            let is_account =
                account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            ensure!(is_account, "{of}: {account:?} is no account: it has twelve digits");
        }
        for region in file.regions.iter().chain(file.certificates.keys()) {
            ensure!(is_region(region), "{of}: {region:?} is no region");
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let signer = |(region, file): (&String, &PathBuf)| {
            let file = folder.join(file);
            let pem = std::fs::read(&file);
            let pem = pem.with_context(|| format!("can not read {}", file.display()))?;
            let signer = Signer::from_pem(&pem);
            let signer = signer.with_context(|| format!("{} is no use", file.display()))?;
            Ok((region.clone(), signer))
        };
        Ok(Self {
            signers: file.certificates.iter().map(signer).collect::<anyhow::Result<_>>()?,
            accounts: file.accounts,
            regions: file.regions,
            roles: file.roles,
            sts: file.sts,
            instances: Arc::new(InstancesFile::new(path.to_owned())),
        })
    }
}

/// Instances as a file describes them: for tests, and for fleets that somebody else describes.
#[derive(Debug)]
pub struct InstancesFile(PathBuf);

impl InstancesFile {
    /// Takes the file, which is read when it is asked.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

#[tonic::async_trait]
impl Instances for InstancesFile {
    async fn find(&self, question: &Question) -> anyhow::Result<Known> {
        let path = self.0.clone();
        let mut file = tokio::task::spawn_blocking(move || read(&path)).await??;
        let known = file.instances.remove(&question.instance).map(|described| {
            let Described { pool, labels, zone, ami, instance_type } = described;
            Known::Ours(Instance { pool, labels, zone, ami, instance_type })
        });
        Ok(known.unwrap_or(Known::Foreign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<Aws> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wharf-aws-{}-{number}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let loaded = Aws::load(&path);
        std::fs::remove_file(path).unwrap();
        loaded
    }

    #[test]
    fn a_file_says_who_is_let_in_and_what_is_wrong_with_it() {
        let good = "accounts = ['123456789012']\nregions = ['eu-central-1']\n[instances.i-01234567]\npool = 'web'\n";
        assert!(load(good).is_ok());
        for (wrong, why) in [
            ("regions = ['eu-central-1']", "accounts"),
            ("accounts = []\nregions = ['eu-central-1']", "no accounts"),
            ("accounts = ['123456789012']\nregions = []", "no regions"),
            ("accounts = ['1234']\nregions = ['eu-central-1']", "twelve digits"),
            ("accounts = ['123456789012']\nregions = ['evil.example']", "no region"),
            ("accounts = ['123456789012']\nregions = ['eu-central-1']\nrole = ['a']", "role"),
            (
                "accounts = ['123456789012']\nregions = ['eu-central-1']\n[certificates]\neu-central-1 = '/nowhere'",
                "/nowhere",
            ),
        ] {
            let said = format!("{:#}", load(wrong).unwrap_err());
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
