//! Child processes, each on a core of its own, and the processor time that they took.
//!
//! In: arguments. Out: what they printed, CPU seconds.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shanty_tests::target::Stamps;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The core of the target.
pub(crate) fn target_core() -> usize {
    0
}

/// The core of the generator.
pub(crate) fn generator_core() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1)
}

/// CPU seconds of the children that have ended and been waited for, by the kernel's books: to 20 ms.
pub(crate) fn children_cpu_s() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
    let ticks: f64 = fields[13].parse::<f64>()? + fields[14].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// This executable, on its core by taskset.
fn own(core: usize, args: &[String]) -> anyhow::Result<Command> {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(std::env::current_exe()?).args(args);
    Ok(command)
}

/// The target in a process of its own.
pub(crate) struct TargetProcess {
    child: Child,
    stamps: PathBuf,
    wire_stamps: PathBuf,
    _folder: tempfile::TempDir,
    /// Its url.
    pub(crate) url: String,
}

impl TargetProcess {
    /// Starts it, with more flags.
    pub(crate) fn start(flags: &[&str]) -> anyhow::Result<TargetProcess> {
        Self::launch(flags, false)
    }

    /// Starts one that also asks the kernel when requests came.
    pub(crate) fn with_kernel_stamps() -> anyhow::Result<TargetProcess> {
        Self::launch(&[], true)
    }

    fn launch(flags: &[&str], kernel_stamps: bool) -> anyhow::Result<TargetProcess> {
        let folder = tempfile::tempdir()?;
        let (stamps, wire_stamps) = (folder.path().join("stamps"), folder.path().join("wire"));
        let mut args = vec!["target".to_owned(), "--stamps".to_owned(), stamps.display().to_string()];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        if kernel_stamps {
            args.extend(["--wire-stamps".to_owned(), wire_stamps.display().to_string()]);
        }
        let mut child = own(target_core(), &args)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(TargetProcess { child, stamps, wire_stamps, _folder: folder, url: line.trim().to_owned() })
    }

    /// Ends it; answers when its requests came.
    pub(crate) fn finish(mut self) -> anyhow::Result<Stamps> {
        self.child.stdin.take().context("no input")?.write_all(b"end\n")?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the target failed: {status}");
        let wire = if self.wire_stamps.exists() { read_stamps(&self.wire_stamps)? } else { Vec::new() };
        Ok(Stamps { read: read_stamps(&self.stamps)?, wire, clock_was_set: false })
    }
}

fn read_stamps(file: &Path) -> anyhow::Result<Vec<u64>> {
    let bytes = std::fs::read(file).with_context(|| format!("the target left no {}", file.display()))?;
    Ok(bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect())
}

/// What a generator did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Generated {
    /// Requests sent, answered, failed, not sent.
    pub(crate) sent: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    /// Percentiles, milliseconds.
    pub(crate) lateness_p50_ms: f64,
    pub(crate) lateness_p99_ms: f64,
    pub(crate) lateness_max_ms: f64,
    pub(crate) response_p50_ms: f64,
    pub(crate) response_p95_ms: f64,
    pub(crate) response_p99_ms: f64,
    pub(crate) service_p99_ms: f64,
    /// Start of the run, CLOCK_MONOTONIC nanoseconds.
    pub(crate) start_ns: u64,
    /// Most memory that the process held, MiB.
    pub(crate) peak_rss_mib: f64,
}

/// Runs the generator on its core, with flags, behind an optional prefix such as strace; answers what it did
/// and the CPU seconds that it took.
pub(crate) fn generate(prefix: &[&str], flags: &[String]) -> anyhow::Result<(Generated, f64)> {
    let mut args = vec!["generate".to_owned()];
    args.extend_from_slice(flags);
    let plain = own(generator_core(), &args)?;
    let mut command = match prefix.split_first() {
        None => plain,
        Some((program, rest)) => {
            let mut command = Command::new(program);
            command.args(rest).arg(plain.get_program()).args(plain.get_args());
            command
        }
    };
    let before = children_cpu_s()?;
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {command:?}"))?;
    anyhow::ensure!(output.status.success(), "the generator failed: {}", output.status);
    let generated = serde_json::from_slice(&output.stdout).context("the generator printed something else")?;
    Ok((generated, children_cpu_s()? - before))
}

/// Median, smallest and largest.
pub(crate) fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    (median, sorted[0], sorted[sorted.len() - 1])
}
