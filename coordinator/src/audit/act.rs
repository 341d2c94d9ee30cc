//! What is written down of a request that was taken.

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{
    BakeEvent, Event, FleetEvent, JobOrder, RefreshEvent, Reply, SecretEvent, Target,
};
use coordinator_core::trust::{Asked, Ledger};
use model::audit::{Act, Object, Verdict};
use model::fleet::{Headroom, PoolPolicy, Precaution, Unreachable};
use model::id::{NodeId, ServiceId};
use model::node::Availability;
use model::rollout::Steering;
use model::trust::Standing;

use super::By;

/// A request on its way, and which generations there were before it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) by: Box<By>,
    services: Vec<(ServiceId, Option<u64>)>,
    nodes: Vec<NodeId>,
    note: String,
}

fn target(cluster: &Cluster, service: &ServiceId) -> Option<u64> {
    cluster.services().get(service).map(|service| service.target.number)
}

impl Watched {
    /// Looks at what is there before it is decided.
    pub(crate) fn new(by: Box<By>, event: &Event, cluster: &Cluster) -> Self {
        let (services, nodes, note) = about(event);
        let services = services.into_iter().map(|id| (id.clone(), target(cluster, id))).collect();
        Self { by, services, nodes: nodes.into_iter().cloned().collect(), note }
    }

    /// What was done. None when it was not: that is noted where it is answered.
    pub(crate) fn act(&self, reply: &Reply, cluster: &Cluster) -> Option<Act> {
        if let Reply::Refused(_) = reply {
            return None;
        }
        let services = self.services.iter().map(|(id, before)| Object {
            name: id.to_string(),
            before: *before,
            after: target(cluster, id),
        });
        let nodes = self.nodes.iter().map(|node| Object::named(format!("node {node}")));
        Some(self.by.act(services.chain(nodes).collect(), Verdict::Done, &self.note))
    }
}

fn about(event: &Event) -> (Vec<&ServiceId>, Vec<&NodeId>, String) {
    match event {
        Event::Deploy { specs, remove, .. } => {
            let removed = match remove.len() {
                0 => String::new(),
                count => format!("{count} are removed"),
            };
            (specs.iter().map(|spec| &spec.id).chain(remove).collect(), Vec::new(), removed)
        }
        Event::Restart(service) | Event::Remove(service) => {
            (vec![service], Vec::new(), String::new())
        }
        Event::Job { service, order } => (vec![service], Vec::new(), job(*order).to_owned()),
        Event::Scale { service, replicas } => {
            (vec![service], Vec::new(), format!("{replicas} replicas"))
        }
        Event::Rollback { service, to } => {
            let to = to.map(|to| format!("to generation {to}")).unwrap_or_default();
            (vec![service], Vec::new(), to)
        }
        Event::GoBack(back) => {
            let services = back.services.iter().map(|one| &one.service).collect();
            let pools = back.pools.iter().map(|one| format!("; pool {}: to {}", one.pool, one.to));
            let note = format!("to what ran at {}{}", back.then, pools.collect::<String>());
            (services, Vec::new(), note)
        }
        Event::Steer { service, steering } => {
            (vec![service], Vec::new(), steer(*steering).to_owned())
        }
        Event::SetAvailability { node, availability } => {
            (Vec::new(), vec![node], available(*availability).to_owned())
        }
        Event::Died(node) => (Vec::new(), vec![node], "forgotten".to_owned()),
        Event::Drain { nodes, within, .. } => {
            (Vec::new(), nodes.iter().collect(), format!("within {} s", within.as_secs()))
        }
        Event::Joined(node) => (Vec::new(), vec![&node.id], String::new()),
        Event::Heard { node, .. } | Event::Reported { node, .. } | Event::Images { node, .. } => {
            (Vec::new(), vec![node], String::new())
        }
        Event::Rebalance => (Vec::new(), Vec::new(), String::new()),
        Event::Fleet(event) => (Vec::new(), Vec::new(), fleet(event)),
        Event::Bake(event) => (Vec::new(), Vec::new(), bake(event)),
        // Heard, and nobody's doing.
        Event::Traffic(_) => (Vec::new(), Vec::new(), String::new()),
        Event::Secret(event) => (Vec::new(), Vec::new(), secret(event)),
    }
}

/// Operators say two things of machines; the rest is heard from the cloud, and recorded by nobody.
fn fleet(event: &FleetEvent) -> String {
    match event {
        FleetEvent::PutPool { name, policy } => pool(name, policy),
        FleetEvent::SetWindows { name, windows } => {
            let windows: Vec<String> = windows.iter().map(ToString::to_string).collect();
            format!("pool {name}: windows [{}]", windows.join(", "))
        }
        FleetEvent::RemovePool(name) => format!("pool {name} is left to itself"),
        FleetEvent::Surveyed(_)
        | FleetEvent::Hooked(_)
        | FleetEvent::Noticed { .. }
        | FleetEvent::Foreseen { .. }
        | FleetEvent::Performed { .. } => String::new(),
        FleetEvent::Refresh(event) => refresh(event),
    }
}

fn pool(name: &str, policy: &PoolPolicy) -> String {
    let Headroom { count, each } = policy.headroom;
    let scaled = match (policy.grows, policy.shrinks) {
        (false, false) => "is not scaled",
        (true, false) => "is scaled out",
        (false, true) => "is scaled in",
        (true, true) => "is scaled out and in",
    };
    let most = policy.most.map_or_else(|| "its greatest size".to_owned(), |most| most.to_string());
    let warned = match policy.precaution {
        Precaution::Drain => "",
        Precaution::Close => ", machines at risk are closed",
        Precaution::Ignore => ", machines at risk are used on",
    };
    let silent = match policy.unreachable {
        Unreachable::Keep => String::new(),
        Unreachable::End | Unreachable::EndProtected => {
            let also =
                if policy.unreachable == Unreachable::End { "" } else { ", protected or not" };
            let after = policy.unreachable_after.as_secs();
            format!(", machines that are silent for {after} s are ended{also}")
        }
    };
    format!(
        "pool {name}: drains within {} s, joins within {} s, {scaled} from {} to {most} machines, after {} s, with room for {count} tasks of {} thousandths of a core and {} bytes{warned}{silent}",
        policy.drain_within.as_secs(),
        policy.join_within.as_secs(),
        policy.least,
        policy.shrink_after.as_secs(),
        each.cpu_millis,
        each.memory_bytes
    )
}

fn refresh(event: &RefreshEvent) -> String {
    match event {
        RefreshEvent::Start { pool, target, policy, after, .. } => {
            let to = match target {
                Target::Ami(ami) => ami.clone(),
                Target::Blueprint(to) => to.to_string(),
            };
            let urgent = policy.urgent.as_ref();
            let urgent = urgent.map(|why| format!(", and waits for nothing: {why}"));
            let order = if after.is_empty() { "" } else { " after " };
            let order = format!("{order}{}", after.join(", "));
            format!("pool {pool} is refreshed with {to}{order}{}", urgent.unwrap_or_default())
        }
        RefreshEvent::Override { pool, reason } => {
            format!("refresh of pool {pool} waits for nothing any more: {reason}")
        }
        RefreshEvent::Steer { pool, steering } => {
            format!("refresh of pool {pool}: {}", steer(*steering))
        }
        RefreshEvent::Freeze { why, until } => {
            let until = until.map(|until| format!(" until {until}"));
            format!("no pool is refreshed{}: {why}", until.unwrap_or_default())
        }
        RefreshEvent::Unfreeze => "pools are refreshed again".to_owned(),
        RefreshEvent::RollBack { pool } => format!("pool {pool} is rolled back"),
    }
}

/// What operators ask of bakes and images; the rest is heard, and recorded by nobody.
fn bake(event: &BakeEvent) -> String {
    match event {
        BakeEvent::Start { recipe, .. } => format!("bake of {}", recipe.name),
        BakeEvent::Retry(id) => format!("bake {id} is tried again"),
        BakeEvent::Remove(id) => format!("bake {id} is removed"),
        BakeEvent::Retire(amis) => {
            let amis: Vec<String> = amis.iter().map(ToString::to_string).collect();
            format!("retired: {}", amis.join(", "))
        }
        BakeEvent::PutRecipe(recipe) => {
            format!("bakes of recipe {} begin by themselves", recipe.name)
        }
        BakeEvent::SteerRecipe { recipe, is_paused: true } => format!("recipe {recipe} is paused"),
        BakeEvent::SteerRecipe { recipe, is_paused: false } => format!("recipe {recipe} goes on"),
        BakeEvent::RemoveRecipe(name) => format!("recipe {name} is baked by hand only"),
        BakeEvent::Joined(_)
        | BakeEvent::Looked(_)
        | BakeEvent::Worked { .. }
        | BakeEvent::Answered { .. }
        | BakeEvent::Swept(_)
        | BakeEvent::Gone(_)
        | BakeEvent::Stays { .. } => String::new(),
    }
}

/// Which secret, and never its value.
fn secret(event: &SecretEvent) -> String {
    match event {
        SecretEvent::Set { name, version } => format!("secret {name} ({})", version.digest),
        SecretEvent::Own { name, owners } => {
            let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
            format!("secret {name} is for {}", owners.join(", "))
        }
        SecretEvent::Remove(name) => format!("secret {name} is removed"),
    }
}

const fn job(order: JobOrder) -> &'static str {
    match order {
        JobOrder::Run => "run",
        JobOrder::Stop => "stop",
        JobOrder::Suspend => "suspend",
        JobOrder::Resume => "resume",
    }
}

const fn steer(steering: Steering) -> &'static str {
    match steering {
        Steering::Pause => "pause",
        Steering::Resume => "resume",
        Steering::Promote => "promote",
        Steering::Abort => "abort",
    }
}

const fn available(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "opened",
        Availability::Cordoned => "closed",
        Availability::Dead => "gone",
    }
}

/// What was done about who is let in, by what was there before.
pub(crate) fn of_trust(by: &By, asked: &Asked, ledger: &Ledger) -> Act {
    let node = |node: &NodeId| Object::named(format!("node {node}"));
    let (objects, note) = match asked {
        Asked::CreateToken(token) => {
            let mut note = format!("until {}", token.expires_at);
            if let Some(node) = &token.node {
                note = format!("for node {node}, {note}");
            }
            if let Some(pool) = &token.grant.pool {
                note = format!("for pool {pool}, {note}");
            }
            (vec![Object::named(format!("token {}", token.id))], note)
        }
        Asked::RemoveToken(id) => (vec![Object::named(format!("token {id}"))], String::new()),
        Asked::Join(join) => {
            let token = Object::named(format!("token {}", join.token.token_id()));
            let was_here = ledger.grant(&join.node).is_some();
            let note = format!("certificate {}", join.issued.serial);
            let note = if was_here { format!("{note}, in place of an earlier one") } else { note };
            (vec![node(&join.node), token], note)
        }
        Asked::Attest(attest) => {
            let note = format!("{}, certificate {}", attest.by.as_str(), attest.issued.serial);
            let note = match ledger.admission(&attest.node).map(|before| &before.standing) {
                Some(Standing::Admitted { current, .. }) => {
                    format!("{note}, in place of {} until {}", current.serial, current.expires_at)
                }
                Some(Standing::Revoked { .. }) | None => note,
            };
            (vec![node(&attest.node)], note)
        }
        Asked::Renew { node: id, shown, issued } => {
            (vec![node(id)], format!("certificate {} after {}", issued.serial, shown.serial))
        }
        Asked::Shown { node: id, shown } => (vec![node(id)], format!("shows {}", shown.serial)),
        Asked::Revoke(id) => (vec![node(id)], "its certificates count no more".to_owned()),
        Asked::AddOperator(operator) => {
            let name = Object::named(format!("operator {}", operator.name));
            let until = operator.issued.expires_at;
            (vec![name], format!("{} until {until}", operator.role.as_str()))
        }
        Asked::AddPermit(permit) => {
            let rights: Vec<String> = permit.rights.iter().map(ToString::to_string).collect();
            (vec![Object::named(format!("grant {}", permit.services))], rights.join(", "))
        }
        Asked::RemovePermit(services) => {
            (vec![Object::named(format!("grant {services}"))], String::new())
        }
        Asked::SetImages(policy) => {
            let patterns = policy.iter().flat_map(|policy| &policy.patterns);
            let patterns: Vec<String> = patterns.map(ToString::to_string).collect();
            let note = if patterns.is_empty() { "any".to_owned() } else { patterns.join(", ") };
            (vec![Object::named("policy of images".to_owned())], note)
        }
        Asked::Allow(allowance) => {
            let services: Vec<String> =
                allowance.services.iter().map(ToString::to_string).collect();
            let name = format!("references {}", allowance.references);
            (vec![Object::named(name)], format!("for {}", services.join(", ")))
        }
        Asked::Disallow(references) => {
            let name = format!("references {references}");
            (vec![Object::named(name)], "for nobody any more".to_owned())
        }
        Asked::RemoveOperator(name) => {
            (vec![Object::named(format!("operator {name}"))], String::new())
        }
    };
    by.act(objects, Verdict::Done, &note)
}
