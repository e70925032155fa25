//! A job in a container: the same run directory and the same tracking folder, at the same paths, with the same variables; only what is around it is the
//! image's.
//!
//! The client of the engine is what runs on this machine, as the job's process: it passes signals on, and the container's
//! processes carry the marks by which a job that was killed, or whose amlrun was, is ended.

use std::collections::BTreeMap;
use std::path::Path;

use super::measuring::ground_path;
use super::stage::Staged;
use crate::environment::Container;
use crate::launch::{Launch, Outcome, Usage};
use crate::project::model::InputPath;

/// What docker ends with where it could not start the container.
const NOT_STARTED: i32 = 125;

/// Makes a launch one of the engine's client. Values of variables go by the client's own environment: a command line can be
/// read by everybody.
pub(super) fn enclose(
    launch: Launch,
    container: &Container,
    staged: &Staged,
    inputs: &[InputPath],
    tracking: Option<&Path>,
) -> Launch {
    let mut argv = vec![container.engine.display().to_string()];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|&word| word.to_owned()));
    // What is run is just what was named: the image's own entry point and a pull by name stay out of it.
    add(&["run", "--rm", "--name", &format!("amlrun-{}", launch.run.0)]);
    add(&["--workdir", &launch.cwd.display().to_string()]);
    for folder in std::iter::once(staged.folder.as_path()).chain(tracking) {
        add(&["--mount", &bind(folder, folder, false)]);
    }
    let absolute = inputs.iter().filter(|path| matches!(path, InputPath::Absolute(_))).map(ground_path);
    let mut mounts = launch.mounts.clone();
    mounts.extend(absolute.map(|at| (at.clone(), at)));
    mounts.sort();
    mounts.dedup();
    for (from, to) in &mounts {
        add(&["--mount", &bind(from, to, true)]);
    }
    let mut variables = container.variables.clone();
    for (name, value) in &launch.variables {
        // The client has a use of its own for these.
        let is_taken = variables.contains_key(name) && variables.get(name) != Some(value);
        if is_taken && !launch.secrets.contains(value) {
            add(&["--env", &format!("{name}={value}")]);
        } else {
            variables.insert(name.clone(), value.clone());
            add(&["--env", name]);
        }
    }
    argv.extend(container.options.iter().cloned());
    let mut words = launch.argv.iter().cloned();
    argv.extend(["--entrypoint".to_owned(), words.next().unwrap_or_default(), container.image.clone()]);
    argv.extend(words);
    Launch { argv, variables, mounts: Vec::new(), ..launch }
}

/// A `--mount`, which is read as a line of CSV.
fn bind(from: &Path, to: &Path, read_only: bool) -> String {
    let field = |name: &str, path: &Path| format!("\"{name}={}\"", path.display().to_string().replace('"', "\"\""));
    let end = if read_only { ",readonly" } else { "" };
    format!("type=bind,{},{}{end}", field("source", from), field("target", to))
}

/// What came of it, told of the container instead of the client.
pub(super) fn judge(container: &Container, outcome: Outcome, last: Option<&String>) -> (Outcome, Usage) {
    let outcome = match outcome {
        Outcome::Failed { code: NOT_STARTED } => {
            let engine = container.engine.file_name().unwrap_or_default().to_string_lossy();
            let said = last.map_or("", String::as_str);
            Outcome::Broken { why: format!("{engine} could not start the container of `{}`: {said}", container.image) }
        }
        // 128 and the signal, as a shell tells it: 137 is also what a container ends with that took too much memory.
        Outcome::Failed { code } if code > 128 && code < 128 + 64 => Outcome::Killed { signal: code - 128 },
        other => other,
    };
    // What the client used says nothing of the job.
    (outcome, Usage::default())
}

/// The variables of a job in a container, from those that it would have here.
pub(super) fn home(variables: &mut BTreeMap<String, String>) {
    // Whoever the container runs as may have no home there, and libraries keep caches in it.
    variables.entry("HOME".to_owned()).or_insert_with(|| "/tmp".to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_what_reads_them() {
        let rows = [
            ("/a b", false, r#"type=bind,"source=/a b","target=/a b""#),
            ("/a,b", true, r#"type=bind,"source=/a,b","target=/a,b",readonly"#),
            ("/a\"b:c", false, "type=bind,\"source=/a\"\"b:c\",\"target=/a\"\"b:c\""),
        ];
        for (path, read_only, wanted) in rows {
            assert_eq!(bind(Path::new(path), Path::new(path), read_only), wanted);
        }
    }
}
