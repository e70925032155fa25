//! From what was found to the text of an Amlfile. Pure. What is sure stands in force, what is a guess stands as a comment.

use std::fmt::Write as _;

use crate::relpath::RelPath;

use super::findings::{Findings, Role, Script};
use super::options::{Flag, Literal, Takes};

/// An experiment as it will stand in the text.
#[derive(Debug, Default)]
struct Experiment<'a> {
    name: String,
    source_directory: Option<String>,
    script: String,
    narrowed: Option<String>,
    arguments: Vec<(String, String)>,
    params: Vec<(String, String)>,
    inputs: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
    required: Vec<&'a Flag>,
    further: Vec<&'a str>,
    written: Vec<&'a str>,
}

/// The text of an Amlfile for these findings.
#[must_use]
pub(super) fn propose(found: &Findings) -> String {
    // The scripts whose names say what they do; without any, the first one.
    let known = found.scripts.iter().filter(|script| script.role.is_some()).count();
    let (active, others) = found.scripts.split_at(known.max(1).min(found.scripts.len()));
    let mut experiments: Vec<Experiment<'_>> = Vec::new();
    for script in active {
        let next = experiment(script, found, &experiments);
        experiments.push(next);
    }
    let mut text = head(found);
    environment(&mut text, found, active);
    for (i, (one, script)) in experiments.iter().zip(active).enumerate() {
        let before = experiments[..i].last().map(|before| before.name.as_str());
        write_experiment(&mut text, one, script, found, before);
    }
    if experiments.is_empty() {
        text.push_str(NOTHING_FOUND);
    }
    if !others.is_empty() {
        text.push_str("\n# Scripts that were found besides; each can be an experiment too:\n");
        for script in others.iter().take(10) {
            let _ = writeln!(text, "#   {}", comment(&script.path));
        }
    }
    text
}

const NOTHING_FOUND: &str = "
# No script was found here. An experiment runs a script (`script = \"train.py\"`) or a command; replace this one.
[experiments.hello]
sources = []
command = \"echo hello\"
# inputs = { data = \"data/raw.csv\" }
# outputs = { model = \"model.pkl\" }
";

fn head(found: &Findings) -> String {
    let mut text = "\
# What `amlrun` runs here. Next: `amlrun -n` says what would run, `amlrun` runs it, `amlrun why JOB` explains.
# For completion in an editor: `amlrun schema > .amlfile.schema.json`, and as the first line of this file
# #:schema ./.amlfile.schema.json
format = 1

[workspace]
"
    .to_owned();
    let _ = writeln!(text, "name = {}", quote(&found.name));
    for name in &found.foreign {
        let _ =
            writeln!(text, "# {} is here too: it was not read; its stages can be carried over by hand.", comment(name));
    }
    text
}

fn environment(text: &mut String, found: &Findings, scripts: &[Script]) {
    let is_python = |script: &Script| !script.path.to_lowercase().ends_with(".r");
    if !scripts.iter().any(is_python) {
        return;
    }
    text.push_str(
        "\n# The software that the scripts run in: built by amlrun, locked in Amlfile.lock.\n[environments.main]\n",
    );
    text.push_str("# python = \"3.12\"\n");
    if let Some(file) = &found.requirements {
        let _ = writeln!(text, "requirements = {}", quote(file));
    } else {
        let mut packages: Vec<&String> = scripts.iter().flat_map(|script| &script.packages).collect();
        packages.sort();
        packages.dedup();
        let list: Vec<String> = packages.iter().map(|package| quote(package)).collect();
        text.push_str("# By the scripts' imports; add what is missing.\n");
        let _ = writeln!(text, "packages = [{}]", list.join(", "));
    }
    if let Some(conda) = &found.conda {
        let _ = writeln!(text, "# {} was found; `conda = {}` is for a later version.", comment(conda), quote(conda));
    }
    text.push_str("# variables = { OMP_NUM_THREADS = \"1\" }\n");
}

/// Sorts a script's options into parameters, inputs and outputs.
fn experiment<'a>(script: &'a Script, found: &Findings, earlier: &[Experiment<'_>]) -> Experiment<'a> {
    let (folder, file) = script.path.rsplit_once('/').map_or((None, script.path.as_str()), |(d, f)| (Some(d), f));
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    // A folder named for what it does is a source directory, as in Azure ML; scripts in `src` are run from the top.
    let own = folder.filter(|folder| Role::of(folder).is_some());
    let mut one = Experiment {
        name: unique(&plain(stem), earlier),
        source_directory: own.map(str::to_owned),
        script: own.map_or(script.path.as_str(), |_| file).to_owned(),
        narrowed: folder.filter(|_| own.is_none()).map(|folder| format!("{folder}/**")),
        ..Experiment::default()
    };
    // As the script writes a path, and as the Amlfile does.
    let in_workspace = |path: &str| match (&one.source_directory, path.strip_prefix("../")) {
        (Some(_), Some(above)) => above.to_owned(),
        (Some(own), None) => format!("{own}/{path}"),
        (None, _) => path.strip_prefix("./").unwrap_or(path).to_owned(),
    };
    let is_input =
        |path: &String| found.data.contains(path) || earlier.iter().any(|e| e.outputs.iter().any(|o| o.1 == *path));
    // A place that is read or written already is written by no other: that would be a cycle, or two writers.
    let free = |path: &str| earlier.iter().all(|other| apart(path, &other.inputs) && apart(path, &other.outputs));
    for flag in &script.flags {
        match &flag.takes {
            Takes::Default(Literal::Text(path))
                if is_input(&in_workspace(path)) && !writes(&flag.name) && apart(&in_workspace(path), &one.outputs) =>
            {
                one.inputs.push((flag.name.clone(), in_workspace(path)));
                one.arguments.push((flag.text.clone(), format!("${{inputs.{}}}", flag.name)));
            }
            Takes::Default(Literal::Text(path)) if is_output(&flag.name, path, script.role) => {
                let path = in_workspace(path);
                if !stays_inside(&path) || !apart(&path, &one.inputs) || !apart(&path, &one.outputs) || !free(&path) {
                    one.further.push(&flag.text);
                    continue;
                }
                one.outputs.push((flag.name.clone(), path));
                one.arguments.push((flag.text.clone(), format!("${{outputs.{}}}", flag.name)));
            }
            Takes::Default(literal) => {
                let value = match literal {
                    Literal::Number(number) => number.clone(),
                    Literal::Text(text) => quote(&text.replace("${", "$${")),
                };
                one.params.push((flag.name.clone(), value));
                one.arguments.push((flag.text.clone(), format!("${{{}}}", flag.name)));
            }
            Takes::Required => one.required.push(flag),
            Takes::Nothing | Takes::Unknown => one.further.push(&flag.text),
        }
    }
    for text in &script.texts {
        let path = in_workspace(text);
        let taken = !apart(&path, &one.inputs) || !apart(&path, &one.outputs);
        if is_input(&path) && !taken && !script.written.contains(text) {
            let name = free_name(&path, &one.inputs);
            one.inputs.push((name, path));
        } else if !taken && script.written.contains(text) && stays_inside(&path) {
            one.written.push(text);
        }
    }
    one
}

fn write_experiment(text: &mut String, one: &Experiment<'_>, script: &Script, found: &Findings, before: Option<&str>) {
    let _ = writeln!(text, "\n[experiments.{}]", one.name);
    if let Some(own) = &one.source_directory {
        let _ = writeln!(text, "source_directory = {}", quote(own));
    }
    let _ = writeln!(text, "script = {}", quote(&one.script));
    match &one.narrowed {
        Some(glob) => {
            let _ = writeln!(
                text,
                "sources = [{}]         # what the script is made of; a change makes it run again",
                quote(glob)
            );
        }
        None if one.source_directory.is_none() => {
            let _ = writeln!(text, "# sources = [{}]       # only a change of these runs it again", quote(&one.script));
        }
        None => {}
    }
    if !script.path.to_lowercase().ends_with(".r") {
        text.push_str("environment = \"main\"\n");
    }
    if !one.arguments.is_empty() {
        text.push_str("arguments = [\n");
        for (flag, value) in &one.arguments {
            // A positional argument has no flag.
            let flag = if flag.starts_with('-') { format!("{}, ", quote(flag)) } else { String::new() };
            let _ = writeln!(text, "    {flag}{},", quote(value));
        }
        text.push_str("]\n");
    }
    for flag in &one.required {
        let what = if flag.text.starts_with('-') { format!("{}, ", quote(&flag.text)) } else { String::new() };
        let value = format!("${{{}}}", flag.name);
        let _ = writeln!(
            text,
            "# {} is required: add {what}{} to `arguments`, and {} to `params` or `inputs`",
            comment(&flag.text),
            quote(&value),
            flag.name
        );
    }
    if !one.further.is_empty() {
        let _ = writeln!(text, "# it also understands {}", comment(&one.further.join(", ")));
    }
    table(text, "params", &one.params);
    for (name, value) in one.params.iter().filter(|(_, value)| value.starts_with('"') && value.contains('/')) {
        let _ = writeln!(text, "# {name} looks like a path, {}: one of `inputs` or `outputs`?", comment(value));
    }
    table(text, "inputs", &one.inputs.iter().map(|(name, path)| (name.clone(), quote(path))).collect::<Vec<_>>());
    if one.inputs.is_empty() {
        let example = found.data.first().map_or("data/raw.csv", String::as_str);
        let _ = writeln!(text, "# inputs = {{ data = {} }}      # what it reads", quote(example));
    }
    table(text, "outputs", &one.outputs.iter().map(|(name, path)| (name.clone(), quote(path))).collect::<Vec<_>>());
    if one.outputs.is_empty() {
        let path = one.written.first().copied().unwrap_or("models/model.pkl");
        let name = free_name(path, &[]);
        let _ = writeln!(text, "# outputs = {{ {name} = {} }}      # what it writes, and others may read", quote(path));
    }
    if script.role == Some(Role::Train) {
        text.push_str("# metrics = [\"metrics.json\"]\n");
        if let Some((name, value)) = one.params.iter().find(|(_, value)| !value.starts_with('"')) {
            let _ = writeln!(text, "# matrix = {{ {name} = [{value}] }}      # one job for each value");
        }
    }
    if let (Some(before), true) = (before, one.inputs.is_empty()) {
        let _ = writeln!(text, "# needs = [{}]      # better: an output of it as an input here", quote(before));
    }
}

fn table(text: &mut String, key: &str, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let _ = writeln!(text, "{key} = {{ {} }}", pairs.join(", "));
}

/// Whether an option's name and default say that the script writes there.
fn is_output(name: &str, path: &str, role: Option<Role>) -> bool {
    let has_ending = path.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && !end.is_empty());
    let perhaps = ["model_path", "model_file", "model_dir", "checkpoint", "metrics"];
    let perhaps = perhaps.iter().any(|word| name.starts_with(word)) || (name == "model" && has_ending);
    // Who evaluates reads the model and its metrics.
    let named = writes(name) || (perhaps && role != Some(Role::Evaluate));
    named && (path.contains('/') || has_ending)
}

/// Whether an option's name alone says so.
fn writes(name: &str) -> bool {
    ["out", "save", "export", "result", "report", "plot", "figure"].iter().any(|word| name.starts_with(word))
}

/// Whether a path neither lies in one of these nor holds one of them.
fn apart(path: &str, others: &[(String, String)]) -> bool {
    let Ok(path) = RelPath::new(path) else { return true };
    let overlaps = |other: &RelPath| path.is_within(other) || other.is_within(&path);
    others.iter().filter_map(|(_, other)| RelPath::new(other).ok()).all(|other| !overlaps(&other))
}

/// Whether a path may be declared as an output: relative, in the workspace, not all of it.
fn stays_inside(path: &str) -> bool {
    RelPath::new(path).is_ok_and(|path| !path.is_root())
}

/// A name for a path: that of its file, without the ending.
fn free_name(path: &str, taken: &[(String, String)]) -> String {
    let file = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let name = plain(file.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data"));
    numbered(&name, |name| taken.iter().all(|(other, _)| other != name))
}

fn unique(name: &str, earlier: &[Experiment<'_>]) -> String {
    numbered(name, |name| earlier.iter().all(|other| other.name != name))
}

/// The name, or the first of `name2`, `name3`, … that is free.
fn numbered(name: &str, free: impl Fn(&str) -> bool) -> String {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}{n}")));
    names.into_iter().find(|name| free(name)).unwrap_or_default()
}

/// A text as a bare key.
fn plain(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("x{name}") }
}

/// A text as a basic string of TOML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text that ends no comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
#[path = "propose_tests.rs"]
mod tests;
