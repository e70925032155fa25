//! Goals: names, cells, globs and output paths to jobs.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::amlfile::suggest::nearest;
use crate::diagnostic::Diagnostic;
use crate::project::model::Project;
use crate::relpath::RelPath;

use super::cells::{did_you_mean, shown};
use super::job::Job;

/// Marks the jobs that the goals name (all without any); a fault for each that names nothing.
pub(super) fn select(goals: &[String], project: &Project, jobs: &mut [Job], root: &Path) -> Vec<Diagnostic> {
    if goals.is_empty() {
        for job in jobs.iter_mut() {
            job.goal = true;
        }
        return Vec::new();
    }
    let mut faults = Vec::new();
    for text in goals {
        let goal = Goal::of(text, root);
        let mut found = false;
        // A name is a name, even where a path or a glob would match more.
        for way in [Goal::names, Goal::selects, Goal::writes] {
            for job in jobs.iter_mut() {
                if way(&goal, &project.experiments[job.experiment].name, job) {
                    job.goal = true;
                    found = true;
                }
            }
            if found {
                break;
            }
        }
        if !found {
            faults.push(nothing(text, project, jobs));
        }
    }
    faults
}

fn nothing(text: &str, project: &Project, jobs: &[Job]) -> Diagnostic {
    let fault = Diagnostic::bare("nothing-matched", format!("no experiment, job or output matches `{text}`"));
    let names = project.experiments.iter().map(|experiment| experiment.name.as_str());
    let cells = jobs.iter().filter(|job| !job.cell.is_empty()).map(|job| job.name.0.as_str());
    let outputs: Vec<&str> =
        jobs.iter().flat_map(|job| &job.outputs).filter_map(|output| output.path.as_path().to_str()).collect();
    match nearest(text, names.clone().chain(cells).chain(outputs)) {
        Some(near) => did_you_mean(fault, Some(near)),
        None if project.experiments.is_empty() => fault.help("the Amlfile has no experiments"),
        None if project.experiments.len() <= 12 => {
            fault.help(format!("the experiments are {}", crate::amlfile::listed(names)))
        }
        None => fault.help("`amlrun graph` shows all jobs"),
    }
}

struct Goal<'g> {
    text: &'g str,
    cell: Option<Cell<'g>>,
    glob: Option<GlobMatcher>,
    path: Option<RelPath>,
}

impl<'g> Goal<'g> {
    fn of(text: &'g str, root: &Path) -> Self {
        // Brackets are those of a cell's name, not a set of characters.
        let escaped: String =
            text.chars().map(|c| if matches!(c, '[' | ']') { format!("\\{c}") } else { c.into() }).collect();
        let glob = text.contains(['*', '?', '{']).then(|| {
            GlobBuilder::new(&escaped)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .ok()
                .map(|g| g.compile_matcher())
        });
        let inside = Path::new(text).strip_prefix(root).unwrap_or(Path::new(text));
        Self { text, cell: Cell::of(text), glob: glob.flatten(), path: RelPath::new(inside).ok() }
    }

    /// The name of the experiment or of the job, as it is.
    fn names(&self, experiment: &str, job: &Job) -> bool {
        self.text == experiment || self.text == job.name.0
    }

    /// A cell by some of its axes, or a glob of names.
    fn selects(&self, experiment: &str, job: &Job) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.experiment == experiment && cell.selects(job))
            || self.glob.as_ref().is_some_and(|glob| glob.is_match(experiment) || glob.is_match(&job.name.0))
    }

    /// An output, a path in one, or a folder with outputs in it.
    fn writes(&self, _: &str, job: &Job) -> bool {
        job.outputs.iter().any(|output| {
            let named = self
                .path
                .as_ref()
                .is_some_and(|path| path.is_within(&output.path) || (!path.is_root() && output.path.is_within(path)));
            named || self.glob.as_ref().is_some_and(|glob| glob.is_match(output.path.as_path()))
        })
    }
}

/// `train[alpha=0.1]`: all cells with these values on these axes.
pub(super) struct Cell<'t> {
    pub(super) experiment: &'t str,
    pub(super) values: Vec<(&'t str, &'t str)>,
}

impl<'t> Cell<'t> {
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let (experiment, rest) = text.split_once('[')?;
        let mut rest = rest.strip_suffix(']')?;
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (axis, value) = rest.split_once('=')?;
            let end = end_of_value(value);
            let (value, after) = value.split_at_checked(end)?;
            values.push((axis.trim(), value.trim()));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        (!values.is_empty()).then_some(Self { experiment, values })
    }

    pub(super) fn selects(&self, job: &Job) -> bool {
        self.values.iter().all(|(axis, wanted)| {
            job.cell
                .iter()
                .any(|(name, value)| name == axis && (shown(value) == *wanted || value.to_string() == *wanted))
        })
    }
}

/// Where a value ends: at a comma, but not at one in quotes.
fn end_of_value(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}
