//! The plan as a step of the run: it can be done again from wherever a former attempt came to.
//!
//! ```text
//!  check all tables (nothing is written) ─► state tables ─► plans of all tables, in one transaction
//!     ─► per table: made or emptied ─► borders, one transaction each: shard + how far the plan is
//! ```
//! In: a spec. Out: shards, as soon as they are found. Never: a write before every table has passed its check;
//! emptying a table twice.
//! Tests: `worker/sync/tests/`.

use super::names;
use super::piece::{Key, Piece};
use super::ranges::{Ranges, by};
use super::resolve::Ends;
use super::table_plan::TablePlan;
use super::window::{stream, window};
use crate::control::Held;
use crate::db::{Connection, Order, SelectParts};
use crate::error::{Doing, SyncError};
use crate::schema::{Table, TableName};
use crate::work::Work;
use serde::{Deserialize, Serialize};
use shanty_model::id::nearest;
use shanty_model::kind::db_sync::{Found, Mode, Note, OnExisting, Partial, Step, TableFacts};

/// How far the plan is; kept in its shard's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Tables whose shards have all been found.
    tables: u32,
    /// Whether the next table was made or emptied.
    ready: bool,
    /// Shards of the next table found so far.
    parts: u32,
    /// The last border found.
    after: Option<Key>,
}

/// Plans the sync.
///
/// # Errors
/// [`SyncError`]; `Permanent` for everything that the spec or the databases must be changed for.
pub async fn plan(work: &Work<'_>) -> Result<(), SyncError> {
    let first = work.cx.id().number == 1;
    let mut source = at_the_door(first, work.source().await)?;
    let mut target = at_the_door(first, work.target().await)?;
    let kept = match work.cx.id().number {
        // A first attempt finds nothing, and must not write before the check.
        1 => Vec::new(),
        _ => {
            work.control.prepare(target.as_mut()).await?;
            work.control.tables(target.as_mut()).await?
        }
    };
    let (plans, notes) = if kept.is_empty() {
        let (mut plans, notes) = check(work, source.as_mut(), target.as_mut()).await?;
        work.control.prepare(target.as_mut()).await?;
        for plan in &mut plans {
            set_watermark(work, target.as_mut(), source.as_mut(), plan).await?;
        }
        target.begin().await.doing("keeping the plan in the target")?;
        for plan in &plans {
            work.control.put_table(target.as_mut(), plan).await?;
        }
        target.commit(true).await.doing("keeping the plan in the target")?;
        (plans, notes)
    } else {
        (kept, Vec::new())
    };
    let held = work.acquire(target.as_mut()).await?;
    let progress = serde_json::from_str(&held.at.detail).unwrap_or_default();
    let mut planner = Planner { work, source, target, held, plans, progress };
    planner.report_known(notes).await?;
    planner.run().await?;
    let Planner { source, target, .. } = planner;
    work.put_back(Some(source), Some(target));
    Ok(())
}

/// A database that does not answer when a run begins is an error of the spec; later it is waited for.
fn at_the_door<T>(first: bool, opened: Result<T, SyncError>) -> Result<T, SyncError> {
    opened.map_err(|error| match error {
        SyncError::Transient(message) if first => SyncError::Permanent(format!(
            "{message}; nothing was written: start it again when the database answers"
        )),
        error => error,
    })
}

/// Checks all tables against both databases; writes nothing.
async fn check(
    work: &Work<'_>,
    source: &mut dyn Connection,
    target: &mut dyn Connection,
) -> Result<(Vec<TablePlan>, Vec<Note>), SyncError> {
    let spec = work.spec();
    let tables = match names::one(&spec.source) {
        Some(table) => vec![table],
        None => {
            let schema = (!spec.source.schema.is_empty()).then_some(spec.source.schema.as_str());
            let all = source.tables(schema).await.doing("listing the source's tables")?;
            names::chosen(&spec.source, all).map_err(SyncError::Permanent)?
        }
    };
    let same = source.identity().await.doing("asking the source who it is")?
        == target.identity().await.doing("asking the target who it is")?;
    let mut plans = Vec::with_capacity(tables.len());
    for (number, name) in (0..).zip(&tables) {
        work.go_on()?;
        let from = described(source, name, &spec.source.connection).await?;
        let to_name = names::target(&spec.target, &from.name);
        let to = target.describe(&to_name).await.doing(&format!("describing {to_name} in the target"))?;
        if same && to.as_ref().is_some_and(|to| to.name == from.name) {
            return Err(SyncError::permanent(format!(
                "target.table: {} is the source table itself; name another table or another connection",
                from.name
            )));
        }
        let ends = Ends {
            spec,
            from: source.dialect(),
            to: target.dialect(),
            source: &from,
            target: to.as_ref(),
            target_name: to_name.clone(),
        };
        let plan = ends.resolve(number).map_err(SyncError::Permanent)?;
        if let Some(to) = &to {
            check_empty(target, to, work).await?;
        } else {
            // What cannot be written as SQL is told before anything is made.
            target.dialect().create_table(&plan.target).map_err(SyncError::Permanent)?;
        }
        check_privileges(source, "source", &from.name, false).await?;
        try_condition(source, &plan).await?;
        check_privileges(target, "target", &plan.target.name, true).await?;
        plans.push(plan);
    }
    let taken = plans.iter().enumerate().find_map(|(i, plan)| {
        plans[..i].iter().find(|other| other.target.name == plan.target.name).map(|other| (plan, other))
    });
    if let Some((a, b)) = taken {
        return Err(SyncError::permanent(format!(
            "target.table: {} and {} would both go to {}",
            a.source, b.source, a.target.name
        )));
    }
    // Large tables go first, so that all end together.
    plans.sort_by_key(|plan| std::cmp::Reverse(plan.rows_estimated.unwrap_or(0)));
    for (number, plan) in (0..).zip(plans.iter_mut()) {
        plan.table = number;
    }
    let unkeyed = plans.iter().filter(|plan| plan.order.is_empty());
    let notes = unkeyed.map(|plan| Note {
        warning: false,
        reason: "TABLE_WITHOUT_KEY".to_owned(),
        message: format!("{} has no key: one worker copies it in one transaction", plan.source),
    });
    let keyless = plans.iter().filter(|plan| !plan.creates && !plan.key.is_empty() && !is_keyed(plan));
    let notes = notes.chain(keyless.map(|plan| Note {
        warning: true,
        reason: "TARGET_WITHOUT_KEY".to_owned(),
        message: format!(
            "{} has no key for what identifies a row of {}; if an interrupted run left it behind, drop it and let the run \
             make it again, else add the key",
            plan.target.name, plan.source
        ),
    }));
    let notes = notes.collect();
    Ok((plans, notes))
}

/// Whether the target has a key or a unique index over the columns that identify a row.
fn is_keyed(plan: &TablePlan) -> bool {
    let key: Vec<&str> = plan.key.iter().map(|pair| pair.target.name.as_str()).collect();
    let same = |names: Vec<&str>| names.len() == key.len() && names.iter().all(|name| key.contains(name));
    let unique = plan.target.indexes.iter().filter(|index| index.unique);
    same(plan.target.primary_key.iter().map(String::as_str).collect())
        || unique
            .into_iter()
            .any(|index| same(index.columns.iter().map(|column| column.name.as_str()).collect()))
}

/// A condition that the source does not understand must be told before the target is touched.
async fn try_condition(source: &mut dyn Connection, plan: &TablePlan) -> Result<(), SyncError> {
    if plan.filters.is_empty() {
        return Ok(());
    }
    let sql = source.dialect().select(&SelectParts {
        table: &plan.source,
        exprs: &["1".to_owned()],
        filters: &plan.filters,
        order: &[],
        direction: Order::Up,
        limit: Some(1),
        offset: 0,
        keyset: false,
    });
    source.query(&sql).await.doing("where: the source does not take the condition")?;
    Ok(())
}

async fn check_privileges(
    database: &mut dyn Connection,
    end: &str,
    table: &TableName,
    write: bool,
) -> Result<(), SyncError> {
    let doing = format!("asking for the privileges on {table}");
    let missing = database.missing_privileges(table, write).await.doing(&doing)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(SyncError::permanent(format!("{end}.connection: {}", missing.join("; "))))
}

/// The source table, or what is near it.
async fn described(
    source: &mut dyn Connection,
    name: &TableName,
    connection: &str,
) -> Result<Table, SyncError> {
    if let Some(table) = source.describe(name).await.doing(&format!("describing {name} in the source"))? {
        return Ok(table);
    }
    let all = source.tables(name.schema.as_deref()).await.unwrap_or_default();
    let near = nearest(&name.name, all.iter().map(|table| table.name.as_str()));
    Err(SyncError::permanent(format!(
        "source.table: {name} does not exist in `{connection}`{}",
        names::near_words(&near)
    )))
}

async fn check_empty(target: &mut dyn Connection, table: &Table, work: &Work<'_>) -> Result<(), SyncError> {
    let spec = work.spec();
    if spec.mode == Mode::Incremental || spec.on_existing != OnExisting::Fail {
        return Ok(());
    }
    let one = target.dialect().select(&SelectParts {
        table: &table.name,
        exprs: &["1".to_owned()],
        filters: &[],
        order: &[],
        direction: Order::Up,
        limit: Some(1),
        offset: 0,
        keyset: false,
    });
    let rows = target.query(&one).await.doing(&format!("looking whether {} is empty", table.name))?;
    if rows.is_empty() {
        return Ok(());
    }
    Err(SyncError::permanent(format!(
        "on_existing: {} holds rows already; give TRUNCATE to delete them, UPSERT to replace those with the same key, \
         or another target.table",
        table.name
    )))
}

/// For an incremental table: the window's watermark, taken before any row is read.
async fn set_watermark(
    work: &Work<'_>,
    target: &mut dyn Connection,
    source: &mut dyn Connection,
    plan: &mut TablePlan,
) -> Result<(), SyncError> {
    if work.spec().mode != Mode::Incremental {
        return Ok(());
    }
    let asked_for = names::target(&work.spec().target, &plan.source);
    let name = stream(work.spec(), plan, &asked_for);
    plan.since = work.control.mark(target, &name).await?;
    let found = window(source, plan, work.spec(), plan.since.clone()).await?;
    plan.watermark = found.watermark;
    plan.window = found.pieces;
    plan.stream = Some(name);
    for note in found.notes {
        work.emit(&Partial { notes: vec![note], ..Partial::new(Step::Plan) }).await?;
    }
    Ok(())
}

struct Planner<'a> {
    work: &'a Work<'a>,
    source: Box<dyn Connection>,
    target: Box<dyn Connection>,
    held: Held,
    plans: Vec<TablePlan>,
    progress: Progress,
}

impl Planner<'_> {
    fn facts(&self) -> Vec<TableFacts> {
        let facts = |plan: &TablePlan| TableFacts {
            table: plan.table,
            source: plan.source.to_string(),
            target: plan.target.name.to_string(),
            rows_estimated: plan.rows_estimated.filter(|_| plan.window.is_none()),
            created: plan.creates,
            planned: plan.table < self.progress.tables,
            finish: plan.creates
                || plan.watermark.is_some()
                || plan.target.columns.iter().any(|column| column.auto),
            verify_by: plan.verify_by,
            left_out: plan.left_out.clone(),
        };
        self.plans.iter().map(facts).collect()
    }

    async fn report(&mut self, found: Vec<Found>, notes: Vec<Note>) -> Result<(), SyncError> {
        self.work.emit(&Partial { found, notes, tables: self.facts(), ..Partial::new(Step::Plan) }).await
    }

    /// What a former attempt found and may not have told.
    async fn report_known(&mut self, notes: Vec<Note>) -> Result<(), SyncError> {
        let known = self.work.control.shards(self.target.as_mut()).await?;
        let copies = known.into_iter().filter(|known| matches!(known.step, Step::Copy { .. }));
        self.report(copies.map(|known| Found { step: known.step, rows: known.size }).collect(), notes).await
    }

    async fn run(&mut self) -> Result<(), SyncError> {
        while let Some(plan) =
            self.plans.get(usize::try_from(self.progress.tables).unwrap_or(usize::MAX)).cloned()
        {
            self.work.go_on()?;
            if !self.progress.ready {
                let learnt = self.make_ready(plan.clone()).await?;
                let ready = Progress { ready: true, ..self.progress.clone() };
                self.keep(ready, learnt.as_deref()).await?;
            }
            match &plan.window {
                Some(pieces) => self.add_pieces(pieces).await?,
                None => self.cut(&plan).await?,
            }
            self.report(Vec::new(), Vec::new()).await?;
        }
        Ok(())
    }

    /// Makes or empties the target table. Done again, it changes nothing more: no shard of it is there yet. Answers
    /// the statement that keeps what was learnt of a table that was made.
    async fn make_ready(&mut self, mut plan: TablePlan) -> Result<Option<String>, SyncError> {
        let name = plan.target.name.clone();
        if plan.truncates {
            let sql = self.target.dialect().clear(&name);
            self.target.execute(&sql).await.doing(&format!("emptying {name}"))?;
        }
        if !plan.creates {
            return Ok(None);
        }
        let doing = format!("describing {name} in the target");
        let mut there = self.target.describe(&name).await.doing(&doing)?;
        if there.is_none() {
            let mut made = plan.target.clone();
            if plan.key_later {
                made.primary_key.clear();
            }
            let sql = self.target.dialect().create_table(&made).map_err(SyncError::Permanent)?;
            self.target.execute(&sql).await.doing(&format!("creating {name}"))?;
            there = self.target.describe(&name).await.doing(&doing)?;
        }
        let gone = |what: &str| {
            SyncError::permanent(format!("target.table: {name}{what} is gone as soon as it was made"))
        };
        let there = there.ok_or_else(|| gone(""))?;
        plan.take_natives(&there).map_err(|column| gone(&format!(", column `{column}`")))?;
        self.work.control.replace_table(self.target.as_ref(), &plan).map(Some)
    }

    async fn add_pieces(&mut self, pieces: &[Piece]) -> Result<(), SyncError> {
        for (part, piece) in (0..).zip(pieces) {
            if part >= self.progress.parts {
                let next = Progress { parts: part + 1, ..self.progress.clone() };
                self.add(piece, 0, next).await?;
            }
        }
        self.keep(self.after_the_table(), None).await
    }

    /// How far the plan is when the table in hand has all its shards.
    fn after_the_table(&self) -> Progress {
        Progress { tables: self.progress.tables + 1, ..Progress::default() }
    }

    async fn cut(&mut self, plan: &TablePlan) -> Result<(), SyncError> {
        let after = self.progress.after.clone();
        let workers = self.work.spec().most_workers();
        let mut ranges = Ranges::begin(self.source.as_mut(), plan, workers, after.as_ref()).await?;
        let mut lower = after;
        loop {
            self.work.go_on()?;
            let border = ranges.next(self.source.as_mut(), plan, lower.as_ref()).await?;
            let piece =
                Piece { lower: lower.clone(), upper: border.clone(), by: by(plan), filters: Vec::new() };
            let part = self.progress.parts;
            let Some(border) = border else {
                // With its last shard the table is planned: whoever comes after must not begin it again.
                let all = plan.rows_estimated.unwrap_or(ranges.rows);
                let rest = all.saturating_sub(u64::from(part) * ranges.rows);
                return self.add(&piece, rest, self.after_the_table()).await;
            };
            let next = Progress { parts: part + 1, after: Some(border.clone()), ..self.progress.clone() };
            self.add(&piece, ranges.rows, next).await?;
            lower = Some(border);
        }
    }

    /// Makes the next shard of the table in hand and remembers that it was found, in one transaction; then tells it.
    async fn add(&mut self, piece: &Piece, rows: u64, next: Progress) -> Result<(), SyncError> {
        let step = Step::Copy { table: self.progress.tables, part: self.progress.parts };
        let sql = self.work.control.add(self.target.as_ref(), step, piece, rows);
        self.keep(next, Some(&sql)).await?;
        self.report(vec![Found { step, rows }], Vec::new()).await
    }

    async fn keep(&mut self, progress: Progress, more: Option<&str>) -> Result<(), SyncError> {
        let doing = "keeping the plan in the target";
        let mut at = self.held.at.clone();
        at.detail = serde_json::to_string(&progress).unwrap_or_default();
        self.target.begin().await.doing(doing)?;
        self.work.control.advance(self.target.as_mut(), &self.held, 0, &at).await?;
        if let Some(sql) = more {
            self.target.execute(sql).await.doing(doing)?;
        }
        self.target.commit(true).await.doing(doing)?;
        self.held.moved(1, at);
        self.progress = progress;
        Ok(())
    }
}
