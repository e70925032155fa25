//! What the real SDK says where it has no service: `Attempted to log scalar metric mse:` and, on the next line, the value.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Lines;

use serde_json::{Value, json};

use super::literal::{literal, number};

/// A value that goes on for more lines than this is none.
const LONGEST: usize = 10_000;

/// The lines that the package itself would have written to its log, from a job's output. Whoever prints such lines
/// without the SDK is taken at their word.
#[must_use]
pub fn attempted(output: &str) -> String {
    let mut log = String::new();
    let mut steps: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        let mut add = |entry: Value| {
            let _infallible = writeln!(log, "{entry}");
        };
        if let Some((kind, name)) = line.strip_prefix("Attempted to log ").and_then(metric) {
            let Some(value) = value(&mut lines) else { continue };
            match kind {
                "scalar" => match scalar(&value) {
                    Some(number) => {
                        let step = steps.entry(name.to_owned()).or_default();
                        add(json!({ "metric": name, "value": number, "step": *step }));
                        *step += 1;
                    }
                    None => add(json!({ "log": "scalar", "name": name, "value": value })),
                },
                kind => {
                    // A figure is nowhere to be found; a file lies where it did.
                    let kind = if kind == "residual" { "residuals" } else { kind };
                    let read = serde_json::from_str(&value).ok().or_else(|| literal(&value));
                    add(json!({ "log": kind, "name": name, "value": read.unwrap_or(Value::String(value)) }));
                }
            }
        } else if let Some((name, value)) =
            line.strip_prefix("Attempted to add tag ").and_then(|rest| rest.split_once(" with value "))
        {
            add(json!({ "tag": name, "value": if value == "None" { "" } else { value } }));
        } else if let Some(rest) = line.strip_prefix("Attempted to set tags ") {
            for (name, value) in texts(rest) {
                add(json!({ "tag": name, "value": value }));
            }
        } else if let Some(rest) = line.strip_prefix("Attempted to add properties ") {
            for (name, value) in texts(rest) {
                add(json!({ "property": name, "value": value }));
            }
        } else if let Some(code) =
            line.strip_prefix("Run failed with error code ").and_then(|rest| rest.strip_suffix(':'))
        {
            let details = lines.next().unwrap_or_default();
            let known: Vec<&str> = [code, details].into_iter().filter(|part| *part != "None").collect();
            add(json!({ "status": "Failed", "error": known.join(": ") }));
        }
    }
    log
}

/// `scalar metric mse:` as its two words.
fn metric(rest: &str) -> Option<(&str, &str)> {
    const KINDS: &[&str] =
        &["scalar", "list", "table", "row", "image", "residual", "predictions", "accuracy_table", "confusion_matrix"];
    let (kind, name) = rest.strip_suffix(':')?.split_once(" metric ")?;
    KINDS.contains(&kind).then_some((kind, name))
}

/// The lines that a value takes: one, or as many as it takes to close its brackets.
fn value(lines: &mut Peekable<Lines<'_>>) -> Option<String> {
    let mut value = lines.next()?.to_owned();
    if value.trim_start().starts_with(['[', '{', '(']) {
        for _ in 0..LONGEST {
            let goes_on = open(&value) > 0 && lines.peek().is_some_and(|next| !next.starts_with("Attempted to "));
            if !goes_on {
                break;
            }
            value.push('\n');
            value.push_str(lines.next().unwrap_or_default());
        }
    }
    Some(value)
}

fn open(text: &str) -> i64 {
    let count = |c: char| match c {
        '[' | '{' | '(' => 1,
        ']' | '}' | ')' => -1,
        _ => 0,
    };
    text.chars().map(count).sum()
}

fn scalar(text: &str) -> Option<Value> {
    match text.trim() {
        "True" => Some(1.into()),
        "False" => Some(0.into()),
        text => number(text),
    }
}

/// A dict of texts.
fn texts(text: &str) -> Vec<(String, String)> {
    let Some(Value::Object(fields)) = literal(text) else { return Vec::new() };
    let shown = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (name, shown(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::attempted;

    #[test]
    fn what_the_sdk_prints_becomes_the_log() {
        let output = "\
epoch 1
Attempted to log scalar metric mse:
1.5
Attempted to log scalar metric mse:
nan
Attempted to log scalar metric where:
here
Attempted to log list metric l:
[1, 2, nan]
Attempted to log row metric r:
{'x': 1, 'y': 'a'}
Attempted to log table metric t:
{'a': [1, 2],
 'b': [3, 4]}
Attempted to log confusion_matrix metric cm:
{\"schema_type\": \"confusion_matrix\", \"data\": null}
Attempted to log residual metric res:
{'schema_type': 'residuals'}
Attempted to log image metric i:
plot.png
Attempted to add tag k with value v
Attempted to add tag solo with value None
Attempted to set tags {'a': 'b'}
Attempted to add properties {'p': 1}
Run failed with error code None:
no data
Attempted to log scalar metric last:";
        let wanted = r#"{"metric":"mse","step":0,"value":1.5}
{"metric":"mse","step":1,"value":"NaN"}
{"log":"scalar","name":"where","value":"here"}
{"log":"list","name":"l","value":[1,2,"NaN"]}
{"log":"row","name":"r","value":{"x":1,"y":"a"}}
{"log":"table","name":"t","value":{"a":[1,2],"b":[3,4]}}
{"log":"confusion_matrix","name":"cm","value":{"data":null,"schema_type":"confusion_matrix"}}
{"log":"residuals","name":"res","value":{"schema_type":"residuals"}}
{"log":"image","name":"i","value":"plot.png"}
{"tag":"k","value":"v"}
{"tag":"solo","value":""}
{"tag":"a","value":"b"}
{"property":"p","value":"1"}
{"error":"no data","status":"Failed"}
"#;
        assert_eq!(attempted(output), wanted);
    }
}
