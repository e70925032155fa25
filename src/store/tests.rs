//! Trees into a store and out of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::capture::capture;
use super::disk::DiskStore;
use super::disk::files;
use super::memory::MemoryStore;
use super::restore::{write_sources, write_tree};
use super::snapshot::{difference, list, present};
use super::*;
use crate::content::{Content, Entry, Kind, encode};
use crate::digest::Digest;
use crate::relpath::RelPath;

/// What lies at a path, for comparing: bytes, exec bit, link texts, folders.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    File(Vec<u8>, bool),
    Link(PathBuf),
    Folder(BTreeMap<Vec<u8>, Thing>),
}

impl Thing {
    fn make(&self, at: &Path) {
        match self {
            Self::File(bytes, executable) => {
                files::write_new(at, bytes, files::mode(*executable, false)).unwrap();
            }
            Self::Link(text) => symlink(text, at).unwrap(),
            Self::Folder(below) => {
                fs::create_dir(at).unwrap();
                for (name, thing) in below {
                    thing.make(&at.join(OsStr::from_bytes(name)));
                }
            }
        }
    }

    fn at(path: &Path) -> Self {
        let found = fs::symlink_metadata(path).unwrap();
        if found.is_symlink() {
            return Self::Link(fs::read_link(path).unwrap());
        }
        if found.is_file() {
            return Self::File(fs::read(path).unwrap(), found.mode() & 0o100 != 0);
        }
        let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
        Self::Folder(entries.map(|e| (e.file_name().as_bytes().to_vec(), Self::at(&e.path()))).collect())
    }
}

fn file(text: &str) -> Thing {
    Thing::File(text.as_bytes().to_vec(), false)
}

fn folder<const N: usize>(below: [(&str, Thing); N]) -> Thing {
    Thing::Folder(below.into_iter().map(|(name, thing)| (name.as_bytes().to_vec(), thing)).collect())
}

fn taken(store: &dyn Store, path: &Path) -> Content {
    capture(store, path, &|| false).unwrap().unwrap().content
}

/// A tree in a store of its own.
fn kept(store: &dyn Store, thing: &Thing) -> Content {
    let place = tempfile::tempdir().unwrap();
    thing.make(&place.path().join("it"));
    taken(store, &place.path().join("it"))
}

fn sample() -> Thing {
    let many = (0..200).map(|i| (format!("{i:03}").into_bytes(), file(&i.to_string()))).collect();
    folder([
        ("a", file("same")),
        ("b", file("same")),
        ("empty", folder([])),
        ("large", Thing::File(vec![7; 1_100_000], true)),
        ("link", Thing::Link("../../not/there".into())),
        ("many", Thing::Folder(many)),
        ("run.sh", Thing::File(b"#!/bin/sh\n".to_vec(), true)),
        ("sub", folder([("absolute", Thing::Link("/etc/hostname".into())), ("sub", folder([("x", file("deep"))]))])),
    ])
}

fn check_round_trip(store: &dyn Store, thing: &Thing) {
    let place = tempfile::tempdir().unwrap();
    let (from, to, linked) = (place.path().join("from"), place.path().join("to"), place.path().join("linked"));
    thing.make(&from);
    let content = taken(store, &from);
    assert!(present(store, &content));
    assert_eq!(taken(store, &from), content, "the same again");
    assert!(write_tree(store, &content, &to, false).unwrap());
    assert_eq!(Thing::at(&to), *thing);
    assert_eq!(taken(store, &to), content);
    assert!(write_tree(store, &content, &linked, true).unwrap());
    assert_eq!(Thing::at(&linked), *thing);
    if let Thing::Folder(_) = thing {
        assert_eq!(write_tree(store, &content, &to, false).unwrap_err().source.kind(), ErrorKind::AlreadyExists);
        let merged = place.path().join("merged");
        fs::create_dir(&merged).unwrap();
        assert!(write_sources(store, &content.digest, &merged).unwrap());
        assert_eq!(Thing::at(&merged), *thing);
    }
}

#[test]
fn trees_come_back_the_same() {
    for thing in [sample(), file("alone"), Thing::File(Vec::new(), true), Thing::Link("x".into()), folder([])] {
        let place = tempfile::tempdir().unwrap();
        check_round_trip(&DiskStore::open(place.path()), &thing);
        check_round_trip(&MemoryStore::new(), &thing);
    }
}

fn things() -> impl Strategy<Value = Thing> {
    let leaf = prop_oneof![
        4 => (vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(bytes, executable)| Thing::File(bytes, executable)),
        1 => vec(1..=255_u8, 1..40).prop_map(|text| Thing::Link(OsStr::from_bytes(&text).into())),
    ];
    let name = vec(any::<u8>().prop_map(|b| if matches!(b, 0 | b'/') { b'_' } else { b }), 1..20)
        .prop_filter("a name", |name| name != b"." && name != b"..");
    leaf.prop_recursive(4, 60, 8, move |inner| btree_map(name.clone(), inner, 0..8).prop_map(Thing::Folder))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_the_same(thing in things()) {
        let place = tempfile::tempdir().unwrap();
        check_round_trip(&DiskStore::open(place.path()), &thing);
    }

    #[test]
    fn difference_agrees_with_two_lists(was in things(), is in things()) {
        let store = MemoryStore::new();
        let (was, is) = (folder([("top", was)]), folder([("top", is)]));
        let (was, is) = (kept(&store, &was).digest, kept(&store, &is).digest);
        let leaves = |tree| -> BTreeMap<RelPath, Entry> {
            list(&store, tree).unwrap().unwrap().into_iter().filter(|(_, e)| e.kind != Kind::Folder).collect()
        };
        let (a, b) = (leaves(&was), leaves(&is));
        let found = difference(&store, &was, &is).unwrap().unwrap();
        prop_assert_eq!(found.is_empty(), was == is);
        for (path, was, is) in &found {
            prop_assert!(was.is_some() || is.is_some());
            let leaf = |entry: &Option<Entry>| entry.clone().filter(|e| e.kind != Kind::Folder);
            prop_assert_eq!(leaf(was), a.get(path).cloned());
            prop_assert_eq!(leaf(is), b.get(path).cloned());
        }
        let named = |path: &RelPath| found.iter().any(|(at, ..)| path.is_within(at));
        for path in a.keys().chain(b.keys()) {
            let differs = a.get(path) != b.get(path);
            prop_assert!(!differs || named(path), "{} is named, or the folder in its place", path);
        }
    }
}

#[test]
fn what_cannot_be_kept_is_named() {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let never = || false;
    assert_eq!(capture(&store, &place.path().join("absent"), &never).unwrap(), None);
    file("").make(&place.path().join("file"));
    assert_eq!(capture(&store, &place.path().join("file/below"), &never).unwrap(), None);
    let pipe = place.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path().join("socket")).unwrap();
    for (path, what) in [("pipe", "a named pipe"), ("socket", "a socket")] {
        let refused = capture(&store, &place.path().join(path), &never).unwrap_err().to_string();
        assert!(refused.contains(&format!("{path}`: it is {what}")), "{refused}");
    }
    let refused = capture(&store, place.path(), &never).unwrap_err().to_string();
    assert!(refused.contains("only files, folders and symlinks can be kept"), "{refused}");
    assert_eq!(store.count(), 0);
    fs::remove_file(pipe).unwrap();
    fs::remove_file(place.path().join("socket")).unwrap();
    let stopped = capture(&store, place.path(), &|| true).unwrap_err();
    assert_eq!(stopped.source.kind(), ErrorKind::Interrupted);
}

#[test]
fn a_very_deep_tree_is_no_trouble() {
    let place = tempfile::tempdir().unwrap();
    let mut deep = place.path().join("deep");
    for _ in 0..900 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let store = MemoryStore::new();
    let content = taken(&store, &place.path().join("deep"));
    assert!(present(&store, &content));
    assert_eq!(list(&store, &content.digest).unwrap().unwrap().len(), 900);
    assert!(write_tree(&store, &content, &place.path().join("back"), false).unwrap());
    assert_eq!(taken(&store, &place.path().join("back")), content);
}

#[test]
fn sizes_and_files_are_counted() {
    let place = tempfile::tempdir().unwrap();
    let thing = folder([("a", file("12")), ("l", Thing::Link("abc".into())), ("s", folder([("x", file("1234"))]))]);
    thing.make(&place.path().join("it"));
    let found = capture(&MemoryStore::new(), &place.path().join("it"), &|| false).unwrap().unwrap();
    assert_eq!((found.content.size, found.files), (9, 3));
    let file = capture(&MemoryStore::new(), &place.path().join("it/a"), &|| false).unwrap().unwrap();
    let stat = fs::metadata(place.path().join("it/a")).unwrap();
    assert_eq!((file.stamp.inode, file.stamp.size, file.stamp.mode), (stat.ino(), 2, stat.mode()));
}

#[test]
fn a_tree_with_anything_missing_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let content = kept(&store, &sample());
    let mut all: Vec<Digest> = list(&store, &content.digest).unwrap().unwrap().iter().map(|(_, e)| e.digest).collect();
    all.push(content.digest);
    let place = tempfile::tempdir().unwrap();
    for digest in all {
        let bytes = store.get(&digest).unwrap().unwrap();
        assert!(store.lose(&digest));
        assert!(!present(&store, &content));
        assert!(!write_tree(&store, &content, &place.path().join("to"), false).unwrap());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        store.put(&bytes).unwrap();
    }
    assert!(present(&store, &content));
}

#[test]
fn nothing_is_written_through_a_symlink_or_over_a_file() {
    let store = MemoryStore::new();
    let inner = store.put(&encode(&[])).unwrap();
    let secret = store.put(b"harm").unwrap();
    let entry = |name: &str, kind, digest| Entry { name: name.into(), kind, digest, size: 0 };
    let below = store.put(&encode(&[entry("file", Kind::File, secret)])).unwrap();
    let check = |entries: &[Entry], there: &dyn Fn(&Path), whole: bool| {
        let place = tempfile::tempdir().unwrap();
        let (to, outside) = (place.path().join("to"), place.path().join("outside"));
        fs::create_dir(&to).unwrap();
        fs::create_dir(&outside).unwrap();
        there(&to);
        let tree = store.put(&encode(entries)).unwrap();
        assert_eq!(write_sources(&store, &tree, &to).is_ok_and(|whole| whole), whole);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing outside");
    };
    let nothing = |_: &Path| {};
    check(&[entry("d", Kind::Folder, below)], &nothing, true);
    check(&[entry("d", Kind::Folder, below)], &|to| fs::create_dir(to.join("d")).unwrap(), true);
    check(&[entry("d", Kind::Folder, below)], &|to| symlink("../outside", to.join("d")).unwrap(), false);
    check(&[entry("d", Kind::Folder, inner)], &|to| symlink("../outside", to.join("d")).unwrap(), false);
    check(&[entry("f", Kind::File, secret)], &|to| symlink("../outside/f", to.join("f")).unwrap(), false);
    check(&[entry("f", Kind::File, secret)], &|to| file("mine").make(&to.join("f")), false);
    // Names that would lead outside: such a node is none.
    for name in ["..", ".", "", "a/b", "../outside/x", "/x", "nul\0"] {
        check(&[entry(name, Kind::File, secret)], &nothing, false);
        check(&[entry(name, Kind::Folder, below)], &nothing, false);
    }
    // A link and a folder of one name cannot both be in a node.
    let link = store.put(b"../outside").unwrap();
    check(&[entry("d", Kind::Link, link), entry("d", Kind::Folder, below)], &nothing, false);
}

#[test]
fn differences_name_files() {
    let store = MemoryStore::new();
    let was = folder([
        ("gone", folder([("x", file("1")), ("y", folder([]))])),
        ("kind", file("1")),
        ("mode", file("1")),
        ("same", folder([("x", file("1"))])),
        ("turned", folder([("x", file("1"))])),
    ]);
    let is = folder([
        ("kind", Thing::Link("1".into())),
        ("mode", Thing::File(b"1".to_vec(), true)),
        ("new", file("2")),
        ("same", folder([("x", file("1"))])),
        ("turned", file("1")),
    ]);
    let (was, is) = (kept(&store, &was).digest, kept(&store, &is).digest);
    let found = difference(&store, &was, &is).unwrap().unwrap();
    let kind = |entry: &Option<Entry>| entry.as_ref().map_or('-', |entry| char::from(entry.kind.tag()));
    let lines: Vec<String> = found.iter().map(|(path, was, is)| format!("{path} {}{}", kind(was), kind(is))).collect();
    assert_eq!(lines, ["gone/x f-", "gone/y d-", "kind fl", "mode fx", "new -f", "turned df"]);
    assert_eq!(difference(&store, &was, &was).unwrap(), Some(Vec::new()));
    // A subtree that is the same need not be there.
    let same =
        list(&store, &is).unwrap().unwrap().iter().find(|(path, _)| path.to_string() == "same").unwrap().1.digest;
    store.lose(&same);
    assert!(difference(&store, &was, &is).unwrap().is_some());
    assert!(list(&store, &is).unwrap().is_none());
    store.lose(&is);
    assert!(difference(&store, &was, &is).unwrap().is_none());
}
