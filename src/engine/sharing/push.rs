//! Runs into the cache: first the objects that it lacks, in packs, then the records that stand on them. A reader finds a
//! record only when all that it names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::bring::Stopped;
use super::closure::{self, Item, Unshared};
use super::record::{Record, Refused};
use super::{AT_ONCE, Sharing, each};
use crate::cache::known::{Known, PackRef, is_large};
use crate::cache::pack::{PART, Packed, Packer, of_part, parts};
use crate::cache::{Created, Fault, Name, Remote as _};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::history::{Begun, Ended, Invocation};
use crate::relpath::RelPath;
use crate::staleness::{Key, Recorded};
use crate::store::Store;
use crate::store::capture::capture;

/// Where a run would be spread over more packs than this, what lies in the smallest is sent once more, together.
const SPREAD: usize = 48;

/// A run to be shared.
#[derive(Debug, Clone)]
pub struct Finished {
    /// As it began.
    pub begun: Begun,
    /// As it ended; it must be reusable.
    pub ended: Ended,
    /// Its invocation.
    pub invocation: Invocation,
    /// The facts of its environment.
    pub environment: Option<Key>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the cache now.
    New,
    /// The cache had it.
    There,
    /// The cache has another result of the same fingerprint, which stays: what differs, and whose run that is.
    Differs {
        /// The outputs.
        outputs: Vec<String>,
        /// Its run.
        run: String,
        /// Whose.
        whose: String,
    },
    /// It cannot be shared.
    Not(String),
}

/// A run on its way.
struct Parcel {
    record: Record,
    name: Name,
    items: BTreeMap<Digest, Item>,
    /// What is there cannot be used and is replaced.
    replaces: bool,
}

/// Shares runs. `state` is the workspace's `.amlrun`, `scratch` a folder for what is not complete. What became of each, in
/// order.
///
/// # Errors
/// Where the cache cannot be written or the store not be read; some may be shared then.
pub fn push(
    sharing: &Sharing,
    store: &dyn Store,
    state: &Path,
    scratch: &Path,
    runs: &[Finished],
) -> Result<Vec<Pushed>, Stopped> {
    let become_of: Mutex<BTreeMap<usize, Pushed>> = Mutex::default();
    let settle = |at: usize, what: Pushed| {
        become_of.lock().unwrap_or_else(PoisonError::into_inner).insert(at, what);
    };
    let parcels: Mutex<BTreeMap<usize, Parcel>> = Mutex::default();
    let numbered: Vec<(usize, &Finished)> = runs.iter().enumerate().collect();
    each(&numbered, |(at, run)| {
        match look(sharing, store, state, run)? {
            Ok(parcel) => drop(parcels.lock().unwrap_or_else(PoisonError::into_inner).insert(*at, parcel)),
            Err(pushed) => settle(*at, pushed),
        }
        Ok::<(), Stopped>(())
    })?;
    let mut parcels = parcels.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut wanted: BTreeMap<Digest, Item> = BTreeMap::new();
    for parcel in parcels.values() {
        wanted.extend(parcel.items.iter().map(|(digest, item)| (*digest, *item)));
    }
    vouch(sharing, &wanted)?;
    let missing = lacking(&sharing.known(), &sharing.vouched(), &wanted, parcels.values());
    send(sharing, store, scratch, &missing)?;
    for parcel in parcels.values_mut() {
        parcel.record.packs = packs(&sharing.known(), &sharing.vouched(), &parcel.items)
            .ok_or_else(|| Fault::Down("objects that were put there are not known to be there".to_owned()))?;
    }
    let parcels: Vec<(usize, Parcel)> = parcels.into_iter().collect();
    each(&parcels, |(at, parcel)| {
        let bytes = parcel.record.encode(sharing);
        if parcel.replaces {
            sharing.remote.replace(&parcel.name, &bytes)?;
            settle(*at, Pushed::New);
        } else if sharing.remote.create(&parcel.name, &bytes)? == Created::New {
            settle(*at, Pushed::New);
        } else {
            let there = sharing.remote.get(&parcel.name, None)?;
            let there = there.and_then(|bytes| Record::decode(&bytes, &parcel.name.digest, sharing).ok());
            settle(*at, there.map_or(Pushed::There, |there| compare(&there, &parcel.record)));
        }
        Ok::<(), Stopped>(())
    })?;
    sharing.save();
    Ok(become_of.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}

/// Looks whether the cache has a run of this key, and gathers what it consists of where it has none.
fn look(sharing: &Sharing, store: &dyn Store, state: &Path, run: &Finished) -> Result<Result<Parcel, Pushed>, Stopped> {
    let mut record = Record::new(run.begun.clone(), run.ended.clone(), run.invocation.clone(), run.environment.clone());
    let name = Name::record(record.name());
    let mut replaces = false;
    match sharing.remote.get(&name, None) {
        Ok(None) => {}
        Ok(Some(bytes)) => match Record::decode(&bytes, &name.digest, sharing) {
            Ok(_) if sharing.is_damaged(&name.digest) => replaces = true,
            Ok(there) => return Ok(Err(compare(&there, &record))),
            // A newer amlrun put it there already.
            Err(Refused::Newer) => return Ok(Err(Pushed::There)),
            Err(_) => replaces = true,
        },
        Err(Fault::Wrong(_)) => replaces = true,
        Err(fault) => return Err(fault.into()),
    }
    let logs = state.join("runs").join(&run.begun.run.0);
    for path in ["user_logs/std_log.txt", "logs"] {
        let Ok(name) = RelPath::new(path) else { continue };
        // What cannot be kept of a log (a pipe in `logs/`) stays here.
        if let Ok(Some(measured)) = capture(store, &logs.join(path), &|| false) {
            record.logs.push(Recorded::new(name, measured.content));
        }
    }
    if let Some(logged) = &run.ended.logged {
        record.add_series(store, &logged.series)?;
    }
    let mut items = BTreeMap::new();
    for left in record.left() {
        let Some(content) = left.content() else { continue };
        match closure::gather(store, &content, true, &mut items) {
            Ok(()) => {}
            Err(Unshared::Store(error)) => return Err(error.into()),
            Err(why) => return Ok(Err(Pushed::Not(format!("`{}`: {why}", left.path)))),
        }
    }
    // Without its sources a run is as good, but for looking at it.
    let tree = Content { kind: Kind::Folder, digest: run.begun.fingerprint.sources, size: 0 };
    let mut sources = BTreeMap::new();
    if closure::gather(store, &tree, false, &mut sources).is_ok() {
        items.extend(sources);
    }
    Ok(Ok(Parcel { record, name, items, replaces }))
}

fn compare(there: &Record, here: &Record) -> Pushed {
    let outputs = here.differences(there);
    if outputs.is_empty() {
        return Pushed::There;
    }
    Pushed::Differs { outputs, run: there.begun.run.short().to_owned(), whose: there.whose() }
}

/// Asks for packs that are to be relied on and were not seen in this invocation: a clean-up may have removed them.
fn vouch(sharing: &Sharing, wanted: &BTreeMap<Digest, Item>) -> Result<(), Stopped> {
    let mut doubtful: BTreeMap<Digest, PackRef> = BTreeMap::new();
    {
        let (known, vouched) = (sharing.known(), sharing.vouched());
        for digest in wanted.keys() {
            let places = known.places(digest, &|pack| vouched.contains(pack)).unwrap_or_default();
            let packs = places.into_iter().map(|place| place.pack).filter(|pack| !vouched.contains(&pack.pack));
            doubtful.extend(packs.map(|pack| (pack.pack, pack)));
        }
    }
    let doubtful: Vec<PackRef> = doubtful.into_values().collect();
    each(&doubtful, |pack| {
        if sharing.remote.size(&Name::pack(pack.pack))? == Some(pack.size) {
            sharing.vouched().insert(pack.pack);
        } else {
            sharing.known().forget(&pack.pack);
        }
        Ok::<(), Stopped>(())
    })
}

/// What the cache lacks; and what would spread a run over too many packs.
fn lacking<'p>(
    known: &Known,
    vouched: &BTreeSet<Digest>,
    wanted: &BTreeMap<Digest, Item>,
    parcels: impl Iterator<Item = &'p Parcel>,
) -> BTreeMap<Digest, Item> {
    let there = |digest: &Digest| known.places(digest, &|pack| vouched.contains(pack));
    let mut missing: BTreeMap<Digest, Item> =
        wanted.iter().filter(|(digest, _)| there(digest).is_none()).map(|(digest, item)| (*digest, *item)).collect();
    for parcel in parcels {
        let mut packs: BTreeMap<Digest, (u64, Vec<(Digest, Item)>)> = BTreeMap::new();
        for (digest, item) in parcel.items.iter().filter(|(_, item)| !is_large(item.size)) {
            if let Some(place) = there(digest).and_then(|places| places.first().copied()) {
                let (bytes, items) = packs.entry(place.pack.pack).or_default();
                *bytes += item.size;
                items.push((*digest, *item));
            }
        }
        if packs.len() > SPREAD {
            let mut packs: Vec<_> = packs.into_values().collect();
            packs.sort_by_key(|(bytes, _)| *bytes);
            packs.truncate(packs.len() - SPREAD / 4);
            missing.extend(packs.into_iter().flat_map(|(_, items)| items));
        }
    }
    missing
}

/// The packs that hold all of a run; none where one is not known.
fn packs(known: &Known, vouched: &BTreeSet<Digest>, items: &BTreeMap<Digest, Item>) -> Option<Vec<PackRef>> {
    let mut packs: BTreeMap<Digest, PackRef> = BTreeMap::new();
    for digest in items.keys() {
        let places = known.places(digest, &|pack| vouched.contains(pack))?;
        packs.extend(places.into_iter().map(|place| (place.pack.pack, place.pack)));
    }
    Some(packs.into_values().collect())
}

/// Sends objects: the nodes of folders first, so that they lie together, then small files, then the parts of large ones.
fn send(sharing: &Sharing, store: &dyn Store, scratch: &Path, items: &BTreeMap<Digest, Item>) -> Result<(), Stopped> {
    let of = |node: bool| items.iter().filter(move |(_, item)| !is_large(item.size) && item.node == node);
    let small: Vec<Digest> = of(true).chain(of(false)).map(|(digest, _)| *digest).collect();
    let (to_send, packs) = sync_channel::<Packed>(2);
    let packs = Mutex::new(packs);
    let failed: Mutex<Option<Stopped>> = Mutex::default();
    let gathered = std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| upload(sharing, &packs, &failed));
        }
        let gather = || -> Result<(), Stopped> {
            let mut packer = Packer::default();
            for digest in &small {
                let bytes = store.get(digest)?.ok_or_else(|| gone(digest))?;
                if let Some(packed) = packer.add(*digest, &bytes)
                    && to_send.send(packed).is_err()
                {
                    return Ok(());
                }
            }
            if let Some(packed) = packer.finish() {
                let _ = to_send.send(packed);
            }
            Ok(())
        };
        let gathered = gather();
        drop(to_send);
        gathered
    });
    gathered?;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    for (digest, item) in items.iter().filter(|(_, item)| is_large(item.size)) {
        send_large(sharing, store, scratch, digest, item.size)?;
    }
    Ok(())
}

fn gone(digest: &Digest) -> Stopped {
    let why = std::io::Error::new(std::io::ErrorKind::NotFound, "it is not in the store any more");
    Stopped::Scratch { path: digest.short(), why }
}

/// Uploads packs until there are no more, or one cannot be.
fn upload(sharing: &Sharing, packs: &Mutex<Receiver<Packed>>, failed: &Mutex<Option<Stopped>>) {
    loop {
        let next = packs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(packed) = next else { return };
        if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            continue; // the rest is taken, so that whoever gathers does not wait
        }
        if let Err(error) = put(sharing, &packed) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

fn put(sharing: &Sharing, packed: &Packed) -> Result<(), Stopped> {
    let pack = PackRef::of(packed);
    let name = Name::pack(pack.pack);
    if sharing.is_wrong(&pack.pack) {
        sharing.remote.replace(&name, &packed.bytes)?;
    } else {
        sharing.remote.create(&name, &packed.bytes)?;
    }
    let tail = packed.bytes.len().saturating_sub(packed.tail as usize);
    sharing.known().learn(pack, packed.bytes.get(tail..).unwrap_or_default());
    sharing.vouched().insert(pack.pack);
    Ok(())
}

/// Sends a large object, a pack a part, several at once.
fn send_large(sharing: &Sharing, store: &dyn Store, scratch: &Path, digest: &Digest, size: u64) -> Result<(), Stopped> {
    let failed = |why: std::io::Error| Stopped::Scratch { path: scratch.display().to_string(), why };
    std::fs::create_dir_all(scratch).map_err(failed)?;
    let place = tempfile::Builder::new().prefix("object-").tempdir_in(scratch).map_err(failed)?;
    let path = place.path().join("object");
    if !store.write_to(digest, &path, false, true)? {
        return Err(gone(digest));
    }
    let file = File::open(&path).map_err(failed)?;
    let all: Vec<u32> = (0..parts(size)).collect();
    each(&all, |part| {
        let from = u64::from(*part) * PART;
        let mut bytes = Buffer::new(usize::try_from(PART.min(size - from)).unwrap_or_default());
        file.read_exact_at(&mut bytes, from).map_err(failed)?;
        put(sharing, &of_part(*digest, size, *part, &bytes))
    })
}
