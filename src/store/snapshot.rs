//! Measured trees in the store: source trees whole, input trees by their nodes alone, and what two of them differ in.
//!
//! Called by `engine` (before a run, and to name reasons) and by `cli`. It reads the project and never writes there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Store, StoreError};
use crate::content::{self, Content, Entry, Kind};
use crate::digest::Digest;
use crate::relpath::RelPath;
use crate::tree::{Folder, Ground, Measured, SourceSpec, TreeError, Watch, What};

/// So often a tree is measured again because a file was edited between its hashing and its storing.
const TRIES: usize = 5;

/// Why a tree could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file changes faster than it can be read.
    #[error("could not take a snapshot: `{}` is being changed all the time; stop what writes it, or leave it out of the sources", .0.display())]
    Moving(PathBuf),
}

/// Stores a source tree whole. What is returned is what is in the store, digest for digest: where a file was edited between
/// its hashing and its storing, the tree is measured again.
///
/// # Errors
/// Where the tree cannot be read or stored, or does not hold still.
pub fn keep_sources(
    store: &dyn Store,
    ground: &Ground,
    spec: &SourceSpec,
    watch: &dyn Watch,
) -> Result<Measured, SnapshotError> {
    let root = ground.root().join(spec.directory.as_path());
    let watch = Keeping { store, watch };
    hold_still(|| {
        let (measured, folders) = ground.folders(What::Sources(spec), &watch)?;
        keep(store, &root, measured, &folders)
    })
}

/// Stores the nodes of an input folder, not its files, so that [`difference`] can name the files that differ later. Does
/// nothing for a file.
///
/// # Errors
/// Where the tree cannot be read or stored.
pub fn keep_nodes(
    store: &dyn Store,
    ground: &Ground,
    path: &Path,
    watch: &dyn Watch,
) -> Result<Measured, SnapshotError> {
    let (measured, folders) = ground.folders(What::Path(path), watch)?;
    put_nodes(store, &folders)?;
    Ok(measured)
}

/// Keeps small files as they are read, so that storing a tree does not read it a second time.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    /// Where they are kept.
    pub store: &'a dyn Store,
    /// Who watches the walk.
    pub watch: &'a dyn Watch,
}

impl Watch for Keeping<'_> {
    fn saw(&self, files: u64, bytes: u64) {
        self.watch.saw(files, bytes);
    }

    fn at_hand(&self, digest: &Digest, bytes: &[u8]) {
        // A store that refuses is heard of when the tree is kept; a file that moves since is kept for nothing.
        let _ = self.store.put_digested(digest, bytes);
    }

    fn is_over(&self) -> bool {
        self.watch.is_over()
    }
}

/// What one attempt came to: the tree is kept, or this file moved meanwhile.
enum Attempt {
    Kept(Measured),
    Moved(PathBuf),
}

fn hold_still(mut attempt: impl FnMut() -> Result<Attempt, SnapshotError>) -> Result<Measured, SnapshotError> {
    let mut mover = PathBuf::new();
    for _ in 0..TRIES {
        match attempt()? {
            Attempt::Kept(measured) => return Ok(measured),
            Attempt::Moved(path) => mover = path,
        }
    }
    Err(SnapshotError::Moving(mover))
}

/// Stores the files of a tree, then its nodes: a node is there only after what it names. `root` is where the tree lies.
fn keep(store: &dyn Store, root: &Path, measured: Measured, folders: &[Folder]) -> Result<Attempt, SnapshotError> {
    let one = |folder: &Folder, entry: &Entry| -> Result<Option<PathBuf>, SnapshotError> {
        let path = || root.join(folder.path.as_path()).join(OsStr::from_bytes(&entry.name));
        let stored = match entry.kind {
            Kind::Folder => return Ok(None),
            Kind::Link if store.has(&entry.digest) => return Ok(None),
            Kind::Link => match std::fs::read_link(path()) {
                Ok(text) => Ok(store.put(text.as_os_str().as_bytes())?),
                Err(why) => Err(StoreError::at("read", &path())(why)),
            },
            Kind::File | Kind::Executable => {
                store.put_file(&path(), Some((entry.digest, entry.size))).map(|(digest, _)| digest)
            }
        };
        match stored {
            Ok(digest) if digest == entry.digest => Ok(None),
            Ok(_) => Ok(Some(path())),
            // A file that vanished, or became something else, moved as well: the next measure says what there is now.
            Err(_) if entry.kind != Kind::Link && !path().metadata().is_ok_and(|found| found.is_file()) => {
                Ok(Some(path()))
            }
            Err(_) if entry.kind == Kind::Link && !path().is_symlink() => Ok(Some(path())),
            Err(why) => Err(why.into()),
        }
    };
    let of = |folder: &Folder| folder.entries.iter().find_map(|entry| one(folder, entry).transpose());
    let moved = match folders {
        [folder] if folder.entries.len() < 64 => of(folder),
        _ => folders.par_iter().find_map_any(|folder| {
            folder.entries.par_iter().with_min_len(32).find_map_any(|entry| one(folder, entry).transpose())
        }),
    };
    if let Some(path) = moved.transpose()? {
        return Ok(Attempt::Moved(path));
    }
    put_nodes(store, folders)?;
    Ok(Attempt::Kept(measured))
}

fn put_nodes(store: &dyn Store, folders: &[Folder]) -> Result<(), StoreError> {
    folders.iter().rev().try_for_each(|folder| store.put(&content::encode(&folder.entries)).map(drop))
}

/// The entries of a node; none where it is missing, corrupt or not a node.
///
/// # Errors
/// Where the store cannot be read.
pub fn node(store: &dyn Store, digest: &Digest) -> Result<Option<Vec<Entry>>, StoreError> {
    Ok(store.get(digest)?.as_deref().and_then(content::decode))
}

/// All entries of a tree by their paths, folders before what is in them; none where a node is missing.
///
/// # Errors
/// Where the store cannot be read.
pub fn list(store: &dyn Store, tree: &Digest) -> Result<Option<Vec<(RelPath, Entry)>>, StoreError> {
    let mut found = Vec::new();
    let mut open = vec![(RelPath::root(), *tree)];
    while let Some((path, digest)) = open.pop() {
        let Some(entries) = node(store, &digest)? else { return Ok(None) };
        for entry in entries {
            let at = path.join(OsStr::from_bytes(&entry.name));
            if entry.kind == Kind::Folder {
                open.push((at.clone(), entry.digest));
            }
            found.push((at, entry));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Some(found))
}

/// Whether all of a tree (or the file) is there. Reads its nodes, not its files.
pub fn present(store: &dyn Store, content: &Content) -> bool {
    if content.kind != Kind::Folder {
        return store.has(&content.digest);
    }
    let mut seen = BTreeSet::new();
    let mut open = vec![content.digest];
    while let Some(digest) = open.pop() {
        if !seen.insert(digest) {
            continue;
        }
        let Ok(Some(entries)) = node(store, &digest) else { return false };
        for entry in entries {
            match entry.kind {
                Kind::Folder => open.push(entry.digest),
                _ if !store.has(&entry.digest) => return false,
                _ => {}
            }
        }
    }
    true
}

/// One path where two trees differ: what was there, what is.
pub type Differs = (RelPath, Option<Entry>, Option<Entry>);

/// Where two trees differ, sorted by path; folders that are the same are not walked. Of a folder that only one of them has,
/// what is in it is named (the folder itself where it is empty). None where a node of either is missing.
///
/// # Errors
/// Where the store cannot be read.
pub fn difference(store: &dyn Store, was: &Digest, is: &Digest) -> Result<Option<Vec<Differs>>, StoreError> {
    let mut found = Vec::new();
    let mut open = vec![(RelPath::root(), Some(*was), Some(*is))];
    while let Some((path, was, is)) = open.pop() {
        if was == is {
            continue;
        }
        let read = |digest: Option<Digest>| digest.map_or(Ok(Some(Vec::new())), |digest| node(store, &digest));
        let (Some(was), Some(is)) = (read(was)?, read(is)?) else { return Ok(None) };
        for (was, is) in pairs(was, is) {
            if let (Some(a), Some(b)) = (&was, &is)
                && (a.kind, a.digest) == (b.kind, b.digest)
            {
                continue;
            }
            let name = was.as_ref().or(is.as_ref()).map(|entry| entry.name.clone()).unwrap_or_default();
            let at = path.join(OsStr::from_bytes(&name));
            let folder = |entry: &Option<Entry>| entry.as_ref().filter(|e| e.kind == Kind::Folder).map(|e| e.digest);
            let only_folders = [&was, &is].into_iter().flatten().all(|entry| entry.kind == Kind::Folder);
            let empty = |digest: Option<Digest>| digest == Some(Digest::of(&content::encode(&[])));
            match (folder(&was), folder(&is)) {
                (Some(a), Some(b)) => open.push((at, Some(a), Some(b))),
                (a, b) if only_folders && !empty(a) && !empty(b) => open.push((at, a, b)),
                _ => found.push((at, was, is)),
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Some(found))
}

/// Two sorted lists side by side, by name.
fn pairs(was: Vec<Entry>, is: Vec<Entry>) -> Vec<(Option<Entry>, Option<Entry>)> {
    let mut pairs = Vec::new();
    let (mut was, mut is) = (was.into_iter().peekable(), is.into_iter().peekable());
    loop {
        let order = match (was.peek(), is.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let left = if order.is_le() { was.next() } else { None };
        let right = if order.is_ge() { is.next() } else { None };
        pairs.push((left, right));
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;
    use crate::store::capture::capture;
    use crate::tree::Stamp;

    /// A tree as the ground would tell it, from one that was captured.
    fn measured(place: &Path) -> (Measured, Vec<Folder>) {
        let store = MemoryStore::new();
        let measured = capture(&store, place, &|| false).unwrap().unwrap();
        let mut folders =
            vec![Folder { path: RelPath::root(), entries: node(&store, &measured.content.digest).unwrap().unwrap() }];
        for (path, entry) in list(&store, &measured.content.digest).unwrap().unwrap() {
            if entry.kind == Kind::Folder {
                folders.push(Folder { path, entries: node(&store, &entry.digest).unwrap().unwrap() });
            }
        }
        (measured, folders)
    }

    fn make(path: &Path, text: &str) {
        drop(std::fs::remove_file(path));
        crate::store::disk::files::write_new(path, text.as_bytes(), 0o644).unwrap();
    }

    #[test]
    fn what_is_told_is_what_is_kept() {
        for files in [2, 300] {
            let place = tempfile::tempdir().unwrap();
            std::fs::create_dir(place.path().join("d")).unwrap();
            for i in 0..files {
                make(&place.path().join(format!("d/{i}")), &format!("{i}"));
            }
            std::os::unix::fs::symlink("d/1", place.path().join("link")).unwrap();
            let (was, folders) = measured(place.path());
            let store = MemoryStore::new();
            assert!(matches!(keep(&store, place.path(), was, &folders).unwrap(), Attempt::Kept(m) if m == was));
            assert!(present(&store, &was.content));

            // All is there: nothing is read again, so that an edit since does not matter.
            make(&place.path().join("d/1"), "edited");
            assert!(matches!(keep(&store, place.path(), was, &folders).unwrap(), Attempt::Kept(_)));
            // Edited, gone, or something else before it was read: it moved, and the node is not kept.
            for change in [0, 1, 2] {
                let store = MemoryStore::new();
                let path = place.path().join("d/1");
                match change {
                    0 => make(&path, "edited"),
                    1 => std::fs::remove_file(&path).unwrap(),
                    _ => std::fs::create_dir(&path).unwrap(),
                }
                let attempt = keep(&store, place.path(), was, &folders).unwrap();
                assert!(matches!(attempt, Attempt::Moved(moved) if moved == path));
                assert!(!store.has(&was.content.digest));
            }
        }
    }

    /// Watches nothing.
    struct Nobody;

    impl Watch for Nobody {
        fn saw(&self, _files: u64, _bytes: u64) {}
    }

    #[test]
    fn the_ground_and_the_store_agree() {
        let place = tempfile::tempdir().unwrap();
        let (root, outside) = (place.path().join("project"), place.path().join("outside"));
        for folder in [&root.join("train/lib/deep"), &root.join("train/empty"), &outside.join("folder")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        make(&root.join("train/train.py"), "print()");
        make(&root.join("train/lib/deep/x.py"), "x = 1");
        make(&root.join("train/large"), &"l".repeat(1_200_000));
        make(&outside.join("folder/y.py"), "y = 2");
        make(&outside.join("z.py"), "z = 3");
        std::os::unix::fs::symlink("lib/deep", root.join("train/inner")).unwrap();
        let ground = Ground::open(&root, &root.join(".amlrun"));

        let store = MemoryStore::new();
        let path = root.join("train");
        let told = keep_nodes(&store, &ground, &path, &Nobody).unwrap().content;
        assert!(list(&store, &told.digest).unwrap().is_some() && !present(&store, &told), "nodes, no files");
        let found = capture(&store, &path, &|| false).unwrap().unwrap();
        assert_eq!(found.content, told, "what a job leaves has the digest that it is measured by");
        assert_eq!(found.stamp, ground.stamp(&path).unwrap().unwrap());

        // What leads out of the sources is kept as what it leads to.
        std::os::unix::fs::symlink(outside.join("folder"), root.join("train/folder")).unwrap();
        std::os::unix::fs::symlink("../../outside/z.py", root.join("train/z.py")).unwrap();
        for directory in ["train", ""] {
            let store = MemoryStore::new();
            let spec = SourceSpec { directory: RelPath::new(directory).unwrap(), ..SourceSpec::default() };
            let kept = keep_sources(&store, &ground, &spec, &Nobody).unwrap();
            assert_eq!(kept.content, ground.measure_sources(&[spec], &Nobody)[0].clone().unwrap().content);
            assert!(present(&store, &kept.content));
            let to = tempfile::tempdir().unwrap();
            assert!(crate::store::restore::write_sources(&store, &kept.content.digest, to.path()).unwrap());
            let at = to.path().join(if directory.is_empty() { "train" } else { "" });
            assert_eq!(std::fs::read_to_string(at.join("folder/y.py")).unwrap(), "y = 2");
            assert_eq!(std::fs::read_to_string(at.join("z.py")).unwrap(), "z = 3");
            assert_eq!(std::fs::read_link(at.join("inner")).unwrap(), Path::new("lib/deep"));
        }
    }

    #[test]
    fn a_tree_is_measured_again_until_it_holds_still() {
        let still = Measured {
            content: Content { kind: Kind::Folder, digest: Digest::of(b""), size: 0 },
            stamp: Stamp::default(),
            files: 0,
        };
        let check = |moves: usize| {
            let mut calls = 0;
            let told = hold_still(|| {
                calls += 1;
                Ok(if calls > moves { Attempt::Kept(still) } else { Attempt::Moved(PathBuf::from("f")) })
            });
            (calls, told.map_err(|why| why.to_string()))
        };
        assert_eq!(check(0), (1, Ok(still)));
        assert_eq!(check(TRIES - 1), (TRIES, Ok(still)));
        let (calls, told) = check(TRIES);
        assert_eq!(calls, TRIES);
        assert!(told.unwrap_err().starts_with("could not take a snapshot: `f` is being changed all the time"));
    }
}
