//! Which crate may depend on which.
//!
//! In: the JSON of `cargo metadata --no-deps`. Out: breaches as sentences. Never: runs cargo.
//! Tests: below.

use serde_json::Value;

/// Crates of the workspace, and those of it that each may depend on. `shanty` and `shanty-tests` may all.
const EDGES: [(&str, &[&str]); 7] = [
    ("shanty-proto", &[]),
    ("shanty-model", &[]),
    ("shanty-rt", &["shanty-model", "shanty-proto"]),
    ("shanty-master", &["shanty-model", "shanty-proto", "shanty-rt"]),
    ("shanty-sync", &["shanty-model", "shanty-rt"]),
    ("shanty-worker", &["shanty-model", "shanty-proto", "shanty-rt", "shanty-sync"]),
    ("shanty-sentinel", &["shanty-model", "shanty-proto", "shanty-rt"]),
];

/// What a crate must not depend on, tests of its own left out.
const FOREIGN: [(&str, &[&str]); 3] = [
    (
        "shanty-model",
        &[
            "tokio",
            "tonic",
            "prost",
            "prost-types",
            "sqlx",
            "hyper",
            "rustix",
            "etcd-client",
            "sysinfo",
            "uuid",
        ],
    ),
    ("shanty-worker", &["sqlx", "etcd-client"]),
    ("shanty-sentinel", &["sqlx", "etcd-client", "sysinfo"]),
];

/// The breaches of the workspace whose `cargo metadata` this is.
#[must_use]
pub fn check_edges(metadata: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    if packages.len() < EDGES.len() {
        breaches.push(format!("cargo metadata shows {} packages only", packages.len()));
    }
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = EDGES.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed);
        if allowed.is_none() && name != "shanty" && name != "shanty-tests" {
            breaches
                .push(format!("{name}: a new crate; say in tests/src/house/edges.rs what it may depend on"));
        }
        let foreign =
            FOREIGN.iter().find(|(crate_name, _)| *crate_name == name).map_or(&[][..], |(_, not)| *not);
        for dependency in package["dependencies"].as_array().map_or(&[][..], Vec::as_slice) {
            if dependency["kind"] == "dev" {
                continue;
            }
            let other = dependency["name"].as_str().unwrap_or_default();
            let ours = other == "shanty" || other.starts_with("shanty-");
            if ours && allowed.is_some_and(|allowed| !allowed.contains(&other)) {
                breaches.push(format!("{name} depends on {other}; there is a wall between them"));
            }
            if foreign.contains(&other) {
                breaches.push(format!("{name} depends on {other}, which does not belong there"));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|other| json!({ "name": other, "kind": null })).collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        let mut packages: Vec<Value> = EDGES.iter().map(|(name, allowed)| package(name, allowed)).collect();
        packages.push(package("shanty", &["shanty-master", "shanty-worker"]));
        assert_eq!(check_edges(&json!({ "packages": packages })), Vec::<String>::new());

        packages.push(package("shanty-worker", &["shanty-master"]));
        packages.push(package("shanty-model", &["tokio"]));
        packages.push(package("shanty-newcomer", &[]));
        assert_eq!(check_edges(&json!({ "packages": packages })).len(), 3);
    }
}
