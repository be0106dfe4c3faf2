//! A standby hands a public call to the leader, bytes and streams alike, so that any master answers any
//! call. While nobody leads, a call waits a little.
//!
//! In: HTTP/2 requests. Out: the leader's answer, or UNAVAILABLE, also when another leads before it has answered. A broken connection to the leader in the
//! middle of a stream ends it UNAVAILABLE, so that clients know to try again.

use super::status;
use crate::election::Leadership;
use crate::runtime::Leading;
use futures_util::future::BoxFuture;
use hyper::body::Frame;
use shanty_rt::tls::{self, Credentials};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Channel;
use tower::{Service, ServiceExt as _};

/// Calls below these paths are the leader's.
const PUBLIC: &str = "/shanty.v1.";
/// Calls that any master answers by itself: they are there for when the leader does not.
const ANYWHERE: [&str; 5] =
    ["ListTerms", "ForceFailover", "PauseFailover", "ResumeFailover", "ChangeSentinels"];
/// Marks a call that was handed on, so that two masters never hand it to each other for ever.
const FORWARDED: &str = "shanty-forwarded";
/// How long a leader of the past may take to answer what it was asked before.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How long a call waits for somebody to lead.
const PATIENCE: Duration = Duration::from_secs(3);

/// The public services with the hand-over in front.
#[derive(Debug, Clone)]
pub struct Forward {
    routes: Routes,
    leading: Leading,
    leadership: watch::Receiver<Leadership>,
    credentials: Option<Credentials>,
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
}

/// Who answers a call.
enum Answerer {
    Here,
    There(Channel),
}

impl Forward {
    /// `routes` with the hand-over in front.
    #[must_use]
    pub fn new(
        routes: Routes,
        leading: Leading,
        leadership: watch::Receiver<Leadership>,
        credentials: Option<Credentials>,
    ) -> Forward {
        Forward { routes, leading, leadership, credentials, channels: Arc::default() }
    }

    async fn handle(mut self, mut request: http::Request<Body>) -> http::Response<Body> {
        let path = request.uri().path();
        let is_leaders = path.starts_with(PUBLIC)
            && path.rsplit('/').next().is_none_or(|method| !ANYWHERE.contains(&method));
        if !is_leaders {
            return self.here(request).await;
        }
        let handed_on = request.headers().contains_key(FORWARDED);
        match self.answerer(handed_on).await {
            Ok(Answerer::Here) => self.here(request).await,
            Ok(Answerer::There(mut channel)) => {
                request.headers_mut().insert(FORWARDED, http::HeaderValue::from_static("1"));
                let (sent, mut gone) = {
                    let sent = async move { channel.ready().await?.call(request).await };
                    (sent, self.succeeded())
                };
                let sent = tokio::select! {
                    sent = sent => sent,
                    () = &mut gone => {
                        let message = "the leader changed before it answered: try again";
                        return status::unavailable("NO_LEADER", message).into_http();
                    }
                };
                match sent {
                    Ok(response) => {
                        response.map(|body| Body::new(Unbroken { inner: body, gone, over: false }))
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the leader did not answer");
                        let message = "the leader did not answer: try again";
                        status::unavailable("NO_LEADER", message).into_http()
                    }
                }
            }
            Err(status) => status.into_http(),
        }
    }

    /// Waits until another leads than now, and a while: a leader that sleeps, or is cut off, ends no stream by itself; one
    /// that handed over may still answer.
    fn succeeded(&self) -> BoxFuture<'static, ()> {
        let mut leadership = self.leadership.clone();
        let term = |now: &Leadership| now.leader.as_ref().map(|leader| leader.epoch);
        let before = term(&leadership.borrow_and_update());
        Box::pin(async move {
            let later = |now: &Leadership| term(now).is_some() && term(now) != before;
            if leadership.wait_for(later).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(AFTERWARDS).await;
        })
    }

    async fn here(&mut self, request: http::Request<Body>) -> http::Response<Body> {
        match self.routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn answerer(&mut self, handed_on: bool) -> Result<Answerer, Status> {
        let nobody = || status::unavailable("NO_LEADER", "no master leads right now: try again");
        let wait = async {
            let mut cores = self.leading.changes();
            loop {
                if self.leading.core().is_ok() {
                    return Ok(Answerer::Here);
                }
                let seen = self.leadership.borrow_and_update().clone();
                if let (Some(leader), false) = (&seen.leader, seen.mine) {
                    if handed_on {
                        return Err(nobody());
                    }
                    return Ok(Answerer::There(self.channel(&leader.address)?));
                }
                let changed = tokio::select! {
                    changed = self.leadership.changed() => changed,
                    changed = cores.changed() => changed,
                };
                changed.map_err(|_| nobody())?;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| Err(nobody()))
    }

    /// The connection to a leader, kept for the next call. Connects when it is used.
    fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let credentials = self.credentials.as_ref();
        let endpoint = tls::endpoint(address, credentials)
            .map_err(|_| {
                status::unavailable("NO_LEADER", &format!("the leader's address `{address}` is no address"))
            })?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(3));
        let channel = tls::connect_lazy(&endpoint, credentials);
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

impl Service<http::Request<hyper::body::Incoming>> for Forward {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The routes and lazily connected channels are always ready to take a call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.handle(request.map(Body::new)).await) })
    }
}

/// A body whose breaking becomes the trailers of an UNAVAILABLE status.
struct Unbroken {
    inner: Body,
    /// Another leads.
    gone: BoxFuture<'static, ()>,
    over: bool,
}

impl hyper::body::Body for Unbroken {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(next) => next.map(|frame| frame.map_err(|_broken| ())),
            Poll::Pending => {
                std::task::ready!(self.gone.as_mut().poll(cx));
                Some(Err(()))
            }
        };
        match next {
            Some(Err(())) => {
                self.over = true;
                let status = status::unavailable("NO_LEADER", "the leader went away: try again");
                let mut trailers = http::HeaderMap::new();
                match status.add_header(&mut trailers) {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    Err(status) => Poll::Ready(Some(Err(status))),
                }
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            None => Poll::Ready(None),
        }
    }
}
