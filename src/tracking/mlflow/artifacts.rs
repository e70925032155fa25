//! Artifacts: files below the run's folder, and nowhere else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::runs::{asked_run, which};
use super::{Answered, Asked, Wrong, query, text, told};
use crate::tracking::MODELS;
use crate::tracking::http::{Answer, Body, Connection, Fault, Head, unescape};
use crate::tracking::server::{Artifact, Live, Shared};

/// A path that stays where it is put, whatever is done to it on the way: every part is a plain name, also after more
/// escapes are undone.
fn safe(path: &str) -> Result<Vec<&str>, Wrong> {
    let wrong = || Wrong::invalid("Invalid path");
    let mut seen = path.to_owned();
    for _ in 0..8 {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', '\n']);
        if seen.len() > 4000 || !seen.split('/').all(is_plain) {
            return Err(wrong());
        }
        let next = unescape(&seen, false).ok_or_else(wrong)?;
        if next == seen {
            return Ok(path.split('/').collect());
        }
        seen = next;
    }
    Err(wrong())
}

/// The file or folder that a path of the artifact store stands for: `EXPERIMENT/RUN/artifacts/…` or
/// `EXPERIMENT/models/ID/artifacts/…`.
fn place(live: &Live, path: &str) -> Result<PathBuf, Wrong> {
    let folder = &live.about.folder;
    let parts = safe(path)?;
    let (mut at, rest) = match parts.as_slice() {
        [_, "models", id, "artifacts", rest @ ..] => {
            let mut state = live.state();
            let logged = live.logged(&mut state)?;
            if !logged.own.logged_models.contains_key(*id) {
                return Err(Wrong::absent(format!("Logged model with ID '{id}' not found")));
            }
            (folder.model(id), rest)
        }
        [_, run, "artifacts", rest @ ..] => {
            let mut state = live.state();
            let which = which(live, live.logged(&mut state)?, run)?;
            (folder.artifacts(which.as_deref()), rest)
        }
        _ => return Err(Wrong::absent("No such artifact")),
    };
    at.extend(rest);
    Ok(at)
}

/// What lies in a folder, as MLflow lists it: paths below `prefix`.
fn listed(folder: &Path, prefix: &str) -> io::Result<Vec<Value>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(files);
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(UPLOAD) {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let about = entry.metadata()?;
        let mut file = json!({ "path": path, "is_dir": about.is_dir() });
        if !about.is_dir() {
            file["file_size"] = about.len().into();
        }
        files.push(file);
    }
    files.sort_by_key(|file| file.get("path").and_then(text));
    Ok(files)
}

/// The run on record and the path among what it left that a path of the artifact store stands for.
fn earlier(shared: &Shared, live: &Live, path: &str) -> Option<Artifact> {
    let parts = safe(path).ok()?;
    match parts.as_slice() {
        [_, "models", id, "artifacts", rest @ ..] => {
            let earlier = shared.earlier(live);
            let (run, _) = earlier.logged_model(id)?;
            earlier.artifact(&run, &[&[MODELS, id], rest].concat().join("/"))
        }
        [_, run, "artifacts", rest @ ..] if *run != live.about.run => {
            shared.earlier(live).artifact(run, &rest.join("/"))
        }
        _ => None,
    }
}

/// The same of what is on record.
fn recorded(entries: Vec<(String, Option<u64>)>, prefix: &str) -> Vec<Value> {
    let shown = |(name, size): (String, Option<u64>)| {
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match size {
            Some(size) => json!({ "path": path, "is_dir": false, "file_size": size }),
            None => json!({ "path": path, "is_dir": true }),
        }
    };
    entries.into_iter().map(shown).collect()
}

/// A file that is not whole yet is called so.
const UPLOAD: &str = ".amlrun-upload-";

fn files(list: &[Value]) -> Value {
    if list.is_empty() { json!({}) } else { json!({ "files": list }) }
}

/// `artifacts/list`.
pub(super) fn of_run(asked: &Asked<'_>) -> Answered {
    let id = asked_run(asked)?;
    let path = asked.text("path").unwrap_or_default();
    if !path.is_empty() {
        safe(&path)?;
    }
    let own = {
        let mut state = asked.live.state();
        let logged = asked.live.logged(&mut state)?;
        which(asked.live, logged, &id).map(|which| {
            let shown = super::runs::Shown::live(asked.live, logged, which.as_deref());
            (asked.live.about.folder.artifacts(which.as_deref()), shown)
        })
    };
    let (listed, shown) = match own {
        Ok((folder, shown)) => (listed(&folder.join(&path), &path)?, shown),
        Err(wrong) => {
            let run = asked.shared.earlier(asked.live).runs().into_iter().find(|run| run.id == id).ok_or(wrong)?;
            let listed = match asked.shared.earlier(asked.live).artifact(&id, &path) {
                Some(Artifact::Folder(entries)) => recorded(entries, &path),
                _ => Vec::new(),
            };
            (listed, Some(super::runs::Shown::recorded(&run)))
        }
    };
    let mut answer = files(&listed);
    let root = shown.and_then(|shown| shown.info().get("artifact_uri").cloned());
    answer["root_uri"] = root.unwrap_or_default();
    Ok(answer)
}

/// Everything below `mlflow-artifacts/artifacts`.
pub(super) fn answer(
    shared: &Shared,
    live: &Live,
    path: &str,
    head: &Head,
    connection: &mut Connection,
) -> Result<Answer, Fault> {
    let found = unescape(path.trim_start_matches('/'), false).ok_or_else(|| Wrong::invalid("Invalid path"));
    let at = match (head.method.as_str(), found) {
        ("GET", Ok(path)) if path.is_empty() => {
            connection.body(head)?;
            let path = query(&head.query).get("path").and_then(text).unwrap_or_default();
            let path = path.trim_end_matches('/');
            let listed = place(live, path).and_then(|at| Ok(files(&listed(&at, "")?)));
            return Ok(told(listed.or_else(|wrong| match earlier(shared, live, path) {
                Some(Artifact::Folder(entries)) => Ok(files(&recorded(entries, ""))),
                // A file is no folder: it has nothing in it.
                Some(Artifact::File(..)) => Ok(json!({})),
                None => Err(wrong),
            })));
        }
        ("GET", Ok(path)) if place(live, &path).is_err_and(|wrong| wrong.status == 404) => {
            connection.body(head)?;
            return Ok(match earlier(shared, live, &path) {
                Some(Artifact::File(file, length)) => {
                    Answer { status: 200, kind: "application/octet-stream", body: Body::File(file, length) }
                }
                _ => told(Err(Wrong::absent("No such artifact"))),
            });
        }
        (_, found) => found.and_then(|path| place(live, &path)),
    };
    let at = match at {
        Ok(at) => at,
        Err(wrong) => {
            // What was sent is read, so that the connection is good for the next request.
            connection.body(head)?;
            return Ok(told(Err(wrong)));
        }
    };
    match head.method.as_str() {
        "PUT" => put(live, &at, head, connection),
        "GET" => {
            connection.body(head)?;
            let file = File::open(&at).and_then(|file| Ok((file.metadata()?, file)));
            match file {
                Ok((about, file)) if about.is_file() => {
                    let body = Body::File(file, about.len());
                    Ok(Answer { status: 200, kind: "application/octet-stream", body })
                }
                _ => Ok(told(Err(Wrong::absent("No such artifact")))),
            }
        }
        "DELETE" => {
            connection.body(head)?;
            let removed = match fs::symlink_metadata(&at) {
                Ok(about) if about.is_dir() => fs::remove_dir_all(&at),
                Ok(_) => fs::remove_file(&at),
                Err(_) => Ok(()),
            };
            Ok(told(removed.map(|()| json!({})).map_err(Wrong::from)))
        }
        _ => {
            connection.body(head)?;
            let message = format!("Endpoint not found for {} {}", head.method, head.path);
            Ok(told(Err(Wrong { status: 404, code: "ENDPOINT_NOT_FOUND", message })))
        }
    }
}

/// Takes a file: it is there whole or not at all.
fn put(live: &Live, at: &Path, head: &Head, connection: &mut Connection) -> Result<Answer, Fault> {
    let folder = at.parent().unwrap_or(at);
    let begun = fs::create_dir_all(folder).and_then(|()| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        tempfile::Builder::new().prefix(UPLOAD).permissions(mode).tempfile_in(folder)
    });
    let mut file = match begun {
        Ok(file) => file,
        Err(error) => {
            connection.body(head)?;
            return Ok(told(Err(error.into())));
        }
    };
    connection.save(head, file.as_file_mut())?;
    // While this is held the run does not end.
    let state = live.state();
    let kept = if state.is_over { Err(io::Error::other("the run is over")) } else { Ok(()) };
    let kept = kept.and_then(|()| file.persist(at).map(drop).map_err(|error| error.error));
    Ok(told(kept.map(|()| json!({})).map_err(Wrong::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for path in ["a", "a/b.txt", "a b/ü", "..a/b..", "100%", "a/%41"] {
            assert!(safe(path).is_ok(), "{path}");
        }
        let out = [
            "",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "%2e%2e/a",
            "%252e%252e/x",
            "a%2fb/%2e%2e",
            "a\\..\\b",
            "a/",
            "a\0",
        ];
        for path in out {
            assert!(safe(path).is_err(), "{path}");
        }
    }
}
