//! What a container holds and what it is limited to. Compose has a place under `deploy` and an older one beside it.

use proto::wire::Resources;

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
    let (cpus, memory) = (agreed(problems, cpus), agreed(problems, memory));
    let (held, pids) = (agreed(problems, held), agreed(problems, pids));
    check_least(problems, memory);
    check_fits(problems, held_cpus, cpus);
    check_fits(problems, held, memory);
    let amount = |given: Given<'_, u64>| given.map_or(0, |(amount, _)| amount);
    Amounts {
        reservation: Resources { cpu_millis: amount(held_cpus), memory_bytes: amount(held) },
        limit: Resources { cpu_millis: amount(cpus), memory_bytes: amount(memory) },
        pids_limit: pids.and_then(|(limit, _)| limit),
    }
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
