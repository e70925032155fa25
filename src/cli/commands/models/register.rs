//! `amlrun models register`: a file or folder that a run left becomes a version of a model.

use std::path::Path;

use super::declared::Declared;
use super::{tags_of, version_json, writer};
use crate::cli::commands::runs::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::Common;
use crate::cli::surroundings::Surroundings;
use crate::console::{self, json as wire, words};
use crate::engine::measuring::Counter;
use crate::history::models::by_hand;
use crate::history::{History, Query, Run, Status};
use crate::relpath::RelPath;
use crate::staleness::Recorded;
use crate::store::among::among;
use crate::store::{Store, snapshot};
use crate::tracking;
use crate::tree::Ground;

/// What registering works with.
pub(super) struct Registrar<'r, 'c> {
    pub(super) desk: &'r Desk<'c>,
    pub(super) common: &'r Common,
    pub(super) here: &'r Surroundings,
}

impl Registrar<'_, '_> {
    /// Registers `PATH@RUN`, or `PATH` of the run that made what lies there; a declared output may go by its name.
    pub(super) fn register(
        &self,
        name: &str,
        source: &str,
        tags: &[String],
        aliases: &[String],
    ) -> Result<Exit, CliError> {
        let desk = self.desk;
        if name.trim().is_empty() || name.contains(['/', ':', '@']) || name.chars().any(char::is_control) {
            return Err(CliError::usage(format!("{} is not a name for a model", words::name(name)))
                .hint("a name has no `/`, `:` or `@`"));
        }
        let tags = tags_of(tags)?;
        aliases.iter().try_for_each(|alias| checked_alias(alias))?;
        // From here on nothing is cleared that the version stands on.
        let _hold = desk.store.hold();
        let (run, recorded) = match source.rsplit_once('@') {
            Some((path, run)) => self.of_run(path, run)?,
            None => self.of_name_or_path(source)?,
        };
        let short = run.begun.run.short();
        if recorded.content().is_none_or(|content| !snapshot::present(&desk.store, &content)) {
            return Err(CliError::world(format!(
                "`{}` of run {short} cannot be had: the store lacks it, or holds it damaged",
                words::path(&recorded.path)
            )));
        }
        let mut registration = by_hand(name, &run.begun, recorded, tags, desk.clock.now());
        registration.version.aliases.extend(aliases.iter().cloned());
        registration.version.version = writer(desk).register(&registration)?;
        let version = &registration.version;
        if desk.json {
            console::out(&wire::document(&version_json(version)));
        } else {
            console::err(&format!(
                "registered `{}` of run {short} as version {} of model {}",
                console::clean::clean(&version.path),
                version.version,
                words::name(name),
            ));
        }
        Ok(Exit::Done)
    }

    /// What a run left at a path, as a declared output of this name, or under a file's name where only one has it.
    fn of_run(&self, path: &str, run: &str) -> Result<(Run, Recorded), CliError> {
        let desk = self.desk;
        let run = desk.run(run)?;
        let short = run.begun.run.short().to_owned();
        if run.ended.is_none() {
            return Err(CliError::nothing(format!("run {short} is not over")));
        }
        if let Some(recorded) = left(desk, &run, path)? {
            return Ok((run, recorded));
        }
        let declared = || Declared::read(self.common, self.here)?.output_of(&run, path);
        let outputs = run.ended.iter().flat_map(|ended| &ended.outputs);
        if let Some(declared) = declared()
            && let Some(recorded) = among(&desk.store, outputs, &declared)?
        {
            return Ok((run, recorded));
        }
        let files = crate::cli::commands::runs::files::files(desk, &run)?;
        let ends = |file: &&String| file.rsplit('/').next() == Some(path);
        let named: Vec<&String> = files.keys().filter(ends).collect();
        if let [file] = named.as_slice()
            && let Some(recorded) = left(desk, &run, file)?
        {
            return Ok((run, recorded));
        }
        let what = if named.is_empty() { "left nothing at" } else { "left several files named" };
        Err(CliError::nothing(format!("run {short} {what} {}", words::name(path)))
            .hint(format!("`amlrun runs files {short}` lists what it left")))
    }

    /// What a run left that lies at a path, or where a declared output of this name lies.
    fn of_name_or_path(&self, source: &str) -> Result<(Run, Recorded), CliError> {
        let at = self.here.cwd.join(source);
        let found = of_path(self.desk, &at);
        if found.is_ok() || at.symlink_metadata().is_ok() {
            return found;
        }
        let declared = Declared::read(self.common, self.here).map(|declared| declared.outputs(source));
        let declared: Vec<_> = declared.into_iter().flatten().collect();
        match declared.as_slice() {
            [] => found,
            [(path, _)] => of_path(self.desk, &self.desk.root.join(path.as_path())),
            [(_, job), ..] => {
                let jobs: Vec<String> = declared.iter().map(|(_, job)| words::name(&job.0)).collect();
                Err(CliError::usage(format!("{} jobs have an output {}", jobs.len(), words::name(source)))
                    .hint(format!("name one of them, as in `{source}@{job}`: {}", jobs.join(", "))))
            }
        }
    }
}

/// An alias: no number, which would be a version's, and not `latest`.
pub(super) fn checked_alias(alias: &str) -> Result<(), CliError> {
    let is_number = alias.strip_prefix('v').unwrap_or(alias).bytes().all(|byte| byte.is_ascii_digit());
    if is_number || alias == "latest" || alias.contains(['@', '/', ':']) || alias.chars().any(char::is_control) {
        return Err(CliError::usage(format!("{} is not an alias", words::name(alias)))
            .hint("an alias is a word, as in `champion`; numbers and `latest` name versions already"));
    }
    Ok(())
}

/// What a run left at a path, logs aside; also at a path below its artifacts.
fn left(desk: &Desk<'_>, run: &Run, path: &str) -> Result<Option<Recorded>, CliError> {
    let all = || run.ended.iter().flat_map(|ended| ended.outputs.iter().chain(&ended.kept));
    for path in [path.to_owned(), format!("{}/{path}", tracking::ARTIFACTS)] {
        let Some(path) = RelPath::new(&path).ok().filter(|path| !path.is_root()) else { continue };
        if let Some(recorded) = among(&desk.store, all(), &path)? {
            return Ok(Some(recorded));
        }
    }
    Ok(None)
}

/// A path in the project, and the newest run that left what lies there; any that left it where nothing lies there.
fn of_path(desk: &Desk<'_>, at: &Path) -> Result<(Run, Recorded), CliError> {
    let inside = at.strip_prefix(&desk.root).ok().and_then(|path| RelPath::new(path).ok());
    let inside = inside.filter(|path| !path.is_root()).ok_or_else(|| {
        CliError::usage(format!("`{}` is not in the workspace", at.display()))
            .hint("a model is what a run left: its path, or PATH@RUN")
    })?;
    let ground = Ground::open(&desk.root, &desk.state);
    let now = match ground.measure(&[inside.as_path().to_owned()], &Counter::default()).pop() {
        Some(Ok(measured)) => measured.map(|measured| measured.content),
        Some(Err(error)) => return Err(error.into()),
        None => None,
    };
    let mut left_it = false;
    let query = Query { status: Some(Status::Completed.name().to_owned()), ..Query::default() };
    for run in desk.history.runs(&query)? {
        let outputs = run.ended.iter().flat_map(|ended| &ended.outputs);
        let Some(recorded) = among(&desk.store, outputs, &inside)? else { continue };
        if now.is_none_or(|now| recorded.content().is_some_and(|it| (it.kind, it.digest) == (now.kind, now.digest))) {
            return Ok((run, recorded));
        }
        left_it = true;
    }
    let shown = words::path(&inside);
    Err(if left_it {
        CliError::nothing(format!("`{shown}` is not as any run left it"))
            .hint(format!("`amlrun models register NAME {shown}@RUN` takes what that run left"))
    } else {
        CliError::nothing(format!("no run on record left `{shown}`"))
            .hint("only what a run made can be registered: its run and environment belong to a model")
    })
}
