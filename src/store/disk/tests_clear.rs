//! Clearing: what is needed stays and is found by everybody, whatever others do meanwhile.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use super::DiskStore;
use super::clear::{ClearError, Cleared};
use super::format::LARGE;
use super::index::{index_path, numbers};
use crate::digest::Digest;
use crate::store::Store;

fn bytes(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + seed * 7 + i / 251) % 251).unwrap()).collect()
}

/// Puts objects `from..to` and makes them durable; every tenth is large.
fn fill(folder: &Path, from: usize, to: usize) -> Vec<Digest> {
    let store = DiskStore::open(folder);
    let length = |i: usize| if i.is_multiple_of(20) { usize::try_from(LARGE).unwrap() + i } else { 100 + i };
    let all = (from..to).map(|i| store.put(&bytes(i, length(i))).unwrap()).collect();
    store.flush().unwrap();
    all
}

fn clear(folder: &Path, needed: &[Digest]) -> Cleared {
    let needed: BTreeSet<Digest> = needed.iter().copied().collect();
    DiskStore::open(folder).clear::<Infallible>(false, &mut || Ok(needed.clone())).unwrap()
}

fn holds(store: &DiskStore, digest: &Digest) -> bool {
    let got = store.get(digest).unwrap();
    assert!(got.as_ref().is_none_or(|bytes| Digest::of(bytes) == *digest));
    assert_eq!(store.has(digest), got.is_some());
    got.is_some()
}

#[test]
fn what_is_needed_stays_and_the_rest_goes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let all = fill(folder, 0, 40);
    let (stay, go) = all.split_at(20);
    let needed: BTreeSet<Digest> = stay.iter().copied().collect();
    // Another process that has read everything.
    let other = DiskStore::open(folder);
    assert!(all.iter().all(|digest| holds(&other, digest)));

    let before: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    let told = DiskStore::open(folder).clear::<Infallible>(true, &mut || Ok(needed.clone())).unwrap();
    let mut after: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    after.retain(|name| name != "clear.lock");
    assert_eq!(before, after, "a dry run changes nothing");

    let cleared = clear(folder, stay);
    assert_eq!(cleared, told, "and says what the real one does");
    assert_eq!((cleared.objects, cleared.kept, cleared.busy_bytes, cleared.damaged), (20, 20, 0, 0));
    let fresh = DiskStore::open(folder);
    assert!(stay.iter().all(|digest| holds(&fresh, digest)));
    assert!(go.iter().all(|digest| !holds(&fresh, digest)));
    assert_eq!(fresh.contents().unwrap().into_keys().collect::<BTreeSet<_>>(), needed);

    // The other process finds what stayed, learns what went, and may put it again.
    let inside = other.hold();
    assert!(inside.is_held() && stay.iter().all(|digest| holds(&other, digest)));
    assert!(go.iter().all(|digest| !other.has(digest)));
    drop(inside);
    assert_eq!(fill(folder, 20, 40), go);
    assert!(all.iter().all(|digest| holds(&other, digest)));

    let again = clear(folder, &all);
    assert_eq!((again.objects, again.bytes), (0, 0), "nothing to do");
}

#[test]
fn what_files_were_linked_to_goes_when_none_is_or_nobody_needs_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    let store = DiskStore::open(&folder);
    let all: Vec<Digest> = (0..3).map(|i| store.put(&bytes(i, 100 + i)).unwrap()).collect();
    for (i, digest) in all.iter().enumerate() {
        assert!(store.write_to(digest, &place.path().join(i.to_string()), false, true).unwrap());
    }
    store.flush().unwrap();
    drop(store);
    fs::remove_file(place.path().join("0")).unwrap();
    let twins = || {
        let shelves = fs::read_dir(folder.join("twins")).unwrap().map(|shelf| shelf.unwrap().path());
        let names = shelves.flat_map(|shelf| fs::read_dir(shelf).unwrap().map(|twin| twin.unwrap().file_name()));
        names.map(|name| name.to_str().unwrap().parse().unwrap()).collect::<BTreeSet<Digest>>()
    };
    assert_eq!(twins(), all.iter().copied().collect());
    // The project has lost the first, the second is needed and shared, nobody needs the third, which the project has.
    assert_eq!(clear(&folder, &all[..2]).objects, 1);
    assert_eq!(twins(), BTreeSet::from([all[1]]));
    assert_eq!(fs::read(place.path().join("2")).unwrap(), bytes(2, 102), "what is in the project stays");
    let again = clear(&folder, &all[..2]);
    assert_eq!((again.objects, again.bytes), (0, 0));
    let store = DiskStore::open(&folder);
    assert!(store.write_to(&all[0], &place.path().join("0"), false, true).unwrap());
}

#[test]
fn a_reader_that_was_not_told_finds_what_stayed() {
    let place = tempfile::tempdir().unwrap();
    let all = fill(place.path(), 0, 9);
    let reader = DiskStore::open(place.path());
    assert!(reader.has(&all[1]), "its index is loaded, no file is open");
    clear(place.path(), &all[..2]);
    assert!(holds(&reader, &all[1]) && !holds(&reader, &all[5]));
    assert!(!place.path().join("quarantine").exists(), "what was taken away is not taken for damage");
}

#[test]
fn a_number_is_never_given_to_another_pack() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let old = DiskStore::open(folder);
    assert!(!old.has(&Digest::of(b"nothing")));
    fill(folder, 1, 5);
    let mut seen = numbers(folder).unwrap();
    for round in 2..6 {
        clear(folder, &[]);
        let left = numbers(folder).unwrap();
        assert!(left.last() > seen.last(), "{left:?} {seen:?}");
        seen.extend(left);
        fill(folder, 10 * round + 1, 10 * round + 3);
    }
    // One who knows of no pack at all begins none of an old number either.
    let digest = old.put(b"late").unwrap();
    old.flush().unwrap();
    let now = numbers(folder).unwrap();
    assert!(now.last() >= seen.last() && holds(&DiskStore::open(folder), &digest));
}

#[test]
fn what_another_process_adds_meanwhile_stays() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let all = fill(folder, 1, 30);
    let busy = DiskStore::open(folder);
    let mine = busy.put(b"being written").unwrap();
    busy.flush().unwrap();
    let mut late = Vec::new();
    let mut asked = 0;
    let cleared = DiskStore::open(folder)
        .clear::<Infallible>(false, &mut || {
            asked += 1;
            if asked == 1 {
                // Put and put on record after the first look: found only by the second.
                late = fill(folder, 100, 120);
                return Ok(all[..5].iter().copied().collect());
            }
            Ok(all[..5].iter().chain(&late).copied().collect())
        })
        .unwrap();
    assert_eq!(asked, 2);
    let fresh = DiskStore::open(folder);
    assert!(all[..5].iter().chain(&late).all(|digest| holds(&fresh, digest)));
    assert!(holds(&fresh, &mine) && holds(&busy, &mine), "the pack of a process that adds to it is left alone");
    assert!(cleared.busy_bytes > 0);
    drop(busy);
    assert!(clear(folder, &late).bytes > 0 && !holds(&DiskStore::open(folder), &mine));
}

#[test]
fn a_clearing_waits_for_those_inside_and_keeps_others_out() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let all = fill(folder, 1, 9);
    let store = DiskStore::open(folder);
    let inside = store.hold();
    assert!(store.has(&all[7]));
    std::thread::scope(|scope| {
        let needed: BTreeSet<Digest> = all[..2].iter().copied().collect();
        let clearing = scope.spawn(move || {
            let store = DiskStore::open(folder);
            // The look at whether it has begun may be in its way.
            while matches!(store.clear::<Infallible>(false, &mut || Ok(needed.clone())), Err(ClearError::Busy)) {}
        });
        // It has to wait: as long as this is held, what was found to be there is there.
        while super::guard::clearer(folder).unwrap().is_some() {
            std::thread::yield_now();
        }
        let busy = DiskStore::open(folder).clear::<Infallible>(false, &mut || Ok(BTreeSet::new()));
        assert!(matches!(busy, Err(ClearError::Busy)));
        assert!(holds(&DiskStore::open(folder), &all[7]));
        drop(inside);
        clearing.join().unwrap();
    });
    assert!(!store.hold().is_held() || !store.has(&all[7]));
}

#[test]
fn a_copy_goes_only_where_the_other_is_right() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    // Two processes that put the same at once: each its own pack.
    let (one, two) = (DiskStore::open(folder), DiskStore::open(folder));
    let twice = bytes(1, 500);
    let digest = one.put(&twice).unwrap();
    two.put(&twice).unwrap();
    let extra = two.put(b"only here").unwrap();
    drop((one, two));
    assert_eq!(numbers(folder).unwrap().len(), 2);
    let first = super::index::data_path(folder, 1);
    let mut damaged = fs::read(&first).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::remove_file(&first).unwrap();
    super::files::write_new(&first, &damaged, 0o644).unwrap();
    let cleared = clear(folder, &[digest, extra]);
    assert!(cleared.bytes > 0, "{cleared:?}");
    assert_eq!(cleared.damaged, 0);
    let fresh = DiskStore::open(folder);
    assert!(holds(&fresh, &digest) && holds(&fresh, &extra));
}

#[test]
fn an_index_that_lost_its_data_and_data_that_lost_its_index_are_made_up_for() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let all = fill(folder, 1, 9);
    // As a kill between the two removals leaves it.
    fs::remove_file(index_path(folder, 1)).unwrap();
    let cleared = clear(folder, &all[..3]);
    assert_eq!(cleared.objects, 5);
    let fresh = DiskStore::open(folder);
    assert!(all[..3].iter().all(|digest| holds(&fresh, digest)) && !holds(&fresh, &all[4]));
}
