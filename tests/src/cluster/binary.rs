//! Where the programs under test are: beside this test program, built when they are not.
//!
//! In: the place of the running test program, or `SHANTY_BIN_DIR`. Out: paths.
//! Never: tests a program older than its source (cargo is asked once per test program, unless
//! `SHANTY_BIN_DIR` says that somebody has just built them, as `tests/run` does).

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("SHANTY_BIN_DIR") {
    Some(folder) => PathBuf::from(folder),
    None => build(),
});

/// The program `shanty`, which embeds the daemons.
///
/// # Panics
/// When it is not there and cannot be built.
#[must_use]
pub fn shanty() -> PathBuf {
    program("shanty")
}

/// A program of the workspace.
///
/// # Panics
/// When it is not there and cannot be built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = FOLDER.join(name);
    assert!(path.is_file(), "{} is missing; build it: cargo build --workspace --bins", path.display());
    path
}

/// Builds all programs with the profile of this test program; answers their folder.
fn build() -> PathBuf {
    let me = std::env::current_exe().expect("own path");
    // target/debug/deps/t10_load-0123 of a test, target/debug/shanty-bench of a program → target/debug → target
    let folder = me.parent().expect("target/<profile>");
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let profile = if is_test { folder.parent().expect("target/<profile>") } else { folder };
    let target = profile.parent().expect("target");
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--quiet", "--workspace", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        command.args(["--release", "--bins"]);
    } else {
        // The same features as this test program's, so nothing is built twice.
        command.arg("--all-targets");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
    assert!(status.success(), "the programs under test cannot be built: {status}");
    profile.to_path_buf()
}
