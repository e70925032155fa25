//! `dvc.lock`: what a stage's last run read and left, so that its results can be adopted where all of it still holds.
//! Pure: files are hashed by `cli`.

use super::template::{Concrete, expand};
use crate::foreign::doc::Doc;
use crate::foreign::look::Context;
use crate::foreign::model::Experiment;
use crate::foreign::names;
use crate::yaml::Node;

/// What the lock says of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locked {
    /// The experiment.
    pub experiment: String,
    /// What it read: path and MD5 (of a folder, with `.dir` behind it); the path relative to the workspace.
    pub reads: Vec<Hashed>,
    /// What it left.
    pub leaves: Vec<Hashed>,
}

/// A path and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// Relative to the workspace.
    pub path: String,
    /// MD5 in hexadecimal, of a folder with `.dir` behind it.
    pub md5: String,
    /// Whether texts were hashed with Unix line ends, as DVC 2 did.
    pub unix: bool,
}

/// The lock's entry of a stage, where command and parameters are those of now; else none, and why is in a comment's place
/// in the report.
pub(super) fn of(
    context: &mut Context<'_>,
    lock: &Doc,
    concrete: &Concrete<'_>,
    directory: &str,
    one: &Experiment,
) -> Option<Locked> {
    let at = lock.at().get("stages")?.get(&concrete.name)?;
    let now: Vec<String> =
        concrete.at.get("cmd")?.scalars().iter().map(|cmd| expand(cmd, &concrete.values).0).collect();
    if at.get("cmd")?.scalars() != now {
        context.report.none(&at, "its command is another by now: it runs again");
        return None;
    }
    for file in at.get("params").map(|params| params.entries()).unwrap_or_default() {
        let path = names::from(directory, &file.key)?;
        let root = context.doc(&path).map(|doc| doc.root);
        for key in file.entries() {
            let is = root.as_ref().and_then(|root| root.at(&key.key)).map(Node::json);
            if is != Some(key.node.json()) {
                context.report.none(&at, format!("{} of {path} is another by now: it runs again", key.key));
                return None;
            }
        }
    }
    let hashes = |key: &str| {
        let mut found = Vec::new();
        for item in at.get(key).map(|list| list.items()).unwrap_or_default() {
            let path = names::from(directory, &item.get("path")?.scalar()?)?;
            let md5 = item.get("md5")?.scalar()?;
            found.push(Hashed { path, md5, unix: item.get("hash").is_none() });
        }
        Some(found)
    };
    let locked = Locked { experiment: one.name.clone(), reads: hashes("deps")?, leaves: hashes("outs")? };
    // Every output must be in the lock, or there is nothing to adopt.
    let left = |path: &String| locked.leaves.iter().any(|hashed| hashed.path == *path);
    (one.outputs.iter().all(|(path, _)| left(path)) && one.metrics.iter().all(left)).then_some(locked)
}
