//! Sends by content: what the target holds, from whatever run or project, is not sent again. A tree that is known there is
//! not even listed: its digest says it all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde_json::{Value, json};
use sha2::Digest as _;

use super::{Link, written};
use crate::content::{self, Entry, Kind};
use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::launch::{Item, Parcel};
use crate::target::remote::{Cargo, Fault};

/// Objects up to this size travel together.
const SMALL: u64 = 256 * 1024;
/// So many bytes, or so many objects, travel at once.
const PACK: usize = 2 << 20;
const MOST: usize = 4000;
/// So often what is missing is sent before it is an error that it still is.
const TRIES: usize = 8;

/// Lays a run directory out there, sending what is missing.
pub(super) fn lay(link: &Link, parcel: &Parcel, spec: &Value, cargo: &dyn Cargo) -> Result<(), Fault> {
    let items: Vec<Value> = parcel
        .items
        .iter()
        .map(|item| json!([written(&item.path), char::from(item.content.kind.tag()), item.content.digest.to_string()]))
        .collect();
    let folders: Vec<String> = parcel.folders.iter().map(written).collect();
    let ask = json!({"op": "lay", "run": parcel.run.0, "items": items, "folders": folders, "spec": spec});
    let mut index = None;
    for _ in 0..TRIES {
        let answer = link.ask(&ask)?;
        let missing = digests(&answer);
        if missing.is_empty() {
            return Ok(());
        }
        if index.is_none() {
            index = Some(Index::read(&parcel.items, cargo)?);
        }
        if let Some(index) = &index {
            send(link, missing, index, cargo, &parcel.run.0)?;
        }
    }
    Err(Fault::Refused(format!("{}: what was sent does not stay there; is its disk full or damaged?", link.named())))
}

impl Link {
    /// Which of these objects are not there.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn lacking(&self, wanted: &[Digest]) -> Result<Vec<Digest>, Fault> {
        let mut lacking = Vec::new();
        for some in wanted.chunks(20_000) {
            let names: Vec<String> = some.iter().map(Digest::to_string).collect();
            lacking.extend(digests(&self.ask(&json!({"op": "has", "digests": names}))?));
        }
        Ok(lacking)
    }
}

/// Everything that a parcel is made of.
struct Index {
    sizes: BTreeMap<Digest, u64>,
    nodes: BTreeMap<Digest, Vec<Entry>>,
}

impl Index {
    fn read(items: &[Item], cargo: &dyn Cargo) -> Result<Self, Fault> {
        let mut index = Self { sizes: BTreeMap::new(), nodes: BTreeMap::new() };
        let mut open = Vec::new();
        for Item { content, .. } in items {
            match content.kind {
                Kind::Folder => open.push(content.digest),
                _ => drop(index.sizes.insert(content.digest, content.size)),
            }
        }
        while let Some(digest) = open.pop() {
            if index.nodes.contains_key(&digest) {
                continue;
            }
            let entries = cargo.node(&digest)?;
            for entry in &entries {
                match entry.kind {
                    Kind::Folder => open.push(entry.digest),
                    _ => drop(index.sizes.insert(entry.digest, entry.size)),
                }
            }
            index.nodes.insert(digest, entries);
        }
        Ok(index)
    }
}

fn digests(answer: &Value) -> Vec<Digest> {
    let missing = answer.get("missing").and_then(Value::as_array).into_iter().flatten();
    missing.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

/// Sends what is missing: of a tree its node, and what is missing of that, level by level, so that what is there is not
/// even asked for below the first tree that is whole.
fn send(link: &Link, missing: Vec<Digest>, index: &Index, cargo: &dyn Cargo, sender: &str) -> Result<(), Fault> {
    let mut pack = Pack::default();
    let (mut sent, mut level) = (BTreeSet::new(), missing);
    while !level.is_empty() {
        let mut below = BTreeSet::new();
        for digest in level {
            if !sent.insert(digest) {
                continue;
            }
            let bytes = match (index.nodes.get(&digest), index.sizes.get(&digest)) {
                (Some(entries), _) => {
                    below.extend(entries.iter().map(|entry| entry.digest).filter(|digest| !sent.contains(digest)));
                    content::encode(entries)
                }
                (None, Some(&size)) if size <= SMALL => {
                    let mut bytes = Vec::new();
                    cargo.open(&digest)?.read_to_end(&mut bytes).map_err(|_| Fault::Moved)?;
                    if Digest::of(&bytes) != digest {
                        return Err(Fault::Moved);
                    }
                    bytes
                }
                (None, Some(_)) => {
                    large(link, &digest, cargo, sender)?;
                    continue;
                }
                (None, None) => continue,
            };
            pack.add(&digest, &bytes);
            if pack.bytes.len() >= PACK || pack.files.len() >= MOST {
                pack.send(link)?;
            }
        }
        pack.send(link)?;
        level = link.lacking(&below.into_iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Small objects on their way.
#[derive(Default)]
struct Pack {
    files: Vec<Value>,
    bytes: Vec<u8>,
}

impl Pack {
    fn add(&mut self, digest: &Digest, bytes: &[u8]) {
        self.files.push(json!([digest.to_string(), bytes.len(), hex(&sha2::Sha256::digest(bytes))]));
        self.bytes.extend_from_slice(bytes);
    }

    fn send(&mut self, link: &Link) -> Result<(), Fault> {
        if self.files.is_empty() {
            return Ok(());
        }
        link.exchange(&json!({"op": "pack", "files": self.files}), &self.bytes)?;
        *self = Self::default();
        Ok(())
    }
}

/// One large object, from where a broken connection left it.
fn large(link: &Link, digest: &Digest, cargo: &dyn Cargo, sender: &str) -> Result<(), Fault> {
    let name = digest.to_string();
    let answer = link.ask(&json!({"op": "part", "digest": name, "sender": sender}))?;
    let there = answer.get("size").and_then(Value::as_u64).unwrap_or(0);
    let mut source = cargo.open(digest)?;
    let (mut check, mut hasher, mut offset) = (sha2::Sha256::new(), blake3::Hasher::new(), 0);
    let mut piece = Buffer::new(PACK);
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match source.read(piece.get_mut(filled..).unwrap_or_default()).map_err(|_| Fault::Moved)? {
                0 => break,
                n => filled += n,
            }
        }
        let bytes = piece.get(..filled).unwrap_or_default();
        check.update(bytes);
        hasher.update(bytes);
        let end = offset + filled as u64;
        let last = filled < piece.len();
        if last && Digest::from(hasher.finalize()) != *digest {
            return Err(Fault::Moved);
        }
        if last || end > there {
            let check = if last { hex(&check.clone().finalize()) } else { String::new() };
            let ask = json!({"op": "put", "digest": name, "sender": sender, "offset": offset, "check": check});
            link.exchange(&ask, bytes)?;
        }
        if last {
            return Ok(());
        }
        offset = end;
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
