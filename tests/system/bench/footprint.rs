//! Memory and processor time of programs that have nothing to do.

use std::time::Duration;

use system_tests::docker::IMAGE;
use system_tests::{Cluster, Options};

use crate::process::{processor_time, resident_kib, written_bytes};
use crate::result::{Goal, Line, print};

/// A busy start is over by then.
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) fn run(count: u32, seconds: u64) -> anyhow::Result<()> {
    let agent = std::env::current_exe()?.with_file_name("../agent/wharf-agent");
    let options = Options { nodes: 3, agent: Some(agent), ..Options::default() };
    let mut cluster = Cluster::with(options);
    // All on one node: the others show what an empty one costs.
    for node in ["n2", "n3"] {
        let _done = cluster.wharf(&["cordon", node]).good();
    }
    let text = format!(
        "
name: bench
services:
  app:
    image: {IMAGE}
    command: [sleep, '100000']
    network_mode: host
    deploy: {{replicas: {count}, resources: {{reservations: {{memory: 1M}}}}}}
"
    );
    let _done = cluster.deploy(&text).good();
    std::thread::sleep(SETTLE);
    let (agent, coordinator) = (cluster.agent("n1").id(), cluster.coordinator().id());
    let (agent_before, coordinator_before) = (processor_time(agent), processor_time(coordinator));
    let written_before = written_bytes(coordinator);
    std::thread::sleep(Duration::from_secs(seconds));
    let share = |before: Duration, after: Duration| {
        (after - before).as_secs_f64() / Duration::from_secs(seconds).as_secs_f64() * 100.0
    };
    let agent_share = share(agent_before, processor_time(agent));
    let coordinator_share = share(coordinator_before, processor_time(coordinator));
    let written = written_bytes(coordinator) - written_before;
    let mebibytes = |process| resident_kib(process) as f64 / 1_024.0;
    let memory = |name, process, goal| Line {
        name,
        shown: format!("{:.1} MiB", mebibytes(process)),
        value: mebibytes(process),
        goal: Goal::AtMost(goal),
    };
    let time = |name, share: f64| Line {
        name,
        shown: format!("{share:.2} % of one core"),
        value: share,
        goal: Goal::AtMost(0.5),
    };
    let lines = [
        memory("agent with its containers, resident", agent, 10.0),
        time("agent with its containers, processor", agent_share),
        memory("coordinator with 3 nodes, resident", coordinator, 40.0),
        time("coordinator with 3 nodes, processor", coordinator_share),
        Line {
            name: "coordinator, written to disk while idle",
            shown: format!("{written} bytes"),
            value: written as f64,
            goal: Goal::AtMost(0.0),
        },
    ];
    print("footprint", &lines);
    Ok(())
}
