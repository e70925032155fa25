//! What a worker is given: everything that it needs for one job, as it was judged.

use super::attempt::Task;
use super::judging::shown;
use super::turn::{Engine, Pending};
use crate::history::Begun;
use crate::ids::{JobId, RunId};

impl Engine<'_, '_, '_> {
    pub(super) fn task(&self, job: JobId, gpus: Vec<u32>, pending: &Pending) -> Task {
        let work = self.judge.work;
        let declared = &work.plan.jobs[job.0];
        let found = &self.judge.found;
        let environment = self.judge.surroundings.of[job.0].map(|at| self.judge.surroundings.environments[at].clone());
        let params = declared.params.iter();
        Task {
            job,
            begun: Begun {
                run: RunId::fresh(),
                invocation: self.invocation.id.clone(),
                job: declared.name.clone(),
                experiment: work.project.experiments[declared.experiment].name.clone(),
                target: work.project.targets[declared.target].name.clone(),
                environment: work.project.environments[declared.environment].name.clone(),
                started: self.judge.world.clock.now(),
                attempt: 1,
                fingerprint: pending.fingerprint.clone(),
                params: params
                    .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                    .chain(pending.fingerprint.params.iter().filter_map(|(name, value)| {
                        // Those of parameter files, as JSON.
                        let given = declared.params.contains_key(name);
                        (!given).then(|| (name.clone(), serde_json::from_str(value).unwrap_or(value.as_str().into())))
                    }))
                    .collect(),
                tags: declared.tags.clone(),
                reasons: pending.reasons.clone(),
                inputs: declared.inputs.iter().map(|input| (input.name.clone(), shown(&input.path))).collect(),
                source_directory: declared.source_directory.clone(),
            },
            sources: found.spec_of[job.0].map(|at| (found.specs[at].clone(), found.sources[at])),
            inputs: declared
                .inputs
                .iter()
                .filter_map(|input| Some((input.path.clone(), found.paths.get(&input.path).copied().flatten()?)))
                .collect(),
            environment,
            gpus,
        }
    }
}
