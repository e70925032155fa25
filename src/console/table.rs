//! Tables with aligned columns, for people; programs read `--json`.

use super::clean::{clean, fit, width};
use super::style::{Paint, Style};

/// The narrowest that a column is cut to.
const NARROWEST: usize = 8;

/// A cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A painted cell.
    #[must_use]
    pub fn painted(text: impl AsRef<str>, paint: Paint) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), paint }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, Paint::Plain)
    }
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    heads: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these heads; a head that begins with `>` has its column aligned to the right.
    #[must_use]
    pub fn new(heads: &[impl AsRef<str>]) -> Self {
        let heads = || heads.iter().map(AsRef::as_ref);
        Self {
            right: heads().map(|head: &str| head.starts_with('>')).collect(),
            heads: heads().map(|head: &str| clean(head.trim_start_matches('>')).into_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are left out are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        row.resize_with(self.heads.len(), Cell::default);
        self.rows.push(row);
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, a line a row. `columns` is the width of the terminal, if it goes to one: the widest columns are cut then
    /// until the lines fit; elsewhere nothing is ever cut.
    #[must_use]
    pub fn render(&self, style: Style, columns: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| width(head)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        if let Some(columns) = columns {
            shrink(&mut widths, columns);
        }
        let mut text = String::new();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::painted(head, Paint::Bold)).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            self.line(&mut text, row, &widths, style);
        }
        text
    }

    fn line(&self, to: &mut String, row: &[Cell], widths: &[usize], style: Style) {
        let start = to.len();
        for (column, (cell, &wide)) in row.iter().zip(widths).enumerate() {
            let shown = fit(&cell.text, wide);
            let padding = wide.saturating_sub(width(&shown));
            let right = self.right.get(column) == Some(&true);
            if column > 0 {
                to.push_str("  ");
            }
            if right {
                to.extend(std::iter::repeat_n(' ', padding));
            }
            style.push(to, cell.paint, &shown);
            if !right {
                to.extend(std::iter::repeat_n(' ', padding));
            }
        }
        to.truncate(start + to.get(start..).map_or(0, |line| line.trim_end_matches(' ').len()));
        to.push('\n');
    }
}

/// Takes from the widest column, again and again, until all fit.
fn shrink(widths: &mut [usize], columns: usize) {
    let room = columns.saturating_sub(2 * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max_by_key(|w| **w) else { return };
        if *widest <= NARROWEST {
            return;
        }
        *widest -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["JOB", ">TIME", "WHY"]);
        table.row(["train[alpha=0.1]".into(), "1.2 s".into(), "alpha 0.03 -> 0.1".into()]);
        table.row(["数据".into(), "12.0 s".into(), Cell::from("a\nb")]);
        table.row([Cell::from("short")]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "\
JOB                 TIME  WHY
train[alpha=0.1]   1.2 s  alpha 0.03 -> 0.1
数据              12.0 s  a\\nb
short
";
        assert_eq!(table().render(Style::default(), None), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_columns() {
        let text = table().render(Style::default(), Some(34));
        assert!(text.lines().all(|line| width(line) <= 34), "{text}");
        assert!(text.contains("alpha 0.0"), "{text}");
        let narrow = table().render(Style::default(), Some(3));
        assert!(narrow.contains("train[a…"), "{narrow}");
    }

    #[test]
    fn paint_takes_no_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::painted("ab", Paint::Good), "c".into()]);
        assert_eq!(table.render(Style::new(true), None), "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[32mab\x1b[0m  c\n");
    }
}
