//! Repositories of every kind, made through libgit2.

use super::*;
use git2::{RepositoryInitOptions, Signature};
use std::fs;
use std::io::Write;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// A repository on the branch `main` with one commit: `train/train.py` and `data/raw.csv`.
fn repository(folder: &Path) -> Repository {
    let repository = Repository::init_opts(folder, RepositoryInitOptions::new().initial_head("main")).unwrap();
    write(&folder.join("train/train.py"), "lr = 1\n");
    write(&folder.join("data/raw.csv"), "1,2\n");
    write(&folder.join(".gitignore"), "*.log\n");
    commit_all(&repository);
    repository
}

fn commit_all(repository: &Repository) -> git2::Oid {
    let mut index = repository.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::now("Ada", "ada@example.org").unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &who, &who, "a change", &tree, &parents).unwrap()
}

fn of(directory: &Path) -> BTreeMap<String, String> {
    properties(directory, &BTreeMap::new())
}

fn short(properties: &BTreeMap<String, String>, name: &str) -> Option<String> {
    properties.get(&format!("azureml.git.{name}")).cloned()
}

#[test]
fn a_clean_repository() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    repository.remote("origin", "https://ada:secret@example.org/ml.git").unwrap();
    let commit = repository.refname_to_id("HEAD").unwrap().to_string();
    let expected: BTreeMap<String, String> = [
        ("azureml.git.branch", "main"),
        ("azureml.git.commit", &commit),
        ("azureml.git.dirty", "False"),
        ("azureml.git.repository_uri", "https://example.org/ml.git"),
        ("mlflow.source.git.branch", "main"),
        ("mlflow.source.git.commit", &commit),
        ("mlflow.source.git.repoURL", "https://example.org/ml.git"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    assert_eq!(of(&folder.path().join("train")), expected);
}

#[test]
fn dirty_means_the_source_directory() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let (root, train) = (folder.path().to_owned(), folder.path().join("train"));
    let check = |what: &str, here: &str, root_is: &str| {
        assert_eq!(short(&of(&train), "dirty").as_deref(), Some(here), "{what}: train");
        assert_eq!(short(&of(&root), "dirty").as_deref(), Some(root_is), "{what}: root");
    };
    check("nothing", "False", "False");
    write(&root.join("train/x.log"), "ignored");
    check("an ignored file", "False", "False");
    write(&root.join("data/raw.csv"), "1,2,3,4\n");
    check("another folder", "False", "True");
    write(&root.join("train2/new.py"), "");
    check("a folder whose name begins alike", "False", "True");
    write(&root.join("train/deep/er/new.py"), "");
    check("an untracked file", "True", "True");
    fs::remove_dir_all(root.join("train/deep")).unwrap();
    fs::remove_file(root.join("train/train.py")).unwrap();
    check("a deleted file", "True", "True");
}

#[test]
fn nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    // The same bytes again: git would refresh its index.
    write(&folder.path().join("train/train.py"), "lr = 1\n");
    let index = repository.path().join("index");
    let before = (fs::read(&index).unwrap(), fs::metadata(repository.path()).unwrap().modified().unwrap());
    assert_eq!(short(&of(folder.path()), "dirty").as_deref(), Some("False"));
    assert!(before == (fs::read(&index).unwrap(), fs::metadata(repository.path()).unwrap().modified().unwrap()));
}

#[test]
fn odd_repositories_give_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(of(&folder.path().join("not there")), BTreeMap::new());
    let names = |directory: &Path| {
        let found = of(directory);
        let mut names: Vec<String> =
            found.keys().filter_map(|k| k.strip_prefix("azureml.git.")).map(ToOwned::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    let unborn = folder.path().join("unborn");
    Repository::init_opts(&unborn, RepositoryInitOptions::new().initial_head("main")).unwrap();
    assert_eq!(names(&unborn), "branch dirty");

    let main = folder.path().join("main");
    let repository = repository(&main);
    repository.set_head_detached(repository.refname_to_id("HEAD").unwrap()).unwrap();
    assert_eq!(names(&main.join("train")), "commit dirty");
    repository.set_head("refs/heads/main").unwrap();

    let tree = folder.path().join("tree");
    repository.worktree("tree", &tree, None).unwrap();
    assert_eq!(short(&of(&tree.join("train")), "branch").as_deref(), Some("tree"));
    assert_eq!(short(&of(&tree.join("train")), "dirty").as_deref(), Some("False"));

    Repository::init_bare(folder.path().join("bare")).unwrap();
    assert!(!names(&folder.path().join("bare")).contains("dirty"));

    write(&main.join(".git/HEAD"), "garbage");
    assert_eq!(names(&main), "");
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, outer) = (folder.path().join("inner"), folder.path().join("outer"));
    repository(&inner);
    let repository = repository(&outer);
    let url = inner.to_str().unwrap();
    let mut module = repository.submodule(url, Path::new("lib"), true).unwrap();
    module.clone(None).unwrap();
    module.add_finalize().unwrap();
    commit_all(&repository);
    write(&outer.join("lib/train/train.py"), "lr = 2\n");
    assert_eq!(short(&of(&outer.join("lib/train")), "dirty").as_deref(), Some("True"));
    assert_eq!(short(&of(&outer), "dirty").as_deref(), Some("False"), "submodules are not looked into");
    assert_eq!(short(&of(&outer.join("lib")), "repository_uri").as_deref(), Some(url));
}

#[test]
fn a_partial_clone_is_read_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    repository.remote("origin", "https://token@example.org/ml.git").unwrap();
    let commit = repository.refname_to_id("HEAD").unwrap().to_string();
    let mut config = repository.config().unwrap();
    config.set_i32("core.repositoryformatversion", 1).unwrap();
    config.set_str("extensions.partialclone", "origin").unwrap();
    assert!(Repository::open(folder.path()).is_err());
    let check = || {
        let found = of(&folder.path().join("train"));
        assert_eq!(short(&found, "commit"), Some(commit.clone()));
        assert_eq!(short(&found, "branch").as_deref(), Some("main"));
        assert_eq!(short(&found, "repository_uri").as_deref(), Some("https://example.org/ml.git"));
    };
    check();
    fs::remove_file(repository.path().join("refs/heads/main")).unwrap();
    write(&repository.path().join("packed-refs"), &format!("# pack-refs with: peeled\n{commit} refs/heads/main\n"));
    check();
}

#[test]
fn variables_win() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let set = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let variables: BTreeMap<String, String> = set(&[
        ("AZUREML_GIT_BRANCH", "feature "),
        ("AZUREML_GIT_COMMIT", ""),
        ("AZUREML_GIT_DIRTY", "True"),
        ("AZUREML_GIT_BUILD_ID", "77"),
        ("AZUREML_GIT_BUILD_URI", "https://u:p@ci.example.org/results?buildId=77&access_token=s"),
        ("AZUREML_GIT_REPOSITORY_URI", "https://x:y@example.org/r.git"),
    ]);
    let found = properties(folder.path(), &variables);
    let check = |name: &str, value: &str| assert_eq!(short(&found, name).as_deref(), Some(value));
    check("branch", "feature");
    assert_eq!(short(&found, "commit").map(|commit| commit.len()), Some(40));
    check("dirty", "True");
    check("build_id", "77");
    check("build_uri", "https://ci.example.org/results?buildId=77");
    check("repository_uri", "https://example.org/r.git");
    assert_eq!(found.get("mlflow.source.git.branch").map(String::as_str), Some("feature"));
    // They count where there is no repository, too.
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(short(&properties(nowhere.path(), &variables), "build_id").as_deref(), Some("77"));
}

#[test]
fn credentials_are_cut() {
    for (address, expected) in [
        ("https://example.org/a.git", Some("https://example.org/a.git")),
        ("https://user@example.org/a.git", Some("https://example.org/a.git")),
        ("https://user:pass@example.org:8443/a.git", Some("https://example.org:8443/a.git")),
        ("https://us@er:p@ss@example.org/a@b.git", Some("https://example.org/a@b.git")),
        ("https://user:pa/ss@example.org/a.git", Some("https://example.org/a.git")),
        ("https://example.org:443/org/@scope/a.git", Some("https://example.org:443/org/@scope/a.git")),
        ("https://[::1]:8080/a.git", Some("https://[::1]:8080/a.git")),
        ("https://user:pa#ss@example.org/a.git", Some("https://example.org/a.git")),
        ("https://user:pa", None),
        ("https://example.org/a.git?private_token=s", Some("https://example.org/a.git")),
        ("https://example.org/a.git#s", Some("https://example.org/a.git")),
        ("ssh://git@example.org:22/a.git", Some("ssh://git@example.org:22/a.git")),
        ("git+ssh://git@example.org/a.git", Some("git+ssh://git@example.org/a.git")),
        ("ssh://ada:pass@example.org/a.git", Some("ssh://example.org/a.git")),
        ("git@github.com:org/a.git", Some("git@github.com:org/a.git")),
        ("ada@example.org:a.git", Some("example.org:a.git")),
        ("ada:pass@example.org:a.git", Some("example.org:a.git")),
        ("codecommit::https://u:p@example.org/a", Some("codecommit::https://example.org/a")),
        ("ext::sh -c 'secret'", None),
        ("/srv/git/a@b.git", Some("/srv/git/a@b.git")),
        ("../a@b.git", Some("../a@b.git")),
        ("a@b/c", Some("a@b/c")),
        ("", Some("")),
    ] {
        assert_eq!(without_credentials(address, false).as_deref(), expected, "{address}");
    }
}

#[test]
fn diffs_are_unified() {
    let check = |old: Option<&str>, new: Option<&str>, expected: &str| {
        assert_eq!(text_diff(old.map(str::as_bytes), new.map(str::as_bytes), "a.py"), expected);
    };
    check(Some("a\n"), Some("a\n"), "");
    check(None, None, "");
    check(Some("a\nb\nc\n"), Some("a\nB\nc\n"), "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    check(None, Some("x\n"), "--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x\n");
    check(Some("x\n"), None, "--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n");
    check(Some("x"), Some("y\n"), "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n");
    check(Some("\0a"), Some("b"), "binary files a/a.py and b/a.py differ (2 and 1 bytes)\n");
    assert!(text_diff(Some(b"\xff\n"), Some(b"b\n"), "a").contains("+b\n"));
}
