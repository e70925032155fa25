//! The stat cache: what is trusted, and what never is.

use std::fs::FileTimes;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

use super::*;
use crate::content::Content;
use crate::digest::Digest;

/// Sets a file's modification time; the system sets the other one, ctime, to now.
fn set_mtime(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Waits, by the file system's own clock, until what was written is older than now.
fn let_the_clock_tick(field: &Field) {
    let probe = |path: &Path| {
        File::create(path).unwrap();
        let stamp = path.symlink_metadata().unwrap();
        (stamp.ctime(), stamp.ctime_nsec())
    };
    let path = field.at("tick");
    let first = probe(&path);
    while probe(&path) <= first || super::super::probe::now() <= first.0 * 1_000_000_000 + first.1 {
        std::thread::yield_now();
    }
    fs::remove_file(path).unwrap();
}

/// Measures `data` and saves: its content, and how many bytes were read for it.
fn pass(field: &Field) -> (Content, u64) {
    let (ground, reads) = (field.ground(), Reads::default());
    let content = ground.measure(&["data".into()], &reads).pop().unwrap().unwrap().unwrap().content;
    ground.save().unwrap();
    (content, reads.bytes.into_inner())
}

/// A field that was measured, with all its files settled and known.
fn known(files: &[&str]) -> Field {
    let field = Field::new(files);
    let_the_clock_tick(&field);
    pass(&field);
    assert_eq!(pass(&field).1, 0, "all is known");
    field
}

fn cache(field: &Field) -> PathBuf {
    field.at(".amlrun/stat-v1")
}

fn identity(field: &Field) -> (u64, i64, i64) {
    let stat = cache(field).metadata().unwrap();
    (stat.ino(), stat.mtime(), stat.mtime_nsec())
}

#[test]
fn what_is_known_is_not_read_and_writes_nothing() {
    let field = known(&["data/a", "data/b/c", "data/b/d"]);
    let (state, written) = (field.at(".amlrun").metadata().unwrap().mtime_nsec(), identity(&field));
    assert_eq!(pass(&field).1, 0);
    assert_eq!(identity(&field), written);
    assert_eq!(field.at(".amlrun").metadata().unwrap().mtime_nsec(), state);
}

#[test]
fn measuring_alone_writes_nothing() {
    let field = Field::new(&["data/a"]);
    field.content("data");
    assert!(!field.at(".amlrun").exists());
}

#[test]
fn an_edit_is_read_and_nothing_else() {
    let field = known(&["data/a", "data/b/c", "data/b/d"]);
    field.write("data/b/c", "edited");
    let (content, bytes) = pass(&field);
    assert_eq!(bytes, 6);
    assert_eq!(content, Field::content(&field, "data"));
}

#[test]
fn an_edit_of_the_same_size_with_its_mtime_restored_is_seen() {
    let field = known(&["data/a"]);
    let before = field.content("data");
    let (path, stat) = (field.at("data/a"), field.at("data/a").metadata().unwrap());
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"DATA", 0).unwrap();
    set_mtime(&path, stat.modified().unwrap());
    let now = path.metadata().unwrap();
    assert_eq!((now.mtime_nsec(), now.ino(), now.size()), (stat.mtime_nsec(), stat.ino(), stat.size()));
    assert_ne!(pass(&field).0, before);
}

#[test]
fn an_older_mtime_is_another_mtime() {
    let field = known(&["data/a"]);
    let before = field.content("data");
    field.write("old", "from t");
    set_mtime(&field.at("old"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
    fs::rename(field.at("old"), field.at("data/a")).unwrap();
    assert_ne!(pass(&field).0, before);
}

#[test]
fn swapped_files_are_seen() {
    let field = known(&["data/one", "data/two"]);
    let before = field.content("data");
    fs::rename(field.at("data/one"), field.at("x")).unwrap();
    fs::rename(field.at("data/two"), field.at("data/one")).unwrap();
    fs::rename(field.at("x"), field.at("data/two")).unwrap();
    assert_ne!(pass(&field).0, before);
}

#[test]
fn a_stamp_of_this_very_tick_proves_nothing() {
    // Edits in quick succession, each measured and saved at once, with stamps that may well be the same.
    let field = Field::new(&["data/a"]);
    let file = File::options().write(true).open(field.at("data/a")).unwrap();
    for n in 0..2000u32 {
        let text = format!("{n:06}");
        file.write_all_at(text.as_bytes(), 0).unwrap();
        let ground = field.ground();
        let found = ground.measure(&["data/a".into()], &Reads::default()).pop().unwrap().unwrap().unwrap();
        assert_eq!(found.content.digest, Digest::of(text.as_bytes()), "edit {n}");
        ground.save().unwrap();
    }
}

#[test]
fn a_time_in_the_future_is_never_trusted_and_told_once() {
    let field = known(&["data/a", "data/b"]);
    set_mtime(&field.at("data/a"), SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000));
    let before = field.content("data");
    for _ in 0..3 {
        let ground = field.ground();
        let reads = Reads::default();
        for _ in 0..2 {
            let found = ground.measure(&["data".into()], &reads).pop().unwrap().unwrap().unwrap();
            assert_eq!(found.content, before);
        }
        ground.save().unwrap();
        assert_eq!(reads.bytes.into_inner(), 12, "read each time");
        let notes = ground.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("`data/a` lies in the future"), "{notes:?}");
    }
}

#[test]
fn a_new_stamp_of_the_same_content_is_kept() {
    let field = known(&["data/a", "data/b"]);
    let before = field.content("data");
    fs::hard_link(field.at("data/a"), field.at("link")).unwrap();
    let_the_clock_tick(&field);
    assert_eq!(pass(&field), (before, 6), "another ctime: read again");
    assert_eq!(pass(&field), (before, 0), "and known again");
}

#[test]
fn a_new_exec_bit_is_seen() {
    let field = known(&["data/a"]);
    let before = field.content("data");
    field.mode("data/a", 0o755);
    assert_ne!(pass(&field).0, before);
}

#[test]
fn a_moved_workspace_keeps_its_cache() {
    let field = Field::new(&["ws/data/a"]);
    let_the_clock_tick(&field);
    let ground = |at: &str| Ground::open(&field.at(at), &field.at(at).join(".amlrun"));
    let one = ground("ws");
    one.measure(&["data".into()], &Reads::default());
    one.save().unwrap();
    fs::rename(field.at("ws"), field.at("moved")).unwrap();
    let reads = Reads::default();
    ground("moved").measure(&["data".into()], &reads).pop().unwrap().unwrap().unwrap();
    assert_eq!(reads.bytes.into_inner(), 0);
}

#[test]
fn other_folders_stay_known_and_gone_files_do_not() {
    let field = known(&["data/a", "data/sub/b", "other/c"]);
    let ground = field.ground();
    ground.measure(&["other".into()], &Reads::default());
    ground.save().unwrap();
    let reads = Reads::default();
    field.ground().measure(&["data".into(), "other".into()], &reads);
    assert_eq!(reads.bytes.into_inner(), 0);
    let before = cache(&field).metadata().unwrap().len();
    fs::remove_file(field.at("data/a")).unwrap();
    pass(&field);
    assert!(cache(&field).metadata().unwrap().len() < before);
    // A single file that is gone is forgotten as well.
    fs::remove_file(field.at("other/c")).unwrap();
    let ground = field.ground();
    assert_eq!(ground.measure(&["other/c".into()], &Reads::default()).pop().unwrap().unwrap(), None);
    ground.save().unwrap();
    assert!(!fs::read(cache(&field)).unwrap().windows(5).any(|w| w == b"other"));
}

#[test]
fn folders_that_are_gone_are_dropped_in_time() {
    let field = known(&["data/a", "gone/b"]);
    let ground = field.ground();
    ground.measure(&["gone".into()], &Reads::default());
    ground.save().unwrap();
    fs::remove_dir_all(field.at("gone")).unwrap();
    for n in 0..20 {
        field.write("data/a", &n.to_string());
        let_the_clock_tick(&field);
        pass(&field);
    }
    assert!(!fs::read(cache(&field)).unwrap().windows(4).any(|w| w == b"gone"));
}

#[test]
fn single_files_and_walks_share_what_is_known() {
    let field = known(&["data/a", "data/b"]);
    let reads = Reads::default();
    let ground = field.ground();
    assert!(ground.measure(&["data/a".into(), "data/b".into()], &reads).iter().all(Result::is_ok));
    assert_eq!(reads.bytes.into_inner(), 0);
    field.write("data/c", "new");
    let_the_clock_tick(&field);
    ground.measure(&["data/c".into()], &Reads::default());
    let reads = Reads::default();
    ground.measure(&["data".into()], &reads);
    assert_eq!(reads.bytes.into_inner(), 0, "learnt in this process");
    ground.save().unwrap();
    assert_eq!(pass(&field).1, 0, "and kept");
}

#[test]
fn narrowed_sources_forget_nothing_of_a_folder() {
    let field = known(&["data/a", "data/b"]);
    let ground = field.ground();
    field.write("data/b", "edited");
    let_the_clock_tick(&field);
    let spec = SourceSpec { directory: rel("data"), globs: Some(vec!["b".to_owned()]), ..SourceSpec::default() };
    ground.measure_sources(&[spec], &Reads::default()).pop().unwrap().unwrap();
    ground.save().unwrap();
    assert_eq!(pass(&field).1, 0);
}

#[test]
fn the_state_folder_is_not_cached() {
    let field = known(&["data/a", ".amlrun/runs/1/out"]);
    let ground = field.ground();
    ground.measure(&[".amlrun/runs/1".into(), ".amlrun/runs/1/out".into()], &Reads::default());
    let before = identity(&field);
    ground.save().unwrap();
    assert_eq!(identity(&field), before);
}

#[test]
fn a_damaged_cache_is_no_cache() {
    let field = known(&["data/a", "data/sub/b", "data/sub/c"]);
    let (whole, content) = (fs::read(cache(&field)).unwrap(), field.content("data"));
    let damage = |bytes: &[u8]| {
        File::create(cache(&field)).unwrap().write_all(bytes).unwrap();
        assert_eq!(field.content("data"), content);
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        damage(&bytes);
    }
    (0..whole.len()).step_by(7).for_each(|end| damage(&whole[..end]));
    damage(b"amlrun stat 9\n\0\0 of another version");
    damage(&[whole.as_slice(), b"more"].concat());
    pass(&field);
    assert_eq!(pass(&field), (content, 0), "written anew");
}

#[test]
fn two_invocations_keep_each_others_rows() {
    let field = Field::new(&["data/a", "other/b"]);
    let_the_clock_tick(&field);
    let (one, two) = (field.ground(), field.ground());
    one.measure(&["data".into()], &Reads::default());
    two.measure(&["other".into()], &Reads::default());
    one.save().unwrap();
    two.save().unwrap();
    let reads = Reads::default();
    field.ground().measure(&["data".into(), "other".into()], &reads);
    assert_eq!(reads.bytes.into_inner(), 0);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told() {
    let field = Field::new(&["data/a", ".amlrun"]);
    let_the_clock_tick(&field);
    let ground = field.ground();
    ground.measure(&["data".into()], &Reads::default());
    let error = ground.save().unwrap_err();
    assert_eq!(error.path, field.at(".amlrun"), "{error}");
}
