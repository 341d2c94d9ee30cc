//! What containers use, from their control groups.
//!
//! The group is found by the container's id, never through `/proc/PID`: process ids are used again. Where the engine
//! puts its groups follows from its driver:
//! <https://docs.docker.com/engine/containers/runmetrics/#find-the-cgroup-for-a-given-container>

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use agent_core::observed::Container;
use proto::wire::ContainerUsage;

use super::{Reading, rate};

/// From here on a limit of version 1 means that there is none: the kernel rounds the largest number down to a page.
const NO_LIMIT: u64 = i64::MAX as u64 - (1 << 20);

const NANOS_PER_MICRO: u64 = 1_000;

/// A thousandth of a core is so many nanoseconds a second.
const NANOS_PER_MILLI_CORE: u64 = 1_000_000;

/// Measures containers. The first sample of each has no processor time.
#[derive(Debug)]
pub struct ContainerMeter {
    root: PathBuf,
    before: BTreeMap<String, Reading>,
}

/// What was read of one group.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    cpu_nanos: u64,
    memory_bytes: u64,
    memory_limit_bytes: u64,
    pids: u32,
}

impl Default for ContainerMeter {
    fn default() -> Self {
        Self { root: "/sys/fs/cgroup".into(), before: BTreeMap::new() }
    }
}

impl ContainerMeter {
    /// Says what each living container uses. One whose group can not be read is left out.
    pub fn sample(&mut self, containers: &[Container]) -> Vec<ContainerUsage> {
        let mut now = BTreeMap::new();
        let alive = containers.iter().filter(|container| container.is_alive());
        let usages = alive.filter_map(|container| {
            let group = read(&self.root, &container.id)?;
            let reading = Reading { total: group.cpu_nanos, at: Instant::now() };
            let before = self.before.get(&container.id).copied();
            now.insert(container.id.clone(), reading);
            Some(ContainerUsage {
                task: container.task.to_string(),
                container: container.container.to_string(),
                cpu_millis: rate(before, reading) / NANOS_PER_MILLI_CORE,
                memory_bytes: group.memory_bytes,
                memory_limit_bytes: group.memory_limit_bytes,
                pids: group.pids,
            })
        });
        let usages = usages.collect();
        self.before = now;
        usages
    }
}

/// Ids are hexadecimal: nothing else gets into a path.
fn read(root: &Path, id: &str) -> Option<Group> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let is_second = root.join("cgroup.controllers").exists();
    if is_second { read_second(root, id) } else { read_first(root, id) }
}

/// The group below `root`, wherever the driver puts it.
fn group(root: &Path, id: &str) -> Option<PathBuf> {
    let places = [
        format!("system.slice/docker-{id}.scope"),
        format!("docker/{id}"),
        format!("docker.slice/docker-{id}.scope"),
    ];
    places.iter().map(|place| root.join(place)).find(|path| path.is_dir())
}

/// Version 2: one group for everything. <https://docs.kernel.org/admin-guide/cgroup-v2.html>
fn read_second(root: &Path, id: &str) -> Option<Group> {
    let path = group(root, id)?;
    let used = number(&path.join("memory.current"))?;
    let cpu = field(&path.join("cpu.stat"), "usage_usec")?;
    Some(Group {
        cpu_nanos: cpu.saturating_mul(NANOS_PER_MICRO),
        memory_bytes: used.saturating_sub(reclaimable(&path, "inactive_file")),
        // "max" is no number.
        memory_limit_bytes: number(&path.join("memory.max")).unwrap_or_default(),
        pids: pids(&path),
    })
}

/// Version 1: a tree for each controller. <https://docs.kernel.org/admin-guide/cgroup-v1/index.html>
fn read_first(root: &Path, id: &str) -> Option<Group> {
    let of = |controller: &str| group(&root.join(controller), id);
    let memory = of("memory")?;
    let used = number(&memory.join("memory.usage_in_bytes"))?;
    let limit = number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT);
    Some(Group {
        cpu_nanos: number(&of("cpuacct")?.join("cpuacct.usage"))?,
        memory_bytes: used.saturating_sub(reclaimable(&memory, "total_inactive_file")),
        memory_limit_bytes: limit.unwrap_or_default(),
        pids: of("pids").map(|path| pids(&path)).unwrap_or_default(),
    })
}

/// Files that were read once and that the kernel drops when it needs the room, as `docker stats` leaves them out.
fn reclaimable(path: &Path, key: &str) -> u64 {
    field(&path.join("memory.stat"), key).unwrap_or_default()
}

fn pids(path: &Path) -> u32 {
    let pids = number(&path.join("pids.current")).unwrap_or_default();
    u32::try_from(pids).unwrap_or(u32::MAX)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Reads the value of `key` in lines of `KEY VALUE`.
fn field(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays out files below a folder of its own.
    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("wharf-cgroup-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_two_is_read_with_the_systemd_driver() {
        let root = tree(
            "v2",
            &[
                ("cgroup.controllers", "cpu memory pids"),
                ("system.slice/docker-ab12.scope/cpu.stat", "usage_usec 7\nuser_usec 5\n"),
                ("system.slice/docker-ab12.scope/memory.current", "5000\n"),
                ("system.slice/docker-ab12.scope/memory.stat", "anon 1\ninactive_file 1000\n"),
                ("system.slice/docker-ab12.scope/memory.max", "max\n"),
                ("system.slice/docker-ab12.scope/pids.current", "3\n"),
            ],
        );
        let read_back = read(&root, "ab12");
        fs::remove_dir_all(&root).unwrap();
        let group = Group { cpu_nanos: 7_000, memory_bytes: 4_000, memory_limit_bytes: 0, pids: 3 };
        assert_eq!(read_back, Some(group));
    }

    #[test]
    fn version_one_is_read_with_the_cgroupfs_driver() {
        let root = tree(
            "v1",
            &[
                ("cpuacct/docker/cd/cpuacct.usage", "9\n"),
                ("memory/docker/cd/memory.usage_in_bytes", "800\n"),
                ("memory/docker/cd/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/docker/cd/memory.stat", "total_inactive_file 300\n"),
                ("pids/docker/cd/pids.current", "1\n"),
            ],
        );
        let read_back = read(&root, "cd");
        let other = read(&root, "../docker/cd");
        fs::remove_dir_all(&root).unwrap();
        let group = Group { cpu_nanos: 9, memory_bytes: 500, memory_limit_bytes: 0, pids: 1 };
        assert_eq!(read_back, Some(group));
        assert_eq!(other, None);
    }
}
