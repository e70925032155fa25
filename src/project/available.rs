//! What this build cannot carry out yet: the one place that says so.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Action, EnvironmentKind, Experiment, Isolation, Project, Target, TargetKind};
use crate::diagnostic::{Diagnostic, Span};

/// The target types that this build carries out.
const TARGETS: &[TargetKind] =
    &[TargetKind::Local, TargetKind::Ssh, TargetKind::Slurm, TargetKind::Spark, TargetKind::Ray];

/// The refusals for some jobs, each given by its experiment and its target (both indices into the project).
#[must_use]
pub fn refusals(project: &Project, jobs: impl IntoIterator<Item = (usize, usize)>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let jobs: BTreeSet<(usize, usize)> = jobs.into_iter().collect();
    // Containers elsewhere: which kind of target each environment would have to be carried to.
    let of = |&(experiment, target): &(usize, usize)| {
        let experiment = project.experiments.get(experiment)?;
        let kind = project.targets.get(target)?.kind;
        let environment = project.environments.get(experiment.environment)?;
        let is_container = matches!(environment.kind, EnvironmentKind::Docker(_));
        (is_container && matches!(kind, TargetKind::Slurm | TargetKind::Spark | TargetKind::Ray))
            .then_some((experiment.environment, kind))
    };
    let carried: BTreeMap<usize, TargetKind> = jobs.iter().filter_map(of).collect();
    let targets: BTreeSet<usize> = jobs.iter().map(|(_, target)| *target).collect();
    let is_ray = |target: &usize| project.targets.get(*target).is_some_and(|t| t.kind == TargetKind::Ray);
    let on_ray: BTreeSet<&str> = jobs
        .iter()
        .filter(|(_, target)| is_ray(target))
        .filter_map(|(experiment, _)| project.experiments.get(*experiment).map(|e| e.name.as_str()))
        .collect();
    let experiments: BTreeSet<usize> = jobs.iter().map(|(experiment, _)| *experiment).collect();
    let experiments: Vec<_> = experiments.into_iter().filter_map(|i| project.experiments.get(i)).collect();
    let environments: BTreeSet<usize> = experiments.iter().map(|experiment| experiment.environment).collect();
    let mut refuse = |what: String, span: &Span| faults.push(refusal(&what, span));
    for target in targets.into_iter().filter_map(|i| project.targets.get(i)) {
        if !TARGETS.contains(&target.kind) {
            refuse(format!("target type `{}`", target.kind.name()), &target.span);
        }
        if target.kind == TargetKind::Spark {
            spark_target(target, &mut refuse);
        }
    }
    for environment in environments.into_iter().filter_map(|i| project.environments.get(i)) {
        if let Some(spark) = &environment.spark {
            let outside = |file: &&String| ["/", "file:", "local:"].iter().any(|start| file.starts_with(start));
            for file in spark.jars.iter().chain(&spark.py_files).filter(outside) {
                // Its content would be in no key.
                refuse(format!("`{file}`, a file outside of the source directory and the inputs,"), &spark.span);
            }
        }
    }
    for (environment, kind) in carried {
        if let Some(environment) = project.environments.get(environment) {
            refuse(format!("environment kind `docker` on a target of type `{}`", kind.name()), &environment.span);
        }
    }
    for experiment in experiments {
        if experiment.framework == "pyspark" {
            let is_contained = project
                .environments
                .get(experiment.environment)
                .is_some_and(|environment| matches!(environment.kind, EnvironmentKind::Docker(_)));
            for what in pyspark(experiment, is_contained, on_ray.contains(experiment.name.as_str())) {
                refuse(format!("framework `pyspark` {what}"), &experiment.span);
            }
        }
        if let Some(distributed) = &experiment.distributed
            && on_ray.contains(experiment.name.as_str())
        {
            refuse("`distributed` on a target of type `ray`".into(), &distributed.span);
        }
        if let Some(sweep) = &experiment.sweep
            && experiment.isolation == Isolation::InPlace
        {
            refuse("a sweep with `isolation = \"in-place\"`".to_owned(), &sweep.span);
        }
    }
    crate::diagnostic::sort(&mut faults);
    faults
}

/// What a Spark target cannot be told yet.
fn spark_target(target: &Target, refuse: &mut impl FnMut(String, &Span)) {
    let of_spark = |what: &str| format!("{what} of a target of type `spark`");
    for key in ["login", "home"].into_iter().filter(|key| target.options.contains_key(*key)) {
        refuse(of_spark(&format!("`{key}`")), &target.span);
    }
    if target.options.get("deploy_mode").and_then(toml::Value::as_str) == Some("cluster") {
        refuse(of_spark("`deploy_mode = \"cluster\"`"), &target.span);
    }
}

/// Where a job of the framework pyspark cannot be carried out.
fn pyspark(experiment: &Experiment, is_contained: bool, is_on_ray: bool) -> Vec<&'static str> {
    let is_script =
        matches!(&experiment.action, Action::Script(script, _) if script.to_ascii_lowercase().ends_with(".py"));
    [
        (!is_script, "without a Python `script`"),
        (experiment.distributed.is_some(), "with `distributed`"),
        (is_contained, "in a container"),
        (is_on_ray, "on a target of type `ray`"),
    ]
    .into_iter()
    .filter_map(|(is_so, what)| is_so.then_some(what))
    .collect()
}

fn refusal(what: &str, span: &Span) -> Diagnostic {
    Diagnostic::error(
        "not-available",
        span.clone(),
        format!("{what} is not available in this build"),
        "cannot be carried out",
    )
}
