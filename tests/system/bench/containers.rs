//! Containers through Wharf against the same containers made straight through the engine's API.

use std::time::{Duration, Instant};

use bollard::Docker as Engine;
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::StreamExt;
use system_tests::docker::IMAGE;
use system_tests::{Cluster, Docker, Options};

use crate::process::processor_time;
use crate::raw::{LABEL, Network, Raw};
use crate::result::{Goal, Line, print};

/// The raw rate is tried with each of these, and the best one counts.
const AT_ONCE: [usize; 3] = [6, 12, 24];
/// Of the rolling update, both ways.
const PARALLELISM: usize = 10;
/// How often one task is killed.
const KILLS: usize = 10;
const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) async fn run(count: u32) -> anyhow::Result<()> {
    Docker::default().need_image();
    clean();
    let mut lines = Vec::new();
    for network in [Network::Host, Network::Project] {
        let measured = compare(network, count).await?;
        lines.extend(measured);
    }
    print("containers", &lines);
    Ok(())
}

/// Takes away what a run that was interrupted has left.
fn clean() {
    let docker = Docker::default();
    let found = docker.run(&["ps", "-aq", "--filter", &format!("label={LABEL}")]);
    let mut remove = vec!["rm", "-f"];
    remove.extend(found.split_whitespace());
    if !found.is_empty() {
        docker.run(&remove);
    }
    // By id: an engine may have two of the name.
    let found = docker.run(&["network", "ls", "-q", "--filter", &format!("label={LABEL}")]);
    for network in found.split_whitespace() {
        let _stays = docker.try_run(&["network", "rm", network]);
    }
}

struct Rates {
    create: f64,
    replace: f64,
    remove: f64,
}

async fn compare(network: Network, count: u32) -> anyhow::Result<Vec<Line>> {
    let raw = measure_raw(network, count).await?;
    let (ours, replacement) = measure_wharf(network, count).await?;
    let line = |name, ours: f64, raw: f64, goal| Line {
        name,
        shown: format!("{:.2} ({ours:.1}/s of {raw:.1}/s)", ours / raw),
        value: ours / raw,
        goal: Goal::AtLeast(goal),
    };
    Ok(match network {
        Network::Host => vec![
            line("created, host network, of raw", ours.create, raw.create, 0.95),
            line("rolling update, host network, of raw", ours.replace, raw.replace, 0.8),
            line("removed, host network, of raw", ours.remove, raw.remove, 0.8),
            Line {
                name: "killed until its replacement started, median",
                shown: format!("{:.3} s", replacement.as_secs_f64()),
                value: replacement.as_secs_f64(),
                goal: Goal::AtMost(0.3),
            },
        ],
        Network::Project => vec![
            line("created, project network, of raw", ours.create, raw.create, 0.95),
            line("rolling update, project network, of raw", ours.replace, raw.replace, 0.8),
            line("removed, project network, of raw", ours.remove, raw.remove, 0.8),
        ],
    })
}

async fn measure_raw(network: Network, count: u32) -> anyhow::Result<Rates> {
    let raw = Raw::new(network, count).await?;
    let (mut create, mut remove) = (Duration::MAX, Duration::MAX);
    for at_once in AT_ONCE {
        create = create.min(raw.create_all(at_once).await?);
        remove = remove.min(raw.remove_all(at_once, 0).await?);
        println!(
            "raw, {network:?}, {at_once} at once: created at best in {create:.2?}, removed in {remove:.2?}"
        );
    }
    raw.create_all(PARALLELISM).await?;
    let replace = raw.replace_all(PARALLELISM).await?;
    println!("raw, {network:?}: replaced, {PARALLELISM} at a time, in {replace:.2?}");
    raw.remove_all(PARALLELISM, 1).await?;
    raw.end().await?;
    let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
    Ok(Rates { create: rate(create), replace: rate(replace), remove: rate(remove) })
}

fn file(network: Network, count: u32, version: u32) -> String {
    let mode = match network {
        Network::Host => "    network_mode: host\n",
        Network::Project => "",
    };
    format!(
        "
name: bench
services:
  app:
    image: {IMAGE}
    command: [sleep, '100000']
    environment: {{VERSION: '{version}'}}
{mode}    deploy:
      replicas: {count}
      resources: {{reservations: {{memory: 1M}}}}
      update_config: {{parallelism: {PARALLELISM}, order: stop-first, monitor: 0s}}
"
    )
}

async fn measure_wharf(network: Network, count: u32) -> anyhow::Result<(Rates, Duration)> {
    let mut cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let engine = Engine::connect_with_unix_defaults()?.negotiate_version().await?;
    let ours = [cluster.agent("n1").id(), cluster.coordinator().id()];
    let before = ours.map(processor_time);
    let (mut create, mut remove) = (Duration::MAX, Duration::MAX);
    // As often as the engine itself was tried.
    for _ in AT_ONCE {
        let created = timed(&engine, &cluster, (Until::Started, count), || {
            cluster.deploy_with(&file(network, count, 1), &["--detach"]).good()
        });
        create = create.min(created.await?);
        // The deployment has to have come to rest before the next.
        let _settled = cluster.deploy(&file(network, count, 1)).good();
        let removed = timed(&engine, &cluster, (Until::Destroyed, count), || {
            cluster.wharf(&["rm", "-y", "--detach", "bench/app"]).good()
        });
        remove = remove.min(removed.await?);
        println!("wharf, {network:?}: created at best in {create:.2?}, removed in {remove:.2?}");
    }
    let [agent, coordinator] = ours.map(processor_time);
    println!(
        "wharf, {network:?}: processor, all rounds: agent {:.2?}, coordinator {:.2?}",
        agent.saturating_sub(before[0]),
        coordinator.saturating_sub(before[1])
    );
    let _settled = cluster.deploy(&file(network, count, 1)).good();
    let replace = timed(&engine, &cluster, (Until::Started, count), || {
        cluster.deploy_with(&file(network, count, 2), &["--detach"]).good()
    })
    .await?;
    println!("wharf, {network:?}: replaced in {replace:.2?}");
    let _settled = cluster.deploy(&file(network, count, 2)).good();
    let replacement =
        if network == Network::Host { kill(&engine, &cluster).await? } else { Duration::ZERO };
    let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
    Ok((Rates { create: rate(create), replace: rate(replace), remove: rate(remove) }, replacement))
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Started,
    Destroyed,
}

/// From the command until that has happened to so many containers of the cluster. The engine tells it by events: to look
/// again and again would cost it a part of what is measured.
async fn timed(
    engine: &Engine,
    cluster: &Cluster,
    (until, count): (Until, u32),
    act: impl FnOnce() -> String,
) -> anyhow::Result<Duration> {
    let word = match until {
        Until::Started => "start",
        Until::Destroyed => "destroy",
    };
    let filters = [
        ("label".to_owned(), vec![format!("wharf.cluster={}", cluster.id)]),
        ("event".to_owned(), vec![word.to_owned()]),
    ];
    let options = EventsOptionsBuilder::new().filters(&filters.into()).build();
    let mut events = engine.events(Some(options));
    // The request is sent with the first poll: events of before are told again from here on.
    let began = Instant::now();
    let first = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    anyhow::ensure!(first.is_err(), "something happened before it was asked for: {first:?}");
    let waited = began.elapsed();
    tokio::task::block_in_place(act);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count as usize {
        let event = tokio::time::timeout(DEADLINE, events.next()).await?;
        let event = event.ok_or_else(|| anyhow::anyhow!("the engine's events have ended"))??;
        seen.extend(event.actor.and_then(|actor| actor.id));
    }
    Ok(began.elapsed() - waited)
}

async fn list(engine: &Engine, cluster: &Cluster) -> anyhow::Result<Vec<(String, String)>> {
    let filters = [("label".to_owned(), vec![format!("wharf.cluster={}", cluster.id)])].into();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = engine.list_containers(Some(options)).await?;
    let pair = |one: bollard::models::ContainerSummary| {
        (one.id.unwrap_or_default(), one.state.map(|state| state.to_string()).unwrap_or_default())
    };
    Ok(found.into_iter().map(pair).collect())
}

/// Kills one container, as a crash would, and waits for the next one of its task; the median of several.
async fn kill(engine: &Engine, cluster: &Cluster) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for victim in cluster.running().into_iter().take(KILLS) {
        let process =
            i32::try_from(victim.pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        let known: Vec<String> =
            list(engine, cluster).await?.into_iter().map(|(id, _)| id).collect();
        let began = Instant::now();
        rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
        loop {
            let found = list(engine, cluster).await?;
            if found.iter().any(|(id, state)| state == "running" && !known.contains(id)) {
                break;
            }
            anyhow::ensure!(began.elapsed() < DEADLINE, "it is not replaced");
            tokio::time::sleep(LOOK).await;
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("wharf: killed until replaced: {times:.3?}");
    Ok(times[times.len() / 2])
}
