//! Takes what a run left behind into the store: declared outputs, metric files, and `outputs/` of the working directory.

use std::collections::BTreeMap;
use std::path::Path;

use super::World;
use super::hints;
use super::stage::Staged;
use crate::content::Content;
use crate::datafile::{self, Format, Series};
use crate::plan::job::Job;
use crate::relpath::RelPath;
use crate::staleness::Recorded;
use crate::store::capture;
use crate::tree::Measured;

/// A metric file larger than this is not read for scalars.
const LARGEST_METRICS: u64 = 16 << 20;

/// What a run left.
#[derive(Debug, Default)]
pub struct Collected {
    /// Declared outputs and metric files.
    pub outputs: Vec<Recorded>,
    /// Their contents, for the jobs that need them.
    pub contents: Vec<(RelPath, Content)>,
    /// `outputs/`, relative to the working directory.
    pub kept: Vec<Recorded>,
    /// Scalars of the metric files, by dotted name.
    pub metrics: BTreeMap<String, f64>,
    /// The columns of metric files that are series.
    pub series: Vec<Series>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Takes it all; nothing is published here.
///
/// # Errors
/// Where a declared output is missing, or the store cannot take one: the text says which.
pub fn collect(world: &World<'_>, job: &Job, staged: &Staged) -> Result<Collected, String> {
    let mut collected = Collected::default();
    let (mut missing, mut elsewhere) = (Vec::new(), Vec::new());
    for output in &job.outputs {
        let at = staged.folder.join(output.path.as_path());
        let Some(Measured { content, .. }) =
            capture::capture(world.store, &at, &|| false).map_err(|error| error.to_string())?
        else {
            missing.push(format!("`{}`", output.path));
            elsewhere.extend(hints::misplaced(job, staged, output));
            continue;
        };
        collected.outputs.push(Recorded::new(output.path.clone(), content));
        collected.contents.push((output.path.clone(), content));
        if output.metric && content.size <= LARGEST_METRICS {
            read_metrics(&at, &output.path, &mut collected);
        } else if output.metric && Format::of(&at).is_some() {
            collected.notes.push(format!(
                "the metric file `{}` is larger than {} MiB: no metrics are read from it",
                output.path,
                LARGEST_METRICS >> 20
            ));
        }
    }
    if !missing.is_empty() {
        let (s, were) = if missing.len() == 1 { ("", "was") } else { ("s", "were") };
        elsewhere.insert(0, format!("the declared output{s} {} {were} not written", missing.join(", ")));
        return Err(elsewhere.join("; "));
    }
    keep_outputs_folder(world, job, staged, &mut collected)?;
    Ok(collected)
}

/// `outputs/` in the working directory is kept whether declared or not, as in the original.
///
/// # Errors
/// Where the store cannot take it.
pub fn keep_outputs_folder(
    world: &World<'_>,
    job: &Job,
    staged: &Staged,
    collected: &mut Collected,
) -> Result<(), String> {
    let folder = job.source_directory.join("outputs");
    let declared = |output: &crate::plan::job::Output| folder.is_within(&output.path);
    let at = staged.cwd.join("outputs");
    if job.outputs.iter().any(declared) || std::fs::read_dir(&at).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    }
    if let Some(Measured { content, .. }) =
        capture::capture(world.store, &at, &|| false).map_err(|error| error.to_string())?
        && let Ok(path) = RelPath::new("outputs")
    {
        collected.kept.push(Recorded::new(path, content));
    }
    Ok(())
}

/// `logs/` goes with the record of the run.
pub(super) fn keep_logs(logs: &Path, record: &Path, job: &Job) {
    let empty = std::fs::read_dir(logs).map_or(true, |mut entries| entries.next().is_none());
    if !empty && job.isolation == crate::project::model::Isolation::Snapshot && std::fs::create_dir_all(record).is_ok()
    {
        let _ = std::fs::rename(logs, record.join("logs"));
    }
}

/// The numbers of a metric file join those of the run: of a series, the last of each column.
pub(super) fn read_metrics(at: &Path, path: &RelPath, collected: &mut Collected) {
    let Some(format) = Format::of(at) else { return };
    let Ok(bytes) = std::fs::read(at) else { return };
    let read = match format {
        format if format.is_series() => datafile::series(&bytes, format).map(|columns| {
            for column in columns {
                collected.metrics.extend(column.points.last().map(|(_, value)| (column.name.clone(), *value)));
                collected.series.push(column);
            }
        }),
        _ => datafile::tree(&bytes, format).map(|tree| collected.metrics.extend(datafile::numbers(&tree))),
    };
    if let Err(why) = read {
        collected.notes.push(format!("the metric file `{path}` is not {}: {why}", format.name()));
    }
}
