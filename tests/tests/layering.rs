//! The walls of the house over the tree as it stands: crate edges, words and rooms, heads, lengths,
//! where tests are.
//!
//! In: `cargo metadata --no-deps` and every `.rs` file of the workspace. Out: all breaches at once.
//! Never: knows rules (they are in `tests/src/house`).

use shanty_tests::house::{Source, check_edges, check_pointers, check_source};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata = serde_json::from_slice(&output.stdout).expect("JSON");
    let breaches = check_edges(&metadata);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn each_file_keeps_to_its_room() {
    let root = root();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 50, "only {} files found", files.len());
    let mut breaches = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("utf-8");
        let path = file.strip_prefix(&root).expect("in the tree").to_string_lossy().into_owned();
        let source = Source::new(path, text);
        breaches.extend(check_source(&source));
        breaches.extend(check_pointers(&source, |path| root.join(path).exists()));
    }
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}
