//! Tables without lines: aligned columns, numbers to the right, as wide as their content.
//!
//! In: cells. Out: text.
//! Tests: below.

use crate::screen::Paint;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// Good.
    Good,
    /// Worth a look.
    Warn,
    /// Bad.
    Bad,
    /// Beside the main thing.
    Dim,
}

/// A table that is being filled.
pub(crate) struct Grid {
    table: Table,
    right: Vec<usize>,
}

impl Grid {
    /// A table with these headings; a heading that begins with `>` has its column to the right.
    pub(crate) fn new(headings: &[&str], paint: Paint) -> Grid {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if paint.0 {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let right: Vec<usize> =
            headings.iter().enumerate().filter(|(_, h)| h.starts_with('>')).map(|(i, _)| i).collect();
        let cells = headings.iter().enumerate().map(|(i, heading)| {
            let cell = Cell::new(heading.trim_start_matches('>')).add_attribute(Attribute::Dim);
            if right.contains(&i) { cell.set_alignment(CellAlignment::Right) } else { cell }
        });
        table.set_header(cells.collect::<Vec<_>>());
        Grid { table, right }
    }

    /// Adds a row of plain cells.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.toned(cells.into_iter().map(|text| (text, Tone::Plain)));
    }

    /// Adds a row.
    pub(crate) fn toned<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (S, Tone)>) {
        let cells = cells.into_iter().enumerate().map(|(i, (text, tone))| {
            let cell = Cell::new(text.as_ref());
            let cell = match tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::DarkGreen),
                Tone::Warn => cell.fg(Color::DarkYellow),
                Tone::Bad => cell.fg(Color::DarkRed),
                Tone::Dim => cell.add_attribute(Attribute::Dim),
            };
            if self.right.contains(&i) { cell.set_alignment(CellAlignment::Right) } else { cell }
        });
        let cells: Vec<Cell> = cells.collect();
        self.table.add_row(cells);
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The table with `indent` spaces before every line.
    pub(crate) fn render(mut self, indent: usize) -> String {
        for column in self.table.column_iter_mut() {
            let left = if column.index == 0 { 0 } else { 2 };
            column.set_padding((left, 0));
        }
        let margin = " ".repeat(indent);
        let lines: Vec<String> = self.table.lines().map(|l| format!("{margin}{}", l.trim_end())).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_go_right() {
        let mut grid = Grid::new(&["NAME", ">SENT"], Paint(false));
        grid.row(["w1", "5"]);
        grid.row(["worker-2", "12,000"]);
        assert_eq!(grid.render(2), "  NAME        SENT\n  w1             5\n  worker-2  12,000");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        let mut grid = Grid::new(&["NAME", "X"], Paint(false));
        grid.row(["夜間", "1"]);
        grid.row(["abcd", "2"]);
        assert_eq!(grid.render(0), "NAME  X\n夜間  1\nabcd  2");
    }
}
