//! What `amlrun init` finds in a folder.

use std::path::Path;

use super::imports;
use super::options::{self, Flag};

/// What a folder holds, as far as an Amlfile cares.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// The folder's name.
    pub(super) name: String,
    /// Scripts that can be run, the likeliest first.
    pub(super) scripts: Vec<Script>,
    /// `requirements.txt`, or a `pyproject.toml` with dependencies.
    pub(super) requirements: Option<String>,
    /// A conda file.
    pub(super) conda: Option<String>,
    /// Files that look like data, and folders of them; relative, sorted.
    pub(super) data: Vec<String>,
    /// What other tools left here, as in `dvc.yaml`.
    pub(super) foreign: Vec<String>,
}

/// A script.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// Relative to the folder.
    pub(super) path: String,
    /// What it does in a project, by its name.
    pub(super) role: Option<Role>,
    /// The options of its command line.
    pub(super) flags: Vec<Flag>,
    /// Plain texts in it that may be paths.
    pub(super) texts: Vec<String>,
    /// Those of them that stand in a line that writes.
    pub(super) written: Vec<String>,
    /// Packages that it imports, by their names in a package index.
    pub(super) packages: Vec<String>,
}

/// What a script does in a project; in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Makes the data.
    Prepare,
    /// Trains.
    Train,
    /// Looks at what was trained.
    Evaluate,
}

impl Role {
    /// By the file's name without its ending.
    #[must_use]
    pub(super) fn of(stem: &str) -> Option<Self> {
        let stem = stem.to_lowercase();
        let begins = |words: &[&str]| words.iter().any(|word| stem.starts_with(word));
        if begins(&["prepare", "preprocess", "download", "featuri", "features", "make_data", "split", "clean"]) {
            Some(Self::Prepare)
        } else if begins(&["train", "fit", "finetune", "fine_tune"]) {
            Some(Self::Train)
        } else if begins(&["eval", "predict", "report", "score", "plot", "validate", "infer"]) {
            Some(Self::Evaluate)
        } else {
            None
        }
    }
}

/// More scripts are not looked at.
const SCRIPTS: usize = 200;
/// Longer files are no scripts.
const LONGEST: u64 = 1 << 20;
/// So many lines of data files are found, and no more.
const DATA: usize = 200;

/// Looks at a folder and the folders in it. What cannot be read is not there.
#[must_use]
pub(super) fn look(folder: &Path) -> Findings {
    let mut found = Findings {
        name: folder.file_name().and_then(|name| name.to_str()).unwrap_or("project").to_owned(),
        ..Findings::default()
    };
    let mut candidates = Vec::new();
    for (name, is_folder) in entries(folder) {
        match (name.as_str(), is_folder) {
            ("dvc.yaml" | "MLproject" | "Snakefile", false) | (".azureml", true) => found.foreign.push(name),
            ("requirements.txt", false) => found.requirements = Some(name),
            ("environment.yml" | "environment.yaml" | "conda.yml" | "conda.yaml", false) => found.conda = Some(name),
            (_, true) if is_apart(&name) => {}
            (_, true) => {
                let inside = entries(&folder.join(&name));
                let holds_data = is_data_folder(&name);
                if holds_data && !inside.is_empty() {
                    found.data.push(name.clone());
                }
                for (file, _) in inside.into_iter().filter(|(_, is_folder)| !is_folder) {
                    let path = format!("{name}/{file}");
                    if is_script(&file) {
                        candidates.push(path);
                    } else if is_data(&file) || holds_data {
                        found.data.push(path);
                    }
                }
            }
            (file, false) if is_script(file) => candidates.push(name),
            (file, false) if is_data(file) => found.data.push(name),
            _ => {}
        }
    }
    if found.requirements.is_none() && has_dependencies(folder) {
        found.requirements = Some("pyproject.toml".to_owned());
    }
    found.data.truncate(DATA);
    found.scripts = scripts(folder, &candidates);
    found
}

/// The names in a folder that are UTF-8, sorted, and whether each is a folder.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let mut entries: Vec<(String, bool)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let is_folder = entry.file_type().ok()?.is_dir();
            Some((entry.file_name().into_string().ok()?, is_folder))
        })
        .collect();
    entries.sort();
    entries
}

fn scripts(folder: &Path, candidates: &[String]) -> Vec<Script> {
    let mut scripts: Vec<(bool, Script)> = candidates
        .iter()
        .take(SCRIPTS)
        .filter_map(|path| {
            let place = folder.join(path);
            if place.metadata().ok()?.len() > LONGEST {
                return None;
            }
            let text = String::from_utf8_lossy(&std::fs::read(place).ok()?).into_owned();
            Some(read(path, &text))
        })
        .collect();
    let runnable = scripts.iter().any(|(runs, _)| *runs);
    // Without a single script that says that it is one, the likely names will do.
    scripts.retain(|(runs, script)| if runnable { *runs } else { script.role.is_some() || is_entry(&script.path) });
    scripts.sort_by_key(|(_, script)| (script.role.is_none(), script.role, script.path.clone()));
    scripts.into_iter().map(|(_, script)| script).collect()
}

/// Reads a script's text; the first answer is whether it looks like one that is run and not one that is imported.
fn read(path: &str, text: &str) -> (bool, Script) {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let runs = ["__main__", "argparse", "import click", "import typer", "import fire", "commandArgs"]
        .iter()
        .any(|sign| text.contains(sign));
    let (mut texts, mut written) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let writes = WRITERS.iter().any(|writer| line.contains(writer));
        for literal in literals(line) {
            if writes && !written.contains(&literal) {
                written.push(literal.clone());
            }
            if !texts.contains(&literal) {
                texts.push(literal);
            }
        }
    }
    let script = Script {
        path: path.to_owned(),
        role: Role::of(stem),
        flags: options::scan(text),
        texts,
        written,
        packages: imports::packages(text),
    };
    (runs || !script.flags.is_empty() || script.role == Some(Role::Train), script)
}

/// What a line has in it that writes a file.
const WRITERS: &[&str] = &[
    "dump(",
    ".save(",
    "torch.save",
    "savefig(",
    ".to_csv(",
    ".to_parquet(",
    ".to_pickle(",
    "save_model(",
    "write_text(",
    "write_bytes(",
    "saveRDS(",
    "write.csv(",
    ", \"w\"",
    ", 'w'",
    ", \"wb\"",
    ", 'wb'",
    "np.savez",
];

/// The plain string literals of a line that may be paths.
fn literals(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '\'']) {
        let (_, from) = rest.split_at(at);
        let quote = if from.starts_with('"') { '"' } else { '\'' };
        let inner = from.strip_prefix(quote).unwrap_or_default();
        let Some((literal, after)) = inner.split_once(quote) else { break };
        let path_like = (literal.contains('/') || literal.contains('.')) && literal.len() < 200;
        if path_like && !literal.contains(['{', '}', '\\', '*', '%', ' ', ':']) {
            found.push(literal.to_owned());
        }
        rest = after;
    }
    found
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    endings.contains(&ending.as_str())
}

fn is_script(name: &str) -> bool {
    let apart = ["setup.py", "conftest.py", "noxfile.py", "manage.py", "__init__.py", "__main__.py"].contains(&name);
    has_ending(name, &["py", "r"]) && !apart && !name.starts_with("test_") && !name.ends_with("_test.py")
}

/// Names of scripts that are run though nothing in them says so.
fn is_entry(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["main.py", "run.py", "app.py", "model.py", "main.R", "run.R"].contains(&name)
}

fn is_data(name: &str) -> bool {
    let endings = ["csv", "tsv", "parquet", "feather", "arrow", "npy", "npz", "h5", "hdf5", "xlsx", "jsonl", "sqlite"];
    has_ending(name, &endings) || name.ends_with(".csv.gz")
}

fn is_data_folder(name: &str) -> bool {
    ["data", "dataset", "datasets", "input", "inputs", "raw"].contains(&name)
}

/// Folders that hold neither scripts of the project nor its data.
fn is_apart(name: &str) -> bool {
    let apart = [
        "venv",
        "env",
        "node_modules",
        "tests",
        "test",
        "docs",
        "doc",
        "build",
        "dist",
        "target",
        "outputs",
        "logs",
        "mlruns",
        "wandb",
        "notebooks",
        "__pycache__",
        "site-packages",
    ];
    name.starts_with('.') || apart.contains(&name)
}

/// Whether there is a `pyproject.toml` that names dependencies of a project.
fn has_dependencies(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("pyproject.toml")).unwrap_or_default();
    text.parse::<toml::Table>()
        .ok()
        .and_then(|table| table.get("project")?.get("dependencies")?.as_array().cloned())
        .is_some_and(|dependencies| !dependencies.is_empty())
}
