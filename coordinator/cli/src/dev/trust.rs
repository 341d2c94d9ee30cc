//! Who is let into a dev cluster, by the same means as into any other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::trust::JoinToken;
use ::trust::bundle::write_secret;
use ::trust::digest::random;
use coordinator::seal::Passphrase;
use coordinator::{NODE_LIFE, Security, Tls};

use crate::args::trust::{AddOperator, CreateToken, Role};
use crate::client::Client;
use crate::commands::trust::{add_operator, create_token};
use crate::context::Identity;
use crate::exit::{Exit, Failure};

/// What seals the key of the authority. Here it lies beside what it seals, which is no more than one machine to try out.
const SECRET: &str = "authority-secret";
/// The operator that the context shows.
const OPERATOR: &str = "dev";
/// As long as somebody tries things out; each start makes another certificate.
const OPERATOR_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// The agents are started right after.
const TOKEN_LIFE: Duration = Duration::from_secs(600);
/// The coordinator has so long to listen on its socket.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(30);
const SOCKET_LOOK: Duration = Duration::from_millis(20);

/// What protects the coordinator: an authority whose key is sealed with a secret of this directory.
pub(super) fn security(directory: &Path) -> anyhow::Result<Security> {
    let file = directory.join(SECRET);
    if !file.exists() {
        let secret: String = random::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(&file, secret.as_bytes())?;
    }
    let sealer = Arc::new(Passphrase { file });
    Ok(Security::Tls(Tls { sealer, names: Vec::new(), node_life: NODE_LIFE, aws: None }))
}

/// Makes whoever has started the cluster its administrator, over the socket that only they may open.
pub(super) async fn operator(administrator: &Client) -> anyhow::Result<Identity> {
    let asked = async {
        loop {
            let request = proto::wire::RemoveOperatorRequest { name: OPERATOR.to_owned() };
            match administrator.trust.clone().remove_operator(request).await {
                Err(status) if ::trust::failure::find(&status).is_some() => {
                    tokio::time::sleep(SOCKET_LOOK).await;
                }
                // The one of an earlier start, or there was none.
                Ok(_) | Err(_) => return,
            }
        }
    };
    let late = || Failure::error(Exit::Error, "the coordinator does not answer on its socket", "");
    tokio::time::timeout(SOCKET_TIMEOUT, asked).await.map_err(|_| late())?;
    let asked = AddOperator {
        name: OPERATOR.to_owned(),
        role: Role::Admin,
        services: Vec::new(),
        valid: OPERATOR_LIFE,
        out: None,
        at: None,
    };
    Ok(add_operator(administrator, &asked).await?.0)
}

/// What an agent joins by, unless it has joined already.
pub(super) async fn join(
    client: &Client,
    node: &str,
    zone: &str,
) -> anyhow::Result<agent::Security> {
    let asked = CreateToken {
        pool: None,
        labels: vec![("zone".to_owned(), zone.to_owned())],
        node: Some(node.to_owned()),
        expires: TOKEN_LIFE,
    };
    let given: JoinToken = create_token(client, asked).await?.token.parse()?;
    let tokens = agent::TokenSource { given: Some(given), file: None };
    Ok(agent::Security::Tls(agent::Joining::Token(tokens)))
}
