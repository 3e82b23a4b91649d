//! The table: cells, their ratios, and the targets; as text, CSV and JSON.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::world::Remembered;

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Prefixes of the table.
    pub prefixes: u32,
    /// Rules that do not match, in front of the one that does; 0: no chain at all.
    pub rules: u32,
    /// Flows whose packets come in an order that is none.
    pub flows: u32,
    /// What is remembered.
    pub what: Remembered,
    /// Nanoseconds of a packet, without what its frame costs anyhow.
    pub ns: f64,
}

/// Everything that was measured. Displayed, it tells tables, ratios and which targets are met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All figures, in no order until they are sorted.
    pub cells: Vec<Cell>,
    /// What frames cost by themselves, in nanoseconds, by number of flows.
    pub nothing: Vec<(u32, f64)>,
    /// Memory that a flow takes, everything counted, by number of flows.
    pub flow_bytes: Vec<(u32, f64)>,
    /// New flows for each second of one processor.
    pub new_flows_per_s: f64,
}

/// What is to be reached, and whether it is.
struct Target {
    name: String,
    measured: f64,
    /// The bound, and whether it is the least rather than the most.
    bound: f64,
    at_least: bool,
}

impl Target {
    fn met(&self) -> bool {
        if self.at_least { self.measured >= self.bound } else { self.measured <= self.bound }
    }
}

/// The largest number of flows, as targets speak of it, and the one it is compared with.
const MANY_FLOWS: u32 = 1_000_000;
const FEW_FLOWS: u32 = 1_000;
/// Growth that is allowed from the smallest router to the largest.
const GROWTH_MAX: f64 = 1.10;
/// Growth that is allowed from [`FEW_FLOWS`] to [`MANY_FLOWS`].
const FLOWS_GROWTH_MAX: f64 = 2.5;
const FLOW_BYTES_MAX: f64 = 256.0;
const NEW_FLOWS_MIN: f64 = 500_000.0;

impl Report {
    /// Brings cells into the order in which they are told.
    pub fn sort(&mut self) {
        self.cells.sort_by_key(|cell| {
            let what = Remembered::ALL.iter().position(|what| *what == cell.what);
            (cell.flows, cell.prefixes, cell.rules, what)
        });
        self.nothing.sort_by_key(|(flows, _)| *flows);
        self.flow_bytes.sort_by_key(|(flows, _)| *flows);
    }

    /// The cells, one a line, under a line of names.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = format!("{CSV_HEAD}\n");
        for Cell { prefixes, rules, flows, what, ns } in &self.cells {
            writeln!(text, "{prefixes},{rules},{flows},{},{ns}", what.name()).expect("a string takes all");
        }
        text
    }

    /// Everything, as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let cells: Vec<_> = self.cells.iter().map(|Cell { prefixes, rules, flows, what, ns }| {
            json!({
                "prefixes": prefixes, "rules": rules, "flows": flows, "remembered": what.name(),
                "packet_ns": ns, "packets_per_s": 1e9 / ns,
                "ratio": self.ns(*prefixes, *rules, *flows, Remembered::Nothing).map(|nothing| nothing / ns),
            })
        }).collect();
        let targets: Vec<_> = self
            .targets()
            .into_iter()
            .map(|target| {
                json!({
                    "name": target.name, "measured": target.measured, "met": target.met(),
                    (if target.at_least { "at_least" } else { "at_most" }): target.bound,
                })
            })
            .collect();
        let by_flows = |figures: &[(u32, f64)], name: &str| -> Vec<_> {
            figures.iter().map(|(flows, figure)| json!({ "flows": flows, name: figure })).collect()
        };
        json!({
            "cells": cells,
            "frame": by_flows(&self.nothing, "packet_ns"),
            "memory": by_flows(&self.flow_bytes, "flow_bytes"),
            "new_flows_per_s": self.new_flows_per_s,
            "targets": targets,
        })
    }

    fn ns(&self, prefixes: u32, rules: u32, flows: u32, what: Remembered) -> Option<f64> {
        let cell = |cell: &&Cell| {
            (cell.prefixes, cell.rules, cell.flows, cell.what) == (prefixes, rules, flows, what)
        };
        self.cells.iter().find(cell).map(|cell| cell.ns)
    }

    /// All values of one size, rising.
    fn values(&self, size: impl Fn(&Cell) -> u32) -> Vec<u32> {
        let mut values: Vec<u32> = self.cells.iter().map(size).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The targets about which something was measured.
    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut at_most = |name: String, measured: f64, bound: f64| {
            targets.push(Target { name, measured, bound, at_least: false });
        };
        let ends = |values: &[u32]| Some((*values.first()?, *values.last()?));
        let prefixes = ends(&self.values(|cell| cell.prefixes));
        let rules = ends(&self.values(|cell| cell.rules));
        let all_flows = self.values(|cell| cell.flows);
        let (Some(prefixes), Some(rules)) = (prefixes, rules) else { return targets };
        for flows in &all_flows {
            let small = self.ns(prefixes.0, rules.0, *flows, Remembered::Verdict);
            let large = self.ns(prefixes.1, rules.1, *flows, Remembered::Verdict);
            if let (Some(small), Some(large)) = (small, large) {
                let name = format!(
                    "{flows} flows, route and verdict remembered: cost with {} prefixes and {} rules, to {} and {}",
                    prefixes.1, rules.1, prefixes.0, rules.0
                );
                at_most(name, large / small, GROWTH_MAX);
            }
        }
        for (prefixes, rules) in [(prefixes.0, rules.0), (prefixes.1, rules.1)] {
            let cost = |flows| self.ns(prefixes, rules, flows, Remembered::Verdict);
            if let (Some(few), Some(many)) = (cost(FEW_FLOWS), cost(MANY_FLOWS)) {
                let name = format!(
                    "{prefixes} prefixes, {rules} rules: cost of a packet of {MANY_FLOWS} flows, to one of {FEW_FLOWS}"
                );
                at_most(name, many / few, FLOWS_GROWTH_MAX);
            }
        }
        if let Some((_, bytes)) = self.flow_bytes.iter().find(|(flows, _)| *flows == MANY_FLOWS) {
            at_most(format!("memory of a flow, of {MANY_FLOWS}, in bytes"), *bytes, FLOW_BYTES_MAX);
        }
        targets.push(Target {
            name: "new flows a second and processor".to_owned(),
            measured: self.new_flows_per_s,
            bound: NEW_FLOWS_MIN,
            at_least: true,
        });
        targets
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "nanoseconds of a packet, millions of packets a second, and how many times as many as with nothing"
        )?;
        writeln!(out, "remembered; what frames cost by themselves is left out")?;
        for flows in self.values(|cell| cell.flows) {
            self.block(flows, out)?;
        }
        writeln!(out)?;
        for target in self.targets() {
            let Target { name, measured, bound, at_least } = &target;
            let digits = if *bound < 100.0 { 2 } else { 0 };
            let bound = format!("at {} {bound}", if *at_least { "least" } else { "most" });
            let met = if target.met() { "met" } else { "missed" };
            writeln!(out, "{name}\n    {measured:.digits$}, {bound}: {met}")?;
        }
        Ok(())
    }
}

impl Report {
    /// The lines of one number of flows.
    fn block(&self, flows: u32, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |figures: &[(u32, f64)]| {
            figures.iter().find(|(of, _)| *of == flows).map_or(0.0, |(_, figure)| *figure)
        };
        writeln!(out, "\n{flows} flows (a frame: {:.0} ns)", figure(&self.nothing))?;
        write!(out, "{:>8} {:>6}", "prefixes", "rules")?;
        for what in Remembered::ALL {
            write!(out, "  {:>22}", what.name())?;
        }
        writeln!(out)?;
        for prefixes in self.values(|cell| cell.prefixes) {
            for rules in self.values(|cell| cell.rules) {
                write!(out, "{prefixes:>8} {rules:>6}")?;
                let nothing = self.ns(prefixes, rules, flows, Remembered::Nothing);
                for what in Remembered::ALL {
                    match (self.ns(prefixes, rules, flows, what), nothing) {
                        (Some(ns), Some(nothing)) => {
                            write!(out, "  {ns:>7.0} {:>6.2} {:>7.2}", 1_000.0 / ns, nothing / ns)?;
                        }
                        _ => write!(out, "  {:>22}", "-")?,
                    }
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

const CSV_HEAD: &str = "prefixes,rules,flows,remembered,packet_ns";

/// The cells of a file that [`Report::csv`] has written.
///
/// # Errors
/// A line is none of such a file; the error names it.
pub fn read_csv(text: &str) -> Result<Vec<Cell>> {
    let mut lines = text.lines();
    if lines.next() != Some(CSV_HEAD) {
        bail!("the first line is not `{CSV_HEAD}`");
    }
    lines
        .zip(2..)
        .map(|(line, number)| read_cell(line).with_context(|| format!("line {number} is `{line}`")))
        .collect()
}

fn read_cell(line: &str) -> Result<Cell> {
    let fields: Vec<&str> = line.split(',').collect();
    let [prefixes, rules, flows, what, ns] = fields[..] else { bail!("it has not five fields") };
    let what = Remembered::ALL.into_iter().find(|known| known.name() == what);
    Ok(Cell {
        prefixes: prefixes.parse()?,
        rules: rules.parse()?,
        flows: flows.parse()?,
        what: what.context("the fourth field says nothing that is remembered")?,
        ns: ns.parse()?,
    })
}

/// The middle one, or the mean of the two in the middle.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        (figures[middle - 1] + figures[middle]) / 2.0
    } else {
        figures[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(large_ns: f64) -> Report {
        let cell = |prefixes, rules, flows, what, ns| Cell { prefixes, rules, flows, what, ns };
        Report {
            cells: vec![
                cell(10, 0, 1_000, Remembered::Nothing, 300.0),
                cell(10, 0, 1_000, Remembered::Verdict, 200.0),
                cell(1_000_000, 10_000, 1_000, Remembered::Verdict, large_ns),
                cell(10, 0, 1_000_000, Remembered::Verdict, 400.0),
            ],
            nothing: vec![(1_000, 20.0)],
            flow_bytes: vec![(1_000_000, 250.0)],
            new_flows_per_s: 400_000.0,
        }
    }

    #[test]
    fn targets_are_judged_by_what_was_measured() {
        let judged = |large_ns| -> Vec<bool> { report(large_ns).targets().iter().map(Target::met).collect() };
        // Growth, many flows to few, memory, new flows; there was no large router with many flows.
        assert_eq!(judged(219.0), [true, true, true, false]);
        assert_eq!(judged(221.0), [false, true, true, false]);
        let text = report(221.0).to_string();
        assert!(
            text.contains("1.10, at most 1.1: missed") && text.contains("400000, at least 500000: missed"),
            "{text}"
        );
        assert_eq!(report(221.0).json()["targets"][0]["met"], false);
    }

    #[test]
    fn a_file_of_cells_is_read_as_it_was_written_and_nothing_else() {
        let report = report(221.5);
        assert_eq!(read_csv(&report.csv()).unwrap(), report.cells);
        for spoiled in ["", "prefixes\n", "1,2,3,route,x\n", "1,2,3,everything,4\n", "1,2,3,route\n"] {
            let text = if spoiled.len() < 10 { spoiled.to_owned() } else { format!("{CSV_HEAD}\n{spoiled}") };
            assert!(read_csv(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
