//! The book of all tasks against a map of them: whatever is written, both have the same in the same order.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use coordinator_core::cluster::{Change, Cluster};
use model::id::TaskId;
use model::task::Task;

use story::Story;

/// Numbers that repeat every time, which is all that is wanted of them (Park and Miller, 1988).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        self.0 % limit
    }
}

/// Mostly one of few neighbouring numbers; some share one, and some have none.
fn some_id(numbers: &mut Numbers) -> TaskId {
    let name = if numbers.below(10) == 0 { "shop.db.1" } else { "shop.web.1" };
    match numbers.below(20) {
        0 => format!("foreign-{}", numbers.below(3)).parse().unwrap(),
        1 => format!("{name}.{}", u64::MAX - numbers.below(3)).parse().unwrap(),
        _ => format!("{name}.{}", 1_000 + numbers.below(300)).parse().unwrap(),
    }
}

fn compare(cluster: &Cluster, known: &BTreeMap<TaskId, Arc<Task>>, asked: &TaskId) {
    let tasks = cluster.tasks();
    assert_eq!(tasks.len(), known.len());
    assert_eq!(tasks.is_empty(), known.is_empty());
    assert!(tasks.iter().eq(known.iter()), "not the same, or not in the same order");
    assert_eq!(tasks.get(asked), known.get(asked));
    assert_eq!(tasks.contains_key(asked), known.contains_key(asked));
    for from in [Bound::Included(asked), Bound::Excluded(asked), Bound::Unbounded] {
        let rest = known.range::<TaskId, _>((from, Bound::Unbounded)).map(|(_, task)| task);
        assert!(tasks.range(from).eq(rest), "not the same from {from:?} on");
    }
}

#[test]
fn all_tasks_are_found_by_id_and_given_in_its_order() {
    let mut story = Story::new(&[("a", "z")]);
    story.run("mail/front", 1);
    let like = story.cluster.tasks().values().next().unwrap().clone();
    let (mut cluster, mut known) = (Cluster::default(), BTreeMap::new());
    let mut numbers = Numbers(2_026);
    for round in 0..4_000_u32 {
        let id = some_id(&mut numbers);
        // It fills up, and then empties itself.
        let is_added = numbers.below(100) < if round < 2_000 { 80 } else { 20 };
        if is_added {
            let task = Arc::new(Task { id: id.clone(), restarts: round, ..(*like).clone() });
            cluster.apply(&Change::PutTask(Arc::clone(&task)));
            known.insert(id.clone(), task);
        } else {
            cluster.apply(&Change::RemoveTask(id.clone()));
            known.remove(&id);
        }
        compare(&cluster, &known, &id);
    }
    for id in known.keys().cloned().collect::<Vec<_>>() {
        cluster.apply(&Change::RemoveTask(id.clone()));
        known.remove(&id);
        compare(&cluster, &known, &id);
    }
}
