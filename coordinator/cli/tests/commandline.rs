//! The program without a cluster: usage, files, completions, contexts.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A home of its own, gone at the end.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wharf-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn wharf(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.env("HOME", &self.0).env("NO_COLOR", "1").current_dir(&self.0);
        for name in ["WHARF_ADDR", "WHARF_CONTEXT", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        Said::from(&command.args(arguments).output().unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<&Output> for Said {
    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

#[test]
fn wrong_usage_ends_with_64_and_says_what_is_right() {
    let home = Home::new("usage");
    for wrong in [
        &["no-such-verb"][..],
        &["scale", "web"],
        &["scale", "web=many"],
        &["scale", "web=-1"],
        &["logs", "web", "--since", "yesterday-ish"],
        &["ps", "-o", "xml"],
        &["deploy", "--timeout", "soon"],
        &["rm"],
        &["dev", "--nodes", "0"],
        &["dev", "--listen", "nowhere"],
    ] {
        let said = home.wharf(wrong);
        assert_eq!(said.code, Some(64), "{wrong:?}: {said:?}");
        assert!(said.err.starts_with("error: "), "{said:?}");
    }
    assert_eq!(home.wharf(&["--help"]).code, Some(0));
    assert_eq!(home.wharf(&["--version"]).code, Some(0));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let home = Home::new("completion");
    for shell in ["bash", "zsh", "fish"] {
        let said = home.wharf(&["completion", shell]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains("deploy") && said.out.contains("rollback"), "{shell}");
    }
    let folder = home.0.join("man");
    let said = home.wharf(&["man", &folder.display().to_string()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for page in ["wharf.1", "wharf-deploy.1", "wharf-service-history.1"] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn a_file_is_checked_without_a_coordinator() {
    let home = Home::new("validate");
    fs::write(home.0.join("compose.yaml"), "name: x\nservices: {web: {image: nginx}}\n").unwrap();
    assert_eq!(home.wharf(&["validate"]).code, Some(0));
    fs::write(home.0.join("bad.yaml"), "name: x\nservices:\n  web:\n    imagee: nginx\n").unwrap();
    let said = home.wharf(&["validate", "bad.yaml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("bad.yaml:4:5: error"), "{}", said.err);
    assert!(said.err.contains("imagee") && said.err.contains("hint:"), "{}", said.err);
    let said = home.wharf(&["validate", "absent.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("absent.yaml"), "{}", said.err);
    let table = home.wharf(&["validate", "--support"]);
    assert!(table.out.contains("healthcheck") && table.out.contains("deploy"), "{}", table.out);
}

#[test]
fn contexts_are_kept_and_nobody_else_may_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new("context");
    assert_eq!(home.wharf(&["context", "add", "prod", "127.0.0.1:1"]).code, Some(0));
    assert_eq!(home.wharf(&["context", "add", "test", "127.0.0.1:2"]).code, Some(0));
    assert_eq!(home.wharf(&["context", "use", "prod"]).code, Some(0));
    let listed = home.wharf(&["context", "ls", "-o", "json"]);
    assert!(listed.out.contains("127.0.0.1:1") && listed.out.contains("127.0.0.1:2"), "{listed:?}");
    let file = home.0.join(".config/wharf/config.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The selected one is asked; a flag comes before it, and before the environment.
    let said = home.wharf(&["status"]);
    assert_eq!(said.code, Some(77), "without a certificate nobody is dialled: {said:?}");
    assert!(
        said.err.contains("127.0.0.1:1") && said.err.contains("wharf operator add"),
        "{said:?}"
    );
    assert_eq!(home.wharf(&["context", "use", "nowhere"]).code, Some(1));
    assert_eq!(home.wharf(&["context", "rm", "prod"]).code, Some(0));
    assert!(!home.wharf(&["context", "ls"]).out.contains("prod"));
}

#[test]
fn nothing_unprotected_leaves_the_machine() {
    let home = Home::new("far");
    let said = home.wharf(&["--plaintext", "--addr", "10.0.0.1:7421", "ps"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("loopback"), "{}", said.err);
    let said = home.wharf(&["--addr", "10.0.0.1:7421", "ps"]);
    assert_eq!(said.code, Some(77));
    assert!(said.err.contains("no certificate") && said.err.contains("hint:"), "{}", said.err);
}

#[test]
fn a_file_with_a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new("open");
    let file = home.0.join("kim.toml");
    let text = "[contexts.kim]\naddr = \"127.0.0.1:1\"\nidentity = \"a key\"\n";
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let import = ["context", "import", file.to_str().unwrap()];
    let said = home.wharf(&import);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("others may read it") && said.err.contains("chmod 600"), "{said:?}");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(home.wharf(&import).code, Some(0));
    // What is damaged is said without showing it.
    let said = home.wharf(&["status"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("damaged") && !said.err.contains("a key"), "{said:?}");
    fs::write(&file, text.replace("identity", "identitty")).unwrap();
    let said = home.wharf(&["context", "import", file.to_str().unwrap(), "--name", "other"]);
    assert!(!said.err.contains("a key"), "{said:?}");
}

#[test]
fn a_context_that_is_there_is_not_taken_over_by_another() {
    let home = Home::new("import");
    let file = home.0.join("kim.toml");
    fs::write(&file, "[contexts.kim]\naddr = \"127.0.0.1:1\"\n").unwrap();
    let import = ["context", "import", file.to_str().unwrap()];
    assert_eq!(home.wharf(&import).code, Some(0));
    assert_eq!(home.wharf(&import).code, Some(0), "the same again changes nothing");
    fs::write(&file, "[contexts.kim]\naddr = \"127.0.0.1:2\"\n").unwrap();
    let said = home.wharf(&import);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("another context") && said.err.contains("--name"), "{said:?}");
    assert_eq!(home.wharf(&[&import[..], &["--name", "kim2"]].concat()).code, Some(0));
    let absent = home.wharf(&["context", "import", "absent.toml"]);
    assert!(absent.err.contains("absent.toml"), "{absent:?}");
}
