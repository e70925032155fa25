//! What `amlrun export` writes: the official package of Azure ML loads it without a warning and gives code the same hash;
//! what `amlrun import` makes of it are the same jobs. Needs Python 3 and, the first time, a package registry; the packages
//! are kept in `target/tmp` for the next time.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use amlrun::diagnostic::{Severity, Source};
use amlrun::export::{self, Context};
use amlrun::foreign::{Look, import, write};
use amlrun::plan::{self, Plan, Request};
use amlrun::project::{Found, Project};
use amlrun::relpath::RelPath;

/// A folder on disk.
struct Disk(PathBuf);

impl Look for Disk {
    fn list(&self, folder: &str) -> Vec<(String, bool)> {
        let entries = std::fs::read_dir(self.0.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|e| (e.file_name().into_string().unwrap(), e.file_type().unwrap().is_dir())).collect();
        names.sort();
        names
    }
    fn read(&self, path: &str) -> Option<Result<String, String>> {
        std::fs::read_to_string(self.0.join(path)).ok().map(Ok)
    }
    fn above(&self, path: &str) -> Option<Result<String, String>> {
        self.read(path)
    }
    fn there(&self, path: &str) -> Option<bool> {
        std::fs::metadata(self.0.join(path)).ok().map(|found| found.is_dir())
    }
}

/// The plan of a project; none where its Amlfile has faults.
fn planned(root: &Path, source: &Source) -> Option<(Project, Plan)> {
    let (document, mut faults) = amlrun::amlfile::parse(source);
    let probe = |path: &RelPath| match std::fs::metadata(root.join(path.as_path())) {
        Ok(found) if found.is_dir() => Found::Folder,
        Ok(_) => Found::File,
        Err(_) => Found::Missing,
    };
    let (project, more) = amlrun::project::resolve(&document, "project", &probe);
    faults.extend(more);
    let variables = ["HOME", "RAY_TOKEN"].map(|name| (name.to_owned(), "of the caller".to_owned())).into();
    let (plan, more) = plan::build(&project, &Request { variables, ..Request::default() }, root.to_owned());
    faults.extend(more);
    faults.iter().all(|fault| fault.severity != Severity::Error).then_some((project, plan))
}

fn read(root: &Path) -> Source {
    let text = std::fs::read(root.join("Amlfile")).unwrap_or_default();
    Source { name: "Amlfile".to_owned(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// Exports a project into its folder `azureml`; what was left out.
fn exported(root: &Path, source: &Source, project: &Project, plan: &Plan) -> Vec<String> {
    let (document, _) = amlrun::amlfile::parse(source);
    let look = Disk(root.to_owned());
    let back = "..".to_owned();
    let report = amlrun::foreign::Report::default();
    let exported = export::azureml::export(Context {
        project,
        plan,
        source,
        document: &document,
        look: &look,
        back,
        set: BTreeSet::new(),
        report,
    });
    for (path, text) in &exported.files {
        let place = root.join("azureml").join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }
    exported.left_out
}

/// What a job is, whatever it is called: command, directory, inputs, outputs, and who it waits for, told the same way.
fn identity(plan: &Plan, job: usize, with_params: bool) -> String {
    let of = &plan.jobs[job];
    let inputs: Vec<_> = of.inputs.iter().map(|input| (&input.name, &input.path)).collect();
    let outputs: Vec<_> = of.outputs.iter().map(|output| (&output.name, &output.path, output.metric)).collect();
    let mut needs: Vec<String> = of.needs.iter().map(|need| identity(plan, need.0, with_params)).collect();
    needs.sort();
    let params = if with_params { format!("{:?}", of.params) } else { String::new() };
    let rest = (&of.sources, &of.variables, of.retries, &of.secrets, of.cache, of.isolation, &of.distributed.is_some());
    let resources = (of.resources.cpus, of.resources.gpus, of.resources.memory, of.resources.time);
    format!(
        "{:?} in {:?} with {params} reads {inputs:?} writes {outputs:?} {rest:?} {resources:?} after {needs:#?}",
        of.command, of.source_directory
    )
}

/// All projects of the repository: fixtures and cases, `Amlfile.example`, and what the foreign fixtures become.
fn projects(to: &Path) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("fixtures/diabetes"), root.join("fixtures/azureml")];
    for topic in folders(&root.join("tests/cases")) {
        found.extend(folders(&topic).into_iter().map(|case| case.join("project")));
    }
    found.retain(|project| project.join("Amlfile").exists());
    let mut projects = Vec::new();
    for project in found {
        let name = project.strip_prefix(root).unwrap().display().to_string();
        let place = to.join(name.replace('/', "-"));
        copy(&project, &place);
        projects.push((name, place));
    }
    let example = to.join("example");
    std::fs::create_dir_all(example.join("docker")).unwrap();
    for path in ["prepare/prepare.py", "train/train.py", "evaluate.py", "data/raw.csv"] {
        std::fs::create_dir_all(example.join(path).parent().unwrap()).unwrap();
        std::fs::write(example.join(path), "").unwrap();
    }
    std::fs::write(example.join("requirements.txt"), "numpy==2.1.0 # a comment\n-r more.txt\n").unwrap();
    std::fs::write(example.join("conda.yml"), "dependencies: [python=3.11]\n").unwrap();
    std::fs::write(example.join("docker/Dockerfile"), "FROM scratch\n").unwrap();
    std::fs::copy(root.join("Amlfile.example"), example.join("Amlfile")).unwrap();
    projects.push(("Amlfile.example".to_owned(), example));
    for (name, amlfile) in [("sweep-nested", NESTED), ("sweep-exact", EXACT), ("spark", SPARK)] {
        let place = to.join(name);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("t.py"), "").unwrap();
        std::fs::write(place.join("Amlfile"), amlfile).unwrap();
        projects.push((name.to_owned(), place));
    }
    for name in ["v2", "mlproject", "dvc"] {
        let place = to.join(format!("import-{name}"));
        copy(&root.join("fixtures/import").join(name), &place);
        let imported = import(&Disk(place.clone()), &[".".to_owned()]);
        std::fs::write(place.join("Amlfile"), write::amlfile(&imported.proposal, &imported.sources)).unwrap();
        projects.push((format!("fixtures/import/{name}"), place));
    }
    projects
}

/// A sweep whose choices hold spaces of their own, with parameters that a trial may leave out.
const NESTED: &str = r#"format = 1
[experiments.tune]
script = "t.py"
arguments = ["--gamma=${gamma}", "--on", "${nest-erov}"]
params = { gamma = 0.10, "nest-erov" = "as ${stage}", stage = "it is" }
[experiments.tune.sweep]
sampling = "random"
metric = "loss"
goal = "minimize"
max_trials = 8
[experiments.tune.sweep.space]
lr = { loguniform = [-7, -1] }
model = { choice = [
    "plain",
    { model = "svm", gamma = { qlognormal = [0, 1, 0.5] }, "nest-erov" = true },
    { model = "tree", depth = { choice = [2, { depth = 3, width = { randint = 8 } }, {}] }, gamma = 1e-3 },
] }
"nest_erov" = { normal = [0, 1.5] }
"#;

/// Values that v2 does not take as they are, in a grid whose number of trials follows from its nested spaces.
const EXACT: &str = r#"format = 1
[experiments.tune]
command = "python t.py ${flag} ${rate} ${sizes}"
params = { sizes = [0.0] }
[experiments.tune.sweep]
sampling = "grid"
metric = "loss"
goal = "minimize"
[experiments.tune.sweep.space]
flag = { choice = [true, "true", 1, 1.0, "1"] }
rate = { choice = [0.10, 1e-3, { rate = 0.5, sizes = [1, 0.50] }, { sizes = { choice = ["1,2", [1, 2]] }, rate = "x" }] }
"#;

/// Spark jobs in a pipeline, with data of a job that is none, and a matrix.
const SPARK: &str = r#"format = 1
[environments.spark]
python = "3.11"
packages = ["pyspark==3.5.1", "pandas"]
variables = { TZ = "UTC" }
spark = { packages = ["io.delta:delta-spark_2.12:3.2.0"], py_files = ["lib.py"], configuration = { "spark.sql.shuffle.partitions" = "8", "spark.executor.memory" = "4g" } }
[experiments.raw]
command = "seq ${n} > raw.csv"
params = { n = 3 }
outputs = ["raw.csv"]
[experiments.count]
script = "t.py"
arguments = ["--raw", "${inputs.raw}", "--words=${inputs.words}", "--out", "${outputs.counts}", "--by", "${by}", "a b"]
inputs = { raw = "raw.csv", words = "t.py" }
outputs = { counts = "counts/${by}" }
matrix = { by = ["day", "two weeks"] }
environment = "spark"
framework = "pyspark"
resources = { time = "30m", cpus = 2 }
retries = 1
[experiments.sum]
script = "t.py"
sources = []
arguments = ["${inputs.day}", "${outputs.all}"]
inputs = { day = "counts/day" }
outputs = { all = "all" }
environment = "spark"
framework = "pyspark"
needs = ["raw"]
"#;

#[test]
fn spark_jobs_come_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.py"), "").unwrap();
    let (was, is, text) = there_and_back(folder.path(), SPARK);
    assert_eq!(named(&is), named(&was), "{text}");
    let line = r#"spark = { configuration = { "spark.executor.memory" = "4g", "spark.sql.shuffle.partitions" = "8" }, packages = ["io.delta:delta-spark_2.12:3.2.0"], py_files = ["lib.py"] }"#;
    assert!(text.contains(line), "{text}");
    assert_eq!(text.matches("[environments.").count(), 1, "{text}");
    let place = folder.path().join("azureml/pipeline.yml");
    let yaml = plain(&amlrun::yaml::parse(&std::fs::read_to_string(&place).unwrap()).unwrap());
    let job = &yaml["jobs"]["count_by_two_weeks"];
    assert_eq!(
        job["args"],
        "--raw ${{inputs.raw}} '--words=${{inputs.words}}' --out ${{outputs.counts}} --by '${{inputs.by}}' 'a b'"
    );
    assert_eq!(
        (&job["inputs"]["raw"]["mode"], &job["resources"]["runtime_version"]),
        (&"direct".into(), &"3.5".into())
    );
    let conf = &job["conf"];
    let size = |key: &str| conf[format!("spark.{key}")].clone();
    assert_eq!((size("executor.memory"), size("executor.cores")), ("4g".into(), "2".into()), "{conf}");
    // A size that was edited there is one that the environment gives.
    let edited = std::fs::read_to_string(&place).unwrap().replace("memory: \"4g\"", "memory: \"8g\"");
    std::fs::write(&place, edited).unwrap();
    let imported = import(&Disk(folder.path().to_owned()), &["azureml/pipeline.yml".to_owned()]);
    let text = write::amlfile(&imported.proposal, &imported.sources);
    assert!(text.contains(r#""spark.executor.memory" = "8g""#), "{text}");
}

/// What a Spark job has no way to be told is not exported, with the reason.
#[test]
fn spark_jobs_without_a_counterpart_are_left_out() {
    let check = |more: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.py"), "").unwrap();
        let text = format!(
            "format = 1\n[environments.s]\npackages = [\"pyspark\"]\n[experiments.a]\nscript = \"t.py\"\n\
             framework = \"pyspark\"\nenvironment = \"s\"\n{more}\n"
        );
        std::fs::write(folder.path().join("Amlfile"), text).unwrap();
        let said = amlrun(folder.path(), &["export", "--format", "azureml-v2", "--json"]);
        let data: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(data["left_out"], serde_json::json!(["a"]), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    check("outputs = [\"out\"]", "finds only data that its arguments name");
    check("inputs = { t = \"t.py\" }", "finds only data that its arguments name");
    check("arguments = [\"${env.HOME}\"]", "has no variables");
    check(
        "[experiments.a.sweep]\nmetric = \"m\"\ngoal = \"minimize\"\nmax_trials = 2\nspace = { x = { uniform = [0, 1] } }",
        "no sweeps of Spark jobs",
    );
}

#[test]
fn a_sweep_over_nested_choices_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.py"), "").unwrap();
    let (was, is, text) = there_and_back(folder.path(), NESTED);
    assert_eq!(named(&is), named(&was), "{text}");
    let yaml = plain(&amlrun::yaml::parse(&files(&folder.path().join("azureml"))["tune.yml"]).unwrap());
    // What nothing names is told as amlrun tells it; two names that are one there are kept apart.
    let reference = |name: &str| format!("${{{{search_space.{name}}}}}");
    let appended =
        ["lr", "model", "depth", "width", "nest_erov_2"].map(|key| (key.trim_end_matches("_2"), reference(key)));
    let appended: String = appended.map(|(name, value)| format!(" --{name} {value}")).concat();
    let command = format!("python t.py '--gamma={}' --on {}{appended}", reference("gamma"), reference("nest_erov"));
    assert_eq!(yaml["trial"]["command"], command.as_str());
    let svm = &yaml["search_space"]["model"]["values"][1];
    assert_eq!(
        (&svm["model"], &svm["gamma"]["type"], &svm["nest_erov"]),
        (&"svm".into(), &"qlognormal".into(), &"true".into())
    );
    for line in [
        r#"params = { gamma = 0.10, nest-erov = "as ${stage}", stage = "it is" }"#,
        "depth = { choice = [2, { depth = 3, width = { randint = 8 } }, {}] }",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// What was kept completes the document as long as it says the same; an edit counts.
#[test]
fn a_search_space_that_was_edited_there_holds() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.py"), "").unwrap();
    let (was, is, text) = there_and_back(folder.path(), EXACT);
    // A grid is given its number of trials there, as v2 wants one.
    let without = |plan: &Plan| named(plan).concat().replace(r#""sweep/max_trials": Text("25"), "#, "");
    assert_eq!(without(&is), without(&was), "{text}");
    let place = folder.path().join("azureml/tune.yml");
    let yaml = std::fs::read_to_string(&place).unwrap();
    assert!(yaml.contains("max_total_trials: 25"), "{yaml}");
    let edited = yaml.replace("- 0.001\n", "- 0.002\n");
    assert_ne!(edited, yaml);
    std::fs::write(&place, edited).unwrap();
    let imported = import(&Disk(folder.path().to_owned()), &["azureml/tune.yml".to_owned()]);
    let text = write::amlfile(&imported.proposal, &imported.sources);
    assert!(text.contains(r#"flag = { choice = [true, "true", 1, 1.0, "1"] }"#), "{text}");
    assert!(text.contains(r#"rate = { choice = [0.1, 0.002, { rate = 0.5, sizes = "1,0.50" }"#), "{text}");
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(of).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_symlink() {
            symlink(std::fs::read_link(&path).unwrap(), target).unwrap();
        } else if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn an_import_of_the_export_gives_the_same_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for (name, root) in projects(folder.path()) {
        let source = read(&root);
        let Some((project, plan)) = planned(&root, &source) else { continue };
        let left_out = exported(&root, &source, &project, &plan);
        let files: Vec<String> = Disk(root.join("azureml")).list("").into_iter().map(|(name, _)| name).collect();
        let main = files.iter().find(|name| name.contains(".yml"));
        let Some(main) = main else { continue };
        let imported = import(&Disk(root.clone()), &[format!("azureml/{main}")]);
        assert!(imported.faults.is_empty(), "{name}: {:?}", imported.faults);
        let text = write::amlfile(&imported.proposal, &imported.sources);
        let again = Source { name: "Amlfile".to_owned(), text };
        let yaml = || std::fs::read_to_string(root.join("azureml").join(main)).unwrap();
        let Some((_, same)) = planned(&root, &again) else {
            panic!("{name}: no plan of\n{}\nfrom\n{}", again.text, yaml());
        };
        assert!(left_out.is_empty(), "{name}: {left_out:?} were left out");
        let all = |plan: &Plan, with_params| {
            let mut all: Vec<String> = (0..plan.jobs.len()).map(|job| identity(plan, job, with_params)).collect();
            all.sort();
            all
        };
        // Parameters that only a path or a variable names are in no command, and so no input of a job there.
        let with_params = plan.jobs.iter().all(|job| {
            let texts = format!("{:?}", project.experiments[job.experiment].arguments);
            let command = format!("{:?}", project.experiments[job.experiment].action);
            job.params
                .keys()
                .all(|name| texts.contains(&format!("${{{name}}}")) || command.contains(&format!("${{{name}}}")))
        });
        let (was, is) = (all(&plan, with_params), all(&same, with_params));
        assert!(
            was == is,
            "{name}:\n{}\nis now\n{}\nby\n{}\nfrom\n{}",
            was.join("\n"),
            is.join("\n"),
            again.text,
            yaml()
        );
        let names = |plan: &Plan| plan.jobs.iter().map(|job| job.name.0.clone()).collect::<BTreeSet<_>>();
        assert_eq!(names(&same), names(&plan), "{name}: cells of a matrix too\n{}", again.text);
        seen += 1;
    }
    assert!(seen > 30, "only {seen} projects were exported");
}

/// The plan of an Amlfile, that of what an import makes of its export, and the Amlfile that the import wrote.
fn there_and_back(root: &Path, amlfile: &str) -> (Plan, Plan, String) {
    let source = Source { name: "Amlfile".to_owned(), text: amlfile.to_owned() };
    let (project, plan) = planned(root, &source).unwrap();
    assert_eq!(exported(root, &source, &project, &plan), Vec::<String>::new());
    let files = Disk(root.join("azureml")).list("");
    let main = files.iter().map(|(name, _)| name).find(|name| name.contains(".yml")).unwrap();
    let imported = import(&Disk(root.to_owned()), &[format!("azureml/{main}")]);
    let text = write::amlfile(&imported.proposal, &imported.sources);
    let again = Source { name: "Amlfile".to_owned(), text };
    let same = planned(root, &again);
    assert!(same.is_some(), "no plan of\n{}", again.text);
    (plan, same.unwrap().1, again.text)
}

/// Each job by its name and its cell.
fn named(plan: &Plan) -> Vec<String> {
    let one = |job: usize| {
        let of = &plan.jobs[job];
        format!("{} {:?} {:?}: {}", of.name.0, of.cell, of.params, identity(plan, job, true))
    };
    (0..plan.jobs.len()).map(one).collect()
}

/// Nothing of the folder is taken, and still the command runs in it.
#[test]
fn a_job_without_sources_comes_back_with_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("tools/deep")).unwrap();
    let amlfile = "format = 1\n[experiments.a]\nsource_directory = 'tools/deep'\nsources = []\n\
                   command = 'date > ../../now.txt'\noutputs = ['now.txt']\n";
    let (was, is, text) = there_and_back(folder.path(), amlfile);
    assert_eq!(was.jobs[0].source_directory.to_string(), "tools/deep");
    assert_eq!(named(&is), named(&was), "{text}");
    // Code that was given there since then holds.
    let place = folder.path().join("azureml/a.yml");
    let yaml = std::fs::read_to_string(&place).unwrap().replace("command:", "code: ../tools\ncommand:");
    std::fs::write(&place, yaml).unwrap();
    let imported = import(&Disk(folder.path().to_owned()), &["azureml/a.yml".to_owned()]);
    assert_eq!(imported.proposal.experiments[0].source_directory.as_deref(), Some("tools"));
}

/// A matrix is one experiment again: the same jobs under the same names, with the same values.
#[test]
fn a_matrix_comes_back_as_one_experiment() {
    let amlfile = r#"format = 1
[experiments.prepare]
command = "echo > clean.csv"
outputs = ["clean.csv"]
[experiments.train]
source_directory = "train"
script = "train.py"
arguments = ["--data", "${inputs.data}", "--alpha", "${alpha}", "--kind=${kind}", "--model", "${outputs.model}", "${label}"]
params = { label = "of ${kind}", seed = 7 }
inputs = { data = "clean.csv" }
outputs = { model = "models/1-${kind}-${alpha}.bin" }
metrics = ["metrics/${kind}/${alpha}.json"]
matrix = { kind = ["b", "a b", "1"], alpha = [0.10, 1, 1e-3] }
tags = { stage = "search" }
[experiments.check]
command = "grep '${alpha}' \"${inputs.model}\" > checked/${alpha}.txt"
inputs = { model = "models/1-b-${alpha}.bin" }
outputs = ["checked/${alpha}.txt"]
matrix = { alpha = [1e-3, 0.10] }
needs = ["after[n=${alpha}]"]
[experiments.after]
command = "echo ${on} ${n} > after-${n}.txt"
sources = []
outputs = ["after-${n}.txt", "on/${on}-${n}"]
matrix = { on = [true], n = [0.10, 1e-3] }
[experiments.last]
command = "echo"
needs = ["check", "train[kind=b,alpha=1]"]
"#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("train")).unwrap();
    std::fs::write(folder.path().join("train/train.py"), "").unwrap();
    let (was, is, text) = there_and_back(folder.path(), amlfile);
    assert_eq!(was.jobs.len(), 15);
    let jobs = |plan: &Plan| {
        let one = |job: usize| {
            let of = &plan.jobs[job];
            format!("{} {:?} {}", of.name.0, of.cell, identity(plan, job, false))
        };
        (0..plan.jobs.len()).map(one).collect::<BTreeSet<String>>()
    };
    assert_eq!(jobs(&is), jobs(&was), "{text}");
    assert_eq!(text.matches("\n[experiments.").count(), 5, "{text}");
    for line in [
        r#"matrix = { kind = ["b", "a b", "1"], alpha = [0.10, 1, 1e-3] }"#,
        "matrix = { alpha = [1e-3, 0.10] }",
        r#"outputs = { model = "models/1-${kind}-${alpha}.bin" }"#,
        r#"needs = ["after[on=true,n=${alpha}]"]"#,
        r#"needs = ["train[kind=b,alpha=1]", "check"]"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// A job that was edited there, or taken out, is no cell of a matrix any more: what stands there holds, a job each.
#[test]
fn cells_that_were_edited_stay_what_they_are() {
    let amlfile = "format = 1\n[experiments.t]\ncommand = 'echo ${k} > ${k}.txt'\noutputs = ['${k}.txt']\n\
                   matrix = { k = [1, 2, 3] }\n";
    let folder = tempfile::tempdir().unwrap();
    let (was, is, text) = there_and_back(folder.path(), amlfile);
    assert_eq!(named(&is), named(&was), "{text}");
    let place = folder.path().join("azureml/pipeline.yml");
    let yaml = std::fs::read_to_string(&place).unwrap();
    let again = |yaml: &str| {
        std::fs::write(&place, yaml).unwrap();
        let imported = import(&Disk(folder.path().to_owned()), &["azureml/pipeline.yml".to_owned()]);
        let text = write::amlfile(&imported.proposal, &imported.sources);
        let source = Source { name: "Amlfile".to_owned(), text };
        let (_, plan) = planned(folder.path(), &source).unwrap();
        let shell = |job: &plan::Job| (job.name.0.clone(), format!("{:?}", job.command));
        plan.jobs.iter().map(shell).collect::<Vec<_>>()
    };
    let all = again(&yaml);
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["t[k=1]", "t[k=2]", "t[k=3]"]);
    // The parameter of one, and the command of one.
    for (from, to) in [("k: 2", "k: 20"), ("amlrun.cell.k: \"2\"", "amlrun.cell.k: \"3\""), ("2.txt", "two.txt")] {
        let edited = yaml.replace(from, to);
        assert_ne!(edited, yaml, "{from}: {yaml}");
        let jobs = again(&edited);
        assert_eq!(
            jobs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["t_k_1", "t_k_2", "t_k_3"],
            "{edited}"
        );
    }
    assert!(again(&yaml.replace("k: 2\n", "k: 20\n"))[1].1.contains("echo 20"));
}

#[test]
fn the_official_package_loads_every_export() {
    let Some(python) = python::with("azure-ai-ml", &["azure-ai-ml==1.35.2"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (_, root) in projects(folder.path()) {
        let source = read(&root);
        let Some((project, plan)) = planned(&root, &source) else { continue };
        exported(&root, &source, &project, &plan);
        for below in ["azureml", "azureml/environments"] {
            let names = Disk(root.join(below)).list("").into_iter().map(|(name, _)| name);
            let documents = names.filter(|name| name.contains(".yml") && !name.contains(".conda."));
            files.extend(documents.map(|name| root.join(below).join(name)));
        }
    }
    assert!(files.len() > 60, "{}", files.len());
    let script = folder.path().join("load.py");
    std::fs::write(&script, include_str!("python/load.py")).unwrap();
    let done = Command::new(python).arg(script).args(&files).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    // The package says so of parts of itself that no export uses, whatever it loads.
    let own = "This is an experimental class";
    let loud: Vec<&str> = said.lines().filter(|line| !line.contains(own) && !line.starts_with("loaded ")).collect();
    assert!(loud.is_empty(), "{}", loud.join("\n"));
    assert_eq!(said.matches("loaded ").count(), files.len(), "{said}");
}

/// The files of ten trees with odd names and rules; some links are added.
const TREES: &[(&str, &str)] = &[
    ("0/train.py", "print(1)\n"),
    ("1/a b.py", "x"),
    ("1/sub dir/ c", ""),
    ("1/sub dir/#d", "#"),
    ("1/new\nline", "n"),
    ("2/é.py", "nfc"),
    ("2/e\u{301}.py", "nfd"),
    ("2/İstanbul/ẞ", "ß"),
    ("2/ΟΔΟΣ", "final"),
    ("2/日本/語.txt", "text"),
    ("3/a.txt", "1"),
    ("3/A.txt", "2"),
    ("3/B/x", "3"),
    ("3/b/x", "4"),
    ("3/a-b", "5"),
    ("3/a/b", "6"),
    ("4/.amlignore", "*.log\nout/\n!out/keep\n/top\na/**/z\n[!x]y\n"),
    ("4/.gitignore", "*.py\n"),
    ("4/a.py", "kept"),
    ("4/b.log", "gone"),
    ("4/out/keep", "kept"),
    ("4/out/x", "gone"),
    ("4/sub/out/keep", "?"),
    ("4/top", "gone"),
    ("4/sub/top", "kept"),
    ("4/a/b/c/z", "gone"),
    ("4/xy", "kept"),
    ("4/zy", "gone"),
    ("4/sub/zy", "?"),
    ("5/.gitignore", "\u{feff}# a comment\r\n\r\n  spaced  \r\n\\#x\r\ndata\r\n!data/in\r\n"),
    ("5/spaced", "gone"),
    ("5/#x", "gone"),
    ("5/data/in", "kept"),
    ("5/data/out", "gone"),
    ("5/sub/.gitignore", "*"),
    ("5/sub/.amlignore", "*"),
    ("5/sub/x", "kept: nested rules do not count"),
    ("6/real/x", "1"),
    ("6/.amlignore", "hidden\n"),
    ("6/hidden/y", "linked to, and so taken"),
    ("outside/z", "outside"),
    ("7/.git/config", "goes in"),
    ("7/.amlrun/x", "goes in"),
    ("7/x.pyc", "goes in"),
    ("8/.gitignore", "**/\n"),
    ("8/top", "kept"),
    ("8/sub/x", "gone"),
    ("9/rules", "*.txt\n"),
    ("9/code/a.txt", "?"),
    ("9/code/b", "kept"),
];

/// Ten trees with odd names: the same hash as the package's own, file by file.
#[test]
fn code_has_the_hash_that_the_official_package_gives_it() {
    let Some(python) = python::with("azure-ai-ml", &["azure-ai-ml==1.35.2"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    let link = |path: &str, to: &str| {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(to, place).unwrap();
    };
    for (path, text) in TREES {
        file(path, text);
    }
    std::fs::create_dir_all(folder.path().join("0/empty/folder")).unwrap();
    for (path, to) in [
        ("6/link-to-file", "real/x"),
        ("6/link-to-folder", "real"),
        ("6/link-out", "../outside"),
        ("6/link-file-out", "../outside/z"),
        ("6/link-to-link", "link-to-file"),
        ("6/link-to-hidden", "hidden/y"),
        ("9/code/.amlignore", "../rules"),
    ] {
        link(path, to);
    }
    let trees: Vec<PathBuf> =
        (0..9).map(|n| folder.path().join(n.to_string())).chain([folder.path().join("9/code")]).collect();
    let script = folder.path().join("hash.py");
    std::fs::write(&script, include_str!("python/hash.py")).unwrap();
    let done = Command::new(python).arg(script).args(&trees).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let theirs: Vec<(String, Vec<String>)> = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(theirs.len(), 10);
    for (tree, (hash, names)) in trees.iter().zip(theirs) {
        let ours = amlrun::tree::asset::asset(tree).unwrap();
        assert_eq!(ours.files, names, "{}", tree.display());
        assert_eq!(ours.hash, hash, "{}", tree.display());
    }
    // And by the command.
    std::fs::write(folder.path().join("4/Amlfile"), "format = 1\n[experiments.a]\ncommand = \"python a.py\"\n")
        .unwrap();
    let done = amlrun(&folder.path().join("4"), &["export", "--format", "azureml-v2", "--to", "../out", "--json"]);
    let data: serde_json::Value = serde_json::from_str(&done).unwrap();
    let expected = amlrun::tree::asset::asset(&folder.path().join("4")).unwrap();
    assert_eq!(data["code"][0]["hash"], expected.hash.as_str());
    assert_eq!(data["code"][0]["ignore_file"], ".amlignore");
}

/// The way there and back changes no key: what ran before is found again.
#[test]
fn what_ran_before_is_fresh_after_the_way_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let amlfile = r#"format = 1
[params]
greeting = "it's"
[experiments.make]
source_directory = "make"
sources = ["make.sh"]
script = "make.sh"
arguments = ["${outputs.numbers}", "${count}", "a b"]
params = { count = 3 }
outputs = { numbers = "data/my numbers.txt" }
[experiments.each]
command = "sed 's/^/${greeting}${n} /' \"${inputs.numbers}\" > parts/${n}.txt"
sources = []
inputs = { numbers = "data/my numbers.txt" }
outputs = ["parts/${n}.txt"]
matrix = { n = [1, 2.50, true] }
[experiments.all]
command = "cat parts/*.txt > all.txt"
sources = []
inputs = ["parts"]
outputs = ["all.txt"]
[experiments.last]
command = "echo done > last.txt"
sources = []
outputs = ["last.txt"]
needs = ["all"]
"#
    .replace("it's", "its");
    std::fs::write(root.join("Amlfile"), amlfile).unwrap();
    std::fs::create_dir(root.join("make")).unwrap();
    std::fs::write(root.join("make/make.sh"), "seq $2 > \"$1\"; echo \"$3\" >> \"$1\"\n").unwrap();
    amlrun(root, &[]);
    let all = std::fs::read_to_string(root.join("all.txt")).unwrap();
    amlrun(root, &["export", "--format", "azureml-v2"]);
    std::fs::remove_file(root.join("Amlfile")).unwrap();
    amlrun(root, &["import", "azureml/pipeline.yml"]);
    let said = amlrun(root, &["status"]);
    assert!(said.contains("up to date (6 jobs)"), "{said}\n{}", std::fs::read_to_string(root.join("Amlfile")).unwrap());
    assert_eq!(std::fs::read_to_string(root.join("all.txt")).unwrap(), all);
}

/// What comes from the variables of whoever calls amlrun is written nowhere, by whatever way it came.
#[test]
fn what_is_the_callers_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let amlfile = r#"format = 1
[params]
token = "${env.AMLRUN_TEST_TOKEN}"
bearer = "Bearer ${token}"
[environments.mine]
user_managed = true
variables = { AUTHORIZATION = "${bearer}", PLAIN = "plain" }
[experiments.a]
script = "a.sh"
arguments = ["${env.AMLRUN_TEST_TOKEN}", "--x=${bearer}"]
environment = "mine"
[experiments.b]
command = "curl -H \"${bearer}\" ${token}"
"#;
    std::fs::write(folder.path().join("Amlfile"), amlfile).unwrap();
    std::fs::write(folder.path().join("a.sh"), "").unwrap();
    for format in ["azureml-v2", "mlproject", "github-actions"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(["export", "--json", "--format", format]).current_dir(folder.path());
        let done = command.env("AMLRUN_TEST_TOKEN", "opensesame").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{said}");
        assert!(!said.contains("opensesame"), "{said}");
        assert!(said.contains("AMLRUN_TEST_TOKEN"), "{said}");
    }
    let yaml = plain(&amlrun::yaml::parse(&files(&folder.path().join("azureml"))["pipeline.yml"]).unwrap());
    let command = |job: &str| yaml["jobs"][job]["command"].as_str().unwrap().to_owned();
    assert_eq!(command("a"), "sh a.sh ''\"${AMLRUN_TEST_TOKEN}\"'' '--x=Bearer '\"${AMLRUN_TEST_TOKEN}\"''");
    assert_eq!(command("b"), r#"curl -H "Bearer ${AMLRUN_TEST_TOKEN}" ${AMLRUN_TEST_TOKEN}"#);
}

#[test]
fn no_file_is_written_over_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("Amlfile"), "format = 1\n[experiments.a]\ncommand = \"echo ${x}\"\nparams = { x = 1 }\n")
        .unwrap();
    let export = |more: &[&str]| amlrun(root, &[&["export", "--format", "azureml-v2"], more].concat());
    assert!(export(&[]).contains("wrote to azureml: a.yml"));
    let first = files(&root.join("azureml"));
    assert!(export(&[]).contains("says all that already"));
    std::fs::write(root.join("azureml/a.yml"), "# mine\n").unwrap();
    std::fs::remove_dir_all(root.join("azureml/environments")).unwrap();
    let said = export(&[]);
    assert!(said.contains("-# mine") && said.contains("nothing was written"), "{said}");
    assert_eq!(std::fs::read_to_string(root.join("azureml/a.yml")).unwrap(), "# mine\n");
    assert!(!root.join("azureml/environments").exists(), "all or nothing");
    export(&["--force"]);
    assert_eq!(files(&root.join("azureml")), first);
    let data: serde_json::Value = serde_json::from_str(&export(&["--json"])).unwrap();
    assert_eq!((&data["outcome"], &data["left_out"]), (&"unchanged".into(), &serde_json::json!([])));
    assert!(data["files"]["a.yml"].as_str().unwrap().contains("echo ${{inputs.x}}"), "{data}");
}

/// What lies in a source directory is a source; the export says whose, and that is what becomes stale.
#[test]
fn the_jobs_that_an_export_makes_stale_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let amlfile = "format = 1\n[experiments.a]\nscript = \"a.sh\"\noutputs = [\"a.txt\"]\n[experiments.b]\nscript = \"a.sh\"\n\
                   sources = [\"a.sh\"]\noutputs = [\"b.txt\"]\n[experiments.c]\nsource_directory = \"c\"\nscript = \"c.sh\"\n\
                   outputs = [\"c.txt\"]\n";
    std::fs::write(root.join("Amlfile"), amlfile).unwrap();
    std::fs::write(root.join("a.sh"), "touch a.txt b.txt\n").unwrap();
    std::fs::create_dir(root.join("c")).unwrap();
    std::fs::write(root.join("c/c.sh"), "touch ../c.txt\n").unwrap();
    amlrun(root, &[]);
    let stale = |said: &str| -> serde_json::Value {
        let data: serde_json::Value = serde_json::from_str(said).unwrap();
        data["made_stale"].clone()
    };
    let export = |more: &[&str]| amlrun(root, &[&["export", "--format", "azureml-v2"], more].concat());
    let elsewhere = folder.path().with_extension("elsewhere");
    let said = export(&["--to", elsewhere.to_str().unwrap()]);
    assert!(!said.contains("makes them stale"), "{said}");
    std::fs::remove_dir_all(elsewhere).unwrap();
    assert!(amlrun(root, &["status"]).contains("up to date (3 jobs)"));
    // Asked for one goal, it tells of all jobs.
    let said = export(&["c"]);
    assert!(said.contains("what was written is among the sources of a, and makes them stale: `--to`"), "{said}");
    let said = amlrun(root, &["status"]);
    assert!(said.contains("2 fresh") && said.contains("1 stale"), "{said}");
    assert!(!export(&["c"]).contains("makes them stale"), "nothing was written");
    std::fs::remove_dir_all(root.join("azureml")).unwrap();
    std::fs::write(root.join(".amlignore"), "azureml/\n").unwrap();
    assert_eq!(stale(&export(&["--json"])), serde_json::json!([]));
    std::fs::remove_dir_all(root.join("azureml")).unwrap();
    assert_eq!(stale(&export(&["--json", "--to", "c/azureml"])), serde_json::json!(["c"]));
}

/// The workflow is the one of docs/ci.md, and has what an Amlfile adds to it.
#[test]
fn a_workflow_of_github_actions() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ml");
    std::fs::create_dir_all(root.join(".git")).unwrap();
    std::fs::write(root.join("Amlfile"), "format = 1\n[experiments.train]\ncommand = \"echo\"\n").unwrap();
    amlrun(&root, &["export", "--format", "github-actions"]);
    let text = std::fs::read_to_string(root.join(".github/workflows/train.yml")).unwrap();
    let docs = include_str!("../docs/ci.md").split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let (ours, theirs) = (amlrun::yaml::parse(&text).unwrap(), amlrun::yaml::parse(docs).unwrap());
    assert_eq!(plain(&ours), plain(&theirs));

    std::fs::rename(root.join(".git"), folder.path().join(".git")).unwrap();
    let amlfile = r#"format = 1
[workspace]
cache = "az://ml/cache"
[environments.sklearn]
python = "3.11"
packages = []
[experiments.train]
command = "echo"
environment = "sklearn"
secrets = ["HF_TOKEN"]
"#;
    std::fs::write(root.join("Amlfile"), amlfile).unwrap();
    let said = amlrun(&root, &["export", "--format", "github-actions", "train"]);
    assert!(said.contains("secrets of the repository"), "{said}");
    let text = std::fs::read_to_string(folder.path().join(".github/workflows/train.yml")).unwrap();
    let workflow = plain(&amlrun::yaml::parse(&text).unwrap());
    let job = &workflow["jobs"]["train"];
    assert_eq!(job["defaults"]["run"]["working-directory"], "ml");
    assert_eq!(job["env"]["HF_TOKEN"], "${{ secrets.HF_TOKEN }}");
    assert_eq!(job["env"]["AMLRUN_CACHE"], serde_json::Value::Null);
    assert_eq!(job["steps"][2]["with"]["python-version"], "3.11");
    assert_eq!(job["steps"][4]["run"], "amlrun --junit amlrun.xml train\namlrun status --exit-code train\n");
}

/// A document without its places.
fn plain(node: &amlrun::yaml::Node) -> serde_json::Value {
    use amlrun::yaml::Value;
    match &node.value {
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), plain(&entry.node))).collect(),
        Value::List(items) => items.iter().map(plain).collect(),
        _ => node.scalar().into(),
    }
}

/// MLflow itself reads the project, and makes the commands of its entry points.
#[test]
fn mlflow_reads_the_project() {
    let Some(python) = python::with("mlflow", &["mlflow-skinny==3.17.2"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (_, root) in projects(folder.path()) {
        let source = read(&root);
        let Some((project, plan)) = planned(&root, &source) else { continue };
        let (document, _) = amlrun::amlfile::parse(&source);
        let look = Disk(root.clone());
        let report = amlrun::foreign::Report::default();
        let (project, plan, source, document) = (&project, &plan, &source, &document);
        let context = Context {
            project,
            plan,
            source,
            document,
            look: &look,
            back: ".".to_owned(),
            set: BTreeSet::new(),
            report,
        };
        let to = root.join("mlflow");
        std::fs::create_dir(&to).unwrap();
        for (name, text) in export::mlproject::export(context).files {
            std::fs::write(to.join(name), text).unwrap();
        }
        for name in ["requirements.txt", "conda.yml", "conda.yaml", "environment.yml", "environment.yaml"] {
            let _there = std::fs::copy(root.join(name), to.join(name));
        }
        files.extend(to.join("MLproject").exists().then_some(to));
    }
    let script = folder.path().join("mlproject.py");
    std::fs::write(&script, include_str!("python/mlproject.py")).unwrap();
    let done = Command::new(python).arg(script).args(&files).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let commands: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(commands.len(), files.len());
    let diabetes = commands.iter().find(|(path, _)| path.contains("fixtures-diabetes")).unwrap().1;
    assert_eq!(
        diabetes["train"],
        "export OMP_NUM_THREADS=1 && cd train && python train.py --data ../data/clean.csv --alpha 0.1 --seed 7 \
         --model ../models/ridge-0.1.joblib --metrics ../metrics/ridge-0.1.json"
    );
    let example = commands.iter().find(|(path, _)| path.contains("example")).unwrap().1;
    assert_eq!(
        example["publish"],
        "export OMP_NUM_THREADS=1 && export DATA_HOME=\"$HOME\"/data && cp 'report.png' \"${TMPDIR:-/tmp}\""
    );
}

fn files(of: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, is_folder) in Disk(of.to_owned()).list("") {
        if is_folder {
            found.extend(files(&of.join(&name)).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.insert(name.clone(), std::fs::read_to_string(of.join(name)).unwrap());
        }
    }
    found
}

/// What it said, on stdout and then on stderr; on stdout alone with `--json`.
fn amlrun(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    let done = command.args(arguments).current_dir(folder).env("NO_COLOR", "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "amlrun {arguments:?} ended with {}:\n{out}{err}", done.status);
    if arguments.contains(&"--json") { out.into_owned() } else { format!("{out}{err}") }
}
