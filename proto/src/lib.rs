//! The wire: generated from the .proto files beside this crate, nothing by hand.
//!
//! In: `shanty/v1/*.proto` (public) and `shanty/internal/v1/*.proto` (worker link, sentinels' probes). Out: messages,
//! clients, servers, and the descriptor set that reflection serves.
//! Never: logic; conversions live at the doors (`rt::wire`, `master::api`, `worker::link`, `cli`).
//! Tests: `tests/tests/conventions.rs` checks the descriptors.

pub use shanty::internal::v1 as internal;
pub use shanty::v1;

mod shanty {
    #[expect(clippy::large_enum_variant, reason = "generated: a message holds what it holds")]
    pub mod v1 {
        tonic::include_proto!("shanty.v1");
    }
    pub mod internal {
        pub mod v1 {
            tonic::include_proto!("shanty.internal.v1");
        }
    }
}

/// The encoded descriptor set of `shanty.v1` with imports and comments.
pub const PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shanty.v1.fds"));
