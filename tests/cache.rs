//! The shared cache on real servers: Azurite, s3s-fs, nginx with `WebDAV`, a folder. From one clone the results go there; in
//! another, at another path, under another user and another umask, everything is a hit, with the same bytes, exec bits and
//! symlinks.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may die, and this one knows its machine"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Somebody else on this machine.
const OTHER: u32 = 65534;

const AMLFILE: &str = r#"
format = 1
[experiments.prepare]
command = "mkdir -p data/deep/er && for i in $(seq 300); do echo line $i > data/deep/f$i; done && cp /bin/true data/deep/er/run && ln -s ../f1 data/deep/er/link && ln -s f2 data/deep/short && mkdir data/empty && echo prepared"
outputs = ["data"]
sources = []
[experiments.train]
command = "cat data/deep/f* > model.txt && head -c 12000000 /dev/zero | tr '\\000' 'x' > model.bin && printf '{\"mse\": 0.25}' > metrics.json && mkdir -p logs && echo step > logs/train.log && cp data/deep/er/run tool"
inputs = ["data"]
outputs = ["model.txt", "model.bin", "tool"]
metrics = ["metrics.json"]
"#;

/// What is at each path below a folder: the kind, the exec bit, the bytes or the link's text.
fn tree(root: &Path) -> BTreeMap<PathBuf, (char, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if name.starts_with(".amlrun") {
                continue;
            }
            if about.is_dir() {
                folders.push(path);
                found.insert(name, ('d', Vec::new()));
            } else if about.is_symlink() {
                found.insert(name, ('l', std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            } else {
                let kind = if about.mode() & 0o100 == 0 { 'f' } else { 'x' };
                found.insert(name, (kind, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Runs amlrun in a folder as a user with a umask.
fn amlrun(root: &Path, arguments: &[&str], user: u32, umask: &str, variables: &BTreeMap<String, String>) -> Output {
    let mut command = if user == 0 {
        let mut command = Command::new("sh");
        command.args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask]);
        command
    } else {
        let mut command = Command::new("setpriv");
        let id = user.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", "sh", "-c"]);
        command.args(["umask $1; shift; exec \"$@\"", "sh", umask]);
        command
    };
    command.arg(program()).args(arguments).current_dir(root).env("HOME", root).envs(variables);
    command.output().unwrap()
}

/// The program at a place where any user may execute it.
fn program() -> PathBuf {
    use std::sync::OnceLock;
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_amlrun"), place.path().join("amlrun")).unwrap();
        place
    });
    place.path().join("amlrun")
}

fn clone(folder: &Path, user: u32) -> PathBuf {
    let root = folder.join("project");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("Amlfile"), AMLFILE).unwrap();
    std::os::unix::fs::chown(&root, Some(user), Some(user)).unwrap();
    root
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two users on one machine take root to act for both.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: to act for two users takes root");
    }
    is_root
}

/// From one clone there, into another from there.
fn check(cache: &str, variables: &BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let here = clone(&folder.path().join("here"), 0);
    let there = clone(&folder.path().join("some/where/else"), OTHER);
    let first = said(&amlrun(&here, &["--cache", cache], 0, "077", variables));
    assert!(first.ends_with("2 ran in") || first.contains("2 ran"), "{first}");
    assert!(!first.contains("warning"), "{first}");
    let second = said(&amlrun(&there, &["--cache", cache], OTHER, "002", variables));
    assert!(second.contains("up to date (2 jobs, 2 restored)"), "{cache}: {second}");
    assert!(!second.contains("warning") && second.contains("found in the cache: run "), "{second}");
    assert!(tree(&here) == tree(&there), "{cache}: the trees differ");
    // It comes with its logs, metrics and provenance, and counts as any run from then on.
    let logs = amlrun(&there, &["runs", "logs", "prepare"], OTHER, "022", variables);
    assert!(String::from_utf8_lossy(&logs.stdout).contains("prepared"), "{logs:?}");
    let logs = amlrun(&there, &["runs", "logs", "train"], OTHER, "022", variables);
    assert!(String::from_utf8_lossy(&logs.stdout).contains("step"), "{logs:?}");
    let shown = amlrun(&there, &["runs", "show", "train"], OTHER, "022", variables);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("mse  0.25") && shown.contains("came from the cache"), "{shown}");
    let third = said(&amlrun(&there, &["--cache", "http://127.0.0.1:9/gone"], OTHER, "022", variables));
    assert_eq!(third.trim(), "up to date (2 jobs)");
    // By hand: nothing to push, nothing to pull; into a third clone all comes, without being laid out.
    let push = said(&amlrun(&here, &["cache", "push", "--cache", cache], 0, "022", variables));
    assert!(push.contains("0 pushed, 2 there already; 0 B"), "{push}");
    let third = clone(&folder.path().join("third"), 0);
    let pull = said(&amlrun(&third, &["cache", "pull", "--cache", cache], 0, "022", variables));
    assert!(pull.contains("2 pulled"), "{pull}");
    assert_eq!(tree(&third).len(), 1, "only the Amlfile lies there");
    let after = said(&amlrun(&third, &["--cache-mode", "off"], 0, "022", variables));
    assert!(after.contains("up to date (2 jobs, 2 restored)"), "{after}");
}

/// Starts an engine of `../shared/engines`; none, with a word, where that cannot be. The variables that it exports.
struct Engine {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

fn engines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("shared/engines")
}

impl Engine {
    fn start(script: &str, with: &[(&str, &str)]) -> Option<Self> {
        let path = engines().join(script);
        if !path.is_file() {
            println!("skipped: there is no {script} beside this checkout");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("amlrun-engine-").tempdir().unwrap();
        // What takes long to install is kept for the next time.
        for kept in ["npm", "cargo"] {
            let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engines").join(script).join(kept);
            std::fs::create_dir_all(&place).unwrap();
            std::os::unix::fs::symlink(place, folder.path().join(kept)).unwrap();
        }
        let output = Command::new("bash").arg(&path).arg(folder.path()).envs(with.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        let text = std::fs::read_to_string(folder.path().join("env")).unwrap();
        let mut variables = BTreeMap::new();
        for word in shell_words::split(&text.replace('\n', " ")).unwrap() {
            if let Some((name, value)) = word.split_once('=') {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(Self { folder, variables })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = Command::new("bash").arg(engines().join("down.sh")).arg(self.folder.path()).output();
    }
}

#[test]
fn a_folder() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = folder.path().join("cache");
    // Whoever made it, readable for all; its owner writes.
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    check(cache.to_str().unwrap(), &BTreeMap::new());
    modes(&cache, 0o755);
}

/// Two users of one group write into one folder, whatever their umasks; nothing in it may be written by everybody.
#[test]
fn a_folder_of_a_group() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = folder.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::os::unix::fs::chown(&cache, Some(0), Some(OTHER)).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o2775)).unwrap();
    let place = cache.to_str().unwrap();
    let (one, two) = (clone(&folder.path().join("one"), 0), clone(&folder.path().join("two"), OTHER));
    let none = BTreeMap::new();
    assert!(said(&amlrun(&one, &["prepare", "--cache", place], 0, "077", &none)).contains("1 ran"));
    let second = said(&amlrun(&two, &["--cache", place], OTHER, "077", &none));
    assert!(
        second.contains("1 ran") && second.contains("found in the cache") && !second.contains("warning"),
        "{second}"
    );
    let third = said(&amlrun(&one, &["--cache", place], 0, "077", &none));
    assert!(third.contains("1 restored") && !third.contains("ran"), "{third}");
    modes(&cache, 0o2775);
}

/// All folders have the mode of the first, no file may be written by anybody.
fn modes(cache: &Path, mode: u32) {
    let mut folders = vec![cache.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o7777, mode, "{}", folder.display());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = std::fs::metadata(&path).unwrap();
            if about.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(about.mode() & 0o7777, 0o444, "{}", path.display());
            }
        }
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn azure() {
    let Some(engine) = is_root().then(|| Engine::start("azurite-up.sh", &[])).flatten() else { return };
    // The container is made as its owner would: amlrun makes none.
    let script = r#"
import base64, datetime, hashlib, hmac, os, urllib.request
fields = dict(part.split("=", 1) for part in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";") if part)
account, url = fields["AccountName"], fields["BlobEndpoint"] + "/cache?restype=container"
now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{now}\nx-ms-version:2021-08-06\n/{account}/{account}/cache\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(fields["AccountKey"]), text.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": now, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{sign}", "Content-Length": "0"}
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, method="PUT", headers=headers))
"#;
    let made = Command::new("python3").args(["-c", script]).envs(&engine.variables).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    check("az://cache/some/place", &engine.variables);
    stats("az://cache/some/place", &engine.variables);
}

/// What is there can be listed, and the container's own top holds nothing else.
fn stats(cache: &str, variables: &BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let root = clone(folder.path(), 0);
    let output = amlrun(&root, &["cache", "stats", "--json", "--cache", cache], 0, "022", variables);
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["records"], 2, "{stats}");
    assert!(stats["packs"].as_u64().unwrap() >= 3 && stats["bytes"].as_u64().unwrap() > 10_000, "{stats}");
}

#[test]
fn s3() {
    let Some(engine) = is_root().then(|| Engine::start("s3s-up.sh", &[])).flatten() else { return };
    std::fs::create_dir(engine.folder.path().join("root/bucket")).unwrap();
    check("s3://bucket/some/place", &engine.variables);
    stats("s3://bucket/some/place", &engine.variables);
    // The same from the files of Amazon's own tools.
    let folder = tempfile::tempdir().unwrap();
    let (root, home) = (clone(folder.path(), 0), folder.path().join("home/.aws"));
    std::fs::create_dir_all(&home).unwrap();
    let secret = |secret: &str| {
        let text = format!("[team]\naws_access_key_id = test\naws_secret_access_key = {secret}\n");
        std::fs::write(home.join("credentials"), text).unwrap();
    };
    secret("testsecret");
    let endpoint = &engine.variables["AWS_ENDPOINT_URL"];
    let config = format!("[profile team]\nregion = us-east-1\nendpoint_url = {endpoint}\n");
    std::fs::write(home.join("config"), config).unwrap();
    let at_home = folder.path().join("home").to_str().unwrap().to_owned();
    let variables = BTreeMap::from([("AWS_PROFILE".to_owned(), "team".to_owned()), ("HOME".to_owned(), at_home)]);
    let hit = said(&amlrun(&root, &["--cache", "s3://bucket/some/place"], 0, "022", &variables));
    assert!(hit.contains("up to date (2 jobs, 2 restored)"), "{hit}");
    // A wrong secret: one warning, and the build goes on.
    secret("no");
    std::fs::remove_dir_all(root.join(".amlrun")).unwrap();
    let denied = said(&amlrun(&root, &["--cache", "s3://bucket/some/place"], 0, "022", &variables));
    assert!(denied.contains("2 ran") && denied.contains("403 Forbidden"), "{denied}");
    assert_eq!(denied.matches("warning: ").count(), 1, "{denied}");
}

#[test]
fn web() {
    let Some(engine) = is_root().then(|| Engine::start("httpcache-up.sh", &[("TOKEN", "let-me-in")])).flatten() else {
        return;
    };
    let cache = format!("{}/some/place", engine.variables["HTTP_CACHE"]);
    let token = BTreeMap::from([("AMLRUN_CACHE_TOKEN".to_owned(), "let-me-in".to_owned())]);
    check(&cache, &token);
    let folder = tempfile::tempdir().unwrap();
    let denied = said(&amlrun(&clone(folder.path(), 0), &["--cache", &cache], 0, "022", &BTreeMap::new()));
    assert!(denied.contains("2 ran") && denied.contains("401 Unauthorized"), "{denied}");
    assert_eq!(denied.matches("warning").count(), 1, "{denied}");
}
