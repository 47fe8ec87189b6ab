//! A record as a picture, beside an earlier one where there is one: SVG 1.1, light or dark as the viewer is.
//!
//! ```text
//!  Throughput: more is better
//!   TCP forward, 1 stream   ████████████████████▌ 23.4 Gbit/s
//!                           ───────────────────── 24.1 Gbit/s        the earlier record
//!   TCP forward, 8 streams  ██████████████████████████████ 94.1 Gbit/s
//!                          0          50          100 Gbit/s
//! ```
//!
//! The colour of a bar says which way the packets went. All scales begin at 0.

use std::fmt::Write as _;

use super::path::Through;
use super::record::{Figure, Record, Unit};
use crate::topology::svg::{advance, escaped};

/// Around everything.
const MARGIN: u32 = 24;
/// Between the names and the bars.
const GAP: u32 = 12;
/// How wide the bars may be.
const BARS: u32 = 420;
/// A bar's height, and that of the earlier record's.
const BAR: u32 = 18;
const EARLIER: u32 = 8;
/// From one row to the next, and from one panel to the next.
const ROW: u32 = 38;
const PANEL: u32 = 70;
/// From one line of the legend to the next.
const LINE: u32 = 20;
/// The sizes of the head, of text, and of what is said besides.
const HEAD: u32 = 16;
const TEXT: u32 = 12;
const SMALL: u32 = 11;

const STYLE: &str = "\
text { font-family: ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; font-size: 12px; fill: #0f172a; }
.head { font-size: 16px; font-weight: 600; }
.panel { font-weight: 600; }
.small { font-size: 11px; fill: #475569; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #ffffff; }
.grid { stroke: #e2e8f0; stroke-width: 1px; }
.hardware { fill: #16a34a; }
.software { fill: #d97706; }
.not-proven { fill: #94a3b8; }
.earlier { fill: none; stroke: #64748b; stroke-width: 1px; }
@media (prefers-color-scheme: dark) {
text { fill: #e2e8f0; }
.small { fill: #a3b1c6; }
.paper { fill: #0b1220; }
.grid { stroke: #1e293b; }
.hardware { fill: #4ade80; }
.software { fill: #fbbf24; }
.not-proven { fill: #64748b; }
.earlier { stroke: #94a3b8; }
}";

/// A figure with what it was, and the way it went.
struct Row {
    figure: Figure,
    earlier: Option<f64>,
    through: Through,
}

/// A picture of `now`, beside `then`.
pub fn plot(now: &Record, then: Option<&Record>) -> String {
    let rows = rows(now, then);
    let names = rows.iter().map(|row| row.figure.name.chars().count()).max().unwrap_or(0);
    let left = MARGIN + advance(names, TEXT) + GAP;
    let title = format!("vdpa bench: {} to {}", now.asked.from, now.asked.to);
    let about = about(now);
    let value = advance("9.99 Gbit/s".len(), TEXT) + GAP;
    let text = advance(title.chars().count(), HEAD).max(advance(about.chars().count(), SMALL));
    let width = (left + BARS + value).max(MARGIN + text) + MARGIN;

    let mut out = String::new();
    let mut top = MARGIN + 62;
    for (unit, heading) in [
        (Unit::BitsPerSecond, "Throughput: more is better"),
        (Unit::Microseconds, "Round trips: less is better"),
    ] {
        let of_unit: Vec<&Row> = rows.iter().filter(|row| row.figure.unit == unit).collect();
        if !of_unit.is_empty() {
            let _ = writeln!(out, "<text class=\"panel\" x=\"{MARGIN}\" y=\"{top}\">{heading}</text>");
            panel(&mut out, left, top + 16, &of_unit, unit);
            top += u32::try_from(of_unit.len()).unwrap_or(0) * ROW + PANEL;
        }
    }
    if rows.is_empty() {
        let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"{top}\">nothing was measured</text>");
        top += PANEL;
    }
    let (right, bottom) = legend(&mut out, MARGIN, top - 12, &rows, then);
    let (width, height) = (width.max(right + MARGIN), bottom + MARGIN);
    let (title, about) = (escaped(&title), escaped(&about));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"{}\">{title}</text>\n\
         <text class=\"small\" x=\"{MARGIN}\" y=\"{}\">{about}</text>\n{out}</svg>\n",
        MARGIN + 14,
        MARGIN + 32
    )
}

fn rows(now: &Record, then: Option<&Record>) -> Vec<Row> {
    let earlier: Vec<Figure> = then.into_iter().flat_map(Record::figures).map(|(_, figure)| figure).collect();
    now.figures()
        .map(|(run, figure)| Row {
            earlier: earlier.iter().find(|one| one.name == figure.name).map(|one| one.value),
            through: run.path.through,
            figure,
        })
        .collect()
}

/// What stands below the title.
fn about(record: &Record) -> String {
    let facts = &record.facts;
    let mut parts = vec![record.taken.host.clone()];
    parts.extend(facts.kernel.iter().map(|kernel| format!("kernel {kernel}")));
    parts.extend(facts.ovs.iter().map(|ovs| format!("Open vSwitch {ovs}")));
    parts.extend(facts.cards.iter().filter_map(|card| Some(format!("firmware {}", card.firmware.as_ref()?))));
    parts.dedup();
    parts.push(format!("{} s each", record.asked.seconds));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// The rows of one unit, over one scale.
fn panel(out: &mut String, left: u32, top: u32, rows: &[&Row], unit: Unit) {
    let values = rows.iter().flat_map(|row| row.earlier.into_iter().chain([row.figure.value]));
    let most = values.fold(0.0, f64::max);
    let step = step(most);
    // Wide enough for the last mark to be at the greatest value or beyond it.
    let scale = (most / step).ceil().max(1.0) * step;
    let at = |value: f64| value / scale * f64::from(BARS);
    let bottom = top + u32::try_from(rows.len()).unwrap_or(0) * ROW;
    let mut mark = 0.0;
    while mark <= scale * 1.001 {
        let x = f64::from(left) + at(mark);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>\
             <text class=\"small middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
            bottom + 16,
            short(unit, mark)
        );
        mark += step;
    }
    for (row, y) in rows.iter().zip((top + 4..).step_by(ROW as usize)) {
        let Row { figure, earlier, through } = row;
        let (name, shown) = (escaped(&figure.name), unit.show(figure.value));
        let (middle, long) = (y + BAR - 5, at(figure.value));
        let text_at = f64::from(left) + long + 6.0;
        let (class, words) = (class(*through), through.text());
        let _ = writeln!(
            out,
            "<g><title>{name}: {shown}, {words}</title>\
             <text class=\"end\" x=\"{}\" y=\"{middle}\">{name}</text>\
             <rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{long:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{text_at:.1}\" y=\"{middle}\">{shown}</text></g>",
            left - GAP
        );
        if let Some(earlier) = earlier {
            let (below, long, shown) = (y + BAR + 2, at(*earlier), unit.show(*earlier));
            let _ = writeln!(
                out,
                "<g><title>{name}, earlier: {shown}</title>\
                 <rect class=\"earlier\" x=\"{left}\" y=\"{below}\" width=\"{long:.1}\" height=\"{EARLIER}\"/>\
                 <text class=\"small\" x=\"{:.1}\" y=\"{}\">{shown}</text></g>",
                f64::from(left) + long + 6.0,
                below + EARLIER
            );
        }
    }
}

/// From one mark to the next: 1, 2 or 5 times a power of ten, so that there are three to six.
fn step(most: f64) -> f64 {
    if !most.is_finite() || most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((most / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    steps.into_iter().find(|step| most / step <= 5.0).unwrap_or(most)
}

/// A mark's number: no digits that say nothing.
fn short(unit: Unit, value: f64) -> String {
    let shown = unit.show(value);
    match shown.split_once(' ') {
        Some(_) if value <= 0.0 => "0".to_owned(),
        Some((number, name)) if number.contains('.') => {
            format!("{} {name}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => shown,
    }
}

fn class(through: Through) -> &'static str {
    match through {
        Through::Hardware => "hardware",
        Through::Software => "software",
        Through::NotProven => "not-proven",
    }
}

/// What the colours mean, those that there are, and whose the other bars are; gives where it ends.
fn legend(out: &mut String, x: u32, y: u32, rows: &[Row], then: Option<&Record>) -> (u32, u32) {
    let all = [Through::Hardware, Through::Software, Through::NotProven];
    let used = all.into_iter().filter(|through| rows.iter().any(|row| row.through == *through));
    let mut entry = |class: &str, x: u32, y: u32, text: &str| {
        let text_left = x + 20;
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"10\"/>\
             <text class=\"small\" x=\"{text_left}\" y=\"{y}\">{}</text>",
            y - 9,
            escaped(text)
        );
        text_left + advance(text.chars().count(), SMALL)
    };
    let mut left = x;
    for through in used {
        left = entry(class(through), left, y, through.text()) + GAP + 8;
    }
    match then {
        Some(then) => {
            (left.max(entry("earlier", x, y + LINE, &format!("earlier: {}", about(then)))), y + LINE)
        }
        None => (left, y),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Result;
    use super::super::record::tests::record;
    use super::*;

    /// The elements of a picture by their names, which also holds that it is XML.
    fn counted(picture: &str, name: &str, class: &str) -> usize {
        let document =
            roxmltree::Document::parse(picture).unwrap_or_else(|error| panic!("{error}\n{picture}"));
        let has = |node: &roxmltree::Node<'_, '_>| node.attribute("class") == Some(class);
        document
            .descendants()
            .filter(|node| node.has_tag_name(name) || node.tag_name().name() == name)
            .filter(has)
            .count()
    }

    #[test]
    fn each_figure_has_a_bar_and_the_earlier_one_beside_it() {
        let mut now = record();
        now.runs[0].path.through = Through::Hardware;
        let alone = plot(&now, None);
        // A bar each, and one in the legend.
        assert_eq!(counted(&alone, "rect", "hardware"), 2);
        assert_eq!(counted(&alone, "rect", "not-proven"), 5);
        assert_eq!(counted(&alone, "rect", "earlier"), 0);
        assert_eq!(counted(&alone, "text", "panel"), 2);
        let beside = plot(&now, Some(&record()));
        assert_eq!(counted(&beside, "rect", "earlier"), 6);
        assert!(beside.contains("host &lt;105&gt;") && !beside.contains("<105>"));
    }

    #[test]
    fn a_record_of_nothing_or_of_zeros_has_a_picture() {
        let mut empty = record();
        empty.runs.clear();
        assert!(plot(&empty, Some(&record())).contains("nothing was measured"));
        let mut zeros = record();
        for run in &mut zeros.runs {
            if let Result::Throughput(measured) = &mut run.result {
                for way in [&mut measured.forward, &mut measured.reverse].into_iter().flatten() {
                    way.bits_per_second = 0.0;
                }
            }
        }
        let picture = plot(&zeros, None);
        assert_eq!(counted(&picture, "rect", "not-proven"), 6);
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn a_scale_has_a_few_round_marks() {
        for (most, expected) in [(23.4e9, 5e9), (9.4, 2.0), (100.0, 20.0), (51.0, 20.0), (0.3, 0.1)] {
            let step = step(most);
            assert!((step / expected - 1.0).abs() < 1e-9, "{most}: {step}");
        }
        assert_eq!(short(Unit::BitsPerSecond, 20e9), "20 Gbit/s");
        assert_eq!(short(Unit::Microseconds, 0.0), "0");
        assert_eq!(short(Unit::BitsPerSecond, 2.5e9), "2.5 Gbit/s");
    }
}
