//! Agents that are connected and heart-beating: what each costs the coordinator, encrypted and not, and how long it takes
//! until all of them are back after it was killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use proto::wire::trust_client::TrustClient;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use system_tests::puppet::{self, Puppet};
use system_tests::{Cluster, Options, Protection};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Channel;
use trust::digest::fraction;
use trust::key::Key;
use trust::tls::Client;
use trust::transport::Dial;
use trust::{Bundle, JoinToken};

use crate::process::{processor_time, resident_kib};
use crate::result::{Goal, Line, print};

const HEARTBEAT: Duration = Duration::from_secs(10);
/// Dialling all at once would measure the backlog of the listener.
const DIALLING: usize = 64;
/// Memory is given back by then, or it is not.
const GIVE_BACK: Duration = Duration::from_secs(20);
/// As a real agent waits before it dials again: from nothing to this, doubled each time, and no longer than that.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Nobody waits longer for those who come back.
const BACK: Duration = Duration::from_secs(300);

/// What one kind of connection costs.
struct Cost {
    each_kib: f64,
    processor_percent: f64,
    kept: f64,
    /// Until all of them are back.
    back: Duration,
}

pub(crate) async fn run(count: u32, seconds: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let plain = measure(Protection::None, count, seconds).await?;
    let tls = measure(Protection::Tls, count, seconds).await?;
    let mut lines = Vec::new();
    let memory = ["memory for one agent, plaintext", "memory for one agent, TLS"];
    let processor = ["processor, all agents, plaintext", "processor, all agents, TLS"];
    let kept = ["memory kept after they left, plaintext", "memory kept after they left, TLS"];
    let back = ["all back after a crash, plaintext", "all back after a crash, TLS"];
    for (place, cost) in [plain, tls].into_iter().enumerate() {
        lines.push(Line {
            name: memory[place],
            shown: format!("{:.1} KiB", cost.each_kib),
            value: cost.each_kib,
            goal: Goal::AtMost(60.0),
        });
        lines.push(Line {
            name: processor[place],
            shown: format!("{:.1} % of one core", cost.processor_percent),
            value: cost.processor_percent,
            goal: Goal::AtMost(100.0),
        });
        lines.push(Line {
            name: back[place],
            shown: format!("{:.1} s", cost.back.as_secs_f64()),
            value: cost.back.as_secs_f64(),
            goal: Goal::AtMost(60.0),
        });
        lines.push(Line {
            name: kept[place],
            shown: format!("{:.2}", cost.kept),
            value: cost.kept,
            goal: Goal::AtMost(0.5),
        });
    }
    print("sessions", &lines);
    Ok(())
}

async fn measure(protection: Protection, count: u32, seconds: u64) -> anyhow::Result<Cost> {
    let mut cluster = Cluster::with(Options { nodes: 0, protection, ..Options::default() });
    let began = Instant::now();
    let ways = ways(&cluster, protection, count).await?;
    println!("{count} nodes have joined in {:.1?} ({protection:?})", began.elapsed());
    // What it takes to let them in is over, and given back.
    cluster.kill_coordinator();
    cluster.start_coordinator();
    let process = cluster.coordinator().id();
    let empty = resident_kib(process);
    let connected = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let permits = Arc::new(Semaphore::new(DIALLING));
    let agents: Vec<JoinHandle<()>> = ways
        .into_iter()
        .enumerate()
        .map(|(number, way)| {
            let number = u32::try_from(number).unwrap();
            tokio::spawn(live(number, way, Arc::clone(&connected), Arc::clone(&permits)))
        })
        .collect();
    all_are(&connected, count).await?;
    println!("{count} agents connected in {:.1?}", began.elapsed());
    let before = processor_time(process);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (processor_time(process) - before).as_secs_f64()
        / Duration::from_secs(seconds).as_secs_f64();
    let full = resident_kib(process);
    let each = (full.saturating_sub(empty)) as f64 / f64::from(count);
    permits.add_permits(count as usize);
    cluster.kill_coordinator();
    all_are(&connected, 0).await?;
    let began = Instant::now();
    cluster.start_coordinator();
    all_are(&connected, count).await?;
    let back = began.elapsed();
    let process = cluster.coordinator().id();
    let full = resident_kib(process);
    agents.iter().for_each(JoinHandle::abort);
    drop(agents);
    tokio::time::sleep(GIVE_BACK).await;
    let after = resident_kib(process);
    let kept = (after.saturating_sub(empty)) as f64 / (full.saturating_sub(empty)).max(1) as f64;
    Ok(Cost { each_kib: each, processor_percent: share * 100.0, kept, back })
}

async fn all_are(connected: &AtomicU32, wanted: u32) -> anyhow::Result<()> {
    let began = Instant::now();
    while connected.load(Ordering::Relaxed) != wanted {
        let there = connected.load(Ordering::Relaxed);
        anyhow::ensure!(began.elapsed() < BACK, "{there} of {wanted} agents after {BACK:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn name(number: u32) -> String {
    format!("i-{number:08x}")
}

/// How each of them dials; over TLS it joins first.
async fn ways(cluster: &Cluster, protection: Protection, count: u32) -> anyhow::Result<Vec<Dial>> {
    let address = cluster.address.clone();
    if protection == Protection::None {
        return Ok((0..count).map(|_| Dial::Plaintext { address: address.clone() }).collect());
    }
    let administrators = puppet::local(cluster);
    let permits = Arc::new(Semaphore::new(DIALLING));
    let mut joining = JoinSet::new();
    for number in 0..count {
        let (permits, address) = (Arc::clone(&permits), address.clone());
        let administrators = administrators.clone();
        joining.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            join(administrators, &name(number), address).await.map(|way| (number, way))
        });
    }
    let mut ways = Vec::new();
    while let Some(joined) = joining.join_next().await {
        ways.push(joined??);
    }
    ways.sort_by_key(|(number, _)| *number);
    Ok(ways.into_iter().map(|(_, way)| way).collect())
}

/// Joins as an agent does, by a token of its own.
async fn join(administrators: Channel, node: &str, address: String) -> anyhow::Result<Dial> {
    let request = wire::CreateTokenRequest { valid_ms: 3_600_000, ..Default::default() };
    let token = TrustClient::new(administrators).create_token(request).await?.into_inner();
    let token: JoinToken = token.token.parse()?;
    let client = Client::pinned(token.authority)?;
    let channel = Dial::Tls { address: address.clone(), client }.channel()?;
    let key = Key::generate()?;
    let request = wire::JoinRequest {
        node: node.to_owned(),
        request: key.request()?,
        token: token.secret().to_owned(),
        ..Default::default()
    };
    let answer = EnrolmentClient::new(channel).join(request).await?.into_inner();
    let bundle = Bundle::new(key, answer.certificate, answer.authority)?;
    Ok(Dial::Tls { address, client: Client::mutual(&bundle)? })
}

/// Connects one agent, over a connection of its own, keeps it alive, and comes back when it is lost.
async fn live(number: u32, way: Dial, connected: Arc<AtomicU32>, permits: Arc<Semaphore>) {
    let mut failures = 0_u32;
    loop {
        let permit = permits.acquire().await;
        let node =
            wire::Node { zone: format!("zone-{}", number % 3), ..puppet::node(&name(number)) };
        let joined = Puppet::join(way.channel().unwrap(), node).await;
        drop(permit);
        if let Ok(mut puppet) = joined {
            failures = 0;
            connected.fetch_add(1, Ordering::Relaxed);
            beat(number, &mut puppet).await;
            connected.fetch_sub(1, Ordering::Relaxed);
        } else {
            failures += 1;
        }
        let longest = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.min(10)));
        tokio::time::sleep(longest.min(LONGEST_WAIT).mul_f64(fraction())).await;
    }
}

/// Gives signs of life until the session ends.
async fn beat(number: u32, puppet: &mut Puppet) {
    let spread = HEARTBEAT * (number % 1_000) / 1_000;
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + spread, HEARTBEAT);
    loop {
        tokio::select! {
            _ = beat.tick() => if puppet.say(puppet::heartbeat()).await.is_err() { return },
            heard = puppet.hear() => if heard.is_err() { return },
        }
    }
}
