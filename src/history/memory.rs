//! The history in memory: the fake that tests run the engine against. Clones share one record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::models::{Change, Registration, Version, aliases, model_tags, of_run};
use super::sweeps::{Sweep, Trial};
use super::{Entry, History, HistoryError, Invocation, Query, Run, Status, candidates, lost};
use crate::digest::Digest;
use crate::ids::{JobName, RunId};
use crate::launch::Ticket;
use crate::logged::Logged;
use crate::staleness::{Key, Last, Past};

/// A record that is gone when the last clone is.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory(Arc<Mutex<Records>>);

#[derive(Debug, Default)]
struct Records {
    invocations: BTreeMap<String, Invocation>,
    /// In the order of their beginnings.
    runs: Vec<Run>,
    tickets: Vec<Ticket>,
    keys: BTreeMap<Digest, Key>,
    pins: BTreeSet<RunId>,
    logged: BTreeMap<RunId, Logged>,
    models: Vec<Registration>,
    /// The last number that each model gave.
    numbers: BTreeMap<String, u32>,
    sweeps: Vec<Sweep>,
    trials: BTreeMap<(String, u32), Trial>,
}

impl MemoryHistory {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn end(&mut self, ended: &super::Ended) {
        self.tickets.retain(|ticket| ticket.run != ended.run);
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.begun.run == ended.run) {
            run.status = ended.status;
            run.ended = Some(super::Ended { cached: ended.reusable(), logged: None, ..ended.clone() });
        }
    }

    fn log(&mut self, run: &RunId, logged: &Logged) {
        for of in self.runs.iter_mut().filter(|of| of.begun.run == *run) {
            super::merge(&mut of.begun.params, &mut of.begun.tags, &logged.own);
        }
        self.logged.insert(run.clone(), logged.clone());
        let Some(begun) = self.runs.iter().find(|of| of.begun.run == *run).map(|of| of.begun.clone()) else { return };
        for registration in of_run(run, &begun.job.0, begun.fingerprint.environment, logged) {
            self.register(&registration);
        }
        for given in model_tags(logged) {
            self.change_model(&given.model, given.version, &Change::Tag(given.tag.clone(), given.value.clone()));
        }
        for (model, alias, version) in aliases(logged) {
            let alias = alias.to_owned();
            let change = if version.is_some() { Change::Alias(alias) } else { Change::NoAlias(alias) };
            self.change_model(model, version.unwrap_or_default(), &change);
        }
    }

    fn register(&mut self, registration: &Registration) -> u32 {
        let Registration { version, nth } = registration;
        let same = |of: &&Registration| nth.is_some() && of.nth == *nth && of.version.run == version.run;
        if let Some(there) = self.models.iter().find(same) {
            return there.version.version;
        }
        let last = self.numbers.entry(version.name.clone()).or_default();
        *last = if version.version > *last { version.version } else { *last + 1 };
        let number = *last;
        self.models.push(Registration { version: Version { version: number, ..version.clone() }, nth: *nth });
        number
    }

    fn change_model(&mut self, name: &str, number: u32, change: &Change) {
        let is_it = |of: &Registration| of.version.name == name && of.version.version == number;
        for of in self.models.iter_mut().filter(|of| of.version.name == name) {
            match change {
                Change::Tags(tags) if is_it(of) => of.version.tags.clone_from(tags),
                Change::Tag(tag, Some(value)) if is_it(of) => drop(of.version.tags.insert(tag.clone(), value.clone())),
                Change::Tag(tag, None) if is_it(of) => drop(of.version.tags.remove(tag)),
                Change::Alias(alias) if is_it(of) => drop(of.version.aliases.insert(alias.clone())),
                Change::Alias(alias) | Change::NoAlias(alias) => drop(of.version.aliases.remove(alias)),
                Change::Tags(_) | Change::Tag(..) | Change::Remove => {}
            }
        }
        if *change == Change::Remove {
            self.models.retain(|of| !is_it(of));
        }
    }

    fn past(&self, job: &JobName, digest: &Digest) -> Option<Past> {
        let fits = |run: &&Run| {
            run.ended.as_ref().is_some_and(super::Ended::reusable) && run.begun.fingerprint.digest() == *digest
        };
        let newest = |own: bool| self.runs.iter().rev().filter(fits).find(|run| !own || run.begun.job == *job);
        let run = newest(true).or_else(|| newest(false))?;
        let outputs = run.ended.as_ref().map(|ended| ended.outputs.clone()).unwrap_or_default();
        Some(Past { run: run.begun.run.clone(), outputs })
    }
}

impl History for MemoryHistory {
    fn begin(&mut self, invocation: &Invocation, alive: &dyn Fn(&str) -> bool) -> Result<(), HistoryError> {
        let mut records = self.records();
        let open = records.runs.iter().filter(|run| run.ended.is_none() && run.begun.invocation != invocation.id);
        let open = open.filter(|run| records.tickets.iter().all(|ticket| ticket.run != run.begun.run));
        let dead: Vec<_> = open.filter(|run| !alive(&run.begun.invocation)).map(|run| run.begun.run.clone()).collect();
        for run in dead {
            records.end(&lost(run, invocation.started));
        }
        records.invocations.insert(invocation.id.clone(), invocation.clone());
        Ok(())
    }

    fn past(&self, wanted: &[(JobName, Digest)]) -> Result<Vec<Option<Past>>, HistoryError> {
        let records = self.records();
        Ok(wanted.iter().map(|(job, digest)| records.past(job, digest)).collect())
    }

    fn last(&self, job: &JobName) -> Result<Option<Last>, HistoryError> {
        let records = self.records();
        let mut of_job = records.runs.iter().rev().filter(|run| run.begun.job == *job);
        Ok(of_job.find_map(|run| Some((run, run.ended.as_ref()?))).map(|(run, ended)| Last {
            run: run.begun.run.clone(),
            status: run.status.name().to_owned(),
            fingerprint: run.begun.fingerprint.clone(),
            inputs_moved: ended.inputs_moved,
            cached: ended.cached,
        }))
    }

    fn remember_key(&mut self, key: &Key) -> Result<(), HistoryError> {
        self.records().keys.insert(key.digest, key.clone());
        Ok(())
    }

    fn key(&self, digest: &Digest) -> Result<Option<Key>, HistoryError> {
        Ok(self.records().keys.get(digest).cloned())
    }

    fn record(&mut self, batch: &[Entry]) -> Result<(), HistoryError> {
        let mut records = self.records();
        for entry in batch {
            match entry {
                Entry::Elsewhere(invocation) => {
                    records.invocations.entry(invocation.id.clone()).or_insert_with(|| (**invocation).clone());
                }
                Entry::Begun(begun) => {
                    let known = records.invocations.get(&begun.invocation).cloned();
                    let invocation = known.unwrap_or_else(|| Invocation::unknown(&begun.invocation));
                    let begun = (**begun).clone();
                    if records.runs.iter().all(|run| run.begun.run != begun.run) {
                        records.runs.push(Run { begun, ended: None, status: Status::Running, invocation });
                    }
                }
                Entry::Ticket(ticket) => {
                    if records.tickets.iter().all(|other| other.run != ticket.run) {
                        records.tickets.push((**ticket).clone());
                    }
                }
                Entry::Ended(ended) => {
                    records.end(ended);
                    if let Some(logged) = &ended.logged {
                        records.log(&ended.run, logged);
                    }
                }
                Entry::Salvaged(salvaged) => {
                    for run in records.runs.iter_mut().filter(|run| run.begun.run == salvaged.run) {
                        if let Some(ended) = &mut run.ended {
                            ended.metrics.extend(salvaged.logged.metrics(None));
                            ended.kept.extend(salvaged.kept.iter().cloned());
                        }
                    }
                    records.log(&salvaged.run, &salvaged.logged);
                }
                Entry::Sweep(sweep) => match records.sweeps.iter_mut().find(|other| other.id == sweep.id) {
                    Some(other) => other.clone_from(sweep),
                    None => records.sweeps.push((**sweep).clone()),
                },
                Entry::Trial(trial) => {
                    records.trials.insert((trial.sweep.clone(), trial.number), (**trial).clone());
                }
            }
        }
        Ok(())
    }

    fn pins(&self) -> Result<BTreeSet<RunId>, HistoryError> {
        Ok(self.records().pins.clone())
    }

    fn pin(&mut self, run: &RunId, pinned: bool) -> Result<(), HistoryError> {
        let pins = &mut self.records().pins;
        if pinned {
            pins.insert(run.clone())
        } else {
            pins.remove(run)
        };
        Ok(())
    }

    fn tickets(&self, fingerprint: Option<&Digest>) -> Result<Vec<(Ticket, Run)>, HistoryError> {
        let records = self.records();
        let of = |ticket: &Ticket| records.runs.iter().find(|run| run.begun.run == ticket.run).cloned();
        let all = records.tickets.iter().filter_map(|ticket| Some((ticket.clone(), of(ticket)?)));
        Ok(all.filter(|(_, run)| fingerprint.is_none_or(|digest| run.begun.fingerprint.digest() == *digest)).collect())
    }

    fn logged(&self, run: &RunId) -> Result<Option<Logged>, HistoryError> {
        Ok(self.records().logged.get(run).cloned())
    }

    fn models(&self) -> Result<Vec<Version>, HistoryError> {
        let mut all: Vec<Version> = self.records().models.iter().map(|of| of.version.clone()).collect();
        all.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        Ok(all)
    }

    fn register(&mut self, registration: &Registration) -> Result<u32, HistoryError> {
        Ok(self.records().register(registration))
    }

    fn change_model(&mut self, name: &str, version: u32, change: &Change) -> Result<(), HistoryError> {
        self.records().change_model(name, version, change);
        Ok(())
    }

    fn sweeps(&self) -> Result<Vec<Sweep>, HistoryError> {
        Ok(self.records().sweeps.iter().rev().cloned().collect())
    }

    fn trials(&self, sweep: &str) -> Result<Vec<Trial>, HistoryError> {
        Ok(self.records().trials.values().filter(|trial| trial.sweep == sweep).cloned().collect())
    }

    fn retag(&mut self, run: &RunId, tags: &BTreeMap<String, String>) -> Result<(), HistoryError> {
        for of in self.records().runs.iter_mut().filter(|of| of.begun.run == *run) {
            of.begun.tags.clone_from(tags);
        }
        Ok(())
    }

    fn remove(&mut self, runs: &[RunId]) -> Result<(), HistoryError> {
        let mut records = self.records();
        records.runs.retain(|run| !runs.contains(&run.begun.run));
        records.pins.retain(|run| !runs.contains(run));
        records.logged.retain(|run, _| !runs.contains(run));
        Ok(())
    }

    fn runs(&self, query: &Query) -> Result<Vec<Run>, HistoryError> {
        let records = self.records();
        let of_job =
            |run: &&Run| query.job.as_ref().is_none_or(|j| run.begun.job.0 == *j || run.begun.experiment == *j);
        let of_status = |run: &&Run| query.status.as_ref().is_none_or(|s| run.status.name().eq_ignore_ascii_case(s));
        let found = records.runs.iter().rev().filter(of_job).filter(of_status);
        Ok(found.take(query.limit.unwrap_or(usize::MAX)).cloned().collect())
    }

    fn run(&self, prefix: &str) -> Result<Run, HistoryError> {
        let records = self.records();
        let newest = |fits: &dyn Fn(&Run) -> bool| records.runs.iter().rev().find(|run| fits(run)).cloned();
        let exact = newest(&|run| run.begun.run.0 == prefix)
            .or_else(|| newest(&|run| run.begun.job.0 == prefix))
            .or_else(|| newest(&|run| run.begun.experiment == prefix));
        if let Some(run) = exact {
            return Ok(run);
        }
        let lower = prefix.to_ascii_lowercase();
        let begins = |run: &&Run| !prefix.is_empty() && run.begun.run.0.starts_with(&lower);
        let mut found: Vec<&Run> = records.runs.iter().filter(begins).collect();
        found.sort_by(|a, b| a.begun.run.cmp(&b.begun.run));
        match found.as_slice() {
            [] => Err(HistoryError::NoSuchRun(prefix.to_owned())),
            [run] => Ok((*run).clone()),
            several => {
                let pairs: Vec<_> = several.iter().map(|r| (r.begun.run.0.clone(), r.begun.job.0.clone())).collect();
                Err(HistoryError::Ambiguous { prefix: prefix.to_owned(), candidates: candidates(&pairs).join(", ") })
            }
        }
    }
}
