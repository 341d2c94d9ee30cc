//! Whether new machines are worse than the old: judged by the containers on them, of which the same digests run on both.
//!
//! What is seen at once is a machine that never became a node, or one that fell silent. What shows in numbers is put to a
//! sequential probability ratio test (A. Wald, Sequential Tests of Statistical Hypotheses, 1945): after each look it is said
//! how much more likely the numbers are if the machines are bad than if they are like the others, and it is enough when one
//! verdict in a hundred would be wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, ServiceId};
use model::refresh::RootPhase;
use model::task::{DesiredState, FailureKind, Health, Task, TaskState};
use model::time::Timestamp;

use super::scene::{Member, Scene};
use crate::cluster::{Cluster, UNREACHABLE_AFTER};

/// Thousandths of a bit: likelihoods are added up in them.
const BIT: i64 = 1_000;
/// A good machine is taken for bad once in a hundred verdicts, a bad one for good once in ten: log2(0.9 / 0.01).
const ENOUGH: i64 = 6_492;
/// On bad machines tasks fail so many times as often.
const WORSE: u64 = 10;
/// A task that takes so many times as long to serve as is usual elsewhere, and so much longer, is slow.
const SLOWER: u32 = 3;
const MARGIN: Duration = Duration::from_secs(10);
/// Of 100 tasks 5 are slow on a good machine, and 80 on a bad one: log2(80/5) for one that is, log2(20/95) for one that is not.
const SLOW: i64 = 4 * BIT;
const NOT_SLOW: i64 = -2_248;
/// One in so many machines may fail to become a node once others have.
const JOIN_FAILURES: usize = 10;

/// Says what speaks against the new machines, once it is enough.
pub(crate) fn suspicion(cluster: &Cluster, scene: &Scene<'_>, now: Timestamp) -> Option<String> {
    of_machines(cluster, scene, now).or_else(|| of_tasks(cluster, scene, now))
}

fn of_machines(cluster: &Cluster, scene: &Scene<'_>, now: Timestamp) -> Option<String> {
    // One that boots from another root volume is silent for a while.
    let boots = |id: &NodeId| {
        let root = scene.refresh.roots.get(id);
        root.is_some_and(|root| root.phase != RootPhase::Joined)
    };
    let new = || {
        let new = scene.members.iter().filter(|member| member.is_new);
        new.filter(|member| !boots(&member.instance.id))
    };
    let ready = new().filter(|member| member.is_ready).count();
    let borne = if ready == 0 { 0 } else { (ready / JOIN_FAILURES).max(1) };
    let failed = scene.refresh.failed.len();
    if failed > borne {
        let which = scene.refresh.failed.iter().next_back();
        let which = which.map(ToString::to_string).unwrap_or_default();
        return Some(format!(
            "{failed} of its machines never became nodes, {which} the last: `wharf pool inspect` and the console output of the machine say more"
        ));
    }
    let is_silent = |member: &&Member<'_>| {
        let heard = member.node.and_then(|node| cluster.sighting(&node.id));
        heard.is_some_and(|seen| now.since(seen.at) >= UNREACHABLE_AFTER)
    };
    // When others are silent too it is not the machines.
    let others = scene.members.iter().filter(|member| !member.is_new).any(|one| is_silent(&one));
    let silent = new().filter(is_silent).count();
    (silent > borne && !others).then(|| format!("{silent} of its machines fell silent"))
}

/// What was seen of the tasks of one template, on new machines or on others.
#[derive(Debug, Default)]
struct Sample<'a> {
    failures: u64,
    seconds: u64,
    /// How long each took to serve.
    starts: Vec<Duration>,
    /// Those that do not serve yet, and how long that takes by now.
    starting: Vec<(&'a Task, Duration)>,
}

fn of_tasks(cluster: &Cluster, scene: &Scene<'_>, now: Timestamp) -> Option<String> {
    let new = scene.members.iter().filter(|member| member.is_new);
    let new: BTreeSet<&NodeId> = new.map(|member| &member.instance.id).collect();
    let templates: BTreeSet<(&ServiceId, u64)> = new
        .iter()
        .flat_map(|node| cluster.tasks_on(node))
        .map(|task| (&task.service, task.generation.template))
        .collect();
    let (mut failing, mut slow, mut worst) = (0, 0, None::<(i64, String)>);
    for (service, template) in &templates {
        let tasks = cluster.tasks_of(service).filter(|task| task.generation.template == *template);
        let (mut here, mut there) = (Sample::default(), Sample::default());
        for task in tasks {
            let is_here = task.node.as_ref().is_some_and(|node| new.contains(node));
            if is_here { here.count(task, now) } else { there.count(task, now) }
        }
        let evidence = failing_more(&here, &there);
        failing += evidence;
        if worst.as_ref().is_none_or(|(most, _)| *most < evidence) {
            worst = Some((evidence, told(service, &here, &there)));
        }
        slow += slower(&here, &there);
    }
    // Of many services one looks bad by chance.
    let many = log2(templates.len().max(1) as u64, 1);
    if let Some((evidence, told)) = worst
        && (evidence >= ENOUGH + many || failing >= ENOUGH)
    {
        return Some(told);
    }
    (slow >= ENOUGH).then(|| {
        format!("tasks take more than {SLOWER} times as long to serve as on the other machines")
    })
}

fn told(service: &ServiceId, here: &Sample<'_>, there: &Sample<'_>) -> String {
    format!(
        "{service} failed {} times in {} s of running on the new machines, and {} times in {} s on the others",
        here.failures, here.seconds, there.failures, there.seconds
    )
}

impl<'a> Sample<'a> {
    fn count(&mut self, task: &'a Arc<Task>, now: Timestamp) {
        let Some(since) = task.clock_since else { return };
        let until = task.ended_at.unwrap_or(now);
        self.seconds += until.since(since).as_secs();
        self.failures += u64::from(task.restarts) + u64::from(has_failed(task));
        if task.restarts > 0 || task.state.is_final() {
            return;
        }
        match task.up_since() {
            Some(at) => self.starts.push(at.since(since)),
            None => self.starting.push((task, now.since(since))),
        }
    }
}

/// What was told to stop fails on the way now and then, and nobody minds.
fn has_failed(task: &Task) -> bool {
    match &task.state {
        _ if matches!(task.desired, DesiredState::Stop { cause, .. } if cause.is_intended()) => {
            false
        }
        TaskState::Failed { kind: FailureKind::Application | FailureKind::Host, .. }
        | TaskState::Running { health: Health::Unhealthy, .. } => true,
        // The registry is not on the machine.
        TaskState::Failed { kind: FailureKind::Image, .. }
        | TaskState::Pending
        | TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. }
        | TaskState::Completed
        | TaskState::Lost => false,
    }
}

/// How much more likely it is to see this if tasks fail [`WORSE`] times as often here. Where nothing ran elsewhere nothing
/// is known.
fn failing_more(here: &Sample<'_>, there: &Sample<'_>) -> i64 {
    let (new, old) = (here.seconds.max(1), there.seconds);
    if old == 0 {
        return 0;
    }
    let (all, weighted) = (new.saturating_add(old), new.saturating_mul(WORSE).saturating_add(old));
    let here_more = log2(all.saturating_mul(WORSE), weighted);
    let there_more = log2(all, weighted);
    let times =
        |count: u64, bits: i64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(bits);
    times(here.failures, here_more).saturating_add(times(there.failures, there_more))
}

/// The same of tasks that take long to serve.
fn slower(here: &Sample<'_>, there: &Sample<'_>) -> i64 {
    let mut usual = there.starts.clone();
    usual.sort_unstable();
    let Some(usual) = usual.get(usual.len() / 2) else { return 0 };
    let limit = (*usual * SLOWER).max(*usual + MARGIN);
    let served = here.starts.iter().map(|took| if *took > limit { SLOW } else { NOT_SLOW });
    // Who does not serve yet says something only once it is late.
    let late = here.starting.iter().filter(|(_, takes)| *takes > limit).map(|_| SLOW);
    served.chain(late).sum()
}

/// The logarithm of a fraction to base 2 in thousandths, to the nearest. In whole numbers, so that it is the same on every
/// machine.
fn log2(numerator: u64, denominator: u64) -> i64 {
    const FRACTION: u32 = 30;
    let whole = |value: u64| i64::from(value.max(1).ilog2());
    // Between 1 and 2, in units of 2^-30.
    let mantissa = |value: u64| (u128::from(value.max(1)) << FRACTION) >> value.max(1).ilog2();
    let part = |value: u64| {
        let (mut rest, mut bits) = (mantissa(value), 0_i64);
        for _ in 0..20 {
            rest = (rest * rest) >> FRACTION;
            bits <<= 1;
            if rest >> FRACTION >= 2 {
                rest >>= 1;
                bits |= 1;
            }
        }
        bits
    };
    let of = |value: u64| whole(value) * BIT + ((part(value) * BIT + (1 << 19)) >> 20);
    of(numerator) - of(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithm_is_that_of_the_fraction() {
        for (numerator, denominator, thousandths) in
            [(1, 1, 0), (2, 1, 1_000), (1, 8, -3_000), (3, 2, 585), (10, 1, 3_322), (9, 10, -152)]
        {
            assert_eq!(log2(numerator, denominator), thousandths, "{numerator}/{denominator}");
        }
    }

    fn sample(failures: u64, seconds: u64) -> Sample<'static> {
        Sample { failures, seconds, ..Sample::default() }
    }

    #[test]
    fn two_crashes_are_enough_where_there_were_none_for_long() {
        let steady = sample(0, 100_000);
        assert!(failing_more(&sample(1, 60), &steady) < ENOUGH);
        assert!(failing_more(&sample(2, 60), &steady) >= ENOUGH);
    }

    #[test]
    fn what_crashes_everywhere_is_not_the_machines_fault() {
        // One crash in a minute, here and there.
        assert!(failing_more(&sample(10, 600), &sample(100, 6_000)) < 0);
        assert!(failing_more(&sample(40, 600), &sample(100, 6_000)) > ENOUGH);
    }

    #[test]
    fn what_ran_nowhere_else_says_nothing() {
        assert_eq!(failing_more(&sample(50, 60), &sample(0, 0)), 0);
    }

    #[test]
    fn two_slow_starts_are_enough_and_one_is_not() {
        let there = Sample { starts: vec![Duration::from_secs(2); 3], ..Sample::default() };
        let starts = |seconds: &[u64]| Sample {
            starts: seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect(),
            ..Sample::default()
        };
        assert!(slower(&starts(&[60]), &there) < ENOUGH);
        assert!(slower(&starts(&[60, 60]), &there) >= ENOUGH);
        // Three times as long, but no more than a few seconds.
        assert!(slower(&starts(&[7, 7, 7]), &there) < 0);
    }
}
