//! Errors and their classes, sessions that end, reads that nobody wants to the end.

use super::server::{PASSWORD_IN_URL, USER};
use super::*;
use shanty_sync::db::Comparison;
use std::time::Duration;

async fn refused(url: &str) -> DbError {
    open(&Endpoint::parse(url).unwrap(), false).await.err().unwrap()
}

#[test]
fn a_connection_that_cannot_be_made_says_why_without_the_password() {
    let Some(server) = Server::shared() else { return };
    block_on(async {
        let database = server.database("");
        for (url, class) in [
            (server.url_as(USER, "wrong-password", &database), Class::Denied),
            (server.url_as("nobody", "wrong-password", &database), Class::Denied),
            (server.url_as(USER, PASSWORD_IN_URL, "nowhere"), Class::Missing),
            ("postgres://u:wrong-password@127.0.0.1:1/x".to_owned(), Class::Lost),
            (format!("{}?sslmode=require", server.url_of(&database)), Class::Other),
            ("postgres://u:wrong-password@h/x?sslmode=sideways".to_owned(), Class::Other),
        ] {
            let error = refused(&url).await;
            assert_eq!(error.class, class, "{error}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("wrong-password") && !said.contains("s3cr"), "{said}");
        }
    });
}

#[test]
fn errors_have_classes() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute("CREATE TABLE t (id int PRIMARY KEY, n smallint NOT NULL, v varchar(3), f int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
            .await
            .unwrap();
        let table = described(&mut it, "t").await;
        let plan = load_of(&table, OnDuplicate::Fail);
        for (row, code, words) in [
            (["1", "99999", "a", "-"], "22003", "COPY t, line 1, column n"),
            (["1", "1", "long", "-"], "22001", "COPY t, line 1, column v"),
            (["1", "-", "a", "-"], "23502", "n"),
            (["x", "1", "a", "-"], "22P02", "COPY t, line 1, column id"),
            (["1", "1", "a\0", "-"], "22021", "COPY t, line 1"),
            // Only the commit finds out.
            (["1", "1", "a", "7"], "23503", "Key (f)=(7)"),
        ] {
            let payload = encoded(it.as_ref(), &table.columns, &cells(&[&row]));
            let error = load(&mut it, &plan, Rows::Encoded(&payload), 1).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (Class::Row, code), "{error}");
            assert!(error.message.contains(words), "{error}");
            assert_eq!(it.query("SELECT count(*) FROM t").await.unwrap(), [[Some("0".to_owned())]]);
        }
        for (sql, class) in [
            ("SELECT * FROM nowhere", Class::Missing),
            ("SELECT nothing FROM t", Class::Missing),
            ("SELECT * FROM nowhere.t", Class::Missing),
            ("SELEC", Class::Other),
            ("SELECT 1 / 0", Class::Row),
        ] {
            assert_eq!(it.query(sql).await.unwrap_err().class, class, "{sql}");
        }
        assert_eq!(it.execute("SELECT '\0'").await.unwrap_err().class, Class::Row);
        let mut reader = connect(&url, true).await;
        assert_eq!(reader.execute("DELETE FROM t").await.unwrap_err().code, "25006");
        assert_eq!(
            it.load(&plan, Rows::Encoded(b""), 0).await.unwrap_err().class,
            Class::Other,
            "no transaction"
        );
    });
}

#[test]
fn deadlocks_and_locks_that_are_not_given_are_busy() {
    with_database(|url| async move {
        let mut one = connect(&url, false).await;
        let mut other = connect(&url, false).await;
        one.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0)")
            .await
            .unwrap();
        one.begin().await.unwrap();
        one.execute("UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
        other.begin().await.unwrap();
        let error = other.execute("UPDATE t SET v = 2 WHERE id = 1").await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (Class::Busy, "55P03"));
        other.rollback().await.unwrap();

        other.begin().await.unwrap();
        other.execute("UPDATE t SET v = 2 WHERE id = 2").await.unwrap();
        let (first, second) = tokio::join!(
            one.execute("UPDATE t SET v = 1 WHERE id = 2"),
            other.execute("UPDATE t SET v = 2 WHERE id = 1")
        );
        let errors: Vec<DbError> = [first, second].into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].class, errors[0].code.as_str()), (Class::Busy, "40P01"));
    });
}

#[test]
fn another_session_can_be_ended_and_only_that_one() {
    with_database(|url| async move {
        let mut one = connect(&url, false).await;
        let mut other = connect(&url, false).await;
        other.execute("CREATE TABLE t (id int)").await.unwrap();
        other.begin().await.unwrap();
        other.execute("LOCK TABLE t").await.unwrap();
        let backend = other.backend().unwrap();
        let process = backend.split_once('.').unwrap().0;
        // The number of a process alone is not enough: it may be somebody else's by then.
        let stranger = one.dialect().kill(&format!("{process}.5")).unwrap();
        assert!(one.query(&stranger).await.unwrap().is_empty());
        other.execute("INSERT INTO t VALUES (1)").await.unwrap();
        let kill = one.dialect().kill(&backend).unwrap();
        assert_eq!(one.query(&kill).await.unwrap(), [[Some("t".to_owned())]]);
        let error = other.execute("INSERT INTO t VALUES (2)").await.unwrap_err();
        assert_eq!(error.class, Class::Lost, "{error}");
        assert_eq!(other.commit(true).await.unwrap_err().class, Class::Lost);
        assert_eq!(other.query("SELECT 1").await.unwrap_err().class, Class::Lost);
        assert_eq!(one.query("SELECT count(*) FROM t").await.unwrap(), [[Some("0".to_owned())]]);

        // In the middle of a load, and of a read.
        let mut other = connect(&url, false).await;
        let table = described(&mut other, "t").await;
        other.begin().await.unwrap();
        let kill = one.dialect().kill(&other.backend().unwrap()).unwrap();
        one.query(&kill).await.unwrap();
        let payload = b"1\n".repeat(1_000_000);
        let plan = load_of(&table, OnDuplicate::Fail);
        assert_eq!(
            other.load(&plan, Rows::Encoded(&payload), 1_000_000).await.unwrap_err().class,
            Class::Lost
        );
        let mut reader = connect(&url, true).await;
        let kill = one.dialect().kill(&reader.backend().unwrap()).unwrap();
        let columns = &table.columns;
        let select = Select { sql: "SELECT generate_series(1, 1000000000)", columns, raw: false };
        let mut kept = Ender { seen: 0 };
        let (read, _) = tokio::join!(reader.read(select, &mut kept), async {
            tokio::time::timeout(Duration::from_secs(60), one.query(&kill)).await.unwrap().unwrap()
        });
        assert_eq!(read.unwrap_err().class, Class::Lost);
    });
}

/// Takes any number of rows.
struct Ender {
    seen: u64,
}

impl RowSink for Ender {
    fn cell(&mut self, _value: Option<&[u8]>) {}
    fn end_row(&mut self) -> ControlFlow<()> {
        self.seen += 1;
        ControlFlow::Continue(())
    }
    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn a_read_that_is_broken_off_or_fails_half_way_leaves_the_session_usable() {
    with_database(|url| async move {
        let mut it = connect(&url, true).await;
        let mut writer = connect(&url, false).await;
        writer.execute("CREATE TABLE t (id int)").await.unwrap();
        let columns = described(&mut it, "t").await.columns;
        for raw in [false, true] {
            for rows in [10, 100_000_000] {
                let sql = format!("SELECT generate_series(1, {rows})");
                let mut kept = Kept { most: 3, ..Kept::new() };
                it.read(Select { sql: &sql, columns: &columns, raw }, &mut kept).await.unwrap();
                assert_eq!(kept.rows.len() + kept.raw.len(), 3);
                assert_eq!(it.query("SELECT 1").await.unwrap(), [[Some("1".to_owned())]]);
            }
            let sql = "SELECT 10 / (5 - n)::int FROM generate_series(1, 9) n";
            let mut kept = Kept::new();
            let error = it.read(Select { sql, columns: &columns, raw }, &mut kept).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (Class::Row, "22012"));
            assert_eq!(it.query("SELECT 1").await.unwrap(), [[Some("1".to_owned())]]);
        }
        // In a transaction the session stays, and the rest is thrown away.
        it.begin().await.unwrap();
        let backend = it.backend();
        let sql = "SELECT generate_series(1, 3000000)";
        let mut kept = Kept { most: 3, ..Kept::new() };
        it.read(Select { sql, columns: &columns, raw: false }, &mut kept).await.unwrap();
        assert_eq!(it.query("SELECT 1").await.unwrap(), [[Some("1".to_owned())]]);
        it.commit(false).await.unwrap();
        assert_eq!(it.backend(), backend);
        // A query that is refused fails the transaction, as the server would have it.
        it.begin().await.unwrap();
        let select = Select { sql: "SELECT id FROM nowhere", columns: &columns, raw: true };
        assert_eq!(it.read(select, &mut Kept::new()).await.unwrap_err().class, Class::Missing);
        assert!(it.query("SELECT 1").await.is_err());
        it.rollback().await.unwrap();
        assert_eq!(it.query("SELECT 1").await.unwrap(), [[Some("1".to_owned())]]);
    });
}

#[test]
fn composite_keys_are_compared_as_the_server_orders_them() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        let dialect = it.dialect();
        it.execute(
            "CREATE TYPE mood AS ENUM ('zeal', 'anger');
             CREATE TABLE t (a text COLLATE \"en-x-icu\", m mood, n numeric, y bytea, PRIMARY KEY (a, m, n, y));
             INSERT INTO t SELECT a, m::mood, n::numeric, decode(y, 'hex')
             FROM unnest(ARRAY['a', 'A', 'á', 'ß', 'ss', 'b', 'a b', 'ab', '', 'Z', 'a''\\', '\u{1f980}']) a,
             unnest(ARRAY['zeal', 'anger']) m, unnest(ARRAY['-1', '10', '9', 'NaN']) n, unnest(ARRAY['', '00', 'ff', '5c']) y",
        )
        .await
        .unwrap();
        let table = described(&mut it, "t").await;
        let columns: Vec<&Column> =
            table.primary_key.iter().map(|name| table.column(name).unwrap()).collect();
        let exprs: Vec<String> = columns.iter().map(|column| dialect.key_expr(column).unwrap()).collect();
        let shown: Vec<String> = columns.iter().map(|column| dialect.key_select(column)).collect();
        let ordered = it
            .query(&format!("SELECT {} FROM t ORDER BY {}", shown.join(", "), exprs.join(", ")))
            .await
            .unwrap();
        assert_eq!(ordered.len(), 12 * 2 * 4 * 4);
        for (place, row) in ordered.iter().enumerate().step_by(7) {
            let key: Vec<(String, String)> = columns
                .iter()
                .zip(&exprs)
                .zip(row)
                .map(|((column, expr), value)| {
                    (expr.clone(), dialect.literal(column, value.as_deref().unwrap()))
                })
                .collect();
            for (comparison, expected) in [
                (Comparison::After, &ordered[place + 1..]),
                (Comparison::From, &ordered[place..]),
                (Comparison::UpTo, &ordered[..=place]),
                (Comparison::Equal, &ordered[place..=place]),
            ] {
                let filters = [dialect.compare(&key, comparison)];
                let sql = dialect.select(&SelectParts {
                    table: &table.name,
                    exprs: &shown,
                    filters: &filters,
                    order: &exprs,
                    direction: shanty_sync::db::Order::Up,
                    limit: None,
                    offset: 0,
                    keyset: true,
                });
                assert_eq!(it.query(&sql).await.unwrap(), expected, "{comparison:?} {row:?}");
            }
        }
        // From the index, not from a scan and a sort.
        it.execute(
            "INSERT INTO t SELECT n::text, 'zeal', 0, '' FROM generate_series(100, 20000) n; ANALYZE t",
        )
        .await
        .unwrap();
        let key: Vec<(String, String)> = ["500", "zeal", "0", ""]
            .iter()
            .zip(columns.iter().zip(&exprs))
            .map(|(value, (column, expr))| (expr.clone(), dialect.literal(column, value)))
            .collect();
        let filters = [dialect.compare(&key, Comparison::After)];
        let page = dialect.select(&SelectParts {
            table: &table.name,
            exprs: &shown,
            filters: &filters,
            order: &exprs,
            direction: shanty_sync::db::Order::Up,
            limit: Some(10),
            offset: 0,
            keyset: true,
        });
        let plan = it.query(&format!("EXPLAIN {page}")).await.unwrap();
        let plan: Vec<String> = plan.into_iter().flatten().flatten().collect();
        assert!(plan.iter().any(|line| line.contains("Index Cond: (ROW(")), "{plan:?}");
    });
}
