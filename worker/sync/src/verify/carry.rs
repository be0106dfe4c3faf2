//! Keys of one end as texts of the other, to find a row there by its index.
//!
//! In: a key's text. Out: the same key's text at the other end, or none where that is not certain: then all rows
//! of its group are looked at instead.
//! Tests: below; `worker/sync/tests/databases/verify.rs`.

use crate::db::Engine;
use crate::plan::{Key, Pair};
use crate::schema::{Applied, Codec, Kind, pair};

/// Carries keys one way.
pub(super) struct Carry {
    columns: Option<Vec<Way>>,
}

enum Way {
    Same,
    By(Codec),
}

impl Carry {
    /// From `from` to `to`; `ends` gives the column at each of them.
    pub(super) fn new(
        from: Engine,
        to: Engine,
        key: &[Pair],
        ends: fn(&Pair) -> [&crate::schema::Column; 2],
    ) -> Carry {
        let way = |column: &Pair| {
            let [here, there] = ends(column);
            if here.kind.is_bytes() || there.kind.is_bytes() {
                return (here.kind.is_bytes() && there.kind.is_bytes()).then_some(Way::Same);
            }
            if from == to && here.kind == there.kind {
                return Some(Way::Same);
            }
            let codec =
                pair(from, here, to, there).ok().filter(|_| plain(&here.kind) && plain(&there.kind))?;
            Some(Way::By(codec))
        };
        Carry { columns: key.iter().map(way).collect() }
    }

    /// The key's texts at the other end.
    pub(super) fn key(&self, key: &Key) -> Option<Key> {
        let columns = self.columns.as_ref().filter(|columns| columns.len() == key.len())?;
        let mut made = Vec::new();
        let mut carried = |way: &Way, text: &String| match way {
            Way::Same => Some(text.clone()),
            // A mark for a value that is not of its column's type.
            Way::By(_) if text.starts_with('\u{1}') => None,
            Way::By(codec) => match codec.apply(text.as_bytes(), &mut made) {
                Ok(Applied::Same) => Some(text.clone()),
                Ok(Applied::Written) => String::from_utf8(made.clone()).ok(),
                Err(_lossy) => None,
            },
        };
        columns.iter().zip(key).map(|(way, text)| carried(way, text)).collect()
    }
}

/// Whether a key's text is the text of the kind.
fn plain(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Int { .. }
            | Kind::Year
            | Kind::Decimal { .. }
            | Kind::Date
            | Kind::DateTime { .. }
            | Kind::Timestamp { .. }
            | Kind::Char { .. }
            | Kind::Text { .. }
            | Kind::Uuid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".into(),
            native: String::new(),
            kind,
            nullable: false,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    #[test]
    fn a_key_is_carried_only_where_its_text_is_certain() {
        let labels = Kind::Enum { labels: vec!["a".into()] };
        let text = Kind::Text { limit: None };
        let uuid = "5f2b1c9e-0000-4000-8000-00000000000a";
        for (from, source, to, target, value, expected) in [
            (
                Engine::Mysql,
                Kind::Int { bits: 32, unsigned: true },
                Engine::Postgres,
                Kind::Int { bits: 64, unsigned: false },
                "7",
                Some("7"),
            ),
            (Engine::Mysql, labels.clone(), Engine::Postgres, text.clone(), "1", None),
            (Engine::Mysql, labels.clone(), Engine::Mysql, labels, "1", Some("1")),
            (
                Engine::Mysql,
                Kind::Binary { length: 2 },
                Engine::Sqlite,
                Kind::Bytes { limit: None },
                "00ff",
                Some("00ff"),
            ),
            (Engine::Sqlite, text.clone(), Engine::Postgres, Kind::Uuid, uuid, Some(uuid)),
            (Engine::Sqlite, text.clone(), Engine::Postgres, text, "\u{1}b00", None),
        ] {
            let key = [Pair { source: column(source), target: column(target) }];
            let carry = Carry::new(from, to, &key, |pair| [&pair.source, &pair.target]);
            let carried = carry.key(&vec![value.to_owned()]);
            assert_eq!(carried, expected.map(|text| vec![text.to_owned()]), "{value} {from} {to}");
        }
    }
}
