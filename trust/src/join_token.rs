//! A join token as text: what a new node is given, once, to find its cluster and to be let in.
//!
//! `wharf1.CLUSTER.AUTHORITY.SECRET.CHECK`: the cluster's id, the digest of its authority's certificate, 128 bits that open,
//! and a checksum, by which one that was cut on the way is told from one that is wrong.

use std::fmt;
use std::str::FromStr;

use model::id::ClusterId;
use model::trust::Fingerprint;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::digest::{random, sha256};

const HEAD: &str = "wharf1";

/// A join token. It is shown only by [`JoinToken::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster that it opens.
    pub cluster: ClusterId,
    /// Of the certificate of that cluster's authority.
    pub authority: Fingerprint,
    secret: Zeroizing<String>,
}

/// Why a text is no join token. The text is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoToken {
    /// Something else.
    #[error(
        "this is no join token: one begins with {HEAD}. and is what `wharf token create` prints"
    )]
    Foreign,
    /// Parts are missing or changed.
    #[error("the join token is not whole: parts of it are missing or were changed on the way")]
    Damaged,
}

impl JoinToken {
    /// Draws a new one.
    #[must_use]
    pub fn draw(cluster: ClusterId, authority: Fingerprint) -> Self {
        let secret: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { cluster, authority, secret: Zeroizing::new(secret) }
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(self.unchecked());
        Zeroizing::new(format!("{}.{}", *text, check(&text)))
    }

    /// What opens, without the rest.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What is remembered of a secret.
    #[must_use]
    pub fn digest(secret: &str) -> Fingerprint {
        sha256(secret.as_bytes())
    }

    fn unchecked(&self) -> String {
        format!("{HEAD}.{}.{}.{}", self.cluster, self.authority, *self.secret)
    }
}

fn check(text: &str) -> String {
    sha256(text.as_bytes()).to_string().chars().take(8).collect()
}

impl FromStr for JoinToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let text = text.trim();
        if !text.starts_with(&format!("{HEAD}.")) {
            return Err(NoToken::Foreign);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [_, cluster, authority, secret, checked] = parts.as_slice() else {
            return Err(NoToken::Damaged);
        };
        let is_secret = secret.len() == 32
            && secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let token = Self {
            cluster: cluster.parse().map_err(|_| NoToken::Damaged)?,
            authority: authority.parse().map_err(|_| NoToken::Damaged)?,
            secret: Zeroizing::new((*secret).to_owned()),
        };
        // Also what was written in another case is not what was given out.
        let is_whole = check(&token.unchecked()) == *checked && token.expose().as_str() == text;
        if !is_secret || !is_whole {
            return Err(NoToken::Damaged);
        }
        Ok(token)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::draw("c-1_x".parse().unwrap(), sha256(b"an authority"))
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let (token, other) = (token(), token());
        assert_eq!(format!(" {}\n", *token.expose()).parse(), Ok(token.clone()));
        assert_ne!(other, token, "each is another");
    }

    #[test]
    fn a_token_that_was_cut_or_changed_is_told_from_one_that_is_unknown() {
        let text = token().expose();
        for length in 0..text.len() {
            let cut: String = text.chars().take(length).collect();
            assert!(cut.parse::<JoinToken>().is_err(), "{length}");
        }
        for place in HEAD.len() + 1..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[place] = if changed[place] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(changed.parse::<JoinToken>(), Err(NoToken::Damaged), "{place}");
        }
        assert_eq!("hunter2".parse::<JoinToken>(), Err(NoToken::Foreign));
    }

    #[test]
    fn t13_a_token_is_in_no_message_about_it() {
        let token = token();
        assert!(!format!("{token:?}").contains(token.secret()));
        let damaged: String = token.expose().chars().take(100).collect();
        let error = damaged.parse::<JoinToken>().unwrap_err();
        let begins: String = token.secret().chars().take(8).collect();
        assert!(!format!("{error}{error:?}").contains(&begins));
    }
}
