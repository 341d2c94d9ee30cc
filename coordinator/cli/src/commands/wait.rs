//! Waiting for services to come to rest, and telling how it goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::wire;

use crate::args::Waiting;
use crate::client::Client;
use crate::exit::{Exit, Failure, from_status};
use crate::json;
use crate::output::clean;

/// How often the services are looked at. What happens in between is told as it happens.
const LOOK: Duration = Duration::from_millis(200);

/// What is waited for: the generation that each service is to come to rest at.
pub(crate) type Wanted = BTreeMap<(String, String), u64>;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Each service runs what it should.
    Settled,
    /// These go on only when an operator says so: what each waits for.
    Held(Vec<String>),
    /// Some went back, or stopped because their tasks failed: which, and why.
    RolledBack(Vec<String>),
    /// Time is up, and tasks of these find no node.
    NotPlaced(Vec<String>),
    /// Time is up, and these are still on their way.
    TimedOut(Vec<String>),
    /// The person had enough.
    Interrupted,
}

/// Waits as the operator said, tells what happens, and gives the exit code.
pub(crate) async fn report(
    client: &Client,
    wanted: &Wanted,
    waiting: &Waiting,
) -> anyhow::Result<Exit> {
    if waiting.detach {
        return Ok(Exit::Done);
    }
    let telling = tokio::spawn(tell(client.clone(), wanted.clone()));
    let outcome = until_settled(client, wanted, waiting.timeout).await;
    telling.abort();
    let (exit, message, hint) = match outcome? {
        Outcome::Settled => {
            println!("done");
            return Ok(Exit::Done);
        }
        Outcome::Held(notes) => {
            notes.iter().for_each(|note| println!("{note}"));
            return Ok(Exit::Done);
        }
        Outcome::Interrupted => {
            println!("it goes on without you: `wharf rollout status` waits for it again");
            return Ok(Exit::Done);
        }
        Outcome::RolledBack(reasons) => {
            let hint =
                "`wharf service history` and `wharf explain` say why, `wharf logs` what it wrote";
            (Exit::RolledBack, reasons.join("; "), hint)
        }
        Outcome::NotPlaced(services) => {
            let message = format!("no node has room for all tasks of {}", services.join(", "));
            (Exit::NotPlaced, message, "`wharf explain` says what each node lacks")
        }
        Outcome::TimedOut(services) => {
            let message = format!("not done in time, and still going on: {}", services.join(", "));
            (Exit::TimedOut, message, "`wharf events -f` shows how it goes on")
        }
    };
    Err(Failure::error(exit, message, hint))
}

/// Waits until each service has come to rest, one way or the other.
pub(crate) async fn until_settled(
    client: &Client,
    wanted: &Wanted,
    timeout: Duration,
) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + timeout;
    loop {
        let views = client.services("").await?;
        let (mut failed, mut moving, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        let mut held = Vec::new();
        for (id, number) in wanted {
            let name = format!("{}/{}", id.0, id.1);
            match look(&views, id, *number) {
                State::There => {}
                State::Failed(why) => failed.push(format!("{name} {why}")),
                State::Held(why) => held.push(format!("{name} {why}")),
                State::NotPlaced => waiting.push(name),
                State::Moving => moving.push(name),
            }
        }
        if moving.is_empty() && waiting.is_empty() {
            return Ok(match (failed.is_empty(), held.is_empty()) {
                (false, _) => Outcome::RolledBack(failed),
                (true, false) => Outcome::Held(held),
                (true, true) => Outcome::Settled,
            });
        }
        if Instant::now() >= deadline {
            return Ok(if waiting.is_empty() {
                Outcome::TimedOut(moving)
            } else {
                Outcome::NotPlaced(waiting)
            });
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(Outcome::Interrupted);
            }
        }
    }
}

enum State {
    There,
    Moving,
    NotPlaced,
    Held(String),
    Failed(String),
}

fn look(views: &[wire::ServiceView], id: &(String, String), number: u64) -> State {
    let known = views.iter().find_map(|view| {
        let service = view.service.as_ref()?;
        let target = service.target.as_ref()?;
        let spec = target.spec.as_ref()?;
        (spec.project == id.0 && spec.name == id.1).then_some((view, service, target))
    });
    // Generation 0 stands for a service that is to be gone.
    let removed = || State::Failed("was removed".to_owned());
    let Some((view, service, target)) = known else {
        return if number == 0 { State::There } else { removed() };
    };
    let is_ours = target.number <= number;
    match json::phase(service) {
        _ if number == 0 => State::Moving,
        "halted" => State::Failed(format!("is halted: {}", view.notes.join("; "))),
        "steady" if is_ours => State::There,
        "removing" => removed(),
        _ if !is_ours && target.origin() == wire::Origin::RolledBack => {
            let back = target.rolled_back_to;
            State::Failed(format!(
                "was rolled back: generation {number} failed, {back} is restored"
            ))
        }
        _ if !is_ours => State::There,
        _ if view.rollout.is_some_and(|rollout| rollout.held) || is_switched(service) => {
            State::Held(view.notes.join("; "))
        }
        _ if view.notes.iter().any(|note| note.contains("waits: ")) => State::NotPlaced,
        _ => State::Moving,
    }
}

/// Says whether the new tasks have all requests, and the old ones are only kept.
fn is_switched(service: &wire::Service) -> bool {
    let Some(wire::service::Phase::Rolling(rolling)) = &service.phase else { return false };
    matches!(rolling.stage, Some(wire::rolling::Stage::KeepingSinceMs(_)))
}

/// Prints what happens to the services that are waited for.
pub(super) async fn tell(client: Client, wanted: Wanted) -> anyhow::Result<()> {
    let request =
        wire::EventsRequest { follow: true, tail: Some(0), ..wire::EventsRequest::default() };
    let stream =
        client.control.clone().events(request).await.map_err(|status| from_status(&status))?;
    let mut stream = stream.into_inner();
    while let Some(happened) = stream.message().await? {
        if wanted.contains_key(&(happened.project.clone(), happened.service.clone())) {
            println!("{} {}", clean(&happened.id), clean(&happened.message));
        }
    }
    Ok(())
}
