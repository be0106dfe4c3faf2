//! What the build stands on: the protoc shim fits the lock file, and one of each transport crate.
//!
//! In: `Cargo.lock`, `tools/`, `.cargo/config.toml`. Out: a failure that names the step to take.
//! Never: builds anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// Versions of each locked package, by name.
fn locked() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let lock: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name").to_owned();
        versions.entry(name).or_default().push(package["version"].as_str().expect("version").to_owned());
    }
    versions
}

#[test]
fn the_descriptor_set_of_the_protoc_shim_is_that_of_the_locked_etcd_client() {
    let locked = locked();
    let [version] = locked["etcd-client"].as_slice() else {
        panic!("more than one etcd-client is locked: {:?}", locked["etcd-client"]);
    };
    let wanted = format!("etcd-client-{version}.fds");
    let found: Vec<String> = std::fs::read_dir(root().join("tools"))
        .expect("tools/")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
        .filter(|name| name.ends_with(".fds"))
        .collect();
    assert_eq!(
        found,
        [wanted],
        "make it anew: cargo run -p shanty-proto --example etcd_descriptors, and remove the old one"
    );
    let shim = std::fs::read_to_string(root().join("tools/protoc")).expect("tools/protoc");
    assert!(shim.contains(".fds"), "tools/protoc does not name the descriptor set any more");
}

#[test]
fn each_transport_crate_is_locked_once() {
    let locked = locked();
    for name in
        ["tonic", "tonic-prost", "prost", "prost-types", "rustls", "hyper", "h2", "http", "tokio", "ring"]
    {
        let versions = locked.get(name).map_or(&[][..], Vec::as_slice);
        assert_eq!(
            versions.len(),
            1,
            "{name}: {versions:?}; cargo tree --duplicates tells who asks for which"
        );
    }
}

#[test]
fn nothing_needs_openssl_aws_lc_cmake_or_protoc() {
    let locked = locked();
    for name in ["openssl-sys", "openssl", "native-tls", "aws-lc-sys", "aws-lc-rs", "cmake", "protobuf-src"] {
        assert!(
            !locked.contains_key(name),
            "{name} is locked; cargo tree -i {name} tells by whom; choose features without it"
        );
    }
}
