//! Syncs by real clusters between real databases: every pair of engines, every mode, values that broke other tools.
//!
//! In: servers, a master, workers as processes. Out: what the target's own client library reads, beside the report.
//! Never: trusts the report, or code of the sync, about what arrived.

use serde_json::{Value, json};
use shanty_proto::v1;
use shanty_proto::v1::run_event::Event;
use shanty_tests::dataset::cases::{self, Case, Outcome};
use shanty_tests::dataset::{Database, Engine, Form, Orders, Portable, fingerprint};
use shanty_tests::sync::{
    PATIENCE, Yard, ended, has_written, rows, run_and_watch, start, table, unlimited, with,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The verification that a report has of its only table.
fn verification(report: &v1::DbSyncReport) -> &v1::SyncVerification {
    assert_eq!(report.tables.len(), 1, "{report:?}");
    report.tables[0].verification.as_ref().expect("it was compared")
}

/// Columns of the indexes of a table, `unique:a,b`, primary key first, in order.
async fn indexes(database: &Database, table: &str) -> Vec<String> {
    let sql = match database.engine {
        Engine::MariaDb => format!(
            "SELECT CONCAT(IF(index_name = 'PRIMARY', 'primary', IF(non_unique, 'index', 'unique')), ':', \
             GROUP_CONCAT(column_name ORDER BY seq_in_index)) FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND table_name = '{table}' GROUP BY index_name, non_unique"
        ),
        Engine::Postgres => format!(
            "SELECT CASE WHEN indisprimary THEN 'primary' WHEN indisunique THEN 'unique' ELSE 'index' END || ':' || \
             (SELECT string_agg(attname, ',' ORDER BY k.n) FROM unnest(indkey) WITH ORDINALITY AS k(num, n) \
              JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = k.num) \
             FROM pg_index WHERE indrelid = '{table}'::regclass"
        ),
        Engine::Sqlite => format!(
            "SELECT CASE WHEN l.\"unique\" THEN 'unique' ELSE 'index' END || ':' || \
             (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) \
             FROM pragma_index_list('{table}') AS l WHERE l.origin <> 'pk' UNION ALL \
             SELECT 'primary:' || group_concat(name) FROM (SELECT name FROM pragma_table_info('{table}') \
             WHERE pk > 0 ORDER BY pk)"
        ),
    };
    let rows = database.rows(&sql).await;
    let mut found: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn every_engine_to_every_engine_arrives_whole_with_keys_and_indexes() {
    let Some(yard) = Yard::start(2).await else { return };
    const ROWS: u64 = 20_000;
    for from in Engine::ALL {
        Portable::make(yard.db(&format!("{}_a", from.short())), ROWS).await;
    }
    for from in Engine::ALL {
        for to in Engine::ALL {
            let (a, b) = (format!("{}_a", from.short()), format!("{}_b", to.short()));
            let name = format!("from_{}", from.short());
            let spec = with(
                table(&a, &b, Portable::TABLE),
                json!({ "target": { "table": name }, "verify": "CHECKSUM", "page_rows": 3000 }),
            );
            let began = Instant::now();
            let report = yard.syncs(&spec).await;
            eprintln!("{a} to {b}: {ROWS} rows in {:.2?}", began.elapsed());
            assert_eq!(report.rows, i64::try_from(ROWS).unwrap());
            let compared = verification(&report);
            assert!(
                compared.equal && compared.missing + compared.extra + compared.different == 0,
                "{compared:?}"
            );
            assert_eq!(compared.source_rows, report.rows);
            assert!(compared.read_back, "{a} to {b}: the target is what the copy read");
            assert!(
                report.tables[0].created && report.lossy.is_empty() && report.bad_rows == 0,
                "{report:?}"
            );
            let (source, target) = (yard.db(&a), yard.db(&b));
            assert_eq!(
                Portable::print(target, &name).await,
                Portable::print(source, Portable::TABLE).await,
                "{a} to {b}"
            );
            assert_eq!(
                indexes(target, &name).await,
                ["index:small,day", "primary:id", "unique:name"],
                "{a} to {b}"
            );
            // The state of the sync is gone, its tables may stay.
            assert_eq!(target.count("shanty_sync_shard").await, 0, "{a} to {b}");
        }
    }
}

#[tokio::test]
async fn a_change_of_one_value_shows_in_the_fingerprint() {
    let Some(yard) = Yard::start(1).await else { return };
    for engine in Engine::ALL {
        let database = yard.db(&format!("{}_a", engine.short()));
        let orders = Orders::keyed("orders");
        orders.make(database, 2000).await;
        let before = orders.print(database).await;
        assert_eq!(before.rows, 2000);
        database.run(&["UPDATE orders SET note = 'other' WHERE id = 1234"]).await;
        let changed = orders.print(database).await;
        assert_ne!(changed, before, "{engine:?}");
        database.run(&["DELETE FROM orders WHERE id = 77"]).await;
        let fewer = orders.print(database).await;
        assert!(fewer.rows == 1999 && fewer.sum != changed.sum, "{engine:?}: {fewer:?}");
    }
}

#[tokio::test]
async fn several_tables_by_pattern_with_columns_conditions_and_other_names() {
    let Some(yard) = Yard::start(3).await else { return };
    let (source, target) = (yard.db("my_a"), yard.db("pg_a"));
    for name in ["shop_orders", "shop_items", "shop_secret", "other"] {
        let create = format!("CREATE TABLE {name} (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=InnoDB");
        let fill =
            format!("INSERT INTO {name} SELECT seq, CONCAT('{name}', seq), seq * 2 FROM seq_1_to_1500");
        source.run(&[create, fill]).await;
    }
    let report = yard
        .syncs(&json!({
            "source": { "connection": "my_a", "tables": ["shop_*"], "exclude": ["*_secret"] },
            "target": { "connection": "pg_a", "table": "copy_of_{table}" },
            "verify": "COUNT",
        }))
        .await;
    let mut names: Vec<&str> = report.tables.iter().map(|table| table.target.as_str()).collect();
    names.sort_unstable();
    assert!(
        names.len() == 2
            && names[0].ends_with("copy_of_shop_items")
            && names[1].ends_with("copy_of_shop_orders"),
        "{names:?}"
    );
    let columns = [("id", Form::Whole), ("v", Form::Text), ("w", Form::Whole)];
    for name in ["shop_orders", "shop_items"] {
        let copy = format!("copy_of_{name}");
        assert_eq!(
            fingerprint(target, &copy, &columns).await,
            fingerprint(source, name, &columns).await,
            "{name}"
        );
    }
    assert!(!target.has("copy_of_shop_secret").await && !target.has("copy_of_other").await);

    // Columns chosen and renamed, the key too, with a condition, into a table that has more columns.
    let create =
        "CREATE TABLE picked (number BIGINT PRIMARY KEY, word TEXT NOT NULL, extra TEXT DEFAULT 'kept')";
    target.run(&[create]).await;
    let report = yard
        .syncs(&json!({
            "source": { "connection": "my_a", "table": "other" },
            "target": { "connection": "pg_a", "table": "picked", "key": ["number"] },
            "columns": [{ "source": "id", "target": "number" }, { "source": "v", "target": "word" }],
            "key": ["id"], "where": "id % 3 = 0", "verify": "CHECKSUM",
        }))
        .await;
    assert!(verification(&report).equal, "{report:?}");
    let want = source.rows("SELECT id, v, 'kept' FROM other WHERE id % 3 = 0 ORDER BY id").await;
    assert_eq!(want.len(), 500);
    assert_eq!(target.rows("SELECT number, word, extra FROM picked ORDER BY number").await, want);
}

#[tokio::test]
async fn a_target_that_holds_rows_is_refused_emptied_or_merged() {
    let Some(yard) = Yard::start(2).await else { return };
    let orders = Orders::keyed("orders");
    orders.make(yard.db("pg_a"), 6000).await;
    for engine in Engine::ALL {
        let name = format!("{}_b", engine.short());
        let target = yard.db(&name);
        orders.make(target, 300).await;
        let more = "UPDATE orders SET note = 'stale' WHERE id <= 100";
        let other = "INSERT INTO orders SELECT 900000 + id, shop, customer, amount, placed, state, note, weight \
                     FROM orders WHERE id <= 10";
        target.run(&[more, other]).await;
        let before = orders.print(target).await;
        let spec = |existing: &str| {
            with(table("pg_a", &name, "orders"), json!({ "on_existing": existing, "page_rows": 1000 }))
        };
        let (reason, _) = yard.fails(&spec("FAIL")).await;
        assert!(reason.contains("on_existing") && reason.contains("TRUNCATE"), "{reason}");
        assert_eq!(orders.print(target).await, before, "{name}: nothing was written");

        yard.syncs(&spec("UPSERT")).await;
        assert_eq!(target.count("orders").await, 6010, "{name}");
        assert_eq!(target.count("orders WHERE note = 'stale' AND id < 900000").await, 0, "{name}");

        yard.syncs(&spec("TRUNCATE")).await;
        assert_eq!(orders.print(target).await, orders.print(yard.db("pg_a")).await, "{name}");
    }
}

#[tokio::test]
async fn a_table_without_a_key_arrives_once() {
    let Some(yard) = Yard::start(2).await else { return };
    let orders = Orders::keyless("orders");
    for (from, to) in [("pg_a", "my_b"), ("my_a", "pg_b"), ("lite_a", "lite_b"), ("pg_a", "lite_b")] {
        if !yard.db(from).has("orders").await {
            orders.make(yard.db(from), 15_000).await;
            orders.fill(yard.db(from), 1, 500).await;
        }
        let spec = with(table(from, to, "orders"), json!({ "on_existing": "TRUNCATE", "verify": "COUNT" }));
        yard.syncs(&spec).await;
        let (source, target) = (orders.print(yard.db(from)).await, orders.print(yard.db(to)).await);
        assert_eq!((target.rows, target), (15_500, source), "{from} to {to}");
    }
}

/// What is wrong with a case; none when it came out as it must.
async fn judge(yard: &Yard, case: &Case) -> Result<(), String> {
    let (a, b) = (format!("{}_a", case.from.short()), format!("{}_b", case.to.short()));
    let (source, target) = (yard.db(&a), yard.db(&b));
    source.try_run(&case.source).await?;
    target.try_run(&case.target).await?;
    let spec = with(table(&a, &b, case.name), with(json!({ "verify": "CHECKSUM" }), case.spec.clone()));
    let run = yard.ends(&spec).await;
    let report = yard.client().sync_report(&run.name).await.map_err(|status| status.to_string())?;
    let sorted = |mut rows: Vec<_>| {
        rows.sort();
        rows
    };
    let state = run.state();
    let succeeded = || match state {
        v1::run::State::Succeeded => Ok(()),
        _ => Err(format!("{state:?}: {}", run.state_reason)),
    };
    match &case.outcome {
        Outcome::Fails(words) => {
            if state != v1::run::State::Failed {
                return Err(format!("{state:?}, not FAILED: {}; {report:?}", run.state_reason));
            }
            if let Some(word) = words.iter().find(|word| !run.state_reason.contains(**word)) {
                return Err(format!("does not say {word}: {}", run.state_reason));
            }
            let written = if target.has(case.name).await { target.count(case.name).await } else { 0 };
            if written > 0 {
                return Err(format!("{written} rows of one page were written: {}", run.state_reason));
            }
        }
        Outcome::Rows(query, want) => {
            succeeded()?;
            let got = target.try_rows(query).await?;
            let want: Vec<Vec<Option<String>>> =
                want.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect();
            if got != want {
                return Err(format!("arrived {got:?}, not {want:?}"));
            }
        }
        Outcome::Same(theirs, ours) => {
            succeeded()?;
            let (want, got) = (sorted(source.try_rows(theirs).await?), sorted(target.try_rows(ours).await?));
            if got != want {
                let at = got.iter().zip(&want).find(|(a, b)| a != b);
                let at = format!("{at:?}").chars().take(600).collect::<String>();
                return Err(format!("{} rows arrived of {}; first difference {at}", got.len(), want.len()));
            }
            if want.is_empty() {
                return Err("the source has no rows".to_owned());
            }
        }
    }
    if matches!(case.outcome, Outcome::Fails(_)) {
        return Ok(());
    }
    // What the copy read is what the target holds, in whatever form it prints it.
    let is = |field: &str, word: &str| spec[field].as_str() == Some(word);
    if is("verify", "CHECKSUM") && !is("mode", "INCREMENTAL") && !is("on_existing", "UPSERT") {
        let compared = report.tables.iter().filter_map(|table| table.verification.as_ref());
        if let Some(other) = compared.into_iter().find(|found| !found.equal || !found.read_back) {
            return Err(format!("was not read back: {other:?}"));
        }
    }
    let counted: BTreeMap<&str, i64> =
        report.lossy.iter().map(|lossy| (lossy.event.as_str(), lossy.count)).collect();
    let want: BTreeMap<&str, i64> = case.lossy.iter().copied().collect();
    if counted == want { Ok(()) } else { Err(format!("lossy events are {counted:?}, not {want:?}")) }
}

#[tokio::test]
async fn values_and_tables_that_broke_other_tools() {
    let Some(yard) = Yard::start(2).await else { return };
    let only = std::env::var("SHANTY_CASE").unwrap_or_default();
    let all: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(!all.is_empty(), "no case is called {only}");
    let mut wrong = Vec::new();
    for case in &all {
        if let Err(why) = judge(&yard, case).await {
            let line = format!("{} ({:?} to {:?}): {why}", case.name, case.from, case.to);
            eprintln!("wrong: {line}");
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[tokio::test]
async fn refused_rows_are_put_aside_up_to_a_number() {
    let Some(yard) = Yard::start(2).await else { return };
    let source = yard.db("my_a");
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v INT, w VARCHAR(20)) ENGINE=InnoDB";
    source.run(&[create, "INSERT INTO t SELECT seq, seq, CONCAT('w', seq) FROM seq_1_to_5000"]).await;
    // Two rows that no type tells, but a rule of the target; one that the type tells.
    source
        .run(&["UPDATE t SET v = -1 WHERE id IN (700, 4100)", "UPDATE t SET w = CHAR(0) WHERE id = 2222"])
        .await;
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v INT CHECK (v >= 0), w TEXT)";
    let target = yard.db("pg_b");
    target.run(&[create]).await;
    let spec = |most: u32| {
        with(table("my_a", "pg_b", "t"), json!({ "max_bad_rows": most, "on_existing": "TRUNCATE" }))
    };
    let (reason, _) = yard.fails(&spec(2)).await;
    assert!(reason.contains("max_bad_rows"), "{reason}");
    let report = yard.syncs(&spec(3)).await;
    assert_eq!((report.rows, report.bad_rows), (4997, 3), "{report:?}");
    assert_eq!(target.count("t").await, 4997);
    assert_eq!(target.count("t WHERE id IN (700, 2222, 4100)").await, 0);
    let kept = "SELECT row_key, reason, length(digest) FROM shanty_sync_reject WHERE run LIKE '%' || \
                (SELECT max(split_part(run, '@', 2)) FROM shanty_sync_reject) ORDER BY row_key";
    let rejected = target.rows(kept).await;
    let keys: Vec<String> = rejected.iter().map(|row| row[0].clone().unwrap_or_default()).collect();
    assert_eq!(keys, ["(2222)", "(4100)", "(700)"], "{rejected:?}");
    let reason = |i: usize| rejected[i][1].clone().unwrap_or_default();
    assert!(reason(0).contains("TEXT_NUL") && reason(1).contains("t_v_check"), "{rejected:?}");
    assert!(rejected.iter().all(|row| row[2].as_deref() == Some("32")), "{rejected:?}");
}

/// A table whose rows tell when they changed, on both engines with several writers.
async fn changing(database: &Database) {
    let (micros, options) = match database.engine {
        Engine::MariaDb => ("DATETIME(6)", " ENGINE=InnoDB"),
        Engine::Postgres | Engine::Sqlite => ("TIMESTAMP(6)", ""),
    };
    let create = format!(
        "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v INT NOT NULL, changed {micros} NOT NULL){options}"
    );
    database.run(&[create.as_str(), "CREATE INDEX t_changed ON t (changed)"]).await;
}

const CHANGING: [(&str, Form); 3] = [("id", Form::Whole), ("v", Form::Whole), ("changed", Form::Micros)];

fn incremental(from: &str, to: &str) -> Value {
    with(table(from, to, "t"), json!({ "mode": "INCREMENTAL", "diff_column": { "source": "changed" } }))
}

#[tokio::test]
async fn an_incremental_sync_goes_on_from_its_watermark_with_ties() {
    let Some(yard) = Yard::start(2).await else { return };
    for (from, to) in [("my_a", "pg_b"), ("pg_a", "my_b"), ("lite_a", "lite_b")] {
        let (source, target) = (yard.db(from), yard.db(to));
        changing(source).await;
        // All rows of a hundred have one time: ties lie across every border of a page.
        let past = |from: u32, to: u32| -> String {
            let numbers = match source.engine {
                Engine::MariaDb => format!("(SELECT seq AS n FROM seq_{from}_to_{to}) AS s"),
                Engine::Postgres => format!("generate_series({from}, {to}) AS n"),
                Engine::Sqlite => format!(
                    "(WITH RECURSIVE s(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM s WHERE n < {to}) SELECT n FROM s)"
                ),
            };
            let time = match source.engine {
                Engine::MariaDb => "DATE_ADD('2024-05-06 07:08:09', INTERVAL FLOOR(n / 100) SECOND)",
                Engine::Postgres => "timestamp '2024-05-06 07:08:09' + (n / 100) * interval '1 second'",
                Engine::Sqlite => "datetime('2024-05-06 07:08:09', '+' || (n / 100) || ' seconds')",
            };
            format!("INSERT INTO t SELECT n, 1, {time} FROM {numbers}")
        };
        source.run(&[past(1, 1000)]).await;
        let spec = with(incremental(from, to), json!({ "page_rows": 70 }));
        let first = yard.syncs(&spec).await;
        let same = async |what: &str| {
            assert_eq!(
                fingerprint(target, "t", &CHANGING).await,
                fingerprint(source, "t", &CHANGING).await,
                "{from} to {to}: {what}"
            );
        };
        same("the first run").await;
        assert!(!first.tables[0].watermark.is_empty(), "{first:?}");
        // New rows, one of them with the time of the newest that was there.
        source.run(&[past(1001, 1300)]).await;
        source.run(&["UPDATE t SET v = 2, changed = (SELECT m FROM (SELECT MAX(changed) AS m FROM t) AS x) WHERE id = 5"]).await;
        let second = yard.syncs(&spec).await;
        same("the second run").await;
        assert!(second.rows >= 301 && second.rows <= 600, "what changed and ties, not all: {second:?}");
        let third = yard.syncs(&spec).await;
        assert!(third.rows <= 200, "nothing but ties at the watermark: {third:?}");
        same("the third run").await;
        // A delete and a change that does not touch the column are found by a sweep.
        source.run(&["DELETE FROM t WHERE id BETWEEN 100 AND 119", "UPDATE t SET v = 3 WHERE id = 50"]).await;
        let swept = yard.syncs(&with(spec.clone(), json!({ "sweep": true }))).await;
        same("the sweep").await;
        let found = verification(&swept);
        assert_eq!((found.extra, found.different, found.missing, found.equal), (20, 1, 0, true), "{found:?}");
    }
}

/// Inserts rows in transactions that commit up to three seconds after their rows got their times.
async fn write_late(database: Database, writer: u64, until: Instant) -> u64 {
    use shanty_tests::dataset::Session;
    let mut session = Session::open(&database).await.expect("a session");
    let now = if database.engine == Engine::MariaDb { "NOW(6)" } else { "now()" };
    let mut written = 0;
    // A generator of its own per writer, so that a run can be repeated.
    let mut random = writer * 0x9e37_79b9 + 1;
    while Instant::now() < until {
        session.run("BEGIN").await.expect("begun");
        for _ in 0..3 {
            let id = writer * 1_000_000 + written;
            session.run(&format!("INSERT INTO t VALUES ({id}, 1, {now})")).await.expect("inserted");
            written += 1;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 3000)).await;
        session.run("COMMIT").await.expect("committed");
    }
    session.close().await;
    written
}

#[tokio::test]
async fn an_incremental_sync_loses_no_row_that_commits_late() {
    let Some(yard) = Yard::start(2).await else { return };
    for (from, to) in [("my_a", "pg_b"), ("pg_a", "my_b")] {
        let (source, target) = (yard.db(from), yard.db(to));
        changing(source).await;
        let until = Instant::now() + Duration::from_secs(15);
        let mut scope = shanty_rt::task::Scope::new();
        let (done, mut counts) = tokio::sync::mpsc::channel(8);
        for writer in 1..=4 {
            let (database, done) = (source.clone(), done.clone());
            scope.spawn("writer", async move {
                let written = write_late(database, writer, until).await;
                done.send(written).await.expect("the test listens");
            });
        }
        drop(done);
        let (mut runs, mut moved) = (0, 0);
        while Instant::now() < until {
            moved += yard.syncs(&incremental(from, to)).await.rows;
            runs += 1;
        }
        let mut written = 0;
        while let Some(count) = counts.recv().await {
            written += count;
        }
        let ahead = target.count("t").await;
        yard.syncs(&incremental(from, to)).await;
        eprintln!(
            "{from} to {to}: {written} rows by late writers, {runs} runs moved {moved}, {ahead} before the last"
        );
        assert!(runs >= 4 && ahead > 0, "runs went on meanwhile: {runs}, {ahead}");
        assert_eq!(source.count("t").await, written);
        assert_eq!(
            fingerprint(target, "t", &CHANGING).await,
            fingerprint(source, "t", &CHANGING).await,
            "{from} to {to}"
        );
    }
}

#[tokio::test]
async fn the_throttle_holds_and_is_lifted_while_the_run_goes_on() {
    let Some(yard) = Yard::start(2).await else { return };
    let orders = Orders::keyed("orders");
    orders.make(yard.db("pg_a"), 200_000).await;
    let client = yard.client();
    let limit = json!({ "throttle": { "rows_per_second": 4000 } });
    let run = start(&client, &with(table("pg_a", "pg_b", "orders"), limit)).await;
    has_written(&client, &run.name, 1).await;
    let (began, first) = (Instant::now(), rows(&client.run(&run.name).await.expect("the run")));
    has_written(&client, &run.name, first + 24_000).await;
    let (took, last) = (began.elapsed(), rows(&client.run(&run.name).await.expect("the run")));
    // Six seconds seem to be five, since the first figure may be a second old; and a page or two may be read ahead.
    let rate = f64::from(i32::try_from(last - first).unwrap()) / took.as_secs_f64();
    assert!(rate < 6000.0, "{rate:.0} rows/s over {took:?}");
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    let lifted = Instant::now();
    let run = ended(&client, &run.name, PATIENCE).await;
    assert_eq!(run.state(), v1::run::State::Succeeded, "{}", run.state_reason);
    assert!(
        lifted.elapsed() < Duration::from_secs(20),
        "40 s were left at the old rate: {:?}",
        lifted.elapsed()
    );
    assert_eq!(orders.print(yard.db("pg_b")).await, orders.print(yard.db("pg_a")).await);
}

#[tokio::test]
async fn progress_counts_committed_rows_and_never_goes_back() {
    let Some(mut yard) = Yard::start(3).await else { return };
    let orders = Orders::keyed("orders");
    orders.make(yard.db("my_a"), 200_000).await;
    let client = yard.client();
    let limit = json!({ "throttle": { "rows_per_second": 20_000 }, "page_rows": 1000, "verify": "COUNT" });
    let request = run_and_watch(&with(table("my_a", "pg_b", "orders"), limit));
    let mut stream = client.runs.clone().run_and_watch(request).await.expect("accepted").into_inner();
    let (mut most, mut seen, mut killed, mut phases, mut name) = (0, 0, false, Vec::new(), String::new());
    let mut done = None;
    while let Some(event) = stream.message().await.expect("the stream") {
        match event.event {
            Some(Event::Snapshot(run)) => name = run.name,
            Some(Event::Progress(progress)) => {
                let Some(v1::progress::Kind::DbSync(sync)) = progress.kind else { panic!("{progress:?}") };
                let rows = sync.rows.unwrap_or(0);
                assert!(rows >= most, "{rows} after {most}");
                assert!(sync.bytes.unwrap_or(0) >= rows, "{sync:?}");
                (most, seen) = (rows, seen + 1);
                if phases.last() != Some(&sync.phase) {
                    phases.push(sync.phase.clone());
                }
                if let Some(fraction) = progress.fraction {
                    assert!((0.0..=1.0).contains(&fraction), "{fraction}");
                }
                if rows > 40_000 && !killed {
                    killed = true;
                    yard.cluster.workers[1].process.kill9();
                    yard.cluster.restart_worker(1);
                }
            }
            Some(Event::Done(end)) => done = Some(end),
            _ => {}
        }
    }
    let run = done.and_then(|done| done.run).expect("the stream ends with done");
    assert_eq!((run.state(), &run.name), (v1::run::State::Succeeded, &name), "{}", run.state_reason);
    assert!(killed && seen >= 10, "{seen} events of progress");
    assert!(phases.iter().any(|phase| phase == "copying"), "{phases:?}");
    let report = client.sync_report(&run.name).await.expect("a report");
    assert_eq!((report.rows, report.rows >= most), (200_000, true));
    assert_eq!(orders.print(yard.db("pg_b")).await, orders.print(yard.db("my_a")).await);
}

#[tokio::test]
async fn the_call_of_the_manual_works_as_written() {
    use shanty_tests::{cluster::Cluster, cluster::binary, dataset::Servers};
    let Some(servers) = Servers::start().await else { return };
    let databases = vec![
        ("shop_mysql".to_owned(), servers.database(Engine::MariaDb, "shop")),
        ("dw_pg".to_owned(), servers.database(Engine::Postgres, "dw")),
    ];
    let yard = Yard::open(servers, databases, &[], Cluster::builder().workers(2)).await;
    let orders = Orders::keyed("orders");
    orders.make(yard.db("shop_mysql"), 3000).await;
    let body = r#"{"spec":{"db_sync":{"source":{"connection":"shop_mysql","table":"orders"},"target":{"connection":"dw_pg","table":"orders"},"verify":"CHECKSUM"}}}"#;
    // As grpcurl does it: the method and its messages are learned from the server by reflection.
    let said = tokio::process::Command::new(binary::shanty())
        .args(["call", "shanty.v1.RunService/RunAndWatch", "-d", body])
        .env("SHANTY_ADDR", &yard.cluster.masters[0].address)
        .output()
        .await
        .expect("the program");
    let words = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{words}\n{}", String::from_utf8_lossy(&said.stderr));
    assert!(words.contains("\"done\"") && words.contains("SUCCEEDED"), "{words}");
    assert_eq!(orders.print(yard.db("dw_pg")).await, orders.print(yard.db("shop_mysql")).await);
}
