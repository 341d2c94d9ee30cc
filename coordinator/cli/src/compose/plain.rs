//! A value that looks secret does not belong into the environment: it would be stored and shown as it is.

use std::collections::BTreeSet;

use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// What names of variables end with whose values are secret.
const ENDINGS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "TOKEN",
    "SECRET",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "SECRET_KEY",
    "PRIVATE_KEY",
];

/// What these variables are set to when they say whether there is a password, and not which.
const ANSWERS: &[&str] = &["true", "false", "yes", "no", "on", "off", "0", "1"];

/// The variables that may be as they are.
pub(super) fn allowed(problems: &mut Problems, service: &Section<'_>) -> BTreeSet<String> {
    let wharf = service.section(problems, "x-wharf");
    let names = wharf.read(problems, "allow_plain_env", values::text_or_texts);
    names.unwrap_or_default().into_iter().collect()
}

/// Refuses a variable that looks secret, unless it may be as it is.
pub(super) fn check(
    problems: &mut Problems,
    (name, value, place): (&str, &str, Place),
    allowed: &BTreeSet<String>,
) {
    let Some(why) = suspicion(name, value).filter(|_| !allowed.contains(name)) else { return };
    let message = format!("`{name}` {why}, and would be stored and shown as it is");
    let hint = format!(
        "`wharf secret set NAME`, then have it as a file with `secrets`, or as this variable with `x-wharf.secret_env`; \
         if it is not secret: `x-wharf.allow_plain_env: [{name}]`"
    );
    problems.error(place, message).hint(hint);
}

/// Why it looks secret, if it does. The value is never repeated.
fn suspicion(name: &str, value: &str) -> Option<&'static str> {
    if has_private_key(value) {
        return Some("has a private key");
    }
    if has_access_key(value) {
        return Some("has an access key of AWS");
    }
    if has_url_with_password(value) {
        return Some("has a URL with a password");
    }
    let is_path = value.starts_with('/');
    let is_answer = ANSWERS.contains(&value.to_ascii_lowercase().as_str());
    let names_it = is_named_secret(name) && !value.is_empty() && !is_path && !is_answer;
    names_it.then_some("is named like a secret")
}

fn is_named_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let ends = |ending: &str| {
        name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    };
    ENDINGS.iter().any(|ending| ends(ending))
}

fn has_private_key(value: &str) -> bool {
    let mut parts = value.split("-----BEGIN ").skip(1);
    parts.any(|part| part.split("-----").next().is_some_and(|kind| kind.ends_with("PRIVATE KEY")))
}

/// `AKIA` or `ASIA` and sixteen letters or digits, as a word.
fn has_access_key(value: &str) -> bool {
    let mut words = value.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        let begins = word.starts_with("AKIA") || word.starts_with("ASIA");
        begins
            && word.len() == 20
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    })
}

/// `scheme://user:password@host`
fn has_url_with_password(value: &str) -> bool {
    let mut authorities = value.split("://").skip(1).map(|rest| {
        rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#'))
            .next()
            .unwrap_or_default()
    });
    authorities.any(|authority| {
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_told_from_what_does_not() {
        let key = "AKIA".to_owned() + "IOSFODNN7EXAMPLE";
        let secret = [
            ("DB_PASSWORD", "hunter2"),
            ("db_password", "hunter2"),
            ("PASSWORD", "x"),
            ("GITHUB_TOKEN", "abc"),
            ("CLIENT_SECRET", "abc"),
            ("STRIPE_API_KEY", "abc"),
            ("AWS_SECRET_ACCESS_KEY", "abc"),
            ("ANY", key.as_str()),
            ("ANY", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
            ("ANY", "-----BEGIN PRIVATE KEY-----\nMII"),
            ("DATABASE_URL", "postgres://app:hunter2@db/app"),
            ("URLS", "http://a/ amqp://u:p@mq"),
        ];
        for (name, value) in secret {
            assert!(suspicion(name, value).is_some(), "{name}={value}");
        }
        let plain = [
            ("DB_PASSWORD", ""),
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("TLS_PRIVATE_KEY", "/run/secrets/tls"),
            ("ALLOW_EMPTY_PASSWORD", "yes"),
            ("TOKENIZER", "gpt"),
            ("MAX_TOKENS", "10"),
            ("ANY", "AKIAlowercaseisnokey"),
            ("ANY", "-----BEGIN CERTIFICATE-----\nMII"),
            ("DATABASE_URL", "postgres://app@db/app"),
            ("PROXY", "http://proxy:3128/a@b"),
        ];
        for (name, value) in plain {
            assert_eq!(suspicion(name, value), None, "{name}={value}");
        }
    }
}
