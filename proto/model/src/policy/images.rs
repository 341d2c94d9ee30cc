//! From which repositories images may come, as an administrator has said.
//!
//! Names are compared as the engine understands them, and only what is certainly one of those that were named is one of them: an image
//! whose name the engine could read otherwise than it is read here is none.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::image::{Image, ImageReference, Pin};

/// The most patterns of a policy.
pub const PATTERNS_LIMIT: usize = 200;

/// Where names without a registry are looked for, and its part for names of one word.
const HUB: &str = "docker.io";
const HUB_ALSO: &str = "index.docker.io";
const LIBRARY: &str = "library";

/// The host of a registry and a path there, without tag and digest.
///
/// As in `reference.ParseNormalizedNamed` of the distribution project: `nginx` is `docker.io/library/nginx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    host: String,
    path: String,
}

impl From<&ImageReference> for Repository {
    fn from(reference: &ImageReference) -> Self {
        let name = reference.repository();
        let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path),
            Some(_) | None => (HUB, name),
        };
        let host = if host == HUB_ALSO { HUB } else { host };
        let is_word = host == HUB && !path.contains('/');
        let path = if is_word { format!("{LIBRARY}/{path}") } else { path.to_owned() };
        Self { host: host.to_owned(), path }
    }
}

impl Repository {
    /// Whether its host is written as hosts are compared. Engines take `Docker.io` for another registry than `docker.io`, and resolvers do
    /// not.
    fn is_plain(&self) -> bool {
        !self.host.contains(|letter: char| letter.is_ascii_uppercase()) && !self.host.ends_with('.')
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no pattern of images: {why}")]
pub struct PatternError {
    text: String,
    why: String,
}

/// One repository, or all below a path: `registry.example.com/team/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This repository.
    One(Repository),
    /// Every repository of this host whose path begins with this, which is empty or ends with a slash.
    Below {
        /// The host.
        host: String,
        /// The beginning.
        prefix: String,
    },
}

impl Pattern {
    /// Whether an image of this repository may run.
    #[must_use]
    pub fn covers(&self, repository: &Repository) -> bool {
        match self {
            Self::One(one) => repository.is_plain() && one == repository,
            Self::Below { host, prefix } => {
                let is_below = repository.path.starts_with(prefix.as_str());
                repository.is_plain() && *host == repository.host && is_below
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = |why: &str| PatternError { text: text.to_owned(), why: why.to_owned() };
        let (base, is_below) = match text.strip_suffix("/*") {
            Some(base) => (base, true),
            None => (text, false),
        };
        if base.contains('*') {
            return Err(wrong(
                "a star is the last part and stands for all that is below: HOST/PATH/*",
            ));
        }
        if !base.contains('/') && !is_below && (base.contains('.') || base == "localhost") {
            return Err(wrong("a whole registry is written HOST/*"));
        }
        // Two parts more, so that nothing is taken for a name of one word.
        let named = if is_below { format!("{base}/x/x") } else { base.to_owned() };
        let reference: ImageReference =
            named.parse().map_err(|error| wrong(&format!("{error}")))?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(wrong("it is for a repository, and not for a tag or a digest"));
        }
        let repository = Repository::from(&reference);
        if !repository.is_plain() {
            return Err(wrong("the host is written in lower case and without a dot at its end"));
        }
        match repository.path.strip_suffix("x/x") {
            Some(prefix) if is_below => {
                Ok(Self::Below { host: repository.host, prefix: prefix.to_owned() })
            }
            Some(_) | None => Ok(Self::One(repository)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(repository) => repository.fmt(f),
            Self::Below { host, prefix } => write!(f, "{host}/{prefix}*"),
        }
    }
}

/// What an administrator has said of where images may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePolicy {
    /// From here, and from nowhere else. Not empty.
    pub patterns: Vec<Pattern>,
    /// Who has said it.
    pub made_by: String,
    /// Why.
    pub why: String,
}

impl ImagePolicy {
    /// Whether images of this name may run.
    ///
    /// # Errors
    /// Gives the repository that it is, when not.
    pub fn check_reference(&self, reference: &ImageReference) -> Result<(), Repository> {
        let repository = Repository::from(reference);
        let is_covered = self.patterns.iter().any(|pattern| pattern.covers(&repository));
        if is_covered { Ok(()) } else { Err(repository) }
    }

    /// Whether what exactly runs is known to have come from there: what only an engine has may be called anything.
    #[must_use]
    pub fn takes_pin(&self, image: &Image) -> bool {
        match image.pin {
            Pin::Manifest(_) => true,
            Pin::Local(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> String {
        Repository::from(&text.parse::<ImageReference>().unwrap()).to_string()
    }

    fn covers(pattern: &str, image: &str) -> bool {
        let pattern: Pattern = pattern.parse().unwrap();
        image.parse::<ImageReference>().is_ok_and(|image| pattern.covers(&Repository::from(&image)))
    }

    #[test]
    fn names_are_read_as_the_engine_reads_them() {
        let digest = format!("@sha256:{}", "0a".repeat(32));
        for (text, meant) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("library/nginx", "docker.io/library/nginx"),
            ("team/app", "docker.io/team/app"),
            ("localhost/app", "localhost/app"),
            ("registry:5000/app:1", "registry:5000/app"),
            ("registry.example.com/team/app", "registry.example.com/team/app"),
            (&format!("registry.example.com/app:1{digest}"), "registry.example.com/app"),
        ] {
            assert_eq!(repository(text), meant, "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_nothing_beside_it() {
        for (pattern, image) in [
            ("nginx", "docker.io/library/nginx:1"),
            ("docker.io/library/nginx", "nginx"),
            ("docker.io/*", "team/app"),
            ("docker.io/*", "nginx"),
            ("library/*", "nginx"),
            ("registry.example.com/*", "registry.example.com/app"),
            ("registry.example.com/team/*", "registry.example.com/team/a/b:2"),
            ("registry.example.com:5000/team/*", "registry.example.com:5000/team/a"),
        ] {
            assert!(covers(pattern, image), "{pattern} {image}");
        }
        for (pattern, image) in [
            ("nginx", "nginx2"),
            ("nginx", "evil/nginx"),
            ("nginx", "registry.example.com/library/nginx"),
            ("library/*", "team/app"),
            ("registry.example.com/team/*", "registry.example.com/team2/app"),
            ("registry.example.com/team/*", "registry.example.com/team"),
            ("registry.example.com/team", "registry.example.com/team/app"),
            ("registry.example.com/*", "registry.example.com.evil.org/app"),
            ("registry.example.com/*", "registry.example.com:5000/app"),
            ("registry.example.com:5000/*", "registry.example.com/app"),
            ("registry.example.com/*", "evil.org/registry.example.com/app"),
            ("registry.example.com/*", "registry.example.com./app"),
            ("registry.example.com/*", "Registry.example.com/app"),
            ("docker.io/*", "Docker.io/app"),
            ("docker.io/*", "registry-1.docker.io/library/app"),
        ] {
            assert!(!covers(pattern, image), "{pattern} {image}");
        }
    }

    #[test]
    fn a_name_that_is_a_trick_is_no_image_or_none_that_is_covered() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for image in [
            "registry.example.com/team/../evil/app",
            "registry.example.com/team/./app",
            "registry.example.com/team//app",
            "registry.example.com@evil.org/team/app",
            "user:secret@registry.example.com/team/app",
            "https://registry.example.com/team/app",
            "registry.example.com/team/app?x=evil.org",
            "registry.example.com/team/%2e%2e/app",
            "registry.example.com/team/App",
            "registry.example.com/team/\u{430}pp",
            "registry.ex\u{430}mple.com/team/app",
            "registry.example.com\\evil.org/team/app",
            " registry.example.com/team/app",
            "registry.example.com/team/app\n",
            "registry.example.com:0443/team/app",
            "registry.example.com:+443/team/app",
            "[::1]:5000/team/app",
            &digest,
            &format!("@{digest}"),
        ] {
            assert!(!covers("registry.example.com/team/*", image), "{image:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, why) in [
            ("*", "HOST/PATH/*"),
            ("*/app", "HOST/PATH/*"),
            ("registry.example.com/*/app", "HOST/PATH/*"),
            ("registry.example.com/te*", "HOST/PATH/*"),
            ("nginx:1", "not for a tag"),
            ("registry.example.com", "HOST/*"),
            ("localhost", "HOST/*"),
            ("Registry.example.com/*", "lower case"),
            ("registry.example.com./*", "lower case"),
            ("", "characters"),
            ("/*", "each part"),
            ("a//b", "each part"),
            ("any thing", "lower-case"),
        ] {
            let refused = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
        for text in ["registry.example.com/*", "docker.io/library/nginx", "docker.io/*"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        assert_eq!("team/*".parse::<Pattern>().unwrap().to_string(), "docker.io/team/*");
    }

    #[test]
    fn what_only_an_engine_has_came_from_nowhere_that_is_known() {
        let patterns = vec!["registry.example.com/*".parse().unwrap()];
        let policy = ImagePolicy { patterns, made_by: "kim".to_owned(), why: String::new() };
        let digest: crate::image::Digest = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
        let reference: ImageReference = "registry.example.com/app".parse().unwrap();
        assert_eq!(policy.check_reference(&reference), Ok(()));
        for (pin, is_taken) in [(Pin::Manifest(digest.clone()), true), (Pin::Local(digest), false)]
        {
            let image = Image { reference: reference.clone(), pin };
            assert_eq!(policy.takes_pin(&image), is_taken);
        }
    }
}
