//! `[targets.*]`: the built-in `local`, and those declared.

use std::collections::BTreeMap;

use super::Resolver;
use super::model::{Target, TargetKind};
use crate::amlfile::document::{Entry, Item, Node, Table};
use crate::diagnostic::Diagnostic;

/// What a target of a type cannot do without.
fn required(kind: TargetKind) -> &'static [&'static str] {
    match kind {
        TargetKind::Ssh => &["host"],
        TargetKind::Spark => &["master"],
        TargetKind::Ray => &["address"],
        TargetKind::Azureml => &["subscription", "resource_group", "workspace"],
        TargetKind::Local | TargetKind::Slurm | TargetKind::Kubernetes => &[],
    }
}

impl Resolver<'_> {
    pub(super) fn targets(&mut self, entries: &[Entry<'_>]) -> Vec<Target> {
        let local = Target {
            name: "local".into(),
            span: 0..0,
            kind: TargetKind::Local,
            description: None,
            options: BTreeMap::new(),
        };
        let mut targets = vec![local];
        for entry in entries {
            self.declared_name("target", entry);
            let Some(table) = entry.item.table() else { continue };
            let Some((name, _)) = table.text("type") else { continue };
            let Some((kind, _)) = TargetKind::ALL.into_iter().find(|(_, known)| *known == name) else { continue };
            let target = self.target(entry, table, kind);
            if target.name != "local" {
                targets.push(target);
            } else if kind == TargetKind::Local {
                targets[0] = target;
            } else {
                let message = format!("target `local` is this machine and cannot be of type `{name}`");
                let fault = Diagnostic::error("bad-name", entry.key_span.clone(), message, "give it another name");
                self.fault(fault);
            }
        }
        self.logins(entries, &targets);
        targets
    }

    fn target(&mut self, entry: &Entry<'_>, table: &Table<'_>, kind: TargetKind) -> Target {
        for key in required(kind) {
            if table.get(key).is_none() {
                let message = format!("target `{}` of type `{}` has no `{key}`", entry.key, kind.name());
                let fault =
                    Diagnostic::error("missing-key", entry.key_span.clone(), message, format!("needs a `{key}`"));
                self.fault(fault);
            }
        }
        if kind == TargetKind::Ray
            && let Some((address, span)) = table.text("address")
            && !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme))
        {
            let message =
                "`address` is the HTTP address of the cluster's dashboard, where jobs are submitted".to_owned();
            let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
            let host = bare.split([':', '/']).next().unwrap_or_default();
            let fix = format!("write \"http://{host}:8265\", 8265 being the port as a rule");
            self.fault(Diagnostic::error("bad-address", span, message, fix));
        }
        let options = table.entries().iter().filter(|option| !matches!(option.key.as_ref(), "type" | "description"));
        Target {
            name: entry.key.clone().into_owned(),
            span: entry.key_span.clone(),
            kind,
            description: table.text("description").map(|(text, _)| text.to_owned()),
            options: options.filter_map(|o| Some((o.key.clone().into_owned(), plain(&o.item)?))).collect(),
        }
    }

    /// `login` names an ssh target.
    fn logins(&mut self, entries: &[Entry<'_>], targets: &[Target]) {
        for entry in entries {
            let Some((name, span)) = entry.item.table().and_then(|table| table.text("login")) else { continue };
            let known = targets.iter().filter(|t| t.kind == TargetKind::Ssh).map(|t| t.name.as_str());
            let other = targets.iter().find(|t| t.name == name && t.kind != TargetKind::Ssh);
            if let Some(other) = other {
                let message =
                    format!("`login` needs a target of type `ssh`, but `{name}` is of type `{}`", other.kind.name());
                let fault = Diagnostic::error("wrong-login", span, message, "not an ssh target");
                self.fault(if other.is_built_in() { fault } else { fault.with(other.span.clone(), "declared here") });
            } else {
                self.lookup("target", name, &span, known);
            }
        }
    }
}

impl Target {
    /// Whether it is the `local` that nobody declared.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.span == (0..0)
    }
}

fn plain(item: &Item<'_>) -> Option<toml::Value> {
    Some(match &item.node {
        Node::Text(text) => toml::Value::String(text.clone().into_owned()),
        Node::Integer(number) => toml::Value::Integer((*number)?),
        Node::Float(number, _) => toml::Value::Float(*number),
        Node::Bool(bool) => toml::Value::Boolean(*bool),
        Node::List(items) => toml::Value::Array(items.iter().filter_map(plain).collect()),
        Node::Table(table) => toml::Value::Table(
            table.entries().iter().filter_map(|e| Some((e.key.clone().into_owned(), plain(&e.item)?))).collect(),
        ),
        Node::Date | Node::Tables(_) => return None,
    })
}
