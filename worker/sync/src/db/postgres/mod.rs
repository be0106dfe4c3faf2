//! PostgreSQL.
//!
//! In: an endpoint. Out: a connection. Never: a decision about pages.
//! Tests: `worker/sync/tests/`.
use super::{Connection, DbError, Endpoint};

pub(super) async fn open(endpoint: &Endpoint, _read_only: bool) -> Result<Box<dyn Connection>, DbError> {
    Err(super::open::other(format!("{} is not there yet", endpoint.shown())))
}
