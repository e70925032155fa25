//! What differs between two fingerprints, field by field: the same structure that is digested is what is explained, so
//! the key and its explanation cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fingerprint, Reason, judge::Memory};

/// How many files are named one by one.
const LISTED: usize = 20;

type Change = (String, Option<String>, Option<String>);

/// Adds a reason for every field that differs.
pub fn between(was: &Fingerprint, is: &Fingerprint, memory: &dyn Memory, reasons: &mut Vec<Reason>) {
    if was.format != is.format {
        reasons.push(Reason::FormatChanged { was: was.format, is: is.format });
    }
    if was.command != is.command {
        reasons.push(Reason::CommandChanged { was: was.command.clone(), is: is.command.clone() });
    }
    for (name, was, is) in changed(&was.params, &is.params) {
        reasons.push(Reason::ParamChanged { name, was, is });
    }
    for (name, was, is) in changed(&was.variables, &is.variables) {
        reasons.push(Reason::VariableChanged { name, was, is });
    }
    if was.framework != is.framework {
        reasons.push(Reason::FrameworkChanged { was: was.framework.clone(), is: is.framework.clone() });
    }
    for (name, was, is) in changed(&was.distributed, &is.distributed) {
        reasons.push(Reason::DistributedChanged { name, was, is });
    }
    environment(was, is, memory, reasons);
    if was.sources != is.sources {
        match memory.tree_difference(&was.sources, &is.sources) {
            Some(files) if !files.is_empty() => {
                let more = files.len().saturating_sub(LISTED);
                for (path, was, is) in files.into_iter().take(LISTED) {
                    reasons.push(Reason::SourceChanged { path, was, is });
                }
                if more > 0 {
                    reasons.push(Reason::MoreFiles { count: more });
                }
            }
            _ => reasons.push(Reason::SourceChanged {
                path: crate::relpath::RelPath::root(),
                was: Some(was.sources.short()),
                is: Some(is.sources.short()),
            }),
        }
    }
    inputs(was, is, memory, reasons);
}

fn environment(was: &Fingerprint, is: &Fingerprint, memory: &dyn Memory, reasons: &mut Vec<Reason>) {
    if was.environment == is.environment {
        return;
    }
    let facts = |of: &Fingerprint| match &of.environment {
        None => Some(BTreeMap::new()),
        Some(digest) => memory.key(digest).map(|key| key.facts),
    };
    let named = match (facts(was), facts(is)) {
        (Some(then), Some(now)) => changed(&then, &now),
        _ => Vec::new(),
    };
    if named.is_empty() {
        let short = |of: &Fingerprint| of.environment.map(|d| d.short());
        reasons.push(Reason::EnvironmentChanged { fact: String::new(), was: short(was), is: short(is) });
    }
    for (fact, was, is) in named {
        reasons.push(Reason::EnvironmentChanged { fact, was, is });
    }
}

fn inputs(was: &Fingerprint, is: &Fingerprint, memory: &dyn Memory, reasons: &mut Vec<Reason>) {
    let names: BTreeSet<&String> = was.inputs.keys().chain(is.inputs.keys()).collect();
    for name in names {
        let (then, now) = (was.inputs.get(name), is.inputs.get(name));
        if then == now {
            continue;
        }
        let files = match (then, now) {
            (Some(then), Some(now)) => memory.input_difference(name, then, now).unwrap_or_default(),
            _ => Vec::new(),
        };
        if files.is_empty() {
            reasons.push(Reason::InputChanged {
                name: name.clone(),
                path: String::new(),
                was: then.map(crate::digest::Digest::short),
                is: now.map(crate::digest::Digest::short),
            });
        }
        let more = files.len().saturating_sub(LISTED);
        for (path, was, is) in files.into_iter().take(LISTED) {
            reasons.push(Reason::InputChanged { name: name.clone(), path, was, is });
        }
        if more > 0 {
            reasons.push(Reason::MoreFiles { count: more });
        }
    }
}

/// The names whose values differ, with both values.
fn changed(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    names
        .into_iter()
        .filter(|name| was.get(*name) != is.get(*name))
        .map(|name| (name.clone(), was.get(name).cloned(), is.get(name).cloned()))
        .collect()
}
