//! The metadata service of an instance: which one this is, and what shows that. Only in the second version, which a process
//! that is tricked into a request can not ask.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use trust::attest::caller::Credentials;
use trust::attest::is_instance;
use trust::http::{Ask, Place};
use zeroize::Zeroizing;

/// Where it is.
pub const DEFAULT: &str = "http://169.254.169.254";
/// A token of the service holds for so long where it is for one use.
const TOKEN_SECONDS: u64 = 60;
/// Tries, and the wait between them: it limits what an instance asks.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(200);
const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// The credentials that every instance has of itself.
const OWN: &str = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance";
/// Those of the instance profile: a list with one name, and below it the credentials.
const PROFILE: &str = "/latest/meta-data/iam/security-credentials/";

/// The metadata service, as one conversation sees it.
#[derive(Debug)]
pub(crate) struct Imds {
    place: Place,
    token: Zeroizing<String>,
}

impl Imds {
    /// Begins a conversation.
    ///
    /// # Errors
    /// When nobody answers: this is no instance, or its metadata service is turned off.
    pub(crate) async fn begin(url: &str) -> anyhow::Result<Self> {
        Self::begin_for(url, TOKEN_SECONDS).await
    }

    /// Begins one that goes on for so long, six hours at the most.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) async fn begin_for(url: &str, seconds: u64) -> anyhow::Result<Self> {
        let place = Place::nearby(url)?;
        let headers = vec![(TOKEN_LIFE, seconds.to_string())];
        let method = "PUT".parse().context("PUT is a method")?;
        let ask = Ask { method, path: TOKEN_PATH.to_owned(), headers, body: String::new() };
        let answer = patiently(&place, ask).await;
        let answer = answer.context("the metadata service of this machine does not answer")?;
        let Some(token) = answer else { bail!("the metadata service gives no token") };
        Ok(Self { place, token: Zeroizing::new(token) })
    }

    /// None when there is nothing at that path.
    ///
    /// # Errors
    /// When nobody answers, or the token does not hold any more.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Option<String>> {
        let headers = vec![(TOKEN, self.token.to_string())];
        let ask = Ask { path: path.to_owned(), headers, ..Ask::default() };
        patiently(&self.place, ask).await
    }

    async fn need(&self, path: &str) -> anyhow::Result<String> {
        let found = self.get(path).await?;
        found.with_context(|| format!("the metadata service has no {path}"))
    }

    /// Which instance this is.
    pub(crate) async fn instance(&self) -> anyhow::Result<String> {
        let instance = self.need("/latest/meta-data/instance-id").await?;
        let instance = instance.trim().to_owned();
        anyhow::ensure!(
            is_instance(&instance),
            "the metadata service says that this is {instance:?}"
        );
        Ok(instance)
    }

    /// In which region it is.
    pub(crate) async fn region(&self) -> anyhow::Result<String> {
        Ok(self.need("/latest/meta-data/placement/region").await?.trim().to_owned())
    }

    /// What says so, signed by AWS: PKCS #7 of RSA-2048, as text.
    pub(crate) async fn signed_document(&self) -> anyhow::Result<String> {
        self.need("/latest/dynamic/instance-identity/rsa2048").await
    }

    /// What signs calls as this instance: its own credentials, or those of its profile where it has none of its own.
    pub(crate) async fn credentials(&self) -> anyhow::Result<Credentials> {
        if let Some(own) = self.get(OWN).await? {
            return read(&own);
        }
        let profile = self.get(PROFILE).await?.unwrap_or_default();
        let Some(name) = profile.lines().next().filter(|name| !name.is_empty()) else {
            bail!(
                "the metadata service has neither credentials of the instance itself nor of a profile"
            );
        };
        let found = self.need(&format!("{PROFILE}{name}")).await?;
        read(&found)
    }
}

fn read(text: &str) -> anyhow::Result<Credentials> {
    // What does not parse is not repeated: it is secret.
    let value: Value = serde_json::from_str(text)
        .map_err(|_| anyhow::anyhow!("the credentials of the metadata service can not be read"))?;
    let said = |name: &str| {
        let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("the credentials of the metadata service have no {name}"))
    };
    Ok(Credentials {
        access_key: said("AccessKeyId")?,
        secret: Zeroizing::new(said("SecretAccessKey")?),
        session_token: said("Token")?,
    })
}

/// Asks again when it is busy. None when there is nothing there.
async fn patiently(place: &Place, ask: Ask) -> anyhow::Result<Option<String>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = place.ask(ask.clone()).await;
        let trouble = match answer {
            Ok(answer) if answer.status == 200 => {
                let text = String::from_utf8(answer.body);
                return text.map(Some).context("the metadata service answers with no text");
            }
            Ok(answer) if answer.status == 404 => return Ok(None),
            Ok(answer) => anyhow::anyhow!("the metadata service answers with {}", answer.status),
            Err(error) => error,
        };
        if tries >= TRIES {
            return Err(trouble);
        }
        tokio::time::sleep(WAIT * tries).await;
    }
}
