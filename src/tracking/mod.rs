//! The port of tracking: where a script logs to while it runs, and what is read of it afterwards.
//!
//! Called by `engine` around every run on this machine, and by it again for runs whose amlrun was killed. Every run has a
//! private folder, `.amlrun/tracking/<invocation>/<run>/`, which its processes know as `AMLRUN_TRACKING`:
//!
//! ```text
//! log.jsonl         a line a thing that was logged; it is only ever appended to, by whole lines, a `write` each
//! artifacts/…       files that were logged for the run
//! children/ID/…     files that were logged for a run within it
//! logged_models/…   the files of MLflow's logged models
//! sealed            digests of the run's secrets, so that whoever finds the log later can cut them out of it
//! told-of-others    there where a server elsewhere was asked for what other runs left
//! ```
//!
//! A line is a JSON object: `"at"` (milliseconds since 1970), `"run"` (the identity of a run within the run; absent: the
//! run itself), and one of
//!
//! ```text
//! {"metric":"mse","value":1.5,"step":0}     the value may be "NaN", "Infinity" or "-Infinity"
//! {"param":"alpha","value":"0.1"}           {"tag":"k","value":"v"}; null takes it away
//! {"property":"k","value":"v"}              {"artifact":"dir/name.png"}
//! {"log":"list","name":"l","value":[1,2]}   or row, table, image, accuracy_table, confusion_matrix, residuals, predictions
//! {"child":"ID","name":"first"}             {"status":"Completed","error":"…"}; or Failed, Canceled, Running
//! {"model":"m","path":"outputs/m.pkl","tags":{}}
//! {"alias":"champion","model":"m","version":1}                     {"model_tag":"k","model":"m","version":1,"value":"v"}
//! {"dataset":{…}}   {"logged_model":"ID","value":{…}}   {"experiment":"name"}       as MLflow has them
//! ```
//!
//! Nothing here may be told to anybody before [`Logged::mask`] has seen it; the log itself goes with the run.

pub mod client;
mod http;
mod mlflow;
pub mod server;

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use crate::logged::{Logged, Reader, Secrets};

/// The variable that tells a job where to log to.
pub const VARIABLE: &str = "AMLRUN_TRACKING";
/// Where artifacts of the run itself lie in its folder.
pub const ARTIFACTS: &str = "artifacts";
/// Where those of the runs within it lie, a folder each.
pub const CHILDREN: &str = "children";
/// Where models lie that MLflow keeps beside runs (3.x), a folder each.
pub const MODELS: &str = "logged_models";
/// All of these.
pub const KEPT: [&str; 3] = [ARTIFACTS, CHILDREN, MODELS];
/// The file that a server elsewhere makes where the run asked for what others left.
pub const TOLD_OF_OTHERS: &str = "told-of-others";
const LOG: &str = "log.jsonl";
const SEALED: &str = "sealed";

/// Opens a log to append to; it is made where it is missing.
///
/// # Errors
/// Where it cannot be opened.
pub fn open(log: &Path) -> io::Result<fs::File> {
    fs::File::options().create(true).read(true).append(true).open(log)
}

/// Appends whole lines to a log, by one `write`. They begin on a line of their own: a writer that was killed, or that the disk had
/// no room for, may have left half a line, which would otherwise spoil the first of these. Where another is only about to
/// end its line, an empty one comes of it, which nobody reads.
///
/// # Errors
/// Where they cannot be written; a part of them may have been.
pub fn append(log: &mut fs::File, lines: &str) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(at) = log.metadata()?.len().checked_sub(1) {
        log.read_at(&mut last, at)?;
    }
    if last == [b'\n'] { log.write_all(lines.as_bytes()) } else { log.write_all(format!("\n{lines}").as_bytes()) }
}

/// The folders of all invocations.
#[must_use]
pub fn all(state: &Path) -> PathBuf {
    state.join("tracking")
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// That of a run; it need not be there.
    #[must_use]
    pub fn of(state: &Path, invocation: &str, run: &str) -> Self {
        Self { path: all(state).join(invocation).join(run) }
    }

    /// One that was found.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the artifacts of the run (none) or of a child lie.
    #[must_use]
    pub fn artifacts(&self, of: Option<&str>) -> PathBuf {
        match of {
            None => self.path.join(ARTIFACTS),
            Some(id) => self.path.join(CHILDREN).join(id),
        }
    }

    /// Where the files of a logged model lie.
    #[must_use]
    pub fn model(&self, id: &str) -> PathBuf {
        self.path.join(MODELS).join(id)
    }

    /// Makes it, for this user alone, with what is to be cut out of it later.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make(&self, secrets: &Secrets) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.artifacts(None))?;
        if !secrets.is_empty() {
            let salt = uuid::Uuid::new_v4().to_string();
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(secrets.seal(&salt).as_bytes())?;
            file.persist(self.path.join(SEALED)).map_err(|error| error.error)?;
        }
        Ok(())
    }

    /// The secrets that were sealed in it; none where there were none.
    ///
    /// # Errors
    /// Where they cannot be read: then nothing of the log may be told.
    pub fn sealed(&self) -> io::Result<Secrets> {
        match fs::read_to_string(self.path.join(SEALED)) {
            Ok(text) => Secrets::unseal(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Secrets::default()),
            Err(error) => Err(error),
        }
    }

    /// All that was logged; nothing where there is no log.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn read(&self) -> io::Result<Logged> {
        let mut tail = Tail::default();
        tail.catch_up(&self.log())?;
        Ok(tail.reader.logged)
    }

    /// Removes it.
    pub fn remove(&self) {
        // What is left is salvaged, and removed, by a later invocation.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A log that is read as it grows.
#[derive(Debug, Default)]
pub struct Tail {
    /// What was read so far.
    pub reader: Reader,
    offset: u64,
}

impl Tail {
    /// Reads what was appended since the last time.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn catch_up(&mut self, log: &Path) -> io::Result<()> {
        let mut file = match fs::File::open(log) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() <= self.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.offset += self.reader.feed(&bytes) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_does_not_spoil_the_lines_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG);
        let line = |value: u32| format!("{{\"metric\":\"m\",\"value\":{value}}}\n");
        let points = |tail: &mut Tail| {
            tail.catch_up(&log).unwrap();
            let series = tail.reader.logged.series.first();
            series.map(|series| series.points.iter().map(|point| point.value).collect::<Vec<_>>()).unwrap_or_default()
        };
        let mut tail = Tail::default();
        let mut file = open(&log).unwrap();
        append(&mut file, &line(1)).unwrap();
        // Another process, which is killed.
        open(&log).unwrap().write_all(br#"{"metric":"m","va"#).unwrap();
        assert_eq!(points(&mut tail), [1.0]);
        append(&mut file, &(line(2) + &line(3))).unwrap();
        assert_eq!((points(&mut tail), tail.reader.unreadable), (vec![1.0, 2.0, 3.0], 1));
        append(&mut file, &line(4)).unwrap();
        assert_eq!(points(&mut tail), [1.0, 2.0, 3.0, 4.0]);
        let blank = fs::read_to_string(&log).unwrap().lines().filter(|line| line.is_empty()).count();
        assert_eq!(blank, 0, "a whole line needs no other before the next");
    }
}
