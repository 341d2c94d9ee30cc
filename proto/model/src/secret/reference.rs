//! Where a value is that AWS keeps: a parameter of Systems Manager, or a secret of Secrets Manager.
//!
//! What is written in several ways has one form here, so that two names are never one thing, and what was allowed is what is asked for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::trust::ServiceGlob;

/// The longest reference, in bytes: names of Secrets Manager have 512 at most, and few of Systems Manager come near their 1,011.
pub const REFERENCE_LIMIT: usize = 512;

/// The most patterns of references that somebody has allowed.
pub const ALLOWANCES_LIMIT: usize = 1_000;

/// By this name Systems Manager gives out secrets of Secrets Manager: what is allowed of the one would be allowed of the other.
const DETOUR: &str = "/aws/reference/secretsmanager";

/// Which of both keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// Systems Manager, Parameter Store.
    Parameters,
    /// Secrets Manager.
    Secrets,
}

impl Keeper {
    /// What a reference to it begins with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Parameters => "ssm:",
            Self::Secrets => "secretsmanager:",
        }
    }

    /// Finds out who is meant, and what remains of the text.
    fn split(text: &str) -> Option<(Self, &str)> {
        [Self::Parameters, Self::Secrets]
            .into_iter()
            .find_map(|keeper| Some((keeper, text.strip_prefix(keeper.prefix())?)))
    }

    const fn service(self) -> &'static str {
        match self {
            Self::Parameters => "ssm",
            Self::Secrets => "secretsmanager",
        }
    }

    /// How many parts of an ARN are its name: `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME`, and
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX`.
    const fn parts(self) -> usize {
        match self {
            Self::Parameters => 6,
            Self::Secrets => 7,
        }
    }

    fn is_name(self, text: &str) -> bool {
        let extra = match self {
            Self::Parameters => "/_.-",
            Self::Secrets => "/_+=.@-",
        };
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    }

    fn is_arn(self, text: &str) -> bool {
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, service, region, account, rest @ ..] = &parts[..] else {
            return false;
        };
        let is_word = |text: &str| {
            let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !text.is_empty() && text.chars().all(is_fine)
        };
        let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        let is_resource = match (self, rest) {
            (Self::Parameters, [name]) => {
                name.strip_prefix("parameter/").is_some_and(|name| self.is_name(name))
            }
            (Self::Secrets, ["secret", name]) => self.is_name(name),
            (Self::Parameters | Self::Secrets, _) => false,
        };
        *arn == "arn"
            && is_word(partition)
            && *service == self.service()
            && is_word(region)
            && is_account
            && is_resource
    }
}

/// A value that AWS keeps.
///
/// `ssm:NAME[:VERSION]` and `secretsmanager:NAME[:VERSION][#KEY]`, where NAME may be an ARN. A version of a parameter is a number or a label, one of
/// a secret its id or a stage; without one it is the newest, which moves. KEY is a member of the JSON object that the secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    keeper: Keeper,
    name: String,
    version: Option<String>,
    key: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoReference {
    /// It begins with something else.
    #[error("it begins with neither `ssm:` nor `secretsmanager:`")]
    Keeper,
    /// The name has something that no name has.
    #[error("{0:?} is no name of {1}, and no ARN of one")]
    Name(String, &'static str),
    /// What follows the name is no version.
    #[error("{0:?} is no version")]
    Version(String),
    /// The member of an object has no name, or one that can not be shown.
    #[error("{0:?} is no key of an object")]
    Key(String),
    /// It is too long.
    #[error("it has {0} bytes of {REFERENCE_LIMIT}")]
    Long(usize),
    /// A secret by way of the other service.
    #[error("{DETOUR} leads to a secret of Secrets Manager: write `secretsmanager:NAME`")]
    Detour,
}

impl Reference {
    /// Who keeps it.
    #[must_use]
    pub const fn keeper(&self) -> Keeper {
        self.keeper
    }

    /// Name or ARN, as AWS is asked for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that is wanted, if it is not the newest.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The member of the JSON object that is wanted, if it is not all of it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// All of the value of which this is a member, or this itself.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// Whether the version is one that never gets another value: a number, or the id of a version. Labels and stages move.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        let version = self.version.as_deref();
        version.is_some_and(|version| match self.keeper {
            Keeper::Parameters => version.chars().all(|c| c.is_ascii_digit()),
            Keeper::Secrets => is_version_id(version),
        })
    }

    /// The region that its ARN names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.name.strip_prefix("arn:")?.split(':').nth(2)
    }

    /// What a role has to name to be allowed it, by the last part of an ARN: `parameter/shop/db`, `secret:shop/db-??????`.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.name.starts_with("arn:") {
            return self.name.clone();
        }
        match self.keeper {
            Keeper::Parameters => format!("parameter/{}", self.name.trim_start_matches('/')),
            Keeper::Secrets => format!("secret:{}-??????", self.name),
        }
    }

    fn read(keeper: Keeper, rest: &str) -> Result<Self, NoReference> {
        let (rest, key) = match (keeper, rest.split_once('#')) {
            (Keeper::Secrets, Some((rest, key))) => (rest, Some(key)),
            (Keeper::Secrets | Keeper::Parameters, _) => (rest, None),
        };
        let count = if rest.starts_with("arn:") { keeper.parts() } else { 1 };
        let (name, version) = split_after(rest, count);
        Self::checked(keeper, name, (version, key))
    }

    /// As ECS writes it: `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME:KEY:STAGE:ID`, where any of the last three may be empty.
    fn read_arn(keeper: Keeper, text: &str) -> Result<Self, NoReference> {
        let (name, rest) = split_after(text, keeper.parts());
        let some = |part: Option<&'_ str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
        let (version, key) = match keeper {
            Keeper::Parameters => (rest.map(str::to_owned), None),
            Keeper::Secrets => {
                let mut parts = rest.unwrap_or_default().splitn(3, ':');
                let (key, stage, id) = (parts.next(), parts.next(), parts.next());
                (some(id).or_else(|| some(stage)), some(key))
            }
        };
        Self::checked(keeper, name, (version.as_deref(), key.as_deref()))
    }

    fn checked(
        keeper: Keeper,
        name: &str,
        (version, key): (Option<&str>, Option<&str>),
    ) -> Result<Self, NoReference> {
        let is_fine =
            if name.starts_with("arn:") { keeper.is_arn(name) } else { keeper.is_name(name) };
        if !is_fine {
            let of = match keeper {
                Keeper::Parameters => "a parameter",
                Keeper::Secrets => "a secret",
            };
            return Err(NoReference::Name(name.chars().take(128).collect(), of));
        }
        check_detour(keeper, name)?;
        if let Some(version) = version.filter(|version| !is_version(version)) {
            return Err(NoReference::Version(version.chars().take(128).collect()));
        }
        if let Some(key) = key.filter(|key| !is_key(key)) {
            return Err(NoReference::Key(key.chars().take(128).collect()));
        }
        let (version, key) = (version.map(str::to_owned), key.map(str::to_owned));
        let read = Self { keeper, name: name.to_owned(), version, key };
        let length = read.to_string().len();
        if length > REFERENCE_LIMIT {
            return Err(NoReference::Long(length));
        }
        Ok(read)
    }
}

/// Splits after so many parts that colons separate.
fn split_after(text: &str, parts: usize) -> (&str, Option<&str>) {
    let mut colons = text.match_indices(':').skip(parts - 1);
    match colons.next() {
        Some((at, _)) => {
            let (name, rest) = text.split_at(at);
            (name, rest.strip_prefix(':'))
        }
        None => (text, None),
    }
}

fn check_detour(keeper: Keeper, name: &str) -> Result<(), NoReference> {
    let path = name.rsplit_once(":parameter").map_or(name, |(_, path)| path);
    let path = path.trim_start_matches('/');
    let is_detour = format!("/{path}").starts_with(DETOUR);
    if keeper == Keeper::Parameters && is_detour { Err(NoReference::Detour) } else { Ok(()) }
}

/// Labels, stages and ids (`PutParameter`, `UpdateSecretVersionStage` of the APIs).
fn is_version(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    (1..=256).contains(&text.len()) && text.chars().all(is_fine)
}

/// `ClientRequestToken` of `PutSecretValue`, which becomes the id of a version, is a UUID of 32 to 64 characters.
fn is_version_id(text: &str) -> bool {
    (32..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        if let Some((keeper, rest)) = Keeper::split(text) {
            return Self::read(keeper, rest);
        }
        let of_service = |keeper: &Keeper| text.split(':').nth(2) == Some(keeper.service());
        let mut keepers = [Keeper::Parameters, Keeper::Secrets].into_iter();
        match keepers.find(of_service).filter(|_| text.starts_with("arn:")) {
            Some(keeper) => Self::read_arn(keeper, text),
            None => Err(NoReference::Keeper),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.keeper.prefix(), self.name)?;
        if let Some(version) = &self.version {
            write!(f, ":{version}")?;
        }
        if let Some(key) = &self.key {
            write!(f, "#{key}")?;
        }
        Ok(())
    }
}

/// References by their beginning, of any version and key: `ssm:/shop/*`, or one alone: `secretsmanager:shop/db`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceGlob {
    keeper: Keeper,
    name: String,
    is_prefix: bool,
}

/// Why a text stands for no references.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} does not stand for references: it is `ssm:NAME` or `secretsmanager:NAME` without version and key, with * at its end for all that begins so"
)]
pub struct NoReferenceGlob(String);

impl ReferenceGlob {
    /// Says whether it stands for this one.
    #[must_use]
    pub fn matches(&self, reference: &Reference) -> bool {
        let is_same = reference.keeper == self.keeper;
        let fits = if self.is_prefix {
            reference.name.starts_with(&self.name)
        } else {
            reference.name == self.name
        };
        is_same && fits
    }
}

impl FromStr for ReferenceGlob {
    type Err = NoReferenceGlob;

    fn from_str(text: &str) -> Result<Self, NoReferenceGlob> {
        let wrong = || NoReferenceGlob(text.chars().take(128).collect());
        let (keeper, rest) = Keeper::split(text).ok_or_else(wrong)?;
        let (name, is_prefix) = match rest.strip_suffix('*') {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let is_arn = name.starts_with("arn:");
        let is_letter = |c: char| keeper.is_name(c.encode_utf8(&mut [0; 4])) || is_arn && c == ':';
        let is_fine = if is_prefix {
            name.chars().all(is_letter)
        } else {
            keeper.is_name(name) || is_arn && keeper.is_arn(name)
        };
        if !is_fine || text.len() > REFERENCE_LIMIT {
            return Err(wrong());
        }
        Ok(Self { keeper, name: name.to_owned(), is_prefix })
    }
}

impl fmt::Display for ReferenceGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{}{star}", self.keeper.prefix(), self.name)
    }
}

/// That services may name references, also when they are deployed by somebody who may do nothing to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Which references.
    pub references: ReferenceGlob,
    /// Which services: at least one pattern, and at most [`super::OWNERS_LIMIT`].
    pub services: Vec<ServiceGlob>,
    /// Who has said so.
    pub made_by: String,
    /// Why, in their words.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-AbCdEf";

    fn read(text: &str) -> Result<Reference, NoReference> {
        text.parse()
    }

    #[test]
    fn what_is_written_in_several_ways_has_one_form() {
        let parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/db";
        for (text, form) in [
            ("ssm:/shop/db", "ssm:/shop/db"),
            ("ssm:/shop/db:3", "ssm:/shop/db:3"),
            (parameter, &format!("ssm:{parameter}")),
            (&format!("{parameter}:live"), &format!("ssm:{parameter}:live")),
            ("secretsmanager:shop/db", "secretsmanager:shop/db"),
            (
                "secretsmanager:shop/db:AWSPREVIOUS#a:b#c",
                "secretsmanager:shop/db:AWSPREVIOUS#a:b#c",
            ),
            (ARN, &format!("secretsmanager:{ARN}")),
            (&format!("{ARN}:password::"), &format!("secretsmanager:{ARN}#password")),
            (
                &format!("{ARN}:password:AWSPREVIOUS:"),
                &format!("secretsmanager:{ARN}:AWSPREVIOUS#password"),
            ),
            (&format!("{ARN}:::0123"), &format!("secretsmanager:{ARN}:0123")),
        ] {
            let reference = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.to_string(), form, "{text}");
            assert_eq!(read(form), Ok(reference), "{form}");
        }
    }

    #[test]
    fn what_could_be_something_else_is_refused() {
        for text in [
            "",
            "db",
            "ssm:",
            "ssm:/shop/d b",
            "ssm:/shop/db:",
            "ssm:/shop/db:1:2",
            "ssm:/shop/db#key",
            "ssm:/shop/*",
            "ssm:/aws/reference/secretsmanager/shop",
            "ssm:aws/reference/secretsmanager/shop",
            "ssm://aws/reference/secretsmanager/shop",
            "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/aws/reference/secretsmanager/shop",
            "arn:aws:s3:::bucket",
            "arn:aws:ssm:eu-west-1:1234:parameter/shop",
            "secretsmanager:shop/db#",
            "secretsmanager:shop/db#a b",
            "secretsmanager:shop/db\n",
            "secretsmanager:arn:aws:ssm:eu-west-1:123456789012:parameter/shop",
            "Ssm:/shop/db",
            &format!("ssm:/{}", "a".repeat(REFERENCE_LIMIT)),
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_numbers_and_ids_stay_what_they_are() {
        for (text, is_fixed) in [
            ("ssm:/shop/db", false),
            ("ssm:/shop/db:12", true),
            ("ssm:/shop/db:live", false),
            ("secretsmanager:shop/db:AWSCURRENT", false),
            ("secretsmanager:shop/db:12", false),
            ("secretsmanager:shop/db:8b9d1c0e-0000-4000-8000-0123456789ab", true),
        ] {
            assert_eq!(read(text).unwrap().is_fixed(), is_fixed, "{text}");
        }
        let (member, whole) = (read("secretsmanager:a:b#c").unwrap(), read("secretsmanager:a:b"));
        assert_eq!(
            (member.whole(), whole.clone().map(|whole| whole.whole())),
            (whole.clone().unwrap(), whole)
        );
        assert_eq!(read(ARN).unwrap().region(), Some("eu-west-1"));
        assert_eq!(read("ssm:/shop/db").unwrap().region(), None);
        assert_eq!(read("ssm:/shop/db").unwrap().resource(), "parameter/shop/db");
        assert_eq!(read("secretsmanager:shop/db").unwrap().resource(), "secret:shop/db-??????");
    }

    #[test]
    fn what_is_allowed_is_what_begins_so_and_nothing_beside_it() {
        let arn = "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/shop/";
        for (glob, reference, matches) in [
            ("ssm:/shop/*", "ssm:/shop/db", true),
            ("ssm:/shop/*", "ssm:/shop/db:3", true),
            ("ssm:/shop/*", "ssm:/shopping", false),
            ("ssm:/shop/*", "ssm:shop/db", false),
            ("ssm:/shop/*", "secretsmanager:/shop/db", false),
            ("ssm:/shop/*", &format!("{arn}db"), false),
            (&format!("{arn}*"), &format!("{arn}db"), true),
            ("ssm:/shop/db", "ssm:/shop/db:live", true),
            ("ssm:/shop/db", "ssm:/shop/db2", false),
            ("ssm:*", "ssm:/shop/db", true),
            ("secretsmanager:shop/*", "secretsmanager:shop/db#password", true),
        ] {
            let (glob, reference) = (glob.parse::<ReferenceGlob>(), read(reference));
            let (glob, reference) = (glob.unwrap(), reference.unwrap());
            assert_eq!(glob.matches(&reference), matches, "{glob} {reference}");
            assert_eq!(glob.to_string().parse(), Ok(glob));
        }
        for text in [
            "*",
            "ssm:",
            "ssm:/a*b",
            "ssm:/a:3",
            "ssm:/a#b",
            "secretsmanager:a#b",
            "db",
            "ssm:/a b*",
        ] {
            assert!(text.parse::<ReferenceGlob>().is_err(), "{text:?}");
        }
    }
}
