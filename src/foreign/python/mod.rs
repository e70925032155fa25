//! Reads what is literal in Python: assignments of literals and calls, nothing is executed. Tolerant: what it does not
//! understand is `Other`, and the reading goes on at the next statement.
//!
//! Used by [`super::estimator`] for scripts and notebooks of SDK v1.

mod lex;
mod read;

pub use read::statements;

/// A statement that may matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// `a.b = …`: the dotted name on the left; empty for an expression alone.
    pub name: String,
    /// What is assigned, or called.
    pub value: Py,
    /// The line, from 1.
    pub line: usize,
}

/// A literal, a call, or anything else.
#[derive(Debug, Clone, PartialEq)]
pub enum Py {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A text, not an f-string with fields.
    Text(String),
    /// A list, a tuple or a set.
    List(Vec<Py>),
    /// A dictionary of literals.
    Dict(Vec<(Py, Py)>),
    /// A dotted name.
    Name(String),
    /// A call: the dotted name, positional arguments, keyword arguments, the line.
    Call(String, Vec<Py>, Vec<(String, Py)>, usize),
    /// What is not literal.
    Other,
}

impl Py {
    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// As a value of a parameter.
    #[must_use]
    pub fn value(&self) -> Option<crate::value::Value> {
        use crate::value::{Number, Value};
        Some(match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(text) => match text.parse::<i64>() {
                Ok(whole) => Value::Integer(whole),
                Err(_) => Value::Float(Number { value: text.parse().ok()?, text: text.clone() }),
            },
            Self::Text(text) => Value::Text(crate::project::template::escape(text)),
            Self::List(items) => Value::List(items.iter().map(Self::value).collect::<Option<_>>()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_and_calls() {
        let text = "import x\nsrc = ScriptRunConfig(source_directory='.', # here\n    script=\"a\" 'b.py',\n    arguments=['--x', 1, -0.5, 1e-3, None, f'{y}', r'\\d'],\n    env=env, **more)\nenv.python.user_managed = True\nif x:\n    cd.add_pip_package('numpy')\nd = {'a': uniform(0, 1), 'b': (1, 2)}\n";
        let found = statements(text);
        let Py::Call(name, _, named, line) = &found[0].value else { panic!("{found:?}") };
        assert_eq!((name.as_str(), *line, found[0].name.as_str()), ("ScriptRunConfig", 2, "src"));
        assert_eq!(named[1], ("script".into(), Py::Text("ab.py".into())));
        let Py::List(items) = &named[2].1 else { panic!("{named:?}") };
        let n = |text: &str| Py::Number(text.into());
        assert_eq!(
            items[..],
            [Py::Text("--x".into()), n("1"), n("-0.5"), n("1e-3"), Py::None, Py::Other, Py::Text("\\d".into())]
        );
        assert_eq!(found[1].name, "env.python.user_managed");
        assert!(matches!(&found[2].value, Py::Call(name, args, ..) if name == "cd.add_pip_package" && args.len() == 1));
        assert!(matches!(&found[3].value, Py::Dict(pairs) if pairs.len() == 2));
    }

    #[test]
    fn what_is_broken_does_not_end_it() {
        let found = statements("a = ((((\n!pip install x\n%magic\n\"\"\"open\nb = 1");
        assert!(found.len() <= 3);
        let found = statements("x = a if b else c\ny = [i for i in z]\nz = 'ok'");
        assert_eq!(found.last().unwrap().value, Py::Text("ok".into()));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c=(){}\\[\\],.:'\"#\\\\n0-9+\\-* \\n\\té]{0,80}") {
            let _ = statements(&text);
        }
    }
}
