//! The store in use by one process and several, on a good disk and a hostile one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

/// Small objects, one of no bytes and one that looks like an entry among them.
pub(super) fn objects() -> Vec<Vec<u8>> {
    let mut objects: Vec<Vec<u8>> = (0..6_u8).map(|i| vec![i; usize::from(i) * 7]).collect();
    let inner = b"an object within an object";
    let mut bytes = format::Record { digest: Digest::of(inner), offset: 0, length: 26 }.header().to_vec();
    bytes.extend_from_slice(inner);
    objects.push(bytes);
    objects
}

pub(super) fn large(seed: u8) -> Vec<u8> {
    (0..=250).cycle().map(|i: u8| i ^ seed).take(1_052_897).collect()
}

/// A store with all objects, closed.
pub(super) fn filled(folder: &Path) -> Vec<(Digest, Vec<u8>)> {
    let store = DiskStore::open(folder);
    let kept = objects().into_iter().map(|bytes| (store.put(&bytes).unwrap(), bytes)).collect();
    store.flush().unwrap();
    kept
}

pub(super) fn write_whole(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

pub(super) fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn what_was_put_is_there_at_once_and_for_others_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    let (one, other) = (DiskStore::open(&folder), DiskStore::open(&folder));
    assert!(!one.has(&Digest::of(b"")));
    assert_eq!(one.get(&Digest::of(b"x")).unwrap(), None);
    one.flush().unwrap();
    assert!(!folder.exists(), "who only reads writes nothing");

    for bytes in objects().into_iter().chain([large(1)]) {
        assert!(!other.has(&Digest::of(&bytes)));
        let digest = one.put(&bytes).unwrap();
        assert_eq!(one.get(&digest).unwrap().as_ref(), Some(&bytes));
        assert!(one.has(&digest));
        one.flush().unwrap();
        assert!(other.has(&digest), "{} bytes", bytes.len());
        assert_eq!(other.get(&digest).unwrap().as_ref(), Some(&bytes));
    }
    // The other has a pack of its own, and the first one sees what is in it.
    let digest = other.put(b"from the other").unwrap();
    other.flush().unwrap();
    assert_eq!(one.get(&digest).unwrap().unwrap(), b"from the other");
    let names = |ends: &str| tree(&folder).iter().filter(|path| path.to_string_lossy().ends_with(ends)).count();
    assert_eq!((names(".data"), names(".index")), (2, 2));
    drop((one, other));
    // One process after another: no further pack.
    for i in 0..5_u8 {
        DiskStore::open(&folder).put(&[i, i]).unwrap();
    }
    assert_eq!(names(".data"), 2);
    assert!(DiskStore::open(&folder).has(&Digest::of(&[4, 4])), "kept without a flush, as the process ended in order");
    for path in tree(&folder) {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o002, 0, "{path:?} is not writable for everybody");
    }
}

#[test]
fn an_object_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let kept = filled(folder.path());
    let length = || fs::metadata(index::data_path(folder.path(), 1)).unwrap().len();
    let before = length();
    let store = DiskStore::open(folder.path());
    for (_, bytes) in &kept {
        store.put(bytes).unwrap();
    }
    drop(store);
    assert_eq!(length(), before);
}

#[test]
fn files_are_kept_by_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(&folder.path().join("store"));
    let limit = usize::try_from(LARGE).unwrap();
    for size in [0, 1, 70_000, limit - 1, limit, limit + 1, 3 * limit, 9 * limit + 5] {
        let bytes: Vec<u8> = (0..=252).cycle().take(size).collect();
        let path = folder.path().join("file");
        write_whole(&path, &bytes);
        let told = (Digest::of(&bytes), size as u64);
        assert_eq!(store.put_file(&path, None).unwrap(), told, "{size}");
        assert_eq!(store.put_file(&path, Some(told)).unwrap(), told, "{size}");
        assert_eq!(store.put(&bytes).unwrap(), told.0);
        assert!(store.get(&told.0).unwrap().is_some_and(|found| found == bytes), "{size}");
        write_whole(&path, b"changed since it was hashed");
        let was = (Digest::of(b"never seen"), size as u64);
        assert_eq!(store.put_file(&path, Some(was)).unwrap(), (Digest::of(b"changed since it was hashed"), 27));
        assert_eq!(store.put_file(&path, Some(told)).unwrap(), told, "what is there is not read again");
    }
    assert_eq!(fs::read_dir(folder.path().join("store/incoming")).unwrap().count(), 0);
    let refused = |path: &Path| store.put_file(path, None).unwrap_err().to_string();
    assert!(refused(&folder.path().join("absent")).contains("absent`: No such file"));
    assert!(refused(folder.path()).ends_with("it is not a regular file"));
}

#[test]
fn restored_files_have_their_modes_and_overwrite_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(&folder.path().join("store"));
    for bytes in [b"small".to_vec(), large(3)] {
        let digest = store.put(&bytes).unwrap();
        for (executable, link, mode) in
            [(false, false, 0o644), (true, false, 0o755), (false, true, 0o444), (true, true, 0o555)]
        {
            let to = folder.path().join("to");
            assert!(store.write_to(&digest, &to, executable, link).unwrap());
            let found = fs::metadata(&to).unwrap();
            assert_eq!(found.mode() & 0o757, mode & 0o757, "{} bytes, {executable} {link}", bytes.len());
            assert_eq!(found.nlink(), if link && !executable { 2 } else { 1 });
            assert_eq!(fs::read(&to).unwrap(), bytes);
            let again = store.write_to(&digest, &to, executable, link).unwrap_err();
            assert_eq!(again.source.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).unwrap(), bytes);
            fs::remove_file(&to).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }
}

#[test]
fn a_small_file_is_linked_to_the_one_restored_before_it_which_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(&folder.path().join("store"));
    let digest = store.put(b"small").unwrap();
    let restored = |name: &str| {
        let to = folder.path().join(name);
        assert!(store.write_to(&digest, &to, false, true).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"small");
        let found = fs::metadata(&to).unwrap();
        (to, found.ino(), found.nlink())
    };
    let (first, inode, _) = restored("first");
    let shelf = fs::read_dir(folder.path().join("store/twins")).unwrap().next().unwrap().unwrap().path();
    let twin = shelf.join(digest.to_string());
    assert_eq!(restored("second").1, inode);
    assert_eq!(restored("third"), (folder.path().join("third"), inode, 4));
    assert!(store.write_to(&digest, &first, false, true).unwrap_err().source.kind() == io::ErrorKind::AlreadyExists);

    // Changed, longer, shorter, empty, another kind of thing, missing: the pack makes the next one.
    let changes: [&dyn Fn(); 6] = [
        &|| write_whole(&twin, b"smalL"),
        &|| write_whole(&twin, b"small and more"),
        &|| write_whole(&twin, b"smal"),
        &|| write_whole(&twin, b""),
        &|| {
            fs::remove_file(&twin).unwrap();
            fs::create_dir(&twin).unwrap();
        },
        &|| {
            let _ = fs::remove_dir(&twin);
            fs::remove_dir_all(folder.path().join("store/twins")).unwrap();
        },
    ];
    for (at, change) in changes.iter().enumerate() {
        let _ = fs::set_permissions(&twin, fs::Permissions::from_mode(0o644));
        change();
        let (_, anew, links) = restored(&format!("after {at}"));
        assert_ne!(anew, inode, "{at}");
        assert_eq!(links, if at == 4 { 1 } else { 2 }, "{at}: no file can take the place of a folder");
    }
    let names: Vec<u64> = (0..8).map(|at| restored(&format!("many {at}")).2).collect();
    assert_eq!(names, [3, 4, 5, 6, 7, 8, 1, 1], "it has no more names than eight");
    let empty = store.put(b"").unwrap();
    let to = folder.path().join("empty");
    assert!(store.write_to(&empty, &to, false, true).unwrap());
    assert_eq!(fs::metadata(&to).unwrap().nlink(), 1, "there is nothing to share");
}

#[test]
fn threads_put_and_get_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [DiskStore::open(folder.path()), DiskStore::open(folder.path())];
    let bytes = |i: u32| format!("object {}", i % 300).into_bytes().repeat(1 + (i % 300) as usize * 20);
    std::thread::scope(|scope| {
        for thread in 0..6_u32 {
            let store = &stores[thread as usize % 2];
            scope.spawn(move || {
                for i in 0..600 {
                    let bytes = bytes(i * (thread + 1));
                    let digest = store.put(&bytes).unwrap();
                    assert_eq!(store.get(&digest).unwrap().as_ref(), Some(&bytes));
                    if i % 97 == 0 {
                        store.flush().unwrap();
                    }
                }
            });
        }
    });
    for store in &stores {
        store.flush().unwrap();
    }
    for store in [&stores[0], &stores[1], &DiskStore::open(folder.path())] {
        for i in 0..300 {
            assert_eq!(store.get(&Digest::of(&bytes(i))).unwrap(), Some(bytes(i)));
        }
    }
}

#[test]
fn a_killed_process_leaves_no_large_file_behind_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    fs::create_dir(&incoming).unwrap();
    write_whole(&incoming.join("1-1"), b"half of it");
    let held = File::create(incoming.join("1-2")).unwrap();
    held.lock().unwrap();
    DiskStore::open(folder.path()).put(&large(0)).unwrap();
    assert_eq!(index::names(&incoming).unwrap(), ["1-2"], "only what nobody works on is removed");
}

#[test]
fn full_packs_are_left_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    // A sparse tail makes it long; it is cut off as it holds nothing, so the pack is filled from there on.
    let store = DiskStore::open(folder.path());
    let chunk = |i: u32| [i.to_le_bytes().as_slice(), &vec![0; (1 << 20) - 4]].concat();
    let digests: Vec<Digest> = (0..258).map(|i| store.put(&chunk(i)).unwrap()).collect();
    store.flush().unwrap();
    assert!(index::data_path(folder.path(), 2).exists() && !index::data_path(folder.path(), 3).exists());
    for store in [&store, &DiskStore::open(folder.path())] {
        assert!(digests.iter().all(|digest| store.has(digest)));
        assert_eq!(store.get(&digests[257]).unwrap(), Some(chunk(257)));
    }
    drop(store);
    DiskStore::open(folder.path()).put(b"one more").unwrap();
    assert!(!index::data_path(folder.path(), 3).exists());
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_that_was_put() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", index::data_path(folder.path(), 1)).unwrap();
    let store = DiskStore::open(folder.path());
    let digest = store.put(b"in memory still").unwrap();
    for _ in 0..2 {
        let refused = store.flush().unwrap_err().to_string();
        assert!(refused.starts_with("could not write `") && refused.contains("pack-0001.data`: No space"), "{refused}");
        assert_eq!(store.get(&digest).unwrap().unwrap(), b"in memory still");
    }
    let chunk = |i: u8| vec![i; 40_000];
    let refused = (0..9).find_map(|i| store.put(&chunk(i)).err().map(|why| (i, why))).unwrap();
    assert!(refused.0 > 2 && refused.1.to_string().contains("No space"), "a buffer's worth fits in memory, not more");
    assert!(!store.has(&Digest::of(&chunk(refused.0))) && store.has(&Digest::of(&chunk(0))));
}

/// Runs as a user without privileges, where the test has them: root may write anywhere.
fn unprivileged(run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_uid(nobody).unwrap();
            }
            run();
        });
    });
}

#[test]
fn a_store_that_cannot_be_written_still_reads_and_says_where_it_could_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = filled(folder.path());
    let big = large(9);
    DiskStore::open(folder.path()).put(&big).unwrap();
    let data = index::data_path(folder.path(), 1);
    OpenOptions::new().write(true).open(&data).unwrap().write_all_at(&[99], HEADER as u64 * 2 + 1).unwrap();
    let before = tree(folder.path());
    for path in before.iter().chain([&folder.path().to_owned()]) {
        let found = fs::metadata(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o7555 | 0o555)).unwrap();
    }
    unprivileged(|| {
        let store = DiskStore::open(folder.path());
        let there: Vec<bool> = kept.iter().map(|(digest, _)| store.get(digest).unwrap().is_some()).collect();
        assert_eq!(there, [true, false, true, true, true, true, true]);
        assert!(!store.has(&kept[1].0), "the corrupt one counts as missing here, though it cannot be set aside");
        assert!(store.get(&Digest::of(&big)).unwrap().is_some());
        for (_, bytes) in kept.iter().skip(2) {
            store.put(bytes).unwrap();
        }
        store.put(&big).unwrap();
        for (bytes, named) in [(&b"new"[..], "pack-0002.data`"), (&large(4), "incoming/")] {
            let refused = store.put(bytes).unwrap_err().to_string();
            assert!(refused.starts_with("could not create `") && refused.contains(named), "{refused}");
        }
        store.flush().unwrap();
    });
    assert_eq!(tree(folder.path()), before);
    for path in before.iter().chain([&folder.path().to_owned()]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
