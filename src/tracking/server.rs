//! The tracking server: one listener on the loopback for an invocation, begun with the first run that may log. A run's
//! processes reach it by a token of their own, and it sees nothing but its own run, the runs within it, and, to read, the
//! recorded runs of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::http::{Answer, Connection, Fault};
use super::{Folder, Tail, mlflow};
use crate::digest::Digest;
use crate::logged::Logged;

/// The variable that names a tracking server.
pub const ADDRESS: &str = "MLFLOW_TRACKING_URI";
/// The variable that holds a run's token.
pub const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_mins(10);
/// No more connections at once.
const MOST: usize = 512;

/// A run of the project that is on record.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Its identity.
    pub id: String,
    /// Its job.
    pub name: String,
    /// Its experiment.
    pub experiment: String,
    /// Its status, as the original names it.
    pub status: String,
    /// When it began: milliseconds since 1970.
    pub started: u64,
    /// When it ended.
    pub ended: Option<u64>,
    /// Whose it was.
    pub user: String,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its metrics.
    pub metrics: BTreeMap<String, f64>,
}

/// A version of a model on the register.
#[derive(Debug, Clone, Default)]
pub struct Registered {
    /// The model.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The run that made it.
    pub run: String,
    /// The experiment of that.
    pub experiment: String,
    /// Where it lies among what the run left.
    pub path: String,
    /// When it was registered: milliseconds since 1970.
    pub at: u64,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its other names.
    pub aliases: BTreeSet<String>,
}

/// The record, as far as a script may read it.
pub trait Earlier: Send + Sync {
    /// All runs, newest first.
    fn runs(&self) -> Vec<Recorded>;
    /// What a run logged.
    fn logged(&self, run: &str) -> Option<Logged>;
    /// The register of models, by name and version.
    fn models(&self) -> Vec<Registered>;
    /// What lies at a path among what a run left; its artifacts where the path is empty.
    fn artifact(&self, run: &str, path: &str) -> Option<Artifact>;
    /// A logged model of MLflow 3 (by its identity), and the run that it belongs to.
    fn logged_model(&self, id: &str) -> Option<(String, Value)>;
}

/// Something that a run left.
#[derive(Debug)]
pub enum Artifact {
    /// The names in a folder; sizes of files.
    Folder(Vec<(String, Option<u64>)>),
    /// A file and its length, checked against its digest.
    File(File, u64),
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Its folder.
    pub folder: Folder,
    /// Its identity.
    pub run: String,
    /// Its job.
    pub name: String,
    /// Its experiment.
    pub experiment: String,
    /// When it began.
    pub started: u64,
    /// Whose it is.
    pub user: String,
}

/// A run that goes on.
pub(super) struct Live {
    pub(super) about: Follow,
    token: Digest,
    state: Mutex<State>,
    /// Whether the run was told what other runs left: that is in no fingerprint.
    told_of_others: AtomicBool,
}

/// What is known of a run that goes on, from its log; and the log.
#[derive(Default)]
pub(super) struct State {
    tail: Tail,
    file: Option<File>,
    /// Whether the run has ended: its folder belongs to whoever records it now.
    pub(super) is_over: bool,
    /// Names of experiments that the script made.
    pub(super) experiments: BTreeSet<String>,
}

impl Live {
    /// Says that an answer depends on other runs than this one: on what they left, or on there being none. Its result is not
    /// reused then.
    pub(super) fn tell_of_others(&self) {
        self.told_of_others.store(true, Ordering::Relaxed);
    }

    /// The state, held: what is read in it stays so until what follows from it is written.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was logged so far.
    pub(super) fn logged<'s>(&self, state: &'s mut State) -> io::Result<&'s Logged> {
        state.tail.catch_up(&self.about.folder.log())?;
        Ok(&state.tail.reader.logged)
    }

    /// Appends lines to the log, by one `write`: when this returns, a kill of this process loses none of them.
    pub(super) fn append(&self, state: &mut State, lines: &[Value]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let text: String = lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
        if state.is_over {
            return Err(io::Error::other("the run is over"));
        }
        if state.file.is_none() {
            state.file = Some(super::open(&self.about.folder.log())?);
        }
        match &mut state.file {
            Some(file) => super::append(file, &text),
            None => Ok(()),
        }
    }
}

/// The variables by which MLflow's client knows the run that it is in, wherever its server is.
#[must_use]
pub fn identities(run: &str, experiment: &str) -> [(String, String); 3] {
    [
        ("MLFLOW_RUN_ID".to_owned(), run.to_owned()),
        ("MLFLOW_EXPERIMENT_ID".to_owned(), mlflow::experiment_id(experiment)),
        ("MLFLOW_EXPERIMENT_NAME".to_owned(), experiment.to_owned()),
    ]
}

/// The server of an invocation.
pub struct Server {
    shared: Arc<Shared>,
    /// Where it listens; none where it cannot.
    port: OnceLock<Option<u16>>,
}

pub(super) struct Shared {
    live: Mutex<Vec<Arc<Live>>>,
    earlier: Box<dyn Earlier>,
    /// The experiments of the project.
    pub(super) experiments: Vec<String>,
    connections: AtomicUsize,
    /// The last number that each model gave to a run that went on with this server.
    numbers: Mutex<BTreeMap<String, u32>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({:?})", self.port)
    }
}

impl Server {
    /// A server that does not listen yet.
    #[must_use]
    pub fn new(earlier: Box<dyn Earlier>, experiments: Vec<String>) -> Self {
        let shared = Shared {
            live: Mutex::default(),
            earlier,
            experiments,
            connections: AtomicUsize::new(0),
            numbers: Mutex::default(),
        };
        Self { shared: Arc::new(shared), port: OnceLock::new() }
    }

    /// Serves a run from now on; the variables by which its processes find it, none where no port can be had.
    pub fn follow(&self, about: Follow) -> Vec<(String, String)> {
        let Some(port) = *self.port.get_or_init(|| listen(&self.shared)) else { return Vec::new() };
        let token = uuid::Uuid::new_v4().simple().to_string() + &uuid::Uuid::new_v4().simple().to_string();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut variables = vec![set(ADDRESS, &format!("http://127.0.0.1:{port}")), set(TOKEN, &token)];
        variables.extend(identities(&about.run, &about.experiment));
        let live = Live {
            about,
            token: Digest::of(token.as_bytes()),
            state: Mutex::default(),
            told_of_others: AtomicBool::new(false),
        };
        self.shared.live().push(Arc::new(live));
        variables
    }

    /// Serves a run no more: when this returns, nothing is written to its folder. Tells whether it was told of other runs.
    pub fn let_go(&self, run: &str) -> bool {
        let mut live = self.shared.live();
        let found = live.iter().position(|live| live.about.run == run).map(|at| live.swap_remove(at));
        drop(live);
        let Some(live) = found else { return false };
        let mut state = live.state();
        state.file = None;
        state.is_over = true;
        live.told_of_others.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// The record, for an answer to a run that depends on it.
    pub(super) fn earlier(&self, live: &Live) -> &dyn Earlier {
        live.tell_of_others();
        &*self.earlier
    }

    /// The register of models, for an answer that may not depend on it; whoever finds that it does says so
    /// ([`Live::tell_of_others`]).
    pub(super) fn register(&self) -> Vec<Registered> {
        self.earlier.models()
    }

    /// The number for the next version of a model, whose newest on record is this.
    pub(super) fn number(&self, name: &str, newest: u32) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = numbers.entry(name.to_owned()).or_default();
        *last = (*last).max(newest) + 1;
        *last
    }

    fn live(&self) -> MutexGuard<'_, Vec<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run of a token. All are looked at, and digests are compared whole, so that time tells nothing.
    fn of_token(&self, token: &str) -> Option<Arc<Live>> {
        let asked = Digest::of(token.as_bytes());
        let same = |live: &Arc<Live>| {
            let pairs = live.token.as_bytes().iter().zip(asked.as_bytes());
            pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
        };
        let mut found = None;
        for live in self.live().iter() {
            if same(live) {
                found = Some(Arc::clone(live));
            }
        }
        found
    }
}

fn listen(shared: &Arc<Shared>) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let port = listener.local_addr().ok()?.port();
    let shared = Arc::clone(shared);
    let accept = move || {
        for stream in listener.incoming().flatten() {
            if shared.connections.fetch_add(1, Ordering::Relaxed) >= MOST {
                shared.connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let shared = Arc::clone(&shared);
            let serve = move || {
                let _ = serve(&shared, stream);
                shared.connections.fetch_sub(1, Ordering::Relaxed);
            };
            let _ = std::thread::Builder::new().name("tracking".to_owned()).stack_size(1 << 20).spawn(serve);
        }
    };
    std::thread::Builder::new().name("tracking".to_owned()).spawn(accept).ok()?;
    Some(port)
}

/// Serves a connection until the other side is done.
fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut connection = Connection::new(stream);
    loop {
        let answered = connection.head().and_then(|head| {
            let Some(head) = head else { return Ok(None) };
            let Some(live) = head.token.as_deref().and_then(|token| shared.of_token(token)) else {
                // Its body is not read: whoever has no token sends nothing here.
                return Err(Fault::Refused(401, "a run's own token is needed: MLFLOW_TRACKING_TOKEN"));
            };
            let answer = mlflow::answer(shared, &live, &head, &mut connection)?;
            Ok(Some((answer, head.closes)))
        });
        match answered {
            Ok(None) | Err(Fault::Gone) => return Ok(()),
            Ok(Some((answer, closes))) => {
                connection.send(answer, closes)?;
                if closes {
                    return Ok(());
                }
            }
            Err(Fault::Refused(status, why)) => {
                let code = if status == 401 { "UNAUTHENTICATED" } else { "BAD_REQUEST" };
                let value = serde_json::json!({ "error_code": code, "message": why });
                return connection.send(Answer::json(status, &value), true);
            }
        }
    }
}
