//! The stat cache: which bytes a file had when it had this stamp, so that an unchanged file is not read again.
//!
//! Keyed by folder: a path relative to the workspace, or an absolute one outside. A key is only a hint: the row found by it
//! proves something only where device, inode, size, mtime, ctime and mode are all the same, so a moved workspace keeps its
//! cache and a wrong hint does no harm. Only settled rows are kept (`Probe::is_settled`). What is learnt stays in memory
//! until `save`.

mod file;
mod section;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use file::{Piece, Saved};
pub(super) use section::{Builder, Known, Section};

use super::probe::{self, Probe};

/// The file's name in the state folder.
const NAME: &str = "stat-v1";
/// Sections kept in memory for lookups of single files.
const RECENT: usize = 4;
/// Every so many saves, folders that are gone are dropped.
const TIDY: u64 = 16;
/// Above this size only what this invocation walked is kept: about three million files.
const LIMIT: u64 = 256 << 20;
/// Nanoseconds by which a server's clock may differ from this machine's.
const SKEW: i64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    opened: i64,
    saved: Mutex<OnDisk>,
    learnt: Mutex<BTreeMap<Vec<u8>, Learnt>>,
    has_learnt: AtomicBool,
    recent: Mutex<Vec<Recent>>,
}

/// The file.
#[derive(Debug, Default)]
enum OnDisk {
    /// Not looked for yet.
    #[default]
    Unread,
    /// There is none that could be read.
    Absent,
    /// As it was when it was first needed.
    Open(Arc<Saved>),
}

/// A section that was looked into not long ago, by its key.
#[derive(Debug)]
struct Recent {
    key: Vec<u8>,
    section: Option<Arc<Section>>,
}

/// What this process learnt about a folder.
#[derive(Debug, Default)]
struct Learnt {
    rest: Rest,
    /// Single files since then; `None` for one that is gone.
    rows: BTreeMap<Vec<u8>, Option<Known>>,
}

/// Where a folder's other rows are.
#[derive(Debug, Default)]
enum Rest {
    /// In the file, if anywhere.
    #[default]
    Saved,
    /// These are all: it was walked.
    Walked(Option<Arc<Section>>),
}

impl Cache {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            opened: probe::now(),
            saved: Mutex::default(),
            learnt: Mutex::default(),
            has_learnt: AtomicBool::new(false),
            recent: Mutex::default(),
        }
    }

    fn saved(&self) -> Option<Arc<Saved>> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*saved, OnDisk::Unread) {
            let open = Saved::open(&self.folder.join(NAME));
            *saved = open.map_or(OnDisk::Absent, |open| OnDisk::Open(Arc::new(open)));
        }
        match &*saved {
            OnDisk::Open(open) => Some(open.clone()),
            OnDisk::Unread | OnDisk::Absent => None,
        }
    }

    fn learnt(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Learnt>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of a folder that is about to be walked.
    pub(super) fn section(&self, key: &[u8]) -> Option<Arc<Section>> {
        if self.has_learnt.load(Ordering::Acquire)
            && let Some(learnt) = self.learnt().get(key)
        {
            return learnt.merged(|| self.saved()?.section(key).map(Arc::new));
        }
        self.saved()?.section(key).map(Arc::new)
    }

    /// What is known about one file.
    pub(super) fn row(&self, key: &[u8], name: &[u8]) -> Option<Known> {
        if self.has_learnt.load(Ordering::Acquire)
            && let Some(learnt) = self.learnt().get(key)
        {
            if let Some(row) = learnt.rows.get(name) {
                return *row;
            }
            if let Rest::Walked(section) = &learnt.rest {
                return section.as_ref()?.find(name);
            }
        }
        let saved = self.saved()?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.iter().position(|recent| recent.key == key).unwrap_or_else(|| {
            recent.insert(0, Recent { key: key.to_owned(), section: saved.section(key).map(Arc::new) });
            recent.truncate(RECENT);
            0
        });
        let section = recent.get(at)?.section.clone();
        drop(recent);
        section?.find(name)
    }

    /// Takes a walked folder's rows in place of what was known.
    pub(super) fn learn_section(&self, key: Vec<u8>, section: Option<Section>) {
        self.learnt().insert(key, Learnt { rest: Rest::Walked(section.map(Arc::new)), rows: BTreeMap::new() });
        self.has_learnt.store(true, Ordering::Release);
    }

    /// Takes one file's row; `None` where it is gone.
    pub(super) fn learn_row(&self, key: &[u8], name: &[u8], row: Option<Known>) {
        self.learnt().entry(key.to_owned()).or_default().rows.insert(name.to_owned(), row);
        self.has_learnt.store(true, Ordering::Release);
    }

    /// Writes the file, where anything was learnt: whole, beside the old one, then in its place. `resolve` turns a key into
    /// the folder's path.
    pub(super) fn save(&self, resolve: impl Fn(&[u8]) -> PathBuf) -> io::Result<()> {
        let mut learnt = self.learnt();
        if learnt.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let before = probe::now();
        let mut temporary = tempfile::Builder::new()
            .prefix(".stat-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.folder)?;
        let stamped = Probe::open(temporary.as_file().as_fd())?;
        let age = Age { opened: self.opened, device: stamped.device, lag: before.saturating_sub(stamped.mtime).max(0) };
        let path = self.folder.join(NAME);
        // Another invocation may have saved since: its rows are kept, ours win.
        let old = self.saved().filter(|saved| saved.is_at(&path)).or_else(|| Saved::open(&path).map(Arc::new));
        let pieces = compose(old.as_deref(), &learnt, &age, resolve);
        file::write(temporary.as_file_mut(), old.as_ref().map_or(1, |old| old.turn + 1), &pieces, old.as_deref())?;
        temporary.persist(&path).map_err(|failure| failure.error)?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = OnDisk::Unread;
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        learnt.clear();
        self.has_learnt.store(false, Ordering::Release);
        Ok(())
    }
}

impl Learnt {
    /// All rows of the folder as they are known now.
    fn merged(&self, saved: impl FnOnce() -> Option<Arc<Section>>) -> Option<Arc<Section>> {
        let base = match &self.rest {
            Rest::Saved => saved(),
            Rest::Walked(section) => section.clone(),
        };
        if self.rows.is_empty() {
            return base;
        }
        let mut builder = Builder::default();
        let mut rows = self.rows.iter().peekable();
        for at in 0..base.as_ref().map_or(0, |base| base.len()) {
            let Some(base) = &base else { break };
            let name = base.name(at);
            while let Some((new, row)) = rows.next_if(|(new, _)| new.as_slice() < name) {
                builder.extend(new, row.as_ref());
            }
            match rows.next_if(|(new, _)| new.as_slice() == name) {
                Some((_, row)) => builder.extend(name, row.as_ref()),
                None => builder.push(name, &base.known(at)),
            }
        }
        for (new, row) in rows {
            builder.extend(new, row.as_ref());
        }
        builder.finish().map(Arc::new)
    }
}

/// What makes a row too young to be kept where the file system has a clock of its own.
struct Age {
    opened: i64,
    device: u64,
    lag: i64,
}

impl Age {
    /// The section without rows that were changed so late that a server's clock might stamp a later change the same.
    fn only_settled(&self, section: Arc<Section>, folder: &Path) -> Option<Arc<Section>> {
        let lag = match section.device() == self.device {
            true => self.lag,
            false if is_remote(folder) => SKEW,
            false => 0,
        };
        // A tick of the coarse clock is at most 10 ms.
        if lag <= 10_000_000 {
            return Some(section);
        }
        let mut builder = Builder::default();
        for row in 0..section.len() {
            let known = section.known(row);
            if known.probe.is_settled(self.opened.saturating_sub(lag)) {
                builder.push(section.name(row), &known);
            }
        }
        builder.finish().map(Arc::new)
    }
}

/// Whether a folder lies on a file system whose times another machine sets.
pub(super) fn is_remote(folder: &Path) -> bool {
    /// statfs(2): NFS, SMB, SMB2, CIFS, 9p, FUSE, Ceph, Lustre, AFS, CODA, OCFS2, GPFS.
    const REMOTE: [u64; 12] = [
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x0102_1997,
        0x6573_5546,
        0x00c3_6400,
        0x0bd0_0bd0,
        0x5346_414f,
        0x7375_7245,
        0x7461_636f,
        0x4750_4653,
    ];
    rustix::fs::statfs(folder).is_ok_and(|stat| REMOTE.contains(&(stat.f_type.cast_unsigned() & 0xffff_ffff)))
}

/// The sections of the new file.
fn compose(
    old: Option<&Saved>,
    learnt: &BTreeMap<Vec<u8>, Learnt>,
    age: &Age,
    resolve: impl Fn(&[u8]) -> PathBuf,
) -> Vec<(Vec<u8>, Piece)> {
    let mut pieces = Vec::new();
    let count = old.map_or(0, Saved::len);
    let total: u64 = (0..count).filter_map(|at| old.map(|old| u64::from(old.span(at).length))).sum();
    let tidy = old.is_some_and(|old| old.turn % TIDY == TIDY - 1);
    if let Some(old) = old.filter(|_| total <= LIMIT) {
        for at in 0..count {
            let key = old.key(at);
            if !learnt.contains_key(key) && (!tidy || resolve(key).is_dir()) {
                pieces.push((key.to_owned(), Piece::Old(old.span(at))));
            }
        }
    }
    for (key, change) in learnt {
        let section = change.merged(|| old?.section(key).map(Arc::new));
        let section = section.and_then(|section| age.only_settled(section, &resolve(key)));
        pieces.extend(section.map(|section| (key.clone(), Piece::New(section))));
    }
    pieces.sort_by(|a, b| a.0.cmp(&b.0));
    pieces
}
