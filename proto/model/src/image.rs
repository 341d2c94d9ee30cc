//! Container images. A tag is resolved once, when a spec is accepted; from then on only the pin runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::id::{ProjectName, ServiceName};

/// The longest reference taken, in bytes: what the engine itself allows for a repository name (255), with room for a
/// tag (128) and a digest (71).
pub const REFERENCE_LIMIT: usize = 460;

/// Why a text is not an image reference or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Nothing there, or more than [`REFERENCE_LIMIT`].
    #[error("an image reference has 1 to {REFERENCE_LIMIT} characters")]
    Length,
    /// A character or an empty part that no registry takes.
    #[error("{text:?} is not an image reference: {why}")]
    Malformed {
        /// The reference as it was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not `sha256:` and 64 hexadecimal digits.
    #[error("a digest is sha256: and 64 lower-case hexadecimal digits")]
    Digest,
}

/// The SHA-256 of an image's manifest or configuration, written `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").ok_or(ImageError::Digest)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 64 || !hex.bytes().all(is_hex) {
            return Err(ImageError::Digest);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where an image comes from, as the engine and its registries spell it: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
///
/// The grammar is that of the distribution project's `reference` package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    repository: Arc<str>,
    tag: Option<Arc<str>>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// The name without tag and digest.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if the operator wrote one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the operator wrote one.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() || text.len() > REFERENCE_LIMIT {
            return Err(ImageError::Length);
        }
        let malformed = |why| ImageError::Malformed { text: text.to_owned(), why };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the port of the registry.
        let (repository, tag) = match named.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            Some(_) | None => (named, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(malformed)?;
        }
        check_repository(repository).map_err(malformed)?;
        Ok(Self { repository: repository.into(), tag: tag.map(Into::into), digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_rest = |c: char| is_word(c) || matches!(c, '.' | '-');
    if !tag.starts_with(is_word) || tag.len() > 128 || !tag.chars().all(is_rest) {
        return Err(
            "a tag has 1 to 128 letters, digits, '_', '.' and '-', and starts with none of the last two",
        );
    }
    Ok(())
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    let (host, path) = match repository.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        Some(_) | None => (None, repository),
    };
    if let Some(host) = host {
        check_host(host)?;
    }
    path.split('/').try_for_each(check_component)
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the port of a registry is a number up to 65535");
    }
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(is_host) {
        return Err("the registry's host has letters, digits, '.' and '-'");
    }
    Ok(())
}

fn check_component(component: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(is_plain) || !component.ends_with(is_plain) {
        return Err(
            "each part between slashes starts and ends with a lower-case letter or a digit",
        );
    }
    if !component.chars().all(|c| is_plain(c) || matches!(c, '.' | '_' | '-')) {
        return Err("a repository has lower-case letters, digits, '.', '_', '-' and '/'");
    }
    Ok(())
}

/// What exactly runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pin {
    /// The digest of the manifest: any node can pull it.
    Manifest(Digest),
    /// The id of an image that only an engine has, because it was built there and never pushed.
    Local(Digest),
}

/// A container image: where it comes from and what exactly it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// What the operator wrote.
    pub reference: ImageReference,
    /// What that meant when the spec was accepted.
    pub pin: Pin,
}

impl Image {
    /// What tells it from every other image, whatever kind of pin it has.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        let (Pin::Manifest(digest) | Pin::Local(digest)) = &self.pin;
        digest
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pin {
            Pin::Manifest(digest) => write!(f, "{}@{digest}", self.reference.repository),
            Pin::Local(id) => write!(f, "{} ({id})", self.reference),
        }
    }
}

/// What an engine keeps on its disk, as its agent says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// Images, by id and by the digests of the manifests under which they were pulled.
    pub digests: BTreeSet<Digest>,
    /// What these are made of, as far as it is known. Nothing else is in it.
    pub layers: BTreeMap<Digest, Arc<[Layer]>>,
    /// Volumes by their names; those that tasks of the cluster have made as [`own_volume`].
    pub volumes: BTreeSet<String>,
}

impl From<BTreeSet<Digest>> for Stock {
    fn from(digests: BTreeSet<Digest>) -> Self {
        Self { digests, ..Self::default() }
    }
}

/// A layer of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// The first eight bytes of its digest: of two layers with the same nothing worse comes than that one is not fetched in
    /// time.
    pub id: u64,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// How a volume is told of that tasks of a project have made: no engine has such a name.
#[must_use]
pub fn own_volume(project: &ProjectName, name: &ServiceName) -> String {
    format!("{project}/{name}")
}

/// The longest name of a volume. Docker sets no limit.
const VOLUME_NAME_LIMIT: usize = 255;

/// Says whether an engine takes this as the name of a volume (`RestrictedNameChars` of moby), and it is none that Wharf gives.
#[must_use]
pub fn is_volume_name(name: &str) -> bool {
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    name.len() <= VOLUME_NAME_LIMIT
        && name.len() >= 2
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(is_inner)
        && !name.starts_with("wharf-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_take_is_read_and_printed_back() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let pinned = format!("localhost:5000/a/b:1.2@{digest}");
        for text in ["nginx", "nginx:1.27", "a/b__c", "127.0.0.1:5000/x:Tag_1", &pinned] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), *text);
        }
    }

    #[test]
    fn a_port_is_not_a_tag() {
        let reference: ImageReference = "registry:5000/app".parse().unwrap();
        assert_eq!((reference.repository(), reference.tag()), ("registry:5000/app", None));
    }

    #[test]
    fn what_no_registry_takes_is_refused() {
        let long = "a".repeat(REFERENCE_LIMIT + 1);
        let bad = [
            "",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-1",
            "a@sha256:12",
            "a b",
            "a\0",
            "x:99999/a",
            "-h.x/a",
            "a:t@md5:0",
            "..",
            "é",
            &long,
        ];
        for text in bad {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?} was taken");
        }
    }
}
