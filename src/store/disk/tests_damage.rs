//! The store against damaged bytes, cut files and killed writers.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use super::tests::{filled, large, tree, write_whole};
use super::*;

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
