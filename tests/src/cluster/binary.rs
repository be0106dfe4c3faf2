//! Where the programs under test are: `shanty` beside this test program, built when it is not.
//!
//! In: the place of the running test program. Out: the path of `shanty`.
//! Never: tests a program older than its source (cargo is asked each time, once per test program).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static SHANTY: OnceLock<PathBuf> = OnceLock::new();

/// The program `shanty`, which embeds the daemons. `SHANTY_BIN` names another one.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn shanty() -> &'static Path {
    SHANTY.get_or_init(|| match std::env::var_os("SHANTY_BIN") {
        Some(path) => PathBuf::from(path),
        None => build("shanty", "shanty"),
    })
}

/// Builds a program of the workspace with the profile of this test program, and answers where it is.
///
/// # Panics
/// When cargo cannot.
#[must_use]
pub fn build(package: &str, program: &str) -> PathBuf {
    let me = std::env::current_exe().expect("own path");
    // target/debug/deps/t10_load-0123 → target/debug → target
    let profile = me.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let target = profile.parent().expect("target");
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--quiet", "-p", package, "--bin", program, "--target-dir"])
        .arg(target);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
    let path = profile.join(program);
    if !status.success() || !path.is_file() {
        panic!("{} is missing; build it: cargo build -p {package}", path.display());
    }
    path
}
