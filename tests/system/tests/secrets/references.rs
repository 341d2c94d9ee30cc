//! Secrets that AWS keeps, in a region in a box: containers find them, get another value when there is one, and go on while AWS is away.

use serde_json::{Value, json};
use system_tests::region::{Machines, Region};
use system_tests::{Cluster, Options, SOON, until};

use super::{MEMORY, canary, is_nowhere_else, kill_container, runs_anew};

const PARAMETER: &str = "ssm:/lab/key";
const MEMBER: &str = "secretsmanager:lab/db#password";

const APP: &str = "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sleep, '2147483647']
    stop_grace_period: 0s
    secrets: [key]
    x-wharf: {secrets_rotation: restart}
    deploy: {update_config: {monitor: 1s}}
secrets:
  key: {x-wharf: {from: 'ssm:/lab/key'}}
";

/// Says what it has whenever it is told to look.
const TOLD: &str = "
name: lab
services:
  told:
    image: wharf-test:1
    command: [sh, -c, \"trap 'echo has $$(wc -c < /run/secrets/db)' HUP; while true; do sleep 0.2; done\"]
    stop_grace_period: 0s
    secrets: [db, user]
    x-wharf: {secrets_rotation: signal HUP}
    deploy: {update_config: {monitor: 1s}}
secrets:
  db: {x-wharf: {from: 'secretsmanager:lab/db#password'}}
  user: {x-wharf: {from: 'secretsmanager:lab/db#user'}}
";

/// A cluster of one node whose coordinator asks this region, and which writes down all that it can.
fn cluster(region: &Region) -> Cluster {
    let trace = vec![("WHARF_LOG".to_owned(), "trace".to_owned())];
    let environment = region.environment().map(|(name, value)| (name.to_owned(), value));
    let more = [("WHARF_AWS", "true"), ("WHARF_SECRETS_REREAD_SECONDS", "5")];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Cluster::with(Options {
        nodes: 1,
        agent_arguments: &["--prefer-local-images", "--secrets-dir", MEMORY],
        environment: trace.iter().cloned().chain(environment).chain(more).collect(),
        agent_environment: trace,
        ..Options::default()
    })
}

fn put_parameter(region: &Region, name: &str, value: &str) {
    let asked = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
    region.call_json("AmazonSSM.PutParameter", &asked).unwrap();
}

fn db(user: &str, password: &str) -> String {
    json!({ "user": user, "password": password }).to_string()
}

fn of(cluster: &Cluster, service: &str) -> Vec<String> {
    let begins = format!("lab.{service}.");
    let running = cluster.running().into_iter().filter(|one| one.task.starts_with(&begins));
    running.map(|one| one.id).collect()
}

fn has(cluster: &Cluster, container: &str, path: &str) -> String {
    cluster.docker.try_run(&["exec", container, "cat", path]).out
}

fn inspected(cluster: &Cluster, secret: &str) -> Value {
    let shown = cluster.wharf(&["secret", "inspect", secret, "-o", "json"]).json();
    if shown.is_array() { shown[0].clone() } else { shown }
}

/// A right that is missing is named, and what runs goes on.
fn a_right_that_is_missing_is_named(cluster: &Cluster, region: &Region) {
    let denied = json!({
        "kind": "call", "service": "ssm", "action": "GetParameter", "code": "AccessDeniedException",
        "message": "User: arn:aws:sts::1:role/x is not authorized to perform: ssm:GetParameter"
    });
    let fault = region.fault(&denied);
    let looked = cluster.wharf(&["secret", "look", PARAMETER]).bad(1);
    let right = "the role of the coordinator needs ssm:GetParameter on parameter/lab/key";
    assert!(looked.contains("not authorized to perform") && looked.contains(right), "{looked}");
    let listed = cluster.wharf(&["secret", "ls"]).good();
    assert!(listed.contains(right), "{listed}");
    let _again = cluster.deploy(APP).good();
    let other = APP.replace("/lab/key", "/lab/other");
    let refused = cluster.deploy(&other).bad(1);
    assert!(refused.contains("ssm:GetParameter on parameter/lab/other"), "{refused}");
    region.clear_fault(fault);
    let looked = cluster.wharf(&["secret", "look", PARAMETER]).good();
    assert!(looked.contains("has this value already"), "{looked}");
}

#[test]
fn t13_a_value_that_aws_keeps_is_where_its_program_finds_it_while_aws_is_away_and_nowhere_else() {
    let mut region = Region::with(&Machines::None);
    let mut cluster = cluster(&region);
    let (first, second) = (format!("{}-a", canary()), format!("{}-b", canary()));
    let refused = cluster.deploy(APP).bad(1);
    let asks = "ssm:/lab/key can not be read: GetParameter: ParameterNotFound";
    assert!(
        refused.contains(asks) && refused.contains("is the name of the parameter right"),
        "{refused}"
    );
    put_parameter(&region, "/lab/key", &first);
    let _done = cluster.deploy(APP).good();
    let container = cluster.running()[0].id.clone();
    assert_eq!(has(&cluster, &container, "/run/secrets/key"), first);
    let shown = inspected(&cluster, PARAMETER);
    assert_eq!(shown["versions"][0]["at_aws"], "version 1", "{shown}");
    assert_eq!(shown["services"], json!(["lab/app"]), "{shown}");

    // Another value there is another task here, and what is said of it says where it has come from.
    put_parameter(&region, "/lab/key", &second);
    runs_anew(&cluster, &container, &second);
    until("the first value is forgotten", SOON, || {
        let shown = inspected(&cluster, PARAMETER);
        let versions = shown["versions"].as_array().unwrap().len();
        let is_so = versions == 1 && shown["versions"][0]["at_aws"] == "version 2";
        if is_so { Ok(()) } else { Err(shown.to_string()) }
    });
    let events = cluster.wharf(&["events"]).good();
    assert!(events.contains("which is version 2 at AWS"), "{events}");

    a_right_that_is_missing_is_named(&cluster, &region);

    // AWS is gone altogether: whoever is started anew has what there was.
    region.kill();
    let killed = kill_container(&cluster);
    runs_anew(&cluster, &killed, &second);
    cluster.kill_coordinator();
    cluster.kill_agent("n1");
    let killed = kill_container(&cluster);
    cluster.start_agent("n1");
    runs_anew(&cluster, &killed, &second);
    cluster.start_coordinator();
    let _scaled = cluster.wharf(&["scale", "lab/app=2"]).good();
    until("another task has it too", SOON, || {
        let running = of(&cluster, "app");
        let all = running.iter().all(|one| has(&cluster, one, "/run/secrets/key") == second);
        if running.len() == 2 && all { Ok(()) } else { Err(format!("{running:?}")) }
    });
    let _again = cluster.deploy(&APP.replace("sleep, ", "sleep, '1', ")).good();
    let other = APP.replace("/lab/key", "/lab/other");
    let refused = cluster.deploy(&other).bad(1);
    assert!(refused.contains("can the coordinator reach the endpoints of AWS?"), "{refused}");
    until("it is said with the secret", SOON * 2, || {
        let listed = cluster.wharf(&["secret", "ls"]).good();
        if listed.contains("no answer") { Ok(()) } else { Err(listed) }
    });
    is_nowhere_else(&cluster, (PARAMETER, "lab/app"), &second);
    // The first one is in no memory any more.
    let found = super::holders(cluster.scratch.path(), &first);
    assert!(found.is_empty(), "{found:?}");
    let _gone = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    std::fs::remove_dir_all(std::path::Path::new(MEMORY).join(&cluster.id)).unwrap();
}

#[test]
fn t13_a_member_of_a_secret_is_exchanged_under_its_program_and_a_version_that_is_named_is_not() {
    let region = Region::with(&Machines::None);
    let cluster = cluster(&region);
    let (first, second) = (canary(), format!("{}-longer", canary()));
    let made = json!({ "Name": "lab/db", "SecretString": db("ada", &first), "ClientRequestToken": "8b9d1c0e-0000-4000-8000-0123456789ab" });
    region.call_json("secretsmanager.CreateSecret", &made).unwrap();
    let _done = cluster.deploy(TOLD).good();
    let told = of(&cluster, "told").remove(0);
    assert_eq!(has(&cluster, &told, "/run/secrets/db"), first);
    let fixed = "secretsmanager:lab/db:8b9d1c0e-0000-4000-8000-0123456789ab#password";
    let pinned = TOLD.replace("told", "fixed").replace(MEMBER, fixed);
    let _done = cluster.deploy(&pinned).good();

    let other = json!({ "SecretId": "lab/db", "SecretString": db("bob", &second) });
    region.call_json("secretsmanager.PutSecretValue", &other).unwrap();
    let looked = cluster.wharf(&["secret", "look", MEMBER]).good();
    let is_told = looked.contains("lab/told gets it and is told by a signal");
    assert!(is_told || looked.contains("has this value already"), "{looked}");
    until("the program was told", SOON, || {
        let said = cluster.docker.try_run(&["logs", &told]).out;
        if said.contains(&format!("has {}", second.len())) { Ok(()) } else { Err(said) }
    });
    assert_eq!(of(&cluster, "told"), std::slice::from_ref(&told), "it runs on");
    assert_eq!(has(&cluster, &told, "/run/secrets/db"), second);
    // What changes together is found by one reading.
    until("it has all of the new value", SOON, || {
        let user = has(&cluster, &told, "/run/secrets/user");
        if user == "bob" { Ok(()) } else { Err(user) }
    });
    let looked = cluster.wharf(&["secret", "look", fixed]).good();
    assert!(looked.contains("stays at version 1"), "{looked}");
    assert_eq!(has(&cluster, &of(&cluster, "fixed").remove(0), "/run/secrets/db"), first);

    // What is not there, or no object, is named, and nothing of the value.
    for (from, why) in [
        ("secretsmanager:lab/db#user2", "the value has no key"),
        ("secretsmanager:lab/none", "ResourceNotFoundException"),
        ("ssm:/lab/none", "ParameterNotFound"),
    ] {
        let refused = cluster.deploy(&TOLD.replace("told", "third").replace(MEMBER, from)).bad(1);
        assert!(refused.contains(why) && refused.contains(from), "{refused}");
        assert!(!refused.contains(&second), "{refused}");
    }
    is_nowhere_else(&cluster, (MEMBER, "lab/told"), &second);
    is_nowhere_else(&cluster, (fixed, "lab/fixed"), &first);
    let _gone = cluster.wharf(&["rm", "-y", "--project", "lab"]).good();
    std::fs::remove_dir_all(std::path::Path::new(MEMORY).join(&cluster.id)).unwrap();
}
