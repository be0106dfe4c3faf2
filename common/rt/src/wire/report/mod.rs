//! Reports and progress, out.
//!
//! Tests: beside each kind.

mod db_sync;
mod http_load;

use shanty_model::id::RunId;
use shanty_model::kind::{Progress, Report};
use shanty_proto::v1 as pb;

/// A report as the wire has it.
#[must_use]
pub fn encode(run: &RunId, ended: bool, report: &Report) -> pb::Report {
    let kind = match report {
        Report::HttpLoad(report) => pb::report::Kind::HttpLoad(http_load::encode(report)),
        Report::DbSync(report) => pb::report::Kind::DbSync(db_sync::encode(report)),
    };
    pb::Report { run: run.resource(), r#final: ended, kind: Some(kind) }
}

/// Progress in the words of the kind.
#[must_use]
pub fn encode_progress(progress: &Progress) -> pb::progress::Kind {
    match progress {
        Progress::HttpLoad(progress) => pb::progress::Kind::HttpLoad(http_load::progress(progress)),
        Progress::DbSync(progress) => pb::progress::Kind::DbSync(db_sync::progress(progress)),
    }
}
