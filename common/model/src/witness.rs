//! How workers' word of a leader is counted: by masters, and read by sentinels. Both take it from here.
//!
//! In and out: bounds. Never: counts. Tests: where they are used.

use std::time::Duration;

/// Of the workers of one master, those that heard the leader within each of these are told; shortest first.
pub const HEARD_WITHIN: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_millis(1500),
    Duration::from_secs(3),
];

/// Workers that heard the leader, one number for each of [`HEARD_WITHIN`].
pub type Heard = [u32; HEARD_WITHIN.len()];
