//! Symlinks in measured trees.

use super::*;
use crate::digest::Digest;

fn text(target: &str) -> Digest {
    Digest::of(target.as_bytes())
}

/// The entry of this path in the tree at `data`.
fn entry(field: &Field, path: &str) -> (Kind, Digest) {
    let (_, folders) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
    let path = rel(path);
    let folder = folders.iter().find(|folder| Some(&folder.path) == path.parent().as_ref()).unwrap();
    let name = path.as_path().file_name().unwrap().to_str().unwrap().as_bytes();
    let entry = folder.entries.iter().find(|entry| entry.name == name).unwrap();
    (entry.kind, entry.digest)
}

#[test]
fn a_link_within_the_tree_is_its_text() {
    let field = Field::new(&["data/a", "data/sub/b"]);
    field.link("data/here", "a");
    field.link("data/down", "sub/b");
    field.link("data/sub/up", "../a");
    field.link("data/folder", "sub");
    field.link("data/broken", "none");
    field.link("data/away", "../none");
    for (path, target) in [
        ("here", "a"),
        ("down", "sub/b"),
        ("sub/up", "../a"),
        ("folder", "sub"),
        ("broken", "none"),
        ("away", "../none"),
    ] {
        assert_eq!(entry(&field, path), (Kind::Link, text(target)), "{path}");
    }
}

#[test]
fn a_link_out_of_the_tree_counts_as_what_it_leads_to() {
    let field = Field::new(&["shared/f", "shared/sub/g", "data/own"]);
    field.link("data/file", "../shared/f");
    field.link("data/tree", "../shared");
    field.link("data/chain", "file");
    field.link("data/sub/back", "../../data/own");
    let absolute = field.at("data/own");
    field.link("data/absolute", &absolute);
    assert_eq!(entry(&field, "file"), (Kind::File, text("shared/f")));
    assert_eq!(entry(&field, "tree"), (Kind::Folder, field.content("shared").digest));
    assert_eq!(entry(&field, "tree/sub/g"), (Kind::File, text("shared/sub/g")));
    assert_eq!(entry(&field, "chain"), (Kind::File, text("shared/f")));
    assert_eq!(entry(&field, "sub/back"), (Kind::File, text("data/own")));
    assert_eq!(entry(&field, "absolute"), (Kind::File, text("data/own")));
    let before = field.content("data");
    field.write("shared/sub/g", "edited");
    assert_ne!(field.content("data"), before, "an edit behind a link is seen");
}

#[test]
fn a_link_at_the_top_is_followed() {
    let field = Field::new(&["real/a", "real/b/c"]);
    field.link("folder", "real");
    field.link("file", "folder/a");
    assert_eq!(field.content("folder"), field.content("real"));
    assert_eq!(field.content("file"), field.content("real/a"));
    let stamp = |path: &str| field.ground().stamp(Path::new(path)).unwrap();
    assert_eq!(stamp("file"), stamp("real/a"));
    assert_eq!(stamp("file"), Some(field.measure("file").unwrap().unwrap().stamp));
}

#[test]
fn loops_end() {
    let field = Field::new(&["data/sub/a", "other/b"]);
    field.link("data/self", "self");
    field.link("data/one", "two");
    field.link("data/two", "one");
    field.link("data/sub/up", "..");
    field.link("data/sub/above", "../..");
    field.link("data/sub/absolute", field.at("data"));
    field.link("data/other", "../other");
    field.link("other/back", "../data");
    field.link("other/deep", "../data/sub");
    let (measured, _) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
    assert!(measured.files > 0);
    assert_eq!(entry(&field, "self"), (Kind::Link, text("self")));
    assert_eq!(entry(&field, "sub/up"), (Kind::Link, text("..")));
    assert_eq!(entry(&field, "other/back").0, Kind::Link);
    assert_eq!(entry(&field, "other/deep/a"), (Kind::File, text("data/sub/a")));
    assert!(field.measure("data/self").is_err());
    assert_eq!(field.content("data"), field.content("data"));
}

#[test]
fn a_link_to_a_device_is_its_text() {
    let field = Field::new(&["data/a"]);
    field.link("data/null", "/dev/null");
    assert_eq!(entry(&field, "null"), (Kind::Link, text("/dev/null")));
}

#[test]
fn a_moved_project_keeps_its_content() {
    let (one, two) = (Field::new(&["data/a"]), Field::new(&["data/a"]));
    for field in [&one, &two] {
        field.link("data/absolute", field.at("data/a"));
        field.link("data/relative", "a");
    }
    assert_eq!(one.content("data"), two.content("data"));
}

#[test]
fn links_in_sources_stop_at_what_is_never_part_of_a_snapshot() {
    let field = Field::new(&["train/run.py", "shared/lib.py", "shared/out/model", "data/raw", "models/m.pkl"]);
    field.link("train/lib", "../shared");
    field.link("train/data", "../data/raw");
    field.link("train/latest", "../models/m.pkl");
    field.link("train/state", "../.amlrun");
    field.folder(".amlrun");
    let spec = SourceSpec { directory: rel("train"), without: vec![rel("data/raw")], ..SourceSpec::default() };
    let mut ground = field.ground();
    ground.exclude(&["models/*".to_owned(), "shared/out".to_owned()], &[]).unwrap();
    let listed = list(&ground, What::Sources(&spec));
    assert_eq!(listed, ["data@", "latest@", "lib/", "lib/lib.py", "run.py", "state@"]);
}
