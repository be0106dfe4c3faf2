//! Page sizes, page tokens, filters.
//!
//! A token is opaque to its user: the cursor in plain text with the filter that it belongs to.
//! Tests: below.

use super::status;
use crate::store::{RunCursor, RunFilter};
use shanty_rt::wire;
use tonic::Status;

const DEFAULT_SIZE: u32 = 50;
const MOST: u32 = 1000;

/// A page size within its limits.
pub(super) fn size(asked: u32) -> u32 {
    if asked == 0 { DEFAULT_SIZE } else { asked.min(MOST) }
}

/// The text of a cursor that was handed out as a token; none for the first page.
pub(super) fn cursor<T: std::str::FromStr>(token: &str) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| unknown_token())
}

fn unknown_token() -> Status {
    status::invalid_field(
        "page_token",
        "must be the next_page_token of an earlier answer to the same question",
    )
}

/// The token behind the last of `items`, if there may be more.
pub(super) fn next<T>(items: &[T], asked: u32, cursor: impl FnOnce(&T) -> String) -> String {
    let full = u32::try_from(items.len()).is_ok_and(|n| n >= asked);
    items.last().filter(|_| full).map(cursor).unwrap_or_default()
}

/// The token of a list of runs.
pub(super) fn run_token(filter: &str, cursor: &RunCursor) -> String {
    format!("{} {} {filter}", cursor.create_ms, cursor.id)
}

/// The cursor in a list of runs under the same filter.
pub(super) fn run_cursor(token: &str, filter: &str) -> Result<Option<RunCursor>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut parts = token.splitn(3, ' ');
    let create_ms = parts.next().and_then(|text| text.parse().ok());
    let id = parts.next().and_then(|text| text.parse().ok());
    match (create_ms, id, parts.next()) {
        (Some(create_ms), Some(id), Some(of)) if of == filter => Ok(Some(RunCursor { create_ms, id })),
        _ => Err(unknown_token()),
    }
}

/// A filter of runs: `state=FAILED AND job=nightly`.
pub(super) fn run_filter(text: &str) -> Result<RunFilter, Status> {
    let mut filter = RunFilter::default();
    let invalid = |message: String| status::invalid_field("filter", message);
    for condition in text.split(" AND ").map(str::trim).filter(|condition| !condition.is_empty()) {
        let Some((field, value)) = condition.split_once('=') else {
            return Err(invalid(format!(
                "`{condition}` must look like state=FAILED; join conditions by AND"
            )));
        };
        let value = value.trim().trim_matches('"');
        match field.trim() {
            "state" => {
                let states = wire::run::states_named(value);
                if states.is_empty() {
                    let words = wire::run::state_words().join(", ");
                    return Err(invalid(format!("`{value}` is no state; states are {words}")));
                }
                filter.states = states;
            }
            "job" => filter.job = Some(value.parse().map_err(|error| invalid(format!("{error}")))?),
            other => {
                return Err(invalid(format!("`{other}` is no field of a filter; fields are state and job")));
            }
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::state::RunState;

    #[test]
    fn filters_are_read_or_refused_with_what_is_allowed() {
        let filter = run_filter("state=FAILED AND job=\"nightly\"").unwrap();
        assert_eq!((filter.states, filter.job.unwrap().as_str()), (vec![RunState::Failed], "nightly"));
        assert_eq!(run_filter("").unwrap(), RunFilter::default());
        for (bad, hint) in
            [("state", "AND"), ("state=X", "SUCCEEDED"), ("x=1", "state and job"), ("job=A", "a-z")]
        {
            assert!(run_filter(bad).unwrap_err().message().contains(hint), "{bad}");
        }
    }

    #[test]
    fn a_token_belongs_to_its_filter() {
        let cursor = RunCursor { create_ms: 5, id: "a.1".parse().unwrap() };
        let token = run_token("state=FAILED", &cursor);
        assert_eq!(run_cursor(&token, "state=FAILED").unwrap().unwrap().id, cursor.id);
        assert!(run_cursor(&token, "").is_err());
        assert!(run_cursor("nonsense", "").is_err());
        assert!(run_cursor("", "").unwrap().is_none());
    }

    #[test]
    fn sizes_are_held_within_their_limits() {
        assert_eq!((size(0), size(7), size(5000)), (50, 7, 1000));
        assert_eq!(next(&[1, 2], 2, ToString::to_string), "2");
        assert_eq!(next(&[1], 2, ToString::to_string), "");
    }
}
