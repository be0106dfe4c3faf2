//! Benchmarks: each beside its peer in one run, figures and ratios printed, never pass or fail.
//!
//! ```text
//! cargo run --release -p shanty-tests --bin shanty-bench -- NAME
//! ```
//! | name | measures |
//! |---|---|
//! | `pacing` | how evenly the target sees arrivals; `--rate`, `--workers`, `--seconds` |
//! | `closed` | requests per second of generator CPU, paired with wrk |
//! | `syscalls` | system calls per request, by strace |
//! | `stall` | whether a target that stands still shows in the percentiles |
//! | `reaction` | how quickly a cluster changes its rate, stops, and takes a dead worker's share over |
//! | `fleet` | a master with a thousand workers |
//! | `memory` | whether a worker's memory grows; `--rate`, `--seconds` |
//!
//! The target is a process of its own on the first core, the generator on the last one. `target` and
//! `generate` are those two, started by the others.

mod closed;
mod flags;
mod fleet;
mod generate;
mod memory;
mod pacing;
mod process;
mod procfs;
mod reaction;
mod stall;
mod syscalls;
mod target;

use flags::Flags;

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse(std::env::args().skip(1))?;
    match flags.name.as_str() {
        "pacing" => pacing::run(&flags),
        "closed" => closed::run(&flags),
        "syscalls" => syscalls::run(&flags),
        "stall" => stall::run(&flags),
        "reaction" => with_runtime(reaction::run()),
        "fleet" => with_runtime(fleet::run()),
        "memory" => with_runtime(memory::run(&flags)),
        "target" => target::run(&flags),
        "generate" => generate::run(&flags),
        other => {
            anyhow::bail!(
                "no benchmark is called `{other}`; there are pacing, closed, syscalls, stall, reaction, fleet and memory"
            )
        }
    }
}

fn with_runtime(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(bench)
}
