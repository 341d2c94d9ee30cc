//! The main job on engines of other releases than the machine's, each where its own networks are.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::process::Command;

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::engine::{ImageStore, LiveRestore};
use system_tests::registry::Registry;
use system_tests::release::Release;
use system_tests::{Cluster, Container, Engine, Options, SOON, Said, until};

#[test]
fn docker_26_does_the_main_job() {
    main_job(Release::Trixie, ImageStore::Engine, "26.1.");
}

#[test]
fn docker_28_does_the_main_job() {
    main_job(Release::Forky, ImageStore::Engine, "");
}

#[test]
fn docker_28_does_the_main_job_with_the_image_store_of_containerd() {
    main_job(Release::Forky, ImageStore::Containerd, "");
}

fn main_job(release: Release, store: ImageStore, version: &str) {
    // Beside the engine there is no mirror to install it from.
    let _registry = Registry::program();
    Engine::of(release, store, LiveRestore::On).beside(|engine| {
        let mut lab = Lab::start(engine);
        let told = lab.engine_version();
        assert!(told.starts_with(version) && !told.starts_with("20."), "{told}");
        lab.what_is_deployed_is_healthy_and_reached();
        lab.logs_exec_and_usage_are_there();
        lab.what_ends_is_restarted();
        lab.an_agent_that_was_killed_restarts_nothing();
        lab.an_engine_that_was_killed_harms_no_container(engine);
        lab.a_port_that_is_taken_is_named();
        lab.too_much_memory_is_reported();
        lab.what_was_built_here_runs_although_its_registry_does_not_know_it();
        lab.images_that_nobody_needs_are_removed();
    });
}

/// One agent on the engine, as in production but for images: it removes them as soon as nobody needs them.
struct Lab {
    cluster: Cluster,
    /// Gone after the containers that were made from its images.
    registry: Registry,
}

impl Lab {
    fn start(engine: &Engine) -> Self {
        let agent_arguments = &["--image-gc-percent", "0", "--image-gc-age-seconds", "0"];
        let (nodes, socket) = (1, Some(engine.socket()));
        let cluster =
            Cluster::with(Options { nodes, socket, agent_arguments, ..Options::default() });
        let registry = Registry::start(&cluster.docker);
        Self { cluster, registry }
    }

    fn engine_version(&self) -> String {
        let node = self.cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
        let told = self.cluster.docker.run(&["version", "--format", "{{.Server.Version}}"]);
        assert!(node.to_string().contains(&told), "{told}: {node}");
        told
    }

    fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address())
    }

    /// A web server with a volume, which the engine checks, and one that asks it by its name, which the agent checks.
    fn app(&self, tag: &str) -> String {
        format!(
            "
name: lab
services:
  page:
    image: {image}
    command: [sh, -c, 'echo begun; echo complaint >&2; echo welcome > /data/index.html; exec httpd -f -p 80 -h /data']
    ports: ['80']
    networks: [inner, outer]
    volumes: ['data:/data']
    stop_grace_period: 1s
    healthcheck: {{test: [CMD, wget, -qO-, 'http://127.0.0.1/index.html'], interval: 1s, retries: 20}}
    deploy: {{resources: {{limits: {{memory: 64M}}}}, restart_policy: {{delay: 100ms}}, update_config: {{monitor: 0s}}}}
  caller:
    image: {IMAGE}
    command: [httpd, -f, -p, '8080', -h, /bin]
    networks: [inner]
    stop_grace_period: 1s
    depends_on: {{page: {{condition: service_healthy}}}}
    healthcheck: {{x-http: {{port: 8080, path: /sh}}, interval: 1s}}
    deploy: {{update_config: {{monitor: 0s}}}}
networks: {{inner: {{}}, outer: {{}}}}
volumes: {{data: {{}}}}
",
            image = self.reference(tag)
        )
    }

    fn task(&self, service: &str) -> Value {
        let all = self.cluster.live();
        let found = all.iter().find(|task| task["service"] == service);
        found.unwrap_or_else(|| panic!("{service} has no task: {all:?}")).clone()
    }

    /// Waits until both tasks are healthy and nothing else runs.
    fn is_well(&self) -> Vec<Container> {
        until("both tasks are healthy", SOON, || {
            let (tasks, running) = (self.cluster.live(), self.cluster.running());
            let is_well = |task: &&Value| task["state"] == "running" && task["health"] == "healthy";
            let well = tasks.iter().filter(is_well).count();
            if (well, tasks.len(), running.len()) == (2, 2, 2) {
                Ok(running)
            } else {
                Err(format!("{tasks:?} {running:?}"))
            }
        })
    }

    /// Asks the published port for the page, as others on the machine would.
    fn page(&self) -> Said {
        let port = self.task("page")["ports"][0]["host"].as_u64().unwrap();
        let page = format!("http://127.0.0.1:{port}/index.html");
        Said::by(Command::new("/bin/busybox").args(["wget", "-qO-", &page]), "")
    }

    fn what_is_deployed_is_healthy_and_reached(&self) {
        let digest = self.registry.push("app:1", "first");
        let _done = self.cluster.deploy(&self.app("app:1")).good();
        let _running = self.is_well();
        let image = self.task("page")["image"].as_str().unwrap().to_owned();
        assert!(image.ends_with(&digest), "{image} {digest}");
        assert_eq!(self.page().good(), "welcome\n");
        let ask = ["exec", "lab/caller", "wget", "-qO-", "http://page/index.html"];
        assert_eq!(self.cluster.wharf(&ask).good(), "welcome\n");
    }

    fn logs_exec_and_usage_are_there(&self) {
        let wharf = |arguments: &[&str]| self.cluster.wharf(arguments);
        let logs = wharf(&["logs", "lab/page"]);
        assert!(logs.out.contains("begun") && logs.err.contains("complaint"), "{logs:?}");
        assert_eq!(wharf(&["exec", "lab/page", "sh", "-c", "exit 42"]).code, 42);
        let absent = wharf(&["exec", "lab/page", "no-such-program"]).bad(127);
        assert!(absent.contains("no-such-program"), "{absent}");
        let _not_executable = wharf(&["exec", "lab/page", "/tmp"]).bad(126);
        let fed = self.cluster.wharf_fed(&["exec", "-i", "lab/page", "cat"], "fed\n");
        assert_eq!(fed.good(), "fed\n");
        until("both containers say what they use", SOON, || {
            let top = wharf(&["top", "--tasks", "-o", "json"]).json();
            let used = |one: &&Value| one["memory_bytes"].as_u64() > Some(0);
            let count = top.as_array().unwrap().iter().filter(used).count();
            if count == 2 { Ok(()) } else { Err(top.to_string()) }
        });
    }

    fn what_ends_is_restarted(&self) {
        let before = self.is_well();
        let page = before.iter().find(|one| one.task.contains("page")).unwrap();
        self.cluster.docker.run(&["kill", &page.id]);
        until("it was started again", SOON, || {
            let now = self.cluster.running();
            let is_new = |one: &&Container| one.task == page.task && !before.contains(one);
            if now.iter().any(|one| is_new(&one)) { Ok(()) } else { Err(format!("{now:?}")) }
        });
        let _running = self.is_well();
    }

    fn an_agent_that_was_killed_restarts_nothing(&mut self) {
        let before = self.is_well();
        self.cluster.kill_agent("n1");
        self.cluster.start_agent("n1");
        self.cluster.nodes_are_ready(1);
        assert_eq!(self.is_well(), before);
    }

    fn an_engine_that_was_killed_harms_no_container(&self, engine: &mut Engine) {
        let before = self.is_well();
        engine.kill();
        engine.restart();
        assert_eq!(self.is_well(), before);
        assert_eq!(self.page().good(), "welcome\n");
        // That it is looked after again is shown by what happens to one that ends.
        self.what_ends_is_restarted();
    }

    /// Deploys another service until its only task has an end, and gives the task; the service is removed again.
    fn end_of(&self, service: &str) -> Value {
        let text = format!("name: other\nservices:\n  app:\n    image: {IMAGE}\n{service}");
        let _said = self.cluster.deploy_with(&text, &["--detach"]).good();
        let ended = until("its end is known", SOON, || {
            let tasks = self.cluster.tasks();
            let other = |task: &&Value| task["project"] == "other" && task["state"] == "failed";
            tasks.iter().find(other).cloned().ok_or_else(|| format!("{tasks:?}"))
        });
        let _removed = self.cluster.wharf(&["rm", "-y", "--project", "other"]).good();
        ended
    }

    fn a_port_that_is_taken_is_named(&self) {
        // The coordinator chooses no port that a task has: this one is somebody else's.
        let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let text = format!(
            "name: other\nservices: {{app: {{image: {IMAGE}, command: [sleep, '100000'], ports: ['{port}:80']}}}}"
        );
        let _said = self.cluster.deploy_with(&text, &["--detach"]).good();
        until("the port is named", SOON, || {
            let tasks = self.cluster.tasks();
            let notes = tasks.iter().map(|task| task["note"].as_str().unwrap_or_default());
            let named = notes.into_iter().any(|note| note.contains(&port.to_string()));
            if named { Ok(()) } else { Err(format!("{tasks:?}")) }
        });
        let _removed = self.cluster.wharf(&["rm", "-y", "--project", "other"]).good();
    }

    fn too_much_memory_is_reported(&self) {
        let ended = self.end_of("    command: [sh, -c, 'sleep 1; tail /dev/zero']\n    restart: 'no'\n    deploy: {resources: {limits: {memory: 16M}}, restart_policy: {condition: none}}");
        assert_eq!(ended["exit"]["oom"], true, "{ended}");
        assert_eq!(ended["exit"]["code"], 137, "{ended}");
    }

    /// The digests of what the engine has from the registry under this name. With the image store of containerd an
    /// engine fails to list images while one of them goes.
    fn digests(&self, name: &str) -> Result<Vec<String>, String> {
        let list = ["images", "--digests", "--format", "{{.Digest}}", &self.reference(name)];
        let said = self.cluster.docker.try_run(&list);
        if said.code != 0 {
            return Err(said.err);
        }
        Ok(said.out.lines().map(str::to_owned).collect())
    }

    /// Another project, of one task that only has to be there.
    fn other(image: &str) -> String {
        format!(
            "
name: other
services:
  app:
    image: {image}
    command: [sleep, '100000']
    stop_grace_period: 1s
    deploy: {{update_config: {{monitor: 0s}}}}
"
        )
    }

    fn images_that_nobody_needs_are_removed(&mut self) {
        let needed = self.registry.push("app:2", "second");
        let _done = self.cluster.deploy(&Self::other(&self.reference("app:2"))).good();
        let both = self.digests("app").unwrap();
        assert_eq!(both.len(), 2, "{both:?}");
        self.what_is_removed_leaves_nothing("lab", 1);
        // Whoever comes back lists the images at once, and not only at the next minute.
        self.cluster.kill_agent("n1");
        self.cluster.start_agent("n1");
        until("the image that nobody needs is gone, and the other there", SOON, || {
            let found = self.digests("app")?;
            if found == [needed.clone()] { Ok(()) } else { Err(format!("{found:?}")) }
        });
        let _kept = self.cluster.docker.run(&["image", "inspect", IMAGE]);
        self.what_is_removed_leaves_nothing("other", 0);
    }

    fn what_was_built_here_runs_although_its_registry_does_not_know_it(&self) {
        let built = self.reference("built:1");
        self.cluster.docker.run(&["tag", IMAGE, &built]);
        let _done = self.cluster.deploy(&Self::other(&built)).good();
        let _removed = self.cluster.wharf(&["rm", "-y", "--project", "other"]).good();
    }

    fn what_is_removed_leaves_nothing(&self, project: &str, others: usize) {
        let _done = self.cluster.wharf(&["rm", "-y", "--project", project]).good();
        until("containers and networks are gone", SOON, || {
            let label = format!("label=wharf.cluster={}", self.cluster.id);
            let networks = self.cluster.docker.run(&["network", "ls", "-q", "--filter", &label]);
            let containers = self.cluster.containers();
            let left = (networks.lines().count(), containers.len());
            if left == (others, others) {
                Ok(())
            } else {
                Err(format!("{networks} {containers:?}"))
            }
        });
    }
}
