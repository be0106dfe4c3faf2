//! How much of a queue one turn of a loop takes.
//!
//! In: the message in hand, the queue behind it. Out: messages in their order. Never: takes one out that it does not hand
//! over. Tests: below.

use tokio::sync::mpsc;

/// Most messages in one turn, so that a flood does not keep a turn from its commit.
const TURN: usize = 1024;

/// What one turn takes: the first message, and what waits behind it.
pub fn turn<T>(first: T, queue: &mut mpsc::Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok())).take(TURN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_turn_does_not_take_waits_for_the_next_one() {
        let (queued, mut queue) = mpsc::channel(3 * TURN);
        let all: Vec<usize> = (0..2 * TURN + 7).collect();
        all.iter().for_each(|number| queued.try_send(*number).unwrap());
        let mut taken = Vec::new();
        let mut turns = Vec::new();
        while let Ok(first) = queue.try_recv() {
            let before = taken.len();
            taken.extend(turn(first, &mut queue));
            turns.push(taken.len() - before);
        }
        assert_eq!(taken, all, "in their order, and none lost between two turns");
        assert_eq!(turns, [TURN, TURN, 7]);
    }
}
