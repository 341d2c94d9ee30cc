//! What is heard of load balancers is kept, and never stored: the next look says it again.

use model::traffic::{Look, RegistrationId, RegistrationPhase, TargetGroup};

use crate::cluster::Failure;
use crate::command;
use crate::draft::Draft;
use crate::event::{Reply, TrafficEvent};

pub(super) fn absorb(draft: &mut Draft<'_>, event: &TrafficEvent) -> Reply {
    match event {
        TrafficEvent::Looked(looks) => look(draft, looks),
        TrafficEvent::Told { group, phase, targets, failure: None } => {
            draft.cluster.traffic.failed.remove(&(group.clone(), *phase));
            let id =
                |target: &_| RegistrationId { group: group.clone(), target: Clone::clone(target) };
            let told = (*phase, draft.now);
            targets.iter().map(id).for_each(|id| draft.cluster.told_group(&id, told));
        }
        TrafficEvent::Told { group, phase, failure: Some(why), .. } => {
            fail(draft, (group, *phase), why);
        }
    }
    Reply::Noted
}

fn look(draft: &mut Draft<'_>, looks: &[Look]) {
    let now = draft.now;
    for Look { group, shown } in looks {
        draft.cluster.saw_group((group, shown.clone()), now);
    }
    draft.cluster.forget_groups();
}

fn fail(draft: &mut Draft<'_>, (group, phase): (&TargetGroup, RegistrationPhase), why: &str) {
    let now = draft.now;
    let failed = &mut draft.cluster.traffic.failed;
    let count = failed.get(&(group.clone(), phase)).map_or(0, |failure| failure.count);
    let (why, not_before) = (why.to_owned(), command::retry(count, now));
    failed.insert(
        (group.clone(), phase),
        Failure { count: count.saturating_add(1), not_before, why },
    );
}
