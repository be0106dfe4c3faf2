//! States of runs and shards, out: the one total map from our words to the public ones.

use shanty_model::state::{RunState, ShardState};
use shanty_proto::v1 as pb;

/// The public word for a run's state.
#[must_use]
pub fn state(state: RunState) -> pb::run::State {
    match state {
        RunState::Submitted | RunState::Planning => pb::run::State::Pending,
        RunState::Running | RunState::Changing => pb::run::State::Running,
        RunState::Stopping => pb::run::State::Cancelling,
        RunState::Succeeded => pb::run::State::Succeeded,
        RunState::Failed => pb::run::State::Failed,
        RunState::Cancelled => pb::run::State::Cancelled,
        RunState::TimedOut => pb::run::State::TimedOut,
        RunState::Lost => pb::run::State::Lost,
    }
}

/// Our states that a public word stands for; none for a word that is unknown.
#[must_use]
pub fn states_named(word: &str) -> Vec<RunState> {
    RunState::ALL.into_iter().filter(|ours| state(*ours).as_str_name() == word).collect()
}

/// The public words for the states of a run.
#[must_use]
pub fn state_words() -> Vec<&'static str> {
    let mut words: Vec<&str> = RunState::ALL.into_iter().map(|ours| state(ours).as_str_name()).collect();
    words.dedup();
    words
}

/// The public word for a shard's state.
#[must_use]
pub fn shard_state(state: ShardState) -> pb::shard::State {
    match state {
        ShardState::Pending => pb::shard::State::Pending,
        ShardState::Assigned => pb::shard::State::Assigned,
        ShardState::Accepted => pb::shard::State::Accepted,
        ShardState::Running => pb::shard::State::Running,
        ShardState::Done => pb::shard::State::Done,
        ShardState::Failed => pb::shard::State::Failed,
        ShardState::Yielded => pb::shard::State::Yielded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_back_to_all_states_that_they_stand_for() {
        assert_eq!(states_named("PENDING"), [RunState::Submitted, RunState::Planning]);
        assert!(states_named("pending").is_empty());
        assert_eq!(state_words().len(), 8);
    }
}
