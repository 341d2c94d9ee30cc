//! Agents that are connected and heart-beating: what each costs the coordinator.

use std::time::{Duration, Instant};

use proto::wire;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use system_tests::puppet::{self, Puppet};
use system_tests::{Cluster, Options};

use crate::process::{processor_time, resident_kib};
use crate::result::{Goal, Line, print};

const HEARTBEAT: Duration = Duration::from_secs(10);
/// Dialling all at once would measure the backlog of the listener.
const DIALLING: usize = 64;
/// Memory is given back by then, or it is not.
const GIVE_BACK: Duration = Duration::from_secs(20);

pub(crate) async fn run(count: u32, seconds: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let mut cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    let process = cluster.coordinator().id();
    let empty = resident_kib(process);
    let began = Instant::now();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(DIALLING));
    let mut agents = Vec::new();
    let mut connecting = tokio::task::JoinSet::new();
    for number in 0..count {
        let (permits, address) = (std::sync::Arc::clone(&permits), cluster.address.clone());
        connecting.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            connect(number, address).await
        });
    }
    while let Some(agent) = connecting.join_next().await {
        agents.push(agent??);
    }
    println!("{count} agents connected in {:.1?}", began.elapsed());
    let before = processor_time(process);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (processor_time(process) - before).as_secs_f64()
        / Duration::from_secs(seconds).as_secs_f64();
    let full = resident_kib(process);
    agents.iter().for_each(tokio::task::JoinHandle::abort);
    drop(agents);
    tokio::time::sleep(GIVE_BACK).await;
    let after = resident_kib(process);
    let each = (full.saturating_sub(empty)) as f64 / f64::from(count);
    let kept = (after.saturating_sub(empty)) as f64 / (full.saturating_sub(empty)).max(1) as f64;
    let lines = [
        Line {
            name: "memory of the coordinator for one agent",
            shown: format!("{each:.1} KiB"),
            value: each,
            goal: Goal::AtMost(60.0),
        },
        Line {
            name: "processor, all agents, a heartbeat each 10 s",
            shown: format!("{:.1} % of one core", share * 100.0),
            value: share * 100.0,
            goal: Goal::AtMost(100.0),
        },
        Line {
            name: "memory kept after they left, of what they took",
            shown: format!(
                "{kept:.2} ({} of {} MiB)",
                (after.saturating_sub(empty)) / 1024,
                (full - empty) / 1024
            ),
            value: kept,
            goal: Goal::AtMost(0.5),
        },
    ];
    print("sessions", &lines);
    Ok(())
}

/// Connects one agent, each over a connection of its own, and keeps it alive.
async fn connect(number: u32, address: String) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let node = wire::Node {
        zone: format!("zone-{}", number % 3),
        ..puppet::node(&format!("i-{number:08x}"))
    };
    let mut puppet = Puppet::join(puppet::channel(&address), node).await?;
    Ok(tokio::spawn(async move {
        let spread = HEARTBEAT * (number % 1_000) / 1_000;
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + spread, HEARTBEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => if puppet.say(puppet::heartbeat()).await.is_err() { return },
                heard = puppet.hear() => if heard.is_err() { return },
            }
        }
    }))
}
