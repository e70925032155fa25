//! A graph of plain commands over plain files that was found up to date, remembered by the stamps of all its files: if the
//! Amlfile and the request are the same to the byte and no file moved, it is up to date still, and need not be parsed,
//! planned and judged to know it. With 10,000 jobs that is most of the time that a look takes.
//!
//! Called by `cli/commands/run.rs` around `drive`. It may only ever say "as it was when every job was judged fresh"; what it
//! cannot vouch for is judged: jobs with sources, environments, folders or `${env.…}`, files younger than the judgement
//! (equal stamps prove nothing then), network file systems, a run that had something to tell. The file is a cache: damage
//! and other formats count as nothing known.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::measuring::ground_path;
use crate::clock::Timestamp;
use crate::content::Kind;
use crate::digest::{Digest, Digester};
use crate::plan::job::{Command, Plan};
use crate::plan::request::Request;
use crate::project::model::{EnvironmentKind, InputPath, Project};
use crate::tree::{Measured, Stamp};

/// Begins the file; another version is another file.
const MAGIC: &[u8] = b"amlrun settled 1\n";
/// A file must be older than the judgement by this: more than the grain of any clock that stamps files (4 to 10 ms on
/// Linux).
const OLDER_NS: i128 = 100_000_000;
/// So many files are looked at by one thread before another is worth its start.
const SHARE: usize = 2000;

/// What must be the same: the program, the Amlfile, the request.
#[must_use]
pub fn key(amlfile: &Path, text: &str, request: &Request) -> Digest {
    let mut d = Digester::new("amlrun settled");
    d.field("version", env!("CARGO_PKG_VERSION")).bytes(amlfile.as_os_str().as_bytes()).field("text", text);
    d.count(request.goals.len());
    for goal in &request.goals {
        d.bytes(goal.as_bytes());
    }
    d.count(request.set.len());
    for (name, value) in &request.set {
        d.field(name, value);
    }
    d.field("target", request.target.as_deref().unwrap_or(""));
    d.finish()
}

/// Whether a text may be judged by stamps at all.
#[must_use]
pub fn may_apply(text: &str) -> bool {
    !text.contains("${env.")
}

/// How many jobs were fresh when all of this was as it is now; none where that is not known.
#[must_use]
pub fn look(state: &Path, root: &Path, key: &Digest) -> Option<usize> {
    let bytes = fs::read(state.join("settled-v1")).ok()?;
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    let rest = body.strip_prefix(MAGIC)?;
    let (head, rest) = rest.split_at_checked(40)?;
    if head.get(..32)? != key.as_bytes() || Digest::of(body).as_bytes() != check {
        return None;
    }
    let jobs = usize::try_from(u64::from_le_bytes(head.get(32..40)?.try_into().ok()?)).ok()?;
    let rows = rows(rest)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(rows.len() / SHARE + 1);
    let share = rows.len().div_ceil(threads).max(1);
    let same = |rows: &[(&Path, Stamp)]| rows.iter().all(|(path, stamp)| stamp_of(&root.join(path)) == Some(*stamp));
    let all = std::thread::scope(|scope| {
        let parts: Vec<_> = rows.chunks(share).map(|part| scope.spawn(move || same(part))).collect();
        parts.into_iter().all(|part| part.join().unwrap_or(false))
    });
    all.then_some(jobs)
}

/// Remembers a plan of which every job was judged fresh from what was `found`, if it is one that stamps can vouch for.
/// `judged` is the time before anything was measured.
///
/// # Errors
/// Where the state cannot be written.
pub fn remember(
    state: &Path,
    key: &Digest,
    work: super::Work<'_>,
    found: &[(InputPath, Option<Measured>)],
    judged: Timestamp,
) -> io::Result<()> {
    let newest = i128::from(judged.0) * 1_000_000 - OLDER_NS;
    let plain = |measured: &Measured| {
        matches!(measured.content.kind, Kind::File | Kind::Executable)
            && measured.stamp.mtime < newest
            && measured.stamp.ctime < newest
    };
    if !is_plain(work.plan, work.project) || !found.iter().all(|(_, found)| found.as_ref().is_some_and(plain)) {
        return Ok(());
    }
    // A history that was damaged or taken away is not to be overlooked.
    let history = state.join("history.db");
    let records = stamp_of(&history).filter(|stamp| stamp.mtime < newest && stamp.ctime < newest);
    let Some(records) = records else { return Ok(()) };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(&(work.plan.jobs.len() as u64).to_le_bytes());
    let files = found.iter().filter_map(|(path, found)| Some((ground_path(path), found.as_ref()?.stamp)));
    for (path, stamp) in files.chain([(history, records)]) {
        bytes.extend_from_slice(&u32::try_from(path.as_os_str().len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.extend_from_slice(&stamp.inode.to_le_bytes());
        bytes.extend_from_slice(&stamp.size.to_le_bytes());
        bytes.extend_from_slice(&stamp.mtime.to_le_bytes());
        bytes.extend_from_slice(&stamp.ctime.to_le_bytes());
        bytes.extend_from_slice(&stamp.mode.to_le_bytes());
    }
    let check = Digest::of(&bytes);
    bytes.extend_from_slice(check.as_bytes());
    let mut file = tempfile::NamedTempFile::new_in(state)?;
    file.write_all(&bytes)?;
    file.persist(state.join("settled-v1")).map(drop).map_err(|error| error.error)
}

/// Forgets it: called before anything runs, so that nothing stands on what is about to change.
pub fn forget(state: &Path) {
    let _ = fs::remove_file(state.join("settled-v1"));
}

fn is_plain(plan: &Plan, project: &Project) -> bool {
    plan.jobs.iter().all(|job| {
        let bare = EnvironmentKind::UserManaged { interpreter: None };
        matches!(job.command, Command::Shell(_))
            && job.source_directory.is_root()
            && job.sources.as_ref().is_some_and(Vec::is_empty)
            && project.environments.get(job.environment).is_some_and(|environment| environment.kind == bare)
    })
}

type Row<'r> = (&'r Path, Stamp);

fn rows(mut rest: &[u8]) -> Option<Vec<Row<'_>>> {
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(4)?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (path, tail) = tail.split_at_checked(length)?;
        let (stamp, tail) = tail.split_at_checked(52)?;
        let stamp = Stamp {
            inode: u64::from_le_bytes(stamp.get(..8)?.try_into().ok()?),
            size: u64::from_le_bytes(stamp.get(8..16)?.try_into().ok()?),
            mtime: i128::from_le_bytes(stamp.get(16..32)?.try_into().ok()?),
            ctime: i128::from_le_bytes(stamp.get(32..48)?.try_into().ok()?),
            mode: u32::from_le_bytes(stamp.get(48..52)?.try_into().ok()?),
        };
        rows.push((Path::new(std::ffi::OsStr::from_bytes(path)), stamp));
        rest = tail;
    }
    Some(rows)
}

/// The stamp of what a path leads to, as the ground takes it.
fn stamp_of(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Some(Stamp {
        inode: found.ino(),
        size: found.len(),
        mtime: nanoseconds(found.mtime(), found.mtime_nsec()),
        ctime: nanoseconds(found.ctime(), found.ctime_nsec()),
        mode: found.mode(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(folder: &Path, name: &str) -> (InputPath, Option<Measured>) {
        let stamp = stamp_of(&folder.join(name)).unwrap();
        let content = crate::content::Content { kind: Kind::File, digest: Digest::of(b""), size: stamp.size };
        let path = crate::relpath::RelPath::new(name).unwrap();
        (InputPath::Inside(path), Some(Measured { content, stamp, files: 1 }))
    }

    fn write(path: &Path, text: &str) {
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn it_vouches_until_anything_moves() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state) = (folder.path(), folder.path().join("state"));
        fs::create_dir(&state).unwrap();
        write(&state.join("history.db"), "");
        write(&root.join("a"), "1");
        let text = "format = 1\n[experiments.x]\ncommand = \"cp a b\"\nsources = []\ninputs = [\"a\"]\n";
        let source = crate::diagnostic::Source { name: "Amlfile".to_owned(), text: text.to_owned() };
        let (document, _) = crate::amlfile::parse(&source);
        let (project, _) = crate::project::resolve(&document, "x", &|_| crate::project::Found::File);
        let (plan, _) = crate::plan::build(&project, &Request::default(), root.to_owned());
        let work = super::super::Work::new(&plan, &project);
        let later = Timestamp(u64::MAX / 2_000_000);
        let one = key(&root.join("Amlfile"), text, &Request::default());
        let found = [stamped(root, "a")];
        remember(&state, &one, work, &found, Timestamp(0)).unwrap();
        assert_eq!(look(&state, root, &one), None, "what is younger than the judgement proves nothing");
        remember(&state, &one, work, &found, later).unwrap();
        assert_eq!(look(&state, root, &one), Some(1));
        let other = Request { goals: vec!["x".to_owned()], ..Request::default() };
        assert_eq!(look(&state, root, &key(&root.join("Amlfile"), text, &other)), None, "another request");
        let mut bytes = fs::read(state.join("settled-v1")).unwrap();
        bytes[60] ^= 1;
        write(&state.join("settled-v1"), &String::from_utf8_lossy(&bytes));
        assert_eq!(look(&state, root, &one), None, "damage counts as nothing known");
        remember(&state, &one, work, &found, later).unwrap();
        write(&root.join("a"), "2");
        assert_eq!(look(&state, root, &one), None, "a file moved");
        remember(&state, &one, work, &[stamped(root, "a")], later).unwrap();
        fs::remove_file(state.join("history.db")).unwrap();
        assert_eq!(look(&state, root, &one), None, "the records are gone");
    }

    #[test]
    fn a_text_that_reads_variables_is_always_judged() {
        assert!(may_apply("command = \"echo ${alpha}\"") && !may_apply("command = \"echo ${env.HOME}\""));
    }
}
