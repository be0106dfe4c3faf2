//! What systemd is told: ready, status, signs of life, and when the master shuts down.
//!
//! Signs of life come from whoever makes progress (see `serve`), never from a timer of their own.
//! Outside of systemd, and for a master embedded in another process, all of it does nothing.

use sd_notify::NotifyState;

/// The way to systemd, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Systemd {
    speaks: bool,
}

impl Systemd {
    /// Speaks to systemd if it started this process.
    pub(crate) fn of_this_process() -> Systemd {
        Systemd { speaks: std::env::var_os("NOTIFY_SOCKET").is_some() }
    }

    fn tell(self, state: &[NotifyState<'_>]) {
        if self.speaks
            && let Err(error) = sd_notify::notify(state)
        {
            tracing::debug!(%error, "systemd cannot be told");
        }
    }

    /// The master listens, and leads or stands by.
    pub(crate) fn ready(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(self, text: &str) {
        self.tell(&[NotifyState::Status(text)]);
    }

    /// A sign of life.
    pub(crate) fn sign_of_life(self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// The master shuts down.
    pub(crate) fn stopping(self) {
        self.tell(&[NotifyState::Stopping]);
    }
}
