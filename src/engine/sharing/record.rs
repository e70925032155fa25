//! A run as it stands in the cache: all that `amlrun runs` knows of it, and the packs that hold what it left.
//!
//! ```text
//! amlrun-record 1 SEAL     SEAL: the keyed BLAKE3 of the body in hex, or `-`
//! { … }                    the body: one line of JSON
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Sharing;
use crate::cache::known::PackRef;
use crate::content::{Content, Kind};
use crate::digest::{Digest, Digester};
use crate::history::{Begun, Ended, Invocation, Status};
use crate::logged::{self, Logged, Series};
use crate::relpath::RelPath;
use crate::staleness::{Key, Recorded};
use crate::store::{Store, StoreError};
use crate::{tracking, vcs};

const HEAD: &str = "amlrun-record 1 ";
/// The version of the body.
const FORMAT: u32 = 1;

/// A run in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// `FORMAT` of the program that wrote it.
    pub format: u32,
    /// The digest of its fingerprint, which it is named by.
    pub key: Digest,
    /// As it began.
    pub begun: Begun,
    /// As it ended; its metrics stand in `metrics`.
    pub ended: Ended,
    /// Its metrics as texts: JSON has no numbers for `NaN` and the infinities.
    pub metrics: BTreeMap<String, String>,
    /// The invocation that it belongs to: whose it was, on which machine, from which commit.
    pub invocation: Invocation,
    /// The facts of its environment.
    pub environment: Option<Key>,
    /// The folder of its record: `user_logs` and `logs`.
    pub logs: Vec<Recorded>,
    /// The packs that hold all of it.
    pub packs: Vec<PackRef>,
    /// What its script logged, but for the series; none where it logged nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged: Option<Logged>,
    /// The series of its metrics, one object; see `logged::pack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Recorded>,
    /// Its artifacts, as outputs are given: `artifacts`, `children` and `logged_models`. An older amlrun leaves them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Recorded>,
}

/// Why a record is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("it is no record that this amlrun understands ({0})")]
    Unreadable(String),
    #[error("it is not signed, and AMLRUN_CACHE_KEY asks for signatures")]
    Unsigned,
    #[error("it is signed with another key than AMLRUN_CACHE_KEY")]
    WronglySigned,
    #[error("it is the record of something else")]
    OfAnother,
    #[error("it is not the record of a successful run")]
    NotReusable,
    #[error("{0}")]
    Unsafe(String),
    #[error("it was written by a newer amlrun")]
    Newer,
    #[error("it holds {0} bytes, and the disk has room for {1}")]
    NoRoom(u64, u64),
}

/// Whether a kept folder is one of artifacts.
fn is_artifacts(path: &RelPath) -> bool {
    tracking::KEPT.iter().any(|name| path.as_bytes() == name.as_bytes())
}

/// What a record is named by: the digest of the fingerprint and the paths of the declared outputs. Two jobs may have one
/// fingerprint and declare different outputs.
#[must_use]
pub fn name<'p>(key: &Digest, outputs: impl Iterator<Item = &'p RelPath>) -> Digest {
    let outputs: BTreeSet<&[u8]> = outputs.map(RelPath::as_bytes).collect();
    let mut digester = Digester::new("amlrun cache record");
    digester.digest(key).count(outputs.len());
    for path in outputs {
        digester.bytes(path);
    }
    digester.finish()
}

/// Whether these are the bytes of a record of a later format, which is nothing to be replaced.
#[must_use]
fn is_newer(bytes: &[u8]) -> bool {
    let head = bytes.get(..40.min(bytes.len())).unwrap_or_default();
    let version = head.strip_prefix(b"amlrun-record ").and_then(|rest| rest.split(|b| !b.is_ascii_digit()).next());
    let version = version.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    version.is_some_and(|version: u32| version > FORMAT)
}

impl Record {
    /// What it is named by.
    #[must_use]
    pub fn name(&self) -> Digest {
        name(&self.key, self.ended.outputs.iter().map(|output| &output.path))
    }

    /// The record of a run that ended well, without packs.
    #[must_use]
    pub fn new(begun: Begun, ended: Ended, invocation: Invocation, environment: Option<Key>) -> Self {
        let metrics = ended.metrics.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        // As its sources, what of them is not committed stays here.
        let shared = ended.kept.into_iter().filter(|kept| kept.path.as_bytes() != vcs::PATCH.as_bytes());
        let (artifacts, kept) = shared.partition(|kept| is_artifacts(&kept.path));
        let logged = ended.logged.map(|logged| Logged { series: Vec::new(), ..*logged });
        Self {
            format: FORMAT,
            key: begun.fingerprint.digest(),
            begun,
            ended: Ended { metrics: BTreeMap::new(), kept, logged: None, ..ended },
            metrics,
            invocation,
            environment,
            logs: Vec::new(),
            packs: Vec::new(),
            logged,
            series: None,
            artifacts,
        }
    }

    /// Its bytes, signed where there is a key.
    #[must_use]
    pub fn encode(&self, sharing: &Sharing) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let seal = sharing.sealer.as_ref().map_or_else(|| "-".to_owned(), |sealer| sealer.seal(&body).to_string());
        let mut bytes = format!("{HEAD}{seal}\n").into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the record that was asked for by this [`name`].
    ///
    /// # Errors
    /// Where it is not one that may be used.
    pub fn decode(bytes: &[u8], name: &Digest, sharing: &Sharing) -> Result<Self, Refused> {
        let unreadable = |why: &str| Refused::Unreadable(why.to_owned());
        let end = bytes.iter().take(200).position(|byte| *byte == b'\n').ok_or_else(|| unreadable("no first line"))?;
        let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).unwrap_or_default();
        if is_newer(bytes) {
            return Err(Refused::Newer);
        }
        let seal = head.strip_prefix(HEAD).ok_or_else(|| unreadable("another first line"))?;
        let body = bytes.get(end + 1..).unwrap_or_default();
        if let Some(sealer) = &sharing.sealer {
            if seal == "-" {
                return Err(Refused::Unsigned);
            }
            let seal = seal.parse().map_err(|_| Refused::WronglySigned)?;
            if !sealer.is_sealed(body, &seal) {
                return Err(Refused::WronglySigned);
            }
        }
        let mut record: Self = serde_json::from_slice(body).map_err(|error| Refused::Unreadable(error.to_string()))?;
        if record.format != FORMAT {
            return Err(if record.format > FORMAT { Refused::Newer } else { unreadable("a format that never was") });
        }
        let key = record.begun.fingerprint.digest();
        if record.key != key || record.name() != *name || record.begun.run != record.ended.run {
            return Err(Refused::OfAnother);
        }
        if !record.ended.reusable() || record.ended.status != Status::Completed {
            return Err(Refused::NotReusable);
        }
        let environment = record.environment.as_ref();
        let asked = record.begun.fingerprint.environment;
        if environment.is_some_and(|key| Some(key.digest) != asked || Key::of(key.facts.clone()).digest != key.digest) {
            return Err(Refused::OfAnother);
        }
        for (name, value) in &record.metrics {
            let value = value.parse().map_err(|_| unreadable("a metric that is no number"))?;
            record.ended.metrics.insert(name.clone(), value);
        }
        Ok(record)
    }

    /// The packs that a record names, whoever signed it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn packs_of(bytes: &[u8]) -> Result<Vec<Digest>, Refused> {
        #[derive(Deserialize)]
        struct Named {
            format: u32,
            packs: Vec<PackRef>,
        }
        if is_newer(bytes) {
            return Err(Refused::Newer);
        }
        let body = bytes.iter().position(|byte| *byte == b'\n').and_then(|at| bytes.get(at + 1..));
        let named: Named =
            serde_json::from_slice(body.unwrap_or_default()).map_err(|error| Refused::Unreadable(error.to_string()))?;
        if named.format > FORMAT {
            return Err(Refused::Newer);
        }
        Ok(named.packs.into_iter().map(|pack| pack.pack).collect())
    }

    /// All that it left: outputs, kept files, logs, artifacts, series.
    pub fn left(&self) -> impl Iterator<Item = &Recorded> {
        let ended = self.ended.outputs.iter().chain(&self.ended.kept);
        ended.chain(&self.logs).chain(&self.artifacts).chain(&self.series)
    }

    /// Puts the series into the store, where there are any, so that they go with the rest.
    pub(super) fn add_series(&mut self, store: &dyn Store, series: &[Series]) -> Result<(), StoreError> {
        if let (false, Ok(path)) = (series.is_empty(), RelPath::new("series")) {
            let bytes = logged::pack(series);
            let content = Content { kind: Kind::File, digest: store.put(&bytes)?, size: bytes.len() as u64 };
            self.series = Some(Recorded::new(path, content));
        }
        Ok(())
    }

    /// When all of it is in the store: what was logged goes with the run again. A damaged series is no reason to refuse it.
    pub(super) fn arrived(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.ended.kept.extend(self.artifacts.iter().cloned());
        let Some(mut logged) = self.logged.clone() else { return Ok(()) };
        if let Some(series) = &self.series {
            logged.series = store.get(&series.digest)?.and_then(|bytes| logged::unpack(&bytes)).unwrap_or_default();
        }
        self.ended.logged = Some(Box::new(logged));
        Ok(())
    }

    /// Whose run it was, as in `alice on gpu7`.
    #[must_use]
    pub fn whose(&self) -> String {
        let Invocation { user, host, .. } = &self.invocation;
        match (user.as_str(), host.as_str()) {
            ("", "") => "somebody".to_owned(),
            (user, "") => user.to_owned(),
            ("", host) => host.to_owned(),
            (user, host) => format!("{user} on {host}"),
        }
    }

    /// The outputs of another record of the same key that are not as here; empty where both gave the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let of = |record: &Self| -> BTreeMap<Vec<u8>, (char, Digest)> {
            let outputs = record.ended.outputs.iter();
            outputs.map(|o| (o.path.as_bytes().to_vec(), (o.tag, o.digest))).collect()
        };
        let (here, there) = (of(self), of(other));
        let differs = here.iter().filter(|(path, content)| there.get(*path).is_some_and(|other| other != *content));
        differs.map(|(path, _)| crate::relpath::escape(path)).collect()
    }
}
