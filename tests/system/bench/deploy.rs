//! From the acknowledgement of a change to the moment the agent is told, over loopback.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::control_client::ControlClient;
use system_tests::puppet::{self, Puppet, pinned_service};
use system_tests::{Cluster, Options, Protection};
use tokio::sync::mpsc;

use crate::result::{Goal, Line, print};

const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(count: u32) -> anyhow::Result<()> {
    let protection = Protection::None;
    let cluster = Cluster::with(Options { nodes: 0, protection, ..Options::default() });
    let channel = puppet::channel(&cluster.address);
    let mut told = agent(channel.clone()).await?;
    let mut control = ControlClient::new(channel);
    let service = wire::ServiceRef { project: "bench".to_owned(), name: "app".to_owned() };
    let services = vec![pinned_service("app", 1)];
    control.deploy(wire::DeployRequest { services, ..wire::DeployRequest::default() }).await?;
    let mut acknowledged = Vec::new();
    let mut late = Vec::new();
    for number in 1..=count {
        let replicas = 1 + number % 50;
        let request =
            wire::ScaleRequest { service: Some(service.clone()), replicas, dry_run: false };
        let began = Instant::now();
        control.scale(request).await?;
        let answered = Instant::now();
        let heard = tokio::time::timeout(DEADLINE, told_of(&mut told, replicas)).await??;
        acknowledged.push(answered - began);
        late.push(heard.saturating_duration_since(answered));
    }
    acknowledged.sort_unstable();
    late.sort_unstable();
    let at = |times: &[Duration], percent: usize| {
        times[(times.len() * percent / 100).min(times.len() - 1)]
    };
    println!(
        "a change acknowledged, stored: p50 {:.2?}, p99 {:.2?}",
        at(&acknowledged, 50),
        at(&acknowledged, 99)
    );
    let millis = at(&late, 99).as_secs_f64() * 1_000.0;
    let lines = [Line {
        name: "acknowledged until the agent is told, p99",
        shown: format!("{millis:.2} ms (p50 {:.2?})", at(&late, 50)),
        value: millis,
        goal: Goal::AtMost(20.0),
    }];
    print("deploy", &lines);
    Ok(())
}

/// When the agent was told to run so many tasks.
async fn told_of(told: &mut mpsc::Receiver<Told>, replicas: u32) -> anyhow::Result<Instant> {
    loop {
        let one = told.recv().await.context("the agent's session has ended")?;
        if one.running == replicas as usize {
            return Ok(one.at);
        }
    }
}

/// What an agent was told, and when.
struct Told {
    at: Instant,
    running: usize,
}

/// An agent that says when it was told something, and has stopped at once what it is told to stop.
async fn agent(channel: tonic::transport::Channel) -> anyhow::Result<mpsc::Receiver<Told>> {
    let mut puppet = Puppet::join(channel, puppet::node("n1")).await?;
    let (teller, told) = mpsc::channel(1_024);
    tokio::spawn(async move {
        while let Ok(said) = puppet.assignments().await {
            let at = Instant::now();
            let tasks = said.tasks.into_iter().filter_map(|task| task.assignment);
            let (running, stopped): (Vec<_>, Vec<_>) =
                tasks.partition(|task| task.desired() == wire::Desired::Run);
            let running = running.len();
            let reported = puppet.say(completed(stopped)).await;
            if reported.is_err() || teller.send(Told { at, running }).await.is_err() {
                return;
            }
        }
    });
    Ok(told)
}

fn completed(tasks: Vec<wire::Assignment>) -> Up {
    let state =
        wire::TaskState { kind: Some(wire::task_state::Kind::Completed(wire::Completed {})) };
    let report = |task: wire::Assignment| wire::TaskReport {
        task: task.task,
        state: Some(state.clone()),
        ..wire::TaskReport::default()
    };
    let tasks = tasks.into_iter().map(report).collect();
    Up::Report(wire::Report { tasks, engine_ready: true, ..wire::Report::default() })
}
