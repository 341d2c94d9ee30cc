//! A web service behind a load balancer: real requests go through a port in front of a target group, whose targets are checked.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::docker::IMAGE;
use crate::fleet::World;
use crate::region::{BODY, Load};
use crate::{Said, until};

/// How long the target group waits for what leaves it.
const DELAY: Duration = Duration::from_secs(3);

/// A service behind a target group, and a port in front of that.
#[derive(Debug)]
pub struct Site {
    /// Where it runs.
    pub world: World,
    /// Its target group.
    pub arn: String,
    /// Where it is asked.
    pub port: u16,
    replicas: usize,
}

impl Site {
    /// So many web servers on the machines of a world, all of which get requests.
    ///
    /// # Panics
    /// When it is not so in time.
    #[must_use]
    pub fn open(world: World, replicas: usize) -> Self {
        let arn = world.region.create_target_group("site", "/health", DELAY);
        let site = Self { port: world.region.listener("site"), world, arn, replicas };
        let _deployed = site.deploy(1, "/www", "").good();
        site.serves(replicas);
        site
    }

    /// Deploys the web servers in this version, whose health is found in this directory, with these settings besides.
    ///
    /// # Panics
    /// When the command line can not be run.
    #[must_use]
    pub fn deploy(&self, version: u32, health: &str, more: &str) -> Said {
        let script = format!(
            "echo {BODY} > /tmp/index.html; [ {health} = /www ] && echo {BODY} > /tmp/health; \
             exec httpd -f -p 8080 -h /tmp"
        );
        let command = serde_json::to_string(&["sh", "-c", &script]).unwrap();
        let replicas = self.replicas;
        self.world.cluster.deploy(&format!(
            "name: site\nservices:\n  web:\n    image: {IMAGE}\n    command: {command}\n    ports: [\"8080\"]\n    \
             tmpfs: [/tmp]\n    environment: {{VERSION: \"{version}\"}}\n    deploy: {{replicas: {replicas}, update_config: {{monitor: 1s}}}}\n    \
             x-wharf: {{target_groups: [{{group: site, port: 8080}}]{more}}}\n"
        ))
    }

    /// Waits until so many tasks run, and the target group has these and no others.
    ///
    /// # Panics
    /// When it is not so in time.
    #[track_caller]
    pub fn serves(&self, wanted: usize) {
        until("the targets are the tasks", self.world.patience, || {
            let targets = self.world.region.targets(&self.arn);
            let live = self.world.cluster.live();
            let mut tasks: Vec<String> = live.iter().filter_map(target_of).collect();
            tasks.sort();
            let is_so = tasks.len() == wanted && targets == tasks;
            if is_so { Ok(()) } else { Err(format!("{targets:?} {live:#?}")) }
        });
    }

    /// How many of its targets get requests.
    #[must_use]
    pub fn healthy(&self) -> usize {
        let targets = self.world.region.targets(&self.arn);
        targets.iter().filter(|target| target.ends_with(" healthy")).count()
    }
}

/// Where a task should be found, once it runs.
#[must_use]
pub fn target_of(task: &Value) -> Option<String> {
    let node = task["node"].as_str()?;
    let port = task["containers"][0]["ports"][0]["host"].as_u64()?;
    (task["state"] == "running").then(|| format!("{node}:{port} healthy"))
}

/// Ends the load: nothing has failed.
///
/// # Panics
/// When something has.
pub fn unharmed(load: Load, what: &str, began: Instant) {
    let outcome = load.end();
    eprintln!("{what}: {} requests in {:.1?}", outcome.answered, began.elapsed());
    assert!(outcome.failed.is_empty(), "{what}: {:?}", outcome.failed);
    assert!(outcome.answered > 100, "{what}: only {} requests", outcome.answered);
}
