//! Engines of other releases than the machine's: fetched from Debian and unpacked beside what cargo builds.
//!
//! Nothing of the machine changes: apt works in folders of our own, and what it fetches is unpacked and never installed.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::Said;
use crate::program::installed;

/// Who may sign packages; the machine's own list of them is signed by the same.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const APT: &str = "/usr/bin/apt-get";

/// What an engine needs; apt finds what these need.
const PACKAGES: &[&str] = &["docker.io", "iptables"];

/// Links that packages make when they are installed.
const LINKS: &[(&str, &str)] = &[
    ("usr/bin", "bin"),
    ("usr/sbin", "sbin"),
    ("usr/lib", "lib"),
    ("usr/lib64", "lib64"),
    ("xtables-nft-multi", "usr/sbin/iptables"),
    ("xtables-nft-multi", "usr/sbin/ip6tables"),
];

/// A release of the engine, by the Debian that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Docker 26.1, in Debian 13.
    Trixie,
    /// Docker 28.5 or what has followed it, in Debian's testing.
    Forky,
}

impl Release {
    fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// Has the engine, and gives the folder that is its whole file system. Fetched once: what is there is taken as it is.
    ///
    /// # Panics
    /// When it can not be fetched; it says what is missing.
    #[must_use]
    pub fn root(self) -> PathBuf {
        let folder = target().join("engines").join(self.suite());
        fs::create_dir_all(&folder).unwrap();
        // Two tests may want it at once: one fetches it, the other finds it.
        let lock = File::create(folder.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let root = folder.join("root");
        if !root.exists() {
            let packages = Apt::new(self.suite(), &folder).fetch();
            unpack(&packages, &folder.join("unfinished"), &root);
        }
        root
    }
}

/// Where cargo builds: two folders above this test.
///
/// # Panics
/// When this is no test.
#[must_use]
pub fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).expect("a test is in target/PROFILE/deps").to_owned()
}

/// The release of Debian that the machine has.
pub(crate) fn codename() -> String {
    let machine = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = machine.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    own.unwrap_or("stable").to_owned()
}

/// Where the machine has its own packages from: what Debian serves there it serves for every suite.
pub(crate) fn mirror() -> String {
    let apt = Path::new(APT);
    assert!(apt.exists(), "these tests fetch packages from Debian, and there is no {APT}");
    let sources = Said::by(Command::new(apt).args(["update", "--print-uris"]), "").good();
    let own = format!("/dists/{}/InRelease", codename());
    let addresses = sources.lines().filter_map(|line| line.split('\'').nth(1));
    let mirror = addresses.into_iter().find_map(|address| address.strip_suffix(own.as_str()));
    mirror.unwrap_or_else(|| panic!("apt has no source with {own}: {sources}")).to_owned()
}

/// An apt that knows one suite and believes that nothing is installed.
struct Apt<'a> {
    suite: &'static str,
    mirror: String,
    folder: &'a Path,
}

impl<'a> Apt<'a> {
    fn new(suite: &'static str, folder: &'a Path) -> Self {
        let mirror = mirror();
        let list = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        fs::write(folder.join("sources.list"), list).unwrap();
        fs::write(folder.join("status"), "").unwrap();
        for wanted in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(wanted)).unwrap();
        }
        Self { suite, mirror, folder }
    }

    /// Fetches the packages and all that they need, and gives the files.
    fn fetch(&self) -> Vec<PathBuf> {
        self.run(&["update", "--error-on=any"]);
        let install = ["install", "-y", "--no-install-recommends", "--download-only"];
        self.run(&[&install[..], PACKAGES].concat());
        let files = fs::read_dir(self.folder.join("archives")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "deb")).collect();
        assert!(!files.is_empty(), "apt-get fetched nothing of {}", self.suite);
        files
    }

    fn run(&self, arguments: &[&str]) {
        assert!(Path::new(KEYRING).exists(), "these tests need the package debian-archive-keyring");
        let folder = self.folder.display();
        let mut command = Command::new(APT);
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={folder}"),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}"),
            format!("Dir::Cache::archives={folder}/archives"),
            // The user that apt becomes otherwise may not write below the target directory.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        let said = Said::by(command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments), "");
        let (suite, mirror, doing) = (self.suite, &self.mirror, arguments.join(" "));
        assert_eq!(
            said.code, 0,
            "these tests fetch the Docker engine of Debian {suite} from {mirror}, and `apt-get {doing}` failed: {}",
            said.err
        );
    }
}

/// Unpacks the packages elsewhere, so that `root` is there only when it is whole.
fn unpack(packages: &[PathBuf], unfinished: &Path, root: &Path) {
    if unfinished.exists() {
        fs::remove_dir_all(unfinished).unwrap();
    }
    fs::create_dir_all(unfinished).unwrap();
    for package in packages {
        let said = Said::by(Command::new("dpkg-deb").arg("-x").arg(package).arg(unfinished), "");
        assert_eq!(said.code, 0, "{} can not be unpacked: {}", package.display(), said.err);
    }
    for (to, link) in LINKS {
        symlink(to, unfinished.join(link)).unwrap();
    }
    // The engine looks into these; they come from the machine.
    for folder in ["dev", "proc", "sys", "run", "tmp"] {
        fs::create_dir_all(unfinished.join(folder)).unwrap();
    }
    fs::write(unfinished.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    let busybox = installed("/bin/busybox", "busybox-static");
    fs::copy(busybox, unfinished.join("usr/bin/busybox")).unwrap();
    for package in packages {
        fs::remove_file(package).unwrap();
    }
    fs::rename(unfinished, root).unwrap();
}
