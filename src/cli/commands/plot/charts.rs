//! What of a run can be drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::shapes;
use crate::cli::commands::runs::record::number;
use crate::cli::commands::runs::{Desk, files};
use crate::cli::error::CliError;
use crate::datafile::{self, Format};
use crate::history::{History as _, Run};
use crate::logged::{Logged, Point};

/// Larger files are neither read for charts nor embedded.
const LARGEST: u64 = 8 << 20;

/// A line or a cloud of points.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) x: Vec<f64>,
    /// None where there is no finite number.
    pub(super) y: Vec<Option<f64>>,
}

/// An axis among others.
#[derive(Debug, Serialize)]
pub(super) struct Axis {
    pub(super) name: String,
    /// What is written beside it: where, from 0 to 1, and what.
    pub(super) ticks: Vec<(f64, String)>,
}

/// A line across axes.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    /// Where it crosses each axis, from 0 to 1; none where it has no value there.
    pub(super) at: Vec<Option<f64>>,
    /// How good it is, from 0 to 1.
    pub(super) good: f64,
}

/// One chart of the page.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Chart {
    /// Values by step.
    Curve { title: String, x: String, y: String, traces: Vec<Trace> },
    /// A metric by a parameter, a point a run.
    Scatter { title: String, x: String, y: String, traces: Vec<Trace> },
    /// Counts between edges.
    Bars { title: String, x: String, y: String, traces: Vec<Trace> },
    /// How often a class (row) was taken for one (column).
    Matrix { title: String, labels: Vec<String>, cells: Vec<Vec<f64>> },
    /// How much each of some things has, from 0 to 1, the most first.
    Shares { title: String, labels: Vec<String>, values: Vec<f64> },
    /// Lines across axes that stand beside each other.
    Parallel { title: String, axes: Vec<Axis>, lines: Vec<Line> },
    /// A picture that a run left, as a `data:` address.
    Image { title: String, source: String },
}

/// All charts of these runs.
pub(super) fn charts(desk: &Desk<'_>, runs: &[Run]) -> Result<Vec<Chart>, CliError> {
    let mut curves: BTreeMap<String, Vec<Trace>> = BTreeMap::new();
    let mut others = Vec::new();
    for run in runs {
        for (name, place) in files::files(desk, run)? {
            if place.size() > LARGEST {
                continue;
            }
            let path = Path::new(&name);
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
            let title = format!("{} · {name}", run.begun.job);
            match end.as_str() {
                "csv" | "tsv" => {
                    let Some(bytes) = place.read(desk, run, &name)? else { continue };
                    columns(run, path, &bytes, &mut curves);
                }
                "json" => {
                    let Some(bytes) = place.read(desk, run, &name)? else { continue };
                    others.extend(
                        serde_json::from_slice(&bytes).map(|value| shapes::schema(&title, &value)).unwrap_or_default(),
                    );
                }
                "png" | "jpg" | "jpeg" | "gif" | "webp" => {
                    let Some(bytes) = place.read(desk, run, &name)? else { continue };
                    let kind = if end == "jpg" { "jpeg" } else { end.as_str() };
                    let source = format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes));
                    others.push(Chart::Image { title, source });
                }
                _ => {}
            }
        }
    }
    for run in runs {
        let Some(of_run) = desk.history.logged(&run.begun.run)? else { continue };
        add_logged(run, &of_run, &mut curves, &mut others);
    }
    let curve =
        |(name, traces): (String, Vec<Trace>)| Chart::Curve { title: name.clone(), x: "step".into(), y: name, traces };
    Ok(curves.into_iter().map(curve).chain(scatters(runs)).chain(others).collect())
}

/// The columns of a file that are metrics of the run.
fn columns(run: &Run, path: &Path, bytes: &[u8], curves: &mut BTreeMap<String, Vec<Trace>>) {
    let Some(ended) = &run.ended else { return };
    let Some(Ok(columns)) = Format::of(path).map(|format| datafile::series(bytes, format)) else { return };
    for column in columns.into_iter().filter(|column| ended.metrics.contains_key(&column.name)) {
        #[expect(clippy::cast_precision_loss, reason = "a step on an axis")]
        let (x, y) = column.points.iter().map(|(step, value)| (*step as f64, finite(*value))).unzip();
        curves.entry(column.name).or_default().push(Trace { name: run.begun.job.0.clone(), x, y });
    }
}

/// The series that a run logged, those of the runs within it under their names; matrices and tables.
fn add_logged(run: &Run, of_run: &Logged, curves: &mut BTreeMap<String, Vec<Trace>>, others: &mut Vec<Chart>) {
    let job = &run.begun.job.0;
    for series in of_run.series.iter().filter(|series| series.points.len() > 1) {
        let name = match &series.of {
            None => job.clone(),
            Some(id) => {
                let child = of_run.children.iter().find(|child| child.id == *id).map(|child| child.name.as_str());
                format!("{job}/{}", child.filter(|name| !name.is_empty()).unwrap_or(id))
            }
        };
        let traces = curves.entry(series.name.clone()).or_default();
        if traces.iter().any(|trace| trace.name == name) {
            continue; // the column of a metric file
        }
        #[expect(clippy::cast_precision_loss, reason = "a step on an axis")]
        let by_step = |point: &Point| (point.step as f64, finite(point.value));
        // Without steps the values are drawn in the order in which they came.
        let same = series.points.iter().all(|point| point.step == series.points[0].step);
        let (x, y) = if same {
            (0_u32..).zip(&series.points).map(|(at, point)| (f64::from(at), finite(point.value))).unzip()
        } else {
            let mut points: Vec<&Point> = series.points.iter().collect();
            points.sort_by_key(|point| point.step);
            points.into_iter().map(by_step).unzip()
        };
        traces.push(Trace { name, x, y });
    }
    others.extend(shapes::of_run(job, of_run));
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// Every metric by every parameter that is a number and differs between the runs of an experiment.
fn scatters(runs: &[Run]) -> Vec<Chart> {
    let mut clouds: BTreeMap<(String, String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for run in runs {
        let Some(ended) = &run.ended else { continue };
        for (param, value) in &run.begun.params {
            let Some(x) = value.as_f64() else { continue };
            for (metric, y) in ended.metrics.iter().filter(|(_, y)| y.is_finite()) {
                let key = (run.begun.experiment.clone(), metric.clone(), param.clone());
                clouds.entry(key).or_default().push((x, *y));
            }
        }
    }
    let differ = |points: &[(f64, f64)]| points.iter().map(|(x, _)| x.to_bits()).collect::<BTreeSet<_>>().len() > 1;
    clouds
        .into_iter()
        .filter(|(_, points)| differ(points))
        .map(|((experiment, metric, param), mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (x, y) = points.into_iter().map(|(x, y)| (x, Some(y))).unzip();
            let title = format!("{experiment}: {metric} by {param}");
            Chart::Scatter { title, x: param, y: metric, traces: vec![Trace { name: experiment, x, y }] }
        })
        .collect()
}

/// Eight heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// So many columns for a curve in the terminal.
const COLUMNS: usize = 60;

impl Chart {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Curve { traces, .. } | Self::Scatter { traces, .. } | Self::Bars { traces, .. } => {
                traces.iter().all(|trace| trace.x.is_empty())
            }
            Self::Matrix { cells, .. } => cells.is_empty(),
            Self::Shares { values, .. } => values.is_empty(),
            Self::Parallel { lines, .. } => lines.is_empty(),
            Self::Image { .. } => false,
        }
    }

    /// As it is drawn in the terminal: a line a curve.
    pub(super) fn small(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Curve { title, traces, .. }
            | Self::Scatter { title, traces, .. }
            | Self::Bars { title, traces, .. } => {
                let _ = writeln!(text, "{}", crate::console::clean::clean(title));
                for trace in traces {
                    let values: Vec<f64> = trace.y.iter().flatten().copied().collect();
                    let (Some(first), Some(last)) = (values.first(), values.last()) else { continue };
                    let (name, bars) = (crate::console::clean::clean(&trace.name), spark(&values));
                    let _ = writeln!(text, "  {bars}  {} → {}  {name}", number(*first), number(*last));
                }
            }
            Self::Matrix { title, labels, cells } => {
                let _ = writeln!(text, "{}", crate::console::clean::clean(title));
                for (label, row) in labels.iter().zip(cells) {
                    let row: Vec<String> = row.iter().map(|cell| format!("{:>8}", number(*cell))).collect();
                    let _ = writeln!(text, "  {:>12}{}", crate::console::clean::clean(label), row.concat());
                }
            }
            Self::Shares { title, labels, values } => {
                let _ = writeln!(text, "{}", crate::console::clean::clean(title));
                for (label, value) in labels.iter().zip(values) {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 20")]
                    let bar = "█".repeat((value * 20.0).round() as usize);
                    let _ = writeln!(text, "  {bar:<20}  {value:.2}  {}", crate::console::clean::clean(label));
                }
            }
            Self::Parallel { title, lines, .. } => {
                let (title, count) = (crate::console::clean::clean(title), lines.len());
                let _ = writeln!(text, "{title} ({})", crate::console::words::count(count, "line"));
            }
            Self::Image { title, .. } => {
                let _ = writeln!(text, "{} (an image)", crate::console::clean::clean(title));
            }
        }
        text
    }
}

fn spark(values: &[f64]) -> String {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let step = values.len().div_ceil(COLUMNS).max(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
    let bar = |value: f64| {
        let height = if high > low { (value - low) / (high - low) * 7.0 } else { 3.0 };
        BARS.get(height.round() as usize).copied().unwrap_or(' ')
    };
    values.iter().step_by(step).map(|value| bar(*value)).collect()
}
