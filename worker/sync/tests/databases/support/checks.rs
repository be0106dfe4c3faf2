//! What every engine keeps: one list of checks, each on a database of its own.
//!
//! In: a database. Out: nothing, or a panic that names the check. Never: a word about which engine it is, but where
//! the contract itself makes a difference.

use super::rows::{
    Collect, Database, column, create, encoded, load, load_in, load_of, name, read, row, select, shown, table,
};
use super::values;
use md5::{Digest as _, Md5};
use shanty_sync::db::{
    Class, Comparison, Connection, Engine, OnDuplicate, Order, Rows, Select, SelectParts, Side,
};
use shanty_sync::schema::{Column, Index, IndexColumn, Kind, Table, target_kind};
use std::time::{Duration, Instant};

pub(crate) const INT: Kind = Kind::Int { bits: 64, unsigned: false };
const KEY_TEXT: Kind = Kind::Text { limit: Some(40) };
const TEXT: Kind = Kind::Text { limit: None };

async fn done(db: &mut dyn Connection, sql: &str) -> u64 {
    db.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn asked(db: &mut dyn Connection, sql: &str) -> Vec<Vec<Option<String>>> {
    db.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Numbers that a query answers in its first column.
async fn numbers(db: &mut dyn Connection, sql: &str) -> Vec<i64> {
    let rows = asked(db, sql).await;
    rows.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect()
}

/// The engine's own kind for one that all engines have.
pub(crate) fn own(engine: Engine, kind: Kind) -> Kind {
    let from = if engine == Engine::Postgres { Engine::Mysql } else { Engine::Postgres };
    target_kind(from, &column("c", kind), engine).unwrap()
}

/// Names and texts with everything in them that needs quoting are what they were.
pub(crate) async fn names_and_texts_are_quoted(database: &Database) {
    let mut db = database.writer().await;
    let names = ["it's", "a\"b", "c`d", "sel ect", "SELECT", "ünï"];
    let columns = names.iter().map(|name| column(name, INT)).collect();
    let odd = create(db.as_mut(), &table("o'dd \"ta`ble", columns, &["it's"])).await;
    assert_eq!(odd.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(odd.primary_key, ["it's"]);
    let rows = [row(&["1", "2", "3", "4", "5", "6"])];
    load(db.as_mut(), &load_of(&odd, OnDuplicate::Fail), &rows).await.unwrap();
    assert_eq!(read(db.as_mut(), &odd).await, rows);
    for text in
        ["", "it's", "back\\slash", "\\'", "''", "--", "a\nb\tc\r", "🦀 \"q\" `b`", "\u{1}\u{7f}", "%_$1 ?"]
    {
        let sql = format!("SELECT {}", db.dialect().text(text));
        assert_eq!(asked(db.as_mut(), &sql).await, [[Some(text.to_owned())]], "{sql}");
    }
}

/// What was created is described with the same kinds, which are declared the same way again.
pub(crate) async fn kinds_come_back(database: &Database) {
    let mut db = database.writer().await;
    let to = db.dialect().engine();
    let alike = |kind: &Kind| match kind {
        // Which form a server keeps is known only to itself.
        Kind::Json { .. } => Kind::Json { binary: false },
        kind => kind.clone(),
    };
    for from in [Engine::Mysql, Engine::Postgres, Engine::Sqlite] {
        let mut columns = vec![column("id", INT)];
        for (name, kind, _) in values::of(from) {
            let source = column(name, kind);
            columns.push(column(name, target_kind(from, &source, to).unwrap()));
        }
        let wanted = table(&format!("from_{from}"), columns, &["id"]);
        let made = create(db.as_mut(), &wanted).await;
        assert_eq!(made.primary_key, ["id"]);
        for (wanted, made) in wanted.columns.iter().zip(&made.columns) {
            let context = format!("{from} → {to}: {} declared as {}", wanted.name, made.native);
            assert_eq!(made.name, wanted.name, "{context}");
            assert_eq!(alike(&made.kind), alike(&wanted.kind), "{context}");
            assert_eq!(made.nullable, wanted.nullable, "{context}");
            let again = db.dialect().column_type(&made.kind).unwrap();
            assert_eq!(
                db.dialect().column_type(&wanted.kind).map(|sql| sql.to_lowercase()),
                Ok(again.to_lowercase()),
                "{context}"
            );
        }
    }
}

/// A comparison of keys parts the rows as the server's own order does.
pub(crate) async fn keys_part_the_rows(database: &Database) {
    let mut db = database.writer().await;
    let engine = db.dialect().engine();
    let keys = [
        ("by_int", vec![("a", INT)]),
        ("by_text", vec![("a", own(engine, KEY_TEXT))]),
        ("by_both", vec![("a", own(engine, KEY_TEXT)), ("b", INT)]),
        ("by_time", vec![("b", INT), ("a", Kind::DateTime { digits: 6 })]),
        ("by_day", vec![("a", Kind::Date)]),
    ];
    for (named, key) in keys {
        let columns: Vec<Column> = key.iter().map(|(name, kind)| column(name, kind.clone())).collect();
        let key_names: Vec<&str> = key.iter().map(|(name, _)| *name).collect();
        let made = create(db.as_mut(), &table(named, columns, &key_names)).await;
        let value = |kind: &Kind, n: usize| match kind {
            Kind::Int { .. } => (i64::try_from(n % 7).unwrap() * 1_000_000_007 - 3_000_000_000).to_string(),
            Kind::Date => format!("20{:02}-0{}-1{}", n % 90, n % 9 + 1, n % 10),
            Kind::DateTime { .. } => format!("2024-01-0{} 00:00:{:02}.{:06}", n % 9 + 1, n % 60, n * 1001),
            _ => format!("{}{}", ["a'", "b\\", "ä", "Z ", "z%"][n % 5], n / 5),
        };
        let mut rows: Vec<_> = (0..40)
            .map(|n| {
                made.columns
                    .iter()
                    .map(|column| Some(value(&column.kind, n).into_bytes()))
                    .collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows.dedup();
        load(db.as_mut(), &load_of(&made, OnDuplicate::Fail), &rows).await.unwrap();
        let dialect = db.dialect();
        let parts = |made: &Table| -> (Vec<String>, Vec<String>) {
            let columns = key_names.iter().map(|name| made.column(name).unwrap());
            columns.map(|column| (dialect.key_select(column), dialect.key_expr(column).unwrap())).unzip()
        };
        let (selects, order) = parts(&made);
        let query = |filters: &[String], limit, offset| {
            dialect.select(&SelectParts {
                table: &made.name,
                exprs: &selects,
                filters,
                order: &order,
                direction: Order::Up,
                limit,
                offset,
                keyset: true,
            })
        };
        let all = asked(db.as_mut(), &query(&[], None, 0)).await;
        assert_eq!(all.len(), rows.len());
        assert_eq!(asked(db.as_mut(), &query(&[], Some(3), 2)).await, all[2..5]);
        for (at, boundary) in all.iter().enumerate() {
            let pairs: Vec<(String, String)> = key_names
                .iter()
                .zip(boundary)
                .map(|(name, text)| {
                    let column = made.column(name).unwrap();
                    (dialect.key_expr(column).unwrap(), dialect.literal(column, text.as_deref().unwrap()))
                })
                .collect();
            for (comparison, expected) in [
                (Comparison::After, &all[at + 1..]),
                (Comparison::From, &all[at..]),
                (Comparison::UpTo, &all[..=at]),
                (Comparison::Equal, &all[at..=at]),
            ] {
                let sql = query(&[dialect.compare(&pairs, comparison)], None, 0);
                assert_eq!(asked(db.as_mut(), &sql).await, expected, "{sql}");
            }
        }
    }
}

/// Every value that an engine has is read as it was loaded, and found by the literal of its key.
pub(crate) async fn values_are_read_as_loaded(database: &Database) {
    let mut db = database.writer().await;
    let engine = db.dialect().engine();
    let t = all_kinds(db.as_mut(), "t").await;
    let rows = all_values(engine);
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    let seen = read(db.as_mut(), &t).await;
    assert_eq!(seen.len(), rows.len());
    for (wanted, seen) in rows.iter().zip(&seen) {
        for ((column, wanted), seen) in t.columns.iter().zip(wanted).zip(seen) {
            let context = || format!("{engine}: {} in {}", column.name, shown(std::slice::from_ref(wanted)));
            assert_eq!(plain(&column.kind, seen), plain(&column.kind, wanted), "{}", context());
        }
    }
    for column in &t.columns {
        let Some(expr) = db.dialect().key_expr(column) else { continue };
        let (id, key) = (db.dialect().ident("id"), db.dialect().key_select(column));
        let table = db.dialect().table(&t.name);
        for row in
            asked(db.as_mut(), &format!("SELECT {id}, {key} FROM {table} WHERE {expr} IS NOT NULL")).await
        {
            let literal = db.dialect().literal(column, row[1].as_deref().unwrap());
            let equal = db.dialect().compare(&[(expr.clone(), literal)], Comparison::Equal);
            let found = asked(db.as_mut(), &format!("SELECT {id} FROM {table} WHERE {equal}")).await;
            assert!(
                found.iter().any(|found| found[0] == row[0]),
                "{engine}: {} not found by {equal}",
                column.name
            );
        }
    }
}

/// A table with every kind of its engine, keyed by `id`.
pub(crate) async fn all_kinds(db: &mut dyn Connection, named: &str) -> Table {
    let mut columns = vec![column("id", INT)];
    columns.extend(values::of(db.dialect().engine()).into_iter().map(|(name, kind, _)| column(name, kind)));
    create(db, &table(named, columns, &["id"])).await
}

/// Rows that between them hold every value; the last one is all NULL.
pub(crate) fn all_values(engine: Engine) -> Vec<Vec<Option<Vec<u8>>>> {
    let columns = values::of(engine);
    let most = columns.iter().map(|(_, _, values)| values.len()).max().unwrap();
    (0..=most)
        .map(|n| {
            let id = Some(n.to_string().into_bytes());
            let cells =
                columns.iter().map(|(_, _, values)| (n < most).then(|| values[n % values.len()].clone()));
            std::iter::once(id).chain(cells).collect()
        })
        .collect()
}

/// A cell such that equal values look equal: servers differ in zeros at the end and in blanks of JSON.
pub(crate) fn plain(kind: &Kind, cell: &Option<Vec<u8>>) -> Option<String> {
    let text = String::from_utf8_lossy(cell.as_ref()?).into_owned();
    let unzeroed = |text: &str| match text.split_once('.') {
        Some((whole, fraction)) => {
            let kept = fraction.trim_end_matches('0');
            if kept.is_empty() { whole.to_owned() } else { format!("{whole}.{kept}") }
        }
        None => text.to_owned(),
    };
    Some(match kind {
        Kind::Decimal { .. } => match unzeroed(&text).as_str() {
            "-0" => "0".to_owned(),
            number => number.to_owned(),
        },
        Kind::Time { .. } | Kind::Interval | Kind::DateTime { .. } | Kind::Timestamp { .. } => {
            unzeroed(&text)
        }
        Kind::Float { bits: 32 } => format!("{:?}", text.parse::<f32>().unwrap().to_bits()),
        Kind::Float { .. } => format!("{:?}", text.parse::<f64>().unwrap().to_bits()),
        Kind::Json { .. } => serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string(),
        Kind::Char { .. } => text.trim_end_matches(' ').to_owned(),
        kind if kind.is_bytes() => cell.as_ref()?.escape_ascii().to_string(),
        _ => text,
    })
}

/// A row hash is 60 bits of md5 over lengths and texts, on every engine; any flipped bit changes it.
pub(crate) async fn row_hashes_are_those_of_all_engines(database: &Database) {
    let mut db = database.writer().await;
    let engine = db.dialect().engine();
    let columns = vec![
        column("id", INT),
        column("n", INT),
        column("t", own(engine, TEXT)),
        column("b", own(engine, Kind::Bytes { limit: None })),
    ];
    let t = create(db.as_mut(), &table("t", columns, &["id"])).await;
    let mut rows = Vec::new();
    let mut add = |n: Option<i64>, text: Option<&str>, bytes: Option<&[u8]>| {
        let id = Some(rows.len().to_string().into_bytes());
        rows.push(vec![
            id,
            n.map(|n| n.to_string().into_bytes()),
            text.map(|text| text.as_bytes().to_vec()),
            bytes.map(<[u8]>::to_vec),
        ]);
    };
    let (n, bytes) = (0x0123_4567_89ab_cdef_i64, [0, 255, 128, b'\'', b'\\', 7]);
    add(Some(n), Some("äx"), Some(&bytes));
    for bit in 0..63 {
        add(Some(n ^ (1 << bit)), Some("äx"), Some(&bytes));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        add(Some(n), Some("äx"), Some(&flipped));
    }
    for text in [None, Some(""), Some("N"), Some("ä"), Some("äy"), Some("äx "), Some("1:x")] {
        add(Some(n), text, Some(&bytes));
    }
    add(None, None, None);
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    let texts: Vec<String> = t.columns[1..]
        .iter()
        .map(|column| {
            let side = Side { column, other: &column.kind, same_engine: false };
            db.dialect().hash_text(&side).unwrap()
        })
        .collect();
    let sql = format!("SELECT {} FROM t ORDER BY id", db.dialect().row_hash(&texts, false));
    let seen = numbers(db.as_mut(), &sql).await;
    let wanted: Vec<i64> = rows.iter().map(|row| hash(&row[1..])).collect();
    assert_eq!(seen, wanted);
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), rows.len(), "two rows that differ have one hash");
    let same: Vec<String> = t.columns[1..]
        .iter()
        .filter_map(|column| db.dialect().hash_text(&Side { column, other: &column.kind, same_engine: true }))
        .collect();
    assert_eq!(same.len(), 3);
    let sql = format!("SELECT {} FROM t ORDER BY id", db.dialect().row_hash(&same, true));
    let mut distinct = numbers(db.as_mut(), &sql).await;
    assert!(distinct.iter().all(|hash| (0..1 << 60).contains(hash)));
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), rows.len(), "two rows that differ have one hash");
}

/// The definition: the first fifteen digits of md5 over `N` or `<length>:<text>`; the last cell is bytes, as hex.
fn hash(cells: &[Option<Vec<u8>>]) -> i64 {
    let mut whole = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        match cell {
            None => whole.push(b'N'),
            Some(cell) => {
                let hex = || cell.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
                let text = if at == 2 { hex() } else { cell.clone() };
                whole.extend(format!("{}:", text.len()).into_bytes());
                whole.extend(text);
            }
        }
    }
    let digits: String = Md5::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
    i64::from_str_radix(&digits[..15], 16).unwrap()
}

/// A table of people with a unique email, and three of them.
async fn people(db: &mut dyn Connection) -> Table {
    let text = own(db.dialect().engine(), KEY_TEXT);
    let columns = vec![column("id", INT), column("email", text), column("at", INT), column("note", INT)];
    let mut people = create(db, &table("people", columns, &["id"])).await;
    let email = IndexColumn { name: "email".to_owned(), prefix: None, descending: false };
    people.indexes = vec![Index { name: "by_email".to_owned(), columns: vec![email], unique: true }];
    for sql in db.dialect().create_indexes(&people) {
        done(db, &sql).await;
    }
    let seen = db.describe(&people.name).await.unwrap().unwrap();
    assert_eq!(seen.indexes.len(), 1);
    assert!(seen.indexes[0].unique && seen.indexes[0].columns == people.indexes[0].columns);
    let rows = [row(&["1", "a", "10", "7"]), row(&["2", "b", "10", "7"]), row(&["3", "c", "10", "7"])];
    load(db, &load_of(&seen, OnDuplicate::Fail), &rows).await.unwrap();
    for sql in db.dialect().after_load(&seen) {
        db.query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    seen
}

fn replace(newer: Option<&str>) -> OnDuplicate {
    OnDuplicate::Replace { key: vec!["id".to_owned()], newer: newer.map(str::to_owned) }
}

/// A row whose key is there fails, or replaces that row and no other.
pub(crate) async fn duplicates_are_refused_or_replaced(database: &Database) {
    let mut db = database.writer().await;
    let whole = people(db.as_mut()).await;
    let before = read(db.as_mut(), &whole).await;
    for taken in [["3", "x", "0", "0"], ["9", "c", "0", "0"]] {
        let rows = [row(&["8", "new", "0", "0"]), row(&taken)];
        let error = load(db.as_mut(), &load_of(&whole, OnDuplicate::Fail), &rows).await.unwrap_err();
        assert_eq!(error.class, Class::Row, "{error}");
        assert_eq!(read(db.as_mut(), &whole).await, before);
    }
    let mut loaded = whole.clone();
    loaded.columns.pop();
    // Two rows swap a unique value; what is not loaded stays; a new row comes.
    let rows = [row(&["1", "b", "11"]), row(&["2", "a", "9"]), row(&["7", "d", "11"])];
    load(db.as_mut(), &load_of(&loaded, replace(None)), &rows).await.unwrap();
    let now = [
        row(&["1", "b", "11", "7"]),
        row(&["2", "a", "9", "7"]),
        row(&["3", "c", "10", "7"]),
        row(&["7", "d", "11", "NULL"]),
    ];
    assert_eq!(read(db.as_mut(), &whole).await, now);
    // An older version changes nothing; one as old does.
    let rows = [row(&["1", "x", "10"]), row(&["2", "y", "9"]), row(&["3", "z", "12"])];
    load(db.as_mut(), &load_of(&loaded, replace(Some("at"))), &rows).await.unwrap();
    let now = [
        row(&["1", "b", "11", "7"]),
        row(&["2", "y", "9", "7"]),
        row(&["3", "z", "12", "7"]),
        row(&["7", "d", "11", "NULL"]),
    ];
    assert_eq!(read(db.as_mut(), &whole).await, now);
    // A row outside the load keeps its unique value.
    let error =
        load(db.as_mut(), &load_of(&loaded, replace(None)), &[row(&["1", "z", "13"])]).await.unwrap_err();
    assert_eq!(error.class, Class::Row, "{error}");
    assert_eq!(read(db.as_mut(), &whole).await, now);
}

/// What is wrong with a load is told by its class, and the connection goes on.
pub(crate) async fn errors_have_their_class(database: &Database) {
    let mut db = database.writer().await;
    let engine = db.dialect().engine();
    let mut columns = vec![
        column("id", INT),
        column("must", INT),
        column("short", own(engine, Kind::Text { limit: Some(3) })),
    ];
    columns[1].nullable = false;
    let t = create(db.as_mut(), &table("t", columns, &["id"])).await;
    assert!(!t.columns[1].nullable);
    let fail = load_of(&t, OnDuplicate::Fail);
    for (bad, why) in [
        (row(&["1", "NULL", "a"]), "NULL"),
        (row(&["0", "1", "a"]), "a key twice in one load"),
        (row(&["1", "1", "longer"]), "too long"),
    ] {
        if why == "too long" && engine == Engine::Sqlite {
            continue;
        }
        let error = load(db.as_mut(), &fail, &[row(&["0", "0", "x"]), bad]).await.unwrap_err();
        assert_eq!(error.class, Class::Row, "{why}: {error}");
        assert!(read(db.as_mut(), &t).await.is_empty(), "{why}");
    }
    let bytes = encoded(db.dialect(), &t.columns, &[row(&["0", "0", "x"])]);
    db.begin().await.unwrap();
    let error = db.load(&fail, Rows::Encoded(&bytes), 2).await.unwrap_err();
    assert!(matches!(error.class, Class::Row | Class::Other), "fewer rows than said: {error}");
    db.rollback().await.unwrap();
    assert_eq!(db.query("SELECT * FROM nowhere_at_all").await.unwrap_err().class, Class::Missing);
    assert_eq!(db.query("SELECT absent FROM t").await.unwrap_err().class, Class::Missing);
    assert_eq!(db.query("SELEC 1").await.unwrap_err().class, Class::Other);
    let mut nowhere = fail.clone();
    nowhere.table = name("nowhere_at_all");
    let error = load(db.as_mut(), &nowhere, &[row(&["0", "0", "x"])]).await.unwrap_err();
    assert_eq!(error.class, Class::Missing, "{error}");
    assert_eq!(db.describe(&name("nowhere_at_all")).await.unwrap(), None);
    load(db.as_mut(), &fail, &[row(&["0", "0", "x"])]).await.unwrap();
}

/// Rows that a statement matched count, changed or not.
pub(crate) async fn statements_answer_the_rows_they_matched(database: &Database) {
    let mut db = database.writer().await;
    let t = create(db.as_mut(), &table("t", vec![column("id", INT), column("v", INT)], &["id"])).await;
    let rows = [row(&["1", "5"]), row(&["2", "5"]), row(&["3", "6"])];
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    assert_eq!(done(db.as_mut(), "UPDATE t SET v = 5 WHERE v = 5").await, 2);
    assert_eq!(done(db.as_mut(), "UPDATE t SET v = 5 WHERE id = 9").await, 0);
    assert_eq!(done(db.as_mut(), "DELETE FROM t WHERE id > 1").await, 2);
    assert_eq!(done(db.as_mut(), "CREATE TABLE u (a int)").await, 0);
}

/// Others see a transaction when it is committed, and never when it is rolled back.
pub(crate) async fn transactions_are_seen_when_committed(database: &Database) {
    let (mut db, mut other) = (database.writer().await, database.reader().await);
    let t = create(db.as_mut(), &table("t", vec![column("id", INT)], &["id"])).await;
    let fail = load_of(&t, OnDuplicate::Fail);
    for durable in [false, true] {
        let id = if durable { "2" } else { "1" };
        let before = read(other.as_mut(), &t).await;
        db.begin().await.unwrap();
        load_in(db.as_mut(), &fail, &[row(&[id])]).await.unwrap();
        assert_eq!(read(other.as_mut(), &t).await, before);
        db.rollback().await.unwrap();
        assert_eq!(read(db.as_mut(), &t).await, before);
        db.begin().await.unwrap();
        load_in(db.as_mut(), &fail, &[row(&[id])]).await.unwrap();
        db.commit(durable).await.unwrap();
        assert_eq!(read(other.as_mut(), &t).await.len(), before.len() + 1);
    }
    // A statement sees what others committed before it, also within a transaction.
    let mut second = database.writer().await;
    db.rollback().await.unwrap();
    if db.dialect().engine() != Engine::Sqlite {
        db.begin().await.unwrap();
        assert_eq!(read(db.as_mut(), &t).await.len(), 2);
        load(second.as_mut(), &fail, &[row(&["3"])]).await.unwrap();
        assert_eq!(read(db.as_mut(), &t).await.len(), 3);
        db.commit(false).await.unwrap();
    }
    // Savepoints.
    db.begin().await.unwrap();
    done(db.as_mut(), "SAVEPOINT here").await;
    load_in(db.as_mut(), &fail, &[row(&["4"])]).await.unwrap();
    let refused = load_in(db.as_mut(), &fail, &[row(&["1"])]).await.unwrap_err();
    assert_eq!(refused.class, Class::Row, "{refused}");
    done(db.as_mut(), "ROLLBACK TO SAVEPOINT here").await;
    load_in(db.as_mut(), &fail, &[row(&["5"])]).await.unwrap();
    db.commit(false).await.unwrap();
    let ids: Vec<String> = read(other.as_mut(), &t).await.iter().map(|row| shown(row)).collect();
    assert!(ids.contains(&"5".to_owned()) && !ids.contains(&"4".to_owned()), "{ids:?}");
}

/// A row that is locked is waited for a few seconds; then it is Busy and nothing was done.
pub(crate) async fn a_locked_row_is_busy(database: &Database) {
    let (mut first, mut second) = (database.writer().await, database.writer().await);
    let t = create(first.as_mut(), &table("t", vec![column("id", INT), column("v", INT)], &["id"])).await;
    load(first.as_mut(), &load_of(&t, OnDuplicate::Fail), &[row(&["1", "0"])]).await.unwrap();
    first.begin().await.unwrap();
    done(first.as_mut(), "UPDATE t SET v = 1 WHERE id = 1").await;
    let began = Instant::now();
    let waits = async {
        second.begin().await?;
        second.execute("UPDATE t SET v = 2 WHERE id = 1").await
    };
    let busy = waits.await.unwrap_err();
    assert_eq!(busy.class, Class::Busy, "{busy}");
    assert!(busy.is_transient());
    let waited = began.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(15)).contains(&waited), "it waited {waited:?}");
    second.rollback().await.unwrap();
    first.commit(false).await.unwrap();
    second.begin().await.unwrap();
    assert_eq!(done(second.as_mut(), "UPDATE t SET v = 3 WHERE id = 1 AND v = 1").await, 1);
    second.commit(false).await.unwrap();
}

/// A session that was ended by another one is Lost.
pub(crate) async fn a_killed_session_is_lost(database: &Database) {
    let (mut first, mut second) = (database.writer().await, database.writer().await);
    let Some(backend) = first.backend() else { return };
    assert_ne!(Some(&backend), second.backend().as_ref());
    first.begin().await.unwrap();
    let kill = first.dialect().kill(&backend).unwrap();
    second.query(&kill).await.unwrap_or_else(|error| panic!("{kill}: {error}"));
    let began = Instant::now();
    // The server tells it to end; when it does is its own affair.
    let lost = loop {
        match first.query("SELECT 1").await {
            Err(error) => break error,
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(10), "it was not killed"),
        }
    };
    assert_eq!(lost.class, Class::Lost, "{lost}");
}

/// A read may be ended by who takes the rows, and the connection goes on.
pub(crate) async fn a_read_may_be_ended_early(database: &Database) {
    let mut db = database.writer().await;
    let text = own(db.dialect().engine(), TEXT);
    let t = create(db.as_mut(), &table("t", vec![column("id", INT), column("v", text)], &["id"])).await;
    assert!(read(db.as_mut(), &t).await.is_empty());
    let rows: Vec<_> =
        (0..20_000).map(|n| vec![Some(n.to_string().into_bytes()), Some(vec![b'x'; 100])]).collect();
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    let sql = select(db.dialect(), &t.name, &t.columns, &["id"]);
    for most in [1, 777] {
        let mut sink = Collect { most: Some(most), ..Collect::default() };
        db.read(Select { sql: &sql, columns: &t.columns, raw: false }, &mut sink).await.unwrap();
        assert_eq!(sink.rows, rows[..most]);
        assert_eq!(asked(db.as_mut(), "SELECT 1").await, [[Some("1".to_owned())]]);
    }
    assert_eq!(read(db.as_mut(), &t).await, rows);
}

/// Rows in the engine's own form arrive as they were.
pub(crate) async fn raw_rows_arrive(database: &Database) {
    let mut db = database.writer().await;
    let engine = db.dialect().engine();
    let (t, u) = (all_kinds(db.as_mut(), "t").await, all_kinds(db.as_mut(), "u").await);
    if !db.dialect().raw_compatible(&t.columns, &u.columns, &[0]) {
        return;
    }
    let rows = all_values(engine);
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    let sql = select(db.dialect(), &t.name, &t.columns, &["id"]);
    let mut sink = Collect::default();
    db.read(Select { sql: &sql, columns: &t.columns, raw: true }, &mut sink).await.unwrap();
    assert_eq!(sink.raw.len(), rows.len());
    for (row, raw) in rows.iter().zip(&sink.raw) {
        let key = db.dialect().raw_key(&t.columns[0], 0, raw);
        assert_eq!(key.map(String::into_bytes), row[0], "{engine}");
    }
    db.begin().await.unwrap();
    let count = u64::try_from(rows.len()).unwrap();
    db.load(&load_of(&u, OnDuplicate::Fail), Rows::Raw(&sink.raw.concat()), count).await.unwrap();
    db.commit(true).await.unwrap();
    assert_eq!(read(db.as_mut(), &u).await, read(db.as_mut(), &t).await);
}

/// What a database says about itself.
pub(crate) async fn a_database_tells_about_itself(database: &Database, another: &Database) {
    let (mut db, mut reader, mut other) =
        (database.writer().await, database.reader().await, another.writer().await);
    assert!(!db.server().is_empty());
    let identity = db.identity().await.unwrap();
    assert_eq!(identity, reader.identity().await.unwrap());
    assert_ne!(identity, other.identity().await.unwrap());
    let types = db.dialect().control_types();
    let control = format!(
        "CREATE TABLE shanty_sync_shard (run {name} NOT NULL, n {number} NOT NULL, plan {text}, PRIMARY KEY (run)){options}",
        name = types.name,
        number = types.number,
        text = types.text,
        options = types.options
    );
    done(db.as_mut(), &control).await;
    let run = "r".repeat(190);
    for (run, n) in [(run.as_str(), i64::MAX), ("A", 1), ("a", 2)] {
        let plan = db.dialect().text(&"plan ".repeat(50_000));
        let run = db.dialect().text(run);
        done(db.as_mut(), &format!("INSERT INTO shanty_sync_shard VALUES ({run}, {n}, {plan})")).await;
    }
    assert_eq!(done(db.as_mut(), "UPDATE shanty_sync_shard SET n = n WHERE run = 'a'").await, 1);
    let t = create(db.as_mut(), &table("t", vec![column("id", INT)], &["id"])).await;
    assert!(t.name.schema.is_some() && t.transactional && !t.view);
    let tables = db.tables(None).await.unwrap();
    assert_eq!(tables, std::slice::from_ref(&t.name), "control tables are not listed");
    assert_eq!(db.tables(t.name.schema.as_deref()).await.unwrap(), tables);
    assert_eq!(db.missing_privileges(&t.name, true).await.unwrap(), Vec::<String>::new());
    assert_eq!(db.missing_privileges(&t.name, false).await.unwrap(), Vec::<String>::new());
    assert_eq!(reader.lag().await.unwrap(), None);
    assert!(reader.execute("INSERT INTO t VALUES (1)").await.is_err(), "a reader wrote");
    let rows: Vec<_> = (1..=2000).map(|n| vec![Some(n.to_string().into_bytes())]).collect();
    load(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &rows).await.unwrap();
    for sql in db.dialect().after_load(&t) {
        db.query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let id = t.columns[0].clone();
    let expr = db.dialect().key_expr(&id).unwrap();
    let half = db.dialect().compare(&[(expr, db.dialect().literal(&id, "1000"))], Comparison::UpTo);
    if let Some(estimate) = db.estimate(&t.name, &half).await.unwrap() {
        assert!((100..=2000).contains(&estimate), "{estimate} rows of 2000 are estimated up to 1000");
    }
    let bounds = db.histogram(&t.name, &id).await.unwrap();
    let bounds: Vec<i64> = bounds.iter().map(|bound| bound.parse().unwrap()).collect();
    assert!(bounds.is_sorted() && bounds.iter().all(|bound| (1..=2000).contains(bound)), "{bounds:?}");
    assert_eq!(db.safe_upper(&t.name, &id).await.unwrap().0.as_deref(), Some("2000"));
}
