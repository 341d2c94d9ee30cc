//! What happens to our containers, as wake-ups: what is true is then looked up.

use std::time::{Duration, SystemTime};

use agent_core::action::Fault;
use agent_core::observed::Sign;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::{Stream, StreamExt, future, stream};

use super::ask::Trouble;
use super::{Docker, label};

/// Events before the call that are told again, so that nothing falls between a list and this stream. The engine
/// remembers the last 256.
const OVERLAP: Duration = Duration::from_secs(1);

/// What is worth looking at a container for; checks that run commands make three more events each time.
const WAKING: &[&str] =
    &["start", "restart", "die", "oom", "pause", "unpause", "stop", "destroy", "health_status"];

/// Something happened to a container of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The engine's id.
    pub id: String,
    /// What.
    pub sign: Sign,
}

/// Reads an event of the engine by what every version tells: 29 leaves out `id`, `status` and `from`.
fn happened(event: EventMessage) -> Option<Happened> {
    let sign = sign(event.action.as_deref());
    event.actor?.id.map(|id| Happened { id, sign })
}

fn sign(action: Option<&str>) -> Sign {
    match action {
        Some("start") => Sign::Started,
        Some("die" | "stop") => Sign::Ended,
        Some("destroy") => Sign::Removed,
        _ => Sign::Other,
    }
}

impl Docker {
    /// Tells the id of each container of our cluster and node to which something happened since this call.
    ///
    /// It may be polled after a [`Docker::list`] that began later, and nothing is missed. The stream ends after the
    /// first error: the caller lists again and asks anew.
    pub fn events(&self) -> impl Stream<Item = Result<Happened, Fault>> + Send + Unpin + use<> {
        let settings = self.settings();
        let mut filters = label::of_node(&settings.cluster, &settings.node);
        filters.insert("type".into(), vec!["container".into()]);
        filters.insert("event".into(), WAKING.iter().map(|word| (*word).to_owned()).collect());
        let options = EventsOptions { since: Some(since()), filters: Some(filters), until: None };
        let events = self.client().events(Some(options));
        let ids = events.filter_map(|event| {
            future::ready(match event {
                Ok(event) => happened(event).map(Ok),
                Err(error) => {
                    Some(Err(Trouble::from(error).into_fault("tell what happens to containers")))
                }
            })
        });
        Box::pin(until_error(ids))
    }
}

fn until_error<T, E>(
    items: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> impl Stream<Item = Result<T, E>> + Send {
    let items = items.boxed();
    stream::unfold(Some(items), |items| async move {
        let mut items = items?;
        let item = items.next().await?;
        let rest = item.is_ok().then_some(items);
        Some((item, rest))
    })
}

fn since() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(OVERLAP).as_secs().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_api_1_52_is_read_without_the_fields_that_it_lacks() {
        let told = r#"{"Type":"container","Action":"die","Actor":{"ID":"9fde54c019a7","Attributes":
            {"exitCode":"137","image":"wharf-test:1","name":"aaa"}},"scope":"local","time":1795545087,
            "timeNano":1795545087345634699}"#;
        let event = serde_json::from_str(told).unwrap();
        assert_eq!(
            happened(event),
            Some(Happened { id: "9fde54c019a7".into(), sign: Sign::Ended })
        );
    }
}
