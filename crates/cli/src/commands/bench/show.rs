//! What people are told of measurements.

use crate::bench::{Comparison, Figure, Path, Run, Through};
use crate::commands::Session;
use crate::report::{count, harmless};

/// A result for people, after another.
pub(super) fn show(session: &Session, run: &Run, last: Option<&Run>) {
    let mark = session.output.mark(run.path.through == Through::Hardware);
    for figure in run.figures() {
        let Figure { name, value, unit, beside } = figure;
        let (value, through) = (unit.show(value), run.path.through.text());
        session.output.line(format_args!("  {mark} {name:<34} {value:>12}  {through:<32}  {beside}"));
    }
    show_path(session, &run.path, last.map(|last| &last.path));
}

/// Which way it went, where that was not the card's.
fn show_path(session: &Session, path: &Path, last: Option<&Path>) {
    // What holds for all of them is said once.
    if let Some(why) = path.why.as_ref().filter(|why| last.and_then(|last| last.why.as_ref()) != Some(why)) {
        session.output.line(format_args!("      {}", harmless(why)));
    }
    for leg in path.legs.iter().filter(|leg| !leg.offloaded) {
        let (hardware, software) = (bytes(leg.hardware_bytes), bytes(leg.software_bytes));
        let to = leg.to.join(", ");
        let mut lines = vec![format!("{} → {to}: {hardware} in hardware, {software} in software", leg.from)];
        lines.extend(leg.why.iter().map(|why| format!("why: {why}")));
        lines.extend(leg.remedy.iter().map(|remedy| format!("to do: {remedy}")));
        for line in lines {
            session.output.line(format_args!("      {}", harmless(&line)));
        }
    }
}

/// Bytes in decimal megabytes, as rates are decimal.
fn bytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// Then and now.
pub(super) fn show_comparison(session: &Session, comparison: &Comparison) {
    session.output.line(format_args!("against {}:", harmless(&comparison.earlier.to_string())));
    for figure in &comparison.figures {
        let mark = session.output.mark(!figure.worse);
        let ratio = figure.ratio.map_or_else(|| "from nothing".to_owned(), |ratio| format!("× {ratio:.3}"));
        let (then, now) = (figure.unit.show(figure.then), figure.unit.show(figure.now));
        session.output.line(format_args!("  {mark} {:<34} {then:>12} → {now:>12}  {ratio}", figure.name));
    }
    for line in &comparison.alone {
        session.output.line(format_args!("  {line}"));
    }
    for difference in &comparison.differences {
        session.output.line(format_args!("  not as it was: {}", harmless(&difference.to_string())));
    }
    let worse = comparison.worse();
    let threshold = comparison.threshold_percent;
    session.output.line(match (comparison.figures.is_empty(), worse) {
        (true, _) => "nothing that both have measured".to_owned(),
        (false, 0) => format!("nothing is worse by more than {threshold} %"),
        (false, worse) => format!("{} worse by more than {threshold} %", count(worse, "figure")),
    });
}

/// Whether it went through hardware, plainly.
pub(super) fn tell(session: &Session, runs: &[Run], through: Through) {
    if runs.is_empty() {
        return;
    }
    let of = |wanted| runs.iter().filter(|run| run.path.through == wanted).count();
    let all = count(runs.len(), "measurement");
    match through {
        Through::Hardware => session.output.line(format_args!("through hardware: {all}")),
        Through::Software => session
            .output
            .caution(format_args!("traffic did not go through hardware: {} of {all}", of(Through::Software))),
        Through::NotProven => session.output.caution(format_args!(
            "not proven that traffic went through hardware: {} of {all}",
            of(Through::NotProven)
        )),
    }
}
