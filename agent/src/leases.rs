//! Where tasks take leases: a socket for each that may, in a directory that its containers have mounted.
//!
//! The directory is mounted and not the socket, so that an agent which starts anew is found by containers that went on. What is
//! asked is only read here; the loop answers, after it has written down what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::lease::Lease;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::id::TaskId;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Where containers find the directory.
pub(crate) const MOUNTED_AT: &str = "/run/wharf";
/// Tells programs in containers where the socket is.
pub(crate) const VARIABLE: &str = "WHARF_LEASE_SOCKET";
const SOCKET: &str = "lease.sock";
/// Connections of one task at the same time. More wait in the queue of the socket.
const CONNECTIONS: usize = 8;
/// A connection on which nothing complete was asked by then is closed, and an answer is not waited for longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where containers find the socket.
pub(crate) fn socket_inside() -> String {
    format!("{MOUNTED_AT}/{SOCKET}")
}

/// The directory of a task below that of all leases.
pub(crate) fn directory(root: &Path, task: &TaskId) -> PathBuf {
    root.join(task.as_str())
}

/// What a task wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A lease for so long from now on.
    Take(Duration),
    /// To give it back.
    Release,
    /// To know how it is.
    Look,
}

/// What is said to a task.
#[derive(Debug)]
pub(crate) enum Answer {
    /// How it is now.
    Is(Lease),
    /// It gets none: it was told to stop.
    Stopping(Lease),
    /// It is longer than is allowed, or no time at all.
    TooLong(Lease),
    /// The task is over, or takes no leases any more.
    Over,
    /// It could not be written down.
    NotSafe,
}

/// A task that wants something, and where to say what came of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) task: TaskId,
    pub(crate) wish: Wish,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The sockets that are open.
#[derive(Debug)]
pub(crate) struct Sockets {
    root: PathBuf,
    asked: mpsc::Sender<Asked>,
    open: BTreeMap<TaskId, JoinHandle<()>>,
}

impl Sockets {
    pub(crate) fn new(root: PathBuf, asked: mpsc::Sender<Asked>) -> Self {
        Self { root, asked, open: BTreeMap::new() }
    }

    /// Below what the directories are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Opens a socket for each of these tasks, and removes those of others.
    pub(crate) fn update(&mut self, tasks: &BTreeSet<TaskId>) {
        let gone: Vec<TaskId> =
            self.open.keys().filter(|task| !tasks.contains(*task)).cloned().collect();
        for task in gone {
            self.open.remove(&task).into_iter().for_each(|serving| serving.abort());
            self.remove(&directory(&self.root, &task));
        }
        for task in tasks {
            if self.open.contains_key(task) {
                continue;
            }
            match listen(&directory(&self.root, task)) {
                Ok(listener) => {
                    let serving = tokio::spawn(serve(listener, task.clone(), self.asked.clone()));
                    self.open.insert(task.clone(), serving);
                }
                Err(error) => tracing::error!(
                    %task, %error,
                    "no socket for leases below {}: the task can take none until the agent can write there",
                    self.root.display()
                ),
            }
        }
    }

    /// Removes what an agent of before has left of tasks that are not there any more.
    pub(crate) fn sweep(&self, tasks: &BTreeSet<TaskId>) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !tasks.iter().any(|task| name.to_str() == Some(task.as_str())) {
                self.remove(&entry.path());
            }
        }
    }

    fn remove(&self, directory: &Path) {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "{} of a task that is gone stays", directory.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.open.values().for_each(JoinHandle::abort);
    }
}

/// The socket of one task. Whoever runs in its containers may ask, and nobody else has a way to it.
fn listen(directory: &Path) -> io::Result<UnixListener> {
    fs::create_dir_all(directory)?;
    if let Some(root) = directory.parent() {
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    let path = directory.join(SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The name of a socket has at most 107 bytes, and that of a task alone may have more.
    let folder = fs::File::open(directory)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let listener = UnixListener::bind(short)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn serve(listener: UnixListener, task: TaskId, asked: mpsc::Sender<Asked>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, task.clone(), asked.clone()));
                }
                Err(error) => {
                    tracing::warn!(%task, %error, "a connection for a lease was not taken");
                    // Too many open files, mostly: asked again at once it would be the same.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: UnixStream, task: TaskId, asked: mpsc::Sender<Asked>) {
    let answer = |request: Request<Incoming>| {
        let (task, asked) = (task.clone(), asked.clone());
        async move { Ok::<_, Infallible>(respond(&request, task, asked).await) }
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(16 << 10)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // Who hangs up does not want to know.
    drop(tokio::time::timeout(TIMEOUT * 2, serving).await);
}

async fn respond(
    request: &Request<Incoming>,
    task: TaskId,
    asked: mpsc::Sender<Asked>,
) -> Response<Full<Bytes>> {
    let wish = match read(request.method(), request.uri()) {
        Ok(wish) => wish,
        Err((status, why)) => return say(status, &serde_json::json!({ "error": why })),
    };
    let (reply, answer) = oneshot::channel();
    let asking = async {
        asked.send(Asked { task, wish, reply }).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(TIMEOUT, asking).await {
        Ok(Some(answer)) => show(&answer),
        Ok(None) | Err(_) => {
            let why = "the agent does not answer: ask again";
            say(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "error": why }))
        }
    }
}

/// Reads what is asked.
fn read(method: &Method, uri: &hyper::Uri) -> Result<Wish, (StatusCode, String)> {
    if uri.path() != "/lease" {
        let why = format!("{} is not here: ask for /lease", uri.path());
        return Err((StatusCode::NOT_FOUND, why));
    }
    match *method {
        Method::GET => Ok(Wish::Look),
        Method::DELETE => Ok(Wish::Release),
        Method::PUT => {
            let query = uri.query().unwrap_or_default();
            let wanted = query.split('&').find_map(|pair| pair.strip_prefix("for="));
            wanted.and_then(duration).map(Wish::Take).ok_or_else(|| {
                let why = "say for how long, as in PUT /lease?for=90s (or 5m, 1h)".to_owned();
                (StatusCode::BAD_REQUEST, why)
            })
        }
        _ => {
            let why = format!("{method} is nothing to do with a lease: GET, PUT or DELETE it");
            Err((StatusCode::METHOD_NOT_ALLOWED, why))
        }
    }
}

/// `90`, `90s`, `5m`, `1h`; not nothing.
fn duration(text: &str) -> Option<Duration> {
    let (digits, factor) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3_600),
        _ => (text, 1),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| digits.parse::<u64>().ok()?.checked_mul(factor))??;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn show(answer: &Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Is(lease) => say(StatusCode::OK, &describe(*lease)),
        Answer::Stopping(lease) => {
            let mut body = describe(*lease);
            body["error"] =
                "the task was told to stop and holds no lease: begin nothing new".into();
            say(StatusCode::CONFLICT, &body)
        }
        Answer::TooLong(lease) => {
            let mut body = describe(*lease);
            let longest = lease.longest.as_secs();
            body["error"] = format!("a lease of this task is for {longest} s at the most").into();
            say(StatusCode::UNPROCESSABLE_ENTITY, &body)
        }
        Answer::Over => say(StatusCode::GONE, &serde_json::json!({ "error": "the task is over" })),
        Answer::NotSafe => {
            let why = "the agent can not write it down: its disk may be full";
            say(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "error": why }))
        }
    }
}

fn describe(lease: Lease) -> serde_json::Value {
    serde_json::json!({
        "held_until": lease.until.map(|until| until.to_string()),
        "stopping": lease.is_stopping,
        "stopped_at_the_latest": lease.stops_at.map(|at| at.to_string()),
        "longest_seconds": lease.longest.as_secs(),
    })
}

fn say(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("1h"), Some(3_600));
        for text in ["", "0", "s", "-1", "1.5h", "5d", "+5", "9999999999999999999h", "ä"] {
            assert_eq!(seconds(text), None, "{text:?} was taken");
        }
    }

    #[test]
    fn only_a_lease_can_be_asked_for() {
        let ask = |method: Method, uri: &str| read(&method, &uri.parse().unwrap());
        assert_eq!(ask(Method::GET, "/lease"), Ok(Wish::Look));
        assert_eq!(ask(Method::DELETE, "/lease"), Ok(Wish::Release));
        let five = Wish::Take(Duration::from_secs(300));
        assert_eq!(ask(Method::PUT, "http://wharf/lease?x=1&for=5m"), Ok(five));
        let refused = |method, uri| ask(method, uri).unwrap_err().0;
        assert_eq!(refused(Method::PUT, "/lease"), StatusCode::BAD_REQUEST);
        assert_eq!(refused(Method::PUT, "/lease?for=soon"), StatusCode::BAD_REQUEST);
        assert_eq!(refused(Method::POST, "/lease"), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused(Method::GET, "/"), StatusCode::NOT_FOUND);
    }
}
