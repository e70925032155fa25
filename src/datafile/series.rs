//! CSV and TSV as series: a column a metric, a row a step.

use super::Format;

/// Columns of these names count the steps of the others.
const STEPS: [&str; 5] = ["step", "epoch", "iteration", "iter", "global_step"];

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The column's name.
    pub name: String,
    /// Step and value; rows in which the cell is empty or no number are left out.
    pub points: Vec<(i64, f64)>,
}

/// The columns of numbers of a text whose first row names them. The steps are the rows, from 0, unless a column is
/// called `step`, `epoch`, `iteration`, `iter` or `global_step`.
///
/// # Errors
/// Why it is not of that format, in a sentence.
pub fn series(bytes: &[u8], format: Format) -> Result<Vec<Series>, String> {
    if format == Format::JsonLines {
        return lines(bytes);
    }
    let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).flexible(true).from_reader(bytes);
    let heads = reader.headers().map_err(|error| error.to_string())?.clone();
    let heads: Vec<&str> = heads.iter().map(|head| head.trim_start_matches('\u{feff}')).collect();
    let counts = STEPS.iter().find_map(|name| heads.iter().position(|head| head.eq_ignore_ascii_case(name)));
    let mut columns: Vec<Series> =
        heads.iter().map(|head| Series { name: (*head).to_owned(), points: Vec::new() }).collect();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let number = |at: usize| record.get(at).and_then(|cell| cell.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, reason = "a step is a whole number; an absurd one is clamped")]
        let step = counts.and_then(number).map_or_else(|| i64::try_from(row).unwrap_or(i64::MAX), |n| n as i64);
        for (at, column) in columns.iter_mut().enumerate().filter(|(at, _)| Some(*at) != counts) {
            column.points.extend(number(at).map(|value| (step, value)));
        }
    }
    columns.retain(|column| !column.points.is_empty() && !column.name.is_empty());
    Ok(columns)
}

/// The same of JSON objects, one a line: the names are dotted, and those that a line lacks are left out of its step.
fn lines(bytes: &[u8]) -> Result<Vec<Series>, String> {
    let mut columns: Vec<Series> = Vec::new();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for (row, line) in lines.enumerate() {
        let tree = super::tree(line, Format::Json).map_err(|error| format!("{error}, in line {}", row + 1))?;
        let numbers = super::numbers(&tree);
        let counts = STEPS.iter().find_map(|name| Some((*name, *numbers.get(*name)?)));
        #[expect(clippy::cast_possible_truncation, reason = "a step is a whole number; an absurd one is clamped")]
        let step = counts.map_or_else(|| i64::try_from(row).unwrap_or(i64::MAX), |(_, n)| n as i64);
        for (name, value) in numbers.into_iter().filter(|(name, _)| counts.is_none_or(|(steps, _)| steps != name)) {
            match columns.iter_mut().find(|column| column.name == name) {
                Some(column) => column.points.push((step, value)),
                None => columns.push(Series { name, points: vec![(step, value)] }),
            }
        }
    }
    Ok(columns)
}
