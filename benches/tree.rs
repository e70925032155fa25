//! What measuring a tree costs, in microseconds a file: `cargo bench --bench tree [-- FILES…]`.
//!
//! Passes: the first one (every byte is read and the stat cache written), one with nothing changed, one after one edit, and
//! single files asked for by their paths. Compare with a walk that only looks at each file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use amlrun::clock::{Clock, SystemClock};
use amlrun::tree::{Ground, Watch};

struct Nobody;

impl Watch for Nobody {
    fn saw(&self, _files: u64, _bytes: u64) {}
}

fn main() -> io::Result<()> {
    let asked: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1_000, 10_000, 100_000] } else { asked };
    let mut out = io::stdout().lock();
    writeln!(out, "{:>8} {:>12} {:>12} {:>12} {:>12}  µs a file", "files", "first", "no-op", "one edit", "singles")?;
    for files in sizes {
        let folder = tempfile::tempdir()?;
        let paths = generate(folder.path(), files)?;
        let data = [PathBuf::from("data")];
        let first = timed(|| pass(folder.path(), &data));
        // The files are as new as the cache: only from the second pass on all of them are known.
        pass(folder.path(), &data);
        let nothing = timed(|| pass(folder.path(), &data));
        File::create(folder.path().join(&paths[0]))?.write_all(b"edited")?;
        let edit = timed(|| pass(folder.path(), &data));
        let singles = timed(|| pass(folder.path(), &paths));
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(files);
        writeln!(
            out,
            "{files:>8} {:>12.2} {:>12.2} {:>12.2} {:>12.2}",
            each(first),
            each(nothing),
            each(edit),
            each(singles)
        )?;
    }
    Ok(())
}

/// A tree of 20 files a folder, of 4 KiB each.
fn generate(root: &Path, files: u32) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for n in 0..files {
        let leaf = n / 20;
        let folder = PathBuf::from(format!("data/p{}/q{}/r{}", leaf % 8, leaf / 8 % 10, leaf / 80));
        std::fs::create_dir_all(root.join(&folder))?;
        let path = folder.join(format!("file_{n}.py"));
        File::create(root.join(&path))?.write_all(format!("{n:04096}").as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// One invocation's measuring.
fn pass(root: &Path, paths: &[PathBuf]) {
    let ground = Ground::open(root, &root.join(".amlrun"));
    assert!(ground.measure(paths, &Nobody).iter().all(|answer| matches!(answer, Ok(Some(_)))));
    assert!(ground.save().is_ok());
}

fn timed(work: impl FnOnce()) -> Duration {
    let clock = SystemClock::new();
    let start = clock.elapsed();
    work();
    clock.elapsed().saturating_sub(start)
}
