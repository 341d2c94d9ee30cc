//! What a container holds and what it is limited to. Compose has a place under `deploy` and an older one beside it.

use model::resources::{GPUS_LIMIT, PIDS_LIMIT};
use proto::wire::Resources;

use super::keys::DEVICE;
use super::node::Node;
use super::problems::Problems;
use super::section::Section;
use super::security;
use super::values;

/// The least memory that the engine takes as a limit, in bytes (`linuxMinMemory` of moby).
const MEMORY_LEAST: u64 = 6 << 20;

/// What a container holds and what it is limited to.
#[derive(Debug, Default)]
pub(super) struct Amounts {
    pub reservation: Resources,
    pub limit: Resources,
    pub pids_limit: Option<u32>,
}

/// An amount and where it stands.
type Given<'a, T> = Option<(T, &'a Node)>;

/// Reads all amounts of a service.
pub(super) fn read(
    problems: &mut Problems,
    service: &Section<'_>,
    deploy: &Section<'_>,
) -> Amounts {
    let resources = deploy.section(problems, "resources");
    let limits = resources.section(problems, "limits");
    let reservations = resources.section(problems, "reservations");
    let cpus =
        [(service, "cpus"), (&limits, "cpus")].map(|at| given(problems, at, values::millicores));
    let memory =
        [(service, "mem_limit"), (&limits, "memory")].map(|at| given(problems, at, values::bytes));
    let held = [(service, "mem_reservation"), (&reservations, "memory")];
    let held = held.map(|at| given(problems, at, values::bytes));
    let pids =
        [(service, "pids_limit"), (&limits, "pids")].map(|at| given(problems, at, security::pids));
    let held_cpus = given(problems, (&reservations, "cpus"), values::millicores);
    let more = service.section(problems, "x-wharf").section(problems, "reserve");
    let disk = given(problems, (&more, "disk"), values::bytes);
    let held_pids = given(problems, (&more, "pids"), processes);
    let (cpus, memory) = (agreed(problems, cpus), agreed(problems, memory));
    let (held, pids) = (agreed(problems, held), agreed(problems, pids));
    check_least(problems, memory);
    check_fits(problems, held_cpus, cpus);
    check_fits(problems, held, memory);
    let limit = pids.map(|(limit, node)| (u64::from(limit), node));
    check_fits(problems, held_pids, limit);
    let amount = |given: Given<'_, u64>| given.map_or(0, |(amount, _)| amount);
    Amounts {
        reservation: Resources {
            cpu_millis: amount(held_cpus),
            memory_bytes: amount(held),
            gpus: gpus(problems, &reservations),
            disk_bytes: amount(disk),
            pids: amount(held_pids),
        },
        limit: Resources {
            cpu_millis: amount(cpus),
            memory_bytes: amount(memory),
            ..Resources::default()
        },
        pids_limit: pids.map(|(limit, _)| limit),
    }
}

/// Reads `devices`: GPUs are all that is given away. Several entries add up, as in Compose.
fn gpus(problems: &mut Problems, reservations: &Section<'_>) -> u64 {
    let Some(node) = reservations.node("devices") else { return 0 };
    let items = values::list(problems, node).unwrap_or_default();
    let counts = items.iter().map(|item| device(problems, item).unwrap_or_default());
    let total = counts.sum();
    if total > GPUS_LIMIT {
        let message = format!("{total} GPUs are more than any machine has");
        problems.error(node.place, message).hint(format!("give at most {GPUS_LIMIT}"));
    }
    total
}

fn device(problems: &mut Problems, item: &Node) -> Option<u64> {
    let device = Section::new(problems, item, DEVICE);
    let driver = device.read(problems, "driver", values::text);
    if let (Some(driver), Some(node)) =
        (driver.filter(|word| *word != "nvidia"), device.node("driver"))
    {
        let message = format!("devices of the driver `{driver}` are not supported");
        problems.error(node.place, message).hint("write `nvidia`, or leave it out");
    }
    let words = device.read(problems, "capabilities", values::list).unwrap_or_default();
    let words: Vec<&str> = words.iter().filter_map(|word| values::text(problems, word)).collect();
    if !words.contains(&"gpu") {
        let message = "only devices with the capability `gpu` are scheduled";
        problems.error(item.place, message).hint("write `capabilities: [gpu]`");
        return None;
    }
    let Some(count) = device.node("count") else {
        let message = "it is not said how many GPUs the container needs";
        problems.error(item.place, message).hint("write `count: 1`; `all` is not supported");
        return None;
    };
    match values::text(problems, count)? {
        "all" => {
            let message = "how many GPUs are all is known only on the node";
            problems.error(count.place, message).hint("give a number");
            None
        }
        _ => {
            let most = i64::try_from(GPUS_LIMIT).unwrap_or(i64::MAX);
            let count = values::whole(problems, count, 1..=most)?;
            u64::try_from(count).ok()
        }
    }
}

fn processes(problems: &mut Problems, node: &Node) -> Option<u64> {
    let most = i64::try_from(PIDS_LIMIT).unwrap_or(i64::MAX);
    u64::try_from(values::whole(problems, node, 0..=most)?).ok()
}

fn given<'a, T>(
    problems: &mut Problems,
    (section, name): (&Section<'a>, &'static str),
    read: fn(&mut Problems, &Node) -> Option<T>,
) -> Given<'a, T> {
    let node = section.node(name)?;
    Some((read(problems, node)?, node))
}

/// What both places say; an error when they differ.
fn agreed<'a, T: PartialEq>(problems: &mut Problems, both: [Given<'a, T>; 2]) -> Given<'a, T> {
    match both {
        [Some((older, old)), Some((newer, new))] => {
            if older != newer {
                let problem =
                    problems.error(old.place, "this differs from what `deploy.resources` says");
                problem.other("it says", new.place).hint("keep one of them");
            }
            Some((newer, new))
        }
        [one, other] => one.or(other),
    }
}

fn check_least(problems: &mut Problems, limit: Given<'_, u64>) {
    if let Some((bytes, node)) = limit
        && bytes > 0
        && bytes < MEMORY_LEAST
    {
        let message = "less memory than the engine takes as a limit";
        problems.error(node.place, message).hint("give at least `6m`");
    }
}

fn check_fits(problems: &mut Problems, held: Given<'_, u64>, limit: Given<'_, u64>) {
    if let (Some((held, at)), Some((limit, other))) = (held, limit)
        && limit > 0
        && held > limit
    {
        let problem = problems.error(at.place, "more is reserved than the limit allows");
        problem.other("the limit", other.place).hint("raise the limit or lower the reservation");
    }
}
