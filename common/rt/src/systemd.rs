//! What systemd is told: ready, status, signs of life, and when a daemon stops.
//!
//! Signs of life are sent by the loop that does the work, never by a timer of their own, so a daemon whose
//! loop hangs is restarted. Outside of systemd, and for nodes embedded in another process, all of it does
//! nothing.
//! Tests: below; with a real systemd in `tests/`.

use sd_notify::NotifyState;
use std::time::Duration;

/// The way to systemd, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Systemd {
    speaks: bool,
    watchdog: Option<Duration>,
    last_status: String,
    last_sign: Option<Duration>,
}

impl Systemd {
    /// Speaks to systemd if it started this process.
    #[must_use]
    pub fn of_this_process() -> Systemd {
        let speaks = std::env::var_os("NOTIFY_SOCKET").is_some();
        Systemd { speaks, watchdog: sd_notify::watchdog_enabled(), ..Systemd::default() }
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.speaks
            && let Err(error) = sd_notify::notify(state)
        {
            tracing::debug!(%error, "systemd cannot be told");
        }
    }

    /// It does its work, or waits for what it needs and says so.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`; repeated ones are not sent.
    pub fn status(&mut self, text: String) {
        if self.last_status != text {
            self.tell(&[NotifyState::Status(&text)]);
            self.last_status = text;
        }
    }

    /// A sign of life of the loop, sent at most twice per watchdog period. `now` is boot time.
    pub fn sign_of_life(&mut self, now: Duration) {
        if let Some(period) = self.watchdog
            && self.last_sign.is_none_or(|last| now.saturating_sub(last) >= period / 3)
        {
            self.tell(&[NotifyState::Watchdog]);
            self.last_sign = Some(now);
        }
    }

    /// It stops; it needs up to `patience` for it.
    pub fn stopping(&self, patience: Duration) {
        let patience_us = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(patience_us)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_spaced_by_a_third_of_the_period() {
        let mut systemd = Systemd { watchdog: Some(Duration::from_secs(9)), ..Systemd::default() };
        systemd.sign_of_life(Duration::from_secs(100));
        systemd.sign_of_life(Duration::from_secs(102));
        assert_eq!(systemd.last_sign, Some(Duration::from_secs(100)));
        systemd.sign_of_life(Duration::from_secs(103));
        assert_eq!(systemd.last_sign, Some(Duration::from_secs(103)));
    }
}
