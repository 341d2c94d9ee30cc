//! A registry of our own: Debian's `docker-registry` on a port of this machine, with its storage in a scratch folder.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::docker::IMAGE;
use crate::program::installed;
use crate::{Docker, Program, Said, Scratch, until};

/// It only has to read its configuration.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Who may use a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
}

/// A registry that is gone, with every image that came from it, at the end.
#[derive(Debug)]
pub struct Registry {
    scratch: Scratch,
    docker: Docker,
    port: u16,
    host: String,
    process: Option<Program>,
}

impl Registry {
    /// Starts one that lets everybody in.
    #[must_use]
    pub fn start(docker: &Docker) -> Self {
        Self::begin(docker, None)
    }

    /// Starts one that lets everybody in, also at this address of the machine.
    #[must_use]
    pub fn start_at(docker: &Docker, host: &str) -> Self {
        Self::listening(docker, host, None)
    }

    /// Starts one that asks for a password.
    #[must_use]
    pub fn with_login(docker: &Docker, login: Login) -> Self {
        Self::begin(docker, Some(login))
    }

    fn begin(docker: &Docker, login: Option<Login>) -> Self {
        Self::listening(docker, "127.0.0.1", login)
    }

    fn listening(docker: &Docker, host: &str, login: Option<Login>) -> Self {
        docker.need_image();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (scratch, host) = (Scratch::new(), host.to_owned());
        let mut registry = Self { scratch, docker: docker.clone(), port, host, process: None };
        registry.configure(login);
        registry.up();
        if let Some(login) = login {
            registry.log_in(login);
        }
        registry
    }

    fn configure(&self, login: Option<Login>) {
        let storage = self.storage();
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {storage:?}}}}}\n\
             http: {{addr: '{}:{}'}}\n",
            if self.is_local() { "127.0.0.1" } else { "0.0.0.0" },
            self.port
        );
        if let Some(Login { user, password }) = login {
            let htpasswd = installed("/usr/bin/htpasswd", "apache2-utils");
            let line = Said::by(Command::new(htpasswd).args(["-nbB", user, password]), "").good();
            let users = self.scratch.write("users", &line);
            text += &format!("auth: {{htpasswd: {{realm: wharf-test, path: {users:?}}}}}\n");
        }
        let _path = self.scratch.write("registry.yml", &text);
    }

    /// As `docker login` does it, into a folder of its own.
    fn log_in(&self, Login { user, password }: Login) {
        let config = self.docker_config().display().to_string();
        let mut command = Command::new("docker");
        command.args(["--config", &config, "login", "-u", user, "--password-stdin"]);
        let _logged_in = Said::by(command.arg(self.address()), password).good();
    }

    /// What images are named after: `localhost:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    fn is_local(&self) -> bool {
        self.host == "127.0.0.1"
    }

    /// What the same images are called by whoever is on another machine.
    #[must_use]
    pub fn outer_address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The folder of a `config.json` with the password, if there is one.
    #[must_use]
    pub fn docker_config(&self) -> PathBuf {
        self.scratch.path().join("login")
    }

    /// Its program; to be asked for before going where nothing can be installed.
    ///
    /// # Panics
    /// When it is missing and can not be installed.
    #[must_use]
    pub fn program() -> PathBuf {
        installed("/usr/bin/docker-registry", "docker-registry")
    }

    fn storage(&self) -> PathBuf {
        self.scratch.path().join("storage")
    }

    /// Starts it again, under the same address and with the same images, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn up(&mut self) {
        let folder = self.scratch.path();
        let mut command = Command::new(Self::program());
        command.arg("serve").arg(folder.join("registry.yml"));
        let log = folder.join("registry.log");
        let process = Program::start(&mut command, &log);
        until("the registry answers", START_TIMEOUT, || {
            ask(self.port).map_err(|error| format!("{error}\n{}", process.log()))
        });
        self.process = Some(process);
    }

    /// Ends it.
    pub fn down(&mut self) {
        self.process = None;
    }

    /// Has it forget every image.
    ///
    /// # Panics
    /// When its storage can not be removed.
    pub fn empty(&mut self) {
        self.down();
        fs::remove_dir_all(self.storage()).unwrap();
        self.up();
    }

    /// Makes an image that says `marker` in its environment, pushes it under `name:tag`, and removes it from the engine.
    /// Gives its digest.
    ///
    /// # Panics
    /// When it can not be made or pushed.
    #[must_use]
    pub fn push(&self, name: &str, marker: &str) -> String {
        let reference = format!("{}/{name}", self.address());
        let docker = &self.docker;
        let container = docker.run(&["create", IMAGE]);
        let marked = format!("ENV MARKER={marker}-{}", self.port);
        docker.run(&["commit", "-c", &marked, &container, &reference]);
        docker.run(&["rm", &container]);
        let config = self.docker_config().display().to_string();
        docker.run(&["--config", &config, "push", &reference]);
        let named = docker.run(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &reference]);
        docker.run(&["rmi", &reference]);
        let (_, digest) = named.split_once('@').expect("a pushed image has a digest");
        digest.to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let images = format!("reference={}/*", self.address());
        let found = self.docker.try_run(&["images", "-q", "--no-trunc", "--filter", &images]).out;
        for image in found.lines() {
            // Two names of one image are two lines: the second finds nothing.
            let _removed = self.docker.try_run(&["rmi", "-f", image]);
        }
    }
}

/// Says whether somebody answers at the port as a registry does.
fn ask(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_registry = answer.to_lowercase().contains("docker-distribution-api-version");
    is_registry.then_some(()).ok_or_else(|| std::io::Error::other(answer))
}
