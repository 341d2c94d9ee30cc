//! Images that come from a registry: what a tag means, who is let in, and what happens while the registry is away.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proto::wire;
use proto::wire::control_client::ControlClient;
use serde_json::Value;
use system_tests::registry::{Login, Registry};
use system_tests::{Cluster, Container, Options, Program, SOON, puppet, until};

/// Its base64 has both characters that differ between the two alphabets, wherever in a text it stands.
const LOGIN: Login = Login { user: "joe", password: ">>>>>>??????~~~~~~" };

/// A cluster whose agents ask the registry what a tag means, as they do in production.
struct Lab {
    /// Gone before the cluster takes its containers away.
    agents: Vec<Program>,
    cluster: Cluster,
    /// Gone after the containers that were made from its images.
    registry: Registry,
}

impl Lab {
    /// With so many agents that know no password.
    fn start(nodes: u32, login: Option<Login>) -> Self {
        let cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
        let registry = match login {
            Some(login) => Registry::with_login(&cluster.docker, login),
            None => Registry::start(&cluster.docker),
        };
        let mut lab = Self { agents: Vec::new(), cluster, registry };
        (1..=nodes).for_each(|number| lab.start_agent(&format!("n{number}"), |_| {}));
        lab
    }

    /// Starts one more and waits until it takes work.
    fn start_agent(&mut self, node: &str, more: impl FnOnce(&mut Command)) {
        let mut command = self.cluster.agent_command(node);
        more(&mut command);
        let log = self.cluster.scratch.path().join(format!("{node}.log"));
        self.agents.push(Program::start(&mut command, &log));
        self.cluster.nodes_are_ready(self.agents.len());
    }

    fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address())
    }

    /// The service `app` with an image of the registry.
    fn app(&self, image: &str, replicas: u32) -> String {
        format!(
            "
name: lab
services:
  app:
    image: {}
    command: [sleep, '100000']
    stop_grace_period: 1s
    deploy: {{replicas: {replicas}, update_config: {{monitor: 0s}}}}
",
            self.reference(image)
        )
    }

    /// Waits until so many tasks run, and nothing else.
    fn runs(&self, wanted: usize) -> Vec<Container> {
        until(&format!("{wanted} tasks run, and nothing else"), SOON, || {
            let (running, tasks) = (self.cluster.running(), self.cluster.live());
            let is_good = running.len() == wanted
                && tasks.len() == wanted
                && tasks.iter().all(|task| task["state"] == "running");
            if is_good { Ok(running) } else { Err(format!("{tasks:?} {running:?}")) }
        })
    }

    /// What the image of a container says of itself.
    fn marker(&self, container: &Container) -> String {
        let environment = "{{json .Config.Env}}";
        let found = self.cluster.docker.run(&["inspect", "-f", environment, &container.id]);
        let all: Vec<String> = serde_json::from_str(&found).unwrap();
        let marked = all.iter().find_map(|one| one.strip_prefix("MARKER="));
        let marked = marked.and_then(|marker| marker.split_once('-'));
        marked.map(|(marker, _)| marker.to_owned()).unwrap_or_default()
    }

    /// Says that all tasks run this digest, under which the operator is shown it, and no other.
    #[track_caller]
    fn all_run(&self, replicas: usize, (name, digest, marker): (&str, &str, &str)) {
        let running = self.runs(replicas);
        let shown = format!("{}@{digest}", self.reference(name));
        for task in self.cluster.live() {
            assert_eq!(task["image"], shown.as_str(), "{task}");
        }
        for container in running {
            assert_eq!(self.marker(&container), marker, "{container:?}");
        }
    }
}

#[test]
fn a_tag_is_resolved_once_and_what_it_means_later_is_not_run_before_the_next_deploy() {
    let lab = Lab::start(1, None);
    let first = lab.registry.push("app:1", "first");
    let _done = lab.cluster.deploy(&lab.app("app:1", 1)).good();
    lab.all_run(1, ("app:1", &first, "first"));
    let second = lab.registry.push("app:1", "second");
    assert_ne!(first, second);
    // Neither a restart nor a further task looks the tag up again.
    let container = lab.runs(1).remove(0);
    lab.cluster.docker.run(&["rm", "-f", &container.id]);
    let _scaled = lab.cluster.wharf(&["scale", "lab/app=2"]).good();
    lab.all_run(2, ("app:1", &first, "first"));
    let _done = lab.cluster.deploy(&lab.app("app:1", 2)).good();
    lab.all_run(2, ("app:1", &second, "second"));
}

#[test]
fn without_a_password_the_error_says_where_passwords_are_looked_for() {
    let lab = Lab::start(1, Some(LOGIN));
    let _digest = lab.registry.push("app:1", "first");
    let refused = lab.cluster.deploy(&lab.app("app:1", 1)).bad(1);
    assert!(refused.contains("credentials"), "{refused}");
    assert!(refused.contains("--docker-config"), "{refused}");
    assert!(refused.contains(&lab.registry.address()), "{refused}");
    assert!(lab.cluster.tasks().is_empty(), "nothing was changed");
}

#[test]
fn a_password_in_the_config_of_docker_lets_the_agent_in() {
    let mut lab = Lab::start(0, Some(LOGIN));
    let digest = lab.registry.push("app:1", "first");
    let config = lab.registry.docker_config();
    lab.start_agent("n1", |command| {
        command.arg("--docker-config").arg(&config);
    });
    let _done = lab.cluster.deploy(&lab.app("app:1", 1)).good();
    lab.all_run(1, ("app:1", &digest, "first"));
}

/// A credential helper that knows the password of one registry, in a folder with the `config.json` that names it.
fn helper(folder: &Path, address: &str) -> PathBuf {
    let Login { user, password } = LOGIN;
    let text = format!(
        "#!/bin/sh
read -r server
if [ \"$1\" = get ] && [ \"$server\" = '{address}' ]; then
  printf '%s' '{{\"ServerURL\":\"{address}\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'
else
  echo 'credentials not found in native keychain'; exit 1
fi
"
    );
    fs::create_dir_all(folder).unwrap();
    let program = folder.join("docker-credential-wharf-test");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.join("config.json");
    fs::write(&config, format!(r#"{{"credHelpers": {{"{address}": "wharf-test"}}}}"#)).unwrap();
    config
}

#[test]
fn a_credential_helper_lets_the_agent_in() {
    let mut lab = Lab::start(0, Some(LOGIN));
    let digest = lab.registry.push("app:1", "first");
    let folder = lab.cluster.scratch.path().join("helper");
    let config = helper(&folder, &lab.registry.address());
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    lab.start_agent("n1", |command| {
        command.arg("--docker-config").arg(&config).env("PATH", path);
    });
    let _done = lab.cluster.deploy(&lab.app("app:1", 1)).good();
    lab.all_run(1, ("app:1", &digest, "first"));
}

#[test]
fn while_the_registry_is_away_a_tag_that_nobody_knows_is_refused_and_nothing_changes() {
    let mut lab = Lab::start(1, None);
    let digest = lab.registry.push("app:1", "first");
    let _done = lab.cluster.deploy(&lab.app("app:1", 1)).good();
    let before = lab.runs(1);
    lab.registry.down();
    let refused = lab.cluster.deploy(&lab.app("app:2", 1)).bad(1);
    assert!(refused.contains(&lab.reference("app:2")), "{refused}");
    assert!(refused.contains("could not be asked"), "{refused}");
    assert!(refused.contains("Nothing was changed"), "{refused}");
    assert_eq!(lab.runs(1), before);
    lab.all_run(1, ("app:1", &digest, "first"));
    let service = lab.cluster.wharf(&["service", "inspect", "lab/app", "-o", "json"]).json();
    assert_eq!(service["generation"]["number"], 1, "{service}");
}

#[test]
fn a_task_whose_image_has_to_be_pulled_waits_for_a_registry_that_is_away() {
    let mut lab = Lab::start(2, None);
    let digest = lab.registry.push("app:1", "first");
    let _done = lab.cluster.deploy(&lab.app("app:1", 1)).good();
    let first = lab.runs(1).remove(0);
    lab.registry.down();
    // Both nodes share an engine. That it does not find the image any more makes the second node one that never had it;
    // under another name it is kept for the container that runs.
    let pinned = format!("{}@{digest}", lab.reference("app"));
    let kept = lab.reference("kept:1");
    lab.cluster.docker.run(&["tag", &pinned, &kept]);
    lab.cluster.docker.run(&["rmi", &pinned]);
    let _scaled = lab.cluster.wharf(&["scale", "--detach", "lab/app=2"]).good();
    until("the second task says that it waits for the registry", SOON, || {
        let tasks = lab.cluster.live();
        let note = |task: &Value| task["note"].as_str().unwrap_or_default().to_owned();
        let waits = |task: &&Value| {
            task["state"] == "fetching" && note(task).contains(&lab.registry.address())
        };
        if tasks.iter().any(|task| waits(&task)) { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
    assert_eq!(lab.cluster.running(), std::slice::from_ref(&first), "the first goes on");
    lab.registry.up();
    lab.all_run(2, ("app:1", &digest, "first"));
    assert!(lab.runs(2).contains(&first));
}

#[test]
fn what_can_not_run_twice_is_stopped_only_when_its_node_has_the_next_image() {
    let mut lab = Lab::start(1, None);
    let first = lab.registry.push("app:1", "first");
    let second = lab.registry.push("app:2", "second");
    let file =
        |image: &str| lab.app(image, 1).replace("monitor: 0s", "monitor: 0s, order: stop-first");
    let (old, new) = (file("app:1"), file(&format!("app@{second}")));
    let _done = lab.cluster.deploy(&old).good();
    lab.all_run(1, ("app:1", &first, "first"));
    let before = lab.runs(1);
    lab.registry.down();
    let _taken = lab.cluster.deploy_with(&new, &["--detach"]).good();
    until("the service says that it waits for the image", SOON, || {
        let service = lab.cluster.wharf(&["service", "inspect", "lab/app", "-o", "json"]).json();
        let waits = service["notes"].to_string().contains("goes on when n1 has fetched");
        if waits { Ok(()) } else { Err(service.to_string()) }
    });
    assert_eq!(lab.runs(1), before, "what runs goes on");
    lab.registry.up();
    until("the next one runs", SOON, || {
        let running = lab.cluster.running();
        let is_next = running.len() == 1 && running != before;
        if is_next { Ok(()) } else { Err(format!("{running:?}")) }
    });
    let running = lab.runs(1);
    assert_eq!(lab.marker(&running[0]), "second");
}

/// Whose fault the failures are, as the coordinator tells programs.
async fn failures(cluster: &Cluster) -> Vec<wire::FailureKind> {
    let mut control = ControlClient::new(puppet::local(cluster));
    let request = wire::ListTasksRequest { all: true, ..Default::default() };
    let answer = control.list_tasks(request).await.unwrap().into_inner();
    let states = answer.tasks.into_iter().filter_map(|view| view.task?.state?.kind);
    let kinds = states.filter_map(|kind| match kind {
        wire::task_state::Kind::Failed(failed) => Some(failed.kind()),
        _ => None,
    });
    kinds.collect()
}

#[tokio::test]
async fn an_image_that_the_registry_has_no_more_fails_its_task() {
    let mut lab = Lab::start(1, None);
    let digest = lab.registry.push("app:1", "first");
    lab.registry.empty();
    let text = lab.app(&format!("app@{digest}"), 1);
    let _said = lab.cluster.deploy_with(&text, &["--detach"]).good();
    let why = until("the task fails", SOON, || {
        let tasks = lab.cluster.tasks();
        let failed = tasks.iter().find(|task| task["state"] == "failed");
        let note = failed.and_then(|task| task["note"].as_str()).map(str::to_owned);
        note.ok_or_else(|| format!("{tasks:?}"))
    });
    assert!(why.contains(&digest) && why.contains("could not be pulled"), "{why}");
    assert!(lab.cluster.containers().is_empty());
    // It is not the application's fault, and does not count as such.
    let kinds = failures(&lab.cluster).await;
    assert!(kinds.iter().all(|kind| *kind == wire::FailureKind::Image), "{kinds:?}");
    assert!(!kinds.is_empty());
}
