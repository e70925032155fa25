//! The store against `tar` and `cp`: a source tree stored, outputs restored. `cargo bench --bench store [-- FILES]`.
//!
//! The commands of one comparison run in interleaved rounds, and the best of each counts, so that a slow minute of the
//! machine hits all of them. On a machine that does other things, believe the processor seconds.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time and runs the programs it compares with")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use amlrun::digest::Digest;
use amlrun::store::capture::capture;
use amlrun::store::disk::DiskStore;
use amlrun::store::restore::write_tree;
use amlrun::store::{Store, snapshot};
use amlrun::tree::{Ground, SourceSpec, Watch};

const ROUNDS: usize = 5;
const LARGE: usize = 1 << 30;

type Anything = Box<dyn std::error::Error>;
/// What it is called, and what it does in the folder that it may make.
type Row<'r> = (&'r str, &'r mut dyn FnMut(&Path) -> Result<(), Anything>);

fn main() -> Result<(), Anything> {
    let files = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let place = tempfile::tempdir()?;
    let place = place.path();
    put_tiny(place)?;

    let tree = place.join("tree");
    make_tree(&tree, files)?;
    let bytes = run(Command::new("du").arg("-sb").arg(&tree))?;
    say(&format!("\ntree of {files} files, {} bytes, stored", bytes.split_whitespace().next().unwrap_or("?")));
    store_tree(place, &tree)?;

    say("\nrestored");
    let small = place.join("small");
    make_tree(&small, 10_000)?;
    restore(place, &small, "10,000 files")?;
    restore(place, &tree, &format!("{files} files"))?;
    let large = place.join("large");
    make_large(&large)?;
    restore(place, &large, "1 GiB")
}

fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn run(command: &mut Command) -> Result<String, Anything> {
    let done = command.stderr(Stdio::inherit()).output()?;
    if !done.status.success() {
        return Err(format!("{command:?} failed: {}", done.status).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Processor seconds of this process and the children it waited for, in ticks of 10 ms.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(4).filter_map(|n| n.parse::<u32>().ok());
    f64::from(ticks.sum::<u32>()) / 100.0
}

/// Best times of some things done in turn, and the processor seconds of all rounds. What each makes stays until the end:
/// ext4 is slow to give out again the inodes of files that were just removed.
fn compare(place: &Path, rows: &mut [Row<'_>]) -> Result<(), Anything> {
    let made = place.join("made");
    fs::create_dir(&made)?;
    let mut figures = vec![(f64::MAX, 0.0); rows.len()];
    for round in 0..ROUNDS {
        for (i, (row, (best, used))) in rows.iter_mut().zip(&mut figures).enumerate() {
            let (start, before) = (Instant::now(), processor());
            (row.1)(&made.join(format!("{round}-{i}")))?;
            *best = start.elapsed().as_secs_f64().min(*best);
            *used += processor() - before;
        }
    }
    let (least, first) = figures.first().copied().unwrap_or((1.0, 1.0));
    for ((name, _), (best, used)) in rows.iter().zip(&figures) {
        let (x, cpu) = (best / least, used / first.max(0.01));
        say(&format!("  {name:<34} {:>8.1} ms  {x:>5.2} x   CPU {used:>6.2} s {cpu:>5.2} x", best * 1e3));
    }
    fs::remove_dir_all(&made)?;
    Ok(())
}

fn put_tiny(place: &Path) -> Result<(), Anything> {
    say("10,000 objects of 20 bytes");
    let objects: Vec<String> = (0..10_000).map(|i| format!("object number {i:06}")).collect();
    let mut hash = |_: &Path| {
        std::hint::black_box(objects.iter().map(|object| Digest::of(object.as_bytes())).max());
        Ok(())
    };
    let mut put = |to: &Path| {
        let store = DiskStore::open(to);
        objects.iter().try_for_each(|object| store.put(object.as_bytes()).map(drop))?;
        drop(store);
        Ok(())
    };
    let mut flushed = |to: &Path| {
        let store = DiskStore::open(to);
        objects.iter().try_for_each(|object| store.put(object.as_bytes()).map(drop))?;
        Ok(store.flush()?)
    };
    let full = place.join("full");
    put(&full)?;
    let mut again = |_: &Path| {
        let store = DiskStore::open(&full);
        Ok(objects.iter().try_for_each(|object| store.put(object.as_bytes()).map(drop))?)
    };
    let mut get = |_: &Path| {
        let store = DiskStore::open(&full);
        for object in &objects {
            if store.get(&Digest::of(object.as_bytes()))?.is_none() {
                return Err("lost".into());
            }
        }
        Ok(())
    };
    compare(
        place,
        &mut [
            ("hash", &mut hash),
            ("put", &mut put),
            ("put and flush", &mut flushed),
            ("put again", &mut again),
            ("get", &mut get),
        ],
    )
}

/// Watches nothing.
struct Nobody;

impl Watch for Nobody {
    fn saw(&self, _files: u64, _bytes: u64) {}
}

fn store_tree(place: &Path, tree: &Path) -> Result<(), Anything> {
    let mut tar = |to: &Path| run(Command::new("tar").arg("cf").arg(to).arg("-C").arg(tree).arg(".")).map(drop);
    let mut captured = |to: &Path| {
        let store = DiskStore::open(to);
        let found = capture(&store, tree, &|| false)?.ok_or("nothing there")?;
        drop(store);
        std::hint::black_box(found);
        Ok(())
    };
    let mut flushed = |to: &Path| {
        let store = DiskStore::open(to);
        capture(&store, tree, &|| false)?;
        Ok(store.flush()?)
    };
    let mut sources = |to: &Path| {
        let ground = Ground::open(tree, &to.with_extension("state"));
        let store = DiskStore::open(to);
        snapshot::keep_sources(&store, &ground, &SourceSpec::default(), &Nobody)?;
        Ok(())
    };
    let full = place.join("stored");
    captured(&full)?;
    let whole = capture(&DiskStore::open(&full), tree, &|| false)?.ok_or("nothing there")?.content;
    let mut again = |_: &Path| {
        capture(&DiskStore::open(&full), tree, &|| false)?;
        Ok(())
    };
    let mut present = |_: &Path| {
        if snapshot::present(&DiskStore::open(&full), &whole) { Ok(()) } else { Err("lost".into()) }
    };
    let mut one = |_: &Path| {
        std::hint::black_box(DiskStore::open(&full).has(&whole.digest));
        Ok(())
    };
    compare(
        place,
        &mut [
            ("tar cf", &mut tar),
            ("keep_sources, nothing known", &mut sources),
            ("capture", &mut captured),
            ("capture and flush", &mut flushed),
            ("capture, all there already", &mut again),
            ("present", &mut present),
            ("open, and has of one", &mut one),
        ],
    )
}

fn restore(place: &Path, what: &Path, name: &str) -> Result<(), Anything> {
    let folder = place.join("store");
    let store = DiskStore::open(&folder);
    let content = capture(&store, what, &|| false)?.ok_or("nothing there")?.content;
    store.flush()?;
    drop(store);
    let write = |to: &Path, link: bool| {
        let whole = write_tree(&DiskStore::open(&folder), &content, to, link)?;
        if whole { Ok(()) } else { Err(Anything::from("lost")) }
    };
    say(&format!(" {name}"));
    compare(
        place,
        &mut [
            ("cp -r", &mut |to| run(Command::new("cp").arg("-r").arg(what).arg(to)).map(drop)),
            ("write_tree", &mut |to| write(to, false)),
            ("cp -rl", &mut |to| run(Command::new("cp").arg("-rl").arg(what).arg(to)).map(drop)),
            ("write_tree, linked", &mut |to| write(to, true)),
        ],
    )?;
    write(&place.join("check"), false)?;
    run(Command::new("diff").arg("-r").arg(what).arg(place.join("check")))?;
    let made = place.join("check");
    if made.is_dir() {
        fs::remove_dir_all(&made)?;
    } else {
        fs::remove_file(&made)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Numbers that look random and are the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(n).collect()
    }
}

/// A source tree: 100 files a folder, folders in folders; 6.5 KB a file on average, most of them less.
fn make_tree(at: &Path, files: usize) -> Result<(), Anything> {
    let mut noise = Noise(88_172_645_463_325_252 + files as u64);
    for i in 0..files {
        let folder = at.join(format!("{:03}", i / 10_000)).join(format!("{:02}", i / 100 % 100));
        if i % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        let size = match noise.next() % 10 {
            0..=5 => noise.next() % 4_000,
            6..=8 => noise.next() % 16_000,
            _ => noise.next() % 58_000,
        };
        let bytes = noise.bytes(usize::try_from(size)?);
        fs::File::create_new(folder.join(format!("file-{i}.txt")))?.write_all(&bytes)?;
    }
    Ok(())
}

fn make_large(at: &Path) -> Result<(), Anything> {
    let mut noise = Noise(7);
    let mut file = fs::File::create_new(at)?;
    for _ in 0..LARGE >> 20 {
        file.write_all(&noise.bytes(1 << 20))?;
    }
    Ok(())
}
