//! One flipped bit, wherever it can be flipped in what a small project keeps: every byte of the packs and their indexes, the
//! large object and the database all over. Never is an output wrong: it is restored, made again, or there is a clear error.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const AMLFILE: &str = r#"format = 1

[experiments.small]
sources = ["code.txt"]
outputs = ["out/small.txt", "out/folder"]
command = "mkdir -p out/folder; cat code.txt > out/small.txt; echo a > out/folder/a; echo b > out/folder/b; ln -s a out/folder/link"

[experiments.large]
sources = []
inputs = ["out/small.txt"]
outputs = ["out/large.bin"]
command = "head -c 1100000 /dev/zero | tr '\\0' x > out/large.bin"
"#;
/// So many places of a file are flipped at most; of a smaller one, every byte.
const MOST: usize = 500;
/// Of the large object and the database.
const SOME: usize = 120;

#[test]
fn no_flipped_bit_makes_a_wrong_output() {
    let place = tempfile::Builder::new().prefix("amlrun-flips-").tempdir().unwrap();
    let template = place.path().join("template");
    fs::create_dir(&template).unwrap();
    fs::write(template.join("Amlfile"), AMLFILE).unwrap();
    fs::write(template.join("code.txt"), "the code\n").unwrap();
    let (ok, said) = amlrun(&template);
    assert!(ok, "{said}");
    fs::remove_dir_all(template.join("out")).unwrap();
    let mut flips: Vec<(PathBuf, usize)> = Vec::new();
    let objects = Path::new(".amlrun/objects-v1");
    for file in files(&template.join(objects)).into_iter().chain([template.join(".amlrun/history.db")]) {
        let length = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        let most = if length > 16 << 10 { SOME } else { MOST };
        // A step that is odd comes upon every place in a page in time.
        let step = if length <= most { 1 } else { (length / most) | 1 };
        let path = file.strip_prefix(&template).unwrap().to_owned();
        flips.extend((0..length).step_by(step).map(|at| (path.clone(), at)));
    }
    assert!(flips.len() > 500, "{}", flips.len());
    let next = AtomicUsize::new(0);
    let (restored, again, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for hand in 0..2 {
            let project = place.path().join(format!("project-{hand}"));
            let (next, flips, template) = (&next, &flips, &template);
            let (restored, again, refused) = (&restored, &again, &refused);
            scope.spawn(move || {
                while let Some((path, at)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    drop(fs::remove_dir_all(&project));
                    copy(template, &project);
                    flip(&project.join(path), *at);
                    let (ok, said) = amlrun(&project);
                    let right = is_right(&project, ok);
                    assert!(right, "byte {at} of {}: a wrong output\n{said}", path.display());
                    let count = match ok {
                        true if said.contains(" ran") => again,
                        true => restored,
                        false => refused,
                    };
                    assert!(ok || said.contains("error"), "byte {at} of {}: no word why\n{said}", path.display());
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{} flips: {} restored all the same, {} ran again, {} refused with an error",
        flips.len(),
        restored.into_inner(),
        again.into_inner(),
        refused.into_inner()
    );
}

fn amlrun(project: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    command.current_dir(project).env_clear().stdin(Stdio::null()).env("HOME", project);
    let done = command.env("PATH", "/usr/local/bin:/usr/bin:/bin").output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Whether what is there is right, and all is there if it is to be.
fn is_right(project: &Path, whole: bool) -> bool {
    let large = "x".repeat(1_100_000);
    let wanted = [("small.txt", "the code\n"), ("folder/a", "a\n"), ("folder/b", "b\n"), ("large.bin", &large)];
    wanted.iter().all(|(path, text)| match fs::read(project.join("out").join(path)) {
        Ok(found) => found == text.as_bytes(),
        Err(_) => !whole,
    }) && (!whole || fs::read_link(project.join("out/folder/link")).is_ok_and(|to| to == Path::new("a")))
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1 << (at % 8);
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
