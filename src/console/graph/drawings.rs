//! The languages of Graphviz and Mermaid. Arrows go from what is needed to who needs it, as data flows.

use std::fmt::Write as _;

use crate::console::clean::clean;
use crate::plan::job::Plan;

use super::numbered;

/// The graph in Graphviz's DOT: <https://graphviz.org/doc/info/lang.html>.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let quoted = |name: &str| format!("\"{}\"", clean(name).replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph amlrun {\n    rankdir = LR\n    node [shape = box]\n".to_owned();
    for (_, job) in numbered(plan) {
        let _ = writeln!(text, "    {}", quoted(&job.name.0));
    }
    for (_, job) in numbered(plan) {
        for need in job.needs.iter().filter_map(|need| plan.jobs.get(need.0)) {
            let _ = writeln!(text, "    {} -> {}", quoted(&need.name.0), quoted(&job.name.0));
        }
    }
    text.push_str("}\n");
    text
}

/// The graph as a Mermaid flowchart: <https://mermaid.js.org/syntax/flowchart.html>, where special characters of a text
/// are written as `#NUMBER;`.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let escaped = |name: &str| {
        let mut text = String::new();
        for c in clean(name).chars() {
            if c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | ',' | '=' | '[' | ']' | '/') {
                text.push(c);
            } else {
                let _ = write!(text, "#{};", u32::from(c));
            }
        }
        text
    };
    let mut text = "flowchart LR\n".to_owned();
    for (id, job) in numbered(plan) {
        let _ = writeln!(text, "    j{}[\"{}\"]", id.0, escaped(&job.name.0));
    }
    for (id, job) in numbered(plan) {
        for need in &job.needs {
            let _ = writeln!(text, "    j{} --> j{}", need.0, id.0);
        }
    }
    text
}
