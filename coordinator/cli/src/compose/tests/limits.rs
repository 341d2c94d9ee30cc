//! What no file can do, whoever wrote it.

use std::fmt::Write;

use super::{Options, errors, memory, options, read, rendered, try_read, web_errors};

/// The first error, without excerpt and hint.
fn first(text: &str) -> String {
    match try_read(text) {
        Ok(_) => String::new(),
        Err(errors) => errors[0].message.clone(),
    }
}

#[test]
fn aliases_can_not_multiply_without_an_end() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert_eq!(first(&text), "more than 100000 values, those of aliases included");
    let long = "x".repeat(500_000);
    let text = format!("a: &a {long}\nb: [{}]", vec!["*a"; 100].join(", "));
    assert_eq!(first(&text), "more than 8388608 bytes of text, that of aliases included");
}

#[test]
fn variables_can_not_multiply_without_an_end() {
    let mut env = "A0=0123456789\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        writeln!(env, "A{level}=$A{below}$A{below}$A{below}").unwrap();
    }
    let files = memory(&[("compose.yaml", "services: {web: {image: a}}"), (".env", &env)]);
    let errors = read(&options(&["compose.yaml"]), &files).unwrap_err();
    assert_eq!(errors[0].message, "variables have become more than 16777216 bytes of text");
    let nested =
        format!("services: {{web: {{image: '{}x{}'}}}}", "${A:-".repeat(100), "}".repeat(100));
    assert_eq!(first(&nested), "defaults are nested too deep");
}

#[test]
fn nesting_has_an_end() {
    let flow = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(first(&flow), "nested more than 64 levels deep");
    assert!(!first(&format!("a: {}", "[".repeat(500_000))).is_empty());
    assert!(!first(&"- ".repeat(100_000)).is_empty());
    let aliased = format!(
        "a: &a {}{}\nb: {}*a{}",
        "[".repeat(40),
        "]".repeat(40),
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(first(&aliased), "nested more than 64 levels deep");
}

#[test]
fn an_anchor_can_not_hold_itself() {
    assert_eq!(first("a: &a [*a]"), "an alias can not be inside of its own anchor");
    assert!(first("a: *b").starts_with("not YAML: "));
}

#[test]
fn a_file_has_a_length() {
    let text = format!("# {}\nservices: {{web: {{image: a}}}}", "x".repeat(1 << 20));
    assert_eq!(first(&text), "compose.yaml has more than 1048576 bytes");
}

#[test]
fn a_project_has_a_size() {
    let services: String =
        (0..1_001).map(|number| format!("  s{number}: {{image: a}}\n")).collect();
    assert_eq!(first(&format!("services:\n{services}")), "more than 1000 services");
    let long = "x".repeat(400_000);
    let users: String =
        (0..100).map(|number| format!("  s{number}: {{image: a, configs: [c]}}\n")).collect();
    let text = format!("services:\n{users}configs: {{c: {{content: {long}}}}}");
    assert_eq!(first(&text), "the files of the project have more than 33554432 bytes");
    let too_long = format!(
        "services: {{a: {{image: a, configs: [c]}}}}\nconfigs: {{c: {{content: {}}}}}",
        "x".repeat(500_001)
    );
    assert_eq!(first(&too_long), "a config has at most 500000 bytes");
}

#[test]
fn what_is_extended_has_a_size() {
    let values = vec!["x"; 50_000].join(", ");
    let users: String = (0..10).map(|number| format!("  s{number}: {{extends: base}}\n")).collect();
    let text = format!("services:\n  base: {{image: a, command: [{values}]}}\n{users}");
    assert!(errors(&text).contains("more than 200000 values are taken over by `extends`"));
    let chain: String = (0..40)
        .map(|number| format!("  s{number}: {{image: a, extends: s{}}}\n", number + 1))
        .collect();
    let text = format!("services:\n{chain}  s40: {{image: a}}\n");
    assert!(errors(&text).contains("more than 16 services extend one another"));
}

#[test]
fn only_so_many_errors_are_shown() {
    let keys: String = (0..500).map(|number| format!("bad{number}: 1\n")).collect();
    let errors = try_read(&format!("{keys}services: {{web: {{image: a}}}}")).unwrap_err();
    assert_eq!(errors.len(), 101);
    assert_eq!(rendered(&errors[100..]), "error: 400 more are not shown");
}

#[test]
fn absurd_amounts_are_refused() {
    let refused = [
        "    deploy: {replicas: 100001}",
        "    deploy: {replicas: -1}",
        "    deploy: {replicas: 1.5}",
        "    deploy: {replicas: .nan}",
        "    deploy: {replicas: 99999999999999999999}",
        "    cpus: .inf",
        "    cpus: -0.5",
        "    mem_limit: 1m",
        "    mem_limit: -1",
        "    mem_limit: 99999999999999999999g",
        "    stop_grace_period: 9999999h",
        "    stop_grace_period: 10",
        "    ports: [70000]",
        "    ports: ['1-65535']",
        "    ports: ['80-90:80']",
        "    ports: ['9-8']",
        "    ports: ['+80']",
        "    healthcheck: {x-tcp: {port: 0}}",
        "    healthcheck: {test: x, interval: 0s}",
        "    ulimits: {nofile: {soft: 2, hard: 1}}",
        "    deploy: {update_config: {max_failure_ratio: 2}}",
        "    deploy: {resources: {limits: {memory: 64m}, reservations: {memory: 65m}}}",
    ];
    for lines in refused {
        assert_eq!(web_errors(lines).len(), 1, "{lines}: {:?}", web_errors(lines));
    }
}

#[test]
fn characters_that_can_not_be_seen_are_refused() {
    for lines in [
        "    hostname: \"a\\0b\"",
        "    user: \"a\\x1b[31m\"",
        "    volumes: [\"data:/a\\nb\"]",
        "    environment: {\"A\\nB\": x}",
        "    environment: {A: \"\\0\"}",
        "    working_dir: \"/a\\tb\"",
    ] {
        assert_eq!(web_errors(lines).len(), 1, "{lines}: {:?}", web_errors(lines));
    }
    let shown = errors("services:\n  web: {image: a, \"bad\\x1b[31m\u{202e}\": 1}\n");
    assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown:?}");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let mut files = memory(&[]);
    files.0.insert("/srv/shop/compose.yaml".into(), b"services:\n  \xff".to_vec());
    let errors = read(&options(&["compose.yaml"]), &files).unwrap_err();
    assert!(rendered(&errors).starts_with("compose.yaml:2:3: error: not UTF-8"));
}

#[test]
fn no_file_at_all_is_told() {
    let errors = read(&Options::default(), &memory(&[])).unwrap_err();
    assert_eq!(rendered(&errors), "error: no Compose file\nhint: give one with -f");
    let errors = read(&options(&["none.yaml"]), &memory(&[])).unwrap_err();
    assert!(errors[0].message.starts_with("can not read none.yaml"));
}
