//! Patience: waits for a condition with a deadline, and tells how it went when it was not met.
//!
//! In: a name, a limit, and a question that is asked again and again. Out: nothing, or a panic that says
//! how long and how often it was asked. Never: sleeps and hopes.
//! Tests: below.

use std::time::{Duration, Instant};

/// Time between two questions.
const STEP: Duration = Duration::from_millis(20);

/// Asks `question` until it answers `Ok`, at most for `within`.
///
/// # Panics
/// When it was not answered with `Ok` in time: with the name, the time, how often it was asked, and the
/// last answer.
pub async fn until<T, E: std::fmt::Display>(
    what: &str,
    within: Duration,
    question: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    asked(what, within, question).await.unwrap_or_else(|why| panic!("{why}"))
}

/// As [`until`], for those who have more to do when it was not answered.
///
/// # Errors
/// What [`until`] panics with.
pub async fn asked<T, E: std::fmt::Display>(
    what: &str,
    within: Duration,
    mut question: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, String> {
    let began = Instant::now();
    let mut asked = 0_u32;
    let mut last = "not asked yet".to_owned();
    loop {
        asked += 1;
        let left = within.saturating_sub(began.elapsed());
        match tokio::time::timeout(left.max(STEP), question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer; before: {last}"),
        }
        if began.elapsed() >= within {
            let took = began.elapsed();
            return Err(format!("{what}: not within {took:.1?}, asked {asked} times; last: {last}"));
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Asks `condition` until it holds, at most for `within`.
///
/// # Panics
/// As [`until`].
pub async fn eventually(what: &str, within: Duration, mut condition: impl AsyncFnMut() -> bool) {
    until(what, within, async || if condition().await { Ok(()) } else { Err("it does not hold") }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        eventually("third time", Duration::from_secs(5), async || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "never: not within")]
    async fn it_fails_with_its_name() {
        eventually("never", Duration::from_millis(60), async || false).await;
    }
}
