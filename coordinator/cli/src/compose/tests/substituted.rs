//! Variables, files of variables, profiles and the name of the project.

use std::collections::BTreeMap;

use super::{Options, errors, expect, memory, options, read, rendered, try_read, web};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a text becomes as a value of the environment.
fn filled(text: &str) -> String {
    let file = format!("services: {{web: {{image: a, environment: {{X: '{text}'}}}}}}");
    let known = environment(&[("SET", "s"), ("EMPTY", "")]);
    let options = Options { environment: known, ..options(&["compose.yaml"]) };
    match read(&options, &memory(&[("compose.yaml", &file)])) {
        Ok(project) => {
            let container = &project.services[0].task.as_ref().unwrap().containers[0];
            container.process.as_ref().unwrap().environment["X"].clone()
        }
        Err(errors) => errors[0].message.clone(),
    }
}

#[test]
fn all_forms_of_variables_are_filled_in() {
    let cases = [
        ("$SET ${SET}x $$SET", "s sx $SET"),
        ("${SET:-d} ${EMPTY:-d} ${NONE:-d}", "s d d"),
        ("${SET-d} ${EMPTY-d} ${NONE-d}", "s  d"),
        ("${SET:+r} ${EMPTY:+r} ${NONE:+r}", "r  "),
        ("${SET+r} ${EMPTY+r} ${NONE+r}", "r r "),
        ("${SET:?e} ${EMPTY?e}", "s "),
        ("${NONE:-${EMPTY:-${SET}}}", "s"),
        ("${NONE:-a$$b{c}", "a$b{c"),
        ("${NONE}", ""),
        ("${EMPTY:?is needed}", "variable `EMPTY` is required: is needed"),
        ("${NONE?}", "variable `NONE` is required"),
        ("$", "a dollar sign without the name of a variable"),
        ("a $1", "a dollar sign without the name of a variable"),
        ("${}", "`${` without the name of a variable"),
        ("${SET", "`${SET` has no closing brace"),
        ("${SET!}", "a variable that can not be read"),
        ("${SET:}", "a variable that can not be read"),
    ];
    for (text, expected) in cases {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn an_error_in_a_variable_points_to_its_dollar_sign() {
    let text = "services:\n  web:\n    image: \"a$$b:${TAG:?give a tag}\"\n";
    let expected = "\
compose.yaml:3:18: error: variable `TAG` is required: give a tag
  3 |     image: \"a$$b:${TAG:?give a tag}\"
    |                  ^^^^^^^^^^^^^^^^^^^
hint: set it in the environment or in the file of --env-file";
    assert!(errors(text).starts_with(expected), "{}", errors(text));
}

#[test]
fn a_variable_that_is_not_set_is_a_warning() {
    let project = try_read("services:\n  web:\n    image: a${TAG}\n").unwrap();
    let expected = "\
compose.yaml:3:13: warning: variable `TAG` is not set and becomes empty
  3 |     image: a${TAG}
    |             ^^^^^^
hint: set it, or write `${TAG:-}` if that is meant";
    assert_eq!(rendered(&project.warnings), expected);
}

#[test]
fn variables_become_numbers_and_flags() {
    let file = "services: {web: {image: a, tty: $TTY, deploy: {replicas: \"${N}\"}}}";
    let known = environment(&[("TTY", "true"), ("N", "3")]);
    let options = Options { environment: known, ..options(&["compose.yaml"]) };
    let project = expect(read(&options, &memory(&[("compose.yaml", file)])));
    assert_eq!(project.services[0].update.unwrap().parallelism, 1);
    assert!(project.services[0].task.as_ref().unwrap().containers[0].process.as_ref().unwrap().tty);
}

#[test]
fn a_file_of_variables_has_comments_quotes_and_variables() {
    let env = "\u{feff}# all of it\r\nexport A=1\r\nB = two words # not this\nC='$A # \\' x'\nD=\"$A\\n\\$A\\\"\" # x\nE=${A:-x}${NONE:-y}\nF=\nG#\n\nH=\"over\nlines\"\nI=a#b\n";
    let text = "services: {web: {image: a, env_file: x.env, environment: {A: over}}}";
    let files = memory(&[("compose.yaml", text), ("x.env", env)]);
    let project = expect(read(&options(&["compose.yaml"]), &files));
    let container = &project.services[0].task.as_ref().unwrap().containers[0];
    let pairs: Vec<(&str, &str)> = container
        .process
        .as_ref()
        .unwrap()
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("A", "over"),
        ("B", "two words"),
        ("C", "$A # ' x"),
        ("D", "1\n$A\""),
        ("E", "1y"),
        ("F", ""),
        ("H", "over\nlines"),
        ("I", "a#b"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn an_error_in_a_file_of_variables_points_into_it() {
    let files = memory(&[
        ("compose.yaml", "services: {web: {image: a}}"),
        (".env", "A=1\n what is this\nB='x\n"),
    ]);
    let errors = rendered(&read(&options(&["compose.yaml"]), &files).unwrap_err());
    let expected = "\
.env:2:2: error: expected the name of a variable and `=`
  2 |  what is this
    |  ^
hint: a line is NAME=VALUE, or begins with `#`
.env:3:3: error: a quote that is not closed
  3 | B='x
    |   ^
hint: add the closing quote";
    assert_eq!(errors, expected);
}

#[test]
fn the_environment_goes_before_files_and_later_files_before_earlier_ones() {
    let files = memory(&[
        ("compose.yaml", "services: {web: {image: '$A-$B-$C'}}"),
        (".env", "A=env"),
        ("one.env", "A=1\nB=1\nC=1"),
        ("two.env", "B=2\nC=2"),
    ]);
    let image = |options: &Options| {
        let project = expect(read(options, &files));
        project.services[0].task.as_ref().unwrap().containers[0]
            .image
            .as_ref()
            .unwrap()
            .reference
            .clone()
    };
    let env_files = vec!["one.env".into(), "two.env".into()];
    let known = environment(&[("C", "p")]);
    assert_eq!(
        image(&Options { environment: known, env_files, ..options(&["compose.yaml"]) }),
        "1-2-p"
    );
    let known = environment(&[("B", "b"), ("C", "c")]);
    assert_eq!(image(&Options { environment: known, ..options(&["compose.yaml"]) }), "env-b-c");
}

#[test]
fn env_files_of_a_service_may_be_missing_or_raw() {
    let text = "
services:
  web:
    image: a
    env_file: [one.env, {path: no.env, required: false}, {path: raw.env, format: raw}]
    environment: [FROM_OUTSIDE, NOT_THERE]
";
    let files = memory(&[
        ("compose.yaml", text),
        ("one.env", "A=1\nNOT_THERE=x"),
        ("raw.env", "B='$A' # x"),
    ]);
    let known = environment(&[("FROM_OUTSIDE", "o")]);
    let project =
        expect(read(&Options { environment: known, ..options(&["compose.yaml"]) }, &files));
    let container = &project.services[0].task.as_ref().unwrap().containers[0];
    let environment = &container.process.as_ref().unwrap().environment;
    let pairs: Vec<String> =
        environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["A=1", "B='$A' # x", "FROM_OUTSIDE=o"]);
    assert!(
        errors("services: {web: {image: a, env_file: no.env}}").contains("can not read no.env")
    );
}

#[test]
fn a_variable_of_one_service_is_not_seen_by_another() {
    let text = "services: {one: {image: a, env_file: x.env}, two: {image: a, environment: [A]}}";
    let files = memory(&[("compose.yaml", text), ("x.env", "A=1")]);
    let project = expect(read(&options(&["compose.yaml"]), &files));
    assert!(
        project.services[1].task.as_ref().unwrap().containers[0]
            .process
            .as_ref()
            .unwrap()
            .environment
            .is_empty()
    );
}

#[test]
fn the_name_is_that_of_the_first_who_says() {
    let name = |options: Options, text: &str| {
        expect(read(&options, &memory(&[("compose.yaml", text), ("My Shop_2/compose.yaml", text)])))
            .name
            .to_string()
    };
    let (plain, named) = ("services: {a: {image: a}}", "name: n${X:-1}\nservices: {a: {image: a}}");
    let usual = || options(&["compose.yaml"]);
    assert_eq!(name(usual(), plain), "shop");
    assert_eq!(name(options(&["My Shop_2/compose.yaml"]), plain), "myshop_2");
    assert_eq!(name(usual(), named), "n1");
    let known = || environment(&[("COMPOSE_PROJECT_NAME", "from-env")]);
    assert_eq!(name(Options { environment: known(), ..usual() }, named), "from-env");
    let project_name = Some("option".to_owned());
    assert_eq!(name(Options { project_name, environment: known(), ..usual() }, named), "option");
}

#[test]
fn a_name_that_is_none_is_refused() {
    assert!(
        errors("name: A b\nservices: {a: {image: a}}")
            .contains("compose.yaml:1:7: error: a project name can not have 'A'")
    );
    let project_name = Some("Shop".to_owned());
    let files = memory(&[("compose.yaml", "services: {a: {image: a}}")]);
    let errors = read(&Options { project_name, ..options(&["compose.yaml"]) }, &files).unwrap_err();
    let expected = "\
error: a project name can not have 'S' at position 1 (allowed: a-z, 0-9, and after the first character - and _) (`Shop`, that of --project-name)
hint: give another name with --project-name, or with `name:` in the file";
    assert_eq!(rendered(&errors), expected);
}

#[test]
fn profiles_choose_services() {
    let text =
        "services: {web: {image: a}, debug: {image: a, profiles: [dev, test], privileged: true}}";
    let files = memory(&[("compose.yaml", text), (".env", "COMPOSE_PROFILES=other")]);
    let names = |profiles: &[&str]| -> Result<Vec<String>, String> {
        let profiles = profiles.iter().map(|profile| (*profile).to_owned()).collect();
        let project = read(&Options { profiles, ..options(&["compose.yaml"]) }, &files);
        project
            .map(|project| project.services.into_iter().map(|spec| spec.name).collect())
            .map_err(|errors| errors[0].message.clone())
    };
    assert_eq!(names(&[]), Ok(vec!["web".to_owned()]));
    assert_eq!(names(&["test"]), Err("`privileged` is not supported".to_owned()));
    assert_eq!(names(&["*"]), Err("`privileged` is not supported".to_owned()));
    let missing =
        "services: {web: {image: a, depends_on: [debug]}, debug: {image: a, profiles: [dev]}}";
    assert!(errors(missing).contains("service `debug` belongs to a profile that is not active"));
    let optional = "services: {web: {image: a, depends_on: {debug: {required: false}}}, debug: {image: a, profiles: [dev]}}";
    assert!(try_read(optional).unwrap().services[0].after.is_empty());
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = "\u{feff}services:\r\n  web:\r\n    image: a${X}\r\n    tty: true\r\n";
    let project = try_read(text).unwrap();
    assert!(
        rendered(&project.warnings)
            .starts_with("compose.yaml:3:13: warning: variable `X` is not set")
    );
}

#[test]
fn a_variable_in_a_block_is_found_on_its_line() {
    let text = "services:\n  web:\n    image: a\n    command: |\n      one $$\n      two ${X:?!}\n";
    assert!(
        errors(text).starts_with("compose.yaml:6:11: error: variable `X` is required: !"),
        "{}",
        errors(text)
    );
}

#[test]
fn a_dollar_sign_in_a_key_is_left_alone() {
    assert_eq!(web("    labels: {$A: b}").labels["$A"], "b");
}
