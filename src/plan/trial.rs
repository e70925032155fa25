//! Sweeps as a plan sees them: which jobs are sweeps, what `--set` and a goal pin of their spaces, and the job of a trial.

use std::collections::BTreeMap;

use crate::amlfile::typed;
use crate::diagnostic::Diagnostic;
use crate::project::model::{Declared, Experiment, Project};
use crate::project::sweep::{Base, Choice, Draw, Halving, Numeric, Rule, Slack, Sweep};
use crate::value::Value;

use super::cells::{self, Settings};
use super::goals::Cell;
use super::job::{Job, Plan, Role};

/// Values by name, in the order of a job's name.
type Values = Vec<(String, Value)>;

/// The searched parameters that the request gives a value: by `--set`, or by a goal like `tune[alpha=0.1]`. They are
/// searched no more; where all are given, the experiment is one job as any other.
pub(super) fn pins(experiment: &Experiment, settings: &Settings<'_>, goals: &[String]) -> Values {
    let Some(sweep) = &experiment.sweep else { return Vec::new() };
    let named = goals.iter().filter_map(|goal| Cell::of(goal)).filter(|cell| cell.experiment == experiment.name);
    let named: Vec<(String, Value)> = named
        .take(1)
        .flat_map(|cell| cell.values.into_iter().map(|(name, value)| (name.to_owned(), typed(value))))
        .collect();
    let value = |name: &&str| {
        let set = settings.set.get(name).cloned();
        let named = || named.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        Some(((*name).to_owned(), set.or_else(named)?))
    };
    let mut pins: Values = Vec::new();
    for pin in sweep.names().iter().filter_map(value) {
        if pins.iter().all(|(name, _)| *name != pin.0) {
            pins.push(pin);
        }
    }
    pins
}

/// What a job of these values is: a sweep where one of the searched parameters has none.
pub(super) fn role(experiment: &Experiment, cell: &[(String, Value)]) -> Role {
    let Some(sweep) = &experiment.sweep else { return Role::Plain };
    let open = sweep.space.iter().any(|(name, draw, _)| !is_given(name, draw, cell));
    if open { Role::Sweep } else { Role::Plain }
}

fn given<'c>(name: &str, cell: &'c [(String, Value)]) -> Option<&'c Value> {
    cell.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// Whether nothing of a draw is left to search. Where the value belongs to a table of a choice, the table's own draws need
/// a value as well.
fn is_given(name: &str, draw: &Draw, cell: &[(String, Value)]) -> bool {
    let own = given(name, cell);
    let Draw::Choice(choices) = draw else { return own.is_some() };
    let mut tables = choices.iter().filter_map(|choice| table_of(name, own, choice)).peekable();
    if tables.peek().is_none() {
        return own.is_some();
    }
    tables.any(|table| {
        table.iter().all(|(name, choice)| match choice {
            Choice::Draw(draw) => is_given(name, draw, cell),
            Choice::Value(value) => given(name, cell).is_none_or(|given| given == value),
            Choice::Nested(_) => true,
        })
    })
}

/// The table of a choice that is meant where the parameter of the choice has this value, or none.
fn table_of<'c>(name: &str, own: Option<&Value>, choice: &'c Choice) -> Option<&'c [(String, Choice)]> {
    let Choice::Nested(table) = choice else { return None };
    let fixed = table.iter().find(|(other, _)| other == name).map(|(_, choice)| choice);
    match (own, fixed) {
        (Some(own), Some(Choice::Value(value))) if own == value => Some(table),
        _ => None,
    }
}

/// What is left to search where a request gives some values: the draws that have none, and of a choice that has one what
/// its table draws beside.
#[must_use]
pub fn left_to_search(sweep: &Sweep, pinned: &[(String, Value)]) -> Sweep {
    let mut left = sweep.clone();
    left.space.retain_mut(|(name, draw, _)| {
        let Some(own) = given(name, pinned) else { return true };
        let Draw::Choice(choices) = draw else { return false };
        choices.retain(|choice| table_of(name, Some(own), choice).is_some());
        for choice in choices.iter_mut() {
            let Choice::Nested(table) = choice else { continue };
            table.retain(|(other, _)| given(other, pinned).is_none());
        }
        choices.iter().any(|choice| matches!(choice, Choice::Nested(table) if !table.is_empty()))
    });
    left
}

/// Tells of values that the request gives parameters of a choice of which it does not give the choice itself a value: such a
/// parameter is set only in some trials.
pub(super) fn pinned_alone(experiment: &Experiment, cell: &[(String, Value)]) -> Vec<Diagnostic> {
    let Some(sweep) = &experiment.sweep else { return Vec::new() };
    let belongs = |name: &str| {
        let holds = |(_, draw, _): &&(String, Draw, _)| {
            let Draw::Choice(choices) = draw else { return false };
            let in_table =
                |choice: &Choice| matches!(choice, Choice::Nested(table) if table.iter().any(|(n, _)| n == name));
            choices.iter().any(in_table)
        };
        sweep.space.iter().find(holds).filter(|(choice, ..)| choice != name && given(choice, cell).is_none())
    };
    let alone = cell.iter().filter(|(name, _)| sweep.space.iter().all(|(top, ..)| top != name));
    let faults = alone.filter_map(|(name, _)| {
        let (choice, _, span) = belongs(name)?;
        let message =
            format!("`{name}` is given a value, and `{}` sets it only for some values of `{choice}`", experiment.name);
        let fault =
            Diagnostic::error("unknown-parameter", span.clone(), message, format!("`{name}` belongs to this choice"));
        Some(fault.help(format!("give `{choice}` a value too: `--set {choice}=… --set {name}=…`")))
    });
    faults.collect()
}

/// The arguments that tell the script the searched values which neither `arguments` nor `command` name, as the original
/// appends them.
pub(super) fn appended(
    experiment: &Experiment,
    cell: &[(String, Value)],
    used: &BTreeMap<String, Value>,
) -> Vec<String> {
    let names = experiment.sweep.as_ref().map(|sweep| sweep.names()).unwrap_or_default();
    let open = cell.iter().filter(|(name, _)| names.contains(&name.as_str()) && !used.contains_key(name));
    open.flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect()
}

/// The job of a trial of a sweep of this plan: the experiment with these values. It needs nothing, as what the sweep
/// needs is done when it is proposed.
///
/// # Errors
/// Why it is no job, in a sentence: what is wrong with the values.
pub fn trial(project: &Project, plan: &Plan, sweep: &Job, values: &[(String, Value)]) -> Result<Job, String> {
    let Some(experiment) = project.experiments.get(sweep.experiment) else {
        return Err("its experiment is not declared".to_owned());
    };
    let mut faults = Vec::new();
    let settings = cells::settings(project, &plan.request, &mut faults);
    let cell = cell(experiment, sweep, values);
    let (mut job, unset) =
        cells::job(project, &settings, &plan.root, (sweep.experiment, experiment), (cell, Role::Trial), &mut faults);
    if let Some(fault) = faults.into_iter().chain(unset).next() {
        return Err(fault.message);
    }
    job.goal = sweep.goal;
    let timeout = experiment.sweep.as_ref().and_then(|sweep| sweep.trial_timeout);
    job.resources.time = [job.resources.time, timeout].into_iter().flatten().min();
    Ok(job)
}

/// The values of a trial in the order of its name: the axes of a matrix, then the space in the order of the text.
fn cell(experiment: &Experiment, sweep: &Job, values: &[(String, Value)]) -> Values {
    let names = experiment.sweep.as_ref().map(|sweep| sweep.names()).unwrap_or_default();
    let place = |name: &str| names.iter().position(|other| *other == name).map_or(0, |at| at + 1);
    let mut cell: Values = sweep.cell.iter().chain(values).cloned().collect();
    cell.sort_by_key(|(name, _)| place(name));
    cell
}

/// The parameters of a job, and the variables that are not set. Tells where a text names a conditional parameter which has
/// neither a value in this trial nor a default.
pub(super) fn finished(values: super::expand::Values<'_>) -> (BTreeMap<String, Value>, Vec<Diagnostic>) {
    let experiment = values.experiment;
    if values.searched > 0 && values.role != Role::Sweep {
        let message =
            format!("a parameter that `{}` names has no value in this trial, nor in `params`", experiment.name);
        let fault = Diagnostic::error("unknown-reference", experiment.span.clone(), message, "names it");
        let help = "give it a value in `params`, or leave it to be appended as an argument where it is searched";
        values.faults.push(fault.help(help));
    }
    let mut params = values.used;
    params.extend(definition(experiment, values.role));
    (params, values.unset)
}

/// A path of a sweep that names a searched parameter.
pub(super) fn searched_path(experiment: &Experiment, declared: &Declared) -> Diagnostic {
    let is_input = experiment.inputs.iter().any(|input| input.span == declared.span)
        || experiment.params_file.as_ref().is_some_and(|(file, _)| file.span == declared.span);
    let message = format!("the path `{}` of the sweep `{}` names a searched parameter", declared.path, experiment.name);
    let fault = Diagnostic::error("searched-path", declared.span.clone(), message, "has no value before the trials");
    fault.help(if is_input {
        "all trials of a sweep read the same inputs: search by a `matrix` what changes them"
    } else {
        "what a trial leaves lies with its run, and what the best one leaves comes to this path: leave the name out"
    })
}

/// Begins the names of the parameters that stand for a sweep's definition; no parameter of an Amlfile has such a name.
const DEFINITION: &str = "sweep/";

/// What of a definition only says when the sweep ends: another value goes on with the same trials.
pub const ENDS: &[&str] = &["sweep/max_trials", "sweep/max_duration", "sweep/max_failed"];

/// Whether a parameter of this name stands for a sweep's definition.
#[must_use]
pub fn is_definition(name: &str) -> bool {
    name.starts_with(DEFINITION)
}

/// What the result of a sweep depends on beside what its trials do, as parameters, so that `why` names what changed.
pub(super) fn definition(experiment: &Experiment, role: Role) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Some(sweep) = experiment.sweep.as_ref().filter(|_| role == Role::Sweep) else { return all };
    let mut set = |name: &str, value: String| drop(all.insert(format!("{DEFINITION}{name}"), Value::Text(value)));
    set("sampling", sweep.sampling.name().to_owned());
    set("metric", sweep.metric.clone());
    set("goal", if sweep.maximize { "maximize" } else { "minimize" }.to_owned());
    set("seed", sweep.seed.to_string());
    let numbers = [("max_trials", sweep.max_trials), ("max_failed", sweep.max_failed)];
    for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
        set(name, number.to_string());
    }
    let times = [("max_duration", sweep.max_duration), ("trial_timeout", sweep.trial_timeout)];
    for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
        set(name, format!("{} s", time.as_secs()));
    }
    if !sweep.resume_from.is_empty() {
        set("resume_from", sweep.resume_from.join(", "));
    }
    let order: Vec<&str> = sweep.space.iter().map(|(name, ..)| name.as_str()).collect();
    set("space", order.join(", "));
    for (name, draw, _) in &sweep.space {
        set(&format!("space/{name}"), drawn(draw));
    }
    if let Some(end) = sweep.termination.as_ref().filter(|end| end.rule != Rule::Never) {
        set("early_termination", format!("{}, interval {}, delay {}", rule(end.rule), end.interval, end.delay));
    }
    all
}

fn rule(rule: Rule) -> String {
    let halving = |name: &str, of: Halving| {
        let max = of.max.map_or_else(String::new, |max| format!(" to {max}"));
        format!("{name} from {}{max} by {}", of.min, of.factor)
    };
    match rule {
        Rule::Never => "none".to_owned(),
        Rule::Bandit(Slack::Factor(factor)) => format!("bandit, slack_factor {factor}"),
        Rule::Bandit(Slack::Amount(amount)) => format!("bandit, slack_amount {amount}"),
        Rule::Median => "median_stopping".to_owned(),
        Rule::Truncation(percentage) => format!("truncation_selection, {percentage} %"),
        Rule::Asha(of) => halving("asha", of),
        Rule::Hyperband(of) => halving("hyperband", of),
    }
}

fn drawn(draw: &Draw) -> String {
    match draw {
        Draw::Choice(choices) => format!("choice({})", choices.iter().map(chosen).collect::<Vec<_>>().join(", ")),
        Draw::Number(Numeric { base, log, q }) => {
            let base = match base {
                Base::Whole(upper) => format!("randint({upper})"),
                Base::Uniform { min, max } => format!("uniform({min}, {max})"),
                Base::Normal { mu, sigma } => format!("normal({mu}, {sigma})"),
            };
            let base = if *log { format!("exp({base})") } else { base };
            q.map_or(base.clone(), |q| format!("{base} by {q}"))
        }
    }
}

fn chosen(choice: &Choice) -> String {
    match choice {
        // A text apart from a number of the same digits.
        Choice::Value(Value::Text(text)) => format!("{text:?}"),
        Choice::Value(value) => value.to_string(),
        Choice::Draw(draw) => drawn(draw),
        Choice::Nested(inner) => {
            let inner: Vec<String> =
                inner.iter().map(|(name, choice)| format!("{name} = {}", chosen(choice))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
    }
}
