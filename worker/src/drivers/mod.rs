//! The kinds of work that this worker can do, one room each.
//!
//! In: attempts, through `shanty_rt::driver`. Out: their results.
//! Never: gRPC, etcd, or the node's configuration beyond each driver's own options.
//! Tests: in each room.

pub mod http_load;
