//! The engine's socket without bollard: for streams that bollard buffers or misreads, and for fields that it lacks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::ask::{Trouble, chain};
use super::connect::Api;

/// The longest answer that is read as a whole, in bytes: what we ask this way is answered with a few hundred.
const ANSWER_LIMIT: usize = 1 << 20;

/// Makes one connection per request, as bollard does: the engine closes idle ones as it likes.
#[derive(Debug)]
pub(super) struct Wire {
    socket: PathBuf,
    api: Arc<Api>,
}

/// The beginning of an answer, with the task that reads the rest of it.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response<Incoming>,
    connection: JoinSet<()>,
}

/// A connection that now belongs to a program in a container.
pub(super) type Line = TokioIo<Upgraded>;

impl Wire {
    pub(super) const fn new(socket: PathBuf, api: Arc<Api>) -> Self {
        Self { socket, api }
    }

    /// Posts JSON and reads the short answer.
    pub(super) async fn post(
        &self,
        limit: Duration,
        path: &str,
        body: &Value,
    ) -> Result<Value, Trouble> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::from(body.to_string())).map_err(|error| broken(&error))?;
        within(limit, async {
            let text = self.send(request).await?.text().await?;
            Ok(serde_json::from_slice(&text).unwrap_or_default())
        })
        .await
    }

    /// Begins to read a stream.
    pub(super) async fn get(&self, limit: Duration, path: &str) -> Result<Answer, Trouble> {
        let request = self.request(Method::GET, path);
        let request = request.body(Full::default()).map_err(|error| broken(&error))?;
        within(limit, self.send(request)).await
    }

    /// Posts JSON and takes over the connection.
    pub(super) async fn upgrade(
        &self,
        limit: Duration,
        path: &str,
        body: &Value,
    ) -> Result<Line, Trouble> {
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp");
        let request = request.body(Full::from(body.to_string())).map_err(|error| broken(&error))?;
        within(limit, async {
            let mut answer = self.send(request).await?;
            let upgraded = hyper::upgrade::on(&mut answer.response).await;
            upgraded.map(TokioIo::new).map_err(|error| broken(&error))
        })
        .await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let path = format!("/v1.{}{path}", self.api.minor());
        Request::builder().method(method).uri(path).header(HOST, "docker")
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        let socket = UnixStream::connect(&self.socket).await.map_err(|error| broken(&error))?;
        let (mut sender, driver) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| broken(&error))?;
        let mut connection = JoinSet::new();
        // Its end shows in the response; there is nothing more to learn from it.
        connection.spawn(async move { drop(driver.with_upgrades().await) });
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Answer { response, connection }.check().await
    }
}

impl Answer {
    async fn check(self) -> Result<Self, Trouble> {
        let status = self.response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self);
        }
        let text = self.text().await?;
        let told = serde_json::from_slice::<Value>(&text).ok();
        let told = told.and_then(|told| told.get("message")?.as_str().map(str::to_owned));
        let message = told.unwrap_or_else(|| String::from_utf8_lossy(&text).into_owned());
        Err(Trouble::Answer { status: status.as_u16(), message })
    }

    async fn text(self) -> Result<Bytes, Trouble> {
        let body = Limited::new(self.response.into_body(), ANSWER_LIMIT);
        let collected = body.collect().await;
        collected.map(http_body_util::Collected::to_bytes).map_err(|error| broken(&*error))
    }

    /// The bytes as they come. Dropping the stream closes the connection.
    pub(super) fn bytes(self) -> impl Stream<Item = Result<Bytes, Trouble>> + Send + use<> {
        let body = http_body_util::BodyDataStream::new(self.response.into_body());
        stream::unfold((body, self.connection), |(mut body, connection)| async move {
            let piece = body.next().await?;
            Some((piece.map_err(|error| broken(&error)), (body, connection)))
        })
    }
}

async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(Trouble::late(limit)))
}

fn broken(error: &dyn std::error::Error) -> Trouble {
    Trouble::Silence(chain(error))
}
