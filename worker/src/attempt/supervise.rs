//! Runs a driver; whatever it does, the attempt has one end.
//!
//! In: a driver, a port, a token that ends a driver that does not listen. Out: an [`End`].
//! Never: lets a panic through.
//! Tests: below.

use super::port::Port;
use crate::link::{End, EndKind};
use futures_util::FutureExt as _;
use shanty_rt::driver::{AttemptPort as _, DriverError, ErasedDriver, Outcome, StopReason};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs `driver` on `port` to its end, or until `abort`.
pub(crate) async fn supervise(
    driver: Arc<dyn ErasedDriver>,
    port: Arc<Port>,
    abort: CancellationToken,
) -> End {
    // The state behind the port is kept by locks that forgive a panic, so nothing half-done is seen.
    let guarded = AssertUnwindSafe({
        let port = port.clone();
        async move { driver.run(port).await }
    })
    .catch_unwind();
    let result = tokio::select! {
        result = guarded => result,
        () = abort.cancelled() => return stopped(&port, "it did not stop in time and was ended"),
    };
    match result {
        Ok(Ok(Outcome::Done)) => End { kind: EndKind::Done, reason: String::new(), transient: false },
        Ok(Ok(Outcome::Cancelled)) => stopped(&port, ""),
        Ok(Err(DriverError::Permanent(reason))) => failed(reason, false),
        Ok(Err(DriverError::Transient(reason))) => failed(reason, true),
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            tracing::error!(attempt = %port.id(), message, "driver panicked");
            failed(format!("the driver panicked: {message}"), false)
        }
    }
}

fn failed(reason: String, transient: bool) -> End {
    End { kind: EndKind::Failed, reason, transient }
}

fn stopped(port: &Port, detail: &str) -> End {
    let (kind, reason) = match *port.stop().borrow() {
        Some(StopReason::Cancelled) | None => (EndKind::Cancelled, "cancelled"),
        Some(StopReason::Superseded) => (EndKind::Cancelled, "another attempt took over"),
        Some(StopReason::Orphaned) => (EndKind::Orphaned, "no master was heard for too long"),
    };
    let reason = if detail.is_empty() { reason.to_owned() } else { format!("{reason}; {detail}") };
    End { kind, reason, transient: false }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Work;
    use futures_util::future::BoxFuture;
    use shanty_model::kind::Shape;
    use shanty_rt::driver::AttemptPort;

    struct Fake(fn() -> BoxFuture<'static, Result<Outcome, DriverError>>);

    impl ErasedDriver for Fake {
        fn kind(&self) -> &'static str {
            "fake"
        }
        fn shape(&self) -> Shape {
            Shape::Rate
        }
        fn run(&self, _port: Arc<dyn AttemptPort>) -> BoxFuture<'static, Result<Outcome, DriverError>> {
            (self.0)()
        }
    }

    async fn end_of(
        run: fn() -> BoxFuture<'static, Result<Outcome, DriverError>>,
        stop: Option<StopReason>,
    ) -> End {
        let port = Port::new(
            "a.1/0#1".parse().unwrap(),
            Work::default(),
            String::new(),
            |_, _| None,
            Arc::default(),
        );
        let abort = CancellationToken::new();
        if let Some(reason) = stop {
            port.ask_to_stop(reason);
            abort.cancel();
        }
        supervise(Arc::new(Fake(run)), Arc::new(port), abort).await
    }

    #[tokio::test]
    async fn every_way_to_end_is_told() {
        let done = end_of(|| Box::pin(async { Ok(Outcome::Done) }), None).await;
        assert_eq!((done.kind, done.reason.as_str()), (EndKind::Done, ""));
        let failed =
            end_of(|| Box::pin(async { Err(DriverError::Transient("no route".to_owned())) }), None).await;
        assert_eq!(
            (failed.kind, failed.reason.as_str(), failed.transient),
            (EndKind::Failed, "no route", true)
        );
        let panicked = end_of(|| Box::pin(async { panic!("boom {}", 1) }), None).await;
        assert_eq!(
            (panicked.kind, panicked.reason.as_str()),
            (EndKind::Failed, "the driver panicked: boom 1")
        );
        let at_once = end_of(|| panic!("before its first await"), None).await;
        assert_eq!(at_once.kind, EndKind::Failed);
    }

    #[tokio::test]
    async fn a_driver_that_does_not_listen_is_ended_with_the_reason_of_the_stop() {
        let deaf = || -> BoxFuture<'static, _> { Box::pin(std::future::pending()) };
        let orphaned = end_of(deaf, Some(StopReason::Orphaned)).await;
        assert_eq!(orphaned.kind, EndKind::Orphaned);
        assert!(orphaned.reason.contains("did not stop in time"));
        assert_eq!(end_of(deaf, Some(StopReason::Superseded)).await.kind, EndKind::Cancelled);
    }
}
