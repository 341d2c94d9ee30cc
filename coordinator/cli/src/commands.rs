//! What each command does.

mod ami;
mod audit;
mod bake;
#[cfg(feature = "dev")]
mod build;
mod change;
mod deploy;
mod drain;
mod drift;
mod exec;
mod explain;
mod grant;
mod job;
mod logs;
mod once;
mod policy;
mod pool;
mod rebalance;
mod recipe;
mod refresh;
mod release;
mod rollout;
mod secret;
mod show;
pub(crate) mod trust;
mod wait;

pub(crate) use deploy::{request, send};
pub(crate) use wait::{Outcome, until_settled};

use clap::CommandFactory;

use crate::args::{Arguments, Command, Context, Global};
use crate::client::Client;
use crate::context;
use crate::exit::Exit;
use crate::output::{self, Listing, Row};

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { global, command } = arguments;
    let client = || Client::new(&global);
    match command {
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => Box::pin(crate::dev::run(arguments)).await,
        Command::Deploy(arguments) => deploy::deploy(&client()?, &global, &arguments).await,
        Command::Plan(files) => deploy::plan(&client()?, &global, &files).await,
        Command::Validate(arguments) => deploy::validate(&global, &arguments),
        Command::Ps(arguments) => show::tasks(&client()?, &global, &arguments).await,
        Command::Service(command) => show::service(&client()?, &global, command).await,
        Command::Job(command) => job::job(&client()?, &global, command).await,
        Command::Task(command) => show::task(&client()?, &global, command).await,
        Command::Node(command) => show::node(&client()?, &global, command).await,
        Command::Logs(arguments) => logs::logs(&client()?, &arguments).await,
        Command::Exec(arguments) => Box::pin(exec::exec(&client()?, arguments)).await,
        Command::Run(arguments) => Box::pin(once::run(&client()?, &arguments)).await,
        Command::Scale(arguments) => change::scale(&client()?, &global, &arguments).await,
        Command::Restart(arguments) => change::restart(&client()?, &arguments).await,
        Command::Rollback(arguments) => release::rollback(&client()?, &global, &arguments).await,
        Command::Release(command) => release::release(&client()?, &global, command).await,
        Command::Rollout(command) => rollout::rollout(&client()?, &command).await,
        Command::Rm(arguments) => change::remove(&client()?, &arguments).await,
        Command::Cordon(named) => change::cordon(&client()?, &named.node).await,
        Command::Uncordon(named) => change::uncordon(&client()?, &named.node).await,
        Command::Drain(arguments) => drain::drain(&client()?, &global, &arguments).await,
        Command::Rebalance(arguments) => {
            rebalance::rebalance(&client()?, &global, &arguments).await
        }
        Command::Events(arguments) => logs::events(&client()?, &global, &arguments).await,
        Command::Top(arguments) => show::top(&client()?, &global, &arguments).await,
        Command::Explain(arguments) => explain::explain(&client()?, &global, &arguments.name).await,
        Command::Status => show::status(&client()?, &global).await,
        Command::Version => show::version(&global).await,
        Command::Pool(command) => pool::pool(&client()?, &global, command).await,
        Command::Refresh(command) => refresh::refresh(&client()?, &global, command).await,
        Command::Secret(command) => secret::secret(&client()?, &global, command).await,
        Command::Bake(command) => bake::bake(&client()?, &global, command).await,
        Command::Recipe(command) => recipe::recipe(&client()?, &global, command).await,
        Command::Ami(command) => ami::ami(&client()?, &global, command).await,
        Command::Token(command) => trust::token(&client()?, &global, command).await,
        Command::Operator(command) => trust::operator(&client()?, &global, command).await,
        Command::Grant(command) => grant::grant(&client()?, &global, command).await,
        Command::Policy(command) => policy::policy(&client()?, &global, command).await,
        Command::Audit(arguments) => audit::audit(client, &global, &arguments).await,
        Command::Context(command) => contexts(&global, command),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "wharf",
                &mut std::io::stdout(),
            );
            Ok(Exit::Done)
        }
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(Arguments::command(), &folder)?;
            Ok(Exit::Done)
        }
    }
}

/// What there is, at a glance.
#[cfg(feature = "dev")]
pub(crate) async fn show_nodes_and_tasks(client: &Client, global: &Global) -> anyhow::Result<()> {
    show::node(client, global, crate::args::Node::Ls).await?;
    println!();
    let all = crate::args::Ps { name: None, all: false };
    show::tasks(client, global, &all).await?;
    Ok(())
}

fn contexts(global: &Global, command: Context) -> anyhow::Result<Exit> {
    match command {
        Context::Add { name, addr } => {
            context::put(&name, context::Context { addr, engine: None, identity: None })?;
        }
        Context::Import { file, name } => {
            println!("{} is selected", context::import(&file, name.as_deref())?);
        }
        Context::Use { name } => context::select(&name)?,
        Context::Rm { name } => {
            if !context::remove(&name)? {
                println!("there was no context {name:?}");
            }
        }
        Context::Ls => {
            let config = context::load()?;
            let current = config.current.unwrap_or_default();
            let row = |(name, one): (String, context::Context)| Row {
                cells: vec![
                    if name == current { "*" } else { "" }.to_owned(),
                    name.clone(),
                    one.addr.clone(),
                    whose(&one),
                ],
                json: serde_json::json!({
                    "name": name,
                    "addr": one.addr,
                    "current": name == current,
                    "identity": whose(&one),
                }),
                id: name,
            };
            let rows = config.contexts.into_iter().map(row).collect();
            output::print(
                Listing { head: vec!["", "NAME", "ADDRESS", "AS"], wide: 4, rows },
                global.format(),
                &global.filters,
            )?;
        }
    }
    Ok(Exit::Done)
}

/// Who we are in a context, and until when.
fn whose(context: &context::Context) -> String {
    let Some(identity) = &context.identity else { return String::new() };
    match ::trust::Bundle::from_pem(&identity.0) {
        Ok(bundle) => format!("{} until {}", bundle.about.name, bundle.about.not_after),
        Err(_) => "damaged".to_owned(),
    }
}
