//! A sentinel whose senses are given: the brain and the ballot as they are, without a socket. For simulations.
//!
//! In: a coordinator, and what the sentinel heard of masters and of other sentinels. Out: votes and ends of terms, done to
//! the coordinator. Never: used by the program, whose loop is in `watch`.
//! Tests: the simulation of the tests crate.

use crate::ballot::Ballot;
use crate::brain::Brain;
use crate::evidence::Limits;
pub use crate::evidence::{Health, Sign, Witnesses};
use crate::hand::{Hand, now};
use futures_util::StreamExt as _;
use shanty_model::id::NodeId;
use shanty_rt::coord::{Coord, Keys};
use shanty_rt::task::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Something that a sentinel hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Something happened at a master's door; an answer comes through a new connection.
    Master(NodeId, Sign),
    /// Another sentinel spoke.
    Peer(NodeId),
}

/// Plays the sentinel `me` for ever. Time is told to it each `every`.
pub async fn play(
    me: NodeId,
    cluster: &str,
    coord: Arc<dyn Coord>,
    mut heard: mpsc::Receiver<Heard>,
    every: Duration,
) {
    let keys = Keys::new(cluster);
    let mut scope = Scope::new();
    let ballot = Ballot { coord: coord.clone(), keys: keys.clone(), me: me.clone(), lease: None };
    let mut hand = Hand::with(ballot, &mut scope);
    let mut events = coord.watch(keys.root());
    let mut brain = Brain::new(me, keys, Limits::default());
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => brain.tick(now(), every),
            Some(event) = events.next() => {
                brain.saw(now(), event);
            }
            Some(heard) = heard.recv() => match heard {
                Heard::Master(node, sign) => {
                    if matches!(sign, Sign::Answered(_)) {
                        brain.opened(&node);
                    }
                    brain.sign(now(), &node, sign);
                }
                Heard::Peer(sentinel) => brain.peer(now(), sentinel),
            },
        }
        hand.follow(&brain);
    }
}
