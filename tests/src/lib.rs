//! The house of the tests: what starts real processes, speaks to them, and judges what they did.
//!
//! | room | holds |
//! |---|---|
//! | [`certificates`] | authorities, and certificates that they sign |
//! | [`cluster`] | real masters and workers, and a client that takes JSON |
//! | [`databases`] | real PostgreSQL and MariaDB servers |
//! | [`dataset`] | tables with known content for syncs, in every engine |
//! | [`etcd`](mod@etcd) | a real etcd cluster whose members can be killed and paused |
//! | [`faults`] | faults done under load, and what must hold |
//! | [`hold`] | holds single threads of a process still |
//! | [`house`] | the walls of the source tree as rules |
//! | [`machine`] | a Debian 12 with a real systemd inside |
//! | [`net`] | network namespaces on one bridge, parted from each other at will |
//! | [`origin`] | a target of load tests that counts arrivals |
//! | [`patience`] | waits for a condition, never for a time |
//! | [`proxy`] | stands between a worker and a database, and cuts at a COMMIT |
//! | [`sim`] | a whole cluster in virtual time, from a seed |
//! | [`skip`] | says what could not be tested |
//! | [`sync`] | a cluster with databases as connections, and syncs on it |
//! | [`target`] | a target that measures when requests arrive, for the benchmarks |
//!
//! Tests are in `tests/tests`, one binary per area; `tests/run` installs what they need and runs all.

pub mod certificates;
pub mod cluster;
pub mod databases;
pub mod dataset;
pub mod etcd;
pub mod faults;
pub mod hold;
pub mod house;
pub mod machine;
pub mod net;
pub mod origin;
pub mod patience;
pub mod proxy;
pub mod relay;
pub mod sim;
pub mod skip;
pub mod sync;
pub mod target;
