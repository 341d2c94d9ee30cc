//! How long a pool takes to be refreshed, against what its machines need to boot and to be emptied, and how often each task moves.
//!
//! Machines are processes of this machine that take as long to boot as is said; agents, engine, coordinator and requests are real.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use system_tests::fleet::World;
use system_tests::region::Pool;
use system_tests::{Program, until};

use crate::result::{Goal, Line, print};

/// So many machines more than usual are there at a time, of a hundred: a refresh does so by itself.
const SURGE_PERCENT: usize = 10;
/// Two cores start a hundred agents, and as many containers, in some minutes.
const PATIENCE: Duration = Duration::from_secs(1_200);

pub(crate) fn run(machines: u32, boot_seconds: u32) -> anyhow::Result<()> {
    let count = machines as usize;
    let world = world(machines)?;
    let member = world.region.members("web").into_iter().next().context("it has machines")?;
    let ami = world.other_image(&member.id);
    world.region.set(&json!({ "boot_s": boot_seconds }));
    let log = world.cluster.scratch.path().join("events.jsonl");
    let mut command = world.cluster.wharf_command();
    let mut events =
        Program::start(command.args(["events", "--follow", "--tail", "0", "-o", "jsonl"]), &log);
    println!("{machines} tasks run; each new machine boots for {boot_seconds} s");
    let began = Instant::now();
    let start = ["refresh", "start", "web", "--ami", &ami, "--at-once", "--hold", "0s", "-y"];
    let _refreshed = world.cluster.wharf(&start).good();
    let took = began.elapsed();
    let seen = Seen::read(&events.log())?;
    events.kill();
    report(&seen, took, (count, Duration::from_secs(boot_seconds.into())));
    Ok(())
}

/// So many machines, with a task on each.
fn world(machines: u32) -> anyhow::Result<World> {
    let world = World::start();
    world.create_group(&Pool { size: machines, ..Pool::default() });
    let added = world.cluster.wharf(&["pool", "add", "web"]);
    anyhow::ensure!(added.code == 0, "the group is no pool: {}", added.err);
    until("the machines are nodes", PATIENCE, || {
        let ready = world.nodes("ready").len();
        if ready == machines as usize { Ok(()) } else { Err(format!("{ready} are ready")) }
    });
    println!("{machines} machines are nodes");
    let deploy = format!("{{replicas: {machines}, update_config: {{monitor: 1s}}}}");
    let _deployed = world.cluster.deploy_sleeper(&deploy).good();
    Ok(world)
}

fn report(seen: &Seen, took: Duration, (count, boot): (usize, Duration)) {
    let surge = (count * SURGE_PERCENT).div_ceil(100).max(1);
    let rounds = u32::try_from(count.div_ceil(surge)).unwrap_or(u32::MAX);
    let (boot, drain) = (boot + middle(&seen.joins), middle(&seen.drains));
    let least = (boot + drain) * rounds;
    let ratio = took.as_secs_f64() / least.as_secs_f64();
    println!(
        "{count} machines, {surge} at a time: {rounds} times {:.1} s to boot and join and {:.1} s to be emptied are {:.0} s; it took {:.0} s",
        boot.as_secs_f64(),
        drain.as_secs_f64(),
        least.as_secs_f64(),
        took.as_secs_f64()
    );
    let moves = seen.placed as f64 / count as f64;
    let naive = naive(count, surge);
    let lines = [
        Line {
            name: "duration, against the least possible",
            shown: format!("{ratio:.3}"),
            value: ratio,
            goal: Goal::AtMost(1.15),
        },
        Line {
            name: "moves of each task",
            shown: format!("{moves:.2} (naively {naive:.2})"),
            value: moves,
            goal: Goal::AtMost(1.0),
        },
    ];
    print("refresh", &lines);
}

/// What the coordinator has told of the refresh.
#[derive(Debug, Default)]
struct Seen {
    /// From when each machine had booted, which the region lets us know, until tasks could run there.
    joins: Vec<Duration>,
    /// From when each machine was closed until it was empty.
    drains: Vec<Duration>,
    /// How many tasks were put on a node.
    placed: usize,
}

impl Seen {
    fn read(events: &str) -> anyhow::Result<Self> {
        let mut seen = Self::default();
        let (mut launched, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let word = |key: &str| event[key].as_str().unwrap_or_default();
            let (id, message) = (word("id").to_owned(), word("message"));
            let at: Timestamp = word("at").parse().with_context(|| line.to_owned())?;
            let since = |begun: Option<Timestamp>| {
                begun.and_then(|begun| Duration::try_from(at.duration_since(begun)).ok())
            };
            if message.contains("is launched by") {
                launched.insert(id, at);
            } else if message.contains("is let into") {
                seen.joins.extend(since(launched.remove(&id)));
            } else if message.contains("is being emptied") {
                closed.insert(id, at);
            } else if message.contains("is drained") {
                seen.drains.extend(since(closed.remove(&id)));
            } else if message.contains("is placed on") {
                seen.placed += 1;
            }
        }
        Ok(seen)
    }
}

fn middle(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// How often each task moves when a group replaces its machines by itself, as many at a time, each before the next has come, and a
/// task that has to leave goes to the machine with the fewest, old or new, and of equal ones to that which was there first.
fn naive(count: usize, surge: usize) -> f64 {
    // How many tasks each machine has that was not replaced yet, in the order in which they will be, and the new ones.
    let (mut old, mut new) = (vec![1_usize; count], Vec::new());
    let mut moves = 0;
    while !old.is_empty() {
        let leaving = surge.min(old.len());
        let displaced: usize = old.drain(..leaving).sum();
        moves += displaced;
        for _ in 0..displaced {
            let machines = old.iter_mut().chain(new.iter_mut()).enumerate();
            let fewest = machines.min_by_key(|(at, tasks)| (**tasks, *at));
            if let Some((_, tasks)) = fewest {
                *tasks += 1;
            }
        }
        new.extend(std::iter::repeat_n(0, leaving));
    }
    moves as f64 / count as f64
}
