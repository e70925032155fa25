//! The environment variables of a job: few of the user's, those it declared, and those that tell it where it is.
//!
//! A variable that is not declared does not reach a job: what the job cannot see cannot change its result, so a change of
//! it can never be a false skip. What every program needs to work at all is let through.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Work, World, container};
use crate::environment::Activation;
use crate::history::Begun;
use crate::plan::job::Job;
use crate::project::model::{InputPath, TargetKind};
use crate::target::watchdog;

/// Variables that every job sees, where they are set: those that do not speak of this machine's files.
const ANYWHERE: &[&str] = &[
    "USER",
    "LOGNAME",
    "TERM",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
];

/// Variables that speak of this machine's files; a job in a container has files of its own.
const HERE: &[&str] = &[
    "PATH",
    "HOME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "TEMP",
    "TMP",
    "DISPLAY",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "CUDA_HOME",
    "CUDA_PATH",
    "JAVA_HOME",
    "SSH_AUTH_SOCK",
];

/// Variables that say where a Spark target's cluster is, and under which address it reaches this machine: part of the
/// target, which is in no key.
const SPARK: &[&str] = &["HADOOP_CONF_DIR", "YARN_CONF_DIR", "KUBECONFIG", "SPARK_LOCAL_IP"];

/// Beginnings of names of variables that every job sees.
pub const PASSED_PREFIXES: &[&str] = &["LC_", "XDG_", "NVIDIA_"];

/// The variables of one attempt on this machine.
#[must_use]
pub fn of(
    work: Work<'_>,
    world: &World<'_>,
    job: &Job,
    begun: &Begun,
    activation: &Activation,
    gpus: &[u32],
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let contained = activation.container.is_some();
    let is_here = |name: &str| HERE.contains(&name) || PASSED_PREFIXES.iter().any(|p| name.starts_with(p));
    let on_spark = work.project.targets[job.target].kind == TargetKind::Spark;
    let is_here = |name: &str| is_here(name) || (on_spark && SPARK.contains(&name));
    let passed = |name: &str| ANYWHERE.contains(&name) || (!contained && is_here(name));
    all.extend(
        world.variables.iter().filter(|(name, _)| passed(name)).map(|(name, value)| (name.clone(), value.clone())),
    );
    all.extend(activation.variables.clone());
    if !activation.path.is_empty() {
        let own = activation.path.iter().map(|folder| folder.display().to_string());
        let path = own.chain(all.get("PATH").cloned()).collect::<Vec<_>>().join(":");
        all.insert("PATH".to_owned(), path);
    }
    // By this one the watchdog knows the processes that it has to end: those of this machine alone.
    all.insert(watchdog::MARK.to_owned(), begun.invocation.clone());
    if job.resources.gpus > 0 {
        let numbers: Vec<String> = gpus.iter().map(|&gpu| gpu_name(world, gpu)).collect();
        all.insert("CUDA_VISIBLE_DEVICES".to_owned(), numbers.join(","));
    }
    all.extend(own(work, job, begun));
    all.extend(secrets(world, job));
    if contained {
        container::home(&mut all);
    }
    all
}

/// The values of a job's secrets, by their names.
#[must_use]
pub fn secrets(world: &World<'_>, job: &Job) -> BTreeMap<String, String> {
    let value = |name: &String| Some((name.clone(), world.variables.get(name)?.clone()));
    job.secrets.iter().filter_map(value).collect()
}

/// The variables that are the job's own, wherever it runs.
#[must_use]
pub fn own(work: Work<'_>, job: &Job, begun: &Begun) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| drop(all.insert(name.to_owned(), value.to_owned()));
    // Output is followed line by line, and a run leaves no bytecode among its sources.
    set("PYTHONUNBUFFERED", "1");
    set("PYTHONDONTWRITEBYTECODE", "1");
    // The original's, azure-ml.md §4.5.
    set("AZUREML_RUN_ID", &begun.run.0);
    set("AZUREML_ROOT_RUN_ID", &begun.run.0);
    set("AZUREML_EXPERIMENT_ID", &begun.experiment);
    set("AZUREML_ARM_PROJECT_NAME", &begun.experiment);
    set("AZUREML_ARM_WORKSPACE_NAME", &work.project.workspace.name);
    set("AZUREML_FRAMEWORK", &job.framework);
    set("AZUREML_TARGET_TYPE", work.project.targets[job.target].kind.name());
    set("AZUREML_OUTPUT_DIRECTORY", "./outputs");
    set(watchdog::RUN_MARK, &begun.run.0);
    set("AMLRUN_JOB", &begun.job.0);
    set("AMLRUN_EXPERIMENT", &begun.experiment);
    set("AMLRUN_ATTEMPT", &begun.attempt.to_string());
    set("AMLRUN_TARGET", &begun.target);
    set("AMLRUN_WORKSPACE", &work.project.workspace.name);
    for (name, value) in &job.params {
        set(&format!("AZUREML_PARAMETER_{name}"), &value.to_string());
    }
    for input in job.inputs.iter().filter(|input| is_name(&input.name)) {
        set(&format!("AZURE_ML_INPUT_{}", input.name), &seen(job, &input.path));
    }
    for output in job.outputs.iter().filter(|output| is_name(&output.name)) {
        set(&format!("AZURE_ML_OUTPUT_{}", output.name), &seen(job, &InputPath::Inside(output.path.clone())));
    }
    for (name, value) in &job.variables {
        set(name, value);
    }
    all
}

/// The n-th GPU that this process may use itself: its own `CUDA_VISIBLE_DEVICES` names them where it is set.
fn gpu_name(world: &World<'_>, gpu: u32) -> String {
    let own = world.variables.get("CUDA_VISIBLE_DEVICES").filter(|names| !names.is_empty());
    let named = own.and_then(|names| names.split(',').nth(usize::try_from(gpu).unwrap_or(usize::MAX)));
    named.map_or_else(|| gpu.to_string(), |name| name.trim().to_owned())
}

/// How a path is reached from the working directory: relative, so that a script which writes it down writes the same
/// text in every run.
fn seen(job: &Job, path: &InputPath) -> String {
    let path: PathBuf = match path {
        InputPath::Inside(path) => path.seen_from(&job.source_directory),
        InputPath::Absolute(path) => path.clone(),
    };
    path.display().to_string()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
