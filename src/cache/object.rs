//! A shared cache in an object store: S3 and all that speak like it, Azure Blob Storage, Google Cloud Storage.
//!
//! The crate `object_store` signs the requests and knows where each cloud keeps its credentials; what is sent goes over our
//! own `wire`, on the thread that asks, so no runtime is needed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, SystemTime};

use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig,
};

use super::address::Cloud;
use super::credentials::{self, Settings};
use super::wire::{Wire, last_fault};
use super::{Created, Fault, Kind, LAYOUT, Listed, Name, Range, Remote};

/// More than any answer may have: a pack, or a page of a listing.
const LARGEST: u64 = super::LARGEST_PACK + (1 << 20);

/// An object store.
pub struct ObjectRemote {
    store: Box<dyn ObjectStore>,
    prefix: String,
    wire: Wire,
}

impl std::fmt::Debug for ObjectRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectRemote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ObjectRemote {
    /// The cache in a bucket. Nothing is sent before it is used.
    ///
    /// # Errors
    /// Where the settings that the surroundings give are no settings: the text says which.
    pub fn new(cloud: Cloud, bucket: &str, prefix: &str, settings: &Settings) -> Result<Self, String> {
        let wire = Wire::new();
        // No second tries but those of the wire.
        let retry = RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
        let connector = Connector(wire.clone());
        let store: Box<dyn ObjectStore> = match cloud {
            Cloud::Amazon => {
                let builder = credentials::amazon(settings)?.with_bucket_name(bucket);
                Box::new(builder.with_retry(retry).with_http_connector(connector).build().map_err(|e| words(&e))?)
            }
            Cloud::Azure => {
                let builder = credentials::azure(settings)?.with_container_name(bucket);
                Box::new(builder.with_retry(retry).with_http_connector(connector).build().map_err(|e| words(&e))?)
            }
            Cloud::Google => {
                let builder = credentials::google(settings).with_bucket_name(bucket);
                Box::new(builder.with_retry(retry).with_http_connector(connector).build().map_err(|e| words(&e))?)
            }
        };
        Ok(Self { store, prefix: prefix.to_owned(), wire })
    }

    fn path(&self, name: &Name) -> Path {
        self.place(&name.to_string())
    }

    fn place(&self, below: &str) -> Path {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        Path::from(format!("{}{slash}{below}", self.prefix))
    }

    fn put(&self, name: &Name, bytes: &[u8], mode: PutMode) -> Result<Created, Fault> {
        let options = PutOptions { mode, ..PutOptions::default() };
        match wait(self.store.put_opts(&self.path(name), PutPayload::from(bytes.to_vec()), options)) {
            Ok(_) => Ok(Created::New),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
            Err(error) => Err(fault(&error)),
        }
    }
}

impl Remote for ObjectRemote {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        let range = part.map(|part| GetRange::Bounded(part.from..part.from.saturating_add(part.length)));
        let options = GetOptions { range, ..GetOptions::default() };
        let path = self.path(name);
        let got = wait(async { self.store.get_opts(&path, options).await?.bytes().await });
        match got {
            Ok(bytes) if bytes.len() as u64 > name.kind.limit() => {
                Err(Fault::Wrong(format!("{path} is larger than anything that belongs there")))
            }
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        match wait(self.store.head(&self.path(name))) {
            Ok(about) => Ok(Some(about.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        self.put(name, bytes, PutMode::Create)
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        self.put(name, bytes, PutMode::Overwrite).map(drop)
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        let prefix = self.place(&format!("{LAYOUT}/{}", kind.folder()));
        let mut stream = self.store.list(Some(&prefix));
        let mut found = Vec::new();
        loop {
            match wait(std::future::poll_fn(|context| futures_core::Stream::poll_next(stream.as_mut(), context))) {
                None | Some(Err(Error::NotFound { .. })) => return Ok(found),
                Some(Err(error)) => return Err(fault(&error)),
                Some(Ok(about)) => {
                    let location = about.location.as_ref();
                    let below = location.strip_prefix(&self.prefix).unwrap_or(location).trim_start_matches('/');
                    if let Some(name) = Name::of_path(below) {
                        let written = SystemTime::UNIX_EPOCH
                            + Duration::from_secs(u64::try_from(about.last_modified.timestamp()).unwrap_or_default());
                        found.push(Listed { name, size: about.size, written });
                    }
                }
            }
        }
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        match wait(self.store.delete(&self.path(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(fault(&error)),
        }
    }

    fn abandon(&self) {
        self.wire.abandon();
    }
}

/// What went wrong, by what came over the wire where anything did.
fn fault(error: &Error) -> Fault {
    let seen = last_fault();
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            seen.unwrap_or_else(|| Fault::Refused(words(error)))
        }
        _ => seen.unwrap_or_else(|| Fault::Down(words(error))),
    }
}

/// The innermost reason: those around it speak of retries that there are none of.
fn words(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().lines().next().unwrap_or_default().trim().to_owned()
}

/// Lets `object_store` send by our wire.
#[derive(Debug)]
struct Connector(Wire);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

#[derive(Debug)]
struct Service(Wire);

impl Service {
    fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        // Put payloads come in one piece.
        let body = match body.as_bytes() {
            Some(bytes) => bytes.to_vec(),
            None => gather(body)?,
        };
        let request = ureq::http::Request::from_parts(parts, body);
        match self.0.send(&request, LARGEST) {
            Ok(answer) => {
                let (parts, ()) = answer.head.into_parts();
                Ok(HttpResponse::from_parts(parts, answer.body.into()))
            }
            Err(fault) => Err(HttpError::new(HttpErrorKind::Unknown, fault)),
        }
    }
}

/// All bytes of a body that comes in pieces.
fn gather(body: object_store::client::HttpRequestBody) -> Result<Vec<u8>, HttpError> {
    let length = body.content_length();
    let mut bytes = Vec::with_capacity(length);
    let mut body = pin!(body);
    while let Some(frame) = wait(std::future::poll_fn(|context| {
        use http_body::Body as _;
        body.as_mut().poll_frame(context)
    })) {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

impl HttpService for Service {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move { self.send(request) })
    }
}

/// Runs a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
