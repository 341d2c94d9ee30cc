//! Images that a Compose file builds, built on the engine that the nodes of a dev cluster share.

use std::path::Path;

use agent::runtime::{BuildRequest, Docker, Settings};
use globset::{GlobBuilder, GlobMatcher};

use crate::compose::Build;
use crate::exit::{Exit, Failure};
use crate::output::clean;

/// The largest context, in bytes. More is nearly always a forgotten .dockerignore.
const CONTEXT_LIMIT: u64 = 1 << 30;
/// Names what is left out.
const IGNORE_FILE: &str = ".dockerignore";

/// Builds them one after the other.
pub(crate) async fn build(builds: &[Build], engine: &Path) -> anyhow::Result<()> {
    let settings = Settings {
        secrets: None,
        socket: engine.to_owned(),
        cluster: "build".parse()?,
        node: "build".parse()?,
        docker_config: None,
        prefer_local: true,
        gpus: Some(0),
        leases: None,
    };
    let docker = Docker::connect(&settings).await?;
    for one in builds {
        println!("building {} for {}", one.image, one.service);
        let request = request(one)?;
        let built = docker.build(request, |line| print!("{}", said(line))).await;
        built.map_err(|fault| {
            Failure::error(Exit::Error, clean(fault.message.trim()), "nothing was deployed")
        })?;
    }
    Ok(())
}

/// Lines keep their ends.
fn said(line: &str) -> String {
    line.split_inclusive('\n').map(|line| clean(line.trim_end()) + "\n").collect()
}

fn request(build: &Build) -> anyhow::Result<BuildRequest> {
    let ignored = Ignored::read(&build.context)?;
    let dockerfile = inside(build)?;
    let mut packer = Packer {
        root: &build.context,
        ignored,
        dockerfile: dockerfile.clone(),
        left: CONTEXT_LIMIT,
        archive: tar::Builder::new(Vec::new()),
    };
    packer.archive.follow_symlinks(false);
    packer.pack(&build.context).map_err(|error| {
        let message = format!("{} can not be packed: {error}", build.context.display());
        Failure::error(Exit::Error, message, "name what the image does not need in .dockerignore")
    })?;
    Ok(BuildRequest {
        image: build.image.clone(),
        context: packer.archive.into_inner()?,
        dockerfile,
        args: build.args.clone().into_iter().collect(),
        target: build.target.clone(),
    })
}

/// The Dockerfile's path within the context.
fn inside(build: &Build) -> anyhow::Result<String> {
    let path = build.context.join(&build.dockerfile);
    let found = path.canonicalize().ok().filter(|path| path.is_file());
    let within = found.as_ref().and_then(|found| {
        let root = build.context.canonicalize().ok()?;
        found.strip_prefix(root).ok()?.to_str().map(str::to_owned)
    });
    within.ok_or_else(|| {
        let message = format!("{}: {} is no Dockerfile in the context", build.at, path.display());
        Failure::error(
            Exit::Error,
            message,
            "`dockerfile` is relative to `context`, and lies in it",
        )
    })
}

struct Packer<'a> {
    root: &'a Path,
    ignored: Ignored,
    dockerfile: String,
    left: u64,
    archive: tar::Builder<Vec<u8>>,
}

impl Packer<'_> {
    /// In the order of the names, so that the same directory gives the same archive.
    fn pack(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(name) = path.strip_prefix(self.root) else { continue };
            let kind = entry.file_type()?;
            let is_needed = name == Path::new(&self.dockerfile) || !self.ignored.has(name);
            if kind.is_dir() {
                // What is in an ignored directory may be asked for again.
                if is_needed {
                    self.archive.append_dir(name, &path)?;
                }
                self.pack(&path)?;
            } else if is_needed && (kind.is_file() || kind.is_symlink()) {
                let size = if kind.is_file() { entry.metadata()?.len() } else { 0 };
                let left = self.left.checked_sub(size);
                let large =
                    || std::io::Error::other(format!("it has more than {CONTEXT_LIMIT} bytes"));
                self.left = left.ok_or_else(large)?;
                self.archive.append_path_with_name(&path, name)?;
            }
        }
        Ok(())
    }
}

/// What .dockerignore says: patterns from the root of the context; the last one that fits a path or a directory above it
/// decides. <https://docs.docker.com/build/concepts/context/#dockerignore-files>
#[derive(Debug, Default)]
struct Ignored(Vec<(Rule, GlobMatcher)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Leave,
    Take,
}

impl Ignored {
    fn read(context: &Path) -> anyhow::Result<Self> {
        let path = context.join(IGNORE_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(anyhow::anyhow!("{} can not be read: {error}", path.display())),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rules = patterns.map(|line| {
            let (rule, pattern) = match line.strip_prefix('!') {
                Some(rest) => (Rule::Take, rest.trim()),
                None => (Rule::Leave, line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            let wrong = |error| anyhow::anyhow!("{IGNORE_FILE}: {line:?} is no pattern: {error}");
            Ok((rule, glob.map_err(wrong)?.compile_matcher()))
        });
        Ok(Self(rules.collect::<anyhow::Result<_>>()?))
    }

    fn has(&self, name: &Path) -> bool {
        let fits = |glob: &GlobMatcher| {
            name.ancestors().filter(|part| *part != Path::new("")).any(|part| glob.is_match(part))
        };
        let last = self.0.iter().rev().find(|(_, glob)| fits(glob));
        last.is_some_and(|(rule, _)| *rule == Rule::Leave)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_a_path_or_a_directory_above_it_decides() {
        let text = "# comment\n\ntarget\n*.log\n**/secret\nsrc/*.o\ndocs/\n!docs/keep.md\n./tmp\n";
        let ignored = Ignored::parse(text).unwrap();
        for path in
            ["target", "target/a/b", "x.log", "a/b/secret", "secret", "src/x.o", "docs/a", "tmp/x"]
        {
            assert!(ignored.has(Path::new(path)), "{path}");
        }
        for path in ["sub/x.log", "src/deep/x.o", "docs/keep.md", "targets", "a/target"] {
            assert!(!ignored.has(Path::new(path)), "{path}");
        }
        assert!(Ignored::parse("a[").is_err());
    }
}
