//! What the store must keep, and what of it is still whole: for `amlrun gc` and `amlrun cache verify`.
//!
//! Called by `cli`. A run that stays keeps its sources, the nodes of its input folders, its outputs and what it kept.
//! Nothing here removes anything: `store::disk::clear` does, and is told what is needed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::clock::Timestamp;
use crate::content::{self, Content, Kind};
use crate::digest::Digest;
use crate::history::{History, HistoryError, Query, Run};
use crate::ids::RunId;
use crate::store::{Store, StoreError, snapshot};

/// Which runs stay beside those that always do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// The newest so many runs of each job.
    pub runs: Option<usize>,
    /// Runs that began in the last so many days.
    pub days: Option<u64>,
    /// Of those (of all, where neither is said) the newest, as long as all that stays has at most so many bytes.
    pub max_size: Option<u64>,
}

/// Why a run stays, the strongest reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// The user pinned it.
    Pinned,
    /// A model is registered that it made.
    Registered,
    /// It goes on, or nobody knows yet how it ended.
    InProgress,
    /// It is the last run of its job, or the last one whose result may be used again.
    Latest,
    /// `--keep-runs`, `--keep-days` or `--max-size` keep it.
    Asked,
}

/// What is to stay.
#[derive(Debug, Default)]
pub struct Needed {
    /// The objects.
    pub objects: BTreeSet<Digest>,
    /// Runs that stay, newest first, and why.
    pub kept: Vec<(Run, Because)>,
    /// Runs that lose what no other one needs, newest first.
    pub dropped: Vec<Run>,
    /// Bytes of what always stays.
    pub always: u64,
}

/// Why it cannot be told what is needed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NeedError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("not all records can be read, and what they name would be taken for garbage: {0}")]
    Unreadable(String),
}

/// Finds out what is to stay.
///
/// # Errors
/// Where the records or the store cannot be read, or not whole.
pub fn needed(history: &dyn History, nodes: &Nodes<'_>, keep: &Keep, now: Timestamp) -> Result<Needed, NeedError> {
    let runs = history.runs(&Query::default())?;
    let pins = history.pins()?;
    let models = history.models()?;
    if let Some(note) = history.notes().into_iter().next() {
        return Err(NeedError::Unreadable(note));
    }
    let mut marks = Marks::default();
    // Also of runs that are on no record any more.
    for recorded in models.iter().filter_map(|version| version.content.as_ref()) {
        marks.content(nodes, recorded.content(), true)?;
    }
    let registered: BTreeSet<&RunId> = models.iter().map(|version| &version.run).collect();
    let (mut latest, mut reusable) = (BTreeSet::new(), BTreeSet::new());
    let mut rank: BTreeMap<String, usize> = BTreeMap::new();
    let mut needed = Needed::default();
    let mut candidates = Vec::new();
    let oldest = keep.days.map(|days| now.0.saturating_sub(days.saturating_mul(24 * 3600 * 1000)));
    for run in runs {
        let job = run.begun.job.0.clone();
        let is_latest = latest.insert(job.clone());
        let is_reusable =
            run.ended.as_ref().is_some_and(crate::history::Ended::reusable) && reusable.insert(job.clone());
        let because = if pins.contains(&run.begun.run) {
            Some(Because::Pinned)
        } else if registered.contains(&run.begun.run) {
            Some(Because::Registered)
        } else if run.ended.is_none() {
            Some(Because::InProgress)
        } else {
            (is_latest || is_reusable).then_some(Because::Latest)
        };
        let rank = rank.entry(job).or_default();
        *rank += 1;
        if let Some(because) = because {
            marks.run(nodes, &run, true)?;
            needed.kept.push((run, because));
            continue;
        }
        let by_number = keep.runs.is_some_and(|most| *rank <= most);
        let by_age = oldest.is_some_and(|oldest| run.begun.started.0 >= oldest);
        let by_size = keep.max_size.is_some() && keep.runs.is_none() && keep.days.is_none();
        if by_number || by_age || by_size { candidates.push(run) } else { needed.dropped.push(run) }
    }
    needed.always = marks.total();
    let mut full = false;
    for run in candidates {
        let fits = !full
            && match keep.max_size {
                None => marks.run(nodes, &run, true).map(|()| true)?,
                Some(most) => {
                    let mut more = Marks::default();
                    more.run(nodes, &run, true)?;
                    let new: u64 =
                        more.0.iter().filter(|(digest, _)| !marks.0.contains_key(digest)).map(|(_, size)| size).sum();
                    let fits = marks.total() + new <= most;
                    if fits {
                        marks.0.extend(more.0);
                    }
                    fits
                }
            };
        if fits {
            needed.kept.push((run, Because::Asked));
        } else {
            // What is older does not stay where something newer had to go.
            full = true;
            needed.dropped.push(run);
        }
    }
    needed.kept.sort_by_key(|(run, _)| std::cmp::Reverse(run.begun.started));
    needed.dropped.sort_by_key(|run| std::cmp::Reverse(run.begun.started));
    needed.objects = marks.0.into_keys().collect();
    // Those that were cleared before lose nothing more.
    needed.dropped.retain(|run| {
        let recorded = run.ended.iter().flat_map(|ended| ended.outputs.iter().chain(&ended.kept));
        let mut all = recorded.map(|recorded| recorded.digest).chain([run.begun.fingerprint.sources]);
        all.any(|digest| !needed.objects.contains(&digest) && nodes.store.has(&digest))
    });
    Ok(needed)
}

/// Whether a run was run elsewhere and came from a cache: without its sources, and without a reason why it ran, which
/// every run has that ran here.
fn is_from_elsewhere(run: &Run) -> bool {
    run.begun.reasons.is_empty()
}

/// Objects that are needed, with their sizes as far as they are known.
#[derive(Debug, Default)]
pub struct Marks(BTreeMap<Digest, u64>);

impl Marks {
    fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// All that a run needs to be shown, compared and restored.
    fn run(&mut self, nodes: &Nodes<'_>, run: &Run, files: bool) -> Result<(), StoreError> {
        let sources = run.begun.fingerprint.sources;
        if !is_from_elsewhere(run) || nodes.store.has(&sources) {
            self.tree(nodes, &sources, files)?;
        }
        for input in run.begun.fingerprint.inputs.values() {
            // Of input folders the nodes are kept, of input files nothing; which it is, the store knows.
            self.tree(nodes, input, false)?;
        }
        for recorded in run.ended.iter().flat_map(|ended| ended.outputs.iter().chain(&ended.kept)) {
            self.content(nodes, recorded.content(), files)?;
        }
        Ok(())
    }

    fn content(&mut self, nodes: &Nodes<'_>, content: Option<Content>, files: bool) -> Result<(), StoreError> {
        match content {
            Some(content) if content.kind == Kind::Folder => self.tree(nodes, &content.digest, files)?,
            Some(content) => drop(self.0.insert(content.digest, content.size)),
            None => {}
        }
        Ok(())
    }

    /// A tree, as far as its nodes are there.
    fn tree(&mut self, nodes: &Nodes<'_>, tree: &Digest, files: bool) -> Result<(), StoreError> {
        // A snapshot without files need not be in the store.
        let nothing = Digest::of(&content::encode(&[]));
        let mut open = vec![*tree];
        let mut walked = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if !walked.insert(digest) {
                continue;
            }
            let Some(node) = nodes.get(&digest, files)? else {
                if files && digest != nothing {
                    self.0.entry(digest).or_default();
                }
                continue;
            };
            self.0.insert(digest, node.size);
            for (kind, digest, size) in &node.entries {
                match kind {
                    Kind::Folder => open.push(*digest),
                    _ if files => drop(self.0.insert(*digest, *size)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// A node: its own bytes, and what it names.
struct Node {
    size: u64,
    entries: Vec<(Kind, Digest, u64)>,
}

/// Nodes of a store, each read once: what is needed is asked twice, the second time while everybody waits.
pub struct Nodes<'s> {
    store: &'s dyn Store,
    known: RefCell<BTreeMap<Digest, Rc<Node>>>,
}

impl<'s> Nodes<'s> {
    /// Those of a store.
    #[must_use]
    pub fn of(store: &'s dyn Store) -> Self {
        Self { store, known: RefCell::default() }
    }

    /// A node; none where it is missing or is none. What is not `certain` to be one is looked at before it is read: it may
    /// be a file of any length.
    fn get(&self, digest: &Digest, certain: bool) -> Result<Option<Rc<Node>>, StoreError> {
        if let Some(node) = self.known.borrow().get(digest) {
            return Ok(Some(Rc::clone(node)));
        }
        if !certain && self.store.peek(digest, content::MAGIC.len()).is_none_or(|head| head != content::MAGIC) {
            return Ok(None);
        }
        let Some(bytes) = self.store.get(digest)? else { return Ok(None) };
        let Some(entries) = content::decode(&bytes) else { return Ok(None) };
        let entries = entries.into_iter().map(|entry| (entry.kind, entry.digest, entry.size)).collect();
        let node = Rc::new(Node { size: bytes.len() as u64, entries });
        self.known.borrow_mut().insert(*digest, Rc::clone(&node));
        Ok(Some(node))
    }
}

/// Something that a run which stays needs, and that the store lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The run.
    pub run: RunId,
    /// What of it: a path, or the sources.
    pub what: String,
    /// Where it lies in the project, if it is an output.
    pub output: Option<crate::staleness::Recorded>,
}

/// What the runs that stay need and the store does not have.
///
/// # Errors
/// Where the store cannot be read.
pub fn lacking(store: &dyn Store, kept: &[(Run, Because)]) -> Result<Vec<Lack>, StoreError> {
    let mut lacking = Vec::new();
    for (run, _) in kept {
        let lack = |what: String, output| Lack { run: run.begun.run.clone(), what, output };
        let sources = run.begun.fingerprint.sources;
        let is_empty = sources == Digest::of(&content::encode(&[]));
        let tree = Content { kind: Kind::Folder, digest: sources, size: 0 };
        if !is_empty && !is_from_elsewhere(run) && !snapshot::present(store, &tree) {
            lacking.push(lack("its sources".to_owned(), None));
        }
        let ended = run.ended.as_ref();
        for (recorded, is_output) in ended.into_iter().flat_map(|ended| {
            ended.outputs.iter().map(|output| (output, true)).chain(ended.kept.iter().map(|kept| (kept, false)))
        }) {
            if recorded.content().is_some_and(|content| !snapshot::present(store, &content)) {
                let output = is_output.then(|| recorded.clone());
                lacking.push(lack(format!("`{}`", crate::relpath::escape(recorded.path.as_bytes())), output));
            }
        }
    }
    Ok(lacking)
}
