//! The command line: a name and `--flag value` pairs.
//!
//! In: arguments. Out: values with defaults.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::str::FromStr;

/// What was given.
pub(crate) struct Flags {
    /// Which benchmark.
    pub(crate) name: String,
    values: BTreeMap<String, String>,
}

impl Flags {
    /// Takes the arguments apart.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> anyhow::Result<Flags> {
        let mut args = args;
        let name = args.next().context("give the name of a benchmark: pacing, closed, syscalls or stall")?;
        let mut values = BTreeMap::new();
        while let Some(flag) = args.next() {
            let flag = flag.strip_prefix("--").with_context(|| format!("`{flag}` is no flag"))?.to_owned();
            let value = args.next().with_context(|| format!("--{flag} needs a value"))?;
            values.insert(flag, value);
        }
        Ok(Flags { name, values })
    }

    /// The value of a flag, or `default`.
    pub(crate) fn get<T: FromStr>(&self, flag: &str, default: T) -> anyhow::Result<T> {
        match self.values.get(flag) {
            None => Ok(default),
            Some(text) => text.parse().ok().with_context(|| format!("--{flag} cannot be `{text}`")),
        }
    }

    /// The value of a flag, if it was given.
    pub(crate) fn find(&self, flag: &str) -> Option<&str> {
        self.values.get(flag).map(String::as_str)
    }
}
