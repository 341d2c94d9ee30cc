//! What is where in memory, and where it must not be.

use super::*;

fn file(target: &str) -> SecretFile {
    let secret = "key".parse().unwrap();
    SecretFile { secret, target: target.to_owned(), mode: 0o400, owner: (0, 0) }
}

#[test]
fn files_below_run_secrets_are_bound_together_and_others_one_by_one() {
    let files = [file("/run/secrets/a"), file("/etc/key"), file("/run/secrets/b")];
    let (task, container) = ("a.b.1.1".parse().unwrap(), "web".parse().unwrap());
    let bound = bindings(Path::new("/m"), &task, (&container, &files));
    let together = (PathBuf::from("/m/a.b.1.1/web/files"), "/run/secrets".to_owned());
    let apart = (PathBuf::from("/m/a.b.1.1/web/apart/1"), "/etc/key".to_owned());
    assert_eq!(bound, [together, apart]);
    assert!(bindings(Path::new("/m"), &task, (&container, &[])).is_empty());
}

#[test]
fn a_directory_on_a_disk_is_refused_with_what_to_do() {
    // Beside the sources there is a disk, unless somebody builds in memory.
    let here =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("no-memory-{}", std::process::id()));
    let memory = Memory { directory: here.clone(), owners: Owners::AsAsked };
    let vault = Vault::new(&memory, &"c".parse().unwrap(), &"n".parse().unwrap());
    let prepared = vault.prepare();
    let in_memory =
        statfs(env!("CARGO_MANIFEST_DIR")).is_ok_and(|kind| MEMORY.contains(&kind.f_type));
    fs::remove_dir_all(&here).unwrap();
    // Whoever builds in memory sees that this is taken.
    assert_eq!(prepared.is_ok(), in_memory);
    if let Err(error) = prepared {
        let why = format!("{error:#}");
        assert!(why.contains("is not in memory but on a disk"), "{why}");
        assert!(why.contains("--secrets-dir"), "{why}");
    }
}

#[test]
fn what_was_marked_is_held_and_what_nobody_needs_is_swept() {
    let directory = PathBuf::from(format!("/dev/shm/wharf-vault-{}", std::process::id()));
    let memory = Memory { directory: directory.clone(), owners: Owners::AsAsked };
    let vault = Vault::new(&memory, &"c".parse().unwrap(), &"n".parse().unwrap());
    vault.prepare().unwrap();
    let (task, other): (TaskId, TaskId) = ("a.b.1.1".parse().unwrap(), "a.b.1.2".parse().unwrap());
    make(&vault.task(&task), 0o700).unwrap();
    make(&vault.task(&other), 0o700).unwrap();
    let versions = Versions::from([("key".parse().unwrap(), 3)]);
    vault.mark(&task, &versions).unwrap();
    assert_eq!(vault.held(&task), versions);
    assert!(vault.held(&other).is_empty());
    vault.sweep(&BTreeSet::from([&task]));
    assert_eq!((vault.task(&task).exists(), vault.task(&other).exists()), (true, false));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    fs::remove_dir_all(directory).unwrap();
}
