//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

pub(crate) mod bake;
pub(crate) mod pool;
pub(crate) mod recipe;
pub(crate) mod refresh;
pub(crate) mod release;
pub(crate) mod secret;
pub(crate) mod trust;

/// Runs Docker containers on a fleet of machines.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The coordinator, HOST:PORT, or unix:FILE for its socket on this machine.
    #[arg(long, global = true, env = "WHARF_ADDR", hide_env_values = true)]
    pub(crate) addr: Option<String>,
    /// The context to use instead of the selected one.
    #[arg(long, global = true, env = "WHARF_CONTEXT", hide_env_values = true)]
    pub(crate) context: Option<String>,
    /// Why this is done, for the record that `wharf audit` shows.
    #[arg(long, global = true, env = "WHARF_WHY", value_name = "REASON", hide_env_values = true)]
    pub(crate) why: Option<String>,
    /// Neither encrypts nor shows who this is: for development, to a coordinator that does the same on this machine.
    #[arg(long, global = true, env = "WHARF_PLAINTEXT", hide = true)]
    pub(crate) plaintext: bool,
    /// How answers are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Prints ids alone.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Shows only what has this value in its JSON, KEY=VALUE. May be given several times.
    #[arg(long = "filter", global = true, value_parser = pair)]
    pub(crate) filters: Vec<(String, String)>,
}

impl Global {
    pub(crate) fn format(&self) -> Format {
        if self.quiet { Format::Name } else { self.output }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a whole cluster on this machine, with an example that runs.
    #[cfg(feature = "dev")]
    Dev(crate::dev::Arguments),
    /// Makes what a Compose file says run.
    Deploy(Deploy),
    /// Shows what a deployment would do; exit code 2 when it would change something.
    Plan(Files),
    /// Checks a Compose file without a coordinator.
    Validate(Validate),
    /// Lists tasks.
    Ps(Ps),
    /// Services.
    #[command(subcommand)]
    Service(Service),
    /// Jobs: their runs, and their schedules.
    #[command(subcommand)]
    Job(Job),
    /// Tasks.
    #[command(subcommand)]
    Task(Task),
    /// Nodes.
    #[command(subcommand)]
    Node(Node),
    /// Shows what containers write.
    Logs(Logs),
    /// Runs a command in a running container.
    Exec(Exec),
    /// Runs a command once, in a new task of a service's image; ends with its exit code.
    Run(Run),
    /// Changes the number of replicas.
    Scale(Scale),
    /// Replaces the tasks of services by new ones of the same spec.
    Restart(Named),
    /// Goes back to an earlier generation, or with everything to what ran at a time.
    Rollback(release::Rollback),
    /// What ran when: services, and the machines beneath them.
    #[command(subcommand)]
    Release(release::Release),
    /// Holds a rollout, has it go on, takes what it tries for good, or breaks it off.
    #[command(subcommand)]
    Rollout(Rollout),
    /// Removes services and stops their tasks.
    Rm(Remove),
    /// Closes a node to new tasks.
    Cordon(NodeNamed),
    /// Opens a node to new tasks. What has not left a node that is being emptied stays.
    Uncordon(NodeNamed),
    /// Empties a node, as its services can spare what runs there, and closes it to new tasks.
    Drain(Drain),
    /// Moves tasks to where their services are spread better, each replaced before it stops.
    Rebalance(Rebalance),
    /// Shows what happened.
    Events(Events),
    /// Shows what nodes and containers use.
    Top(Top),
    /// Says why a service or a task is as it is.
    Explain(Explain),
    /// Shows how the cluster is.
    Status,
    /// Shows the versions of this program and of the coordinator.
    Version,
    /// Auto Scaling groups whose machines are nodes.
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Replaces the machines of a pool by such of another machine image.
    #[command(subcommand)]
    Refresh(refresh::Refresh),
    /// Values that containers need and nobody is to see.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Making of machine images.
    #[command(subcommand)]
    Bake(bake::Bake),
    /// Recipes of which bakes begin by themselves.
    #[command(subcommand)]
    Recipe(recipe::Recipe),
    /// Machine images that were baked.
    #[command(subcommand)]
    Ami(bake::Ami),
    /// Tokens by which nodes join.
    #[command(subcommand)]
    Token(trust::Token),
    /// Who may do what.
    #[command(subcommand)]
    Operator(trust::Operator),
    /// What services may ask of machines.
    #[command(subcommand)]
    Grant(trust::Grant),
    /// From where images may come.
    #[command(subcommand)]
    Policy(trust::Policy),
    /// Shows who did what, and finds out whether somebody has changed that record.
    Audit(trust::Audit),
    /// Coordinators by name, and who we are to them.
    #[command(subcommand)]
    Context(Context),
    /// Prints the completions of a shell.
    Completion {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// Where to.
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Files {
    /// Compose files, each merged over those before it.
    #[arg(default_value = "compose.yaml")]
    pub(crate) files: Vec<PathBuf>,
    /// Another Compose file.
    #[arg(short, long = "file")]
    pub(crate) more: Vec<PathBuf>,
    /// The name of the project, before what the files say.
    #[arg(short, long)]
    pub(crate) project: Option<String>,
    /// A file of variables instead of .env.
    #[arg(long)]
    pub(crate) env_file: Vec<PathBuf>,
    /// An active profile.
    #[arg(long)]
    pub(crate) profile: Vec<String>,
    /// Removes services of the project that the files do not name.
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// Does not wait for the outcome.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Waits no longer than this: 90s, 10m, 1h.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub(crate) timeout: std::time::Duration,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf deploy compose.yaml\n  wharf deploy -f compose.yaml -f production.yaml --prune -y"
)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// Answers yes to every question.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Does nothing unless these become the targets, as `wharf plan` has printed: when somebody else was faster it is refused.
    #[arg(long, value_name = "SERVICE=GENERATION", value_delimiter = ',', value_parser = expectation)]
    pub(crate) expect: Vec<(String, u64)>,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Prints which keys of Compose are understood, instead.
    #[arg(long)]
    pub(crate) support: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// A project or a service.
    pub(crate) name: Option<String>,
    /// Also tasks that are over.
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Lists services.
    Ls,
    /// Shows everything about a service.
    Inspect { service: String },
    /// Lists the generations of a service.
    History { service: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Lists jobs.
    Ls,
    /// Lists the runs of a job.
    History { service: String },
    /// Runs a job now, whatever its schedule says; exit code 3 when the run fails.
    #[command(
        after_help = "Examples:\n  wharf job run backup\n  wharf job run shop/backup --detach\n`wharf run` runs another command, once, in the image of any service."
    )]
    Run {
        /// Which job.
        service: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Ends what is in progress.
    Stop(JobNamed),
    /// Begins no more runs by the schedule, until it is resumed. What is in progress goes on.
    Suspend(JobNamed),
    /// Begins runs by the schedule again. What would have been due meanwhile is not caught up.
    Resume(JobNamed),
}

#[derive(Debug, Args)]
pub(crate) struct JobNamed {
    /// Which jobs.
    #[arg(required = true)]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Shows everything about a task.
    Inspect { task: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Lists nodes.
    Ls,
    /// Shows everything about a node.
    Inspect { node: String },
    /// Says that a node is gone for good: its tasks are replaced.
    Forget {
        node: String,
        /// Confirms that nothing runs there any more.
        #[arg(short, long)]
        yes: bool,
    },
    /// Lets a node in no more: its certificates count for nothing, and its connection is cut. What runs there goes on.
    Revoke {
        node: String,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NodeNamed {
    /// Its id, or the beginning of it.
    pub(crate) node: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf drain --plan i-0abc\n  wharf drain i-0abc --deadline 30m\n  wharf uncordon i-0abc   (calls it off: what has not left stays)"
)]
pub(crate) struct Drain {
    /// Their ids, or the beginning of each. Nothing moves from one of them to another.
    #[arg(required_unless_present = "where_met")]
    pub(crate) nodes: Vec<String>,
    /// All nodes that meet this, written as for `deploy.placement.constraints`: 'node.zone == a and node.pool == web'.
    #[arg(long = "where", value_name = "CONSTRAINT", conflicts_with = "nodes")]
    pub(crate) where_met: Option<model::constraint::Constraint>,
    /// What is left by then is stopped, whatever its services can spare: 90s, 15m, 1h, at most a week.
    #[arg(long, default_value = "15m", value_parser = some_duration)]
    pub(crate) deadline: std::time::Duration,
    /// Stops everything now, whatever its services can spare.
    #[arg(long, conflicts_with = "deadline")]
    pub(crate) force: bool,
    /// Shows what would become of each task and changes nothing; exit code 2 when there is something to do.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Does not wait for the outcome.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Waits no longer than this; two minutes beyond the deadline when it is not given.
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Rebalance {
    /// Shows which tasks would move and changes nothing; exit code 2 when there are any.
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A service or a task.
    pub(crate) name: String,
    /// Goes on as more is written.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many lines from the end of each container.
    #[arg(long)]
    pub(crate) tail: Option<u32>,
    /// Not before this: 10m ago, or an instant as RFC 3339.
    #[arg(long, value_parser = since)]
    pub(crate) since: Option<i64>,
    /// Shows the time of each line.
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only this container of a task with several.
    #[arg(long)]
    pub(crate) container: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Passes on what is typed.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Gives the command a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Adds to its environment, KEY=VALUE.
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// Runs it as this user.
    #[arg(short, long, default_value = "")]
    pub(crate) user: String,
    /// Runs it in this folder.
    #[arg(short, long, default_value = "")]
    pub(crate) workdir: String,
    /// Which container of a task with several.
    #[arg(long, default_value = "")]
    pub(crate) container: String,
    /// A task, or a service: then its first running task.
    pub(crate) name: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The service whose image and environment are used.
    pub(crate) service: String,
    /// The command and its arguments; the service's own when there is none.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// SERVICE=REPLICAS
    #[arg(required = true, value_parser = scaled)]
    pub(crate) services: Vec<(String, u32)>,
    /// Shows what would start, where, and what would stop, and changes nothing; exit code 2 when anything would.
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Which services.
    #[arg(required = true)]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Waits for what is being rolled out, and tells how it goes.
    Status(Named),
    /// Begins nothing more, and judges nothing: what was begun goes on.
    Pause(Steered),
    /// Goes on after a pause, or after the rollout was halted. Earlier failures are forgiven.
    Resume(Named),
    /// Takes what is tried for good: the other slots follow a canary, and load balancers are switched to a new generation that is
    /// up as a whole. Once they are, what was there before is not kept any longer.
    Promote(Named),
    /// Goes back to the generation that was healthy.
    Abort(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Steered {
    /// Which services.
    #[arg(required = true)]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Which services.
    pub(crate) services: Vec<String>,
    /// A whole project.
    #[arg(short, long, conflicts_with = "services", required_unless_present = "services")]
    pub(crate) project: Option<String>,
    /// Answers yes to every question.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Goes on as more happens.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the newest so many.
    #[arg(long)]
    pub(crate) tail: Option<u32>,
    /// Only those of a project.
    #[arg(short, long, default_value = "")]
    pub(crate) project: String,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Shows containers instead of nodes.
    #[arg(long)]
    pub(crate) tasks: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A service, a task or a node.
    pub(crate) name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Lists contexts.
    Ls,
    /// Writes a context and selects it.
    Add { name: String, addr: String },
    /// Takes over the context that an administrator has made, and selects it.
    Import {
        file: PathBuf,
        /// Under this name instead of its own.
        #[arg(long)]
        name: Option<String>,
    },
    /// Selects a context.
    Use { name: String },
    /// Forgets a context.
    Rm { name: String },
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("has the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn scaled(text: &str) -> Result<(String, u32), String> {
    let (service, replicas) = text.split_once('=').ok_or("has the form SERVICE=REPLICAS")?;
    let replicas =
        replicas.parse().map_err(|_| format!("{replicas:?} is not a number of replicas"))?;
    Ok((service.to_owned(), replicas))
}

fn expectation(text: &str) -> Result<(String, u64), String> {
    let read = text.split_once('=').and_then(|(name, number)| Some((name, number.parse().ok()?)));
    let (name, number) = read.ok_or("write SERVICE=GENERATION, as in web=4")?;
    Ok((name.to_owned(), number))
}

/// `90s`, `10m`, `1h30m`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(std::time::Duration::from_secs(seconds));
    }
    let span: Result<jiff::SignedDuration, _> = text.parse();
    let found = span.ok().and_then(|span| std::time::Duration::try_from(span).ok());
    found.ok_or_else(|| format!("{text:?} is not a duration: write 90s, 10m or 1h30m"))
}

/// The same, and not nothing.
fn some_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("a deadline of 0 is `--force`: everything is stopped at once".to_owned());
    }
    Ok(duration)
}

/// A duration ago, or an instant: seconds since the epoch.
fn since(text: &str) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_second());
    }
    let ago = duration(text)
        .map_err(|_| format!("{text:?} is neither a duration (10m) nor an instant (RFC 3339)"))?;
    let now = jiff::Timestamp::now().as_second();
    Ok(now - i64::try_from(ago.as_secs()).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5_400);
        assert_eq!(duration("7").unwrap().as_secs(), 7);
        assert!(duration("soon").is_err() && duration("-5s").is_err());
    }

    #[test]
    fn replicas_are_numbers() {
        assert_eq!(scaled("web=3").unwrap(), ("web".to_owned(), 3));
        assert!(scaled("web=many").is_err() && scaled("web").is_err() && scaled("web=-1").is_err());
    }
}
