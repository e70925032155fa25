//! What the SDK writes into every file, and why other keys have no counterpart.

use crate::foreign::doc::{At, loose};
use crate::foreign::look::Context;
use crate::foreign::report::{Outcome, is_empty};
use crate::yaml::Value;

/// Keys (without case and underscores) and the values that say nothing.
const DEFAULTS: &[(&str, &[&str])] = &[
    ("nodecount", &["1", "0"]),
    ("history.outputcollection", &["true"]),
    ("history.snapshotproject", &["true"]),
    ("history.directoriestowatch", &["logs"]),
    ("spark.configuration.spark.app.name", &["Azure ML Experiment"]),
    ("spark.configuration.spark.yarn.maxappattempts", &["1"]),
    ("docker.usedocker", &["false"]),
    ("docker.sharedvolumes", &["true"]),
    ("docker.shmsize", &["2g"]),
    ("environment.docker.enabled", &["false"]),
    ("environment.docker.sharedvolumes", &["true"]),
    ("environment.docker.shmsize", &["2g", "1g"]),
    ("environment.docker.gpusupport", &["false"]),
    ("environment.docker.platform.os", &["Linux"]),
    ("environment.docker.platform.architecture", &["amd64"]),
    ("environment.spark.precachepackages", &["true", "false"]),
    ("environment.python.interpreterpath", &["python"]),
    ("hdi.yarndeploymode", &["cluster"]),
    ("tensorflow.workercount", &["1"]),
    ("tensorflow.parameterservercount", &["1"]),
    ("mpi.processcountpernode", &["1"]),
    ("mpi.nodecount", &["1"]),
    ("pytorch.communicationbackend", &["nccl"]),
    ("pytorch.nodecount", &["1"]),
    ("pytorch.processcount", &["1"]),
    ("paralleltask.maxretriesperworker", &["0"]),
    ("paralleltask.workercountpernode", &["1"]),
    ("amlcompute.retaincluster", &["false"]),
    ("amlcompute.clustermaxnodecount", &["1"]),
    ("credentialpassthrough", &["false"]),
    ("autoprepareenvironment", &["true"]),
    ("prepareenvironment", &["true", "false"]),
    ("trackedrun", &["true"]),
    ("usesampling", &["true"]),
    ("containerinstance.cpucores", &["1", "2"]),
    ("containerinstance.memorygb", &["3.5"]),
    ("batchai.clustermaxnodecount", &["1"]),
    ("batchai.retaincluster", &["false"]),
];

/// Why the keys below a prefix have no counterpart.
const REASONS: &[(&str, &str)] = &[
    ("environment.docker.baseimage", "the image of the service's machines"),
    ("environment.docker", "it ran in the service's containers"),
    ("environment.databricks", "libraries of a Databricks cluster"),
    ("environment.r", "R packages: a container (`docker`) or conda can hold them"),
    ("environment.inferencingstackversion", "for web services, which are not a job"),
    ("environment.version", "environments go by their content, not by a version"),
    ("environment.assetid", "an identity in the service"),
    ("environment.python.baseCondaEnvironment", "a conda environment within an image"),
    ("history", "every run is kept on record, with `outputs/` and `logs/`"),
    ("spark.configuration", "environments.NAME.spark.configuration, or those of a Spark target"),
    ("docker", "it ran in the service's containers"),
    ("hdi", "deploy_mode of a Spark target"),
    ("amlcompute", "the service made and ended such machines"),
    ("autoclustercomputespecification", "the service made and ended such machines"),
    ("kubernetescompute", "`resources`, and a Kubernetes target's node_selector"),
    ("containerinstance", "a service that is gone"),
    ("batchai", "a service that is gone"),
    ("priority", "a queue of the service"),
    ("datacaches", "inputs are kept in the store anyway"),
    ("sourcedirectorydatastore", "sources come from the project"),
    ("credentialpassthrough", "jobs run as who runs amlrun"),
    ("applicationendpoints", "amlrun starts no services in a job"),
    ("paralleltask", "one job a mini-batch: `matrix`"),
    ("gpusupport", "`resources = { gpus = 1 }`"),
    ("sparkdependenciesfile", "environments.NAME.spark"),
];

/// Accounts for what the front did not take.
pub(super) fn account(context: &mut Context<'_>, at: &At<'_>) {
    for entry in at.entries() {
        leaf(context, &entry, &loose(&entry.key));
    }
}

fn leaf(context: &mut Context<'_>, at: &At<'_>, path: &str) {
    if context.report.knows(&at.doc.file, &at.path) {
        return;
    }
    if let Value::Map(entries) = &at.node.value
        && !entries.is_empty()
    {
        for entry in at.entries() {
            leaf(context, &entry, &format!("{path}.{}", loose(&entry.key)));
        }
        return;
    }
    let says = at.scalars().join(",");
    let is_default = DEFAULTS
        .iter()
        .any(|(key, values)| *key == path && values.iter().any(|value| value.eq_ignore_ascii_case(&says)));
    if is_empty(at.node) {
        context.report.add(at, Outcome::Default, "empty");
    } else if is_default {
        context.report.holds(at);
    } else if let Some((_, why)) = REASONS.iter().find(|(prefix, _)| path.starts_with(&loose(prefix))) {
        context.report.none(at, *why);
    }
}
