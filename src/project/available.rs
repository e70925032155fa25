//! What this build cannot carry out yet: the one place that says so.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{EnvironmentKind, Isolation, Project, TargetKind};
use crate::diagnostic::{Diagnostic, Span};

/// The target types that this build carries out.
const TARGETS: &[TargetKind] = &[TargetKind::Local, TargetKind::Ssh, TargetKind::Slurm, TargetKind::Ray];

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
        (is_container && matches!(kind, TargetKind::Ssh | TargetKind::Slurm | TargetKind::Ray))
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
    }
    for environment in environments.into_iter().filter_map(|i| project.environments.get(i)) {
        if let Some(spark) = &environment.spark {
            refuse("environment key `spark`".into(), &spark.span);
        }
    }
    for (environment, kind) in carried {
        if let Some(environment) = project.environments.get(environment) {
            refuse(format!("environment kind `docker` on a target of type `{}`", kind.name()), &environment.span);
        }
    }
    for experiment in experiments {
        if experiment.framework == "pyspark" {
            refuse("framework `pyspark`".into(), &experiment.span);
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

fn refusal(what: &str, span: &Span) -> Diagnostic {
    Diagnostic::error(
        "not-available",
        span.clone(),
        format!("{what} is not available in this build"),
        "cannot be carried out",
    )
}
