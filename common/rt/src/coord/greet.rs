//! The first words with the coordinator: whether it answers, and whether it is one that works.
//!
//! In: a coordinator. Out: one line for people when it does not answer for a while, one when it is old; [`TooOld`] when it
//! cannot work. Never: gives up waiting. Tests: below; with processes in `tests/tests/t23_refusals.rs`.

use super::{Coord, Error};
use crate::clock;
use std::sync::Arc;
use std::time::Duration;

/// The oldest version that has all that [`Coord`] uses.
const OLDEST: Version = (3, 4, 0);
/// From these on, releases do not end leases when their leader pauses, and read nothing stale.
const SOUND: [Version; 4] = [(3, 4, 42), (3, 5, 28), (3, 6, 9), (3, 7, 0)];
/// Without an answer for this long it is said.
const SAID_AFTER: Duration = Duration::from_secs(3);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

type Version = (u64, u64, u64);

/// An etcd that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("etcd is version {0}, which is too old: run 3.5.28, 3.6.9 or newer, at least 3.4")]
pub struct TooOld(String);

/// What there is to say of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    TooOld,
    Unsound,
    Sound,
}

fn parse(version: &str) -> Option<Version> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

/// A version that cannot be read is not judged.
fn judge(version: &str) -> Judgement {
    let Some(version) = parse(version) else { return Judgement::Sound };
    if version < OLDEST {
        return Judgement::TooOld;
    }
    let line = SOUND.iter().find(|sound| (sound.0, sound.1) == (version.0, version.1));
    match line {
        Some(sound) if version < *sound => Judgement::Unsound,
        Some(_) | None => Judgement::Sound,
    }
}

/// Waits until the coordinator answers, and looks at its version.
///
/// # Errors
/// [`TooOld`] when it cannot work.
pub async fn greet(coord: Arc<dyn Coord>) -> Result<(), TooOld> {
    let began = clock::boottime();
    let mut said = false;
    let version = loop {
        match coord.version().await {
            Ok(version) => break version,
            Err(error @ Error::Unreachable(_)) => {
                if !said && clock::boottime().saturating_sub(began) >= SAID_AFTER {
                    said = true;
                    tracing::warn!(
                        %error,
                        "etcd does not answer; trying on. See that it runs, and that `etcd.endpoints` (--etcd) names it"
                    );
                }
                tokio::time::sleep(AGAIN).await;
            }
            // It is there, and does not tell strangers how old it is.
            Err(error @ (Error::Refused(_) | Error::LeaseGone)) => {
                tracing::debug!(%error, "the coordinator does not tell its version");
                break None;
            }
        }
    };
    if said {
        tracing::info!("etcd answers");
    }
    let Some(version) = version else { return Ok(()) };
    match judge(&version) {
        Judgement::TooOld => Err(TooOld(version)),
        Judgement::Unsound => {
            tracing::info!(
                version,
                "this etcd may end leases when its own leader pauses, which looks like a master's death; 3.5.28, 3.6.9 and newer \
                 do not"
            );
            Ok(())
        }
        Judgement::Sound => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::Memory;

    #[test]
    fn versions_are_judged_by_their_line() {
        for (version, expected) in [
            ("3.3.27", Judgement::TooOld),
            ("2.3.8", Judgement::TooOld),
            ("3.4.0", Judgement::Unsound),
            ("3.4.23", Judgement::Unsound),
            ("3.4.42", Judgement::Sound),
            ("3.5.27", Judgement::Unsound),
            ("3.5.28", Judgement::Sound),
            ("3.6.0-rc.1", Judgement::Unsound),
            ("3.6.10", Judgement::Sound),
            ("3.7.0", Judgement::Sound),
            ("4.0", Judgement::Sound),
            ("something else", Judgement::Sound),
        ] {
            assert_eq!(judge(version), expected, "{version}");
        }
        let words = TooOld("3.3.27".to_owned()).to_string();
        assert!(words.contains("3.3.27") && words.contains("at least 3.4"), "{words}");
    }

    #[tokio::test]
    async fn a_coordinator_without_a_version_is_fine() {
        assert_eq!(greet(Arc::new(Memory::new())).await, Ok(()));
    }
}
