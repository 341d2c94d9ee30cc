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

/// The raw rate is tried with each of these, and the best one is held against ours.
const AT_ONCE: [usize; 3] = [6, 12, 24];
/// Of the rolling update, both ways.
const PARALLELISM: usize = 10;
/// How often each side creates and removes. One round wavers by a tenth, on both sides; the median of five by a fortieth.
const ROUNDS: usize = 5;
/// Rolling updates of each side.
const REPLACEMENTS: usize = 3;
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

/// The times of one kind of work, round by round.
#[derive(Debug, Clone, Default)]
struct Times {
    raw: Vec<Duration>,
    wharf: Vec<Duration>,
}

impl Times {
    fn add(&mut self, side: Side, time: Duration) {
        match side {
            Side::Raw => self.raw.push(time),
            Side::Wharf => self.wharf.push(time),
        }
    }

    /// Our rate in parts of the raw one: the median of the rounds, in each of which both had their turn. An engine that
    /// grows slower in the course of a run is then slower for both.
    fn ratio(&self) -> f64 {
        let rounds = self.raw.iter().zip(&self.wharf);
        median(rounds.map(|(raw, ours)| raw.as_secs_f64() / ours.as_secs_f64()))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Raw,
    Wharf,
}

/// An engine that has rested is quicker at first by a quarter. So there is a round that does not count, and then both take
/// turns, and take turns in going first.
fn order(round: usize) -> [Side; 2] {
    if round.is_multiple_of(2) { [Side::Wharf, Side::Raw] } else { [Side::Raw, Side::Wharf] }
}

/// The concurrency at which the engine is quickest. The first round does not count.
async fn best(raw: &Raw) -> anyhow::Result<usize> {
    raw.create_all(PARALLELISM).await?;
    raw.remove_all(PARALLELISM, 0).await?;
    let mut tried = Vec::new();
    for at_once in AT_ONCE {
        tried.push((raw.create_all(at_once).await?, at_once));
        raw.remove_all(at_once, 0).await?;
    }
    println!("raw, created so many at once: {tried:.2?}");
    let quickest = tried.into_iter().min().map(|(_, at_once)| at_once);
    quickest.ok_or_else(|| anyhow::anyhow!("nothing was tried"))
}

async fn compare(network: Network, count: u32) -> anyhow::Result<Vec<Line>> {
    let raw = Raw::new(network, count).await?;
    let mut wharf = Wharf::new(network, count).await?;
    let at_once = best(&raw).await?;
    let before = wharf.processor_times();
    let [mut created, mut removed, mut replaced] =
        [Times::default(), Times::default(), Times::default()];
    for round in 0..ROUNDS {
        for side in order(round) {
            let (create, remove) = match side {
                Side::Raw => (raw.create_all(at_once).await?, raw.remove_all(at_once, 0).await?),
                Side::Wharf => (wharf.create_all().await?, wharf.remove_all().await?),
            };
            println!("{network:?}, {side:?}: created in {create:.2?}, removed in {remove:.2?}");
            created.add(side, create);
            removed.add(side, remove);
        }
    }
    let [agent, coordinator] = wharf.processor_times();
    println!(
        "{network:?}: processor, all rounds: agent {:.2?}, coordinator {:.2?}",
        agent.saturating_sub(before[0]),
        coordinator.saturating_sub(before[1])
    );
    for round in 0..REPLACEMENTS {
        for side in order(round) {
            let replace = match side {
                Side::Raw => raw_replacement(&raw).await?,
                Side::Wharf => wharf.replace_all().await?,
            };
            println!("{network:?}, {side:?}: replaced, {PARALLELISM} at a time, in {replace:.2?}");
            replaced.add(side, replace);
        }
    }
    let mut lines = lines(network, count, [&created, &replaced, &removed]);
    if network == Network::Host {
        lines.push(killed(&wharf).await?);
    }
    raw.end().await?;
    Ok(lines)
}

async fn raw_replacement(raw: &Raw) -> anyhow::Result<Duration> {
    raw.create_all(PARALLELISM).await?;
    let replace = raw.replace_all(PARALLELISM).await?;
    raw.remove_all(PARALLELISM, 1).await?;
    Ok(replace)
}

async fn killed(wharf: &Wharf) -> anyhow::Result<Line> {
    let replacement = wharf.kill().await?.as_secs_f64();
    Ok(Line {
        name: "killed until its replacement started, median",
        shown: format!("{replacement:.3} s"),
        value: replacement,
        goal: Goal::AtMost(0.3),
    })
}

fn lines(network: Network, count: u32, times: [&Times; 3]) -> Vec<Line> {
    let names = match network {
        Network::Host => [
            "created, host network, of raw",
            "rolling update, host network, of raw",
            "removed, host network, of raw",
        ],
        Network::Project => [
            "created, project network, of raw",
            "rolling update, project network, of raw",
            "removed, project network, of raw",
        ],
    };
    let line = |((name, goal), times): ((&'static str, f64), &Times)| {
        let [ours, raw] = [&times.wharf, &times.raw]
            .map(|times| f64::from(count) / median(times.iter().map(Duration::as_secs_f64)));
        let value = times.ratio();
        let shown = format!("{value:.2} ({ours:.1}/s of {raw:.1}/s)");
        Line { name, shown, value, goal: Goal::AtLeast(goal) }
    };
    names.into_iter().zip([0.95, 0.8, 0.8]).zip(times).map(line).collect()
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

/// The same through Wharf.
struct Wharf {
    cluster: Cluster,
    engine: Engine,
    network: Network,
    count: u32,
}

impl Wharf {
    async fn new(network: Network, count: u32) -> anyhow::Result<Self> {
        let cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
        let engine = Engine::connect_with_unix_defaults()?.negotiate_version().await?;
        Ok(Self { cluster, engine, network, count })
    }

    /// Of the agent and the coordinator.
    fn processor_times(&mut self) -> [Duration; 2] {
        [self.cluster.agent("n1").id(), self.cluster.coordinator().id()].map(processor_time)
    }

    fn deploy(&self, version: u32) -> String {
        self.cluster.deploy_with(&file(self.network, self.count, version), &["--detach"]).good()
    }

    /// Deploys, and waits until it has come to rest.
    fn settle(&self, version: u32) {
        let _shown = self.cluster.deploy(&file(self.network, self.count, version)).good();
    }

    fn remove(&self) -> String {
        self.cluster.wharf(&["rm", "-y", "--detach", "bench/app"]).good()
    }

    async fn create_all(&self) -> anyhow::Result<Duration> {
        let created = self.timed(Until::Started, || self.deploy(1)).await?;
        self.settle(1);
        Ok(created)
    }

    async fn remove_all(&self) -> anyhow::Result<Duration> {
        self.timed(Until::Destroyed, || self.remove()).await
    }

    async fn replace_all(&self) -> anyhow::Result<Duration> {
        self.settle(1);
        let replaced = self.timed(Until::Started, || self.deploy(2)).await?;
        self.settle(2);
        self.remove_all().await?;
        Ok(replaced)
    }

    async fn timed(&self, until: Until, act: impl FnOnce() -> String) -> anyhow::Result<Duration> {
        timed(&self.engine, &self.cluster, (until, self.count), act).await
    }

    async fn kill(&self) -> anyhow::Result<Duration> {
        self.settle(1);
        kill(&self.engine, &self.cluster).await
    }
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
