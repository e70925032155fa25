//! What rustc does not check: which way arrows point, which file knows which crate, how long files get, what may not
//! stand in the repository at all.
//!
//! Modules are grouped in `src/lib.rs`, lowest group first, one blank line between groups. A module may use modules of
//! earlier groups only. Limits: the arrows are read from `crate::x` and `crate::{x, …}`, so one that is smuggled
//! through `pub use` or a macro is not seen; keep re-exports within a folder.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and this one knows its machine")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[test]
fn arrows_point_down() {
    let rank = groups(&std::fs::read_to_string(src().join("lib.rs")).unwrap());
    let mut upward = Vec::new();
    for (path, text) in sources() {
        let owner = path.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(&from) = rank.get(owner) else { continue }; // main.rs, lib.rs
        for used in modules_used(&text) {
            match rank.get(used.as_str()) {
                Some(&to) if used != owner && to >= from => {
                    upward.push(format!("src/{path}: {owner} (group {from}) uses {used} (group {to})"));
                }
                _ => {}
            }
        }
    }
    assert!(upward.is_empty(), "these arrows point up or sideways:\n{}", upward.join("\n"));
}

#[test]
fn every_module_has_a_group() {
    let rank = groups(&std::fs::read_to_string(src().join("lib.rs")).unwrap());
    let lost: Vec<_> = sources()
        .into_iter()
        .map(|(path, _)| path.split('/').next().unwrap().trim_end_matches(".rs").to_owned())
        .filter(|owner| owner != "main" && owner != "lib" && !rank.contains_key(owner))
        .collect();
    assert!(lost.is_empty(), "not a module of src/lib.rs: {lost:?}");
}

/// An outside crate that only these files may name.
const HOMES: &[(&str, &[&str])] = &[
    ("base64", &["cache/", "cli/commands/plot/", "tracking/client.rs"]),
    ("futures_core", &["cache/object.rs"]),
    ("http_body", &["cache/object.rs"]),
    ("object_store", &["cache/"]),
    ("ureq", &["cache/", "target/ray/", "tracking/client.rs"]),
    ("zstd", &["cache/"]),
    ("annotate_snippets", &["console/diagnostics.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("csv", &["datafile/"]),
    ("duct", &["environment/", "target/"]),
    ("git2", &["vcs/"]),
    ("granit_parser", &["yaml/"]),
    ("globset", &["tree/", "plan/", "environment/docker/"]),
    ("ignore", &["tree/"]),
    ("indicatif", &["console/progress.rs"]),
    ("rusqlite", &["history/"]),
    ("signal_hook", &["cli/", "engine/interrupt.rs"]),
];

#[test]
fn crates_stay_home() {
    let mut strays = Vec::new();
    for (path, text) in sources() {
        let code = without_comments(&text);
        for (name, homes) in HOMES {
            if names(&code, name) && !homes.iter().any(|home| path.starts_with(home)) {
                strays.push(format!("src/{path} names {name}, at home in {}", homes.join(", ")));
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn unsafe_lives_in_one_file() {
    let strays: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| path != "sys.rs" && without_comments(text).contains("unsafe "))
        .map(|(path, _)| path)
        .collect();
    assert!(strays.is_empty(), "unsafe is at home in src/sys.rs alone, not in {strays:?}");
}

#[test]
fn files_stay_short() {
    const LIMIT: usize = 400;
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > LIMIT)
        .collect();
    assert!(long.is_empty(), "over {LIMIT} lines; which noun is hiding in there? {long:#?}");
}

/// What a clone on another machine must never meet: the index addresses of one machine, and its folders (those of the
/// machine that runs this test are added).
const NEVER: &[(&str, &str)] = &[
    ("index.crates.io", "a Cargo registry; cargo knows its own"),
    ("registry+http", "a registry other than crates.io"),
    ("pypi.org/simple", "an index address; pip and uv know their own"),
    ("files.pythonhosted.org", "an index address"),
    ("BEGIN OPENSSH PRIVATE KEY", "a credential"),
];

#[test]
fn nothing_of_one_machine_is_tracked() {
    let ours = "registry+https://github.com/rust-lang/crates.io-index"; // the name of crates.io in Cargo.lock
    let home = std::env::var("HOME").unwrap_or_default();
    let folders = [format!("{}/", env!("CARGO_MANIFEST_DIR")), format!("{home}/")];
    let folders =
        folders.iter().filter(|folder| folder.len() > 3).map(|folder| (folder.as_str(), "a folder of this machine"));
    let never: Vec<(&str, &str)> = NEVER.iter().copied().chain(folders).collect();
    let mut found = Vec::new();
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue }; // binary, or gone
        if path == "tests/architecture.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.replace(ours, "");
            for (word, why) in &never {
                if line.contains(*word) {
                    found.push(format!("{path}:{}: {word}: {why}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_case_says_what_must_hold() {
    let silent: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.starts_with("tests/cases/") && path.ends_with("/case.md") && root().join(path).exists())
        .filter(|path| {
            let text = std::fs::read_to_string(root().join(path)).unwrap();
            let first = text.split("\n\n").next().unwrap_or_default();
            first.starts_with("```") || !first.trim_end().ends_with('.') || !text.contains("```console")
        })
        .collect();
    assert!(silent.is_empty(), "no sentence, or no console block: {silent:#?}");
}

#[test]
fn cases_bring_no_ignore_rules() {
    let mut rules = tracked();
    rules
        .retain(|path| path.starts_with("tests/cases/") && path.ends_with("/.gitignore") && root().join(path).exists());
    assert!(rules.is_empty(), "these keep files of their case out of a clone; rename them in the case: {rules:?}");
}

/// Module name to the number of its group.
fn groups(lib: &str) -> BTreeMap<String, usize> {
    let mut rank = BTreeMap::new();
    let mut group = 0;
    for line in lib.lines() {
        let line = line.trim();
        if line.is_empty() {
            group += 1;
        } else if let Some(name) = line.trim_start_matches("pub ").strip_prefix("mod ") {
            rank.insert(name.trim_end_matches(';').to_owned(), group);
        }
    }
    rank
}

/// Every `x` of `crate::x` and `crate::{x, y::z}`, comments and doc links left out.
fn modules_used(text: &str) -> Vec<String> {
    let code = without_comments(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code.get(at + "crate::".len()..).unwrap();
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(heads(list));
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

/// The first name of each element of `x, y::{a, b}, z}`.
fn heads(list: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut depth = 0;
    let mut head = true;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                head = true;
            }
            ':' if depth == 0 => head = false,
            c if depth == 0 && head && (c.is_alphanumeric() || c == '_') => found.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    found
}

/// Whether a crate is named: `name::`, `use name;`, `use name as`, not as the end of another word or path.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap().chars().next_back();
        let after = code.get(at + name.len()..).unwrap();
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.');
        let used = code.get(..at).unwrap().trim_end_matches(':').ends_with("use ");
        whole && (after.starts_with("::") || used && (after.starts_with(';') || after.starts_with(" as ")))
    })
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> PathBuf {
    root().join("src")
}

/// Every Rust file of `src/`: its path below it, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    rust_files(&src(), &mut found);
    found
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            (file.strip_prefix(src()).unwrap().display().to_string(), text)
        })
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

/// The files that git would commit: tracked ones and new ones that are not ignored. Without git (an unpacked archive):
/// every file outside `target/` and dot folders.
fn tracked() -> Vec<String> {
    if let Ok(repository) = git2::Repository::open(root()) {
        let index = repository.index().unwrap();
        let in_index = index.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
        let mut options = git2::StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true);
        let status = repository.statuses(Some(&mut options)).unwrap();
        let new = status.iter().filter(|s| s.status().is_wt_new()).filter_map(|s| s.path().ok().map(str::to_owned));
        return in_index.chain(new).collect();
    }
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name != "target" && !name.starts_with('.') => folders.push(path),
                true => {}
                false => found.push(path.strip_prefix(root()).unwrap().display().to_string()),
            }
        }
    }
    found
}
