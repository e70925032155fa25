//! Tools that are scripts on PATH: what amlrun does when they fail.

use super::super::{EnvironmentError, Environments, Step};
use super::*;

#[test]
fn a_bare_command_needs_nothing() {
    let world = World::new(false);
    let bare = environment(EnvironmentKind::UserManaged { interpreter: None });
    assert_eq!(world.key(&bare, true).unwrap().unwrap(), Key::of(BTreeMap::new()));
    assert_eq!(world.ready(&bare).unwrap(), (Activation::default(), false));
    assert!(world.cached().is_empty());
}

#[test]
fn what_spark_submit_is_given_is_in_the_key() {
    let world = World::new(false);
    let mut bare = environment(EnvironmentKind::UserManaged { interpreter: None });
    let mut seen = vec![world.key(&bare, true).unwrap().unwrap()];
    let mut spark = crate::project::model::Spark::default();
    let mut changed = |spark: &crate::project::model::Spark| {
        bare.spark = Some(spark.clone());
        let key = world.key(&bare, true).unwrap().unwrap();
        assert!(!seen.contains(&key), "{spark:?}");
        seen.push(key);
    };
    spark.packages.push("g:a:1".to_owned());
    changed(&spark);
    spark.jars.push("g:a:1".to_owned());
    changed(&spark);
    spark.py_files.push("lib.zip".to_owned());
    changed(&spark);
    spark.repositories.push("https://repository".to_owned());
    changed(&spark);
    spark.configuration.insert("spark.sql.shuffle.partitions".to_owned(), "8".to_owned());
    changed(&spark);
    spark.configuration.insert("spark.sql.shuffle.partitions".to_owned(), "9".to_owned());
    changed(&spark);
}

#[test]
fn a_missing_interpreter_is_told_with_what_was_tried() {
    let mut world = World::new(false);
    let broken = world.script("python3.77", "#!/bin/sh\necho 'no such version' >&2\nexit 127\n");
    let of = |version: &str| {
        let (python, packages) = (Some(version.to_owned()), Packages::Listed(Vec::new()));
        environment(EnvironmentKind::Managed { python, packages })
    };
    let message = world.key(&of("3.77"), false).unwrap_err().to_string();
    assert!(
        message.starts_with("no Python interpreter `python3.77` is to be found (tried `python3.77`, "),
        "{message}"
    );
    assert!(message.contains(&format!("`{}` does not run as Python 3", broken.display())), "{message}");
    let message = world.key(&of("latest"), false).unwrap_err().to_string();
    assert!(message.contains("is not a version like `3.11`"), "{message}");
    let message = world.key(&user_managed("venv/bin/python"), false).unwrap_err().to_string();
    assert!(message.contains("project/venv/bin/python`, which is no executable file"), "{message}");
    let message = world.key(&user_managed("python3.77"), false).unwrap_err().to_string();
    assert!(message.contains("does not run as Python 3"), "{message}");
}

/// A `uv` whose `pip compile` does this.
fn uv_that(world: &mut World, does: &str) {
    let script = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo uv 9; exit; fi\n{does}\n");
    world.script("uv", &script);
}

#[test]
fn a_failed_resolution_shows_its_end_and_its_command() {
    let mut world = World::new(false);
    uv_that(
        &mut world,
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do echo line $i; done; echo https://me:pass@host/x >&2; exit 3",
    );
    let mut heard = Vec::new();
    let asked = managed(&["six"]);
    let error = world.builder().key(&asked, false, &mut |step| heard.extend(output(step))).unwrap_err();
    assert_eq!(heard.len(), 19, "{heard:?}");
    let EnvironmentError::Tool { program, command, status, tail } = error else { panic!("{error}") };
    assert_eq!((program.as_str(), status.as_str()), ("uv", "exit status 3"));
    assert!(command.contains("tools/uv pip compile --quiet --generate-hashes"), "{command}");
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[14]), (15, "line 4", "https://host/x"), "{tail}");
    assert_eq!(world.lock_text(), None);
    let words = shell_words::split(&command).unwrap();
    assert!(Path::new(words.last().unwrap()).exists(), "the command can be repeated: its input is still there");
}

fn output(step: Step) -> Option<String> {
    match step {
        Step::Output(line) => Some(line),
        Step::Started => None,
    }
}

#[test]
fn a_dry_run_resolves_nothing_and_writes_nothing() {
    let mut world = World::new(false);
    uv_that(&mut world, "touch \"$HOME/called\"; exit 1");
    let home = world.setup.root.join("home");
    std::fs::create_dir(&home).unwrap();
    world.setup.variables.insert("HOME".to_owned(), home.display().to_string());
    assert_eq!(world.key(&managed(&["six"]), true).unwrap(), None);
    assert!(world.key(&managed(&[]), true).unwrap().is_some());
    assert_eq!((world.cached(), world.lock_text()), (Vec::new(), None));
    assert!(!home.join("called").exists());
}

#[test]
fn a_damaged_lock_is_never_written_over() {
    let mut world = World::new(false);
    uv_that(&mut world, "exit 1");
    world.write("Amlfile.lock", "version = 1\n[[environment]]\nname = 1\n");
    for upgrade in [false, true] {
        let error = world.builder().lock(&managed(&["six"]), upgrade, &mut |_| {}).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("Amlfile.lock: line 3: `name` is missing or not a text; restore it"), "{message}");
    }
    assert_eq!(world.lock_text().unwrap(), "version = 1\n[[environment]]\nname = 1\n");
}

/// A `uv pip compile` that answers `six` in this version, and notes what it was given to prefer.
fn compiler(version: &str) -> String {
    let hash = "a".repeat(64);
    format!(
        "while [ $# -gt 1 ]; do [ \"$1\" = --output-file ] && out=$2; shift; done\n\
         cp \"$out\" \"$out.before\"; cat \"$out.before\" >> {{}}\n\
         printf 'six=={version} --hash=sha256:{hash}\\n' > \"$out\""
    )
}

#[test]
fn what_is_locked_stays_until_it_is_asked_anew() {
    let mut world = World::new(false);
    let seen = world.folder.path().join("seen");
    let seen_path = seen.display().to_string();
    let preferred = || std::fs::read_to_string(&seen).unwrap_or_default();
    uv_that(&mut world, &compiler("1.16.0").replace("{}", &seen_path));
    let key = world.key(&managed(&["six"]), false).unwrap().unwrap();
    assert_eq!(fact(&key, "package six"), Some("1.16.0"));
    let first = world.lock_text().unwrap();
    assert!(!first.contains("://"), "{first}");

    uv_that(&mut world, &compiler("1.17.0").replace("{}", &seen_path));
    assert_eq!(world.key(&managed(&["six"]), true).unwrap().unwrap(), key, "locked: nobody is asked");
    assert_eq!(world.key(&managed(&["six>1"]), true).unwrap(), None, "other requirements are not locked");
    assert_eq!(preferred(), "");

    let now = world.key(&managed(&["six>1"]), false).unwrap().unwrap();
    assert_eq!(fact(&now, "package six"), Some("1.17.0"));
    assert_eq!(preferred(), "six==1.16.0", "the old version is preferred");
    world.builder().lock(&managed(&["six>1"]), true, &mut |_| {}).unwrap();
    assert_eq!(preferred(), "six==1.16.0", "but not where all is asked anew");

    let text = world.lock_text().unwrap();
    let mut other = managed(&["six"]);
    other.name = "other".to_owned();
    world.key(&other, false).unwrap();
    assert_eq!(
        world.lock_text().unwrap().matches("[[environment]]").count(),
        2,
        "one environment leaves another's alone"
    );
    assert!(world.builder().prune(&["it"]).unwrap());
    assert!(!world.builder().prune(&["it"]).unwrap());
    assert_eq!(world.lock_text().unwrap(), text);
}
