//! Target groups with a port in front of them, and requests that come to it without end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::values;
use super::{Region, Service};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many ask at once.
const CLIENTS: usize = 4;
/// How long each of them waits between two requests.
const PAUSE: Duration = Duration::from_millis(10);

impl Region {
    /// Makes a target group whose targets are asked for `path`, and which waits for so long for what leaves it. Gives its ARN.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn create_target_group(&self, name: &str, path: &str, delay: Duration) -> String {
        let vpcs = self.call(Service::Ec2, "DescribeVpcs", &[]).unwrap();
        let vpc = values(&vpcs, "vpcId").remove(0);
        let asked = [
            ("Name", name),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("VpcId", vpc.as_str()),
            ("TargetType", "instance"),
            ("HealthCheckPath", path),
        ];
        let made = self.call(Service::LoadBalancing, "CreateTargetGroup", &asked).unwrap();
        let arn = values(&made, "TargetGroupArn").remove(0);
        let seconds = delay.as_secs().to_string();
        let asked = [
            ("TargetGroupArn", arn.as_str()),
            ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
            ("Attributes.member.1.Value", seconds.as_str()),
        ];
        self.call(Service::LoadBalancing, "ModifyTargetGroupAttributes", &asked).unwrap();
        arn
    }

    /// Who is in a target group, `i-…:PORT STATE`, in order.
    ///
    /// # Panics
    /// When it can not be asked.
    #[must_use]
    pub fn targets(&self, arn: &str) -> Vec<String> {
        let asked = [("TargetGroupArn", arn)];
        let shown = self.call(Service::LoadBalancing, "DescribeTargetHealth", &asked).unwrap();
        let (ids, ports) = (values(&shown, "Id"), values(&shown, "Port"));
        let states = values(&shown, "State");
        let all = ids.iter().zip(ports).zip(states);
        let mut all: Vec<String> =
            all.map(|((id, port), state)| format!("{id}:{port} {state}")).collect();
        all.sort();
        all
    }

    /// The port of this machine in front of a target group: see `tests/system/region/traffic.py`.
    ///
    /// # Panics
    /// When there is no such group.
    #[must_use]
    pub fn listener(&self, group: &str) -> u16 {
        let shown = self.control("POST", &format!("listeners/{group}"), &json!({}));
        shown["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap()
    }

    /// What came to that port: to which target, and how often there was none.
    #[must_use]
    pub fn sent(&self, group: &str) -> Value {
        self.control("POST", &format!("listeners/{group}"), &json!({}))
    }
}

/// Requests without end, each over a connection of its own.
#[derive(Debug)]
pub struct Load {
    /// Each ends when its sender is gone.
    clients: Vec<(Sender<()>, JoinHandle<Outcome>)>,
}

/// What became of requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were answered.
    pub answered: usize,
    /// What the others came to, and how long after the beginning.
    pub failed: Vec<(Duration, String)>,
}

impl Load {
    /// Begins.
    #[must_use]
    pub fn begin(port: u16) -> Self {
        let client = |_| {
            let (ends, end) = channel();
            (ends, std::thread::spawn(move || ask_until(&end, port)))
        };
        Self { clients: (0..CLIENTS).map(client).collect() }
    }

    /// Ends, and says what became of all of them.
    ///
    /// # Panics
    /// When a client has.
    #[must_use]
    pub fn end(self) -> Outcome {
        let mut all = Outcome::default();
        let clients: Vec<_> = self.clients.into_iter().map(|(_, client)| client).collect();
        for client in clients {
            let outcome = client.join().unwrap();
            all.answered += outcome.answered;
            all.failed.extend(outcome.failed);
        }
        all
    }
}

fn ask_until(end: &Receiver<()>, port: u16) -> Outcome {
    let (began, mut outcome) = (Instant::now(), Outcome::default());
    // Until the end, which is waited for between two requests.
    while end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        match ask(port) {
            Ok(()) => outcome.answered += 1,
            Err(error) => outcome.failed.push((began.elapsed(), error.to_string())),
        }
    }
    outcome
}

/// Asks once. Good is a status of 200 and all of the body.
fn ask(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_good = answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.0 200 ");
    if is_good && answer.contains("\r\n\r\n") && answer.trim_end().ends_with(BODY) {
        return Ok(());
    }
    Err(std::io::Error::other(format!("answered {answer:?}")))
}

/// What every answer ends with.
pub const BODY: &str = "well";
