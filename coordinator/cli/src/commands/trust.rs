//! Commands of administrators: who is let in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::time::Timestamp;
use proto::wire;
use serde_json::json;
use trust::key::Key;
use trust::{Bundle, Name};

use crate::args::Global;
use crate::args::trust::{AddOperator, CreateToken, Operator, Role, Token};
use crate::client::{Client, unary};
use crate::context::{self, Config, Context, Identity};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Listing, Row};
use crate::terminal;

pub(crate) async fn token(
    client: &Client,
    global: &Global,
    command: Token,
) -> anyhow::Result<Exit> {
    match command {
        Token::Create(arguments) => create(client, arguments).await,
        Token::Ls => {
            let tokens = client.trust.clone().list_tokens(unary(wire::ListTokensRequest {})).await;
            let tokens = tokens.map_err(|status| from_status(&status))?.into_inner().tokens;
            let head = vec!["TOKEN", "STATE", "POOL", "NODE", "LABELS", "EXPIRES", "MADE BY"];
            let rows = tokens.iter().map(token_row).collect();
            output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Token::Authority => {
            let tokens = client.trust.clone().list_tokens(unary(wire::ListTokensRequest {})).await;
            let tokens = tokens.map_err(|status| from_status(&status))?.into_inner();
            println!("{}", tokens.authority);
            Ok(Exit::Done)
        }
        Token::Rm { token } => {
            let request = unary(wire::RemoveTokenRequest { id: token });
            let removed = client.trust.clone().remove_token(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

/// Asks for a token.
pub(crate) async fn create_token(
    client: &Client,
    arguments: CreateToken,
) -> anyhow::Result<wire::CreateTokenResponse> {
    let request = unary(wire::CreateTokenRequest {
        pool: arguments.pool,
        labels: arguments.labels.into_iter().collect(),
        node: arguments.node,
        valid_ms: u64::try_from(arguments.expires.as_millis())?,
    });
    let made = client.trust.clone().create_token(request).await;
    Ok(made.map_err(|status| from_status(&status))?.into_inner())
}

/// The token alone goes to standard output, so that it can be put where it is needed without being seen.
async fn create(client: &Client, arguments: CreateToken) -> anyhow::Result<Exit> {
    let made = create_token(client, arguments).await?;
    println!("{}", made.token);
    let expires_at = Timestamp::from_millis(made.expires_at_ms);
    eprintln!("token {} lets one node in until {expires_at}", made.id);
    Ok(Exit::Done)
}

fn token_row(token: &wire::JoinToken) -> Row {
    let expires_at = Timestamp::from_millis(token.expires_at_ms);
    let used_by = token.used.as_ref().map(|used| used.node.clone());
    let state = match &used_by {
        Some(_) => "used",
        None if expires_at <= trust::now() => "expired",
        None => "open",
    };
    let grant = token.grant.clone().unwrap_or_default();
    let labels: Vec<String> =
        grant.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let node = used_by.clone().or_else(|| token.node.clone());
    Row {
        id: token.id.clone(),
        cells: vec![
            token.id.clone(),
            state.to_owned(),
            grant.pool.clone().unwrap_or_default(),
            node.unwrap_or_default(),
            labels.join(","),
            expires_at.to_string(),
            token.made_by.clone(),
        ],
        json: json!({
            "id": token.id,
            "state": state,
            "pool": grant.pool,
            "labels": grant.labels,
            "node": token.node,
            "used_by": used_by,
            "expires_at": expires_at.to_string(),
            "made_by": token.made_by,
        }),
    }
}

pub(crate) async fn operator(
    client: &Client,
    global: &Global,
    command: Operator,
) -> anyhow::Result<Exit> {
    match command {
        Operator::Add(arguments) => add(client, arguments).await,
        Operator::Ls => {
            let request = unary(wire::ListOperatorsRequest {});
            let all = client.trust.clone().list_operators(request).await;
            let all = all.map_err(|status| from_status(&status))?.into_inner().operators;
            let head = vec!["OPERATOR", "ROLE", "SERVICES", "EXPIRES", "MADE BY"];
            let rows = all.iter().map(operator_row).collect();
            output::print(Listing { head, wide: 5, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Operator::Rm { name } => {
            let request = unary(wire::RemoveOperatorRequest { name });
            let removed = client.trust.clone().remove_operator(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

const fn role(of: wire::OperatorRole) -> &'static str {
    match of {
        wire::OperatorRole::Viewer => "viewer",
        wire::OperatorRole::Deployer => "deployer",
        wire::OperatorRole::Operator => "operator",
        wire::OperatorRole::Admin => "admin",
        wire::OperatorRole::Unspecified => "unknown",
    }
}

fn operator_row(operator: &wire::StoredOperator) -> Row {
    let expires_ms = operator.issued.as_ref().map_or(0, |issued| issued.expires_at_ms);
    let expires_at = Timestamp::from_millis(expires_ms);
    let ended = if expires_at <= trust::now() { " (expired)" } else { "" };
    Row {
        id: operator.name.clone(),
        cells: vec![
            operator.name.clone(),
            role(operator.role()).to_owned(),
            operator.services.join(","),
            format!("{expires_at}{ended}"),
            operator.made_by.clone(),
        ],
        json: json!({
            "name": operator.name,
            "role": role(operator.role()),
            "services": operator.services,
            "expires_at": expires_at.to_string(),
            "made_by": operator.made_by,
        }),
    }
}

/// Makes somebody an operator. The key is made here, and goes nowhere but into what is given back.
pub(crate) async fn add_operator(
    client: &Client,
    arguments: &AddOperator,
) -> anyhow::Result<(Identity, Vec<String>)> {
    let role = match arguments.role {
        Role::Viewer => wire::OperatorRole::Viewer,
        Role::Deployer => wire::OperatorRole::Deployer,
        Role::Operator => wire::OperatorRole::Operator,
        Role::Admin => wire::OperatorRole::Admin,
    };
    let key = Key::generate()?;
    let request = unary(wire::AddOperatorRequest {
        name: arguments.name.clone(),
        role: role.into(),
        services: arguments.services.clone(),
        valid_ms: u64::try_from(arguments.valid.as_millis())?,
        request: key.request()?,
    });
    let added = client.trust.clone().add_operator(request).await;
    let added = added.map_err(|status| from_status(&status))?.into_inner();
    let bundle = Bundle::new(key, added.certificate, added.authority)?;
    let is_meant =
        matches!(&bundle.about.name, Name::Operator(name) if name.as_str() == arguments.name);
    anyhow::ensure!(is_meant, "the coordinator has given a certificate for {}", bundle.about.name);
    Ok((Identity(bundle.to_pem().to_string()), added.addresses))
}

async fn add(client: &Client, arguments: AddOperator) -> anyhow::Result<Exit> {
    let file = arguments.out.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{}.toml", arguments.name)));
    // Before somebody is made an operator whose key would be lost.
    if file.exists() {
        return Err(Failure::error(
            Exit::Error,
            format!("there is a file {} already", file.display()),
            "name another one with --out",
        ));
    }
    let (identity, known) = add_operator(client, &arguments).await?;
    let addr = arguments.at.clone().or_else(|| known.first().cloned()).unwrap_or_default();
    let context = Context { addr: addr.clone(), engine: None, identity: Some(identity) };
    let contexts = BTreeMap::from([(arguments.name.clone(), context)]);
    context::write(&file, &Config { current: None, contexts })?;
    let file = file.display();
    println!(
        "{file} makes {} an operator: give it to them safely, and nobody else",
        arguments.name
    );
    println!("they take it over with: wharf context import {file}");
    if addr.is_empty() {
        eprintln!(
            "hint: the coordinator does not know by which host it is dialled: put HOST:PORT into `addr` of {file}"
        );
    }
    Ok(Exit::Done)
}

pub(crate) async fn revoke(client: &Client, node: String, yes: bool) -> anyhow::Result<Exit> {
    let question =
        format!("let {node} in no more? What runs there goes on, and nobody hears of it");
    terminal::confirm(&question, yes)?;
    let revoked = client.trust.clone().revoke_node(unary(wire::RevokeNodeRequest { node })).await;
    revoked.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}
