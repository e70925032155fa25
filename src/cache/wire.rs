//! HTTP, for the caches that are reached by it. One agent for all requests; every wait has an end.
//!
//! What has failed at once (a connection that was cut, an overloaded server) is tried a second time, what took long is not:
//! with these limits one request loses less than ten seconds whatever the server does.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Request, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

use super::Fault;
use crate::clock::{Clock, SystemClock};

/// For a name to be resolved.
const RESOLVE: Duration = Duration::from_secs(2);
/// For a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// For the beginning of an answer, after all was sent.
const ANSWER: Duration = Duration::from_secs(5);
/// For the next bytes.
const SILENCE: Duration = Duration::from_secs(4);
/// What fails later than this is not tried again.
const SOON: Duration = Duration::from_millis(500);
/// The longest pause before a second try, whatever the server asks for.
const PAUSE: Duration = Duration::from_millis(1500);
/// After [`SILENCE`], an answer must have come in at no fewer bytes a second.
const SLOWEST: u64 = 16 << 10;
/// So much of the text of an error is read.
const TEXT: u64 = 64 << 10;

/// The way to servers.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    agent: Agent,
    clock: Arc<SystemClock>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status and headers.
    pub(super) head: Response<()>,
    /// Its body; of an error no more than its beginning.
    pub(super) body: Vec<u8>,
}

thread_local! {
    /// What the last request of this thread came to, for callers who are told less.
    static LAST: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

impl Wire {
    /// A way on which nothing was sent yet. Nothing is opened before it is used.
    pub(super) fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .user_agent(concat!("amlrun/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_redirects(3)
            .max_idle_connections(32)
            .max_idle_connections_per_host(32)
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .build();
        Self { agent: config.new_agent(), clock: Arc::new(SystemClock::new()) }
    }

    /// Cuts short what is under way, and all that comes later.
    pub(super) fn abandon(&self) {
        self.agent.clone().shutdown();
    }

    /// Asks, and reads the answer, of which no more than `limit` bytes are taken. An answer that says no is an answer.
    pub(super) fn send(&self, request: &Request<Vec<u8>>, limit: u64) -> Result<Answer, Fault> {
        let began = self.clock.elapsed();
        let mut answer = self.once(request, limit);
        if let Some(pause) = pause(&answer)
            && self.clock.elapsed().saturating_sub(began) < SOON
        {
            std::thread::park_timeout(pause);
            answer = self.once(request, limit);
        }
        let fault = match &answer {
            Ok(answer) => fault_of(answer.head.status(), &answer.body, request),
            Err((fault, _)) => Some(fault.clone()),
        };
        LAST.with_borrow_mut(|last| *last = fault);
        answer.map_err(|(fault, _)| fault)
    }

    /// One try; a fault comes with whether another may help.
    fn once(&self, request: &Request<Vec<u8>>, limit: u64) -> Result<Answer, (Fault, bool)> {
        let (parts, body) = (request, request.body());
        let mut builder = Request::builder().method(parts.method()).uri(parts.uri());
        if let Some(headers) = builder.headers_mut() {
            headers.clone_from(parts.headers());
        }
        let invalid = |error: ureq::http::Error| (Fault::Wrong(error.to_string()), false);
        // Not an empty slice: it would be announced, also with GET.
        let sent = if body.is_empty() && !matches!(parts.method().as_str(), "PUT" | "POST") {
            self.agent.run(builder.body(()).map_err(invalid)?)
        } else {
            self.agent.run(builder.body(body.as_slice()).map_err(invalid)?)
        };
        let place = host(request);
        let answer = sent.map_err(|error| fault(&error, &place))?;
        let (head, body) = answer.into_parts();
        let status = head.status;
        let limit = if status.is_success() { limit } else { TEXT };
        let promised = body.content_length();
        if status.is_success() && promised.is_some_and(|promised| promised > limit) && parts.method() != "HEAD" {
            return Err((
                Fault::Wrong(format!("{place} answered with more bytes than anything there may have")),
                false,
            ));
        }
        let mut bytes = Vec::new();
        if parts.method() != "HEAD" {
            let mut reader = body.into_with_config().limit(u64::MAX).reader();
            let read = read(&*self.clock, &mut reader, limit, &mut bytes).map_err(|error| fault(&error, &place))?;
            if !read && status.is_success() {
                let text = format!("{place} answered with more bytes than anything there may have");
                return Err((Fault::Wrong(text), false));
            }
        }
        Ok(Answer { head: Response::from_parts(head, ()), body: bytes })
    }
}

/// What the last request of this thread came to, where it was not what was hoped for.
pub(super) fn last_fault() -> Option<Fault> {
    LAST.with_borrow_mut(Option::take)
}

/// Reads to the end, or to the limit: false. What trickles in more slowly than [`SLOWEST`] is cut off.
fn read(clock: &dyn Clock, reader: &mut impl std::io::Read, limit: u64, bytes: &mut Vec<u8>) -> Result<bool, Error> {
    let began = clock.elapsed();
    loop {
        let room = (limit + 1).saturating_sub(bytes.len() as u64).min(256 << 10);
        let read = reader.take(room).read_to_end_once(bytes)?;
        if bytes.len() as u64 > limit {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        let took = clock.elapsed().saturating_sub(began);
        if took > SILENCE && (bytes.len() as u64) < took.as_secs() * SLOWEST {
            return Err(Error::Timeout(ureq::Timeout::RecvBody));
        }
    }
}

/// One read into the end of a buffer.
trait ReadOnce: std::io::Read {
    fn read_to_end_once(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
        let at = bytes.len();
        bytes.resize(at + (64 << 10), 0);
        let read = self.read(&mut bytes[at..]);
        bytes.truncate(at + read.as_ref().copied().unwrap_or_default());
        read
    }
}

impl<R: std::io::Read> ReadOnce for R {}

/// How long to wait before a second try; none where there is to be none.
fn pause(answer: &Result<Answer, (Fault, bool)>) -> Option<Duration> {
    match answer {
        Err((_, again)) => again.then_some(Duration::from_millis(100)),
        Ok(answer) => {
            let status = answer.head.status();
            let later = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::INTERNAL_SERVER_ERROR
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            let asked = answer.head.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let asked = asked.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
            later.then(|| asked.unwrap_or(Duration::from_millis(200)).min(PAUSE))
        }
    }
}

/// What a status means that is none of those a caller looks for.
pub(super) fn fault_of(status: StatusCode, body: &[u8], request: &Request<Vec<u8>>) -> Option<Fault> {
    let place = host(request);
    let said = said(body);
    let text = format!("{place} answered {} to {}{said}", named(status), request.method());
    Some(match status.as_u16() {
        200..=299 => return None,
        401 | 403 | 407 => Fault::Refused(text),
        507 | 413 => Fault::Full(text),
        _ => Fault::Down(text),
    })
}

/// As in `503 Service Unavailable`.
fn named(status: StatusCode) -> String {
    status.canonical_reason().map_or_else(|| status.as_u16().to_string(), |why| format!("{} {why}", status.as_u16()))
}

/// The first words of what a server says of an error, where it is a text for people: an element `Message` or `Code` of XML.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let from = text.split_once(&format!("<{name}>"))?.1;
        let word = from.split_once("</")?.0.lines().next()?.trim();
        Some(word.chars().filter(|c| !c.is_control()).take(120).collect::<String>()).filter(|word| !word.is_empty())
    };
    element("Code").or_else(|| element("Message")).map_or_else(String::new, |word| format!(" ({word})"))
}

/// The server's name, which is all that is told of an address: the rest may hold a signature.
fn host(request: &Request<Vec<u8>>) -> String {
    request
        .uri()
        .authority()
        .map_or_else(|| "the server".to_owned(), |a| a.as_str().rsplit('@').next().unwrap_or_default().to_owned())
}

/// A failed request in words, and whether another try may help.
fn fault(error: &Error, place: &str) -> (Fault, bool) {
    let (why, again) = match error {
        Error::Timeout(ureq::Timeout::Resolve) => ("its name was not resolved in time".to_owned(), false),
        Error::Timeout(ureq::Timeout::Connect) => ("it cannot be reached (no connection in time)".to_owned(), false),
        Error::Timeout(_) => ("it does not answer in time".to_owned(), false),
        Error::HostNotFound => ("there is no server of that name".to_owned(), false),
        Error::ConnectionFailed => ("it cannot be reached".to_owned(), true),
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            ("it does not answer in time".to_owned(), false)
        }
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::Timeout(_)) => ("it does not answer in time".to_owned(), false),
            _ => (error.to_string(), true),
        },
        Error::TooManyRedirects | Error::RedirectFailed => {
            ("it sends us from one address to another".to_owned(), false)
        }
        error => (error.to_string(), matches!(error, Error::Protocol(_))),
    };
    (Fault::Down(format!("{place}: {why}")), again)
}
