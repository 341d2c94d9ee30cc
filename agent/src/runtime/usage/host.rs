//! What the host uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use proto::wire::HostUsage;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, RefreshKind, System};

use super::{Reading, rate};

/// Beginnings of interfaces whose bytes pass through another one of the host as well, or never leave it.
const INNER_INTERFACES: &[&str] =
    &["lo", "docker", "br-", "veth", "ifb", "vxlan", "flannel", "wharf"];

/// Measures the host. The first sample has no rates.
#[derive(Debug)]
pub struct HostMeter {
    root_dir: PathBuf,
    system: Option<System>,
    networks: Option<Networks>,
    before: Option<Traffic>,
}

#[derive(Debug, Clone, Copy)]
struct Traffic {
    received: Reading,
    sent: Reading,
}

impl HostMeter {
    /// Makes a meter for a host whose engine keeps its images at `root_dir`.
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        let what = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_usage());
        let mut system = System::new_with_specifics(what).ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { root_dir, system, networks: Networks::new_with_refreshed_list().ok(), before: None }
    }

    /// Says what is used now, and how much a second since the sample before.
    pub fn sample(&mut self) -> HostUsage {
        let mut usage = HostUsage {
            load_1m_hundredths: first(&read("/proc/loadavg"))
                .and_then(hundredths)
                .unwrap_or_default(),
            cpu_pressure: pressure("cpu"),
            memory_pressure: pressure("memory"),
            io_pressure: pressure("io"),
            ..HostUsage::default()
        };
        self.measure_system(&mut usage);
        self.measure_disk(&mut usage);
        self.measure_network(&mut usage);
        usage
    }

    /// The share of the engine's disk that is used, in percent; nothing when it can not be asked.
    #[must_use]
    pub fn disk_percent(&self) -> Option<u64> {
        let mut usage = HostUsage::default();
        self.measure_disk(&mut usage);
        (usage.disk_bytes * 100).checked_div(usage.disk_capacity_bytes)
    }

    fn measure_system(&mut self, usage: &mut HostUsage) {
        let Some(system) = &mut self.system else { return };
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let cores = u64::try_from(system.cpus().len()).unwrap_or_default();
        usage.cpu_capacity_millis = cores.saturating_mul(1_000);
        usage.cpu_millis = share(system.global_cpu_usage(), usage.cpu_capacity_millis);
        usage.memory_capacity_bytes = system.total_memory();
        usage.memory_bytes = system.total_memory().saturating_sub(system.available_memory());
    }

    fn measure_disk(&self, usage: &mut HostUsage) {
        let Some(disk) = disk(&self.root_dir) else { return };
        (usage.disk_capacity_bytes, usage.disk_bytes) = (disk.all, disk.used);
    }

    fn measure_network(&mut self, usage: &mut HostUsage) {
        let Some(networks) = &mut self.networks else { return };
        networks.refresh(true);
        let at = Instant::now();
        let outer = || {
            networks
                .iter()
                .filter(|(name, _)| !is_inner(&name.to_string_lossy()))
                .map(|(_, data)| data)
        };
        let received =
            Reading { total: outer().map(sysinfo::NetworkData::total_received).sum(), at };
        let sent =
            Reading { total: outer().map(sysinfo::NetworkData::total_transmitted).sum(), at };
        let before = self.before.replace(Traffic { received, sent });
        usage.network_received_bytes_per_second = rate(before.map(|all| all.received), received);
        usage.network_sent_bytes_per_second = rate(before.map(|all| all.sent), sent);
    }
}

/// A file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Disk {
    pub(in super::super) all: u64,
    used: u64,
}

/// The file system on which something is; nothing when it can not be asked.
pub(in super::super) fn disk(path: &Path) -> Option<Disk> {
    let disk = rustix::fs::statvfs(path).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize);
    Some(Disk { all: disk.f_blocks.saturating_mul(disk.f_frsize), used })
}

/// How many processes and threads the host can have at once: as many as it can number, and as many as it has memory for
/// (`proc_sys_kernel(5)`).
pub(in super::super) fn most_processes() -> u64 {
    let limit = |name: &str| first(&read(&format!("/proc/sys/kernel/{name}")))?.parse().ok();
    ["pid_max", "threads-max"].into_iter().filter_map(limit).min().unwrap_or(0)
}

fn is_inner(name: &str) -> bool {
    INNER_INTERFACES.iter().any(|start| name.starts_with(start))
}

/// So many percent of all cores, in thousandths of one.
fn share(percent: f32, capacity_millis: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage in hundredths is a small positive number, and a cast from float saturates"
    )]
    let hundredths = (percent.clamp(0.0, 100.0) * 100.0).round() as u64;
    capacity_millis.saturating_mul(hundredths) / 10_000
}

/// Reads `some avg10=1.23 …`. Nothing on kernels without pressure stall information.
/// <https://docs.kernel.org/accounting/psi.html>
fn pressure(kind: &str) -> Option<u32> {
    some_avg10(&read(&format!("/proc/pressure/{kind}")))
}

fn some_avg10(text: &str) -> Option<u32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10=")).and_then(hundredths)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn first(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

/// Reads a number with two decimals, as hundredths.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths_of_a_percent() {
        let text =
            "some avg10=12.05 avg60=0.23 avg300=0.33 total=1\nfull avg10=9.99 avg60=0 total=0\n";
        assert_eq!(some_avg10(text), Some(1_205));
        assert_eq!(some_avg10(""), None);
    }

    #[test]
    fn half_of_four_cores_is_two_thousand_thousandths() {
        assert_eq!(share(50.0, 4_000), 2_000);
        assert_eq!(share(f32::NAN, 4_000), 0);
    }

    #[test]
    fn this_host_has_memory_a_disk_and_cores() {
        let usage = HostMeter::new("/".into()).sample();
        assert!(usage.memory_bytes > 0 && usage.memory_bytes < usage.memory_capacity_bytes);
        assert!(usage.disk_bytes > 0 && usage.disk_bytes <= usage.disk_capacity_bytes);
        assert!(usage.cpu_capacity_millis >= 1_000);
        assert!(usage.cpu_millis <= usage.cpu_capacity_millis);
    }
}
