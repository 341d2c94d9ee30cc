//! Bugs in the survey of all nodes that places many tasks at once, or those that would rather have something.

use super::{Mutant, PLACE, bug};

const FIELD: &str = "coordinator/core/src/plan/place/field.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a full node takes more",
        FIELD,
        "if !asked.reservation.fits(&free)",
        "if !PLANTED && !asked.reservation.fits(&free)",
    ),
    bug(
        "a port is given twice",
        FIELD,
        "is_some_and(|node| is_taken(node))",
        "is_some_and(|node| !PLANTED && is_taken(node))",
    ),
    bug(
        "one node takes all tasks of a generation, however many",
        FIELD,
        "let may = self.reservation.fits(&free) &&",
        "let may = (PLANTED || self.reservation.fits(&free)) &&",
    ),
    bug(
        "a node that was packed is not judged again",
        FIELD,
        "packing: self.packing(&free),",
        "packing: if PLANTED { candidate.packing } else { self.packing(&free) },",
    ),
    bug(
        "a node that was taken is not taken again",
        FIELD,
        "group.again.extend(again.",
        "group.again.extend(again.filter(|_| !PLANTED).",
    ),
    bug(
        "tasks of the same value are not counted among those that are placed at once",
        FIELD,
        "leaning.iter_mut().for_each(|leaning| leaning.took(kind))",
        "leaning.iter_mut().filter(|_| !PLANTED).for_each(|leaning| leaning.took(kind))",
    ),
    bug(
        "a zone is as good as when it was looked at first",
        FIELD,
        "if self.leaning.is_some() {",
        "if !PLANTED && self.leaning.is_some() {",
    ),
    bug(
        "nodes of the same values are as good as before one of them was taken",
        FIELD,
        "if now == Some(known) {",
        "if now == Some(known) || PLANTED && now.is_some_and(|now| now.candidate == known.candidate) {",
    ),
    bug(
        "a volume that somebody has to make is looked for nowhere",
        FIELD,
        "|| asked.needs_volumes &&",
        "|| !PLANTED && asked.needs_volumes &&",
    ),
    bug(
        "data that were left behind are forgotten",
        FIELD,
        "asked.keeps_data && is_without_data(",
        "!PLANTED && asked.keeps_data && is_without_data(",
    ),
    bug(
        "what a node has is known as it was when it was asked first",
        "coordinator/core/src/cluster.rs",
        "            self.suiting.forget();\n            self.grounds",
        "            if !PLANTED {\n                self.suiting.forget();\n            }\n            self.grounds",
    ),
    bug(
        "what is preferred is known of those nodes only that were there when it was asked first",
        "coordinator/core/src/cluster.rs",
        "            self.grounds.forget();\n",
        "            if !PLANTED {\n                self.grounds.forget();\n            }\n",
    ),
    bug(
        "whoever was there before is as good as new",
        FIELD,
        "fresh.sort_by_key(Candidate::terms);",
        "if !PLANTED { fresh.sort_by_key(Candidate::terms); }",
    ),
    bug(
        "packed and spread are the same",
        FIELD,
        "Strategy::Binpack => Some(Arc::clone(cluster.mix())),",
        "Strategy::Binpack => (!PLANTED).then(|| Arc::clone(cluster.mix())),",
    ),
    bug(
        "a single task goes where its service would rather not be",
        PLACE,
        "!spec.preferences.is_empty() ||",
        "!PLANTED && !spec.preferences.is_empty() ||",
    ),
];
