//! As much of HTTP/1.1 as MLflow's clients speak: requests one after the other on a connection, with a body of known length
//! or in chunks, and answers of known length. Every length has a limit, and nothing is read before its limit is known.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The most that the first line and the headers may take together.
const LARGEST_HEAD: u64 = 64 << 10;
/// The most that a body may take which is read into memory.
const LARGEST_BODY: u64 = 64 << 20;
/// The most that a file may take.
const LARGEST_FILE: u64 = 1 << 40;

/// Why a request is not served; the connection is closed after it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The other side went away, or sent what is no request.
    Gone,
    /// It is told so, with this status and text.
    Refused(u16, &'static str),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// The head of a request.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: String,
    /// Without the query, percent escapes as they came.
    pub(super) path: String,
    /// What follows the `?`.
    pub(super) query: String,
    /// The token of `Authorization: Bearer`.
    pub(super) token: Option<String>,
    length: u64,
    is_chunked: bool,
    expects: bool,
    pub(super) closes: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Body,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Body {
    Bytes(Vec<u8>),
    File(File, u64),
}

impl Answer {
    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self { status, kind: "application/json", body: Body::Bytes(value.to_string().into_bytes()) }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: Body::Bytes(text.as_bytes().to_vec()) }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    /// The head of the next request; none where the other side is done.
    pub(super) fn head(&mut self) -> Result<Option<Head>, Fault> {
        let mut limited = (&mut self.reader).take(LARGEST_HEAD);
        let line = |limited: &mut io::Take<&mut BufReader<TcpStream>>| -> Result<String, Fault> {
            let mut bytes = Vec::new();
            limited.read_until(b'\n', &mut bytes)?;
            if bytes.last() != Some(&b'\n') {
                let is_long = limited.limit() == 0;
                return Err(if is_long { Fault::Refused(431, "the headers are too large") } else { Fault::Gone });
            }
            let text = String::from_utf8(bytes).map_err(|_| Fault::Refused(400, "the headers are not UTF-8"))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        };
        let first = match line(&mut limited) {
            Err(Fault::Gone) => return Ok(None),
            first => first?,
        };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Fault::Refused(400, "this is no HTTP/1.1 request"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head =
            Head { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), ..Head::default() };
        let mut has_length = false;
        loop {
            let text = line(&mut limited)?;
            if text.is_empty() {
                break;
            }
            let Some((name, value)) = text.split_once(':') else { return Err(Fault::Refused(400, "a header is none")) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let wrong = Fault::Refused(400, "Content-Length is no length");
                    if has_length || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err(wrong);
                    }
                    head.length = value.parse().map_err(|_| wrong)?;
                    has_length = true;
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => head.is_chunked = true,
                "transfer-encoding" => return Err(Fault::Refused(501, "Transfer-Encoding is not known")),
                "authorization" => head.token = value.strip_prefix("Bearer ").map(|token| token.trim().to_owned()),
                "expect" => head.expects = value.eq_ignore_ascii_case("100-continue"),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        if head.is_chunked && has_length {
            return Err(Fault::Refused(400, "a body has one length"));
        }
        Ok(Some(head))
    }

    /// Reads the body into memory.
    pub(super) fn body(&mut self, head: &Head) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.copy(head, LARGEST_BODY, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads the body into a file.
    pub(super) fn save(&mut self, head: &Head, file: &mut File) -> Result<(), Fault> {
        self.copy(head, LARGEST_FILE, file)
    }

    fn copy(&mut self, head: &Head, most: u64, to: &mut dyn Write) -> Result<(), Fault> {
        let large = Fault::Refused(413, "the body is too large");
        if head.length > most {
            return Err(large);
        }
        if head.expects {
            self.reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if !head.is_chunked {
            let copied = io::copy(&mut (&mut self.reader).take(head.length), to)?;
            return if copied == head.length { Ok(()) } else { Err(Fault::Gone) };
        }
        let mut total = 0_u64;
        loop {
            let mut size = String::new();
            (&mut self.reader).take(64).read_line(&mut size)?;
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(|_| Fault::Refused(400, "a chunk has no length"))?;
            total = total.saturating_add(size);
            if total > most {
                return Err(large);
            }
            if io::copy(&mut (&mut self.reader).take(size), to)? != size {
                return Err(Fault::Gone);
            }
            let mut end = String::new();
            (&mut self.reader).take(LARGEST_HEAD).read_line(&mut end)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Sends an answer, in one piece where it is small.
    pub(super) fn send(&mut self, answer: Answer, closes: bool) -> io::Result<()> {
        let length = match &answer.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, length) => *length,
        };
        let close = if closes { "Connection: close\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\n{close}\r\n",
            answer.status,
            phrase(answer.status),
            answer.kind
        )
        .into_bytes();
        let stream = self.reader.get_mut();
        match answer.body {
            Body::Bytes(body) => {
                bytes.extend_from_slice(&body);
                stream.write_all(&bytes)
            }
            Body::File(file, length) => {
                stream.write_all(&bytes)?;
                io::copy(&mut file.take(length), stream).map(drop)
            }
        }
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}

/// A text of an address, `%` escapes undone; none where it is no UTF-8. In a query `+` is a space.
pub(super) fn unescape(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None if is_query && *first == b'+' => bytes.push(b' '),
            None => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}
