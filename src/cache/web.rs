//! A shared cache on a web server: GET and HEAD to read, PUT to write. A plain `WebDAV` server will do.
//!
//! `If-None-Match: *` asks the server to keep what is there. One that does not know it (a plain `WebDAV` server) is asked
//! first whether something is; two writers of one record within the same moment are then told apart by reading it back.

use ureq::http::{Method, Request, StatusCode, header};

use super::wire::{Answer, Wire, fault_of};
use super::{Created, Fault, Kind, Listed, Name, Range, Remote};

/// A web server.
#[derive(Debug)]
pub struct WebRemote {
    url: String,
    authorization: Option<String>,
    wire: Wire,
}

impl WebRemote {
    /// The cache below an address (without a slash at its end), and what the header `Authorization` says.
    #[must_use]
    pub fn new(url: String, authorization: Option<String>) -> Self {
        Self { url, authorization, wire: Wire::new() }
    }

    fn request(&self, method: Method, name: &Name) -> Result<Request<Vec<u8>>, Fault> {
        let mut builder = Request::builder().method(method).uri(format!("{}/{name}", self.url));
        if let Some(authorization) = &self.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        builder.body(Vec::new()).map_err(|error| Fault::Wrong(format!("{} is no address: {error}", self.url)))
    }

    fn send(&self, request: &Request<Vec<u8>>, limit: u64) -> Result<Answer, Fault> {
        self.wire.send(request, limit)
    }

    fn put(&self, name: &Name, bytes: &[u8], new: bool) -> Result<Created, Fault> {
        let mut request = self.request(Method::PUT, name)?;
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
        if new {
            request.headers_mut().insert(header::IF_NONE_MATCH, header::HeaderValue::from_static("*"));
        }
        *request.body_mut() = bytes.to_vec();
        let answer = self.send(&request, 0x1_0000)?;
        match answer.head.status() {
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT if new => Ok(Created::Exists),
            status => fault_of(status, &answer.body, &request).map_or(Ok(Created::New), Err),
        }
    }
}

/// Whether nothing is there.
fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

impl Remote for WebRemote {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        let mut request = self.request(Method::GET, name)?;
        if let Some(part) = part {
            let last = part.from.saturating_add(part.length).saturating_sub(1);
            let value = header::HeaderValue::from_str(&format!("bytes={}-{last}", part.from));
            request.headers_mut().insert(header::RANGE, value.map_err(|error| Fault::Wrong(error.to_string()))?);
        }
        let answer = self.send(&request, name.kind.limit())?;
        let status = answer.head.status();
        if is_absent(status) {
            return Ok(None);
        }
        if let Some(fault) = fault_of(status, &answer.body, &request) {
            return Err(fault);
        }
        let mut bytes = answer.body;
        // A server may answer with the whole where a part was asked for.
        if let Some(part) = part
            && status != StatusCode::PARTIAL_CONTENT
        {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let (from, to) = (place(part.from), place(part.from.saturating_add(part.length)));
            bytes = bytes.get(from..to).unwrap_or_default().to_vec();
        }
        Ok(Some(bytes))
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        let request = self.request(Method::HEAD, name)?;
        let answer = self.send(&request, 0)?;
        let status = answer.head.status();
        if is_absent(status) {
            return Ok(None);
        }
        if let Some(fault) = fault_of(status, &answer.body, &request) {
            return Err(fault);
        }
        let length = answer.head.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Ok(Some(length.and_then(|length| length.parse().ok()).unwrap_or_default()))
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        if self.size(name)?.is_some() {
            return Ok(Created::Exists);
        }
        let created = self.put(name, bytes, true)?;
        // A pack is named by its bytes: whoever wrote it wrote the same.
        if name.kind == Kind::Record && created == Created::New {
            let back = self.get(name, None)?;
            return Ok(if back.is_none_or(|back| back == bytes) { Created::New } else { Created::Exists });
        }
        Ok(created)
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        self.put(name, bytes, false).map(drop)
    }

    fn list(&self, _: Kind) -> Result<Vec<Listed>, Fault> {
        Err(Fault::Unable(format!("{} is a web server, which cannot be asked for a list of what it holds", self.url)))
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        let request = self.request(Method::DELETE, name)?;
        let answer = self.send(&request, 0x1_0000)?;
        if is_absent(answer.head.status()) {
            return Ok(());
        }
        fault_of(answer.head.status(), &answer.body, &request).map_or(Ok(()), Err)
    }

    fn abandon(&self) {
        self.wire.abandon();
    }
}
