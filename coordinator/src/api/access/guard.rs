//! Stands before every service of a server: finds out who calls, asks the table, and sees to it that what is refused is on
//! the record, wherever it was refused.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use coordinator_core::trust::Ledger;
use model::audit::Verdict;
use proto::{REASON, REQUEST};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use trust::digest::random;
use trust::{Peer, Who};

use super::{Caller, Needs, TABLE, decide};
use crate::audit::{By, Watch};
use crate::ledgers::Ledgers;

/// A request id that somebody else has chosen is no longer than this.
const REQUEST_LIMIT: usize = 64;

/// Stands before every service of a server.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) ledgers: Arc<Ledgers>,
    pub(crate) watch: Watch,
}

impl<S> tower_layer::Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, access: self.clone() }
    }
}

/// A service behind the table.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    access: Access,
}

impl<S> tower_service::Service<http::Request<Body>> for Guarded<S>
where
    S: tower_service::Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            let status = Status::permission_denied("it is not known who calls");
            return Box::pin(std::future::ready(Ok(status.into_http())));
        };
        let path = request.uri().path();
        let (decided, who) = {
            let ledger = self.access.ledgers.read();
            (decide(path, &peer, &ledger), who(&peer, &ledger))
        };
        let needs = TABLE.iter().find(|(known, _)| *known == path).map(|(_, needs)| *needs);
        let is_change = needs.is_some_and(|needs| is_change(path, needs));
        let by = by(request.headers(), (who, &peer), path);
        let watch = self.access.watch.clone();
        match decided {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(by.clone());
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let answer = answer.await?;
                    if let Some(status) = Status::from_header_map(answer.headers()) {
                        note(&watch, &by, &status, is_change);
                    }
                    Ok(answer)
                })
            }
            Err(status) => {
                let (from, why) = (&peer.address, status.message());
                tracing::warn!(from = %from, why, request = by.request, "a call is refused");
                note(&watch, &by, &status, is_change);
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

/// Whether a call that fails has tried to change something.
fn is_change(path: &str, needs: Needs) -> bool {
    match needs {
        Needs::Nothing => path.ends_with("/Join"),
        Needs::Change | Needs::Operate => true,
        Needs::Administer => !path.contains("/List") && !path.ends_with("/Audit"),
        Needs::Node => path.ends_with("/Renew"),
        Needs::Look => false,
    }
}

fn note(watch: &Watch, by: &By, status: &Status, is_change: bool) {
    let verdict = match status.code() {
        Code::Ok => return,
        Code::PermissionDenied | Code::Unauthenticated => Verdict::Denied,
        _ if is_change => Verdict::Refused,
        _ => return,
    };
    watch.note(by.act(Vec::new(), verdict, status.message()));
}

/// Who it is, whatever they may; of somebody whose certificate does not count, who it is for.
fn who(peer: &Peer, ledger: &Ledger) -> String {
    match (Caller::of(peer, ledger), &peer.who) {
        (Ok(caller), _) => caller.to_string(),
        (Err(_), Who::Certified(certificate)) => certificate.name.to_string(),
        (Err(_), Who::Stranger | Who::Local { .. } | Who::Unprotected) => "nobody".to_owned(),
    }
}

fn by(headers: &http::HeaderMap, (who, peer): (String, &Peer), path: &str) -> By {
    let given = headers.get(REQUEST).and_then(|given| given.to_str().ok());
    let is_plain = |given: &&str| {
        (1..=REQUEST_LIMIT).contains(&given.len())
            && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let request = given.filter(is_plain).map_or_else(draw, str::to_owned);
    // Hardly any call has one, and those of agents never.
    let why = if headers.contains_key(REASON) { reason(headers) } else { String::new() };
    By { who, from: peer.address.to_string(), what: verb(path), why, request }
}

fn reason(headers: &http::HeaderMap) -> String {
    let headers = MetadataMap::from_headers(headers.clone());
    let why = headers.get_bin(REASON).and_then(|why| why.to_bytes().ok());
    why.map(|why| String::from_utf8_lossy(&why).into_owned()).unwrap_or_default()
}

fn draw() -> String {
    random::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `CreateToken` as people write it: `create-token`.
fn verb(path: &str) -> String {
    let (_, call) = path.rsplit_once('/').unwrap_or_default();
    let mut verb = String::new();
    for c in call.chars() {
        if c.is_ascii_uppercase() && !verb.is_empty() {
            verb.push('-');
        }
        verb.push(c.to_ascii_lowercase());
    }
    verb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(given: &[(&'static str, &'static str)]) -> By {
        let mut headers = http::HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, http::HeaderValue::from_static(value));
        }
        let peer = Peer { who: Who::Unprotected, address: "127.0.0.1:9".into() };
        by(&headers, ("kim".to_owned(), &peer), "/wharf.v1.Trust/CreateToken")
    }

    #[test]
    fn a_call_is_written_down_as_people_say_it() {
        let by = written(&[("wharf-request", "build-7.1"), ("wharf-reason-bin", "dGlja2V0IDc")]);
        assert_eq!((by.what.as_str(), by.request.as_str()), ("create-token", "build-7.1"));
        assert_eq!(by.why, "ticket 7");
    }

    #[test]
    fn a_request_that_nobody_or_somebody_strange_has_named_gets_a_name() {
        for wrong in [&[][..], &[("wharf-request", "a b")], &[("wharf-request", "")]] {
            let by = written(wrong);
            assert_eq!(by.request.len(), 16, "{by:?}");
            assert_ne!(by.request, written(wrong).request);
            assert_eq!(by.why, "");
        }
        assert_eq!(written(&[("wharf-reason-bin", "%%%")]).why, "");
    }
}
