//! The wish for a run from flags or from a file.
//!
//! | file | holds |
//! |---|---|
//! | `load` | flags of a load test |
//! | `sync` | flags of a sync |
//!
//! In: flags, or canonical JSON of `JobSpec` from a file or standard input. Out: a `JobSpec`.
//! Never: checks what the cluster checks; it answers all violations at once.
//! Tests: below.

mod load;
mod sync;

use crate::error::Error;
use crate::json;
use clap::Args;
use load::LoadArgs;
use shanty_proto::v1;
use std::io::Read as _;
use sync::SyncArgs;

/// What a run does, when it is said by flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// A load test
    Load,
    /// A copy of tables
    Sync,
}

/// Flags that say what a run does.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpecArgs {
    /// load (default) or sync, whose flags stand below under a heading each
    #[arg(value_name = "KIND", hide_possible_values = true)]
    pub(crate) what: Option<What>,
    /// The spec as JSON, as grpcurl would send it ({"http_load":{…}}, {"db_sync":{…}}); - reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["Load", "Sync"])]
    pub(crate) file: Option<String>,
    /// A load test from flags.
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// A sync from flags.
    #[command(flatten)]
    pub(crate) sync: SyncArgs,
}

impl SpecArgs {
    /// The wish that these flags stand for.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else, or flags are not those of the kind.
    pub(crate) fn spec(self) -> Result<v1::JobSpec, Error> {
        if let Some(path) = &self.file {
            return json::read(&read_text(path)?, shown(path)).map_err(Error::Json);
        }
        match (self.what, self.sync.is_given()) {
            (Some(What::Load), true) => Err(Error::wrong(
                "the flags are those of a sync, not of a load test",
                "leave the word load out, or write sync",
            )),
            (Some(What::Sync), false) => Err(Error::wrong(
                "a sync needs --source and --target",
                "for example: --source shop:orders --target dw",
            )),
            (_, true) => self.sync.spec(),
            (_, false) => self.load.spec(),
        }
    }
}

fn shown(path: &str) -> &str {
    if path == "-" { "standard input" } else { path }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).map(drop),
    };
    read.map(|()| text).map_err(|error| unreadable(shown(path), &error))
}

pub(super) fn unreadable(path: &str, error: &std::io::Error) -> Error {
    Error::wrong(format!("cannot read {path}: {error}"), "check the name; - reads standard input")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn load(words: &[&str]) -> v1::HttpLoadSpec {
        let line = Line::try_parse_from([&["x"], words].concat()).unwrap();
        match line.spec.spec().unwrap().kind.unwrap() {
            v1::job_spec::Kind::HttpLoad(load) => load,
            v1::job_spec::Kind::DbSync(sync) => panic!("{sync:?}"),
        }
    }

    #[test]
    fn flags_become_the_spec_that_json_would_be() {
        let flags = load(&[
            "--url=http://h/",
            "--rate=2k",
            "--duration=10s",
            "--threshold=p99_ms<50",
            "--header=a: b",
            "--no-keep-alive",
            "--poisson",
            "--warm-up=500ms",
        ]);
        let json: v1::JobSpec = json::read(
            r#"{"http_load":{"url":"http://h/","rate":2000,"duration":"10s","thresholds":["p99_ms<50"],
                "headers":{"a":"b"},"keep_alive":false,"arrivals":"POISSON","warm_up":"0.5s"}}"#,
            "test",
        )
        .unwrap();
        assert_eq!(json.kind, Some(v1::job_spec::Kind::HttpLoad(flags)));
    }

    #[test]
    fn what_is_not_given_stays_unset_for_the_cluster_to_default() {
        let spec = load(&["--url=http://h/"]);
        assert_eq!(spec, v1::HttpLoadSpec { url: "http://h/".into(), ..v1::HttpLoadSpec::default() });
    }

    #[test]
    fn stages_keep_their_order() {
        let spec = load(&["--url=http://h/", "--stage=100:10s", "--stage=~500:20s"]);
        let stages: Vec<_> = spec.stages.iter().map(|s| (s.rate, s.ramp)).collect();
        assert_eq!(stages, [(100.0, false), (500.0, true)]);
    }

    #[test]
    fn a_file_and_flags_exclude_each_other_and_one_is_needed() {
        assert!(Line::try_parse_from(["x", "-f", "s.json", "--rate", "1"]).is_err());
        assert!(Line::try_parse_from(["x"]).is_err());
        assert!(Line::try_parse_from(["x", "-f", "s.json"]).is_ok());
    }

    fn sync(words: &[&str]) -> Result<v1::DbSyncSpec, String> {
        let line = Line::try_parse_from([&["x"], words].concat()).map_err(|error| error.to_string())?;
        match line.spec.spec().map_err(|error| error.to_string())?.kind.unwrap() {
            v1::job_spec::Kind::DbSync(sync) => Ok(sync),
            v1::job_spec::Kind::HttpLoad(load) => panic!("{load:?}"),
        }
    }

    #[test]
    fn flags_of_a_sync_become_the_spec_that_json_would_be() {
        let flags = sync(&[
            "sync",
            "--source=shop:sales.orders",
            "--target=dw:public.{table}_copy",
            "--mode=incremental",
            "--diff-column=updated_at:changed",
            "--overlap=1m",
            "--sweep",
            "--where=region = 'eu'",
            "--key=id:order_id,line",
            "--columns=id:order_id,line,total",
            "--verify=checksum",
            "--on-existing=upsert",
            "--on-lossy=set-null",
            "--workers=8",
            "--rows-per-second=10k",
            "--bytes-per-second=5MiB",
            "--max-source-lag=30s",
            "--page-rows=5000",
            "--no-create-table",
        ])
        .unwrap();
        let json: v1::JobSpec = json::read(
            r#"{"db_sync":{"source":{"connection":"shop","schema":"sales","table":"orders"},
                "target":{"connection":"dw","schema":"public","table":"{table}_copy","key":["order_id","line"]},
                "mode":"INCREMENTAL","diff_column":{"source":"updated_at","target":"changed"},"overlap":"60s",
                "sweep":true,"where":"region = 'eu'","key":["id","line"],
                "columns":[{"source":"id","target":"order_id"},{"source":"line"},{"source":"total"}],
                "verify":"CHECKSUM","on_existing":"UPSERT","on_lossy":"SET_NULL","workers":8,
                "throttle":{"rows_per_second":10000,"bytes_per_second":"5242880","max_source_lag":"30s"},
                "page_rows":5000,"create_table":false}}"#,
            "test",
        )
        .unwrap();
        assert_eq!(json.kind, Some(v1::job_spec::Kind::DbSync(flags)));
    }

    #[test]
    fn several_tables_are_told_from_one_and_a_bare_target_keeps_their_names() {
        let many =
            sync(&["--source=shop:sales.*,sales.item?", "--target=dw", "--exclude=tmp_*,log"]).unwrap();
        let source = many.source.unwrap();
        assert_eq!((source.schema.as_str(), source.table.as_str()), ("sales", ""));
        assert_eq!(
            (source.tables, source.exclude),
            (vec!["*".into(), "item?".into()], vec!["tmp_*".into(), "log".into()])
        );
        assert_eq!(
            many.target.unwrap(),
            v1::SyncTarget { connection: "dw".into(), ..v1::SyncTarget::default() }
        );
        assert_eq!((many.throttle, many.key), (None, vec![]));
    }

    #[test]
    fn a_sync_that_is_not_whole_says_what_is_missing() {
        for (words, part) in [
            (&["sync", "--source=shop:orders"][..], "--target"),
            (&["--source=shop", "--target=dw"], "CONNECTION:TABLE"),
            (&["--source=shop:a.x,b.y", "--target=dw"], "one schema"),
            (&["--source=shop:x", "--target=dw", "--url=http://h/"], "cannot be used with"),
            (&["load", "--source=shop:x", "--target=dw"], "not of a load test"),
            (&["--source=shop:x", "--target=dw", "--mode=some"], "incremental"),
            (&["--source=shop:x", "--target=dw", "--bytes-per-second=5q"], "MiB"),
        ] {
            let error = sync(words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_body_that_is_no_text_travels_as_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff, 0x00]).unwrap();
        let spec = load(&["--url=http://h/", "--body-file", file.path().to_str().unwrap()]);
        assert_eq!(spec.body, Some(v1::http_load_spec::Body::Raw(vec![0xff, 0x00])));
    }
}
