//! Machine images that are really baked: a machine with systemd and an engine is launched, worked on, taken an image of, and
//! the next machine boots from that.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::region::{IMAGE, Machines, NAME, Pool, Region, Service, values};
use system_tests::registry::Registry;
use system_tests::{Cluster, Kernel, Options, Scratch, until};

/// Machines boot and their disks are copied, while much else is done on this one.
const PATIENCE: Duration = Duration::from_secs(420);
/// The parameter that is to hold the newest image.
const PARAMETER: &str = "/wharf/web";

struct World {
    region: Region,
    cluster: Cluster,
    scratch: Scratch,
}

impl World {
    fn start() -> Self {
        Self::with_nodes(0)
    }

    fn with_nodes(nodes: u32) -> Self {
        let region = Region::with(&Machines::Debian);
        let scratch = Scratch::new();
        let environment = region.environment().map(|(name, value)| (name.to_owned(), value));
        let mut environment = Vec::from(environment);
        environment.push(("WHARF_AWS".to_owned(), "true".to_owned()));
        let joining = format!(
            "accounts = [\"123456789012\"]\nregions = [\"{NAME}\"]\nsts = \"{}\"\n",
            region.endpoint()
        );
        let joining = scratch.write("aws.toml", &joining).display().to_string();
        environment.push(("WHARF_AWS_JOIN_FILE".to_owned(), joining));
        let host = region.host().to_owned();
        let cluster = Cluster::with(Options { nodes, host, environment, ..Options::default() });
        Self { region, cluster, scratch }
    }

    /// Begins a bake of these steps.
    fn begin(&self, steps: &str, rest: &str, more: &[&str]) -> String {
        let text = format!(
            "name: web\nbase: {{parameter: /aws/service/debian/release/13/latest/amd64}}\n\
             builder: {{type: m5.large, coordinator: '{}'}}\nsteps:\n{steps}\n{rest}\n",
            self.cluster.address
        );
        self.begin_by(&text, more)
    }

    /// Begins a bake by a whole recipe.
    fn begin_by(&self, text: &str, more: &[&str]) -> String {
        let recipe = self.scratch.write("bake.yaml", text).display().to_string();
        let started = [&["bake", "start", &recipe, "--detach"][..], more].concat();
        self.cluster.wharf(&started).good().trim().to_owned()
    }

    fn bake(&self, id: &str) -> Value {
        self.cluster.wharf(&["bake", "inspect", id, "-o", "json"]).json()
    }

    fn logs(&self, id: &str) -> String {
        self.cluster.wharf(&["bake", "logs", id]).out
    }

    /// Waits until a bake has come to one of its ends.
    #[track_caller]
    fn ends(&self, id: &str, word: &str) -> Value {
        until(&format!("the bake is {word}"), PATIENCE, || {
            let bake = self.bake(id);
            let state = bake["state"].as_str().unwrap_or_default().to_owned();
            if state == word {
                return Ok(bake);
            }
            let is_over = ["published", "failed", "removed", "kept"].contains(&&*state);
            let shown = format!("{bake:#}\n{}\n{}", self.logs(id), self.region.log());
            assert!(!is_over, "the bake is {state}: {shown}");
            Err(shown)
        })
    }

    /// The machines that were launched and are not gone, whoever has launched them.
    fn machines(&self) -> Vec<String> {
        let answer = self.region.call(Service::Ec2, "DescribeInstances", &[]).unwrap();
        let ids = values(&answer, "instanceId");
        let is_there = |id: &String| self.region.instance(id).state != "terminated";
        ids.into_iter().filter(is_there).collect()
    }

    /// The images that we have made.
    fn images(&self) -> Vec<String> {
        let asked =
            [("Owner.1", "self"), ("Filter.1.Name", "name"), ("Filter.1.Value.1", "wharf-*")];
        let answer = self.region.call(Service::Ec2, "DescribeImages", &asked).unwrap();
        values(&answer, "imageId")
    }
}

#[test]
fn a_machine_from_a_baked_image_starts_its_services_without_a_registry() {
    // The node says what the image is, and can not run the service.
    let world = World::with_nodes(1);
    let mut registry = Registry::start_at(world.region.docker(), world.region.host());
    let digest = registry.push("app:1", "baked");
    let image = format!("{}/app@{digest}", registry.outer_address());
    // Nothing runs yet: it goes in because it is to run.
    let file = format!(
        "name: shop\nservices:\n  app:\n    image: {image}\n    command: [sleep, \"1000\"]\n    deploy: {{placement: {{constraints: [node.pool == fresh]}}}}\n"
    );
    let file = world.scratch.write("compose.yaml", &file).display().to_string();
    let _deployed = world.cluster.wharf(&["deploy", &file, "--detach"]).good();
    world.region.create_pool(&Pool { size: 0, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    let settings = format!(
        "  - name: engine\n    files:\n      - {{path: /etc/docker/daemon.json, content: '{{\"insecure-registries\": [\"{0}\"]}}'}}\n  \
         - name: restart\n    script: systemctl restart docker && echo restarted-here > /etc/baked\n    timeout: 2m",
        registry.outer_address()
    );
    let rest = format!(
        "test: {{scripts: [{{name: baked, script: 'grep restarted /etc/baked'}}]}}\n\
         publish: {{pools: [web], parameter: {PARAMETER}}}"
    );
    let id = world.begin(&settings, &rest, &[]);
    let bake = world.ends(&id, "published");
    assert!(bake["images"][0]["why"].as_str().unwrap().contains("runs in shop/app"), "{bake:#}");
    let logs = world.logs(&id);
    assert!(logs.contains("is clean, with") && logs.contains("is good"), "{logs}");
    assert!(logs.contains(&format!("{image} can be made into a container")), "{logs}");
    let ami = bake["ami"].as_str().unwrap().to_owned();
    assert_eq!(world.machines(), Vec::<String>::new(), "machines of the bake are left");
    let shown = world.cluster.wharf(&["ami", "inspect", &ami, "-o", "json"]).json();
    assert_eq!((&shown["state"], &shown["pools"]), (&json!("published"), &json!(["web"])));
    let packages = shown["packages"].as_array().unwrap();
    assert!(packages.iter().any(|one| one["name"] == "wharf-agent"), "{packages:?}");
    assert!(shown["manifest"].as_str().unwrap().starts_with("sha256:"), "{shown:#}");
    let nodes = world.cluster.wharf(&["node", "ls", "-o", "json"]).json();
    assert_eq!(nodes.as_array().unwrap().len(), 1, "a machine of a bake is no node: {nodes}");

    registry.down();
    let authority = world.cluster.as_root(&["token", "authority"]).good();
    let user_data = format!(
        "WHARF_ADDR={}\nWHARF_JOIN=aws-sts\nWHARF_AUTHORITY={}\nREGION_FACTS=no\n",
        world.cluster.address,
        authority.trim()
    );
    let pool =
        Pool { name: "fresh", size: 1, image: &ami, user_data: &user_data, ..Pool::default() };
    world.region.create_pool(&pool);
    let _added = world.cluster.wharf(&["pool", "add", "fresh"]).good();
    until("the service runs from the image", PATIENCE, || {
        let tasks = world.cluster.live();
        let runs = tasks.iter().any(|task| task["state"] == "running");
        if runs { Ok(()) } else { Err(format!("{tasks:#?}\n{}", world.region.log())) }
    });
    let nodes = world.cluster.wharf(&["node", "ls", "-o", "json"]).json();
    let nodes = nodes.as_array().unwrap().iter().filter(|node| node["pool"] == "fresh");
    let amis: Vec<&Value> = nodes.map(|node| &node["ami"]).collect();
    assert_eq!(amis, [&json!(ami)]);
    // A machine runs from it: it is not removed, however few are to stay.
    let collected = world.cluster.wharf(&["ami", "gc", "--keep", "0", "--plan"]);
    assert_eq!(collected.code, 0, "{}{}", collected.out, collected.err);
    assert!(collected.out.contains("machines run from it"), "{}", collected.out);
    let told = world.cluster.wharf(&["ami", "status", "fresh", "-o", "json"]).json();
    assert_eq!(told[0]["generations"][0]["name"], shown["name"], "{told:#}");
    // Nor is it when there is none, and the next one will.
    let _removed = world.cluster.wharf(&["rm", "-y", "--project", "shop"]).good();
    world.region.set_desired("fresh", 0);
    until("the image stays for the machines to come", PATIENCE, || {
        let told = world.cluster.wharf(&["ami", "gc", "--keep", "0", "--plan"]).out;
        let is_so = told.contains("group fresh launches machines from it");
        if is_so { Ok(()) } else { Err(told + &world.region.log()) }
    });
}

#[test]
fn a_bake_whose_script_fails_is_failed_with_its_log_and_leaves_nothing() {
    let world = World::start();
    let steps = "  - name: good\n    script: echo all-is-well\n  \
                 - name: bad\n    script: |\n      echo it-breaks-here\n      exit 7\n    retries: 1";
    let id = world.begin(steps, "", &[]);
    let bake = world.ends(&id, "failed");
    let doing = bake["doing"].as_str().unwrap();
    assert!(doing.contains("doing step \"bad\"") && doing.contains("it-breaks-here"), "{doing}");
    let logs = world.logs(&id);
    assert!(logs.contains("all-is-well"), "{logs}");
    let broken = logs.lines().filter(|line| *line == "it-breaks-here").count();
    assert_eq!(broken, 2, "it is tried again: {logs}");
    assert_eq!(world.machines(), Vec::<String>::new(), "a machine is left");
    assert_eq!(world.images(), Vec::<String>::new(), "an image is left");
    let kept = world.begin("  - {name: bad, script: 'test -e /etc/repaired'}", "", &["--keep"]);
    let bake = world.ends(&kept, "kept");
    let builder = bake["builder"].as_str().unwrap().to_owned();
    assert_eq!(world.machines(), vec![builder.clone()], "it is kept");
    let _repaired = world.region.run_on(&builder, "touch /etc/repaired").good();
    let _retried = world.cluster.wharf(&["bake", "retry", &kept]).good();
    let bake = world.ends(&kept, "published");
    assert_eq!(world.machines(), Vec::<String>::new(), "a machine is left");
    assert_eq!(world.images(), [bake["ami"].as_str().unwrap()], "there is one image");
    assert_eq!(world.region.calls()["ec2.RunInstances"], 3, "the builder that was kept went on");
}

#[test]
fn a_coordinator_that_is_killed_again_and_again_bakes_one_image() {
    let mut world = World::start();
    let steps = "  - {name: one, script: 'echo one >> /etc/steps; sleep 2'}\n  \
                 - {name: two, script: 'echo two >> /etc/steps; sleep 2'}";
    let rest = "test: {scripts: [{name: once, script: 'test \"$(cat /etc/steps)\" = \"$(printf \"one\\ntwo\")\"'}]}";
    let id = world.begin(steps, rest, &[]);
    let (mut seen, mut kills) = (Vec::new(), 0);
    until("the bake is published", PATIENCE * 2, || {
        let said = world.cluster.wharf(&["bake", "inspect", &id, "-o", "json"]);
        let bake = if said.code == 0 { said.json() } else { Value::Null };
        let state = bake["state"].as_str().unwrap_or_default().to_owned();
        if state == "published" {
            return Ok(());
        }
        let shown = format!("{bake:#}\n{}\n{}", world.logs(&id), world.region.log());
        assert!(!["failed", "removed", "kept"].contains(&&*state), "it is {state}: {shown}");
        let what = bake["doing"].as_str().unwrap_or_default().to_owned();
        // Each time that it does something else.
        if !what.is_empty() && !seen.contains(&what) {
            seen.push(what);
            world.cluster.kill_coordinator();
            world.cluster.start_coordinator();
            kills += 1;
        }
        Err(shown)
    });
    assert!(kills >= 6, "it was killed {kills} times: {seen:?}");
    assert_eq!(world.machines(), Vec::<String>::new(), "a machine is left");
    assert_eq!(world.images().len(), 1, "there is one image");
    let launched = world.region.call(Service::Ec2, "DescribeInstances", &[]).unwrap();
    assert_eq!(values(&launched, "instanceId").len(), 2, "a builder and a machine to try it out");
}

/// Machines of the region reach no packages and have no profile: what the script would install is there, if only by name.
#[test]
fn the_recipe_that_comes_with_wharf_makes_a_node() {
    let _kernel = Kernel::keep();
    let world = World::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ami");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let _script = world.scratch.write("setup.sh", &read("setup.sh"));
    let packages = "steps:
  - name: certificates
    script: |
      mkdir -p /run/package/DEBIAN
      printf '%s\\n' 'Package: ca-certificates' 'Version: 1' 'Architecture: all' 'Maintainer: nobody' 'Description: none' >/run/package/DEBIAN/control
      dpkg-deb --build /run/package /run/package.deb
      dpkg --install /run/package.deb
";
    let recipe = read("bake.yaml")
        .replace(
            "coordinator: wharf.internal:7421",
            &format!("coordinator: '{}'", world.cluster.address),
        )
        .replace("  profile: wharf-node\n", "")
        .replace("steps:\n", packages);
    let id = world.begin_by(&recipe, &[]);
    let bake = world.ends(&id, "published");
    let logs = world.logs(&id);
    // On the builder, and on the machine that has booted from the image.
    let good = logs.lines().filter(|line| line.contains("this machine is as a node should be"));
    assert_eq!(good.count(), 2, "{logs}");
    assert_eq!(world.images(), [bake["ami"].as_str().unwrap()]);
}

/// The parameter that holds the base.
const BASE: &str = "/images/base";

impl World {
    /// The parameter of the base holds this image from now on.
    fn set_base(&self, ami: &str) {
        let value = json!({"Name": BASE, "Value": ami, "Type": "String", "Overwrite": true});
        self.region.call_json("AmazonSSM.PutParameter", &value).unwrap();
    }

    /// Has bakes of a recipe begin by themselves when its base moves.
    fn keep_up(&self) {
        let text = format!(
            "name: web\nbase: {{parameter: {BASE}}}\n\
             builder: {{type: m5.large, coordinator: '{}'}}\n\
             triggers: {{base: moved, look: 1m, apart: 1m}}\n\
             publish: {{parameter: {PARAMETER}}}\n",
            self.cluster.address
        );
        let recipe = self.scratch.write("kept.yaml", &text).display().to_string();
        let _set = self.cluster.wharf(&["recipe", "set", &recipe]).good();
    }

    fn recipe(&self) -> Value {
        self.cluster.wharf(&["recipe", "inspect", "web", "-o", "json"]).json()
    }

    /// Waits until so many bakes have begun by themselves, and gives the last.
    #[track_caller]
    fn begun(&self, count: usize) -> Value {
        until(&format!("bake {count} begins by itself"), PATIENCE, || {
            let listed = self.cluster.wharf(&["bake", "ls", "-o", "json"]);
            let bakes = if listed.code == 0 { listed.json() } else { Value::Null };
            let bakes = bakes.as_array().cloned().unwrap_or_default();
            assert!(bakes.len() <= count, "{bakes:#?}");
            match bakes.get(count - 1) {
                Some(last) => Ok(last.clone()),
                None => Err(format!("{:#}\n{}", self.recipe(), self.region.log())),
            }
        })
    }
}

#[test]
fn a_base_that_moves_is_baked_upon_by_itself_and_published() {
    let world = World::start();
    world.set_base(IMAGE);
    world.keep_up();
    let first = world.begun(1);
    assert_eq!(first["cause"], "there is no image of it yet", "{first:#}");
    let first = world.ends(first["id"].as_str().unwrap(), "published");
    let old = first["ami"].as_str().unwrap();
    until("its image is known to be the newest", PATIENCE, || {
        let recipe = world.recipe();
        let is_known = recipe["ami"] == old && recipe["state"] == "waiting";
        if is_known { Ok(()) } else { Err(format!("{recipe:#}")) }
    });
    // The next base is what was just made.
    world.set_base(old);
    let second = world.begun(2);
    let cause = format!("its base has moved from {IMAGE} to {old}");
    assert_eq!((&second["cause"], &second["by_itself"]), (&json!(cause), &json!(true)));
    let second = world.ends(second["id"].as_str().unwrap(), "published");
    let new = second["ami"].as_str().unwrap();
    let held = world.region.call_json("AmazonSSM.GetParameter", &json!({"Name": PARAMETER}));
    assert_eq!(held.unwrap()["Parameter"]["Value"], new);
    let recipe = world.recipe();
    assert_eq!((&recipe["last_state"], &recipe["failures"]), (&json!("published"), &json!(0)));
    let told = world.cluster.wharf(&["recipe", "ls"]).good();
    assert!(told.contains(new) && told.contains("waiting"), "{told}");
    assert_eq!(world.machines(), Vec::<String>::new(), "a machine is left");
    // By hand only, from now on: what moves is not looked at.
    let _removed = world.cluster.wharf(&["recipe", "rm", "-y", "web"]).good();
    let gone = world.cluster.wharf(&["recipe", "inspect", "web"]);
    assert!(gone.code == 1 && gone.err.contains("no bake of recipe web begins"), "{}", gone.err);
}

#[test]
fn a_coordinator_that_is_killed_as_a_bake_begins_by_itself_launches_one_builder() {
    let mut world = World::start();
    world.set_base(IMAGE);
    world.keep_up();
    let (mut seen, mut kills) = (Vec::new(), 0);
    let id = until("the bake is published", PATIENCE * 2, || {
        let listed = world.cluster.wharf(&["bake", "ls", "-o", "json"]);
        let bakes = if listed.code == 0 { listed.json() } else { Value::Null };
        let bakes = bakes.as_array().cloned().unwrap_or_default();
        assert!(bakes.len() <= 1, "{bakes:#?}");
        let bake = bakes.first().cloned().unwrap_or_default();
        let (id, state) = (bake["id"].as_str(), bake["state"].as_str().unwrap_or("not begun"));
        let shown = format!("{bake:#}\n{}", world.region.log());
        match (id, state) {
            (Some(id), "published") => return Ok(id.to_owned()),
            (_, "failed" | "removed" | "kept") => panic!("it is {state}: {shown}"),
            _ => {}
        }
        // Before it has begun, when it has, and each time that it is about to do something that can be seen.
        let is_early = ["not begun", "resolving", "launching", "joining"].contains(&state);
        if is_early && !seen.contains(&state.to_owned()) {
            seen.push(state.to_owned());
            world.cluster.kill_coordinator();
            world.cluster.start_coordinator();
            kills += 1;
        }
        Err(shown)
    });
    assert!(kills >= 2, "it was killed {kills} times: {seen:?}");
    let launched = world.region.call(Service::Ec2, "DescribeInstances", &[]).unwrap();
    assert_eq!(values(&launched, "instanceId").len(), 2, "a builder and a machine to try it out");
    assert_eq!(world.images().len(), 1, "there is one image");
    let recipe = world.recipe();
    assert_eq!((&recipe["last_bake"], &recipe["last_state"]), (&json!(id), &json!("published")));
}
