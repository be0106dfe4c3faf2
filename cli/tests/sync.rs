//! Syncs as a person meets them, on a real cluster of one process: connections, copies, the import from goshift.
#![expect(clippy::unwrap_used, reason = "what a test needs fails it by panicking")]

mod support;

use shanty_sync::db::{self, Endpoint};
use std::path::Path;
use support::dev::{Running, dev};
use support::shanty;

/// Runs statements on a file; answers the rows of the last one.
async fn sql(file: &Path, statements: &[&str]) -> Vec<Vec<Option<String>>> {
    let endpoint = Endpoint::parse(&format!("sqlite://{}", file.display())).unwrap();
    let mut connection = db::open(&endpoint, false).await.unwrap();
    let (last, before) = statements.split_last().unwrap();
    for statement in before {
        connection.execute(statement).await.unwrap();
    }
    let rows = connection.query(last).await.unwrap();
    connection.close().await;
    rows
}

async fn one(file: &Path, query: &str) -> String {
    sql(file, &[query]).await.remove(0).remove(0).unwrap_or_default()
}

/// A file with a table of `rows` articles.
async fn articles(file: &Path, rows: u32) {
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO articles SELECT i, 'title ' || i, i * 7 FROM n"
    );
    let table = "CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT NOT NULL, words INTEGER)";
    sql(file, &[table, &fill, "SELECT 1"]).await;
}

/// A cluster whose workers know `blog` and `copy`, and two that do not work.
async fn cluster(folder: &Path) -> Running {
    let url = |name: &str, file: &str| format!("{name}=sqlite://{}", folder.join(file).display());
    let (blog, copy) = (url("blog_main", "blog.db"), url("blog_copy", "copy.db"));
    let flags = [
        "--connection",
        &blog,
        "--connection",
        &copy,
        "--connection",
        "no_secret=mysql://etl:${SHANTY_TEST_UNSET}@127.0.0.1:1/x",
        "--connection",
        "nobody=mysql://etl:hunter2@127.0.0.1:1/x",
    ];
    dev(&folder.join("data"), "2", &flags).await
}

#[tokio::test]
async fn connections_are_listed_tried_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    articles(&folder.path().join("blog.db"), 10).await;
    let cluster = cluster(folder.path()).await;
    let list = cluster.shanty(&["connection", "list"]).await;
    assert_eq!(list.code, 0, "{list:?}");
    for name in ["blog_main", "blog_copy", "no_secret", "nobody"] {
        assert!(
            list.out.lines().any(|line| line.starts_with(name) && line.contains("w1, w2")),
            "{}",
            list.out
        );
    }
    let good = cluster.shanty(&["connection", "check", "blog_main"]).await;
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.contains("SQLite") && good.out.matches("blog.db").count() == 2, "{}", good.out);
    let one = cluster.shanty(&["connection", "check", "blog_main", "--node", "w2", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!((&json["checks"][0]["node"], &json["checks"][0]["ok"]), (&"nodes/w2".into(), &true.into()));
    let missing = cluster.shanty(&["connection", "check", "no_secret"]).await;
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(
        missing.out.contains("SHANTY_TEST_UNSET") && missing.out.contains("`no_secret`"),
        "{}",
        missing.out
    );
    let nobody = cluster.shanty(&["connection", "check", "nobody"]).await;
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(
        nobody.out.contains("mysql://127.0.0.1:1/x") && nobody.out.contains("server runs"),
        "{}",
        nobody.out
    );
    assert!(![&nobody.out, &nobody.err, &list.out].iter().any(|text| text.contains("hunter2")));
    let unknown = cluster.shanty(&["connection", "check", "blog_mian"]).await;
    assert_eq!(unknown.code, 64 + 5, "{unknown:?}");
    assert!(unknown.err.contains("did you mean blog_main"), "{}", unknown.err);
    assert!(unknown.err.contains("shanty connection list"), "{}", unknown.err);
    let elsewhere = cluster.shanty(&["connection", "check", "blog_main", "--node", "w9"]).await;
    assert_eq!(elsewhere.code, 64 + 5, "{elsewhere:?}");
    assert_eq!(cluster.interrupt().await, Some(0));
}

#[tokio::test]
async fn a_sync_from_flags_is_watched_compared_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    articles(&folder.path().join("blog.db"), 5000).await;
    let cluster = cluster(folder.path()).await;
    let start =
        ["run", "start", "sync", "--source=blog_main:articles", "--target=blog_copy", "--verify=checksum"];
    let ran = cluster.shanty(&start).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["✓ SUCCEEDED", "EQUAL", "5,000 rows", "articles", "read back", "created"] {
        assert!(ran.out.contains(part), "{part} is missing in\n{}", ran.out);
    }
    assert_eq!(one(&folder.path().join("copy.db"), "SELECT sum(words) FROM articles").await, "87517500");
    let list = cluster.shanty(&["run", "list"]).await;
    assert!(list.out.contains("sync blog_main.articles → blog_copy.articles"), "{}", list.out);
    // A target that holds rows is left alone, and the reason is told.
    let again = cluster.shanty(&start).await;
    assert_eq!(again.code, 3, "{again:?}");
    assert!(again.out.contains("FAILED") && again.out.contains("on_existing"), "{}", again.out);
    // Another spec that cannot be: all fields at once, and nothing is started.
    let wrong =
        cluster.shanty(&["run", "start", "--source=blog_main:articles", "--target=B", "--workers=900"]).await;
    assert_eq!(wrong.code, 64 + 3, "{wrong:?}");
    assert!(wrong.err.contains("target.connection") && wrong.err.contains("workers"), "{}", wrong.err);
    assert_eq!(cluster.interrupt().await, Some(0));
}

/// goshift's configuration and task table with these rows; answers the task database.
async fn goshift(folder: &Path, rows: &[&str]) -> std::path::PathBuf {
    let tasks = folder.join("tasks.db");
    let database = |file: &str| format!(r#"{{"db":"{}"}}"#, folder.join(file).display());
    let global = format!(
        r#"{{"from":{{"sqlite":{{"blog_main":{}}}}},"to":{{"sqlite":{{"blog_copy":{}}}}}}}"#,
        database("blog.db"),
        database("copy.db")
    );
    std::fs::write(folder.join("db_global.json"), global).unwrap();
    let own =
        format!(r#"{{"task_meta":{{"type":"sqlite","db":"{}"}},"log":{{"log_path":"."}}}}"#, tasks.display());
    std::fs::write(folder.join("local.json"), own).unwrap();
    let table = "CREATE TABLE task_def_sync_manager (id INTEGER PRIMARY KEY, from_app TEXT, from_db_type TEXT, \
                 from_db TEXT, from_table TEXT, to_app TEXT, to_db_type TEXT, to_db TEXT, to_table TEXT, params TEXT, \
                 online_status INTEGER, task_desc TEXT, task_status TEXT, owner TEXT)";
    let rows: Vec<String> =
        rows.iter().map(|row| format!("INSERT INTO task_def_sync_manager VALUES ({row})")).collect();
    let mut statements = vec![table];
    statements.extend(rows.iter().map(String::as_str));
    statements.push("SELECT 1");
    sql(&tasks, &statements).await;
    tasks
}

const GOOD: &str = r#"5, 'blog', 'sqlite', 'main', 'articles', 'blog', 'sqlite', 'copy', 'articles2',
    '{"pk":{"src":"id","dest":"id"},"worker_num":4,"read_batch":500,"write_batch":500}', 1, '文章', '1', 'ann'"#;
const OFFLINE: &str = r#"6, 'blog', 'sqlite', 'main', 'articles', 'blog', 'sqlite', 'copy', 'articles3', '{}', 0, '', '1', 'ann'"#;
const TRINO: &str = r#"7, 'dw', 'trino', 'ods', 't', 'blog', 'sqlite', 'copy', 't', '{"worker_num":0,"partion":{}}', 1, '', '1', ''"#;

#[tokio::test]
async fn tasks_of_goshift_become_jobs_that_run_and_report_back() {
    let folder = tempfile::tempdir().unwrap();
    articles(&folder.path().join("blog.db"), 3000).await;
    let tasks = goshift(folder.path(), &[GOOD, OFFLINE, TRINO]).await;
    let cluster = cluster(folder.path()).await;
    let dir = folder.path().display().to_string();
    let import = |more: &[&'static str]| {
        let words: Vec<String> = ["import", "goshift", "-c", &dir]
            .into_iter()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect();
        words
    };
    let run = async |more: &[&'static str]| {
        let words = import(more);
        cluster.shanty(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let status = async |id: &str| {
        one(&tasks, &format!("SELECT task_status FROM task_def_sync_manager WHERE id = {id}")).await
    };
    // One bad row: everything about it at once, and no job at all.
    let bad = run(&[]).await;
    assert_eq!(bad.code, 2, "{bad:?}");
    for part in
        ["task 7: from_db_type", "`trino` cannot be read", "task 7: params.worker_num", "params.partion"]
    {
        assert!(bad.err.contains(part), "{part} is missing in\n{}", bad.err);
    }
    assert!(cluster.shanty(&["job", "list"]).await.out.contains("no jobs"));
    // A look at the others.
    let dry = run(&["--id", "5", "--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(
        dry.err.contains("would make goshift-5: sync blog_main.articles → blog_copy.articles2"),
        "{}",
        dry.err
    );
    assert!(dry.out.contains("[worker.connections.blog_main]") && dry.out.contains("blog.db"), "{}", dry.out);
    assert!(cluster.shanty(&["job", "list"]).await.out.contains("no jobs"));
    assert_eq!(run(&["--id", "99"]).await.code, 2);
    // Made and run.
    let made = run(&["--id", "5", "--id", "6", "--run"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    for part in [
        "task 6: left out: online_status is 0",
        "made goshift-5",
        "executedJobs:",
        ",status:4",
        "from [blog.main.articles]sqlite reader sync to [blog.copy.articles2] sqlite writer  totalSyncNum 3000",
    ] {
        assert!(made.err.contains(part), "{part} is missing in\n{}", made.err);
    }
    assert_eq!((status("5").await, status("6").await), ("4".to_owned(), "1".to_owned()));
    assert_eq!(one(&folder.path().join("copy.db"), "SELECT count(*) FROM articles2").await, "3000");
    let job = cluster.shanty(&["job", "get", "goshift-5", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&job.out).unwrap();
    assert_eq!((&json["title"], &json["labels"]["owner"]), (&"文章".into(), &"ann".into()));
    assert_eq!(json["spec"]["dbSync"]["workers"], 4);
    // Again: the job is there; replaced, it meets a target that holds rows, and goshift is told that too.
    let there = run(&["--id", "5"]).await;
    assert_eq!(there.code, 2, "{there:?}");
    assert!(there.err.contains("--update replaces it"), "{}", there.err);
    let failed = run(&["--id", "5", "--update", "--run"]).await;
    assert_eq!(failed.code, 3, "{failed:?}");
    assert_eq!(status("5").await, "5");
    let replaced = run(&["--id", "5", "--update", "--run", "--on-existing", "truncate"]).await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(status("5").await, "4");
    assert_eq!(cluster.interrupt().await, Some(0));
}

#[tokio::test]
async fn the_connections_file_is_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    goshift(folder.path(), &[GOOD]).await;
    let dir = folder.path().display().to_string();
    let file = folder.path().join("connections.toml");
    let path = file.display().to_string();
    std::fs::write(&file, "mine").unwrap();
    let ran =
        shanty(&["import", "goshift", "-c", &dir, "--connections-file", &path, "--addr", "127.0.0.1:1"], "")
            .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    std::fs::remove_file(&file).unwrap();
    let cluster = cluster(folder.path()).await;
    let ran = cluster.shanty(&["import", "goshift", "-c", &dir, "--connections-file", &path]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let toml = std::fs::read_to_string(&file).unwrap();
    assert!(toml.contains("[worker.connections.blog_copy]\nurl = \"sqlite:///"), "{toml}");
    assert_eq!(cluster.interrupt().await, Some(0));
}
