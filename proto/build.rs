//! Compiles the .proto files with protox: no protoc is needed. Besides the Rust code it writes the
//! encoded descriptor sets that reflection serves.

use std::path::Path;

use prost::Message as _;

const PUBLIC: [&str; 7] = [
    "shanty/v1/spec.proto",
    "shanty/v1/report.proto",
    "shanty/v1/run.proto",
    "shanty/v1/job.proto",
    "shanty/v1/node.proto",
    "shanty/v1/cluster.proto",
    "shanty/v1/connection.proto",
];
const INTERNAL: [&str; 2] = ["shanty/internal/v1/link.proto", "shanty/internal/v1/sentinel.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=shanty");
    let out = std::env::var("OUT_DIR")?;

    let mut public = protox::Compiler::new(["."])?;
    public.include_imports(true).include_source_info(true).open_files(PUBLIC)?;
    std::fs::write(Path::new(&out).join("shanty.v1.fds"), public.encode_file_descriptor_set())?;

    let mut all = protox::Compiler::new(["."])?;
    all.include_imports(true).include_source_info(true).open_files(PUBLIC)?.open_files(INTERNAL)?;
    let set = prost_types::FileDescriptorSet::decode(all.encode_file_descriptor_set().as_slice())?;
    tonic_prost_build::configure().compile_fds(set)?;
    Ok(())
}
