//! Sessions with databases, opened by a connection's name and kept for a moment after use, since one shard
//! follows another.
//!
//! In: a connection's name. Out: a session that nobody else has. Never: gives back a session whose state is in doubt.
//! Tests: through the steps, on real servers.

use crate::connection::Registry;
use crate::db::{self, Connection};
use crate::error::SyncError;
use shanty_rt::clock;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A session that was not used for this long is closed.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// What a session is for: its settings differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Reads only.
    Read,
    /// Writes.
    Write,
}

struct Idle {
    name: String,
    used_for: Use,
    since: Duration,
    session: Box<dyn Connection>,
}

/// Opens sessions and keeps idle ones.
pub struct Sessions {
    connections: Registry,
    idle: Mutex<Vec<Idle>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions with these databases.
    #[must_use]
    pub fn new(connections: Registry) -> Sessions {
        Sessions { connections, idle: Mutex::default() }
    }

    /// A session with the database of this name.
    ///
    /// # Errors
    /// `Permanent` when the name is unknown or the database does not let us in; `Transient` when it does not answer.
    pub async fn open(&self, name: &str, used_for: Use) -> Result<Box<dyn Connection>, SyncError> {
        let (kept, old) = self.take_idle(name, used_for);
        for idle in old {
            idle.session.close().await;
        }
        if let Some(session) = kept {
            return Ok(session);
        }
        let endpoint = self.connections.get(name).map_err(|error| SyncError::permanent(error.to_string()))?;
        db::open(&endpoint, used_for == Use::Read)
            .await
            .map_err(|error| SyncError::db(&format!("connecting to `{name}` ({})", endpoint.shown()), &error))
    }

    fn take_idle(&self, name: &str, used_for: Use) -> (Option<Box<dyn Connection>>, Vec<Idle>) {
        let now = clock::boottime();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut fresh, old): (Vec<Idle>, Vec<Idle>) =
            idle.drain(..).partition(|idle| now.saturating_sub(idle.since) < KEPT_FOR);
        let found = fresh.iter().position(|idle| idle.name == name && idle.used_for == used_for);
        let kept = found.map(|at| fresh.swap_remove(at).session);
        *idle = fresh;
        (kept, old)
    }

    /// Takes a session back that has nothing under way.
    pub fn put_back(&self, name: &str, used_for: Use, session: Box<dyn Connection>) {
        let since = clock::boottime();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { name: name.to_owned(), used_for, since, session });
    }
}
