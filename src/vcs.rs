//! Git, through libgit2: the properties of a run under the original's keys. The only file that knows git2.
//!
//! Called by `cli/assemble.rs` once per invocation that runs something. It never writes to the repository (not even its
//! index) and never fails: where there is no repository, or one that cannot be read, there are no properties. The keys
//! and the variables that win over the repository are those of the original (`git_tracking_info_provider.py`), which let
//! credentials in a remote's address through; here they are cut out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Repository, StatusOptions};

/// Property, the original's variable for it, and the key that MLflow knows it by.
const KEYS: [(&str, &str, Option<&str>); 6] = [
    ("azureml.git.repository_uri", "AZUREML_GIT_REPOSITORY_URI", Some("mlflow.source.git.repoURL")),
    ("azureml.git.branch", "AZUREML_GIT_BRANCH", Some("mlflow.source.git.branch")),
    ("azureml.git.commit", "AZUREML_GIT_COMMIT", Some("mlflow.source.git.commit")),
    ("azureml.git.dirty", "AZUREML_GIT_DIRTY", None),
    ("azureml.git.build_id", "AZUREML_GIT_BUILD_ID", None),
    ("azureml.git.build_uri", "AZUREML_GIT_BUILD_URI", None),
];

/// The git properties of a source directory; `variables` are the process's, whose `AZUREML_GIT_*` win over the repository.
#[must_use]
pub fn properties(directory: &Path, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let given = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let asked = |variable: &str| given(variable).is_none();
    let [uri, on, at, changed] = match Repository::discover(directory) {
        Ok(repository) => [
            asked("AZUREML_GIT_REPOSITORY_URI").then(|| remote(&repository)).flatten(),
            branch(&repository),
            commit(&repository),
            asked("AZUREML_GIT_DIRTY").then(|| dirty(&repository, directory)).flatten(),
        ],
        Err(error) if error.message().contains("unsupported extension") => by_hand(directory).unwrap_or_default(),
        Err(_) => Default::default(),
    };
    let found = [uri, on, at, changed, None, None];
    let mut properties = BTreeMap::new();
    for ((key, variable, mlflow), found) in KEYS.into_iter().zip(found) {
        let Some(value) = given(variable).map(ToOwned::to_owned).or(found) else { continue };
        let value = match key {
            "azureml.git.repository_uri" => without_credentials(&value, false),
            "azureml.git.build_uri" => without_credentials(&value, true),
            _ => Some(value),
        };
        let Some(value) = value else { continue };
        if let Some(mlflow) = mlflow {
            properties.insert(mlflow.to_owned(), value.clone());
        }
        properties.insert(key.to_owned(), value);
    }
    properties
}

/// The branch; none where HEAD is detached. Known before the first commit, too.
fn branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("HEAD").ok()?;
    Some(head.symbolic_target().ok()??.strip_prefix("refs/heads/")?.to_owned())
}

/// The commit; none before the first one.
fn commit(repository: &Repository) -> Option<String> {
    Some(repository.refname_to_id("HEAD").ok()?.to_string())
}

/// The address of the remote that git would fetch from: the branch's, else `origin`, else the only one.
fn remote(repository: &Repository) -> Option<String> {
    let configured = || {
        let branch = branch(repository)?;
        repository.config().ok()?.snapshot().ok()?.get_string(&format!("branch.{branch}.remote")).ok()
    };
    let only = || match repository.remotes().ok()? {
        names if names.len() == 1 => Some(names.get(0).ok()??.to_owned()),
        _ => None,
    };
    let address = |name: String| {
        if name == "." {
            return None;
        }
        // A branch may name an address in the place of a remote.
        match repository.find_remote(&name) {
            Ok(remote) => remote.url().ok().map(ToOwned::to_owned),
            Err(_) => name.contains([':', '/']).then_some(name),
        }
    };
    configured().and_then(address).or_else(|| address("origin".to_owned())).or_else(|| address(only()?))
}

/// Whether anything in the directory differs from the commit, untracked files included: `git status --porcelain .`.
fn dirty(repository: &Repository, directory: &Path) -> Option<String> {
    let root = repository.workdir()?.canonicalize().ok()?;
    let directory = directory.canonicalize().ok()?;
    let inside = directory.strip_prefix(root).ok()?;
    let mut options = StatusOptions::new();
    // The literal path prunes the walk; submodules would be opened and walked one by one; nothing is refreshed or written.
    options.include_untracked(true).recurse_untracked_dirs(false).include_ignored(false);
    options.exclude_submodules(true).no_refresh(true).update_index(false).disable_pathspec_match(true);
    if inside.as_os_str().is_empty() {
        options.disable_pathspec_match(false);
    } else {
        options.pathspec(inside);
    }
    let changed = !repository.statuses(Some(&mut options)).ok()?.is_empty();
    Some(if changed { "True" } else { "False" }.to_owned())
}

/// The same from the files themselves, but for the state of the working tree: libgit2 refuses repositories with extensions
/// that it does not know, partial clones (`git clone --filter`, common on CI) among them.
fn by_hand(directory: &Path) -> Option<[Option<String>; 4]> {
    let read = |path: PathBuf| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    let mark = directory.ancestors().map(|folder| folder.join(".git")).find(|mark| mark.exists())?;
    let folder =
        if mark.is_dir() { mark } else { mark.parent()?.join(read(mark.clone())?.strip_prefix("gitdir:")?.trim()) };
    let common = read(folder.join("commondir")).map_or_else(|| folder.clone(), |path| folder.join(path));
    let head = read(folder.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else {
        return Some([address_by_hand(&common, None), None, Some(head), None]);
    };
    let packed = || {
        let lines = read(common.join("packed-refs"))?;
        lines.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(ToOwned::to_owned))
    };
    let commit = read(common.join(name)).or_else(packed);
    let branch = name.strip_prefix("refs/heads/");
    Some([address_by_hand(&common, branch), branch.map(ToOwned::to_owned), commit, None])
}

/// The address of the branch's remote, else of `origin`.
fn address_by_hand(common: &Path, branch: Option<&str>) -> Option<String> {
    let config = git2::Config::open(&common.join("config")).ok()?.snapshot().ok()?;
    let of = |name: &str| config.get_string(&format!("remote.{name}.url")).ok();
    let own = branch.and_then(|branch| config.get_string(&format!("branch.{branch}.remote")).ok());
    own.and_then(|name| of(&name)).or_else(|| of("origin"))
}

/// An address without credentials: no user or password (but for the user `git` of ssh, which is no secret), no query or
/// fragment. With `query` the parameters whose names do not look like a secret's are kept. None for an address that is a
/// command (`ext::…`).
fn without_credentials(address: &str, query: bool) -> Option<String> {
    if address.starts_with("ext::") {
        return None;
    }
    let Some((scheme, rest)) = address.split_once("://") else { return Some(scp(address)) };
    let (rest, asked) = match rest.find(['?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let authority = rest.find('/').unwrap_or(rest.len());
    // A password with a `/` that is not escaped: what looks like the port is none.
    let port = rest.get(..authority).and_then(|a| a.rsplit_once(':')).map(|(_, port)| port);
    let escaped = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) || port.ends_with(']'));
    let end = if escaped { authority } else { rest.len() };
    let at = rest.get(..end).and_then(|a| a.rfind('@'));
    let (user, host) = at.map_or(("", rest), |at| (&rest[..at], &rest[at + 1..]));
    let user = if user == "git" && scheme.ends_with("ssh") { "git@" } else { "" };
    let asked = if query { harmless(asked) } else { String::new() };
    Some(format!("{scheme}://{user}{host}{asked}"))
}

/// The same for `user@host:path`. What has no `:` before its first `/` is a path on this machine.
fn scp(address: &str) -> String {
    let head = address.split('/').next().unwrap_or_default();
    match head.rfind('@') {
        Some(at) if head.contains(':') => {
            let user = if head.get(..at) == Some("git") { "git@" } else { "" };
            format!("{user}{}", &address[at + 1..])
        }
        _ => address.to_owned(),
    }
}

/// The parameters of a query (with its `?`) whose names do not look like a secret's; no fragment.
fn harmless(asked: &str) -> String {
    const SECRET: [&str; 9] = ["token", "key", "secret", "pass", "pwd", "sig", "auth", "cred", "code"];
    let asked = asked.split('#').next().unwrap_or_default();
    let secret = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SECRET.iter().any(|word| name.contains(word))
    };
    let kept: Vec<&str> = asked.trim_start_matches('?').split('&').filter(|p| !p.is_empty() && !secret(p)).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// Texts longer than this are not compared line by line.
const LONGEST: usize = 8 << 20;

/// What differs between two contents of a file, as a unified diff with three lines of context; empty where nothing does.
/// None stands for a file that is not there. Binary files (a NUL byte among the first 8,000) and very long ones are said to
/// differ.
#[must_use]
pub fn text_diff(old: Option<&[u8]>, new: Option<&[u8]>, path: &str) -> String {
    if old == new {
        return String::new();
    }
    let before = if old.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
    let after = if new.is_some() { format!("b/{path}") } else { "/dev/null".to_owned() };
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let binary = |bytes: &[u8]| bytes.iter().take(8_000).any(|&b| b == 0);
    if binary(old) || binary(new) {
        return format!("binary files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len());
    }
    if old.len().max(new.len()) > LONGEST {
        return format!("files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len());
    }
    let mut text = format!("--- {before}\n+++ {after}\n");
    let mut options = git2::DiffOptions::new();
    options.force_text(true).indent_heuristic(true);
    let patch = git2::Patch::from_buffers(old, None, new, None, Some(&mut options));
    let drawn = patch.and_then(|mut patch| {
        patch.print(&mut |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin());
            }
            if line.origin() != 'F' {
                text.push_str(&String::from_utf8_lossy(line.content()));
            }
            true
        })
    });
    match drawn {
        Ok(()) => text,
        Err(_) => format!("files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{RepositoryInitOptions, Signature};
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
            ("https://user:pa#ss@example.org/a.git", Some("https://user:pa")),
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
}
