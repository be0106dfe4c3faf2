//! Connections: databases by the names that a worker's configuration gives them.
//!
//! ```text
//!  [worker.connections.shop]                                environment, credentials, files
//!  url = "mysql://etl:${SHOP_PW}@db/shop" ──► Settings ──► Registry ──┘ at the time of use ──► Endpoint
//! ```
//! | file | holds |
//! |---|---|
//! | `settings` | a connection as it stands in a configuration, and how it is shown |
//! | `template` | a URL with placeholders, taken apart |
//! | `secrets` | where what stands behind a placeholder comes from |
//! | `registry` | names to endpoints |
//! | `check` | a connection tried, and what helps when it fails |
//!
//! In: configuration. Out: [`Endpoint`](crate::db::Endpoint)s, [`Checked`].
//! Never: keeps a filled-in secret, or shows one in `Debug`, `Serialize` or an error.
//! Tests: beside each file.

mod check;
mod registry;
mod secrets;
mod settings;
mod template;

pub use check::{Checked, check};
pub use registry::{Registry, Unusable};
pub use secrets::{ProcessSecrets, Secrets};
pub use settings::Settings;
