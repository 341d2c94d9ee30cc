//! What must hold after every step of the coordinator, and what must be there when everything has come to rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::Slot;
use model::node::Availability;
use model::service::ServicePhase;
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task, TaskState};

use crate::agent_core::observed::Status;
use crate::coordinator_core::cluster::{Change, Cluster};
use crate::coordinator_core::view::NodeVerdict;
use crate::coordinator_core::{Step, invariant, step, view};

use super::World;
use super::{jobs, specs};

/// More changes than one request, one report or the death of one machine makes here.
const AT_ONCE: usize = 64;

impl World {
    pub(crate) fn check_invariants(&mut self) {
        let broken = invariant::check(&self.coordinator.cluster);
        self.truth.expect(broken.is_empty(), || format!("{broken:?}"));
    }

    /// Replayable, idempotent, and the same as a plan of everything; each stop has its reason.
    pub(crate) fn check_step(&mut self, before: &Cluster, done: &Step) {
        self.check_invariants();
        self.check_given_up(before);
        self.check_placed(before);
        self.check_first(before, done);
        let cluster = &self.coordinator.cluster;
        for (id, task) in cluster.tasks().iter() {
            let was = before.tasks().get(id).and_then(|task| task.desired.stop_cause());
            if task.desired.stop_cause() != was && !is_stop_justified(cluster, before, task) {
                let beside = before.tasks_of(&task.service).filter(|other| other.slot == task.slot);
                let beside: Vec<String> = beside.map(|task| line(task)).collect();
                let what = format!("{id} is stopped with nobody in its place: {beside:#?}");
                self.truth.accuse(what);
            }
        }
        self.check_kept(before);
        self.check_disruption(before);
        self.check_rollouts(before);
        self.check_jobs(done);
        self.check_windows(before, done);
        self.check_leases(before, done);
        self.check_traffic(before);
        self.check_silence(before);
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let (made, most) = (done.changes.len(), cluster.max_changes() + AT_ONCE);
        self.truth.expect(made <= most, || format!("a step makes {made} changes"));
        // The dear ones, now and then.
        if !self.chance.percent(20) {
            return;
        }
        let mut replayed = before.clone();
        done.changes.iter().for_each(|change| replayed.apply(change));
        let same = replayed.stored() == cluster.stored();
        self.truth.expect(same, || "the changes of a step do not rebuild what it left".to_owned());
        if done.wake_at.is_some_and(|at| at <= now) {
            return;
        }
        self.check_what_serves();
        let cluster = &self.coordinator.cluster;
        let again = step(&mut cluster.clone(), &[], now).changes;
        let adds = || again.iter().map(brief).collect::<Vec<_>>();
        self.truth.expect(again.is_empty(), || format!("a second step writes {:?}", adds()));
        let is_silent = |node: &Arc<_>| !cluster.takes_work(node, now);
        let mut open = cluster.nodes().values();
        if !open.any(|node| node.availability == Availability::Active && is_silent(node)) {
            let full = step(&mut Cluster::load(&cluster.stored(), now), &[], now).changes;
            let adds = || full.iter().map(brief).collect::<Vec<_>>();
            self.truth.expect(full.is_empty(), || format!("a full plan adds {:?}", adds()));
        }
    }

    /// A task is put only where its constraints hold at that time.
    fn check_placed(&mut self, before: &Cluster) {
        let cluster = &self.coordinator.cluster;
        let mut preparing = cluster.nodes().values();
        let late =
            preparing.find(|node| node.preparing_until.is_some_and(|until| until <= self.now));
        self.truth.expect(late.is_none(), || format!("{late:?} waits for too long"));
        let is_placed = |task: &Task| task.node.is_some();
        let was_placed = |id| before.tasks().get(id).is_some_and(|task| is_placed(task));
        let placed =
            cluster.tasks().values().filter(|task| is_placed(task) && !was_placed(&task.id));
        for task in placed {
            let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
            let Some(node) = node else { continue };
            let images = cluster.images(&node.id).map(|images| &**images);
            let is_early = node.preparing_until.is_some();
            let is_first = task.generation.spec.mode == Mode::Global;
            self.truth.expect(!is_early || is_first, || {
                format!("{} is on {} before what runs on every node", task.id, node.id)
            });
            let all = &task.generation.spec.task.constraints;
            let is_fine = all.iter().all(|constraint| constraint.is_met(node, images));
            self.truth
                .expect(is_fine, || format!("{} is on {}, against {all:?}", task.id, node.id));
            let stock = cluster.stock(&node.id).unwrap_or_default();
            let mut needed = task.generation.spec.task.host_volumes();
            let lacking = needed.find(|name| !stock.volumes.contains(*name));
            self.truth.expect(lacking.is_none(), || {
                format!("{} is on {}, which has no {lacking:?}", task.id, node.id)
            });
            let pool = node.pool.as_ref().and_then(|pool| cluster.pools().get(pool));
            let profile = task.generation.spec.task.profile;
            let is_taken = pool.is_none_or(|pool| profile >= pool.policy.profile);
            self.truth.expect(is_taken, || {
                format!(
                    "{}, which is {profile}, is on {} of a pool that takes less",
                    task.id, node.id
                )
            });
        }
    }

    /// A task is put on the best of all nodes, whichever way it was found: each is asked.
    fn check_first(&mut self, before: &Cluster, done: &Step) {
        let is_placed = |change: &&Change| matches!(change, Change::PutTask(task) if task.state == TaskState::Assigned);
        if !done.changes.iter().any(|change| is_placed(&change)) {
            return;
        }
        let mut cluster = before.clone();
        for change in &done.changes {
            if let Change::PutTask(task) = change
                && cluster.tasks().get(&task.id).is_none_or(|known| known.node.is_none())
                && let Some(node) = &task.node
            {
                // Nodes that joined in this step were heard in it, before anything was placed.
                self.take_over_what_is_not_stored(&mut cluster);
                let known = cluster.tasks().get(&task.id);
                let room_on = known.and_then(|known| known.room_on.clone());
                let (state, promise) = (TaskState::Pending, room_on.clone());
                let waiting = Task { node: None, room_on, state, ..(**task).clone() };
                let asked = view::ask_nodes(&cluster, &waiting, self.now).into_iter();
                let mut takers = asked.filter(|verdict| verdict.refusals.is_empty());
                // Room was made for it there.
                if promise.as_ref() == Some(node) && takers.any(|taker| taker.node == *node) {
                    cluster.apply(change);
                    continue;
                }
                let first = takers.min_by_key(|verdict| (verdict.score, verdict.node.clone()));
                self.check_limit(&cluster, task);
                first.iter().for_each(|first| self.check_neighbours(&cluster, (task, first)));
                let is_first = first.as_ref().is_some_and(|first| first.node == *node);
                self.truth.expect(is_first, || {
                    format!("{} is on {node}, and the best node was {first:?}", task.id)
                });
            }
            cluster.apply(change);
        }
    }

    /// However many of a service are to stay and of whatever template they are: together they are no more than it says.
    fn check_limit(&mut self, cluster: &Cluster, task: &Task) {
        let Some(limit) = task.generation.spec.task.max_per_node else { return };
        let is_beside = |other: &&Arc<Task>| {
            other.node == task.node && !other.state.is_final() && other.id != task.id
        };
        let beside = cluster.tasks_of(&task.service).filter(is_beside).count();
        self.truth.expect(beside < limit as usize, || {
            format!("{} is one of {} on its node, and may be one of {limit}", task.id, beside + 1)
        });
    }

    /// A task is spread among those of its template that are to stay, and among no others.
    fn check_neighbours(&mut self, cluster: &Cluster, (task, first): (&Task, &NodeVerdict)) {
        let is_neighbour = |other: &&Arc<Task>| {
            other.generation.template == task.generation.template
                && other.id != task.id
                && other.is_wanted()
                && !other.state.is_final()
                && !cluster.is_leaving(other)
        };
        let neighbours = || cluster.tasks_of(&task.service).filter(is_neighbour);
        let on_node = neighbours().filter(|other| other.booked_on() == Some(&first.node)).count();
        let zone_of = |node| cluster.nodes().get(node).map(|node| &node.zone);
        let zone = zone_of(&first.node);
        let in_zone = neighbours()
            .filter(|other| other.booked_on().is_some_and(|node| zone_of(node) == zone));
        let counted = (in_zone.count(), on_node);
        let (id, score) = (&task.id, first.score);
        self.truth.expect(counted == (score.in_zone, score.on_node), || {
            format!("{id} has so many neighbours in its zone and on its node: {counted:?}; it was placed by {score:?}")
        });
    }

    /// What was heard is heard before anything is placed.
    fn take_over_what_is_not_stored(&self, cluster: &mut Cluster) {
        cluster.saw_cloud(&self.coordinator.cluster);
        let now = &self.coordinator.cluster;
        for node in now.nodes().keys() {
            now.sighting(node).into_iter().for_each(|seen| cluster.saw(node, seen));
            now.stock(node).into_iter().for_each(|all| cluster.saw_images(node, &all));
        }
    }

    /// Of two tasks of a slot one is kept, and if only one of them serves it is that one.
    fn check_kept(&mut self, before: &Cluster) {
        let is_double = |task: &Task| task.desired.stop_cause() == Some(StopCause::Duplicate);
        let cluster = &self.coordinator.cluster;
        let is_news =
            |id| before.tasks().get(id).is_some_and(|task| task.desired == DesiredState::Run);
        for (id, task) in cluster.tasks().iter().filter(|(_, task)| is_double(task)) {
            let mut kept = cluster.tasks_of(&task.service).filter(|other| {
                other.slot == task.slot && other.is_wanted() && !other.state.is_final()
            });
            let (serves, older) = (task.serving_since().is_some(), task.created_at);
            let is_better = |other: &Arc<Task>| {
                !serves || other.serving_since().is_some() && other.created_at <= older
            };
            // A node was opened again, and heard to be worse only after that in the same step.
            let mut were = before.tasks_of(&task.service).filter(|other| {
                other.slot == task.slot && before.is_leaving(other) && !cluster.is_leaving(other)
            });
            let is_kept = kept.any(is_better) || were.any(is_better);
            self.truth.expect(!is_news(id) || is_kept, || {
                format!("{} is stopped as a double of nothing better", line(task))
            });
        }
        for task in before.tasks().values().filter(|task| task.is_missed()) {
            let now_wanted = cluster.tasks().get(&task.id).is_some_and(|task| task.is_wanted());
            let is_back = || task.node.as_ref().is_some_and(|node| cluster.is_back(node, self.now));
            self.truth.expect(!now_wanted || is_back(), || {
                format!("{} is counted on though its node has not said how it is", line(task))
            });
        }
    }

    /// A task is given up because its node is proven gone, or while somebody else is heard: never because all are silent.
    fn check_given_up(&mut self, before: &Cluster) {
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let is_heard = |node: &Arc<_>| cluster.is_heard(node, now);
        if cluster.nodes().values().any(is_heard) {
            return;
        }
        let is_given_up = |task: &Task| task.state == TaskState::Lost || task.is_missed();
        for (id, task) in cluster.tasks().iter().filter(|(_, task)| is_given_up(task)) {
            let is_news = before.tasks().get(id).is_some_and(|was| !is_given_up(was));
            let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
            let is_dead = node.is_none_or(|node| node.availability == Availability::Dead);
            self.truth.expect(!is_news || is_dead, || {
                format!("{id} is given up though nobody at all is heard")
            });
        }
    }

    /// What is not yet as it should be, if anything.
    pub(crate) fn unrest(&self) -> Option<String> {
        let cluster = &self.coordinator.cluster;
        for name in specs::SERVICES {
            let id = name.parse().expect("each is PROJECT/SERVICE");
            let Some(service) = cluster.services().get(&id) else {
                return Some(format!("{id} is not there"));
            };
            if service.phase != ServicePhase::Steady {
                let tasks = cluster.tasks_of(&id);
                let tasks: Vec<String> = tasks.map(|task| line(task)).collect();
                return Some(format!("{id} is {:?}: {tasks:#?}", service.phase));
            }
            let wanted = match service.target.spec.mode {
                Mode::Replicated { replicas } => replicas as usize,
                Mode::Global | Mode::Once => self.machines.len(),
                Mode::Job(_) => match jobs::idle(service, self.now) {
                    Some(idle) => return Some(idle),
                    None => continue,
                },
            };
            let serves = |task: &&Arc<Task>| task.is_wanted() && task.serving_since().is_some();
            let serving = cluster.tasks_of(&id).filter(serves).count();
            if let Some(missed) = cluster.tasks_of(&id).find(|task| task.is_missed()) {
                return Some(format!("{} is missed", line(missed)));
            }
            if serving != wanted || wanted < 2 {
                return Some(format!("{serving} tasks of {id} serve, of {wanted}"));
            }
        }
        self.wrong_container()
            .or_else(|| self.outdated_secret())
            .or_else(|| self.lost_foreign())
            .or_else(|| self.unrest_in_cloud())
            .or_else(|| self.unrest_of_balancers())
    }

    /// Each wanted task has each of its containers once, from the right image, and nothing else of ours lives.
    fn wrong_container(&self) -> Option<String> {
        let cluster = &self.coordinator.cluster;
        for machine in self.machines.values() {
            let node = &machine.node.id;
            let mut wanted = BTreeMap::new();
            // Those of jobs come and go.
            let stays = |task: &&Arc<Task>| {
                task.desired == DesiredState::Run && !task.generation.spec.mode.runs_to_end()
            };
            for task in cluster.tasks_on(node).filter(stays) {
                for spec in &task.generation.spec.task.containers {
                    wanted.insert((&task.id, &spec.name), specs::number_of(&spec.image));
                }
            }
            for held in machine.engine.living() {
                let shown = &held.shown;
                let known = cluster.tasks().get(&shown.task);
                let is_of_run = |task: &&Arc<Task>| task.generation.spec.mode.runs_to_end();
                if known.filter(is_of_run).is_some_and(|task| task.desired == DesiredState::Run) {
                    continue;
                }
                let image = wanted.remove(&(&shown.task, &shown.container));
                let fits = image == Some(held.image) && shown.status == Status::Running;
                let owner = shown.network_of.as_ref();
                let is_cut = owner.is_some_and(|owner| {
                    !machine.engine.living().any(|other| other.shown.id == *owner)
                });
                if !fits || held.is_sick || is_cut {
                    return Some(format!("{} on {node}: {:?}, wanted {image:?}", shown.name, held));
                }
            }
            if let Some(((task, container), _)) = wanted.first_key_value() {
                return Some(format!("{task} has no {container} on {node}"));
            }
        }
        None
    }

    fn lost_foreign(&self) -> Option<String> {
        let is_lost = |(id, node): &(&String, _)| {
            let machine = self.machines.get(*node);
            let held = machine.and_then(|machine| machine.engine.held.get(*id));
            held.is_none_or(|held| !held.shown.is_alive())
        };
        let lost = self.foreign.iter().find(is_lost);
        lost.map(|(id, node)| format!("{id} on {node} was not ours, and is gone"))
    }
}

fn line(task: &Task) -> String {
    let Task { id, generation, desired, state, traffic, .. } = task;
    format!("{id} {} {desired:?} {state:?} {traffic:?}", generation.template)
}

fn brief(change: &Change) -> String {
    match change {
        Change::PutService(service) => format!("{} {:?}", service.id, service.phase),
        Change::PutTask(task) => {
            let Task { id, desired, state, room_on, .. } = &**task;
            format!("{id} {desired:?} {state:?} {room_on:?}")
        }
        Change::RemoveService(_)
        | Change::RemoveTask(_)
        | Change::PutNode(_)
        | Change::RemoveNode(_)
        | Change::PutPool(_)
        | Change::RemovePool(_)
        | Change::PutHook(_)
        | Change::RemoveHook(_)
        | Change::PutRefresh(_)
        | Change::RemoveRefresh(_)
        | Change::SetFreeze(_)
        | Change::PutBake(_)
        | Change::RemoveBake(_)
        | Change::PutAmi(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::RemoveAmi(_)
        | Change::PutUpkeep(_)
        | Change::RemoveUpkeep(_)
        | Change::PutSecret(_)
        | Change::RemoveSecret(_)
        | Change::PutNextTask(_) => format!("{change:?}"),
    }
}

/// Never below what runs by our own doing: a start-first update stops a task only beside one that serves.
fn is_stop_justified(cluster: &Cluster, before: &Cluster, task: &Task) -> bool {
    let DesiredState::Stop { cause: StopCause::Update, .. } = task.desired else { return true };
    let Some(service) = cluster.services().get(&task.service) else { return true };
    let beside = before.tasks_of(&task.service).chain(cluster.tasks_of(&task.service));
    let mut beside = beside.filter(|other| other.slot == task.slot && other.id != task.id);
    service.target.spec.task.is_exclusive()
        || task.missed_at.is_some()
        || task.serving_since().is_none()
        // A slot that belongs to a node which is full.
        || matches!(task.slot, Slot::Node(_))
        || beside.any(|other| other.serving_since().is_some())
}
