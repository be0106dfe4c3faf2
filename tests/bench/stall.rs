//! A target that stands still 200 ms in every 2 s: does it show?
//!
//! At a uniform rate a tenth of the requests meet the pause and wait between 0 and 200 ms for its end, so by
//! arithmetic the 95th percentile is 100 ms and the 99th is 180 ms, besides the time to work off the queue. A
//! tool that waits with the target shows its usual latency instead.
//! In: `--rate`, `--seconds`. Out: both percentiles beside the arithmetic.

use crate::flags::Flags;
use crate::process::{TargetProcess, generate};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let rate: String = flags.get("rate", "2000".to_owned())?;
    let seconds: String = flags.get("seconds", "10".to_owned())?;
    let target = TargetProcess::start(&["--stall-every-ms", "2000", "--stall-ms", "200"])?;
    let args = ["--url", &target.url, "--rate", &rate, "--seconds", &seconds].map(str::to_owned);
    let (generated, _) = generate(&[], &args)?;
    target.finish()?;
    println!("open loop, {rate}/s, the target stands still 200 ms in every 2 s:");
    println!(
        "  response p95 {:.1} ms (arithmetic: 100), p99 {:.1} ms (180)",
        generated.response_p95_ms, generated.response_p99_ms
    );
    println!(
        "  sent {} completed {} failed {} dropped {}",
        generated.sent, generated.completed, generated.failed, generated.dropped
    );
    Ok(())
}
