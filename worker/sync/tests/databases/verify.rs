//! Comparison and repair, between every pair of engines: what is wrong is found, and nothing else.
//!
//! In: databases of the test's own. Out: nothing, or a panic that names the pair. Never: an expectation taken from
//! the code under test: tables are compared here by their rows, read in the order of their keys.

use crate::support::alone::Alone;
use crate::support::rows::{Row, column, create, load, load_of, table};
use crate::support::servers::Server;
use crate::support::values;
use futures_util::future::{Either, join_all, select};
use shanty_model::id::NodeId;
use shanty_model::kind::db_sync::{
    self, DiffColumn, Mode, Note, OnExisting, OnLossy, Source, Spec, Step, Tally, Target, Verification,
    Verify,
};
use shanty_model::state::ShardState;
use shanty_rt::driver::{DriverError, Outcome};
use shanty_sync::db::{Connection, Endpoint, Engine, OnDuplicate, Side, open};
use shanty_sync::schema::Kind;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Servers and a folder for files.
struct Places {
    mariadb: Option<Server>,
    postgres: Option<Server>,
    folder: tempfile::TempDir,
    made: AtomicU32,
}

impl Places {
    fn all() -> Places {
        Places {
            mariadb: Server::mariadb(),
            postgres: Server::postgres(),
            folder: tempfile::tempdir().unwrap(),
            made: AtomicU32::new(0),
        }
    }

    fn files() -> Places {
        let folder = tempfile::tempdir().unwrap();
        Places { mariadb: None, postgres: None, folder, made: AtomicU32::new(0) }
    }

    /// URL of a new, empty database; none where the server is not there.
    fn fresh(&self, engine: Engine) -> Option<String> {
        match engine {
            Engine::Mysql => self.mariadb.as_ref().map(Server::url),
            Engine::Postgres => self.postgres.as_ref().map(Server::url),
            Engine::Sqlite => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                Some(format!("sqlite://{}/{number}.db", self.folder.path().display()))
            }
        }
    }

    /// Two new databases for each pair of engines.
    fn pairs(&self) -> Vec<(Engine, String, Engine, String)> {
        let engines = [Engine::Sqlite, Engine::Postgres, Engine::Mysql];
        let pairs = engines.iter().flat_map(|from| engines.iter().map(move |to| (*from, *to)));
        pairs.filter_map(|(from, to)| Some((from, self.fresh(from)?, to, self.fresh(to)?))).collect()
    }
}

/// Does a test with all pairs at the same time: most of it is waiting for a second look at rows that differ.
async fn each<T>(pairs: Vec<T>, test: impl AsyncFn(T)) {
    join_all(pairs.into_iter().map(|pair| test(pair))).await;
}

async fn connect(url: &str) -> Box<dyn Connection> {
    open(&Endpoint::parse(url).unwrap(), false).await.unwrap()
}

async fn done(url: &str, statements: &[&str]) {
    let mut db = connect(url).await;
    for sql in statements {
        db.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn content(url: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    connect(url).await.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Rows inserted some thousand at a time.
async fn insert(url: &str, into: &str, rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    let mut db = connect(url).await;
    for chunk in rows.chunks(4000) {
        db.execute(&format!("INSERT INTO {into} VALUES {}", chunk.join(","))).await.unwrap();
    }
}

/// Text that keeps letters apart.
fn exact(engine: Engine) -> &'static str {
    match engine {
        Engine::Mysql => " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        Engine::Postgres | Engine::Sqlite => "",
    }
}

fn spec(table: &str) -> Spec {
    Spec {
        source: Source { connection: "source".into(), table: table.into(), ..Source::default() },
        target: Target { connection: "target".into(), ..Target::default() },
        verify: Verify::Checksum,
        ..Spec::default()
    }
}

/// A sync that has come to its comparison.
struct Run {
    alone: Alone,
    spec: Spec,
    target: String,
    due: Vec<Step>,
}

type Compared = (Verification, Vec<Note>);

impl Run {
    /// Plans, copies and finishes.
    async fn copied(from: &str, to: &str, spec: Spec) -> Run {
        let alone = Alone::new(from, to);
        let node: NodeId = "alone".parse().unwrap();
        let (mut tally, mut shards) = (Tally::default(), Vec::<(Step, ShardState)>::new());
        loop {
            let due = db_sync::next(&spec, &tally, &shards);
            if due.iter().any(|found| matches!(found.step, Step::Verify { .. })) {
                let due = due.iter().map(|found| found.step).collect();
                return Run { alone, spec, target: to.to_owned(), due };
            }
            shards.extend(due.iter().map(|found| (found.step, ShardState::Pending)));
            let at = shards.iter().position(|(_, state)| *state == ShardState::Pending).unwrap();
            let step = shards[at].0;
            let (ended, seen) = alone.step(&spec, step).await;
            assert!(matches!(ended, Ok(Outcome::Done)), "{step}: {from} {to}: {ended:?}");
            for partial in seen {
                let (found, _notes) = tally.absorb(u32::try_from(at).unwrap(), &node, partial);
                for found in found {
                    if !shards.iter().any(|(step, _)| *step == found.step) {
                        shards.push((found.step, ShardState::Pending));
                    }
                }
            }
            shards[at].1 = ShardState::Done;
        }
    }

    /// Compares all pieces; what a former comparison left is forgotten.
    async fn compare(&self, level: Verify) -> Result<Compared, DriverError> {
        done(&self.target, &["DELETE FROM shanty_sync_shard WHERE step LIKE 'verify/%'"]).await;
        self.compare_again(level).await
    }

    /// Ends the run, so that another one can have its name.
    async fn forget(&self) {
        let tables = ["shanty_sync_table", "shanty_sync_shard", "shanty_sync_reject"];
        let statements = tables.map(|table| format!("DELETE FROM {table}"));
        done(&self.target, &statements.each_ref().map(String::as_str)).await;
    }

    async fn compare_again(&self, level: Verify) -> Result<Compared, DriverError> {
        let spec = Spec { verify: level, ..self.spec.clone() };
        let mut all: Option<Compared> = None;
        for step in &self.due {
            let (ended, partials) = self.alone.step(&spec, *step).await;
            assert_eq!(ended?, Outcome::Done);
            let last = partials.last().unwrap().clone();
            let found = last.verification.unwrap();
            match &mut all {
                None => all = Some((found, last.notes)),
                Some((sum, notes)) => {
                    sum.source_rows += found.source_rows;
                    sum.target_rows += found.target_rows;
                    sum.missing += found.missing;
                    sum.extra += found.extra;
                    sum.different += found.different;
                    sum.repaired += found.repaired;
                    sum.equal &= found.equal;
                    sum.read_back &= found.read_back;
                    sum.examples.extend(found.examples);
                    notes.extend(last.notes);
                }
            }
        }
        Ok(all.unwrap())
    }
}

/// Missing, extra, different, repaired, equal.
fn figures(found: &Verification) -> (u64, u64, u64, u64, bool) {
    (found.missing, found.extra, found.different, found.repaired, found.equal)
}

fn noted(notes: &[Note], reason: &str) -> bool {
    notes.iter().any(|note| note.reason == reason)
}

const ROWS: u64 = 100_000;
const ITEMS: &str = "SELECT id, code, n, name, note FROM items ORDER BY id";

/// Ids are ten apart, so that rows can come between them.
async fn fill_items(engine: Engine, url: &str) {
    let text = exact(engine);
    let sql = format!(
        "CREATE TABLE items (id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(40){text} NOT NULL, n INTEGER, \
         name VARCHAR(80){text}, note TEXT{text})"
    );
    done(url, &[&sql, "CREATE UNIQUE INDEX items_code ON items (code)"]).await;
    let row = |n: u64| {
        let note = if n.is_multiple_of(7) {
            "NULL".to_owned()
        } else {
            format!("'{}'", "é".repeat(usize::try_from(n % 20).unwrap()))
        };
        format!("({}, 'code {n}', {}, 'name of {n}', {note})", n * 10, n % 100)
    };
    insert(url, "items", (1..=ROWS).map(row)).await;
    if engine != Engine::Sqlite {
        connect(url)
            .await
            .query(if engine == Engine::Mysql { "ANALYZE TABLE items" } else { "ANALYZE items" })
            .await
            .unwrap();
    }
}

/// 20 faults: 5 rows missing, 5 extra, 10 different.
const FAULTS: [&str; 12] = [
    "DELETE FROM items WHERE id IN (10, 500000, 500010, 777770, 1000000)",
    "INSERT INTO items VALUES (5, 'x5', 1, 'x', NULL), (500005, 'x6', 1, 'x', NULL), (777775, 'x7', 1, 'x', ''), \
     (999995, 'x8', 1, 'x', NULL), (2000000, 'x9', 1, 'x', NULL)",
    // One bit each.
    "UPDATE items SET n = n + 1 WHERE id = 20",
    "UPDATE items SET name = 'name og 50003' WHERE id = 500030",
    "UPDATE items SET code = 'Code 70000' WHERE id = 700000",
    "UPDATE items SET name = 'name of 99999 ' WHERE id = 999990",
    // NULL and an empty text.
    "UPDATE items SET note = '' WHERE id = 70",
    "UPDATE items SET note = NULL WHERE id = 200",
    // Unique values that changed places: a pair next to each other, and one far apart.
    "UPDATE items SET code = 'away' WHERE id IN (300)",
    "UPDATE items SET code = 'code 30' WHERE id = 310",
    "UPDATE items SET code = 'code 31' WHERE id = 300",
    "UPDATE items SET n = 777 WHERE id IN (900, 400000)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_faults_are_found_told_apart_and_repaired() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        fill_items(from, &source).await;
        let run = Run::copied(&source, &target, spec("items")).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {notes:?}");
        assert_eq!((found.source_rows, found.target_rows), (ROWS, ROWS), "{pair}");
        assert!(found.read_back, "{pair}: the target is what the copy read");
        assert!(found.not_compared.is_empty(), "{pair}: {:?}", found.not_compared);
        done(&target, &FAULTS).await;
        let (found, _) = run.compare(Verify::Count).await.unwrap();
        assert!(found.equal || run.due.len() > 1, "{pair}: as many are missing as are extra");
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (5, 5, 10, 0, false), "{pair}: {found:?} {notes:?}");
        assert!(!found.read_back, "{pair}: both ends were asked");
        assert!(found.examples.len() >= 10, "{pair}: {:?}", found.examples);
        let (told_again, _) = run.compare_again(Verify::Checksum).await.unwrap();
        assert_eq!(told_again, found, "{pair}: a step that is done says the same again");
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!(figures(&found), (5, 5, 10, 20, true), "{pair}: {found:?} {notes:?}");
        assert!(!found.read_back, "{pair}: a repair reads both ends");
        assert_eq!(content(&source, ITEMS).await, content(&target, ITEMS).await, "{pair}");
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {notes:?}");
        assert!(found.read_back, "{pair}: as it was copied");
    })
    .await;
}

/// One change at a time, so that numbers of rows, or of one row less and another one twice, say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smallest_change_of_the_target_is_seen_beside_what_was_read() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        fill_live(&source).await;
        let run = Run::copied(&source, &target, spec("live")).await;
        for (change, back, expected) in [
            ("UPDATE live SET v = 1 WHERE id = 1999", "UPDATE live SET v = 0 WHERE id = 1999", (0, 0, 1)),
            ("UPDATE live SET v = NULL WHERE id = 0", "UPDATE live SET v = 0 WHERE id = 0", (0, 0, 1)),
            ("DELETE FROM live WHERE id = 77", "INSERT INTO live VALUES (77, 0)", (1, 0, 0)),
            ("INSERT INTO live VALUES (9999, 0)", "DELETE FROM live WHERE id = 9999", (0, 1, 0)),
            ("UPDATE live SET id = 5000 WHERE id = 5", "UPDATE live SET id = 5 WHERE id = 5000", (1, 1, 0)),
        ] {
            done(&target, &[change]).await;
            let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
            let (missing, extra, different) = expected;
            let figures = figures(&found);
            assert_eq!(figures, (missing, extra, different, 0, false), "{pair}: {change}: {notes:?}");
            assert!(!found.examples.is_empty(), "{pair}: {change}: {found:?}");
            done(&target, &[back]).await;
            let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
            assert!(found.equal && found.read_back, "{pair}: {back}: {found:?} {notes:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changed_since_it_was_read_is_for_a_repair() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        fill_live(&source).await;
        let some = Spec { condition: "id < 1000".into(), ..spec("live") };
        let run = Run::copied(&source, &target, some).await;
        done(&source, &["UPDATE live SET v = 7 WHERE id = 3"]).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: the target is what was read: {notes:?}");
        assert!(found.read_back, "{pair}");
        // Rows that came or went are counted.
        done(&source, &["DELETE FROM live WHERE id = 5"]).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert!(!found.read_back && found.different == 1, "{pair}: {found:?}");
        assert!(noted(&notes, "ROWS_BEYOND_THE_COPY"), "{pair}: with a condition: {notes:?}");
        done(&source, &["INSERT INTO live VALUES (5, 0)"]).await;
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 1, 1, true), "{pair}: {found:?} {notes:?}");
        // Now the target is as the source is, and not as it was read: both ends say that they are equal.
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert!(found.equal && !found.read_back, "{pair}: {found:?} {notes:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_target_refuses_are_in_no_digest() {
    let places = Places::all();
    for (from, source, to, target) in places.pairs() {
        for key in ["PRIMARY KEY", ""] {
            let pair = format!("{from} → {to} {key}");
            let create = format!("CREATE TABLE picky (id BIGINT NOT NULL {key}, v INTEGER");
            done(&source, &["DROP TABLE IF EXISTS picky", &format!("{create})")]).await;
            done(&target, &["DROP TABLE IF EXISTS picky", &format!("{create}, CHECK (v <> 7))")]).await;
            insert(&source, "picky", (0..3000).map(|n| format!("({n}, {})", n % 1000))).await;
            let some = Spec { max_bad_rows: 5, page_rows: 700, ..spec("picky") };
            let run = Run::copied(&source, &target, some).await;
            let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
            assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {found:?} {notes:?}");
            assert!(found.read_back && noted(&notes, "ROWS_PUT_ASIDE"), "{pair}: {found:?} {notes:?}");
            assert_eq!((found.source_rows, found.target_rows), (3000, 2997), "{pair}");
            run.forget().await;
        }
    }
}

/// Numbers of all magnitudes have one text on MariaDB and PostgreSQL: so they are hashed where they are. Rare ones have
/// two: PostgreSQL takes no text that lies halfway between two numbers. Their rows are looked at again by their cells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floating_point_has_one_text_on_both_servers() {
    let places = Places::all();
    let (Some(mariadb), Some(postgres)) = (places.fresh(Engine::Mysql), places.fresh(Engine::Postgres))
    else {
        return;
    };
    let mut numbers =
        vec![0.0, 1.0, -1.5, 0.1, 1e15, 1e16, 123_456_789_012_345.6, 1e-4, 1e-5, 1.5e-15, 9e-16];
    numbers.extend([f64::MAX, f64::MIN_POSITIVE, 5e-324, 9_007_199_254_740_993.0, 2e22, 1e23, 4.35, 1e-14]);
    // Each power of ten with random digits behind.
    let mut random = 1_u64;
    for power in -320..=307 {
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            numbers
                .push(format!("{}.{}e{power}", random >> 61, random >> 8 & 0xff_ffff_ffff).parse().unwrap());
        }
    }
    for (bits, types) in [(64, ["DOUBLE", "DOUBLE PRECISION"]), (32, ["FLOAT", "REAL"])] {
        let kind = Kind::Float { bits };
        let mut texts = Vec::new();
        for (url, native) in [&mariadb, &postgres].into_iter().zip(types) {
            let table = format!("floats{bits}");
            done(url, &[&format!("CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, v {native})")])
                .await;
            let fits = |number: &&f64| bits == 64 || (1e-30..1e30).contains(&number.abs());
            let rows =
                numbers.iter().filter(fits).enumerate().map(|(id, number)| format!("({id}, {number:e})"));
            insert(url, &table, rows).await;
            let mut db = connect(url).await;
            let side = Side { column: &column("v", kind.clone()), other: &kind, same_engine: false };
            let text = db.dialect().hash_text(&side).unwrap();
            texts.push(db.query(&format!("SELECT {text} FROM {table} ORDER BY id")).await.unwrap());
        }
        let number = |row: &[Option<String>]| row[0].as_ref().unwrap().parse::<f64>().unwrap();
        let both = || texts[0].iter().zip(&texts[1]);
        let other = both().find(|(a, b)| number(a).to_bits() != number(b).to_bits());
        assert_eq!(other, None, "{bits}: two numbers");
        let unlike: Vec<_> = both().filter(|(a, b)| a != b).collect();
        assert!(
            unlike.len() * 200 < texts[0].len(),
            "{bits}: {} of {}: {unlike:?}",
            unlike.len(),
            texts[0].len()
        );
    }
}

/// Keys whose order no two engines agree on.
fn words(n: u32) -> String {
    let first = ["a", "A", "á", "ß", "ss", "z", "Z", "_", "é", "🦀"][usize::try_from(n % 10).unwrap()];
    format!("{first}{}", n * 7919 % 5000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found_whatever_keys_are_ordered_by() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        let text = exact(from);
        let sql = format!(
            "CREATE TABLE words (tenant INTEGER NOT NULL, word VARCHAR(40){text} NOT NULL, v VARCHAR(20), \
             PRIMARY KEY (tenant, word))"
        );
        done(&source, &[&sql]).await;
        insert(&source, "words", (0..15_000).map(|n| format!("({}, '{}', 'v{n}')", n / 5000, words(n))))
            .await;
        let run = Run::copied(&source, &target, spec("words")).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {notes:?}");
        assert!(found.read_back, "{pair}");
        let (gone, changed) = (words(10), words(11));
        done(
            &target,
            &[
                &format!("DELETE FROM words WHERE word = '{gone}'"),
                &format!("UPDATE words SET v = 'other' WHERE word = '{changed}'"),
                "INSERT INTO words VALUES (9, 'ü', NULL), (1, 'new', 'x')",
            ],
        )
        .await;
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!(figures(&found), (3, 2, 3, 8, true), "{pair}: {found:?} {notes:?}");
        let all = "SELECT tenant, word, v FROM words";
        let sorted = async |url: &str| {
            let mut rows = content(url, all).await;
            rows.sort();
            rows
        };
        assert_eq!(sorted(&source).await, sorted(&target).await, "{pair}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_key_are_counted_one_by_one() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        let sql = format!("CREATE TABLE log (line VARCHAR(40){}, n INTEGER)", exact(from));
        done(&source, &[&sql]).await;
        let lines = (0..10_000).map(|n| format!("('line {}', {})", n % 50, n % 5));
        insert(&source, "log", lines.chain(["('once', 1)".to_owned()])).await;
        let run = Run::copied(&source, &target, spec("log")).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {notes:?}");
        assert!(found.read_back, "{pair}");
        // A row once more and another one gone: as many rows.
        done(&target, &["INSERT INTO log VALUES ('line 1', 1)", "DELETE FROM log WHERE line = 'once'"]).await;
        let (found, _) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (1, 1, 0, 0, false), "{pair}: {found:?}");
        // Two equal rows more: what is summed by XOR does not see them. And a row that became another one.
        done(&target, &["INSERT INTO log VALUES ('once', 1), ('line 1', 1), ('gone', NULL)"]).await;
        done(&source, &["INSERT INTO log VALUES ('here', NULL)"]).await;
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!(figures(&found), (1, 3, 0, 0, false), "{pair}: {found:?}");
        assert!(noted(&notes, "REPAIR_NEEDS_A_KEY"), "{pair}: {notes:?}");
    })
    .await;
}

/// Every kind of the source's engine, to the ends of its range; what the target cannot hold becomes NULL on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_raises_a_false_alarm() {
    let places = Places::all();
    for (from, source, to, target) in places.pairs() {
        let pair = format!("{from} → {to}");
        let mut db = connect(&source).await;
        let all = values::of(from);
        let mut columns = vec![column("id", Kind::Int { bits: 64, unsigned: false })];
        columns.extend(all.iter().map(|(name, kind, _)| column(name, kind.clone())));
        let made = create(db.as_mut(), &table("kinds", columns, &["id"])).await;
        let most = all.iter().map(|(_, _, values)| values.len()).max().unwrap();
        let rows: Vec<Row> = (0..=most)
            .map(|n| {
                let cells =
                    all.iter().map(|(_, _, values)| (n < most).then(|| values[n % values.len()].clone()));
                std::iter::once(Some(n.to_string().into_bytes())).chain(cells).collect()
            })
            .collect();
        load(db.as_mut(), &load_of(&made, OnDuplicate::Fail), &rows).await.unwrap();
        let lossy = Spec { on_lossy: OnLossy::SetNull, ..spec("kinds") };
        let run = Run::copied(&source, &target, lossy).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {found:?} {notes:?}");
        assert!(found.not_compared.is_empty(), "{pair}: {:?}", found.not_compared);
        assert!(found.read_back, "{pair}: every value is read back as it was written");
        // Kinds that no server hashes portably are looked at all the same.
        for change in ["jsn = '{\"a\": 7}'", "dbl = 0.5", "mom = NULL"] {
            done(&target, &[&format!("UPDATE kinds SET {change} WHERE id = 1")]).await;
            let (found, notes) = run.compare(Verify::Repair).await.unwrap();
            assert_eq!(figures(&found), (0, 0, 1, 1, true), "{pair}: {change}: {found:?} {notes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_finds_what_was_deleted() {
    let places = Places::all();
    for (from, source, to, target) in places.pairs() {
        let pair = format!("{from} → {to}");
        done(&source, &["CREATE TABLE s (id BIGINT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)"]).await;
        insert(&source, "s", (0..3000).map(|n| format!("({n}, {n})"))).await;
        let sweep = Spec {
            mode: Mode::Incremental,
            diff_column: Some(DiffColumn { source: "version".into(), target: String::new() }),
            sweep: true,
            verify: Verify::None,
            ..spec("s")
        };
        let run = Run::copied(&source, &target, sweep.clone()).await;
        let (found, notes) = run.compare(Verify::None).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {notes:?}");
        done(&source, &["DELETE FROM s WHERE id IN (0, 7, 2999)", "UPDATE s SET id = -1 WHERE id = 8"]).await;
        let (found, notes) = run.compare(Verify::None).await.unwrap();
        assert_eq!(figures(&found), (1, 4, 0, 5, true), "{pair}: {found:?} {notes:?}");
        let all = "SELECT id, version FROM s ORDER BY id";
        assert_eq!(content(&source, all).await, content(&target, all).await, "{pair}");
        // With a condition nobody knows where the other rows are from.
        run.forget().await;
        let some = Spec { condition: "id < 1000".into(), ..sweep };
        let some = Run::copied(&source, &target, some).await;
        let (found, notes) = some.compare(Verify::None).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{pair}: {found:?} {notes:?}");
        assert!(noted(&notes, "ROWS_BEYOND_THE_COPY"), "{pair}: {notes:?}");
        assert_eq!(content(&source, all).await, content(&target, all).await, "{pair}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_meanwhile_raise_no_alarm() {
    let places = Places::all();
    each(places.pairs(), async |(from, source, to, target)| {
        let pair = format!("{from} → {to}");
        fill_live(&source).await;
        let run = Run::copied(&source, &target, spec("live")).await;
        // Ten rows that never rest. The comparison ends while they go on.
        let mut writer = connect(&source).await;
        let round = |number: u64| {
            let last = number % 10;
            format!("UPDATE live SET v = v + 1 WHERE id IN (1,2,3,500,1000,1500,1997,1998,1999,{last})")
        };
        // The first look finds rows that are unlike, however late the others are.
        writer.execute(&round(0)).await.unwrap();
        let writes = pin!(async {
            let mut number = 0_u64;
            loop {
                number += 1;
                writer.execute(&round(number)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let compared = pin!(run.compare(Verify::Repair));
        let (found, notes) = match select(compared, writes).await {
            Either::Left((compared, _)) => compared.unwrap(),
            Either::Right((never, _)) => never,
        };
        // Those with ids 0 to 9 rest for 200 ms and more, but never between two looks.
        assert!(found.equal && found.missing == 0 && found.extra == 0, "{pair}: {found:?} {notes:?}");
        assert!(noted(&notes, "ROWS_CHANGING"), "{pair}: {notes:?}");
        // Once it is quiet they are stale rows of the target.
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert!(
            found.equal && found.different >= 9 && found.repaired == found.different,
            "{pair}: {found:?} {notes:?}"
        );
        let all = "SELECT id, v FROM live ORDER BY id";
        assert_eq!(content(&source, all).await, content(&target, all).await, "{pair}");
    })
    .await;
}

async fn fill_live(source: &str) {
    done(source, &["CREATE TABLE live (id BIGINT NOT NULL PRIMARY KEY, v INTEGER)"]).await;
    insert(source, "live", (0..2000).map(|n| format!("({n}, 0)"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_source_empties_nothing() {
    let places = Places::files();
    for (_, source, _, target) in places.pairs() {
        fill_live(&source).await;
        let run = Run::copied(&source, &target, spec("live")).await;
        done(&source, &["DELETE FROM live WHERE id < 1500"]).await;
        let error = run.compare(Verify::Repair).await.unwrap_err();
        assert!(
            matches!(&error, DriverError::Permanent(words) if words.contains("TRUNCATE") && words.contains("1500")),
            "{error}"
        );
        assert_eq!(content(&target, "SELECT count(*) FROM live").await[0][0].as_deref(), Some("2000"));
        // Fewer than half, or few, may go.
        insert(&source, "live", (0..1000).map(|n| format!("({n}, 0)"))).await;
        let (found, _) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!((found.equal, found.extra), (true, 500));
        // As many other rows in the place of those that went: numbers of rows say nothing.
        let target = places.fresh(Engine::Sqlite).unwrap();
        done(&source, &["CREATE TABLE named (name VARCHAR(20) NOT NULL PRIMARY KEY)"]).await;
        insert(&source, "named", (0..2000).map(|n| format!("('old {n}')"))).await;
        run.forget().await;
        let run = Run::copied(&source, &target, spec("named")).await;
        done(&source, &["DELETE FROM named WHERE name < 'old 5'"]).await;
        insert(&source, "named", (0..1800).map(|n| format!("('new {n}')"))).await;
        let error = run.compare(Verify::Repair).await.unwrap_err();
        assert!(error.to_string().contains("would delete"), "{error}");
        assert_eq!(content(&target, "SELECT count(*) FROM named").await[0][0].as_deref(), Some("2000"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_put_aside_and_values_converted_are_no_faults() {
    let places = Places::files();
    for (_, source, _, target) in places.pairs() {
        done(
            &source,
            &[
                "CREATE TABLE odd (id BIGINT NOT NULL PRIMARY KEY, v TEXT)",
                "INSERT INTO odd VALUES (1, '1'), (2, 'two'), (3, '3.7'), (4, '4')",
            ],
        )
        .await;
        done(&target, &["CREATE TABLE odd (id BIGINT NOT NULL PRIMARY KEY, v INTEGER)"]).await;
        // `two` is no number at all and is put aside; 3.7 is rounded.
        let lossy = Spec {
            on_lossy: OnLossy::Convert,
            max_bad_rows: 5,
            on_existing: OnExisting::Truncate,
            ..spec("odd")
        };
        let run = Run::copied(&source, &target, lossy).await;
        for level in [Verify::Count, Verify::Checksum, Verify::Repair] {
            let (found, notes) = run.compare(level).await.unwrap();
            assert_eq!(figures(&found), (0, 0, 0, 0, true), "{level:?}: {found:?} {notes:?}");
            assert!(noted(&notes, "ROWS_PUT_ASIDE"), "{level:?}: {notes:?}");
            assert_eq!(found.read_back, level == Verify::Checksum, "{level:?}");
        }
        done(&target, &["UPDATE odd SET v = 5 WHERE id = 3", "DELETE FROM odd WHERE id = 4"]).await;
        let (found, notes) = run.compare(Verify::Repair).await.unwrap();
        assert_eq!(figures(&found), (1, 0, 1, 2, true), "{found:?} {notes:?}");
        // The same without a key.
        run.forget().await;
        done(
            &source,
            &["CREATE TABLE loose (v TEXT)", "INSERT INTO loose VALUES ('1'), ('3.7'), ('3.7'), ('4')"],
        )
        .await;
        done(&target, &["CREATE TABLE loose (v INTEGER)"]).await;
        let lossy = Spec { on_lossy: OnLossy::Convert, ..spec("loose") };
        let run = Run::copied(&source, &target, lossy).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 0, 0, 0, true), "{found:?} {notes:?}");
        assert!(found.read_back);
        done(&target, &["INSERT INTO loose VALUES (4)"]).await;
        let (found, notes) = run.compare(Verify::Checksum).await.unwrap();
        assert_eq!(figures(&found), (0, 1, 0, 0, false), "{found:?} {notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overtaken_repair_writes_nothing() {
    let places = Places::files();
    for (_, source, _, target) in places.pairs() {
        fill_live(&source).await;
        let run = Run::copied(&source, &target, spec("live")).await;
        done(&target, &["DELETE FROM live WHERE id = 5", "INSERT INTO live VALUES (5000, 1)"]).await;
        let mut other = connect(&target).await;
        let overtake = pin!(async {
            // Between the two looks another attempt takes the shard.
            let sql = "UPDATE shanty_sync_shard SET attempt = 2, seq = seq + 1 WHERE step LIKE 'verify/%' AND attempt = 1";
            loop {
                // The writer may hold the file for a moment.
                if matches!(other.execute(sql).await, Ok(1)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::future::pending::<()>().await;
        });
        let compared = pin!(run.compare(Verify::Repair));
        let error = match select(compared, overtake).await {
            Either::Left((compared, _)) => compared.unwrap_err(),
            Either::Right(((), _)) => unreachable!(),
        };
        assert!(error.to_string().contains("taken this shard over"), "{error}");
        let rows = content(&target, "SELECT id FROM live WHERE id IN (5, 5000)").await;
        assert_eq!(rows, [[Some("5000".to_owned())]]);
    }
}
