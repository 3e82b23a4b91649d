//! Pictures of the table: what `bench flow-cache --csv` has written, as SVG.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::report::{Cell, read_csv};
use super::world::Remembered;

/// What is drawn, and where to.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What `bench flow-cache --csv` has written.
    file: PathBuf,
    /// The folder that the pictures go to.
    #[arg(long, default_value = "docs")]
    to: PathBuf,
}

/// Draws the pictures and says which files they are.
///
/// # Errors
/// The file cannot be read or is none of `bench flow-cache`, or a picture cannot be written.
pub fn run(options: &Options) -> Result<String> {
    let Options { file, to } = options;
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let cells = read_csv(&text).with_context(|| format!("reading {}", file.display()))?;
    ensure!(!cells.is_empty(), "{} has no cells", file.display());
    let mut written = String::new();
    for (name, chart) in charts(&cells) {
        let path = to.join(name);
        write(&path, &chart.svg())?;
        writeln!(written, "{}", path.display())?;
    }
    Ok(written)
}

fn write(path: &Path, svg: &str) -> Result<()> {
    std::fs::write(path, svg).with_context(|| format!("writing {}", path.display()))
}

/// One picture: panels beside each other with one scale.
struct Chart {
    title: String,
    /// What the sizes along the bottom are numbers of.
    along: &'static str,
    sizes: Vec<u32>,
    panels: Vec<Panel>,
}

struct Panel {
    title: String,
    /// A line for each that was measured: nanoseconds by size.
    lines: Vec<(Remembered, Vec<(u32, f64)>)>,
}

/// The three questions that the table answers.
fn charts(cells: &[Cell]) -> [(&'static str, Chart); 3] {
    let values = |size: fn(&Cell) -> u32| {
        let mut values: Vec<u32> = cells.iter().map(size).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let [prefixes, rules, flows] =
        [|cell: &Cell| cell.prefixes, |cell: &Cell| cell.rules, |cell: &Cell| cell.flows].map(values);
    let ends = |values: &[u32]| (values[0], values[values.len() - 1]);
    let (few_prefixes, most_prefixes) = ends(&prefixes);
    let (few_rules, most_rules) = ends(&rules);
    let by_flows = |along: fn(&Cell) -> u32, among: &dyn Fn(&Cell) -> bool| -> Vec<Panel> {
        let panel = |flows: &u32| {
            let title = format!("{} flow{}", short(*flows), if *flows == 1 { "" } else { "s" });
            panel(title, cells, along, |cell| cell.flows == *flows && among(cell))
        };
        flows.iter().map(panel).collect()
    };
    let rules_chart = Chart {
        title: format!("Rules: cost of a packet, {} prefixes", short(most_prefixes)),
        along: "rules",
        panels: by_flows(|cell| cell.rules, &|cell| cell.prefixes == most_prefixes),
        sizes: rules,
    };
    let prefixes_chart = Chart {
        title: format!("Prefixes: cost of a packet, {few_rules} rules"),
        along: "prefixes",
        panels: by_flows(|cell| cell.prefixes, &|cell| cell.rules == few_rules),
        sizes: prefixes,
    };
    let corners = [(few_prefixes, few_rules), (most_prefixes, few_rules), (most_prefixes, most_rules)];
    let flows_chart = Chart {
        title: "Flows: cost of a packet".to_owned(),
        along: "flows",
        panels: corners
            .map(|(prefixes, rules)| {
                let title = format!("{} prefixes, {} rules", short(prefixes), short(rules));
                let here = |cell: &Cell| (cell.prefixes, cell.rules) == (prefixes, rules);
                panel(title, cells, |cell| cell.flows, here)
            })
            .into(),
        sizes: flows,
    };
    [
        ("flow-cache-rules.svg", rules_chart),
        ("flow-cache-prefixes.svg", prefixes_chart),
        ("flow-cache-flows.svg", flows_chart),
    ]
}

fn panel(title: String, cells: &[Cell], along: fn(&Cell) -> u32, among: impl Fn(&Cell) -> bool) -> Panel {
    let line = |what: Remembered| {
        let of = cells.iter().filter(|cell| cell.what == what && among(cell));
        (what, of.map(|cell| (along(cell), cell.ns)).collect::<Vec<_>>())
    };
    Panel {
        title,
        lines: Remembered::ALL.map(line).into_iter().filter(|(_, line)| !line.is_empty()).collect(),
    }
}

/// A number as people say it.
fn short(number: u32) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

const PANEL_WIDTH: f64 = 190.0;
const PANEL_HEIGHT: f64 = 230.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 46.0;
const BETWEEN: f64 = 22.0;
/// Room between a panel's edge and its first size.
const INSET: f64 = 18.0;

const fn color(what: Remembered) -> &'static str {
    match what {
        Remembered::Nothing => "#8c8c8c",
        Remembered::Route => "#d98400",
        Remembered::Verdict => "#0a66c2",
        Remembered::Card => "#1a8a4a",
    }
}

impl Chart {
    /// The whole picture.
    fn svg(&self) -> String {
        let width = LEFT + self.panels.len() as f64 * (PANEL_WIDTH + BETWEEN);
        let height = TOP + PANEL_HEIGHT + BOTTOM;
        let scale = Scale::of(self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, line)| line));
        let mut svg = Svg::new(width, height);
        svg.text(LEFT, 20.0, "start", 14, &self.title);
        self.legend(&mut svg);
        svg.turned(16.0, TOP + PANEL_HEIGHT / 2.0, "nanoseconds a packet");
        for (number, panel) in self.panels.iter().enumerate() {
            let left = LEFT + number as f64 * (PANEL_WIDTH + BETWEEN);
            svg.text(left + PANEL_WIDTH / 2.0, TOP - 8.0, "middle", 12, &panel.title);
            for mark in scale.marks() {
                let y = scale.place(mark);
                svg.line((left, y), (left + PANEL_WIDTH, y), "#e2e2e2", 1.0);
                if number == 0 {
                    svg.text(left - 6.0, y + 4.0, "end", 11, &marked(mark));
                }
            }
            for size in &self.sizes {
                svg.text(
                    self.along_place(left, *size),
                    TOP + PANEL_HEIGHT + 16.0,
                    "middle",
                    11,
                    &short(*size),
                );
            }
            svg.text(left + PANEL_WIDTH / 2.0, TOP + PANEL_HEIGHT + 34.0, "middle", 11, self.along);
            for (what, line) in &panel.lines {
                let points: Vec<_> =
                    line.iter().map(|(size, ns)| (self.along_place(left, *size), scale.place(*ns))).collect();
                svg.path(&points, color(*what));
            }
        }
        svg.end()
    }

    fn legend(&self, svg: &mut Svg) {
        let shown =
            |what: &Remembered| self.panels.iter().flat_map(|panel| &panel.lines).any(|(of, _)| of == what);
        let mut x = LEFT;
        for what in Remembered::ALL.into_iter().filter(shown) {
            let name = match what {
                Remembered::Nothing => "nothing remembered",
                Remembered::Route => "route",
                Remembered::Verdict => "route and verdict",
                Remembered::Card => "card",
            };
            svg.line((x, 38.0), (x + 20.0, 38.0), color(what), 2.5);
            svg.text(x + 26.0, 42.0, "start", 12, name);
            x += 50.0 + 7.0 * name.len() as f64;
        }
    }

    /// Where a size stands: sizes are powers of ten and more, so each has a place, whatever lies between.
    fn along_place(&self, left: f64, size: u32) -> f64 {
        let number =
            self.sizes.iter().position(|known| *known == size).expect("all sizes are along the bottom");
        let steps = self.sizes.len().saturating_sub(1).max(1) as f64;
        left + INSET + (PANEL_WIDTH - 2.0 * INSET) * number as f64 / steps
    }
}

/// A mark in nanoseconds, as it is written.
fn marked(ns: f64) -> String {
    if ns >= 1_000.0 { format!("{} µs", ns / 1_000.0) } else { format!("{ns} ns") }
}

/// From nanoseconds to heights: from zero on if figures are near each other, by powers of ten if they are not.
enum Scale {
    Linear { most: f64, step: f64 },
    Powers { least: f64, most: f64 },
}

impl Scale {
    fn of<'a>(points: impl Iterator<Item = &'a (u32, f64)>) -> Self {
        let (least, most) =
            points.fold((f64::MAX, 0.0_f64), |(least, most), (_, ns)| (ns.min(least), ns.max(most)));
        if most < 10.0 * least {
            let step = [20.0, 50.0, 100.0, 200.0, 500.0].into_iter().find(|step| most / step <= 8.0);
            let step = step.unwrap_or(most / 4.0);
            Self::Linear { most: (most / step).ceil() * step, step }
        } else {
            let power = |ns: f64, round: fn(f64) -> f64| 10_f64.powf(round(ns.max(1.0).log10()));
            Self::Powers { least: power(least, f64::floor), most: power(most, f64::ceil) }
        }
    }

    fn marks(&self) -> Vec<f64> {
        match self {
            Self::Linear { most, step } => {
                (0..=(most / step).round() as u32).map(|n| f64::from(n) * step).collect()
            }
            Self::Powers { least, most } => {
                let decades = (most / least).log10().round() as i32;
                (0..=decades).map(|decade| least * 10_f64.powi(decade)).collect()
            }
        }
    }

    fn place(&self, ns: f64) -> f64 {
        let part = match self {
            Self::Linear { most, .. } => ns / most,
            Self::Powers { least, most } => (ns.max(*least) / least).log10() / (most / least).log10(),
        };
        TOP + PANEL_HEIGHT * (1.0 - part)
    }
}

/// A picture in the making.
struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" fill=\"#222\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
        ))
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("a string takes all");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, size: u32, text: &str) {
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{text}</text>"
        ));
    }

    fn turned(&mut self, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"11\">{text}</text>"
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"/>"
        ));
    }

    fn path(&mut self, points: &[(f64, f64)], color: &str) {
        let joined: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            joined.join(" ")
        ));
        for (x, y) in points {
            self.push(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"));
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        let mut cells = Vec::new();
        for (flows, prefixes, rules) in
            [(1, 10, 0), (1, 1_000_000, 0), (1, 1_000_000, 10_000), (1_000, 10, 0)]
        {
            for (what, ns) in
                [(Remembered::Nothing, 200.0 + 4.0 * f64::from(rules)), (Remembered::Route, 150.0)]
            {
                cells.push(Cell { prefixes, rules, flows, what, ns });
            }
        }
        cells
    }

    #[test]
    fn each_figure_has_a_point_and_each_kind_that_was_measured_a_name() {
        let [(_, rules), (_, prefixes), (_, flows)] = charts(&cells());
        let points = |chart: &Chart| chart.svg().matches("<circle").count();
        // Two kinds: at one flow two sizes each, at 1000 flows none with so many prefixes.
        assert_eq!((points(&rules), points(&prefixes), points(&flows)), (4, 6, 8));
        let svg = rules.svg();
        assert!(
            svg.contains("nothing remembered") && svg.contains(">route<") && !svg.contains(">card<"),
            "{svg}"
        );
        assert!(svg.contains("1M prefixes") && svg.contains(">10k<"), "{svg}");
    }

    #[test]
    fn a_scale_holds_all_its_figures() {
        for figures in
            [vec![(0, 90.0), (1, 470.0)], vec![(0, 90.0), (1, 35_000.0)], vec![(0, 0.2), (1, 9_000.0)]]
        {
            let scale = Scale::of(figures.iter());
            for (_, ns) in &figures {
                let y = scale.place(*ns);
                assert!((TOP..=TOP + PANEL_HEIGHT).contains(&y), "{ns} at {y}");
            }
            let places: Vec<f64> = scale.marks().into_iter().map(|mark| scale.place(mark)).collect();
            assert!(places.is_sorted_by(|low, high| low > high) && places.len() >= 3, "{places:?}");
        }
    }
}
