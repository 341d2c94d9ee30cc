//! A pool of machines with an init and an engine of their own is moved to another image, while requests come without end.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::fleet::World;
use system_tests::region::{Load, Machines, Pool};
use system_tests::site::{Site, unharmed};
use system_tests::until;

/// Longer than six machines take to boot and to be emptied, on a machine busy with other things.
const PATIENCE: Duration = Duration::from_secs(900);
/// So many machines, and a task on each.
const SIZE: usize = 6;

/// What is done before an image is taken. Its agent finds the image of the service on the machine, without a registry.
const SCRUB: &str = r"
folder=/etc/systemd/system/wharf-agent.service.d
mkdir -p $folder
printf '[Service]\nExecStart=\nExecStart=/usr/bin/wharf-agent --prefer-local-images\n' >$folder/images.conf
systemctl stop wharf-agent docker.socket docker
rm -rf /var/lib/wharf/agent/* /etc/docker/key.json
truncate --size 0 /etc/machine-id
";

/// The machine of which images are taken.
struct Bakery {
    builder: String,
}

impl Bakery {
    /// Boots a machine that has the image of the service.
    fn open(world: &World) -> Self {
        world.region.create_pool(&Pool { name: "builder", ..Pool::default() });
        let builder = world.region.members("builder").remove(0).id;
        until("the machine has booted", world.patience, || {
            let said = world.region.run_on(&builder, "systemctl is-system-running");
            let is_up = ["running", "degraded"].contains(&said.out.trim());
            if is_up { Ok(()) } else { Err(format!("{}{}", said.err, world.region.log())) }
        });
        world.region.docker_of(&builder).need_image();
        let _scrubbed = world.region.run_on(&builder, SCRUB).good();
        Self { builder }
    }

    /// An image in which a file has these words.
    fn bake(&self, world: &World, words: &str) -> String {
        let write = format!("echo {words} >/etc/baked");
        let _written = world.region.run_on(&self.builder, &write).good();
        world.image_of(&self.builder, words)
    }
}

#[test]
fn six_machines_are_replaced_under_load_without_a_failed_request_and_each_task_moves_once() {
    let world = World::with(&Machines::Debian);
    let bakery = Bakery::open(&world);
    let (first, second) = (bakery.bake(&world, "first"), bakery.bake(&world, "second"));
    world.region.set_desired("builder", 0);
    let size = u32::try_from(SIZE).unwrap();
    world.create_group(&Pool { size, image: &first, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    let before = world.are_ready(SIZE);
    world.has_hooks();
    let site = Site::open(world, SIZE);
    let placed = site.world.placements();
    let (load, began) = (Load::begin(site.port), Instant::now());
    let start = ["refresh", "start", "web", "--ami", &second, "--surge", "2", "--hold", "1s", "-y"];
    let (told, fewest) = std::thread::scope(|scope| {
        let told = scope.spawn(|| site.world.cluster.wharf(&start));
        let mut fewest = usize::MAX;
        until("the refresh is done", PATIENCE, || {
            fewest = fewest.min(site.healthy());
            if told.is_finished() { Ok(()) } else { Err(format!("{fewest} got requests")) }
        });
        (told.join().unwrap(), fewest)
    });
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, site.world.events());
    eprintln!("{}", told.out);
    let after = site.world.are_ready(SIZE);
    assert!(after.is_disjoint(&before), "{after:?} {before:?}");
    site.serves(SIZE);
    unharmed(load, "6 machines replaced", began);
    assert_eq!(fewest, SIZE, "so few got requests at a time: {}", site.world.events());
    assert_eq!(site.world.placements() - placed, SIZE, "{}", site.world.events());
    let nodes: BTreeSet<String> = site
        .world
        .cluster
        .live()
        .iter()
        .filter_map(|task| task["node"].as_str().map(ToOwned::to_owned))
        .collect();
    assert!(nodes.is_subset(&after), "{nodes:?} {after:?}");
    for node in &after {
        assert_eq!(site.world.region.run_on(node, "cat /etc/baked").good().trim(), "second");
    }
    let group = &site.world.pool()["group"];
    assert_eq!((&group["desired"], &group["suspended"]), (&json!(SIZE), &json!([])), "{group:#}");
}
