//! A row of goshift's task table as a job.
//!
//! In: a row, the connections, what was asked for. Out: a job, or why there is none.
//! Never: asks anyone.
//! Tests: below.

use super::config::Side;
use super::connections::Connections;
use super::params;
use super::table::Row;
use shanty_proto::v1;
use v1::db_sync_spec::{Mode, OnExisting};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Changed rows only, where a task has a diff_column.
    pub(super) incremental: bool,
    /// What a full copy does when the target holds rows.
    pub(super) on_existing: OnExisting,
    /// Whether tasks that are not online count.
    pub(super) include_offline: bool,
}

/// A task with its job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// goshift's id.
    pub(super) id: String,
    /// The job; its name is bare.
    pub(super) job: v1::Job,
    /// Connection of the source.
    pub(super) source: String,
    /// Connection of the target.
    pub(super) target: String,
    /// Where rows come from and go to, as goshift's last line has it.
    pub(super) line: String,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What a row came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Made {
    /// A job.
    Task(Box<Task>),
    /// None, for this reason.
    Skipped(String),
}

/// Translates a row.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn translate(row: &Row, connections: &Connections, wish: &Wish) -> Result<Made, Vec<String>> {
    if row.online_status.trim() != "1" && !wish.include_offline {
        let status = if row.online_status.is_empty() { "NULL" } else { &row.online_status };
        return Ok(Made::Skipped(format!("online_status is {status}; --include-offline makes its job too")));
    }
    let mut wrong = Vec::new();
    for (column, value) in [("from_table", &row.from_table), ("to_table", &row.to_table)] {
        if value.is_empty() {
            wrong.push(format!("{column}: is empty"));
        }
    }
    let mut end = |side: Side, kind: &str, app: &str, db: &str| {
        connections.find(side, &kind.to_ascii_lowercase(), app, db).map_err(|error| {
            wrong.push(format!("{}_db_type, {}_app, {}_db: {error}", side.word(), side.word(), side.word()));
        })
    };
    let source = end(Side::From, &row.from_db_type, &row.from_app, &row.from_db);
    let target = end(Side::To, &row.to_db_type, &row.to_app, &row.to_db);
    let params = params::parse(&row.params).map_err(|found| wrong.extend(found));
    let (Ok(source), Ok(target), Ok(params)) = (source, target, params) else { return Err(wrong) };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut notes = params.notes;
    let incremental = wish.incremental && params.diff_column.is_some();
    if wish.incremental && !incremental {
        notes.push("it has no diff_column, so all of its rows are copied each time".to_owned());
    }
    let schema = |kind: &str, database: Option<&str>, db: &str| {
        // Elsewhere than in MySQL a schema is not a database, and goshift's from_db names the database.
        let mysql = matches!(kind.to_ascii_lowercase().as_str(), "mysql" | "mariadb" | "tidb");
        if mysql && database != Some(db) { db.to_owned() } else { String::new() }
    };
    let spec = v1::DbSyncSpec {
        source: Some(v1::SyncSource {
            connection: source.name.clone(),
            schema: schema(&row.from_db_type, source.database.as_deref(), &row.from_db),
            table: row.from_table.clone(),
            ..v1::SyncSource::default()
        }),
        target: Some(v1::SyncTarget {
            connection: target.name.clone(),
            schema: schema(&row.to_db_type, target.database.as_deref(), &row.to_db),
            table: row.to_table.clone(),
            key: params.target_key,
        }),
        mode: if incremental { Mode::Incremental } else { Mode::Full }.into(),
        key: params.key,
        diff_column: params
            .diff_column
            .filter(|_| incremental)
            .map(|(source, target)| v1::SyncDiffColumn { source, target }),
        on_existing: if incremental { OnExisting::Unspecified } else { wish.on_existing }.into(),
        workers: params.workers.unwrap_or_default(),
        page_rows: params.page_rows.unwrap_or_default(),
        ..v1::DbSyncSpec::default()
    };
    let line = format!(
        "from [{}.{}.{}]{} reader sync to [{}.{}.{}] {} writer",
        row.from_app,
        row.from_db,
        row.from_table,
        row.from_db_type,
        row.to_app,
        row.to_db,
        row.to_table,
        row.to_db_type
    );
    let title = if row.task_desc.is_empty() {
        format!("{}.{} → {}.{}", row.from_db, row.from_table, row.to_db, row.to_table)
    } else {
        row.task_desc.clone()
    };
    let labels = [
        ("goshift_id", &row.id),
        ("owner", &row.owner),
        ("from_app", &row.from_app),
        ("to_app", &row.to_app),
    ];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let job = v1::Job {
        name: format!("goshift-{}", row.id),
        title,
        labels: labels.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        spec: Some(v1::JobSpec { kind: Some(v1::job_spec::Kind::DbSync(spec)) }),
        ..v1::Job::default()
    };
    Ok(Made::Task(Box::new(Task {
        id: row.id.clone(),
        job,
        source: source.name,
        target: target.name,
        line,
        notes,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: "5".into(),
            from_app: "local_dw".into(),
            from_db_type: "mysql".into(),
            from_db: "blog".into(),
            from_table: "qcc_change_history".into(),
            to_app: "local_dw".into(),
            to_db_type: "mysql".into(),
            to_db: "blog".into(),
            to_table: "qcc_change_history2".into(),
            params:
                r#"{"pk":{"src":"id","dest":"id"},"diff_column":{"src":"update_time","dest":"update_time"},
                "worker_num":20,"read_batch":5000,"write_batch":500}"#
                    .into(),
            online_status: "1".into(),
            task_desc: "增量导入".into(),
            owner: "18811788263".into(),
        }
    }

    fn wish(incremental: bool) -> Wish {
        Wish { incremental, on_existing: OnExisting::Truncate, include_offline: false }
    }

    fn task(row: &Row, incremental: bool) -> Task {
        match translate(row, &Connections::default(), &wish(incremental)) {
            Ok(Made::Task(task)) => *task,
            other => panic!("{other:?}"),
        }
    }

    fn spec(task: &Task) -> v1::DbSyncSpec {
        match task.job.spec.clone().unwrap().kind.unwrap() {
            v1::job_spec::Kind::DbSync(spec) => spec,
            v1::job_spec::Kind::HttpLoad(load) => panic!("{load:?}"),
        }
    }

    #[test]
    fn the_sample_row_is_a_full_copy_and_a_copy_of_changes_when_asked_for() {
        let full = task(&row(), false);
        let sync = spec(&full);
        assert_eq!((full.job.name.as_str(), full.job.title.as_str()), ("goshift-5", "增量导入"));
        assert_eq!(full.job.labels["owner"], "18811788263");
        assert_eq!(sync.source.clone().unwrap().connection, "local_dw_blog");
        assert_eq!(sync.source.unwrap().schema, "blog");
        assert_eq!(sync.target.unwrap().table, "qcc_change_history2");
        assert_eq!((sync.key, sync.workers, sync.page_rows), (vec!["id".to_owned()], 20, 5000));
        assert_eq!(
            (sync.mode, sync.diff_column, sync.on_existing),
            (Mode::Full.into(), None, OnExisting::Truncate.into())
        );
        let changes = spec(&task(&row(), true));
        assert_eq!(changes.mode(), Mode::Incremental);
        assert_eq!(changes.diff_column.as_ref().unwrap().source, "update_time");
        assert_eq!(changes.on_existing(), OnExisting::Unspecified);
        assert!(full.line.ends_with("to [local_dw.blog.qcc_change_history2] mysql writer"), "{}", full.line);
    }

    #[test]
    fn without_a_diff_column_all_rows_are_copied_and_that_is_said() {
        let row = Row { params: "{}".into(), ..row() };
        let task = task(&row, true);
        assert_eq!(spec(&task).mode(), Mode::Full);
        assert!(task.notes.iter().any(|note| note.contains("no diff_column")));
    }

    #[test]
    fn a_task_that_is_not_online_is_left_out_unless_asked_for() {
        for status in ["0", "", "2"] {
            let row = Row { online_status: status.into(), ..row() };
            let made = translate(&row, &Connections::default(), &wish(false)).unwrap();
            assert!(matches!(made, Made::Skipped(_)), "{status}");
            let all = Wish { include_offline: true, ..wish(false) };
            assert!(matches!(translate(&row, &Connections::default(), &all), Ok(Made::Task(_))), "{status}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_row_is_told_at_once() {
        let row = Row { from_db_type: "trino".into(), to_table: String::new(), params: "[]".into(), ..row() };
        let wrong = translate(&row, &Connections::default(), &wish(false)).unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong.iter().any(|line| line.contains("`trino` cannot be read")));
    }
}
