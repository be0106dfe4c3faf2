//! What an elector is told, and the times that follow from the lease.
//! Tests: below.

use shanty_model::id::NodeId;
use shanty_rt::coord::{NodeInfo, Role};
use shanty_rt::pulse::Pulse;
use std::sync::Arc;
use std::time::Duration;

/// What an elector is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the cluster: part of every key.
    pub cluster: String,
    /// This master.
    pub node: NodeId,
    /// New with every start of the process.
    pub incarnation: String,
    /// Where others reach this master, `host:port`.
    pub address: String,
    /// Version of the program.
    pub version: String,
    /// Larger leads first, among masters that are up.
    pub priority: u32,
    /// How long the leader's lease lives without renewal, 3 to 15 s in earnest. etcd grants 2 s at least.
    pub lease_ttl: Duration,
    /// Beats whenever this master's disk takes a write; its silence ends a term as the store's does. None when
    /// nobody probes it.
    pub disk: Option<Arc<Pulse>>,
    /// How long the dispatch loop may go without [`Gates::tick_dispatch`](super::Gates::tick_dispatch)
    /// before this master resigns.
    pub dispatch_silence: Duration,
}

impl Options {
    /// Options with the defaults: a lease of 5 s, 2 s of silence, priority 100, a new incarnation, no disk of its own.
    #[must_use]
    pub fn new(cluster: &str, node: NodeId, address: &str) -> Options {
        Options {
            cluster: cluster.to_owned(),
            node,
            incarnation: uuid::Uuid::new_v4().to_string(),
            address: address.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            priority: 100,
            lease_ttl: Duration::from_secs(5),
            disk: None,
            dispatch_silence: Duration::from_secs(2),
        }
    }

    /// This master's registration.
    pub(super) fn node_info(&self) -> NodeInfo {
        NodeInfo {
            node: self.node.clone(),
            role: Role::Master,
            address: self.address.clone(),
            incarnation: self.incarnation.clone(),
            version: self.version.clone(),
            priority: self.priority,
        }
    }
}

/// Times that follow from the lease's time to live: in proportion below 5 s, as they are above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timers {
    /// Time to live of the lease.
    pub lease_ttl: Duration,
    /// Between two renewals, and between two canaries.
    pub renew_every: Duration,
    /// The holder stops this long before the lease may end: covers clock rates that differ by 10 %, and
    /// scheduling.
    pub margin: Duration,
    /// How long the store may fail.
    pub canary_silence: Duration,
    /// How long the first tick of dispatch may take: the leader reads what is active before.
    pub warm_up: Duration,
    /// How long a nominee may take before others try.
    pub nominee_grace: Duration,
    /// Between two candidates of neighbouring rank.
    pub stagger: Duration,
    /// How long a nomination lives.
    pub nominee_ttl: Duration,
}

impl Timers {
    pub(super) fn for_ttl(lease_ttl: Duration) -> Timers {
        let renew_every = (lease_ttl / 5).min(Duration::from_secs(1));
        Timers {
            lease_ttl,
            renew_every,
            margin: (lease_ttl * 3 / 10).min(Duration::from_millis(1500)),
            canary_silence: (lease_ttl * 4 / 5).min(Duration::from_secs(4)),
            warm_up: Duration::from_secs(10),
            nominee_grace: renew_every,
            stagger: renew_every * 3 / 20,
            nominee_ttl: (lease_ttl * 3 / 5).min(Duration::from_secs(3)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_the_default_lease_are_those_of_the_protocol() {
        let ms = Duration::from_millis;
        let timers = Timers::for_ttl(ms(5000));
        assert_eq!(
            (timers.renew_every, timers.margin, timers.canary_silence),
            (ms(1000), ms(1500), ms(4000))
        );
        assert_eq!((timers.nominee_grace, timers.stagger, timers.nominee_ttl), (ms(1000), ms(150), ms(3000)));
        let long = Timers::for_ttl(ms(15_000));
        assert_eq!((long.renew_every, long.margin), (ms(1000), ms(1500)));
        let short = Timers::for_ttl(ms(500));
        assert_eq!((short.renew_every, short.margin), (ms(100), ms(150)));
    }
}
