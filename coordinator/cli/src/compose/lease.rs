//! Protection of work in flight: `lease` of `x-wharf`.

use model::lease::LEASE_LIMIT;
use proto::wire::LeasePolicy;
use proto::wire::service_spec::Mode;

use super::node::Node;
use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Where containers find the socket: nothing else is mounted there.
const DIRECTORY: &str = "/run/wharf";

/// Reads whether tasks may take leases, and for how long they are waited for.
pub(super) fn read(
    problems: &mut Problems,
    service: &Section<'_>,
    mode: Mode,
) -> Option<LeasePolicy> {
    let wharf = service.section(problems, "x-wharf");
    let cap_ms = wharf.read(problems, "lease", cap)?;
    let place = wharf.node("lease")?.place;
    if let Mode::Once(_) | Mode::Job(_) = mode {
        let hint = "leave it out: nothing stops a job but its deadline, a drain that has waited for long, or what matters more";
        problems.error(place, "a job takes no leases: it runs to its end").hint(hint);
        return None;
    }
    Some(LeasePolicy { cap_ms })
}

/// Where the socket would be mounted, and what asks for it.
pub(super) fn target(
    problems: &mut Problems,
    service: &Section<'_>,
) -> Option<(&'static str, Place)> {
    let wharf = service.section(problems, "x-wharf");
    wharf.node("lease").map(|node| (DIRECTORY, node.place))
}

fn cap(problems: &mut Problems, node: &Node) -> Option<u64> {
    let cap_ms = values::some_duration_ms(problems, node)?;
    let longest = LEASE_LIMIT.as_millis();
    if cap_ms < 1_000 || u128::from(cap_ms) > longest {
        let message = "a lease is waited for from 1s to 48h";
        problems.error(node.place, message).hint("write a time like `15m`");
        return None;
    }
    Some(cap_ms)
}
