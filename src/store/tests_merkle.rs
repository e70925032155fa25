//! A snapshot is a Merkle tree: what a change adds to the store, to the object, in a tree of 10,000 files.

use std::fs;
use std::path::Path;

use super::disk::DiskStore;
use super::snapshot::{keep_sources, present};
use super::{Store, snapshot};
use crate::content::Kind;
use crate::tree::{Ground, Measured, SourceSpec, Watch};

struct Nobody;

impl Watch for Nobody {
    fn saw(&self, _: u64, _: u64) {}
}

/// Bytes of a record in a pack's index (`disk/format.rs`).
const RECORD: u64 = 48;

/// How many objects the packs of a store hold.
fn objects(folder: &Path) -> u64 {
    let indexes = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "index"));
    indexes.map(|entry| entry.metadata().unwrap().len() / RECORD).sum()
}

fn write(path: &Path, text: &str) {
    drop(fs::remove_file(path));
    super::disk::files::write_new(path, text.as_bytes(), 0o644).unwrap();
}

#[test]
fn a_change_adds_one_file_and_the_nodes_on_its_path_and_a_rename_no_file() {
    let place = tempfile::tempdir().unwrap();
    let (root, objects_at) = (place.path().join("project"), place.path().join("objects"));
    for folder in 0..100 {
        let folder = root.join(format!("a/{}/{folder}", folder % 10));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            write(&folder.join(file.to_string()), &format!("{}/{file}", folder.display()));
        }
    }
    let keep = || -> (Measured, u64) {
        // Another process each time, as in life.
        let store = DiskStore::open(&objects_at);
        let ground = Ground::open(&root, &place.path().join("state"));
        let kept = keep_sources(&store, &ground, &SourceSpec::default(), &Nobody).unwrap();
        store.flush().unwrap();
        assert!(present(&store, &kept.content));
        (kept, objects(&objects_at))
    };
    let (first, before) = keep();
    assert_eq!((first.files, before), (10_000, 10_000 + 100 + 10 + 1 + 1), "files, and the nodes of four levels");

    write(&root.join("a/3/33/77"), "edited");
    let (second, after) = keep();
    assert_eq!(after - before, 1 + 4, "one file, and the nodes of `a/3/33`, `a/3`, `a` and the root");
    assert_ne!(second.content.digest, first.content.digest);

    let before = after;
    fs::rename(root.join("a/3/33/77"), root.join("a/4/44/moved")).unwrap();
    let (third, after) = keep();
    assert_eq!(after - before, 4 + 2, "the nodes of `a/3/33`, `a/3`, `a`, the root, `a/4/44` and `a/4`; no file");
    let store = DiskStore::open(&objects_at);
    let differ = snapshot::difference(&store, &second.content.digest, &third.content.digest).unwrap().unwrap();
    assert_eq!(differ.len(), 2);
    assert!(differ.iter().all(|(_, was, is)| was.as_ref().or(is.as_ref()).is_some_and(|e| e.kind == Kind::File)));

    let before = after;
    fs::rename(root.join("a"), root.join("b")).unwrap();
    let (_, after) = keep();
    assert_eq!(after - before, 1, "a folder that moved as it is adds the root's node alone");
}
