//! Leases: what tasks ask of the loop, and what it answers once that is on the disk.

use std::collections::BTreeSet;

use agent_core::event::Event;
use agent_core::lease::Ask;
use model::id::TaskId;
use model::time::Timestamp;

use super::Agent;
use crate::leases::{Answer, Asked, Wish};
use crate::report::Extent;

impl Agent {
    /// Takes in what a task wants of its lease, and what it is to be compared with afterwards.
    pub(super) fn take_wish(&mut self, asked: Asked) -> Option<Event> {
        let (task, now) = (asked.task.clone(), self.clock.now());
        let (until, ask) = match asked.wish {
            Wish::Take(time) => {
                let until = now + time;
                (Some(until), Some(Ask::Take { until }))
            }
            Wish::Release => (None, Some(Ask::Release)),
            Wish::Look => (None, None),
        };
        self.asking.push((asked, until));
        ask.map(|ask| Event::Lease { task, ask })
    }

    /// Says what came of it. A lease counts only when it is on the disk.
    pub(super) fn answer_wishes(&mut self, is_safe: bool) {
        for (asked, until) in std::mem::take(&mut self.asking) {
            let answer = if is_safe { self.answer(&asked, until) } else { Answer::NotSafe };
            // Who has hung up does not want to know.
            drop(asked.reply.send(answer));
        }
    }

    fn answer(&self, asked: &Asked, until: Option<Timestamp>) -> Answer {
        let Some(lease) = self.workload.lease(&asked.task) else { return Answer::Over };
        match asked.wish {
            Wish::Look | Wish::Release => Answer::Is(lease),
            Wish::Take(_) if lease.until == until => Answer::Is(lease),
            Wish::Take(time) if time > lease.longest => Answer::TooLong(lease),
            Wish::Take(_) => Answer::Stopping(lease),
        }
    }

    /// Has a socket for each task that may take leases, before its containers are made. At the beginning also what
    /// an agent of before has left is looked at.
    pub(super) fn open_sockets(&mut self, extent: Extent) {
        let tasks = self.workload.assignments().map(|one| &one.task);
        let takers = tasks.filter(|task| self.workload.lease(task).is_some());
        let tasks: BTreeSet<TaskId> = takers.cloned().collect();
        if extent == Extent::Everything {
            self.sockets.sweep(&tasks);
        }
        self.sockets.update(&tasks);
    }
}
