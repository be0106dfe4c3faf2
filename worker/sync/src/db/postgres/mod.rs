//! PostgreSQL.
//!
//! In: an endpoint. Out: a connection that reads and writes by COPY. Never: a decision about pages.
//! Tests: beside the code; against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! | room | holds |
//! |---|---|
//! | `dialect` | names, literals, comparisons, SELECT |
//! | `types` | native types to kinds and back; what may be a key |
//! | `ddl` | CREATE TABLE, indexes, what follows a load |
//! | `hash` | texts and hashes for comparing tables |
//! | `catalog` | a table as the catalog has it |
//! | `session` | one connection and its settings |
//! | `facts` | answers about the server: identity, privileges, estimates, the safe bound |
//! | `read` | COPY TO: text cells, binary rows |
//! | `write` | COPY FROM: text and binary |
//! | `binary` | rows encoded in COPY's binary form |
//! | `replace` | rows whose keys are there already |
//! | `raw` | rows in COPY's binary form |
//! | `record` | the hash that a server has for such a row |
//! | `error` | classes of errors |

mod binary;
mod catalog;
mod ddl;
mod dialect;
mod error;
mod facts;
mod hash;
mod raw;
mod read;
mod record;
mod replace;
mod session;
mod types;
mod write;

pub(super) use session::open;
