//! What a script says of machine images.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::event::{Event, FleetEvent, RefreshEvent, Target};
use coordinator_core::{foresee, view};
use model::id::NodeId;
use model::refresh::{AtDeadline, RefreshPolicy, Stage};

use super::play::Play;
use super::script;

impl Play {
    pub(crate) fn refresh(&mut self, verb: &str, words: &[&str]) {
        let event = match words {
            [name, words @ ..] if verb == "ami" => {
                self.amis.insert((*name).to_owned(), words.join(" "));
                return;
            }
            ["show", pool] => return self.show_refresh(pool),
            ["plan", pool, settings @ ..] => {
                return self.plan_refresh(start(pool, &script::settings(settings)));
            }
            ["override", pool, reason @ ..] => {
                RefreshEvent::Override { pool: (*pool).to_owned(), reason: reason.join(" ") }
            }
            ["windows", name, window @ ..] => {
                let windows = if window.is_empty() { vec![] } else { vec![window.join(" ")] };
                let windows = windows.iter().map(|window| window.parse().unwrap()).collect();
                let name = (*name).to_owned();
                return self.hear(&[Event::Fleet(FleetEvent::SetWindows { name, windows })]);
            }
            ["freeze", until, why @ ..] => {
                let until = (*until != "-").then(|| self.now + script::duration(until));
                RefreshEvent::Freeze { why: why.join(" "), until }
            }
            ["unfreeze"] => RefreshEvent::Unfreeze,
            ["rollback", pool] => RefreshEvent::RollBack { pool: (*pool).to_owned() },
            [pool, settings @ ..] if settings.iter().any(|setting| setting.contains('=')) => {
                start(pool, &script::settings(settings))
            }
            [word, pool] => {
                RefreshEvent::Steer { pool: (*pool).to_owned(), steering: script::steering(word) }
            }
            _ => panic!("`refresh` can not be told {words:?}"),
        };
        self.hear(&[Event::Fleet(FleetEvent::Refresh(event))]);
    }

    fn plan_refresh(&mut self, event: RefreshEvent) {
        let RefreshEvent::Start { pool, target, policy, .. } = event else { return };
        let planned = foresee::refresh(&self.cluster, (&pool, &target), &policy, self.now);
        let plan = match planned {
            Ok(plan) => plan,
            Err(refusal) => return self.told.push(format!("refused: {refusal}")),
        };
        self.told.push(format!(
            "takes {} s if a machine boots in {} s, with {} machines at most and {} otherwise",
            plan.duration.as_secs(),
            plan.boot.as_secs(),
            plan.peak,
            plan.size
        ));
        for one in &plan.machines {
            let after =
                one.emptied_after.map(|after| format!("is empty after {} s", after.as_secs()));
            let how = after.unwrap_or_else(|| format!("is left as it is: {}", one.why));
            self.told.push(format!("  {} {how}", one.instance));
        }
        for one in &plan.moves {
            let name =
                |node: &Option<NodeId>| node.as_ref().map_or("nowhere", NodeId::as_str).to_owned();
            self.told.push(format!("  a task moves from {} to {}", name(&one.from), name(&one.to)));
        }
        self.told.extend(plan.blockers.iter().map(|blocker| format!("  note: {blocker}")));
    }

    fn show_refresh(&mut self, pool: &str) {
        let last = self.cluster.refreshes_of(pool).last().cloned();
        let Some(refresh) = last else {
            self.told.push(format!("{pool} was never refreshed"));
            return;
        };
        let Some(progress) = view::refresh_progress(&self.cluster, &refresh, self.now) else {
            self.told.push(format!("{pool} was not looked at"));
            return;
        };
        let view::RefreshProgress { new, new_ready, old, quota, note, .. } = &progress;
        self.told.push(format!(
            "{}: {new} new machines, of which {new_ready} are ready, {old} old ones, {quota} are to be new: {note}",
            refresh.id
        ));
        for (id, why) in &progress.left {
            self.told.push(format!("  {id} is left as it is: {why}"));
        }
    }

    /// Machines that were launched boot, and their agents join.
    pub(crate) fn boot(&mut self) {
        let (calls, booted) = self.region.tick(self.now);
        for call in calls {
            self.hear(&[Event::Fleet(FleetEvent::Hooked(call))]);
        }
        for machine in booted {
            let ami = machine.ami.as_ref().and_then(|ami| self.amis.get(ami));
            if ami.is_none_or(|harm| harm != "never joins") {
                let mut settings = BTreeMap::from([("zone", machine.zone.as_str())]);
                let pool = machine.pool.clone().unwrap_or_default();
                let cpus = self.region.cpus(&pool);
                settings.extend(cpus.as_deref().map(|cpus| ("cpus", cpus)));
                self.join(machine.id.as_str(), &settings);
            }
        }
    }
}

fn start(pool: &str, settings: &BTreeMap<&str, &str>) -> RefreshEvent {
    let mut policy = RefreshPolicy::default();
    let (mut target, mut after) = (None, Vec::new());
    let known: BTreeSet<&str> = settings.keys().copied().collect();
    for name in known {
        let value = settings[name];
        match name {
            "ami" => target = Some(Target::Ami(value.to_owned())),
            "after" => after = value.split(',').map(str::to_owned).collect(),
            "surge" => policy.surge = script::amount(value),
            "hold" => policy.hold = script::duration(value),
            "drain" => policy.drain_within = script::duration(value),
            "force" => policy.at_deadline = AtDeadline::Force,
            "stages" => policy.stages = stages(value),
            _ => panic!("{name} is nothing that a refresh has"),
        }
    }
    RefreshEvent::Start {
        pool: pool.to_owned(),
        target: target.unwrap_or_else(|| panic!("a refresh needs an ami")),
        policy,
        expect: None,
        after,
    }
}

fn stages(text: &str) -> Vec<Stage> {
    let stage = |word: &str| match word {
        "zone" => Stage::Zone,
        amount => Stage::Machines(script::amount(amount)),
    };
    if text == "none" { Vec::new() } else { text.split(',').map(stage).collect() }
}
