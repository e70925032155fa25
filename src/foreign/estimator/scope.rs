//! What names stand for at a place of a script: the last assignment before it.

use super::super::python::{Py, Statement};

/// The statements of a script.
pub(super) struct Scope<'s> {
    pub(super) statements: &'s [Statement],
}

impl<'s> Scope<'s> {
    pub(super) fn of(statements: &'s [Statement]) -> Self {
        Self { statements }
    }

    /// What a dotted name was assigned last before a statement.
    pub(super) fn assigned(&self, name: &str, before: usize) -> Option<(usize, &'s Py)> {
        let mut earlier = self.statements.iter().enumerate().take(before).rev();
        earlier.find(|(_, statement)| statement.name == name).map(|(at, statement)| (at, &statement.value))
    }

    /// What it stands for, names followed a few steps.
    pub(super) fn literal(&self, name: &str, before: usize) -> Option<Py> {
        let (at, value) = self.assigned(name, before)?;
        Some(self.resolve(value, at, 8))
    }

    /// The name that a name was assigned, as in `src.run_config.environment = env`.
    pub(super) fn name_of(&self, name: &str, before: usize) -> Option<String> {
        match self.assigned(name, before)?.1 {
            Py::Name(name) => Some(name.clone()),
            _ => Some(name.to_owned()),
        }
    }

    /// A value with the names in it resolved.
    pub(super) fn resolve(&self, value: &Py, before: usize, steps: usize) -> Py {
        match value {
            Py::Name(name) if steps > 0 => match self.assigned(name, before) {
                Some((at, found)) => self.resolve(found, at, steps - 1),
                None => value.clone(),
            },
            Py::List(items) => Py::List(items.iter().map(|item| self.resolve(item, before, steps)).collect()),
            Py::Dict(pairs) => {
                Py::Dict(pairs.iter().map(|(key, value)| (key.clone(), self.resolve(value, before, steps))).collect())
            }
            other => other.clone(),
        }
    }

    /// The calls of a method of a name before a statement: their first arguments.
    pub(super) fn calls(&self, name: &str, before: usize) -> impl Iterator<Item = &'s Py> {
        let name = name.to_owned();
        self.statements.iter().take(before).filter_map(move |statement| match &statement.value {
            Py::Call(callee, positional, named, _) if *callee == name => {
                positional.first().or_else(|| named.first().map(|(_, value)| value))
            }
            _ => None,
        })
    }
}

/// The arguments of a call.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// Which statement it is.
    pub(super) at: usize,
    pub(super) positional: &'a [Py],
    pub(super) named: &'a [(String, Py)],
}

impl Arguments<'_> {
    fn raw(&self, name: &str, order: &[&str]) -> Option<&Py> {
        let named = self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        named.or_else(|| self.positional.get(order.iter().position(|known| *known == name)?))
    }

    /// An argument, by keyword or by place, names resolved; none where it is not there or `None`.
    pub(super) fn get(&self, name: &str, order: &[&str]) -> Option<Py> {
        let value = self.scope.resolve(self.raw(name, order)?, self.at, 8);
        (value != Py::None).then_some(value)
    }

    /// The name that stands there.
    pub(super) fn name(&self, name: &str, order: &[&str]) -> Option<String> {
        match self.raw(name, order)? {
            Py::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Whether it is given by keyword.
    pub(super) fn has(&self, name: &str) -> bool {
        self.named.iter().any(|(known, _)| known == name)
    }
}
