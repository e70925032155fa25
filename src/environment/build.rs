//! Building an environment at its place in the user's cache: once per key, by one builder at a time.

use std::fs::TryLockError;
use std::path::Path;

use super::builder::{Managed, Setup};
use super::installer::{self, Installation};
use super::place::Place;
use super::tool::{Tool, for_installers};
use super::{EnvironmentError, Step, probe};

/// Makes the environment ready; does nothing where it is.
pub(super) fn ready(
    setup: &Setup,
    name: &str,
    managed: &Managed,
    uv: impl FnOnce() -> Option<std::path::PathBuf>,
    told: &mut dyn FnMut(Step),
) -> Result<Place, EnvironmentError> {
    let place = Place::new(&setup.cache, &managed.key);
    if place.is_complete(&managed.key) {
        return Ok(place);
    }
    let held = match place.try_hold()? {
        Ok(held) => held,
        Err(TryLockError::WouldBlock) => {
            told(Step::Output(format!("environment `{name}` is being built by another amlrun; waiting for it")));
            place.hold(&setup.halt)?
        }
        Err(TryLockError::Error(_)) => place.hold(&setup.halt)?,
    };
    if place.is_complete(&managed.key) || still_good(setup, managed, &place)? {
        return Ok(place);
    }
    told(Step::Started);
    place.clear()?;
    let base = &managed.interpreter;
    let variables = for_installers(&setup.variables);
    // Links, not copies, and no pip: what is in it is the lock's alone.
    let venv = Tool::new(&base.path, &variables, &setup.root).args(["-m", "venv", "--without-pip", "--symlinks"]);
    venv.arg(&place.folder).guarded(&held)?.stream(&setup.halt, told)?;
    if !managed.section.packages.is_empty() {
        let by = installer::choose(setup, uv(), base, told)?;
        let (python, file) = (place.python(), place.folder.with_extension("requirements.txt"));
        let (asked, section) = (&managed.asked, &managed.section);
        Installation { setup, asked, section, python: &python, file: &file, held: &held }.run(&by, told)?;
    }
    place.complete(&managed.key)?;
    Ok(place)
}

/// Whether an environment whose base interpreter was touched is still what its key says, so that jobs which run in it
/// need not lose it: then only the note is renewed.
fn still_good(setup: &Setup, managed: &Managed, place: &Place) -> Result<bool, EnvironmentError> {
    if !place.was_complete(&managed.key) {
        return Ok(false);
    }
    let wanted = &managed.interpreter.probe;
    let is = probe::ask(setup, &place.python(), true);
    let good = is.is_some_and(|is| is.probe.python() == wanted.python() && is.probe.platform == wanted.platform);
    if good {
        place.complete(&managed.key)?;
    }
    Ok(good)
}

/// Where the files of a resolution lie meanwhile: one folder for each project and environment.
pub(super) fn resolving(cache: &Path, lock_file: &Path, name: &str) -> std::path::PathBuf {
    let mut digester = crate::digest::Digester::new("amlrun resolution 1");
    digester.field(name, &lock_file.to_string_lossy());
    cache.join("resolving-v1").join(digester.finish().short())
}
