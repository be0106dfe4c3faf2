//! A table with every kind of one engine, copied to another: what arrives, and what both ends' hashes say.
//!
//! In: two databases. Out: nothing, or a panic that lists every column that is wrong. Never: a value that is lost
//! without its event.

use super::checks::{all_kinds, all_values, plain};
use super::rows::{Database, Row, column, create, load, load_of, read, shown, table};
use shanty_sync::db::{Connection, Engine, OnDuplicate, Side};
use shanty_sync::schema::{Applied, Codec, Column, Table, event, pair, target_kind};
use std::collections::BTreeSet;

/// Copies `source`'s values to `target`; values that would be lost become NULL at both ends and are told.
pub(crate) async fn copies(source: &Database, target: &Database) {
    let (mut from, mut to) = (source.writer().await, target.writer().await);
    let (from_engine, to_engine) = (from.dialect().engine(), to.dialect().engine());
    let theirs = all_kinds(from.as_mut(), "t").await;
    let fail = load_of(&theirs, OnDuplicate::Fail);
    load(from.as_mut(), &fail, &all_values(from_engine)).await.unwrap();
    let rows = read(from.as_mut(), &theirs).await;
    let wanted: Vec<Column> = theirs
        .columns
        .iter()
        .map(|source| {
            let kind = target_kind(from_engine, source, to_engine).unwrap();
            Column { nullable: source.nullable, ..column(&source.name, kind) }
        })
        .collect();
    let ours = create(to.as_mut(), &table("copy", wanted, &["id"])).await;
    let codecs: Vec<Codec> = theirs
        .columns
        .iter()
        .zip(&ours.columns)
        .map(|(source, target)| pair(from_engine, source, to_engine, target).unwrap())
        .collect();
    let (passed, events) = pass(&theirs, &codecs, &rows);
    let context = format!("{from_engine} → {to_engine}");
    assert_eq!(events, expected(from_engine, to_engine), "{context}: the events");
    load(to.as_mut(), &load_of(&ours, OnDuplicate::Fail), &passed)
        .await
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let arrived = read(to.as_mut(), &ours).await;
    assert_eq!(arrived.len(), passed.len(), "{context}");
    let mut wrong = Vec::new();
    for (wanted, seen) in passed.iter().zip(&arrived) {
        for ((column, wanted), seen) in ours.columns.iter().zip(wanted).zip(seen) {
            if plain(&column.kind, wanted) != plain(&column.kind, seen) {
                wrong.push(format!(
                    "{} {}: {} became {}",
                    column.name,
                    column.native,
                    one(wanted),
                    one(seen)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{context}: {wrong:#?}");
    // Rows with a value that did not go are other rows at each end, but for those columns.
    let lossy: BTreeSet<&str> = events.iter().map(|(column, _)| *column).collect();
    hashes(from.as_mut(), &theirs, to.as_mut(), &ours, &lossy).await;
}

fn one(cell: &Option<Vec<u8>>) -> String {
    shown(std::slice::from_ref(cell))
}

type Events = BTreeSet<(&'static str, &'static str)>;

/// The rows as they go on, and what would have been lost, by column.
fn pass(table: &Table, codecs: &[Codec], rows: &[Row]) -> (Vec<Row>, Events) {
    let mut events = Events::new();
    let mut out = Vec::new();
    let passed = rows
        .iter()
        .map(|row| {
            let cells = table.columns.iter().zip(codecs).zip(row);
            cells
                .map(|((column, codec), value)| {
                    let value = value.as_ref()?;
                    match codec.apply(value, &mut out) {
                        Ok(Applied::Same) => Some(value.clone()),
                        Ok(Applied::Written) => Some(out.clone()),
                        Err(lossy) => {
                            assert!(event::ALL.contains(&lossy.event));
                            events.insert((column_name(&column.name), lossy.event));
                            None
                        }
                    }
                })
                .collect()
        })
        .collect();
    (passed, events)
}

/// The name as the tables of values have it.
fn column_name(name: &str) -> &'static str {
    let all = [Engine::Mysql, Engine::Postgres, Engine::Sqlite].map(super::values::of);
    let found = all.iter().flatten().find(|(known, _, _)| *known == name);
    found.map_or("id", |(known, _, _)| known)
}

/// What is lost between these engines, and nothing else.
fn expected(from: Engine, to: Engine) -> Events {
    let events: &[(&str, &str)] = match (from, to) {
        (Engine::Postgres, Engine::Mysql) => &[
            ("dnf", event::NUMBER_NOT_FINITE),
            ("flt", event::NUMBER_NOT_FINITE),
            ("mny", event::NUMBER_NOT_FINITE),
            ("num", event::NUMBER_NOT_FINITE),
            ("nze", event::FLOAT_ROUNDED),
            ("tst", event::DATE_OUT_OF_RANGE),
            ("wid", event::DATE_OUT_OF_RANGE),
        ],
        (Engine::Postgres, Engine::Sqlite) => &[
            ("dnf", event::NUMBER_NOT_FINITE),
            ("flt", event::NUMBER_NOT_FINITE),
            ("nze", event::FLOAT_ROUNDED),
        ],
        (Engine::Sqlite, Engine::Mysql) => &[("inf", event::NUMBER_NOT_FINITE)],
        (Engine::Sqlite, Engine::Postgres) => &[("any", event::TEXT_NUL), ("nul", event::TEXT_NUL)],
        _ => &[],
    };
    events.iter().map(|(column, event)| (column_name(column), *event)).collect()
}

/// Hashes of both ends are equal for every column that has one, and for whole rows.
async fn hashes(
    from: &mut dyn Connection,
    theirs: &Table,
    to: &mut dyn Connection,
    ours: &Table,
    lossy: &BTreeSet<&str>,
) {
    let same_engine = from.dialect().hash_family() == to.dialect().hash_family();
    let (mut left, mut right, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (source, target) in theirs.columns.iter().zip(&ours.columns) {
        let side = Side { column: source, other: &target.kind, same_engine };
        let there = from.dialect().hash_text(&side);
        let here = to.dialect().hash_text(&Side { column: target, other: &source.kind, same_engine });
        let (Some(there), Some(here)) = (there, here) else { continue };
        if !lossy.contains(source.name.as_str()) {
            left.push(there);
            right.push(here);
            names.push(source.name.clone());
        }
    }
    let context = format!("{} → {}", from.dialect().engine(), to.dialect().engine());
    assert!(names.len() >= 5, "{context}: hardly any column has a text to hash: {names:?}");
    left.push(from.dialect().row_hash(&left, same_engine));
    right.push(to.dialect().row_hash(&right, same_engine));
    names.push("the row's hash".to_owned());
    let left = ask(from, theirs, &left).await;
    let right = ask(to, ours, &right).await;
    let mut wrong = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let differ = left.iter().zip(&right).find(|(left, right)| left[at] != right[at]);
        if let Some((left, right)) = differ {
            wrong.push(format!("{name}: {:?} against {:?}", left[at], right[at]));
        }
    }
    assert!(wrong.is_empty(), "{context}: {wrong:#?}");
}

async fn ask(db: &mut dyn Connection, table: &Table, exprs: &[String]) -> Vec<Vec<Option<String>>> {
    // By the column of the table: some servers would take one of the answer that has the same name.
    let sql =
        format!("SELECT {} FROM {} AS it ORDER BY it.id", exprs.join(", "), db.dialect().table(&table.name));
    db.query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}
