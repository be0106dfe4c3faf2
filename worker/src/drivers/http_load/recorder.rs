//! What one thread counts and measures, handed over once a second.
//!
//! A request belongs to the warm-up or to the measured time by its intended start, whenever it ends: so what
//! was sent in either part and what came of it agree. Each part has a [`Delta`] of its own.
//! In: outcomes of requests. Out: deltas; empty ones come back and are used again.
//! Never: allocates after it was made.
//! Tests: below.

use shanty_model::histogram::Latencies;
use shanty_model::kind::http_load::ErrorClass;

/// Deltas per part: one being filled, one under way, one to spare for a slow reader.
const DELTAS: usize = 3;
/// Statuses are three digits.
const STATUSES: usize = 1000;

/// Which part of the run a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    /// The warm-up.
    WarmUp,
    /// What is measured.
    Measured,
}

/// Counts and times of one thread since its last delta.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) section: Section,
    pub(super) sent: u64,
    pub(super) completed: u64,
    /// By the class's position in [`ErrorClass::ALL`].
    pub(super) errors: [u64; ErrorClass::ALL.len()],
    /// By status.
    pub(super) statuses: Vec<u64>,
    pub(super) dropped: u64,
    pub(super) astray: u64,
    pub(super) waited: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) response: Latencies,
    pub(super) service: Latencies,
    pub(super) lateness: Latencies,
}

impl Delta {
    pub(super) fn new(section: Section) -> Delta {
        Delta {
            section,
            sent: 0,
            completed: 0,
            errors: [0; ErrorClass::ALL.len()],
            statuses: vec![0; STATUSES],
            dropped: 0,
            astray: 0,
            waited: 0,
            bytes_sent: 0,
            bytes_received: 0,
            response: Latencies::new(),
            service: Latencies::new(),
            lateness: Latencies::new(),
        }
    }

    /// Forgets everything; keeps its memory.
    pub(super) fn clear(&mut self) {
        self.sent = 0;
        self.completed = 0;
        self.errors.fill(0);
        self.statuses.fill(0);
        self.dropped = 0;
        self.astray = 0;
        self.waited = 0;
        self.bytes_sent = 0;
        self.bytes_received = 0;
        self.response.clear();
        self.service.clear();
        self.lateness.clear();
    }
}

/// A request that ended well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completed {
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) status: u16,
}

/// Where a thread counts.
#[derive(Debug)]
pub(super) struct Recorder {
    warm_up_ns: u64,
    measured: Delta,
    warm_up: Option<Delta>,
    spare: Vec<Delta>,
}

impl Recorder {
    /// With the memory for all of a run.
    pub(super) fn new(warm_up_ns: u64) -> Recorder {
        let sections: &[Section] =
            if warm_up_ns > 0 { &[Section::Measured, Section::WarmUp] } else { &[Section::Measured] };
        let mut spare = Vec::with_capacity(sections.len() * DELTAS);
        for section in sections {
            spare.extend((1..DELTAS).map(|_| Delta::new(*section)));
        }
        Recorder {
            warm_up_ns,
            measured: Delta::new(Section::Measured),
            warm_up: (warm_up_ns > 0).then(|| Delta::new(Section::WarmUp)),
            spare,
        }
    }

    #[inline]
    fn part(&mut self, intended_ns: u64) -> &mut Delta {
        match &mut self.warm_up {
            Some(warm_up) if intended_ns < self.warm_up_ns => warm_up,
            Some(_) | None => &mut self.measured,
        }
    }

    /// An arrival whose turn came `late_ns` after its intended start.
    #[inline]
    pub(super) fn turn(&mut self, intended_ns: u64, late_ns: u64) {
        self.part(intended_ns).lateness.record_ns(late_ns);
    }

    /// An arrival that found every connection busy.
    #[inline]
    pub(super) fn waited(&mut self, intended_ns: u64) {
        self.part(intended_ns).waited += 1;
    }

    /// `count` arrivals that are not sent.
    pub(super) fn dropped(&mut self, intended_ns: u64, count: u64) {
        self.part(intended_ns).dropped += count;
    }

    /// `count` arrivals were sent that others had by then.
    pub(super) fn astray(&mut self, intended_ns: u64, count: u64) {
        self.part(intended_ns).astray += count;
    }

    /// A request that is being sent.
    #[inline]
    pub(super) fn sent(&mut self, intended_ns: u64) {
        self.part(intended_ns).sent += 1;
    }

    /// Bytes on the wire.
    #[inline]
    pub(super) fn bytes(&mut self, intended_ns: u64, sent: usize, received: usize) {
        let part = self.part(intended_ns);
        part.bytes_sent += sent as u64;
        part.bytes_received += received as u64;
    }

    /// A whole answer.
    #[inline]
    pub(super) fn completed(&mut self, request: Completed) {
        let part = self.part(request.intended_ns);
        part.completed += 1;
        if let Some(count) = part.statuses.get_mut(usize::from(request.status)) {
            *count += 1;
        }
        part.response.record_ns(request.ended_ns.saturating_sub(request.intended_ns));
        part.service.record_ns(request.ended_ns.saturating_sub(request.sent_ns));
    }

    /// A request that came to nothing.
    pub(super) fn failed(&mut self, intended_ns: u64, class: ErrorClass) {
        let at = ErrorClass::ALL.iter().position(|c| *c == class).unwrap_or(0);
        self.part(intended_ns).errors[at] += 1;
    }

    /// Takes what was counted, if there are empty deltas to go on with.
    pub(super) fn swap(&mut self) -> Option<Handover> {
        let measured = self.spare(Section::Measured)?;
        let warm_up = if self.warm_up.is_some() {
            let Some(warm_up) = self.spare(Section::WarmUp) else {
                self.spare.push(measured);
                return None;
            };
            self.warm_up.replace(warm_up)
        } else {
            None
        };
        Some(Handover { measured: std::mem::replace(&mut self.measured, measured), warm_up })
    }

    /// Takes an empty delta back.
    pub(super) fn give_back(&mut self, delta: Delta) {
        self.spare.push(delta);
    }

    /// What was counted last.
    pub(super) fn finish(self) -> Handover {
        Handover { measured: self.measured, warm_up: self.warm_up }
    }

    fn spare(&mut self, section: Section) -> Option<Delta> {
        let at = self.spare.iter().position(|delta| delta.section == section)?;
        Some(self.spare.swap_remove(at))
    }
}

/// What a thread hands over.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) measured: Delta,
    pub(super) warm_up: Option<Delta>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(intended_ns: u64) -> Completed {
        Completed { intended_ns, sent_ns: intended_ns + 10_000, ended_ns: intended_ns + 30_000, status: 200 }
    }

    #[test]
    fn a_request_counts_where_it_was_intended_however_late_it_ends() {
        let mut recorder = Recorder::new(1_000);
        recorder.sent(999);
        recorder.sent(1_000);
        recorder.completed(done(999));
        recorder.failed(1_000, ErrorClass::Timeout);
        let handover = recorder.swap().unwrap();
        let warm_up = handover.warm_up.unwrap();
        assert_eq!((warm_up.sent, warm_up.completed, warm_up.statuses[200]), (1, 1, 1));
        assert_eq!((handover.measured.sent, handover.measured.completed), (1, 0));
        assert_eq!(handover.measured.errors[5], 1);
        assert!(warm_up.response.max_ms() > warm_up.service.max_ms());
    }

    #[test]
    fn without_an_empty_delta_it_keeps_counting() {
        let mut recorder = Recorder::new(0);
        let mut out: Vec<Handover> = (0..2).map(|_| recorder.swap().unwrap()).collect();
        recorder.sent(1);
        assert!(recorder.swap().is_none());
        recorder.sent(2);
        recorder.give_back(out.pop().unwrap().measured);
        assert_eq!(recorder.swap().unwrap().measured.sent, 2);
    }
}
