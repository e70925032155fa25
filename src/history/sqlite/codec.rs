//! Values as columns: JSON texts, and the compact form of a job's newest outputs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::relpath::RelPath;
use crate::staleness::Recorded;

/// A value as a JSON text.
pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// The value of a JSON text in column `index`.
pub(super) fn from_json<T: DeserializeOwned>(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// Metrics as JSON, where `NaN` and the infinities are texts: JSON has no numbers for them.
pub(super) fn metrics(metrics: &BTreeMap<String, f64>) -> rusqlite::Result<String> {
    let number = |value: f64| match serde_json::Number::from_f64(value) {
        Some(number) => serde_json::Value::Number(number),
        None => serde_json::Value::String(value.to_string()),
    };
    json(&metrics.iter().map(|(name, value)| (name, number(*value))).collect::<BTreeMap<_, _>>())
}

/// The metrics of such a text.
pub(super) fn from_metrics(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<BTreeMap<String, f64>> {
    let values: BTreeMap<String, serde_json::Value> = from_json(row, index)?;
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    Ok(values.iter().filter_map(|(name, value)| Some((name.clone(), number(value)?))).collect())
}

/// A digest in column `index`.
pub(super) fn digest(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Digest> {
    Ok(Digest::from_bytes(row.get(index)?))
}

/// Bytes of the check that begins a compact form.
const CHECK: usize = 8;

/// Guards a row of `latest` against bits that flipped on disk, which SQLite does not see.
fn check(job: &str, digest: &Digest, run: &str, body: &[u8]) -> [u8; CHECK] {
    let mut bytes = Vec::with_capacity(job.len() + run.len() + body.len() + 34);
    for part in [job.as_bytes(), b"\0", digest.as_bytes(), run.as_bytes(), b"\0", body] {
        bytes.extend_from_slice(part);
    }
    let mut check = [0; CHECK];
    check.copy_from_slice(&Digest::of(&bytes).as_bytes()[..CHECK]);
    check
}

/// Outputs in the compact form: the check, then for each its tag, digest, size, length of path and path.
pub(super) fn pack(job: &str, digest: &Digest, run: &str, outputs: &[Recorded]) -> Vec<u8> {
    let mut bytes = vec![0; CHECK];
    for output in outputs {
        bytes.push(u8::try_from(output.tag).unwrap_or(b'?'));
        bytes.extend_from_slice(output.digest.as_bytes());
        bytes.extend_from_slice(&output.size.to_le_bytes());
        let path = output.path.as_bytes();
        bytes.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(path);
    }
    let check = check(job, digest, run, &bytes[CHECK..]);
    bytes[..CHECK].copy_from_slice(&check);
    bytes
}

/// The outputs of a compact form; none where it is damaged.
pub(super) fn unpack(job: &str, digest: &Digest, run: &str, bytes: &[u8]) -> Option<Vec<Recorded>> {
    let (found, mut rest) = bytes.split_at_checked(CHECK)?;
    if found != check(job, digest, run, rest) {
        return None;
    }
    let mut outputs = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(45)?;
        let tag = char::from(*head.first()?);
        let digest = Digest::from_bytes(head.get(1..33)?.try_into().ok()?);
        let size = u64::from_le_bytes(head.get(33..41)?.try_into().ok()?);
        let length = usize::try_from(u32::from_le_bytes(head.get(41..45)?.try_into().ok()?)).ok()?;
        let (path, after) = tail.split_at_checked(length)?;
        outputs.push(Recorded { path: RelPath::new(OsStr::from_bytes(path)).ok()?, tag, digest, size });
        rest = after;
    }
    Some(outputs)
}
