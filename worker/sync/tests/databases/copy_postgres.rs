//! Whole syncs from PostgreSQL to PostgreSQL, by one worker without a master.
//!
//! In: a PostgreSQL of the test's own. Never: a master, a second worker.

use crate::support::alone::Alone;
use crate::support::postgres_server::Server;
use shanty_model::kind::db_sync::{OnExisting, Report, Source, Spec, Target};
use shanty_sync::db::{Connection, Endpoint, open};

fn with_databases<F: Future<Output = ()>>(test: impl FnOnce(String, String) -> F) {
    let Some(server) = Server::shared() else { return };
    let (from, to) = (server.url(), server.url());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(from, to));
}

async fn connect(url: &str) -> Box<dyn Connection> {
    open(&Endpoint::parse(url).unwrap(), false).await.unwrap()
}

async fn fill(connection: &mut dyn Connection, statements: &[&str]) {
    for sql in statements {
        connection.execute(sql).await.unwrap();
    }
}

fn spec(table: &str) -> Spec {
    Spec {
        source: Source { connection: "source".into(), table: table.into(), ..Source::default() },
        target: Target { connection: "target".into(), ..Target::default() },
        ..Spec::default()
    }
}

async fn content(connection: &mut dyn Connection, table: &str) -> Vec<Vec<Option<String>>> {
    let sql = format!("SELECT count(*)::text, sum(hashtextextended(t::text, 0))::text FROM {table} AS t");
    connection.query(&sql).await.unwrap()
}

async fn copied(from: &str, to: &str, spec: &Spec, table: &str) -> Report {
    let report = Alone::new(from, to).run(spec).await.unwrap();
    let (mut source, mut target) = (connect(from).await, connect(to).await);
    assert_eq!(content(source.as_mut(), table).await, content(target.as_mut(), table).await);
    let left = target.query("SELECT count(*)::text FROM shanty_sync_shard").await.unwrap();
    assert_eq!(left[0][0].as_deref(), Some("0"), "the state of the sync is left");
    report
}

#[test]
fn a_table_is_created_copied_and_indexed() {
    with_databases(async |from, to| {
        let mut source = connect(&from).await;
        let made = [
            "CREATE TABLE orders (id bigint PRIMARY KEY, who text, total numeric(10,2), at timestamp, raw bytea)",
            "INSERT INTO orders SELECT i, 'name ' || i || E'\\t\\n\\\\', i / 7.0, \
             timestamp '2024-01-01' + i * interval '1 second', decode(md5(i::text), 'hex') \
             FROM generate_series(-100000, 100000) AS i",
            "CREATE INDEX ON orders (who)",
            "ANALYZE orders",
        ];
        fill(source.as_mut(), &made).await;
        let report = copied(&from, &to, &Spec { page_rows: 7_000, ..spec("orders") }, "orders").await;
        assert_eq!(report.rows, 200_001);
        assert!(report.tables[0].shards > 1, "{report:?}");
        assert!(report.tables[0].facts.created);
        let mut target = connect(&to).await;
        let indexes =
            target.query("SELECT count(*)::text FROM pg_indexes WHERE tablename = 'orders'").await.unwrap();
        assert_eq!(indexes[0][0].as_deref(), Some("2"));
        // Once more: the target holds rows.
        let again = Alone::new(&from, &to).run(&spec("orders")).await.unwrap_err();
        assert!(again.contains("on_existing") && again.contains("TRUNCATE"), "{again}");
        let truncate = Spec { on_existing: OnExisting::Truncate, ..spec("orders") };
        copied(&from, &to, &truncate, "orders").await;
        let upsert = Spec { on_existing: OnExisting::Upsert, ..spec("orders") };
        copied(&from, &to, &upsert, "orders").await;
    });
}

#[test]
fn a_table_without_a_key_is_copied_in_one_transaction() {
    with_databases(async |from, to| {
        let mut source = connect(&from).await;
        let made = [
            "CREATE TABLE log (line text, n int)",
            "INSERT INTO log SELECT 'same', i % 3 FROM generate_series(1, 50000) AS i",
        ];
        fill(source.as_mut(), &made).await;
        let small = Spec { page_bytes: 65_536, ..spec("log") };
        assert_eq!(copied(&from, &to, &small, "log").await.rows, 50_000);
    });
}

#[test]
fn nothing_is_written_when_a_check_fails() {
    with_databases(async |from, to| {
        let mut source = connect(&from).await;
        fill(source.as_mut(), &["CREATE TABLE customers (id int PRIMARY KEY)"]).await;
        for (spec, field, words) in [
            (spec("custmers"), "source.table", "customers"),
            (Spec { key: vec!["nr".into()], ..spec("customers") }, "key[0]", "nr"),
            (Spec { create_table: Some(false), ..spec("customers") }, "target.table", "create"),
        ] {
            let error = Alone::new(&from, &to).run(&spec).await.unwrap_err();
            assert!(error.contains(field) && error.contains(words), "{error}");
        }
        let same = Alone::new(&from, &from).run(&spec("customers")).await.unwrap_err();
        assert!(same.contains("itself"), "{same}");
        let mut target = connect(&to).await;
        assert!(target.tables(None).await.unwrap().is_empty());
        let state = target.query("SELECT to_regclass('shanty_sync_shard')::text").await.unwrap();
        assert_eq!(state[0][0], None, "state was made although a check failed");
    });
}
