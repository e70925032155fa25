//! Cells of a matrix as one experiment again: v2 knows jobs only, and `amlrun export` kept of each which cell it is.
//!
//! Called by `import` after each document. The texts of the cells are compared, not kept ones: where they differ, the value
//! of an axis must stand. What is folded gives each cell back to the letter; where it would not (a job was edited, or some
//! are missing), each stays an experiment of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::{Cell, Experiment, Proposal};
use super::super::names;
use crate::project::template::{self, Piece};
use crate::value::Value;

/// Folds what can be folded; no experiment is a cell afterwards.
pub(super) fn fold(proposal: &mut Proposal) {
    if let Some(folded) = folded(&proposal.experiments) {
        proposal.experiments = folded;
    }
    proposal.experiments.iter_mut().for_each(|one| one.cell = None);
}

/// All experiments, those of a matrix as one in the place of the first. None: they stay as they are.
fn folded(all: &[Experiment]) -> Option<Vec<Experiment>> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let Some(cell) = &one.cell else { continue };
        match groups.iter_mut().find(|(name, _)| *name == cell.matrix) {
            Some((_, members)) => members.push(index),
            None => groups.push((&cell.matrix, vec![index])),
        }
    }
    let mut matrices: Vec<(Experiment, Cells, Vec<usize>)> = Vec::new();
    for (_, members) in groups {
        let cells: Vec<&Experiment> = members.iter().filter_map(|index| all.get(*index)).collect();
        if let Some((one, cells)) = merged(&cells) {
            matrices.push((one, cells, members));
        }
    }
    let folded: BTreeSet<usize> = matrices.iter().flat_map(|(.., members)| members.iter().copied()).collect();
    let is_member = |index: usize| folded.contains(&index);
    let mut taken: BTreeSet<String> =
        all.iter().enumerate().filter(|(index, _)| !is_member(*index)).map(|(_, one)| one.name.clone()).collect();
    // Names that others wait for: of a cell, and of all cells.
    let (mut jobs, mut wholes) = (BTreeMap::new(), Vec::new());
    for (one, _, members) in &mut matrices {
        let was = std::mem::take(&mut one.name);
        one.name = names::free(&was, |name| !taken.contains(name));
        taken.insert(one.name.clone());
        let mut whole = BTreeSet::new();
        for member in members.iter().filter_map(|index| all.get(*index)) {
            let cell = member.cell.as_ref()?;
            jobs.insert(member.name.clone(), format!("{}{}", one.name, cell.job.strip_prefix(&was)?));
            whole.insert(member.name.clone());
        }
        wholes.push((whole, one.name.clone()));
    }
    let needs = |of: &Experiment| {
        let mut needs = of.needs.clone();
        for (whole, name) in &wholes {
            if whole.iter().all(|cell| needs.contains(cell)) {
                let first = needs.iter().position(|need| whole.contains(need));
                needs.retain(|need| !whole.contains(need));
                needs.insert(first.unwrap_or_default().min(needs.len()), name.clone());
            }
        }
        needs.into_iter().map(|need| jobs.get(&need).cloned().unwrap_or(need)).collect::<Vec<String>>()
    };
    let mut at: BTreeMap<usize, Experiment> = BTreeMap::new();
    for (one, cells, members) in &matrices {
        let theirs: Vec<Vec<String>> = members.iter().filter_map(|index| all.get(*index)).map(needs).collect();
        let mut one = one.clone();
        one.needs = cells.texts(&theirs.iter().collect::<Vec<_>>())?;
        at.insert(*members.first()?, one);
    }
    let mut experiments = Vec::new();
    for (index, one) in all.iter().enumerate() {
        if let Some(one) = at.remove(&index) {
            experiments.push(one);
        } else if !is_member(index) {
            experiments.push(Experiment { needs: needs(one), ..one.clone() });
        }
    }
    Some(experiments)
}

/// The cells of a matrix as one experiment, but for what it waits for.
fn merged(cells: &[&Experiment]) -> Option<(Experiment, Cells)> {
    let (first, known) = (*cells.first()?, cells.iter().map(|one| one.cell.as_ref()).collect::<Option<Vec<_>>>()?);
    let with = Cells::of(&known)?;
    let mut one = Experiment { name: known.first()?.matrix.clone(), cell: None, needs: Vec::new(), ..first.clone() };
    one.matrix = with.axes();
    let mut params = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let mut own = Vec::new();
        for (name, value) in &cell.params {
            match with.value(at, name) {
                // An edit to the parameter counts: it is no cell of that matrix any more.
                Some(axis) if value.to_string() != axis => return None,
                Some(_) => {}
                None => own.push((name.clone(), value)),
            }
        }
        // What an axis' name stands for there though it is no parameter was no axis.
        let is_param = |axis: &String| cell.params.iter().any(|(name, _)| name == axis);
        if with.values.get(at)?.iter().any(|(axis, _)| !is_param(axis) && is_named(cell, axis)) {
            return None;
        }
        params.push(own);
    }
    one.params = zipped(&params, |values| with.common(values))?;
    let each = |of: fn(&Experiment) -> &Vec<Value>| {
        with.list(&cells.iter().map(|cell| of(cell)).collect::<Vec<_>>(), |values| with.common(values))
    };
    one.arguments = each(|cell| &cell.arguments)?;
    let commands: Vec<&String> = cells.iter().filter_map(|cell| cell.command.as_ref()).collect();
    one.command = match commands.len() {
        0 => None,
        found if found == cells.len() => Some(with.text(&commands)?),
        _ => return None,
    };
    one.metrics = with.texts(&cells.iter().map(|cell| &cell.metrics).collect::<Vec<_>>())?;
    let paths = |of: fn(&Experiment) -> &Vec<(String, String)>| {
        let lists: Vec<_> = cells.iter().map(|cell| of(cell)).collect();
        with.list(&lists, |pairs| {
            let (names, paths): (Vec<_>, Vec<_>) = pairs.iter().map(|(name, path)| (name, path)).unzip();
            Some((with.text(&names)?, with.text(&paths)?))
        })
    };
    (one.inputs, one.outputs) = (paths(|cell| &cell.inputs)?, paths(|cell| &cell.outputs)?);
    // All else is the same in all of them.
    let is_same = |cell: &Experiment| {
        let cell = Experiment {
            name: one.name.clone(),
            comments: one.comments.clone(),
            params: one.params.clone(),
            arguments: one.arguments.clone(),
            command: one.command.clone(),
            metrics: one.metrics.clone(),
            inputs: one.inputs.clone(),
            outputs: one.outputs.clone(),
            needs: one.needs.clone(),
            matrix: one.matrix.clone(),
            cell: None,
            ..cell.clone()
        };
        cell == one
    };
    if !cells.iter().all(|cell| is_same(cell)) {
        return None;
    }
    if cells.len() > 1 {
        one.comments
            .insert(1.min(one.comments.len()), format!("With {} more: the cells of a matrix.", cells.len() - 1));
    }
    Some((one, with))
}

/// Whether a command line has `${name}`.
fn is_named(one: &Experiment, name: &str) -> bool {
    let arguments = one.arguments.iter().filter_map(|argument| match argument {
        Value::Text(text) => Some(text),
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => None,
    });
    one.command.iter().chain(arguments).any(|text| template::names(text).any(|(found, _)| found.trim() == name))
}

/// Lists of named values as one.
fn zipped(lists: &[Vec<(String, &Value)>], one: impl Fn(&[&Value]) -> Option<Value>) -> Option<Vec<(String, Value)>> {
    let first = lists.first()?;
    let is_alike =
        |list: &Vec<(String, &Value)>| list.len() == first.len() && list.iter().zip(first).all(|(a, b)| a.0 == b.0);
    if !lists.iter().all(is_alike) {
        return None;
    }
    let at = |at: usize| lists.iter().filter_map(|list| Some(list.get(at)?.1)).collect::<Vec<_>>();
    first.iter().enumerate().map(|(index, (name, _))| Some((name.clone(), one(&at(index))?))).collect()
}

/// The cells of a whole matrix: the values of its axes as texts.
struct Cells {
    /// By cell, in the order of the jobs.
    values: Vec<Vec<(String, String)>>,
    /// By axis.
    axes: Vec<(String, Vec<Value>)>,
}

impl Cells {
    /// None where they are not all cells of a matrix, each once.
    fn of(cells: &[&Cell]) -> Option<Self> {
        let mut axes: Vec<(String, Vec<Value>)> =
            cells.first()?.axes.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        let mut values = Vec::new();
        for cell in cells {
            if cell.axes.len() != axes.len() {
                return None;
            }
            let mut texts = Vec::new();
            for ((name, value), (axis, known)) in cell.axes.iter().zip(&mut axes) {
                let text = value.to_string();
                if name != axis || text.contains("${") {
                    return None;
                }
                if known.iter().all(|known| known.to_string() != text) {
                    known.push(value.clone());
                }
                texts.push((name.clone(), text));
            }
            values.push(texts);
        }
        // The graph may have put the cells in another order than the axes have.
        for ((_, values), all) in axes.iter_mut().zip(&cells.first()?.all) {
            let place = |value: &Value| all.iter().position(|one| one.to_string() == value.to_string());
            values.sort_by_key(|value| place(value).unwrap_or(usize::MAX));
        }
        let distinct: BTreeSet<&Vec<(String, String)>> = values.iter().collect();
        let all = axes.iter().fold(1_usize, |all, (_, values)| all.saturating_mul(values.len()));
        (distinct.len() == cells.len() && all == cells.len()).then_some(Self { values, axes })
    }

    fn axes(&self) -> Vec<(String, Vec<Value>)> {
        self.axes.clone()
    }

    /// The value of an axis in a cell.
    fn value(&self, cell: usize, name: &str) -> Option<&str> {
        let (_, value) = self.values.get(cell)?.iter().find(|(axis, _)| axis == name)?;
        Some(value)
    }

    /// One list of several, item by item.
    fn list<T, U>(&self, lists: &[&Vec<T>], one: impl Fn(&[&T]) -> Option<U>) -> Option<Vec<U>> {
        let length = lists.first()?.len();
        if lists.len() != self.values.len() || lists.iter().any(|list| list.len() != length) {
            return None;
        }
        (0..length).map(|at| one(&lists.iter().filter_map(|list| list.get(at)).collect::<Vec<_>>())).collect()
    }

    fn texts(&self, lists: &[&Vec<String>]) -> Option<Vec<String>> {
        self.list(lists, |texts| self.text(texts))
    }

    /// One value of a value a cell.
    fn common(&self, values: &[&Value]) -> Option<Value> {
        let first = *values.first()?;
        if values.iter().all(|value| *value == first) {
            return Some(first.clone());
        }
        let text = |value: &&Value| match value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => None,
        };
        let texts = values.iter().map(text).collect::<Option<Vec<String>>>()?;
        self.text(&texts.iter().collect::<Vec<_>>()).map(Value::Text)
    }

    /// One text of a text a cell, with `${axis}` where all of them have the value of an axis. None where it would not give
    /// each of them back.
    fn text(&self, texts: &[&String]) -> Option<String> {
        let first = *texts.first()?;
        if texts.iter().all(|text| *text == first) {
            return Some(first.clone());
        }
        let several = || self.axes.iter().filter(|(_, values)| values.len() > 1);
        let mut rest: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        let mut out = String::new();
        while rest.iter().any(|rest| !rest.is_empty()) {
            let stripped = several().find_map(|(axis, _)| {
                let without = rest.iter().enumerate().map(|(cell, rest)| rest.strip_prefix(self.value(cell, axis)?));
                Some((axis, without.collect::<Option<Vec<&str>>>()?))
            });
            if let Some((axis, without)) = stripped {
                out.extend(["${", axis, "}"]);
                rest = without;
                continue;
            }
            let next = rest.first()?.chars().next()?;
            rest = rest.iter().map(|rest| rest.strip_prefix(next)).collect::<Option<_>>()?;
            out.push(next);
        }
        let is_same = |(cell, text): (usize, &&String)| self.filled(cell, &out) == self.filled(cell, text);
        texts.iter().enumerate().all(is_same).then_some(out)
    }

    /// A text with the values of a cell: what stands there, and the names that are left.
    fn filled<'t>(&self, cell: usize, text: &'t str) -> Vec<(String, &'t str)> {
        let mut filled = vec![(String::new(), "")];
        for piece in template::pieces(text) {
            let (literal, name) = match piece {
                Piece::Literal(literal) => (literal, ""),
                Piece::Unclosed(range) => ("", text.get(range).unwrap_or_default()),
                Piece::Name(name, _) => self.value(cell, name.trim()).map_or(("", name), |value| (value, "")),
            };
            if let Some((last, _)) = filled.last_mut() {
                last.push_str(literal);
            }
            if !name.is_empty() {
                filled.push((String::new(), name));
            }
        }
        filled
    }
}
