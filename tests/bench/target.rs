//! The target's process: prints its url, serves until it is told to end, and writes its stamps.
//!
//! In: flags, a line on standard input. Out: a file of little-endian nanoseconds; a second one of the kernel's
//! stamps, if it is named.

use crate::flags::Flags;
use anyhow::Context as _;
use shanty_tests::target::{Options, Target};
use std::time::Duration;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let ms = |flag| anyhow::Ok(Duration::from_millis(flags.get(flag, 0)?));
    let options = Options {
        body_bytes: flags.get("body", 13)?,
        delay: ms("delay-ms")?,
        stall: (ms("stall-every-ms")?, ms("stall-ms")?),
        capacity: flags.get("capacity", 4_000_000)?,
        kernel_stamps: flags.find("wire-stamps").is_some(),
        ..Options::default()
    };
    // What the target is late by would be counted as the generator's doing. Only root may, so a refusal is fine.
    let _ = rustix::process::setpriority_process(None, -15);
    let target = Target::start(options)?;
    println!("{}", target.url());
    std::io::stdin().read_line(&mut String::new())?;
    let stamps = target.finish();
    anyhow::ensure!(!stamps.clock_was_set, "the wall clock was set while it measured; measure again");
    write(flags.find("stamps").context("--stamps is missing")?, stamps.read)?;
    flags.find("wire-stamps").map_or(Ok(()), |file| write(file, stamps.wire))
}

fn write(file: &str, stamps: Vec<u64>) -> anyhow::Result<()> {
    let bytes: Vec<u8> = stamps.into_iter().flat_map(u64::to_le_bytes).collect();
    std::fs::write(file, bytes).with_context(|| format!("cannot write {file}"))
}
