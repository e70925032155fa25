//! The worker threads: they take jobs to run and outputs to restore, and answer by mail.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender};

use super::attempt::{self, Bench, Done, Note, Task};
use super::publish;
use super::sweeping::stop::Either;
use crate::ids::{JobId, RunId};
use crate::relpath::RelPath;
use crate::staleness::Recorded;

/// Outputs to bring back.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The job.
    pub job: JobId,
    /// The run whose outputs they are.
    pub run: RunId,
    /// The outputs.
    pub outputs: Vec<Recorded>,
    /// A folder for what is not complete yet.
    pub scratch: PathBuf,
}

/// Something to do.
#[derive(Debug)]
pub enum Order {
    /// Run a job.
    Run(Box<Task>),
    /// Restore outputs.
    Restore(Restore),
}

/// What came of a restore.
#[derive(Debug)]
pub enum Brought {
    /// All are in place; what lay in the way, and where it is now.
    Back(Vec<(RelPath, String)>),
    /// This output's object is missing or was corrupt.
    Lost(RelPath),
    /// The project could not be written.
    Failed(String),
}

/// What the engine's own thread hears.
#[derive(Debug)]
pub enum Mail {
    /// A job goes on.
    Note(JobId, Note),
    /// A job ended.
    Done(JobId, Done),
    /// Outputs are back, or not.
    Restored(Restore, Brought),
    /// Another invocation let go of the lock that this job waits for.
    Unblocked(JobId),
    /// From the threads that ask the shared cache.
    Cache(super::sharing::line::Answer),
    /// A record about a sweep is on disk.
    Sweep(super::sweeping::OnDisk),
    /// The records cannot be written.
    CommitFailed,
}

/// A worker: takes orders until there are no more.
pub fn serve(bench: Bench<'_>, orders: &Mutex<Receiver<Order>>, mail: &SyncSender<Mail>) {
    loop {
        let next = match orders.lock() {
            Ok(orders) => orders.recv(),
            Err(_) => return,
        };
        let answer = match next {
            Err(_) => return,
            Ok(Order::Run(task)) => {
                let job = task.job;
                let cancel = Either { all: bench.cancel, own: &task.stop };
                // A job elsewhere tells the end of all, which it outlives, from its own.
                let bench = if task.elsewhere.is_some() { bench } else { Bench { cancel: &cancel, ..bench } };
                let done = attempt::carry_out(bench, &task, &mut |note| drop(mail.send(Mail::Note(job, note))));
                Mail::Done(job, done)
            }
            Ok(Order::Restore(restore)) => {
                let brought = bring_back(bench, &restore);
                let _ = publish::remove(&restore.scratch);
                Mail::Restored(restore, brought)
            }
        };
        if mail.send(answer).is_err() {
            return;
        }
    }
}

fn bring_back(bench: Bench<'_>, restore: &Restore) -> Brought {
    let mut aside = Vec::new();
    if let Err(error) = std::fs::create_dir_all(&restore.scratch) {
        return Brought::Failed(format!("could not make {}: {error}", restore.scratch.display()));
    }
    for (number, output) in restore.outputs.iter().enumerate() {
        let Some(content) = output.content() else { return Brought::Lost(output.path.clone()) };
        let scratch = restore.scratch.join(number.to_string());
        let link = bench.work.link();
        match publish::bring_back(bench.world, &output.path, &content, &scratch, &restore.run.0, link) {
            Ok(Some(None)) => {}
            Ok(Some(Some(place))) => aside.push((output.path.clone(), place.display().to_string())),
            Ok(None) => return Brought::Lost(output.path.clone()),
            Err(error) => return Brought::Failed(error.to_string()),
        }
    }
    Brought::Back(aside)
}
