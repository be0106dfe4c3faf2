//! `${NAME}` placeholders: how secrets stay out of files and out of the store.
//!
//! In: text. Out: the text with each `${NAME}` replaced by that environment variable; `$${` stands for a
//! plain `${`, and a `$` before anything else is itself.
//! Never: happens by itself; whoever uses a secret calls it at the last moment.
//! Tests: below.

/// A placeholder without a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingVariable {
    /// The variable is not set.
    #[error("the environment has no variable {0}; set it for this process")]
    Unset(String),
    /// The braces do not close, or hold no name.
    #[error("a placeholder is not closed or empty; write ${{NAME}}, or $${{ for a plain ${{")]
    Malformed,
}

/// Replaces the placeholders of `text` from this process's environment.
///
/// # Errors
/// [`MissingVariable`] with its name; never with the text, which may hold secrets.
pub fn expand(text: &str) -> Result<String, MissingVariable> {
    expand_with(text, |name| std::env::var(name).ok())
}

/// Replaces the placeholders of `text` by what `variable` answers.
///
/// # Errors
/// As [`expand`].
pub fn expand_with(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, MissingVariable> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let after = &after[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (name, after) = after.split_once('}').ok_or(MissingVariable::Malformed)?;
        if name.is_empty() {
            return Err(MissingVariable::Malformed);
        }
        out.push_str(&variable(name).ok_or_else(|| MissingVariable::Unset(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, MissingVariable> {
        expand_with(text, |name| (name == "PW").then(|| "s3cret".to_owned()))
    }

    #[test]
    fn placeholders_are_replaced_and_escapes_are_not() {
        assert_eq!(with("mysql://u:${PW}@h/db").unwrap(), "mysql://u:s3cret@h/db");
        assert_eq!(with("a$b $5 ${PW}${PW}").unwrap(), "a$b $5 s3crets3cret");
        assert_eq!(with("$${PW}").unwrap(), "${PW}");
        assert_eq!(with("").unwrap(), "");
    }

    #[test]
    fn what_is_missing_is_named_without_the_text_around() {
        let error = with("user:hunter2@${NOPE}").unwrap_err();
        assert_eq!(error, MissingVariable::Unset("NOPE".to_owned()));
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(with("${PW"), Err(MissingVariable::Malformed));
        assert_eq!(with("${}"), Err(MissingVariable::Malformed));
    }
}
