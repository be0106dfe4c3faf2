//! The kinds of work that this worker can do, one room each.
//!
//! In: attempts, through `shanty_rt::driver`. Out: their results.
//! Never: gRPC, etcd, or the node's configuration beyond each driver's own options.
//! Tests: in each room.

pub mod http_load;

use crate::config::Config;
use http_load::HttpLoadDriver;
use shanty_rt::driver::{Erased, ErasedDriver};
use shanty_sync::connection::Registry;
use shanty_sync::driver::SyncDriver;
use std::sync::Arc;

/// The drivers of a worker with this configuration.
#[must_use]
pub fn of(config: &Config) -> Vec<Arc<dyn ErasedDriver>> {
    let connections = Registry::new(config.connections.clone());
    vec![
        Arc::new(Erased::new(HttpLoadDriver::new(config.load.options()))),
        Arc::new(Erased::new(SyncDriver::new(connections))),
    ]
}
