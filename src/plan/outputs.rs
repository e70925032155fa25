//! What the outputs of one job may not be, whatever the other jobs do.

use crate::diagnostic::Diagnostic;
use crate::project::model::InputPath;
use crate::relpath::RelPath;

use super::job::{Command, Job, Output};

/// What lies at the top of a workspace and is no output.
const OWN: [&str; 4] = [".amlrun", "Amlfile", "Amlfile.lock", ".git"];

/// Tells what is wrong with an output; whether it can be one at all.
pub(super) fn check(job: &Job, output: &Output, faults: &mut Vec<Diagnostic>) -> bool {
    let path = &output.path;
    let refuse = |code, message: String, label: &str| Diagnostic::error(code, output.span.clone(), message, label);
    let first = path.as_path().components().next().map(std::path::Component::as_os_str);
    let bad = if path.is_root() {
        let message = "the whole workspace cannot be an output".to_owned();
        Some(refuse("bad-output", message, "the Amlfile's own folder").help("name a folder or a file in it"))
    } else if first.is_some_and(|first| OWN.iter().any(|own| first == *own)) {
        Some(refuse("bad-output", format!("`{path}` cannot be an output"), "kept by amlrun or git"))
    } else if !job.source_directory.is_root() && job.source_directory.is_within(path) {
        let message = format!("the output `{path}` holds the source directory `{}`", job.source_directory);
        Some(refuse("bad-output", message, "would replace the sources"))
    } else if is_script(job, path) {
        Some(refuse("bad-output", format!("the output `{path}` is the script itself"), "would replace it"))
    } else {
        None
    };
    if let Some(fault) = bad {
        once(fault, faults);
        return false;
    }
    for input in &job.inputs {
        let InputPath::Inside(read) = &input.path else { continue };
        let message = match (path == read, path.is_within(read), read.is_within(path)) {
            (true, ..) => format!("`{}` reads and writes `{path}`", job.name),
            (_, true, _) => format!("the output `{path}` of `{}` lies in its input `{read}`", job.name),
            (.., true) => format!("the input `{read}` of `{}` lies in its output `{path}`", job.name),
            _ => continue,
        };
        let fault = refuse("output-is-input", message, "written here").with(input.span.clone(), "read here");
        once(fault.help("a job that changed what it reads would never be fresh; write to another path"), faults);
    }
    true
}

/// The cells of one experiment have one fault.
fn once(fault: Diagnostic, faults: &mut Vec<Diagnostic>) {
    let told = |known: &&Diagnostic| {
        known.code == fault.code && known.primary == fault.primary && known.context == fault.context
    };
    if !faults.iter().rev().take(8).any(|known| told(&known)) {
        faults.push(fault);
    }
}

fn is_script(job: &Job, path: &RelPath) -> bool {
    match &job.command {
        Command::Script { script, .. } => {
            RelPath::new(job.source_directory.as_path().join(script)).is_ok_and(|s| s == *path)
        }
        Command::Shell(_) => false,
    }
}
