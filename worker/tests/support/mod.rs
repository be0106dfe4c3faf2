//! A small target server for the driver's tests: blocking threads, one per connection, any behaviour.
//!
//! In: a function from (connection, request on it) to what to answer. Out: its port and what it counted.
//! Never: used for measuring; `tests/src/target` is for that.

#![expect(dead_code, unreachable_pub, reason = "each test target uses a part of it, and none exports it")]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use shanty_model::kind::http_load::{HttpLoad, Partial, Spec};
use shanty_model::rate::{Directive, Plan};
use shanty_rt::clock::monotonic_ns;
use shanty_rt::driver::{AttemptContext, Driver as _, DriverError, Outcome, TestPort};
use shanty_worker::drivers::http_load::{HttpLoadDriver, Options};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does with a request.
#[derive(Clone)]
pub enum Reply {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, then the end of the connection.
    Last(Vec<u8>),
    /// These bytes one after the other, each in a packet of its own.
    Dribble(Vec<u8>),
    /// These bytes after a while.
    After(Duration, Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// An end without the usual politeness: a reset.
    Reset,
}

/// A plain answer with this status and body.
pub fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What came in.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When each request came, in order.
    pub arrivals: Vec<Instant>,
    /// The first request.
    pub first: Vec<u8>,
    /// Connections accepted.
    pub connections: usize,
    /// Most connections open at once.
    pub most_open: usize,
    open: usize,
}

/// The server. Ends its threads when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// A server that does what `reply` says for request `.1` of connection `.0`, both from 0.
    pub fn start(reply: impl Fn(usize, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, ended) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (reply, books, over) = (Arc::new(reply), seen.clone(), ended.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let number = {
                    let mut seen = books.lock().unwrap();
                    seen.connections += 1;
                    seen.open += 1;
                    seen.most_open = seen.most_open.max(seen.open);
                    seen.connections - 1
                };
                let (reply, books, over) = (reply.clone(), books.clone(), over.clone());
                std::thread::spawn(move || {
                    serve(&stream, number, &*reply, &books, &over);
                    books.lock().unwrap().open -= 1;
                });
            }
        });
        Server { address, seen, ended }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().arrivals.len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: &TcpStream,
    connection: usize,
    reply: &dyn Fn(usize, usize) -> Reply,
    seen: &Mutex<Seen>,
    over: &AtomicBool,
) {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    let mut number = 0;
    loop {
        while let Some(len) = request_len(&bytes) {
            {
                let mut seen = seen.lock().unwrap();
                if seen.arrivals.is_empty() {
                    seen.first = bytes[..len].to_vec();
                }
                seen.arrivals.push(Instant::now());
            }
            bytes.drain(..len);
            let sent = match reply(connection, number) {
                Reply::Bytes(out) => stream.write_all(&out),
                Reply::Last(out) => {
                    let _ = stream.write_all(&out);
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                Reply::Dribble(out) => out.chunks(1).try_for_each(|byte| stream.write_all(byte)),
                Reply::After(delay, out) => {
                    std::thread::sleep(delay);
                    stream.write_all(&out)
                }
                Reply::Silence => Ok(()),
                Reply::Reset => {
                    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
            number += 1;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if over.load(Ordering::SeqCst) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn request_len(bytes: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).unwrap() else { return None };
    let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(0, |h| std::str::from_utf8(h.value).unwrap().parse::<usize>().unwrap());
    (bytes.len() >= head + body).then_some(head + body)
}

/// A driver with this many load threads.
pub fn driver(threads: usize) -> HttpLoadDriver {
    HttpLoadDriver::new(Options { threads: NonZeroUsize::new(threads), ..Options::default() })
}

/// An open loop at `rate` for `duration`.
pub fn open(server: &Server, rate: f64, duration: Duration) -> Spec {
    Spec { url: server.url(), rate: Some(rate), duration: Some(duration), ..Spec::default() }
}

/// A closed loop with `connections` for `duration`.
pub fn closed(server: &Server, connections: u32, duration: Duration) -> Spec {
    Spec { url: server.url(), connections: Some(connections), duration: Some(duration), ..Spec::default() }
}

/// The plan of a run of `spec` on workers with these scores.
pub fn plan(spec: &Spec, scores: &[u64]) -> Plan {
    Plan::new(spec.settle().unwrap().load, scores.to_vec())
}

/// An attempt under way.
pub struct Running {
    pub port: Arc<TestPort>,
    pub start_ns: u64,
    task: std::thread::JoinHandle<Result<Outcome, DriverError>>,
}

/// Starts an attempt that begins 50 ms from now.
pub fn start(driver: &HttpLoadDriver, spec: &Spec, directive: &Directive) -> Running {
    start_at(driver, spec, directive, monotonic_ns() + 50_000_000)
}

/// Starts an attempt that begins at an instant of CLOCK_MONOTONIC.
pub fn start_at(driver: &HttpLoadDriver, spec: &Spec, directive: &Directive, start_ns: u64) -> Running {
    let (cx, port) = AttemptContext::<HttpLoad>::for_test(spec, &(), directive, start_ns).unwrap();
    let driver = driver.clone();
    let task = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(driver.run(cx))
    });
    Running { port, start_ns, task }
}

impl Running {
    /// Waits for the end; answers the outcome and all results together.
    pub fn end(self) -> (Result<Outcome, DriverError>, Sum) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.task.is_finished() {
            assert!(Instant::now() < deadline, "the attempt did not end within 30 s");
            std::thread::sleep(Duration::from_millis(2));
        }
        let outcome = self.task.join().unwrap();
        (outcome, sum(&self.port))
    }

    /// Waits until `condition` holds, for at most 10 s.
    pub fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        eventually(what, || condition(self));
    }

    /// Sends a directive.
    pub fn direct(&self, directive: &Directive) {
        self.port.directive.send_replace(serde_json::to_string(directive).unwrap());
    }

    /// Nanoseconds since the run's start.
    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }
}

/// Waits until `condition` holds, for at most 10 s.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// All results of an attempt.
#[derive(Debug, Default)]
pub struct Sum {
    pub partials: Vec<Partial>,
    pub sent: u64,
    pub completed: u64,
    pub dropped: u64,
    pub waited: u64,
    pub errors: BTreeMap<String, u64>,
    pub statuses: BTreeMap<u16, u64>,
}

impl Sum {
    /// Requests that came to nothing.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The only error class there is, with its count.
    pub fn only_error(&self) -> (&str, u64) {
        assert_eq!(self.errors.len(), 1, "{:?}", self.errors);
        self.errors.iter().next().map(|(class, count)| (class.as_str(), *count)).unwrap()
    }
}

/// The results that came so far.
pub fn sum(port: &TestPort) -> Sum {
    let mut sum = Sum::default();
    for bytes in port.seen().partials {
        let partial: Partial = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(partial.response.count(), partial.completed);
        assert_eq!(partial.service.count(), partial.completed);
        assert_eq!(partial.statuses.values().sum::<u64>(), partial.completed);
        assert!(sum.partials.last().is_none_or(|last: &Partial| last.covered_ns <= partial.covered_ns));
        sum.sent += partial.sent;
        sum.completed += partial.completed;
        sum.dropped += partial.dropped;
        sum.waited += partial.waited;
        for (class, count) in &partial.errors {
            *sum.errors.entry(class.name().to_owned()).or_default() += count;
        }
        for (status, count) in &partial.statuses {
            *sum.statuses.entry(*status).or_default() += count;
        }
        sum.partials.push(partial);
    }
    sum
}
