//! What is taken of source directories.

use super::*;

/// A spec of the workspace's folder.
fn spec(globs: Option<&[&str]>, script: Option<&str>) -> SourceSpec {
    let globs = globs.map(|globs| globs.iter().map(ToString::to_string).collect());
    SourceSpec { globs, script: script.map(str::to_owned), ..SourceSpec::default() }
}

#[test]
fn what_is_never_part_of_a_snapshot() {
    let field = Field::new(&[
        ".git/HEAD",
        ".amlrun/x",
        "Amlfile",
        "Amlfile.lock",
        "sub/Amlfile",
        "sub/.git",
        "other.toml",
        ".env",
        "a.py",
        "sub/b.py",
        "models/r-1.pkl",
        "models/note",
        "data/raw.csv",
        "data/x/y",
    ]);
    let mut ground = field.ground();
    ground.exclude(&["models/r-*.pkl".to_owned()], &[rel("other.toml")]).unwrap();
    let spec = SourceSpec { without: vec![rel("data")], ..SourceSpec::default() };
    assert_eq!(list(&ground, What::Sources(&spec)), [".env", "a.py", "models/", "models/note", "sub/", "sub/b.py"]);
    assert!(field.ground().exclude(&["a[".to_owned()], &[]).is_err());
}

#[test]
fn folders_without_a_file_do_not_count() {
    let field = Field::new(&["a.py", "models/m.pkl"]);
    let mut ground = field.ground();
    ground.exclude(&["models/m.pkl".to_owned()], &[]).unwrap();
    let measure = || ground.measure_sources(&[spec(None, None)], &Reads::default()).pop().unwrap().unwrap();
    let with = measure();
    fs::remove_dir_all(field.at("models")).unwrap();
    assert_eq!(measure().content, with.content, "an output's folder must not change the key");
    field.folder("empty/deep");
    assert_eq!(measure().content, with.content);
}

#[test]
fn gitignore_files_count_from_the_repository_down() {
    let field = Field::new(&[
        "repo/.git/HEAD",
        "repo/ws/train/a.csv",
        "repo/ws/train/keep.csv",
        "repo/ws/train/b.py",
        "repo/ws/train/x.tmp",
        "repo/ws/train/excluded",
        "repo/ws/train/build/out",
        "repo/ws/train/sub/c.csv",
        "repo/ws/train/sub/anchored",
        "repo/ws/train/anchored",
    ]);
    field.write(".gitignore", "*.py\n");
    field.write("repo/.gitignore", "*.csv\nbuild/\n");
    field.write("repo/ws/.gitignore", "!keep.csv\n/train/anchored\n");
    field.write("repo/.git/info/exclude", "excluded\n");
    field.write("repo/ws/train/sub/.gitignore", "!*.csv\n");
    field.write("repo/ws/train/.gitignore", "*.tmp\n");
    let ground = Ground::open(&field.at("repo/ws"), &field.at("repo/ws/.amlrun"));
    let spec = SourceSpec { directory: rel("train"), ..SourceSpec::default() };
    let want = [".gitignore", "b.py", "keep.csv", "sub/", "sub/.gitignore", "sub/anchored", "sub/c.csv"];
    assert_eq!(list(&ground, What::Sources(&spec)), want);
    // Without a repository, from the workspace down.
    fs::remove_dir_all(field.at("repo/.git")).unwrap();
    let want = [
        ".gitignore",
        "a.csv",
        "b.py",
        "build/",
        "build/out",
        "excluded",
        "keep.csv",
        "sub/",
        "sub/.gitignore",
        "sub/anchored",
        "sub/c.csv",
    ];
    assert_eq!(list(&ground, What::Sources(&spec)), want);
}

#[test]
fn a_worktree_has_the_excludes_of_its_repository() {
    let field = Field::new(&["main/.git/worktrees/w/HEAD", "w/a", "w/b"]);
    field.write("main/.git/info/exclude", "a\n");
    field.write("main/.git/worktrees/w/commondir", "../..\n");
    field.write("w/.git", &format!("gitdir: {}\n", field.at("main/.git/worktrees/w").display()));
    let ground = Ground::open(&field.at("w"), &field.at("w/.amlrun"));
    assert_eq!(list(&ground, What::Sources(&spec(None, None))), ["b"]);
}

#[test]
fn amlignore_replaces_gitignore() {
    let field = Field::new(&["a/keep.py", "a/other.py", "b.csv", "c.py", "sub/d.csv", "sub/e.tmp"]);
    field.write(".gitignore", "*.csv\n");
    field.write("sub/.gitignore", "*.tmp\n");
    field.write(".amlignore", "a/\n!a/keep.py\n.amlignore\n.gitignore\n");
    assert_eq!(field.sources(&spec(None, None)), ["a/keep.py", "b.csv", "c.py", "sub/d.csv", "sub/e.tmp"]);
    // Only the one at the root of the source directory.
    fs::rename(field.at(".amlignore"), field.at("sub/.amlignore")).unwrap();
    assert_eq!(
        field.sources(&spec(None, None)),
        [".gitignore", "a/keep.py", "a/other.py", "c.py", "sub/.amlignore", "sub/.gitignore"]
    );
}

#[test]
fn sources_narrow_and_win_over_ignore_rules_with_a_note() {
    let field = Field::new(&[
        "run.py",
        "lib/a.py",
        "lib/b.log",
        "lib/__pycache__/a.pyc",
        "data/x.csv",
        "data/y.csv",
        "other.py",
        "venv/c.py",
    ]);
    field.write(".gitignore", "# what is made\n*.log\ndata/\n__pycache__/\nvenv\nrun.py\n");
    let check = |globs: Option<&[&str]>, script: Option<&str>, want: &[&str], notes: &[&str]| {
        let ground = field.ground();
        let listed = list(&ground, What::Sources(&spec(globs, script)));
        let files: Vec<&String> = listed.iter().filter(|path| !path.ends_with('/')).collect();
        assert_eq!(files, want, "{globs:?} {script:?}");
        assert_eq!(ground.notes(), notes, "{globs:?} {script:?}");
    };
    check(None, None, &[".gitignore", "lib/a.py", "other.py"], &[]);
    let script = "`run.py` is ignored by .gitignore:6 but declared: taken";
    check(Some(&[]), Some("run.py"), &["run.py"], &[script]);
    check(Some(&["other.py"]), Some("run.py"), &["other.py", "run.py"], &[script]);
    check(
        Some(&["lib/**"]),
        None,
        &["lib/a.py", "lib/b.log"],
        &["`lib/b.log` is ignored by .gitignore:2 but declared: taken"],
    );
    check(
        Some(&["lib"]),
        None,
        &["lib/a.py", "lib/b.log"],
        &["`lib/b.log` is ignored by .gitignore:2 but declared: taken"],
    );
    check(Some(&["data/x.csv"]), None, &["data/x.csv"], &[]);
    check(
        Some(&["data"]),
        None,
        &["data/x.csv", "data/y.csv"],
        &["`data` is ignored by .gitignore:3 but declared: taken"],
    );
    check(Some(&["**/*.py"]), None, &["lib/a.py", "other.py", "run.py"], &[script]);
    check(Some(&["none.py"]), Some("other.py"), &["other.py"], &[]);
}

#[test]
fn nothing_asked_for_is_an_empty_tree() {
    let field = Field::new(&["a.py"]);
    let ground = field.ground();
    let empty = ground.measure_sources(&[spec(Some(&[]), None)], &Reads::default()).pop().unwrap().unwrap();
    assert_eq!((empty.files, empty.content.size), (0, 0));
    assert_eq!(empty.content.digest, crate::digest::Digest::of(&crate::content::encode(&[])));
    let (walked, folders) = ground.folders(What::Sources(&spec(Some(&[]), None)), &Reads::default()).unwrap();
    assert_eq!((walked.content, folders.len()), (empty.content, 1));
}

#[test]
fn the_script_is_taken_whatever_else_is_said() {
    let field = Field::new(&["gen/run.py", "gen/other.py", "a.py"]);
    let mut ground = field.ground();
    ground.exclude(&["gen".to_owned()], &[]).unwrap();
    assert_eq!(list(&ground, What::Sources(&spec(None, Some("gen/run.py")))), ["a.py", "gen/", "gen/run.py"]);
    let all = SourceSpec { without: vec![rel("")], ..spec(None, Some("a.py")) };
    assert_eq!(list(&ground, What::Sources(&all)), ["a.py"]);
    let outside = SourceSpec { directory: rel("gen"), ..spec(None, Some("../a.py")) };
    assert!(ground.measure_sources(&[outside], &Reads::default())[0].is_err());
}

#[test]
fn what_is_ignored_is_not_looked_at() {
    let field = Field::new(&["a.py"]);
    let fifo = field.at("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(
        field.ground().measure_sources(&[spec(None, None)], &Reads::default()).pop().unwrap().unwrap_err().path,
        fifo
    );
    field.write(".gitignore", "pipe\n");
    assert_eq!(field.sources(&spec(None, None)), [".gitignore", "a.py"]);
}

#[test]
fn each_spec_has_its_answer() {
    let field = Field::new(&["one/a", "two/b"]);
    let of = |directory: &str| SourceSpec { directory: rel(directory), ..SourceSpec::default() };
    let specs =
        [of("one"), of("none"), of("two"), of("one"), of("one/a"), SourceSpec { globs: Some(vec![]), ..of("two") }];
    let answers = field.ground().measure_sources(&specs, &Reads::default());
    let digest = |at: usize| answers[at].as_ref().unwrap().content.digest;
    assert_eq!(digest(0), digest(3));
    assert_eq!(digest(0), field.content("one").digest, "the same node as of a path");
    assert_eq!(digest(2), field.content("two").digest);
    assert!(answers[1].as_ref().unwrap_err().to_string().contains("none"));
    assert!(answers[4].is_err());
    assert_ne!(digest(5), digest(2));
}
