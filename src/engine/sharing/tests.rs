//! Runs shared by a fake cache: what is sent a second time, what is refused, what is mended.

use std::collections::BTreeMap;
use std::path::Path;

use super::pull::{Pulled, Wanted, pull};
use super::push::{Finished, Pushed, push};
use super::{Sharing, upkeep};
use crate::cache::breaker::Guarded;
use crate::cache::folder::FolderRemote;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::content::{Content, Entry, Kind, encode};
use crate::digest::Digest;
use crate::history::{Begun, Ended, Invocation, Status};
use crate::ids::{JobName, RunId};
use crate::launch::{Outcome, Usage};
use crate::relpath::RelPath;
use crate::staleness::{Fingerprint, Recorded};
use crate::store::Store;
use crate::store::memory::MemoryStore;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> std::path::PathBuf {
        self.folder.path().join("cache")
    }

    /// An invocation of the workspace of this name.
    fn sharing(&self, workspace: &str) -> Sharing {
        let remote = Guarded::new(Box::new(FolderRemote::open(&self.cache())), "there".to_owned());
        Sharing::new(remote, true, None, Some(&self.state(workspace)))
    }

    fn state(&self, workspace: &str) -> std::path::PathBuf {
        self.folder.path().join(workspace)
    }

    fn push(&self, workspace: &str, store: &MemoryStore, run: &Finished) -> (Pushed, u64) {
        let sharing = self.sharing(workspace);
        let state = self.state(workspace);
        let pushed = push(&sharing, store, &state, &state.join("work"), std::slice::from_ref(run)).unwrap();
        (pushed[0].clone(), sharing.remote.traffic().sent)
    }

    fn pull(&self, sharing: &Sharing, store: &MemoryStore, run: &Finished) -> bool {
        let outputs = run.ended.outputs.iter().map(|output| output.path.clone()).collect();
        let key = run.begun.fingerprint.digest();
        let wanted = Wanted { key, job: "job".to_owned(), outputs, sources: false };
        let state = self.state("other");
        matches!(pull(sharing, store, &state, &state.join("work"), &wanted), Pulled::Hit(_))
    }

    fn blobs(&self, kind: &str) -> Vec<std::path::PathBuf> {
        let fans = std::fs::read_dir(self.cache().join("amlrun-v1").join(kind)).into_iter().flatten().flatten();
        fans.flat_map(|fan| std::fs::read_dir(fan.path()).unwrap()).map(|entry| entry.unwrap().path()).collect()
    }
}

/// A run that left these files in `out`, a hundred to a folder.
fn run(store: &MemoryStore, seed: &str, files: &BTreeMap<String, Vec<u8>>) -> Finished {
    let mut folders: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for (path, bytes) in files {
        let (folder, name) = path.split_once('/').unwrap();
        let digest = store.put(bytes).unwrap();
        let entry = Entry { name: name.into(), kind: Kind::File, digest, size: bytes.len() as u64 };
        folders.entry(folder.to_owned()).or_default().push(entry);
    }
    let entries: Vec<Entry> = folders
        .into_iter()
        .map(|(name, entries)| {
            let digest = store.put(&encode(&entries)).unwrap();
            Entry { name: name.into(), kind: Kind::Folder, digest, size: entries.iter().map(|e| e.size).sum() }
        })
        .collect();
    let size = entries.iter().map(|entry| entry.size).sum();
    let content = Content { kind: Kind::Folder, digest: store.put(&encode(&entries)).unwrap(), size };
    let fingerprint = Fingerprint {
        format: 1,
        command: vec![seed.to_owned()],
        params: BTreeMap::new(),
        variables: BTreeMap::new(),
        framework: String::new(),
        distributed: BTreeMap::new(),
        environment: None,
        sources: Digest::of(b"no sources"),
        inputs: BTreeMap::new(),
    };
    let run = RunId::fresh();
    let begun = serde_json::json!({
        "run": run, "invocation": "i", "job": JobName("job".to_owned()), "experiment": "job", "target": "local",
        "environment": "system", "started": 1, "attempt": 1, "fingerprint": fingerprint, "params": {}, "tags": {},
        "reasons": [], "inputs": {}, "source_directory": "",
    });
    let begun: Begun = serde_json::from_value(begun).unwrap();
    let ended = Ended {
        run,
        status: Status::Completed,
        outcome: Outcome::Succeeded,
        ended: Timestamp(2),
        usage: Usage::default(),
        outputs: vec![Recorded::new(RelPath::new("out").unwrap(), content)],
        kept: Vec::new(),
        metrics: BTreeMap::from([("loss".to_owned(), f64::NAN), ("mse".to_owned(), 0.1)]),
        cached: true,
        inputs_moved: false,
        notes: Vec::new(),
        logged: None,
    };
    let invocation = Invocation {
        id: "i".to_owned(),
        started: Timestamp(0),
        argv: Vec::new(),
        version: String::new(),
        host: "host".to_owned(),
        user: "user".to_owned(),
        properties: BTreeMap::new(),
    };
    Finished { begun, ended, invocation, environment: None }
}

/// Texts that do not shrink by packing.
fn files(count: usize) -> BTreeMap<String, Vec<u8>> {
    let bytes = |n: usize| (0..64).flat_map(|i| *Digest::of(format!("{n} {i}").as_bytes()).as_bytes()).collect();
    (0..count).map(|n| (format!("{:03}/{n:05}", n / 100), bytes(n))).collect()
}

fn rewrite(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    let mut file = std::fs::File::create_new(path).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}

#[test]
fn one_changed_file_of_ten_thousand_sends_less_than_a_hundredth() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let mut files = files(10_000);
    let (pushed, first) = place.push("one", &store, &run(&store, "a", &files));
    assert_eq!(pushed, Pushed::New);
    assert!(first > 20_000_000, "{first}");
    files.insert("042/04242".to_owned(), b"changed".to_vec());
    let (pushed, second) = place.push("one", &store, &run(&store, "b", &files));
    assert_eq!(pushed, Pushed::New);
    assert!(second * 100 < first, "{second} of {first}");
    // A file that moves is sent as nodes alone.
    let moved = files.remove("000/00007").unwrap();
    let objects = place.blobs("packs").len();
    files.insert("001/moved".to_owned(), moved);
    let last = run(&store, "c", &files);
    let (_, third) = place.push("one", &store, &last);
    assert!(third * 100 < first && place.blobs("packs").len() == objects + 1, "{third}");
    // And all of it is there for somebody else.
    let (sharing, other) = (place.sharing("other"), MemoryStore::new());
    assert!(place.pull(&sharing, &other, &last), "{:?}", sharing.warnings());
    assert!(files.values().all(|bytes| other.has(&Digest::of(bytes))));
    assert!(sharing.remote.traffic().requests < 60, "{:?}", sharing.remote.traffic());
}

#[test]
fn another_result_is_told_and_the_first_stays() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let (first, second) = (run(&store, "a", &files(3)), run(&store, "a", &files(4)));
    assert_eq!(place.push("one", &store, &first).0, Pushed::New);
    assert_eq!(place.push("one", &store, &first).0, Pushed::There);
    let (pushed, _) = place.push("two", &store, &second);
    assert!(matches!(&pushed, Pushed::Differs { outputs, .. } if outputs == &["out"]), "{pushed:?}");
    assert!(place.pull(&place.sharing("other"), &MemoryStore::new(), &first));
}

#[test]
fn a_damaged_pack_is_replaced_by_the_next_push() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let run = run(&store, "a", &files(50));
    place.push("one", &store, &run);
    for pack in place.blobs("packs") {
        let mut bytes = std::fs::read(&pack).unwrap();
        bytes[100] ^= 1;
        rewrite(&pack, &bytes);
    }
    let sharing = place.sharing("other");
    assert!(!place.pull(&sharing, &MemoryStore::new(), &run));
    assert_eq!(sharing.warnings().len(), 1);
    // Whoever found it ran the job and shares it again.
    let state = place.state("other");
    let pushed = push(&sharing, &store, &state, &state.join("work"), std::slice::from_ref(&run)).unwrap();
    assert_eq!(pushed, [Pushed::New]);
    assert!(place.pull(&place.sharing("third"), &MemoryStore::new(), &run));
    let verified = upkeep::verify(&sharing, false, &|_, _| {}).unwrap();
    assert!(verified.wrong.is_empty(), "{verified:?}");
}

#[test]
fn a_pack_that_was_cleared_away_is_sent_again() {
    let (place, store) = (Place::new(), MemoryStore::new());
    place.push("one", &store, &run(&store, "a", &files(50)));
    place.blobs("packs").iter().for_each(|pack| std::fs::remove_file(pack).unwrap());
    let again = run(&store, "b", &files(50));
    place.push("one", &store, &again);
    assert!(place.pull(&place.sharing("other"), &MemoryStore::new(), &again));
}

#[test]
fn many_small_pushes_do_not_spread_a_run() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let mut files = files(300);
    let mut last = run(&store, "start", &files);
    place.push("one", &store, &last);
    for n in 0..70 {
        files.insert(format!("000/{n:05}"), format!("changed {n}").into_bytes());
        last = run(&store, &n.to_string(), &files);
        place.push("one", &store, &last);
    }
    let sharing = place.sharing("other");
    assert!(place.pull(&sharing, &MemoryStore::new(), &last), "{:?}", sharing.warnings());
    assert!(sharing.remote.traffic().requests < 130, "{:?}", sharing.remote.traffic());
}

#[test]
fn metrics_that_are_no_numbers_of_json_come_back() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let finished = run(&store, "a", &files(1));
    place.push("one", &store, &finished);
    let sharing = place.sharing("other");
    let outputs = vec![RelPath::new("out").unwrap()];
    let key = finished.begun.fingerprint.digest();
    let wanted = Wanted { key, job: "job".to_owned(), outputs, sources: false };
    let state = place.state("other");
    let Pulled::Hit(record) = pull(&sharing, &MemoryStore::new(), &state, &state.join("work"), &wanted) else {
        panic!("{:?}", sharing.warnings());
    };
    assert!(record.ended.metrics["loss"].is_nan() && record.ended.metrics["mse"].to_string() == "0.1");
}

#[test]
fn only_what_is_old_and_needed_by_none_is_cleared_away() {
    let (place, store) = (Place::new(), MemoryStore::new());
    let run = run(&store, "a", &files(5));
    place.push("one", &store, &run);
    let sharing = place.sharing("one");
    let days = |n: u64| std::time::Duration::from_hours(24 * n);
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(SystemClock::new().now().0);
    let stays = upkeep::clear(&sharing, days(30), now + days(10), false).unwrap();
    assert_eq!((stays.records, stays.packs), (0, 0), "{stays:?}");
    let would = upkeep::clear(&sharing, days(30), now + days(40), true).unwrap();
    assert_eq!((would.records, would.packs), (1, 1), "{would:?}");
    assert_eq!(place.blobs("records").len(), 1);
    upkeep::clear(&sharing, days(30), now + days(40), false).unwrap();
    assert!(place.blobs("records").is_empty() && place.blobs("packs").is_empty());
}
