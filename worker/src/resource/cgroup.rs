//! Limits that a cgroup sets on this process: processor time and memory, v2 and v1.
//!
//! A limit may stand at any level above the process, so each level up to the mount is read and the least
//! one holds. Files that are absent or unreadable limit nothing.
//! In: a root folder (`/` but for tests). Out: [`Limits`].
//! Tests: below, over made-up trees.

use std::fs;
use std::path::{Path, PathBuf};

/// What the cgroups of a process allow.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Limits {
    /// Processor time per time: 1.5 is one core and a half.
    pub(super) cores: Option<f64>,
    /// Memory limit and use of the level that sets it, bytes; page cache that can be dropped is not use.
    pub(super) memory: Option<Memory>,
}

/// A memory limit and what counts against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// The limit, bytes.
    pub(super) limit_bytes: u64,
    /// Use, bytes.
    pub(super) used_bytes: u64,
}

/// More than any machine has: v1 writes "no limit" as a number near 2⁶³.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Reads the limits of this process below `root`.
pub(super) fn limits(root: &Path) -> Limits {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Limits::default();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mounts = root.join("sys/fs/cgroup");
        let has = |name: &str| controllers.split(',').any(|c| c == name);
        if id == "0" && controllers.is_empty() {
            for mount in [mounts.clone(), mounts.join("unified")] {
                for level in levels(&mount, path) {
                    found.tighten(cores_v2(&level), memory_v2(&level));
                }
            }
        }
        if has("cpu") {
            for mount in [mounts.join("cpu"), mounts.join(controllers)] {
                for level in levels(&mount, path) {
                    found.tighten(cores_v1(&level), None);
                }
            }
        }
        if has("memory") {
            for level in levels(&mounts.join("memory"), path) {
                found.tighten(None, memory_v1(&level));
            }
        }
    }
    found
}

impl Limits {
    fn tighten(&mut self, cores: Option<f64>, memory: Option<Memory>) {
        self.cores = match (self.cores, cores) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.memory = match (self.memory, memory) {
            (Some(a), Some(b)) if b.limit_bytes < a.limit_bytes => Some(b),
            (a, b) => a.or(b),
        };
    }
}

/// The folders from the process's own cgroup up to the mount. In a container the path in
/// `/proc/self/cgroup` may be the host's; then the mount itself is the process's own.
fn levels(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    let mut folders: Vec<PathBuf> =
        own.ancestors().take_while(|folder| folder.starts_with(mount)).map(Path::to_owned).collect();
    if folders.is_empty() {
        folders.push(mount.to_owned());
    }
    folders
}

fn number(path: PathBuf) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn cores_v2(level: &Path) -> Option<f64> {
    let text = fs::read_to_string(level.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn cores_v1(level: &Path) -> Option<f64> {
    // -1 for no quota does not parse as unsigned, which is as good.
    let quota = number(level.join("cpu.cfs_quota_us"))?;
    let period = number(level.join("cpu.cfs_period_us"))?;
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

fn memory_v2(level: &Path) -> Option<Memory> {
    let limit_bytes = number(level.join("memory.max"))?;
    let used = number(level.join("memory.current"))?;
    Some(Memory { limit_bytes, used_bytes: used.saturating_sub(cache(level, "inactive_file")) })
}

fn memory_v1(level: &Path) -> Option<Memory> {
    let limit_bytes = number(level.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT_BYTES)?;
    let used = number(level.join("memory.usage_in_bytes"))?;
    Some(Memory { limit_bytes, used_bytes: used.saturating_sub(cache(level, "total_inactive_file")) })
}

/// Page cache that the kernel drops before anything else.
fn cache(level: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(level.join("memory.stat")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_of_all_levels_of_v2_holds() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/a.slice/b.service\n"),
            ("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "1000\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.current", "700\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.stat", "anon 1\ninactive_file 200\n"),
        ]);
        let found = limits(root.path());
        assert_eq!(found.cores, Some(1.5));
        assert_eq!(found.memory, Some(Memory { limit_bytes: 1000, used_bytes: 500 }));
    }

    #[test]
    fn v1_is_read_with_its_own_names_and_no_limit_is_none() {
        let root = tree(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n"),
        ]);
        let found = limits(root.path());
        assert_eq!(found.cores, Some(0.5));
        assert_eq!(found.memory, Some(Memory { limit_bytes: 4096, used_bytes: 100 }));
    }

    #[test]
    fn without_cgroups_nothing_is_limited() {
        assert_eq!(limits(tree(&[]).path()), Limits::default());
    }
}
