//! A pool of machines in a region, with a coordinator that manages it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::built;
use crate::region::{Machines, NAME, Pool, Region, Service, values};
use crate::{Cluster, Options, Remains, SOON, Scratch, until};

/// A region, a queue that hears of its groups, and a coordinator that manages them.
#[derive(Debug)]
pub struct World {
    /// The cluster. It goes first: its coordinator asks the region.
    pub cluster: Cluster,
    /// The region.
    pub region: Region,
    /// Its machines take so long at most, whatever they do.
    pub patience: Duration,
    _scratch: Scratch,
    /// Behind the region, whose nodes have agents until it ends.
    _remains: Remains,
}

/// Machines boot and their disks are copied, while much else is done on this one.
const MACHINES: Duration = Duration::from_secs(420);

impl World {
    /// A region with a coordinator that listens to it, without machines.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&Machines::Processes)
    }

    /// The same with these behind its instances.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn with(machines: &Machines) -> Self {
        let region = Region::with(machines);
        let queue = region.create_queue("wharf");
        region.create_rule("wharf", &json!({ "source": ["aws.autoscaling", "aws.ec2"] }), &queue);
        let environment = region.environment().map(|(name, value)| (name.to_owned(), value));
        let mut environment = Vec::from(environment);
        environment.push(("WHARF_AWS".to_owned(), "true".to_owned()));
        environment.push(("WHARF_AWS_QUEUE".to_owned(), queue.url));
        let scratch = Scratch::new();
        let joining = format!(
            "accounts = [\"123456789012\"]\nregions = [\"{NAME}\"]\nsts = \"{}\"\n",
            region.endpoint()
        );
        let joining = scratch.write("aws.toml", &joining).display().to_string();
        environment.push(("WHARF_AWS_JOIN_FILE".to_owned(), joining));
        let host = region.host().to_owned();
        let cluster = Cluster::with(Options { nodes: 0, host, environment, ..Options::default() });
        let patience = match machines {
            Machines::Debian => MACHINES,
            Machines::None | Machines::Processes | Machines::ProcessesOn(_) => SOON * 2,
        };
        let remains = cluster.remains();
        Self { cluster, region, patience, _scratch: scratch, _remains: remains }
    }

    /// A pool of so many machines that are ready nodes.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn with_pool(size: u32) -> Self {
        let world = Self::start();
        world.create_group(&Pool { size, ..Pool::default() });
        let added = world.cluster.wharf(&["pool", "add", "web"]).good();
        assert!(added.contains("wharf-terminating"), "{added}");
        world.are_ready(size as usize);
        world.has_hooks();
        world
    }

    /// Makes a group whose machines join by tokens.
    ///
    /// # Panics
    /// When it is not so in time.
    pub fn create_group(&self, pool: &Pool<'_>) {
        let cluster = &self.cluster;
        let token = format!(
            "HOME={} WHARF_ADDR={} {} token create --node $WHARF_NODE --pool {}",
            cluster.scratch.path().display(),
            cluster.address,
            built("wharf").display(),
            pool.name
        );
        let user_data = format!(
            "WHARF_ADDR={}\nREGION_TOKEN_COMMAND={token}\nREGION_AGENT_ARGUMENTS=--prefer-local-images\n",
            cluster.address
        );
        self.region.create_pool(&Pool { user_data: &user_data, ..pool.clone() });
    }

    /// Waits until the group has our hooks.
    ///
    /// # Panics
    /// When it is not so in time.
    pub fn has_hooks(&self) {
        until("the group has our hooks", SOON, || {
            let pool = self.pool();
            let hooks = pool["group"]["hooks"].as_array().map(Vec::len);
            if hooks == Some(2) { Ok(()) } else { Err(format!("{pool:#}")) }
        });
    }

    /// The pool as the coordinator shows it.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn pool(&self) -> Value {
        self.cluster.wharf(&["pool", "inspect", "web", "-o", "json"]).json()
    }

    /// The members of the group that are in service, once there are so many and all are ready nodes.
    ///
    /// # Panics
    /// When it is not so in time.
    pub fn are_ready(&self, wanted: usize) -> BTreeSet<String> {
        until("the machines in service are ready nodes", self.patience, || {
            let members = self.region.members("web");
            let serving = members.iter().filter(|one| one.lifecycle_state == "InService");
            let serving: BTreeSet<String> = serving.map(|one| one.id.clone()).collect();
            let ready = self.nodes("ready");
            let is_so = serving.len() == wanted && members.len() == wanted && serving == ready;
            if is_so { Ok(serving.clone()) } else { Err(format!("{members:?}, ready {ready:?}")) }
        })
    }

    /// Another machine image, made of a machine of the pool.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn other_image(&self, machine: &str) -> String {
        self.image_of(machine, "web-2")
    }

    /// A machine image of this name, made of what is on the disk of a machine.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn image_of(&self, machine: &str, name: &str) -> String {
        let asked = [("InstanceId", machine), ("Name", name), ("NoReboot", "true")];
        let made = self.region.call(Service::Ec2, "CreateImage", &asked).unwrap();
        let ami = values(&made, "imageId").remove(0);
        until("the image is available", self.patience, || {
            let asked = [("ImageId.1", ami.as_str())];
            let shown = self.region.call(Service::Ec2, "DescribeImages", &asked);
            let state = shown.map(|shown| values(&shown, "imageState"));
            if state == Ok(vec!["available".to_owned()]) {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            }
        });
        ami
    }

    /// The nodes in such a state.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn nodes(&self, state: &str) -> BTreeSet<String> {
        let nodes = self.cluster.wharf(&["node", "ls", "-o", "json"]).json();
        let nodes = nodes.as_array().unwrap().iter().filter(|node| node["state"] == state);
        nodes.map(|node| node["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Deploys so many tasks that sleep.
    ///
    /// # Panics
    /// When it is not so in time.
    pub fn deploy(&self, replicas: usize) {
        let deploy = format!("{{replicas: {replicas}, update_config: {{monitor: 1s}}}}");
        let _deployed = self.cluster.deploy_sleeper(&deploy).good();
    }

    /// Where each task runs, once as many run as are wanted, on none of these machines.
    ///
    /// # Panics
    /// When it is not so in time.
    pub fn serve_elsewhere(&self, wanted: usize, gone: &BTreeSet<String>) {
        until("all tasks run elsewhere", SOON, || {
            let tasks = self.cluster.live();
            let running = tasks.iter().filter(|task| task["state"] == "running");
            let nodes: Vec<&str> = running.filter_map(|task| task["node"].as_str()).collect();
            let is_so = nodes.len() == wanted && !nodes.iter().any(|node| gone.contains(*node));
            if is_so { Ok(()) } else { Err(format!("{tasks:#?}")) }
        });
    }

    /// Who has left of these, once so many have.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn have_left(&self, before: &BTreeSet<String>, wanted: usize) -> BTreeSet<String> {
        until("machines have left their group", SOON * 2, || {
            let members = self.region.members("web");
            let there: BTreeSet<&String> = members.iter().map(|one| &one.id).collect();
            let gone: BTreeSet<String> =
                before.iter().filter(|id| !there.contains(id)).cloned().collect();
            if gone.len() == wanted { Ok(gone) } else { Err(format!("{members:?}")) }
        })
    }

    /// What has happened.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn events(&self) -> String {
        self.cluster.wharf(&["events"]).good()
    }

    /// How often a task was put on a node.
    ///
    /// # Panics
    /// When nobody tells.
    #[must_use]
    pub fn placements(&self) -> usize {
        self.events().lines().filter(|line| line.contains("is placed on")).count()
    }
}
