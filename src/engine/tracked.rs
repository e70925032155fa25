//! Around a run on this machine: the folder that its script logs to, and what is read of it when the run is over; also for
//! runs whose amlrun was killed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::attempt::Bench;
use super::{World, recover};
use crate::content::Content;
use crate::datafile;
use crate::digest::Digest;
use crate::environment::Activation;
use crate::history::{Begun, Ended, Entry, History, Salvaged};
use crate::ids::RunId;
use crate::launch::{Launch, Outcome};
use crate::logged::{Logged, Point, Secrets};
use crate::relpath::RelPath;
use crate::shim;
use crate::staleness::Recorded;
use crate::store::among::among;
use crate::store::capture::capture;
use crate::tracking::server::{ADDRESS, Follow, TOKEN};
use crate::tracking::{self, Folder};

/// A run that may log.
pub(super) struct Tracked {
    run: String,
    folder: Folder,
    secrets: Secrets,
    /// The values of the job's secrets, and its token.
    all: Vec<String>,
    /// Whether Azure ML's own SDK was asked for.
    is_sdk: bool,
    /// Whether the tracking server told it what other runs left.
    is_told_of_others: bool,
}

/// Makes the folder of a run, and adds the variables by which the job knows it and the tracking server; none where it cannot be
/// made: the run goes on without. A job in a container has the folder alone, unless the loopback of this machine is its own; and
/// what its image has on Python's path is not known.
pub(super) fn begin(
    bench: Bench<'_>,
    begun: &Begun,
    activation: &Activation,
    secrets: &[String],
    variables: &mut BTreeMap<String, String>,
) -> Option<Tracked> {
    let is_contained = activation.container.is_some();
    let is_apart = activation.container.as_ref().is_some_and(|container| !container.shares_network());
    let world = bench.world;
    let folder = Folder::of(world.state, &begun.invocation, &begun.run.0);
    // The token is not sealed: it is worth nothing any more when somebody else reads the log.
    folder.make(&Secrets::new(secrets)).ok()?;
    variables.insert(tracking::VARIABLE.to_owned(), folder.path().display().to_string());
    // Whoever names a server of their own logs to that.
    let server = world.tracking.filter(|_| !is_apart && !variables.contains_key(ADDRESS));
    let server = server.map(|server| {
        server.follow(Follow {
            folder: folder.clone(),
            run: begun.run.0.clone(),
            name: begun.job.0.clone(),
            experiment: begun.experiment.clone(),
            started: begun.started.0,
            user: user(world),
        })
    });
    variables.extend(server.unwrap_or_default());
    let all: Vec<String> = secrets.iter().chain(variables.get(TOKEN)).cloned().collect();
    if !is_contained && let Some(package) = bench.shim.ready(world.state) {
        shim::path(variables, &package);
    }
    let (run, secrets) = (begun.run.0.clone(), Secrets::new(&all));
    Some(Tracked { run, folder, secrets, all, is_sdk: shim::is_sdk(variables), is_told_of_others: false })
}

/// What MLflow left in a container where it found no server: it logs to files then, which go with the run directory.
pub(super) fn unheard(launch: &Launch) -> Option<String> {
    let left = ["mlruns", "mlflow.db"].into_iter().find(|name| launch.cwd.join(name).exists())?;
    (!launch.variables.contains_key(ADDRESS)).then(|| {
        format!(
            "what the script logged by MLflow went to `{left}` in its run directory and is not on record: in a container \
             MLflow finds amlrun where the environment has `docker = {{ arguments = [\"--network\", \"host\"] }}`"
        )
    })
}

fn user(world: &World<'_>) -> String {
    let name = |name| world.variables.get(name).filter(|name| !name.is_empty()).cloned();
    name("USER").or_else(|| name("LOGNAME")).unwrap_or_default()
}

impl Tracked {
    /// What a run elsewhere logged, brought here.
    pub(super) fn brought(folder: Folder, secrets: &[String], is_sdk: bool) -> Self {
        Self {
            run: String::new(),
            folder,
            secrets: Secrets::new(secrets),
            all: Vec::new(),
            is_sdk,
            is_told_of_others: false,
        }
    }

    /// The folder, which a container is to see, too.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What nobody may be told that reads the job's output.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.all.clone()
    }

    /// Puts what Azure ML's real SDK said on the job's output, where that was in use, into the log.
    fn hear_sdk(&self, output: &Path) {
        if !self.is_sdk && !self.folder.path().join(shim::MARK).exists() {
            return;
        }
        let Ok(said) = fs::read(output) else { return };
        let lines = shim::attempted(&String::from_utf8_lossy(&said));
        let log = tracking::open(&self.folder.log());
        let _ = log.and_then(|mut log| tracking::append(&mut log, &lines));
    }

    /// Reads what was logged, when the process has ended and its `output` is whole. A script that said that its run failed has
    /// not succeeded.
    pub(super) fn read(&mut self, world: &World<'_>, outcome: &mut Outcome, output: &Path) -> Logged {
        if let Some(server) = world.tracking {
            self.is_told_of_others = server.let_go(&self.run);
        }
        self.is_told_of_others |= self.folder.path().join(tracking::TOLD_OF_OTHERS).exists();
        self.hear_sdk(output);
        let mut logged = self.folder.read().unwrap_or_default();
        logged.mask(&self.secrets);
        let status = logged.own.status.as_deref().unwrap_or_default();
        if *outcome == Outcome::Succeeded && matches!(status, "Failed" | "Canceled") {
            let why = logged.own.error.as_deref().unwrap_or_default();
            let colon = if why.is_empty() { "" } else { ": " };
            *outcome = Outcome::Broken { why: format!("the script ended its run as {status}{colon}{why}") };
        }
        logged
    }

    /// Puts what was logged with what was collected: a declared metric file wins over a logged metric of its name.
    pub(super) fn settle(self, world: &World<'_>, mut logged: Logged, ended: &mut Ended) {
        for (name, value) in logged.metrics(None) {
            ended.metrics.entry(name).or_insert(value);
        }
        if let Some(of_files) = ended.logged.take() {
            for series in of_files.series {
                logged.put_series(&series.name, series.points);
            }
        }
        match keep(world, &self.folder, &self.secrets) {
            Ok(kept) => ended.kept.extend(kept),
            Err(why) => ended.notes.push(format!("its artifacts could not be kept: {why}")),
        }
        if self.is_told_of_others && ended.cached {
            ended.cached = false;
            ended.notes.push(
                "it read what other runs left through the tracking server, which no fingerprint holds: the result is not cached"
                    .to_owned(),
            );
        }
        let lost = locate(world, &mut logged, &ended.outputs.iter().chain(&ended.kept));
        ended.notes.extend(lost);
        ended.logged = (!logged.is_empty()).then(|| Box::new(logged));
        self.folder.remove();
    }
}

/// The series of metric files, as what was logged: none where there are none.
pub(super) fn of_files(columns: Vec<datafile::Series>) -> Option<Box<Logged>> {
    let mut logged = Logged::default();
    for column in columns {
        let points = column.points.into_iter().map(|(step, value)| Point { at: 0, step, value });
        logged.put_series(&column.name, points.collect());
    }
    (!logged.is_empty()).then(|| Box::new(logged))
}

/// Finds the files of what was registered as a model among what the run left; says which are not there.
fn locate<'r>(
    world: &World<'_>,
    logged: &mut Logged,
    left: &(impl Iterator<Item = &'r Recorded> + Clone),
) -> Vec<String> {
    let own = logged.own.models.iter_mut().map(|model| (None, model));
    let children = logged.children.iter_mut();
    let children =
        children.flat_map(|child| child.facts.models.iter_mut().map(|model| (Some(child.id.as_str()), model)));
    let mut lost = Vec::new();
    for (of, model) in own.chain(children) {
        let path = &model.path;
        let own = match of {
            None => format!("{}/{path}", tracking::ARTIFACTS),
            Some(id) => format!("{}/{id}/{path}", tracking::CHILDREN),
        };
        let found = [path, &own].into_iter().find_map(|path| {
            let path = RelPath::new(path).ok().filter(|path| !path.is_root())?;
            among(world.store, left.clone(), &path).ok().flatten()
        });
        if found.is_none() {
            lost.push(format!(
                "the model {} is registered without a file: the run left nothing at `{}`",
                model.name, model.path
            ));
        }
        model.content = found;
    }
    lost
}

/// Takes the artifacts of a folder into the store.
fn keep(world: &World<'_>, folder: &Folder, secrets: &Secrets) -> Result<Vec<Recorded>, String> {
    let mut kept = Vec::new();
    for name in tracking::KEPT {
        let at = folder.path().join(name);
        if fs::read_dir(&at).map_or(true, |mut entries| entries.next().is_none()) {
            continue;
        }
        if !secrets.is_empty() {
            rename(&at, secrets).map_err(|error| error.to_string())?;
        }
        let measured = capture(world.store, &at, &|| false).map_err(|error| error.to_string())?;
        if let (Some(measured), Ok(path)) = (measured, RelPath::new(name)) {
            let content: Content = measured.content;
            kept.push(Recorded::new(path, content));
        }
    }
    Ok(kept)
}

/// Cuts secrets out of the names of files and folders.
fn rename(folder: &Path, secrets: &Secrets) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            rename(&entry.path(), secrets)?;
        }
        let Some(cut) = secrets.cut(&entry.file_name().to_string_lossy()) else { continue };
        let free = |n: u32| -> PathBuf {
            folder.join(if n == 0 { OsString::from(&cut) } else { OsString::from(format!("{cut}-{n}")) })
        };
        let to = (0..u32::MAX).map(free).find(|to| fs::symlink_metadata(to).is_err());
        to.map_or(Ok(()), |to| fs::rename(entry.path(), to))?;
    }
    Ok(())
}

/// Puts on record what was logged in runs whose amlrun was killed, and removes their folders. The runs themselves were
/// closed before. What cannot be read is left; the answer says why.
pub(super) fn salvage(world: &World<'_>, own: &str, history: &mut dyn History) -> Vec<String> {
    let all = tracking::all(world.state);
    let names = || {
        let names = fs::read_dir(&all).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != own)
    };
    let mut faults = Vec::new();
    if names().next().is_none() {
        return faults;
    }
    let Some(_alone) = world.locks.hold(&Digest::of(b"salvage")) else { return faults };
    for name in names() {
        if recover::alive(world, &name) {
            continue;
        }
        // Until the watchdog is done, jobs of that invocation may still write.
        drop(world.locks.hold(&recover::guard_key(&name)));
        for run in fs::read_dir(all.join(&name)).into_iter().flatten().flatten() {
            let id = RunId(run.file_name().to_string_lossy().into_owned());
            let folder = Folder::at(run.path());
            if let Err(why) = salvage_one(world, history, &id, &folder) {
                faults.push(format!(
                    "what run {} logged is not on record: {why}; it lies in {}",
                    id.short(),
                    run.path().display()
                ));
                continue;
            }
            folder.remove();
        }
        let _ = fs::remove_dir(all.join(&name));
    }
    faults
}

/// Removes the folder of an invocation that ends; what is left in it is salvaged by a later one.
pub(super) fn tidy(world: &World<'_>, own: &str) {
    let _ = fs::remove_dir(tracking::all(world.state).join(own));
}

fn salvage_one(world: &World<'_>, history: &mut dyn History, run: &RunId, folder: &Folder) -> Result<(), String> {
    let secrets = folder.sealed().map_err(|error| error.to_string())?;
    let mut logged = folder.read().map_err(|error| error.to_string())?;
    logged.mask(&secrets);
    let _hold = world.store.hold();
    let kept = keep(world, folder, &secrets)?;
    if logged.is_empty() && kept.is_empty() {
        return Ok(());
    }
    world.store.flush().map_err(|error| error.to_string())?;
    locate(world, &mut logged, &kept.iter());
    let salvaged = Salvaged { run: run.clone(), logged, kept };
    history.record(&[Entry::Salvaged(Box::new(salvaged))]).map_err(|error| error.to_string())
}
