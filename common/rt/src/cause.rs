//! The cause below an error: layers of libraries say "transport error", the system says "Connection refused".
//!
//! In: an error. Out: words. Tests: below.

use std::error::Error;

/// What the error at the bottom says.
#[must_use]
pub fn innermost(error: &dyn Error) -> String {
    let mut at = error;
    while let Some(below) = at.source() {
        at = below;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Layer(#[source] std::io::Error);

    #[test]
    fn the_lowest_layer_speaks() {
        let refused = || std::io::Error::other("Connection refused");
        assert_eq!(innermost(&refused()), "Connection refused");
        assert_eq!(innermost(&Layer(refused())), "Connection refused");
    }
}
