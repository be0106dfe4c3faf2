//! Bad input to syncs: one clear error before any row is written, naming the field and what helps.
//!
//! In: tables, accounts and specs with one thing wrong each. Out: the words of the refusal, and a target without rows.

use serde_json::{Value, json};
use shanty_tests::cluster::Cluster;
use shanty_tests::dataset::{Database, Engine, Servers};
use shanty_tests::sync::{PATIENCE, Yard, ended, start, table, with};
use tonic_types::StatusExt as _;

/// An account with other rights than the database's owner.
fn as_account(database: &Database, account: &str, password: &str) -> String {
    let (scheme, rest) = database.url.split_once("://").expect("a scheme");
    let (_, place) = rest.rsplit_once('@').expect("an account");
    format!("{scheme}://{account}:{password}@{place}")
}

struct Wrong {
    name: &'static str,
    spec: Value,
    words: Vec<&'static str>,
    /// A table of a target that must hold so many rows.
    untouched: Option<(&'static str, &'static str, u64)>,
}

fn wrong(name: &'static str, spec: Value, words: &[&'static str]) -> Wrong {
    Wrong { name, spec, words: words.to_vec(), untouched: None }
}

impl Wrong {
    fn leaving(mut self, connection: &'static str, table: &'static str, rows: u64) -> Wrong {
        self.untouched = Some((connection, table, rows));
        self
    }
}

#[tokio::test]
async fn each_wrong_thing_is_one_clear_error_before_any_row() {
    let Some(servers) = Servers::start().await else { return };
    let databases = Yard::pairs(&servers);
    let db = |name: &str| databases.iter().find(|(other, _)| other == name).expect("one").1.clone();
    let (my_a, my_b, pg_a, pg_b) = (db("my_a"), db("my_b"), db("pg_a"), db("pg_b"));
    my_a.run(&[
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=InnoDB",
        "INSERT INTO t SELECT seq, CONCAT('v', seq), seq FROM seq_1_to_300",
        "CREATE TABLE keyless (v INT) ENGINE=InnoDB",
        "INSERT INTO keyless VALUES (1)",
        "CREATE USER 'reader'@'127.0.0.1' IDENTIFIED BY 'pw'",
        "CREATE USER 'nobody'@'127.0.0.1' IDENTIFIED BY 'pw'",
    ])
    .await;
    let grant = "SELECT CONCAT('GRANT SELECT ON `', DATABASE(), '`.* TO ''reader''@''127.0.0.1''')";
    let (source_grant, target_grant) = (my_a.one(grant).await, my_b.one(grant).await);
    my_a.run(&[source_grant, target_grant]).await;
    my_b.run(&[
        "CREATE TABLE aria (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=Aria",
        "CREATE TABLE myisam (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=MyISAM",
        "CREATE TABLE triggered (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=InnoDB",
        "CREATE TRIGGER change_it BEFORE INSERT ON triggered FOR EACH ROW SET NEW.v = 'x'",
        "CREATE TABLE readable (id INT PRIMARY KEY, v VARCHAR(20), w INT) ENGINE=InnoDB",
    ])
    .await;
    pg_b.run(&[
        "CREATE TABLE triggered (id INT PRIMARY KEY, v TEXT, w INT)",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER drop_it BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION nothing()",
        "CREATE TABLE ruled (id INT PRIMARY KEY, v TEXT, w INT)",
        "CREATE RULE away AS ON INSERT TO ruled DO INSTEAD NOTHING",
        "CREATE TABLE secured (id INT PRIMARY KEY, v TEXT, w INT)",
        "ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE secured FORCE ROW LEVEL SECURITY",
        "CREATE TABLE dated (id INT PRIMARY KEY, v DATE, w BYTEA)",
        "CREATE TABLE demanding (id INT PRIMARY KEY, v TEXT, w INT, more INT NOT NULL)",
        "CREATE TABLE computed (id INT PRIMARY KEY, v TEXT, w INT GENERATED ALWAYS AS (1) STORED)",
        "CREATE TABLE unkeyed (id INT, v TEXT, w INT)",
        "CREATE TABLE full_one (id INT PRIMARY KEY, v TEXT, w INT)",
        "INSERT INTO full_one VALUES (1, 'mine', 1)",
        "CREATE VIEW seen AS SELECT * FROM full_one",
        "CREATE ROLE reader LOGIN PASSWORD 'pw'",
        "CREATE TABLE readable (id INT PRIMARY KEY, v TEXT, w INT)",
        "GRANT SELECT ON readable TO reader",
    ])
    .await;
    pg_a.run(&["CREATE TABLE ranged (id INT PRIMARY KEY, r INT4RANGE)"]).await;
    let closed = shanty_tests::cluster::free_port();
    let more = [
        ("wrong_my", my_a.url.replacen("s3cr", "other", 1)),
        ("wrong_pg", pg_b.url.replacen("s3cr", "other", 1)),
        ("closed_my", format!("mysql://u:secret-word@127.0.0.1:{closed}/d")),
        ("closed_pg", format!("postgres://u:secret-word@127.0.0.1:{closed}/d")),
        (
            "no_database",
            my_a.url.rsplit_once('/').map(|(server, _)| format!("{server}/absent")).expect("a path"),
        ),
        ("unset", "mysql://u:${SHANTY_TEST_UNSET_PASSWORD}@127.0.0.1:1/d".to_owned()),
        ("reader_my", as_account(&my_b, "reader", "pw")),
        ("nobody_my", as_account(&my_a, "nobody", "pw")),
        ("reader_pg", as_account(&pg_b, "reader", "pw")),
        ("no_file", "sqlite:///absent-folder/absent.db".to_owned()),
    ];
    let yard = Yard::open(servers, databases, &more, Cluster::builder().workers(1)).await;

    let to = |connection: &str, name: &str| {
        with(table("my_a", connection, "t"), json!({ "target": { "table": name } }))
    };
    let all = [
        wrong(
            "table",
            table("my_a", "pg_b", "tt"),
            &["source.table", "`my_a`", "does not exist", "near it: t"],
        ),
        wrong(
            "pattern",
            json!({ "source": { "connection": "my_a", "tables": ["zz*"] }, "target": { "connection": "pg_b" } }),
            &["source.tables", "zz*"],
        ),
        wrong(
            "column",
            with(to("pg_b", "n1"), json!({ "columns": [{ "source": "idd" }] })),
            &["columns", "idd", "id"],
        ),
        wrong("key", with(to("pg_b", "n2"), json!({ "key": ["nokey"] })), &["key", "nokey"]),
        wrong("where", with(to("pg_b", "n3"), json!({ "where": "nonsense = 1" })), &["where", "nonsense"]),
        wrong(
            "password of mysql",
            table("wrong_my", "pg_b", "t"),
            &["source.connection", "wrong_my", "password"],
        ),
        wrong("password of postgres", to("wrong_pg", "n4"), &["target.connection", "wrong_pg", "password"]),
        wrong(
            "closed mysql",
            table("closed_my", "pg_b", "t"),
            &["source.connection", "closed_my", "127.0.0.1", "nothing was written"],
        ),
        wrong(
            "closed postgres",
            to("closed_pg", "n5"),
            &["target.connection", "closed_pg", "127.0.0.1", "nothing was written"],
        ),
        wrong(
            "no database",
            table("no_database", "pg_b", "t"),
            &["source.connection", "no_database", "absent"],
        ),
        wrong(
            "unset",
            table("unset", "pg_b", "t"),
            &["source.connection", "unset", "SHANTY_TEST_UNSET_PASSWORD"],
        ),
        wrong("no file", table("no_file", "pg_b", "t"), &["source.connection", "no_file", "absent"]),
        wrong("privilege to write, mysql", to("reader_my", "readable"), &["target", "GRANT"]),
        wrong("privilege to write, postgres", to("reader_pg", "readable"), &["target", "GRANT", "readable"])
            .leaving("pg_b", "readable", 0),
        wrong("privilege to read", table("nobody_my", "pg_b", "t"), &["source", "nobody"]),
        wrong("type", to("pg_b", "dated"), &["columns", "w", "bytea"]).leaving("pg_b", "dated", 0),
        wrong("range type", table("pg_a", "my_b", "ranged"), &["column", "r", "int4range"]),
        wrong("aria", to("my_b", "aria"), &["target.table", "transactions", "InnoDB"])
            .leaving("my_b", "aria", 0),
        wrong("myisam", to("my_b", "myisam"), &["target.table", "InnoDB"]).leaving("my_b", "myisam", 0),
        wrong("itself", table("my_a", "my_a", "t"), &["target.table", "source table itself"])
            .leaving("my_a", "t", 300),
        wrong("trigger, mysql", to("my_b", "triggered"), &["target.table", "trigger", "change_it"]).leaving(
            "my_b",
            "triggered",
            0,
        ),
        wrong("trigger, postgres", to("pg_b", "triggered"), &["target.table", "trigger", "drop_it"]).leaving(
            "pg_b",
            "triggered",
            0,
        ),
        wrong("rule", to("pg_b", "ruled"), &["target.table", "rule"]).leaving("pg_b", "ruled", 0),
        wrong("row security", to("pg_b", "secured"), &["target.table", "row", "security"])
            .leaving("pg_b", "secured", 0),
        wrong("view", to("pg_b", "seen"), &["target.table", "view"]).leaving("pg_b", "full_one", 1),
        wrong("not null", to("pg_b", "demanding"), &["columns", "more", "NULL"]).leaving(
            "pg_b",
            "demanding",
            0,
        ),
        wrong("computed", to("pg_b", "computed"), &["columns", "w", "computed"])
            .leaving("pg_b", "computed", 0),
        wrong("rows there", to("pg_b", "full_one"), &["on_existing", "TRUNCATE", "UPSERT"])
            .leaving("pg_b", "full_one", 1),
        wrong(
            "upsert without a key",
            with(to("pg_b", "unkeyed"), json!({ "on_existing": "UPSERT" })),
            &["key", "unkeyed"],
        )
        .leaving("pg_b", "unkeyed", 0),
        wrong(
            "missing target",
            with(to("pg_b", "n6"), json!({ "create_table": false })),
            &["target.table", "create"],
        ),
        wrong(
            "diff column's type",
            with(to("pg_b", "n7"), json!({ "mode": "INCREMENTAL", "diff_column": { "source": "v" } })),
            &["diff_column", "v"],
        ),
        wrong(
            "diff column",
            with(to("pg_b", "n8"), json!({ "mode": "INCREMENTAL", "diff_column": { "source": "changed" } })),
            &["diff_column", "changed"],
        ),
    ];
    // All at once: a host that does not answer is asked again for a while before the run gives up.
    let client = yard.client();
    let mut runs = Vec::new();
    for case in &all {
        runs.push(start(&client, &case.spec).await.name);
    }
    let mut failed = Vec::new();
    for (case, name) in all.iter().zip(&runs) {
        let run = ended(&client, name, 2 * PATIENCE).await;
        let reason = run.state_reason.clone();
        if run.state() != shanty_proto::v1::run::State::Failed {
            failed.push(format!("{}: {:?} {reason}", case.name, run.state()));
            continue;
        }
        let absent: Vec<&&str> =
            case.words.iter().filter(|word| !reason.to_lowercase().contains(&word.to_lowercase())).collect();
        if !absent.is_empty() {
            failed.push(format!("{}: does not say {absent:?}: {reason}", case.name));
        }
        for secret in ["s3cr", "secret-word", ":pw@"] {
            if reason.contains(secret) {
                failed.push(format!("{}: tells a password: {reason}", case.name));
            }
        }
        if let Some((connection, table, rows)) = case.untouched {
            let there = yard.db(connection).count(table).await;
            if there != rows {
                failed.push(format!("{}: {connection}.{table} holds {there} rows, not {rows}", case.name));
            }
        } else if let Some(name) = case.spec["target"]["table"].as_str()
            && name.starts_with('n')
            && yard.db("pg_b").has(name).await
        {
            failed.push(format!("{}: {name} was created", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} refusals:\n{}", failed.len(), all.len(), failed.join("\n"));
}

#[tokio::test]
async fn what_can_be_told_without_databases_is_told_at_once() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = cluster.client();
    for (spec, fields) in [
        (json!({}), vec!["source", "target"]),
        (
            with(table("a", "b", "t"), json!({ "workers": 1000, "page_bytes": 1, "page_rows": 2_000_000 })),
            vec!["workers", "page_bytes", "page_rows"],
        ),
        (with(table("a", "b", "t"), json!({ "source": { "tables": ["x"] } })), vec!["source.tables"]),
        (with(table("a", "b", "t"), json!({ "mode": "INCREMENTAL" })), vec!["diff_column"]),
        (with(table("a", "b", "t"), json!({ "sweep": true })), vec!["sweep"]),
        (with(table("a", "b", "t"), json!({ "columns": [{ "target": "x" }] })), vec!["columns[0].source"]),
        (
            with(table("a", "b", "t"), json!({ "throttle": { "bytes_per_second": "-1" } })),
            vec!["bytes_per_second"],
        ),
        (with(table("No Name", "b", "t"), json!({})), vec!["source.connection"]),
    ] {
        let status = client.start(&json!({ "spec": { "db_sync": spec } })).await.expect_err("no run");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status} — {spec}");
        let found = status.get_details_bad_request().map(|found| found.field_violations).unwrap_or_default();
        let found: Vec<String> = found.into_iter().map(|violation| violation.field).collect();
        for field in fields {
            assert!(
                found.iter().any(|other| other.contains(field)),
                "{field} is not among {found:?} — {spec}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_no_worker_has_is_named_while_the_run_waits() {
    let Some(servers) = Servers::start().await else { return };
    let databases = vec![("here".to_owned(), servers.database(Engine::Sqlite, "here"))];
    let yard = Yard::open(servers, databases, &[], Cluster::builder().workers(1)).await;
    let client = yard.client();
    let run = start(&client, &table("here", "elsewhere", "t")).await;
    let said = shanty_tests::patience::until("it says why it waits", PATIENCE, async || {
        let request = json!({ "name": run.name, "after_sequence": 0 });
        let mut stream = client.watch(&request).await.map_err(|status| status.to_string())?;
        let mut heard = Vec::new();
        let wait = std::time::Duration::from_secs(1);
        while let Ok(Ok(Some(event))) = tokio::time::timeout(wait, stream.message()).await {
            heard.push(format!("{event:?}"));
        }
        let run = client.run(&run.name).await.map_err(|status| status.to_string())?;
        heard.push(run.state_reason);
        heard.iter().find(|line| line.contains("`elsewhere`")).cloned().ok_or_else(|| heard.join("\n"))
    })
    .await;
    assert!(said.contains("connections"), "{said}");
    client.cancel(&run.name).await.expect("cancelled");
}
