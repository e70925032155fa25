//! The shell parts of `docs/ci.md`, run as they stand: in a clone that computes everything, and in another one at another
//! path that finds it in the cache that the service kept. Only the installation is stood in for: `cargo` is a script.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const AMLFILE: &str = r#"format = 1

[experiments.train]
sources = ["train.sh"]
command = "sh train.sh"
outputs = ["model.txt"]
metrics = ["metrics.json"]
"#;
const TRAIN: &str = "echo 'some output'\necho model > model.txt\necho '{\"mse\": 0.25}' > metrics.json\n";

#[test]
fn github_actions() {
    let place = tempfile::tempdir().unwrap();
    let summary = place.path().join("summary.md");
    let variables = [("GITHUB_ACTIONS", "true".to_owned()), ("GITHUB_STEP_SUMMARY", summary.display().to_string())];
    let said = twice(place.path(), "GitHub Actions", &variables);
    assert!(said.contains("::group::train: output\ntrain  | some output\n::endgroup::\n"), "{said}");
    let text = fs::read_to_string(summary).unwrap();
    assert!(text.contains("1 ran") && text.contains("| train | ran | never ran |"), "{text}");
    assert!(text.contains("| train | mse | 0.25 |"), "{text}");
    // The second clone took the result from the cache, metrics and all.
    let second = text.split("## ").nth(2).unwrap();
    assert!(second.contains("| train | restored |") && second.contains("| train | mse | 0.25 |"), "{text}");
}

#[test]
fn gitlab() {
    let place = tempfile::tempdir().unwrap();
    let said = twice(place.path(), "GitLab", &[("GITLAB_CI", "true".to_owned())]);
    assert!(said.contains("section_start:") && said.contains("train: output\ntrain  | some output\n"), "{said}");
    assert!(fs::read_to_string(place.path().join("two/amlrun.md")).unwrap().contains("restored"));
}

#[test]
fn azure_pipelines() {
    let place = tempfile::tempdir().unwrap();
    let said = twice(place.path(), "Azure Pipelines", &[("TF_BUILD", "True".to_owned())]);
    assert!(said.contains("##[group]train: output\ntrain  | some output\n##[endgroup]\n"), "{said}");
    assert!(said.contains("##vso[task.uploadsummary]"), "{said}");
}

#[test]
fn a_fault_is_an_annotation_and_a_failure_is_in_the_reports() {
    let place = tempfile::tempdir().unwrap();
    let project = clone(place.path(), "one");
    let github = [("GITHUB_ACTIONS", "true".to_owned())];
    fs::write(project.join("Amlfile"), AMLFILE.replace("outputs", "output")).unwrap();
    let done = shell(place.path(), &project, "amlrun", &github);
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("::error file=Amlfile,line=6,col=1,title=unknown-key::"), "{said}");

    fs::write(project.join("Amlfile"), AMLFILE).unwrap();
    fs::write(project.join("train.sh"), "echo '<oops>'; exit 3\n").unwrap();
    let done = shell(place.path(), &project, "amlrun --ci --junit j.xml --summary s.md", &[]);
    assert_eq!(done.status.code(), Some(1));
    let (junit, summary) = ["j.xml", "s.md"].map(|name| fs::read_to_string(project.join(name)).unwrap()).into();
    assert!(junit.contains("<failure message=\"exit status 3\">&lt;oops&gt;</failure>"), "{junit}");
    assert!(summary.contains("| train | ❌ failed | exit status 3 |"), "{summary}");
    let done = shell(place.path(), &project, "amlrun status --exit-code", &[]);
    assert_eq!(done.status.code(), Some(5));
}

/// Runs the shell parts of one section in two clones that share a cache; what the first one said.
fn twice(place: &Path, title: &str, variables: &[(&str, String)]) -> String {
    let parts = shell_parts(title);
    assert!(parts.iter().any(|part| part.contains("amlrun --cache")), "{parts:?}");
    let mut said = Vec::new();
    for name in ["one", "two"] {
        let project = clone(place, name);
        let mut all = String::new();
        for part in &parts {
            let done = shell(place, &project, part, variables);
            let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{part}\nended with {}:\n{text}", done.status);
            all += &text;
        }
        let junit = fs::read_to_string(project.join("amlrun.xml")).unwrap();
        assert!(junit.contains("tests=\"1\" failures=\"0\"") && junit.contains("name=\"train\""), "{junit}");
        said.push(all);
    }
    assert!(said[0].contains("1 ran"), "{}", said[0]);
    assert!(
        said[1].contains("found in the cache") && said[1].contains("up to date (1 job, 1 restored)"),
        "{}",
        said[1]
    );
    let installed = fs::read_to_string(place.join("installed")).unwrap();
    assert_eq!(installed, "install --locked --git ADDRESS amlrun\n".repeat(2));
    said.swap_remove(0)
}

fn clone(place: &Path, name: &str) -> std::path::PathBuf {
    let project = place.join(name);
    fs::create_dir(&project).unwrap();
    fs::write(project.join("Amlfile"), AMLFILE).unwrap();
    fs::write(project.join("train.sh"), TRAIN).unwrap();
    project
}

fn shell(place: &Path, project: &Path, script: &str, variables: &[(&str, String)]) -> Output {
    let tools = place.join("tools");
    if !tools.exists() {
        fs::create_dir(&tools).unwrap();
        let cargo = format!("#!/bin/sh\necho \"$@\" >> {}\n", place.join("installed").display());
        fs::write(tools.join("cargo"), cargo).unwrap();
        fs::set_permissions(tools.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_amlrun"), tools.join("amlrun")).unwrap();
    }
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(project).env_clear().stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display())).env("HOME", place);
    command.env("AMLRUN_SOURCE", "ADDRESS").env("AMLRUN_CACHE", place.join("cache"));
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    command.output().unwrap()
}

/// The commands of a section's workflow: `run:` and `script:`, be they a text, a block or a list.
fn shell_parts(title: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let section = text.split(&format!("## {title}\n")).nth(1).unwrap();
    let yaml = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let lines: Vec<&str> = yaml.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut parts = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let item = line.trim_start().trim_start_matches("- ");
        let Some(rest) = item.strip_prefix("run:").or_else(|| item.strip_prefix("script:")) else { continue };
        let below = || lines[at + 1..].iter().take_while(|next| indent(next) > indent(line));
        match rest.trim() {
            "|" => parts.push(below().map(|line| line.trim()).collect::<Vec<_>>().join("\n")),
            "" => parts.extend(below().map(|line| line.trim().trim_start_matches("- ").to_owned())),
            one => parts.push(one.to_owned()),
        }
    }
    parts
}
