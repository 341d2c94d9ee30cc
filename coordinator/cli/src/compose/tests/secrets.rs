//! Secrets, as files name them, and values that look secret.

use proto::wire::rotation::Kind;
use proto::wire::{ContainerSpec, SecretFile, TaskSpec};

use super::{errors, try_read};

const DECLARED: &str =
    "secrets:\n  key: {external: true}\n  tls: {external: true, name: web.tls}\n";

fn task(more: &str) -> TaskSpec {
    let text = format!("services:\n  web:\n    image: a\n{more}{DECLARED}");
    try_read(&text).unwrap().services[0].task.clone().unwrap()
}

fn web(more: &str) -> ContainerSpec {
    task(more).containers[0].clone()
}

fn wrong(more: &str) -> String {
    errors(&format!("services:\n  web:\n    image: a\n{more}{DECLARED}"))
}

fn file(secret: &str, target: &str, (mode, uid, gid): (u32, u32, u32)) -> SecretFile {
    SecretFile { secret: secret.to_owned(), target: target.to_owned(), mode, uid, gid }
}

#[test]
fn a_short_secret_is_a_file_of_its_name_that_its_user_may_read() {
    let files = web("    secrets: [key, tls]\n    user: '7:8'\n").secret_files;
    let mine = |secret, target| file(secret, target, (0o400, 7, 8));
    assert_eq!(files, [mine("key", "/run/secrets/key"), mine("web.tls", "/run/secrets/tls")]);
    let files = web("    secrets: [key]\n    user: www-data\n").secret_files;
    assert_eq!(files, [file("key", "/run/secrets/key", (0o400, 0, 0))]);
}

#[test]
fn a_long_secret_says_where_it_is_and_whose() {
    let long = "    secrets:\n      - {source: key, target: a, uid: '5', gid: '6', mode: 0440}\n      - {source: tls, target: /etc/tls.pem}\n";
    let files = web(long).secret_files;
    let first = file("key", "/run/secrets/a", (0o440, 5, 6));
    assert_eq!(files, [first, file("web.tls", "/etc/tls.pem", (0o400, 0, 0))]);
}

#[test]
fn a_variable_can_be_a_secret() {
    let variables = web("    x-wharf: {secret_env: {DB: tls}}\n").secret_variables;
    assert_eq!(
        variables.into_iter().collect::<Vec<_>>(),
        [("DB".to_owned(), "web.tls".to_owned())]
    );
    let said = wrong("    x-wharf: {secret_env: {'../x': tls}}\n");
    assert!(said.contains("no secret can be in a variable `../x`"), "{said}");
    let said = wrong("    x-wharf: {secret_env: {DB: key}}\n    environment: {DB: x}\n");
    assert!(said.contains("`DB` is in `environment` as well"), "{said}");
}

#[test]
fn what_a_new_value_means_is_nothing_a_restart_or_a_signal() {
    let rotation = |text: &str| {
        let task =
            task(&format!("    secrets: [key]\n    x-wharf: {{secrets_rotation: {text}}}\n"));
        task.rotation.map(|rotation| rotation.kind.unwrap())
    };
    assert_eq!(rotation("none"), None);
    assert!(matches!(rotation("restart"), Some(Kind::Restart(_))));
    assert_eq!(rotation("signal SIGHUP"), Some(Kind::Signal("SIGHUP".to_owned())));
    for text in ["signal", "signal hup!", "reload", "true"] {
        let said = wrong(&format!("    x-wharf: {{secrets_rotation: {text}}}\n"));
        assert!(said.contains("error: ") && said.contains("hint: "), "{text}: {said}");
    }
}

#[test]
fn what_can_not_be_exchanged_under_a_program_takes_no_signal() {
    let apart = "    secrets: [{source: key, target: /etc/key}]\n    x-wharf: {secrets_rotation: signal HUP}\n";
    let said = wrong(apart);
    assert!(said.contains("`/etc/key` can not be exchanged while the program runs"), "{said}");
    let said = wrong("    x-wharf: {secret_env: {A: key}, secrets_rotation: signal HUP}\n");
    assert!(said.contains("`A` can not change while the program runs"), "{said}");
}

#[test]
fn a_secret_that_is_not_declared_or_has_its_value_in_a_file_is_refused_with_what_to_do() {
    let said = wrong("    secrets: [kye]\n");
    assert!(said.contains("the secret `kye` is not declared"), "{said}");
    assert!(said.contains("did you mean `key`?"), "{said}");
    let of = |source: &str| {
        errors(&format!(
            "services:\n  web:\n    image: a\n    secrets: [s]\nsecrets:\n  s: {source}\n"
        ))
    };
    for source in ["{file: x}", "{environment: X}", "{}", "{external: false}"] {
        let said = of(source);
        assert!(said.contains("wharf secret set"), "{source}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{source}: {said}");
    }
    for target in ["/run/secrets/a/b", "/run/secrets", "/etc/", "a/b"] {
        let said = wrong(&format!("    secrets: [{{source: key, target: {target}}}]\n"));
        assert!(said.contains("error: "), "{target}: {said}");
    }
}

#[test]
fn a_secret_that_aws_keeps_is_named_by_where_it_is() {
    let read = |from: &str| {
        let text =
            format!("services:\n  web:\n    image: a\n    secrets: [s]\nsecrets:\n  s: {from}\n");
        try_read(&text).map(|read| {
            let task = read.services[0].task.clone().unwrap();
            task.containers[0].secret_files.clone()
        })
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-AbCdEf";
    for (from, name) in [
        ("ssm:/shop/db:3", "ssm:/shop/db:3"),
        ("secretsmanager:shop/db#password", "secretsmanager:shop/db#password"),
        (&format!("{arn}:password::"), &format!("secretsmanager:{arn}#password")),
    ] {
        let files = read(&format!("{{x-wharf: {{from: '{from}'}}}}")).unwrap();
        assert_eq!(files, [file(name, "/run/secrets/s", (0o400, 0, 0))]);
        let files = read(&format!("{{external: true, x-wharf: {{from: '{from}'}}}}")).unwrap();
        assert_eq!(files.len(), 1, "engines want it to be external");
    }
    for (wrong, why) in [
        ("{x-wharf: {from: /shop/db}}", "begins with neither"),
        ("{x-wharf: {from: ''}}", "the value is empty"),
        ("{x-wharf: {from: '${NOT_SET-}'}}", "the value is empty"),
        ("{x-wharf: {from: 'ssm:/aws/reference/secretsmanager/a'}}", "write `secretsmanager:NAME`"),
        ("{name: a, x-wharf: {from: 'ssm:/a'}}", "leave one of both out"),
        ("{external: true, name: 'ssm:/a'}", "x-wharf: { from:"),
        ("{x-wharf: {}}", "is not `external: true`"),
        ("{x-wharf: {form: 'ssm:/a'}}", "from"),
    ] {
        let text =
            format!("services:\n  web:\n    image: a\n    secrets: [s]\nsecrets:\n  s: {wrong}\n");
        let said = errors(&text);
        assert!(said.contains("error: ") && said.contains(why), "{wrong}: {said}");
    }
}

#[test]
fn a_value_that_looks_secret_is_refused_where_it_stands_unless_it_is_allowed() {
    let said = wrong("    environment:\n      A: b\n      DB_PASSWORD: hunter2\n");
    assert!(said.contains("compose.yaml:6:"), "{said}");
    assert!(
        said.contains(
            "`DB_PASSWORD` is named like a secret, and would be stored and shown as it is"
        ),
        "{said}"
    );
    assert!(said.contains("x-wharf.allow_plain_env: [DB_PASSWORD]"), "{said}");
    let allowed =
        "    environment: {DB_PASSWORD: hunter2}\n    x-wharf: {allow_plain_env: [DB_PASSWORD]}\n";
    let process = web(allowed).process.unwrap();
    assert_eq!(process.environment["DB_PASSWORD"], "hunter2");
}
