//! Rows: the table, columns and values of each record.
//!
//! In: records, rows. Out: values, records. Never: talks to a database.
//! Tests: the conformance suite.

use super::value::{Fields, Record, Value, Versioned, count, int, json, key, text};
use super::{
    AttemptRecord, CheckpointRecord, Error, EventRecord, JobRecord, NodeEventRecord, NodeRecord,
    RequestRecord, RunRecord, SeriesRecord, ShardRecord,
};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, JobId, NodeId, RunId, ShardId};
use shanty_model::state::{RunState, ShardState};

pub(super) fn run_key(id: &RunId) -> Vec<Value> {
    vec![text(&id.job), int(id.number)]
}

fn shard_key(id: &ShardId) -> Vec<Value> {
    let mut key = run_key(&id.run);
    key.push(int(id.index));
    key
}

fn attempt_key(id: &AttemptId) -> Vec<Value> {
    let mut key = shard_key(&id.shard);
    key.push(int(id.number));
    key
}

macro_rules! versioned {
    ($($record:ident),*) => { $(impl Versioned for $record {
        fn version(&self) -> u64 { self.version }
    })* };
}
versioned!(JobRecord, RunRecord, ShardRecord, AttemptRecord);

impl Record for JobRecord {
    const TABLE: &'static str = "job";
    const COLUMNS: &'static [&'static str] =
        &["id", "title", "spec", "labels", "last_run", "deleted", "version", "create_ms", "update_ms"];
    const KEYS: usize = 1;

    fn values(&self) -> Result<Vec<Value>, Error> {
        Ok(vec![
            text(&self.id),
            text(&self.title),
            self.spec.as_ref().map_or(Ok(Value::Text(None)), |spec| json(&self.name(), spec))?,
            json(&self.name(), &self.labels)?,
            int(self.last_run),
            int(self.deleted),
            count(&self.name(), self.version)?,
            int(self.create_ms),
            int(self.update_ms),
        ])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(JobRecord {
            id: fields.parsed::<JobId>()?,
            title: fields.text()?,
            spec: fields.opt_json()?,
            labels: fields.json()?,
            last_run: fields.number()?,
            deleted: fields.int()? != 0,
            version: fields.number()?,
            create_ms: fields.int()?,
            update_ms: fields.int()?,
        })
    }

    fn name(&self) -> String {
        self.id.resource()
    }
}

impl Record for RunRecord {
    const TABLE: &'static str = "run";
    const COLUMNS: &'static [&'static str] = &[
        "job",
        "number",
        "spec",
        "state",
        "reason",
        "sequence",
        "epoch",
        "detail",
        "report",
        "version",
        "create_ms",
        "start_ms",
        "end_ms",
    ];
    const KEYS: usize = 2;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = run_key(&self.id);
        values.extend([
            json(&self.name(), &self.spec)?,
            text(self.state.name()),
            text(&self.reason),
            int(self.sequence),
            count("epoch", self.epoch.0)?,
            json(&self.name(), &self.detail)?,
            self.report.as_ref().map_or(Ok(Value::Text(None)), |report| json(&self.name(), report))?,
            count(&self.name(), self.version)?,
            int(self.create_ms),
            Value::Int(self.start_ms),
            Value::Int(self.end_ms),
        ]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(RunRecord {
            id: fields.run_id()?,
            spec: fields.json()?,
            state: {
                let name = fields.text()?;
                RunState::from_name(&name).ok_or_else(|| fields.corrupt(&format!("`{name}` is no state")))?
            },
            reason: fields.text()?,
            sequence: fields.number()?,
            epoch: Epoch(fields.number()?),
            detail: fields.json()?,
            report: fields.opt_json()?,
            version: fields.number()?,
            create_ms: fields.int()?,
            start_ms: fields.opt_int()?,
            end_ms: fields.opt_int()?,
        })
    }

    fn name(&self) -> String {
        self.id.resource()
    }
}

impl Record for ShardRecord {
    const TABLE: &'static str = "shard";
    const COLUMNS: &'static [&'static str] = &[
        "job", "number", "shard", "name", "payload", "size", "state", "attempt", "node", "reason", "version",
    ];
    const KEYS: usize = 3;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = shard_key(&self.id);
        values.extend([
            text(&self.name),
            text(&self.payload),
            count(&Record::name(self), self.size)?,
            text(self.state.name()),
            int(self.attempt),
            self.node.as_ref().map_or(Value::Text(None), text),
            text(&self.reason),
            count(&Record::name(self), self.version)?,
        ]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(ShardRecord {
            id: fields.shard_id()?,
            // Shards from before these columns have none.
            name: fields.opt_text()?.unwrap_or_default(),
            payload: fields.opt_text()?.unwrap_or_default(),
            size: fields.number()?,
            state: {
                let name = fields.text()?;
                ShardState::from_name(&name)
                    .ok_or_else(|| fields.corrupt(&format!("`{name}` is no state")))?
            },
            attempt: fields.number()?,
            node: match fields.opt_text()? {
                None => None,
                Some(text) => {
                    Some(text.parse::<NodeId>().map_err(|error| fields.corrupt(&error.to_string()))?)
                }
            },
            reason: fields.text()?,
            version: fields.number()?,
        })
    }

    fn name(&self) -> String {
        self.id.resource()
    }
}

impl Record for AttemptRecord {
    const TABLE: &'static str = "attempt";
    const COLUMNS: &'static [&'static str] = &[
        "job",
        "number",
        "shard",
        "attempt",
        "node",
        "incarnation",
        "epoch",
        "outcome",
        "reason",
        "version",
        "create_ms",
        "end_ms",
    ];
    const KEYS: usize = 4;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = attempt_key(&self.id);
        values.extend([
            text(&self.node),
            text(&self.incarnation),
            count("epoch", self.epoch.0)?,
            text(&self.outcome),
            text(&self.reason),
            count(&self.name(), self.version)?,
            int(self.create_ms),
            Value::Int(self.end_ms),
        ]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(AttemptRecord {
            id: fields.attempt_id()?,
            node: fields.parsed()?,
            incarnation: fields.text()?,
            epoch: Epoch(fields.number()?),
            outcome: fields.text()?,
            reason: fields.text()?,
            version: fields.number()?,
            create_ms: fields.int()?,
            end_ms: fields.opt_int()?,
        })
    }

    fn name(&self) -> String {
        format!("attempt {}", self.id)
    }
}

impl Record for EventRecord {
    const TABLE: &'static str = "run_event";
    const COLUMNS: &'static [&'static str] = &["job", "number", "sequence", "time_ms", "body"];
    const KEYS: usize = 3;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = run_key(&self.run);
        values.extend([int(self.sequence), int(self.time_ms), json(&self.name(), &self.body)?]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(EventRecord {
            run: fields.run_id()?,
            sequence: fields.number()?,
            time_ms: fields.int()?,
            body: fields.json()?,
        })
    }

    fn name(&self) -> String {
        format!("event {} of {}", self.sequence, self.run.resource())
    }
}

impl Record for SeriesRecord {
    const TABLE: &'static str = "series";
    const COLUMNS: &'static [&'static str] =
        &["job", "number", "shard", "attempt", "sequence", "node", "body"];
    const KEYS: usize = 5;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = attempt_key(&self.attempt);
        values.extend([
            count(&self.name(), self.sequence)?,
            text(&self.node),
            Value::Blob(self.partial.clone()),
        ]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(SeriesRecord {
            attempt: fields.attempt_id()?,
            sequence: fields.number()?,
            node: fields.parsed()?,
            partial: fields.blob()?,
        })
    }

    fn name(&self) -> String {
        format!("piece {} of attempt {}", self.sequence, self.attempt)
    }
}

impl Record for CheckpointRecord {
    const TABLE: &'static str = "checkpoint";
    const COLUMNS: &'static [&'static str] =
        &["job", "number", "shard", "attempt", "sequence", "node", "body"];
    const KEYS: usize = 3;

    fn values(&self) -> Result<Vec<Value>, Error> {
        let mut values = attempt_key(&self.attempt);
        values.extend([
            count(&self.name(), self.sequence)?,
            text(&self.node),
            Value::Blob(self.partial.clone()),
        ]);
        Ok(values)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(CheckpointRecord {
            attempt: fields.attempt_id()?,
            sequence: fields.number()?,
            node: fields.parsed()?,
            partial: fields.blob()?,
        })
    }

    fn name(&self) -> String {
        format!("checkpoint {} of attempt {}", self.sequence, self.attempt)
    }
}

impl Record for RequestRecord {
    const TABLE: &'static str = "request_dedupe";
    const COLUMNS: &'static [&'static str] = &["id", "method", "digest", "resource", "time_ms"];
    const KEYS: usize = 1;

    fn values(&self) -> Result<Vec<Value>, Error> {
        Ok(vec![
            key("request id", &self.id)?,
            text(&self.method),
            text(&self.digest),
            text(&self.resource),
            int(self.time_ms),
        ])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(RequestRecord {
            id: fields.text()?,
            method: fields.text()?,
            digest: fields.text()?,
            resource: fields.text()?,
            time_ms: fields.int()?,
        })
    }

    fn name(&self) -> String {
        format!("request id `{}`", self.id)
    }
}

impl Record for NodeEventRecord {
    const TABLE: &'static str = "node_event";
    const COLUMNS: &'static [&'static str] = &["sequence", "time_ms", "node", "reason", "message", "epoch"];
    const KEYS: usize = 1;

    fn values(&self) -> Result<Vec<Value>, Error> {
        Ok(vec![
            int(self.sequence),
            int(self.time_ms),
            text(&self.node),
            text(&self.reason),
            text(&self.message),
            count("epoch", self.epoch.0)?,
        ])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(NodeEventRecord {
            sequence: fields.number()?,
            time_ms: fields.int()?,
            node: fields.parsed()?,
            reason: fields.text()?,
            message: fields.text()?,
            epoch: Epoch(fields.number()?),
        })
    }

    fn name(&self) -> String {
        format!("node event {}", self.sequence)
    }
}

impl Record for NodeRecord {
    const TABLE: &'static str = "node";
    const COLUMNS: &'static [&'static str] = &["id", "cordoned"];
    const KEYS: usize = 1;

    fn values(&self) -> Result<Vec<Value>, Error> {
        Ok(vec![text(&self.id), int(self.cordoned)])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
        Ok(NodeRecord { id: fields.parsed()?, cordoned: fields.int()? != 0 })
    }

    fn name(&self) -> String {
        self.id.resource()
    }
}
