//! `amlrun graph`: the jobs and what they need, drawn. It judges nothing and needs no history.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, PlanOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::console::{self, Style, graph};

/// Draws the graph: as `tree`, `dot`, `mermaid` or `json`; `--json` is the last.
///
/// # Errors
/// Where the project or the goals have faults.
pub fn run(plan: &PlanOptions, format: &str, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let plan = loaded.plan(plan, here)?;
    let text = match format {
        format if common.json || format == "json" => graph::json(&loaded.project, &plan),
        "dot" => graph::dot(&plan),
        "mermaid" => graph::mermaid(&plan),
        _ => graph::tree(&plan, Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal)),
    };
    console::out(&text);
    Ok(Exit::Done)
}
