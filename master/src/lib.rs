//! The master: keeps jobs and runs, places work on workers, answers the API; one of them leads.
pub mod election;
pub mod placement;
pub mod store;
