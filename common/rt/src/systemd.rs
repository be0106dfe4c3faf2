//! What systemd is told: ready, status, signs of life, and when a daemon stops.
//!
//! Signs of life are sent by the loop that does the work, never by a timer of their own, so a daemon whose
//! loop hangs is restarted. A process with two daemons in it is ready when both are, and lives while both do.
//! Outside of systemd, and for nodes embedded in another process, all of it does nothing.
//! Tests: below; with a real systemd in `tests/`.

use sd_notify::NotifyState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One daemon's way to systemd, if there is one. Clones speak for the same daemon.
#[derive(Debug, Clone)]
pub struct Systemd {
    process: Arc<Mutex<Process>>,
    part: usize,
}

/// What the daemons of this process have said.
#[derive(Debug, Default)]
struct Process {
    speaks: bool,
    watchdog: Option<Duration>,
    parts: Vec<Part>,
    last_status: String,
    /// When a sign of life was sent, boot time.
    last_sign: Option<Duration>,
}

#[derive(Debug, Default)]
struct Part {
    ready: bool,
    stopping: bool,
    status: String,
    /// Its newest sign of life, boot time.
    sign: Option<Duration>,
}

impl Default for Systemd {
    fn default() -> Self {
        let process = Process { parts: vec![Part::default()], ..Process::default() };
        Systemd { process: Arc::new(Mutex::new(process)), part: 0 }
    }
}

impl Systemd {
    /// Speaks to systemd if it started this process.
    #[must_use]
    pub fn of_this_process() -> Systemd {
        let [one] = Systemd::of_daemons(Process::started_by_systemd());
        one
    }

    /// The same for a process that holds two daemons.
    #[must_use]
    pub fn of_two() -> [Systemd; 2] {
        Systemd::of_daemons(Process::started_by_systemd())
    }

    fn of_daemons<const N: usize>(mut process: Process) -> [Systemd; N] {
        process.parts = (0..N).map(|_| Part::default()).collect();
        let process = Arc::new(Mutex::new(process));
        std::array::from_fn(|part| Systemd { process: process.clone(), part })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        // What a panic leaves behind is still what was said.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It does its work, or waits for what it needs and says so.
    pub fn ready(&self) {
        self.process().ready(self.part);
    }

    /// One line for `systemctl status`; repeated ones are not sent.
    pub fn status(&self, text: String) {
        self.process().status(self.part, text);
    }

    /// A sign of life of the loop; one of the process is sent about three times in a watchdog period, when each of
    /// its daemons has given one since. `now` is boot time.
    pub fn sign_of_life(&self, now: Duration) {
        self.process().sign_of_life(self.part, now);
    }

    /// It is not ready yet, and is heard from again within `patience`.
    pub fn starting(&self, patience: Duration) {
        self.process().tell(&[extension(patience)]);
    }

    /// It stops; it needs up to `patience` for it. How long the stop may take is systemd's matter from here on.
    pub fn stopping(&self, patience: Duration) {
        self.process().stopping(self.part, patience);
    }
}

impl Process {
    fn started_by_systemd() -> Process {
        let speaks = std::env::var_os("NOTIFY_SOCKET").is_some();
        Process { speaks, watchdog: sd_notify::watchdog_enabled(), ..Process::default() }
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.speaks
            && let Err(error) = sd_notify::notify(state)
        {
            tracing::debug!(%error, "systemd cannot be told");
        }
    }

    fn ready(&mut self, part: usize) {
        self.parts[part].ready = true;
        if self.parts.iter().all(|part| part.ready) {
            self.tell(&[NotifyState::Ready]);
        }
    }

    fn status(&mut self, part: usize, text: String) {
        self.parts[part].status = text;
        let said = self.parts.iter().map(|part| part.status.as_str()).filter(|text| !text.is_empty());
        let all = said.collect::<Vec<_>>().join("; ");
        if self.last_status != all {
            self.tell(&[NotifyState::Status(&all)]);
            self.last_status = all;
        }
    }

    fn sign_of_life(&mut self, part: usize, now: Duration) {
        self.parts[part].sign = Some(now);
        let Some(period) = self.watchdog else { return };
        let due = self.last_sign.is_none_or(|last| now.saturating_sub(last) >= period / 3);
        let lives = |part: &Part| part.stopping || part.sign.is_some_and(|sign| Some(sign) > self.last_sign);
        if due && self.parts.iter().all(lives) {
            self.tell(&[NotifyState::Watchdog]);
            self.last_sign = Some(now);
        }
    }

    fn stopping(&mut self, part: usize, patience: Duration) {
        self.parts[part].stopping = true;
        self.tell(&[NotifyState::Stopping, extension(patience)]);
    }
}

fn extension(patience: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(patience.as_micros()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched<const N: usize>() -> [Systemd; N] {
        Systemd::of_daemons(Process { watchdog: Some(Duration::from_secs(9)), ..Process::default() })
    }

    fn last_sign(systemd: &Systemd) -> Option<u64> {
        systemd.process().last_sign.map(|at| at.as_secs())
    }

    #[test]
    fn signs_of_life_are_spaced_by_a_third_of_the_period() {
        let [systemd] = watched();
        let mut seen = Vec::new();
        for second in [100, 102, 103] {
            systemd.sign_of_life(Duration::from_secs(second));
            seen.push(last_sign(&systemd));
        }
        assert_eq!(seen, [Some(100), Some(100), Some(103)]);
    }

    #[test]
    fn a_process_of_two_lives_while_both_do() {
        let [one, two] = watched();
        for second in 100..120 {
            one.sign_of_life(Duration::from_secs(second));
        }
        assert_eq!(last_sign(&one), None, "the other one has not lived yet");
        two.sign_of_life(Duration::from_secs(120));
        assert_eq!(last_sign(&one), Some(120));
        for second in 121..140 {
            two.sign_of_life(Duration::from_secs(second));
        }
        assert_eq!(last_sign(&one), Some(120), "the first one hangs");
        one.stopping(Duration::from_secs(1));
        two.sign_of_life(Duration::from_secs(140));
        assert_eq!(last_sign(&one), Some(140), "a daemon that stops needs no signs");
    }

    #[test]
    fn a_process_of_two_is_ready_when_both_are_and_says_what_both_do() {
        let [one, two] = watched();
        one.ready();
        assert!(!two.process().parts.iter().all(|part| part.ready));
        two.ready();
        assert!(one.process().parts.iter().all(|part| part.ready));
        one.status("standing by".to_owned());
        two.status("m1 leads".to_owned());
        assert_eq!(one.process().last_status, "standing by; m1 leads");
    }
}
