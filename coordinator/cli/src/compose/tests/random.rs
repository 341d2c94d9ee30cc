//! Whatever is in a file, the reader answers: with services that are complete, or with errors.

use proptest::prelude::*;
use proto::wire::service_spec::Mode;

use super::super::keys::{FILE, Inside, Key};
use super::{Options, expect, memory, options, read};

/// A file that has a bit of everything, to be broken.
const VALID: &str = "
name: shop
x-base: &base {restart: always, environment: &env [A=1, \"B=${X:-y}\"]}
services:
  web:
    <<: *base
    image: nginx:1.27
    command: sh -c 'echo \"hi\"'
    ports: [\"8080:80/tcp\", {target: 5, published: \"6\"}]
    volumes: [data:/d:ro, ./x:/y]
    depends_on: {db: {condition: service_healthy}}
    deploy: {replicas: 3, resources: {limits: {cpus: '0.5', memory: 64m}}}
    healthcheck: {test: [CMD, true-ish], interval: 1m30s}
  db:
    extends: {service: web}
    depends_on: !reset []
    ports: !override []
    environment: *env
    network_mode: none
  side: {image: s, network_mode: 'service:db'}
  nightly:
    image: n
    deploy: {mode: replicated-job, replicas: 2, restart_policy: {condition: on-failure, max_attempts: 2}}
    x-wharf:
      job: {parallelism: 1, deadline: 1h, history: {failed: 1}}
      schedule: {cron: '*/5 1-3 1,15 * mon-fri', time_zone: Europe/Berlin, overlap: replace, catch_up: all, catch_up_within: 6h}
volumes: {data: }
configs: {c: {content: \"$$x\"}}
";

pub(super) fn run(bytes: &[u8]) {
    let mut files = memory(&[("x.env", "A=1"), ("lib.yaml", VALID)]);
    files.0.insert("/srv/shop/compose.yaml".into(), bytes.to_vec());
    files.0.insert("/srv/shop/.env".into(), bytes.to_vec());
    let with_env = options(&["compose.yaml", "lib.yaml"]);
    let without = Options { env_files: vec!["x.env".into()], ..options(&["compose.yaml"]) };
    for options in [with_env, without] {
        match read(&options, &files) {
            Ok(project) => project.services.iter().for_each(check_complete),
            Err(errors) => {
                assert!(!errors.is_empty(), "refused without an error");
                errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
            }
        }
    }
}

#[test]
fn the_file_that_is_broken_is_fine_as_it_is() {
    let mut files = memory(&[("compose.yaml", VALID)]);
    files.0.insert("/srv/shop/lib.yaml".into(), VALID.into());
    let project = expect(read(&options(&["compose.yaml", "lib.yaml"]), &files));
    assert_eq!(project.services.len(), 3);
    project.services.iter().for_each(check_complete);
}

/// What the coordinator relies on: nothing is left out and no enum is unspecified.
fn check_complete(spec: &proto::wire::ServiceSpec) {
    let task = spec.task.as_ref().unwrap();
    let update = spec.update.as_ref().unwrap();
    assert!(matches!(&spec.mode, Some(Mode::Replicated(_) | Mode::Global(_) | Mode::Job(_))));
    assert!(update.order != 0 && update.on_failure != 0 && update.parallelism > 0);
    assert!(task.restart.as_ref().unwrap().condition != 0);
    assert!(task.network.as_ref().unwrap().kind.is_some() && !task.containers.is_empty());
    assert!(spec.after.iter().all(|wait| wait.condition != 0));
    for container in &task.containers {
        assert!(
            container.image.is_some()
                && container.process.is_some()
                && container.security.is_some()
        );
        assert!(container.reservation.is_some() && container.limit.is_some());
        assert!(container.ports.iter().all(|port| port.protocol != 0 && port.container > 0));
        assert!(container.mounts.iter().all(|mount| mount.source.is_some()));
        assert!(container.health.as_ref().is_none_or(|health| health.probe.is_some()));
    }
}

/// All names of keys, and pieces that mean something in values.
fn vocabulary() -> Vec<String> {
    let mut words = Vec::new();
    collect(&mut words, FILE);
    let pieces = [
        "<<",
        "*a",
        "&a",
        "!reset",
        "!override",
        "!x",
        "null",
        "true",
        "-1",
        "1e9",
        "${",
        "$A",
        "${A:-b}",
        "$$",
        "service:web",
        "80:80",
        "x.env",
        "lib.yaml",
        "web",
        "db",
        "1m",
        "64m",
        "node.id == x",
        "~",
        "'",
        "\"",
        "\u{1b}",
        "é",
        "---",
        "?",
        "|",
        ">",
    ];
    words.extend(pieces.map(str::to_owned));
    words
}

fn collect(words: &mut Vec<String>, keys: &'static [Key]) {
    for key in keys {
        words.push(key.name.to_owned());
        if let Inside::Keys(keys) | Inside::Named(keys) = key.inside {
            collect(words, keys);
        }
    }
}

/// Any YAML, flow style, made of words that mean something.
fn tree() -> impl Strategy<Value = String> {
    let word = || prop::sample::select(vocabulary());
    let leaf = prop_oneof![4 => word(), 1 => "[ -~]{0,8}".prop_map(|text| format!("{text:?}"))];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let entry = (prop::sample::select(vocabulary()), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(entry, 0..6).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// A service whose keys are those of services and whose values are anything.
fn odd_service() -> impl Strategy<Value = String> {
    let keys: Vec<&'static str> = super::super::keys::SERVICE.iter().map(|key| key.name).collect();
    let entries = prop::collection::btree_map(prop::sample::select(keys), tree(), 0..4);
    entries.prop_map(|entries| {
        let lines: Vec<String> =
            entries.into_iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
        format!("services:\n  web:\n    image: a\n{}", lines.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        run(&bytes);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        run(text.as_bytes());
    }

    #[test]
    fn no_broken_file_makes_it_panic(
        cuts in prop::collection::vec((0..VALID.len(), 0_usize..12, prop::sample::select(vocabulary())), 1..6),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, length, piece) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, piece.into_bytes());
        }
        run(&bytes);
    }

    #[test]
    fn no_tree_makes_it_panic(text in tree()) {
        run(text.as_bytes());
    }

    #[test]
    fn no_odd_service_makes_it_panic(text in odd_service()) {
        run(text.as_bytes());
    }
}
