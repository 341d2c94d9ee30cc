//! A coordinator and its agents as processes of their own, and the operator's command line.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::docker::IMAGE;
use crate::program::built;
use crate::{Container, Docker, Program, Said, Scratch, until};

/// Programs begin and nodes join in so long, on a machine that does much else.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How a cluster is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many agents.
    pub nodes: u32,
    /// The engine's socket; the machine's own when there is none.
    pub socket: Option<PathBuf>,
    /// The agent's program; the one beside this test when there is none.
    pub agent: Option<PathBuf>,
    /// What the agents are told beyond where everything is.
    pub agent_arguments: &'static [&'static str],
    /// What the coordinator is told beyond where everything is.
    pub coordinator_arguments: &'static [&'static str],
    /// What is in the coordinator's environment besides.
    pub environment: Vec<(String, String)>,
    /// What is in the agents' environment besides.
    pub agent_environment: Vec<(String, String)>,
    /// What protects its connections.
    pub protection: Protection,
    /// The address at which it is dialled, of this machine.
    pub host: String,
}

/// What protects the connections of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protection {
    /// As everywhere: TLS, nodes that join by tokens, and an operator with a certificate.
    #[default]
    Tls,
    /// Nothing, for tests and benchmarks of what is said and not of who says it.
    None,
}

impl Default for Options {
    fn default() -> Self {
        let agent_arguments = &["--prefer-local-images"];
        Self {
            nodes: 2,
            socket: None,
            agent: None,
            agent_arguments,
            coordinator_arguments: &[],
            environment: Vec::new(),
            agent_environment: Vec::new(),
            protection: Protection::default(),
            host: "127.0.0.1".to_owned(),
        }
    }
}

/// A cluster that is taken away, with all its containers, at the end.
#[derive(Debug)]
pub struct Cluster {
    /// Its id, which its containers carry as a label.
    pub id: String,
    /// Where its coordinator listens.
    pub address: String,
    /// The engine it runs on.
    pub docker: Docker,
    /// Its folder.
    pub scratch: Scratch,
    data: PathBuf,
    socket: Option<PathBuf>,
    agent: Option<PathBuf>,
    agent_arguments: &'static [&'static str],
    coordinator_arguments: &'static [&'static str],
    environment: Vec<(String, String)>,
    agent_environment: Vec<(String, String)>,
    protection: Protection,
    coordinator: Option<Program>,
    agents: BTreeMap<String, Program>,
}

impl Cluster {
    /// Starts a coordinator and two agents, `n1` and `n2`.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts one with one agent, whose store is in this folder.
    #[must_use]
    pub fn with_data_dir(data: PathBuf) -> Self {
        Self::begin(Options { nodes: 1, ..Options::default() }, Scratch::new(), data)
    }

    /// Starts a cluster and waits until its nodes take work.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let scratch = Scratch::new();
        let data = scratch.path().join("coordinator");
        Self::begin(options, scratch, data)
    }

    fn begin(options: Options, scratch: Scratch, data: PathBuf) -> Self {
        let docker = options.socket.clone().map_or_else(Docker::default, Docker::at);
        docker.need_image();
        let mut cluster = Self {
            id: String::new(),
            address: format!("{}:{}", options.host, free_port(&options.host)),
            docker,
            scratch,
            data,
            socket: options.socket,
            agent: options.agent,
            agent_arguments: options.agent_arguments,
            coordinator_arguments: options.coordinator_arguments,
            environment: options.environment,
            agent_environment: options.agent_environment,
            protection: options.protection,
            coordinator: None,
            agents: BTreeMap::new(),
        };
        cluster.start_coordinator();
        cluster.become_an_operator();
        for number in 1..=options.nodes {
            cluster.start_agent(&format!("n{number}"));
        }
        cluster.nodes_are_ready(options.nodes as usize);
        let status = cluster.wharf(&["status", "-o", "json"]).json();
        status["cluster"].as_str().unwrap().clone_into(&mut cluster.id);
        cluster
    }

    /// Where the coordinator keeps its store.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data.clone()
    }

    /// Where an agent keeps its journal.
    #[must_use]
    pub fn state_dir(&self, node: &str) -> PathBuf {
        self.scratch.path().join(node)
    }

    /// The command that starts this cluster's coordinator.
    #[must_use]
    pub fn coordinator_command(&self) -> Command {
        let mut command = Command::new(built("wharf-coordinator"));
        command.arg("--listen").arg(&self.address).arg("--data-dir").arg(self.data_dir());
        match self.protection {
            Protection::None => command.arg("--plaintext"),
            Protection::Tls => {
                let passphrase = self.scratch.path().join("passphrase");
                fs::write(&passphrase, "correct horse battery").unwrap();
                command.arg("--ca-passphrase-file").arg(passphrase)
            }
        };
        command.args(self.coordinator_arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Where root of the coordinator's machine reaches it.
    #[must_use]
    pub fn administrators(&self) -> PathBuf {
        self.data_dir().join("admin.sock")
    }

    /// Gives this test's operator a certificate, as the first one of a cluster is given one.
    fn become_an_operator(&self) {
        if self.protection == Protection::None {
            return;
        }
        let file = self.scratch.path().join("operator.toml").display().to_string();
        let add = ["operator", "add", "tester", "--role", "admin", "--out", &file];
        let _added = self.as_root(&add).good();
        let _taken = self.wharf(&["context", "import", &file]).good();
    }

    /// Runs the operator's command line as root of the coordinator's machine.
    #[must_use]
    pub fn as_root(&self, arguments: &[&str]) -> Said {
        let mut command = self.wharf_command();
        if self.protection == Protection::Tls {
            command.env("WHARF_ADDR", format!("unix:{}", self.administrators().display()));
        }
        Said::by(command.args(arguments), "")
    }

    /// Starts the coordinator, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start_coordinator(&mut self) {
        let log = self.scratch.path().join("coordinator.log");
        self.coordinator = Some(Program::start(&mut self.coordinator_command(), &log));
        until("the coordinator answers", START_TIMEOUT, || {
            let said = self.as_root(&["status"]);
            if said.code == 0 { Ok(()) } else { Err(said.err + &tail(&log)) }
        });
    }

    /// The coordinator.
    ///
    /// # Panics
    /// When it was killed.
    pub fn coordinator(&mut self) -> &mut Program {
        self.coordinator.as_mut().expect("the coordinator runs")
    }

    /// Ends the coordinator with SIGKILL.
    pub fn kill_coordinator(&mut self) {
        self.coordinator = None;
    }

    /// The command that starts an agent under this name, which joins unless it has joined before.
    ///
    /// # Panics
    /// When there is no token to be had.
    #[must_use]
    pub fn agent_command(&self, node: &str) -> Command {
        let program = self.agent.clone().unwrap_or_else(|| built("wharf-agent"));
        let mut command = Command::new(program);
        command.arg("--coordinator").arg(&self.address).arg("--node").arg(node);
        command.arg("--state-dir").arg(self.state_dir(node));
        command.arg("--zone").arg(format!("zone-{node}")).env_remove("DOCKER_CONFIG");
        // Where tests run there may be a real one.
        command.env("WHARF_NOTICES", "off");
        match self.protection {
            Protection::None => drop(command.arg("--plaintext")),
            Protection::Tls if self.has_joined(node) => {}
            Protection::Tls => {
                let token = self.wharf(&["token", "create", "--node", node]).good();
                let file = self.scratch.path().join(format!("{node}.token"));
                fs::write(&file, token).unwrap();
                command.arg("--join-token-file").arg(file);
            }
        }
        command
    }

    /// Whether what an agent has kept says that it is this node.
    fn has_joined(&self, node: &str) -> bool {
        let kept = trust::Bundle::load(&self.state_dir(node).join("identity.pem"));
        let name = trust::Name::Node(node.parse().unwrap());
        kept.ok().flatten().is_some_and(|kept| kept.about.name == name)
    }

    /// Starts an agent under this name.
    pub fn start_agent(&mut self, node: &str) {
        let mut command = self.agent_command(node);
        command.args(self.agent_arguments);
        command.envs(self.agent_environment.iter().map(|(name, value)| (name, value)));
        if let Some(socket) = &self.socket {
            command.arg("--docker-socket").arg(socket);
        }
        let log = self.scratch.path().join(format!("{node}.log"));
        self.agents.insert(node.to_owned(), Program::start(&mut command, &log));
    }

    /// An agent.
    ///
    /// # Panics
    /// When it was killed or never started.
    pub fn agent(&mut self, node: &str) -> &mut Program {
        self.agents.get_mut(node).expect("the agent runs")
    }

    /// Ends an agent with SIGKILL.
    pub fn kill_agent(&mut self, node: &str) {
        self.agents.remove(node);
    }

    /// Runs the operator's command line against this cluster.
    #[must_use]
    pub fn wharf(&self, arguments: &[&str]) -> Said {
        self.wharf_fed(arguments, "")
    }

    /// The same with something on its standard input.
    #[must_use]
    pub fn wharf_fed(&self, arguments: &[&str], input: &str) -> Said {
        Said::by(self.wharf_command().args(arguments), input)
    }

    /// The operator's command line, to be given arguments.
    #[must_use]
    pub fn wharf_command(&self) -> Command {
        let mut command = Command::new(built("wharf"));
        command.env("WHARF_ADDR", &self.address).env("HOME", self.scratch.path());
        command.env("NO_COLOR", "1").env_remove("WHARF_CONTEXT").env_remove("XDG_CONFIG_HOME");
        if self.protection == Protection::None {
            command.env("WHARF_PLAINTEXT", "true");
        }
        command
    }

    /// Deploys a Compose file and waits for the outcome.
    #[must_use]
    pub fn deploy(&self, text: &str) -> Said {
        self.deploy_with(text, &[])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn deploy_with(&self, text: &str, more: &[&str]) -> Said {
        let file = self.scratch.write("compose.yaml", text).display().to_string();
        let mut arguments = vec!["deploy", "-y", &file];
        arguments.extend_from_slice(more);
        self.wharf(&arguments)
    }

    /// Deploys `lab/app`, which sleeps for ever, with this as its `deploy`.
    #[must_use]
    pub fn deploy_sleeper(&self, deploy: &str) -> Said {
        let command = "command: [sleep, '2147483647']";
        self.deploy(&format!(
            "name: lab\nservices:\n  app:\n    image: {IMAGE}\n    {command}\n    deploy: {deploy}\n"
        ))
    }

    /// All tasks of the cluster, those that are over included.
    #[must_use]
    pub fn tasks(&self) -> Vec<Value> {
        list(self.wharf(&["ps", "-a", "-o", "json"]).json())
    }

    /// The tasks that are meant to run, in the order of their ids.
    #[must_use]
    pub fn live(&self) -> Vec<Value> {
        list(self.wharf(&["ps", "-o", "json"]).json())
    }

    /// The containers of this cluster on its engine.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        self.docker.containers(&format!("wharf.cluster={}", self.id))
    }

    /// Those of them that run.
    #[must_use]
    pub fn running(&self) -> Vec<Container> {
        self.containers().into_iter().filter(|one| one.status == "running").collect()
    }

    /// Waits until so many nodes take work.
    ///
    /// # Panics
    /// When they do not in time.
    pub fn nodes_are_ready(&self, wanted: usize) {
        until("the nodes are ready", START_TIMEOUT, || {
            let nodes = list(self.wharf(&["node", "ls", "-o", "json"]).json());
            let has_room = |node: &&Value| node["capacity"]["memory_bytes"].as_u64() > Some(0);
            let ready = nodes.iter().filter(|node| node["state"] == "ready").filter(has_room);
            if ready.count() == wanted { Ok(()) } else { Err(format!("{nodes:?}")) }
        });
    }
}

impl Cluster {
    /// What it leaves, for whoever ends agents later than the cluster: they make anew what is taken from them.
    #[must_use]
    pub fn remains(&self) -> Remains {
        Remains { docker: self.docker.clone(), cluster: self.id.clone() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in fs::read_dir(self.scratch.path()).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|kind| kind == "log") {
                    eprintln!("--- {}\n{}", entry.path().display(), tail(&entry.path()));
                }
            }
        }
        self.coordinator = None;
        self.agents.clear();
        drop(self.remains());
    }
}

/// What a cluster leaves on its engine. It is removed when this goes.
#[derive(Debug)]
pub struct Remains {
    docker: Docker,
    cluster: String,
}

impl Drop for Remains {
    fn drop(&mut self) {
        if self.cluster.is_empty() {
            return;
        }
        let label = format!("label=wharf.cluster={}", self.cluster);
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "-aq"], &["rm", "-fv"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ];
        for (list, remove) in kinds {
            let found = self.docker.try_run(&[list, &["--filter", &label]].concat()).out;
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                // The engine may be gone, which some tests bring about.
                let _ended = self.docker.try_run(&[remove, &found].concat());
            }
        }
    }
}

/// The last lines of a file.
fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(all) => all,
        other => panic!("not a list: {other}"),
    }
}

/// A port that was free just now.
fn free_port(host: &str) -> u16 {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port()
}
