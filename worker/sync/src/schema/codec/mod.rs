//! The way of one column's values from source to target: which change on the way, and how.
//!
//! ```text
//!  text of the source's kind ──► Codec::apply ──► Same      the text goes on as it is
//!                                             ├─► Written   the text in `out` goes on
//!                                             └─► Lossy     an event; the caller's policy decides
//! ```
//! In: a value's text (see [`Kind`](super::Kind)). Out: the text for the target column, or a named [`Lossy`].
//! Never: changes a value in silence; allocates on the way that values usually take.
//! Tests: `tests.rs`, a table of values for each row of the type mapping; made by [`pair`](super::pair).

mod bits;
pub mod event;
mod json;
mod number;
#[cfg(test)]
mod tests;
mod text;
mod time;

/// The rules, for who makes codecs.
pub(super) mod rules {
    pub(in super::super) use super::json::JsonRule;
    pub(in super::super) use super::number::{DecimalRule, FloatRule, IntRule};
    pub(in super::super) use super::text::{BytesRule, TextRule};
    pub(in super::super) use super::time::{DateRule, DateTimeRule, TimeRule};
}
use rules::{
    BytesRule, DateRule, DateTimeRule, DecimalRule, FloatRule, IntRule, JsonRule, TextRule, TimeRule,
};

/// Which text goes on to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The value as it was given; nothing was written.
    Same,
    /// What was written into `out`.
    Written,
}

/// A value that the target column cannot hold as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lossy {
    /// What would be lost: one of [`event::ALL`].
    pub event: &'static str,
    /// Whether the nearest value that the column can hold was written into `out`; without one only an error or
    /// NULL is left.
    pub converted: bool,
}

/// What a value comes to.
pub type Verdict = Result<Applied, Lossy>;

/// How the values of one column travel. Made once for a column, used for each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Whether the source's text begins with the tag of its storage class (see `Kind::Any`).
    pub(super) untag: bool,
    pub(super) rule: Rule,
    /// The tag to put before the text for a target of `Kind::Any`.
    pub(super) tag: Option<u8>,
}

/// What is done with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing.
    Keep,
    Int(IntRule),
    Decimal(DecimalRule),
    Float(FloatRule),
    Bool,
    Date(DateRule),
    DateTime(DateTimeRule),
    Time(TimeRule),
    Text(TextRule),
    Bytes(BytesRule),
    Json(JsonRule),
    Uuid,
    Labels {
        labels: Vec<String>,
        many: bool,
    },
    Bit {
        width: u32,
        varying: bool,
    },
    BitToInt(IntRule),
    /// A PostgreSQL array as a JSON array.
    ArrayToJson,
}

impl Codec {
    /// A codec that changes nothing.
    pub(super) fn identity() -> Codec {
        Codec { untag: false, rule: Rule::Keep, tag: None }
    }

    /// Whether every value goes on as it is, so that [`Codec::apply`] need not be called.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        !self.untag && self.tag.is_none() && self.rule == Rule::Keep
    }

    /// Looks at one value (never NULL) and says what goes on. `out` is emptied before it is written to.
    ///
    /// # Errors
    /// [`Lossy`] when the target column cannot hold the value as it is.
    pub fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        out.clear();
        if !self.untag && self.tag.is_none() {
            return self.rule.apply(value, out);
        }
        let bare = if self.untag { value.get(1..).unwrap_or_default() } else { value };
        let verdict = self.rule.apply(bare, out);
        if verdict == Ok(Applied::Same) {
            out.extend_from_slice(bare);
        }
        let written = matches!(verdict, Ok(_) | Err(Lossy { converted: true, .. }));
        if let (Some(tag), true) = (self.tag, written) {
            out.insert(0, tag);
        }
        verdict.map(|_| Applied::Written)
    }
}

impl Rule {
    fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        match self {
            Rule::Keep => Ok(Applied::Same),
            Rule::Int(rule) => rule.apply(value, out),
            Rule::Decimal(rule) => rule.apply(value, out),
            Rule::Float(rule) => rule.apply(value, out),
            Rule::Bool => number::boolean(value, out),
            Rule::Date(rule) => rule.apply(value, out),
            Rule::DateTime(rule) => rule.apply(value, out),
            Rule::Time(rule) => rule.apply(value, out),
            Rule::Text(rule) => rule.apply(value, out),
            Rule::Bytes(rule) => rule.apply(value, out),
            Rule::Json(rule) => rule.apply(value, out),
            Rule::Uuid => text::uuid(value, out),
            Rule::Labels { labels, many: false } => text::label(labels, value),
            Rule::Labels { labels, many: true } => text::label_set(labels, value),
            Rule::Bit { width, varying } => bits::bits(*width, *varying, value, out),
            Rule::BitToInt(rule) => bits::to_int(rule, value, out),
            Rule::ArrayToJson => json::from_array(value, out),
        }
    }
}

/// An event for which there is no nearest value.
fn lost(event: &'static str) -> Verdict {
    Err(Lossy { event, converted: false })
}

/// An event whose nearest value is in `out`.
fn converted(event: &'static str) -> Verdict {
    Err(Lossy { event, converted: true })
}
