//! What every cache does alike, the fake included; and what the breaker adds.
#![expect(clippy::disallowed_methods, reason = "files of a test need not be atomic")]

use super::breaker::Guarded;
use super::folder::FolderRemote;
use super::known::{Known, PackRef};
use super::memory::MemoryRemote;
use super::pack::Packer;
use super::{Created, Fault, Kind, Name, Range, Remote};
use crate::digest::Digest;

fn name(kind: Kind, text: &str) -> Name {
    Name { kind, digest: Digest::of(text.as_bytes()) }
}

/// The contract of the port.
fn check(remote: &dyn Remote) {
    let (record, pack) = (name(Kind::Record, "a"), name(Kind::Pack, "a"));
    assert_eq!(remote.get(&record, None), Ok(None));
    assert_eq!(remote.size(&record), Ok(None));
    assert_eq!(remote.list(Kind::Record), Ok(Vec::new()));
    assert_eq!(remote.create(&record, b"first"), Ok(Created::New));
    assert_eq!(remote.create(&record, b"second"), Ok(Created::Exists));
    assert_eq!(remote.get(&record, None), Ok(Some(b"first".to_vec())));
    assert_eq!(remote.size(&record), Ok(Some(5)));
    assert_eq!(remote.get(&record, Some(Range { from: 1, length: 3 })), Ok(Some(b"irs".to_vec())));
    assert_eq!(remote.get(&pack, None), Ok(None), "the kinds are apart");
    assert_eq!(remote.create(&pack, b""), Ok(Created::New));
    assert_eq!(remote.get(&pack, None), Ok(Some(Vec::new())));
    assert_eq!(remote.replace(&record, b"third"), Ok(()));
    assert_eq!(remote.get(&record, None), Ok(Some(b"third".to_vec())));
    let listed = remote.list(Kind::Record).unwrap();
    assert_eq!(listed.iter().map(|blob| (blob.name, blob.size)).collect::<Vec<_>>(), [(record, 5)]);
    assert_eq!(remote.remove(&record), Ok(()));
    assert_eq!(remote.remove(&record), Ok(()));
    assert_eq!(remote.get(&record, None), Ok(None));
}

#[test]
fn all_keep_the_contract() {
    check(&MemoryRemote::new());
    let folder = tempfile::tempdir().unwrap();
    check(&FolderRemote::open(&folder.path().join("new/cache")));
}

#[test]
fn a_name_is_a_path_and_back() {
    for kind in [Kind::Record, Kind::Pack] {
        let name = name(kind, "x");
        assert_eq!(Name::of_path(&name.to_string()), Some(name));
    }
    let right = name(Kind::Pack, "x").to_string();
    for wrong in
        ["", "amlrun-v1", "amlrun-v1/packs/ab", &right.to_uppercase(), &right.replace("v1", "v2"), &format!("{right}x")]
    {
        assert_eq!(Name::of_path(wrong), None, "{wrong}");
    }
}

#[test]
fn of_many_writers_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let remote = FolderRemote::open(folder.path());
    let record = name(Kind::Record, "a");
    let won: usize = std::thread::scope(|scope| {
        let write = |n: u8| {
            scope.spawn({
                let remote = &remote;
                move || remote.create(&record, &vec![n; 100_000]).unwrap()
            })
        };
        let all: Vec<_> = (0..16).map(write).collect();
        all.into_iter().map(|thread| usize::from(thread.join().unwrap() == Created::New)).sum()
    });
    assert_eq!(won, 1);
    let left = std::fs::read_dir(folder.path().join("amlrun-v1/incoming")).unwrap().count();
    assert_eq!(left, 0, "nothing half-written is left");
    let killed = folder.path().join("amlrun-v1/incoming/blob-of-a-killed-one");
    std::fs::write(&killed, "half").unwrap();
    remote.tidy(std::time::UNIX_EPOCH);
    assert!(killed.exists(), "what is young may be on its way");
    remote.tidy(std::fs::metadata(&killed).unwrap().modified().unwrap() + std::time::Duration::from_secs(1));
    assert!(!killed.exists() && remote.size(&record).unwrap().is_some());
}

#[test]
fn a_dead_cache_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let guarded = Guarded::new(Box::new(FolderRemote::open(&plain.join("x"))), "there".to_owned());
    let record = name(Kind::Record, "a");
    assert!(matches!(guarded.create(&record, b"x"), Err(Fault::Down(_))));
    assert_eq!(guarded.create(&record, b"x"), Err(Fault::GivenUp));
    assert_eq!(guarded.get(&record, None), Err(Fault::GivenUp));
    let warnings = guarded.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("the cache there cannot be used, going on without it: could not make"),
        "{warnings:?}"
    );
    assert_eq!(guarded.traffic().requests, 1);
}

#[test]
fn what_is_known_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known");
    let mut packer = Packer::default();
    let objects: Vec<Digest> = (0..50_u8)
        .map(|n| {
            packer.add(Digest::of(&[n]), &[n]);
            Digest::of(&[n])
        })
        .collect();
    let whole = packer.finish().unwrap();
    let pack = PackRef::of(&whole);
    let tail = &whole.bytes[whole.bytes.len() - whole.tail as usize..];
    let mut known = Known::load(&file);
    assert!(known.learn(pack, tail));
    known.save();
    let mut again = Known::load(&file);
    assert!(objects.iter().all(|digest| again.places(digest, &|_| true).is_some()));
    // A damaged end is forgotten, what is before it is not.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(&bytes.clone()[..70]);
    std::fs::write(&file, &bytes).unwrap();
    assert!(Known::load(&file).has_pack(&pack.pack));
    again.forget(&pack.pack);
    assert!(again.places(&objects[0], &|_| true).is_none());
    assert!(!Known::load(&file).has_pack(&pack.pack));
}
