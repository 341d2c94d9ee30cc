//! What the loop does for the record of who did what: an act is written with the change that it is of, or alone.

use std::sync::Arc;

use coordinator_core::Step;
use coordinator_core::trust;
use model::audit::Act;
use proto::wire;
use tokio::sync::oneshot;

use super::{Door, Input, Loop, Reading, Recorded, RunError};
use crate::audit::Watched;
use crate::store::StoreError;

impl Door {
    /// Puts something on the record, and waits until it is.
    ///
    /// # Errors
    /// When it is not: then it must not be done.
    pub(crate) async fn record(&self, act: Act) -> Result<(), RunError> {
        let (sender, receiver) = oneshot::channel();
        self.push(Input::Act(Box::new(Recorded { act, reply: Some(sender) })))?;
        receiver.await.unwrap_or(Err(RunError::Stopped))
    }

    /// Puts something on the record that nobody waits for.
    pub(crate) fn tell_act(&self, act: Act) {
        if let Err(error) = self.push(Input::Act(Box::new(Recorded { act, reply: None }))) {
            tracing::warn!(%error, "something is not on the record that was refused");
        }
    }

    /// Reads some of the record, after this number.
    ///
    /// # Errors
    /// When the store can not be read.
    pub(crate) async fn audit(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<wire::AuditPage, RunError> {
        let (reply, receiver) = oneshot::channel();
        self.push(Input::Read(Reading { after, limit, reply }))?;
        receiver.await.unwrap_or(Err(RunError::Stopped))
    }
}

impl Loop {
    /// Adds what has been refused often enough, or for the last time.
    pub(super) fn with_refusals(&self, mut recorded: Vec<Recorded>, stops: bool) -> Vec<Recorded> {
        let refused = if stops { self.refusals.drain() } else { self.refusals.due(::trust::now()) };
        recorded.extend(refused.into_iter().map(|act| Recorded { act, reply: None }));
        recorded
    }

    /// Writes a step, who asked for it, and what else is to be on the record: all of it or nothing.
    pub(super) fn commit(
        &mut self,
        done: &Step,
        watched: &[Option<Watched>],
        recorded: Vec<Recorded>,
    ) -> Result<(), StoreError> {
        let acts = watched.iter().zip(&done.replies);
        let acts = acts.filter_map(|(one, reply)| one.as_ref()?.act(reply, &self.cluster));
        let mut acts: Vec<Act> = acts.collect();
        let mut waiting = Vec::new();
        for Recorded { act, reply } in recorded {
            acts.push(act);
            waiting.extend(reply);
        }
        let written = self.write(done, &acts).map_err(Arc::new);
        for reply in waiting {
            // Who asked may have gone.
            drop(reply.send(written.clone().map_err(RunError::Store)));
        }
        written.map_err(|error| {
            tracing::error!(%error, acts = acts.len(), "the store did not take a write");
            // Nobody else has it once they have been answered, or they have given up.
            Arc::try_unwrap(error).unwrap_or_else(|error| StoreError::Failed {
                path: self.store.describe(),
                why: error.to_string(),
            })
        })
    }

    fn write(&mut self, done: &Step, acts: &[Act]) -> Result<(), StoreError> {
        if done.changes.is_empty() && acts.is_empty() {
            return Ok(());
        }
        let draft = self.log.draft(&mut *self.store, acts)?;
        self.store.commit(&done.changes, draft.records())?;
        self.log.keep(&draft);
        Ok(())
    }

    /// Writes changes about who is let in, and who asked for them: all of it or nothing.
    pub(super) fn commit_trust(
        &mut self,
        changes: &[trust::Change],
        acts: &[Act],
    ) -> Result<(), StoreError> {
        if changes.is_empty() && acts.is_empty() {
            return Ok(());
        }
        let draft = self.log.draft(&mut *self.store, acts)?;
        self.store.commit_trust(changes, draft.records())?;
        self.log.keep(&draft);
        Ok(())
    }

    /// Answers those who read the record.
    pub(super) fn read(&mut self, readings: Vec<Reading>) {
        for Reading { after, limit, reply } in readings {
            let page = self.log.page(&mut *self.store, after, limit);
            let page = page.map_err(|error| RunError::Store(Arc::new(error)));
            // Who reads may have gone.
            drop(reply.send(page));
        }
    }
}
