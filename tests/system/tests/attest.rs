//! Real agents that show which instance of AWS they are, to a metadata service and a token service of this test's own.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use system_tests::program::built;
use system_tests::{Cluster, Options, Program, SOON, until};
use trust::attest::caller::{Call, Credentials};

const INSTANCE: &str = "i-0123456789abcdef0";
const SECRET: &str = "c4n4ry-of-the-instance";

/// What somebody asks: its first line, its headers, its body.
type Asked = (String, BTreeMap<String, String>, Vec<u8>);

/// Answers every request with what this says, from now on.
fn serve(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asks may have gone.
            let _answered = take(stream, &answer);
        }
    });
    url
}

fn take(stream: TcpStream, answer: &impl Fn(&Asked) -> (u16, String)) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut headers) = (String::new(), BTreeMap::new());
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let (status, text) = answer(&(first, headers, body));
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", text.len());
    stream.into_inner().write_all(format!("{head}{text}").as_bytes())
}

/// A metadata service of the second version.
fn imds() -> String {
    serve(|(first, headers, _)| {
        if first.starts_with("PUT /latest/api/token ") {
            let life = headers.get("x-aws-ec2-metadata-token-ttl-seconds");
            return if life.is_some() { (200, "t0k3n".to_owned()) } else { (400, String::new()) };
        }
        if headers.get("x-aws-ec2-metadata-token").map(String::as_str) != Some("t0k3n") {
            return (401, String::new());
        }
        let path = first.split(' ').nth(1).unwrap();
        let text = match path.strip_prefix("/latest/meta-data/").unwrap_or_default() {
            "instance-id" => INSTANCE.to_owned(),
            "placement/region" => "eu-central-1".to_owned(),
            "identity-credentials/ec2/security-credentials/ec2-instance" => format!(
                "{{\"Code\": \"Success\", \"AccessKeyId\": \"ASIAEXAMPLEEXAMPLE00\", \"SecretAccessKey\": \"{SECRET}\", \"Token\": \"session-{SECRET}\"}}"
            ),
            _ => return (404, String::new()),
        };
        (200, text)
    })
}

fn sts() -> String {
    serve(|(_, headers, _)| {
        let call = Call {
            region: "eu-central-1".to_owned(),
            date: headers["x-amz-date"].clone(),
            session_token: headers["x-amz-security-token"].clone(),
            binding: headers["x-wharf-binding"].parse().unwrap(),
        };
        let credentials = Credentials {
            access_key: String::new(),
            secret: SECRET.to_owned().into(),
            session_token: String::new(),
        };
        let signature = format!("Signature={}", call.sign(&credentials));
        if !headers["authorization"].ends_with(&signature) {
            return (403, "<ErrorResponse/>".to_owned());
        }
        let account = "123456789012";
        let arn = format!("arn:aws:sts::{account}:assumed-role/aws:ec2-instance/{INSTANCE}");
        (
            200,
            format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>A:b</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        )
    })
}

fn cluster() -> Cluster {
    let path = std::env::temp_dir().join(format!("wharf-attest-{}.toml", std::process::id()));
    let text = format!(
        "accounts = ['123456789012']\nregions = ['eu-central-1']\nsts = '{}'\n[instances.{INSTANCE}]\npool = 'web'\nzone = 'eu-central-1c'\nlabels = {{ disk = 'ssd' }}\n",
        sts()
    );
    std::fs::write(&path, text).unwrap();
    let file: &'static str = Box::leak(path.display().to_string().into_boxed_str());
    let arguments: &'static [&'static str] =
        Box::leak(Box::new(["--aws-join", file, "--node-certificate-seconds", "15"]));
    Cluster::with(Options { nodes: 0, coordinator_arguments: arguments, ..Options::default() })
}

fn agent(cluster: &Cluster, imds: &str) -> Program {
    let authority = cluster.wharf(&["token", "authority"]).good();
    let mut command = Command::new(built("wharf-agent"));
    command.args(["--coordinator", &cluster.address, "--prefer-local-images"]);
    command.args(["--join", "aws-sts", "--imds", imds, "--authority", authority.trim()]);
    command.arg("--state-dir").arg(cluster.state_dir("aws")).env_remove("DOCKER_CONFIG");
    Program::start(&mut command, &cluster.scratch.path().join("aws.log"))
}

#[test]
fn an_instance_joins_without_a_secret_and_again_by_itself_when_its_certificate_has_ended() {
    let mut cluster = cluster();
    let imds = imds();
    let agent = agent(&cluster, &imds);
    cluster.nodes_are_ready(1);
    let node = cluster.wharf(&["node", "ls", "-o", "json"]).json()[0].clone();
    assert_eq!((&node["id"], &node["pool"]), (&INSTANCE.into(), &"web".into()), "{node}");
    assert_eq!(node["zone"], "eu-central-1c", "{node}");
    let deploy =
        "{placement: {constraints: [node.labels.disk == ssd]}, update_config: {monitor: 0s}}";
    let _done = cluster.deploy_sleeper(deploy).good();
    let before = cluster.running();
    assert_eq!(before.len(), 1);
    cluster.kill_coordinator();
    let identity = cluster.state_dir("aws").join("identity.pem");
    let ends = trust::Bundle::load(&identity).unwrap().unwrap().about.not_after;
    until("the certificate has ended", SOON, || {
        let now = trust::now();
        if now > ends { Ok(()) } else { Err(format!("{:?} are left", ends.since(now))) }
    });
    cluster.start_coordinator();
    // A coordinator that starts takes a node for ready until it has been silent for some time.
    until("it has joined again", SOON, || {
        let joins = cluster.wharf(&["audit", "--what", "join", "-o", "json"]).json();
        let mut done = joins.as_array().unwrap().iter().filter(|act| act["verdict"] == "done");
        let again = done.nth(1).and_then(|act| act["note"].as_str());
        let is_said = again.is_some_and(|note| note.contains("in place of"));
        if is_said { Ok(()) } else { Err(joins.to_string()) }
    });
    cluster.nodes_are_ready(1);
    assert_eq!(cluster.running(), before, "what runs has not noticed");
    drop(agent);
    // What the instance signs with is nowhere: not in what is kept, said or logged.
    let mut looked = 0;
    for folder in [cluster.scratch.path().to_owned(), cluster.data_dir(), cluster.state_dir("aws")]
    {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            looked += 1;
            let is_there = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!is_there, "{} has it", entry.path().display());
        }
    }
    assert!(looked > 6, "only {looked} files");
}

#[test]
fn an_agent_that_is_on_no_instance_says_what_to_do() {
    let cluster = cluster();
    // Nobody listens there.
    let mut agent = agent(&cluster, "http://127.0.0.1:1");
    until("it says so", SOON, || {
        let log = std::fs::read_to_string(cluster.scratch.path().join("aws.log")).unwrap();
        let is_said = log.contains("it is not known which instance this is");
        if is_said { Ok(()) } else { Err(log) }
    });
    assert!(!agent.ended().success());
}
