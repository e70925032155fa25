//! What running trials log of the primary metric: read from their metric files, and from what they log to their run, while
//! these grow.
//!
//! An interval is one logging: a row of a CSV or TSV file or a line of JSON that holds the metric. A line that is not
//! whole yet is read the next time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::session::Over;
use super::{Engine, Session, cancel_file};
use crate::datafile::{self, Format};
use crate::engine::aside;
use crate::engine::elsewhere::followed;
use crate::event::Event;
use crate::ids::JobId;
use crate::logged;
use crate::plan::job::Job;
use crate::relpath::RelPath;
use crate::tracking::Folder;

/// A larger file is not followed.
const LARGEST: u64 = 16 << 20;

/// What is known of a file that grows.
#[derive(Debug, Default)]
pub struct Growing {
    /// Its length when it was read last.
    length: u64,
    values: Vec<f64>,
    /// Whether it grew beyond what is followed.
    is_too_large: bool,
}

impl Growing {
    /// Reads the file, where it has another length than before; whether it has just become too large for that.
    fn read(&mut self, path: &Path, format: Format, metric: &str) -> bool {
        let Ok(found) = std::fs::metadata(path) else { return false };
        if found.len() > LARGEST {
            return !std::mem::replace(&mut self.is_too_large, true);
        }
        if found.len() == self.length {
            return false;
        }
        let Ok(mut bytes) = std::fs::read(path) else { return false };
        self.length = bytes.len() as u64;
        // What follows the last line end may be half a line.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        self.values = values(&bytes, format, metric);
        false
    }
}

/// The values of a metric in the bytes of a file that is a series; none of other files.
fn values(bytes: &[u8], format: Format, metric: &str) -> Vec<f64> {
    if !format.is_series() {
        return Vec::new();
    }
    let columns = datafile::series(bytes, format).unwrap_or_default();
    let column = columns.into_iter().find(|column| column.name == metric);
    column.map(|column| column.points.into_iter().map(|(_, value)| value).collect()).unwrap_or_default()
}

/// The metric files of a job that may grow while it runs.
pub fn series_of(job: &Job) -> impl Iterator<Item = (&RelPath, Format)> {
    let metrics = job.outputs.iter().filter(|output| output.metric);
    let series = metrics.filter_map(|output| Some((&output.path, Format::of(output.path.as_path())?)));
    series.filter(|(_, format)| format.is_series())
}

/// Where they lie in one of these folders: the run directory, or what is followed of one elsewhere.
fn files(job: &Job, folders: [&Path; 2]) -> Vec<(PathBuf, Format)> {
    let places = |(path, format): (&RelPath, Format)| folders.map(|folder| (folder.join(path.as_path()), format));
    series_of(job).flat_map(places).collect()
}

impl Engine<'_, '_, '_> {
    /// Looks at what running trials logged since the last look, and has the policy judge it.
    pub(in crate::engine) fn follow_trials(&mut self) {
        let work = self.judge.work;
        let folder = self.scratch();
        let mut news: Vec<(JobId, JobId, u32, usize, f64)> = Vec::new();
        let mut warnings: Vec<(JobId, String)> = Vec::new();
        for session in self.sweeps.going.values_mut() {
            if cancel_file(self.judge.world.state, &session.record.id).exists() {
                session.end_with(Over::Canceled, "the sweep was canceled");
            }
            let running = session.unsettled().filter(|(_, going)| going.is_open);
            let running: Vec<(JobId, usize)> =
                running.filter_map(|(number, going)| Some((going.job?, number))).collect();
            for (job, number) in running {
                let Some(run) = session.trials[number].trial.run.as_ref() else { continue };
                let far = followed(&folder, run);
                let files = files(work.job(job), [&folder.join(&run.0), &far]);
                let log = match aside::folder().filter(|_| far.exists()) {
                    Some(tracking) => Folder::at(far.join(tracking.as_path())),
                    None => Folder::of(self.judge.world.state, &self.invocation.id, &run.0),
                };
                let mut too_large = None;
                let is_more = grow(session, number, &files, &log.log(), &mut too_large);
                if let Some(path) = too_large.filter(|_| !std::mem::replace(&mut session.is_told_of_size, true)) {
                    warnings.push((job, too_large_to_follow(&path)));
                }
                if is_more {
                    let trial = &session.trials[number].trial;
                    let (at, last) = (trial.logged.len(), trial.logged.last().copied().unwrap_or(f64::NAN));
                    news.push((session.node, job, trial.number, at, last));
                    judge(session, number);
                }
            }
        }
        for (job, why) in warnings {
            self.teller.warn(Some(job), why);
        }
        for (sweep, job, number, interval, value) in news {
            self.teller.tell(Event::TrialLogged { sweep, job, number, interval, value });
        }
    }
}

/// Why a trial is not followed any more.
fn too_large_to_follow(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "`{name}` is larger than {} MiB: what it grows by from here on is not followed, so nothing stops the trial early; log the metric to the run, or write a row less often. This is said once for all trials",
        LARGEST >> 20
    )
}

/// Reads what files have grown by; whether there is more of the metric. Names a file that is not followed any more.
fn grow(
    session: &mut Session<'_>,
    number: usize,
    files: &[(PathBuf, Format)],
    log: &Path,
    too_large: &mut Option<PathBuf>,
) -> bool {
    let metric = session.record.metric.clone();
    let going = &mut session.trials[number];
    for (path, format) in files {
        if going.growing.entry(path.clone()).or_default().read(path, *format, &metric) {
            too_large.get_or_insert_with(|| path.clone());
        }
    }
    // What a metric file says wins over what was logged under the same name.
    if going.growing.values().all(|known| known.values.is_empty()) && going.tail.catch_up(log).is_ok() {
        let own = |series: &&logged::Series| series.of.is_none() && series.name == metric;
        if let Some(series) = going.tail.reader.logged.series.iter().find(own) {
            let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
            let is_more = values.len() > going.trial.logged.len();
            if is_more {
                going.trial.logged = values;
            }
            return is_more;
        }
    }
    let longest = going.growing.values().map(|known| &known.values).max_by_key(|values| values.len());
    let Some(longest) = longest.filter(|values| values.len() > going.trial.logged.len()).cloned() else { return false };
    going.trial.logged = longest;
    true
}

/// Has the policy judge what a trial logged since it was judged last.
fn judge(session: &mut Session<'_>, number: usize) {
    let going = &session.trials[number];
    if !session.search.stops || going.stop.why().is_some() {
        return;
    }
    let all = session.trials.iter().map(|going| &going.trial);
    let verdict = session.search.judge(&going.trial, going.judged, all);
    let going = &mut session.trials[number];
    going.judged = going.trial.logged.len();
    if let Some(why) = verdict {
        going.stop.ask(why);
    }
}

/// Files that grow, by their paths.
pub type Files = BTreeMap<PathBuf, Growing>;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_that_grows_beyond_what_is_followed_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"loss\n2\n1\n0.").unwrap();
        let mut known = Growing::default();
        assert!(!known.read(&path, Format::Csv, "loss"));
        assert_eq!(known.values, [2.0, 1.0], "not half a line");
        file.set_len(LARGEST + 1).unwrap();
        assert!(known.read(&path, Format::Csv, "loss"));
        assert!(!known.read(&path, Format::Csv, "loss"), "it was told");
        assert_eq!(known.values, [2.0, 1.0], "what was read counts");
    }
}
