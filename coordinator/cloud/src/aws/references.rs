//! Values of Parameter Store and Secrets Manager by the SDK.

use async_trait::async_trait;
use model::secret::reference::{Keeper, Reference};
use zeroize::Zeroizing;

use super::{Aws, failed};
use crate::CloudError;
use crate::references::{References, Referred};

fn empty(request: &'static str) -> CloudError {
    let (code, why) = ("an answer that says nothing".to_owned(), "no value".to_owned());
    CloudError::Refused { request, code, why }
}

impl Aws {
    async fn parameter(&self, reference: &Reference) -> Result<Referred, CloudError> {
        const REQUEST: &str = "GetParameter";
        let version = reference.version().map(|version| format!(":{version}"));
        let name = format!("{}{}", reference.name(), version.unwrap_or_default());
        let asked = self.parameters.get_parameter().name(name).with_decryption(true).send().await;
        let asked = asked.map_err(|error| failed(REQUEST, &error))?;
        let parameter = asked.parameter.ok_or_else(|| empty(REQUEST))?;
        let value = parameter.value.ok_or_else(|| empty(REQUEST))?;
        let value = Zeroizing::new(value.into_bytes());
        Ok(Referred { value, version: parameter.version.to_string() })
    }

    async fn secret(&self, reference: &Reference) -> Result<Referred, CloudError> {
        const REQUEST: &str = "GetSecretValue";
        let version = reference.version().map(str::to_owned);
        let (id, stage) = if reference.is_fixed() { (version, None) } else { (None, version) };
        let request = self.secrets.get_secret_value().secret_id(reference.name());
        let asked = request.set_version_id(id).set_version_stage(stage).send().await;
        let asked = asked.map_err(|error| failed(REQUEST, &error))?;
        let text = asked.secret_string.map(String::into_bytes);
        let value = text.or_else(|| {
            asked.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner)
        });
        let value = Zeroizing::new(value.ok_or_else(|| empty(REQUEST))?);
        Ok(Referred { value, version: asked.version_id.unwrap_or_default() })
    }
}

#[async_trait]
impl References for Aws {
    async fn read(&self, reference: &Reference) -> Result<Referred, CloudError> {
        match reference.keeper() {
            Keeper::Parameters => self.parameter(reference).await,
            Keeper::Secrets => self.secret(reference).await,
        }
    }
}
