//! The store against damage, cuts, other processes and a hostile disk.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

/// Small objects, one of no bytes and one that looks like an entry among them.
fn objects() -> Vec<Vec<u8>> {
    let mut objects: Vec<Vec<u8>> = (0..6_u8).map(|i| vec![i; usize::from(i) * 7]).collect();
    let inner = b"an object within an object";
    let mut bytes =
        format::Record { digest: Digest::of(inner), offset: 0, length: inner.len() as u32 }.header().to_vec();
    bytes.extend_from_slice(inner);
    objects.push(bytes);
    objects
}

fn large(seed: u8) -> Vec<u8> {
    (0..LARGE + 4321).map(|i| (i % 251) as u8 ^ seed).collect()
}

/// A store with all objects, closed.
fn filled(folder: &Path) -> Vec<(Digest, Vec<u8>)> {
    let store = DiskStore::open(folder);
    let kept = objects().into_iter().map(|bytes| (store.put(&bytes).unwrap(), bytes)).collect();
    store.flush().unwrap();
    kept
}

fn write_whole(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

fn tree(folder: &Path) -> BTreeSet<PathBuf> {
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

/// Whatever happened to the store: what it hands out is right, what it lost can be put again, and then all is there for a
/// third one as well.
fn check_heals(folder: &Path, kept: &[(Digest, Vec<u8>)], what: &str) -> usize {
    let target = tempfile::tempdir().unwrap();
    let store = DiskStore::open(folder);
    let mut lost = 0;
    for (i, (digest, bytes)) in kept.iter().enumerate() {
        let found = store.get(digest).unwrap();
        assert!(found.as_ref().is_none_or(|found| found == bytes), "{what}: wrong bytes");
        let to = target.path().join(i.to_string());
        let written = store.write_to(digest, &to, false, false).unwrap();
        assert_eq!(written, found.is_some(), "{what}: get and write_to agree");
        assert_eq!(fs::read(&to).ok(), found, "{what}: what is written is right, or nothing is");
        assert_eq!(store.has(digest), found.is_some(), "{what}: has after get");
        lost += usize::from(found.is_none());
        assert_eq!(store.put(bytes).unwrap(), *digest);
        assert_eq!(store.get(digest).unwrap().as_ref(), Some(bytes), "{what}: put anew");
    }
    drop(store);
    let store = DiskStore::open(folder);
    for (digest, bytes) in kept {
        assert_eq!(store.get(digest).unwrap().as_ref(), Some(bytes), "{what}: after healing");
    }
    lost
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
fn every_damaged_byte_of_data_is_found_and_healed() {
    let master = tempfile::tempdir().unwrap();
    let kept = filled(master.path());
    let data = fs::read(index::data_path(master.path(), 1)).unwrap();
    let records = fs::read(index::index_path(master.path(), 1)).unwrap();
    for (flip, step) in [(0x01, 1), (0xff, 7)] {
        for at in (0..data.len()).step_by(step) {
            // With its index, with none, and with one that is damaged as well.
            for index in [Some(records.clone()), None, Some(vec![7; records.len()])] {
                let folder = tempfile::tempdir().unwrap();
                let mut damaged = data.clone();
                damaged[at] ^= flip;
                write_whole(&index::data_path(folder.path(), 1), &damaged);
                if let Some(index) = &index {
                    write_whole(&index::index_path(folder.path(), 1), index);
                }
                let lost = check_heals(folder.path(), &kept, &format!("data byte {at}"));
                assert!(lost <= 1, "one byte costs one object, not {lost} (byte {at})");
            }
        }
    }
}

#[test]
fn every_damaged_byte_of_an_index_costs_nothing() {
    let master = tempfile::tempdir().unwrap();
    let kept = filled(master.path());
    let data = fs::read(index::data_path(master.path(), 1)).unwrap();
    let records = fs::read(index::index_path(master.path(), 1)).unwrap();
    let mut indexes: Vec<(String, Option<Vec<u8>>)> = vec![("no index".to_owned(), None)];
    for at in 0..records.len() {
        let mut damaged = records.clone();
        damaged[at] ^= 0x10;
        indexes.push((format!("index byte {at}"), Some(damaged)));
        indexes.push((format!("index cut at {at}"), Some(records[..at].to_vec())));
    }
    let mut longer = records.clone();
    longer.extend_from_slice(&[9; 100]);
    indexes.push(("garbage after the index".to_owned(), Some(longer)));
    for (what, index) in indexes {
        let folder = tempfile::tempdir().unwrap();
        write_whole(&index::data_path(folder.path(), 1), &data);
        if let Some(index) = &index {
            write_whole(&index::index_path(folder.path(), 1), index);
        }
        assert_eq!(check_heals(folder.path(), &kept, &what), 0, "{what}");
        // Whoever writes next makes the index whole.
        DiskStore::open(folder.path()).put(what.as_bytes()).unwrap();
        let (found, right) = format::records(1, &fs::read(index::index_path(folder.path(), 1)).unwrap());
        assert!(right && found.len() == kept.len() + 1, "{what}: the index is whole again");
    }
}

#[test]
fn data_cut_at_any_length_heals() {
    let master = tempfile::tempdir().unwrap();
    let kept = filled(master.path());
    let data = fs::read(index::data_path(master.path(), 1)).unwrap();
    let records = fs::read(index::index_path(master.path(), 1)).unwrap();
    for length in 0..data.len() {
        for with_index in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            write_whole(&index::data_path(folder.path(), 1), &data[..length]);
            if with_index {
                write_whole(&index::index_path(folder.path(), 1), &records);
            }
            let lost = check_heals(folder.path(), &kept, &format!("data cut at {length}"));
            let (mut end, mut whole) = (0, 0);
            for (_, bytes) in &kept {
                end += HEADER + bytes.len();
                whole += usize::from(end <= length);
            }
            assert_eq!(lost, kept.len() - whole, "what is whole is still there, cut at {length}");
            let (_, right) = format::records(1, &fs::read(index::index_path(folder.path(), 1)).unwrap());
            assert!(right, "the index is whole again");
        }
    }
}

#[test]
fn a_writer_killed_at_any_instant_leaves_what_the_next_one_can_use() {
    let master = tempfile::tempdir().unwrap();
    let kept = filled(master.path());
    let data = fs::read(index::data_path(master.path(), 1)).unwrap();
    let records = fs::read(index::index_path(master.path(), 1)).unwrap();
    let (mut end, mut indexed) = (0, 0);
    for (_, bytes) in &kept {
        // Three objects are safe; then the kill comes while the next is written, and its record not yet.
        for cut in [1, HEADER - 1, HEADER, HEADER + bytes.len()] {
            let folder = tempfile::tempdir().unwrap();
            write_whole(&index::data_path(folder.path(), 1), &data[..(end + cut).min(data.len())]);
            write_whole(&index::index_path(folder.path(), 1), &records[..indexed]);
            check_heals(folder.path(), &kept, &format!("killed at {end} + {cut}"));
        }
        end += HEADER + bytes.len();
        indexed += format::RECORD;
    }
}

#[test]
fn a_corrupt_object_is_set_aside_and_put_anew() {
    let check = |bytes: &[u8], link: bool| {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path());
        let digest = store.put(bytes).unwrap();
        store.put(b"another").unwrap();
        store.flush().unwrap();
        drop(store);

        let file = tree(folder.path())
            .into_iter()
            .find(|path| {
                path.ends_with(digest.to_string())
                    || (bytes.len() as u64 <= LARGE && path.extension().is_some_and(|e| e == "data"))
            })
            .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let at = if bytes.len() as u64 > LARGE { 0 } else { HEADER as u64 };
        OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[!bytes[0]], at).unwrap();

        let store = DiskStore::open(folder.path());
        assert!(store.has(&digest), "nobody looked yet");
        let to = folder.path().join("restored");
        assert!(!store.write_to(&digest, &to, false, link).unwrap());
        assert!(!to.exists());
        assert_eq!(store.get(&digest).unwrap(), None);
        assert!(!store.has(&digest));
        assert!(!DiskStore::open(folder.path()).has(&digest), "the next process knows");
        assert_eq!(fs::read_dir(folder.path().join(QUARANTINE)).unwrap().count(), 1);
        assert_eq!(store.get(&Digest::of(b"another")).unwrap().unwrap(), b"another");

        assert_eq!(store.put(bytes).unwrap(), digest);
        assert!(store.write_to(&digest, &to, false, link).unwrap());
        assert_eq!(fs::read(&to).unwrap(), bytes);
        assert_eq!(DiskStore::open(folder.path()).get(&digest).unwrap().is_some(), bytes.len() as u64 > LARGE);
        store.flush().unwrap();
        assert_eq!(DiskStore::open(folder.path()).get(&digest).unwrap().as_deref(), Some(bytes));
    };
    check(b"small", false);
    check(b"small", true);
    check(&large(0), false);
    check(&large(0), true);
}

#[test]
fn the_same_object_at_a_place_where_it_was_corrupt_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(folder.path());
    let digest = store.put(b"the only one").unwrap();
    drop(store);
    let data = index::data_path(folder.path(), 1);
    OpenOptions::new().write(true).open(&data).unwrap().write_all_at(b"X", HEADER as u64).unwrap();
    assert_eq!(DiskStore::open(folder.path()).get(&digest).unwrap(), None);
    // The damaged pack is emptied (its index is lost as well), and the object comes to lie at its start again.
    fs::remove_file(index::index_path(folder.path(), 1)).unwrap();
    DiskStore::open(folder.path()).put(b"the only one").unwrap();
    assert_eq!(DiskStore::open(folder.path()).get(&digest).unwrap().unwrap(), b"the only one");
}

#[test]
fn files_are_kept_by_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(&folder.path().join("store"));
    let limit = usize::try_from(LARGE).unwrap();
    for size in [0, 1, 70_000, limit - 1, limit, limit + 1, 3 * limit, 9 * limit + 5] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 253) as u8).collect();
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
            assert_eq!(found.nlink(), if link && !executable && bytes.len() > 5 { 2 } else { 1 });
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
    stores.iter().for_each(|store| store.flush().unwrap());
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
    let chunk = |i: u8| vec![i; 300_000];
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
