//! Every `${…}` of every experiment names something, and every parameter is named by something.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Resolver;
use super::model::{Action, Experiment, Project};
use super::template::{self, Piece, Reference};
use crate::amlfile::{document::Item, listed, suggest::nearest};
use crate::diagnostic::{Diagnostic, Span};
use crate::value::Value;

impl Resolver<'_> {
    pub(super) fn references(&mut self, project: &Project) {
        let mut used = BTreeSet::new();
        for experiment in &project.experiments {
            let mut scope = Scope::new(self.document.text, project, experiment);
            scope.experiment();
            self.faults.append(&mut scope.faults);
            used.extend(scope.used);
            self.needs(experiment);
        }
        for (name, (_, span)) in &project.params {
            if !used.contains(name.as_str()) && !project.experiments.is_empty() {
                self.fault(unused("parameter", name, span));
            }
        }
    }

    /// `needs` names experiments, or cells; a name with `${…}` is looked at by the plan.
    fn needs(&mut self, experiment: &Experiment) {
        let document = self.document;
        let Some(experiments) = document.root.get("experiments").and_then(Item::table) else { return };
        for (need, span) in &experiment.needs {
            let name = need.split_once('[').map_or(need.as_str(), |(name, _)| name);
            if !template::is_plain(need) {
                continue;
            }
            if name == experiment.name && need == name {
                let message = format!("experiment `{name}` needs itself");
                self.fault(Diagnostic::error("cycle", span.clone(), message, format!("`{name} -> {name}`")));
            } else if experiments.entry(name).is_none() {
                let known = experiments.entries().iter().map(|entry| entry.key.as_ref());
                self.lookup("experiment", name, span, known.filter(|other| *other != experiment.name));
            }
        }
    }
}

fn left_out(name: &str, at: Span) -> Diagnostic {
    let message = format!("`${{{name}}}` has no value in the trials of which the choice sets no `{name}`");
    Diagnostic::error("unknown-reference", at, message, "conditional, without a default").help(format!(
        "give `{name}` a value in `params` for these trials, or do not name it: a searched parameter that nothing names is \
         appended as `--{name} …` where it has a value"
    ))
}

fn unused(what: &str, name: &str, span: &Span) -> Diagnostic {
    let message = format!("the {what} `{name}` is not used");
    Diagnostic::warning("unused-parameter", span.clone(), message, "reaches no script")
        .help(format!("`${{{name}}}` in `arguments`, `command`, a path or a variable uses it"))
}

/// What a `${…}` may stand for where it stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In arguments, command and variables: anything.
    Anything,
    /// In paths and parameters: no paths.
    NoPaths(&'static str),
}

/// What the names of one experiment mean.
struct Scope<'p> {
    text: &'p str,
    project: &'p Project,
    experiment: &'p Experiment,
    searched: Vec<&'p str>,
    used: BTreeSet<&'p str>,
    /// Parameters whose values are being looked at, outermost first.
    within: Vec<&'p str>,
    faults: Vec<Diagnostic>,
}

impl<'p> Scope<'p> {
    fn new(text: &'p str, project: &'p Project, experiment: &'p Experiment) -> Self {
        let searched = experiment.sweep.as_ref().map(|sweep| sweep.names()).unwrap_or_default();
        Self { text, project, experiment, searched, used: BTreeSet::new(), within: Vec::new(), faults: Vec::new() }
    }

    fn experiment(&mut self) {
        let experiment = self.experiment;
        for (text, span) in &experiment.arguments {
            self.look(text, span, Place::Anything);
        }
        if let Action::Command(text, span) = &experiment.action {
            self.look(text, span, Place::Anything);
        }
        for (declared, what) in [
            (&experiment.inputs, "an input"),
            (&experiment.outputs, "an output"),
            (&experiment.metrics, "a metric file"),
        ] {
            for one in declared {
                self.look(&one.path, &one.span, Place::NoPaths(what));
            }
        }
        if let Some((file, _)) = &experiment.params_file {
            self.look(&file.path, &file.span, Place::NoPaths("a parameter file"));
        }
        for (text, span) in &experiment.needs {
            self.look(text, span, Place::NoPaths("`needs`"));
        }
        let environment = self.project.environments.get(experiment.environment);
        for (text, span) in environment.into_iter().flat_map(|environment| environment.variables.values()) {
            let before = self.faults.len();
            self.look(text, span, Place::Anything);
            for fault in self.faults.iter_mut().skip(before) {
                fault.context.push(crate::diagnostic::Label {
                    span: experiment.span.clone(),
                    text: "this experiment uses the environment".into(),
                });
            }
        }
        for (name, (_, span)) in &experiment.params {
            if !self.used.contains(name.as_str()) && !self.searched.contains(&name.as_str()) {
                self.faults.push(unused("parameter", name, span));
            }
        }
        for (name, values, span) in &experiment.matrix {
            for value in values {
                self.plain_value(value, span);
            }
            if !self.used.contains(name.as_str()) && !values.is_empty() {
                let fault = unused("axis", name, span);
                let why = "all cells run the same command".to_owned();
                self.faults.push(Diagnostic {
                    primary: fault.primary.map(|label| crate::diagnostic::Label { text: why, ..label }),
                    ..fault
                });
            }
        }
    }

    fn look(&mut self, text: &'p str, span: &Span, place: Place) {
        if template::is_plain(text) {
            return;
        }
        for piece in template::pieces(text) {
            match piece {
                Piece::Literal(_) => {}
                Piece::Unclosed(range) => {
                    let at = self.place(text, span, &range);
                    let fault = Diagnostic::error("unclosed-reference", at, "`${` is not closed", "no `}` follows");
                    self.faults.push(fault.help("`$${` is a literal `${`"));
                }
                Piece::Name(name, range) => self.reference(name, text, span, &range, place),
            }
        }
    }

    fn reference(&mut self, name: &'p str, text: &str, span: &Span, range: &Range<usize>, place: Place) {
        let experiment = self.experiment;
        let of = |declared: &'p [super::model::Declared]| declared.iter().map(super::model::Declared::name);
        match (Reference::of(name), place) {
            (Reference::Variable(variable), _) if experiment.secrets.iter().any(|secret| secret == variable) => {
                let at = self.place(text, span, range);
                let message = format!("`${{{name}}}` would put the secret `{variable}` into the key and the record");
                let fault = Diagnostic::error("secret-reference", at, message, "a secret");
                self.faults.push(fault.help("the script finds it in its environment"));
            }
            (Reference::Variable(variable), _) if !variable.is_empty() => {}
            (Reference::Input(_) | Reference::Output(_), Place::NoPaths(what)) => {
                let at = self.place(text, span, range);
                let message = format!("`${{{name}}}` cannot stand in {what}");
                let fault = Diagnostic::error("misplaced-reference", at, message, "a path of the experiment");
                self.faults.push(fault.help("paths stand in `arguments`, `command` and `variables`"));
            }
            (Reference::Input(input), _) if of(&experiment.inputs).any(|known| known == input) => {}
            (Reference::Output(output), _)
                if of(&experiment.outputs).chain(of(&experiment.metrics)).any(|known| known == output) => {}
            (Reference::Param(param), _) if self.param(param) => {
                if self.has_no_default(param) {
                    let at = self.place(text, span, range);
                    self.faults.push(left_out(name, at));
                }
            }
            (reference, _) => self.unknown(name, reference, self.place(text, span, range)),
        }
    }

    /// Whether some trials leave a parameter out and nothing else gives it a value.
    fn has_no_default(&self, name: &str) -> bool {
        let experiment = self.experiment;
        let is_given = experiment.params.contains_key(name)
            || self.project.params.contains_key(name)
            || experiment.matrix.iter().any(|(axis, ..)| axis == name);
        !is_given && experiment.sweep.as_ref().is_some_and(|sweep| sweep.conditional().contains(name))
    }

    /// Whether there is such a parameter; it is used then, and what its own value names is looked at.
    fn param(&mut self, name: &'p str) -> bool {
        let experiment = self.experiment;
        let axis = experiment.matrix.iter().any(|(axis, ..)| axis == name);
        if axis || self.searched.contains(&name) {
            self.used.insert(name);
            return true;
        }
        let Some((value, span)) = experiment.params.get(name).or_else(|| self.project.params.get(name)) else {
            return false;
        };
        if let Some(start) = self.within.iter().position(|outer| *outer == name) {
            let ring: Vec<&str> = self.within.iter().skip(start).copied().chain([name]).collect();
            let message = format!("the parameter `{name}` is made of itself: `{}`", ring.join(" -> "));
            self.faults.push(Diagnostic::error("parameter-cycle", span.clone(), message, "names itself in the end"));
        } else if self.used.insert(name) {
            self.within.push(name);
            self.value(value, span);
            self.within.pop();
        }
        true
    }

    fn value(&mut self, value: &'p Value, span: &Span) {
        match value {
            Value::Text(text) => self.look(text, span, Place::NoPaths("a parameter")),
            Value::List(items) => items.iter().for_each(|item| self.value(item, span)),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {}
        }
    }

    /// The values of a matrix name cells, and stand for themselves.
    fn plain_value(&mut self, value: &Value, span: &Span) {
        let Value::Text(text) = value else { return };
        for (name, range) in template::names(text) {
            let at = self.place(text, span, &range);
            let message = format!("`${{{name}}}` cannot stand in a value of a matrix");
            let fault = Diagnostic::error("misplaced-reference", at, message, "not interpolated here");
            self.faults.push(fault.help("put it where the axis is used"));
        }
    }

    fn unknown(&mut self, name: &str, reference: Reference<'_>, at: Span) {
        let experiment = self.experiment;
        let (what, wanted, prefix, known): (_, _, _, Vec<&str>) = match reference {
            Reference::Input(name) => {
                ("input", name, "inputs.", experiment.inputs.iter().map(super::model::Declared::name).collect())
            }
            Reference::Output(name) => {
                ("output", name, "outputs.", experiment.outputs.iter().map(super::model::Declared::name).collect())
            }
            Reference::Variable(name) => ("variable", name, "env.", Vec::new()),
            Reference::Param(name) => {
                let own = experiment.params.keys().chain(self.project.params.keys()).map(String::as_str);
                let axes = experiment.matrix.iter().map(|(name, ..)| name.as_str());
                let known: BTreeSet<&str> = own.chain(axes).chain(self.searched.iter().copied()).collect();
                ("parameter", name, "", known.into_iter().collect())
            }
        };
        let message = format!("`${{{name}}}` names no {what} of experiment `{}`", experiment.name);
        let fault = Diagnostic::error("unknown-reference", at.clone(), message, format!("no such {what}"));
        let axis_of =
            self.project.experiments.iter().find(|other| other.matrix.iter().any(|(axis, ..)| axis == wanted));
        self.faults.push(match (nearest(wanted, known.iter().copied()), axis_of) {
            (Some(near), _) => fault.fix(format!("{what} `{near}` exists"), at, format!("${{{prefix}{near}}}")),
            (None, Some(other)) if what == "parameter" => fault.with(other.span.clone(), format!("`{wanted}` is an axis of its matrix only")).help(
                format!("list the files one by one, name their folder, or write `needs = [\"{}\"]`; or give this experiment the same axis", other.name),
            ),
            (None, _) if what == "parameter" => fault.help(format!("for the shell's own variable write `$${{{name}}}`; a literal `${{` is `$${{`")),
            (None, _) if known.is_empty() => fault.help(format!("the experiment has no {what}s")),
            (None, _) => fault.help(format!("the {what}s are {}", listed(known.into_iter()))),
        });
    }

    /// The place of a part of a text: within the quotes, where it stands there as it is read.
    fn place(&self, text: &str, span: &Span, range: &Range<usize>) -> Span {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let part = text.get(range.clone()).unwrap_or_default();
        let before = text.get(..range.start).unwrap_or_default().matches(part).count();
        match written.match_indices(part).nth(before) {
            Some((at, _)) if !part.is_empty() => span.start + at..span.start + at + part.len(),
            _ => span.clone(),
        }
    }
}
