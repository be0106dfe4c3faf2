//! Whether and how values of one column may go into another one that exists.
//!
//! In: two columns and their engines. Out: a [`Codec`], or words that say what to do. Never: a value.
//! What a typed engine vouches for is not looked at again: a codec is the identity where every value of the source's
//! kind is one of the target's. SQLite vouches for nothing: its values are all looked at, unless SQLite is the
//! target too.
//! Tests: `codec/tests.rs`.

use super::codec::rules::{
    BytesRule, DateRule, DateTimeRule, DecimalRule, FloatRule, IntRule, JsonRule, TextRule, TimeRule,
};
use super::codec::{Codec, Rule};
use super::{Column, Kind};
use crate::db::Engine;

/// How values of `source` go into `target`.
///
/// # Errors
/// In words, naming both types and what to do, when no value of the source's kind is one of the target's.
pub fn pair(from: Engine, source: &Column, to: Engine, target: &Column) -> Result<Codec, String> {
    let ends = Ends { from, to, source: &source.kind, target: &target.kind };
    // SQLite keeps each value's own type whatever its column's: between equal columns all go as they are.
    if from == Engine::Sqlite && to == Engine::Sqlite && source.kind == target.kind {
        return Ok(Codec::identity());
    }
    let rule = ends.rule().ok_or_else(|| {
        format!(
            "{}: values of {} ({from}) do not go into {} of {} ({to}); change the target column's type, or \
             create it as text",
            source.name, source.native, target.native, target.name
        )
    })?;
    let tag = matches!(target.kind, Kind::Any).then(|| ends.tag());
    Ok(Codec { untag: matches!(source.kind, Kind::Any), rule, tag })
}

/// Both ends of a column's way.
struct Ends<'a> {
    from: Engine,
    to: Engine,
    source: &'a Kind,
    target: &'a Kind,
}

/// Sorts of kinds that go into one another.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Sort {
    Number,
    Day,
    Clock,
    Text,
    Bytes,
    Bit,
    Any,
}

fn sort(kind: &Kind) -> Sort {
    match kind {
        Kind::Bool | Kind::Int { .. } | Kind::Decimal { .. } | Kind::Float { .. } | Kind::Year => {
            Sort::Number
        }
        Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. } => Sort::Day,
        Kind::Time { .. } | Kind::Interval => Sort::Clock,
        Kind::Char { .. }
        | Kind::Text { .. }
        | Kind::Json { .. }
        | Kind::Uuid
        | Kind::Enum { .. }
        | Kind::Set { .. }
        | Kind::Other { bytes: false, .. } => Sort::Text,
        Kind::Binary { .. } | Kind::Bytes { .. } | Kind::Other { bytes: true, .. } => Sort::Bytes,
        Kind::Bit { .. } => Sort::Bit,
        Kind::Any => Sort::Any,
    }
}

impl Ends<'_> {
    /// Whether the source's values are known to be of their kind.
    fn typed(&self) -> bool {
        self.from != Engine::Sqlite
    }

    /// Whether the source's own kind allows values for a target of this sort.
    fn comes_from(&self, sorts: &[Sort]) -> bool {
        let is_text =
            matches!(self.source, Kind::Char { .. } | Kind::Text { .. } | Kind::Enum { .. } | Kind::Any);
        is_text || sorts.contains(&sort(self.source))
    }

    /// The tag of the storage class in which a value of the source's kind is kept by SQLite.
    fn tag(&self) -> u8 {
        match self.source {
            Kind::Bool | Kind::Int { .. } | Kind::Year => b'i',
            Kind::Float { .. } => b'f',
            kind if kind.is_bytes() => b'b',
            _ => b't',
        }
    }

    fn rule(&self) -> Option<Rule> {
        match self.target {
            Kind::Any => Some(Rule::Keep),
            Kind::Bool => self.comes_from(&[Sort::Number, Sort::Bit]).then(|| self.boolean()),
            Kind::Int { bits, unsigned } => self.whole(*bits, *unsigned, false),
            Kind::Year => self.whole(16, true, true),
            Kind::Decimal { size, unsigned } => {
                self.comes_from(&[Sort::Number]).then(|| self.decimal(*size, *unsigned))
            }
            Kind::Float { bits } => self.comes_from(&[Sort::Number]).then(|| self.float(*bits)),
            Kind::Date => self.comes_from(&[Sort::Day]).then(|| self.date()),
            Kind::DateTime { digits } => self.comes_from(&[Sort::Day]).then(|| self.datetime(*digits, false)),
            Kind::Timestamp { digits } => {
                self.comes_from(&[Sort::Day]).then(|| self.datetime(*digits, self.to == Engine::Mysql))
            }
            Kind::Time { digits, span } => self.comes_from(&[Sort::Clock]).then(|| self.time(*digits, *span)),
            Kind::Interval => self.comes_from(&[Sort::Clock]).then_some(Rule::Keep),
            Kind::Char { length } => Some(self.text(Some(*length), true)),
            Kind::Text { limit } => Some(self.text(*limit, false)),
            Kind::Binary { length } => self.bytes(*length, true),
            Kind::Bytes { limit } => self.bytes(limit.unwrap_or(u32::MAX), false),
            Kind::Bit { width, varying } => self.bit(*width, *varying),
            Kind::Json { binary } => self.json(*binary),
            Kind::Uuid => match self.source {
                Kind::Uuid if self.typed() => Some(Rule::Keep),
                kind => (matches!(kind, Kind::Uuid) || self.comes_from(&[])).then_some(Rule::Uuid),
            },
            Kind::Enum { labels } => self.labels(labels, false),
            Kind::Set { labels } => self.labels(labels, true),
            Kind::Other { native, bytes } => match self.source {
                Kind::Other { native: theirs, .. } => (native == theirs
                    || (native == "inet" && theirs.starts_with("inet")))
                .then_some(Rule::Keep),
                // The server reads the text, and refuses what it does not understand.
                _ => (!bytes && self.comes_from(&[])).then(|| self.text(None, false)),
            },
        }
    }

    fn boolean(&self) -> Rule {
        if self.typed() && matches!(self.source, Kind::Bool | Kind::Bit { width: 1, .. }) {
            Rule::Keep
        } else {
            Rule::Bool
        }
    }

    fn whole(&self, bits: u8, unsigned: bool, year: bool) -> Option<Rule> {
        let (least, most) = if year { (0, 2155) } else { int_range(bits, unsigned) };
        let rule = IntRule { least, most, year };
        let inside = match self.source {
            Kind::Bool => !year,
            Kind::Year => bits > 8,
            Kind::Int { bits, unsigned } => {
                let (theirs_least, theirs_most) = int_range(*bits, *unsigned);
                theirs_least >= least && theirs_most <= most
            }
            Kind::Bit { .. } if !year => return Some(Rule::BitToInt(rule)),
            _ => false,
        };
        if inside && self.typed() {
            return Some(Rule::Keep);
        }
        self.comes_from(&[Sort::Number]).then_some(Rule::Int(rule))
    }

    fn decimal(&self, size: Option<(u16, u16)>, unsigned: bool) -> Rule {
        if self.to == Engine::Sqlite {
            // Kept as a whole number or as floating point.
            return self.float(64);
        }
        let theirs = match self.source {
            Kind::Bool => Some((1, 0, false)),
            Kind::Year => Some((4, 0, false)),
            Kind::Int { bits, unsigned } => Some((int_digits(*bits), 0, !unsigned)),
            Kind::Decimal { size: Some((digits, scale)), unsigned } => {
                Some((digits.saturating_sub(*scale), *scale, !unsigned))
            }
            _ => None,
        };
        let special = matches!(self.source, Kind::Decimal { .. } | Kind::Float { .. })
            && self.from != Engine::Mysql
            && self.to != Engine::Postgres;
        let size = size.map(|(digits, scale)| (digits.saturating_sub(scale), scale));
        let inside = match (theirs, size) {
            (Some((whole, fraction, signed)), Some((w, f))) => {
                whole <= w && fraction <= f && !(signed && unsigned)
            }
            (_, None) => matches!(self.source, Kind::Decimal { .. }) || theirs.is_some(),
            (None, Some(_)) => false,
        };
        if inside && self.typed() && !special {
            return Rule::Keep;
        }
        let postgres = self.to == Engine::Postgres;
        Rule::Decimal(DecimalRule { size, unsigned, nan: postgres, infinity: postgres && size.is_none() })
    }

    fn float(&self, bits: u8) -> Rule {
        let bits = if self.to == Engine::Sqlite { 64 } else { bits };
        let exact = self.typed() && matches!(self.source, Kind::Float { bits: theirs } if *theirs <= bits);
        let rule = FloatRule {
            bits,
            nan: self.to == Engine::Postgres,
            infinity: self.to != Engine::Mysql,
            exact,
            // SQLite and MariaDB make 0 of it; of numbers that are whole there is no sign to lose.
            signed_zero: self.to == Engine::Postgres
                || self.from == self.to
                || !matches!(self.source, Kind::Float { .. }),
            whole: self.to == Engine::Sqlite && matches!(self.target, Kind::Decimal { .. }),
        };
        let finite = self.from == Engine::Mysql || (rule.nan && rule.infinity);
        if exact && finite && rule.signed_zero { Rule::Keep } else { Rule::Float(rule) }
    }

    /// Whether dates with zero parts, and those beyond four digits of a year, are taken.
    fn days(&self) -> DateRule {
        DateRule {
            zero: self.to == Engine::Sqlite || (self.from == self.to && self.to == Engine::Mysql),
            wide: self.to != Engine::Mysql,
            cut: true,
        }
    }

    /// Whether both ends have the same days.
    fn same_days(&self) -> bool {
        self.from == self.to || (self.to == Engine::Sqlite && self.typed())
    }

    fn date(&self) -> Rule {
        if self.same_days() && matches!(self.source, Kind::Date) {
            Rule::Keep
        } else {
            Rule::Date(self.days())
        }
    }

    fn datetime(&self, digits: u8, instant: bool) -> Rule {
        let inside = match self.source {
            Kind::DateTime { digits: theirs } => *theirs <= digits && !instant,
            Kind::Timestamp { digits: theirs } => *theirs <= digits && (!instant || self.from == self.to),
            _ => false,
        };
        if inside && self.same_days() {
            return Rule::Keep;
        }
        Rule::DateTime(DateTimeRule { date: self.days(), digits, instant })
    }

    fn time(&self, digits: u8, span: bool) -> Rule {
        match self.source {
            Kind::Time { digits: theirs, span: longer }
                if *theirs <= digits && (span || !longer) && self.same_days() =>
            {
                Rule::Keep
            }
            _ => Rule::Time(TimeRule { digits, span }),
        }
    }

    fn text(&self, limit: Option<u32>, padded: bool) -> Rule {
        // SQLite enforces no limit and pads nothing.
        let enforced = self.to != Engine::Sqlite;
        let limit = limit.filter(|_| enforced);
        let bytes = sort(self.source) == Sort::Bytes || matches!(self.source, Kind::Any);
        let unpad = matches!(self.source, Kind::Char { .. });
        let free = matches!(sort(self.source), Sort::Text | Sort::Any | Sort::Bytes);
        let longest = longest(self.source);
        let rule = TextRule {
            limit: limit.filter(|limit| !self.typed() || longest.is_none_or(|longest| longest > *limit)),
            check_utf8: bytes || (!self.typed() && free && self.from != self.to),
            no_nul: self.to == Engine::Postgres && self.from != Engine::Postgres && (free || !self.typed()),
            unpad: unpad && !padded,
            padded: padded && enforced && free && !unpad,
        };
        let idle = rule.limit.is_none() && !rule.check_utf8 && !rule.no_nul && !rule.unpad && !rule.padded;
        if idle { Rule::Keep } else { Rule::Text(rule) }
    }

    fn bytes(&self, limit: u32, fixed: bool) -> Option<Rule> {
        if !self.comes_from(&[Sort::Bytes]) {
            return None;
        }
        let inside = match self.source {
            Kind::Binary { length } => *length == limit || (!fixed && *length <= limit),
            Kind::Bytes { limit: Some(theirs) } => !fixed && *theirs <= limit,
            _ => false,
        };
        let enforced = self.to != Engine::Sqlite && limit < u32::MAX;
        if (inside && self.typed()) || !enforced {
            return Some(Rule::Keep);
        }
        Some(Rule::Bytes(BytesRule { limit, fixed }))
    }

    fn bit(&self, width: u32, varying: bool) -> Option<Rule> {
        let same = match self.source {
            Kind::Bit { width: theirs, varying: loose } => {
                (*theirs == width && *loose == varying) || (varying && *theirs <= width)
            }
            Kind::Bool => width == 1,
            _ => false,
        };
        if same && self.typed() {
            return Some(Rule::Keep);
        }
        (self.comes_from(&[Sort::Bit]) || matches!(self.source, Kind::Bool))
            .then_some(Rule::Bit { width, varying })
    }

    fn json(&self, binary: bool) -> Option<Rule> {
        let (check, normal) = match self.source {
            Kind::Json { binary } => (!self.typed(), *binary && self.typed()),
            Kind::Other { native, bytes: false } if native.ends_with("[]") => return Some(Rule::ArrayToJson),
            _ if self.comes_from(&[]) => (true, false),
            _ => return None,
        };
        // MySQL's JSON and jsonb keep a form of their own; MariaDB's and PostgreSQL's json keep the text.
        let rule = JsonRule {
            check: check && (self.to != Engine::Sqlite || !matches!(self.source, Kind::Json { .. })),
            no_nul: binary && self.to == Engine::Postgres,
            no_surrogate: binary,
            merges: binary && !normal,
            rounds: binary && self.to == Engine::Mysql && !(normal && self.from == Engine::Mysql),
        };
        let same = self.from == self.to && normal;
        let idle = !rule.check && !rule.no_nul && !rule.no_surrogate && !rule.merges && !rule.rounds;
        Some(if same || idle { Rule::Keep } else { Rule::Json(rule) })
    }

    fn labels(&self, labels: &[String], many: bool) -> Option<Rule> {
        let known = match self.source {
            Kind::Enum { labels: theirs } => theirs.iter().all(|label| labels.contains(label)),
            Kind::Set { labels: theirs } => many && theirs == labels,
            _ => false,
        };
        // An enum of MySQL may hold the empty text of a value that was refused once.
        if known && (self.from == Engine::Postgres || self.from == self.to) {
            return Some(Rule::Keep);
        }
        let fits = self.comes_from(&[]) || matches!(self.source, Kind::Set { .. } if many);
        fits.then(|| Rule::Labels { labels: labels.to_vec(), many })
    }
}

fn int_range(bits: u8, unsigned: bool) -> (i64, u64) {
    let bits = u32::from(bits.clamp(1, 64));
    let most = u64::MAX >> (64 - bits);
    if unsigned { (0, most) } else { (i64::MIN >> (64 - bits), most >> 1) }
}

/// Digits that the numbers of this width have.
fn int_digits(bits: u8) -> u16 {
    match bits {
        0..=8 => 3,
        9..=16 => 5,
        17..=24 => 8,
        25..=32 => 10,
        _ => 20,
    }
}

/// Most characters of the source's text; none when nobody can tell.
fn longest(kind: &Kind) -> Option<u32> {
    Some(match kind {
        Kind::Bool => 1,
        Kind::Int { bits, .. } => u32::from(int_digits(*bits)) + 1,
        Kind::Year => 4,
        Kind::Date => 10,
        Kind::Char { length } => *length,
        Kind::Text { limit } => return *limit,
        Kind::Uuid => 36,
        Kind::Bit { width, .. } => *width,
        Kind::Enum { labels } => {
            let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
            return u32::try_from(longest).ok();
        }
        _ => return None,
    })
}
