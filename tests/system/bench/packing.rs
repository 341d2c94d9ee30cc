//! How full nodes become before the first task finds no room, and how many of them a list of tasks needs: the coordinator's
//! core against the scores of others and against a slow search, all with the same tasks in the same order.

mod fleet;
mod ours;
mod search;

use std::path::Path;
use std::time::Duration;

use model::spec::Strategy;

use self::fleet::Fleet;
use self::search::Search;
use crate::result::{Goal, Line, print};

/// As good as the slow search, within what rounding makes of two sums.
const AS_GOOD: f64 = 0.995;

/// In so many orders tasks come: one large task that finds no room early is as much luck as skill.
const ORDERS: u64 = 3;

/// What became of tasks that were placed until one did not fit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Packed {
    pub(crate) tasks: usize,
    /// What they hold of what is counted.
    pub(crate) held: u64,
    pub(crate) took: Duration,
}

/// What one way of choosing reaches.
#[derive(Debug, Clone, Copy)]
struct Reached {
    /// How full the fleet is before a task does not fit.
    filled: f64,
    /// Which part of the nodes the list of tasks needs, if it fits.
    needed: f64,
    /// Tasks placed a second.
    rate: f64,
}

/// The names of a fleet's lines, and what is wanted of it.
struct Names {
    quality: &'static str,
    nodes: &'static str,
    speed: &'static str,
    filled: &'static str,
    goal: f64,
}

const MIXED: Names = Names {
    quality: "mix: filled, against the slow search",
    nodes: "mix: nodes needed, slow search to ours",
    speed: "mix: placed a second, against the slow search",
    filled: "mix: filled",
    goal: 0.97,
};

const WITH_GPUS: Names = Names {
    quality: "GPUs: filled, against the slow search",
    nodes: "GPUs: nodes needed, slow search to ours",
    speed: "GPUs: placed a second, against the slow search",
    filled: "GPUs: filled",
    goal: 0.977,
};

pub(crate) fn run(trace: Option<&Path>) -> anyhow::Result<()> {
    let gpus = match trace {
        Some(folder) => fleet::traced(folder)?,
        None => fleet::with_gpus(),
    };
    let mixed = fleet::mixed();
    let mut lines = measure(&mixed, &MIXED, true);
    lines.extend(measure(&gpus, &WITH_GPUS, trace.is_some()));
    lines.push(at_once());
    print("packing", &lines);
    Ok(())
}

/// Large services, which are placed by one survey of all nodes each: to pack them takes about as long as to spread them.
fn at_once() -> Line {
    let large = fleet::large();
    let rate = |strategy| ours::place_services(&large, 500, strategy);
    let (packed, spread) = (rate(Strategy::Binpack), rate(Strategy::Spread));
    println!(
        "100 services of 500 tasks, {}: {packed:.0}/s packed, {spread:.0}/s spread",
        large.name
    );
    let (name, value) = ("large services: packed a second, against spread", packed / spread);
    Line { name, shown: format!("{value:.3}"), value, goal: Goal::AtLeast(0.5) }
}

/// Measures one fleet; what it is to reach by itself is known of the mix and of the trace.
fn measure(fleet: &Fleet, names: &Names, has_goal: bool) -> Vec<Line> {
    println!(
        "{}: filled until a task finds no room, and nodes for {} tasks that fill half; means of {} orders of tasks",
        fleet.name, fleet.list, ORDERS
    );
    let others = (1..ORDERS).map(|seed| fleet.drawn(seed));
    let fleets: Vec<Fleet> = [fleet.clone()].into_iter().chain(others).collect();
    println!("{:<28} {:>8} {:>8} {:>12}", "", "filled", "nodes", "placed/s");
    let ours =
        show("Wharf, binpack", reached(&fleets, |fleet| ours::place(fleet, Strategy::Binpack)));
    show("Wharf, spread", reached(&fleets, |fleet| ours::place(fleet, Strategy::Spread)));
    let mut slow = None;
    for (search, name) in search::ALL {
        let reached = reached(&fleets, |fleet| search::place(fleet, search));
        show(name, reached);
        slow = slow.or((search == Search::Stranding).then_some(reached));
    }
    println!();
    let slow = slow.expect("the slow search is among them");
    let ratio = |name, value, goal| Line {
        name,
        shown: format!("{value:.3}"),
        value,
        goal: Goal::AtLeast(goal),
    };
    let mut lines = vec![
        ratio(names.quality, ours.filled / slow.filled, AS_GOOD),
        ratio(names.nodes, slow.needed / ours.needed, AS_GOOD),
        ratio(names.speed, ours.rate / slow.rate, 1.0),
    ];
    if has_goal {
        lines.push(ratio(names.filled, ours.filled, names.goal));
    }
    lines
}

#[allow(clippy::cast_precision_loss, reason = "shares and rates of small numbers")]
fn reached(fleets: &[Fleet], place: impl Fn(&Fleet) -> Packed) -> Reached {
    let each: Vec<Reached> = fleets.iter().map(|fleet| of_one(fleet, &place)).collect();
    let mean = |part: fn(&Reached) -> f64| each.iter().map(part).sum::<f64>() / each.len() as f64;
    Reached {
        filled: mean(|one| one.filled),
        needed: mean(|one| one.needed),
        rate: mean(|one| one.rate),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shares and rates of small numbers")]
fn of_one(fleet: &Fleet, place: impl Fn(&Fleet) -> Packed) -> Reached {
    let full = place(fleet);
    // Half of the nodes are the least by what is counted.
    let (mut few, mut enough) = (fleet.nodes.len() / 3, fleet.nodes.len());
    while few < enough {
        let nodes = few.midpoint(enough);
        if place(&fleet.first(nodes)).tasks == fleet.list {
            enough = nodes;
        } else {
            few = nodes + 1;
        }
    }
    Reached {
        filled: fleet.share(full.held),
        needed: enough as f64 / fleet.nodes.len() as f64,
        rate: full.tasks as f64 / full.took.as_secs_f64(),
    }
}

fn show(name: &str, reached: Reached) -> Reached {
    let Reached { filled, needed, rate } = reached;
    println!("{name:<28} {filled:>8.4} {needed:>8.4} {rate:>12.0}");
    reached
}
