//! Benchmarks: each beside its peer in one run, figures and ratios printed, never pass or fail.
//!
//! ```text
//! cargo run --release -p shanty-tests --bin shanty-bench -- NAME
//! ```
//! | name | measures |
//! |---|---|
//! | `pacing` | how evenly the target sees arrivals; `--rate`, `--workers`, `--seconds`, `--runs` |
//! | `closed` | requests per second of generator CPU, paired with wrk |
//! | `syscalls` | system calls per request, by strace |
//! | `stall` | whether a target that stands still shows in the percentiles |
//! | `reaction` | how quickly a cluster changes its rate, stops, and takes a dead worker's share over |
//! | `fleet` | a master with a thousand workers |
//! | `reattach` | how soon a thousand workers are with the next leader; `--workers`, `--kills`, `--restarts`, `--rate` |
//! | `failover` | how long nobody dispatches, beside Redis Sentinel and a lock of etcd; `--runs` |
//! | `store` | commits per second on each database |
//! | `sync-mysql`, `sync-postgres`, `sync-mysql-postgres` | syncs beside other tools; `--rows`, `--rounds` |
//! | `sync-verify` | what checksums cost beside the copy |
//! | `sync-plan` | how long a hundred million keys take to be cut into ranges; `--keys` |
//! | `sync-memory` | most memory of a worker with eight shards |
//! | `all` | all of these but the next |
//! | `memory` | whether a worker's memory grows; `--rate`, `--seconds` |
//!
//! The target is a process of its own on the first core, the generator on the last one. `target` and
//! `generate` are those two, started by the others.

mod closed;
mod failover;
mod failover_peers;
mod flags;
mod fleet;
mod generate;
mod memory;
mod pacing;
mod process;
mod procfs;
mod reaction;
mod reattach;
mod stall;
mod store;
mod sync;
mod sync_limits;
mod sync_peers;
mod syscalls;
mod target;
mod witness;

use flags::Flags;

/// What `all` runs.
const ALL: [&str; 15] = [
    "pacing",
    "closed",
    "syscalls",
    "stall",
    "reaction",
    "fleet",
    "reattach",
    "failover",
    "store",
    "sync-mysql",
    "sync-postgres",
    "sync-mysql-postgres",
    "sync-verify",
    "sync-plan",
    "sync-memory",
];

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse(std::env::args().skip(1))?;
    if flags.name == "all" {
        // What a few minutes can tell; `memory` takes ten and has to be asked for.
        return ALL.into_iter().try_for_each(|name| bench(name, &flags));
    }
    bench(&flags.name, &flags)
}

fn bench(name: &str, flags: &Flags) -> anyhow::Result<()> {
    match name {
        "pacing" => pacing::run(flags),
        "closed" => closed::run(flags),
        "syscalls" => syscalls::run(flags),
        "stall" => stall::run(flags),
        "reaction" => with_runtime(reaction::run()),
        "fleet" => with_runtime(fleet::run()),
        "reattach" => with_runtime(reattach::run(flags)),
        "failover" => with_runtime(failover::run(flags)),
        "store" => with_runtime(store::run()),
        "sync-mysql" => with_runtime(sync::mysql(flags)),
        "sync-postgres" => with_runtime(sync::postgres(flags)),
        "sync-mysql-postgres" => with_runtime(sync::mysql_postgres(flags)),
        "sync-verify" => with_runtime(sync::verify(flags)),
        "sync-plan" => with_runtime(sync_limits::plan(flags)),
        "sync-memory" => with_runtime(sync_limits::memory(flags)),
        "memory" => with_runtime(memory::run(flags)),
        "target" => target::run(flags),
        "generate" => generate::run(flags),
        other => {
            anyhow::bail!("no benchmark is called `{other}`; there are all, memory, {}", ALL.join(", "))
        }
    }
}

fn with_runtime(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(bench)
}
