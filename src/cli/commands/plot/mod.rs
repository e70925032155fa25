//! `amlrun plot`: curves, parameters against metrics, confusion matrices, ROC curves and images of runs, and what sweeps came
//! to, as one page that works without a network, or small in the terminal.
//!
//! The page holds its data as JSON, uPlot (MIT, vendored beside this file) and a script that draws every chart of the
//! list: a further kind of chart is a further entry of `charts::Chart` and a function in `page.js`.

mod charts;
mod shapes;
mod sweeps;

use std::path::Path;

use self::charts::{Chart, charts};
use super::runs::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, PlotOptions};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::{self, words};
use crate::history::{History, Query, Run, Status};

/// Carries out `amlrun plot`.
///
/// # Errors
/// Where no run has anything to draw, or the page cannot be written.
pub fn run(options: &PlotOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let runs = meant(&desk, &options.runs)?;
    let mut charts = charts(&desk, &runs)?;
    charts.extend(sweeps::charts(&desk, &options.runs)?);
    if charts.is_empty() {
        return Err(CliError::nothing("the runs have no metrics, no curves and no images").hint(
            "`metrics = [\"curve.csv\"]` in an experiment names a file of numbers that its script writes, a row a step",
        ));
    }
    if common.json {
        console::out(&console::json::document(&charts));
    } else if options.terminal {
        console::out(&charts.iter().map(Chart::small).collect::<String>());
    } else {
        // Among the sources it would make every job stale that takes the whole folder.
        let own = || desk.root.join(".amlrun").join("plot.html");
        let to = options.output.as_ref().map_or_else(own, |output| here.cwd.join(output));
        write(&to, &page(&charts, &desk.root))?;
        let shown = to.strip_prefix(&here.cwd).unwrap_or(&to);
        console::err(&format!("wrote {} to `{}`", words::count(charts.len(), "chart"), shown.display()));
    }
    Ok(Exit::Done)
}

/// The runs that are meant: by identity, or the last good run of every job of a name; of every job without a name.
fn meant(desk: &Desk<'_>, names: &[String]) -> Result<Vec<Run>, CliError> {
    let query = Query { status: Some(Status::Completed.name().to_owned()), ..Query::default() };
    let mut last = desk.history.runs(&query)?;
    let mut seen = std::collections::BTreeSet::new();
    last.retain(|run| seen.insert(run.begun.job.clone()));
    last.sort_by_cached_key(|run| super::metrics::natural(&run.begun.job.0));
    if names.is_empty() {
        return Ok(last);
    }
    let mut runs: Vec<Run> = Vec::new();
    for name in names {
        let of = |run: &&Run| run.begun.job.0 == *name || run.begun.experiment == *name;
        let of_name: Vec<Run> = last.iter().filter(of).cloned().collect();
        // Of a sweep that has published nothing, its trials are there.
        let is_sweep = || Ok::<_, CliError>(desk.history.sweeps()?.iter().any(|sweep| sweep.job.0 == *name));
        if of_name.is_empty() && !is_sweep()? {
            runs.push(desk.run(name)?);
        } else {
            runs.extend(of_name);
        }
    }
    Ok(runs)
}

/// The page. `<` is escaped in the data, so that nothing in a run's names can end the script.
fn page(charts: &[Chart], root: &Path) -> String {
    let data = serde_json::to_string(charts).unwrap_or_default().replace('<', "\\u003c");
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    include_str!("page.html")
        .replace("/*UPLOT_CSS*/", include_str!("uPlot.min.css"))
        .replace("/*UPLOT_JS*/", include_str!("uPlot.iife.min.js"))
        .replace("/*PAGE_JS*/", include_str!("page.js"))
        .replace("<!--TITLE-->", &name)
        .replace("/*DATA*/", &data)
}

/// Writes the page whole, or not at all.
fn write(to: &Path, text: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let save = || -> std::io::Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(to).map(drop).map_err(|error| error.error)
    };
    save().map_err(|error| CliError::world(format!("could not write `{}`: {error}", to.display())))
}
