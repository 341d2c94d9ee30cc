//! From where images may come: what an administrator has said, against a registry and a real engine.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use system_tests::docker::IMAGE;
use system_tests::registry::Registry;
use system_tests::{Cluster, Options, SOON, until};

struct Lab {
    cluster: Cluster,
    /// Gone after the containers that were made from its images.
    registry: Registry,
}

impl Lab {
    fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address())
    }

    fn file(image: &str) -> String {
        format!(
            "
name: lab
services:
  app:
    image: {image}
    command: [sleep, '2147483647']
    stop_grace_period: 1s
    deploy: {{update_config: {{monitor: 0s}}}}
"
        )
    }

    fn runs(&self, image: &str) {
        until(&format!("{image} runs"), SOON, || {
            let running = self.cluster.running();
            let images = running.iter().map(|container| {
                let format = ["inspect", "--format", "{{.Config.Image}}", &container.id];
                self.cluster.docker.run(&format)
            });
            let images: Vec<String> = images.collect();
            let is_so = images.len() == 1 && images[0].starts_with(image);
            if is_so { Ok(()) } else { Err(format!("{images:?}")) }
        });
    }

    fn is_refused(&self, image: &str, why: &str) {
        let refused = self.cluster.deploy(&Self::file(image)).bad(1);
        assert!(refused.contains(why), "{image}: {refused}");
    }
}

#[test]
fn what_may_not_run_is_refused_and_what_runs_goes_on() {
    let cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let registry = Registry::start(&cluster.docker);
    let lab = Lab { cluster, registry };
    let (ours, others) = (lab.reference("team/app"), lab.reference("other/app"));
    let _digests = [lab.registry.push("team/app:1", "a"), lab.registry.push("other/app:1", "b")];
    let _deployed = lab.cluster.deploy(&Lab::file(&format!("{others}:1"))).good();
    let pattern = lab.reference("team/*");
    let set = ["--why", "ticket 9", "policy", "set", "--images", &pattern];
    let _set = lab.cluster.wharf(&set).good();
    let shown = lab.cluster.wharf(&["policy", "show"]).good();
    assert!(shown.contains(&pattern) && shown.contains("ticket 9"), "{shown}");

    // Nothing that runs is touched, and what is deployed anew is judged anew.
    lab.runs(&others);
    let why = format!("container app of lab/app has the image {others}:1, which is {others}");
    lab.is_refused(&format!("{others}:1"), &why);
    lab.is_refused(IMAGE, "which is docker.io/library/wharf-test");
    let local = lab.reference("team/local:1");
    lab.cluster.docker.run(&["tag", IMAGE, &local]);
    lab.is_refused(&local, "which only an engine has");
    lab.cluster.docker.run(&["rmi", &local]);
    let _deployed = lab.cluster.deploy(&Lab::file(&format!("{ours}:1"))).good();
    lab.runs(&ours);

    // What was accepted can be gone back to.
    let _back = lab.cluster.wharf(&["rollback", "app"]).good();
    lab.runs(&others);
    let _set = lab.cluster.wharf(&["policy", "set", "--images", "any"]).good();
    let _deployed = lab.cluster.deploy(&Lab::file(&format!("{others}:1"))).good();
    let audit = lab.cluster.wharf(&["audit", "--what", "policy"]).good();
    assert!(audit.contains(&pattern) && audit.contains("any"), "{audit}");
}
