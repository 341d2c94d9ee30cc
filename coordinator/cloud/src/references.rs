//! What is asked of those who keep values: Parameter Store and Secrets Manager.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use model::secret::reference::Reference;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::CloudError;

/// Values that the cloud keeps, and we are allowed.
#[async_trait]
pub trait References: fmt::Debug + Send + Sync {
    /// Reads all of a value as it is now, whatever member of it is named.
    async fn read(&self, reference: &Reference) -> Result<Referred, CloudError>;
}

/// A value, and which version of it that is. Nothing shows the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Referred {
    /// Byte for byte.
    pub value: Zeroizing<Vec<u8>>,
    /// In the words of who keeps it; empty where it does not say.
    pub version: String,
}

impl fmt::Debug for Referred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Referred").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Referred {
    /// One member of the object that it is: text as it is, anything else as JSON. What is wrong says nothing of the value.
    ///
    /// # Errors
    /// When it is no object, or has no such member.
    pub fn member(&self, key: &str) -> Result<Self, CloudError> {
        let refused = |code: &str, why: String| {
            let (request, code) = ("GetSecretValue", code.to_owned());
            CloudError::Refused { request, code, why }
        };
        let Ok(object) = serde_json::from_slice::<BTreeMap<String, Value>>(&self.value) else {
            let why = "a key is asked for, and the value is no object of JSON".to_owned();
            return Err(refused("NotAnObject", why));
        };
        let text = match object.get(key) {
            None | Some(Value::Null) => {
                return Err(refused("NoSuchKey", format!("the value has no key {key:?}")));
            }
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Ok(Self { value: Zeroizing::new(text.into_bytes()), version: self.version.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, key: &str) -> Result<String, String> {
        let value = Zeroizing::new(value.as_bytes().to_vec());
        let read = Referred { value, version: String::new() }.member(key);
        let text = |read: Referred| String::from_utf8(read.value.to_vec()).unwrap();
        read.map(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_member_is_what_it_says_and_what_is_wrong_shows_no_value() {
        let value = r#"{"user": "ada", "port": 5432, "on": true, "none": null, "a": {"b": 1}}"#;
        for (key, meant) in [("user", "ada"), ("port", "5432"), ("on", "true"), ("a", r#"{"b":1}"#)]
        {
            assert_eq!(read(value, key).as_deref(), Ok(meant), "{key}");
        }
        for (value, key) in
            [(value, "none"), (value, "b"), ("swordfish", "a"), ("[1]", "a"), ("", "a")]
        {
            let said = read(value, key).unwrap_err();
            assert!(!said.contains("swordfish") && !said.contains("ada"), "{said}");
        }
        let value = Zeroizing::new(b"swordfish".to_vec());
        let shown = format!("{:?}", Referred { value, version: "7".to_owned() });
        assert!(shown.contains('7') && !shown.contains("sword"), "{shown}");
    }
}
