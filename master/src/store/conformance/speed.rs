//! How fast a store commits: figures for people, never a check.

use super::sample::*;
use crate::election::Mandate;
use crate::store::{Mutation, Store};
use futures_util::future::join_all;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Commits per second.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Of one event, one after the other.
    pub single: f64,
    /// Of 100 events and pieces of results of 2 KiB, one after the other.
    pub hundred: f64,
    /// Of one event, by eight at once.
    pub eight: f64,
}

/// Measures for about `each` per figure. The store is left with what was written.
///
/// # Panics
/// When a commit fails.
pub async fn measure(store: &Store, each: Duration) -> Speed {
    let epoch = store.fence_epoch().await.unwrap_or_default().next();
    let authority = lead(store, epoch.0).await;
    let mandate = Mandate::for_test(&authority);
    let next = Cell::new(0_u32);
    let commit = async |size: u32| {
        let from = next.get() + 1;
        next.set(next.get() + size);
        let batch: Vec<Mutation> = (from..from + size)
            .map(|i| match (size, i % 2) {
                (2.., 0) => Mutation::AppendSeries(piece("speed.1/0#1", u64::from(i), vec![7; 2048])),
                _ => Mutation::AppendEvent(event("speed.1", i)),
            })
            .collect();
        let done = store.commit(&mandate, &batch).await;
        assert_eq!(done, Ok(()), "a commit of {size}");
    };
    let loop_for = async |size: u32| {
        let began = Instant::now();
        let mut count = 0_u32;
        while began.elapsed() < each {
            commit(size).await;
            count += 1;
        }
        f64::from(count) / began.elapsed().as_secs_f64()
    };
    let single = loop_for(1).await;
    let hundred = loop_for(100).await;
    let eight = join_all((0..8).map(|_| loop_for(1))).await.into_iter().sum();
    Speed { single, hundred, eight }
}
