//! Real environments, by the Python of this machine and one small package of the index.

use std::process::Command;

use super::*;

const SIX: &str = "six==1.16.0";

fn says(interpreter: &Path, code: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test looks into the environment from outside")]
    let output = Command::new(interpreter).args(["-B", "-c", code]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn site_packages(activation: &Activation) -> Vec<String> {
    let code = "import site, os; print(*sorted(os.listdir(site.getsitepackages()[0])), sep='\\n')";
    let names = says(activation.interpreter.as_ref().unwrap(), code);
    names.lines().filter(|name| *name != "__pycache__").map(str::to_owned).collect()
}

fn wrong_hash(line: &str) -> String {
    match line.split_once("sha256:") {
        Some((before, hash)) => format!("{before}sha256:0000{}", hash.get(4..).unwrap()),
        None => line.to_owned(),
    }
}

/// Resolved, built, and found again, by either installer.
fn round(world: &World) {
    let six = managed(&[SIX]);
    assert_eq!(world.key(&six, true).unwrap(), None);
    assert!(world.cached().is_empty(), "a dry run writes nothing");
    let key = world.key(&six, false).unwrap().unwrap();
    assert_eq!(fact(&key, "package six"), Some("1.16.0"));
    assert!(fact(&key, "python").unwrap().starts_with("CPython 3."), "{key:?}");
    let here = world.folder.path().display().to_string();
    assert!(!format!("{key:?}").contains(&here), "{key:?}");
    let text = world.lock_text().unwrap();
    assert!(
        !text.contains("://")
            && text.contains("sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"),
        "{text}"
    );

    let (activation, built) = world.ready(&six).unwrap();
    assert!(built);
    let interpreter = activation.interpreter.clone().unwrap();
    assert_eq!(says(&interpreter, "import six; print(six.__version__)"), "1.16.0");
    assert_eq!(site_packages(&activation), ["six-1.16.0.dist-info", "six.py"]);
    assert_eq!(activation.path, [interpreter.parent().unwrap()]);
    assert!(interpreter.starts_with(&activation.variables["VIRTUAL_ENV"]));
    let compiled = "import six, os; print(os.path.exists(six.__cached__))";
    assert_eq!(says(&interpreter, compiled), "True", "jobs write no bytecode");

    assert_eq!(world.key(&six, true).unwrap().unwrap(), key);
    assert_eq!(world.ready(&six).unwrap(), (activation.clone(), false));
    world.builder().lock(&six, true, &mut |_| {}).unwrap();
    assert_eq!(world.lock_text().unwrap(), text, "the same bytes again");

    // A build that was killed leaves a folder without its note.
    let folder = Path::new(&activation.variables["VIRTUAL_ENV"]);
    std::fs::remove_file(folder.join("amlrun-environment.json")).unwrap();
    put(&folder.join("half"), "");
    assert!(world.ready(&six).unwrap().1);
    assert!(!folder.join("half").exists());
    let look = world.builder().look(&six).unwrap();
    assert!(look.built && look.size.unwrap() > 10_000, "{look:?}");
    assert_eq!(look.section.unwrap().packages.len(), 1);

    // The installer checks the hashes of the lock.
    world.write("Amlfile.lock", &text.lines().map(|line| wrong_hash(line) + "\n").collect::<String>());
    let error = world.ready(&six).unwrap_err();
    assert!(matches!(&error, EnvironmentError::Tool { tail, .. } if tail.to_lowercase().contains("hash")), "{error}");
    let error = world.ready(&six).unwrap_err();
    assert!(matches!(error, EnvironmentError::Tool { .. }), "a failed build is not taken for a good one: {error}");
}

#[test]
fn pip_resolves_and_installs() {
    let world = World::new(false);
    round(&world);
    let error = world.key(&managed(&["six==0.0.0.1"]), false).unwrap_err();
    let EnvironmentError::Tool { program, tail, .. } = &error else { panic!("{error}") };
    assert_eq!(program, "pip");
    assert!(tail.contains("No matching distribution found for six==0.0.0.1"), "{tail}");
    archive(&world);
}

#[test]
fn uv_resolves_and_installs() {
    let world = World::new(true);
    if world.builder().uv().is_none() {
        eprintln!("skipped: no uv on PATH");
        return;
    }
    round(&world);
    archive(&world);
}

/// Makes a wheel of one module, without an index.
fn wheel(world: &World, place: &str, value: &str) {
    let base = world.ready(&managed(&[])).unwrap().0.interpreter.unwrap();
    let path = world.setup.root.join(place);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let code = format!(
        "import zipfile\n\
         note = 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n'\n\
         kind = 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'\n\
         with zipfile.ZipFile({:?}, 'w') as z:\n\
         \x20   z.writestr('tiny.py', 'value = {value}\\n')\n\
         \x20   z.writestr('tiny-1.0.dist-info/METADATA', note)\n\
         \x20   z.writestr('tiny-1.0.dist-info/WHEEL', kind)\n\
         \x20   z.writestr('tiny-1.0.dist-info/RECORD', 'tiny.py,,\\n')\n",
        path.display().to_string()
    );
    says(&base, &code);
}

/// An archive in the workspace is locked by its place there and its bytes.
fn archive(world: &World) {
    wheel(world, "env/wheels/tiny-1.0-py3-none-any.whl", "1");
    world.write("env/requirements.txt", "--no-index\n./wheels/tiny-1.0-py3-none-any.whl\n");
    let file = crate::relpath::RelPath::new("env/requirements.txt").unwrap();
    let it = environment(EnvironmentKind::Managed { python: None, packages: Packages::File(file) });
    let value = || {
        let activation = world.ready(&it).unwrap().0;
        says(&activation.interpreter.unwrap(), "import tiny; print(tiny.value)")
    };
    assert_eq!(value(), "1");
    let key = world.key(&it, true).unwrap().unwrap();
    let text = world.lock_text().unwrap();
    assert!(text.contains("source = \"./env/wheels/tiny-1.0-py3-none-any.whl\""), "{text}");
    assert!(!text.contains(&*world.setup.root.to_string_lossy()), "{text}");
    wheel(world, "env/wheels/tiny-1.0-py3-none-any.whl", "2");
    assert_eq!(world.key(&it, true).unwrap(), None, "other bytes are not locked");
    assert_eq!(value(), "2");
    assert_ne!(world.key(&it, true).unwrap().unwrap(), key);
}

#[test]
fn several_builders_at_once_build_once() {
    let world = World::new(false);
    let empty = managed(&[]);
    let built: usize = std::thread::scope(|scope| {
        let one = || scope.spawn(|| usize::from(world.ready(&empty).unwrap().1));
        let builders: Vec<_> = (0..6).map(|_| one()).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).sum()
    });
    assert_eq!(built, 1);
    assert_eq!(world.lock_text(), None, "nothing was resolved");
    let (activation, _) = world.ready(&empty).unwrap();
    assert_eq!(site_packages(&activation), Vec::<String>::new());
}

/// A virtual environment of the user's own, without pip.
fn venv(world: &World, name: &str) -> PathBuf {
    let base = world.ready(&managed(&[])).unwrap().0.interpreter.unwrap();
    let folder = world.setup.root.join(name);
    says(
        &base,
        &format!("import venv; venv.create({:?}, with_pip=False, symlinks=True)", folder.display().to_string()),
    );
    folder
}

#[test]
fn the_users_own_interpreter_counts_with_what_is_installed() {
    let world = World::new(false);
    let folder = venv(&world, "mine");
    let mine = user_managed("mine/bin/python");
    let before = world.cached();
    let key = world.key(&mine, true).unwrap().unwrap();
    assert_eq!(world.cached(), before, "a dry run writes nothing");
    assert_eq!(fact(&key, "interpreter"), Some("mine/bin/python"));
    assert!(!key.facts.keys().any(|name| name.starts_with("package ")), "{key:?}");
    let (activation, built) = world.ready(&mine).unwrap();
    assert!(!built);
    assert_eq!(activation.interpreter, Some(folder.join("bin/python")), "not resolved through its link");
    assert_eq!(activation.path, [folder.join("bin")]);
    assert_eq!(activation.variables["VIRTUAL_ENV"], folder.display().to_string());

    let site = PathBuf::from(says(&folder.join("bin/python"), "import site; print(site.getsitepackages()[0])"));
    put(&site.join("six-1.16.0.dist-info/METADATA"), "");
    let with_six = world.key(&mine, false).unwrap().unwrap();
    assert_eq!(fact(&with_six, "package six"), Some("1.16.0"));
    assert_eq!(world.key(&mine, true).unwrap().unwrap(), with_six);
    std::fs::create_dir(world.setup.root.join("lib")).unwrap();
    put(&site.join("mine.pth"), &format!("{}\n", world.setup.root.join("lib").display()));
    assert_eq!(fact(&world.key(&mine, false).unwrap().unwrap(), "path"), Some("./lib"));
    std::fs::remove_file(site.join("mine.pth")).unwrap();
    std::fs::remove_dir_all(site.join("six-1.16.0.dist-info")).unwrap();
    assert_eq!(world.key(&mine, false).unwrap().unwrap(), key);
}

#[test]
fn the_same_project_elsewhere_has_the_same_key() {
    let keys: Vec<Key> = (0..2)
        .map(|_| {
            let world = World::new(false);
            venv(&world, "mine");
            world.key(&user_managed("mine/bin/python"), false).unwrap().unwrap()
        })
        .collect();
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_script_that_starts_an_interpreter_is_asked_each_time() {
    let mut world = World::new(false);
    let real = world.ready(&managed(&[])).unwrap().0.interpreter.unwrap();
    let count = world.folder.path().join("count");
    let text = format!("#!/bin/sh\necho x >> {}\nexec {} \"$@\"\n", count.display(), real.display());
    let wrapper = world.script("wrapper", &text);
    let asked = || std::fs::read_to_string(&count).map_or(0, |text| text.lines().count());
    let mine = user_managed(&wrapper.display().to_string());
    world.key(&mine, false).unwrap();
    world.key(&mine, false).unwrap();
    assert_eq!(asked(), 2, "its own file says nothing about what it starts");
    let (activation, _) = world.ready(&mine).unwrap();
    assert_eq!(activation.interpreter, Some(real), "the job starts what the script leads to");
}

#[test]
fn an_interpreter_at_rest_is_not_started_again() {
    let world = World::new(false);
    let key = world.key(&managed(&[]), false).unwrap().unwrap();
    let records: Vec<PathBuf> =
        world.cached().into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    let version = fact(&key, "python").unwrap().split(' ').next_back().unwrap();
    for record in &records {
        let text = std::fs::read_to_string(record).unwrap();
        put(record, &text.replace(&format!("\"version\":\"{version}\""), "\"version\":\"3.99.0\""));
    }
    let now = world.key(&managed(&[]), false).unwrap().unwrap();
    assert_eq!(fact(&now, "python"), Some("CPython 3.99.0"), "the record is what was asked");
    for record in &records {
        put(record, "{");
    }
    assert_eq!(world.key(&managed(&[]), false).unwrap().unwrap(), key, "a damaged record is no answer");
}

#[test]
fn a_lock_stays_held_while_an_orphan_of_the_build_lives() {
    use super::super::place::{Place, hold};
    use super::super::tool::Tool;
    let world = World::new(false);
    let place = Place::new(&world.setup.cache, &Key::of(BTreeMap::new()));
    let held = hold(&place.folder.with_extension("lock"), &world.setup.halt).unwrap();
    let gate = world.folder.path().join("gate");
    let orphan = format!("mkfifo {0}; exec 3<&0; cat {0} >/dev/null 2>&1 &", gate.display());
    let tool = Tool::new(Path::new("/bin/sh"), &world.setup.variables, &world.setup.root);
    tool.args(["-c", &orphan]).guarded(&held).unwrap().stream(&world.setup.halt, &mut |_| {}).unwrap();
    drop(held);
    assert!(place.try_hold().unwrap().is_err(), "the builder is gone, what it started still writes");
    drop(std::fs::File::options().write(true).open(&gate).unwrap());
    drop(place.hold(&world.setup.halt).unwrap());
}
