//! A document of another tool, and a place in it that knows its path.

use crate::diagnostic::{Diagnostic, Source, Span};
use crate::value::Value;
use crate::yaml::{self, Node};

/// A document.
#[derive(Debug, Clone)]
pub struct Doc {
    /// Relative to the workspace.
    pub file: String,
    /// Its text.
    pub source: Source,
    /// Its tree.
    pub root: Node,
}

impl Doc {
    /// Reads a YAML (or JSON) text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(file: &str, text: &str) -> Result<Self, Box<(Source, Diagnostic)>> {
        let source = Source { name: file.to_owned(), text: text.trim_start_matches('\u{feff}').to_owned() };
        match yaml::parse(&source.text) {
            Ok(root) => Ok(Self { file: file.to_owned(), source, root }),
            Err(fault) => Err(Box::new((source, fault.diagnostic()))),
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn at(&self) -> At<'_> {
        At { doc: self, node: &self.root, path: String::new(), key: String::new(), span: self.root.span.clone() }
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn folder(&self) -> &str {
        super::names::folder(&self.file)
    }
}

/// A place in a document.
#[derive(Debug, Clone)]
pub struct At<'d> {
    /// The document.
    pub doc: &'d Doc,
    /// What stands there.
    pub node: &'d Node,
    /// Its path from the top: keys with dots between, items as `[0]`.
    pub path: String,
    /// Its own key.
    pub key: String,
    /// Where its key stands; its value where it has none.
    pub span: Span,
}

/// A key without what dialects differ in: `node_count`, `nodeCount` and `NodeCount` are one.
#[must_use]
pub fn loose(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

impl<'d> At<'d> {
    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.doc.source.position(self.span.start).0
    }

    /// As in `train.runconfig:3`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.doc.file, self.line())
    }

    /// What stands under a key of exactly this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.node.entry(key).map(|entry| self.below(entry))
    }

    /// What stands under a key, in whatever case and spelling; the first, where two are one.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Self> {
        let wanted = loose(key);
        self.node.entries().iter().find(|entry| loose(&entry.key) == wanted).map(|entry| self.below(entry))
    }

    /// What stands there and says something.
    #[must_use]
    pub fn said(&self, key: &str) -> Option<Self> {
        self.find(key).filter(|at| !super::report::is_empty(at.node))
    }

    fn below(&self, entry: &'d yaml::Entry) -> Self {
        let path = if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        At { doc: self.doc, node: &entry.node, path, key: entry.key.clone(), span: entry.key_span.clone() }
    }

    /// The entries of a map.
    #[must_use]
    pub fn entries(&self) -> Vec<Self> {
        self.node.entries().iter().map(|entry| self.below(entry)).collect()
    }

    /// The items of a list.
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        let item = |(at, node): (usize, &'d Node)| At {
            doc: self.doc,
            node,
            path: format!("{}[{at}]", self.path),
            key: at.to_string(),
            span: node.span.clone(),
        };
        self.node.items().iter().enumerate().map(item).collect()
    }

    /// The text of a scalar, a number as it was written.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        self.node.scalar()
    }

    /// The scalars of a list; a scalar alone counts as a list of one.
    #[must_use]
    pub fn scalars(&self) -> Vec<String> {
        match self.node.scalar() {
            Some(one) => vec![one],
            None => self.node.items().iter().filter_map(Node::scalar).collect(),
        }
    }

    /// A truth as the dialects write it: `true`, `"True"`, `yes`, 1.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match self.scalar()?.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number, in quotes or not.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        self.scalar()?.parse().ok()
    }

    /// As a value of a parameter: scalars, and lists of them.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        value(self.node)
    }
}

/// A node as a value of a parameter.
#[must_use]
pub fn value(node: &Node) -> Option<Value> {
    Some(match &node.value {
        yaml::Value::Null | yaml::Value::Map(_) => return None,
        yaml::Value::Bool(value) => Value::Bool(*value),
        yaml::Value::Integer(value) => Value::Integer(*value),
        yaml::Value::Float(number) => Value::Float(number.clone()),
        yaml::Value::Text(text) => Value::Text(text.clone()),
        yaml::Value::List(items) => Value::List(items.iter().map(value).collect::<Option<_>>()?),
    })
}
