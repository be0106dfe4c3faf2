//! The engines against real databases: one program, since each test program links and optimizes all of them anew.
//!
//! ```text
//! cargo test --workspace --test databases -- verify::
//! ```
//! | module | holds |
//! |---|---|
//! | `engines` | what all engines keep, and every pair of them |
//! | `mysql`, `postgres`, `sqlite` | what one of them does |
//! | `copy_postgres` | whole syncs by one worker without a master |
//! | `verify` | comparison and repair between all pairs |

#![cfg(test)]

mod copy_postgres;
mod engines;
mod mysql;
mod postgres;
mod sqlite;
mod support;
mod verify;
