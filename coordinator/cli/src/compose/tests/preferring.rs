//! What a service would rather have of nodes, what else it holds of them, and volumes that somebody else has made.

use proto::wire::mount::Source;
use proto::wire::preference::Of;
use proto::wire::{Preference, ServiceSpec};

use super::{errors, service};

fn with(wharf: &str) -> ServiceSpec {
    service(&format!("services: {{web: {{image: a, x-wharf: {wharf}}}}}"))
}

/// `WEIGHT over ATTRIBUTE SHARES` or `WEIGHT nodes CONSTRAINT`.
fn told(preferences: &[Preference]) -> Vec<String> {
    let one = |preference: &Preference| match preference.of.as_ref().unwrap() {
        Of::Nodes(text) => format!("{} nodes {text}", preference.weight),
        Of::Spread(spread) => {
            let shares: Vec<String> =
                spread.shares.iter().map(|(value, share)| format!(" {value}={share}")).collect();
            format!("{} over {}{}", preference.weight, spread.attribute, shares.concat())
        }
    };
    preferences.iter().map(one).collect()
}

#[test]
fn preferences_are_wishes_and_spreads_with_weights() {
    let read = with(
        "{prefer: [{nodes: node.labels.disk  ==  ssd}, {spread: node.labels.rack, weight: 7, shares: {a: 70%, b: 20}}]}",
    );
    assert_eq!(
        told(&read.preferences),
        ["50 nodes node.labels.disk == ssd", "7 over node.labels.rack a=70 b=20"]
    );
    assert_eq!(read.task, with("{}").task, "a change of them exchanges nothing");
}

#[test]
fn the_preferences_of_compose_count_in_their_order() {
    let with = |preferences: &str| {
        let deploy = format!("{{placement: {{preferences: {preferences}}}}}");
        service(&format!("services: {{web: {{image: a, deploy: {deploy}}}}}")).preferences
    };
    let two = with("[{spread: node.labels.rack}, {spread: node.zone}]");
    assert_eq!(told(&two), ["100 over node.labels.rack", "10 over node.zone"]);
    // It happens anyway.
    for zone in ["node.zone", "node.labels.zone"] {
        assert!(with(&format!("[{{spread: {zone}}}]")).is_empty());
    }
}

#[test]
fn disk_and_processes_are_reserved_beside_what_compose_has() {
    let read = with("{reserve: {disk: 10g, pids: 200}}");
    let held = read.task.unwrap().containers[0].reservation.unwrap();
    assert_eq!((held.disk_bytes, held.pids, held.memory_bytes), (10 << 30, 200, 0));
}

#[test]
fn a_volume_that_is_external_is_mounted_by_its_name_on_the_engine() {
    let text = "
services:
  web:
    image: a
    volumes:
      - models:/models:ro
      - {type: volume, source: other, target: /other}
      - own:/own
volumes:
  models: {external: true}
  other: {external: true, name: nfs.Share_1}
  own: {}
";
    let task = service(text).task.unwrap();
    let sources: Vec<_> =
        task.containers[0].mounts.iter().map(|mount| mount.source.clone().unwrap()).collect();
    let host = |name: &str| Source::HostVolume(name.to_owned());
    assert_eq!(sources, [host("models"), host("nfs.Share_1"), Source::Volume("own".to_owned())]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cases = [
        ("prefer: [{}]", "a preference says either which nodes, or over what tasks are spread"),
        (
            "prefer: [{nodes: node.zone == a, spread: node.zone}]",
            "a preference says either which nodes, or over what tasks are spread",
        ),
        ("prefer: [{nodes: node.zone == a, shares: {a: 1%}}]", "shares are of a spread"),
        (
            "prefer: [{nodes: image.present(nginx)}]",
            "nodes that have the images already are preferred anyway",
        ),
        ("prefer: [{spread: node.label.rack}]", "`node.label.rack` is no attribute of a node"),
        (
            "prefer: [{spread: node.zone, shares: {a: 60%, b: 50%}}]",
            "the shares are 110 percent together",
        ),
        ("prefer: [{spread: node.zone, shares: {a: much}}]", "`much` is no share"),
        ("prefer: [{spread: node.zone, weight: 0}]", "1 to 100"),
        ("prefer: [{spread: node.zone, weight: 101}]", "1 to 100"),
        ("reserve: {pids: 5000000}", "0 to 4194304"),
        ("reserve: {pids: 20}, priority: 3", "`3` is not a priority"),
    ];
    for (wharf, expected) in cases {
        let said = errors(&format!("services: {{web: {{image: a, x-wharf: {{{wharf}}}}}}}"));
        assert!(said.contains(expected), "{wharf}: {said}");
    }
    let many = ["{spread: node.zone}"; 9].join(", ");
    let said = errors(&format!("services: {{web: {{image: a, x-wharf: {{prefer: [{many}]}}}}}}"));
    assert!(said.contains("9 preferences are more than the 8 allowed"), "{said}");
    let global = "services: {web: {image: a, x-wharf: {prefer: [{spread: node.zone}]}, deploy: {mode: global}}}";
    assert!(errors(global).contains("whatever it would rather have"));
    let limit = "services: {web: {image: a, pids_limit: 10, x-wharf: {reserve: {pids: 11}}}}";
    assert!(errors(limit).contains("more is reserved than the limit allows"));
    for (volume, expected) in [
        (
            "{external: true, name: wharf-a-b-c}",
            "is not the name of a volume that somebody else can make",
        ),
        (
            "{external: true, name: /srv/data}",
            "is not the name of a volume that somebody else can make",
        ),
        ("{name: data}", "the volumes of a project are named by Wharf"),
        ("{external: false, name: data}", "the volumes of a project are named by Wharf"),
    ] {
        let said = errors(&format!("services: {{web: {{image: a}}}}\nvolumes: {{data: {volume}}}"));
        assert!(said.contains(expected), "{volume}: {said}");
    }
}
