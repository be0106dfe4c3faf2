//! Makes `tools/etcd-client.fds`, the descriptor set that `tools/protoc` hands to etcd-client's
//! build script.
//!
//! In: the folder of the crate's source (`cargo metadata` names it). Out: the set, on standard
//! output. Run it after raising the version of etcd-client:
//!
//! ```text
//! cargo run -p shanty-proto --example etcd_descriptors -- <etcd-client source>/proto > tools/etcd-client-<version>.fds
//! ```
//! Tests: `tests/tests/toolchain.rs` compares the version in the file's name with Cargo.lock.

use std::io::Write as _;

/// The five files that etcd-client 0.21's build script compiles, in its order.
const FILES: [&str; 5] = [
    "etcd/api/authpb/auth.proto",
    "etcd/api/etcdserverpb/rpc.proto",
    "etcd/api/mvccpb/kv.proto",
    "etcd/server/etcdserver/api/v3election/v3electionpb/v3election.proto",
    "etcd/server/etcdserver/api/v3lock/v3lockpb/v3lock.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).ok_or("give the folder that holds etcd-client's .proto files")?;
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(false).open_files(FILES)?;
    std::io::stdout().write_all(&compiler.encode_file_descriptor_set())?;
    Ok(())
}
