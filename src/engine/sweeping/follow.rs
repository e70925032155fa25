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
                if grow(session, number, &files, &log.log()) {
                    let trial = &session.trials[number].trial;
                    let (at, last) = (trial.logged.len(), trial.logged.last().copied().unwrap_or(f64::NAN));
                    news.push((session.node, job, trial.number, at, last));
                    judge(session, number);
                }
            }
        }
        for (sweep, job, number, interval, value) in news {
            self.teller.tell(Event::TrialLogged { sweep, job, number, interval, value });
        }
    }
}

/// Reads what files have grown by; whether there is more of the metric.
fn grow(session: &mut Session<'_>, number: usize, files: &[(PathBuf, Format)], log: &Path) -> bool {
    let metric = session.record.metric.clone();
    let going = &mut session.trials[number];
    for (path, format) in files {
        let Ok(found) = std::fs::metadata(path) else { continue };
        let known = going.growing.entry(path.clone()).or_default();
        if found.len() == known.length || found.len() > LARGEST {
            continue;
        }
        let Ok(mut bytes) = std::fs::read(path) else { continue };
        known.length = bytes.len() as u64;
        // What follows the last line end may be half a line.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        known.values = values(&bytes, *format, &metric);
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
