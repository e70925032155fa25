//! The samplers and policies of a sweep, to be asked by another program: `benches/sweep_quality.py` holds them against
//! Optuna's. `cargo bench --bench sweep` starts it; it reads a JSON object a line from stdin and answers with one on stdout.
//!
//! - `{"study": {"space": {"x": {"uniform": [0, 1]}}, "sampling": "bayesian", "seed": 1, "maximize": false,
//!   "policy": {"asha": [1, 4, 81]}}}` begins a study (`policy`: least and factor and most).
//! - `{"propose": true}` answers `{"number": 0, "values": {"x": 0.5}}`, or `{"number": null}` where nothing is left.
//! - `{"tell": 0, "objective": 1.5}` ends a trial; without an objective it failed.
//! - `{"log": 0, "value": 1.5}` logs a value of a trial; the answer says whether it was stopped.

#![expect(clippy::print_stdout, reason = "it answers there")]

use std::io::BufRead;

use amlrun::project::sweep::{Base, Choice, Draw, Halving, Numeric, Rule, Sampling, Sweep, Termination};
use amlrun::sweep::{Curve, Decision, Phase, Policy, Sampler, Seen, State, Trial, policy, sampler};
use serde_json::{Value as Json, json};

type Anything = Box<dyn std::error::Error>;

struct Study {
    sampler: Box<dyn Sampler + Send>,
    policy: Box<dyn Policy + Send + Sync>,
    seen: Seen,
    logged: Vec<Logged>,
}

/// What a trial logged, and where it is.
struct Logged {
    values: Vec<f64>,
    judged: usize,
    phase: Phase,
}

fn main() -> Result<(), Anything> {
    let mut study: Option<Study> = None;
    for line in std::io::stdin().lock().lines() {
        let said: Json = serde_json::from_str(&line?)?;
        let answer = match (&mut study, said.get("study")) {
            (_, Some(asked)) => {
                let sweep = sweep(asked).ok_or("no study")?;
                study = Some(Study {
                    sampler: sampler(&sweep),
                    policy: policy(&sweep),
                    seen: Seen::default(),
                    logged: Vec::new(),
                });
                json!({})
            }
            (Some(study), None) => study.answer(&said).ok_or("not understood")?,
            (None, None) => return Err("there is no study yet".into()),
        };
        println!("{answer}");
    }
    Ok(())
}

impl Study {
    fn answer(&mut self, said: &Json) -> Option<Json> {
        if said.get("propose").is_some() {
            let Some(values) = self.sampler.propose(&self.seen) else { return Some(json!({ "number": null })) };
            let number = u32::try_from(self.seen.trials.len()).ok()?;
            let answer = json!({ "number": number, "values": values });
            self.seen.trials.push(Trial { number, values, state: State::Running });
            self.logged.push(Logged { values: Vec::new(), judged: 0, phase: Phase::Running });
            return Some(answer);
        }
        if let Some(at) = place(said, "tell") {
            let objective = said.get("objective").and_then(Json::as_f64);
            let logged = self.logged.get_mut(at)?;
            let was_stopped = logged.phase == Phase::Ended;
            self.seen.trials.get_mut(at)?.state = match objective {
                objective if was_stopped => State::Stopped(objective),
                Some(objective) => State::Done(Some(objective)),
                None => State::Failed,
            };
            if !was_stopped {
                logged.phase = if objective.is_some() { Phase::Done } else { Phase::Ended };
            }
            return Some(json!({}));
        }
        let at = place(said, "log")?;
        self.logged.get_mut(at)?.values.push(said.get("value")?.as_f64()?);
        let curves: Vec<Curve<'_>> = (0..)
            .zip(&self.logged)
            .map(|(number, of)| Curve { number, values: &of.values, judged: of.judged, phase: of.phase })
            .collect();
        let decision = self.policy.judge(curves.get(at)?, &curves);
        let logged = self.logged.get_mut(at)?;
        logged.judged = logged.values.len();
        Some(match decision {
            Decision::Continue => json!({ "stopped": null }),
            Decision::Stop(stop) => {
                logged.phase = Phase::Ended;
                json!({ "stopped": stop })
            }
        })
    }
}

fn place(said: &Json, key: &str) -> Option<usize> {
    usize::try_from(said.get(key)?.as_u64()?).ok()
}

fn sweep(asked: &Json) -> Option<Sweep> {
    let space = asked.get("space")?.as_object()?;
    let space =
        space.iter().map(|(name, draw)| Some((name.clone(), self::draw(draw)?, 0..0))).collect::<Option<_>>()?;
    Some(Sweep {
        span: 0..0,
        sampling: match asked.get("sampling")?.as_str()? {
            "grid" => Sampling::Grid,
            "random" => Sampling::Random,
            "sobol" => Sampling::Sobol,
            "bayesian" => Sampling::Bayesian,
            _ => return None,
        },
        metric: "objective".into(),
        maximize: asked.get("maximize").and_then(Json::as_bool).unwrap_or_default(),
        max_trials: None,
        max_concurrent: None,
        max_duration: None,
        trial_timeout: None,
        max_failed: None,
        seed: asked.get("seed").and_then(Json::as_u64).and_then(|seed| u32::try_from(seed).ok()).unwrap_or_default(),
        resume_from: Vec::new(),
        space,
        termination: asked.get("policy").and_then(termination),
    })
}

fn termination(asked: &Json) -> Option<Termination> {
    let (name, numbers) = asked.as_object()?.iter().next()?;
    let number = |at: usize| u32::try_from(numbers.get(at)?.as_u64()?).ok();
    let halving = Halving { min: number(0)?, factor: number(1)?, max: number(2) };
    let rule = match name.as_str() {
        "asha" => Rule::Asha(halving),
        "hyperband" => Rule::Hyperband(halving),
        _ => return None,
    };
    Some(Termination { rule, interval: 1, delay: 0 })
}

fn draw(asked: &Json) -> Option<Draw> {
    let (name, arguments) = asked.as_object()?.iter().next()?;
    let number = |at: usize| arguments.get(at).and_then(Json::as_f64);
    if name == "choice" {
        let choice = |value: &Json| Some(Choice::Value(serde_json::from_value(value.clone()).ok()?));
        return Some(Draw::Choice(arguments.as_array()?.iter().map(choice).collect::<Option<_>>()?));
    }
    if name == "randint" {
        return Some(Draw::Number(Numeric { base: Base::Whole(arguments.get(0)?.as_u64()?), log: false, q: None }));
    }
    let (base, of) = match name.strip_suffix("uniform") {
        Some(of) => (Base::Uniform { min: number(0)?, max: number(1)? }, of),
        None => (Base::Normal { mu: number(0)?, sigma: number(1)? }, name.strip_suffix("normal")?),
    };
    Some(Draw::Number(Numeric { base, log: of.ends_with("log"), q: number(2).filter(|_| of.starts_with('q')) }))
}
