//! The packages for Amazon Linux 2023: what is in them, what they need and what they do, as rpm reads it.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::packages::{programs, target};
use system_tests::program::installed;
use system_tests::{Machine, Packages, Said, Scratch};

/// What Amazon Linux 2023 has.
const GLIBC: &str = "2.34";

struct Rpms {
    scratch: Scratch,
    files: Vec<PathBuf>,
}

impl Rpms {
    fn new() -> Self {
        let _needed = installed("/usr/bin/rpm", "rpm");
        let scratch = Scratch::new();
        let mut build = Command::new(root().join("packaging/rpm/build"));
        build.arg("--programs").arg(programs()).arg("--output").arg(scratch.path());
        build.args(["--version", "9.8.7-6"]).env("CARGO_TARGET_DIR", target());
        let said = Said::by(&mut build, "");
        assert_eq!(said.code, 0, "packaging/rpm/build: {}{}", said.out, said.err);
        Self { scratch, files: said.out.lines().map(PathBuf::from).collect() }
    }

    fn of(&self, package: &str) -> &Path {
        let name = format!("{package}-9.8.7-6.");
        let is_it = |file: &&PathBuf| {
            file.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&name))
        };
        self.files.iter().find(is_it).unwrap()
    }

    /// What rpm says of one, without asking its own list of what is installed.
    fn query(&self, package: &str, format: &str) -> String {
        let mut rpm = Command::new("rpm");
        rpm.arg("--dbpath").arg(self.scratch.path().join("db"));
        rpm.args(["--query", "--package", "--queryformat", format]).arg(self.of(package));
        Said::by(&mut rpm, "").good()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Paths, modes, owners and kinds of all files.
const FILES: &str =
    "[%{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\\n]";

/// To make them is most of the time that this takes.
#[test]
fn packages_of_amazon_linux_have_need_and_do_what_they_should() {
    let rpms = Rpms::new();
    have_what_those_of_debian_have(&rpms);
    need_nothing_that_amazon_linux_does_not_have(&rpms);
    start_nothing_unasked_and_never_touch_a_container(&rpms);
}

fn have_what_those_of_debian_have(rpms: &Rpms) {
    let debs = Packages::new();
    for package in ["wharf", "wharf-agent", "wharf-coordinator"] {
        assert_eq!(rpms.query(package, "%{VERSION}-%{RELEASE} %{ARCH}"), this("9.8.7-6"));
        assert_eq!(rpms.query(package, "%{LICENSE}"), "Apache-2.0");
        let listed = rpms.query(package, FILES);
        let is_docs = |path: &str| path.contains("/share/doc/") || path.contains("/lintian/");
        let deb = debs.files().into_iter().find(|file| {
            file.file_name().unwrap().to_string_lossy().starts_with(&format!("{package}_"))
        });
        let mut deb = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb.unwrap()).output();
        let deb = deb.as_mut().unwrap();
        let scratch = Scratch::new();
        let tar = scratch.path().join("files.tar");
        std::fs::write(&tar, &deb.stdout).unwrap();
        let names = Said::by(Command::new("tar").arg("-tf").arg(&tar), "").good();
        let names = names.lines().map(|name| name.trim_start_matches('.'));
        // Where zsh looks differs.
        let of_deb: Vec<String> = names
            .filter(|name| !name.ends_with('/') && !is_docs(name))
            .map(|name| name.replace("vendor-completions", "site-functions"))
            .collect();
        assert!(!of_deb.is_empty());
        for file in of_deb {
            assert!(listed.contains(&format!(" {file}\n")), "{package} has no {file}: {listed}");
        }
        for line in listed.lines() {
            let is_program = line.contains(" /usr/bin/");
            let mode = if is_program { "100755 root:root " } else { "100644 root:root " };
            assert!(line.starts_with(mode), "{line}");
            let is_config = line.contains(" cn ") || line.contains(" nc ");
            assert_eq!(is_config, line.contains(" /etc/"), "{line}");
        }
        assert!(listed.contains(&format!("/usr/share/licenses/{package}/LICENSE\n")), "{listed}");
    }
}

/// Name and architecture of what is made here.
fn this(version: &str) -> String {
    format!("{version} {}", std::env::consts::ARCH)
}

fn need_nothing_that_amazon_linux_does_not_have(rpms: &Rpms) {
    for package in ["wharf", "wharf-agent", "wharf-coordinator"] {
        let needed = rpms.query(package, "[%{REQUIRENAME}\\n]");
        for line in needed.lines() {
            let version = line.split_once("(GLIBC_").and_then(|(_, rest)| rest.split_once(')'));
            let Some((version, _)) = version else {
                let known = ["rpmlib(", "libc.so.6(", "libm.so.6(", "libgcc_s.so.1(", "ld-linux"];
                let names = ["/bin/sh", "systemd", "coreutils", "rtld(GNU_HASH)", "config("];
                let is_known = known.iter().chain(&names).any(|name| line.starts_with(name));
                assert!(is_known, "{package} needs {line}");
                continue;
            };
            let number = |text: &str| -> Vec<u32> {
                text.split('.').map(|part| part.parse().unwrap()).collect()
            };
            assert!(number(version) <= number(GLIBC), "{package} needs {line}");
        }
        assert!(needed.contains("libc.so.6(GLIBC_"), "{package} names no library: {needed}");
        let is_service = package != "wharf";
        assert_eq!(needed.lines().any(|line| line == "systemd"), is_service, "{needed}");
    }
    let recommended = rpms.query("wharf-agent", "[%{RECOMMENDNAME} ]");
    assert_eq!(recommended.trim(), "docker iptables-nft");
}

/// Amazon Linux can not be had here: what a package has and does is put onto Debian, which has no list of such packages.
fn start_nothing_unasked_and_never_touch_a_container(rpms: &Rpms) {
    let machine = Machine::debian();
    for package in ["wharf-agent", "wharf-coordinator"] {
        let mut unpack = Command::new("rpm2archive");
        let _unpacked = Said::by(unpack.arg(rpms.of(package)), "").good();
        let archive = format!("{}.tgz", rpms.of(package).display());
        machine.copy(Path::new(&archive), "/root/files.tgz");
        machine.done("tar -xzf /root/files.tgz -C / --no-same-owner && rm /root/files.tgz");
    }
    machine.docker().need_image();
    let image = system_tests::docker::IMAGE;
    machine.docker().run(&["run", "--detach", "--name", "web", image, "sleep", "2147483647"]);
    let before = machine.docker().container("web");
    for package in ["wharf-agent", "wharf-coordinator"] {
        assert_eq!(rpms.query("wharf", "%{POSTIN}%{PREUN}%{POSTUN}"), "(none)(none)(none)");
        let does = |what: &str, left: u32| {
            let script = rpms.query(package, &format!("%{{{what}}}"));
            assert!(!script.contains("docker"), "{script}");
            machine.write("/root/scriptlet", &script);
            machine.done(&format!("sh /root/scriptlet {left}"))
        };
        let unit = format!("{package}.service");
        let said = does("POSTIN", 1);
        assert!(said.contains(&format!("systemctl enable --now {package}")), "{said}");
        machine.unit_is(&unit, "inactive");
        machine.done(&format!("id {package}"));
        // It runs, and is replaced when a newer one is there; what belongs to the older one goes later.
        machine.done(&format!("systemctl enable --now {unit}"));
        let first = machine.property(&unit, "MainPID");
        let _said = does("POSTIN", 2);
        machine.unit_is(&unit, "active");
        assert_ne!(machine.property(&unit, "MainPID"), first);
        for what in ["PREUN", "POSTUN"] {
            let _said = does(what, 1);
        }
        machine.unit_is(&unit, "active");
        let _said = does("PREUN", 0);
        machine.unit_is(&unit, "inactive");
        assert_eq!(machine.run(&format!("systemctl is-enabled {unit}")).out.trim(), "disabled");
        let _said = does("POSTUN", 0);
        let state = package.trim_start_matches("wharf-");
        machine.done(&format!("test -d /var/lib/wharf/{state}"));
    }
    assert_eq!(machine.done("stat --format '%U %a' /etc/wharf/authority.key"), "root 600");
    assert_eq!(machine.docker().container("web"), before);
}
