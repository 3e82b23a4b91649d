//! Columns that line up.

use std::io::{self, Write};

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table with a heading. Writes nothing if it has no rows.
pub(super) struct Table<const COLUMNS: usize> {
    columns: [(&'static str, Align); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) const fn new(columns: [(&'static str, Align); COLUMNS]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    /// Writes heading and rows, and after each row the lines that `below` makes of its number.
    pub(super) fn write(&self, out: &mut impl Write, below: impl Fn(usize) -> Vec<String>) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let heading = self.columns.map(|(name, _)| name.to_owned());
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&heading]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let line = |row: &[String; COLUMNS]| {
            let mut line = String::new();
            for ((cell, (_, align)), width) in row.iter().zip(self.columns).zip(widths) {
                line += &match align {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
            }
            line.trim_end().to_owned()
        };
        writeln!(out, "{}", line(&heading))?;
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(out, "{}", line(row))?;
            for text in below(number) {
                writeln!(out, "    {text}")?;
            }
        }
        Ok(())
    }
}
