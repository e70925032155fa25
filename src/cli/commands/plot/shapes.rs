//! The shapes that the `log_*` calls of Azure ML's SDK leave (azure-ml.md §4.3), as charts: lists, rows, tables, confusion
//! matrices, accuracy tables, residuals, predictions. What is not of its shape is not drawn.

use serde_json::{Map, Value};

use super::charts::{Chart, Trace};
use crate::logged::{Logged, Table};

/// The charts of all that a run, and the runs within it, logged besides numbers.
pub(super) fn of_run(job: &str, run: &Logged) -> Vec<Chart> {
    let mut charts = of_tables(job, &run.own.tables);
    for child in &run.children {
        let name = if child.name.is_empty() { &child.id } else { &child.name };
        charts.extend(of_tables(&format!("{job}/{name}"), &child.facts.tables));
    }
    charts
}

/// Rows of one name are one table, lists of one name are one list; of other shapes each is a chart.
fn of_tables(whose: &str, tables: &[Table]) -> Vec<Chart> {
    let mut joined: Vec<(&str, &str, Value)> = Vec::new();
    for table in tables {
        let kind = if table.kind == "row" { "table" } else { table.kind.as_str() };
        let goes_on = matches!(kind, "table" | "list");
        let same = joined.iter_mut().find(|(of, name, _)| goes_on && *of == kind && *name == table.name);
        if let Some((_, _, before)) = same {
            append(before, &table.value);
            continue;
        }
        let mut value = table.value.clone();
        if let Value::Object(columns) = &mut value
            && kind == "table"
        {
            columns.values_mut().for_each(|column| *column = all_of(column).into());
        }
        joined.push((kind, &table.name, value));
    }
    joined.iter().flat_map(|(kind, name, value)| logged(kind, &format!("{whose} · {name}"), value)).collect()
}

/// Puts a list behind a list, and columns behind those of their names.
fn append(before: &mut Value, more: &Value) {
    match (before, more) {
        (Value::Array(items), Value::Array(more)) => items.extend(more.iter().cloned()),
        (Value::Object(columns), Value::Object(more)) => {
            for (name, value) in more {
                let column = columns.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = column {
                    items.extend(all_of(value));
                }
            }
        }
        _ => {}
    }
}

/// A column: one value is one of a single row.
fn all_of(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// The charts of one logged value; `kind` is that of the call.
fn logged(kind: &str, title: &str, value: &Value) -> Vec<Chart> {
    match kind {
        "list" => list(title, value),
        "row" | "table" => value.as_object().map(|columns| table(title, columns)).unwrap_or_default(),
        _ => schema(title, value),
    }
}

/// The charts of a JSON value that says itself what it is.
pub(super) fn schema(title: &str, value: &Value) -> Vec<Chart> {
    let charts = || {
        let data = value.get("data")?;
        match value.get("schema_type")?.as_str()? {
            "confusion_matrix" => matrix(title, data).map(|chart| vec![chart]),
            "accuracy_table" => accuracy(title, data),
            "residuals" => bars(title, "residual", data, "bin_edges", "bin_counts").map(|chart| vec![chart]),
            "predictions" => predictions(title, data),
            _ => None,
        }
    };
    charts().unwrap_or_default()
}

/// A number of the log: what JSON has none for is a gap.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(f64::from)).filter(|number| number.is_finite())
}

/// Whether it stands for a number at all.
fn is_number(value: &Value) -> bool {
    number(value).is_some() || value.as_str().is_some_and(|text| matches!(text, "NaN" | "Infinity" | "-Infinity"))
}

fn numbers(value: Option<&Value>) -> Option<Vec<f64>> {
    value?.as_array()?.iter().map(number).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
fn places(count: usize) -> Vec<f64> {
    (0..count).map(|at| at as f64).collect()
}

fn curve(title: String, x: &str, y: &str, traces: Vec<Trace>) -> Chart {
    Chart::Curve { title, x: x.to_owned(), y: y.to_owned(), traces }
}

fn list(title: &str, value: &Value) -> Vec<Chart> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() || !items.iter().all(is_number) {
        return Vec::new();
    }
    let trace = Trace { name: "value".to_owned(), x: places(items.len()), y: items.iter().map(number).collect() };
    vec![curve(title.to_owned(), "index", "value", vec![trace])]
}

/// Columns that others are drawn over, where they are there.
const OVER: &[&str] = &["step", "epoch", "iteration", "x", "index", "time"];

/// A table over one of its columns of numbers: one that is named so, else one that rises, else the first. A curve where
/// that rises, points where it goes back and forth; a table of one column of numbers by the rows' places.
fn table(title: &str, columns: &Map<String, Value>) -> Vec<Chart> {
    let mut of_numbers: Vec<(&String, Vec<Value>)> = columns
        .iter()
        .map(|(name, value)| (name, all_of(value)))
        .filter(|(_, items)| !items.is_empty() && items.iter().all(is_number))
        .collect();
    let rises = |x: &[f64]| x.len() > 1 && x.windows(2).all(|pair| pair[0] < pair[1]);
    let whole = |items: &[Value]| items.iter().map(number).collect::<Option<Vec<f64>>>();
    let named = |name: &str| OVER.iter().any(|over| over.eq_ignore_ascii_case(name));
    let rank = |(name, items): &(&String, Vec<Value>)| {
        let x = whole(items)?;
        Some(if named(name) {
            0
        } else if rises(&x) {
            1
        } else {
            2
        })
    };
    let best = (0..of_numbers.len()).filter_map(|at| Some((rank(&of_numbers[at])?, at))).min();
    let (label, x) = match best {
        Some((_, at)) if of_numbers.len() > 1 => {
            let (name, items) = of_numbers.remove(at);
            (name.as_str(), whole(&items).unwrap_or_default())
        }
        _ => ("row", places(of_numbers.first().map_or(0, |(_, items)| items.len()))),
    };
    if of_numbers.is_empty() {
        return Vec::new();
    }
    let mut traces: Vec<Trace> = of_numbers
        .iter()
        .map(|(name, items)| Trace {
            name: (*name).clone(),
            // Columns that begin later, or stop early, go as far as both go.
            x: x.iter().copied().take(items.len()).collect(),
            y: items.iter().map(number).take(x.len()).collect(),
        })
        .collect();
    let y = if let [one] = traces.as_slice() { one.name.clone() } else { "value".to_owned() };
    if rises(&x) {
        return vec![curve(title.to_owned(), label, &y, traces)];
    }
    traces.iter_mut().for_each(sort);
    vec![Chart::Scatter { title: title.to_owned(), x: label.to_owned(), y, traces }]
}

/// By x, as the page wants it.
pub(super) fn sort(trace: &mut Trace) {
    let mut points: Vec<(f64, Option<f64>)> = trace.x.iter().copied().zip(trace.y.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.unwrap_or(f64::NAN).total_cmp(&b.1.unwrap_or(f64::NAN))));
    (trace.x, trace.y) = points.into_iter().unzip();
}

fn labels(data: &Value) -> Vec<String> {
    let labels = data.get("class_labels").and_then(Value::as_array).cloned().unwrap_or_default();
    labels.iter().map(|label| label.as_str().map_or_else(|| label.to_string(), str::to_owned)).collect()
}

fn matrix(title: &str, data: &Value) -> Option<Chart> {
    let cells: Vec<Vec<f64>> = serde_json::from_value(data.get("matrix")?.clone()).ok()?;
    Some(Chart::Matrix { title: title.to_owned(), labels: labels(data), cells })
}

/// The points of a curve, from the counts of a class at every threshold.
type Points<'p> = dyn Fn(&[[f64; 4]]) -> Vec<(f64, f64)> + 'p;

/// ROC, precision by recall, and, where the thresholds are there, calibration: a curve a class each.
fn accuracy(title: &str, data: &Value) -> Option<Vec<Chart>> {
    let tables: Vec<Vec<[f64; 4]>> = serde_json::from_value(data.get("probability_tables")?.clone()).ok()?;
    let labels = labels(data);
    let name = |at: usize| labels.get(at).cloned().unwrap_or_else(|| at.to_string());
    let traces = |of: &Points<'_>| -> Vec<Trace> {
        let trace = |(at, table): (usize, &Vec<[f64; 4]>)| {
            let (x, y) = of(table).into_iter().map(|(x, y)| (x, Some(y))).unzip();
            let mut trace = Trace { name: name(at), x, y };
            sort(&mut trace);
            trace
        };
        tables.iter().enumerate().map(trace).filter(|trace| !trace.x.is_empty()).collect()
    };
    let share = |part: f64, rest: f64| if part + rest > 0.0 { part / (part + rest) } else { 0.0 };
    let roc = |table: &[[f64; 4]]| {
        table.iter().map(|[tp, fp, tn, false_negative]| (share(*fp, *tn), share(*tp, *false_negative))).collect()
    };
    let precision = |table: &[[f64; 4]]| {
        let predicted = |[tp, fp, ..]: &&[f64; 4]| tp + fp > 0.0;
        let point = |[tp, fp, _, false_negative]: &[f64; 4]| (share(*tp, *false_negative), share(*tp, *fp));
        table.iter().filter(predicted).map(point).collect()
    };
    let mut charts = vec![
        curve(format!("{title}: ROC"), "false positive rate", "true positive rate", traces(&roc)),
        curve(format!("{title}: precision by recall"), "recall", "precision", traces(&precision)),
    ];
    if let Some(thresholds) = numbers(data.get("probability_thresholds")) {
        // Between two thresholds lie those that the lower one lets through and the upper one does not.
        let calibration = |table: &[[f64; 4]]| {
            let steps = thresholds.windows(2).zip(table.windows(2));
            let point = |(thresholds, rows): (&[f64], &[[f64; 4]])| {
                let positive = rows[0][0] - rows[1][0];
                let all = positive + rows[0][1] - rows[1][1];
                (all > 0.0).then(|| (f64::midpoint(thresholds[0], thresholds[1]), positive / all))
            };
            steps.filter_map(point).collect()
        };
        let mut traces = traces(&calibration);
        if !traces.is_empty() {
            traces.push(Trace { name: "ideal".to_owned(), x: vec![0.0, 1.0], y: vec![Some(0.0), Some(1.0)] });
            charts.push(curve(format!("{title}: calibration"), "predicted probability", "share of positives", traces));
        }
    }
    charts.retain(|chart| !chart.is_empty());
    Some(charts)
}

/// Counts between edges.
fn bars(title: &str, x: &str, data: &Value, edges: &str, counts: &str) -> Option<Chart> {
    let (edges, counts) = (numbers(data.get(edges))?, numbers(data.get(counts))?);
    if edges.len() != counts.len() + 1 || counts.is_empty() {
        return None;
    }
    let trace = Trace {
        name: "count".to_owned(),
        x: edges.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect(),
        y: counts.into_iter().map(Some).collect(),
    };
    Some(Chart::Bars { title: title.to_owned(), x: x.to_owned(), y: "count".to_owned(), traces: vec![trace] })
}

/// The average prediction for every bin of true values, with its error, beside the line where all would be right.
fn predictions(title: &str, data: &Value) -> Option<Vec<Chart>> {
    let (edges, averages) = (numbers(data.get("bin_edges"))?, numbers(data.get("bin_averages"))?);
    if edges.len() != averages.len() + 1 || averages.is_empty() {
        return None;
    }
    let middles: Vec<f64> = edges.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
    let trace = |name: &str, y: Vec<f64>| Trace {
        name: name.to_owned(),
        x: middles.clone(),
        y: y.into_iter().map(Some).collect(),
    };
    let mut traces = vec![trace("average prediction", averages.clone()), trace("ideal", middles.clone())];
    if let Some(errors) = numbers(data.get("bin_errors")).filter(|errors| errors.len() == averages.len()) {
        let with = |sign: f64| averages.iter().zip(&errors).map(|(y, error)| y + sign * error).collect();
        traces.extend([trace("plus its error", with(1.0)), trace("minus its error", with(-1.0))]);
    }
    let mut charts = vec![curve(title.to_owned(), "true value", "prediction", traces)];
    charts.extend(bars(&format!("{title}: values"), "true value", data, "bin_edges", "bin_counts"));
    Some(charts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `kind title x/y: name (x, y) …; …`, as short as it can be read.
    fn shown(kind: &str, value: &Value) -> Vec<String> {
        logged(kind, "t", value)
            .iter()
            .map(|chart| {
                let json = serde_json::to_value(chart).unwrap_or_default();
                let traces = json["traces"].as_array().cloned().unwrap_or_default();
                let traces: Vec<String> = traces
                    .iter()
                    .map(|t| format!("{} {} {}", t["name"].as_str().unwrap_or(""), t["x"], t["y"]))
                    .collect();
                let axes = format!("{}/{}", json["x"].as_str().unwrap_or(""), json["y"].as_str().unwrap_or(""));
                format!("{} {} {axes}: {}", json["kind"], json["title"], traces.join("; "))
            })
            .collect()
    }

    #[test]
    fn lists_and_tables() {
        let rows = [
            ("list", json!([1, "NaN", 3]), vec![r#""curve" "t" index/value: value [0.0,1.0,2.0] [1.0,null,3.0]"#]),
            ("list", json!(["a", "b"]), vec![]),
            ("list", json!([]), vec![]),
            (
                "row",
                json!({"x": [1, 2], "y": [3, 4], "name": ["a", "b"]}),
                vec![r#""curve" "t" x/y: y [1.0,2.0] [3.0,4.0]"#],
            ),
            ("table", json!({"x": [2, 1], "y": [3, 4]}), vec![r#""scatter" "t" x/y: y [1.0,2.0] [4.0,3.0]"#]),
            ("table", json!({"y": [3, 4]}), vec![r#""curve" "t" row/y: y [0.0,1.0] [3.0,4.0]"#]),
            ("table", json!({"x": 1, "y": 2}), vec![r#""scatter" "t" x/y: y [1.0] [2.0]"#]),
            (
                "table",
                json!({"acc": [9, 8], "epoch": [1, 2]}),
                vec![r#""curve" "t" epoch/acc: acc [1.0,2.0] [9.0,8.0]"#],
            ),
            ("table", json!({"x": ["a"]}), vec![]),
            ("table", json!({"x": [1, "NaN"], "y": [1, 2]}), vec![r#""curve" "t" y/x: x [1.0,2.0] [1.0,null]"#]),
            ("table", json!({"a": [1, 2, 3], "b": [4]}), vec![r#""curve" "t" a/b: b [1.0] [4.0]"#]),
            ("table", json!(7), vec![]),
        ];
        for (kind, value, wanted) in rows {
            assert_eq!(shown(kind, &value), wanted, "{value}");
        }
    }

    #[test]
    fn shapes_of_classifiers_and_regressions() {
        let value = json!({"schema_type": "accuracy_table", "data": {"class_labels": ["yes"], "probability_thresholds": [0.0, 0.5, 1.0],
            "probability_tables": [[[4, 4, 0, 0], [3, 1, 3, 1], [0, 0, 4, 4]]]}});
        let wanted = [
            r#""curve" "t: ROC" false positive rate/true positive rate: yes [0.0,0.25,1.0] [0.0,0.75,1.0]"#,
            r#""curve" "t: precision by recall" recall/precision: yes [0.75,1.0] [0.75,0.5]"#,
            r#""curve" "t: calibration" predicted probability/share of positives: yes [0.25,0.75] [0.25,0.75]; ideal [0.0,1.0] [0.0,1.0]"#,
        ];
        assert_eq!(shown("accuracy_table", &value), wanted);

        let value = json!({"schema_type": "residuals", "data": {"bin_edges": [-1, 0, 1], "bin_counts": [3, 4]}});
        assert_eq!(shown("residuals", &value), [r#""bars" "t" residual/count: count [-0.5,0.5] [3.0,4.0]"#]);

        let value = json!({"schema_type": "predictions", "data":
            {"bin_averages": [0.25, 1.5], "bin_errors": [0.25, 0.5], "bin_counts": [2, 1], "bin_edges": [0, 1, 2]}});
        let wanted = [
            r#""curve" "t" true value/prediction: average prediction [0.5,1.5] [0.25,1.5]; ideal [0.5,1.5] [0.5,1.5]; plus its error [0.5,1.5] [0.5,2.0]; minus its error [0.5,1.5] [0.0,1.0]"#,
            r#""bars" "t: values" true value/count: count [0.5,1.5] [2.0,1.0]"#,
        ];
        assert_eq!(shown("predictions", &value), wanted);

        let broken = [
            json!({"schema_type": "residuals", "data": {"bin_edges": [1], "bin_counts": [3, 4]}}),
            json!({"schema_type": "accuracy_table", "data": {"probability_tables": [[[1, 2, 3]]]}}),
            json!({"schema_type": "confusion_matrix", "data": {"matrix": "x"}}),
            json!({"schema_type": "other", "data": {}}),
            json!("text"),
        ];
        for value in broken {
            assert_eq!(shown("residuals", &value), Vec::<String>::new(), "{value}");
        }
    }
}
