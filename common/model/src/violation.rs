//! What is wrong with a request, field by field.
//!
//! A check returns all violations at once; the API answers them as `BadRequest` field violations.

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field as a user types it, for example `spec.http_load.rate`.
    pub field: String,
    /// What is wrong and what is allowed, in one sentence fragment.
    pub message: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Violation {
        Violation { field: field.into(), message: message.into() }
    }

    /// The same violation seen from outside: `prefix.field`, or `prefix` for one of the whole.
    #[must_use]
    pub fn under(self, prefix: &str) -> Violation {
        let field =
            if self.field.is_empty() { prefix.to_owned() } else { format!("{prefix}.{}", self.field) };
        Violation { field, ..self }
    }
}
