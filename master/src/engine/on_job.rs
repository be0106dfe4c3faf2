//! Jobs kept, changed and removed.

use super::command::{Command, Refused};
use super::{Engine, Now};
use crate::store::{JobRecord, Mutation};
use shanty_model::id::{JobId, nearest};
use shanty_model::kind::Spec;
use shanty_model::violation::Violation;
use std::collections::BTreeMap;

/// What a user says of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDraft {
    /// A title for people.
    pub title: String,
    /// What its runs do.
    pub spec: Spec,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Keeps a new job.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Exists`].
    pub fn create_job(&mut self, now: Now, id: &JobId, draft: JobDraft) -> Result<JobRecord, Refused> {
        self.check_draft(id, &draft)?;
        let before = self.jobs.get(id);
        if before.is_some_and(|job| !job.deleted) {
            return Err(Refused::Exists { what: "job", name: id.to_string() });
        }
        let record = JobRecord {
            id: id.clone(),
            title: draft.title,
            spec: Some(draft.spec),
            labels: draft.labels,
            // A name that was used before goes on counting, so that no run is named twice.
            last_run: before.map_or(0, |job| job.last_run),
            deleted: false,
            version: before.map_or(1, |job| job.version + 1),
            create_ms: now.unix_ms(),
            update_ms: now.unix_ms(),
        };
        let mutation = if record.version == 1 {
            Mutation::InsertJob(record.clone())
        } else {
            Mutation::UpdateJob(record.clone())
        };
        self.commands.push(Command::store(mutation));
        self.jobs.insert(id.clone(), record.clone());
        Ok(record)
    }

    /// Replaces a job's definition.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::NotFound`], [`Refused::Changed`] when `etag` is not the current one.
    pub fn update_job(
        &mut self,
        now: Now,
        id: &JobId,
        etag: &str,
        draft: JobDraft,
    ) -> Result<JobRecord, Refused> {
        self.check_draft(id, &draft)?;
        self.check_etag(id, etag)?;
        self.change_job(id, |job| {
            job.title = draft.title;
            job.spec = Some(draft.spec);
            job.labels = draft.labels;
            job.update_ms = now.unix_ms();
        })
    }

    /// Removes a job; its runs stay.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::Changed`], and [`Refused::Precondition`] while a run of it goes on.
    pub fn delete_job(&mut self, now: Now, id: &JobId, etag: &str) -> Result<JobRecord, Refused> {
        self.check_etag(id, etag)?;
        if *id == JobId::adhoc() {
            return Err(Refused::Precondition {
                reason: "JOB_IS_BUILT_IN",
                message: "job `adhoc` holds the runs without a job and stays".to_owned(),
            });
        }
        if let Some(run) = self.runs.keys().find(|run| run.job == *id) {
            return Err(Refused::Precondition {
                reason: "JOB_IS_RUNNING",
                message: format!("run `{run}` goes on: cancel it first, or wait for its end"),
            });
        }
        self.change_job(id, |job| {
            job.deleted = true;
            job.update_ms = now.unix_ms();
        })
    }

    /// A job that was not removed.
    ///
    /// # Errors
    /// [`Refused::NotFound`] with the nearest names.
    pub fn live_job(&self, id: &JobId) -> Result<&JobRecord, Refused> {
        self.jobs.get(id).filter(|job| !job.deleted).ok_or_else(|| {
            let known = self.jobs.values().filter(|job| !job.deleted).map(|job| job.id.as_str());
            let nearest = nearest(id.as_str(), known).into_iter().map(str::to_owned).collect();
            Refused::NotFound { what: "job", name: id.to_string(), nearest }
        })
    }

    /// Jobs that were not removed, by name, after `after`.
    pub fn live_jobs(&self, after: Option<&JobId>) -> impl Iterator<Item = &JobRecord> {
        self.jobs.values().filter(move |job| !job.deleted && after.is_none_or(|after| job.id > *after))
    }

    /// Checks what a user says of a job without keeping it.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every violation.
    pub fn check_draft(&self, id: &JobId, draft: &JobDraft) -> Result<(), Refused> {
        let mut found: Vec<Violation> =
            draft.spec.check(&self.options.limits).into_iter().map(|v| v.under("job.spec")).collect();
        if *id == JobId::adhoc() {
            found.push(Violation::new("job_id", "`adhoc` is the job of runs without one; take another name"));
        }
        if draft.title.len() > 200 {
            found.push(Violation::new("job.title", "at most 200 bytes are allowed"));
        }
        if found.is_empty() { Ok(()) } else { Err(Refused::Invalid(found)) }
    }

    fn check_etag(&self, id: &JobId, etag: &str) -> Result<(), Refused> {
        let current = self.live_job(id)?.version.to_string();
        if etag.is_empty() || etag == current {
            return Ok(());
        }
        Err(Refused::Changed { what: "job", name: id.to_string(), etag: current })
    }

    fn change_job(&mut self, id: &JobId, change: impl FnOnce(&mut JobRecord)) -> Result<JobRecord, Refused> {
        let Some(job) = self.jobs.get_mut(id) else {
            return Err(Refused::NotFound { what: "job", name: id.to_string(), nearest: Vec::new() });
        };
        change(job);
        job.version += 1;
        let record = job.clone();
        self.commands.push(Command::store(Mutation::UpdateJob(record.clone())));
        Ok(record)
    }
}
