//! Protobuf ⇄ model, for what both masters and clients in Rust speak of.
//!
//! One file per noun: [`spec`] in and out, [`report`] and [`run`] out, [`telemetry`] both ways.
//! In: messages. Out: model values, or every [`shanty_model::violation::Violation`] with its field.
//! Never: decides what is allowed (the model does).

pub mod report;
pub mod run;
pub mod spec;
pub mod telemetry;
pub mod time;
