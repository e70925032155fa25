//! What others write, read; what we write, written.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::lock::{Lock, Package, Section, Slot};
use super::super::resolve::{Context, compiled, reported};
use super::super::tool::without_credentials;
use super::super::{installed, lock_scan, lock_text, probe, requirements};
use super::{World, put};
use crate::digest::Digest;
use crate::project::model::Packages;
use crate::relpath::RelPath;

#[test]
fn credentials_are_cut_out_of_addresses() {
    let check = |text: &str, clean: &str| assert_eq!(without_credentials(text), clean);
    check("no address", "no address");
    check("https://host/simple", "https://host/simple");
    check("https://me:pass@host/simple and http://tok@b", "https://host/simple and http://b");
    check("a @ git+ssh://git@host/r.git@abc", "a @ git+ssh://git@host/r.git@abc");
    check("ssh://me:pass@host/r", "ssh://me@host/r");
    check("https://host/a@b", "https://host/a@b");
    check("https://u:p@ss@host/x", "https://host/x");
    check("'https://u:p@host'", "'https://host'");
    check("x://", "x://");
}

fn package(name: &str, version: &str, source: Option<&str>, hashes: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        source: source.map(str::to_owned),
        hashes: hashes.iter().map(|&hash| hash.to_owned()).collect(),
    }
}

#[test]
fn what_uv_compiles_is_read() {
    let direct = BTreeMap::from([("tokened".to_owned(), "https://${TOKEN}@host/tokened-1.0.zip".to_owned())]);
    let context = Context { root: Path::new("/srv"), direct: &direct };
    let text = "# a comment\n--index-url https://index/simple\n\
        scikit_learn[x]==1.7.2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:aa\n\
        six==1.17.0 ; python_version > '3' \\\n    --hash=sha256:cc\n\
        tokened @ https://secret@host/tokened-1.0.zip \\\n    --hash=sha256:dd\n\
        ./wheels/one-2.0-py3-none-any.whl \\\n    --hash=sha256:ee\n\
        two @ file:///srv/wheels/two-3.0-py3-none-any.whl \\\n    --hash=sha256:ff\n\
        repo @ git+https://me:pass@host/repo.git@0123abc\n";
    let expected = [
        package("scikit-learn", "1.7.2", None, &["sha256:bb", "sha256:aa"]),
        package("six", "1.17.0", None, &["sha256:cc"]),
        package("tokened", "1.0", Some("https://host/tokened-1.0.zip"), &["sha256:dd"]),
        package("one", "2.0", Some("./wheels/one-2.0-py3-none-any.whl"), &["sha256:ee"]),
        package("two", "3.0", Some("./wheels/two-3.0-py3-none-any.whl"), &["sha256:ff"]),
        package("repo", "direct", Some("git+https://host/repo.git@0123abc"), &[]),
    ];
    assert_eq!(compiled(text, &context).unwrap(), expected);
    assert!(compiled("what is this", &context).unwrap_err().contains("not understood: `what is this`"));
}

#[test]
fn the_report_of_pip_is_read() {
    let context = Context { root: Path::new("/srv"), direct: &BTreeMap::new() };
    let text = r#"{"version": "1", "pip_version": "23.2.1", "install": [
        {"metadata": {"name": "Python_DateUtil", "version": "2.9"}, "is_direct": false, "requested": true,
         "download_info": {"url": "https://u:p@files.host/x.whl", "archive_info": {"hashes": {"sha256": "aa"}}}},
        {"metadata": {"name": "old", "version": "1"}, "download_info": {"url": "u", "archive_info": {"hash": "sha256=bb"}}},
        {"metadata": {"name": "local", "version": "2"}, "is_direct": true,
         "download_info": {"url": "file:///srv/w/local.whl", "archive_info": {"hashes": {"sha256": "cc"}}}},
        {"metadata": {"name": "repo", "version": "3"}, "is_direct": true, "download_info":
         {"url": "https://u:p@host/r.git", "subdirectory": "py", "vcs_info": {"vcs": "git", "commit_id": "0123"}}}]}"#;
    let expected = [
        package("python-dateutil", "2.9", None, &["sha256:aa"]),
        package("old", "1", None, &["sha256:bb"]),
        package("local", "2", Some("./w/local.whl"), &["sha256:cc"]),
        package("repo", "3", Some("git+https://host/r.git@0123#subdirectory=py"), &[]),
    ];
    assert_eq!(reported(text, &context).unwrap(), expected);
    let check = |text: &str, why: &str| assert!(reported(text, &context).unwrap_err().contains(why), "{why}");
    check("{", "not understood");
    let one =
        |download: &str| format!(r#"{{"install": [{{"metadata": {{"name": "x", "version": "1"}}, {download}}}]}}"#);
    check(&one(r#""download_info": {"url": "u", "archive_info": {"hash": "md5=1"}}"#), "no sha256 of `x`");
    check(&one(r#""download_info": {"url": "u", "dir_info": {}}"#), "`x` is a folder");
}

fn a_lock() -> Lock {
    let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
    let slot = |name: &str| Slot {
        environment: name.to_owned(),
        python: "CPython 3.11".to_owned(),
        platform: "linux-x86_64-gnu".to_owned(),
    };
    let packages = vec![
        package("zlib-ng", "1", None, &[&b, &a, &a]),
        package("at", "direct", Some("https://host/\"q\"\\.zip"), &[&a]),
        package("repo", "3", Some("git+https://host/r.git@0123"), &[]),
    ];
    let sections =
        [(slot("b"), Section::new(Digest::of(b"b"), packages)), (slot("a"), Section::empty(Digest::of(b"a")))];
    Lock { sections: sections.into() }
}

#[test]
fn a_lock_has_one_form_and_comes_back_the_same() {
    let text = lock_text::write(&a_lock());
    assert_eq!(lock_text::read(&text).unwrap(), a_lock());
    assert_eq!(lock_text::write(&lock_text::read(&text).unwrap()), text);
    assert!(text.find("name = \"a\"").unwrap() < text.find("name = \"b\"").unwrap());
    assert!(text.contains("hashes = [\n    \"sha256:aaaa"), "{text}");
}

proptest::proptest! {
    /// Whatever one byte of a lock becomes: the quick reader says what the TOML reader says, or nothing.
    #[test]
    fn the_quick_reader_never_disagrees(at in 0..2_000_usize, with in "\\PC|\n|\"|\\\\|=|\\[", long in 0..4_usize) {
        let mut lock = a_lock();
        for section in lock.sections.values_mut() {
            section.packages.retain(|package| package.name != "at");
        }
        let text = lock_text::write(&lock);
        assert_eq!(lock_scan::scan(&text).unwrap(), lock);
        let at = at % text.len();
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get((at + long).min(text.len())..).unwrap_or_default());
        let changed = format!("{before}{with}{after}");
        if let Some(scanned) = lock_scan::scan(&changed) {
            assert_eq!(Ok(scanned), lock_text::parse(&changed));
        }
    }
}

#[test]
fn a_damaged_lock_is_told_with_its_line() {
    let text = lock_text::write(&a_lock());
    let check = |from: &str, to: &str, says: &str| {
        assert!(text.contains(from), "{from}");
        let damaged = text.replacen(from, to, 1);
        let why = lock_text::read(&damaged).unwrap_err();
        assert!(why.contains(says), "{why}\n{damaged}");
    };
    check("version = 1\n", "version = 2\n", "line 2: version 2 was written by a newer amlrun");
    check("version = 1\n", "version = \"1\"\n", "line 2: `version` is not 1");
    check("version = 1\n", "<<<<<<< mine\nversion = 1\n", "line 2: ");
    check("version = 1\n", "<<<<<<< mine\nversion = 1\n", "a merge left its markers");
    check("python = \"CPython 3.11\"\n", "", "line 4: `python` is missing");
    check("platform =", "plattform =", "line 7: unknown key `plattform`");
    check("sha256:aaaa", "sha256:zaaa", "a hash that is not");
    check("sha256:aaaa", "md5:", "a hash that is not");
    check("name = \"zlib-ng\"", "name = \"Zlib_ng\"", "name, version or source");
    check("version = \"3\"", "version = \"3 --index-url x\"", "name, version or source");
    check("source = \"git+https://host/r.git@0123\"\n", "", "package `repo` has no hashes");
    check("name = \"b\"", "name = \"a\"", "a second section");
    check("[[environment]]", "[environment]", "duplicate key");
}

#[test]
fn only_what_is_installed_counts_in_a_section() {
    let section = a_lock().sections.into_values().find(|section| !section.packages.is_empty()).unwrap();
    let mut other = section.clone();
    other.asked = Digest::of(b"another question");
    assert_eq!(other.digest(), section.digest());
    other.packages[2].hashes.pop();
    assert_ne!(other.digest(), section.digest());
    let at = |_: &Package, source: &str| source.replace("https://", "https://me:pass@");
    let pinned = section.pinned(at);
    assert!(pinned.starts_with("at @ https://me:pass@host/\"q\"\\.zip --hash=sha256:aaaa"), "{pinned}");
    assert!(pinned.contains("\nzlib-ng==1 --hash=sha256:a"), "{pinned}");
    assert_eq!(section.unhashed(at), ["repo @ git+https://me:pass@host/r.git@0123"]);
    assert_eq!(section.preferences(&[]), "zlib-ng==1");
    assert_eq!(section.preferences(&["zlib-ng".to_owned()]), "");
}

fn file(name: &str) -> Packages {
    Packages::File(RelPath::new(name).unwrap())
}

#[test]
fn requirements_files_are_read_through() {
    let world = World::new(false);
    world.write(
        "env/requirements.txt",
        "# top\n-r sub/base.txt\n--constraint=limits.txt\nnumpy  >=1.26 , <3  # newest\npandas[io]==2.2 \\\n  ; python_version > '3'\n\
         --extra-index-url https://u:p@host/simple\n-f wheels\nx @ https://t@host/x-1.0.zip\n./wheels/y-1.0-py3-none-any.whl\n",
    );
    world.write("env/sub/base.txt", "six\n\n-c../limits.txt\n");
    world.write("env/limits.txt", "idna<4\n");
    world.write("env/wheels/y-1.0-py3-none-any.whl", "bytes");
    let root = &world.setup.root;
    let read = || requirements::read(&file("env/requirements.txt"), root).unwrap();
    let asked = read();
    let pandas = "pandas[io]==2.2 ; python_version > '3'";
    let wheel = "./env/wheels/y-1.0-py3-none-any.whl";
    assert_eq!(asked.requirements, ["six", "numpy >=1.26 , <3", pandas, "x @ https://t@host/x-1.0.zip", wheel]);
    assert_eq!(asked.constraints, ["idna<4", "idna<4"]);
    let links = format!("--find-links {}", root.join("env/wheels").display());
    assert_eq!(asked.options, ["--extra-index-url https://u:p@host/simple".to_owned(), links]);
    assert_eq!(asked.names(), ["six", "numpy", "pandas", "x"]);
    assert_eq!(asked.direct(), BTreeMap::from([("x".to_owned(), "https://t@host/x-1.0.zip".to_owned())]));

    let before = asked.digest();
    world.write("env/limits.txt", "# a comment\nidna<4\n");
    assert_eq!(read().digest(), before, "a comment asks for nothing");
    world.write("env/limits.txt", "idna<3\n");
    assert_ne!(read().digest(), before, "a constraint of an included file counts");
    let before = read().digest();
    world.write("env/wheels/y-1.0-py3-none-any.whl", "other");
    assert_ne!(read().digest(), before, "the bytes of an archive count");
}

#[test]
fn requirements_that_no_lock_can_hold_are_refused() {
    let world = World::new(false);
    world.write("package/setup.py", "");
    let check = |name: &str, text: &str, says: &str| {
        world.write(name, text);
        let why = requirements::read(&file(name), &world.setup.root).unwrap_err().to_string();
        assert!(why.contains(says), "{why}");
    };
    check("r.txt", "six\n\n-e .\n", "r.txt: line 3: `.` is a folder");
    check("r.txt", "./package\n", "line 1: `./package` is a folder");
    check("r.txt", "p @ file:///somewhere\n", "`file:///somewhere` is a folder");
    check("r.txt", "-r https://host/r.txt\n", "keep a copy here");
    check("r.txt", "-r missing.txt\n", "could not read");
    check("r.txt", "-r r.txt\n", "it includes itself");
    check("pyproject.toml", "[tool.poetry]\n", "no `[project]` table");
    check("pyproject.toml", "[project]\ndynamic = [\"dependencies\"]\n", "dynamic");
    check("pyproject.toml", "[project]\ndependencies = [1]\n", "not a list of texts");
    check("pyproject.toml", "[project]\nname = \n", "pyproject.toml: line 2: ");
    world.write("pyproject.toml", "[project]\ndependencies = [\"six\", \"idna>3\"]\n");
    let asked = requirements::read(&file("pyproject.toml"), &world.setup.root).unwrap();
    assert_eq!(asked.requirements, ["six", "idna>3"]);
}

#[test]
fn distributions_are_read_from_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("venv");
    let site = prefix.join("lib/python3.11/site-packages");
    let extra = folder.path().join("project/lib");
    let far = folder.path().join("far/away");
    let entry = |name: &str, text: &str| put(&site.join(name), text);
    entry("six-1.16.0.dist-info/METADATA", "");
    entry("Ruamel.YAML-0.18.dist-info/METADATA", "");
    entry("old_tool-2.0-py3.11.egg-info", "");
    entry("zope.pure-2.0.1-py3-none.egg-info", "");
    entry("develop.egg-info/PKG-INFO", "Name: develop\nVersion: 0.3\n");
    entry("~ix-1.15.0.dist-info/METADATA", "");
    entry(
        "repo-1.0.dist-info/direct_url.json",
        r#"{"url": "https://h/r", "vcs_info": {"vcs": "git", "commit_id": "0123"}}"#,
    );
    entry("local-1.0.dist-info/direct_url.json", r#"{"url": "file:///src/local", "dir_info": {}}"#);
    entry("local-1.0.dist-info/RECORD", "local.py,sha256=abc,3\n../../../bin/local,sha256=def,4\nx.pyc,,\n");
    entry("paths.pth", "/somewhere\n");
    entry("six.py", "");
    put(&extra.join("six-9.dist-info/METADATA"), "");
    put(&prefix.join("conda-meta/libblas-3.9.0-20_linux64_mkl.json"), "{}");
    std::fs::create_dir_all(&far).unwrap();
    let probe = probe::Probe {
        executable: prefix.join("bin/python"),
        implementation: "CPython".to_owned(),
        version: "3.11.7".to_owned(),
        minor: "3.11".to_owned(),
        platform: "linux-x86_64-gnu".to_owned(),
        prefix: prefix.clone(),
        base_prefix: "/usr".into(),
        user_site: None,
        path: vec![site.clone(), extra, far],
    };
    let read = || installed::read(&probe, &folder.path().join("project"), None).facts;
    let facts = read();
    let check = |name: &str, value: &str| assert_eq!(facts.get(name).map(String::as_str), Some(value), "{name}");
    check("package six", "1.16.0");
    check("package ruamel-yaml", "0.18");
    check("package old-tool", "2.0");
    check("package zope-pure", "2.0.1");
    check("package develop", "0.3");
    check("package repo", "1.0 (commit 0123)");
    check("conda libblas", "3.9.0-20_linux64_mkl");
    assert_eq!(facts.len(), 11, "{facts:?}");
    assert!(facts["path"].starts_with("./lib:away#"), "{facts:?}");
    let local = facts["package local"].clone();
    assert!(local.starts_with("1.0 (files "), "{local}");
    entry("local-1.0.dist-info/RECORD", "local.py,sha256=abc,3\n../../../bin/local,sha256=other,4\n");
    assert_eq!(read()["package local"], local, "a script names its interpreter's place");
    entry("local-1.0.dist-info/RECORD", "local.py,sha256=changed,3\n");
    assert_ne!(read()["package local"], local, "built anew under the same version");
}
