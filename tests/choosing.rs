//! Which container images go into a machine image.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeMap;

use coordinator_core::event::Event;
use coordinator_core::image_set::{choose, chosen};
use model::bake::ImageSet;
use model::image::Digest;

use story::{Story, specs};

const MB: u64 = 1_000_000;

/// Three replicas run image 1, a service of every node runs image 2, and before image 1 there was image 3.
fn running() -> Story {
    let mut story = Story::new(&[("a", "za"), ("b", "zb"), ("c", "za"), ("d", "zb")]);
    for (service, image, replicas) in [("shop/front", 3, 3), ("shop/agent", 2, 1)] {
        deploy(&mut story, service, image, replicas);
        story.start_all();
        story.pass(120, &["a", "b", "c", "d"]);
    }
    deploy(&mut story, "shop/front", 1, 3);
    story
}

fn deploy(story: &mut Story, service: &str, image: u32, replicas: u32) {
    let mut spec = specs::spec_of(&service.parse().unwrap(), image, replicas);
    spec.task.containers.truncate(1);
    spec.task.containers[0].ports.clear();
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

fn set(budget_bytes: u64) -> ImageSet {
    ImageSet { what_runs: true, extra: Vec::new(), budget_bytes }
}

fn sizes() -> BTreeMap<Digest, u64> {
    let of = |number: u32, bytes| (specs::image(number).digest().clone(), bytes);
    [of(1, 800 * MB), of(2, 100 * MB), of(3, 700 * MB), of(4, 10 * MB)].into()
}

#[test]
fn what_runs_goes_in_and_what_it_could_go_back_to_if_there_is_room() {
    let story = running();
    let all = choose(&story.cluster, &set(10_000 * MB), &sizes());
    assert_eq!(all.len(), 3, "{all:#?}");
    assert!(all.iter().all(|one| one.is_chosen));
    assert_eq!(chosen(&all).len(), 3);
    assert!(all.iter().any(|one| one.why.contains("runs in shop/agent")), "{all:#?}");
    let again = choose(&story.cluster, &set(10_000 * MB), &sizes());
    assert_eq!(all, again, "the same cluster, the same choice");
}

#[test]
fn under_a_small_budget_the_best_use_of_it_goes_in_and_the_rest_says_why_not() {
    let story = running();
    let some = choose(&story.cluster, &set(850 * MB), &sizes());
    let of = |number: u32| {
        let digest = specs::image(number).digest().clone();
        some.iter().find(|one| *one.image.digest() == digest).unwrap()
    };
    let taken: u64 = some.iter().filter(|one| one.is_chosen).filter_map(|one| one.bytes).sum();
    assert!(taken <= 850 * MB, "{some:#?}");
    // A second of waiting for a registry weighs more in a small image.
    assert!(of(2).is_chosen, "{some:#?}");
    assert!(some.iter().any(|one| !one.is_chosen && one.why.contains("MB left")), "{some:#?}");
}

#[test]
fn what_the_recipe_asks_for_goes_in_whatever_the_budget_and_once() {
    let story = running();
    let extra = vec![specs::image(4), specs::image(2), specs::image(4)];
    let choices = choose(&story.cluster, &ImageSet { extra, ..set(0) }, &sizes());
    let asked = choices.iter().filter(|one| one.why == "the recipe asks for it").count();
    assert_eq!((asked, choices.iter().filter(|one| one.is_chosen).count()), (2, 2), "{choices:#?}");
    let nothing = ImageSet { what_runs: false, ..set(10_000 * MB) };
    assert!(choose(&story.cluster, &nothing, &sizes()).is_empty());
}
