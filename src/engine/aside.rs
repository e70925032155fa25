//! What a job elsewhere logs with: the stand-in for Azure ML's SDK and an empty tracking folder go along in its run
//! directory, and the folder is brought back when the run is over. MLflow's client finds a tracking server of the supervisor
//! there (`target/agent/mlflow.py`), which writes to that folder; it is told here which run it is in.
//!
//! Called by `elsewhere`. Paths are relative to the working directory, as nobody here knows where the run directory is.

use std::path::Path;

use super::attempt::Bench;
use crate::history::Begun;
use crate::launch::{Item, Parcel};
use crate::relpath::RelPath;
use crate::store::capture::capture;
use crate::tracking::server::{ADDRESS, identities};
use crate::{shim, tracking};

/// Where it lies in the run directory.
const FOLDER: &str = ".amlrun-job";

/// The tracking folder in the run directory.
pub(super) fn folder() -> Option<RelPath> {
    RelPath::new(format!("{FOLDER}/tracking")).ok()
}

/// Puts both into a parcel. What is not to be had is left out: a job that does not need it goes on without.
pub(super) fn pack(bench: Bench<'_>, begun: &Begun, parcel: &mut Parcel) {
    let (Some(tracking), Ok(package)) = (folder(), RelPath::new(format!("{FOLDER}/python"))) else { return };
    let seen = |path: &RelPath| path.seen_from(&parcel.cwd).display().to_string();
    let (log_to, on_path) = (seen(&tracking), seen(&package));
    parcel.folders.push(tracking.join(tracking::ARTIFACTS));
    parcel.variables.insert(tracking::VARIABLE.to_owned(), log_to);
    // Whoever names a server of their own logs to that.
    if !parcel.variables.contains_key(ADDRESS) && !parcel.secrets.contains_key(ADDRESS) {
        parcel.variables.extend(identities(&begun.run.0, &begun.experiment));
    }
    if shim::is_sdk(&parcel.variables) {
        return;
    }
    let Some(made) = bench.shim.ready(bench.world.state) else { return };
    if let Ok(Some(measured)) = capture(bench.world.store, &made, &|| false) {
        parcel.items.push(Item { path: package, content: measured.content });
        shim::path(&mut parcel.variables, Path::new(&on_path));
    }
}
