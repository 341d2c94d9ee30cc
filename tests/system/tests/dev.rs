//! `wharf dev`, as somebody meets it who sees Wharf for the first time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can not set up its world has failed; what is skipped is printed"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use system_tests::program::built;
use system_tests::{Docker, Program, SOON, Said, Scratch, until};

fn wharf(home: &Scratch) -> Command {
    let mut command = Command::new(built("wharf"));
    command.env("HOME", home.path()).env("NO_COLOR", "1").env_remove("WHARF_ADDR");
    command.env_remove("WHARF_CONTEXT").env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    command
}

fn say(home: &Scratch, arguments: &[&str]) -> Said {
    Said::by(wharf(home).args(arguments), "")
}

/// Starts a dev cluster in the foreground and waits until it answers.
fn dev(home: &Scratch, more: &[&str]) -> Dev {
    let mut command = wharf(home);
    command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(home.path().join("data"));
    let log = home.path().join("dev.log");
    // Of an earlier start.
    drop(std::fs::remove_file(&log));
    let dev = Dev(Program::start(command.args(more), &log));
    until("the cluster is up", SOON, || {
        let text = dev.log();
        if text.contains("ends it and") { Ok(()) } else { Err(text) }
    });
    dev
}

/// A dev cluster that cleans up behind itself even when its test has failed.
struct Dev(Program);

impl std::ops::Deref for Dev {
    type Target = Program;
    fn deref(&self) -> &Program {
        &self.0
    }
}

impl std::ops::DerefMut for Dev {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.0
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() && self.0.is_running() {
            self.0.signal(Signal::TERM);
            let _ended = self.0.ended();
        }
    }
}

fn cluster(home: &Scratch) -> String {
    let status = say(home, &["status", "-o", "json"]).json();
    status["cluster"].as_str().unwrap().to_owned()
}

/// What the engine has of the cluster: containers, networks and volumes.
fn left(cluster: &str) -> String {
    let (docker, label) = (Docker::default(), format!("label=wharf.cluster={cluster}"));
    let lists = [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]];
    lists.map(|list| docker.run(&[list, &["--filter", &label]].concat())).concat()
}

fn fetch(address: &str) -> Said {
    Said::by(Command::new("/bin/busybox").args(["wget", "-qO-", address]), "")
}

/// A server that answers when it has read a part may reset the connection with the rest unread: its callers then lose
/// the answer, now and then.
fn is_heard_to_the_end(address: &str) {
    let mut connection = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let early = connection.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock), "an answer to half a request");
    connection.set_read_timeout(Some(SOON)).unwrap();
    connection.write_all(b"Host: front\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("hello from"), "{answer}");
}

#[test]
fn the_first_command_shows_an_example_that_answers_and_ctrl_c_leaves_nothing() {
    Docker::default().need_image();
    let home = Scratch::new();
    let mut dev = dev(&home, &[]);
    let told = dev.log();
    for word in ["dev-1", "dev-3", "hello.web.3", "hello.front.1", "healthy", "wharf ps", "Ctrl-C"]
    {
        assert!(told.contains(word), "{word} is missing: {told}");
    }
    let address = told.lines().find_map(|line| line.strip_prefix("it answers:  curl ")).unwrap();
    assert!(fetch(address).good().starts_with("hello from"), "front asks web by its name");
    is_heard_to_the_end(address);
    // The context is written and selected: other commands find the cluster by themselves.
    assert_eq!(say(&home, &["ps", "-q"]).good().lines().count(), 4);
    let cluster = cluster(&home);
    assert_ne!(left(&cluster), "");
    dev.signal(Signal::INT);
    assert!(dev.ended().success(), "{}", dev.log());
    assert_eq!(left(&cluster), "");
    assert!(!home.path().join("data").exists());
    assert!(!say(&home, &["context", "ls"]).good().contains("dev"));
}

#[test]
fn what_is_kept_is_found_again() {
    Docker::default().need_image();
    let home = Scratch::new();
    let mut first = dev(&home, &["--keep", "--nodes", "2"]);
    let id = cluster(&home);
    let before = Docker::default().containers(&format!("wharf.cluster={id}"));
    assert_eq!(before.len(), 4);
    first.signal(Signal::INT);
    assert!(first.ended().success(), "{}", first.log());
    assert_eq!(Docker::default().containers(&format!("wharf.cluster={id}")), before);
    let mut second = dev(&home, &["--nodes", "2"]);
    assert_eq!(cluster(&home), id);
    assert_eq!(Docker::default().containers(&format!("wharf.cluster={id}")), before);
    second.signal(Signal::TERM);
    assert!(second.ended().success(), "{}", second.log());
    assert_eq!(left(&id), "");
}

#[test]
fn it_goes_on_in_the_background_until_it_is_stopped() {
    Docker::default().need_image();
    let home = Scratch::new();
    let start = ["dev", "--detach", "--no-example", "--nodes", "1", "--listen", "127.0.0.1:0"];
    let told = say(&home, &start).good();
    assert!(told.contains("`wharf dev stop` ends it"), "{told}");
    let id = cluster(&home);
    let again = say(&home, &start).bad(1);
    assert!(again.contains("runs already") && again.contains("hint:"), "{again}");
    let _stopped = say(&home, &["dev", "stop"]).good();
    assert_eq!(left(&id), "");
    let again = say(&home, &["dev", "stop"]).bad(1);
    assert!(again.contains("no cluster runs"), "{again}");
}

/// One line that says what is wrong, and one that says what to do.
fn is_clear(said: &Said, about: &str) {
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("error: ") && lines[1].starts_with("hint: "),
        "{}",
        said.err
    );
    assert!(said.err.contains(about), "{}", said.err);
}

#[test]
fn what_is_in_the_way_is_said_in_one_line_with_a_hint() {
    let home = Scratch::new();
    let data = home.path().join("data").display().to_string();
    let said = say(&home, &["dev", "--data-dir", &data, "--docker-socket", "/nowhere/docker.sock"]);
    is_clear(&said, "/nowhere/docker.sock");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = say(&home, &["dev", "--data-dir", &data, "--listen", &address]);
    is_clear(&said, &address);
    let other = home.write("precious/file", "of somebody else");
    let folder = other.parent().unwrap().display().to_string();
    let said = say(&home, &["dev", "--data-dir", &folder]);
    is_clear(&said, &folder);
    assert!(Path::new(&other).exists());
}

#[test]
fn a_socket_that_may_not_be_opened_is_named_with_the_group_to_join() {
    let home = Scratch::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(built("wharf"));
    let public = Scratch::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(public.path(), open).unwrap();
    command.args(["dev", "--data-dir"]).arg(public.path().join("data"));
    command.env("HOME", home.path()).env_remove("XDG_STATE_HOME");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become a user without permission");
        return;
    }
    let readable = Said::by(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x"])
            .arg(built("wharf")),
        "",
    );
    if readable.code != 0 {
        println!("skipped: the programs were built in a folder that others can not read");
        return;
    }
    is_clear(&Said::by(&mut command, ""), "docker.sock");
}

#[test]
fn an_image_is_built_out_of_its_directory_and_runs() {
    Docker::default().need_image();
    let home = Scratch::new();
    let start = ["dev", "--detach", "--no-example", "--nodes", "2", "--listen", "127.0.0.1:0"];
    let _started = say(&home, &start).good();
    let _dockerfile = home.write(
        "app/Dockerfile",
        "FROM wharf-test:1\nARG WORD\nCOPY . /app\nRUN echo $WORD > /app/word\nCMD [\"sleep\", \"100000\"]\n",
    );
    let _ignore = home.write("app/.dockerignore", "secret\n");
    let _secret = home.write("app/secret", "hush");
    let _page = home.write("app/page", "welcome");
    let project = format!("built-{}", std::process::id());
    let file = home.write(
        "compose.yaml",
        &format!(
            "name: {project}\nservices:\n  app:\n    build: {{context: app, args: {{WORD: hello}}}}\n    stop_grace_period: 1s\n    deploy: {{replicas: 2}}\n"
        ),
    );
    let file = file.display().to_string();
    let told = say(&home, &["deploy", "-y", &file]);
    let show = say(&home, &["exec", "app", "sh", "-c", "cat /app/word /app/page; ls /app"]);
    // A file that changes makes another image, and so another generation.
    let _page = home.write("app/page", "changed");
    let again = say(&home, &["deploy", "-y", &file]);
    let shown_again = say(&home, &["exec", "app", "cat", "/app/page"]);
    let broken = home.write("app/Dockerfile", "FROM wharf-test:1\nRUN exit 9\n");
    let refused = say(&home, &["deploy", "-y", &file]);
    assert!(broken.exists());
    let elsewhere =
        Said::by(wharf(&home).args(["--addr", "127.0.0.1:1", "deploy", "-y", &file]), "");
    let _stopped = say(&home, &["dev", "stop"]).good();
    let images = Docker::default().run(&["images", "-q", &format!("{project}-app")]);
    let _removed =
        Docker::default().try_run(&["rmi", "-f", images.lines().next().unwrap_or("none")]);
    assert!(told.good().contains("building"));
    assert_eq!(show.good(), "hello\nwelcomeDockerfile\npage\nword\n");
    let again = again.good();
    assert!(again.contains("generation 2"), "{again}");
    assert_eq!(shown_again.good(), "changed");
    let refused = refused.bad(1);
    assert!(refused.contains("returned a non-zero code: 9"), "{refused}");
    let elsewhere = elsewhere.bad(1);
    assert!(elsewhere.contains("docker push"), "{elsewhere}");
}
