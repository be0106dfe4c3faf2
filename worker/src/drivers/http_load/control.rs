//! The async side of an attempt: settles and checks everything, starts the threads, hands plans to them, and
//! turns what they counted into results.
//!
//! In: the attempt's context. Out: one `Partial` a second and the outcome.
//! Never: takes part in sending. Dropping its future stops the threads.
//! Tests: `worker/tests`.

use super::gather::{Gather, Report};
use super::mailbox::{Mailbox, NewPlan, Stop};
use super::message::Message;
use super::recorder::Handover;
use super::setup::Setup;
use super::share::{self, OpenConnections};
use super::thread::LoadThread;
use super::{Error, Options, descriptors, request, resolve};
use shanty_model::kind::http_load::{HttpLoad, Partial, Settled};
use shanty_model::rate::{Directive, Load};
use shanty_rt::clock::monotonic_ns;
use shanty_rt::driver::{AttemptContext, DriverError, Outcome, StopReason};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages of one thread on their way: a handover a second, adoptions, and the last words.
const MESSAGES_PER_THREAD: usize = 8;
/// A plan whose first difference has passed takes effect this much later, so that all threads switch together.
const SWITCH_NS: u64 = 10_000_000;
/// What reports say about the engine.
const ENGINE: &str = "fast";
/// Seconds that wait to be emitted before the threads are left to keep what they count: 30 MiB at most.
const MOST_UNSENT: usize = 60;
/// After a stop, the last results may take this long to be taken.
const FLUSH: Duration = Duration::from_secs(5);

/// Does one attempt.
///
/// # Errors
/// [`Error`], with whether another attempt may help.
pub(super) async fn run(options: &Options, cx: AttemptContext<HttpLoad>) -> Result<Outcome, DriverError> {
    let settled = cx.spec().settle().map_err(|violations| {
        let all: Vec<String> = violations.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
        Error::Spec(all.join("; "))
    })?;
    let mut changes = cx.directive_changes();
    changes.mark_unchanged();
    let directive = cx.directive()?;
    let checks = Checks::new(options, &settled);
    checks.permit(&directive)?;
    let addresses = resolve::resolve(&settled.url.host, settled.url.port, &options.targets).await?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let setup = Arc::new(Setup {
        request: request::bytes(&settled),
        bodiless: settled.method.as_str() == "HEAD",
        host: settled.url.host,
        addresses,
        policy: options.targets.clone(),
        keep_alive: settled.keep_alive,
        timeout_ns: nanos(settled.timeout),
        warm_up_ns: settled.warm_up_ns,
        start_ns: cx.start_monotonic_ns(),
        catch_up_ns: nanos(options.catch_up),
        guard_ns: nanos(options.guard_on(cores)),
        owes_the_past: cx.id().number <= 1,
    });
    let (crew, messages) = Crew::start(&setup, &directive, checks.open, options.threads_on(cores))?;
    cx.applied(directive.revision);
    let gather = Gather::new(crew.mailboxes.len(), setup.warm_up_ns, ENGINE);
    // One on its way; the rest waits where it is counted.
    let (out, pieces) = mpsc::channel(1);
    let adopted = Vec::new();
    let attempt =
        Attempt { cx: &cx, checks, setup, crew, directive, gather, adopted, unsent: VecDeque::new(), out };
    let work = attempt.go(messages, changes);
    let emit = emit_all(&cx, pieces);
    tokio::pin!(work, emit);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        // It ends before the work does only by an error.
        ended = &mut emit => ended.and(Err(DriverError::Transient("results were not taken any more".to_owned()))),
    };
    if outcome.is_err() && cx.stopped().borrow().is_none() {
        // What was counted before is wanted all the same.
        let _ = tokio::time::timeout(FLUSH, emit).await;
        return outcome;
    }
    let mut stop = cx.stopped();
    let stopped = async {
        if stop.wait_for(Option::is_some).await.is_ok() {
            tokio::time::sleep(FLUSH).await;
        }
    };
    tokio::select! {
        ended = emit => ended?,
        () = stopped => tracing::warn!(attempt = %cx.id(), "last results were not taken in time"),
    }
    outcome
}

/// Emits results one after the other: apart from the work, which must hear a stop while nobody takes them.
async fn emit_all(
    cx: &AttemptContext<HttpLoad>,
    mut pieces: mpsc::Receiver<Partial>,
) -> Result<(), DriverError> {
    while let Some(partial) = pieces.recv().await {
        cx.emit(&partial).await?;
    }
    Ok(())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The caps of this worker.
#[derive(Debug)]
struct Checks {
    max_rate: f64,
    max_connections: u32,
    open: OpenConnections,
    /// Whether the user gave the number of connections.
    asked_for: bool,
    descriptors: u64,
}

impl Checks {
    fn new(options: &Options, settled: &Settled) -> Checks {
        let descriptors = descriptors::raise();
        let open = match settled.max_connections {
            Some(all) => OpenConnections::Together(all),
            None => {
                let most = options.default_connections.min(options.max_connections);
                OpenConnections::PerWorker(descriptors::fit(most, false, descriptors).unwrap_or(1))
            }
        };
        let asked_for = settled.max_connections.is_some() || matches!(settled.load, Load::Closed { .. });
        let (max_rate, max_connections) = (options.max_rate, options.max_connections);
        Checks { max_rate, max_connections, open, asked_for, descriptors }
    }

    fn permit(&self, directive: &Directive) -> Result<(), Error> {
        let asked = share::peak_rate(directive);
        if asked > self.max_rate {
            return Err(Error::OverRate { asked, cap: self.max_rate });
        }
        let asked = share::most_connections(directive, self.open);
        if asked > self.max_connections {
            return Err(Error::OverConnections { asked, cap: self.max_connections });
        }
        descriptors::fit(asked, self.asked_for, self.descriptors).map(|_| ())
    }
}

/// The threads of an attempt. Dropping it stops them at once, without waiting for them.
#[derive(Debug)]
struct Crew {
    mailboxes: Vec<Arc<Mailbox>>,
    handles: Vec<JoinHandle<()>>,
}

impl Crew {
    fn start(
        setup: &Arc<Setup>,
        directive: &Directive,
        open: OpenConnections,
        most: usize,
    ) -> Result<(Crew, mpsc::Receiver<Message>), Error> {
        let threads = share::threads_for(directive, open, most);
        let bound = usize::try_from(threads).unwrap_or(1) * MESSAGES_PER_THREAD;
        let (sender, messages) = mpsc::channel(bound);
        let mut crew = Crew { mailboxes: Vec::new(), handles: Vec::new() };
        for (number, thread) in (0..threads).enumerate() {
            let plan = share::thread_plan(directive, open, thread, threads);
            let mailbox = Arc::new(Mailbox::new().map_err(Error::Start)?);
            let load = LoadThread::new(number, setup.clone(), plan, mailbox.clone(), sender.clone());
            let load = load.map_err(Error::Start)?;
            let handle = std::thread::Builder::new().name(format!("load-{number}")).spawn(move || load.run());
            crew.mailboxes.push(mailbox);
            crew.handles.push(handle.map_err(Error::Start)?);
        }
        Ok((crew, messages))
    }

    fn stop(&self, stop: Stop) {
        for mailbox in &self.mailboxes {
            mailbox.stop(stop);
        }
    }

    /// Waits for threads that have said their last word.
    async fn join(mut self) {
        let handles = std::mem::take(&mut self.handles);
        let join = move || {
            for handle in handles {
                // A panic was told by a message already.
                let _ = handle.join();
            }
        };
        let _ = shanty_rt::task::blocking("join load threads", join).await;
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop(Stop::Now);
    }
}

/// An attempt under way.
struct Attempt<'a> {
    cx: &'a AttemptContext<HttpLoad>,
    checks: Checks,
    setup: Arc<Setup>,
    crew: Crew,
    /// The newest one, in force or on its way to the threads.
    directive: Directive,
    gather: Gather,
    /// Threads that have adopted the newest directive.
    adopted: Vec<usize>,
    /// Results in order that wait to be emitted.
    unsent: VecDeque<Partial>,
    out: mpsc::Sender<Partial>,
}

impl Attempt<'_> {
    async fn go(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut changes: tokio::sync::watch::Receiver<String>,
    ) -> Result<Outcome, DriverError> {
        let mut stop = self.cx.stopped();
        let mut reason = *stop.borrow_and_update();
        if reason.is_some() {
            self.crew.stop(Stop::Soon);
        }
        let mut refused = None;
        let mut paused = None;
        let out = self.out.clone();
        let mut are_ended = false;
        while !are_ended || !self.unsent.is_empty() {
            let is_stopping = reason.is_some() || refused.is_some() || paused.is_some();
            tokio::select! {
                biased;
                changed = stop.changed(), if reason.is_none() => {
                    // The executor is gone when its sender is.
                    reason = if changed.is_ok() { *stop.borrow_and_update() } else { Some(StopReason::Superseded) };
                    if reason.is_some() {
                        self.crew.stop(Stop::Soon);
                    }
                }
                changed = changes.changed(), if reason.is_none() && refused.is_none() => {
                    match changed.map(|()| self.redirect()) {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            refused = Some(error);
                            self.crew.stop(Stop::Soon);
                        }
                        Err(_) => {
                            reason = Some(StopReason::Superseded);
                            self.crew.stop(Stop::Soon);
                        }
                    }
                }
                permit = out.reserve(), if !self.unsent.is_empty() => match (permit, self.unsent.pop_front()) {
                    (Ok(permit), Some(partial)) => permit.send(partial),
                    (Ok(_), None) => {}
                    (Err(_), _) => return Err(DriverError::Transient("results were not taken any more".to_owned())),
                },
                message = messages.recv(), if !are_ended && (is_stopping || self.unsent.len() < MOST_UNSENT) => match message {
                    Some(Message::Died(thread)) => return Err(Error::Died(thread).into()),
                    Some(Message::Paused(gap)) => {
                        paused = Some(gap);
                        self.crew.stop(Stop::Now);
                    }
                    Some(message) => self.take(message),
                    // Every thread has ended, and all that was said is heard.
                    None => are_ended = true,
                },
            }
        }
        self.crew.join().await;
        match (refused, paused, reason) {
            (Some(error), _, _) => Err(error),
            (None, Some(gap), _) => Err(Error::Paused(gap).into()),
            (None, None, Some(_)) => Ok(Outcome::Cancelled),
            (None, None, None) => Ok(Outcome::Done),
        }
    }

    /// Hands the newest directive to the threads.
    fn redirect(&mut self) -> Result<(), DriverError> {
        let new = self.cx.directive()?;
        if new.revision <= self.directive.revision {
            return Ok(());
        }
        match (&self.directive.load, &new.load) {
            (Load::Open { .. }, Load::Open { .. }) | (Load::Closed { .. }, Load::Closed { .. }) => {}
            (Load::Open { .. }, Load::Closed { .. }) | (Load::Closed { .. }, Load::Open { .. }) => {
                return Err(Error::LoopChanged.into());
            }
        }
        self.checks.permit(&new)?;
        let now = monotonic_ns().saturating_sub(self.setup.start_ns);
        let (since_ns, from_ns) = match share::first_difference(&self.directive, &new) {
            Some(ahead) if ahead > now => (ahead, ahead),
            Some(past) => (past, now + SWITCH_NS),
            None => (now, now),
        };
        let threads = u32::try_from(self.crew.mailboxes.len()).unwrap_or(u32::MAX);
        for (thread, mailbox) in (0u32..).zip(&self.crew.mailboxes) {
            let plan = share::thread_plan(&new, self.checks.open, thread, threads);
            mailbox.plan(NewPlan { revision: new.revision, since_ns, from_ns, plan });
        }
        self.directive = new;
        self.adopted.clear();
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Counted { thread, second, covered_ns, is_last, handover } => {
                self.absorb(thread, second, covered_ns, is_last, handover);
                for partial in self.gather.ready() {
                    if partial.lateness.count() > 0 {
                        self.cx.lateness(partial.lateness.quantile_ms(0.99));
                    }
                    self.unsent.push_back(partial);
                }
            }
            Message::Adopted { thread, revision } if revision == self.directive.revision => {
                if !self.adopted.contains(&thread) {
                    self.adopted.push(thread);
                }
                if self.adopted.len() == self.crew.mailboxes.len() {
                    self.cx.applied(revision);
                }
            }
            // Of an older plan; or dealt with by the caller.
            Message::Adopted { .. } | Message::Paused(_) | Message::Died(_) => {}
        }
    }

    fn absorb(&mut self, thread: usize, second: u32, covered_ns: u64, is_last: bool, handover: Handover) {
        let Handover { measured, warm_up } = handover;
        let mut deltas = vec![&measured];
        deltas.extend(warm_up.as_ref());
        self.gather.absorb(&Report { thread, second, covered_ns, is_last, deltas: &deltas });
        if let Some(mailbox) = self.crew.mailboxes.get(thread) {
            for mut delta in std::iter::once(measured).chain(warm_up) {
                delta.clear();
                mailbox.give_back(delta);
            }
        }
    }
}
