//! Credentials for a registry, from Docker's `config.json` and its helpers.
//!
//! The rules are those of `docker login`:
//! <https://docs.docker.com/reference/cli/docker/login/#credential-stores>

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Docker, limit};

/// Docker Hub, as `config.json` names it for historical reasons.
const HUB: &str = "https://index.docker.io/v1/";

/// What helpers give as a user when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

impl Docker {
    /// Finds the credentials for the registry of a repository. What can not be read is told in the log, and the
    /// registry is asked without: its own refusal then says more to the operator.
    pub(super) async fn credentials(&self, repository: &str) -> Option<DockerCredentials> {
        let path = file(self.settings().docker_config.as_deref()?);
        let text = tokio::fs::read(&path).await.ok()?;
        let config: Value = serde_json::from_slice(&text)
            .inspect_err(
                |why| tracing::warn!(path = %path.display(), %why, "credentials can not be read"),
            )
            .ok()?;
        let registry = registry(repository);
        if let Some(helper) = helper(&config, registry) {
            match ask(helper, server(registry)).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(why) => tracing::warn!(helper, registry, why, "a credential helper failed"),
            }
        }
        stored(&config, registry)
    }
}

fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("config.json") } else { path.to_owned() }
}

/// The host of a repository's registry; Docker Hub when it names none.
fn registry(repository: &str) -> &str {
    match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}

/// The registry as helpers and `config.json` name it.
fn server(registry: &str) -> &str {
    if is_hub(registry) { HUB } else { registry }
}

fn is_hub(registry: &str) -> bool {
    matches!(registry, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The helper for one registry goes before the store for all.
fn helper<'a>(config: &'a Value, registry: &str) -> Option<&'a str> {
    let helpers = config.get("credHelpers").and_then(Value::as_object);
    let own = helpers.and_then(|helpers| {
        let mut pairs = helpers.iter();
        pairs.find(|(key, _)| is_same(key, registry)).map(|(_, helper)| helper)
    });
    own.or_else(|| config.get("credsStore"))?.as_str().filter(|name| !name.is_empty())
}

/// Keys are hosts, or addresses with a scheme and a path.
fn is_same(key: &str, registry: &str) -> bool {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    host == registry || (is_hub(host) && is_hub(registry))
}

fn stored(config: &Value, registry: &str) -> Option<DockerCredentials> {
    let auths = config.get("auths")?.as_object()?;
    let (_, entry) = auths.iter().find(|(key, _)| is_same(key, registry))?;
    let text = |key: &str| {
        entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (username, password) = match text("auth").and_then(|auth| decode(&auth)) {
        Some((username, password)) => (Some(username), Some(password)),
        None => (text("username"), text("password")),
    };
    let identitytoken = text("identitytoken");
    if username.is_none() && identitytoken.is_none() {
        return None;
    }
    Some(DockerCredentials {
        username,
        password,
        identitytoken,
        serveraddress: Some(server(registry).to_owned()),
        ..DockerCredentials::default()
    })
}

/// Reads `USER:PASSWORD` in base64; some tools leave out the padding or add a zero byte.
fn decode(auth: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Asks `docker-credential-HELPER`. Nothing when it knows of none.
async fn ask(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let answer = tokio::time::timeout(limit::CREDENTIALS, run(helper, server)).await;
    let seconds = limit::CREDENTIALS.as_secs();
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {seconds} s")))?;
    Ok(answer.as_deref().and_then(|answer| read(answer, server)))
}

async fn run(helper: &str, server: &str) -> Result<Option<Vec<u8>>, String> {
    let program = format!("docker-credential-{helper}");
    if program.contains('/') {
        return Err("its name has a slash".into());
    }
    let mut command = Command::new(&program);
    command.arg("get").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|error| format!("{program} can not be run: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper may answer without reading: then the pipe is closed, which is no error.
        drop(input.write_all(server.as_bytes()).await);
    }
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let words = String::from_utf8_lossy(&output.stdout);
    if words.contains("credentials not found") {
        return Ok(None);
    }
    Err(format!("{program}: {}", words.trim()))
}

fn read(answer: &[u8], server: &str) -> Option<DockerCredentials> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let (username, secret) = (text("Username")?, text("Secret")?);
    let serveraddress = Some(server.to_owned());
    if username == TOKEN_USER {
        let identitytoken = Some(secret);
        return Some(DockerCredentials { identitytoken, serveraddress, ..Default::default() });
    }
    let (username, password) = (Some(username), Some(secret));
    Some(DockerCredentials { username, password, serveraddress, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_registry_is_found_under_each_of_its_spellings() {
        let auth = STANDARD.encode("joe:p:w");
        for key in ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v1/"] {
            let config = json!({ "auths": { key: { "auth": auth } } });
            let found = stored(&config, registry("r.example:5000/team/app")).unwrap();
            assert_eq!(found.username.as_deref(), Some("joe"));
            assert_eq!(found.password.as_deref(), Some("p:w"));
        }
        let config = json!({ "auths": { HUB: { "identitytoken": "t" } } });
        let found = stored(&config, registry("library/nginx")).unwrap();
        assert_eq!(found.identitytoken.as_deref(), Some("t"));
        assert!(stored(&config, registry("other.example/nginx")).is_none());
    }

    #[test]
    fn the_helper_of_a_registry_goes_before_the_store() {
        let ecr = "1.dkr.ecr.eu-west-1.amazonaws.com";
        let config = json!({ "credHelpers": { ecr: "ecr-login" }, "credsStore": "pass" });
        assert_eq!(helper(&config, ecr), Some("ecr-login"));
        assert_eq!(helper(&config, "docker.io"), Some("pass"));
        assert_eq!(helper(&json!({}), "docker.io"), None);
    }

    #[test]
    fn a_helper_may_give_a_token_instead_of_a_password() {
        let answer = br#"{"ServerURL":"x","Username":"<token>","Secret":"s"}"#;
        let found = read(answer, "x").unwrap();
        assert_eq!((found.identitytoken.as_deref(), found.username), (Some("s"), None));
    }
}
