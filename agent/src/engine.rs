//! Keeps a connection to the engine, and tells the loop when to look.

use std::time::Duration;

use agent_core::action::Fault;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::firewall::Firewall;
use crate::runtime::{Docker, Engine, Happened, Settings};

/// An engine that is away is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// What is heard of the engine.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It answers: everything is to be listed.
    Up(Docker, Box<Engine>),
    /// Something happened to this container.
    Event(Happened),
    /// It can not be asked.
    Down(String),
}

/// Connects, follows what happens, and connects again, for as long as somebody listens.
pub(crate) async fn watch(settings: Settings, firewall: Firewall, heard: mpsc::Sender<Heard>) {
    while !heard.is_closed() {
        let why = match connect(&settings).await {
            Ok((docker, engine)) => {
                // Before anything is started there.
                firewall.look().await;
                let mut events = docker.events();
                if heard.send(Heard::Up(docker, Box::new(engine))).await.is_err() {
                    return;
                }
                follow(&mut events, &heard).await
            }
            Err(why) => why,
        };
        if heard.send(Heard::Down(why)).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = heard.closed() => return,
        }
    }
}

async fn connect(settings: &Settings) -> Result<(Docker, Engine), String> {
    let docker = Docker::connect(settings).await.map_err(|error| error.to_string())?;
    let engine = docker.about().await.map_err(|fault| fault.message)?;
    Ok((docker, engine))
}

/// Returns why the stream of events ended.
async fn follow(
    events: &mut (impl futures_util::Stream<Item = Result<Happened, Fault>> + Unpin),
    heard: &mpsc::Sender<Heard>,
) -> String {
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = heard.closed() => return String::new(),
        };
        match event {
            Some(Ok(happened)) => {
                if heard.send(Heard::Event(happened)).await.is_err() {
                    return String::new();
                }
            }
            Some(Err(fault)) => return fault.message,
            None => return "the engine closed the connection".to_owned(),
        }
    }
}
