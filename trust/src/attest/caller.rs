//! `sts:GetCallerIdentity`, signed by the machine and made by the coordinator. The request is one and the same, always: the
//! machine gives a signature and what it is over besides, and never a host, a path, a body or a header.
//!
//! The signature is Signature Version 4 of AWS
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>), written out because it is
//! of one request and needs a hash: the libraries for it bring more than the agent is otherwise made of.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use model::trust::Fingerprint;
use zeroize::Zeroizing;

use crate::digest::sha256;

/// The body of the request.
pub const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The header that ties the signature to a challenge and a key.
pub const BINDING: &str = "x-wharf-binding";
/// A session's token is no longer than this, in bytes: those of AWS have some 1,500.
const TOKEN_LIMIT: usize = 8 << 10;

/// Credentials of a machine, for some hours.
#[derive(Clone)]
pub struct Credentials {
    /// Names them.
    pub access_key: String,
    /// What signs.
    pub secret: Zeroizing<String>,
    /// Goes along.
    pub session_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// What a signature is over, besides what is always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The region whose service is called.
    pub region: String,
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    /// Of the session.
    pub session_token: String,
    /// What it is tied to.
    pub binding: Fingerprint,
}

/// Says whether a text has the form of a region's name, of which a host's name is made.
#[must_use]
pub fn is_region(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (5..=32).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.contains('-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The host of the service in a region, which is made here and never taken from anybody.
#[must_use]
pub fn host(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("sts.{region}.{domain}")
}

impl Call {
    /// Says whether everything in it has the form that it has at AWS: no line ends, nothing that is too long.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let is_date = self.date.len() == 16
            && self.date.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let is_token = (1..=TOKEN_LIMIT).contains(&self.session_token.len())
            && self.session_token.bytes().all(|byte| byte.is_ascii_graphic());
        is_region(&self.region) && is_date && is_token
    }

    /// Every header that is signed, in the order of their names.
    fn signed(&self) -> [(&'static str, String); 5] {
        [
            ("content-type", TYPE.to_owned()),
            ("host", host(&self.region)),
            ("x-amz-date", self.date.clone()),
            ("x-amz-security-token", self.session_token.clone()),
            (BINDING, self.binding.to_string()),
        ]
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, credentials: &Credentials) -> String {
        let request = canonical(&self.signed(), BODY);
        let scope = Scope { date: &self.date, region: &self.region, service: "sts" };
        signature(&scope, &credentials.secret, &request)
    }

    /// All headers of the request, as whoever makes it sends them.
    #[must_use]
    pub fn headers(&self, access_key: &str, signature: &str) -> Vec<(&'static str, String)> {
        let scope = Scope { date: &self.date, region: &self.region, service: "sts" };
        let names = names(&self.signed());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{}, SignedHeaders={names}, Signature={signature}",
            scope.text()
        );
        let signed = self.signed().into_iter();
        signed.chain([("authorization", authorization)]).collect()
    }
}

/// Says whether a text has the form of an access key's name.
#[must_use]
pub fn is_access_key(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (16..=128).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Says whether a text has the form of a signature.
#[must_use]
pub fn is_signature(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl Scope<'_> {
    fn day(&self) -> &str {
        self.date.get(..8).unwrap_or_default()
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day(), self.region, self.service)
    }
}

fn names(headers: &[(&'static str, String)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

fn canonical(headers: &[(&'static str, String)], body: &str) -> String {
    let mut request = String::from("POST\n/\n\n");
    for (name, value) in headers {
        writeln!(request, "{name}:{value}").expect("a text takes all that is written to it");
    }
    format!("{request}\n{}\n{}", names(headers), sha256(body.as_bytes()))
}

fn signature(scope: &Scope<'_>, secret: &str, request: &str) -> String {
    let digest = sha256(request.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{digest}", scope.date, scope.text());
    let first = Zeroizing::new(format!("AWS4{secret}"));
    let parts = [scope.day(), scope.region, scope.service, "aws4_request", &text];
    let mut key = Zeroizing::new(first.as_bytes().to_vec());
    for part in parts {
        let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = Zeroizing::new(hmac::sign(&with, part.as_bytes()).as_ref().to_vec());
    }
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-x-www-form-urlencoded` of the test suite that AWS has published for Signature Version 4.
    #[test]
    fn the_signature_is_that_of_aws() {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("host", "example.amazonaws.com".to_owned()),
            ("x-amz-date", "20150830T123600Z".to_owned()),
        ];
        let request = canonical(&headers, "Param1=value1");
        let digest = "42a5e5bb34198acb3e84da4f085bb7927f2bc277ca766e6d19c73c2154021281";
        assert_eq!(sha256(request.as_bytes()).to_string(), digest);
        let scope = Scope { date: "20150830T123600Z", region: "us-east-1", service: "service" };
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let expected = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(signature(&scope, secret, &request), expected);
    }

    fn call() -> Call {
        Call {
            region: "eu-central-1".to_owned(),
            date: "20261126T190000Z".to_owned(),
            session_token: "IQoJb3JpZ2luX2VjEXAMPLE//==".to_owned(),
            binding: sha256(b"binding"),
        }
    }

    #[test]
    fn everything_that_is_said_is_signed() {
        let secret = Zeroizing::new("secret".to_owned());
        let credentials = Credentials {
            access_key: "ASIAEXAMPLEEXAMPLE00".to_owned(),
            secret,
            session_token: String::new(),
        };
        let whole = call().sign(&credentials);
        assert!(is_signature(&whole));
        let changed = [
            Call { region: "eu-west-1".to_owned(), ..call() },
            Call { date: "20261126T190001Z".to_owned(), ..call() },
            Call { session_token: "other".to_owned(), ..call() },
            Call { binding: sha256(b"another"), ..call() },
        ];
        for changed in changed {
            assert_ne!(changed.sign(&credentials), whole, "{changed:?}");
        }
        let headers = call().headers(&credentials.access_key, &whole);
        let (_, authorization) = headers.last().unwrap();
        assert!(authorization.contains(
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-wharf-binding"
        ));
        assert!(!format!("{credentials:?}{headers:?}").contains("secret\""));
        assert_eq!(host("cn-north-1"), "sts.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn what_would_make_another_request_is_not_sound() {
        assert!(call().is_sound());
        for region in [
            "",
            "evil.example/",
            "eu-central-1.evil.example",
            "eu-central-1@evil",
            "EU-CENTRAL-1",
            "eu-central-1\n",
            "-eu-1",
            "localhost",
        ] {
            assert!(!Call { region: region.to_owned(), ..call() }.is_sound(), "{region:?}");
        }
        for token in ["", "a b", "a\r\nhost: evil", "é", &"a".repeat(TOKEN_LIMIT + 1)] {
            assert!(!Call { session_token: token.to_owned(), ..call() }.is_sound(), "{token:?}");
        }
        for date in
            ["", "20261126T190000", "20261126 190000Z", "20261126T190000Z\n", "2026112٦T190000Z"]
        {
            assert!(!Call { date: date.to_owned(), ..call() }.is_sound(), "{date:?}");
        }
        assert!(is_access_key("ASIAEXAMPLEEXAMPLE00") && !is_access_key("ASIA/../EXAMPLE00000"));
        assert!(!is_signature(&"A".repeat(64)) && !is_signature("ab"));
    }
}
